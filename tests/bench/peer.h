/*
 * peer.h - one index that the benchmarks compare: vecfs itself, and others behind the same calls.
 *
 * Rows are numbers; the K nearest rows of a query are asked for. Vectors for ANN_COSINE have length
 * 1. Calls give 0, or -1 after a line on stderr.
 */
#ifndef VECFS_TESTS_BENCH_PEER_H
#define VECFS_TESTS_BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>

#define PEER_K 10u

#ifdef __cplusplus
extern "C" {
#endif

struct peer_config {
	const char *path; /* of the file that holds the index; not owned */
	uint32_t dim;
	int metric;	  /* enum ann_metric: ANN_L2, else ANN_COSINE */
	size_t most;	  /* rows that it will hold at once */
	uint32_t threads; /* that insert */
	uint64_t cache;	  /* bytes; 0: what holds everything. Only vecfs has one */
	/* Bytes that the process may have, as a mount would find out; 0: no bound. Only for vecfs. */
	uint64_t memory;
};

struct peer_ops {
	const char *name;
	const char *label; /* version and parameters */
	/* What stands at path is replaced. */
	int (*create)(const struct peer_config *config, void **self_out);
	/* From path, as save or an earlier run left it; config->threads and most may differ. */
	int (*open)(const struct peer_config *config, void **self_out);
	int (*save)(void *self);
	void (*close)(void *self);
	/* Rows first ... first + n - 1, which can be found when it returns. */
	int (*insert)(void *self, const float *vectors, size_t first, size_t n);
	/* NULL: the peer cannot. */
	int (*remove)(void *self, size_t first, size_t n);
	/* Any number of threads. Nearest first; *n_out at most PEER_K. */
	int (*search)(void *self, const float *query, uint32_t effort, uint32_t *rows_out,
		      size_t *n_out);
	/* What it holds in memory beside the vectors themselves. */
	uint64_t (*index_bytes)(void *self);
};

/* vecfs alone: n queries as one batch; returns the hits of all. */
int peer_vecfs_batch(void *self, const float *queries, size_t n, uint32_t effort, size_t *hits_out);
/* vecfs alone: what was read of the head since it was opened, where config->memory is not 0. */
struct peer_reads {
	uint64_t rounds; /* calls, each of which waits for all its reads */
	uint64_t reads, bytes;
	uint64_t graph, vector, table; /* pages that came in */
};
void peer_vecfs_reads(void *self, struct peer_reads *reads_out);
/* PEER_K true neighbours of each of n queries, by a scan. */
int peer_vecfs_exact(void *self, const float *queries, size_t n, uint32_t *rows_out);
/* Bits a dimension of its codes. */
uint32_t peer_vecfs_bits(void *self);
extern const struct peer_ops peer_vecfs, peer_hnswlib, peer_faiss;

#ifdef __cplusplus
}
#endif

#endif
