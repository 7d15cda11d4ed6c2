/*
 * test_store_room.c - a full medium: what was accepted can be checkpointed, deletions always work,
 * room comes back, and a store that was killed on a full medium opens there. For many sizes of the
 * medium.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/format.h"
#include "store/mem.h"
#include "store/store.h"
#include "store/store_private.h"
#include "tests/support/io_mem.h"

#define WORDS 96u
#define IDS_MAX 20000u

static const struct store_opts opts = {.cache_bytes = 1 << 20};

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	bool there[IDS_MAX];
};

static size_t name_of(uint32_t id, char *out)
{
	return (size_t)sprintf(out, "the-vector-of-%u", (unsigned)id);
}

/* Numbers that do not compress. */
static void fill(uint32_t id, uint32_t *value)
{
	for (uint32_t i = 0; i < WORDS; i++)
		value[i] = (id * WORDS + i) * 2654435761u;
}

static void open_store(struct world *w)
{
	struct err_msg msg = {{0}};
	int err;

	w->io = io_mem_attach(w->medium);
	err = store_open(w->io, &opts, &w->store, NULL, &msg);
	if (err != 0)
		print_error("%s: %s\n", err_str(err), msg.text);
	assert_int_equal(err, 0);
}

static void kill_store(struct world *w)
{
	store_abandon(w->store);
	w->io->ops->close(w->io);
}

static void start(struct world *w, uint32_t page_size, uint64_t capacity)
{
	struct store_geometry geometry = {.page_size = page_size, .value_size = WORDS * 4};

	memset(w, 0, sizeof(*w));
	w->medium = io_mem_new(5);
	io_mem_set_capacity(w->medium, capacity);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(store_create(w->io, &geometry, NULL), 0);
	w->io->ops->close(w->io);
	open_store(w);
}

static int put(struct world *w, uint32_t id)
{
	struct store_attr attr = {.mode = 0600};
	uint32_t value[WORDS];
	char name[32];
	int err;

	fill(id, value);
	err = store_put(w->store, name, name_of(id, name), value, sizeof(value), &attr, 0, NULL,
			NULL, NULL);
	w->there[id] = w->there[id] || err == 0;
	return err;
}

static int delete (struct world *w, uint32_t id)
{
	struct store_put_result result;
	char name[32];
	int err = store_delete(w->store, name, name_of(id, name), NULL, NULL, &result);

	if (err == 0) {
		w->there[id] = false;
		assert_int_equal(store_slot_release(w->store, result.old_slot), 0);
	}
	return err;
}

static void verify(struct world *w, uint32_t n)
{
	for (uint32_t id = 0; id < n; id++) {
		uint32_t value[WORDS], want[WORDS];
		char name[32];
		int err = store_get(w->store, name, name_of(id, name), NULL, value);

		assert_int_equal(err, w->there[id] ? 0 : ERR_ABSENT);
		fill(id, want);
		if (err == 0)
			assert_memory_equal(value, want, sizeof(want));
	}
	assert_int_equal(pager_check(w->store->pager), 0);
}

/* What store_wait_room does with threads. */
static void checkpoint_if_tight(struct world *w, bool for_put)
{
	for (unsigned i = 0; i < 4 && room_is_tight(w->store, for_put); i++)
		assert_int_equal(store_checkpoint(w->store), 0);
}

/* Puts until the medium is full: until one is refused twice. Returns how many ids were tried. */
static uint32_t fill_up(struct world *w, uint32_t from)
{
	unsigned refused = 0;
	uint32_t id = from;
	int err = 0;

	while (refused < 2 && id < IDS_MAX) {
		checkpoint_if_tight(w, true);
		err = put(w, id);
		refused = err == 0 ? 0 : refused + 1;
		id += err == 0;
	}
	assert_int_equal(err, ERR_FULL);
	return id;
}

