/*
 * salvage_world.h - stores on a medium in memory together with what they must hold, for the tests that
 * damage them.
 *
 * A value says which write it is (serial), so that a wrong or mixed one shows. Failures of the helpers
 * are failures of the running cmocka test. For one thread.
 */
#ifndef VECFS_TESTS_SALVAGE_WORLD_H
#define VECFS_TESTS_SALVAGE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "tests/support/io_mem.h"

#define WORLD_IDS 150u
#define WORLD_WORDS 64u
#define WORLD_VALUE (WORLD_WORDS * 4u)
#define WORLD_PAGE 4096u
#define WORLD_OPS_MAX 1000u
#define WORLD_OPS 400u /* of a world, about */

enum salvage_world_kind {
	WORLD_CLEAN,	/* closed in order */
	WORLD_KILLED,	/* with a log since the last checkpoint */
	WORLD_YOUNG,	/* killed without any checkpoint */
	WORLD_CUT,	/* killed after a power cut, whose discarded records are still there */
	WORLD_UNLOGGED, /* without a log, closed in order */
	WORLD_DROPPED,	/* without a log, killed */
	WORLD_KINDS,
};

struct salvage_world_op {
	uint64_t lsn;
	uint32_t a, b; /* ids that it touches; the same when there is one */
	bool is_rename;
};

struct salvage_world {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	uint32_t serial[WORLD_IDS]; /* what each id must hold, 0: nothing */
	uint32_t mode[WORLD_IDS];
	uint32_t slot[WORLD_IDS];
	uint64_t lsn[WORLD_IDS];	    /* of the put of the serial */
	uint32_t older[WORLD_IDS];	    /* serials that both slots have, without a log */
	bool had[WORLD_IDS][WORLD_OPS_MAX]; /* serials that once stood under the id */
	struct salvage_world_op ops[WORLD_OPS_MAX];
	uint32_t n_ops, next_serial;
};

/* Releases with salvage_world_free. */
struct salvage_world *salvage_world_new(enum salvage_world_kind kind, uint64_t seed);
void salvage_world_free(struct salvage_world *w);
void salvage_world_open(struct salvage_world *w, enum wal_durability durability);
/* Closes the store in order, or leaves it as a kill does. */
void salvage_world_leave(struct salvage_world *w, bool orderly);
/* A new version of an id. */
void salvage_world_put(struct salvage_world *w, uint32_t id);

/* Visits the records of the log of a medium. */
int salvage_world_walk(struct io_mem *medium, wal_visit visit, void *ctx);
size_t salvage_world_name(uint32_t id, char *out);
/* The value of a serial, WORLD_WORDS numbers. */
void salvage_world_fill(uint32_t serial, uint32_t *value);

/* The random stream of the worlds; making one seeds it. */
void salvage_world_random(uint64_t seed);
uint32_t salvage_world_below(uint32_t bound);

#endif
