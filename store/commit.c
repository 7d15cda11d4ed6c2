/*
 * commit.c - the write path: one record into the log, then the same change in memory.
 *
 * Each operation has three steps. Prepare: everything that can fail for want of memory, space or a
 * readable page happens before the log, and changes nothing a reader can tell. Log: one record.
 * Apply: under ids->lock, cannot fail. Prepare and apply are in commit_apply.c, since replay.c uses
 * them too.
 */
#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/commit_apply.h"
#include "store/ids_bucket.h"
#include "store/store_private.h"

/* --- prepare --- */

/* A commit begins: lock, epoch, and is writing possible at all? */
static int begin(struct store *store)
{
	(void)pthread_mutex_lock(&store->commit_lock);
	epoch_enter(store->epoch);
	if (store->wal == NULL || atomic_load(&store->poisoned))
		return ERR_READONLY;
	return 0;
}

static void end(struct store *store)
{
	epoch_leave(store->epoch);
	(void)pthread_mutex_unlock(&store->commit_lock);
}

/* Room for a change of one entry. place: as ids_locate filled it; xattrs: as for ids_reserve_at. */
static int take_room(struct store *store, enum room_use use, const struct ids_place *place,
		     size_t len, const struct xattrs *xattrs)
{
	uint64_t index = ids_reserve_pages(&store->ids, place, len, xattrs);

	return room_take(store, use, room_of_put(store, index));
}

/* The log refused: after anything but a full disk nothing more may be written. */
static int log_failed(struct store *store, int err)
{
	if (err != ERR_FULL && err != ERR_NOMEM)
		store_poison(store);
	return err;
}

/* --- put --- */

static int log_put(struct store *store, const struct store_entry *entry, const void *value,
		   uint32_t size, uint64_t *lsn_out)
{
	static const uint8_t zeros[8];
	struct format_put put = {0};
	struct wal_part parts[4] = {
		{&put, sizeof(put)},
		{entry->id, entry->id_len},
		{zeros, round_up(entry->id_len, 8) - entry->id_len},
		{value, size},
	};

	put_u64(put.ino, entry->ino);
	put_u64(put.mtime_ns, (uint64_t)entry->attr.mtime_ns);
	put_u32(put.slot, entry->slot);
	put_u32(put.mode, entry->attr.mode);
	put_u32(put.uid, entry->attr.uid);
	put_u32(put.gid, entry->attr.gid);
	put_u32(put.value_size, size);
	put_u32(put.id_length, entry->id_len);
	return wal_append(store->wal, FORMAT_PUT, parts, 4, false, lsn_out);
}

uint64_t store_new_ino(struct store *store)
{
	return atomic_fetch_add(&store->next_ino, 1);
}

/*
 * What will stand under the id: identity from the old entry, attributes as the flags say. entry->ino
 * is the number that the caller has for a new one.
 */
static int make_entry(struct store *store, const char *id, size_t id_len,
		      const struct store_attr *attr, unsigned flags, struct store_entry *entry,
		      struct ids_place *place, uint32_t *old_slot)
{
	int err = ids_locate(&store->ids, id, id_len, place);

	*old_slot = STORE_NO_SLOT;
	if (err == 0 && (flags & STORE_PUT_NEW) != 0)
		return ERR_EXISTS;
	if (err == 0) {
		ids_bucket_entry(place->found, entry);
		*old_slot = entry->slot;
		if ((flags & STORE_PUT_KEEP_ATTR) == 0)
			entry->attr = *attr;
		entry->attr.mtime_ns = attr->mtime_ns;
		return 0;
	}
	if (err != ERR_ABSENT)
		return err;
	commit_name_entry(entry, id, id_len);
	entry->attr = *attr;
	if ((flags & STORE_PUT_INO) == 0)
		entry->ino = store_new_ino(store);
	return 0;
}

