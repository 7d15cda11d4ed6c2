/*
 * nodes_packed.c - packs pages of nodes, and keeps as many as their share of the cache has room for.
 *
 * A packed page: for each of its nodes where it ends, then the nodes: each link as the difference from
 * its own slot, sign in the lowest bit, 7 bits a byte, the lowest first, the top bit set in all but the
 * last. A clock decides which page goes; its bytes are freed when no reader is inside who might have
 * seen it. All bytes count against the cache of the store (store_charge).
 */
#include "ann/nodes_packed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "store/err.h"
#include "store/mem.h"
#include "store/store.h"
#include "store/tables.h"

#define CHUNKS (TABLE_PAGES_MAX / TABLE_PAGES)
#define LINK_BYTES 5u /* at most */
/* Packed nodes may take three quarters of the cache. */
#define SHARE_NUMERATOR 3u
#define SHARE_DENOMINATOR 4u

struct blob {
	uint32_t size;	 /* of all of it */
	uint32_t ends[]; /* of nodes, from the end of this table; then the nodes */
};

struct entry {
	_Atomic(struct blob *) blob;
	_Atomic bool used; /* since the hand passed */
	bool listed;	   /* in packed->pages, maybe without a blob; guarded by lock */
};

struct limbo {
	struct blob *blob;
	uint64_t retired;
};

struct packed {
	struct store *store; /* not owned */
	uint32_t cap, per_page;
	_Atomic(struct entry *) *chunks; /* of TABLE_PAGES entries */
	pthread_mutex_t lock;		 /* guards all below; a leaf but for the store's counters */
	uint8_t *work;			 /* a page being packed */
	uint32_t *pages;		 /* that are here, in the order of the clock */
	size_t n_pages, cap_pages, hand;
	struct limbo *limbo;
	size_t n_limbo, cap_limbo;
	uint64_t bytes;	   /* of blobs, those in limbo too */
	uint32_t n_chunks; /* none from here on */
};

int nodes_packed_new(struct store *store, uint32_t cap, uint32_t per_page,
		     struct packed **packed_out)
{
	struct packed *packed = mem_zalloc(1, sizeof(*packed));

	*packed_out = NULL;
	if (packed == NULL)
		return ERR_NOMEM;
	packed->store = store;
	packed->cap = cap;
	packed->per_page = per_page;
	packed->chunks = mem_reserve(CHUNKS * sizeof(*packed->chunks), false);
	packed->work = mem_reserve((size_t)per_page * cap * LINK_BYTES, false);
	(void)pthread_mutex_init(&packed->lock, NULL); /* cannot fail on Linux */
	*packed_out = packed;
	if (packed->chunks != NULL && packed->work != NULL)
		return 0;
	nodes_packed_free(packed);
	*packed_out = NULL;
	return ERR_NOMEM;
}

static void free_blob(struct packed *packed, struct blob *blob)
{
	packed->bytes -= blob->size;
	store_charge(packed->store, -(int64_t)blob->size);
	mem_free(blob);
}

static struct entry *entry_of(const struct packed *packed, uint32_t page)
{
	struct entry *chunk;

	if (page >= TABLE_PAGES_MAX)
		return NULL;
	chunk = atomic_load_explicit(&packed->chunks[page / TABLE_PAGES], memory_order_acquire);
	return chunk != NULL ? &chunk[page % TABLE_PAGES] : NULL;
}

void nodes_packed_free(struct packed *packed)
{
	if (packed == NULL)
		return;
	for (size_t i = 0; i < packed->n_pages; i++) {
		struct blob *blob = atomic_exchange(&entry_of(packed, packed->pages[i])->blob,
						    NULL);

		if (blob != NULL)
			free_blob(packed, blob);
	}
	for (size_t i = 0; i < packed->n_limbo; i++)
		free_blob(packed, packed->limbo[i].blob);
	for (size_t i = 0; i < packed->n_chunks; i++)
		mem_free(atomic_load(&packed->chunks[i]));
	mem_unreserve((void *)packed->chunks, CHUNKS * sizeof(*packed->chunks));
	mem_unreserve(packed->work, (size_t)packed->per_page * packed->cap * LINK_BYTES);
	(void)pthread_mutex_destroy(&packed->lock);
	mem_free(packed->pages);
	mem_free(packed->limbo);
	mem_free(packed);
}

/* --- reading --- */

bool nodes_packed_has(struct packed *packed, uint32_t page)
{
	struct entry *entry = entry_of(packed, page);

	return entry != NULL && atomic_load_explicit(&entry->blob, memory_order_relaxed) != NULL;
}

bool nodes_packed_get(struct packed *packed, uint32_t slot, uint32_t *record_out)
{
	struct entry *entry = entry_of(packed, slot / packed->per_page);
	const struct blob *blob = entry != NULL ?
					  atomic_load_explicit(&entry->blob, memory_order_acquire) :
					  NULL;
	uint32_t node = slot % packed->per_page, n = 0;
	const uint8_t *at, *base, *end;

	if (blob == NULL)
		return false;
	if (!atomic_load_explicit(&entry->used, memory_order_relaxed))
		atomic_store_explicit(&entry->used, true, memory_order_relaxed);
	base = (const uint8_t *)&blob->ends[packed->per_page];
	at = base + (node > 0 ? blob->ends[node - 1] : 0);
	end = base + blob->ends[node];
	while (at < end) {
		uint32_t value = 0;
		unsigned shift = 0;

		do {
			value |= (uint32_t)(*at & 0x7f) << shift;
			shift += 7;
		} while ((*at++ & 0x80) != 0);
		record_out[1 + n++] = slot + (value >> 1 ^ -(value & 1));
	}
	record_out[0] = n;
	return true;
}

/* --- making room; lock held --- */

