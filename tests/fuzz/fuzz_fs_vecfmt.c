/* Digits of vectors: sizes agree, nothing is written beyond them, one spelling for each sequence. */
#include "fs/vecfmt.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void check_hex(const char *digits, size_t len)
{
	size_t bytes = 0;
	bool sized = vecfmt_hex_size(len, &bytes);
	uint8_t *out = malloc(bytes + (bytes == 0));
	bool ok = vecfmt_hex(digits, len, out);

	FUZZ_ASSERT(ok == (sized && vecfmt_is_hex(digits, len)));
	for (size_t i = 0; ok && i < len; i++) {
		unsigned nibble = i % 2 == 0 ? out[i / 2] >> 4 : out[i / 2] & 15;

		FUZZ_ASSERT((digits[i] | 0x20) == (hex_digits[nibble] | 0x20));
	}
	free(out);
}

/* The digits of a sequence of bytes. */
static size_t spell_base64(const uint8_t *bytes, size_t len, char *out)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | bytes[i]) & 0xffff;
		for (held += 8; held >= 6; held -= 6)
			out[n++] = base64_digits[bits >> (held - 6) & 63];
	}
	if (held > 0)
		out[n++] = base64_digits[bits << (6 - held) & 63];
	return n;
}

static void check_base64(const char *digits, size_t len)
{
	size_t bytes = 0;
	bool sized = vecfmt_base64_size(len, &bytes);
	uint8_t *out = malloc(bytes + (bytes == 0));
	bool ok = vecfmt_base64(digits, len, out);

	FUZZ_ASSERT(!ok || sized);
	if (ok) {
		char *again = malloc(len + 4);

		FUZZ_ASSERT(spell_base64(out, bytes, again) == len);
		FUZZ_ASSERT(len == 0 || memcmp(again, digits, len) == 0);
		free(again);
	}
	free(out);
}

/* Whatever the bytes, their spelling is read as them. */
static void check_spelling(const uint8_t *bytes, size_t len)
{
	char *digits = malloc(len * 2 + 4);
	uint8_t *out = malloc(len + 1);
	size_t n = spell_base64(bytes, len, digits), back = 0;

	FUZZ_ASSERT(vecfmt_base64_size(n, &back) && back == len);
	FUZZ_ASSERT(vecfmt_base64(digits, n, out));
	FUZZ_ASSERT(len == 0 || memcmp(out, bytes, len) == 0);
	free(digits);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t len;
	char *digits = (char *)fuzz_copy(&in, size, &len);

	check_hex(digits, len);
	check_base64(digits, len);
	check_spelling(data, size);
	free(digits);
	return 0;
}
