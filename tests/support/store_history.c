/* store_history.c - digests of contents, and whether what a crash left is one that is allowed. */
#include "tests/support/store_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "store/mem.h"

#define LIST_CAP 64u

/* --- history --- */

void history_add_state(struct history *history, uint64_t digest, uint64_t ids, uint64_t last_lsn)
{
	if (mem_grow((void **)&history->states, &history->states_cap, history->n_states + 1,
		     sizeof(*history->states)) != 0)
		abort();
	history->states[history->n_states++] = (struct history_state){digest, ids, last_lsn};
}

void history_add_graph(struct history *history, uint64_t digest, uint64_t lsn)
{
	if (mem_grow((void **)&history->graphs, &history->graphs_cap, history->n_graphs + 1,
		     sizeof(*history->graphs)) != 0)
		abort();
	history->graphs[history->n_graphs++] = (struct history_graph){digest, lsn};
}

void history_init(struct history *history)
{
	memset(history, 0, sizeof(*history));
	history_add_state(history, 0, 0, 0);
	history_add_graph(history, 0, 0);
}

void history_release(struct history *history)
{
	mem_free(history->states);
	mem_free(history->graphs);
	memset(history, 0, sizeof(*history));
}

uint64_t history_digest_entry(const struct store_entry *entry, const struct xattrs *xattrs,
			      const void *value, uint32_t size)
{
	struct {
		uint64_t ino, lsn, value, xattrs;
		int64_t mtime_ns;
		uint32_t slot, mode, uid, gid, id_len, zero;
		char id[FORMAT_ID_MAX + 1];
	} packed = {
		.ino = entry->ino,
		.lsn = entry->lsn,
		.value = XXH3_64bits(value, size),
		.xattrs = xattrs->len > 0 ? XXH3_64bits(xattrs->bytes, xattrs->len) : 0,
		.mtime_ns = entry->attr.mtime_ns,
		.slot = entry->slot,
		.mode = entry->attr.mode,
		.uid = entry->attr.uid,
		.gid = entry->attr.gid,
		.id_len = entry->id_len,
	};

	memcpy(packed.id, entry->id, entry->id_len);
	return XXH3_64bits(&packed, sizeof(packed));
}

uint64_t history_digest_page(enum store_space space, uint32_t page, const void *bytes,
			     uint32_t size)
{
	return XXH3_64bits_withSeed(bytes, size, (uint64_t)space << 32 | page);
}

void history_take_mark(struct history_bounds *bounds, const struct tape_event *event)
{
	switch ((enum history_mark)event->mark) {
	case HISTORY_CREATED:
		bounds->created = true;
		break;
	case HISTORY_BEGUN:
		bounds->begun = event->value;
		break;
	case HISTORY_DONE:
		bounds->done = event->value;
		break;
	case HISTORY_DURABLE:
		bounds->durable = event->value;
		break;
	case HISTORY_GRAPH_BEGUN:
		bounds->graph_begun = event->value;
		break;
	case HISTORY_GRAPH_DONE:
		bounds->graph_done = event->value;
		break;
	}
}

uint64_t history_promises(const struct history_bounds *bounds)
{
	return XXH3_64bits(&bounds->done, sizeof(bounds->done)) +
	       3 * XXH3_64bits(&bounds->durable, sizeof(bounds->durable)) +
	       5 * XXH3_64bits(&bounds->graph_done, sizeof(bounds->graph_done)) + bounds->created;
}

/* --- reading --- */

static bool read_entry(struct store *store, const struct store_entry *listed, uint8_t *value,
		       struct history_state *state, char *why, size_t size)
{
	static uint8_t list[XATTRS_BYTES_MAX];
	struct xattrs xattrs = {list, 0};
	struct store_entry entry, by_slot;
	int err = store_get(store, listed->id, listed->id_len, &entry, value);

	if (err == 0)
		err = store_get_xattrs(store, listed->id, listed->id_len, list, &xattrs.len);
	if (err == 0)
		err = store_slot_entry(store, listed->slot, &by_slot);
	if (err != 0) {
		(void)snprintf(why, size, "%s is listed and cannot be read: %s", listed->id,
			       err_str(err));
		return false;
	}
	if (entry.slot != listed->slot || entry.ino != listed->ino || by_slot.lsn != entry.lsn ||
	    by_slot.ino != entry.ino || strcmp(by_slot.id, entry.id) != 0) {
		(void)snprintf(why, size, "%s: listing, name and slot do not agree", listed->id);
		return false;
	}
	state->digest += history_digest_entry(&entry, &xattrs, value, store_value_size(store));
	state->ids++;
	return true;
}

