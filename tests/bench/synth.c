/*
 * synth.c - vector = centre + directions * z + noise, with z and noise nearly normal: sums of eight
 * uniform numbers.
 *
 * The spreads are chosen so that 1,000,000 vectors of 128 dimensions are about as hard to search as
 * descriptors of images are: local intrinsic dimension 15, mean distance 2.5 times that of the
 * nearest.
 */
#include "tests/bench/synth.h"

#include <pthread.h>
#include <string.h>

#include "ann/workers.h"
#include "store/mem.h"

#define CENTRE_SPREAD 1.0f
#define STRONG_SPREAD 0.35f /* of the first direction; each next one is shorter */
#define STRONG_DECAY 0.2f
#define NOISE_SPREAD 0.38f
#define THREADS_MAX 64u

struct synth {
	uint32_t dim, clusters, rank;
	float *centres;	   /* clusters * dim */
	float *directions; /* clusters * rank * dim */
};

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Mean 0, variance 1. */
static float nearly_normal(uint64_t *state)
{
	uint64_t a = next_random(state), b = next_random(state);
	int32_t sum = 0;

	for (int i = 0; i < 64; i += 16)
		sum += (int32_t)(a >> i & 0xffff) + (int32_t)(b >> i & 0xffff);
	/* eight numbers of 0 ... 65535: variance 8 * 65536^2 / 12 */
	return ((float)sum - 262140.0f) * (1.0f / 53509.89f);
}

static void fill(float *out, size_t n, float spread, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		out[i] = nearly_normal(&seed) * spread;
}

struct synth *synth_new(uint32_t dim, uint32_t clusters, uint32_t rank)
{
	struct synth *synth = mem_zalloc(1, sizeof(*synth));

	if (synth == NULL)
		return NULL;
	synth->dim = dim;
	synth->clusters = clusters;
	synth->rank = rank;
	synth->centres = mem_zalloc((size_t)clusters * dim, sizeof(float));
	synth->directions = mem_zalloc((size_t)clusters * rank * dim, sizeof(float));
	if (synth->centres == NULL || synth->directions == NULL) {
		synth_free(synth);
		return NULL;
	}
	fill(synth->centres, (size_t)clusters * dim, CENTRE_SPREAD, 1);
	fill(synth->directions, (size_t)clusters * rank * dim, STRONG_SPREAD, 2);
	return synth;
}

void synth_free(struct synth *synth)
{
	if (synth == NULL)
		return;
	mem_free(synth->centres);
	mem_free(synth->directions);
	mem_free(synth);
}

static void make_one(const struct synth *synth, uint64_t number, float *out)
{
	uint64_t state = number * 0xd1342543de82ef95u + 3;
	uint32_t cluster = (uint32_t)(next_random(&state) % synth->clusters);
	const float *direction = synth->directions + (size_t)cluster * synth->rank * synth->dim;

	memcpy(out, synth->centres + (size_t)cluster * synth->dim, synth->dim * sizeof(*out));
	for (uint32_t i = 0; i < synth->rank; i++, direction += synth->dim) {
		float z = nearly_normal(&state) / (1.0f + STRONG_DECAY * (float)i);

		for (uint32_t j = 0; j < synth->dim; j++)
			out[j] += z * direction[j];
	}
	for (uint32_t j = 0; j < synth->dim; j++)
		out[j] += nearly_normal(&state) * NOISE_SPREAD;
}

struct share {
	const struct synth *synth;
	uint64_t first;
	size_t n;
	float *out;
};

static void *make_share(void *ctx)
{
	struct share *share = ctx;

	for (size_t i = 0; i < share->n; i++)
		make_one(share->synth, share->first + i, share->out + i * share->synth->dim);
	return NULL;
}

void synth_make(const struct synth *synth, uint64_t first, size_t n, float *out)
{
	struct share shares[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	uint32_t cores = workers_cores(), started = 0;

	cores = cores < THREADS_MAX ? cores : THREADS_MAX;
	for (uint32_t i = 0; i < cores; i++) {
		size_t from = n * i / cores, end = n * (i + 1) / cores;

		shares[i] = (struct share){synth, first + from, end - from,
					   out + from * synth->dim};
		if (i == started && i + 1 < cores &&
		    pthread_create(&threads[i], NULL, make_share, &shares[i]) == 0)
			started++;
		else
			(void)make_share(&shares[i]);
	}
	for (uint32_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}
