/* test_store_wal_format.c - records that are whole but not as this program writes them. */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/wal_model.h"

#define SEED 20240612u

/* Records with a right hash that this program never writes. */
static void test_hostile_records(void **state)
{
	static const struct {
		uint32_t length;
		uint8_t type;
		uint64_t durable_lsn;
		uint32_t epoch;
		bool good;
	} cases[] = {
		{WAL_FORMAT_PAYLOAD_MAX, FORMAT_PUT, 0, 1, true},
		{WAL_FORMAT_PAYLOAD_MAX + 1, FORMAT_PUT, 0, 1, false},
		{16, 0, 0, 1, false},
		{16, FORMAT_SYNC + 1, 0, 1, false},
		{16, FORMAT_PUT, 1, 1, false},
		{16, FORMAT_PUT, 0, 2, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wal_format_record made = {.record = {.lsn = 1}};
		uint32_t size = wal_format_size(cases[i].length);
		struct wal_format_segment segment;
		struct wal_scan_opts opts;
		struct wal_report report;
		struct wal_model model;
		size_t len = 0;

		wal_model_init(&model, SEED + 16, WAL_LOG);
		assert_int_equal(
			wal_format_get_segment(io_mem_segment(model.medium, 1, &len), 1, &segment),
			0);
		assert_int_equal(io_mem_resize_segment(model.medium, 1, len + size), 0);
		made.record.type = cases[i].type;
		made.record.length = cases[i].length;
		made.record.durable_lsn = cases[i].durable_lsn;
		made.record.epoch = cases[i].epoch;
		wal_format_put_record(io_mem_segment(model.medium, 1, &len) + FORMAT_RECORDS_AT,
				      &made, segment.salt);
		opts = wal_model_scan_opts(&model, model.io, 1);
		assert_int_equal(wal_scan(&opts, NULL, NULL, &report, NULL), 0);
		assert_int_equal(report.records, cases[i].good ? 1 : 0);
		wal_report_release(&report);
		wal_model_release(&model);
	}
}

/* Blocks and records that are whole, and of another version, another place or no number. */
static void test_not_meant(void **state)
{
	struct wal_format_segment segment = {.seq = 3, .epoch = 1}, back;
	struct wal_format_record record = {.record = {.type = FORMAT_SYNC, .epoch = 1}}, found;
	uint8_t block[FORMAT_BLOCK] = {0}, bytes[WAL_FORMAT_RECORD_MIN];
	uint64_t lsn, hash;

	(void)state;
	wal_format_put_segment(block, &segment);
	assert_int_equal(wal_format_get_segment(block, 3, &back), 0);
	assert_int_equal(wal_format_get_segment(block, 4, &back), ERR_DAMAGED);
	put_u32(((struct format_segment *)block)->version, FORMAT_VERSION + 1);
	assert_int_equal(wal_format_get_segment(block, 3, &back), ERR_DAMAGED);
	put_u64(((struct format_segment *)block)->checksum, XXH3_64bits(block, FORMAT_BLOCK - 8));
	assert_int_equal(wal_format_get_segment(block, 3, &back), ERR_FORMAT);
	wal_format_put_proof(block, 3, 77, 88);
	assert_true(wal_format_get_proof(block, 3, &lsn, &hash));
	assert_true(lsn == 77 && hash == 88);
	assert_false(wal_format_get_proof(block, 4, &lsn, &hash));
	record.record.lsn = 5;
	wal_format_put_record(bytes, &record, segment.salt);
	assert_true(wal_format_get_record(bytes, sizeof(bytes), &segment, &found));
	assert_false(wal_format_get_record(bytes, sizeof(bytes) - 1, &segment, &found));
	record.record.lsn = 0;
	wal_format_put_record(bytes, &record, segment.salt);
	assert_false(wal_format_get_record(bytes, sizeof(bytes), &segment, &found));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_records),
		cmocka_unit_test(test_not_meant),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
