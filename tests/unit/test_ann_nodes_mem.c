/* test_ann_nodes_mem.c - node records in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ann/nodes.h"
#include "store/err.h"
#include "store/mem.h"

#define CAP 5u

static void unwritten_reads_as_no_links(void **state)
{
	struct ann_nodes *nodes;
	const uint32_t *record;

	(void)state;
	assert_int_equal(nodes_mem_new(CAP, &nodes), 0);
	assert_int_equal(nodes->cap, CAP);
	nodes->ops->read_begin(nodes);
	assert_int_equal(nodes->ops->read(nodes, 0, &record), 0);
	assert_int_equal(record[0], 0);
	assert_int_equal(nodes->ops->read(nodes, 3999999999u, &record), 0);
	assert_int_equal(record[0], 0);
	nodes->ops->read_end(nodes);
	nodes->ops->free(nodes);
}

static void changes_are_read_back(void **state)
{
	static const uint32_t slots[] = {0, 1, 65535, 65536, 200000, 4294967295u};
	struct ann_nodes *nodes;

	(void)state;
	assert_int_equal(nodes_mem_new(CAP, &nodes), 0);
	nodes->ops->read_begin(nodes);
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		uint32_t *record;

		assert_int_equal(nodes->ops->change(nodes, slots[i], &record), 0);
		for (uint32_t word = 0; word <= CAP; word++) {
			assert_int_equal(record[word], 0);
			record[word] = slots[i] + word;
		}
	}
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		nodes->ops->prefetch(nodes, slots[i]);
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		const uint32_t *record;

		assert_int_equal(nodes->ops->read(nodes, slots[i], &record), 0);
		for (uint32_t word = 0; word <= CAP; word++)
			assert_int_equal(record[word], slots[i] + word);
	}
	nodes->ops->read_end(nodes);
	nodes->ops->free(nodes);
}

static bool fails_now(void *ctx)
{
	int *left = ctx;

	return (*left)-- <= 0;
}

static void memory_runs_out(void **state)
{
	struct ann_nodes *nodes;
	uint32_t *record;
	int left;

	(void)state;
	for (int allowed = 0; allowed < 3; allowed++) {
		left = allowed;
		mem_set_fault(fails_now, &left);
		assert_int_equal(nodes_mem_new(CAP, &nodes), ERR_NOMEM);
		assert_null(nodes);
	}
	mem_set_fault(NULL, NULL);
	assert_int_equal(nodes_mem_new(CAP, &nodes), 0);
	left = 0;
	mem_set_fault(fails_now, &left);
	assert_int_equal(nodes->ops->change(nodes, 7, &record), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_int_equal(nodes->ops->change(nodes, 7, &record), 0);
	nodes->ops->free(nodes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unwritten_reads_as_no_links),
		cmocka_unit_test(changes_are_read_back),
		cmocka_unit_test(memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
