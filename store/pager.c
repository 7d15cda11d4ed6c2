/*
 * pager.c - frames of pages: finding, loading, changing. States and invariants: pager.h.
 */
#include "store/pager.h"

#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/codec.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/pager_evict.h"

#define CHUNKS_MAX (TABLE_PAGES_MAX / PAGER_CHUNK)
#define HEAT_NEW 1u

enum pager_group_name pager_group_of(enum format_space space)
{
	return space >= FORMAT_SPACE_GRAPH ? PAGER_GRAPH : PAGER_META;
}

enum store_class pager_class_of(enum format_space space)
{
	if (space == FORMAT_SPACE_VALUE)
		return STORE_CLASS_VECTOR;
	return space >= FORMAT_SPACE_GRAPH ? STORE_CLASS_GRAPH : STORE_CLASS_MAP;
}

int pager_new(struct pager **pager_out, struct store_io *io, struct epoch *epoch,
	      const uint8_t uuid[16], uint32_t page_size, uint64_t limit)
{
	struct pager *pager = mem_zalloc(1, sizeof(*pager));
	int err = ERR_NOMEM;

	*pager_out = NULL;
	if (pager == NULL)
		return ERR_NOMEM;
	(void)pthread_mutex_init(&pager->lock, NULL); /* these cannot fail on Linux */
	(void)pthread_mutex_init(&pager->alloc_lock, NULL);
	(void)pthread_cond_init(&pager->loaded, NULL);
	for (int g = 0; g < PAGER_GROUPS; g++) {
		(void)pthread_mutex_init(&pager->groups[g].lock, NULL);
		pager->groups[g].gen = 1;
	}
	pager->io = io;
	pager->epoch = epoch;
	memcpy(pager->uuid, uuid, 16);
	pager->page_size = page_size;
	pager->leaf_fanout = page_size / sizeof(struct format_map_entry);
	pager->inner_fanout = page_size / sizeof(struct format_map_child);
	atomic_init(&pager->limit, limit);
	for (int s = 0; s < FORMAT_SPACES; s++) {
		pager->spaces[s].chunks = mem_reserve(CHUNKS_MAX * sizeof(void *), false);
		if (pager->spaces[s].chunks == NULL)
			goto out;
	}
	err = alloc_new(&pager->alloc, FORMAT_PAGES_AT / FORMAT_BLOCK);
out:
	if (err != 0) {
		pager_free(pager);
		return err;
	}
	*pager_out = pager;
	return 0;
}

static void free_space(struct pager *pager, struct pager_space *space)
{
	if (space->chunks == NULL)
		return;
	for (size_t i = 0; i < space->n_chunks; i++) {
		struct pager_chunk *chunk = atomic_load(&space->chunks[i]);

		mem_unreserve(chunk->frames, (size_t)PAGER_CHUNK * pager->page_size);
		mem_free(chunk);
	}
	mem_unreserve((void *)space->chunks, CHUNKS_MAX * sizeof(void *));
	for (unsigned l = 0; l < PAGER_LEVELS; l++)
		mem_free(space->levels[l].nodes);
}

void pager_free(struct pager *pager)
{
	if (pager == NULL)
		return;
	for (int s = 0; s < FORMAT_SPACES; s++)
		free_space(pager, &pager->spaces[s]);
	for (int g = 0; g < PAGER_GROUPS; g++) {
		struct pager_group *group = &pager->groups[g];

		for (size_t i = 0; i < group->n_preimages; i++)
			mem_free(group->preimages[i].bytes);
		mem_free(group->preimages);
		mem_free(group->dirty);
		mem_free(group->frozen);
		pager_extents_release(&group->freed);
		(void)pthread_mutex_destroy(&group->lock);
	}
	for (int c = 0; c < STORE_CLASSES; c++)
		mem_free(pager->rings[c].refs);
	mem_free(pager->limbo);
	pager_extents_release(&pager->aging);
	alloc_free(pager->alloc);
	(void)pthread_cond_destroy(&pager->loaded);
	(void)pthread_mutex_destroy(&pager->alloc_lock);
	(void)pthread_mutex_destroy(&pager->lock);
	mem_free(pager);
}

