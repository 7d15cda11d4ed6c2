/* test_store_wal.c - writing the log: numbers, bounds, failures, group commit, segments. */
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

#define SEED 20240608u
#define SECOND 1000000000u

static struct wal_stats stats_of(struct wal_model *model)
{
	struct wal_stats stats;

	wal_get_stats(model->wal, &stats);
	return stats;
}

/* All records of the model are found, and nothing else. */
static void check_whole(struct wal_model *model, uint64_t from_seq, uint64_t after_lsn)
{
	struct wal_scan_opts opts = wal_model_scan_opts(model, model->io, from_seq);
	struct wal_model_seen seen;

	opts.after_lsn = after_lsn;
	model->has_maybe = false;
	assert_int_equal(wal_model_scan(model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, model->n - after_lsn);
}

/* A hook that fails the nth call of one name, and with `then` the one after it. */
struct fault {
	const char *call;
	uint64_t nth;
	int result, then;
};

static int fail_calls(void *ctx, const char *call, uint64_t nth)
{
	const struct fault *fault = ctx;

	if (strcmp(call, fault->call) != 0 || nth < fault->nth || nth > fault->nth + 1)
		return 0;
	return nth == fault->nth ? fault->result : fault->then;
}

static void set_fault(struct wal_model *model, struct fault *fault)
{
	io_mem_set_fault(model->medium, fault != NULL ? fail_calls : NULL, fault);
}

static void test_numbers(void **state)
{
	struct wal_model model;
	struct wal_stats stats;
	uint64_t bytes = FORMAT_RECORDS_AT;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED, WAL_LOG);
	for (unsigned i = 0; i < 20; i++) {
		wal_model_append(&model, i * 100);
		bytes += model.records[i].size;
	}
	stats = stats_of(&model);
	assert_int_equal(stats.last_lsn, 20);
	assert_int_equal(stats.durable_lsn, 0);
	assert_int_equal(stats.appends, 20);
	assert_int_equal(stats.bytes, bytes);
	assert_int_equal(io_mem_calls(model.medium, "log_write"), 20);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 0);
	assert_non_null(io_mem_segment(model.medium, 1, &len));
	assert_int_equal(len, bytes);
	assert_int_equal(wal_sync(model.wal, 21), ERR_INVALID);
	assert_int_equal(wal_sync(model.wal, 5), 0);
	stats = stats_of(&model);
	assert_int_equal(stats.durable_lsn, 20);
	assert_int_equal(stats.syncs, 1);
	assert_int_equal(wal_sync(model.wal, 20), 0);
	assert_int_equal(stats_of(&model).syncs, 1);
	check_whole(&model, 1, 0);
	assert_int_equal(wal_model_try(&model, WAL_FORMAT_PAYLOAD_MAX + 1), ERR_TOO_BIG);
	wal_model_append(&model, WAL_FORMAT_PAYLOAD_MAX);
	check_whole(&model, 1, 0);
	wal_model_release(&model);
}

