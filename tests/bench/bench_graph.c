/*
 * bench_graph.c - the graph in memory: inserts a second, recall and queries a second by effort,
 * recall under churn.
 *
 * Data: the images of fashion-MNIST (784 dimensions), or any fvecs file (each vector: its dimension
 * as a 32-bit number, then the floats, little-endian), whose last rows then serve as queries. Hits
 * are measured again with the full vectors, as the collection does.
 *
 * Usage: bench_graph [-n ROWS] [-q QUERIES] [-b BITS] [-t THREADS] [-f FVECS] [-m METRIC]
 *                    [-r DEGREE] [-c CAP] [-l BUILD_EFFORT] [-a ALPHA] [-k RERANK] [-d CYCLES] [-x]
 *
 * With 1 and 2 bits links are chosen by the full vectors; -x: by the codes, to see the difference.
 */
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ann/graph.h"
#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define FASHION "/usr/share/datasets/fashion-mnist/"
#define K 10u
#define RERANK 40u /* with 4 bits; more with fewer, as in the collection */

struct settings {
	size_t rows, queries;
	uint32_t bits, threads, rerank, cycles;
	bool by_code; /* choose links by codes whatever their bits */
	const char *fvecs;
	enum ann_metric metric;
	struct graph_params params; /* 0: as recommended */
};

struct bench {
	struct settings set;
	uint32_t dim;
	size_t n, n_queries;
	float *vectors, *queries;
	uint32_t *truth; /* K for each query */
	struct quant quant;
	struct codes codes;
	struct graph_states states;
	struct ann_nodes *nodes;
	struct graph graph;
	uint32_t effort; /* recommended */
	size_t rerank;	 /* candidates that are measured with the full vectors */
	_Atomic size_t next;
	size_t last;
};

static void must(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "bench_graph: %s: %s\n", what, err_str(err));
	exit(1);
}

static void *must_alloc(size_t count, size_t size)
{
	void *at = mem_zalloc(count, size);

	must(at == NULL ? ERR_NOMEM : 0, "memory");
	return at;
}

static double clock_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

/* --- data --- */

static size_t read_images(const char *path, size_t most, float **out)
{
	char command[512];
	uint8_t header[16], image[784];
	size_t n = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "zcat %s", path);
	pipe = popen(command, "r");
	if (pipe == NULL || fread(header, 1, sizeof(header), pipe) != sizeof(header))
		must(ERR_IO, path);
	*out = must_alloc(most, sizeof(image) * sizeof(float));
	while (n < most && fread(image, 1, sizeof(image), pipe) == sizeof(image)) {
		for (size_t i = 0; i < sizeof(image); i++)
			(*out)[n * sizeof(image) + i] = image[i];
		n++;
	}
	pclose(pipe);
	return n;
}

static void read_fvecs(struct bench *b)
{
	size_t most = b->set.rows + b->set.queries, n = 0;
	FILE *file = fopen(b->set.fvecs, "rb");
	uint8_t word[4];

	must(file == NULL ? ERR_IO : 0, b->set.fvecs);
	while (n < most && fread(word, 1, 4, file) == 4) {
		b->dim = get_u32(word);
		if (n == 0)
			b->vectors = must_alloc(most, b->dim * sizeof(float));
		if (fread(b->vectors + n * b->dim, sizeof(float), b->dim, file) != b->dim)
			break;
		n++;
	}
	fclose(file);
	must(n <= b->set.queries ? ERR_INVALID : 0, "too few vectors");
	b->n_queries = b->set.queries;
	b->n = n - b->n_queries;
	b->queries = b->vectors + b->n * b->dim;
}

static void read_data(struct bench *b)
{
	if (b->set.fvecs != NULL) {
		read_fvecs(b);
	} else {
		b->dim = 784;
		b->n = read_images(FASHION "train-images-idx3-ubyte.gz", b->set.rows, &b->vectors);
		b->n_queries = read_images(FASHION "t10k-images-idx3-ubyte.gz", b->set.queries,
					   &b->queries);
	}
	if (b->set.metric == ANN_COSINE)
		for (size_t i = 0; i < b->n + b->n_queries; i++) {
			float *v = i < b->n ? b->vectors + i * b->dim :
					      b->queries + (i - b->n) * b->dim;
			float norm = sqrtf(dist_kernels()->dot(v, v, b->dim));

			for (uint32_t j = 0; j < b->dim; j++)
				v[j] /= norm > 0 ? norm : 1;
		}
}

static float exact(const struct bench *b, const float *query, uint32_t slot)
{
	const float *vector = b->vectors + (size_t)slot * b->dim;

	if (b->set.metric == ANN_L2)
		return dist_kernels()->l2sq(query, vector, b->dim);
	return -dist_kernels()->dot(query, vector, b->dim);
}

