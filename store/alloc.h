/*
 * alloc.h - which 4 KiB blocks of the head object are free (in memory; freelist.c stores it).
 *
 * A bitmap, with the count of free blocks of each 4 MiB group beside it. No extent crosses a group,
 * as the seam demands of page I/O. The allocator has no lock: the owner (pager.c) brings one.
 */
#ifndef VECFS_STORE_ALLOC_H
#define VECFS_STORE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALLOC_GROUP 1024u /* blocks: 4 MiB */

struct alloc; /* opaque */

/* All blocks at or above first_block are free and beyond the end; those below are reserved. */
int alloc_new(struct alloc **alloc_out, uint64_t first_block);
void alloc_free(struct alloc *alloc); /* accepts NULL */

/*
 * Takes n (1 ... 1024) consecutive blocks that lie in one group: the lowest fit at or after the
 * last allocation first (so that what is written together lies together), then from the start, then
 * at the end of the used space. ERR_NOMEM; ERR_FULL when block numbers run out (2^36).
 */
int alloc_take(struct alloc *alloc, uint32_t n, uint64_t *block_out);
/* The next allocation starts at the front, so that the end of the head can empty. */
void alloc_rewind(struct alloc *alloc);
/*
 * Marks blocks in use, for the walk at open. ERR_DAMAGED, and nothing changed, if one of them
 * already is. Costs a bit of memory for each block up to the last: compare that with the size of
 * the head before.
 */
int alloc_mark(struct alloc *alloc, uint64_t block, uint32_t n);
/*
 * Returns blocks. ERR_DAMAGED, and nothing changed, unless all are in use and none is reserved.
 */
int alloc_give(struct alloc *alloc, uint64_t block, uint32_t n);
bool alloc_is_free(const struct alloc *alloc, uint64_t block);

/* Blocks up to the last one in use; free ones below that; the next free extent at or after *at. */
uint64_t alloc_end(const struct alloc *alloc);
uint64_t alloc_free_blocks(const struct alloc *alloc);
/* Iterates free extents below alloc_end: false when there is none at or after `from`. */
bool alloc_next_free(const struct alloc *alloc, uint64_t from, uint64_t *block_out,
		     uint64_t *n_out);
/* Invariants: group counts and bounds agree with the bitmap, end is right. 0 or ERR_DAMAGED. */
int alloc_check(const struct alloc *alloc);

#endif
