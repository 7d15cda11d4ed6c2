/*
 * claims_writes.c - what is written: compression, the log, and the size of the file under deletes
 * and inserts.
 */
#include "tests/bench/claims.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lz4.h>

#include "store/mem.h"
#include "tests/bench/dataset.h"
#include "tests/bench/synth.h"
#include "tests/demo/progress.h"

/* --- compression --- */

static double plain_lz4(const void *bytes, size_t len, size_t page)
{
	int bound = LZ4_compressBound((int)page);
	char *out = claims_alloc((size_t)bound, 1);
	uint64_t in = 0, done = 0;

	for (size_t at = 0; at + page <= len; at += page) {
		int n = LZ4_compress_default((const char *)bytes + at, out, (int)page, bound);

		in += page;
		done += n > 0 && (size_t)n < page ? (uint64_t)n : page;
	}
	mem_free(out);
	return (double)done / (double)in;
}

static void one_kind(FILE *out, const char *kind, const float *vectors, size_t n, uint32_t dim)
{
	struct store_opts opts = {.cache_bytes = 512u << 20, .durability = WAL_NONE};
	struct store_opts read_opts = {.cache_bytes = 512u << 20, .read_only = true};
	float *vector = claims_alloc(dim, sizeof(float));
	struct store_stats stats, first, second;
	struct claims_store s;

	claims_open(&s, "lz4", FORMAT_PAGE_DEFAULT, dim, ANN_L2, &opts);
	for (uint32_t i = 0; i < n; i++)
		claims_put(&s, i, vectors + (size_t)i * dim, dim);
	claims_must(store_checkpoint(s.store), "checkpoint");
	store_get_stats(s.store, &stats);
	claims_close(&s);
	claims_open(&s, "lz4", 0, dim, ANN_L2, &read_opts);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (uint32_t i = 0; i < n; i++) {
			char id[16];
			int len = snprintf(id, sizeof(id), "%u", (unsigned)i);

			claims_must(store_get(s.store, id, (size_t)len, NULL, vector), "get");
		}
		store_get_stats(s.store, turn == 0 ? &first : &second);
	}
	claims_close(&s);
	fprintf(out, "| %s | %zu x %u | %.3f | %.3f | %llu | %llu |\n", kind, n, dim,
		(double)stats.page_bytes_stored / (double)stats.page_bytes_logical,
		plain_lz4(vectors, n * dim * sizeof(float), FORMAT_PAGE_DEFAULT),
		(unsigned long long)first.decompressions,
		(unsigned long long)(second.decompressions - first.decompressions));
	fflush(out);
	claims_remove("lz4");
	mem_free(vector);
}

static void one_set(FILE *out, const char *name, const char *kind)
{
	struct dataset set;

	if (dataset_load(name, claims_folder, 0, &set) == 0)
		one_kind(out, kind, set.base, set.n < 40000 ? set.n : 40000, set.dim);
	else
		fprintf(out, "| %s | | not measured: the data is not there | | | |\n", kind);
	dataset_release(&set);
}

void claims_lz4(FILE *out)
{
	struct synth *synth = synth_new(768, 500, 32);
	size_t n = 20000;
	float *vectors = claims_alloc(n * 768, sizeof(float));

	claims_must(synth == NULL ? 1 : 0, "memory");
	synth_make(synth, 0, n, vectors);
	fprintf(out,
		"## Claim: LZ4 saves 30 – 70 %% of vector data, and is undone once\n\n"
		"Bytes stored for each byte of page of 16 KiB; stored: as in the file, byte planes "
		"and LZ4, in blocks of 4 KiB; plain: LZ4 alone, without blocks. All vectors are then "
		"read twice with a cache that holds them: pages decompressed in the first and in the "
		"second turn.\n\n"
		"| data | vectors | stored | plain | decompressed first | decompressed again |\n"
		"|---|---|---|---|---|---|\n");
	one_set(out, "fashion", "images");
	one_set(out, "glove", "words, scaled to length 1");
	one_kind(out, "made embeddings", vectors, n, 768);
	fprintf(out, "\n");
	synth_free(synth);
	mem_free(vectors);
}

/* --- the log --- */

static double put_rate(uint32_t dim, uint32_t n, const float *vectors, enum wal_durability how)
{
	struct store_opts opts = {.cache_bytes = 1u << 30, .durability = how, .background = true};
	struct claims_store s;
	double from, rate;

	claims_open(&s, "log", FORMAT_PAGE_DEFAULT, dim, ANN_L2, &opts);
	from = now();
	for (uint32_t i = 0; i < n; i++)
		claims_put(&s, i, vectors + (size_t)i * dim, dim);
	rate = n / (now() - from);
	claims_close(&s);
	claims_remove("log");
	return rate;
}

