/* journal.c - writing, reading and judging the journals of writers. */
#include "tests/support/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/mem.h"

enum { LINE_MAX_BYTES = 128 };

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const char *journal_name(uint32_t writer, unsigned index, char name_out[JOURNAL_NAME_MAX])
{
	if (index < JOURNAL_OWN)
		snprintf(name_out, JOURNAL_NAME_MAX, "w%u-%03u", writer, index);
	else
		snprintf(name_out, JOURNAL_NAME_MAX, "shared-%u", index - JOURNAL_OWN);
	return name_out;
}

static void path_of(const char *folder, uint32_t writer, const char *suffix, char path_out[4096])
{
	snprintf(path_out, 4096, "%s/journal-%u%s", folder, writer, suffix);
}

/* --- writing --- */

int journal_open(const char *folder, uint32_t writer)
{
	char path[4096];
	int journal;

	path_of(folder, writer, "", path);
	journal = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (journal < 0) {
		perror(path);
		abort();
	}
	return journal;
}

static void append(int journal, const char *line, int length)
{
	if (write(journal, line, (size_t)length) != length) {
		perror("journal");
		abort();
	}
}

void journal_start(int journal, const struct journal_op *op)
{
	char line[LINE_MAX_BYTES];

	append(journal, line,
	       snprintf(line, sizeof(line), "S %c %u %u %" PRIu32 " %" PRIu64 "\n", op->kind,
			op->index, op->other, op->version, now_ns()));
}

void journal_done(int journal, bool changed)
{
	char line[LINE_MAX_BYTES];

	append(journal, line,
	       snprintf(line, sizeof(line), "%c %" PRIu64 "\n", changed ? 'D' : 'E', now_ns()));
}

int journal_restart(const char *folder, const struct journal_past *past,
		    struct journal_state found[JOURNAL_WRITERS][JOURNAL_NAMES])
{
	char path[4096], ready[4096];

	for (uint32_t writer = 0; writer < JOURNAL_WRITERS; writer++) {
		FILE *out;

		path_of(folder, writer, "", path);
		path_of(folder, writer, ".new", ready);
		out = fopen(ready, "w");
		if (out == NULL)
			goto failed;
		fprintf(out, "V %" PRIu32 "\n", past->version[writer]);
		for (unsigned i = 0; i < JOURNAL_NAMES; i++) {
			const struct journal_state *state = &found[writer][i];
			const struct mark *mark = &state->mark;

			if (mark->version != 0)
				fprintf(out, "N %u %u %u %u %u %u\n", i, mark->writer, mark->key,
					mark->version, state->mode, state->mtime);
		}
		if (fclose(out) != 0 || rename(ready, path) != 0)
			goto failed;
	}
	return 0;
failed:
	perror(ready);
	return -1;
}

/* --- reading --- */

void journal_apply(const struct journal_op *op, uint32_t writer,
		   struct journal_state own[JOURNAL_OWN])
{
	struct journal_state moved = own[op->index], *state = &own[op->index];

	switch (op->kind) {
	case JOURNAL_PUT:
		if (state->mark.version == 0)
			state->mode = JOURNAL_NEW_MODE;
		state->mark = (struct mark){writer, op->index, op->version};
		state->mtime = 0;
		break;
	case JOURNAL_RENAME:
		own[op->other] = moved;
		state->mark.version = 0;
		break;
	case JOURNAL_EXCHANGE:
		own[op->index] = own[op->other];
		own[op->other] = moved;
		break;
	case JOURNAL_UNLINK:
		state->mark.version = 0;
		break;
	case JOURNAL_MODE:
		state->mode = op->version;
		break;
	case JOURNAL_MTIME:
		state->mtime = op->version;
		break;
	case JOURNAL_NONE:
		break;
	}
}

static int add_shared(struct journal_past *past, const struct journal_shared *shared)
{
	if (mem_grow((void **)&past->shared, &past->cap_shared, past->n_shared + 1,
		     sizeof(*past->shared)) != 0)
		return -1;
	past->shared[past->n_shared++] = *shared;
	return 0;
}

