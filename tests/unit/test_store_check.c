/*
 * test_store_check.c - store_check on whole and on damaged stores: every stored page, each commit
 * slot, the log and the length of the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/store.h"
#include "store/store_private.h"
#include "tests/support/picture_store.h"

static bool first_is_nan(void *ctx, const void *value, uint32_t size)
{
	float v;

	(void)ctx;
	(void)size;
	memcpy(&v, value, sizeof(v));
	return v != v;
}

static bool has_slash(void *ctx, const char *id, size_t len)
{
	(void)ctx;
	return memchr(id, '/', len) != NULL;
}

static int check_io(struct store_io *io, struct findings *found, struct store_check_report *report)
{
	const struct store_judge judge = {first_is_nan, has_slash};
	struct err_msg msg = {{0}};
	int err;

	memset(found, 0, sizeof(*found));
	err = store_check(io, &judge, findings_note, NULL, found, report, &msg);
	io->ops->close(io);
	assert_int_equal(report->damages, found->damages);
	return err;
}

static int check(struct io_mem *medium, struct findings *found, struct store_check_report *report)
{
	return check_io(io_mem_attach(medium), found, report);
}

/* A closed store, or one that ended without closing. */
static struct io_mem *make(bool closed)
{
	struct store_opts opts = {.cache_bytes = 1 << 20};
	struct store_io *io;
	struct store *store;
	struct io_mem *medium = picture_store_new(&opts, &io, &store);

	if (closed)
		assert_int_equal(store_close(store), 0);
	else
		store_abandon(store);
	io->ops->close(io);
	return medium;
}

/* Opens what a closed store left, for a change. */
static struct store *open_again(struct io_mem *medium, struct store_io **io_out)
{
	struct store_opts opts = {.cache_bytes = 1 << 20};
	struct store *store;

	*io_out = io_mem_attach(medium);
	assert_int_equal(store_open(*io_out, &opts, &store, NULL, NULL), 0);
	return store;
}

static void close_it(struct store *store, struct store_io *io)
{
	assert_int_equal(store_close(store), 0);
	io->ops->close(io);
}

static void test_whole(void **state)
{
	struct store_check_report report;
	struct findings found;

	(void)state;
	for (int closed = 0; closed < 2; closed++) {
		struct io_mem *medium = make(closed);

		assert_int_equal(check(medium, &found, &report), 0);
		assert_string_equal(found.all, "");
		assert_int_equal(report.vectors, PICTURES - 1);
		assert_int_equal(report.log_records, closed ? 0 : PICTURES + 1);
		io_mem_free(medium);
	}
}

/* Every byte of every stored page counts; what is said names the vectors that are lost. */
static void test_each_page(void **state)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .read_only = true};
	struct io_mem *medium = make(true);
	struct store_io *io = io_mem_attach(medium);
	struct store_check_report report;
	struct store *store;
	unsigned pages = 0, named = 0;

	(void)state;
	assert_int_equal(store_open(io, &opts, &store, NULL, NULL), 0);
	for (int s = 0; s < FORMAT_SPACES; s++) {
		for (uint32_t p = 0; p < atomic_load(&store->pager->spaces[s].pages); p++) {
			struct io_mem *damaged = io_mem_clone(medium);
			struct findings found;
			struct place at;
			size_t len;

			assert_true(place_unpack(
				pager_page(store->pager, (enum format_space)s, p)->place, &at));
			io_mem_head(damaged, &len)[at.block * 4096 + at.bytes / 2] ^= 4;
			assert_int_equal(check(damaged, &found, &report), 0);
			assert_true(found.damages > 0);
			/* a page that opening needs stops it there, with the reason */
			if (s == FORMAT_SPACE_VALUE || s == FORMAT_SPACE_BUCKET)
				assert_non_null(strstr(found.all, "Page checksum mismatch"));
			if (s == FORMAT_SPACE_VALUE && strstr(found.all, "vectors/picture-"))
				named++;
			pages++;
			io_mem_free(damaged);
		}
	}
	assert_true(pages > 30);
	assert_int_equal(named, atomic_load(&store->pager->spaces[FORMAT_SPACE_VALUE].pages));
	store_abandon(store);
	io->ops->close(io);
	io_mem_free(medium);
}

