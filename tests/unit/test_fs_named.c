/* Questions under names: found by name and number of neighbours, bounded, counted. */
#include "fs/named.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/dir.h"
#include "fs/handle.h"
#include "store/err.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"

static struct named_table *table;

static int setup(void **state)
{
	(void)state;
	return named_table_new(&table);
}

static int teardown(void **state)
{
	(void)state;
	named_table_free(table);
	return 0;
}

static bool always_fails(void *ctx)
{
	(void)ctx;
	return true;
}

static struct named *create(uint32_t k, const char *name)
{
	struct named *named = NULL;

	assert_int_equal(named_create(table, k, name, strlen(name), 5, &named), 0);
	return named;
}

static void holds(const struct named *named, const char *expected)
{
	uint8_t *bytes = NULL;
	size_t len = 0;

	assert_int_equal(named_get(table, named, &bytes, &len), 0);
	assert_int_equal(len, strlen(expected));
	if (len > 0)
		assert_memory_equal(bytes, expected, len);
	mem_free(bytes);
}

static void a_name_belongs_to_a_number_of_neighbours(void **state)
{
	struct named *a = create(10, "a"), *other = create(20, "a"), *found = NULL;

	(void)state;
	assert_int_equal(named_create(table, 10, "a", 1, 5, &found), ERR_EXISTS);
	assert_null(found);
	holds(a, "");
	assert_int_equal(named_put(table, a, "one", 3, 7), 0);
	holds(other, "");
	found = named_find(table, 10, "a", 1);
	assert_ptr_equal(found, a);
	holds(found, "one");
	assert_int_equal(named_mtime(table, a), 7);
	named_set_mtime(table, a, 9);
	assert_int_equal(named_mtime(table, found), 9);
	assert_null(named_find(table, 30, "a", 1));
	assert_null(named_find(table, 10, "ab", 2));
	named_release(table, found);
	named_release(table, a);
	named_release(table, other);
	named_release(table, NULL);
}

static void a_removed_one_goes_with_its_last_reference(void **state)
{
	struct named *a = create(1, "a"), *again = NULL;

	(void)state;
	assert_int_equal(named_put(table, a, "one", 3, 0), 0);
	assert_int_equal(named_remove(table, 1, "a", 1), 0);
	assert_int_equal(named_remove(table, 1, "a", 1), ERR_ABSENT);
	again = create(1, "a");
	assert_ptr_not_equal(again, a);
	holds(a, "one");
	holds(again, "");
	assert_int_equal(named_put(table, a, "two", 3, 0), 0);
	named_release(table, a);
	named_release(table, again);
}

static void they_are_listed_in_order_whatever_goes(void **state)
{
	char name[FORMAT_ID_MAX + 1], expected[16];
	uint64_t number = 0;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "q%d", i);
		named_release(table, create(i % 2 ? 1 : 2, name));
	}
	while (named_next(table, 2, number, &number, name)) {
		snprintf(expected, sizeof(expected), "q%zu", 2 * n++);
		assert_string_equal(name, expected);
		assert_int_equal(named_remove(table, 2, name, strlen(name)), 0);
	}
	assert_int_equal(n, 5);
	assert_false(named_next(table, 3, 0, &number, name));
}

static void there_are_bounds(void **state)
{
	const size_t full = NAMED_TOTAL_MAX / NAMED_BYTES_MAX;
	uint8_t *large = calloc(1, NAMED_BYTES_MAX + 1);
	struct named *named = NULL;
	char name[32];
	size_t i = 0;

	(void)state;
	for (; i < NAMED_MAX; i++) {
		snprintf(name, sizeof(name), "q%zu", i);
		named = create(1, name);
		if (i < full + 3)
			assert_int_equal(named_put(table, named, large, NAMED_BYTES_MAX, 0),
					 i < full ? 0 : ERR_FULL);
		named_release(table, named);
	}
	assert_int_equal(named_create(table, 1, "more", 4, 0, &named), ERR_FULL);
	assert_int_equal(named_remove(table, 1, "q0", 2), 0);
	named = create(1, "more");
	assert_int_equal(named_put(table, named, large, NAMED_BYTES_MAX + 1, 0), ERR_TOO_BIG);
	assert_int_equal(named_put(table, named, large, NAMED_BYTES_MAX, 0), 0);
	assert_int_equal(named_put(table, named, large, 1, 0), 0);
	named_release(table, named);
	memset(large, 'x', 300);
	assert_int_equal(named_create(table, 1, (char *)large, 256, 0, &named), ERR_NAME_LONG);
	free(large);
}

