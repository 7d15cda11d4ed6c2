/*
 * dist_low_avx512.c - the kernels over codes of 1 and 2 bits in AVX-512 with VNNI, and VPOPCNTDQ
 * where the processor has it.
 *
 * A group of 64 dimensions is read once into all lanes. Each lane keeps one field of its bytes by a
 * mask and does not shift it down: a lane's sum comes out 2^k times too large and is shifted at the
 * end.
 */
#include "ann/dist_avx512.h"

#include "ann/dist_sets.h"

#include <stdbool.h>

/* Fields of 1 bit: qword b has bits b of its 8 bytes. */
static inline __m512i masks_1(void)
{
	return _mm512_setr_epi64(0x0101010101010101, 0x0202020202020202, 0x0404040404040404,
				 0x0808080808080808, 0x1010101010101010, 0x2020202020202020,
				 0x4040404040404040, (long long)0x8080808080808080);
}

static inline __m512i shifts_1(void)
{
	return _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
}

static inline __m512i add_1(__m512i sum, const uint8_t *group, __m512i query, __m512i masks)
{
	__m512i code = _mm512_set1_epi64((long long)dist_word(group));

	return _mm512_dpbusd_epi32(sum, _mm512_and_si512(code, masks), query);
}

/* Fields of 2 bits: lane f of 16 bytes has fields f. */
static inline __m512i masks_2(void)
{
	return _mm512_setr_epi32(0x03030303, 0x03030303, 0x03030303, 0x03030303, 0x0c0c0c0c,
				 0x0c0c0c0c, 0x0c0c0c0c, 0x0c0c0c0c, 0x30303030, 0x30303030,
				 0x30303030, 0x30303030, (int)0xc0c0c0c0, (int)0xc0c0c0c0,
				 (int)0xc0c0c0c0, (int)0xc0c0c0c0);
}

static inline __m512i shifts_2(void)
{
	return _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
}

static inline __m512i add_2(__m512i sum, const uint8_t *group, __m512i query, __m512i masks)
{
	__m512i code = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)group));

	return _mm512_dpbusd_epi32(sum, _mm512_and_si512(code, masks), query);
}

int32_t dist_avx512_dot_u1s8(const uint8_t *code, const int8_t *query, size_t n)
{
	const __m512i masks = masks_1();
	__m512i s0 = _mm512_setzero_si512(), s1 = s0;
	size_t i = 0;

	for (; i + 128 <= n; i += 128) {
		s0 = add_1(s0, code + i / 8, _mm512_loadu_si512(query + i), masks);
		s1 = add_1(s1, code + i / 8 + 8, _mm512_loadu_si512(query + i + 64), masks);
	}
	if (i < n)
		s0 = add_1(s0, code + i / 8, _mm512_loadu_si512(query + i), masks);
	return _mm512_reduce_add_epi32(_mm512_srav_epi32(_mm512_add_epi32(s0, s1), shifts_1()));
}

int32_t dist_avx512_dot_u2s8(const uint8_t *code, const int8_t *query, size_t n)
{
	const __m512i masks = masks_2();
	__m512i s0 = _mm512_setzero_si512(), s1 = s0;
	size_t i = 0;

	for (; i + 128 <= n; i += 128) {
		s0 = add_2(s0, code + i / 4, _mm512_loadu_si512(query + i), masks);
		s1 = add_2(s1, code + i / 4 + 16, _mm512_loadu_si512(query + i + 64), masks);
	}
	if (i < n)
		s0 = add_2(s0, code + i / 4, _mm512_loadu_si512(query + i), masks);
	return _mm512_reduce_add_epi32(_mm512_srav_epi32(_mm512_add_epi32(s0, s1), shifts_2()));
}