static void test_segments(void **state)
{
	struct wal_model model;
	struct wal_report report;
	struct wal_scan_opts opts;
	struct wal_stats stats;

	(void)state;
	wal_model_init(&model, SEED + 1, WAL_LOG);
	for (unsigned s = 0; s < 4; s++) {
		for (unsigned i = 0; i < 10; i++)
			wal_model_append(&model, 300);
		wal_model_turn(&model);
	}
	stats = stats_of(&model);
	assert_int_equal(stats.oldest_seq, 1);
	assert_int_equal(stats.current_seq, 5);
	assert_int_equal(stats.durable_lsn, 40);
	assert_int_equal(stats.bytes, 5 * FORMAT_RECORDS_AT + 40 * wal_format_size(300));
	assert_int_equal(wal_remove_below(model.wal, 3), 0);
	stats = stats_of(&model);
	assert_int_equal(stats.oldest_seq, 3);
	assert_int_equal(stats.bytes, 3 * FORMAT_RECORDS_AT + 20 * wal_format_size(300));
	check_whole(&model, 3, 20);

	/* The next writer knows the segments of this one, makes them durable, and removes them. */
	opts = wal_model_scan_opts(&model, model.io, 3);
	opts.after_lsn = 20;
	assert_int_equal(wal_model_scan(&model, &opts, NULL, &report), WAL_ENDS_WELL);
	io_mem_set_fault(model.medium, NULL, NULL);
	wal_model_restart(&model, &report);
	wal_report_release(&report);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 3);
	assert_int_equal(stats_of(&model).oldest_seq, 3);
	assert_int_equal(stats_of(&model).bytes, 4 * FORMAT_RECORDS_AT + 20 * wal_format_size(300));
	wal_model_append(&model, 5);
	check_whole(&model, 3, 20);
	assert_int_equal(wal_remove_below(model.wal, 100), 0);
	stats = stats_of(&model);
	assert_int_equal(stats.oldest_seq, 6);
	assert_int_equal(stats.bytes, FORMAT_RECORDS_AT + wal_format_size(5));
	check_whole(&model, 6, 40);
	wal_model_release(&model);
}

static void test_new_fails(void **state)
{
	struct wal_model model;
	struct wal *wal = NULL;
	struct fault fault = {"log_create", 0, ERR_FULL, 0};

	(void)state;
	wal_model_init(&model, SEED + 2, WAL_LOG);
	assert_int_equal(wal_new(&wal, &model.opts, 1, 1, 0), ERR_EXISTS);
	assert_int_equal(wal_new(&wal, &model.opts, 0, 1, 0), ERR_INVALID);
	assert_int_equal(wal_new(&wal, &model.opts, 2, 0, 0), ERR_INVALID);
	set_fault(&model, &fault);
	assert_int_equal(wal_new(&wal, &model.opts, 2, 1, 0), ERR_FULL);
	assert_null(wal);
	wal_free(NULL);
	wal_model_release(&model);
}

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
	assert_false(stats_of(&model).poisoned);
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
			struct fault fault = {"log_write", 0, IO_MEM_CUT(cut), ERR_FULL};

			wal_model_init(&model, SEED + 4, WAL_LOG);
			wal_model_append(&model, 60);
			set_fault(&model, &fault);
			assert_int_equal(wal_model_try(&model, 200), ERR_FULL);
			set_fault(&model, NULL);
			assert_int_equal(stats_of(&model).last_lsn, 1);
			assert_false(stats_of(&model).poisoned);
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
			check_whole(&model, 1, 0);
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
	struct fault fault = {"log_write", 0, IO_MEM_ALL_BUT_FAIL, ERR_FULL};
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	struct wal_model model;
	size_t len = 0;

	wal_model_init(&model, SEED + 5, WAL_LOG);
	wal_model_append(&model, 60);
	opts = wal_model_scan_opts(&model, model.io, 1);
	set_fault(&model, &fault);
	assert_int_equal(wal_model_try(&model, 200), ERR_FULL);
	set_fault(&model, NULL);
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
	check_whole(&model, 1, 0);
	assert_non_null(io_mem_segment(model.medium, 1, &len));
	assert_true(len > model.records[0].offset + model.records[0].size);
	wal_model_release(&model);
}

/* Where the wipe succeeds, the record cannot come back at all. */
static void check_wiped(void)
{
	struct fault fault = {"log_write", 0, IO_MEM_ALL_BUT_FAIL, 0};
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_model model;

	wal_model_init(&model, SEED + 5, WAL_LOG);
	wal_model_append(&model, 60);
	set_fault(&model, &fault);
	assert_int_equal(wal_model_try(&model, 200), ERR_FULL);
	set_fault(&model, NULL);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_TORN_TAIL);
	assert_int_equal(seen.count, 1);
	wal_model_release(&model);
}

