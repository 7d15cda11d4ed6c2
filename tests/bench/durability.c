/* durability.c - stores, clocks and figures of bench_durability. */
#include "tests/bench/durability.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ann/ann.h"
#include "store/mem.h"

unsigned bench_rounds = 5;
static char path[4096];

void bench_must(int err, const char *what, const struct err_msg *msg)
{
	if (err == 0)
		return;
	fprintf(stderr, "bench_durability: %s: %s %s\n", what, err_str(err),
		msg != NULL ? msg->text : "");
	exit(1);
}

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double bench_now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

double bench_cpu(void)
{
	return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

void bench_remove(void)
{
	struct store_io *io;
	uint64_t *seqs = NULL;
	size_t n = 0;

	bench_must(io_posix_new(path, &io, NULL), "path", NULL);
	if (io->ops->open(io, true, NULL) == 0 && io->ops->log_list(io, &seqs, &n) == 0)
		for (size_t i = 0; i < n; i++)
			bench_must(io->ops->log_remove(io, seqs[i]), "remove", NULL);
	mem_free(seqs);
	io->ops->close(io);
	(void)unlink(path); /* may not be there */
}

void bench_open(struct bench *b, uint32_t value_size, const struct store_opts *opts)
{
	struct store_geometry geometry = {.value_size = value_size, .kind = ANN_L2};
	struct err_msg msg = {{0}};

	if (access(path, F_OK) != 0) {
		bench_must(io_posix_new(path, &b->io, &msg), "path", &msg);
		bench_must(store_create(b->io, &geometry, &msg), "create", &msg);
		b->io->ops->close(b->io);
	}
	bench_must(io_posix_new(path, &b->io, &msg), "path", &msg);
	bench_must(store_open(b->io, opts, &b->store, NULL, &msg), "open", &msg);
}

void bench_shut(struct bench *b, bool orderly)
{
	if (orderly)
		bench_must(store_close(b->store), "close", NULL);
	else
		store_abandon(b->store);
	b->io->ops->close(b->io);
}

void bench_fill(uint32_t id, float *vector, uint32_t dim)
{
	uint64_t z = (uint64_t)id * 0x9e3779b97f4a7c15u;

	for (uint32_t i = 0; i < dim; i++) {
		z += 0x9e3779b97f4a7c15u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		vector[i] = (float)(int32_t)(z >> 32) * 0x1p-31f;
	}
}

void bench_store_put(struct store *store, uint32_t id, uint32_t dim)
{
	static _Thread_local float vector[DIM];
	struct store_attr attr = {.mode = 0600};
	char name[32];
	int len = snprintf(name, sizeof(name), "v%u", (unsigned)id);

	bench_fill(id, vector, dim);
	store_wait_room(store);
	bench_must(store_put(store, name, (size_t)len, vector, dim * sizeof(float), &attr, 0, NULL,
			     NULL, NULL),
		   "put", NULL);
}

/* --- figures --- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void bench_show_spread(const char *what, double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	printf("%s: median %.3f (%.3f ... %.3f), %u rounds\n", what, values[n / 2], values[0],
	       values[n - 1], n);
}

void bench_place(const char *directory)
{
	(void)snprintf(path, sizeof(path), "%s/bench-durability-%ld", directory, (long)getpid());
}
