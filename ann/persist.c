/*
 * persist.c - publishes and loads the graph.
 *
 * A flush in order: with freeze held exclusively it notes which slots the graph holds, which pages
 * of codes changed, and freezes the nodes in the store; then, workers running again, it writes those
 * pages, the header, the centre and the bitmap, and commits. A code that changes while its page is written
 * belongs to a slot that was reused after the freeze, whose LSN is above graph_lsn: at the next
 * opening it is pending, whatever code and bit say.
 */
#include "ann/persist.h"

#include <stdatomic.h>
#include <string.h>

#include "ann/validate.h"
#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

static uint64_t fnv(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3u;
	return hash;
}

static size_t bitmap_bytes(uint32_t slots)
{
	return ((size_t)slots + 7) / 8;
}

static size_t pages_for(uint64_t bytes, uint32_t page_size)
{
	return (size_t)((bytes + page_size - 1) / page_size);
}

static bool bit(const uint8_t *bitmap, size_t i)
{
	return (bitmap[i / 8] >> i % 8 & 1) != 0;
}

static void set_bit(uint8_t *bitmap, size_t i)
{
	bitmap[i / 8] = (uint8_t)(bitmap[i / 8] | 1u << i % 8);
}

/* --- loading --- */

static int decode_head(const uint8_t *page, struct persist_head *head, struct err_msg *msg)
{
	const struct persist_format *at = (const struct persist_format *)page;
	uint32_t order;

	memcpy(&order, at->order, sizeof(order));
	if (memcmp(at->magic, PERSIST_MAGIC, sizeof(at->magic)) != 0 ||
	    get_u64(at->checksum) != fnv(page, offsetof(struct persist_format, checksum)))
		return err_set(msg, ERR_DAMAGED, "the header of the graph is damaged");
	if (get_u32(at->version) != PERSIST_VERSION || order != PERSIST_ORDER)
		return err_set(msg, ERR_DAMAGED, "the graph was written by another version");
	head->dim = get_u32(at->dim);
	head->metric = get_u32(at->metric);
	head->code_bits = get_u32(at->code_bits);
	head->code_bytes = get_u32(at->code_bytes);
	head->degree = get_u32(at->degree);
	head->cap = get_u32(at->cap);
	head->slots = get_u32(at->slots);
	head->n_entries = get_u32(at->n_entries);
	head->seed = get_u64(at->seed);
	head->bitmap_checksum = get_u64(at->bitmap_checksum);
	head->centre_checksum = get_u64(at->centre_checksum);
	if (head->n_entries > GRAPH_ENTRIES || !quant_bits_valid(head->code_bits))
		return err_set(msg, ERR_DAMAGED, "the header of the graph holds nonsense");
	for (uint32_t i = 0; i < head->n_entries; i++) {
		head->entries[i] = get_u32(at->entries[i]);
		if (head->entries[i] >= head->slots)
			return err_set(msg, ERR_DAMAGED, "the graph begins outside of itself");
	}
	return 0;
}

int persist_read_head(struct store *store, struct persist_head *head_out, struct err_msg *msg)
{
	uint8_t *page;
	int err;

	memset(head_out, 0, sizeof(*head_out));
	if (store_graph_lsn(store) == 0)
		return ERR_ABSENT;
	if (store_pages(store, STORE_AUX) == 0)
		return err_set(msg, ERR_DAMAGED, "the graph has no header");
	page = mem_alloc_aligned(64, store_page_size(store));
	if (page == NULL)
		return ERR_NOMEM;
	err = store_blob_read(store, STORE_AUX, 0, page);
	if (err == 0)
		err = decode_head(page, head_out, msg);
	else
		(void)err_set(msg, err, "the header of the graph: %s", err_str(err));
	mem_free(page);
	return err;
}

/* Pages of STORE_AUX: 1 for the header, then the centre, then the bitmap. */
static uint32_t bitmap_page(const struct index *index)
{
	return 1 + (uint32_t)pages_for((uint64_t)index->dim * sizeof(float),
				       store_page_size(index->store));
}

static int fits(const struct index *index, const struct persist_head *head, struct err_msg *msg)
{
	struct store *store = index->store;
	uint32_t page_size = store_page_size(store);

	if (head->dim != index->dim || head->metric != (uint32_t)index->quant.metric ||
	    head->code_bytes != quant_code_bytes(head->dim, head->code_bits) ||
	    head->degree != index->params.degree || head->cap != index->params.cap ||
	    head->seed != store_kind_seed(store))
		return err_set(msg, ERR_DAMAGED, "the graph was built with other parameters");
	if (head->slots > store_slots(store) ||
	    store_pages(store, STORE_AUX) <
		    bitmap_page(index) + pages_for(bitmap_bytes(head->slots), page_size))
		return err_set(msg, ERR_DAMAGED, "the graph does not fit the store");
	return 0;
}

