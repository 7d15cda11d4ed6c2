/*
 * nodes_mem.c - node records in plain memory, for bulk builds and unit tests.
 *
 * Chunks of records are reserved as they are first changed and never move, so that readers need no
 * lock.
 */
#include "ann/nodes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "store/err.h"
#include "store/mem.h"

#define CHUNK_SLOTS 65536u
#define CHUNKS 65536u

struct nodes_mem {
	struct ann_nodes base;
	size_t words;	      /* of a record */
	uint32_t *unwritten;  /* a record without links */
	pthread_mutex_t lock; /* for adding chunks */
	_Atomic(uint32_t *) *chunks;
	const float *vectors; /* not owned; NULL for none */
	uint32_t dim;
};

static struct nodes_mem *self_of(struct ann_nodes *nodes)
{
	return (struct nodes_mem *)nodes;
}

static size_t chunk_bytes(const struct nodes_mem *self)
{
	return self->words * CHUNK_SLOTS * sizeof(uint32_t);
}

static uint32_t *chunk_of(struct nodes_mem *self, uint32_t slot)
{
	return atomic_load_explicit(&self->chunks[slot / CHUNK_SLOTS], memory_order_acquire);
}

static int nodes_mem_read(struct ann_nodes *nodes, uint32_t slot, const uint32_t **record_out)
{
	struct nodes_mem *self = self_of(nodes);
	uint32_t *chunk = chunk_of(self, slot);

	*record_out = chunk != NULL ? chunk + slot % CHUNK_SLOTS * self->words : self->unwritten;
	return 0;
}

static int nodes_mem_change(struct ann_nodes *nodes, uint32_t slot, uint32_t **record_out)
{
	struct nodes_mem *self = self_of(nodes);
	uint32_t *chunk = chunk_of(self, slot);

	*record_out = NULL;
	if (chunk == NULL) {
		pthread_mutex_lock(&self->lock);
		chunk = chunk_of(self, slot);
		if (chunk == NULL) {
			chunk = mem_reserve(chunk_bytes(self), true);
			atomic_store_explicit(&self->chunks[slot / CHUNK_SLOTS], chunk,
					      memory_order_release);
		}
		pthread_mutex_unlock(&self->lock);
	}
	if (chunk == NULL)
		return ERR_NOMEM;
	*record_out = chunk + slot % CHUNK_SLOTS * self->words;
	return 0;
}

static const uint32_t *nodes_mem_peek(struct ann_nodes *nodes, uint32_t slot, uint32_t *work)
{
	(void)work;
	const uint32_t *record;

	(void)nodes_mem_read(nodes, slot, &record); /* cannot fail */
	return record;
}

static void nodes_mem_prefetch(struct ann_nodes *nodes, uint32_t slot)
{
	struct nodes_mem *self = self_of(nodes);
	const uint32_t *chunk = chunk_of(self, slot), *record;

	if (chunk == NULL)
		return;
	record = chunk + slot % CHUNK_SLOTS * self->words;
	for (size_t word = 0; word < self->words; word += 16)
		__builtin_prefetch(record + word);
}

static void nodes_mem_fetch(struct ann_nodes *nodes, const uint32_t *slots, uint32_t n)
{
	(void)nodes; /* all are in memory */
	(void)slots;
	(void)n;
}

static int nodes_mem_vector(struct ann_nodes *nodes, uint32_t slot, const float **vector_out)
{
	struct nodes_mem *self = self_of(nodes);

	if (self->vectors == NULL)
		return ERR_ABSENT;
	*vector_out = self->vectors + (size_t)slot * self->dim;
	return 0;
}

static void nodes_mem_prefetch_vectors(struct ann_nodes *nodes, const uint32_t *slots, size_t n)
{
	(void)nodes;
	(void)slots;
	(void)n;
}

/* Records never move: nothing to hold on to. */
static void nodes_mem_bracket(struct ann_nodes *nodes)
{
	(void)nodes;
}

static void nodes_mem_free(struct ann_nodes *nodes)
{
	struct nodes_mem *self = self_of(nodes);

	if (self == NULL)
		return;
	for (uint32_t i = 0; self->chunks != NULL && i < CHUNKS; i++)
		mem_unreserve(atomic_load_explicit(&self->chunks[i], memory_order_relaxed),
			      chunk_bytes(self));
	pthread_mutex_destroy(&self->lock);
	mem_free(self->chunks);
	mem_free(self->unwritten);
	mem_free(self);
}

static const struct ann_nodes_ops nodes_mem_ops = {
	.read = nodes_mem_read,
	.change = nodes_mem_change,
	.peek = nodes_mem_peek,
	.prefetch = nodes_mem_prefetch,
	.fetch = nodes_mem_fetch,
	.vector = nodes_mem_vector,
	.prefetch_vectors = nodes_mem_prefetch_vectors,
	.read_begin = nodes_mem_bracket,
	.read_end = nodes_mem_bracket,
	.free = nodes_mem_free,
};

void nodes_mem_set_vectors(struct ann_nodes *nodes, const float *vectors, uint32_t dim)
{
	struct nodes_mem *self = self_of(nodes);

	self->vectors = vectors;
	self->dim = dim;
}

int nodes_mem_new(uint32_t cap, struct ann_nodes **nodes_out)
{
	struct nodes_mem *self = mem_zalloc(1, sizeof(*self));

	*nodes_out = NULL;
	if (self == NULL)
		return ERR_NOMEM;
	self->base = (struct ann_nodes){.ops = &nodes_mem_ops, .cap = cap};
	self->words = 1 + (size_t)cap;
	pthread_mutex_init(&self->lock, NULL);
	self->unwritten = mem_zalloc(self->words, sizeof(uint32_t));
	self->chunks = mem_zalloc(CHUNKS, sizeof(*self->chunks));
	if (self->unwritten == NULL || self->chunks == NULL) {
		nodes_mem_free(&self->base);
		return ERR_NOMEM;
	}
	*nodes_out = &self->base;
	return 0;
}
