/*
 * commit.c - the write path: one record into the log, then the same change in memory.
 *
 * Each operation has three steps. Prepare: everything that can fail for want of memory, space or a
 * readable page happens before the log, and changes nothing a reader can tell. Log: one record.
 * Apply: under ids->lock, cannot fail. Replay is apply without log, from the record's payload.
 *
 * Invariant: after apply the tables in memory are what replaying all records up to last_lsn onto the
 * newest checkpoint gives.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/mem.h"
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

/* The log refused: after anything but a full disk nothing more may be written. */
static int log_failed(struct store *store, int err)
{
	if (err != ERR_FULL && err != ERR_NOMEM)
		store_poison(store);
	return err;
}

/* Brings in what changing or removing an existing id needs. */
static int prepare_existing(struct store *store, const struct store_entry *entry)
{
	int err = ids_reserve(&store->ids, entry->id, entry->id_len);

	return err != 0 ? err : slots_reserve(&store->slots, entry->slot);
}

static int set_value_size(struct store *store, size_t size)
{
	uint32_t known = atomic_load(&store->slots.value_size);

	if (known == 0 && size > 0 && size <= FORMAT_VALUE_MAX && size % 4 == 0) {
		atomic_store(&store->slots.value_size, (uint32_t)size);
		return 0;
	}
	return size == known && size != 0 ? 0 : ERR_INVALID;
}

/* --- apply, shared with replay --- */

static void mark_dead(struct store *store, uint32_t slot, uint64_t lsn)
{
	slots_set(&store->slots, slot, &(struct slots_entry){0, lsn, STORE_SLOT_DEAD});
}

