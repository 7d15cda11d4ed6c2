/*
 * test_store_store.c - the store as a whole against a naive model: random puts, deletes, renames,
 * attribute changes, checkpoints, clean and unclean ends. After every end the store must say exactly
 * what the model says, and its own invariants must hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/store.h"
#include "store/store_private.h"
#include "tests/support/io_mem.h"

#define IDS 400
#define DIM 100

struct model_entry {
	bool present;
	uint32_t version;
	struct store_attr attr;
	uint64_t ino;
};

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	struct store_opts opts;
	struct model_entry model[IDS];
	uint32_t versions, value_size;
	uint64_t random;
};

static uint64_t next_random(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static uint32_t below(struct world *w, uint32_t n)
{
	return (uint32_t)(next_random(w) >> 33) % n;
}

static size_t name_of(uint32_t id, char *out)
{
	/* lengths from 1 to 200 and more, so that buckets split unevenly */
	int n = sprintf(out, "%u", (unsigned)id);

	for (uint32_t i = 0; i < id % 7 * 30; i++)
		out[n++] = (char)('a' + i % 26);
	out[n] = '\0';
	return (size_t)n;
}

static void fill(const struct world *w, uint32_t version, float *value)
{
	for (uint32_t i = 0; i < w->value_size / 4; i++)
		value[i] = (float)(version * 31 + i % 13);
}

static void open_world(struct world *w)
{
	struct err_msg msg = {{0}};
	int err;

	w->io = io_mem_attach(w->medium);
	assert_non_null(w->io);
	err = store_open(w->io, &w->opts, &w->store, NULL, &msg);
	if (err != 0)
		print_error("open: %s: %s\n", err_str(err), msg.text);
	assert_int_equal(err, 0);
}

static void start_world(struct world *w, uint64_t seed, uint32_t page_size, uint32_t value_size,
			uint64_t cache)
{
	struct store_geometry geometry = {.page_size = page_size, .kind = 7};
	struct err_msg msg = {{0}};

	memset(w, 0, sizeof(*w));
	w->random = seed * 2654435761u + 1;
	w->value_size = value_size;
	w->opts.cache_bytes = cache;
	w->medium = io_mem_new(seed);
	assert_non_null(w->medium);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(store_create(w->io, &geometry, &msg), 0);
	w->io->ops->close(w->io);
	open_world(w);
}

static void end_world(struct world *w)
{
	store_abandon(w->store);
	w->io->ops->close(w->io);
	io_mem_free(w->medium);
}

static void check_invariants(struct world *w)
{
	uint64_t entries = 0;

	epoch_enter(w->store->epoch);
	assert_int_equal(pager_check(w->store->pager), 0);
	assert_int_equal(slots_check(&w->store->slots), 0);
	assert_int_equal(ids_check(&w->store->ids, &entries), 0);
	epoch_leave(w->store->epoch);
	assert_int_equal(entries, w->store->slots.live);
}

static void check_entry(struct world *w, uint32_t id)
{
	const struct model_entry *expected = &w->model[id];
	float *value = malloc(w->value_size), *want = malloc(w->value_size);
	struct store_entry entry, by_slot;
	char name[300];
	size_t len = name_of(id, name);
	int err = store_get(w->store, name, len, &entry, value);

	if (!expected->present) {
		assert_int_equal(err, ERR_ABSENT);
	} else {
		assert_int_equal(err, 0);
		fill(w, expected->version, want);
		assert_memory_equal(value, want, w->value_size);
		assert_int_equal(entry.attr.mode, expected->attr.mode);
		assert_int_equal(entry.attr.uid, expected->attr.uid);
		assert_true(entry.attr.mtime_ns == expected->attr.mtime_ns);
		assert_true(entry.ino == expected->ino);
		assert_int_equal(store_slot_entry(w->store, entry.slot, &by_slot), 0);
		assert_string_equal(by_slot.id, name);
		assert_true(by_slot.lsn == entry.lsn);
	}
	free(value);
	free(want);
}

