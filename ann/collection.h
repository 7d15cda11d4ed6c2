/*
 * collection.h - what the files behind ann.h share: one open collection.
 *
 * Private to ann.c, answer.c, find.c, exact.c and indexer.c.
 *
 * Locks, in the order of taking: first_lock, gate, then what pending.h and index.h name. No lock of
 * these is waited for inside store_read_begin/_end.
 */
#ifndef VECFS_ANN_COLLECTION_H
#define VECFS_ANN_COLLECTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ann/ann.h"
#include "ann/index.h"
#include "ann/pending.h"
#include "ann/workers.h"

#define COLLECTION_SCAN_MAX 5000u

struct find_context;
struct indexer;

struct ann {
	struct store *store;  /* not owned */
	struct ann_opts opts; /* threads filled in, the rest as given */
	enum ann_metric metric;
	bool read_only; /* as opened */
	/* Up to so many linked vectors are scanned; tests set it to 0: then the graph is asked. */
	uint32_t scan_max;
	_Atomic bool ready;	    /* the dimension is known: index is set up, indexer made */
	pthread_mutex_t first_lock; /* held over the put that may decide the dimension */
	/*
	 * Shared by every commit that moves ids between slots; exclusively by a search that was
	 * disturbed too often and now wants one moment to look at.
	 */
	pthread_rwlock_t gate;
	struct pending pending;
	struct index index;
	struct workers *workers;
	struct indexer *indexer; /* NULL until ready */
	pthread_mutex_t contexts_lock;
	struct find_context *contexts;			  /* free ones; guarded by contexts_lock */
	size_t n_contexts;				  /* of them; guarded by contexts_lock */
	_Atomic uint64_t queries, exact_queries, scanned; /* counters */
};

#endif
