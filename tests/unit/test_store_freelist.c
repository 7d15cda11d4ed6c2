/*
 * test_store_freelist.c - the list on disk says exactly what is free and what the older slot still
 * needs, however long it is; a list that cannot be is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/freelist.h"
#include "store/mem.h"
#include "store/page.h"
#include "tests/support/pager_fixture.h"

#define FIRST (FORMAT_PAGES_AT / FORMAT_BLOCK)
#define BLOCKS 400000u
#define EXTENTS 509u
#define ROOM 1000u /* free blocks at the beginning, where trunks go */

enum seen { NOT_LISTED, FREE, NEEDED };

static uint8_t listed[BLOCKS];

static void add(struct pager_extents *extents, uint64_t block, uint32_t blocks)
{
	assert_int_equal(mem_grow((void **)&extents->list, &extents->cap, extents->n + 1,
				  sizeof(*extents->list)),
			 0);
	extents->list[extents->n++] = (struct pager_extent){block, blocks};
}

static int note(void *ctx, uint64_t block, uint64_t blocks, bool needed)
{
	uint64_t *extents = ctx;

	assert_true(blocks > 0 && block + blocks <= BLOCKS);
	for (uint64_t i = block; i < block + blocks; i++) {
		assert_int_equal(listed[i], NOT_LISTED);
		listed[i] = needed ? NEEDED : FREE;
	}
	if (extents != NULL)
		++*extents;
	return 0;
}

static int read_list(struct pager_fixture *w, struct pager_extents *trunks)
{
	memset(listed, 0, sizeof(listed));
	return freelist_read(w->io, pager_fixture_uuid, &w->slot, trunks, note, NULL);
}

static void write_list(struct pager_fixture *w, bool graph)
{
	assert_int_equal(freelist_write(w->pager, graph, &w->trunks, &w->slot), 0);
	w->slot.blocks = alloc_end(w->pager->alloc);
}

/* What was written is what is read: free, in trunks, needed, in use. */
static void check_list(struct pager_fixture *w, bool graph)
{
	struct pager_extents trunks = {0};
	struct pager *pager = w->pager;
	uint64_t sum = 0;

	assert_int_equal(read_list(w, &trunks), 0);
	assert_int_equal(trunks.n, w->trunks.n);
	for (size_t i = 0; i < trunks.n; i++) {
		assert_true(trunks.list[i].block == w->trunks.list[i].block);
		assert_false(alloc_is_free(pager->alloc, trunks.list[i].block));
		assert_int_equal(listed[trunks.list[i].block], NOT_LISTED);
	}
	for (uint64_t block = 0; block < w->slot.blocks; block++)
		sum += listed[block] == FREE;
	assert_true(sum == w->slot.free_blocks);
	for (size_t i = 0; i < pager->aging.n; i++)
		for (uint32_t b = 0; b < pager->aging.list[i].blocks; b++) {
			assert_int_equal(listed[pager->aging.list[i].block + b], FREE);
			listed[pager->aging.list[i].block + b] = NOT_LISTED;
		}
	for (int g = 0; g <= (graph ? PAGER_GRAPH : PAGER_META); g++) {
		struct pager_extents *freed = &pager->groups[g].freed;

		for (size_t i = 0; i < freed->n; i++)
			for (uint32_t b = 0; b < freed->list[i].blocks; b++) {
				assert_int_equal(listed[freed->list[i].block + b], NEEDED);
				listed[freed->list[i].block + b] = NOT_LISTED;
			}
	}
	for (uint64_t block = FIRST; block < w->slot.blocks; block++)
		assert_int_equal(listed[block] == FREE, alloc_is_free(pager->alloc, block));
	pager_extents_release(&trunks);
}

/* The slot of the list is durable, and then the next one. */
static void publish(struct pager_fixture *w, bool graph)
{
	struct pager *pager = w->pager;

	pager->groups[PAGER_META].frozen_gen = pager->groups[PAGER_META].gen++;
	pager_age(pager);
	pager_published(pager, PAGER_META);
	if (graph)
		pager_published(pager, PAGER_GRAPH);
}

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct pager_fixture w;

		random_state = seed;
		pager_fixture_new(&w, 1 << 20);
		for (unsigned round = 0; round < 10; round++) {
			bool graph = round % 3 == 2;
			uint32_t changes = below(2000);

			for (uint32_t i = 0; i < changes; i++) {
				uint32_t n = 1 + below(4);
				uint64_t block;

				assert_int_equal(alloc_take(w.pager->alloc, n, &block), 0);
				if (below(3) == 0)
					add(&w.pager->groups[graph && below(2) != 0].freed, block,
					    n);
				else if (below(2) == 0)
					assert_int_equal(alloc_give(w.pager->alloc, block, n), 0);
			}
			write_list(&w, graph);
			check_list(&w, graph);
			publish(&w, graph);
			assert_int_equal(alloc_check(w.pager->alloc), 0);
		}
		pager_fixture_free(&w);
	}
}

