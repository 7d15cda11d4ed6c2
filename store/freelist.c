/* freelist.c - writing and reading the chain of trunks. */
#include "store/freelist.h"

#include <string.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/page.h"

#define EXTENTS (sizeof(((struct format_trunk *)0)->extents) / 8)
#define BLOCK_BITS 36
#define COUNT_MAX ((1u << 27) - 1)
#define NEEDED ((uint64_t)1 << 63)

struct extent_list {
	uint64_t *packed;
	size_t n, cap;
	uint64_t free_blocks;
};

static int add(struct extent_list *list, uint64_t block, uint64_t blocks, bool needed)
{
	while (blocks > 0) {
		uint64_t n = blocks < COUNT_MAX ? blocks : COUNT_MAX;
		int err = mem_grow((void **)&list->packed, &list->cap, list->n + 1,
				   sizeof(*list->packed));

		if (err != 0)
			return err;
		list->packed[list->n++] = block | n << BLOCK_BITS | (needed ? NEEDED : 0);
		if (!needed)
			list->free_blocks += n;
		block += n;
		blocks -= n;
	}
	return 0;
}

static int add_extents(struct extent_list *list, const struct pager_extents *extents, bool needed)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < extents->n; i++)
		err = add(list, extents->list[i].block, extents->list[i].blocks, needed);
	return err;
}

static int collect(struct pager *pager, bool graph, struct extent_list *list)
{
	uint64_t from = 0, block, n;
	int err = 0;

	(void)pthread_mutex_lock(&pager->alloc_lock);
	while (err == 0 && alloc_next_free(pager->alloc, from, &block, &n)) {
		err = add(list, block, n, false);
		from = block + n;
	}
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	if (err == 0)
		err = add_extents(list, &pager->aging, false);
	for (int g = 0; err == 0 && g <= (graph ? PAGER_GRAPH : PAGER_META); g++) {
		struct pager_group *group = &pager->groups[g];

		(void)pthread_mutex_lock(&group->lock);
		err = add_extents(list, &group->freed, true);
		(void)pthread_mutex_unlock(&group->lock);
	}
	return err;
}

/* Lets go of the trunks of the last list and takes n blocks for the new ones. */
static int renew_trunks(struct pager *pager, size_t n, struct pager_extents *trunks)
{
	struct pager_group *meta = &pager->groups[PAGER_META];
	int err;

	(void)pthread_mutex_lock(&meta->lock);
	/* all or none: what is let go of here is no trunk any more */
	err = mem_grow((void **)&meta->freed.list, &meta->freed.cap, meta->freed.n + trunks->n,
		       sizeof(*meta->freed.list));
	for (size_t i = 0; err == 0 && i < trunks->n; i++)
		err = pager_extents_add(
			&meta->freed, place_pack(trunks->list[i].block, FORMAT_BLOCK, FORMAT_RAW));
	(void)pthread_mutex_unlock(&meta->lock);
	if (err != 0)
		return err;
	trunks->n = 0;
	(void)pthread_mutex_lock(&pager->alloc_lock);
	for (size_t i = 0; err == 0 && i < n; i++) {
		uint64_t block;

		err = alloc_take(pager->alloc, 1, &block);
		if (err == 0)
			err = pager_extents_add(trunks,
						place_pack(block, FORMAT_BLOCK, FORMAT_RAW));
	}
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	return err;
}

/* How many trunks the list will need, counted before they take blocks themselves. */
static int count_trunks(struct pager *pager, bool graph, size_t old_trunks, size_t *n_out)
{
	struct extent_list list = {0};
	int err = collect(pager, graph, &list);

	/* each old trunk becomes an extent, and each new one may split another in two */
	*n_out = (list.n + old_trunks) / (EXTENTS - 1) + 1;
	mem_free(list.packed);
	return err;
}

int freelist_write(struct pager *pager, bool graph, struct pager_extents *trunks,
		   struct head_slot *slot)
{
	struct extent_list list = {0};
	struct format_trunk trunk;
	uint64_t next_place = 0, next_checksum = 0;
	size_t n = 0;
	int err = count_trunks(pager, graph, trunks->n, &n);

	if (err == 0)
		err = renew_trunks(pager, n, trunks);
	if (err == 0)
		err = collect(pager, graph, &list);
	for (size_t i = trunks->n; err == 0 && i-- > 0;) {
		size_t first = i * EXTENTS, count = 0;
		uint64_t block = trunks->list[i].block;

		memset(&trunk, 0, sizeof(trunk));
		for (; count < EXTENTS && first + count < list.n; count++)
			put_u64(trunk.extents[count], list.packed[first + count]);
		put_u32(trunk.magic, FORMAT_TRUNK_MAGIC);
		put_u32(trunk.count, (uint32_t)count);
		put_u64(trunk.next_place, next_place);
		put_u64(trunk.next_checksum, next_checksum);
		err = pager->io->ops->write(pager->io, block * FORMAT_BLOCK, &trunk, sizeof(trunk));
		next_place = place_pack(block, FORMAT_BLOCK, FORMAT_RAW);
		next_checksum = page_checksum(&trunk, sizeof(trunk),
					      page_trunk_seed(pager->uuid, block));
	}
	slot->free_place = next_place;
	slot->free_checksum = next_checksum;
	slot->free_blocks = list.free_blocks;
	mem_free(list.packed);
	return err;
}

/* *left: blocks of the head that no extent has named yet; a list that names more names some twice. */
static int visit_trunk(const struct format_trunk *trunk, uint64_t blocks, uint64_t *left,
		       freelist_visit visit, void *ctx)
{
	uint32_t count = get_u32(trunk->count);
	int err = 0;

	if (get_u32(trunk->magic) != FORMAT_TRUNK_MAGIC || count > EXTENTS)
		return ERR_DAMAGED;
	for (uint32_t i = 0; err == 0 && i < count; i++) {
		uint64_t packed = get_u64(trunk->extents[i]);
		uint64_t block = packed & (((uint64_t)1 << BLOCK_BITS) - 1);
		uint64_t n = packed >> BLOCK_BITS & COUNT_MAX;

		if (n == 0 || block < FORMAT_PAGES_AT / FORMAT_BLOCK || block + n > blocks ||
		    n > *left)
			return ERR_DAMAGED;
		*left -= n;
		err = visit(ctx, block, n, (packed & NEEDED) != 0);
	}
	return err;
}

int freelist_read(struct store_io *io, const uint8_t uuid[16], const struct head_slot *slot,
		  struct pager_extents *trunks_out, freelist_visit visit, void *ctx)
{
	uint64_t place = slot->free_place, checksum = slot->free_checksum, seen = 0;
	uint64_t left = slot->blocks;
	struct format_trunk trunk;
	struct place at;
	int err = 0;

	while (err == 0 && place != 0) {
		if (!place_unpack(place, &at) || at.bytes != FORMAT_BLOCK ||
		    at.encoding != FORMAT_RAW || at.block >= slot->blocks || seen++ > slot->blocks)
			return ERR_DAMAGED;
		err = io->ops->read(io, at.block * FORMAT_BLOCK, &trunk, sizeof(trunk));
		if (err == 0 && page_checksum(&trunk, sizeof(trunk),
					      page_trunk_seed(uuid, at.block)) != checksum)
			err = ERR_DAMAGED;
		if (err == 0 && trunks_out != NULL)
			err = pager_extents_add(trunks_out, place);
		if (err == 0)
			err = visit_trunk(&trunk, slot->blocks, &left, visit, ctx);
		place = get_u64(trunk.next_place);
		checksum = get_u64(trunk.next_checksum);
	}
	return err;
}
