/* fault_collection.c - the collection, its model, its answers. */
#include "tests/support/fault_collection.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/collection.h"
#include "tests/support/ann_fixture.h"

#define K 5u
#define QUERIES 4u

__attribute__((format(printf, 2, 3))) static void wrong(struct fault_collection *c,
							const char *format, ...)
{
	va_list args;

	if (c->why[0] != '\0')
		return;
	va_start(args, format);
	(void)vsnprintf(c->why, sizeof(c->why), format, args); /* a cut text is accepted */
	va_end(args);
}

static void vector_of(uint32_t id, uint32_t version, float *out)
{
	struct ann_random random = {id * 1000 + version};

	ann_random_vector(&random, out, FAULT_DIM, 20);
}

static size_t name_of(uint32_t id, char *out)
{
	return (size_t)sprintf(out, "v%03u", (unsigned)id);
}

/* A call returned err. True when it succeeded; failing needs a fault. */
static bool passed(struct fault_collection *c, const char *what, int err)
{
	if (err == 0)
		return true;
	c->errors++;
	if (err == ERR_DAMAGED && c->graph_bad &&
	    (strcmp(what, "link") == 0 || strcmp(what, "ann_check") == 0))
		c->graph_met = true;
	else if (!*c->faulty)
		wrong(c, "%s: %s %s", what, err_str(err), c->msg.text);
	return false;
}

/* --- changes --- */

static void settle(struct fault_collection *c, uint32_t id, const char *what, int err,
		   uint32_t version)
{
	if (passed(c, what, err))
		c->now[id] = c->maybe[id] = version;
	else
		c->maybe[id] = version;
}

void fault_collection_put(struct fault_collection *c, uint32_t id)
{
	float vector[FAULT_DIM];
	char name[16];

	name_of(id, name);
	vector_of(id, ++c->version, vector);
	settle(c, id, "put", ann_fixture_put(c->ann, name, vector, FAULT_DIM), c->version);
}

void fault_collection_delete(struct fault_collection *c, uint32_t id)
{
	char name[16];
	int err;

	if (c->now[id] == 0)
		return;
	err = ann_delete(c->ann, name, name_of(id, name));
	if (err == ERR_ABSENT)
		wrong(c, "%s is absent", name);
	settle(c, id, "delete", err, 0);
}

void fault_collection_link(struct fault_collection *c)
{
	size_t left;

	(void)passed(c, "link", ann_index_some(c->ann, SIZE_MAX, &left));
}

void fault_collection_flush(struct fault_collection *c)
{
	(void)passed(c, "flush", ann_flush(c->ann));
}

/* --- answers --- */

void fault_collection_read(struct fault_collection *c)
{
	for (uint32_t id = 0; id < FAULT_VECTORS; id++) {
		float vector[FAULT_DIM], want[FAULT_DIM];
		char name[16];
		size_t len = name_of(id, name);
		int err = ann_get(c->ann, name, len, NULL, vector);

		if (err == ERR_ABSENT && c->now[id] == 0)
			continue;
		if (err == ERR_ABSENT)
			wrong(c, "%s is lost", name);
		if (!passed(c, "get", err))
			continue;
		vector_of(id, c->now[id], want);
		if (c->now[id] == 0 || memcmp(vector, want, sizeof(want)) != 0)
			wrong(c, "%s has the wrong vector", name);
	}
}

void fault_collection_list(struct fault_collection *c)
{
	static struct store_entry entries[FAULT_VECTORS + 1];
	static uint64_t cursors[FAULT_VECTORS + 1];
	size_t n = 0, want = 0;

	for (uint32_t id = 0; id < FAULT_VECTORS; id++)
		want += c->now[id] != 0;
	if (passed(c, "list", ann_list(c->ann, 0, entries, cursors, FAULT_VECTORS + 1, &n)) &&
	    n != want)
		wrong(c, "the list has %zu ids of %zu", n, want);
}

