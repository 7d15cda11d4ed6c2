/*
 * test_store_wal_salvage.c - reading what is left of a log: whatever is wrong in it or with its disk,
 * only right records are given, in order, and what is missing is told by holes.
 */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/io_refusing.h"
#include "tests/support/wal_model.h"

#define SEED 20240711u
#define LONG 60000u /* bytes of payload: a window has room for one such record */

/* What one walk gave. */
struct given {
	const struct wal_model *model;
	size_t n, n_holes;
	uint64_t lsns[64];
	uint64_t offset; /* of the last record */
	struct wal_hole holes[16];
	int stop; /* result of the visitor of holes */
};

static int visit(void *ctx, const struct wal_record *record)
{
	struct given *given = ctx;
	struct wal_model_seen seen = {.model = given->model};

	assert_true(given->n < sizeof(given->lsns) / sizeof(*given->lsns));
	assert_true(given->n == 0 || record->lsn > given->lsns[given->n - 1]);
	(void)wal_model_check(&seen, record); /* always 0; its finding is in seen */
	assert_false(seen.wrong);
	given->lsns[given->n++] = record->lsn;
	given->offset = record->offset;
	return 0;
}

static int visit_hole(void *ctx, const struct wal_hole *hole)
{
	struct given *given = ctx;

	assert_true(given->n_holes < sizeof(given->holes) / sizeof(*given->holes));
	given->holes[given->n_holes++] = *hole;
	return given->stop;
}

/* Opens and walks. segments_out: copies of the first 8; may be NULL. */
static int walk(const struct wal_model *model, const struct wal_scan_opts *opts,
		struct given *given, struct wal_salvage_segment *segments_out)
{
	struct wal_salvage *salvage = NULL;
	int err = wal_salvage_open(&salvage, opts);

	*given = (struct given){.model = model, .stop = given->stop};
	assert_true((err == 0) == (salvage != NULL));
	if (err == 0)
		err = wal_salvage_walk(salvage, visit, visit_hole, given);
	if (err == 0 && segments_out != NULL) {
		size_t n;
		const struct wal_salvage_segment *segments = wal_salvage_segments(salvage, &n);

		assert_true(n <= 8);
		memcpy(segments_out, segments, n * sizeof(*segments));
	}
	wal_salvage_close(salvage);
	return err;
}

/* That exactly these LSNs are given: all up to n but from ... to. */
static void expect_without(const struct given *given, uint64_t n, uint64_t from, uint64_t to)
{
	size_t i = 0;

	for (uint64_t lsn = 1; lsn <= n; lsn++)
		if (lsn < from || lsn > to) {
			assert_true(i < given->n);
			assert_int_equal(given->lsns[i++], lsn);
		}
	assert_int_equal(i, given->n);
}

/* n records of a length in each of so many segments. */
static void make_log(struct wal_model *model, uint64_t seed, unsigned segments, unsigned n,
		     uint32_t length)
{
	wal_model_init(model, SEED + seed, WAL_LOG);
	for (unsigned s = 0; s < segments; s++) {
		if (s > 0)
			wal_model_turn(model);
		for (unsigned i = 0; i < n; i++)
			wal_model_append(model, length + i);
	}
}

static uint8_t *segment_bytes(const struct wal_model *model, uint64_t seq)
{
	size_t len;
	uint8_t *bytes = io_mem_segment(model->medium, seq, &len);

	assert_non_null(bytes);
	return bytes;
}

static uint8_t *record_bytes(const struct wal_model *model, uint64_t lsn)
{
	const struct wal_model_record *record = &model->records[lsn - 1];

	return segment_bytes(model, record->seq) + record->offset;
}

/* The salt of a segment is gone. */
static void lose_header(const struct wal_model *model, uint64_t seq)
{
	memset(segment_bytes(model, seq), 0, FORMAT_BLOCK);
}

/* --- segments --- */

static void test_begins_where_asked(void **state)
{
	struct wal_salvage_segment segments[8] = {{0}};
	struct given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	make_log(&model, 1, 3, 4, 50);
	for (uint64_t seq = 0; seq <= 4; seq++) {
		opts = wal_model_scan_opts(&model, model.io, seq);
		assert_int_equal(walk(&model, &opts, &given, segments), 0);
		expect_without(&given, 12, 1, seq > 0 ? (seq - 1) * 4 : 0);
		assert_int_equal(segments[0].seq, seq == 4 ? 3 : seq == 0 ? 1 : seq);
	}
	wal_model_release(&model);
}

