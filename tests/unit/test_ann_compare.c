/* ann_compare: what is stored already, and what is not; and collections in bulk mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ann/collection.h"
#include "tests/support/ann_fixture.h"

#define DIM 24u
#define N 700u /* more than one read section holds */

static const struct ann_opts by_hand = {.threads = 1};

struct rows {
	float vectors[N][DIM];
	char names[N][16];
	struct ann_row row[N];
};

static void make(struct rows *rows)
{
	struct ann_random random = {11};

	for (uint32_t i = 0; i < N; i++) {
		ann_random_vector(&random, rows->vectors[i], DIM, 20);
		snprintf(rows->names[i], sizeof(rows->names[i]), "%u", i);
		rows->row[i] = (struct ann_row){rows->names[i], strlen(rows->names[i]),
						rows->vectors[i]};
	}
}

/* Exactly the rows below `stored` are stored, but for every other-th. */
static void compare_all(struct ann *ann, const struct rows *rows, uint32_t stored, uint32_t other)
{
	bool same[N];

	memset(same, 7, sizeof(same));
	assert_int_equal(ann_compare(ann, rows->row, N, same), 0);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(same[i], i < stored && i % other != other - 1);
}

static void rows_that_are_stored(void **state)
{
	static struct rows rows, wrong;
	struct ann_fixture fixture;

	(void)state;
	make(&rows);
	ann_fixture_new(&fixture, ANN_L2, 0, &by_hand);
	compare_all(fixture.ann, &rows, 0, 1); /* the dimension is not known yet */
	for (uint32_t i = 0; i < 600; i++)
		assert_int_equal(ann_fixture_put(fixture.ann, rows.names[i], rows.vectors[i], DIM),
				 0);
	compare_all(fixture.ann, &rows, 600, N + 1);
	wrong = rows;
	for (uint32_t i = 0; i < N; i++) {
		wrong.row[i].vector = wrong.vectors[i];
		wrong.row[i].id = wrong.names[i];
		if (i % 7 == 6)
			wrong.vectors[i][i % DIM] += 1;
	}
	compare_all(fixture.ann, &wrong, 600, 7);
	ann_fixture_index(fixture.ann);
	ann_fixture_reopen(&fixture, false);
	compare_all(fixture.ann, &wrong, 600, 7);
	ann_fixture_reopen(&fixture, true);
	compare_all(fixture.ann, &rows, 600, N + 1);
	ann_fixture_free(&fixture);
}

/* What cannot be read is not there: storing it again heals it. */
static void damaged_bytes_are_not_the_same(void **state)
{
	static struct rows rows;
	struct ann_fixture fixture;
	uint8_t *head, *at;
	size_t len, lost = 0;
	bool same[N];

	(void)state;
	make(&rows);
	ann_fixture_new(&fixture, ANN_L2, DIM, &by_hand);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(ann_fixture_put(fixture.ann, rows.names[i], rows.vectors[i], DIM),
				 0);
	ann_fixture_close(&fixture, false);
	head = io_mem_head(fixture.medium, &len);
	at = memmem(head, len, rows.vectors[N / 2], sizeof(rows.vectors[0]));
	assert_non_null(at);
	at[3] ^= 1;
	ann_fixture_open(&fixture, false);
	assert_int_equal(ann_compare(fixture.ann, rows.row, N, same), 0);
	assert_false(same[N / 2]);
	for (uint32_t i = 0; i < N; i++)
		lost += !same[i];
	assert_true(lost < N);
	for (uint32_t i = 0; i < N; i++)
		if (!same[i])
			assert_int_equal(
				ann_fixture_put(fixture.ann, rows.names[i], rows.vectors[i], DIM),
				0);
	compare_all(fixture.ann, &rows, N, N + 1);
	ann_fixture_free(&fixture);
}

/* -0 and 0 are equal numbers and different bytes. */
static void bytes_are_compared(void **state)
{
	struct ann_fixture fixture;
	float vector[2] = {0, 1}, other[2] = {-0.0f, 1};
	struct ann_row row[2] = {{"a", 1, vector}, {"a", 1, other}};
	bool same[2];

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 2, &by_hand);
	assert_int_equal(ann_fixture_put(fixture.ann, "a", vector, 2), 0);
	assert_int_equal(ann_compare(fixture.ann, row, 2, same), 0);
	assert_true(same[0] && !same[1]);
	assert_int_equal(ann_compare(fixture.ann, row, 0, same), 0);
	ann_fixture_free(&fixture);
}

/* Workers of a bulk load link everything and publish it. */
static void bulk_mode_links_all(void **state)
{
	static const struct ann_opts bulk = {.threads = 2, .background = true, .bulk = true};
	const struct timespec pause = {.tv_nsec = 5000000};
	static struct rows rows;
	struct ann_fixture fixture;
	struct ann_stats stats;

	(void)state;
	make(&rows);
	ann_fixture_new(&fixture, ANN_COSINE, 0, &bulk);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(ann_fixture_put(fixture.ann, rows.names[i], rows.vectors[i], DIM),
				 0);
	for (int i = 0; i < 4000; i++) {
		ann_get_stats(fixture.ann, &stats);
		if (stats.pending == 0)
			break;
		(void)nanosleep(&pause, NULL);
	}
	assert_int_equal(stats.pending, 0);
	assert_int_equal(stats.linked, N);
	ann_fixture_reopen(&fixture, false);
	ann_get_stats(fixture.ann, &stats);
	assert_int_equal(stats.linked, N);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_that_are_stored),
		cmocka_unit_test(bytes_are_compared),
		cmocka_unit_test(damaged_bytes_are_not_the_same),
		cmocka_unit_test(bulk_mode_links_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
