/* Tests of ann.c, find.c, exact.c and answer.c: the collection against a naive model. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/collection.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"
#include "tests/support/sanitized.h"

#define IDS 700u
#define DIM_MAX 64u

static const struct ann_opts by_hand = {.threads = 2};

/* --- the model: an array --- */

struct model {
	enum ann_metric metric;
	uint32_t dim, live;
	bool has[IDS];
	float vectors[IDS][DIM_MAX];
};

struct truth {
	double distance;
	char id[16];
};

static void id_of(uint32_t i, char *id)
{
	snprintf(id, 16, "id-%03u", i);
}

static double model_distance(const struct model *model, const float *a, const float *b)
{
	double dot = 0, aa = 0, bb = 0, l2 = 0;

	for (uint32_t d = 0; d < model->dim; d++) {
		dot += (double)a[d] * b[d];
		aa += (double)a[d] * a[d];
		bb += (double)b[d] * b[d];
		l2 += ((double)a[d] - b[d]) * ((double)a[d] - b[d]);
	}
	if (model->metric == ANN_L2)
		return sqrt(l2);
	return model->metric == ANN_IP ? -dot : 1 - dot / sqrt(aa * bb);
}

static int by_distance(const void *a, const void *b)
{
	const struct truth *x = a, *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return strcmp(x->id, y->id);
}

static size_t model_search(const struct model *model, const float *query, struct truth *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < IDS; i++) {
		if (!model->has[i])
			continue;
		id_of(i, out[n].id);
		out[n++].distance = model_distance(model, query, model->vectors[i]);
	}
	qsort(out, n, sizeof(*out), by_distance);
	return n;
}

static void hit_id(const struct ann_answer *answer, size_t i, char *id)
{
	memcpy(id, answer->ids + answer->hits[i].id_at, answer->hits[i].id_len);
	id[answer->hits[i].id_len] = '\0';
}

/* Hits of the graph that were as near as the true ones, of how many. */
static size_t graph_hits, graph_wanted;

/* Every hit is a stored vector with its true distance, in order; exactly those that are nearest. */
static void check_answer(const struct model *model, const float *query, struct ann *ann, uint32_t k,
			 bool exact)
{
	struct ann_query spec = {.k = k, .exact = exact};
	static struct truth truth[IDS];
	size_t n = model_search(model, query, truth);
	struct ann_answer answer;

	assert_int_equal(ann_search(ann, query, 1, &spec, &answer, NULL), 0);
	assert_int_equal(answer.n_queries, 1);
	assert_int_equal(answer.first[0], 0);
	assert_int_equal(answer.first[1], k < n ? k : n);
	for (size_t i = 0; i < answer.first[1]; i++) {
		double tolerance = 1e-4 * (1 + fabs(truth[i].distance)), mine;
		char id[256];
		unsigned number = 0;

		hit_id(&answer, i, id);
		assert_int_equal(sscanf(id, "id-%u", &number), 1);
		assert_true(number < IDS && model->has[number]);
		mine = model_distance(model, query, model->vectors[number]);
		assert_true(fabs(answer.hits[i].distance - mine) < tolerance);
		if (exact)
			assert_true(fabs(answer.hits[i].distance - truth[i].distance) < tolerance);
		else
			graph_hits += answer.hits[i].distance <=
				      truth[answer.first[1] - 1].distance + tolerance;
		graph_wanted += !exact;
		for (size_t j = 0; j < i; j++) {
			char other[256];

			hit_id(&answer, j, other);
			assert_string_not_equal(id, other);
			assert_true(answer.hits[j].distance <= answer.hits[i].distance);
		}
	}
	ann_answer_release(&answer);
}

static void check_list(const struct model *model, struct ann *ann)
{
	struct store_entry entries[7];
	uint64_t cursors[7], cursor = 0;
	bool seen[IDS] = {false};
	size_t n = 7, total = 0;

	while (n == 7) {
		assert_int_equal(ann_list(ann, cursor, entries, cursors, 7, &n), 0);
		for (size_t i = 0; i < n; i++) {
			unsigned number = 0;

			assert_int_equal(sscanf(entries[i].id, "id-%u", &number), 1);
			assert_true(number < IDS && model->has[number] && !seen[number]);
			seen[number] = true;
			total++;
		}
		if (n > 0)
			cursor = cursors[n - 1];
	}
	assert_int_equal(total, model->live);
}