struct pager_page *pager_page(struct pager *pager, enum format_space space, uint32_t page)
{
	if (page >= atomic_load(&pager->spaces[space].pages))
		return NULL;
	return &pager_chunk_of(pager, space, page)->pages[page % PAGER_CHUNK];
}

/* How many pages a map of the greatest height has room for. */
static uint64_t map_room(const struct pager *pager)
{
	uint64_t room = pager->leaf_fanout;

	for (unsigned level = 1; level < PAGER_LEVELS; level++)
		room *= pager->inner_fanout;
	return room;
}

int pager_grow(struct pager *pager, enum format_space name, uint32_t page)
{
	struct pager_space *space = &pager->spaces[name];
	int err = 0;

	if (page < atomic_load(&space->pages))
		return 0;
	if (page / PAGER_CHUNK >= CHUNKS_MAX || page >= map_room(pager))
		return ERR_LIMIT;
	(void)pthread_mutex_lock(&pager->lock);
	while (space->n_chunks <= page / PAGER_CHUNK) {
		struct pager_chunk *chunk = mem_zalloc(1, sizeof(*chunk));
		size_t bytes = (size_t)PAGER_CHUNK * pager->page_size;

		if (chunk != NULL && name <= FORMAT_SPACE_GRAPH)
			chunk->frames = mem_reserve(bytes, false);
		if (chunk == NULL || (chunk->frames == NULL && name <= FORMAT_SPACE_GRAPH)) {
			mem_free(chunk);
			err = ERR_NOMEM;
			goto out;
		}
		atomic_store_explicit(&space->chunks[space->n_chunks], chunk, memory_order_release);
		space->n_chunks++;
	}
	if (page >= atomic_load(&space->pages))
		atomic_store(&space->pages, page + 1);
out:
	(void)pthread_mutex_unlock(&pager->lock);
	return err;
}

int pager_decode(struct pager *pager, const struct place *at, uint64_t checksum, uint64_t seed,
		 const void *stored, void *page, void *scratch)
{
	if (page_checksum(stored, at->bytes, seed) != checksum)
		return ERR_DAMAGED;
	if (at->encoding == FORMAT_RAW)
		return 0;
	atomic_fetch_add_explicit(&pager->decompressions, 1, memory_order_relaxed);
	return codec_decompress(stored, at->bytes, page, pager->page_size, scratch);
}

int pager_read_place(struct pager *pager, uint64_t place, uint64_t checksum, uint64_t seed,
		     void *page)
{
	struct place at;
	uint8_t *stored = page;
	int err;

	if (!place_unpack(place, &at) ||
	    (at.encoding == FORMAT_RAW && at.bytes != pager->page_size))
		return ERR_DAMAGED;
	if (at.encoding != FORMAT_RAW)
		stored = mem_alloc((size_t)at.bytes + pager->page_size);
	if (stored == NULL)
		return ERR_NOMEM;
	err = pager->io->ops->read(pager->io, at.block * FORMAT_BLOCK, stored, at.bytes);
	if (err == 0)
		err = pager_decode(pager, &at, checksum, seed, stored, page, stored + at.bytes);
	if (stored != page)
		mem_free(stored);
	return err;
}

void pager_note(struct pager *pager, struct pager_page *page, int err)
{
	bool bad = err == ERR_DAMAGED || err == ERR_IO;

	/* out of memory says nothing of the page */
	if ((err != 0 && !bad) || atomic_load_explicit(&page->damaged, memory_order_relaxed) == bad)
		return;
	if (atomic_exchange(&page->damaged, bad) != bad)
		atomic_fetch_add(&pager->damaged, bad ? 1 : (uint64_t)-1);
}

/* --- loading --- */

