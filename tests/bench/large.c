/*
 * large.c - more vectors than fit into memory, from the first to the last day of a collection: import,
 * opening again, queries, half of it deleted, as many others inserted, queries again.
 *
 *   large file OUT.fbin ROWS DIM                          writes the vectors (synth.h)
 *   large run PROGRAM FILE STORE ROWS DIM RESULTS.tsv     the rest; STORE is new and empty
 *
 * Every process that touches the store is in the group MEMORY_GROUP (a directory of the memory
 * controller, made by scripts/bench-ann), which may hold MEMORY_LIMIT bytes, page cache included. The
 * truth of a query is a scan of all stored vectors.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ann/ann.h"
#include "fs/memory.h"
#include "store/base.h"
#include "store/mem.h"
#include "tests/bench/machine.h"
#include "tests/bench/peer.h"
#include "tests/bench/synth.h"
#include "tests/demo/progress.h"

#define CLUSTERS 1000u
#define RANK 32u
#define BLOCK 8192u /* rows made and stored at once */
#define QUERIES 200u
#define FIRST_QUERY (1ull << 40)

struct large {
	uint32_t rows, dim;
	struct synth *synth;
	float *block, *queries;
	struct peer_config config;
	unsigned long own_kib; /* resident, for vectors that are made and the like */
	void *vecfs;
	FILE *results;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "large: %s failed\n", what);
	exit(1);
}

static void sizes(struct large *large, const char *rows, const char *dim)
{
	large->rows = (uint32_t)strtoul(rows, NULL, 10);
	large->dim = (uint32_t)strtoul(dim, NULL, 10);
	must(large->rows > BLOCK && large->dim > 0, "the number of rows and dimensions");
}

static void start(struct large *large)
{
	large->synth = synth_new(large->dim, CLUSTERS, RANK);
	large->block = mem_alloc((size_t)BLOCK * large->dim * sizeof(float));
	must(large->synth != NULL && large->block != NULL, "memory");
}

/* --- the file --- */

static void write_file(struct large *large, const char *path)
{
	FILE *file = fopen(path, "wb");
	uint8_t head[8];
	bool good = file != NULL;

	put_u32(head, large->rows);
	put_u32(head + 4, large->dim);
	good = good && fwrite(head, sizeof(head), 1, file) == 1;
	for (uint32_t at = 0; at < large->rows && good; at += BLOCK) {
		size_t n = large->rows - at < BLOCK ? large->rows - at : BLOCK;

		synth_make(large->synth, at, n, large->block);
		good = fwrite(large->block, large->dim * sizeof(float), n, file) == n;
	}
	must(good && fclose(file) == 0, path);
}

/* --- memory --- */

/*
 * The most that this process had resident since the last call, in MiB, beyond what it had before the
 * store was opened; 0 where nobody says.
 */
static double peak_mib(const struct large *large)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[256];
	int fd;

	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtoul(line + 6, NULL, 10);
	if (status != NULL)
		fclose(status);
	fd = open("/proc/self/clear_refs", O_WRONLY);
	if (fd >= 0 && write(fd, "5", 1) != 1)
		kib = 0;
	if (fd >= 0)
		close(fd);
	return kib > large->own_kib ? (double)(kib - large->own_kib) / 1024 : 0;
}

/* --- the steps --- */

static void step_line(struct large *large, const char *step, double seconds, double rows,
		      double mib)
{
	fprintf(large->results, "%s\t%.1f\t%.0f\t%.0f\t\t\t\t\t\t\n", step, seconds, rows / seconds,
		mib);
	fflush(large->results);
	fprintf(stderr, "%s: %.1f s, %.0f MiB\n", step, seconds, mib);
}

static void import(struct large *large, const char *program, const char *file, const char *store)
{
	double from = now();
	struct rusage usage;
	int status = -1;
	pid_t child = fork();

	must(child >= 0, "fork");
	if (child == 0) {
		must(machine_join_group() == 0, "joining MEMORY_GROUP");
		execl(program, program, "import", store, file, (char *)NULL);
		_exit(127);
	}
	must(wait4(child, &status, 0, &usage) == child && status == 0, "vecfs import");
	step_line(large, "import", now() - from, large->rows, (double)usage.ru_maxrss / 1024);
}

static bool is_among(const uint32_t *rows, size_t n, uint32_t row)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i] == row)
			return true;
	return false;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Queries at one effort, 0: the default. truth: PEER_K rows for each. */
