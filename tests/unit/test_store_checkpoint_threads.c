/*
 * test_store_checkpoint_threads.c - when the threads make a checkpoint and sync the log, who waits for
 * them, and what happens when one cannot be made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_private.h"
#include "tests/support/store_fixture.h"

#define SECOND 1000000000ull

/* Whether it becomes so, while each look at it takes so many ns of the store's time. */
static bool reached_in(struct store_fixture *f, bool (*is)(const struct store_stats *stats),
		       uint64_t ns)
{
	struct timespec pause = {0, 2000000};
	struct store_stats stats;

	for (int i = 0; i < 5000; i++) {
		store_get_stats(f->store, &stats);
		if (is(&stats))
			return true;
		io_mem_advance(f->medium, ns);
		(void)nanosleep(&pause, NULL); /* an early end only makes more rounds */
	}
	return false;
}

static bool reached(struct store_fixture *f, bool (*is)(const struct store_stats *stats))
{
	return reached_in(f, is, 0);
}

static bool has_checkpoint(const struct store_stats *stats)
{
	return stats->checkpoints > 1; /* the first one is the opening's */
}

static bool is_durable(const struct store_stats *stats)
{
	return stats->durable_lsn == 2;
}

static bool is_all_durable(const struct store_stats *stats)
{
	return stats->durable_lsn == stats->last_lsn;
}

static bool has_mark(const struct store_stats *stats)
{
	return stats->last_lsn == 3;
}

static bool is_poisoned(const struct store_stats *stats)
{
	return stats->poisoned;
}

/* Enough log starts a checkpoint; so does a minute after the first commit. */
static void test_background_checkpoint(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .background = true};
	struct store_fixture f;

	(void)state;
	opts.checkpoint_bytes = 4000;
	store_fixture_new(&f, &opts);
	for (uint32_t id = 0; id < 20; id++)
		store_fixture_put(&f, id, 1);
	assert_true(reached(&f, has_checkpoint));
	store_fixture_free(&f);
	opts.checkpoint_bytes = 0;
	store_fixture_new(&f, &opts);
	store_fixture_put(&f, 1, 1);
	io_mem_advance(f.medium, 50 * SECOND);
	assert_true(reached_in(&f, has_checkpoint, SECOND));
	assert_int_equal(store_close(f.store), 0);
	f.store = NULL;
	store_fixture_free(&f);
}

/* A second after a record it is durable; after another, a mark says so. */
static void test_background_sync(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .background = true};
	struct store_fixture_fault fault = {"log_sync", 0, ERR_UNKNOWN, true, false, 0};
	struct store_fixture_fault full = {"log_write", 0, ERR_FULL, true, false, 0};
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, &opts);
	store_fixture_put(&f, 1, 1);
	store_fixture_put(&f, 2, 2);
	io_mem_advance(f.medium, SECOND);
	assert_true(reached(&f, is_durable));
	io_mem_advance(f.medium, SECOND);
	assert_true(reached(&f, has_mark));
	store_fixture_reopen(&f);
	assert_int_equal(f.report.replayed, 3);
	/* a mark that finds no room is none, and that is all */
	store_fixture_put(&f, 3, 1);
	io_mem_advance(f.medium, 2 * SECOND);
	assert_true(reached(&f, is_all_durable));
	io_mem_set_fault(f.medium, store_fixture_fail, &full);
	io_mem_advance(f.medium, 2 * SECOND);
	for (int i = 0; i < 5000 && io_mem_calls(f.medium, "log_write") == 0; i++)
		(void)nanosleep(&(struct timespec){0, 1000000}, NULL);
	io_mem_set_fault(f.medium, NULL, NULL);
	store_fixture_put(&f, 4, 1);
	store_fixture_crash(&f);
	/* a sync that fails there is noticed before anybody asks */
	io_mem_set_fault(f.medium, NULL, NULL);
	store_fixture_open(&f);
	store_fixture_put(&f, 3, 1);
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	io_mem_advance(f.medium, 2 * SECOND);
	assert_true(reached(&f, is_poisoned));
	store_fixture_expect_poisoned(&f);
	store_fixture_free(&f);
}

struct gate {
	atomic_bool shut;
	atomic_uint waiting;
};

static int wait_at_gate(void *ctx, const char *call, uint64_t nth)
{
	struct gate *gate = ctx;
	struct timespec pause = {0, 1000000};

	(void)nth;
	if (strcmp(call, "commit_slot") != 0)
		return 0;
	gate->waiting++;
	while (gate->shut)
		(void)nanosleep(&pause, NULL); /* an early end only makes more rounds */
	return 0;
}

