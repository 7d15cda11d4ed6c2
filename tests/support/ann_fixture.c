/* ann_fixture.c - a collection on an in-memory disk, and random vectors. */
#include "tests/support/ann_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int err, const char *what, const struct err_msg *msg)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, err_str(err), msg != NULL ? msg->text : "");
	abort();
}

void ann_fixture_new(struct ann_fixture *fixture, enum ann_metric metric, uint32_t dim,
		     const struct ann_opts *opts)
{
	struct store_geometry geometry = {
		.page_size = 4096, .value_size = dim * 4, .kind = (uint32_t)metric};
	struct err_msg msg = {""};
	struct store_io *io;

	memset(fixture, 0, sizeof(*fixture));
	fixture->opts = *opts;
	fixture->medium = io_mem_new(4711);
	must(fixture->medium == NULL ? ERR_NOMEM : 0, "medium", NULL);
	io = io_mem_attach(fixture->medium);
	must(io == NULL ? ERR_NOMEM : 0, "attach", NULL);
	must(store_create(io, &geometry, &msg), "create", &msg);
	io->ops->close(io);
	ann_fixture_open(fixture, false);
}

void ann_fixture_copy(struct ann_fixture *fixture, struct io_mem *from, const struct ann_opts *opts)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->opts = *opts;
	fixture->medium = io_mem_clone(from);
	must(fixture->medium == NULL ? ERR_NOMEM : 0, "clone", NULL);
	ann_fixture_open(fixture, false);
}

void ann_fixture_open(struct ann_fixture *fixture, bool read_only)
{
	struct store_opts opts = {.cache_bytes = fixture->cache_bytes != 0 ? fixture->cache_bytes :
									     64u << 20,
				  .durability = WAL_LOG,
				  .read_only = read_only};
	struct store_open_report report;
	struct err_msg msg = {""};

	fixture->io = io_mem_attach(fixture->medium);
	must(fixture->io == NULL ? ERR_NOMEM : 0, "attach", NULL);
	must(store_open(fixture->io, &opts, &fixture->store, &report, &msg), "open store", &msg);
	must(ann_open(fixture->store, &fixture->opts, &fixture->ann, &fixture->note, &msg),
	     "open collection", &msg);
}

void ann_fixture_close(struct ann_fixture *fixture, bool crash)
{
	struct io_mem *left = NULL;

	/* A crash: what the medium holds now is all there will be; closing goes nowhere. */
	if (crash) {
		left = io_mem_clone(fixture->medium);
		must(left == NULL ? ERR_NOMEM : 0, "clone", NULL);
	}
	(void)ann_close(fixture->ann); /* a read-only or failed store has nothing to publish */
	if (crash || store_read_only(fixture->store))
		store_abandon(fixture->store);
	else
		must(store_close(fixture->store), "close store", NULL);
	fixture->io->ops->close(fixture->io);
	fixture->ann = NULL;
	fixture->store = NULL;
	if (crash) {
		io_mem_free(fixture->medium);
		fixture->medium = left;
	}
}

void ann_fixture_free(struct ann_fixture *fixture)
{
	if (fixture->ann != NULL)
		ann_fixture_close(fixture, false);
	io_mem_free(fixture->medium);
}

void ann_fixture_reopen(struct ann_fixture *fixture, bool crash)
{
	ann_fixture_close(fixture, crash);
	ann_fixture_open(fixture, false);
}

int ann_fixture_put(struct ann *ann, const char *id, const float *vector, uint32_t dim)
{
	struct store_attr attr = {.mode = 0644, .mtime_ns = 1};

	return ann_put(ann, id, strlen(id), vector, dim, &attr, 0, NULL, NULL);
}

void ann_fixture_index(struct ann *ann)
{
	size_t left = 0;

	must(ann_index_some(ann, SIZE_MAX, &left), "index", NULL);
	must(left == 0 ? 0 : ERR_AGAIN, "index all", NULL);
}

uint64_t ann_random_next(struct ann_random *random)
{
	uint64_t z = (random->state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t ann_random_below(struct ann_random *random, uint32_t n)
{
	return (uint32_t)(ann_random_next(random) % n);
}

float ann_random_normal(struct ann_random *random)
{
	float sum = 0;

	for (int i = 0; i < 12; i++)
		sum += (float)(ann_random_next(random) >> 40) / (float)(1u << 24);
	return sum - 6.0f;
}

void ann_random_vector(struct ann_random *random, float *out, uint32_t dim, uint32_t centres)
{
	struct ann_random point = {ann_random_below(random, centres) + 1};

	for (uint32_t d = 0; d < dim; d++)
		out[d] = ann_random_normal(&point) + 0.7f * ann_random_normal(random);
}

void ann_numbered_vector(const struct ann_numbered *set, uint32_t number, float *out)
{
	struct ann_random random = {number + 1};

	ann_random_vector(&random, out, set->dim, set->centres);
}

void ann_numbered_put(const struct ann_numbered *set, struct ann *ann, uint32_t id, uint32_t number)
{
	float *vector = malloc(set->dim * sizeof(*vector));
	char name[16];

	must(vector != NULL ? 0 : ERR_NOMEM, "a vector", NULL);
	ann_numbered_vector(set, number, vector);
	snprintf(name, sizeof(name), "%u", id);
	must(ann_fixture_put(ann, name, vector, set->dim), "put", NULL);
	free(vector);
}

void ann_numbered_fill(const struct ann_numbered *set, struct ann *ann, uint32_t first,
		       uint32_t end)
{
	for (uint32_t i = first; i < end; i++)
		ann_numbered_put(set, ann, i, i);
}

void ann_numbered_delete(struct ann *ann, uint32_t id)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", id);
	must(ann_delete(ann, name, strlen(name)), "delete", NULL);
}
