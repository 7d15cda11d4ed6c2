/*
 * test_ann_dist.c - every set of kernels against plain sums, for every length that matters.
 *
 * Inputs lie in blocks of exactly their size, off by one element from any alignment, so that the
 * address sanitizer sees every byte read beyond them.
 */
#include "ann/dist.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"

#define SEED UINT64_C(20261122)
#define LONGEST 16384u

static uint64_t state;

static uint64_t next(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* -1 ... 1 */
static float next_float(void)
{
	return (float)((double)(next() >> 11) / (double)(UINT64_C(1) << 52) - 1.0);
}

static int start(void **ctx)
{
	(void)ctx;
	state = SEED;
	return 0;
}

/* 1 ... 300, and some long ones; 0 after the last. */
static size_t next_length(size_t n)
{
	static const size_t after[] = {500, 784, 1000, 1536, 4096, 16384, 0};

	if (n < 300)
		return n + 1;
	for (size_t i = 0; i < sizeof(after) / sizeof(*after); i++)
		if (after[i] > n)
			return after[i];
	return 0;
}

/* A block whose last byte is the last of the n elements; *at_out: the first of them. */
static void *exact_block(size_t n, size_t size, void **at_out)
{
	uint8_t *block = mem_alloc((n + 1) * size);

	assert_non_null(block);
	*at_out = block + size;
	return block;
}

static float *floats(size_t n, void **block_out)
{
	void *at;

	*block_out = exact_block(n, sizeof(float), &at);
	for (size_t i = 0; i < n; i++)
		((float *)at)[i] = next_float();
	return at;
}

static uint8_t *bytes(size_t n, bool extreme, void **block_out)
{
	void *at;

	*block_out = exact_block(n, 1, &at);
	for (size_t i = 0; i < n; i++)
		((uint8_t *)at)[i] = (uint8_t)(extreme ? next() % 2 * 255 : next());
	return at;
}

/* As the header promises. */
static void assert_sum(double expected, double magnitude, float got, size_t n)
{
	double bound = ((double)n / 8 + 8) / 16777216.0 * magnitude + 1e-30;

	if (!(fabs(expected - (double)got) <= bound))
		fail_msg("n %zu: %.9g, expected %.9g within %.3g", n, (double)got, expected, bound);
}

static void check_floats(const struct dist_kernels *set, size_t n)
{
	void *blocks[5];
	const float *a[4], *b = floats(n, &blocks[4]);
	float l2sq_4[4], dot_4[4];

	for (size_t j = 0; j < 4; j++)
		a[j] = floats(n, &blocks[j]);
	set->l2sq_4(a, b, n, l2sq_4);
	set->dot_4(a, b, n, dot_4);
	for (size_t j = 0; j < 4; j++) {
		double l2sq = 0.0, dot = 0.0, magnitude = 0.0;

		for (size_t i = 0; i < n; i++) {
			double d = (double)a[j][i] - b[i], p = (double)a[j][i] * b[i];

			l2sq += d * d;
			dot += p;
			magnitude += fabs(p);
		}
		assert_sum(l2sq, l2sq, set->l2sq(a[j], b, n), n);
		assert_sum(l2sq, l2sq, l2sq_4[j], n);
		assert_sum(dot, magnitude, set->dot(a[j], b, n), n);
		assert_sum(dot, magnitude, dot_4[j], n);
	}
	for (size_t j = 0; j < 5; j++)
		mem_free(blocks[j]);
}

static void test_float_sums(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t s = 0; s < n_sets; s++)
		for (size_t n = 1; n != 0; n = next_length(n))
			check_floats(sets[s], n);
}

static int64_t nibble(const uint8_t *code, size_t n, size_t i)
{
	size_t first = i / 128 * 128, half = (n - first < 128 ? n - first : 128) / 2;
	size_t at = i - first;

	return at < half ? code[first / 2 + at] & 15 : code[first / 2 + at - half] >> 4;
}

