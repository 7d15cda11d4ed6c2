/* files.c - writing vector files through a mount, and finding them again. */
#include "tests/demo/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/demo/progress.h"

struct folder {
	int fd;
	size_t bytes;  /* of a vector */
	float *vector; /* the one being written or expected */
	float *read;   /* what came back */
	const struct idx *images;
};

static int fail(const char *what, size_t n)
{
	fprintf(stderr, "vectors/%zu: %s: %s\n", n, what, strerror(errno));
	return -1;
}

static void folder_release(struct folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	mem_free(folder->vector);
	mem_free(folder->read);
}

static int folder_init(struct folder *folder, const char *mount, const struct idx *images)
{
	char path[4096];

	folder->images = images;
	folder->bytes = images->size * sizeof(float);
	folder->vector = mem_alloc(folder->bytes);
	folder->read = mem_alloc(folder->bytes + 1); /* so that a longer file is noticed */
	snprintf(path, sizeof(path), "%s/vectors", mount);
	folder->fd = open(path, O_RDONLY | O_DIRECTORY);
	if (folder->fd >= 0 && folder->vector != NULL && folder->read != NULL)
		return 0;
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return -1;
}

/* What vector n is: an image, or beyond them an inverted image with its number in front. */
static void fill(struct folder *folder, size_t n)
{
	const struct idx *images = folder->images;

	idx_floats(images, n % images->count, folder->vector);
	if (n < images->count)
		return;
	for (size_t i = 0; i < images->size; i++)
		folder->vector[i] = 255.0f - folder->vector[i];
	folder->vector[0] = (float)n;
}

int files_put(int fd, const void *bytes, size_t n)
{
	const char *from = bytes;

	while (n > 0) {
		ssize_t done = write(fd, from, n);

		if (done < 0)
			return -1;
		from += done;
		n -= (size_t)done;
	}
	return 0;
}

int files_get(int fd, void *bytes, size_t n)
{
	char *to = bytes;

	while (n > 0) {
		ssize_t done = read(fd, to, n);

		if (done == 0)
			errno = ENODATA;
		if (done <= 0)
			return -1;
		to += done;
		n -= (size_t)done;
	}
	return 0;
}

/* 0 only when open, write and close all said so. */
static int write_vector(struct folder *folder, size_t n)
{
	char name[32];
	int fd, result;

	fill(folder, n);
	snprintf(name, sizeof(name), "%zu", n);
	fd = openat(folder->fd, name, O_CREAT | O_WRONLY, 0644);
	if (fd < 0)
		return -1;
	result = files_put(fd, folder->vector, folder->bytes);
	if (close(fd) != 0)
		result = -1;
	return result;
}

static int compare_vector(struct folder *folder, size_t n)
{
	char name[32];
	ssize_t got = -1;
	int fd;

	snprintf(name, sizeof(name), "%zu", n);
	fd = openat(folder->fd, name, O_RDONLY);
	if (fd < 0)
		return fail("open", n);
	got = read(fd, folder->read, folder->bytes + 1);
	close(fd);
	if (got < 0)
		return fail("read", n);
	fill(folder, n);
	if ((size_t)got == folder->bytes && memcmp(folder->read, folder->vector, (size_t)got) == 0)
		return 0;
	fprintf(stderr, "vectors/%zu: %zd bytes that are not what was written\n", n, got);
	return -1;
}

int files_load(const char *mount, const struct idx *images)
{
	struct folder folder = {.fd = -1};
	struct progress progress;
	double seconds;
	int result = -1;

	if (folder_init(&folder, mount, images) != 0)
		goto out;
	progress_init(&progress, "writing vectors", images->count);
	for (size_t n = 0; n < images->count; n++) {
		if (write_vector(&folder, n) != 0) {
			fail("write", n);
			goto out;
		}
		progress_show(&progress, n + 1);
	}
	seconds = progress_release(&progress);
	printf("wrote %zu vectors of %zu numbers as files in %.1f s: %.0f a second, %.0f MB/s\n",
	       images->count, images->size, seconds, (double)images->count / seconds,
	       (double)(images->count * folder.bytes) / seconds / 1e6);
	result = 0;
out:
	folder_release(&folder);
	return result;
}

/* The value of vecfs_vectors_pending, or -1. */
static long pending_of(const char *mount)
{
	char path[4096], line[4096];
	long pending = -1;
	FILE *in;

	snprintf(path, sizeof(path), "%s/status/metrics", mount);
	in = fopen(path, "r");
	if (in == NULL)
		return -1;
	while (pending < 0 && fgets(line, sizeof(line), in) != NULL)
		if (sscanf(line, "vecfs_vectors_pending %ld", &pending) != 1)
			pending = -1;
	fclose(in);
	return pending;
}

