/*
 * test_ann_scan.c - exact distances against sums in long double, in blocks and one by one, and on
 * the edges of float32.
 */
#include "ann/scan.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"

#define UNIT (1.0 / 16777216.0)

static uint64_t state = 20261122;

static float next_float(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (float)((double)(state >> 11) / (double)(UINT64_C(1) << 52) - 1.0);
}

static float *floats(size_t n)
{
	float *x = mem_alloc(n * sizeof(*x));

	assert_non_null(x);
	for (size_t i = 0; i < n; i++)
		x[i] = next_float();
	return x;
}

struct sums {
	long double aa, bb, ab, l2sq;
};

static struct sums sums_of(const float *a, const float *b, size_t dim)
{
	struct sums sums = {0};

	for (size_t i = 0; i < dim; i++) {
		long double d = (long double)a[i] - b[i];

		sums.aa += (long double)a[i] * a[i];
		sums.bb += (long double)b[i] * b[i];
		sums.ab += (long double)a[i] * b[i];
		sums.l2sq += d * d;
	}
	return sums;
}

/* The distance a user sees; *bound_out: the error the header allows. */
static double truth(enum ann_metric metric, const float *a, const float *b, size_t dim,
		    double *bound_out)
{
	struct sums s = sums_of(a, b, dim);
	double lengths = (double)sqrtl(s.aa * s.bb);

	switch (metric) {
	case ANN_L2:
		*bound_out = UNIT *
			     (8.0 * (double)sqrtl(s.l2sq) + (double)(sqrtl(s.aa) + sqrtl(s.bb)));
		return (double)sqrtl(s.l2sq);
	case ANN_IP:
		*bound_out = 16.0 * UNIT * lengths;
		return (double)-s.ab;
	case ANN_COSINE:
		break;
	}
	*bound_out = 16.0 * UNIT;
	return lengths == 0.0 ? 1.0 : (double)(1.0L - s.ab / sqrtl(s.aa * s.bb));
}

static void test_exact(void **ctx)
{
	static const size_t dims[] = {1, 2, 7, 15, 16, 17, 100, 128, 784, 1000, 4096, 16384};
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t d = 0; d < sizeof(dims) / sizeof(*dims); d++) {
			size_t dim = dims[d];
			float *a = floats(dim), *b = floats(dim);

			for (int m = ANN_COSINE; m <= ANN_IP; m++) {
				enum ann_metric metric = (enum ann_metric)m;
				double bound, want = truth(metric, a, b, dim, &bound);
				double norm_sq = scan_norm_sq(sets[s], a, dim);
				double got = ann_exact_distance(sets[s], metric, a, -1.0, b, dim);

				assert_true(fabs(got - want) <= bound);
				assert_true(got == ann_exact_distance(sets[s], metric, a, norm_sq,
								      b, dim));
				assert_true(got ==
					    ann_exact_distance(sets[s], metric, b, -1.0, a, dim));
				if (metric != ANN_IP)
					assert_true(ann_exact_distance(sets[s], metric, a, norm_sq,
								       a, dim) == 0.0);
			}
			mem_free(a);
			mem_free(b);
		}
	}
}

static void check_block(const struct dist_kernels *kernels, enum ann_metric metric,
			size_t n_queries, size_t n_vectors, size_t dim)
{
	float *queries = floats(n_queries * dim), *all = floats(n_vectors * dim);
	const float *vectors[SCAN_BLOCK];
	float norms[SCAN_BLOCK], out[SCAN_BLOCK * SCAN_BLOCK + 1];

	for (size_t v = 0; v < n_vectors; v++)
		vectors[v] = all + v * dim;
	for (size_t q = 0; q < n_queries; q++)
		norms[q] = (float)sqrt(scan_norm_sq(kernels, queries + q * dim, dim));
	out[n_queries * n_vectors] = -12345.0f;
	scan_block(kernels, metric, queries, norms, n_queries, vectors, n_vectors, dim, out);
	for (size_t q = 0; q < n_queries; q++) {
		for (size_t v = 0; v < n_vectors; v++) {
			double got = out[q * n_vectors + v], bound, want;

			want = truth(metric, queries + q * dim, vectors[v], dim, &bound);
			if (metric == ANN_L2) {
				bound = 1e-5 * want * want;
				want *= want;
			}
			assert_true(fabs(got - want) <= bound + 1e-6);
		}
	}
	assert_true(out[n_queries * n_vectors] == -12345.0f);
	mem_free(queries);
	mem_free(all);
}

