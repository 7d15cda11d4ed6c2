/* cmd_slot.c - the entry and the value of a slot, or a sentence that says which of them is wrong. */
#include "fs/cmd_slot.h"

#include <inttypes.h>

#include "ann/ann.h"

int cmd_read_slot(struct store *store, uint32_t slot, struct store_entry *entry_out,
		  const void **value_out, struct err_msg *msg)
{
	int rc = store_slot_entry(store, slot, entry_out);

	*value_out = NULL;
	if (rc == ERR_ABSENT)
		return rc;
	if (rc != 0)
		return err_set(msg, rc, "the entry of slot %" PRIu32 " cannot be read: %s", slot,
			       err_str(rc));
	if (ann_validate_id(entry_out->id, entry_out->id_len, NULL) != 0)
		return err_set(msg, ERR_DAMAGED,
			       "the id of slot %" PRIu32 " is none that a vector can have", slot);
	rc = store_value(store, slot, STORE_HINT_SCAN, value_out);
	if (rc != 0)
		return err_set(msg, rc, "vectors/%s cannot be read: %s", entry_out->id,
			       err_str(rc));
	return 0;
}
