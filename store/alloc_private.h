/*
 * alloc_private.h - what an allocator consists of; private to alloc.c and to the test of alloc_check.
 *
 * Invariants: alloc.c.
 */
#ifndef VECFS_STORE_ALLOC_PRIVATE_H
#define VECFS_STORE_ALLOC_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

struct alloc_group {
	uint16_t free;
	uint16_t bound;
};

struct alloc {
	uint64_t *map; /* GROUP_WORDS words a group */
	struct alloc_group *groups;
	uint16_t *spans; /* bound of each 64 groups */
	uint64_t n_groups;
	size_t map_cap, groups_cap, spans_cap;
	uint64_t first;	 /* reserved blocks */
	uint64_t end;	 /* last block in use + 1 */
	uint64_t used;	 /* with the reserved ones */
	uint64_t cursor; /* behind the last allocation */
};

#endif
