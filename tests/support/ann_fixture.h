/*
 * ann_fixture.h - a collection on an in-memory disk, and random vectors, for the tests of ann/.
 */
#ifndef VECFS_TESTS_ANN_FIXTURE_H
#define VECFS_TESTS_ANN_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "ann/ann.h"
#include "tests/support/io_mem.h"

struct ann_fixture {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	struct ann *ann;
	struct err_msg note; /* of the last opening */
	struct ann_opts opts;
	uint64_t cache_bytes; /* of the store, from the next opening on; 0: 64 MiB */
};

/* A new store, opened. dim 0: not known yet. Aborts on failure, as all functions here. */
void ann_fixture_new(struct ann_fixture *fixture, enum ann_metric metric, uint32_t dim,
		     const struct ann_opts *opts);
/* One over a copy of what a medium holds, opened. */
void ann_fixture_copy(struct ann_fixture *fixture, struct io_mem *from,
		      const struct ann_opts *opts);
/* Closes what is open. */
void ann_fixture_free(struct ann_fixture *fixture);
/* Closes collection and store in order, or leaves both as a crash would; opens both again. */
void ann_fixture_reopen(struct ann_fixture *fixture, bool crash);
/* As the two halves of it. */
void ann_fixture_close(struct ann_fixture *fixture, bool crash);
void ann_fixture_open(struct ann_fixture *fixture, bool read_only);

/* A put with plain attributes; returns its result. */
int ann_fixture_put(struct ann *ann, const char *id, const float *vector, uint32_t dim);
/* Links everything that waits. */
void ann_fixture_index(struct ann *ann);

/* --- random numbers: splitmix64 --- */

struct ann_random {
	uint64_t state;
};
uint64_t ann_random_next(struct ann_random *random);
/* 0 ... n-1 */
uint32_t ann_random_below(struct ann_random *random, uint32_t n);
/* Roughly normal: mean 0, deviation 1. */
float ann_random_normal(struct ann_random *random);
/* A vector near one of `centres` fixed points. */
void ann_random_vector(struct ann_random *random, float *out, uint32_t dim, uint32_t centres);

/* --- vectors by number: the same number always gives the same vector; ids are decimal numbers --- */

struct ann_numbered {
	uint32_t dim, centres; /* as of ann_random_vector */
};
void ann_numbered_vector(const struct ann_numbered *set, uint32_t number, float *out);
/* Stores the vector of a number under an id. */
void ann_numbered_put(const struct ann_numbered *set, struct ann *ann, uint32_t id,
		      uint32_t number);
/* Stores first ... end - 1, each under its own number. */
void ann_numbered_fill(const struct ann_numbered *set, struct ann *ann, uint32_t first,
		       uint32_t end);
void ann_numbered_delete(struct ann *ann, uint32_t id);

#endif
