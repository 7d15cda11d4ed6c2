/*
 * test_store_xattr.c - extended attributes in the store: lists as bytes; which list an id has after any
 * sequence of changes, crashes, checkpoints and salvages, and what salvage says of those that are lost; lists
 * that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/salvage.h"
#include "store/store.h"
#include "tests/support/store_fixture.h"

#define LIST_MAX (STORE_FIXTURE_PAGE / FORMAT_XATTRS_SHARE)

/* --- lists --- */

struct list {
	uint8_t bytes[XATTRS_BYTES_MAX];
	struct xattrs xattrs;
};

static int set(struct list *list, const char *name, const char *value, uint32_t cap)
{
	struct list before = *list;
	struct xattrs from = {before.bytes, list->xattrs.len};

	list->xattrs.bytes = list->bytes;
	return xattr_replace(&from, name, strlen(name), value, value != NULL ? strlen(value) : 0,
			     list->bytes, cap, &list->xattrs.len);
}

static void expect(const struct list *list, const char *name, const char *value)
{
	const uint8_t *found = NULL;
	uint32_t len = 0;
	int err = xattr_find(&list->xattrs, name, strlen(name), &found, &len);

	assert_int_equal(err, value != NULL ? 0 : ERR_ABSENT);
	if (value != NULL) {
		assert_int_equal(len, strlen(value));
		assert_memory_equal(found, value, len);
	}
}

static void test_lists(void **state)
{
	static struct list list, other;
	char names[64];

	(void)state;
	assert_int_equal(xattr_names(&list.xattrs, NULL), 0);
	expect(&list, "user.a", NULL);
	assert_int_equal(set(&list, "user.b", "two", LIST_MAX), 0);
	assert_int_equal(set(&list, "user.c", "", LIST_MAX), 0);
	assert_int_equal(set(&list, "user.a", "one", LIST_MAX), 0);
	assert_int_equal(set(&list, "user.aa", "between", LIST_MAX), 0);
	assert_int_equal(xattr_names(&list.xattrs, names), 29);
	assert_memory_equal(names, "user.a\0user.aa\0user.b\0user.c", 29);
	expect(&list, "user.a", "one");
	expect(&list, "user.aa", "between");
	expect(&list, "user.c", "");
	expect(&list, "user.", NULL);
	assert_int_equal(set(&list, "user.b", "longer than before", LIST_MAX), 0);
	expect(&list, "user.b", "longer than before");
	expect(&list, "user.c", "");
	assert_true(xattr_valid(list.xattrs.bytes, list.xattrs.len));
	/* the same set has the same bytes, in whatever order it came about */
	assert_int_equal(set(&list, "user.aa", NULL, LIST_MAX), 0);
	assert_int_equal(set(&other, "user.a", "one", LIST_MAX), 0);
	assert_int_equal(set(&other, "user.b", "longer than before", LIST_MAX), 0);
	assert_int_equal(set(&other, "user.c", "", LIST_MAX), 0);
	assert_int_equal(list.xattrs.len, other.xattrs.len);
	assert_memory_equal(list.bytes, other.bytes, list.xattrs.len);
	/* to the byte */
	assert_int_equal(set(&list, "user.d", "1234", list.xattrs.len + 13), 0);
	assert_int_equal(set(&other, "user.d", "1234", other.xattrs.len + 12), ERR_FULL);
}

/* Each length of a list but the whole one is none, nor is one out of order, twice, or without a name. */
static void test_no_lists(void **state)
{
	uint8_t good[] = {1, 2, 0, 'a', 7, 7, 2, 0, 0, 'a', 'b', 1, 1, 0, 'b', 9};
	uint8_t bad[sizeof(good)];

	(void)state;
	assert_true(xattr_valid(NULL, 0));
	assert_true(xattr_valid(good, sizeof(good)));
	for (size_t len = 1; len < sizeof(good); len++)
		assert_int_equal(xattr_valid(good, len), len == 6 || len == 11);
	for (unsigned lie = 0; lie < 5; lie++) {
		memcpy(bad, good, sizeof(bad));
		if (lie == 0)
			bad[3] = 'c';
		else if (lie == 1)
			bad[14] = 'a';
		else if (lie == 2)
			bad[0] = 0;
		else if (lie == 3)
			bad[10] = 0;
		else
			put_u16(bad + 1, 0xffff);
		assert_false(xattr_valid(bad, sizeof(bad)));
	}
}

