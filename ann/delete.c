/*
 * delete.c - mending the graph around a deleted slot, and removing links to what is gone.
 *
 * Repair is algorithm 5 of IP-DiskANN: a search for the deleted node meets most of those that link
 * to it; each of them gets the nearest of the candidates the search found instead, and so does each
 * node the deleted one linked to, the other way round. What the search did not meet is left for the
 * sweep.
 *
 * Locks: see links.c.
 */
#include "ann/graph.h"

#include "ann/entries.h"
#include "ann/links.h"
#include "store/err.h"

#define REPAIR_EFFORT 96u /* least effort of the search for nodes that link to the deleted one */
#define REPAIR_CANDIDATES 48u
#define REPAIR_LINKS 3u

struct repair {
	uint32_t slot; /* the deleted one */
	size_t n;
	uint32_t candidates[REPAIR_CANDIDATES]; /* LINKED slots near it */
};

/* The up to REPAIR_LINKS candidates nearest to node. Returns their number. */
static size_t nearest_candidates(const struct graph *graph, const struct repair *repair,
				 uint32_t node, uint32_t *slots_out)
{
	struct graph_hit hits[REPAIR_CANDIDATES];
	size_t n = 0;

	for (size_t i = 0; i < repair->n; i++)
		if (repair->candidates[i] != node)
			hits[n++] = (struct graph_hit){
				links_distance(graph, node, repair->candidates[i]),
				repair->candidates[i]};
	links_sort(hits, n, node);
	n = n < REPAIR_LINKS ? n : REPAIR_LINKS;
	for (size_t i = 0; i < n; i++)
		slots_out[i] = hits[i].slot;
	return n;
}

/* Copies a node's links to scratch->fresh. */
static int read_links(struct graph *graph, struct graph_scratch *scratch, uint32_t slot,
		      uint32_t *n_out)
{
	struct ann_nodes *nodes = graph->nodes;
	const uint32_t *record;
	int err;

	nodes->ops->read_begin(nodes);
	err = nodes->ops->read(nodes, slot, &record);
	*n_out = err ? 0 : links_copy(graph, record, scratch->fresh);
	nodes->ops->read_end(nodes);
	return err;
}

/* A node that links to the deleted one: links to candidates take its place. */
static int mend_before(struct graph *graph, struct graph_scratch *scratch,
		       const struct repair *repair, uint32_t node)
{
	struct ann_nodes *nodes = graph->nodes;
	uint32_t others[REPAIR_LINKS];
	const uint32_t *record;
	bool leads;
	int err;

	nodes->ops->read_begin(nodes);
	err = nodes->ops->read(nodes, node, &record);
	leads = err == 0 && links_lead_to(graph, record, repair->slot);
	nodes->ops->read_end(nodes);
	if (!leads)
		return err;
	return links_replace(graph, scratch, node, repair->slot, others,
			     nearest_candidates(graph, repair, node, others));
}

/* A node the deleted one linked to: candidates link to it instead. */
static int mend_after(struct graph *graph, struct graph_scratch *scratch,
		      const struct repair *repair, uint32_t node)
{
	uint32_t others[REPAIR_LINKS];
	size_t n = nearest_candidates(graph, repair, node, others);
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++)
		err = links_add(graph, scratch, others[i], node);
	return err;
}

static int find_candidates(struct graph *graph, struct graph_scratch *scratch,
			   struct repair *repair)
{
	struct search_walk walk = {.query = &scratch->query,
				   .effort = graph->params.build_effort,
				   .keep_expanded = true};
	int err;

	if (walk.effort < REPAIR_EFFORT)
		walk.effort = REPAIR_EFFORT;
	quant_query_set_code(&scratch->query, codes_at(graph->codes, repair->slot));
	err = search_run(graph, scratch, &walk);
	if (err)
		return err;
	candset_finish(&scratch->cands);
	for (size_t i = 0; i < scratch->cands.n && repair->n < REPAIR_CANDIDATES; i++)
		if (scratch->cands.items[i].slot != repair->slot)
			repair->candidates[repair->n++] = scratch->cands.items[i].slot;
	return 0;
}

int graph_repair(struct graph *graph, struct graph_scratch *scratch, uint32_t slot)
{
	struct repair repair = {.slot = slot};
	uint32_t n_links, limit = scratch_limit(graph);
	int err;

	if (slot >= limit || scratch_state(graph, slot) != GRAPH_TOMBSTONE)
		return ERR_INVALID;
	err = find_candidates(graph, scratch, &repair);
	for (size_t i = 0; i < scratch->n_expanded && err == 0; i++)
		if (scratch->expanded[i] != slot)
			err = mend_before(graph, scratch, &repair, scratch->expanded[i]);
	if (err)
		return err;
	err = read_links(graph, scratch, slot, &n_links);
	for (uint32_t i = 0; i < n_links && err == 0; i++)
		if (scratch->fresh[i] < limit &&
		    scratch_state(graph, scratch->fresh[i]) == GRAPH_LINKED)
			err = mend_after(graph, scratch, &repair, scratch->fresh[i]);
	if (err)
		return err;
	if (entries_has(graph, slot))
		graph_choose_entries(graph, limit);
	return links_write(graph, slot, NULL, 0);
}

int graph_sweep(struct graph *graph, struct graph_scratch *scratch, uint32_t first, uint32_t end)
{
	struct ann_nodes *nodes = graph->nodes;
	uint32_t limit = scratch_limit(graph);
	int err = 0;

	end = end < limit ? end : limit;
	for (uint32_t slot = first; slot < end && err == 0; slot++) {
		const uint32_t *record;
		bool astray;

		if (scratch_state(graph, slot) == GRAPH_ABSENT)
			continue;
		nodes->ops->read_begin(nodes);
		err = nodes->ops->read(nodes, slot, &record);
		astray = err == 0 && links_lead_astray(graph, record);
		nodes->ops->read_end(nodes);
		if (astray)
			err = links_replace(graph, scratch, slot, CANDSET_SLOT, NULL, 0);
	}
	return err;
}
