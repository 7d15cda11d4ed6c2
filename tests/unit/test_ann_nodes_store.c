/* Tests of nodes_store.c: records on pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ann/nodes.h"
#include "ann/nodes_packed.h"
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

#define PER_PAGE 85u
#define WORDS (1 + CAP)

/* Links near and far, few and many. */
static void fill_page(uint32_t page, uint32_t *records)
{
	struct ann_random random = {page + 1};

	for (uint32_t node = 0; node < PER_PAGE; node++) {
		uint32_t *record = records + (size_t)node * WORDS, slot = page * PER_PAGE + node;

		record[0] = node % WORDS;
		for (uint32_t i = 1; i < WORDS; i++)
			record[i] = i % 3 == 0 ? ann_random_below(&random, 1u << 30) :
						 slot + ann_random_below(&random, 200) - 100;
	}
}

static void expect_page(struct packed *packed, uint32_t page)
{
	uint32_t records[PER_PAGE * WORDS], got[WORDS];

	fill_page(page, records);
	for (uint32_t node = 0; node < PER_PAGE; node++) {
		const uint32_t *want = records + (size_t)node * WORDS;

		assert_true(nodes_packed_get(packed, page * PER_PAGE + node, got));
		assert_memory_equal(got, want, (1 + want[0]) * sizeof(*got));
	}
}

static void put_page(struct packed *packed, uint32_t page)
{
	uint32_t records[PER_PAGE * WORDS];

	fill_page(page, records);
	nodes_packed_put(packed, page, records);
}

static void test_packed(void **state)
{
	static const uint32_t pages[] = {0, 1, 700, 5000, 1u << 20};
	struct ann_fixture fixture;
	uint32_t record[WORDS], records[PER_PAGE * WORDS] = {UINT32_MAX, UINT32_MAX, 0};
	struct packed *packed;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 4, &by_hand);
	assert_int_equal(nodes_packed_new(fixture.store, CAP, PER_PAGE, &packed), 0);
	store_read_begin(fixture.store);
	assert_false(nodes_packed_get(packed, 0, record));
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		put_page(packed, pages[i]);
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		expect_page(packed, pages[i]);
	nodes_packed_drop(packed, 700);
	nodes_packed_drop(packed, 701);
	assert_false(nodes_packed_has(packed, 700));
	assert_false(nodes_packed_get(packed, 700 * PER_PAGE, record));
	put_page(packed, 700);
	expect_page(packed, 700);
	/* more links than a record can have */
	nodes_packed_put(packed, 9, records);
	assert_true(nodes_packed_get(packed, 9 * PER_PAGE, record));
	assert_int_equal(record[0], CAP);
	assert_int_equal(record[1], UINT32_MAX);
	assert_true(nodes_packed_get(packed, 9 * PER_PAGE + 1, record));
	assert_int_equal(record[0], 0);
	nodes_packed_put(packed, UINT32_MAX, records);
	assert_false(nodes_packed_has(packed, UINT32_MAX));
	store_read_end(fixture.store);
	nodes_packed_free(packed);
	ann_fixture_free(&fixture);
}

/* More pages than there is room for: those in use stay, and no reader loses what it looks at. */
static void test_packed_room(void **state)
{
	enum { CACHE = 1 << 20, PAGES = 1000 };
	struct ann_fixture fixture;
	struct packed *packed;
	uint32_t record[WORDS], kept = 0;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 4, &by_hand);
	fixture.cache_bytes = CACHE;
	ann_fixture_reopen(&fixture, false);
	assert_int_equal(nodes_packed_new(fixture.store, CAP, PER_PAGE, &packed), 0);
	for (uint32_t page = 0; page < PAGES; page++) {
		store_read_begin(fixture.store);
		put_page(packed, page);
		assert_true(nodes_packed_get(packed, 0, record));
		store_read_end(fixture.store);
	}
	for (uint32_t page = 0; page < PAGES; page++)
		kept += nodes_packed_has(packed, page);
	assert_true(kept > 50 && kept < PAGES / 2);
	assert_true(store_is_short(fixture.store));
	expect_page(packed, 0);
	expect_page(packed, PAGES - 1);
	nodes_packed_free(packed);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),	    cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_sizes),	    cmocka_unit_test(test_packed),
		cmocka_unit_test(test_packed_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
