/* test_store_wal.c - the life of a log: segments, failures to make them, poison. */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/wal_model.h"

#define SEED 20240608u

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
	stats = wal_model_stats(&model);
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
	stats = wal_model_stats(&model);
	assert_int_equal(stats.durable_lsn, 20);
	assert_int_equal(stats.syncs, 1);
	assert_int_equal(wal_sync(model.wal, 20), 0);
	assert_int_equal(wal_model_stats(&model).syncs, 1);
	wal_model_check_whole(&model, 1, 0);
	assert_int_equal(wal_model_try(&model, WAL_FORMAT_PAYLOAD_MAX + 1), ERR_TOO_BIG);
	wal_model_append(&model, WAL_FORMAT_PAYLOAD_MAX);
	wal_model_check_whole(&model, 1, 0);
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
	stats = wal_model_stats(&model);
	assert_int_equal(stats.oldest_seq, 1);
	assert_int_equal(stats.current_seq, 5);
	assert_int_equal(stats.durable_lsn, 40);
	assert_int_equal(stats.bytes, 5 * FORMAT_RECORDS_AT + 40 * wal_format_size(300));
	assert_int_equal(wal_remove_below(model.wal, 3), 0);
	stats = wal_model_stats(&model);
	assert_int_equal(stats.oldest_seq, 3);
	assert_int_equal(stats.bytes, 3 * FORMAT_RECORDS_AT + 20 * wal_format_size(300));
	wal_model_check_whole(&model, 3, 20);

	/* The next writer knows the segments of this one, makes them durable, and removes them. */
	opts = wal_model_scan_opts(&model, model.io, 3);
	opts.after_lsn = 20;
	assert_int_equal(wal_model_scan(&model, &opts, NULL, &report), WAL_ENDS_WELL);
	io_mem_set_fault(model.medium, NULL, NULL);
	wal_model_restart(&model, &report);
	wal_report_release(&report);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 3);
	assert_int_equal(wal_model_stats(&model).oldest_seq, 3);
	assert_int_equal(wal_model_stats(&model).bytes,
			 4 * FORMAT_RECORDS_AT + 20 * wal_format_size(300));
	wal_model_append(&model, 5);
	wal_model_check_whole(&model, 3, 20);
	assert_int_equal(wal_remove_below(model.wal, 100), 0);
	stats = wal_model_stats(&model);
	assert_int_equal(stats.oldest_seq, 6);
	assert_int_equal(stats.bytes, FORMAT_RECORDS_AT + wal_format_size(5));
	wal_model_check_whole(&model, 6, 40);
	wal_model_release(&model);
}

static void test_new_fails(void **state)
{
	struct wal_model model;
	struct wal *wal = NULL;
	int err = ERR_NOMEM;
	struct wal_model_fault fault = {"log_create", 0, ERR_FULL, 0};

	(void)state;
	wal_model_init(&model, SEED + 2, WAL_LOG);
	assert_int_equal(wal_new(&wal, &model.opts, 1, 1, 0), ERR_EXISTS);
	assert_int_equal(wal_new(&wal, &model.opts, 0, 1, 0), ERR_INVALID);
	assert_int_equal(wal_new(&wal, &model.opts, 2, 0, 0), ERR_INVALID);
	wal_model_set_fault(&model, &fault);
	assert_int_equal(wal_new(&wal, &model.opts, 2, 1, 0), ERR_FULL);
	assert_null(wal);
	wal_model_set_fault(&model, NULL);
	for (int k = 0; err == ERR_NOMEM; k++) {
		int left = k;

		mem_set_fault(wal_model_fail_memory, &left);
		/* Each attempt may leave the beginning of a segment behind. */
		err = wal_new(&wal, &model.opts, 2 + (uint64_t)k, 1, 0);
		mem_set_fault(NULL, NULL);
	}
	assert_int_equal(err, 0);
	wal_free(wal);
	wal_free(NULL);
	wal_model_release(&model);
}

