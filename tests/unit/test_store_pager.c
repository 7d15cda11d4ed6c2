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

#include "store/base.h"
#include "store/freelist.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/pager.h"
#include "tests/support/pager_fixture.h"

#define PAGES 700u /* more than one map leaf of 256 entries */

static void fill(struct pager_fixture *w, uint32_t page, uint8_t with)
{
	void *bytes;

	epoch_enter(w->epoch);
	assert_int_equal(pager_change(w->pager, FORMAT_SPACE_VALUE, page, &bytes), 0);
	memset(bytes, with, PAGER_FIXTURE_PAGE);
	epoch_leave(w->epoch);
}

static void expect(struct pager *pager, struct epoch *epoch, uint32_t page, uint8_t with)
{
	const void *bytes;
	uint8_t want[PAGER_FIXTURE_PAGE];

	memset(want, with, PAGER_FIXTURE_PAGE);
	epoch_enter(epoch);
	assert_int_equal(pager_get(pager, FORMAT_SPACE_VALUE, page, STORE_HINT_NONE, &bytes), 0);
	assert_memory_equal(bytes, want, PAGER_FIXTURE_PAGE);
	epoch_leave(epoch);
}

/* The second half of a flush, after pager_freeze. */
static void publish(struct pager_fixture *w)
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
static struct pager *load(struct pager_fixture *w)
{
	struct err_msg msg = {{0}};
	struct pager *pager;

	assert_int_equal(
		pager_new(&pager, w->io, w->epoch, pager_fixture_uuid, PAGER_FIXTURE_PAGE, 1 << 20),
		0);
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
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 16 << 20);
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
		assert_int_equal(
			freelist_read(w.io, pager_fixture_uuid, &w.slot, NULL, is_free, other), 0);
		pager_free(other);
		for (uint32_t page = 0; page < PAGES; page += 5)
			expect(w.pager, w.epoch, page, 0xee);
	}
	pager_fixture_free(&w);
}

/* Given up, nothing is lost: the next flush has it all. */
static void test_unfreeze(void **state)
{
	struct pager *other;
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 16 << 20);
	for (uint32_t page = 0; page < PAGES; page++)
		fill(&w, page, 1);
	pager_freeze(w.pager, PAGER_META);
	for (uint32_t page = 0; page < 50; page++)
		fill(&w, page, 2);
	pager_unfreeze(w.pager, PAGER_META);
	assert_true(atomic_load(&w.pager->groups[PAGER_META].dirty_bytes) ==
		    PAGES * PAGER_FIXTURE_PAGE);
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	assert_true(atomic_load(&w.pager->groups[PAGER_META].dirty_bytes) == 0);
	other = load(&w);
	for (uint32_t page = 0; page < PAGES; page++)
		expect(other, w.epoch, page, page < 50 ? 2 : 1);
	pager_free(other);
	pager_fixture_free(&w);
}

static void test_eviction(void **state)
{
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 64 * PAGER_FIXTURE_PAGE);
	for (uint32_t page = 0; page < PAGES; page++)
		fill(&w, page, (uint8_t)page);
	/* dirty pages stay, whatever the limit, and when all that can go is to go */
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) ==
		    PAGES * PAGER_FIXTURE_PAGE);
	pager_drop(w.pager);
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) ==
		    PAGES * PAGER_FIXTURE_PAGE);
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	for (int round = 0; round < 3; round++) {
		for (uint32_t page = 0; page < PAGES; page++)
			expect(w.pager, w.epoch, page, (uint8_t)page);
		assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) <=
			    66 * PAGER_FIXTURE_PAGE);
	}
	pager_drop(w.pager);
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) == 0);
	assert_true(atomic_load(&w.pager->evictions[STORE_CLASS_VECTOR]) > 2 * PAGES);
	pager_fixture_free(&w);
}

