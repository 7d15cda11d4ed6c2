/*
 * test_store_wal_salvage.c - reading what is left of a damaged log: only right records are given, in
 * order, and what is missing is told by holes.
 */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/wal_format.h"
#include "tests/support/io_refusing.h"
#include "tests/support/wal_given.h"

#define SEED 20240711u

/* --- segments --- */

static void test_begins_where_asked(void **state)
{
	struct wal_salvage_segment segments[WAL_GIVEN_SEGMENTS] = {{0}};
	struct wal_given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	wal_given_make_log(&model, SEED + 1, 3, 4, 50);
	for (uint64_t seq = 0; seq <= 4; seq++) {
		opts = wal_model_scan_opts(&model, model.io, seq);
		assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
		wal_given_expect_without(&given, 12, 1, seq > 0 ? (seq - 1) * 4 : 0);
		assert_int_equal(segments[0].seq, seq == 4 ? 3 : seq == 0 ? 1 : seq);
	}
	wal_model_release(&model);
}

/* A header of another store, or of another version, is right in itself. */
static void rewrite_header(const struct wal_model *model, uint64_t seq, bool version)
{
	uint8_t *bytes = wal_given_segment(model, seq);
	struct format_segment *at = (struct format_segment *)bytes;

	if (version)
		put_u32(at->version, FORMAT_VERSION + 1);
	else
		at->uuid[3] ^= 1;
	put_u64(at->checksum, XXH3_64bits(bytes, FORMAT_BLOCK - 8));
}

static void test_foreign(void **state)
{
	(void)state;
	for (int version = 0; version < 2; version++) {
		struct wal_salvage_segment segments[WAL_GIVEN_SEGMENTS] = {{0}};
		struct wal_given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		wal_given_make_log(&model, SEED + 2, 3, 4, 50);
		rewrite_header(&model, 2, version != 0);
		opts = wal_model_scan_opts(&model, model.io, 0);
		assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
		wal_given_expect_without(&given, 12, 5, 8);
		assert_true(segments[1].foreign && !segments[1].header_ok);
		assert_false(segments[0].foreign || segments[2].foreign);
		assert_int_equal(segments[1].begins, 0);
		assert_int_equal(segments[1].records, 0);
		wal_model_release(&model);
	}
}

/* Segments that end before a record could begin, or could end, with a header and without. */
static void test_short_segments(void **state)
{
	static const size_t lengths[] = {0,
					 100,
					 FORMAT_BLOCK,
					 FORMAT_RECORDS_AT - 1,
					 FORMAT_RECORDS_AT,
					 FORMAT_RECORDS_AT + 20,
					 FORMAT_RECORDS_AT + WAL_FORMAT_RECORD_MIN};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths) * 2; i++) {
		size_t length = lengths[i / 2];
		struct wal_salvage_segment segments[WAL_GIVEN_SEGMENTS] = {{0}};
		struct wal_given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		wal_given_make_log(&model, SEED + 3, 3, 4, 50);
		if (i % 2 != 0)
			wal_given_lose_header(&model, 2);
		assert_int_equal(io_mem_resize_segment(model.medium, 2, length), 0);
		opts = wal_model_scan_opts(&model, model.io, 0);
		assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
		wal_given_expect_without(&given, 12, 5, 8);
		assert_int_equal(segments[1].bytes, length);
		assert_int_equal(segments[1].begins, length >= FORMAT_RECORDS_AT ? 5 : 0);
		assert_int_equal(given.n_holes, length > FORMAT_RECORDS_AT);
		wal_model_release(&model);
	}
}

/* Neither header nor proof say where a segment begins: its first record does, if it is there. */
static void test_where_it_begins(void **state)
{
	struct wal_salvage_segment segments[WAL_GIVEN_SEGMENTS] = {{0}};
	struct wal_given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	wal_given_make_log(&model, SEED + 4, 1, 4, 50);
	wal_model_turn_unsealed(&model);
	for (unsigned i = 0; i < 4; i++)
		wal_model_append(&model, 50);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
	wal_given_expect_without(&given, 8, 1, 0);
	assert_int_equal(segments[1].begins, 5);
	wal_given_record(&model, 5)[WAL_FORMAT_HEAD] ^= 1;
	assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
	wal_given_expect_without(&given, 8, 5, 5);
	assert_int_equal(segments[1].begins, 0);
	wal_model_release(&model);
}

