/*
 * synth.h - made vectors that lie as embeddings do: overlapping clusters, each with a few strong
 * directions of its own and noise in all.
 *
 * The same numbers on every machine: vector i depends on i alone, and only sums and products of
 * floats in a fixed order are used.
 */
#ifndef VECFS_TESTS_BENCH_SYNTH_H
#define VECFS_TESTS_BENCH_SYNTH_H

#include <stddef.h>
#include <stdint.h>

struct synth;

/* Clusters of `rank` strong directions in dim dimensions. NULL when memory is short. */
struct synth *synth_new(uint32_t dim, uint32_t clusters, uint32_t rank);
void synth_free(struct synth *synth);

/* Vectors first ... first + n - 1, n * dim floats, on all cores. */
void synth_make(const struct synth *synth, uint64_t first, size_t n, float *out);

#endif
