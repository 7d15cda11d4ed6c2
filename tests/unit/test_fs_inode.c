/* The table of nodes: references, names, aliases, the bound on names below /query. */
#include "fs/inode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"

static unsigned seed;
static struct inode_table *table;
static struct node *vectors, *query_root;
static const struct store_attr attr = {.mode = 0640, .uid = 1, .gid = 2, .mtime_ns = 3};

static int setup(void **state)
{
	(void)state;
	if (inode_table_new(seed, &attr, &table) != 0)
		return -1;
	vectors = inode_get(table, NODE_VECTORS);
	query_root = inode_get(table, NODE_QUERY);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	inode_table_free(table);
	return 0;
}

/* A vector of the store, referenced once; *id_out its number. */
static struct node *found(uint64_t ino, const char *name, uint64_t *id_out)
{
	struct node *node = NULL;

	assert_int_equal(inode_ref_vector(table, ino, name, strlen(name), &node, id_out), 0);
	return node;
}

/* The node of a name, as of now. */
static struct node *named(const struct node *parent, const char *name, size_t len)
{
	struct node *node = inode_hold(table, parent, name, len);

	inode_let_go(table, node);
	return node;
}

static uint64_t next_ino = 1000;

static struct node *created(const char *name)
{
	struct node *node = NULL;

	assert_int_equal(inode_new_vector(table, next_ino++, name, strlen(name), &attr, &node), 0);
	return node;
}

static int ref_query(struct node *parent, const char *name, enum node_kind kind,
		     struct node **node_out)
{
	struct inode_query query = {.kind = kind};

	return inode_ref_query(table, parent, name, strlen(name), &query, node_out);
}

/* 100-001-x is the 100th neighbour, 001-x, or the first of question 100, x. */
static void a_link_of_another_answer_is_another(void **state)
{
	struct inode_query query = {.kind = NODE_LINK, .link = {.index = 99, .id_at = 4}};
	struct node *folder = NULL, *first = NULL, *second = NULL, *again = NULL;

	(void)state;
	assert_int_equal(ref_query(query_root, "f", NODE_NAMED_LINKS, &folder), 0);
	assert_int_equal(inode_ref_query(table, folder, "100-001-x", 9, &query, &first), 0);
	query = (struct inode_query){.kind = NODE_LINK, .link = {.index = 300, .id_at = 8}};
	assert_int_equal(inode_ref_query(table, folder, "100-001-x", 9, &query, &second), 0);
	assert_ptr_not_equal(first, second);
	assert_int_equal(first->link.id_at, 4);
	assert_int_equal(second->link.id_at, 8);
	query = (struct inode_query){.kind = NODE_LINK, .link = {.index = 300, .id_at = 8}};
	assert_int_equal(inode_ref_query(table, folder, "100-001-x", 9, &query, &again), 0);
	assert_ptr_equal(again, second);
	inode_forget(table, first->id, 1);
	inode_forget(table, second->id, 2);
	inode_forget(table, folder->id, 1);
	assert_int_equal(inode_check(table), 0);
}

static void the_fixed_tree_is_there(void **state)
{
	uint64_t id = 0;
	char path[64];

	(void)state;
	assert_ptr_equal(inode_get(table, 1), inode_get(table, NODE_ROOT));
	assert_ptr_equal(inode_ref_name(table, inode_get(table, NODE_STATUS), "errors", 6, &id),
			 inode_get(table, NODE_ERRORS));
	assert_int_equal(id, NODE_ERRORS);
	inode_path(table, inode_get(table, NODE_ERRORS), NULL, path, sizeof(path));
	assert_string_equal(path, "status/errors");
	inode_path(table, vectors, "a", path, sizeof(path));
	assert_string_equal(path, "vectors/a");
	inode_path(table, vectors, "a long name", path, 12);
	assert_string_equal(path, "vectors/...");
	inode_forget(table, NODE_ERRORS, 100);
	assert_non_null(inode_get(table, NODE_ERRORS));
	assert_null(inode_get(table, 0));
	assert_null(inode_get(table, 12345));
	assert_int_equal(inode_check(table), 0);
}

