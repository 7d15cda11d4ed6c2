/*
 * rotate.h - a random rotation of a vector, so that its coordinates look alike whatever the data.
 *
 * A walk in the manner of Kac's, of fast Hadamard transforms with random signs (Ailon and Chazelle,
 * 2009) on windows as long as the largest power of two that fits: on the first coordinates, on the
 * last ones, and so on, with a rotation by 45 degrees between the two halves of the vector after
 * each but the last. Every step is orthonormal, so lengths and angles stay, for any dimension and
 * without padding. Each costs dim * log2(dim) additions.
 */
#ifndef VECFS_ANN_ROTATE_H
#define VECFS_ANN_ROTATE_H

#include <stdint.h>

#include "ann/dist.h"

/* Immutable after rotate_init; shared by all threads. */
struct rotate {
	const struct dist_kernels *kernels;
	uint32_t dim;
	uint32_t window; /* the largest power of two up to dim */
	uint32_t steps;
	float *factors; /* owned: window of them a step, plus or minus 1 / sqrt(window) */
};

/*
 * dim: at least 1. The same seed gives the same rotation, to the bit and with every set of kernels.
 * ERR_NOMEM.
 */
int rotate_init(struct rotate *rotate, uint32_t dim, uint64_t seed,
		const struct dist_kernels *kernels);
void rotate_release(struct rotate *rotate);
/* Turns dim numbers in place. */
void rotate_apply(const struct rotate *rotate, float *vector);

#endif
