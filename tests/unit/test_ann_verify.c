/*
 * Tests of verify.c: what ann_verify finds on disk beside wrong checksums, and what it makes of a
 * damaged graph; and that the counters can be set back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/collection.h"
#include "tests/support/ann_fixture.h"

#define DIM 32u
#define N 700u

static const struct ann_opts by_hand = {.threads = 1};

struct findings {
	unsigned damages;
	bool stop;
	char last[600];
};

static void note(void *ctx, bool damage, const char *text)
{
	struct findings *found = ctx;

	found->damages += damage;
	snprintf(found->last, sizeof(found->last), "%s", text);
}

static bool is_stopped(void *ctx)
{
	return ((const struct findings *)ctx)->stop;
}

/* Expects so many findings, the last one with these words. */
static void expect(struct ann *ann, unsigned damages, const char *words)
{
	struct store_verify_report report;
	struct findings found = {0};

	assert_int_equal(ann_verify(ann, note, is_stopped, &found, &report), 0);
	if (found.damages != damages || strstr(found.last, words) == NULL)
		fail_msg("%u findings, the last: %s", found.damages, found.last);
	assert_int_equal(report.damages, damages);
}

static void begin(struct ann_fixture *fixture)
{
	struct ann_random random = {7};
	float vector[DIM];
	char name[16];

	ann_fixture_new(fixture, ANN_L2, DIM, &by_hand);
	expect(fixture->ann, 0, "");
	for (uint32_t i = 0; i < N; i++) {
		ann_random_vector(&random, vector, DIM, 20);
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(ann_fixture_put(fixture->ann, name, vector, DIM), 0);
	}
	ann_fixture_index(fixture->ann);
	for (uint32_t i = 0; i < N; i += 9) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(ann_delete(fixture->ann, name, strlen(name)), 0);
	}
	ann_fixture_index(fixture->ann);
	assert_int_equal(ann_flush(fixture->ann), 0);
}

static void test_whole(void **state)
{
	struct store_verify_report report;
	struct findings stopped = {.stop = true};
	struct ann_fixture fixture;

	(void)state;
	begin(&fixture);
	expect(fixture.ann, 0, "");
	assert_int_equal(ann_verify(fixture.ann, note, is_stopped, &stopped, &report),
			 ERR_INTERRUPTED);
	ann_fixture_reopen(&fixture, true);
	expect(fixture.ann, 0, "");
	ann_fixture_free(&fixture);
}

/* A node with a right checksum that no graph can have: more links than fit, itself, one twice, none. */
static void test_nodes(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct ann_fixture fixture;
		uint32_t *record = NULL;

		begin(&fixture);
		store_read_begin(fixture.store);
		assert_int_equal(
			fixture.ann->index.nodes->ops->change(fixture.ann->index.nodes, 3, &record),
			0);
		if (kind == 0)
			record[0] = fixture.ann->index.nodes->cap + 1;
		else if (kind == 1)
			record[1] = 3;
		else if (kind == 2)
			record[1] = record[2];
		else
			record[1] = 2 * N;
		store_read_end(fixture.store);
		atomic_fetch_add(&fixture.ann->index.changed_nodes, 1);
		assert_int_equal(ann_flush(fixture.ann), 0);
		expect(fixture.ann, 1, "node 3 on graph page 0 is no node");
		assert_true(atomic_load(&fixture.ann->index.damaged));
		expect(fixture.ann, 2, "searches scan all vectors");
		/* as it says: built anew */
		ann_fixture_reopen(&fixture, false);
		ann_fixture_index(fixture.ann);
		assert_int_equal(ann_flush(fixture.ann), 0);
		expect(fixture.ann, 0, "");
		ann_fixture_free(&fixture);
	}
}

static void test_values(void **state)
{
	const struct store_attr attr = {.mode = 0644};
	struct ann_fixture fixture;
	uint32_t value[DIM] = {0, 0, 0x7fc00000u};

	(void)state;
	begin(&fixture);
	assert_int_equal(store_put(fixture.store, "bad", 3, value, sizeof(value), &attr, 0, NULL,
				   NULL, NULL),
			 0);
	assert_int_equal(store_checkpoint(fixture.store), 0);
	expect(fixture.ann, 1, "holds a number that is none");
	ann_fixture_free(&fixture);
}

/* Ids that only a hostile hand puts into a store: found, never listed, never in an answer. */
static void test_ids(void **state)
{
	static const struct {
		const char *id;
		size_t len;
	} ids[] = {{".", 1}, {"..", 2}, {"a/b", 3}, {"a\0b", 3}, {"a\nb", 3}, {"\xff", 1}};
	struct store_entry *entries = calloc(N, sizeof(*entries));
	uint64_t *cursors = calloc(N, sizeof(*cursors));

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct ann_query spec = {.k = N, .exact = true};
		struct ann_fixture fixture;
		struct ann_answer answer;
		struct err_msg msg = {{0}};
		float query[DIM] = {1};
		size_t n;

		begin(&fixture);
		assert_int_equal(ann_list(fixture.ann, 0, entries, cursors, N, &n), 0);
		assert_int_equal(store_rename(fixture.store, "5", 1, ids[i].id, ids[i].len, 0, NULL,
					      NULL, NULL),
				 0);
		expect(fixture.ann, 1, "the id of slot 5 is none");
		assert_int_equal(ann_list(fixture.ann, 0, entries, cursors, N, &n), ERR_DAMAGED);
		assert_int_equal(ann_search(fixture.ann, query, 1, &spec, &answer, &msg),
				 ERR_DAMAGED);
		assert_non_null(strstr(msg.text, "the id of slot 5 is none"));
		ann_answer_release(&answer);
		ann_fixture_free(&fixture);
	}
	free(entries);
	free(cursors);
}

static void test_counters(void **state)
{
	struct ann_query spec = {.k = 5};
	struct ann_answer answer;
	struct ann_fixture fixture;
	struct ann_stats stats;
	float query[DIM] = {1};

	(void)state;
	begin(&fixture);
	fixture.ann->scan_max = 0;
	assert_int_equal(ann_search(fixture.ann, query, 1, &spec, &answer, NULL), 0);
	ann_answer_release(&answer);
	ann_get_stats(fixture.ann, &stats);
	assert_true(stats.hops > 0 && stats.distances > 0 && stats.inserted > 0);
	assert_int_equal(stats.queries, 1);
	ann_reset_metrics(fixture.ann);
	ann_get_stats(fixture.ann, &stats);
	assert_int_equal(stats.hops + stats.distances + stats.inserted + stats.repaired, 0);
	assert_int_equal(stats.queries + stats.exact_queries, 0);
	assert_int_equal(stats.vectors, N - (N + 8) / 9);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	 cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_values),	 cmocka_unit_test(test_ids),
		cmocka_unit_test(test_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