/* Takes a slot and brings in what the put needs; a slot that turns out to be lost is left alone. */
static int take_slot(struct store *store, struct store_entry *entry, struct ids_place *place,
		     uint32_t old_slot, const void *value)
{
	for (;;) {
		int err = slots_take(&store->slots, &entry->slot);

		if (err != 0)
			return err;
		err = commit_prepare_put(store, entry, place, old_slot, value);
		if (err == 0)
			return 0;
		if (!slots_lost(&store->slots, entry->slot)) {
			slots_untake(&store->slots, entry->slot);
			return err;
		}
	}
}

int store_put(struct store *store, const char *id, size_t id_len, const void *value, size_t size,
	      const struct store_attr *attr, unsigned flags, store_commit_hook on_commit, void *ctx,
	      struct store_put_result *result_out)
{
	struct store_put_result result = {0};
	struct store_entry entry = {0};
	struct ids_place place;
	bool learnt = false;
	int err;

	if (id_len == 0 || id_len > FORMAT_ID_MAX)
		return ERR_NAME_LONG;
	if ((flags & STORE_PUT_INO) != 0)
		entry.ino = result_out->ino;
	err = begin(store);
	if (err == 0) {
		learnt = atomic_load(&store->slots.value_size) == 0;
		err = commit_set_value_size(store, size);
		learnt = learnt && err == 0;
	}
	if (err == 0)
		err = make_entry(store, id, id_len, attr, flags, &entry, &place, &result.old_slot);
	if (err == 0)
		err = take_room(store, ROOM_PUT, &place, id_len, NULL);
	if (err == 0)
		err = take_slot(store, &entry, &place, result.old_slot, value);
	if (err != 0)
		goto out;
	err = log_put(store, &entry, value, (uint32_t)size, &result.lsn);
	if (err != 0) {
		err = log_failed(store, err);
		slots_untake(&store->slots, entry.slot);
		goto out;
	}
	result.ino = entry.ino;
	result.slot = entry.slot;
	commit_lock_tables(store);
	commit_apply_put(store, &entry, &place, result.old_slot, result.lsn);
	if (on_commit != NULL)
		on_commit(ctx, &result);
	commit_unlock_tables(store, result.lsn);
	if (result_out != NULL)
		*result_out = result;
out:
	if (err != 0 && learnt)
		atomic_store(&store->slots.value_size, 0); /* no value of this size came about */
	end(store);
	if (err == 0)
		checkpoint_pressure(store, id_len + size);
	return err;
}

/* --- delete, rename, attributes --- */

int store_delete(struct store *store, const char *id, size_t id_len, store_commit_hook on_commit,
		 void *ctx, struct store_put_result *result_out)
{
	struct store_put_result result = {.slot = STORE_NO_SLOT};
	struct ids_place place;
	int err = begin(store);

	if (err == 0)
		err = ids_locate(&store->ids, id, id_len, &place);
	if (err == 0) {
		result.ino = get_u64(place.found->ino);
		result.old_slot = get_u32(place.found->slot);
		result.attr = ids_bucket_attr(place.found);
		err = commit_prepare_delete(store, id, id_len, &place);
	}
	if (err != 0)
		goto out;
	err = wal_append(store->wal, FORMAT_DELETE, &(struct wal_part){id, id_len}, 1, true,
			 &result.lsn);
	if (err != 0) {
		err = log_failed(store, err);
		goto out;
	}
	commit_lock_tables(store);
	ids_remove_at(&store->ids, &place);
	commit_apply_dead(store, result.old_slot, result.lsn);
	if (on_commit != NULL)
		on_commit(ctx, &result);
	commit_unlock_tables(store, result.lsn);
	if (result_out != NULL)
		*result_out = result;
out:
	end(store);
	if (err == 0)
		checkpoint_pressure(store, id_len);
	return err;
}

/* Each end may get the list of the other, which can be longer. What cannot be read is said later. */
static int take_room_to_rename(struct store *store, const struct store_entry *from,
			       const struct store_entry *to, bool exchange)
{
	struct ids_place from_place, to_place;
	struct xattrs xattrs = {NULL, 0};
	uint64_t index = 0;

	(void)ids_locate(&store->ids, from->id, from->id_len, &from_place);
	(void)ids_locate(&store->ids, to->id, to->id_len, &to_place);
	if (exchange && to_place.found != NULL) {
		xattrs = ids_bucket_xattrs(to_place.found);
		index = ids_reserve_pages(&store->ids, &from_place, from->id_len, &xattrs);
	}
	if (from_place.found != NULL)
		xattrs = ids_bucket_xattrs(from_place.found);
	index += ids_reserve_pages(&store->ids, &to_place, to->id_len, &xattrs);
	return room_take(store, ROOM_CHANGE, room_of_put(store, index));
}