static void check_codes_8(const struct dist_kernels *set, size_t n, bool extreme)
{
	void *blocks[5];
	const uint8_t *codes[4], *q = bytes(n, extreme, &blocks[4]);
	const int8_t *query = (const int8_t *)q;
	int32_t four[4];

	for (size_t j = 0; j < 4; j++)
		codes[j] = bytes(n, extreme, &blocks[j]);
	set->dot_u8s8_4(codes, query, n, four);
	for (size_t j = 0; j < 4; j++) {
		int64_t u8s8 = 0, u8u8 = 0;

		for (size_t i = 0; i < n; i++) {
			u8s8 += codes[j][i] * query[i];
			u8u8 += codes[j][i] * q[i];
		}
		assert_int_equal(set->dot_u8s8(codes[j], query, n), u8s8);
		assert_int_equal(four[j], u8s8);
		assert_int_equal(set->dot_u8u8(codes[j], q, n), u8u8);
	}
	for (size_t j = 0; j < 5; j++)
		mem_free(blocks[j]);
}

static void check_codes_4(const struct dist_kernels *set, size_t n, bool extreme)
{
	void *blocks[5];
	const uint8_t *codes[4], *q = bytes(n, extreme, &blocks[4]);
	const int8_t *query = (const int8_t *)q;
	int32_t four[4];

	for (size_t j = 0; j < 4; j++)
		codes[j] = bytes(n / 2, extreme, &blocks[j]);
	set->dot_u4s8_4(codes, query, n, four);
	for (size_t j = 0; j < 4; j++) {
		int64_t u4s8 = 0, u4u4 = 0;

		for (size_t i = 0; i < n; i++) {
			u4s8 += nibble(codes[j], n, i) * query[i];
			u4u4 += nibble(codes[j], n, i) * nibble(codes[0], n, i);
		}
		assert_int_equal(set->dot_u4s8(codes[j], query, n), u4s8);
		assert_int_equal(four[j], u4s8);
		assert_int_equal(set->dot_u4u4(codes[j], codes[0], n), u4u4);
	}
	for (size_t j = 0; j < 5; j++)
		mem_free(blocks[j]);
}

/* Field of dimension i of a code of 1 or 2 bits. */
static int64_t field(const uint8_t *code, unsigned bits, size_t i)
{
	size_t width = 8 * (size_t)bits, at = i % 64;

	return code[i / 64 * width + at % width] >> at / width * bits & ((1u << bits) - 1);
}

static void check_codes_low(const struct dist_kernels *set, unsigned bits, size_t n, bool extreme)
{
	void *blocks[5];
	const uint8_t *codes[4], *q = bytes(n, extreme, &blocks[4]);
	const int8_t *query = (const int8_t *)q;
	const int64_t top = (1 << bits) - 1;
	int32_t four[4];

	for (size_t j = 0; j < 4; j++)
		codes[j] = bytes(n * bits / 8, extreme, &blocks[j]);
	(bits == 1 ? set->dot_u1s8_4 : set->dot_u2s8_4)(codes, query, n, four);
	for (size_t j = 0; j < 4; j++) {
		int64_t us = 0, cc = 0;

		for (size_t i = 0; i < n; i++) {
			us += field(codes[j], bits, i) * query[i];
			cc += (2 * field(codes[j], bits, i) - top) *
			      (2 * field(codes[0], bits, i) - top);
		}
		assert_int_equal((bits == 1 ? set->dot_u1s8 : set->dot_u2s8)(codes[j], query, n),
				 us);
		assert_int_equal(four[j], us);
		assert_int_equal((bits == 1 ? set->dot_c1c1 : set->dot_c2c2)(codes[j], codes[0], n),
				 cc);
	}
	for (size_t j = 0; j < 5; j++)
		mem_free(blocks[j]);
}

