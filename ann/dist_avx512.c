/*
 * dist_avx512.c - the kernels in AVX-512 (F, BW, VL, DQ, VNNI). Ends are handled with masks.
 */
#include "ann/dist_avx512.h"

#include "ann/dist_sets.h"

/* A mask of the lowest n lanes, n < 16 and n < 64. */
static inline __mmask16 lanes(size_t n)
{
	return (__mmask16)((1u << n) - 1);
}

static inline __mmask64 bytes(size_t n)
{
	return (UINT64_C(1) << n) - 1;
}

/* --- floats --- */

static inline __m512 add_sq(__m512 sum, __m512 a, __m512 b)
{
	__m512 d = _mm512_sub_ps(a, b);

	return _mm512_fmadd_ps(d, d, sum);
}

static float avx512_l2sq(const float *a, const float *b, size_t n)
{
	__m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	size_t i = 0;

	for (; i + 64 <= n; i += 64) {
		s0 = add_sq(s0, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
		s1 = add_sq(s1, _mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
		s2 = add_sq(s2, _mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32));
		s3 = add_sq(s3, _mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48));
	}
	for (; i + 16 <= n; i += 16)
		s1 = add_sq(s1, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
	if (i < n) {
		__mmask16 m = lanes(n - i);

		s2 = add_sq(s2, _mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i));
	}
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

static float avx512_dot(const float *a, const float *b, size_t n)
{
	__m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	size_t i = 0;

	for (; i + 64 <= n; i += 64) {
		s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
		s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
		s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
		s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
	}
	for (; i + 16 <= n; i += 16)
		s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s1);
	if (i < n) {
		__mmask16 m = lanes(n - i);

		s2 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a + i),
				     _mm512_maskz_loadu_ps(m, b + i), s2);
	}
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

static void avx512_l2sq_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
	__m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	__m512 t0 = s0, t1 = s0, t2 = s0, t3 = s0;
	size_t i = 0;

	for (; i + 32 <= n; i += 32) {
		__m512 u = _mm512_loadu_ps(b + i), v = _mm512_loadu_ps(b + i + 16);

		s0 = add_sq(s0, _mm512_loadu_ps(a0 + i), u);
		s1 = add_sq(s1, _mm512_loadu_ps(a1 + i), u);
		s2 = add_sq(s2, _mm512_loadu_ps(a2 + i), u);
		s3 = add_sq(s3, _mm512_loadu_ps(a3 + i), u);
		t0 = add_sq(t0, _mm512_loadu_ps(a0 + i + 16), v);
		t1 = add_sq(t1, _mm512_loadu_ps(a1 + i + 16), v);
		t2 = add_sq(t2, _mm512_loadu_ps(a2 + i + 16), v);
		t3 = add_sq(t3, _mm512_loadu_ps(a3 + i + 16), v);
	}
	for (; i < n; i += 16) {
		__mmask16 m = n - i < 16 ? lanes(n - i) : 0xffff;
		__m512 u = _mm512_maskz_loadu_ps(m, b + i);

		s0 = add_sq(s0, _mm512_maskz_loadu_ps(m, a0 + i), u);
		s1 = add_sq(s1, _mm512_maskz_loadu_ps(m, a1 + i), u);
		s2 = add_sq(s2, _mm512_maskz_loadu_ps(m, a2 + i), u);
		s3 = add_sq(s3, _mm512_maskz_loadu_ps(m, a3 + i), u);
	}
	out[0] = _mm512_reduce_add_ps(_mm512_add_ps(s0, t0));
	out[1] = _mm512_reduce_add_ps(_mm512_add_ps(s1, t1));
	out[2] = _mm512_reduce_add_ps(_mm512_add_ps(s2, t2));
	out[3] = _mm512_reduce_add_ps(_mm512_add_ps(s3, t3));
}