/* Who writes faster than checkpoints go waits, but not for ever, and not when there is room. */
static void test_wait_room(void **state)
{
	struct store_opts opts = {
		.cache_bytes = 1 << 20, .background = true, .checkpoint_bytes = 4000};
	struct gate gate = {.shut = true};
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, &opts);
	store_wait_room(f.store);
	io_mem_set_fault(f.medium, wait_at_gate, &gate);
	for (uint32_t id = 0; id < 20; id++)
		store_fixture_put(&f, id, 1);
	for (int i = 0; i < 5000 && gate.waiting == 0; i++)
		(void)nanosleep(&(struct timespec){0, 1000000}, NULL);
	assert_int_equal(gate.waiting, 1);
	for (uint32_t id = 0; id < 60; id++)
		store_fixture_put(&f, id, 2);
	store_wait_room(f.store); /* comes back although the checkpoint does not end */
	assert_int_equal(gate.waiting, 1);
	gate.shut = false;
	store_wait_room(f.store);
	assert_true(reached(&f, has_checkpoint));
	store_fixture_free(&f);
}

struct full {
	struct gate gate;
	struct store *store;
	atomic_uint asked, held; /* times that room was asked for; with thread_lock held */
};

static int ask_for_room(void *ctx, const char *call, uint64_t nth)
{
	struct full *full = ctx;
	struct timespec until;

	if (strcmp(call, "reserve") != 0)
		return wait_at_gate(&full->gate, call, nth);
	full->asked++;
	if (full->held > 0)
		return ERR_FULL;
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
	until.tv_sec++;
	if (pthread_mutex_timedlock(&full->store->thread_lock, &until) == 0)
		(void)pthread_mutex_unlock(&full->store->thread_lock);
	else
		full->held++;
	return ERR_FULL;
}

/* Who waits for room asks the medium for it now and then: the threads go on meanwhile. */
static void test_wait_on_full_medium(void **state)
{
	struct store_opts opts = {
		.cache_bytes = 1 << 20, .background = true, .checkpoint_bytes = 4000};
	struct full full = {.gate = {.shut = true}};
	struct store_fixture f;

	(void)state;
	store_fixture_new(&f, &opts);
	full.store = f.store;
	io_mem_set_fault(f.medium, ask_for_room, &full);
	for (uint32_t id = 0; id < 20; id++)
		store_fixture_put(&f, id, 1);
	for (int i = 0; i < 5000 && full.gate.waiting == 0; i++)
		(void)nanosleep(&(struct timespec){0, 1000000}, NULL);
	assert_int_equal(full.gate.waiting, 1);
	store_fixture_put(&f, 1, 2);
	(void)pthread_mutex_lock(&f.store->room.lock);
	f.store->room.blocks = 0;
	(void)pthread_mutex_unlock(&f.store->room.lock);
	store_wait_room(f.store);
	assert_true(full.asked > 2);
	assert_int_equal(full.held, 0);
	full.gate.shut = false;
	store_fixture_free(&f);
}

static size_t address_space(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	(void)fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The process may have ever more address space, until it is enough for a store and two threads. */
static void test_no_room_for_threads(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .background = true};
	struct store_fixture f;
	struct rlimit before, limit;
	unsigned no_thread = 0;
	int err = ERR_NOMEM;

	(void)state;
	if (address_space() >> 40 != 0)
		skip(); /* a sanitizer has reserved most of it itself */
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	store_fixture_crash(&f);
	f.opts = opts;
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	limit = before;
	for (size_t more = 0; err == ERR_NOMEM && more < (size_t)1 << 30; more += 2u << 20) {
		limit.rlim_cur = address_space() + more;
		assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
		err = store_fixture_try_open(&f);
		assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
		assert_true(err == 0 || err == ERR_NOMEM);
		no_thread += err != 0 &&
			     strstr(f.msg.text, "threads for checkpoints cannot") != NULL;
	}
	assert_int_equal(err, 0);
	assert_true(no_thread >= 2);
	store_fixture_expect(&f, 1, 1);
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_room_for_threads), /* before the library keeps stacks */
		cmocka_unit_test(test_background_checkpoint),
		cmocka_unit_test(test_background_sync),
		cmocka_unit_test(test_wait_room),
		cmocka_unit_test(test_wait_on_full_medium),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
