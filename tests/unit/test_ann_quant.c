/*
 * test_ann_quant.c - codes: their size, the error and bias of estimated distances, and whether they
 * put vectors in the right order, on random, clustered and image-like data.
 */
#include "ann/quant.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/err.h"
#include "store/mem.h"

#define SEED UINT64_C(20261122)

static uint64_t state;

static double next_unit(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ (z >> 31)) >> 11) / (double)(UINT64_C(1) << 53);
}

static double next_normal(void)
{
	return sqrt(-2.0 * log(next_unit() + 1e-300)) * cos(6.283185307179586 * next_unit());
}

static int start(void **ctx)
{
	(void)ctx;
	state = SEED;
	return 0;
}

enum kind { RANDOM, CLUSTERED, IMAGES };

/* 100 clusters, each normal around its centre. */
static float clustered(size_t i, size_t j, size_t dim, const float *centres)
{
	return centres[i % 100 * dim + j] + 0.5f * (float)next_normal();
}

/* A bright blob somewhere on black, 0 ... 255: half of the numbers 0, none negative. */
static float image(size_t j, size_t dim, const double at[3])
{
	double side = sqrt((double)dim), x = fmod((double)j, side), y = floor((double)j / side);
	double far = hypot(x - side * at[0], y - side * at[1]) / side;
	double light = 255.0 * fmax(0.0, 1.0 - far * (2.0 + at[2])) + 10.0 * next_normal();

	return (float)fmin(255.0, fmax(0.0, light));
}

static float *make_vectors(enum kind kind, size_t n, size_t dim)
{
	float *vectors = mem_alloc(n * dim * sizeof(float));
	float *centres = mem_alloc(100 * dim * sizeof(float));

	assert_non_null(vectors);
	assert_non_null(centres);
	for (size_t i = 0; i < 100 * dim; i++)
		centres[i] = (float)next_normal();
	for (size_t i = 0; i < n; i++) {
		double at[3] = {0.3 + 0.4 * next_unit(), 0.3 + 0.4 * next_unit(), next_unit()};

		for (size_t j = 0; j < dim; j++)
			vectors[i * dim + j] = kind == RANDOM	 ? (float)next_normal() :
					       kind == CLUSTERED ? clustered(i, j, dim, centres) :
								   image(j, dim, at);
	}
	mem_free(centres);
	return vectors;
}

static double product(const float *a, const float *b, size_t dim)
{
	double sum = 0.0;

	for (size_t i = 0; i < dim; i++)
		sum += (double)a[i] * b[i];
	return sum;
}

/* The distance that is estimated, and the scale its error goes by. */
static double truth(enum ann_metric metric, const float *a, const float *b, size_t dim,
		    double *unit_out)
{
	double aa = product(a, a, dim), bb = product(b, b, dim), ab = product(a, b, dim);

	*unit_out = sqrt(aa * bb / (double)dim);
	switch (metric) {
	case ANN_L2:
		*unit_out *= 2.0;
		return aa + bb - 2.0 * ab;
	case ANN_IP:
		return -ab;
	case ANN_COSINE:
		break;
	}
	*unit_out /= sqrt(aa * bb);
	return 1.0 - ab / sqrt(aa * bb);
}

static const uint32_t all_bits[] = {8, 4, 2, 1};

/* Codes of n vectors, and what is needed to compare with them. */
struct world {
	struct quant quant;
	struct quant_query query;
	struct codes codes;
	void *scratch;
	float *vectors;
	size_t n, dim;
};

static void mean_of(const struct world *world, float *mean_out)
{
	for (size_t j = 0; j < world->dim; j++)
		mean_out[j] = 0.0f;
	for (size_t i = 0; i < world->n; i++) {
		const float *x = world->vectors + i * world->dim;
		double norm = world->quant.metric == ANN_COSINE ? sqrt(product(x, x, world->dim)) :
								  1;

		for (size_t j = 0; j < world->dim; j++)
			mean_out[j] += (float)(x[j] / norm / (double)world->n);
	}
}

