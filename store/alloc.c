/*
 * alloc.c - the bitmap of free blocks.
 *
 * Three levels find room: spans of 64 groups, groups of 1024 blocks, words of 64 blocks. A span and
 * a group carry a bound: no run of free blocks inside a group is longer. A search that found less
 * than it wanted lowers the bounds it passed, a freed block raises those above it. So the second
 * search for the same size skips full and fragmented groups without looking at their bits.
 *
 * Invariants (alloc_check):
 *  1. A bit of the map is 1 if and only if the block is free. Blocks behind the map are free.
 *  2. group.free is the number of 1 bits of the group.
 *  3. group.bound is not below the longest run of 1 bits in the group.
 *  4. A span's bound is not below the bound of any of its groups.
 *  5. Blocks below `first` are in use. Block end - 1 is in use, or end is `first`.
 *  6. used is the number of 0 bits.
 */
#include "store/alloc.h"

#include "store/alloc_private.h"
#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define WORD_BITS 64u
#define GROUP_WORDS (ALLOC_GROUP / WORD_BITS)
#define SPAN 64u /* groups */
#define BLOCKS_MAX ((uint64_t)1 << 36)
#define ALL_FREE UINT64_MAX

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Bits [from, from + n) of a word; n 1 ... 64 - from. */
static uint64_t word_mask(unsigned from, uint64_t n)
{
	return (n == WORD_BITS ? ALL_FREE : ((uint64_t)1 << n) - 1) << from;
}

/* Extends the map so that it holds n_groups groups. */
static int grow(struct alloc *alloc, uint64_t n_groups)
{
	uint64_t n_spans = round_up(n_groups, SPAN) / SPAN;
	uint64_t had_spans = round_up(alloc->n_groups, SPAN) / SPAN;
	int ret;

	if (n_groups <= alloc->n_groups)
		return 0;
	ret = mem_grow((void **)&alloc->map, &alloc->map_cap, n_groups * GROUP_WORDS,
		       sizeof(*alloc->map));
	if (ret == 0)
		ret = mem_grow((void **)&alloc->groups, &alloc->groups_cap, n_groups,
			       sizeof(*alloc->groups));
	if (ret == 0)
		ret = mem_grow((void **)&alloc->spans, &alloc->spans_cap, n_spans,
			       sizeof(*alloc->spans));
	if (ret != 0)
		return ret;
	memset(alloc->map + alloc->n_groups * GROUP_WORDS, 0xff,
	       (n_groups - alloc->n_groups) * GROUP_WORDS * sizeof(*alloc->map));
	for (uint64_t g = alloc->n_groups; g < n_groups; g++)
		alloc->groups[g] = (struct alloc_group){ALLOC_GROUP, ALLOC_GROUP};
	for (uint64_t s = had_spans; s < n_spans; s++)
		alloc->spans[s] = ALLOC_GROUP;
	if (had_spans > 0)
		alloc->spans[had_spans - 1] = ALLOC_GROUP; /* may have got new groups */
	alloc->n_groups = n_groups;
	return 0;
}

/* Whether all of the blocks are free, or all in use. Blocks behind the map are free. */
static bool bits_are(const struct alloc *alloc, uint64_t block, uint64_t n, bool is_free)
{
	uint64_t limit = alloc->n_groups * ALLOC_GROUP;

	while (n > 0 && block < limit) {
		unsigned from = block % WORD_BITS;
		uint64_t piece = min_u64(n, WORD_BITS - from);
		uint64_t mask = word_mask(from, piece);

		if ((alloc->map[block / WORD_BITS] & mask) != (is_free ? mask : 0))
			return false;
		block += piece;
		n -= piece;
	}
	return n == 0 || is_free;
}

/*
 * The first block at or after `from`, below `limit` (inside the map), that is free or in use; limit
 * when there is none.
 */
static uint64_t find_bit(const struct alloc *alloc, uint64_t from, uint64_t limit, bool is_free)
{
	uint64_t flip = is_free ? 0 : ALL_FREE;

	while (from < limit) {
		uint64_t word = (alloc->map[from / WORD_BITS] ^ flip) >> from % WORD_BITS;

		if (word != 0)
			return min_u64(limit, from + (unsigned)__builtin_ctzll(word));
		from = (from / WORD_BITS + 1) * WORD_BITS;
	}
	return limit;
}

/* Where the run of free blocks that ends in front of `at` begins; not below `low`. */
static uint64_t run_begin(const struct alloc *alloc, uint64_t at, uint64_t low)
{
	while (at > low) {
		unsigned top = (at - 1) % WORD_BITS;
		uint64_t used = ~alloc->map[(at - 1) / WORD_BITS] & word_mask(0, top + 1);

		if (used != 0) {
			at += WORD_BITS - (unsigned)__builtin_clzll(used);
			at -= top + 1;
			break;
		}
		at -= top + 1;
	}
	return at > low ? at : low;
}