static void test_slot_and_length(void **state)
{
	struct store_check_report report;
	struct findings found;
	size_t len;

	(void)state;
	for (unsigned variant = 0; variant < 4; variant++) {
		struct io_mem *medium = make(true);
		uint8_t *slot = io_mem_head(medium, &len) + FORMAT_SLOT_AT +
				variant % 2 * FORMAT_BLOCK;

		if (variant < 2)
			slot[70] ^= 1;
		else
			memset(slot, 0, FORMAT_BLOCK); /* it was written: zeros are damage */
		assert_int_equal(check(medium, &found, &report), 0);
		assert_non_null(strstr(found.all, "commit slot is damaged"));
		assert_int_equal(report.vectors, PICTURES - 1);
		assert_int_equal(io_mem_resize_head(medium, len - 8192), 0);
		assert_int_equal(check(medium, &found, &report), 0);
		assert_non_null(strstr(found.all, "truncated"));
		io_mem_free(medium);
	}
}

static void test_log(void **state)
{
	struct store_check_report report;
	struct io_mem *medium = make(false);
	struct findings found;
	size_t len;

	(void)state;
	io_mem_segment(medium, 1, &len)[8192 + 5000] ^= 1;
	assert_int_equal(check(medium, &found, &report), 0);
	assert_non_null(strstr(found.all, "WAL replay failed"));
	assert_true(found.damages > 0);
	io_mem_free(medium);
}

static void test_bad_value(void **state)
{
	struct io_mem *medium = make(true);
	struct store_check_report report;
	struct findings found;
	struct store_io *io;
	struct store *store = open_again(medium, &io);

	(void)state;
	picture_put(store, 12, (float)(0.0 / 0.0));
	close_it(store, io);
	assert_int_equal(check(medium, &found, &report), 0);
	assert_int_equal(found.damages, 1);
	assert_non_null(strstr(found.all, "vectors/picture-12 "));
	io_mem_free(medium);
}

/* Nothing but a hostile hand makes such an id; the checksums are right. */
static void test_bad_id(void **state)
{
	struct io_mem *medium = make(true);
	struct store_check_report report;
	struct findings found;
	struct store_io *io;
	struct store *store = open_again(medium, &io);

	(void)state;
	assert_int_equal(store_rename(store, "picture-3", 9, "../picture", 10, 0, NULL, NULL, NULL),
			 0);
	close_it(store, io);
	assert_int_equal(check(medium, &found, &report), 0);
	assert_int_equal(found.damages, 1);
	assert_non_null(strstr(found.all, "the id of slot 3 is none"));
	io_mem_free(medium);
}

/* --- blocks that the disk refuses --- */

static struct {
	const struct store_io_ops *below;
	struct store_io_ops ops;
	uint64_t from, end; /* bytes of the head */
	bool log;
} refused;

static int refused_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	return offset < refused.end && offset + len > refused.from ?
		       ERR_IO :
		       refused.below->read(io, offset, buf, len);
}

static int refused_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf,
			    size_t len, size_t *got_out)
{
	*got_out = 0;
	return refused.log ? ERR_IO : refused.below->log_read(io, seq, offset, buf, len, got_out);
}

static struct store_io *refusing(struct io_mem *medium, uint64_t from, uint64_t end, bool log)
{
	struct store_io *io = io_mem_attach(medium);

	refused.below = io->ops;
	refused.ops = *io->ops;
	refused.ops.read = refused_read;
	refused.ops.log_read = refused_log_read;
	refused.from = from;
	refused.end = end;
	refused.log = log;
	io->ops = &refused.ops;
	return io;
}

