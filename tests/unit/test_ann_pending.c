/* Tests of pending.c: random moves against a naive model, order, views, room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ann/pending.h"
#include "store/mem.h"
#include "store/store.h"
#include "tests/support/ann_fixture.h"

#define SLOTS 200000u

enum place { NOWHERE, WAITING, TAKEN, TAKEN_DEAD, LINKED, TOMBSTONE, REPAIRED, RELEASED };

struct both {
	struct graph_states states;
	struct pending pending;
	enum place *model; /* SLOTS */
	uint64_t lsn;
	uint32_t used; /* slots so far */
};

static void both_new(struct both *both)
{
	memset(both, 0, sizeof(*both));
	assert_int_equal(graph_states_init(&both->states), 0);
	assert_int_equal(graph_states_grow(&both->states, SLOTS), 0);
	assert_int_equal(pending_init(&both->pending, &both->states), 0);
	both->model = mem_zalloc(SLOTS, sizeof(*both->model));
	assert_non_null(both->model);
}

static void both_free(struct both *both)
{
	pending_release(&both->pending);
	graph_states_release(&both->states);
	mem_free(both->model);
}

static uint32_t pick(const struct both *both, struct ann_random *random, enum place place)
{
	for (int i = 0; i < 50; i++) {
		uint32_t slot = both->used > 0 ? ann_random_below(random, both->used) : 0;

		if (both->used > 0 && both->model[slot] == place)
			return slot;
	}
	return STORE_NO_SLOT;
}

/* One commit that may kill and may push. */
static void commit(struct both *both, struct ann_random *random)
{
	static const enum place living[] = {WAITING, TAKEN, LINKED};
	uint32_t slot = STORE_NO_SLOT, old = STORE_NO_SLOT;

	if (ann_random_below(random, 3) == 0)
		old = pick(both, random, living[ann_random_below(random, 3)]);
	if (ann_random_below(random, 4) != 0) {
		slot = pick(both, random, NOWHERE);
		if (slot == STORE_NO_SLOT)
			slot = both->used++;
	}
	if (slot == STORE_NO_SLOT && old == STORE_NO_SLOT)
		return;
	assert_int_equal(pending_begin(&both->pending, both->used, 0, 1), 0);
	pending_commit(&both->pending, ++both->lsn, slot, old);
	pending_end(&both->pending, 1);
	if (old != STORE_NO_SLOT) {
		enum place was = both->model[old];

		both->model[old] = was == WAITING ? RELEASED :
				   was == TAKEN	  ? TAKEN_DEAD :
						    TOMBSTONE;
		if (was == LINKED)
			assert_int_equal(graph_state(&both->states, old), GRAPH_TOMBSTONE);
	}
	if (slot != STORE_NO_SLOT)
		both->model[slot] = WAITING;
}

static void finish_taken(struct both *both, struct ann_random *random)
{
	uint32_t slot = pick(both, random, ann_random_below(random, 2) ? TAKEN : TAKEN_DEAD);
	bool dead;

	if (slot == STORE_NO_SLOT)
		return;
	dead = both->model[slot] == TAKEN_DEAD;
	if (ann_random_below(random, 4) == 0) {
		pending_return(&both->pending, slot);
		both->model[slot] = dead ? RELEASED : WAITING;
		return;
	}
	graph_state_set(&both->states, slot, GRAPH_LINKED);
	pending_linked(&both->pending, slot);
	both->model[slot] = dead ? TOMBSTONE : LINKED;
	assert_int_equal(graph_state(&both->states, slot), dead ? GRAPH_TOMBSTONE : GRAPH_LINKED);
}

static void care(struct both *both, struct ann_random *random)
{
	struct pending_list list;
	uint32_t slot;

	if (pending_take_tombstone(&both->pending, &slot)) {
		assert_int_equal(both->model[slot], TOMBSTONE);
		if (ann_random_below(random, 5) == 0) {
			pending_unrepaired(&both->pending, slot);
		} else {
			pending_repaired(&both->pending, slot);
			both->model[slot] = REPAIRED;
		}
	}
	if (ann_random_below(random, 50) == 0) {
		assert_int_equal(pending_take_repaired(&both->pending, &list), 0);
		for (size_t i = 0; i < list.n; i++) {
			assert_int_equal(both->model[list.slots[i]], REPAIRED);
			both->model[list.slots[i]] = RELEASED;
			graph_state_set(&both->states, list.slots[i], GRAPH_ABSENT);
		}
		pending_swept(&both->pending, &list);
		mem_free(list.slots);
	}
	if (pending_take_released(&both->pending, &slot)) {
		bool failed = ann_random_below(random, 8) == 0;

		assert_int_equal(both->model[slot], RELEASED);
		pending_gone(&both->pending, slot, failed);
		if (!failed)
			both->model[slot] = NOWHERE;
	}
}

