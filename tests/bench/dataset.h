/*
 * dataset.h - what the indexes are compared on: vectors, queries, and the true neighbours.
 *
 *   fashion  60,000 images of 784 pixels and 10,000 others as queries (package
 *            dataset-fashion-mnist), Euclidean
 *   glove    words, 100 dimensions, cosine, 10,000 of them held out as queries; from
 *            FOLDER/glove.fvecs and FOLDER/glove-queries.fvecs, which scripts/glove-vectors makes
 *   synth    1,000,000 made vectors of 128 dimensions and 5,000 queries (synth.h), Euclidean
 *
 * Vectors of cosine are scaled to length 1. The truth is computed once and kept in
 * FOLDER/NAME.truth.
 */
#ifndef VECFS_TESTS_BENCH_DATASET_H
#define VECFS_TESTS_BENCH_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/ann.h"

#define DATASET_K 10u

struct dataset {
	const char *name; /* not owned */
	enum ann_metric metric;
	uint32_t dim;
	size_t n, n_queries;
	float *base, *queries;
	uint32_t *truth; /* DATASET_K rows for each query, nearest first */
	float *reach;	 /* of each query: the distance of the last of them */
};

/*
 * most: rows taken of it, 0 for all. 0, or -1 after a line on stderr, 1 when its files are not there
 * (a line says how to get them). Release in all cases.
 */
int dataset_load(const char *name, const char *folder, size_t most, struct dataset *set);
void dataset_release(struct dataset *set);

/*
 * Whether row is one of the DATASET_K nearest of query q, or as near as the last of them. Distances
 * are those of nearest.h. Without the vectors (base is NULL) only the former.
 */
bool dataset_is_near(const struct dataset *set, size_t q, uint32_t row);

#endif
