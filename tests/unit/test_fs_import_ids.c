/* The ids of an import: lines, what is wrong with them, which of them stand there twice. */
#include "fs/import_ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct err_msg msg;

static int init(struct import_ids *ids, const char *text, size_t len)
{
	msg.text[0] = '\0';
	return import_ids_init(ids, text, len, "names", &msg);
}

/* The lines that are stored, with a space after each; '-' before one that is superseded. */
static void expect(const char *text, uint64_t superseded, const char *expected)
{
	struct import_ids ids;
	char got[256] = "";
	const char *id;
	uint64_t n = 0;
	bool skip;
	size_t len;

	assert_int_equal(init(&ids, text, strlen(text)), 0);
	while (import_ids_next(&ids, &id, &len, &skip)) {
		size_t at = strlen(got);

		snprintf(got + at, sizeof(got) - at, "%s%.*s ", skip ? "-" : "", (int)len, id);
		n++;
	}
	assert_string_equal(got, expected);
	assert_int_equal(ids.n, n);
	assert_int_equal(ids.superseded, superseded);
	import_ids_release(&ids);
}

static void refused(const char *text, const char *words)
{
	struct import_ids ids;

	assert_true(init(&ids, text, strlen(text)) < 0);
	import_ids_release(&ids);
	if (strstr(msg.text, words) == NULL)
		fail_msg("'%s' is not in '%s'", words, msg.text);
}

static void lines_are_ids(void **state)
{
	(void)state;
	expect("", 0, "");
	expect("a\n", 0, "a ");
	expect("a", 0, "a ");
	expect("a\nb b\nc\n", 0, "a b b c ");
	expect("a\nb\nä\xe2\x82\xac", 0, "a b ä\xe2\x82\xac ");
}

static void the_last_of_equal_lines_counts(void **state)
{
	(void)state;
	expect("a\na\n", 1, "-a a ");
	expect("a\nb\na\nc\nb\na", 3, "-a -b -a c b a ");
	expect("aa\na\naa\nab\n", 1, "-aa a aa ab ");
}

static void lines_that_are_refused(void **state)
{
	(void)state;
	refused("a\n\nb\n", "line 2: an id has at least 1 byte");
	refused("\n", "line 1");
	refused("a\nb/c\n", "line 2: an id has no '/'");
	refused("a\n..\n", "line 2");
	refused("a\r\nb\r\n", "dos2unix");
	refused("a\nb\xff\n", "UTF-8");
	refused("a\nb\tc\n", "control character");
}

static void zeros_and_long_lines(void **state)
{
	struct import_ids ids;
	char text[600];

	(void)state;
	assert_true(init(&ids, "a\0b\n", 4) < 0);
	import_ids_release(&ids);
	memset(text, 'x', sizeof(text));
	text[255] = '\n';
	assert_int_equal(init(&ids, text, 511), 0);
	assert_int_equal(ids.superseded, 1);
	import_ids_release(&ids);
	assert_int_equal(init(&ids, text, 512), ERR_NAME_LONG);
	assert_non_null(strstr(msg.text, "names, line 2"));
	import_ids_release(&ids);
}

/* Many lines against a plain comparison of each with all behind it. */
static void against_a_plain_search(void **state)
{
	enum { LINES = 600 };
	static char text[LINES * 8];
	char *lines[LINES];
	struct import_ids ids;
	uint32_t random = 12345;
	size_t at = 0, len;
	const char *id;
	bool skip;

	(void)state;
	for (int i = 0; i < LINES; i++) {
		random = random * 1664525 + 1013904223;
		lines[i] = text + at;
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%u\n", random >> 20 & 511);
	}
	assert_int_equal(init(&ids, text, at), 0);
	for (int i = 0; i < LINES; i++) {
		bool again = false;

		assert_true(import_ids_next(&ids, &id, &len, &skip));
		for (int j = i + 1; j < LINES; j++)
			again |= memcmp(lines[i], lines[j], len + 1) == 0;
		assert_int_equal(skip, again);
	}
	assert_false(import_ids_next(&ids, &id, &len, &skip));
	import_ids_release(&ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_ids),
		cmocka_unit_test(the_last_of_equal_lines_counts),
		cmocka_unit_test(lines_that_are_refused),
		cmocka_unit_test(zeros_and_long_lines),
		cmocka_unit_test(against_a_plain_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
