/*
 * pager_fetch.c - reading several pages at once.
 *
 * One turn: put up to PAGER_FETCH_MAX absent pages into LOADING; one read_batch for all, in the order
 * in which they lie on disk, raw pages into their frames, others beside; decode and show each as it
 * arrives; end all loads. A thread in a turn waits for the disk and for nothing else, so that those who
 * wait for its pages always get on.
 *
 * A page that is looked at once need not come into a frame (pager_fetch_once): a frame costs faults, and
 * another page its place. An absent page carries a mark of when it was last looked at, in turns of as
 * many misses as there are frames: who comes again within one turn gets a frame. This is the admission
 * of 2Q (Johnson and Shasha, VLDB 1994, section 3) without its queue.
 */
#include "store/pager.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/pager_evict.h"

#define MARKS 100u /* numbers of turns, from 1 on; fewer than PAGER_HEAT_FETCHED */

struct turn;

struct piece {
	struct turn *turn;
	size_t number;
};

struct turn {
	struct pager *pager;
	const struct pager_look *look; /* NULL: nobody looks, all come into frames */
	uint8_t mark;		       /* for those that come into none */
	bool short_of_frames;
	size_t n;
	struct pager_load loads[PAGER_FETCH_MAX];
	struct place places[PAGER_FETCH_MAX];
	struct store_io_read reads[PAGER_FETCH_MAX];
	struct piece pieces[PAGER_FETCH_MAX];
	uint8_t *
		beside; /* two pages to work in, then what does not come into frames as it is stored */
};

bool pager_is_short(struct pager *pager)
{
	return pager_resident_bytes(pager) + (uint64_t)PAGER_FETCH_MAX * pager->page_size >
	       atomic_load(&pager->limit);
}

/* The turn of misses that it is, and whether pages have to go for those that come. */
static void look_at_frames(struct turn *turn)
{
	struct pager *pager = turn->pager;
	uint64_t frames = atomic_load(&pager->limit) / pager->page_size + 1;
	uint64_t misses = atomic_load_explicit(&pager->misses[STORE_CLASS_VECTOR],
					       memory_order_relaxed);

	turn->mark = (uint8_t)(misses / frames % MARKS + 1);
	turn->short_of_frames = pager_is_short(pager);
}

/* Whether the page gets a frame. The turn owns it. */
static bool worth_a_frame(const struct turn *turn, struct pager_ref ref)
{
	struct pager_page *page = pager_page(turn->pager, (enum format_space)ref.space, ref.page);
	unsigned mark = atomic_load_explicit(&page->heat, memory_order_relaxed);

	return turn->look == NULL || (!turn->look->past && !turn->short_of_frames) ||
	       (!turn->look->past && mark != 0 && (turn->mark + MARKS - mark) % MARKS <= 1);
}

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
		*load = (struct pager_load){.ref = refs[i],
					    .heat = PAGER_HEAT_FETCHED,
					    .read = true,
					    .past = !worth_a_frame(turn, refs[i])};
		if (load->past)
			load->heat = turn->mark;
		if (placed(turn, refs[i], &turn->places[turn->n])) {
			turn->n++;
			continue;
		}
		load->err = ERR_ABSENT; /* whoever asks for it says what is wrong */
		pager_end_loads(turn->pager, load, 1);
	}
	return i;
}

/* Whether the stored bytes go straight into the frame. */
static bool into_frame(const struct turn *turn, size_t i)
{
	return turn->places[i].encoding == FORMAT_RAW && !turn->loads[i].past;
}

static uint32_t stored_length(const struct turn *turn, size_t i)
{
	return place_blocks(turn->places[i].bytes) * FORMAT_BLOCK;
}

static size_t room_beside(const struct turn *turn)
{
	size_t sum = 0;

	for (size_t i = 0; i < turn->n; i++)
		if (!into_frame(turn, i))
			sum += stored_length(turn, i);
	return sum > 0 ? sum + 2 * (size_t)turn->pager->page_size : 0;
}

static int by_offset(const void *a, const void *b)
{
	uint64_t x = ((const struct store_io_read *)a)->offset;
	uint64_t y = ((const struct store_io_read *)b)->offset;

	return (x > y) - (x < y);
}

/* The page has been read: decodes it, and shows it. */
static void arrived(void *ctx, struct store_io_read *read)
{
	const struct piece *piece = ctx;
	struct turn *turn = piece->turn;
	struct pager *pager = turn->pager;
	struct pager_load *load = &turn->loads[piece->number];
	const struct place *at = &turn->places[piece->number];
	const struct pager_page *page = pager_page(pager, (enum format_space)load->ref.space,
						   load->ref.page);
	uint8_t *content = pager_frame(pager, load->ref);

	if (load->past)
		content = at->encoding == FORMAT_RAW ? read->buf : turn->beside + pager->page_size;
	load->err = read->result;
	if (load->err == 0)
		load->err = pager_decode(
			pager, at, page->checksum,
			page_seed(pager->uuid, (enum format_space)load->ref.space, load->ref.page),
			read->buf, content, turn->beside);
	load->err = pager_judge(pager, load->ref, content, load->err);
	if (load->err == 0 && turn->look != NULL)
		turn->look->show(turn->look->ctx, load->ref, content);
}

static void read_all(struct turn *turn)
{
	struct pager *pager = turn->pager;
	size_t at = 2 * (size_t)pager->page_size; /* in `beside`, which is NULL when not needed */

	for (size_t i = 0; i < turn->n; i++) {
		uint32_t length = stored_length(turn, i);
		uint8_t *to = pager_frame(pager, turn->loads[i].ref);

		if (!into_frame(turn, i)) {
			to = turn->beside + at;
			at += length;
		}
		turn->pieces[i] = (struct piece){turn, i};
		turn->reads[i] = (struct store_io_read){
			.offset = turn->places[i].block * FORMAT_BLOCK,
			.buf = to,
			.length = length,
			.arrived = arrived,
			.ctx = &turn->pieces[i],
		};
	}
	qsort(turn->reads, turn->n, sizeof(turn->reads[0]), by_offset);
	pager->io->ops->read_batch(pager->io, turn->reads, turn->n);
}

static void finish(struct turn *turn)
{
	size_t room = room_beside(turn);

	turn->beside = room > 0 ? mem_alloc_aligned(FORMAT_BLOCK, room) : NULL;
	if (room == 0 || turn->beside != NULL)
		read_all(turn);
	else
		for (size_t i = 0; i < turn->n; i++)
			turn->loads[i].err = ERR_NOMEM;
	pager_end_loads(turn->pager, turn->loads, turn->n);
	mem_free(turn->beside);
}

void pager_fetch_once(struct pager *pager, const struct pager_ref *refs, size_t n,
		      const struct pager_look *look)
{
	struct turn turn;

	turn.pager = pager;
	turn.look = look;
	look_at_frames(&turn);
	for (size_t i = 0; i < n;) {
		i += take(&turn, refs + i, n - i);
		if (turn.n > 0)
			finish(&turn);
	}
}

void pager_fetch(struct pager *pager, const struct pager_ref *refs, size_t n)
{
	pager_fetch_once(pager, refs, n, NULL);
}
