/*
 * test_store_checkpoint.c - the order in which a checkpoint, a sync, an opening and a closing speak
 * to the disk; what a failure of each step leaves; the background threads.
 *
 * The order is compared as text. A power cut shows a step out of order only with luck; here it shows
 * always.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_private.h"
#include "tests/support/store_fixture.h"

#define SECOND 1000000000ull

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

static void publish_graph(struct store_fixture *f, uint8_t with, int want)
{
	static uint8_t page[STORE_FIXTURE_PAGE];
	uint64_t lsn = 0;

	memset(page, with, sizeof(page));
	assert_int_equal(store_graph_begin(f->store), 0);
	store_graph_freeze(f->store, &lsn);
	assert_int_equal(store_blob_write(f->store, STORE_CODE, 1, page), 0);
	assert_int_equal(store_blob_write(f->store, STORE_GRAPH, 1, page), ERR_INVALID);
	assert_int_equal(store_graph_commit(f->store), want);
}

static void expect_graph(struct store_fixture *f, uint8_t with)
{
	static uint8_t page[STORE_FIXTURE_PAGE], got[STORE_FIXTURE_PAGE];

	memset(page, with, sizeof(page));
	assert_int_equal(store_blob_read(f->store, STORE_CODE, 1, got), 0);
	assert_memory_equal(got, page, sizeof(page));
	assert_int_equal(store_blob_read(f->store, STORE_CODE, 0, got), 0); /* never written */
	assert_int_equal(got[17], 0);
	assert_int_equal(store_blob_read(f->store, STORE_CODE, 2, got), ERR_ABSENT);
}

static void change_graph_page(struct store_fixture *f, uint8_t with)
{
	void *page;

	store_read_begin(f->store);
	assert_int_equal(store_page_change(f->store, 3, &page), 0);
	memset(page, with, STORE_FIXTURE_PAGE);
	store_read_end(f->store);
}

static uint8_t graph_byte(struct store_fixture *f, uint32_t number)
{
	const uint8_t *page;
	uint8_t byte;

	store_read_begin(f->store);
	assert_int_equal(store_page(f->store, number, (const void **)&page), 0);
	byte = page[100];
	store_read_end(f->store);
	return byte;
}

/* --- failures --- */

/*
 * The disk is full at one call of a checkpoint: the store stays usable, nothing is lost, and the
 * next attempt succeeds.
 */
static void test_full_disk(void **state)
{
	static const char *const names[] = {"log_create", "log_write", "write", "commit_slot"};
	unsigned failures = 0;

	(void)state;
	for (size_t c = 0; c < sizeof(names) / sizeof(*names); c++) {
		for (uint64_t nth = 0;; nth++) {
			struct store_fixture_fault fault = {names[c], nth,   ERR_FULL,
							    false,    false, 0};
			struct store_fixture f;
			struct store_stats stats;
			int err;

			store_fixture_new(&f, NULL);
			for (uint32_t id = 0; id < 40; id++)
				store_fixture_put(&f, id, 1);
			change_graph_page(&f, 7);
			publish_graph(&f, 1, 0);
			for (uint32_t id = 0; id < 40; id += 2)
				store_fixture_put(&f, id, 2);
			change_graph_page(&f, 8);
			io_mem_set_fault(f.medium, store_fixture_fail, &fault);
			assert_int_equal(store_graph_begin(f.store), 0);
			store_graph_freeze(f.store, &(uint64_t){0});
			err = store_graph_commit(f.store);
			/* the segment of the next checkpoint can be made then */
			assert_int_equal(err, fault.hit && c != 0 ? ERR_FULL : 0);
			io_mem_set_fault(f.medium, NULL, NULL);
			store_get_stats(f.store, &stats);
			assert_false(stats.poisoned);
			store_fixture_check(&f);
			store_fixture_put(&f, 41, 1);
			assert_int_equal(graph_byte(&f, 3), 8);
			publish_graph(&f, 2, 0);
			store_fixture_check(&f);
			store_fixture_reopen(&f);
			for (uint32_t id = 0; id < 40; id++)
				store_fixture_expect(&f, id, id % 2 == 0 ? 2 : 1);
			store_fixture_expect(&f, 41, 1);
			expect_graph(&f, 2);
			assert_int_equal(graph_byte(&f, 3), 8);
			store_fixture_check(&f);
			store_fixture_free(&f);
			if (!fault.hit)
				break;
			failures++;
		}
	}
	print_message("%u failures\n", failures);
	assert_true(failures > 15);
}

