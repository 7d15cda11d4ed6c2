/*
 * spoil.c - edits from an input, then checksums from the bottom up: pages into map leaves, map pages
 * into their parents, roots and trunks into slots, records into the chain of the log.
 *
 * An input begins with flags, then has edits until it says stop. Sums are made right for what an
 * edit touched and for what stands above it, in the structure as it is after the edits.
 */
#include "tests/fuzz/spoil.h"

#include <string.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/page.h"
#include "store/wal_format.h"
#include "tests/fuzz/lists.h"
#include "tests/fuzz/tags.h"

#define EDITS_MAX 12
#define TOUCHED_MAX 64
#define NODES_MAX 64 /* map pages looked at, whatever the edits made of the tree */
#define TRUNKS_MAX 8
#define CAPACITY (64u << 20)

enum fix {
	FIX_PAGES = 1, /* sums in map leaves */
	FIX_MAPS = 2,  /* sums of map pages and trunks */
	FIX_SLOTS = 4,
	FIX_HEADER = 8,
	FIX_COPIES = 16, /* second copies of map pages become like the first */
	FIX_LOG = 32,	 /* self hashes */
	FIX_CHAIN = 64,	 /* prev_hash too */
	FIX_TAGS = 128,	 /* tables of tags in buckets, where FIX_PAGES is */
};

struct spoil {
	const struct image *image;
	struct io_mem *medium;
	uint8_t *head;
	size_t len;
	uint64_t touched[TOUCHED_MAX][2]; /* from, end; in the head */
	size_t n_touched;
	uint8_t uuid[16];
	uint32_t page_size;
	unsigned fix, nodes;
};

static void touch(struct spoil *spoil, uint64_t from, uint64_t len)
{
	if (spoil->n_touched == TOUCHED_MAX)
		return;
	spoil->touched[spoil->n_touched][0] = from;
	spoil->touched[spoil->n_touched++][1] = from + len;
}

static bool is_touched(const struct spoil *spoil, const uint8_t *at, uint64_t len)
{
	uint64_t from = (uint64_t)(at - spoil->head);

	for (size_t i = 0; i < spoil->n_touched; i++)
		if (from < spoil->touched[i][1] && spoil->touched[i][0] < from + len)
			return true;
	return false;
}

/* --- edits --- */

static uint8_t *piece_bytes(struct spoil *spoil, const struct image_piece *piece, size_t *len_out)
{
	if (piece->seq != 0)
		return io_mem_segment(spoil->medium, piece->seq, len_out);
	*len_out = spoil->len;
	return spoil->head;
}

/* A piece of one of the kinds: first the kind, then which of them. */
static const struct image_piece *choose(const struct image *image, uint32_t kinds,
					struct fuzz_input *in)
{
	unsigned kind = fuzz_u8(in) % IMAGE_KINDS;
	size_t nth = fuzz_u8(in), count = 0;

	for (unsigned tries = 0; tries < IMAGE_KINDS && count == 0; tries++) {
		if (tries > 0)
			kind = (kind + 1) % IMAGE_KINDS;
		for (size_t i = 0; (kinds >> kind & 1) != 0 && i < image->n; i++)
			count += image->pieces[i].kind == kind;
	}
	if (count == 0)
		return NULL;
	nth %= count;
	for (size_t i = 0;; i++)
		if (image->pieces[i].kind == kind && nth-- == 0)
			return &image->pieces[i];
}

static void change_bytes(struct spoil *spoil, uint32_t kinds, struct fuzz_input *in)
{
	const struct image_piece *piece = choose(spoil->image, kinds, in);
	uint32_t offset = fuzz_u16(in), how = fuzz_u8(in);
	size_t len, n, most = (size_t)1 << how % 4;
	uint8_t value[8], *bytes;

	if (piece == NULL)
		return;
	bytes = piece_bytes(spoil, piece, &len);
	offset %= piece->length;
	if (how & 32) /* fields are aligned */
		offset &= ~((uint32_t)most - 1);
	if (bytes == NULL || piece->offset + offset >= len)
		return;
	bytes += piece->offset + offset;
	len -= piece->offset + offset;
	if (len > piece->length - offset)
		len = piece->length - offset;
	n = most < len ? most : len;
	if (how & 64) { /* bytes as they come */
		const uint8_t *from = fuzz_bytes(in, n = how >> 2 & 7 ? most : 32, &n);

		n = n < len ? n : len;
		if (n != 0)
			memcpy(bytes, from, n);
	} else if (how & 16) { /* a little more or less */
		put_u64(value, 0);
		memcpy(value, bytes, n);
		put_u64(value, get_u64(value) + (uint64_t)(int64_t)(int8_t)fuzz_u8(in));
		memcpy(bytes, value, n);
	} else {
		put_u64(value, fuzz_edge(in));
		memcpy(bytes, value, n);
	}
	if (piece->seq == 0)
		touch(spoil, piece->offset + offset, n);
}

