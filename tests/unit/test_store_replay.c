/*
 * test_store_replay.c - records applied again: exactly what was there before, slots and numbers too;
 * and records with a right checksum that do not fit the state, which are damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/page.h"
#include "store/store_private.h"
#include "tests/support/store_fixture.h"

#define IDS 30u

static int get(struct store_fixture *f, uint32_t id, struct store_entry *entry_out)
{
	char name[32];
	size_t len = store_fixture_name(id, name);

	memset(entry_out, 0, sizeof(*entry_out));
	return store_get(f->store, name, len, entry_out, NULL);
}

/* Every kind of record; then each entry, with slot, inode number, LSN and attributes, as before. */
static void test_same_state(void **state)
{
	struct store_attr attr = {.mode = 0123, .uid = 45, .gid = 67, .mtime_ns = -8};
	static uint8_t value[STORE_FIXTURE_VALUE], moved_value[STORE_FIXTURE_VALUE];
	static const uint8_t some[] = {6, 2, 0, 'u', 's', 'e', 'r', '.', 'a', 0, 255};
	const struct xattrs xattrs = {some, sizeof(some)};
	uint8_t list[XATTRS_BYTES_MAX];
	uint32_t len;
	struct store_entry before[IDS], after, moved;
	enum store_slot_state states[64], now;
	int results[IDS];
	struct store_fixture f;
	struct store_stats was, is;
	uint64_t lsn;
	char name[32];

	(void)state;
	store_fixture_new(&f, NULL);
	for (uint32_t id = 0; id < IDS; id++)
		store_fixture_put(&f, id, 1);
	for (uint32_t id = 0; id < IDS; id += 3)
		store_fixture_put(&f, id, 2);
	assert_int_equal(store_slot_release(f.store, 3), 0);
	store_fixture_put(&f, 60, 1);
	assert_int_equal(get(&f, 60, &after), 0);
	assert_int_equal(after.slot, 3);		     /* used again, as the record says */
	assert_int_equal(store_slot_release(f.store, 0), 0); /* in no record: dead again */
	assert_int_equal(store_fixture_try_delete(&f, 4), 0);
	assert_int_equal(store_get(f.store, "vector-5", 8, &moved, moved_value), 0);
	assert_int_equal(store_fixture_try_rename(&f, 5, 40, 0), 0);
	assert_int_equal(store_fixture_try_rename(&f, 6, 7, 0), 0);
	assert_int_equal(store_fixture_try_rename(&f, 8, 9, STORE_RENAME_EXCHANGE), 0);
	assert_int_equal(store_set_attr(f.store, name, store_fixture_name(10, name), &attr, 15), 0);
	assert_int_equal(store_set_xattrs(f.store, name, store_fixture_name(11, name), &xattrs), 0);
	for (uint32_t id = 0; id < IDS; id++)
		results[id] = get(&f, id, &before[id]);
	store_get_stats(f.store, &was);
	for (uint32_t slot = 0; slot < was.slots; slot++)
		assert_int_equal(store_slot(f.store, slot, &states[slot], &lsn), 0);
	store_fixture_reopen(&f);
	store_get_stats(f.store, &is);
	assert_int_equal(is.last_lsn, was.last_lsn);
	assert_int_equal(is.slots, was.slots);
	assert_int_equal(is.live, was.live);
	assert_int_equal(is.dead, was.dead + 1);
	for (uint32_t slot = 0; slot < was.slots; slot++) {
		assert_int_equal(store_slot(f.store, slot, &now, &lsn), 0);
		assert_int_equal(now, slot == 0 ? STORE_SLOT_DEAD : states[slot]);
	}
	for (uint32_t id = 0; id < IDS; id++) {
		assert_int_equal(get(&f, id, &after), results[id]);
		assert_memory_equal(&after, &before[id], sizeof(after));
	}
	assert_int_equal(store_get_xattrs(f.store, name, store_fixture_name(11, name), list, &len),
			 0);
	assert_int_equal(len, xattrs.len);
	assert_memory_equal(list, xattrs.bytes, len);
	assert_int_equal(get(&f, 40, &after), 0);
	assert_int_equal(after.slot, moved.slot);
	assert_int_equal(after.ino, moved.ino);
	assert_int_equal(store_get(f.store, "vector-40", 9, NULL, value), 0);
	assert_memory_equal(value, moved_value, sizeof(value));
	assert_int_equal(get(&f, 60, &after), 0);
	assert_int_equal(after.slot, 3);
	/* numbers that were given are not given again */
	store_fixture_put(&f, 50, 1);
	assert_int_equal(get(&f, 50, &after), 0);
	for (uint32_t id = 0; id < IDS; id++)
		assert_true(results[id] != 0 || before[id].ino != after.ino);
	store_fixture_check(&f);
	store_fixture_free(&f);
}

