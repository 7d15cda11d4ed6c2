/*
 * test_ann_recall.c - what recall an effort gives does not depend on the way by which the graph came
 * into memory: the one that was built, after closing and opening, after a crash with a part of the
 * links in the log alone, and in a store that compress wrote, by which the same was done again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ann/ann.h"
#include "ann/collection.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"
#include "tests/support/sanitized.h"

#define DIM 48u
#define N UNLESS_SANITIZED(3500u, 2000u)
#define CENTRES 400u
#define QUERIES UNLESS_SANITIZED(500u, 100u)
#define K 10u
#define LOSS UNLESS_SANITIZED(0.005, 0.02)

static const struct ann_opts by_hand = {.threads = 1, .effort = 10};

static void vector_of(uint32_t i, float *vector)
{
	struct ann_random random = {i + 1};

	ann_random_vector(&random, vector, DIM, CENTRES);
}

static void put(struct ann_fixture *fixture, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		float vector[DIM];
		char id[16];

		vector_of(i, vector);
		snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(ann_fixture_put(fixture->ann, id, vector, DIM), 0);
	}
}

static void ask(struct ann_fixture *fixture, bool exact, struct ann_answer *answer)
{
	static float queries[QUERIES * DIM];
	struct ann_query spec = {.k = K, .exact = exact};

	fixture->ann->scan_max = 0;
	for (uint32_t q = 0; q < QUERIES; q++)
		vector_of(10 * N + q, queries + (size_t)q * DIM);
	assert_int_equal(ann_search(fixture->ann, queries, QUERIES, &spec, answer, NULL), 0);
}

static double recall(struct ann_fixture *fixture)
{
	struct ann_answer got, truth;
	size_t found = 0;

	ask(fixture, false, &got);
	ask(fixture, true, &truth);
	for (size_t q = 0; q < QUERIES; q++)
		for (size_t i = got.first[q]; i < got.first[q + 1]; i++)
			found += got.hits[i].distance <=
				 truth.hits[truth.first[q + 1] - 1].distance * (1 + 1e-9);
	ann_answer_release(&got);
	ann_answer_release(&truth);
	return (double)found / (QUERIES * K);
}

static void holds(struct ann_fixture *fixture, double before, const char *after)
{
	double now = recall(fixture);
	struct err_msg msg = {""};

	assert_int_equal(ann_check(fixture->ann, &msg), 0);
	printf("recall@10 %.4f after %s, %.4f before\n", now, after, before);
	assert_true(now >= before - LOSS);
}

/* Closed and opened; then, after half of its last tenth was published, as a crash leaves it. */
static void open_again(struct ann_fixture *fixture, double before, uint32_t first)
{
	uint32_t tenth = N / 10;

	ann_fixture_reopen(fixture, false);
	holds(fixture, before, "closing and opening");
	put(fixture, first, first + tenth / 2);
	ann_fixture_index(fixture->ann);
	assert_int_equal(ann_flush(fixture->ann), 0);
	put(fixture, first + tenth / 2, first + tenth);
	ann_fixture_index(fixture->ann);
	before = recall(fixture);
	ann_fixture_reopen(fixture, true);
	holds(fixture, before, "a crash, before its log was linked");
	ann_fixture_index(fixture->ann);
	holds(fixture, before, "a crash");
}

/* As the command does it. */
static void compress(struct ann_fixture *from, struct ann_fixture *to)
{
	uint32_t *slots;
	size_t n;

	assert_int_equal(ann_order(from->ann, &slots, &n), 0);
	ann_fixture_new(to, ann_get_metric(from->ann), DIM, &by_hand);
	assert_int_equal(ann_close(to->ann), 0);
	store_read_begin(from->store);
	for (size_t i = 0; i < n; i++) {
		struct store_put_result result;
		struct store_entry entry;
		const void *value;

		assert_int_equal(store_slot_entry(from->store, slots[i], &entry), 0);
		assert_int_equal(store_value(from->store, slots[i], STORE_HINT_SCAN, &value), 0);
		assert_int_equal(store_put(to->store, entry.id, entry.id_len, value,
					   DIM * sizeof(float), &entry.attr, STORE_PUT_NEW, NULL,
					   NULL, &result),
				 0);
	}
	store_read_end(from->store);
	assert_int_equal(ann_open(to->store, &by_hand, &to->ann, NULL, NULL), 0);
	assert_int_equal(ann_copy_graph(from->ann, to->ann, slots, n), 0);
	mem_free(slots);
	ann_fixture_reopen(to, false);
}

static void check(enum ann_metric metric)
{
	struct ann_fixture fixture, copy;
	double built;

	ann_fixture_new(&fixture, metric, DIM, &by_hand);
	put(&fixture, 0, N);
	ann_fixture_index(fixture.ann);
	built = recall(&fixture);
	assert_true(built > 0.9);
	assert_true(built < 0.99); /* else there is nothing to lose */
	open_again(&fixture, built, N);
	built = recall(&fixture);
	compress(&fixture, &copy);
	holds(&copy, built, "compress");
	open_again(&copy, recall(&copy), 2 * N);
	ann_fixture_free(&copy);
	ann_fixture_free(&fixture);
}

static void test_l2(void **state)
{
	(void)state;
	check(ANN_L2);
}

static void test_cosine(void **state)
{
	(void)state;
	check(ANN_COSINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_l2),
		cmocka_unit_test(test_cosine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