/* Changed pages beyond the limit do not push out what is read: an eighth of the limit is left to it. */
static void test_room_beside_changed_pages(void **state)
{
	struct pager_fixture w;
	void *bytes;

	(void)state;
	pager_fixture_new(&w, 64 * PAGER_FIXTURE_PAGE);
	for (uint32_t page = 0; page < 100; page++)
		fill(&w, page, (uint8_t)page);
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	pager_drop(w.pager);
	for (uint32_t page = 0; page < 300; page++) {
		epoch_enter(w.epoch);
		assert_int_equal(pager_change(w.pager, FORMAT_SPACE_GRAPH, page, &bytes), 0);
		epoch_leave(w.epoch);
	}
	assert_true(atomic_load(&w.pager->misses[STORE_CLASS_VECTOR]) == 0);
	for (int round = 0; round < 10; round++)
		for (uint32_t page = 1; page <= 7; page++)
			expect(w.pager, w.epoch, page, (uint8_t)page);
	assert_int_equal(atomic_load(&w.pager->misses[STORE_CLASS_VECTOR]), 7);
	for (uint32_t page = 1; page < 100; page++)
		expect(w.pager, w.epoch, page, (uint8_t)page);
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) <= 10 * PAGER_FIXTURE_PAGE);
	pager_fixture_free(&w);
}

/* What a reader inside the epoch looks at is not taken away. */
static void test_readers_keep_their_pages(void **state)
{
	const uint8_t *first;
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 8 * PAGER_FIXTURE_PAGE);
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
	for (uint32_t i = 0; i < PAGER_FIXTURE_PAGE; i++)
		assert_int_equal(first[i], 1);
	epoch_leave(w.epoch);
	pager_drop(w.pager);
	assert_true(atomic_load(&w.pager->resident[STORE_CLASS_VECTOR]) == 0);
	pager_fixture_free(&w);
}

/* --- the page map --- */

/* A map of three levels, most of whose leaves nobody ever wrote to. */
static void test_tall_map(void **state)
{
	static const uint32_t numbers[] = {0, 255, 256, 32767, 32768, 40000};
	struct pager *other;
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 16 << 20);
	for (uint8_t round = 1; round < 4; round++) {
		for (size_t i = round - 1u; i < 6; i++)
			fill(&w, numbers[i], (uint8_t)(round * 10 + i));
		pager_freeze(w.pager, PAGER_META);
		publish(&w);
		assert_int_equal(get_u32(w.slot.roots[0].height), 3);
		other = load(&w);
		for (size_t i = 0; i < 6; i++)
			expect(other, w.epoch, numbers[i],
			       (uint8_t)((i + 1 < round ? i + 1 : round) * 10 + i));
		expect(other, w.epoch, 20000, 0);
		pager_free(other);
	}
	pager_fixture_free(&w);
}

static bool fail_every_allocation(void *ctx)
{
	(void)ctx;
	return true;
}

/* More pages than a map of four levels has room for are refused before there are any. */
static void test_map_is_bounded(void **state)
{
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 1 << 20);
	mem_set_fault(fail_every_allocation, NULL);
	assert_int_equal(pager_grow(w.pager, FORMAT_SPACE_CODE, 256u << 21), ERR_LIMIT);
	assert_int_equal(pager_grow(w.pager, FORMAT_SPACE_CODE, UINT32_MAX), ERR_LIMIT);
	assert_int_equal(pager_grow(w.pager, FORMAT_SPACE_CODE, (256u << 21) - 1), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	pager_fixture_free(&w);
}

static uint64_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return allocations++ == fail_at;
}

static bool fail_after_many(void *ctx)
{
	(void)ctx;
	return allocations++ > 1000;
}

