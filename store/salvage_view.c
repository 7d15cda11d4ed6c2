/*
 * salvage_view.c - pages of a commit slot, read through whatever is left of its maps.
 *
 * Nothing is loaded at once: a page is found by walking its map from the root, each time, with a
 * cache of pages in between. So what a bad map page hides is hidden, and everything else is not.
 *
 * Invariants:
 * 1. What is given out has the checksum that its parent, and in the end the commit slot, says.
 * 2. A page that failed is remembered as such, so that damage costs one read.
 */
#include <string.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/codec.h"
#include "store/ids_bucket.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/salvage_private.h"

#define FRAMES_MIN 64u
#define VALUE_FRAMES 32u
#define HEIGHT_MAX 4u

/* --- header and slots --- */

static bool is_slot(const struct format_slot *in)
{
	XXH128_hash_t hash = XXH3_128bits(in, offsetof(struct format_slot, checksum));

	return memcmp(in->magic, FORMAT_SLOT_MAGIC, 8) == 0 &&
	       get_u64(in->checksum) == hash.low64 && get_u64(in->checksum + 8) == hash.high64;
}

/*
 * The version that wrote the store: that of the header or, when it is damaged, of a slot; 0 when
 * nothing says it. A number that a checksum covers is no damage.
 */
static uint32_t version_of(const struct format_header *header, const struct format_slot blocks[2])
{
	if (memcmp(header->magic, FORMAT_HEADER_MAGIC, 8) == 0 &&
	    get_u64(header->checksum) ==
		    XXH3_64bits(header, offsetof(struct format_header, checksum)))
		return get_u32(header->version);
	for (unsigned i = 0; i < 2; i++)
		if (is_slot(&blocks[i]))
			return get_u32(blocks[i].version);
	return 0;
}

/* What a slot repeats of the header. False when the bytes are no whole slot. */
static bool head_of_slot(const struct format_slot *in, struct head *head_out)
{
	memset(head_out, 0, sizeof(*head_out));
	if (!is_slot(in))
		return false;
	memcpy(head_out->uuid, in->uuid, 16);
	head_out->page_size = get_u32(in->page_size);
	head_out->kind = get_u32(in->kind);
	head_out->value_size = 0; /* each slot has its own */
	return is_power_of_two(head_out->page_size) && head_out->page_size >= FORMAT_PAGE_MIN &&
	       head_out->page_size <= FORMAT_PAGE_MAX;
}

/* What cannot be read is bytes that are neither a block of ours nor one never written. */
static int read_block(struct store_io *io, uint64_t offset, void *block)
{
	int err = io->ops->read(io, offset, block, FORMAT_BLOCK);

	if (err == 0 || err == ERR_NOMEM)
		return err;
	memset(block, 0xff, FORMAT_BLOCK);
	return 0;
}

static void take_slots(struct salvage_pages *pages, const struct format_slot blocks[2])
{
	struct head_slot slot;

	for (unsigned i = 0; i < 2; i++) {
		int err = head_decode_slot(&pages->head, &blocks[i], &slot);

		if (err == 0 && (slot.generation & 1) == i)
			pages->slots[pages->n++] = slot;
		else
			pages->slot_bad[i] = err != ERR_ABSENT;
	}
	/* zeros are right only while there was one generation */
	if (pages->n == 1 && pages->slots[0].generation > 1)
		pages->slot_bad[(pages->slots[0].generation + 1) & 1] = true;
	if (pages->n == 2 && pages->slots[1].generation > pages->slots[0].generation) {
		slot = pages->slots[0];
		pages->slots[0] = pages->slots[1];
		pages->slots[1] = slot;
	}
}

static int read_head(struct salvage_pages *pages, struct err_msg *msg)
{
	struct store_io *io = pages->io;
	struct format_slot blocks[2];
	struct format_header header;
	const char *name = io->ops->name(io);
	uint32_t version;
	int err = read_block(io, FORMAT_HEADER_AT, &header);

	for (unsigned i = 0; err == 0 && i < 2; i++)
		err = read_block(io, FORMAT_SLOT_AT + i * FORMAT_BLOCK, &blocks[i]);
	if (err != 0)
		return err_set(msg, err, "%s", err_str(err));
	version = version_of(&header, blocks);
	if (version != 0 && version != FORMAT_VERSION)
		return head_refuse_version(name, version, msg);
	pages->header_ok = head_decode(&header, name, &pages->head, NULL) == 0;
	if (!pages->header_ok && !head_of_slot(&blocks[0], &pages->head) &&
	    !head_of_slot(&blocks[1], &pages->head)) {
		bool ours = memcmp(header.magic, FORMAT_HEADER_MAGIC, 8) == 0 ||
			    memcmp(blocks[0].magic, FORMAT_SLOT_MAGIC, 8) == 0 ||
			    memcmp(blocks[1].magic, FORMAT_SLOT_MAGIC, 8) == 0;

		return ours ? err_set(msg, ERR_DAMAGED,
				      "%s: header and both commit slots are damaged; nothing says "
				      "any more how it was laid out, and nothing can be saved",
				      name) :
			      err_set(msg, ERR_FORMAT,
				      "%s is not a vecfs store; give the path of one", name);
	}
	take_slots(pages, blocks);
	return 0;
}

