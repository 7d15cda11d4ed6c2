/*
 * wal_sync.c - makes records durable, many with one sync.
 *
 * A sync serves all records that were written before it began; who comes while it runs waits for
 * the next. If that one began at once, those whom a sync has just served would miss it: many
 * writers would fall into two halves, each of which waits for the sync of the other. So the next
 * sync is delayed until all who took part lately wait for it, but not longer than half of what a
 * sync takes. The last who comes leads. One of those who came before looks after the time.
 *
 * A writer alone is never delayed: it is all who took part. Where too few come in time, because they
 * have other things to do before the next record, the delay is left out for a while, twice as long
 * each time.
 * States, invariants and locks: wal_writer.h.
 */
#include "store/wal.h"

#include <pthread.h>

#include "store/wal_writer.h"

#define SECOND_NS 1000000000u
#define DELAY_NS_MAX 5000000u /* a disk that was slow once must not make the next sync late */
#define LEAN_MAX 64u

void wal_writer_wake(struct wal *wal)
{
	(void)pthread_cond_broadcast(&wal->synced[0]);
	(void)pthread_cond_broadcast(&wal->synced[1]);
}

/* --- groups --- */

/* Enters the caller into the group that makes lsn durable, and returns its number. Under lock. */
static uint64_t join(struct wal *wal, uint64_t lsn)
{
	struct wal_group *group = &wal->group;

	if (wal->syncing && lsn <= group->target) {
		group->served++;
		return group->number;
	}
	group->waiting++;
	return group->number + 1;
}

/* Those who wait become those who are served. Under lock, when a sync begins. */
static void begin_group(struct wal *wal)
{
	struct wal_group *group = &wal->group;
	bool delayed = group->timed == ++group->number;
	unsigned came = group->waiting - group->stayed;

	if (delayed && group->waiting < group->expected && 4 * came < 3 * group->served) {
		group->lean_next = group->lean_next == 0 ? 1 : 2 * group->lean_next;
		if (group->lean_next > LEAN_MAX)
			group->lean_next = LEAN_MAX;
		group->lean = group->lean_next;
	} else if (delayed) {
		group->lean_next = 0;
	}
	group->served = group->waiting;
	group->waiting = 0;
	group->target = wal->last_lsn;
}

/* After the sync that took so long: sets until when the next one may be delayed. Under lock. */
static void end_group(struct wal *wal, uint64_t took)
{
	struct wal_group *group = &wal->group;
	uint64_t delay;

	group->sync_ns = group->sync_ns == 0 ? took :
					       group->sync_ns - group->sync_ns / 8 + took / 8;
	delay = group->sync_ns / 2 < DELAY_NS_MAX ? group->sync_ns / 2 : DELAY_NS_MAX;
	if (group->lean > 0) {
		group->lean--;
		delay = 0;
	}
	group->until_ns = wal->synced_ns + delay;
	group->stayed = group->waiting;
	group->expected = group->served + group->waiting;
}

/*
 * Wakes those whom a sync served, and one of those who were waiting for the next when it ended, who
 * leads or looks after the time. Without lock, so that nobody wakes only to wait for it.
 */
static void wake_groups(struct wal *wal, const struct wal_group *ended)
{
	(void)pthread_cond_broadcast(&wal->synced[ended->number % 2]);
	if (ended->stayed > 0)
		(void)pthread_cond_signal(&wal->synced[(ended->number + 1) % 2]);
}

/* --- syncs --- */

/*
 * Syncs all records there are now. Entered and left with wal->lock held; the lock is released
 * meanwhile. Failure poisons the log: after it nobody can know what is on the disk, and a second
 * sync could succeed without having written it.
 */