/* An operation that is done, or that stays open. */
static int take_op(struct journal_past *past, uint32_t writer, const struct journal_op *op)
{
	struct journal_shared shared = {op->index, {0}, op->start, op->done};

	if (op->index < JOURNAL_OWN) {
		if (op->done == UINT64_MAX)
			past->open[writer] = *op;
		else
			journal_apply(op, writer, past->own[writer]);
		return 0;
	}
	if (op->kind == JOURNAL_PUT)
		shared.mark = (struct mark){writer, op->index, op->version};
	return add_shared(past, &shared);
}

static int take_name(struct journal_past *past, uint32_t writer, const char *line)
{
	struct journal_shared shared = {0};
	struct journal_state state = {0};

	if (sscanf(line, "N %u %u %u %u %u %u", &shared.index, &state.mark.writer, &state.mark.key,
		   &state.mark.version, &state.mode, &state.mtime) != 6 ||
	    shared.index >= JOURNAL_NAMES)
		return -1;
	shared.mark = state.mark;
	if (shared.index >= JOURNAL_OWN)
		return add_shared(past, &shared);
	past->own[writer][shared.index] = state;
	return 0;
}

/* op: the open one; kind JOURNAL_NONE when there is none. */
static int take_line(struct journal_past *past, uint32_t writer, const char *line,
		     struct journal_op *op)
{
	char kind;
	int err = 0;

	switch (line[0]) {
	case 'V':
		return sscanf(line, "V %" SCNu32, &past->version[writer]) == 1 ? 0 : -1;
	case 'N':
		return take_name(past, writer, line);
	case 'S':
		if (op->kind != JOURNAL_NONE ||
		    sscanf(line, "S %c %u %u %" SCNu32 " %" SCNu64, &kind, &op->index, &op->other,
			   &op->version, &op->start) != 5 ||
		    op->index >= JOURNAL_NAMES || op->other >= JOURNAL_NAMES)
			return -1;
		op->kind = (enum journal_kind)(unsigned char)kind;
		op->done = UINT64_MAX;
		if (op->kind == JOURNAL_PUT && op->version > past->version[writer])
			past->version[writer] = op->version;
		return 0;
	case 'D':
	case 'E':
		if (op->kind == JOURNAL_NONE || sscanf(line + 1, "%" SCNu64, &op->done) != 1)
			return -1;
		past->done++;
		if (line[0] == 'D')
			err = take_op(past, writer, op);
		op->kind = JOURNAL_NONE;
		return err;
	default:
		return -1;
	}
}

int journal_read(const char *folder, struct journal_past *past)
{
	char path[4096], line[LINE_MAX_BYTES];

	memset(past, 0, sizeof(*past));
	for (uint32_t writer = 0; writer < JOURNAL_WRITERS; writer++) {
		struct journal_op op = {0};
		FILE *in;
		int err = 0;

		path_of(folder, writer, "", path);
		in = fopen(path, "r");
		if (in == NULL && errno == ENOENT)
			continue;
		if (in == NULL) {
			perror(path);
			return -1;
		}
		while (err == 0 && fgets(line, sizeof(line), in) != NULL)
			err = take_line(past, writer, line, &op);
		if (err == 0 && op.kind != JOURNAL_NONE)
			err = take_op(past, writer, &op);
		fclose(in);
		if (err != 0) {
			fprintf(stderr, "%s: not a line of a journal: %s", path, line);
			return -1;
		}
	}
	return 0;
}

void journal_release(struct journal_past *past)
{
	mem_free(past->shared);
}

/* Whether another operation on the name began after this one had ended. */
static bool superseded(const struct journal_past *past, const struct journal_shared *by)
{
	for (size_t i = 0; i < past->n_shared; i++)
		if (past->shared[i].index == by->index && past->shared[i].start > by->done &&
		    past->shared[i].done != UINT64_MAX)
			return true;
	return false;
}

bool journal_allows(const struct journal_past *past, unsigned index, const struct mark *mark)
{
	struct journal_shared never = {.index = index};
	bool written = false;

	for (size_t i = 0; i < past->n_shared; i++) {
		const struct journal_shared *shared = &past->shared[i];

		if (shared->index != index)
			continue;
		written = written || shared->start == 0;
		if (shared->mark.version == mark->version &&
		    (mark->version == 0 || shared->mark.writer == mark->writer) &&
		    !superseded(past, shared))
			return true;
	}
	/* Nothing there, and nothing was there when the journals began. */
	return mark->version == 0 && !written && !superseded(past, &never);
}