static int log_rename(struct store *store, const struct store_entry *from,
		      const struct store_entry *to, bool exchange, uint64_t *lsn_out)
{
	struct format_rename head = {0};
	struct wal_part parts[3] = {
		{&head, sizeof(head)}, {from->id, from->id_len}, {to->id, to->id_len}};

	put_u32(head.flags, exchange ? 1 : 0);
	put_u16(head.from_length, from->id_len);
	put_u16(head.to_length, to->id_len);
	return wal_append(store->wal, FORMAT_RENAME, parts, 3, false, lsn_out);
}

int store_rename(struct store *store, const char *from_id, size_t from_len, const char *to_id,
		 size_t to_len, unsigned flags, store_commit_hook on_commit, void *ctx,
		 struct store_put_result *result_out)
{
	bool exchange = (flags & STORE_RENAME_EXCHANGE) != 0, exists = false;
	struct store_put_result result = {.old_slot = STORE_NO_SLOT};
	struct store_entry from = {0}, to = {0};
	struct commit_xattrs xattrs = {0};
	int err;

	if (to_len == 0 || to_len > FORMAT_ID_MAX)
		return ERR_NAME_LONG;
	commit_name_entry(&to, to_id, to_len);
	err = begin(store);
	if (err == 0)
		err = ids_find(&store->ids, from_id, from_len, &from);
	if (err == 0 && from_len == to_len && memcmp(from_id, to_id, to_len) == 0) {
		result.slot = from.slot;
		result.ino = from.ino;
		err = (flags & STORE_RENAME_KEEP) != 0 ? ERR_EXISTS : 0;
		goto out;
	}
	if (err == 0)
		err = take_room_to_rename(store, &from, &to, exchange);
	if (err == 0)
		err = commit_prepare_rename(store, &from, &to, flags, &exists, &xattrs);
	if (err != 0)
		goto out;
	err = log_rename(store, &from, &to, exchange, &result.lsn);
	if (err != 0) {
		err = log_failed(store, err);
		goto out;
	}
	result.ino = from.ino;
	result.slot = from.slot;
	if (exists && !exchange)
		result.old_slot = to.slot;
	commit_lock_tables(store);
	commit_apply_rename(store, &from, &to, &xattrs, exchange, result.old_slot, result.lsn);
	if (on_commit != NULL)
		on_commit(ctx, &result);
	commit_unlock_tables(store, result.lsn);
out:
	if (err == 0 && result_out != NULL)
		*result_out = result;
	end(store);
	commit_release_xattrs(&xattrs);
	if (err == 0)
		checkpoint_pressure(store, from_len + to_len);
	return err;
}

static void merge_attr(struct store_attr *into, const struct store_attr *attr, unsigned mask)
{
	if ((mask & STORE_ATTR_MODE) != 0)
		into->mode = attr->mode;
	if ((mask & STORE_ATTR_UID) != 0)
		into->uid = attr->uid;
	if ((mask & STORE_ATTR_GID) != 0)
		into->gid = attr->gid;
	if ((mask & STORE_ATTR_MTIME) != 0)
		into->mtime_ns = attr->mtime_ns;
}

/* Finds the entry of an id, and what it needs to be replaced. xattrs: as ids_put_at. */
static int begin_entry(struct store *store, const char *id, size_t id_len,
		       const struct xattrs *xattrs, struct ids_place *place_out,
		       struct store_entry *entry_out)
{
	int err = ids_locate(&store->ids, id, id_len, place_out);

	if (err == 0)
		err = take_room(store, ROOM_CHANGE, place_out, id_len, xattrs);
	if (err != 0)
		return err;
	ids_bucket_entry(place_out->found, entry_out);
	return ids_reserve_at(&store->ids, id, id_len, place_out, xattrs);
}