static void avx512_dot_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
	__m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	__m512 t0 = s0, t1 = s0, t2 = s0, t3 = s0;
	size_t i = 0;

	for (; i + 32 <= n; i += 32) {
		__m512 u = _mm512_loadu_ps(b + i), v = _mm512_loadu_ps(b + i + 16);

		s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a0 + i), u, s0);
		s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a1 + i), u, s1);
		s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a2 + i), u, s2);
		s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a3 + i), u, s3);
		t0 = _mm512_fmadd_ps(_mm512_loadu_ps(a0 + i + 16), v, t0);
		t1 = _mm512_fmadd_ps(_mm512_loadu_ps(a1 + i + 16), v, t1);
		t2 = _mm512_fmadd_ps(_mm512_loadu_ps(a2 + i + 16), v, t2);
		t3 = _mm512_fmadd_ps(_mm512_loadu_ps(a3 + i + 16), v, t3);
	}
	for (; i < n; i += 16) {
		__mmask16 m = n - i < 16 ? lanes(n - i) : 0xffff;
		__m512 u = _mm512_maskz_loadu_ps(m, b + i);

		s0 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a0 + i), u, s0);
		s1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a1 + i), u, s1);
		s2 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a2 + i), u, s2);
		s3 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a3 + i), u, s3);
	}
	out[0] = _mm512_reduce_add_ps(_mm512_add_ps(s0, t0));
	out[1] = _mm512_reduce_add_ps(_mm512_add_ps(s1, t1));
	out[2] = _mm512_reduce_add_ps(_mm512_add_ps(s2, t2));
	out[3] = _mm512_reduce_add_ps(_mm512_add_ps(s3, t3));
}

/* --- codes --- */

static inline __m512i low_nibbles(__m512i v)
{
	return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

static inline __m512i high_nibbles(__m512i v)
{
	return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

static int32_t avx512_dot_u8s8(const uint8_t *code, const int8_t *query, size_t n)
{
	__m512i s0 = _mm512_setzero_si512(), s1 = s0;
	size_t i = 0;

	for (; i + 128 <= n; i += 128) {
		s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(code + i),
					 _mm512_loadu_si512(query + i));
		s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(code + i + 64),
					 _mm512_loadu_si512(query + i + 64));
	}
	for (; i < n; i += 64) {
		__mmask64 m = n - i < 64 ? bytes(n - i) : ~UINT64_C(0);

		s0 = _mm512_dpbusd_epi32(s0, _mm512_maskz_loadu_epi8(m, code + i),
					 _mm512_maskz_loadu_epi8(m, query + i));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1));
}

static void avx512_dot_u8s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			      int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	__m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
	size_t i = 0;

	for (; i + 64 <= n; i += 64) {
		__m512i q = _mm512_loadu_si512(query + i);

		s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(c0 + i), q);
		s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(c1 + i), q);
		s2 = _mm512_dpbusd_epi32(s2, _mm512_loadu_si512(c2 + i), q);
		s3 = _mm512_dpbusd_epi32(s3, _mm512_loadu_si512(c3 + i), q);
	}
	if (i < n) {
		__mmask64 m = bytes(n - i);
		__m512i q = _mm512_maskz_loadu_epi8(m, query + i);

		s0 = _mm512_dpbusd_epi32(s0, _mm512_maskz_loadu_epi8(m, c0 + i), q);
		s1 = _mm512_dpbusd_epi32(s1, _mm512_maskz_loadu_epi8(m, c1 + i), q);
		s2 = _mm512_dpbusd_epi32(s2, _mm512_maskz_loadu_epi8(m, c2 + i), q);
		s3 = _mm512_dpbusd_epi32(s3, _mm512_maskz_loadu_epi8(m, c3 + i), q);
	}
	dist_reduce_4(s0, s1, s2, s3, out);
}

static inline __m512i add_u4s8(__m512i sum, __m512i code, __m512i low, __m512i high)
{
	return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, low_nibbles(code), low),
				   high_nibbles(code), high);
}

