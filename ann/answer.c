/*
 * answer.c - ann_search: checks what is asked, spreads the queries over the workers in groups, joins
 * their results into one answer.
 */
#include "ann/ann.h"

#include <string.h>

#include "ann/collection.h"
#include "ann/find.h"
#include "ann/validate.h"
#include "store/mem.h"

struct batch {
	struct ann *ann;
	const float *queries;
	size_t n, group; /* queries; queries of a group */
	const struct ann_query *spec;
	struct find_result *results; /* n, owned */
	_Atomic bool failed;
	pthread_mutex_t lock;
	int err;	    /* of the first group that failed; guarded by lock */
	struct err_msg msg; /* guarded by lock */
};

static int check_spec(const struct ann *ann, const struct ann_query *spec, struct err_msg *msg)
{
	if (spec->k < 1 || spec->k > ANN_K_MAX)
		return err_set(msg, ERR_INVALID, "k is %u; it must be 1 to %u", spec->k, ANN_K_MAX);
	if (spec->effort > ANN_EFFORT_MAX)
		return err_set(msg, ERR_INVALID, "effort is %u; it must be at most %u",
			       spec->effort, ANN_EFFORT_MAX);
	if (spec->has_max && spec->max != spec->max)
		return err_set(msg, ERR_INVALID, "max is not a number");
	if (!atomic_load(&ann->ready))
		return err_set(msg, ERR_INVALID,
			       "the dimension is not known yet: store a vector first, or give dim");
	return 0;
}

static int check_queries(const struct ann *ann, const float *queries, size_t n, struct err_msg *msg)
{
	uint32_t dim = ann->index.dim;
	int err = 0;

	for (size_t q = 0; q < n && err == 0; q++)
		err = validate_vector(dim, ann->metric, queries + q * dim, dim, msg);
	return err;
}

static void answer_group(void *ctx, size_t i)
{
	struct batch *batch = ctx;
	size_t first = i * batch->group;
	size_t n = batch->n - first < batch->group ? batch->n - first : batch->group;
	struct err_msg msg = {""};
	int err;

	if (atomic_load(&batch->failed))
		return;
	err = find_group(batch->ann, batch->queries + first * batch->ann->index.dim, n, batch->spec,
			 batch->results + first, &msg);
	if (err == 0)
		return;
	pthread_mutex_lock(&batch->lock);
	if (batch->err == 0) {
		batch->err = err;
		batch->msg = msg;
	}
	pthread_mutex_unlock(&batch->lock);
	atomic_store(&batch->failed, true);
}

/* Large enough to share the reading of vectors, small enough to give every thread some. */
static size_t group_size(const struct ann *ann, size_t n)
{
	size_t group = (n + ann->opts.threads - 1) / ann->opts.threads;

	return group < FIND_GROUP ? group : FIND_GROUP;
}

static int join(const struct batch *batch, struct ann_answer *answer)
{
	size_t hits = 0, ids = 0;

	for (size_t q = 0; q < batch->n; q++) {
		hits += batch->results[q].n;
		ids += batch->results[q].ids_len;
	}
	if (ids > UINT32_MAX)
		return ERR_TOO_BIG;
	answer->hits = mem_alloc(hits * sizeof(*answer->hits));
	answer->ids = mem_alloc(ids);
	if (answer->hits == NULL || answer->ids == NULL)
		return ERR_NOMEM;
	hits = ids = 0;
	for (size_t q = 0; q < batch->n; q++) {
		const struct find_result *result = &batch->results[q];

		answer->first[q] = hits;
		for (size_t i = 0; i < result->n; i++) {
			answer->hits[hits] = result->hits[i];
			answer->hits[hits++].id_at += (uint32_t)ids;
		}
		memcpy(answer->ids + ids, result->ids, result->ids_len);
		ids += result->ids_len;
	}
	answer->first[batch->n] = hits;
	return 0;
}

static int run(struct batch *batch, struct ann_answer *answer, struct err_msg *msg)
{
	struct ann *ann = batch->ann;
	int err;

	batch->results = mem_zalloc(batch->n, sizeof(*batch->results));
	if (batch->results == NULL)
		return ERR_NOMEM;
	batch->group = group_size(ann, batch->n);
	workers_run(ann->workers, (batch->n + batch->group - 1) / batch->group, answer_group,
		    batch);
	err = batch->err;
	if (err != 0 && batch->msg.text[0] != '\0')
		(void)err_set(msg, err, "%s", batch->msg.text);
	else if (err != 0)
		(void)store_explain_tables(
			ann->store, err_set(msg, err, "the search failed: %s", err_str(err)), msg);
	if (err == 0)
		err = join(batch, answer);
	for (size_t q = 0; q < batch->n; q++)
		find_result_release(&batch->results[q]);
	mem_free(batch->results);
	return err;
}

int ann_search(struct ann *ann, const float *queries, size_t n, const struct ann_query *query,
	       struct ann_answer *answer, struct err_msg *msg)
{
	struct batch batch = {.ann = ann, .queries = queries, .n = n, .spec = query};
	int err = 0;

	memset(answer, 0, sizeof(*answer));
	answer->first = mem_zalloc(n + 1, sizeof(*answer->first));
	if (answer->first == NULL)
		return ERR_NOMEM;
	if (n == 0)
		return 0;
	err = check_spec(ann, query, msg);
	if (err == 0)
		err = check_queries(ann, queries, n, msg);
	if (err != 0)
		return err;
	pthread_mutex_init(&batch.lock, NULL);
	err = run(&batch, answer, msg);
	pthread_mutex_destroy(&batch.lock);
	if (err != 0)
		return err;
	answer->n_queries = n;
	atomic_fetch_add(query->exact ? &ann->exact_queries : &ann->queries, n);
	return 0;
}

void ann_answer_release(struct ann_answer *answer)
{
	mem_free(answer->first);
	mem_free(answer->hits);
	mem_free(answer->ids);
	memset(answer, 0, sizeof(*answer));
}
