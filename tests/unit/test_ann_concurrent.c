/*
 * Tests of the collection under concurrent puts, overwrites, deletions, renames and searches, with
 * the background workers running. Threads note the first thing that is wrong; the main one asserts.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/collection.h"
#include "tests/support/ann_fixture.h"

#define DIM 16u
#define WRITERS 4u
#define ROUNDS 250u
#define IDS 400u

struct shared {
	struct ann *ann;
	_Atomic bool stop;
	_Atomic unsigned faults;
	char what[256];			/* of the first fault */
	_Atomic uint32_t versions[IDS]; /* newest version whose put returned */
	_Atomic uint32_t begun[IDS];	/* newest version whose put began */
};

struct thread {
	struct shared *shared;
	uint32_t number;
	pthread_t thread;
};

static void fault(struct shared *shared, const char *what, const char *id, double number)
{
	if (atomic_fetch_add(&shared->faults, 1) == 0)
		snprintf(shared->what, sizeof(shared->what), "%s (%s, %g)", what, id, number);
}

static void copy_id(const struct ann_answer *answer, size_t i, char *id)
{
	memcpy(id, answer->ids + answer->hits[i].id_at, answer->hits[i].id_len);
	id[answer->hits[i].id_len] = '\0';
}

static bool has_twins(const struct ann_answer *answer)
{
	for (size_t i = 0; i < answer->first[1]; i++)
		for (size_t j = 0; j < i; j++)
			if (answer->hits[i].id_len == answer->hits[j].id_len &&
			    memcmp(answer->ids + answer->hits[i].id_at,
				   answer->ids + answer->hits[j].id_at,
				   answer->hits[i].id_len) == 0)
				return true;
	return false;
}

static void start(struct thread *threads, uint32_t n, struct shared *shared, void *(*run)(void *))
{
	for (uint32_t i = 0; i < n; i++) {
		threads[i].shared = shared;
		threads[i].number = i;
		assert_int_equal(pthread_create(&threads[i].thread, NULL, run, &threads[i]), 0);
	}
}

static void join(struct thread *threads, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		pthread_join(threads[i].thread, NULL);
}

/* --- everyone finds what it wrote --- */

/* The vector is its own nearest neighbour as soon as its put has returned. */
static void expect_self(struct thread *thread, const float *vector, const char *id)
{
	struct ann_query spec = {.k = 3};
	struct ann_answer answer;
	char found[256] = "";
	int err = ann_search(thread->shared->ann, vector, 1, &spec, &answer, NULL);

	if (err != 0)
		fault(thread->shared, "search failed", id, err);
	else if (answer.first[1] != 3)
		fault(thread->shared, "short answer", id, (double)answer.first[1]);
	else if (has_twins(&answer))
		fault(thread->shared, "an id twice", id, 0);
	else if (copy_id(&answer, 0, found), strcmp(found, id) != 0)
		fault(thread->shared, found, id, answer.hits[0].distance);
	else if (answer.hits[0].distance > 1e-3)
		fault(thread->shared, "far from itself", id, answer.hits[0].distance);
	ann_answer_release(&answer);
}

static void *write_and_find(void *arg)
{
	struct thread *thread = arg;
	struct ann_random random = {thread->number + 100};
	float vector[DIM];
	char id[32];

	for (uint32_t i = 0; i < ROUNDS && atomic_load(&thread->shared->faults) == 0; i++) {
		int err;

		ann_random_vector(&random, vector, DIM, 20);
		snprintf(id, sizeof(id), "%u-%u", thread->number, i % 100);
		err = ann_fixture_put(thread->shared->ann, id, vector, DIM);
		if (err != 0)
			fault(thread->shared, "put failed", id, err);
		expect_self(thread, vector, id);
		if (i % 7 == 6) {
			err = ann_delete(thread->shared->ann, id, strlen(id));
			if (err != 0)
				fault(thread->shared, "delete failed", id, err);
		}
	}
	return NULL;
}

static void fill(struct ann *ann, uint32_t n)
{
	struct ann_random random = {1};

	for (uint32_t i = 0; i < n; i++) {
		float vector[DIM];
		char id[32];

		ann_random_vector(&random, vector, DIM, 20);
		snprintf(id, sizeof(id), "ground-%u", i);
		assert_int_equal(ann_fixture_put(ann, id, vector, DIM), 0);
	}
}

static void no_fault(struct shared *shared)
{
	if (atomic_load(&shared->faults) > 0)
		print_error("%s\n", shared->what);
	assert_int_equal(atomic_load(&shared->faults), 0);
}

