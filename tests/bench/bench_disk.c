/*
 * bench_disk.c - searches with little memory: graph and vectors from disk through a small page cache.
 *
 * `build` makes a store with its graph, and beside it STORE.queries with queries and their true
 * neighbours. `run` opens it with a given cache, asks the queries one at a time for each effort, and
 * prints recall, time, and pages read by class; in the same run, interleaved, it measures random reads
 * of 4 KiB past the kernel's cache, one at a time, as the unit of time. Nothing of the store is in the
 * kernel's cache when a query begins, unless -w is given (a memory group then decides).
 *
 * Usage: bench_disk build STORE [-n ROWS] [-d DIM] [-q QUERIES] [-b BITS] [-t THREADS]
 *                   the images of fashion-MNIST, or with -d generated clusters
 *        bench_disk run STORE [-c CACHE_BYTES] [-e EFFORT[,EFFORT...]] [-q QUERIES] [-b BITS] [-w]
 *                   [-k BYTES]: larger stores are read past the kernel's cache (0)
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ann/ann.h"
#include "ann/dist.h"
#include "store/base.h"
#include "store/mem.h"

#define FASHION "/usr/share/datasets/fashion-mnist/"
#define K 10u
#define CLUSTERS 1000u
#define RANK 32u

struct settings {
	size_t rows, queries;
	uint32_t dim, bits, threads;
	uint64_t cache, kernel_cache;
	const char *efforts, *store;
	bool warm;
};

struct data {
	uint32_t dim;
	size_t n, n_queries;
	float *vectors, *queries;
	uint32_t *truth; /* K for each query */
};

static void must(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "bench_disk: %s: %s\n", what, err_str(err));
	exit(1);
}

static void *must_alloc(size_t count, size_t size)
{
	void *at = mem_zalloc(count, size);

	must(at == NULL ? ERR_NOMEM : 0, "memory");
	return at;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- data --- */

static uint64_t random_state = 1;

static double uniform(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return ((double)((x ^ x >> 31) >> 11) + 0.5) * 0x1p-53;
}

static float gauss(void)
{
	return (float)(sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()));
}

/* Clusters with directions of their own, each shorter than the one before, and noise. */
static void generate(struct data *data, size_t n, size_t n_queries, uint32_t dim)
{
	float *centres = must_alloc((size_t)CLUSTERS * dim, sizeof(float));
	float *directions = must_alloc((size_t)CLUSTERS * RANK * dim, sizeof(float));

	data->dim = dim;
	data->n = n;
	data->n_queries = n_queries;
	data->vectors = must_alloc((n + n_queries) * dim, sizeof(float));
	data->queries = data->vectors + n * dim;
	for (size_t i = 0; i < (size_t)CLUSTERS * dim; i++)
		centres[i] = gauss();
	for (size_t i = 0; i < (size_t)CLUSTERS * RANK * dim; i++)
		directions[i] = gauss();
	for (size_t i = 0; i < n + n_queries; i++) {
		size_t cluster = (size_t)(uniform() * CLUSTERS);
		const float *direction = directions + cluster * RANK * dim;
		float *v = data->vectors + i * dim;

		memcpy(v, centres + cluster * dim, dim * sizeof(float));
		for (uint32_t r = 0; r < RANK; r++, direction += dim) {
			float weight = 0.35f * gauss() / (1 + 0.2f * (float)r);

			for (uint32_t d = 0; d < dim; d++)
				v[d] += weight * direction[d];
		}
		for (uint32_t d = 0; d < dim; d++)
			v[d] += 0.38f * gauss();
	}
	mem_free(centres);
	mem_free(directions);
}

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

static void find_truth(struct data *data)
{
	const struct dist_kernels *kernels = dist_kernels();

	data->truth = must_alloc(data->n_queries * K, sizeof(uint32_t));
	for (size_t q = 0; q < data->n_queries; q++) {
		float best[K];
		uint32_t *ids = data->truth + q * K;
		size_t kept = 0;

		for (size_t i = 0; i < data->n; i++) {
			float d = kernels->l2sq(data->queries + q * data->dim,
						data->vectors + i * data->dim, data->dim);
			size_t at = kept < K ? kept++ : K - 1;

			if (at == K - 1 && kept == K && i >= K && d >= best[at])
				continue;
			for (; at > 0 && best[at - 1] > d; at--) {
				best[at] = best[at - 1];
				ids[at] = ids[at - 1];
			}
			best[at] = d;
			ids[at] = (uint32_t)i;
		}
	}
}

