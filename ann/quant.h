/*
 * quant.h - short codes of vectors that steer a search, and where they lie in memory.
 *
 * A vector is rotated (rotate.h, seed kept in the store), so that its coordinates look alike
 * whatever the data, then each is rounded to B bits between per-vector bounds: x ~ offset + scale *
 * c. No training: a code depends on its vector, the seed and the centre alone. The estimate of a dot
 * product is corrected to be unbiased, as in (extended) RaBitQ: Gao and Long, SIGMOD 2024, section
 * 3.2; Gao et al., SIGMOD 2025; the per-vector bounds are those of LVQ: Aguerrebere et al., VLDB
 * 2023, section 3.
 *
 * Code: dim rounded up to 16 (8 bits), 32 (4) or 64 (2 and 1) coordinates packed as dist.h says,
 * those beyond dim zero; then, with 4 and 8 bits, four little-endian float32: scale, offset, a term
 * of the metric, the sum of the c. With 1 and 2 bits the upper halves of two: scale and term; offset
 * is -scale / 2 or -1.5 scale. 784 dimensions are 108, 212, 416 or 800 bytes.
 *
 * Error of an estimated dot product of x and y, both relative to the centre where that applies, is
 * about |x| |y| / sqrt(dim) times 0.76 (1 bit), 0.37 (2), 0.1 (4) or 0.01 (8), the standard
 * deviation, without bias. Between two codes 1.4 times that (1 bit: 1.7 times). It is not without
 * bias for a pair of codes nearer than about 0.05 |x| (4 bits; with fewer much farther): rounding
 * errors are then alike, the estimate comes out too near, and an estimated squared distance can be a
 * little below 0. Order by distance is kept.
 * Squares of l2 distances beyond the range of float32 are FLT_MAX; no result is NaN.
 */
#ifndef VECFS_ANN_QUANT_H
#define VECFS_ANN_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/ann.h"
#include "ann/dist.h"
#include "ann/rotate.h"
#include "store/tables.h"

/* Immutable after quant_init and quant_set_centre; shared by all threads. */
struct quant {
	enum ann_metric metric;
	uint32_t dim;	 /* of the vectors */
	uint32_t padded; /* coordinates of a code: dim rounded up to 16 (8 bits), 32 (4) or 64 */
	uint32_t bits;	 /* 1, 2, 4 or 8 */
	uint32_t code_bytes; /* of one code with its floats, a multiple of 4 */
	const struct dist_kernels *kernels;
	struct rotate rotate;
	float *centre;	 /* owned: dim numbers, or NULL for none */
	float centre_sq; /* its length, squared */
};

/* Whether codes of so many bits a dimension exist, and the bytes of one. */
bool quant_bits_valid(uint32_t bits);
uint32_t quant_code_bytes(uint32_t dim, uint32_t bits);

/* ERR_NOMEM; ERR_INVALID for bits other than these, and a dim of 0 or above ANN_DIM_MAX. */
int quant_init(struct quant *quant, enum ann_metric metric, uint32_t dim, uint32_t bits,
	       uint64_t seed);
void quant_release(struct quant *quant);
/*
 * Optional: codes are then of the differences to this point (dim numbers, copied; under cosine a
 * mean of normalised vectors), and the error shrinks with their lengths. A mean of some hundred
 * vectors will do; any finite point is right. Before the first code; codes made with another centre
 * mean nothing. ERR_NOMEM.
 */
int quant_set_centre(struct quant *quant, const float *centre);

/*
 * How many of the nearest by code to look at, instead of the n that 4 bits need, so that about as
 * many of the true neighbours are among them: n with 4 and 8 bits, more with fewer and short vectors.
 */
size_t quant_widen(const struct quant *quant, size_t n);

/* Bytes of scratch (64-byte aligned) that encode and the query functions below need. */
size_t quant_scratch_bytes(const struct quant *quant);
/* code_out: code_bytes. Under cosine the vector is normalised first. */
void quant_encode(const struct quant *quant, const float *vector, void *scratch, uint8_t *code_out);

/*
 * One side of a comparison, in the form the kernels want. Reusable, one per thread. With v the
 * values, the distance to a code c is:
 *   base + weight * term - offset * sum - scale * (shift * (sum of c) + step * <c, v>)
 */
struct quant_query {
	const struct quant *quant;
	int8_t *values; /* owned, padded bytes, 64-byte aligned, zero beyond dim */
	float step;
	float shift;
	float sum;
	float base;
	float weight;
};
int quant_query_init(struct quant_query *query, const struct quant *quant);
void quant_query_release(struct quant_query *query);
void quant_query_set(struct quant_query *query, const float *vector, void *scratch);
/* From a stored code, as if from its decoded vector: for building the graph. */
void quant_query_set_code(struct quant_query *query, const uint8_t *code);

/*
 * Estimated distance in the form that orders: l2 squared, 1 - cos, or -dot. Smaller is nearer.
 */
float quant_distance(const struct quant_query *query, const uint8_t *code);
/* Between two stored codes, same form; symmetric, and as quant_query_set_code, up to rounding. */
float quant_between(const struct quant *quant, const uint8_t *a, const uint8_t *b);

/* --- the arena: code of slot s, in RAM, chunked so that it grows without moving --- */

#define CODES_CHUNK TABLE_CHUNK

struct codes {
	uint32_t code_bytes;
	uint32_t stride; /* code_bytes rounded up to 4; keeps memory small rather than aligned */
	_Atomic(uint8_t *) *chunks; /* TABLE_CHUNKS pointers, NULL where not grown; 2 MiB pages */
	_Atomic uint32_t cap;	    /* slots below this have room */
	_Atomic uint32_t used;	    /* slots from this on were never written: codes_use */
};
int codes_init(struct codes *codes, uint32_t code_bytes);
void codes_release(struct codes *codes);
/* Makes room for slots below n. Callers serialise; readers go on. ERR_NOMEM. */
int codes_grow(struct codes *codes, uint32_t n);
/* To be called before the code of `slot` is written, for codes_bytes. Any thread; room exists. */
void codes_use(struct codes *codes, uint32_t slot);
/* Room for slot must exist. */
static inline uint8_t *codes_at(const struct codes *codes, uint32_t slot)
{
	uint8_t *chunk = __atomic_load_n((uint8_t **)&codes->chunks[slot / CODES_CHUNK],
					 __ATOMIC_ACQUIRE);

	return chunk + (size_t)(slot % CODES_CHUNK) * codes->stride;
}
/*
 * Memory that the codes take: of the slots up to the last one used, in whole pages of the system. Room
 * behind them is address space alone. (Where the system gives huge pages, the last one may reach up to
 * 2 MiB further.)
 */
uint64_t codes_bytes(const struct codes *codes);

/*
 * Distances from the query to the codes of n slots, prefetching ahead. distances_out: n floats.
 */
void quant_distances(const struct quant_query *query, const struct codes *codes,
		     const uint32_t *slots, size_t n, float *distances_out);

#endif
