/*
 * test_store_concurrent.c - commits, readers, checkpoints, graph changes and a cache too small, all
 * at once. Values describe themselves, so any mix of two versions, and any value of another id, is
 * seen. Meant to run under the thread sanitizer as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "store/store.h"
#include "store/store_private.h"
#include "tests/support/io_mem.h"

#define IDS 200u
#define WORDS 128u
#define STEPS 1500u
#define GRAPH_PAGES 40u

struct world {
	struct store *store;
	_Atomic uint32_t newest[IDS]; /* version last acknowledged */
	_Atomic bool stop;
	_Atomic uint64_t reads, bad;
};

struct job {
	struct world *world;
	uint32_t number;
};

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static size_t name_of(uint32_t id, char *out)
{
	return (size_t)sprintf(out, "id-%u", (unsigned)id);
}

static bool whole(const uint32_t *value, uint32_t id)
{
	for (uint32_t i = 2; i < WORDS; i++)
		if (value[i] != value[1] * 7 + i)
			return false;
	return value[0] == id;
}

/* Each writer owns the ids with its number modulo the number of writers. */
static void *write_some(void *arg)
{
	struct job *job = arg;
	struct world *w = job->world;
	uint32_t state = job->number + 1, value[WORDS];

	for (uint32_t step = 1; step <= STEPS; step++) {
		uint32_t id = next(&state) % (IDS / 2) * 2 + job->number;
		struct store_attr attr = {.mode = 0644};
		struct store_put_result result = {0};
		char name[32];
		size_t len = name_of(id, name);
		int err;

		value[0] = id;
		value[1] = step;
		for (uint32_t i = 2; i < WORDS; i++)
			value[i] = step * 7 + i;
		if (next(&state) % 8 == 0) {
			err = store_delete(w->store, name, len, NULL, NULL, &result);
			if (err == ERR_ABSENT)
				continue;
		} else {
			err = store_put(w->store, name, len, value, sizeof(value), &attr, 0, NULL,
					NULL, &result);
			if (err == 0)
				atomic_store(&w->newest[id], step);
		}
		if (err == 0 && result.old_slot != STORE_NO_SLOT)
			err = store_slot_release(w->store, result.old_slot);
		if (err != 0)
			atomic_fetch_add(&w->bad, 1);
	}
	return NULL;
}

static void *read_some(void *arg)
{
	struct job *job = arg;
	struct world *w = job->world;
	uint32_t state = 77 + job->number, value[WORDS];

	while (!atomic_load(&w->stop)) {
		uint32_t id = next(&state) % IDS;
		struct store_entry entry;
		char name[32];
		size_t len = name_of(id, name);
		int err = store_get(w->store, name, len, &entry, value);

		if (err == 0 && !whole(value, id))
			atomic_fetch_add(&w->bad, 1);
		if (err != 0 && err != ERR_ABSENT)
			atomic_fetch_add(&w->bad, 1);
		atomic_fetch_add(&w->reads, 1);
	}
	return NULL;
}

static void *change_graph(void *arg)
{
	struct job *job = arg;
	struct world *w = job->world;
	uint32_t state = 5;

	while (!atomic_load(&w->stop)) {
		void *page;
		int err;

		store_read_begin(w->store);
		err = store_page_change(w->store, next(&state) % GRAPH_PAGES, &page);
		if (err == 0)
			__atomic_store_n((uint32_t *)page + next(&state) % 1024, next(&state),
					 __ATOMIC_RELAXED);
		else
			atomic_fetch_add(&w->bad, 1);
		store_read_end(w->store);
		if (next(&state) % 64 == 0) {
			uint64_t lsn;

			err = store_graph_begin(w->store);
			if (err == 0) {
				store_graph_freeze(w->store, &lsn);
				err = store_graph_commit(w->store);
			}
			if (err != 0)
				atomic_fetch_add(&w->bad, 1);
		}
	}
	return NULL;
}

static void *checkpoints(void *arg)
{
	struct job *job = arg;
	struct world *w = job->world;

	while (!atomic_load(&w->stop)) {
		if (store_checkpoint(w->store) != 0)
			atomic_fetch_add(&w->bad, 1);
		store_drop_caches(w->store);
	}
	return NULL;
}

static void test_all_at_once(void **state)
{
	void *(*const work[])(void *) = {write_some, write_some,   read_some,
					 read_some,  change_graph, checkpoints};
	struct store_opts opts = {
		.cache_bytes = 256 << 10, .background = true, .checkpoint_bytes = 64 << 10};
	struct store_geometry geometry = {.page_size = 4096};
	struct io_mem *medium = io_mem_new(1);
	struct store_io *io = io_mem_attach(medium);
	struct world w = {0};
	struct job jobs[6];
	pthread_t threads[6];
	uint64_t entries;

	(void)state;
	assert_int_equal(store_create(io, &geometry, NULL), 0);
	assert_int_equal(store_open(io, &opts, &w.store, NULL, NULL), 0);
	for (uint32_t i = 0; i < 6; i++) {
		jobs[i] = (struct job){&w, i < 2 ? i : i - 2};
		assert_int_equal(pthread_create(&threads[i], NULL, work[i], &jobs[i]), 0);
	}
	for (uint32_t i = 0; i < 6; i++) {
		if (i == 2)
			atomic_store(&w.stop, true);
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_int_equal(w.bad, 0);
	assert_true(w.reads > 0);
	/* one that is due still may run: a checkpoint takes blocks while pager_check counts them */
	checkpoint_stop_threads(w.store);
	epoch_enter(w.store->epoch);
	assert_int_equal(pager_check(w.store->pager), 0);
	assert_int_equal(slots_check(&w.store->slots), 0);
	assert_int_equal(ids_check(&w.store->ids, &entries), 0);
	epoch_leave(w.store->epoch);
	assert_int_equal(store_close(w.store), 0);
	io->ops->close(io);
	io_mem_free(medium);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_at_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
