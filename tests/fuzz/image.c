/* image.c - making images, and finding their pieces. */
#include "tests/fuzz/image.h"

#include <stdio.h>
#include <string.h>

#include "store/base.h"
#include "store/head.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/wal_format.h"
#include "tests/fuzz/fuzz.h"

size_t image_id(uint32_t i, char out[IMAGE_ID_SIZE])
{
	/* of several lengths, so that entries are too */
	return (size_t)snprintf(out, IMAGE_ID_SIZE, "%.*s%u", (int)(i * 7 % 40),
				"a-name-that-is-longer-than-most-of-the-others", i);
}

/* --- filling --- */

static void put(struct store *store, uint32_t i, uint32_t version, uint32_t value_size)
{
	struct store_attr attr = {.mode = 0644, .uid = i, .gid = version, .mtime_ns = i};
	uint32_t *value = mem_zalloc(value_size, 1);
	char id[IMAGE_ID_SIZE];
	size_t len = image_id(i, id);

	FUZZ_ASSERT(value != NULL);
	for (uint32_t word = 0; word < value_size / 4; word++)
		value[word] = 0x3f800000 + i * 1000 + version * 100 + word / 16;
	FUZZ_ASSERT(store_put(store, id, len, value, value_size, &attr, 0, NULL, NULL, NULL) == 0);
	mem_free(value);
}

static void drop(struct store *store, uint32_t i)
{
	char id[IMAGE_ID_SIZE];
	size_t len = image_id(i, id);

	FUZZ_ASSERT(store_delete(store, id, len, NULL, NULL, NULL) == 0);
}

static void rename_to(struct store *store, uint32_t i, uint32_t to, unsigned flags)
{
	char id[IMAGE_ID_SIZE], target[IMAGE_ID_SIZE];
	size_t len = image_id(i, id), target_len = image_id(to, target);

	FUZZ_ASSERT(store_rename(store, id, len, target, target_len, flags, NULL, NULL, NULL) == 0);
}

static void set_attr(struct store *store, uint32_t i)
{
	struct store_attr attr = {.mode = 0600};
	char id[IMAGE_ID_SIZE];
	size_t len = image_id(i, id);

	FUZZ_ASSERT(store_set_attr(store, id, len, &attr, STORE_ATTR_MODE) == 0);
}

static void fill(struct store *store, uint32_t ids, uint32_t value_size)
{
	for (uint32_t i = 0; i < ids; i++)
		put(store, i, 0, value_size);
	FUZZ_ASSERT(store_checkpoint(store) == 0);
	for (uint32_t i = 0; i < ids; i += 5)
		put(store, i, 1, value_size);
	drop(store, 1);
	FUZZ_ASSERT(store_checkpoint(store) == 0);
	/* some slots become free, some stay dead */
	for (uint32_t slot = 0; slot < ids / 8; slot++)
		(void)store_slot_release(store, slot);
	put(store, 2, 2, value_size);
	FUZZ_ASSERT(store_checkpoint(store) == 0);
	/* what only the log has */
	put(store, ids, 0, value_size);
	put(store, 3, 2, value_size);
	drop(store, 4);
	rename_to(store, 6, 4, 0);
	rename_to(store, 7, 2, STORE_RENAME_EXCHANGE);
	set_attr(store, 8);
}

/* --- finding pieces --- */

static void note(struct image *image, enum image_kind kind, uint64_t seq, uint64_t offset,
		 uint32_t length)
{
	for (size_t i = 0; i < image->n; i++)
		if (image->pieces[i].seq == seq && image->pieces[i].offset == offset)
			return;
	FUZZ_ASSERT(mem_grow((void **)&image->pieces, &image->cap, image->n + 1,
			     sizeof(*image->pieces)) == 0);
	image->pieces[image->n++] = (struct image_piece){kind, seq, offset, length};
}

static void note_map(struct image *image, const uint8_t *head, int space, unsigned level,
		     const struct format_map_child *child)
{
	uint32_t fanout = image->page_size / (level == 0 ? 16 : 32), used = 0;
	struct place at;

	for (int copy = 1; copy >= 0; copy--) {
		FUZZ_ASSERT(place_unpack(get_u64(child->place[copy]), &at));
		for (uint32_t i = 0; i < fanout; i++) {
			const uint8_t *entry = head + at.block * FORMAT_BLOCK +
					       (size_t)i * (image->page_size / fanout);
			struct place page;

			if (get_u64(entry) == 0)
				continue;
			used = i + 1;
			if (copy == 0 && level > 0)
				note_map(image, head, space, level - 1,
					 (const struct format_map_child *)entry);
			else if (copy == 0 && place_unpack(get_u64(entry), &page))
				note(image, (enum image_kind)(IMAGE_PAGE + space), 0,
				     page.block * FORMAT_BLOCK, page.bytes);
		}
		note(image, IMAGE_MAP, 0, at.block * FORMAT_BLOCK,
		     (used + 1) * (image->page_size / fanout));
	}
}