/* --- records that do not fit --- */

struct bad_record {
	const char *what;
	uint8_t type;
	size_t len;
	uint8_t bytes[1024];
};

static struct bad_record bad[40];
static unsigned n_bad;

static struct bad_record *add_bad(const char *what, uint8_t type, const void *bytes, size_t len)
{
	struct bad_record *record = &bad[n_bad++];

	assert_true(n_bad <= sizeof(bad) / sizeof(*bad) && len <= sizeof(record->bytes));
	memset(record, 0, sizeof(*record));
	record->what = what;
	record->type = type;
	record->len = len;
	if (len > 0)
		memcpy(record->bytes, bytes, len);
	return record;
}

/* A whole PUT of "vector-1" into a slot. */
static struct bad_record *add_put(const char *what, uint32_t slot, uint32_t id_len, uint32_t size)
{
	uint8_t bytes[1024] = {0};
	struct format_put *put = (struct format_put *)bytes;

	put_u64(put->ino, 77);
	put_u32(put->slot, slot);
	put_u32(put->value_size, size);
	put_u32(put->id_length, id_len);
	memcpy(bytes + sizeof(*put), "vector-1", 8);
	return add_bad(what, FORMAT_PUT, bytes, sizeof(*put) + 8 + STORE_FIXTURE_VALUE);
}

static void add_rename(const char *what, const char *from, uint16_t from_len, const char *to,
		       uint16_t to_len, int32_t more)
{
	uint8_t bytes[64] = {0};
	struct format_rename *head = (struct format_rename *)bytes;
	size_t at = sizeof(*head);

	put_u16(head->from_length, from_len);
	put_u16(head->to_length, to_len);
	memcpy(bytes + at, from, strlen(from));
	at += strlen(from);
	memcpy(bytes + at, to, strlen(to));
	at += strlen(to);
	(void)add_bad(what, FORMAT_RENAME, bytes, (size_t)((int32_t)at + more));
}

static void add_setattr(const char *what, const char *id, uint32_t id_len)
{
	uint8_t bytes[64] = {0};
	struct format_setattr *head = (struct format_setattr *)bytes;

	put_u32(head->id_length, id_len);
	memcpy(bytes + sizeof(*head), id, strlen(id));
	(void)add_bad(what, FORMAT_SETATTR, bytes, sizeof(*head) + strlen(id));
}

/* With so many bytes of a list that says to be of list_len bytes; whole ones are of 10. */
static void add_setxattr(const char *what, const char *id, uint32_t id_len, uint32_t list_len,
			 size_t bytes_of_list)
{
	static const uint8_t list[10] = {4, 3, 0, 'u', 's', 'e', 'r', 1, 2, 3};
	uint8_t bytes[64] = {0};
	struct format_setxattr *head = (struct format_setxattr *)bytes;
	size_t at = sizeof(*head) + strlen(id);

	put_u32(head->id_length, id_len);
	put_u32(head->list_length, list_len);
	memcpy(bytes + sizeof(*head), id, strlen(id));
	memcpy(bytes + at, list, bytes_of_list);
	(void)add_bad(what, FORMAT_SETXATTR, bytes, at + bytes_of_list);
}