bool pager_begin_load(struct pager *pager, struct pager_ref ref)
{
	struct pager_page *page = pager_page(pager, (enum format_space)ref.space, ref.page);
	uint8_t absent = PAGE_ABSENT;

	return page != NULL && atomic_load(&page->state) == PAGE_ABSENT &&
	       atomic_compare_exchange_strong(&page->state, &absent, PAGE_LOADING);
}

uint8_t *pager_frame(struct pager *pager, struct pager_ref ref)
{
	return pager_frame_of(pager, pager_chunk_of(pager, ref.space, ref.page), ref.page);
}

int pager_judge(struct pager *pager, struct pager_ref ref, const void *content, int err)
{
	struct pager_space *space = &pager->spaces[ref.space];

	if (err == 0 && space->valid != NULL && !space->valid(content, pager->page_size))
		err = ERR_DAMAGED;
	pager_note(pager, pager_page(pager, (enum format_space)ref.space, ref.page), err);
	return err;
}

/*
 * Ends the LOADING of one page. True, with the share of hits in *rate_out, when thrashing begins with
 * it. lock held.
 */
static bool end_load(struct pager *pager, struct pager_load *load, double *rate_out)
{
	struct pager_chunk *chunk = pager_chunk_of(pager, load->ref.space, load->ref.page);
	struct pager_page *page = &chunk->pages[load->ref.page % PAGER_CHUNK];
	enum store_class class = pager_class_of((enum format_space)load->ref.space);
	struct pager_ring *ring = &pager->rings[class];
	bool thrashing = false;

	/* room also for the pages in limbo, which may come back */
	if (load->err == 0 && !load->past)
		load->err = mem_grow((void **)&ring->refs, &ring->cap, ring->n + pager->n_limbo + 1,
				     sizeof(*ring->refs));
	if (load->err == 0 && load->read) {
		atomic_fetch_add_explicit(&pager->misses[class], 1, memory_order_relaxed);
		thrashing = class != STORE_CLASS_MAP && pager_count_miss(pager, rate_out);
	}
	if (load->err == 0)
		atomic_store_explicit(&page->heat, load->heat, memory_order_relaxed);
	if (load->err == 0 && !load->past) {
		ring->refs[ring->n++] = load->ref;
		atomic_fetch_add(&pager->resident[class], pager->page_size);
		atomic_store(&page->state, PAGE_RESIDENT);
		return thrashing;
	}
	if (load->past)
		atomic_fetch_add_explicit(&pager->passed, 1, memory_order_relaxed);
	else
		mem_discard(pager_frame_of(pager, chunk, load->ref.page), pager->page_size);
	atomic_store(&page->state, PAGE_ABSENT);
	return thrashing;
}

void pager_end_loads(struct pager *pager, struct pager_load *loads, size_t n)
{
	bool thrashing = false;
	double rate = 0;

	(void)pthread_mutex_lock(&pager->lock);
	for (size_t i = 0; i < n; i++)
		thrashing |= end_load(pager, &loads[i], &rate);
	(void)pthread_cond_broadcast(&pager->loaded);
	pager_evict_excess(pager);
	(void)pthread_mutex_unlock(&pager->lock);
	if (thrashing && pager->on_thrashing != NULL)
		pager->on_thrashing(pager->on_thrashing_ctx, rate);
}

/* Fills the frame of a page that this thread has put into LOADING; with zeros when read is false. */
static int load(struct pager *pager, enum format_space space, uint32_t number,
		struct pager_chunk *chunk, uint8_t heat, bool read)
{
	struct pager_page *page = &chunk->pages[number % PAGER_CHUNK];
	struct pager_load load = {.ref = {space, number}, .heat = heat};
	uint8_t *frame = pager_frame_of(pager, chunk, number);

	load.read = read && page->place != 0;
	if (load.read) {
		load.err = pager_read_place(pager, page->place, page->checksum,
					    page_seed(pager->uuid, space, number), frame);
		load.err = pager_judge(pager, load.ref, frame, load.err);
	}
	pager_end_loads(pager, &load, 1);
	return load.err;
}

