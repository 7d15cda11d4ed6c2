/* Answers as folders of links: names, numbers, targets, and what is searched again when. */
#include "fs/links.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/handle.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"

#define SECOND 1000000000ull

static struct ann_fixture fixture;
static struct fs fs;
static struct query_spec spec;
static struct node root = {.kind = NODE_ROOT};
static struct node query = {.kind = NODE_QUERY, .parent = &root};
static struct node spec_node, folder;

static void put(const char *id, float at)
{
	float vector[2] = {at, 0};

	assert_int_equal(ann_fixture_put(fixture.ann, id, vector, 2), 0);
}

/* A folder of the three nearest to 0 0. */
static int setup(void **state)
{
	static uint8_t zeros[8];
	const struct ann_opts opts = {.threads = 1};

	(void)state;
	memset(&fs, 0, sizeof(fs));
	ann_fixture_new(&fixture, ANN_L2, 2, &opts);
	fs.ann = fixture.ann;
	fs.io = fixture.io;
	assert_int_equal(status_new(&fs.status), 0);
	assert_int_equal(query_parse_spec("3,format=links", 14, &spec, NULL), 0);
	spec_node = (struct node){.kind = NODE_SPEC, .parent = &query, .spec = &spec};
	folder = (struct node){.kind = NODE_POINT, .parent = &spec_node, .id = 77};
	folder.vector.bytes = zeros;
	folder.vector.len = sizeof(zeros);
	put("a-b", 1);
	put("b", 2);
	put("c", 3);
	put("d", 4);
	return links_recent_new(&fs.links);
}

static int teardown(void **state)
{
	(void)state;
	links_recent_free(fs.links);
	status_free(fs.status);
	ann_fixture_free(&fixture);
	return 0;
}

/* What links_list gives: names with a blank behind each, and the last cookie. */
struct listed {
	char names[256];
	uint64_t cookie, number;
	size_t room; /* so many are taken */
};

static bool add(void *ctx, const char *name, const struct dir_entry *entry, uint64_t next)
{
	struct listed *listed = ctx;

	if (listed->room == 0)
		return false;
	listed->room--;
	snprintf(listed->names + strlen(listed->names),
		 sizeof(listed->names) - strlen(listed->names), "%s ", name);
	assert_true(S_ISLNK(entry->st.st_mode));
	assert_null(entry->node);
	listed->cookie = next;
	listed->number = entry->st.st_ino;
	return true;
}

static void a_folder_is_listed_from_any_place(void **state)
{
	struct listed all = {.room = 10}, some = {.room = 2}, rest = {.room = 10};
	struct call call = {0};
	struct links *links = NULL;

	(void)state;
	assert_true(links_is_folder(&folder));
	assert_int_equal(links_open(&fs, &folder, &call, &links), 0);
	links_list(links, &folder, 0, 2, add, &all);
	assert_string_equal(all.names, "001-a-b 002-b 003-c ");
	assert_int_equal(all.cookie, 5);
	assert_int_equal(all.number, links_number(&folder, 2));
	links_list(links, &folder, 0, 2, add, &some);
	assert_string_equal(some.names, "001-a-b 002-b ");
	assert_int_equal(some.cookie, 4);
	links_list(links, &folder, some.cookie - 2, 2, add, &rest);
	assert_string_equal(rest.names, "003-c ");
	links_list(links, &folder, 3, 2, add, &rest);
	assert_string_equal(rest.names, "003-c ");
	links_release(links);
	links_release(NULL);
}

static int find(const char *name, struct inode_link *link)
{
	struct call call = {0};

	return links_find(&fs, &folder, &call, name, strlen(name), link);
}

static void a_name_leads_to_its_vector(void **state)
{
	struct inode_link found = {0};
	struct node node = {.kind = NODE_LINK, .parent = &folder, .name = "001-a-b"};
	char target[64], small[8];

	(void)state;
	assert_int_equal(find("001-a-b", &node.link), 0);
	assert_int_equal(node.link.index, 0);
	assert_int_equal(links_target(&node, target, sizeof(target)), 20);
	assert_string_equal(target, "../../../vectors/a-b");
	assert_int_equal(links_target(&node, small, sizeof(small)), 20);
	assert_string_equal(small, "../../.");
	assert_int_equal(find("003-c", &found), 0);
	assert_int_equal(found.index, 2);
	assert_int_equal(find("002-c", &found), ERR_ABSENT);
	assert_int_equal(find("003-", &found), ERR_ABSENT);
	assert_int_equal(find("003-cc", &found), ERR_ABSENT);
	assert_int_equal(find("", &found), ERR_ABSENT);
	assert_int_equal(find("004-d", &found), ERR_ABSENT);
}

