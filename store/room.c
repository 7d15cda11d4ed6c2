/* room.c - counting and promising blocks of the medium. The rules are in room.h. */
#include "store/room.h"

#include "store/base.h"
#include "store/store_private.h"

#define REST_PAGES 64u
#define REST_PAGES_MIN 8u
#define MEDIUM_SHARE 64u /* a small medium gives this part of itself to each reserve, at most */
#define CHUNK_BYTES (4u << 20)
#define LOG_BYTES (256u << 10)
#define LOG_BYTES_MIN (16u << 10)
#define GAIN_PAGES 8u	       /* fewer are not worth a checkpoint that nobody asked for */
#define EXTENTS_PER_TRUNK 500u /* a little fewer than there are, see freelist.c */

void room_init(struct room *room)
{
	(void)pthread_mutex_init(&room->lock, NULL); /* cannot fail with default attributes */
	room->rest_pages = REST_PAGES;
}

void room_release(struct room *room)
{
	(void)pthread_mutex_destroy(&room->lock); /* nobody holds it any more */
}

uint64_t room_log_bytes(uint64_t medium_bytes)
{
	uint64_t share = medium_bytes / MEDIUM_SHARE / FORMAT_BLOCK * FORMAT_BLOCK;

	if (share > LOG_BYTES)
		return LOG_BYTES;
	return share > LOG_BYTES_MIN ? share : LOG_BYTES_MIN;
}

static uint64_t page_blocks(const struct store *store)
{
	return store->head.page_size / FORMAT_BLOCK;
}

/* --- what is there --- */

/* Runs of a page among the free blocks below the end. */
static void count_free(struct store *store)
{
	uint64_t run = page_blocks(store), from = 0, aging = 0, block, n;
	struct pager *pager = store->pager;
	struct room *room = &store->room;

	room->blocks = room->extents = 0;
	for (size_t i = 0; i < pager->aging.n; i++)
		aging += pager->aging.list[i].blocks;
	atomic_store(&room->aging, aging);
	(void)pthread_mutex_lock(&pager->alloc_lock);
	while (alloc_next_free(pager->alloc, from, &block, &n)) {
		room->blocks += n / run * run;
		room->extents++;
		from = block + n;
	}
	block = alloc_end(pager->alloc);
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	if (room->promised_end < block)
		room->promised_end = block;
	room->blocks += (room->promised_end - block) / run * run;
}

/* --- what is needed --- */

/* Map pages of the spaces that a checkpoint writes. */
static uint64_t map_pages(struct store *store)
{
	struct pager *pager = store->pager;
	uint64_t n = 0;

	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint64_t pages = atomic_load(&pager->spaces[s].pages);

		if (pager_group_of((enum format_space)s) == PAGER_META)
			n += pages / pager->leaf_fanout + pages / pager->inner_fanout + 2;
	}
	return n;
}

/* Blocks for the next checkpoint if so many more pages change, besides the rest. */
static uint64_t needed(struct store *store, uint64_t pages)
{
	struct pager *pager = store->pager;
	uint64_t maps = map_pages(store), trunks;

	pages += atomic_load(&pager->groups[PAGER_META].dirty_bytes) / pager->page_size;
	if (maps > pages + PAGER_LEVELS)
		maps = pages + PAGER_LEVELS;
	trunks = (store->room.extents + 2 * pages) / EXTENTS_PER_TRUNK + 2;
	return atomic_load(&pager->taken_blocks) + (pages + 2 * maps) * page_blocks(store) + trunks;
}

/* Asks the medium for blocks behind the end. room->lock held. */
static int extend(struct store *store, uint64_t blocks)
{
	struct room *room = &store->room;
	uint64_t end = room->promised_end + blocks;
	int err = store->io->ops->reserve(store->io, end * FORMAT_BLOCK);

	if (err != 0)
		return err;
	room->promised_end = end;
	room->blocks += blocks;
	return 0;
}

/* Makes the room cover `want` blocks, with some to spare if there is that much. room->lock held. */
static int cover(struct store *store, uint64_t want)
{
	struct room *room = &store->room;
	uint64_t missing;
	int err;

	if (!room->bounded || room->blocks >= want)
		return 0;
	missing = round_up(want - room->blocks, page_blocks(store));
	err = extend(store, missing + CHUNK_BYTES / FORMAT_BLOCK);
	if (err == ERR_FULL)
		err = extend(store, missing);
	if (err != 0 && err != ERR_FULL)
		room->bounded =
			false; /* it cannot tell: then a full disk shows in the checkpoint */
	return err == ERR_FULL ? ERR_FULL : 0;
}

