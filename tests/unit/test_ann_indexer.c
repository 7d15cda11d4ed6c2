/* Tests of indexer.c and workers in the background: the queue drains, slots come back, the graph goes out. */
#include <dirent.h>
#include <poll.h>
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
#include <sys/resource.h>
#include <unistd.h>

#include "ann/collection.h"
#include "ann/indexer.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"

#define DIM 12u

static void put(struct ann *ann, struct ann_random *random, uint32_t i)
{
	float vector[DIM];
	char id[16];

	ann_random_vector(random, vector, DIM, 10);
	snprintf(id, sizeof(id), "%u", i);
	assert_int_equal(ann_fixture_put(ann, id, vector, DIM), 0);
}

static struct ann_stats stats_of(struct ann *ann)
{
	struct ann_stats stats;

	ann_get_stats(ann, &stats);
	return stats;
}

/* The mean is that of live vectors: what died meanwhile may be zeros by now, or half of another. */
static void test_mean(void **state)
{
	static const enum ann_metric metrics[] = {ANN_COSINE, ANN_L2};
	static const uint32_t slots[] = {0, 1, 2};

	(void)state;
	for (size_t m = 0; m < 2; m++) {
		float vector[DIM] = {0}, mean[DIM], expected[DIM] = {0};
		struct ann_opts opts = {.threads = 1};
		struct ann_fixture f;
		char id[8];

		ann_fixture_new(&f, metrics[m], DIM, &opts);
		for (uint32_t i = 0; i < 3; i++) {
			vector[0] = 4;
			vector[i + 1] = 3;
			snprintf(id, sizeof(id), "%u", i);
			assert_int_equal(ann_fixture_put(f.ann, id, vector, DIM), 0);
			if (i == 1)
				memcpy(expected, vector, sizeof(expected));
			vector[i + 1] = 0;
		}
		assert_int_equal(ann_delete(f.ann, "0", 1), 0);
		/* the third is younger */
		assert_int_equal(index_mean(&f.ann->index, slots, 3, 2, mean), 0);
		for (uint32_t d = 0; d < DIM; d++)
			assert_float_equal(mean[d], expected[d] / (metrics[m] == ANN_L2 ? 1 : 5),
					   1e-6);
		assert_int_equal(index_mean(&f.ann->index, slots, 1, 9, mean), ERR_AGAIN);
		ann_fixture_free(&f);
	}
}

static bool drained(struct ann_fixture *fixture)
{
	return stats_of(fixture->ann).pending == 0 && stats_of(fixture->ann).linked >= 1000;
}

static bool repaired(struct ann_fixture *fixture)
{
	return stats_of(fixture->ann).repaired >= 600;
}

static bool swept(struct ann_fixture *fixture)
{
	struct pending_counts counts;

	pending_count(&fixture->ann->pending, &counts);
	/* an idle index lets half a hundredth of its nodes lie: a sweep reads them all */
	return counts.tombstones + counts.released + counts.in_hand == 0 &&
	       counts.repaired <= stats_of(fixture->ann).linked / 200;
}

static bool published(struct ann_fixture *fixture)
{
	return store_graph_lsn(fixture->store) > 0;
}

/* Within a minute, that is, unless the machine stands still. */
static void wait_for(struct ann_fixture *fixture, bool (*done)(struct ann_fixture *fixture))
{
	for (unsigned i = 0; i < 6000 && !done(fixture); i++)
		(void)poll(NULL, 0, 10);
	if (!done(fixture)) {
		struct ann_stats stats = stats_of(fixture->ann);
		struct pending_counts counts;

		pending_count(&fixture->ann->pending, &counts);
		print_error(
			"still: pending %llu linked %llu repaired %llu; tombstones %llu, repaired "
			"%llu, released %llu, in hand %llu; graph LSN %llu\n",
			(unsigned long long)stats.pending, (unsigned long long)stats.linked,
			(unsigned long long)stats.repaired, (unsigned long long)counts.tombstones,
			(unsigned long long)counts.repaired, (unsigned long long)counts.released,
			(unsigned long long)counts.in_hand,
			(unsigned long long)store_graph_lsn(fixture->store));
	}
	assert_true(done(fixture));
}

