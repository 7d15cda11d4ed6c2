/*
 * nodes_store.c - graph nodes on the pages of STORE_GRAPH.
 *
 * Format of a page: page_size / (4 * (1 + cap)) records one after the other, each 1 + cap words as
 * nodes.h says, in the byte order of the machine that wrote them (persist.c refuses the other); the
 * rest of the page is zero. A page that was never written reads as zeros, that is as no links.
 *
 * Where the cache is full, what searches read goes to the packed nodes instead of into frames.
 *
 * Invariant: a record never crosses a page.
 */
#include "ann/nodes.h"

#include "ann/nodes_packed.h"
#include "store/err.h"
#include "store/mem.h"
#include "store/store.h"

struct nodes_store {
	struct ann_nodes base;
	struct store *store; /* not owned */
	struct packed *packed;
	uint32_t per_page;
	uint32_t words; /* of a record */
};

static int read_record(struct ann_nodes *nodes, uint32_t slot, const uint32_t **record_out)
{
	struct nodes_store *self = (struct nodes_store *)nodes;
	const void *page = NULL;
	int err = store_page(self->store, slot / self->per_page, &page);

	if (err == 0)
		*record_out = (const uint32_t *)page +
			      (size_t)(slot % self->per_page) * self->words;
	return err;
}

static int change_record(struct ann_nodes *nodes, uint32_t slot, uint32_t **record_out)
{
	struct nodes_store *self = (struct nodes_store *)nodes;
	void *page = NULL;
	int err = store_page_change(self->store, slot / self->per_page, &page);

	if (err == 0)
		nodes_packed_drop(self->packed, slot / self->per_page);
	if (err == 0)
		*record_out = (uint32_t *)page + (size_t)(slot % self->per_page) * self->words;
	return err;
}

static const uint32_t *peek(struct ann_nodes *nodes, uint32_t slot, uint32_t *work)
{
	struct nodes_store *self = (struct nodes_store *)nodes;
	const void *page = store_page_peek(self->store, slot / self->per_page);

	if (page != NULL)
		return (const uint32_t *)page + (size_t)(slot % self->per_page) * self->words;
	if (!nodes_packed_get(self->packed, slot, work))
		return NULL;
	store_page_found(self->store);
	return work;
}

static void prefetch(struct ann_nodes *nodes, uint32_t slot)
{
	struct nodes_store *self = (struct nodes_store *)nodes;
	const uint32_t *record = store_page_address(self->store, slot / self->per_page);

	if (record == NULL)
		return;
	record += (size_t)(slot % self->per_page) * self->words;
	for (uint32_t word = 0; word < self->words; word += 16)
		__builtin_prefetch(record + word);
}

static void pack_page(void *ctx, uint32_t page, const void *content)
{
	nodes_packed_put(((struct nodes_store *)ctx)->packed, page, content);
}

static void fetch(struct ann_nodes *nodes, const uint32_t *slots, uint32_t n)
{
	struct nodes_store *self = (struct nodes_store *)nodes;
	const struct store_page_look look = {pack_page, self};
	uint32_t pages[NODES_FETCH_PAGES], kept = 0;

	for (uint32_t i = 0; i < n && kept < NODES_FETCH_PAGES; i++) {
		uint32_t page = slots[i] / self->per_page, at = 0;

		if (!store_page_is_absent(self->store, page) ||
		    nodes_packed_has(self->packed, page))
			continue;
		while (at < kept && pages[at] != page)
			at++;
		pages[at] = page;
		kept += at == kept;
	}
	if (store_is_short(self->store))
		store_look_at_pages(self->store, pages, kept, &look);
	else
		store_page_prefetch(self->store, pages, kept);
}

static int read_vector(struct ann_nodes *nodes, uint32_t slot, const float **vector_out)
{
	const void *value = NULL;
	int err = store_value(((struct nodes_store *)nodes)->store, slot, STORE_HINT_NONE, &value);

	if (err == 0)
		*vector_out = value;
	return err;
}

static void prefetch_vectors(struct ann_nodes *nodes, const uint32_t *slots, size_t n)
{
	/* A hint: what cannot be read says so when it is. */
	store_value_prefetch(((struct nodes_store *)nodes)->store, slots, n);
}

static void begin_read(struct ann_nodes *nodes)
{
	store_read_begin(((struct nodes_store *)nodes)->store);
}

static void end_read(struct ann_nodes *nodes)
{
	store_read_end(((struct nodes_store *)nodes)->store);
}

static void forget(struct ann_nodes *nodes)
{
	nodes_packed_clear(((struct nodes_store *)nodes)->packed);
}

static void free_nodes(struct ann_nodes *nodes)
{
	nodes_packed_free(((struct nodes_store *)nodes)->packed);
	mem_free(nodes);
}

static const struct ann_nodes_ops store_ops = {
	.read = read_record,
	.change = change_record,
	.peek = peek,
	.prefetch = prefetch,
	.fetch = fetch,
	.vector = read_vector,
	.prefetch_vectors = prefetch_vectors,
	.read_begin = begin_read,
	.read_end = end_read,
	.forget = forget,
	.free = free_nodes,
};

int nodes_store_new(struct store *store, uint32_t cap, struct ann_nodes **nodes_out)
{
	struct nodes_store *self;
	uint32_t words = 1 + cap;

	*nodes_out = NULL;
	if (cap == 0 || words > store_page_size(store) / sizeof(uint32_t))
		return ERR_INVALID;
	self = mem_zalloc(1, sizeof(*self));
	if (self == NULL)
		return ERR_NOMEM;
	self->base.ops = &store_ops;
	self->base.cap = cap;
	self->store = store;
	self->words = words;
	self->per_page = store_page_size(store) / (uint32_t)(words * sizeof(uint32_t));
	if (nodes_packed_new(store, cap, self->per_page, &self->packed) != 0) {
		mem_free(self);
		return ERR_NOMEM;
	}
	*nodes_out = &self->base;
	return 0;
}
