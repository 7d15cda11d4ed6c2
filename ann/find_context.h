/*
 * find_context.h - the working memory of one search, reused from search to search.
 */
#ifndef VECFS_ANN_FIND_CONTEXT_H
#define VECFS_ANN_FIND_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "ann/best.h"
#include "ann/collection.h"
#include "ann/find.h"

struct find_candidate {
	double distance; /* as the user sees it; INFINITY: found dead */
	uint64_t lsn;	 /* the slot's entry must not be younger */
	uint32_t slot;
};

struct find_context {
	struct find_context *next; /* free list */
	struct graph_scratch *graph;
	struct quant_query query;
	void *encode; /* scratch of quant_query_set */
	struct pending_view view, late;
	struct best best[FIND_GROUP];
	float norms[FIND_GROUP];
	double norms_sq[FIND_GROUP];
	struct find_candidate *cands;
	size_t n_cands, cap_cands;
	size_t gone; /* candidates of this round that were not live when measured */
	struct ann_hit *hits;
	size_t n_hits, cap_hits;
	char *ids;
	size_t ids_len, cap_ids;
};

/* A free one of the collection, or a new one. ERR_NOMEM. Then give it back. */
int find_context_take(struct ann *ann, struct find_context **ctx_out);
void find_context_give(struct ann *ann, struct find_context *ctx);
/* Memory that it has for what a query asks. */
size_t find_context_bytes(const struct find_context *ctx);
/* Frees those kept for reuse. No search runs. */
void find_context_release(struct ann *ann);

/* Adds candidates, not measured yet. ERR_NOMEM. */
int find_context_add(struct find_context *ctx, uint32_t slot, uint64_t lsn);
int find_context_add_all(struct find_context *ctx, const struct graph_hit *hits, size_t n,
			 uint64_t lsn);

#endif
