/*
 * codes.c - the arena of codes: chunks of reserved address space that cost memory where touched.
 *
 * Invariants: 1. a chunk, once published, stays in place until codes_release; 2. every slot below
 * cap lies in a published chunk; 3. used <= cap, and no slot from used on was written.
 */
#include "ann/quant.h"

#include <stdatomic.h>

#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define CHUNKS TABLE_CHUNKS

int codes_init(struct codes *codes, uint32_t code_bytes)
{
	codes->code_bytes = code_bytes;
	codes->stride = (uint32_t)round_up(code_bytes, 4);
	atomic_init(&codes->cap, 0);
	atomic_init(&codes->used, 0);
	codes->chunks = mem_zalloc(CHUNKS, sizeof(*codes->chunks));
	return codes->chunks == NULL ? ERR_NOMEM : 0;
}

static size_t chunk_bytes(const struct codes *codes)
{
	return (size_t)CODES_CHUNK * codes->stride;
}

void codes_release(struct codes *codes)
{
	if (codes->chunks != NULL)
		for (size_t i = 0; i < CHUNKS && codes->chunks[i] != NULL; i++)
			mem_unreserve(codes->chunks[i], chunk_bytes(codes));
	mem_free(codes->chunks);
	codes->chunks = NULL;
	atomic_store(&codes->cap, 0);
	atomic_store(&codes->used, 0);
}

int codes_grow(struct codes *codes, uint32_t n)
{
	if (n <= atomic_load_explicit(&codes->cap, memory_order_relaxed))
		return 0;
	for (uint32_t i = 0; i <= (n - 1) / CODES_CHUNK; i++) {
		uint8_t *chunk;

		if (atomic_load_explicit(&codes->chunks[i], memory_order_relaxed) != NULL)
			continue;
		chunk = mem_reserve(chunk_bytes(codes), true);
		if (chunk == NULL)
			return ERR_NOMEM;
		atomic_store_explicit(&codes->chunks[i], chunk, memory_order_release);
	}
	atomic_store_explicit(&codes->cap, n, memory_order_release);
	return 0;
}

void codes_use(struct codes *codes, uint32_t slot)
{
	uint32_t used = atomic_load_explicit(&codes->used, memory_order_relaxed);

	while (slot >= used &&
	       !atomic_compare_exchange_weak_explicit(&codes->used, &used, slot + 1,
						      memory_order_relaxed, memory_order_relaxed))
		continue;
}

uint64_t codes_bytes(const struct codes *codes)
{
	uint64_t slots = atomic_load_explicit(&codes->used, memory_order_relaxed);

	return slots / CODES_CHUNK * mem_touched(chunk_bytes(codes)) +
	       mem_touched((size_t)(slots % CODES_CHUNK) * codes->stride);
}
