/*
 * dist_sets.h - the sets of kernels, for dist.c which chooses among them, and what they share.
 * Private to dist*.c. A set other than dist_scalar exists only in programs for its processor.
 */
#ifndef VECFS_ANN_DIST_SETS_H
#define VECFS_ANN_DIST_SETS_H

#include "ann/dist.h"

#define DIST_GROUP 128u		       /* dimensions in a group of 4-bit codes */
#define DIST_SQRT_HALF 0.707106781187f /* what butterfly multiplies with */

extern const struct dist_kernels dist_scalar;
extern const struct dist_kernels dist_avx2;
extern const struct dist_kernels dist_avx512;
extern const struct dist_kernels dist_neon;

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
