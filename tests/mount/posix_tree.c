/*
 * posix_tree.c - system calls on all in the tree but vectors: the root, json/, status/, query/ with
 * what is below it. What is refused there, and what open files of each kind do.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/support/cases.h"

#define TEXT_MAX 200000

static char text[TEXT_MAX], again[TEXT_MAX];
static char point[8 * CASES_DIM_MAX + CASES_DIM_MAX / 16 + 64]; /* query/2/ and first's digits */

/* The whole file, with a terminator; -1 is an error. */
static ssize_t read_all(int fd, char *out)
{
	ssize_t n, len = 0;

	while ((n = read(fd, out + len, (size_t)(TEXT_MAX - 1 - len))) > 0)
		len += n;
	out[len] = '\0';
	return n < 0 ? -1 : len;
}

static ssize_t read_file(const char *path, char *out)
{
	int fd = open(path, O_RDONLY);
	ssize_t len = fd >= 0 ? read_all(fd, out) : -1;

	if (fd >= 0)
		close(fd);
	return len;
}

/* Digits of first, in directories of 200. */
static void make_point(void)
{
	const unsigned char *bytes = (const unsigned char *)first;
	char *at = point + sprintf(point, "../query/2/");

	for (size_t i = 0; i < size; i++) {
		if (i > 0 && i % 100 == 0)
			*at++ = '/';
		at += sprintf(at, "%02x", bytes[i]);
	}
}

/*
 * Nothing can be made, moved or removed there, and the directory cannot be written to. files: but that
 * files are created; none: what is said of a name that is not there.
 */
static void test_fixed(const char *path, bool files, int none)
{
	char name[256], line[300];
	struct statvfs vfs;
	struct stat st;

	snprintf(name, sizeof(name), "%s/new", path);
	printf("# %s\n", path);
	CHECK(stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_nlink == 2, "a directory");
	REFUSED(mkdir(name, 0755), none == ENOENT ? EPERM : none, "mkdir");
	REFUSED(mkfifo(name, 0644), none == ENOENT ? EPERM : none, "mknod");
	REFUSED(symlink("x", name), none == ENOENT ? EPERM : none, "symlink");
	REFUSED(link("t", name), none == ENOENT ? EPERM : none, "link");
	REFUSED(rename("t", name), none == ENOENT ? EPERM : none, "rename to it");
	if (!files)
		REFUSED(open(name, O_WRONLY | O_CREAT, 0644), none == ENOENT ? EPERM : none,
			"open with O_CREAT");
	REFUSED(open(name, O_RDONLY), none, "open of nothing");
	REFUSED(unlink(name), none, "unlink of nothing");
	REFUSED(rmdir(name), none, "rmdir of nothing");
	REFUSED(readlink(path, line, sizeof(line)), EINVAL, "readlink");
	REFUSED(open(path, O_RDWR), EISDIR, "open to write");
	REFUSED(unlink(path), EISDIR, "unlink of the directory");
	REFUSED(rmdir(path), EPERM, "rmdir of it");
	REFUSED(rename(path, "../moved"), EPERM, "rename of it");
	CHECK(statvfs(path, &vfs) == 0 && vfs.f_namemax == 255, "statvfs");
	CHECK(holds("t", first), "nothing has moved");
}

