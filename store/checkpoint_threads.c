/*
 * checkpoint_threads.c - when a checkpoint is due, who waits for one, and the two threads of a store:
 * one makes checkpoints, the other syncs the log, so that its syncs never wait for a checkpoint.
 *
 * A checkpoint is due when enough log or enough changed pages have gathered, when a writer asks for the
 * room that it makes, and a minute after the first commit that no checkpoint has.
 *
 * Invariants:
 *  1. thread_lock is held for the flags and for waiting alone, never over a checkpoint or a sync.
 *  2. A writer waits for a bounded time; what it needs is then refused or granted without a checkpoint.
 *  3. What was asked of the threads before checkpoint_stop_threads may be left undone; closing in order does it.
 */
#include <stdatomic.h>

#include "store/store_private.h"

#define DEFAULT_CHECKPOINT_BYTES (64u << 20)
#define IDLE_NS (60ull * 1000000000)
#define TICK_NS 1000000000ull
#define PAUSE_NS 10000000ull
#define PRESSED_HARD 4u /* times the bounds that start a checkpoint: writers wait */
#define PAUSES_MAX 200u /* a writer never waits longer than so many pauses for a checkpoint */

/* --- when --- */

static uint64_t dirty_bytes(struct store *store)
{
	return atomic_load(&store->pager->groups[PAGER_META].dirty_bytes);
}

static uint64_t checkpoint_bytes(const struct store *store)
{
	return store->opts.checkpoint_bytes != 0 ? store->opts.checkpoint_bytes :
						   DEFAULT_CHECKPOINT_BYTES;
}

/* times: how often the bounds that start a checkpoint are reached. */
static bool pressed(struct store *store, uint64_t times)
{
	return atomic_load(&store->bytes_since) > checkpoint_bytes(store) * times ||
	       dirty_bytes(store) > atomic_load(&store->pager->limit) / 2 * times;
}

void checkpoint_pressure(struct store *store, uint64_t bytes)
{
	atomic_fetch_add(&store->bytes_since, bytes + sizeof(struct format_record) + 8);
	if (!store->threads_run || !pressed(store, 1))
		return;
	(void)pthread_mutex_lock(&store->thread_lock);
	store->wanted = true;
	(void)pthread_cond_signal(&store->wake);
	(void)pthread_mutex_unlock(&store->thread_lock);
}

/* --- who waits --- */

/* A medium that is nearly full asks for a checkpoint by itself; pressure has asked already. */
static bool must_wait(struct store *store, bool put, bool *asks)
{
	*asks = room_is_tight(store, put);
	return *asks || pressed(store, PRESSED_HARD);
}

/* Until a checkpoint has ended, or for a moment. False when the threads end. */
static bool pause_once(struct store *store, bool asks)
{
	bool stopping;

	(void)pthread_mutex_lock(&store->thread_lock);
	stopping = store->stopping;
	if (asks && !stopping) {
		store->asked = true;
		(void)pthread_cond_signal(&store->wake);
	}
	if (!stopping)
		store->io->ops->wait(store->io, &store->progressed, &store->thread_lock, PAUSE_NS);
	(void)pthread_mutex_unlock(&store->thread_lock);
	return !stopping;
}

static void wait_room(struct store *store, bool put)
{
	bool asks;

	if (!store->threads_run)
		return;
	for (unsigned i = 0; i < PAUSES_MAX && must_wait(store, put, &asks); i++)
		if (!pause_once(store, asks))
			return;
}

void store_wait_room(struct store *store)
{
	wait_room(store, true);
}

void store_wait_checkpoint(struct store *store)
{
	wait_room(store, false);
}

/* --- the threads --- */

/* Appends the record that carries durable_lsn to disk. */
static void write_mark(struct store *store)
{
	uint64_t lsn;

	(void)pthread_mutex_lock(&store->commit_lock);
	/* without it only a later torn tail is judged less exactly; errors show at the next commit */
	if (wal_append(store->wal, FORMAT_SYNC, NULL, 0, true, &lsn) == 0)
		store->last_lsn = lsn;
	(void)pthread_mutex_unlock(&store->commit_lock);
}

static void checkpoint_if_due(struct store *store, bool wanted, bool asked, uint64_t *last_commit)
{
	bool due = asked || (wanted && pressed(store, 1));

	if (!atomic_load(&store->commits_since))
		*last_commit = store_now(store);
	else if (store_now(store) - *last_commit > IDLE_NS)
		due = true;
	if (!due || atomic_load(&store->poisoned))
		return;
	(void)store_checkpoint(store); /* counted; a full disk shows in the metrics and in writes */
	*last_commit = store_now(store);
}

/* Syncs what is older than a second. */
static void *keep_log(void *arg)
{
	struct store *store = arg;
	bool stop = false;

	while (!stop) {
		bool mark = false;

		(void)pthread_mutex_lock(&store->thread_lock);
		if (!store->stopping)
			store->io->ops->wait(store->io, &store->stop, &store->thread_lock, TICK_NS);
		stop = store->stopping;
		(void)pthread_mutex_unlock(&store->thread_lock);
		if (wal_tick(store->wal, &mark) != 0)
			store_poison(store);
		else if (mark)
			write_mark(store);
	}
	return NULL;
}

static void *keep_checkpoints(void *arg)
{
	struct store *store = arg;
	uint64_t last_commit = store_now(store);
	bool stop = false;

	while (!stop) {
		bool wanted, asked;

		(void)pthread_mutex_lock(&store->thread_lock);
		if (!store->stopping && !store->wanted && !store->asked)
			store->io->ops->wait(store->io, &store->wake, &store->thread_lock, TICK_NS);
		wanted = store->wanted;
		asked = store->asked;
		store->wanted = store->asked = false;
		stop = store->stopping;
		(void)pthread_mutex_unlock(&store->thread_lock);
		if (!stop)
			checkpoint_if_due(store, wanted, asked, &last_commit);
		(void)pthread_mutex_lock(&store->thread_lock);
		(void)pthread_cond_broadcast(&store->progressed);
		(void)pthread_mutex_unlock(&store->thread_lock);
	}
	return NULL;
}

int checkpoint_start_threads(struct store *store)
{
	if (pthread_create(&store->log_thread, NULL, keep_log, store) != 0)
		return ERR_NOMEM;
	if (pthread_create(&store->checkpoint_thread, NULL, keep_checkpoints, store) != 0) {
		(void)pthread_mutex_lock(&store->thread_lock);
		store->stopping = true;
		(void)pthread_cond_broadcast(&store->stop);
		(void)pthread_mutex_unlock(&store->thread_lock);
		(void)pthread_join(store->log_thread, NULL);
		return ERR_NOMEM;
	}
	store->threads_run = true;
	return 0;
}

void checkpoint_stop_threads(struct store *store)
{
	if (!store->threads_run)
		return;
	(void)pthread_mutex_lock(&store->thread_lock);
	store->stopping = true;
	(void)pthread_cond_broadcast(&store->stop);
	(void)pthread_cond_broadcast(&store->wake);
	(void)pthread_cond_broadcast(&store->progressed);
	(void)pthread_mutex_unlock(&store->thread_lock);
	(void)pthread_join(store->log_thread, NULL);
	(void)pthread_join(store->checkpoint_thread, NULL);
	store->threads_run = false;
}
