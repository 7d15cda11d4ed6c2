/*
 * pending_view.c - what searches see of the pending set, and its checker.
 *
 * A view is made without an allocation under the lock: room is made first, and when more came
 * meanwhile, again.
 */
#include "ann/pending.h"

#include <string.h>

#include "store/err.h"
#include "store/mem.h"
#include "store/store.h"

/* Caller holds lock. */
static void stamp(const struct pending *pending, struct pending_view *view)
{
	view->lsn = pending->last_lsn;
	view->pushes = pending->pushes;
	view->commits = pending->commits;
	view->live = pending->live;
}

int pending_snapshot(struct pending *pending, struct pending_view *view)
{
	size_t need;

	pthread_mutex_lock(&pending->lock);
	while ((need = pending->members) > view->cap) {
		pthread_mutex_unlock(&pending->lock);
		if (mem_grow((void **)&view->slots, &view->cap, need, sizeof(*view->slots)) != 0)
			return ERR_NOMEM;
		pthread_mutex_lock(&pending->lock);
	}
	view->n = 0;
	for (size_t i = pending->head; i < pending->tail; i++)
		if (pending->items[i] != STORE_NO_SLOT)
			view->slots[view->n++] = pending->items[i];
	stamp(pending, view);
	pthread_mutex_unlock(&pending->lock);
	return 0;
}

int pending_renew(struct pending *pending, struct pending_view *view)
{
	uint64_t from = view->pushes;
	size_t need;
	int err = 0;

	view->n = 0;
	pthread_mutex_lock(&pending->lock);
	while ((need = (size_t)(pending->pushes - from)) > view->cap && need <= PENDING_RECENT) {
		pthread_mutex_unlock(&pending->lock);
		if (mem_grow((void **)&view->slots, &view->cap, need, sizeof(*view->slots)) != 0)
			return ERR_NOMEM;
		pthread_mutex_lock(&pending->lock);
	}
	if (need > PENDING_RECENT) {
		err = ERR_AGAIN;
	} else {
		for (uint64_t push = from; push < pending->pushes; push++)
			view->slots[view->n++] = pending->recent[push % PENDING_RECENT];
		stamp(pending, view);
	}
	pthread_mutex_unlock(&pending->lock);
	return err;
}

uint64_t pending_commits(struct pending *pending)
{
	uint64_t commits;

	pthread_mutex_lock(&pending->lock);
	commits = pending->commits;
	pthread_mutex_unlock(&pending->lock);
	return commits;
}

void pending_view_release(struct pending_view *view)
{
	mem_free(view->slots);
	memset(view, 0, sizeof(*view));
}

bool pending_has(struct pending *pending, uint32_t slot)
{
	bool has;

	pthread_mutex_lock(&pending->lock);
	has = pending_member(pending, slot);
	pthread_mutex_unlock(&pending->lock);
	return has;
}

int pending_check(struct pending *pending)
{
	size_t members = 0, taken = 0, positions = 0;
	bool good = true;

	pthread_mutex_lock(&pending->lock);
	good = pending->head <= pending->next && pending->next <= pending->tail &&
	       pending->tail <= pending->cap;
	for (size_t i = pending->head; good && i < pending->tail; i++) {
		uint32_t slot = pending->items[i];

		if (slot == STORE_NO_SLOT)
			continue;
		members++;
		taken += i < pending->next;
		good = slot < pending->slots && *pending_position(pending, slot) == i + 1;
	}
	for (uint32_t slot = 0; good && slot < pending->slots; slot++)
		positions += *pending_position(pending, slot) != 0;
	good = good && members == pending->members && taken == pending->taken &&
	       positions == members;
	pthread_mutex_unlock(&pending->lock);
	return good ? 0 : ERR_DAMAGED;
}
