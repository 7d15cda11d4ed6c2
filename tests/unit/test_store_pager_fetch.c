/*
 * test_store_pager_fetch.c - pages that are read together: one batch on disk, the right content
 * whatever their encoding, and no error but through the look-up that follows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/page.h"
#include "store/pager.h"
#include "tests/support/io_mem.h"

#define PAGE 8192u
#define PAGES 150u /* more than two turns */

static const uint8_t uuid[16] = {9};

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct epoch *epoch;
	struct pager *pager;
	struct pager_ref refs[PAGES];
};

static void fill(uint8_t *bytes, uint32_t page)
{
	uint64_t random = page;

	/* every other one becomes shorter when it is stored */
	for (uint32_t i = 0; i < PAGE; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = page % 2 == 0 ? (uint8_t)(random >> 56) : (uint8_t)page;
	}
}

/* Pages on disk and none in memory. */
static void start(struct world *w)
{
	struct format_root roots[FORMAT_SPACES];
	void *bytes;

	memset(w, 0, sizeof(*w));
	w->medium = io_mem_new(1);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(epoch_new(&w->epoch), 0);
	assert_int_equal(pager_new(&w->pager, w->io, w->epoch, uuid, PAGE, 4 << 20), 0);
	for (uint32_t page = 0; page < PAGES; page++) {
		w->refs[page] = (struct pager_ref){FORMAT_SPACE_VALUE, page};
		epoch_enter(w->epoch);
		assert_int_equal(pager_change(w->pager, FORMAT_SPACE_VALUE, page, &bytes), 0);
		fill(bytes, page);
		epoch_leave(w->epoch);
	}
	pager_freeze(w->pager, PAGER_META);
	assert_int_equal(pager_write_frozen(w->pager, PAGER_META), 0);
	assert_int_equal(pager_write_maps(w->pager, PAGER_META, roots), 0);
	pager_published(w->pager, PAGER_META);
	pager_drop(w->pager);
	io_mem_set_fault(w->medium, NULL, NULL);
}

static void end(struct world *w)
{
	pager_free(w->pager);
	epoch_free(w->epoch);
	w->io->ops->close(w->io);
	io_mem_free(w->medium);
}

static uint64_t calls(struct world *w, const char *call)
{
	return io_mem_calls(w->medium, call);
}

static void fetch(struct world *w, size_t first, size_t n)
{
	epoch_enter(w->epoch);
	pager_fetch(w->pager, w->refs + first, n);
	epoch_leave(w->epoch);
}

static void expect(struct world *w, uint32_t page)
{
	uint8_t want[PAGE];
	const void *got;

	fill(want, page);
	epoch_enter(w->epoch);
	assert_int_equal(pager_get(w->pager, FORMAT_SPACE_VALUE, page, STORE_HINT_NONE, &got), 0);
	assert_memory_equal(got, want, PAGE);
	epoch_leave(w->epoch);
}

static void test_all_at_once(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	fetch(&w, 0, PAGES);
	assert_int_equal(calls(&w, "read_batch"), PAGES);
	for (uint32_t page = 0; page < PAGES; page++)
		expect(&w, page);
	/* what is in memory is not read again, named once or twice, nor what does not exist */
	fetch(&w, 0, PAGES);
	w.refs[0].page = PAGES;
	w.refs[1].page = UINT32_MAX;
	fetch(&w, 0, 3);
	pager_drop(w.pager);
	w.refs[1].page = 2;
	fetch(&w, 0, 3);
	assert_int_equal(calls(&w, "read_batch"), PAGES + 1);
	assert_int_equal(calls(&w, "read"), 0);
	expect(&w, 2);
	end(&w);
}

/* Only what is used twice was found: the first use of a fetched page is its miss. */
static void test_counts(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	fetch(&w, 0, 10);
	for (uint32_t page = 0; page < 10; page++)
		expect(&w, page);
	assert_int_equal(atomic_load(&w.pager->misses[STORE_CLASS_VECTOR]), 10);
	assert_int_equal(epoch_sum(w.epoch, STORE_CLASS_VECTOR), 0);
	for (uint32_t page = 0; page < 10; page++)
		expect(&w, page);
	assert_int_equal(epoch_sum(w.epoch, STORE_CLASS_VECTOR), 10);
	end(&w);
}

static void test_peek(void **state)
{
	uint8_t want[PAGE];
	const void *got;
	struct world w;

	(void)state;
	start(&w);
	epoch_enter(w.epoch);
	assert_null(pager_peek(w.pager, FORMAT_SPACE_VALUE, 4));
	assert_true(pager_is_absent(w.pager, FORMAT_SPACE_VALUE, 4));
	pager_fetch(w.pager, w.refs + 4, 1);
	got = pager_peek(w.pager, FORMAT_SPACE_VALUE, 4);
	fill(want, 4);
	assert_non_null(got);
	assert_memory_equal(got, want, PAGE);
	assert_false(pager_is_absent(w.pager, FORMAT_SPACE_VALUE, 4));
	assert_null(pager_peek(w.pager, FORMAT_SPACE_VALUE, PAGES));
	assert_false(pager_is_absent(w.pager, FORMAT_SPACE_VALUE, PAGES));
	epoch_leave(w.epoch);
	assert_int_equal(calls(&w, "read"), 0);
	end(&w);
}

