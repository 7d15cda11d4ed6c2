/*
 * replay.c - records of the log, applied to memory again while the store is opened.
 *
 * A record was written by commit.c against exactly the state that replay finds, so whatever does not
 * fit that state is damage, whatever its checksum says.
 */
#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/commit_apply.h"
#include "store/ids_bucket.h"
#include "store/store_private.h"

static bool id_fits(size_t len)
{
	return len > 0 && len <= FORMAT_ID_MAX;
}

/*
 * Most slots that a writer can have left out at the end of a damaged page: those of a page with the
 * smallest values.
 */
#define SLOTS_LEFT_OUT (FORMAT_PAGE_MAX / 4)

/*
 * Brings in what a put needs. The slot of the record may be of no use here: its page was damaged since,
 * or it was given to such a record before. Then the value goes into one that was never used. own: the
 * id has this slot already.
 */
static int prepare_put(struct store *store, struct store_entry *entry, struct ids_place *place,
		       bool own, uint32_t old_slot, const void *value)
{
	struct slots_entry there;
	int err = slots_get(&store->slots, entry->slot, &there);

	if (err != 0 && err != ERR_ABSENT)
		return err;
	if (err == 0 && there.state == STORE_SLOT_LIVE && !own)
		err = slots_take_new(&store->slots, &entry->slot);
	else
		err = 0;
	if (err == 0)
		err = commit_prepare_put(store, entry, place, old_slot, value);
	if ((err == ERR_DAMAGED || err == ERR_IO) && slots_lost(&store->slots, entry->slot)) {
		err = slots_take_new(&store->slots, &entry->slot);
		if (err == 0)
			err = commit_prepare_put(store, entry, place, old_slot, value);
	}
	return err;
}

static int replay_put(struct store *store, const struct wal_record *record)
{
	const struct format_put *put = (const struct format_put *)record->payload;
	struct store_entry entry = {0};
	struct ids_place place;
	uint32_t id_len, size, old_slot = STORE_NO_SLOT;
	bool own;
	int err;

	if (record->length < sizeof(*put))
		return ERR_DAMAGED;
	id_len = get_u32(put->id_length);
	size = get_u32(put->value_size);
	if (!id_fits(id_len) || record->length != sizeof(*put) + round_up(id_len, 8) + size ||
	    commit_set_value_size(store, size) != 0 ||
	    get_u32(put->slot) > atomic_load(&store->slots.count) + SLOTS_LEFT_OUT)
		return ERR_DAMAGED;
	commit_name_entry(&entry, (const char *)record->payload + sizeof(*put), id_len);
	entry.ino = get_u64(put->ino);
	entry.slot = get_u32(put->slot);
	entry.attr.mtime_ns = (int64_t)get_u64(put->mtime_ns);
	entry.attr.mode = get_u32(put->mode);
	entry.attr.uid = get_u32(put->uid);
	entry.attr.gid = get_u32(put->gid);
	err = ids_locate(&store->ids, entry.id, id_len, &place);
	if (err != 0 && err != ERR_ABSENT)
		return err;
	own = err == 0 && get_u32(place.found->slot) == entry.slot;
	if (err == 0 && !own)
		old_slot = get_u32(place.found->slot);
	err = prepare_put(store, &entry, &place, own, old_slot,
			  record->payload + sizeof(*put) + round_up(id_len, 8));
	if (err == 0) {
		commit_lock_tables(store);
		commit_apply_put(store, &entry, &place, old_slot, record->lsn);
		commit_unlock_tables(store, record->lsn);
	}
	return err;
}

static int replay_delete(struct store *store, const struct wal_record *record)
{
	const char *id = (const char *)record->payload;
	struct ids_place place;
	uint32_t slot = STORE_NO_SLOT;
	int err;

	if (!id_fits(record->length))
		return ERR_DAMAGED;
	err = ids_locate(&store->ids, id, record->length, &place);
	if (err == 0) {
		slot = get_u32(place.found->slot);
		err = commit_prepare_delete(store, id, record->length, &place);
	}
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	commit_lock_tables(store);
	ids_remove_at(&store->ids, &place);
	commit_apply_dead(store, slot, record->lsn);
	commit_unlock_tables(store, record->lsn);
	return 0;
}

