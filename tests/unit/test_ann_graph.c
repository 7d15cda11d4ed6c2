/*
 * test_ann_graph.c - the graph over records in memory: recall with fixed seeds against exact search,
 * validation after every batch, deletion, threads, failing memory, damaged records.
 */
#include "ann/graph.h"

#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "store/err.h"
#include "store/mem.h"
#include "tests/support/sanitized.h"

#define SEED 4242u
#define DIM 48u
#define N UNLESS_SANITIZED(5000u, 2000u)
#define CLUSTERS 40u
#define QUERIES 200u
#define K 10u
#define FEW UNLESS_SANITIZED(2000u, 600u) /* vectors, so that it stays quick */
#define FEW_BITS_EFFORT 40u
#define FLOOR_AT_16 0.96 /* of recall@10 */

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 33) % below);
}

/* About normal, deviation 1. */
static float draw_normal(void)
{
	float sum = 0;

	for (int i = 0; i < 12; i++)
		sum += (float)draw(1u << 20) / (float)(1u << 20);
	return sum - 6;
}

struct world {
	float *vectors, *queries; /* N and QUERIES of DIM */
	uint32_t n;
	struct quant quant;
	struct codes codes;
	struct graph_states states;
	struct ann_nodes *nodes;
	struct graph graph;
	struct graph_scratch *scratch;
	struct quant_query query;
	void *work;
	uint32_t effort;
};

static void draw_vector(const float *centre, float *out)
{
	for (uint32_t i = 0; i < DIM; i++)
		out[i] = centre[i] + 0.7f * draw_normal();
}

static void start(struct world *w, enum ann_metric metric, uint32_t bits)
{
	static float centres[CLUSTERS][DIM];
	struct graph_params params;

	memset(w, 0, sizeof(*w));
	random_state = SEED;
	print_message("seed %u\n", SEED);
	w->n = N;
	w->vectors = mem_zalloc((size_t)N * DIM, sizeof(float));
	w->queries = mem_zalloc((size_t)QUERIES * DIM, sizeof(float));
	for (uint32_t i = 0; i < CLUSTERS * DIM; i++)
		centres[i / DIM][i % DIM] = draw_normal();
	for (uint32_t i = 0; i < N; i++)
		draw_vector(centres[draw(CLUSTERS)], w->vectors + (size_t)i * DIM);
	for (uint32_t i = 0; i < QUERIES; i++)
		draw_vector(centres[draw(CLUSTERS)], w->queries + (size_t)i * DIM);
	assert_int_equal(quant_init(&w->quant, metric, DIM, bits, SEED), 0);
	assert_int_equal(codes_init(&w->codes, w->quant.code_bytes), 0);
	assert_int_equal(codes_grow(&w->codes, N), 0);
	assert_int_equal(graph_states_init(&w->states), 0);
	assert_int_equal(graph_states_grow(&w->states, N), 0);
	graph_recommend(DIM, metric, &params, &w->effort);
	assert_int_equal(nodes_mem_new(params.cap, &w->nodes), 0);
	assert_int_equal(graph_init(&w->graph, &params, w->nodes, &w->quant, &w->codes, &w->states),
			 0);
	assert_int_equal(graph_scratch_new(&w->graph, &w->scratch), 0);
	assert_int_equal(quant_query_init(&w->query, &w->quant), 0);
	w->work = mem_alloc_aligned(64, quant_scratch_bytes(&w->quant));
	for (uint32_t i = 0; i < N; i++)
		quant_encode(&w->quant, w->vectors + (size_t)i * DIM, w->work,
			     codes_at(&w->codes, i));
}

static void stop(struct world *w)
{
	mem_free(w->work);
	quant_query_release(&w->query);
	graph_scratch_free(w->scratch);
	graph_release(&w->graph);
	w->nodes->ops->free(w->nodes);
	graph_states_release(&w->states);
	codes_release(&w->codes);
	quant_release(&w->quant);
	mem_free(w->queries);
	mem_free(w->vectors);
}

static float exact(const struct world *w, const float *query, uint32_t slot)
{
	const struct dist_kernels *kernels = dist_kernels();
	const float *v = w->vectors + (size_t)slot * DIM;

	if (w->quant.metric == ANN_L2)
		return kernels->l2sq(query, v, DIM);
	if (w->quant.metric == ANN_IP)
		return -kernels->dot(query, v, DIM);
	return -kernels->dot(query, v, DIM) / sqrtf(kernels->dot(v, v, DIM));
}

