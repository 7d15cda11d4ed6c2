/*
 * compare.c - vecfs and other indexes on the same data, in one process and one run.
 *
 *   indexes builds those that are not there, which the next part would do too
 *   fvecs   writes the vectors to FOLDER/SET-ROWS.fvecs
 *   curves  recall and queries a second at many efforts, 1 and 2 threads, the indexes in turn
 *   build   inserts a second and memory
 *   churn   recall under deletes and inserts
 *   mount   the same collection through `run` of a mount (RUN_MOUNT, NULL_MOUNT: see scripts/bench-ann)
 *   memory  with less memory than the data has (MEMORY_GROUP: a group of processes to join)
 *
 * Usage: compare [-f FOLDER] [-r ROUNDS] [-q QUERIES] [-n ROWS] [-p PEER,...] SET PART...
 * SET: fashion, glove, synth (dataset.h). Results: FOLDER/SET-PART.tsv. Indexes that stand in FOLDER
 * (build/bench) are used as they are. Exit 77: the data is not there.
 */
#include "tests/bench/compare.h"

#include <getopt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ann/workers.h"
#include "store/base.h"
#include "store/mem.h"
#include "tests/bench/machine.h"
#include "tests/demo/progress.h"

void compare_must(int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "compare: %s failed\n", what);
	exit(1);
}

void *compare_alloc(size_t count, size_t size)
{
	void *at = mem_zalloc(count, size);

	compare_must(at == NULL ? -1 : 0, "memory");
	return at;
}

struct peer_config compare_config(const struct compare *compare, const struct peer_ops *peer,
				  uint32_t threads, char *path, size_t path_size)
{
	const struct dataset *set = &compare->set;

	snprintf(path, path_size, "%s/%s-%zu.%s", compare->folder, set->name, set->n, peer->name);
	return (struct peer_config){.path = path,
				    .dim = set->dim,
				    .metric = (int)set->metric,
				    .most = set->n,
				    .threads = threads};
}

void *compare_index(const struct compare *compare, const struct peer_ops *peer)
{
	const struct dataset *set = &compare->set;
	struct peer_config config;
	void *self = NULL;
	double from = now();
	char path[4096];

	config = compare_config(compare, peer, workers_cores(), path, sizeof(path));
	if (access(path, R_OK) == 0) {
		compare_must(peer->open(&config, &self), path);
		return self;
	}
	compare_must(peer->create(&config, &self), path);
	compare_must(peer->insert(self, set->base, 0, set->n), path);
	fprintf(stderr, "%s: %zu rows in %.1f s\n", path, set->n, now() - from);
	compare_must(peer->save(self), path);
	return self;
}

/* --- results --- */

FILE *compare_results(const struct compare *compare, const char *part)
{
	char path[4096];
	FILE *results;

	snprintf(path, sizeof(path), "%s/%s-%s.tsv", compare->folder, compare->set.name, part);
	results = fopen(path, "w");
	compare_must(results == NULL ? -1 : 0, path);
	machine_describe(results);
	fprintf(results, "# set\t%s\n# rows\t%zu\n# dimensions\t%u\n# metric\t%s\n",
		compare->set.name, compare->set.n, compare->set.dim,
		ann_metric_name(compare->set.metric));
	fprintf(results, "# queries\t%zu\n# rounds\t%u\n", compare->queries, compare->rounds);
	machine_load(results, "load before");
	return results;
}

void compare_results_end(FILE *results)
{
	machine_load(results, "load after");
	compare_must(fclose(results), "results");
}

/* --- asking --- */

struct asker {
	const struct compare *compare;
	const struct peer_ops *peer;
	void *self;
	uint32_t effort;
	size_t first, end;
	pthread_barrier_t *start;
	float *took; /* of each query, seconds */
	double cpu, began, ended;
};

static double thread_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *ask_share(void *ctx)
{
	struct asker *asker = ctx;
	const struct dataset *set = &asker->compare->set;
	uint32_t rows[PEER_K];
	double last, cpu;
	size_t n;

	pthread_barrier_wait(asker->start);
	cpu = thread_cpu();
	asker->began = last = now();
	for (size_t q = asker->first; q < asker->end; q++) {
		double at;

		compare_must(asker->peer->search(asker->self, set->queries + q * set->dim,
						 asker->effort, rows, &n),
			     asker->peer->name);
		at = now();
		asker->took[q] = (float)(at - last);
		last = at;
	}
	asker->ended = last;
	asker->cpu = thread_cpu() - cpu;
	return NULL;
}

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