int salvage_pages_open(struct salvage_pages *pages, struct store_io *io, uint64_t cache_bytes,
		       struct err_msg *msg)
{
	uint64_t bytes = 0;
	int err;

	memset(pages, 0, sizeof(*pages));
	pages->io = io;
	err = read_head(pages, msg);
	if (err != 0)
		return err;
	err = io->ops->size(io, &bytes);
	if (err != 0)
		return err; /* the caller has the sentence */
	pages->map_pages = bytes / pages->head.page_size;
	pages->n_frames = (size_t)(cache_bytes / pages->head.page_size);
	if (pages->n_frames < FRAMES_MIN)
		pages->n_frames = FRAMES_MIN;
	pages->frames = mem_zalloc(pages->n_frames, sizeof(*pages->frames));
	pages->bytes = mem_reserve(pages->n_frames * pages->head.page_size, false);
	pages->stored = mem_alloc_aligned(FORMAT_BLOCK, 2 * FORMAT_PAGE_MAX);
	if (pages->frames == NULL || pages->bytes == NULL || pages->stored == NULL)
		return err_set(msg, ERR_NOMEM, "out of memory");
	return 0;
}

void salvage_pages_close(struct salvage_pages *pages)
{
	mem_free(pages->frames);
	if (pages->bytes != NULL)
		mem_unreserve(pages->bytes, pages->n_frames * pages->head.page_size);
	mem_free(pages->stored);
	memset(pages, 0, sizeof(*pages));
}

/* --- pages --- */

/* Reads what a place names, whatever is wrong with it. ERR_DAMAGED, ERR_NOMEM. */
static int read_place(struct salvage_pages *pages, uint64_t place, uint64_t checksum, uint64_t seed,
		      uint8_t *page)
{
	uint32_t page_size = pages->head.page_size;
	struct place at;
	uint8_t *into = page;
	int err;

	if (!place_unpack(place, &at) || (at.encoding == FORMAT_RAW && at.bytes != page_size))
		return ERR_DAMAGED;
	pages->where.at = at.block * FORMAT_BLOCK;
	if (at.encoding != FORMAT_RAW)
		into = pages->stored;
	err = pages->io->ops->read(pages->io, at.block * FORMAT_BLOCK, into, at.bytes);
	if (err != 0)
		return err == ERR_NOMEM ? err : ERR_DAMAGED;
	if (page_checksum(into, at.bytes, seed) != checksum)
		return ERR_DAMAGED;
	if (at.encoding == FORMAT_RAW)
		return 0;
	return codec_decompress(into, at.bytes, page, page_size, pages->stored + FORMAT_PAGE_MAX);
}

/* The frame for a page; *hit: it holds it, or what is known of it. level 0: no map page. */
static struct salvage_frame *frame_of(struct salvage_pages *pages, unsigned view,
				      enum format_space space, unsigned level, uint64_t index,
				      bool *hit)
{
	/* never 0, since space + 1 is not */
	uint64_t key = index << 8 | (uint64_t)level << 4 | (uint64_t)view << 3 |
		       ((uint64_t)space + 1);
	uint64_t mixed = key * 0x9e3779b97f4a7c15u >> 16;
	struct salvage_frame *frame = pages->frames;

	/* values come once and in order: they do not displace the others */
	if (level == 0 && space == FORMAT_SPACE_VALUE)
		frame += mixed % VALUE_FRAMES;
	else
		frame += VALUE_FRAMES + mixed % (pages->n_frames - VALUE_FRAMES);

	*hit = frame->key == key;
	frame->key = key;
	return frame;
}

static uint8_t *bytes_of(const struct salvage_pages *pages, const struct salvage_frame *frame)
{
	return pages->bytes + (size_t)(frame - pages->frames) * pages->head.page_size;
}

