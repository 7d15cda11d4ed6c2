/* test_store_wal_segments.c - segments in their order: unfinished, void, misplaced. */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/wal_model.h"

#define SEED 20240610u

static const uint8_t other_boot[16] = {1, 2, 3};

/* Cut, go on in a new segment, die again, and again: what was cut never comes back. */
static void test_restart_after_cut(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	struct wal_model model;
	uint8_t boot_id[16] = {7};
	uint8_t *bytes;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 7, WAL_LOG);
	opts = wal_model_scan_opts(&model, model.io, 1);
	for (unsigned i = 0; i < 8; i++)
		wal_model_append(&model, 200);
	for (unsigned round = 0; round < 6; round++) {
		uint64_t lost = model.n - 3;
		const struct wal_model_record *record = &model.records[lost - 1];

		boot_id[1] = (uint8_t)round;
		io_mem_set_boot_id(model.medium, boot_id);
		bytes = io_mem_segment(model.medium, record->seq, &len);
		bytes[record->offset + 60] ^= 1;
		assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_UNSYNCED_CUT);
		assert_int_equal(seen.count, lost - 1);
		assert_int_equal(report.readable_beyond, 3);
		/* A creation that did not finish comes between. */
		if (round % 2 == 1)
			assert_int_equal(io_mem_resize_segment(model.medium, report.next_seq++,
							       round * 1000),
					 0);
		wal_model_restart(&model, &report);
		wal_report_release(&report);
		assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
		assert_int_equal(seen.count, lost - 1);
		for (unsigned i = 0; i < 5 + round; i++)
			wal_model_append(&model, 100);
		assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
		assert_int_equal(seen.count, model.n);
	}
	wal_model_release(&model);
}

/* A writer started at an LSN, then the unsynced records before it were lost. */
static void test_lost_before_start(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 8, WAL_LOG);
	for (unsigned i = 0; i < 6; i++)
		wal_model_append(&model, 200);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_ENDS_WELL);
	wal_model_restart(&model, &report);
	wal_report_release(&report);
	assert_int_equal(io_mem_resize_segment(model.medium, 1, (size_t)model.records[4].offset),
			 0);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	io_mem_set_boot_id(model.medium, other_boot);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_UNSYNCED_CUT);
	assert_int_equal(seen.count, 4);
	wal_model_restart(&model, &report);
	wal_report_release(&report);
	wal_model_append(&model, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, 5);
	wal_model_release(&model);
}

/* A last segment of any length below two blocks hinders nothing. */
static void test_unfinished_segment(void **state)
{
	struct wal_scan_opts opts;
	struct wal_report report;
	struct wal_model_seen seen;
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 9, WAL_LOG);
	wal_model_append(&model, 200);
	assert_int_equal(wal_prepare(model.wal), 0);
	for (size_t len = 0; len < FORMAT_RECORDS_AT; len += 1 + len / 40) {
		opts = wal_model_scan_opts(&model, model.io, 1);
		assert_int_equal(io_mem_resize_segment(model.medium, 2, len), 0);
		assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_TORN_TAIL);
		assert_int_equal(seen.count, 1);
		assert_int_equal(report.next_seq, 3);
		assert_int_equal(report.bad_seq, 2);
		wal_report_release(&report);
		opts.known_lsn = 2;
		assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
		/* A commit slot would not name it if it had not been whole. */
		opts = wal_model_scan_opts(&model, model.io, 2);
		assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
		/* Unless the store was closed before it was made. */
		opts.from_may_be_new = true;
		opts.after_lsn = opts.known_lsn = 1;
		assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_TORN_TAIL);
	}
	wal_model_release(&model);
}

/* A segment all of whose records are void, and needed as the first one. */
static void test_void_first(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 12, WAL_LOG);
	for (unsigned i = 0; i < 3; i++)
		wal_model_append(&model, 50);
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 50);
	io_mem_set_boot_id(model.medium, other_boot);
	assert_int_equal(io_mem_resize_segment(model.medium, 1, (size_t)model.records[2].offset),
			 0);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_UNSYNCED_CUT);
	wal_model_restart(&model, &report);
	wal_report_release(&report);
	wal_model_append(&model, 70);
	opts = wal_model_scan_opts(&model, model.io, 2);
	opts.after_lsn = 2;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, 1);
	wal_model_release(&model);
}

/* A writer that started after an orderly end and did not read the log before. */
static void test_start_without_hash(void **state)
{
	struct wal_report report = {.next_seq = 2, .last_lsn = 2};
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 13, WAL_LOG);
	wal_model_append(&model, 50);
	wal_model_append(&model, 50);
	wal_model_restart(&model, &report);
	wal_model_append(&model, 50);
	wal_model_append(&model, 50);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, 4);
	wal_model_release(&model);
}

/* A segment under the name of another. */
static void test_misplaced(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_model model;
	uint8_t *bytes;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 15, WAL_LOG);
	wal_model_append(&model, 50);
	wal_model_turn(&model);
	wal_model_append(&model, 50);
	bytes = io_mem_segment(model.medium, 2, &len);
	memcpy(bytes, io_mem_segment(model.medium, 1, &len), len);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	assert_int_equal(seen.count, 1);
	wal_model_release(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart_after_cut),  cmocka_unit_test(test_lost_before_start),
		cmocka_unit_test(test_unfinished_segment), cmocka_unit_test(test_void_first),
		cmocka_unit_test(test_start_without_hash), cmocka_unit_test(test_misplaced),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
