/*
 * pager.c - frames of pages: finding, loading, changing, evicting. States and invariants: pager.h.
 */
#include "store/pager.h"

#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/codec.h"
#include "store/mem.h"
#include "store/page.h"

#define CHUNKS_MAX (1u << 20) /* 2^30 pages a space */
#define HEAT_NEW 1u
#define HEAT_MAX 3u
#define EVICT_SHARE 64u /* once over the limit, 1/64 goes at a time */
#define VECTOR_SHARE 8u /* graph and map pages go only when vectors hold less than 1/8 */

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

		if (chunk == NULL)
			continue;
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

static struct pager_chunk *chunk_of(struct pager *pager, uint32_t space, uint32_t page)
{
	return atomic_load_explicit(&pager->spaces[space].chunks[page / PAGER_CHUNK],
				    memory_order_acquire);
}

struct pager_page *pager_page(struct pager *pager, enum format_space space, uint32_t page)
{
	if (page >= atomic_load(&pager->spaces[space].pages))
		return NULL;
	return &chunk_of(pager, space, page)->pages[page % PAGER_CHUNK];
}

static uint8_t *frame_of(struct pager *pager, const struct pager_chunk *chunk, uint32_t page)
{
	return chunk->frames + (size_t)(page % PAGER_CHUNK) * pager->page_size;
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

int pager_read_place(struct pager *pager, uint64_t place, uint64_t checksum, uint64_t seed,
		     void *page)
{
	struct place at;
	uint8_t *stored = NULL;
	int err;

	if (!place_unpack(place, &at))
		return ERR_DAMAGED;
	if (at.encoding == FORMAT_RAW) {
		if (at.bytes != pager->page_size)
			return ERR_DAMAGED;
		err = pager->io->ops->read(pager->io, at.block * FORMAT_BLOCK, page, at.bytes);
		if (err == 0 && page_checksum(page, at.bytes, seed) != checksum)
			err = ERR_DAMAGED;
		return err;
	}
	stored = mem_alloc((size_t)at.bytes + pager->page_size);
	if (stored == NULL)
		return ERR_NOMEM;
	err = pager->io->ops->read(pager->io, at.block * FORMAT_BLOCK, stored, at.bytes);
	if (err != 0)
		goto out;
	if (page_checksum(stored, at.bytes, seed) != checksum) {
		err = ERR_DAMAGED;
		goto out;
	}
	atomic_fetch_add_explicit(&pager->decompressions, 1, memory_order_relaxed);
	err = codec_decompress(stored, at.bytes, page, pager->page_size, stored + at.bytes);
out:
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

/* --- eviction --- */

/* Gives frames back whose readers have all left. lock held. */
static void reap(struct pager *pager)
{
	uint64_t oldest = epoch_oldest(pager->epoch);
	size_t kept = 0;

	for (size_t i = 0; i < pager->n_limbo; i++) {
		struct pager_limbo *limbo = &pager->limbo[i];
		struct pager_chunk *chunk = chunk_of(pager, limbo->ref.space, limbo->ref.page);
		struct pager_page *page = &chunk->pages[limbo->ref.page % PAGER_CHUNK];
		enum store_class class = pager_class_of((enum format_space)limbo->ref.space);
		uint8_t cooling = PAGE_COOLING;
		bool dirty;

		if (limbo->retired >= oldest) {
			pager->limbo[kept++] = *limbo;
			continue;
		}
		dirty = atomic_load(&page->dirty_gen) != 0;
		if (dirty)
			(void)atomic_compare_exchange_strong(&page->state, &cooling, PAGE_RESIDENT);
		if (dirty ||
		    !atomic_compare_exchange_strong(&page->state, &cooling, PAGE_LOADING)) {
			/* in use again: back into the ring; it has room, since it once held this */
			pager->rings[class].refs[pager->rings[class].n++] = limbo->ref;
			continue;
		}
		mem_discard(frame_of(pager, chunk, limbo->ref.page), pager->page_size);
		atomic_fetch_sub(&pager->resident[class], pager->page_size);
		atomic_fetch_add_explicit(&pager->evictions[class], 1, memory_order_relaxed);
		atomic_store(&page->state, PAGE_ABSENT);
	}
	if (kept != pager->n_limbo)
		(void)pthread_cond_broadcast(&pager->loaded);
	pager->n_limbo = kept;
}

/* Turns the clock of a class until one page cools. False when none can. lock held. */
static bool cool_one(struct pager *pager, enum store_class class, bool force)
{
	struct pager_ring *ring = &pager->rings[class];
	size_t looks = ring->n * (force ? 1 : HEAT_MAX + 1);

	for (; looks > 0; looks--) {
		struct pager_ref ref;
		struct pager_page *page;
		uint8_t resident = PAGE_RESIDENT, heat;

		if (ring->hand >= ring->n)
			ring->hand = 0;
		ref = ring->refs[ring->hand];
		page = pager_page(pager, (enum format_space)ref.space, ref.page);
		heat = atomic_load_explicit(&page->heat, memory_order_relaxed);
		if (atomic_load(&page->dirty_gen) != 0 || (heat > 0 && !force)) {
			if (heat > 0)
				atomic_store_explicit(&page->heat, heat - 1, memory_order_relaxed);
			ring->hand++;
			continue;
		}
		if (mem_grow((void **)&pager->limbo, &pager->cap_limbo, pager->n_limbo + 1,
			     sizeof(*pager->limbo)) != 0)
			return false;
		if (!atomic_compare_exchange_strong(&page->state, &resident, PAGE_COOLING)) {
			ring->hand++;
			continue;
		}
		ring->refs[ring->hand] = ring->refs[--ring->n];
		pager->limbo[pager->n_limbo].ref = ref;
		pager->limbo[pager->n_limbo++].retired = 0;
		return true;
	}
	return false;
}

static uint64_t resident_bytes(struct pager *pager)
{
	uint64_t sum = 0;

	for (int c = 0; c < STORE_CLASSES; c++)
		sum += atomic_load(&pager->resident[c]);
	return sum;
}

static enum store_class victim_class(struct pager *pager, uint64_t limit)
{
	uint64_t vector = atomic_load(&pager->resident[STORE_CLASS_VECTOR]);
	uint64_t graph = atomic_load(&pager->resident[STORE_CLASS_GRAPH]);
	uint64_t map = atomic_load(&pager->resident[STORE_CLASS_MAP]);

	if (vector > limit / VECTOR_SHARE)
		return STORE_CLASS_VECTOR;
	return graph > map ? STORE_CLASS_GRAPH : STORE_CLASS_MAP;
}

/* Cools pages until what stays is within goal bytes, then reaps. lock held. */
static void evict(struct pager *pager, uint64_t goal, bool force)
{
	uint64_t bytes = resident_bytes(pager), limit = atomic_load(&pager->limit);
	uint64_t cooling = (uint64_t)pager->n_limbo * pager->page_size, retired;
	size_t first = pager->n_limbo;

	while (bytes > goal + cooling) {
		enum store_class class = victim_class(pager, force ? 0 : limit);
		bool done = cool_one(pager, class, force);

		for (int c = 0; !done && c < STORE_CLASSES; c++)
			done = cool_one(pager, (enum store_class)c, force);
		if (!done)
			break;
		cooling += pager->page_size;
	}
	if (pager->n_limbo > first) {
		retired = epoch_retire(pager->epoch);
		for (size_t i = first; i < pager->n_limbo; i++)
			pager->limbo[i].retired = retired;
	}
	reap(pager);
}

/* --- thrashing --- */

/* Look-ups of graph and vector pages: those of tables hardly ever miss, and come with each. */
static uint64_t window_hits(struct pager *pager)
{
	return epoch_sum(pager->epoch, STORE_CLASS_GRAPH) +
	       epoch_sum(pager->epoch, STORE_CLASS_VECTOR);
}

static uint64_t window_evictions(struct pager *pager)
{
	return atomic_load(&pager->evictions[STORE_CLASS_GRAPH]) +
	       atomic_load(&pager->evictions[STORE_CLASS_VECTOR]);
}

/* After a miss. True, with the share of hits, when thrashing begins with it. lock held. */
static bool window_miss(struct pager *pager, double *rate_out)
{
	struct pager_window *window = &pager->window;
	uint64_t hits, evictions, old, all = (uint64_t)PAGER_MARKS * PAGER_MARK_MISSES;
	bool was = atomic_load(&pager->thrashing), is;

	if (++window->misses < PAGER_MARK_MISSES)
		return false;
	window->misses = 0;
	hits = window_hits(pager);
	evictions = window_evictions(pager);
	old = (window->turns + 1) %
	      (PAGER_MARKS + 1); /* the oldest mark: of PAGER_MARKS turns ago */
	*rate_out = (double)(hits - window->hits[old]) / (double)(hits - window->hits[old] + all);
	is = window->turns >= PAGER_MARKS && hits - window->hits[old] < all &&
	     evictions > window->evictions[old];
	/* it is over only when well over, so that one stretch of it is told once */
	if (was && hits - window->hits[old] < 2 * all)
		is = true;
	window->hits[window->turns % (PAGER_MARKS + 1)] = hits;
	window->evictions[window->turns % (PAGER_MARKS + 1)] = evictions;
	window->turns++;
	atomic_store(&pager->thrashing, is);
	if (is && !was)
		atomic_fetch_add(&pager->thrashings, 1);
	return is && !was;
}

void pager_trim(struct pager *pager)
{
	(void)pthread_mutex_lock(&pager->lock);
	evict(pager, atomic_load(&pager->limit), false);
	(void)pthread_mutex_unlock(&pager->lock);
}

void pager_drop(struct pager *pager)
{
	(void)pthread_mutex_lock(&pager->lock);
	evict(pager, 0, true);
	memset(&pager->window, 0, sizeof(pager->window)); /* what comes now is no want of room */
	atomic_store(&pager->thrashing, false);
	(void)pthread_mutex_unlock(&pager->lock);
}

/* --- loading --- */

/* Fills the frame of a page that this thread has put into LOADING; with zeros when read is false. */
static int load(struct pager *pager, enum format_space space, uint32_t number,
		struct pager_chunk *chunk, uint8_t heat, bool read)
{
	struct pager_page *page = &chunk->pages[number % PAGER_CHUNK];
	enum store_class class = pager_class_of(space);
	struct pager_ring *ring = &pager->rings[class];
	uint8_t *frame = frame_of(pager, chunk, number);
	uint64_t limit = atomic_load(&pager->limit);
	bool thrashing = false;
	double rate = 0;
	int err = 0;

	read = read && page->place != 0;
	if (read)
		err = pager_read_place(pager, page->place, page->checksum,
				       page_seed(pager->uuid, space, number), frame);
	if (err == 0 && read && pager->spaces[space].valid != NULL &&
	    !pager->spaces[space].valid(frame, pager->page_size))
		err = ERR_DAMAGED;
	if (read)
		pager_note(pager, page, err);
	(void)pthread_mutex_lock(&pager->lock);
	/* room also for the pages in limbo, which may come back */
	if (err == 0)
		err = mem_grow((void **)&ring->refs, &ring->cap, ring->n + pager->n_limbo + 1,
			       sizeof(*ring->refs));
	if (err == 0) {
		ring->refs[ring->n++] = (struct pager_ref){space, number};
		atomic_fetch_add(&pager->resident[class], pager->page_size);
		if (read) {
			atomic_fetch_add_explicit(&pager->misses[class], 1, memory_order_relaxed);
			thrashing = class != STORE_CLASS_MAP && window_miss(pager, &rate);
		}
		atomic_store_explicit(&page->heat, heat, memory_order_relaxed);
	} else {
		mem_discard(frame, pager->page_size);
	}
	atomic_store(&page->state, err == 0 ? PAGE_RESIDENT : PAGE_ABSENT);
	(void)pthread_cond_broadcast(&pager->loaded);
	if (resident_bytes(pager) > limit)
		evict(pager, limit - limit / EVICT_SHARE, false);
	(void)pthread_mutex_unlock(&pager->lock);
	if (thrashing && pager->on_thrashing != NULL)
		pager->on_thrashing(pager->on_thrashing_ctx, rate);
	return err;
}

static void wait_loaded(struct pager *pager, struct pager_page *page)
{
	(void)pthread_mutex_lock(&pager->lock);
	while (atomic_load(&page->state) == PAGE_LOADING)
		(void)pthread_cond_wait(&pager->loaded, &pager->lock);
	(void)pthread_mutex_unlock(&pager->lock);
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
	chunk = chunk_of(pager, space, number);
	page = &chunk->pages[number % PAGER_CHUNK];
	*page_out = frame_of(pager, chunk, number);
	for (;;) {
		uint8_t state = atomic_load(&page->state);

		if (state == PAGE_COOLING)
			(void)atomic_compare_exchange_strong(&page->state, &state, PAGE_RESIDENT);
		if (state == PAGE_RESIDENT || state == PAGE_COOLING) {
			if (hint != STORE_HINT_SCAN &&
			    atomic_load_explicit(&page->heat, memory_order_relaxed) < HEAT_MAX)
				atomic_store_explicit(&page->heat, HEAT_MAX, memory_order_relaxed);
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

const void *pager_peek(struct pager *pager, enum format_space space, uint32_t number)
{
	const struct pager_page *page = pager_page(pager, space, number);

	if (page == NULL || atomic_load(&page->state) != PAGE_RESIDENT)
		return NULL;
	return frame_of(pager, chunk_of(pager, space, number), number);
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
		err = load(pager, space, number, chunk_of(pager, space, number), HEAT_NEW, false);
	return err != 0 ? err : pager_change(pager, space, number, page_out);
}

int pager_prefetch(struct pager *pager, enum format_space space, const uint32_t *pages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pager_page *page = pager_page(pager, space, pages[i]);
		struct place at;

		if (page == NULL || atomic_load(&page->state) != PAGE_ABSENT)
			continue;
		/* place may change under us when the page is loaded and flushed: only a wrong hint */
		if (place_unpack(__atomic_load_n(&page->place, __ATOMIC_RELAXED), &at))
			pager->io->ops->advise(pager->io, at.block * FORMAT_BLOCK, at.bytes);
	}
	return 0;
}
