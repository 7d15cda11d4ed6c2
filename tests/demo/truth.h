/*
 * truth.h - the true nearest neighbours, computed here and not asked from the mount.
 */
#ifndef VECFS_TESTS_DEMO_TRUTH_H
#define VECFS_TESTS_DEMO_TRUTH_H

#include <stddef.h>
#include <stdint.h>

#include "tests/demo/idx.h"

#define TRUTH_K 10

/*
 * For each query the squared Euclidean distances of its TRUTH_K nearest items of base, ascending:
 * squares[query * TRUTH_K + rank]. Exact: pixels are whole numbers. Works on all cores.
 * 0, or -1 when memory or threads are short.
 */
int truth_find(const struct idx *base, const struct idx *queries, int32_t *squares);

/* Squared distance between item b of base and item q of queries. */
int32_t truth_square(const struct idx *base, size_t b, const struct idx *queries, size_t q);

#endif
