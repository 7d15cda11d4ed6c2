/*
 * test_store_checkpoint_errors.c - a checkpoint without a log segment to begin, a sync that fails, a
 * graph without room: what goes on, and what does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/store_private.h"
#include "tests/support/store_fixture.h"

#define GRAPH_PAGES 4000u

static void start(struct store_fixture *f)
{
	store_fixture_new(f, NULL);
	store_fixture_put(f, 1, 1);
	store_fixture_put(f, 2, 2);
	assert_int_equal(store_checkpoint(f->store), 0);
}

static int publish(struct store_fixture *f)
{
	uint64_t lsn;

	assert_int_equal(store_graph_begin(f->store), 0);
	store_graph_freeze(f->store, &lsn);
	return store_graph_commit(f->store);
}

static void change_graph(struct store_fixture *f, uint32_t pages, uint8_t with)
{
	void *page;

	store_read_begin(f->store);
	for (uint32_t i = 0; i < pages; i++) {
		assert_int_equal(store_page_change(f->store, i, &page), 0);
		memset(page, with, STORE_FIXTURE_PAGE);
	}
	store_read_end(f->store);
}

static uint8_t graph_byte(struct store_fixture *f)
{
	const uint8_t *page;
	uint8_t byte;

	store_read_begin(f->store);
	assert_int_equal(store_page(f->store, 0, (const void **)&page), 0);
	byte = page[100];
	store_read_end(f->store);
	return byte;
}

/* The next segment cannot be made: on a full disk checkpoints go on in the old one. */
static void test_no_segment(void **state)
{
	static const int results[] = {ERR_FULL, ERR_NOMEM, ERR_IO};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(results) / sizeof(*results); i++) {
		struct store_fixture_fault fault = {
			.call = "log_create", .result = ERR_FULL, .for_ever = true};
		bool graph = i % 2 != 0;
		struct store_fixture f;
		uint64_t failures;
		int err;

		start(&f);
		change_graph(&f, 1, 5);
		io_mem_set_fault(f.medium, store_fixture_fail, &fault);
		store_fixture_put(&f, 3, 1);
		assert_int_equal(store_checkpoint(f.store), 0); /* its segment was there already */
		assert_true(fault.hit);
		fault.result = results[i / 2];
		failures = atomic_load(&f.store->checkpoint_failures);
		store_fixture_put(&f, 4, 1);
		err = graph ? publish(&f) : store_checkpoint(f.store);
		assert_int_equal(err, fault.result == ERR_FULL ? 0 : fault.result);
		assert_int_equal(atomic_load(&f.store->checkpoint_failures) - failures, err != 0);
		assert_int_equal(graph_byte(&f), 5);
		if (err == ERR_IO) {
			store_fixture_expect_poisoned(&f);
		} else {
			io_mem_set_fault(f.medium, NULL, NULL);
			store_fixture_put(&f, 5, 1);
			assert_int_equal(publish(&f), 0);
			store_fixture_check(&f);
		}
		store_fixture_reopen(&f);
		store_fixture_expect(&f, 1, 1);
		store_fixture_expect(&f, 2, 2);
		store_fixture_expect(&f, 3, 1);
		store_fixture_expect(&f, 4, 1);
		store_fixture_expect(&f, 5, err == ERR_IO ? 0 : 1);
		store_fixture_check(&f);
		store_fixture_free(&f);
	}
}

/* What fsync waits for did not come about: from then on nothing is promised. */
static void test_sync_fails(void **state)
{
	struct store_fixture_fault fault = {.call = "log_sync", .result = ERR_IO};
	struct store_fixture f;

	(void)state;
	start(&f);
	store_fixture_put(&f, 3, 1);
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	assert_int_equal(store_sync(f.store), ERR_IO);
	store_fixture_expect_poisoned(&f);
	assert_int_equal(store_sync(f.store), ERR_READONLY);
	store_fixture_free(&f);
}

/* A store that takes no more writes while the graph is published: what was frozen is dirty again. */
static void test_graph_of_poisoned(void **state)
{
	struct store_fixture_fault fault = {.call = "log_sync", .result = ERR_UNKNOWN};
	struct store_fixture f;
	uint64_t lsn;

	(void)state;
	start(&f);
	change_graph(&f, 3, 7);
	store_fixture_put(&f, 3, 1);
	assert_int_equal(store_graph_begin(f.store), 0);
	store_graph_freeze(f.store, &lsn);
	change_graph(&f, 1, 8);
	io_mem_set_fault(f.medium, store_fixture_fail, &fault);
	assert_int_equal(store_sync(f.store), ERR_UNKNOWN);
	assert_int_equal(store_graph_commit(f.store), ERR_READONLY);
	assert_int_equal(f.store->pager->groups[PAGER_GRAPH].n_preimages, 0);
	assert_int_equal(f.store->pager->groups[PAGER_GRAPH].frozen_gen, 0);
	assert_int_equal(f.store->pager->groups[PAGER_GRAPH].n_dirty, 3);
	assert_int_equal(graph_byte(&f), 8);
	store_fixture_expect_poisoned(&f);
	store_fixture_free(&f);
}

/* A graph that finds no room is given up before anything is written; it waits in memory. */
static void test_graph_without_room(void **state)
{
	struct store_fixture f;
	uint64_t total, left, checkpoints;

	(void)state;
	start(&f);
	io_mem_set_capacity(f.medium, 1u << 30);
	change_graph(&f, GRAPH_PAGES, 7);
	assert_int_equal(f.io->ops->space(f.io, &total, &left), 0);
	io_mem_set_capacity(f.medium, total - left + (1u << 16));
	checkpoints = atomic_load(&f.store->checkpoints);
	assert_int_equal(publish(&f), ERR_FULL);
	assert_int_equal(atomic_load(&f.store->checkpoints), checkpoints);
	assert_int_equal(graph_byte(&f), 7);
	io_mem_set_capacity(f.medium, 0);
	store_wait_checkpoint(f.store); /* nobody runs checkpoints: no reason to wait */
	assert_int_equal(publish(&f), 0);
	assert_int_equal(atomic_load(&f.store->checkpoints), checkpoints + 1);
	store_fixture_reopen(&f);
	assert_int_equal(graph_byte(&f), 7);
	store_fixture_expect(&f, 1, 1);
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_segment),
		cmocka_unit_test(test_sync_fails),
		cmocka_unit_test(test_graph_of_poisoned),
		cmocka_unit_test(test_graph_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