static bool read_ids(struct store *store, struct history_state *state, char *why, size_t size)
{
	static struct store_entry entries[LIST_CAP];
	static uint8_t value[FORMAT_VALUE_MAX];
	uint64_t cursors[LIST_CAP], cursor = 0;
	size_t n = LIST_CAP;
	int err;

	while (n == LIST_CAP) {
		err = store_list(store, cursor, entries, cursors, LIST_CAP, &n);
		if (err != 0) {
			(void)snprintf(why, size, "listing: %s", err_str(err));
			return false;
		}
		for (size_t i = 0; i < n; i++)
			if (!read_entry(store, &entries[i], value, state, why, size))
				return false;
		cursor = n > 0 ? cursors[n - 1] : 0;
	}
	return true;
}

static bool read_graph(struct store *store, struct history_graph *graph, char *why, size_t size)
{
	static const enum store_space spaces[] = {STORE_GRAPH, STORE_CODE, STORE_AUX};
	static uint8_t page[FORMAT_PAGE_MAX];
	uint32_t page_size = store_page_size(store);
	const void *at = page;
	int err = 0;

	graph->lsn = store_graph_lsn(store);
	store_read_begin(store);
	for (size_t s = 0; err == 0 && s < 3; s++) {
		for (uint32_t i = 0; err == 0 && i < store_pages(store, spaces[s]); i++) {
			if (spaces[s] == STORE_GRAPH)
				err = store_page(store, i, &at);
			else
				err = store_blob_read(store, spaces[s], i, page);
			if (err != 0)
				(void)snprintf(why, size, "page %u of space %d: %s", (unsigned)i,
					       (int)spaces[s], err_str(err));
			else
				graph->digest += history_digest_page(
					spaces[s], i, spaces[s] == STORE_GRAPH ? at : page,
					page_size);
		}
	}
	store_read_end(store);
	return err == 0;
}

bool history_read(struct store *store, struct history_state *state_out,
		  struct history_graph *graph_out, char *why, size_t size)
{
	struct store_stats stats;

	memset(state_out, 0, sizeof(*state_out));
	memset(graph_out, 0, sizeof(*graph_out));
	if (!read_ids(store, state_out, why, size) || !read_graph(store, graph_out, why, size))
		return false;
	store_get_stats(store, &stats);
	state_out->last_lsn = stats.last_lsn;
	if (stats.live != state_out->ids) {
		(void)snprintf(why, size, "%llu ids, but %llu live",
			       (unsigned long long)state_out->ids, (unsigned long long)stats.live);
		return false;
	}
	return true;
}

/* --- judging --- */

struct judge {
	const struct history *history;
	const struct history_bounds *bounds;
	const struct store_opts *opts;
	struct io_mem *medium;
	struct history_verdict *verdict;
	bool strict; /* no finding at all is allowed */
};

static bool refuse(struct judge *j, const char *what, const char *text)
{
	(void)snprintf(j->verdict->why, sizeof(j->verdict->why), "%s: %s", what, text);
	return false;
}

static bool find_state(struct judge *j, bool power, const struct history_state *found)
{
	uint64_t first = power ? j->bounds->durable : j->bounds->done, last = j->bounds->begun;
	const struct history *h = j->history;
	uint64_t like = UINT64_MAX;

	for (uint64_t k = last + 1; k-- > first;)
		if (h->states[k].digest == found->digest && h->states[k].ids == found->ids &&
		    h->states[k].last_lsn == found->last_lsn) {
			j->verdict->state = k;
			return true;
		}
	for (uint64_t k = 0; k < h->n_states; k++)
		if (h->states[k].digest == found->digest)
			like = k;
	(void)snprintf(j->verdict->why, sizeof(j->verdict->why),
		       "not a state from %llu to %llu: %llu ids, last LSN %llu; %s %lld",
		       (unsigned long long)first, (unsigned long long)last,
		       (unsigned long long)found->ids, (unsigned long long)found->last_lsn,
		       like == UINT64_MAX ? "like no state" : "the ids are those of state",
		       (long long)like);
	return false;
}

