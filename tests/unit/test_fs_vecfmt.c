/* Digits of vectors: hex and base64url. */
#include "fs/vecfmt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned seed;

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The oracle: one bit at a time. */
static size_t encode_base64(const uint8_t *bytes, size_t len, char *out)
{
	size_t n = 0;

	for (size_t bit = 0; bit < len * 8; bit += 6) {
		unsigned value = 0;

		for (size_t i = bit; i < bit + 6; i++)
			value = value << 1 | (i < len * 8 ? bytes[i / 8] >> (7 - i % 8) & 1 : 0);
		out[n++] = base64_digits[value];
	}
	return n;
}

static void hex_decodes(void **state)
{
	uint8_t bytes[4];

	(void)state;
	assert_true(vecfmt_hex("00fFa5Zz", 6, bytes));
	assert_memory_equal(bytes, "\x00\xff\xa5", 3);
	assert_true(vecfmt_hex("", 0, bytes));
	assert_false(vecfmt_hex("0", 1, bytes));
	assert_false(vecfmt_hex("0g", 2, bytes));
	assert_false(vecfmt_hex("g0", 2, bytes));
	assert_false(vecfmt_hex("\xff\xff", 2, bytes));
	assert_true(vecfmt_is_hex("0123456789abcdefABCDEF", 22));
	assert_false(vecfmt_is_hex("0123 ", 5));
}

static void every_byte_is_a_hex_digit_or_not(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char pair[2] = {(char)c, '7'};
		uint8_t byte;
		char expected[3] = {(char)c, '7', '\0'};
		char *end;
		bool digit = c != 0 && strchr("0123456789abcdefABCDEF", c) != NULL;

		assert_int_equal(vecfmt_hex(pair, 2, &byte), digit);
		if (digit)
			assert_int_equal(byte, strtol(expected, &end, 16));
	}
}

static void sizes_follow_digits(void **state)
{
	size_t bytes;

	(void)state;
	assert_true(vecfmt_hex_size(8, &bytes));
	assert_int_equal(bytes, 4);
	assert_false(vecfmt_hex_size(7, &bytes));
	for (size_t len = 0; len < 50; len++) {
		size_t digits = (len * 8 + 5) / 6;

		assert_true(vecfmt_base64_size(digits, &bytes));
		assert_int_equal(bytes, len);
	}
	assert_false(vecfmt_base64_size(1, &bytes));
	assert_false(vecfmt_base64_size(5, &bytes));
}

static void base64_decodes_what_was_encoded(void **state)
{
	uint8_t bytes[64], back[64];
	char digits[96];

	(void)state;
	for (int round = 0; round < 2000; round++) {
		size_t len = (size_t)rand() % sizeof(bytes), n;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)rand();
		n = encode_base64(bytes, len, digits);
		assert_true(vecfmt_base64(digits, n, back));
		assert_memory_equal(back, bytes, len);
	}
}

static void base64_has_one_spelling(void **state)
{
	uint8_t bytes[8];

	(void)state;
	assert_true(vecfmt_base64("AA", 2, bytes));
	assert_false(vecfmt_base64("AB", 2, bytes)); /* unused bits set */
	assert_true(vecfmt_base64("AAA", 3, bytes));
	assert_false(vecfmt_base64("AAB", 3, bytes));
	assert_false(vecfmt_base64("A", 1, bytes));
	assert_false(vecfmt_base64("AA==", 4, bytes)); /* no padding */
	assert_false(vecfmt_base64("AA+/", 4, bytes)); /* the digits of the other alphabet */
	assert_true(vecfmt_base64("AA-_", 4, bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_decodes),
		cmocka_unit_test(every_byte_is_a_hex_digit_or_not),
		cmocka_unit_test(sizes_follow_digits),
		cmocka_unit_test(base64_decodes_what_was_encoded),
		cmocka_unit_test(base64_has_one_spelling),
	};
	const char *given = getenv("SEED");

	seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 1;
	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