static FILE *open_queries(const char *store, const char *mode)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s.queries", store);
	file = fopen(path, mode);
	must(file == NULL ? ERR_IO : 0, path);
	return file;
}

static void save_queries(const struct data *data, const char *store)
{
	FILE *file = open_queries(store, "wb");
	uint64_t head[2] = {data->dim, data->n_queries};

	if (fwrite(head, sizeof(head), 1, file) != 1 ||
	    fwrite(data->queries, data->dim * sizeof(float), data->n_queries, file) !=
		    data->n_queries ||
	    fwrite(data->truth, K * sizeof(uint32_t), data->n_queries, file) != data->n_queries ||
	    fclose(file) != 0)
		must(ERR_IO, "writing the queries");
}

static void load_queries(struct data *data, const char *store)
{
	FILE *file = open_queries(store, "rb");
	uint64_t head[2];

	must(fread(head, sizeof(head), 1, file) != 1 ? ERR_IO : 0, "reading the queries");
	data->dim = (uint32_t)head[0];
	data->n_queries = head[1];
	data->queries = must_alloc(data->n_queries * data->dim, sizeof(float));
	data->truth = must_alloc(data->n_queries * K, sizeof(uint32_t));
	if (fread(data->queries, data->dim * sizeof(float), data->n_queries, file) !=
		    data->n_queries ||
	    fread(data->truth, K * sizeof(uint32_t), data->n_queries, file) != data->n_queries)
		must(ERR_IO, "reading the queries");
	fclose(file);
}

/* --- build --- */

static void put_all(struct ann *ann, const struct data *data)
{
	struct store_attr attr = {.mode = 0644};
	double from = now();

	for (size_t i = 0; i < data->n; i++) {
		struct err_msg msg = {{0}};
		char id[16];
		int len = snprintf(id, sizeof(id), "%zu", i);

		ann_wait_room(ann);
		must(ann_put(ann, id, (size_t)len, data->vectors + i * data->dim, data->dim, &attr,
			     0, NULL, &msg),
		     msg.text);
		if (i % 50000 == 0)
			fprintf(stderr, "%zu put, %.0f s\n", i, now() - from);
	}
}

static void build(const struct settings *set)
{
	struct store_geometry geometry = {.kind = ANN_L2};
	struct store_opts opts = {.cache_bytes = 4ull << 30, .background = true};
	struct ann_opts ann_opts = {
		.threads = set->threads, .code_bits = set->bits, .background = true};
	struct store_open_report report;
	struct ann_stats stats;
	struct store *store;
	struct store_io *io;
	struct ann *ann;
	struct err_msg msg = {{0}};
	struct data data = {0};

	if (set->dim != 0) {
		generate(&data, set->rows, set->queries, set->dim);
	} else {
		data.dim = 784;
		data.n = read_images(FASHION "train-images-idx3-ubyte.gz", set->rows,
				     &data.vectors);
		data.n_queries = read_images(FASHION "t10k-images-idx3-ubyte.gz", set->queries,
					     &data.queries);
	}
	find_truth(&data);
	save_queries(&data, set->store);
	must(io_posix_new(set->store, &io, &msg), msg.text);
	must(store_create(io, &geometry, &msg), msg.text);
	must(store_open(io, &opts, &store, &report, &msg), msg.text);
	must(ann_open(store, &ann_opts, &ann, NULL, &msg), msg.text);
	put_all(ann, &data);
	for (ann_get_stats(ann, &stats); stats.pending > 0; ann_get_stats(ann, &stats))
		usleep(100000);
	must(ann_close(ann), "closing the collection");
	must(store_close(store), "closing the store");
	io->ops->close(io);
}

/* --- run --- */

/* Counts what is read from the head: the medium's table of functions, with two of them replaced. */
static struct store_io_ops counting_ops;
static const struct store_io_ops *real_ops;
static uint64_t rounds, pieces, piece_bytes; /* one query runs at a time */

static int counted_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	rounds++;
	pieces++;
	piece_bytes += len;
	return real_ops->read(io, offset, buf, len);
}

