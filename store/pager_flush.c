/*
 * pager_flush.c - changed pages go to disk: freeze, encode, write to free blocks, publish.
 *
 * A flush writes the pages of one group as they were when it froze them. Changers do not wait: before
 * they change a frozen page that is not copied yet they leave its content as a pre-image
 * (pager_change). Pre-images are written first, then the rest of the frozen list.
 */
#include "store/pager.h"

#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/codec.h"
#include "store/mem.h"
#include "store/page.h"

int pager_extents_add(struct pager_extents *extents, uint64_t place)
{
	struct place at;
	int err;

	if (!place_unpack(place, &at))
		return ERR_DAMAGED;
	err = mem_grow((void **)&extents->list, &extents->cap, extents->n + 1,
		       sizeof(*extents->list));
	if (err == 0)
		extents->list[extents->n++] = (struct pager_extent){at.block,
								    place_blocks(at.bytes)};
	return err;
}

void pager_extents_release(struct pager_extents *extents)
{
	mem_free(extents->list);
	memset(extents, 0, sizeof(*extents));
}

int pager_write_blocks(struct pager *pager, const void *bytes, uint32_t len, uint64_t *block_out)
{
	uint32_t blocks = place_blocks(len);
	uint64_t block;
	int err;

	(void)pthread_mutex_lock(&pager->alloc_lock);
	err = alloc_take(pager->alloc, blocks, &block);
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	if (err != 0)
		return err;
	atomic_fetch_add(&pager->taken_blocks, blocks);
	err = pager->io->ops->write(pager->io, block * FORMAT_BLOCK, bytes,
				    (size_t)blocks * FORMAT_BLOCK);
	if (err != 0)
		pager_give_blocks(pager, place_pack(block, len, FORMAT_RAW));
	else
		*block_out = block;
	return err;
}

void pager_give_blocks(struct pager *pager, uint64_t place)
{
	struct place at;

	if (!place_unpack(place, &at))
		return;
	(void)pthread_mutex_lock(&pager->alloc_lock);
	(void)alloc_give(pager->alloc, at.block, place_blocks(at.bytes)); /* in use: invariant 4 */
	(void)pthread_mutex_unlock(&pager->alloc_lock);
}

int pager_replaced(struct pager *pager, struct pager_group *group, uint64_t place,
		   uint32_t placed_gen)
{
	if (place == 0)
		return 0;
	if (placed_gen <= group->published_gen)
		return pager_extents_add(&group->freed, place);
	pager_give_blocks(pager, place);
	return 0;
}

int pager_set_place(struct pager *pager, enum format_space name, uint32_t number, uint64_t place,
		    uint64_t checksum)
{
	struct pager_group *group = &pager->groups[pager_group_of(name)];
	struct pager_space *space = &pager->spaces[name];
	struct pager_page *page = pager_page(pager, name, number);
	struct pager_level *leaves = &space->levels[0];
	size_t leaf = number / pager->leaf_fanout, had = leaves->cap;
	struct place at;
	int err = mem_grow((void **)&leaves->nodes, &leaves->cap, leaf + 1, sizeof(*leaves->nodes));

	if (err != 0)
		return err;
	if (leaves->cap > had)
		memset(leaves->nodes + had, 0, (leaves->cap - had) * sizeof(*leaves->nodes));
	if (leaf >= leaves->n)
		leaves->n = leaf + 1;
	err = pager_replaced(pager, group, page->place, page->placed_gen);
	if (err != 0)
		return err;
	if (place_unpack(page->place, &at)) {
		atomic_fetch_sub(&space->stored_bytes, at.bytes);
		atomic_fetch_sub(&space->stored_pages, 1);
	}
	if (place_unpack(place, &at)) {
		atomic_fetch_add(&space->stored_bytes, at.bytes);
		atomic_fetch_add(&space->stored_pages, 1);
	}
	__atomic_store_n(&page->place, place, __ATOMIC_RELAXED); /* pager_fetch looks on */
	page->checksum = checksum;
	pager_note(pager, page, 0); /* what was bad on disk is replaced */
	page->placed_gen = group->frozen_gen != 0 ? group->frozen_gen : atomic_load(&group->gen);
	leaves->nodes[leaf].dirty = true;
	return 0;
}

void pager_freeze(struct pager *pager, enum pager_group_name name)
{
	struct pager_group *group = &pager->groups[name];
	struct pager_ref *refs;
	size_t cap;

	(void)pthread_mutex_lock(&group->lock);
	refs = group->frozen;
	cap = group->cap_frozen;
	group->frozen = group->dirty;
	group->n_frozen = group->n_dirty;
	group->cap_frozen = group->cap_dirty;
	group->dirty = refs;
	group->cap_dirty = cap;
	group->n_dirty = 0;
	group->frozen_total = group->n_frozen;
	group->frozen_gen = atomic_load(&group->gen);
	atomic_store(&group->gen, group->frozen_gen + 1);
	(void)pthread_mutex_unlock(&group->lock);
}

