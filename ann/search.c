/*
 * search.c - best-first search over codes.
 *
 * One hop: read the record of the nearest candidate not yet expanded, collect the neighbours that
 * were not seen before, measure all of them in one call, put them into the candidate list. The
 * record that will probably be next is fetched meanwhile.
 *
 * Records are distrusted: a link beyond what has a state and a code is not followed, and the number
 * of links is bounded.
 *
 * Locks: none. Slots that become LINKED or ABSENT while a search runs may be met or not.
 */
#include "ann/graph.h"

#include "ann/entries.h"
#include "ann/links.h"
#include "store/err.h"
#include "store/mem.h"

#define SEARCH_ASK_EVERY 64u	 /* hops between two questions whether to go on */
#define SEARCH_SEEN_A_HOP 16u	 /* new neighbours a hop, about */
#define SEARCH_EFFORT_A_HEAD 48u /* a wide search looks at what is kept with more entries */
#define SEARCH_AHEAD 16u	 /* candidates looked at when one is on disk alone */

/*
 * Keeps the slots that are in the graph and new to this search, in scratch->fresh. Whether a slot is
 * new cannot be predicted, so it decides no branch.
 */
static uint32_t keep_new(const struct graph *graph, struct graph_scratch *scratch, uint32_t limit,
			 const uint32_t *slots, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = links_word(&slots[i]);

		if (slot >= limit)
			continue;
		scratch->fresh[kept] = slot;
		kept += (uint32_t)visited_add(&scratch->seen, slot) &
			(scratch_state(graph, slot) != GRAPH_ABSENT);
	}
	return kept;
}

/* Measures scratch->fresh and makes candidates of them. */
static void measure(const struct graph *graph, struct graph_scratch *scratch,
		    const struct quant_query *query, uint32_t n)
{
	quant_distances(query, graph->codes, scratch->fresh, n, scratch->fresh_distances);
	scratch->distances += n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = scratch->fresh[i];
		float distance = scratch->fresh_distances[i];

		if (distance >= scratch->cands.bound)
			continue;
		candset_add(&scratch->cands, distance, slot,
			    scratch_state(graph, slot) == GRAPH_TOMBSTONE);
	}
}

/* Copies up to most slots that a number says are valid. */
static uint32_t copy_slots(const _Atomic uint32_t *slots, const _Atomic uint32_t *number,
			   uint32_t most, uint32_t *out)
{
	uint32_t n = atomic_load_explicit(number, memory_order_acquire);

	n = n < most ? n : most;
	for (uint32_t i = 0; i < n; i++)
		out[i] = atomic_load_explicit(&slots[i], memory_order_relaxed);
	return n;
}

static uint32_t index_of(const uint32_t *slots, uint32_t n, uint32_t slot)
{
	uint32_t i = 0;

	while (i + 1 < n && slots[i] != slot)
		i++;
	return i;
}

/* The entries, and what is kept with those nearest to the query, become candidates. */
static void start_at_entries(struct graph *graph, struct graph_scratch *scratch,
			     const struct search_walk *walk, uint32_t limit)
{
	uint32_t entries[GRAPH_ENTRIES], near[GRAPH_NEAR];
	struct graph_hit heads[GRAPH_ENTRIES];
	uint32_t n = copy_slots(graph->entries, &graph->n_entries, GRAPH_ENTRIES, entries);
	uint32_t n_heads = keep_new(graph, scratch, limit, entries, n);
	uint32_t n_open = 1 + walk->effort / SEARCH_EFFORT_A_HEAD;

	measure(graph, scratch, walk->query, n_heads);
	for (uint32_t i = 0; i < n_heads; i++)
		heads[i] = (struct graph_hit){scratch->fresh_distances[i], scratch->fresh[i]};
	links_sort(heads, n_heads, 0);
	for (uint32_t i = 0; i < n_heads && i < n_open; i++) {
		uint32_t entry = index_of(entries, n, heads[i].slot);
		uint32_t n_near = copy_slots(graph->near[entry], &graph->n_near[entry], GRAPH_NEAR,
					     near);

		measure(graph, scratch, walk->query, keep_new(graph, scratch, limit, near, n_near));
	}
}

/*
 * The record of the nearest candidate is on disk alone: reads it, and together with it those of the
 * candidates that come next.
 */
static int bring_in(struct graph *graph, struct graph_scratch *scratch, uint32_t at,
		    const uint32_t **record_out)
{
	struct ann_nodes *nodes = graph->nodes;
	const struct candset *cands = &scratch->cands;
	uint32_t ahead[SEARCH_AHEAD] = {at}, n = 1;

	for (size_t i = cands->next; i < cands->n && n < SEARCH_AHEAD; i++)
		if ((cands->items[i].slot & CANDSET_EXPANDED) == 0)
			ahead[n++] = cands->items[i].slot & CANDSET_SLOT;
	nodes->ops->fetch(nodes, ahead, n);
	*record_out = nodes->ops->peek(nodes, at, scratch->record);
	return *record_out != NULL ? 0 : nodes->ops->read(nodes, at, record_out);
}

