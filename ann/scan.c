/*
 * scan.c - exact distances of full vectors.
 *
 * Float32 sums are trusted where squares of numbers that matter neither overflow nor vanish: that
 * is decided by the squared lengths (or the sum itself), TRUST_LOW ... TRUST_HIGH. Nor are they
 * where a cosine is so near 1 that their rounding is more than what is left of the distance.
 */
#include "ann/scan.h"

#include <math.h>

#define TRUST_LOW 1e-25
#define TRUST_HIGH 1e37
#define NEAR 1e-3  /* a cosine distance below this is computed in double */
#define PART 2048u /* numbers summed in float32 before the sum goes on in double */

static bool trusted(double square)
{
	return square >= TRUST_LOW && square <= TRUST_HIGH;
}

static double sum_parts(float (*kernel)(const float *a, const float *b, size_t n), const float *a,
			const float *b, size_t dim)
{
	double sum = 0.0;

	for (size_t i = 0; i < dim; i += PART)
		sum += (double)kernel(a + i, b + i, dim - i < PART ? dim - i : PART);
	return sum;
}

static double double_dot(const float *a, const float *b, size_t dim)
{
	double sum = 0.0;

	for (size_t i = 0; i < dim; i++)
		sum += (double)a[i] * b[i];
	return sum;
}

static double double_l2sq(const float *a, const float *b, size_t dim)
{
	double sum = 0.0;

	for (size_t i = 0; i < dim; i++) {
		double d = (double)a[i] - b[i];

		sum += d * d;
	}
	return sum;
}

double scan_norm_sq(const struct dist_kernels *kernels, const float *a, size_t dim)
{
	double sum = sum_parts(kernels->dot, a, a, dim);

	return trusted(sum) ? sum : double_dot(a, a, dim);
}

static double cosine_distance(double dot, double a_sq, double b_sq)
{
	return fmin(fmax(1.0 - dot / sqrt(a_sq * b_sq), 0.0), 2.0);
}

/* Of vectors with lengths. */
static double double_cosine(const float *a, const float *b, size_t dim)
{
	return cosine_distance(double_dot(a, b, dim), double_dot(a, a, dim), double_dot(b, b, dim));
}

/* With lengths computed as the product is, so that equal vectors have exactly 0. */
static double cosine(const struct dist_kernels *kernels, const float *a, double a_sq,
		     const float *b, size_t dim)
{
	double b_sq = scan_norm_sq(kernels, b, dim), distance;

	if (a_sq < 0.0)
		a_sq = scan_norm_sq(kernels, a, dim);
	if (a_sq == 0.0 || b_sq == 0.0)
		return 1.0;
	if (!trusted(a_sq) || !trusted(b_sq))
		return double_cosine(a, b, dim);
	distance = cosine_distance(sum_parts(kernels->dot, a, b, dim), a_sq, b_sq);
	return distance < NEAR ? double_cosine(a, b, dim) : distance;
}

double ann_exact_distance(const struct dist_kernels *kernels, enum ann_metric metric,
			  const float *a, double a_norm_sq, const float *b, size_t dim)
{
	double sum;

	switch (metric) {
	case ANN_L2:
		sum = sum_parts(kernels->l2sq, a, b, dim);
		return sqrt(trusted(sum) ? sum : double_l2sq(a, b, dim));
	case ANN_IP:
		sum = sum_parts(kernels->dot, a, b, dim);
		return -(isfinite(sum) ? sum : double_dot(a, b, dim));
	case ANN_COSINE:
		break;
	}
	return cosine(kernels, a, a_norm_sq, b, dim);
}

/* --- blocks --- */

/* The ordering form of one pair, when float32 may not be trusted with it. */
static float careful(const struct dist_kernels *kernels, enum ann_metric metric, const float *a,
		     const float *b, size_t dim)
{
	double distance = ann_exact_distance(kernels, metric, a, -1.0, b, dim);

	return (float)(metric == ANN_L2 ? distance * distance : distance);
}

struct block {
	const struct dist_kernels *kernels;
	enum ann_metric metric;
	const float *queries;
	const float *query_norms;
	size_t dim;
};

/* From the sum a kernel gave for query q and this vector. */
static float finish(const struct block *block, size_t q, const float *vector, float vector_norm,
		    float sum)
{
	const float *query = block->queries + q * block->dim;
	float distance = block->metric == ANN_L2 ? sum : -sum;

	if (block->metric == ANN_COSINE) {
		float norm = block->query_norms[q];

		if (!trusted((double)norm * norm) || !trusted((double)vector_norm * vector_norm))
			return careful(block->kernels, ANN_COSINE, query, vector, block->dim);
		distance = 1.0f - sum / (norm * vector_norm);
		if (distance < (float)NEAR)
			return (float)double_cosine(query, vector, block->dim);
	}
	if (!isfinite(distance))
		return careful(block->kernels, block->metric, query, vector, block->dim);
	return distance;
}

/* Queries first ... first + n - 1, at most 4, against one vector. */
static void scan_four(const struct block *block, size_t first, size_t n, const float *vector,
		      float sums_out[4])
{
	const struct dist_kernels *kernels = block->kernels;
	const float *at = block->queries + first * block->dim;
	bool l2 = block->metric == ANN_L2;

	if (n == 4) {
		const float *four[4] = {at, at + block->dim, at + 2 * block->dim,
					at + 3 * block->dim};

		(l2 ? kernels->l2sq_4 : kernels->dot_4)(four, vector, block->dim, sums_out);
		return;
	}
	for (size_t i = 0; i < n; i++)
		sums_out[i] = (l2 ? kernels->l2sq : kernels->dot)(at + i * block->dim, vector,
								  block->dim);
}

void scan_block(const struct dist_kernels *kernels, enum ann_metric metric, const float *queries,
		const float *query_norms, size_t n_queries, const float *const *vectors,
		size_t n_vectors, size_t dim, float *out)
{
	const struct block block = {kernels, metric, queries, query_norms, dim};
	float norms[SCAN_BLOCK] = {0};

	/* Four queries stay in the first level of cache while the vectors pass. */
	for (size_t q = 0; q < n_queries; q += 4) {
		size_t n = n_queries - q < 4 ? n_queries - q : 4;

		for (size_t v = 0; v < n_vectors; v++) {
			float sums[4];

			if (q == 0 && metric == ANN_COSINE)
				norms[v] = (float)sqrt(scan_norm_sq(kernels, vectors[v], dim));
			scan_four(&block, q, n, vectors[v], sums);
			for (size_t i = 0; i < n; i++)
				out[(q + i) * n_vectors + v] = finish(&block, q + i, vectors[v],
								      norms[v], sums[i]);
		}
	}
}