/* entry->slot is the new slot; old_slot dies. */
static void apply_put(struct store *store, const struct store_entry *entry, uint32_t old_slot,
		      uint64_t lsn)
{
	struct slots_entry live = {ids_hash(&store->ids, entry->id, entry->id_len), lsn,
				   STORE_SLOT_LIVE};

	ids_put(&store->ids, entry);
	slots_set(&store->slots, entry->slot, &live);
	if (old_slot != STORE_NO_SLOT)
		mark_dead(store, old_slot, lsn);
	if (entry->ino >= store->next_ino)
		store->next_ino = entry->ino + 1;
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

static void rename_entry(struct store_entry *entry, const char *id, size_t len)
{
	memcpy(entry->id, id, len);
	entry->id[len] = '\0';
	entry->id_len = (uint16_t)len;
}

static void apply_rename(struct store *store, struct store_entry *from, struct store_entry *to,
			 bool exchange, uint32_t old_slot, uint64_t lsn)
{
	struct store_entry old = *from;

	ids_remove(&store->ids, from->id, from->id_len);
	rename_entry(from, to->id, to->id_len);
	if (exchange) {
		rename_entry(to, old.id, old.id_len);
		ids_put(&store->ids, to);
		move_slot(store, to);
	}
	ids_put(&store->ids, from);
	move_slot(store, from);
	if (old_slot != STORE_NO_SLOT)
		mark_dead(store, old_slot, lsn);
}

static void lock_tables(struct store *store)
{
	(void)pthread_rwlock_wrlock(&store->ids.lock);
}

static void unlock_tables(struct store *store, uint64_t lsn)
{
	store->last_lsn = lsn;
	atomic_store(&store->commits_since, true);
	(void)pthread_rwlock_unlock(&store->ids.lock);
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

/* Brings in all pages of a put and writes the value into its slot, where nobody looks yet. */
static int prepare_put(struct store *store, const struct store_entry *entry, uint32_t old_slot,
		       const void *value)
{
	int err = slots_write_value(&store->slots, entry->slot, value);

	if (err == 0)
		err = slots_reserve(&store->slots, entry->slot);
	if (err == 0 && old_slot != STORE_NO_SLOT)
		err = slots_reserve(&store->slots, old_slot);
	if (err == 0)
		err = ids_reserve(&store->ids, entry->id, entry->id_len);
	return err;
}

/* What will stand under the id: identity from the old entry, attributes as the flags say. */
static int make_entry(struct store *store, const char *id, size_t id_len,
		      const struct store_attr *attr, unsigned flags, struct store_entry *entry,
		      uint32_t *old_slot)
{
	int err = ids_find(&store->ids, id, id_len, entry);

	*old_slot = STORE_NO_SLOT;
	if (err == 0 && (flags & STORE_PUT_NEW) != 0)
		return ERR_EXISTS;
	if (err == 0) {
		*old_slot = entry->slot;
		if ((flags & STORE_PUT_KEEP_ATTR) == 0)
			entry->attr = *attr;
		entry->attr.mtime_ns = attr->mtime_ns;
		return 0;
	}
	if (err != ERR_ABSENT)
		return err;
	rename_entry(entry, id, id_len);
	entry->attr = *attr;
	entry->ino = store->next_ino;
	return 0;
}

int store_put(struct store *store, const char *id, size_t id_len, const void *value, size_t size,
	      const struct store_attr *attr, unsigned flags, store_commit_hook on_commit, void *ctx,
	      struct store_put_result *result_out)
{
	struct store_put_result result = {0};
	struct store_entry entry = {0};
	bool learnt = false;
	int err;

	if (id_len == 0 || id_len > FORMAT_ID_MAX)
		return ERR_NAME_LONG;
	err = begin(store);
	if (err == 0) {
		learnt = atomic_load(&store->slots.value_size) == 0;
		err = set_value_size(store, size);
		learnt = learnt && err == 0;
	}
	if (err == 0)
		err = make_entry(store, id, id_len, attr, flags, &entry, &result.old_slot);
	if (err == 0)
		err = slots_take(&store->slots, &entry.slot);
	if (err != 0)
		goto out;
	err = prepare_put(store, &entry, result.old_slot, value);
	if (err == 0) {
		err = log_put(store, &entry, value, (uint32_t)size, &result.lsn);
		if (err != 0)
			err = log_failed(store, err);
	}
	if (err != 0) {
		slots_untake(&store->slots, entry.slot);
		goto out;
	}
	result.ino = entry.ino;
	result.slot = entry.slot;
	lock_tables(store);
	apply_put(store, &entry, result.old_slot, result.lsn);
	if (on_commit != NULL)
		on_commit(ctx, &result);
	unlock_tables(store, result.lsn);
	if (result_out != NULL)
		*result_out = result;
out:
	if (err != 0 && learnt)
		atomic_store(&store->slots.value_size, 0); /* no value of this size came about */
	end(store);
	if (err == 0)
		checkpoint_pressure(store);
	return err;
}

/* --- delete, rename, attributes --- */

int store_delete(struct store *store, const char *id, size_t id_len, store_commit_hook on_commit,
		 void *ctx, struct store_put_result *result_out)
{
	struct store_put_result result = {.slot = STORE_NO_SLOT};
	struct store_entry entry = {0};
	int err = begin(store);

	if (err == 0)
		err = ids_find(&store->ids, id, id_len, &entry);
	if (err == 0)
		err = prepare_existing(store, &entry);
	if (err != 0)
		goto out;
	err = wal_append(store->wal, FORMAT_DELETE, &(struct wal_part){id, id_len}, 1, true,
			 &result.lsn);
	if (err != 0) {
		err = log_failed(store, err);
		goto out;
	}
	result.ino = entry.ino;
	result.old_slot = entry.slot;
	lock_tables(store);
	ids_remove(&store->ids, id, id_len);
	mark_dead(store, entry.slot, result.lsn);
	if (on_commit != NULL)
		on_commit(ctx, &result);
	unlock_tables(store, result.lsn);
	if (result_out != NULL)
		*result_out = result;
out:
	end(store);
	if (err == 0)
		checkpoint_pressure(store);
	return err;
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

/* Finds both ends of a rename and brings their pages in; *exists: the target is there. */
static int prepare_rename(struct store *store, struct store_entry *from, struct store_entry *to,
			  unsigned flags, bool *exists)
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
	err = prepare_existing(store, from);
	if (err == 0 && *exists)
		err = slots_reserve(&store->slots, to->slot);
	if (err == 0)
		err = ids_reserve(&store->ids, to->id, to->id_len);
	return err;
}

int store_rename(struct store *store, const char *from_id, size_t from_len, const char *to_id,
		 size_t to_len, unsigned flags, store_commit_hook on_commit, void *ctx,
		 struct store_put_result *result_out)
{
	bool exchange = (flags & STORE_RENAME_EXCHANGE) != 0, exists = false;
	struct store_put_result result = {.old_slot = STORE_NO_SLOT};
	struct store_entry from = {0}, to = {0};
	int err;

	if (to_len == 0 || to_len > FORMAT_ID_MAX)
		return ERR_NAME_LONG;
	rename_entry(&to, to_id, to_len);
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
		err = prepare_rename(store, &from, &to, flags, &exists);
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
	lock_tables(store);
	apply_rename(store, &from, &to, exchange, result.old_slot, result.lsn);
	if (on_commit != NULL)
		on_commit(ctx, &result);
	unlock_tables(store, result.lsn);
out:
	if (err == 0 && result_out != NULL)
		*result_out = result;
	end(store);
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

int store_set_attr(struct store *store, const char *id, size_t id_len,
		   const struct store_attr *attr, unsigned mask)
{
	struct format_setattr head = {0};
	struct wal_part parts[2] = {{&head, sizeof(head)}, {id, id_len}};
	struct store_entry entry = {0};
	uint64_t lsn;
	int err = begin(store);

	if (err == 0)
		err = ids_find(&store->ids, id, id_len, &entry);
	if (err == 0)
		err = ids_reserve(&store->ids, id, id_len);
	if (err != 0)
		goto out;
	merge_attr(&entry.attr, attr, mask);
	put_u64(head.mtime_ns, (uint64_t)entry.attr.mtime_ns);
	put_u32(head.mode, entry.attr.mode);
	put_u32(head.uid, entry.attr.uid);
	put_u32(head.gid, entry.attr.gid);
	put_u32(head.id_length, (uint32_t)id_len);
	err = wal_append(store->wal, FORMAT_SETATTR, parts, 2, false, &lsn);
	if (err != 0) {
		err = log_failed(store, err);
		goto out;
	}
	lock_tables(store);
	ids_put(&store->ids, &entry);
	unlock_tables(store, lsn);
out:
	end(store);
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
		lock_tables(store);
		slots_set(&store->slots, slot, &entry);
		unlock_tables(store, store->last_lsn);
		slots_freed(&store->slots, slot);
	}
	end(store);
	return err;
}

/* --- replay --- */

static bool id_fits(size_t len)
{
	return len > 0 && len <= FORMAT_ID_MAX;
}

static int replay_put(struct store *store, const struct wal_record *record)
{
	const struct format_put *put = (const struct format_put *)record->payload;
	struct store_entry entry = {0}, old = {0};
	uint32_t id_len, size, old_slot = STORE_NO_SLOT;
	int err;

	if (record->length < sizeof(*put))
		return ERR_DAMAGED;
	id_len = get_u32(put->id_length);
	size = get_u32(put->value_size);
	if (!id_fits(id_len) || record->length != sizeof(*put) + round_up(id_len, 8) + size ||
	    set_value_size(store, size) != 0 ||
	    get_u32(put->slot) > atomic_load(&store->slots.count))
		return ERR_DAMAGED;
	rename_entry(&entry, (const char *)record->payload + sizeof(*put), id_len);
	entry.ino = get_u64(put->ino);
	entry.slot = get_u32(put->slot);
	entry.attr.mtime_ns = (int64_t)get_u64(put->mtime_ns);
	entry.attr.mode = get_u32(put->mode);
	entry.attr.uid = get_u32(put->uid);
	entry.attr.gid = get_u32(put->gid);
	err = ids_find(&store->ids, entry.id, id_len, &old);
	if (err == 0 && old.slot != entry.slot)
		old_slot = old.slot;
	else if (err != 0 && err != ERR_ABSENT)
		return err;
	err = prepare_put(store, &entry, old_slot,
			  record->payload + sizeof(*put) + round_up(id_len, 8));
	if (err == 0) {
		lock_tables(store);
		apply_put(store, &entry, old_slot, record->lsn);
		unlock_tables(store, record->lsn);
	}
	return err;
}

static int replay_delete(struct store *store, const struct wal_record *record)
{
	const char *id = (const char *)record->payload;
	struct store_entry entry = {0};
	int err;

	if (!id_fits(record->length))
		return ERR_DAMAGED;
	err = ids_find(&store->ids, id, record->length, &entry);
	if (err == 0)
		err = prepare_existing(store, &entry);
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	lock_tables(store);
	ids_remove(&store->ids, id, record->length);
	mark_dead(store, entry.slot, record->lsn);
	unlock_tables(store, record->lsn);
	return 0;
}

static int replay_rename(struct store *store, const struct wal_record *record)
{
	const struct format_rename *head = (const struct format_rename *)record->payload;
	const char *ids = (const char *)record->payload + sizeof(*head);
	struct store_entry from = {0}, to = {0};
	uint32_t from_len, to_len, old_slot = STORE_NO_SLOT;
	bool exchange, exists;
	int err;

	if (record->length < sizeof(*head))
		return ERR_DAMAGED;
	from_len = get_u16(head->from_length);
	to_len = get_u16(head->to_length);
	exchange = get_u32(head->flags) == 1;
	if (!id_fits(from_len) || !id_fits(to_len) ||
	    record->length != sizeof(*head) + from_len + to_len)
		return ERR_DAMAGED;
	rename_entry(&to, ids + from_len, to_len);
	err = ids_find(&store->ids, ids, from_len, &from);
	if (err == 0)
		err = prepare_rename(store, &from, &to, exchange ? STORE_RENAME_EXCHANGE : 0,
				     &exists);
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	if (exists && !exchange)
		old_slot = to.slot;
	lock_tables(store);
	apply_rename(store, &from, &to, exchange, old_slot, record->lsn);
	unlock_tables(store, record->lsn);
	return 0;
}

static int replay_setattr(struct store *store, const struct wal_record *record)
{
	const struct format_setattr *head = (const struct format_setattr *)record->payload;
	const char *id = (const char *)record->payload + sizeof(*head);
	struct store_entry entry = {0};
	uint32_t id_len;
	int err;

	if (record->length < sizeof(*head))
		return ERR_DAMAGED;
	id_len = get_u32(head->id_length);
	if (!id_fits(id_len) || record->length != sizeof(*head) + id_len)
		return ERR_DAMAGED;
	err = ids_find(&store->ids, id, id_len, &entry);
	if (err == 0)
		err = ids_reserve(&store->ids, id, id_len);
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	entry.attr.mtime_ns = (int64_t)get_u64(head->mtime_ns);
	entry.attr.mode = get_u32(head->mode);
	entry.attr.uid = get_u32(head->uid);
	entry.attr.gid = get_u32(head->gid);
	lock_tables(store);
	ids_put(&store->ids, &entry);
	unlock_tables(store, record->lsn);
	return 0;
}

int commit_replay(struct store *store, const struct wal_record *record)
{
	int err = ERR_DAMAGED;

	epoch_enter(store->epoch);
	if (record->type == FORMAT_PUT)
		err = replay_put(store, record);
	else if (record->type == FORMAT_DELETE)
		err = replay_delete(store, record);
	else if (record->type == FORMAT_RENAME)
		err = replay_rename(store, record);
	else if (record->type == FORMAT_SETATTR)
		err = replay_setattr(store, record);
	else if (record->type == FORMAT_SYNC) {
		store->last_lsn = record->lsn;
		err = 0;
	}
	epoch_leave(store->epoch);
	return err;
}