/* Everything that writes is refused; reading goes on. */
static void expect_poisoned(struct store_fixture *f)
{
	struct store_attr attr = {0};
	struct store_stats stats;

	io_mem_set_fault(f->medium, NULL, NULL);
	store_get_stats(f->store, &stats);
	assert_true(stats.poisoned);
	assert_true(store_read_only(f->store));
	assert_int_equal(store_fixture_try_put(f, 1, 9), ERR_READONLY);
	assert_int_equal(store_fixture_try_delete(f, 1), ERR_READONLY);
	assert_int_equal(store_rename(f->store, "vector-1", 8, "vector-9", 8, 0, NULL, NULL, NULL),
			 ERR_READONLY);
	assert_int_equal(store_set_attr(f->store, "vector-1", 8, &attr, STORE_ATTR_MODE),
			 ERR_READONLY);
	assert_int_equal(store_slot_release(f->store, 0), ERR_READONLY);
	assert_int_equal(store_sync(f->store), ERR_READONLY);
	assert_int_equal(store_checkpoint(f->store), ERR_READONLY);
	assert_int_equal(store_graph_begin(f->store), ERR_READONLY);
	assert_int_equal(io_mem_calls(f->medium, "write"), 0);
	assert_int_equal(io_mem_calls(f->medium, "sync"), 0);
	assert_int_equal(io_mem_calls(f->medium, "commit_slot"), 0);
	assert_int_equal(io_mem_calls(f->medium, "log_write"), 0);
	assert_int_equal(io_mem_calls(f->medium, "log_sync"), 0);
	store_fixture_expect(f, 1, 1);
	store_fixture_expect(f, 2, 2);
}

/* A step of a checkpoint fails so that nobody knows what is on the disk. */
static void test_poison(void **state)
{
	static const char *const names[] = {"log_create", "log_sync", "log_write",
					    "write",	  "sync",     "commit_slot"};
	static const int results[] = {ERR_IO, ERR_UNKNOWN, ERR_FENCED};

	(void)state;
	for (size_t i = 0; i < 6 * 3 * 2; i++) {
		struct store_fixture_fault fault = {names[i % 6], 0,	 results[i / 6 % 3],
						    false,	  false, 0};
		bool graph = i >= 18;
		struct store_fixture f;
		int err;

		store_fixture_new(&f, NULL);
		for (uint32_t id = 0; id < 10; id++)
			store_fixture_put(&f, id, 1);
		store_fixture_put(&f, 2, 2);
		if (graph) {
			change_graph_page(&f, 9);
			assert_int_equal(store_graph_begin(f.store), 0);
			store_graph_freeze(f.store, &(uint64_t){0});
		}
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		err = graph ? store_graph_commit(f.store) : store_checkpoint(f.store);
		assert_true(fault.hit);
		assert_int_equal(err, fault.result);
		expect_poisoned(&f);
		assert_int_equal(store_close(f.store), ERR_READONLY);
		f.store = NULL;
		store_fixture_reopen(&f);
		store_fixture_expect(&f, 1, 1);
		store_fixture_expect(&f, 2, 2);
		store_fixture_put(&f, 1, 9);
		store_fixture_free(&f);
	}
}

/* An append that fails so poisons too, whichever operation it belongs to. */
static void test_poison_by_append(void **state)
{
	struct store_attr attr = {0};

	(void)state;
	for (int op = 0; op < 4; op++) {
		struct store_fixture_fault fault = {"log_write", 0, ERR_IO, false, false, 0};
		struct store_fixture f;
		int err;

		store_fixture_new(&f, NULL);
		store_fixture_put(&f, 1, 1);
		store_fixture_put(&f, 2, 2);
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		if (op == 0)
			err = store_fixture_try_put(&f, 1, 3);
		else if (op == 1)
			err = store_fixture_try_delete(&f, 1);
		else if (op == 2)
			err = store_rename(f.store, "vector-1", 8, "vector-3", 8, 0, NULL, NULL,
					   NULL);
		else
			err = store_set_attr(f.store, "vector-1", 8, &attr, STORE_ATTR_MODE);
		assert_int_equal(err, ERR_IO);
		expect_poisoned(&f);
		store_fixture_free(&f);
	}
}