static void a_node_lives_as_long_as_something_holds_it(void **state)
{
	uint64_t id = 0, again = 0;
	struct node *node = found(7, "a", &id);

	(void)state;
	assert_int_equal(id, INODE_FIRST_VECTOR + 7);
	assert_ptr_equal(found(7, "a", &again), node);
	assert_int_equal(again, id);
	inode_opened(table, node);
	inode_forget(table, id, 2);
	assert_ptr_equal(inode_get(table, id), node);
	assert_false(inode_closed(table, node));
	assert_null(inode_get(table, id));
	assert_int_equal(inode_check(table), 0);
}

static void a_text_goes_where_its_vector_goes(void **state)
{
	uint64_t id = 0;
	struct node *vector = found(7, "a", &id), *text = NULL, *again = NULL;
	char path[64];

	(void)state;
	assert_int_equal(inode_ref_text(table, vector, &text), 0);
	assert_int_equal(inode_ref_text(table, vector, &again), 0);
	assert_ptr_equal(text, again);
	assert_int_equal(inode_check(table), 0);
	inode_path(table, text, NULL, path, sizeof(path));
	assert_string_equal(path, "json/a");
	inode_rename(table, vector, inode_copy_name("b", 1), 1);
	inode_path(table, text, NULL, path, sizeof(path));
	assert_string_equal(path, "json/b");
	/* It holds the vector's node, and is made anew when it was forgotten. */
	inode_forget(table, id, 1);
	assert_ptr_equal(inode_get(table, id), vector);
	id = text->id;
	inode_forget(table, id, 1);
	assert_ptr_equal(inode_get(table, id), text);
	inode_forget(table, id, 1);
	assert_null(inode_get(table, id));
	assert_null(named(vectors, "b", 1));
	assert_int_equal(inode_check(table), 0);
}

static void a_new_vector_goes_unless_it_is_committed(void **state)
{
	struct node *node = created("a"), *other = NULL;
	struct node_loose loose;
	uint64_t id = inode_id(table, node), version = 0;

	(void)state;
	assert_int_equal(inode_new_vector(table, 1, "a", 1, &attr, &other), ERR_EXISTS);
	assert_int_equal(inode_uncommitted(table), 1);
	assert_true(inode_loose(table, node, &loose));
	assert_int_equal(loose.attr.mode, 0640);
	assert_int_equal(loose.number, id);
	assert_true(inode_closed(table, node));
	assert_int_equal(inode_uncommitted(table), 0);
	assert_null(named(vectors, "a", 1));
	assert_ptr_equal(inode_get(table, id), node); /* the kernel still knows its number */
	inode_forget(table, id, 1);
	assert_null(inode_get(table, id));

	node = created("a");
	inode_committed(table, node, &version);
	assert_int_equal(version, inode_version(table, node));
	assert_false(inode_loose(table, node, &loose));
	assert_false(inode_closed(table, node));
	assert_ptr_equal(named(vectors, "a", 1), node);
	inode_forget(table, inode_id(table, node), 1);
	assert_int_equal(inode_check(table), 0);
}

static void a_time_set_before_a_write_is_not_kept(void **state)
{
	const struct store_attr later = {.mtime_ns = 99, .mode = 0777};
	struct node *node = created("a");
	struct node_loose loose;

	(void)state;
	assert_true(inode_set_loose(table, node, &later, STORE_ATTR_MTIME));
	assert_true(inode_loose(table, node, &loose));
	assert_true(inode_mtime_is_set(table, node));
	assert_int_equal(loose.attr.mtime_ns, 99);
	assert_int_equal(loose.attr.mode, 0640);
	inode_set_mtime(table, node, false);
	inode_set_size(table, node, 12);
	assert_true(inode_loose(table, node, &loose));
	assert_false(inode_mtime_is_set(table, node));
	assert_int_equal(loose.size, 12);
	inode_forget(table, inode_id(table, node), 1);
	(void)inode_closed(table, node);
	assert_int_equal(inode_check(table), 0);
}

