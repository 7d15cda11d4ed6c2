/*
 * scan.h - exact distances of full vectors: blocks of queries against blocks of vectors, and the
 * one number a user sees.
 *
 * Sums are taken in float32 (dist.h says how exactly) and finished in double. Where float32 would
 * overflow or lose the squares of tiny numbers, the pair is computed in double throughout; so any
 * finite vectors have a distance, and none is NaN.
 */
#ifndef VECFS_ANN_SCAN_H
#define VECFS_ANN_SCAN_H

#include <stddef.h>

#include "ann/ann.h"
#include "ann/dist.h"

#define SCAN_BLOCK 16u /* queries, and vectors, of a block */

/* The squared length of a. */
double scan_norm_sq(const struct dist_kernels *kernels, const float *a, size_t dim);

/*
 * Distances of n_queries queries (one after the other, dim numbers each) to n_vectors vectors, at
 * most SCAN_BLOCK of each, in the form that orders: l2 squared, 1 - cos, -dot. query_norms: the
 * length of each query, needed under cosine alone (else NULL). Under cosine a vector without
 * length has distance 1. out[q * n_vectors + v].
 */
void scan_block(const struct dist_kernels *kernels, enum ann_metric metric, const float *queries,
		const float *query_norms, size_t n_queries, const float *const *vectors,
		size_t n_vectors, size_t dim, float *out);

/*
 * The distance a user sees: l2: Euclidean; cosine: 1 - cos, in [0, 2]; ip: -dot. Symmetric. A
 * vector against itself has 0 under l2 and cosine. a_norm_sq: scan_norm_sq of a, used under cosine
 * alone; negative: computed here. Error, with u = 2^-24 and typically a tenth of these up to 1,000
 * dimensions: l2 8u of the distance and u of the lengths, cosine 16u, but 1e-12 where it is below
 * 1e-3 so that vectors nearly alike have an order, ip 16u |a| |b|.
 */
double ann_exact_distance(const struct dist_kernels *kernels, enum ann_metric metric,
			  const float *a, double a_norm_sq, const float *b, size_t dim);

#endif
