/*
 * nearest.h - the true nearest rows, by comparing all, on all cores.
 */
#ifndef VECFS_TESTS_BENCH_NEAREST_H
#define VECFS_TESTS_BENCH_NEAREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nearest_task {
	const float *base, *queries;
	uint32_t dim;
	size_t n, n_queries;
	bool product;	    /* by the dot product, largest first; else by distance */
	const bool *absent; /* n: rows that do not count; NULL: all count */
	uint32_t k;
	const char *label; /* of the progress on stderr */
};

/* Squared distance, or minus the product. */
float nearest_distance(const struct nearest_task *task, const float *query, size_t row);
/* rows_out and distances_out: k for each query. At least k rows count. 0, or -1: memory is short. */
int nearest_find(const struct nearest_task *task, uint32_t *rows_out, float *distances_out);

#endif
