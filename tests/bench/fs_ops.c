/*
 * fs_ops.c - one everyday operation on many files, and how many of them a second: what make bench-fs
 * measures, the same calls on both file systems.
 *
 *   fs_ops create|overwrite|rename|unlink|read|stat FOLDER COUNT BYTES PROCESSES
 *   fs_ops query FOLDER COUNT DIM PROCESSES
 *   fs_ops vectors FILE COUNT DIM
 *
 * Files are FOLDER/0 to FOLDER/COUNT - 1. rename moves N to rN, which unlink removes. Each process
 * has a part of them, and all begin together. query opens names of 8 hex digits a dimension, each
 * only once. vectors writes a file of float32 vectors as .fbin, for vecfs import.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/bench/synth.h"

#define CLUSTERS 100
#define STRONG 16
#define PROCESSES_MAX 64
#define ROOM (1u << 16)
#define AT_ONCE 4096

struct job {
	int folder;
	char *buf;	/* room to read */
	size_t bytes;	/* of a file */
	float *vectors; /* made beforehand, one for each file or question; or NULL */
	uint32_t dim;
};

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int put(const struct job *job, const char *name, int flags, size_t n)
{
	ssize_t written;
	int fd;

	fd = openat(job->folder, name, O_WRONLY | flags, 0644);
	if (fd < 0)
		return -1;
	written = write(fd, job->vectors + n * job->dim, job->bytes);
	return close(fd) == 0 && written == (ssize_t)job->bytes ? 0 : -1;
}

static int do_create(const struct job *job, size_t n)
{
	char name[32];

	snprintf(name, sizeof(name), "%zu", n);
	return put(job, name, O_CREAT | O_EXCL, n);
}

static int do_overwrite(const struct job *job, size_t n)
{
	char name[32];

	snprintf(name, sizeof(name), "%zu", n);
	return put(job, name, O_TRUNC, n);
}

static int do_rename(const struct job *job, size_t n)
{
	char name[32], moved[32];

	snprintf(name, sizeof(name), "%zu", n);
	snprintf(moved, sizeof(moved), "r%zu", n);
	return renameat(job->folder, name, job->folder, moved);
}

static int do_unlink(const struct job *job, size_t n)
{
	char name[32];

	snprintf(name, sizeof(name), "r%zu", n);
	return unlinkat(job->folder, name, 0);
}

static int get(const struct job *job, const char *name, size_t least)
{
	int fd = openat(job->folder, name, O_RDONLY);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, job->buf, job->bytes);
	return close(fd) == 0 && got >= (ssize_t)least ? 0 : -1;
}

static int do_read(const struct job *job, size_t n)
{
	char name[32];

	snprintf(name, sizeof(name), "%zu", n);
	return get(job, name, job->bytes);
}

static int do_stat(const struct job *job, size_t n)
{
	struct stat st;
	char name[32];

	snprintf(name, sizeof(name), "%zu", n);
	return fstatat(job->folder, name, &st, 0);
}

static int do_query(const struct job *job, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char name[4096];
	const unsigned char *bytes = (const unsigned char *)(job->vectors + n * job->dim);
	size_t len = job->dim * sizeof(float);

	if (2 * len >= sizeof(name))
		return -1;
	for (size_t i = 0; i < len; i++) {
		name[2 * i] = digits[bytes[i] >> 4];
		name[2 * i + 1] = digits[bytes[i] & 15];
	}
	name[2 * len] = '\0';
	return get(job, name, 1);
}

static const struct operation {
	const char *name;
	int (*run)(const struct job *job, size_t n);
	bool vectors;
	uint64_t first; /* the made vector that the first file has */
} operations[] = {
	{"create", do_create, true, 0},	       {"overwrite", do_overwrite, true, 1ull << 31},
	{"rename", do_rename, false, 0},       {"unlink", do_unlink, false, 0},
	{"read", do_read, false, 0},	       {"stat", do_stat, false, 0},
	{"query", do_query, true, 1ull << 32},
};

