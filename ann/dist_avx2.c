/*
 * dist_avx2.c - the kernels in AVX2 and FMA. Ends are handled one number at a time.
 */
#include "ann/dist_sets.h"

#include <immintrin.h>

/* --- floats --- */

static inline float reduce(__m256 v)
{
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline __m256 add_sq(__m256 sum, __m256 a, __m256 b)
{
	__m256 d = _mm256_sub_ps(a, b);

	return _mm256_fmadd_ps(d, d, sum);
}

static float avx2_l2sq(const float *a, const float *b, size_t n)
{
	__m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	float rest = 0.0f;
	size_t i = 0;

	for (; i + 32 <= n; i += 32) {
		s0 = add_sq(s0, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
		s1 = add_sq(s1, _mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
		s2 = add_sq(s2, _mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16));
		s3 = add_sq(s3, _mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24));
	}
	for (; i + 8 <= n; i += 8)
		s1 = add_sq(s1, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
	for (; i < n; i++)
		rest += (a[i] - b[i]) * (a[i] - b[i]);
	return reduce(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3))) + rest;
}

static float avx2_dot(const float *a, const float *b, size_t n)
{
	__m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	float rest = 0.0f;
	size_t i = 0;

	for (; i + 32 <= n; i += 32) {
		s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
		s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
		s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
		s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
	}
	for (; i + 8 <= n; i += 8)
		s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s1);
	for (; i < n; i++)
		rest += a[i] * b[i];
	return reduce(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3))) + rest;
}

static void avx2_l2sq_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
	__m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	__m256 t0 = s0, t1 = s0, t2 = s0, t3 = s0;
	size_t i = 0;

	for (; i + 16 <= n; i += 16) {
		__m256 u = _mm256_loadu_ps(b + i), v = _mm256_loadu_ps(b + i + 8);

		s0 = add_sq(s0, _mm256_loadu_ps(a0 + i), u);
		s1 = add_sq(s1, _mm256_loadu_ps(a1 + i), u);
		s2 = add_sq(s2, _mm256_loadu_ps(a2 + i), u);
		s3 = add_sq(s3, _mm256_loadu_ps(a3 + i), u);
		t0 = add_sq(t0, _mm256_loadu_ps(a0 + i + 8), v);
		t1 = add_sq(t1, _mm256_loadu_ps(a1 + i + 8), v);
		t2 = add_sq(t2, _mm256_loadu_ps(a2 + i + 8), v);
		t3 = add_sq(t3, _mm256_loadu_ps(a3 + i + 8), v);
	}
	out[0] = reduce(_mm256_add_ps(s0, t0));
	out[1] = reduce(_mm256_add_ps(s1, t1));
	out[2] = reduce(_mm256_add_ps(s2, t2));
	out[3] = reduce(_mm256_add_ps(s3, t3));
	for (; i < n; i++)
		for (size_t j = 0; j < 4; j++)
			out[j] += (a[j][i] - b[i]) * (a[j][i] - b[i]);
}

static void avx2_dot_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
	__m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	__m256 t0 = s0, t1 = s0, t2 = s0, t3 = s0;
	size_t i = 0;

	for (; i + 16 <= n; i += 16) {
		__m256 u = _mm256_loadu_ps(b + i), v = _mm256_loadu_ps(b + i + 8);

		s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a0 + i), u, s0);
		s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a1 + i), u, s1);
		s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a2 + i), u, s2);
		s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a3 + i), u, s3);
		t0 = _mm256_fmadd_ps(_mm256_loadu_ps(a0 + i + 8), v, t0);
		t1 = _mm256_fmadd_ps(_mm256_loadu_ps(a1 + i + 8), v, t1);
		t2 = _mm256_fmadd_ps(_mm256_loadu_ps(a2 + i + 8), v, t2);
		t3 = _mm256_fmadd_ps(_mm256_loadu_ps(a3 + i + 8), v, t3);
	}
	out[0] = reduce(_mm256_add_ps(s0, t0));
	out[1] = reduce(_mm256_add_ps(s1, t1));
	out[2] = reduce(_mm256_add_ps(s2, t2));
	out[3] = reduce(_mm256_add_ps(s3, t3));
	for (; i < n; i++)
		for (size_t j = 0; j < 4; j++)
			out[j] += a[j][i] * b[i];
}

/* --- codes --- */

