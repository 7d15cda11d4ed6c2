/*
 * test_crash_ann.c - a collection with a graph is changed on a tape; then in a share of the crash
 * states it is opened again: it must hold the vectors of one moment, with nothing lost that was
 * promised, find each of them by itself, answer exactly what a plain scan answers, nearly that
 * through the graph, and its graph must be sound.
 *
 * TORTURE=full: all states. SEED: the course. CASE=event.variant: one state alone. timeout: 900 s
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "ann/collection.h"
#include "tests/support/ann_fixture.h"
#include "tests/support/crash_states.h"
#include "tests/support/store_history.h"
#include "tests/support/tape.h"

enum { IDS = 340, FIRST = 310, DIM = 8, K = 10, STEPS = 90, PROBES = 12 };

static const double recall_floor = 0.95;

/* Versions of all ids, 0 for absent, after each operation. */
struct course {
	struct tape *tape;
	struct history history;
	uint32_t (*states)[IDS];
	uint32_t now[IDS];
	uint32_t versions;
	struct store_io *io;
	struct store *store;
	struct ann *ann;
	struct ann_random random;
	/* judging */
	struct crash_states crash;
	struct history_bounds bounds, before;
	size_t at;
	unsigned share;
	const char *only;
	unsigned only_variant;
	uint64_t given, checked, failed, asked, hits;
};

static const struct store_opts store_opts = {.cache_bytes = 4 << 20};
static const struct ann_opts ann_opts = {.threads = 1};

static void must(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, err_str(err));
	abort();
}

static void make_vector(uint32_t version, float *out)
{
	struct ann_random random = {version * 7919u};

	ann_random_vector(&random, out, DIM, 12);
}

static uint64_t digest_of(uint32_t id, const float *vector)
{
	return XXH3_64bits_withSeed(vector, DIM * sizeof(float), id);
}

/* --- the course --- */

static void open_course(struct course *c)
{
	c->io = tape_io(c->tape);
	must(store_open(c->io, &store_opts, &c->store, NULL, NULL), "open store");
	must(ann_open(c->store, &ann_opts, &c->ann, NULL, NULL), "open collection");
}

static void close_course(struct course *c)
{
	must(ann_close(c->ann), "close collection");
	must(store_close(c->store), "close store");
	c->io->ops->close(c->io);
}

static size_t name_of(uint32_t id, char *out)
{
	return (size_t)sprintf(out, "v%u", (unsigned)id);
}

static uint64_t operations(const struct course *c)
{
	return c->history.n_states - 1;
}

static void add_state(struct course *c)
{
	uint64_t digest = 0, ids = 0;
	float vector[DIM];

	for (uint32_t id = 0; id < IDS; id++) {
		if (c->now[id] == 0)
			continue;
		make_vector(c->now[id], vector);
		digest += digest_of(id, vector);
		ids++;
	}
	history_add_state(&c->history, digest, ids, 0);
	memcpy(c->states[operations(c)], c->now, sizeof(c->now));
}

static void put(struct course *c, uint32_t id)
{
	float vector[DIM];
	char name[16];

	(void)name_of(id, name);
	make_vector(++c->versions, vector);
	must(ann_fixture_put(c->ann, name, vector, DIM), "put");
	c->now[id] = c->versions;
}

static bool change(struct course *c, uint32_t r, uint32_t id, uint32_t to)
{
	char name[16], other[16];
	size_t len = name_of(id, name), other_len = name_of(to, other);

	if (r < 30) {
		put(c, id);
	} else if (c->now[id] == 0) {
		return false;
	} else if (r < 45) {
		must(ann_delete(c->ann, name, len), "delete");
		c->now[id] = 0;
	} else if (id != to) {
		must(ann_rename(c->ann, name, len, other, other_len, 0), "rename");
		c->now[to] = c->now[id];
		c->now[id] = 0;
	}
	return true;
}

static void step(struct course *c)
{
	uint32_t r = ann_random_below(&c->random, 80), id = ann_random_below(&c->random, IDS);
	size_t left;

	if (r < 55) {
		tape_mark(c->tape, HISTORY_BEGUN, operations(c) + 1);
		if (!change(c, r, id, ann_random_below(&c->random, IDS)))
			return;
		add_state(c);
		tape_mark(c->tape, HISTORY_DONE, operations(c));
	} else if (r < 66) {
		must(ann_index_some(c->ann, ann_random_below(&c->random, 20), &left), "index");
	} else if (r < 76) {
		must(ann_sync(c->ann), "sync");
		tape_mark(c->tape, HISTORY_DURABLE, operations(c));
	} else if (r < 78) {
		must(ann_flush(c->ann), "flush"); /* promises nothing when the graph is the same */
	} else {
		must(store_checkpoint(c->store), "checkpoint");
		tape_mark(c->tape, HISTORY_DURABLE, operations(c));
	}
}

