/*
 * links.h - the links of one node: reading and changing its record, and choosing what it holds.
 *
 * Private to the graph. Functions that change a record take its stripe lock themselves and hold the
 * nodes' read bracket while they do.
 */
#ifndef VECFS_ANN_LINKS_H
#define VECFS_ANN_LINKS_H

#include "ann/scratch.h"

/* One word of a record, which another thread may be changing. */
static inline uint32_t links_word(const uint32_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* Number of links, bounded: what the record says is not trusted. */
static inline uint32_t links_count(const struct graph *graph, const uint32_t *record)
{
	uint32_t n = links_word(record);

	return n < graph->nodes->cap ? n : graph->nodes->cap;
}

/* Copies the links of a record; links_out has room for nodes->cap. Returns their number. */
uint32_t links_copy(const struct graph *graph, const uint32_t *record, uint32_t *links_out);

/* Nearest first; equals in an order that depends on node. */
void links_sort(struct graph_hit *hits, size_t n, uint32_t node);

/*
 * Distance between two nodes, by their codes or (graph->by_vector) their vectors, in a form that is at
 * least 0 and is a metric after a square root: l2 squared, 1 - cos, and under inner product l2 squared
 * of lifted vectors (links.c).
 */
float links_distance(const struct graph *graph, uint32_t a, uint32_t b);
/* The same by the codes, whatever links are chosen by: nothing is read. */
float links_code_distance(const struct graph *graph, uint32_t a, uint32_t b);

/*
 * Chooses up to degree links for slot among n distinct slots; those that are slot itself or are not
 * LINKED are left out. Only the `most` nearest are looked at. links_out: room for degree. ERR_NOMEM.
 */
int links_choose(const struct graph *graph, struct graph_scratch *scratch, uint32_t slot,
		 const uint32_t *slots, size_t n, size_t most, uint32_t *links_out, size_t *n_out);

/* Whether a record has a link to slot; or one to a slot that is not LINKED, or too many. */
bool links_lead_to(const struct graph *graph, const uint32_t *record, uint32_t slot);
bool links_lead_astray(const struct graph *graph, const uint32_t *record);

/* Replaces the links of a node. n <= nodes->cap. */
int links_write(struct graph *graph, uint32_t slot, const uint32_t *links, size_t n);

/* Adds a link to a node; when its record is full, its links are chosen anew. */
int links_add(struct graph *graph, struct graph_scratch *scratch, uint32_t node, uint32_t slot);

/*
 * Takes from a node the links to `gone` (CANDSET_SLOT: all links to slots that are not LINKED) and
 * adds n others.
 */
int links_replace(struct graph *graph, struct graph_scratch *scratch, uint32_t node, uint32_t gone,
		  const uint32_t *others, size_t n);

#endif
