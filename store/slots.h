/*
 * slots.h - the slot table: which slots are live, dead or free, and where values lie.
 *
 * A slot's entry (space SLOT) holds the hash of its id and the LSN of its last change. Its value lies
 * in space VALUE: several to a page, or, when larger than a page, in a run of pages whose length is a
 * power of two.
 *
 * Invariants (slots_check):
 *   1. live and dead count the entries of those states.
 *   2. A slot whose free bit is set, or waiting for its readers, is FREE in the table.
 *
 * A value page all of whose slots are free goes through `emptied` and, if that is still so when its
 * readers have left, gives its place on disk back.
 *
 * Locks: changes under the store's commit lock; entries are changed under ids->lock exclusively and
 * read under it shared. Callers are inside the epoch.
 */
#ifndef VECFS_STORE_SLOTS_H
#define VECFS_STORE_SLOTS_H

#include <stdint.h>

#include "store/pager.h"
#include "store/slot_ids.h"
#include "store/store.h"

struct slots_waiting {
	uint32_t slot;
	uint64_t retired; /* epoch */
};

struct slots_emptied {
	uint32_t first;	  /* of the slots that share pages */
	uint64_t retired; /* epoch */
};

struct slots {
	struct pager *pager; /* not owned */
	struct slot_ids ids;
	_Atomic uint32_t value_size; /* 0: unknown yet */
	_Atomic uint32_t count;	     /* numbers used so far */
	_Atomic uint64_t live, dead;
	uint64_t *free; /* a bit for each slot; guarded by the commit lock, as what follows */
	size_t free_words, cap_free;
	size_t n_free;
	size_t free_from;	       /* words below it have no free slot */
	struct slots_waiting *waiting; /* freed, but a reader may still look; oldest first */
	size_t n_waiting, cap_waiting;
	struct slots_emptied *emptied; /* oldest first */
	size_t n_emptied, cap_emptied;
};

struct slots_entry {
	uint64_t id_hash, lsn;
	enum store_slot_state state;
};

void slots_init(struct slots *slots, struct pager *pager, uint32_t value_size, uint32_t count);
void slots_release(struct slots *slots);
/* Reads the whole table: counts, free list. ERR_DAMAGED. */
int slots_load(struct slots *slots);

/* ERR_ABSENT at or beyond count. */
int slots_get(struct slots *slots, uint32_t slot, struct slots_entry *entry_out);
/* The page of the slot table that has it. */
uint32_t slots_page(const struct slots *slots, uint32_t slot);
/* Pointer to the value for reading. */
int slots_value(struct slots *slots, uint32_t slot, enum store_hint hint, const void **value_out);
/* The value of a slot on its page; that of one with several pages begins with the first. */
const void *slots_value_on(const struct slots *slots, uint32_t slot, const void *first_page);
/* First page of the value, and how many pages it has. */
uint32_t slots_value_page(const struct slots *slots, uint32_t slot, uint32_t *pages_out);

/* --- the changer --- */

/*
 * A free slot, the lowest one, so that values fill pages which are in use or were just written. Still
 * free until slots_set. ERR_LIMIT when there are 2^32-1.
 */
int slots_take(struct slots *slots, uint32_t *slot_out);
/* A slot that was never used: the first that can be. */
int slots_take_new(struct slots *slots, uint32_t *slot_out);
/*
 * Whether a slot cannot be written: its page is known to be unreadable, and holds other live values,
 * so that it cannot begin anew. Such a slot is taken, left alone, and free again at the next opening.
 */
bool slots_lost(struct slots *slots, uint32_t slot);
/* Returns a slot just taken, when the commit did not come about. */
void slots_untake(struct slots *slots, uint32_t slot);
/* A slot that is free and has not been taken is free no more. False: it is not there. */
bool slots_take_this(struct slots *slots, uint32_t slot);
/* Makes the entry changeable; then slots_set cannot fail. */
int slots_reserve(struct slots *slots, uint32_t slot);
/*
 * Copies a value into a slot that is not live; makes its pages changeable. ERR_DAMAGED, ERR_IO: a page
 * cannot be read; when slots_lost says so as well, another slot will do.
 */
int slots_write_value(struct slots *slots, uint32_t slot, const void *value);
/* Under ids->lock exclusively. Keeps the counts; an id that was kept for the slot goes. */
void slots_set(struct slots *slots, uint32_t slot, const struct slots_entry *entry);
/* The slot has become FREE: it is taken again when its readers have left. */
void slots_freed(struct slots *slots, uint32_t slot);

/*
 * Clears up to max value pages that hold nothing any more. *more_out: there may be others to clear
 * now. Not during a flush.
 */
int slots_clear(struct slots *slots, size_t max, bool *more_out);

int slots_check(struct slots *slots);

#endif