static void make_bad_records(void)
{
	static const uint8_t zeros[400];

	n_bad = 0;
	(void)add_bad("a PUT without a head", FORMAT_PUT, zeros, sizeof(struct format_put) - 1);
	(void)add_put("a PUT without an id", 3, 0, STORE_FIXTURE_VALUE);
	(void)add_put("a PUT with an endless id", 3, 256, STORE_FIXTURE_VALUE);
	(void)add_put("a PUT with another length of id", 3, 9, STORE_FIXTURE_VALUE);
	(void)add_put("a PUT with another size of value", 3, 8, STORE_FIXTURE_VALUE - 4);
	add_put("a PUT that is one size of value in both", 3, 8, STORE_FIXTURE_VALUE - 4)->len -= 4;
	(void)add_put("a PUT far behind all slots", 4 + FORMAT_PAGE_MAX / 4 + 1, 8,
		      STORE_FIXTURE_VALUE);
	(void)add_put("a PUT to the slot of no number", UINT32_MAX, 8, STORE_FIXTURE_VALUE);
	(void)add_bad("a DELETE of nothing", FORMAT_DELETE, NULL, 0);
	(void)add_bad("a DELETE of an endless id", FORMAT_DELETE, zeros, 256);
	(void)add_bad("a DELETE of an id that is not there", FORMAT_DELETE, "vector-9", 8);
	(void)add_bad("a RENAME without a head", FORMAT_RENAME, zeros,
		      sizeof(struct format_rename) - 1);
	add_rename("a RENAME from nothing", "", 0, "vector-9", 8, 0);
	add_rename("a RENAME to nothing", "vector-1", 8, "", 0, 0);
	add_rename("a RENAME that is too long", "vector-1", 8, "vector-9", 8, 1);
	add_rename("a RENAME that is too short", "vector-1", 8, "vector-9", 8, -1);
	add_rename("a RENAME of an id that is not there", "vector-8", 8, "vector-9", 8, 0);
	(void)add_bad("a SETATTR without a head", FORMAT_SETATTR, zeros,
		      sizeof(struct format_setattr) - 1);
	add_setattr("a SETATTR of nothing", "", 0);
	add_setattr("a SETATTR of an endless id", "vector-1", 256);
	add_setattr("a SETATTR of another length", "vector-1", 7);
	add_setattr("a SETATTR of an id that is not there", "vector-9", 8);
	(void)add_bad("a SETXATTR without a head", FORMAT_SETXATTR, zeros,
		      sizeof(struct format_setxattr) - 1);
	add_setxattr("a SETXATTR of nothing", "", 0, 0, 0);
	add_setxattr("a SETXATTR of an endless id", "vector-1", 256, 0, 0);
	add_setxattr("a SETXATTR of another length", "vector-1", 8, 10, 9);
	add_setxattr("a SETXATTR of more than there may be", "vector-1", 8,
		     FORMAT_PAGE_MAX / FORMAT_XATTRS_SHARE + 1, 10);
	add_setxattr("a SETXATTR with half an attribute", "vector-1", 8, 9, 9);
	add_setxattr("a SETXATTR of an id that is not there", "vector-9", 8, 10, 10);
}

static void test_hostile_records(void **state)
{
	struct store_fixture f;

	(void)state;
	make_bad_records();
	for (unsigned i = 0; i < n_bad; i++) {
		struct wal_part part = {bad[i].bytes, bad[i].len};
		uint64_t lsn;
		int err;

		store_fixture_new(&f, NULL);
		for (uint32_t id = 0; id < 4; id++)
			store_fixture_put(&f, id, 1);
		assert_int_equal(wal_append(f.store->wal, (enum format_record_type)bad[i].type,
					    &part, 1, false, &lsn),
				 0);
		store_fixture_put(&f, 2, 2);
		store_fixture_crash(&f);
		err = store_fixture_try_open(&f);
		if (err != ERR_DAMAGED)
			print_error("%s: %s\n", bad[i].what, err_str(err));
		assert_int_equal(err, ERR_DAMAGED);
		assert_non_null(strstr(f.msg.text, "WAL replay failed"));
		store_fixture_free(&f);
	}
	print_message("%u records\n", n_bad);
}

/* The same PUT, whole and right, to be sure that the others were refused for what is wrong. */
static void test_whole_record(void **state)
{
	struct store_fixture f;
	struct store_entry entry;
	struct wal_part part;
	uint64_t lsn;

	(void)state;
	n_bad = 0;
	(void)add_put("whole", 4, 8, STORE_FIXTURE_VALUE);
	part = (struct wal_part){bad[0].bytes, bad[0].len};
	store_fixture_new(&f, NULL);
	for (uint32_t id = 0; id < 4; id++)
		store_fixture_put(&f, id, 1);
	assert_int_equal(wal_append(f.store->wal, FORMAT_PUT, &part, 1, false, &lsn), 0);
	assert_int_equal(wal_append(f.store->wal, FORMAT_SYNC, NULL, 0, false, &lsn), 0);
	store_fixture_reopen(&f);
	assert_int_equal(f.report.replayed, 6);
	assert_int_equal(get(&f, 1, &entry), 0);
	assert_int_equal(entry.slot, 4);
	assert_int_equal(entry.ino, 77);
	store_fixture_check(&f);
	store_fixture_free(&f);
}

