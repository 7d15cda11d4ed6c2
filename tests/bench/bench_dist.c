/*
 * bench_dist.c - distances a second, one core, of every set of kernels: on few vectors that stay in
 * cache, and in random order on more than any cache holds; then the cost of codes and rotations.
 *
 * bench_dist [MILLISECONDS_PER_LINE]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ann/quant.h"
#include "ann/scan.h"
#include "store/mem.h"

#define LARGE (size_t)(512u << 20) /* bytes out of cache */
#define SMALL (size_t)(128u << 10) /* bytes in it */

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint32_t next(void)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 32);
}

static double budget = 0.05;
static volatile double sink;

struct arena {
	uint8_t *at;
	size_t stride, n;
	const struct dist_kernels *kernels;
	size_t dim;
};

/* Rounds of 32 random vectors against a query. */

static void round_l2sq(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->l2sq(
			query, (const float *)(arena->at + next() % arena->n * arena->stride),
			arena->dim);
}

static void round_u8s8(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->dot_u8s8(arena->at + next() % arena->n * arena->stride,
						(const int8_t *)query, arena->dim);
}

static void round_u4s8(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->dot_u4s8(arena->at + next() % arena->n * arena->stride,
						(const int8_t *)query, arena->dim);
}

static void round_u2s8(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->dot_u2s8(arena->at + next() % arena->n * arena->stride,
						(const int8_t *)query, arena->dim);
}

static void round_u1s8(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->dot_u1s8(arena->at + next() % arena->n * arena->stride,
						(const int8_t *)query, arena->dim);
}

/* Two codes: the query's bytes are the other one. */

static void round_u4u4(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->dot_u4u4(arena->at + next() % arena->n * arena->stride,
						(const uint8_t *)query, arena->dim);
}

static void round_c2c2(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->dot_c2c2(arena->at + next() % arena->n * arena->stride,
						(const uint8_t *)query, arena->dim);
}

static void round_c1c1(struct arena *arena, const float *query)
{
	for (int i = 0; i < 32; i++)
		sink = arena->kernels->dot_c1c1(arena->at + next() % arena->n * arena->stride,
						(const uint8_t *)query, arena->dim);
}

static double rate(struct arena *arena, const float *query,
		   void (*run)(struct arena *arena, const float *query), double each)
{
	double began = seconds(), took;
	size_t rounds = 0;

	do {
		for (int i = 0; i < 16; i++, rounds++)
			run(arena, query);
		took = seconds() - began;
	} while (took < budget);
	return (double)rounds * each / took / 1e6;
}

static void kernel_lines(uint8_t *memory, const float *query)
{
	static const struct {
		const char *name;
		void (*run)(struct arena *arena, const float *query);
		size_t bits, unit;
	} kinds[] = {{"f32 l2", round_l2sq, 32, 1}, {"8 bit", round_u8s8, 8, 16},
		     {"4 bit", round_u4s8, 4, 32},  {"2 bit", round_u2s8, 2, 64},
		     {"1 bit", round_u1s8, 1, 64},  {"4 by 4", round_u4u4, 4, 32},
		     {"2 by 2", round_c2c2, 2, 64}, {"1 by 1", round_c1c1, 1, 64}};
	static const size_t dims[] = {100, 128, 784, 1536};
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	printf("%-8s %-7s %5s %12s %12s %12s %12s  (million distances/s; GB/s)\n", "kernels",
	       "form", "dim", "in cache", "out", "in cache", "out");
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
			for (size_t d = 0; d < 4; d++) {
				size_t dim = (dims[d] + kinds[k].unit - 1) / kinds[k].unit *
					     kinds[k].unit;
				size_t stride = dim * kinds[k].bits / 8;
				struct arena in = {memory, stride, SMALL / stride, sets[s], dim};
				struct arena out = {memory, stride, LARGE / stride, sets[s], dim};

				double rate_in = rate(&in, query, kinds[k].run, 32);
				double rate_out = rate(&out, query, kinds[k].run, 32);

				printf("%-8s %-7s %5zu %12.2f %12.2f %12.2f %12.2f\n",
				       sets[s]->name, kinds[k].name, dims[d], rate_in, rate_out,
				       rate_in * (double)stride / 1e3,
				       rate_out * (double)stride / 1e3);
			}
		}
	}
}

/* --- codes in an arena, as a search meets them --- */

static double expansions(const struct quant_query *query, const struct codes *codes, uint32_t n)
{
	double began = seconds(), took;
	size_t rounds = 0;

	do {
		uint32_t slots[32];
		float distances[32];

		for (int i = 0; i < 32; i++)
			slots[i] = next() % n;
		quant_distances(query, codes, slots, 32, distances);
		sink = distances[0];
		rounds++;
		took = rounds % 16 == 0 ? seconds() - began : 0.0;
	} while (took < budget);
	return (double)rounds * 32 / took / 1e6;
}

