/*
 * links.c - the links of one node.
 *
 * Invariants of every record this file writes:
 * 1. At most nodes->cap links, all below scratch_limit, none to the node itself, none twice.
 * 2. Words change one at a time with atomic stores, under the stripe lock of the node.
 *
 * Locks: one stripe at a time, innermost; the nodes may do I/O under it.
 */
#include "ann/links.h"

#include <math.h>

#include "store/err.h"

static pthread_mutex_t *stripe_of(struct graph *graph, uint32_t slot)
{
	return &graph->stripes[slot % GRAPH_STRIPES];
}

uint32_t links_copy(const struct graph *graph, const uint32_t *record, uint32_t *links_out)
{
	uint32_t n = links_count(graph, record);

	for (uint32_t i = 0; i < n; i++)
		links_out[i] = links_word(&record[1 + i]);
	return n;
}

static void store_links(uint32_t *record, const uint32_t *links, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__atomic_store_n(&record[1 + i], links[i], __ATOMIC_RELAXED);
	__atomic_store_n(record, (uint32_t)n, __ATOMIC_RELAXED);
}

/* Equals in an order that differs from node to node, lest all of them link to the same one. */
static uint32_t mix(uint32_t slot, uint32_t node)
{
	return (slot ^ node * 0x9e3779b1u) * 0x85ebca6bu;
}

static bool nearer(const struct graph_hit *a, const struct graph_hit *b, uint32_t node)
{
	return a->distance < b->distance ||
	       (a->distance == b->distance && mix(a->slot, node) < mix(b->slot, node));
}

/* Shell sort: short lists, no memory. */
void links_sort(struct graph_hit *hits, size_t n, uint32_t node)
{
	static const size_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};

	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		size_t gap = gaps[g];

		for (size_t i = gap; i < n; i++) {
			struct graph_hit hit = hits[i];
			size_t at = i;

			for (; at >= gap && nearer(&hit, &hits[at - gap], node); at -= gap)
				hits[at] = hits[at - gap];
			hits[at] = hit;
		}
	}
}

/* Not below 0, and no NaN: codes from disk may say anything. */
static float tame(float distance)
{
	if (!(distance <= FLT_MAX))
		return FLT_MAX;
	return distance > 0 ? distance : 0;
}

/*
 * Under inner product vectors are lifted by one coordinate to equal length, the largest among those
 * compared: x -> (x, sqrt(top - |x|^2)), where top is that length squared. Between lifted vectors l2
 * orders as the inner product does (Bachrach et al., RecSys 2014, section 3.1), and it is a metric,
 * which the prune wants. norms and top are squared. The distance of vectors, before that:
 */
static float vector_distance(const struct quant *quant, const struct scratch_point *a,
			     const struct scratch_point *b)
{
	float dot;

	if (quant->metric == ANN_L2)
		return quant->kernels->l2sq(a->vector, b->vector, quant->dim);
	dot = quant->kernels->dot(a->vector, b->vector, quant->dim);
	if (quant->metric == ANN_COSINE)
		return 1.0f - dot / (sqrtf(a->norm) * sqrtf(b->norm));
	return -dot;
}

static float point_distance(const struct graph *graph, const struct scratch_point *a,
			    const struct scratch_point *b, float top)
{
	float distance = a->vector != NULL && b->vector != NULL ?
				 vector_distance(graph->quant, a, b) :
				 quant_between(graph->quant, a->code, b->code);

	if (graph->quant->metric != ANN_IP)
		return tame(distance);
	return tame(2 * (top + distance - sqrtf(tame(top - a->norm)) * sqrtf(tame(top - b->norm))));
}

static struct scratch_point code_point_of(const struct graph *graph, uint32_t slot)
{
	struct scratch_point point = {.code = codes_at(graph->codes, slot)};

	if (graph->quant->metric == ANN_IP)
		point.norm = tame(-quant_between(graph->quant, point.code, point.code));
	return point;
}

/* With the full vector where links are chosen by those and it can be read. Read bracket held. */
static struct scratch_point point_of(const struct graph *graph, uint32_t slot)
{
	const struct quant *quant = graph->quant;
	struct scratch_point point;
	const float *vector = NULL;

	if (!graph->by_vector || graph->nodes->ops->vector(graph->nodes, slot, &vector) != 0)
		return code_point_of(graph, slot);
	point = (struct scratch_point){.code = codes_at(graph->codes, slot), .vector = vector};
	if (quant->metric != ANN_L2)
		point.norm = tame(quant->kernels->dot(vector, vector, quant->dim));
	return point;
}

