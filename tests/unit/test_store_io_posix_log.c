/*
 * test_store_io_posix_log.c - log segments in the POSIX back end: names, syncs, the table of open
 * ones, and creations that fail.
 */
#include "store/io_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/mem.h"
#include "tests/support/posix_faults.h"

static void expect_list(struct store_io *io, const uint64_t *expected, size_t n)
{
	uint64_t *seqs;
	size_t got;

	assert_int_equal(io->ops->log_list(io, &seqs, &got), 0);
	assert_int_equal(got, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(seqs[i], expected[i]);
	mem_free(seqs);
}

static void touch(const char *name)
{
	int fd = open(posix_in_dir(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void test_log_list(void **state)
{
	static const uint64_t seqs[] = {0, 2, 10, 300, UINT64_MAX};
	static const char *const others[] = {
		"store-wal.",
		"store-wal.01",
		"store-wal.-1",
		"store-wal.5x",
		"store-wal.+5",
		"store-wal. 5",
		"store-wal.18446744073709551616",
		"store2-wal.5",
		"xstore-wal.5",
		"store-wal5",
		"store-wal.00",
		"store.wal.5",
	};
	struct store_io *io = posix_open_store();

	(void)state;
	expect_list(io, NULL, 0);
	for (size_t i = sizeof(others) / sizeof(others[0]); i > 0; i--)
		touch(others[i - 1]);
	for (size_t i = 5; i > 0; i--)
		assert_int_equal(io->ops->log_create(io, seqs[i - 1], "x", 1), 0);
	expect_list(io, seqs, 5);
	assert_int_equal(access(posix_in_dir("store-wal.18446744073709551615"), F_OK), 0);
	posix_close(io);
}

static void test_log(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t back[64];
	struct stat st;
	uint64_t size;
	size_t got;

	(void)state;
	posix_fault.syncs = 0;
	assert_int_equal(io->ops->log_create(io, 5, "header", 6), 0);
	assert_int_equal(posix_fault.syncs, 2); /* the file and its name */
	assert_int_equal(stat(posix_in_dir("store-wal.5"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(io->ops->log_create(io, 5, "other", 5), ERR_EXISTS);
	posix_fault.max_bytes = 2;
	posix_fault.interrupts = 2;
	assert_int_equal(io->ops->log_write(io, 5, 10, "record", 6), 0);
	assert_int_equal(io->ops->log_write(io, 5, 10, "record", 6), 0); /* harms nothing */
	assert_int_equal(io->ops->log_sync(io, 5), 0);
	assert_int_equal(posix_fault.syncs, 3);
	assert_int_equal(io->ops->log_size(io, 5, &size), 0);
	assert_int_equal(size, 16);
	assert_int_equal(io->ops->log_read(io, 5, 0, back, sizeof(back), &got), 0);
	assert_int_equal(got, 16);
	assert_memory_equal(back, "header\0\0\0\0record", 16);
	assert_int_equal(io->ops->log_read(io, 5, 100, back, sizeof(back), &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(io->ops->log_read(io, 6, 0, back, sizeof(back), &got), ERR_ABSENT);
	io->ops->log_forget(io, 5);
	io->ops->log_forget(io, 6); /* there is none */
	assert_int_equal(io->ops->log_read(io, 5, 0, back, sizeof(back), &got), 0);
	assert_int_equal(io->ops->log_write(io, 6, 0, "x", 1), ERR_ABSENT);
	assert_int_equal(io->ops->log_sync(io, 6), ERR_ABSENT);
	assert_int_equal(io->ops->log_size(io, 6, &size), ERR_ABSENT);
	assert_int_equal(io->ops->log_remove(io, 5), 0);
	assert_int_equal(posix_fault.syncs, 4);
	assert_int_equal(io->ops->log_remove(io, 5), 0);
	assert_int_equal(io->ops->log_size(io, 5, &size), ERR_ABSENT);
	assert_int_equal(io->ops->log_create(io, 5, "again", 5), 0);
	posix_close(io);
}

/* A writer that was killed may have made a segment without syncing its name: the first sync does it. */
static void test_log_of_another(void **state)
{
	struct store_io *io = posix_open_store();

	(void)state;
	assert_int_equal(io->ops->log_create(io, 5, "header", 6), 0);
	posix_close(io);
	io = posix_new_io();
	assert_int_equal(io->ops->open(io, true, NULL), 0);
	posix_fault.syncs = 0;
	assert_int_equal(io->ops->log_sync(io, 5), 0);
	assert_int_equal(posix_fault.syncs, 2); /* the file and its name */
	assert_int_equal(io->ops->log_sync(io, 5), 0);
	assert_int_equal(posix_fault.syncs, 3);
	posix_close(io);
}

/* A creation that fails leaves the number free. */
static void test_log_create_fails(void **state)
{
	struct store_io *io = posix_open_store();

	(void)state;
	posix_fault.write_error = ENOSPC;
	assert_int_equal(io->ops->log_create(io, 1, "x", 1), ERR_FULL);
	expect_list(io, NULL, 0);
	posix_fault.sync_error = EIO;
	assert_int_equal(io->ops->log_create(io, 1, "x", 1), ERR_UNKNOWN);
	expect_list(io, NULL, 0);
	assert_int_equal(io->ops->log_create(io, 1, "x", 1), 0);
	assert_int_equal(mkdir(posix_in_dir("store-wal.2"), 0700), 0);
	assert_int_equal(io->ops->log_write(io, 2, 0, "x", 1), ERR_NOT_REGULAR);
	posix_close(io);
}

static unsigned open_logs(struct store_io *io)
{
	return (unsigned)((struct io_posix *)io)->logs.n;
}

/* Few segments stay open, but one that was written stays until its sync, however many there are. */
static void test_log_table(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t back[4];
	size_t got;

	(void)state;
	for (uint64_t seq = 1; seq <= 30; seq++) {
		assert_int_equal(io->ops->log_create(io, seq, "abcd", 4), 0);
		assert_true(open_logs(io) <= 6);
	}
	for (uint64_t seq = 1; seq <= 12; seq++)
		assert_int_equal(io->ops->log_write(io, seq, 0, "efgh", 4), 0);
	for (uint64_t seq = 13; seq <= 30; seq++) {
		assert_int_equal(io->ops->log_read(io, seq, 0, back, 4, &got), 0);
		assert_true(open_logs(io) >= 12);
	}
	posix_fault.sync_error = EIO;
	assert_int_equal(io->ops->log_sync(io, 3), ERR_UNKNOWN);
	for (uint64_t seq = 1; seq <= 12; seq++)
		assert_int_equal(io->ops->log_sync(io, seq), seq == 3 ? ERR_UNKNOWN : 0);
	for (uint64_t seq = 1; seq <= 30; seq++) {
		assert_int_equal(io->ops->log_read(io, seq, 0, back, 4, &got), 0);
		assert_memory_equal(back, seq <= 12 ? "efgh" : "abcd", 4);
	}
	assert_true(open_logs(io) <= 6);
	posix_fault.sync_error = EIO;
	assert_int_equal(io->ops->log_sync(io, 20), ERR_UNKNOWN); /* not written, yet told */
	for (uint64_t seq = 1; seq <= 19; seq++)
		assert_int_equal(io->ops->log_read(io, seq, 0, back, 4, &got), 0);
	assert_int_equal(io->ops->log_sync(io, 3), ERR_UNKNOWN); /* for good */
	assert_int_equal(io->ops->log_sync(io, 20), ERR_UNKNOWN);
	assert_int_equal(io->ops->log_sync(io, 4), 0);
	posix_close(io);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, posix_setup, posix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_log_list),	     TEST(test_log),	   TEST(test_log_of_another),
		TEST(test_log_create_fails), TEST(test_log_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
