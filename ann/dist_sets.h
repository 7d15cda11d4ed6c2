/*
 * dist_sets.h - the sets of kernels, for dist.c which chooses among them, and what they share.
 * Private to dist*.c. A set other than dist_scalar exists only in programs for its processor.
 */
#ifndef VECFS_ANN_DIST_SETS_H
#define VECFS_ANN_DIST_SETS_H

#include <string.h>

#include "ann/dist.h"

#define DIST_GROUP 128u		       /* dimensions in a group of 4-bit codes */
#define DIST_SQRT_HALF 0.707106781187f /* what butterfly multiplies with */

extern const struct dist_kernels dist_scalar;
extern const struct dist_kernels dist_avx2;
extern const struct dist_kernels dist_avx512;
extern const struct dist_kernels dist_neon;

/* Members of the sets that stand in files of their own: codes of 1 and 2 bits (dist_low*.c). */
#define DIST_LOW(set)                                                                              \
	int32_t set##_dot_u1s8(const uint8_t *code, const int8_t *query, size_t n);                \
	int32_t set##_dot_u2s8(const uint8_t *code, const int8_t *query, size_t n);                \
	void set##_dot_u1s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,        \
			      int32_t out[4]);                                                     \
	void set##_dot_u2s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,        \
			      int32_t out[4]);                                                     \
	int32_t set##_dot_c1c1(const uint8_t *a, const uint8_t *b, size_t n);                      \
	int32_t set##_dot_c2c2(const uint8_t *a, const uint8_t *b, size_t n)
DIST_LOW(dist_scalar);
DIST_LOW(dist_avx2);
DIST_LOW(dist_avx512);
DIST_LOW(dist_neon);
#undef DIST_LOW

#define DIST_LOW_GROUP 64u /* dimensions in a group of 1-bit and 2-bit codes */

/* 8 bytes of a code; in which order they stand does not matter to what uses them. */
static inline uint64_t dist_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/*
 * Two codes of 2 bits. With signs s = +1 or -1 for bits 1 and 0, a field stands for 2 (high s) + (low s),
 * so that the product of two fields is 4 high high' + 2 (high low' + low high') + low low'. A sum of
 * products of signs is the number of them less twice the number of bits that differ: all sums follow
 * from how many bits differ, how many high ones, and how many when the bits of one side change places.
 */
static inline uint64_t dist_high_bits(uint64_t differ)
{
	return differ & UINT64_C(0xaaaaaaaaaaaaaaaa);
}

/* Both bits of each field change places. */
static inline uint64_t dist_swap_bits(uint64_t word)
{
	return (word >> 1 & UINT64_C(0x5555555555555555)) | (word & UINT64_C(0x5555555555555555))
								    << 1;
}

/* The code of one number; the vector kernels compute the same, operation by operation. */
static inline uint32_t dist_grid_code(const struct dist_grid *grid, float x)
{
	const float max = (float)grid->max;
	float t = (x - grid->low) * grid->inverse;

	t = t > 0.0f ? t : 0.0f;
	t = t < max ? t : max;
	return (uint32_t)(int32_t)(t + 0.5f);
}

/* Continues *span_out over numbers first ... n-1, the ends of vector kernels. */
static inline void dist_span_rest(const float *x, size_t first, size_t n,
				  struct dist_span *span_out)
{
	for (size_t i = first; i < n; i++) {
		if (x[i] < span_out->min)
			span_out->min = x[i];
		if (x[i] > span_out->max)
			span_out->max = x[i];
		span_out->sum += x[i];
		span_out->sum_sq += x[i] * x[i];
	}
}

static inline void dist_fit_rest(const float *x, size_t first, size_t n,
				 const struct dist_grid *grid, struct dist_fit *fit_out)
{
	for (size_t i = first; i < n; i++) {
		float c = (float)dist_grid_code(grid, x[i]);

		fit_out->c += c;
		fit_out->cc += c * c;
		fit_out->cx += c * x[i];
	}
}

#endif
