/*
 * wal_writer.h - the state of a log that is being written; private to wal.c, wal_append.c, wal_sync.c.
 *
 * Invariants:
 * 1. Record last_lsn ends at offset in segment seq, or seq holds no record. What lies behind is the
 *    remains of failed appends, all of which began at offset; the next record overwrites their
 *    heads.
 * 2. durable_lsn <= last_lsn, and every record up to durable_lsn is on the disk.
 * 3. Records that are not durable lie in seq or, up to old_lsn, in old_seq; nowhere else.
 * 4. bytes is the sum over kept; kept ascends and contains every segment that exists.
 * 5. Once poisoned, nothing is written or synced.
 * 6. After an append without reserve, kept_to >= offset + opts.room.
 * 7. While nobody syncs and the log is not poisoned, one of those who wait, if any, is awake, is about
 *    to be woken by the leader of the last sync, or has its number in group.timed and wakes by itself.
 *
 * Locks: the caller's commit lock orders appends and the switch. wal->lock is held for a few
 * instructions, never during I/O. One sync runs at a time: its leader has set syncing.
 */
#ifndef VECFS_STORE_WAL_WRITER_H
#define VECFS_STORE_WAL_WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/wal.h"

struct wal_writer_segment {
	uint64_t seq;
	uint64_t bytes;
};

/*
 * Who waits for which sync. Syncs are numbered; one who waits sleeps on synced[number % 2] of the
 * sync that serves it, so that the others are left asleep when it ends.
 */
struct wal_group {
	uint64_t number;   /* of the sync that runs, or of the last one */
	uint64_t target;   /* last LSN that it makes durable */
	uint64_t timed;	   /* sync for which somebody looks after the time; 0 = none so far */
	uint64_t until_ns; /* when the next one begins, whoever is missing */
	uint64_t sync_ns;  /* what a sync takes, an exponential average */
	unsigned served;   /* by sync number */
	unsigned waiting;  /* for sync number + 1 */
	unsigned stayed;   /* of waiting: were there when sync number ended */
	unsigned expected; /* served and stayed, as of then: all who took part lately */
	unsigned lean;	   /* so many syncs are not delayed, since that brought too few */
	unsigned lean_next;
};

struct wal {
	struct wal_opts opts;
	uint8_t *buf; /* a record being made; guarded by the commit lock */

	/* Guarded by the commit lock. */
	uint64_t salt;
	uint64_t offset;
	uint64_t last_hash;
	uint64_t kept_to; /* seq has room on the medium up to here; UINT64_MAX: nobody can tell */

	/* Of the checkpoint, which is one at a time. */
	uint64_t next_seq;   /* first number never used */
	uint64_t ready_seq;  /* segment made by wal_prepare, 0 = none */
	uint64_t ready_salt; /* its salt */
	uint64_t ready_kept_to;

	_Atomic uint64_t
		left; /* kept_to - offset, for wal_is_tight; written under the commit lock */
	_Atomic uint64_t largest; /* bytes of a record so far; likewise */
	_Atomic bool refused;	  /* the medium had less room than it was asked for; likewise */
	uint64_t old_hash;	  /* self hash of record old_lsn */

	pthread_mutex_t lock;
	pthread_cond_t synced[2];

	/* Guarded by lock. */
	struct wal_group group;
	uint64_t seq;
	uint64_t last_lsn;
	uint64_t durable_lsn;
	uint64_t old_seq; /* segment before seq if this writer filled it, else 0 */
	uint64_t old_lsn; /* last LSN before seq */
	bool syncing;
	bool poisoned;
	int poison_err;	       /* what those who wait for the failed sync get */
	bool marked;	       /* the last record is a SYNC that covers all before it */
	bool clean;	       /* no append since the last sync began */
	uint64_t dirty_ns;     /* when the first append after that was */
	uint64_t synced_ns;    /* when the last sync ended */
	uint64_t last_tick_ns; /* 0 = never */
	uint64_t bytes, syncs, appends;
	struct wal_writer_segment *kept;
	size_t n_kept, kept_cap;
};

/* Asks the medium to keep room for segment seq up to `to`; *kept_to follows. ERR_FULL. */
int wal_writer_keep(struct wal *wal, uint64_t seq, uint64_t to, uint64_t *kept_to);
/* After kept_to or offset changed. */
void wal_writer_left(struct wal *wal);
/* ERR_READONLY once poisoned. Takes wal->lock. */
int wal_writer_check(struct wal *wal);
/* By the monotonic clock. */
uint64_t wal_writer_now(struct wal *wal);
/* Has all who wait look again. Under wal->lock. */
void wal_writer_wake(struct wal *wal);
/* The first err is what those get who wait for a sync. Takes wal->lock. */
void wal_writer_poison(struct wal *wal, int err);
/* True when the log is as it was after a write failed so; otherwise its state is not known. */
bool wal_writer_survives(int err);

#endif
