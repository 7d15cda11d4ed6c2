/*
 * results.h - a file of results: lines "# key<TAB>value", a line with the names of the columns, and
 * rows, all fields between tabs.
 */
#ifndef VECFS_TESTS_BENCH_RESULTS_H
#define VECFS_TESTS_BENCH_RESULTS_H

#include <stddef.h>

#define RESULTS_COLUMNS 32u

struct results {
	char *text;			/* the file, cut into strings */
	char **keys, **values;		/* n_keys each */
	char *columns[RESULTS_COLUMNS]; /* names */
	char *(*rows)[RESULTS_COLUMNS]; /* fields; "" where a row has fewer */
	size_t n_keys, n_columns, n_rows;
	size_t cap_keys, cap_values, cap_rows;
};

/* 0; 1 when there is no such file, or nothing in it; -1 after a line on stderr. Release after 0. */
int results_read(const char *path, struct results *results);
void results_release(struct results *results);

/* "" when there is none. */
const char *results_value(const struct results *results, const char *key);
const char *results_field(const struct results *results, size_t row, const char *column);
double results_number(const struct results *results, size_t row, const char *column);

#endif