/* Keeps the K nearest in ascending order. */
static void keep_best(struct graph_hit *best, size_t *n, struct graph_hit hit)
{
	size_t at = *n < K ? (*n)++ : K;

	if (at == K && hit.distance >= best[K - 1].distance)
		return;
	for (at = at == K ? K - 1 : at; at > 0 && best[at - 1].distance > hit.distance; at--)
		best[at] = best[at - 1];
	best[at] = hit;
}

/* The K nearest LINKED slots of each query. */
static void find_truth(struct bench *b)
{
	for (size_t q = 0; q < b->n_queries; q++) {
		struct graph_hit best[K];
		size_t n = 0;

		for (uint32_t slot = 0; slot < b->n; slot++)
			if (graph_state(&b->states, slot) == GRAPH_LINKED)
				keep_best(best, &n,
					  (struct graph_hit){
						  exact(b, b->queries + q * b->dim, slot), slot});
		for (size_t i = 0; i < n; i++)
			b->truth[q * K + i] = best[i].slot;
	}
}

/* --- building --- */

static void *insert_thread(void *ctx)
{
	struct bench *b = ctx;
	struct graph_scratch *scratch;
	void *work = mem_alloc_aligned(64, quant_scratch_bytes(&b->quant));
	size_t slot;

	must(work == NULL ? ERR_NOMEM : 0, "memory");
	must(graph_scratch_new(&b->graph, &scratch), "scratch");
	while ((slot = atomic_fetch_add(&b->next, 1)) < b->last) {
		if (graph_state(&b->states, (uint32_t)slot) != GRAPH_ABSENT)
			continue;
		quant_encode(&b->quant, b->vectors + slot * b->dim, work,
			     codes_at(&b->codes, (uint32_t)slot));
		must(graph_insert(&b->graph, scratch, (uint32_t)slot), "insert");
	}
	graph_scratch_free(scratch);
	mem_free(work);
	return NULL;
}

