/*
 * test_store_list.c - what a listing of the whole store costs in reads, where the cache holds a small
 * part of the tables: each page of the index of ids once, and nothing of the slot table, which lies in
 * another order than the ids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/store.h"
#include "store/store_private.h"
#include "tests/support/io_mem.h"

#define IDS 20000u
#define PAGE 4096u
#define CACHE (16u * PAGE) /* the slot table has 79 pages */
#define BATCH 64u

static void fill(struct store *store)
{
	struct store_attr attr = {.mode = 0644};
	char id[16];

	for (uint32_t i = 0; i < IDS; i++) {
		float value = (float)i;
		int len = snprintf(id, sizeof(id), "id-%07u", (unsigned)i);

		assert_int_equal(store_put(store, id, (size_t)len, &value, sizeof(value), &attr, 0,
					   NULL, NULL, NULL),
				 0);
	}
}

static uint64_t misses(struct store *store)
{
	struct store_stats stats;

	store_get_stats(store, &stats);
	return stats.misses[STORE_CLASS_MAP];
}

static void list(struct store *store)
{
	struct store_entry *entries = malloc(BATCH * sizeof(*entries));
	bool *seen = calloc(IDS, sizeof(*seen));
	uint64_t cursors[BATCH], cursor = 0;
	size_t n = BATCH, total = 0;

	while (n == BATCH) {
		assert_int_equal(store_list(store, cursor, entries, cursors, BATCH, &n), 0);
		for (size_t i = 0; i < n; i++) {
			uint32_t id = (uint32_t)strtoul(entries[i].id + 3, NULL, 10);

			assert_true(id < IDS && !seen[id]);
			assert_true(entries[i].ino > 0 && entries[i].attr.mode == 0644);
			seen[id] = true;
			cursor = cursors[i];
		}
		total += n;
	}
	assert_int_equal(total, IDS);
	free(entries);
	free(seen);
}

static void test_reads_the_index_once(void **state)
{
	struct store_geometry geometry = {.page_size = PAGE, .kind = 7};
	struct store_opts opts = {.cache_bytes = CACHE};
	struct io_mem *medium = io_mem_new(1);
	struct store_io *io = io_mem_attach(medium);
	struct err_msg msg = {{0}};
	struct store *store;
	uint64_t before, pages;

	(void)state;
	assert_int_equal(store_create(io, &geometry, &msg), 0);
	assert_int_equal(store_open(io, &opts, &store, NULL, &msg), 0);
	fill(store);
	assert_int_equal(store_checkpoint(store), 0);
	store_drop_caches(store);
	pages = atomic_load(&store->pager->spaces[FORMAT_SPACE_BUCKET].pages) +
		atomic_load(&store->pager->spaces[FORMAT_SPACE_DIR].pages);
	assert_true(pages > 10 * (CACHE / PAGE));
	before = misses(store);
	list(store);
	assert_in_range(misses(store) - before, pages, pages + pages / 20);
	store_abandon(store);
	io->ops->close(io);
	io_mem_free(medium);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_the_index_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