/* A header of another store, or of another version, is right in itself. */
static void rewrite_header(const struct wal_model *model, uint64_t seq, bool version)
{
	uint8_t *bytes = segment_bytes(model, seq);
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
		struct wal_salvage_segment segments[8] = {{0}};
		struct given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		make_log(&model, 2, 3, 4, 50);
		rewrite_header(&model, 2, version != 0);
		opts = wal_model_scan_opts(&model, model.io, 0);
		assert_int_equal(walk(&model, &opts, &given, segments), 0);
		expect_without(&given, 12, 5, 8);
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
		struct wal_salvage_segment segments[8] = {{0}};
		struct given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		make_log(&model, 3, 3, 4, 50);
		if (i % 2 != 0)
			lose_header(&model, 2);
		assert_int_equal(io_mem_resize_segment(model.medium, 2, length), 0);
		opts = wal_model_scan_opts(&model, model.io, 0);
		assert_int_equal(walk(&model, &opts, &given, segments), 0);
		expect_without(&given, 12, 5, 8);
		assert_int_equal(segments[1].bytes, length);
		assert_int_equal(segments[1].begins, length >= FORMAT_RECORDS_AT ? 5 : 0);
		assert_int_equal(given.n_holes, length > FORMAT_RECORDS_AT);
		wal_model_release(&model);
	}
}

/* Neither header nor proof say where a segment begins: its first record does, if it is there. */
static void test_where_it_begins(void **state)
{
	struct wal_salvage_segment segments[8] = {{0}};
	struct given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	make_log(&model, 4, 1, 4, 50);
	wal_model_turn_unsealed(&model);
	for (unsigned i = 0; i < 4; i++)
		wal_model_append(&model, 50);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(walk(&model, &opts, &given, segments), 0);
	expect_without(&given, 8, 1, 0);
	assert_int_equal(segments[1].begins, 5);
	record_bytes(&model, 5)[WAL_FORMAT_HEAD] ^= 1;
	assert_int_equal(walk(&model, &opts, &given, segments), 0);
	expect_without(&given, 8, 5, 5);
	assert_int_equal(segments[1].begins, 0);
	wal_model_release(&model);
}

/* What a later writer began again is void, also where it is no longer in sequence; so is a copy. */
static void test_void_records(void **state)
{
	struct wal_report report = {.last_lsn = 3, .next_seq = 2};
	struct given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	uint64_t end;
	size_t size;

	(void)state;
	make_log(&model, 5, 1, 6, 50);
	wal_model_restart(&model, &report);
	wal_model_append(&model, 70);
	wal_model_append(&model, 71);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(walk(&model, &opts, &given, NULL), 0);
	expect_without(&given, 5, 1, 0);
	record_bytes(&model, 3)[WAL_FORMAT_HEAD] ^= 1;
	assert_int_equal(walk(&model, &opts, &given, NULL), 0);
	expect_without(&given, 5, 3, 3);
	end = model.records[4].offset + model.records[4].size;
	size = model.records[3].size;
	assert_int_equal(io_mem_resize_segment(model.medium, 2, (size_t)end + size), 0);
	memcpy(segment_bytes(&model, 2) + end, record_bytes(&model, 4), size);
	assert_int_equal(walk(&model, &opts, &given, NULL), 0);
	expect_without(&given, 5, 3, 3);
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
		struct wal_salvage_segment segments[8] = {{0}};
		struct given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;
		uint8_t value[8];

		make_log(&model, 6, 1, N, LENGTH);
		lose_header(&model, 1);
		opts = wal_model_scan_opts(&model, model.io, 0);
		assert_int_equal(walk(&model, &opts, &given, segments), 0);
		expect_without(&given, N, 1, 0);
		assert_true(segments[0].unverified && !segments[0].header_ok);
		put_u64(value, field->value);
		memcpy(record_bytes(&model, BAD) + field->at, value, field->bytes);
		assert_int_equal(walk(&model, &opts, &given, NULL), 0);
		expect_without(&given, N, field->from, field->to);
		wal_model_release(&model);
	}
}

/* The last record is believed where the segment ends with it, and only there. */
static void test_last_of_segment(void **state)
{
	struct given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	size_t len;

	(void)state;
	make_log(&model, 7, 1, 5, 50);
	lose_header(&model, 1);
	opts = wal_model_scan_opts(&model, model.io, 0);
	(void)io_mem_segment(model.medium, 1, &len); /* only its length is of interest */
	assert_int_equal(io_mem_resize_segment(model.medium, 1, len + 8), 0);
	assert_int_equal(walk(&model, &opts, &given, NULL), 0);
	expect_without(&given, 5, 5, 5);
	assert_true(given.holes[0].framed && given.holes[0].at_end);
	assert_int_equal(given.holes[0].lsn, 5);
	wal_model_release(&model);
}