/* best: the K smallest so far in ascending order, INFINITY where there are fewer. */
static void keep(float *best, float distance)
{
	size_t at = K - 1;

	if (distance >= best[at])
		return;
	for (; at > 0 && best[at - 1] > distance; at--)
		best[at] = best[at - 1];
	best[at] = distance;
}

/* How many of the K best hits, measured exactly, are as near as the true K nearest LINKED slots. */
static size_t right_hits(struct world *w, const float *query, uint32_t effort)
{
	float truth[K], found[K];
	const struct graph_hit *hits;
	size_t n, right = 0;

	for (size_t i = 0; i < K; i++)
		truth[i] = found[i] = INFINITY;
	for (uint32_t slot = 0; slot < N; slot++)
		if (graph_state(&w->states, slot) == GRAPH_LINKED)
			keep(truth, exact(w, query, slot));
	quant_query_set(&w->query, query, w->work);
	assert_int_equal(
		graph_search(&w->graph, w->scratch, &w->query, effort, NULL, NULL, &hits, &n), 0);
	assert_in_range(n, K, effort);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(graph_state(&w->states, hits[i].slot), GRAPH_LINKED);
		assert_true(i == 0 || hits[i].distance >= hits[i - 1].distance);
		keep(found, exact(w, query, hits[i].slot));
	}
	for (size_t i = 0; i < K; i++)
		right += found[i] <= truth[K - 1];
	return right;
}

static double recall_with(struct world *w, uint32_t effort)
{
	size_t right = 0;
	double share;

	for (uint32_t q = 0; q < QUERIES; q++)
		right += right_hits(w, w->queries + (size_t)q * DIM, effort);
	share = (double)right / (QUERIES * K);
	print_message("recall@10 %.4f at effort %u\n", share, effort);
	return share;
}

static double recall(struct world *w)
{
	return recall_with(w, w->effort);
}

static struct graph_check_report check(struct world *w)
{
	struct graph_check_report report;
	uint64_t linked = 0;

	assert_int_equal(graph_check(&w->graph, w->n, &report), 0);
	for (uint32_t slot = 0; slot < w->n; slot++)
		linked += graph_state(&w->states, slot) == GRAPH_LINKED;
	assert_int_equal(report.linked, linked);
	assert_true(report.max_degree <= w->graph.params.cap);
	return report;
}

static void insert(struct world *w, uint32_t first, uint32_t end)
{
	for (uint32_t slot = first; slot < end; slot++)
		assert_int_equal(graph_insert(&w->graph, w->scratch, slot), 0);
}

static void insert_in_batches(struct world *w)
{
	struct graph_check_report report;

	for (uint32_t first = 0; first < N; first += 1000) {
		insert(w, first, first + 1000);
		report = check(w);
		assert_int_equal(report.unreachable, 0);
		assert_int_equal(report.dangling, 0);
	}
	graph_choose_entries(&w->graph, N);
	assert_int_equal(check(w).unreachable, 0);
}

static void recall_of(enum ann_metric metric, uint32_t bits)
{
	struct world w;

	start(&w, metric, bits);
	insert_in_batches(&w);
	assert_true(recall(&w) >= 0.95);
	assert_true(recall_with(&w, 16) >= FLOOR_AT_16);
	stop(&w);
}

static void recall_l2(void **state)
{
	(void)state;
	recall_of(ANN_L2, 4);
	recall_of(ANN_L2, 8);
}

static void recall_cosine(void **state)
{
	(void)state;
	recall_of(ANN_COSINE, 4);
}

static void recall_ip(void **state)
{
	(void)state;
	recall_of(ANN_IP, 4);
}

/* The share of some nodes that have a link to the node truly nearest to them. */
static double linked_to_nearest(struct world *w, uint32_t n)
{
	uint32_t found = 0;

	for (uint32_t slot = 0; slot < 200; slot++) {
		const float *vector = w->vectors + (size_t)slot * DIM;
		uint32_t nearest = slot == 0;
		const uint32_t *record;

		for (uint32_t other = 0; other < n; other++)
			if (other != slot && exact(w, vector, other) < exact(w, vector, nearest))
				nearest = other;
		assert_int_equal(w->nodes->ops->read(w->nodes, slot, &record), 0);
		for (uint32_t i = 0; i < record[0]; i++)
			found += record[1 + i] == nearest;
	}
	print_message("%u of 200 nodes link to their nearest\n", found);
	return found / 200.0;
}

