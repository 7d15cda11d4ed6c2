/*
 * slot_ids.c - ids in groups of 64 neighbouring slots: the length of each, then the ids one after the
 * other. A clock decides which group goes when all take more than their share of the cache.
 */
#include "store/slot_ids.h"

#include <string.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/mem.h"
#include "store/pager.h"
#include "store/tables.h"

#define GROUP 64u
#define CHUNK_GROUPS (TABLE_CHUNK / GROUP)
#define CHUNKS_BYTES (TABLE_CHUNKS * sizeof(struct slot_group **))
#define SLACK 64u	/* bytes that a group grows by, at least */
#define SHARE 8u	/* of the cache is theirs */
#define BLOCK_BYTES 16u /* what the allocator keeps of a block, about */

struct slot_group {
	bool used; /* since the hand passed */
	uint8_t lengths[GROUP];
	uint16_t bytes, cap; /* of ids */
	char ids[];
};

void slot_ids_init(struct slot_ids *ids, struct pager *pager)
{
	memset(ids, 0, sizeof(*ids));
	ids->pager = pager;
	(void)pthread_mutex_init(&ids->lock, NULL); /* cannot fail on Linux */
}

static void account(struct slot_ids *ids, int64_t bytes)
{
	ids->bytes += (uint64_t)bytes;
	atomic_fetch_add(&ids->pager->charged, (uint64_t)bytes);
}

static int64_t bytes_of(const struct slot_group *group)
{
	return (int64_t)(BLOCK_BYTES + sizeof(*group) + group->cap);
}

/* Where the group with this number is or would be; NULL: there is no table for it. */
static struct slot_group **place_of(const struct slot_ids *ids, uint32_t number)
{
	struct slot_group **chunk;

	if (ids->chunks == NULL || number / CHUNK_GROUPS >= TABLE_CHUNKS)
		return NULL;
	chunk = ids->chunks[number / CHUNK_GROUPS];
	return chunk != NULL ? &chunk[number % CHUNK_GROUPS] : NULL;
}

static struct slot_group *group_of(const struct slot_ids *ids, uint32_t slot)
{
	struct slot_group **place = place_of(ids, slot / GROUP);

	return place != NULL ? *place : NULL;
}

static void free_group(struct slot_ids *ids, uint32_t number)
{
	struct slot_group **place = place_of(ids, number);

	account(ids, -bytes_of(*place));
	mem_free(*place);
	*place = NULL;
}

static void clear(struct slot_ids *ids)
{
	while (ids->n_groups > 0)
		free_group(ids, ids->groups[--ids->n_groups]);
	ids->hand = 0;
}

void slot_ids_clear(struct slot_ids *ids)
{
	(void)pthread_mutex_lock(&ids->lock);
	clear(ids);
	(void)pthread_mutex_unlock(&ids->lock);
}

void slot_ids_release(struct slot_ids *ids)
{
	if (ids->chunks != NULL) {
		clear(ids);
		for (uint32_t i = 0; i < TABLE_CHUNKS; i++)
			if (ids->chunks[i] != NULL)
				mem_free(ids->chunks[i]);
		mem_unreserve((void *)ids->chunks, CHUNKS_BYTES);
	}
	mem_free(ids->groups);
	(void)pthread_mutex_destroy(&ids->lock);
	memset(ids, 0, sizeof(*ids));
}

/* Where the id of a slot begins, or would begin. */
static uint32_t offset_of(const struct slot_group *group, uint32_t slot)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < slot % GROUP; i++)
		at += group->lengths[i];
	return at;
}

bool slot_ids_has(struct slot_ids *ids, uint32_t slot)
{
	const struct slot_group *group;
	bool has;

	if (!atomic_load_explicit(&ids->any, memory_order_relaxed))
		return false;
	(void)pthread_mutex_lock(&ids->lock);
	group = group_of(ids, slot);
	has = group != NULL && group->lengths[slot % GROUP] > 0;
	(void)pthread_mutex_unlock(&ids->lock);
	return has;
}

bool slot_ids_get(struct slot_ids *ids, uint32_t slot, char *id_out, uint16_t *len_out)
{
	struct slot_group *group;
	uint16_t len = 0;

	if (!atomic_load_explicit(&ids->any, memory_order_relaxed))
		return false;
	(void)pthread_mutex_lock(&ids->lock);
	group = group_of(ids, slot);
	if (group != NULL)
		len = group->lengths[slot % GROUP];
	if (len > 0) {
		group->used = true;
		memcpy(id_out, group->ids + offset_of(group, slot), len);
		id_out[len] = '\0';
		*len_out = len;
	}
	(void)pthread_mutex_unlock(&ids->lock);
	return len > 0;
}

/* --- putting; lock held --- */

static uint64_t share(const struct slot_ids *ids)
{
	return atomic_load(&ids->pager->limit) / SHARE;
}

