/* Tests of find.c and exact.c where pages cannot be read: an error or the whole answer, never less. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ann/collection.h"
#include "ann/find_context.h"
#include "tests/support/ann_fixture.h"

#define DIM 64u
#define N 600u

static const struct ann_opts by_hand = {.threads = 1};
static const struct ann_numbered numbered = {.dim = DIM, .centres = 10};

static void new_filled(struct ann_fixture *fixture)
{
	ann_fixture_new(fixture, ANN_L2, DIM, &by_hand);
	ann_numbered_fill(&numbered, fixture->ann, 0, N);
	ann_fixture_index(fixture->ann);
}

/* Changes a byte of every copy of these bytes on the medium. */
static void damage(struct ann_fixture *fixture, const void *bytes, size_t n)
{
	size_t len = 0, changed = 0;
	uint8_t *head = io_mem_head(fixture->medium, &len), *at = head;

	while ((at = memmem(at, len - (size_t)(at - head), bytes, n)) != NULL) {
		at[n / 2] ^= 0x20;
		changed++;
	}
	assert_true(changed > 0);
}

static int ask(struct ann *ann, uint32_t i, uint32_t k, bool exact, size_t *n_out)
{
	struct ann_query spec = {.k = k, .exact = exact};
	struct err_msg msg = {""};
	struct ann_answer answer;
	float vector[DIM];
	int err;

	ann_numbered_vector(&numbered, i, vector);
	err = ann_search(ann, vector, 1, &spec, &answer, &msg);
	*n_out = err == 0 ? answer.first[1] : 0;
	if (err == 0)
		assert_true(answer.hits[0].distance < 1e-3);
	else
		assert_true(msg.text[0] != '\0');
	ann_answer_release(&answer);
	return err;
}

/* How far the nearest is from vector i. */
static double nearest(struct ann *ann, uint32_t i, bool exact)
{
	struct ann_query spec = {.k = 1, .exact = exact};
	struct ann_answer answer;
	float vector[DIM];
	double distance;

	ann_numbered_vector(&numbered, i, vector);
	assert_int_equal(ann_search(ann, vector, 1, &spec, &answer, NULL), 0);
	assert_int_equal(answer.first[1], 1);
	distance = answer.hits[0].distance;
	ann_answer_release(&answer);
	return distance;
}

static void test_damaged_vector(void **state)
{
	struct ann_fixture fixture;
	float vector[DIM];
	size_t n;

	(void)state;
	new_filled(&fixture);
	ann_fixture_close(&fixture, false);
	ann_numbered_vector(&numbered, 77, vector);
	damage(&fixture, vector, sizeof(vector));
	ann_fixture_open(&fixture, false);
	fixture.ann->scan_max = 0;
	assert_int_equal(ask(fixture.ann, 77, 5, true, &n), ERR_DAMAGED);
	assert_int_equal(ask(fixture.ann, 300, 5, true, &n), ERR_DAMAGED);
	assert_int_equal(ask(fixture.ann, 77, 5, false, &n), ERR_DAMAGED);
	/* Deleted with the others of its page it is in nobody's way. */
	for (uint32_t i = 64; i < 96; i++)
		ann_numbered_delete(fixture.ann, i);
	assert_int_equal(ask(fixture.ann, 300, 10000, true, &n), 0);
	assert_int_equal(n, N - 32);
	ann_fixture_free(&fixture);
}