static void check_all(struct world *w)
{
	struct store_entry *entries = malloc(300 * sizeof(*entries));
	uint64_t cursors[300], cursor = 0;
	size_t n, total = 0, expected = 0;

	check_invariants(w);
	for (uint32_t id = 0; id < IDS; id++) {
		check_entry(w, id);
		expected += w->model[id].present;
	}
	do {
		assert_int_equal(store_list(w->store, cursor, entries, cursors, 300, &n), 0);
		for (size_t i = 0; i < n; i++) {
			assert_true(cursors[i] > (i == 0 ? cursor : cursors[i - 1]));
			assert_true(w->model[strtoul(entries[i].id, NULL, 10)].present);
		}
		total += n;
		cursor = n > 0 ? cursors[n - 1] : 0;
	} while (n > 0);
	assert_int_equal(total, expected);
	free(entries);
}

static void do_put(struct world *w, uint32_t id)
{
	struct store_attr attr = {.mode = below(w, 07777),
				  .uid = below(w, 9),
				  .gid = 3,
				  .mtime_ns = (int64_t)next_random(w) >> 8};
	unsigned flags = below(w, 4) == 0 ? STORE_PUT_NEW : 0;
	struct model_entry *m = &w->model[id];
	struct store_put_result result;
	float *value = malloc(w->value_size);
	char name[300];
	size_t len = name_of(id, name);
	uint32_t version = ++w->versions;
	int err;

	fill(w, version, value);
	err = store_put(w->store, name, len, value, w->value_size, &attr, flags, NULL, NULL,
			&result);
	free(value);
	if (m->present && flags == STORE_PUT_NEW) {
		assert_int_equal(err, ERR_EXISTS);
		return;
	}
	assert_int_equal(err, 0);
	assert_true(m->present == (result.old_slot != STORE_NO_SLOT));
	assert_true(!m->present || m->ino == result.ino);
	*m = (struct model_entry){true, version, attr, result.ino};
	if (result.old_slot != STORE_NO_SLOT && below(w, 2))
		assert_int_equal(store_slot_release(w->store, result.old_slot), 0);
}

static void do_delete(struct world *w, uint32_t id)
{
	struct store_put_result result;
	char name[300];
	size_t len = name_of(id, name);
	int err = store_delete(w->store, name, len, NULL, NULL, &result);

	assert_int_equal(err, w->model[id].present ? 0 : ERR_ABSENT);
	if (err == 0) {
		assert_true(result.ino == w->model[id].ino);
		assert_int_equal(result.attr.mode, w->model[id].attr.mode);
		assert_true(result.attr.mtime_ns == w->model[id].attr.mtime_ns);
	}
	w->model[id].present = false;
	if (err == 0 && below(w, 2))
		assert_int_equal(store_slot_release(w->store, result.old_slot), 0);
}

static void do_rename(struct world *w, uint32_t from, uint32_t to)
{
	struct model_entry *a = &w->model[from], *b = &w->model[to], t;
	unsigned flags = below(w, 3);
	char from_name[300], to_name[300];
	size_t from_len = name_of(from, from_name), to_len = name_of(to, to_name);
	int err = store_rename(w->store, from_name, from_len, to_name, to_len, flags, NULL, NULL,
			       NULL);

	if (!a->present) {
		assert_int_equal(err, ERR_ABSENT);
	} else if (flags == STORE_RENAME_KEEP && b->present) {
		assert_int_equal(err, ERR_EXISTS);
	} else if (flags == STORE_RENAME_EXCHANGE && !b->present) {
		assert_int_equal(err, ERR_ABSENT);
	} else {
		assert_int_equal(err, 0);
		t = *b;
		if (from != to)
			*b = *a;
		if (flags == STORE_RENAME_EXCHANGE)
			*a = t;
		else if (from != to)
			a->present = false;
	}
}

static void do_set_attr(struct world *w, uint32_t id)
{
	struct store_attr attr = {.mode = below(w, 07777), .mtime_ns = -5};
	char name[300];
	size_t len = name_of(id, name);
	int err = store_set_attr(w->store, name, len, &attr, STORE_ATTR_MODE | STORE_ATTR_MTIME);

	assert_int_equal(err, w->model[id].present ? 0 : ERR_ABSENT);
	w->model[id].attr.mode = attr.mode;
	w->model[id].attr.mtime_ns = attr.mtime_ns;
}

static void step(struct world *w)
{
	uint32_t what = below(w, 100), id = below(w, IDS);

	if (what < 50)
		do_put(w, id);
	else if (what < 70)
		do_delete(w, id);
	else if (what < 85)
		do_rename(w, id, below(w, IDS));
	else if (what < 95)
		do_set_attr(w, id);
	else if (what < 98)
		assert_int_equal(store_checkpoint(w->store), 0);
	else
		store_drop_caches(w->store);
}

