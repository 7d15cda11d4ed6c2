/*
 * pending.h - what is stored and not in the graph, or in the graph and no longer stored: the work
 * that commits leave behind.
 *
 * States of a slot, and who moves it on:
 *
 *	put -> WAITING -> TAKEN (a worker links it) -> linked: no member any more
 *	WAITING --dies--> released list
 *	TAKEN   --dies--> the worker that links it finds out: tombstone, or released list
 *	linked  --dies--> tombstone list -> repaired list -> (after a sweep) released list
 *	released list -> store_slot_release
 *
 * WAITING and TAKEN slots are the members: every search measures them itself. pending_commit runs
 * inside the commit of the store and neither allocates nor fails: pending_begin made the room.
 *
 * Invariants (pending_check):
 *   1. where[slot] = 1 + position in items for members, 0 for others; items[where - 1] = slot.
 *   2. items[head ... next) are taken or holes, items[next ... tail) are waiting or holes.
 *   3. members = items that are no holes; taken = those before next.
 *   4. Room: tail can move on by `begun` places after a compaction; the two lists of the dead hold
 *      `begun` + `owed` more.
 *
 * Lock: pending->lock, innermost but for nothing; held for a few instructions, or one compaction.
 */
#ifndef VECFS_ANN_PENDING_H
#define VECFS_ANN_PENDING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/graph.h"
#include "store/tables.h"

#define PENDING_CHUNK TABLE_CHUNK
#define PENDING_CHUNKS TABLE_CHUNKS
#define PENDING_RECENT TABLE_CHUNK /* commits that a search may look back on */

struct pending_list {
	uint32_t *slots; /* owned */
	size_t n, cap;
};

struct pending {
	pthread_mutex_t lock;
	pthread_mutex_t grow_lock;   /* before lock: one thread makes room at a time */
	struct graph_states *states; /* not owned; has room for every slot of the graph */
	uint32_t **where;	     /* chunks of positions; guarded by lock */
	uint32_t slots;		     /* slots below this have a position; guarded by lock */
	uint32_t used;		     /* slots from here on were never pushed; guarded by lock */
	uint32_t *items;	     /* guarded by lock, as all below */
	size_t head, next, tail, cap;
	size_t members, taken;
	size_t begun, owed; /* commits under way; deaths of taken slots not yet listed */
	struct pending_list tombstones, repaired, released;
	uint32_t *recent;  /* ring of PENDING_RECENT slots: push p is at p % PENDING_RECENT */
	uint64_t pushes;   /* slots ever pushed */
	uint64_t commits;  /* ever seen */
	uint64_t last_lsn; /* of the newest commit */
	uint64_t live;	   /* vectors stored */
};

int pending_init(struct pending *pending, struct graph_states *states);
void pending_release(struct pending *pending);

/*
 * Makes room for `commits` commits, each of which takes a slot below n + passed + all commits begun,
 * where n is slots, or one more than the last slot pushed when that is more. slots: store_slots() read
 * before the call, so that others may have committed since. passed: slots that a commit may leave out.
 * ERR_NOMEM, ERR_LIMIT. Then pending_end, whatever came of the commits.
 */
int pending_begin(struct pending *pending, uint32_t slots, uint32_t passed, size_t commits);
void pending_end(struct pending *pending, size_t commits);

/*
 * A commit: slot (or STORE_NO_SLOT) was written, old_slot (or STORE_NO_SLOT) died. Between
 * pending_begin and pending_end; within the commit hook of the store.
 */
void pending_commit(struct pending *pending, uint64_t lsn, uint32_t slot, uint32_t old_slot);
/* At opening, instead of a commit: a dead slot to release, or one that the graph still holds. */
void pending_load_dead(struct pending *pending, uint32_t slot, bool in_graph);
/* At opening: a live slot, linked or (pushed as by a commit) not. */
void pending_load_live(struct pending *pending, uint32_t slot, bool in_graph);
/* At opening: an LSN of the store; the newest counts. */
void pending_set_lsn(struct pending *pending, uint64_t lsn);

/* --- for the workers --- */

/* The n oldest WAITING slots, now TAKEN. Each goes to pending_linked or pending_return. */
size_t pending_take(struct pending *pending, uint32_t *slots_out, size_t n);
/* The graph holds the slot now (LINKED). One that died meanwhile becomes a tombstone. */
void pending_linked(struct pending *pending, uint32_t slot);
/* It could not be linked: WAITING again, last in the queue. */
void pending_return(struct pending *pending, uint32_t slot);
/* A tombstone to repair; then pending_repaired, or pending_unrepaired. */
bool pending_take_tombstone(struct pending *pending, uint32_t *slot_out);
void pending_repaired(struct pending *pending, uint32_t slot);
void pending_unrepaired(struct pending *pending, uint32_t slot);
/*
 * All repaired tombstones, as the caller's own (mem_free). When a sweep is done with them
 * pending_swept passes them on to the released list, else pending_unswept takes them back; both
 * cannot fail and leave the list to the caller.
 */
int pending_take_repaired(struct pending *pending, struct pending_list *list_out);
void pending_swept(struct pending *pending, const struct pending_list *list);
void pending_unswept(struct pending *pending, const struct pending_list *list);
/* A slot for store_slot_release; then pending_gone, which takes it back when that failed. */
bool pending_take_released(struct pending *pending, uint32_t *slot_out);
void pending_gone(struct pending *pending, uint32_t slot, bool failed);

struct pending_counts {
	uint64_t members, waiting, tombstones, repaired, released, live;
	uint64_t in_hand; /* dead slots that somebody is repairing, sweeping or giving back */
};
void pending_count(struct pending *pending, struct pending_counts *counts_out);

/* --- for searches --- */

/*
 * One moment: the members, and where the commits stood. A vector committed at or before lsn is
 * among the members or in the graph. Zero it first; pending_view_release frees it.
 */
struct pending_view {
	uint32_t *slots; /* owned */
	size_t n, cap;
	uint64_t lsn, pushes, commits, live;
};
int pending_snapshot(struct pending *pending, struct pending_view *view);
/*
 * The slots pushed since *view was made or last renewed, members still or not, in view->slots; the
 * other fields become those of now. ERR_AGAIN when there were too many to tell.
 */
int pending_renew(struct pending *pending, struct pending_view *view);
/* Commits so far: when it did not change, nothing was stored, deleted or renamed meanwhile. */
uint64_t pending_commits(struct pending *pending);
void pending_view_release(struct pending_view *view);
bool pending_has(struct pending *pending, uint32_t slot);

/* For pending*.c: the position of a slot below slots, and membership; under lock. */
static inline uint32_t *pending_position(const struct pending *pending, uint32_t slot)
{
	return &pending->where[slot / PENDING_CHUNK][slot % PENDING_CHUNK];
}
static inline bool pending_member(const struct pending *pending, uint32_t slot)
{
	return slot < pending->slots && *pending_position(pending, slot) != 0;
}

/* Invariants 1-3. 0 or ERR_DAMAGED. */
int pending_check(struct pending *pending);

#endif
