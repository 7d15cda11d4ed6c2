/*
 * find.c - one group of queries from candidates to hits.
 *
 * An attempt in order:
 *   1. Snapshot: the pending slots and the last LSN, in one hold of pending->lock. What is committed
 *      by then is pending in the snapshot or linked already.
 *   2. Candidates: the snapshot, scanned; and the graph's estimate of the nearest, or (exact, small
 *      collections) all linked slots, scanned.
 *   3. Each candidate is measured exactly and carries the last LSN from before it was measured.
 *   4. Rounds, for each query: measure what was pushed since (an overwrite that hid a candidate from
 *      step 2 or 4 put its new slot there); then resolve candidates to entries, nearest first. A
 *      slot whose entry is gone, or younger than the LSN its candidate carries, counts as dead: the
 *      measured bytes were another's. When no commit came between, or none was met dead and no id
 *      twice, the hits stand. Otherwise another round.
 *   5. An attempt that was disturbed FIND_ROUNDS times is made again, at last with commits shut out.
 *      One that found too few in the graph is made again as a linear scan.
 */
#include "ann/find.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/exact.h"
#include "ann/find_context.h"
#include "store/mem.h"

#define FIND_ROUNDS 4u
#define FIND_FREE_TRIES 3u	  /* attempts before commits are shut out */
#define FIND_TRIES 8u		  /* attempts in all */
#define FIND_STAY 512u		  /* vectors in one read section */
#define FIND_AHEAD STORE_LOOK_MAX /* vectors that are read together when they are on disk */
/* Linear scan up to so many bytes of vectors, between this number and scan_max vectors. */
#define FIND_SMALL_BYTES (4u << 20)
#define FIND_SMALL_MIN 1000u
/* A search this wide costs as much as a scan of so many vectors. */
#define FIND_WIDE 16u

struct find {
	struct ann *ann;
	struct find_context *ctx;
	const float *queries;
	size_t n;
	const struct ann_query *spec;
	uint32_t want; /* k, and one more when an id is left out */
	bool last;     /* dead candidates are no reason to try again */
	struct find_result *results;
	struct err_msg *msg;
};

enum outcome { OUTCOME_DONE, OUTCOME_DISTURBED, OUTCOME_SHORT };

void find_result_release(struct find_result *result)
{
	mem_free(result->hits);
	mem_free(result->ids);
	memset(result, 0, sizeof(*result));
}

/* Asked where very many candidates, all as near as each other, make an end far; not of the first. */
static int go_on(const struct find *find, size_t done)
{
	const struct ann_query *spec = find->spec;

	if (done == 0 || spec->cancelled == NULL || !spec->cancelled(spec->cancel_ctx))
		return 0;
	return ERR_INTERRUPTED;
}

/* --- candidates --- */

/*
 * Whether the candidate may be measured. What is LINKED inside a read section cannot become another
 * vector before its end; should it be one already, step 4 says so of those that matter, so that the
 * slot table is read for hits alone.
 */
static int is_live(struct ann *ann, const struct find_candidate *cand, bool *live_out)
{
	*live_out = true;
	if (graph_state(&ann->index.states, cand->slot) == GRAPH_LINKED)
		return 0;
	return store_live_as_of(ann->store, &cand->slot, 1, cand->lsn, live_out);
}

/* Candidates of one query whose vectors are looked at together. */
struct look {
	struct find *find;
	size_t q, n;
	struct find_candidate *cands[FIND_AHEAD];
	uint32_t slots[FIND_AHEAD];
	int errs[FIND_AHEAD];
};

static void measure_one(void *ctx, size_t i, int err, const void *value)
{
	struct look *look = ctx;
	struct find *find = look->find;
	struct ann *ann = find->ann;

	look->errs[i] = err;
	look->cands[i]->distance = INFINITY;
	if (err == 0)
		look->cands[i]->distance =
			ann_exact_distance(ann->index.quant.kernels, ann->metric,
					   find->queries + look->q * ann->index.dim,
					   find->ctx->norms_sq[look->q], value, ann->index.dim);
}