/* A copy of the disk whose map of the values is changed by hand and sealed again. */
static int load_changed(struct pager_fixture *w,
			void (*change)(struct format_map_entry *entries, struct format_root *root,
				       uint64_t blocks))
{
	struct format_root roots[FORMAT_SPACES];
	uint8_t page[PAGER_FIXTURE_PAGE];
	struct io_mem *medium = io_mem_clone(w->medium);
	struct store_io *io = io_mem_attach(medium);
	struct err_msg msg = {{0}};
	struct pager *pager;
	struct place at;
	int err;

	memcpy(roots, w->slot.roots, sizeof(roots));
	assert_true(place_unpack(get_u64(roots[0].top.place[0]), &at));
	assert_int_equal(io->ops->read(io, at.block * FORMAT_BLOCK, page, PAGER_FIXTURE_PAGE), 0);
	change((struct format_map_entry *)page, &roots[0], w->slot.blocks);
	assert_int_equal(io->ops->write(io, at.block * FORMAT_BLOCK, page, PAGER_FIXTURE_PAGE), 0);
	put_u64(roots[0].top.checksum,
		page_checksum(page, PAGER_FIXTURE_PAGE,
			      page_map_seed(pager_fixture_uuid, FORMAT_SPACE_VALUE, 0, 0)));
	assert_int_equal(
		pager_new(&pager, io, w->epoch, pager_fixture_uuid, PAGER_FIXTURE_PAGE, 1 << 20),
		0);
	allocations = 0;
	mem_set_fault(fail_after_many, NULL); /* what a file says must not cost memory */
	err = pager_load(pager, roots, w->slot.blocks, &msg);
	mem_set_fault(NULL, NULL);
	assert_true(err == 0 || strstr(msg.text, "page map of the values") != NULL);
	pager_free(pager);
	io->ops->close(io);
	io_mem_free(medium);
	return err;
}

static void change_nothing(struct format_map_entry *entries, struct format_root *root,
			   uint64_t blocks)
{
	(void)entries;
	(void)root;
	(void)blocks;
}

static void entry_is_no_place(struct format_map_entry *entries, struct format_root *root,
			      uint64_t blocks)
{
	(void)root;
	(void)blocks;
	put_u64(entries[3].place, 1);
}

static void entry_behind_the_end(struct format_map_entry *entries, struct format_root *root,
				 uint64_t blocks)
{
	(void)root;
	put_u64(entries[3].place, place_pack(blocks, PAGER_FIXTURE_PAGE, FORMAT_RAW));
}

static void entry_across_the_end(struct format_map_entry *entries, struct format_root *root,
				 uint64_t blocks)
{
	(void)root;
	put_u64(entries[3].place, place_pack(blocks - 1, PAGER_FIXTURE_PAGE + 1, FORMAT_RAW));
}

static void entry_twice(struct format_map_entry *entries, struct format_root *root, uint64_t blocks)
{
	(void)root;
	(void)blocks;
	memcpy(entries[3].place, entries[4].place, 8);
}

static void entry_of_no_page(struct format_map_entry *entries, struct format_root *root,
			     uint64_t blocks)
{
	(void)blocks;
	assert_true(get_u64(entries[get_u32(root->pages) - 1].place) != 0);
	put_u32(root->pages, get_u32(root->pages) - 1);
}

static void other_height(struct format_map_entry *entries, struct format_root *root,
			 uint64_t blocks)
{
	(void)entries;
	(void)blocks;
	put_u32(root->height, 2);
}

static void too_many_pages(struct format_map_entry *entries, struct format_root *root,
			   uint64_t blocks)
{
	(void)entries;
	(void)blocks;
	put_u32(root->pages, (1u << 30) + 1);
	put_u32(root->height, 5);
}

static void too_high(struct format_map_entry *entries, struct format_root *root, uint64_t blocks)
{
	(void)entries;
	(void)blocks;
	put_u32(root->pages, 1u << 30);
	put_u32(root->height, 5);
}

static void more_pages_than_blocks(struct format_map_entry *entries, struct format_root *root,
				   uint64_t blocks)
{
	(void)entries;
	(void)blocks;
	put_u32(root->pages, 1u << 28);
	put_u32(root->height, 4);
}

static void no_top(struct format_map_entry *entries, struct format_root *root, uint64_t blocks)
{
	(void)entries;
	(void)blocks;
	put_u64(root->top.place[0], 0);
}

