/*
 * epoch.h - readers that take no lock: memory they may look at is not reused while they look.
 *
 * Epoch-based reclamation (Fraser, "Practical lock-freedom", 2004, section 5.2.3). A reader notes
 * the current epoch when it enters. Who retires something advances the epoch and keeps the old
 * number; the thing may be reused once every reader inside entered later.
 *
 * Invariants:
 *   1. A reader's note is never larger than the epoch at any moment it is inside.
 *   2. epoch_safe(e) is true only if no reader that entered at or before e is still inside.
 */
#ifndef VECFS_STORE_EPOCH_H
#define VECFS_STORE_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "store/tables.h"

#define EPOCH_THREADS TABLE_THREADS
#define EPOCH_COUNTERS 4u

/* One cache line a thread, so that entering costs no traffic between cores. */
struct epoch_thread {
	_Alignas(64) _Atomic uint64_t inside;	   /* epoch at entry, 0 = outside */
	uint32_t depth;				   /* of nesting; touched by the owner alone */
	_Atomic uint64_t counters[EPOCH_COUNTERS]; /* cheap per-thread counts for the owner's use */
};

struct epoch {
	_Atomic uint64_t now; /* starts at 1 */
	struct epoch_thread threads[EPOCH_THREADS];
};

int epoch_new(struct epoch **epoch_out);
void epoch_free(struct epoch *epoch); /* accepts NULL; nobody may be inside */

/* May be nested. Waits only when more than EPOCH_THREADS threads are alive at once. */
void epoch_enter(struct epoch *epoch);
void epoch_leave(struct epoch *epoch);

/* Advances the epoch; returns the number under which what was just unlinked is retired. */
uint64_t epoch_retire(struct epoch *epoch);
/* The smallest note of all readers inside, UINT64_MAX when there is none. */
uint64_t epoch_oldest(struct epoch *epoch);
static inline bool epoch_safe(struct epoch *epoch, uint64_t retired)
{
	return retired < epoch_oldest(epoch);
}

/* Adds 1 to a counter of the calling thread; sums it over all threads. */
void epoch_count(struct epoch *epoch, unsigned counter);
uint64_t epoch_sum(struct epoch *epoch, unsigned counter);

#endif