/* The same on a full disk: refused, unchanged, and possible again when there is room. */
static void test_append_to_full_disk(void **state)
{
	struct store_attr attr = {.mode = 0100};

	(void)state;
	for (int op = 0; op < 4; op++) {
		struct store_fixture f;

		store_fixture_new(&f, NULL);
		store_fixture_put(&f, 1, 1);
		store_fixture_put(&f, 2, 2);
		for (int round = 0; round < 2; round++) {
			struct store_fixture_fault fault = {"log_write", 0,	ERR_FULL,
							    true,	 false, 0};
			int err;

			if (round == 0)
				io_mem_set_fault(f.medium, store_fixture_fail, &fault);
			if (op == 0)
				err = store_fixture_try_put(&f, 3, 3);
			else if (op == 1)
				err = store_fixture_try_delete(&f, 1);
			else if (op == 2)
				err = store_rename(f.store, "vector-1", 8, "vector-3", 8, 0, NULL,
						   NULL, NULL);
			else
				err = store_set_attr(f.store, "vector-1", 8, &attr,
						     STORE_ATTR_MODE);
			assert_int_equal(err, round == 0 ? ERR_FULL : 0);
			io_mem_set_fault(f.medium, NULL, NULL);
			store_fixture_check(&f);
			if (round == 0) {
				store_fixture_expect(&f, 1, 1);
				store_fixture_expect(&f, 3, 0);
			}
		}
		store_fixture_expect(&f, 2, 2);
		store_fixture_free(&f);
	}
}

/* --- the graph --- */

static void test_graph_given_up(void **state)
{
	struct store_fixture f;
	uint64_t lsn = 0;

	(void)state;
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	change_graph_page(&f, 5);
	assert_int_equal(store_graph_begin(f.store), 0);
	store_graph_freeze(f.store, &lsn);
	assert_int_equal(lsn, 1);
	change_graph_page(&f, 6);
	store_graph_abort(f.store);
	assert_true(store_graph_lsn(f.store) == 0);
	assert_int_equal(graph_byte(&f, 3), 6);
	assert_int_equal(store_checkpoint(f.store), 0);
	publish_graph(&f, 1, 0);
	store_fixture_reopen(&f);
	assert_int_equal(graph_byte(&f, 3), 6);
	assert_int_equal(graph_byte(&f, 77), 0); /* beyond all pages: zeros */
	store_fixture_free(&f);
}

static void test_graph_reset(void **state)
{
	struct store_fixture_fault fault = {"write", 0, ERR_FULL, false, false, 0};
	struct store_fixture f;
	const void *page;

	(void)state;
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	change_graph_page(&f, 5);
	publish_graph(&f, 1, 0);
	/* somebody reads it */
	store_read_begin(f.store);
	assert_int_equal(store_page(f.store, 3, &page), 0);
	assert_int_equal(store_graph_reset(f.store), ERR_BUSY);
	store_read_end(f.store);
	/* forgotten in memory, and on disk only later */
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	assert_int_equal(store_graph_reset(f.store), ERR_FULL);
	io_mem_set_fault(f.medium, NULL, NULL);
	store_fixture_check(&f);
	assert_int_equal(store_graph_reset(f.store), 0);
	assert_int_equal(store_pages(f.store, STORE_GRAPH), 0);
	store_fixture_check(&f);
	store_fixture_reopen(&f);
	assert_int_equal(store_pages(f.store, STORE_CODE), 0);
	/* a read-only store forgets it in memory alone */
	change_graph_page(&f, 5);
	publish_graph(&f, 1, 0);
	store_fixture_crash(&f);
	f.opts.read_only = true;
	store_fixture_open(&f);
	assert_int_equal(store_graph_reset(f.store), 0);
	assert_int_equal(store_pages(f.store, STORE_GRAPH), 0);
	assert_int_equal(store_graph_begin(f.store), ERR_READONLY);
	assert_int_equal(store_sync(f.store), ERR_READONLY);
	assert_int_equal(store_checkpoint(f.store), ERR_READONLY);
	store_fixture_reopen(&f);
	expect_graph(&f, 1);
	store_fixture_free(&f);
}

