/*
 * claims_cache.c - a cache that holds 3 in 100 of the vectors: how many queries it serves, and what
 * it keeps while all vectors are read once.
 *
 * Queries are made vectors near rows. Uniform: near any row. Skewed: near row number r with a
 * probability that falls as 1 / r.
 */
#include "tests/bench/claims.h"

#include <math.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/bench/synth.h"
#include "tests/demo/progress.h"

#define ROWS 100000u
#define DIM 1536u
#define CACHE_BYTES (16u << 20)
#define WARM 2000u
#define ASKED 1000u

struct setup {
	struct claims_store s;
	struct ann *ann;
	struct synth *synth;
	float *query;
};

static void build(const char *name, const struct synth *synth)
{
	struct store_opts opts = {
		.cache_bytes = 2ull << 30, .durability = WAL_LOG, .background = true};
	struct ann_opts ann_opts = {.background = true};
	float *vector = claims_alloc(DIM, sizeof(float));
	struct store_attr attr = {.mode = 0600};
	struct progress progress;
	struct ann_stats stats;
	struct claims_store s;
	struct ann *ann;

	claims_open(&s, name, FORMAT_PAGE_DEFAULT, DIM, ANN_L2, &opts);
	claims_must(ann_open(s.store, &ann_opts, &ann, NULL, NULL), "collection");
	progress_init(&progress, "vectors for the cache", ROWS);
	for (uint32_t i = 0; i < ROWS; i++) {
		char id[16];
		int len = snprintf(id, sizeof(id), "%u", (unsigned)i);
		uint64_t ino;

		synth_make(synth, i, 1, vector);
		ann_wait_room(ann);
		claims_must(ann_put(ann, id, (size_t)len, vector, DIM, &attr, 0, &ino, NULL),
			    "put");
		progress_show(&progress, i);
	}
	do {
		usleep(10000);
		ann_get_stats(ann, &stats);
	} while (stats.pending > 0);
	(void)progress_release(&progress);
	claims_must(ann_close(ann), "close");
	claims_close(&s);
	mem_free(vector);
}

static void ask(struct setup *setup, uint32_t row, uint32_t effort)
{
	struct ann_query spec = {.k = 10, .effort = effort};
	struct err_msg msg = {""};
	struct ann_answer answer;
	uint64_t state = row;

	/* The row itself, moved a little. */
	synth_make(setup->synth, row, 1, setup->query);
	for (uint32_t j = 0; j < DIM; j++)
		setup->query[j] += (float)(claims_random(&state) >> 40) * 0x1p-24f * 0.2f;
	claims_must(ann_search(setup->ann, setup->query, 1, &spec, &answer, &msg), msg.text);
	ann_answer_release(&answer);
}

static uint32_t pick(bool skewed, uint64_t *state)
{
	double u = (double)(claims_random(state) >> 11) * 0x1p-53;

	if (!skewed)
		return (uint32_t)(u * ROWS);
	/* Rows stand in the order of their rank, spread by a factor without common divisor. */
	return (uint32_t)((uint64_t)pow(ROWS, u) * 61u % ROWS);
}

static double share(uint64_t hits, uint64_t misses)
{
	return hits + misses > 0 ? 100.0 * (double)hits / (double)(hits + misses) : 100.0;
}

static void ask_many(FILE *out, struct setup *setup, bool skewed, const char *what)
{
	struct store_stats before, after, turn;
	uint64_t state = skewed ? 2 : 1;
	uint32_t whole = 0;
	double from;

	for (uint32_t i = 0; i < WARM; i++)
		ask(setup, pick(skewed, &state), 0);
	store_get_stats(setup->s.store, &before);
	turn = before;
	from = now();
	for (uint32_t i = 0; i < ASKED; i++) {
		uint64_t misses = turn.misses[STORE_CLASS_VECTOR] + turn.misses[STORE_CLASS_GRAPH];

		ask(setup, pick(skewed, &state), 0);
		store_get_stats(setup->s.store, &turn);
		whole += misses == turn.misses[STORE_CLASS_VECTOR] + turn.misses[STORE_CLASS_GRAPH];
	}
	after = turn;
	fprintf(out, "| %s ", what);
	for (unsigned c = 0; c < 2; c++)
		fprintf(out, "| %.1f %% ",
			share(after.hits[c] - before.hits[c], after.misses[c] - before.misses[c]));
	fprintf(out, "| %.1f %% | %.0f | %.1f | %llu |\n", 100.0 * whole / ASKED,
		(now() - from) / ASKED * 1e6,
		(double)(after.misses[STORE_CLASS_VECTOR] - before.misses[STORE_CLASS_VECTOR] +
			 after.misses[STORE_CLASS_GRAPH] - before.misses[STORE_CLASS_GRAPH]) /
			ASKED,
		(unsigned long long)(after.decompressions - before.decompressions));
	fflush(out);
}

