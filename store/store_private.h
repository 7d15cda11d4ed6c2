/*
 * store_private.h - the open store, shared by the files that implement store.h.
 *
 *   store.c       opening, closing, simple questions
 *   commit.c      put, delete, rename, set_attr: one record, then memory (with commit_apply.c)
 *   replay.c      the same from records of the log
 *   checkpoint.c  pages out, slot over, log cut
 *   checkpoint_threads.c  when, and who waits for it; the threads
 *   recover.c     what an open finds on disk, and replay
 *   check.c       the same without changing anything, for `vecfs check`
 *   verify.c      the same of a store that is open; damage.c has the words of both
 *   stats.c       counters, and notices
 *   room.c        blocks of the medium, promised before they are needed
 */
#ifndef VECFS_STORE_STORE_PRIVATE_H
#define VECFS_STORE_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "store/epoch.h"
#include "store/head.h"
#include "store/ids.h"
#include "store/pager.h"
#include "store/room.h"
#include "store/slots.h"
#include "store/store.h"
#include "store/wal.h"

struct store {
	struct store_io *io; /* not owned */
	struct store_opts opts;
	struct head head;
	struct epoch *epoch;
	struct pager *pager;
	struct ids ids;
	struct slots slots;
	struct wal *wal; /* NULL while recovering and when read-only */

	pthread_mutex_t commit_lock; /* one commit at a time */
	_Atomic uint64_t next_ino;   /* taken by adding; otherwise under commit_lock */
	uint64_t last_lsn; /* guarded by commit_lock; replay counts here before there is a log */
	_Atomic bool poisoned;
	_Atomic bool commits_since;   /* something was committed after the last checkpoint */
	_Atomic uint64_t bytes_since; /* of log, likewise; an estimate */

	pthread_mutex_t checkpoint_lock; /* one checkpoint or graph publication at a time */
	struct head_slot slot;		 /* newest durable; guarded by checkpoint_lock */
	uint64_t next_generation;	 /* guarded by checkpoint_lock */
	uint64_t segment_after_lsn;	 /* the current segment's records are above; likewise */
	struct pager_extents trunks;	 /* of the newest free list; guarded by checkpoint_lock */
	uint64_t file_blocks;	 /* the head has at least so many; guarded by checkpoint_lock */
	uint64_t graph_lsn_next; /* guarded by checkpoint_lock */
	struct room room;
	_Atomic uint64_t graph_lsn;
	_Atomic uint64_t generation, ckpt_lsn;
	_Atomic uint64_t checkpoints, checkpoint_failures;
	_Atomic uint64_t checkpoint_ns_last, checkpoint_ns_total, checkpoint_pause_ns_max;

	/* background threads: one for the log, so that its syncs never wait for a checkpoint */
	pthread_t log_thread, checkpoint_thread;
	bool threads_run;
	pthread_mutex_t thread_lock;
	pthread_cond_t stop;	   /* with thread_lock: the log thread should end */
	pthread_cond_t wake;	   /* with thread_lock: the checkpoint thread should look */
	pthread_cond_t progressed; /* with thread_lock: a checkpoint ended */
	bool stopping, wanted;	   /* guarded by thread_lock */
	bool asked;		   /* likewise: somebody waits until a checkpoint made room */

	struct store_stats base; /* as of the last store_reset_metrics; guarded by thread_lock */
	_Atomic bool checkpoints_fail;	     /* and that was told */
	_Atomic uint64_t checkpoint_done_ns; /* end of the last good one, by the monotonic clock */
};

/* Nanoseconds of the monotonic clock. */
static inline uint64_t store_now(struct store *store)
{
	return store->io->ops->now_ns(store->io, STORE_CLOCK_MONOTONIC);
}

/* --- store.c --- */

/* For pager->on_thrashing; ctx is the store. */
void store_on_thrashing(void *ctx, double rate);
/* An empty shell, to be filled by recover_load; freed by store_abandon. NULL: out of memory. */
struct store *store_new(struct store_io *io, const struct store_opts *opts);

/* Has all that is read from head and log from now on come from the disk itself, as far as it can be had. */
void store_read_afresh(struct store_io *io);

/* --- replay.c --- */

/* Applies a record of the log to memory, while recovering. */
int commit_replay(struct store *store, const struct wal_record *record);
/* What may be the next record to replay, see wal_scan_opts.expect: a hint, and no more. */
void commit_expect(struct store *store, const struct wal_record *record);

/* --- checkpoint.c --- */

enum checkpoint_kind { CHECKPOINT_NORMAL, CHECKPOINT_CLEAN };
/* graph: publishes the frozen graph too. checkpoint_lock held. */
int checkpoint_run(struct store *store, enum checkpoint_kind kind, bool graph);
/* Nothing on disk can be trusted to be what memory says: no more writes. Any lock may be held. */
void store_poison(struct store *store);
/* Passes a sentence on, if anyone wants to hear it. */
void store_notice(const struct store *store, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --- checkpoint_threads.c --- */

int checkpoint_start_threads(struct store *store);
void checkpoint_stop_threads(struct store *store);
/* After a commit of so many bytes of log: wakes the thread when enough has gathered. */
void checkpoint_pressure(struct store *store, uint64_t bytes);

/* --- recover.c --- */

/* Step one: slots, maps, tables and log into memory; writes nothing. */
int recover_load(struct store *store, struct store_open_report *report, struct wal_report *log,
		 struct err_msg *msg);
/* What the slot in use and the log are worth when the other slot is unusable: half a sentence. */
const char *recover_other_slot(const struct store *store, const struct wal_report *log);
/* Step two: a new log segment and a full checkpoint; from here on the store may be written. */
int recover_take_over(struct store *store, const struct wal_report *log, struct err_msg *msg);

#endif