static inline __m256i load_256(const void *at)
{
	return _mm256_loadu_si256((const __m256i *)at);
}

static inline __m128i load_128(const void *at)
{
	return _mm_loadu_si128((const __m128i *)at);
}

static inline int32_t reduce_i32(__m256i v)
{
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* Four sums of 8 lanes at once. */
static inline void reduce_4(__m256i s0, __m256i s1, __m256i s2, __m256i s3, int32_t out[4])
{
	__m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(s0, s1), _mm256_hadd_epi32(s2, s3));

	_mm_storeu_si128((__m128i *)out,
			 _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
}

/* 16 products, by way of 16 bits: the multiplication of bytes would saturate. */
static inline __m256i add_u8s8(__m256i sum, const uint8_t *code, __m256i query)
{
	return _mm256_add_epi32(sum,
				_mm256_madd_epi16(_mm256_cvtepu8_epi16(load_128(code)), query));
}

static int32_t avx2_dot_u8s8(const uint8_t *code, const int8_t *query, size_t n)
{
	__m256i s0 = _mm256_setzero_si256(), s1 = s0;
	size_t i = 0;

	for (; i + 32 <= n; i += 32) {
		s0 = add_u8s8(s0, code + i, _mm256_cvtepi8_epi16(load_128(query + i)));
		s1 = add_u8s8(s1, code + i + 16, _mm256_cvtepi8_epi16(load_128(query + i + 16)));
	}
	if (i < n)
		s0 = add_u8s8(s0, code + i, _mm256_cvtepi8_epi16(load_128(query + i)));
	return reduce_i32(_mm256_add_epi32(s0, s1));
}

static void avx2_dot_u8s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	__m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;

	for (size_t i = 0; i < n; i += 16) {
		__m256i q = _mm256_cvtepi8_epi16(load_128(query + i));

		s0 = add_u8s8(s0, c0 + i, q);
		s1 = add_u8s8(s1, c1 + i, q);
		s2 = add_u8s8(s2, c2 + i, q);
		s3 = add_u8s8(s3, c3 + i, q);
	}
	reduce_4(s0, s1, s2, s3, out);
}

static inline __m256i low_nibbles(__m256i v)
{
	return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

static inline __m256i high_nibbles(__m256i v)
{
	return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
}

/* The sums in 16 bits stay below 4 * 15 * 128. */
static inline __m256i add_u4s8(__m256i sum, __m256i code, __m256i low, __m256i high)
{
	__m256i products = _mm256_add_epi16(_mm256_maddubs_epi16(low_nibbles(code), low),
					    _mm256_maddubs_epi16(high_nibbles(code), high));

	return _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}

/* 32 bytes, or the last 16 and zeros; bytes: how many there are, a multiple of 16. */
static inline __m256i load_group_end(const void *at, size_t bytes)
{
	return bytes == 16 ? _mm256_zextsi128_si256(load_128(at)) : load_256(at);
}

/* Bytes of the group that begins at dimension `at`. */
static inline size_t group_half(size_t n, size_t at)
{
	return n - at < DIST_GROUP ? (n - at) / 2 : DIST_GROUP / 2;
}

static int32_t avx2_dot_u4s8(const uint8_t *code, const int8_t *query, size_t n)
{
	__m256i sum = _mm256_setzero_si256();

	for (size_t i = 0; i < n; i += DIST_GROUP) {
		size_t half = group_half(n, i);

		for (size_t j = 0; j < half; j += 32) {
			size_t len = half - j;
			__m256i low = load_group_end(query + i + j, len);
			__m256i high = load_group_end(query + i + half + j, len);

			sum = add_u4s8(sum, load_group_end(code + i / 2 + j, len), low, high);
		}
	}
	return reduce_i32(sum);
}

static void avx2_dot_u4s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	__m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;

	for (size_t i = 0; i < n; i += DIST_GROUP) {
		size_t half = group_half(n, i);

		for (size_t j = 0; j < half; j += 32) {
			size_t len = half - j, at = i / 2 + j;
			__m256i low = load_group_end(query + i + j, len);
			__m256i high = load_group_end(query + i + half + j, len);

			s0 = add_u4s8(s0, load_group_end(c0 + at, len), low, high);
			s1 = add_u4s8(s1, load_group_end(c1 + at, len), low, high);
			s2 = add_u4s8(s2, load_group_end(c2 + at, len), low, high);
			s3 = add_u4s8(s3, load_group_end(c3 + at, len), low, high);
		}
	}
	reduce_4(s0, s1, s2, s3, out);
}

