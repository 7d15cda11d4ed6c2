/*
 * bench_durability.c - what durability costs, on a real file system, without a mount.
 *
 *   log      puts a second through the collection until all are linked, durability=log against
 *            none, in alternating pairs
 *   put      the same through the store alone: no linking
 *   recover  MB of log a second when a killed store is opened: scan, replay, checkpoint
 *   pause    the longest read and write while checkpoints run, on a store of many vectors
 *   close    put and sync by 8 threads against 1, as the disk is and with slower syncs
 *
 * Usage: bench_durability [-d DIRECTORY] [-r ROUNDS] [-n VECTORS] [PART]...
 * The store is made in DIRECTORY (build) and removed at the end.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ann/ann.h"
#include "store/mem.h"
#include "tests/bench/durability.h"

static const char *directory = "build";
static uint32_t vectors = 1000000;

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* --- log against none --- */

/* Vectors a second until all are linked. */
static double linked_rate(enum wal_durability durability)
{
	enum { N = 10000 };
	struct store_opts opts = {
		.cache_bytes = 1 << 30, .durability = durability, .background = true};
	struct ann_opts ann_opts = {.threads = 1, .background = true};
	struct store_attr attr = {.mode = 0600};
	static float vector[DIM];
	struct ann_stats stats;
	struct bench b;
	struct ann *ann;
	double start, rate;
	uint64_t ino;

	bench_remove();
	bench_open(&b, DIM * 4, &opts);
	bench_must(ann_open(b.store, &ann_opts, &ann, NULL, NULL), "collection", NULL);
	start = bench_now();
	for (uint32_t id = 0; id < N; id++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "v%u", (unsigned)id);

		bench_fill(id, vector, DIM);
		ann_wait_room(ann);
		bench_must(ann_put(ann, name, (size_t)len, vector, DIM, &attr, 0, &ino, NULL),
			   "put", NULL);
	}
	do {
		usleep(1000);
		ann_get_stats(ann, &stats);
	} while (stats.pending > 0);
	rate = N / (bench_now() - start);
	bench_must(ann_close(ann), "close the collection", NULL);
	bench_shut(&b, true);
	return rate;
}

static double put_rate(enum wal_durability durability)
{
	enum { N = 40000 };
	struct store_opts opts = {
		.cache_bytes = 1 << 30, .durability = durability, .background = true};
	struct bench b;
	double start, rate;

	bench_remove();
	bench_open(&b, DIM * 4, &opts);
	start = bench_now();
	for (uint32_t id = 0; id < N; id++)
		bench_store_put(b.store, id, DIM);
	rate = N / (bench_now() - start);
	bench_shut(&b, true);
	return rate;
}

static void bench_pairs(const char *what, double (*rate)(enum wal_durability))
{
	double ratios[ROUNDS_MAX];

	for (unsigned r = 0; r < bench_rounds; r++) {
		bool log_first = r % 2 == 0;
		double first = rate(log_first ? WAL_LOG : WAL_NONE);
		double second = rate(log_first ? WAL_NONE : WAL_LOG);
		double with = log_first ? first : second, without = log_first ? second : first;

		ratios[r] = with / without;
		printf("%s: log %.0f/s, none %.0f/s, ratio %.3f\n", what, with, without, ratios[r]);
		fflush(stdout);
	}
	bench_show_spread(what, ratios, bench_rounds);
}

/* --- recovery --- */

/* Opens a store that was killed with a long log: first read-only, then with the checkpoint. */
static void bench_recover_dim(uint32_t dim, uint32_t n)
{
	struct store_opts opts = {.cache_bytes = 2ull << 30, .checkpoint_bytes = 16ull << 30};
	struct store_opts load = {.cache_bytes = 2ull << 30, .read_only = true};
	double scanned[ROUNDS_MAX], opened[ROUNDS_MAX];

	for (unsigned r = 0; r < bench_rounds; r++) {
		double start, middle, end, megabytes, busy, busy_open;
		struct store_stats stats;
		struct bench b;

		bench_remove();
		bench_open(&b, dim * 4, &opts);
		for (uint32_t id = 0; id < n; id++)
			bench_store_put(b.store, id, dim);
		bench_must(store_sync(b.store), "sync", NULL);
		store_get_stats(b.store, &stats);
		megabytes = (double)stats.wal_bytes / 1e6;
		bench_shut(&b, false);
		start = bench_now();
		busy = bench_cpu();
		bench_open(&b, 0, &load);
		middle = bench_now();
		busy = bench_cpu() - busy;
		bench_shut(&b, false);
		busy_open = bench_cpu();
		end = bench_now();
		bench_open(&b, 0, &opts);
		scanned[r] = megabytes / (middle - start);
		opened[r] = megabytes / (bench_now() - end);
		busy_open = bench_cpu() - busy_open;
		printf("recover, %u dimensions: %.0f MB of log; read and replay %.0f MB/s (%.2f s of "
		       "processor), with the checkpoint %.0f MB/s (%.2f s)\n",
		       (unsigned)dim, megabytes, scanned[r], busy, opened[r], busy_open);
		fflush(stdout);
		bench_shut(&b, true);
	}
	bench_show_spread("recover, read and replay, MB/s", scanned, bench_rounds);
	bench_show_spread("recover, with the checkpoint, MB/s", opened, bench_rounds);
}

static void bench_recover(void)
{
	bench_recover_dim(DIM, 160000);
	bench_recover_dim(128, 700000);
}