static double distance(struct fault_collection *c, uint32_t id, const float *query)
{
	float vector[FAULT_DIM];
	double sum = 0;

	vector_of(id, c->now[id], vector);
	for (uint32_t d = 0; d < FAULT_DIM; d++)
		sum += ((double)vector[d] - query[d]) * ((double)vector[d] - query[d]);
	return sqrt(sum);
}

/* The K ids nearest to a query, nearest first. */
static void nearest(struct fault_collection *c, const float *query, uint32_t ids[K])
{
	double best[K];
	uint32_t n = 0;

	for (uint32_t id = 0; id < FAULT_VECTORS; id++) {
		double d = c->now[id] != 0 ? distance(c, id, query) : INFINITY;
		uint32_t at = n;

		while (at > 0 && best[at - 1] > d)
			at--;
		if (at == K || isinf(d))
			continue;
		n = n < K ? n + 1 : K;
		for (uint32_t i = n - 1; i > at; i--) {
			best[i] = best[i - 1];
			ids[i] = ids[i - 1];
		}
		best[at] = d;
		ids[at] = id;
	}
}

static bool is_id(const struct ann_answer *answer, size_t hit, uint32_t id)
{
	char name[16];
	size_t len = name_of(id, name);

	return answer->hits[hit].id_len == len &&
	       memcmp(answer->ids + answer->hits[hit].id_at, name, len) == 0;
}

static void compare(struct fault_collection *c, const struct ann_answer *answer, size_t q,
		    uint32_t id, const float *query, bool exact)
{
	uint32_t want[K];

	if (answer->first[q + 1] - answer->first[q] != K) {
		wrong(c, "%zu answers of %u", answer->first[q + 1] - answer->first[q], K);
		return;
	}
	if (!is_id(answer, answer->first[q], id))
		wrong(c, "v%03u does not find itself", (unsigned)id);
	nearest(c, query, want);
	for (uint32_t i = 0; exact && i < K; i++)
		if (!is_id(answer, answer->first[q] + i, want[i]))
			wrong(c, "exact answer %u of v%03u is not v%03u", (unsigned)i, (unsigned)id,
			      (unsigned)want[i]);
}

void fault_collection_search(struct fault_collection *c, bool exact)
{
	struct ann_query spec = {.k = K, .exact = exact};
	float queries[QUERIES * FAULT_DIM];
	struct ann_answer answer;
	uint32_t ids[QUERIES];

	c->ann->scan_max = 0; /* small collections are not scanned instead */
	for (uint32_t q = 0; q < QUERIES; q++) {
		ids[q] = (c->version * 31 + q * 71) % FAULT_VECTORS;
		while (c->now[ids[q]] == 0)
			ids[q] = (ids[q] + 1) % FAULT_VECTORS;
		vector_of(ids[q], c->now[ids[q]], queries + (size_t)q * FAULT_DIM);
	}
	if (passed(c, "search", ann_search(c->ann, queries, QUERIES, &spec, &answer, &c->msg)))
		for (uint32_t q = 0; q < QUERIES; q++)
			compare(c, &answer, q, ids[q], queries + (size_t)q * FAULT_DIM, exact);
	ann_answer_release(&answer);
}

/* --- life --- */

static void leave(struct fault_collection *c)
{
	store_abandon(c->store);
	if (c->io != NULL)
		c->io->ops->close(c->io);
	c->store = NULL;
	c->io = NULL;
}

/* Takes for each id what is there, when the model allows it. */
static void adopt(struct fault_collection *c)
{
	for (uint32_t id = 0; id < FAULT_VECTORS; id++) {
		float vector[FAULT_DIM], want[FAULT_DIM];
		char name[16];
		size_t len = name_of(id, name);
		int err;

		if (c->maybe[id] == c->now[id])
			continue;
		err = ann_get(c->ann, name, len, NULL, vector);
		if (err != 0 && err != ERR_ABSENT) {
			(void)passed(c, "get", err);
			continue;
		}
		vector_of(id, c->maybe[id], want);
		if (err == ERR_ABSENT ? c->maybe[id] == 0 : memcmp(vector, want, sizeof(want)) == 0)
			c->now[id] = c->maybe[id];
		c->maybe[id] = c->now[id];
	}
}