static void world_init(struct world *world, enum ann_metric metric, uint32_t bits, bool centre,
		       float *vectors, size_t n, size_t dim)
{
	*world = (struct world){.vectors = vectors, .n = n, .dim = dim};
	assert_int_equal(quant_init(&world->quant, metric, (uint32_t)dim, bits, 9), 0);
	if (centre) {
		float *mean = mem_alloc(dim * sizeof(*mean));

		assert_non_null(mean);
		mean_of(world, mean);
		assert_int_equal(quant_set_centre(&world->quant, mean), 0);
		mem_free(mean);
	}
	assert_int_equal(quant_query_init(&world->query, &world->quant), 0);
	world->scratch = mem_alloc_aligned(64, quant_scratch_bytes(&world->quant));
	assert_non_null(world->scratch);
	assert_int_equal(codes_init(&world->codes, world->quant.code_bytes), 0);
	assert_int_equal(codes_grow(&world->codes, (uint32_t)n), 0);
	for (size_t i = 0; i < n; i++)
		quant_encode(&world->quant, vectors + i * dim, world->scratch,
			     codes_at(&world->codes, (uint32_t)i));
}

static void world_release(struct world *world)
{
	codes_release(&world->codes);
	mem_free(world->scratch);
	quant_query_release(&world->query);
	quant_release(&world->quant);
}

struct errors {
	double square, sum, worst; /* in units of truth() */
	double n;
};

static void count_error(struct errors *errors, double error)
{
	errors->square += error * error;
	errors->sum += error;
	errors->worst = fmax(errors->worst, fabs(error));
	errors->n += 1.0;
}

/* The bound the header gives, with some room: of a query and a code, and of two codes. */
static double bound_of(uint32_t bits, bool between)
{
	switch (bits) {
	case 1:
		return between ? 1.5 : 0.85;
	case 2:
		return between ? 0.7 : 0.45;
	case 4:
		return between ? 0.195 : 0.13;
	default:
		return between ? 0.0195 : 0.013;
	}
}

static void check_errors(const struct errors *errors, double rms, const char *what, uint32_t bits,
			 int metric)
{
	double got = sqrt(errors->square / errors->n), bias = errors->sum / errors->n;

	if (!(got < rms) || !(fabs(bias) < 0.2 * rms) || !(errors->worst < 7.0 * rms))
		fail_msg("%s, %u bits, metric %d: error %.5f (bound %.5f), bias %.5f, worst %.5f",
			 what, bits, metric, got, rms, bias, errors->worst);
}

/* Vectors of the second half are queries to the codes of the first; pairs of codes likewise. */
static void check_estimates(struct world *world, enum kind kind)
{
	static const char *const names[] = {"random", "clustered", "images"};
	const char *what = names[kind];
	struct errors query = {0}, between = {0};
	const size_t half = world->n / 2, dim = world->dim;
	const uint32_t bits = world->quant.bits;

	for (size_t i = 0; i < half; i++) {
		const float *x = world->vectors + (half + i) * dim;
		const uint8_t *own = codes_at(&world->codes, (uint32_t)(half + i));

		quant_query_set(&world->query, x, world->scratch);
		for (uint32_t j = 0; j < half; j++) {
			const uint8_t *code = codes_at(&world->codes, j);
			double unit, want;

			want = truth(world->quant.metric, x, world->vectors + j * dim, dim, &unit);
			count_error(&query, (quant_distance(&world->query, code) - want) / unit);
			count_error(&between,
				    (quant_between(&world->quant, own, code) - want) / unit);
		}
	}
	check_errors(&query, bound_of(bits, false), what, bits, world->quant.metric);
	/* Two codes of few bits seem nearer than they are when they point the same way, as images do. */
	if (bits > 2 || kind != IMAGES)
		check_errors(&between, bound_of(bits, true), what, bits, world->quant.metric);
}

static void test_estimates(void **ctx)
{
	static const enum ann_metric metrics[] = {ANN_COSINE, ANN_L2, ANN_IP};
	static const size_t dims[] = {100, 128, 784};

	(void)ctx;
	print_message("seed %llu\n", (unsigned long long)SEED);
	for (int kind = RANDOM; kind <= IMAGES; kind++) {
		for (size_t d = 0; d < 3; d++) {
			float *vectors = make_vectors((enum kind)kind, 200, dims[d]);

			for (size_t m = 0; m < 24; m++) {
				struct world world;

				world_init(&world, metrics[m % 3], all_bits[m / 3 % 4], m >= 12,
					   vectors, 200, dims[d]);
				check_estimates(&world, (enum kind)kind);
				world_release(&world);
			}
			mem_free(vectors);
		}
	}
}

