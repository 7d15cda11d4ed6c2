/*
 * nearest.c - threads take tiles of a few queries; each row is compared with a whole tile while it
 * is in the processor's cache.
 */
#include "tests/bench/nearest.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ann/dist.h"
#include "ann/workers.h"
#include "store/mem.h"
#include "tests/demo/progress.h"

#define TILE 16u
#define THREADS_MAX 64u

struct shared {
	const struct nearest_task *task;
	uint32_t *rows;
	float *distances;
	_Atomic size_t next, done;
	struct progress progress;
};

float nearest_distance(const struct nearest_task *task, const float *query, size_t row)
{
	const float *vector = task->base + row * task->dim;

	return task->product ? -dist_kernels()->dot(query, vector, task->dim) :
			       dist_kernels()->l2sq(query, vector, task->dim);
}

/* Keeps k rows in ascending order of distance. */
static void keep(uint32_t k, uint32_t *rows, float *distances, float distance, uint32_t row)
{
	uint32_t at = k - 1;

	for (; at > 0 && distances[at - 1] > distance; at--) {
		distances[at] = distances[at - 1];
		rows[at] = rows[at - 1];
	}
	distances[at] = distance;
	rows[at] = row;
}

static void find_tile(struct shared *shared, size_t first)
{
	const struct nearest_task *task = shared->task;
	uint32_t k = task->k;

	for (size_t i = first * k; i < (first + TILE) * k && i < task->n_queries * k; i++)
		shared->distances[i] = INFINITY;
	for (size_t row = 0; row < task->n; row++) {
		const float *vector = task->base + row * task->dim;

		if (task->absent != NULL && task->absent[row])
			continue;
		for (size_t q = first; q < first + TILE && q < task->n_queries; q += 4) {
			const float *queries[4];
			float found[4];
			size_t n = task->n_queries - q < 4 ? task->n_queries - q : 4;

			for (size_t i = 0; i < 4; i++)
				queries[i] = task->queries + (q + (i < n ? i : 0)) * task->dim;
			if (task->product)
				dist_kernels()->dot_4(queries, vector, task->dim, found);
			else
				dist_kernels()->l2sq_4(queries, vector, task->dim, found);
			for (size_t i = 0; i < n; i++) {
				float distance = task->product ? -found[i] : found[i];
				size_t at = (q + i) * k;

				if (distance < shared->distances[at + k - 1])
					keep(k, shared->rows + at, shared->distances + at, distance,
					     (uint32_t)row);
			}
		}
	}
}

static void *find_tiles(void *ctx)
{
	struct shared *shared = ctx;
	size_t first;

	while ((first = atomic_fetch_add(&shared->next, TILE)) < shared->task->n_queries) {
		find_tile(shared, first);
		atomic_fetch_add(&shared->done, TILE);
	}
	return NULL;
}

/* The calling thread works too, and shows how far all are. */
static void find_and_show(struct shared *shared)
{
	size_t first;

	while ((first = atomic_fetch_add(&shared->next, TILE)) < shared->task->n_queries) {
		find_tile(shared, first);
		progress_show(&shared->progress, atomic_fetch_add(&shared->done, TILE) + TILE);
	}
}

int nearest_find(const struct nearest_task *task, uint32_t *rows_out, float *distances_out)
{
	struct shared shared = {.task = task, .rows = rows_out, .distances = distances_out};
	pthread_t threads[THREADS_MAX];
	uint32_t started = 1, cores = workers_cores();

	progress_init(&shared.progress, task->label, task->n_queries);
	while (started < cores && started < THREADS_MAX &&
	       pthread_create(&threads[started], NULL, find_tiles, &shared) == 0)
		started++;
	find_and_show(&shared);
	for (uint32_t i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
	(void)progress_release(&shared.progress);
	return 0;
}
