/*
 * pager_map.c - the page map on disk: written by a flush, read and verified at open.
 *
 * The map of a space is a tree: leaves of page_size/16 entries for consecutive logical pages, inner
 * pages of page_size/32 children. In memory the entries of the leaves live in the pages themselves
 * (pager_page.place, .checksum) and levels[l] holds, for each map page of level l, what its parent
 * says about it. Every map page is stored twice.
 */
#include "store/pager.h"

#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/page.h"

#define PAGES_MAX (1u << 30)

static size_t ceil_div(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

/* Levels that a map of so many logical pages has; 0 for none. */
static unsigned map_height(const struct pager *pager, uint32_t pages)
{
	size_t n = pages;
	unsigned height = 0;

	while (n > 1 || height == 0) {
		if (n == 0)
			return 0;
		n = ceil_div(n, height == 0 ? pager->leaf_fanout : pager->inner_fanout);
		height++;
	}
	return height;
}

static size_t level_nodes(const struct pager *pager, uint32_t pages, unsigned level)
{
	size_t n = ceil_div(pages, pager->leaf_fanout);

	for (unsigned l = 0; l < level; l++)
		n = ceil_div(n, pager->inner_fanout);
	return n;
}

static int grow_level(struct pager_level *level, size_t n)
{
	size_t had = level->cap;
	int err = mem_grow((void **)&level->nodes, &level->cap, n, sizeof(*level->nodes));

	if (err != 0)
		return err;
	if (level->cap > had)
		memset(level->nodes + had, 0, (level->cap - had) * sizeof(*level->nodes));
	if (n > level->n)
		level->n = n;
	return 0;
}

/* --- writing --- */

static void fill_leaf(struct pager *pager, enum format_space name, size_t index, uint8_t *bytes)
{
	uint32_t pages = atomic_load(&pager->spaces[name].pages);
	uint32_t first = (uint32_t)(index * pager->leaf_fanout);
	struct format_map_entry *entries = (struct format_map_entry *)bytes;

	memset(bytes, 0, pager->page_size);
	for (uint32_t i = 0; i < pager->leaf_fanout && first + i < pages; i++) {
		const struct pager_page *page = pager_page(pager, name, first + i);

		put_u64(entries[i].place, page->place);
		put_u64(entries[i].checksum, page->checksum);
	}
}

static void put_child(struct format_map_child *child, const struct pager_node *node)
{
	memset(child, 0, sizeof(*child));
	put_u64(child->place[0], node->place[0]);
	put_u64(child->place[1], node->place[1]);
	put_u64(child->checksum, node->checksum);
}

static void fill_inner(struct pager *pager, const struct pager_level *below, size_t index,
		       uint8_t *bytes)
{
	struct format_map_child *children = (struct format_map_child *)bytes;
	size_t first = index * pager->inner_fanout;

	memset(bytes, 0, pager->page_size);
	for (size_t i = 0; i < pager->inner_fanout && first + i < below->n; i++)
		put_child(&children[i], &below->nodes[first + i]);
}

/* Writes both copies of a map page and lets go of the old ones. */
static int write_node(struct pager *pager, enum format_space name, unsigned level, size_t index,
		      const uint8_t *bytes)
{
	struct pager_group *group = &pager->groups[pager_group_of(name)];
	struct pager_node *node = &pager->spaces[name].levels[level].nodes[index];
	uint64_t place[2] = {0, 0}, block;
	int err = 0;

	for (int copy = 0; copy < 2 && err == 0; copy++) {
		err = pager_write_blocks(pager, bytes, pager->page_size, &block);
		if (err == 0)
			place[copy] = place_pack(block, pager->page_size, FORMAT_RAW);
	}
	if (err == 0) {
		(void)pthread_mutex_lock(&group->lock);
		for (int copy = 0; copy < 2 && err == 0; copy++) {
			err = pager_replaced(pager, group, node->place[copy], node->placed_gen);
			if (err == 0)
				node->place[copy] = 0;
		}
		if (err == 0) {
			memcpy(node->place, place, sizeof(place));
			node->checksum =
				page_checksum(bytes, pager->page_size,
					      page_map_seed(pager->uuid, name, level, index));
			node->placed_gen = group->frozen_gen;
			node->dirty = false;
		}
		(void)pthread_mutex_unlock(&group->lock);
	}
	if (err != 0) {
		pager_give_blocks(pager, place[0]);
		pager_give_blocks(pager, place[1]);
	}
	return err;
}

static int write_level(struct pager *pager, enum format_space name, unsigned level, size_t n,
		       uint8_t *bytes)
{
	struct pager_space *space = &pager->spaces[name];
	int err = grow_level(&space->levels[level], n);

	for (size_t i = 0; err == 0 && i < n; i++) {
		/* a page that was never written is written, empty, so that every child exists */
		if (!space->levels[level].nodes[i].dirty &&
		    space->levels[level].nodes[i].place[0] != 0)
			continue;
		if (level == 0)
			fill_leaf(pager, name, i, bytes);
		else
			fill_inner(pager, &space->levels[level - 1], i, bytes);
		err = write_node(pager, name, level, i, bytes);
		if (err == 0 && level + 1 < PAGER_LEVELS) {
			err = grow_level(&space->levels[level + 1], i / pager->inner_fanout + 1);
			if (err == 0)
				space->levels[level + 1].nodes[i / pager->inner_fanout].dirty =
					true;
		}
	}
	return err;
}

static int write_map(struct pager *pager, enum format_space name, uint8_t *bytes,
		     struct format_root *root)
{
	struct pager_space *space = &pager->spaces[name];
	uint32_t pages = atomic_load(&space->pages);
	unsigned height = map_height(pager, pages);
	int err = 0;

	memset(root, 0, sizeof(*root));
	for (unsigned level = 0; err == 0 && level < height; level++)
		err = write_level(pager, name, level, level_nodes(pager, pages, level), bytes);
	if (err != 0 || height == 0)
		return err;
	put_child(&root->top, &space->levels[height - 1].nodes[0]);
	put_u32(root->pages, pages);
	put_u32(root->height, height);
	return 0;
}

int pager_write_maps(struct pager *pager, enum pager_group_name name,
		     struct format_root roots_out[FORMAT_SPACES])
{
	uint8_t *bytes = mem_alloc_aligned(FORMAT_BLOCK, pager->page_size);
	int err = 0;

	if (bytes == NULL)
		return ERR_NOMEM;
	for (int s = 0; err == 0 && s < FORMAT_SPACES; s++)
		if (pager_group_of((enum format_space)s) == name)
			err = write_map(pager, (enum format_space)s, bytes, &roots_out[s]);
	mem_free(bytes);
	return err;
}

/* Lets go of one place; a place nobody can name any more is simply forgotten. */
static int drop_place(struct pager *pager, struct pager_group *group, uint64_t *place,
		      uint32_t placed_gen)
{
	int err = pager_replaced(pager, group, *place, placed_gen);

	if (err == 0)
		*place = 0;
	return err;
}

/* What was changed in the group's pages and not written is no longer wanted. */
static void forget_dirty(struct pager *pager, struct pager_group *group)
{
	(void)pthread_mutex_lock(&group->lock);
	for (size_t i = 0; i < group->n_dirty; i++) {
		struct pager_ref ref = group->dirty[i];

		atomic_store(&pager_page(pager, (enum format_space)ref.space, ref.page)->dirty_gen,
			     0);
	}
	group->n_dirty = 0;
	atomic_store(&group->dirty_bytes, 0);
	(void)pthread_mutex_unlock(&group->lock);
}

int pager_reset_space(struct pager *pager, enum format_space name)
{
	struct pager_group *group = &pager->groups[pager_group_of(name)];
	struct pager_space *space = &pager->spaces[name];
	uint32_t pages = atomic_load(&space->pages);
	int err = 0;

	forget_dirty(pager, group);
	pager_drop(pager);
	(void)pthread_mutex_lock(&group->lock);
	for (uint32_t i = 0; err == 0 && i < pages; i++)
		if (atomic_load(&pager_page(pager, name, i)->state) != PAGE_ABSENT)
			err = ERR_BUSY;
	for (uint32_t i = 0; err == 0 && i < pages; i++) {
		struct pager_page *page = pager_page(pager, name, i);

		err = drop_place(pager, group, &page->place, page->placed_gen);
		pager_note(pager, page, 0);
	}
	for (unsigned l = 0; l < PAGER_LEVELS; l++) {
		for (size_t i = 0; err == 0 && i < space->levels[l].n; i++) {
			struct pager_node *node = &space->levels[l].nodes[i];

			err = drop_place(pager, group, &node->place[0], node->placed_gen);
			if (err == 0)
				err = drop_place(pager, group, &node->place[1], node->placed_gen);
		}
		if (err == 0)
			space->levels[l].n = 0;
	}
	if (err == 0) {
		atomic_store(&space->pages, 0);
		atomic_store(&space->stored_bytes, 0);
		atomic_store(&space->stored_pages, 0);
	}
	(void)pthread_mutex_unlock(&group->lock);
	return err;
}

/* --- loading --- */

/* Marks the blocks of a place as in use; they must lie inside the head and belong to nobody else. */
static int claim(struct pager *pager, uint64_t place, uint64_t blocks, struct place *at)
{
	if (!place_unpack(place, at) || at->block + place_blocks(at->bytes) > blocks)
		return ERR_DAMAGED;
	return alloc_mark(pager->alloc, at->block, place_blocks(at->bytes));
}

/* Reads a map page from whichever copy is good; a bad copy is replaced by the next flush. */
static int read_node(struct pager *pager, enum format_space name, unsigned level, size_t index,
		     uint8_t *bytes)
{
	struct pager_node *node = &pager->spaces[name].levels[level].nodes[index];
	uint64_t seed = page_map_seed(pager->uuid, name, level, index);
	int err = pager_read_place(pager, node->place[0], node->checksum, seed, bytes);
	int second;

	if (err == 0)
		return 0;
	second = pager_read_place(pager, node->place[1], node->checksum, seed, bytes);
	node->dirty = second == 0;
	return second == 0 || second == ERR_NOMEM ? second : err;
}

static int load_leaf(struct pager *pager, enum format_space name, size_t index,
		     const uint8_t *bytes, uint64_t blocks)
{
	const struct format_map_entry *entries = (const struct format_map_entry *)bytes;
	struct pager_space *space = &pager->spaces[name];
	uint32_t pages = atomic_load(&space->pages);
	uint32_t first = (uint32_t)(index * pager->leaf_fanout);

	for (uint32_t i = 0; i < pager->leaf_fanout; i++) {
		uint64_t place = get_u64(entries[i].place);
		struct pager_page *page;
		struct place at;
		int err;

		if (place == 0)
			continue;
		if (first + i >= pages)
			return ERR_DAMAGED;
		err = claim(pager, place, blocks, &at);
		if (err != 0)
			return err;
		page = pager_page(pager, name, first + i);
		page->place = place;
		page->checksum = get_u64(entries[i].checksum);
		atomic_fetch_add(&space->stored_bytes, at.bytes);
		atomic_fetch_add(&space->stored_pages, 1);
	}
	return 0;
}

static int load_child(struct pager *pager, enum format_space name, unsigned level, size_t index,
		      const struct format_map_child *child, uint64_t blocks)
{
	struct pager_node *node = &pager->spaces[name].levels[level].nodes[index];
	struct place at;
	int err = 0;

	node->checksum = get_u64(child->checksum);
	for (int copy = 0; err == 0 && copy < 2; copy++) {
		node->place[copy] = get_u64(child->place[copy]);
		err = claim(pager, node->place[copy], blocks, &at);
	}
	return err;
}

/* Reads all map pages of a level and hands their content to the level below. */
static int load_level(struct pager *pager, enum format_space name, unsigned level, size_t n,
		      uint64_t blocks, uint8_t *bytes)
{
	struct pager_space *space = &pager->spaces[name];
	int err = 0;

	for (size_t i = 0; err == 0 && i < n; i++) {
		const struct format_map_child *children = (const struct format_map_child *)bytes;

		err = read_node(pager, name, level, i, bytes);
		if (err == 0 && level == 0)
			err = load_leaf(pager, name, i, bytes, blocks);
		for (size_t c = 0; err == 0 && level > 0 && c < pager->inner_fanout; c++) {
			size_t below = i * pager->inner_fanout + c;

			if (below < space->levels[level - 1].n)
				err = load_child(pager, name, level - 1, below, &children[c],
						 blocks);
		}
	}
	return err;
}

static int load_map(struct pager *pager, enum format_space name, const struct format_root *root,
		    uint64_t blocks, uint8_t *bytes)
{
	struct pager_space *space = &pager->spaces[name];
	uint32_t pages = get_u32(root->pages);
	unsigned height = map_height(pager, pages);
	int err = 0;

	if (pages > PAGES_MAX || get_u32(root->height) != height || height > PAGER_LEVELS)
		return ERR_DAMAGED;
	if (pages == 0)
		return 0;
	/* every leaf lies in the head, twice: no memory for more pages than the head has leaves for */
	if (level_nodes(pager, pages, 0) > blocks / 2 / (pager->page_size / FORMAT_BLOCK))
		return ERR_DAMAGED;
	err = pager_grow(pager, name, pages - 1);
	for (unsigned l = 0; err == 0 && l < height; l++)
		err = grow_level(&space->levels[l], level_nodes(pager, pages, l));
	if (err == 0)
		err = load_child(pager, name, height - 1, 0, &root->top, blocks);
	for (unsigned l = height; err == 0 && l-- > 0;)
		err = load_level(pager, name, l, space->levels[l].n, blocks, bytes);
	return err;
}

int pager_load(struct pager *pager, const struct format_root roots[FORMAT_SPACES], uint64_t blocks,
	       struct err_msg *msg)
{
	static const char *const names[FORMAT_SPACES] = {"values", "slots", "id directory", "ids",
							 "graph",  "codes", "graph header"};
	uint8_t *bytes = mem_alloc_aligned(FORMAT_BLOCK, pager->page_size);
	int err = 0;

	if (bytes == NULL)
		return err_set(msg, ERR_NOMEM, "%s", ERR_NOMEM_SENTENCE);
	for (int s = 0; err == 0 && s < FORMAT_SPACES; s++) {
		err = load_map(pager, (enum format_space)s, &roots[s], blocks, bytes);
		if (err != 0)
			(void)err_set(
				msg, err, "%s: the page map of the %s cannot be read: %s",
				pager->io->ops->name(pager->io), names[s],
				err == ERR_DAMAGED ?
					"Page checksum mismatch; restore the store from a copy" :
				err == ERR_NOMEM ? ERR_NOMEM_SENTENCE :
						   err_str(err));
	}
	mem_free(bytes);
	return err;
}

int pager_check(struct pager *pager)
{
	int err = 0;

	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint32_t pages = atomic_load(&pager->spaces[s].pages);

		for (uint32_t i = 0; err == 0 && i < pages; i++) {
			struct pager_page *page = pager_page(pager, (enum format_space)s, i);
			uint8_t state = atomic_load(&page->state);
			struct place at;

			if (atomic_load(&page->dirty_gen) != 0 && state != PAGE_RESIDENT &&
			    state != PAGE_COOLING)
				err = ERR_DAMAGED;
			if (place_unpack(page->place, &at) && alloc_is_free(pager->alloc, at.block))
				err = ERR_DAMAGED;
		}
	}
	return err == 0 ? alloc_check(pager->alloc) : err;
}
