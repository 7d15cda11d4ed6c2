/* test_store_alloc.c - the allocator against a model of one byte a block. */
#include "store/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/alloc_private.h"
#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define MODEL_BLOCKS (40u * ALLOC_GROUP)
#define FIRST 4u

struct model {
	uint8_t used[MODEL_BLOCKS];
	uint64_t first, cursor;
};

struct extent {
	uint64_t block;
	uint32_t n;
};

static uint64_t rng_state;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (uint32_t)((rng_state >> 20) % below);
}

static void seed(uint64_t value)
{
	rng_state = value * 0x9e3779b97f4a7c15u + 1;
	print_message("seed %llu\n", (unsigned long long)value);
}

static uint64_t model_end(const struct model *m)
{
	uint64_t end = MODEL_BLOCKS;

	while (end > m->first && !m->used[end - 1])
		end--;
	return end;
}

static uint64_t model_free_blocks(const struct model *m)
{
	uint64_t end = model_end(m);
	uint64_t n = 0;

	for (uint64_t b = 0; b < end; b++)
		n += !m->used[b];
	return n;
}

static bool model_fits(const struct model *m, uint64_t block, uint32_t n)
{
	if (block / ALLOC_GROUP != (block + n - 1) / ALLOC_GROUP)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (m->used[block + i])
			return false;
	return true;
}

/* The contract of alloc_take, block by block. */
static uint64_t model_take(struct model *m, uint32_t n)
{
	uint64_t end = model_end(m);
	uint64_t block = m->cursor;

	while (block < end && !model_fits(m, block, n))
		block++;
	if (block >= end)
		for (block = 0; block < end && !model_fits(m, block, n);)
			block++;
	while (!model_fits(m, block, n))
		block++;
	memset(m->used + block, 1, n);
	m->cursor = block + n;
	return block;
}

static void model_give(struct model *m, uint64_t block, uint32_t n)
{
	memset(m->used + block, 0, n);
}

static void compare(const struct alloc *alloc, const struct model *m)
{
	uint64_t at = 0, block, n, seen = 0;

	assert_int_equal(alloc_check(alloc), 0);
	assert_int_equal(alloc_end(alloc), model_end(m));
	assert_int_equal(alloc_free_blocks(alloc), model_free_blocks(m));
	while (alloc_next_free(alloc, at, &block, &n)) {
		assert_true(block >= at && n > 0 && block + n < alloc_end(alloc));
		for (uint64_t b = at; b < block; b++)
			assert_true(m->used[b]);
		for (uint64_t b = block; b < block + n; b++)
			assert_false(m->used[b]);
		assert_true(m->used[block + n]);
		at = block + n;
		seen += n;
	}
	assert_int_equal(seen, alloc_free_blocks(alloc));
	for (uint64_t b = 0; b < MODEL_BLOCKS; b++)
		assert_int_equal(alloc_is_free(alloc, b), !m->used[b]);
}

static uint32_t some_size(unsigned style)
{
	if (style == 0)
		return 1 + rnd(4);
	if (style == 1)
		return 1 + rnd(16);
	return rnd(8) ? 1 + rnd(5) : 1 + rnd(ALLOC_GROUP);
}

static void drop_extent(struct extent *extents, size_t *n, size_t i)
{
	extents[i] = extents[--*n];
}

/* Takes and gives in waves, so that the map is now full, now fragmented, now nearly empty. */
static void random_ops(unsigned style, unsigned steps)
{
	static struct model m;
	static struct extent extents[MODEL_BLOCKS];
	size_t n_extents = 0;
	struct alloc *alloc;

	memset(&m, 0, sizeof(m));
	m.first = m.cursor = FIRST;
	memset(m.used, 1, FIRST);
	assert_int_equal(alloc_new(&alloc, FIRST), 0);
	for (unsigned step = 0; step < steps; step++) {
		bool growing = step / 400 % 3 != 2;

		if (model_end(&m) < MODEL_BLOCKS - 2 * ALLOC_GROUP &&
		    rnd(10) < (growing ? 7u : 2u)) {
			struct extent *x = &extents[n_extents++];

			x->n = some_size(style);
			assert_int_equal(alloc_take(alloc, x->n, &x->block), 0);
			assert_int_equal(x->block, model_take(&m, x->n));
		} else if (n_extents > 0) {
			size_t i = rnd((uint32_t)n_extents);

			assert_int_equal(alloc_give(alloc, extents[i].block, extents[i].n), 0);
			model_give(&m, extents[i].block, extents[i].n);
			drop_extent(extents, &n_extents, i);
		}
		if (step % 211 == 0)
			compare(alloc, &m);
	}
	while (n_extents > 0) {
		struct extent x = extents[--n_extents];

		assert_int_equal(alloc_give(alloc, x.block, x.n), 0);
		model_give(&m, x.block, x.n);
	}
	compare(alloc, &m);
	assert_int_equal(alloc_end(alloc), FIRST);
	alloc_free(alloc);
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned style = 0; style < 3; style++) {
		seed(11 + style);
		random_ops(style, 3000);
	}
}