/* A centre near the data makes the error smaller, here about 4 times. */
static void test_centre(void **ctx)
{
	float *vectors = make_vectors(RANDOM, 200, 100);
	double error[2] = {0};

	(void)ctx;
	for (size_t i = 0; i < 200 * 100; i++)
		vectors[i] += 3.0f;
	for (size_t centre = 0; centre < 2; centre++) {
		struct world world;

		world_init(&world, ANN_L2, 4, centre == 1, vectors, 200, 100);
		quant_query_set(&world.query, vectors, world.scratch);
		for (uint32_t j = 1; j < 200; j++) {
			double unit, want = truth(ANN_L2, vectors, vectors + j * 100, 100, &unit);
			double got = quant_distance(&world.query, codes_at(&world.codes, j));

			error[centre] += (got - want) * (got - want);
		}
		world_release(&world);
	}
	assert_true(sqrt(error[1]) < 0.3 * sqrt(error[0]));
	mem_free(vectors);
}

static void check_batches(struct world *world)
{
	float distances[41];
	uint32_t slots[40];

	for (uint32_t i = 0; i < 40; i++)
		slots[i] = (i * 7 + 3) % 40;
	quant_query_set(&world->query, world->vectors, world->scratch);
	for (size_t n = 0; n <= 40; n++) {
		distances[n] = -12345.0f;
		quant_distances(&world->query, &world->codes, slots, n, distances);
		for (size_t i = 0; i < n; i++) {
			const uint8_t *code = codes_at(&world->codes, slots[i]);

			assert_true(distances[i] == quant_distance(&world->query, code));
		}
		assert_true(distances[n] == -12345.0f);
	}
}

static void check_between(struct world *world)
{
	const uint8_t *a = codes_at(&world->codes, 5);

	quant_query_set_code(&world->query, a);
	for (uint32_t i = 0; i < 40; i++) {
		const uint8_t *b = codes_at(&world->codes, i);
		float between = quant_between(&world->quant, a, b), other, as_query;
		double unit;

		(void)truth(world->quant.metric, world->vectors + 5 * world->dim,
			    world->vectors + i * world->dim, world->dim, &unit);
		unit *= sqrt((double)world->dim);
		other = quant_between(&world->quant, b, a);
		assert_true(fabs((double)other - between) < 1e-5 * (1.0 + unit));
		as_query = quant_distance(&world->query, b);
		assert_true(fabs((double)as_query - between) < 1e-4 * (1.0 + unit));
	}
}

/* quant_query_set_code, quant_between and quant_distances say the same as quant_distance. */
static void test_forms_agree(void **ctx)
{
	static const size_t dims[] = {1, 2, 3, 17, 31, 33, 100, 128, 300, 784};

	(void)ctx;
	for (size_t m = 0; m < 24; m++) {
		for (size_t d = 0; d < sizeof(dims) / sizeof(*dims); d++) {
			float *vectors = make_vectors(RANDOM, 40, dims[d]);
			struct world world;

			world_init(&world, (enum ann_metric)(m % 3 + 1), all_bits[m / 3 % 4],
				   m >= 12, vectors, 40, dims[d]);
			check_batches(&world);
			check_between(&world);
			world_release(&world);
			mem_free(vectors);
		}
	}
}

struct ranked {
	double distance;
	uint32_t slot;
};

static int nearer(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->distance < y->distance ? -1 : x->distance > y->distance;
}

