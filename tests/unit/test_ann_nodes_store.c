/* Tests of nodes_store.c: records on pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ann/nodes.h"
#include "store/store.h"
#include "tests/support/ann_fixture.h"

#define CAP 47u
#define SLOTS 500u

static const struct ann_opts by_hand = {.threads = 1};

static uint32_t word_of(uint32_t slot, uint32_t i)
{
	return slot * 1000 + i;
}

static void test_records(void **state)
{
	struct ann_fixture fixture;
	struct ann_nodes *nodes;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 4, &by_hand);
	assert_int_equal(nodes_store_new(fixture.store, CAP, &nodes), 0);
	assert_int_equal(nodes->cap, CAP);
	for (uint32_t slot = 0; slot < SLOTS; slot += 3) {
		uint32_t *record;

		nodes->ops->read_begin(nodes);
		assert_int_equal(nodes->ops->change(nodes, slot, &record), 0);
		for (uint32_t i = 0; i <= CAP; i++) {
			assert_int_equal(record[i], 0);
			__atomic_store_n(&record[i], word_of(slot, i), __ATOMIC_RELAXED);
		}
		nodes->ops->read_end(nodes);
	}
	nodes->ops->read_begin(nodes);
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		const uint32_t *record;

		assert_int_equal(nodes->ops->read(nodes, slot, &record), 0);
		for (uint32_t i = 0; i <= CAP; i++)
			assert_int_equal(record[i], slot % 3 == 0 ? word_of(slot, i) : 0);
		nodes->ops->prefetch(nodes, slot);
	}
	nodes->ops->read_end(nodes);
	nodes->ops->free(nodes);
	ann_fixture_free(&fixture);
}

static void test_vectors(void **state)
{
	static const float vector[4] = {1, 2, 3, 4};
	struct ann_fixture fixture;
	struct ann_nodes *nodes;
	const float *read = NULL;
	uint32_t slot = 0;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 4, &by_hand);
	assert_int_equal(ann_fixture_put(fixture.ann, "x", vector, 4), 0);
	assert_int_equal(store_slots(fixture.store), 1);
	assert_int_equal(nodes_store_new(fixture.store, CAP, &nodes), 0);
	nodes->ops->read_begin(nodes);
	nodes->ops->prefetch_vectors(nodes, &slot, 1);
	assert_int_equal(nodes->ops->vector(nodes, slot, &read), 0);
	assert_memory_equal(read, vector, sizeof(vector));
	nodes->ops->read_end(nodes);
	nodes->ops->free(nodes);
	ann_fixture_free(&fixture);
}

static void test_sizes(void **state)
{
	struct ann_fixture fixture;
	struct ann_nodes *nodes;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 4, &by_hand);
	assert_int_equal(nodes_store_new(fixture.store, 0, &nodes), ERR_INVALID);
	assert_int_equal(nodes_store_new(fixture.store, 1024, &nodes), ERR_INVALID);
	assert_int_equal(nodes_store_new(fixture.store, 1023, &nodes), 0);
	nodes->ops->free(nodes);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