/* That is damage, too, wherever it is; it is not that the check could not run. */
static void test_refused(void **state)
{
	static const struct {
		uint64_t from, end;
		bool log;
	} cases[] = {
		{0, FORMAT_BLOCK, false},
		{FORMAT_SLOT_AT, FORMAT_SLOT_AT + FORMAT_BLOCK, false},
		{FORMAT_SLOT_AT, FORMAT_SLOT_AT + 2 * FORMAT_BLOCK, false},
		{FORMAT_SLOT_AT + 2 * FORMAT_BLOCK, UINT64_MAX, false},
		{0, 0, true},
	};
	struct io_mem *medium = make(false);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct store_check_report report;
		struct findings found;
		struct store_io *io = refusing(medium, cases[i].from, cases[i].end, cases[i].log);

		assert_int_equal(check_io(io, &found, &report), 0);
		assert_true(report.damages > 0);
	}
	io_mem_free(medium);
}

/* --- no memory --- */

static uint64_t countdown;

static bool runs_out(void *ctx)
{
	(void)ctx;
	return countdown > 0 && --countdown == 0;
}

static int read_runs_out(void *ctx, const char *call, uint64_t nth)
{
	(void)nth;
	return strcmp(call, "read") == 0 && runs_out(ctx) ? ERR_NOMEM : 0;
}

/* One of both copies of a map page. */
static void spoil_map_copy(struct io_mem *medium)
{
	struct store_io *io = io_mem_attach(medium);
	struct head_slot slots[2];
	struct head head;
	struct place at;
	unsigned n;
	size_t len;
	bool bad;

	assert_int_equal(io->ops->open(io, false, NULL), 0);
	assert_int_equal(head_read(io, &head, slots, &n, &bad, NULL), 0);
	io->ops->close(io);
	assert_true(place_unpack(get_u64(slots[0].roots[FORMAT_SPACE_BUCKET].top.place[0]), &at));
	io_mem_head(medium, &len)[at.block * FORMAT_BLOCK + 100] ^= 1;
}

/* The check could not run, or finds what is there: that memory was short is no finding. */
static void expect_no_finding(struct io_mem *medium, bool in_reads)
{
	static struct findings usual, found;
	struct store_check_report report;
	uint64_t nth = 0;
	unsigned stopped = 0;

	assert_int_equal(check(medium, &usual, &report), 0);
	do {
		struct store_io *io = io_mem_attach(medium);
		int err;

		countdown = ++nth;
		if (in_reads)
			io_mem_set_fault(medium, read_runs_out, NULL);
		else
			mem_set_fault(runs_out, NULL);
		err = check_io(io, &found, &report);
		io_mem_set_fault(medium, NULL, NULL);
		mem_set_fault(NULL, NULL);
		if (err == 0 ? strcmp(found.all, usual.all) != 0 : found.damages > usual.damages)
			fail_msg("call %u: %s", (unsigned)nth, found.all);
		if (err != 0)
			assert_int_equal(err, ERR_NOMEM);
		stopped += err != 0;
	} while (countdown == 0);
	print_message("%u of %u: could not run\n", stopped, (unsigned)nth - 1);
	assert_true(stopped > 5);
}

static void test_no_memory(void **state)
{
	(void)state;
	for (int variant = 0; variant < 3; variant++) {
		struct io_mem *medium = make(variant > 0);

		if (variant == 2)
			spoil_map_copy(medium);
		expect_no_finding(medium, false);
		expect_no_finding(medium, true);
		io_mem_free(medium);
	}
}

static void test_cannot_run(void **state)
{
	struct io_mem *medium = io_mem_new(1);
	struct store_check_report report;
	struct findings found;

	(void)state;
	assert_int_equal(check(medium, &found, &report), ERR_ABSENT);
	assert_int_equal(io_mem_resize_head(medium, 100), 0);
	assert_int_equal(check(medium, &found, &report), ERR_FORMAT);
	assert_int_equal(io_mem_resize_head(medium, 100000), 0);
	assert_int_equal(check(medium, &found, &report), ERR_FORMAT);
	io_mem_free(medium);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),		cmocka_unit_test(test_each_page),
		cmocka_unit_test(test_slot_and_length), cmocka_unit_test(test_log),
		cmocka_unit_test(test_bad_value),	cmocka_unit_test(test_bad_id),
		cmocka_unit_test(test_refused),		cmocka_unit_test(test_cannot_run),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