/* --- without a log --- */

static void test_no_log(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .durability = WAL_NONE};
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, &opts);
	for (uint32_t id = 0; id < 5; id++)
		store_fixture_put(&f, id, 1);
	assert_int_equal(store_checkpoint(f.store), 0);
	store_fixture_put(&f, 1, 2);
	store_fixture_crash(&f);
	store_fixture_open(&f);
	assert_non_null(strstr(f.report.note.text, "durability=none"));
	store_fixture_expect(&f, 1, 1);
	store_fixture_expect(&f, 4, 1);
	/* closed in order there is nothing to say */
	store_fixture_put(&f, 1, 3);
	assert_int_equal(store_close(f.store), 0);
	f.store = NULL;
	store_fixture_reopen(&f);
	assert_string_equal(f.report.note.text, "");
	store_fixture_expect(&f, 1, 3);
	/* and with a log again */
	store_fixture_crash(&f);
	f.opts.durability = WAL_LOG;
	store_fixture_open(&f);
	store_fixture_put(&f, 1, 4);
	store_fixture_reopen(&f);
	store_fixture_expect(&f, 1, 4);
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

/* --- the background threads --- */

/* Whether it becomes so, while each look at it takes so many ns of the store's time. */
static bool reached_in(struct store_fixture *f, bool (*is)(const struct store_stats *stats),
		       uint64_t ns)
{
	struct timespec pause = {0, 2000000};
	struct store_stats stats;

	for (int i = 0; i < 5000; i++) {
		store_get_stats(f->store, &stats);
		if (is(&stats))
			return true;
		io_mem_advance(f->medium, ns);
		(void)nanosleep(&pause, NULL); /* an early end only makes more rounds */
	}
	return false;
}

static bool reached(struct store_fixture *f, bool (*is)(const struct store_stats *stats))
{
	return reached_in(f, is, 0);
}

static bool has_checkpoint(const struct store_stats *stats)
{
	return stats->checkpoints > 1; /* the first one is the opening's */
}

static bool is_durable(const struct store_stats *stats)
{
	return stats->durable_lsn == 2;
}

static bool is_all_durable(const struct store_stats *stats)
{
	return stats->durable_lsn == stats->last_lsn;
}

static bool has_mark(const struct store_stats *stats)
{
	return stats->last_lsn == 3;
}

static bool is_poisoned(const struct store_stats *stats)
{
	return stats->poisoned;
}

/* Enough log starts a checkpoint; so does a minute after the first commit. */
static void test_background_checkpoint(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .background = true};
	struct store_fixture f;

	(void)state;
	opts.checkpoint_bytes = 4000;
	store_fixture_new(&f, &opts);
	for (uint32_t id = 0; id < 20; id++)
		store_fixture_put(&f, id, 1);
	assert_true(reached(&f, has_checkpoint));
	store_fixture_free(&f);
	opts.checkpoint_bytes = 0;
	store_fixture_new(&f, &opts);
	store_fixture_put(&f, 1, 1);
	io_mem_advance(f.medium, 50 * SECOND);
	assert_true(reached_in(&f, has_checkpoint, SECOND));
	assert_int_equal(store_close(f.store), 0);
	f.store = NULL;
	store_fixture_free(&f);
}

