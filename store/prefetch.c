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

/* --- values that are looked at once --- */

struct values {
	struct store *store;
	const uint32_t *slots;
	size_t n;
	const struct store_look *look;
	uint64_t left; /* a bit for each of n that was not shown */
};

static void show(struct values *values, size_t i, int err, const void *value)
{
	values->left &= ~((uint64_t)1 << i);
	values->look->show(values->look->ctx, i, err, value);
}

/* A page has arrived: the values on it. */
static void show_page(void *ctx, struct pager_ref ref, const void *page)
{
	struct values *values = ctx;
	const struct slots *slots = &values->store->slots;

	for (uint64_t left = values->left; left != 0; left &= left - 1) {
		size_t i = (size_t)__builtin_ctzll(left);
		uint32_t pages;

		if (slots_value_page(slots, values->slots[i], &pages) == ref.page)
			show(values, i, 0, slots_value_on(slots, values->slots[i], page));
	}
}

static void show_now(struct values *values, size_t i)
{
	const void *value = NULL;
	int err = slots_value(&values->store->slots, values->slots[i], STORE_HINT_NONE, &value);

	show(values, i, err, value);
}

/* Up to 64 of them. */
static void look_at_some(struct values *values)
{
	struct pager *pager = values->store->pager;
	const struct pager_look look = {.show = show_page, .ctx = values};
	const bool split = store_value_size(values->store) > pager->page_size;
	struct gather gather = {.pager = pager};

	values->left = values->n == 64 ? UINT64_MAX : ((uint64_t)1 << values->n) - 1;
	for (size_t i = 0; i < values->n; i++) {
		uint32_t pages,
			page = slots_value_page(&values->store->slots, values->slots[i], &pages);

		if (!split && pager_is_absent(pager, FORMAT_SPACE_VALUE, page))
			gather.refs[gather.n++] = (struct pager_ref){FORMAT_SPACE_VALUE, page};
		else if (!split)
			show_now(values, i);
	}
	if (split)
		store_value_prefetch(values->store, values->slots, values->n);
	else if (gather.n > 0)
		pager_fetch_once(pager, gather.refs, gather.n, &look);
	while (values->left != 0)
		show_now(values, (size_t)__builtin_ctzll(values->left));
}

void store_look_at_values(struct store *store, const uint32_t *slots, size_t n,
			  const struct store_look *look)
{
	struct values values = {.store = store, .slots = slots, .n = n, .look = look};

	if (store_value_size(store) != 0 && n > 0)
		look_at_some(&values);
}

/* --- entries --- */

/* The buckets of live slots whose entries in the slot table are in memory, and their ids are not. */
static void gather_buckets(struct store *store, struct gather *gather, const uint32_t *slots,
			   size_t n)
{
	(void)pthread_rwlock_rdlock(&store->ids.lock);
	for (size_t i = 0; i < n; i++) {
		struct slots_entry entry;
		uint32_t bucket;

		if (slots_get(&store->slots, slots[i], &entry) == 0 &&
		    entry.state == STORE_SLOT_LIVE && !slot_ids_has(&store->slots.ids, slots[i]) &&
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

/* --- pages that are not kept --- */

static void show_graph_page(void *ctx, struct pager_ref ref, const void *page)
{
	const struct store_page_look *look = ctx;

	look->show(look->ctx, ref.page, page);
}

void store_look_at_pages(struct store *store, const uint32_t *pages, size_t n,
			 const struct store_page_look *look)
{
	const struct pager_look show = {
		.show = show_graph_page, .ctx = (void *)(uintptr_t)look, .past = true};

	for (size_t i = 0; i < n;) {
		struct pager_ref refs[PAGER_FETCH_MAX];
		size_t some = 0;

		for (; i < n && some < PAGER_FETCH_MAX; i++)
			refs[some++] = (struct pager_ref){FORMAT_SPACE_GRAPH, pages[i]};
		pager_fetch_once(store->pager, refs, some, &show);
	}
}

bool store_is_short(struct store *store)
{
	return pager_is_short(store->pager);
}

void store_charge(struct store *store, int64_t bytes)
{
	atomic_fetch_add(&store->pager->charged, (uint64_t)bytes);
}

uint64_t store_cache_bytes(const struct store *store)
{
	return atomic_load(&store->pager->limit);
}

void store_page_found(struct store *store)
{
	epoch_count(store->epoch, STORE_CLASS_GRAPH);
}

uint64_t store_retire(struct store *store)
{
	return epoch_retire(store->epoch);
}

bool store_is_retired(struct store *store, uint64_t number)
{
	return epoch_safe(store->epoch, number);
}
