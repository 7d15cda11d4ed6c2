/* Tests of validate.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ann/validate.h"

static void test_finite(void **state)
{
	float vector[257];

	(void)state;
	for (size_t i = 0; i < 257; i++)
		vector[i] = i % 2 ? 3.4e38f : -1e-45f;
	for (size_t n = 0; n <= 257; n++)
		assert_int_equal(validate_finite(vector, n), n);
	for (size_t i = 0; i < 257; i++) {
		const float bad[3] = {NAN, INFINITY, -INFINITY};
		float was = vector[i];

		vector[i] = bad[i % 3];
		assert_int_equal(validate_finite(vector, 257), i);
		assert_int_equal(validate_finite(vector, i), i);
		vector[i] = was;
	}
}

static void test_zero(void **state)
{
	float vector[5] = {0, -0.0f, 0, 0, 0};

	(void)state;
	assert_true(validate_zero(vector, 5));
	vector[4] = 1e-45f;
	assert_false(validate_zero(vector, 5));
	assert_true(validate_zero(vector, 4));
}

static bool utf8(const char *text)
{
	return validate_utf8(text, strlen(text));
}

static void test_utf8(void **state)
{
	(void)state;
	assert_true(utf8(""));
	assert_true(utf8("plain"));
	assert_true(utf8("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"));
	assert_true(utf8("\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"));
	assert_true(utf8("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
	/* alone, cut short, too long a form, surrogates, beyond the end, no such bytes */
	assert_false(utf8("\x80"));
	assert_false(utf8("\xc3"));
	assert_false(utf8("a\xe2\x82"));
	assert_false(utf8("\xf0\x9f\x98"));
	assert_false(utf8("\xc0\xaf"));
	assert_false(utf8("\xc1\xbf"));
	assert_false(utf8("\xe0\x9f\xbf"));
	assert_false(utf8("\xf0\x8f\xbf\xbf"));
	assert_false(utf8("\xed\xa0\x80"));
	assert_false(utf8("\xf4\x90\x80\x80"));
	assert_false(utf8("\xf5\x80\x80\x80"));
	assert_false(utf8("\xff"));
	assert_false(utf8("\xe2\x28\xa1"));
}

/* Every code point, encoded here, is valid but for the surrogates. */
static void test_all_code_points(void **state)
{
	(void)state;
	for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
		char text[4];
		size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

		for (size_t i = n - 1; i > 0; i--)
			text[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
		text[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c >> 6 * (n - 1));
		assert_int_equal(validate_utf8(text, n), c < 0xd800 || c > 0xdfff);
	}
}

static int check_id(const char *id)
{
	struct err_msg msg = {""};
	int err = ann_validate_id(id, strlen(id), &msg);

	assert_int_equal(err != 0, msg.text[0] != '\0');
	return err;
}

static void test_ids(void **state)
{
	char longest[257];

	(void)state;
	assert_int_equal(check_id("a"), 0);
	assert_int_equal(check_id("..."), 0);
	assert_int_equal(check_id(" \xc3\xa4\\\xc2\xa0"), 0);
	assert_int_equal(check_id(""), ERR_INVALID);
	assert_int_equal(check_id("."), ERR_INVALID);
	assert_int_equal(check_id(".."), ERR_INVALID);
	assert_int_equal(check_id("a/b"), ERR_INVALID);
	assert_int_equal(check_id("a\nb"), ERR_INVALID);
	assert_int_equal(check_id("\x7f"), ERR_INVALID);
	assert_int_equal(check_id("a\xc2\x85"), ERR_INVALID);
	assert_int_equal(check_id("\xff"), ERR_INVALID);
	assert_int_equal(ann_validate_id("a\0b", 3, NULL), ERR_INVALID);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(ann_validate_id(longest, 255, NULL), 0);
	assert_int_equal(ann_validate_id(longest, 256, NULL), ERR_NAME_LONG);
}

static void test_vectors(void **state)
{
	const float good[3] = {1, 2, 3}, zero[3] = {0, 0, 0}, bad[3] = {1, 2, NAN};
	struct err_msg msg;

	(void)state;
	assert_int_equal(validate_vector(3, ANN_COSINE, good, 3, &msg), 0);
	assert_int_equal(validate_vector(0, ANN_COSINE, good, 3, &msg), 0);
	assert_int_equal(validate_vector(0, ANN_COSINE, good, 0, &msg), ERR_INVALID);
	assert_int_equal(validate_vector(0, ANN_L2, good, ANN_DIM_MAX + 1, &msg), ERR_TOO_BIG);
	assert_int_equal(validate_vector(4, ANN_L2, good, 3, &msg), ERR_INVALID);
	assert_string_equal(msg.text, "got 12 bytes, a vector here is 16 (4 × float32)");
	assert_int_equal(validate_vector(2, ANN_L2, good, 3, &msg), ERR_TOO_BIG);
	assert_int_equal(validate_vector(3, ANN_L2, zero, 3, &msg), 0);
	assert_int_equal(validate_vector(3, ANN_COSINE, zero, 3, &msg), ERR_INVALID);
	assert_int_equal(validate_vector(3, ANN_L2, bad, 3, &msg), ERR_INVALID);
	assert_string_equal(msg.text, "number 3 of 3 is NaN or infinite; all must be finite");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finite), cmocka_unit_test(test_zero),
		cmocka_unit_test(test_utf8),   cmocka_unit_test(test_all_code_points),
		cmocka_unit_test(test_ids),    cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