static double linked_rate(uint32_t dim, uint32_t n, const float *vectors, enum wal_durability how)
{
	struct store_opts opts = {.cache_bytes = 1u << 30, .durability = how, .background = true};
	struct ann_opts ann_opts = {.background = true};
	struct store_attr attr = {.mode = 0600};
	struct claims_store s;
	struct ann_stats stats;
	struct ann *ann;
	double from, rate;

	claims_open(&s, "log", FORMAT_PAGE_DEFAULT, dim, ANN_L2, &opts);
	claims_must(ann_open(s.store, &ann_opts, &ann, NULL, NULL), "collection");
	from = now();
	for (uint32_t i = 0; i < n; i++) {
		char id[16];
		int len = snprintf(id, sizeof(id), "%u", (unsigned)i);
		uint64_t ino;

		ann_wait_room(ann);
		claims_must(ann_put(ann, id, (size_t)len, vectors + (size_t)i * dim, dim, &attr, 0,
				    &ino, NULL),
			    "put");
	}
	do {
		usleep(1000);
		ann_get_stats(ann, &stats);
	} while (stats.pending > 0);
	rate = n / (now() - from);
	claims_must(ann_close(ann), "close");
	claims_close(&s);
	claims_remove("log");
	return rate;
}

static void log_pairs(FILE *out, const char *what, uint32_t dim, uint32_t n,
		      double (*rate)(uint32_t, uint32_t, const float *, enum wal_durability))
{
	struct synth *synth = synth_new(dim, 100, 32);
	float *vectors = claims_alloc((size_t)n * dim, sizeof(float));
	double with[99], without[99], costs[99];

	claims_must(synth == NULL ? 1 : 0, "memory");
	synth_make(synth, 0, n, vectors);
	for (unsigned r = 0; r < claims_rounds; r++) {
		bool log_first = r % 2 == 0;
		double first = rate(dim, n, vectors, log_first ? WAL_LOG : WAL_NONE);
		double second = rate(dim, n, vectors, log_first ? WAL_NONE : WAL_LOG);

		with[r] = log_first ? first : second;
		without[r] = log_first ? second : first;
		costs[r] = 100 * (1 - with[r] / without[r]);
	}
	fprintf(out, "| %s, %u dimensions | %.0f | %.0f ", what, dim,
		claims_median(with, claims_rounds), claims_median(without, claims_rounds));
	claims_field(out, costs, claims_rounds, 1, "% ");
	fprintf(out, "|\n");
	fflush(out);
	synth_free(synth);
	mem_free(vectors);
}

void claims_log(FILE *out)
{
	fprintf(out,
		"## Claim: the log costs about 10 %% of write speed\n\n"
		"Vectors a second with `durability=log` and with `none`, in %u alternating pairs; the "
		"cost is the median of the pairs. Stored: by the store alone, one thread. Linked: "
		"through the collection, until all are in the graph.\n\n"
		"| | log | none | cost |\n|---|---|---|---|\n",
		claims_rounds);
	log_pairs(out, "stored", 128, 100000, put_rate);
	log_pairs(out, "stored", 784, 30000, put_rate);
	log_pairs(out, "linked", 784, 6000, linked_rate);
	fprintf(out, "\n");
}

/* --- space --- */

void claims_space(FILE *out)
{
	enum { N = 30000, DIM = 784, CYCLES = 5 };
	struct store_opts opts = {.cache_bytes = 512u << 20, .durability = WAL_LOG};
	struct synth *synth = synth_new(DIM, 100, 32);
	float *vectors = claims_alloc((size_t)N * DIM, sizeof(float));
	struct store_stats stats;
	struct claims_store s;

	claims_must(synth == NULL ? 1 : 0, "memory");
	synth_make(synth, 0, N, vectors);
	fprintf(out,
		"## Claim: the space of deleted vectors is used again\n\n"
		"%u vectors of %u dimensions; each cycle deletes a fifth of them and writes as "
		"many new ones, then a checkpoint. MB of the file.\n\n"
		"| after | file | of it free |\n|---|---|---|\n",
		N, DIM);
	claims_open(&s, "space", FORMAT_PAGE_DEFAULT, DIM, ANN_L2, &opts);
	for (unsigned cycle = 0; cycle <= CYCLES; cycle++) {
		for (uint32_t i = cycle == 0 ? 0 : 1; i < (cycle == 0 ? N : N / 5 + 1); i++) {
			uint32_t gone = (cycle - 1) * (N / 5) + i - 1, id = cycle == 0 ? i : 0;

			if (cycle > 0) {
				struct store_put_result result;
				char name[16];
				int len = snprintf(name, sizeof(name), "%u", (unsigned)gone);

				claims_must(store_delete(s.store, name, (size_t)len, NULL, NULL,
							 &result),
					    "delete");
				claims_must(store_slot_release(s.store, result.old_slot),
					    "release");
				id = N + gone;
			}
			claims_put(&s, id, vectors + (size_t)(id % N) * DIM, DIM);
		}
		claims_must(store_checkpoint(s.store), "checkpoint");
		store_get_stats(s.store, &stats);
		fprintf(out, "| %s %u | %.1f | %.1f |\n", cycle == 0 ? "filling, cycle" : "cycle",
			cycle, (double)stats.file_bytes / 1e6, (double)stats.free_bytes / 1e6);
	}
	fprintf(out, "\n");
	claims_close(&s);
	claims_remove("space");
	synth_free(synth);
	mem_free(vectors);
}