static void check_poisoned(struct wal_model *model)
{
	bool wants_mark = true;

	assert_true(wal_model_stats(model).poisoned);
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
	struct wal_model_fault sync = {"log_sync", 0, ERR_UNKNOWN, 0};
	struct wal_model_fault write = {"log_write", 0, ERR_IO, 0};
	struct wal_model_fault create = {"log_create", 0, ERR_UNKNOWN, 0};

	(void)state;
	wal_model_init(&model, SEED + 6, WAL_CLOSE);
	wal_model_append(&model, 10);
	wal_model_set_fault(&model, &sync);
	assert_int_equal(wal_sync(model.wal, 1), ERR_UNKNOWN);
	assert_int_equal(wal_model_stats(&model).durable_lsn, 0);
	check_poisoned(&model);
	wal_model_release(&model);

	wal_model_init(&model, SEED + 6, WAL_CLOSE);
	wal_model_append(&model, 10);
	wal_model_set_fault(&model, &write);
	assert_int_equal(wal_model_try(&model, 10), ERR_IO);
	check_poisoned(&model);
	wal_model_release(&model);

	wal_model_init(&model, SEED + 6, WAL_CLOSE);
	wal_model_append(&model, 10);
	wal_model_set_fault(&model, &create);
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
	struct wal_model_fault fault = {"log_create", 0, IO_MEM_CUT(5000), 0};
	struct wal_stats stats;

	(void)state;
	wal_model_init(&model, SEED + 7, WAL_LOG);
	wal_model_append(&model, 10);
	wal_model_set_fault(&model, &fault);
	assert_int_equal(wal_prepare(model.wal), ERR_FULL);
	stats = wal_model_stats(&model);
	assert_false(stats.poisoned);
	assert_int_equal(stats.bytes, FORMAT_RECORDS_AT + wal_format_size(10));
	wal_model_append(&model, 20);
	/* The rest of the failed one cannot be removed either. */
	fault = (struct wal_model_fault){"log_create", 0, IO_MEM_CUT(5000), 0};
	wal_model_set_fault(&model, &fault);
	assert_int_equal(io_mem_resize_segment(model.medium, 2, 4000), 0);
	assert_int_equal(wal_prepare(model.wal), ERR_FULL);
	wal_model_turn(&model);
	assert_int_equal(wal_model_stats(&model).current_seq, 4);
	wal_model_append(&model, 30);
	wal_model_check_whole(&model, 1, 0);
	wal_model_release(&model);
}

/* What is in the segment before the current one is synced too, whoever asks. */
static void test_old_segment(void **state)
{
	struct wal_model model;
	struct wal_model_fault fault = {"log_sync", 0, ERR_UNKNOWN, 0};

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
	assert_int_equal(wal_model_stats(&model).durable_lsn, 3);
	assert_int_equal(wal_prepare(model.wal), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 4);
	assert_int_equal(wal_model_stats(&model).durable_lsn, 4);
	/* Removing it before it was sealed. */
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 10);
	assert_int_equal(wal_model_stats(&model).durable_lsn, 4);
	assert_int_equal(wal_remove_below(model.wal, 5), 0);
	assert_true(wal_model_stats(&model).durable_lsn >= 5);
	assert_int_equal(wal_sync(model.wal, 6), 0);
	wal_model_check_whole(&model, 5, 5);
	/* Nor can the next segment be made when the old one cannot be synced. */
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	wal_model_set_fault(&model, &fault);
	assert_int_equal(wal_prepare(model.wal), ERR_UNKNOWN);
	check_poisoned(&model);
	wal_model_release(&model);
	wal_model_init(&model, SEED + 8, WAL_LOG);
	assert_int_equal(wal_seal(model.wal), 0); /* there is no old one */
	fault.nth = 0;
	/* Failure to sync the old one is failure. */
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 10);
	wal_model_turn_unsealed(&model);
	wal_model_set_fault(&model, &fault);
	assert_int_equal(wal_seal(model.wal), ERR_UNKNOWN);
	check_poisoned(&model);
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
	io_mem_advance(model.medium, 5000000000u);
	assert_int_equal(wal_tick(model.wal, &wants_mark), 0);
	assert_false(wants_mark);
	assert_int_equal(wal_prepare(model.wal), 0);
	wal_switch(model.wal, &lsn, &seq);
	assert_int_equal(lsn, 4);
	assert_int_equal(seq, 3);
	assert_int_equal(wal_seal(model.wal), 0);
	assert_int_equal(wal_model_stats(&model).last_lsn, 4);
	assert_int_equal(wal_model_stats(&model).current_seq, 3);
	assert_int_equal(io_mem_calls(model.medium, "log_create"), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_write"), 0);
	assert_int_equal(io_mem_calls(model.medium, "log_sync"), 0);
	/* What an earlier writer left is removed. */
	assert_int_equal(wal_remove_below(model.wal, 3), 0);
	assert_null(io_mem_segment(model.medium, 1, &len));
	assert_int_equal(wal_model_stats(&model).bytes, 0);
	wal_model_release(&model);
}