/* Reads `len` bytes that begin with a page of STORE_AUX. page: room for one. */
static int read_aux(struct store *store, uint32_t first, uint8_t *page, uint8_t *out, size_t len)
{
	uint32_t page_size = store_page_size(store);

	for (size_t at = 0; at < len; at += page_size) {
		int err = store_blob_read(store, STORE_AUX, first + (uint32_t)(at / page_size),
					  page);

		if (err != 0)
			return err;
		memcpy(out + at, page, len - at < page_size ? len - at : page_size);
	}
	return 0;
}

static int load_bitmap(struct index *index, const struct persist_head *head, uint8_t *page,
		       uint8_t *bitmap, struct err_msg *msg)
{
	size_t len = bitmap_bytes(head->slots);
	int err = read_aux(index->store, bitmap_page(index), page, bitmap, len);

	if (err == 0 && fnv(bitmap, len) != head->bitmap_checksum)
		err = ERR_DAMAGED;
	if (err != 0)
		return err_set(msg, err, "the states of the graph: %s", err_str(err));
	return 0;
}

static int load_centre(struct index *index, const struct persist_head *head, uint8_t *page,
		       struct err_msg *msg)
{
	size_t len = (size_t)index->dim * sizeof(float);
	float *centre = mem_alloc(len);
	int err;

	if (centre == NULL)
		return ERR_NOMEM;
	err = read_aux(index->store, 1, page, (uint8_t *)centre, len);
	if (err == 0 && (fnv(centre, len) != head->centre_checksum ||
			 validate_finite(centre, index->dim) < index->dim))
		err = ERR_DAMAGED;
	if (err != 0)
		(void)err_set(msg, err, "the centre of the codes: %s", err_str(err));
	else
		err = index_set_centre(index, centre);
	mem_free(centre);
	return err;
}

/* Puts a page of the row of codes where it belongs. Nobody else looks at the codes yet. */
static void spread_codes(struct index *index, uint64_t at, const uint8_t *page, size_t len,
			 uint32_t slots)
{
	uint32_t code_bytes = index->quant.code_bytes;

	for (size_t done = 0; done < len;) {
		uint64_t slot = (at + done) / code_bytes;
		size_t inside = (size_t)((at + done) % code_bytes);
		size_t n = code_bytes - inside < len - done ? code_bytes - inside : len - done;

		if (slot >= slots)
			return;
		codes_use(&index->codes, (uint32_t)slot);
		memcpy(codes_at(&index->codes, (uint32_t)slot) + inside, page + done, n);
		done += n;
	}
}

/* Whether the graph holds a slot whose code touches this page of codes. */
static bool page_wanted(const struct index *index, const struct persist_head *head,
			const uint8_t *bitmap, uint64_t at, uint32_t page_size)
{
	uint64_t first = at / index->quant.code_bytes;
	uint64_t end = (at + page_size - 1) / index->quant.code_bytes + 1;

	for (uint64_t slot = first; slot < end && slot < head->slots; slot++)
		if (bit(bitmap, slot))
			return true;
	return false;
}

static int load_codes(struct index *index, const struct persist_head *head, uint8_t *page,
		      const uint8_t *bitmap, struct err_msg *msg)
{
	uint32_t page_size = store_page_size(index->store);
	size_t pages = pages_for((uint64_t)head->slots * index->quant.code_bytes, page_size);

	for (size_t i = 0; i < pages; i++) {
		uint64_t at = (uint64_t)i * page_size;
		int err;

		if (!page_wanted(index, head, bitmap, at, page_size))
			continue;
		err = i < store_pages(index->store, STORE_CODE) ?
			      store_blob_read(index->store, STORE_CODE, (uint32_t)i, page) :
			      ERR_DAMAGED;
		if (err != 0)
			return err_set(msg, err, "the codes of the graph, page %zu: %s", i,
				       err_str(err));
		spread_codes(index, at, page, page_size, head->slots);
	}
	return 0;
}

static void load_entries(struct index *index, const struct persist_head *head,
			 const uint8_t *bitmap)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < head->n_entries; i++)
		if (bit(bitmap, head->entries[i]))
			atomic_store(&index->graph.entries[n++], head->entries[i]);
	atomic_store(&index->graph.n_entries, n);
}