/* Inserts what is ABSENT of slots first ... last-1; returns seconds. */
static double insert_range(struct bench *b, size_t first, size_t last, uint32_t threads)
{
	pthread_t ids[64];
	double from = now();

	atomic_store(&b->next, first);
	b->last = last;
	threads = threads < 64 ? threads : 64;
	for (uint32_t i = 0; i < threads; i++)
		must(pthread_create(&ids[i], NULL, insert_thread, b) ? ERR_LIMIT : 0, "thread");
	for (uint32_t i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return now() - from;
}

/* The mean of some rows. */
static void set_centre(struct bench *b)
{
	size_t n = b->n < 1000 ? b->n : 1000;
	float *centre = must_alloc(b->dim, sizeof(*centre));

	for (size_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < b->dim; j++)
			centre[j] += b->vectors[i * (b->n / n) * b->dim + j] / (float)n;
	must(quant_set_centre(&b->quant, centre), "centre");
	mem_free(centre);
}

static void start_graph(struct bench *b)
{
	struct graph_params params, *given = &b->set.params;

	must(quant_init(&b->quant, b->set.metric, b->dim, b->set.bits, 7), "quant");
	set_centre(b);
	b->rerank = b->set.rerank != 0 ? b->set.rerank : quant_widen(&b->quant, RERANK);
	must(codes_init(&b->codes, b->quant.code_bytes), "codes");
	must(codes_grow(&b->codes, (uint32_t)b->n), "codes");
	must(graph_states_init(&b->states), "states");
	must(graph_states_grow(&b->states, (uint32_t)b->n), "states");
	graph_recommend(b->dim, b->set.metric, &params, &b->effort);
	params.degree = given->degree ? given->degree : params.degree;
	params.cap = given->cap ? given->cap : params.cap;
	params.build_effort = given->build_effort ? given->build_effort : params.build_effort;
	params.alpha = given->alpha > 0 ? given->alpha : params.alpha;
	must(nodes_mem_new(params.cap, &b->nodes), "nodes");
	if (!b->set.by_code)
		nodes_mem_set_vectors(b->nodes, b->vectors, b->dim);
	must(graph_init(&b->graph, &params, b->nodes, &b->quant, &b->codes, &b->states), "graph");
	printf("%zu x %u, %s, %u bits, kernel %s; degree %u cap %u build effort %u alpha %.2f, "
	       "recommended effort %u\n",
	       b->n, b->dim, ann_metric_name(b->set.metric), b->set.bits, b->quant.kernels->name,
	       params.degree, params.cap, params.build_effort, (double)params.alpha, b->effort);
}

static void stop_graph(struct bench *b)
{
	graph_release(&b->graph);
	b->nodes->ops->free(b->nodes);
	graph_states_release(&b->states);
	codes_release(&b->codes);
	quant_release(&b->quant);
}

static void report_graph(struct bench *b)
{
	struct graph_check_report report;

	must(graph_check(&b->graph, (uint32_t)b->n, &report), "check");
	printf("linked %llu, tombstones %llu, links a node %.1f (most %llu), dangling %llu, "
	       "unreachable %llu\n",
	       (unsigned long long)report.linked, (unsigned long long)report.tombstones,
	       (double)report.links / (double)(report.linked ? report.linked : 1),
	       (unsigned long long)report.max_degree, (unsigned long long)report.dangling,
	       (unsigned long long)report.unreachable);
}

static void build(struct bench *b, uint32_t threads)
{
	double seconds, busy;

	start_graph(b);
	busy = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
	seconds = insert_range(b, 0, b->n, threads);
	busy = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - busy;
	printf("build, %u threads: %.2f s, %.0f inserts/s (%.0f a processor second), "
	       "%.0f distances and %.0f hops an insert\n",
	       threads, seconds, (double)b->n / seconds, (double)b->n / busy,
	       (double)atomic_load(&b->graph.distances) / (double)b->n,
	       (double)atomic_load(&b->graph.hops) / (double)b->n);
	graph_choose_entries(&b->graph, (uint32_t)b->n);
	report_graph(b);
}

/* --- searching --- */

struct asker {
	struct quant_query query;
	struct graph_scratch *scratch;
	void *work;
};

static void asker_start(struct bench *b, struct asker *asker)
{
	must(quant_query_init(&asker->query, &b->quant), "query");
	must(graph_scratch_new(&b->graph, &asker->scratch), "scratch");
	asker->work = mem_alloc_aligned(64, quant_scratch_bytes(&b->quant));
	must(asker->work == NULL ? ERR_NOMEM : 0, "memory");
}

static void asker_stop(struct asker *asker)
{
	quant_query_release(&asker->query);
	graph_scratch_free(asker->scratch);
	mem_free(asker->work);
}

/* One query as the collection answers it. Returns the number of hits in best. */
static size_t ask(struct bench *b, struct asker *asker, const float *query, uint32_t effort,
		  struct graph_hit *best)
{
	const struct graph_hit *hits;
	size_t n, n_best = 0;

	quant_query_set(&asker->query, query, asker->work);
	must(graph_search(&b->graph, asker->scratch, &asker->query, effort, NULL, NULL, &hits, &n),
	     "search");
	n = n < b->rerank ? n : b->rerank;
	for (size_t i = 0; i < n && i < 4; i++)
		for (uint32_t j = 0; j < b->dim; j += 16)
			__builtin_prefetch(b->vectors + (size_t)hits[i].slot * b->dim + j);
	for (size_t i = 0; i < n; i++) {
		for (uint32_t j = 0; i + 4 < n && j < b->dim; j += 16)
			__builtin_prefetch(b->vectors + (size_t)hits[i + 4].slot * b->dim + j);
		keep_best(best, &n_best,
			  (struct graph_hit){exact(b, query, hits[i].slot), hits[i].slot});
	}
	return n_best;
}

static size_t right_ones(const struct bench *b, size_t q, const struct graph_hit *best, size_t n)
{
	size_t right = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < K; j++)
			right += best[i].slot == b->truth[q * K + j];
	return right;
}

/* *seconds_out: of this thread on a processor, which a busy machine disturbs least. */
static double recall_at(struct bench *b, struct asker *asker, uint32_t effort, double *seconds_out)
{
	size_t right = 0;
	double from = clock_seconds(CLOCK_THREAD_CPUTIME_ID);

	for (size_t q = 0; q < b->n_queries; q++) {
		struct graph_hit best[K];
		size_t n = ask(b, asker, b->queries + q * b->dim, effort, best);

		right += right_ones(b, q, best, n);
	}
	*seconds_out = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - from;
	return (double)right / (double)(b->n_queries * K);
}

static void table(struct bench *b)
{
	static const uint32_t efforts[] = {10,	12,  16,  20,  24,  32,	 40,  48,  64,	80,
					   100, 128, 160, 200, 256, 320, 400, 512, 640, 800};
	struct asker asker = {0};

	asker_start(b, &asker);
	printf("effort  recall@10      QPS  mean us  distances   hops\n");
	for (size_t e = 0; e < sizeof(efforts) / sizeof(efforts[0]); e++) {
		uint64_t distances = atomic_load(&b->graph.distances);
		uint64_t hops = atomic_load(&b->graph.hops);
		double best = 1e9, seconds, recall = 0, asked = 3.0 * (double)b->n_queries;

		for (int turn = 0; turn < 3; turn++) {
			recall = recall_at(b, &asker, efforts[e], &seconds);
			best = seconds < best ? seconds : best;
		}
		printf("%6u  %9.4f  %7.0f  %7.1f  %9.0f  %5.0f\n", efforts[e], recall,
		       (double)b->n_queries / best, best / (double)b->n_queries * 1e6,
		       (double)(atomic_load(&b->graph.distances) - distances) / asked,
		       (double)(atomic_load(&b->graph.hops) - hops) / asked);
		if (recall > 0.999)
			break;
	}
	asker_stop(&asker);
}

