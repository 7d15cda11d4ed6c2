/*
 * test_ann_sorted.c - vectors that come cluster after cluster, as sorted files do: each must be
 * found, though the clusters lie far apart and hardly any link leads from one to the next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ann/collection.h"
#include "tests/support/ann_fixture.h"

#define DIM 48u
#define CLUSTERS 160u
#define EACH 60u
#define APART 10.0f /* deviation of the centres; that of a cluster is 1 */

static const struct ann_opts by_hand = {.threads = 1};

static void vector_of(uint32_t i, float *vector)
{
	struct ann_random centre = {1 + i / EACH}, own = {1000000 + i};

	for (uint32_t d = 0; d < DIM; d++)
		vector[d] = APART * ann_random_normal(&centre) + ann_random_normal(&own);
}

/* Whether the nearest of vector i is itself. */
static bool finds_itself(struct ann *ann, uint32_t i)
{
	const struct ann_query spec = {.k = 1};
	struct ann_answer answer;
	float vector[DIM];
	bool found;

	vector_of(i, vector);
	assert_int_equal(ann_search(ann, vector, 1, &spec, &answer, NULL), 0);
	found = answer.first[1] == 1 && answer.hits[0].distance < 1e-3;
	ann_answer_release(&answer);
	return found;
}

static unsigned missing(struct ann_fixture *fixture)
{
	unsigned n = 0;

	fixture->ann->scan_max = 0;
	for (uint32_t i = 0; i < CLUSTERS * EACH; i += 3)
		n += !finds_itself(fixture->ann, i);
	return n;
}

static void test_cluster_after_cluster(void **state)
{
	const unsigned most = CLUSTERS * EACH / 3 / 100; /* of those asked for, one in a hundred */
	struct ann_fixture fixture;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, DIM, &by_hand);
	for (uint32_t i = 0; i < CLUSTERS * EACH; i++) {
		float vector[DIM];
		char id[16];

		vector_of(i, vector);
		snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(ann_fixture_put(fixture.ann, id, vector, DIM), 0);
		if (i % 500 == 499)
			ann_fixture_index(fixture.ann);
	}
	ann_fixture_index(fixture.ann);
	assert_in_range(missing(&fixture), 0, most);
	ann_fixture_reopen(&fixture, false);
	assert_in_range(missing(&fixture), 0, most);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cluster_after_cluster),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