/* Measures candidates first ... end - 1, FIND_AHEAD at most. Inside the read section. */
static int measure_some(struct find *find, size_t q, size_t first, size_t end)
{
	struct look look = {.find = find, .q = q};
	const struct store_look show = {measure_one, &look};
	struct ann *ann = find->ann;
	int err = 0;

	for (size_t i = first; i < end; i++) {
		struct find_candidate *cand = &find->ctx->cands[i];
		bool live;

		err = is_live(ann, cand, &live);
		if (err != 0)
			return err;
		if (live) {
			look.cands[look.n] = cand;
			look.slots[look.n++] = cand->slot;
		} else {
			cand->distance = INFINITY;
			find->ctx->gone++;
		}
	}
	store_look_at_values(ann->store, look.slots, look.n, &show);
	for (size_t i = 0; i < look.n && err == 0; i++)
		if (look.errs[i] != 0)
			err = exact_judge(ann, look.slots[i], look.errs[i], find->msg);
	return err;
}

/* Measures candidates from `first` on against query q. */
static int measure(struct find *find, size_t q, size_t first)
{
	struct find_context *ctx = find->ctx;
	struct store *store = find->ann->store;
	int err = 0;

	store_read_begin(store);
	for (size_t i = first; i < ctx->n_cands && err == 0; i += FIND_AHEAD) {
		size_t end = ctx->n_cands - i < FIND_AHEAD ? ctx->n_cands : i + FIND_AHEAD;

		if ((i - first) % FIND_STAY == 0) {
			store_read_end(store);
			store_read_begin(store);
			err = go_on(find, i - first);
		}
		if (err == 0)
			err = measure_some(find, q, i, end);
	}
	store_read_end(store);
	return err;
}

/* Nearest first; of the same slot, the younger measurement first. */
static int compare_candidates(const void *a, const void *b)
{
	const struct find_candidate *x = a, *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return x->lsn != y->lsn ? (x->lsn > y->lsn ? -1 : 1) : 0;
}

static uint32_t effort_of(const struct find *find)
{
	uint32_t effort = find->spec->effort != 0 ? find->spec->effort : find->ann->index.effort;

	return effort > find->want ? effort : find->want;
}

/* The graph's estimate of the nearest to query q. */
static int ask_graph(struct find *find, size_t q)
{
	struct ann *ann = find->ann;
	struct find_context *ctx = find->ctx;
	const struct graph_hit *hits = NULL;
	uint32_t effort = effort_of(find);
	size_t n = 0, most = quant_widen(&ann->index.quant, find->want + find->want / 2 + 30);
	int err;

	quant_query_set(&ctx->query, find->queries + q * ann->index.dim, ctx->encode);
	err = graph_search(&ann->index.graph, ctx->graph, &ctx->query, effort,
			   find->spec->cancelled, find->spec->cancel_ctx, &hits, &n);
	if (err != 0)
		return err;
	if (most < effort / 4)
		most = effort / 4;
	return find_context_add_all(ctx, hits, n < most ? n : most, ctx->view.lsn);
}

/* --- from candidates to hits --- */

static int add_hit(struct find_context *ctx, double distance, const struct store_entry *entry)
{
	int err = mem_grow((void **)&ctx->hits, &ctx->cap_hits, ctx->n_hits + 1,
			   sizeof(*ctx->hits));

	if (err == 0)
		err = mem_grow((void **)&ctx->ids, &ctx->cap_ids, ctx->ids_len + entry->id_len, 1);
	if (err != 0)
		return err;
	memcpy(ctx->ids + ctx->ids_len, entry->id, entry->id_len);
	ctx->hits[ctx->n_hits++] = (struct ann_hit){
		.distance = distance, .id_at = (uint32_t)ctx->ids_len, .id_len = entry->id_len};
	ctx->ids_len += entry->id_len;
	return 0;
}

static bool left_out(const struct ann_query *spec, const struct store_entry *entry)
{
	return spec->without != NULL && spec->without_len == entry->id_len &&
	       memcmp(spec->without, entry->id, entry->id_len) == 0;
}

/*
 * Whether a distance is above the bound, as a user sees it: printed with nine digits, of which the last is
 * often less than what is behind it, and then given as the bound.
 */