/* Logs what replaces the entry, then does it. */
static int replace_entry(struct store *store, enum format_record_type type,
			 const struct wal_part *parts, size_t count, struct ids_place *place,
			 const struct store_entry *entry, const struct xattrs *xattrs)
{
	uint64_t lsn;
	int err = wal_append(store->wal, type, parts, count, false, &lsn);

	if (err != 0)
		return log_failed(store, err);
	commit_lock_tables(store);
	ids_put_at(&store->ids, place, entry, xattrs);
	commit_unlock_tables(store, lsn);
	return 0;
}

int store_set_attr(struct store *store, const char *id, size_t id_len,
		   const struct store_attr *attr, unsigned mask)
{
	struct format_setattr head = {0};
	const struct wal_part parts[2] = {{&head, sizeof(head)}, {id, id_len}};
	struct store_entry entry = {0};
	struct ids_place place;
	int err = begin(store);

	if (err == 0)
		err = begin_entry(store, id, id_len, NULL, &place, &entry);
	if (err == 0) {
		merge_attr(&entry.attr, attr, mask);
		put_u64(head.mtime_ns, (uint64_t)entry.attr.mtime_ns);
		put_u32(head.mode, entry.attr.mode);
		put_u32(head.uid, entry.attr.uid);
		put_u32(head.gid, entry.attr.gid);
		put_u32(head.id_length, (uint32_t)id_len);
		err = replace_entry(store, FORMAT_SETATTR, parts, 2, &place, &entry, NULL);
	}
	end(store);
	if (err == 0)
		checkpoint_pressure(store, id_len);
	return err;
}

int store_set_xattrs(struct store *store, const char *id, size_t id_len,
		     const struct xattrs *xattrs)
{
	struct format_setxattr head = {0};
	const struct wal_part parts[3] = {
		{&head, sizeof(head)}, {id, id_len}, {xattrs->bytes, xattrs->len}};
	struct store_entry entry = {0};
	struct ids_place place;
	int err;

	if (xattrs->len > xattr_list_max(store->head.page_size))
		return ERR_TOO_BIG;
	if (!xattr_valid(xattrs->bytes, xattrs->len))
		return ERR_INVALID;
	err = begin(store);
	if (err == 0)
		err = begin_entry(store, id, id_len, xattrs, &place, &entry);
	if (err == 0) {
		put_u32(head.list_length, xattrs->len);
		put_u32(head.id_length, (uint32_t)id_len);
		err = replace_entry(store, FORMAT_SETXATTR, parts, 3, &place, &entry, xattrs);
	}
	end(store);
	if (err == 0)
		checkpoint_pressure(store, id_len + xattrs->len);
	return err;
}

int store_slot_release(struct store *store, uint32_t slot)
{
	struct slots_entry entry;
	int err = begin(store);

	if (err == 0)
		err = slots_get(&store->slots, slot, &entry);
	if (err == 0 && entry.state != STORE_SLOT_DEAD)
		err = ERR_INVALID;
	if (err == 0)
		err = slots_reserve(&store->slots, slot);
	if (err == 0) {
		entry.state = STORE_SLOT_FREE;
		commit_lock_tables(store);
		slots_set(&store->slots, slot, &entry);
		commit_unlock_tables(store, store->last_lsn);
		slots_freed(&store->slots, slot);
	}
	end(store);
	return err;
}

int store_slot_reclaim(struct store *store, uint32_t slot)
{
	struct slots_entry entry;
	int err = begin(store);

	if (err == 0)
		err = slots_get(&store->slots, slot, &entry);
	if (err == 0)
		err = slots_reserve(&store->slots, slot);
	if (err == 0 && (entry.state != STORE_SLOT_FREE || !slots_take_this(&store->slots, slot)))
		err = ERR_INVALID;
	if (err == 0) {
		entry.state = STORE_SLOT_DEAD;
		commit_lock_tables(store);
		slots_set(&store->slots, slot, &entry);
		commit_unlock_tables(store, store->last_lsn);
	}
	end(store);
	return err;
}
