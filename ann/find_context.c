/*
 * find_context.c - makes, keeps and frees the working memory of searches.
 *
 * Those kept are as many as searches can run on all cores, and some that wait. They grow to what the
 * widest search needed; one that grew beyond KEEP_BYTES, by very many neighbours as near as each other
 * say, is not kept.
 */
#include "ann/find_context.h"

#include <string.h>

#include "ann/scratch.h"
#include "store/mem.h"

#define KEEP_BYTES (8u << 20) /* of what depends on the query; k = 10000 needs 4 MiB */
#define KEEP_A_THREAD 4u      /* contexts that are kept for each thread of the collection */

static void free_context(struct find_context *ctx)
{
	if (ctx == NULL)
		return;
	graph_scratch_free(ctx->graph);
	quant_query_release(&ctx->query);
	mem_free(ctx->encode);
	pending_view_release(&ctx->view);
	pending_view_release(&ctx->late);
	for (size_t i = 0; i < FIND_GROUP; i++)
		best_release(&ctx->best[i]);
	mem_free(ctx->cands);
	mem_free(ctx->hits);
	mem_free(ctx->ids);
	mem_free(ctx);
}

static int new_context(struct ann *ann, struct find_context **ctx_out)
{
	struct find_context *ctx = mem_zalloc(1, sizeof(*ctx));
	int err;

	if (ctx == NULL)
		return ERR_NOMEM;
	err = graph_scratch_new(&ann->index.graph, &ctx->graph);
	if (err == 0)
		err = quant_query_init(&ctx->query, &ann->index.quant);
	if (err == 0) {
		ctx->encode = mem_alloc_aligned(64, quant_scratch_bytes(&ann->index.quant));
		if (ctx->encode == NULL)
			err = ERR_NOMEM;
	}
	if (err != 0) {
		free_context(ctx);
		return err;
	}
	*ctx_out = ctx;
	return 0;
}

int find_context_take(struct ann *ann, struct find_context **ctx_out)
{
	struct find_context *ctx;

	pthread_mutex_lock(&ann->contexts_lock);
	ctx = ann->contexts;
	if (ctx != NULL) {
		ann->contexts = ctx->next;
		ann->n_contexts--;
	}
	pthread_mutex_unlock(&ann->contexts_lock);
	if (ctx == NULL)
		return new_context(ann, ctx_out);
	*ctx_out = ctx;
	return 0;
}

size_t find_context_bytes(const struct find_context *ctx)
{
	size_t bytes = ctx->cap_cands * sizeof(*ctx->cands) + ctx->cap_hits * sizeof(*ctx->hits) +
		       ctx->cap_ids + ctx->graph->cands.room * sizeof(*ctx->graph->cands.items) +
		       ctx->graph->seen.room * sizeof(*ctx->graph->seen.table);

	for (size_t i = 0; i < FIND_GROUP; i++)
		bytes += ctx->best[i].cap * sizeof(*ctx->best[i].hits);
	return bytes;
}

void find_context_give(struct ann *ann, struct find_context *ctx)
{
	bool keep = find_context_bytes(ctx) <= KEEP_BYTES;

	pthread_mutex_lock(&ann->contexts_lock);
	keep = keep && ann->n_contexts < KEEP_A_THREAD * ann->opts.threads;
	if (keep) {
		ctx->next = ann->contexts;
		ann->contexts = ctx;
		ann->n_contexts++;
	}
	pthread_mutex_unlock(&ann->contexts_lock);
	if (!keep)
		free_context(ctx);
}

void find_context_release(struct ann *ann)
{
	while (ann->contexts != NULL) {
		struct find_context *ctx = ann->contexts;

		ann->contexts = ctx->next;
		free_context(ctx);
	}
}

int find_context_add(struct find_context *ctx, uint32_t slot, uint64_t lsn)
{
	int err = mem_grow((void **)&ctx->cands, &ctx->cap_cands, ctx->n_cands + 1,
			   sizeof(*ctx->cands));

	if (err == 0)
		ctx->cands[ctx->n_cands++] = (struct find_candidate){0.0, lsn, slot};
	return err;
}

int find_context_add_all(struct find_context *ctx, const struct graph_hit *hits, size_t n,
			 uint64_t lsn)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++)
		err = find_context_add(ctx, hits[i].slot, lsn);
	return err;
}
