/*
 * write_vectors.c - writes vectors FIRST, FIRST + 1, ... as float32 files FOLDER/v<number>, one open,
 * write and close each, and prints the files a second. What scripts/bench-durability measures.
 *
 *   write_vectors FOLDER FIRST COUNT DIM
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/durability.h"

static int write_file(int folder, unsigned n, const float *vector, size_t bytes)
{
	char name[32];
	ssize_t written;
	int fd;

	snprintf(name, sizeof(name), "v%u", n);
	fd = openat(folder, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
	if (fd < 0)
		return -1;
	written = write(fd, vector, bytes);
	if (close(fd) != 0 || written != (ssize_t)bytes)
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	static float vector[DIM];
	unsigned first, count, dim;
	double begin;
	int folder;

	if (argc != 5) {
		fprintf(stderr, "usage: write_vectors FOLDER FIRST COUNT DIM\n");
		return 2;
	}
	first = (unsigned)strtoul(argv[2], NULL, 10);
	count = (unsigned)strtoul(argv[3], NULL, 10);
	dim = (unsigned)strtoul(argv[4], NULL, 10);
	if (count == 0 || dim == 0 || dim > DIM) {
		fprintf(stderr, "write_vectors: DIM is 1 to %u, COUNT at least 1\n", DIM);
		return 2;
	}
	folder = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (folder < 0) {
		perror(argv[1]);
		return 1;
	}
	begin = bench_now();
	for (unsigned n = first; n < first + count; n++) {
		bench_fill(n, vector, dim);
		if (write_file(folder, n, vector, dim * sizeof(*vector)) != 0) {
			fprintf(stderr, "%s/v%u: %s\n", argv[1], n, strerror(errno));
			(void)close(folder); /* only read */
			return 1;
		}
	}
	printf("%.0f\n", count / (bench_now() - begin));
	(void)close(folder); /* only read */
	return 0;
}
