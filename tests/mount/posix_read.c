/*
 * posix_read.c - reading a vector in each way, its attributes, and readers beside a writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/cases.h"

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
	REFUSED(getxattr("i", "security.x", value, sizeof(value)), EOPNOTSUPP,
		"extended attributes that are not the user's");
	fd = open("i", O_RDONLY);
	CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0 && flock(fd, LOCK_UN) == 0, "flock");
	close(fd);
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
	cases_begin(argc, argv);
	test_read();
	test_attributes();
	test_concurrent();
	return cases_end();
}
