/*
 * dist_avx512.h - what the kernels in AVX-512 share. Private to dist_avx512.c and dist_low_avx512.c.
 *
 * The functions say themselves what they need of the processor, so that this compiles without flags.
 */
#ifndef VECFS_ANN_DIST_AVX512_H
#define VECFS_ANN_DIST_AVX512_H

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

/* Four sums of 16 lanes at once. */
__attribute__((target("avx512f,avx2"))) static inline void dist_reduce_4(__m512i s0, __m512i s1,
									 __m512i s2, __m512i s3,
									 int32_t out[4])
{
	__m512i s01 = _mm512_add_epi32(_mm512_unpacklo_epi32(s0, s1),
				       _mm512_unpackhi_epi32(s0, s1));
	__m512i s23 = _mm512_add_epi32(_mm512_unpacklo_epi32(s2, s3),
				       _mm512_unpackhi_epi32(s2, s3));
	__m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(s01, s23),
				     _mm512_unpackhi_epi64(s01, s23));
	__m256i h = _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));

	_mm_storeu_si128((__m128i *)out,
			 _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)));
}

#endif

#endif