static void reopen(struct world *w, bool clean)
{
	if (clean)
		assert_int_equal(store_close(w->store), 0);
	else
		store_abandon(w->store);
	w->io->ops->close(w->io);
	open_world(w);
}

static void run(uint64_t seed, uint32_t page_size, uint32_t value_size, uint64_t cache, int rounds)
{
	struct world w;

	print_message("seed %llu, pages of %u, values of %u bytes\n", (unsigned long long)seed,
		      (unsigned)page_size, (unsigned)value_size);
	start_world(&w, seed, page_size, value_size, cache);
	for (int round = 0; round < rounds; round++) {
		uint32_t steps = below(&w, 300);

		for (uint32_t i = 0; i < steps; i++)
			step(&w);
		check_all(&w);
		reopen(&w, below(&w, 2) == 0);
		check_all(&w);
	}
	end_world(&w);
}

static void test_model(void **state)
{
	(void)state;
	run(1, 16384, DIM * 4, 1 << 20, 20);
	run(2, 4096, 64, 1 << 20, 20);
	run(3, 65536, 784 * 4, 64 << 20, 10);
}

static void test_model_tiny_cache(void **state)
{
	(void)state;
	run(4, 4096, 512, 65536, 20);
}

static void test_model_value_larger_than_page(void **state)
{
	(void)state;
	run(5, 4096, 5 * 4096 - 8, 1 << 20, 8);
	run(6, 4096, 65536, 1 << 20, 4);
}

/* The log survives any number of unclean ends without a checkpoint in between. */
static void test_only_log(void **state)
{
	struct world w;

	(void)state;
	start_world(&w, 9, 16384, 128, 1 << 20);
	for (int i = 0; i < 200; i++)
		do_put(&w, below(&w, IDS));
	for (int i = 0; i < 3; i++) {
		reopen(&w, false);
		check_all(&w);
	}
	end_world(&w);
}

/* After a clean end no segment is left, and the next open replays nothing. */
static void test_clean_close_leaves_no_log(void **state)
{
	struct store_open_report report;
	uint64_t *seqs = NULL;
	size_t n = 1;
	struct world w;

	(void)state;
	start_world(&w, 10, 16384, 128, 1 << 20);
	for (int i = 0; i < 50; i++)
		do_put(&w, below(&w, IDS));
	assert_int_equal(store_close(w.store), 0);
	assert_int_equal(w.io->ops->log_list(w.io, &seqs, &n), 0);
	mem_free(seqs);
	assert_int_equal(n, 0);
	w.io->ops->close(w.io);
	w.io = io_mem_attach(w.medium);
	assert_int_equal(store_open(w.io, &w.opts, &w.store, &report, NULL), 0);
	assert_true(report.clean);
	assert_int_equal(report.replayed, 0);
	check_all(&w);
	end_world(&w);
}

/* One commit slot damaged: the other and the log give the same state. */
static void test_damaged_slot(void **state)
{
	(void)state;
	for (int slot = 0; slot < 2; slot++) {
		struct world w;
		size_t len;
		uint8_t *head;

		start_world(&w, 11, 16384, 128, 1 << 20);
		for (int i = 0; i < 300; i++)
			step(&w);
		assert_int_equal(store_checkpoint(w.store), 0);
		for (int i = 0; i < 100; i++)
			step(&w);
		store_abandon(w.store);
		w.io->ops->close(w.io);
		head = io_mem_head(w.medium, &len);
		head[4096 * (slot + 1) + 100] ^= 1;
		open_world(&w);
		check_all(&w);
		for (int i = 0; i < 100; i++)
			step(&w);
		reopen(&w, true);
		check_all(&w);
		end_world(&w);
	}
}

/* Space of deleted and replaced values is used again: the file does not grow under churn. */
static void test_space_is_reused(void **state)
{
	struct store_stats before, after;
	struct world w;

	(void)state;
	start_world(&w, 12, 16384, 3136, 1 << 20);
	for (int round = 0; round < 30; round++) {
		struct store_put_result result;

		for (uint32_t id = 0; id < IDS; id++) {
			struct store_attr attr = {0};
			float *value = malloc(w.value_size);
			char name[300];
			size_t len = name_of(id, name);

			fill(&w, id, value);
			assert_int_equal(store_put(w.store, name, len, value, w.value_size, &attr,
						   0, NULL, NULL, &result),
					 0);
			if (result.old_slot != STORE_NO_SLOT)
				assert_int_equal(store_slot_release(w.store, result.old_slot), 0);
			free(value);
		}
		assert_int_equal(store_checkpoint(w.store), 0);
		if (round == 5)
			store_get_stats(w.store, &before);
	}
	store_get_stats(w.store, &after);
	assert_true(after.slots <= 2 * IDS + 64);
	assert_true(after.file_bytes <= before.file_bytes + before.file_bytes / 4);
	end_world(&w);
}