/* The share of the true 10 nearest among the `width` nearest by code, over 50 queries. */
static double overlap(struct world *world, size_t width)
{
	const size_t n = world->n - 50, dim = world->dim;
	struct ranked *exact = mem_alloc(n * sizeof(*exact)),
		      *coded = mem_alloc(n * sizeof(*coded));
	size_t found = 0;

	assert_non_null(exact);
	assert_non_null(coded);
	for (size_t q = 0; q < 50; q++) {
		const float *x = world->vectors + (n + q) * dim;

		quant_query_set(&world->query, x, world->scratch);
		for (uint32_t i = 0; i < n; i++) {
			double unit;

			exact[i].slot = coded[i].slot = i;
			exact[i].distance = truth(world->quant.metric, x, world->vectors + i * dim,
						  dim, &unit);
			coded[i].distance = quant_distance(&world->query,
							   codes_at(&world->codes, i));
		}
		qsort(exact, n, sizeof(*exact), nearer);
		qsort(coded, n, sizeof(*coded), nearer);
		for (size_t i = 0; i < 10; i++)
			for (size_t j = 0; j < width; j++)
				found += exact[i].slot == coded[j].slot;
	}
	mem_free(exact);
	mem_free(coded);
	return (double)found / 500.0;
}

static void test_order(void **ctx)
{
	float *vectors = make_vectors(CLUSTERED, 2050, 128);

	(void)ctx;
	for (int metric = ANN_COSINE; metric <= ANN_IP; metric++) {
		struct world world;
		double share;

		world_init(&world, (enum ann_metric)metric, 8, false, vectors, 2050, 128);
		share = overlap(&world, 10);
		print_message("metric %d: 8 bits, 10 of 10: %.3f\n", metric, share);
		assert_true(share >= 0.97);
		world_release(&world);
		world_init(&world, (enum ann_metric)metric, 4, false, vectors, 2050, 128);
		share = overlap(&world, 50);
		print_message("metric %d: 4 bits, 10 of 50: %.3f\n", metric, share);
		assert_true(share >= 0.99);
		world_release(&world);
		world_init(&world, (enum ann_metric)metric, 2, false, vectors, 2050, 128);
		share = overlap(&world, 100);
		print_message("metric %d: 2 bits, 10 of 100: %.3f\n", metric, share);
		assert_true(share >= 0.9);
		world_release(&world);
		world_init(&world, (enum ann_metric)metric, 1, false, vectors, 2050, 128);
		share = overlap(&world, 200);
		print_message("metric %d: 1 bit, 10 of 200: %.3f\n", metric, share);
		assert_true(share >= 0.9);
		world_release(&world);
	}
	mem_free(vectors);
}

static void test_sizes(void **ctx)
{
	static const struct {
		uint32_t dim, bits, bytes;
	} sizes[] = {{784, 4, 416}, {784, 8, 800},    {100, 8, 128},  {128, 4, 80},  {1, 4, 32},
		     {1, 8, 32},    {16384, 4, 8208}, {1536, 4, 784}, {784, 1, 108}, {784, 2, 212},
		     {128, 1, 20},  {128, 2, 36},     {1, 1, 12},     {100, 2, 36}};

	(void)ctx;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct quant quant;

		assert_int_equal(quant_init(&quant, ANN_L2, sizes[i].dim, sizes[i].bits, 1), 0);
		assert_int_equal(quant.code_bytes, sizes[i].bytes);
		quant_release(&quant);
	}
}

/* 4 and 8 bits need no more than they are given, 1 bit of short vectors the most. */
static void test_widen(void **ctx)
{
	static const struct {
		uint32_t dim, bits;
		size_t from, to;
	} cases[] = {{128, 8, 45, 45}, {2, 4, 45, 45},	 {784, 2, 45, 45},
		     {784, 1, 50, 70}, {128, 2, 60, 90}, {128, 1, 130, 170}};

	(void)ctx;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct quant quant;

		assert_int_equal(quant_init(&quant, ANN_L2, cases[i].dim, cases[i].bits, 1), 0);
		assert_in_range(quant_widen(&quant, 45), cases[i].from, cases[i].to);
		quant_release(&quant);
	}
}

