/*
 * test_store_checkpoint.c - what a failure of each step of a checkpoint leaves, publications of the
 * graph, and a store without a log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/store_private.h"
#include "tests/support/recover_world.h"
#include "tests/support/store_fixture.h"

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
		store_fixture_expect_poisoned(&f);
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
		store_fixture_expect_poisoned(&f);
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

static void note_finding(void *ctx, bool damage, const char *text)
{
	struct err_msg *all = ctx;

	assert_true(damage);
	(void)err_set(all, 0, "%s", text);
}

/* Opens a store whose one slot is damaged, that is all that its words are about. */
static void expect_words(struct store_fixture *f, const char *words)
{
	struct store_check_report report;
	struct store_io *io = io_mem_attach(f->medium);
	struct err_msg found = {{0}};

	assert_int_equal(store_check(io, NULL, note_finding, NULL, &found, &report, NULL), 0);
	io->ops->close(io);
	assert_int_equal(report.damages, 1);
	assert_non_null(strstr(found.text, words));
	store_fixture_open(f);
	assert_non_null(strstr(f->report.note.text, "commit slot is unusable"));
	assert_non_null(strstr(f->report.note.text, words));
}

/* Without a log a damaged slot may cost what came after the other one. */
static void test_no_log_lost_slot(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .durability = WAL_NONE};
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, &opts);
	store_fixture_put(&f, 1, 1);
	assert_int_equal(store_checkpoint(f.store), 0);
	store_fixture_put(&f, 1, 2);
	assert_int_equal(store_checkpoint(f.store), 0);
	store_fixture_crash(&f);
	recover_world_spoil_newest(&f);
	expect_words(&f, "what changed after it may be lost");
	store_fixture_expect(&f, 1, 1);
	store_fixture_put(&f, 1, 3);
	assert_int_equal(store_close(f.store), 0);
	f.store = NULL;
	store_fixture_crash(&f);
	recover_world_spoil_newest(&f);
	expect_words(&f, "the state of the last orderly unmount");
	store_fixture_expect(&f, 1, 3);
	store_fixture_put(&f, 1, 4);
	assert_int_equal(store_checkpoint(f.store), 0);
	store_fixture_put(&f, 1, 5);
	assert_int_equal(store_checkpoint(f.store), 0);
	store_fixture_crash(&f);
	/* a newer slot is there and says that it had no log */
	recover_world_spoil_map(&f);
	expect_words(&f, "what changed after it may be lost");
	store_fixture_expect(&f, 1, 4);
	store_fixture_free(&f);
}

/* A store that was used without a log, closed in order or not, and then with one. */
static void build_log_after_none(struct store_fixture *f, bool closed)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .durability = WAL_NONE};

	store_fixture_new(f, &opts);
	for (uint32_t id = 0; id < 5; id++)
		store_fixture_put(f, id, 1);
	assert_int_equal(store_checkpoint(f->store), 0);
	if (closed) {
		assert_int_equal(store_close(f->store), 0);
		f->store = NULL;
	}
	store_fixture_crash(f);
	f->opts.durability = WAL_LOG;
	store_fixture_open(f);
	store_fixture_put(f, 1, 2);
	assert_int_equal(store_sync(f->store), 0);
	store_fixture_crash(f);
}

/* The slot of the log is damaged: the one without a log rules, and the log begins after it. */
static void test_log_after_slot_without(void **state)
{
	(void)state;
	for (int closed = 0; closed < 2; closed++) {
		struct store_fixture f;

		build_log_after_none(&f, closed);
		/* the second time the slot of the first recovery is hit */
		for (uint32_t round = 0; round < 3; round++) {
			recover_world_spoil_newest(&f);
			f.opts.durability = round == 1 ? WAL_NONE : WAL_LOG;
			store_fixture_open(&f);
			assert_true(f.report.older_slot);
			assert_null(strstr(f.report.note.text, "durability=none"));
			store_fixture_expect(&f, 0, 1);
			store_fixture_expect(&f, 1, 2);
			store_fixture_expect(&f, 2, round > 0 ? 3 : 1);
			store_fixture_check(&f);
			if (round == 0) {
				store_fixture_put(&f, 2, 3);
				assert_int_equal(store_sync(f.store), 0);
			}
			store_fixture_crash(&f);
		}
		store_fixture_free(&f);
	}
}

/* And the beginning of that log is gone, or unreadable: never the state without it. */
static void test_log_after_slot_lost(void **state)
{
	(void)state;
	for (int variant = 0; variant < 5; variant++) {
		struct store_fixture f;
		struct head_slot slots[2];
		struct head head;
		uint64_t first;
		size_t len;

		build_log_after_none(&f, false);
		assert_int_equal(store_fixture_slots(&f, &head, slots), 2);
		assert_int_equal(slots[1].first_segment, 0);
		first = slots[0].first_segment;
		recover_world_spoil_newest(&f);
		if (variant < 2) { /* a second writer is there, with a start of its own */
			store_fixture_open(&f);
			store_fixture_crash(&f);
			recover_world_spoil_newest(&f);
		}
		if (variant % 2 == 0)
			recover_world_lose_segment(&f, first);
		else
			io_mem_segment(f.medium, first, &len)[20] ^= 1;
		if (variant >= 3) /* nothing but that one */
			recover_world_lose_segment(&f, first + 1);
		if (variant == 4) { /* nothing speaks of a log: that much is said */
			expect_words(&f, "what changed after it may be lost");
		} else {
			recover_world_refuses(&f, ERR_DAMAGED, "missing or damaged");
		}
		store_fixture_free(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_poison_by_append),
		cmocka_unit_test(test_append_to_full_disk),
		cmocka_unit_test(test_graph_given_up),
		cmocka_unit_test(test_graph_reset),
		cmocka_unit_test(test_no_log),
		cmocka_unit_test(test_no_log_lost_slot),
		cmocka_unit_test(test_log_after_slot_without),
		cmocka_unit_test(test_log_after_slot_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
