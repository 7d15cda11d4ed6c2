/*
 * ids.h - the id index: an extendible hash table on pages (Fagin et al., TODS 1979).
 *
 * The directory (space DIR) maps the leading `depth` bits of an id's hash to a bucket page (space
 * BUCKET); entries with attributes are packed in buckets in no order. Because leading bits choose the
 * bucket, walking the directory visits ids in order of their hashes: that order is the one of
 * listings, and an id keeps its place in it however often it is overwritten or buckets split.
 *
 * Invariants (ids_check):
 *   1. Every directory entry names a bucket below `buckets` whose depth is at most `depth`.
 *   2. All 2^(depth - bucket depth) entries with the bucket's prefix name the same bucket.
 *   3. Every entry's hash is that of its id and has the prefix; no id stands twice.
 *   4. A bucket's table of tags is that of its entries.
 *
 * Locks: changes are made by one thread at a time (the store's commit lock) and under `lock`
 * exclusively; readers hold `lock` shared. Callers are inside the epoch of the pager.
 */
#ifndef VECFS_STORE_IDS_H
#define VECFS_STORE_IDS_H

#include <pthread.h>
#include <stdint.h>

#include "store/pager.h"
#include "store/store.h"
#include "store/xattr.h"

struct ids {
	struct pager *pager; /* not owned */
	uint64_t seed;
	uint32_t depth, buckets; /* guarded by lock */
	pthread_rwlock_t lock;
};

/*
 * Where an id is, or would be: what looking it up found, for the change that follows, so that it is
 * looked up once. Good as long as the caller stays inside the epoch and nothing else in the index
 * changes.
 */
struct ids_place {
	uint64_t hash;
	uint32_t bucket;
	uint8_t *page;			  /* of the bucket; NULL: not known */
	const struct format_entry *found; /* in the page; NULL: the id is not there */
};

int ids_init(struct ids *ids, struct pager *pager, uint64_t seed, uint32_t depth, uint32_t buckets);
void ids_release(struct ids *ids);

uint64_t ids_hash(const struct ids *ids, const char *id, size_t len);

/* --- readers; lock held, shared or exclusive, or by the one changer --- */

/* ERR_ABSENT; ERR_DAMAGED; ERR_IO. entry_out->lsn is left 0. */
int ids_find(struct ids *ids, const char *id, size_t len, struct store_entry *entry_out);
/* The same, with the place, which is filled for ERR_ABSENT too. found says the slot and the rest. */
int ids_locate(struct ids *ids, const char *id, size_t len, struct ids_place *place_out);
/* Has the processor fetch what looking up an id will read, if it is in memory. Always a hint. */
void ids_prefetch(struct ids *ids, const char *id, size_t len);
/* The number of the bucket page where entries with this hash are. ERR_ABSENT: there is no bucket. */
int ids_bucket_of(struct ids *ids, uint64_t hash, uint32_t *bucket_out);
/* The entry with this hash that holds this slot. */
int ids_find_slot(struct ids *ids, uint64_t hash, uint32_t slot, struct store_entry *entry_out);
/* As store_list. */
int ids_list(struct ids *ids, uint64_t cursor, struct store_entry *entries, uint64_t *cursors,
	     size_t cap, size_t *n_out);

/* --- the changer --- */

/*
 * Makes sure that an entry for this id can be put: splits buckets as needed, brings the pages into
 * memory. Takes lock itself. Changes nothing that a reader can tell. place is that of the id, and is
 * so afterwards; an error may leave it unknown. xattrs: what the entry will have, no longer than
 * xattr_list_max; NULL: what it has already.
 */
int ids_reserve_at(struct ids *ids, const char *id, size_t len, struct ids_place *place,
		   const struct xattrs *xattrs);
/* Pages that ids_reserve_at changes at most. place: as ids_locate filled it, whatever it returned. */
uint64_t ids_reserve_pages(const struct ids *ids, const struct ids_place *place, size_t len,
			   const struct xattrs *xattrs);
/*
 * These follow ids_reserve_at for their place, under lock exclusively, and cannot fail. ids_put_at
 * replaces or adds (entry->id is the key; lsn is not kept), with the same xattrs, which are not those
 * of a page. Each ends what all places say.
 */
void ids_put_at(struct ids *ids, const struct ids_place *place, const struct store_entry *entry,
		const struct xattrs *xattrs);
void ids_remove_at(struct ids *ids, const struct ids_place *place);
/*
 * The same three by the id alone, for a change of several. ids_reserve goes before, for each id; the
 * room it makes is for one put. ids_remove: nothing happens when it is not there.
 */
int ids_reserve(struct ids *ids, const char *id, size_t len, const struct xattrs *xattrs);
void ids_put(struct ids *ids, const struct store_entry *entry, const struct xattrs *xattrs);
void ids_remove(struct ids *ids, const char *id, size_t len);

int ids_check(struct ids *ids, uint64_t *entries_out);

#endif
