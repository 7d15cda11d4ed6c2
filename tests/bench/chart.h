/*
 * chart.h - a picture of curves of recall and speed, as SVG. Readable on light and on dark pages.
 */
#ifndef VECFS_TESTS_BENCH_CHART_H
#define VECFS_TESTS_BENCH_CHART_H

#include <stdbool.h>
#include <stddef.h>

struct chart_point {
	double recall;	       /* below 1 */
	double low, mid, high; /* queries a second; lowest, median, highest round */
};

struct chart_curve {
	const char *label;
	unsigned colour; /* 0 ... 3 */
	bool dashed;
	const struct chart_point *points; /* in the order of recall */
	size_t n;
};

struct chart {
	const char *title, *note; /* two lines above the picture */
	const struct chart_curve *curves;
	size_t n;
};

/* 0, or -1 after a line on stderr. */
int chart_write(const struct chart *chart, const char *path);

#endif