static void ask(struct large *large, const char *when, uint32_t effort, const uint32_t *truth)
{
	struct peer_reads before, after;
	double took[QUERIES], sum = 0;
	size_t right = 0;

	peer_vecfs_reads(large->vecfs, &before);
	for (size_t q = 0; q < QUERIES; q++) {
		double from = now();
		uint32_t rows[PEER_K];
		size_t n = 0;

		must(peer_vecfs.search(large->vecfs, large->queries + q * large->dim, effort, rows,
				       &n) == 0,
		     "a query");
		took[q] = now() - from;
		sum += took[q];
		for (size_t i = 0; i < PEER_K; i++)
			right += is_among(rows, n, truth[q * PEER_K + i]);
	}
	peer_vecfs_reads(large->vecfs, &after);
	qsort(took, QUERIES, sizeof(*took), compare_doubles);
	fprintf(large->results, "queries %s\t%.1f\t%.0f\t%.0f\t%u\t%.4f\t%.0f\t%.0f\t%.1f\t%.1f\n",
		when, sum, QUERIES / sum, peak_mib(large), effort,
		(double)right / (QUERIES * PEER_K), sum / QUERIES * 1e6,
		took[QUERIES * 99 / 100 - 1] * 1e6,
		(double)(after.rounds - before.rounds) / QUERIES,
		(double)(after.reads - before.reads) / QUERIES);
	fflush(large->results);
}

static void ask_all(struct large *large, const char *when)
{
	static const uint32_t efforts[] = {20, 40, 80, 160};
	uint32_t truth[QUERIES * PEER_K];
	double from = now();

	must(peer_vecfs_exact(large->vecfs, large->queries, QUERIES, truth) == 0, "the truth");
	step_line(large, "exact scan for the truth", now() - from, 0, peak_mib(large));
	for (size_t i = 0; i < sizeof(efforts) / sizeof(*efforts); i++)
		ask(large, when, efforts[i], truth);
}

static void insert(struct large *large, uint32_t first, uint32_t end)
{
	double from = now();

	for (uint32_t at = first; at < end; at += BLOCK) {
		size_t n = end - at < BLOCK ? end - at : BLOCK;

		synth_make(large->synth, at, n, large->block);
		must(peer_vecfs.insert(large->vecfs, large->block, at, n) == 0, "an insert");
	}
	step_line(large, "insert as many others", now() - from, end - first, peak_mib(large));
}

static void run(struct large *large, const char *store)
{
	uint32_t half = large->rows / 2;
	double from;

	must(machine_join_group() == 0, "joining MEMORY_GROUP");
	large->own_kib = (unsigned long)(memory_resident() / 1024);
	(void)peak_mib(large);
	large->config.path = store;
	from = now();
	must(peer_vecfs.open(&large->config, &large->vecfs) == 0, store);
	step_line(large, "open", now() - from, 0, peak_mib(large));
	fprintf(large->results, "# code bits\t%u\n", peer_vecfs_bits(large->vecfs));
	ask_all(large, "after import");
	from = now();
	must(peer_vecfs.remove(large->vecfs, 0, half) == 0, "deletion");
	step_line(large, "delete half", now() - from, half, peak_mib(large));
	ask_all(large, "after deletion");
	insert(large, large->rows, large->rows + half);
	ask_all(large, "after inserts");
	from = now();
	peer_vecfs.close(large->vecfs);
	step_line(large, "close", now() - from, 0, peak_mib(large));
}

static void begin_results(struct large *large, const char *path, const char *limit)
{
	large->results = fopen(path, "w");
	must(large->results != NULL, path);
	machine_describe(large->results);
	fprintf(large->results, "# set\tlarge\n# rows\t%u\n# dimensions\t%u\n# metric\tl2\n",
		large->rows, large->dim);
	fprintf(large->results, "# limit, bytes\t%s\n", limit);
	machine_load(large->results, "load before");
	fprintf(large->results, "step\tseconds\ta second\tpeak of the process, MiB\teffort\t"
				"recall@10\tmean, µs\tp99, µs\twaits\treads\n");
}

static void prepare(struct large *large, const char *limit)
{
	large->config.memory = strtoull(limit, NULL, 10);
	large->config.cache = large->config.memory / 4; /* as cache=auto */
	large->config.dim = large->dim;
	large->config.metric = ANN_L2;
	large->config.most = (size_t)large->rows * 3 / 2;
	large->config.threads = 1;
	large->queries = mem_alloc((size_t)QUERIES * large->dim * sizeof(float));
	must(large->queries != NULL, "memory");
	synth_make(large->synth, FIRST_QUERY, QUERIES, large->queries);
}

int main(int argc, char **argv)
{
	struct large large = {0};
	const char *limit = getenv("MEMORY_LIMIT");

	if (argc == 5 && strcmp(argv[1], "file") == 0) {
		sizes(&large, argv[3], argv[4]);
		start(&large);
		write_file(&large, argv[2]);
	} else if (argc == 8 && strcmp(argv[1], "run") == 0 && limit != NULL) {
		sizes(&large, argv[5], argv[6]);
		begin_results(&large, argv[7], limit);
		import(&large, argv[2], argv[3], argv[4]); /* while this process is small itself */
		start(&large);
		prepare(&large, limit);
		run(&large, argv[4]);
		machine_load(large.results, "load after");
		must(fclose(large.results) == 0, argv[7]);
	} else {
		fprintf(stderr,
			"usage: large file OUT.fbin ROWS DIM\n"
			"       MEMORY_LIMIT=BYTES large run PROGRAM FILE STORE ROWS DIM RESULTS\n");
		return 2;
	}
	mem_free(large.queries);
	mem_free(large.block);
	synth_free(large.synth);
	return 0;
}