static void wait_loaded(struct pager *pager, struct pager_page *page)
{
	(void)pthread_mutex_lock(&pager->lock);
	while (atomic_load(&page->state) == PAGE_LOADING)
		(void)pthread_cond_wait(&pager->loaded, &pager->lock);
	(void)pthread_mutex_unlock(&pager->lock);
}

/* Notes that a page in memory is used. False for the first use of one that was fetched for it. */
static inline bool touch(struct pager_page *page, enum store_hint hint)
{
	uint8_t heat = atomic_load_explicit(&page->heat, memory_order_relaxed);

	if (heat == PAGER_HEAT_MAX)
		return true;
	if (heat >= PAGER_HEAT_COLD)
		atomic_store_explicit(&page->heat, hint == STORE_HINT_SCAN ? 0 : HEAT_NEW,
				      memory_order_relaxed);
	else if (hint != STORE_HINT_SCAN)
		atomic_store_explicit(&page->heat, PAGER_HEAT_MAX, memory_order_relaxed);
	return heat < PAGER_HEAT_COLD;
}

int pager_get(struct pager *pager, enum format_space space, uint32_t number, enum store_hint hint,
	      const void **page_out)
{
	uint8_t heat = hint == STORE_HINT_SCAN ? 0 : HEAT_NEW;
	struct pager_chunk *chunk;
	struct pager_page *page;

	*page_out = NULL;
	if (number >= atomic_load_explicit(&pager->spaces[space].pages, memory_order_acquire))
		return ERR_ABSENT;
	chunk = pager_chunk_of(pager, space, number);
	page = &chunk->pages[number % PAGER_CHUNK];
	*page_out = pager_frame_of(pager, chunk, number);
	for (;;) {
		uint8_t state = atomic_load(&page->state);

		if (state == PAGE_COOLING)
			(void)atomic_compare_exchange_strong(&page->state, &state, PAGE_RESIDENT);
		if (state == PAGE_RESIDENT || state == PAGE_COOLING) {
			if (touch(page, hint))
				epoch_count(pager->epoch, pager_class_of(space));
			return 0;
		}
		if (state == PAGE_ABSENT &&
		    atomic_compare_exchange_strong(&page->state, &state, PAGE_LOADING)) {
			int err = load(pager, space, number, chunk, heat, true);

			if (err != 0)
				*page_out = NULL;
			return err;
		}
		if (state == PAGE_LOADING)
			wait_loaded(pager, page);
	}
}

bool pager_is_absent(struct pager *pager, enum format_space space, uint32_t number)
{
	struct pager_page *page = pager_page(pager, space, number);

	return page != NULL && atomic_load(&page->state) == PAGE_ABSENT;
}

const void *pager_peek(struct pager *pager, enum format_space space, uint32_t number)
{
	struct pager_chunk *chunk;
	struct pager_page *page;

	if (number >= atomic_load_explicit(&pager->spaces[space].pages, memory_order_acquire))
		return NULL;
	chunk = pager_chunk_of(pager, space, number);
	page = &chunk->pages[number % PAGER_CHUNK];
	if (atomic_load(&page->state) != PAGE_RESIDENT)
		return NULL;
	if (touch(page, STORE_HINT_NONE))
		epoch_count(pager->epoch, pager_class_of(space));
	return pager_frame_of(pager, chunk, number);
}

/* Keeps the frozen content of a page that is about to change. group->lock held. */
static int keep_preimage(struct pager *pager, struct pager_group *group, struct pager_ref ref,
			 struct pager_page *page, const void *frame)
{
	void *bytes;
	int err = mem_grow((void **)&group->preimages, &group->cap_preimages,
			   group->n_preimages + 1, sizeof(*group->preimages));

	if (err != 0)
		return err;
	bytes = mem_alloc(pager->page_size);
	if (bytes == NULL)
		return ERR_NOMEM;
	memcpy(bytes, frame, pager->page_size);
	group->preimages[group->n_preimages++] = (struct pager_preimage){ref, bytes};
	page->preimage = 1;
	return 0;
}