/* A list of any length up to three trunks, and all lengths around their ends. */
static void test_lengths(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 3 * EXTENTS + 20; n += n % EXTENTS < 15 ? 1 : 31) {
		struct pager_fixture w;

		pager_fixture_new(&w, 1 << 20);
		assert_int_equal(alloc_mark(w.pager->alloc, FIRST, 2 * n + 1), 0);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(alloc_give(w.pager->alloc, FIRST + 2 * i, 1), 0);
		write_list(&w, false);
		check_list(&w, false);
		publish(&w, false);
		write_list(&w, false);
		check_list(&w, false);
		pager_fixture_free(&w);
	}
}

/*
 * A long list is followed by a short one: the trunks of the long one are needed by the older slot, and
 * stand in the new one, all of them.
 */
static void test_shorter(void **state)
{
	(void)state;
	for (uint32_t n = 300; n < EXTENTS + 10; n += 7) {
		struct pager_extents *aging;
		uint64_t extents = 0;
		struct pager_fixture w;
		size_t old;

		pager_fixture_new(&w, 1 << 20);
		assert_int_equal(alloc_mark(w.pager->alloc, FIRST + ROOM, 300000), 0);
		aging = &w.pager->aging;
		for (uint32_t i = 0; i < 120000; i++)
			add(aging, FIRST + ROOM + 2 * i, 1);
		write_list(&w, false);
		old = w.trunks.n;
		assert_true(old > 235);
		aging->n = 0;
		for (uint32_t i = 0; i < n; i++)
			add(aging, FIRST + ROOM + 2 * i, 1);
		write_list(&w, false);
		assert_int_equal(w.pager->groups[PAGER_META].freed.n, old);
		check_list(&w, false);
		memset(listed, 0, sizeof(listed));
		assert_int_equal(
			freelist_read(w.io, pager_fixture_uuid, &w.slot, NULL, note, &extents), 0);
		assert_true(extents >= n + old);
		pager_fixture_free(&w);
	}
}

/* --- lists that cannot be --- */

static struct format_trunk *trunk_at(struct pager_fixture *w, size_t i)
{
	size_t len;
	uint8_t *head = io_mem_head(w->medium, &len);

	assert_true((w->trunks.list[i].block + 1) * FORMAT_BLOCK <= len);
	return (struct format_trunk *)(head + w->trunks.list[i].block * FORMAT_BLOCK);
}

/* Makes the slot agree with the first trunk, whatever stands in it. */
static void seal(struct pager_fixture *w)
{
	w->slot.free_checksum =
		page_checksum(trunk_at(w, 0), FORMAT_BLOCK,
			      page_trunk_seed(pager_fixture_uuid, w->trunks.list[0].block));
}

static uint64_t extent_of(uint64_t block, uint64_t blocks)
{
	return block | blocks << 36;
}

static void test_damage(void **state)
{
	struct format_trunk whole;
	struct pager_fixture w;
	uint64_t place;

	(void)state;
	pager_fixture_new(&w, 1 << 20);
	io_mem_resize_head(w.medium, FORMAT_PAGES_AT);
	assert_int_equal(alloc_mark(w.pager->alloc, FIRST, 100), 0);
	for (uint32_t i = 10; i < 90; i += 9)
		assert_int_equal(alloc_give(w.pager->alloc, FIRST + i, 1), 0);
	write_list(&w, false);
	assert_int_equal(read_list(&w, NULL), 0);
	whole = *trunk_at(&w, 0);

	trunk_at(&w, 0)->extents[3][0] ^= 1;
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	*trunk_at(&w, 0) = whole;
	put_u32(trunk_at(&w, 0)->magic, 1);
	seal(&w);
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	*trunk_at(&w, 0) = whole;
	put_u32(trunk_at(&w, 0)->count, EXTENTS + 1);
	seal(&w);
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	for (int i = 0; i < 4; i++) {
		const uint64_t wrong[] = {extent_of(FIRST + 10, 0), extent_of(FIRST - 1, 1),
					  extent_of(w.slot.blocks - 1, 2),
					  extent_of(w.slot.blocks, 1)};

		*trunk_at(&w, 0) = whole;
		put_u64(trunk_at(&w, 0)->extents[0], wrong[i]);
		seal(&w);
		assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	}
	/* a trunk that names itself as the next one */
	*trunk_at(&w, 0) = whole;
	put_u32(trunk_at(&w, 0)->count, 0);
	put_u64(trunk_at(&w, 0)->next_place, w.slot.free_place);
	seal(&w);
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	*trunk_at(&w, 0) = whole;
	seal(&w);
	assert_int_equal(read_list(&w, NULL), 0);

	place = w.slot.free_place;
	w.slot.free_place = 1; /* no place at all */
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	w.slot.free_place = place_pack(w.trunks.list[0].block, 100, FORMAT_RAW);
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	w.slot.free_place = place_pack(w.trunks.list[0].block, FORMAT_BLOCK, FORMAT_PLANES_LZ4);
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	w.slot.free_place = place_pack(w.slot.blocks, FORMAT_BLOCK, FORMAT_RAW);
	assert_int_equal(read_list(&w, NULL), ERR_DAMAGED);
	w.slot.free_place = 0; /* no list */
	assert_int_equal(read_list(&w, NULL), 0);
	w.slot.free_place = place;
	assert_int_equal(read_list(&w, NULL), 0);
	pager_fixture_free(&w);
}

