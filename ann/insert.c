/*
 * insert.c - linking a slot into the graph, beside searches and other inserts.
 *
 * Streaming insert of FreshDiskANN (algorithm 2): search for the slot's own code, choose links among
 * all that was expanded, then give each of them a link back. Everything is allocated before the
 * first change.
 *
 * Order of changes: own links, state LINKED, links back. So whoever meets the slot can go on from it.
 *
 * Locks: see links.c.
 */
#include "ann/graph.h"

#include "ann/entries.h"
#include "ann/links.h"
#include "store/base.h"
#include "store/err.h"

/* Inserts before entries are chosen for the first time; then eight times as their number doubles. */
#define INSERT_FIRST_ENTRIES 64u
/* Candidates looked at for each link that may be chosen; more change little but cost. */
#define INSERT_POOL 4u

/* Finds what the slot will link to: *n_out slots in scratch->fresh, whose room a record fits. */
static int choose(struct graph *graph, struct graph_scratch *scratch, uint32_t slot, size_t *n_out)
{
	struct search_walk walk = {.query = &scratch->query,
				   .effort = graph->params.build_effort,
				   .keep_expanded = true};
	int err = search_run(graph, scratch, &walk);

	if (err)
		return err;
	return links_choose(graph, scratch, slot, scratch->expanded, scratch->n_expanded,
			    (size_t)INSERT_POOL * graph->params.degree, scratch->fresh, n_out);
}

/* A graph without a LINKED slot: the slot is its entry, unless another thread was first. */
static int insert_first(struct graph *graph, uint32_t slot, bool *done_out)
{
	int err = links_write(graph, slot, NULL, 0);

	*done_out = err == 0 && entries_claim(graph, slot, scratch_limit(graph));
	return err;
}

static int link_both_ways(struct graph *graph, struct graph_scratch *scratch, uint32_t slot,
			  size_t n)
{
	int err = links_write(graph, slot, scratch->fresh, n);

	if (err)
		return err;
	graph_state_set(graph->states, slot, GRAPH_LINKED);
	for (size_t i = 0; i < n && err == 0; i++)
		err = links_add(graph, scratch, scratch->fresh[i], slot);
	if (err)
		scratch_state_move(graph, slot, GRAPH_LINKED, GRAPH_ABSENT);
	return err;
}

/* The graph has grown: entries that were chosen from a part of it know nothing of the rest. */
static void count_insert(struct graph *graph)
{
	uint64_t n = 1 + atomic_fetch_add_explicit(&graph->inserted, 1, memory_order_relaxed);
	uint64_t step = INSERT_FIRST_ENTRIES / 8;

	if (n < INSERT_FIRST_ENTRIES)
		return;
	while (16 * step <= n)
		step *= 2;
	if (n % step == 0)
		graph_choose_entries(graph, scratch_limit(graph));
}

/* The search goes by the full vector where links do, else by the code. */
static void set_query(struct graph *graph, struct graph_scratch *scratch, uint32_t slot)
{
	struct ann_nodes *nodes = graph->nodes;
	const float *vector = NULL;

	nodes->ops->read_begin(nodes);
	if (graph->by_vector && nodes->ops->vector(nodes, slot, &vector) == 0)
		quant_query_set(&scratch->query, vector, scratch->encode);
	else
		quant_query_set_code(&scratch->query, codes_at(graph->codes, slot));
	nodes->ops->read_end(nodes);
}

int graph_insert(struct graph *graph, struct graph_scratch *scratch, uint32_t slot)
{
	bool done = false;
	size_t n = 0;
	int err;

	if (slot >= scratch_limit(graph) || scratch_state(graph, slot) != GRAPH_ABSENT)
		return ERR_INVALID;
	set_query(graph, scratch, slot);
	err = choose(graph, scratch, slot, &n);
	if (err == 0 && n == 0) {
		err = insert_first(graph, slot, &done);
		if (err || done)
			return err;
		err = choose(graph, scratch, slot, &n);
	}
	if (err == 0)
		err = link_both_ways(graph, scratch, slot, n);
	if (err == 0)
		count_insert(graph);
	return err;
}
