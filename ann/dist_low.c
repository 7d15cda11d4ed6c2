/*
 * dist_low.c - the kernels over codes of 1 and 2 bits in plain C. dist.h has the layout.
 */
#include "ann/dist_sets.h"

static int32_t dot_fields(const uint8_t *code, const int8_t *query, size_t n, unsigned bits)
{
	const unsigned mask = (1u << bits) - 1;
	const size_t bytes = 8 * bits;
	int32_t sum = 0;

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP, code += bytes)
		for (size_t d = 0; d < DIST_LOW_GROUP; d++)
			sum += (int32_t)(code[d % bytes] >> d / bytes * bits & mask) * query[i + d];
	return sum;
}

int32_t dist_scalar_dot_u1s8(const uint8_t *code, const int8_t *query, size_t n)
{
	return dot_fields(code, query, n, 1);
}

int32_t dist_scalar_dot_u2s8(const uint8_t *code, const int8_t *query, size_t n)
{
	return dot_fields(code, query, n, 2);
}

void dist_scalar_dot_u1s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = dot_fields(codes[i], query, n, 1);
}

void dist_scalar_dot_u2s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = dot_fields(codes[i], query, n, 2);
}

int32_t dist_scalar_dot_c1c1(const uint8_t *a, const uint8_t *b, size_t n)
{
	int32_t differ = 0;

	for (size_t i = 0; i < n / 8; i += 8)
		differ += __builtin_popcountll(dist_word(a + i) ^ dist_word(b + i));
	return (int32_t)n - 2 * differ;
}

int32_t dist_scalar_dot_c2c2(const uint8_t *a, const uint8_t *b, size_t n)
{
	int32_t differ = 0;

	for (size_t i = 0; i < n / 4; i += 8) {
		uint64_t u = dist_word(a + i), v = dist_word(b + i);

		differ += __builtin_popcountll(u ^ v) +
			  3 * __builtin_popcountll(dist_high_bits(u ^ v)) +
			  2 * __builtin_popcountll(u ^ dist_swap_bits(v));
	}
	return 9 * (int32_t)n - 2 * differ;
}