/*
 * The record of the nearest candidate is on disk alone. One of the next whose record is in memory takes
 * its turn: it costs nothing, and may show better ones before something is read.
 */
static int off_memory(struct graph *graph, struct graph_scratch *scratch, size_t taken,
		      uint32_t *at, const uint32_t **record_out)
{
	struct ann_nodes *nodes = graph->nodes;
	struct candset *cands = &scratch->cands;
	size_t looked = 0;

	for (size_t i = cands->next; i < cands->n && looked < SEARCH_AHEAD; i++) {
		uint32_t slot = cands->items[i].slot;

		if ((slot & CANDSET_EXPANDED) != 0)
			continue;
		looked++;
		*record_out = nodes->ops->peek(nodes, slot & CANDSET_SLOT, scratch->record);
		if (*record_out == NULL)
			continue;
		cands->items[i].slot |= CANDSET_EXPANDED;
		candset_put_back(cands, taken);
		*at = slot & CANDSET_SLOT;
		return 0;
	}
	return bring_in(graph, scratch, *at, record_out);
}

/* Expands one candidate. */
static int hop(struct graph *graph, struct graph_scratch *scratch, const struct search_walk *walk,
	       uint32_t limit)
{
	struct ann_nodes *nodes = graph->nodes;
	size_t taken = scratch->cands.next;
	uint32_t at = candset_take(&scratch->cands);
	uint32_t next = candset_peek(&scratch->cands), guess = next, n;
	const uint32_t *record = nodes->ops->peek(nodes, at, scratch->record);
	int err = 0;

	if (record == NULL)
		err = off_memory(graph, scratch, taken, &at, &record);
	if (err)
		return err;
	if (walk->keep_expanded) {
		err = mem_grow((void **)&scratch->expanded, &scratch->room_expanded,
			       scratch->n_expanded + 1, sizeof(*scratch->expanded));
		if (err)
			return err;
		scratch->expanded[scratch->n_expanded++] = at;
	}
	n = keep_new(graph, scratch, limit, record + 1, links_count(graph, record));
	if (next != CANDSET_SLOT)
		nodes->ops->prefetch(nodes, next);
	measure(graph, scratch, walk->query, n);
	next = candset_peek(&scratch->cands);
	if (next != CANDSET_SLOT && next != guess)
		nodes->ops->prefetch(nodes, next);
	scratch->hops++;
	return 0;
}

static int walk_from_entries(struct graph *graph, struct graph_scratch *scratch,
			     const struct search_walk *walk, uint32_t limit)
{
	int err = 0;

	start_at_entries(graph, scratch, walk, limit);
	if (scratch->cands.n == 0 && entries_renew(graph, limit))
		start_at_entries(graph, scratch, walk, limit);
	while (err == 0 && candset_peek(&scratch->cands) != CANDSET_SLOT) {
		if (walk->cancelled != NULL && scratch->hops % SEARCH_ASK_EVERY == 0 &&
		    walk->cancelled(walk->ctx))
			return ERR_INTERRUPTED;
		err = hop(graph, scratch, walk, limit);
	}
	if (err == 0 && scratch->seen.failed)
		err = ERR_NOMEM;
	return err;
}

int search_run(struct graph *graph, struct graph_scratch *scratch, const struct search_walk *walk)
{
	struct ann_nodes *nodes = graph->nodes;
	uint32_t limit = scratch_limit(graph);
	int err;

	scratch->distances = scratch->hops = 0;
	scratch->n_expanded = 0;
	err = visited_start(&scratch->seen, limit, (size_t)walk->effort * SEARCH_SEEN_A_HOP);
	if (err == 0)
		err = candset_start(&scratch->cands, walk->effort > 0 ? walk->effort : 1);
	if (err)
		return err;
	nodes->ops->read_begin(nodes);
	err = walk_from_entries(graph, scratch, walk, limit);
	nodes->ops->read_end(nodes);
	atomic_fetch_add_explicit(&graph->distances, scratch->distances, memory_order_relaxed);
	atomic_fetch_add_explicit(&graph->hops, scratch->hops, memory_order_relaxed);
	return err;
}

int graph_search(struct graph *graph, struct graph_scratch *scratch,
		 const struct quant_query *query, uint32_t effort, bool (*cancelled)(void *ctx),
		 void *ctx, const struct graph_hit **hits_out, size_t *n_out)
{
	struct search_walk walk = {
		.query = query, .effort = effort, .cancelled = cancelled, .ctx = ctx};
	int err;

	*hits_out = NULL;
	*n_out = 0;
	err = search_run(graph, scratch, &walk);
	if (err)
		return err;
	candset_finish(&scratch->cands);
	*hits_out = scratch->cands.items;
	*n_out = scratch->cands.n;
	return 0;
}
