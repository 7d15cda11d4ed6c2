/*
 * posix.c - what single system calls do on a mount: posix DIRECTORY DIM.
 *
 * DIRECTORY is the vectors/ of a mount with the metric l2. Prints "ok" and "not ok" lines; exit
 * status 1 when one of them is the latter. Driven by posix.sh.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DIM_MAX 4096
#define LISTED 300

static int failures;
static size_t dim, size;

static void check(bool good, const char *what, int line)
{
	if (good) {
		printf("ok - %s\n", what);
		return;
	}
	printf("not ok - %s (line %d, errno %s)\n", what, line, strerrorname_np(errno));
	failures++;
}
#define CHECK(good, what) check(good, what, __LINE__)
/* The call fails with that errno. */
#define REFUSED(call, number, what) CHECK((call) < 0 && errno == (number), what)

static float first[DIM_MAX], second[DIM_MAX], got[DIM_MAX];

static bool holds(const char *name, const float *expected)
{
	int fd = open(name, O_RDONLY);
	bool same = fd >= 0 && read(fd, got, sizeof(got)) == (ssize_t)size &&
		    memcmp(got, expected, size) == 0;

	if (fd >= 0)
		close(fd);
	return same;
}

static bool is_absent(const char *name)
{
	struct stat st;

	return stat(name, &st) < 0 && errno == ENOENT;
}

/* What goes at the last close goes a moment after it. */
static bool soon_absent(const char *name)
{
	for (int i = 0; i < 200; i++) {
		if (is_absent(name))
			return true;
		usleep(10000);
	}
	return false;
}

static void store(const char *name, const float *vector)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, vector, size) != (ssize_t)size || close(fd) != 0) {
		printf("not ok - cannot store %s: %s\n", name, strerror(errno));
		exit(1);
	}
}

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

static void test_read(void)
{
	char path[64];
	int fd, writer;
	float *map = NULL;

	store("m", first);
	fd = open("m", O_RDONLY);
	CHECK(pread(fd, got, 8, 4) == 8 && memcmp(got, first + 1, 8) == 0, "pread of a part");
	CHECK(pread(fd, got, 8, (off_t)size - 4) == 4 && pread(fd, got, 8, (off_t)size) == 0,
	      "at the end");
	CHECK(lseek(fd, 0, SEEK_END) == (off_t)size, "SEEK_END");
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED && memcmp(map, first, size) == 0, "mmap");
	writer = open("m", O_WRONLY);
	CHECK(write(writer, second, size) == (ssize_t)size, "an overwrite");
	CHECK(holds("m", second), "a new reader sees it at once");
	for (int i = 0; i < 20 && memcmp(map, second, size) != 0; i++)
		usleep(10000);
	CHECK(memcmp(map, second, size) == 0 || memcmp(map, first, size) == 0,
	      "the map shows the old or the new");
	CHECK(pread(fd, got, size, 0) == (ssize_t)size &&
		      (memcmp(got, second, size) == 0 || memcmp(got, first, size) == 0),
	      "so does the old reader");
	if (size <= (size_t)sysconf(_SC_PAGESIZE))
		CHECK(memcmp(map, second, size) == 0 && memcmp(got, second, size) == 0,
		      "both the new one, when it is one page");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(holds(path, second), "opened by descriptor it is the new one");
	CHECK(holds("m", second), "by name too");
	munmap(map, size);
	close(writer);
	close(fd);
	fd = open("m", O_RDWR);
	CHECK(read(fd, got, size) == (ssize_t)size && memcmp(got, second, size) == 0, "O_RDWR");
	close(fd);
}

static void test_attributes(void)
{
	struct stat before, after;
	struct statvfs vfs;
	char value[16];
	int fd = open("i", O_WRONLY | O_CREAT, 0644), dir = open(".", O_RDONLY);

	CHECK(fstat(fd, &before) == 0, "fstat of a new file");
	CHECK(write(fd, first, size) == (ssize_t)size && fstat(fd, &after) == 0 && close(fd) == 0 &&
		      before.st_ino == after.st_ino,
	      "st_ino stays when it is written whole");
	CHECK(stat("i", &after) == 0 && before.st_ino == after.st_ino, "and when it is closed");
	CHECK(holds("i", first), "a reader");
	store("i", second);
	CHECK(holds("i", second) && stat("i", &after) == 0, "an overwrite");
	CHECK(before.st_ino == after.st_ino, "st_ino is the same before and after it");
	CHECK(after.st_size == (off_t)size && after.st_nlink == 1, "size and links");
	CHECK(after.st_blocks == (blkcnt_t)((size + 511) / 512), "blocks");
	CHECK(fsync(dir) == 0 && close(dir) == 0, "fsync of the directory");
	CHECK(statvfs(".", &vfs) == 0 && vfs.f_bavail > 0 && vfs.f_files > vfs.f_ffree &&
		      vfs.f_namemax == 255,
	      "statvfs");
	REFUSED(getxattr("i", "user.x", value, sizeof(value)), EOPNOTSUPP, "extended attributes");
	fd = open("i", O_RDONLY);
	CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0 && flock(fd, LOCK_UN) == 0, "flock");
	close(fd);
}

/* --- listings --- */

static size_t seen[2 * LISTED];

static void see(const char *name)
{
	size_t n;

	if (sscanf(name, "list%zu", &n) == 1 && n < 2 * LISTED)
		seen[n]++;
}

static bool listed(const char *name)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	bool found = false;

	while ((entry = readdir(dir)) != NULL)
		found = found || strcmp(entry->d_name, name) == 0;
	closedir(dir);
	return found;
}