/* Puts a resident page on the dirty list of the current generation. group->lock held. */
static int mark_dirty(struct pager *pager, struct pager_group *group, struct pager_ref ref,
		      struct pager_page *page, const void *frame)
{
	uint32_t gen = atomic_load(&group->gen), was = atomic_load(&page->dirty_gen);
	int err;

	if (was == gen)
		return 0;
	/* room also for what pager_unfreeze may have to put back */
	err = mem_grow((void **)&group->dirty, &group->cap_dirty,
		       group->n_dirty + group->frozen_total + 1, sizeof(*group->dirty));
	if (err == 0 && was != 0 && !page->copied)
		err = keep_preimage(pager, group, ref, page, frame);
	if (err != 0)
		return err;
	atomic_store(&page->dirty_gen, gen);
	group->dirty[group->n_dirty++] = ref;
	atomic_fetch_add(&group->dirty_bytes, pager->page_size);
	return 0;
}

int pager_change(struct pager *pager, enum format_space space, uint32_t number, void **page_out)
{
	struct pager_group *group = &pager->groups[pager_group_of(space)];
	struct pager_page *page;
	const void *frame;
	int err = pager_grow(pager, space, number);

	*page_out = NULL;
	if (err == 0)
		err = pager_get(pager, space, number, STORE_HINT_NONE, &frame);
	if (err != 0)
		return err;
	page = pager_page(pager, space, number);
	/*
	 * The caller is inside the epoch, so the frame cannot be emptied any more; whoever wants to
	 * empty it later sees the mark.
	 */
	if (atomic_load(&page->dirty_gen) != atomic_load(&group->gen)) {
		(void)pthread_mutex_lock(&group->lock);
		err = mark_dirty(pager, group, (struct pager_ref){space, number}, page, frame);
		(void)pthread_mutex_unlock(&group->lock);
		if (err != 0)
			return err;
	}
	*page_out = (void *)(uintptr_t)frame;
	return 0;
}

int pager_change_blank(struct pager *pager, enum format_space space, uint32_t number,
		       void **page_out)
{
	struct pager_page *page = pager_page(pager, space, number);
	uint8_t absent = PAGE_ABSENT;
	int err = page == NULL ? ERR_ABSENT : 0;

	*page_out = NULL;
	/* the caller is inside the epoch, so that what is loaded now stays until it is marked */
	if (err == 0 && atomic_compare_exchange_strong(&page->state, &absent, PAGE_LOADING))
		err = load(pager, space, number, pager_chunk_of(pager, space, number), HEAT_NEW,
			   false);
	return err != 0 ? err : pager_change(pager, space, number, page_out);
}

/* A page that is not in memory loses its place at once. False when it is in memory. */
static bool clear_absent(struct pager *pager, enum format_space space, uint32_t number, int *err)
{
	struct pager_group *group = &pager->groups[pager_group_of(space)];
	struct pager_page *page = pager_page(pager, space, number);
	uint8_t state = PAGE_ABSENT;

	/* as if it were read: nobody else looks at its place meanwhile */
	if (!atomic_compare_exchange_strong(&page->state, &state, PAGE_LOADING))
		return false;
	(void)pthread_mutex_lock(&group->lock);
	*err = page->place != 0 ? pager_set_place(pager, space, number, 0, 0) : 0;
	if (*err == 0)
		pager_note(pager, page, 0);
	(void)pthread_mutex_unlock(&group->lock);
	(void)pthread_mutex_lock(&pager->lock);
	atomic_store(&page->state, PAGE_ABSENT);
	(void)pthread_cond_broadcast(&pager->loaded);
	(void)pthread_mutex_unlock(&pager->lock);
	return true;
}

int pager_clear(struct pager *pager, enum format_space space, uint32_t number)
{
	void *bytes;
	int err = 0;

	if (pager_page(pager, space, number) == NULL || clear_absent(pager, space, number, &err))
		return err;
	err = pager_change(pager, space, number, &bytes);
	if (err == 0)
		memset(bytes, 0, pager->page_size);
	return err;
}