static int32_t avx2_dot_u4u4(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m256i sum = _mm256_setzero_si256();

	for (size_t i = 0; i < n / 2; i += 32) {
		__m256i v = load_group_end(b + i, n / 2 - i);

		sum = add_u4s8(sum, load_group_end(a + i, n / 2 - i), low_nibbles(v),
			       high_nibbles(v));
	}
	return reduce_i32(sum);
}

/* All products together stay below 2^31 up to n = 33,025. */
static int64_t avx2_dot_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m256i sum = _mm256_setzero_si256();

	for (size_t i = 0; i < n; i += 16)
		sum = add_u8s8(sum, a + i, _mm256_cvtepu8_epi16(load_128(b + i)));
	return reduce_i32(sum);
}

/* --- rotation and rounding --- */

/* The transform within 8 lanes: each level adds the partner to the lane or its negative. */
static inline __m256 mix_lanes(__m256 v)
{
	const __m256 odd = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
	const __m256 pair = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
	const __m256 half = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);

	v = _mm256_fmadd_ps(v, odd, _mm256_permute_ps(v, 0xb1));
	v = _mm256_fmadd_ps(v, pair, _mm256_permute_ps(v, 0x4e));
	return _mm256_fmadd_ps(v, half, _mm256_permute2f128_ps(v, v, 0x01));
}

/* One level of the transform: n numbers in pairs h apart. */
static inline void mix_level(float *x, size_t n, size_t h)
{
	for (size_t i = 0; i < n; i += 2 * h) {
		for (size_t j = i; j < i + h; j += 8) {
			__m256 a = _mm256_loadu_ps(x + j), b = _mm256_loadu_ps(x + j + h);

			_mm256_storeu_ps(x + j, _mm256_add_ps(a, b));
			_mm256_storeu_ps(x + j + h, _mm256_sub_ps(a, b));
		}
	}
}

/* The levels h and 2 * h. */
static inline void mix_two_levels(float *x, size_t n, size_t h)
{
	for (size_t i = 0; i < n; i += 4 * h) {
		for (float *y = x + i; y < x + i + h; y += 8) {
			__m256 a = _mm256_loadu_ps(y), b = _mm256_loadu_ps(y + h);
			__m256 c = _mm256_loadu_ps(y + 2 * h), d = _mm256_loadu_ps(y + 3 * h);
			__m256 ab = _mm256_add_ps(a, b), cd = _mm256_add_ps(c, d);

			a = _mm256_sub_ps(a, b);
			c = _mm256_sub_ps(c, d);
			_mm256_storeu_ps(y, _mm256_add_ps(ab, cd));
			_mm256_storeu_ps(y + h, _mm256_add_ps(a, c));
			_mm256_storeu_ps(y + 2 * h, _mm256_sub_ps(ab, cd));
			_mm256_storeu_ps(y + 3 * h, _mm256_sub_ps(a, c));
		}
	}
}

static void avx2_hadamard(float *x, const float *factors, size_t n)
{
	size_t h = 8;

	if (n < 8) {
		dist_scalar.hadamard(x, factors, n);
		return;
	}
	for (size_t i = 0; i < n; i += 8)
		_mm256_storeu_ps(x + i, mix_lanes(_mm256_mul_ps(_mm256_loadu_ps(x + i),
								_mm256_loadu_ps(factors + i))));
	for (; 4 * h <= n; h *= 4)
		mix_two_levels(x, n, h);
	if (h < n)
		mix_level(x, n, h);
}

static void avx2_butterfly(float *a, float *b, size_t n)
{
	const __m256 scale = _mm256_set1_ps(DIST_SQRT_HALF);
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256 u = _mm256_loadu_ps(a + i), v = _mm256_loadu_ps(b + i);

		_mm256_storeu_ps(a + i, _mm256_mul_ps(_mm256_add_ps(u, v), scale));
		_mm256_storeu_ps(b + i, _mm256_mul_ps(_mm256_sub_ps(u, v), scale));
	}
	dist_scalar.butterfly(a + i, b + i, n - i);
}