static bool is_beyond(double distance, double max)
{
	char seen[32];

	if (distance <= max || distance - max > fabs(max) * 1e-8)
		return distance > max;
	(void)snprintf(seen, sizeof(seen), "%.9g", distance);
	return strtod(seen, NULL) > max;
}

struct resolved {
	size_t live, dead; /* candidates met */
	bool beyond;	   /* stopped at a candidate farther than max */
};

/*
 * Brings in together what the ids of candidates are read from: of those from `first` on that are
 * needed if all of them live. The caller is in the read section.
 */
static void read_entries_ahead(const struct find *find, size_t first)
{
	const struct find_context *ctx = find->ctx;
	size_t end = ctx->n_cands < find->want ? ctx->n_cands : find->want, n = 0;
	uint32_t slots[FIND_AHEAD];

	for (size_t i = first; i < end && n < FIND_AHEAD; i++)
		slots[n++] = ctx->cands[i].slot;
	if (n > 0)
		store_entry_prefetch(find->ann->store, slots, n);
}

/* Inside the read section, which it leaves and enters again now and then. */
static int resolve_nearest(struct find *find, struct resolved *resolved)
{
	struct find_context *ctx = find->ctx;
	double last = 0.0;

	for (size_t i = 0; i < ctx->n_cands; i++) {
		const struct find_candidate *cand = &ctx->cands[i];
		struct store_entry entry;
		int err;

		if (i % FIND_STAY == 0) {
			err = go_on(find, i);
			if (err != 0)
				return err;
		}
		if (i % FIND_AHEAD == 0) {
			store_read_end(find->ann->store);
			store_read_begin(find->ann->store);
			read_entries_ahead(find, i);
		}
		if (resolved->live >= find->want && cand->distance > last)
			break;
		if (i > 0 && cand->slot == cand[-1].slot && cand->distance == cand[-1].distance)
			continue;
		if (find->spec->has_max && is_beyond(cand->distance, find->spec->max)) {
			resolved->beyond = cand->distance < (double)INFINITY;
			break;
		}
		err = store_slot_id(find->ann->store, cand->slot, &entry);
		if (err != 0 && err != ERR_ABSENT)
			return err;
		if (err != 0 || entry.slot != cand->slot || entry.lsn > cand->lsn) {
			resolved->dead++;
			continue;
		}
		if (ann_validate_id(entry.id, entry.id_len, NULL) != 0)
			return err_set(
				find->msg, ERR_DAMAGED,
				"the id of slot %u is none that a vector can have; run vecfs "
				"check",
				cand->slot);
		resolved->live++;
		last = cand->distance;
		if (!left_out(find->spec, &entry))
			err = add_hit(ctx, cand->distance, &entry);
		if (err != 0)
			return err;
	}
	return 0;
}

/* Gives the nearest candidates their ids, all ties of the last one included. */
static int resolve(struct find *find, struct resolved *resolved)
{
	int err;

	find->ctx->n_hits = find->ctx->ids_len = 0;
	memset(resolved, 0, sizeof(*resolved));
	store_read_begin(find->ann->store);
	err = resolve_nearest(find, resolved);
	store_read_end(find->ann->store);
	return err;
}

static int compare_ids(const struct ann_hit *x, const struct ann_hit *y, const char *ids)
{
	size_t n = x->id_len < y->id_len ? x->id_len : y->id_len;
	int order = memcmp(ids + x->id_at, ids + y->id_at, n);

	return order != 0 ? order : (int)x->id_len - (int)y->id_len;
}

static int by_id(const void *a, const void *b, void *ids)
{
	return compare_ids(a, b, ids);
}

static int by_distance(const void *a, const void *b, void *ids)
{
	const struct ann_hit *x = a, *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return compare_ids(x, y, ids);
}

/* Whether an id stands twice. Leaves the hits in the order of their ids. */
static bool has_twins(struct find_context *ctx)
{
	if (ctx->n_hits < 2)
		return false;
	qsort_r(ctx->hits, ctx->n_hits, sizeof(*ctx->hits), by_id, ctx->ids);
	for (size_t i = 1; i < ctx->n_hits; i++)
		if (compare_ids(&ctx->hits[i - 1], &ctx->hits[i], ctx->ids) == 0)
			return true;
	return false;
}