/* Frozen pages not written yet become dirty ones. group->lock held. */
static void thaw_list(struct pager *pager, struct pager_group *group)
{
	uint32_t gen = atomic_load(&group->gen);
	size_t kept = 0;

	for (size_t i = 0; i < group->n_frozen; i++) {
		struct pager_ref ref = group->frozen[i];
		struct pager_page *page = pager_page(pager, (enum format_space)ref.space, ref.page);

		if (atomic_load(&page->dirty_gen) != group->frozen_gen)
			continue;
		atomic_store(&page->dirty_gen, gen);
		group->frozen[kept++] = ref;
	}
	group->n_frozen = 0;
	if (group->n_dirty > 0) {
		/* mark_dirty left room for them */
		memcpy(group->dirty + group->n_dirty, group->frozen, kept * sizeof(*group->frozen));
		group->n_dirty += kept;
	} else {
		struct pager_ref *refs = group->dirty;
		size_t cap = group->cap_dirty;

		group->dirty = group->frozen;
		group->cap_dirty = group->cap_frozen;
		group->frozen = refs;
		group->cap_frozen = cap;
		group->n_dirty = kept;
	}
}

void pager_unfreeze(struct pager *pager, enum pager_group_name name)
{
	struct pager_group *group = &pager->groups[name];

	(void)pthread_mutex_lock(&group->lock);
	for (size_t i = 0; i < group->n_preimages; i++) {
		struct pager_ref ref = group->preimages[i].ref;

		pager_page(pager, (enum format_space)ref.space, ref.page)->preimage = 0;
		mem_free(group->preimages[i].bytes);
	}
	group->n_preimages = 0;
	if (group->frozen_gen != 0)
		thaw_list(pager, group);
	group->frozen_gen = 0;
	atomic_store(&group->dirty_bytes, (uint64_t)group->n_dirty * pager->page_size);
	(void)pthread_mutex_unlock(&group->lock);
}

/* --- writing --- */

struct flush_buffers {
	uint8_t *page;	  /* the frozen content */
	uint8_t *stored;  /* what goes to disk, room for a page */
	uint8_t *scratch; /* for the codec */
};

static bool is_zero(const uint8_t *page, uint32_t size)
{
	return page[0] == 0 && memcmp(page, page + 1, size - 1) == 0;
}

/* Encodes a page and writes it to new blocks. A value page of zeros needs none: place 0. */
static int store_bytes(struct pager *pager, enum format_space space, uint32_t number,
		       const void *page, const struct flush_buffers *buffers, uint64_t *place_out,
		       uint64_t *checksum_out)
{
	uint32_t size = pager->page_size, len = size;
	uint64_t seed = page_seed(pager->uuid, space, number), block;
	enum format_encoding encoding = FORMAT_RAW;
	const uint8_t *bytes = page;
	int err;

	if (space == FORMAT_SPACE_VALUE && is_zero(page, size)) {
		*place_out = *checksum_out = 0;
		return 0;
	}
	if (space == FORMAT_SPACE_VALUE && size > FORMAT_BLOCK) {
		size_t packed = codec_compress(page, size, buffers->stored, size - FORMAT_BLOCK,
					       buffers->scratch);

		if (packed != 0) {
			len = (uint32_t)packed;
			bytes = buffers->stored;
			encoding = FORMAT_PLANES_LZ4;
			memset(buffers->stored + len, 0,
			       (size_t)place_blocks(len) * FORMAT_BLOCK - len);
		}
	}
	err = pager_write_blocks(pager, bytes, len, &block);
	if (err != 0)
		return err;
	*place_out = place_pack(block, len, encoding);
	*checksum_out = page_checksum(bytes, len, seed);
	return 0;
}

/*
 * Takes the next frozen content into buffers->page. False when nothing is left. The page stays
 * marked as copied until it is written.
 */
static bool next_frozen(struct pager *pager, struct pager_group *group,
			const struct flush_buffers *buffers, struct pager_ref *ref_out)
{
	bool found = false;

	(void)pthread_mutex_lock(&group->lock);
	if (group->n_preimages > 0) {
		struct pager_preimage *preimage = &group->preimages[--group->n_preimages];

		*ref_out = preimage->ref;
		memcpy(buffers->page, preimage->bytes, pager->page_size);
		mem_free(preimage->bytes);
		pager_page(pager, (enum format_space)ref_out->space, ref_out->page)->preimage = 0;
		found = true;
	}
	while (!found && group->n_frozen > 0) {
		struct pager_ref ref = group->frozen[--group->n_frozen];
		struct pager_page *page = pager_page(pager, (enum format_space)ref.space, ref.page);

		if (atomic_load(&page->dirty_gen) != group->frozen_gen)
			continue; /* changed again: its pre-image was written */
		memcpy(buffers->page,
		       pager_frame_of(pager, pager_chunk_of(pager, ref.space, ref.page), ref.page),
		       pager->page_size);
		page->copied = 1;
		*ref_out = ref;
		found = true;
	}
	(void)pthread_mutex_unlock(&group->lock);
	return found;
}

