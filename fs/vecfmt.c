/*
 * vecfmt.c - bytes written as digits. Pure functions; the tables hold the value of each character
 * plus one, so that zero means "no digit".
 */
#include "fs/vecfmt.h"

static const uint8_t hex_value[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
	['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static const uint8_t base64_value[256] = {
	['A'] = 1,  ['B'] = 2,	['C'] = 3,  ['D'] = 4,	['E'] = 5,  ['F'] = 6,	['G'] = 7,
	['H'] = 8,  ['I'] = 9,	['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
	['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
	['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
	['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
	['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
	['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
	['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
	['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63,
	['_'] = 64,
};

bool vecfmt_is_hex(const char *digits, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (hex_value[(uint8_t)digits[i]] == 0)
			return false;
	return true;
}

bool vecfmt_hex_size(size_t digits, size_t *bytes_out)
{
	*bytes_out = digits / 2;
	return digits % 2 == 0;
}

bool vecfmt_base64_size(size_t digits, size_t *bytes_out)
{
	size_t rest = digits % 4;

	*bytes_out = digits / 4 * 3 + (rest > 1 ? rest - 1 : 0);
	return rest != 1;
}

bool vecfmt_hex(const char *digits, size_t len, uint8_t *bytes_out)
{
	if (len % 2 != 0)
		return false;
	for (size_t i = 0; i < len; i += 2) {
		unsigned high = hex_value[(uint8_t)digits[i]];
		unsigned low = hex_value[(uint8_t)digits[i + 1]];

		if (high == 0 || low == 0)
			return false;
		bytes_out[i / 2] = (uint8_t)((high - 1) << 4 | (low - 1));
	}
	return true;
}

bool vecfmt_base64(const char *digits, size_t len, uint8_t *bytes_out)
{
	uint32_t bits = 0; /* the low `held` of them are not yet written */
	unsigned held = 0;

	if (len % 4 == 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned value = base64_value[(uint8_t)digits[i]];

		if (value == 0)
			return false;
		bits = bits << 6 | (value - 1);
		held += 6;
		if (held >= 8) {
			held -= 8;
			*bytes_out++ = (uint8_t)(bits >> held);
			bits &= (1u << held) - 1;
		}
	}
	return bits == 0;
}
