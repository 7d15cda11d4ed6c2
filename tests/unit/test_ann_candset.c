/* test_ann_candset.c - the candidate list against a naive model, and the visited set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ann/candset.h"
#include "store/err.h"
#include "store/mem.h"

#define SEED 20231u

static uint64_t random_state = SEED;

static uint32_t draw(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 33) % below);
}

/* Everything ever added, in order. */
struct model {
	struct graph_hit items[4096];
	bool tombstone[4096];
	size_t n;
};

static void model_add(struct model *model, float distance, uint32_t slot, bool tombstone)
{
	size_t at = model->n++;

	for (; at > 0 && model->items[at - 1].distance > distance; at--) {
		model->items[at] = model->items[at - 1];
		model->tombstone[at] = model->tombstone[at - 1];
	}
	model->items[at] = (struct graph_hit){distance, slot};
	model->tombstone[at] = tombstone;
}

/* The live ones of the set are the first `effort` live ones of the model. */
static void compare(struct candset *set, const struct model *model)
{
	size_t found = 0;

	candset_finish(set);
	for (size_t i = 0; i < model->n && found < set->effort; i++) {
		if (model->tombstone[i])
			continue;
		assert_true(found < set->n);
		assert_true(set->items[found].distance == model->items[i].distance);
		found++;
	}
	assert_int_equal(set->n, found);
	for (size_t i = 0; i < set->n; i++)
		assert_true(set->items[i].slot <= CANDSET_SLOT);
}

/* A candidate whose turn was put off comes again, before those that are farther. */
static void taken_and_put_back(void **state)
{
	struct candset set = {0};

	(void)state;
	assert_int_equal(candset_start(&set, 4), 0);
	for (uint32_t slot = 1; slot <= 4; slot++)
		candset_add(&set, (float)slot, slot, false);
	assert_int_equal(candset_peek(&set), 1);
	assert_int_equal(candset_take(&set), 1);
	assert_int_equal(candset_peek(&set), 2);
	set.items[2].slot |= CANDSET_EXPANDED; /* the third takes its turn */
	candset_put_back(&set, 0);
	assert_true(candset_check(&set));
	for (uint32_t slot = 1; slot <= 4; slot += slot == 2 ? 2 : 1) {
		assert_int_equal(candset_peek(&set), slot);
		assert_int_equal(candset_take(&set), slot);
	}
	assert_int_equal(candset_peek(&set), CANDSET_SLOT);
	candset_release(&set);
}

static void random_against_model(void **state)
{
	struct candset set = {0};
	static struct model model;

	(void)state;
	print_message("seed %u\n", SEED);
	for (int turn = 0; turn < 200; turn++) {
		uint32_t effort = 1 + draw(40), n = draw(600), dead = draw(100);

		model.n = 0;
		assert_int_equal(candset_start(&set, effort), 0);
		for (uint32_t slot = 0; slot < n; slot++) {
			float distance = (float)draw(1000);
			bool tombstone = draw(100) < dead;

			candset_add(&set, distance, slot, tombstone);
			model_add(&model, distance, slot, tombstone);
			assert_true(candset_check(&set));
			if (draw(3) == 0 && candset_peek(&set) != CANDSET_SLOT)
				(void)candset_take(&set);
			assert_true(candset_check(&set));
		}
		compare(&set, &model);
	}
	candset_release(&set);
}

static void takes_nearest_unexpanded(void **state)
{
	struct candset set = {0};

	(void)state;
	assert_int_equal(candset_start(&set, 8), 0);
	assert_int_equal(candset_peek(&set), CANDSET_SLOT);
	candset_add(&set, 5, 50, false);
	candset_add(&set, 3, 30, true);
	assert_int_equal(candset_peek(&set), 30);
	assert_int_equal(candset_take(&set), 30);
	assert_int_equal(candset_peek(&set), 50);
	candset_add(&set, 1, 10, false);
	assert_int_equal(candset_peek(&set), 10);
	assert_int_equal(candset_take(&set), 10);
	assert_int_equal(candset_peek(&set), 50);
	assert_int_equal(candset_take(&set), 50);
	assert_int_equal(candset_peek(&set), CANDSET_SLOT);
	candset_finish(&set);
	assert_int_equal(set.n, 2);
	assert_int_equal(set.items[0].slot, 10);
	assert_int_equal(set.items[1].slot, 50);
	candset_release(&set);
}