/* Puts a frozen content that could not be written back where it came from. */
static void put_back(struct pager *pager, struct pager_group *group, struct pager_ref ref)
{
	struct pager_page *page = pager_page(pager, (enum format_space)ref.space, ref.page);

	(void)pthread_mutex_lock(&group->lock);
	page->copied = 0;
	if (atomic_load(&page->dirty_gen) == group->frozen_gen)
		group->frozen[group->n_frozen++] = ref; /* it came from there: there is room */
	(void)pthread_mutex_unlock(&group->lock);
}

static int write_one(struct pager *pager, struct pager_group *group, struct pager_ref ref,
		     const struct flush_buffers *buffers)
{
	enum format_space space = (enum format_space)ref.space;
	struct pager_page *page = pager_page(pager, space, ref.page);
	uint64_t place = 0, checksum = 0;
	int err = store_bytes(pager, space, ref.page, buffers->page, buffers, &place, &checksum);

	if (err == 0) {
		(void)pthread_mutex_lock(&group->lock);
		err = pager_set_place(pager, space, ref.page, place, checksum);
		if (err == 0) {
			page->copied = 0;
			if (atomic_load(&page->dirty_gen) == group->frozen_gen)
				atomic_store(&page->dirty_gen, 0);
			atomic_fetch_sub(&group->dirty_bytes, pager->page_size);
		}
		(void)pthread_mutex_unlock(&group->lock);
		if (err != 0)
			pager_give_blocks(pager, place);
	}
	if (err != 0)
		put_back(pager, group, ref);
	return err;
}

int pager_write_frozen(struct pager *pager, enum pager_group_name name)
{
	struct pager_group *group = &pager->groups[name];
	uint8_t *memory = mem_alloc_aligned(FORMAT_BLOCK, (size_t)pager->page_size * 3);
	struct flush_buffers buffers;
	struct pager_ref ref;
	int err = 0;

	if (memory == NULL)
		return ERR_NOMEM;
	buffers.page = memory;
	buffers.stored = memory + pager->page_size;
	buffers.scratch = memory + (size_t)pager->page_size * 2;
	while (err == 0 && next_frozen(pager, group, &buffers, &ref))
		err = write_one(pager, group, ref, &buffers);
	mem_free(memory);
	if (err == 0)
		pager_trim(pager);
	return err;
}

void pager_published(struct pager *pager, enum pager_group_name name)
{
	struct pager_group *group = &pager->groups[name];
	struct pager_extents freed;

	(void)pthread_mutex_lock(&group->lock);
	group->published_gen = group->frozen_gen;
	group->frozen_gen = 0;
	freed = group->freed;
	memset(&group->freed, 0, sizeof(group->freed));
	(void)pthread_mutex_unlock(&group->lock);
	if (pager->aging.n == 0) {
		pager_extents_release(&pager->aging);
		pager->aging = freed;
		return;
	}
	/* when memory is short the blocks stay in use until the store is opened again */
	if (freed.n > 0 && mem_grow((void **)&pager->aging.list, &pager->aging.cap,
				    pager->aging.n + freed.n, sizeof(*freed.list)) == 0) {
		memcpy(pager->aging.list + pager->aging.n, freed.list,
		       freed.n * sizeof(*freed.list));
		pager->aging.n += freed.n;
	}
	pager_extents_release(&freed);
}

void pager_age(struct pager *pager)
{
	(void)pthread_mutex_lock(&pager->alloc_lock);
	for (size_t i = 0; i < pager->aging.n; i++)
		(void)alloc_give(pager->alloc, pager->aging.list[i].block,
				 pager->aging.list[i].blocks); /* in use: invariant 4 */
	pager->aging.n = 0;
	(void)pthread_mutex_unlock(&pager->alloc_lock);
}

/* --- whole pages past the cache --- */

int pager_blob_read(struct pager *pager, enum format_space space, uint32_t number, void *buf)
{
	struct pager_page *page = pager_page(pager, space, number);

	if (page == NULL)
		return ERR_ABSENT;
	if (page->place == 0) {
		memset(buf, 0, pager->page_size);
		return 0;
	}
	return pager_read_place(pager, page->place, page->checksum,
				page_seed(pager->uuid, space, number), buf);
}

int pager_blob_write(struct pager *pager, enum format_space space, uint32_t number, const void *buf)
{
	struct pager_group *group = &pager->groups[pager_group_of(space)];
	struct flush_buffers none = {0};
	uint64_t place = 0, checksum = 0;
	int err = pager_grow(pager, space, number);

	if (err == 0)
		err = store_bytes(pager, space, number, buf, &none, &place, &checksum);
	if (err != 0)
		return err;
	(void)pthread_mutex_lock(&group->lock);
	err = pager_set_place(pager, space, number, place, checksum);
	(void)pthread_mutex_unlock(&group->lock);
	if (err != 0)
		pager_give_blocks(pager, place);
	return err;
}