/* What was pushed since the snapshot or the last round joins the candidates. */
static int add_late(struct find *find, size_t q)
{
	struct find_context *ctx = find->ctx;
	size_t first = ctx->n_cands;
	int err = pending_renew(&find->ann->pending, &ctx->late);

	for (size_t i = 0; i < ctx->late.n && err == 0; i++)
		err = find_context_add(ctx, ctx->late.slots[i], ctx->late.lsn);
	if (err == 0)
		err = measure(find, q, first);
	return err;
}

static int copy_result(struct find *find, size_t q)
{
	struct find_context *ctx = find->ctx;
	struct find_result *result = &find->results[q];
	size_t n = ctx->n_hits < find->spec->k ? ctx->n_hits : find->spec->k, len = 0;

	if (ctx->n_hits > 1)
		qsort_r(ctx->hits, ctx->n_hits, sizeof(*ctx->hits), by_distance, ctx->ids);
	for (size_t i = 0; i < n; i++)
		len += ctx->hits[i].id_len;
	result->hits = mem_alloc(n * sizeof(*result->hits));
	result->ids = mem_alloc(len);
	if (result->hits == NULL || result->ids == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct ann_hit hit = ctx->hits[i];

		memcpy(result->ids + result->ids_len, ctx->ids + hit.id_at, hit.id_len);
		hit.id_at = (uint32_t)result->ids_len;
		result->ids_len += hit.id_len;
		result->hits[result->n++] = hit;
	}
	return 0;
}

/* Step 4: rounds until the hits of query q stand. The candidates of the attempt are measured. */
static int settle(struct find *find, size_t q, bool exact, enum outcome *outcome_out)
{
	struct find_context *ctx = find->ctx;
	struct pending_view *late = &ctx->late;

	late->lsn = ctx->view.lsn;
	late->pushes = ctx->view.pushes;
	for (unsigned round = 0; round < FIND_ROUNDS; round++) {
		struct resolved resolved;
		bool still, is_short;
		int err;

		ctx->gone = 0;
		err = add_late(find, q);
		if (err == ERR_AGAIN)
			break;
		if (err != 0)
			return err;
		if (ctx->n_cands > 1)
			qsort(ctx->cands, ctx->n_cands, sizeof(*ctx->cands), compare_candidates);
		err = resolve(find, &resolved);
		if (err != 0)
			return err;
		resolved.dead +=
			ctx->gone; /* gone since the renewal, which does not know what came */
		still = pending_commits(&find->ann->pending) == late->commits;
		is_short = !resolved.beyond && resolved.live < find->want &&
			   resolved.live < late->live;
		if (!still && (resolved.dead > 0 || is_short || has_twins(ctx)))
			continue;
		if (is_short && !exact)
			*outcome_out = OUTCOME_SHORT;
		else if (is_short && !find->last)
			*outcome_out = OUTCOME_DISTURBED;
		else
			*outcome_out = OUTCOME_DONE;
		return *outcome_out == OUTCOME_DONE ? copy_result(find, q) : 0;
	}
	*outcome_out = OUTCOME_DISTURBED;
	return 0;
}

static int answer_query(struct find *find, size_t q, bool exact, enum outcome *outcome_out)
{
	struct find_context *ctx = find->ctx;
	struct best *best = &ctx->best[q];
	int err = 0;

	ctx->n_cands = 0;
	best_finish(best);
	err = find_context_add_all(ctx, best->hits, best->n, ctx->view.lsn);
	if (err == 0 && !exact) {
		err = ask_graph(find, q);
		if (err == ERR_DAMAGED || err == ERR_IO) {
			/* The vectors are whole: a linear scan does without the graph. */
			if (err == ERR_DAMAGED)
				atomic_store(&find->ann->index.damaged, true);
			*outcome_out = OUTCOME_SHORT;
			return 0;
		}
	}
	if (err == 0)
		err = measure(find, q, 0);
	return err != 0 ? err : settle(find, q, exact, outcome_out);
}