void dist_avx512_dot_u1s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	const __m512i masks = masks_1(), shifts = shifts_1();
	__m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP) {
		__m512i q = _mm512_loadu_si512(query + i);

		s0 = add_1(s0, c0 + i / 8, q, masks);
		s1 = add_1(s1, c1 + i / 8, q, masks);
		s2 = add_1(s2, c2 + i / 8, q, masks);
		s3 = add_1(s3, c3 + i / 8, q, masks);
	}
	dist_reduce_4(_mm512_srav_epi32(s0, shifts), _mm512_srav_epi32(s1, shifts),
		      _mm512_srav_epi32(s2, shifts), _mm512_srav_epi32(s3, shifts), out);
}

void dist_avx512_dot_u2s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	const __m512i masks = masks_2(), shifts = shifts_2();
	__m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;

	for (size_t i = 0; i < n; i += DIST_LOW_GROUP) {
		__m512i q = _mm512_loadu_si512(query + i);

		s0 = add_2(s0, c0 + i / 4, q, masks);
		s1 = add_2(s1, c1 + i / 4, q, masks);
		s2 = add_2(s2, c2 + i / 4, q, masks);
		s3 = add_2(s3, c3 + i / 4, q, masks);
	}
	dist_reduce_4(_mm512_srav_epi32(s0, shifts), _mm512_srav_epi32(s1, shifts),
		      _mm512_srav_epi32(s2, shifts), _mm512_srav_epi32(s3, shifts), out);
}

/* --- two codes --- */

#define WIDE __attribute__((target("avx512vpopcntdq")))

static bool counts_wide(void)
{
	return __builtin_cpu_supports("avx512vpopcntdq");
}

/* The bytes from `at` of the `len` of a code, zeros beyond; len is a multiple of 8. */
static inline __m512i load_end(const uint8_t *code, size_t at, size_t len)
{
	size_t words = (len - at) / 8;
	__mmask8 m = words < 8 ? (__mmask8)((1u << words) - 1) : 0xff;

	return _mm512_maskz_loadu_epi64(m, code + at);
}

WIDE static int32_t wide_c1c1(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m512i differ = _mm512_setzero_si512();

	for (size_t i = 0; i < n / 8; i += 64) {
		__m512i x = _mm512_xor_si512(load_end(a, i, n / 8), load_end(b, i, n / 8));

		differ = _mm512_add_epi64(differ, _mm512_popcnt_epi64(x));
	}
	return (int32_t)n - 2 * (int32_t)_mm512_reduce_add_epi64(differ);
}

WIDE static int32_t wide_c2c2(const uint8_t *a, const uint8_t *b, size_t n)
{
	const __m512i low = _mm512_set1_epi8(0x55);
	__m512i all = _mm512_setzero_si512(), high = all, crossed = all;

	for (size_t i = 0; i < n / 4; i += 64) {
		__m512i u = load_end(a, i, n / 4), v = load_end(b, i, n / 4);
		__m512i x = _mm512_xor_si512(u, v);
		__m512i down = _mm512_and_si512(_mm512_srli_epi64(v, 1), low);
		__m512i up = _mm512_slli_epi64(_mm512_and_si512(v, low), 1);
		__m512i y = _mm512_xor_si512(u, _mm512_or_si512(down, up));

		all = _mm512_add_epi64(all, _mm512_popcnt_epi64(x));
		high = _mm512_add_epi64(high, _mm512_popcnt_epi64(_mm512_andnot_si512(low, x)));
		crossed = _mm512_add_epi64(crossed, _mm512_popcnt_epi64(y));
	}
	crossed = _mm512_add_epi64(_mm512_slli_epi64(crossed, 1), all);
	crossed = _mm512_add_epi64(crossed, _mm512_add_epi64(_mm512_slli_epi64(high, 1), high));
	return 9 * (int32_t)n - 2 * (int32_t)_mm512_reduce_add_epi64(crossed);
}

int32_t dist_avx512_dot_c1c1(const uint8_t *a, const uint8_t *b, size_t n)
{
	return counts_wide() ? wide_c1c1(a, b, n) : dist_avx2_dot_c1c1(a, b, n);
}

int32_t dist_avx512_dot_c2c2(const uint8_t *a, const uint8_t *b, size_t n)
{
	return counts_wide() ? wide_c2c2(a, b, n) : dist_avx2_dot_c2c2(a, b, n);
}
