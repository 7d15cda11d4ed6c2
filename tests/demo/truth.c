/*
 * truth.c - exact neighbours by brute force over bytes, as fast as plain C gets.
 *
 * |a-b|^2 = |a|^2 + |b|^2 - 2ab, and products of 16-bit numbers are what every vector unit sums
 * best. A thread takes QUERIES queries and passes the whole base by them in blocks that stay in the
 * first cache, four rows a step.
 */
#include "tests/demo/truth.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/demo/progress.h"

enum { QUERIES = 50, ROWS = 16, STEP = 4, THREADS_MAX = 64 };

struct shorts {
	size_t count, width;
	int16_t *rows;
	int32_t *norms; /* squared lengths */
};

struct work {
	struct shorts base, queries;
	int32_t *squares;
	atomic_size_t next; /* first query nobody has taken */
	atomic_size_t done;
};

static void shorts_release(struct shorts *shorts)
{
	mem_free(shorts->rows);
	mem_free(shorts->norms);
}

/* Pads the number of rows to a multiple of ROWS with zeros. */
static int shorts_init(struct shorts *shorts, const struct idx *idx)
{
	size_t padded = (idx->count + ROWS - 1) / ROWS * ROWS;

	shorts->count = idx->count;
	shorts->width = idx->size;
	shorts->rows = mem_zalloc(padded * idx->size, sizeof(*shorts->rows));
	shorts->norms = mem_zalloc(padded, sizeof(*shorts->norms));
	if (shorts->rows == NULL || shorts->norms == NULL)
		return -1;
	for (size_t i = 0; i < idx->count; i++) {
		const uint8_t *from = idx->bytes + i * idx->size;
		int16_t *to = shorts->rows + i * idx->size;

		for (size_t j = 0; j < idx->size; j++) {
			to[j] = from[j];
			shorts->norms[i] += from[j] * from[j];
		}
	}
	return 0;
}

/* The dot products of q with STEP rows that follow one another. */
static void dots(const int16_t *restrict q, const int16_t *restrict rows, size_t width,
		 int32_t out[STEP])
{
	const int16_t *r0 = rows, *r1 = rows + width, *r2 = rows + 2 * width,
		      *r3 = rows + 3 * width;
	int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

	for (size_t j = 0; j < width; j++) {
		s0 += q[j] * r0[j];
		s1 += q[j] * r1[j];
		s2 += q[j] * r2[j];
		s3 += q[j] * r3[j];
	}
	out[0] = s0;
	out[1] = s1;
	out[2] = s2;
	out[3] = s3;
}

/* Keeps best, TRUTH_K numbers, ascending. */
static void keep(int32_t *best, int32_t square)
{
	int at = TRUTH_K - 1;

	if (square >= best[at])
		return;
	for (; at > 0 && best[at - 1] > square; at--)
		best[at] = best[at - 1];
	best[at] = square;
}

static void scan_block(const struct work *work, size_t q, size_t first_row)
{
	const struct shorts *base = &work->base, *queries = &work->queries;
	int32_t *best = work->squares + q * TRUTH_K;
	int32_t out[STEP];

	for (size_t row = first_row; row < first_row + ROWS; row += STEP) {
		dots(queries->rows + q * queries->width, base->rows + row * base->width,
		     base->width, out);
		for (size_t i = 0; i < STEP && row + i < base->count; i++)
			keep(best, queries->norms[q] + base->norms[row + i] - 2 * out[i]);
	}
}

static void *run(void *arg)
{
	struct work *work = arg;
	size_t count = work->queries.count;

	for (;;) {
		size_t from = atomic_fetch_add(&work->next, QUERIES);
		size_t to = from + QUERIES < count ? from + QUERIES : count;

		if (from >= count)
			return NULL;
		for (size_t i = from * TRUTH_K; i < to * TRUTH_K; i++)
			work->squares[i] = INT32_MAX;
		for (size_t row = 0; row < work->base.count; row += ROWS)
			for (size_t q = from; q < to; q++)
				scan_block(work, q, row);
		atomic_fetch_add(&work->done, to - from);
	}
}

static void watch(struct work *work)
{
	struct progress progress;

	progress_init(&progress, "computing the exact answers", work->queries.count);
	while (atomic_load(&work->done) < work->queries.count) {
		usleep(20000);
		progress_show(&progress, atomic_load(&work->done));
	}
	progress_release(&progress);
}

int truth_find(const struct idx *base, const struct idx *queries, int32_t *squares)
{
	struct work work = {.squares = squares};
	pthread_t threads[THREADS_MAX];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	long started = 0;
	int result = -1;

	if (shorts_init(&work.base, base) != 0 || shorts_init(&work.queries, queries) != 0)
		goto out;
	while (started < THREADS_MAX && started < cores) {
		if (pthread_create(&threads[started], NULL, run, &work) != 0)
			break;
		started++;
	}
	if (started == 0)
		goto out;
	watch(&work);
	result = 0;
out:
	while (started > 0)
		pthread_join(threads[--started], NULL);
	shorts_release(&work.base);
	shorts_release(&work.queries);
	return result;
}

int32_t truth_square(const struct idx *base, size_t b, const struct idx *queries, size_t q)
{
	const uint8_t *x = base->bytes + b * base->size, *y = queries->bytes + q * queries->size;
	int32_t sum = 0;

	for (size_t j = 0; j < base->size; j++)
		sum += (x[j] - y[j]) * (x[j] - y[j]);
	return sum;
}