static void counted_read_batch(struct store_io *io, struct store_io_read *reads, size_t n)
{
	rounds++;
	pieces += n;
	for (size_t i = 0; i < n; i++)
		piece_bytes += reads[i].length;
	real_ops->read_batch(io, reads, n);
}

static void count_reads(struct store_io *io)
{
	real_ops = io->ops;
	counting_ops = *real_ops;
	counting_ops.read = counted_read;
	counting_ops.read_batch = counted_read_batch;
	io->ops = &counting_ops;
}

struct run {
	const struct settings *set;
	const struct data *data;
	struct store *store;
	struct ann *ann;
	int fd, direct; /* the file, the second past the kernel's cache */
	off_t bytes;
	double device; /* sum of single reads, s */
	size_t reads;
	void *block;
};

static void read_device(struct run *run)
{
	off_t at = (off_t)(uniform() * (double)(run->bytes / 4096 - 1)) * 4096;
	double from = now();

	must(pread(run->direct, run->block, 4096, at) != 4096 ? ERR_IO : 0, "a direct read");
	run->device += now() - from;
	run->reads++;
}

static size_t hits_right(const struct ann_answer *answer, const uint32_t *truth)
{
	size_t right = 0;

	for (size_t i = answer->first[0]; i < answer->first[1]; i++) {
		char id[16] = {0};
		uint32_t number;

		memcpy(id, answer->ids + answer->hits[i].id_at, answer->hits[i].id_len);
		number = (uint32_t)strtoul(id, NULL, 10);
		for (size_t j = 0; j < K; j++)
			right += truth[j] == number;
	}
	return right;
}