static void start_few_bits(struct world *w, enum ann_metric metric, uint32_t bits, bool by_vector)
{
	start(w, metric, bits);
	if (by_vector)
		nodes_mem_set_vectors(w->nodes, w->vectors, DIM);
	assert_true(w->graph.by_vector);
	insert(w, 0, FEW);
	graph_choose_entries(&w->graph, N);
	assert_int_equal(check(w).unreachable, 0);
}

static void few_bits_of(enum ann_metric metric, uint32_t bits)
{
	double floor = bits == 1 ? 0.92 : 0.97;
	struct world w;

	start_few_bits(&w, metric, bits, true);
	assert_true(recall_with(&w, FEW_BITS_EFFORT) >= floor);
	for (uint32_t slot = FEW / 2; slot < FEW * 7 / 10; slot++) {
		graph_state_set(&w.states, slot, GRAPH_TOMBSTONE);
		assert_int_equal(graph_repair(&w.graph, w.scratch, slot), 0);
	}
	assert_int_equal(graph_sweep(&w.graph, w.scratch, 0, N), 0);
	assert_true(recall_with(&w, FEW_BITS_EFFORT) >= floor);
	stop(&w);
}

static void few_bits(void **state)
{
	(void)state;
	for (enum ann_metric metric = ANN_COSINE; metric <= ANN_IP; metric++)
		for (uint32_t bits = 1; bits <= 2; bits++)
			few_bits_of(metric, bits);
}

/* Codes of 1 bit do not tell which node is the nearest; with the vectors, it becomes a link. */
static void links_by_vector(void **state)
{
	double shares[2];

	(void)state;
	for (int by_vector = 0; by_vector < 2; by_vector++) {
		struct world w;

		start_few_bits(&w, ANN_L2, 1, by_vector != 0);
		shares[by_vector] = linked_to_nearest(&w, FEW);
		stop(&w);
	}
	assert_true(shares[1] >= 0.97);
	assert_true(shares[0] < 0.9);
}

static void no_graph_no_hits(void **state)
{
	const struct graph_hit *hits;
	struct world w;
	size_t n;

	(void)state;
	start(&w, ANN_L2, 4);
	quant_query_set(&w.query, w.queries, w.work);
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 10, NULL, NULL, &hits, &n), 0);
	assert_int_equal(n, 0);
	graph_choose_entries(&w.graph, N);
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 10, NULL, NULL, &hits, &n), 0);
	assert_int_equal(n, 0);
	insert(&w, 17, 18);
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 10, NULL, NULL, &hits, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(hits[0].slot, 17);
	assert_int_equal(graph_insert(&w.graph, w.scratch, 17), ERR_INVALID);
	assert_int_equal(graph_insert(&w.graph, w.scratch, 4000000000u), ERR_INVALID);
	assert_int_equal(graph_repair(&w.graph, w.scratch, 17), ERR_INVALID);
	stop(&w);
}

/* --- deletion --- */

static void assert_no_links_to_deleted(struct world *w)
{
	for (uint32_t slot = 0; slot < N; slot++) {
		const uint32_t *record;

		if (graph_state(&w->states, slot) == GRAPH_ABSENT)
			continue;
		assert_int_equal(w->nodes->ops->read(w->nodes, slot, &record), 0);
		for (uint32_t i = 0; i < record[0]; i++)
			assert_int_equal(graph_state(&w->states, record[1 + i]), GRAPH_LINKED);
	}
}

static void delete_and_sweep(struct world *w, const uint8_t *doomed)
{
	for (uint32_t slot = 0; slot < N; slot++)
		if (doomed[slot])
			graph_state_set(&w->states, slot, GRAPH_TOMBSTONE);
	assert_true(recall(w) >= 0.95);
	for (uint32_t slot = 0; slot < N; slot++)
		if (doomed[slot])
			assert_int_equal(graph_repair(&w->graph, w->scratch, slot), 0);
	assert_int_equal(graph_sweep(&w->graph, w->scratch, 0, N), 0);
	assert_no_links_to_deleted(w);
	for (uint32_t slot = 0; slot < N; slot++)
		if (doomed[slot])
			graph_state_set(&w->states, slot, GRAPH_ABSENT);
	assert_int_equal(check(w).dangling, 0);
}