static int write_vectors(const char *path, uint32_t count, uint32_t dim)
{
	struct synth *synth = synth_new(dim, CLUSTERS, STRONG < dim ? STRONG : dim);
	float *vectors = mem_alloc((size_t)AT_ONCE * dim * sizeof(*vectors));
	FILE *file = fopen(path, "wb");
	const uint32_t head[2] = {count, dim};
	bool ok = synth != NULL && vectors != NULL && file != NULL &&
		  fwrite(head, sizeof(head), 1, file) == 1;

	for (uint32_t i = 0; ok && i < count; i += AT_ONCE) {
		size_t n = count - i < AT_ONCE ? count - i : AT_ONCE;

		synth_make(synth, i, n, vectors);
		ok = fwrite(vectors, dim * sizeof(*vectors), n, file) == n;
	}
	if (file != NULL && fclose(file) != 0)
		ok = false;
	mem_free(vectors);
	synth_free(synth);
	if (!ok)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return ok ? 0 : 1;
}

/* The part of one process; it begins when the pipe is closed. */
static int work(const struct operation *operation, const struct job *job, int begin, size_t first,
		size_t count, size_t step)
{
	char byte;

	if (read(begin, &byte, 1) < 0)
		return 1;
	for (size_t n = first; n < count; n += step) {
		if (operation->run(job, n) != 0) {
			fprintf(stderr, "%s of %zu: %s\n", operation->name, n, strerror(errno));
			return 1;
		}
	}
	return 0;
}

static int run(const struct operation *operation, const struct job *job, size_t count,
	       unsigned processes)
{
	pid_t pids[PROCESSES_MAX];
	int ends[2], status, result = 0;
	double begin;

	if (pipe(ends) != 0)
		return 1;
	for (unsigned i = 0; i < processes; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			close(ends[1]);
			_exit(work(operation, job, ends[0], i, count, processes));
		}
		result |= pids[i] < 0;
	}
	begin = now();
	close(ends[0]);
	close(ends[1]);
	for (unsigned i = 0; i < processes; i++)
		if (pids[i] > 0 && (waitpid(pids[i], &status, 0) < 0 || status != 0))
			result = 1;
	if (result == 0)
		printf("%.1f\n", (double)count / (now() - begin));
	return result;
}

/* What is to be written or asked for, so that making it is not measured. */
static int make_vectors(struct job *job, size_t count, uint64_t first)
{
	struct synth *synth = synth_new(job->dim, CLUSTERS, STRONG < job->dim ? STRONG : job->dim);

	job->vectors = mem_alloc(count * job->dim * sizeof(*job->vectors));
	if (synth != NULL && job->vectors != NULL)
		synth_make(synth, first, count, job->vectors);
	synth_free(synth);
	return synth != NULL && job->vectors != NULL ? 0 : -1;
}

int main(int argc, char **argv)
{
	const struct operation *operation = NULL;
	struct job job = {.folder = -1};
	size_t count = argc > 3 ? (size_t)atol(argv[3]) : 0;
	unsigned processes;
	int result = 1;

	if (argc == 5 && strcmp(argv[1], "vectors") == 0)
		return write_vectors(argv[2], (uint32_t)count, (uint32_t)atol(argv[4]));
	for (size_t i = 0; argc == 6 && i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(argv[1], operations[i].name) == 0)
			operation = &operations[i];
	processes = operation != NULL ? (unsigned)atoi(argv[5]) : 0;
	job.bytes = operation != NULL ? (size_t)atol(argv[4]) : 0;
	if (operation == NULL || processes < 1 || processes > PROCESSES_MAX || job.bytes > ROOM) {
		fprintf(stderr, "usage: fs_ops OPERATION FOLDER COUNT BYTES|DIM PROCESSES\n"
				"       fs_ops vectors FILE COUNT DIM\n");
		return 2;
	}
	job.dim = (uint32_t)(job.bytes / sizeof(float));
	if (operation->run == do_query) {
		job.dim = (uint32_t)job.bytes;
		job.bytes = ROOM;
	}
	job.buf = mem_alloc(ROOM);
	job.folder = open(argv[2], O_RDONLY | O_DIRECTORY);
	if (job.buf == NULL || job.folder < 0 ||
	    (operation->vectors && make_vectors(&job, count, operation->first) != 0)) {
		perror(argv[2]);
		goto out;
	}
	result = run(operation, &job, count, processes);
out:
	if (job.folder >= 0)
		close(job.folder);
	mem_free(job.vectors);
	mem_free(job.buf);
	return result;
}
