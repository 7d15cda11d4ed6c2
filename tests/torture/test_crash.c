/*
 * test_crash.c - a store is driven through all it can do, on a tape; then for every event of the
 * tape the states are made in which a crash may leave the disk, and each must open as a state that
 * the store went through, with nothing lost that was promised. docs/testing.md says what is
 * simulated.
 *
 * Each seed has several workloads. TORTURE=full: more of them, more random states, more of them judged
 * in depth, more recoveries. WORKLOAD and CASE, as a failure names them, repeat one state alone. timeout: 900 s
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crash_run.h"
#include "tests/support/store_session.h"

#define IDS 26u
#define FAULT_STEP 4u /* in a share, one of so many syncs of the first workload fails */

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) >> 16) % n;
}

static void set_up(struct session *s, uint64_t seed)
{
	/* page and value: many values a page; encoded pages; values larger than a page */
	static const struct store_geometry geometries[] = {
		{.page_size = 4096, .value_size = 64},
		{.page_size = 8192, .value_size = 512},
		{.page_size = 4096, .value_size = 128},
		{.page_size = 4096, .value_size = 4500},
	};

	s->geometry = geometries[(seed - 1) % 4];
	s->opts = (struct store_opts){.cache_bytes = 64 << 10};
	s->long_ids = 2;
	s->learn = seed % 5 == 2;
}

/* One random change or care of the store. */
static void step(struct session *s)
{
	uint32_t r = below(100);

	if (r < 42)
		(void)session_put(s, below(IDS));
	else if (r < 52)
		(void)session_delete(s, below(IDS));
	else if (r < 66)
		(void)session_rename(s, below(IDS), below(IDS), below(3));
	else if (r < 70)
		(void)session_set_attr(s, below(IDS));
	else if (r < 76)
		(void)session_set_xattrs(s, below(IDS));
	else if (r < 86)
		(void)session_release(s);
	else if (r < 94)
		session_sync(s);
	else if (r < 95)
		store_drop_caches(s->store);
	else if (r < 97)
		session_checkpoint(s);
	else if (r < 99)
		session_flush(s, below(4) == 0);
	else if (below(3) == 0)
		session_forget_graph(s);
}

static void reopen(struct session *s, bool in_order)
{
	if (in_order)
		session_close(s);
	else
		session_abandon(s);
	session_open(s);
}

/* About 200 operations; closed once in the middle, killed twice. */
static void work(struct session *s, unsigned steps)
{
	session_create(s);
	session_open(s);
	for (unsigned i = 0; i < steps; i++) {
		step(s);
		if (i == steps / 2)
			reopen(s, true);
		else if (i == steps / 4 || i == steps * 3 / 4)
			reopen(s, false);
		if (i % (steps / 4) == steps / 8)
			session_flush(s, false);
	}
	session_close(s);
}

static uint64_t seed_of_run(void)
{
	const char *text = getenv("SEED");

	return text != NULL && strtoull(text, NULL, 10) > 0 ? strtoull(text, NULL, 10) : 1;
}

/* After a failed sync: the process ends, another one opens, in the same boot. */
static void mend(struct session *s)
{
	while (s->broken) {
		session_abandon(s);
		session_open(s);
	}
}

/*
 * A short workload in which one sync fails, and the states from there on. False when the workload
 * has not so many syncs.
 */