/* A head whose end is no longer used becomes shorter, and opens. */
static void test_head_shrinks(void **state)
{
	static uint8_t buf[16384];
	size_t before, after;
	struct world w;
	uint64_t lsn;

	(void)state;
	start_world(&w, 15, 16384, 128, 1 << 20);
	for (int i = 0; i < 50; i++)
		do_put(&w, below(&w, IDS));
	assert_int_equal(store_checkpoint(w.store), 0);
	assert_int_equal(store_graph_begin(w.store), 0);
	store_graph_freeze(w.store, &lsn);
	for (uint32_t page = 0; page < 300; page++) {
		memset(buf, (int)page, sizeof(buf));
		assert_int_equal(store_blob_write(w.store, STORE_CODE, page, buf), 0);
	}
	assert_int_equal(store_graph_commit(w.store), 0);
	(void)io_mem_head(w.medium, &before);
	assert_int_equal(store_graph_reset(w.store), 0);
	/* some rounds: blocks are free two slots after they were replaced, then pages move there */
	for (int i = 0; i < 8; i++) {
		for (uint32_t id = 0; id < IDS; id++)
			do_set_attr(&w, id);
		assert_int_equal(store_checkpoint(w.store), 0);
	}
	(void)io_mem_head(w.medium, &after);
	print_message("head of %zu bytes, then %zu\n", before, after);
	assert_true(before > 300 * 16384 && after < 100 * 16384);
	reopen(&w, false);
	check_all(&w);
	end_world(&w);
}

/* The three spaces of the layer above are published together or not at all. */
static void test_graph_is_published_whole(void **state)
{
	static uint8_t buf[16384], got[16384];
	struct world w;
	uint64_t lsn;

	(void)state;
	start_world(&w, 13, 16384, 128, 1 << 20);
	do_put(&w, 1);
	for (uint32_t round = 1; round <= 3; round++) {
		for (uint32_t p = 0; p < 10; p++) {
			void *page;

			store_read_begin(w.store);
			assert_int_equal(store_page_change(w.store, p, &page), 0);
			memset(page, (int)(round * 10 + p), 16384);
			store_read_end(w.store);
		}
		if (round == 3)
			break; /* changed, never published */
		assert_int_equal(store_graph_begin(w.store), 0);
		store_graph_freeze(w.store, &lsn);
		memset(buf, (int)round, sizeof(buf));
		assert_int_equal(store_blob_write(w.store, STORE_CODE, 4, buf), 0);
		assert_int_equal(store_graph_commit(w.store), 0);
		do_put(&w, 2 + round);
		assert_int_equal(store_checkpoint(w.store), 0);
	}
	reopen(&w, false);
	assert_int_equal(store_pages(w.store, STORE_GRAPH), 10);
	assert_true(store_graph_lsn(w.store) == lsn);
	for (uint32_t p = 0; p < 10; p++) {
		const void *page;

		store_read_begin(w.store);
		assert_int_equal(store_page(w.store, p, &page), 0);
		memset(got, (int)(20 + p), sizeof(got));
		assert_memory_equal(page, got, 16384);
		store_read_end(w.store);
	}
	assert_int_equal(store_blob_read(w.store, STORE_CODE, 4, got), 0);
	assert_memory_equal(got, buf, 16384);
	/* a reset forgets what was published and what was only changed, for good */
	store_read_begin(w.store);
	assert_int_equal(store_page_change(w.store, 3, &(void *){NULL}), 0);
	store_read_end(w.store);
	assert_int_equal(store_graph_reset(w.store), 0);
	assert_int_equal(store_pages(w.store, STORE_GRAPH), 0);
	check_all(&w);
	assert_int_equal(store_checkpoint(w.store), 0);
	reopen(&w, false);
	assert_int_equal(store_pages(w.store, STORE_GRAPH), 0);
	assert_int_equal(store_pages(w.store, STORE_CODE), 0);
	assert_true(store_graph_lsn(w.store) == 0);
	check_all(&w);
	end_world(&w);
}