/* A second after a record it is durable; after another, a mark says so. */
static void test_background_sync(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .background = true};
	struct store_fixture_fault fault = {"log_sync", 0, ERR_UNKNOWN, true, false, 0};
	struct store_fixture_fault full = {"log_write", 0, ERR_FULL, true, false, 0};
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, &opts);
	store_fixture_put(&f, 1, 1);
	store_fixture_put(&f, 2, 2);
	io_mem_advance(f.medium, SECOND);
	assert_true(reached(&f, is_durable));
	io_mem_advance(f.medium, SECOND);
	assert_true(reached(&f, has_mark));
	store_fixture_reopen(&f);
	assert_int_equal(f.report.replayed, 3);
	/* a mark that finds no room is none, and that is all */
	store_fixture_put(&f, 3, 1);
	io_mem_advance(f.medium, 2 * SECOND);
	assert_true(reached(&f, is_all_durable));
	io_mem_set_fault(f.medium, store_fixture_fail, &full);
	io_mem_advance(f.medium, 2 * SECOND);
	for (int i = 0; i < 5000 && io_mem_calls(f.medium, "log_write") == 0; i++)
		(void)nanosleep(&(struct timespec){0, 1000000}, NULL);
	io_mem_set_fault(f.medium, NULL, NULL);
	store_fixture_put(&f, 4, 1);
	store_fixture_crash(&f);
	/* a sync that fails there is noticed before anybody asks */
	io_mem_set_fault(f.medium, NULL, NULL);
	store_fixture_open(&f);
	store_fixture_put(&f, 3, 1);
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	io_mem_advance(f.medium, 2 * SECOND);
	assert_true(reached(&f, is_poisoned));
	expect_poisoned(&f);
	store_fixture_free(&f);
}

struct gate {
	atomic_bool shut;
	atomic_uint waiting;
};

static int wait_at_gate(void *ctx, const char *call, uint64_t nth)
{
	struct gate *gate = ctx;
	struct timespec pause = {0, 1000000};

	(void)nth;
	if (strcmp(call, "commit_slot") != 0)
		return 0;
	gate->waiting++;
	while (gate->shut)
		(void)nanosleep(&pause, NULL); /* an early end only makes more rounds */
	return 0;
}

/* Who writes faster than checkpoints go waits, but not for ever, and not when there is room. */
static void test_wait_room(void **state)
{
	struct store_opts opts = {
		.cache_bytes = 1 << 20, .background = true, .checkpoint_bytes = 4000};
	struct gate gate = {.shut = true};
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, &opts);
	store_wait_room(f.store);
	io_mem_set_fault(f.medium, wait_at_gate, &gate);
	for (uint32_t id = 0; id < 20; id++)
		store_fixture_put(&f, id, 1);
	for (int i = 0; i < 5000 && gate.waiting == 0; i++)
		(void)nanosleep(&(struct timespec){0, 1000000}, NULL);
	assert_int_equal(gate.waiting, 1);
	for (uint32_t id = 0; id < 60; id++)
		store_fixture_put(&f, id, 2);
	store_wait_room(f.store); /* comes back although the checkpoint does not end */
	assert_int_equal(gate.waiting, 1);
	gate.shut = false;
	store_wait_room(f.store);
	assert_true(reached(&f, has_checkpoint));
	store_fixture_free(&f);
}

static size_t address_space(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	(void)fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The process may have ever more address space, until it is enough for a store and two threads. */
static void test_no_room_for_threads(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .background = true};
	struct store_fixture f;
	struct rlimit before, limit;
	unsigned no_thread = 0;
	int err = ERR_NOMEM;

	(void)state;
	if (address_space() >> 40 != 0)
		skip(); /* a sanitizer has reserved most of it itself */
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	store_fixture_crash(&f);
	f.opts = opts;
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	limit = before;
	for (size_t more = 0; err == ERR_NOMEM && more < (size_t)1 << 30; more += 2u << 20) {
		limit.rlim_cur = address_space() + more;
		assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
		err = store_fixture_try_open(&f);
		assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
		assert_true(err == 0 || err == ERR_NOMEM);
		no_thread += err != 0 &&
			     strstr(f.msg.text, "threads for checkpoints cannot") != NULL;
	}
	assert_int_equal(err, 0);
	assert_true(no_thread >= 2);
	store_fixture_expect(&f, 1, 1);
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_room_for_threads), /* before the library keeps stacks */
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_sync_order),
		cmocka_unit_test(test_open_order),
		cmocka_unit_test(test_close_order),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_poison_by_append),
		cmocka_unit_test(test_append_to_full_disk),
		cmocka_unit_test(test_graph_given_up),
		cmocka_unit_test(test_graph_reset),
		cmocka_unit_test(test_no_log),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_background_checkpoint),
		cmocka_unit_test(test_background_sync),
		cmocka_unit_test(test_wait_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