static void check_get(const struct model *model, struct ann *ann, uint32_t i)
{
	float vector[DIM_MAX];
	struct store_entry entry;
	char id[16];
	int err;

	id_of(i, id);
	err = ann_get(ann, id, strlen(id), &entry, vector);
	assert_int_equal(err, model->has[i] ? 0 : ERR_ABSENT);
	if (err == 0)
		assert_memory_equal(vector, model->vectors[i], model->dim * sizeof(float));
}

/* --- random operations --- */

static void do_put(struct model *model, struct ann *ann, struct ann_random *random, uint32_t i)
{
	char id[16];

	id_of(i, id);
	model->live += !model->has[i];
	model->has[i] = true;
	ann_random_vector(random, model->vectors[i], model->dim, 9);
	/* Now and then the same vector twice. */
	if (ann_random_below(random, 20) == 0 && model->has[(i + 1) % IDS])
		memcpy(model->vectors[i], model->vectors[(i + 1) % IDS], sizeof(model->vectors[i]));
	assert_int_equal(ann_fixture_put(ann, id, model->vectors[i], model->dim), 0);
}

static void do_rename(struct model *model, struct ann *ann, uint32_t from, uint32_t to)
{
	char a[16], b[16];
	int err;

	id_of(from, a);
	id_of(to, b);
	err = ann_rename(ann, a, strlen(a), b, strlen(b), 0);
	assert_int_equal(err, model->has[from] ? 0 : ERR_ABSENT);
	if (err != 0 || from == to)
		return;
	model->live -= model->has[to];
	memcpy(model->vectors[to], model->vectors[from], sizeof(model->vectors[to]));
	model->has[to] = true;
	model->has[from] = false;
}

static void do_delete(struct model *model, struct ann *ann, uint32_t i)
{
	char id[16];

	id_of(i, id);
	assert_int_equal(ann_delete(ann, id, strlen(id)), model->has[i] ? 0 : ERR_ABSENT);
	model->live -= model->has[i];
	model->has[i] = false;
}

static void random_operation(struct model *model, struct ann_fixture *fixture,
			     struct ann_random *random)
{
	uint32_t i = ann_random_below(random, IDS), op = ann_random_below(random, 100);
	size_t left;

	if (op < 60)
		do_put(model, fixture->ann, random, i);
	else if (op < 80)
		do_delete(model, fixture->ann, i);
	else if (op < 88)
		do_rename(model, fixture->ann, i, ann_random_below(random, IDS));
	else if (op < 97)
		assert_int_equal(ann_index_some(fixture->ann, ann_random_below(random, 30), &left),
				 0);
	else if (op < 99)
		check_get(model, fixture->ann, i);
	else if (ann_random_below(random, 3) == 0)
		assert_int_equal(ann_flush(fixture->ann), 0);
}

static void random_run(enum ann_metric metric, uint32_t dim, uint64_t seed)
{
	static struct model model;
	struct ann_fixture fixture;
	struct ann_random random = {seed};
	float query[DIM_MAX];
	struct ann_stats stats;

	printf("seed %llu\n", (unsigned long long)seed);
	memset(&model, 0, sizeof(model));
	graph_hits = graph_wanted = 0;
	model.metric = metric;
	model.dim = dim;
	ann_fixture_new(&fixture, metric, dim, &by_hand);
	for (unsigned step = 0; step < UNLESS_SANITIZED(4000, 1900); step++) {
		random_operation(&model, &fixture, &random);
		if (step % 900 == 899)
			ann_fixture_reopen(&fixture, ann_random_below(&random, 2) == 0);
		fixture.ann->scan_max = 0; /* ask the graph, however few vectors there are */
		if (step % 50 != 0)
			continue;
		ann_random_vector(&random, query, dim, 9);
		check_answer(&model, query, fixture.ann, 1 + ann_random_below(&random, 20), true);
		check_answer(&model, query, fixture.ann, 1 + ann_random_below(&random, 20), false);
	}
	check_list(&model, fixture.ann);
	check_answer(&model, query, fixture.ann, IDS, true);
	ann_get_stats(fixture.ann, &stats);
	assert_int_equal(stats.vectors, model.live);
	printf("%zu of %zu, %llu hops\n", graph_hits, graph_wanted, (unsigned long long)stats.hops);
	assert_true(stats.hops > 0);
	assert_true((double)graph_hits >= 0.95 * (double)graph_wanted);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

static void test_random_l2(void **state)
{
	(void)state;
	random_run(ANN_L2, 24, 1);
}

static void test_random_cosine(void **state)
{
	(void)state;
	random_run(ANN_COSINE, 17, 2);
}

static void test_random_ip(void **state)
{
	(void)state;
	random_run(ANN_IP, 40, 3);
}

/* --- recall of the graph --- */

#define MANY UNLESS_SANITIZED(7000u, 1600u) /* more than are scanned */
#define MANY_DIM 32u
#define QUERIES 60u

static void put_many(struct ann *ann, struct ann_random *random, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		float vector[MANY_DIM];
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		ann_random_vector(random, vector, MANY_DIM, 50);
		assert_int_equal(ann_fixture_put(ann, id, vector, MANY_DIM), 0);
	}
}

