/*
 * compare.c - which vectors are stored already, so that an import that goes on need not store them
 * again.
 */
#include "ann/ann.h"

#include <stdatomic.h>
#include <string.h>

#include "ann/collection.h"

#define COMPARE_STAY 256u /* rows in one read section */

/* Finds the slots of n rows; STORE_NO_SLOT where the id is not stored. Inside a read section. */
static int find_slots(struct store *store, const struct ann_row *rows, size_t n,
		      uint32_t slots[COMPARE_STAY])
{
	struct store_entry entry;

	for (size_t i = 0; i < n; i++) {
		int err = store_get(store, rows[i].id, rows[i].id_len, &entry, NULL);

		if (err != 0 && err != ERR_ABSENT)
			return err;
		slots[i] = err == 0 ? entry.slot : STORE_NO_SLOT;
	}
	store_value_prefetch(store, slots, n);
	return 0;
}

/* Slots found in this read section keep their bytes until it ends. */
static int compare(struct ann *ann, const struct ann_row *rows, size_t n, bool *same_out)
{
	const size_t bytes = ann->index.dim * sizeof(float);
	uint32_t slots[COMPARE_STAY];
	int err;

	store_read_begin(ann->store);
	err = find_slots(ann->store, rows, n, slots);
	for (size_t i = 0; err == 0 && i < n; i++) {
		const void *value = NULL;

		same_out[i] = false;
		if (slots[i] == STORE_NO_SLOT)
			continue;
		err = store_value(ann->store, slots[i], STORE_HINT_SCAN, &value);
		same_out[i] = err == 0 && memcmp(value, rows[i].vector, bytes) == 0;
		if (err == ERR_DAMAGED)
			err = 0; /* storing it again heals it */
	}
	store_read_end(ann->store);
	return err;
}

int ann_compare(struct ann *ann, const struct ann_row *rows, size_t n, bool *same_out)
{
	int err = 0;

	memset(same_out, 0, n * sizeof(*same_out));
	if (!atomic_load(&ann->ready))
		return 0;
	for (size_t at = 0; err == 0 && at < n; at += COMPARE_STAY)
		err = compare(ann, rows + at, n - at < COMPARE_STAY ? n - at : COMPARE_STAY,
			      same_out + at);
	return err;
}
