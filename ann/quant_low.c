/*
 * quant_low.c - codes of 1 and 2 bits: the grid that fits best, and the way back to values.
 */
#include "ann/quant_low.h"

/* The upper half of a float32, rounded to nearest; not beyond the largest finite one. */
static uint32_t upper_half(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	if ((bits & 0x7fffffff) >= 0x7f7f0000)
		return (bits >> 16 & 0x8000) | 0x7f7f;
	return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

/* A grid of steps evenly around 0, and how well it fits: the product of x with the c - z. */
struct low_fit {
	struct dist_grid grid;
	double product;
	double step;   /* of the least squares fit x ~ step * (c - z) */
	double cosine; /* squared, between x and the c - z, times |x|^2 */
};

static void try_step(const struct quant *quant, const float *x, const struct dist_span *span,
		     double step, struct low_fit *best)
{
	const double zero = quant_low_zero(quant), n = quant->dim;
	struct low_fit fit = {.grid = {.low = (float)(-zero * step),
				       .inverse = (float)(1.0 / step),
				       .max = (1u << quant->bits) - 1}};
	struct dist_fit sums;
	double square;

	quant->kernels->grid_fit(x, quant->dim, &fit.grid, &sums);
	fit.product = sums.cx - zero * span->sum;
	square = sums.cc - 2.0 * zero * sums.c + zero * zero * n;
	fit.step = fit.product / square;
	fit.cosine = fit.product * fit.step;
	if (fit.cosine > best->cosine)
		*best = fit;
}

/*
 * 1 bit: the signs, with any step. 2 bits: the best of some steps near what is best for normal
 * numbers, 0.9957 of their deviation, then fitted and rounded in turn.
 */
static struct low_fit choose_step(const struct quant *quant, const float *x,
				  const struct dist_span *span)
{
	static const double shares[] = {1.0, 0.88, 1.12};
	const double deviation = sqrt((double)span->sum_sq / quant->dim);
	struct low_fit best = {.grid = {.max = 1}};

	if (!(deviation > 1e-30) || !(deviation < 1e30))
		return best;
	for (size_t i = 0; i < (quant->bits == 1 ? 1 : sizeof(shares) / sizeof(*shares)); i++)
		try_step(quant, x, span, deviation * shares[i], &best);
	for (int round = 0; round < 2 && quant->bits == 2; round++) {
		double step = best.step;

		try_step(quant, x, span, step, &best);
		if (best.step == step)
			break;
	}
	return best;
}

static void pack_fields(const uint8_t *bytes, size_t n, uint32_t bits, uint8_t *out)
{
	const size_t width = 8 * bits; /* bytes of a group */

	for (size_t i = 0; i < n; i += 64, out += width)
		for (size_t j = 0; j < width; j++) {
			unsigned byte = 0;

			for (size_t f = 0; f < 8 / bits; f++)
				byte |= (unsigned)bytes[i + width * f + j] << f * bits;
			out[j] = (uint8_t)byte;
		}
}

void quant_low_encode(const struct quant *quant, const float *x, const struct dist_span *span,
		      float term, uint8_t *bytes, uint8_t *code_out)
{
	struct low_fit fit = choose_step(quant, x, span);
	float scale = fit.product > 0.0 ? quant_in_range(span->sum_sq / fit.product) : 0.0f;

	quant->kernels->grid_codes(x, quant->dim, &fit.grid, bytes);
	memset(bytes + quant->dim, 0, quant->padded - quant->dim);
	pack_fields(bytes, quant->padded, quant->bits, code_out);
	put_u32(code_out + quant->code_bytes - QUANT_LOW_TAIL, upper_half(scale) | upper_half(term)
											   << 16);
}

/* From the signed values of a code of 1 or 2 bits, 2 (c - z), zero beyond dim. */
void quant_low_values(struct quant_query *query, const uint8_t *code, float factor)
{
	const struct quant *quant = query->quant;
	const uint32_t bits = quant->bits, width = 8 * bits, mask = (1u << bits) - 1;
	const float step = factor * quant_low_tail(quant, code).scale / 2;
	int32_t sum = 0;

	for (uint32_t i = 0; i < quant->dim; i++) {
		uint32_t at = i % 64;
		uint32_t field = code[i / 64 * width + at % width] >> at / width * bits & mask;

		query->values[i] = (int8_t)(2 * (int)field - (int)mask);
		sum += query->values[i];
	}
	query->step = step;
	query->shift = 0.0f;
	query->sum = step * (float)sum;
}

/* Codes of 1 and 2 bits. Beyond dim both have 0, which stands for the smallest value. */
float quant_low_product(const struct quant *quant, const uint8_t *a, const uint8_t *b)
{
	const struct dist_kernels *kernels = quant->kernels;
	const int32_t beyond = (int32_t)(quant->padded - quant->dim);
	const int32_t dot = quant->bits == 1 ? kernels->dot_c1c1(a, b, quant->padded) - beyond :
					       kernels->dot_c2c2(a, b, quant->padded) - 9 * beyond;

	return quant_low_tail(quant, a).scale * quant_low_tail(quant, b).scale * (float)dot / 4;
}