/* A map page from whichever copy is good. */
static int map_page(struct salvage_pages *pages, unsigned view, enum format_space space,
		    unsigned level, uint64_t index, const struct format_map_child *child,
		    const uint8_t **page_out)
{
	uint64_t seed = page_map_seed(pages->head.uuid, space, level, index);
	bool hit;
	struct salvage_frame *frame = frame_of(pages, view, space, level + 1, index, &hit);
	uint8_t *bytes = bytes_of(pages, frame);

	if (!hit) {
		frame->err = ERR_DAMAGED;
		for (int copy = 0; frame->err == ERR_DAMAGED && copy < 2; copy++)
			frame->err = read_place(pages, get_u64(child->place[copy]),
						get_u64(child->checksum), seed, bytes);
	}
	if (frame->err == ERR_NOMEM)
		frame->key = 0;
	*page_out = bytes;
	return frame->err;
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* Whether the height of a root is the one that its number of pages asks for. */
static bool height_fits(const struct salvage_pages *pages, const struct format_root *root)
{
	uint64_t n = ceil_div(get_u32(root->pages), pages->head.page_size / 16);
	uint32_t height = n == 0 ? 0 : 1;

	for (; n > 1; height++)
		n = ceil_div(n, pages->head.page_size / 32);
	return get_u32(root->height) == height && height <= HEIGHT_MAX;
}

/* The entry of a page in its map. */
static int find_place(struct salvage_pages *pages, unsigned view, enum format_space space,
		      uint32_t page, struct format_map_entry *entry_out)
{
	const struct format_root *root = &pages->slots[view].roots[space];
	uint64_t leaf_fanout = pages->head.page_size / 16, inner = pages->head.page_size / 32;
	struct format_map_child child = root->top;
	const uint8_t *bytes = NULL;
	int err = 0;

	pages->where = (struct salvage_where){space, page, 0};
	if (page >= get_u32(root->pages))
		return ERR_ABSENT;
	if (!height_fits(pages, root))
		return ERR_DAMAGED;
	for (unsigned level = get_u32(root->height) - 1; err == 0; level--) {
		uint64_t index = page / leaf_fanout, below = index;

		for (unsigned l = 0; l < level; l++) {
			below = index;
			index /= inner;
		}
		err = map_page(pages, view, space, level, index, &child, &bytes);
		if (err != 0 || level == 0)
			break;
		child = ((const struct format_map_child *)bytes)[below % inner];
	}
	pages->where.at = 0;
	if (err == 0)
		*entry_out = ((const struct format_map_entry *)bytes)[page % leaf_fanout];
	return err;
}

int salvage_page(struct salvage_pages *pages, unsigned view, enum format_space space, uint32_t page,
		 const uint8_t **page_out)
{
	struct format_map_entry entry = {0};
	struct salvage_frame *frame;
	uint8_t *bytes;
	bool hit;
	int err = find_place(pages, view, space, page, &entry);

	*page_out = NULL;
	if (err == 0 && get_u64(entry.place) == 0)
		err = ERR_ABSENT;
	if (err != 0)
		return err;
	frame = frame_of(pages, view, space, 0, page, &hit);
	bytes = bytes_of(pages, frame);
	if (!hit)
		frame->err = read_place(pages, get_u64(entry.place), get_u64(entry.checksum),
					page_seed(pages->head.uuid, space, page), bytes);
	else
		pages->where.at = (get_u64(entry.place) & (((uint64_t)1 << 36) - 1)) * FORMAT_BLOCK;
	if (frame->err == ERR_NOMEM)
		frame->key = 0;
	if (frame->err == 0)
		*page_out = bytes;
	return frame->err;
}

uint32_t salvage_page_count(const struct salvage_pages *pages, unsigned view,
			    enum format_space space)
{
	uint64_t room = pages->map_pages *
			(pages->head.page_size / sizeof(struct format_map_entry));
	uint32_t n = get_u32(pages->slots[view].roots[space].pages);

	if (n > 1u << 30)
		return 0;
	return n < room ? n : (uint32_t)room;
}

/* --- what stands on them --- */

uint32_t salvage_slot_count(const struct salvage_pages *pages, unsigned view)
{
	uint64_t room = (uint64_t)salvage_page_count(pages, view, FORMAT_SPACE_SLOT) *
			(pages->head.page_size / sizeof(struct format_slot_entry));
	uint64_t slots = pages->slots[view].slots;

	return (uint32_t)(slots < room ? slots : room);
}

int salvage_slot(struct salvage_pages *pages, unsigned view, uint32_t slot,
		 struct slots_entry *entry_out)
{
	uint32_t per_page = pages->head.page_size / (uint32_t)sizeof(struct format_slot_entry);
	const struct format_slot_entry *in;
	const uint8_t *page;
	int err;

	memset(entry_out, 0, sizeof(*entry_out));
	if (slot >= pages->slots[view].slots)
		return ERR_ABSENT;
	err = salvage_page(pages, view, FORMAT_SPACE_SLOT, slot / per_page, &page);
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	in = (const struct format_slot_entry *)page + slot % per_page;
	entry_out->id_hash = get_u64(in->id_hash);
	entry_out->lsn = get_u64(in->lsn_state) >> 2;
	entry_out->state = (enum store_slot_state)(get_u64(in->lsn_state) & 3);
	return 0;
}

/* A page of values. One that exists and has no place is nothing but zeros. */
static int value_page(struct salvage_pages *pages, unsigned view, uint64_t page,
		      const uint8_t **page_out)
{
	static const uint8_t zeros[FORMAT_PAGE_MAX];
	int err = page > UINT32_MAX ?
			  ERR_DAMAGED :
			  salvage_page(pages, view, FORMAT_SPACE_VALUE, (uint32_t)page, page_out);

	if (err != ERR_ABSENT)
		return err;
	if (page >= salvage_page_count(pages, view, FORMAT_SPACE_VALUE))
		return ERR_DAMAGED;
	*page_out = zeros;
	return 0;
}

int salvage_value(struct salvage_pages *pages, unsigned view, uint32_t slot, uint32_t value_size,
		  void *value_out)
{
	uint32_t page_size = pages->head.page_size, span = 1;
	const uint8_t *page;
	int err = 0;

	if (value_size == 0)
		return ERR_DAMAGED;
	if (value_size <= page_size) {
		uint32_t per_page = page_size / value_size;

		err = value_page(pages, view, slot / per_page, &page);
		if (err == 0)
			memcpy(value_out, page + (size_t)(slot % per_page) * value_size,
			       value_size);
		return err;
	}
	while ((uint64_t)span * page_size < value_size)
		span *= 2;
	for (uint32_t at = 0, i = 0; err == 0 && at < value_size; at += page_size, i++) {
		uint32_t n = value_size - at < page_size ? value_size - at : page_size;

		err = value_page(pages, view, (uint64_t)slot * span + i, &page);
		if (err == 0)
			memcpy((uint8_t *)value_out + at, page, n);
	}
	return err;
}

int salvage_bucket(struct salvage_pages *pages, unsigned view, uint32_t number,
		   const uint8_t **page_out)
{
	int err = salvage_page(pages, view, FORMAT_SPACE_BUCKET, number, page_out);

	if (err == 0 && !ids_bucket_valid(*page_out, pages->head.page_size))
		err = ERR_DAMAGED;
	return err == ERR_ABSENT ? ERR_DAMAGED : err;
}

int salvage_find(struct salvage_pages *pages, unsigned view, uint64_t hash, const char *id,
		 size_t len, struct store_entry *entry_out)
{
	const struct head_slot *slot = &pages->slots[view];
	uint32_t per_page = pages->head.page_size / 4, index, number;
	const struct format_entry *entry;
	const uint8_t *page;
	int err;

	if (slot->buckets == 0 || slot->dir_depth > 31)
		return ERR_ABSENT;
	index = slot->dir_depth == 0 ? 0 : (uint32_t)(hash >> (64 - slot->dir_depth));
	err = salvage_page(pages, view, FORMAT_SPACE_DIR, index / per_page, &page);
	if (err != 0)
		return err;
	number = get_u32(page + (size_t)(index % per_page) * 4);
	err = salvage_bucket(pages, view, number, &page);
	if (err != 0)
		return err;
	entry = ids_bucket_find(page, pages->head.page_size, hash, id, len);
	if (entry == NULL)
		return ERR_ABSENT;
	ids_bucket_entry(entry, entry_out);
	return 0;
}

int salvage_count_bad(struct salvage_pages *pages, unsigned view, uint64_t *bad_out)
{
	uint32_t slots = salvage_page_count(pages, view, FORMAT_SPACE_SLOT);
	uint32_t buckets = salvage_page_count(pages, view, FORMAT_SPACE_BUCKET);
	const uint8_t *page;
	int err = 0;

	*bad_out = 0;
	for (uint32_t i = 0; err != ERR_NOMEM && i < slots; i++) {
		err = salvage_page(pages, view, FORMAT_SPACE_SLOT, i, &page);
		*bad_out += err == ERR_DAMAGED;
	}
	for (uint32_t i = 0; err != ERR_NOMEM && i < buckets; i++) {
		err = salvage_bucket(pages, view, i, &page);
		*bad_out += err == ERR_DAMAGED;
	}
	return err == ERR_NOMEM ? err : 0;
}
