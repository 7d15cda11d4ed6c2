/*
 * quant.c - codes of vectors, and estimated distances to them and between them.
 *
 * With x' the vector relative to the centre m (l2: of both sides; else of the stored side alone):
 *   l2:  |x - y|^2 = |x'|^2 + |y'|^2 - 2 <x', y'>       term of a code: |x'|^2
 *   dot: <x, y> = <x', y'> + <m, x'> + <m, y'> + |m|^2  term of a code: -<m, x'>
 * The rotation keeps all of these. A code stores f * (offset + scale * c) with f = |x'|^2 / <^x, x'>,
 * where ^x is what the least squares fit decodes to: the error is then orthogonal to x'.
 *
 * With 1 or 2 bits the offset is fixed, so that the grid lies evenly around 0, as the turned
 * coordinates do: c stands for c - z with z = (2^B - 1) / 2. Then offset and sum need no place.
 */
#include "ann/quant.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "ann/scan.h"
#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define QUERY_ZERO 128 /* the byte that stands for 0 while a query is rounded */
#define LINE 64u       /* bytes of a cache line */

/* What stands behind the packed coordinates of a code. */
struct tail {
	float scale, offset, term, sum;
};
#define TAIL_BYTES 16u
#define LOW_TAIL_BYTES 4u /* of 1 and 2 bits: scale and term, the upper halves of float32 */

