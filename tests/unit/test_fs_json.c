/* Vectors as text: what is written reads back bit by bit, what is read wrongly is refused by name. */
#include "fs/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"

#define CAP 64

static unsigned seed;

static bool always_fails(void *ctx)
{
	(void)ctx;
	return true;
}

static int read_text(const char *text, float *numbers, struct json_vector *vector,
		     struct err_msg *msg)
{
	msg->text[0] = '\0';
	return json_read(text, strlen(text), numbers, CAP, vector, msg);
}

static void numbers_are_written_short(void **state)
{
	static const float numbers[] = {1, -0.5f, 0, -0.0f, 3e-5f, 16777216, 0.1f, 1e38f};
	char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(json_write(numbers, 8, &text, &len), 0);
	assert_string_equal(text,
			    "[1,-0.5,0,-0,2.99999992e-05,16777216,0.100000001,9.99999968e+37]\n");
	assert_int_equal(len, strlen(text));
	assert_int_equal(json_size(numbers, 8), len);
	mem_free(text);
	assert_int_equal(json_write(numbers, 0, &text, &len), 0);
	assert_string_equal(text, "[]\n");
	assert_int_equal(json_size(numbers, 0), len);
	mem_free(text);
}

static void any_bits_come_back(void **state)
{
	float numbers[CAP], back[CAP];
	struct json_vector vector;
	struct err_msg msg;

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 5000; round++) {
		char *text = NULL;
		size_t len = 0;

		for (size_t i = 0; i < CAP; i++) {
			do {
				uint32_t bits = (uint32_t)random() ^ (uint32_t)random() << 16;

				memcpy(&numbers[i], &bits, sizeof(bits));
			} while (!isfinite(numbers[i]));
		}
		assert_int_equal(json_write(numbers, CAP, &text, &len), 0);
		assert_int_equal(json_size(numbers, CAP), len);
		assert_int_equal(json_read(text, len, back, CAP, &vector, &msg), 0);
		assert_int_equal(vector.n, CAP);
		assert_true(vector.closed && !vector.open);
		assert_memory_equal(numbers, back, sizeof(numbers));
		mem_free(text);
	}
}

static void many_spellings_are_read(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		bool closed, open;
	} good[] = {
		{"[1,2,3]", 3, true, false},
		{" [ 1 , 2 ,\n 3 ] \n", 3, true, false},
		{"1 2 3", 3, false, false},
		{"1 2 3\n", 3, true, false},
		{"1,2,3", 3, false, false},
		{"1, 2,\t3\n", 3, true, false},
		{"1\n2\n3\n", 3, true, false},
		{"+1 2. 3.0e0 ", 3, true, false},
		{"1E0 200e-2 .3e1 ", 3, true, false},
		{"", 0, false, false},
		{" \n", 0, false, false},
		{"[]", 0, true, false},
		{"[", 0, false, true},
		{"[1,2,3", 3, false, true},
		{"[1,2,3,", 3, false, true},
		{"1,2,3,\n", 3, false, true},
	};
	float numbers[CAP] = {0};
	struct json_vector vector;
	struct err_msg msg;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(read_text(good[i].text, numbers, &vector, &msg), 0);
		assert_int_equal(vector.n, good[i].n);
		assert_int_equal(vector.closed, good[i].closed);
		assert_int_equal(vector.open, good[i].open);
		for (size_t j = 0; j < vector.n; j++)
			assert_true(numbers[j] == (float)(j + 1));
	}
	/* What does not fit is counted. */
	assert_int_equal(json_read("1 2 3 ", 6, numbers, 1, &vector, &msg), 0);
	assert_int_equal(vector.n, 3);
	/* Rounded once: the double between would be rounded the other way. */
	assert_int_equal(read_text("1.00000017881393432617187499", numbers, &vector, &msg), 0);
	assert_true(numbers[0] == 0x1.000002p0f);
	/* The length counts. */
	assert_int_equal(json_read("[1]", 2, numbers, CAP, &vector, &msg), 0);
	assert_true(vector.open);
}

static void wrong_text_is_refused_by_name(void **state)
{
	static const char *const bad[][2] = {
		{"[1,x,3]", "number 2, at byte 3: 'x' is no number"},
		{"[1 2]", "a comma is missing after number 1, at byte 2"},
		{"[1,,2]", "number 2, at byte 3, is missing"},
		{"[,1]", "number 1, at byte 1, is missing"},
		{"1,,2", "number 2, at byte 2, is missing"},
		{"[1,2,]", "number 3 is missing: a comma stands before ]"},
		{"[1,2] 3", "something follows the closing bracket, at byte 6"},
		{"[[1,2]]", "begins another array"},
		{"1 2 ]", "']' is no number"},
		{"[1,nan]", "'nan' is no number"},
		{"[1,null]", "'null' is no number"},
		{"inf", "'inf' is no number"},
		{"0x10", "'0x10' is no number"},
		{"1e", "'1e' is no number"},
		{"-", "'-' is no number"},
		{".", "'.' is no number"},
		{"1e39", "'1e39' is beyond the range of float32"},
		{"{\"a\":1}", "is no number"},
		{"\"1\"", "is no number"},
	};
	float numbers[CAP];
	struct json_vector vector;
	struct err_msg msg;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(read_text(bad[i][0], numbers, &vector, &msg), ERR_INVALID);
		if (strstr(msg.text, bad[i][1]) == NULL)
			fail_msg("'%s': %s", bad[i][0], msg.text);
	}
	/* A byte 0 in the middle is no end. */
	assert_int_equal(json_read("1 \0 2", 5, numbers, CAP, &vector, &msg), ERR_INVALID);
}

static void without_memory_nothing_is_written(void **state)
{
	static const float number = 1;
	char *text = NULL;
	size_t len = 0;

	(void)state;
	mem_set_fault(always_fails, NULL);
	assert_int_equal(json_write(&number, 1, &text, &len), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_null(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_written_short),
		cmocka_unit_test(any_bits_come_back),
		cmocka_unit_test(many_spellings_are_read),
		cmocka_unit_test(wrong_text_is_refused_by_name),
		cmocka_unit_test(without_memory_nothing_is_written),
	};
	const char *given = getenv("SEED");

	seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 1;
	srandom(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
