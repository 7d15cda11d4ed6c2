/* Text that grows: growth, escapes, and lack of memory. */
#include "fs/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "store/err.h"
#include "store/mem.h"

static void is(struct text *text, const char *expected)
{
	char *got;
	size_t len;

	assert_int_equal(text_take(text, &got, &len), 0);
	assert_string_equal(got, expected);
	assert_int_equal(len, strlen(expected));
	mem_free(got);
}

static void it_grows(void **state)
{
	struct text text;
	char expected[3001] = "";

	(void)state;
	text_init(&text, 0);
	assert_string_equal(text.at, "");
	for (int i = 0; i < 1000; i++) {
		text_format(&text, "%c%s", 'a', i % 2 ? "" : "b");
		strcat(expected, i % 2 ? "a" : "ab");
		assert_string_equal(text.at, expected);
	}
	text_format(&text, "%s", "");
	text_bytes(&text, "", 0);
	is(&text, expected);
	text_release(&text);
}

static void it_escapes(void **state)
{
	struct text text;

	(void)state;
	text_init(&text, 4);
	text_json(&text, "a\"\\\n\x7f\xc3\xa9", 7);
	is(&text, "\"a\\\"\\\\\\u000a\\u007f\xc3\xa9\"");
	text_init(&text, 4);
	text_escaped(&text, "a\t\\\xc3\xa9", 5);
	is(&text, "a\\x09\\\\\xc3\xa9");
	text_init(&text, 4);
	text_shell(&text, "it's $HOME");
	is(&text, "'it'\\''s $HOME'");
}

static unsigned countdown;

static bool fails_at_zero(void *ctx)
{
	(void)ctx;
	return countdown-- == 0;
}

static void lack_of_memory_is_remembered(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 3; n++) {
		struct text text;
		char *got;
		size_t len;

		countdown = n;
		mem_set_fault(fails_at_zero, NULL);
		text_init(&text, 1);
		for (int i = 0; i < 100; i++)
			text_string(&text, "0123456789");
		mem_set_fault(NULL, NULL);
		text_string(&text, "after");
		assert_int_equal(text_take(&text, &got, &len), ERR_NOMEM);
		assert_null(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_grows),
		cmocka_unit_test(it_escapes),
		cmocka_unit_test(lack_of_memory_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
