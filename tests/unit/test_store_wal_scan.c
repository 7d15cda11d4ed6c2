/* test_store_wal_scan.c - the verdict on a cut or damaged log; nothing wrong is delivered. */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/wal_model.h"

#define SEED 20240607u

static const uint8_t other_boot[16] = {1, 2, 3};
static const uint8_t no_boot[16];

/*
 * Three segments with small records. Those up to LSN 3 say they are synced, and so do the proofs
 * if sealed; the others were never acknowledged as durable.
 */
static void make_small(struct wal_model *model, bool sealed)
{
	static const uint32_t sizes[] = {0, 16, 33, 40, 7};

	wal_model_init(model, SEED, WAL_LOG);
	for (unsigned s = 0; s < 3; s++) {
		for (size_t i = 0; i < 5; i++) {
			wal_model_append(model, sizes[i]);
			if (model->n == 3)
				assert_int_equal(wal_sync(model->wal, 3), 0);
		}
		if (s < 2 && sealed)
			wal_model_turn(model);
		else if (s < 2)
			wal_model_turn_unsealed(model);
	}
}

/* What the rules say when LSN missing is the first bad one and all from `from` on exist. */
static enum wal_verdict rule(const struct wal_model *model, uint64_t missing, uint64_t from,
			     uint64_t proof, bool same_boot)
{
	uint64_t durable = proof;

	for (uint64_t lsn = from; lsn <= model->n; lsn++)
		if (model->records[lsn - 1].durable_lsn > durable)
			durable = model->records[lsn - 1].durable_lsn;
	if (durable >= missing)
		return WAL_DAMAGED;
	if (from <= model->n)
		return same_boot ? WAL_DAMAGED : WAL_UNSYNCED_CUT;
	return WAL_TORN_TAIL;
}

/* The last LSN that the proofs behind segment seq claim. */
static uint64_t proof_behind(const struct wal_model *model, uint64_t seq, bool sealed)
{
	uint64_t lsn = 0;

	for (size_t i = 0; sealed && seq < 3 && i < model->n; i++)
		if (model->records[i].seq < 3)
			lsn = i + 1;
	return lsn;
}

/* The record whose bytes contain this offset, as an LSN; 0 if none. */
static uint64_t record_at(const struct wal_model *model, uint64_t seq, uint64_t offset)
{
	for (size_t i = 0; i < model->n; i++) {
		const struct wal_model_record *record = &model->records[i];

		if (record->seq == seq && offset >= record->offset &&
		    offset < record->offset + record->size)
			return i + 1;
	}
	return 0;
}

/* Most of a header block is alike: zeros under a checksum. */
static bool is_dull(size_t at)
{
	size_t in_block = at % FORMAT_BLOCK;

	return at < FORMAT_RECORDS_AT && in_block > 90 && in_block < 4080 && in_block % 97 != 0;
}

/* Flips one bit of each byte in turn, or of each that is not dull. */
static void check_flips(bool sealed, bool same_boot, bool all)
{
	struct wal_model model;
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_report report;
	enum wal_verdict expected;

	make_small(&model, sealed);
	if (!same_boot)
		io_mem_set_boot_id(model.medium, other_boot);
	opts = wal_model_scan_opts(&model, model.io, 1);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		size_t len = 0;
		uint8_t *bytes = io_mem_segment(model.medium, seq, &len);

		for (size_t at = 0; at < len; at++) {
			uint8_t bit = (uint8_t)(1u << wal_model_below(&model, 8));
			uint64_t lsn = record_at(&model, seq, at), good = model.n;

			if (!all && is_dull(at))
				continue;
			expected = WAL_ENDS_WELL;
			if (at < FORMAT_BLOCK) {
				expected = WAL_DAMAGED;
				good = (seq - 1) * 5;
			} else if (lsn != 0) {
				good = lsn - 1;
				expected = rule(&model, lsn, lsn + 1,
						proof_behind(&model, seq, sealed), same_boot);
			}
			bytes[at] ^= bit;
			assert_int_equal(wal_model_scan(&model, &opts, &seen, &report), expected);
			bytes[at] ^= bit;
			assert_int_equal(seen.count, good);
			if (lsn != 0) {
				assert_int_equal(report.bad_seq, seq);
				assert_int_equal(report.bad_offset, model.records[lsn - 1].offset);
				assert_int_equal(report.readable_beyond, model.n - lsn);
			}
			wal_report_release(&report);
		}
	}
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, model.n);
	wal_model_release(&model);
}