static void test_listing(void)
{
	char name[300];
	DIR *dir = NULL;
	struct dirent *entry = NULL;
	struct stat st;
	size_t n = 0, once = 0, ghosts = 0, numbers = 0;
	long place;

	for (size_t i = 0; i < LISTED; i++) {
		snprintf(name, sizeof(name), "list%zu", i);
		store(name, first);
	}
	dir = opendir(".");
	while ((entry = readdir(dir)) != NULL) {
		see(entry->d_name);
		/* While it is read, every third goes and others come. */
		snprintf(name, sizeof(name), "list%zu", n);
		if (n % 3 == 0 && n < LISTED)
			unlink(name);
		snprintf(name, sizeof(name), "list%zu", LISTED + n);
		if (n % 7 == 0 && n < LISTED)
			store(name, second);
		n++;
	}
	for (size_t i = 0; i < LISTED; i++)
		once += i % 3 != 0 && seen[i] == 1;
	for (size_t i = 0; i < 2 * LISTED; i++)
		ghosts += seen[i] > 1;
	CHECK(once == LISTED - LISTED / 3, "what stays is listed");
	CHECK(ghosts == 0, "nothing twice");
	rewinddir(dir);
	for (int i = 0; i < 10; i++)
		(void)readdir(dir);
	place = telldir(dir);
	entry = readdir(dir);
	snprintf(name, sizeof(name), "%s", entry->d_name);
	for (int i = 0; i < 20; i++)
		(void)readdir(dir);
	seekdir(dir, place);
	entry = readdir(dir);
	CHECK(entry != NULL && strcmp(entry->d_name, name) == 0, "telldir and seekdir");
	rewinddir(dir);
	n = 0;
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, "list", 4) == 0) {
			n++;
			numbers += stat(entry->d_name, &st) == 0 && st.st_ino == entry->d_ino;
		}
	CHECK(numbers == n, "d_ino is st_ino");
	closedir(dir);
	for (size_t i = 0; i < 2 * LISTED; i++) {
		snprintf(name, sizeof(name), "list%zu", i);
		unlink(name);
	}
	CHECK(!listed("list1"), "what was removed is not listed");
}

static void test_kept_listing(void)
{
	bool found = false;
	int fd;

	listed("kept");
	listed("kept");
	fd = open("kept", O_WRONLY | O_CREAT, 0644);
	CHECK(!listed("kept"), "a new file is listed when it is whole");
	CHECK(write(fd, first, size) == (ssize_t)size, "write");
	for (int i = 0; i < 200 && !found; i++) {
		found = listed("kept");
		usleep(found ? 0 : 10000);
	}
	CHECK(found, "then it is listed");
	close(fd);
	CHECK(listed("kept") && unlink("kept") == 0 && !listed("kept"), "until it is removed");
}

/* --- one writer, some readers: old or new, never a mixture --- */

static atomic_bool writing;
static atomic_size_t latest, mixtures, stale, reads;
static atomic_int open_errno, read_result;

static void *read_on(void *arg)
{
	float *vector = malloc(size);

	(void)arg;
	while (atomic_load(&writing)) {
		size_t before = atomic_load(&latest);
		int fd = open("x", O_RDONLY);
		ssize_t n = fd >= 0 ? read(fd, vector, size) : -1;

		reads++;
		if (n != (ssize_t)size) {
			*(fd < 0 ? &open_errno : &read_result) = fd < 0 ? errno : (int)n;
			mixtures++;
			continue;
		}
		for (size_t i = 1; i < dim; i++)
			if (vector[i] != vector[0]) {
				mixtures++;
				break;
			}
		/* A write that had returned before the open is seen. */
		if (vector[0] < (float)before)
			stale++;
		close(fd);
	}
	free(vector);
	return NULL;
}

static void test_concurrent(void)
{
	pthread_t readers[3];
	float *vector = malloc(size);
	int fd;

	for (size_t i = 0; i < dim; i++)
		vector[i] = 1;
	store("x", vector);
	atomic_store(&writing, true);
	atomic_store(&latest, 1);
	for (size_t i = 0; i < 3; i++)
		pthread_create(&readers[i], NULL, read_on, NULL);
	for (size_t round = 2; round < 2000; round++) {
		for (size_t i = 0; i < dim; i++)
			vector[i] = (float)round;
		fd = open("x", round % 2 ? O_WRONLY | O_TRUNC : O_WRONLY);
		if (write(fd, vector, size) != (ssize_t)size)
			mixtures++;
		atomic_store(&latest, round);
		close(fd);
	}
	atomic_store(&writing, false);
	for (size_t i = 0; i < 3; i++)
		pthread_join(readers[i], NULL);
	printf("# %zu reads during 2000 writes\n", atomic_load(&reads));
	if (mixtures > 0)
		printf("# %zu mixtures; open %s, read %d\n", atomic_load(&mixtures),
		       strerrorname_np(open_errno), read_result);
	CHECK(mixtures == 0, "readers see the old vector or the new one");
	CHECK(stale == 0, "and never an older one than was there when they opened");
	free(vector);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: posix DIRECTORY DIM\n");
		return 2;
	}
	dim = strtoul(argv[2], NULL, 10);
	size = dim * sizeof(float);
	if (dim < 8 || dim > DIM_MAX)
		return 2;
	for (size_t i = 0; i < dim; i++) {
		first[i] = (float)i;
		second[i] = (float)(10000 + i);
	}
	test_write();
	test_pieces();
	test_close();
	test_uncommitted();
	test_rename();
	test_unlink();
	test_truncate();
	test_append();
	test_read();
	test_attributes();
	test_listing();
	test_kept_listing();
	test_concurrent();
	return failures > 0;
}
