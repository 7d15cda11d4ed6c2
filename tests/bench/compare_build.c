/*
 * compare_build.c - inserts a second and memory, with one thread and with two; and what endless
 * deleting and inserting does to recall.
 *
 * build: all rows in ten steps; in each step every index takes the same rows, one index after the
 * other, until all are linked. With one thread the whole process has one core, so that no thread of
 * an index works beside the one that inserts.
 *
 * churn: four fifths of the rows are there. Each cycle deletes one fifth of all rows, and inserts the
 * fifth that is not there. Recall is that of the rows that are there.
 */
#include "tests/bench/compare.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/bench/nearest.h"
#include "tests/demo/progress.h"

#define BUILD_STEPS 10u
#define CHURN_CYCLES 5u
#define CHURN_RECALL 0.98

static double process_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t resident_bytes(void)
{
	unsigned long long total, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu %llu", &total, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A fresh index under a name of its own, so that those of other parts stay. */
static void *fresh_index(const struct compare *compare, const struct peer_ops *peer,
			 uint32_t threads)
{
	struct peer_config config;
	char path[4096];
	void *self;

	config = compare_config(compare, peer, threads, path, sizeof(path) - 4);
	memcpy(path + strlen(path), "-new", 5);
	compare_must(peer->create(&config, &self), path);
	return self;
}

/* --- build --- */

struct growth {
	void *self;
	double wall, cpu; /* seconds in all */
	double rates[BUILD_STEPS];
	int64_t resident; /* bytes by which the process grew */
};

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void take_step(const struct compare *compare, const struct peer_ops *peer,
		      struct growth *growth, unsigned step)
{
	const struct dataset *set = &compare->set;
	size_t first = set->n * step / BUILD_STEPS, end = set->n * (step + 1) / BUILD_STEPS;
	uint64_t resident = resident_bytes();
	double wall = now(), cpu = process_cpu();

	compare_must(peer->insert(growth->self, set->base + first * set->dim, first, end - first),
		     peer->name);
	wall = now() - wall;
	growth->cpu += process_cpu() - cpu;
	growth->wall += wall;
	growth->rates[step] = (double)(end - first) / wall;
	growth->resident += (int64_t)(resident_bytes() - resident);
}

static void show_growth(const struct compare *compare, const struct peer_ops *peer,
			struct growth *growth, uint32_t threads, FILE *results)
{
	const struct dataset *set = &compare->set;
	double last = growth->rates[BUILD_STEPS - 1];

	qsort(growth->rates, BUILD_STEPS, sizeof(growth->rates[0]), compare_doubles);
	fprintf(results, "%s\t%u\t%.1f\t%.0f\t%.0f – %.0f\t%.0f\t%.0f\t%.0f\t%.0f\n", peer->name,
		threads, growth->wall, (double)set->n / growth->wall, growth->rates[0],
		growth->rates[BUILD_STEPS - 1], last, (double)set->n / growth->cpu,
		(double)peer->index_bytes(growth->self) / (double)set->n,
		(double)growth->resident / (double)set->n);
	fflush(results);
}

static void build_with(const struct compare *compare, uint32_t threads, FILE *results)
{
	struct growth growth[COMPARE_PEERS];

	memset(growth, 0, sizeof(growth));
	for (size_t p = 0; p < compare->n_peers; p++)
		growth[p].self = fresh_index(compare, compare->peers[p], threads);
	for (unsigned step = 0; step < BUILD_STEPS; step++) {
		for (size_t p = 0; p < compare->n_peers; p++)
			take_step(compare, compare->peers[p], &growth[p], step);
		fprintf(stderr, "build, %u threads: %u of %u\n", threads, step + 1, BUILD_STEPS);
	}
	for (size_t p = 0; p < compare->n_peers; p++) {
		show_growth(compare, compare->peers[p], &growth[p], threads, results);
		compare->peers[p]->close(growth[p].self);
	}
}

void compare_build(struct compare *compare)
{
	FILE *results = compare_results(compare, "build");
	cpu_set_t all, one;

	fprintf(results, "index\tthreads\tseconds\tinserts/s\trange of the steps\tlast step\t"
			 "/s of processor\tindex bytes a vector\tresident bytes a vector\n");
	compare_must(sched_getaffinity(0, sizeof(all), &all), "affinity");
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	compare_must(sched_setaffinity(0, sizeof(one), &one), "affinity");
	build_with(compare, 1, results);
	compare_must(sched_setaffinity(0, sizeof(all), &all), "affinity");
	build_with(compare, 2, results);
	compare_results_end(results);
}

/* --- churn --- */

struct churn {
	const struct compare *compare;
	const struct peer_ops *peer;
	void *self;
	uint32_t effort;
	FILE *results;
};

/* The same set with the truth among the rows that are there. */
static void renew_truth(struct compare *view, const bool *absent)
{
	struct dataset *set = &view->set;
	struct nearest_task task = {.base = set->base,
				    .queries = set->queries,
				    .dim = set->dim,
				    .n = set->n,
				    .n_queries = view->queries,
				    .product = set->metric != ANN_L2,
				    .absent = absent,
				    .k = DATASET_K,
				    .label = "exact neighbours"};
	float *distances = compare_alloc(view->queries * DATASET_K, sizeof(*distances));

	compare_must(nearest_find(&task, set->truth, distances), "exact neighbours");
	for (size_t q = 0; q < view->queries; q++)
		set->reach[q] = distances[q * DATASET_K + DATASET_K - 1];
	mem_free(distances);
}

static void churn_line(const struct churn *churn, const struct compare *view, const char *when,
		       double deletes, double inserts)
{
	fprintf(churn->results, "%s\t%u\t%s\t%.4f\t%.0f\t%.0f\n", churn->peer->name, churn->effort,
		when, compare_recall(view, churn->peer, churn->self, churn->effort), deletes,
		inserts);
	fflush(churn->results);
}

/* Rows first ... of one fifth. */
static double insert_fifth(const struct churn *churn, size_t first, size_t n)
{
	const struct dataset *set = &churn->compare->set;
	double from = now();

	compare_must(churn->peer->insert(churn->self, set->base + first * set->dim, first, n),
		     churn->peer->name);
	return (double)n / (now() - from);
}

static double remove_fifth(const struct churn *churn, size_t first, size_t n)
{
	double from = now();

	compare_must(churn->peer->remove(churn->self, first, n), churn->peer->name);
	return (double)n / (now() - from);
}

static void first_effort(struct churn *churn, const struct compare *view)
{
	churn->effort = PEER_K;
	while (compare_recall(view, churn->peer, churn->self, churn->effort) < CHURN_RECALL)
		churn->effort += churn->effort < 40 ? 1 : churn->effort / 20;
}

void compare_churn(struct compare *compare)
{
	FILE *results = compare_results(compare, "churn");
	struct churn churns[COMPARE_PEERS];
	struct compare view = *compare;
	size_t fifth = compare->set.n / 5, n_churns = 0;
	bool *absent = compare_alloc(compare->set.n, sizeof(*absent));

	view.set.truth = compare_alloc(compare->queries * DATASET_K, sizeof(*view.set.truth));
	view.set.reach = compare_alloc(compare->queries, sizeof(*view.set.reach));
	fprintf(results, "index\teffort\tafter\trecall@10\tdeletes/s\tinserts/s, 2 threads\n");
	memset(absent + 4 * fifth, 1, compare->set.n - 4 * fifth);
	renew_truth(&view, absent);
	for (size_t p = 0; p < compare->n_peers; p++) {
		struct churn *churn = &churns[n_churns];

		if (compare->peers[p]->remove == NULL)
			continue;
		*churn = (struct churn){.compare = compare,
					.peer = compare->peers[p],
					.self = fresh_index(compare, compare->peers[p], 2),
					.results = results};
		n_churns++;
		(void)insert_fifth(churn, 0, 4 * fifth);
		first_effort(churn, &view);
		churn_line(churn, &view, "fresh", 0, 0);
	}
	for (unsigned cycle = 0; cycle < CHURN_CYCLES; cycle++) {
		size_t out = cycle % 5 * fifth, in = (cycle + 4) % 5 * fifth;
		char when[32];

		snprintf(when, sizeof(when), "cycle %u", cycle + 1);
		memset(absent + out, 1, fifth);
		memset(absent + in, 0, fifth);
		renew_truth(&view, absent);
		for (size_t p = 0; p < n_churns; p++) {
			double deletes = remove_fifth(&churns[p], out, fifth);
			double inserts = insert_fifth(&churns[p], in, fifth);

			churn_line(&churns[p], &view, when, deletes, inserts);
		}
	}
	for (size_t p = 0; p < n_churns; p++)
		churns[p].peer->close(churns[p].self);
	compare_results_end(results);
	mem_free(view.set.truth);
	mem_free(view.set.reach);
	mem_free(absent);
}