static void check_capacity(uint32_t page_size, uint64_t capacity)
{
	struct world w;
	uint32_t n, again;

	start(&w, page_size, capacity);
	n = fill_up(&w, 0);
	assert_true(n > 50);
	/* all that was accepted finds its place */
	assert_int_equal(store_checkpoint(w.store), 0);
	assert_int_equal(store_checkpoint(w.store), 0);
	n = fill_up(&w, n);
	verify(&w, n);
	kill_store(&w);
	open_store(&w);
	verify(&w, n);
	/* all can be deleted, in an order that touches every page early */
	for (uint32_t step = 0; step < 7; step++) {
		for (uint32_t id = step; id < n; id += 7) {
			checkpoint_if_tight(&w, false);
			assert_int_equal(delete (&w, id), 0);
		}
	}
	assert_int_equal(store_checkpoint(w.store), 0);
	assert_int_equal(store_checkpoint(w.store), 0);
	verify(&w, n);
	again = fill_up(&w, 0);
	assert_true(again > n * 3 / 4);
	verify(&w, again);
	assert_int_equal(store_close(w.store), 0);
	w.io->ops->close(w.io);
	open_store(&w);
	verify(&w, again);
	kill_store(&w);
	io_mem_free(w.medium);
}

static void test_full_medium(void **state)
{
	static const uint32_t page_sizes[] = {4096, 16384, 65536};

	(void)state;
	for (size_t p = 0; p < 3; p++)
		for (uint64_t capacity = 4 << 20; capacity <= 5 << 20; capacity += 900 << 10)
			check_capacity(page_sizes[p], capacity);
}

/* Something else has taken all that was free: also then deletions work, and make room. */
static void test_filled_by_others(void **state)
{
	struct world w;
	uint64_t total, left;

	(void)state;
	start(&w, 4096, 1 << 30);
	for (uint32_t id = 0; id < 4000; id++)
		assert_int_equal(put(&w, id), 0);
	assert_int_equal(w.io->ops->space(w.io, &total, &left), 0);
	io_mem_set_capacity(w.medium, total - left);
	for (uint32_t id = 4000; put(&w, id) == 0; id++)
		assert_true(id < 9000);
	for (uint32_t id = 0; id < 4000; id++) {
		checkpoint_if_tight(&w, false);
		assert_int_equal(delete (&w, id), 0);
	}
	assert_int_equal(store_checkpoint(w.store), 0);
	verify(&w, 4000);
	assert_int_equal(put(&w, 1), 0);
	kill_store(&w);
	io_mem_free(w.medium);
}

/* A graph has no claim on what deletions and checkpoints need. */
static void test_graph_gives_way(void **state)
{
	uint8_t page[4096] = {1};
	struct world w;
	uint64_t lsn;
	uint32_t n;
	int err = 0;

	(void)state;
	start(&w, 4096, 4 << 20);
	n = fill_up(&w, 0);
	assert_int_equal(store_graph_begin(w.store), 0);
	store_graph_freeze(w.store, &lsn);
	for (uint32_t i = 0; err == 0 && i < 1000; i++)
		err = store_blob_write(w.store, STORE_CODE, i, page);
	assert_int_equal(err, ERR_FULL);
	store_graph_abort(w.store);
	assert_int_equal(store_checkpoint(w.store), 0);
	for (uint32_t id = 0; id < n; id++) {
		checkpoint_if_tight(&w, false);
		assert_int_equal(delete (&w, id), 0);
	}
	assert_int_equal(store_checkpoint(w.store), 0);
	verify(&w, n);
	kill_store(&w);
	io_mem_free(w.medium);
}

static int promise_nothing(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	return strcmp(call, "reserve") == 0 || strcmp(call, "log_reserve") == 0 ? ERR_UNSUPPORTED :
										  0;
}