/* Copies a part of one piece over another: doubles, misplaced pages, swapped fields. */
static void copy_piece(struct spoil *spoil, uint32_t kinds, struct fuzz_input *in)
{
	const struct image_piece *from = choose(spoil->image, UINT32_MAX, in);
	const struct image_piece *to = choose(spoil->image, kinds, in);
	uint32_t at = (uint32_t)fuzz_u8(in) * 8, shift = (uint32_t)fuzz_u8(in) * 8;
	size_t from_len, to_len, n = (size_t)8 << fuzz_u8(in) % 10;
	uint8_t *source, *target;

	if (from == NULL || to == NULL)
		return;
	source = piece_bytes(spoil, from, &from_len);
	target = piece_bytes(spoil, to, &to_len);
	if (source == NULL || target == NULL || from->offset + at >= from_len ||
	    to->offset + shift >= to_len || shift >= to->length)
		return;
	if (n > from_len - from->offset - at)
		n = from_len - from->offset - at;
	if (n > to_len - to->offset - shift)
		n = to_len - to->offset - shift;
	/* what lies behind may be of a kind that must stay */
	if (n > to->length - shift)
		n = to->length - shift;
	memmove(target + to->offset + shift, source + from->offset + at, n);
	if (to->seq == 0)
		touch(spoil, to->offset + shift, n);
}

static void cut(struct spoil *spoil, uint32_t kinds, struct fuzz_input *in)
{
	const struct image_piece *piece = choose(spoil->image, kinds, in);
	uint64_t end = piece == NULL ? 0 : piece->offset + fuzz_u16(in) % (piece->length + 1);
	size_t len;

	if (piece == NULL || piece_bytes(spoil, piece, &len) == NULL || end >= len)
		return;
	if (piece->seq != 0)
		FUZZ_ASSERT(io_mem_resize_segment(spoil->medium, piece->seq, end) == 0);
	else
		FUZZ_ASSERT(io_mem_resize_head(spoil->medium, end) == 0);
	spoil->head = io_mem_head(spoil->medium, &spoil->len);
}

/* Another number of pages for a space, with the height that goes with it. */
static void change_root(struct spoil *spoil, struct fuzz_input *in)
{
	const struct image_piece *piece = choose(spoil->image, 1u << IMAGE_ROOT, in);
	uint32_t pages = (uint32_t)fuzz_edge(in), height = 0;
	struct format_root *root;
	uint64_t n = pages;

	if (piece == NULL || piece->offset + sizeof(*root) > spoil->len)
		return;
	for (; n > 1 || (n == 1 && height == 0); height++) {
		uint32_t fanout = spoil->image->page_size / (height == 0 ? 16 : 32);

		n = (n + fanout - 1) / fanout;
	}
	root = (struct format_root *)(spoil->head + piece->offset);
	put_u32(root->pages, pages);
	put_u32(root->height, height);
	touch(spoil, piece->offset, sizeof(*root));
}

/* --- records --- */

static uint64_t last_seq(const struct image *image)
{
	uint64_t seq = 0;

	for (size_t i = 0; i < image->n; i++)
		if (image->pieces[i].seq > seq)
			seq = image->pieces[i].seq;
	return seq;
}

static size_t some_id(const struct image *image, struct fuzz_input *in, char *out)
{
	uint8_t which = fuzz_u8(in);
	size_t n;
	const uint8_t *bytes;

	if (which < 224)
		return image_id(which % (image->ids + 2), out);
	bytes = fuzz_bytes(in, which - 223, &n);
	if (n != 0)
		memcpy(out, bytes, n);
	return n;
}