/* A run that is longer than an extent can say. */
static int sum_up(void *ctx, uint64_t block, uint64_t blocks, bool needed)
{
	uint64_t *sum = ctx;

	assert_false(needed);
	assert_true(block >= FIRST);
	*sum += blocks;
	return 0;
}

static void test_long_run(void **state)
{
	uint64_t longest = ((uint64_t)1 << 27) - 1, sum = 0;
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 1 << 20);
	assert_int_equal(alloc_mark(w.pager->alloc, FIRST, 10), 0);
	add(&w.pager->aging, FIRST + 20, (uint32_t)longest * 2 + 5);
	write_list(&w, false);
	w.slot.blocks = 4 * longest;
	assert_int_equal(freelist_read(w.io, pager_fixture_uuid, &w.slot, NULL, sum_up, &sum), 0);
	assert_true(sum == longest * 2 + 5 && sum == w.slot.free_blocks);
	w.pager->aging.n = 0;
	pager_fixture_free(&w);
}

/* --- failures --- */

static uint64_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return allocations++ == fail_at;
}

static int fail_write(void *ctx, const char *call, uint64_t nth)
{
	return strcmp(call, "write") == 0 && nth == *(uint64_t *)ctx ? ERR_FULL : 0;
}

/* A list that could not be written leaves an allocator that is whole, and the next one can be. */
static void test_failures(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (uint64_t k = 0; k < 40; k++) {
		struct pager_fixture w;
		int err;

		pager_fixture_new(&w, 1 << 20);
		assert_int_equal(alloc_mark(w.pager->alloc, FIRST, 3000), 0);
		for (uint32_t i = 0; i < 1400; i++)
			assert_int_equal(alloc_give(w.pager->alloc, FIRST + 2 * i, 1), 0);
		write_list(&w, false);
		publish(&w, false);
		fail_at = k / 2;
		allocations = 0;
		if (k % 2 == 0)
			mem_set_fault(fail_allocation, NULL);
		else
			io_mem_set_fault(w.medium, fail_write, &fail_at);
		err = freelist_write(w.pager, false, &w.trunks, &w.slot);
		mem_set_fault(NULL, NULL);
		io_mem_set_fault(w.medium, NULL, NULL);
		failed += err != 0;
		assert_int_equal(alloc_check(w.pager->alloc), 0);
		write_list(&w, false);
		if (err == 0)
			check_list(&w, false);
		mem_set_fault(fail_allocation, NULL);
		allocations = fail_at;
		if (w.slot.free_place != 0)
			err = read_list(&w, &w.trunks);
		mem_set_fault(NULL, NULL);
		assert_true(err == 0 || err == ERR_NOMEM);
		pager_fixture_free(&w);
	}
	print_message("%u failed\n", failed);
	assert_true(failed > 10);
}

/* Nor does one for which memory ran out name a block of the trunks before it twice. */
static void test_trunks_of_a_failure(void **state)
{
	(void)state;
	for (uint64_t k = 0; k < 12; k++) {
		struct pager_fixture w;
		uint64_t block;

		pager_fixture_new(&w, 1 << 20);
		assert_int_equal(alloc_mark(w.pager->alloc, FIRST, 3000), 0);
		for (uint32_t i = 0; i < 1400; i++)
			assert_int_equal(alloc_give(w.pager->alloc, FIRST + 2 * i, 1), 0);
		write_list(&w, false);
		publish(&w, false);
		assert_true(w.trunks.n > 1);
		/* so many that those of the trunks do not all fit beside them */
		for (uint32_t i = 0; i < 7; i++) {
			assert_int_equal(alloc_take(w.pager->alloc, 1, &block), 0);
			add(&w.pager->groups[PAGER_META].freed, block, 1);
		}
		fail_at = k;
		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		(void)freelist_write(w.pager, false, &w.trunks, &w.slot);
		mem_set_fault(NULL, NULL);
		write_list(&w, false);
		check_list(&w, false);
		pager_fixture_free(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_shorter),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_long_run),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_trunks_of_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
