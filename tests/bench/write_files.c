/*
 * write_files.c - writes the items of a gzipped IDX file as float32 files FOLDER/0, FOLDER/1, ...,
 * one open, write and close each, and prints the files a second. What make bench-write measures.
 *
 *   write_files FOLDER DATA NAME
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/demo/idx.h"

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int write_file(int folder, size_t n, const float *vector, size_t bytes)
{
	char name[32];
	ssize_t written;
	int fd;

	snprintf(name, sizeof(name), "%zu", n);
	fd = openat(folder, name, O_CREAT | O_WRONLY, 0644);
	if (fd < 0)
		return -1;
	written = write(fd, vector, bytes);
	if (close(fd) != 0 || written != (ssize_t)bytes)
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct idx images = {0};
	float *vector = NULL;
	int folder = -1, status = 1;
	double begin;

	if (argc != 4) {
		fprintf(stderr, "usage: write_files FOLDER DATA NAME\n");
		return 2;
	}
	folder = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (folder < 0) {
		perror(argv[1]);
		goto out;
	}
	if (idx_read(argv[2], argv[3], &images) != 0)
		goto out;
	vector = mem_alloc(images.size * sizeof(*vector));
	if (vector == NULL)
		goto out;
	begin = now();
	for (size_t n = 0; n < images.count; n++) {
		idx_floats(&images, n, vector);
		if (write_file(folder, n, vector, images.size * sizeof(*vector)) != 0) {
			fprintf(stderr, "%s/%zu: %s\n", argv[1], n, strerror(errno));
			goto out;
		}
	}
	printf("%.0f\n", (double)images.count / (now() - begin));
	status = 0;
out:
	if (folder >= 0)
		close(folder);
	mem_free(vector);
	idx_release(&images);
	return status;
}