static double recall(struct ann *ann, struct ann_random *random)
{
	float queries[QUERIES * MANY_DIM];
	struct ann_query spec = {.k = 10}, exact = {.k = 10, .exact = true};
	struct ann_answer got, truth;
	size_t found = 0;

	for (uint32_t q = 0; q < QUERIES; q++)
		ann_random_vector(random, queries + q * MANY_DIM, MANY_DIM, 50);
	assert_int_equal(ann_search(ann, queries, QUERIES, &spec, &got, NULL), 0);
	assert_int_equal(ann_search(ann, queries, QUERIES, &exact, &truth, NULL), 0);
	for (size_t q = 0; q < QUERIES; q++) {
		assert_int_equal(got.first[q + 1] - got.first[q], 10);
		assert_int_equal(truth.first[q + 1] - truth.first[q], 10);
		for (size_t i = got.first[q]; i < got.first[q + 1]; i++)
			found += got.hits[i].distance <=
				 truth.hits[truth.first[q + 1] - 1].distance * (1 + 1e-9);
	}
	ann_answer_release(&got);
	ann_answer_release(&truth);
	return (double)found / (QUERIES * 10);
}

struct taken {
	pthread_mutex_t lock;
	const struct ann_answer *whole; /* the same queries, asked together */
	bool taken[QUERIES];		/* guarded by lock */
	unsigned largest, smallest;	/* group; guarded by lock */
	int refuse;			/* what the second call returns */
	unsigned calls;			/* guarded by lock */
	unsigned begun;
	int refuse_begun;
};

static int begin(void *ctx)
{
	struct taken *taken = ctx;

	taken->begun++;
	return taken->refuse_begun;
}

static int take(void *ctx, size_t first, const struct ann_found *found, size_t n)
{
	struct taken *taken = ctx;
	unsigned call;

	pthread_mutex_lock(&taken->lock);
	call = taken->calls++;
	taken->largest = n > taken->largest ? (unsigned)n : taken->largest;
	taken->smallest = n < taken->smallest ? (unsigned)n : taken->smallest;
	for (size_t i = 0; i < n; i++) {
		assert_false(taken->taken[first + i]);
		taken->taken[first + i] = true;
	}
	pthread_mutex_unlock(&taken->lock);
	for (size_t i = 0; i < n; i++) {
		const struct ann_answer *whole = taken->whole;
		size_t at = whole->first[first + i];

		assert_int_equal(found[i].n, whole->first[first + i + 1] - at);
		for (size_t j = 0; j < found[i].n; j++) {
			const struct ann_hit *mine = &found[i].hits[j],
					     *other = &whole->hits[at + j];

			assert_true(mine->distance == other->distance);
			assert_int_equal(mine->id_len, other->id_len);
			assert_memory_equal(found[i].ids + mine->id_at, whole->ids + other->id_at,
					    mine->id_len);
		}
	}
	return call == 1 ? taken->refuse : 0;
}

