/*
 * test_fs_handle.c - open files whose vector is taken away, moved or overwritten between two of their
 * requests: in the orders in which requests of several threads can be served.
 */
#include "fs/handle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fs/attr.h"
#include "fs/dir.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"

#define DIM 4u
#define SIZE (DIM * sizeof(float))

static const float ones[DIM] = {1, 1, 1, 1}, twos[DIM] = {2, 2, 2, 2};
static const struct handle_mode to_read = {.read = true}, to_write = {.write = true};

/* --- a mount without a mount --- */

struct scene {
	struct ann_fixture fixture;
	struct fs fs;
};

static void scene_new(struct scene *scene, uint32_t dim)
{
	const struct ann_opts opts = {.threads = 1};
	const struct store_attr directory = {.mode = 0755};

	memset(scene, 0, sizeof(*scene));
	ann_fixture_new(&scene->fixture, ANN_L2, dim, &opts);
	scene->fs.ann = scene->fixture.ann;
	scene->fs.store = scene->fixture.store;
	scene->fs.io = scene->fixture.io;
	opened_init(&scene->fs.handles);
	assert_int_equal(status_new(&scene->fs.status), 0);
	assert_int_equal(inode_table_new(1, &directory, &scene->fs.inodes), 0);
	assert_int_equal(listing_new(&scene->fs.listing), 0);
}

static void scene_free(struct scene *scene)
{
	assert_int_equal(inode_check(scene->fs.inodes), 0);
	handle_free_all(&scene->fs);
	assert_int_equal(scene->fs.buffered.bytes, 0);
	listing_free(scene->fs.listing);
	inode_table_free(scene->fs.inodes);
	status_free(scene->fs.status);
	opened_release(&scene->fs.handles);
	ann_fixture_free(&scene->fixture);
}

static struct call caller(uint64_t thread)
{
	return (struct call){.thread = thread};
}

static int look_up(struct scene *scene, enum node_kind folder, const char *name,
		   struct dir_entry *entry)
{
	struct call call = caller(9);

	return dir_lookup(&scene->fs, inode_get(scene->fs.inodes, folder), name, &call, entry);
}

/* CREATE, in either folder. */
static struct handle *create(struct scene *scene, const char *name, enum handle_kind kind)
{
	const struct handle_mode mode = {.write = true};
	struct call call = caller(1);
	struct handle_cache cache;
	struct handle *handle = NULL;
	struct node *node = NULL;

	assert_int_equal(names_create(&scene->fs, name, 0644, &call, &node), 0);
	assert_int_equal(handle_create(&scene->fs, kind, node, &mode, &call, &handle, &cache), 0);
	return handle;
}

static struct handle *open_at(struct scene *scene, const struct dir_entry *entry,
			      const struct handle_mode *mode, uint64_t thread,
			      struct handle_cache *cache)
{
	struct call call = caller(thread);
	struct handle *handle = NULL;

	call.id = entry->id;
	assert_int_equal(handle_open(&scene->fs, entry->node, mode, &call, &handle, cache), 0);
	return handle;
}

static int put(struct scene *scene, struct handle *handle, const void *bytes, size_t len)
{
	struct call call = caller(1);

	return handle_write(&scene->fs, handle, bytes, len, 0, &call);
}

static void expect(struct scene *scene, struct handle *handle, const float *numbers)
{
	struct call call = caller(2);
	const void *bytes = NULL;
	size_t len = 0;

	assert_int_equal(handle_read(&scene->fs, handle, 0, SIZE, &call, &bytes, &len), 0);
	assert_int_equal(len, SIZE);
	assert_memory_equal(bytes, numbers, SIZE);
	handle_read_done(handle);
}

static void shut(struct scene *scene, struct handle *handle)
{
	struct call call = caller(1);
	bool dropped;

	handle_close(&scene->fs, handle, &call, &dropped);
}

static void store(struct scene *scene, const char *name, const float *numbers)
{
	struct handle *handle = create(scene, name, HANDLE_VECTOR);
	struct call call = caller(1);

	assert_int_equal(put(scene, handle, numbers, SIZE), 0);
	assert_int_equal(handle_flush(&scene->fs, handle, &call), 0);
	shut(scene, handle);
}

/* --- a name that goes --- */