int files_wait(const char *mount)
{
	struct progress progress;
	long first = pending_of(mount);
	long pending = first;
	double seconds;

	progress_init(&progress, "linking vectors into the index", first > 0 ? (size_t)first : 0);
	while (pending > 0) {
		progress_show(&progress, pending < first ? (size_t)(first - pending) : 0);
		usleep(50000);
		pending = pending_of(mount);
	}
	seconds = progress_release(&progress);
	if (pending < 0) {
		fprintf(stderr, "no vecfs_vectors_pending in %s/status/metrics\n", mount);
		return -1;
	}
	printf("the last %ld were linked into the index %.1f s later\n", first, seconds);
	return 0;
}

/* Names in the folder, or -1. */
static long count_names(const char *mount)
{
	char path[4096];
	struct dirent *entry;
	long count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/vectors", mount);
	dir = opendir(path);
	if (dir == NULL)
		return -1;
	errno = 0;
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	if (errno != 0)
		count = -1;
	closedir(dir);
	return count;
}

int files_compare(const char *mount, const struct idx *images, size_t sample, size_t more)
{
	struct folder folder = {.fd = -1};
	struct progress progress;
	double seconds;
	long names;
	int result = -1;

	if (folder_init(&folder, mount, images) != 0)
		goto out;
	progress_init(&progress, "reading vectors back", sample);
	for (size_t i = 0; i < sample; i++) {
		if (compare_vector(&folder, i * (images->count / sample)) != 0)
			goto out;
		progress_show(&progress, i + 1);
	}
	seconds = progress_release(&progress);
	names = count_names(mount);
	if (names < 0 || (size_t)names < images->count + more) {
		fprintf(stderr, "%s/vectors lists %ld names, not %zu\n", mount, names,
			images->count + more);
		goto out;
	}
	printf("the folder lists %ld vectors; %zu read back, each the same to the byte, %.0f a second\n",
	       names, sample, (double)sample / seconds);
	result = 0;
out:
	folder_release(&folder);
	return result;
}

int files_write_on(const char *mount, const struct idx *images, const char *acknowledged)
{
	struct folder folder = {.fd = -1};
	FILE *list = fopen(acknowledged, "w");
	size_t n = images->count;
	int result = -1;

	if (list == NULL) {
		perror(acknowledged);
		goto out;
	}
	setvbuf(list, NULL, _IOLBF, 0);
	if (folder_init(&folder, mount, images) != 0)
		goto out;
	while (write_vector(&folder, n) == 0) {
		fprintf(list, "%zu\n", n);
		n++;
	}
	printf("%zu further vectors were closed before the daemon was killed (then: %s)\n",
	       n - images->count, strerror(errno));
	result = 0;
out:
	if (list != NULL && fclose(list) != 0)
		result = -1;
	folder_release(&folder);
	return result;
}

static int verify_list(struct folder *folder, FILE *list, size_t *count_out)
{
	size_t n, lost = 0, last = folder->images->count;
	char name[32];

	*count_out = 0;
	while (fscanf(list, "%zu", &n) == 1) {
		lost += compare_vector(folder, n) != 0;
		last = n + 1;
		*count_out += 1;
	}
	/* The vector that was being written: there and whole, or not there. */
	snprintf(name, sizeof(name), "%zu", last);
	if (faccessat(folder->fd, name, F_OK, 0) == 0)
		lost += compare_vector(folder, last) != 0;
	if (lost > 0)
		fprintf(stderr, "%zu vectors are lost or damaged\n", lost);
	return lost > 0 ? -1 : 0;
}

int files_verify(const char *mount, const struct idx *images, const char *acknowledged)
{
	struct folder folder = {.fd = -1};
	FILE *list = fopen(acknowledged, "r");
	size_t count = 0;
	int result = -1;

	if (list == NULL) {
		perror(acknowledged);
		goto out;
	}
	if (folder_init(&folder, mount, images) != 0 || verify_list(&folder, list, &count) != 0)
		goto out;
	if (count == 0) {
		fprintf(stderr, "nothing was written before the kill: this proves nothing\n");
		goto out;
	}
	printf("all %zu vectors closed after the first %zu are there, the same to the byte\n",
	       count, images->count);
	result = files_compare(mount, images, 2000, count);
out:
	if (list != NULL)
		fclose(list);
	folder_release(&folder);
	return result;
}