/* However a batch is cut into parts, each query is handed out once, with what it has in a whole one. */
static void check_parts(struct ann *ann, struct ann_random *random)
{
	static const size_t cuts[] = {1, QUERIES / 2, QUERIES - 1};
	float queries[QUERIES * MANY_DIM];
	struct ann_query spec = {.k = 10};
	struct ann_answer whole;
	struct err_msg msg;

	for (uint32_t q = 0; q < QUERIES; q++)
		ann_random_vector(random, queries + q * MANY_DIM, MANY_DIM, 50);
	assert_int_equal(ann_search(ann, queries, QUERIES, &spec, &whole, NULL), 0);
	for (size_t i = 0; i < 3 * sizeof(cuts) / sizeof(cuts[0]); i++) {
		size_t cut = cuts[i / 3];
		const struct ann_part parts[2] = {{queries, cut},
						  {queries + cut * MANY_DIM, QUERIES - cut}};
		struct taken taken = {.whole = &whole, .smallest = QUERIES};

		pthread_mutex_init(&taken.lock, NULL);
		taken.refuse = i % 3 == 1 ? ERR_NOMEM : 0;
		taken.refuse_begun = i % 3 == 2 ? ERR_BUSY : 0;
		assert_int_equal(ann_search_parts(ann, parts, 2, &spec, take, begin, &taken, &msg),
				 i % 3 == 2 ? ERR_BUSY : taken.refuse);
		assert_int_equal(taken.begun, 1);
		for (size_t q = 0; q < QUERIES && i % 3 == 0; q++)
			assert_true(taken.taken[q]);
		/* Together at first, one by one at the end. */
		assert_true(taken.largest > 4 || i % 3 != 0);
		assert_true(taken.smallest == 1 || i % 3 != 0);
		pthread_mutex_destroy(&taken.lock);
	}
	ann_answer_release(&whole);
}

static void test_recall(void **state)
{
	struct ann_fixture fixture;
	struct ann_random random = {7};
	struct ann_stats stats;
	uint64_t hops;
	double value;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 0, &by_hand);
	if (SANITIZED)
		fixture.ann->scan_max = 0;
	put_many(fixture.ann, &random, 0, MANY);
	ann_fixture_index(fixture.ann);
	ann_get_stats(fixture.ann, &stats);
	assert_int_equal(stats.linked, MANY);
	assert_int_equal(stats.pending, 0);
	value = recall(fixture.ann, &random);
	hops = stats.hops;
	ann_get_stats(fixture.ann, &stats);
	printf("recall@10 %.4f at effort %u, %llu hops\n", value, stats.effort,
	       (unsigned long long)(stats.hops - hops));
	assert_true(value >= 0.95);
	assert_true(stats.hops - hops >= QUERIES * 10);
	assert_int_equal(stats.queries, QUERIES);
	check_parts(fixture.ann, &random);
	assert_int_equal(stats.exact_queries, QUERIES);

	/* A quarter goes, a quarter changes, some wait. */
	for (uint32_t i = 0; i < MANY / 4; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(ann_delete(fixture.ann, id, strlen(id)), 0);
	}
	put_many(fixture.ann, &random, MANY / 4, MANY / 2);
	ann_fixture_index(fixture.ann);
	put_many(fixture.ann, &random, MANY, MANY + 200);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_get_stats(fixture.ann, &stats);
	assert_int_equal(stats.vectors, MANY - MANY / 4 + 200);
	assert_int_equal(stats.pending, 200);
	assert_true(stats.repaired >= MANY / 2);
	assert_int_equal(stats.tombstones, 0);
	value = recall(fixture.ann, &random);
	printf("recall@10 %.4f after deletions\n", value);
	assert_true(value >= 0.95);
	ann_fixture_free(&fixture);
}

/* --- single rules --- */

static void test_first_vector(void **state)
{
	const float good[3] = {1, 2, 3}, bad[3] = {1, NAN, 3}, query[2] = {1, 2};
	struct ann_query spec = {.k = 5};
	struct ann_fixture fixture;
	struct ann_answer answer;
	struct err_msg msg;

	(void)state;
	ann_fixture_new(&fixture, ANN_COSINE, 0, &by_hand);
	assert_int_equal(ann_dim(fixture.ann), 0);
	assert_int_equal(ann_search(fixture.ann, query, 1, &spec, &answer, &msg), ERR_INVALID);
	ann_answer_release(&answer);
	assert_int_equal(ann_search(fixture.ann, query, 0, &spec, &answer, &msg), 0);
	ann_answer_release(&answer);
	assert_int_equal(ann_fixture_put(fixture.ann, "a", bad, 3), ERR_INVALID);
	assert_int_equal(ann_dim(fixture.ann), 0);
	assert_int_equal(ann_fixture_put(fixture.ann, "a", good, 3), 0);
	assert_int_equal(ann_dim(fixture.ann), 3);
	assert_int_equal(ann_fixture_put(fixture.ann, "b", good, 2), ERR_INVALID);
	assert_int_equal(ann_fixture_put(fixture.ann, "b", good, 4), ERR_TOO_BIG);
	ann_fixture_reopen(&fixture, true);
	assert_int_equal(ann_dim(fixture.ann), 3);
	assert_int_equal(ann_delete(fixture.ann, "a", 1), 0);
	assert_int_equal(ann_search(fixture.ann, good, 1, &spec, &answer, &msg), 0);
	assert_int_equal(answer.first[1], 0);
	ann_answer_release(&answer);
	ann_fixture_free(&fixture);
}