static void one_top_twice(struct format_map_entry *entries, struct format_root *root,
			  uint64_t blocks)
{
	(void)entries;
	(void)blocks;
	memcpy(root->top.place[1], root->top.place[0], 8);
}

static void test_hostile_maps(void **state)
{
	static void (*const changes[])(struct format_map_entry *, struct format_root *,
				       uint64_t) = {entry_is_no_place,
						    entry_behind_the_end,
						    entry_across_the_end,
						    entry_twice,
						    entry_of_no_page,
						    other_height,
						    too_many_pages,
						    too_high,
						    no_top,
						    one_top_twice,
						    more_pages_than_blocks};
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 1 << 20);
	for (uint32_t page = 0; page < 20; page++)
		fill(&w, page, (uint8_t)page);
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	assert_int_equal(load_changed(&w, change_nothing), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
		assert_int_equal(load_changed(&w, changes[i]), ERR_DAMAGED);
	pager_fixture_free(&w);
}

/* --- failures --- */

static int fail_write(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	return strcmp(call, "write") == 0 && nth == fail_at ? ERR_FULL : 0;
}

static int try_publish(struct pager_fixture *w)
{
	int err = pager_write_frozen(w->pager, PAGER_META);

	if (err == 0)
		err = pager_write_maps(w->pager, PAGER_META, w->slot.roots);
	if (err == 0)
		err = freelist_write(w->pager, false, &w->trunks, &w->slot);
	return err;
}

/* A flush that fails anywhere is given up, and the next one writes everything. */
static void check_failing_flush(bool memory)
{
	unsigned failures = 0;
	int err = ERR_FULL;

	for (fail_at = 0; err != 0; fail_at++) {
		struct pager *other;
		struct pager_fixture w;

		pager_fixture_new(&w, 16 << 20);
		for (uint32_t page = 0; page < 60; page++)
			fill(&w, page, 1);
		pager_freeze(w.pager, PAGER_META);
		publish(&w);
		for (uint32_t page = 0; page < 60; page++)
			fill(&w, page, 2);
		pager_freeze(w.pager, PAGER_META);
		for (uint32_t page = 0; page < 60; page += 4)
			fill(&w, page, 3);
		allocations = 0;
		if (memory)
			mem_set_fault(fail_allocation, NULL);
		else
			io_mem_set_fault(w.medium, fail_write, NULL);
		err = try_publish(&w);
		mem_set_fault(NULL, NULL);
		io_mem_set_fault(w.medium, NULL, NULL);
		if (err != 0) {
			failures++;
			assert_int_equal(err, memory ? ERR_NOMEM : ERR_FULL);
			pager_unfreeze(w.pager, PAGER_META);
			assert_int_equal(pager_check(w.pager), 0);
			pager_freeze(w.pager, PAGER_META);
			publish(&w);
			other = load(&w);
			for (uint32_t page = 0; page < 60; page++)
				expect(other, w.epoch, page, page % 4 == 0 ? 3 : 2);
			pager_free(other);
		}
		pager_fixture_free(&w);
	}
	print_message("%u failures\n", failures);
	assert_true(failures > (memory ? 5 : 50));
}

static void test_failing_flush(void **state)
{
	(void)state;
	check_failing_flush(true);
	check_failing_flush(false);
}

