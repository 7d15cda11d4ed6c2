/*
 * fault_world.h - a store, what it must hold, and small programs of operations, for the tests that
 * make every call to the disk and every allocation fail.
 *
 * The model is whole states: the one that all acknowledged operations give (now), and for each
 * operation that failed since the last acknowledged one the state that it would have given (maybe).
 * A store that is opened again holds one of them exactly, values, attributes of both kinds and list.
 *
 * A program is words of a letter and digits, blanks between:
 *   M make  O open  Z open read-only  C close  A abandon (a crash)  K check (not open)
 *   p put  n put new  k put, keep attributes  d delete  a set attributes  t, u set extended attributes
 *     or remove them: an id follows
 *   r rename  w rename without replacing  e exchange: two ids follow
 *   s sync  c checkpoint  f release dead slots  x drop caches  v read and list everything
 *   g publish a graph  h begin one and give up  R forget the graph
 * Words that need an open store do nothing without one. Nothing here allocates through store/mem.h.
 */
#ifndef VECFS_TESTS_FAULT_WORLD_H
#define VECFS_TESTS_FAULT_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

#define FAULT_IDS 10u
#define FAULT_MAYBE 48u
#define FAULT_HISTORY 64u

struct fault_id {
	uint32_t version; /* 0: absent */
	uint32_t mode;
	int64_t mtime_ns;
	uint64_t list; /* version of the extended attributes; 0: none */
};

struct fault_state {
	struct fault_id ids[FAULT_IDS];
};

struct fault_graph {
	uint32_t version; /* 0: none */
	uint64_t lsn;
};

struct fault_world {
	/* set by the test */
	struct store_opts opts;
	uint32_t page_size, value_size;
	struct store_io *(*attach)(void *ctx); /* a new connection, or NULL */
	void *attach_ctx;
	const bool *faulty; /* true once a fault was made: then operations may fail */
	bool may_lose; /* what was not synced may be missing: any state since the last sync is right */

	struct store_io *io;
	struct store *store;
	bool read_only;
	bool unmade; /* making it failed: it may be there or not */
	struct fault_state now;
	struct fault_state shown; /* what the open store shows: now, unless it is read-only */
	struct fault_state maybe[FAULT_MAYBE];
	uint32_t n_maybe;
	struct fault_state history[FAULT_HISTORY]; /* acknowledged, not known durable, before now */
	uint32_t n_history;
	struct fault_graph graph;
	struct fault_graph graph_before; /* what the older commit slot may name */
	struct fault_graph graph_maybe[FAULT_MAYBE];
	uint32_t n_graph_maybe;
	uint32_t version;
	uint32_t dead[FAULT_HISTORY];
	uint32_t n_dead;
	uint32_t unread;  /* a bit for each id that the last look could not read */
	bool unlisted;	  /* nor list */
	uint32_t damages; /* that the last check found */
	uint32_t errors;  /* operations that failed */
	struct err_msg msg;
	char why[400]; /* the first thing that was wrong, or empty */
};

/* Runs a program. False when something was wrong; then w->why says what. */
bool fault_world_run(struct fault_world *w, const char *program);
/* Notes what is wrong, once. Returns false. */
bool fault_world_wrong(struct fault_world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * To be called when no fault is active any more: reads of a store still open are right, writes work
 * or it is poisoned; reopened it holds what it must, takes writes, closes and is found clean.
 */
bool fault_world_finish(struct fault_world *w);

/*
 * Reads everything of an open store. 0 and the state, or the first error. Wrong bytes, and a list
 * that disagrees with what is found by name, are noted with fault_world_wrong.
 */
int fault_world_observe(struct fault_world *w, struct fault_state *state_out);
/* The value of a version, and the version of a value: 0 when it is none. */
void fault_world_value(const struct fault_world *w, uint32_t version, uint32_t *words_out);
uint32_t fault_world_version(const struct fault_world *w, const uint32_t *words);
size_t fault_world_name(uint32_t id, char name_out[32]);
/* The extended attributes of a version, valid until the next call. */
struct xattrs fault_world_list(const struct fault_world *w, uint32_t version);
/* Lets go of everything without writing. */
void fault_world_drop(struct fault_world *w);

#endif