/* Lets groups go until `more` bytes fit; the one that they are for stays. */
static void make_room(struct slot_ids *ids, uint64_t more, uint32_t but)
{
	for (size_t looks = 2 * ids->n_groups; looks > 0 && ids->bytes + more > share(ids);
	     looks--) {
		uint32_t number;
		struct slot_group *group;

		ids->hand = ids->hand < ids->n_groups ? ids->hand : 0;
		number = ids->groups[ids->hand];
		group = *place_of(ids, number);
		if (number == but || group->used) {
			group->used = false;
			ids->hand++;
			continue;
		}
		free_group(ids, number);
		ids->groups[ids->hand] = ids->groups[--ids->n_groups];
	}
}

/* The place of a group, with its table, and room in the clock. NULL: no memory. */
static struct slot_group **make_place(struct slot_ids *ids, uint32_t number)
{
	struct slot_group ***chunk;

	if (number / CHUNK_GROUPS >= TABLE_CHUNKS)
		return NULL;
	if (ids->chunks == NULL)
		ids->chunks = mem_reserve(CHUNKS_BYTES, false);
	if (ids->chunks == NULL || mem_grow((void **)&ids->groups, &ids->cap_groups,
					    ids->n_groups + 1, sizeof(*ids->groups)) != 0)
		return NULL;
	chunk = &ids->chunks[number / CHUNK_GROUPS];
	if (*chunk == NULL)
		*chunk = mem_zalloc(CHUNK_GROUPS, sizeof(**chunk));
	return *chunk != NULL ? &(*chunk)[number % CHUNK_GROUPS] : NULL;
}

/* The group of a slot with room for so many bytes more. NULL: no room, or no memory. */
static struct slot_group *make_group(struct slot_ids *ids, uint32_t slot, size_t len)
{
	struct slot_group **place = make_place(ids, slot / GROUP), *group;
	size_t need, more;

	if (place == NULL)
		return NULL;
	need = len + (*place != NULL ? (*place)->bytes : 0);
	if (*place != NULL && need <= (*place)->cap)
		return *place;
	more = *place != NULL ? need - (*place)->cap + SLACK :
				BLOCK_BYTES + sizeof(*group) + need + SLACK;
	make_room(ids, more, slot / GROUP);
	if (ids->bytes + more > share(ids))
		return NULL;
	group = mem_resize(*place, 1, sizeof(*group) + need + SLACK);
	if (group == NULL)
		return NULL;
	if (*place == NULL) {
		memset(group, 0, sizeof(*group));
		ids->groups[ids->n_groups++] = slot / GROUP;
	}
	group->cap = (uint16_t)(need + SLACK);
	account(ids, (int64_t)more);
	*place = group;
	return group;
}

static void put(struct slot_ids *ids, uint32_t slot, const char *id, size_t len)
{
	struct slot_group *group = group_of(ids, slot);
	uint32_t at;

	if (group != NULL && group->lengths[slot % GROUP] > 0)
		return;
	group = make_group(ids, slot, len);
	if (group == NULL)
		return;
	at = offset_of(group, slot);
	memmove(group->ids + at + len, group->ids + at, group->bytes - at);
	memcpy(group->ids + at, id, len);
	group->lengths[slot % GROUP] = (uint8_t)len;
	group->bytes = (uint16_t)(group->bytes + len);
	atomic_store_explicit(&ids->any, true, memory_order_relaxed);
}

void slot_ids_put(struct slot_ids *ids, uint32_t slot, const char *id, size_t len)
{
	(void)pthread_mutex_lock(&ids->lock);
	put(ids, slot, id, len);
	(void)pthread_mutex_unlock(&ids->lock);
}

void slot_ids_put_bucket(struct slot_ids *ids, const uint8_t *page)
{
	const struct format_entry *entry;
	uint32_t at = 0;

	(void)pthread_mutex_lock(&ids->lock);
	while ((entry = ids_bucket_next(page, &at)) != NULL &&
	       ids->bytes + BLOCK_BYTES + sizeof(struct slot_group) + FORMAT_ID_MAX + SLACK <
		       share(ids))
		put(ids, get_u32(entry->slot), (const char *)entry + sizeof(*entry),
		    entry->id_length[0]);
	(void)pthread_mutex_unlock(&ids->lock);
}

void slot_ids_drop(struct slot_ids *ids, uint32_t slot)
{
	struct slot_group *group;

	if (!atomic_load_explicit(&ids->any, memory_order_relaxed))
		return;
	(void)pthread_mutex_lock(&ids->lock);
	group = group_of(ids, slot);
	if (group != NULL && group->lengths[slot % GROUP] > 0) {
		uint32_t at = offset_of(group, slot), len = group->lengths[slot % GROUP];

		memmove(group->ids + at, group->ids + at + len, group->bytes - at - len);
		group->lengths[slot % GROUP] = 0;
		group->bytes = (uint16_t)(group->bytes - len);
	}
	(void)pthread_mutex_unlock(&ids->lock);
}
