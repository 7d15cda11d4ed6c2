/*
 * recover_world.h - a store as a crash leaves it, with two checkpoints and more in its log, and what
 * must be in it; for the tests of opening.
 *
 * Failures of the helpers are failures of the running cmocka test. One world at a time.
 */
#ifndef VECFS_TESTS_RECOVER_WORLD_H
#define VECFS_TESTS_RECOVER_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/store_fixture.h"

#define RECOVER_WORLD_IDS 120u

/* What each id must hold; 0: nothing. */
extern uint32_t recover_world_versions[RECOVER_WORLD_IDS];

/* A new store. Two checkpoints and more in the log, left as by a crash. */
void recover_world_build(struct store_fixture *f);
/* And what its slots say, the ruling one first. */
void recover_world_look(struct store_fixture *f, struct head *head_out,
			struct head_slot slots_out[2]);
/* Gives every step-th id this version. */
void recover_world_put(struct store_fixture *f, uint32_t step, uint32_t version);
/* All ids hold their versions; the tables are sound. */
void recover_world_expect(struct store_fixture *f);
/* Opens, looks, works on, and opens what that left. older: the older slot rules at first. */
void recover_world_reopens(struct store_fixture *f, bool older);
/* Opening is refused, with these words. */
void recover_world_refuses(struct store_fixture *f, int want, const char *words);
/* A segment of the log, which must be there, is gone. */
void recover_world_lose_segment(struct store_fixture *f, uint64_t seq);
/* Damages the newer commit slot. */
void recover_world_spoil_newest(struct store_fixture *f);
/* Damages what it points to: both copies of the top map page of values. */
void recover_world_spoil_map(struct store_fixture *f);

#endif
