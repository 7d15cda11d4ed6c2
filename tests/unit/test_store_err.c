/* test_store_err.c - codes, texts and messages. */
#include "store/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int codes[] = {
#define CODE(name, value, text) name,
	ERR_LIST(CODE)
#undef CODE
};

#define N_CODES (sizeof(codes) / sizeof(codes[0]))

/* All codes are negative and distinct, and each has a text of its own. */
static void test_codes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CODES; i++) {
		assert_true(codes[i] < 0);
		assert_string_not_equal(err_str(codes[i]), err_str(1));
		for (size_t j = 0; j < i; j++) {
			assert_int_not_equal(codes[i], codes[j]);
			assert_string_not_equal(err_str(codes[i]), err_str(codes[j]));
		}
	}
}

static void test_texts(void **state)
{
	(void)state;
	assert_string_equal(err_str(0), "ok");
	assert_string_equal(err_str(ERR_FULL), "no space left");
	assert_string_equal(err_str(1), "unknown error");
	assert_string_equal(err_str(-1000), "unknown error");
}

static void test_set(void **state)
{
	struct err_msg msg;

	(void)state;
	assert_int_equal(err_set(&msg, ERR_BUSY, "%s %d", "slot", 7), ERR_BUSY);
	assert_string_equal(msg.text, "slot 7");
	assert_int_equal(err_set(NULL, ERR_BUSY, "%s", "nobody listens"), ERR_BUSY);
}

/* A text that is too long is cut and terminated. */
static void test_cut(void **state)
{
	struct err_msg msg;
	char text[2 * sizeof(msg.text)];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(err_set(&msg, ERR_IO, "%s", text), ERR_IO);
	assert_int_equal(strlen(msg.text), sizeof(msg.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
