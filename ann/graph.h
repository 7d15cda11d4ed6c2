/*
 * graph.h - the Vamana graph over codes: search, insert, repair after deletion, validation.
 *
 * Algorithms: greedy search and robust prune as in DiskANN (Subramanya et al., NeurIPS 2019,
 * algorithms 1 and 2); streaming insert as in FreshDiskANN (Singh et al., 2021, algorithm 2);
 * deletion in place as in IP-DiskANN (Xu et al., 2025, algorithm 5).
 *
 * The graph knows slots, codes and links; it knows neither ids nor the store. Distances are the
 * ordering form of quant.h.
 *
 * Threads: searches run beside inserts and repairs on any threads. Links of a node are changed under
 * its stripe lock, one stripe held at a time; readers take no lock (nodes.h).
 */
#ifndef VECFS_ANN_GRAPH_H
#define VECFS_ANN_GRAPH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/nodes.h"
#include "ann/quant.h"
#include "store/tables.h"

#define GRAPH_STRIPES TABLE_STRIPES
#define GRAPH_ENTRIES 16u
#define GRAPH_NEAR 64u

/* State of a slot as the graph sees it; one atomic byte a slot. */
enum graph_state {
	GRAPH_ABSENT = 0, /* not in the graph: free, or pending */
	GRAPH_LINKED = 1,
	GRAPH_TOMBSTONE = 2, /* deleted, still linked: walked through, never returned */
};

#define GRAPH_STATE_CHUNK TABLE_CHUNK
struct graph_states {
	_Atomic(_Atomic(uint8_t) *) *chunks; /* TABLE_CHUNKS pointers */
	_Atomic uint32_t cap;
};
int graph_states_init(struct graph_states *states);
void graph_states_release(struct graph_states *states);
/* Callers serialise. New slots are GRAPH_ABSENT. ERR_NOMEM; ERR_LIMIT for n of 2^30 and more. */
int graph_states_grow(struct graph_states *states, uint32_t n);
/* GRAPH_ABSENT for slots beyond cap. */
enum graph_state graph_state(const struct graph_states *states, uint32_t slot);
void graph_state_set(struct graph_states *states, uint32_t slot, enum graph_state state);

struct graph_params {
	uint32_t degree; /* R: links after a prune */
	uint32_t cap;	 /* links a record holds: degree plus slack; pruned to degree when full */
	uint32_t build_effort; /* L of the search that an insert does */
	float alpha; /* of the robust prune, as for a metric: squared where distances are squares */
};
/* What this library recommends for a dimension: R, cap, L, alpha, and the default search effort. */
void graph_recommend(uint32_t dim, enum ann_metric metric, struct graph_params *params_out,
		     uint32_t *effort_out);

struct graph {
	struct graph_params params;
	struct ann_nodes *nodes;     /* not owned */
	const struct quant *quant;   /* not owned */
	const struct codes *codes;   /* not owned */
	struct graph_states *states; /* not owned */
	/*
	 * Links are chosen by the full vectors: codes of 1 and 2 bits say too little of near ones. Set
	 * by graph_init where the nodes have vectors.
	 */
	bool by_vector;
	pthread_mutex_t stripes[GRAPH_STRIPES];
	pthread_mutex_t entries_lock;
	_Atomic uint32_t entries[GRAPH_ENTRIES]; /* where searches start; valid up to n_entries */
	_Atomic uint32_t n_entries;
	/* Where a search goes on from the entry nearest to its query; valid up to n_near. */
	_Atomic uint32_t near[GRAPH_ENTRIES][GRAPH_NEAR];
	_Atomic uint32_t n_near[GRAPH_ENTRIES];
	_Atomic bool empty;	   /* no slot was LINKED when entries were last looked for */
	_Atomic uint64_t inserted; /* since graph_init; entries are chosen anew as it grows */
	_Atomic uint64_t distances, hops; /* counters, added to once a search */
};
int graph_init(struct graph *graph, const struct graph_params *params, struct ann_nodes *nodes,
	       const struct quant *quant, const struct codes *codes, struct graph_states *states);
void graph_release(struct graph *graph);

struct graph_hit {
	float distance;
	uint32_t slot;
};

/* Working memory of one thread, reused from search to search; no allocation once warm. */
struct graph_scratch;
int graph_scratch_new(const struct graph *graph, struct graph_scratch **scratch_out);
void graph_scratch_free(struct graph_scratch *scratch);

/*
 * The (up to) effort nearest LINKED slots by estimated distance, nearest first, in *hits_out, which
 * stays valid until the scratch is used again. cancelled may be NULL. No graph yet: no hits.
 */
int graph_search(struct graph *graph, struct graph_scratch *scratch,
		 const struct quant_query *query, uint32_t effort, bool (*cancelled)(void *ctx),
		 void *ctx, const struct graph_hit **hits_out, size_t *n_out);

/*
 * Links a slot whose code is in place and whose state is ABSENT, and sets it LINKED. Inserting slots
 * on several threads at once is allowed (each its own slot). An error leaves the slot ABSENT; links
 * that already point to it are harmless.
 */
int graph_insert(struct graph *graph, struct graph_scratch *scratch, uint32_t slot);

/*
 * Repairs around a TOMBSTONE: finds nodes that link to it by a search, gives each up to c = 3 of its
 * neighbours instead, empties its own links. Some links to it may remain until a sweep.
 */
int graph_repair(struct graph *graph, struct graph_scratch *scratch, uint32_t slot);
/*
 * Removes links to slots that are not LINKED from the nodes of slots first ... end-1. After a sweep
 * over all slots, repaired tombstones from before it began have no links left and may be set ABSENT.
 */
int graph_sweep(struct graph *graph, struct graph_scratch *scratch, uint32_t first, uint32_t end);

/*
 * Chooses entry points anew: LINKED slots, as central and as spread as a sample tells. Some
 * milliseconds. Inserts and repairs do this by themselves when it is due; after the states of a graph
 * that was loaded are set it must be called once.
 */
void graph_choose_entries(struct graph *graph, uint32_t slots);

struct graph_check_report {
	uint64_t linked, tombstones, links, max_degree;
	uint64_t over_cap, self_links, duplicates, beyond,
		dangling;     /* faults; dangling: to ABSENT */
	uint64_t unreachable; /* LINKED slots no entry leads to */
};
/*
 * Walks the whole graph over slots 0 ... slots-1. dangling links are no fault by themselves.
 * ERR_DAMAGED when over_cap, self_links, duplicates or beyond is not 0.
 */
int graph_check(struct graph *graph, uint32_t slots, struct graph_check_report *report_out);

#endif
