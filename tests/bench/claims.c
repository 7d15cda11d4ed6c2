/*
 * claims.c - what the design was built on, measured: each part writes a section of
 * docs/benchmarks/claims.md to FOLDER/claims-PART.md.
 *
 *   pages  page sizes from 4 to 64 KiB for vectors of 128 to 1,536 dimensions
 *   map    a mapped file against read calls
 *   cache  what 16 MB of cache do for 100,000 vectors, and what it keeps during a scan
 *   lz4    what compression saves, on three kinds of data
 *   log    what the log costs a writer
 *   space  the size of the file under deletes and inserts
 *
 * Usage: claims [-f FOLDER] [-r ROUNDS] PART...
 */
#include "tests/bench/claims.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/err.h"
#include "store/mem.h"

const char *claims_folder = "build/bench";
unsigned claims_rounds = 5;

void claims_must(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "claims: %s: %s\n", what, err < 0 ? err_str(err) : "failed");
	exit(1);
}

void *claims_alloc(size_t count, size_t size)
{
	void *at = mem_zalloc(count, size);

	claims_must(at == NULL ? ERR_NOMEM : 0, "memory");
	return at;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double claims_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void claims_field(FILE *out, double *values, size_t n, int digits, const char *unit)
{
	double median = claims_median(values, n);

	fprintf(out, "| %.*f %s(%.*f – %.*f) ", digits, median, unit, digits, values[0], digits,
		values[n - 1]);
}

uint64_t claims_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void path_of(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/claims-%s.vecfs", claims_folder, name);
}

void claims_remove(const char *name)
{
	struct store_io *io;
	uint64_t *seqs = NULL;
	char path[4096];
	size_t n = 0;

	path_of(name, path, sizeof(path));
	if (access(path, F_OK) != 0)
		return;
	claims_must(io_posix_new(path, &io, NULL), path);
	if (io->ops->open(io, true, NULL) == 0 && io->ops->log_list(io, &seqs, &n) == 0)
		for (size_t i = 0; i < n; i++)
			claims_must(io->ops->log_remove(io, seqs[i]), path);
	mem_free(seqs);
	io->ops->close(io);
	claims_must(unlink(path), path);
}

void claims_open(struct claims_store *s, const char *name, uint32_t page_size, uint32_t dim,
		 enum ann_metric metric, const struct store_opts *opts)
{
	struct store_geometry geometry = {.page_size = page_size,
					  .value_size = dim * (uint32_t)sizeof(float),
					  .kind = metric};
	struct err_msg msg = {""};

	path_of(name, s->path, sizeof(s->path));
	if (page_size != 0) {
		claims_remove(name);
		claims_must(io_posix_new(s->path, &s->io, &msg), s->path);
		claims_must(store_create(s->io, &geometry, &msg), s->path);
		s->io->ops->close(s->io);
	}
	claims_must(io_posix_new(s->path, &s->io, &msg), s->path);
	claims_must(store_open(s->io, opts, &s->store, NULL, &msg), s->path);
}

void claims_close(struct claims_store *s)
{
	claims_must(store_close(s->store), s->path);
	s->io->ops->close(s->io);
}

void claims_put(struct claims_store *s, uint32_t id, const float *vector, uint32_t dim)
{
	struct store_attr attr = {.mode = 0600};
	char name[16];
	int len = snprintf(name, sizeof(name), "%u", (unsigned)id);

	store_wait_room(s->store);
	claims_must(store_put(s->store, name, (size_t)len, vector, dim * sizeof(float), &attr, 0,
			      NULL, NULL, NULL),
		    "put");
}

void claims_forget(const char *path)
{
	int fd = open(path, O_RDONLY);

	claims_must(fd < 0 || fdatasync(fd) != 0 ||
				    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0 ?
			    1 :
			    0,
		    path);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(FILE *out);
	} parts[] = {{"pages", claims_pages}, {"map", claims_map}, {"cache", claims_cache},
		     {"lz4", claims_lz4},     {"log", claims_log}, {"space", claims_space}};
	int option;

	while ((option = getopt(argc, argv, "f:r:")) != -1) {
		if (option == 'f')
			claims_folder = optarg;
		else if (option == 'r')
			claims_rounds = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (claims_rounds == 0 || claims_rounds > 99 || optind == argc)
		return 2;
	for (int a = optind; a < argc; a++)
		for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
			char path[4096];
			FILE *out;

			if (strcmp(argv[a], parts[i].name) != 0)
				continue;
			snprintf(path, sizeof(path), "%s/claims-%s.md", claims_folder, argv[a]);
			out = fopen(path, "w");
			claims_must(out == NULL ? 1 : 0, path);
			parts[i].run(out);
			claims_must(fclose(out), path);
		}
	return 0;
}
