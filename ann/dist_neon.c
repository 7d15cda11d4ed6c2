/*
 * dist_neon.c - the kernels in NEON, as every 64-bit ARM has it. Ends are handled one number at a
 * time.
 */
#if defined(__aarch64__)

#include "ann/dist_sets.h"

#include <arm_neon.h>

/* --- floats --- */

static inline float32x4_t add_sq(float32x4_t sum, float32x4_t a, float32x4_t b)
{
	float32x4_t d = vsubq_f32(a, b);

	return vfmaq_f32(sum, d, d);
}

static inline float reduce(float32x4_t s0, float32x4_t s1, float32x4_t s2, float32x4_t s3)
{
	return vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)));
}

static float neon_l2sq(const float *a, const float *b, size_t n)
{
	float32x4_t s0 = vdupq_n_f32(0.0f), s1 = s0, s2 = s0, s3 = s0;
	float rest = 0.0f;
	size_t i = 0;

	for (; i + 16 <= n; i += 16) {
		s0 = add_sq(s0, vld1q_f32(a + i), vld1q_f32(b + i));
		s1 = add_sq(s1, vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));
		s2 = add_sq(s2, vld1q_f32(a + i + 8), vld1q_f32(b + i + 8));
		s3 = add_sq(s3, vld1q_f32(a + i + 12), vld1q_f32(b + i + 12));
	}
	for (; i + 4 <= n; i += 4)
		s1 = add_sq(s1, vld1q_f32(a + i), vld1q_f32(b + i));
	for (; i < n; i++)
		rest += (a[i] - b[i]) * (a[i] - b[i]);
	return reduce(s0, s1, s2, s3) + rest;
}

static float neon_dot(const float *a, const float *b, size_t n)
{
	float32x4_t s0 = vdupq_n_f32(0.0f), s1 = s0, s2 = s0, s3 = s0;
	float rest = 0.0f;
	size_t i = 0;

	for (; i + 16 <= n; i += 16) {
		s0 = vfmaq_f32(s0, vld1q_f32(a + i), vld1q_f32(b + i));
		s1 = vfmaq_f32(s1, vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));
		s2 = vfmaq_f32(s2, vld1q_f32(a + i + 8), vld1q_f32(b + i + 8));
		s3 = vfmaq_f32(s3, vld1q_f32(a + i + 12), vld1q_f32(b + i + 12));
	}
	for (; i + 4 <= n; i += 4)
		s1 = vfmaq_f32(s1, vld1q_f32(a + i), vld1q_f32(b + i));
	for (; i < n; i++)
		rest += a[i] * b[i];
	return reduce(s0, s1, s2, s3) + rest;
}

static void neon_l2sq_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	float32x4_t s[4][2];
	size_t i = 0;

	for (size_t j = 0; j < 4; j++)
		s[j][0] = s[j][1] = vdupq_n_f32(0.0f);
	for (; i + 8 <= n; i += 8) {
		float32x4_t u = vld1q_f32(b + i), v = vld1q_f32(b + i + 4);

		for (size_t j = 0; j < 4; j++) {
			s[j][0] = add_sq(s[j][0], vld1q_f32(a[j] + i), u);
			s[j][1] = add_sq(s[j][1], vld1q_f32(a[j] + i + 4), v);
		}
	}
	for (size_t j = 0; j < 4; j++) {
		out[j] = vaddvq_f32(vaddq_f32(s[j][0], s[j][1]));
		for (size_t k = i; k < n; k++)
			out[j] += (a[j][k] - b[k]) * (a[j][k] - b[k]);
	}
}

static void neon_dot_4(const float *const a[4], const float *b, size_t n, float out[4])
{
	float32x4_t s[4][2];
	size_t i = 0;

	for (size_t j = 0; j < 4; j++)
		s[j][0] = s[j][1] = vdupq_n_f32(0.0f);
	for (; i + 8 <= n; i += 8) {
		float32x4_t u = vld1q_f32(b + i), v = vld1q_f32(b + i + 4);

		for (size_t j = 0; j < 4; j++) {
			s[j][0] = vfmaq_f32(s[j][0], vld1q_f32(a[j] + i), u);
			s[j][1] = vfmaq_f32(s[j][1], vld1q_f32(a[j] + i + 4), v);
		}
	}
	for (size_t j = 0; j < 4; j++) {
		out[j] = vaddvq_f32(vaddq_f32(s[j][0], s[j][1]));
		for (size_t k = i; k < n; k++)
			out[j] += a[j][k] * b[k];
	}
}

/* --- codes --- */

