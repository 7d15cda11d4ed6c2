/*
 * Tests of rewrite.c and order.c: a collection that is taken over in the order of its graph is the
 * same collection, with a sound graph that finds as much and reads fewer pages.
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
#include "ann/order.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"
#include "tests/support/sanitized.h"

#define DIM 32u
#define N UNLESS_SANITIZED(4000u, 1500u)
#define CENTRES 300u
#define QUERIES 60u
#define K 10u

static const struct ann_opts by_hand = {.threads = 1, .effort = 40};
static const struct ann_numbered numbered = {.dim = DIM, .centres = CENTRES};

/* Every tenth is deleted after it was linked; the last hundred are not linked. */
static void new_filled(struct ann_fixture *fixture, enum ann_metric metric)
{
	ann_fixture_new(fixture, metric, DIM, &by_hand);
	ann_numbered_fill(&numbered, fixture->ann, 0, N - 100);
	ann_fixture_index(fixture->ann);
	ann_numbered_fill(&numbered, fixture->ann, N - 100, N);
	for (uint32_t i = 0; i < N - 100; i += 10)
		ann_numbered_delete(fixture->ann, i);
	fixture->ann->scan_max = 0;
}

static void copy_values(struct ann_fixture *from, struct ann_fixture *to, const uint32_t *slots,
			size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct store_put_result result;
		struct store_entry entry;
		const void *value;

		store_read_begin(from->store);
		assert_int_equal(store_slot_entry(from->store, slots[i], &entry), 0);
		assert_int_equal(store_value(from->store, slots[i], STORE_HINT_NONE, &value), 0);
		assert_int_equal(store_put(to->store, entry.id, entry.id_len, value,
					   DIM * sizeof(float), &entry.attr, STORE_PUT_NEW, NULL,
					   NULL, &result),
				 0);
		assert_int_equal(result.slot, i);
		store_read_end(from->store);
	}
}

static const uint32_t *record_of(struct ann *ann, uint32_t slot)
{
	const uint32_t *record;

	assert_int_equal(ann->index.nodes->ops->read(ann->index.nodes, slot, &record), 0);
	return record;
}

static bool is_linked(struct ann *ann, uint32_t slot)
{
	return graph_state(&ann->index.states, slot) == GRAPH_LINKED;
}

/* Adds an old slot to a list of them unless it is the node itself, stands there, or is not linked. */
static bool expect_link(struct ann *from, uint32_t node, uint32_t link, uint32_t *list, uint32_t *n)
{
	bool fits = link != node && is_linked(from, link);

	for (uint32_t i = 0; i < *n; i++)
		fits = fits && list[i] != link;
	if (fits)
		list[(*n)++] = link;
	return fits;
}

/* The links of a node without its tombstones, each of which leads on once; how many led on. */
static size_t expected_links(struct ann *from, uint32_t node, uint32_t *list, uint32_t *n)
{
	const uint32_t *record = record_of(from, node);
	size_t passed = 0;

	*n = 0;
	for (uint32_t i = 1; i <= record[0]; i++) {
		const uint32_t *beyond;
		uint32_t at = 1;

		if (graph_state(&from->index.states, record[i]) != GRAPH_TOMBSTONE) {
			(void)expect_link(from, node, record[i], list, n);
			continue;
		}
		beyond = record_of(from, record[i]);
		while (at <= beyond[0] && !expect_link(from, node, beyond[at], list, n))
			at++;
		passed += at <= beyond[0];
	}
	return passed;
}

/* What stands in slot i of `to` stood in slots[i]: so do its links, those to tombstones replaced. */
static void check_links(struct ann *from, struct ann *to, const uint32_t *slots, size_t n)
{
	uint32_t list[256], count;
	size_t passed = 0;

	from->index.nodes->ops->read_begin(from->index.nodes);
	to->index.nodes->ops->read_begin(to->index.nodes);
	for (uint32_t node = 0; node < n; node++) {
		const uint32_t *record = record_of(to, node);

		if (!is_linked(from, slots[node]))
			continue;
		passed += expected_links(from, slots[node], list, &count);
		assert_int_equal(record[0], count);
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(slots[record[1 + i]], list[i]);
	}
	to->index.nodes->ops->read_end(to->index.nodes);
	from->index.nodes->ops->read_end(from->index.nodes);
	assert_true(passed > N); /* a tenth is dead, and nodes have many links */
}

/* As the command does it: values, graph, closed in order, opened again. */
static void rewrite(struct ann_fixture *from, struct ann_fixture *to)
{
	uint32_t *slots;
	size_t n;

	assert_int_equal(ann_order(from->ann, &slots, &n), 0);
	assert_int_equal(n, N - (N - 100) / 10);
	ann_fixture_new(to, ann_get_metric(from->ann), DIM, &by_hand);
	assert_int_equal(ann_close(to->ann), 0);
	copy_values(from, to, slots, n);
	assert_int_equal(ann_open(to->store, &by_hand, &to->ann, NULL, NULL), 0);
	assert_int_equal(ann_copy_graph(from->ann, to->ann, slots, n), 0);
	ann_fixture_reopen(to, false);
	check_links(from->ann, to->ann, slots, n);
	mem_free(slots);
	assert_string_equal(to->note.text, "");
	to->ann->scan_max = 0;
}

