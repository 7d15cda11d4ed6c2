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

static int check(struct io_mem *medium, struct findings *found, struct store_check_report *report)
{
	const struct store_judge judge = {first_is_nan, has_slash};
	struct store_io *io = io_mem_attach(medium);
	struct err_msg msg = {{0}};
	int err;

	memset(found, 0, sizeof(*found));
	err = store_check(io, &judge, findings_note, NULL, found, report, &msg);
	io->ops->close(io);
	assert_int_equal(report->damages, found->damages);
	return err;
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
	for (unsigned slot = 0; slot < 2; slot++) {
		struct io_mem *medium = make(true);

		io_mem_head(medium, &len)[4096 * (slot + 1) + 70] ^= 1;
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
		cmocka_unit_test(test_cannot_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