/* The pages that a record needs are bad: opening is refused, whatever kind the record is. */
static void test_damaged_pages(void **state)
{
	struct store_attr attr = {0};
	char name[32];

	(void)state;
	for (int op = 0; op < 4; op++) {
		struct store_fixture f;
		struct pager_page *page;
		struct place at;
		size_t len;

		store_fixture_new(&f, NULL);
		for (uint32_t id = 0; id < 4; id++)
			store_fixture_put(&f, id, 1);
		assert_int_equal(store_checkpoint(f.store), 0);
		assert_int_equal(store_checkpoint(f.store), 0);
		page = pager_page(f.store->pager, FORMAT_SPACE_BUCKET, 0);
		assert_true(place_unpack(page->place, &at));
		if (op == 0)
			store_fixture_put(&f, 1, 2);
		else if (op == 1)
			assert_int_equal(store_fixture_try_delete(&f, 1), 0);
		else if (op == 2)
			assert_int_equal(store_fixture_try_rename(&f, 1, 2, 0), 0);
		else
			assert_int_equal(store_set_attr(f.store, name, store_fixture_name(1, name),
							&attr, 15),
					 0);
		store_fixture_crash(&f);
		io_mem_head(f.medium, &len)[at.block * FORMAT_BLOCK + 20] ^= 1;
		assert_int_equal(store_fixture_try_open(&f), ERR_DAMAGED);
		assert_non_null(strstr(f.msg.text, "WAL replay failed"));
		store_fixture_free(&f);
	}
}

/* A value in the slot that its id has already, which no writer does, and what is no record at all. */
static void test_own_slot(void **state)
{
	static uint8_t bytes[sizeof(struct format_put) + 8 + STORE_FIXTURE_VALUE];
	static uint8_t value[STORE_FIXTURE_VALUE];
	struct format_put *put = (struct format_put *)bytes;
	struct wal_record record = {.type = FORMAT_PUT, .payload = bytes, .length = sizeof(bytes)};
	struct store_entry entry, after;
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	store_fixture_put(&f, 2, 1);
	assert_int_equal(get(&f, 1, &entry), 0);
	put_u64(put->ino, entry.ino);
	put_u32(put->slot, entry.slot);
	put_u32(put->value_size, STORE_FIXTURE_VALUE);
	put_u32(put->id_length, 8);
	memcpy(bytes + sizeof(*put), "vector-1", 8);
	memset(bytes + sizeof(*put) + 8, 0x3f, STORE_FIXTURE_VALUE);
	record.lsn = f.store->last_lsn + 1;
	commit_expect(f.store, &record); /* a hint */
	assert_int_equal(commit_replay(f.store, &record), 0);
	assert_int_equal(store_get(f.store, "vector-1", 8, &after, value), 0);
	assert_memory_equal(value, bytes + sizeof(*put) + 8, sizeof(value));
	assert_int_equal(after.slot, entry.slot);
	assert_int_equal(after.lsn, record.lsn);
	store_fixture_expect(&f, 2, 1);
	store_fixture_check(&f);
	record.lsn++;
	put_u32(put->id_length, 200); /* more than there is */
	record.length = sizeof(*put) + 100;
	commit_expect(f.store, &record);
	assert_int_equal(commit_replay(f.store, &record), ERR_DAMAGED);
	record.type = FORMAT_SYNC + 1;
	commit_expect(f.store, &record);
	assert_int_equal(commit_replay(f.store, &record), ERR_DAMAGED);
	store_fixture_check(&f);
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_state),   cmocka_unit_test(test_hostile_records),
		cmocka_unit_test(test_whole_record), cmocka_unit_test(test_damaged_pages),
		cmocka_unit_test(test_own_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