/* What is in memory of both classes, before and after a scan; and the hot queries afterwards. */
static void scan_through(FILE *out, struct setup *setup)
{
	struct ann_query spec = {.k = 10, .exact = true};
	struct store_stats before, after, later;
	struct err_msg msg = {""};
	struct ann_answer answer;
	uint64_t state = 9;

	store_get_stats(setup->s.store, &before);
	claims_must(ann_search(setup->ann, setup->query, 1, &spec, &answer, &msg), msg.text);
	ann_answer_release(&answer);
	store_get_stats(setup->s.store, &after);
	for (uint32_t i = 0; i < 200; i++)
		ask(setup, pick(true, &state), 0);
	store_get_stats(setup->s.store, &later);
	fprintf(out,
		"\nDuring a scan of all vectors (an exact query) graph pages in the cache went from "
		"%.1f to %.1f MB, vector pages from %.1f to %.1f MB. 200 skewed queries right after "
		"it found %.1f %% of their graph pages and %.1f %% of their vector pages there.\n\n",
		(double)before.resident_bytes[STORE_CLASS_GRAPH] / 1e6,
		(double)after.resident_bytes[STORE_CLASS_GRAPH] / 1e6,
		(double)before.resident_bytes[STORE_CLASS_VECTOR] / 1e6,
		(double)after.resident_bytes[STORE_CLASS_VECTOR] / 1e6,
		share(later.hits[STORE_CLASS_GRAPH] - after.hits[STORE_CLASS_GRAPH],
		      later.misses[STORE_CLASS_GRAPH] - after.misses[STORE_CLASS_GRAPH]),
		share(later.hits[STORE_CLASS_VECTOR] - after.hits[STORE_CLASS_VECTOR],
		      later.misses[STORE_CLASS_VECTOR] - after.misses[STORE_CLASS_VECTOR]));
}

void claims_cache(FILE *out)
{
	struct store_opts opts = {
		.cache_bytes = CACHE_BYTES, .durability = WAL_LOG, .background = true};
	struct ann_opts ann_opts = {.background = false};
	struct setup setup = {.synth = synth_new(DIM, 200, 32)};
	struct err_msg msg = {""};

	claims_must(setup.synth == NULL ? 1 : 0, "memory");
	setup.query = claims_alloc(DIM, sizeof(float));
	build("cache", setup.synth);
	fprintf(out,
		"## Claim: 16 MB of cache serve 90 %% of queries over 100,000 vectors\n\n"
		"%u made vectors of %u dimensions (%.0f MB), cache=16M, %u queries after %u that warm "
		"it up, at the effort that the collection chooses. The codes, %u bits a dimension, are "
		"in memory besides. A query is served when it reads no page of the file.\n\n"
		"| queries | graph pages found | vector pages found | queries served | µs a query | "
		"pages read a query | pages decompressed |\n|---|---|---|---|---|---|---|\n",
		ROWS, DIM, (double)ROWS * DIM * 4 / 1e6, ASKED, WARM, 4u);
	claims_open(&setup.s, "cache", 0, DIM, ANN_L2, &opts);
	claims_must(ann_open(setup.s.store, &ann_opts, &setup.ann, NULL, &msg), msg.text);
	ask_many(out, &setup, false, "uniform");
	ask_many(out, &setup, true, "skewed");
	scan_through(out, &setup);
	claims_must(ann_close(setup.ann), "close");
	claims_close(&setup.s);
	claims_remove("cache");
	synth_free(setup.synth);
	mem_free(setup.query);
}