static float get_float(const uint8_t *at)
{
	uint32_t bits = get_u32(at);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static void put_float(uint8_t *at, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	put_u32(at, bits);
}

/* The upper half of a float32, rounded to nearest; not beyond the largest finite one. */
static uint32_t upper_half(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	if ((bits & 0x7fffffff) >= 0x7f7f0000)
		return (bits >> 16 & 0x8000) | 0x7f7f;
	return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline float from_upper_half(uint32_t half)
{
	uint32_t bits = half << 16;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline bool is_low(const struct quant *quant)
{
	return quant->bits <= 2;
}

/* What a code of 1 or 2 bits means by 0. */
static inline float low_zero(const struct quant *quant)
{
	return quant->bits == 1 ? 0.5f : 1.5f;
}

static inline struct tail get_low_tail(const struct quant *quant, const uint8_t *code)
{
	uint32_t both = get_u32(code + quant->code_bytes - LOW_TAIL_BYTES);
	float scale = from_upper_half(both & 0xffff);

	return (struct tail){
		.scale = scale,
		.offset = -low_zero(quant) * scale,
		.term = from_upper_half(both >> 16),
	};
}

static inline struct tail get_tail(const struct quant *quant, const uint8_t *code)
{
	const uint8_t *at = code + quant->code_bytes - TAIL_BYTES;

	return (struct tail){
		.scale = get_float(at),
		.offset = get_float(at + 4),
		.term = get_float(at + 8),
		.sum = get_float(at + 12),
	};
}

bool quant_bits_valid(uint32_t bits)
{
	return bits == 1 || bits == 2 || bits == 4 || bits == 8;
}

static uint32_t padded_dim(uint32_t dim, uint32_t bits)
{
	return (uint32_t)round_up(dim, bits <= 2 ? 64 : bits == 4 ? 32 : 16);
}

uint32_t quant_code_bytes(uint32_t dim, uint32_t bits)
{
	return padded_dim(dim, bits) * bits / 8 + (bits <= 2 ? LOW_TAIL_BYTES : TAIL_BYTES);
}

int quant_init(struct quant *quant, enum ann_metric metric, uint32_t dim, uint32_t bits,
	       uint64_t seed)
{
	*quant = (struct quant){.metric = metric, .dim = dim, .bits = bits};
	if (!quant_bits_valid(bits) || dim == 0 || dim > ANN_DIM_MAX)
		return ERR_INVALID;
	quant->padded = padded_dim(dim, bits);
	quant->code_bytes = quant_code_bytes(dim, bits);
	quant->kernels = dist_kernels();
	return rotate_init(&quant->rotate, dim, seed, quant->kernels);
}

void quant_release(struct quant *quant)
{
	rotate_release(&quant->rotate);
	mem_free(quant->centre);
	quant->centre = NULL;
}

int quant_set_centre(struct quant *quant, const float *centre)
{
	float *copy = mem_alloc_aligned(LINE, (size_t)quant->dim * sizeof(*copy));

	if (copy == NULL)
		return ERR_NOMEM;
	memcpy(copy, centre, (size_t)quant->dim * sizeof(*copy));
	mem_free(quant->centre);
	quant->centre = copy;
	quant->centre_sq = (float)scan_norm_sq(quant->kernels, copy, quant->dim);
	return 0;
}

/*
 * The error of a product in units of |x| |y| is e / sqrt(dim). Measured: up to 0.02 does no harm.
 * fashion-MNIST, 1 bit, error 0.027: 45 candidates hold .998 of the 10 neighbours. Clusters of 128
 * dimensions, 1 bit, error 0.067: 45 hold .905, 80 .96, 160 .987; 2 bits, error 0.032: 45 hold .98.
 */
size_t quant_widen(const struct quant *quant, size_t n)
{
	const double error = (quant->bits == 1 ? 0.76 : 0.37) / sqrt(quant->dim);

	return is_low(quant) && error > 0.02 ? (size_t)((double)n * error / 0.02) : n;
}

/* Scratch: dim floats, then padded bytes. */
static size_t scratch_floats(const struct quant *quant)
{
	return round_up((size_t)quant->dim * sizeof(float), LINE);
}

size_t quant_scratch_bytes(const struct quant *quant)
{
	return scratch_floats(quant) + round_up(quant->padded, LINE);
}

/* --- encoding --- */

/* The vector, under cosine with length 1, minus the centre when asked. */
static void prepare(const struct quant *quant, const float *vector, bool centred, float *x_out)
{
	const uint32_t dim = quant->dim;
	const float *centre = centred ? quant->centre : NULL;
	double norm = 1.0;

	if (quant->metric == ANN_COSINE)
		norm = sqrt(scan_norm_sq(quant->kernels, vector, dim));
	if (norm == 0.0)
		norm = 1.0;
	if (norm > 1e-18 && norm < 1e18) {
		float factor = (float)(1.0 / norm);

		for (uint32_t i = 0; i < dim; i++)
			x_out[i] = vector[i] * factor;
	} else {
		for (uint32_t i = 0; i < dim; i++)
			x_out[i] = (float)((double)vector[i] / norm);
	}
	if (centre != NULL)
		for (uint32_t i = 0; i < dim; i++)
			x_out[i] -= centre[i];
}

/* A grid and the least squares fit x ~ offset + scale * c for the codes it gives. */
struct fit {
	struct dist_grid grid;
	double scale, offset;
	double sum;	  /* of the codes */
	double explained; /* squared length of the fit, which is also its product with x */
};

static void try_range(const struct quant *quant, const float *x, const struct dist_span *span,
		      double low, double high, struct fit *best)
{
	const double n = quant->dim;
	const uint32_t max = (1u << quant->bits) - 1;
	struct fit fit = {.grid = {.low = (float)low, .max = max}};
	struct dist_fit sums;
	double spread;

	if (high > low)
		fit.grid.inverse = (float)(max / (high - low));
	quant->kernels->grid_fit(x, quant->dim, &fit.grid, &sums);
	fit.sum = sums.c;
	spread = sums.cc - fit.sum * fit.sum / n;
	if (spread > 0.0)
		fit.scale = (sums.cx - fit.sum * span->sum / n) / spread;
	fit.offset = (span->sum - fit.scale * fit.sum) / n;
	fit.explained = fit.offset * span->sum + fit.scale * sums.cx;
	if (fit.explained > best->explained)
		*best = fit;
}

/*
 * 8 bits: from the smallest number to the largest. 4 bits: the best of some narrower ranges, which
 * cut the largest numbers and are finer for the others, then fitted and rounded in turn.
 */
static struct fit choose_grid(const struct quant *quant, const float *x,
			      const struct dist_span *span)
{
	static const double shares[] = {1.0, 0.9, 0.8, 0.7};
	const double middle = ((double)span->min + span->max) / 2;
	const double half = ((double)span->max - span->min) / 2;
	struct fit best = {0};
	struct dist_grid last;

	if (quant->bits == 8) {
		try_range(quant, x, span, middle - half, middle + half, &best);
		return best;
	}
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++)
		try_range(quant, x, span, middle - half * shares[i], middle + half * shares[i],
			  &best);
	for (int round = 0; round < 2; round++) {
		last = best.grid;
		try_range(quant, x, span, best.offset, best.offset + 15 * best.scale, &best);
		if (last.low == best.grid.low && last.inverse == best.grid.inverse)
			break;
	}
	return best;
}

static void pack_nibbles(const uint8_t *bytes, size_t n, uint8_t *out)
{
	while (n > 0) {
		size_t group = n < 128 ? n : 128, half = group / 2;

		for (size_t i = 0; i < half; i++)
			out[i] = (uint8_t)(bytes[i] | bytes[half + i] << 4);
		out += half;
		bytes += group;
		n -= group;
	}
}

static void unpack_nibbles(const uint8_t *code, size_t n, int8_t *out)
{
	while (n > 0) {
		size_t group = n < 128 ? n : 128, half = group / 2;

		for (size_t i = 0; i < half; i++) {
			out[i] = (int8_t)(code[i] & 15);
			out[half + i] = (int8_t)(code[i] >> 4);
		}
		code += half;
		out += group;
		n -= group;
	}
}

static float in_range(double value)
{
	return (float)fmax(fmin(value, FLT_MAX), -FLT_MAX);
}

/* --- encoding, 1 and 2 bits --- */

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
	const double zero = low_zero(quant), n = quant->dim;
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

/* The turned vector x as a code, but for its term. */
static void encode_low(const struct quant *quant, const float *x, const struct dist_span *span,
		       float term, uint8_t *bytes, uint8_t *code_out)
{
	struct low_fit fit = choose_step(quant, x, span);
	float scale = fit.product > 0.0 ? in_range(span->sum_sq / fit.product) : 0.0f;

	quant->kernels->grid_codes(x, quant->dim, &fit.grid, bytes);
	memset(bytes + quant->dim, 0, quant->padded - quant->dim);
	pack_fields(bytes, quant->padded, quant->bits, code_out);
	put_u32(code_out + quant->code_bytes - LOW_TAIL_BYTES, upper_half(scale) | upper_half(term)
											   << 16);
}

/* --- encoding, all --- */

void quant_encode(const struct quant *quant, const float *vector, void *scratch, uint8_t *code_out)
{
	const uint32_t dim = quant->dim;
	float *x = scratch;
	uint8_t *bytes = quant->bits == 8 ? code_out : (uint8_t *)scratch + scratch_floats(quant);
	uint8_t *tail = code_out + quant->code_bytes - TAIL_BYTES;
	struct dist_span span;
	struct fit fit;
	double correction, term = 0.0;

	prepare(quant, vector, true, x);
	if (quant->metric != ANN_L2 && quant->centre != NULL)
		term = -quant->kernels->dot(quant->centre, x, dim);
	rotate_apply(&quant->rotate, x);
	quant->kernels->span(x, dim, &span);
	if (quant->metric == ANN_L2)
		term = span.sum_sq;
	if (is_low(quant)) {
		encode_low(quant, x, &span, in_range(term), bytes, code_out);
		return;
	}
	fit = choose_grid(quant, x, &span);
	quant->kernels->grid_codes(x, dim, &fit.grid, bytes);
	memset(bytes + dim, 0, quant->padded - dim);
	if (quant->bits == 4)
		pack_nibbles(bytes, quant->padded, code_out);
	correction = fit.explained > 0.0 ? span.sum_sq / fit.explained : 0.0;
	put_float(tail, in_range(fit.scale * correction));
	put_float(tail + 4, in_range(fit.offset * correction));
	put_float(tail + 8, in_range(term));
	put_float(tail + 12, (float)fit.sum);
}

/* --- queries --- */

int quant_query_init(struct quant_query *query, const struct quant *quant)
{
	*query = (struct quant_query){.quant = quant};
	query->values = mem_alloc_aligned(LINE, quant->padded);
	if (query->values == NULL)
		return ERR_NOMEM;
	memset(query->values, 0, quant->padded);
	return 0;
}

void quant_query_release(struct quant_query *query)
{
	mem_free(query->values);
	query->values = NULL;
}

/* What a dot product is subtracted from, and how often. */
static float metric_base(enum ann_metric metric)
{
	return metric == ANN_COSINE ? 1.0f : 0.0f;
}

static float metric_factor(enum ann_metric metric)
{
	return metric == ANN_L2 ? 2.0f : 1.0f;
}

/* From unsigned bytes to signed ones, QUERY_ZERO less. */
static void flip_zero(const uint8_t *bytes, size_t n, int8_t *values_out)
{
	for (size_t i = 0; i < n; i++)
		values_out[i] = (int8_t)(bytes[i] ^ QUERY_ZERO);
}

/* Rounds the rotated query to signed bytes v; *step_out, *sum_out: q ~ step * v, and its sum. */
static void round_query(const struct quant *quant, const float *x, const struct dist_span *span,
			int8_t *values, double *step_out, double *sum_out)
{
	const float largest = fmaxf(-span->min, span->max);
	struct dist_grid grid = {.low = -largest * QUERY_ZERO / 127, .max = 255};
	struct dist_fit sums;
	double product;

	*step_out = *sum_out = 0.0;
	grid.inverse = 127 / largest;
	if (!(largest > 0.0f) || !isfinite(grid.inverse) || !isfinite(grid.low)) {
		memset(values, 0, quant->padded);
		return;
	}
	quant->kernels->grid_fit(x, quant->dim, &grid, &sums);
	quant->kernels->grid_codes(x, quant->dim, &grid, (uint8_t *)values);
	flip_zero((const uint8_t *)values, quant->dim, values);
	product = sums.cx - (double)QUERY_ZERO * span->sum;
	*step_out = product > 0.0 ? span->sum_sq / product : 0.0;
	*sum_out = *step_out * (sums.c - (double)QUERY_ZERO * quant->dim);
}

void quant_query_set(struct quant_query *query, const float *vector, void *scratch)
{
	const struct quant *quant = query->quant;
	const float factor = metric_factor(quant->metric);
	float *x = scratch;
	struct dist_span span;
	double step, sum;

	prepare(quant, vector, quant->metric == ANN_L2, x);
	query->base = metric_base(quant->metric);
	if (quant->metric != ANN_L2 && quant->centre != NULL)
		query->base -= quant->kernels->dot(quant->centre, x, quant->dim);
	rotate_apply(&quant->rotate, x);
	quant->kernels->span(x, quant->dim, &span);
	if (quant->metric == ANN_L2)
		query->base = in_range(span.sum_sq);
	query->weight = quant->metric == ANN_L2 ? 1.0f : 0.0f;
	round_query(quant, x, &span, query->values, &step, &sum);
	query->step = in_range(factor * step);
	query->sum = in_range(factor * sum);
	query->shift = 0.0f;
}

/* From the signed values of a code of 1 or 2 bits, 2 (c - z), zero beyond dim. */
static void set_low_code(struct quant_query *query, const uint8_t *code)
{
	const struct quant *quant = query->quant;
	const struct tail tail = get_low_tail(quant, code);
	const uint32_t bits = quant->bits, width = 8 * bits, mask = (1u << bits) - 1;
	const float step = metric_factor(quant->metric) * tail.scale / 2;
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
	query->base = metric_base(quant->metric) + tail.term;
	if (quant->metric != ANN_L2)
		query->base -= quant->centre_sq;
	query->weight = 1.0f;
}

/* The code c of the other side is values + zero, so that y ~ (offset + zero * scale) + scale * v. */
void quant_query_set_code(struct quant_query *query, const uint8_t *code)
{
	const struct quant *quant = query->quant;
	const float factor = metric_factor(quant->metric), dim = (float)quant->dim;
	struct tail tail;
	float zero = 0.0f;

	if (is_low(quant)) {
		set_low_code(query, code);
		return;
	}
	tail = get_tail(quant, code);
	if (quant->bits == 8) {
		zero = QUERY_ZERO;
		flip_zero(code, quant->dim, query->values);
	} else {
		unpack_nibbles(code, quant->padded, query->values);
	}
	query->step = factor * tail.scale;
	query->shift = factor * (tail.offset + zero * tail.scale);
	query->sum = factor * (dim * tail.offset + tail.scale * tail.sum);
	query->base = metric_base(quant->metric) + tail.term;
	if (quant->metric != ANN_L2)
		query->base -= quant->centre_sq;
	query->weight = 1.0f;
}

/* --- distances --- */

static inline float finish(const struct quant_query *query, const struct tail *tail, int32_t dot)
{
	float product = tail->offset * query->sum +
			tail->scale * (query->shift * tail->sum + query->step * (float)dot);
	float distance = query->base + query->weight * tail->term - product;

	return distance <= FLT_MAX ? distance : FLT_MAX;
}

float quant_distance(const struct quant_query *query, const uint8_t *code)
{
	const struct quant *quant = query->quant;
	const struct dist_kernels *kernels = quant->kernels;
	const struct tail tail = is_low(quant) ? get_low_tail(quant, code) : get_tail(quant, code);

	switch (quant->bits) {
	case 1:
		return finish(query, &tail, kernels->dot_u1s8(code, query->values, quant->padded));
	case 2:
		return finish(query, &tail, kernels->dot_u2s8(code, query->values, quant->padded));
	case 4:
		return finish(query, &tail, kernels->dot_u4s8(code, query->values, quant->padded));
	default:
		return finish(query, &tail, kernels->dot_u8s8(code, query->values, quant->padded));
	}
}

/* Codes of 1 and 2 bits. Beyond dim both have 0, which stands for the smallest value. */
static float low_product(const struct quant *quant, const uint8_t *a, const uint8_t *b)
{
	const struct dist_kernels *kernels = quant->kernels;
	const int32_t beyond = (int32_t)(quant->padded - quant->dim);
	const int32_t dot = quant->bits == 1 ? kernels->dot_c1c1(a, b, quant->padded) - beyond :
					       kernels->dot_c2c2(a, b, quant->padded) - 9 * beyond;

	return get_low_tail(quant, a).scale * get_low_tail(quant, b).scale * (float)dot / 4;
}

static float high_product(const struct quant *quant, const uint8_t *a, const uint8_t *b)
{
	const struct tail u = get_tail(quant, a), v = get_tail(quant, b);
	float dot = quant->bits == 4 ? (float)quant->kernels->dot_u4u4(a, b, quant->padded) :
				       (float)quant->kernels->dot_u8u8(a, b, quant->padded);
	float cross = u.offset * (v.scale * v.sum) + v.offset * (u.scale * u.sum);

	return (float)quant->dim * (u.offset * v.offset) + cross + u.scale * v.scale * dot;
}

float quant_between(const struct quant *quant, const uint8_t *a, const uint8_t *b)
{
	const bool low = is_low(quant);
	const float term_a = low ? get_low_tail(quant, a).term : get_tail(quant, a).term;
	const float term_b = low ? get_low_tail(quant, b).term : get_tail(quant, b).term;
	float product = low ? low_product(quant, a, b) : high_product(quant, a, b);
	float distance = metric_base(quant->metric) + (term_a + term_b) -
			 metric_factor(quant->metric) * product;

	if (quant->metric != ANN_L2)
		distance -= quant->centre_sq;
	return distance <= FLT_MAX ? distance : FLT_MAX;
}

static inline void prefetch(const uint8_t *code, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += LINE)
		__builtin_prefetch(code + at, 0, 3);
	__builtin_prefetch(code + bytes - 1, 0, 3);
}

static inline void dots_of_4(const struct quant_query *query, const uint8_t *const four[4],
			     int32_t dots[4])
{
	const struct quant *quant = query->quant;
	const struct dist_kernels *kernels = quant->kernels;

	switch (quant->bits) {
	case 1:
		kernels->dot_u1s8_4(four, query->values, quant->padded, dots);
		return;
	case 2:
		kernels->dot_u2s8_4(four, query->values, quant->padded, dots);
		return;
	case 4:
		kernels->dot_u4s8_4(four, query->values, quant->padded, dots);
		return;
	default:
		kernels->dot_u8s8_4(four, query->values, quant->padded, dots);
		return;
	}
}

void quant_distances(const struct quant_query *query, const struct codes *codes,
		     const uint32_t *slots, size_t n, float *distances_out)
{
	const struct quant *quant = query->quant;
	const size_t bytes = quant->code_bytes, ahead = bytes <= 4 * LINE ? 8 : 4;
	const bool low = is_low(quant);
	size_t i = 0;

	for (size_t j = 0; j < ahead && j < n; j++)
		prefetch(codes_at(codes, slots[j]), bytes);
	for (; i + 4 <= n; i += 4) {
		const uint8_t *four[4];
		int32_t dots[4];

		for (size_t j = i + ahead; j < i + ahead + 4 && j < n; j++)
			prefetch(codes_at(codes, slots[j]), bytes);
		for (size_t j = 0; j < 4; j++)
			four[j] = codes_at(codes, slots[i + j]);
		dots_of_4(query, four, dots);
		for (size_t j = 0; j < 4; j++) {
			const struct tail tail = low ? get_low_tail(quant, four[j]) :
						       get_tail(quant, four[j]);

			distances_out[i + j] = finish(query, &tail, dots[j]);
		}
	}
	for (; i < n; i++)
		distances_out[i] = quant_distance(query, codes_at(codes, slots[i]));
}
