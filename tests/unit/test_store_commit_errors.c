/*
 * test_store_commit_errors.c - changes that cannot be prepared: pages do not read, memory is short, or
 * slot table and index contradict each other. An error and nothing changed, and the store works on;
 * the same when a log is replayed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/store_private.h"
#include "tests/support/store_fixture.h"

#define IDS 12u
#define NOBODY 40u /* an id that is not there */

static const uint8_t list_bytes[] = {6, 2, 0, 'u', 's', 'e', 'r', '.', 'a', 1, 2};

/* --- what is there --- */

struct image {
	int err[IDS];
	struct store_entry entry[IDS];
	uint8_t value[IDS][STORE_FIXTURE_VALUE];
	uint32_t list_len[IDS];
};

static void look(struct store_fixture *f, struct image *out)
{
	uint8_t list[XATTRS_BYTES_MAX];
	char name[32];

	memset(out, 0, sizeof(*out));
	for (uint32_t id = 0; id < IDS; id++) {
		size_t len = store_fixture_name(id, name);

		out->err[id] = store_get(f->store, name, len, &out->entry[id], out->value[id]);
		if (out->err[id] == 0)
			assert_int_equal(
				store_get_xattrs(f->store, name, len, list, &out->list_len[id]), 0);
	}
}

static bool same(const struct image *a, const struct image *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void forget_slots(struct image *image)
{
	for (uint32_t id = 0; id < IDS; id++)
		image->entry[id].slot = 0;
}

/* --- changes --- */

enum op { OP_PUT, OP_NEW, OP_DELETE, OP_RENAME, OP_REPLACE, OP_EXCHANGE, OP_ATTR, OP_LIST, OPS };

static const char *const op_names[] = {"put",	  "new put",  "delete",	    "rename",
				       "replace", "exchange", "attributes", "list"};

/* Each is about id 1; where it is about two, the other one is id 2. */
static int run(struct store_fixture *f, enum op op)
{
	const struct xattrs list = {list_bytes, sizeof(list_bytes)};
	struct store_attr attr = {.mode = 0123};
	char name[32];
	size_t len = store_fixture_name(1, name);

	switch (op) {
	case OP_PUT:
		return store_fixture_try_put(f, 1, 3);
	case OP_NEW:
		return store_fixture_try_put(f, NOBODY, 3);
	case OP_DELETE:
		return store_fixture_try_delete(f, 1);
	case OP_RENAME:
		return store_fixture_try_rename(f, 1, NOBODY, 0);
	case OP_REPLACE:
		return store_fixture_try_rename(f, 1, 2, 0);
	case OP_EXCHANGE:
		return store_fixture_try_rename(f, 1, 2, STORE_RENAME_EXCHANGE);
	case OP_ATTR:
		return store_set_attr(f->store, name, len, &attr, STORE_ATTR_MODE);
	default:
		return store_set_xattrs(f->store, name, len, &list);
	}
}

static void set_list(struct store_fixture *f, uint32_t id)
{
	const struct xattrs list = {list_bytes, sizeof(list_bytes)};
	char name[32];

	assert_int_equal(store_set_xattrs(f->store, name, store_fixture_name(id, name), &list), 0);
}

/* Some vectors on disk, ids 1 and 2 with extended attributes. */
static void start(struct store_fixture *f)
{
	store_fixture_new(f, NULL);
	for (uint32_t id = 0; id < IDS; id++)
		store_fixture_put(f, id, 1);
	set_list(f, 1);
	set_list(f, 2);
	assert_int_equal(store_checkpoint(f->store), 0);
}

static uint64_t calls, fail_at;
static bool for_ever;

static bool due(void)
{
	calls++;
	return calls == fail_at || (for_ever && calls > fail_at);
}

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return due();
}

static int fail_read(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	return strcmp(call, "read") == 0 && due() ? ERR_IO : 0;
}

static void set_faults(struct store_fixture *f, bool memory, uint64_t nth)
{
	calls = 0;
	fail_at = nth;
	if (memory)
		mem_set_fault(fail_allocation, NULL);
	else
		io_mem_set_fault(f->medium, fail_read, NULL);
}

/* Whether the fault happened. */
static bool take_faults(struct store_fixture *f)
{
	mem_set_fault(NULL, NULL);
	io_mem_set_fault(f->medium, NULL, NULL);
	return fail_at != 0 && calls >= fail_at;
}

/* --- the tests --- */