static void tombstones_do_not_crowd_out(void **state)
{
	struct candset set = {0};

	(void)state;
	assert_int_equal(candset_start(&set, 4), 0);
	for (uint32_t slot = 0; slot < 4; slot++)
		candset_add(&set, 1e6f + (float)slot, slot, false);
	for (uint32_t slot = 100; slot < 5000; slot++)
		candset_add(&set, (float)slot, slot, true);
	assert_true(candset_check(&set));
	assert_int_equal(set.live, 4);
	assert_int_equal(set.tombs, set.tombs_max);
	candset_finish(&set);
	assert_int_equal(set.n, 4);
	candset_release(&set);
}

static void odd_distances(void **state)
{
	struct candset set = {0};

	(void)state;
	assert_int_equal(candset_start(&set, 3), 0);
	candset_add(&set, NAN, 1, false);
	candset_add(&set, INFINITY, 2, false);
	candset_add(&set, 1, 3, false);
	candset_add(&set, 2, 4, false);
	assert_true(candset_check(&set));
	candset_finish(&set);
	assert_int_equal(set.n, 3);
	assert_int_equal(set.items[0].slot, 3);
	assert_int_equal(set.items[1].slot, 4);
	candset_release(&set);
}

static void visited_forgets(void **state)
{
	struct visited seen = {0};

	(void)state;
	for (uint32_t turn = 0; turn < 600; turn++) {
		uint32_t slot = draw(5000);

		assert_int_equal(visited_start(&seen, 5000 + turn * 50, 100), 0);
		assert_false(seen.hashed);
		assert_true(visited_add(&seen, slot));
		assert_false(visited_add(&seen, slot));
		assert_true(visited_add(&seen, 4999 + turn * 50 - (slot == 4999)));
	}
	visited_release(&seen);
}

static void visited_hash_against_bytes(void **state)
{
	static uint8_t model[VISITED_STAMPS + 1];
	struct visited seen = {0};

	(void)state;
	for (uint32_t turn = 1; turn < 40; turn++) {
		uint32_t n = draw(turn % 4 == 0 ? 20000 : 500);

		assert_int_equal(visited_start(&seen, VISITED_STAMPS + 1, draw(1000)), 0);
		assert_true(seen.hashed);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t slot = draw(turn % 2 ? 1000 : VISITED_STAMPS + 1);

			assert_int_equal(visited_add(&seen, slot), model[slot] != turn);
			model[slot] = (uint8_t)turn;
		}
		assert_true(2 * seen.n <= seen.mask + 1);
		assert_false(seen.failed);
	}
	visited_release(&seen);
}

static bool always(void *ctx)
{
	(void)ctx;
	return true;
}

static void memory_runs_out(void **state)
{
	struct candset set = {0};
	struct visited seen = {0};
	uint32_t slot = 0;

	(void)state;
	assert_int_equal(candset_start(&set, 10), 0);
	assert_int_equal(visited_start(&seen, 10, 1), 0);
	mem_set_fault(always, NULL);
	assert_int_equal(candset_start(&set, 10), 0);
	assert_int_equal(candset_start(&set, 100000), ERR_NOMEM);
	assert_int_equal(visited_start(&seen, 10, 1), 0);
	assert_int_equal(visited_start(&seen, 100000, 1), ERR_NOMEM);
	assert_int_equal(visited_start(&seen, 5u << 20, 1), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_int_equal(candset_start(&set, 10), 0);
	assert_int_equal(visited_start(&seen, 10, 1), 0);
	assert_true(visited_add(&seen, 9));
	/* A table that cannot grow says so. */
	assert_int_equal(visited_start(&seen, 5u << 20, 1), 0);
	mem_set_fault(always, NULL);
	while (visited_add(&seen, slot))
		slot++;
	mem_set_fault(NULL, NULL);
	assert_true(seen.failed);
	assert_in_range(slot, 400, 1024);
	candset_release(&set);
	visited_release(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_and_put_back),
		cmocka_unit_test(random_against_model),
		cmocka_unit_test(takes_nearest_unexpanded),
		cmocka_unit_test(tombstones_do_not_crowd_out),
		cmocka_unit_test(odd_distances),
		cmocka_unit_test(visited_forgets),
		cmocka_unit_test(visited_hash_against_bytes),
		cmocka_unit_test(memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
