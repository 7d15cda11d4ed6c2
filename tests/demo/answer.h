/*
 * answer.h - what a query file answers in format=text: "id<TAB>distance" a line, in a batch with
 * the query's number and a TAB before it. Here ids are numbers of images.
 */
#ifndef VECFS_TESTS_DEMO_ANSWER_H
#define VECFS_TESTS_DEMO_ANSWER_H

#include <stddef.h>

#include "tests/demo/truth.h"

struct answer {
	size_t count;
	size_t ids[TRUTH_K];
	double distances[TRUTH_K];
};

/* text: terminated. -1 when it is not such lines, or more than TRUTH_K. */
int answer_parse(const char *text, struct answer *answer);
/* The same for a batch of n queries, in their order. */
int answer_parse_batch(const char *text, struct answer *answers, size_t n);

/*
 * How many of the answer's ids are among the true nearest, ties counted fairly: an id as near as
 * the last true one is as good. squares: the TRUTH_K of this query. -1 when the answer is wrong in
 * itself: an id twice, not sorted, or a distance that is not the distance.
 */
int answer_score(const struct answer *answer, const struct idx *train, const struct idx *test,
		 size_t query, const int32_t *squares);

#endif
