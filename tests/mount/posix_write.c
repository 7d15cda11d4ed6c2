/*
 * posix_write.c - what becomes of bytes that are written to a vector: when they are one, and when not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/cases.h"

static void test_write(void)
{
	int fd = open("w", O_WRONLY | O_CREAT | O_EXCL, 0644);
	char *beyond = calloc(1, size + 4);

	CHECK(fd >= 0, "create");
	REFUSED(write(fd, beyond, size + 4), EFBIG, "a write that is too long");
	CHECK(write(fd, first, size) == (ssize_t)size, "a whole vector after it");
	CHECK(holds("w", first), "is there before it is closed");
	REFUSED(write(fd, first, 4), EFBIG, "a write beyond the end");
	REFUSED(pwrite(fd, first, size, 4), EFBIG, "a write across the end");
	CHECK(holds("w", first), "changes nothing");
	CHECK(pwrite(fd, second, size, 0) == (ssize_t)size, "the next vector on the same handle");
	CHECK(holds("w", second), "replaces the first");
	got[0] = 0.0f / 0.0f;
	memcpy(got + 1, first + 1, size - 4);
	REFUSED(pwrite(fd, got, size, 0), EINVAL, "NaN");
	CHECK(close(fd) == 0, "close after a refused write");
	CHECK(holds("w", second), "the old vector stays");
	free(beyond);
}

static void test_pieces(void)
{
	size_t half = size / 8 * 4;
	const char *bytes = (const char *)first;
	int fd = open("p", O_RDWR | O_CREAT, 0644);

	CHECK(pwrite(fd, bytes + half, size - half, (off_t)half) == (ssize_t)(size - half),
	      "the second half");
	CHECK(pread(fd, got, 4, 0) == 4 && got[0] == 0, "the hole before it is zero");
	CHECK(pwrite(fd, bytes, half, 0) == (ssize_t)half, "the first half");
	CHECK(holds("p", first), "both are a vector before it is closed");
	CHECK(pwrite(fd, &second[1], 4, 4) == 4, "one number inside");
	CHECK(pread(fd, got, sizeof(got), 0) == (ssize_t)size && got[1] == second[1] &&
		      got[2] == first[2],
	      "the writer reads it");
	CHECK(close(fd) == 0, "close");
	memcpy(got, first, size);
	got[1] = second[1];
	memcpy(first, got, size);
	CHECK(holds("p", first), "so do others");

	fd = open("p", O_WRONLY);
	CHECK(pwrite(fd, second, half, 0) == (ssize_t)half && holds("p", first),
	      "what may be the beginning of a whole vector waits");
	CHECK(pwrite(fd, (const char *)second + half, size - half, (off_t)half) ==
			      (ssize_t)(size - half) &&
		      holds("p", second),
	      "for its end");
	CHECK(close(fd) == 0, "close");
	fd = open("p", O_WRONLY);
	CHECK(pwrite(fd, first, 4, 0) == 4 && close(fd) == 0, "the first number alone");
	memcpy(got, second, size);
	got[0] = first[0];
	memcpy(second, got, size);
	CHECK(holds("p", second), "is changed at close");
}

static void test_close(void)
{
	int fd = open("c", O_WRONLY | O_CREAT, 0644), copy = dup(fd);

	CHECK(close(copy) == 0, "closing a duplicate before any write");
	CHECK(write(fd, first, 8) == 8, "a beginning");
	copy = dup(fd);
	REFUSED(close(copy), EINVAL, "closing a duplicate on a beginning");
	REFUSED(fsync(fd), EINVAL, "fsync on a beginning");
	CHECK(write(fd, (const char *)first + 8, size - 8) == (ssize_t)size - 8, "the rest");
	CHECK(fsync(fd) == 0, "fsync on a whole vector");
	copy = dup(fd);
	CHECK(close(copy) == 0 && close(fd) == 0, "closing all");
	CHECK(holds("c", first), "the vector is there");

	fd = open("c", O_WRONLY | O_TRUNC);
	CHECK(write(fd, second, 8) == 8, "a beginning over a stored vector");
	REFUSED(close(fd), EINVAL, "close says that it is one");
	CHECK(holds("c", first), "the stored vector stays");
	fd = open("c", O_WRONLY | O_TRUNC);
	CHECK(close(fd) == 0 && holds("c", first), "O_TRUNC alone changes nothing");
}

static void test_truncate(void)
{
	int fd;

	store("t", first);
	fd = open("t", O_RDWR);
	REFUSED(ftruncate(fd, (off_t)size + 1), EFBIG, "ftruncate beyond");
	CHECK(ftruncate(fd, (off_t)size) == 0, "ftruncate to the size");
	CHECK(ftruncate(fd, 0) == 0 && holds("t", first), "ftruncate to 0 leaves the vector");
	CHECK(pread(fd, got, 4, 0) == 0, "but not for this handle");
	CHECK(pwrite(fd, second, size, 0) == (ssize_t)size && holds("t", second), "a write then");
	CHECK(ftruncate(fd, 8) == 0, "ftruncate to a beginning");
	REFUSED(close(fd), EINVAL, "that is no vector at close");
	CHECK(holds("t", second), "the stored one stays");
	fd = open("t", O_RDWR);
	CHECK(ftruncate(fd, 8) == 0 && lseek(fd, 8, SEEK_SET) == 8 &&
		      write(fd, (char *)first + 8, size - 8) == (ssize_t)size - 8,
	      "a beginning is kept, a new end written");
	memcpy(got, first, size);
	memcpy(got, second, 8);
	memcpy(first, got, size);
	CHECK(holds("t", first) && close(fd) == 0, "both are the vector");
	fd = open("t2", O_RDWR | O_CREAT, 0644);
	CHECK(ftruncate(fd, (off_t)size) == 0, "ftruncate of a new file to its size");
	CHECK(pwrite(fd, second, 8, 0) == 8 && close(fd) == 0, "written in part");
	memset(got, 0, size);
	memcpy(got, second, 8);
	memcpy(second, got, size);
	CHECK(holds("t2", second), "the rest are zeros");
	REFUSED(truncate("t2", 8), EINVAL, "truncate by path");
	CHECK(truncate("t2", 0) == 0 && holds("t2", second), "to 0 it leaves the vector");
}

static void test_append(void)
{
	int fd = open("a", O_WRONLY | O_CREAT | O_APPEND, 0644);

	CHECK(write(fd, first, 8) == 8 &&
		      write(fd, (char *)first + 8, size - 8) == (ssize_t)size - 8,
	      "O_APPEND in two steps");
	CHECK(holds("a", first), "is a vector");
	REFUSED(write(fd, first, 4), EFBIG, "O_APPEND to a whole one");
	CHECK(close(fd) == 0, "close");
	fd = open("a", O_WRONLY | O_APPEND | O_TRUNC);
	CHECK(write(fd, second, size) == (ssize_t)size && close(fd) == 0 && holds("a", second),
	      "O_APPEND with O_TRUNC");
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	test_write();
	test_pieces();
	test_close();
	test_truncate();
	test_append();
	return cases_end();
}
