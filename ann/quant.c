/*
 * quant.c - codes of vectors, and estimated distances to them and between them.
 *
 * With x' the vector relative to the centre m (l2: of both sides; else of the stored side alone):
 *   l2:  |x - y|^2 = |x'|^2 + |y'|^2 - 2 <x', y'>       term of a code: |x'|^2
 *   dot: <x, y> = <x', y'> + <m, x'> + <m, y'> + |m|^2  term of a code: -<m, x'>
 * The rotation keeps all of these. A code stores f * (offset + scale * c) with f = |x'|^2 / <^x, x'>,
 * where ^x is what the least squares fit decodes to: the error is then orthogonal to x'.
 * quant_low.c has what differs with 1 and 2 bits.
 */
#include "ann/quant.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "ann/quant_low.h"
#include "ann/scan.h"
#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define QUERY_ZERO 128 /* the byte that stands for 0 while a query is rounded */
#define LINE 64u       /* bytes of a cache line */

#define TAIL_BYTES 16u

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

static inline struct quant_tail get_tail(const struct quant *quant, const uint8_t *code)
{
	const uint8_t *at = code + quant->code_bytes - TAIL_BYTES;

	return (struct quant_tail){
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
	return padded_dim(dim, bits) * bits / 8 + (bits <= 2 ? QUANT_LOW_TAIL : TAIL_BYTES);
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

	return quant_is_low(quant) && error > 0.02 ? (size_t)((double)n * error / 0.02) : n;
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
	if (quant_is_low(quant)) {
		quant_low_encode(quant, x, &span, quant_in_range(term), bytes, code_out);
		return;
	}
	fit = choose_grid(quant, x, &span);
	quant->kernels->grid_codes(x, dim, &fit.grid, bytes);
	memset(bytes + dim, 0, quant->padded - dim);
	if (quant->bits == 4)
		pack_nibbles(bytes, quant->padded, code_out);
	correction = fit.explained > 0.0 ? span.sum_sq / fit.explained : 0.0;
	put_float(tail, quant_in_range(fit.scale * correction));
	put_float(tail + 4, quant_in_range(fit.offset * correction));
	put_float(tail + 8, quant_in_range(term));
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
		query->base = quant_in_range(span.sum_sq);
	query->weight = quant->metric == ANN_L2 ? 1.0f : 0.0f;
	round_query(quant, x, &span, query->values, &step, &sum);
	query->step = quant_in_range(factor * step);
	query->sum = quant_in_range(factor * sum);
	query->shift = 0.0f;
}

/* The code c of the other side is values + zero, so that y ~ (offset + zero * scale) + scale * v. */
void quant_query_set_code(struct quant_query *query, const uint8_t *code)
{
	const struct quant *quant = query->quant;
	const float factor = metric_factor(quant->metric), dim = (float)quant->dim;
	struct quant_tail tail;
	float zero = 0.0f;

	if (quant_is_low(quant)) {
		quant_low_values(query, code, factor);
		query->base = metric_base(quant->metric) + quant_low_tail(quant, code).term;
		if (quant->metric != ANN_L2)
			query->base -= quant->centre_sq;
		query->weight = 1.0f;
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

static inline float finish(const struct quant_query *query, const struct quant_tail *tail,
			   int32_t dot)
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
	const struct quant_tail tail = quant_is_low(quant) ? quant_low_tail(quant, code) :
							     get_tail(quant, code);

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

static float high_product(const struct quant *quant, const uint8_t *a, const uint8_t *b)
{
	const struct quant_tail u = get_tail(quant, a), v = get_tail(quant, b);
	float dot = quant->bits == 4 ? (float)quant->kernels->dot_u4u4(a, b, quant->padded) :
				       (float)quant->kernels->dot_u8u8(a, b, quant->padded);
	float cross = u.offset * (v.scale * v.sum) + v.offset * (u.scale * u.sum);

	return (float)quant->dim * (u.offset * v.offset) + cross + u.scale * v.scale * dot;
}

float quant_between(const struct quant *quant, const uint8_t *a, const uint8_t *b)
{
	const bool low = quant_is_low(quant);
	const float term_a = low ? quant_low_tail(quant, a).term : get_tail(quant, a).term;
	const float term_b = low ? quant_low_tail(quant, b).term : get_tail(quant, b).term;
	float product = low ? quant_low_product(quant, a, b) : high_product(quant, a, b);
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
	const bool low = quant_is_low(quant);
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
			const struct quant_tail tail = low ? quant_low_tail(quant, four[j]) :
							     get_tail(quant, four[j]);

			distances_out[i + j] = finish(query, &tail, dots[j]);
		}
	}
	for (; i < n; i++)
		distances_out[i] = quant_distance(query, codes_at(codes, slots[i]));
}
