/*
 * dataset.c - reading or making the sets, and the file of their truth: "TRUTH1", a newline, then
 * n, n_queries, DATASET_K and a sum over the vectors as 64-bit numbers of this machine, the rows,
 * the distances.
 */
#include "tests/bench/dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ann/dist.h"
#include "store/base.h"
#include "store/mem.h"
#include "tests/bench/nearest.h"
#include "tests/bench/synth.h"
#include "tests/demo/idx.h"

#define FASHION "/usr/share/datasets/fashion-mnist"
#define SYNTH_ROWS 1000000u
#define SYNTH_QUERIES 5000u
#define SYNTH_DIM 128u
#define SYNTH_CLUSTERS 1000u
#define SYNTH_RANK 32u

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	return -1;
}

/* --- the sets --- */

static int take_images(const char *name, size_t most, float **out, size_t *n_out, uint32_t *dim_out)
{
	struct idx idx = {0};
	int result = idx_read(FASHION, name, &idx);

	if (result == 0) {
		*n_out = most > 0 && most < idx.count ? most : idx.count;
		*dim_out = (uint32_t)idx.size;
		*out = mem_zalloc(*n_out * idx.size, sizeof(float));
		if (*out == NULL)
			result = complain(name, "memory is short");
	}
	for (size_t i = 0; result == 0 && i < *n_out; i++)
		idx_floats(&idx, i, *out + i * idx.size);
	idx_release(&idx);
	return result;
}

static int load_fashion(struct dataset *set, size_t most)
{
	if (access(FASHION, R_OK) != 0) {
		(void)complain("fashion", "skipped: install dataset-fashion-mnist (scripts/setup)");
		return 1;
	}
	set->metric = ANN_L2;
	if (take_images("train-images-idx3-ubyte.gz", most, &set->base, &set->n, &set->dim) != 0)
		return -1;
	return take_images("t10k-images-idx3-ubyte.gz", 0, &set->queries, &set->n_queries,
			   &set->dim);
}

/* Each vector: its dimension as a 32-bit number, then the floats, all little-endian. */
static int read_fvecs(const char *path, size_t most, float **out, size_t *n_out, uint32_t *dim_out)
{
	FILE *file = fopen(path, "rb");
	size_t cap = 0, n = 0;
	uint8_t word[4];
	int result = 0;

	if (file == NULL)
		return complain(path, "cannot be read");
	while (result == 0 && (most == 0 || n < most) && fread(word, 1, 4, file) == 4) {
		if (n == 0)
			*dim_out = get_u32(word);
		if (get_u32(word) != *dim_out || *dim_out == 0 || *dim_out > ANN_DIM_MAX)
			result = complain(path, "is no file of vectors of one dimension");
		else if (mem_grow((void **)out, &cap, n + 1, *dim_out * sizeof(float)) != 0)
			result = complain(path, "memory is short");
		else if (fread(*out + n * *dim_out, sizeof(float), *dim_out, file) != *dim_out)
			result = complain(path, "ends within a vector");
		n++;
	}
	fclose(file);
	*n_out = n;
	return result;
}

static void normalize(float *vectors, size_t n, uint32_t dim)
{
	for (size_t i = 0; i < n; i++) {
		float *v = vectors + i * dim;
		float length = sqrtf(dist_kernels()->dot(v, v, dim));

		for (uint32_t j = 0; j < dim && length > 0; j++)
			v[j] /= length;
	}
}

static int load_glove(struct dataset *set, const char *folder, size_t most)
{
	char base[4096], queries[4096];

	snprintf(base, sizeof(base), "%s/glove.fvecs", folder);
	snprintf(queries, sizeof(queries), "%s/glove-queries.fvecs", folder);
	if (access(base, R_OK) != 0 || access(queries, R_OK) != 0) {
		(void)complain("glove", "skipped: there is no glove.fvecs (scripts/glove-vectors)");
		return 1;
	}
	set->metric = ANN_COSINE;
	if (read_fvecs(base, most, &set->base, &set->n, &set->dim) != 0 ||
	    read_fvecs(queries, 0, &set->queries, &set->n_queries, &set->dim) != 0)
		return -1;
	normalize(set->base, set->n, set->dim);
	normalize(set->queries, set->n_queries, set->dim);
	return 0;
}

static int load_synth(struct dataset *set, size_t most)
{
	struct synth *synth = synth_new(SYNTH_DIM, SYNTH_CLUSTERS, SYNTH_RANK);

	set->metric = ANN_L2;
	set->dim = SYNTH_DIM;
	set->n = most > 0 ? most : SYNTH_ROWS;
	set->n_queries = SYNTH_QUERIES;
	set->base = mem_zalloc(set->n, SYNTH_DIM * sizeof(float));
	set->queries = mem_zalloc(set->n_queries, SYNTH_DIM * sizeof(float));
	if (synth == NULL || set->base == NULL || set->queries == NULL) {
		synth_free(synth);
		return complain("synth", "memory is short");
	}
	/* Queries are vectors like the others, of numbers that no row has. */
	synth_make(synth, 0, set->n, set->base);
	synth_make(synth, 1ull << 32, set->n_queries, set->queries);
	synth_free(synth);
	return 0;
}

