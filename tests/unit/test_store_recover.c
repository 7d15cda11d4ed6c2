/*
 * test_store_recover.c - opening what a crash or damage has left: which slot rules, what the older one
 * still has, and the sentence for each refusal. What the log adds: test_store_recover_log.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/store_private.h"
#include "tests/support/recover_world.h"

static void spoil_block(struct store_fixture *f, uint64_t place)
{
	struct place at;
	size_t len;
	uint8_t *head = io_mem_head(f->medium, &len);

	assert_true(place_unpack(place, &at));
	assert_true((at.block + 1) * FORMAT_BLOCK <= len);
	head[at.block * FORMAT_BLOCK + 100] ^= 0x40;
}

/* --- slots --- */

static void test_slots(void **state)
{
	struct store_fixture f;
	size_t len;

	(void)state;
	for (unsigned slot = 0; slot < 2; slot++) {
		recover_world_build(&f);
		/* the last generation is 4, in slot 0 */
		io_mem_head(f.medium, &len)[FORMAT_SLOT_AT + slot * FORMAT_BLOCK + 90] ^= 1;
		recover_world_reopens(&f, true);
		store_fixture_free(&f);
	}
	recover_world_build(&f);
	for (unsigned slot = 0; slot < 2; slot++)
		io_mem_head(f.medium, &len)[FORMAT_SLOT_AT + slot * FORMAT_BLOCK + 90] ^= 1;
	recover_world_refuses(&f, ERR_DAMAGED, "both commit slots");
	store_fixture_free(&f);
}

/* A slot that cannot be read: whoever only reads goes on with the other one. */
static void test_unreadable_slot(void **state)
{
	struct store_fixture f;
	size_t len;

	(void)state;
	/* call 0 reads the header */
	for (uint64_t slot = 0; slot < 2; slot++) {
		struct store_fixture_fault fault = {"read", 1 + slot, ERR_IO, false, false, 0};

		recover_world_build(&f);
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		recover_world_refuses(&f, ERR_IO, "mount with -o ro");
		assert_int_equal(io_mem_calls(f.medium, "log_create"), 0);
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		f.opts.read_only = true;
		store_fixture_open(&f);
		assert_true(f.report.older_slot);
		assert_non_null(strstr(f.report.note.text, "commit slot is unusable"));
		recover_world_expect(&f);
		store_fixture_crash(&f);
		io_mem_set_fault(f.medium, NULL, NULL);
		f.opts.read_only = false;
		recover_world_reopens(&f, false);
		store_fixture_free(&f);
		/* and the other one is damaged */
		recover_world_build(&f);
		io_mem_head(f.medium, &len)[FORMAT_SLOT_AT + (1 - slot) * FORMAT_BLOCK + 90] ^= 1;
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		f.opts.read_only = true;
		recover_world_refuses(&f, ERR_IO, "one cannot be read");
		store_fixture_free(&f);
	}
}

/* Map pages of the newest slot that cannot be read are as good as damaged ones. */
static void test_unreadable_map(void **state)
{
	struct store_fixture_fault fault = {"read", 3, ERR_IO, false, false, 0};
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	recover_world_look(&f, &head, slots);
	/* the first copy cannot be read, the second is damaged */
	spoil_block(&f, get_u64(slots[0].roots[0].top.place[1]));
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	recover_world_reopens(&f, true);
	store_fixture_free(&f);
}

/* One copy of a map page is enough; without both the older slot rules. */
static void test_map_pages(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2], after[2];
	struct head head;

	(void)state;
	for (int space = FORMAT_SPACE_VALUE; space <= FORMAT_SPACE_BUCKET; space++) {
		for (int copies = 1; copies <= 3; copies++) {
			struct format_map_child *top = &slots[0].roots[space].top;

			recover_world_look(&f, &head, slots);
			if ((copies & 1) != 0)
				spoil_block(&f, get_u64(top->place[0]));
			if ((copies & 2) != 0)
				spoil_block(&f, get_u64(top->place[1]));
			store_fixture_open(&f);
			assert_int_equal(f.report.older_slot, copies == 3);
			recover_world_expect(&f);
			/* what is bad was replaced */
			assert_int_equal(store_fixture_slots(&f, &head, after), 2);
			if (copies == 1)
				assert_true(get_u64(after[0].roots[space].top.place[0]) !=
					    get_u64(top->place[0]));
			store_fixture_free(&f);
		}
	}
	/* both slots without a map: the first one's sentence */
	recover_world_look(&f, &head, slots);
	for (int i = 0; i < 2; i++)
		for (int copy = 0; copy < 2; copy++)
			spoil_block(&f, get_u64(slots[i].roots[i].top.place[copy]));
	recover_world_refuses(&f, ERR_DAMAGED, "page map of the values");
	store_fixture_free(&f);
}