/* Marking at open: any order, across groups; a second mark of the same block is damage. */
static void test_mark(void **state)
{
	static struct model m;
	struct alloc *alloc;

	(void)state;
	seed(21);
	memset(&m, 0, sizeof(m));
	m.first = m.cursor = FIRST;
	memset(m.used, 1, FIRST);
	assert_int_equal(alloc_new(&alloc, FIRST), 0);
	for (unsigned i = 0; i < 600; i++) {
		uint32_t n = 1 + rnd(rnd(20) ? 8 : 3000);
		uint64_t block = rnd(MODEL_BLOCKS - 3000);
		bool clash = false;

		for (uint32_t k = 0; k < n; k++)
			clash |= m.used[block + k];
		assert_int_equal(alloc_mark(alloc, block, n), clash ? ERR_DAMAGED : 0);
		if (!clash)
			memset(m.used + block, 1, n);
		if (i % 50 == 0)
			compare(alloc, &m);
	}
	compare(alloc, &m);
	for (unsigned i = 0; i < 200; i++) {
		uint32_t n = some_size(0);
		uint64_t block;

		assert_int_equal(alloc_take(alloc, n, &block), 0);
		assert_int_equal(block, model_take(&m, n));
	}
	compare(alloc, &m);
	alloc_free(alloc);
}

static void test_refusals(void **state)
{
	struct alloc *alloc;
	uint64_t block, n;

	(void)state;
	alloc_free(NULL);
	assert_int_equal(alloc_new(&alloc, FIRST), 0);
	assert_int_equal(alloc_end(alloc), FIRST);
	assert_int_equal(alloc_free_blocks(alloc), 0);
	assert_false(alloc_next_free(alloc, 0, &block, &n));
	assert_false(alloc_next_free(alloc, UINT64_MAX - 5000, &block, &n));
	assert_int_equal(alloc_take(alloc, 0, &block), ERR_INVALID);
	assert_int_equal(alloc_take(alloc, ALLOC_GROUP + 1, &block), ERR_INVALID);
	assert_int_equal(alloc_take(alloc, 3, &block), 0);
	assert_int_equal(block, FIRST);
	assert_int_equal(alloc_give(alloc, FIRST, 4), ERR_DAMAGED);	/* one is free */
	assert_int_equal(alloc_give(alloc, FIRST - 1, 2), ERR_DAMAGED); /* one is reserved */
	assert_int_equal(alloc_give(alloc, (uint64_t)1 << 40, 1), ERR_DAMAGED);
	assert_int_equal(alloc_give(alloc, UINT64_MAX, 1), ERR_DAMAGED);
	assert_int_equal(alloc_give(alloc, ALLOC_GROUP * 9, 1), ERR_DAMAGED);
	assert_int_equal(alloc_mark(alloc, FIRST + 2, 2), ERR_DAMAGED);
	assert_int_equal(alloc_mark(alloc, ((uint64_t)1 << 36) - 1, 2), ERR_DAMAGED);
	assert_int_equal(alloc_mark(alloc, UINT64_MAX, 1), ERR_DAMAGED);
	assert_false(alloc_is_free(alloc, (uint64_t)1 << 36));
	assert_int_equal(alloc_check(alloc), 0);
	assert_int_equal(alloc_end(alloc), FIRST + 3);
	assert_int_equal(alloc_give(alloc, FIRST, 3), 0);
	assert_int_equal(alloc_give(alloc, FIRST, 3), ERR_DAMAGED); /* twice */
	assert_int_equal(alloc_give(alloc, ((uint64_t)1 << 36) - 1, 2), ERR_DAMAGED);
	assert_int_equal(alloc_mark(alloc, FIRST, 0), 0);
	assert_int_equal(alloc_end(alloc), FIRST);
	alloc_free(alloc);
	assert_int_equal(alloc_new(&alloc, ((uint64_t)1 << 36) + 1), ERR_INVALID);
	assert_null(alloc);
}

/* A block of a long full region is found when it becomes free, although searches passed it by. */
static void test_full_region(void **state)
{
	const uint64_t blocks = 200 * ALLOC_GROUP;
	struct alloc *alloc;
	uint64_t block;

	(void)state;
	assert_int_equal(alloc_new(&alloc, FIRST), 0);
	for (uint64_t at = 0; at < blocks; at += ALLOC_GROUP)
		assert_int_equal(alloc_mark(alloc, FIRST + at, ALLOC_GROUP), 0);
	for (unsigned i = 1; i < 5; i++) {
		alloc_rewind(alloc);
		assert_int_equal(alloc_take(alloc, i, &block), 0);
		assert_true(block >= FIRST + blocks);
	}
	assert_int_equal(alloc_check(alloc), 0);
	assert_int_equal(alloc_give(alloc, 70 * ALLOC_GROUP + 5, 3), 0);
	assert_int_equal(alloc_check(alloc), 0);
	alloc_rewind(alloc);
	assert_int_equal(alloc_take(alloc, 3, &block), 0);
	assert_int_equal(block, 70 * ALLOC_GROUP + 5);
	assert_int_equal(alloc_check(alloc), 0);
	alloc_free(alloc);
}

