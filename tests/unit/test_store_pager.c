/*
 * test_store_pager.c - frames, freezing and the page map: a flush writes what it froze whatever
 * changes meanwhile, another pager loads exactly that, eviction keeps to its limit, the free list
 * agrees with the maps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/freelist.h"
#include "store/pager.h"
#include "tests/support/io_mem.h"

#define PAGE 4096u
#define PAGES 700u /* more than one map leaf of 256 entries */

static const uint8_t uuid[16] = {7};

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct epoch *epoch;
	struct pager *pager;
	struct pager_extents trunks;
	struct head_slot slot;
};

static void start(struct world *w, uint64_t limit)
{
	memset(w, 0, sizeof(*w));
	w->medium = io_mem_new(1);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(epoch_new(&w->epoch), 0);
	assert_int_equal(pager_new(&w->pager, w->io, w->epoch, uuid, PAGE, limit), 0);
}

static void end(struct world *w)
{
	pager_free(w->pager);
	pager_extents_release(&w->trunks);
	epoch_free(w->epoch);
	w->io->ops->close(w->io);
	io_mem_free(w->medium);
}

static void fill(struct world *w, uint32_t page, uint8_t with)
{
	void *bytes;

	epoch_enter(w->epoch);
	assert_int_equal(pager_change(w->pager, FORMAT_SPACE_VALUE, page, &bytes), 0);
	memset(bytes, with, PAGE);
	epoch_leave(w->epoch);
}

static void expect(struct pager *pager, struct epoch *epoch, uint32_t page, uint8_t with)
{
	const void *bytes;
	uint8_t want[PAGE];

	memset(want, with, PAGE);
	epoch_enter(epoch);
	assert_int_equal(pager_get(pager, FORMAT_SPACE_VALUE, page, STORE_HINT_NONE, &bytes), 0);
	assert_memory_equal(bytes, want, PAGE);
	epoch_leave(epoch);
}

/* The second half of a flush, after pager_freeze. */
static void publish(struct world *w)
{
	assert_int_equal(pager_write_frozen(w->pager, PAGER_META), 0);
	assert_int_equal(pager_write_maps(w->pager, PAGER_META, w->slot.roots), 0);
	assert_int_equal(freelist_write(w->pager, false, &w->trunks, &w->slot), 0);
	w->slot.blocks = alloc_end(w->pager->alloc);
	pager_age(w->pager);
	pager_published(w->pager, PAGER_META);
	assert_int_equal(pager_check(w->pager), 0);
}

/* A pager that knows only the disk and the slot. */
static struct pager *load(struct world *w)
{
	struct err_msg msg = {{0}};
	struct pager *pager;

	assert_int_equal(pager_new(&pager, w->io, w->epoch, uuid, PAGE, 1 << 20), 0);
	assert_int_equal(pager_load(pager, w->slot.roots, w->slot.blocks, &msg), 0);
	return pager;
}

static int is_free(void *ctx, uint64_t block, uint64_t blocks, bool needed)
{
	struct pager *pager = ctx;

	for (uint64_t i = 0; i < blocks; i++)
		assert_true(needed || alloc_is_free(pager->alloc, block + i));
	return 0;
}

static void test_flush_writes_what_it_froze(void **state)
{
	struct world w;

	(void)state;
	start(&w, 16 << 20);
	for (uint8_t round = 1; round < 12; round++) {
		struct pager *other;

		for (uint32_t page = 0; page < PAGES; page += 1 + round % 3)
			fill(&w, page, round);
		pager_freeze(w.pager, PAGER_META);
		for (uint32_t page = 0; page < PAGES; page += 5)
			fill(&w, page, 0xee); /* after the freeze: not in this flush */
		publish(&w);
		other = load(&w);
		for (uint32_t page = 0; page < PAGES; page += 6)
			if (page % (1 + round % 3) == 0)
				expect(other, w.epoch, page, round);
		assert_int_equal(freelist_read(w.io, uuid, &w.slot, NULL, is_free, other), 0);
		pager_free(other);
		for (uint32_t page = 0; page < PAGES; page += 5)
			expect(w.pager, w.epoch, page, 0xee);
	}
	end(&w);
}

/* Given up, nothing is lost: the next flush has it all. */
static void test_unfreeze(void **state)
{
	struct pager *other;
	struct world w;

	(void)state;
	start(&w, 16 << 20);
	for (uint32_t page = 0; page < PAGES; page++)
		fill(&w, page, 1);
	pager_freeze(w.pager, PAGER_META);
	for (uint32_t page = 0; page < 50; page++)
		fill(&w, page, 2);
	pager_unfreeze(w.pager, PAGER_META);
	assert_true(atomic_load(&w.pager->groups[PAGER_META].dirty_bytes) == PAGES * PAGE);
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	assert_true(atomic_load(&w.pager->groups[PAGER_META].dirty_bytes) == 0);
	other = load(&w);
	for (uint32_t page = 0; page < PAGES; page++)
		expect(other, w.epoch, page, page < 50 ? 2 : 1);
	pager_free(other);
	end(&w);
}

static void test_eviction(void **state)
{
	struct world w;

	(void)state;
	start(&w, 64 * PAGE);
	for (uint32_t page = 0; page < PAGES; page++)
		fill(&w, page, (uint8_t)page);
	/* dirty pages stay, whatever the limit */
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) == PAGES * PAGE);
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	for (int round = 0; round < 3; round++) {
		for (uint32_t page = 0; page < PAGES; page++)
			expect(w.pager, w.epoch, page, (uint8_t)page);
		assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) <= 66 * PAGE);
	}
	pager_drop(w.pager);
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) == 0);
	assert_true(atomic_load(&w.pager->evictions[STORE_CLASS_VECTOR]) > 2 * PAGES);
	end(&w);
}

/* What a reader inside the epoch looks at is not taken away. */
static void test_readers_keep_their_pages(void **state)
{
	const uint8_t *first;
	struct world w;

	(void)state;
	start(&w, 8 * PAGE);
	for (uint32_t page = 0; page < 100; page++)
		fill(&w, page, (uint8_t)(page + 1));
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	pager_drop(w.pager);
	epoch_enter(w.epoch);
	assert_int_equal(
		pager_get(w.pager, FORMAT_SPACE_VALUE, 0, STORE_HINT_NONE, (const void **)&first),
		0);
	for (uint32_t page = 1; page < 100; page++)
		expect(w.pager, w.epoch, page, (uint8_t)(page + 1));
	pager_drop(w.pager);
	for (uint32_t i = 0; i < PAGE; i++)
		assert_int_equal(first[i], 1);
	epoch_leave(w.epoch);
	pager_drop(w.pager);
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) == 0);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flush_writes_what_it_froze),
		cmocka_unit_test(test_unfreeze),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_readers_keep_their_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
