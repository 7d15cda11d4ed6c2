/*
 * durability.h - what the parts of bench_durability share. An error ends the program. One store at a
 * time, at a path of its own.
 */
#ifndef VECFS_BENCH_DURABILITY_H
#define VECFS_BENCH_DURABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "store/err.h"
#include "store/io.h"
#include "store/store.h"

#define DIM 784u /* of the longest vector */
#define ROUNDS_MAX 99u

extern unsigned bench_rounds;

void bench_must(int err, const char *what, const struct err_msg *msg);

/* Seconds; of the processors those of this process, all threads. */
double bench_now(void);
double bench_cpu(void);

struct bench {
	struct store_io *io;
	struct store *store;
};

/* Where the store stands. To be called first. */
void bench_place(const char *directory);
/* Makes the store if it is not there, and opens it. */
void bench_open(struct bench *b, uint32_t value_size, const struct store_opts *opts);
/* In order, or as a kill does. */
void bench_shut(struct bench *b, bool orderly);
void bench_remove(void);

/* Numbers as of an embedding, of the vector with this number: they hardly compress. */
void bench_fill(uint32_t id, float *vector, uint32_t dim);
void bench_store_put(struct store *store, uint32_t id, uint32_t dim);

/* Sorts the values of n rounds and prints median and range. */
void bench_show_spread(const char *what, double *values, unsigned n);

/* Part close, in group_commit.c. */
void bench_close(void);

#endif