float links_distance(const struct graph *graph, uint32_t a, uint32_t b)
{
	struct ann_nodes *nodes = graph->nodes;
	struct scratch_point x, y;
	float distance;

	nodes->ops->read_begin(nodes);
	x = point_of(graph, a);
	y = point_of(graph, b);
	distance = point_distance(graph, &x, &y, x.norm > y.norm ? x.norm : y.norm);
	nodes->ops->read_end(nodes);
	return distance;
}

float links_code_distance(const struct graph *graph, uint32_t a, uint32_t b)
{
	struct scratch_point x = code_point_of(graph, a), y = code_point_of(graph, b);

	return point_distance(graph, &x, &y, x.norm > y.norm ? x.norm : y.norm);
}

struct pair_ctx {
	const struct graph *graph;
	const struct scratch_pool *pool;
};

static float pool_between(void *ctx, uint32_t i, uint32_t j)
{
	const struct pair_ctx *pair = ctx;
	const struct scratch_pool *pool = pair->pool;

	return point_distance(pair->graph, &pool->points[i], &pool->points[j], pool->top);
}

/* Puts the usable ones of n slots into the pool; their distances are still to be measured. */
static int collect(const struct graph *graph, struct scratch_pool *pool, uint32_t slot,
		   const uint32_t *slots, size_t n)
{
	uint32_t limit = scratch_limit(graph);
	int err = scratch_pool_start(pool, n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (slots[i] == slot || slots[i] >= limit ||
		    scratch_state(graph, slots[i]) != GRAPH_LINKED)
			continue;
		pool->slots[pool->n] = slots[i];
		pool->hits[pool->n++].slot = slots[i];
	}
	if (graph->by_vector)
		graph->nodes->ops->prefetch_vectors(graph->nodes, pool->slots, pool->n);
	return 0;
}

/* Fills the pool with the `most` nearest to slot of n slots, in order. */
static int fill_pool(const struct graph *graph, struct scratch_pool *pool, uint32_t slot,
		     const uint32_t *slots, size_t n, size_t most)
{
	struct scratch_point own = point_of(graph, slot);
	int err = collect(graph, pool, slot, slots, n);

	if (err)
		return err;
	pool->top = own.norm;
	for (size_t i = 0; i < pool->n; i++) {
		pool->points[i] = point_of(graph, pool->hits[i].slot);
		if (pool->points[i].norm > pool->top)
			pool->top = pool->points[i].norm;
	}
	for (size_t i = 0; i < pool->n; i++)
		pool->hits[i].distance = point_distance(graph, &own, &pool->points[i], pool->top);
	links_sort(pool->hits, pool->n, slot);
	pool->n = pool->n < most ? pool->n : most;
	for (size_t i = 0; i < pool->n; i++) {
		pool->distances[i] = pool->hits[i].distance;
		pool->points[i] = point_of(graph, pool->hits[i].slot);
	}
	return 0;
}

int links_choose(const struct graph *graph, struct graph_scratch *scratch, uint32_t slot,
		 const uint32_t *slots, size_t n, size_t most, uint32_t *links_out, size_t *n_out)
{
	struct ann_nodes *nodes = graph->nodes;
	struct scratch_pool *pool = &scratch->pool;
	struct pair_ctx pair = {graph, pool};
	struct prune_rule rule = {.degree = graph->params.degree,
				  .alpha = graph->params.alpha * graph->params.alpha,
				  .between = pool_between,
				  .ctx = &pair};
	int err;

	*n_out = 0;
	nodes->ops->read_begin(nodes);
	err = fill_pool(graph, pool, slot, slots, n, most);
	if (err == 0)
		*n_out = prune_robust(&rule, pool->distances, pool->n, pool->marks,
				      scratch->chosen);
	nodes->ops->read_end(nodes);
	for (size_t i = 0; i < *n_out; i++)
		links_out[i] = pool->hits[scratch->chosen[i]].slot;
	return err;
}

int links_write(struct graph *graph, uint32_t slot, const uint32_t *links, size_t n)
{
	struct ann_nodes *nodes = graph->nodes;
	uint32_t *record;
	int err;

	pthread_mutex_lock(stripe_of(graph, slot));
	nodes->ops->read_begin(nodes);
	err = nodes->ops->change(nodes, slot, &record);
	if (err == 0)
		store_links(record, links, n);
	nodes->ops->read_end(nodes);
	pthread_mutex_unlock(stripe_of(graph, slot));
	return err;
}

static bool among(const uint32_t *links, size_t n, uint32_t slot)
{
	for (size_t i = 0; i < n; i++)
		if (links[i] == slot)
			return true;
	return false;
}

bool links_lead_to(const struct graph *graph, const uint32_t *record, uint32_t slot)
{
	uint32_t n = links_count(graph, record);

	for (uint32_t i = 0; i < n; i++)
		if (links_word(&record[1 + i]) == slot)
			return true;
	return false;
}