/* Where a page of a space lies, by the map of a slot. One leaf, since the store is small. */
static uint64_t place_of(struct store_fixture *f, const struct head_slot *slot, int space,
			 uint32_t page)
{
	const struct format_map_entry *entries;
	struct place at;
	size_t len;
	uint8_t *head = io_mem_head(f->medium, &len);

	assert_true(place_unpack(get_u64(slot->roots[space].top.place[0]), &at));
	entries = (const struct format_map_entry *)(head + at.block * FORMAT_BLOCK);
	return get_u64(entries[page].place);
}

static void test_slot_table(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	recover_world_look(&f, &head, slots);
	spoil_block(&f, place_of(&f, &slots[0], FORMAT_SPACE_SLOT, 0));
	recover_world_reopens(&f, true);
	store_fixture_free(&f);
	recover_world_look(&f, &head, slots);
	spoil_block(&f, place_of(&f, &slots[0], FORMAT_SPACE_SLOT, 0));
	spoil_block(&f, place_of(&f, &slots[1], FORMAT_SPACE_SLOT, 0));
	recover_world_refuses(&f, ERR_DAMAGED, "slot table");
	store_fixture_free(&f);
}

/* The slot that saved the state is not the one that is written over, even if that write is torn. */
static void test_torn_while_on_older_slot(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	/* first the slot in use is written once more, then the other one */
	for (int variant = 0; variant < 4; variant++) {
		struct store_fixture_fault fault = {
			"commit_slot", (uint64_t)variant / 2, IO_MEM_CUT(300), false, false, 0};
		bool by_map = variant % 2 != 0;

		recover_world_look(&f, &head, slots);
		if (by_map) {
			spoil_block(&f, get_u64(slots[0].roots[0].top.place[0]));
			spoil_block(&f, get_u64(slots[0].roots[0].top.place[1]));
		} else {
			recover_world_spoil_newest(&f);
		}
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		recover_world_refuses(&f, ERR_FULL, "cannot be written");
		io_mem_set_fault(f.medium, NULL, NULL);
		recover_world_reopens(&f, true);
		store_fixture_free(&f);
	}
}

static void test_truncated(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	recover_world_look(&f, &head, slots);
	assert_true(slots[1].blocks < slots[0].blocks);
	assert_int_equal(io_mem_resize_head(f.medium, slots[0].blocks * FORMAT_BLOCK - 1), 0);
	recover_world_reopens(&f, true);
	store_fixture_free(&f);
	recover_world_build(&f);
	assert_int_equal(io_mem_resize_head(f.medium, slots[1].blocks * FORMAT_BLOCK - 1), 0);
	recover_world_refuses(&f, ERR_DAMAGED, "truncated");
	store_fixture_free(&f);
}

/* --- what the older slot needs --- */

/* A checkpoint that writes its pages and not its slot leaves both slots whole. */
static void test_older_slot_after_attempts(void **state)
{
	(void)state;
	for (int rounds = 0; rounds < 4; rounds++) {
		struct store_fixture_fault fault = {"commit_slot", 0, ERR_FULL, true, false, 0};
		struct store_fixture f;

		recover_world_build(&f);
		store_fixture_open(&f);
		for (int round = 0; round < rounds; round++) {
			recover_world_put(&f, 2, 10 + (uint32_t)round);
			assert_int_equal(store_checkpoint(f.store), 0);
		}
		recover_world_put(&f, 3, 20);
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		assert_int_equal(store_checkpoint(f.store), ERR_FULL);
		recover_world_put(&f, 4, 21);
		assert_int_equal(store_checkpoint(f.store), ERR_FULL);
		io_mem_set_fault(f.medium, NULL, NULL);
		store_fixture_crash(&f);
		recover_world_spoil_newest(&f);
		recover_world_reopens(&f, true);
		store_fixture_free(&f);
	}
}

/* Nor does an opening that gets as far as that. */
static void test_older_slot_after_openings(void **state)
{
	struct store_fixture_fault fault = {"commit_slot", 1, ERR_FULL, true, false, 0};
	struct store_fixture f;

	(void)state;
	recover_world_build(&f);
	/* the first one renews the slot in use */
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	recover_world_refuses(&f, ERR_FULL, "recovered state cannot be written");
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	recover_world_refuses(&f, ERR_FULL, "recovered state cannot be written");
	io_mem_set_fault(f.medium, NULL, NULL);
	recover_world_spoil_newest(&f);
	recover_world_reopens(&f, true);
	store_fixture_free(&f);
}