static void without_memory_nothing_changes(void **state)
{
	struct named *a = create(1, "a"), *other = NULL;
	uint8_t *bytes = NULL;
	size_t len;

	(void)state;
	assert_int_equal(named_put(table, a, "one", 3, 0), 0);
	mem_set_fault(always_fails, NULL);
	assert_int_equal(named_create(table, 1, "b", 1, 0, &other), ERR_NOMEM);
	assert_int_equal(named_put(table, a, "two", 3, 0), ERR_NOMEM);
	assert_int_equal(named_get(table, a, &bytes, &len), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_null(bytes);
	holds(a, "one");
	named_release(table, a);
}

/* Those who search one question at the same time need no memory for it, whatever becomes of it. */
static void searches_share_it(void **state)
{
	struct named *a = create(1, "a");
	struct named_content *first, *second;
	const uint8_t *bytes = NULL, *again = NULL;
	size_t len = 0;

	(void)state;
	assert_null(named_share(table, a, &bytes, &len));
	assert_null(bytes);
	assert_int_equal(len, 0);
	named_unshare(table, NULL);
	assert_int_equal(named_put(table, a, "one", 3, 0), 0);
	mem_set_fault(always_fails, NULL);
	first = named_share(table, a, &bytes, &len);
	second = named_share(table, a, &again, &len);
	mem_set_fault(NULL, NULL);
	assert_ptr_equal(bytes, again);
	assert_int_equal(len, 3);
	assert_int_equal((uintptr_t)bytes % sizeof(float), 0);
	assert_int_equal(named_put(table, a, "four", 4, 0), 0);
	holds(a, "four");
	named_unshare(table, first);
	assert_int_equal(named_remove(table, 1, "a", 1), 0);
	named_release(table, a);
	assert_memory_equal(again, "one", 3);
	named_unshare(table, second);
}

/* What was replaced counts as long as somebody searches it. */
static void what_is_shared_counts(void **state)
{
	enum { LARGE = NAMED_BYTES_MAX };
	const size_t all = NAMED_TOTAL_MAX / NAMED_BYTES_MAX;
	uint8_t *zeros = calloc(1, LARGE);
	struct named *named = NULL;
	struct named_content *content;
	const uint8_t *bytes = NULL;
	char name[16];
	size_t len;

	(void)state;
	assert_non_null(zeros);
	for (size_t i = 0; i < all; i++) {
		named_release(table, named);
		snprintf(name, sizeof(name), "%zu", i);
		named = create(1, name);
		assert_int_equal(named_put(table, named, zeros, LARGE, 0), 0);
	}
	content = named_share(table, named, &bytes, &len);
	assert_int_equal(named_put(table, named, zeros, 4, 0), ERR_FULL);
	named_unshare(table, content);
	assert_int_equal(named_put(table, named, zeros, LARGE, 0), 0);
	named_release(table, named);
	free(zeros);
}

/* A question for which there is no room in what all files may hold is not opened for changes. */
static void what_has_no_room_is_not_loaded(void **state)
{
	static uint8_t question[2 * BUFFERED_SMALL];
	const struct ann_opts opts = {.threads = 1};
	struct ann_fixture fixture;
	struct query_spec spec;
	struct node above = {.kind = NODE_SPEC, .spec = &spec};
	struct node node = {.kind = NODE_NAMED, .parent = &above, .name = "q", .name_len = 1};
	struct handle handle = {.kind = HANDLE_NAMED, .node = &node};
	struct named *named = NULL;
	struct fs fs = {.named = table};
	uint8_t zeros[8] = {0};

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 2, &opts);
	fs.ann = fixture.ann;
	fs.io = fixture.io;
	assert_int_equal(query_parse_spec("1", 1, &spec, NULL), 0);
	named = create(1, "q");
	assert_int_equal(named_put(table, named, question, sizeof(question), 0), 0);
	assert_int_equal(namedfile_open(&fs, &handle), 0);
	fs.buffered.bytes = BUFFERED_MAX;
	for (int i = 0; i < 2; i++) {
		struct call call = {0};

		assert_int_equal(namedfile_write(&fs, &handle, zeros, sizeof(zeros), 0, &call),
				 ERR_NOMEM);
		assert_non_null(strstr(call.msg.text, "more than 256 MiB: close some"));
		assert_null(handle.named.bytes);
		assert_int_equal(handle.reserved, 0);
	}
	fs.buffered.bytes = 0;
	for (int i = 0; i < 2; i++) {
		struct call call = {0};

		assert_int_equal(namedfile_write(&fs, &handle, zeros, sizeof(zeros), 0, &call), 0);
		/* It was put: nothing is held for the next one. */
		assert_int_equal(handle.reserved, 0);
		assert_null(handle.named.bytes);
	}
	namedfile_release(&fs, &handle.named);
	named_release(table, named);
	ann_fixture_free(&fixture);
}

/* --- removed while it is looked up --- */

struct removal {
	struct fs *fs;
	bool done;
};

/* An allocation during the look-up: another thread removes the question just now. */
static bool removes(void *ctx)
{
	struct removal *removal = ctx;

	if (!removal->done && named_remove(removal->fs->named, 1, "q", 1) == 0)
		removal->done = true;
	return false;
}

/* Whoever looks up what goes meanwhile leaves nothing behind, for nobody will have it forgotten. */
static void one_that_goes_leaves_no_node(void **state)
{
	const struct ann_opts opts = {.threads = 1};
	const struct store_attr directory = {.mode = 0755};
	struct ann_fixture fixture;
	struct fs fs = {.named = table};
	struct removal removal = {&fs, false};
	struct dir_entry spec, entry;
	struct call call = {0};
	struct named *named = NULL;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 2, &opts);
	fs.ann = fixture.ann;
	fs.io = fixture.io;
	assert_int_equal(inode_table_new(1, &directory, &fs.inodes), 0);
	assert_int_equal(dir_lookup(&fs, inode_get(fs.inodes, NODE_QUERY), "1", &call, &spec), 0);
	named = create(1, "q");
	mem_set_fault(removes, &removal);
	assert_int_equal(dir_lookup(&fs, spec.node, "q", &call, &entry), ERR_ABSENT);
	mem_set_fault(NULL, NULL);
	assert_true(removal.done);
	assert_null(inode_hold(fs.inodes, spec.node, "q", 1));
	named_release(table, named);
	inode_forget(fs.inodes, spec.id, 1);
	assert_int_equal(inode_check(fs.inodes), 0);
	inode_table_free(fs.inodes);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_belongs_to_a_number_of_neighbours, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_removed_one_goes_with_its_last_reference, setup,
						teardown),
		cmocka_unit_test_setup_teardown(they_are_listed_in_order_whatever_goes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(there_are_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(without_memory_nothing_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(searches_share_it, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_shared_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(what_has_no_room_is_not_loaded, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_goes_leaves_no_node, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