/*
 * Whoever found a new vector that another one closes without having written it can write it: what he writes
 * is stored. If the name is that of another one by then, the kernel is to look it up again.
 */
static void test_name_gone_before_open(void **state)
{
	struct handle_cache cache = {0};
	struct handle *creator, *other;
	struct dir_entry entry, found;
	struct scene scene;

	(void)state;
	scene_new(&scene, DIM);
	creator = create(&scene, "a", HANDLE_VECTOR);
	assert_int_equal(look_up(&scene, NODE_VECTORS, "a", &entry), 0);
	other = open_at(&scene, &entry, &to_write, 2, &cache);
	assert_false(cache.retry);
	shut(&scene, creator);
	/* open in time: the name stays */
	creator = open_at(&scene, &entry, &to_write, 1, &cache);
	assert_false(cache.retry);
	shut(&scene, other);
	shut(&scene, creator);
	/* too late, and nobody has the name */
	assert_int_equal(inode_uncommitted(scene.fs.inodes), 0);
	other = open_at(&scene, &entry, &to_write, 2, &cache);
	assert_false(cache.retry);
	assert_int_equal(inode_uncommitted(scene.fs.inodes), 1);
	assert_int_equal(inode_check(scene.fs.inodes), 0);
	shut(&scene, other);
	/* another one has */
	creator = create(&scene, "a", HANDLE_VECTOR);
	other = open_at(&scene, &entry, &to_write, 2, &cache);
	assert_true(cache.retry);
	shut(&scene, other);
	shut(&scene, creator);
	other = open_at(&scene, &entry, &to_write, 2, &cache);
	assert_false(cache.retry);
	assert_int_equal(put(&scene, other, ones, SIZE), 0);
	shut(&scene, other);
	assert_int_equal(inode_uncommitted(scene.fs.inodes), 0);
	assert_int_equal(look_up(&scene, NODE_VECTORS, "a", &found), 0);
	assert_ptr_equal(found.node, entry.node);
	other = open_at(&scene, &found, &to_read, 2, &cache);
	expect(&scene, other, ones);
	shut(&scene, other);
	scene_free(&scene);
}

/*
 * A vector that was found and then replaced by a renaming, before it was opened: what has the name now is
 * read, never nothing. Where nothing has it there is no such file.
 */
static void test_replaced_before_open(void **state)
{
	static const enum node_kind folders[] = {NODE_VECTORS, NODE_JSON};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct handle_cache cache = {0};
		struct call call = caller(1);
		struct handle *handle;
		struct dir_entry entry;
		struct scene scene;

		scene_new(&scene, DIM);
		store(&scene, "a", ones);
		store(&scene, "b", twos);
		assert_int_equal(look_up(&scene, folders[i % 2], "a", &entry), 0);
		if (i < 2)
			assert_int_equal(names_rename(&scene.fs, "b", "a", 0, false, &call), 0);
		else
			assert_int_equal(names_unlink(&scene.fs, "a", false), 0);
		call.id = entry.id;
		assert_int_equal(
			handle_open(&scene.fs, entry.node, &to_read, &call, &handle, &cache),
			i < 2 ? 0 : ERR_ABSENT);
		if (i == 0)
			expect(&scene, handle, twos);
		else if (i == 1)
			assert_int_equal(handle_text_size(handle), strlen("[2,2,2,2]\n"));
		if (i < 2)
			shut(&scene, handle);
		/* who only writes has opened it before */
		handle = open_at(&scene, &entry, &to_write, 2, &cache);
		assert_false(cache.retry);
		if (i % 2 == 0)
			assert_int_equal(put(&scene, handle, ones, SIZE), 0);
		shut(&scene, handle);
		scene_free(&scene);
	}
}

/* --- a node that goes --- */

struct forgetting {
	struct scene *scene;
	uint64_t id; /* 0: done */
};

/* The kernel lets go of a vector while the record is written that takes its name. */
static int forget_meanwhile(void *ctx, const char *called, uint64_t nth)
{
	struct forgetting *forgetting = ctx;

	(void)nth;
	if (strcmp(called, "log_write") != 0 || forgetting->id == 0)
		return 0;
	inode_forget(forgetting->scene->fs.inodes, forgetting->id, 1);
	forgetting->id = 0;
	return 0;
}