static bool open_as(struct fault_collection *c, bool read_only)
{
	static const struct ann_opts by_hand = {.threads = 1};
	struct store_opts opts = {.cache_bytes = 256u << 10, .read_only = read_only};
	int err = ERR_NOMEM;

	c->msg.text[0] = '\0';
	c->note.text[0] = '\0';
	c->io = io_mem_attach(c->medium);
	if (c->io != NULL)
		err = store_open(c->io, &opts, &c->store, NULL, &c->msg);
	if (err == 0)
		err = ann_open(c->store, &by_hand, &c->ann, &c->note, &c->msg);
	if (err != 0 && c->io != NULL && c->msg.text[0] == '\0')
		wrong(c, "opening is refused without a sentence: %s", err_str(err));
	if (!passed(c, "open", err)) {
		c->ann = NULL;
		leave(c);
		return false;
	}
	adopt(c);
	return true;
}

bool fault_collection_open(struct fault_collection *c)
{
	return open_as(c, false);
}

bool fault_collection_open_read_only(struct fault_collection *c)
{
	return open_as(c, true);
}

void fault_collection_close(struct fault_collection *c)
{
	bool read_only = store_read_only(c->store);
	int err = ann_close(c->ann);

	c->ann = NULL;
	if (!read_only) {
		(void)passed(c, "closing the collection", err);
		(void)passed(c, "closing", store_close(c->store));
		c->store = NULL;
	}
	leave(c);
}

void fault_collection_new(struct fault_collection *c)
{
	static const bool healthy = false;
	struct ann_opts by_hand = {.threads = 1};
	struct ann_fixture fixture;

	memset(c, 0, sizeof(*c));
	c->faulty = &healthy;
	ann_fixture_new(&fixture, ANN_L2, FAULT_DIM, &by_hand);
	c->ann = fixture.ann;
	for (uint32_t id = 0; id < FAULT_VECTORS - 1; id++)
		fault_collection_put(c, id);
	fault_collection_link(c);
	fault_collection_flush(c);
	fault_collection_put(c, 7);
	fault_collection_delete(c, 8);
	ann_fixture_close(&fixture, true);
	c->ann = NULL;
	c->medium = fixture.medium;
	if (c->why[0] != '\0') {
		fprintf(stderr, "making the collection: %s\n", c->why);
		exit(1);
	}
}

void fault_collection_copy(const struct fault_collection *from, struct fault_collection *to,
			   const bool *faulty)
{
	*to = *from;
	to->medium = io_mem_clone(from->medium);
	to->faulty = faulty;
}

void fault_collection_drop(struct fault_collection *c)
{
	if (c->ann != NULL)
		(void)ann_close(c->ann); /* the medium goes too */
	c->ann = NULL;
	leave(c);
	io_mem_free(c->medium);
}

static void note_damage(void *ctx, bool damage, const char *text)
{
	struct fault_collection *c = ctx;

	if (damage && !(c->graph_bad && strstr(text, "no vector is lost") != NULL))
		wrong(c, "the check: %s", text);
}

void fault_collection_finish(struct fault_collection *c)
{
	static const bool healthy = false;
	struct store_check_report report;
	struct store_io *io;

	c->faulty = &healthy;
	if (c->ann == NULL && !fault_collection_open(c))
		return;
	fault_collection_read(c);
	fault_collection_search(c, false);
	fault_collection_close(c);
	io = io_mem_attach(c->medium);
	(void)passed(c, "check", store_check(io, NULL, note_damage, NULL, c, &report, &c->msg));
	io->ops->close(io);
	if (!fault_collection_open(c))
		return;
	fault_collection_read(c);
	fault_collection_list(c);
	fault_collection_search(c, true);
	fault_collection_link(c);
	fault_collection_search(c, false);
	(void)passed(c, "ann_check", ann_check(c->ann, &c->msg));
	fault_collection_close(c);
}