/* Payload of a record: fields from the input, lengths usually right. Returns its length. */
static uint32_t make_payload(const struct image *image, uint8_t type, struct fuzz_input *in,
			     uint8_t *out)
{
	char id[IMAGE_ID_SIZE];
	size_t len = some_id(image, in, id), to_len;
	uint32_t size = image->value_size != 0 ? image->value_size : 4 * (fuzz_u8(in) % 8u);

	if (type == FORMAT_PUT) {
		struct format_put *put = (struct format_put *)out;

		memset(out, 0, sizeof(*put) + 64 + size);
		put_u64(put->ino, fuzz_edge(in));
		put_u32(put->slot, (uint32_t)fuzz_edge(in));
		put_u32(put->value_size, fuzz_u8(in) == 255 ? (uint32_t)fuzz_edge(in) : size);
		put_u32(put->id_length,
			fuzz_u8(in) == 255 ? (uint32_t)fuzz_edge(in) : (uint32_t)len);
		memcpy(out + sizeof(*put), id, len);
		return (uint32_t)(sizeof(*put) + round_up(len, 8) + size);
	}
	if (type == FORMAT_RENAME) {
		struct format_rename *rename = (struct format_rename *)out;

		put_u32(rename->flags, fuzz_u8(in) % 3);
		memcpy(out + sizeof(*rename), id, len);
		to_len = some_id(image, in, id);
		memcpy(out + sizeof(*rename) + len, id, to_len);
		put_u16(rename->from_length, (uint16_t)len);
		put_u16(rename->to_length,
			(uint16_t)(to_len + (fuzz_u8(in) == 255 ? fuzz_u8(in) : 0)));
		return (uint32_t)(sizeof(*rename) + len + to_len);
	}
	if (type == FORMAT_SETATTR) {
		struct format_setattr *set = (struct format_setattr *)out;

		memset(out, 0, sizeof(*set));
		put_u32(set->id_length, (uint32_t)(len + (fuzz_u8(in) == 255 ? fuzz_u8(in) : 0)));
		memcpy(out + sizeof(*set), id, len);
		return (uint32_t)(sizeof(*set) + len);
	}
	if (type == FORMAT_SETXATTR) {
		struct format_setxattr *set = (struct format_setxattr *)out;
		uint32_t list = lists_make(in, out + sizeof(*set) + len);

		put_u32(set->list_length, list + (fuzz_u8(in) == 255 ? fuzz_u8(in) : 0));
		put_u32(set->id_length, (uint32_t)len);
		memcpy(out + sizeof(*set), id, len);
		return (uint32_t)(sizeof(*set) + len + list);
	}
	memcpy(out, id, len);
	return type == FORMAT_SYNC ? 0 : (uint32_t)len;
}

/* Appends a record of its own to the log, as a writer would. */
static void append_record(struct spoil *spoil, struct fuzz_input *in)
{
	static uint8_t bytes[WAL_FORMAT_RECORD_MAX];
	struct wal_format_record found = {0}, record = {0};
	struct wal_format_segment segment;
	uint64_t seq = last_seq(spoil->image), hash = 0, lsn = 0;
	size_t len, at = FORMAT_RECORDS_AT;
	uint8_t *log = io_mem_segment(spoil->medium, seq, &len);
	uint8_t type = fuzz_u8(in) % 8;
	uint32_t payload = make_payload(spoil->image, type, in, bytes + WAL_FORMAT_HEAD), size;

	if (log == NULL || len < FORMAT_RECORDS_AT || wal_format_get_segment(log, seq, &segment))
		return;
	while (at < len && wal_format_get_record(log + at, len - at, &segment, &found)) {
		at += wal_format_size(found.record.length);
		hash = found.record.hash;
		lsn = found.record.lsn;
	}
	record.record.type = type;
	record.record.length = payload;
	record.record.lsn = lsn + 1;
	record.record.epoch = segment.epoch;
	record.prev_hash = hash;
	(void)wal_format_put_record(bytes, &record, segment.salt);
	size = wal_format_size(payload);
	FUZZ_ASSERT(io_mem_resize_segment(spoil->medium, seq, at + size) == 0);
	memcpy(io_mem_segment(spoil->medium, seq, &len) + at, bytes, size);
}

/* --- sums --- */

static uint8_t *at_place(const struct spoil *spoil, uint64_t place, struct place *at)
{
	if (!place_unpack(place, at) || at->block * FORMAT_BLOCK + at->bytes > spoil->len)
		return NULL;
	return spoil->head + at->block * FORMAT_BLOCK;
}