static size_t found(struct ann *ann, const float *query, bool exact, uint32_t *ids_out)
{
	struct ann_query spec = {.k = K, .exact = exact};
	struct ann_answer answer;
	size_t n;

	assert_int_equal(ann_search(ann, query, 1, &spec, &answer, NULL), 0);
	n = answer.first[1];
	for (size_t i = 0; i < n; i++) {
		char id[16] = {0};

		memcpy(id, answer.ids + answer.hits[i].id_at, answer.hits[i].id_len);
		ids_out[i] = (uint32_t)strtoul(id, NULL, 10);
	}
	ann_answer_release(&answer);
	return n;
}

static size_t right_of(struct ann *ann)
{
	size_t right = 0;

	for (uint32_t q = 0; q < QUERIES; q++) {
		uint32_t truth[K], ids[K];
		float query[DIM];
		size_t n;

		ann_numbered_vector(&numbered, q + 10 * N, query);
		assert_int_equal(found(ann, query, true, truth), K);
		n = found(ann, query, false, ids);
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < K; j++)
				right += ids[i] == truth[j];
	}
	return right;
}

/* Pages of nodes, and of vectors, that lie between the links of one node, summed over all. */
static size_t pages_apart(struct ann *ann)
{
	struct ann_nodes *nodes = ann->index.nodes;
	uint32_t per_page = store_page_size(ann->store) / (DIM * 4), n = store_slots(ann->store);
	size_t apart = 0;

	nodes->ops->read_begin(nodes);
	for (uint32_t slot = 0; slot < n; slot++) {
		const uint32_t *record;

		assert_int_equal(nodes->ops->read(nodes, slot, &record), 0);
		for (uint32_t i = 1; i <= record[0]; i++)
			apart += record[i] / per_page != slot / per_page;
	}
	nodes->ops->read_end(nodes);
	return apart;
}

static void check_same(enum ann_metric metric)
{
	struct ann_fixture from, to;
	struct ann_stats stats;
	struct err_msg msg = {""};
	size_t before, after;

	new_filled(&from, metric);
	rewrite(&from, &to);
	for (uint32_t i = 0; i < N; i++) {
		float want[DIM], got[DIM];
		struct store_entry entry;
		char id[16];
		int err;

		snprintf(id, sizeof(id), "%u", i);
		err = ann_get(to.ann, id, strlen(id), &entry, got);
		assert_int_equal(err, i < N - 100 && i % 10 == 0 ? ERR_ABSENT : 0);
		ann_numbered_vector(&numbered, i, want);
		if (err == 0)
			assert_memory_equal(got, want, sizeof(want));
	}
	ann_get_stats(to.ann, &stats);
	assert_int_equal(stats.linked, N - 100 - (N - 100) / 10);
	assert_int_equal(stats.pending, 100);
	assert_int_equal(stats.tombstones, 0);
	assert_int_equal(ann_check(to.ann, &msg), 0);
	before = right_of(from.ann);
	after = right_of(to.ann);
	assert_true(before > QUERIES * K * 9 / 10);
	assert_true(after + QUERIES * K / 100 >= before); /* within one point */
	assert_true(pages_apart(to.ann) * 10 < pages_apart(from.ann) * 9);
	ann_fixture_index(to.ann);
	assert_int_equal(ann_check(to.ann, &msg), 0);
	ann_fixture_free(&from);
	ann_fixture_free(&to);
}

static void test_same_collection(void **state)
{
	(void)state;
	check_same(ANN_L2);
	check_same(ANN_COSINE);
	check_same(ANN_IP);
}

static void test_order_is_complete(void **state)
{
	struct ann_fixture fixture;
	uint8_t seen[N + 1] = {0};
	uint32_t *order;
	size_t n;

	(void)state;
	new_filled(&fixture, ANN_L2);
	order = mem_alloc(N * sizeof(*order));
	assert_int_equal(order_graph(&fixture.ann->index.graph, N, order, &n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(order[i] < N);
		assert_int_equal(seen[order[i]]++, 0);
		assert_int_equal(graph_state(&fixture.ann->index.states, order[i]), GRAPH_LINKED);
	}
	assert_int_equal(n, N - 100 - (N - 100) / 10);
	mem_free(order);
	ann_fixture_free(&fixture);
}

static void test_nothing_to_order(void **state)
{
	struct ann_fixture from, to;
	uint32_t *slots;
	size_t n;

	(void)state;
	ann_fixture_new(&from, ANN_L2, 0, &by_hand); /* not even a dimension */
	assert_int_equal(ann_order(from.ann, &slots, &n), 0);
	assert_int_equal(n, 0);
	ann_fixture_new(&to, ANN_L2, 0, &by_hand);
	assert_int_equal(ann_copy_graph(from.ann, to.ann, slots, n), 0);
	mem_free(slots);
	ann_fixture_free(&from);
	ann_fixture_free(&to);
}

static size_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return ++allocations == fail_at;
}

/* Each allocation fails once: an error, and nothing is lost but time. */
static void test_no_memory(void **state)
{
	struct ann_fixture from;
	int err = ERR_NOMEM;

	(void)state;
	new_filled(&from, ANN_L2);
	for (fail_at = 1; err != 0; fail_at++) {
		uint32_t *slots;
		size_t n;

		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		err = ann_order(from.ann, &slots, &n);
		mem_set_fault(NULL, NULL);
		assert_true(err == 0 || err == ERR_NOMEM);
		mem_free(slots);
	}
	assert_true(fail_at > 4);
	ann_fixture_free(&from);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_collection),
		cmocka_unit_test(test_order_is_complete),
		cmocka_unit_test(test_nothing_to_order),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