static void deletes(void **state)
{
	static uint8_t doomed[N];
	struct world w;

	(void)state;
	start(&w, ANN_L2, 4);
	insert(&w, 0, N);
	graph_choose_entries(&w.graph, N);
	/* Three in ten, the first entries among them. */
	for (uint32_t slot = 0; slot < N; slot++)
		doomed[slot] = draw(10) < 3;
	for (uint32_t i = 0; i < 4; i++)
		doomed[w.graph.entries[i]] = 1;
	delete_and_sweep(&w, doomed);
	assert_true(check(&w).unreachable <= 5);
	assert_true(recall(&w) >= 0.95);
	/* The slots are used again. */
	for (uint32_t slot = 0; slot < N; slot++)
		if (doomed[slot])
			insert(&w, slot, slot + 1);
	assert_true(check(&w).unreachable <= 5);
	assert_true(recall(&w) >= 0.95);
	stop(&w);
}

static void deletes_all_and_starts_anew(void **state)
{
	const struct graph_hit *hits;
	struct world w;
	size_t n;

	(void)state;
	start(&w, ANN_L2, 4);
	insert(&w, 0, 300);
	for (uint32_t slot = 0; slot < 300; slot++) {
		graph_state_set(&w.states, slot, GRAPH_TOMBSTONE);
		assert_int_equal(graph_repair(&w.graph, w.scratch, slot), 0);
		quant_query_set(&w.query, w.queries, w.work);
		assert_int_equal(
			graph_search(&w.graph, w.scratch, &w.query, 400, NULL, NULL, &hits, &n), 0);
		assert_true(n >= (299 - slot) * 9 / 10);
	}
	assert_int_equal(graph_sweep(&w.graph, w.scratch, 0, N), 0);
	for (uint32_t slot = 0; slot < 300; slot++)
		graph_state_set(&w.states, slot, GRAPH_ABSENT);
	insert(&w, 100, 400);
	assert_int_equal(check(&w).unreachable, 0);
	graph_search(&w.graph, w.scratch, &w.query, 400, NULL, NULL, &hits, &n);
	assert_int_equal(n, 300);
	stop(&w);
}

/* The entries vanish without a word: a search finds others. */
static void entries_are_renewed(void **state)
{
	const struct graph_hit *hits;
	struct world w;
	size_t n;

	(void)state;
	start(&w, ANN_COSINE, 4);
	insert(&w, 0, 500);
	assert_true(w.graph.n_entries > 1);
	for (uint32_t i = 0; i < w.graph.n_entries; i++)
		graph_state_set(&w.states, w.graph.entries[i], GRAPH_ABSENT);
	quant_query_set(&w.query, w.queries, w.work);
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 500, NULL, NULL, &hits, &n),
			 0);
	assert_true(n >= 475);
	assert_int_equal(graph_state(&w.states, w.graph.entries[0]), GRAPH_LINKED);
	w.graph.n_entries = 0;
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 500, NULL, NULL, &hits, &n),
			 0);
	assert_true(n >= 475);
	stop(&w);
}

/* --- the same vector many times --- */

static void duplicates(void **state)
{
	const struct graph_hit *hits;
	struct world w;
	size_t n, same = 0;

	(void)state;
	start(&w, ANN_L2, 4);
	for (uint32_t slot = 0; slot < 1500; slot += 2)
		memcpy(codes_at(&w.codes, slot), codes_at(&w.codes, 0), w.quant.code_bytes);
	insert(&w, 0, 1500);
	assert_int_equal(check(&w).unreachable, 0);
	quant_query_set(&w.query, w.vectors, w.work);
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 1000, NULL, NULL, &hits, &n),
			 0);
	for (size_t i = 0; i < n; i++)
		same += hits[i].slot % 2 == 0;
	assert_int_equal(same, 750);
	stop(&w);
}

/* --- threads --- */

struct team {
	struct world *world;
	_Atomic uint32_t next;
	_Atomic bool done;
	_Atomic int failures;
};

static void *insert_some(void *ctx)
{
	struct team *team = ctx;
	struct graph_scratch *scratch;
	uint32_t slot;

	if (graph_scratch_new(&team->world->graph, &scratch) != 0) {
		team->failures++;
		return NULL;
	}
	while ((slot = atomic_fetch_add(&team->next, 1)) < N)
		if (graph_insert(&team->world->graph, scratch, slot) != 0)
			team->failures++;
	graph_scratch_free(scratch);
	return NULL;
}

