/*
 * dist.c - the kernels in plain C, which the others are tested against, and the choice among sets.
 */
#include "ann/dist.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "ann/dist_sets.h"

static float scalar_l2sq(const float *a, const float *b, size_t n)
{
	float sums[8] = {0};
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		for (size_t j = 0; j < 8; j++) {
			float d = a[i + j] - b[i + j];

			sums[j] += d * d;
		}
	}
	for (; i < n; i++)
		sums[i % 8] += (a[i] - b[i]) * (a[i] - b[i]);
	return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
	       ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

static float scalar_dot(const float *a, const float *b, size_t n)
{
	float sums[8] = {0};
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t j = 0; j < 8; j++)
			sums[j] += a[i + j] * b[i + j];
	for (; i < n; i++)
		sums[i % 8] += a[i] * b[i];
	return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
	       ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

static void scalar_l2sq_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = scalar_l2sq(a[i], b, n);
}

static void scalar_dot_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = scalar_dot(a[i], b, n);
}

static int32_t scalar_dot_u8s8(const uint8_t *code, const int8_t *query, size_t n)
{
	int32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (int32_t)code[i] * query[i];
	return sum;
}

static int32_t scalar_dot_u4s8(const uint8_t *code, const int8_t *query, size_t n)
{
	int32_t sum = 0;

	while (n > 0) {
		size_t group = n < DIST_GROUP ? n : DIST_GROUP;
		size_t half = group / 2;

		for (size_t i = 0; i < half; i++) {
			sum += (code[i] & 15) * query[i];
			sum += (code[i] >> 4) * query[half + i];
		}
		code += half;
		query += group;
		n -= group;
	}
	return sum;
}

static void scalar_dot_u8s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			      int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = scalar_dot_u8s8(codes[i], query, n);
}

static void scalar_dot_u4s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			      int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = scalar_dot_u4s8(codes[i], query, n);
}

static int32_t scalar_dot_u4u4(const uint8_t *a, const uint8_t *b, size_t n)
{
	int32_t sum = 0;

	for (size_t i = 0; i < n / 2; i++)
		sum += (a[i] & 15) * (b[i] & 15) + (a[i] >> 4) * (b[i] >> 4);
	return sum;
}

static int64_t scalar_dot_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (int32_t)a[i] * b[i];
	return sum;
}

static void scalar_hadamard(float *x, const float *factors, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= factors[i];
	for (size_t h = 1; h < n; h *= 2) {
		for (size_t i = 0; i < n; i += 2 * h) {
			for (size_t j = i; j < i + h; j++) {
				float sum = x[j] + x[j + h];

				x[j + h] = x[j] - x[j + h];
				x[j] = sum;
			}
		}
	}
}

static void scalar_butterfly(float *a, float *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float sum = a[i] + b[i];

		b[i] = (a[i] - b[i]) * DIST_SQRT_HALF;
		a[i] = sum * DIST_SQRT_HALF;
	}
}

static void scalar_span(const float *x, size_t n, struct dist_span *span_out)
{
	*span_out = (struct dist_span){0};
	if (n > 0)
		span_out->min = span_out->max = x[0];
	dist_span_rest(x, 0, n, span_out);
}

static void scalar_grid_fit(const float *x, size_t n, const struct dist_grid *grid,
			    struct dist_fit *fit_out)
{
	*fit_out = (struct dist_fit){0};
	dist_fit_rest(x, 0, n, grid, fit_out);
}

static void scalar_grid_codes(const float *x, size_t n, const struct dist_grid *grid,
			      uint8_t *codes_out)
{
	for (size_t i = 0; i < n; i++)
		codes_out[i] = (uint8_t)dist_grid_code(grid, x[i]);
}

const struct dist_kernels dist_scalar = {
	.name = "scalar",
	.l2sq = scalar_l2sq,
	.dot = scalar_dot,
	.l2sq_4 = scalar_l2sq_4,
	.dot_4 = scalar_dot_4,
	.dot_u8s8 = scalar_dot_u8s8,
	.dot_u4s8 = scalar_dot_u4s8,
	.dot_u8s8_4 = scalar_dot_u8s8_4,
	.dot_u4s8_4 = scalar_dot_u4s8_4,
	.dot_u4u4 = scalar_dot_u4u4,
	.dot_u8u8 = scalar_dot_u8u8,
	.dot_u1s8 = dist_scalar_dot_u1s8,
	.dot_u2s8 = dist_scalar_dot_u2s8,
	.dot_u1s8_4 = dist_scalar_dot_u1s8_4,
	.dot_u2s8_4 = dist_scalar_dot_u2s8_4,
	.dot_c1c1 = dist_scalar_dot_c1c1,
	.dot_c2c2 = dist_scalar_dot_c2c2,
	.hadamard = scalar_hadamard,
	.butterfly = scalar_butterfly,
	.span = scalar_span,
	.grid_fit = scalar_grid_fit,
	.grid_codes = scalar_grid_codes,
};

#if defined(__x86_64__)

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
	       __builtin_cpu_supports("popcnt");
}

static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

#endif

size_t dist_kernels_all(const struct dist_kernels *sets_out[4])
{
	size_t n = 0;

	sets_out[n++] = &dist_scalar;
#if defined(__x86_64__)
	if (has_avx2())
		sets_out[n++] = &dist_avx2;
	if (has_avx512())
		sets_out[n++] = &dist_avx512;
#elif defined(__aarch64__)
	sets_out[n++] = &dist_neon;
#endif
	return n;
}

const struct dist_kernels *dist_kernels(void)
{
	/* Every thread that finds it empty puts the same pointer there. */
	static _Atomic(const struct dist_kernels *) chosen;
	const struct dist_kernels *best = atomic_load_explicit(&chosen, memory_order_acquire);

	if (best == NULL) {
		const struct dist_kernels *sets[4];
		size_t n = dist_kernels_all(sets);

		best = sets[n - 1];
		atomic_store_explicit(&chosen, best, memory_order_release);
	}
	return best;
}
