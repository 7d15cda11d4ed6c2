/*
 * store_history.h - every state that a store went through, as digests, and the judge of what a crash
 * left of it.
 *
 * State k is the whole content after k operations: all ids with attributes, extended ones too, numbers
 * and values, and the last LSN. Publication p is the graph as published by flush p; 0 is none. Marks on the tape say
 * which operations and publications were begun, acknowledged and promised as durable; from them
 * follow the bounds within which a crash must leave the store.
 */
#ifndef VECFS_TESTS_STORE_HISTORY_H
#define VECFS_TESTS_STORE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "tests/support/io_mem.h"
#include "tests/support/tape.h"

enum history_mark {
	HISTORY_CREATED,     /* store_create returned 0 */
	HISTORY_BEGUN,	     /* operation value was called; its state is number value */
	HISTORY_DONE,	     /* and returned 0 */
	HISTORY_DURABLE,     /* state value is promised to survive a power cut */
	HISTORY_GRAPH_BEGUN, /* publication value */
	HISTORY_GRAPH_DONE,
};

struct history_state {
	uint64_t digest, ids, last_lsn;
};

struct history_graph {
	uint64_t digest, lsn;
};

struct history {
	struct history_state *states;
	size_t n_states, states_cap;
	struct history_graph *graphs;
	size_t n_graphs, graphs_cap;
};

/* What a moment of the tape has promised. */
struct history_bounds {
	bool created;
	uint64_t begun, done, durable;
	uint64_t graph_begun, graph_done;
};

/* How much is looked at in one state. */
struct history_depth {
	bool check_before; /* store_check of the state as it is */
	bool check_after;  /* and of what recovery made of it */
	bool again;	   /* a second opening gives the same, an orderly close leaves no log */
};

struct history_verdict {
	uint64_t state; /* that was found */
	uint64_t graph;
	char why[700]; /* what is wrong */
};

/* Starts with state 0, empty, and publication 0. */
void history_init(struct history *history);
void history_release(struct history *history);
void history_add_state(struct history *history, uint64_t digest, uint64_t ids, uint64_t last_lsn);
void history_add_graph(struct history *history, uint64_t digest, uint64_t lsn);

/* Sums of these are digests. The entry's value has size bytes. */
uint64_t history_digest_entry(const struct store_entry *entry, const struct xattrs *xattrs,
			      const void *value, uint32_t size);
uint64_t history_digest_page(enum store_space space, uint32_t page, const void *bytes,
			     uint32_t size);

void history_take_mark(struct history_bounds *bounds, const struct tape_event *event);
/* A number that changes when something more is promised. */
uint64_t history_promises(const struct history_bounds *bounds);

/* What an open store holds; false with a reason when it cannot be read or contradicts itself. */
bool history_read(struct store *store, struct history_state *state_out,
		  struct history_graph *graph_out, char *why, size_t size);

/*
 * Opens the store on the medium and judges it. power: the machine stopped, so that only what is
 * durable was promised. The medium is changed. False with verdict->why when a promise is broken.
 */
bool history_judge(const struct history *history, const struct history_bounds *bounds, bool power,
		   const struct store_opts *opts, struct io_mem *medium,
		   const struct history_depth *depth, struct history_verdict *verdict);

#endif