static void test_flips(void **state)
{
	(void)state;
	check_flips(true, true, false);
	check_flips(true, false, true);
	check_flips(false, true, false);
	check_flips(false, false, false);
}

/* Gives segment seq of a fresh copy every possible length that is not dull. */
static void check_cuts(bool sealed, bool same_boot)
{
	struct wal_model model;

	make_small(&model, sealed);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		struct io_mem *copy = io_mem_clone(model.medium);
		struct store_io *io = io_mem_attach(copy);
		struct wal_scan_opts opts = wal_model_scan_opts(&model, io, 1);
		size_t len = 0;

		if (!same_boot)
			io_mem_set_boot_id(copy, other_boot);
		(void)io_mem_segment(copy, seq, &len); /* only its length is of interest */
		while (len-- > 0) {
			uint64_t good = (seq - 1) * 5, missing;
			struct wal_model_seen seen;
			enum wal_verdict expected;

			if (is_dull(len))
				continue;
			while (good < seq * 5 &&
			       model.records[good].offset + model.records[good].size <= len)
				good++;
			missing = good + 1;
			expected = rule(&model, missing, seq * 5 + 1,
					proof_behind(&model, seq, sealed), same_boot);
			if (len < FORMAT_RECORDS_AT && seq == 1)
				expected = WAL_DAMAGED;
			else if (seq == 3 && len >= FORMAT_RECORDS_AT &&
				 (good == 10 ? len == FORMAT_RECORDS_AT :
					       model.records[good - 1].offset +
							       model.records[good - 1].size ==
						       len))
				expected = WAL_ENDS_WELL;
			assert_int_equal(io_mem_resize_segment(copy, seq, len), 0);
			assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), expected);
			assert_int_equal(seen.count, good);
			opts.known_lsn = missing;
			assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
			opts.known_lsn = 0;
		}
		io->ops->close(io);
		io_mem_free(copy);
	}
	wal_model_release(&model);
}

static void test_cuts(void **state)
{
	(void)state;
	check_cuts(true, true);
	check_cuts(true, false);
	check_cuts(false, true);
	check_cuts(false, false);
}

/* Damages record lsn and tells the verdict, with the machine in this boot. */
static enum wal_verdict verdict_without(struct wal_model *model, uint64_t lsn,
					const uint8_t boot_id[16])
{
	const struct wal_model_record *record = &model->records[lsn - 1];
	struct wal_scan_opts opts = wal_model_scan_opts(model, model->io, 1);
	enum wal_verdict verdict;
	size_t len = 0;
	uint8_t *bytes = io_mem_segment(model->medium, record->seq, &len);

	io_mem_set_boot_id(model->medium, boot_id);
	bytes[record->offset + 45] ^= 1;
	verdict = wal_model_scan(model, &opts, NULL, NULL);
	bytes[record->offset + 45] ^= 1;
	return verdict;
}

static void test_boot_id(void **state)
{
	uint8_t boot_id[16];
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 2, WAL_LOG);
	model.io->ops->boot_id(model.io, boot_id);
	for (unsigned i = 0; i < 6; i++)
		wal_model_append(&model, 100);
	assert_int_equal(verdict_without(&model, 3, other_boot), WAL_UNSYNCED_CUT);
	assert_int_equal(verdict_without(&model, 3, no_boot), WAL_UNSYNCED_CUT);
	assert_int_equal(verdict_without(&model, 3, boot_id), WAL_DAMAGED);
	assert_int_equal(verdict_without(&model, 6, boot_id), WAL_TORN_TAIL);
	assert_int_equal(verdict_without(&model, 6, other_boot), WAL_TORN_TAIL);
	/* One later record that says so is enough, whatever the boot. */
	assert_int_equal(wal_sync(model.wal, 3), 0);
	wal_model_append(&model, 0);
	assert_int_equal(verdict_without(&model, 3, other_boot), WAL_DAMAGED);
	assert_int_equal(verdict_without(&model, 7, other_boot), WAL_TORN_TAIL);
	wal_model_release(&model);

	/* A machine that cannot tell its boots: zeros on both sides are not the same boot. */
	wal_model_init(&model, SEED + 3, WAL_LOG);
	wal_free(model.wal);
	io_mem_set_boot_id(model.medium, no_boot);
	assert_int_equal(wal_new(&model.wal, &model.opts, 2, 1, 0), 0);
	for (unsigned i = 0; i < 6; i++)
		wal_model_append(&model, 100);
	assert_int_equal(verdict_without(&model, 3, no_boot), WAL_UNSYNCED_CUT);
	wal_model_release(&model);
}

