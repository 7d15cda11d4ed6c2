/*
 * test_store_commit.c - what put, delete, rename and set_attr promise beside storing: flags, hooks,
 * refusals that change nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/page.h"
#include "store/store_private.h"
#include "tests/support/store_fixture.h"

static struct store_entry entry_of(struct store_fixture *f, const char *id)
{
	struct store_entry entry;

	assert_int_equal(store_get(f->store, id, strlen(id), &entry, NULL), 0);
	return entry;
}

static int put_as(struct store_fixture *f, const char *id, const struct store_attr *attr,
		  unsigned flags)
{
	static const uint8_t value[STORE_FIXTURE_VALUE];

	return store_put(f->store, id, strlen(id), value, sizeof(value), attr, flags, NULL, NULL,
			 NULL);
}

static void test_attributes(void **state)
{
	struct store_attr first = {0640, 1, 2, 30}, second = {0600, 5, 6, 70};
	struct store_attr all = {0111, 11, 12, 13};
	struct store_fixture f;
	struct store_entry entry;

	(void)state;
	store_fixture_new(&f, NULL);
	assert_int_equal(put_as(&f, "a", &first, STORE_PUT_NEW), 0);
	assert_int_equal(put_as(&f, "a", &second, STORE_PUT_NEW), ERR_EXISTS);
	assert_int_equal(entry_of(&f, "a").attr.mode, 0640);
	assert_int_equal(put_as(&f, "a", &second, STORE_PUT_KEEP_ATTR), 0);
	entry = entry_of(&f, "a");
	assert_int_equal(entry.attr.mode, 0640);
	assert_int_equal(entry.attr.uid, 1);
	assert_int_equal(entry.attr.gid, 2);
	assert_int_equal(entry.attr.mtime_ns, 70);
	assert_int_equal(put_as(&f, "a", &second, 0), 0);
	assert_int_equal(entry_of(&f, "a").attr.mode, 0600);
	for (unsigned mask = 0; mask < 16; mask++) {
		assert_int_equal(put_as(&f, "a", &first, 0), 0);
		assert_int_equal(store_set_attr(f.store, "a", 1, &all, mask), 0);
		entry = entry_of(&f, "a");
		assert_int_equal(entry.attr.mode, mask & STORE_ATTR_MODE ? 0111 : 0640);
		assert_int_equal(entry.attr.uid, mask & STORE_ATTR_UID ? 11 : 1);
		assert_int_equal(entry.attr.gid, mask & STORE_ATTR_GID ? 12 : 2);
		assert_int_equal(entry.attr.mtime_ns, mask & STORE_ATTR_MTIME ? 13 : 30);
	}
	assert_int_equal(store_set_attr(f.store, "b", 1, &all, 15), ERR_ABSENT);
	store_fixture_free(&f);
}

static void copy_result(void *ctx, const struct store_put_result *result)
{
	*(struct store_put_result *)ctx = *result;
}

/* The hook hears the same as the caller, once, and only when the commit came about. */
static void test_hooks(void **state)
{
	static const uint8_t value[STORE_FIXTURE_VALUE];
	struct store_put_result heard = {0}, told = {0};
	struct store_attr attr = {0};
	struct store_fixture f;
	uint32_t first;

	(void)state;
	store_fixture_new(&f, NULL);
	assert_int_equal(store_put(f.store, "a", 1, value, sizeof(value), &attr, 0, copy_result,
				   &heard, &told),
			 0);
	assert_memory_equal(&heard, &told, sizeof(told));
	assert_int_equal(told.old_slot, STORE_NO_SLOT);
	assert_int_equal(told.lsn, 1);
	first = told.slot;
	assert_int_equal(store_put(f.store, "a", 1, value, sizeof(value), &attr, 0, copy_result,
				   &heard, &told),
			 0);
	assert_memory_equal(&heard, &told, sizeof(told));
	assert_int_equal(told.old_slot, first);
	assert_int_not_equal(told.slot, first);
	assert_int_equal(put_as(&f, "b", &attr, 0), 0);
	assert_int_equal(store_rename(f.store, "a", 1, "b", 1, 0, copy_result, &heard, &told), 0);
	assert_memory_equal(&heard, &told, sizeof(told));
	assert_int_not_equal(told.old_slot, STORE_NO_SLOT);
	assert_int_equal(store_delete(f.store, "b", 1, copy_result, &heard, &told), 0);
	assert_memory_equal(&heard, &told, sizeof(told));
	assert_int_equal(told.slot, STORE_NO_SLOT);
	memset(&heard, 0xee, sizeof(heard));
	told = heard;
	assert_int_equal(store_delete(f.store, "b", 1, copy_result, &heard, &told), ERR_ABSENT);
	assert_int_equal(store_rename(f.store, "b", 1, "c", 1, 0, copy_result, &heard, &told),
			 ERR_ABSENT);
	assert_memory_equal(&heard, &told, sizeof(told));
	store_fixture_free(&f);
}