/* --- the truth --- */

struct truth_head {
	char magic[8];
	uint64_t n, n_queries, k, sum;
};

static uint64_t sum_of(const struct dataset *set)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < set->n * set->dim; i += 61) {
		uint32_t bits;

		memcpy(&bits, set->base + i, sizeof(bits));
		sum = sum * 0x100000001b3u + bits;
	}
	return sum;
}

static struct nearest_task task_of(const struct dataset *set)
{
	return (struct nearest_task){.base = set->base,
				     .queries = set->queries,
				     .dim = set->dim,
				     .n = set->n,
				     .n_queries = set->n_queries,
				     .product = set->metric != ANN_L2,
				     .k = DATASET_K,
				     .label = "exact neighbours"};
}

static bool read_truth(const char *path, const struct truth_head *head, struct dataset *set,
		       float *distances)
{
	size_t count = set->n_queries * DATASET_K;
	FILE *file = fopen(path, "rb");
	struct truth_head found;
	bool good;

	if (file == NULL)
		return false;
	good = fread(&found, sizeof(found), 1, file) == 1 &&
	       memcmp(&found, head, sizeof(found)) == 0 &&
	       fread(set->truth, sizeof(*set->truth), count, file) == count &&
	       fread(distances, sizeof(*distances), count, file) == count;
	fclose(file);
	return good;
}

static int write_truth(const char *path, const struct truth_head *head, const struct dataset *set,
		       const float *distances)
{
	size_t count = set->n_queries * DATASET_K;
	FILE *file = fopen(path, "wb");
	bool good;

	if (file == NULL)
		return complain(path, "cannot be written");
	good = fwrite(head, sizeof(*head), 1, file) == 1 &&
	       fwrite(set->truth, sizeof(*set->truth), count, file) == count &&
	       fwrite(distances, sizeof(*distances), count, file) == count;
	good = fclose(file) == 0 && good;
	return good ? 0 : complain(path, "cannot be written");
}

static int take_truth(struct dataset *set, const char *folder)
{
	struct truth_head head = {"TRUTH1\n", set->n, set->n_queries, DATASET_K, sum_of(set)};
	struct nearest_task task = task_of(set);
	size_t count = set->n_queries * DATASET_K;
	float *distances = mem_zalloc(count, sizeof(*distances));
	char path[4096];
	int result = 0;

	set->truth = mem_zalloc(count, sizeof(*set->truth));
	set->reach = mem_zalloc(set->n_queries, sizeof(*set->reach));
	if (distances == NULL || set->truth == NULL || set->reach == NULL) {
		mem_free(distances);
		return complain(set->name, "memory is short");
	}
	snprintf(path, sizeof(path), "%s/%s-%zu.truth", folder, set->name, set->n);
	if (!read_truth(path, &head, set, distances)) {
		result = nearest_find(&task, set->truth, distances);
		if (result == 0)
			result = write_truth(path, &head, set, distances);
	}
	for (size_t q = 0; q < set->n_queries; q++)
		set->reach[q] = distances[q * DATASET_K + DATASET_K - 1];
	mem_free(distances);
	return result;
}

int dataset_load(const char *name, const char *folder, size_t most, struct dataset *set)
{
	int result;

	memset(set, 0, sizeof(*set));
	set->name = name;
	if (strcmp(name, "fashion") == 0)
		result = load_fashion(set, most);
	else if (strcmp(name, "glove") == 0)
		result = load_glove(set, folder, most);
	else if (strcmp(name, "synth") == 0)
		result = load_synth(set, most);
	else
		result = complain(name, "is none of fashion, glove, synth");
	if (result == 0 && set->n < DATASET_K)
		result = complain(name, "has too few vectors");
	return result != 0 ? result : take_truth(set, folder);
}

void dataset_release(struct dataset *set)
{
	mem_free(set->base);
	mem_free(set->queries);
	mem_free(set->truth);
	mem_free(set->reach);
	memset(set, 0, sizeof(*set));
}

bool dataset_is_near(const struct dataset *set, size_t q, uint32_t row)
{
	struct nearest_task task = task_of(set);
	float distance;

	for (uint32_t i = 0; i < DATASET_K; i++)
		if (set->truth[q * DATASET_K + i] == row)
			return true;
	if (set->base == NULL)
		return false;
	/* Kernels differ in the last bits of a sum. */
	distance = nearest_distance(&task, set->queries + q * set->dim, row);
	return distance <= set->reach[q] + 1e-6f * fabsf(set->reach[q]);
}
