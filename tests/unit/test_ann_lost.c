/*
 * test_ann_lost.c - a damaged page of values costs the vectors on it, and nothing else: the collection
 * goes on with all others.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ann/collection.h"
#include "store/page.h"
#include "store/store_private.h"
#include "tests/support/ann_fixture.h"

static const struct ann_opts by_hand = {.threads = 1};

/* Where the page of values lies on disk that has a slot. */
static size_t place_of(struct ann_fixture *fixture, uint32_t slot)
{
	struct store *store = fixture->store;
	struct place at;
	uint32_t pages;

	assert_true(place_unpack(pager_page(store->pager, FORMAT_SPACE_VALUE,
					    slots_value_page(&store->slots, slot, &pages))
					 ->place,
				 &at));
	return at.block * FORMAT_BLOCK + at.bytes / 2;
}

/* Makes what lies there bad, or good again. */
static void flip(struct ann_fixture *fixture, size_t at)
{
	size_t len;

	io_mem_head(fixture->medium, &len)[at] ^= 1;
}

/* The page of values that a slot lies on is bad on disk, and not in memory. */
static void damage(struct ann_fixture *fixture, uint32_t slot)
{
	ann_drop_caches(fixture->ann);
	flip(fixture, place_of(fixture, slot));
}

/* The next slot lies on a bad page, so that the put takes one far behind it, which no table has yet. */
static void test_put_past_page(void **state)
{
	static const struct ann_numbered set = {.dim = 3, .centres = 10};
	const uint32_t per_page = 4096 / (set.dim * 4), first = PENDING_CHUNK / per_page * per_page;
	struct ann_fixture fixture;
	struct store_entry entry;
	float expected[3], got[3];

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, set.dim, &by_hand);
	ann_numbered_fill(&set, fixture.ann, 0, first + 9);
	ann_fixture_reopen(&fixture, false);
	damage(&fixture, first);
	assert_int_equal(ann_get(fixture.ann, "0", 1, &entry, got), 0);
	assert_true(fixture.ann->pending.slots < first + per_page);
	ann_numbered_put(&set, fixture.ann, 0, 0);
	assert_int_equal(ann_get(fixture.ann, "0", 1, &entry, got), 0);
	assert_int_equal(entry.slot, first + per_page);
	ann_numbered_vector(&set, 0, expected);
	assert_memory_equal(got, expected, sizeof(got));
	assert_true(pending_has(&fixture.ann->pending, entry.slot));
	assert_int_equal(pending_check(&fixture.ann->pending), 0);
	ann_fixture_free(&fixture);
}

#define ALONE 1024u /* a vector of so many numbers has a page of its own */
#define N 300u

static const struct ann_numbered alone = {.dim = ALONE, .centres = 10};

static struct pending_counts counts_of(struct ann_fixture *fixture)
{
	struct pending_counts counts;

	pending_count(&fixture->ann->pending, &counts);
	return counts;
}

/* The centre is that of the vectors that can be read, and all of those are linked. */
static void test_link_others(void **state)
{
	struct ann_fixture fixture;
	size_t left = 0;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, ALONE, &by_hand);
	ann_numbered_fill(&alone, fixture.ann, 0, N);
	assert_int_equal(store_checkpoint(fixture.store), 0);
	damage(&fixture, 3);
	for (unsigned turn = 0; turn < N && left != 1; turn++)
		assert_int_equal(ann_index_some(fixture.ann, N, &left), ERR_DAMAGED);
	assert_int_equal(left, 1);
	ann_fixture_free(&fixture);
}

