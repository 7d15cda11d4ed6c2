/*
 * bench_durability.c - what durability costs, on a real file system, without a mount.
 *
 *   log      puts a second through the collection until all are linked, durability=log against
 *            none, in alternating pairs
 *   put      the same through the store alone: no linking
 *   recover  MB of log a second when a killed store is opened: scan, replay, checkpoint
 *   pause    the longest read and write while checkpoints run, on a store of many vectors
 *   close    put and sync by 8 threads against 1
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
#include <time.h>
#include <unistd.h>

#include "ann/ann.h"
#include "store/base.h"
#include "store/err.h"
#include "store/io.h"
#include "store/mem.h"
#include "store/store.h"

#define DIM 784u
#define ROUNDS_MAX 99u
#define WRITERS 8u

static const char *directory = "build";
static unsigned rounds = 5;
static uint32_t vectors = 1000000;
static char path[4096];

static void must(int err, const char *what, const struct err_msg *msg)
{
	if (err == 0)
		return;
	fprintf(stderr, "bench_durability: %s: %s %s\n", what, err_str(err),
		msg != NULL ? msg->text : "");
	exit(1);
}

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

/* Of this process, all threads: steadier than time on a machine that others use too. */
static double cpu(void)
{
	return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static void remove_store(void)
{
	struct store_io *io;
	uint64_t *seqs = NULL;
	size_t n = 0;

	must(io_posix_new(path, &io, NULL), "path", NULL);
	if (io->ops->open(io, true, NULL) == 0 && io->ops->log_list(io, &seqs, &n) == 0)
		for (size_t i = 0; i < n; i++)
			must(io->ops->log_remove(io, seqs[i]), "remove", NULL);
	mem_free(seqs);
	io->ops->close(io);
	(void)unlink(path); /* may not be there */
}

/* --- stores --- */

struct bench {
	struct store_io *io;
	struct store *store;
};

static void open_store(struct bench *b, uint32_t value_size, const struct store_opts *opts)
{
	struct store_geometry geometry = {.value_size = value_size, .kind = ANN_L2};
	struct err_msg msg = {{0}};

	if (access(path, F_OK) != 0) {
		must(io_posix_new(path, &b->io, &msg), "path", &msg);
		must(store_create(b->io, &geometry, &msg), "create", &msg);
		b->io->ops->close(b->io);
	}
	must(io_posix_new(path, &b->io, &msg), "path", &msg);
	must(store_open(b->io, opts, &b->store, NULL, &msg), "open", &msg);
}

static void close_store(struct bench *b, bool orderly)
{
	if (orderly)
		must(store_close(b->store), "close", NULL);
	else
		store_abandon(b->store);
	b->io->ops->close(b->io);
}

/* Numbers as of an embedding: they hardly compress. */
static void fill(uint32_t id, float *vector, uint32_t dim)
{
	uint64_t z = (uint64_t)id * 0x9e3779b97f4a7c15u;

	for (uint32_t i = 0; i < dim; i++) {
		z += 0x9e3779b97f4a7c15u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		vector[i] = (float)(int32_t)(z >> 32) * 0x1p-31f;
	}
}

static void put(struct store *store, uint32_t id, uint32_t dim)
{
	static _Thread_local float vector[DIM];
	struct store_attr attr = {.mode = 0600};
	char name[32];
	int len = snprintf(name, sizeof(name), "v%u", (unsigned)id);

	fill(id, vector, dim);
	store_wait_room(store);
	must(store_put(store, name, (size_t)len, vector, dim * sizeof(float), &attr, 0, NULL, NULL,
		       NULL),
	     "put", NULL);
}

/* --- figures --- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void show_spread(const char *what, double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	printf("%s: median %.3f (%.3f ... %.3f), %u rounds\n", what, values[n / 2], values[0],
	       values[n - 1], n);
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

	remove_store();
	open_store(&b, DIM * 4, &opts);
	must(ann_open(b.store, &ann_opts, &ann, NULL, NULL), "collection", NULL);
	start = now();
	for (uint32_t id = 0; id < N; id++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "v%u", (unsigned)id);

		fill(id, vector, DIM);
		ann_wait_room(ann);
		must(ann_put(ann, name, (size_t)len, vector, DIM, &attr, 0, &ino, NULL), "put",
		     NULL);
	}
	do {
		usleep(1000);
		ann_get_stats(ann, &stats);
	} while (stats.pending > 0);
	rate = N / (now() - start);
	must(ann_close(ann), "close the collection", NULL);
	close_store(&b, true);
	return rate;
}

static double put_rate(enum wal_durability durability)
{
	enum { N = 40000 };
	struct store_opts opts = {
		.cache_bytes = 1 << 30, .durability = durability, .background = true};
	struct bench b;
	double start, rate;

	remove_store();
	open_store(&b, DIM * 4, &opts);
	start = now();
	for (uint32_t id = 0; id < N; id++)
		put(b.store, id, DIM);
	rate = N / (now() - start);
	close_store(&b, true);
	return rate;
}

static void bench_pairs(const char *what, double (*rate)(enum wal_durability))
{
	double ratios[ROUNDS_MAX];

	for (unsigned r = 0; r < rounds; r++) {
		bool log_first = r % 2 == 0;
		double first = rate(log_first ? WAL_LOG : WAL_NONE);
		double second = rate(log_first ? WAL_NONE : WAL_LOG);
		double with = log_first ? first : second, without = log_first ? second : first;

		ratios[r] = with / without;
		printf("%s: log %.0f/s, none %.0f/s, ratio %.3f\n", what, with, without, ratios[r]);
		fflush(stdout);
	}
	show_spread(what, ratios, rounds);
}

/* --- recovery --- */

/* Opens a store that was killed with a long log: first read-only, then with the checkpoint. */
static void bench_recover_dim(uint32_t dim, uint32_t n)
{
	struct store_opts opts = {.cache_bytes = 2ull << 30, .checkpoint_bytes = 16ull << 30};
	struct store_opts load = {.cache_bytes = 2ull << 30, .read_only = true};
	double scanned[ROUNDS_MAX], opened[ROUNDS_MAX];

	for (unsigned r = 0; r < rounds; r++) {
		double start, middle, end, megabytes, busy, busy_open;
		struct store_stats stats;
		struct bench b;

		remove_store();
		open_store(&b, dim * 4, &opts);
		for (uint32_t id = 0; id < n; id++)
			put(b.store, id, dim);
		must(store_sync(b.store), "sync", NULL);
		store_get_stats(b.store, &stats);
		megabytes = (double)stats.wal_bytes / 1e6;
		close_store(&b, false);
		start = now();
		busy = cpu();
		open_store(&b, 0, &load);
		middle = now();
		busy = cpu() - busy;
		close_store(&b, false);
		busy_open = cpu();
		end = now();
		open_store(&b, 0, &opts);
		scanned[r] = megabytes / (middle - start);
		opened[r] = megabytes / (now() - end);
		busy_open = cpu() - busy_open;
		printf("recover, %u dimensions: %.0f MB of log; read and replay %.0f MB/s (%.2f s of "
		       "processor), with the checkpoint %.0f MB/s (%.2f s)\n",
		       (unsigned)dim, megabytes, scanned[r], busy, opened[r], busy_open);
		fflush(stdout);
		close_store(&b, true);
	}
	show_spread("recover, read and replay, MB/s", scanned, rounds);
	show_spread("recover, with the checkpoint, MB/s", opened, rounds);
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

	must(samples == NULL ? ERR_NOMEM : 0, "memory", NULL);
	while (!atomic_load(&p->stop)) {
		float value[128];
		char name[32];
		double start;
		int len;

		z = z * 6364136223846793005u + 1442695040888963407u;
		len = snprintf(name, sizeof(name), "v%u", (unsigned)((z >> 33) % vectors));
		start = now();
		must(store_get(p->store, name, (size_t)len, NULL, value), "get", NULL);
		if (n < SAMPLES)
			samples[n++] = now() - start;
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

	must(samples == NULL ? ERR_NOMEM : 0, "memory", NULL);
	while (!atomic_load(&p->stop)) {
		double start = now();

		put(p->store, atomic_fetch_add(&p->next, 1), 128);
		if (n < SAMPLES)
			samples[n++] = now() - start;
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
	double start = now();
	unsigned n = 0;

	atomic_store(&p->stop, false);
	(void)pthread_create(&reader, NULL, read_on, p);
	(void)pthread_create(&writer, NULL, write_on, p);
	while (now() - start < seconds) {
		usleep(300000);
		if (checkpoints) {
			must(store_checkpoint(p->store), "checkpoint", NULL);
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
	double start = now();

	remove_store();
	open_store(&b, 128 * 4, &opts);
	for (uint32_t id = 0; id < vectors; id++)
		put(b.store, id, 128);
	must(store_checkpoint(b.store), "checkpoint", NULL);
	printf("pause: %u vectors of 128 written in %.1f s\n", (unsigned)vectors, now() - start);
	p.store = b.store;
	atomic_store(&p.next, vectors);
	for (unsigned r = 0; r < rounds; r++) {
		measure_pauses(&p, false, 4);
		/* a burst between checkpoints, so that each has much to write */
		for (uint32_t i = 0; i < 40000; i++)
			put(b.store, atomic_fetch_add(&p.next, 1), 128);
		measure_pauses(&p, true, 4);
	}
	store_get_stats(b.store, &stats);
	printf("pause: commits were stopped %.3f ms at most\n",
	       (double)stats.checkpoint_pause_ns_max * 1e-6);
	close_store(&b, true);
}

/* --- group commit --- */

struct syncer {
	struct store *store;
	_Atomic uint32_t *next;
	double until;
	uint32_t done;
};

static void *sync_on(void *arg)
{
	struct syncer *s = arg;

	while (now() < s->until) {
		put(s->store, atomic_fetch_add(s->next, 1), 128);
		must(store_sync(s->store), "sync", NULL);
		s->done++;
	}
	return NULL;
}

static double sync_rate(struct store *store, unsigned threads, _Atomic uint32_t *next)
{
	const double seconds = 3;
	struct syncer syncers[WRITERS];
	pthread_t ids[WRITERS];
	uint32_t done = 0;

	for (unsigned t = 0; t < threads; t++) {
		syncers[t] = (struct syncer){store, next, now() + seconds, 0};
		(void)pthread_create(&ids[t], NULL, sync_on, &syncers[t]);
	}
	for (unsigned t = 0; t < threads; t++) {
		(void)pthread_join(ids[t], NULL);
		done += syncers[t].done;
	}
	return done / seconds;
}

static void bench_close(void)
{
	struct store_opts opts = {
		.cache_bytes = 1 << 30, .durability = WAL_CLOSE, .background = true};
	double ratios[ROUNDS_MAX];
	_Atomic uint32_t next = 0;
	struct bench b;

	remove_store();
	open_store(&b, 128 * 4, &opts);
	for (unsigned r = 0; r < rounds; r++) {
		double one = sync_rate(b.store, 1, &next),
		       many = sync_rate(b.store, WRITERS, &next);

		ratios[r] = many / one;
		printf("close: 1 writer %.0f/s, %u writers %.0f/s, ratio %.2f\n", one, WRITERS,
		       many, ratios[r]);
		fflush(stdout);
	}
	show_spread("close, 8 writers against 1", ratios, rounds);
	close_store(&b, true);
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
			rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'n')
			vectors = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (rounds == 0 || rounds > ROUNDS_MAX || vectors == 0)
		return 2;
	(void)snprintf(path, sizeof(path), "%s/bench-durability-%ld", directory, (long)getpid());
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		bool wanted = optind == argc;

		for (int a = optind; a < argc; a++)
			wanted = wanted || strcmp(argv[a], parts[i].name) == 0;
		if (wanted)
			parts[i].run();
	}
	remove_store();
	return 0;
}