static void test_low_code_sums(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t s = 0; s < n_sets; s++) {
		for (unsigned bits = 1; bits <= 2; bits++) {
			for (size_t n = 64; n <= LONGEST; n = n < 1088 ? n + 64 : n * 2) {
				check_codes_low(sets[s], bits, n, false);
				check_codes_low(sets[s], bits, n, true);
			}
			check_codes_low(sets[s], bits, LONGEST, true);
		}
	}
}

static void test_code_sums(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t n = 16; n <= LONGEST; n = n < 1040 ? n + 16 : n * 2) {
			check_codes_8(sets[s], n, false);
			check_codes_8(sets[s], n, true);
		}
		check_codes_8(sets[s], LONGEST, true);
		for (size_t n = 32; n <= LONGEST; n = n < 1056 ? n + 32 : n * 2) {
			check_codes_4(sets[s], n, false);
			check_codes_4(sets[s], n, true);
		}
		check_codes_4(sets[s], LONGEST, true);
	}
}

/* The largest sums there can be do not overflow. */
static void test_code_sums_largest(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);
	uint8_t *ones = mem_alloc(LONGEST), *lowest = mem_alloc(LONGEST);

	(void)ctx;
	assert_non_null(ones);
	assert_non_null(lowest);
	memset(ones, 0xff, LONGEST);
	memset(lowest, 0x80, LONGEST);
	for (size_t s = 0; s < n_sets; s++) {
		const int8_t *query = (const int8_t *)lowest;

		assert_int_equal(sets[s]->dot_u8s8(ones, query, LONGEST), -255 * 128 * 16384);
		assert_int_equal(sets[s]->dot_u4s8(ones, query, LONGEST), -15 * 128 * 16384);
		assert_int_equal(sets[s]->dot_u8u8(ones, ones, LONGEST), INT64_C(65025) * 16384);
		assert_int_equal(sets[s]->dot_u4u4(ones, ones, LONGEST), 225 * 16384);
		assert_int_equal(sets[s]->dot_u1s8(ones, query, LONGEST), -128 * 16384);
		assert_int_equal(sets[s]->dot_u2s8(ones, query, LONGEST), -3 * 128 * 16384);
		assert_int_equal(sets[s]->dot_c1c1(ones, ones, LONGEST), 16384);
		assert_int_equal(sets[s]->dot_c2c2(ones, ones, LONGEST), 9 * 16384);
	}
	mem_free(ones);
	mem_free(lowest);
}

static void test_hadamard(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t n = 1; n <= LONGEST; n *= 2) {
		void *blocks[4];
		float *x = floats(n, &blocks[0]), *factors = floats(n, &blocks[1]);
		float *want = floats(n, &blocks[2]), *got = floats(n, &blocks[3]);

		memcpy(want, x, n * sizeof(*x));
		sets[0]->hadamard(want, factors, n);
		for (size_t i = 0; i < n && n <= 256; i++) {
			double sum = 0.0;

			for (size_t j = 0; j < n; j++)
				sum += (__builtin_popcountll(i & j) % 2 ? -1.0 : 1.0) *
				       (double)(x[j] * factors[j]);
			assert_sum(sum, (double)n, want[i], n);
		}
		for (size_t s = 1; s < n_sets; s++) {
			memcpy(got, x, n * sizeof(*x));
			sets[s]->hadamard(got, factors, n);
			assert_memory_equal(got, want, n * sizeof(*x));
		}
		for (size_t j = 0; j < 4; j++)
			mem_free(blocks[j]);
	}
}

static void test_butterfly(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t n = 1; n != 0; n = next_length(n)) {
		void *blocks[4];
		float *a = floats(n, &blocks[0]), *b = floats(n, &blocks[1]);
		float *c = floats(n, &blocks[2]), *d = floats(n, &blocks[3]);

		for (size_t s = 0; s < n_sets; s++) {
			memcpy(c, a, n * sizeof(*a));
			memcpy(d, b, n * sizeof(*a));
			sets[s]->butterfly(c, d, n);
			for (size_t i = 0; i < n; i++) {
				assert_true(c[i] == (a[i] + b[i]) * 0.707106781187f);
				assert_true(d[i] == (a[i] - b[i]) * 0.707106781187f);
			}
		}
		for (size_t j = 0; j < 4; j++)
			mem_free(blocks[j]);
	}
}