static void names_change(void **state)
{
	uint64_t id = 0;
	struct node *a = found(1, "a", &id), *b = found(2, "b", &id);
	struct node_loose *left = mem_zalloc(1, sizeof(*left)), loose;

	(void)state;
	inode_names_write(table);
	inode_rename(table, a, inode_copy_name("long enough", 11), 11);
	assert_null(named(vectors, "a", 1));
	assert_ptr_equal(named(vectors, "long enough", 11), a);
	inode_exchange(table, a, inode_copy_name("b", 1), 1, b, inode_copy_name("c", 1), 1);
	assert_ptr_equal(named(vectors, "b", 1), a);
	assert_ptr_equal(named(vectors, "c", 1), b);
	inode_rename(table, NULL, inode_copy_name("x", 1), 1);
	left->size = 5;
	inode_unname(table, b, left);
	inode_names_unlock(table);
	assert_null(named(vectors, "c", 1));
	assert_true(inode_loose(table, b, &loose));
	assert_int_equal(loose.size, 5);
	assert_int_equal(inode_check(table), 0);
}

static void pages_of_two_writes_never_share_a_number(void **state)
{
	uint64_t id = 0, second = 0, again = 0;
	struct node *node = found(9, "a", &id);

	(void)state;
	assert_int_equal(inode_cache(table, node, id, 100, false, 1), INODE_CACHE_DROP);
	assert_int_equal(inode_cache(table, node, id, 100, false, 1), INODE_CACHE_SAME);
	assert_true(inode_is_cached(table, node));
	/* Overwritten: another number, found by looking the name up again. */
	assert_int_equal(inode_cache(table, node, id, 101, false, 1), INODE_CACHE_RETRY);
	assert_ptr_equal(inode_get(table, id), node);
	assert_ptr_equal(inode_ref_name(table, vectors, "a", 1, &second), node);
	assert_int_not_equal(second, id);
	assert_int_equal(inode_cache(table, node, second, 101, false, 1), INODE_CACHE_DROP);
	/* Who still uses the old number is told once. */
	assert_int_equal(inode_cache(table, node, id, 101, false, 2), INODE_CACHE_RETRY);
	assert_int_equal(inode_cache(table, node, id, 101, false, 2), INODE_CACHE_NONE);
	assert_int_equal(inode_cache(table, node, id, 101, false, 2), INODE_CACHE_RETRY);
	/* Many others being told in between makes no difference. */
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(inode_cache(table, node, id, 101, false, 3), INODE_CACHE_RETRY);
		assert_int_equal(inode_cache(table, node, second, 101, false, 3), INODE_CACHE_SAME);
	}
	assert_int_equal(inode_cache(table, node, id, 101, false, 2), INODE_CACHE_NONE);
	/* Without a name for the caller it is never told. */
	assert_int_equal(inode_cache(table, node, id, 101, false, 0), INODE_CACHE_NONE);
	assert_int_equal(inode_check(table), 0);
	inode_forget(table, id, 1);
	assert_null(inode_get(table, id));
	inode_forget(table, second, 1);
	assert_null(inode_get(table, second));
	assert_ptr_not_equal(found(9, "a", &again), NULL);
	assert_int_equal(again, id);
	assert_int_equal(inode_check(table), 0);
}

static void a_vector_of_one_page_keeps_its_number(void **state)
{
	uint64_t id = 0;
	struct node *node = found(9, "a", &id);

	(void)state;
	assert_int_equal(inode_cache(table, node, id, 100, true, 1), INODE_CACHE_DROP);
	assert_int_equal(inode_cache(table, node, id, 101, true, 1), INODE_CACHE_DROP);
	assert_int_equal(inode_cache(table, node, id, 101, true, 1), INODE_CACHE_SAME);
	assert_int_equal(inode_id(table, node), id);
}