static void *search_some(void *ctx)
{
	struct team *team = ctx;
	struct world *w = team->world;
	struct graph_scratch *scratch = NULL;
	struct quant_query query = {0};
	void *work = mem_alloc_aligned(64, quant_scratch_bytes(&w->quant));

	if (work == NULL || graph_scratch_new(&w->graph, &scratch) != 0 ||
	    quant_query_init(&query, &w->quant) != 0)
		team->failures++;
	for (uint32_t q = 0; !team->done && team->failures == 0; q = (q + 1) % QUERIES) {
		const struct graph_hit *hits;
		size_t n;

		quant_query_set(&query, w->queries + (size_t)q * DIM, work);
		if (graph_search(&w->graph, scratch, &query, 20, NULL, NULL, &hits, &n) != 0 ||
		    n > 20)
			team->failures++;
	}
	quant_query_release(&query);
	graph_scratch_free(scratch);
	mem_free(work);
	return NULL;
}

/* Deletes and repairs every tenth slot of the first fifth. */
static void *delete_some(void *ctx)
{
	struct team *team = ctx;
	struct world *w = team->world;
	struct graph_scratch *scratch;

	if (graph_scratch_new(&w->graph, &scratch) != 0) {
		team->failures++;
		return NULL;
	}
	for (uint32_t slot = 0; slot < N / 5; slot += 10) {
		graph_state_set(&w->states, slot, GRAPH_TOMBSTONE);
		if (graph_repair(&w->graph, scratch, slot) != 0)
			team->failures++;
	}
	if (graph_sweep(&w->graph, scratch, 0, N) != 0)
		team->failures++;
	graph_scratch_free(scratch);
	return NULL;
}

static void threads(void **state)
{
	struct world w;
	struct team team = {.world = &w};
	pthread_t inserters[2], searcher, deleter;

	(void)state;
	start(&w, ANN_L2, 4);
	/* From an empty graph, all at once. */
	assert_int_equal(pthread_create(&searcher, NULL, search_some, &team), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&inserters[i], NULL, insert_some, &team), 0);
	while (team.next < N / 2)
		sched_yield();
	assert_int_equal(pthread_create(&deleter, NULL, delete_some, &team), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(inserters[i], NULL);
	pthread_join(deleter, NULL);
	team.done = true;
	pthread_join(searcher, NULL);
	assert_int_equal(team.failures, 0);
	assert_int_equal(graph_sweep(&w.graph, w.scratch, 0, N), 0);
	assert_no_links_to_deleted(&w);
	assert_int_equal(check(&w).tombstones, N / 50);
	assert_true(check(&w).unreachable <= 5);
	assert_true(recall(&w) >= 0.95);
	stop(&w);
}

/* --- failures --- */

static bool fails_now(void *ctx)
{
	int *left = ctx;

	return (*left)-- <= 0;
}

static void memory_runs_out(void **state)
{
	struct graph_scratch *scratch;
	struct graph_check_report report;
	const struct graph_hit *hits;
	struct world w;
	size_t n;
	int left, err = ERR_NOMEM;

	(void)state;
	start(&w, ANN_L2, 4);
	insert(&w, 0, 200);
	mem_set_fault(fails_now, &left);
	for (int allowed = 0; err == ERR_NOMEM; allowed++) {
		left = allowed;
		err = graph_scratch_new(&w.graph, &scratch);
		assert_true(err == 0 || scratch == NULL);
	}
	assert_int_equal(err, 0);
	/* A new scratch has yet to grow: the slot is linked or stays out of the graph. */
	err = ERR_NOMEM;
	for (int allowed = 0; err == ERR_NOMEM; allowed++) {
		left = allowed;
		err = graph_insert(&w.graph, scratch, 200);
		assert_int_equal(graph_state(&w.states, 200),
				 err == 0 ? GRAPH_LINKED : GRAPH_ABSENT);
	}
	assert_int_equal(err, 0);
	left = 0;
	assert_int_equal(graph_check(&w.graph, N, &report), ERR_NOMEM);
	graph_choose_entries(&w.graph, N);
	assert_int_equal(w.graph.n_entries, 1);
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 90000, NULL, NULL, &hits, &n),
			 ERR_NOMEM);
	/* Warm: nothing is allocated. */
	assert_int_equal(graph_search(&w.graph, w.scratch, &w.query, 50, NULL, NULL, &hits, &n), 0);
	mem_set_fault(NULL, NULL);
	assert_int_equal(check(&w).unreachable, 0);
	graph_scratch_free(scratch);
	stop(&w);
}

static bool cancel(void *ctx)
{
	return ++*(int *)ctx > 1;
}