/* While one vector cannot be linked, dead ones are repaired around, and their slots given back. */
static void test_care_goes_on(void **state)
{
	struct ann_fixture fixture;
	size_t left = 0;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, ALONE, &by_hand);
	ann_numbered_fill(&alone, fixture.ann, 0, N);
	ann_fixture_index(fixture.ann);
	ann_numbered_fill(&alone, fixture.ann, N, N + 2);
	assert_int_equal(store_checkpoint(fixture.store), 0);
	damage(&fixture, N);
	for (uint32_t id = 0; id < 20; id++)
		ann_numbered_delete(fixture.ann, id);
	ann_numbered_delete(fixture.ann, N + 1);
	assert_int_equal(counts_of(&fixture).tombstones, 20);
	assert_int_equal(counts_of(&fixture).released, 1);
	assert_int_equal(ann_index_some(fixture.ann, N, &left), ERR_DAMAGED);
	assert_int_equal(left, 1);
	assert_int_equal(counts_of(&fixture).tombstones, 0);
	assert_int_equal(counts_of(&fixture).repaired, 20);
	assert_int_equal(counts_of(&fixture).released, 0);
	ann_fixture_free(&fixture);
}

/* Nor does it keep the collection from being idle, when the graph is published. */
static void test_publish_others(void **state)
{
	struct ann_fixture fixture;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, ALONE, &by_hand);
	ann_numbered_fill(&alone, fixture.ann, 0, N);
	assert_int_equal(store_checkpoint(fixture.store), 0);
	damage(&fixture, N - 1);
	fixture.opts = (struct ann_opts){.threads = 1, .background = true};
	ann_fixture_reopen(&fixture, true);
	for (unsigned i = 0; i < 3000 && store_graph_lsn(fixture.store) == 0; i++)
		(void)poll(NULL, 0, 10);
	assert_true(store_graph_lsn(fixture.store) > 0);
	assert_int_equal(counts_of(&fixture).members, 1);
	ann_fixture_free(&fixture);
}

#define FIRST_LOST 500u /* of 25 vectors on one page */
#define END_LOST 525u

static void reopen_with(struct ann_fixture *fixture, uint32_t bits, size_t flipped)
{
	ann_fixture_close(fixture, false);
	flip(fixture, flipped);
	fixture->opts.code_bits = bits;
	ann_fixture_open(fixture, false);
	fixture->ann->scan_max = 0;
}

/* Asks the graph for each vector of a page by its own numbers. */
static void expect_each(struct ann_fixture *fixture, const struct ann_numbered *set, int expected)
{
	const struct ann_query spec = {.k = 5};

	for (uint32_t id = FIRST_LOST; id < END_LOST; id++) {
		struct ann_answer answer;
		float vector[40];

		ann_numbered_vector(set, id, vector);
		assert_int_equal(ann_search(fixture->ann, vector, 1, &spec, &answer, NULL),
				 expected);
		if (expected == 0)
			assert_true(answer.hits[0].distance < 1e-3);
		ann_answer_release(&answer);
	}
}

/*
 * Codes of other bits are asked for while a page cannot be read. Its vectors must not get lost in the
 * graph, neither now, when a search that needs them fails, nor later, when the page can be read.
 */
static void test_other_bits(void **state)
{
	static const struct ann_numbered set = {.dim = 40, .centres = 30};
	struct ann_fixture fixture;
	struct ann_stats stats;
	size_t at;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, set.dim,
			&(struct ann_opts){.threads = 2, .code_bits = 8});
	ann_numbered_fill(&set, fixture.ann, 0, 900);
	ann_fixture_index(fixture.ann);
	ann_fixture_reopen(&fixture, false);
	at = place_of(&fixture, FIRST_LOST);
	reopen_with(&fixture, 4, at);
	assert_true(fixture.note.text[0] != '\0');
	expect_each(&fixture, &set, ERR_DAMAGED);
	ann_get_stats(fixture.ann, &stats);
	assert_int_equal(stats.code_bits, 8);
	assert_int_equal(stats.linked, 900);
	reopen_with(&fixture, 4, at);
	assert_string_equal(fixture.note.text, "");
	expect_each(&fixture, &set, 0);
	ann_get_stats(fixture.ann, &stats);
	assert_int_equal(stats.code_bits, 4);
	assert_int_equal(stats.linked, 900);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_past_page), cmocka_unit_test(test_link_others),
		cmocka_unit_test(test_care_goes_on),  cmocka_unit_test(test_publish_others),
		cmocka_unit_test(test_other_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
