/*
 * pending.c - the queue of slots to link, and the lists of dead slots.
 *
 * items is an array with holes: removal leaves STORE_NO_SLOT behind, and when tail meets the end
 * the holes are pressed out. pending_begin keeps the array at least twice as long as its members,
 * so that a compaction is paid for by as many removals.
 */
#include "ann/pending.h"

#include <string.h>

#include "store/err.h"
#include "store/mem.h"
#include "store/store.h"

int pending_init(struct pending *pending, struct graph_states *states)
{
	memset(pending, 0, sizeof(*pending));
	pending->where = mem_zalloc(PENDING_CHUNKS, sizeof(*pending->where));
	pending->recent = mem_zalloc(PENDING_RECENT, sizeof(*pending->recent));
	if (pending->where == NULL || pending->recent == NULL) {
		mem_free(pending->where);
		mem_free(pending->recent);
		memset(pending, 0, sizeof(*pending));
		return ERR_NOMEM;
	}
	pending->states = states;
	pthread_mutex_init(&pending->lock, NULL);
	pthread_mutex_init(&pending->grow_lock, NULL);
	return 0;
}

void pending_release(struct pending *pending)
{
	if (pending->where == NULL)
		return;
	for (size_t i = 0; i < PENDING_CHUNKS && pending->where[i] != NULL; i++)
		mem_free(pending->where[i]);
	mem_free(pending->where);
	mem_free(pending->items);
	mem_free(pending->recent);
	mem_free(pending->tombstones.slots);
	mem_free(pending->repaired.slots);
	mem_free(pending->released.slots);
	pthread_mutex_destroy(&pending->lock);
	pthread_mutex_destroy(&pending->grow_lock);
	memset(pending, 0, sizeof(*pending));
}

/* --- room --- */

/* Caller holds grow_lock, not lock. */
static int grow_positions(struct pending *pending, uint64_t slots)
{
	if (slots > TABLE_SLOTS)
		return ERR_LIMIT;
	while (pending->slots < slots) {
		uint32_t *chunk = mem_zalloc(PENDING_CHUNK, sizeof(*chunk));

		if (chunk == NULL)
			return ERR_NOMEM;
		pthread_mutex_lock(&pending->lock);
		pending->where[pending->slots / PENDING_CHUNK] = chunk;
		pending->slots += pending->slots < UINT32_MAX - PENDING_CHUNK ?
					  PENDING_CHUNK :
					  UINT32_MAX - pending->slots;
		pthread_mutex_unlock(&pending->lock);
	}
	return 0;
}

/* Presses the holes out. Caller holds lock. */
static void compact(struct pending *pending)
{
	size_t at = 0, next = 0;

	for (size_t i = pending->head; i < pending->tail; i++) {
		if (i == pending->next)
			next = at;
		if (pending->items[i] == STORE_NO_SLOT)
			continue;
		pending->items[at] = pending->items[i];
		*pending_position(pending, pending->items[at]) = (uint32_t)(at + 1);
		at++;
	}
	if (pending->next >= pending->tail)
		next = at;
	pending->head = 0;
	pending->next = next;
	pending->tail = at;
}

/* Caller holds grow_lock, not lock. Makes items hold need slots. */
static int grow_items(struct pending *pending, size_t need)
{
	uint32_t *items, *old;
	size_t cap = pending->cap ? pending->cap : 1024;

	if (need <= pending->cap)
		return 0;
	if (need >= UINT32_MAX)
		return ERR_LIMIT;
	while (cap < need)
		cap *= 2;
	items = mem_alloc(cap * sizeof(*items));
	if (items == NULL)
		return ERR_NOMEM;
	pthread_mutex_lock(&pending->lock);
	old = pending->items;
	if (pending->tail > 0)
		memcpy(items, old, pending->tail * sizeof(*items));
	pending->items = items;
	pending->cap = cap;
	pthread_mutex_unlock(&pending->lock);
	mem_free(old);
	return 0;
}