static int32_t avx512_dot_u4s8(const uint8_t *code, const int8_t *query, size_t n)
{
	__m512i s0 = _mm512_setzero_si512(), s1 = s0;
	size_t i = 0;

	for (; i + DIST_GROUP <= n; i += DIST_GROUP) {
		__m512i c = _mm512_loadu_si512(code + i / 2);

		s0 = _mm512_dpbusd_epi32(s0, low_nibbles(c), _mm512_loadu_si512(query + i));
		s1 = _mm512_dpbusd_epi32(s1, high_nibbles(c), _mm512_loadu_si512(query + i + 64));
	}
	if (i < n) {
		size_t half = (n - i) / 2;
		__mmask64 m = bytes(half);

		s0 = add_u4s8(s0, _mm512_maskz_loadu_epi8(m, code + i / 2),
			      _mm512_maskz_loadu_epi8(m, query + i),
			      _mm512_maskz_loadu_epi8(m, query + i + half));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1));
}

static void avx512_dot_u4s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			      int32_t out[4])
{
	const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
	__m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
	size_t i = 0;

	for (; i + DIST_GROUP <= n; i += DIST_GROUP) {
		__m512i l = _mm512_loadu_si512(query + i), h = _mm512_loadu_si512(query + i + 64);

		s0 = add_u4s8(s0, _mm512_loadu_si512(c0 + i / 2), l, h);
		s1 = add_u4s8(s1, _mm512_loadu_si512(c1 + i / 2), l, h);
		s2 = add_u4s8(s2, _mm512_loadu_si512(c2 + i / 2), l, h);
		s3 = add_u4s8(s3, _mm512_loadu_si512(c3 + i / 2), l, h);
	}
	if (i < n) {
		size_t half = (n - i) / 2;
		__mmask64 m = bytes(half);
		__m512i l = _mm512_maskz_loadu_epi8(m, query + i);
		__m512i h = _mm512_maskz_loadu_epi8(m, query + i + half);

		s0 = add_u4s8(s0, _mm512_maskz_loadu_epi8(m, c0 + i / 2), l, h);
		s1 = add_u4s8(s1, _mm512_maskz_loadu_epi8(m, c1 + i / 2), l, h);
		s2 = add_u4s8(s2, _mm512_maskz_loadu_epi8(m, c2 + i / 2), l, h);
		s3 = add_u4s8(s3, _mm512_maskz_loadu_epi8(m, c3 + i / 2), l, h);
	}
	dist_reduce_4(s0, s1, s2, s3, out);
}

static int32_t avx512_dot_u4u4(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m512i s0 = _mm512_setzero_si512(), s1 = s0;

	for (size_t i = 0; i < n / 2; i += 64) {
		__mmask64 m = n / 2 - i < 64 ? bytes(n / 2 - i) : ~UINT64_C(0);
		__m512i u = _mm512_maskz_loadu_epi8(m, a + i),
			v = _mm512_maskz_loadu_epi8(m, b + i);

		s0 = _mm512_dpbusd_epi32(s0, low_nibbles(u), low_nibbles(v));
		s1 = _mm512_dpbusd_epi32(s1, high_nibbles(u), high_nibbles(v));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1));
}

/* a * b = a * (b - 128) + 128 * a, the first with a signed second factor. */
static int64_t avx512_dot_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	const __m512i ones = _mm512_set1_epi8(1), top = _mm512_set1_epi8(-128);
	__m512i products = _mm512_setzero_si512(), sums = products;

	for (size_t i = 0; i < n; i += 64) {
		__mmask64 m = n - i < 64 ? bytes(n - i) : ~UINT64_C(0);
		__m512i u = _mm512_maskz_loadu_epi8(m, a + i);
		__m512i v = _mm512_xor_si512(_mm512_maskz_loadu_epi8(m, b + i), top);

		products = _mm512_dpbusd_epi32(products, u, v);
		sums = _mm512_dpbusd_epi32(sums, u, ones);
	}
	return (int64_t)_mm512_reduce_add_epi32(products) +
	       128 * (int64_t)_mm512_reduce_add_epi32(sums);
}

/* --- rotation and rounding --- */