static int replay_rename(struct store *store, const struct wal_record *record)
{
	const struct format_rename *head = (const struct format_rename *)record->payload;
	const char *ids = (const char *)record->payload + sizeof(*head);
	struct store_entry from = {0}, to = {0};
	struct commit_xattrs xattrs = {0};
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
	commit_name_entry(&to, ids + from_len, to_len);
	err = ids_find(&store->ids, ids, from_len, &from);
	if (err == 0)
		err = commit_prepare_rename(store, &from, &to, exchange ? STORE_RENAME_EXCHANGE : 0,
					    &exists, &xattrs);
	if (err == 0) {
		if (exists && !exchange)
			old_slot = to.slot;
		commit_lock_tables(store);
		commit_apply_rename(store, &from, &to, &xattrs, exchange, old_slot, record->lsn);
		commit_unlock_tables(store, record->lsn);
	}
	commit_release_xattrs(&xattrs);
	return err == ERR_ABSENT ? ERR_DAMAGED : err;
}

static int replay_setattr(struct store *store, const struct wal_record *record)
{
	const struct format_setattr *head = (const struct format_setattr *)record->payload;
	const char *id = (const char *)record->payload + sizeof(*head);
	struct store_entry entry = {0};
	struct ids_place place;
	uint32_t id_len;
	int err;

	if (record->length < sizeof(*head))
		return ERR_DAMAGED;
	id_len = get_u32(head->id_length);
	if (!id_fits(id_len) || record->length != sizeof(*head) + id_len)
		return ERR_DAMAGED;
	err = ids_locate(&store->ids, id, id_len, &place);
	if (err == 0) {
		ids_bucket_entry(place.found, &entry);
		err = ids_reserve_at(&store->ids, id, id_len, &place, NULL);
	}
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	entry.attr.mtime_ns = (int64_t)get_u64(head->mtime_ns);
	entry.attr.mode = get_u32(head->mode);
	entry.attr.uid = get_u32(head->uid);
	entry.attr.gid = get_u32(head->gid);
	commit_lock_tables(store);
	ids_put_at(&store->ids, &place, &entry, NULL);
	commit_unlock_tables(store, record->lsn);
	return 0;
}

static int replay_setxattr(struct store *store, const struct wal_record *record)
{
	const struct format_setxattr *head = (const struct format_setxattr *)record->payload;
	const char *id = (const char *)record->payload + sizeof(*head);
	struct store_entry entry = {0};
	struct ids_place place;
	struct xattrs xattrs;
	uint32_t id_len;
	int err;

	if (record->length < sizeof(*head))
		return ERR_DAMAGED;
	id_len = get_u32(head->id_length);
	xattrs.len = get_u32(head->list_length);
	if (!id_fits(id_len) || xattrs.len > xattr_list_max(store->head.page_size) ||
	    record->length != sizeof(*head) + id_len + xattrs.len)
		return ERR_DAMAGED;
	xattrs.bytes = (const uint8_t *)id + id_len;
	if (!xattr_valid(xattrs.bytes, xattrs.len))
		return ERR_DAMAGED;
	err = ids_locate(&store->ids, id, id_len, &place);
	if (err == 0) {
		ids_bucket_entry(place.found, &entry);
		err = ids_reserve_at(&store->ids, id, id_len, &place, &xattrs);
	}
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	commit_lock_tables(store);
	ids_put_at(&store->ids, &place, &entry, &xattrs);
	commit_unlock_tables(store, record->lsn);
	return 0;
}

void commit_expect(struct store *store, const struct wal_record *record)
{
	const struct format_put *put = (const struct format_put *)record->payload;
	uint32_t id_len;

	if (record->type != FORMAT_PUT || record->length < sizeof(*put))
		return;
	id_len = get_u32(put->id_length);
	if (!id_fits(id_len) || id_len > record->length - sizeof(*put))
		return;
	epoch_enter(store->epoch);
	ids_prefetch(&store->ids, (const char *)record->payload + sizeof(*put), id_len);
	epoch_leave(store->epoch);
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
	else if (record->type == FORMAT_SETXATTR)
		err = replay_setxattr(store, record);
	else if (record->type == FORMAT_SYNC) {
		store->last_lsn = record->lsn;
		err = 0;
	}
	epoch_leave(store->epoch);
	return err;
}