static void test_background(void **state)
{
	const struct ann_opts opts = {.threads = 2, .background = true};
	struct ann_random random = {3};
	struct ann_fixture fixture;
	uint32_t slots;

	(void)state;
	ann_fixture_new(&fixture, ANN_COSINE, 0, &opts);
	for (uint32_t i = 0; i < 1000; i++)
		put(fixture.ann, &random, i);
	wait_for(&fixture, drained);
	for (uint32_t i = 0; i < 600; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(ann_delete(fixture.ann, id, strlen(id)), 0);
	}
	wait_for(&fixture, repaired);
	wait_for(&fixture, swept);
	slots = store_slots(fixture.store);
	for (uint32_t i = 0; i < 600; i++)
		put(fixture.ann, &random, i);
	assert_true(store_slots(fixture.store) < slots + 100); /* most were used again */
	wait_for(&fixture, drained);
	wait_for(&fixture, published); /* when idle for some seconds */
	ann_fixture_reopen(&fixture, true);
	assert_true(stats_of(fixture.ann).linked > 0);
	ann_fixture_free(&fixture);
}

/* How many threads of this process have a lower priority than the one that asks. */
static unsigned gentle_threads(void)
{
	int own = getpriority(PRIO_PROCESS, (id_t)gettid());
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *task;
	unsigned n = 0;

	assert_non_null(tasks);
	while ((task = readdir(tasks)) != NULL)
		if (task->d_name[0] != '.')
			n += getpriority(PRIO_PROCESS, (id_t)strtoul(task->d_name, NULL, 10)) > own;
	(void)closedir(tasks);
	return n;
}

/*
 * A bulk load gives way to nobody: its end, which waits for the keeper, does not wait for other
 * programs.
 */
static void test_priority(void **state)
{
	(void)state;
	for (int bulk = 0; bulk < 2; bulk++) {
		const struct ann_opts opts = {.threads = 2, .background = true, .bulk = bulk == 1};
		struct ann_random random = {6};
		struct ann_fixture fixture;

		ann_fixture_new(&fixture, ANN_L2, 0, &opts);
		for (uint32_t i = 0; i < INDEXER_CENTRE; i++)
			put(fixture.ann, &random, i);
		wait_for(&fixture, published); /* so that all threads have begun */
		assert_int_equal(gentle_threads(), bulk == 1 ? 0 : 3);
		ann_fixture_free(&fixture);
	}
}

/* Too few for a graph: nothing is left to do, and nothing is linked. */
static void test_few(void **state)
{
	const struct ann_opts opts = {.threads = 1};
	struct ann_random random = {4};
	struct ann_fixture fixture;
	size_t left = 1;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 0, &opts);
	for (uint32_t i = 0; i < INDEXER_CENTRE - 1; i++)
		put(fixture.ann, &random, i);
	assert_int_equal(ann_index_some(fixture.ann, 1000, &left), 0);
	assert_int_equal(left, 0);
	assert_int_equal(stats_of(fixture.ann).pending, 0);
	assert_int_equal(stats_of(fixture.ann).linked, 0);
	put(fixture.ann, &random, INDEXER_CENTRE);
	assert_int_equal(stats_of(fixture.ann).pending, INDEXER_CENTRE);
	assert_int_equal(ann_index_some(fixture.ann, 100, &left), 0);
	assert_int_equal(left, INDEXER_CENTRE - 100);
	assert_int_equal(ann_index_some(fixture.ann, 1000, &left), 0);
	assert_int_equal(left, 0);
	assert_int_equal(stats_of(fixture.ann).linked, INDEXER_CENTRE);
	ann_fixture_free(&fixture);
}

static bool fails_now;

static bool fails(void *ctx)
{
	(void)ctx;
	return fails_now;
}

