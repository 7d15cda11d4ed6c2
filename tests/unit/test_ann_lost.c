/*
 * test_ann_lost.c - a page of values that cannot be read, seen from the collection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ann/collection.h"
#include "store/page.h"
#include "store/store_private.h"
#include "tests/support/ann_fixture.h"

/*
 * The last page cannot be read: what is stored next goes behind it, over slots that nobody ever had, and
 * where the page ends the tables by slot grow.
 */
static void test_slots_passed_over(void **state)
{
	struct ann_opts opts = {.threads = 1};
	struct ann_fixture fixture;
	struct store_entry entry;
	struct place at;
	uint32_t per_page, page;
	float got;
	size_t len;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 1, &opts);
	per_page = store_page_size(fixture.store) / (uint32_t)sizeof(float);
	page = PENDING_CHUNK / per_page - 1;
	assert_int_equal(PENDING_CHUNK % per_page, 0);
	for (uint32_t i = 0; i <= page * per_page; i++) {
		char id[16];
		float one = (float)i;

		(void)snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(ann_fixture_put(fixture.ann, id, &one, 1), 0);
	}
	assert_int_equal(store_checkpoint(fixture.store), 0);
	store_drop_caches(fixture.store);
	assert_true(place_unpack(pager_page(fixture.store->pager, FORMAT_SPACE_VALUE, page)->place,
				 &at));
	io_mem_head(fixture.medium, &len)[at.block * FORMAT_BLOCK] ^= 1;

	for (uint32_t i = 0; i < 3; i++) {
		char id[16];
		float one = 0.5f + (float)i;

		(void)snprintf(id, sizeof(id), "late%u", i);
		assert_int_equal(ann_fixture_put(fixture.ann, id, &one, 1), 0);
		assert_int_equal(ann_get(fixture.ann, id, 5, &entry, &got), 0);
		assert_int_equal(entry.slot, PENDING_CHUNK + i);
		assert_true(got == one);
	}
	for (int round = 0; round < 2; round++) {
		assert_int_equal(pending_check(&fixture.ann->pending), 0);
		ann_fixture_reopen(&fixture, round == 0);
		assert_int_equal(ann_get(fixture.ann, "late2", 5, &entry, &got), 0);
		assert_true(got == 2.5f);
		assert_int_equal(ann_get(fixture.ann, "7", 1, &entry, &got), 0);
		assert_true(got == 7);
	}
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
