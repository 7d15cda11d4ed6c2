/*
 * commit_apply.c - the two halves of a commit that replay shares: bringing in all that a change
 * needs, and making it in memory.
 *
 * Invariant: after apply the tables in memory are what replaying all records up to last_lsn onto the
 * newest checkpoint gives.
 */
#include "store/commit_apply.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/mem.h"

/*
 * Makes the slot of an id changeable. Slot table and index are read from disk: ERR_DAMAGED unless the
 * slot is live and this id's.
 */
static int reserve_live(struct store *store, uint64_t hash, uint32_t number)
{
	struct slots_entry slot;
	int err = slots_get(&store->slots, number, &slot);

	if (err == ERR_ABSENT ||
	    (err == 0 && (slot.state != STORE_SLOT_LIVE || slot.id_hash != hash)))
		err = ERR_DAMAGED;
	return err != 0 ? err : slots_reserve(&store->slots, number);
}

int commit_prepare_delete(struct store *store, const char *id, size_t len, struct ids_place *place)
{
	uint32_t slot = get_u32(place->found->slot);
	int err = ids_reserve_at(&store->ids, id, len, place, NULL);

	return err != 0 ? err : reserve_live(store, place->hash, slot);
}

int commit_set_value_size(struct store *store, size_t size)
{
	uint32_t known = atomic_load(&store->slots.value_size);

	if (known == 0 && size > 0 && size <= FORMAT_VALUE_MAX && size % 4 == 0) {
		atomic_store(&store->slots.value_size, (uint32_t)size);
		return 0;
	}
	return size == known && size != 0 ? 0 : ERR_INVALID;
}

/* Brings in all pages of a put and writes the value into its slot, where nobody looks yet. */
int commit_prepare_put(struct store *store, const struct store_entry *entry,
		       struct ids_place *place, uint32_t old_slot, const void *value)
{
	int err = slots_write_value(&store->slots, entry->slot, value);

	if (err == 0)
		err = slots_reserve(&store->slots, entry->slot);
	if (err == 0 && old_slot != STORE_NO_SLOT)
		err = reserve_live(store, place->hash, old_slot);
	if (err == 0)
		err = ids_reserve_at(&store->ids, entry->id, entry->id_len, place, NULL);
	return err;
}

/* Copies what both ends have: their entries move while the change is made. to: NULL: not there. */
static int copy_xattrs(struct store *store, const struct store_entry *from,
		       const struct store_entry *to, struct commit_xattrs *out)
{
	struct ids_place place;
	int err = ids_locate(&store->ids, from->id, from->id_len, &place);

	if (err != 0)
		return err;
	out->from = ids_bucket_xattrs(place.found);
	if (to != NULL) {
		err = ids_locate(&store->ids, to->id, to->id_len, &place);
		if (err != 0)
			return err;
		out->to = ids_bucket_xattrs(place.found);
	}
	if (out->from.len + out->to.len == 0)
		return 0;
	out->bytes = mem_alloc((size_t)out->from.len + out->to.len);
	if (out->bytes == NULL)
		return ERR_NOMEM;
	memcpy(out->bytes, out->from.bytes, out->from.len);
	if (out->to.len > 0)
		memcpy(out->bytes + out->from.len, out->to.bytes, out->to.len);
	out->from.bytes = out->bytes;
	out->to.bytes = out->bytes + out->from.len;
	return 0;
}

void commit_release_xattrs(struct commit_xattrs *xattrs)
{
	mem_free(xattrs->bytes);
	memset(xattrs, 0, sizeof(*xattrs));
}

/*
 * Each end gets room by itself. That is enough where an exchange has both in one bucket: of the two
 * entries one does not grow, and commit_apply_rename shortens from's before it puts anything.
 */
int commit_prepare_rename(struct store *store, struct store_entry *from, struct store_entry *to,
			  unsigned flags, bool *exists, struct commit_xattrs *xattrs)
{
	struct store_entry target;
	int err = ids_find(&store->ids, to->id, to->id_len, &target);

	*exists = err == 0;
	if (err == ERR_ABSENT)
		err = (flags & STORE_RENAME_EXCHANGE) != 0 ? ERR_ABSENT : 0;
	else if (err == 0 && (flags & STORE_RENAME_KEEP) != 0)
		err = ERR_EXISTS;
	if (err != 0)
		return err;
	if (*exists)
		*to = target;
	err = copy_xattrs(store, from, *exists ? to : NULL, xattrs);
	if (err == 0)
		err = ids_reserve(&store->ids, from->id, from->id_len,
				  (flags & STORE_RENAME_EXCHANGE) != 0 ? &xattrs->to : NULL);
	if (err == 0)
		err = reserve_live(store, ids_hash(&store->ids, from->id, from->id_len),
				   from->slot);
	if (err == 0 && *exists)
		err = reserve_live(store, ids_hash(&store->ids, to->id, to->id_len), to->slot);
	if (err == 0)
		err = ids_reserve(&store->ids, to->id, to->id_len, &xattrs->from);
	return err;
}

void commit_apply_dead(struct store *store, uint32_t slot, uint64_t lsn)
{
	slots_set(&store->slots, slot, &(struct slots_entry){0, lsn, STORE_SLOT_DEAD});
}

/* entry->slot is the new slot; old_slot dies. */
void commit_apply_put(struct store *store, const struct store_entry *entry,
		      const struct ids_place *place, uint32_t old_slot, uint64_t lsn)
{
	struct slots_entry live = {place->hash, lsn, STORE_SLOT_LIVE};

	ids_put_at(&store->ids, place, entry, NULL);
	slots_set(&store->slots, entry->slot, &live);
	if (old_slot != STORE_NO_SLOT)
		commit_apply_dead(store, old_slot, lsn);
	if (entry->ino >= atomic_load(&store->next_ino)) /* replayed */
		atomic_store(&store->next_ino, entry->ino + 1);
}

/* The slot keeps its LSN: its value did not change. */
static void move_slot(struct store *store, const struct store_entry *entry)
{
	struct slots_entry slot;
	int err = slots_get(&store->slots, entry->slot, &slot);

	assert(err == 0);
	(void)err; /* slots_reserve has read the page: it stays in memory */
	slot.id_hash = ids_hash(&store->ids, entry->id, entry->id_len);
	slots_set(&store->slots, entry->slot, &slot);
}

void commit_name_entry(struct store_entry *entry, const char *id, size_t len)
{
	memcpy(entry->id, id, len);
	entry->id[len] = '\0';
	entry->id_len = (uint16_t)len;
}

void commit_apply_rename(struct store *store, struct store_entry *from, struct store_entry *to,
			 const struct commit_xattrs *xattrs, bool exchange, uint32_t old_slot,
			 uint64_t lsn)
{
	struct store_entry old = *from;

	ids_remove(&store->ids, from->id, from->id_len);
	commit_name_entry(from, to->id, to->id_len);
	if (exchange) {
		commit_name_entry(to, old.id, old.id_len);
		ids_put(&store->ids, to, &xattrs->to);
		move_slot(store, to);
	}
	ids_put(&store->ids, from, &xattrs->from);
	move_slot(store, from);
	if (old_slot != STORE_NO_SLOT)
		commit_apply_dead(store, old_slot, lsn);
}

void commit_lock_tables(struct store *store)
{
	(void)pthread_rwlock_wrlock(&store->ids.lock);
}

void commit_unlock_tables(struct store *store, uint64_t lsn)
{
	store->last_lsn = lsn;
	atomic_store(&store->commits_since, true);
	(void)pthread_rwlock_unlock(&store->ids.lock);
}
