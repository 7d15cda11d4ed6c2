/*
 * candset.h - the candidates of one search, nearest first, bounded; and the set of slots it has seen.
 *
 * A candidate is a graph_hit whose two upper slot bits are flags while the search runs, so that
 * moving the list is one memmove.
 *
 * Invariants (candset_check):
 * 1. items[0] ... items[n-1] ascend by distance; no distance is NaN or infinite.
 * 2. live <= effort counts the items that are no tombstones; tombs the others; n = live + tombs.
 * 3. tombs <= tombs_max, and when live == effort the last item is a live one.
 * 4. Every item before `next` is expanded.
 *
 * Locks: none; both belong to the scratch of one thread.
 */
#ifndef VECFS_ANN_CANDSET_H
#define VECFS_ANN_CANDSET_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ann/graph.h"

#define CANDSET_EXPANDED 0x80000000u
#define CANDSET_TOMBSTONE 0x40000000u
#define CANDSET_SLOT 0x3fffffffu /* mask; also no slot is as large: "none" */

struct candset {
	struct graph_hit *items; /* owned; one more than live and tombstones can ever fill */
	size_t room;
	size_t n, live, tombs, tombs_max, next;
	uint32_t effort;
	float bound; /* a candidate not nearer than this is of no use */
};

/* Empties the set for a search of this effort (>= 1). ERR_NOMEM; allocates only to grow. */
int candset_start(struct candset *set, uint32_t effort);
void candset_release(struct candset *set);
/* Puts a candidate nearer than bound in its place, dropping what no longer fits. */
void candset_insert(struct candset *set, float distance, uint32_t flagged);

/* Adds a slot met for the first time. A distance that is no finite number counts as the largest. */
static inline void candset_add(struct candset *set, float distance, uint32_t slot, bool tombstone)
{
	if (!(distance <= FLT_MAX))
		distance = FLT_MAX;
	if (distance < set->bound)
		candset_insert(set, distance, tombstone ? slot | CANDSET_TOMBSTONE : slot);
}

/* The nearest slot not yet expanded, CANDSET_SLOT when there is none. */
static inline uint32_t candset_peek(struct candset *set)
{
	while (set->next < set->n && (set->items[set->next].slot & CANDSET_EXPANDED) != 0)
		set->next++;
	return set->next < set->n ? set->items[set->next].slot & CANDSET_SLOT : CANDSET_SLOT;
}

/* Marks what candset_peek just gave as expanded, and returns it. */
static inline uint32_t candset_take(struct candset *set)
{
	set->items[set->next].slot |= CANDSET_EXPANDED;
	return set->items[set->next++].slot & CANDSET_SLOT;
}

/* Undoes the candset_take of the item at this place; nothing was added since. */
static inline void candset_put_back(struct candset *set, size_t at)
{
	set->items[at].slot &= ~CANDSET_EXPANDED;
	set->next = at;
}

/* Ends the search: tombstones and flags go, live slots stay in items[0] ... items[n-1]. */
void candset_finish(struct candset *set);
/* Whether the invariants hold; for tests. */
bool candset_check(const struct candset *set);

/*
 * Seen slots. For collections of up to VISITED_STAMPS slots one byte a slot, which holds the number
 * of the search that saw it last, cleared once in 255 searches: 2-3 ns a question while it fits the
 * caches. For larger ones a hash set with open addressing: 5 ns, whatever the size, against 18 ns and
 * 84 ns for 10 and 100 million bytes.
 */
#define VISITED_STAMPS (4u << 20)
struct visited {
	bool hashed; /* this search uses the table */
	bool failed; /* no memory for a larger table: slots may be missing */
	uint8_t epoch;
	uint8_t *stamps; /* owned */
	size_t cap;	 /* of stamps */
	uint32_t *table; /* owned; UINT32_MAX where empty */
	size_t room;	 /* of the table as allocated */
	size_t mask;	 /* of the part in use, a power of two minus 1 */
	size_t n;	 /* in the table; at most half of it */
};

/*
 * Forgets all; slots below n may be asked for. expected: about how many will be, which sets the first
 * size of the table. ERR_NOMEM.
 */
int visited_start(struct visited *seen, size_t n, size_t expected);
void visited_release(struct visited *seen);
bool visited_add_hashed(struct visited *seen, uint32_t slot);

/* Whether the slot was new; it is seen from now on. */
static inline bool visited_add(struct visited *seen, uint32_t slot)
{
	bool fresh;

	if (seen->hashed)
		return visited_add_hashed(seen, slot);
	fresh = seen->stamps[slot] != seen->epoch;
	seen->stamps[slot] = seen->epoch;
	return fresh;
}

#endif