/* No block in front of the first one, also when it stands in the middle of a later group. */
static void test_first_block(void **state)
{
	static const uint64_t firsts[] = {0, 1, 63, 64, 65, 1023, 1024, 1025, 70000};
	struct alloc *alloc;
	uint64_t block;

	(void)state;
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		assert_int_equal(alloc_new(&alloc, firsts[i]), 0);
		assert_int_equal(alloc_take(alloc, 1, &block), 0);
		assert_int_equal(block, firsts[i]);
		assert_int_equal(alloc_take(alloc, ALLOC_GROUP, &block), 0);
		assert_int_equal(block % ALLOC_GROUP, 0);
		assert_int_equal(alloc_check(alloc), 0);
		assert_int_equal(alloc_give(alloc, block, ALLOC_GROUP), 0);
		assert_int_equal(alloc_give(alloc, firsts[i], 1), 0);
		assert_int_equal(alloc_end(alloc), firsts[i]);
		assert_int_equal(alloc_check(alloc), 0);
		alloc_free(alloc);
	}
}

static bool fails_after(void *ctx)
{
	unsigned *left = ctx;

	return *left == 0 || --*left == 0;
}

/* The k-th allocation and all later ones fail, for every k; the allocator stays whole. */
static void test_no_memory(void **state)
{
	uint64_t block;

	(void)state;
	for (unsigned k = 1; k < 20; k++) {
		struct alloc *alloc = NULL;
		unsigned left = k;
		uint64_t end = FIRST;
		int ret;

		mem_set_fault(fails_after, &left);
		ret = alloc_new(&alloc, FIRST);
		for (unsigned i = 0; ret == 0 && i < 100; i++) {
			ret = alloc_take(alloc, 600, &block);
			if (ret == 0)
				end = block + 600;
		}
		mem_set_fault(NULL, NULL);
		assert_true(ret == 0 || ret == ERR_NOMEM);
		if (alloc == NULL)
			continue;
		assert_int_equal(alloc_end(alloc), end);
		assert_int_equal(alloc_check(alloc), 0);
		assert_int_equal(alloc_take(alloc, 600, &block), 0);
		left = 1;
		mem_set_fault(fails_after, &left);
		assert_int_equal(alloc_mark(alloc, (uint64_t)1 << 20, 1), ERR_NOMEM);
		mem_set_fault(NULL, NULL);
		assert_int_equal(alloc_check(alloc), 0);
		alloc_free(alloc);
	}
}

/* Each invariant that is broken is seen. */
static void test_check(void **state)
{
	struct alloc *alloc = NULL, right;
	struct alloc_group group;
	uint64_t block, words[2];

	(void)state;
	assert_int_equal(alloc_new(&alloc, FIRST), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(alloc_take(alloc, 20, &block), 0);
	assert_int_equal(alloc_give(alloc, FIRST + 20, 20), 0);
	assert_int_equal(alloc_check(alloc), 0);
	right = *alloc;
	group = alloc->groups[0];
	memcpy(words, alloc->map, sizeof(words));
	for (int broken = 0; broken < 9; broken++) {
		uint16_t span = alloc->spans[0];

		switch (broken) {
		case 0: /* a run is longer than its bound */
			alloc->groups[0].bound = 19;
			break;
		case 1:
			alloc->groups[0].free++;
			break;
		case 2: /* below that of its group */
			alloc->spans[0] = 0;
			break;
		case 3:
			alloc->used++;
			break;
		case 4:
			alloc->end = ALLOC_GROUP + 1;
			break;
		case 5:
			alloc->end = FIRST - 1;
			break;
		case 6: /* a reserved block is free */
			alloc->map[0] |= 1;
			alloc->groups[0].free++;
			alloc->used--;
			break;
		case 7: /* a block behind the end is in use */
			alloc->map[1] &= ~((uint64_t)1 << 63);
			alloc->groups[0].free--;
			alloc->used++;
			break;
		default: /* the last block is free */
			alloc->end++;
			break;
		}
		assert_int_equal(alloc_check(alloc), ERR_DAMAGED);
		*alloc = right;
		alloc->groups[0] = group;
		alloc->spans[0] = span;
		memcpy(alloc->map, words, sizeof(words));
		assert_int_equal(alloc_check(alloc), 0);
	}
	alloc_free(alloc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),	    cmocka_unit_test(test_mark),
		cmocka_unit_test(test_refusals),    cmocka_unit_test(test_first_block),
		cmocka_unit_test(test_full_region), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