/* --- pauses --- */

struct pauses {
	struct store *store;
	_Atomic bool stop;
	_Atomic uint32_t next;
	double read_max, write_max;   /* s, of the interval */
	double read_p999, write_p999; /* s */
};

#define SAMPLES (1u << 20)

static double share(double *samples, size_t n, double of)
{
	qsort(samples, n, sizeof(*samples), compare);
	return n > 0 ? samples[(size_t)((double)(n - 1) * of)] : 0;
}

static void *read_on(void *arg)
{
	double *samples = mem_zalloc(SAMPLES, sizeof(*samples));
	struct pauses *p = arg;
	uint64_t z = 1;
	size_t n = 0;

	bench_must(samples == NULL ? ERR_NOMEM : 0, "memory", NULL);
	while (!atomic_load(&p->stop)) {
		float value[128];
		char name[32];
		double start;
		int len;

		z = z * 6364136223846793005u + 1442695040888963407u;
		len = snprintf(name, sizeof(name), "v%u", (unsigned)((z >> 33) % vectors));
		start = bench_now();
		bench_must(store_get(p->store, name, (size_t)len, NULL, value), "get", NULL);
		if (n < SAMPLES)
			samples[n++] = bench_now() - start;
		if (n % 64 == 0)
			usleep(200);
	}
	p->read_p999 = share(samples, n, 0.999);
	p->read_max = n > 0 ? samples[n - 1] : 0;
	mem_free(samples);
	return NULL;
}

static void *write_on(void *arg)
{
	double *samples = mem_zalloc(SAMPLES, sizeof(*samples));
	struct pauses *p = arg;
	size_t n = 0;

	bench_must(samples == NULL ? ERR_NOMEM : 0, "memory", NULL);
	while (!atomic_load(&p->stop)) {
		double start = bench_now();

		bench_store_put(p->store, atomic_fetch_add(&p->next, 1), 128);
		if (n < SAMPLES)
			samples[n++] = bench_now() - start;
		usleep(100);
	}
	p->write_p999 = share(samples, n, 0.999);
	p->write_max = n > 0 ? samples[n - 1] : 0;
	mem_free(samples);
	return NULL;
}

/* Reads and writes for a while, with checkpoints or without. */
static void measure_pauses(struct pauses *p, bool checkpoints, double seconds)
{
	pthread_t reader, writer;
	double start = bench_now();
	unsigned n = 0;

	atomic_store(&p->stop, false);
	(void)pthread_create(&reader, NULL, read_on, p);
	(void)pthread_create(&writer, NULL, write_on, p);
	while (bench_now() - start < seconds) {
		usleep(300000);
		if (checkpoints) {
			bench_must(store_checkpoint(p->store), "checkpoint", NULL);
			n++;
		}
	}
	atomic_store(&p->stop, true);
	(void)pthread_join(reader, NULL);
	(void)pthread_join(writer, NULL);
	printf("pause: %2u checkpoints: longest read %.2f ms (p99.9 %.3f), longest write %.2f ms "
	       "(p99.9 %.3f)\n",
	       n, p->read_max * 1e3, p->read_p999 * 1e3, p->write_max * 1e3, p->write_p999 * 1e3);
	fflush(stdout);
}

static void bench_pause(void)
{
	struct store_opts opts = {.cache_bytes = 2ull << 30};
	struct store_stats stats;
	struct bench b;
	struct pauses p = {0};
	double start = bench_now();

	bench_remove();
	bench_open(&b, 128 * 4, &opts);
	for (uint32_t id = 0; id < vectors; id++)
		bench_store_put(b.store, id, 128);
	bench_must(store_checkpoint(b.store), "checkpoint", NULL);
	printf("pause: %u vectors of 128 written in %.1f s\n", (unsigned)vectors,
	       bench_now() - start);
	p.store = b.store;
	atomic_store(&p.next, vectors);
	for (unsigned r = 0; r < bench_rounds; r++) {
		measure_pauses(&p, false, 4);
		/* a burst between checkpoints, so that each has much to write */
		for (uint32_t i = 0; i < 40000; i++)
			bench_store_put(b.store, atomic_fetch_add(&p.next, 1), 128);
		measure_pauses(&p, true, 4);
	}
	store_get_stats(b.store, &stats);
	printf("pause: commits were stopped %.3f ms at most\n",
	       (double)stats.checkpoint_pause_ns_max * 1e-6);
	bench_shut(&b, true);
}

/* --- the parts --- */

static void bench_log(void)
{
	bench_pairs("log, until linked", linked_rate);
}

static void bench_put(void)
{
	bench_pairs("put, the store alone", put_rate);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} parts[] = {{"log", bench_log},
		     {"put", bench_put},
		     {"recover", bench_recover},
		     {"pause", bench_pause},
		     {"close", bench_close}};
	int option;

	while ((option = getopt(argc, argv, "d:r:n:")) != -1) {
		if (option == 'd')
			directory = optarg;
		else if (option == 'r')
			bench_rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'n')
			vectors = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (bench_rounds == 0 || bench_rounds > ROUNDS_MAX || vectors == 0)
		return 2;
	bench_place(directory);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		bool wanted = optind == argc;

		for (int a = optind; a < argc; a++)
			wanted = wanted || strcmp(argv[a], parts[i].name) == 0;
		if (wanted)
			parts[i].run();
	}
	bench_remove();
	return 0;
}