static bool fix_leaf(struct spoil *spoil, int space, uint64_t index, uint8_t *leaf)
{
	uint32_t fanout = spoil->page_size / 16;
	bool changed = false;

	for (uint32_t i = 0; (spoil->fix & FIX_PAGES) != 0 && i < fanout; i++) {
		struct format_map_entry *entry = (struct format_map_entry *)leaf + i;
		uint64_t place = get_u64(entry->place);
		struct place at;
		uint8_t *page;

		if (place == 0)
			continue;
		page = at_place(spoil, place, &at);
		if (page == NULL || (!is_touched(spoil, page, at.bytes) &&
				     !is_touched(spoil, (uint8_t *)entry, sizeof(*entry))))
			continue;
		if (space == FORMAT_SPACE_BUCKET && at.bytes == spoil->page_size &&
		    (spoil->fix & FIX_TAGS) != 0)
			tags_mend(page, at.bytes);
		put_u64(entry->checksum,
			page_checksum(page, at.bytes,
				      page_seed(spoil->uuid, (enum format_space)space,
						(uint32_t)(index * fanout + i))));
		changed = true;
	}
	return changed;
}

/* Makes the sum of a map page right, below it first. Whether the child has changed. */
static bool fix_map(struct spoil *spoil, int space, unsigned level, uint64_t index,
		    struct format_map_child *child)
{
	struct place at, at1;
	uint8_t *page = at_place(spoil, get_u64(child->place[0]), &at), *copy;
	uint32_t fanout = spoil->page_size / 32;
	bool changed;

	if (page == NULL || at.bytes != spoil->page_size || spoil->nodes++ > NODES_MAX)
		return false;
	changed = is_touched(spoil, page, at.bytes);
	if (level == 0)
		changed |= fix_leaf(spoil, space, index, page);
	for (uint32_t i = 0; level > 0 && i < fanout; i++)
		changed |= fix_map(spoil, space, level - 1, index * fanout + i,
				   (struct format_map_child *)page + i);
	if (!changed)
		return false;
	put_u64(child->checksum,
		page_checksum(page, at.bytes,
			      page_map_seed(spoil->uuid, (enum format_space)space, level, index)));
	copy = at_place(spoil, get_u64(child->place[1]), &at1);
	if ((spoil->fix & FIX_COPIES) != 0 && copy != NULL && at1.bytes == at.bytes)
		memmove(copy, page, at.bytes);
	return true;
}

/* The sum of a trunk, those behind it first. */
static void fix_trunk(struct spoil *spoil, uint8_t *place, uint8_t *checksum, unsigned depth)
{
	struct place at;
	uint8_t *bytes = get_u64(place) != 0 ? at_place(spoil, get_u64(place), &at) : NULL;
	struct format_trunk *trunk = (struct format_trunk *)bytes;

	if (bytes == NULL || at.bytes != FORMAT_BLOCK || depth > TRUNKS_MAX)
		return;
	fix_trunk(spoil, trunk->next_place, trunk->next_checksum, depth + 1);
	put_u64(checksum, page_checksum(bytes, at.bytes, page_trunk_seed(spoil->uuid, at.block)));
}

static void fix_slot(struct spoil *spoil, struct format_slot *slot)
{
	XXH128_hash_t hash;

	if (all_zero(slot, sizeof(*slot)))
		return;
	spoil->nodes = 0;
	for (int s = 0; (spoil->fix & FIX_MAPS) != 0 && s < FORMAT_SPACES; s++) {
		uint32_t height = get_u32(slot->roots[s].height);

		if (height >= 1 && height <= 4)
			(void)fix_map(spoil, s, height - 1, 0, &slot->roots[s].top);
	}
	if ((spoil->fix & FIX_MAPS) != 0)
		fix_trunk(spoil, slot->free_place, slot->free_checksum, 0);
	if ((spoil->fix & FIX_SLOTS) == 0)
		return;
	hash = XXH3_128bits(slot, offsetof(struct format_slot, checksum));
	put_u64(slot->checksum, hash.low64);
	put_u64(slot->checksum + 8, hash.high64);
}