static void test_blocks(void **ctx)
{
	static const size_t dims[] = {1, 15, 100, 784};
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t s = 0; s < n_sets; s++)
		for (int metric = ANN_COSINE; metric <= ANN_IP; metric++)
			for (size_t d = 0; d < sizeof(dims) / sizeof(*dims); d++)
				for (size_t n = 0; n <= SCAN_BLOCK; n++) {
					check_block(sets[s], (enum ann_metric)metric, n, 5,
						    dims[d]);
					check_block(sets[s], (enum ann_metric)metric, 5, n,
						    dims[d]);
				}
}

/* Numbers whose squares float32 cannot hold have the right distances, in blocks too. */
static void test_extremes(void **ctx)
{
	static const float sizes[] = {0.0f, FLT_TRUE_MIN, 1e-38f, 1e-30f, 1e-20f, 1e-12f,
				      1.0f, 1e15f,	  1e20f,  1e30f,  FLT_MAX};
	enum { SIZES = sizeof(sizes) / sizeof(*sizes), DIM = 21 };
	const struct dist_kernels *kernels = dist_kernels();
	float vectors[SIZES * DIM], norms[SIZES], out[SIZES * SIZES];
	const float *at[SIZES];

	(void)ctx;
	for (size_t i = 0; i < SIZES * DIM; i++)
		vectors[i] = sizes[i / DIM] * (i % 5 == i / DIM % 5 ? -1.0f : 1.0f);
	for (size_t i = 0; i < SIZES; i++) {
		at[i] = vectors + i * DIM;
		norms[i] = (float)sqrt(scan_norm_sq(kernels, at[i], DIM));
	}
	for (int m = ANN_COSINE; m <= ANN_IP; m++) {
		enum ann_metric metric = (enum ann_metric)m;

		scan_block(kernels, metric, vectors, norms, SIZES, at, SIZES, DIM, out);
		for (size_t i = 0; i < SIZES * SIZES; i++) {
			const float *a = at[i / SIZES], *b = at[i % SIZES];
			double bound, want = truth(metric, a, b, DIM, &bound);
			double got = ann_exact_distance(kernels, metric, a, -1.0, b, DIM);
			double form = metric == ANN_L2 ? want * want : want;

			assert_true(fabs(got - want) <= bound + 1e-37);
			assert_false(isnan(out[i]));
			if (fabs(form) < 1e38)
				assert_true(fabs(out[i] - form) <= 1e-5 * fabs(form) + 1e-6);
		}
	}
}

/* Vectors that differ from the query by less than float32 sums can tell: it is the nearest itself. */
static void test_nearly_alike(void **ctx)
{
	enum { DIM = 100 };
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);
	float *query = floats(DIM), *all = floats(SCAN_BLOCK * DIM);
	float norm, out[SCAN_BLOCK];
	const float *at[SCAN_BLOCK];

	(void)ctx;
	for (size_t v = 0; v < SCAN_BLOCK; v++) {
		at[v] = all + v * DIM;
		for (size_t i = 0; i < DIM; i++)
			all[v * DIM + i] = query[i] + (float)v * 1e-5f * all[v * DIM + i];
	}
	for (size_t s = 0; s < n_sets; s++) {
		norm = (float)sqrt(scan_norm_sq(sets[s], query, DIM));
		scan_block(sets[s], ANN_COSINE, query, &norm, 1, at, SCAN_BLOCK, DIM, out);
		for (size_t v = 0; v < SCAN_BLOCK; v++) {
			double bound, want = truth(ANN_COSINE, query, at[v], DIM, &bound);
			double got = ann_exact_distance(sets[s], ANN_COSINE, query, -1.0, at[v],
							DIM);

			assert_true(fabs(got - want) <= 1e-12);
			assert_true(fabs((double)out[v] - want) <= 1e-12 + 1e-6 * want);
			assert_true((out[v] == 0.0f) == (v == 0));
		}
	}
	mem_free(query);
	mem_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_nearly_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