static void test_names(void **state)
{
	static const uint8_t value[STORE_FIXTURE_VALUE];
	char name[FORMAT_ID_MAX + 1];
	struct store_attr attr = {0};
	struct store_put_result result = {0};
	struct store_fixture f;

	(void)state;
	memset(name, 'n', sizeof(name));
	store_fixture_new(&f, NULL);
	assert_int_equal(store_put(f.store, name, FORMAT_ID_MAX + 1, value, sizeof(value), &attr, 0,
				   NULL, NULL, NULL),
			 ERR_NAME_LONG);
	assert_int_equal(store_put(f.store, name, FORMAT_ID_MAX, value, sizeof(value), &attr, 0,
				   NULL, NULL, NULL),
			 0);
	assert_int_equal(store_get(f.store, name, FORMAT_ID_MAX, NULL, NULL), 0);
	assert_int_equal(store_get(f.store, name, FORMAT_ID_MAX + 1, NULL, NULL), ERR_ABSENT);
	assert_int_equal(store_get(f.store, name, 0, NULL, NULL), ERR_ABSENT);
	assert_int_equal(store_rename(f.store, name, FORMAT_ID_MAX, "a", 0, 0, NULL, NULL, NULL),
			 ERR_NAME_LONG);
	assert_int_equal(store_rename(f.store, name, FORMAT_ID_MAX, name, FORMAT_ID_MAX + 1, 0,
				      NULL, NULL, NULL),
			 ERR_NAME_LONG);
	assert_int_equal(store_rename(f.store, name, FORMAT_ID_MAX, "a", 1, 0, NULL, NULL, NULL),
			 0);
	/* to itself: nothing happens, and nothing is logged */
	assert_int_equal(store_rename(f.store, "a", 1, "a", 1, 0, NULL, NULL, &result), 0);
	assert_true(result.lsn == 0 && result.slot == entry_of(&f, "a").slot);
	assert_int_equal(store_rename(f.store, "a", 1, "a", 1, STORE_RENAME_KEEP, NULL, NULL, NULL),
			 ERR_EXISTS);
	store_fixture_free(&f);
}

