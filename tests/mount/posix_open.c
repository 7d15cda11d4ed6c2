/*
 * posix_open.c - open(2) with each flag, and what a descriptor then refuses.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/support/cases.h"

static void test_flags(void)
{
	int fd, other;

	store("o", first);
	REFUSED(open("none", O_RDONLY), ENOENT, "open of what is not there");
	REFUSED(open("none", O_WRONLY | O_TRUNC), ENOENT, "with O_TRUNC");
	REFUSED(open("none/x", O_RDONLY), ENOENT, "below it");
	REFUSED(open("o/x", O_RDONLY), ENOTDIR, "below a vector");
	REFUSED(open("o/x", O_WRONLY | O_CREAT, 0644), ENOTDIR, "O_CREAT below a vector");
	REFUSED(open("o/", O_RDONLY), ENOTDIR, "a vector with a slash");
	REFUSED(open("o", O_RDONLY | O_DIRECTORY), ENOTDIR, "O_DIRECTORY");
	REFUSED(open("o", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "O_EXCL");
	REFUSED(open(".", O_WRONLY), EISDIR, "writing to the directory");
	REFUSED(open(".", O_RDWR | O_TMPFILE, 0644), EOPNOTSUPP, "O_TMPFILE");
	CHECK(is_absent("none"), "nothing has come of all that");
	CHECK(holds("o", first), "the vector is as it was");

	fd = open("o", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME | O_NOCTTY | O_NONBLOCK);
	CHECK(fd >= 0 && read(fd, got, size) == (ssize_t)size, "flags of no effect");
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && fcntl(fd, F_GETFD) == FD_CLOEXEC,
	      "fcntl tells them");
	CHECK(close(fd) == 0, "close");
	fd = open("o", O_PATH);
	REFUSED(read(fd, got, size), EBADF, "O_PATH reads nothing");
	CHECK(fchdir(fd) < 0 && errno == ENOTDIR, "and is no directory");
	close(fd);

	fd = open("o", O_RDONLY | O_CREAT, 0644);
	CHECK(fd >= 0 && read(fd, got, size) == (ssize_t)size, "O_CREAT of what is there reads it");
	close(fd);
	fd = open("o", O_WRONLY | O_SYNC);
	CHECK(write(fd, second, size) == (ssize_t)size && holds("o", second) && close(fd) == 0,
	      "O_SYNC");
	fd = open("o", O_WRONLY | O_DSYNC | O_TRUNC);
	CHECK(write(fd, first, size) == (ssize_t)size && holds("o", first) && close(fd) == 0,
	      "O_DSYNC");
	fd = creat("made", 0640);
	CHECK(fd >= 0 && write(fd, first, size) == (ssize_t)size, "creat");
	other = creat("made", 0600);
	CHECK(other >= 0 && holds("made", first), "creat of a stored one leaves it");
	CHECK(write(other, second, size) == (ssize_t)size && close(other) == 0 && close(fd) == 0 &&
		      holds("made", second),
	      "until it is written");
	fd = open("ro", O_RDONLY | O_CREAT, 0644);
	CHECK(fd >= 0 && read(fd, got, size) == 0, "a new file for reading alone is empty");
	CHECK(close(fd) == 0 && soon_absent("ro"), "and goes");
}

static void test_modes(void)
{
	struct stat st;
	mode_t before = umask(027);
	int fd = open("mode", O_WRONLY | O_CREAT, 0666);

	umask(before);
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0640, "umask");
	CHECK(write(fd, first, size) == (ssize_t)size && close(fd) == 0, "written");
	CHECK(stat("mode", &st) == 0 && (st.st_mode & 07777) == 0640 && st.st_uid == geteuid() &&
		      st.st_gid == getegid(),
	      "mode and owner of a new vector");
	fd = open("mode", O_WRONLY | O_CREAT, 0600);
	CHECK(write(fd, second, size) == (ssize_t)size && close(fd) == 0 &&
		      stat("mode", &st) == 0 && (st.st_mode & 07777) == 0640,
	      "an overwrite keeps the mode");
	fd = open("locked", O_WRONLY | O_CREAT | O_EXCL, 0444);
	CHECK(fd >= 0 && write(fd, first, size) == (ssize_t)size && close(fd) == 0,
	      "who creates a read-only file writes it");
	CHECK(stat("locked", &st) == 0 && (st.st_mode & 07777) == 0444, "it is read-only then");
}

static void test_refused(void)
{
	int reader = open("o", O_RDONLY), writer = open("o", O_WRONLY);
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	void *nowhere = (void *)8;

	REFUSED(write(reader, first, size), EBADF, "write to a reader");
	REFUSED(pwrite(reader, first, size, 0), EBADF, "pwrite");
	REFUSED(ftruncate(reader, 0), EINVAL, "ftruncate");
	REFUSED(read(writer, got, size), EBADF, "read from a writer");
	REFUSED(pread(writer, got, size, 0), EBADF, "pread");
	REFUSED(pread(reader, got, size, -1), EINVAL, "a negative offset");
	REFUSED(pwrite(writer, first, size, -1), EINVAL, "to write at");
	REFUSED(ftruncate(writer, -1), EINVAL, "a negative size");
	REFUSED(lseek(reader, -1, SEEK_SET), EINVAL, "a negative place");
	REFUSED(lseek(reader, 0, 99), EINVAL, "an unknown whence");
	REFUSED(read(reader, nowhere, size), EFAULT, "read to a bad address");
	REFUSED(write(writer, nowhere, size), EFAULT, "write from a bad address");
	REFUSED(read(dir, got, size), EISDIR, "read of a directory");
	REFUSED(pwrite(writer, first, 4, 1ll << 40), EFBIG, "far beyond the end");
	REFUSED(ftruncate(writer, 1ll << 40), EFBIG, "ftruncate to there");
	CHECK(write(writer, first, 0) == 0 && close(writer) == 0, "a write of nothing");
	CHECK(holds("o", first), "all that has changed nothing");
	REFUSED(close(writer), EBADF, "closing it again");
	close(reader);
	close(dir);
}

static void test_parts(void)
{
	static float mixed[CASES_DIM_MAX];
	size_t half = size / 8 * 4;
	struct iovec parts[2] = {{(char *)second, half}, {(char *)second + half, size - half}};
	struct iovec into[2] = {{(char *)got, half}, {(char *)got + half, size - half}};
	int fd = open("v", O_RDWR | O_CREAT, 0644), other;

	CHECK(writev(fd, parts, 2) == (ssize_t)size && holds("v", second), "writev");
	memset(got, 0, size);
	CHECK(preadv(fd, into, 2, 0) == (ssize_t)size && memcmp(got, second, size) == 0, "preadv");
	parts[0].iov_base = first;
	parts[1].iov_base = (char *)first + half;
	CHECK(pwritev(fd, parts, 2, 0) == (ssize_t)size && holds("v", first), "pwritev");
	other = dup(fd);
	CHECK(lseek(other, 8, SEEK_SET) == 8 && read(fd, got, 4) == 4 && got[0] == first[2] &&
		      lseek(other, 0, SEEK_CUR) == 12,
	      "a duplicate shares the place");
	close(other);
	close(fd);

	/* Two descriptors of one file, each with one half. */
	fd = open("v", O_WRONLY);
	other = open("v", O_WRONLY);
	CHECK(pwrite(other, (char *)second + half, size - half, (off_t)half) ==
		      (ssize_t)(size - half),
	      "the end by one descriptor");
	CHECK(pwrite(fd, second, half, 0) == (ssize_t)half && close(fd) == 0 && close(other) == 0,
	      "the beginning by another");
	CHECK(holds("v", second), "both changes are there");
	fd = open("v", O_WRONLY);
	other = open("v", O_WRONLY);
	CHECK(pwrite(fd, first, half, 0) == (ssize_t)half, "the beginning, which waits");
	CHECK(pwrite(other, (char *)first + half, size - half, (off_t)half) ==
			      (ssize_t)(size - half) &&
		      close(other) == 0,
	      "the end by another descriptor");
	CHECK(close(fd) == 0 && holds("v", first), "both changes are there when it is closed");
	memcpy(mixed, first, size);
	for (int i = 0; i < 6; i += 2)
		mixed[i] = second[i];
	fd = open("v", O_WRONLY);
	other = open("v", O_WRONLY);
	CHECK(pwrite(fd, &second[0], 4, 0) == 4, "the first number, which waits");
	CHECK(pwrite(other, &second[2], 4, 8) == 4, "the third by another descriptor");
	CHECK(pwrite(fd, &second[4], 4, 16) == 4 && holds("v", mixed), "the fifth: all are there");
	CHECK(close(fd) == 0 && close(other) == 0 && holds("v", mixed), "and stay");
	fd = open("v", O_WRONLY);
	CHECK(pwrite(fd, second, half, 0) == (ssize_t)half && unlink("v") == 0 && close(fd) == 0 &&
		      is_absent("v"),
	      "a change that waits for a removed vector");
	store("v", second);
	fd = open("v", O_WRONLY | O_APPEND);
	REFUSED(pwrite(fd, first, 4, 0), EFBIG, "pwrite with O_APPEND appends");
	CHECK(close(fd) == 0 && holds("v", second), "the vector stays");
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	test_flags();
	test_modes();
	test_refused();
	test_parts();
	return cases_end();
}
