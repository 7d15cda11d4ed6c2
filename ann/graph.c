/*
 * graph.c - the graph's own parts: states of slots, parameters, life cycle.
 *
 * States stand in chunks that never move, so that readers need no lock while it grows.
 *
 * Invariants: chunks[i] is set for every chunk below cap before cap says so.
 */
#include "ann/graph.h"

#include <stdatomic.h>
#include <string.h>

#include "ann/candset.h"
#include "store/err.h"
#include "store/mem.h"

#define STATE_CHUNKS TABLE_CHUNKS
/* Two bits of a slot number are flags during a search (candset.h). */
#define SLOTS_MAX (TABLE_SLOTS < CANDSET_SLOT ? TABLE_SLOTS : CANDSET_SLOT)

int graph_states_init(struct graph_states *states)
{
	memset(states, 0, sizeof(*states));
	states->chunks = mem_zalloc(STATE_CHUNKS, sizeof(*states->chunks));
	return states->chunks != NULL ? 0 : ERR_NOMEM;
}

void graph_states_release(struct graph_states *states)
{
	if (states == NULL || states->chunks == NULL)
		return;
	for (uint32_t i = 0; i < STATE_CHUNKS && states->chunks[i] != NULL; i++)
		mem_free(atomic_load_explicit(&states->chunks[i], memory_order_relaxed));
	mem_free(states->chunks);
	memset(states, 0, sizeof(*states));
}

int graph_states_grow(struct graph_states *states, uint32_t n)
{
	uint32_t cap = atomic_load_explicit(&states->cap, memory_order_relaxed);

	if (n > SLOTS_MAX)
		return ERR_LIMIT;
	while (cap < n) {
		_Atomic(uint8_t) *chunk = mem_zalloc(GRAPH_STATE_CHUNK, sizeof(*chunk));

		if (chunk == NULL)
			return ERR_NOMEM;
		atomic_store_explicit(&states->chunks[cap / GRAPH_STATE_CHUNK], chunk,
				      memory_order_release);
		cap += GRAPH_STATE_CHUNK;
		atomic_store_explicit(&states->cap, cap, memory_order_release);
	}
	return 0;
}

static _Atomic(uint8_t) *state_at(const struct graph_states *states, uint32_t slot)
{
	_Atomic(uint8_t) *chunk = atomic_load_explicit(&states->chunks[slot / GRAPH_STATE_CHUNK],
						       memory_order_acquire);

	return &chunk[slot % GRAPH_STATE_CHUNK];
}

enum graph_state graph_state(const struct graph_states *states, uint32_t slot)
{
	if (slot >= atomic_load_explicit(&states->cap, memory_order_acquire))
		return GRAPH_ABSENT;
	return (enum graph_state)atomic_load_explicit(state_at(states, slot), memory_order_acquire);
}

void graph_state_set(struct graph_states *states, uint32_t slot, enum graph_state state)
{
	if (slot < atomic_load_explicit(&states->cap, memory_order_acquire))
		atomic_store_explicit(state_at(states, slot), (uint8_t)state, memory_order_release);
}

/*
 * Measured (recall@10 after the best 40-60 were measured again, 4-bit codes): fashion-MNIST, 60,000
 * x 784, reaches .992 at an effort of 16 and .999 at 80; word vectors, 150,000 x 100, whose intrinsic
 * dimension is more than twice as high, reach .95 at 76 and .97 at 112. Short vectors are cheap to
 * compare, so they get more. Inner product is harder: .95 needs half as much again. More links, a
 * larger alpha or a larger build effort buy nothing at an equal number of distances. A record of
 * 1 + 47 words is three cache lines.
 */
void graph_recommend(uint32_t dim, enum ann_metric metric, struct graph_params *params_out,
		     uint32_t *effort_out)
{
	uint32_t effort = dim <= 256 ? 112 : 80;

	*params_out =
		(struct graph_params){.degree = 32, .cap = 47, .build_effort = 100, .alpha = 1.1f};
	*effort_out = metric == ANN_IP ? effort + effort / 2 : effort;
}

static bool params_fit(const struct graph_params *params, const struct ann_nodes *nodes)
{
	return params->degree > 0 && params->degree <= params->cap && params->cap <= nodes->cap &&
	       params->build_effort > 0 && params->alpha >= 1;
}

int graph_init(struct graph *graph, const struct graph_params *params, struct ann_nodes *nodes,
	       const struct quant *quant, const struct codes *codes, struct graph_states *states)
{
	if (!params_fit(params, nodes))
		return ERR_INVALID;
	memset(graph, 0, sizeof(*graph));
	graph->params = *params;
	graph->nodes = nodes;
	graph->quant = quant;
	graph->codes = codes;
	graph->states = states;
	graph->by_vector = quant->bits <= 2 && nodes->ops->vector != NULL;
	for (uint32_t i = 0; i < GRAPH_STRIPES; i++)
		pthread_mutex_init(&graph->stripes[i], NULL);
	pthread_mutex_init(&graph->entries_lock, NULL);
	return 0;
}

void graph_release(struct graph *graph)
{
	if (graph == NULL || graph->nodes == NULL)
		return;
	for (uint32_t i = 0; i < GRAPH_STRIPES; i++)
		pthread_mutex_destroy(&graph->stripes[i]);
	pthread_mutex_destroy(&graph->entries_lock);
	memset(graph, 0, sizeof(*graph));
}
