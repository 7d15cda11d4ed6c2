/*
 * A graph whose records, codes, states and entries hold anything: searches end and give only linked
 * slots, each once; inserts, repairs and sweeps end, and what they write is right.
 *
 * max_len: 500
 */
#include "ann/graph.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/base.h"
#include "store/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/ann_fixture.h"

#define DIM 8u
#define SLOTS 28u /* those above N are never linked at first */
#define N 22u
#define EDITS_MAX 24
#define OPS_MAX 8

struct world {
	struct quant quant;
	struct codes codes;
	struct graph_states states;
	struct ann_nodes *nodes;
	struct graph graph;
	struct graph_scratch *scratch;
	struct quant_query query;
	void *work;
	uint32_t effort;
	/* as they were made */
	uint32_t *records;
	uint8_t *code_bytes;
	uint32_t entries[GRAPH_ENTRIES], n_entries;
};

static struct world worlds[3];

static void vector_of(uint32_t i, float *out)
{
	struct ann_random random = {i + 77};

	ann_random_vector(&random, out, DIM, 5);
}

static uint32_t *record_of(struct world *w, uint32_t slot)
{
	uint32_t *record = NULL;

	FUZZ_ASSERT(w->nodes->ops->change(w->nodes, slot, &record) == 0);
	return record;
}

static void make(struct world *w, enum ann_metric metric, uint32_t bits)
{
	struct graph_params params;
	float vector[DIM];

	FUZZ_ASSERT(quant_init(&w->quant, metric, DIM, bits, 5) == 0);
	FUZZ_ASSERT(codes_init(&w->codes, w->quant.code_bytes) == 0);
	FUZZ_ASSERT(codes_grow(&w->codes, SLOTS) == 0);
	FUZZ_ASSERT(graph_states_init(&w->states) == 0);
	FUZZ_ASSERT(graph_states_grow(&w->states, SLOTS) == 0);
	graph_recommend(DIM, metric, &params, &w->effort);
	/* short records, so that they fill up, and an insert that does not look at everything */
	params.degree = 5;
	params.cap = 7;
	params.build_effort = 12;
	FUZZ_ASSERT(nodes_mem_new(params.cap, &w->nodes) == 0);
	FUZZ_ASSERT(graph_init(&w->graph, &params, w->nodes, &w->quant, &w->codes, &w->states) ==
		    0);
	FUZZ_ASSERT(graph_scratch_new(&w->graph, &w->scratch) == 0);
	FUZZ_ASSERT(quant_query_init(&w->query, &w->quant) == 0);
	w->work = mem_alloc_aligned(64, quant_scratch_bytes(&w->quant));
	w->records = mem_zalloc(SLOTS * 8, sizeof(uint32_t));
	w->code_bytes = mem_zalloc(SLOTS, w->quant.code_bytes);
	for (uint32_t i = 0; i < SLOTS; i++) {
		vector_of(i, vector);
		quant_encode(&w->quant, vector, w->work, codes_at(&w->codes, i));
		if (i < N)
			FUZZ_ASSERT(graph_insert(&w->graph, w->scratch, i) == 0);
	}
	w->nodes->ops->read_begin(w->nodes);
	for (uint32_t i = 0; i < SLOTS; i++) {
		memcpy(w->records + (size_t)i * 8, record_of(w, i), 32);
		memcpy(w->code_bytes + (size_t)i * w->quant.code_bytes, codes_at(&w->codes, i),
		       w->quant.code_bytes);
	}
	w->nodes->ops->read_end(w->nodes);
	w->n_entries = atomic_load(&w->graph.n_entries);
	for (uint32_t i = 0; i < w->n_entries; i++)
		w->entries[i] = atomic_load(&w->graph.entries[i]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make(&worlds[0], ANN_L2, 4);
	make(&worlds[1], ANN_COSINE, 8);
	make(&worlds[2], ANN_IP, 4);
	return 0;
}

static void restore(struct world *w)
{
	w->nodes->ops->read_begin(w->nodes);
	for (uint32_t i = 0; i < SLOTS; i++) {
		memcpy(record_of(w, i), w->records + (size_t)i * 8, 32);
		memcpy(codes_at(&w->codes, i), w->code_bytes + (size_t)i * w->quant.code_bytes,
		       w->quant.code_bytes);
		graph_state_set(&w->states, i, i < N ? GRAPH_LINKED : GRAPH_ABSENT);
	}
	w->nodes->ops->read_end(w->nodes);
	for (uint32_t i = 0; i < w->n_entries; i++)
		atomic_store(&w->graph.entries[i], w->entries[i]);
	atomic_store(&w->graph.n_entries, w->n_entries);
	atomic_store(&w->graph.empty, false);
	atomic_store(&w->graph.inserted, N);
}

static void edit(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), slot = fuzz_u8(in) % SLOTS, value[8];
	uint32_t at = fuzz_u8(in);

	w->nodes->ops->read_begin(w->nodes);
	if (what < 128) { /* a word of a record: a count, a link */
		record_of(w, slot)[at % 8] = what & 1 ? (uint32_t)fuzz_edge(in) :
							fuzz_u8(in) % (SLOTS + 8u);
	} else if (what < 192) { /* a code, mostly the floats at its end */
		uint32_t bytes = w->quant.code_bytes;
		uint32_t offset = what & 1 ? at % (bytes - 3) : bytes - 4 * (1 + at % 4);

		put_u64(value,
			what & 2 ? 0x7fc00000u + (uint64_t)fuzz_u8(in) * 0x1000000u : fuzz_u32(in));
		memcpy(codes_at(&w->codes, slot) + offset, value, 4);
	} else if (what < 232) {
		graph_state_set(&w->states, slot, (enum graph_state)(at % 3));
	} else { /* the loader lets only entries below its slots through */
		atomic_store(&w->graph.entries[at % GRAPH_ENTRIES], slot);
		atomic_store(&w->graph.n_entries, fuzz_u8(in) % (GRAPH_ENTRIES + 1u));
	}
	w->nodes->ops->read_end(w->nodes);
}

