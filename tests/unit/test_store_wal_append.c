/* test_store_wal_append.c - appending and making durable: bounds, remains, group commit. */
#include "store/wal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/wal_model.h"

#define SEED 20240609u
#define SECOND 1000000000u

static void test_bounds(void **state)
{
	static const struct wal_part none;
	struct wal_model model;
	uint64_t lsn = 0;

	(void)state;
	wal_model_init(&model, SEED + 3, WAL_LOG);
	wal_free(model.wal);
	model.opts.cap = 2 * FORMAT_RECORDS_AT + 2 * wal_format_size(1000) + 2 * wal_format_size(0);
	model.opts.reserve = 2 * wal_format_size(0);
	assert_int_equal(wal_new(&model.wal, &model.opts, 2, 1, 0), 0);
	wal_model_append(&model, 1000);
	wal_model_append(&model, 1000);
	assert_int_equal(wal_model_try(&model, 0), ERR_FULL);
	assert_int_equal(wal_append(model.wal, FORMAT_DELETE, &none, 1, true, &lsn), 0);
	assert_int_equal(lsn, 3);
	assert_int_equal(wal_append(model.wal, FORMAT_DELETE, NULL, 0, true, &lsn), 0);
	assert_int_equal(wal_append(model.wal, FORMAT_DELETE, NULL, 0, true, &lsn), ERR_FULL);
	assert_int_equal(lsn, 0);
	assert_false(wal_model_stats(&model).poisoned);
	/* A checkpoint makes room again, and its own segment is not refused. */
	assert_int_equal(wal_remove_below(model.wal, 2), 0);
	model.n = 4;
	wal_model_turn(&model);
	assert_int_equal(wal_remove_below(model.wal, 3), 0);
	assert_int_equal(wal_append(model.wal, FORMAT_DELETE, NULL, 0, false, &lsn), 0);
	assert_int_equal(lsn, 5);
	wal_model_release(&model);
}

/* The medium is full in the middle of a record of any part; a shorter one follows, or none. */
static void test_full(void **state)
{
	uint32_t size = wal_format_size(200);

	(void)state;
	for (uint32_t cut = 0; cut <= size; cut++) {
		for (uint32_t next = 0; next <= 240; next += 40) {
			struct wal_model model;
			/* The wipe of the remains fails too. */
			struct wal_model_fault fault = {"log_write", 0, IO_MEM_CUT(cut), ERR_FULL};

			wal_model_init(&model, SEED + 4, WAL_LOG);
			wal_model_append(&model, 60);
			wal_model_set_fault(&model, &fault);
			assert_int_equal(wal_model_try(&model, 200), ERR_FULL);
			wal_model_set_fault(&model, NULL);
			assert_int_equal(wal_model_stats(&model).last_lsn, 1);
			assert_false(wal_model_stats(&model).poisoned);
			wal_model_append(&model, next);
			if (next < 200) {
				struct wal_scan_opts opts = wal_model_scan_opts(&model, model.io,
										1);
				struct wal_model_seen seen;
				enum wal_verdict verdict = wal_model_scan(&model, &opts, &seen,
									  NULL);

				assert_int_equal(seen.count, 2);
				assert_true(verdict == WAL_ENDS_WELL || verdict == WAL_TORN_TAIL);
			}
			wal_model_append(&model, 300);
			wal_model_check_whole(&model, 1, 0);
			wal_model_release(&model);
		}
	}
}

/*
 * A record that was written whole although the write failed, and whose remains could not be wiped,
 * stays behind in a segment that is left by a switch.
 */