/* --- churn: 4/5 of the rows live; each cycle deletes a fifth of the rows and inserts another --- */

static void delete_fifth(struct bench *b, size_t first, size_t last)
{
	struct graph_scratch *scratch;
	double from = now(), repaired;

	must(graph_scratch_new(&b->graph, &scratch), "scratch");
	for (size_t slot = first; slot < last; slot++)
		graph_state_set(&b->states, (uint32_t)slot, GRAPH_TOMBSTONE);
	for (size_t slot = first; slot < last; slot++)
		must(graph_repair(&b->graph, scratch, (uint32_t)slot), "repair");
	repaired = now();
	must(graph_sweep(&b->graph, scratch, 0, (uint32_t)b->n), "sweep");
	printf("repairs/s %.0f, sweep %.0f nodes/s\n", (double)(last - first) / (repaired - from),
	       (double)b->n / (now() - repaired));
	for (size_t slot = first; slot < last; slot++)
		graph_state_set(&b->states, (uint32_t)slot, GRAPH_ABSENT);
	graph_scratch_free(scratch);
}

static void recall_line(struct bench *b, const char *when)
{
	static const uint32_t efforts[] = {16, 20, 24, 32, 48, 64, 100, 200};
	struct asker asker = {0};

	find_truth(b);
	asker_start(b, &asker);
	printf("%s:", when);
	for (size_t e = 0; e < sizeof(efforts) / sizeof(efforts[0]); e++) {
		double seconds, recall = recall_at(b, &asker, efforts[e], &seconds);

		printf("  %u: %.4f (%.0f/s)", efforts[e], recall, (double)b->n_queries / seconds);
	}
	printf("\n");
	asker_stop(&asker);
}

static void churn(struct bench *b)
{
	size_t fifth = b->n / 5;

	start_graph(b);
	insert_range(b, 0, 4 * fifth, b->set.threads);
	graph_choose_entries(&b->graph, (uint32_t)b->n);
	recall_line(b, "fresh");
	for (uint32_t cycle = 0; cycle < b->set.cycles; cycle++) {
		char name[32];
		size_t out = cycle % 5 * fifth, in = (cycle + 4) % 5 * fifth;
		double seconds;

		snprintf(name, sizeof(name), "cycle %u", cycle + 1);
		delete_fifth(b, out, out + fifth);
		seconds = insert_range(b, in, in + fifth, b->set.threads);
		printf("inserts/s %.0f; ", (double)fifth / seconds);
		report_graph(b);
		recall_line(b, name);
	}
	stop_graph(b);
}

static void parse(int argc, char **argv, struct settings *set)
{
	int c;

	*set = (struct settings){
		.rows = 60000, .queries = 1000, .bits = 4, .threads = 1, .metric = ANN_L2};
	while ((c = getopt(argc, argv, "n:q:b:t:f:m:r:c:l:a:k:d:x")) != -1)
		switch (c) {
		case 'n':
			set->rows = strtoul(optarg, NULL, 10);
			break;
		case 'q':
			set->queries = strtoul(optarg, NULL, 10);
			break;
		case 'b':
			set->bits = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'x':
			set->by_code = true;
			break;
		case 't':
			set->threads = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			set->fvecs = optarg;
			break;
		case 'm':
			if (!ann_metric_parse(optarg, &set->metric))
				exit(2);
			break;
		case 'r':
			set->params.degree = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			set->params.cap = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'l':
			set->params.build_effort = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'a':
			set->params.alpha = strtof(optarg, NULL);
			break;
		case 'k':
			set->rerank = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'd':
			set->cycles = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		default:
			exit(2);
		}
}

int main(int argc, char **argv)
{
	struct bench bench = {0};

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, &bench.set);
	read_data(&bench);
	bench.truth = must_alloc(bench.n_queries * K, sizeof(*bench.truth));
	if (bench.set.cycles > 0) {
		churn(&bench);
	} else {
		build(&bench, bench.set.threads);
		find_truth(&bench);
		table(&bench);
		stop_graph(&bench);
	}
	mem_free(bench.truth);
	if (bench.set.fvecs == NULL)
		mem_free(bench.queries);
	mem_free(bench.vectors);
	return 0;
}