static bool run_failed_sync(struct crash_run *run, uint64_t number, uint64_t sync)
{
	struct session s = {.tape = tape_new(number)};
	struct history history;
	char title[64];
	bool failed = false;

	random_state = number;
	history_init(&history);
	s.history = &history;
	set_up(&s, number);
	s.tape->lose_sync = sync;
	tape_start(s.tape);
	session_create(&s);
	session_open(&s);
	mend(&s);
	for (unsigned i = 0, left = 60; i < left; i++) {
		step(&s);
		if (i % 20 == 10)
			session_flush(&s, false);
		if (!s.broken && i % 30 == 15)
			reopen(&s, i % 60 == 15);
		if (s.broken)
			left = i + 15 < left ? i + 15 : left;
		mend(&s);
	}
	session_close(&s);
	tape_stop(s.tape);
	for (size_t i = 0; !failed && i < s.tape->n; i++) {
		run->from = i;
		failed = s.tape->events[i].kind == TAPE_SYNC_LOST;
	}
	(void)snprintf(title, sizeof(title), "WORKLOAD=%llu FAILED_SYNC=%llu",
		       (unsigned long long)number, (unsigned long long)sync);
	run->tape = s.tape;
	run->history = &history;
	run->title = title;
	run->seed = number;
	run->opts = s.opts;
	if (failed)
		crash_run(run);
	history_release(&history);
	failed = s.tape->syncs >= sync;
	tape_free(s.tape);
	return failed;
}

/* One workload and its states. number: of the workload, from 1; they differ in all they do. */
static void run_workload(struct crash_run *run, uint64_t seed, uint64_t number)
{
	struct session s = {.tape = tape_new(number)};
	struct history history;
	char title[64];

	random_state = number;
	history_init(&history);
	s.history = &history;
	set_up(&s, number);
	tape_start(s.tape);
	work(&s, 280);
	tape_stop(s.tape);
	(void)snprintf(title, sizeof(title), "SEED=%llu WORKLOAD=%llu", (unsigned long long)seed,
		       (unsigned long long)number);
	run->tape = s.tape;
	run->history = &history;
	run->title = title;
	run->seed = number;
	run->opts = s.opts;
	crash_run(run);
	printf("%s: %zu events, %llu operations, %u publications; %llu states so far\n", title,
	       s.tape->n, (unsigned long long)s.ops, (unsigned)s.graphs,
	       (unsigned long long)(run->states.checked + run->recovery.checked));
	history_release(&history);
	tape_free(s.tape);
}

int main(void)
{
	const char *mode = getenv("TORTURE"), *workload = getenv("WORKLOAD");
	const char *sync = getenv("FAILED_SYNC");
	bool full = mode != NULL && strcmp(mode, "full") == 0;
	uint64_t seed = seed_of_run(), n = full ? 32 : 4;
	struct crash_run run = {
		.randoms = full ? 16 : 8,
		.share = full ? 1 : 2,
		.deep_share = full ? 2 : 8,
		.recover_share = full ? 10 : 100,
		.inner_share = full ? 1 : 12,
		.only = getenv("CASE"),
	};
	struct crash_run faults = {
		.randoms = full ? 8 : 2, .deep_share = 8, .only = getenv("CASE")};

	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* fails only for a bad mode */
	for (uint64_t i = 1; i <= n && run.states.failed + run.recovery.failed == 0; i++) {
		uint64_t number = (seed - 1) * n + i,
			 last = sync != NULL ? strtoull(sync, NULL, 10) : 0;

		if (workload != NULL && strtoull(workload, NULL, 10) != number)
			continue;
		if (sync == NULL)
			run_workload(&run, seed, number);
		/* the first two make the store */
		for (uint64_t f = last != 0 ? last : 3 + (full ? 0 : seed % FAULT_STEP);
		     (last != 0 ? f == last : full || i == 1) && faults.states.failed == 0 &&
		     run_failed_sync(&faults, number, f);)
			f += full ? 1 : FAULT_STEP;
	}
	printf("checked: %llu crash states, %llu failed\n", (unsigned long long)run.states.checked,
	       (unsigned long long)run.states.failed);
	printf("checked: %llu crash states after a failed sync, %llu failed\n",
	       (unsigned long long)faults.states.checked, (unsigned long long)faults.states.failed);
	printf("checked: %llu crash states of recovery, %llu failed\n",
	       (unsigned long long)run.recovery.checked, (unsigned long long)run.recovery.failed);
	return run.states.failed + run.recovery.failed + faults.states.failed == 0 ? 0 : 1;
}