/* Damage to the graph costs time: the linear scan answers, and the next opening builds anew. */
static void test_damaged_node(void **state)
{
	struct ann_fixture fixture;
	const void *page;
	uint8_t bytes[256];
	size_t n;

	(void)state;
	new_filled(&fixture);
	assert_int_equal(ann_flush(fixture.ann), 0);
	store_read_begin(fixture.store);
	assert_int_equal(store_page(fixture.store, 1, &page), 0);
	memcpy(bytes, page, sizeof(bytes));
	store_read_end(fixture.store);
	ann_fixture_close(&fixture, false);
	damage(&fixture, bytes, sizeof(bytes));
	ann_fixture_open(&fixture, false);
	assert_string_equal(fixture.note.text, "");
	fixture.ann->scan_max = 0;
	for (uint32_t i = 0; i < N; i += 20) {
		assert_int_equal(ask(fixture.ann, i, 5, false, &n), 0);
		assert_int_equal(n, 5);
	}
	assert_true(fixture.ann->index.damaged);
	ann_fixture_reopen(&fixture, false);
	{
		struct ann_stats stats;

		ann_get_stats(fixture.ann, &stats);
		assert_int_equal(stats.vectors, N);
		assert_int_equal(stats.pending, N);
	}
	ann_fixture_index(fixture.ann);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

static int failing_reads(void *ctx, const char *call, uint64_t nth)
{
	(void)nth;
	return *(bool *)ctx && strncmp(call, "read", 4) == 0 ? ERR_IO : 0;
}

static void test_failing_disk(void **state)
{
	struct ann_fixture fixture;
	bool failing = false;
	size_t n;

	(void)state;
	new_filled(&fixture);
	ann_fixture_reopen(&fixture, false);
	fixture.ann->scan_max = 0;
	io_mem_set_fault(fixture.medium, failing_reads, &failing);
	failing = true;
	store_drop_caches(fixture.store);
	assert_int_equal(ask(fixture.ann, 5, 5, false, &n), ERR_IO);
	assert_int_equal(ask(fixture.ann, 5, 5, true, &n), ERR_IO);
	failing = false;
	assert_int_equal(ask(fixture.ann, 5, 5, false, &n), 0);
	assert_int_equal(n, 5);
	io_mem_set_fault(fixture.medium, NULL, NULL);
	ann_fixture_free(&fixture);
}

/* The graph finds less than there is: the scan fills up. */
static void test_short_graph(void **state)
{
	struct ann_fixture fixture;
	size_t n;

	(void)state;
	new_filled(&fixture);
	fixture.ann->scan_max = 0;
	for (uint32_t i = 0; i < GRAPH_ENTRIES; i++)
		atomic_store(&fixture.ann->index.graph.entries[i], 0);
	for (uint32_t slot = 1; slot < N; slot++) {
		uint32_t *record;

		store_read_begin(fixture.store);
		assert_int_equal(fixture.ann->index.nodes->ops->change(fixture.ann->index.nodes,
								       slot, &record),
				 0);
		__atomic_store_n(record, 0, __ATOMIC_RELAXED); /* leads nowhere any more */
		store_read_end(fixture.store);
	}
	assert_int_equal(ask(fixture.ann, 0, 100, false, &n), 0);
	assert_int_equal(n, 100);
	ann_fixture_free(&fixture);
}

/* What waits to be linked is in every answer; what was deleted or replaced, linked or not, in none. */
static void test_pending(void **state)
{
	struct ann_fixture fixture;
	float vector[DIM];
	size_t n;

	(void)state;
	new_filled(&fixture);
	fixture.ann->scan_max = 0;
	ann_numbered_vector(&numbered, N, vector);
	assert_int_equal(ann_fixture_put(fixture.ann, "new", vector, DIM), 0);
	ann_numbered_vector(&numbered, N + 1, vector);
	assert_int_equal(ann_fixture_put(fixture.ann, "8", vector, DIM), 0);
	for (int exact = 0; exact < 2; exact++) {
		assert_int_equal(ask(fixture.ann, N, 1, exact != 0, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(ask(fixture.ann, N + 1, 1, exact != 0, &n), 0);
		assert_true(nearest(fixture.ann, 8, exact != 0) > 1.0);
	}
	assert_int_equal(ann_delete(fixture.ann, "7", 1), 0);
	assert_int_equal(ann_delete(fixture.ann, "new", 3), 0);
	for (int exact = 0; exact < 2; exact++) {
		assert_true(nearest(fixture.ann, 7, exact != 0) > 1.0);
		assert_true(nearest(fixture.ann, N, exact != 0) > 1.0);
	}
	ann_fixture_free(&fixture);
}

/* --- changes in the middle of a search, made where it asks whether to go on --- */

struct meddler {
	struct ann *ann;
	unsigned asked;
	void (*change)(struct ann *ann);
};

static bool meddle(void *ctx)
{
	struct meddler *meddler = ctx;

	if (meddler->asked++ == 0)
		meddler->change(meddler->ann);
	return false;
}

/* Id 5 moves to another slot, a little away from where it was. */
static void overwrite_five(struct ann *ann)
{
	float vector[DIM];

	ann_numbered_vector(&numbered, 5, vector);
	vector[0] += 0.25f;
	assert_int_equal(ann_fixture_put(ann, "5", vector, DIM), 0);
}

static void rename_five(struct ann *ann)
{
	assert_int_equal(ann_rename(ann, "5", 1, "other", 5, 0), 0);
}

static void replace_by_five(struct ann *ann)
{
	assert_int_equal(ann_rename(ann, "5", 1, "6", 1, 0), 0);
}

/* Searches for vector 5 with k 2; the nearest must be this id at this distance. */
static void disturbed(void (*change)(struct ann *ann), bool exact, const char *id, double distance)
{
	struct ann_fixture fixture;
	struct meddler meddler = {.change = change};
	struct ann_query spec = {
		.k = 2, .exact = exact, .cancelled = meddle, .cancel_ctx = &meddler};
	struct ann_answer answer;
	float vector[DIM];

	new_filled(&fixture);
	fixture.ann->scan_max = 0;
	meddler.ann = fixture.ann;
	ann_numbered_vector(&numbered, 5, vector);
	assert_int_equal(ann_search(fixture.ann, vector, 1, &spec, &answer, NULL), 0);
	assert_true(meddler.asked > 0);
	assert_int_equal(answer.first[1], 2);
	assert_int_equal(answer.hits[0].id_len, strlen(id));
	assert_memory_equal(answer.ids + answer.hits[0].id_at, id, strlen(id));
	assert_true(answer.hits[0].distance > distance - 1e-3);
	assert_true(answer.hits[0].distance < distance + 1e-3);
	assert_true(answer.hits[1].distance > 1.0);
	ann_answer_release(&answer);
	ann_fixture_free(&fixture);
}

static void link_all(struct ann *ann)
{
	size_t left;

	assert_int_equal(ann_index_some(ann, 10000, &left), 0);
	assert_int_equal(left, 0);
}

/* What is pending when a scan begins is linked before it comes to the linked ones: measured once. */
static void test_linked_meanwhile(void **state)
{
	struct ann_fixture fixture;
	struct meddler meddler = {.change = link_all};
	struct ann_query spec = {
		.k = 300, .exact = true, .cancelled = meddle, .cancel_ctx = &meddler};
	struct ann_answer answer;
	float vector[DIM];

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, DIM, &(struct ann_opts){.threads = 1});
	ann_numbered_fill(&numbered, fixture.ann, 0, N);
	meddler.ann = fixture.ann;
	ann_numbered_vector(&numbered, 5, vector);
	assert_int_equal(ann_search(fixture.ann, vector, 1, &spec, &answer, NULL), 0);
	assert_true(meddler.asked > 1);
	assert_int_equal(answer.first[1], 300);
	ann_answer_release(&answer);
	ann_fixture_free(&fixture);
}

static void test_changed_meanwhile(void **state)
{
	(void)state;
	for (int exact = 0; exact < 2; exact++) {
		disturbed(overwrite_five, exact != 0, "5", 0.25);
		disturbed(rename_five, exact != 0, "other", 0);
		disturbed(replace_by_five, exact != 0, "6", 0);
	}
}

static void put_equal(struct ann_fixture *fixture, unsigned n)
{
	const float ones[2] = {1, 1};
	char id[16];

	ann_fixture_new(fixture, ANN_L2, 2, &by_hand);
	for (unsigned i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "%05u", i);
		assert_int_equal(ann_fixture_put(fixture->ann, id, ones, 2), 0);
	}
}

static bool after_some(void *ctx)
{
	unsigned *left = ctx;

	return *left == 0 || --*left == 0;
}

/* A search can be ended in each of its parts: in the scan, while measuring, while finding ids. */
static void test_ended_anywhere(void **state)
{
	enum { EQUAL = 20000, STAY = 512, STAYS = (EQUAL + STAY - 1) / STAY };
	struct ann_query spec = {.k = 1, .exact = true, .cancelled = after_some};
	const float query[2] = {0};
	struct ann_answer answer;
	struct ann_fixture fixture;

	(void)state;
	put_equal(&fixture, EQUAL);
	for (unsigned part = 0; part < 3; part++) {
		unsigned left = part * STAYS + STAYS / 2;

		spec.cancel_ctx = &left;
		assert_int_equal(ann_search(fixture.ann, query, 1, &spec, &answer, NULL),
				 ERR_INTERRUPTED);
		ann_answer_release(&answer);
	}
	ann_fixture_free(&fixture);
}

/* What a search of very many vectors as near as each other needs is not kept for ever. */
static void test_memory_goes(void **state)
{
	enum { EQUAL = 40000, BATCH = 16 };
	const struct ann_query spec = {.k = 1, .exact = true};
	const float queries[2 * BATCH] = {0};
	struct ann_answer answer;
	struct ann_fixture fixture;
	size_t kept = 0;

	(void)state;
	put_equal(&fixture, EQUAL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ann_search(fixture.ann, queries, BATCH, &spec, &answer, NULL), 0);
		for (size_t q = 0; q < BATCH; q++) {
			assert_int_equal(answer.first[q], q);
			assert_int_equal(answer.hits[q].id_len, 5);
			assert_memory_equal(answer.ids + answer.hits[q].id_at, "00000", 5);
		}
		ann_answer_release(&answer);
	}
	for (const struct find_context *ctx = fixture.ann->contexts; ctx != NULL; ctx = ctx->next)
		kept += find_context_bytes(ctx);
	assert_true(kept <= 8u << 20);
	ann_fixture_free(&fixture);
}

/* After many searches at once the working memory of a few is kept. */
static void test_few_are_kept(void **state)
{
	enum { AT_ONCE = 50 };
	struct find_context *ctxs[AT_ONCE];
	struct ann_fixture fixture;
	size_t kept = 0;

	(void)state;
	put_equal(&fixture, 1);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < AT_ONCE; i++)
			assert_int_equal(find_context_take(fixture.ann, &ctxs[i]), 0);
		assert_null(fixture.ann->contexts);
		for (unsigned i = 0; i < AT_ONCE; i++)
			find_context_give(fixture.ann, ctxs[i]);
	}
	for (const struct find_context *ctx = fixture.ann->contexts; ctx != NULL; ctx = ctx->next)
		kept++;
	assert_int_equal(kept, 4);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_vector), cmocka_unit_test(test_damaged_node),
		cmocka_unit_test(test_failing_disk),   cmocka_unit_test(test_short_graph),
		cmocka_unit_test(test_pending),	       cmocka_unit_test(test_changed_meanwhile),
		cmocka_unit_test(test_ended_anywhere), cmocka_unit_test(test_memory_goes),
		cmocka_unit_test(test_few_are_kept),   cmocka_unit_test(test_linked_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
