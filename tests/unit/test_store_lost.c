/*
 * test_store_lost.c - a damaged page of values costs the vectors on it, and nothing else: writing goes
 * on, a log that names its slots is replayed, and once nothing live is on it the page is used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/page.h"
#include "store/store.h"
#include "store/store_private.h"
#include "tests/support/io_mem.h"

#define WORDS 64u /* 16 values a page */
#define PER_PAGE 16u
#define IDS 40u /* two pages and a half */

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	uint32_t words;
};

static int put(struct world *w, uint32_t id, uint32_t version)
{
	struct store_attr attr = {.mode = 0644};
	uint32_t value[8192];
	char name[16];
	int len = snprintf(name, sizeof(name), "%u", id);

	for (uint32_t i = 0; i < w->words; i++)
		value[i] = id * 1000 + version;
	return store_put(w->store, name, (size_t)len, value, w->words * 4, &attr, 0, NULL, NULL,
			 NULL);
}

static int get(struct world *w, uint32_t id, uint32_t *version_out)
{
	uint32_t value[8192];
	char name[16];
	int len = snprintf(name, sizeof(name), "%u", id);
	int err = store_get(w->store, name, (size_t)len, NULL, value);

	if (err != 0)
		return err;
	*version_out = value[0] - id * 1000;
	for (uint32_t i = 0; i < w->words; i++)
		assert_int_equal(value[i], value[0]);
	return 0;
}

static void expect(struct world *w, uint32_t first, uint32_t end, uint32_t version)
{
	for (uint32_t id = first; id < end; id++) {
		uint32_t got = 0;

		assert_int_equal(get(w, id, &got), 0);
		assert_int_equal(got, version);
	}
}

static void expect_lost(struct world *w, uint32_t first, uint32_t end)
{
	uint32_t got;

	for (uint32_t id = first; id < end; id++)
		assert_int_equal(get(w, id, &got), ERR_DAMAGED);
}

static void open_it(struct world *w)
{
	struct store_opts opts = {.cache_bytes = 1 << 20};
	struct err_msg msg = {{0}};

	w->io = io_mem_attach(w->medium);
	if (store_open(w->io, &opts, &w->store, NULL, &msg) != 0)
		fail_msg("%s", msg.text);
}

static void close_it(struct world *w, bool crash)
{
	if (crash)
		store_abandon(w->store);
	else
		assert_int_equal(store_close(w->store), 0);
	w->io->ops->close(w->io);
}

static void begin(struct world *w, uint32_t words)
{
	struct store_geometry geometry = {.page_size = 4096};
	struct store_io *io;

	w->words = words;
	w->medium = io_mem_new(9);
	io = io_mem_attach(w->medium);
	assert_int_equal(store_create(io, &geometry, NULL), 0);
	io->ops->close(io);
	open_it(w);
	for (uint32_t id = 0; id < IDS; id++)
		assert_int_equal(put(w, id, 1), 0);
	assert_int_equal(store_checkpoint(w->store), 0);
}

static void end(struct world *w)
{
	uint64_t entries = 0;

	epoch_enter(w->store->epoch);
	assert_int_equal(ids_check(&w->store->ids, &entries), 0);
	assert_int_equal(slots_check(&w->store->slots), 0);
	assert_int_equal(entries, atomic_load(&w->store->slots.live));
	epoch_leave(w->store->epoch);
	close_it(w, true);
	io_mem_free(w->medium);
}

static void damage(struct world *w, uint32_t page)
{
	struct place at;
	size_t len;

	store_drop_caches(w->store);
	assert_true(
		place_unpack(pager_page(w->store->pager, FORMAT_SPACE_VALUE, page)->place, &at));
	io_mem_head(w->medium, &len)[at.block * FORMAT_BLOCK + at.bytes / 2] ^= 1;
}

static void release_dead(struct world *w)
{
	for (uint32_t slot = 0; slot < store_slots(w->store); slot++) {
		enum store_slot_state state;
		uint64_t lsn;

		assert_int_equal(store_slot(w->store, slot, &state, &lsn), 0);
		if (state == STORE_SLOT_DEAD)
			assert_int_equal(store_slot_release(w->store, slot), 0);
	}
}

static void ignore(void *ctx, bool damaged, const char *text)
{
	(void)ctx;
	(void)damaged;
	(void)text;
}

