/*
 * fault_compare.h - what a store shows, compared with the model of fault_world.h; for fault_world.c.
 *
 * A state is allowed when it is the one that all acknowledged operations give, or one that an operation
 * that failed since would have given; where what is not synced may be lost, also one since the last sync.
 */
#ifndef VECFS_TESTS_FAULT_COMPARE_H
#define VECFS_TESTS_FAULT_COMPARE_H

#include "tests/support/fault_world.h"

#define FAULT_WORDS_MAX (FORMAT_VALUE_MAX / 4)
#define FAULT_GRAPH_PAGES 3u
#define FAULT_BLOB_PAGES 2u

/* The published graph, right after opening: all of one version, or an error. */
int fault_observe_graph(struct fault_world *w, struct fault_graph *graph_out);

bool fault_state_same(const struct fault_state *a, const struct fault_state *b);
/* The versions of all ids; out has 200 bytes. */
void fault_state_describe(const struct fault_state *state, char *out);

/* These note what is wrong. */
bool fault_state_allowed(struct fault_world *w, const struct fault_state *state);
bool fault_graph_allowed(struct fault_world *w, const struct fault_graph *graph);

#endif