void compare_ask(const struct compare *compare, const struct peer_ops *peer, void *self,
		 uint32_t effort, uint32_t threads, struct compare_pass *pass_out)
{
	float *took = compare_alloc(compare->queries, sizeof(*took));
	struct asker askers[COMPARE_THREADS_MAX];
	pthread_t ids[COMPARE_THREADS_MAX];
	double began = 0, ended = 0;
	pthread_barrier_t start;

	memset(pass_out, 0, sizeof(*pass_out));
	pthread_barrier_init(&start, NULL, threads);
	for (uint32_t i = 0; i < threads; i++) {
		askers[i] = (struct asker){.compare = compare,
					   .peer = peer,
					   .self = self,
					   .effort = effort,
					   .first = compare->queries * i / threads,
					   .end = compare->queries * (i + 1) / threads,
					   .start = &start,
					   .took = took};
		if (i > 0)
			compare_must(pthread_create(&ids[i], NULL, ask_share, &askers[i]),
				     "a thread");
	}
	(void)ask_share(&askers[0]);
	for (uint32_t i = 0; i < threads; i++) {
		if (i > 0)
			pthread_join(ids[i], NULL);
		began = i == 0 || askers[i].began < began ? askers[i].began : began;
		ended = askers[i].ended > ended ? askers[i].ended : ended;
		pass_out->cpu += askers[i].cpu;
	}
	pthread_barrier_destroy(&start);
	qsort(took, compare->queries, sizeof(*took), compare_floats);
	pass_out->wall = ended - began;
	pass_out->p99 = (double)took[(compare->queries - 1) * 99 / 100];
	pass_out->asked = compare->queries;
	mem_free(took);
}

double compare_recall(const struct compare *compare, const struct peer_ops *peer, void *self,
		      uint32_t effort)
{
	const struct dataset *set = &compare->set;
	size_t right = 0;

	for (size_t q = 0; q < compare->queries; q++) {
		uint32_t rows[PEER_K];
		size_t n;

		compare_must(peer->search(self, set->queries + q * set->dim, effort, rows, &n),
			     peer->name);
		for (size_t i = 0; i < n; i++)
			right += dataset_is_near(set, q, rows[i]);
	}
	return (double)right / (double)(compare->queries * PEER_K);
}

/* --- the program --- */

static void take_peers(struct compare *compare, const char *wanted)
{
	static const struct peer_ops *const all[COMPARE_PEERS] = {&peer_vecfs, &peer_hnswlib,
								  &peer_faiss};

	compare->n_peers = 0;
	for (size_t i = 0; i < COMPARE_PEERS; i++)
		if (wanted == NULL || strstr(wanted, all[i]->name) != NULL)
			compare->peers[compare->n_peers++] = all[i];
}

static void make_indexes(struct compare *compare)
{
	for (size_t p = 0; p < compare->n_peers; p++)
		compare->peers[p]->close(compare_index(compare, compare->peers[p]));
}

/* All vectors as a file that `vecfs import` reads. */
static void write_fvecs(struct compare *compare)
{
	const struct dataset *set = &compare->set;
	uint8_t dim[4];
	char path[4096];
	bool good = true;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s-%zu.fvecs", compare->folder, set->name, set->n);
	file = fopen(path, "wb");
	compare_must(file == NULL ? -1 : 0, path);
	put_u32(dim, set->dim);
	for (size_t i = 0; i < set->n && good; i++)
		good = fwrite(dim, sizeof(dim), 1, file) == 1 &&
		       fwrite(set->base + i * set->dim, sizeof(float), set->dim, file) == set->dim;
	good = fclose(file) == 0 && good;
	compare_must(good ? 0 : -1, path);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct compare *compare);
	} parts[] = {{"indexes", make_indexes},	 {"fvecs", write_fvecs},
		     {"curves", compare_curves}, {"build", compare_build},
		     {"churn", compare_churn},	 {"mount", compare_mount},
		     {"memory", compare_memory}};
	struct compare compare = {.folder = "build/bench", .rounds = 5, .queries = 2000};
	const char *wanted = NULL;
	size_t rows = 0;
	int option, result;

	while ((option = getopt(argc, argv, "f:r:q:n:p:")) != -1) {
		if (option == 'f')
			compare.folder = optarg;
		else if (option == 'r')
			compare.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'q')
			compare.queries = strtoul(optarg, NULL, 10);
		else if (option == 'n')
			rows = strtoul(optarg, NULL, 10);
		else if (option == 'p')
			wanted = optarg;
		else
			return 2;
	}
	if (optind + 2 > argc || compare.rounds == 0 || compare.queries == 0)
		return 2;
	take_peers(&compare, wanted);
	result = dataset_load(argv[optind], compare.folder, rows, &compare.set);
	if (result != 0)
		return result == 1 ? 77 : 1;
	if (compare.queries > compare.set.n_queries)
		compare.queries = compare.set.n_queries;
	for (int a = optind + 1; a < argc; a++)
		for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
			if (strcmp(argv[a], parts[i].name) == 0)
				parts[i].run(&compare);
	dataset_release(&compare.set);
	return 0;
}