int persist_load(struct index *index, const struct persist_head *head, uint8_t **bitmap_out,
		 struct err_msg *msg)
{
	uint8_t *page = NULL, *bitmap = NULL;
	int err;

	*bitmap_out = NULL;
	err = fits(index, head, msg);
	if (err != 0)
		return err;
	page = mem_alloc_aligned(64, store_page_size(index->store));
	bitmap = mem_zalloc(bitmap_bytes(head->slots), 1);
	if (page == NULL || bitmap == NULL)
		err = ERR_NOMEM;
	if (err == 0)
		err = index_grow(index, head->slots);
	if (err == 0)
		err = load_bitmap(index, head, page, bitmap, msg);
	if (err == 0 && head->code_bits == index->quant.bits)
		err = load_codes(index, head, page, bitmap, msg);
	if (err == 0)
		err = load_centre(index, head, page, msg);
	if (err == 0) {
		load_entries(index, head, bitmap);
		*bitmap_out = bitmap;
		bitmap = NULL;
	}
	mem_free(page);
	mem_free(bitmap);
	return err;
}

/* --- flushing --- */

struct flush {
	struct index *index;
	enum ann_metric metric;
	uint32_t page_size;
	uint32_t room, slots;
	uint8_t *held;	/* bitmap of slots */
	uint8_t *dirty; /* bitmap of pages of codes */
	size_t code_pages;
	uint64_t changed_nodes;
	uint32_t n_entries, entries[GRAPH_ENTRIES];
	uint8_t *page;
};

static void release_flush(struct flush *flush)
{
	mem_free(flush->held);
	mem_free(flush->dirty);
	mem_free(flush->page);
}

/* Memory for as many slots as the index has room at this moment. */
static int prepare(struct flush *flush)
{
	struct index *index = flush->index;

	mem_free(flush->held);
	mem_free(flush->dirty);
	flush->room = atomic_load(&index->room);
	flush->code_pages = pages_for((uint64_t)flush->room * index->quant.code_bytes,
				      flush->page_size);
	flush->held = mem_zalloc(bitmap_bytes(flush->room), 1);
	flush->dirty = mem_zalloc(flush->code_pages / 8 + 1, 1);
	return flush->held != NULL && flush->dirty != NULL ? 0 : ERR_NOMEM;
}

/*
 * Whether the graph holds the slot as it is in the store: not when it is the tombstone of what was in
 * it before, for at the next opening that would pass for the vector that is in it now.
 */
static bool holds(const struct index *index, uint32_t slot)
{
	enum graph_state state = graph_state(&index->states, slot);
	enum store_slot_state stored = STORE_SLOT_LIVE;
	uint64_t lsn = 0;

	if (state != GRAPH_TOMBSTONE)
		return state == GRAPH_LINKED;
	return store_slot(index->store, slot, &stored, &lsn) == 0 && stored != STORE_SLOT_LIVE;
}

/* Takes down what the graph is at this moment. Caller holds freeze exclusively. */
static void note(struct flush *flush)
{
	struct index *index = flush->index;
	uint32_t code_bytes = index->quant.code_bytes;

	for (uint32_t slot = 0; slot < flush->slots; slot++) {
		if (holds(index, slot))
			set_bit(flush->held, slot);
		if (index_code_changed(index, slot)) {
			uint64_t at = (uint64_t)slot * code_bytes;
			size_t last = (size_t)((at + code_bytes - 1) / flush->page_size);

			for (size_t i = (size_t)(at / flush->page_size); i <= last; i++)
				set_bit(flush->dirty, i);
		}
	}
	flush->n_entries = atomic_load(&index->graph.n_entries);
	for (uint32_t i = 0; i < flush->n_entries; i++)
		flush->entries[i] = atomic_load(&index->graph.entries[i]);
}

static int freeze(struct flush *flush)
{
	struct index *index = flush->index;
	uint64_t lsn = 0;
	int err;

	err = store_graph_begin(index->store);
	if (err != 0)
		return err;
	for (;;) {
		err = prepare(flush);
		if (err != 0) {
			store_graph_abort(index->store);
			return err;
		}
		pthread_rwlock_wrlock(&index->freeze);
		if (flush->room == atomic_load(&index->room))
			break;
		pthread_rwlock_unlock(&index->freeze);
	}
	flush->slots = store_slots(index->store);
	if (flush->slots > flush->room)
		flush->slots = flush->room;
	note(flush);
	store_graph_freeze(index->store, &lsn);
	index_clear_changed(index, flush->slots);
	flush->changed_nodes = atomic_exchange(&index->changed_nodes, 0);
	pthread_rwlock_unlock(&index->freeze);
	return 0;
}