/* --- the calls --- */

void room_start(struct store *store)
{
	struct room *room = &store->room;
	uint64_t total = 0, free_bytes = 0, share;

	if (store->io->ops->space(store->io, &total, &free_bytes) == 0 && total != 0) {
		share = total / MEDIUM_SHARE / store->head.page_size;
		if (share < room->rest_pages)
			room->rest_pages = share > REST_PAGES_MIN ? share : REST_PAGES_MIN;
	}
	(void)pthread_mutex_lock(&room->lock);
	room->bounded = true;
	atomic_store(&store->pager->taken_blocks, 0);
	count_free(store);
	(void)cover(store, needed(store, 0) + room->rest_pages * page_blocks(store));
	(void)pthread_mutex_unlock(&room->lock);
}

/* What was promised behind the end and is not needed any more goes back. room->lock held. */
static void give_back(struct store *store, uint64_t want)
{
	struct room *room = &store->room;
	uint64_t bytes;

	if (!room->bounded || room->blocks <= want ||
	    store->io->ops->size(store->io, &bytes) != 0 ||
	    room->promised_end <= bytes / FORMAT_BLOCK ||
	    (room->blocks - want < 2 * CHUNK_BYTES / FORMAT_BLOCK &&
	     !wal_is_tight(store->wal, false)))
		return;
	if (store->io->ops->reserve(store->io, 0) != 0)
		return;
	room->promised_end = bytes / FORMAT_BLOCK;
	count_free(store);
}

void room_renew(struct store *store)
{
	struct room *room = &store->room;

	(void)pthread_mutex_lock(&room->lock);
	atomic_store(&store->pager->taken_blocks, 0); /* no checkpoint runs: nobody takes any now */
	count_free(store);
	give_back(store, needed(store, 0) + room->rest_pages * page_blocks(store));
	(void)cover(store, needed(store, 0) + room->rest_pages * page_blocks(store));
	(void)pthread_mutex_unlock(&room->lock);
}

void room_cut(struct store *store, uint64_t blocks, uint64_t had_blocks)
{
	struct room *room = &store->room;

	(void)pthread_mutex_lock(&room->lock);
	store->io->ops->discard(store->io, blocks * FORMAT_BLOCK,
				(had_blocks - blocks) * FORMAT_BLOCK);
	if (room->promised_end > blocks)
		room->promised_end = blocks;
	(void)pthread_mutex_unlock(&room->lock);
}

int room_take(struct store *store, enum room_use use, uint64_t pages)
{
	struct room *room = &store->room;
	uint64_t rest = use == ROOM_CHANGE ? room->rest_pages / 2 : room->rest_pages;
	int err;

	(void)pthread_mutex_lock(&room->lock);
	err = cover(store, needed(store, pages) + rest * page_blocks(store));
	(void)pthread_mutex_unlock(&room->lock);
	return err;
}

uint64_t room_of_put(struct store *store, uint64_t index)
{
	uint64_t size = atomic_load(&store->slots.value_size), page = store->head.page_size;
	uint64_t directory = atomic_load(&store->pager->spaces[FORMAT_SPACE_DIR].pages);

	/* a bucket, and what splitting it once changes; long entries may split it more than once */
	if (index < 3 + 2 * directory)
		index = 3 + 2 * directory;
	return (size + page - 1) / page + 2 + index; /* the value; two slot entries */
}

/* Blocks are free only after the checkpoint after the one that replaced them. */
static bool may_gain(struct store *store)
{
	return atomic_load(&store->commits_since) ||
	       atomic_load(&store->room.aging) >= GAIN_PAGES * page_blocks(store);
}

bool room_is_tight(struct store *store, bool put)
{
	struct room *room = &store->room;
	uint64_t rest = put ? room->rest_pages : room->rest_pages / 2;
	int err;

	if (!may_gain(store))
		return false;
	if (wal_is_tight(store->wal, !put))
		return true;
	(void)pthread_mutex_lock(&room->lock);
	err = cover(store,
		    needed(store, put ? room_of_put(store, 0) : 0) + rest * page_blocks(store));
	(void)pthread_mutex_unlock(&room->lock);
	return err != 0;
}
