/*
 * picture.h - an SVG that shows query images beside the neighbours the mount returned.
 */
#ifndef VECFS_TESTS_DEMO_PICTURE_H
#define VECFS_TESTS_DEMO_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "tests/demo/idx.h"
#include "tests/demo/truth.h"

struct picture_row {
	size_t query;		    /* a test image */
	size_t neighbours[TRUTH_K]; /* training images, nearest first */
	double distances[TRUTH_K];  /* as the mount printed them */
};

struct picture {
	const struct idx *train, *train_labels, *test, *test_labels; /* not owned */
	const struct picture_row *rows;				     /* not owned */
	size_t n_rows;
};

/* 0, or -1 after a line on stderr. */
int picture_write(const struct picture *picture, const char *path);

#endif
