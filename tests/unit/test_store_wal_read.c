/* test_store_wal_read.c - finding records in segments: large logs, salvage, read errors. */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/wal_model.h"

#define SEED 20240611u

static void test_round_trip(void **state)
{
	struct wal_model model;
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	uint64_t bytes = 0, lost = 0;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 1, WAL_LOG);
	for (unsigned i = 1; i <= 300; i++) {
		wal_model_append(&model, i % 50 == 0 ? WAL_FORMAT_PAYLOAD_MAX :
						       (uint32_t)wal_model_below(&model, 69000));
		bytes += model.records[model.n - 1].size;
		if (i % 60 == 0)
			wal_model_turn(&model);
	}
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_ENDS_WELL);
	assert_int_equal(seen.count, 300);
	assert_int_equal(report.bytes, bytes);
	assert_int_equal(report.n_segments, 6);
	assert_int_equal(report.next_seq, 7);
	assert_int_equal(report.segments[1].first_lsn, 61);
	assert_int_equal(report.segments[1].last_lsn, 120);
	assert_int_equal(report.segments[1].records, 60);
	assert_true(report.segments[1].proof_ok && report.segments[1].header_ok);
	assert_int_equal(report.segments[5].records, 0);
	wal_report_release(&report);

	/* From a later segment, and only a part of it. */
	opts.from_seq = 3;
	opts.after_lsn = 130;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.first, 131);
	assert_int_equal(seen.last, 300);
	/* What is needed begins in a segment before it, which a proof says was durable. */
	opts.after_lsn = 100;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	assert_int_equal(seen.count, 0);
	/* All of it is known already. */
	opts.after_lsn = opts.known_lsn = 300;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_ENDS_WELL);
	assert_int_equal(seen.count, 0);
	assert_int_equal(report.last_lsn, 300);
	wal_report_release(&report);
	opts.known_lsn = 301;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);

	/* The search behind a bad place finds all the others. */
	opts = wal_model_scan_opts(&model, model.io, 1);
	io_mem_segment(model.medium, 1, &len)[model.records[0].offset + 7] ^= 1;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_DAMAGED);
	assert_int_equal(report.readable_beyond, 299);
	assert_int_equal(report.max_beyond_lsn, 300);
	assert_int_equal(report.last_lsn, 0);
	wal_report_release(&report);

	/* Also when it begins with the one that lies across the end of the first MiB. */
	while (model.records[lost].offset + model.records[lost].size <
	       FORMAT_RECORDS_AT + (1u << 20)) {
		lost++;
		io_mem_segment(model.medium, 1, &len)[model.records[lost - 1].offset] ^= 1;
	}
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_DAMAGED);
	assert_int_equal(report.readable_beyond, 300 - lost);
	wal_report_release(&report);
	wal_model_release(&model);
}

struct salvaged {
	const struct wal_model *model;
	uint64_t count, sum, max_lsn;
};

static int count_salvaged(void *ctx, const struct wal_record *record)
{
	struct salvaged *salvaged = ctx;
	struct wal_model_seen seen = {.model = salvaged->model};

	salvaged->count++;
	salvaged->sum += record->lsn;
	if (record->lsn > salvaged->max_lsn)
		salvaged->max_lsn = record->lsn;
	(void)wal_model_check(&seen, record); /* always 0; its finding is in seen */
	return seen.wrong ? ERR_DAMAGED : 0;
}

static void test_salvage(void **state)
{
	struct wal_model model;
	struct salvaged salvaged = {.model = &model};
	struct wal_scan_opts opts;
	uint8_t *bytes;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 18, WAL_LOG);
	for (unsigned i = 0; i < 15; i++) {
		wal_model_append(&model, 40);
		if (i % 5 == 4 && i < 14)
			wal_model_turn(&model);
	}
	opts = wal_model_scan_opts(&model, model.io, 0);
	bytes = io_mem_segment(model.medium, 1, &len);
	bytes[model.records[1].offset] ^= 1;
	bytes = io_mem_segment(model.medium, 3, &len);
	bytes[model.records[12].offset + 50] ^= 1;
	assert_int_equal(wal_salvage(&opts, count_salvaged, &salvaged), 0);
	assert_int_equal(salvaged.count, 13);
	assert_int_equal(salvaged.sum, 15 * 16 / 2 - 2 - 13);
	assert_int_equal(salvaged.max_lsn, 15);
	/* What the visitor says ends it. */
	model.records[14].sum++;
	assert_int_equal(wal_salvage(&opts, count_salvaged, &salvaged), ERR_DAMAGED);
	wal_model_release(&model);
}