/* Whether a node other than `not` leads to slot, as far as the nodes it links to tell. */
static bool reached_from_elsewhere(const struct graph *graph, uint32_t slot, uint32_t not )
{
	struct ann_nodes *nodes = graph->nodes;
	uint32_t limit = scratch_limit(graph), n;
	const uint32_t *record, *other;

	if (nodes->ops->read(nodes, slot, &record) != 0)
		return true;
	n = links_count(graph, record);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t link = links_word(&record[1 + i]);

		if (link != not &&link < limit && scratch_state(graph, link) == GRAPH_LINKED &&
		    nodes->ops->read(nodes, link, &other) == 0 && links_lead_to(graph, other, slot))
			return true;
	}
	return false;
}

/*
 * Chooses the links of a full record anew. A link that was not chosen stays all the same, while
 * there is room, when it seems to be the only way to its node: most links go both ways, so the
 * nodes that one links to are asked. Without this some nodes could never be found again.
 */
static int choose_anew(struct graph *graph, struct graph_scratch *scratch, uint32_t node,
		       uint32_t n, size_t *n_out)
{
	struct scratch_pool *pool = &scratch->pool;
	int err = links_choose(graph, scratch, node, scratch->links, n, n, scratch->links, n_out);

	for (size_t i = 0; err == 0 && i < pool->n && *n_out < graph->params.cap; i++)
		if (pool->marks[i].factor < PRUNE_CHOSEN &&
		    !reached_from_elsewhere(graph, pool->hits[i].slot, node))
			scratch->links[(*n_out)++] = pool->hits[i].slot;
	return err;
}

/*
 * Adds a link to a record; the stripe lock of node is held. Allocates nothing: the pool was made
 * large enough for a record when the scratch was.
 */
static int add_to_record(struct graph *graph, struct graph_scratch *scratch, uint32_t node,
			 uint32_t *record, uint32_t slot)
{
	uint32_t n = links_copy(graph, record, scratch->links);
	size_t kept;
	int err;

	if (node == slot || among(scratch->links, n, slot))
		return 0;
	if (n < graph->params.cap) {
		__atomic_store_n(&record[1 + n], slot, __ATOMIC_RELAXED);
		__atomic_store_n(record, n + 1, __ATOMIC_RELAXED);
		return 0;
	}
	scratch->links[n++] = slot;
	err = choose_anew(graph, scratch, node, n, &kept);
	if (err == 0)
		store_links(record, scratch->links, kept);
	return err;
}

int links_add(struct graph *graph, struct graph_scratch *scratch, uint32_t node, uint32_t slot)
{
	struct ann_nodes *nodes = graph->nodes;
	uint32_t *record;
	int err;

	pthread_mutex_lock(stripe_of(graph, node));
	nodes->ops->read_begin(nodes);
	err = nodes->ops->change(nodes, node, &record);
	if (err == 0)
		err = add_to_record(graph, scratch, node, record, slot);
	nodes->ops->read_end(nodes);
	pthread_mutex_unlock(stripe_of(graph, node));
	return err;
}

bool links_lead_astray(const struct graph *graph, const uint32_t *record)
{
	uint32_t n = links_count(graph, record), limit = scratch_limit(graph);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = links_word(&record[1 + i]);

		if (slot >= limit || scratch_state(graph, slot) != GRAPH_LINKED)
			return true;
	}
	return links_word(record) > graph->nodes->cap;
}

/* Removes the links to `gone`, or those to slots that are not LINKED. */
static void remove_from_record(const struct graph *graph, struct graph_scratch *scratch,
			       uint32_t *record, uint32_t gone)
{
	uint32_t n = links_copy(graph, record, scratch->links), limit = scratch_limit(graph);
	size_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = scratch->links[i];
		bool keep = gone == CANDSET_SLOT ?
				    slot < limit && scratch_state(graph, slot) == GRAPH_LINKED :
				    slot != gone;

		if (keep)
			scratch->links[kept++] = slot;
	}
	store_links(record, scratch->links, kept);
}

int links_replace(struct graph *graph, struct graph_scratch *scratch, uint32_t node, uint32_t gone,
		  const uint32_t *others, size_t n)
{
	struct ann_nodes *nodes = graph->nodes;
	uint32_t *record;
	int err;

	pthread_mutex_lock(stripe_of(graph, node));
	nodes->ops->read_begin(nodes);
	err = nodes->ops->change(nodes, node, &record);
	if (err == 0)
		remove_from_record(graph, scratch, record, gone);
	for (size_t i = 0; i < n && err == 0; i++)
		err = add_to_record(graph, scratch, node, record, others[i]);
	nodes->ops->read_end(nodes);
	pthread_mutex_unlock(stripe_of(graph, node));
	return err;
}
