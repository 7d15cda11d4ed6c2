/* Tests of best.c: against a sort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "ann/best.h"
#include "tests/support/ann_fixture.h"

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* n distances of `kinds` different values; the want nearest with all ties must be there. */
static void run(uint64_t seed, size_t n, size_t want, uint32_t kinds)
{
	float *distances = calloc(n, sizeof(float)), *sorted = calloc(n, sizeof(float));
	bool *there = calloc(n, sizeof(bool));
	struct ann_random random = {seed};
	struct best best = {0};
	size_t expected = 0;

	assert_int_equal(best_start(&best, want), 0);
	for (size_t i = 0; i < n; i++) {
		sorted[i] = distances[i] = (float)ann_random_below(&random, kinds);
		assert_int_equal(best_add(&best, distances[i], (uint32_t)i), 0);
	}
	best_finish(&best);
	qsort(sorted, n, sizeof(float), by_value);
	while (expected < n && (expected < want || sorted[expected] == sorted[want - 1]))
		expected++;
	assert_int_equal(best.n, expected);
	for (size_t i = 0; i < best.n; i++) {
		assert_true(best.hits[i].slot < n && !there[best.hits[i].slot]);
		there[best.hits[i].slot] = true;
		assert_true(best.hits[i].distance == distances[best.hits[i].slot]);
		assert_true(best.hits[i].distance <= sorted[expected - 1]);
	}
	best_release(&best);
	free(distances);
	free(sorted);
	free(there);
}

static void test_against_sort(void **state)
{
	static const size_t counts[] = {1, 2, 99, 300, 1000, 50000};
	static const size_t wants[] = {1, 2, 10, 299, 20000};
	static const uint32_t kinds[] = {1, 2, 50, 1u << 30};

	(void)state;
	for (size_t c = 0; c < 6; c++)
		for (size_t w = 0; w < 5; w++)
			for (size_t k = 0; k < 4; k++)
				run(c * 100 + w * 10 + k, counts[c], wants[w], kinds[k]);
}

/* Near to far and far to near, reused. */
static void test_ordered(void **state)
{
	struct best best = {0};

	(void)state;
	for (int descending = 0; descending < 2; descending++) {
		assert_int_equal(best_start(&best, 5), 0);
		for (int i = 0; i < 100000; i++)
			assert_int_equal(best_add(&best, (float)(descending ? 100000 - i : i), 1),
					 0);
		best_finish(&best);
		assert_int_equal(best.n, 5);
		assert_true(best.cap < 1000);
	}
	best_release(&best);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_sort),
		cmocka_unit_test(test_ordered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
