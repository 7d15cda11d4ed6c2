/* ids.c - finding and changing entries of the id index; ids_list.c walks it. */
#include "store/ids.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/mem.h"

#define DEPTH_MAX 26u
#define SPREAD                                                                                     \
	128u /* directory entries a bucket; hashes that spread as they should need far fewer */

int ids_init(struct ids *ids, struct pager *pager, uint64_t seed, uint32_t depth, uint32_t buckets)
{
	uint32_t dir_pages = atomic_load(&pager->spaces[FORMAT_SPACE_DIR].pages);
	pthread_rwlockattr_t attr;

	memset(ids, 0, sizeof(*ids));
	if (depth > DEPTH_MAX || buckets > atomic_load(&pager->spaces[FORMAT_SPACE_BUCKET].pages) ||
	    (buckets > 0 && (uint64_t)dir_pages * (pager->page_size / 4) < (uint64_t)1 << depth))
		return ERR_DAMAGED;
	ids->pager = pager;
	pager->spaces[FORMAT_SPACE_BUCKET].valid = ids_bucket_valid;
	ids->seed = seed;
	ids->depth = depth;
	ids->buckets = buckets;
	/* these cannot fail on Linux; writers first, or a stream of readers would hold off commits */
	(void)pthread_rwlockattr_init(&attr);
	(void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&ids->lock, &attr);
	(void)pthread_rwlockattr_destroy(&attr);
	return 0;
}

void ids_release(struct ids *ids)
{
	if (ids->pager != NULL)
		(void)pthread_rwlock_destroy(&ids->lock);
	memset(ids, 0, sizeof(*ids));
}

uint64_t ids_hash(const struct ids *ids, const char *id, size_t len)
{
	return XXH3_64bits_withSeed(id, len, ids->seed);
}

/* --- the directory --- */

static uint32_t dir_index(const struct ids *ids, uint64_t hash)
{
	return ids->depth == 0 ? 0 : (uint32_t)(hash >> (64 - ids->depth));
}

int ids_bucket_number(struct ids *ids, uint32_t index, uint32_t *bucket_out)
{
	uint32_t per_page = ids->pager->page_size / 4;
	const void *page;
	int err = pager_get(ids->pager, FORMAT_SPACE_DIR, index / per_page, STORE_HINT_NONE, &page);

	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	*bucket_out = get_u32((const uint8_t *)page + (size_t)(index % per_page) * 4);
	return *bucket_out < ids->buckets ? 0 : ERR_DAMAGED;
}

int ids_bucket_of(struct ids *ids, uint64_t hash, uint32_t *bucket_out)
{
	if (ids->buckets == 0)
		return ERR_ABSENT;
	return ids_bucket_number(ids, dir_index(ids, hash), bucket_out);
}

int ids_bucket_page(struct ids *ids, uint32_t index, uint32_t *number_out, const uint8_t **page_out)
{
	const void *page;
	int err = ids_bucket_number(ids, index, number_out);

	if (err != 0)
		return err;
	err = pager_get(ids->pager, FORMAT_SPACE_BUCKET, *number_out, STORE_HINT_NONE, &page);
	/* a page that was never written was not judged when it was loaded: it has no magic */
	if (err == ERR_ABSENT || (err == 0 && get_u32(page) != FORMAT_BUCKET_MAGIC))
		err = ERR_DAMAGED;
	*page_out = err == 0 ? page : NULL;
	return err;
}

static int find_bucket(struct ids *ids, uint64_t hash, uint32_t *number_out,
		       const uint8_t **page_out)
{
	if (ids->buckets == 0)
		return ERR_ABSENT;
	return ids_bucket_page(ids, dir_index(ids, hash), number_out, page_out);
}

/* --- reading --- */

static int locate(struct ids *ids, uint64_t hash, const char *id, size_t len,
		  struct ids_place *place)
{
	const uint8_t *page;
	int err;

	*place = (struct ids_place){.hash = hash};
	err = find_bucket(ids, hash, &place->bucket, &page);
	if (err != 0)
		return err;
	place->page = (uint8_t *)(uintptr_t)page;
	place->found = ids_bucket_find(page, ids->pager->page_size, hash, id, len);
	if (place->found == NULL)
		ids_bucket_prefetch_end(page);
	return place->found != NULL ? 0 : ERR_ABSENT;
}

