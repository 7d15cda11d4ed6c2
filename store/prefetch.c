/*
 * prefetch.c - bringing in together what a reader will ask for next. All of it is done by pager_fetch;
 * here is decided which pages that are.
 */
#include "store/store_private.h"

#include <stdatomic.h>

/* Pages to be fetched, gathered a handful at a time. */
struct gather {
	struct pager *pager;
	size_t n;
	struct pager_ref refs[PAGER_FETCH_MAX];
};

static void fetch(struct gather *gather)
{
	pager_fetch(gather->pager, gather->refs, gather->n);
	gather->n = 0;
}

static void add(struct gather *gather, enum format_space space, uint32_t page)
{
	if (!pager_is_absent(gather->pager, space, page))
		return;
	gather->refs[gather->n++] = (struct pager_ref){space, page};
	if (gather->n == PAGER_FETCH_MAX)
		fetch(gather);
}

void store_value_prefetch(struct store *store, const uint32_t *slots, size_t n)
{
	struct gather gather = {.pager = store->pager};

	for (size_t i = 0; i < n; i++) {
		uint32_t pages, first;

		if (slots[i] >= atomic_load(&store->slots.count))
			continue;
		first = slots_value_page(&store->slots, slots[i], &pages);
		for (uint32_t p = first; p < first + pages; p++)
			add(&gather, FORMAT_SPACE_VALUE, p);
	}
	fetch(&gather);
}

/* The buckets of live slots whose entries in the slot table are in memory. */
static void gather_buckets(struct store *store, struct gather *gather, const uint32_t *slots,
			   size_t n)
{
	(void)pthread_rwlock_rdlock(&store->ids.lock);
	for (size_t i = 0; i < n; i++) {
		struct slots_entry entry;
		uint32_t bucket;

		if (slots_get(&store->slots, slots[i], &entry) == 0 &&
		    entry.state == STORE_SLOT_LIVE &&
		    ids_bucket_of(&store->ids, entry.id_hash, &bucket) == 0 &&
		    pager_is_absent(store->pager, FORMAT_SPACE_BUCKET, bucket))
			gather->refs[gather->n++] = (struct pager_ref){FORMAT_SPACE_BUCKET, bucket};
	}
	(void)pthread_rwlock_unlock(&store->ids.lock);
}

/* The slot table first, then, with what it says, the buckets. */
void store_entry_prefetch(struct store *store, const uint32_t *slots, size_t n)
{
	struct gather gather = {.pager = store->pager};

	for (size_t i = 0; i < n; i++)
		add(&gather, FORMAT_SPACE_SLOT, slots_page(&store->slots, slots[i]));
	fetch(&gather);
	for (size_t i = 0; i < n; i += PAGER_FETCH_MAX) {
		size_t some = n - i < PAGER_FETCH_MAX ? n - i : PAGER_FETCH_MAX;

		gather_buckets(store, &gather, slots + i, some);
		fetch(&gather);
	}
}

const void *store_page_peek(struct store *store, uint32_t page)
{
	return pager_peek(store->pager, FORMAT_SPACE_GRAPH, page);
}

const void *store_page_address(struct store *store, uint32_t page)
{
	if (page >= store_pages(store, STORE_GRAPH))
		return NULL;
	return pager_frame(store->pager, (struct pager_ref){FORMAT_SPACE_GRAPH, page});
}

bool store_page_is_absent(struct store *store, uint32_t page)
{
	return pager_is_absent(store->pager, FORMAT_SPACE_GRAPH, page);
}

void store_page_prefetch(struct store *store, const uint32_t *pages, size_t n)
{
	struct gather gather = {.pager = store->pager};

	for (size_t i = 0; i < n; i++)
		add(&gather, FORMAT_SPACE_GRAPH, pages[i]);
	fetch(&gather);
}