static void test_refusals(void **state)
{
	struct store_attr attr = {0};
	struct err_msg msg = {{0}};
	struct store_geometry geometry = {.page_size = 5000};
	struct world w;
	float value[64] = {0};

	(void)state;
	start_world(&w, 14, 16384, 128, 1 << 20);
	assert_int_equal(store_put(w.store, "a", 1, value, 126, &attr, 0, NULL, NULL, NULL),
			 ERR_INVALID);
	assert_int_equal(store_value_size(w.store), 0);
	assert_int_equal(store_put(w.store, "a", 1, value, 128, &attr, 0, NULL, NULL, NULL), 0);
	assert_int_equal(store_put(w.store, "b", 1, value, 256, &attr, 0, NULL, NULL, NULL),
			 ERR_INVALID);
	assert_int_equal(store_put(w.store, "", 0, value, 128, &attr, 0, NULL, NULL, NULL),
			 ERR_NAME_LONG);
	assert_int_equal(store_create(w.io, &geometry, &msg), ERR_INVALID);
	assert_non_null(strstr(msg.text, "5000"));
	end_world(&w);
}

/* A read-only store names the last record that it replayed, not that of the checkpoint. */
static void test_read_only_stats(void **state)
{
	struct store_attr attr = {0};
	struct store_stats before, after;
	struct world w;
	float value[32] = {0};

	(void)state;
	start_world(&w, 15, 4096, 128, 1 << 20);
	for (int i = 0; i < 5; i++)
		assert_int_equal(store_put(w.store, "a", 1, value, 128, &attr, 0, NULL, NULL, NULL),
				 0);
	store_get_stats(w.store, &before);
	assert_true(before.last_lsn > before.ckpt_lsn);
	store_abandon(w.store);
	w.io->ops->close(w.io);
	w.opts.read_only = true;
	open_world(&w);
	store_get_stats(w.store, &after);
	assert_int_equal(after.last_lsn, before.last_lsn);
	end_world(&w);
}

static int no_segment(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	return strcmp(call, "log_create") == 0 ? ERR_FULL : 0;
}

/* Opens and kills; whether it was said to be fresh. */
static bool is_fresh(struct io_mem *medium, bool read_only, int expected)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .read_only = read_only};
	struct store_io *io = io_mem_attach(medium);
	struct store_open_report report;
	struct store *store;

	assert_non_null(io);
	assert_int_equal(store_open(io, &opts, &store, &report, NULL), expected);
	store_abandon(store);
	io->ops->close(io);
	return report.fresh;
}

/* Fresh until an opening for writing came through, whatever ended it. A removed store makes room for another. */
static void test_fresh(void **state)
{
	struct store_geometry geometry = {.value_size = 128};
	struct io_mem *medium = io_mem_new(16);
	struct store_io *io = io_mem_attach(medium);

	(void)state;
	assert_int_equal(is_fresh(medium, false, ERR_ABSENT), false);
	assert_int_equal(store_create(io, &geometry, NULL), 0);
	assert_true(is_fresh(medium, true, 0));
	io_mem_set_fault(medium, no_segment, NULL);
	assert_true(is_fresh(medium, false, ERR_FULL));
	io_mem_set_fault(medium, NULL, NULL);
	assert_true(is_fresh(medium, false, 0));
	assert_false(is_fresh(medium, false, 0));
	assert_false(is_fresh(medium, true, 0));
	assert_int_equal(io->ops->remove(io), ERR_INVALID);
	assert_int_equal(io->ops->open(io, true, NULL), 0);
	assert_int_equal(io->ops->remove(io), 0);
	assert_int_equal(is_fresh(medium, false, ERR_ABSENT), false);
	assert_int_equal(store_create(io, &geometry, NULL), 0);
	io->ops->close(io);
	io_mem_free(medium);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_model_tiny_cache),
		cmocka_unit_test(test_model_value_larger_than_page),
		cmocka_unit_test(test_only_log),
		cmocka_unit_test(test_clean_close_leaves_no_log),
		cmocka_unit_test(test_damaged_slot),
		cmocka_unit_test(test_space_is_reused),
		cmocka_unit_test(test_head_shrinks),
		cmocka_unit_test(test_graph_is_published_whole),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_read_only_stats),
		cmocka_unit_test(test_fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
