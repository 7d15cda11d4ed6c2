/* crash_run.c - moments, states, judgement, and recoveries that are interrupted. */
#include "tests/support/crash_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/io_mem_state.h"

#define FAILURES_SHOWN 10u

/* One walk along a tape: that of the workload, or that of a recovery. */
struct walk {
	struct crash_run *run;
	const struct tape *tape;
	struct crash_count *count;
	struct crash_states states;
	struct disk_model *model;
	struct history_bounds bounds;
	struct history_bounds before; /* what was promised when the last event began */
	size_t at;
	const char *within; /* name of the state that is recovered, or "" */
	bool recover;	    /* this moment's recovery is to be interrupted */
	unsigned only_event, only_variant;
	const char *only; /* what follows in the name: "" or "/..." */
};

static void walk_along(struct walk *walk, size_t from, unsigned share);

/* --- the crashes within a recovery --- */

static void put_files(struct tape *tape, const struct io_mem *medium)
{
	char name[TAPE_NAME_MAX];

	if (medium->has_head)
		tape_put_file(tape, TAPE_STORE, medium->head.bytes, medium->head.len);
	for (size_t i = 0; i < medium->n_segments; i++) {
		const struct io_mem_segment_entry *s = &medium->segments[i];

		(void)snprintf(name, sizeof(name), TAPE_STORE "-wal.%llu",
			       (unsigned long long)s->seq);
		tape_put_file(tape, name, s->object.bytes, s->object.len);
	}
}

/* Opens and closes what stands in the folder of the tape; what it found becomes a promise. */
static bool record_recovery(struct crash_run *run, struct tape *tape,
			    const struct history_verdict *found)
{
	struct store_io *io = tape_io(tape);
	struct store *store;
	int err;

	tape_start(tape);
	err = store_open(io, &run->opts, &store, NULL, NULL);
	if (err == 0) {
		tape_mark(tape, HISTORY_GRAPH_DONE, found->graph);
		tape_mark(tape, HISTORY_DURABLE, found->state);
		err = store_close(store);
	}
	tape_stop(tape);
	io->ops->close(io);
	return err == 0;
}

/* medium: the state as it was before it was judged. */
static void walk_recovery(struct walk *outer, const struct crash_state *state,
			  const struct io_mem *medium, const struct history_verdict *found)
{
	struct crash_run *run = outer->run;
	struct tape *tape = tape_new(run->seed + outer->at);
	char within[40];
	struct walk walk = {.run = run,
			    .tape = tape,
			    .count = &run->recovery,
			    .bounds = outer->bounds,
			    .within = within};

	(void)snprintf(within, sizeof(within), "%zu.%u/", outer->at, state->variant);
	if (outer->only != NULL &&
	    sscanf(outer->only, "/%u.%u", &walk.only_event, &walk.only_variant) == 2)
		walk.only = "";
	memcpy(tape->boot_id, outer->states.boot[state->power], 16);
	put_files(tape, medium);
	walk.bounds.begun = walk.bounds.done = found->state;
	walk.bounds.graph_begun = found->graph;
	if (state->power) { /* what is there is on disk */
		walk.bounds.durable = found->state;
		walk.bounds.graph_done = found->graph;
	}
	if (!record_recovery(run, tape, found)) {
		printf("not ok %s CASE=%zu.%u: recovery on real files fails\n", run->title,
		       outer->at, state->variant);
		run->recovery.failed++;
	} else {
		walk.model = state->power ? disk_model_new(tape) :
					    disk_model_fork(outer->model, tape);
		crash_states_init(&walk.states, run->seed + outer->at, run->randoms / 2 + 1,
				  tape->boot_id);
		walk.states.only = walk.only != NULL ? &walk.only_variant : NULL;
		walk_along(&walk, 0, run->inner_share);
		crash_states_release(&walk.states);
		disk_model_free(walk.model);
	}
	tape_free(tape);
}

/* --- one state --- */

static void say_failure(const struct walk *walk, const struct crash_state *state, const char *why)
{
	const struct tape_event *e = &walk->tape->events[walk->at];

	printf("not ok %s CASE=%s%zu.%u\n"
	       "  after %s of file %u %s at %llu, %llu bytes: %s\n  %s\n",
	       walk->run->title, walk->within, walk->at, state->variant, tape_kind_name(e->kind),
	       (unsigned)e->file, e->name, (unsigned long long)e->offset,
	       (unsigned long long)e->length, state->what, why);
	(void)fflush(stdout); /* a message that is lost is not worth an error */
}

