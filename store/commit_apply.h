/*
 * commit_apply.h - shared by commit.c and replay.c. All calls: commit lock held, inside the epoch.
 */
#ifndef VECFS_STORE_COMMIT_APPLY_H
#define VECFS_STORE_COMMIT_APPLY_H

#include "store/store_private.h"

/* --- prepare: may fail, changes nothing a reader can tell --- */

/* What removing an id at its place needs. */
int commit_prepare_delete(struct store *store, const char *id, size_t len, struct ids_place *place);
/* Learns the size of values from the first one; ERR_INVALID for any other size than that. */
int commit_set_value_size(struct store *store, size_t size);
/*
 * All pages of a put at the place of its id; writes the value into entry->slot, where nobody looks
 * yet. old_slot: the one that will die, or STORE_NO_SLOT.
 */
int commit_prepare_put(struct store *store, const struct store_entry *entry,
		       struct ids_place *place, uint32_t old_slot, const void *value);
/* Copies of the extended attributes that a rename moves. */
struct commit_xattrs {
	uint8_t *bytes; /* owned; of both */
	struct xattrs from, to;
};
/*
 * Finds both ends of a rename and brings their pages in; *exists: the target is there. xattrs is to be
 * released whatever is returned.
 */
int commit_prepare_rename(struct store *store, struct store_entry *from, struct store_entry *to,
			  unsigned flags, bool *exists, struct commit_xattrs *xattrs);
void commit_release_xattrs(struct commit_xattrs *xattrs);
void commit_name_entry(struct store_entry *entry, const char *id, size_t len);

/* --- apply: between lock and unlock, after prepare; cannot fail --- */

void commit_lock_tables(struct store *store);
/* lsn: of the record whose change is complete now. */
void commit_unlock_tables(struct store *store, uint64_t lsn);
void commit_apply_dead(struct store *store, uint32_t slot, uint64_t lsn);
/* entry->slot is the new slot; old_slot dies, unless STORE_NO_SLOT. */
void commit_apply_put(struct store *store, const struct store_entry *entry,
		      const struct ids_place *place, uint32_t old_slot, uint64_t lsn);
/* to->id is the new name; with exchange `to` takes the old one. old_slot dies, as above. */
void commit_apply_rename(struct store *store, struct store_entry *from, struct store_entry *to,
			 const struct commit_xattrs *xattrs, bool exchange, uint32_t old_slot,
			 uint64_t lsn);

#endif