static void test_forgotten_while_replaced(void **state)
{
	static const unsigned flags[] = {0, STORE_RENAME_EXCHANGE};
	struct dir_entry entry;
	struct scene scene;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct forgetting forgetting = {.scene = &scene};
		struct call call = caller(1);

		scene_new(&scene, DIM);
		store(&scene, "a", ones);
		store(&scene, "b", twos);
		assert_int_equal(look_up(&scene, NODE_VECTORS, "b", &entry), 0);
		inode_forget(scene.fs.inodes, entry.id, 1);
		forgetting.id = entry.id;
		io_mem_set_fault(scene.fixture.medium, forget_meanwhile, &forgetting);
		assert_int_equal(names_rename(&scene.fs, "a", "b", flags[i], false, &call), 0);
		assert_int_equal(forgetting.id, 0);
		io_mem_set_fault(scene.fixture.medium, NULL, NULL);
		assert_int_equal(inode_check(scene.fs.inodes), 0);
		assert_null(inode_get(scene.fs.inodes, entry.id));
		assert_int_equal(look_up(&scene, NODE_VECTORS, "a", &entry),
				 i == 0 ? ERR_ABSENT : 0);
		scene_free(&scene);
	}
}

static void test_forgotten_while_removed(void **state)
{
	struct scene scene;
	struct forgetting forgetting = {.scene = &scene};
	struct dir_entry entry;

	(void)state;
	scene_new(&scene, DIM);
	store(&scene, "a", ones);
	assert_int_equal(look_up(&scene, NODE_VECTORS, "a", &entry), 0);
	inode_forget(scene.fs.inodes, entry.id, 1);
	forgetting.id = entry.id;
	io_mem_set_fault(scene.fixture.medium, forget_meanwhile, &forgetting);
	assert_int_equal(names_unlink(&scene.fs, "a", false), 0);
	assert_int_equal(forgetting.id, 0);
	io_mem_set_fault(scene.fixture.medium, NULL, NULL);
	assert_null(inode_get(scene.fs.inodes, entry.id));
	scene_free(&scene);
}

/* --- what the kernel keeps --- */

/*
 * Between the moment at which a write stands in the store and the one at which open files hear of it, one
 * that is opened gets the new content, and one that was open still the old, which the kernel keeps. Once
 * the write has returned an open does not get that.
 */
static void test_kept_page_is_old(void **state)
{
	const struct store_attr attr = {.mode = 0644};
	struct handle_cache cache = {0};
	struct handle *before, *amid, *after;
	struct err_msg msg;
	struct dir_entry entry;
	uint64_t version;
	struct scene scene;

	(void)state;
	scene_new(&scene, DIM);
	store(&scene, "a", ones);
	assert_int_equal(look_up(&scene, NODE_VECTORS, "a", &entry), 0);
	before = open_at(&scene, &entry, &to_read, 1, &cache);
	expect(&scene, before, ones);
	/* the two halves of a commit */
	assert_int_equal(ann_put(scene.fs.ann, "a", 1, twos, DIM, &attr, 0, NULL, &msg), 0);
	amid = open_at(&scene, &entry, &to_read, 2, &cache);
	assert_false(cache.keep);
	expect(&scene, before, ones); /* into the kernel's page */
	inode_committed(scene.fs.inodes, entry.node, &version);

	after = open_at(&scene, &entry, &to_read, 3, &cache);
	assert_false(cache.keep || cache.direct || cache.retry);
	expect(&scene, before, twos);
	expect(&scene, after, twos);
	shut(&scene, before);
	shut(&scene, amid);
	shut(&scene, after);
	after = open_at(&scene, &entry, &to_read, 3, &cache);
	assert_true(cache.keep);
	shut(&scene, after);
	scene_free(&scene);
}

/* --- times --- */

static int64_t mtime_of(struct scene *scene)
{
	struct store_entry entry;

	assert_int_equal(ann_get(scene->fs.ann, "a", 1, &entry, NULL), 0);
	return entry.attr.mtime_ns;
}

/*
 * A time that was set after the last write is the time, though the vector is stored by the close that
 * follows; a write after it is later.
 */
