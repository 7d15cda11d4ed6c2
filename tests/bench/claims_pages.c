/*
 * claims_pages.c - the size of a page: what a vector takes in the file, and how long one random
 * vector takes out of a small cache whose pages come from the system's cache, or from the disk.
 */
#include "tests/bench/claims.h"

#include "store/mem.h"
#include "tests/bench/synth.h"
#include "tests/demo/progress.h"

#define DATA_BYTES (48u << 20)
#define READS_WARM 4000u
#define READS_DISK 400u
#define CACHE_BYTES (1u << 20)

/* Mean seconds to read one random vector. */
static double read_some(struct claims_store *s, uint32_t n, uint32_t reads, float *vector,
			uint64_t seed)
{
	double from = now();

	for (uint32_t i = 0; i < reads; i++) {
		char name[16];
		int len = snprintf(name, sizeof(name), "%u", (unsigned)(claims_random(&seed) % n));

		claims_must(store_get(s->store, name, (size_t)len, NULL, vector), "get");
	}
	return (now() - from) / reads;
}

static void one_size(FILE *out, uint32_t page_size, uint32_t dim, const float *vectors, uint32_t n)
{
	struct store_opts fill = {.cache_bytes = 256u << 20, .durability = WAL_LOG};
	struct store_opts small = {.cache_bytes = CACHE_BYTES, .read_only = true};
	double warm[99], disk[99], from, seconds;
	float *vector = claims_alloc(dim, sizeof(float));
	struct store_stats stats;
	struct claims_store s;

	claims_open(&s, "pages", page_size, dim, ANN_L2, &fill);
	from = now();
	for (uint32_t i = 0; i < n; i++)
		claims_put(&s, i, vectors + (size_t)i * dim, dim);
	claims_must(store_checkpoint(s.store), "checkpoint");
	seconds = now() - from;
	store_get_stats(s.store, &stats);
	claims_close(&s);
	for (unsigned r = 0; r < claims_rounds; r++) {
		claims_forget(s.path);
		claims_open(&s, "pages", 0, dim, ANN_L2, &small);
		disk[r] = read_some(&s, n, READS_DISK, vector, r + 1) * 1e6;
		(void)read_some(&s, n, READS_WARM, vector, r + 100);
		warm[r] = read_some(&s, n, READS_WARM, vector, r + 200) * 1e6;
		claims_close(&s);
	}
	fprintf(out, "| %u | %u KiB | %.3f | %.0f ", dim, page_size / 1024,
		(double)(stats.file_bytes - stats.free_bytes) / ((double)n * dim * sizeof(float)),
		n / seconds);
	claims_field(out, warm, claims_rounds, 1, "");
	claims_field(out, disk, claims_rounds, 0, "");
	fprintf(out, "|\n");
	fflush(out);
	mem_free(vector);
	claims_remove("pages");
}

void claims_pages(FILE *out)
{
	static const uint32_t dims[] = {128, 384, 784, 1536};

	fprintf(out,
		"## Claim: pages of 16 KiB suit vectors of 1,536 dimensions best\n\n"
		"Made vectors, %u MB of them, in a store with so large pages. Bytes of the file for "
		"each byte of vector; vectors a second until all are in the file; then one random "
		"vector by its id with a cache of 1 MiB, when the system holds the file, and from the "
		"disk. Median and range of %u rounds.\n\n"
		"| dimensions | page | file / vectors | puts/s | µs a vector, file in memory | "
		"µs a vector, from disk |\n|---|---|---|---|---|---|\n",
		DATA_BYTES >> 20, claims_rounds);
	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++) {
		uint32_t n = DATA_BYTES / (dims[d] * (uint32_t)sizeof(float));
		struct synth *synth = synth_new(dims[d], 100, 32);
		float *vectors = claims_alloc((size_t)n * dims[d], sizeof(float));

		claims_must(synth == NULL ? 1 : 0, "memory");
		synth_make(synth, 0, n, vectors);
		for (uint32_t page = FORMAT_PAGE_MIN; page <= FORMAT_PAGE_MAX; page *= 2)
			one_size(out, page, dims[d], vectors, n);
		synth_free(synth);
		mem_free(vectors);
	}
}