/* What a later writer began again is void, also where it is no longer in sequence; so is a copy. */
static void test_void_records(void **state)
{
	struct wal_report report = {.last_lsn = 3, .next_seq = 2};
	struct wal_given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	uint64_t end;
	size_t size;

	(void)state;
	wal_given_make_log(&model, SEED + 5, 1, 6, 50);
	wal_model_restart(&model, &report);
	wal_model_append(&model, 70);
	wal_model_append(&model, 71);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
	wal_given_expect_without(&given, 5, 1, 0);
	wal_given_record(&model, 3)[WAL_FORMAT_HEAD] ^= 1;
	assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
	wal_given_expect_without(&given, 5, 3, 3);
	end = model.records[4].offset + model.records[4].size;
	size = model.records[3].size;
	assert_int_equal(io_mem_resize_segment(model.medium, 2, (size_t)end + size), 0);
	memcpy(wal_given_segment(&model, 2) + end, wal_given_record(&model, 4), size);
	assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
	wal_given_expect_without(&given, 5, 3, 3);
	assert_int_equal(given.n_holes, 1);
	wal_model_release(&model);
}

/* --- records without a salt --- */

/* One damage of the fourth of eight records, and which are then not given. */
struct field {
	size_t at;
	uint64_t value;
	unsigned bytes;
	uint64_t from, to;
};

/* Without its head a record is none, and the one before has nobody to confirm its hash. */
static void test_every_field(void **state)
{
	enum { N = 8, BAD = 4, LENGTH = 50 };
	static const struct field fields[] = {
		{offsetof(struct format_record, magic), 0, 2, 3, 4},
		{offsetof(struct format_record, type), FORMAT_PUT - 1, 1, 3, 4},
		{offsetof(struct format_record, type), FORMAT_SYNC + 1, 1, 3, 4},
		{offsetof(struct format_record, zero0), 1, 1, 3, 4},
		{offsetof(struct format_record, zero1), 1, 4, 3, 4},
		{offsetof(struct format_record, length), WAL_FORMAT_PAYLOAD_MAX + 1, 4, 3, 4},
		{offsetof(struct format_record, length), LENGTH * (N + 3), 4, 3, 4},
		{offsetof(struct format_record, lsn), 0, 8, 3, 4},
		{offsetof(struct format_record, lsn), BAD + 1, 8, 3, 4},
		{offsetof(struct format_record, durable_lsn), BAD, 8, 3, 4},
		{offsetof(struct format_record, prev_hash), 1, 8, 3, 3},
		/* a length that is possible: where it ends, no other begins */
		{offsetof(struct format_record, length), LENGTH - 16, 4, 4, 4},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		const struct field *field = &fields[i];
		struct wal_salvage_segment segments[WAL_GIVEN_SEGMENTS] = {{0}};
		struct wal_given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;
		uint8_t value[8];

		wal_given_make_log(&model, SEED + 6, 1, N, LENGTH);
		wal_given_lose_header(&model, 1);
		opts = wal_model_scan_opts(&model, model.io, 0);
		assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
		wal_given_expect_without(&given, N, 1, 0);
		assert_true(segments[0].unverified && !segments[0].header_ok);
		put_u64(value, field->value);
		memcpy(wal_given_record(&model, BAD) + field->at, value, field->bytes);
		assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
		wal_given_expect_without(&given, N, field->from, field->to);
		wal_model_release(&model);
	}
}

/* The last record is believed where the segment ends with it, and only there. */
static void test_last_of_segment(void **state)
{
	struct wal_given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	size_t len;

	(void)state;
	wal_given_make_log(&model, SEED + 7, 1, 5, 50);
	wal_given_lose_header(&model, 1);
	opts = wal_model_scan_opts(&model, model.io, 0);
	(void)io_mem_segment(model.medium, 1, &len); /* only its length is of interest */
	assert_int_equal(io_mem_resize_segment(model.medium, 1, len + 8), 0);
	assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
	wal_given_expect_without(&given, 5, 5, 5);
	assert_true(given.holes[0].framed && given.holes[0].at_end);
	assert_int_equal(given.holes[0].lsn, 5);
	wal_model_release(&model);
}

/* The salt is right but the epoch beside it is not, and the first record, which would tell, is gone. */
static void test_epoch_lost(void **state)
{
	struct wal_salvage_segment segments[WAL_GIVEN_SEGMENTS] = {{0}};
	struct wal_given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	uint8_t *bytes;

	(void)state;
	wal_given_make_log(&model, SEED + 8, 1, 5, 50);
	opts = wal_model_scan_opts(&model, model.io, 0);
	bytes = wal_given_segment(&model, 1);
	put_u32(((struct format_segment *)bytes)->epoch, 77);
	assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
	wal_given_expect_without(&given, 5, 1, 0);
	assert_false(segments[0].unverified || segments[0].header_ok);
	put_u16(wal_given_record(&model, 1), 0);
	assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
	wal_given_expect_without(&given, 5, 1, 1);
	assert_true(segments[0].unverified);
	put_u32(((struct format_segment *)bytes)->epoch, model.opts.epoch);
	bytes[FORMAT_BLOCK - 1] ^= 1;
	assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
	wal_given_expect_without(&given, 5, 1, 1);
	assert_false(segments[0].unverified);
	wal_model_release(&model);
}