/* Caller holds grow_lock, not lock: so the list may grow by pushes of others only while copied. */
static int grow_list(struct pending *pending, struct pending_list *list, size_t need)
{
	uint32_t *slots, *old;
	size_t cap = list->cap ? list->cap : 256;

	if (need <= list->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	slots = mem_alloc(cap * sizeof(*slots));
	if (slots == NULL)
		return ERR_NOMEM;
	pthread_mutex_lock(&pending->lock);
	old = list->slots;
	if (list->n > 0)
		memcpy(slots, old, list->n * sizeof(*slots));
	list->slots = slots;
	list->cap = cap;
	pthread_mutex_unlock(&pending->lock);
	mem_free(old);
	return 0;
}

int pending_begin(struct pending *pending, uint32_t slots, uint32_t passed, size_t commits)
{
	size_t begun, members, dead;
	int err = 0;

	pthread_mutex_lock(&pending->grow_lock);
	/* Counted first, so that what others push while we grow is within what they reserved. */
	pthread_mutex_lock(&pending->lock);
	pending->begun += commits;
	begun = pending->begun;
	members = pending->members + begun;
	/* The caller counted before: commits that have ended since are no longer among those begun. */
	if (slots < pending->used)
		slots = pending->used;
	/* Every dead slot fits into every list it may come to: no list need grow later. */
	dead = pending->tombstones.n + pending->repaired.n + pending->released.n + pending->owed +
	       begun + 64;
	pthread_mutex_unlock(&pending->lock);

	err = grow_positions(pending, (uint64_t)slots + passed + begun);
	if (err == 0)
		err = grow_items(pending, 2 * members + 64);
	if (err == 0)
		err = grow_list(pending, &pending->tombstones, dead);
	if (err == 0)
		err = grow_list(pending, &pending->repaired, dead);
	if (err == 0)
		err = grow_list(pending, &pending->released, dead);
	pthread_mutex_unlock(&pending->grow_lock);
	if (err != 0)
		pending_end(pending, commits);
	return err;
}

void pending_end(struct pending *pending, size_t commits)
{
	pthread_mutex_lock(&pending->lock);
	pending->begun -= commits;
	pthread_mutex_unlock(&pending->lock);
}

/* --- moves; callers of the static ones hold lock --- */

static void push(struct pending *pending, uint32_t slot)
{
	if (pending->tail == pending->cap)
		compact(pending);
	pending->items[pending->tail] = slot;
	pending->tail++;
	*pending_position(pending, slot) = (uint32_t)pending->tail;
	pending->members++;
	if (slot >= pending->used)
		pending->used = slot + 1;
}

static void take_out(struct pending *pending, uint32_t slot)
{
	size_t at = *pending_position(pending, slot) - 1;

	if (at < pending->next)
		pending->taken--;
	pending->items[at] = STORE_NO_SLOT;
	*pending_position(pending, slot) = 0;
	pending->members--;
	while (pending->head < pending->next && pending->items[pending->head] == STORE_NO_SLOT)
		pending->head++;
	if (pending->members == 0)
		pending->head = pending->next = pending->tail = 0;
}

static void list_add(struct pending_list *list, uint32_t slot)
{
	list->slots[list->n++] = slot;
}

/* What failed comes last, lest it be taken again and again while the others wait. Happens seldom. */
static void list_add_last(struct pending_list *list, uint32_t slot)
{
	memmove(&list->slots[1], list->slots, list->n * sizeof(*list->slots));
	list->slots[0] = slot;
	list->n++;
}

/* A dead slot that was not linked. The graph may still hold what was in it before. */
static void drop(struct pending *pending, uint32_t slot)
{
	bool tombstone = graph_state(pending->states, slot) == GRAPH_TOMBSTONE;

	list_add(tombstone ? &pending->tombstones : &pending->released, slot);
}

static void bury(struct pending *pending, uint32_t slot)
{
	if (pending_member(pending, slot)) {
		bool taken = *pending_position(pending, slot) - 1 < pending->next;

		take_out(pending, slot);
		if (taken)
			pending->owed++;
		else
			drop(pending, slot);
	} else if (graph_state(pending->states, slot) == GRAPH_LINKED) {
		graph_state_set(pending->states, slot, GRAPH_TOMBSTONE);
		list_add(&pending->tombstones, slot);
	}
}

void pending_commit(struct pending *pending, uint64_t lsn, uint32_t slot, uint32_t old_slot)
{
	pthread_mutex_lock(&pending->lock);
	if (lsn > pending->last_lsn)
		pending->last_lsn = lsn;
	pending->commits++;
	if (old_slot != STORE_NO_SLOT) {
		bury(pending, old_slot);
		pending->live--;
	}
	if (slot != STORE_NO_SLOT) {
		push(pending, slot);
		pending->recent[pending->pushes % PENDING_RECENT] = slot;
		pending->pushes++;
		pending->live++;
	}
	pthread_mutex_unlock(&pending->lock);
}

void pending_load_dead(struct pending *pending, uint32_t slot, bool in_graph)
{
	pthread_mutex_lock(&pending->lock);
	list_add(in_graph ? &pending->tombstones : &pending->released, slot);
	pthread_mutex_unlock(&pending->lock);
}

void pending_load_live(struct pending *pending, uint32_t slot, bool in_graph)
{
	pthread_mutex_lock(&pending->lock);
	if (!in_graph)
		push(pending, slot);
	pending->live++;
	pthread_mutex_unlock(&pending->lock);
}

void pending_set_lsn(struct pending *pending, uint64_t lsn)
{
	pthread_mutex_lock(&pending->lock);
	if (lsn > pending->last_lsn)
		pending->last_lsn = lsn;
	pthread_mutex_unlock(&pending->lock);
}

size_t pending_take(struct pending *pending, uint32_t *slots_out, size_t n)
{
	size_t got = 0;

	pthread_mutex_lock(&pending->lock);
	while (got < n && pending->next < pending->tail) {
		uint32_t slot = pending->items[pending->next++];

		if (slot == STORE_NO_SLOT)
			continue;
		slots_out[got++] = slot;
		pending->taken++;
	}
	pthread_mutex_unlock(&pending->lock);
	return got;
}

void pending_linked(struct pending *pending, uint32_t slot)
{
	pthread_mutex_lock(&pending->lock);
	if (pending_member(pending, slot)) {
		take_out(pending, slot);
	} else {
		pending->owed--;
		graph_state_set(pending->states, slot, GRAPH_TOMBSTONE);
		list_add(&pending->tombstones, slot);
	}
	pthread_mutex_unlock(&pending->lock);
}

void pending_return(struct pending *pending, uint32_t slot)
{
	pthread_mutex_lock(&pending->lock);
	if (pending_member(pending, slot)) {
		take_out(pending, slot);
		push(pending, slot);
	} else {
		pending->owed--;
		drop(pending, slot);
	}
	pthread_mutex_unlock(&pending->lock);
}

static bool list_take(struct pending *pending, struct pending_list *list, uint32_t *slot_out)
{
	bool got = false;

	pthread_mutex_lock(&pending->lock);
	if (list->n > 0) {
		*slot_out = list->slots[--list->n];
		pending->owed++;
		got = true;
	}
	pthread_mutex_unlock(&pending->lock);
	return got;
}

bool pending_take_tombstone(struct pending *pending, uint32_t *slot_out)
{
	return list_take(pending, &pending->tombstones, slot_out);
}

void pending_repaired(struct pending *pending, uint32_t slot)
{
	pthread_mutex_lock(&pending->lock);
	pending->owed--;
	list_add(&pending->repaired, slot);
	pthread_mutex_unlock(&pending->lock);
}

void pending_unrepaired(struct pending *pending, uint32_t slot)
{
	pthread_mutex_lock(&pending->lock);
	pending->owed--;
	list_add_last(&pending->tombstones, slot);
	pthread_mutex_unlock(&pending->lock);
}

int pending_take_repaired(struct pending *pending, struct pending_list *list_out)
{
	uint32_t *slots;
	size_t cap;

	memset(list_out, 0, sizeof(*list_out));
	pthread_mutex_lock(&pending->lock);
	cap = pending->repaired.n;
	pthread_mutex_unlock(&pending->lock);
	slots = mem_alloc(cap * sizeof(*slots));
	if (slots == NULL)
		return ERR_NOMEM;
	pthread_mutex_lock(&pending->lock);
	/* Those added since stay for the next sweep. */
	while (list_out->n < cap && pending->repaired.n > 0)
		slots[list_out->n++] = pending->repaired.slots[--pending->repaired.n];
	pending->owed += list_out->n;
	pthread_mutex_unlock(&pending->lock);
	list_out->slots = slots;
	list_out->cap = cap;
	return 0;
}

static void return_all(struct pending *pending, const struct pending_list *list,
		       struct pending_list *to)
{
	pthread_mutex_lock(&pending->lock);
	pending->owed -= list->n;
	for (size_t i = 0; i < list->n; i++)
		list_add(to, list->slots[i]);
	pthread_mutex_unlock(&pending->lock);
}

void pending_swept(struct pending *pending, const struct pending_list *list)
{
	return_all(pending, list, &pending->released);
}

void pending_unswept(struct pending *pending, const struct pending_list *list)
{
	return_all(pending, list, &pending->repaired);
}

bool pending_take_released(struct pending *pending, uint32_t *slot_out)
{
	return list_take(pending, &pending->released, slot_out);
}

void pending_gone(struct pending *pending, uint32_t slot, bool failed)
{
	pthread_mutex_lock(&pending->lock);
	pending->owed--;
	if (failed)
		list_add_last(&pending->released, slot);
	pthread_mutex_unlock(&pending->lock);
}

void pending_count(struct pending *pending, struct pending_counts *counts_out)
{
	pthread_mutex_lock(&pending->lock);
	counts_out->members = pending->members;
	counts_out->waiting = pending->members - pending->taken;
	counts_out->tombstones = pending->tombstones.n;
	counts_out->repaired = pending->repaired.n;
	counts_out->released = pending->released.n;
	counts_out->live = pending->live;
	counts_out->in_hand = pending->owed;
	pthread_mutex_unlock(&pending->lock);
}