static int log_is_full(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	return strcmp(call, "log_write") == 0 ? ERR_FULL : 0;
}

static void test_refused_first_put(void **state)
{
	const float vector[4] = {1, 2, 3, 4};
	struct ann_fixture fixture;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 0, &by_hand);
	io_mem_set_fault(fixture.medium, log_is_full, NULL);
	assert_int_not_equal(ann_fixture_put(fixture.ann, "a", vector, 4), 0);
	assert_int_equal(ann_dim(fixture.ann), 0);
	io_mem_set_fault(fixture.medium, NULL, NULL);
	ann_fixture_reopen(&fixture, true);
	assert_int_equal(ann_fixture_put(fixture.ann, "a", vector, 3), 0);
	assert_int_equal(ann_dim(fixture.ann), 3);
	ann_fixture_free(&fixture);
}

static void expect(const struct ann_answer *answer, size_t q, const char *ids)
{
	char all[256] = "";

	for (size_t i = answer->first[q]; i < answer->first[q + 1]; i++) {
		char id[256];

		hit_id(answer, i, id);
		strcat(all, id);
		strcat(all, " ");
	}
	assert_string_equal(all, ids);
}

static void test_ties_max_without(void **state)
{
	const float near[2] = {1, 0}, far[2] = {5, 0}, queries[4] = {1, 0, 5, 0};
	const float beside[2] = {0, 0.5f};
	struct ann_query spec = {.k = 3};
	struct ann_fixture fixture;
	struct ann_answer answer;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 2, &by_hand);
	/* More equal vectors than k: the first by id are the answer. */
	for (const char *id = "fcaedb"; *id != '\0'; id++) {
		char name[2] = {*id, '\0'};

		assert_int_equal(ann_fixture_put(fixture.ann, name, near, 2), 0);
	}
	assert_int_equal(ann_fixture_put(fixture.ann, "z", far, 2), 0);
	assert_int_equal(ann_search(fixture.ann, queries, 2, &spec, &answer, NULL), 0);
	expect(&answer, 0, "a b c ");
	expect(&answer, 1, "z a b ");
	ann_answer_release(&answer);

	spec = (struct ann_query){.k = 3, .without = "a", .without_len = 1};
	assert_int_equal(ann_search(fixture.ann, queries, 2, &spec, &answer, NULL), 0);
	expect(&answer, 0, "b c d ");
	expect(&answer, 1, "z b c ");
	ann_answer_release(&answer);

	spec = (struct ann_query){.k = 3, .has_max = true, .max = 3.9};
	assert_int_equal(ann_search(fixture.ann, queries, 2, &spec, &answer, NULL), 0);
	expect(&answer, 0, "a b c ");
	expect(&answer, 1, "z ");
	ann_answer_release(&answer);

	/* From 0 0.5 it is 1.118033988...: what is shown as 1.11803399, and what as 5.02493781. */
	for (unsigned i = 0; i < 4; i++) {
		static const double bounds[] = {1.11803399, 1.11803398, 5.02493781, 5.0249378};
		static const char *const wanted[] = {"a b c d e f ", "", "a b c d e f z ",
						     "a b c d e f "};

		spec = (struct ann_query){.k = 7, .has_max = true, .max = bounds[i]};
		assert_int_equal(ann_search(fixture.ann, beside, 1, &spec, &answer, NULL), 0);
		expect(&answer, 0, wanted[i]);
		ann_answer_release(&answer);
	}

	spec = (struct ann_query){.k = 100, .exact = true};
	assert_int_equal(ann_search(fixture.ann, queries, 1, &spec, &answer, NULL), 0);
	expect(&answer, 0, "a b c d e f z ");
	ann_answer_release(&answer);
	ann_fixture_free(&fixture);
}