/* What fails is not lost: the slot waits for its next turn. */
static void test_failing_links(void **state)
{
	const struct ann_opts opts = {.threads = 1};
	struct ann_random random = {5};
	struct ann_fixture fixture;
	size_t left = 0;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 0, &opts);
	for (uint32_t i = 0; i < 300; i++)
		put(fixture.ann, &random, i);
	fails_now = true;
	mem_set_fault(fails, NULL);
	assert_int_equal(ann_index_some(fixture.ann, 1000, &left), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_int_equal(left, 300);
	assert_int_equal(pending_check(&fixture.ann->pending), 0);
	assert_int_equal(ann_index_some(fixture.ann, 1000, &left), 0);
	assert_int_equal(left, 0);
	ann_fixture_free(&fixture);
}

#define HOLDERS 4u

struct holders {
	struct index *index;
	_Atomic uint32_t begun, ended;
	_Atomic bool stop;
};

/* What a worker does that links without a pause, so that one of them is always inside. */
static void *hold_freeze(void *arg)
{
	struct holders *holders = arg;

	for (unsigned turn = 0; turn < 4000 && !atomic_load(&holders->stop); turn++) {
		pthread_rwlock_rdlock(&holders->index->freeze);
		atomic_fetch_add(&holders->begun, turn == 0);
		(void)poll(NULL, 0, 1);
		pthread_rwlock_unlock(&holders->index->freeze);
	}
	atomic_fetch_add(&holders->ended, 1);
	return NULL;
}

/* A flush gets its moment though many link, for until then no checkpoint runs. */
static void test_flush_among_many(void **state)
{
	const struct ann_opts opts = {.threads = 1};
	struct ann_random random = {7};
	struct ann_fixture fixture;
	struct holders holders = {0};
	pthread_t threads[HOLDERS];
	size_t left = 0;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 0, &opts);
	for (uint32_t i = 0; i < 300; i++)
		put(fixture.ann, &random, i);
	assert_int_equal(ann_index_some(fixture.ann, 1000, &left), 0);
	holders.index = &fixture.ann->index;
	for (size_t i = 0; i < HOLDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hold_freeze, &holders), 0);
	while (atomic_load(&holders.begun) < HOLDERS)
		(void)poll(NULL, 0, 1);
	assert_int_equal(ann_flush(fixture.ann), 0);
	assert_int_equal(atomic_load(&holders.ended), 0);
	atomic_store(&holders.stop, true);
	for (size_t i = 0; i < HOLDERS; i++)
		pthread_join(threads[i], NULL);
	ann_fixture_free(&fixture);
}

static _Atomic bool full;
static _Atomic unsigned refused;

static int refuse_writes(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	if (!atomic_load(&full) || strcmp(call, "write") != 0)
		return 0;
	atomic_fetch_add(&refused, 1);
	return ERR_FULL;
}

/* On a full disk a flush that is due is tried again now and then, not at each step of a worker. */
static void test_flush_on_full_disk(void **state)
{
	const struct ann_opts opts = {.threads = 2, .background = true};
	struct ann_random random = {8};
	struct ann_fixture fixture;
	unsigned waits = 0;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 0, &(struct ann_opts){.threads = 1});
	for (uint32_t i = 0; i < 1500; i++)
		put(fixture.ann, &random, i);
	ann_fixture_close(&fixture, false);
	io_mem_set_fault(fixture.medium, refuse_writes, NULL);
	fixture.opts = opts;
	ann_fixture_open(&fixture, false);
	atomic_store(&full, true);
	atomic_fetch_add(&fixture.ann->index.changed_nodes, 1u << 20);
	for (; stats_of(fixture.ann).pending > 0 && waits < 6000; waits++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(stats_of(fixture.ann).pending, 0);
	assert_in_range(atomic_load(&refused), 1, 5 + waits / 50);
	atomic_store(&full, false);
	wait_for(&fixture, published);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mean),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_failing_links),
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_priority),
		cmocka_unit_test(test_flush_among_many),
		cmocka_unit_test(test_flush_on_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
