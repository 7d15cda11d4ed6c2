/*
 * test_ann_rotate.c - the rotation keeps lengths and angles, mixes, and depends on its seed alone.
 */
#include "ann/rotate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "store/err.h"
#include "store/mem.h"

#define LONGEST 16384u

static uint64_t state = 7;

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

static double product(const float *a, const float *b, size_t n)
{
	double sum = 0.0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i] * b[i];
	return sum;
}

static uint32_t next_dim(uint32_t dim)
{
	static const uint32_t after[] = {511, 512, 513, 784, 1000, 1023, 1536, 4096, LONGEST, 0};

	if (dim < 300)
		return dim + 1;
	for (size_t i = 0; i < sizeof(after) / sizeof(*after); i++)
		if (after[i] > dim)
			return after[i];
	return 0;
}

static void test_orthonormal(void **ctx)
{
	(void)ctx;
	for (uint32_t dim = 1; dim != 0; dim = next_dim(dim)) {
		struct rotate rotate;
		float *a = floats(dim), *b = floats(dim);
		double aa = product(a, a, dim), bb = product(b, b, dim), ab = product(a, b, dim);

		assert_int_equal(rotate_init(&rotate, dim, dim, dist_kernels()), 0);
		rotate_apply(&rotate, a);
		rotate_apply(&rotate, b);
		assert_true(fabs(product(a, a, dim) - aa) < 1e-6 * aa);
		assert_true(fabs(product(b, b, dim) - bb) < 1e-6 * bb);
		assert_true(fabs(product(a, b, dim) - ab) < 1e-6 * sqrt(aa * bb));
		rotate_release(&rotate);
		mem_free(a);
		mem_free(b);
	}
}

static void test_same_in_every_set(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (uint32_t dim = 1; dim != 0; dim = next_dim(dim)) {
		float *x = floats(dim), *want = floats(dim), *got = floats(dim);

		for (size_t s = 0; s < n_sets; s++) {
			struct rotate rotate;
			float *to = s == 0 ? want : got;

			assert_int_equal(rotate_init(&rotate, dim, 42, sets[s]), 0);
			memcpy(to, x, dim * sizeof(*x));
			rotate_apply(&rotate, to);
			if (s > 0)
				assert_memory_equal(got, want, dim * sizeof(*x));
			rotate_release(&rotate);
		}
		mem_free(x);
		mem_free(want);
		mem_free(got);
	}
}

static void test_seed(void **ctx)
{
	struct rotate rotate;
	float vectors[3][100];
	static const uint64_t seeds[3] = {5, 5, 6};

	(void)ctx;
	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < 100; j++)
			vectors[i][j] = (float)j;
		assert_int_equal(rotate_init(&rotate, 100, seeds[i], dist_kernels()), 0);
		rotate_apply(&rotate, vectors[i]);
		rotate_release(&rotate);
	}
	assert_memory_equal(vectors[0], vectors[1], sizeof(vectors[0]));
	assert_memory_not_equal(vectors[0], vectors[2], sizeof(vectors[0]));
}

/*
 * A vector with one coordinate spreads over all: none of them far above its share (a random
 * vector has 4 times at most), and every quarter of the vector gets some of the length. Dimensions with
 * little overlap of the windows included.
 */
static void check_spread(uint32_t dim, uint32_t coordinate)
{
	struct rotate rotate;
	float *x = floats(dim);
	double parts[4] = {0}, largest = 0.0;

	memset(x, 0, dim * sizeof(*x));
	x[coordinate] = 1.0f;
	assert_int_equal(rotate_init(&rotate, dim, 3, dist_kernels()), 0);
	rotate_apply(&rotate, x);
	for (uint32_t i = 0; i < dim; i++) {
		largest = fmax(largest, fabs((double)x[i]));
		parts[(uint64_t)i * 4 / dim] += (double)x[i] * x[i];
	}
	if (largest > 16.0 / sqrt(dim))
		fail_msg("dim %u, coordinate %u: %.3f", dim, coordinate, largest * sqrt(dim));
	for (size_t i = 0; i < 4; i++)
		assert_true(parts[i] > 0.03 && parts[i] < 0.65);
	rotate_release(&rotate);
	mem_free(x);
}

static void test_spreads(void **ctx)
{
	static const uint32_t dims[] = {100, 127, 128, 129, 384, 511, 768, 784, 1000, 1023, 1536};

	(void)ctx;
	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++)
		for (uint32_t j = 0; j < dims[i]; j += 7)
			check_spread(dims[i], j);
}

static bool no_memory(void *ctx)
{
	(void)ctx;
	return true;
}

static void test_no_memory(void **ctx)
{
	struct rotate rotate;

	(void)ctx;
	mem_set_fault(no_memory, NULL);
	assert_int_equal(rotate_init(&rotate, 100, 1, dist_kernels()), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	rotate_release(&rotate);
	rotate_release(&rotate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orthonormal), cmocka_unit_test(test_same_in_every_set),
		cmocka_unit_test(test_seed),	    cmocka_unit_test(test_spreads),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
