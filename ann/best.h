/*
 * best.h - the nearest of a stream of slots, all ties of the last one included.
 *
 * Invariants: every slot added whose distance is at most that of the `want` nearest is in hits;
 * bound is never below that distance.
 */
#ifndef VECFS_ANN_BEST_H
#define VECFS_ANN_BEST_H

#include <stddef.h>

#include "ann/graph.h"
#include "store/err.h"

struct best {
	struct graph_hit *hits; /* owned; in no order */
	size_t n, cap, want;
	float bound; /* what is farther is of no use */
};

/* Empties it. want >= 1. A zeroed struct may be started. ERR_NOMEM; allocates only to grow. */
int best_start(struct best *best, size_t want);
void best_release(struct best *best);
/* Drops what is of no use; makes room for one more. ERR_NOMEM. */
int best_press(struct best *best);

static inline int best_add(struct best *best, float distance, uint32_t slot)
{
	if (distance > best->bound)
		return 0;
	if (best->n == best->cap) {
		int err = best_press(best);

		if (err != 0)
			return err;
	}
	best->hits[best->n++] = (struct graph_hit){distance, slot};
	return 0;
}

/* Drops all but the want nearest and the ties of the last of them. */
void best_finish(struct best *best);

#endif