/* Without promises everything works that worked before; a full medium shows later. */
static void test_no_promises(void **state)
{
	struct world w;
	uint32_t id = 0;

	(void)state;
	start(&w, 4096, 2 << 20);
	kill_store(&w);
	io_mem_set_fault(w.medium, promise_nothing, NULL);
	open_store(&w);
	while (put(&w, id) == 0)
		id++;
	assert_int_equal(put(&w, id), ERR_FULL);
	io_mem_set_capacity(w.medium, 0);
	assert_int_equal(put(&w, id), 0);
	assert_int_equal(store_checkpoint(w.store), 0);
	verify(&w, id + 1);
	kill_store(&w);
	io_mem_free(w.medium);
}

/* --- a directory that doubles more than once --- */

enum { ALIKE = 8, ALIKE_BITS = 15, LIST = 480 };

/* The nth id of which the hash begins as that of the first. */
static size_t alike(struct world *w, uint32_t *next, char name_out[32])
{
	const char first[] = "alike";
	uint64_t want = ids_hash(&w->store->ids, first, sizeof(first) - 1) >> (64 - ALIKE_BITS);
	size_t len;

	do
		len = (size_t)sprintf(name_out, "alike-%u", (unsigned)(*next)++);
	while (ids_hash(&w->store->ids, name_out, len) >> (64 - ALIKE_BITS) != want);
	return len;
}

static int set_list(struct world *w, const char *name, size_t len)
{
	uint8_t bytes[LIST] = {0};
	struct format_xattr *head = (struct format_xattr *)bytes;
	struct xattrs list = {bytes, LIST};

	head->name_length[0] = 6;
	put_u16(head->value_length, LIST - sizeof(*head) - 6);
	memcpy(bytes + sizeof(*head), "user.a", 6);
	return store_set_xattrs(w->store, name, len, &list);
}

/*
 * A bucket full of long lists whose ids part late: with one more list the directory is many times as
 * long.
 */
static void test_deep_split(void **state)
{
	struct store_attr attr = {.mode = 0600};
	uint32_t value[WORDS] = {0}, next = 0, n;
	char names[ALIKE][32];
	size_t lens[ALIKE];
	struct world w;
	int err;

	(void)state;
	start(&w, 4096, 8 << 20);
	for (n = 0; n < 6000; n++) {
		checkpoint_if_tight(&w, true);
		assert_int_equal(put(&w, n), 0);
	}
	for (uint32_t i = 0; i < ALIKE; i++) {
		lens[i] = alike(&w, &next, names[i]);
		assert_int_equal(store_put(w.store, names[i], lens[i], value, sizeof(value), &attr,
					   0, NULL, NULL, NULL),
				 0);
		if (i + 1 < ALIKE)
			assert_int_equal(set_list(&w, names[i], lens[i]), 0);
	}
	n = fill_up(&w, n);
	assert_true(w.store->ids.depth < ALIKE_BITS);
	err = set_list(&w, names[ALIKE - 1], lens[ALIKE - 1]);
	if (err != ERR_FULL)
		assert_int_equal(err, 0);
	/* refused or accepted: what is there finds its place, and the rest is untouched */
	assert_int_equal(room_take(w.store, ROOM_CHANGE, 0), 0);
	assert_int_equal(store_checkpoint(w.store), 0);
	assert_int_equal(store_checkpoint(w.store), 0);
	for (uint32_t id = 0; id < n; id++) {
		checkpoint_if_tight(&w, false);
		assert_int_equal(delete (&w, id), 0);
	}
	assert_int_equal(store_checkpoint(w.store), 0);
	assert_int_equal(store_checkpoint(w.store), 0);
	assert_int_equal(set_list(&w, names[ALIKE - 1], lens[ALIKE - 1]), 0);
	verify(&w, n);
	kill_store(&w);
	io_mem_free(w.medium);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_medium),	cmocka_unit_test(test_filled_by_others),
		cmocka_unit_test(test_graph_gives_way), cmocka_unit_test(test_no_promises),
		cmocka_unit_test(test_deep_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