static void search(struct world *w, struct fuzz_input *in)
{
	uint32_t effort = 1 + fuzz_u8(in) % 64u;
	const struct graph_hit *hits;
	uint64_t seen = 0;
	float vector[DIM];
	size_t n;

	vector_of(1000u + fuzz_u8(in), vector);
	quant_query_set(&w->query, vector, w->work);
	FUZZ_ASSERT(graph_search(&w->graph, w->scratch, &w->query, effort, NULL, NULL, &hits, &n) ==
		    0);
	FUZZ_ASSERT(n <= effort && n <= SLOTS);
	for (size_t i = 0; i < n; i++) {
		FUZZ_ASSERT(hits[i].slot < SLOTS && (seen >> hits[i].slot & 1) == 0);
		FUZZ_ASSERT(graph_state(&w->states, hits[i].slot) == GRAPH_LINKED);
		FUZZ_ASSERT(i == 0 || !(hits[i].distance < hits[i - 1].distance));
		seen |= 1ull << hits[i].slot;
	}
}

/* What an insert writes for its own slot is within the rules, whatever it found. */
static void insert(struct world *w, uint32_t slot)
{
	const uint32_t *record;
	uint64_t seen = 0;

	if (graph_state(&w->states, slot) != GRAPH_ABSENT)
		return;
	FUZZ_ASSERT(graph_insert(&w->graph, w->scratch, slot) == 0);
	FUZZ_ASSERT(graph_state(&w->states, slot) == GRAPH_LINKED);
	w->nodes->ops->read_begin(w->nodes);
	FUZZ_ASSERT(w->nodes->ops->read(w->nodes, slot, &record) == 0 &&
		    record[0] <= w->nodes->cap);
	for (uint32_t i = 1; i <= record[0]; i++) {
		FUZZ_ASSERT(record[i] < SLOTS && record[i] != slot);
		FUZZ_ASSERT((seen >> record[i] & 1) == 0);
		seen |= 1ull << record[i];
	}
	w->nodes->ops->read_end(w->nodes);
}

static void use(struct world *w, struct fuzz_input *in)
{
	struct graph_check_report report;
	uint32_t slot;

	for (int ops = 0; ops < OPS_MAX; ops++) {
		uint8_t what = fuzz_u8(in) % 16;

		slot = fuzz_u8(in) % SLOTS;
		if (what == 0)
			return;
		if (what < 6) {
			search(w, in);
		} else if (what < 9) {
			insert(w, slot);
		} else if (what < 12) {
			if (graph_state(&w->states, slot) == GRAPH_LINKED)
				graph_state_set(&w->states, slot, GRAPH_TOMBSTONE);
			if (graph_state(&w->states, slot) == GRAPH_TOMBSTONE)
				FUZZ_ASSERT(graph_repair(&w->graph, w->scratch, slot) == 0);
		} else if (what == 12) {
			FUZZ_ASSERT(graph_sweep(&w->graph, w->scratch, 0, SLOTS) == 0);
		} else if (what == 13) {
			graph_choose_entries(&w->graph, SLOTS);
		} else {
			int err = graph_check(&w->graph, SLOTS, &report);

			FUZZ_ASSERT(err == 0 || err == ERR_DAMAGED);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct world *w = &worlds[fuzz_u8(&in) % 3];
	uint8_t edits = fuzz_u8(&in) % EDITS_MAX;

	restore(w);
	for (uint8_t i = 0; i < edits; i++)
		edit(w, &in);
	use(w, &in);
	return 0;
}