/* The end of a segment is gone without a trace, but the proof of the next one tells. */
static void test_proof(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_model model;
	uint8_t *bytes;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 4, WAL_LOG);
	for (unsigned i = 0; i < 6; i++)
		wal_model_append(&model, 500);
	wal_model_turn(&model);
	io_mem_set_boot_id(model.medium, other_boot);
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(io_mem_resize_segment(model.medium, 1, (size_t)model.records[4].offset),
			 0);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	assert_int_equal(seen.count, 4);
	bytes = io_mem_segment(model.medium, 2, &len);
	bytes[FORMAT_BLOCK + 9] ^= 1;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	/* A proof of other records than those that are there. */
	wal_format_put_proof(bytes + FORMAT_BLOCK, 2, 4, 12345);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	wal_model_release(&model);
}

/* More bytes than one record can leave behind, and nothing readable in them. */
static void test_long_tail(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model model;
	uint8_t boot_id[16];
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 5, WAL_LOG);
	model.io->ops->boot_id(model.io, boot_id);
	wal_model_append(&model, 500);
	opts = wal_model_scan_opts(&model, model.io, 1);
	(void)io_mem_segment(model.medium, 1, &len); /* only its length is of interest */
	len += WAL_FORMAT_RECORD_MAX;
	assert_int_equal(io_mem_resize_segment(model.medium, 1, len), 0);
	assert_int_equal(wal_model_scan(&model, &opts, NULL, NULL), WAL_TORN_TAIL);
	assert_int_equal(io_mem_resize_segment(model.medium, 1, len + 1), 0);
	assert_int_equal(wal_model_scan(&model, &opts, NULL, NULL), WAL_DAMAGED);
	io_mem_set_boot_id(model.medium, other_boot);
	assert_int_equal(wal_model_scan(&model, &opts, NULL, NULL), WAL_UNSYNCED_CUT);
	wal_model_release(&model);
}

/* The record in the middle is replaced by one that is right in itself but of another history. */
static void test_chain(void **state)
{
	struct wal_model a, b;
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	size_t len = 0;

	(void)state;
	wal_model_init(&a, SEED + 10, WAL_LOG);
	wal_model_init(&b, SEED + 10, WAL_LOG);
	b.random++;
	for (unsigned i = 0; i < 5; i++) {
		wal_model_append(&a, 80);
		wal_model_append(&b, 80);
	}
	memcpy(io_mem_segment(a.medium, 1, &len) + a.records[2].offset,
	       io_mem_segment(b.medium, 1, &len) + b.records[2].offset, b.records[2].size);
	opts = wal_model_scan_opts(&a, a.io, 1);
	assert_int_equal(wal_model_scan(&a, &opts, &seen, NULL), WAL_DAMAGED);
	assert_int_equal(seen.count, 2);
	wal_model_release(&a);
	wal_model_release(&b);
}

static unsigned expected; /* calls since it was set to 0 */

/* What is expected stands behind the record that is visited next. */
static void note_expected(void *ctx, const struct wal_record *record)
{
	const struct wal_model_seen *seen = ctx;
	const struct wal_model_record *want = &seen->model->records[seen->count + 1];

	expected++;
	assert_true(seen->count + 1 < seen->model->n);
	assert_int_equal(record->type, want->type);
	assert_int_equal(record->length, want->length);
}

/* What is told ahead is in order and within the log, and is no reason to visit anything. */
static void test_expected(void **state)
{
	enum { N = 10, BAD = 6 };
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_model model;
	struct format_record *bad;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 20, WAL_LOG);
	for (uint32_t i = 0; i < N; i++)
		wal_model_append(&model, 17 * i);
	opts = wal_model_scan_opts(&model, model.io, 1);
	opts.expect = note_expected;
	expected = 0;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, N);
	assert_int_equal(expected, N - 1);
	bad = (struct format_record *)(io_mem_segment(model.medium, 1, &len) +
				       model.records[BAD].offset);
	bad->lsn[0] ^= 1; /* nobody has looked at that yet */
	expected = 0;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	assert_int_equal(seen.count, BAD);
	assert_int_equal(expected, BAD);
	bad->lsn[0] ^= 1;
	put_u32(bad->length, (uint32_t)(len - model.records[BAD].offset)); /* beyond the end */
	expected = 0;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	assert_int_equal(seen.count, BAD);
	assert_int_equal(expected, BAD - 1);
	wal_model_release(&model);
}