/* The salt is right but the epoch beside it is not, and the first record, which would tell, is gone. */
static void test_epoch_lost(void **state)
{
	struct wal_salvage_segment segments[8] = {{0}};
	struct given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	uint8_t *bytes;

	(void)state;
	make_log(&model, 8, 1, 5, 50);
	opts = wal_model_scan_opts(&model, model.io, 0);
	bytes = segment_bytes(&model, 1);
	put_u32(((struct format_segment *)bytes)->epoch, 77);
	assert_int_equal(walk(&model, &opts, &given, segments), 0);
	expect_without(&given, 5, 1, 0);
	assert_false(segments[0].unverified || segments[0].header_ok);
	put_u16(record_bytes(&model, 1), 0);
	assert_int_equal(walk(&model, &opts, &given, segments), 0);
	expect_without(&given, 5, 1, 1);
	assert_true(segments[0].unverified);
	put_u32(((struct format_segment *)bytes)->epoch, model.opts.epoch);
	bytes[FORMAT_BLOCK - 1] ^= 1;
	assert_int_equal(walk(&model, &opts, &given, segments), 0);
	expect_without(&given, 5, 1, 1);
	assert_false(segments[0].unverified);
	wal_model_release(&model);
}

/* A block that the disk refuses reads as zeros: a record that needs it is not there. */
static void test_refused_block(void **state)
{
	(void)state;
	for (int lost = 0; lost < 2; lost++) {
		struct wal_salvage_segment segments[8] = {{0}};
		struct io_refusing disk = {.seq = 1};
		struct given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		make_log(&model, 9, 1, 5, 20000);
		if (lost != 0)
			lose_header(&model, 1);
		disk.from = round_up(model.records[2].offset, FORMAT_BLOCK) + FORMAT_BLOCK;
		disk.to = disk.from + FORMAT_BLOCK;
		io_refusing_init(&disk, model.io);
		opts = wal_model_scan_opts(&model, &disk.io, 0);
		assert_int_equal(walk(&model, &opts, &given, segments), 0);
		expect_without(&given, 5, 3, 3);
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
	struct given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;
	uint8_t *bytes;
	size_t len;

	(void)state;
	make_log(&model, 10, 1, 6, 5000);
	opts = wal_model_scan_opts(&model, model.io, 0);
	/* zeros as long as a block: such a place was written once */
	memset(record_bytes(&model, 2), 0, model.records[1].size);
	/* a head of which the record may be void already: it does not count */
	bytes = record_bytes(&model, 4);
	put_u64(((struct format_record *)bytes)->lsn, 2);
	assert_non_null(io_mem_segment(model.medium, 1, &len));
	assert_int_equal(io_mem_resize_segment(model.medium, 1, len + 100), 0);
	assert_int_equal(walk(&model, &opts, &given, NULL), 0);
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
	assert_int_equal(walk(&model, &opts, &given, NULL), ERR_LIMIT);
	assert_int_equal(given.n_holes, 1);
	assert_int_equal(given.n, 1);
	wal_model_release(&model);
}

/* A few zeros between records: a writer that appended behind them. */
static void test_small_gap(void **state)
{
	struct given given = {0};
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	make_log(&model, 11, 1, 6, 50);
	opts = wal_model_scan_opts(&model, model.io, 0);
	memset(record_bytes(&model, 2), 0, model.records[1].size);
	assert_int_equal(walk(&model, &opts, &given, NULL), 0);
	expect_without(&given, 6, 2, 2);
	assert_int_equal(given.n_holes, 1);
	assert_false(given.holes[0].empty); /* zeros, and then the next record */
	wal_model_release(&model);
}

/* --- one record again --- */

static void test_read_again(void **state)
{
	struct wal_salvage *salvage = NULL;
	struct wal_record record;
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	make_log(&model, 12, 2, 4, 50);
	lose_header(&model, 2);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(wal_salvage_open(&salvage, &opts), 0);
	for (size_t i = 8; i-- > 0;) {
		const struct wal_model_record *want = &model.records[i];
		struct wal_model_seen seen = {.model = &model};

		assert_int_equal(wal_salvage_read(salvage, want->seq, want->offset, &record), 0);
		(void)wal_model_check(&seen, &record); /* always 0; its finding is in seen */
		assert_false(seen.wrong);
		assert_int_equal(record.lsn, i + 1);
		assert_int_equal(wal_salvage_read(salvage, want->seq, want->offset + 8, &record),
				 ERR_DAMAGED);
	}
	assert_int_equal(wal_salvage_read(salvage, 3, FORMAT_RECORDS_AT, &record), ERR_DAMAGED);
	wal_salvage_close(salvage);
	wal_model_release(&model);
}

/* The nth call fails, and all from then on if for_ever. */
struct fault {
	const char *call;
	uint64_t nth;
	int result;
	bool for_ever;
	bool hit; /* it did */
};

static int fail_nth(void *ctx, const char *call, uint64_t nth)
{
	struct fault *fault = ctx;

	if (strcmp(call, fault->call) != 0 || nth < fault->nth ||
	    (nth > fault->nth && !fault->for_ever))
		return 0;
	fault->hit = true;
	return fault->result;
}

/* The device changes its mind while one record is read: it is given right, or not at all. */
static void test_read_again_fails(void **state)
{
	static const int results[] = {ERR_IO, ERR_NOMEM};
	struct wal_scan_opts opts;
	struct wal_model model;
	unsigned cases = 0;

	(void)state;
	make_log(&model, 13, 1, 4, LONG);
	lose_header(&model, 1);
	opts = wal_model_scan_opts(&model, model.io, 0);
	for (int which = 0; which < 4; which++) {
		struct fault fault = {.call = "log_read",
				      .result = results[which % 2],
				      .for_ever = which >= 2,
				      .hit = true};

		for (; fault.hit; fault.nth++, cases++) {
			struct wal_model_seen seen = {.model = &model};
			struct wal_salvage *salvage = NULL;
			struct wal_record record;
			int err;

			assert_int_equal(wal_salvage_open(&salvage, &opts), 0);
			fault.hit = false;
			io_mem_set_fault(model.medium, fail_nth, &fault);
			err = wal_salvage_read(salvage, 1, model.records[1].offset, &record);
			io_mem_set_fault(model.medium, NULL, NULL);
			if (fault.hit && fault.result == ERR_NOMEM)
				assert_int_equal(err, ERR_NOMEM);
			else
				assert_true(err == 0 || (fault.hit && err == ERR_DAMAGED));
			if (err == 0) {
				(void)wal_model_check(&seen, &record); /* see above */
				assert_false(seen.wrong);
			}
			wal_salvage_close(salvage);
		}
	}
	assert_true(cases > 10);
	wal_model_release(&model);
}

/* --- each call, each allocation --- */

enum world { WHOLE, HEADER_LOST, HEADER_DOUBTFUL, LONG_HEADER_LOST, WORLDS };

static void make_world(struct wal_model *model, enum world world)
{
	make_log(model, 20, world == LONG_HEADER_LOST ? 1 : 3, world == LONG_HEADER_LOST ? 40 : 3,
		 world == LONG_HEADER_LOST ? LONG : 50);
	if (world == HEADER_LOST || world == LONG_HEADER_LOST)
		lose_header(model, 1);
	if (world == HEADER_DOUBTFUL)
		segment_bytes(model, 1)[FORMAT_BLOCK - 1] ^= 1;
}

static void test_calls_fail(void **state)
{
	static const char *const calls[] = {"log_list", "log_size", "log_read"};
	static const int results[] = {ERR_IO, ERR_NOMEM};
	unsigned cases = 0;

	(void)state;
	for (unsigned i = 0; i < WORLDS * 12; i++) {
		struct fault fault = {.hit = true, .call = calls[i % 3]};
		struct given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		fault.result = results[i / 3 % 2];
		fault.for_ever = i / 6 % 2 != 0;
		make_world(&model, (enum world)(i / 12));
		opts = wal_model_scan_opts(&model, model.io, 0);
		for (; fault.hit; fault.nth++, cases++) {
			int err;

			fault.hit = false;
			io_mem_set_fault(model.medium, fail_nth, &fault);
			err = walk(&model, &opts, &given, NULL);
			io_mem_set_fault(model.medium, NULL, NULL);
			if (!fault.hit || (fault.result == ERR_IO && i % 3 != 0))
				assert_int_equal(err, 0);
			else
				assert_int_equal(err, fault.result);
			if (!fault.hit)
				expect_without(&given, model.n, 1, 0);
		}
		wal_model_release(&model);
	}
	assert_true(cases > 100);
	print_message("%u calls failed\n", cases);
}

static void test_memory_fails(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model model;
	int err = ERR_NOMEM;

	(void)state;
	make_world(&model, HEADER_LOST);
	opts = wal_model_scan_opts(&model, model.io, 0);
	for (int nth = 0; err != 0; nth++) {
		struct given given = {.model = &model};
		int left = nth;

		assert_int_equal(err, ERR_NOMEM);
		assert_true(nth < 20);
		mem_set_fault(wal_model_fail_memory, &left);
		err = wal_salvage(&opts, visit, &given);
		mem_set_fault(NULL, NULL);
	}
	wal_model_release(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_where_asked), cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_short_segments),	   cmocka_unit_test(test_where_it_begins),
		cmocka_unit_test(test_void_records),	   cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_last_of_segment),	   cmocka_unit_test(test_epoch_lost),
		cmocka_unit_test(test_refused_block),	   cmocka_unit_test(test_holes),
		cmocka_unit_test(test_small_gap),	   cmocka_unit_test(test_read_again),
		cmocka_unit_test(test_read_again_fails),   cmocka_unit_test(test_calls_fail),
		cmocka_unit_test(test_memory_fails),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