static void avx2_span(const float *x, size_t n, struct dist_span *span_out)
{
	__m256 min, max, sum = _mm256_setzero_ps(), sum_sq = sum;
	size_t i = 0;

	*span_out = (struct dist_span){0};
	if (n == 0)
		return;
	min = max = _mm256_set1_ps(x[0]);
	for (; i + 8 <= n; i += 8) {
		__m256 v = _mm256_loadu_ps(x + i);

		min = _mm256_min_ps(min, v);
		max = _mm256_max_ps(max, v);
		sum = _mm256_add_ps(sum, v);
		sum_sq = _mm256_fmadd_ps(v, v, sum_sq);
	}
	span_out->min = span_out->max = x[0];
	for (size_t j = 0; j < 8; j++) {
		float low = ((const float *)&min)[j], high = ((const float *)&max)[j];

		span_out->min = low < span_out->min ? low : span_out->min;
		span_out->max = high > span_out->max ? high : span_out->max;
	}
	span_out->sum = reduce(sum);
	span_out->sum_sq = reduce(sum_sq);
	dist_span_rest(x, i, n, span_out);
}

static inline __m256i grid_round(__m256 v, __m256 low, __m256 inverse, __m256 max)
{
	__m256 t = _mm256_mul_ps(_mm256_sub_ps(v, low), inverse);

	t = _mm256_min_ps(_mm256_max_ps(t, _mm256_setzero_ps()), max);
	return _mm256_cvttps_epi32(_mm256_add_ps(t, _mm256_set1_ps(0.5f)));
}

static void avx2_grid_fit(const float *x, size_t n, const struct dist_grid *grid,
			  struct dist_fit *fit_out)
{
	const __m256 low = _mm256_set1_ps(grid->low), inverse = _mm256_set1_ps(grid->inverse);
	const __m256 max = _mm256_set1_ps((float)grid->max);
	__m256 sum_c = _mm256_setzero_ps(), sum_cc = sum_c, sum_cx = sum_c;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256 v = _mm256_loadu_ps(x + i);
		__m256 c = _mm256_cvtepi32_ps(grid_round(v, low, inverse, max));

		sum_c = _mm256_add_ps(sum_c, c);
		sum_cc = _mm256_fmadd_ps(c, c, sum_cc);
		sum_cx = _mm256_fmadd_ps(c, v, sum_cx);
	}
	fit_out->c = reduce(sum_c);
	fit_out->cc = reduce(sum_cc);
	fit_out->cx = reduce(sum_cx);
	dist_fit_rest(x, i, n, grid, fit_out);
}

static void avx2_grid_codes(const float *x, size_t n, const struct dist_grid *grid,
			    uint8_t *codes_out)
{
	const __m256 low = _mm256_set1_ps(grid->low), inverse = _mm256_set1_ps(grid->inverse);
	const __m256 max = _mm256_set1_ps((float)grid->max);
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256i c = grid_round(_mm256_loadu_ps(x + i), low, inverse, max);
		__m128i words = _mm_packus_epi32(_mm256_castsi256_si128(c),
						 _mm256_extracti128_si256(c, 1));

		_mm_storel_epi64((__m128i *)(codes_out + i), _mm_packus_epi16(words, words));
	}
	dist_scalar.grid_codes(x + i, n - i, grid, codes_out + i);
}

const struct dist_kernels dist_avx2 = {
	.name = "avx2",
	.l2sq = avx2_l2sq,
	.dot = avx2_dot,
	.l2sq_4 = avx2_l2sq_4,
	.dot_4 = avx2_dot_4,
	.dot_u8s8 = avx2_dot_u8s8,
	.dot_u4s8 = avx2_dot_u4s8,
	.dot_u8s8_4 = avx2_dot_u8s8_4,
	.dot_u4s8_4 = avx2_dot_u4s8_4,
	.dot_u4u4 = avx2_dot_u4u4,
	.dot_u8u8 = avx2_dot_u8u8,
	.dot_u1s8 = dist_avx2_dot_u1s8,
	.dot_u2s8 = dist_avx2_dot_u2s8,
	.dot_u1s8_4 = dist_avx2_dot_u1s8_4,
	.dot_u2s8_4 = dist_avx2_dot_u2s8_4,
	.dot_c1c1 = dist_avx2_dot_c1c1,
	.dot_c2c2 = dist_avx2_dot_c2c2,
	.hadamard = avx2_hadamard,
	.butterfly = avx2_butterfly,
	.span = avx2_span,
	.grid_fit = avx2_grid_fit,
	.grid_codes = avx2_grid_codes,
};