/* A vector that contains a piece of the log: its records are payload, also when they show. */
static void test_log_in_payload(void **state)
{
	struct wal_model model;
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	uint8_t copy[4096];
	uint8_t *bytes;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 11, WAL_LOG);
	for (unsigned i = 0; i < 20; i++)
		wal_model_append(&model, 160);
	bytes = io_mem_segment(model.medium, 1, &len);
	memcpy(copy, bytes + FORMAT_RECORDS_AT, sizeof(copy));
	assert_int_equal(wal_model_try_bytes(&model, copy, sizeof(copy)), 0);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, 21);
	bytes = io_mem_segment(model.medium, 1, &len);
	bytes[model.records[20].offset] ^= 1;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), WAL_TORN_TAIL);
	assert_int_equal(seen.count, 20);
	assert_int_equal(report.readable_beyond, 0);
	wal_report_release(&report);
	wal_model_release(&model);
}

static void test_errors(void **state)
{
	static const char *const calls[] = {"log_list", "log_size", "log_read"};
	struct wal_model model;
	struct wal_scan_opts opts;
	struct wal_report report;
	struct err_msg msg;
	size_t len = 0;
	int err;

	(void)state;
	wal_model_init(&model, SEED + 17, WAL_LOG);
	for (unsigned i = 0; i < 9; i++) {
		wal_model_append(&model, 40);
		if (i % 3 == 2)
			wal_model_turn_unsealed(&model);
	}
	opts = wal_model_scan_opts(&model, model.io, 1);
	/* A bad place, so that the search reads too. */
	io_mem_segment(model.medium, 1, &len)[model.records[1].offset] ^= 1;
	for (size_t i = 0; i < 3; i++) {
		struct wal_model_fault fault = {calls[i], 0, ERR_IO, 0};
		uint64_t all;

		io_mem_set_fault(model.medium, NULL, NULL);
		assert_int_equal(wal_scan(&opts, NULL, NULL, &report, &msg), 0);
		wal_report_release(&report);
		all = io_mem_calls(model.medium, calls[i]);
		for (err = ERR_IO; err == ERR_IO; fault.nth++) {
			wal_model_set_fault(&model, &fault);
			err = wal_scan(&opts, NULL, NULL, &report, &msg);
			assert_true(err == 0 || err == ERR_IO);
		}
		assert_int_equal(report.verdict, WAL_DAMAGED);
		wal_report_release(&report);
		assert_int_equal(fault.nth - 1, all);
	}
	io_mem_set_fault(model.medium, NULL, NULL);
	err = ERR_NOMEM;
	for (int k = 0; err == ERR_NOMEM; k++) {
		int left = k;

		mem_set_fault(wal_model_fail_memory, &left);
		err = wal_scan(&opts, NULL, NULL, &report, &msg);
		mem_set_fault(NULL, NULL);
		assert_true(err == 0 || err == ERR_NOMEM);
	}
	wal_report_release(&report);
	opts.from_seq = 9;
	assert_int_equal(wal_scan(&opts, NULL, NULL, &report, &msg), ERR_ABSENT);
	opts.from_seq = 1;
	opts.uuid[3]++;
	assert_int_equal(wal_scan(&opts, NULL, NULL, &report, &msg), ERR_FORMAT);
	assert_non_null(strstr(msg.text, "another store"));
	wal_model_release(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_salvage),
		cmocka_unit_test(test_log_in_payload),
		cmocka_unit_test(test_errors),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
