/* wal_model.c - appends to a log, remembers what, and compares. */
#include "tests/support/wal_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <xxhash.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/wal_format.h"

static uint64_t next_random(struct wal_model *model)
{
	uint64_t z = model->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t wal_model_below(struct wal_model *model, uint64_t bound)
{
	return next_random(model) % bound;
}

void wal_model_init(struct wal_model *model, uint64_t seed, enum wal_durability durability)
{
	memset(model, 0, sizeof(*model));
	model->random = seed;
	model->medium = io_mem_new(seed);
	assert_non_null(model->medium);
	model->io = io_mem_attach(model->medium);
	assert_non_null(model->io);
	model->opts.io = model->io;
	memset(model->opts.uuid, 0x5a, sizeof(model->opts.uuid));
	model->opts.epoch = 1;
	model->opts.durability = durability;
	model->offset = FORMAT_RECORDS_AT;
	assert_int_equal(wal_new(&model->wal, &model->opts, 1, 1, 0), 0);
}

void wal_model_release(struct wal_model *model)
{
	wal_free(model->wal);
	if (model->io != NULL)
		model->io->ops->close(model->io);
	io_mem_free(model->medium);
	mem_free(model->records);
	memset(model, 0, sizeof(*model));
}

int wal_model_try_bytes(struct wal_model *model, const void *bytes, uint32_t length)
{
	uint32_t half = length / 2;
	struct wal_part parts[3] = {
		{bytes, half}, {NULL, 0}, {(const uint8_t *)bytes + half, length - half}};
	struct wal_model_record record = {.length = length, .size = wal_format_size(length)};
	struct wal_stats stats;
	uint64_t lsn = 0;
	int err;

	wal_get_stats(model->wal, &stats);
	record.type = (uint8_t)(1 + length % 5);
	record.seq = stats.current_seq;
	record.offset = model->offset;
	record.durable_lsn = stats.durable_lsn;
	record.sum = XXH3_64bits(bytes, length);
	err = wal_append(model->wal, (enum format_record_type)record.type, parts, 3, false, &lsn);
	model->has_maybe = err != 0;
	model->maybe = record;
	if (err != 0)
		return err;
	assert_int_equal(lsn, model->n + 1);
	assert_int_equal(mem_grow((void **)&model->records, &model->cap, model->n + 1,
				  sizeof(*model->records)),
			 0);
	model->records[model->n++] = record;
	model->offset += record.size;
	return 0;
}

int wal_model_try(struct wal_model *model, uint32_t length)
{
	uint8_t *bytes = mem_alloc(length + 8);
	int err;

	assert_non_null(bytes);
	for (uint32_t i = 0; i < length; i += 8)
		put_u64(bytes + i, next_random(model));
	err = wal_model_try_bytes(model, bytes, length);
	mem_free(bytes);
	return err;
}

void wal_model_append(struct wal_model *model, uint32_t length)
{
	assert_int_equal(wal_model_try(model, length), 0);
}

void wal_model_turn_unsealed(struct wal_model *model)
{
	uint64_t lsn = 0, seq = 0;

	assert_int_equal(wal_prepare(model->wal), 0);
	wal_switch(model->wal, &lsn, &seq);
	assert_int_equal(lsn, model->n);
	model->offset = FORMAT_RECORDS_AT;
}

void wal_model_turn(struct wal_model *model)
{
	wal_model_turn_unsealed(model);
	assert_int_equal(wal_seal(model->wal), 0);
}

void wal_model_restart(struct wal_model *model, const struct wal_report *report)
{
	wal_free(model->wal);
	if (model->has_maybe && report->last_lsn == model->n + 1) {
		assert_int_equal(mem_grow((void **)&model->records, &model->cap, model->n + 1,
					  sizeof(*model->records)),
				 0);
		model->records[model->n++] = model->maybe;
	}
	model->has_maybe = false;
	assert_true(report->last_lsn <= model->n);
	model->n = (size_t)report->last_lsn;
	model->offset = FORMAT_RECORDS_AT;
	assert_int_equal(wal_new(&model->wal, &model->opts, report->next_seq, report->last_lsn + 1,
				 report->last_hash),
			 0);
}

struct wal_scan_opts wal_model_scan_opts(const struct wal_model *model, struct store_io *io,
					 uint64_t from_seq)
{
	struct wal_scan_opts opts = {.io = io, .from_seq = from_seq};

	memcpy(opts.uuid, model->opts.uuid, sizeof(opts.uuid));
	return opts;
}

static bool is_record(const struct wal_model_record *expected, const struct wal_record *record)
{
	return record->type == expected->type && record->length == expected->length &&
	       record->seq == expected->seq && record->offset == expected->offset &&
	       record->durable_lsn == expected->durable_lsn &&
	       XXH3_64bits(record->payload, record->length) == expected->sum;
}

int wal_model_check(void *ctx, const struct wal_record *record)
{
	struct wal_model_seen *seen = ctx;
	const struct wal_model *model = seen->model;
	const struct wal_model_record *expected = NULL;

	if (record->lsn <= model->n)
		expected = &model->records[record->lsn - 1];
	else if (model->has_maybe && record->lsn == model->n + 1)
		expected = &model->maybe;
	if (expected == NULL || !is_record(expected, record))
		seen->wrong = true;
	if (seen->count++ == 0)
		seen->first = record->lsn;
	else if (record->lsn != seen->last + 1)
		seen->wrong = true;
	seen->last = record->lsn;
	return 0;
}

enum wal_verdict wal_model_scan(const struct wal_model *model, const struct wal_scan_opts *opts,
				struct wal_model_seen *seen_out, struct wal_report *report_out)
{
	struct wal_model_seen seen = {.model = model};
	struct wal_report report;
	enum wal_verdict verdict;

	assert_int_equal(wal_scan(opts, wal_model_check, &seen, &report, NULL), 0);
	assert_false(seen.wrong);
	assert_int_equal(report.records, seen.count);
	assert_int_equal(report.first_lsn, seen.first);
	if (seen.count > 0)
		assert_int_equal(report.last_lsn, seen.last);
	verdict = report.verdict;
	if (seen_out != NULL)
		*seen_out = seen;
	if (report_out != NULL)
		*report_out = report;
	else
		wal_report_release(&report);
	return verdict;
}

struct wal_stats wal_model_stats(struct wal_model *model)
{
	struct wal_stats stats;

	wal_get_stats(model->wal, &stats);
	return stats;
}

static int fail_calls(void *ctx, const char *call, uint64_t nth)
{
	const struct wal_model_fault *fault = ctx;

	if (strcmp(call, fault->call) != 0 || nth < fault->nth || nth > fault->nth + 1)
		return 0;
	return nth == fault->nth ? fault->result : fault->then;
}

void wal_model_set_fault(struct wal_model *model, struct wal_model_fault *fault)
{
	io_mem_set_fault(model->medium, fault != NULL ? fail_calls : NULL, fault);
}

bool wal_model_fail_memory(void *ctx)
{
	int *left = ctx;

	return (*left)-- == 0;
}

void wal_model_check_whole(struct wal_model *model, uint64_t from_seq, uint64_t after_lsn)
{
	struct wal_scan_opts opts = wal_model_scan_opts(model, model->io, from_seq);
	struct wal_model_seen seen;

	opts.after_lsn = after_lsn;
	model->has_maybe = false;
	assert_int_equal(wal_model_scan(model, &opts, &seen, NULL), WAL_ENDS_WELL);
	assert_int_equal(seen.count, model->n - after_lsn);
}