static void check_remains(bool seal, bool append)
{
	struct wal_model_fault fault = {"log_write", 0, IO_MEM_ALL_BUT_FAIL, ERR_FULL};
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	struct wal_model model;
	size_t len = 0;

	wal_model_init(&model, SEED + 5, WAL_LOG);
	wal_model_append(&model, 60);
	opts = wal_model_scan_opts(&model, model.io, 1);
	wal_model_set_fault(&model, &fault);
	assert_int_equal(wal_model_try(&model, 200), ERR_FULL);
	wal_model_set_fault(&model, NULL);
	/* It is valid, and a scan now cannot know that it failed. */
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, 2);
	model.has_maybe = false;
	if (seal)
		wal_model_turn(&model);
	else
		wal_model_turn_unsealed(&model);
	if (append)
		wal_model_append(&model, 90);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_ENDS_WELL);
	assert_int_equal(seen.count, model.n);
	wal_model_restart(&model, &report);
	wal_report_release(&report);
	wal_model_append(&model, 10);
	wal_model_check_whole(&model, 1, 0);
	assert_non_null(io_mem_segment(model.medium, 1, &len));
	assert_true(len > model.records[0].offset + model.records[0].size);
	wal_model_release(&model);
}

/* Where the wipe succeeds, the record cannot come back at all. */
static void check_wiped(void)
{
	struct wal_model_fault fault = {"log_write", 0, IO_MEM_ALL_BUT_FAIL, 0};
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_model model;

	wal_model_init(&model, SEED + 5, WAL_LOG);
	wal_model_append(&model, 60);
	wal_model_set_fault(&model, &fault);
	assert_int_equal(wal_model_try(&model, 200), ERR_FULL);
	wal_model_set_fault(&model, NULL);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_TORN_TAIL);
	assert_int_equal(seen.count, 1);
	wal_model_release(&model);
}

/* Where the wipe fails so that nobody knows what it did, nothing is written any more. */
static void check_wipe_fails(void)
{
	struct wal_model_fault fault = {"log_write", 0, IO_MEM_ALL_BUT_FAIL, ERR_IO};
	struct wal_model model;

	wal_model_init(&model, SEED + 5, WAL_LOG);
	wal_model_append(&model, 60);
	wal_model_set_fault(&model, &fault);
	assert_int_equal(wal_model_try(&model, 200), ERR_FULL);
	wal_model_set_fault(&model, NULL);
	assert_true(wal_model_stats(&model).poisoned);
	assert_int_equal(wal_model_try(&model, 200), ERR_READONLY);
	wal_model_release(&model);
}

static void test_remains(void **state)
{
	(void)state;
	check_wipe_fails();
	check_wiped();
	check_remains(true, false);
	check_remains(true, true);
	check_remains(false, true);
}

static void test_tick(void **state)
{
	struct wal_model model;
	uint64_t lsn = 0;
	bool wants_mark;

	(void)state;
	wal_model_init(&model, SEED + 9, WAL_LOG);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_false(wants_mark); /* nothing was ever written */
	wal_model_append(&model, 10);
	io_mem_advance(model.medium, SECOND / 4);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_int_equal(wal_model_stats(&model).syncs, 0);
	io_mem_advance(model.medium, SECOND / 4);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_int_equal(wal_model_stats(&model).syncs, 0);
	/* 0.75 s old now, and 1 s at the next tick. */
	io_mem_advance(model.medium, SECOND / 4);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_int_equal(wal_model_stats(&model).durable_lsn, 1);
	assert_false(wants_mark);
	io_mem_advance(model.medium, SECOND);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_true(wants_mark);
	assert_int_equal(wal_append(model.wal, FORMAT_SYNC, NULL, 0, true, &lsn), 0);
	assert_int_equal(lsn, 2);
	/* The mark is synced, and no mark follows it. */
	for (unsigned i = 0; i < 4; i++) {
		io_mem_advance(model.medium, SECOND);
		assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
		assert_false(wants_mark);
	}
	assert_int_equal(wal_model_stats(&model).durable_lsn, 2);
	assert_int_equal(wal_model_stats(&model).syncs, 2);
	wal_model_release(&model);
}

