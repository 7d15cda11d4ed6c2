/* scratch.c - the working memory of one thread. */
#include "ann/scratch.h"

#include "store/err.h"
#include "store/mem.h"

static uint32_t record_room(const struct graph *graph)
{
	uint32_t cap = graph->nodes->cap > graph->params.cap ? graph->nodes->cap :
							       graph->params.cap;

	return (cap > GRAPH_NEAR ? cap : GRAPH_NEAR) + 1;
}

int graph_scratch_new(const struct graph *graph, struct graph_scratch **scratch_out)
{
	struct graph_scratch *scratch = mem_zalloc(1, sizeof(*scratch));
	uint32_t room = record_room(graph);
	int err = ERR_NOMEM;

	*scratch_out = NULL;
	if (scratch == NULL)
		return ERR_NOMEM;
	scratch->graph = graph;
	scratch->fresh = mem_zalloc(room, sizeof(*scratch->fresh));
	scratch->fresh_distances = mem_zalloc(room, sizeof(*scratch->fresh_distances));
	scratch->record = mem_zalloc(room, sizeof(*scratch->record));
	scratch->links = mem_zalloc(room, sizeof(*scratch->links));
	scratch->chosen = mem_zalloc(room, sizeof(*scratch->chosen));
	scratch->encode = mem_alloc_aligned(64, quant_scratch_bytes(graph->quant));
	if (scratch->encode == NULL || scratch->fresh == NULL || scratch->fresh_distances == NULL ||
	    scratch->record == NULL || scratch->links == NULL || scratch->chosen == NULL)
		goto out;
	err = scratch_pool_start(&scratch->pool, room);
	if (err)
		goto out;
	err = quant_query_init(&scratch->query, graph->quant);
out:
	if (err)
		graph_scratch_free(scratch);
	else
		*scratch_out = scratch;
	return err;
}

static void pool_release(struct scratch_pool *pool)
{
	mem_free(pool->hits);
	mem_free(pool->distances);
	mem_free(pool->points);
	mem_free(pool->slots);
	mem_free(pool->marks);
	memset(pool, 0, sizeof(*pool));
}

void graph_scratch_free(struct graph_scratch *scratch)
{
	if (scratch == NULL)
		return;
	candset_release(&scratch->cands);
	visited_release(&scratch->seen);
	quant_query_release(&scratch->query);
	mem_free(scratch->encode);
	mem_free(scratch->fresh);
	mem_free(scratch->fresh_distances);
	mem_free(scratch->record);
	mem_free(scratch->links);
	mem_free(scratch->chosen);
	mem_free(scratch->expanded);
	pool_release(&scratch->pool);
	mem_free(scratch);
}

int scratch_pool_start(struct scratch_pool *pool, size_t n)
{
	struct scratch_pool grown = {0};

	pool->n = 0;
	if (n <= pool->room)
		return 0;
	grown.room = n + n / 2;
	grown.hits = mem_zalloc(grown.room, sizeof(*grown.hits));
	grown.distances = mem_zalloc(grown.room, sizeof(*grown.distances));
	grown.points = mem_zalloc(grown.room, sizeof(*grown.points));
	grown.slots = mem_zalloc(grown.room, sizeof(*grown.slots));
	grown.marks = mem_zalloc(grown.room, sizeof(*grown.marks));
	if (grown.hits == NULL || grown.distances == NULL || grown.points == NULL ||
	    grown.slots == NULL || grown.marks == NULL) {
		pool_release(&grown);
		return ERR_NOMEM;
	}
	pool_release(pool);
	*pool = grown;
	return 0;
}