/* A file that can only be read: its answer is made at open. */
static void test_read_only(const char *path, bool same)
{
	ssize_t len, second_len;
	struct stat st;
	int fd = open(path, O_RDONLY);

	printf("# %s\n", strlen(path) < 60 ? path : "digits");
	len = read_all(fd, text);
	CHECK(len > 0, "read");
	CHECK(pread(fd, again, 5, 3) == 5 && memcmp(again, text + 3, 5) == 0, "pread of a part");
	CHECK(pread(fd, again, 5, len) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
		      read_all(fd, again) == len && memcmp(text, again, (size_t)len) == 0,
	      "the descriptor keeps what it read");
	CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0, "its size is 0");
	REFUSED(write(fd, "x", 1), EBADF, "write");
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV,
	      "mmap");
	CHECK(close(fd) == 0, "close");
	second_len = read_file(path, again);
	CHECK(second_len > 0 && (!same || strcmp(text, again) == 0), "read again");
	REFUSED(open(path, O_WRONLY), EACCES, "open to write");
	REFUSED(open(path, O_RDWR), EACCES, "to read and write");
	REFUSED(open(path, O_RDONLY | O_DIRECTORY), ENOTDIR, "as a directory");
	CHECK(unlink(path) < 0 && errno == EPERM, "unlink");
	CHECK(rename(path, "away") < 0 && errno == EPERM, "rename");
	CHECK(link(path, "hard") < 0 && errno == EPERM, "link");
	CHECK(chmod(path, 0777) < 0, "chmod");
}

static void test_control(void)
{
	const char *path = "../status/control";
	int fd = open(path, O_WRONLY | O_TRUNC);
	char *long_line = calloc(1, 5000);

	memset(long_line, 'x', 4999);
	REFUSED(open(path, O_RDONLY), EACCES, "reading control");
	REFUSED(open(path, O_RDWR), EACCES, "reading and writing it");
	CHECK(write(fd, "checkpoint\n", 11) == 11 && write(fd, "drop-caches", 11) == 11,
	      "commands on one descriptor");
	REFUSED(write(fd, "nonsense\n", 9), EINVAL, "an unknown command");
	REFUSED(write(fd, long_line, 4999), EFBIG, "a long one");
	CHECK(pwrite(fd, "checkpoint\ndrop-caches\n", 23, 1000) == 23,
	      "two commands, at any offset");
	REFUSED(pwrite(fd, "checkpoint\nnonsense\n", 20, 0), EINVAL, "the second is unknown");
	CHECK(write(fd, "\n", 1) == 1 && write(fd, "", 0) == 0, "an empty line");
	CHECK(fsync(fd) == 0 && close(fd) == 0, "close");
	REFUSED(unlink(path), EPERM, "unlink of control");
	free(long_line);
}

static void test_run(void)
{
	const char *path = "../query/2/run";
	int fd = open(path, O_RDWR), other = open(path, O_RDWR);
	ssize_t len;

	CHECK(read(fd, text, TEXT_MAX) == 0, "run: nothing asked, nothing answered");
	CHECK(write(fd, first, size) == (ssize_t)size, "a question");
	len = pread(fd, text, TEXT_MAX, 12345);
	CHECK(len > 2 && memcmp(text, "t\t0\n", 4) == 0, "is answered whatever the offset");
	CHECK(pread(other, again, TEXT_MAX, 0) == 0, "to who asked alone");
	CHECK(write(other, second, size) == (ssize_t)size &&
		      write(fd, first, size) == (ssize_t)size,
	      "each asks");
	CHECK(read(other, again, TEXT_MAX) > 0 && memcmp(again, "far\t0\n", 6) == 0 &&
		      read(fd, again, TEXT_MAX) == len && memcmp(again, text, (size_t)len) == 0,
	      "and gets its own answer");
	CHECK(write(fd, first, size) == (ssize_t)size && read(fd, again, 2) == 2 &&
		      memcmp(again, text, 2) == 0 && read(fd, again + 2, TEXT_MAX - 2) == len - 2 &&
		      memcmp(again, text, (size_t)len) == 0,
	      "read in two steps");
	CHECK(write(fd, first, 6) == 6, "a part of a question");
	REFUSED(read(fd, again, TEXT_MAX), EINVAL, "has no answer");
	CHECK(write(fd, (char *)first + 6, size - 6) == (ssize_t)size - 6 &&
		      read(fd, again, TEXT_MAX) == len,
	      "before its end comes");
	got[0] = 0.0f / 0.0f;
	memcpy(got + 1, first + 1, size - 4);
	REFUSED(write(fd, got, size), EINVAL, "NaN");
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0 && fsync(fd) == 0,
	      "what redirections do");
	REFUSED(ftruncate(fd, 4), EINVAL, "it has no size");
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV,
	      "mmap");
	CHECK(close(fd) == 0 && close(other) == 0, "close");
	fd = open(path, O_RDONLY);
	REFUSED(write(fd, first, size), EBADF, "a reader asks nothing");
	CHECK(read(fd, again, TEXT_MAX) == 0 && close(fd) == 0, "and gets nothing");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, first, size) == (ssize_t)size, "O_CREAT and O_TRUNC");
	REFUSED(read(fd, again, TEXT_MAX), EBADF, "a writer reads nothing");
	CHECK(close(fd) == 0, "close");
	REFUSED(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "O_EXCL");
	REFUSED(unlink(path), EPERM, "unlink");
	REFUSED(rename(path, "../query/2/q"), EPERM, "rename");
}

