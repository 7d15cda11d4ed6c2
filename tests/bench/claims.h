/*
 * claims.h - what the parts of `claims` share: stores in the folder of results, clocks, spread.
 */
#ifndef VECFS_TESTS_BENCH_CLAIMS_H
#define VECFS_TESTS_BENCH_CLAIMS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ann/ann.h"
#include "store/io.h"
#include "store/store.h"

extern const char *claims_folder;
extern unsigned claims_rounds;

/* Ends the program with a line on stderr unless err is 0. */
void claims_must(int err, const char *what);
void *claims_alloc(size_t count, size_t size);
/* Sorts the values. */
double claims_median(double *values, size_t n);
/* A field of a table: "| median UNIT(lowest – highest) ". */
void claims_field(FILE *out, double *values, size_t n, int digits, const char *unit);
uint64_t claims_random(uint64_t *state);

struct claims_store {
	struct store_io *io;
	struct store *store;
	char path[4096];
};

/* Makes FOLDER/NAME anew, or opens what is there when page_size is 0. */
void claims_open(struct claims_store *s, const char *name, uint32_t page_size, uint32_t dim,
		 enum ann_metric metric, const struct store_opts *opts);
void claims_close(struct claims_store *s);
void claims_remove(const char *name);
void claims_put(struct claims_store *s, uint32_t id, const float *vector, uint32_t dim);
/* The system gives up what it holds of the file, so that the next reads go to the disk. */
void claims_forget(const char *path);

/* --- parts: each writes its section of the document --- */

void claims_pages(FILE *out);
void claims_map(FILE *out);
void claims_cache(FILE *out);
void claims_lz4(FILE *out);
void claims_log(FILE *out);
void claims_space(FILE *out);

#endif