/* Whether recovery from this state is to be interrupted: the page cache, and one power cut. */
static bool is_sample(const struct walk *walk, const struct crash_state *state)
{
	if (state->unfinished) /* the page cache of the model is another one */
		return false;
	if (walk->only != NULL)
		return walk->only[0] == '/';
	return walk->recover && (state->variant == 0 || state->variant == 2 + walk->at / 3 % 8);
}

static bool judge_state(void *ctx, const struct crash_state *state)
{
	struct walk *walk = ctx;
	struct crash_run *run = walk->run;
	bool deep = walk->count->checked % run->deep_share == 0 || walk->only != NULL;
	struct history_depth depth = {.check_before = true, .check_after = deep, .again = deep};
	struct history_verdict verdict;
	struct io_mem *before = NULL;

	if (is_sample(walk, state) && (before = io_mem_clone(state->medium)) == NULL)
		abort();
	walk->count->checked++;
	if (!history_judge(run->history, state->unfinished ? &walk->before : &walk->bounds,
			   state->power, &run->opts, state->medium, &depth, &verdict)) {
		walk->count->failed++;
		say_failure(walk, state, verdict.why);
	} else if (before != NULL && before->has_head) {
		walk_recovery(walk, state, before, &verdict);
	}
	io_mem_free(before);
	return run->states.failed + run->recovery.failed < FAILURES_SHOWN;
}

/* --- the walk --- */

/* Marks that promise more belong to the moment before them. */
static bool promise_follows(const struct walk *walk, size_t i)
{
	const struct tape_event *next = &walk->tape->events[i + 1];

	return i + 1 < walk->tape->n && next->kind == TAPE_MARK && next->mark != HISTORY_BEGUN &&
	       next->mark != HISTORY_GRAPH_BEGUN;
}

static bool is_chosen(const struct walk *walk, size_t moment, size_t from, unsigned share)
{
	if (walk->only != NULL)
		return walk->at == walk->only_event;
	if (walk->at < from)
		return false;
	if (walk->tape->events[walk->at].kind == TAPE_CREATE)
		return true;
	return share <= 1 || (moment * 2654435761u + walk->run->seed) % 65536 / 7 % share == 0;
}

/* Whether recovery is interrupted at this moment. A segment just made is rare, and always taken. */
static bool is_recovered(const struct walk *walk, size_t moment)
{
	size_t share = walk->run->recover_share;

	if (share == 0 || walk->within[0] != '\0' || walk->only != NULL)
		return false;
	return walk->tape->events[walk->at].kind == TAPE_CREATE ||
	       (moment + (size_t)walk->run->seed) % share == share / 2;
}

static void walk_along(struct walk *walk, size_t from, unsigned share)
{
	size_t moment = 0;
	bool more = true;

	for (size_t i = 0; more && i < walk->tape->n; i++) {
		const struct tape_event *e = &walk->tape->events[i];

		if (e->kind == TAPE_MARK) {
			history_take_mark(&walk->bounds, e);
		} else {
			disk_model_apply(walk->model, i);
			walk->at = i;
			walk->before = walk->bounds;
		}
		if (promise_follows(walk, i) ||
		    (e->kind == TAPE_MARK &&
		     (e->mark == HISTORY_BEGUN || e->mark == HISTORY_GRAPH_BEGUN)))
			continue;
		moment++;
		walk->recover = is_recovered(walk, moment);
		if (!walk->recover && !is_chosen(walk, moment, from, share))
			continue;
		more = crash_states_visit(&walk->states, walk->model, &walk->tape->events[walk->at],
					  walk->at, history_promises(&walk->bounds), judge_state,
					  walk);
	}
}

void crash_run(struct crash_run *run)
{
	struct walk walk = {.run = run, .tape = run->tape, .count = &run->states, .within = ""};
	int n = 0;

	if (run->only != NULL) {
		if (sscanf(run->only, "%u.%u%n", &walk.only_event, &walk.only_variant, &n) != 2) {
			printf("not ok CASE=%s is not the name of a state\n", run->only);
			run->states.failed++;
			return;
		}
		walk.only = run->only + n;
	}
	walk.model = disk_model_new(run->tape);
	crash_states_init(&walk.states, run->seed, run->randoms, run->tape->boot_id);
	if (walk.only != NULL)
		walk.states.only = &walk.only_variant;
	walk_along(&walk, run->from, run->share);
	crash_states_release(&walk.states);
	disk_model_free(walk.model);
}
