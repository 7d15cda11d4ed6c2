/*
 * dist_low_avx2.c - the kernels over codes of 1 and 2 bits in AVX2 and POPCNT.
 *
 * A group of 64 dimensions is read once into every lane that wants fields of it. Each lane keeps one
 * field of its bytes by a mask and does not shift it down: the products come out 2^k times too large.
 * When they are widened, lanes with smaller k are multiplied until all have the same excess, which
 * the sum is divided by at the end.
 */
#include "ann/dist_sets.h"

#include <immintrin.h>

static inline __m256i load_256(const void *at)
{
	return _mm256_loadu_si256((const __m256i *)at);
}

static inline int32_t reduce_i32(__m256i v)
{
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* Four sums of 8 lanes at once. */
static inline __m128i reduce_4(__m256i s0, __m256i s1, __m256i s2, __m256i s3)
{
	__m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(s0, s1), _mm256_hadd_epi32(s2, s3));

	return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/* Fields of 1 bit: qword b of a register has bits b of its 8 bytes, the excess becomes 8. */
static inline __m256i masks_1(void)
{
	return _mm256_setr_epi64x(0x0101010101010101, 0x0202020202020202, 0x0404040404040404,
				  0x0808080808080808);
}

static inline __m256i factors_1(void)
{
	return _mm256_setr_epi16(8, 8, 8, 8, 4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1);
}

static inline __m256i read_1(const uint8_t *group)
{
	return _mm256_set1_epi64x((long long)dist_word(group));
}

/* Fields of 2 bits: the lower half has bits 0 and 1, the upper one bits 2 and 3; the excess is 4. */
static inline __m256i masks_2(void)
{
	return _mm256_setr_epi64x(0x0303030303030303, 0x0303030303030303, 0x0c0c0c0c0c0c0c0c,
				  0x0c0c0c0c0c0c0c0c);
}

static inline __m256i factors_2(void)
{
	return _mm256_setr_epi16(4, 4, 4, 4, 4, 4, 4, 4, 1, 1, 1, 1, 1, 1, 1, 1);
}

static inline __m256i read_2(const uint8_t *group)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)group));
}

/* 64 products. In 16 bits they stay below 4 * 12 * 128. */
static inline __m256i add_group(__m256i sum, __m256i code, __m256i q0, __m256i q1, __m256i masks,
				__m256i factors)
{
	__m256i low = _mm256_and_si256(code, masks);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(code, 4), masks);
	__m256i products = _mm256_add_epi16(_mm256_maddubs_epi16(low, q0),
					    _mm256_maddubs_epi16(high, q1));

	return _mm256_add_epi32(sum, _mm256_madd_epi16(products, factors));
}

int32_t dist_avx2_dot_u1s8(const uint8_t *code, const int8_t *query, size_t n)
{
	const __m256i masks = masks_1(), factors = factors_1();
	__m256i sum = _mm256_setzero_si256();

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP)
		sum = add_group(sum, read_1(code + i / 8), load_256(query + i),
				load_256(query + i + 32), masks, factors);
	return reduce_i32(sum) / 8;
}

int32_t dist_avx2_dot_u2s8(const uint8_t *code, const int8_t *query, size_t n)
{
	const __m256i masks = masks_2(), factors = factors_2();
	__m256i sum = _mm256_setzero_si256();

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP)
		sum = add_group(sum, read_2(code + i / 4), load_256(query + i),
				load_256(query + i + 32), masks, factors);
	return reduce_i32(sum) / 4;
}

void dist_avx2_dot_u1s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			  int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	const __m256i masks = masks_1(), factors = factors_1();
	__m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP) {
		__m256i q0 = load_256(query + i), q1 = load_256(query + i + 32);

		s0 = add_group(s0, read_1(c0 + i / 8), q0, q1, masks, factors);
		s1 = add_group(s1, read_1(c1 + i / 8), q0, q1, masks, factors);
		s2 = add_group(s2, read_1(c2 + i / 8), q0, q1, masks, factors);
		s3 = add_group(s3, read_1(c3 + i / 8), q0, q1, masks, factors);
	}
	_mm_storeu_si128((__m128i *)out, _mm_srai_epi32(reduce_4(s0, s1, s2, s3), 3));
}

void dist_avx2_dot_u2s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			  int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	const __m256i masks = masks_2(), factors = factors_2();
	__m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP) {
		__m256i q0 = load_256(query + i), q1 = load_256(query + i + 32);

		s0 = add_group(s0, read_2(c0 + i / 4), q0, q1, masks, factors);
		s1 = add_group(s1, read_2(c1 + i / 4), q0, q1, masks, factors);
		s2 = add_group(s2, read_2(c2 + i / 4), q0, q1, masks, factors);
		s3 = add_group(s3, read_2(c3 + i / 4), q0, q1, masks, factors);
	}
	_mm_storeu_si128((__m128i *)out, _mm_srai_epi32(reduce_4(s0, s1, s2, s3), 2));
}

/* --- two codes --- */

__attribute__((target("popcnt"))) int32_t dist_avx2_dot_c1c1(const uint8_t *a, const uint8_t *b,
							     size_t n)
{
	uint64_t differ = 0;

	for (size_t i = 0; i < n / 8; i += 8)
		differ += (uint64_t)_mm_popcnt_u64(dist_word(a + i) ^ dist_word(b + i));
	return (int32_t)n - 2 * (int32_t)differ;
}

__attribute__((target("popcnt"))) int32_t dist_avx2_dot_c2c2(const uint8_t *a, const uint8_t *b,
							     size_t n)
{
	uint64_t all = 0, high = 0, crossed = 0;

	for (size_t i = 0; i < n / 4; i += 8) {
		uint64_t u = dist_word(a + i), v = dist_word(b + i);

		all += (uint64_t)_mm_popcnt_u64(u ^ v);
		high += (uint64_t)_mm_popcnt_u64(dist_high_bits(u ^ v));
		crossed += (uint64_t)_mm_popcnt_u64(u ^ dist_swap_bits(v));
	}
	return 9 * (int32_t)n - 2 * (int32_t)(all + 3 * high + 2 * crossed);
}