static void note_slot(struct image *image, const uint8_t *head, const struct head_slot *slot)
{
	uint64_t trunk = slot->free_place;
	struct place at;

	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint32_t height = get_u32(slot->roots[s].height);

		if (height > 0)
			note_map(image, head, s, height - 1, &slot->roots[s].top);
	}
	while (trunk != 0 && place_unpack(trunk, &at)) {
		const struct format_trunk *bytes =
			(const struct format_trunk *)(head + at.block * FORMAT_BLOCK);

		note(image, IMAGE_TRUNK, 0, at.block * FORMAT_BLOCK,
		     24 + 8 * (get_u32(bytes->count) + 1));
		trunk = get_u64(bytes->next_place);
	}
}

static void note_segment(struct image *image, uint64_t seq)
{
	struct wal_format_segment segment;
	struct wal_format_record found;
	size_t len, at = FORMAT_RECORDS_AT;
	const uint8_t *bytes = io_mem_segment(image->medium, seq, &len);

	FUZZ_ASSERT(wal_format_get_segment(bytes, seq, &segment) == 0);
	note(image, IMAGE_SEGMENT, seq, 0, 80);
	note(image, IMAGE_PROOF, seq, FORMAT_BLOCK, 32);
	while (at < len && wal_format_get_record(bytes + at, len - at, &segment, &found)) {
		uint32_t size = wal_format_size(found.record.length);

		note(image, IMAGE_RECORD, seq, at, size < 160 ? size : 160);
		at += size;
	}
}

void image_take(struct image *image, struct io_mem *medium)
{
	struct store_io *io = io_mem_attach(medium);
	struct head_slot slots[2];
	struct head head;
	uint64_t *seqs = NULL;
	bool bad;
	unsigned n;
	size_t len, n_seqs;

	image->medium = medium;
	FUZZ_ASSERT(io != NULL && head_read(io, &head, slots, &n, &bad, NULL) == 0 && !bad);
	image->page_size = head.page_size;
	image->value_size = slots[0].value_size;
	note(image, IMAGE_HEADER, 0, 0, 64);
	for (uint32_t at = FORMAT_SLOT_AT; at < FORMAT_SLOT_AT + 2 * FORMAT_BLOCK;
	     at += FORMAT_BLOCK) {
		note(image, IMAGE_SLOT, 0, at, 160);
		for (uint32_t s = 0; s < FORMAT_SPACES; s++)
			note(image, IMAGE_ROOT, 0,
			     at + (uint32_t)offsetof(struct format_slot, roots[s]), 40);
	}
	for (unsigned i = 0; i < n; i++)
		note_slot(image, io_mem_head(medium, &len), &slots[i]);
	FUZZ_ASSERT(io->ops->log_list(io, &seqs, &n_seqs) == 0);
	for (size_t i = 0; i < n_seqs; i++)
		note_segment(image, seqs[i]);
	mem_free(seqs);
	io->ops->close(io);
}

void image_make(struct image *image, enum image_shape shape)
{
	static const struct store_geometry geometries[IMAGE_SHAPES] = {
		{4096, 64, 2}, {4096, 64, 2}, {8192, 12000, 2}, {4096, 0, 2}};
	static const uint32_t ids[IMAGE_SHAPES] = {100, 100, 10, 0};
	struct store_opts opts = {.cache_bytes = 16u << 20};
	struct io_mem *medium = io_mem_new(4711 + shape);
	struct store_io *io = io_mem_attach(medium);
	struct store *store;

	memset(image, 0, sizeof(*image));
	image->ids = ids[shape];
	FUZZ_ASSERT(store_create(io, &geometries[shape], NULL) == 0);
	FUZZ_ASSERT(store_open(io, &opts, &store, NULL, NULL) == 0);
	if (ids[shape] != 0)
		fill(store, ids[shape], geometries[shape].value_size);
	if (shape == IMAGE_CLOSED)
		FUZZ_ASSERT(store_close(store) == 0);
	else
		store_abandon(store);
	io->ops->close(io);
	image_take(image, medium);
}
