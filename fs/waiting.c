/*
 * waiting.c - who waits for a lock stands in a list, as long as that lasts.
 */
#include "fs/waiting.h"

#include <stdatomic.h>
#include <stddef.h>

/* On the stack of who waits. */
struct waiter {
	struct waiter *next, **back;
	struct call *call;
	bool ends;
};

void waiting_init(struct waiting *waiting)
{
	pthread_mutex_init(&waiting->held, NULL);
	pthread_mutex_init(&waiting->lock, NULL);
	atomic_init(&waiting->n, 0);
	waiting->first = NULL;
}

void waiting_release(struct waiting *waiting)
{
	pthread_mutex_destroy(&waiting->held);
	pthread_mutex_destroy(&waiting->lock);
}

static void enlist(struct waiting *waiting, struct waiter *waiter)
{
	pthread_mutex_lock(&waiting->lock);
	waiter->next = waiting->first;
	waiter->back = &waiting->first;
	if (waiter->next != NULL)
		waiter->next->back = &waiter->next;
	waiting->first = waiter;
	atomic_fetch_add(&waiting->n, 1);
	pthread_mutex_unlock(&waiting->lock);
}

static void strike(struct waiting *waiting, struct waiter *waiter)
{
	pthread_mutex_lock(&waiting->lock);
	*waiter->back = waiter->next;
	if (waiter->next != NULL)
		waiter->next->back = waiter->back;
	atomic_fetch_sub(&waiting->n, 1);
	pthread_mutex_unlock(&waiting->lock);
}

void waiting_lock(struct waiting *waiting, struct call *call, bool ends)
{
	struct waiter waiter = {.call = call, .ends = ends};

	if (pthread_mutex_trylock(&waiting->held) == 0)
		return;
	enlist(waiting, &waiter);
	pthread_mutex_lock(&waiting->held);
	strike(waiting, &waiter);
}

void waiting_unlock(struct waiting *waiting)
{
	pthread_mutex_unlock(&waiting->held);
}

bool waiting_stops(struct waiting *waiting)
{
	bool stops = false;

	if (atomic_load(&waiting->n) == 0)
		return false;
	pthread_mutex_lock(&waiting->lock);
	for (const struct waiter *waiter = waiting->first; waiter != NULL && !stops;
	     waiter = waiter->next) {
		const struct call *call = waiter->call;

		stops = waiter->ends ||
			(call->cancelled != NULL && call->cancelled(call->cancel_ctx));
	}
	pthread_mutex_unlock(&waiting->lock);
	return stops;
}