/* Raises the bounds above blocks of one group that have just become free. */
static void raise_bounds(struct alloc *alloc, uint64_t block, uint64_t n)
{
	uint64_t g = block / ALLOC_GROUP;
	uint64_t begin = run_begin(alloc, block, g * ALLOC_GROUP);
	uint64_t run = find_bit(alloc, block + n, (g + 1) * ALLOC_GROUP, false) - begin;

	if (alloc->groups[g].bound < run)
		alloc->groups[g].bound = (uint16_t)run;
	if (alloc->spans[g / SPAN] < alloc->groups[g].bound)
		alloc->spans[g / SPAN] = alloc->groups[g].bound;
}

/* Sets or clears the bits of blocks that the map holds, word by word. */
static void set_bits(struct alloc *alloc, uint64_t block, uint64_t n, bool to_free)
{
	while (n > 0) {
		unsigned from = block % WORD_BITS;
		uint64_t piece = min_u64(n, WORD_BITS - from);
		uint64_t mask = word_mask(from, piece);
		struct alloc_group *group = &alloc->groups[block / ALLOC_GROUP];

		if (to_free) {
			alloc->map[block / WORD_BITS] |= mask;
			group->free = (uint16_t)(group->free + piece);
			raise_bounds(alloc, block, piece);
		} else {
			alloc->map[block / WORD_BITS] &= ~mask;
			group->free = (uint16_t)(group->free - piece);
			if (group->bound > group->free)
				group->bound = group->free;
		}
		block += piece;
		n -= piece;
	}
}

int alloc_new(struct alloc **alloc_out, uint64_t first_block)
{
	struct alloc *alloc;
	int ret;

	*alloc_out = NULL;
	if (first_block > BLOCKS_MAX)
		return ERR_INVALID;
	alloc = mem_zalloc(1, sizeof(*alloc));
	if (alloc == NULL)
		return ERR_NOMEM;
	ret = grow(alloc, round_up(first_block, ALLOC_GROUP) / ALLOC_GROUP);
	if (ret != 0) {
		alloc_free(alloc);
		return ret;
	}
	set_bits(alloc, 0, first_block, false);
	alloc->first = alloc->end = alloc->used = alloc->cursor = first_block;
	*alloc_out = alloc;
	return 0;
}

void alloc_rewind(struct alloc *alloc)
{
	alloc->cursor = alloc->first;
}

void alloc_free(struct alloc *alloc)
{
	if (alloc == NULL)
		return;
	mem_free(alloc->map);
	mem_free(alloc->groups);
	mem_free(alloc->spans);
	mem_free(alloc);
}

/*
 * Looks for n blocks in one group, from a block of it on. A look at the whole group that fails
 * lowers its bound to the longest run there is.
 */
static bool search_group(struct alloc *alloc, uint64_t from, uint32_t n, uint64_t *block_out)
{
	uint64_t g = from / ALLOC_GROUP;
	uint64_t limit = (g + 1) * ALLOC_GROUP;
	uint64_t at = from;
	uint64_t longest = 0;

	while (at < limit) {
		uint64_t begin = find_bit(alloc, at, limit, true);

		at = find_bit(alloc, begin, limit, false);
		if (at - begin >= n) {
			*block_out = begin;
			return true;
		}
		if (at - begin > longest)
			longest = at - begin;
	}
	if (from % ALLOC_GROUP == 0)
		alloc->groups[g].bound = (uint16_t)longest;
	return false;
}

/* Looks at all groups from the one of block `from` on, and lowers the bounds of whole spans. */
static bool search_from(struct alloc *alloc, uint64_t from, uint32_t n, uint64_t *block_out)
{
	uint64_t n_groups = round_up(alloc->end, ALLOC_GROUP) / ALLOC_GROUP;
	uint64_t g = from / ALLOC_GROUP;

	if (from >= alloc->end)
		return false;
	if (from % ALLOC_GROUP != 0) {
		if (alloc->groups[g].bound >= n && search_group(alloc, from, n, block_out))
			return true;
		g++;
	}
	while (g < n_groups) {
		uint64_t span_begin = g;
		uint64_t span_end = min_u64((g / SPAN + 1) * SPAN, n_groups);
		uint16_t most = 0;

		if (alloc->spans[g / SPAN] < n) {
			g = span_end;
			continue;
		}
		for (; g < span_end; g++) {
			if (alloc->groups[g].bound >= n &&
			    search_group(alloc, g * ALLOC_GROUP, n, block_out))
				return true;
			if (alloc->groups[g].bound > most)
				most = alloc->groups[g].bound;
		}
		if (span_begin % SPAN == 0 && (span_end % SPAN == 0 || span_end == alloc->n_groups))
			alloc->spans[span_begin / SPAN] = most;
	}
	return false;
}

