/*
 * rotate.c - random rotation by Hadamard transforms on windows.
 */
#include "ann/rotate.h"

#include <math.h>

#include "store/err.h"
#include "store/mem.h"

/*
 * Steps when one window covers the vector, and otherwise. Two already give codes of pictures as good
 * as any number; these also spread vectors with one coordinate.
 */
#define STEPS_WHOLE 3u
#define STEPS_PARTS 4u

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t next_bits(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int rotate_init(struct rotate *rotate, uint32_t dim, uint64_t seed,
		const struct dist_kernels *kernels)
{
	uint64_t bits = 0;
	size_t n;
	float factor;

	*rotate = (struct rotate){.kernels = kernels, .dim = dim, .window = 1};
	while (rotate->window <= dim / 2)
		rotate->window *= 2;
	rotate->steps = rotate->window == dim ? STEPS_WHOLE : STEPS_PARTS;
	n = (size_t)rotate->steps * rotate->window;
	rotate->factors = mem_alloc_aligned(64, n * sizeof(*rotate->factors));
	if (rotate->factors == NULL)
		return ERR_NOMEM;
	factor = (float)(1.0 / sqrt((double)rotate->window));
	for (size_t i = 0; i < n; i++) {
		if (i % 64 == 0)
			bits = next_bits(&seed);
		rotate->factors[i] = (bits >> i % 64 & 1) != 0 ? -factor : factor;
	}
	return 0;
}

void rotate_release(struct rotate *rotate)
{
	mem_free(rotate->factors);
	*rotate = (struct rotate){0};
}

void rotate_apply(const struct rotate *rotate, float *vector)
{
	const uint32_t dim = rotate->dim, window = rotate->window;

	for (uint32_t step = 0; step < rotate->steps; step++) {
		float *start = step % 2 == 0 ? vector : vector + (dim - window);

		rotate->kernels->hadamard(start, rotate->factors + (size_t)step * window, window);
		if (window < dim && step + 1 < rotate->steps)
			rotate->kernels->butterfly(vector, vector + (dim - dim / 2), dim / 2);
	}
}
