/*
 * scratch.h - what the files of the graph share among themselves: the working memory of a thread,
 * the walk through the graph, and inlined access to states.
 *
 * Private to search.c, insert.c, delete.c, links.c, graph.c. Locks: a scratch belongs to one thread.
 */
#ifndef VECFS_ANN_SCRATCH_H
#define VECFS_ANN_SCRATCH_H

#include <stdatomic.h>

#include "ann/candset.h"
#include "ann/graph.h"
#include "ann/prune.h"

/* What distances between nodes are measured on: the full vector, or the code where that is NULL. */
struct scratch_point {
	const uint8_t *code;
	const float *vector; /* valid in the nodes' read bracket */
	float norm;	     /* squared; 0 where no distance needs it */
};

/* Candidates from which the links of a node are chosen, nearest first once links_sort was called. */
struct scratch_pool {
	size_t n, room;
	struct graph_hit *hits;	      /* owned, as all below; room of each */
	float *distances;	      /* of hits, for prune_robust */
	struct scratch_point *points; /* of hits */
	uint32_t *slots;	      /* of hits, to be fetched */
	struct prune_mark *marks;
	float top; /* the largest norm, squared, of the pool and the node it is for */
};

struct graph_scratch {
	const struct graph *graph;
	struct candset cands;
	struct visited seen;
	struct quant_query query; /* of the slot that is inserted or repaired */
	void *encode;		  /* for making the query of a full vector */
	uint32_t *fresh;	  /* neighbours met for the first time: room for a record */
	float *fresh_distances;
	uint32_t *record; /* room for one */
	uint32_t *links;  /* what a record holds or will hold: cap + 1 */
	uint32_t *chosen; /* by prune_robust: cap */
	struct scratch_pool pool;
	uint32_t *expanded; /* slots in the order of the walk, when asked for */
	size_t n_expanded, room_expanded;
	uint64_t distances, hops;
};

/* Slots that have a state and a code; links to others are not followed. */
static inline uint32_t scratch_limit(const struct graph *graph)
{
	uint32_t states = atomic_load_explicit(&graph->states->cap, memory_order_acquire);
	uint32_t codes = atomic_load_explicit(&graph->codes->cap, memory_order_acquire);

	return states < codes ? states : codes;
}

/* The state of a slot below scratch_limit. */
static inline enum graph_state scratch_state(const struct graph *graph, uint32_t slot)
{
	_Atomic(uint8_t) *chunk = atomic_load_explicit(
		&graph->states->chunks[slot / GRAPH_STATE_CHUNK], memory_order_acquire);

	return (enum graph_state)atomic_load_explicit(&chunk[slot % GRAPH_STATE_CHUNK],
						      memory_order_acquire);
}

/* Changes the state of a slot unless another thread has changed it since. */
static inline void scratch_state_move(struct graph *graph, uint32_t slot, enum graph_state from,
				      enum graph_state to)
{
	_Atomic(uint8_t) *chunk = atomic_load_explicit(
		&graph->states->chunks[slot / GRAPH_STATE_CHUNK], memory_order_acquire);
	uint8_t expected = (uint8_t)from;

	(void)atomic_compare_exchange_strong(&chunk[slot % GRAPH_STATE_CHUNK], &expected,
					     (uint8_t)to); /* no: the other thread's wins */
}

/* Makes the pool's arrays hold n candidates and empties it. ERR_NOMEM. */
int scratch_pool_start(struct scratch_pool *pool, size_t n);

struct search_walk {
	const struct quant_query *query;
	uint32_t effort;
	bool keep_expanded;	      /* list what was expanded in scratch->expanded */
	bool (*cancelled)(void *ctx); /* may be NULL */
	void *ctx;
};
/*
 * Best-first search (algorithm 1); leaves its candidates, tombstones among them, in scratch->cands.
 * ERR_NOMEM, ERR_INTERRUPTED, and what reading a node gives. Inside, the nodes' read bracket is
 * held.
 */
int search_run(struct graph *graph, struct graph_scratch *scratch, const struct search_walk *walk);

#endif
