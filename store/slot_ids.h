/*
 * slot_ids.h - the ids of slots in little room, for where the cache has none for the buckets.
 *
 * A hit of a search needs its id and nothing else of its entry. Buckets are in the order of hashes, so
 * that ten hits are ten pages of which each gives twenty bytes; here an id costs a few bytes more than
 * it has. Ids are kept when they were read while frames are short, and go by a clock.
 *
 * Invariant: an id that is kept is that of the live slot in the tables, because slots_set drops it.
 *
 * Locks: slot_ids->lock, a leaf. Who puts or gets holds ids->lock shared, who drops exclusively.
 */
#ifndef VECFS_STORE_SLOT_IDS_H
#define VECFS_STORE_SLOT_IDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pager;
struct slot_group;

struct slot_ids {
	struct pager *pager; /* not owned; its cache is charged */
	pthread_mutex_t lock;
	struct slot_group **
		*chunks;  /* NULL: nothing was put yet; guarded by lock, as what follows */
	uint32_t *groups; /* that there are, in the order of the clock */
	size_t n_groups, cap_groups, hand;
	uint64_t bytes;
	_Atomic bool any; /* whether anything was ever put */
};

void slot_ids_init(struct slot_ids *ids, struct pager *pager);
void slot_ids_release(struct slot_ids *ids);
/* Forgets all. */
void slot_ids_clear(struct slot_ids *ids);

bool slot_ids_has(struct slot_ids *ids, uint32_t slot);
/* Copies the id, terminated, to id_out (FORMAT_ID_MAX + 1 bytes). False: it is not here. */
bool slot_ids_get(struct slot_ids *ids, uint32_t slot, char *id_out, uint16_t *len_out);
/* Keeps an id, if there is room and memory. */
void slot_ids_put(struct slot_ids *ids, uint32_t slot, const char *id, size_t len);
/* Keeps those of a valid bucket page that fit without pushing others out. */
void slot_ids_put_bucket(struct slot_ids *ids, const uint8_t *page);
/* The slot gets another id, or none. */
void slot_ids_drop(struct slot_ids *ids, uint32_t slot);

#endif