/* A first value that cannot be stored does not fix the size of all others. */
static void test_learnt_size(void **state)
{
	struct store_fixture_fault fault = {"log_write", 0, ERR_FULL, true, false, 0};
	static const uint8_t value[FORMAT_VALUE_MAX + 4];
	struct store_geometry geometry = {.page_size = STORE_FIXTURE_PAGE};
	static const size_t wrong[] = {0, 3, FORMAT_VALUE_MAX + 4};
	struct store_attr attr = {0};
	struct store_fixture f = {.opts = {.cache_bytes = 1 << 20}};

	(void)state;
	f.medium = io_mem_new(1);
	f.io = io_mem_attach(f.medium);
	assert_int_equal(store_create(f.io, &geometry, NULL), 0);
	f.io->ops->close(f.io);
	store_fixture_open(&f);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
			store_put(f.store, "a", 1, value, wrong[i], &attr, 0, NULL, NULL, NULL),
			ERR_INVALID);
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	assert_int_equal(store_put(f.store, "a", 1, value, 64, &attr, 0, NULL, NULL, NULL),
			 ERR_FULL);
	io_mem_set_fault(f.medium, NULL, NULL);
	assert_int_equal(store_value_size(f.store), 0);
	assert_int_equal(store_put(f.store, "a", 1, value, 128, &attr, 0, NULL, NULL, NULL), 0);
	assert_int_equal(store_value_size(f.store), 128);
	assert_int_equal(store_put(f.store, "b", 1, value, 0, &attr, 0, NULL, NULL, NULL),
			 ERR_INVALID);
	store_fixture_free(&f);
}

static void test_release(void **state)
{
	struct store_put_result result;
	struct store_attr attr = {0};
	struct store_fixture f;
	enum store_slot_state now;
	uint64_t lsn;

	(void)state;
	store_fixture_new(&f, NULL);
	assert_int_equal(put_as(&f, "a", &attr, 0), 0);
	assert_int_equal(store_slot_release(f.store, 0), ERR_INVALID); /* it lives */
	assert_int_equal(store_slot_release(f.store, 1), ERR_ABSENT);
	assert_int_equal(store_delete(f.store, "a", 1, NULL, NULL, &result), 0);
	assert_int_equal(put_as(&f, "b", &attr, 0), 0);
	assert_int_equal(entry_of(&f, "b").slot, 1); /* dead slots are not taken */
	assert_int_equal(store_slot_release(f.store, result.old_slot), 0);
	assert_int_equal(store_slot_release(f.store, result.old_slot), ERR_INVALID);
	assert_int_equal(store_slot(f.store, 0, &now, &lsn), 0);
	assert_int_equal(now, STORE_SLOT_FREE);
	assert_int_equal(put_as(&f, "c", &attr, 0), 0);
	assert_int_equal(entry_of(&f, "c").slot, 0);
	store_fixture_check(&f);
	store_fixture_free(&f);
}

/* What the layer above learns of an operation, which it tells the kernel and its queue. */
static void test_results(void **state)
{
	struct store_put_result result;
	struct store_attr attr = {0};
	struct store_entry a, b;
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, NULL);
	assert_int_equal(put_as(&f, "a", &attr, 0), 0);
	assert_int_equal(put_as(&f, "b", &attr, 0), 0);
	a = entry_of(&f, "a");
	b = entry_of(&f, "b");
	assert_int_equal(store_rename(f.store, "a", 1, "a", 1, 0, NULL, NULL, &result), 0);
	assert_true(result.ino == a.ino && result.slot == a.slot);
	assert_int_equal(
		store_rename(f.store, "a", 1, "b", 1, STORE_RENAME_EXCHANGE, NULL, NULL, &result),
		0);
	assert_true(result.ino == a.ino && result.slot == a.slot);
	assert_int_equal(result.old_slot, STORE_NO_SLOT);
	assert_int_equal(store_rename(f.store, "b", 1, "a", 1, 0, NULL, NULL, &result), 0);
	assert_true(result.ino == a.ino && result.slot == a.slot);
	assert_int_equal(result.old_slot, b.slot);
	assert_int_equal(store_delete(f.store, "a", 1, NULL, NULL, &result), 0);
	assert_true(result.ino == a.ino && result.slot == STORE_NO_SLOT);
	assert_int_equal(result.old_slot, a.slot);
	store_fixture_free(&f);
}