static uint64_t damages(struct world *w)
{
	struct store_verify_opts opts = {.finding = ignore};
	struct store_verify_report report;

	assert_int_equal(store_verify(w->store, &opts, &report), 0);
	return report.damages;
}

/* Slots that became free on the page, and those at its end that were never used. */
static void test_writing_goes_on(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t page = 0; page < 3; page++) {
		uint32_t first = page * PER_PAGE;
		uint32_t last = first + PER_PAGE < IDS ? first + PER_PAGE : IDS;

		begin(&w, WORDS);
		damage(&w, page);
		for (uint32_t id = first; id < last; id += 2)
			assert_int_equal(put(&w, id, 2), 0);
		release_dead(&w);
		for (uint32_t id = 100; id < 200; id++)
			assert_int_equal(put(&w, id, 3), 0);
		for (uint32_t id = 0; id < IDS; id++) {
			if (id < first || id >= last)
				expect(&w, id, id + 1, 1);
			else if (id % 2 == 0)
				expect(&w, id, id + 1, 2);
			else
				expect_lost(&w, id, id + 1);
		}
		/* the same after a crash, and after an orderly end */
		for (int round = 0; round < 3; round++) {
			close_it(&w, round < 2);
			open_it(&w);
			expect(&w, 100, 200, 3);
			expect(&w, first, first + 1, 2);
			expect_lost(&w, first + 1, first + 2);
			assert_int_equal(put(&w, 200, 4), 0);
		}
		end(&w);
	}
}

/* With nothing live left on it the page is written anew, and the store is whole again. */
static void test_page_heals(void **state)
{
	static const uint32_t sizes[] = {WORDS, 2048}; /* several to a page; two pages each */
	struct world w;

	(void)state;
	for (int s = 0; s < 2; s++) {
		uint32_t per_page = s == 0 ? PER_PAGE : 1;
		struct store_stats stats;

		begin(&w, sizes[s]);
		damage(&w, s == 0 ? 1 : 3);
		assert_true(damages(&w) > 0);
		expect_lost(&w, per_page, 2 * per_page);
		for (uint32_t id = per_page; id < 2 * per_page; id++)
			assert_int_equal(put(&w, id, 2), 0);
		assert_true(damages(&w) > 0);
		release_dead(&w);
		for (uint32_t id = 100; id < 200; id++)
			assert_int_equal(put(&w, id, 3), 0);
		store_get_stats(w.store, &stats);
		assert_int_equal(stats.damaged_pages, 1);
		assert_int_equal(store_checkpoint(w.store), 0);
		store_get_stats(w.store, &stats);
		assert_int_equal(stats.damaged_pages, 0);
		assert_int_equal(damages(&w), 0);
		store_drop_caches(w.store);
		expect(&w, 0, per_page, 1);
		expect(&w, per_page, 2 * per_page, 2);
		expect(&w, 2 * per_page, IDS, 1);
		expect(&w, 100, 200, 3);
		end(&w);
	}
}

/* The log puts vectors on a page that was damaged after they were written. */
static void test_replay(void **state)
{
	struct world w;

	(void)state;
	begin(&w, WORDS);
	for (uint32_t id = 100; id < 120; id++)
		assert_int_equal(put(&w, id, 2), 0); /* eight of them on page 2 */
	assert_int_equal(put(&w, 101, 3), 0);
	assert_int_equal(store_delete(w.store, "102", 3, NULL, NULL, NULL), 0);
	assert_int_equal(store_rename(w.store, "103", 3, "300", 3, 0, NULL, NULL, NULL), 0);
	damage(&w, 2);
	for (int round = 0; round < 3; round++) {
		uint32_t got;

		close_it(&w, true);
		open_it(&w);
		expect(&w, 0, 32, 1);
		expect_lost(&w, 32, IDS);
		expect(&w, 100, 101, 2);
		expect(&w, 101, 102, 3);
		assert_int_equal(get(&w, 102, &got), ERR_ABSENT);
		expect(&w, 104, 120, 2);
		assert_int_equal(put(&w, 400 + (uint32_t)round, 5), 0);
		expect(&w, 400, 401 + (uint32_t)round, 5);
	}
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writing_goes_on),
		cmocka_unit_test(test_page_heals),
		cmocka_unit_test(test_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