/* 8 products, by way of 16 bits. */
static inline int32x4_t add_u8s8_half(int32x4_t sum, uint8x8_t code, int8x8_t query)
{
	int16x8_t c = vreinterpretq_s16_u16(vmovl_u8(code)), q = vmovl_s8(query);

	sum = vmlal_s16(sum, vget_low_s16(c), vget_low_s16(q));
	return vmlal_s16(sum, vget_high_s16(c), vget_high_s16(q));
}

static int32_t neon_dot_u8s8(const uint8_t *code, const int8_t *query, size_t n)
{
	int32x4_t s0 = vdupq_n_s32(0), s1 = s0;

	for (size_t i = 0; i < n; i += 16) {
		uint8x16_t c = vld1q_u8(code + i);
		int8x16_t q = vld1q_s8(query + i);

		s0 = add_u8s8_half(s0, vget_low_u8(c), vget_low_s8(q));
		s1 = add_u8s8_half(s1, vget_high_u8(c), vget_high_s8(q));
	}
	return vaddvq_s32(vaddq_s32(s0, s1));
}

static void neon_dot_u8s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = neon_dot_u8s8(codes[i], query, n);
}

/* 16 products of a factor below 16 with a signed byte. */
static inline int32x4_t add_nibbles(int32x4_t sum, uint8x16_t nibbles, int8x16_t query)
{
	int8x16_t c = vreinterpretq_s8_u8(nibbles);

	sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(c), vget_low_s8(query)));
	return vpadalq_s16(sum, vmull_s8(vget_high_s8(c), vget_high_s8(query)));
}

static int32_t neon_dot_u4s8(const uint8_t *code, const int8_t *query, size_t n)
{
	const uint8x16_t mask = vdupq_n_u8(15);
	int32x4_t s0 = vdupq_n_s32(0), s1 = s0;

	for (size_t i = 0; i < n; i += DIST_GROUP) {
		size_t half = n - i < DIST_GROUP ? (n - i) / 2 : DIST_GROUP / 2;

		for (size_t j = 0; j < half; j += 16) {
			uint8x16_t c = vld1q_u8(code + i / 2 + j);

			s0 = add_nibbles(s0, vandq_u8(c, mask), vld1q_s8(query + i + j));
			s1 = add_nibbles(s1, vshrq_n_u8(c, 4), vld1q_s8(query + i + half + j));
		}
	}
	return vaddvq_s32(vaddq_s32(s0, s1));
}

static void neon_dot_u4s8_4(const uint8_t *const codes[4], const int8_t *query, size_t n,
			    int32_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = neon_dot_u4s8(codes[i], query, n);
}

static int32_t neon_dot_u4u4(const uint8_t *a, const uint8_t *b, size_t n)
{
	const uint8x16_t mask = vdupq_n_u8(15);
	int32x4_t s0 = vdupq_n_s32(0), s1 = s0;

	for (size_t i = 0; i < n / 2; i += 16) {
		uint8x16_t u = vld1q_u8(a + i), v = vld1q_u8(b + i);

		s0 = add_nibbles(s0, vandq_u8(u, mask), vreinterpretq_s8_u8(vandq_u8(v, mask)));
		s1 = add_nibbles(s1, vshrq_n_u8(u, 4), vreinterpretq_s8_u8(vshrq_n_u8(v, 4)));
	}
	return vaddvq_s32(vaddq_s32(s0, s1));
}

/* All products together stay below 2^32 up to n = 66,051. */
static int64_t neon_dot_u8u8(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint32x4_t sum = vdupq_n_u32(0);

	for (size_t i = 0; i < n; i += 16) {
		uint8x16_t u = vld1q_u8(a + i), v = vld1q_u8(b + i);

		sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(u), vget_low_u8(v)));
		sum = vpadalq_u16(sum, vmull_u8(vget_high_u8(u), vget_high_u8(v)));
	}
	return vaddvq_u32(sum);
}

/* --- rotation and rounding --- */

/* The transform within 4 lanes: each level adds the partner to the lane or its negative. */
static inline float32x4_t mix_lanes(float32x4_t v)
{
	static const float odd[4] = {1, -1, 1, -1}, pair[4] = {1, 1, -1, -1};

	v = vfmaq_f32(vrev64q_f32(v), v, vld1q_f32(odd));
	return vfmaq_f32(vextq_f32(v, v, 2), v, vld1q_f32(pair));
}

static void neon_hadamard(float *x, const float *factors, size_t n)
{
	if (n < 4) {
		dist_scalar.hadamard(x, factors, n);
		return;
	}
	for (size_t i = 0; i < n; i += 4)
		vst1q_f32(x + i, mix_lanes(vmulq_f32(vld1q_f32(x + i), vld1q_f32(factors + i))));
	for (size_t h = 4; h < n; h *= 2) {
		for (size_t i = 0; i < n; i += 2 * h) {
			for (size_t j = i; j < i + h; j += 4) {
				float32x4_t a = vld1q_f32(x + j), b = vld1q_f32(x + j + h);

				vst1q_f32(x + j, vaddq_f32(a, b));
				vst1q_f32(x + j + h, vsubq_f32(a, b));
			}
		}
	}
}

