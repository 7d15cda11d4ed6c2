/*
 * indexer.h - the work behind the writes: linking pending vectors, repairing around deleted ones,
 * sweeping, giving slots back, publishing the graph.
 *
 * Workers link and repair; one more thread, the keeper, sweeps, gives slots back and publishes. All
 * run at low priority. Without them the same steps are driven by hand (indexer_some).
 *
 * The codes are relative to a centre, the mean of the first INDEXER_CENTRE vectors: until there are
 * so many, nothing is linked, and nothing need be, since so few are scanned faster.
 */
#ifndef VECFS_ANN_INDEXER_H
#define VECFS_ANN_INDEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/collection.h"

#ifdef SMALL_TABLES /* store/tables.h */
#define INDEXER_CENTRE 16u
#else
#define INDEXER_CENTRE 256u
#endif

struct indexer;

/* The index of ann is set up. threads: workers to start besides the keeper; 0: none, by hand. */
int indexer_new(struct indexer **indexer_out, struct ann *ann, uint32_t threads);
/* Ends the threads; work in flight is finished first. Publishes nothing. Accepts NULL. */
void indexer_free(struct indexer *indexer);

/* There is, or may be, more work now. Cheap. */
void indexer_wake(struct indexer *indexer);
/*
 * Before a put: when more is pending than is good for searches, links a vector or two on the calling
 * thread, so that writers become as slow as the linking is.
 */
void indexer_press(struct indexer *indexer);

/*
 * Links up to n pending vectors on the calling thread, then does all other work that is due but
 * publishing. *left_out: vectors that remain to be linked. The first error that was met.
 */
int indexer_some(struct indexer *indexer, size_t n, size_t *left_out);

/* Publishes the graph if it changed. One at a time; waits for its turn. */
int indexer_flush(struct indexer *indexer);

/* Vectors that remain to be linked: 0 while there are too few for a graph. */
uint64_t indexer_left(struct ann *ann);

#endif
