/*
 * pager_fetch.c - reading several pages at once.
 *
 * One turn: put up to PAGER_FETCH_MAX absent pages into LOADING; one read_batch for all, in the order
 * in which they lie on disk, raw pages into their frames, others beside; decode; end all loads. A
 * thread in a turn waits for the disk and for nothing else, so that those who wait for its pages
 * always get on.
 */
#include "store/pager.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "store/base.h"
#include "store/mem.h"

struct turn {
	struct pager *pager;
	size_t n;
	struct pager_load loads[PAGER_FETCH_MAX];
	struct place places[PAGER_FETCH_MAX];
	struct store_io_read reads[PAGER_FETCH_MAX];
};

/* Whether the page is on disk alone. What has no place on disk is zeros: nothing to be read. */
static bool wanted(struct pager *pager, struct pager_ref ref)
{
	const struct pager_page *page = pager_page(pager, (enum format_space)ref.space, ref.page);

	/* place may change meanwhile: then the page is in memory, or was lately */
	return page != NULL && atomic_load(&page->state) == PAGE_ABSENT &&
	       __atomic_load_n(&page->place, __ATOMIC_RELAXED) != 0;
}

/* Where the page lies; the turn owns it, so nobody changes that. False: nothing that can be read. */
static bool placed(const struct turn *turn, struct pager_ref ref, struct place *at)
{
	const struct pager_page *page = pager_page(turn->pager, (enum format_space)ref.space,
						   ref.page);

	return place_unpack(page->place, at) &&
	       (at->encoding != FORMAT_RAW || at->bytes == turn->pager->page_size);
}

/* Takes absent pages from refs, as many as there is room for. How many refs were looked at. */
static size_t take(struct turn *turn, const struct pager_ref *refs, size_t n)
{
	size_t i = 0;

	turn->n = 0;
	for (; i < n && turn->n < PAGER_FETCH_MAX; i++) {
		struct pager_load *load = &turn->loads[turn->n];

		if (!wanted(turn->pager, refs[i]) || !pager_begin_load(turn->pager, refs[i]))
			continue;
		*load = (struct pager_load){
			.ref = refs[i], .heat = PAGER_HEAT_FETCHED, .read = true};
		if (placed(turn, refs[i], &turn->places[turn->n])) {
			turn->n++;
			continue;
		}
		load->err = ERR_ABSENT; /* whoever asks for it says what is wrong */
		pager_end_loads(turn->pager, load, 1);
	}
	return i;
}

/* Bytes beside the frames: the stored form of pages that must be decoded, and room to do it. */
static size_t room_beside(const struct turn *turn)
{
	size_t sum = 0;

	for (size_t i = 0; i < turn->n; i++)
		if (turn->places[i].encoding != FORMAT_RAW)
			sum += (size_t)place_blocks(turn->places[i].bytes) * FORMAT_BLOCK;
	return sum > 0 ? sum + turn->pager->page_size : 0;
}

static int by_offset(const void *a, const void *b)
{
	uint64_t x = ((const struct store_io_read *)a)->offset;
	uint64_t y = ((const struct store_io_read *)b)->offset;

	return (x > y) - (x < y);
}

/* Reads all pages of the turn; stored[i] is where the bytes of page i went. */
static void read_all(struct turn *turn, uint8_t *beside, uint8_t **stored)
{
	struct pager *pager = turn->pager;
	size_t at = pager->page_size; /* the first page of it is the scratch */

	for (size_t i = 0; i < turn->n; i++) {
		uint32_t length = place_blocks(turn->places[i].bytes) * FORMAT_BLOCK;

		stored[i] = pager_frame(pager, turn->loads[i].ref);
		if (turn->places[i].encoding != FORMAT_RAW) {
			stored[i] = beside + at;
			at += length;
		}
		turn->reads[i] = (struct store_io_read){
			.offset = turn->places[i].block * FORMAT_BLOCK,
			.buf = stored[i],
			.length = length,
		};
	}
	qsort(turn->reads, turn->n, sizeof(turn->reads[0]), by_offset);
	pager->io->ops->read_batch(pager->io, turn->reads, turn->n);
}

static int result_of(const struct turn *turn, const uint8_t *stored)
{
	size_t i = 0;

	while (turn->reads[i].buf != stored)
		i++;
	return turn->reads[i].result;
}

static void finish(struct turn *turn)
{
	struct pager *pager = turn->pager;
	size_t room = room_beside(turn);
	uint8_t *beside = room > 0 ? mem_alloc_aligned(FORMAT_BLOCK, room) : NULL;
	uint8_t *stored[PAGER_FETCH_MAX];
	bool memory = room == 0 || beside != NULL;

	if (memory)
		read_all(turn, beside, stored);
	for (size_t i = 0; i < turn->n; i++) {
		struct pager_load *load = &turn->loads[i];
		const struct pager_page *page =
			pager_page(pager, (enum format_space)load->ref.space, load->ref.page);

		load->err = memory ? result_of(turn, stored[i]) : ERR_NOMEM;
		if (load->err == 0)
			load->err = pager_decode(pager, &turn->places[i], page->checksum,
						 page_seed(pager->uuid,
							   (enum format_space)load->ref.space,
							   load->ref.page),
						 stored[i], pager_frame(pager, load->ref), beside);
		load->err = pager_judge(pager, load->ref, load->err);
	}
	pager_end_loads(pager, turn->loads, turn->n);
	mem_free(beside);
}

void pager_fetch(struct pager *pager, const struct pager_ref *refs, size_t n)
{
	struct turn turn;

	turn.pager = pager;
	for (size_t i = 0; i < n;) {
		i += take(&turn, refs + i, n - i);
		if (turn.n > 0)
			finish(&turn);
	}
}