static void neon_butterfly(float *a, float *b, size_t n)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4) {
		float32x4_t u = vld1q_f32(a + i), v = vld1q_f32(b + i);

		vst1q_f32(a + i, vmulq_n_f32(vaddq_f32(u, v), DIST_SQRT_HALF));
		vst1q_f32(b + i, vmulq_n_f32(vsubq_f32(u, v), DIST_SQRT_HALF));
	}
	dist_scalar.butterfly(a + i, b + i, n - i);
}

static void neon_span(const float *x, size_t n, struct dist_span *span_out)
{
	float32x4_t min, max, sum = vdupq_n_f32(0.0f), sum_sq = sum;
	size_t i = 0;

	*span_out = (struct dist_span){0};
	if (n == 0)
		return;
	min = max = vdupq_n_f32(x[0]);
	for (; i + 4 <= n; i += 4) {
		float32x4_t v = vld1q_f32(x + i);

		min = vminq_f32(min, v);
		max = vmaxq_f32(max, v);
		sum = vaddq_f32(sum, v);
		sum_sq = vfmaq_f32(sum_sq, v, v);
	}
	span_out->min = vminvq_f32(min);
	span_out->max = vmaxvq_f32(max);
	span_out->sum = vaddvq_f32(sum);
	span_out->sum_sq = vaddvq_f32(sum_sq);
	dist_span_rest(x, i, n, span_out);
}

/* vmaxnmq takes the number where the other is NaN. */
static inline uint32x4_t grid_round(float32x4_t v, const struct dist_grid *grid)
{
	float32x4_t t = vmulq_n_f32(vsubq_f32(v, vdupq_n_f32(grid->low)), grid->inverse);

	t = vmaxnmq_f32(t, vdupq_n_f32(0.0f));
	t = vminq_f32(t, vdupq_n_f32((float)grid->max));
	return vcvtq_u32_f32(vaddq_f32(t, vdupq_n_f32(0.5f)));
}

static void neon_grid_fit(const float *x, size_t n, const struct dist_grid *grid,
			  struct dist_fit *fit_out)
{
	float32x4_t sum_c = vdupq_n_f32(0.0f), sum_cc = sum_c, sum_cx = sum_c;
	size_t i = 0;

	for (; i + 4 <= n; i += 4) {
		float32x4_t v = vld1q_f32(x + i), c = vcvtq_f32_u32(grid_round(v, grid));

		sum_c = vaddq_f32(sum_c, c);
		sum_cc = vfmaq_f32(sum_cc, c, c);
		sum_cx = vfmaq_f32(sum_cx, c, v);
	}
	fit_out->c = vaddvq_f32(sum_c);
	fit_out->cc = vaddvq_f32(sum_cc);
	fit_out->cx = vaddvq_f32(sum_cx);
	dist_fit_rest(x, i, n, grid, fit_out);
}

static void neon_grid_codes(const float *x, size_t n, const struct dist_grid *grid,
			    uint8_t *codes_out)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint16x4_t low = vmovn_u32(grid_round(vld1q_f32(x + i), grid));
		uint16x4_t high = vmovn_u32(grid_round(vld1q_f32(x + i + 4), grid));

		vst1_u8(codes_out + i, vmovn_u16(vcombine_u16(low, high)));
	}
	dist_scalar.grid_codes(x + i, n - i, grid, codes_out + i);
}

const struct dist_kernels dist_neon = {
	.name = "neon",
	.l2sq = neon_l2sq,
	.dot = neon_dot,
	.l2sq_4 = neon_l2sq_4,
	.dot_4 = neon_dot_4,
	.dot_u8s8 = neon_dot_u8s8,
	.dot_u4s8 = neon_dot_u4s8,
	.dot_u8s8_4 = neon_dot_u8s8_4,
	.dot_u4s8_4 = neon_dot_u4s8_4,
	.dot_u4u4 = neon_dot_u4u4,
	.dot_u8u8 = neon_dot_u8u8,
	.dot_u1s8 = dist_neon_dot_u1s8,
	.dot_u2s8 = dist_neon_dot_u2s8,
	.dot_u1s8_4 = dist_neon_dot_u1s8_4,
	.dot_u2s8_4 = dist_neon_dot_u2s8_4,
	.dot_c1c1 = dist_neon_dot_c1c1,
	.dot_c2c2 = dist_neon_dot_c2c2,
	.hadamard = neon_hadamard,
	.butterfly = neon_butterfly,
	.span = neon_span,
	.grid_fit = neon_grid_fit,
	.grid_codes = neon_grid_codes,
};

#endif