int ids_locate(struct ids *ids, const char *id, size_t len, struct ids_place *place_out)
{
	return locate(ids, ids_hash(ids, id, len), id, len, place_out);
}

int ids_find(struct ids *ids, const char *id, size_t len, struct store_entry *entry_out)
{
	struct ids_place place;
	int err = ids_locate(ids, id, len, &place);

	if (err == 0)
		ids_bucket_entry(place.found, entry_out);
	return err;
}

void ids_prefetch(struct ids *ids, const char *id, size_t len)
{
	uint32_t index = dir_index(ids, ids_hash(ids, id, len));
	uint32_t per_page = ids->pager->page_size / 4;
	const uint8_t *page = pager_peek(ids->pager, FORMAT_SPACE_DIR, index / per_page);

	if (page != NULL)
		page = pager_peek(ids->pager, FORMAT_SPACE_BUCKET,
				  get_u32(page + (size_t)(index % per_page) * 4));
	if (page != NULL)
		ids_bucket_prefetch(page, ids->pager->page_size);
}

int ids_find_slot(struct ids *ids, uint64_t hash, uint32_t slot, struct store_entry *entry_out)
{
	const struct format_entry *entry;
	const uint8_t *page;
	uint32_t number;
	int err = find_bucket(ids, hash, &number, &page);

	if (err != 0)
		return err;
	entry = ids_bucket_find_slot(page, ids->pager->page_size, hash, slot);
	if (entry == NULL)
		return ERR_ABSENT;
	ids_bucket_entry(entry, entry_out);
	return 0;
}

/* --- making room --- */

static int make_first_bucket(struct ids *ids)
{
	void *dir, *bucket;
	int err = pager_change(ids->pager, FORMAT_SPACE_DIR, 0, &dir);

	if (err == 0)
		err = pager_change(ids->pager, FORMAT_SPACE_BUCKET, 0, &bucket);
	if (err != 0)
		return err;
	(void)pthread_rwlock_wrlock(&ids->lock);
	put_u32(dir, 0);
	ids_bucket_format(bucket, ids->pager->page_size, 0);
	ids->depth = 0;
	ids->buckets = 1;
	(void)pthread_rwlock_unlock(&ids->lock);
	return 0;
}

/* Sets directory entries first ... end-1; the pages were brought in by dir_reserve. */
static void dir_set(struct ids *ids, uint32_t index, uint32_t bucket)
{
	uint32_t per_page = ids->pager->page_size / 4;
	void *page = NULL;
	int err = pager_change(ids->pager, FORMAT_SPACE_DIR, index / per_page, &page);

	assert(err == 0);
	(void)err; /* dir_reserve made the page changeable: it stays in memory */
	put_u32((uint8_t *)page + (size_t)(index % per_page) * 4, bucket);
}

static int dir_reserve(struct ids *ids, uint32_t first, uint32_t end)
{
	uint32_t per_page = ids->pager->page_size / 4;
	void *page;
	int err = 0;

	for (uint32_t p = first / per_page; err == 0 && p <= (end - 1) / per_page; p++)
		err = pager_change(ids->pager, FORMAT_SPACE_DIR, p, &page);
	return err;
}

static int double_directory(struct ids *ids)
{
	uint32_t entries = 1u << ids->depth, bucket = 0;
	int err;

	if (ids->depth >= DEPTH_MAX)
		return ERR_LIMIT;
	/* entries that no split parts, whatever its depth, have hashes that are not their own */
	if (entries / SPREAD > ids->buckets)
		return ERR_DAMAGED;
	err = dir_reserve(ids, 0, entries * 2);
	for (uint32_t i = 0; err == 0 && i < entries; i++)
		err = ids_bucket_number(ids, i, &bucket);
	if (err != 0)
		return err;
	(void)pthread_rwlock_wrlock(&ids->lock);
	for (uint32_t i = entries; i-- > 0;) {
		(void)ids_bucket_number(ids, i, &bucket); /* all were read just now */
		dir_set(ids, i * 2 + 1, bucket);
		dir_set(ids, i * 2, bucket);
	}
	ids->depth++;
	(void)pthread_rwlock_unlock(&ids->lock);
	return 0;
}