/* The mark makes the loss of the last vector visible. */
static void test_mark(void **state)
{
	static const uint8_t other_boot[16] = {1};
	struct wal_model model;
	struct wal_scan_opts opts;
	struct wal_report report;
	uint64_t lsn = 0;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 10, WAL_LOG);
	wal_model_append(&model, 100);
	assert_int_equal(wal_sync(model.wal, 1), 0);
	assert_int_equal(wal_append(model.wal, FORMAT_SYNC, NULL, 0, true, &lsn), 0);
	io_mem_segment(model.medium, 1, &len)[model.records[0].offset + 80] ^= 1;
	io_mem_set_boot_id(model.medium, other_boot);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, NULL, &report), WAL_DAMAGED);
	assert_int_equal(report.max_beyond_lsn, 2);
	wal_report_release(&report);
	wal_model_release(&model);
}

static int append_meanwhile(void *ctx, const char *call, uint64_t nth)
{
	struct wal_model *model = ctx;

	if (strcmp(call, "log_sync") == 0 && nth == 0)
		wal_model_append(model, 30);
	return 0;
}

/* What is appended while a sync runs is not covered by it, and no record says so. */
static void test_append_while_syncing(void **state)
{
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 15, WAL_LOG);
	wal_model_append(&model, 10);
	wal_model_append(&model, 20);
	io_mem_set_fault(model.medium, append_meanwhile, &model);
	assert_int_equal(wal_sync(model.wal, 1), 0);
	assert_int_equal(wal_model_stats(&model).last_lsn, 3);
	assert_int_equal(wal_model_stats(&model).durable_lsn, 2);
	wal_model_append(&model, 40);
	assert_int_equal(model.records[3].durable_lsn, 2);
	assert_int_equal(wal_sync(model.wal, 3), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 2);
	assert_int_equal(wal_model_stats(&model).durable_lsn, 4);
	wal_model_check_whole(&model, 1, 0);
	wal_model_release(&model);
}

struct crowd {
	struct wal_model *model;
	pthread_mutex_t commit; /* as the caller's commit lock */
	unsigned rounds;
	int sync_result; /* of the fault hook */
	atomic_uint failures;
	atomic_uint errors_unknown, errors_readonly;
	atomic_bool done;
};

static int slow_sync(void *ctx, const char *call, uint64_t nth)
{
	struct crowd *crowd = ctx;
	struct timespec pause = {0, 300000};

	if (strcmp(call, "log_sync") != 0)
		return 0;
	(void)nanosleep(&pause, NULL); /* an early end only makes the sync faster */
	return nth >= 20 ? crowd->sync_result : 0;
}

static void *append_and_sync(void *ctx)
{
	static const uint8_t value[3072];
	struct crowd *crowd = ctx;
	struct wal_part part = {value, sizeof(value)};
	struct wal_stats stats;
	uint64_t lsn = 0;
	int err = 0;

	for (unsigned i = 0; err == 0 && i < crowd->rounds; i++) {
		(void)pthread_mutex_lock(&crowd->commit);
		err = wal_append(crowd->model->wal, FORMAT_PUT, &part, 1, false, &lsn);
		(void)pthread_mutex_unlock(&crowd->commit);
		if (err == 0)
			err = wal_sync(crowd->model->wal, lsn);
		wal_get_stats(crowd->model->wal, &stats);
		if (err == 0 && stats.durable_lsn < lsn)
			crowd->failures++;
	}
	if (err == ERR_UNKNOWN)
		crowd->errors_unknown++;
	else if (err == ERR_READONLY)
		crowd->errors_readonly++;
	else if (err != 0)
		crowd->failures++;
	return NULL;
}