static void test_bad_queries(void **state)
{
	const float good[2] = {1, 0}, nan[2] = {1, NAN};
	struct ann_query specs[] = {{.k = 0},
				    {.k = ANN_K_MAX + 1},
				    {.k = 1, .effort = ANN_EFFORT_MAX + 1},
				    {.k = 1, .has_max = true, .max = NAN}};
	struct ann_fixture fixture;
	struct ann_answer answer;
	struct err_msg msg;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 2, &by_hand);
	assert_int_equal(ann_fixture_put(fixture.ann, "a", good, 2), 0);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		msg.text[0] = '\0';
		assert_int_equal(ann_search(fixture.ann, good, 1, &specs[i], &answer, &msg),
				 ERR_INVALID);
		assert_true(msg.text[0] != '\0');
		ann_answer_release(&answer);
	}
	specs[0].k = 1;
	assert_int_equal(ann_search(fixture.ann, nan, 1, &specs[0], &answer, &msg), ERR_INVALID);
	ann_answer_release(&answer);
	ann_fixture_free(&fixture);
}

static bool always(void *ctx)
{
	*(unsigned *)ctx += 1;
	return true;
}

static void test_cancelled(void **state)
{
	unsigned asked = 0;
	struct ann_query spec = {.k = 1, .exact = true, .cancelled = always, .cancel_ctx = &asked};
	struct ann_fixture fixture;
	struct ann_random random = {5};
	struct ann_answer answer;
	float query[MANY_DIM] = {1};

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, MANY_DIM, &by_hand);
	put_many(fixture.ann, &random, 0, 100);
	assert_int_equal(ann_search(fixture.ann, query, 1, &spec, &answer, NULL), ERR_INTERRUPTED);
	assert_true(asked > 0);
	ann_answer_release(&answer);
	ann_fixture_free(&fixture);
}

/* --- memory runs short at every point in turn --- */

static size_t allocations_left;

static bool runs_short(void *ctx)
{
	(void)ctx;
	if (allocations_left == 0)
		return true;
	allocations_left--;
	return false;
}

static void test_no_memory(void **state)
{
	struct ann_query spec = {.k = 3};
	struct ann_fixture fixture;
	struct ann_random random = {6};
	struct ann_answer answer;
	float vector[MANY_DIM];
	size_t failures = 0, left;
	int err = ERR_NOMEM;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, MANY_DIM, &by_hand);
	put_many(fixture.ann, &random, 0, 400);
	for (size_t n = 0; err == ERR_NOMEM; n++) {
		ann_random_vector(&random, vector, MANY_DIM, 3);
		allocations_left = n;
		mem_set_fault(runs_short, NULL);
		err = ann_fixture_put(fixture.ann, "new", vector, MANY_DIM);
		if (err == 0)
			err = ann_index_some(fixture.ann, 1000, &left);
		if (err == 0) {
			err = ann_search(fixture.ann, vector, 1, &spec, &answer, NULL);
			if (err == 0) {
				char id[256];

				hit_id(&answer, 0, id);
				assert_string_equal(id, "new");
			}
			ann_answer_release(&answer);
		}
		mem_set_fault(NULL, NULL);
		failures += err != 0;
	}
	assert_int_equal(err, 0);
	assert_true(failures > 3);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

static void test_names(void **state)
{
	enum ann_metric metric;

	(void)state;
	assert_true(ann_metric_parse("cosine", &metric) && metric == ANN_COSINE);
	assert_true(ann_metric_parse("l2", &metric) && metric == ANN_L2);
	assert_true(ann_metric_parse("ip", &metric) && metric == ANN_IP);
	assert_false(ann_metric_parse("unknown", &metric));
	assert_string_equal(ann_metric_name(ANN_IP), "ip");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_first_vector),
		cmocka_unit_test(test_refused_first_put),
		cmocka_unit_test(test_ties_max_without),
		cmocka_unit_test(test_bad_queries),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_random_l2),
		cmocka_unit_test(test_random_cosine),
		cmocka_unit_test(test_random_ip),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_recall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