static void check_rounding(const struct dist_kernels *set, const float *x, size_t n,
			   const struct dist_grid *grid)
{
	void *block;
	uint8_t *codes = bytes(n, false, &block);
	struct dist_fit fit;
	double c = 0.0, cc = 0.0, cx = 0.0, magnitude = 0.0;

	set->grid_codes(x, n, grid, codes);
	set->grid_fit(x, n, grid, &fit);
	for (size_t i = 0; i < n; i++) {
		float t = (x[i] - grid->low) * grid->inverse;
		float kept = fmaxf(0.0f, fminf(t, (float)grid->max));

		assert_int_equal(codes[i], (int)(kept + 0.5f));
		c += codes[i];
		cc += (double)codes[i] * codes[i];
		cx += (double)codes[i] * x[i];
		magnitude += fabs((double)codes[i] * x[i]);
	}
	assert_true((double)fit.c == c);
	assert_sum(cc, cc, fit.cc, n);
	assert_sum(cx, magnitude, fit.cx, n);
	mem_free(block);
}

static void test_rounding(void **ctx)
{
	static const struct dist_grid grids[] = {
		{-1.0f, 7.5f, 15}, {-0.8f, 9.1f, 15}, {-1.01f, 127.0f, 255}, {0.0f, 0.0f, 15}};
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t n = 1; n != 0; n = next_length(n)) {
			void *block;
			const float *x = floats(n, &block);

			for (size_t i = 0; i < sizeof(grids) / sizeof(*grids); i++)
				check_rounding(sets[s], x, n, &grids[i]);
			mem_free(block);
		}
	}
}

static void check_span(const struct dist_kernels *set, const float *x, size_t n)
{
	struct dist_span span;
	float min = x[0], max = x[0];
	double sum = 0.0, sum_sq = 0.0, magnitude = 0.0;

	set->span(x, n, &span);
	for (size_t i = 0; i < n; i++) {
		min = fminf(min, x[i]);
		max = fmaxf(max, x[i]);
		sum += (double)x[i];
		sum_sq += (double)x[i] * x[i];
		magnitude += fabs((double)x[i]);
	}
	assert_true(span.min == min);
	assert_true(span.max == max);
	assert_sum(sum, magnitude, span.sum, n);
	assert_sum(sum_sq, sum_sq, span.sum_sq, n);
}

static void test_span(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n_sets = dist_kernels_all(sets);

	(void)ctx;
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t n = 1; n != 0; n = next_length(n)) {
			void *block;
			float *x = floats(n, &block);

			for (size_t i = 0; i < n; i++)
				x[i] += (float)(n % 3) - 1.0f; /* sometimes all of one sign */
			check_span(sets[s], x, n);
			mem_free(block);
		}
	}
}

static void test_choice(void **ctx)
{
	const struct dist_kernels *sets[4];
	size_t n = dist_kernels_all(sets);

	(void)ctx;
	assert_in_range(n, 1, 4);
	assert_string_equal(sets[0]->name, "scalar");
	assert_ptr_equal(dist_kernels(), sets[n - 1]);
	assert_ptr_equal(dist_kernels(), dist_kernels());
	print_message("sets up to %s, seed %llu\n", sets[n - 1]->name, (unsigned long long)SEED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_choice, start),
		cmocka_unit_test_setup(test_float_sums, start),
		cmocka_unit_test_setup(test_code_sums, start),
		cmocka_unit_test_setup(test_low_code_sums, start),
		cmocka_unit_test_setup(test_code_sums_largest, start),
		cmocka_unit_test_setup(test_hadamard, start),
		cmocka_unit_test_setup(test_butterfly, start),
		cmocka_unit_test_setup(test_rounding, start),
		cmocka_unit_test_setup(test_span, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