/* --- ids --- */

#define IDS 24u

struct model {
	struct store_fixture f;
	bool there[IDS];
	uint32_t version[IDS]; /* of the list; 0: empty */
	uint32_t next;
	bool salvaged[IDS];
	uint64_t state;
};

static uint32_t below(struct model *m, uint32_t n)
{
	m->state = m->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((m->state >> 33) % n);
}

/* The list with this number, of any length up to the longest. */
static struct xattrs numbered(uint32_t version, uint8_t bytes[LIST_MAX])
{
	uint32_t len = version == 0 ? 0 : 12 + version * 37 % (LIST_MAX - 11);
	struct format_xattr head = {.name_length = {5}};

	if (len == 0)
		return (struct xattrs){bytes, 0};
	memset(bytes, (int)(version % 251), len);
	put_u16(head.value_length, (uint16_t)(len - sizeof(head) - 5));
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), "user.", 5);
	put_u32(bytes + 8, version);
	return (struct xattrs){bytes, len};
}

static void same_list(uint32_t version, const struct xattrs *have)
{
	uint8_t bytes[LIST_MAX];
	struct xattrs want = numbered(version, bytes);

	assert_int_equal(have->len, want.len);
	if (want.len > 0)
		assert_memory_equal(have->bytes, want.bytes, want.len);
}

static void expect_all(struct model *m)
{
	uint8_t bytes[XATTRS_BYTES_MAX];
	char name[32];

	for (uint32_t id = 0; id < IDS; id++) {
		struct xattrs have = {bytes, 0};
		int err = store_get_xattrs(m->f.store, name, store_fixture_name(id, name), bytes,
					   &have.len);

		assert_int_equal(err, m->there[id] ? 0 : ERR_ABSENT);
		same_list(m->there[id] ? m->version[id] : 0, &have);
	}
}

static void change_list(struct model *m, uint32_t id)
{
	uint8_t bytes[LIST_MAX];
	uint32_t version = below(m, 5) == 0 ? 0 : ++m->next;
	struct xattrs xattrs = numbered(version, bytes);
	char name[32];
	int err = store_set_xattrs(m->f.store, name, store_fixture_name(id, name), &xattrs);

	assert_int_equal(err, m->there[id] ? 0 : ERR_ABSENT);
	m->version[id] = m->there[id] ? version : 0;
}

static void rename_one(struct model *m, uint32_t from, uint32_t to, bool exchange)
{
	uint32_t was = m->version[to];
	char from_name[32], to_name[32];
	size_t from_len = store_fixture_name(from, from_name);
	size_t to_len = store_fixture_name(to, to_name);
	bool possible = m->there[from] && (!exchange || m->there[to]);
	int err = store_rename(m->f.store, from_name, from_len, to_name, to_len,
			       exchange ? STORE_RENAME_EXCHANGE : 0, NULL, NULL, NULL);

	assert_int_equal(err, possible ? 0 : ERR_ABSENT);
	if (!possible || from == to)
		return;
	m->version[to] = m->version[from];
	m->version[from] = exchange ? was : 0;
	m->there[to] = true;
	m->there[from] = exchange;
}

static int begin_salvage(void *ctx, const struct store_geometry *geometry)
{
	(void)ctx;
	(void)geometry;
	return 0;
}

static int take_salvaged(void *ctx, const struct salvage_vector *vector)
{
	struct model *m = ctx;
	unsigned id;

	assert_int_equal(sscanf(vector->entry.id, "vector-%u", &id), 1);
	assert_true(id < IDS && m->there[id] && !m->salvaged[id]);
	m->salvaged[id] = true;
	same_list(m->version[id], &vector->xattrs);
	return 0;
}