static void compare(struct both *both)
{
	struct pending_counts counts;
	struct pending_view view = {0};
	uint64_t n[RELEASED + 1] = {0};

	assert_int_equal(pending_check(&both->pending), 0);
	assert_int_equal(pending_snapshot(&both->pending, &view), 0);
	for (uint32_t slot = 0; slot < both->used; slot++) {
		bool member = both->model[slot] == WAITING || both->model[slot] == TAKEN;

		n[both->model[slot]]++;
		assert_int_equal(pending_has(&both->pending, slot), member);
	}
	for (size_t i = 0; i < view.n; i++)
		assert_true(both->model[view.slots[i]] == WAITING ||
			    both->model[view.slots[i]] == TAKEN);
	pending_count(&both->pending, &counts);
	assert_int_equal(view.n, n[WAITING] + n[TAKEN]);
	assert_int_equal(counts.waiting, n[WAITING]);
	assert_int_equal(counts.members, n[WAITING] + n[TAKEN]);
	assert_int_equal(counts.tombstones, n[TOMBSTONE]);
	assert_int_equal(counts.repaired, n[REPAIRED]);
	assert_int_equal(counts.released, n[RELEASED]);
	assert_int_equal(counts.in_hand, n[TAKEN_DEAD]);
	assert_int_equal(counts.live, n[WAITING] + n[TAKEN] + n[LINKED]);
	assert_int_equal(view.lsn, both->lsn);
	pending_view_release(&view);
}

static void test_random(void **state)
{
	struct ann_random random = {42};
	struct both both;
	uint32_t slots[8];

	(void)state;
	printf("seed 42\n");
	both_new(&both);
	for (unsigned step = 0; step < 60000; step++) {
		uint32_t op = ann_random_below(&random, 10);

		if (op < 5) {
			commit(&both, &random);
		} else if (op < 7) {
			size_t n = pending_take(&both.pending, slots, ann_random_below(&random, 9));

			for (size_t i = 0; i < n; i++) {
				assert_int_equal(both.model[slots[i]], WAITING);
				both.model[slots[i]] = TAKEN;
			}
		} else if (op < 9) {
			finish_taken(&both, &random);
		} else {
			care(&both, &random);
		}
		if (step % 5000 == 0)
			compare(&both);
	}
	compare(&both);
	both_free(&both);
}

static void push(struct both *both, uint32_t slot)
{
	assert_int_equal(pending_begin(&both->pending, slot, 0, 1), 0);
	pending_commit(&both->pending, ++both->lsn, slot, STORE_NO_SLOT);
	pending_end(&both->pending, 1);
}

static void kill_slot(struct both *both, uint32_t slot)
{
	assert_int_equal(pending_begin(&both->pending, both->used, 0, 1), 0);
	pending_commit(&both->pending, ++both->lsn, STORE_NO_SLOT, slot);
	pending_end(&both->pending, 1);
}

/*
 * A slot is used again while the graph holds its former vector. When the new one dies before it was
 * linked, what is in the graph must still be repaired and swept before the slot is free.
 */
static void test_dropped(void **state)
{
	struct both both;
	uint32_t slot, taken;

	(void)state;
	both_new(&both);
	both.used = 4;
	graph_state_set(&both.states, 1, GRAPH_TOMBSTONE);
	graph_state_set(&both.states, 2, GRAPH_TOMBSTONE);
	/* waiting */
	push(&both, 1);
	kill_slot(&both, 1);
	assert_true(pending_take_tombstone(&both.pending, &slot));
	assert_int_equal(slot, 1);
	assert_false(pending_take_released(&both.pending, &slot));
	/* taken, and not linked in the end */
	push(&both, 2);
	assert_int_equal(pending_take(&both.pending, &taken, 1), 1);
	kill_slot(&both, 2);
	pending_return(&both.pending, taken);
	assert_true(pending_take_tombstone(&both.pending, &slot));
	assert_int_equal(slot, 2);
	assert_false(pending_take_released(&both.pending, &slot));
	/* one that the graph never held is free at once */
	push(&both, 3);
	kill_slot(&both, 3);
	assert_false(pending_take_tombstone(&both.pending, &slot));
	assert_true(pending_take_released(&both.pending, &slot));
	assert_int_equal(slot, 3);
	both_free(&both);
}

static void test_oldest_first(void **state)
{
	struct both both;
	uint32_t slots[3];

	(void)state;
	both_new(&both);
	for (uint32_t slot = 5; slot < 10; slot++)
		push(&both, slot);
	assert_int_equal(pending_take(&both.pending, slots, 2), 2);
	assert_int_equal(slots[0], 5);
	assert_int_equal(slots[1], 6);
	pending_return(&both.pending, 5);
	assert_int_equal(pending_take(&both.pending, slots, 3), 3);
	assert_int_equal(slots[0], 7);
	assert_int_equal(slots[2], 9);
	assert_int_equal(pending_take(&both.pending, slots, 3), 1);
	assert_int_equal(slots[0], 5);
	assert_int_equal(pending_check(&both.pending), 0);
	both_free(&both);
}