static int lead_sync(struct wal *wal)
{
	struct store_io *io = wal->opts.io;
	uint64_t target = wal->last_lsn, seq = wal->seq, old_seq = wal->old_seq;
	uint64_t start = wal_writer_now(wal);
	bool in_old = wal->durable_lsn < wal->old_lsn;
	bool in_new = target > wal->old_lsn;
	int err = 0;

	begin_group(wal);
	wal->syncing = true;
	wal->clean = true;
	wal->syncs += (uint64_t)in_old + (uint64_t)in_new;
	(void)pthread_mutex_unlock(&wal->lock);
	if (in_old)
		err = io->ops->log_sync(io, old_seq);
	if (err == 0 && in_new)
		err = io->ops->log_sync(io, seq);
	(void)pthread_mutex_lock(&wal->lock);
	wal->syncing = false;
	wal->synced_ns = wal_writer_now(wal);
	end_group(wal, wal->synced_ns - start);
	if (err == 0) {
		wal->durable_lsn = target;
	} else if (!wal->poisoned) {
		wal->poisoned = true;
		wal->poison_err = err;
	}
	if (err != 0)
		wal_writer_wake(wal);
	return err;
}

/* All who took part lately wait, or it is time. Under lock. */
static bool may_begin(struct wal *wal)
{
	return wal->group.waiting >= wal->group.expected ||
	       wal_writer_now(wal) >= wal->group.until_ns;
}

/*
 * Under lock, which is released while waiting. *led_out: the caller led a sync and has to wake others,
 * even after an error.
 */
static int wait_durable(struct wal *wal, uint64_t lsn, bool *led_out)
{
	struct store_io *io = wal->opts.io;
	uint64_t number, at;
	bool late = false;
	int err = 0;

	*led_out = false;
	if (wal->poisoned)
		return ERR_READONLY;
	if (lsn > wal->last_lsn)
		return ERR_INVALID;
	if (wal->opts.durability == WAL_NONE || wal->durable_lsn >= lsn)
		return 0;
	number = join(wal, lsn);
	while (err == 0 && wal->durable_lsn < lsn) {
		pthread_cond_t *mine = &wal->synced[number % 2];

		if (wal->poisoned) {
			err = wal->poison_err;
		} else if (!wal->syncing && (late || may_begin(wal))) {
			err = lead_sync(wal);
			*led_out = true;
		} else if (!wal->syncing && wal->group.timed != number) {
			wal->group.timed = number;
			at = wal_writer_now(wal);
			if (at < wal->group.until_ns)
				io->ops->wait(io, mine, &wal->lock, wal->group.until_ns - at);
			late = true;
		} else {
			(void)pthread_cond_wait(mine, &wal->lock);
		}
	}
	return err;
}

static int sync_to(struct wal *wal, uint64_t lsn, bool all)
{
	struct wal_group ended;
	bool led;
	int err;

	(void)pthread_mutex_lock(&wal->lock);
	err = wait_durable(wal, all ? wal->last_lsn : lsn, &led);
	ended = wal->group;
	(void)pthread_mutex_unlock(&wal->lock);
	if (led)
		wake_groups(wal, &ended);
	return err;
}

int wal_sync(struct wal *wal, uint64_t lsn)
{
	return sync_to(wal, lsn, false);
}

int wal_sync_all(struct wal *wal)
{
	return sync_to(wal, 0, true);
}

int wal_tick(struct wal *wal, bool *wants_mark_out)
{
	uint64_t at, step = SECOND_NS, lsn = 0;
	bool poisoned;

	*wants_mark_out = false;
	if (wal->opts.durability == WAL_NONE)
		return wal_writer_check(wal);
	at = wal_writer_now(wal);
	(void)pthread_mutex_lock(&wal->lock);
	poisoned = wal->poisoned;
	if (wal->last_tick_ns != 0 && at - wal->last_tick_ns < step)
		step = at - wal->last_tick_ns;
	wal->last_tick_ns = at;
	if (wal->durable_lsn < wal->last_lsn && !wal->clean &&
	    at + step >= wal->dirty_ns + SECOND_NS)
		lsn = wal->last_lsn;
	else if (wal->durable_lsn == wal->last_lsn && wal->appends > 0 && !wal->marked)
		*wants_mark_out = !poisoned && at >= wal->synced_ns + SECOND_NS;
	(void)pthread_mutex_unlock(&wal->lock);
	if (poisoned)
		return ERR_READONLY;
	return lsn != 0 ? wal_sync(wal, lsn) : 0;
}
