/*
 * dist_low_neon.c - the kernels over codes of 1 and 2 bits in NEON.
 */
#if defined(__aarch64__)

#include "ann/dist_sets.h"

#include <arm_neon.h>

/* Bits b and b + 1 of 8 bytes are 16 dimensions: their query bytes are kept or dropped. */
static inline int16x8_t add_bits(int16x8_t sum, uint8x16_t code, unsigned b, const int8_t *query)
{
	uint8x16_t masks = vcombine_u8(vdup_n_u8((uint8_t)(1u << b)),
				       vdup_n_u8((uint8_t)(2u << b)));
	int8x16_t kept = vandq_s8(vreinterpretq_s8_u8(vtstq_u8(code, masks)), vld1q_s8(query));

	return vpadalq_s8(sum, kept);
}

int32_t dist_neon_dot_u1s8(const uint8_t *code, const int8_t *query, size_t n)
{
	int32x4_t sum = vdupq_n_s32(0);

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP) {
		uint8x8_t bytes = vld1_u8(code + i / 8);
		uint8x16_t twice = vcombine_u8(bytes, bytes);
		int16x8_t products = vdupq_n_s16(0);

		for (unsigned b = 0; b < 8; b += 2)
			products = add_bits(products, twice, b, query + i + 8 * b);
		sum = vpadalq_s16(sum, products);
	}
	return vaddvq_s32(sum);
}

/* 16 products of a factor below 4 with a signed byte. */
static inline int16x8_t add_fields(int16x8_t sum, uint8x16_t fields, int8x16_t query)
{
	int8x16_t c = vreinterpretq_s8_u8(vandq_u8(fields, vdupq_n_u8(3)));

	sum = vmlal_s8(sum, vget_low_s8(c), vget_low_s8(query));
	return vmlal_s8(sum, vget_high_s8(c), vget_high_s8(query));
}

/* In 16 bits the sums of a group stay below 8 * 3 * 128. */
int32_t dist_neon_dot_u2s8(const uint8_t *code, const int8_t *query, size_t n)
{
	int32x4_t sum = vdupq_n_s32(0);

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP) {
		uint8x16_t bytes = vld1q_u8(code + i / 4);
		int16x8_t products = vdupq_n_s16(0);

		products = add_fields(products, bytes, vld1q_s8(query + i));
		products = add_fields(products, vshrq_n_u8(bytes, 2), vld1q_s8(query + i + 16));
		products = add_fields(products, vshrq_n_u8(bytes, 4), vld1q_s8(query + i + 32));
		products = add_fields(products, vshrq_n_u8(bytes, 6), vld1q_s8(query + i + 48));
		sum = vpadalq_s16(sum, products);
	}
	return vaddvq_s32(sum);
}

void dist_neon_dot_u1s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			  int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = dist_neon_dot_u1s8(codes[i], query, n);
}

void dist_neon_dot_u2s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			  int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = dist_neon_dot_u2s8(codes[i], query, n);
}

/* --- two codes --- */

static inline int32_t count(uint64_t a)
{
	return vaddv_u8(vcnt_u8(vcreate_u8(a)));
}

int32_t dist_neon_dot_c1c1(const uint8_t *a, const uint8_t *b, size_t n)
{
	int32_t differ = 0;

	for (size_t i = 0; i < n / 8; i += 8)
		differ += count(dist_word(a + i) ^ dist_word(b + i));
	return (int32_t)n - 2 * differ;
}

int32_t dist_neon_dot_c2c2(const uint8_t *a, const uint8_t *b, size_t n)
{
	int32_t differ = 0;

	for (size_t i = 0; i < n / 4; i += 8) {
		uint64_t u = dist_word(a + i), v = dist_word(b + i);

		differ += count(u ^ v) + 3 * count(dist_high_bits(u ^ v)) +
			  2 * count(u ^ dist_swap_bits(v));
	}
	return 9 * (int32_t)n - 2 * differ;
}

#endif
