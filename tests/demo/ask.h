/*
 * ask.h - the questions of the demo: neighbours of the test images, by every kind of query file.
 */
#ifndef VECFS_TESTS_DEMO_ASK_H
#define VECFS_TESTS_DEMO_ASK_H

#include "tests/demo/idx.h"

struct ask {
	const char *mount;					     /* not owned */
	const struct idx *train, *train_labels, *test, *test_labels; /* not owned */
};

/*
 * Asks, judges against the truth, prints the figures, writes the picture. 0, or -1 after a line on
 * stderr: an answer was refused or wrong, or recall is below the bar.
 */
int ask_all(const struct ask *ask, const char *picture_path);

#endif
