/*
 * A collection whose graph, codes and graph header were damaged, behind all checksums: it opens,
 * answers and changes; an exact answer is what it was, for the graph is derived; answers are in order,
 * whole, and name no id twice. With damaged values only the last is asked for.
 *
 * max_len: 400
 */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ann/collection.h"
#include "ann/persist.h"
#include "store/base.h"
#include "store/mem.h"
#include "tests/fuzz/spoil.h"
#include "tests/support/ann_fixture.h"

#define DIM 6u
#define VECTORS 26u /* a graph begins at INDEXER_CENTRE */
#define K 8u
#define GRAPH_KINDS (7u << (IMAGE_PAGE + FORMAT_SPACE_GRAPH))
#define VALUE_KIND (1u << (IMAGE_PAGE + FORMAT_SPACE_VALUE))
#define AUX_KIND (1u << (IMAGE_PAGE + FORMAT_SPACE_AUX))
#define OPS_MAX 10

/* In place of that of ann/graph.c (--wrap): short records that fill up, searches that stop early. */
void __wrap_graph_recommend(uint32_t dim, enum ann_metric metric, struct graph_params *params_out,
			    uint32_t *effort_out);
void __wrap_graph_recommend(uint32_t dim, enum ann_metric metric, struct graph_params *params_out,
			    uint32_t *effort_out)
{
	(void)dim;
	(void)metric;
	*params_out =
		(struct graph_params){.degree = 4, .cap = 6, .build_effort = 7, .alpha = 1.1f};
	*effort_out = 10;
}

/* Pages lie in the image as they are: else what is damaged is how they were compressed. */
size_t __wrap_codec_compress(const void *page, size_t len, void *out, size_t cap, void *scratch);
size_t __wrap_codec_compress(const void *page, size_t len, void *out, size_t cap, void *scratch)
{
	(void)page;
	(void)len;
	(void)out;
	(void)cap;
	(void)scratch;
	return 0;
}

static const struct ann_opts by_hand = {.threads = 1};
static struct image images[2]; /* under l2 and under cosine */
static size_t aux_at[2][3];    /* header, centre, bitmap in the head */
static struct ann_answer right[2];
static unsigned which;

static void vector_of(uint32_t i, float *vector)
{
	struct ann_random random = {i + 1};

	ann_random_vector(&random, vector, DIM, 9);
}

static void put(struct ann *ann, uint32_t i)
{
	float vector[DIM];
	char id[16];

	vector_of(i, vector);
	snprintf(id, sizeof(id), "v%u", i % 1000);
	(void)ann_fixture_put(ann, id, vector, DIM);
}

static int ask(struct ann *ann, uint32_t seed, const struct ann_query *query,
	       struct ann_answer *answer)
{
	float vector[DIM];

	vector_of(seed, vector);
	return ann_search(ann, vector, 1, query, answer, NULL);
}

static void make(unsigned i, enum ann_metric metric)
{
	const struct ann_query exact = {.k = K, .exact = true};
	struct ann_fixture fixture;
	size_t n = 0;

	ann_fixture_new(&fixture, metric, DIM, &by_hand);
	for (uint32_t v = 0; v < VECTORS; v++)
		put(fixture.ann, v);
	ann_fixture_index(fixture.ann);
	FUZZ_ASSERT(ann_flush(fixture.ann) == 0);
	/* tombstones, a slot that is used again, pending ones */
	for (uint32_t v = 0; v < 6; v++)
		FUZZ_ASSERT(ann_delete(fixture.ann, v < 3 ? "v7" : "v8", 2) == 0 || v % 3 != 0);
	put(fixture.ann, 1009);
	put(fixture.ann, 90);
	FUZZ_ASSERT(ask(fixture.ann, 5000, &exact, &right[i]) == 0);
	ann_fixture_close(&fixture, true);
	image_take(&images[i], fixture.medium);
	for (size_t p = 0; p < images[i].n; p++)
		if (images[i].pieces[p].kind == IMAGE_PAGE + FORMAT_SPACE_AUX && n < 3)
			aux_at[i][n++] = images[i].pieces[p].offset;
	FUZZ_ASSERT(n == 3);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make(0, ANN_L2);
	make(1, ANN_COSINE);
	return 0;
}