/* Turns segments as fast as it can and removes what is two turns old. */
static void *turn(void *ctx)
{
	struct crowd *crowd = ctx;
	struct wal *wal = crowd->model->wal;
	uint64_t lsn = 0, seq = 0, before = 0;
	bool wants_mark;
	int err = 0;

	while (err == 0 && !crowd->done) {
		err = wal_prepare(wal);
		if (err != 0)
			break;
		(void)pthread_mutex_lock(&crowd->commit);
		wal_switch(wal, &lsn, &seq);
		(void)pthread_mutex_unlock(&crowd->commit);
		err = wal_seal(wal);
		if (err == 0)
			err = wal_remove_below(wal, before);
		if (err == 0)
			err = wal_tick(wal, &wants_mark);
		before = seq;
	}
	if (err != 0)
		crowd->failures++;
	return NULL;
}

static void run_crowd(struct crowd *crowd, struct wal_model *model, unsigned threads, bool turning)
{
	pthread_t ids[8], turner;

	crowd->model = model;
	(void)pthread_mutex_init(&crowd->commit, NULL);
	io_mem_set_fault(model->medium, slow_sync, crowd);
	for (unsigned i = 0; i < threads; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, append_and_sync, crowd), 0);
	if (turning)
		assert_int_equal(pthread_create(&turner, NULL, turn, crowd), 0);
	for (unsigned i = 0; i < threads; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	crowd->done = true;
	if (turning)
		assert_int_equal(pthread_join(turner, NULL), 0);
	(void)pthread_mutex_destroy(&crowd->commit);
}

static void test_group_commit(void **state)
{
	struct crowd crowd = {.rounds = 50};
	struct wal_model model;
	struct wal_stats stats;

	(void)state;
	wal_model_init(&model, SEED + 12, WAL_CLOSE);
	run_crowd(&crowd, &model, 8, false);
	assert_int_equal(crowd.failures, 0);
	assert_int_equal(crowd.errors_unknown + crowd.errors_readonly, 0);
	stats = wal_model_stats(&model);
	assert_int_equal(stats.appends, 400);
	assert_int_equal(stats.durable_lsn, 400);
	assert_int_equal(stats.syncs, io_mem_calls(model.medium, "log_sync"));
	print_message("%u appends, %u syncs\n", (unsigned)stats.appends, (unsigned)stats.syncs);
	assert_true(stats.syncs < stats.appends / 2);
	wal_model_release(&model);
}

/* All who wait for the sync that fails are told, and nobody syncs again. */
static void test_group_poison(void **state)
{
	struct crowd crowd = {.rounds = 200, .sync_result = ERR_UNKNOWN};
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 13, WAL_CLOSE);
	run_crowd(&crowd, &model, 8, false);
	assert_int_equal(crowd.failures, 0);
	assert_true(crowd.errors_unknown >= 1);
	assert_int_equal(crowd.errors_unknown + crowd.errors_readonly, 8);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 21);
	wal_model_release(&model);
}

static int count_record(void *ctx, const struct wal_record *record)
{
	(void)record;
	++*(uint64_t *)ctx;
	return 0;
}

static void test_turning(void **state)
{
	struct crowd crowd = {.rounds = 60};
	struct wal_model model;
	struct wal_scan_opts opts;
	struct wal_report report;
	struct wal_stats stats;
	uint64_t count = 0;

	(void)state;
	wal_model_init(&model, SEED + 14, WAL_CLOSE);
	run_crowd(&crowd, &model, 4, true);
	assert_int_equal(crowd.failures, 0);
	stats = wal_model_stats(&model);
	assert_true(stats.current_seq > 3);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(wal_scan(&opts, count_record, &count, &report, NULL), 0);
	assert_int_equal(report.verdict, WAL_ENDS_WELL);
	assert_int_equal(report.last_lsn, 240);
	assert_int_equal(report.next_seq, stats.current_seq + 1);
	assert_int_equal(count, report.records);
	wal_report_release(&report);
	wal_model_release(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),	     cmocka_unit_test(test_full),
		cmocka_unit_test(test_remains),	     cmocka_unit_test(test_tick),
		cmocka_unit_test(test_mark),	     cmocka_unit_test(test_append_while_syncing),
		cmocka_unit_test(test_group_commit), cmocka_unit_test(test_group_poison),
		cmocka_unit_test(test_turning),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