/* The transform within 16 lanes: each level adds the partner to the lane or its negative. */
static inline __m512 mix_lanes(__m512 v)
{
	const __m512 ones = _mm512_set1_ps(1.0f), negative = _mm512_set1_ps(-1.0f);

	v = _mm512_fmadd_ps(v, _mm512_mask_mov_ps(ones, 0xaaaa, negative),
			    _mm512_permute_ps(v, 0xb1));
	v = _mm512_fmadd_ps(v, _mm512_mask_mov_ps(ones, 0xcccc, negative),
			    _mm512_permute_ps(v, 0x4e));
	v = _mm512_fmadd_ps(v, _mm512_mask_mov_ps(ones, 0xf0f0, negative),
			    _mm512_shuffle_f32x4(v, v, 0xb1));
	return _mm512_fmadd_ps(v, _mm512_mask_mov_ps(ones, 0xff00, negative),
			       _mm512_shuffle_f32x4(v, v, 0x4e));
}

/* One level of the transform: n numbers in pairs h apart. */
static inline void mix_level(float *x, size_t n, size_t h)
{
	for (size_t i = 0; i < n; i += 2 * h) {
		for (size_t j = i; j < i + h; j += 16) {
			__m512 a = _mm512_loadu_ps(x + j), b = _mm512_loadu_ps(x + j + h);

			_mm512_storeu_ps(x + j, _mm512_add_ps(a, b));
			_mm512_storeu_ps(x + j + h, _mm512_sub_ps(a, b));
		}
	}
}

/* The levels h and 2 * h. */
static inline void mix_two_levels(float *x, size_t n, size_t h)
{
	for (size_t i = 0; i < n; i += 4 * h) {
		for (float *y = x + i; y < x + i + h; y += 16) {
			__m512 a = _mm512_loadu_ps(y), b = _mm512_loadu_ps(y + h);
			__m512 c = _mm512_loadu_ps(y + 2 * h), d = _mm512_loadu_ps(y + 3 * h);
			__m512 ab = _mm512_add_ps(a, b), cd = _mm512_add_ps(c, d);

			a = _mm512_sub_ps(a, b);
			c = _mm512_sub_ps(c, d);
			_mm512_storeu_ps(y, _mm512_add_ps(ab, cd));
			_mm512_storeu_ps(y + h, _mm512_add_ps(a, c));
			_mm512_storeu_ps(y + 2 * h, _mm512_sub_ps(ab, cd));
			_mm512_storeu_ps(y + 3 * h, _mm512_sub_ps(a, c));
		}
	}
}

static void avx512_hadamard(float *x, const float *factors, size_t n)
{
	size_t h = 16;

	if (n < 16) {
		dist_scalar.hadamard(x, factors, n);
		return;
	}
	for (size_t i = 0; i < n; i += 16)
		_mm512_storeu_ps(x + i, mix_lanes(_mm512_mul_ps(_mm512_loadu_ps(x + i),
								_mm512_loadu_ps(factors + i))));
	for (; 4 * h <= n; h *= 4)
		mix_two_levels(x, n, h);
	if (h < n)
		mix_level(x, n, h);
}

static void avx512_butterfly(float *a, float *b, size_t n)
{
	const __m512 scale = _mm512_set1_ps(DIST_SQRT_HALF);

	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = n - i < 16 ? lanes(n - i) : 0xffff;
		__m512 u = _mm512_maskz_loadu_ps(m, a + i), v = _mm512_maskz_loadu_ps(m, b + i);

		_mm512_mask_storeu_ps(a + i, m, _mm512_mul_ps(_mm512_add_ps(u, v), scale));
		_mm512_mask_storeu_ps(b + i, m, _mm512_mul_ps(_mm512_sub_ps(u, v), scale));
	}
}