/* Each read and each allocation that a change needs fails, once or from then on. */
static void test_prepare_fails(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (unsigned i = 0; i < 4 * OPS; i++) {
		enum op op = (enum op)(i / 4);
		bool memory = i % 2 != 0, hit = true;

		for_ever = i / 2 % 2 != 0;
		for (uint64_t nth = 1; hit; nth++) {
			static struct image before, after;
			struct store_fixture f;
			int err;

			start(&f);
			look(&f, &before);
			pager_drop(f.store->pager);
			set_faults(&f, memory, nth);
			err = run(&f, op);
			hit = take_faults(&f);
			if (err != 0 && (!hit || err != (memory ? ERR_NOMEM : ERR_IO))) {
				print_error("%s: %s\n", op_names[op], err_str(err));
				fail();
			}
			look(&f, &after);
			if (err != 0)
				assert_true(same(&before, &after));
			failures += err != 0;
			store_fixture_check(&f);
			if (err != 0)
				assert_int_equal(run(&f, op), 0);
			store_fixture_reopen(&f);
			store_fixture_check(&f);
			assert_true(nth < 200);
			store_fixture_free(&f);
		}
	}
	assert_true(failures > 50);
	print_message("%u changes could not be prepared\n", failures);
}

enum lie { LIE_DEAD, LIE_HASH, LIES };

/* The slot table says of id's slot that it is dead, or another id's. */
static void lie_about(struct store_fixture *f, uint32_t id, enum lie lie)
{
	struct store_entry entry;
	struct slots_entry slot;
	char name[32];

	assert_int_equal(store_get(f->store, name, store_fixture_name(id, name), &entry, NULL), 0);
	epoch_enter(f->store->epoch);
	assert_int_equal(slots_get(&f->store->slots, entry.slot, &slot), 0);
	assert_int_equal(slots_reserve(&f->store->slots, entry.slot), 0);
	if (lie == LIE_DEAD)
		slot.state = STORE_SLOT_DEAD;
	else
		slot.id_hash ^= 1;
	slots_set(&f->store->slots, entry.slot, &slot);
	epoch_leave(f->store->epoch);
}

/* A slot that would die is not this id's: nothing is taken from whoever has it. */
static void test_contradictions(void **state)
{
	static const struct {
		enum op op;
		uint32_t id; /* of whose slot the table lies */
	} cases[] = {{OP_PUT, 1},     {OP_DELETE, 1},	{OP_RENAME, 1},	 {OP_REPLACE, 1},
		     {OP_REPLACE, 2}, {OP_EXCHANGE, 1}, {OP_EXCHANGE, 2}};

	(void)state;
	for (size_t i = 0; i < LIES * sizeof(cases) / sizeof(*cases); i++) {
		static struct image before, after;
		struct store_fixture f;

		start(&f);
		lie_about(&f, cases[i / LIES].id, (enum lie)(i % LIES));
		look(&f, &before);
		assert_int_equal(run(&f, cases[i / LIES].op), ERR_DAMAGED);
		look(&f, &after);
		assert_true(same(&before, &after));
		store_fixture_put(&f, 5, 4);
		assert_int_equal(store_checkpoint(f.store), 0);
		store_fixture_free(&f);
	}
}

/* The index names a slot beyond all there are. */
static void test_slot_beyond(void **state)
{
	struct store_fixture f;
	uint32_t count;

	(void)state;
	start(&f);
	count = atomic_load(&f.store->slots.count);
	atomic_store(&f.store->slots.count, 1); /* id 0 has slot 0 */
	assert_int_equal(store_fixture_try_delete(&f, 1), ERR_DAMAGED);
	assert_int_equal(store_fixture_try_rename(&f, 1, 2, 0), ERR_DAMAGED);
	atomic_store(&f.store->slots.count, count);
	assert_int_equal(store_fixture_try_delete(&f, 1), 0);
	store_fixture_check(&f);
	store_fixture_free(&f);
}

/* The same while the records of all changes are replayed: the opening fails, and finds all later. */
static void test_replay_fails(void **state)
{
	static const enum op ops[] = {OP_LIST, OP_EXCHANGE, OP_PUT,   OP_ATTR,
				      OP_NEW,  OP_REPLACE,  OP_DELETE};
	unsigned failures = 0;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool hit = true;

		for_ever = i / 2 != 0;
		/* the first allocation is that of the disk */
		for (uint64_t nth = 1 + i % 2; hit; nth++) {
			static struct image before, after;
			struct store_fixture f;
			int err;

			start(&f);
			for (size_t n = 0; n < sizeof(ops) / sizeof(*ops); n++) {
				if (ops[n] == OP_DELETE)
					store_fixture_put(&f, 1, 2);
				assert_int_equal(run(&f, ops[n]), 0);
			}
			look(&f, &before);
			store_fixture_crash(&f);
			set_faults(&f, i % 2 != 0, nth);
			err = store_fixture_try_open(&f);
			hit = take_faults(&f);
			assert_true(err == 0 || hit);
			failures += err != 0;
			if (err == 0)
				store_fixture_crash(&f);
			store_fixture_open(&f);
			look(&f, &after);
			forget_slots(&before); /* a page that does not read is gone around */
			forget_slots(&after);
			assert_true(same(&before, &after));
			store_fixture_check(&f);
			assert_true(nth < 500);
			store_fixture_free(&f);
		}
	}
	assert_true(failures > 50);
	print_message("%u openings failed\n", failures);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepare_fails),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_slot_beyond),
		cmocka_unit_test(test_replay_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