static void test_remains(void **state)
{
	(void)state;
	check_wiped();
	check_remains(true, false);
	check_remains(true, true);
	check_remains(false, true);
}

static void check_poisoned(struct wal_model *model)
{
	bool wants_mark = true;

	assert_true(stats_of(model).poisoned);
	io_mem_set_fault(model->medium, NULL, NULL);
	assert_int_equal(wal_model_try(model, 10), ERR_READONLY);
	assert_int_equal(wal_sync(model->wal, 1), ERR_READONLY);
	assert_int_equal(wal_tick(model->wal, &wants_mark), ERR_READONLY);
	assert_false(wants_mark);
	assert_int_equal(wal_prepare(model->wal), ERR_READONLY);
	assert_int_equal(wal_seal(model->wal), ERR_READONLY);
	assert_int_equal(wal_remove_below(model->wal, 1), ERR_READONLY);
	assert_int_equal(io_mem_calls(model->medium, "log_write"), 0);
	assert_int_equal(io_mem_calls(model->medium, "log_sync"), 0);
	assert_int_equal(io_mem_calls(model->medium, "log_create"), 0);
}

static void test_poison(void **state)
{
	struct wal_model model;
	struct fault sync = {"log_sync", 0, ERR_UNKNOWN, 0};
	struct fault write = {"log_write", 0, ERR_IO, 0};
	struct fault create = {"log_create", 0, ERR_UNKNOWN, 0};

	(void)state;
	wal_model_init(&model, SEED + 6, WAL_CLOSE);
	wal_model_append(&model, 10);
	set_fault(&model, &sync);
	assert_int_equal(wal_sync(model.wal, 1), ERR_UNKNOWN);
	assert_int_equal(stats_of(&model).durable_lsn, 0);
	check_poisoned(&model);
	wal_model_release(&model);

	wal_model_init(&model, SEED + 6, WAL_CLOSE);
	wal_model_append(&model, 10);
	set_fault(&model, &write);
	assert_int_equal(wal_model_try(&model, 10), ERR_IO);
	check_poisoned(&model);
	wal_model_release(&model);

	wal_model_init(&model, SEED + 6, WAL_CLOSE);
	wal_model_append(&model, 10);
	set_fault(&model, &create);
	assert_int_equal(wal_prepare(model.wal), ERR_UNKNOWN);
	check_poisoned(&model);
	wal_model_release(&model);

	wal_model_init(&model, SEED + 6, WAL_CLOSE);
	wal_model_append(&model, 10);
	wal_poison(model.wal);
	check_poisoned(&model);
	wal_model_release(&model);
}

static void test_prepare_fails(void **state)
{
	struct wal_model model;
	struct fault fault = {"log_create", 0, IO_MEM_CUT(5000), 0};
	struct wal_stats stats;

	(void)state;
	wal_model_init(&model, SEED + 7, WAL_LOG);
	wal_model_append(&model, 10);
	set_fault(&model, &fault);
	assert_int_equal(wal_prepare(model.wal), ERR_FULL);
	stats = stats_of(&model);
	assert_false(stats.poisoned);
	assert_int_equal(stats.bytes, FORMAT_RECORDS_AT + wal_format_size(10));
	wal_model_append(&model, 20);
	/* The rest of the failed one cannot be removed either. */
	fault = (struct fault){"log_create", 0, IO_MEM_CUT(5000), 0};
	set_fault(&model, &fault);
	assert_int_equal(io_mem_resize_segment(model.medium, 2, 4000), 0);
	assert_int_equal(wal_prepare(model.wal), ERR_FULL);
	wal_model_turn(&model);
	assert_int_equal(stats_of(&model).current_seq, 4);
	wal_model_append(&model, 30);
	check_whole(&model, 1, 0);
	wal_model_release(&model);
}