/* Whether a scan of all linked vectors is the better way. */
static bool scan_is_better(const struct find *find)
{
	const struct index *index = &find->ann->index;
	const struct pending_view *view = &find->ctx->view;
	uint64_t linked = view->live > view->n ? view->live - view->n : 0;
	uint64_t small = FIND_SMALL_BYTES / ((uint64_t)index->dim * sizeof(float));

	if (find->spec->exact || !atomic_load(&index->centred))
		return true;
	if (small < FIND_SMALL_MIN)
		small = FIND_SMALL_MIN;
	if (small > find->ann->scan_max)
		small = find->ann->scan_max;
	return linked <= small || (small > 0 && linked <= (uint64_t)FIND_WIDE * effort_of(find));
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Steps 1 to 4 for queries first ... first + n - 1. */
static int attempt(struct find *find, size_t first, size_t n, bool exact, enum outcome *outcomes)
{
	struct ann *ann = find->ann;
	struct find_context *ctx = find->ctx;
	struct exact_scan scan = {.ann = ann,
				  .queries = find->queries + first * ann->index.dim,
				  .norms = ctx->norms + first,
				  .n = n,
				  .best = ctx->best + first,
				  .cancelled = find->spec->cancelled,
				  .cancel_ctx = find->spec->cancel_ctx,
				  .msg = find->msg};
	int err = pending_snapshot(&ann->pending, &ctx->view);

	for (size_t q = first; q < first + n && err == 0; q++)
		err = best_start(&ctx->best[q], find->want + find->want / 8 + 16);
	if (err != 0)
		return err;
	scan.lsn = ctx->view.lsn;
	exact = exact || scan_is_better(find);
	err = exact_slots(&scan, ctx->view.slots, ctx->view.n, STORE_HINT_NONE);
	if (err == 0 && exact) {
		if (ctx->view.n > 1)
			qsort(ctx->view.slots, ctx->view.n, sizeof(*ctx->view.slots), by_number);
		err = exact_linked(&scan, ctx->view.slots, ctx->view.n);
	}
	for (size_t q = first; q < first + n && err == 0; q++)
		err = answer_query(find, q, exact, &outcomes[q]);
	return err;
}

/* Step 5, for one query. */
static int try_again(struct find *find, size_t q, enum outcome *outcomes)
{
	bool exact = false;
	unsigned tries = 1;
	int err = 0;

	/* With commits shut out, only a worker that links what just died can disturb. */
	while (err == 0 && outcomes[q] != OUTCOME_DONE) {
		if (outcomes[q] == OUTCOME_SHORT)
			exact = true;
		if (outcomes[q] == OUTCOME_DISTURBED)
			tries++;
		find->last = tries >= FIND_TRIES;
		if (tries > FIND_FREE_TRIES)
			pthread_rwlock_wrlock(&find->ann->gate);
		err = attempt(find, q, 1, exact, outcomes);
		if (tries > FIND_FREE_TRIES)
			pthread_rwlock_unlock(&find->ann->gate);
	}
	return err;
}

int find_group(struct ann *ann, const float *queries, size_t n, const struct ann_query *spec,
	       struct find_result *results, struct err_msg *msg)
{
	enum outcome outcomes[FIND_GROUP] = {OUTCOME_DONE};
	struct find find = {.ann = ann,
			    .queries = queries,
			    .n = n,
			    .spec = spec,
			    .want = spec->k + (spec->without != NULL),
			    .results = results,
			    .msg = msg};
	int err = find_context_take(ann, &find.ctx);

	if (err != 0)
		return err;
	for (size_t q = 0; q < n; q++) {
		find.ctx->norms_sq[q] = scan_norm_sq(ann->index.quant.kernels,
						     queries + q * ann->index.dim, ann->index.dim);
		find.ctx->norms[q] = (float)sqrt(find.ctx->norms_sq[q]);
	}
	err = attempt(&find, 0, n, false, outcomes);
	for (size_t q = 0; q < n && err == 0; q++)
		err = try_again(&find, q, outcomes);
	find_context_give(ann, find.ctx);
	return err;
}