static void fix_head(struct spoil *spoil)
{
	struct format_header *header = (struct format_header *)spoil->head;

	if (spoil->len < FORMAT_PAGES_AT)
		return;
	spoil->page_size = get_u32(header->page_size);
	if (!is_power_of_two(spoil->page_size) || spoil->page_size < FORMAT_PAGE_MIN ||
	    spoil->page_size > FORMAT_PAGE_MAX)
		spoil->page_size = spoil->image->page_size;
	memcpy(spoil->uuid, header->uuid, 16);
	for (int i = 0; i < 2; i++)
		fix_slot(spoil, (struct format_slot *)(spoil->head + FORMAT_SLOT_AT) + i);
	if ((spoil->fix & FIX_HEADER) != 0)
		put_u64(header->checksum,
			XXH3_64bits(header, offsetof(struct format_header, checksum)));
}

static void fix_segment(struct spoil *spoil, uint64_t seq, uint64_t *hash)
{
	size_t len, at = FORMAT_RECORDS_AT;
	uint8_t *bytes = io_mem_segment(spoil->medium, seq, &len);
	uint64_t salt;

	if (bytes == NULL || len < FORMAT_RECORDS_AT)
		return;
	for (int block = 0; block < 2; block++)
		if (!all_zero(bytes + block * FORMAT_BLOCK, FORMAT_BLOCK))
			put_u64(bytes + block * FORMAT_BLOCK + 4088,
				XXH3_64bits(bytes + block * FORMAT_BLOCK, 4088));
	salt = get_u64(((struct format_segment *)bytes)->salt);
	while (len - at >= WAL_FORMAT_RECORD_MIN) {
		struct format_record *record = (struct format_record *)(bytes + at);
		uint32_t length = get_u32(record->length), size;

		if (length > WAL_FORMAT_PAYLOAD_MAX || wal_format_size(length) > len - at)
			return;
		size = wal_format_size(length);
		if ((spoil->fix & FIX_CHAIN) != 0 && *hash != 0)
			put_u64(record->prev_hash, *hash);
		*hash = XXH3_64bits_withSeed(record, size - 8, salt ^ get_u64(record->lsn));
		put_u64(bytes + at + size - 8, *hash);
		at += size;
	}
}

static void fix_log(struct spoil *spoil)
{
	uint64_t done = 0, hash = 0;

	/* pieces of segments are noted in the order of segments */
	for (size_t i = 0; i < spoil->image->n; i++) {
		uint64_t seq = spoil->image->pieces[i].seq;

		if (seq > done) {
			fix_segment(spoil, seq, &hash);
			done = seq;
		}
	}
}

static void settle_pages(struct spoil *spoil, uint32_t settled,
			 void (*settle)(uint8_t *head, size_t len))
{
	const struct image *image = spoil->image;

	for (size_t i = 0; i < image->n; i++)
		if ((settled >> image->pieces[i].kind & 1) != 0)
			touch(spoil, image->pieces[i].offset, 1);
	settle(spoil->head, spoil->len);
}

struct io_mem *spoil_and(const struct image *image, uint32_t kinds, struct fuzz_input *in,
			 uint32_t settled, void (*settle)(uint8_t *head, size_t len))
{
	static struct io_mem
		*medium; /* used again and again: making one costs more than most runs */
	struct spoil spoil = {.image = image};

	if (medium == NULL)
		medium = io_mem_new(0);
	FUZZ_ASSERT(medium != NULL && io_mem_restore(medium, image->medium) == 0);
	spoil.medium = medium;
	io_mem_set_capacity(spoil.medium, CAPACITY);
	spoil.head = io_mem_head(spoil.medium, &spoil.len);
	spoil.fix = fuzz_u8(in) ^ 0xff;
	for (int edits = 0; edits < EDITS_MAX; edits++) {
		uint8_t what = fuzz_u8(in) % 32;

		if (what == 0)
			break;
		if (what <= 20)
			change_bytes(&spoil, kinds, in);
		else if (what <= 25)
			copy_piece(&spoil, kinds, in);
		else if (what <= 26)
			cut(&spoil, kinds, in);
		else if (what <= 28 && (kinds >> IMAGE_ROOT & 1) != 0)
			change_root(&spoil, in);
		else if ((kinds >> IMAGE_RECORD & 1) != 0)
			append_record(&spoil, in);
	}
	if (settle != NULL)
		settle_pages(&spoil, settled, settle);
	fix_head(&spoil);
	if ((spoil.fix & FIX_LOG) != 0)
		fix_log(&spoil);
	return spoil.medium;
}

struct io_mem *spoil(const struct image *image, uint32_t kinds, struct fuzz_input *in)
{
	return spoil_and(image, kinds, in, 0, NULL);
}