/* Splits the bucket of hash in two by the next bit. */
static int split(struct ids *ids, uint64_t hash)
{
	uint32_t number, depth, span, first, fresh = ids->buckets;
	const uint8_t *page;
	void *old, *new;
	int err = find_bucket(ids, hash, &number, &page);

	if (err != 0)
		return err;
	depth = ids_bucket_depth(page);
	if (depth > ids->depth)
		return ERR_DAMAGED;
	if (depth == ids->depth) {
		err = double_directory(ids);
		if (err != 0)
			return err;
	}
	span = 1u << (ids->depth - depth);
	first = dir_index(ids, hash) & ~(span - 1);
	err = dir_reserve(ids, first, first + span);
	if (err == 0)
		err = pager_change(ids->pager, FORMAT_SPACE_BUCKET, number, &old);
	if (err == 0)
		err = pager_change(ids->pager, FORMAT_SPACE_BUCKET, fresh, &new);
	if (err != 0)
		return err;
	(void)pthread_rwlock_wrlock(&ids->lock);
	ids_bucket_split(old, new, ids->pager->page_size);
	for (uint32_t i = first + span / 2; i < first + span; i++)
		dir_set(ids, i, fresh);
	ids->buckets = fresh + 1;
	(void)pthread_rwlock_unlock(&ids->lock);
	return 0;
}

int ids_reserve_at(struct ids *ids, const char *id, size_t len, struct ids_place *place,
		   const struct xattrs *xattrs)
{
	uint32_t page_size = ids->pager->page_size;
	void *change;
	int err = ids->buckets == 0 ? make_first_bucket(ids) : 0;

	while (err == 0) {
		if (place->page == NULL)
			err = locate(ids, place->hash, id, len, place);
		if (place->page == NULL)
			return err;
		if (ids_bucket_room(place->page, page_size) >=
		    ids_bucket_growth(place->found, len, xattrs))
			return pager_change(ids->pager, FORMAT_SPACE_BUCKET, place->bucket,
					    &change);
		place->page = NULL;
		err = split(ids, place->hash);
	}
	return err;
}

uint64_t ids_reserve_pages(const struct ids *ids, const struct ids_place *place, size_t len,
			   const struct xattrs *xattrs)
{
	uint32_t page_size = ids->pager->page_size, was, depth, growth, room;
	uint64_t entries = 0;

	if (place->page == NULL)
		return 2; /* the first of the directory, and of the buckets; or nothing will work */
	was = depth = ids_bucket_depth(place->page);
	growth = ids_bucket_growth(place->found, len, xattrs);
	room = ids_bucket_room(place->page, page_size);
	/* as ids_reserve_at splits, until it has room or gives up */
	while (room < growth &&
	       (depth < ids->depth ||
		(depth < DEPTH_MAX && (1u << depth) / SPREAD <= ids->buckets + (depth - was)))) {
		depth++;
		room = ids_bucket_room_at(place->page, page_size, place->hash, depth);
	}
	if (depth > ids->depth)
		entries = (uint64_t)1 << depth;
	else if (depth > was)
		entries = (uint64_t)1 << (ids->depth - was);
	return 1 + (depth - was) + (entries * 4 + page_size - 1) / page_size;
}

int ids_reserve(struct ids *ids, const char *id, size_t len, const struct xattrs *xattrs)
{
	struct ids_place place = {.hash = ids_hash(ids, id, len)};

	return ids_reserve_at(ids, id, len, &place, xattrs);
}

/* --- changing --- */

void ids_put_at(struct ids *ids, const struct ids_place *place, const struct store_entry *entry,
		const struct xattrs *xattrs)
{
	ids_bucket_put(place->page, ids->pager->page_size, place->found, place->hash, entry,
		       xattrs);
}

void ids_remove_at(struct ids *ids, const struct ids_place *place)
{
	ids_bucket_remove(place->page, ids->pager->page_size, place->found);
}

/* ids_reserve has read and marked the page: it stays in memory. */
static void place_reserved(struct ids *ids, const char *id, size_t len, struct ids_place *place)
{
	int err = ids_locate(ids, id, len, place);

	assert(err == 0 || err == ERR_ABSENT);
	(void)err;
}

void ids_put(struct ids *ids, const struct store_entry *entry, const struct xattrs *xattrs)
{
	struct ids_place place;

	place_reserved(ids, entry->id, entry->id_len, &place);
	ids_put_at(ids, &place, entry, xattrs);
}

void ids_remove(struct ids *ids, const char *id, size_t len)
{
	struct ids_place place;

	place_reserved(ids, id, len, &place);
	if (place.found != NULL)
		ids_remove_at(ids, &place);
}
