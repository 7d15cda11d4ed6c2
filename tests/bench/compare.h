/*
 * compare.h - what the parts of `compare` share: the settings of a run, its set, its results.
 */
#ifndef VECFS_TESTS_BENCH_COMPARE_H
#define VECFS_TESTS_BENCH_COMPARE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/bench/dataset.h"
#include "tests/bench/peer.h"

#define COMPARE_PEERS 3u
#define COMPARE_THREADS_MAX 16u

struct compare {
	const char *folder; /* of indexes, truth and results */
	unsigned rounds;
	size_t queries; /* asked at each point */
	struct dataset set;
	const struct peer_ops *peers[COMPARE_PEERS];
	size_t n_peers;
};

/* Ends the program with a line on stderr unless result is 0. */
void compare_must(int result, const char *what);
void *compare_alloc(size_t count, size_t size);

/* Opens FOLDER/SET-ROWS.PEER, or builds it on all cores. */
void *compare_index(const struct compare *compare, const struct peer_ops *peer);
/* A configuration for a peer; path is filled. */
struct peer_config compare_config(const struct compare *compare, const struct peer_ops *peer,
				  uint32_t threads, char *path, size_t path_size);

/*
 * A file of results, FOLDER/SET-PART.tsv: lines "# key<TAB>value" that say what machine and what
 * program it was, then one line with the names of the columns, which the caller prints. The load of
 * the machine at both ends stands in it too.
 */
FILE *compare_results(const struct compare *compare, const char *part);
void compare_results_end(FILE *results);

/* --- asking --- */

struct compare_pass {
	double wall;  /* seconds until the last thread was done */
	double cpu;   /* seconds of processor of all asking threads */
	double p99;   /* seconds of a query */
	size_t asked; /* queries */
};
/* Asks the first compare->queries queries, split over threads. */
void compare_ask(const struct compare *compare, const struct peer_ops *peer, void *self,
		 uint32_t effort, uint32_t threads, struct compare_pass *pass_out);
/* recall@10 over the same queries. */
double compare_recall(const struct compare *compare, const struct peer_ops *peer, void *self,
		      uint32_t effort);

/* --- parts --- */

void compare_curves(struct compare *compare);
void compare_build(struct compare *compare);
void compare_churn(struct compare *compare);
void compare_mount(struct compare *compare);
void compare_memory(struct compare *compare);

#endif