/* What is in the segment before the current one is synced too, whoever asks. */
static void test_old_segment(void **state)
{
	struct wal_model model;
	struct fault fault = {"log_sync", 0, ERR_UNKNOWN, 0};

	(void)state;
	wal_model_init(&model, SEED + 8, WAL_LOG);
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 10);
	assert_int_equal(wal_sync(model.wal, 2), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 2);
	assert_int_equal(wal_seal(model.wal), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 2);
	/* Nothing new in the current one: only the old one. */
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	assert_int_equal(wal_sync(model.wal, 3), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 3);
	/* An attempt without a seal, then the next: the oldest of three is not forgotten. */
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 3);
	assert_int_equal(stats_of(&model).durable_lsn, 3);
	assert_int_equal(wal_prepare(model.wal), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 4);
	assert_int_equal(stats_of(&model).durable_lsn, 4);
	/* Removing it before it was sealed. */
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 10);
	assert_int_equal(stats_of(&model).durable_lsn, 4);
	assert_int_equal(wal_remove_below(model.wal, 5), 0);
	assert_true(stats_of(&model).durable_lsn >= 5);
	assert_int_equal(wal_sync(model.wal, 6), 0);
	check_whole(&model, 5, 5);
	/* Failure to sync the old one is failure. */
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	set_fault(&model, &fault);
	assert_int_equal(wal_seal(model.wal), ERR_UNKNOWN);
	check_poisoned(&model);
	wal_model_release(&model);
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
	assert_int_equal(stats_of(&model).syncs, 0);
	io_mem_advance(model.medium, SECOND / 4);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_int_equal(stats_of(&model).syncs, 0);
	/* 0.75 s old now, and 1 s at the next tick. */
	io_mem_advance(model.medium, SECOND / 4);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_int_equal(stats_of(&model).durable_lsn, 1);
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
	assert_int_equal(stats_of(&model).durable_lsn, 2);
	assert_int_equal(stats_of(&model).syncs, 2);
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

static void test_none(void **state)
{
	struct wal_model model;
	uint64_t lsn = 0, seq = 0;
	bool wants_mark;
	size_t len;

	(void)state;
	wal_model_init(&model, SEED + 11, WAL_LOG);
	wal_model_append(&model, 10);
	wal_free(model.wal);
	model.opts.durability = WAL_NONE;
	io_mem_set_fault(model.medium, NULL, NULL);
	assert_int_equal(wal_new(&model.wal, &model.opts, 2, 2, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		wal_model_append(&model, 100);
	assert_int_equal(wal_sync(model.wal, 4), 0);
	io_mem_advance(model.medium, 5ull * SECOND);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_false(wants_mark);
	assert_int_equal(wal_prepare(model.wal), 0);
	wal_switch(model.wal, &lsn, &seq);
	assert_int_equal(lsn, 4);
	assert_int_equal(seq, 3);
	assert_int_equal(wal_seal(model.wal), 0);
	assert_int_equal(stats_of(&model).last_lsn, 4);
	assert_int_equal(stats_of(&model).current_seq, 3);
	assert_int_equal(io_mem_calls(model.medium, "log_create"), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_write"), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 0);
	/* What an earlier writer left is removed. */
	assert_int_equal(wal_remove_below(model.wal, 3), 0);
	assert_null(io_mem_segment(model.medium, 1, &len));
	assert_int_equal(stats_of(&model).bytes, 0);
	wal_model_release(&model);
}

/* --- threads --- */

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
	stats = stats_of(&model);
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
	stats = stats_of(&model);
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
		cmocka_unit_test(test_numbers),	     cmocka_unit_test(test_segments),
		cmocka_unit_test(test_new_fails),    cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_full),	     cmocka_unit_test(test_remains),
		cmocka_unit_test(test_poison),	     cmocka_unit_test(test_prepare_fails),
		cmocka_unit_test(test_old_segment),  cmocka_unit_test(test_tick),
		cmocka_unit_test(test_mark),	     cmocka_unit_test(test_none),
		cmocka_unit_test(test_group_commit), cmocka_unit_test(test_group_poison),
		cmocka_unit_test(test_turning),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