static void avx512_span(const float *x, size_t n, struct dist_span *span_out)
{
	__m512 min, max, sum = _mm512_setzero_ps(), sum_sq = sum;

	*span_out = (struct dist_span){0};
	if (n == 0)
		return;
	min = max = _mm512_set1_ps(x[0]);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = n - i < 16 ? lanes(n - i) : 0xffff;
		__m512 v = _mm512_maskz_loadu_ps(m, x + i);

		min = _mm512_mask_min_ps(min, m, min, v);
		max = _mm512_mask_max_ps(max, m, max, v);
		sum = _mm512_add_ps(sum, v);
		sum_sq = _mm512_fmadd_ps(v, v, sum_sq);
	}
	span_out->min = _mm512_reduce_min_ps(min);
	span_out->max = _mm512_reduce_max_ps(max);
	span_out->sum = _mm512_reduce_add_ps(sum);
	span_out->sum_sq = _mm512_reduce_add_ps(sum_sq);
}

static inline __m512i grid_round(__m512 v, __m512 low, __m512 inverse, __m512 max)
{
	__m512 t = _mm512_mul_ps(_mm512_sub_ps(v, low), inverse);

	t = _mm512_min_ps(_mm512_max_ps(t, _mm512_setzero_ps()), max);
	return _mm512_cvttps_epi32(_mm512_add_ps(t, _mm512_set1_ps(0.5f)));
}

static void avx512_grid_fit(const float *x, size_t n, const struct dist_grid *grid,
			    struct dist_fit *fit_out)
{
	const __m512 low = _mm512_set1_ps(grid->low), inverse = _mm512_set1_ps(grid->inverse);
	const __m512 max = _mm512_set1_ps((float)grid->max);
	__m512 sum_c = _mm512_setzero_ps(), sum_cc = sum_c, sum_cx = sum_c;

	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = n - i < 16 ? lanes(n - i) : 0xffff;
		__m512 v = _mm512_maskz_loadu_ps(m, x + i);
		__m512 c = _mm512_maskz_cvtepi32_ps(m, grid_round(v, low, inverse, max));

		sum_c = _mm512_add_ps(sum_c, c);
		sum_cc = _mm512_fmadd_ps(c, c, sum_cc);
		sum_cx = _mm512_fmadd_ps(c, v, sum_cx);
	}
	fit_out->c = _mm512_reduce_add_ps(sum_c);
	fit_out->cc = _mm512_reduce_add_ps(sum_cc);
	fit_out->cx = _mm512_reduce_add_ps(sum_cx);
}

static void avx512_grid_codes(const float *x, size_t n, const struct dist_grid *grid,
			      uint8_t *codes_out)
{
	const __m512 low = _mm512_set1_ps(grid->low), inverse = _mm512_set1_ps(grid->inverse);
	const __m512 max = _mm512_set1_ps((float)grid->max);

	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = n - i < 16 ? lanes(n - i) : 0xffff;
		__m512 v = _mm512_maskz_loadu_ps(m, x + i);

		_mm512_mask_cvtepi32_storeu_epi8(codes_out + i, m,
						 grid_round(v, low, inverse, max));
	}
}

const struct dist_kernels dist_avx512 = {
	.name = "avx512",
	.l2sq = avx512_l2sq,
	.dot = avx512_dot,
	.l2sq_4 = avx512_l2sq_4,
	.dot_4 = avx512_dot_4,
	.dot_u8s8 = avx512_dot_u8s8,
	.dot_u4s8 = avx512_dot_u4s8,
	.dot_u8s8_4 = avx512_dot_u8s8_4,
	.dot_u4s8_4 = avx512_dot_u4s8_4,
	.dot_u4u4 = avx512_dot_u4u4,
	.dot_u8u8 = avx512_dot_u8u8,
	.dot_u1s8 = dist_avx512_dot_u1s8,
	.dot_u2s8 = dist_avx512_dot_u2s8,
	.dot_u1s8_4 = dist_avx512_dot_u1s8_4,
	.dot_u2s8_4 = dist_avx512_dot_u2s8_4,
	.dot_c1c1 = dist_avx512_dot_c1c1,
	.dot_c2c2 = dist_avx512_dot_c2c2,
	.hadamard = avx512_hadamard,
	.butterfly = avx512_butterfly,
	.span = avx512_span,
	.grid_fit = avx512_grid_fit,
	.grid_codes = avx512_grid_codes,
};