static void test_named(void)
{
	const char *path = "../query/2/name", *wider = "../query/2,exact/name";
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644), other;

	CHECK(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600 && st.st_size == 0,
	      "a named query, its owner's alone");
	REFUSED(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "O_EXCL");
	CHECK(write(fd, first, size) == (ssize_t)size, "a question");
	CHECK(read_file(path, text) > 0 && memcmp(text, "t\t0\n", 4) == 0,
	      "is answered before it is closed");
	CHECK(read_file(wider, again) > 0 && strcmp(text, again) == 0, "with other options too");
	CHECK(pwrite(fd, second, size, 0) == (ssize_t)size && read_file(path, again) > 0 &&
		      memcmp(again, "far\t0\n", 6) == 0,
	      "another question");
	REFUSED(pwrite(fd, first, size, 1ll << 40), EFBIG, "far beyond");
	REFUSED(ftruncate(fd, 1ll << 40), EFBIG, "ftruncate to there");
	CHECK(ftruncate(fd, 0) == 0 && fsync(fd) == 0 && read_file(path, again) == 0,
	      "ftruncate to nothing");
	CHECK(pwrite(fd, first, 6, 0) == 6, "a part");
	REFUSED(fsync(fd), EINVAL, "fsync says that it is one");
	REFUSED(close(fd), EINVAL, "close too");
	CHECK(read_file(path, again) == 0, "nothing was asked");
	REFUSED(rename(path, "../query/2/other"), EPERM, "rename");
	REFUSED(link(path, "../query/2/other"), EPERM, "link");
	REFUSED(rmdir(path), ENOTDIR, "rmdir");
	REFUSED(open("../query/2/name/x", O_RDONLY), ENOTDIR, "below it");
	fd = open(path, O_RDWR);
	other = open(path, O_RDONLY);
	CHECK(unlink(wider) == 0 && is_absent(path), "removed by another path it is gone");
	CHECK(write(fd, first, size) == (ssize_t)size && close(fd) == 0 && is_absent(path),
	      "and stays so when it is written");
	CHECK(read(other, again, TEXT_MAX) == 0 && close(other) == 0, "its reader has its answer");
	REFUSED(unlink(path), ENOENT, "unlink again");
	REFUSED(open("../query/2/absent", O_WRONLY | O_TRUNC), ENOENT, "without O_CREAT");
}

