/* test_store_wal_read.c - finding records in segments: large logs, salvage, read errors. */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "store/wal_read.h"
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

/* A window shows the bytes of the segment at any offset, also of one before it. */
static void test_window(void **state)
{
	static const uint64_t lengths[] = {0, 400u << 10, UINT64_MAX};
	struct wal_model model;
	const uint8_t *bytes, *shown = NULL;
	size_t len = 0, available = 0;

	(void)state;
	wal_model_init(&model, SEED + 19, WAL_LOG);
	for (unsigned i = 0; i < 40; i++)
		wal_model_append(&model, WAL_FORMAT_PAYLOAD_MAX);
	bytes = io_mem_segment(model.medium, 1, &len);
	for (size_t i = 0; i < 3; i++) {
		const uint64_t offsets[] = {8,	 FORMAT_RECORDS_AT, len / 2, len / 2 - 8, 16,
					    len, len - 100,	    len + 8, len - 64,	  0};
		struct wal_read window;

		assert_int_equal(wal_read_init(&window, model.io, lengths[i]), 0);
		wal_read_seek(&window, 1);
		for (size_t at = 0; at < sizeof(offsets) / sizeof(offsets[0]); at++) {
			size_t left = offsets[at] < len ? len - (size_t)offsets[at] : 0;

			assert_int_equal(wal_read_at(&window, offsets[at], &shown, &available), 0);
			assert_true(available <= left);
			assert_true(available == left || available >= WAL_FORMAT_RECORD_MAX);
			if (available > 0)
				assert_memory_equal(shown, bytes + offsets[at], available);
		}
		wal_read_release(&window);
	}
	wal_model_release(&model);
}

/* The first call of one name fails, and another one with another error. */
struct two_faults {
	const char *call[2];
	int err[2];
	uint64_t nth[2];
};

static int fail_two(void *ctx, const char *call, uint64_t nth)
{
	const struct two_faults *faults = ctx;

	for (int i = 0; i < 2; i++)
		if (strcmp(call, faults->call[i]) == 0 && nth == faults->nth[i])
			return faults->err[i];
	return 0;
}

static struct store_io_ops whole_ops;

/* Reads of more than a block fail, and the second block ends too early, without an error. */
static int read_short(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
		      size_t *got_out)
{
	if (len > FORMAT_BLOCK)
		return ERR_IO;
	return whole_ops.log_read(io, seq, offset, buf, offset == FORMAT_BLOCK ? 100 : len,
				  got_out);
}

/* What a device refuses reads as zeros where that is wanted; running out of memory is no damage. */
static void test_tolerant_window(void **state)
{
	static struct two_faults cases[] = {
		{{"log_read", "log_read"}, {ERR_IO, ERR_IO}, {0, 2}},
		{{"log_read", "log_size"}, {ERR_IO, ERR_IO}, {0, 0}},
		{{"log_read", "log_size"}, {ERR_IO, ERR_NOMEM}, {0, 0}},
		{{"log_read", "log_read"}, {ERR_IO, ERR_NOMEM}, {0, 2}},
		{{"log_read", "log_read"}, {ERR_NOMEM, ERR_IO}, {0, 99}},
	};
	static const int results[] = {0, 0, ERR_NOMEM, ERR_NOMEM, ERR_NOMEM};
	struct store_io_ops short_ops;
	const struct store_io_ops *ops;
	struct wal_model model;
	struct wal_read window;
	const uint8_t *bytes, *shown = NULL;
	size_t len = 0, available = 0;

	(void)state;
	wal_model_init(&model, SEED + 20, WAL_LOG);
	for (unsigned i = 0; i < 30; i++) /* more than one window */
		wal_model_append(&model, 3000);
	bytes = io_mem_segment(model.medium, 1, &len);
	assert_int_equal(wal_read_init(&window, model.io, 0), 0);
	window.tolerant = true;
	for (size_t i = 0; i < 5; i++) {
		io_mem_set_fault(model.medium, fail_two, &cases[i]);
		wal_read_seek(&window, 1);
		available = 0;
		assert_int_equal(wal_read_at(&window, 0, &shown, &available), results[i]);
		assert_int_equal(window.refused, i < 4);
		if (i == 0) { /* the second block is missing */
			assert_int_equal(available, window.cap);
			assert_memory_equal(shown, bytes, FORMAT_BLOCK);
			assert_true(all_zero(shown + FORMAT_BLOCK, FORMAT_BLOCK));
			assert_memory_equal(shown + 2 * FORMAT_BLOCK, bytes + 2 * FORMAT_BLOCK,
					    available - 2 * FORMAT_BLOCK);
		} else {
			assert_int_equal(available, 0);
		}
	}
	/* behind the end there is nothing to read around */
	io_mem_set_fault(model.medium, fail_two, &cases[0]);
	assert_int_equal(wal_read_at(&window, len + 8, &shown, &available), 0);
	assert_int_equal(available, 0);
	io_mem_set_fault(model.medium, NULL, NULL);
	whole_ops = short_ops = *model.io->ops;
	short_ops.log_read = read_short;
	ops = model.io->ops;
	model.io->ops = &short_ops;
	wal_read_seek(&window, 1);
	assert_int_equal(wal_read_at(&window, 0, &shown, &available), 0);
	model.io->ops = ops;
	assert_memory_equal(shown, bytes, FORMAT_BLOCK + 100);
	assert_true(all_zero(shown + FORMAT_BLOCK + 100, FORMAT_BLOCK - 100));
	assert_memory_equal(shown + 2 * FORMAT_BLOCK, bytes + 2 * FORMAT_BLOCK, FORMAT_BLOCK);
	wal_read_release(&window);
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
		cmocka_unit_test(test_round_trip),	cmocka_unit_test(test_salvage),
		cmocka_unit_test(test_log_in_payload),	cmocka_unit_test(test_window),
		cmocka_unit_test(test_tolerant_window), cmocka_unit_test(test_errors),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
