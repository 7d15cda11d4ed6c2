/*
 * test_store_wal_sync.c - who is served by which sync: groups, delays, and their end.
 *
 * The disk of these tests holds a sync back, and its clock stands still while nobody says otherwise,
 * so that each group is known beforehand.
 */
#include "store/wal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "store/wal_writer.h"
#include "tests/support/wal_model.h"

#define SEED 20250211u
#define SYNC_NS 1000000u /* what a sync takes by the clock of the medium */
#define SYNCS_MAX 512u
#define LIMIT_MS 10000u

/* One test at a time. The disk finds it here. */
static struct stage {
	struct wal_model model;
	const struct store_io_ops *real;
	pthread_mutex_t commit;
	uint64_t sync_ns;
	unsigned hold_until;	   /* a sync ends when so many wait for the next one */
	unsigned hold_below;	   /* if its number, from 0, is below */
	atomic_uint pass_with;	   /* a delay ends when so many wait; 0: when the sync begins */
	atomic_uint syncs, delays; /* begun; ended by time */
	atomic_ullong delay_ns;	   /* of the last one that did */
	unsigned served[SYNCS_MAX];
	atomic_uint errors; /* of writers */
	atomic_uint ended;  /* writers */
	atomic_bool hung;   /* something did not come about in time */
} stage;

static void pause_ms(void)
{
	struct timespec pause = {0, 1000000};

	(void)nanosleep(&pause, NULL); /* who calls looks again */
}

static struct wal_group group_now(void)
{
	struct wal_group group;

	(void)pthread_mutex_lock(&stage.model.wal->lock);
	group = stage.model.wal->group;
	(void)pthread_mutex_unlock(&stage.model.wal->lock);
	return group;
}

static void until_waiting(unsigned n)
{
	for (unsigned ms = 0; group_now().waiting < n; ms++) {
		if (ms > LIMIT_MS) {
			stage.hung = true;
			return;
		}
		pause_ms();
	}
}

static void until_at_least(atomic_uint *counter, unsigned n)
{
	for (unsigned ms = 0; *counter < n; ms++) {
		if (ms > LIMIT_MS) {
			stage.hung = true;
			return;
		}
		pause_ms();
	}
}

static int staged_log_sync(struct store_io *io, uint64_t seq)
{
	unsigned n = stage.syncs++;

	if (n < stage.hold_below)
		until_waiting(stage.hold_until);
	if (n < SYNCS_MAX)
		stage.served[n] = group_now().served;
	io_mem_advance(stage.model.medium, stage.sync_ns);
	return stage.real->log_sync(io, seq);
}

/* Under wal->lock, as every wait. */
static void staged_wait(struct store_io *io, pthread_cond_t *cond, pthread_mutex_t *mutex,
			uint64_t ns)
{
	struct wal *wal = stage.model.wal;
	uint64_t number = wal->group.number;

	(void)io;
	(void)cond;
	for (unsigned ms = 0; wal->group.number == number && !wal->poisoned; ms++) {
		if (ms > LIMIT_MS)
			stage.hung = true;
		if (stage.hung)
			return;
		if (stage.pass_with != 0 && wal->group.waiting >= stage.pass_with) {
			io_mem_advance(stage.model.medium, ns);
			stage.delay_ns = ns;
			stage.delays++;
			return;
		}
		(void)pthread_mutex_unlock(mutex);
		pause_ms();
		(void)pthread_mutex_lock(mutex);
	}
}

static void begin(uint64_t sync_ns)
{
	static struct store_io_ops ops;

	memset(&stage, 0, sizeof(stage));
	(void)pthread_mutex_init(&stage.commit, NULL);
	stage.sync_ns = sync_ns;
	wal_model_init(&stage.model, SEED, WAL_CLOSE);
	stage.real = stage.model.io->ops;
	ops = *stage.real;
	ops.log_sync = staged_log_sync;
	ops.wait = staged_wait;
	stage.model.io->ops = &ops;
}

static void end(void)
{
	assert_false(stage.hung);
	assert_int_equal(stage.errors, 0);
	wal_model_release(&stage.model);
	(void)pthread_mutex_destroy(&stage.commit);
}

static int append_and_sync(void)
{
	uint64_t lsn = 0;
	int err;

	(void)pthread_mutex_lock(&stage.commit);
	err = wal_append(stage.model.wal, FORMAT_PUT, NULL, 0, false, &lsn);
	(void)pthread_mutex_unlock(&stage.commit);
	return err != 0 ? err : wal_sync(stage.model.wal, lsn);
}

struct writer {
	pthread_t id;
	unsigned times;
	unsigned every; /* for the nth time, from 0, when place + n * every syncs have begun */
	unsigned place;
	int err;
};

static void *write_on(void *arg)
{
	struct writer *writer = arg;

	for (unsigned i = 0; writer->err == 0 && i < writer->times; i++) {
		until_at_least(&stage.syncs, writer->place + i * writer->every);
		writer->err = append_and_sync();
	}
	if (writer->err != 0)
		stage.errors++;
	stage.ended++;
	return NULL;
}

static void start(struct writer *writer, unsigned times)
{
	writer->times = times;
	assert_int_equal(pthread_create(&writer->id, NULL, write_on, writer), 0);
}