/* Two bad places: a record, and behind it a header whose records nobody can read any more. */
static void test_unreadable_beyond(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model_seen seen;
	struct wal_model model;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 14, WAL_LOG);
	wal_model_append(&model, 50);
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 50);
	io_mem_set_boot_id(model.medium, other_boot);
	io_mem_segment(model.medium, 1, &len)[model.records[0].offset] ^= 1;
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_UNSYNCED_CUT);
	io_mem_segment(model.medium, 2, &len)[100] ^= 1;
	assert_int_equal(wal_model_scan(&model, &opts, &seen, NULL), WAL_DAMAGED);
	assert_int_equal(seen.count, 0);
	wal_model_release(&model);
}

static enum wal_verdict scan_from(struct wal_model *model, uint64_t from_seq, uint64_t after_lsn,
				  uint64_t want)
{
	struct wal_scan_opts opts = wal_model_scan_opts(model, model->io, from_seq);
	struct wal_model_seen seen;
	enum wal_verdict verdict;

	opts.after_lsn = after_lsn;
	opts.from_may_be_new = from_seq > 1;
	verdict = wal_model_scan(model, &opts, &seen, NULL);
	assert_int_equal(seen.count, want);
	return verdict;
}

/* A segment without a readable header, of which only the proof is left. */
static void test_proof_without_header(void **state)
{
	struct wal_model model;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 15, WAL_LOG);
	for (unsigned i = 0; i < 3; i++)
		wal_model_append(&model, 100);
	wal_model_turn(&model);
	io_mem_segment(model.medium, 2, &len)[100] ^= 1;
	assert_int_equal(scan_from(&model, 1, 0, 3), WAL_TORN_TAIL);
	assert_int_equal(scan_from(&model, 2, 3, 0), WAL_TORN_TAIL);
	assert_int_equal(scan_from(&model, 2, 2, 0), WAL_DAMAGED);
	assert_int_equal(io_mem_resize_segment(model.medium, 1, (size_t)model.records[2].offset),
			 0);
	assert_int_equal(scan_from(&model, 1, 0, 2), WAL_DAMAGED);
	wal_model_release(&model);
}

/* What a checkpoint has may be missing; what comes after may not. */
static void test_missing_below(void **state)
{
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 16, WAL_LOG);
	for (unsigned i = 0; i < 10; i++)
		wal_model_append(&model, 100);
	wal_model_turn(&model);
	wal_model_append(&model, 100);
	wal_model_append(&model, 100);
	assert_int_equal(io_mem_resize_segment(model.medium, 1, (size_t)model.records[5].offset),
			 0);
	assert_int_equal(scan_from(&model, 1, 10, 2), WAL_ENDS_WELL);
	assert_int_equal(scan_from(&model, 1, 9, 0), WAL_DAMAGED);
	wal_model_release(&model);
}

/* The oldest segment says neither where it starts nor what was before it. */
static void test_unsealed_first(void **state)
{
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 17, WAL_LOG);
	for (unsigned i = 0; i < 5; i++)
		wal_model_append(&model, 100);
	wal_model_turn_unsealed(&model);
	for (unsigned i = 0; i < 3; i++)
		wal_model_append(&model, 100);
	assert_int_equal(model.io->ops->log_remove(model.io, 1), 0);
	assert_int_equal(scan_from(&model, 0, 0, 3), WAL_ENDS_WELL);
	assert_int_equal(scan_from(&model, 0, 5, 3), WAL_ENDS_WELL);
	assert_int_equal(scan_from(&model, 0, 6, 2), WAL_ENDS_WELL);
	assert_int_equal(scan_from(&model, 2, 5, 3), WAL_ENDS_WELL);
	assert_int_equal(scan_from(&model, 2, 3, 0), WAL_DAMAGED);
	io_mem_set_boot_id(model.medium, other_boot);
	assert_int_equal(scan_from(&model, 2, 3, 0), WAL_UNSYNCED_CUT);
	wal_model_release(&model);
}