/* A closed collection with a graph is what the tape begins with. */
static void record(struct course *c)
{
	struct store_geometry geometry = {
		.page_size = 4096, .value_size = DIM * sizeof(float), .kind = ANN_L2};
	struct store_io *io = tape_io(c->tape);

	must(store_create(io, &geometry, NULL), "create");
	io->ops->close(io);
	open_course(c);
	for (uint32_t id = 0; id < FIRST; id++)
		put(c, id);
	ann_fixture_index(c->ann);
	close_course(c);
	history_init(&c->history);
	c->history.n_states = 0;
	add_state(c);
	tape_start(c->tape);
	open_course(c);
	for (unsigned i = 0; i < STEPS; i++)
		step(c);
	close_course(c);
	tape_mark(c->tape, HISTORY_DURABLE, operations(c));
	tape_stop(c->tape);
}

/* --- one state --- */

static bool wrong(struct course *c, const struct crash_state *state, const char *why,
		  const char *text)
{
	printf("not ok CASE=%zu.%u: after %s, %s\n  %s %s\n", c->at, state->variant,
	       tape_kind_name(c->tape->events[c->at].kind), state->what, why, text);
	return false;
}

/* The state of the course that the collection holds, or NULL. */
static const uint32_t *find_state(const struct course *c, const struct crash_state *state,
				  struct ann *ann)
{
	static struct store_entry entries[IDS + 1];
	static uint64_t cursors[IDS + 1];
	const struct history_bounds *b = state->unfinished ? &c->before : &c->bounds;
	uint64_t digest = 0, first = state->power ? b->durable : b->done;
	float vector[DIM];
	size_t n = 0;

	if (ann_list(ann, 0, entries, cursors, IDS + 1, &n) != 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (ann_get(ann, entries[i].id, entries[i].id_len, NULL, vector) != 0)
			return NULL;
		digest += digest_of((uint32_t)strtoul(entries[i].id + 1, NULL, 10), vector);
	}
	for (uint64_t k = c->bounds.begun + 1; k-- > first;)
		if (c->history.states[k].digest == digest && c->history.states[k].ids == n)
			return c->states[k];
	return NULL;
}

/* The K nearest of the model, as ids in order of distance. */
static size_t scan(const uint32_t *versions, const float *query, uint32_t *ids)
{
	double distances[K];
	float vector[DIM];
	size_t n = 0;

	for (uint32_t id = 0; id < IDS; id++) {
		double sum = 0;
		size_t i;

		if (versions[id] == 0)
			continue;
		make_vector(versions[id], vector);
		for (uint32_t d = 0; d < DIM; d++)
			sum += ((double)vector[d] - query[d]) * ((double)vector[d] - query[d]);
		if (n == K && sum >= distances[K - 1])
			continue;
		n += n < K;
		for (i = n - 1; i > 0 && distances[i - 1] > sum; i--) {
			distances[i] = distances[i - 1];
			ids[i] = ids[i - 1];
		}
		distances[i] = sum;
		ids[i] = id;
	}
	return n;
}

static uint32_t hit_id(const struct ann_answer *answer, size_t i)
{
	const char *id = answer->ids + answer->hits[i].id_at;
	uint32_t number = 0;

	for (uint16_t at = 1; at < answer->hits[i].id_len; at++)
		number = number * 10 + (uint32_t)(id[at] - '0');
	return number;
}

/* Asks for one vector's neighbours; how many of the true ones came, -1 for an error. */
static int ask(struct ann *ann, const float *query, bool exact, const uint32_t *truth, size_t n)
{
	struct ann_query spec = {.k = K, .exact = exact};
	struct ann_answer answer;
	int found = 0;

	if (ann_search(ann, query, 1, &spec, &answer, NULL) != 0)
		found = -1;
	for (size_t i = 0; found >= 0 && i < answer.first[1]; i++)
		for (size_t t = 0; t < n; t++)
			found += hit_id(&answer, i) == truth[t];
	if (found >= 0 && n > 0 && (answer.first[1] != n || hit_id(&answer, 0) != truth[0]))
		found = -1; /* a short list, or the vector did not find itself */
	ann_answer_release(&answer);
	return found;
}

static bool ask_all(struct course *c, const struct crash_state *state, struct ann *ann,
		    const uint32_t *versions)
{
	uint64_t asked = 0, hits = 0;
	unsigned every = c->checked % 16 == 0 ? 1 : IDS / PROBES;

	for (uint32_t id = (uint32_t)c->checked % every; id < IDS; id += every) {
		uint32_t truth[K];
		float query[DIM];
		size_t n;
		int found;

		if (versions[id] == 0)
			continue;
		make_vector(versions[id], query);
		n = scan(versions, query, truth);
		found = ask(ann, query, false, truth, n);
		if (found < 0)
			return wrong(c, state, "a vector is not found by itself", "");
		asked += n;
		hits += (uint64_t)found;
		if (ask(ann, query, true, truth, n) != (int)n)
			return wrong(c, state, "the exact answer is another one", "");
	}
	c->asked += asked;
	c->hits += hits;
	if ((double)hits < recall_floor * (double)asked)
		return wrong(c, state, "the graph finds too few", "");
	return true;
}