static size_t ask(struct run *run, size_t q, uint32_t effort, double *seconds_out)
{
	struct ann_query query = {.k = K, .effort = effort};
	struct ann_answer answer = {0};
	struct err_msg msg = {{0}};
	size_t right;
	double from;

	if (!run->set->warm)
		(void)posix_fadvise(run->fd, 0, 0, POSIX_FADV_DONTNEED);
	from = now();
	must(ann_search(run->ann, run->data->queries + q * run->data->dim, 1, &query, &answer,
			&msg),
	     msg.text);
	*seconds_out = now() - from;
	right = hits_right(&answer, run->data->truth + q * K);
	ann_answer_release(&answer);
	return right;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run_effort(struct run *run, uint32_t effort)
{
	size_t n = run->data->n_queries < run->set->queries ? run->data->n_queries :
							      run->set->queries;
	double *seconds = must_alloc(n, sizeof(double)), sum = 0, each, device;
	struct store_stats s, t;
	struct ann_stats a, b;
	size_t right = 0;

	/* the last queries fill the cache */
	for (size_t q = 0; q < n / 2; q++)
		(void)ask(run, run->data->n_queries - 1 - q, effort, &each);
	run->device = 0;
	run->reads = 0;
	rounds = pieces = piece_bytes = 0;
	store_get_stats(run->store, &s);
	ann_get_stats(run->ann, &a);
	for (size_t q = 0; q < n; q++) {
		read_device(run);
		right += ask(run, q, effort, &seconds[q]);
		sum += seconds[q];
	}
	store_get_stats(run->store, &t);
	ann_get_stats(run->ann, &b);
	qsort(seconds, n, sizeof(double), by_size);
	device = run->device / (double)run->reads;
	printf("%6u  %.4f  %7.1f %7.1f %7.1f  %6.1f  %5.1f   %6.1f %6.1f %6.1f   %6.1f %6.1f "
	       "%6.1f   %6.1f %7.1f\n",
	       effort, (double)right / (double)(n * K), sum / (double)n * 1e6, seconds[n / 2] * 1e6,
	       seconds[n * 99 / 100] * 1e6, device * 1e6, sum / (double)n / device,
	       (double)(t.misses[STORE_CLASS_GRAPH] - s.misses[STORE_CLASS_GRAPH]) / (double)n,
	       (double)(t.misses[STORE_CLASS_VECTOR] - s.misses[STORE_CLASS_VECTOR]) / (double)n,
	       (double)(t.misses[STORE_CLASS_MAP] - s.misses[STORE_CLASS_MAP]) / (double)n,
	       (double)rounds / (double)n, (double)pieces / (double)n,
	       (double)piece_bytes / 1024 / (double)n, (double)(b.hops - a.hops) / (double)n,
	       (double)(b.distances - a.distances) / (double)n);
	fflush(stdout);
	mem_free(seconds);
}

static void show_memory(struct run *run)
{
	struct store_stats s;
	struct ann_stats a;
	char line[256];
	FILE *status = fopen("/proc/self/status", "r");

	store_get_stats(run->store, &s);
	ann_get_stats(run->ann, &a);
	printf("%" PRIu64
	       " vectors, %u-bit codes; MB: codes %.1f, tables %.1f, cache %.1f (graph %.1f, vectors %.1f, maps "
	       "%.1f)\n",
	       a.vectors, a.code_bits, (double)a.code_bytes / 1e6, (double)a.table_bytes / 1e6,
	       (double)s.cache_limit / 1e6, (double)s.resident_bytes[STORE_CLASS_GRAPH] / 1e6,
	       (double)s.resident_bytes[STORE_CLASS_VECTOR] / 1e6,
	       (double)s.resident_bytes[STORE_CLASS_MAP] / 1e6);
	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		if (strncmp(line, "VmRSS", 5) == 0 || strncmp(line, "VmHWM", 5) == 0)
			fputs(line, stdout);
	if (status != NULL)
		fclose(status);
}

static void run(const struct settings *set)
{
	struct store_opts opts = {.cache_bytes = set->cache, .background = true};
	struct ann_opts ann_opts = {.threads = 1, .code_bits = set->bits, .background = true};
	struct store_open_report report;
	struct err_msg msg = {{0}}, note = {{0}};
	struct data data = {0};
	struct run run = {.set = set, .data = &data};
	struct store_io *io;

	load_queries(&data, set->store);
	run.fd = open(set->store, O_RDONLY);
	run.direct = open(set->store, O_RDONLY | O_DIRECT);
	run.block = mem_alloc_aligned(4096, 4096);
	must(run.fd < 0 || run.direct < 0 || run.block == NULL ? ERR_IO : 0, set->store);
	run.bytes = lseek(run.fd, 0, SEEK_END);
	must(io_posix_new(set->store, &io, &msg), msg.text);
	/* what others have brought into the kernel's cache is in their memory group */
	(void)posix_fadvise(run.fd, 0, 0, POSIX_FADV_DONTNEED);
	io_posix_set_kernel_cache(io, set->kernel_cache);
	count_reads(io);
	must(store_open(io, &opts, &run.store, &report, &msg), msg.text);
	must(ann_open(run.store, &ann_opts, &run.ann, &note, &msg), msg.text);
	if (note.text[0] != '\0')
		printf("note: %s\n", note.text);
	printf("effort  recall     mean  median     p99  device  ratio    graph vector    map   rounds  reads    KiB     hops   dist.\n");
	for (const char *at = set->efforts; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		run_effort(&run, (uint32_t)strtoul(at, NULL, 10));
	}
	show_memory(&run);
	must(ann_close(run.ann), "closing the collection");
	must(store_close(run.store), "closing the store");
	io->ops->close(io);
	close(run.fd);
	close(run.direct);
	mem_free(run.block);
}

int main(int argc, char **argv)
{
	struct settings set = {.rows = 60000,
			       .queries = 1000,
			       .threads = 2,
			       .cache = 8u << 20,
			       .efforts = "20,40,80"};
	int c;

	if (argc < 3) {
		fprintf(stderr, "usage: bench_disk build|run STORE [options], see the source\n");
		return argc == 1 ? 0 : 2;
	}
	set.store = argv[2];
	optind = 3;
	while ((c = getopt(argc, argv, "n:d:q:b:t:c:e:k:w")) != -1)
		switch (c) {
		case 'n':
			set.rows = strtoul(optarg, NULL, 10);
			break;
		case 'd':
			set.dim = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			set.queries = strtoul(optarg, NULL, 10);
			break;
		case 'b':
			set.bits = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 't':
			set.threads = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			set.cache = strtoull(optarg, NULL, 10);
			break;
		case 'e':
			set.efforts = optarg;
			break;
		case 'k':
			set.kernel_cache = strtoull(optarg, NULL, 10);
			break;
		case 'w':
			set.warm = true;
			break;
		default:
			return 2;
		}
	if (strcmp(argv[1], "build") == 0)
		build(&set);
	else
		run(&set);
	return 0;
}