int alloc_take(struct alloc *alloc, uint32_t n, uint64_t *block_out)
{
	uint64_t block = 0;
	int ret;

	*block_out = 0;
	if (n == 0 || n > ALLOC_GROUP)
		return ERR_INVALID;
	/* A search finds the run behind the end last, so it hides no other fit. */
	if ((!search_from(alloc, alloc->cursor, n, &block) || block >= alloc->end) &&
	    (!search_from(alloc, 0, n, &block) || block >= alloc->end)) {
		block = alloc->end;
		if (block % ALLOC_GROUP + n > ALLOC_GROUP)
			block = round_up(block, ALLOC_GROUP);
		if (block + n > BLOCKS_MAX)
			return ERR_FULL;
		ret = grow(alloc, block / ALLOC_GROUP + 1);
		if (ret != 0)
			return ret;
		alloc->end = block + n;
	}
	set_bits(alloc, block, n, false);
	alloc->used += n;
	alloc->cursor = block + n;
	*block_out = block;
	return 0;
}

int alloc_mark(struct alloc *alloc, uint64_t block, uint32_t n)
{
	int ret;

	if (block >= BLOCKS_MAX || n > BLOCKS_MAX - block || !bits_are(alloc, block, n, true))
		return ERR_DAMAGED;
	if (n == 0)
		return 0;
	ret = grow(alloc, (block + n - 1) / ALLOC_GROUP + 1);
	if (ret != 0)
		return ret;
	set_bits(alloc, block, n, false);
	alloc->used += n;
	if (alloc->end < block + n)
		alloc->end = block + n;
	return 0;
}

int alloc_give(struct alloc *alloc, uint64_t block, uint32_t n)
{
	if (block < alloc->first || block > BLOCKS_MAX || n > BLOCKS_MAX - block ||
	    !bits_are(alloc, block, n, false))
		return ERR_DAMAGED;
	set_bits(alloc, block, n, true);
	alloc->used -= n;
	if (block + n == alloc->end)
		alloc->end = run_begin(alloc, alloc->end, alloc->first);
	return 0;
}

bool alloc_is_free(const struct alloc *alloc, uint64_t block)
{
	return block < BLOCKS_MAX && bits_are(alloc, block, 1, true);
}

uint64_t alloc_end(const struct alloc *alloc)
{
	return alloc->end;
}

uint64_t alloc_free_blocks(const struct alloc *alloc)
{
	return alloc->end - alloc->used;
}

bool alloc_next_free(const struct alloc *alloc, uint64_t from, uint64_t *block_out, uint64_t *n_out)
{
	uint64_t at = from;

	*block_out = 0;
	*n_out = 0;
	while (at < alloc->end && alloc->groups[at / ALLOC_GROUP].free == 0)
		at = (at / ALLOC_GROUP + 1) * ALLOC_GROUP;
	at = find_bit(alloc, at, alloc->end, true);
	if (at >= alloc->end)
		return false;
	*block_out = at;
	*n_out = find_bit(alloc, at, alloc->end, false) - at;
	return true;
}

/* Invariants 2 and 3 for one group; adds its free blocks. */
static int check_group(const struct alloc *alloc, uint64_t g, uint64_t *free_io)
{
	const struct alloc_group *group = &alloc->groups[g];
	uint64_t limit = (g + 1) * ALLOC_GROUP;
	uint64_t free = 0;

	for (uint64_t at = g * ALLOC_GROUP; at < limit;) {
		uint64_t begin = find_bit(alloc, at, limit, true);

		at = find_bit(alloc, begin, limit, false);
		free += at - begin;
		if (at - begin > group->bound)
			return ERR_DAMAGED;
	}
	*free_io += free;
	return free == group->free ? 0 : ERR_DAMAGED;
}

int alloc_check(const struct alloc *alloc)
{
	uint64_t limit = alloc->n_groups * ALLOC_GROUP;
	uint64_t free = 0;

	for (uint64_t g = 0; g < alloc->n_groups; g++)
		if (check_group(alloc, g, &free) != 0 ||
		    alloc->spans[g / SPAN] < alloc->groups[g].bound)
			return ERR_DAMAGED;
	if (free + alloc->used != limit || alloc->end > limit || alloc->end < alloc->first)
		return ERR_DAMAGED;
	if (!bits_are(alloc, 0, alloc->first, false) ||
	    !bits_are(alloc, alloc->end, limit - alloc->end, true))
		return ERR_DAMAGED;
	if (alloc->end > alloc->first && !bits_are(alloc, alloc->end - 1, 1, false))
		return ERR_DAMAGED;
	return 0;
}