static bool look(struct course *c, const struct crash_state *state, struct ann *ann,
		 const struct err_msg *note)
{
	const uint32_t *versions = find_state(c, state, ann);
	struct err_msg msg = {{0}};
	size_t left;

	if (note->text[0] != '\0')
		return wrong(c, state, "the graph was dropped:", note->text);
	if (versions == NULL)
		return wrong(c, state, "not the vectors of any allowed moment", "");
	ann->scan_max = 0; /* the graph is asked, however few there are */
	if (c->checked % 2 == 0 && ann_index_some(ann, SIZE_MAX, &left) != 0)
		return wrong(c, state, "linking fails", "");
	if (ann_check(ann, &msg) != 0)
		return wrong(c, state, "the graph is not sound:", msg.text);
	return ask_all(c, state, ann, versions);
}

static bool judge(void *ctx, const struct crash_state *state)
{
	struct course *c = ctx;
	struct err_msg msg = {{0}}, note = {{0}};
	struct store *store = NULL;
	struct ann *ann = NULL;
	struct store_io *io;
	bool good = false;

	if (c->only == NULL && c->given++ * 2654435761u % 65536 / 7 % c->share != 0)
		return true;
	c->checked++;
	io = io_mem_attach(state->medium);
	if (store_open(io, &store_opts, &store, NULL, &msg) != 0)
		(void)wrong(c, state, "open:", msg.text);
	else if (ann_open(store, &ann_opts, &ann, &note, &msg) != 0)
		(void)wrong(c, state, "open collection:", msg.text);
	else
		good = look(c, state, ann, &note);
	(void)ann_close(ann); /* what it publishes is thrown away */
	store_abandon(store);
	io->ops->close(io);
	c->failed += !good;
	return c->failed < 10;
}

/* --- all states --- */

static void walk(struct course *c)
{
	struct disk_model *model = disk_model_new(c->tape);
	unsigned event = 0;
	bool more = true;

	if (c->only != NULL && sscanf(c->only, "%u.%u", &event, &c->only_variant) == 2)
		c->crash.only = &c->only_variant;
	c->bounds.created = true;
	for (size_t i = 0; more && i < c->tape->n; i++) {
		const struct tape_event *e = &c->tape->events[i], *next = e + 1;

		if (e->kind == TAPE_MARK) {
			history_take_mark(&c->bounds, e);
		} else {
			disk_model_apply(model, i);
			c->at = i;
			c->before = c->bounds;
		}
		/* a mark that promises more belongs to the moment before it */
		if ((i + 1 < c->tape->n && next->kind == TAPE_MARK &&
		     next->mark != HISTORY_BEGUN) ||
		    (e->kind == TAPE_MARK && e->mark == HISTORY_BEGUN) ||
		    (c->only != NULL && c->at != event))
			continue;
		more = crash_states_visit(&c->crash, model, &c->tape->events[c->at], c->at,
					  history_promises(&c->bounds), judge, c);
	}
	disk_model_free(model);
}

int main(void)
{
	const char *mode = getenv("TORTURE"), *text = getenv("SEED");
	uint64_t seed = text != NULL && strtoull(text, NULL, 10) > 0 ? strtoull(text, NULL, 10) : 1;
	bool full = mode != NULL && strcmp(mode, "full") == 0;
	struct course c = {.tape = tape_new(seed),
			   .random = {seed},
			   .share = full ? 1 : 12,
			   .only = getenv("CASE")};

	c.states = calloc(STEPS + 2, sizeof(*c.states));
	if (c.states == NULL)
		abort();
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* fails only for a bad mode */
	record(&c);
	crash_states_init(&c.crash, seed, full ? 8 : 3, c.tape->boot_id);
	walk(&c);
	printf("SEED=%llu: %zu events, %llu operations; recall %.4f\n", (unsigned long long)seed,
	       c.tape->n, (unsigned long long)operations(&c),
	       c.asked > 0 ? (double)c.hits / (double)c.asked : 0.0);
	printf("checked: %llu crash states of a collection, %llu failed\n",
	       (unsigned long long)c.checked, (unsigned long long)c.failed);
	crash_states_release(&c.crash);
	history_release(&c.history);
	tape_free(c.tape);
	free(c.states);
	return c.failed == 0 ? 0 : 1;
}