static void can_be_cancelled(void **state)
{
	const struct graph_hit *hits;
	struct world w;
	int asked = 0;
	size_t n;

	(void)state;
	start(&w, ANN_L2, 4);
	insert(&w, 0, 1000);
	quant_query_set(&w.query, w.queries, w.work);
	assert_int_equal(
		graph_search(&w.graph, w.scratch, &w.query, 900, cancel, &asked, &hits, &n),
		ERR_INTERRUPTED);
	assert_int_equal(asked, 2);
	assert_int_equal(n, 0);
	stop(&w);
}

/* Records full of nonsense neither crash a search or a change nor pass the check. */
static void damaged_records(void **state)
{
	struct graph_check_report report;
	const struct graph_hit *hits;
	struct world w;
	size_t n;

	(void)state;
	start(&w, ANN_L2, 4);
	insert(&w, 0, 1000);
	for (uint32_t slot = 0; slot < 1000; slot += 7) {
		uint32_t *record;

		assert_int_equal(w.nodes->ops->change(w.nodes, slot, &record), 0);
		record[0] = slot % 2 ? UINT32_MAX : w.nodes->cap + 1;
		record[1] = slot;
		record[2] = record[3] = (slot + 1) % 1000;
		record[4] = UINT32_MAX;
		record[5] = 0x40000001u;
	}
	for (uint32_t q = 0; q < QUERIES; q++) {
		quant_query_set(&w.query, w.queries + (size_t)q * DIM, w.work);
		assert_int_equal(
			graph_search(&w.graph, w.scratch, &w.query, 64, NULL, NULL, &hits, &n), 0);
		assert_int_equal(n, 64);
	}
	assert_int_equal(graph_check(&w.graph, N, &report), ERR_DAMAGED);
	assert_int_equal(report.over_cap, 143);
	assert_true(report.self_links >= 143 && report.duplicates >= 143 && report.beyond >= 286);
	insert(&w, 1000, 1500);
	graph_state_set(&w.states, 14, GRAPH_TOMBSTONE);
	assert_int_equal(graph_repair(&w.graph, w.scratch, 14), 0);
	assert_int_equal(graph_sweep(&w.graph, w.scratch, 0, N), 0);
	(void)graph_check(&w.graph, N, &report); /* what the inserts did not touch may be wrong */
	assert_int_equal(report.beyond, 0);
	assert_int_equal(report.over_cap, 0);
	stop(&w);
}

static void parameters_are_checked(void **state)
{
	struct graph_params params, wrong;
	struct graph graph;
	struct world w;
	uint32_t effort;

	(void)state;
	start(&w, ANN_L2, 4);
	params = w.graph.params;
	wrong = params;
	wrong.cap = params.cap + 1;
	assert_int_equal(graph_init(&graph, &wrong, w.nodes, &w.quant, &w.codes, &w.states),
			 ERR_INVALID);
	wrong = params;
	wrong.degree = params.cap + 1;
	assert_int_equal(graph_init(&graph, &wrong, w.nodes, &w.quant, &w.codes, &w.states),
			 ERR_INVALID);
	wrong = params;
	wrong.alpha = 0;
	assert_int_equal(graph_init(&graph, &wrong, w.nodes, &w.quant, &w.codes, &w.states),
			 ERR_INVALID);
	for (uint32_t dim = 1; dim <= ANN_DIM_MAX; dim *= 2) {
		graph_recommend(dim, ANN_COSINE, &params, &effort);
		assert_true(params.degree <= params.cap && params.alpha >= 1 && effort > 0);
	}
	assert_int_equal(graph_states_grow(&w.states, UINT32_MAX), ERR_LIMIT);
	graph_release(NULL);
	graph_states_release(NULL);
	graph_scratch_free(NULL);
	stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recall_l2),
		cmocka_unit_test(recall_cosine),
		cmocka_unit_test(recall_ip),
		cmocka_unit_test(few_bits),
		cmocka_unit_test(links_by_vector),
		cmocka_unit_test(no_graph_no_hits),
		cmocka_unit_test(deletes),
		cmocka_unit_test(deletes_all_and_starts_anew),
		cmocka_unit_test(entries_are_renewed),
		cmocka_unit_test(duplicates),
		cmocka_unit_test(threads),
		cmocka_unit_test(memory_runs_out),
		cmocka_unit_test(can_be_cancelled),
		cmocka_unit_test(damaged_records),
		cmocka_unit_test(parameters_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