/* A name is looked up in the answer that was listed, for a second. */
static void an_answer_stays_for_a_second(void **state)
{
	struct inode_link found = {0};

	(void)state;
	assert_int_equal(find("002-b", &found), 0);
	put("new", 0.5f);
	assert_int_equal(find("002-b", &found), 0);
	assert_int_equal(find("001-new", &found), ERR_ABSENT);
	io_mem_advance(fixture.medium, SECOND - 1);
	assert_int_equal(find("002-b", &found), 0);
	io_mem_advance(fixture.medium, 1);
	assert_int_equal(find("001-new", &found), 0);
	assert_int_equal(find("002-b", &found), ERR_ABSENT);
}

/* What was listed by a reader is what it looks up, also when it is searched again meanwhile. */
static void listing_makes_it_new(void **state)
{
	struct inode_link found = {0};
	struct links *before = NULL, *after = NULL;
	struct listed old = {.room = 10};
	struct call call = {0};

	(void)state;
	assert_int_equal(links_open(&fs, &folder, &call, &before), 0);
	put("new", 0.5f);
	assert_int_equal(links_open(&fs, &folder, &call, &after), 0);
	assert_int_equal(find("001-new", &found), 0);
	links_list(before, &folder, 0, 2, add, &old);
	assert_string_equal(old.names, "001-a-b 002-b 003-c ");
	links_release(before);
	links_release(after);
}

/* Many folders at once: the answers listed longest ago give their places up, none is mixed up. */
static void many_folders(void **state)
{
	struct inode_link found = {0};
	struct call call = {0};

	(void)state;
	for (uint64_t i = 1; i <= 40; i++) {
		struct links *links = NULL;

		folder.id = i;
		io_mem_advance(fixture.medium, 1000);
		assert_int_equal(links_open(&fs, &folder, &call, &links), 0);
		links_release(links);
	}
	put("new", 0.5f);
	folder.id = 40;
	assert_int_equal(find("001-new", &found), ERR_ABSENT);
	folder.id = 30;
	assert_int_equal(find("001-new", &found), ERR_ABSENT);
	folder.id = 1;
	assert_int_equal(find("001-new", &found), 0);
}

/* A folder that is listed again and again takes one place. */
static void one_folder_often(void **state)
{
	struct inode_link found = {0};
	struct call call = {0};

	(void)state;
	folder.id = 5;
	assert_int_equal(find("001-a-b", &found), 0);
	folder.id = 77;
	for (int i = 0; i < 40; i++) {
		struct links *links = NULL;

		io_mem_advance(fixture.medium, 1000);
		assert_int_equal(links_open(&fs, &folder, &call, &links), 0);
		links_release(links);
	}
	put("new", 0.5f);
	folder.id = 5;
	assert_int_equal(find("001-new", &found), ERR_ABSENT);
}

/* What is kept of folders that nobody has open is no reason to refuse an open file its memory. */
static void they_make_room(void **state)
{
	const size_t wanted = 2 * BUFFERED_SMALL;
	struct handle handle = {.kind = HANDLE_TEXT, .node = &spec_node};
	struct err_msg msg = {""};
	struct call call = {0};
	struct links *links = NULL;
	uint64_t others;

	(void)state;
	assert_int_equal(links_open(&fs, &folder, &call, &links), 0);
	links_release(links);
	assert_true(fs.buffered.bytes > 0);
	others = BUFFERED_MAX - wanted;
	fs.buffered.bytes += others;
	assert_int_equal(handle_reserve(&fs, &handle, wanted, &msg), 0);
	assert_int_equal(fs.buffered.bytes, BUFFERED_MAX);
	assert_int_equal(handle_reserve(&fs, &handle, wanted + 1, &msg), ERR_NOMEM);
	assert_non_null(strstr(msg.text, "close some"));
	assert_int_equal(handle_reserve(&fs, &handle, 0, &msg), 0);
	fs.buffered.bytes -= others;
}

static void numbers_tell_links_apart(void **state)
{
	struct node other = folder;

	(void)state;
	other.id = folder.id + 1;
	assert_true(links_number(&folder, 0) != links_number(&folder, 1));
	assert_true(links_number(&folder, LINKS_MAX) < links_number(&other, 0));
	assert_true(links_number(&folder, 0) >= 1ull << 60);
}

static void other_formats_are_no_folders(void **state)
{
	struct node named = {.kind = NODE_NAMED_LINKS, .parent = &spec_node};
	struct node run = {.kind = NODE_RUN, .parent = &spec_node};

	(void)state;
	assert_true(links_is_folder(&named));
	assert_false(links_is_folder(&run));
	assert_false(links_is_folder(&root));
	spec.format = QUERY_TEXT;
	assert_false(links_is_folder(&folder));
	spec.format = QUERY_LINKS;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_folder_is_listed_from_any_place, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_leads_to_its_vector, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_stays_for_a_second, setup, teardown),
		cmocka_unit_test_setup_teardown(listing_makes_it_new, setup, teardown),
		cmocka_unit_test_setup_teardown(many_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(one_folder_often, setup, teardown),
		cmocka_unit_test_setup_teardown(they_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(numbers_tell_links_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(other_formats_are_no_folders, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
