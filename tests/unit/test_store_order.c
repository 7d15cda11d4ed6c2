/*
 * test_store_order.c - the order in which a checkpoint, a sync, an opening and a closing speak to the
 * disk, and how long a checkpoint stops commits.
 *
 * The order is compared as text. A power cut shows a step out of order only with luck; here it shows
 * always.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/store_private.h"
#include "tests/support/store_fixture.h"

/* --- the calls to the disk, as text --- */

static const struct store_io_ops *real;
static struct store_io_ops watched;
static char calls[4000];

static void note(const char *name, uint64_t number)
{
	char line[64];
	size_t len = strlen(calls);

	if (number == UINT64_MAX)
		(void)snprintf(line, sizeof(line), "%s;", name);
	else
		(void)snprintf(line, sizeof(line), "%s %llu;", name, (unsigned long long)number);
	/* pages go out in any number */
	if (strcmp(line, "write;") == 0 && len >= 6 && strcmp(calls + len - 6, "write;") == 0)
		return;
	assert_true(len + strlen(line) < sizeof(calls));
	memcpy(calls + len, line, strlen(line) + 1);
}

static int watched_write(struct store_io *io, uint64_t offset, const void *buf, size_t len)
{
	note("write", UINT64_MAX);
	assert_true(offset >= FORMAT_PAGES_AT);
	return real->write(io, offset, buf, len);
}

static int watched_sync(struct store_io *io)
{
	note("sync", UINT64_MAX);
	return real->sync(io);
}

static int watched_commit_slot(struct store_io *io, unsigned slot, const void *block,
			       uint64_t expected)
{
	note("slot", slot);
	return real->commit_slot(io, slot, block, expected);
}

static int watched_log_create(struct store_io *io, uint64_t seq, const void *bytes, size_t len)
{
	note("log_create", seq);
	return real->log_create(io, seq, bytes, len);
}

static int watched_log_write(struct store_io *io, uint64_t seq, uint64_t offset, const void *buf,
			     size_t len)
{
	note(offset < FORMAT_RECORDS_AT ? "proof" : "record", seq);
	return real->log_write(io, seq, offset, buf, len);
}

static int watched_log_sync(struct store_io *io, uint64_t seq)
{
	note("log_sync", seq);
	return real->log_sync(io, seq);
}

static int watched_log_remove(struct store_io *io, uint64_t seq)
{
	note("log_remove", seq);
	return real->log_remove(io, seq);
}

static void watch(struct store_io *io)
{
	real = io->ops;
	watched = *real;
	watched.write = watched_write;
	watched.sync = watched_sync;
	watched.commit_slot = watched_commit_slot;
	watched.log_create = watched_log_create;
	watched.log_write = watched_log_write;
	watched.log_sync = watched_log_sync;
	watched.log_remove = watched_log_remove;
	io->ops = &watched;
	calls[0] = '\0';
}

/* What was called since the last look. */
static void expect_calls(const char *want)
{
	assert_string_equal(calls, want);
	calls[0] = '\0';
}

/* --- order --- */

static void test_order(void **state)
{
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, NULL);
	watch(f.io);
	store_fixture_put(&f, 1, 1);
	expect_calls("record 1;");
	assert_int_equal(store_checkpoint(f.store), 0);
	expect_calls("log_sync 1;proof 2;write;sync;slot 1;log_create 3;");
	store_fixture_put(&f, 1, 2);
	store_fixture_put(&f, 2, 1);
	assert_int_equal(store_sync(f.store), 0);
	expect_calls("record 2;record 2;log_sync 2;");
	/* segment 1 goes when neither slot needs it, and what is durable is not synced again */
	assert_int_equal(store_checkpoint(f.store), 0);
	expect_calls("proof 3;write;sync;slot 0;log_remove 1;log_create 4;");
	/* without a record the segment stays */
	assert_int_equal(store_checkpoint(f.store), 0);
	expect_calls("write;sync;slot 1;log_remove 2;");
	store_fixture_free(&f);
}

static void test_sync_order(void **state)
{
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, NULL);
	watch(f.io);
	assert_int_equal(store_sync(f.store), 0);
	expect_calls("");
	for (uint32_t id = 0; id < 3; id++)
		store_fixture_put(&f, id, 1);
	expect_calls("record 1;record 1;record 1;");
	assert_int_equal(store_sync(f.store), 0);
	expect_calls("log_sync 1;");
	assert_int_equal(store_sync(f.store), 0);
	expect_calls("");
	assert_int_equal(store_fixture_try_delete(&f, 1), 0);
	assert_int_equal(store_sync(f.store), 0);
	expect_calls("record 1;log_sync 1;");
	store_fixture_free(&f);
}

/* What was read from the page cache becomes durable before a slot speaks of it. */
static void test_open_order(void **state)
{
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	store_fixture_crash(&f);
	f.io = io_mem_attach(f.medium);
	watch(f.io);
	assert_int_equal(store_open(f.io, &f.opts, &f.store, NULL, NULL), 0);
	expect_calls("slot 0;log_sync 1;log_sync 2;log_create 3;write;sync;slot 1;log_create 4;");
	store_fixture_free(&f);
}

static void test_close_order(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;
	int err;

	(void)state;
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	watch(f.io);
	err = store_close(f.store);
	f.store = NULL;
	assert_int_equal(err, 0);
	expect_calls("log_sync 1;proof 2;write;sync;slot 1;write;sync;slot 0;"
		     "log_remove 1;log_remove 2;");
	assert_int_equal(store_fixture_slots(&f, &head, slots), 2);
	assert_true(slots[0].clean && slots[1].clean);
	assert_int_equal(store_close(NULL), 0);
	store_fixture_free(&f);
}

/* --- how long commits stop --- */

static uint64_t ticks;

static uint64_t ticking_now(struct store_io *io, enum store_clock clock)
{
	(void)io;
	(void)clock;
	return ticks += 1000;
}

static void test_pause(void **state)
{
	struct store_fixture f;
	struct store_stats stats;

	(void)state;
	store_fixture_new(&f, NULL);
	watch(f.io);
	watched.now_ns = ticking_now;
	for (int i = 0; i < 2; i++) {
		store_fixture_put(&f, 1, 1);
		assert_int_equal(store_checkpoint(f.store), 0);
		store_get_stats(f.store, &stats);
		assert_int_equal(stats.checkpoint_pause_ns_max, 1000);
		assert_true(stats.checkpoint_ns_last >= 3000);
	}
	assert_true(stats.checkpoint_ns_total >= 6000);
	store_wait_room(f.store); /* nobody makes room here, so nobody waits */
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	   cmocka_unit_test(test_sync_order),
		cmocka_unit_test(test_open_order), cmocka_unit_test(test_close_order),
		cmocka_unit_test(test_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