static void no_loss(void *ctx, bool loss, const char *text)
{
	(void)ctx;
	(void)text;
	assert_false(loss);
}

static void salvage(struct model *m)
{
	struct salvage_calls calls = {
		.ctx = m, .begin = begin_salvage, .vector = take_salvaged, .say = no_loss};
	struct salvage_report report;
	struct store_io *io;

	store_fixture_crash(&m->f);
	io = io_mem_attach(m->f.medium);
	memset(m->salvaged, 0, sizeof(m->salvaged));
	assert_int_equal(salvage_run(io, &calls, 0, &report, NULL), 0);
	io->ops->close(io);
	assert_memory_equal(m->salvaged, m->there, sizeof(m->there));
	store_fixture_open(&m->f);
}

static void step(struct model *m)
{
	uint32_t id = below(m, IDS), r = below(m, 100);

	if (r < 35) {
		change_list(m, id);
	} else if (r < 55) {
		store_fixture_put(&m->f, id, 1 + below(m, 9));
		m->there[id] = true;
	} else if (r < 65) {
		assert_int_equal(store_fixture_try_delete(&m->f, id),
				 m->there[id] ? 0 : ERR_ABSENT);
		m->there[id] = false;
		m->version[id] = 0;
	} else if (r < 85) {
		rename_one(m, id, below(m, IDS), r < 75);
	} else if (r < 88) {
		assert_int_equal(store_checkpoint(m->f.store), 0);
	} else if (r < 91) {
		store_fixture_reopen(&m->f);
	} else if (r < 93) {
		salvage(m);
	}
}

static void test_model(void **state)
{
	struct model m = {.state = 5};

	(void)state;
	store_fixture_new(&m.f, NULL);
	for (unsigned i = 0; i < 4000; i++) {
		step(&m);
		if (i % 10 == 0)
			expect_all(&m);
	}
	expect_all(&m);
	store_fixture_check(&m.f);
	salvage(&m);
	store_fixture_free(&m.f);
}

/* --- what salvage says --- */

struct said {
	bool lost[3]; /* that an id is lost */
	bool lists;   /* that lists are */
	uint32_t given;
};

static int count_given(void *ctx, const struct salvage_vector *vector)
{
	struct said *said = ctx;

	if (strcmp(vector->entry.id, "vector-2") != 0)
		assert_int_equal(vector->xattrs.len, 0);
	said->given++;
	return 0;
}

static void hear(void *ctx, bool loss, const char *text)
{
	struct said *said = ctx;
	unsigned id;

	if (loss && sscanf(text, "vectors/vector-%u is lost", &id) == 1 && id < 3)
		said->lost[id] = true;
	said->lists |= loss && strstr(text, "extended attributes") != NULL;
}

static void salvage_and_hear(struct store_fixture *f, struct said *said)
{
	struct salvage_calls calls = {
		.ctx = said, .begin = begin_salvage, .vector = count_given, .say = hear};
	struct salvage_report report;
	struct store_io *io = io_mem_attach(f->medium);

	assert_int_equal(salvage_run(io, &calls, 0, &report, NULL), 0);
	io->ops->close(io);
}

/* Vectors 1 and 2, in both commit slots and in no log. */
static void make_kept(struct store_fixture *f)
{
	store_fixture_new(f, NULL);
	store_fixture_put(f, 1, 1);
	store_fixture_put(f, 2, 1);
	assert_int_equal(store_checkpoint(f->store), 0);
	store_fixture_put(f, 0, 1);
	assert_int_equal(store_checkpoint(f->store), 0);
	store_fixture_put(f, 0, 1);
	assert_int_equal(store_checkpoint(f->store), 0);
}

