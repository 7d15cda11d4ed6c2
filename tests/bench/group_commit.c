/*
 * group_commit.c - put and sync by 8 threads against 1, on the disk as it is and with slower syncs, as
 * of disks that a sync really waits for; beside them the rate of 8 threads that never sync, which no
 * group commit can exceed.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "tests/bench/durability.h"

#define WRITERS 8u

/* The disk as it is, but each sync of the log takes so much longer. */
static uint64_t sync_delay_ns;
static const struct store_io_ops *real_ops;
static double sync_seconds; /* in syncs so far; the store makes one at a time */

static int delayed_log_sync(struct store_io *io, uint64_t seq)
{
	struct timespec delay = {0, (long)sync_delay_ns};
	double start = bench_now();
	int err;

	if (sync_delay_ns != 0)
		(void)nanosleep(&delay, NULL); /* an early end makes one sync faster */
	err = real_ops->log_sync(io, seq);
	sync_seconds += bench_now() - start;
	return err;
}

/* Puts the delay between the store and its disk. */
static void delay_syncs(struct store_io *io)
{
	static struct store_io_ops ops;

	real_ops = io->ops;
	ops = *real_ops;
	ops.log_sync = delayed_log_sync;
	io->ops = &ops;
}

struct syncer {
	struct store *store;
	_Atomic uint32_t *next;
	double until;
	uint32_t done;
	bool sync;
};

static void *sync_on(void *arg)
{
	struct syncer *s = arg;

	while (bench_now() < s->until) {
		bench_store_put(s->store, atomic_fetch_add(s->next, 1), 128);
		if (s->sync)
			bench_must(store_sync(s->store), "sync", NULL);
		s->done++;
	}
	return NULL;
}

struct sync_rate {
	double seconds;
	uint64_t vectors, syncs;
	double busy, syncing; /* s of processor, s in syncs */
};

/* Adds what so many threads do in a moment. */
static void measure_syncs(struct store *store, unsigned threads, bool sync, _Atomic uint32_t *next,
			  struct sync_rate *sum)
{
	struct syncer syncers[WRITERS];
	struct store_stats before, after;
	pthread_t ids[WRITERS];
	double start = bench_now(), busy = bench_cpu(), syncing = sync_seconds;

	store_get_stats(store, &before);
	for (unsigned t = 0; t < threads; t++) {
		syncers[t] = (struct syncer){store, next, start + 0.15, 0, sync};
		(void)pthread_create(&ids[t], NULL, sync_on, &syncers[t]);
	}
	for (unsigned t = 0; t < threads; t++) {
		(void)pthread_join(ids[t], NULL);
		sum->vectors += syncers[t].done;
	}
	store_get_stats(store, &after);
	sum->syncs += after.wal_syncs - before.wal_syncs;
	sum->seconds += bench_now() - start;
	sum->busy += bench_cpu() - busy;
	sum->syncing += sync_seconds - syncing;
}

struct close_figures {
	double ratios[ROUNDS_MAX], groups[ROUNDS_MAX], ceilings[ROUNDS_MAX];
};

/*
 * One writer, eight, and eight that never sync, a moment of each in turn, so that what else the
 * machine does meets all alike.
 */
static void close_round(struct store *store, _Atomic uint32_t *next, unsigned r,
			struct close_figures *figures)
{
	struct sync_rate one = {0}, many = {0}, unsynced = {0};
	double rate, rate_many, rate_unsynced;

	for (unsigned i = 0; i < 8; i++) {
		measure_syncs(store, 1, true, next, &one);
		measure_syncs(store, WRITERS, true, next, &many);
		if (i > 0)
			continue;
		measure_syncs(store, WRITERS, false, next, &unsynced);
		bench_must(store_sync(store), "sync", NULL); /* else the next one pays for it */
	}
	rate = (double)one.vectors / one.seconds;
	rate_many = (double)many.vectors / many.seconds;
	rate_unsynced = (double)unsynced.vectors / unsynced.seconds;
	figures->ratios[r] = rate_many / rate;
	figures->groups[r] = (double)many.vectors / (double)many.syncs;
	figures->ceilings[r] = rate_unsynced / rate;
	printf("close, syncs +%.1f ms: 1 writer %.0f/s (syncs of %.0f us, %.0f us of processor each), "
	       "%u writers %.0f/s (%.0f us, %.0f us, %.2f to a sync), ratio %.2f; without syncs "
	       "%.0f/s\n",
	       (double)sync_delay_ns * 1e-6, rate, one.syncing * 1e6 / (double)one.syncs,
	       one.busy * 1e6 / (double)one.vectors, WRITERS, rate_many,
	       many.syncing * 1e6 / (double)many.syncs, many.busy * 1e6 / (double)many.vectors,
	       figures->groups[r], figures->ratios[r], rate_unsynced);
	fflush(stdout);
}

void bench_close(void)
{
	static const uint64_t delays[] = {0, 500000, 2000000};
	enum { DELAYS = sizeof(delays) / sizeof(*delays) };
	/* no checkpoint comes in between */
	struct store_opts opts = {.cache_bytes = 8ull << 30,
				  .checkpoint_bytes = 16ull << 30,
				  .durability = WAL_CLOSE,
				  .background = true};
	static struct close_figures figures[DELAYS];
	_Atomic uint32_t next = 0;
	struct bench b;

	bench_remove();
	bench_open(&b, 128 * 4, &opts);
	delay_syncs(b.io);
	for (unsigned r = 0; r < bench_rounds; r++) {
		for (unsigned d = 0; d < DELAYS; d++) {
			sync_delay_ns = delays[d];
			close_round(b.store, &next, r, &figures[d]);
		}
	}
	for (unsigned d = 0; d < DELAYS; d++) {
		printf("close, syncs +%.1f ms, ", (double)delays[d] * 1e-6);
		bench_show_spread("8 writers against 1", figures[d].ratios, bench_rounds);
		bench_show_spread("    vectors to a sync", figures[d].groups, bench_rounds);
		bench_show_spread("    8 writers that never sync against 1 that does",
				  figures[d].ceilings, bench_rounds);
	}
	bench_shut(&b, true);
}