static void names_below_query_are_shared_and_bounded(void **state)
{
	struct node *spec = NULL, *node = NULL, *again = NULL;
	uint64_t parent = 0;
	size_t len = 0;
	char name[64];
	int rc = 0;

	(void)state;
	assert_int_equal(ref_query(query_root, "10", NODE_SPEC, &spec), 0);
	assert_int_equal(ref_query(spec, "00", NODE_DIGITS, &node), 0);
	assert_int_equal(ref_query(spec, "00", NODE_DIGITS, &again), 0);
	assert_ptr_equal(node, again);
	assert_false(inode_pick_idle(table, &parent, name, sizeof(name), &len));
	/* The same name as something else, since the dimension has become known. */
	assert_int_equal(ref_query(spec, "00", NODE_POINT, &again), 0);
	assert_ptr_not_equal(node, again);
	for (unsigned i = 0; rc == 0; i++) {
		snprintf(name, sizeof(name), "%08x", i);
		rc = ref_query(spec, name, NODE_POINT, &node);
	}
	assert_int_equal(rc, ERR_LIMIT);
	assert_null(node);
	assert_int_equal(inode_check(table), 0);
	/* A child keeps its parent; the last one takes it along. */
	inode_forget(table, spec->id, 1);
	assert_ptr_equal(inode_get(table, spec->id), spec);
	parent = 0;
	while (parent == 0) /* the oldest are passed over when they have no name or are open */
		(void)inode_pick_idle(table, &parent, name, sizeof(name), &len);
	assert_true(parent == spec->id || parent == NODE_QUERY);
	assert_int_equal(strlen(name), len);
}

/* --- anything in any order --- */

#define NAMES 12
#define STEPS 20000

static bool often_fails(void *ctx)
{
	(void)ctx;
	return rand() % 4 == 0;
}

struct held {
	uint64_t id;
	unsigned refs;
};
static struct held held[100000];
static size_t n_held;

static void hold(uint64_t id)
{
	for (size_t i = 0; i < n_held; i++)
		if (held[i].id == id) {
			held[i].refs++;
			return;
		}
	assert_true(n_held < sizeof(held) / sizeof(held[0]));
	held[n_held++] = (struct held){id, 1};
}

static void drop_some(void)
{
	size_t i = n_held > 0 ? (size_t)rand() % n_held : 0;
	unsigned n;

	if (n_held == 0)
		return;
	assert_non_null(inode_get(table, held[i].id));
	n = 1 + (unsigned)rand() % held[i].refs;
	inode_forget(table, held[i].id, n);
	held[i].refs -= n;
	if (held[i].refs == 0)
		held[i] = held[--n_held];
}

static void step(uint64_t *ino, uint64_t *inos)
{
	int which = rand() % NAMES;
	char name[16];
	size_t len = (size_t)snprintf(name, sizeof(name), "v%d", which);
	struct node *node = NULL;
	uint64_t id = 0;

	switch (rand() % 5) {
	case 0:
		if (inos[which] == 0)
			inos[which] = ++*ino;
		if (inode_ref_vector(table, inos[which], name, len, &node, &id) == 0)
			hold(id);
		break;
	case 1:
		node = inode_ref_name(table, vectors, name, len, &id);
		if (node != NULL)
			hold(id);
		break;
	case 2:
		node = named(vectors, name, len);
		if (node != NULL)
			(void)inode_cache(table, node, inode_id(table, node),
					  (uint64_t)rand() % 3 + 1, rand() % 2, 1);
		break;
	case 3:
		if (ref_query(query_root, name, NODE_SPEC, &node) == 0)
			hold(node->id);
		break;
	default:
		drop_some();
		drop_some();
	}
}

static void anything_in_any_order(void **state)
{
	uint64_t ino = 0, inos[NAMES] = {0};

	(void)state;
	mem_set_fault(often_fails, NULL);
	for (int i = 0; i < STEPS; i++) {
		step(&ino, inos);
		if (i % 50 == 0)
			assert_int_equal(inode_check(table), 0);
	}
	mem_set_fault(NULL, NULL);
	while (n_held > 0)
		drop_some();
	assert_int_equal(inode_check(table), 0);
	for (int i = 0; i < NAMES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "v%d", i);
		assert_null(named(vectors, name, strlen(name)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_link_of_another_answer_is_another, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_fixed_tree_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_node_lives_as_long_as_something_holds_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_text_goes_where_its_vector_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_vector_goes_unless_it_is_committed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_time_set_before_a_write_is_not_kept, setup,
						teardown),
		cmocka_unit_test_setup_teardown(names_change, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_of_two_writes_never_share_a_number, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_vector_of_one_page_keeps_its_number, setup,
						teardown),
		cmocka_unit_test_setup_teardown(names_below_query_are_shared_and_bounded, setup,
						teardown),
		cmocka_unit_test_setup_teardown(anything_in_any_order, setup, teardown),
	};
	const char *given = getenv("SEED");

	seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 1;
	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