static void test_renew(void **state)
{
	struct pending_view view = {0};
	struct both both;

	(void)state;
	both_new(&both);
	push(&both, 1);
	assert_int_equal(pending_snapshot(&both.pending, &view), 0);
	assert_int_equal(view.n, 1);
	assert_int_equal(pending_renew(&both.pending, &view), 0);
	assert_int_equal(view.n, 0);
	push(&both, 2);
	push(&both, 3);
	assert_int_equal(pending_begin(&both.pending, 4, 0, 1), 0);
	pending_commit(&both.pending, ++both.lsn, STORE_NO_SLOT, 2);
	pending_end(&both.pending, 1);
	/* What came and went is told too: the search finds out that it is dead. */
	assert_int_equal(pending_renew(&both.pending, &view), 0);
	assert_int_equal(view.n, 2);
	assert_int_equal(view.slots[0], 2);
	assert_int_equal(view.slots[1], 3);
	assert_int_equal(view.lsn, both.lsn);
	assert_int_equal(view.live, 2);
	for (uint32_t i = 0; i < PENDING_RECENT; i++)
		push(&both, 10 + i);
	assert_int_equal(pending_renew(&both.pending, &view), 0);
	assert_int_equal(view.n, PENDING_RECENT);
	for (uint32_t i = 0; i <= PENDING_RECENT; i++)
		push(&both, 10 + PENDING_RECENT + i);
	assert_int_equal(pending_renew(&both.pending, &view), ERR_AGAIN);
	pending_view_release(&view);
	both_free(&both);
}

/* Once begun, commits find room, whatever other commits begun before do first. */
static void test_room(void **state)
{
	struct both both;

	(void)state;
	both_new(&both);
	assert_int_equal(pending_begin(&both.pending, 0, 0, 70000), 0);
	for (uint32_t slot = 0; slot < 70000; slot++)
		pending_commit(&both.pending, slot + 1, slot, STORE_NO_SLOT);
	pending_end(&both.pending, 70000);
	assert_int_equal(pending_begin(&both.pending, 70000, 0, 70000), 0);
	for (uint32_t slot = 0; slot < 70000; slot++)
		pending_commit(&both.pending, 70001 + slot, 70000 + slot, slot);
	pending_end(&both.pending, 70000);
	both.lsn = 140000;
	both.used = 140000;
	for (uint32_t slot = 0; slot < 140000; slot++)
		both.model[slot] = slot < 70000 ? RELEASED : WAITING;
	compare(&both);
	both_free(&both);
}

/*
 * Who comes to begin late has counted the slots early: by then others have taken the next ones, and ended.
 * The slot that is left for it has a place all the same.
 */
static void test_room_of_the_late(void **state)
{
	const uint32_t counted = PENDING_CHUNK - 1;
	struct both both;

	(void)state;
	both_new(&both);
	assert_int_equal(pending_begin(&both.pending, counted, 0, 1), 0);
	pending_commit(&both.pending, ++both.lsn, counted, STORE_NO_SLOT);
	pending_end(&both.pending, 1);
	assert_int_equal(pending_begin(&both.pending, counted, 0, 1), 0);
	assert_true(both.pending.slots > counted + 1);
	pending_commit(&both.pending, ++both.lsn, counted + 1, STORE_NO_SLOT);
	pending_end(&both.pending, 1);
	assert_true(pending_has(&both.pending, counted + 1));
	assert_int_equal(pending_check(&both.pending), 0);
	both_free(&both);
}

/* What could not be repaired or given back waits until the others had their turn. */
static void test_failed_last(void **state)
{
	struct both both;
	uint32_t slot;

	(void)state;
	both_new(&both);
	assert_int_equal(pending_begin(&both.pending, 0, 0, 6), 0);
	for (slot = 0; slot < 6; slot++)
		pending_load_dead(&both.pending, slot, slot < 3);
	pending_end(&both.pending, 6);
	for (unsigned seen = 0, i = 0; i < 3; i++) {
		assert_true(pending_take_tombstone(&both.pending, &slot));
		pending_unrepaired(&both.pending, slot);
		assert_false(seen >> slot & 1);
		seen |= 1u << slot;
	}
	for (unsigned seen = 0, i = 0; i < 3; i++) {
		assert_true(pending_take_released(&both.pending, &slot));
		pending_gone(&both.pending, slot, true);
		assert_false(seen >> slot & 1);
		seen |= 1u << slot;
	}
	both_free(&both);
}

static bool always(void *ctx)
{
	(void)ctx;
	return true;
}

static void test_no_memory(void **state)
{
	struct both both;

	(void)state;
	both_new(&both);
	mem_set_fault(always, NULL);
	assert_int_equal(pending_begin(&both.pending, 0, 0, 1), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_int_equal(pending_begin(&both.pending, 0, 0, 1), 0);
	pending_commit(&both.pending, ++both.lsn, 0, STORE_NO_SLOT);
	mem_set_fault(always, NULL);
	pending_end(&both.pending, 1);
	pending_return(&both.pending, 0);
	mem_set_fault(NULL, NULL);
	assert_int_equal(pending_begin(&both.pending, UINT32_MAX, 0, 1), ERR_LIMIT);
	assert_int_equal(both.pending.begun, 0);
	both_free(&both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_oldest_first),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_room_of_the_late),
		cmocka_unit_test(test_failed_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