/* Frees what no reader can have any more. */
static void reap(struct packed *packed)
{
	size_t kept = 0;

	for (size_t i = 0; i < packed->n_limbo; i++) {
		if (store_is_retired(packed->store, packed->limbo[i].retired))
			free_blob(packed, packed->limbo[i].blob);
		else
			packed->limbo[kept++] = packed->limbo[i];
	}
	packed->n_limbo = kept;
}

/* Takes a page out. Room in limbo exists. */
static void take_out(struct packed *packed, struct entry *entry)
{
	struct blob *blob = atomic_exchange(&entry->blob, NULL);

	if (blob != NULL)
		packed->limbo[packed->n_limbo++] = (struct limbo){blob,
								  store_retire(packed->store)};
}

/* Lets pages go until `more` bytes fit. False when they do not. */
static bool make_room(struct packed *packed, uint64_t more)
{
	uint64_t most = store_cache_bytes(packed->store) / SHARE_DENOMINATOR * SHARE_NUMERATOR;
	uint64_t leaving = 0;

	reap(packed);
	for (size_t i = 0; i < packed->n_limbo; i++)
		leaving += packed->limbo[i].blob->size;
	while (packed->bytes - leaving + more > most && packed->n_pages > 0) {
		struct entry *entry;
		struct blob *blob;

		packed->hand = packed->hand < packed->n_pages ? packed->hand : 0;
		entry = entry_of(packed, packed->pages[packed->hand]);
		blob = atomic_load(&entry->blob);
		if (blob != NULL && atomic_exchange(&entry->used, false)) {
			packed->hand++;
			continue;
		}
		if (blob != NULL) {
			leaving += blob->size;
			take_out(packed, entry);
		}
		entry->listed = false;
		packed->pages[packed->hand] = packed->pages[--packed->n_pages];
	}
	reap(packed);
	return packed->bytes + more <= most + leaving;
}

/* --- writing --- */

static uint8_t *put_link(uint8_t *at, uint32_t difference)
{
	uint32_t value = difference << 1 ^ -(difference >> 31);

	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

static struct blob *pack(struct packed *packed, uint32_t page, const uint32_t *records)
{
	size_t table = offsetof(struct blob, ends) + packed->per_page * sizeof(uint32_t), bytes;
	uint32_t ends[FORMAT_PAGE_MAX / (2 * sizeof(uint32_t))];
	struct blob *blob;
	uint8_t *at = packed->work;

	for (uint32_t node = 0; node < packed->per_page; node++, records += 1 + packed->cap) {
		uint32_t slot = page * packed->per_page + node;
		uint32_t n = records[0] < packed->cap ? records[0] : packed->cap;

		for (uint32_t i = 0; i < n; i++)
			at = put_link(at, records[1 + i] - slot);
		ends[node] = (uint32_t)(at - packed->work);
	}
	bytes = (size_t)(at - packed->work);
	if (!make_room(packed, table + bytes))
		return NULL;
	blob = mem_alloc(table + bytes);
	if (blob == NULL)
		return NULL;
	blob->size = (uint32_t)(table + bytes);
	memcpy(blob->ends, ends, packed->per_page * sizeof(uint32_t));
	memcpy(&blob->ends[packed->per_page], packed->work, bytes);
	packed->bytes += blob->size;
	store_charge(packed->store, blob->size);
	return blob;
}

/* Room in all lists for one page more, and its entry. */
static struct entry *prepare(struct packed *packed, uint32_t page)
{
	_Atomic(struct entry *) *chunk;

	if (page >= TABLE_PAGES_MAX)
		return NULL;
	chunk = &packed->chunks[page / TABLE_PAGES];
	if (mem_grow((void **)&packed->pages, &packed->cap_pages, packed->n_pages + 1,
		     sizeof(*packed->pages)) != 0 ||
	    mem_grow((void **)&packed->limbo, &packed->cap_limbo,
		     packed->n_limbo + packed->n_pages + 1, sizeof(*packed->limbo)) != 0)
		return NULL;
	if (atomic_load(chunk) == NULL) {
		struct entry *entries = mem_zalloc(TABLE_PAGES, sizeof(*entries));

		if (entries == NULL)
			return NULL;
		atomic_store_explicit(chunk, entries, memory_order_release);
		if (packed->n_chunks <= page / TABLE_PAGES)
			packed->n_chunks = page / TABLE_PAGES + 1;
	}
	return entry_of(packed, page);
}

void nodes_packed_put(struct packed *packed, uint32_t page, const uint32_t *records)
{
	struct entry *entry;
	struct blob *blob;

	(void)pthread_mutex_lock(&packed->lock);
	entry = prepare(packed, page);
	blob = entry != NULL && atomic_load(&entry->blob) == NULL ? pack(packed, page, records) :
								    NULL;
	if (blob != NULL) {
		atomic_store_explicit(&entry->blob, blob, memory_order_release);
		if (!entry->listed)
			packed->pages[packed->n_pages++] = page;
		entry->listed = true;
	}
	(void)pthread_mutex_unlock(&packed->lock);
}

void nodes_packed_clear(struct packed *packed)
{
	(void)pthread_mutex_lock(&packed->lock);
	while (packed->n_pages > 0) {
		struct entry *entry = entry_of(packed, packed->pages[--packed->n_pages]);

		take_out(packed, entry);
		entry->listed = false;
	}
	reap(packed);
	(void)pthread_mutex_unlock(&packed->lock);
}

void nodes_packed_drop(struct packed *packed, uint32_t page)
{
	struct entry *entry = entry_of(packed, page);

	if (entry == NULL || atomic_load(&entry->blob) == NULL)
		return;
	(void)pthread_mutex_lock(&packed->lock);
	take_out(packed, entry);
	(void)pthread_mutex_unlock(&packed->lock);
}
