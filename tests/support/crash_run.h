/*
 * crash_run.h - goes through all moments of a tape, makes the states that a crash then may leave,
 * and lets store_history.h judge each; at some of them also the crashes within the recovery.
 *
 * A state has a name, "event.variant", of one in recovery "event.variant/event.variant". The
 * variable CASE restricts a run to the one of that name.
 */
#ifndef VECFS_TESTS_CRASH_RUN_H
#define VECFS_TESTS_CRASH_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/crash_states.h"
#include "tests/support/store_history.h"

struct crash_count {
	uint64_t checked, failed;
};

struct crash_run {
	const struct tape *tape;
	const struct history *history;
	struct store_opts opts;
	const char *title; /* what to repeat it with, for messages */
	uint64_t seed;
	unsigned randoms;	/* random subsets at each moment */
	size_t from;		/* the first moment: after this event */
	unsigned share;		/* one of so many moments; 0 and 1: all */
	unsigned deep_share;	/* one of so many states is judged in depth */
	unsigned recover_share; /* crashes within recovery at one of so many moments; 0: none */
	unsigned inner_share;	/* one of so many moments of a recovery */
	const char *only;	/* name of one state, or NULL */
	struct crash_count states, recovery;
};

/* Counts into run->states and run->recovery; says each failure. Stops after ten. */
void crash_run(struct crash_run *run);

#endif