/* Without memory to remember them, replaced blocks stay in use, and nothing else happens. */
static void test_published_without_memory(void **state)
{
	struct pager *other;
	struct pager_fixture w;

	(void)state;
	pager_fixture_new(&w, 16 << 20);
	for (uint8_t round = 1; round < 5; round++) {
		for (uint32_t page = 0; page < 40; page++)
			fill(&w, page, round);
		pager_freeze(w.pager, PAGER_META);
		assert_int_equal(try_publish(&w), 0);
		w.slot.blocks = alloc_end(w.pager->alloc);
		if (round < 4) {
			pager_age(w.pager);
			pager_published(w.pager, PAGER_META);
			continue;
		}
		assert_true(w.pager->aging.n > 0); /* not aged: the other group's are there */
		mem_set_fault(fail_every_allocation, NULL);
		pager_published(w.pager, PAGER_META);
		mem_set_fault(NULL, NULL);
	}
	assert_int_equal(pager_check(w.pager), 0);
	other = load(&w);
	for (uint32_t page = 0; page < 40; page++)
		expect(other, w.epoch, page, 4);
	pager_free(other);
	pager_fixture_free(&w);
}

/* --- whole pages --- */

static void test_blobs(void **state)
{
	uint8_t page[PAGER_FIXTURE_PAGE], got[PAGER_FIXTURE_PAGE];
	struct pager_fixture w;
	uint64_t used;

	(void)state;
	pager_fixture_new(&w, 1 << 20);
	assert_int_equal(pager_blob_read(w.pager, FORMAT_SPACE_CODE, 0, got), ERR_ABSENT);
	for (uint8_t round = 1; round < 4; round++) {
		memset(page, round, PAGER_FIXTURE_PAGE);
		assert_int_equal(pager_blob_write(w.pager, FORMAT_SPACE_CODE, 5, page), 0);
		assert_int_equal(pager_blob_read(w.pager, FORMAT_SPACE_CODE, 5, got), 0);
		assert_memory_equal(got, page, PAGER_FIXTURE_PAGE);
		assert_int_equal(pager_blob_read(w.pager, FORMAT_SPACE_CODE, 4, got), 0);
		assert_int_equal(got[0], 0);
	}
	/* what no slot ever named is free again at once */
	used = alloc_end(w.pager->alloc) - alloc_free_blocks(w.pager->alloc);
	assert_true(used <= FORMAT_PAGES_AT / FORMAT_BLOCK + 2);
	for (fail_at = 0; fail_at < 4; fail_at++) {
		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		(void)pager_blob_write(w.pager, FORMAT_SPACE_CODE, 3000, page);
		mem_set_fault(NULL, NULL);
		assert_int_equal(pager_check(w.pager), 0);
	}
	fail_at = 0;
	io_mem_set_fault(w.medium, fail_write, NULL);
	assert_int_equal(pager_blob_write(w.pager, FORMAT_SPACE_CODE, 5, page), ERR_FULL);
	io_mem_set_fault(w.medium, NULL, NULL);
	assert_int_equal(pager_blob_read(w.pager, FORMAT_SPACE_CODE, 5, got), 0);
	assert_int_equal(pager_check(w.pager), 0);
	pager_fixture_free(&w);
}

/* Forgetting a space without memory for the list of its blocks changes nothing that shows. */
static void test_reset_without_memory(void **state)
{
	int err = ERR_NOMEM;

	(void)state;
	for (fail_at = 0; err != 0; fail_at++) {
		struct pager_fixture w;
		void *bytes;

		pager_fixture_new(&w, 1 << 20);
		for (uint32_t page = 0; page < 1500; page++) {
			epoch_enter(w.epoch);
			assert_int_equal(pager_change(w.pager, FORMAT_SPACE_GRAPH, page, &bytes),
					 0);
			epoch_leave(w.epoch);
		}
		pager_freeze(w.pager, PAGER_GRAPH);
		assert_int_equal(pager_write_frozen(w.pager, PAGER_GRAPH), 0);
		assert_int_equal(pager_write_maps(w.pager, PAGER_GRAPH, w.slot.roots), 0);
		pager_published(w.pager, PAGER_GRAPH);
		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		err = pager_reset_space(w.pager, FORMAT_SPACE_GRAPH);
		mem_set_fault(NULL, NULL);
		assert_true(err == 0 || err == ERR_NOMEM);
		assert_int_equal(pager_check(w.pager), 0);
		assert_int_equal(pager_reset_space(w.pager, FORMAT_SPACE_GRAPH), 0);
		assert_int_equal(pager_check(w.pager), 0);
		pager_fixture_free(&w);
	}
	assert_true(fail_at > 1);
}

