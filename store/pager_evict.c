/*
 * pager_evict.c - which pages make room, when their frames go back, and whether too many of them do.
 *
 * A clock for each class: a page cools when the hand finds it without a chance left, goes to limbo, and
 * is emptied when every reader has left who might have its address. The states are in pager.h.
 */
#include "store/pager_evict.h"

#include <stdatomic.h>
#include <string.h>

#include "store/mem.h"

#define EVICT_SHARE 64u /* once over the limit, 1/64 goes at a time */
#define VECTOR_SHARE 8u /* graph and map pages go only when vectors hold less than 1/8 */
#define CLEAN_SHARE 8u	/* of the bound that is left to pages that did not change */

/* Gives frames back whose readers have all left. lock held. */
static void reap(struct pager *pager)
{
	uint64_t oldest = epoch_oldest(pager->epoch);
	size_t kept = 0;

	for (size_t i = 0; i < pager->n_limbo; i++) {
		struct pager_limbo *limbo = &pager->limbo[i];
		struct pager_chunk *chunk = pager_chunk_of(pager, limbo->ref.space,
							   limbo->ref.page);
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
		mem_discard(pager_frame_of(pager, chunk, limbo->ref.page), pager->page_size);
		atomic_fetch_sub(&pager->resident[class], pager->page_size);
		atomic_fetch_add_explicit(&pager->evictions[class], 1, memory_order_relaxed);
		atomic_store_explicit(&page->heat, 0, memory_order_relaxed); /* not looked at */
		atomic_store(&page->state, PAGE_ABSENT);
	}
	if (kept != pager->n_limbo)
		(void)pthread_cond_broadcast(&pager->loaded);
	pager->n_limbo = kept;
}

/* The hand passes a page that stays. */
static void pass(struct pager_page *page, uint8_t heat)
{
	if (heat == PAGER_HEAT_FETCHED)
		heat = PAGER_HEAT_COLD;
	else if (heat > 0 && heat != PAGER_HEAT_COLD)
		heat--;
	atomic_store_explicit(&page->heat, heat, memory_order_relaxed);
}

/* Turns the clock of a class until one page cools. False when none can. lock held. */
static bool cool_one(struct pager *pager, enum store_class class, bool force)
{
	struct pager_ring *ring = &pager->rings[class];
	size_t looks = ring->n * (force ? 1 : PAGER_HEAT_MAX + 1);

	for (; looks > 0; looks--) {
		struct pager_ref ref;
		struct pager_page *page;
		uint8_t resident = PAGE_RESIDENT, heat;

		if (ring->hand >= ring->n)
			ring->hand = 0;
		ref = ring->refs[ring->hand];
		page = pager_page(pager, (enum format_space)ref.space, ref.page);
		heat = atomic_load_explicit(&page->heat, memory_order_relaxed);
		if (atomic_load(&page->dirty_gen) != 0 ||
		    (heat > 0 && heat != PAGER_HEAT_COLD && !force)) {
			pass(page, heat);
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

uint64_t pager_resident_bytes(struct pager *pager)
{
	uint64_t sum = atomic_load(&pager->charged);

	for (int c = 0; c < STORE_CLASSES; c++)
		sum += atomic_load(&pager->resident[c]);
	return sum;
}

/* Changed pages, which cannot go until they are written. */
static uint64_t dirty_bytes(struct pager *pager, enum pager_group_name group)
{
	return atomic_load(&pager->groups[group].dirty_bytes);
}

/*
 * What frames may take now: the bound; and when changed pages leave less than an eighth of it to the
 * others, so much more that those have it. Else each page read would push all others out.
 */
static uint64_t room_for_frames(struct pager *pager)
{
	uint64_t limit = atomic_load(&pager->limit);
	uint64_t least = dirty_bytes(pager, PAGER_META) + dirty_bytes(pager, PAGER_GRAPH) +
			 limit / CLEAN_SHARE;

	return limit > least ? limit : least;
}

static enum store_class victim_class(struct pager *pager, uint64_t limit)
{
	uint64_t vector = atomic_load(&pager->resident[STORE_CLASS_VECTOR]);
	uint64_t graph = atomic_load(&pager->resident[STORE_CLASS_GRAPH]);
	uint64_t map = atomic_load(&pager->resident[STORE_CLASS_MAP]);
	uint64_t dirty = dirty_bytes(pager, PAGER_GRAPH);

	if (vector > limit / VECTOR_SHARE)
		return STORE_CLASS_VECTOR;
	graph -= dirty < graph ? dirty : graph;
	return graph > map ? STORE_CLASS_GRAPH : STORE_CLASS_MAP;
}

/* Cools one page, of the class whose turn it is if that has one. stuck: classes that have none. */
static bool cool_next(struct pager *pager, uint64_t limit, bool force, bool stuck[STORE_CLASSES])
{
	enum store_class class = victim_class(pager, limit);

	for (int i = 0; i <= STORE_CLASSES; i++) {
		if (!stuck[class] && cool_one(pager, class, force))
			return true;
		stuck[class] = true;
		class = (enum store_class)(i % STORE_CLASSES);
	}
	return false;
}

/* Cools pages until what stays is within goal bytes, then reaps. lock held. */
static void evict(struct pager *pager, uint64_t goal, bool force)
{
	uint64_t bytes = pager_resident_bytes(pager),
		 limit = force ? 0 : atomic_load(&pager->limit);
	uint64_t cooling = (uint64_t)pager->n_limbo * pager->page_size, retired;
	bool stuck[STORE_CLASSES] = {false};
	size_t first = pager->n_limbo;

	while (bytes > goal + cooling && cool_next(pager, limit, force, stuck))
		cooling += pager->page_size;
	if (pager->n_limbo > first) {
		retired = epoch_retire(pager->epoch);
		for (size_t i = first; i < pager->n_limbo; i++)
			pager->limbo[i].retired = retired;
	}
	reap(pager);
}

void pager_evict_excess(struct pager *pager)
{
	uint64_t room = room_for_frames(pager);

	if (pager_resident_bytes(pager) > room)
		evict(pager, room - atomic_load(&pager->limit) / EVICT_SHARE, false);
}

void pager_trim(struct pager *pager)
{
	(void)pthread_mutex_lock(&pager->lock);
	evict(pager, room_for_frames(pager), false);
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

/* --- thrashing --- */

/* Look-ups of graph and vector pages: those of tables hardly ever miss, and come with each. */
static uint64_t window_hits(struct pager *pager)
{
	return epoch_sum(pager->epoch, STORE_CLASS_GRAPH) +
	       epoch_sum(pager->epoch, STORE_CLASS_VECTOR);
}

/* Pages that had to go, or got no frame in the first place. */
static uint64_t window_evictions(struct pager *pager)
{
	return atomic_load(&pager->evictions[STORE_CLASS_GRAPH]) +
	       atomic_load(&pager->evictions[STORE_CLASS_VECTOR]) + atomic_load(&pager->passed);
}

bool pager_count_miss(struct pager *pager, double *rate_out)
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