/* A block that the disk refuses reads as zeros: a record that needs it is not there. */
static void test_refused_block(void **state)
{
	(void)state;
	for (int lost = 0; lost < 2; lost++) {
		struct wal_salvage_segment segments[WAL_GIVEN_SEGMENTS] = {{0}};
		struct io_refusing disk = {.seq = 1};
		struct wal_given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		wal_given_make_log(&model, SEED + 9, 1, 5, 20000);
		if (lost != 0)
			wal_given_lose_header(&model, 1);
		disk.from = round_up(model.records[2].offset, FORMAT_BLOCK) + FORMAT_BLOCK;
		disk.to = disk.from + FORMAT_BLOCK;
		io_refusing_init(&disk, model.io);
		opts = wal_model_scan_opts(&model, &disk.io, 0);
		assert_int_equal(wal_given_walk(&model, &opts, &given, segments), 0);
		wal_given_expect_without(&given, 5, 3, 3);
		assert_true(segments[0].refused);
		assert_int_equal(segments[0].unverified, lost);
		assert_true(given.n_holes == 1 && given.holes[0].framed);
		assert_int_equal(given.holes[0].lsn, 3);
		wal_model_release(&model);
	}
}

/* --- holes --- */

static void test_holes(void **state)
{
	struct wal_given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	uint8_t *bytes;
	size_t len;

	(void)state;
	wal_given_make_log(&model, SEED + 10, 1, 6, 5000);
	opts = wal_model_scan_opts(&model, model.io, 0);
	/* zeros as long as a block: such a place was written once */
	memset(wal_given_record(&model, 2), 0, model.records[1].size);
	/* a head of which the record may be void already: it does not count */
	bytes = wal_given_record(&model, 4);
	put_u64(((struct format_record *)bytes)->lsn, 2);
	assert_non_null(io_mem_segment(model.medium, 1, &len));
	assert_int_equal(io_mem_resize_segment(model.medium, 1, len + 100), 0);
	assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
	assert_int_equal(given.n, 4);
	assert_int_equal(given.n_holes, 3);
	assert_int_equal(given.holes[0].offset, model.records[1].offset);
	assert_int_equal(given.holes[0].bytes, model.records[1].size);
	assert_false(given.holes[0].empty || given.holes[0].framed || given.holes[0].at_end);
	assert_int_equal(given.holes[1].offset, model.records[3].offset);
	assert_false(given.holes[1].framed || given.holes[1].empty || given.holes[1].at_end);
	assert_int_equal(given.holes[2].offset, len);
	assert_int_equal(given.holes[2].bytes, 100);
	assert_true(given.holes[2].empty && given.holes[2].at_end);
	/* what the visitor of holes says ends it */
	given.stop = ERR_LIMIT;
	assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), ERR_LIMIT);
	assert_int_equal(given.n_holes, 1);
	assert_int_equal(given.n, 1);
	wal_model_release(&model);
}

/* A few zeros between records: a writer that appended behind them. */
static void test_small_gap(void **state)
{
	struct wal_given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	wal_given_make_log(&model, SEED + 11, 1, 6, 50);
	opts = wal_model_scan_opts(&model, model.io, 0);
	memset(wal_given_record(&model, 2), 0, model.records[1].size);
	assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
	wal_given_expect_without(&given, 6, 2, 2);
	assert_int_equal(given.n_holes, 1);
	assert_false(given.holes[0].empty); /* zeros, and then the next record */
	wal_model_release(&model);
}

/* Zeros as far as is read at once, and then something that was written: no end of the log. */
static void test_zeros_and_more(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		struct wal_given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;
		size_t len;

		wal_given_make_log(&model, SEED + 30, 1, 4, 50);
		assert_non_null(io_mem_segment(model.medium, 1, &len));
		assert_int_equal(io_mem_resize_segment(model.medium, 1, len + (3u << 20)), 0);
		if (more)
			io_mem_segment(model.medium, 1, &len)[len - 100] = 1;
		opts = wal_model_scan_opts(&model, model.io, 0);
		assert_int_equal(wal_given_walk(&model, &opts, &given, NULL), 0);
		assert_int_equal(given.n_holes, 1);
		assert_true(given.holes[0].at_end);
		assert_int_equal(given.holes[0].empty, !more);
		wal_model_release(&model);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_where_asked), cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_short_segments),	   cmocka_unit_test(test_where_it_begins),
		cmocka_unit_test(test_void_records),	   cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_last_of_segment),	   cmocka_unit_test(test_epoch_lost),
		cmocka_unit_test(test_refused_block),	   cmocka_unit_test(test_holes),
		cmocka_unit_test(test_zeros_and_more),	   cmocka_unit_test(test_small_gap),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