static double each_us(void (*run)(void *ctx), void *ctx)
{
	double began = seconds(), took;
	size_t n = 0;

	do {
		for (int i = 0; i < 16; i++, n++)
			run(ctx);
		took = seconds() - began;
	} while (took < budget);
	return took / (double)n * 1e6;
}

struct coding {
	struct quant quant;
	struct quant_query query;
	struct codes codes;
	const float *vector;
	float *turned;
	void *scratch;
};

static void run_encode(void *ctx)
{
	struct coding *coding = ctx;

	quant_encode(&coding->quant, coding->vector, coding->scratch, codes_at(&coding->codes, 0));
}

static void run_query(void *ctx)
{
	struct coding *coding = ctx;

	quant_query_set(&coding->query, coding->vector, coding->scratch);
}

static void run_rotate(void *ctx)
{
	struct coding *coding = ctx;

	rotate_apply(&coding->quant.rotate, coding->turned);
}

static int coding_line(uint32_t dim, uint32_t bits, const float *vector)
{
	struct coding coding = {.vector = vector};
	uint32_t n;
	int result;

	result = quant_init(&coding.quant, ANN_L2, dim, bits, 1);
	n = (uint32_t)(LARGE / 2 / coding.quant.code_bytes);
	coding.scratch = mem_alloc_aligned(64, quant_scratch_bytes(&coding.quant));
	coding.turned = mem_zalloc(dim, sizeof(float));
	if (result == 0)
		result = quant_query_init(&coding.query, &coding.quant);
	if (result == 0)
		result = codes_init(&coding.codes, coding.quant.code_bytes);
	if (result == 0)
		result = codes_grow(&coding.codes, n);
	if (result == 0 && coding.scratch != NULL && coding.turned != NULL) {
		for (uint32_t slot = 0; slot < n; slot++)
			memset(codes_at(&coding.codes, slot), 1, coding.quant.code_bytes);
		run_query(&coding);
		printf("%5u %u bits %12.2f %12.2f %10.2f %10.2f %10.2f\n", dim, bits,
		       expansions(&coding.query, &coding.codes, 200),
		       expansions(&coding.query, &coding.codes, n), each_us(run_rotate, &coding),
		       each_us(run_encode, &coding), each_us(run_query, &coding));
	}
	codes_release(&coding.codes);
	mem_free(coding.scratch);
	mem_free(coding.turned);
	quant_query_release(&coding.query);
	quant_release(&coding.quant);
	return result;
}

/* --- exact scans --- */

static void scan_line(const float *memory, size_t dim)
{
	const float *vectors[SCAN_BLOCK];
	float out[SCAN_BLOCK * SCAN_BLOCK];
	size_t n = LARGE / sizeof(float) / dim - SCAN_BLOCK, pairs[2] = {0};
	double rates[2];

	for (int many = 0; many < 2; many++) {
		size_t n_queries = many ? SCAN_BLOCK : 1;
		double began = seconds(), took;

		do {
			size_t first = next() % n;

			for (size_t v = 0; v < SCAN_BLOCK; v++)
				vectors[v] = memory + (first + v) * dim;
			scan_block(dist_kernels(), ANN_L2, memory, NULL, n_queries, vectors,
				   SCAN_BLOCK, dim, out);
			sink = out[0];
			pairs[many] += n_queries * SCAN_BLOCK;
			took = seconds() - began;
		} while (took < budget);
		rates[many] = (double)pairs[many] / took / 1e6;
	}
	printf("%5zu %12.2f %12.2f\n", dim, rates[0], rates[1]);
}

int main(int argc, char **argv)
{
	static const uint32_t dims[] = {100, 128, 784, 1536};
	uint8_t *memory = mem_reserve(LARGE, true);
	float query[2048];
	int result = 0;

	if (argc > 1)
		budget = atof(argv[1]) / 1e3;
	if (memory == NULL)
		return 1;
	for (size_t i = 0; i < LARGE / sizeof(float); i++)
		((float *)memory)[i] = (float)(i % 251);
	for (size_t i = 0; i < 2048; i++)
		query[i] = (float)(next() % 1000) - 500.0f;
	kernel_lines(memory, query);
	printf("\n%s, codes, 32 slots a call: million distances/s in cache, out; microseconds of a "
	       "rotation, an encoding, a query\n",
	       dist_kernels()->name);
	for (uint32_t bits = 1; bits <= 8 && result == 0; bits *= 2)
		for (size_t d = 0; d < 4 && result == 0; d++)
			result = coding_line(dims[d], bits, query);
	printf("\n%s, exact l2, out of cache: million distances/s for 1 query, for 16 at once\n",
	       dist_kernels()->name);
	for (size_t d = 0; d < 4; d++)
		scan_line((const float *)memory, dims[d]);
	mem_unreserve(memory, LARGE);
	return result == 0 ? 0 : 1;
}
