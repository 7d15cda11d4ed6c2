/*
 * report.h - the tables of the document of benchmarks.
 */
#ifndef VECFS_TESTS_BENCH_REPORT_H
#define VECFS_TESTS_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tests/bench/results.h"

struct spread {
	double low, mid, high; /* mid: the median */
	size_t n;
};
/* Sorts values. */
struct spread report_spread(double *values, size_t n);

/*
 * Queries a second of vecfs at a recall with one thread, divided by those of hnswlib in the same
 * rounds; threads: those with two threads divided by those with one.
 */
struct spread report_speed_ratio(const char *from, const char *set, double target, bool threads);

/* What is to be reached beside what was, from the results in the folder. */
void report_goals(FILE *out, const char *from);

/* The section of a part that is no curve: build, churn, mount, memory. */
void report_table(FILE *out, const struct results *results, const char *part);

#endif