static bool find_graph(struct judge *j, const struct history_graph *found)
{
	const struct history *h = j->history;

	for (uint64_t p = j->bounds->graph_begun + 1; p-- > j->bounds->graph_done;)
		if (h->graphs[p].digest == found->digest && h->graphs[p].lsn == found->lsn) {
			j->verdict->graph = p;
			return true;
		}
	(void)snprintf(j->verdict->why, sizeof(j->verdict->why),
		       "the graph (LSN %llu) is none of the publications %llu to %llu",
		       (unsigned long long)found->lsn, (unsigned long long)j->bounds->graph_done,
		       (unsigned long long)j->bounds->graph_begun);
	return false;
}

static struct store_io *attach(struct judge *j)
{
	struct store_io *io = io_mem_attach(j->medium);

	if (io == NULL)
		abort();
	return io;
}

/* A torn commit slot is what a power cut leaves, and the check says so. */
static void take_finding(void *ctx, bool damage, const char *text)
{
	struct judge *j = ctx;

	if (j->strict || (damage && strncmp(text, "a commit slot is damaged", 24) != 0))
		(void)refuse(j, j->strict ? "check after recovery" : "check", text);
}

static bool check(struct judge *j, bool strict)
{
	struct store_check_report report;
	struct store_io *io = attach(j);
	struct err_msg msg = {{0}};
	int err;

	j->strict = strict;
	j->verdict->why[0] = '\0';
	err = store_check(io, NULL, take_finding, NULL, j, &report, &msg);
	io->ops->close(io);
	if (err != 0)
		return refuse(j, "check cannot run", msg.text);
	return j->verdict->why[0] == '\0';
}

/* Opens, reads, and closes or abandons. */
static bool open_and_read(struct judge *j, bool close, struct history_state *state,
			  struct history_graph *graph)
{
	struct store_io *io = attach(j);
	struct err_msg msg = {{0}};
	struct store *store;
	bool good;
	int err = store_open(io, j->opts, &store, NULL, &msg);

	if (err != 0) {
		io->ops->close(io);
		return refuse(j, "open", msg.text[0] != '\0' ? msg.text : err_str(err));
	}
	good = history_read(store, state, graph, j->verdict->why, sizeof(j->verdict->why));
	if (!close)
		store_abandon(store);
	else if ((err = store_close(store)) != 0 && good)
		good = refuse(j, "close", err_str(err));
	io->ops->close(io);
	return good;
}

/* After an orderly close there is no segment. */
static bool has_no_log(struct judge *j)
{
	struct store_io *io = attach(j);
	uint64_t *seqs = NULL;
	size_t n = 0;
	int err = io->ops->log_list(io, &seqs, &n);

	mem_free(seqs);
	io->ops->close(io);
	return err == 0 && n == 0 ? true : refuse(j, "close", "segments are left");
}

static bool is_same(const struct history_state *a, const struct history_graph *g,
		    const struct history_state *b, const struct history_graph *h)
{
	return memcmp(a, b, sizeof(*a)) == 0 && memcmp(g, h, sizeof(*g)) == 0;
}

static bool judge_again(struct judge *j, const struct history_state *state,
			const struct history_graph *graph)
{
	struct history_state second;
	struct history_graph second_graph;

	for (unsigned round = 0; round < 2; round++) {
		if (!open_and_read(j, round == 0, &second, &second_graph))
			return false;
		if (!is_same(state, graph, &second, &second_graph))
			return refuse(j, "opened again", "another content");
		if (round == 0 && (!has_no_log(j) || !check(j, true)))
			return false;
	}
	return true;
}

bool history_judge(const struct history *history, const struct history_bounds *bounds, bool power,
		   const struct store_opts *opts, struct io_mem *medium,
		   const struct history_depth *depth, struct history_verdict *verdict)
{
	struct judge j = {.history = history,
			  .bounds = bounds,
			  .opts = opts,
			  .medium = medium,
			  .verdict = verdict};
	struct history_state state;
	struct history_graph graph;
	size_t len;

	verdict->why[0] = '\0';
	verdict->state = verdict->graph = 0;
	if (io_mem_head(medium, &len) == NULL)
		return bounds->created ? refuse(&j, "open", "the store is gone") : true;
	if (depth->check_before && !check(&j, false))
		return false;
	if (!open_and_read(&j, false, &state, &graph))
		return false;
	if (!find_state(&j, power, &state) || !find_graph(&j, &graph))
		return false;
	if (depth->check_after && !check(&j, true))
		return false;
	return !depth->again || judge_again(&j, &state, &graph);
}
