/*
 * test_store_notice.c - what a store tells unasked: that its cache is too small, that checkpoints
 * fail, that it takes no more writes. Each once each time it begins; and the counters that go with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/store.h"
#include "tests/support/io_mem.h"

#define IDS 1000u /* a page each */
#define WORDS 1024u

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	unsigned notices;
	char last[600];
};

static void hear(void *ctx, const char *sentence)
{
	struct world *w = ctx;

	w->notices++;
	snprintf(w->last, sizeof(w->last), "%s", sentence);
}

static int put(struct world *w, uint32_t id)
{
	struct store_attr attr = {.mode = 0644};
	uint32_t value[WORDS];
	char name[16];
	int len = snprintf(name, sizeof(name), "%u", id);

	for (uint32_t i = 0; i < WORDS; i++)
		value[i] = (i * 2654435761u + id) & 0xff7fffff; /* does not compress, is finite */
	return store_put(w->store, name, (size_t)len, value, sizeof(value), &attr, 0, NULL, NULL,
			 NULL);
}

static void begin_with(struct world *w, uint64_t cache, enum wal_durability durability)
{
	struct store_geometry geometry = {.page_size = 4096};
	struct store_opts opts = {
		.cache_bytes = cache, .durability = durability, .notice = hear, .notice_ctx = w};

	memset(w, 0, sizeof(*w));
	w->medium = io_mem_new(3);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(store_create(w->io, &geometry, NULL), 0);
	assert_int_equal(store_open(w->io, &opts, &w->store, NULL, NULL), 0);
	for (uint32_t id = 0; id < IDS; id++)
		assert_int_equal(put(w, id), 0);
	assert_int_equal(store_checkpoint(w->store), 0);
	store_drop_caches(w->store);
}

static void begin(struct world *w, uint64_t cache)
{
	begin_with(w, cache, WAL_LOG);
}

static void end(struct world *w)
{
	io_mem_set_fault(w->medium, NULL, NULL);
	store_abandon(w->store);
	w->io->ops->close(w->io);
	io_mem_free(w->medium);
}

/* Reads ids first ... first + n - 1, over and over. */
static void get(struct world *w, uint32_t first, uint32_t n, uint32_t times)
{
	uint8_t value[WORDS * 4];
	char name[16];

	for (uint32_t i = 0; i < times; i++) {
		int len = snprintf(name, sizeof(name), "%u", first + i % n);

		assert_int_equal(store_get(w->store, name, (size_t)len, NULL, value), 0);
	}
}

static struct store_stats stats_of(struct world *w)
{
	struct store_stats stats;

	store_get_stats(w->store, &stats);
	return stats;
}

static void test_thrashing(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 1 << 20);
	get(&w, 0, IDS, 4900);
	assert_int_equal(w.notices, 0); /* that could still be the first reading */
	get(&w, 0, IDS, 700);
	assert_int_equal(w.notices, 1);
	assert_non_null(strstr(w.last, "Cache thrashing detected: "));
	assert_non_null(strstr(w.last, "raise cache= to at least 5M (it is 1M)"));
	assert_true(stats_of(&w).thrashing);
	get(&w, 0, IDS, 20000);
	assert_int_equal(w.notices, 1); /* once each time */
	assert_int_equal(stats_of(&w).thrashings, 1);
	/* a stretch of hits, and it is over; then it begins again */
	for (int i = 0; i < 12; i++) {
		get(&w, 0, 100, 10000);
		get(&w, 0, IDS, 500);
	}
	assert_false(stats_of(&w).thrashing);
	get(&w, 0, IDS, 6000);
	assert_int_equal(w.notices, 2);
	assert_int_equal(stats_of(&w).thrashings, 2);
	store_reset_metrics(w.store);
	assert_int_equal(stats_of(&w).thrashings, 0);
	end(&w);
}

/* A cache that holds everything, and one that is half missed, do not thrash. */
static void test_no_thrashing(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 16 << 20);
	for (int i = 0; i < 12; i++) {
		get(&w, 0, IDS, IDS);
		store_drop_caches(w.store);
	}
	assert_int_equal(w.notices, 0);
	end(&w);
	/* a first reading of everything, with room for it */
	begin(&w, 64 << 20);
	for (uint32_t id = IDS; id < 7 * IDS; id++)
		assert_int_equal(put(&w, id), 0);
	assert_int_equal(store_checkpoint(w.store), 0);
	store_drop_caches(w.store);
	get(&w, 0, 7 * IDS, 7 * IDS);
	assert_int_equal(stats_of(&w).misses[STORE_CLASS_VECTOR], 7 * IDS);
	assert_int_equal(w.notices, 0);
	end(&w);
	begin(&w, 1 << 20);
	for (uint32_t id = 0; id < 20000; id++) {
		get(&w, id % IDS, 1, 1);
		get(&w, id % IDS, 1, 2);
	}
	assert_int_equal(w.notices, 0);
	assert_true(stats_of(&w).evictions[STORE_CLASS_VECTOR] > 10000);
	end(&w);
}

static int fail_with(void *ctx, const char *call, uint64_t nth)
{
	int err = *(int *)ctx;

	(void)nth;
	/* a sync never says that the disk is full: what it could not write is lost */
	if (strcmp(call, "write") == 0 || (strcmp(call, "log_sync") == 0 && err != ERR_FULL))
		return err;
	return 0;
}

static void test_full_disk(void **state)
{
	struct world w;
	int err = ERR_FULL;

	(void)state;
	begin(&w, 16 << 20);
	assert_int_equal(put(&w, 1), 0);
	io_mem_set_fault(w.medium, fail_with, &err);
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(store_checkpoint(w.store), 0);
	assert_int_equal(w.notices, 1);
	assert_non_null(strstr(w.last, "make room on the disk"));
	assert_int_equal(stats_of(&w).checkpoint_failures, 3);
	io_mem_set_fault(w.medium, NULL, NULL);
	io_mem_advance(w.medium, 5000);
	assert_int_equal(store_checkpoint(w.store), 0);
	io_mem_advance(w.medium, 7000);
	assert_int_equal(stats_of(&w).checkpoint_age_ns, 7000);
	assert_int_equal(w.notices, 1);
	end(&w);
}

/* What a log would have is not said to be there when there is none. */
static void test_full_disk_without_log(void **state)
{
	struct world w;
	int err = ERR_FULL;

	(void)state;
	begin_with(&w, 16 << 20, WAL_NONE);
	assert_int_equal(put(&w, 1), 0);
	io_mem_set_fault(w.medium, fail_with, &err);
	assert_int_not_equal(store_checkpoint(w.store), 0);
	assert_int_equal(w.notices, 1);
	assert_non_null(strstr(w.last, "in memory alone"));
	assert_null(strstr(w.last, "the log has everything"));
	end(&w);
}

static void test_poison(void **state)
{
	struct world w;
	int err = ERR_IO;

	(void)state;
	begin(&w, 16 << 20);
	assert_int_equal(put(&w, 1), 0);
	io_mem_set_fault(w.medium, fail_with, &err);
	assert_int_not_equal(store_checkpoint(w.store), 0);
	assert_int_equal(put(&w, 2), ERR_READONLY);
	assert_int_equal(store_sync(w.store), ERR_READONLY);
	assert_int_equal(w.notices, 1);
	assert_non_null(strstr(w.last, "takes no more writes"));
	assert_true(stats_of(&w).poisoned);
	get(&w, 0, IDS, IDS);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thrashing), cmocka_unit_test(test_no_thrashing),
		cmocka_unit_test(test_full_disk), cmocka_unit_test(test_full_disk_without_log),
		cmocka_unit_test(test_poison),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