/* A whole segment of another past, and a writer that names another record before its first. */
static void test_chain_of_segments(void **state)
{
	struct wal_model a, b;
	const uint8_t *other;
	size_t len = 0;

	(void)state;
	wal_model_init(&a, SEED + 18, WAL_LOG);
	wal_model_init(&b, SEED + 18, WAL_LOG);
	b.random++;
	for (unsigned i = 0; i < 6; i++) {
		wal_model_append(&a, 80);
		wal_model_append(&b, 80);
		if (i == 2) {
			wal_model_turn_unsealed(&a);
			wal_model_turn_unsealed(&b);
		}
	}
	other = io_mem_segment(b.medium, 2, &len);
	memcpy(io_mem_segment(a.medium, 2, &len), other, len);
	assert_int_equal(scan_from(&a, 1, 0, 3), WAL_DAMAGED);
	wal_model_release(&b);
	wal_free(a.wal);
	assert_int_equal(a.io->ops->log_remove(a.io, 2), 0);
	assert_int_equal(wal_new(&a.wal, &a.opts, 2, 4, 12345), 0);
	a.n = 3;
	a.offset = FORMAT_RECORDS_AT;
	wal_model_append(&a, 80);
	assert_int_equal(scan_from(&a, 1, 0, 3), WAL_DAMAGED);
	wal_model_release(&a);
}

/* Nor does it hold anything that is needed: then it is all the same what stands in it. */
static void test_unsealed_first_is_void(void **state)
{
	struct wal_scan_opts opts;
	struct wal_report report;
	struct wal_model model;
	size_t len;

	(void)state;
	wal_model_init(&model, SEED + 21, WAL_LOG);
	for (unsigned i = 0; i < 5; i++)
		wal_model_append(&model, 100);
	wal_model_turn_unsealed(&model);
	wal_model_append(&model, 100);
	io_mem_segment(model.medium, 2, &len)[model.records[5].offset + 70] ^= 1;
	opts = wal_model_scan_opts(&model, model.io, 1);
	assert_int_equal(wal_model_scan(&model, &opts, NULL, &report), WAL_TORN_TAIL);
	wal_model_restart(&model, &report);
	wal_report_release(&report);
	wal_model_append(&model, 100);
	assert_int_equal(scan_from(&model, 1, 0, 6), WAL_ENDS_WELL);
	assert_int_equal(scan_from(&model, 2, 5, 1), WAL_ENDS_WELL);
	assert_int_equal(scan_from(&model, 2, 4, 0), WAL_DAMAGED);
	wal_model_release(&model);
}

static void test_no_segments(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	wal_model_init(&model, SEED + 19, WAL_LOG);
	assert_int_equal(model.io->ops->log_remove(model.io, 1), 0);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(wal_model_scan(&model, &opts, NULL, NULL), WAL_ENDS_WELL);
	opts.known_lsn = 5;
	assert_int_equal(wal_model_scan(&model, &opts, NULL, NULL), WAL_DAMAGED);
	opts.after_lsn = 5;
	assert_int_equal(wal_model_scan(&model, &opts, NULL, NULL), WAL_ENDS_WELL);
	wal_model_release(&model);
}

static int count_records(void *ctx, const struct wal_record *record)
{
	(void)record;
	++*(unsigned *)ctx;
	return 0;
}

/* Salvage reads a segment without its header and around a read that fails, and leaves out what is known. */
static void test_salvage_edges(void **state)
{
	struct wal_model_fault fault = {"log_read", 3, ERR_IO, 0};
	struct wal_scan_opts opts;
	struct wal_model model;
	unsigned n = 0;
	size_t len = 0;

	(void)state;
	wal_model_init(&model, SEED + 20, WAL_LOG);
	for (unsigned i = 0; i < 9; i++) {
		wal_model_append(&model, 60);
		if (i % 3 == 2)
			wal_model_turn(&model);
	}
	opts = wal_model_scan_opts(&model, model.io, 0);
	io_mem_segment(model.medium, 2, &len)[9] ^= 1;
	assert_int_equal(wal_salvage(&opts, count_records, &n), 0);
	assert_int_equal(n, 9);
	opts.after_lsn = 2;
	n = 0;
	assert_int_equal(wal_salvage(&opts, count_records, &n), 0);
	assert_int_equal(n, 7);
	for (fault.nth = 0; fault.nth < 6; fault.nth++) {
		n = 0;
		wal_model_set_fault(&model, &fault);
		assert_int_equal(wal_salvage(&opts, count_records, &n), 0);
		assert_int_equal(n, 7);
	}
	wal_model_release(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_unsealed_first_is_void),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_boot_id),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_long_tail),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_expected),
		cmocka_unit_test(test_unreadable_beyond),
		cmocka_unit_test(test_proof_without_header),
		cmocka_unit_test(test_missing_below),
		cmocka_unit_test(test_unsealed_first),
		cmocka_unit_test(test_chain_of_segments),
		cmocka_unit_test(test_no_segments),
		cmocka_unit_test(test_salvage_edges),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
