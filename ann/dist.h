/*
 * dist.h - kernels over numbers and codes, chosen once at start by what the processor can do:
 * distances, the steps of the rotation (rotate.c), and the rounding of codes (quant.c).
 *
 * Pointers to floats need the alignment of a float, pointers to bytes none. Nothing is read beyond
 * the n elements given.
 *
 * Exactness: the integer kernels, `hadamard`, `butterfly` and `grid_codes` give the same bits in
 * every set, so a code does not depend on the machine by more than the rounding of its floats. The
 * sums over floats differ in their order: an error below n / 8 + 8 units of 2^-24 of the sum of the
 * magnitudes, and typically a few of them.
 */
#ifndef VECFS_ANN_DIST_H
#define VECFS_ANN_DIST_H

#include <stddef.h>
#include <stdint.h>

/* A number x has the code round((x - low) * inverse), kept between 0 and max; NaN has 0. */
struct dist_grid {
	float low;
	float inverse; /* of the step */
	uint32_t max;  /* at most 255 */
};

struct dist_span {
	float min, max; /* 0 when n is 0 */
	float sum;
	float sum_sq;
};

/* Sums over n numbers x with their codes c, from which a least squares fit follows. */
struct dist_fit {
	float c; /* exact up to n = 16,384 */
	float cc;
	float cx;
};

struct dist_kernels {
	const char *name; /* "scalar", "avx2", "avx512", "neon" */

	float (*l2sq)(const float *a, const float *b, size_t n);
	float (*dot)(const float *a, const float *b, size_t n);
	/* Four vectors a against one b; faster than four calls. */
	void (*l2sq_4)(const float *const a[4], const float *b, size_t n, float out[4]);
	void (*dot_4)(const float *const a[4], const float *b, size_t n, float out[4]);

	/* sum of (unsigned code byte) * (signed query byte); n bytes, a multiple of 16 */
	int32_t (*dot_u8s8)(const uint8_t *code, const int8_t *query, size_t n);
	/*
	 * 4-bit codes: n dimensions (a multiple of 32) in n/2 bytes, in groups of 128 dimensions and
	 * a last one of what remains. In a group of g dimensions, g/2 bytes, the low nibbles are the
	 * first g/2 dimensions, the high nibbles the others.
	 */
	int32_t (*dot_u4s8)(const uint8_t *code, const int8_t *query, size_t n);
	/* The same for four codes. */
	void (*dot_u8s8_4)(const uint8_t *const codes[4], const int8_t *query, size_t n,
			   int32_t out[4]);
	void (*dot_u4s8_4)(const uint8_t *const codes[4], const int8_t *query, size_t n,
			   int32_t out[4]);
	/* sum of products of two 4-bit codes of that layout, and of two 8-bit ones (16 | n) */
	int32_t (*dot_u4u4)(const uint8_t *a, const uint8_t *b, size_t n);
	int64_t (*dot_u8u8)(const uint8_t *a, const uint8_t *b, size_t n);

	/*
	 * Codes of B = 1 or 2 bits: n dimensions (a multiple of 64) in n * B / 8 bytes, in groups of 64
	 * dimensions, 8 * B bytes. Field f of byte j of a group (bits B * f and up) is dimension
	 * 8 * B * f + j. Sum of (field) * (signed query byte).
	 */
	int32_t (*dot_u1s8)(const uint8_t *code, const int8_t *query, size_t n);
	int32_t (*dot_u2s8)(const uint8_t *code, const int8_t *query, size_t n);
	void (*dot_u1s8_4)(const uint8_t *const codes[4], const int8_t *query, size_t n,
			   int32_t out[4]);
	void (*dot_u2s8_4)(const uint8_t *const codes[4], const int8_t *query, size_t n,
			   int32_t out[4]);
	/* Sum of products of two such codes, a field c standing for 2c - 1 (1 bit), 2c - 3 (2 bits). */
	int32_t (*dot_c1c1)(const uint8_t *a, const uint8_t *b, size_t n);
	int32_t (*dot_c2c2)(const uint8_t *a, const uint8_t *b, size_t n);

	/* x := H (factors * x), H the Hadamard matrix of +1 and -1; n a power of two */
	void (*hadamard)(float *x, const float *factors, size_t n);
	/* (a, b) := (a + b, a - b) / sqrt(2), for n pairs that do not overlap */
	void (*butterfly)(float *a, float *b, size_t n);

	void (*span)(const float *x, size_t n, struct dist_span *span_out);
	void (*grid_fit)(const float *x, size_t n, const struct dist_grid *grid,
			 struct dist_fit *fit_out);
	/* One byte a number. */
	void (*grid_codes)(const float *x, size_t n, const struct dist_grid *grid,
			   uint8_t *codes_out);
};

/* The best set for this machine. Never NULL; the same on every call. */
const struct dist_kernels *dist_kernels(void);
/* All sets this machine can run, scalar first, for tests and benchmarks; returns their number. */
size_t dist_kernels_all(const struct dist_kernels *sets_out[4]);

#endif