static uint64_t fnv(const uint8_t *bytes, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

/* Makes the sums that the graph's header has of centre, bitmap and itself right. */
static void settle(uint8_t *head, size_t len)
{
	const size_t *at = aux_at[which];
	struct persist_format *header = (struct persist_format *)(head + at[0]);
	size_t bytes;

	for (int i = 0; i < 3; i++)
		if (at[i] + FORMAT_PAGE_MIN > len)
			return;
	bytes = (get_u32(header->slots) + (size_t)7) / 8;
	if (bytes <= FORMAT_PAGE_MIN)
		put_u64(header->bitmap_checksum, fnv(head + at[2], bytes));
	put_u64(header->centre_checksum, fnv(head + at[1], DIM * sizeof(float)));
	put_u64(header->checksum, fnv(head + at[0], offsetof(struct persist_format, checksum)));
}

static void check_answer(const struct ann_answer *answer, uint32_t k, bool numbers)
{
	size_t n = answer->first[1];

	FUZZ_ASSERT(n <= k);
	for (size_t i = 0; i < n; i++) {
		const struct ann_hit *hit = &answer->hits[i];

		FUZZ_ASSERT(hit->id_len > 0);
		FUZZ_ASSERT(!numbers || !isnan(hit->distance));
		FUZZ_ASSERT(!numbers || i == 0 || hit[-1].distance <= hit->distance);
		for (size_t j = 0; j < i; j++)
			FUZZ_ASSERT(answer->hits[j].id_len != hit->id_len ||
				    memcmp(answer->ids + answer->hits[j].id_at,
					   answer->ids + hit->id_at, hit->id_len) != 0);
	}
}

static void op_search(struct ann *ann, struct fuzz_input *in, bool numbers)
{
	uint8_t how = fuzz_u8(in);
	struct ann_query query = {.k = 1 + fuzz_u8(in) % 16u,
				  .effort = fuzz_u8(in) % 32u,
				  .exact = how % 8 == 7,
				  .has_max = how % 16 == 6,
				  .max = 2.5};
	struct ann_answer answer;
	struct ann_stats stats;

	ann->scan_max = how & 128 ? 1000 : 0;
	ann_get_stats(ann, &stats);
	if (ask(ann, fuzz_u8(in), &query, &answer) == 0) {
		check_answer(&answer, query.k, numbers);
		/* whatever the links say, no answer is shorter than it has to be */
		FUZZ_ASSERT(!numbers || query.has_max || answer.first[1] == query.k ||
			    answer.first[1] == stats.vectors);
	}
	ann_answer_release(&answer);
}

/* The graph has no say in an exact answer. */
static void check_exact(struct ann *ann)
{
	const struct ann_query exact = {.k = K, .exact = true};
	struct ann_answer answer;

	FUZZ_ASSERT(ask(ann, 5000, &exact, &answer) == 0);
	FUZZ_ASSERT(answer.first[1] == right[which].first[1]);
	for (size_t i = 0; i < answer.first[1]; i++) {
		const struct ann_hit *a = &answer.hits[i], *b = &right[which].hits[i];

		FUZZ_ASSERT(a->distance == b->distance && a->id_len == b->id_len);
		FUZZ_ASSERT(memcmp(answer.ids + a->id_at, right[which].ids + b->id_at, a->id_len) ==
			    0);
	}
	ann_answer_release(&answer);
}

static void use(struct ann *ann, struct fuzz_input *in, bool numbers)
{
	struct ann_stats stats;
	size_t left;
	char id[16];

	for (int ops = 0; ops < OPS_MAX; ops++) {
		uint8_t what = fuzz_u8(in) % 16;

		if (what == 0) {
			return;
		} else if (what < 7) {
			op_search(ann, in, numbers);
		} else if (what < 9) {
			put(ann, fuzz_u8(in) % (VECTORS + 8) + (what == 8 ? 1000u : 0));
		} else if (what < 11) {
			snprintf(id, sizeof(id), "v%u", fuzz_u8(in) % (VECTORS + 8));
			(void)ann_delete(ann, id, strlen(id));
		} else if (what < 13) {
			(void)ann_index_some(ann, fuzz_u8(in) % 8, &left);
		} else if (what == 13) {
			(void)ann_flush(ann);
		} else if (what == 14) {
			(void)ann_check(ann, NULL);
		} else {
			ann_get_stats(ann, &stats);
			store_drop_caches(ann->store);
		}
	}
}

static void open_and_use(struct io_mem *medium, struct fuzz_input *in, uint8_t how, bool fresh)
{
	struct store_opts opts = {.cache_bytes = 4u << 20, .read_only = (how & 6) == 6};
	struct store_io *io = io_mem_attach(medium);
	struct store *store = NULL;
	struct ann *ann = NULL;
	bool numbers = (how & 1) == 0;

	FUZZ_ASSERT(io != NULL);
	if (store_open(io, &opts, &store, NULL, NULL) == 0) {
		struct err_msg note = {""};
		int err = ann_open(store, &by_hand, &ann, &note, NULL);

		FUZZ_ASSERT(err == 0 || !numbers);
		if (err == 0) {
			if (fresh && numbers && how & 8)
				check_exact(ann);
			use(ann, in, numbers);
			(void)ann_close(ann);
		}
		if (how & 16 && !opts.read_only)
			(void)store_close(store);
		else
			store_abandon(store);
	}
	io->ops->close(io);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t how = fuzz_u8(&in);
	uint32_t kinds = GRAPH_KINDS | ((how & 1) != 0 ? VALUE_KIND : 0);
	struct io_mem *medium;

	which = fuzz_u8(&in) % 2;
	medium = spoil_and(&images[which], kinds, &in, AUX_KIND, (how & 32) == 0 ? settle : NULL);
	open_and_use(medium, &in, how, true);
	if (how & 64)
		open_and_use(medium, &in, how, false);
	return 0;
}
