/*
 * posix_names.c - names of vectors: creating, renaming, removing, also while they are open; which are possible.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/cases.h"

static void test_uncommitted(void)
{
	struct stat st;
	struct timespec times[2] = {{1000, 0}, {12345, 678}};
	int fd = open("u", O_WRONLY | O_CREAT | O_EXCL, 0640), other;

	CHECK(fd >= 0 && stat("u", &st) == 0 && st.st_size == 0, "a new file is seen, empty");
	REFUSED(open("u", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "O_EXCL on it");
	CHECK(write(fd, first, 8) == 8 && fstat(fd, &st) == 0 && st.st_size == 8, "it grows");
	CHECK(rename("u", "u2") == 0 && is_absent("u"), "it can be renamed");
	CHECK(fchmod(fd, 0600) == 0 && futimens(fd, times) == 0, "and changed");
	other = open("u2", O_RDONLY);
	CHECK(other >= 0 && read(other, got, 8) == 0, "nobody else reads what is not whole");
	close(other);
	CHECK(write(fd, (const char *)first + 8, size - 8) == (ssize_t)size - 8, "its end");
	CHECK(holds("u2", first), "it is whole");
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600, "it has the mode");
	CHECK(futimens(fd, times) == 0 && close(fd) == 0 && stat("u2", &st) == 0 &&
		      st.st_mtim.tv_sec == 12345 && st.st_mtim.tv_nsec == 678,
	      "and the time that was set after the write");

	fd = open("u3", O_WRONLY | O_CREAT, 0644);
	CHECK(unlink("u3") == 0 && is_absent("u3"), "a new file can be removed");
	CHECK(write(fd, first, size) == (ssize_t)size && close(fd) == 0 && is_absent("u3"),
	      "what is written to it then is nowhere");
	fd = open("u4", O_WRONLY | O_CREAT, 0644);
	REFUSED(rename("u4", "u2"), EBUSY, "it does not replace a stored vector");
	CHECK(rename("u2", "u4") == 0 && holds("u4", first), "a stored one replaces it");
	CHECK(write(fd, second, size) == (ssize_t)size && close(fd) == 0 && holds("u4", first),
	      "and stays when the replaced one is written");
	fd = open("u5", O_WRONLY | O_CREAT, 0644);
	CHECK(close(fd) == 0 && soon_absent("u5"), "a file closed without content goes");
}

static void test_rename(void)
{
	struct stat a, b, after;

	store("r1", first);
	store("r2", second);
	CHECK(stat("r1", &a) == 0 && stat("r2", &b) == 0, "stat");
	REFUSED(renameat2(AT_FDCWD, "r1", AT_FDCWD, "r2", RENAME_NOREPLACE), EEXIST, "NOREPLACE");
	CHECK(renameat2(AT_FDCWD, "r1", AT_FDCWD, "r3", RENAME_NOREPLACE) == 0,
	      "NOREPLACE to a free name");
	CHECK(stat("r3", &after) == 0 && after.st_ino == a.st_ino, "rename keeps st_ino");
	CHECK(renameat2(AT_FDCWD, "r2", AT_FDCWD, "r3", RENAME_EXCHANGE) == 0, "EXCHANGE");
	CHECK(holds("r2", first) && holds("r3", second), "has exchanged");
	CHECK(stat("r2", &after) == 0 && after.st_ino == a.st_ino && stat("r3", &after) == 0 &&
		      after.st_ino == b.st_ino,
	      "st_ino too");
	REFUSED(renameat2(AT_FDCWD, "r2", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT,
		"EXCHANGE with nothing");
	REFUSED(renameat2(AT_FDCWD, "r2", AT_FDCWD, "r4", RENAME_WHITEOUT), EINVAL, "WHITEOUT");
	CHECK(rename("r2", "r3") == 0 && holds("r3", first) && is_absent("r2"), "replacing");
	CHECK(rename("r3", "r3") == 0 && holds("r3", first), "renaming to itself");
}

static void test_unlink(void)
{
	struct stat st;
	int reader, writer;

	store("d", first);
	reader = open("d", O_RDONLY);
	writer = open("d", O_RDWR);
	CHECK(unlink("d") == 0 && is_absent("d"), "unlink while open");
	CHECK(read(reader, got, sizeof(got)) == (ssize_t)size && memcmp(got, first, size) == 0,
	      "the reader keeps it");
	CHECK(pread(writer, got, sizeof(got), 0) == (ssize_t)size, "the writer too");
	CHECK(fstat(reader, &st) == 0 && st.st_nlink == 0 && st.st_size == (off_t)size,
	      "it has no link");
	CHECK(pwrite(writer, second, size, 0) == (ssize_t)size && is_absent("d"),
	      "a write to it is no file");
	store("d", second);
	CHECK(holds("d", second), "another of that name");
	lseek(reader, 0, SEEK_SET);
	CHECK(pread(writer, got, 4, 0) == 4, "the removed one is read apart from it");
	CHECK(close(reader) == 0 && close(writer) == 0 && holds("d", second), "close");
	reader = open("d", O_RDONLY);
	store("e", first);
	CHECK(rename("e", "d") == 0 && holds("d", first), "rename over an open file");
	CHECK(read(reader, got, sizeof(got)) == (ssize_t)size && memcmp(got, second, size) == 0,
	      "whose reader keeps the old");
	close(reader);
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	test_uncommitted();
	test_rename();
	test_unlink();
	return cases_end();
}