/* Of vectors of which the log has attributes alone, each is said to be lost. */
static void test_lost_ids_are_said(void **state)
{
	static uint8_t bytes[LIST_MAX];
	struct xattrs xattrs = numbered(1, bytes);
	struct store_attr attr = {.mode = 0600};
	struct said said = {{false}, false, 0};
	struct store_fixture f;
	size_t len;

	(void)state;
	make_kept(&f);
	assert_int_equal(store_set_xattrs(f.store, "vector-1", 8, &xattrs), 0);
	assert_int_equal(store_set_attr(f.store, "vector-2", 8, &attr, STORE_ATTR_MODE), 0);
	store_fixture_crash(&f);
	memset(io_mem_head(f.medium, &len) + FORMAT_SLOT_AT, 0xff, 2 * FORMAT_BLOCK);
	salvage_and_hear(&f, &said);
	assert_true(said.lost[2]);
	assert_true(said.lost[1]);
	store_fixture_free(&f);
}

/* The only copy of a list goes with its bucket, though id and value stand in the log. */
static void test_lost_lists_are_said(void **state)
{
	static uint8_t bytes[LIST_MAX];
	struct xattrs xattrs = numbered(1, bytes);
	struct said said = {{false}, false, 0};
	struct store_fixture f;
	size_t len, damaged = 0;
	uint8_t *head;

	(void)state;
	make_kept(&f);
	assert_int_equal(store_set_xattrs(f.store, "vector-1", 8, &xattrs), 0);
	for (uint32_t version = 2; version < 5; version++) {
		store_fixture_put(&f, 0, version);
		assert_int_equal(store_checkpoint(f.store), 0);
	}
	for (uint32_t id = 0; id < 3; id++)
		store_fixture_put(&f, id, 2);
	/* without any list that can still be seen, none is likely */
	assert_int_equal(store_set_xattrs(f.store, "vector-2", 8, &xattrs), 0);
	store_fixture_crash(&f);
	head = io_mem_head(f.medium, &len);
	for (size_t at = FORMAT_PAGES_AT; at + STORE_FIXTURE_PAGE <= len; at += FORMAT_BLOCK)
		if (get_u32(head + at) == FORMAT_BUCKET_MAGIC) {
			head[at + 8] ^= 0xff;
			damaged++;
		}
	assert_true(damaged > 0);
	salvage_and_hear(&f, &said);
	assert_int_equal(said.given, 3);
	assert_true(said.lists);
	store_fixture_free(&f);
}

/* --- refusals --- */

/* A list that is none, or too long, changes nothing. */
static void test_refused(void **state)
{
	static uint8_t bytes[LIST_MAX + 1];
	struct xattrs longest = {bytes, LIST_MAX}, longer = {bytes, LIST_MAX + 1},
		      none = {bytes, 7};
	struct store_fixture f;
	uint32_t len;
	uint8_t list[XATTRS_BYTES_MAX];

	(void)state;
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	assert_int_equal(store_xattr_max(f.store), LIST_MAX);
	bytes[0] = 1;
	bytes[3] = 'n';
	put_u16(bytes + 1, LIST_MAX - 4);
	assert_int_equal(store_set_xattrs(f.store, "vector-1", 8, &longest), 0);
	put_u16(bytes + 1, LIST_MAX - 3);
	assert_int_equal(store_set_xattrs(f.store, "vector-1", 8, &longer), ERR_TOO_BIG);
	assert_int_equal(store_set_xattrs(f.store, "vector-1", 8, &none), ERR_INVALID);
	assert_int_equal(store_set_xattrs(f.store, "vector-2", 8, &longest), ERR_INVALID);
	put_u16(bytes + 1, LIST_MAX - 4);
	assert_int_equal(store_set_xattrs(f.store, "vector-2", 8, &longest), ERR_ABSENT);
	assert_int_equal(store_get_xattrs(f.store, "vector-1", 8, list, &len), 0);
	assert_int_equal(len, LIST_MAX);
	assert_memory_equal(list, bytes, len);
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_no_lists),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_lost_ids_are_said),
		cmocka_unit_test(test_lost_lists_are_said),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