/*
 * The first of n writers syncs alone, and the others come meanwhile. From then on all of them take
 * part. The first writes `more` more often than the others.
 */
static void start_crowd(struct writer *writers, unsigned n, unsigned times, int more)
{
	stage.hold_until = n - 1;
	stage.hold_below = 1;
	start(&writers[0], (unsigned)((int)times + more));
	until_at_least(&stage.syncs, 1);
	for (unsigned i = 1; i < n; i++)
		start(&writers[i], times);
}

static void join_crowd(struct writer *writers, unsigned n)
{
	until_at_least(&stage.ended, n);
	assert_int_equal(stage.ended, n); /* else they never will */
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(writers[i].id, NULL), 0);
}

/* A writer alone never waits for others. */
static void test_alone(void **state)
{
	uint64_t before, after;

	(void)state;
	begin(SYNC_NS);
	stage.pass_with = 1;
	before = wal_writer_now(stage.model.wal);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(append_and_sync(), 0);
	after = wal_writer_now(stage.model.wal);
	assert_int_equal(stage.syncs, 100);
	assert_int_equal(stage.delays, 0);
	assert_int_equal(after - before, 100 * SYNC_NS);
	end();
}

/* All who take part are served by each sync. */
static void test_all_by_one_sync(void **state)
{
	enum { WRITERS = 8, TIMES = 20 };
	struct writer writers[WRITERS] = {0};

	(void)state;
	begin(SYNC_NS);
	start_crowd(writers, WRITERS, TIMES, 1);
	join_crowd(writers, WRITERS);
	assert_int_equal(stage.syncs, TIMES + 1);
	assert_int_equal(stage.served[0], 1);
	for (unsigned i = 1; i <= TIMES; i++)
		assert_int_equal(stage.served[i], WRITERS);
	assert_int_equal(stage.delays, 0);
	assert_int_equal(wal_model_stats(&stage.model).durable_lsn, WRITERS * TIMES + 1);
	end();
}

/* One goes away: the others wait for it once, for half a sync, 5 ms at most. */
static void check_leaving(uint64_t sync_ns, uint64_t delay_ns)
{
	enum { WRITERS = 4, TIMES = 12, FEWER = 5 };
	struct writer writers[WRITERS] = {0};

	begin(sync_ns);
	start_crowd(writers, WRITERS, TIMES, -FEWER);
	until_at_least(&stage.ended, 1);
	stage.pass_with = WRITERS - 1;
	join_crowd(writers, WRITERS);
	assert_int_equal(stage.syncs, TIMES + 1);
	for (unsigned i = 1; i <= TIMES; i++)
		assert_int_equal(stage.served[i], i < TIMES - FEWER ? WRITERS : WRITERS - 1);
	assert_int_equal(stage.delays, 1);
	assert_int_equal(stage.delay_ns, delay_ns);
	end();
}

static void test_leaving(void **state)
{
	(void)state;
	check_leaving(SYNC_NS, SYNC_NS / 2);
	check_leaving(1000 * (uint64_t)SYNC_NS, 5000000);
}

/*
 * Two of whom each comes back while the other's sync runs, too late to share one: the delays get
 * rare. They come before sync 1, 3, 6, 11, 20, 37, 70 and 135.
 */
static void test_delay_in_vain(void **state)
{
	enum { TIMES = 100 };
	struct writer writers[2] = {{.every = 2}, {.every = 2, .place = 1}};

	(void)state;
	begin(SYNC_NS);
	stage.pass_with = 1;
	stage.hold_below = 2 * TIMES - 1;
	stage.hold_until = 1;
	start(&writers[0], TIMES);
	start(&writers[1], TIMES);
	join_crowd(writers, 2);
	assert_int_equal(stage.syncs, 2 * TIMES);
	assert_int_equal(stage.delays, 8);
	end();
}

/* Whoever waits is told when the log is poisoned, also when no sync runs. */
static void test_poison_while_delayed(void **state)
{
	struct writer writers[3] = {0};

	(void)state;
	begin(SYNC_NS);
	start_crowd(writers, 3, 3, -2);
	until_at_least(&stage.ended, 1);
	wal_poison(stage.model.wal);
	join_crowd(writers, 3);
	assert_int_equal(writers[0].err, 0);
	assert_int_equal(writers[1].err, ERR_READONLY);
	assert_int_equal(writers[2].err, ERR_READONLY);
	stage.errors = 0;
	end();
}

/* All that was appended, whoever did it. */
static void test_sync_all(void **state)
{
	(void)state;
	begin(SYNC_NS);
	assert_int_equal(wal_sync_all(stage.model.wal), 0);
	assert_int_equal(stage.syncs, 0);
	wal_model_append(&stage.model, 10);
	wal_model_append(&stage.model, 20);
	assert_int_equal(wal_sync_all(stage.model.wal), 0);
	assert_int_equal(stage.syncs, 1);
	assert_int_equal(wal_model_stats(&stage.model).durable_lsn, 2);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_all_by_one_sync),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_delay_in_vain),
		cmocka_unit_test(test_poison_while_delayed),
		cmocka_unit_test(test_sync_all),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