/* Slot 0 is free. */
static void build_with_free_slot(struct store_fixture *f)
{
	struct store_put_result result;

	store_fixture_new(f, NULL);
	for (uint32_t id = 0; id < 12; id++)
		store_fixture_put(f, id, 1);
	assert_int_equal(store_delete(f->store, "vector-0", 8, NULL, NULL, &result), 0);
	assert_int_equal(result.old_slot, 0);
	assert_int_equal(store_slot_release(f->store, 0), 0);
	assert_int_equal(store_checkpoint(f->store), 0);
	store_drop_caches(f->store);
}

static void expect_slot_free(struct store_fixture *f)
{
	struct store_attr attr = {0};

	store_fixture_check(f);
	assert_int_equal(put_as(f, "again", &attr, 0), 0);
	assert_int_equal(entry_of(f, "again").slot, 0);
	store_fixture_check(f);
}

/* A put that is refused gives back the slot that it took, however far it came. */
static void test_slot_given_back(void **state)
{
	struct store_fixture_fault full = {"log_write", 0, ERR_FULL, false, false, 0};
	struct store_attr attr = {0};
	struct store_fixture f;
	unsigned refusals = 0;
	int err = ERR_NOMEM;

	(void)state;
	build_with_free_slot(&f);
	io_mem_set_fault(f.medium, store_fixture_fail, &full);
	assert_int_equal(put_as(&f, "new", &attr, 0), ERR_FULL);
	io_mem_set_fault(f.medium, NULL, NULL);
	expect_slot_free(&f);
	store_fixture_free(&f);
	for (uint64_t nth = 0; err != 0; nth++) {
		struct store_fixture_fault fault = {"read", nth, ERR_NOMEM, false, false, 0};

		build_with_free_slot(&f);
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		err = put_as(&f, "new", &attr, 0);
		io_mem_set_fault(f.medium, NULL, NULL);
		if (err != 0) {
			assert_int_equal(err, ERR_NOMEM);
			expect_slot_free(&f);
			refusals++;
		}
		store_fixture_free(&f);
	}
	assert_true(refusals > 2);
}

static int operate(struct store_fixture *f, int op)
{
	struct store_attr attr = {.mode = 0777};

	switch (op) {
	case 0:
		return put_as(f, "new", &attr, 0);
	case 1:
		return put_as(f, "vector-3", &attr, 0);
	case 2:
		return store_delete(f->store, "vector-3", 8, NULL, NULL, NULL);
	case 3:
		return store_rename(f->store, "vector-3", 8, "new", 3, 0, NULL, NULL, NULL);
	case 4:
		return store_rename(f->store, "vector-3", 8, "vector-4", 8, 0, NULL, NULL, NULL);
	case 5:
		return store_rename(f->store, "vector-3", 8, "vector-4", 8, STORE_RENAME_EXCHANGE,
				    NULL, NULL, NULL);
	case 6:
		return store_set_attr(f->store, "vector-3", 8, &attr, STORE_ATTR_MODE);
	default:
		return store_slot_release(f->store, 0);
	}
}

enum { OPERATIONS = 8 };

static void build(struct store_fixture *f)
{
	store_fixture_new(f, NULL);
	for (uint32_t id = 0; id < 12; id++)
		store_fixture_put(f, id, 1);
	store_fixture_put(f, 0, 2); /* slot 0 is dead */
	assert_int_equal(store_checkpoint(f->store), 0);
	store_drop_caches(f->store);
}

static void expect_unchanged(struct store_fixture *f)
{
	store_fixture_check(f);
	for (uint32_t id = 0; id < 12; id++)
		store_fixture_expect(f, id, id == 0 ? 2 : 1);
	assert_int_equal(entry_of(f, "vector-3").attr.mode, 0640);
	assert_int_equal(store_get(f->store, "new", 3, NULL, NULL), ERR_ABSENT);
}