static void test_json(void)
{
	struct stat st;
	char *map = NULL;
	ssize_t len = read_file("../json/t", text);
	int fd = open("../json/t", O_RDWR), other;

	CHECK(len > 2 && text[0] == '[' && strcmp(text + len - 2, "]\n") == 0, "a text");
	CHECK(fstat(fd, &st) == 0 && st.st_size == (off_t)len && st.st_nlink == 1 &&
		      st.st_blocks == (len + 511) / 512,
	      "its size");
	CHECK(pread(fd, again, 4, 2) == 4 && memcmp(again, text + 2, 4) == 0 &&
		      pread(fd, again, 4, len) == 0 && lseek(fd, 0, SEEK_END) == len,
	      "pread and SEEK_END");
	map = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED && memcmp(map, text, (size_t)len) == 0, "a private map");
	if (map != MAP_FAILED)
		munmap(map, (size_t)len);
	REFUSED(pwrite(fd, "x", 1, 1ll << 40), EFBIG, "far beyond");
	REFUSED(ftruncate(fd, 1ll << 40), EFBIG, "ftruncate to there");
	CHECK(ftruncate(fd, 3) == 0, "ftruncate to a part");
	REFUSED(fsync(fd), EINVAL, "is no vector at fsync");
	REFUSED(close(fd), EINVAL, "nor at close");
	CHECK(holds("t", first), "the vector stays");
	REFUSED(open("../json/t", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "O_EXCL");
	REFUSED(open("../json/none", O_RDONLY), ENOENT, "what is not there");
	REFUSED(rename("../json/t", "t3"), EPERM, "rename to vectors/");
	REFUSED(link("../json/t", "../json/t3"), EPERM, "link");

	store("t2", second);
	fd = open("../json/t2", O_RDONLY);
	other = open("../json/t2", O_WRONLY | O_TRUNC);
	CHECK(unlink("../json/t2") == 0 && is_absent("t2") && is_absent("../json/t2"),
	      "unlink while open");
	CHECK(read(fd, again, 3) == 3 && memcmp(again, "[10", 3) == 0, "its reader keeps it");
	CHECK(write(other, text, (size_t)len) == len && close(other) == 0 && is_absent("t2"),
	      "a write to it is no vector");
	close(fd);
	store("t2", second);
	fd = open("../json/t2", O_RDONLY);
	CHECK(rename("t2", "t4") == 0 && is_absent("../json/t2"), "a rename of the vector");
	CHECK(read(fd, again, 3) == 3 && memcmp(again, "[10", 3) == 0, "leaves its readers alone");
	close(fd);
	fd = open("../json/t4", O_WRONLY | O_TRUNC);
	CHECK(write(fd, text, (size_t)len) == len && holds("t4", first) && close(fd) == 0,
	      "a text written whole");
	CHECK(unlink("t4") == 0 && is_absent("../json/t4"), "unlink of the vector");
}

static void test_links(void)
{
	char link_path[64] = "../query/2,format=links/like/t/001-far";
	char target[64];
	struct stat st;
	ssize_t n = readlink(link_path, target, sizeof(target));

	CHECK(n > 0 && lstat(link_path, &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == n,
	      "a link");
	CHECK(holds(link_path, second), "leads to its vector");
	REFUSED(open(link_path, O_RDONLY | O_NOFOLLOW), ELOOP, "O_NOFOLLOW");
	REFUSED(unlink(link_path), EPERM, "unlink of it");
	REFUSED(rename(link_path, "x"), EPERM, "rename");
	REFUSED(rmdir("../query/2,format=links/like/t"), EPERM, "rmdir of an answer");
	REFUSED(unlink("../query/2,format=links/like/t"), EISDIR, "unlink of one");
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	store("t", first);
	store("far", second);
	test_fixed("../status", false, ENOENT);
	test_fixed("../query", false, EINVAL);
	test_fixed("../query/2/like", false, ENOENT);
	test_fixed("../json", true, ENOENT);
	test_fixed("../query/2", true, ENOENT);
	REFUSED(mkdir("../query/5", 0755), EEXIST, "mkdir of what is there");
	REFUSED(mkdir("../new", 0755), EPERM, "mkdir in the root");
	REFUSED(open("../new", O_WRONLY | O_CREAT, 0644), EPERM, "a file in the root");
	make_point();
	test_read_only("../README", true);
	test_read_only("../status/config", true);
	test_read_only("../status/metrics", false);
	test_read_only("../status/errors", false);
	test_read_only("../query/2/like/t", true);
	if (strlen(point) < PATH_MAX)
		test_read_only(point, true);
	test_control();
	test_run();
	test_named();
	test_json();
	test_links();
	REFUSED(unlink("none"), ENOENT, "unlink of nothing");
	CHECK(unlink("t") == 0 && unlink("far") == 0, "unlink");
	return cases_end();
}
