/*
 * test_crash_short.c - all short sequences of operations on a small store, and the crash states of
 * each. What a sequence begins with was looked at as a shorter one, so the states of its last
 * operation alone are made.
 *
 * TORTURE=full: all sequences of up to three operations, otherwise of up to two and a share of the
 * others. SEED: the store they begin with. SEQUENCE and CASE, as a failure names them, repeat one
 * state alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crash_run.h"
#include "tests/support/store_session.h"

enum { LENGTH = 3, SHARE = 24 };

enum operation {
	PUT_NEW,
	PUT_OVER,
	PUT_LONG,
	DELETE,
	RENAME_OVER,
	RENAME,
	EXCHANGE,
	SET_ATTR,
	SET_LIST,
	RELEASE,
	SYNC,
	CHECKPOINT,
	FLUSH,
	CLOSE,
	KILL,
	OPERATIONS,
};

static const char letters[] = "npldorxatsSCFcK";

/* What every sequence begins with: files, and the session and history that go with them. */
struct base {
	struct session session;
	struct history history;
	size_t states, graphs;
	struct tape *tape; /* its folder has the files */
};

static bool operate(struct session *s, enum operation op)
{
	switch (op) {
	case PUT_NEW:
		return !s->ids[5].present && session_put(s, 5);
	case PUT_OVER:
		return session_put(s, 1);
	case PUT_LONG:
		return session_put(s, 2);
	case DELETE:
		return session_delete(s, 1);
	case RENAME_OVER:
		return s->ids[2].present && session_rename(s, 1, 2, 0);
	case RENAME:
		return !s->ids[7].present && session_rename(s, 1, 7, STORE_RENAME_KEEP);
	case EXCHANGE:
		return session_rename(s, 1, 2, STORE_RENAME_EXCHANGE);
	case SET_ATTR:
		return session_set_attr(s, 1);
	case SET_LIST:
		return session_set_xattrs(s, 1);
	case RELEASE:
		return session_release(s);
	case SYNC:
		session_sync(s);
		return true;
	case CHECKPOINT:
		session_checkpoint(s);
		return true;
	case FLUSH:
		session_flush(s, false);
		return true;
	case CLOSE:
		session_close(s);
		session_open(s);
		return true;
	case KILL:
		session_abandon(s);
		session_open(s);
		return true;
	case OPERATIONS:
		break;
	}
	return false;
}

/* A store with two ids to work on, with attributes, and some others, two dead slots, a graph, and a log that counts. */
static void make_base(struct base *base, uint64_t seed)
{
	struct session *s = &base->session;

	base->tape = tape_new(seed);
	history_init(&base->history);
	s->tape = base->tape;
	s->history = &base->history;
	s->geometry.page_size = seed % 3 == 0 ? 8192 : 4096;
	s->geometry.value_size = seed % 2 == 0 ? 512 : 64;
	s->opts.cache_bytes = 64 << 10;
	s->long_ids = 2;
	tape_start(base->tape);
	session_create(s);
	session_open(s);
	for (unsigned i = 0; i < 6 + seed % 20; i++)
		if (i != 5 && i != 7)
			(void)session_put(s, i);
	for (unsigned i = 0; s->ids[1].list == 0 || s->ids[2].list == 0; i++)
		(void)session_set_xattrs(s, 1 + i % 2);
	(void)session_put(s, 1);
	session_flush(s, false);
	(void)session_put(s, 2);
	session_sync(s);
	(void)session_delete(s, 3);
	if (seed % 2 == 0)
		session_checkpoint(s);
	session_abandon(s);
	tape_stop(base->tape);
	tape_start(base->tape); /* takes in what the files hold now */
	tape_stop(base->tape);
	base->states = base->history.n_states;
	base->graphs = base->history.n_graphs;
}

static void name_sequence(const enum operation *ops, unsigned n, char *out)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = letters[ops[i]];
	out[n] = '\0';
}

/* Counts into run; a sequence with an operation that is not possible then has no states. */
static void run_sequence(struct base *base, struct crash_run *run, const enum operation *ops,
			 unsigned n, uint64_t seed)
{
	struct session s = base->session;
	char title[64], name[LENGTH + 1];
	bool possible = true;

	s.tape = tape_new(seed);
	base->history.n_states = base->states;
	base->history.n_graphs = base->graphs;
	for (size_t i = 0; i < base->tape->n_files; i++)
		tape_put_file(s.tape, base->tape->files[i].name, base->tape->files[i].bytes,
			      base->tape->files[i].len);
	tape_start(s.tape);
	tape_mark(s.tape, HISTORY_CREATED, 0);
	tape_mark(s.tape, HISTORY_BEGUN, s.ops);
	tape_mark(s.tape, HISTORY_DONE, s.ops);
	tape_mark(s.tape, HISTORY_GRAPH_BEGUN, s.graphs);
	tape_mark(s.tape, HISTORY_GRAPH_DONE, s.graphs);
	session_open(&s);
	for (unsigned i = 0; possible && i < n; i++) {
		run->from = s.tape->n;
		possible = operate(&s, ops[i]);
	}
	session_abandon(&s);
	tape_stop(s.tape);
	name_sequence(ops, n, name);
	(void)snprintf(title, sizeof(title), "SEED=%llu SEQUENCE=%s", (unsigned long long)seed,
		       name);
	run->title = title;
	run->tape = s.tape;
	if (possible)
		crash_run(run);
	tape_free(s.tape);
}

/* Whether a sequence is among those to be looked at. */
static bool is_wanted(const enum operation *ops, unsigned n, uint64_t index, uint64_t seed,
		      bool full)
{
	const char *wanted = getenv("SEQUENCE");
	char name[LENGTH + 1];

	name_sequence(ops, n, name);
	if (wanted != NULL)
		return strcmp(wanted, name) == 0;
	return full || n < LENGTH || (index + seed) % SHARE == 0;
}

int main(void)
{
	const char *mode = getenv("TORTURE"), *text = getenv("SEED");
	uint64_t seed = text != NULL && strtoull(text, NULL, 10) > 0 ? strtoull(text, NULL, 10) : 1;
	bool full = mode != NULL && strcmp(mode, "full") == 0;
	struct base base = {0};
	struct crash_run run = {.seed = seed,
				.randoms = full ? 16 : 4,
				.deep_share = full ? 4 : 16,
				.only = getenv("CASE")};
	uint64_t sequences = 0, n_sequences = OPERATIONS;

	make_base(&base, seed);
	run.history = &base.history;
	run.opts = base.session.opts;
	for (unsigned n = 1; n <= LENGTH; n++, n_sequences *= OPERATIONS) {
		for (uint64_t index = 0; index < n_sequences && run.states.failed == 0; index++) {
			enum operation ops[LENGTH];
			uint64_t rest = index;

			for (unsigned i = n; i-- > 0; rest /= OPERATIONS)
				ops[i] = (enum operation)(rest % OPERATIONS);
			if (!is_wanted(ops, n, index, seed, full))
				continue;
			run_sequence(&base, &run, ops, n, seed);
			sequences++;
		}
	}
	printf("%llu sequences\n", (unsigned long long)sequences);
	printf("checked: %llu crash states of short sequences, %llu failed\n",
	       (unsigned long long)run.states.checked, (unsigned long long)run.states.failed);
	tape_free(base.tape);
	history_release(&base.history);
	return run.states.failed == 0 ? 0 : 1;
}
