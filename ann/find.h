/*
 * find.h - the neighbours of a few queries: graph, pending vectors, exact ranking, ids.
 *
 * What an answer promises, though vectors come, go and move between slots while it is made:
 *   1. A vector whose commit returned before the search began, and that stays, is a candidate.
 *   2. No id stands twice, and none with the distance of a version that was replaced before the
 *      search began.
 *   3. Fewer than k hits only when fewer vectors qualify.
 */
#ifndef VECFS_ANN_FIND_H
#define VECFS_ANN_FIND_H

#include <stddef.h>

#include "ann/ann.h"
#include "ann/collection.h"
#include "ann/scan.h"

#define FIND_GROUP SCAN_BLOCK /* queries of a group, at most */

/* Hits of one query, nearest first, with offsets into its own ids. */
struct find_result {
	struct ann_hit *hits; /* owned */
	size_t n;
	char *ids; /* owned */
	size_t ids_len;
};
void find_result_release(struct find_result *result);

/*
 * Answers n queries (1 ... FIND_GROUP, dim numbers each) on the calling thread. spec was checked;
 * results: n of them, zeroed. ERR_DAMAGED, ERR_IO, ERR_NOMEM, ERR_INTERRUPTED, with a sentence where
 * there is one.
 */
int find_group(struct ann *ann, const float *queries, size_t n, const struct ann_query *spec,
	       struct find_result *results, struct err_msg *msg);

#endif