/* A code depends on the vector and the seed alone, and is written to its last byte. */
static void test_same_code(void **ctx)
{
	for (uint32_t bits = 1; bits <= 8; bits *= 2) {
		float *vector = make_vectors(RANDOM, 1, 100);
		uint8_t codes[3][144];

		(void)ctx;
		for (size_t i = 0; i < 3; i++) {
			struct quant quant;
			void *scratch;

			assert_int_equal(quant_init(&quant, ANN_COSINE, 100, bits, i == 2), 0);
			scratch = mem_alloc_aligned(64, quant_scratch_bytes(&quant));
			assert_non_null(scratch);
			memset(scratch, (int)(i + 1), quant_scratch_bytes(&quant));
			memset(codes[i], i == 0 ? 0x55 : 0xaa, sizeof(codes[i]));
			quant_encode(&quant, vector, scratch, codes[i]);
			assert_int_equal(codes[i][quant.code_bytes], i == 0 ? 0x55 : 0xaa);
			if (i == 1)
				assert_memory_equal(codes[0], codes[1], quant.code_bytes);
			if (i == 2)
				assert_memory_not_equal(codes[0], codes[2], quant.code_bytes);
			mem_free(scratch);
			quant_release(&quant);
		}
		mem_free(vector);
	}
}

/* Vectors that lie on the edge of what float32 holds give numbers all the same. */
static void test_extremes(void **ctx)
{
	static const float sizes[] = {0.0f, FLT_TRUE_MIN, 1e-30f, 1e-10f,
				      1.0f, 1e10f,	  1e30f,  FLT_MAX};
	enum { SIZES = sizeof(sizes) / sizeof(*sizes), DIM = 50 };
	float vectors[SIZES * DIM];

	(void)ctx;
	for (size_t i = 0; i < SIZES * DIM; i++)
		vectors[i] = sizes[i / DIM] * (i % DIM % 3 ? 1.0f : -0.5f);
	for (size_t m = 0; m < 12; m++) {
		struct world world;

		world_init(&world, (enum ann_metric)(m % 3 + 1), all_bits[m / 3], false, vectors,
			   SIZES, DIM);
		for (uint32_t i = 0; i < SIZES; i++) {
			quant_query_set(&world.query, vectors + i * DIM, world.scratch);
			for (uint32_t j = 0; j < SIZES; j++) {
				const uint8_t *a = codes_at(&world.codes, i);
				const uint8_t *b = codes_at(&world.codes, j);
				float distance = quant_distance(&world.query, b);

				assert_false(isnan(distance));
				assert_false(isnan(quant_between(&world.quant, a, b)));
				/* All point the same way, or nowhere. */
				if (world.quant.metric == ANN_COSINE && i != 1 && j != 1)
					assert_true(fabs((double)distance - (i == 0 || j == 0)) <
						    0.02);
			}
		}
		world_release(&world);
	}
}

static bool no_memory(void *ctx)
{
	size_t *left = ctx;

	return (*left)-- == 0;
}

static void test_refused(void **ctx)
{
	struct quant quant;
	struct quant_query query;
	float centre[20] = {0};
	size_t left = 0;

	(void)ctx;
	assert_int_equal(quant_init(&quant, ANN_L2, 10, 5, 0), ERR_INVALID);
	quant_release(&quant);
	assert_int_equal(quant_init(&quant, ANN_L2, 0, 8, 0), ERR_INVALID);
	quant_release(&quant);
	assert_int_equal(quant_init(&quant, ANN_L2, ANN_DIM_MAX + 1, 8, 0), ERR_INVALID);
	quant_release(&quant);
	mem_set_fault(no_memory, &left);
	assert_int_equal(quant_init(&quant, ANN_L2, 20, 8, 0), ERR_NOMEM);
	quant_release(&quant);
	assert_int_equal(quant_init(&quant, ANN_L2, 20, 8, 0), 0);
	left = 0;
	assert_int_equal(quant_query_init(&query, &quant), ERR_NOMEM);
	quant_query_release(&query);
	left = 0;
	assert_int_equal(quant_set_centre(&quant, centre), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	quant_release(&quant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_sizes, start),
		cmocka_unit_test_setup(test_widen, start),
		cmocka_unit_test_setup(test_same_code, start),
		cmocka_unit_test_setup(test_estimates, start),
		cmocka_unit_test_setup(test_centre, start),
		cmocka_unit_test_setup(test_forms_agree, start),
		cmocka_unit_test_setup(test_order, start),
		cmocka_unit_test_setup(test_extremes, start),
		cmocka_unit_test_setup(test_refused, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
