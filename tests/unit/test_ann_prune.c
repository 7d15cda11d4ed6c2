/* test_ann_prune.c - robust prune against the paper's formulation, and its properties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ann/prune.h"

#define SEED 777u
#define N 60u

static uint64_t random_state = SEED;

static float draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (float)(random_state >> 40) / (float)(1u << 24);
}

/* Points of a plane; the node is at the origin. Distances are squared. */
struct plane {
	float at[N][2];
	size_t calls;
};

static int by_length(const void *a, const void *b)
{
	const float *p = a, *q = b;
	float x = p[0] * p[0] + p[1] * p[1], y = q[0] * q[0] + q[1] * q[1];

	return (x > y) - (x < y);
}

static void scatter(struct plane *plane, float distances[N])
{
	for (size_t i = 0; i < N; i++) {
		plane->at[i][0] = draw() - 0.5f;
		plane->at[i][1] = draw() - 0.5f;
	}
	qsort(plane->at, N, sizeof(plane->at[0]), by_length);
	for (size_t i = 0; i < N; i++)
		distances[i] = plane->at[i][0] * plane->at[i][0] +
			       plane->at[i][1] * plane->at[i][1];
	plane->calls = 0;
}

static float between(void *ctx, uint32_t i, uint32_t j)
{
	struct plane *plane = ctx;
	float x = plane->at[i][0] - plane->at[j][0], y = plane->at[i][1] - plane->at[j][1];

	plane->calls++;
	return x * x + y * y;
}

/* Algorithm 2 as printed: take the nearest, strike out what it occludes, again. */
static size_t as_in_the_paper(struct plane *plane, const float *distances, float alpha,
			      uint32_t degree, uint32_t *out)
{
	int struck[N] = {0};
	size_t n = 0;

	for (uint32_t i = 0; i < N && n < degree; i++) {
		if (struck[i])
			continue;
		out[n++] = i;
		for (uint32_t j = i + 1; j < N; j++)
			if (alpha * between(plane, i, j) <= distances[j])
				struck[j] = 1;
	}
	return n;
}

static void one_step_is_the_paper(void **state)
{
	struct plane plane;
	struct prune_mark marks[N];
	float distances[N];
	uint32_t ours[N], theirs[N];

	(void)state;
	print_message("seed %u\n", SEED);
	for (int turn = 0; turn < 100; turn++) {
		uint32_t degree = 1 + (uint32_t)turn % 20;
		struct prune_rule rule = {
			.degree = degree, .alpha = 1, .between = between, .ctx = &plane};
		size_t n;

		scatter(&plane, distances);
		n = as_in_the_paper(&plane, distances, 1, degree, theirs);
		assert_int_equal(prune_robust(&rule, distances, N, marks, ours), n);
		assert_memory_equal(ours, theirs, n * sizeof(ours[0]));
	}
}

static void growing_alpha_adds_links(void **state)
{
	struct plane plane;
	struct prune_mark marks[N];
	float distances[N];
	uint32_t narrow[N], wide[N];

	(void)state;
	for (int turn = 0; turn < 100; turn++) {
		struct prune_rule rule = {
			.degree = N, .alpha = 1, .between = between, .ctx = &plane};
		size_t n_narrow, n_wide;

		scatter(&plane, distances);
		n_narrow = prune_robust(&rule, distances, N, marks, narrow);
		plane.calls = 0;
		rule.alpha = 2;
		n_wide = prune_robust(&rule, distances, N, marks, wide);
		assert_true(n_wide >= n_narrow);
		/* The choice at alpha 1 comes first and stays. */
		assert_memory_equal(narrow, wide, n_narrow * sizeof(narrow[0]));
		/* No pair is measured twice. */
		assert_true(plane.calls <= N * n_wide);
		for (size_t i = 0; i < n_wide; i++)
			for (size_t j = 0; j < i; j++)
				assert_int_not_equal(wide[i], wide[j]);
	}
}

static float no_distance(void *ctx, uint32_t i, uint32_t j)
{
	(void)ctx;
	(void)i;
	(void)j;
	return 0;
}

static void corner_cases(void **state)
{
	struct prune_rule rule = {.degree = 4, .alpha = 1.2f, .between = no_distance};
	struct prune_mark marks[3];
	float distances[3] = {0, 0, 0};
	uint32_t chosen[4];

	(void)state;
	assert_int_equal(prune_robust(&rule, distances, 0, marks, chosen), 0);
	assert_int_equal(prune_robust(&rule, distances, 1, marks, chosen), 1);
	/* All in one place: one of them stands for all. */
	assert_int_equal(prune_robust(&rule, distances, 3, marks, chosen), 1);
	assert_int_equal(chosen[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_step_is_the_paper),
		cmocka_unit_test(growing_alpha_adds_links),
		cmocka_unit_test(corner_cases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
