/*
 * waiting.h - a lock under which work may last, and those who wait for it.
 *
 * Who works for nobody's request under the lock asks now and then whether somebody waits who has been
 * interrupted, or who will want nothing of the work.
 */
#ifndef VECFS_FS_WAITING_H
#define VECFS_FS_WAITING_H

#include <pthread.h>
#include <stdbool.h>

#include "fs/call.h"

struct waiter;

struct waiting {
	pthread_mutex_t held; /* the lock itself */
	pthread_mutex_t lock; /* a leaf but for what call->cancelled takes */
	_Atomic unsigned n;   /* waiters, so that asking costs little when there are none */
	struct waiter *first; /* guarded by lock */
};

void waiting_init(struct waiting *waiting);
/* Nobody holds it or waits. */
void waiting_release(struct waiting *waiting);

/*
 * Takes the lock. call: of the request; asked by others meanwhile. ends: the work under the lock is
 * in vain, since nobody will look at what comes of it.
 */
void waiting_lock(struct waiting *waiting, struct call *call, bool ends);
void waiting_unlock(struct waiting *waiting);

/* Whether a waiter ends the work, or was interrupted. By the holder of the lock; cheap. */
bool waiting_stops(struct waiting *waiting);

#endif