/* Bytes that do not become shorter are stored as they are. */
static void test_incompressible(void **state)
{
	uint8_t want[4][16384];
	struct pager *other;
	uint64_t random = 5;
	struct pager_fixture w;
	void *bytes;

	(void)state;
	pager_fixture_new(&w, 1 << 20);
	pager_free(w.pager);
	assert_int_equal(pager_new(&w.pager, w.io, w.epoch, pager_fixture_uuid, 16384, 1 << 20), 0);
	for (uint32_t page = 0; page < 4; page++) {
		for (size_t i = 0; i < sizeof(want[0]); i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			want[page][i] = page % 2 == 0 ? (uint8_t)(random >> 56) : (uint8_t)page;
		}
		epoch_enter(w.epoch);
		assert_int_equal(pager_change(w.pager, FORMAT_SPACE_VALUE, page, &bytes), 0);
		memcpy(bytes, want[page], sizeof(want[page]));
		epoch_leave(w.epoch);
	}
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	assert_int_equal(pager_new(&other, w.io, w.epoch, pager_fixture_uuid, 16384, 1 << 20), 0);
	assert_int_equal(pager_load(other, w.slot.roots, w.slot.blocks, NULL), 0);
	epoch_enter(w.epoch);
	for (uint32_t page = 0; page < 4; page++) {
		const void *got;

		assert_int_equal(pager_get(other, FORMAT_SPACE_VALUE, page, STORE_HINT_SCAN, &got),
				 0);
		assert_memory_equal(got, want[page], sizeof(want[page]));
	}
	epoch_leave(w.epoch);
	assert_int_equal(atomic_load(&other->decompressions), 2);
	pager_free(other);
	pager_fixture_free(&w);
}

/* --- the checker --- */

static void test_check(void **state)
{
	struct pager_page *page;
	struct pager_fixture w;
	struct place at;

	(void)state;
	pager_fixture_new(&w, 1 << 20);
	for (uint32_t number = 0; number < 10; number++)
		fill(&w, number, 1);
	pager_freeze(w.pager, PAGER_META);
	publish(&w);
	pager_drop(w.pager);
	assert_int_equal(pager_check(w.pager), 0);
	page = pager_page(w.pager, FORMAT_SPACE_VALUE, 3);
	atomic_store(&page->dirty_gen, 1); /* and it is not in memory */
	assert_int_equal(pager_check(w.pager), ERR_DAMAGED);
	atomic_store(&page->dirty_gen, 0);
	assert_int_equal(pager_check(w.pager), 0);
	assert_true(place_unpack(page->place, &at));
	pager_give_blocks(w.pager, page->place);
	assert_int_equal(pager_check(w.pager), ERR_DAMAGED);
	assert_int_equal(alloc_mark(w.pager->alloc, at.block, 1), 0);
	assert_int_equal(pager_check(w.pager), 0);
	pager_give_blocks(w.pager, 0); /* no place: nothing */
	assert_int_equal(pager_extents_add(&w.trunks, 1), ERR_DAMAGED);
	pager_unfreeze(w.pager, PAGER_META); /* nothing is frozen: nothing */
	assert_int_equal(pager_check(w.pager), 0);
	pager_fixture_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flush_writes_what_it_froze),
		cmocka_unit_test(test_unfreeze),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_room_beside_changed_pages),
		cmocka_unit_test(test_readers_keep_their_pages),
		cmocka_unit_test(test_tall_map),
		cmocka_unit_test(test_map_is_bounded),
		cmocka_unit_test(test_hostile_maps),
		cmocka_unit_test(test_failing_flush),
		cmocka_unit_test(test_published_without_memory),
		cmocka_unit_test(test_blobs),
		cmocka_unit_test(test_reset_without_memory),
		cmocka_unit_test(test_incompressible),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