/* A page that is wrong on disk: the others come, and whoever asks for it is told. */
static void test_damage(void **state)
{
	struct world w;
	struct place at;
	const void *got;
	uint8_t byte;

	(void)state;
	for (uint32_t bad = 10; bad < 12; bad++) {
		start(&w);
		assert_true(place_unpack(pager_page(w.pager, FORMAT_SPACE_VALUE, bad)->place, &at));
		assert_int_equal(w.io->ops->read(w.io, at.block * FORMAT_BLOCK, &byte, 1), 0);
		byte ^= 1;
		assert_int_equal(w.io->ops->write(w.io, at.block * FORMAT_BLOCK, &byte, 1), 0);
		io_mem_set_fault(w.medium, NULL, NULL);
		fetch(&w, 0, 20);
		assert_int_equal(calls(&w, "read_batch"), 20);
		for (uint32_t page = 0; page < 20; page++)
			if (page != bad)
				expect(&w, page);
		assert_int_equal(calls(&w, "read"), 0);
		epoch_enter(w.epoch);
		assert_int_equal(pager_get(w.pager, FORMAT_SPACE_VALUE, bad, STORE_HINT_NONE, &got),
				 ERR_DAMAGED);
		epoch_leave(w.epoch);
		assert_int_equal(atomic_load(&w.pager->damaged), 1);
		end(&w);
	}
}

struct seen {
	unsigned times[PAGES];
};

static void see(void *ctx, struct pager_ref ref, const void *page)
{
	struct seen *seen = ctx;
	uint8_t want[PAGE];

	fill(want, ref.page);
	assert_memory_equal(page, want, PAGE);
	seen->times[ref.page]++;
}

static void fetch_once(struct world *w, struct seen *seen, size_t first, size_t n)
{
	const struct pager_look look = {.show = see, .ctx = seen};

	memset(seen, 0, sizeof(*seen));
	epoch_enter(w->epoch);
	pager_fetch_once(w->pager, w->refs + first, n, &look);
	epoch_leave(w->epoch);
	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(seen->times[i], i >= first && i < first + n);
}

static uint64_t resident(const struct world *w)
{
	return atomic_load(&w->pager->resident[STORE_CLASS_VECTOR]) / PAGE;
}

/* Pages that are looked at once are shown once each; they have frames as long as there are enough. */
static void test_once(void **state)
{
	struct seen seen;
	struct world w;

	(void)state;
	start(&w);
	fetch_once(&w, &seen, 0, 40);
	assert_int_equal(resident(&w), 40);
	pager_drop(w.pager);
	atomic_store(&w.pager->limit, 20 * PAGE);
	fetch_once(&w, &seen, 0, PAGES);
	assert_int_equal(resident(&w), 0);
	assert_int_equal(calls(&w, "read"), 0);
	assert_int_equal(calls(&w, "read_batch"), 40 + PAGES);
	for (uint32_t page = 0; page < PAGES; page++) {
		assert_true(pager_is_absent(w.pager, FORMAT_SPACE_VALUE, page));
		expect(&w, page);
	}
	end(&w);
}

/* What is looked at again, before as many others came as there are frames, gets one. */
static void test_again(void **state)
{
	struct seen seen;
	struct world w;

	(void)state;
	start(&w);
	atomic_store(&w.pager->limit, 20 * PAGE);
	fetch_once(&w, &seen, 0, 5);
	assert_int_equal(resident(&w), 0);
	fetch_once(&w, &seen, 3, 5);
	assert_int_equal(resident(&w), 2);
	fetch_once(&w, &seen, 10, 100);
	fetch_once(&w, &seen, 0, 3);
	assert_int_equal(resident(&w), 2);
	end(&w);
}

static int fail_some(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	return strcmp(call, "read_batch") == 0 && nth % 3 == 1 ? ERR_IO : 0;
}

static size_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return ++allocations == fail_at;
}

/* What the batch does not bring is read by itself. */
static void test_failures(void **state)
{
	const void *got;
	struct world w;

	(void)state;
	start(&w);
	io_mem_set_fault(w.medium, fail_some, NULL);
	fetch(&w, 0, 30);
	for (uint32_t page = 0; page < 30; page++)
		expect(&w, page);
	assert_int_equal(calls(&w, "read"), 10);
	assert_int_equal(atomic_load(&w.pager->damaged), 0);
	end(&w);
	for (fail_at = 1; fail_at < 4; fail_at++) {
		start(&w);
		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		fetch(&w, 0, 30);
		mem_set_fault(NULL, NULL);
		for (uint32_t page = 0; page < 30; page++)
			expect(&w, page);
		end(&w);
	}
	/* a page by itself that becomes longer when it is read */
	start(&w);
	fail_at = 1;
	allocations = 0;
	mem_set_fault(fail_allocation, NULL);
	epoch_enter(w.epoch);
	assert_int_equal(pager_get(w.pager, FORMAT_SPACE_VALUE, 3, STORE_HINT_NONE, &got),
			 ERR_NOMEM);
	epoch_leave(w.epoch);
	mem_set_fault(NULL, NULL);
	assert_int_equal(atomic_load(&w.pager->damaged), 0);
	expect(&w, 3);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_at_once), cmocka_unit_test(test_counts),
		cmocka_unit_test(test_peek),	    cmocka_unit_test(test_damage),
		cmocka_unit_test(test_once),	    cmocka_unit_test(test_again),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
