/*
 * report.h - the tables of the document of benchmarks.
 */
#ifndef VECFS_TESTS_BENCH_REPORT_H
#define VECFS_TESTS_BENCH_REPORT_H

#include <stddef.h>
#include <stdio.h>

#include "tests/bench/results.h"

struct spread {
	double low, mid, high; /* mid: the median */
	size_t n;
};
/* Sorts values. */
struct spread report_spread(double *values, size_t n);

/* The section of a part that is no curve: build, churn, mount, memory. */
void report_table(FILE *out, const struct results *results, const char *part);

#endif
