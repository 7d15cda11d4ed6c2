/*
 * answer.c - ann_search: checks what is asked, spreads the queries over the workers in groups, joins
 * their results into one answer or hands them out as they come.
 *
 * A group is taken from what is left of the batch when a thread is free for it: large at first, to
 * share what a group has to do once, and small at the end, so that all threads end together.
 */
#include "ann/ann.h"

#include <string.h>

#include "ann/collection.h"
#include "ann/find.h"
#include "ann/validate.h"
#include "store/mem.h"

struct batch {
	struct ann *ann;
	const struct ann_part *parts; /* n queries in all */
	size_t n;
	const struct ann_query *spec;
	size_t share; /* of what is left, a group takes one part in so many; 0: all groups alike */
	_Atomic size_t next;	     /* queries before this have a thread */
	struct find_result *results; /* n, owned; NULL when `take` gets them */
	ann_take take;
	ann_begun begun; /* the first job, or NULL */
	void *ctx;	 /* of both */
	int begun_err;
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

/* The queries from `first` on, with how many lie there one after the other. */
static const float *queries_at(const struct batch *batch, size_t first, size_t *n_out)
{
	const struct ann_part *part = batch->parts;

	for (; first >= part->n; part++)
		first -= part->n;
	*n_out = part->n - first;
	return part->queries + first * batch->ann->index.dim;
}

/* How many queries the group that begins with `first` has. */
static size_t group_size(const struct batch *batch, size_t first)
{
	size_t threads = batch->ann->opts.threads, left = batch->n - first, together, n;

	(void)queries_at(batch, first, &together);
	n = batch->share > 0 ? left / batch->share : (batch->n + threads - 1) / threads;
	if (n > FIND_GROUP)
		n = FIND_GROUP;
	if (n < 1)
		n = 1;
	return n < together ? n : together;
}

static size_t count_groups(const struct batch *batch)
{
	size_t groups = 0;

	for (size_t first = 0; first < batch->n; first += group_size(batch, first))
		groups++;
	return groups;
}

static int take_results(const struct batch *batch, size_t first, struct find_result *results,
			size_t n)
{
	struct ann_found found[FIND_GROUP];

	for (size_t i = 0; i < n; i++)
		found[i] = (struct ann_found){results[i].hits, results[i].n, results[i].ids};
	return batch->take(batch->ctx, first, found, n);
}

static int find(struct batch *batch, size_t first, size_t n, struct err_msg *msg)
{
	struct ann *ann = batch->ann;
	struct find_result own[FIND_GROUP] = {{NULL, 0, NULL, 0}};
	struct find_result *results = batch->results != NULL ? batch->results + first : own;
	uint32_t dim = ann->index.dim;
	size_t together;
	const float *queries = queries_at(batch, first, &together);
	int err = 0;

	for (size_t q = 0; q < n && err == 0; q++)
		err = validate_vector(dim, ann->metric, queries + q * dim, dim, msg);
	if (err == 0)
		err = find_group(ann, queries, n, batch->spec, results, msg);
	if (err == 0 && batch->results == NULL)
		err = take_results(batch, first, results, n);
	for (size_t q = 0; q < n; q++)
		find_result_release(&own[q]);
	return err;
}

static void answer_group(struct batch *batch)
{
	size_t first = atomic_load(&batch->next), n;
	struct err_msg msg = {""};
	int err;

	do
		n = group_size(batch, first);
	while (!atomic_compare_exchange_weak(&batch->next, &first, first + n));
	if (atomic_load(&batch->failed))
		return;
	err = find(batch, first, n, &msg);
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

/* As many calls as groups, and one that begins. */
static void do_job(void *ctx, size_t i)
{
	struct batch *batch = ctx;

	if (i > 0 || batch->begun == NULL) {
		answer_group(batch);
		return;
	}
	batch->begun_err = batch->begun(batch->ctx);
	if (batch->begun_err != 0)
		atomic_store(&batch->failed, true);
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

/* A linear scan reads all vectors for each group, so that small groups would not pay. */
static size_t share_of(const struct ann *ann, const struct ann_query *spec)
{
	if (spec->exact || atomic_load(&ann->index.linked) <= ann->scan_max)
		return 0;
	return 2 * (size_t)ann->opts.threads;
}

static int run(struct batch *batch, struct err_msg *msg)
{
	struct ann *ann = batch->ann;
	int err = check_spec(ann, batch->spec, msg);

	if (err != 0)
		return err;
	pthread_mutex_init(&batch->lock, NULL);
	batch->share = share_of(ann, batch->spec);
	workers_run(ann->workers, count_groups(batch) + (batch->begun != NULL), do_job, batch);
	err = batch->begun_err != 0 ? 0 : batch->err;
	if (err != 0 && batch->msg.text[0] != '\0')
		(void)err_set(msg, err, "%s", batch->msg.text);
	else if (err != 0)
		(void)store_explain_tables(
			ann->store, err_set(msg, err, "the search failed: %s", err_str(err)), msg);
	pthread_mutex_destroy(&batch->lock);
	if (batch->begun_err != 0)
		return batch->begun_err;
	if (err == 0)
		atomic_fetch_add(batch->spec->exact ? &ann->exact_queries : &ann->queries,
				 batch->n);
	return err;
}

int ann_search(struct ann *ann, const float *queries, size_t n, const struct ann_query *query,
	       struct ann_answer *answer, struct err_msg *msg)
{
	const struct ann_part part = {queries, n};
	struct batch batch = {.ann = ann, .parts = &part, .n = n, .spec = query};
	int err = 0;

	memset(answer, 0, sizeof(*answer));
	answer->first = mem_zalloc(n + 1, sizeof(*answer->first));
	if (answer->first == NULL)
		return ERR_NOMEM;
	if (n == 0)
		return 0;
	batch.results = mem_zalloc(n, sizeof(*batch.results));
	if (batch.results == NULL)
		return ERR_NOMEM;
	err = run(&batch, msg);
	if (err == 0)
		err = join(&batch, answer);
	for (size_t q = 0; q < n; q++)
		find_result_release(&batch.results[q]);
	mem_free(batch.results);
	if (err == 0)
		answer->n_queries = n;
	return err;
}

int ann_search_parts(struct ann *ann, const struct ann_part *parts, size_t n_parts,
		     const struct ann_query *query, ann_take take, ann_begun begun, void *ctx,
		     struct err_msg *msg)
{
	struct batch batch = {.ann = ann,
			      .parts = parts,
			      .spec = query,
			      .take = take,
			      .begun = begun,
			      .ctx = ctx};

	for (size_t i = 0; i < n_parts; i++)
		batch.n += parts[i].n;
	return batch.n > 0 ? run(&batch, msg) : 0;
}

void ann_answer_release(struct ann_answer *answer)
{
	mem_free(answer->first);
	mem_free(answer->hits);
	mem_free(answer->ids);
	memset(answer, 0, sizeof(*answer));
}
