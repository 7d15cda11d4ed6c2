/*
 * room.h - room on the medium is promised before it is needed, so that a full disk stops writes and
 * nothing else: what was accepted can always be checkpointed, and a deletion is always possible.
 *
 * Between two checkpoints the room is a number of blocks: free ones of the head in runs of a page,
 * and those that the medium keeps behind its end (store_io.reserve). Against it stand the blocks
 * taken since, the pages changed and not yet written, their map pages twice, the free list, and a
 * rest that only deletions may use.
 *
 * Invariant: a put is accepted only while the need, with the rest, is within the room. So the next
 * checkpoint finds its blocks, and gives back those that the one before the last replaced.
 *
 * Where the medium can promise nothing (ERR_UNSUPPORTED) there are no bounds, and a full disk shows
 * when a checkpoint fails; the log has everything then.
 */
#ifndef VECFS_STORE_ROOM_H
#define VECFS_STORE_ROOM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct store;

struct room {
	pthread_mutex_t lock;	/* held while the medium is asked to reserve; alloc_lock within */
	bool bounded;		/* the medium keeps promises; guarded by lock */
	uint64_t blocks;	/* as of the last room_renew; guarded by lock */
	uint64_t promised_end;	/* blocks of the head that are promised; guarded by lock */
	uint64_t extents;	/* free ones, as of then; guarded by lock */
	uint64_t rest_pages;	/* for deletions; constant after room_start */
	_Atomic uint64_t aging; /* blocks that the next checkpoint frees */
};

enum room_use {
	ROOM_PUT,    /* leaves the whole rest */
	ROOM_CHANGE, /* rename, attributes: leaves half of it */
	ROOM_GRAPH,  /* derived data: leaves the whole rest */
};

void room_init(struct room *room);
void room_release(struct room *room);

/* Bytes that each segment of the log keeps behind its end for deletions, on a medium of this size. */
uint64_t room_log_bytes(uint64_t medium_bytes);

/* Before the first commit: asks the medium for what the store needs at least. Cannot fail: a medium
 * without room is found out by the first put. checkpoint_lock held. */
void room_start(struct store *store);
/* After each checkpoint, also after a failed one: counts what is free now. checkpoint_lock held. */
void room_renew(struct store *store);
/* Cuts the head behind so many blocks. What was promised there is promised anew. checkpoint_lock
 * held. */
void room_cut(struct store *store, uint64_t blocks, uint64_t had_blocks);
/*
 * May so many more pages be changed? ERR_FULL. For puts and changes commit_lock is held, for the
 * graph checkpoint_lock.
 */
int room_take(struct store *store, enum room_use use, uint64_t pages);
/*
 * Pages that a put of a value may change at most. index: those of the id index as ids_reserve_pages
 * says; 0: as usual. commit_lock held.
 */
uint64_t room_of_put(struct store *store, uint64_t index);
/*
 * Should a put, or else a deletion or change, wait for a checkpoint first? True when a put would be
 * refused, or half of the rest is used up, and a checkpoint would give blocks back. Any thread.
 */
bool room_is_tight(struct store *store, bool put);

#endif