static void test_time_set_before_close(void **state)
{
	const struct store_attr attr = {.mtime_ns = 77};

	(void)state;
	for (int i = 0; i < 8; i++) {
		bool text = i % 2 != 0, stored = i / 2 % 2 != 0, again = i / 4 != 0;
		struct handle_cache cache = {0};
		struct call call = caller(1);
		struct dir_entry entry;
		struct handle *handle;
		struct scene scene;

		scene_new(&scene, DIM);
		if (stored)
			store(&scene, "a", ones);
		else
			handle = create(&scene, "a", text ? HANDLE_JSON : HANDLE_VECTOR);
		assert_int_equal(look_up(&scene, NODE_VECTORS, "a", &entry), 0);
		if (stored) {
			assert_int_equal(
				look_up(&scene, text ? NODE_JSON : NODE_VECTORS, "a", &entry), 0);
			handle = open_at(&scene, &entry, &to_write, 1, &cache);
			assert_int_equal(look_up(&scene, NODE_VECTORS, "a", &entry), 0);
		}
		if (again)
			assert_int_equal(
				attr_change(&scene.fs, entry.node, &attr, STORE_ATTR_MTIME), 0);
		if (text)
			assert_int_equal(put(&scene, handle, "9 9 9 9", 7), 0);
		else if (stored)
			assert_int_equal(put(&scene, handle, twos, 4), 0);
		else
			assert_int_equal(put(&scene, handle, twos, SIZE), 0);
		if (!again)
			assert_int_equal(
				attr_change(&scene.fs, entry.node, &attr, STORE_ATTR_MTIME), 0);
		if (text && stored)
			assert_int_equal(handle_truncate(&scene.fs, handle, 7, &call), 0);
		if (text && stored && !again)
			assert_int_equal(
				attr_change(&scene.fs, entry.node, &attr, STORE_ATTR_MTIME), 0);
		assert_int_equal(handle_flush(&scene.fs, handle, &call), 0);
		if (again)
			assert_true(mtime_of(&scene) > 1000000);
		else
			assert_int_equal(mtime_of(&scene), 77);
		shut(&scene, handle);
		scene_free(&scene);
	}
}

/* --- memory --- */

static bool always_fails(void *ctx)
{
	(void)ctx;
	return true;
}

/* A handle that could not get memory does not count it. */
static void test_no_memory_to_write(void **state)
{
	struct handle *handle;
	struct scene scene;
	uint64_t before;

	(void)state;
	scene_new(&scene, DIM);
	handle = create(&scene, "a", HANDLE_VECTOR);
	before = scene.fs.buffered.bytes;
	mem_set_fault(always_fails, NULL);
	assert_int_equal(put(&scene, handle, ones, SIZE), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_int_equal(scene.fs.buffered.bytes, before);
	assert_int_equal(put(&scene, handle, ones, SIZE), 0);
	assert_true(scene.fs.buffered.bytes > before);
	shut(&scene, handle);
	scene_free(&scene);
}

/* --- text --- */

/* The first vector decides how long a text may be: also one that is longer already. */
static void test_long_text_ends(void **state)
{
	const struct handle_mode mode = {.write = true, .append = true};
	char blanks[65536];
	struct handle_cache cache = {0};
	struct handle *first, *text;
	struct dir_entry entry;
	struct scene scene;

	(void)state;
	scene_new(&scene, 0);
	memset(blanks, ' ', sizeof(blanks));
	first = create(&scene, "a", HANDLE_JSON);
	assert_int_equal(look_up(&scene, NODE_JSON, "a", &entry), 0);
	text = open_at(&scene, &entry, &mode, 1, &cache);
	assert_int_equal(put(&scene, text, "[1", 2), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(put(&scene, text, blanks, sizeof(blanks)), 0);
	store(&scene, "b", ones);
	assert_int_equal(put(&scene, text, blanks, sizeof(blanks)), ERR_TOO_BIG);
	shut(&scene, text);
	shut(&scene, first);
	scene_free(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_gone_before_open),
		cmocka_unit_test(test_replaced_before_open),
		cmocka_unit_test(test_forgotten_while_replaced),
		cmocka_unit_test(test_forgotten_while_removed),
		cmocka_unit_test(test_kept_page_is_old),
		cmocka_unit_test(test_time_set_before_close),
		cmocka_unit_test(test_no_memory_to_write),
		cmocka_unit_test(test_long_text_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