/* Appends with two turns between, going on after errors as a store would. */
static void run_workload(struct wal_model *model)
{
	uint64_t lsn = 0, seq = 0;
	bool wants_mark;

	for (unsigned i = 0; i < 12; i++) {
		(void)wal_model_try(model, 100 + 40 * (i % 4)); /* the model knows what it got */
		if (i % 4 == 1)
			(void)wal_tick(model->wal, &wants_mark); /* an error shows in later calls */
		if (i % 4 != 3 || wal_prepare(model->wal) != 0)
			continue;
		wal_switch(model->wal, &lsn, &seq);
		model->offset = FORMAT_RECORDS_AT;
		if (wal_seal(model->wal) == 0)
			(void)wal_model_try(model, 8); /* as above */
	}
}

/* Each operation fails in each way: what was acknowledged is there, the next writer can go on. */
static void test_sweep(void **state)
{
	static const char *const calls[] = {"log_write", "log_sync", "log_create", "log_size",
					    "random"};
	static const int results[] = {ERR_FULL,	      ERR_IO,	      ERR_UNKNOWN,
				      IO_MEM_CUT(30), IO_MEM_CUT(90), IO_MEM_ALL_BUT_FAIL};

	(void)state;
	for (size_t c = 0; c < 5; c++) {
		for (uint64_t i = 0; i < 20 * 6 * 2; i++) {
			struct wal_model_fault fault = {calls[c], i / 12, results[i % 6], 0};
			struct wal_scan_opts opts;
			struct wal_model_seen seen;
			struct wal_report report;
			struct wal_model model;
			size_t acknowledged;

			fault.then = i / 6 % 2 == 0 ? 0 : ERR_FULL;
			wal_model_init(&model, SEED + 20, WAL_LOG);
			wal_model_set_fault(&model, &fault);
			run_workload(&model);
			wal_model_set_fault(&model, NULL);
			acknowledged = model.n;
			opts = wal_model_scan_opts(&model, model.io, 1);
			assert_int_not_equal(wal_model_scan(&model, &opts, &seen, &report),
					     WAL_DAMAGED);
			assert_true(seen.count >= acknowledged);
			wal_model_restart(&model, &report);
			wal_report_release(&report);
			wal_model_append(&model, 77);
			wal_model_turn(&model);
			wal_model_append(&model, 78);
			wal_model_check_whole(&model, 1, 0);
			wal_model_release(&model);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	      cmocka_unit_test(test_segments),
		cmocka_unit_test(test_new_fails),     cmocka_unit_test(test_poison),
		cmocka_unit_test(test_prepare_fails), cmocka_unit_test(test_old_segment),
		cmocka_unit_test(test_none),	      cmocka_unit_test(test_sweep),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
