/*
 * quant_low.h - what differs in codes of 1 and 2 bits. Private to quant.c and quant_low.c.
 *
 * The grid lies evenly around 0, as the turned coordinates do: c stands for c - z with z = (2^B - 1)
 * / 2. So offset and sum need no place in a code, and the halves of two float32 are its tail.
 */
#ifndef VECFS_ANN_QUANT_LOW_H
#define VECFS_ANN_QUANT_LOW_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "ann/quant.h"
#include "store/base.h"

/* What stands behind the packed coordinates of a code, or follows from it. */
struct quant_tail {
	float scale, offset, term, sum;
};
#define QUANT_LOW_TAIL 4u /* bytes: scale and term, the upper halves of float32 */

static inline float quant_in_range(double value)
{
	return (float)fmax(fmin(value, FLT_MAX), -FLT_MAX);
}

static inline float from_upper_half(uint32_t half)
{
	uint32_t bits = half << 16;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline bool quant_is_low(const struct quant *quant)
{
	return quant->bits <= 2;
}

/* What a code of 1 or 2 bits means by 0. */
static inline float quant_low_zero(const struct quant *quant)
{
	return quant->bits == 1 ? 0.5f : 1.5f;
}

static inline struct quant_tail quant_low_tail(const struct quant *quant, const uint8_t *code)
{
	uint32_t both = get_u32(code + quant->code_bytes - QUANT_LOW_TAIL);
	float scale = from_upper_half(both & 0xffff);

	return (struct quant_tail){
		.scale = scale,
		.offset = -quant_low_zero(quant) * scale,
		.term = from_upper_half(both >> 16),
	};
}

/* The turned vector x as a code, with this term. bytes: scratch, padded bytes. */
void quant_low_encode(const struct quant *quant, const float *x, const struct dist_span *span,
		      float term, uint8_t *bytes, uint8_t *code_out);
/* Sets values, step, shift and sum of a query from a code; factor: how often products count. */
void quant_low_values(struct quant_query *query, const uint8_t *code, float factor);
/* The product of what two codes stand for. */
float quant_low_product(const struct quant *quant, const uint8_t *a, const uint8_t *b);

#endif
