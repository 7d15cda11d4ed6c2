/*
 * cmd_slot.h - what stands in a slot of a store, read by the commands that go through all slots.
 */
#ifndef VECFS_FS_CMD_SLOT_H
#define VECFS_FS_CMD_SLOT_H

#include <stdint.h>

#include "store/store.h"

/*
 * Inside a read section, in which *value_out stays valid. ERR_ABSENT, without a sentence: the slot is
 * not in use. ERR_DAMAGED and what reading says: msg names the slot or the vector. The id is one that
 * a vector can have.
 */
int cmd_read_slot(struct store *store, uint32_t slot, struct store_entry *entry_out,
		  const void **value_out, struct err_msg *msg);

#endif