/* Seals a slot that was changed by hand. */
static void write_slot(struct store_fixture *f, const struct head *head,
		       const struct head_slot *slot)
{
	struct format_slot block;
	size_t len;

	head_encode_slot(head, slot, &block);
	memcpy(io_mem_head(f->medium, &len) + FORMAT_SLOT_AT +
		       (slot->generation & 1) * FORMAT_BLOCK,
	       &block, sizeof(block));
}

/* Puts a trunk of these extents at a block and makes the slot name it. */
static void write_trunk(struct store_fixture *f, const struct head *head, struct head_slot *slot,
			uint64_t at, const uint64_t *extents, uint32_t n)
{
	struct format_trunk trunk = {0};
	size_t len;

	put_u32(trunk.magic, FORMAT_TRUNK_MAGIC);
	put_u32(trunk.count, n);
	for (uint32_t i = 0; i < n; i++)
		put_u64(trunk.extents[i], extents[i]);
	memcpy(io_mem_head(f->medium, &len) + at * FORMAT_BLOCK, &trunk, sizeof(trunk));
	slot->free_place = place_pack(at, FORMAT_BLOCK, FORMAT_RAW);
	slot->free_checksum = page_checksum(&trunk, sizeof(trunk), page_trunk_seed(head->uuid, at));
	write_slot(f, head, slot);
}

/* A free list that is right in itself and speaks of blocks that the maps use: the maps are believed. */
static void test_lying_free_list(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;
	struct place at, root;
	uint64_t extents[2];

	(void)state;
	recover_world_look(&f, &head, slots);
	assert_true(place_unpack(slots[0].free_place, &at));
	assert_true(place_unpack(get_u64(slots[0].roots[0].top.place[0]), &root));
	extents[0] = root.block | (uint64_t)1 << 36 | (uint64_t)1 << 63;
	extents[1] = root.block | (uint64_t)1 << 36;
	write_trunk(&f, &head, &slots[0], at.block, extents, 2);
	recover_world_reopens(&f, false);
	store_fixture_free(&f);
	/* its trunk lies where a copy of a map page is */
	recover_world_look(&f, &head, slots);
	write_trunk(&f, &head, &slots[0], root.block, extents, 0);
	recover_world_reopens(&f, false);
	store_fixture_free(&f);
}

/* The root of a space with one page of zeros; its map page takes the place of another one. */
static struct format_root empty_root(struct store_fixture *f, const struct head *head,
				     const struct head_slot *slot)
{
	static const uint8_t zeros[STORE_FIXTURE_PAGE];
	struct format_root root = {0};
	struct place at;
	size_t len;

	for (int copy = 0; copy < 2; copy++) {
		uint64_t place = get_u64(slot->roots[FORMAT_SPACE_VALUE].top.place[copy]);

		assert_true(place_unpack(place, &at));
		memset(io_mem_head(f->medium, &len) + at.block * FORMAT_BLOCK, 0, sizeof(zeros));
		put_u64(root.top.place[copy], place);
	}
	put_u64(root.top.checksum,
		page_checksum(zeros, sizeof(zeros),
			      page_map_seed(head->uuid, FORMAT_SPACE_SLOT, 0, 0)));
	put_u32(root.pages, 1);
	put_u32(root.height, 1);
	return root;
}

/* A slot that is right in itself and says what cannot be: the older one rules. */
static void test_lying_slot(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct format_root root;
	struct head head;
	size_t len;

	(void)state;
	recover_world_look(&f, &head, slots);
	slots[0].dir_depth = 27;
	write_slot(&f, &head, &slots[0]);
	recover_world_reopens(&f, true);
	store_fixture_free(&f);
	/* slots that are free and values of no size: a checkpoint would look for the pages of those */
	recover_world_look(&f, &head, slots);
	head.value_size = slots[0].value_size = slots[1].value_size = 0;
	for (int i = 0; i < 2; i++) {
		root = empty_root(&f, &head, &slots[i]);
		memset(slots[i].roots, 0, sizeof(slots[i].roots));
		slots[i].roots[FORMAT_SPACE_SLOT] = root;
		slots[i].live = slots[i].dead = slots[i].buckets = slots[i].dir_depth = 0;
		slots[i].clean = true;
		slots[i].first_segment = 9;
		write_slot(&f, &head, &slots[i]);
	}
	head_encode(&head, (struct format_header *)io_mem_head(f.medium, &len));
	recover_world_refuses(&f, ERR_DAMAGED, "both commit slots");
	store_fixture_free(&f);
}