/* A page cannot be read, or there is no memory: refused, unchanged, possible afterwards. */
static void test_nothing_changed(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (int op = 0; op < OPERATIONS; op++) {
		for (uint64_t nth = 0;; nth++) {
			struct store_fixture_fault fault = {"read", nth, ERR_IO, false, false, 0};
			struct store_fixture f;
			int err;

			build(&f);
			io_mem_set_fault(f.medium, store_fixture_fail, &fault);
			err = operate(&f, op);
			io_mem_set_fault(f.medium, NULL, NULL);
			/* a put may do without a page that holds nothing else: it begins anew */
			if (op > 1 || err != 0)
				assert_int_equal(err, fault.hit ? ERR_IO : 0);
			if (err != 0) {
				expect_unchanged(&f);
				assert_int_equal(operate(&f, op), 0);
				failures++;
			}
			store_fixture_check(&f);
			store_fixture_reopen(&f);
			store_fixture_check(&f);
			store_fixture_free(&f);
			if (!fault.hit)
				break;
		}
	}
	print_message("%u reads failed\n", failures);
	assert_true(failures > 20);
}

static uint64_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return allocations++ == fail_at;
}

static void test_no_memory(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (int op = 0; op < OPERATIONS; op++) {
		int err = ERR_NOMEM;

		for (fail_at = 0; err != 0; fail_at++) {
			struct store_fixture f;

			build(&f);
			allocations = 0;
			mem_set_fault(fail_allocation, NULL);
			err = operate(&f, op);
			mem_set_fault(NULL, NULL);
			assert_true(err == 0 || err == ERR_NOMEM);
			if (err != 0) {
				expect_unchanged(&f);
				assert_int_equal(operate(&f, op), 0);
				failures++;
			}
			store_fixture_check(&f);
			store_fixture_free(&f);
		}
	}
	print_message("%u allocations failed\n", failures);
	assert_true(failures > 10);
}

/* With a number that was taken before. */
static int put_with(struct store_fixture *f, const char *id, uint64_t ino)
{
	static const uint8_t value[STORE_FIXTURE_VALUE];
	const struct store_attr attr = {0};
	struct store_put_result result = {.ino = ino};

	return store_put(f->store, id, strlen(id), value, sizeof(value), &attr, STORE_PUT_INO, NULL,
			 NULL, &result);
}

/* A number is given once, in whatever order they are used, and after each way to open again. */
static void test_numbers(void **state)
{
	const struct store_attr attr = {0};
	struct store_fixture f;
	uint64_t a, b, unused, own, after;

	(void)state;
	store_fixture_new(&f, NULL);
	a = store_new_ino(f.store);
	b = store_new_ino(f.store);
	unused = store_new_ino(f.store);
	assert_true(a < b && b < unused);
	assert_int_equal(put_with(&f, "b", b), 0);
	assert_int_equal(put_as(&f, "own", &attr, 0), 0);
	assert_int_equal(put_with(&f, "a", a), 0);
	own = entry_of(&f, "own").ino;
	assert_true(own > unused);
	assert_int_equal(entry_of(&f, "a").ino, a);
	assert_int_equal(entry_of(&f, "b").ino, b);
	/* What is stored already keeps its own. */
	assert_int_equal(put_with(&f, "a", unused), 0);
	assert_int_equal(entry_of(&f, "a").ino, a);
	for (int crash = 1; crash >= 0; crash--) {
		if (!crash)
			assert_int_equal(store_checkpoint(f.store), 0);
		else
			assert_int_equal(store_sync(f.store), 0);
		store_fixture_reopen(&f);
		assert_int_equal(entry_of(&f, "a").ino, a);
		assert_int_equal(entry_of(&f, "b").ino, b);
		assert_int_equal(entry_of(&f, "own").ino, own);
		after = store_new_ino(f.store);
		assert_true(after > own);
		store_fixture_check(&f);
	}
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attributes), cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_learnt_size),
		cmocka_unit_test(test_results),	   cmocka_unit_test(test_slot_given_back),
		cmocka_unit_test(test_release),	   cmocka_unit_test(test_nothing_changed),
		cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