static void find_own_writes(bool graph)
{
	const struct ann_opts opts = {.threads = 2, .background = true};
	static struct shared shared;
	struct ann_fixture fixture;
	struct thread threads[WRITERS];

	memset(&shared, 0, sizeof(shared));
	ann_fixture_new(&fixture, ANN_L2, DIM, &opts);
	shared.ann = fixture.ann;
	fill(fixture.ann, 600);
	if (graph)
		fixture.ann->scan_max = 0;
	start(threads, WRITERS, &shared, write_and_find);
	join(threads, WRITERS);
	no_fault(&shared);
	assert_int_equal(pending_check(&fixture.ann->pending), 0);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

static void test_own_writes_graph(void **state)
{
	(void)state;
	find_own_writes(true);
}

static void test_own_writes_scan(void **state)
{
	(void)state;
	find_own_writes(false);
}

/* --- overwriting: never a stale version, never an id twice, nobody lost --- */

/* Version v of id i: (i * 10, v, 0 ...), so that a distance tells the version. */
static void vector_of(uint32_t i, uint32_t version, float *vector)
{
	memset(vector, 0, DIM * sizeof(*vector));
	vector[0] = (float)i * 10;
	vector[1] = (float)version;
}

static void put_version(struct shared *shared, uint32_t i, uint32_t version)
{
	float vector[DIM];
	char id[32];
	int err;

	vector_of(i, version, vector);
	snprintf(id, sizeof(id), "%u", i);
	atomic_store(&shared->begun[i], version);
	err = ann_fixture_put(shared->ann, id, vector, DIM);
	if (err != 0)
		fault(shared, "put failed", id, err);
	atomic_store(&shared->versions[i], version);
}

/* Writer n owns the ids that are n modulo WRITERS. */
static void *overwrite(void *arg)
{
	struct thread *thread = arg;
	struct shared *shared = thread->shared;
	struct ann_random random = {thread->number + 200};

	for (uint32_t round = 0; round < 6 * ROUNDS && atomic_load(&shared->faults) == 0; round++) {
		uint32_t i = ann_random_below(&random, 20) * WRITERS + thread->number;

		put_version(shared, i, atomic_load(&shared->versions[i]) + 1);
	}
	return NULL;
}

/* The distance of id i to (i * 10, 0 ...) is its version. */
static void check_version(struct shared *shared, const struct ann_answer *answer, size_t at,
			  uint32_t i, const uint32_t *before)
{
	float query[DIM], vector[DIM];
	char id[32];
	uint32_t number;
	double version = answer->hits[at].distance, x;

	copy_id(answer, at, id);
	number = (uint32_t)strtoul(id, NULL, 10);
	vector_of(i, 0, query);
	vector_of(number, 0, vector);
	x = (double)query[0] - vector[0];
	version = round(sqrt(fmax(version * version - x * x, 0)));
	if (version < before[number])
		fault(shared, "stale version", id, version);
	if (version > atomic_load(&shared->begun[number]))
		fault(shared, "version of the future", id, version);
}

static void *ask_versions(void *arg)
{
	struct thread *thread = arg;
	struct shared *shared = thread->shared;
	struct ann_random random = {thread->number + 300};
	uint32_t before[IDS];

	while (!atomic_load(&shared->stop) && atomic_load(&shared->faults) == 0) {
		struct ann_query spec = {.k = 90, .exact = ann_random_below(&random, 4) == 0};
		uint32_t i = ann_random_below(&random, 80);
		struct ann_answer answer;
		float query[DIM];
		int err;

		for (uint32_t j = 0; j < IDS; j++)
			before[j] = atomic_load(&shared->versions[j]);
		vector_of(i, 0, query);
		err = ann_search(shared->ann, query, 1, &spec, &answer, NULL);
		if (err != 0)
			fault(shared, "search failed", "", err);
		else if (answer.first[1] != 90)
			fault(shared, "short answer", "", (double)answer.first[1]);
		else if (has_twins(&answer))
			fault(shared, "an id twice", "", 0);
		else
			for (size_t at = 0; at < 90; at++)
				check_version(shared, &answer, at, i, before);
		ann_answer_release(&answer);
	}
	return NULL;
}

/* With 1 bit, which reads vectors to choose links while others are overwritten; or with 4. */
static void overwriting(uint32_t scan_max)
{
	const struct ann_opts opts = {
		.threads = 2, .background = true, .code_bits = scan_max == 0 ? 1 : 4};
	static struct shared shared;
	struct ann_fixture fixture;
	struct thread writers[WRITERS], askers[2];

	memset(&shared, 0, sizeof(shared));
	ann_fixture_new(&fixture, ANN_L2, DIM, &opts);
	shared.ann = fixture.ann;
	fixture.ann->scan_max = scan_max;
	for (uint32_t i = 0; i < IDS; i++)
		put_version(&shared, i, 1);
	start(askers, 2, &shared, ask_versions);
	start(writers, WRITERS, &shared, overwrite);
	join(writers, WRITERS);
	atomic_store(&shared.stop, true);
	join(askers, 2);
	no_fault(&shared);
	assert_int_equal(pending_check(&fixture.ann->pending), 0);
	ann_fixture_free(&fixture);
}

static void test_overwrite_graph(void **state)
{
	(void)state;
	overwriting(0);
}

static void test_overwrite_scan(void **state)
{
	(void)state;
	overwriting(COLLECTION_SCAN_MAX);
}

/* --- exchanging names: all ids are always there --- */

static void *exchange(void *arg)
{
	struct thread *thread = arg;
	struct shared *shared = thread->shared;
	struct ann_random random = {thread->number + 400};

	for (uint32_t round = 0; round < 8 * ROUNDS && atomic_load(&shared->faults) == 0; round++) {
		char a[16], b[16];
		int err;

		snprintf(a, sizeof(a), "%u", ann_random_below(&random, 40));
		snprintf(b, sizeof(b), "%u", ann_random_below(&random, 40));
		err = ann_rename(shared->ann, a, strlen(a), b, strlen(b), STORE_RENAME_EXCHANGE);
		if (err != 0)
			fault(shared, "rename failed", a, err);
	}
	return NULL;
}

static void *count_names(void *arg)
{
	struct thread *thread = arg;
	struct shared *shared = thread->shared;

	while (!atomic_load(&shared->stop) && atomic_load(&shared->faults) == 0) {
		struct ann_query spec = {.k = 40};
		struct ann_answer answer;
		float query[DIM] = {0};
		int err = ann_search(shared->ann, query, 1, &spec, &answer, NULL);

		if (err != 0)
			fault(shared, "search failed", "", err);
		else if (answer.first[1] != 40)
			fault(shared, "short answer", "", (double)answer.first[1]);
		else if (has_twins(&answer))
			fault(shared, "an id twice", "", 0);
		ann_answer_release(&answer);
	}
	return NULL;
}

static void test_exchange(void **state)
{
	const struct ann_opts opts = {.threads = 2, .background = true};
	static struct shared shared;
	struct ann_fixture fixture;
	struct thread writers[2], askers[2];

	(void)state;
	memset(&shared, 0, sizeof(shared));
	ann_fixture_new(&fixture, ANN_L2, DIM, &opts);
	shared.ann = fixture.ann;
	for (uint32_t i = 0; i < 40; i++)
		put_version(&shared, i, 1);
	start(askers, 2, &shared, count_names);
	start(writers, 2, &shared, exchange);
	join(writers, 2);
	atomic_store(&shared.stop, true);
	join(askers, 2);
	no_fault(&shared);
	ann_fixture_free(&fixture);
}

/* --- flushes beside everything else, and the first put by several threads --- */

static void *flush_on(void *arg)
{
	struct thread *thread = arg;
	struct shared *shared = thread->shared;

	while (!atomic_load(&shared->stop)) {
		int err = ann_flush(shared->ann);

		if (err != 0)
			fault(shared, "flush failed", "", err);
	}
	return NULL;
}

static void test_flush_beside(void **state)
{
	const struct ann_opts opts = {.threads = 2, .background = true};
	static struct shared shared;
	struct ann_fixture fixture;
	struct thread writers[WRITERS], flusher;
	struct ann_stats stats;

	(void)state;
	memset(&shared, 0, sizeof(shared));
	ann_fixture_new(&fixture, ANN_L2, 0, &opts);
	shared.ann = fixture.ann;
	start(&flusher, 1, &shared, flush_on);
	/* All writers meet an unknown dimension; hits are 3 only once there are as many. */
	fill(fixture.ann, 3);
	start(writers, WRITERS, &shared, write_and_find);
	join(writers, WRITERS);
	atomic_store(&shared.stop, true);
	join(&flusher, 1);
	no_fault(&shared);
	ann_get_stats(fixture.ann, &stats);
	ann_fixture_reopen(&fixture, true);
	assert_string_equal(fixture.note.text, "");
	shared.stop = false;
	{
		struct ann_stats again;

		ann_get_stats(fixture.ann, &again);
		assert_int_equal(again.vectors, stats.vectors);
	}
	ann_fixture_free(&fixture);
}

static void *first_put(void *arg)
{
	struct thread *thread = arg;
	float vector[DIM] = {1};
	char id[16];
	int err;

	snprintf(id, sizeof(id), "%u", thread->number);
	err = ann_fixture_put(thread->shared->ann, id, vector, DIM - thread->number % 2);
	if (err != 0 && err != ERR_INVALID && err != ERR_TOO_BIG)
		fault(thread->shared, "put failed", id, err);
	return NULL;
}

static void test_first_put(void **state)
{
	const struct ann_opts opts = {.threads = 1, .background = true};

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		static struct shared shared;
		struct ann_fixture fixture;
		struct thread threads[4];
		struct ann_stats stats;

		memset(&shared, 0, sizeof(shared));
		ann_fixture_new(&fixture, ANN_L2, 0, &opts);
		shared.ann = fixture.ann;
		start(threads, 4, &shared, first_put);
		join(threads, 4);
		no_fault(&shared);
		ann_get_stats(fixture.ann, &stats);
		assert_int_equal(stats.vectors, 2);
		ann_fixture_free(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_put),	 cmocka_unit_test(test_own_writes_scan),
		cmocka_unit_test(test_own_writes_graph), cmocka_unit_test(test_overwrite_scan),
		cmocka_unit_test(test_overwrite_graph),	 cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_flush_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