/* A new store whose other slot holds rubbish is a new store. */
static void test_first_slot(void **state)
{
	struct store_fixture f = {.opts = {.cache_bytes = 0}};
	struct store_geometry geometry = {.page_size = STORE_FIXTURE_PAGE,
					  .value_size = STORE_FIXTURE_VALUE};
	size_t len;

	(void)state;
	f.medium = io_mem_new(2);
	f.io = io_mem_attach(f.medium);
	assert_int_equal(store_create(f.io, &geometry, NULL), 0);
	f.io->ops->close(f.io);
	io_mem_head(f.medium, &len)[FORMAT_SLOT_AT + 7] = 1;
	store_fixture_open(&f);
	assert_false(f.report.older_slot);
	memset(recover_world_versions, 0, sizeof(recover_world_versions));
	recover_world_put(&f, 1, 1);
	store_fixture_reopen(&f);
	recover_world_expect(&f);
	store_fixture_free(&f);
}

/* A free list that cannot be read, or is wrong, costs nothing. */
static void test_free_list(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	recover_world_look(&f, &head, slots);
	spoil_block(&f, slots[0].free_place);
	recover_world_reopens(&f, false);
	store_fixture_free(&f);
}

/* Everything the opening brought back stands in new pages and a new slot. */
static void test_taken_over(void **state)
{
	struct store_fixture f;
	struct head_slot before[2], after[2];
	struct store_stats stats;
	struct head head;

	(void)state;
	recover_world_look(&f, &head, before);
	store_fixture_open(&f);
	assert_int_equal(store_fixture_slots(&f, &head, after), 2);
	store_get_stats(f.store, &stats);
	assert_true(after[0].generation == before[0].generation + 1);
	assert_true(after[0].epoch == before[0].epoch + 1);
	assert_true(after[0].ckpt_lsn == stats.last_lsn);
	assert_true(after[0].ckpt_lsn > before[0].ckpt_lsn);
	store_fixture_reopen(&f);
	assert_int_equal(f.report.replayed, 0);
	recover_world_expect(&f);
	store_fixture_free(&f);
}

/* --- failures while opening --- */

/* Each call fails: refused with a sentence, nothing changed that a second try would miss. */
static void test_each_call(void **state)
{
	static const int results[] = {ERR_IO, ERR_NOMEM, ERR_FULL, ERR_IO};
	unsigned failures = 0;

	(void)state;
	for (size_t r = 0; r < 4; r++) {
		for (uint64_t nth = 0;; nth++) {
			struct store_fixture_fault fault = {NULL, nth, results[r], false, false, 0};
			struct store_fixture f;
			int err;

			recover_world_build(&f);
			/* the last time with a cache in which nothing stays */
			if (r == 3)
				f.opts.cache_bytes = 1;
			io_mem_set_fault(f.medium, store_fixture_fail, &fault);
			err = store_fixture_try_open(&f);
			io_mem_set_fault(f.medium, NULL, NULL);
			if (err != 0) {
				if (f.msg.text[0] == '\0')
					print_error("call %llu: %s without a sentence\n",
						    (unsigned long long)nth, err_str(err));
				assert_string_not_equal(f.msg.text, "");
				failures++;
				store_fixture_open(&f);
			}
			recover_world_expect(&f);
			store_fixture_free(&f);
			if (!fault.hit)
				break;
		}
	}
	print_message("%u refusals\n", failures);
	assert_true(failures > 30);
}

static uint64_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return allocations++ == fail_at;
}

static void each_allocation(bool older)
{
	for (fail_at = 0;; fail_at++) {
		struct store_fixture f;
		int err;

		recover_world_build(&f);
		if (older)
			recover_world_spoil_map(&f);
		f.io = io_mem_attach(f.medium);
		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		err = store_open(f.io, &f.opts, &f.store, &f.report, &f.msg);
		mem_set_fault(NULL, NULL);
		if (err != 0) {
			assert_int_equal(err, ERR_NOMEM);
			assert_string_not_equal(f.msg.text, "");
			/* what was wrong with the newest slot is not the reason */
			assert_null(strstr(f.msg.text, "checksum"));
			store_fixture_crash(&f);
			store_fixture_open(&f);
		}
		recover_world_expect(&f);
		store_fixture_free(&f);
		if (allocations <= fail_at)
			break;
	}
	assert_true(fail_at > 20);
}

static void test_each_allocation(void **state)
{
	(void)state;
	each_allocation(false);
	each_allocation(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_unreadable_slot),
		cmocka_unit_test(test_unreadable_map),
		cmocka_unit_test(test_map_pages),
		cmocka_unit_test(test_slot_table),
		cmocka_unit_test(test_torn_while_on_older_slot),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_older_slot_after_attempts),
		cmocka_unit_test(test_older_slot_after_openings),
		cmocka_unit_test(test_lying_free_list),
		cmocka_unit_test(test_lying_slot),
		cmocka_unit_test(test_first_slot),
		cmocka_unit_test(test_free_list),
		cmocka_unit_test(test_taken_over),
		cmocka_unit_test(test_each_call),
		cmocka_unit_test(test_each_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