static int write_codes(struct flush *flush)
{
	for (size_t i = 0; i < flush->code_pages; i++) {
		int err;

		if (!bit(flush->dirty, i))
			continue;
		index_copy_codes(flush->index, (uint64_t)i * flush->page_size, flush->page,
				 flush->page_size);
		err = store_blob_write(flush->index->store, STORE_CODE, (uint32_t)i, flush->page);
		if (err != 0)
			return err;
	}
	return 0;
}

static void encode_head(const struct flush *flush, uint8_t *page)
{
	const struct index *index = flush->index;
	struct persist_format *at = (struct persist_format *)page;
	uint32_t order = PERSIST_ORDER;

	memset(page, 0, flush->page_size);
	memcpy(at->magic, PERSIST_MAGIC, sizeof(at->magic));
	put_u32(at->version, PERSIST_VERSION);
	memcpy(at->order, &order, sizeof(order));
	put_u32(at->dim, index->dim);
	put_u32(at->metric, (uint32_t)flush->metric);
	put_u32(at->code_bits, index->quant.bits);
	put_u32(at->code_bytes, index->quant.code_bytes);
	put_u32(at->degree, index->params.degree);
	put_u32(at->cap, index->params.cap);
	put_u32(at->slots, flush->slots);
	put_u32(at->n_entries, flush->n_entries);
	put_u64(at->seed, store_kind_seed(index->store));
	put_u64(at->bitmap_checksum, fnv(flush->held, bitmap_bytes(flush->slots)));
	put_u64(at->centre_checksum, fnv(index->quant.centre, (size_t)index->dim * sizeof(float)));
	for (uint32_t i = 0; i < flush->n_entries; i++)
		put_u32(at->entries[i], flush->entries[i]);
	put_u64(at->checksum, fnv(page, offsetof(struct persist_format, checksum)));
}

static int write_bytes(struct flush *flush, uint32_t first, const void *bytes, size_t len)
{
	for (size_t at = 0; at < len; at += flush->page_size) {
		size_t n = len - at < flush->page_size ? len - at : flush->page_size;
		int err;

		memset(flush->page, 0, flush->page_size);
		memcpy(flush->page, (const uint8_t *)bytes + at, n);
		err = store_blob_write(flush->index->store, STORE_AUX,
				       first + (uint32_t)(at / flush->page_size), flush->page);
		if (err != 0)
			return err;
	}
	return 0;
}

static int write_aux(struct flush *flush)
{
	struct index *index = flush->index;
	int err;

	encode_head(flush, flush->page);
	err = store_blob_write(index->store, STORE_AUX, 0, flush->page);
	if (err == 0)
		err = write_bytes(flush, 1, index->quant.centre,
				  (size_t)index->dim * sizeof(float));
	if (err == 0)
		err = write_bytes(flush, bitmap_page(index), flush->held,
				  bitmap_bytes(flush->slots));
	return err;
}

/* Nothing was published: all codes of those pages count as changed again. */
static void take_back(struct flush *flush)
{
	struct index *index = flush->index;
	uint32_t code_bytes = index->quant.code_bytes;

	for (size_t i = 0; i < flush->code_pages; i++) {
		uint64_t at = (uint64_t)i * flush->page_size;
		uint64_t end = (at + flush->page_size - 1) / code_bytes + 1;

		if (bit(flush->dirty, i))
			index_mark_changed(index, (uint32_t)(at / code_bytes),
					   end < flush->room ? (uint32_t)end : flush->room);
	}
	atomic_fetch_add(&index->changed_nodes, flush->changed_nodes);
}

int persist_flush(struct index *index, enum ann_metric metric)
{
	struct flush flush = {
		.index = index, .metric = metric, .page_size = store_page_size(index->store)};
	int err = 0;

	flush.page = mem_alloc_aligned(64, flush.page_size);
	if (flush.page == NULL)
		err = ERR_NOMEM;
	if (err == 0)
		err = freeze(&flush);
	if (err != 0)
		goto out;
	err = write_codes(&flush);
	if (err == 0)
		err = write_aux(&flush);
	if (err == 0)
		err = store_graph_commit(index->store);
	else
		store_graph_abort(index->store);
	if (err != 0)
		take_back(&flush);
out:
	release_flush(&flush);
	return err;
}
