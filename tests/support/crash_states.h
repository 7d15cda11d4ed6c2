/*
 * crash_states.h - the states in which a crash at one moment may leave the disk.
 *
 * At a moment of a tape there are these variants, numbered in this order:
 *   - the process is killed: the page cache stands, the boot is the same; also with the last write
 *     cut short
 *   - the power goes: another boot, and of the pending events of disk_model.h
 *       all are on disk; none is; one is missing; one alone is there; one is torn;
 *       the last write is torn at each multiple of 512 bytes, its front or its end kept, with
 *       all the others or with none; random subsets with random tears
 * A state that is equal to an earlier one, with the same promises, is not given again.
 */
#ifndef VECFS_TESTS_CRASH_STATES_H
#define VECFS_TESTS_CRASH_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/disk_model.h"

struct crash_state {
	unsigned variant;
	bool power;	       /* the machine stopped, not only the process */
	bool unfinished;       /* the last call had not returned */
	char what[120];	       /* for messages */
	struct io_mem *medium; /* to be changed as the visitor likes */
};

/* Returns false to end the enumeration. */
typedef bool (*crash_visit)(void *ctx, const struct crash_state *state);

struct crash_states {
	uint64_t seed;	       /* of the random ones */
	unsigned randoms;      /* random subsets at each moment */
	uint8_t boot[2][16];   /* of the recording, and after a power cut */
	const unsigned *only;  /* just this variant, or NULL */
	struct io_mem *medium; /* of the state that is being visited */
	uint64_t *seen;	       /* hash table */
	size_t n_seen, seen_cap;
	struct disk_fate *fates;
	size_t fates_cap;
};

/* boot: of the recording; a power cut gives another one. Aborts without memory, as all here. */
void crash_states_init(struct crash_states *states, uint64_t seed, unsigned randoms,
		       const uint8_t boot[16]);
void crash_states_release(struct crash_states *states);
/* Forgets which states were given. */
void crash_states_forget(struct crash_states *states);

/*
 * Visits the states of the moment after event `at`, which the model took in last. promises: what was
 * promised until now, as a number that changes with it. True when all were visited.
 */
bool crash_states_visit(struct crash_states *states, const struct disk_model *model,
			const struct tape_event *last, size_t at, uint64_t promises,
			crash_visit visit, void *ctx);

#endif
