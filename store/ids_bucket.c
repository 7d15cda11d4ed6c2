/*
 * ids_bucket.c - packing entries into a bucket page.
 *
 * Entries grow from the head on, the table of tags from the end of the page towards them: item i, at
 * page_size - 4 * (i + 1), is of the i-th entry. So the table follows from the entries, and a page
 * from the order in which they were added. Finding reads the table: 4 bytes an entry, one after the
 * other, where the hashes of the entries are far apart.
 */
#include "store/ids_bucket.h"

#include <assert.h>
#include <string.h>

#include "store/base.h"

#define TAG_SIZE ((uint32_t)sizeof(struct format_tag))
#define GROUP 16u /* items looked at together */
#define LINE 64u  /* bytes that a processor fetches at once, most often */
#define NONE UINT32_MAX

static uint32_t used_bytes(const uint8_t *page)
{
	return get_u32(((const struct format_bucket *)page)->used);
}

static uint32_t entry_count(const uint8_t *page)
{
	return get_u32(((const struct format_bucket *)page)->count);
}

static uint8_t *entries_of(const uint8_t *page)
{
	return (uint8_t *)(uintptr_t)page + sizeof(struct format_bucket);
}

static uint8_t *tag_of(const uint8_t *page, uint32_t page_size, uint32_t i)
{
	return (uint8_t *)(uintptr_t)page + page_size - TAG_SIZE * (i + 1);
}

/* The item of an entry at this offset of the page. */
static void make_tag(struct format_tag *out, uint64_t hash, uint32_t offset)
{
	put_u16(out->hash, (uint16_t)hash);
	put_u16(out->at, (uint16_t)(offset / 8));
}

static uint32_t entry_length(size_t id_len, const struct xattrs *xattrs)
{
	return (uint32_t)round_up(sizeof(struct format_entry) + id_len + xattrs->len, 8);
}

static const struct xattrs no_xattrs = {NULL, 0};

uint32_t ids_bucket_entry_size(size_t id_len)
{
	return entry_length(id_len, &no_xattrs) + TAG_SIZE;
}

uint32_t ids_bucket_growth(const struct format_entry *found, size_t id_len,
			   const struct xattrs *xattrs)
{
	uint32_t length, was = found != NULL ? get_u16(found->length) : 0;

	if (found != NULL && xattrs == NULL)
		return 0;
	length = entry_length(id_len, xattrs != NULL ? xattrs : &no_xattrs);
	if (found == NULL)
		return length + TAG_SIZE;
	return length > was ? length - was : 0;
}

struct xattrs ids_bucket_xattrs(const struct format_entry *entry)
{
	return (struct xattrs){(const uint8_t *)entry + sizeof(*entry) + entry->id_length[0],
			       get_u16(entry->xattrs)};
}

static bool entry_fits(const struct format_entry *entry, uint32_t left, uint32_t page_size)
{
	struct xattrs xattrs;
	uint32_t length;

	if (left < sizeof(*entry))
		return false;
	length = get_u16(entry->length);
	xattrs = ids_bucket_xattrs(entry);
	if (length > left || length % 8 != 0 || entry->id_length[0] == 0 ||
	    length < sizeof(*entry) + entry->id_length[0] + xattrs.len)
		return false;
	return xattrs.len == 0 ||
	       (xattrs.len <= xattr_list_max(page_size) && xattr_valid(xattrs.bytes, xattrs.len));
}

bool ids_bucket_valid(const uint8_t *page, uint32_t page_size)
{
	const struct format_bucket *bucket = (const struct format_bucket *)page;
	uint32_t used = used_bytes(page), count = entry_count(page), at = 0;

	if (get_u32(bucket->magic) != FORMAT_BUCKET_MAGIC || get_u32(bucket->depth) > 63 ||
	    used + (uint64_t)count * TAG_SIZE > page_size - sizeof(*bucket))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct format_entry *entry =
			(const struct format_entry *)(entries_of(page) + at);
		struct format_tag tag;

		if (!entry_fits(entry, used - at, page_size))
			return false;
		make_tag(&tag, get_u64(entry->hash), (uint32_t)sizeof(*bucket) + at);
		if (memcmp(tag_of(page, page_size, i), &tag, sizeof(tag)) != 0)
			return false;
		at += get_u16(entry->length);
	}
	return at == used;
}

uint32_t ids_bucket_depth(const uint8_t *page)
{
	return get_u32(((const struct format_bucket *)page)->depth);
}

uint32_t ids_bucket_room(const uint8_t *page, uint32_t page_size)
{
	return page_size - (uint32_t)sizeof(struct format_bucket) - used_bytes(page) -
	       entry_count(page) * TAG_SIZE;
}

uint32_t ids_bucket_room_at(const uint8_t *page, uint32_t page_size, uint64_t hash, uint32_t depth)
{
	uint32_t room = page_size - (uint32_t)sizeof(struct format_bucket);
	const struct format_entry *entry;

	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;)
		if ((get_u64(entry->hash) ^ hash) >> (64 - depth) == 0)
			room -= get_u16(entry->length) + TAG_SIZE;
	return room;
}

void ids_bucket_format(void *page, uint32_t page_size, uint32_t depth)
{
	struct format_bucket *bucket = page;

	memset(page, 0, page_size);
	put_u32(bucket->magic, FORMAT_BUCKET_MAGIC);
	put_u32(bucket->depth, depth);
}

/* --- finding --- */

const struct format_entry *ids_bucket_next(const uint8_t *page, uint32_t *at)
{
	const struct format_entry *entry;

	if (*at >= used_bytes(page))
		return NULL;
	entry = (const struct format_entry *)(entries_of(page) + *at);
	*at += get_u16(entry->length);
	return entry;
}

void ids_bucket_prefetch(const uint8_t *page, uint32_t page_size)
{
	/* the table of a full bucket of short ids has a sixteenth of the page */
	uint32_t table = page_size / 16;

	__builtin_prefetch(page, 1);
	for (uint32_t at = page_size - table; at < page_size; at += LINE)
		__builtin_prefetch(page + at, 1);
}

void ids_bucket_prefetch_end(const uint8_t *page)
{
	const uint8_t *end = entries_of(page) + used_bytes(page);

	__builtin_prefetch(end, 1);
	__builtin_prefetch(end + LINE, 1);
}

/* A tag to look for, as bytes of an item in the order of the machine. */
struct sought {
	uint32_t bits, mask;
};

static struct sought seek(uint64_t hash)
{
	struct format_tag bits = {{0}, {0}}, mask = {{0xff, 0xff}, {0}};
	struct sought sought;

	put_u16(bits.hash, (uint16_t)hash);
	memcpy(&sought.bits, &bits, sizeof(bits));
	memcpy(&sought.mask, &mask, sizeof(mask));
	return sought;
}

static bool is_sought(const uint8_t *item, struct sought sought)
{
	uint32_t bits;

	memcpy(&bits, item, sizeof(bits));
	return ((bits ^ sought.bits) & sought.mask) == 0;
}

/* Four items, compared in one step. */
typedef uint32_t items4 __attribute__((vector_size(4 * TAG_SIZE)));

static items4 match4(const uint8_t *items, struct sought sought)
{
	items4 bits;

	memcpy(&bits, items, sizeof(bits));
	return (items4)(((bits ^ sought.bits) & sought.mask) == 0);
}

/* Whether any of GROUP items is sought. */
static bool group_has(const uint8_t *items, struct sought sought)
{
	items4 hits = match4(items, sought) | match4(items + sizeof(hits), sought) |
		      match4(items + 2 * sizeof(hits), sought) |
		      match4(items + 3 * sizeof(hits), sought);
	uint64_t halves[2];

	static_assert(GROUP * TAG_SIZE == 4 * sizeof(hits), "a group is four vectors");
	memcpy(halves, &hits, sizeof(halves));
	return (halves[0] | halves[1]) != 0;
}

/*
 * The item with this tag next below `left`, the last one first, since that is the order in memory.
 * Returns its number, or NONE.
 */
static uint32_t next_tagged(const uint8_t *page, uint32_t page_size, struct sought sought,
			    uint32_t left)
{
	while (left > 0) {
		if (left % GROUP == 0 && !group_has(tag_of(page, page_size, left - 1), sought)) {
			left -= GROUP;
			continue;
		}
		left--;
		if (is_sought(tag_of(page, page_size, left), sought))
			return left;
	}
	return NONE;
}

static const struct format_entry *entry_of(const uint8_t *page, uint32_t page_size, uint32_t i)
{
	const struct format_tag *item = (const struct format_tag *)tag_of(page, page_size, i);

	return (const struct format_entry *)(page + get_u16(item->at) * 8u);
}

const struct format_entry *ids_bucket_find(const uint8_t *page, uint32_t page_size, uint64_t hash,
					   const char *id, size_t len)
{
	struct sought sought = seek(hash);
	uint32_t i = entry_count(page);

	while ((i = next_tagged(page, page_size, sought, i)) != NONE) {
		const struct format_entry *entry = entry_of(page, page_size, i);

		if (get_u64(entry->hash) == hash && entry->id_length[0] == len &&
		    memcmp((const uint8_t *)entry + sizeof(*entry), id, len) == 0)
			return entry;
	}
	return NULL;
}

const struct format_entry *ids_bucket_find_slot(const uint8_t *page, uint32_t page_size,
						uint64_t hash, uint32_t slot)
{
	struct sought sought = seek(hash);
	uint32_t i = entry_count(page);

	while ((i = next_tagged(page, page_size, sought, i)) != NONE) {
		const struct format_entry *entry = entry_of(page, page_size, i);

		if (get_u64(entry->hash) == hash && get_u32(entry->slot) == slot)
			return entry;
	}
	return NULL;
}

struct store_attr ids_bucket_attr(const struct format_entry *entry)
{
	return (struct store_attr){
		.mode = get_u32(entry->mode),
		.uid = get_u32(entry->uid),
		.gid = get_u32(entry->gid),
		.mtime_ns = (int64_t)get_u64(entry->mtime_ns),
	};
}

void ids_bucket_entry(const struct format_entry *entry, struct store_entry *entry_out)
{
	entry_out->ino = get_u64(entry->ino);
	entry_out->lsn = 0;
	entry_out->slot = get_u32(entry->slot);
	entry_out->attr = ids_bucket_attr(entry);
	entry_out->id_len = entry->id_length[0];
	memcpy(entry_out->id, (const uint8_t *)entry + sizeof(*entry), entry_out->id_len);
	entry_out->id[entry_out->id_len] = '\0';
}

/* --- changing --- */

/* What an entry says beside its id and extended attributes. */
static void fill_head(struct format_entry *out, const struct store_entry *entry)
{
	put_u64(out->ino, entry->ino);
	put_u64(out->mtime_ns, (uint64_t)entry->attr.mtime_ns);
	put_u32(out->slot, entry->slot);
	put_u32(out->mode, entry->attr.mode);
	put_u32(out->uid, entry->attr.uid);
	put_u32(out->gid, entry->attr.gid);
}

/* Fills an entry of this length, whatever was there. */
static void fill(struct format_entry *out, uint32_t length, uint64_t hash,
		 const struct store_entry *entry, const struct xattrs *xattrs)
{
	uint8_t *id = (uint8_t *)out + sizeof(*out);

	memset(out, 0, length);
	put_u64(out->hash, hash);
	fill_head(out, entry);
	put_u16(out->length, (uint16_t)length);
	out->id_length[0] = (uint8_t)entry->id_len;
	memcpy(id, entry->id, entry->id_len);
	put_u16(out->xattrs, (uint16_t)xattrs->len);
	if (xattrs->len > 0)
		memcpy(id + entry->id_len, xattrs->bytes, xattrs->len);
}

/* The last entry of the page gets its item and is counted; its bytes are there. */
static void count_last(uint8_t *page, uint32_t page_size)
{
	struct format_bucket *bucket = (struct format_bucket *)page;
	uint32_t used = used_bytes(page), count = entry_count(page);
	const struct format_entry *entry = (const struct format_entry *)(entries_of(page) + used);

	make_tag((struct format_tag *)tag_of(page, page_size, count), get_u64(entry->hash),
		 (uint32_t)sizeof(*bucket) + used);
	put_u32(bucket->count, count + 1);
	put_u32(bucket->used, used + get_u16(entry->length));
}

static void add(uint8_t *page, uint32_t page_size, uint64_t hash, const struct store_entry *entry,
		const struct xattrs *xattrs)
{
	uint32_t length = entry_length(entry->id_len, xattrs);

	assert(ids_bucket_room(page, page_size) >= length + TAG_SIZE);
	fill((struct format_entry *)(entries_of(page) + used_bytes(page)), length, hash, entry,
	     xattrs);
	count_last(page, page_size);
}

void ids_bucket_add(uint8_t *page, uint32_t page_size, uint64_t hash,
		    const struct store_entry *entry)
{
	add(page, page_size, hash, entry, &no_xattrs);
}

/* The number of the entry at this offset of the page: the table is in the order of the entries. */
static uint32_t number_at(const uint8_t *page, uint32_t page_size, uint32_t offset)
{
	uint32_t low = 0, high = entry_count(page);

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		const struct format_tag *item = (const struct format_tag *)tag_of(page, page_size,
										  middle);

		if (get_u16(item->at) * 8u > offset)
			high = middle;
		else
			low = middle;
	}
	return low;
}

void ids_bucket_remove(uint8_t *page, uint32_t page_size, const struct format_entry *found)
{
	struct format_bucket *bucket = (struct format_bucket *)page;
	uint32_t at = (uint32_t)((const uint8_t *)found - page), length = get_u16(found->length);
	uint32_t end = (uint32_t)sizeof(*bucket) + used_bytes(page), count = entry_count(page);
	uint32_t removed = number_at(page, page_size, at);
	uint8_t *last;

	memmove(page + at, page + at + length, end - at - length);
	memset(page + end - length, 0, length);
	/* all entries behind this one have moved up, and their items, below its own, follow */
	last = tag_of(page, page_size, count - 1);
	memmove(last + TAG_SIZE, last, (count - 1 - removed) * TAG_SIZE);
	for (uint32_t i = removed; i < count - 1; i++) {
		struct format_tag *item = (struct format_tag *)tag_of(page, page_size, i);

		put_u16(item->at, (uint16_t)(get_u16(item->at) - length / 8));
	}
	memset(last, 0, TAG_SIZE);
	put_u32(bucket->count, count - 1);
	put_u32(bucket->used, used_bytes(page) - length);
}

void ids_bucket_put(uint8_t *page, uint32_t page_size, const struct format_entry *found,
		    uint64_t hash, const struct store_entry *entry, const struct xattrs *xattrs)
{
	struct format_entry *at = (struct format_entry *)(uintptr_t)found;
	uint32_t length;

	if (found != NULL && xattrs == NULL) {
		fill_head(at, entry);
		return;
	}
	if (xattrs == NULL)
		xattrs = &no_xattrs;
	length = entry_length(entry->id_len, xattrs);
	if (found != NULL && get_u16(found->length) == length) {
		fill(at, length, hash, entry, xattrs);
		return;
	}
	if (found != NULL)
		ids_bucket_remove(page, page_size, found);
	add(page, page_size, hash, entry, xattrs);
}

void ids_bucket_split(uint8_t *old, uint8_t *new, uint32_t page_size)
{
	struct format_bucket *bucket = (struct format_bucket *)old;
	uint32_t depth = ids_bucket_depth(old), used = used_bytes(old), count = entry_count(old);
	uint32_t at = 0;

	ids_bucket_format(new, page_size, depth + 1);
	put_u32(bucket->depth, depth + 1);
	put_u32(bucket->used, 0);
	put_u32(bucket->count, 0);
	/* what stays is packed again over what was read */
	while (at < used) {
		struct format_entry *entry = (struct format_entry *)(entries_of(old) + at);
		uint8_t *to = (get_u64(entry->hash) >> (63 - depth) & 1) == 0 ? old : new;
		uint32_t length = get_u16(entry->length);

		memmove(entries_of(to) + used_bytes(to), entry, length);
		count_last(to, page_size);
		at += length;
	}
	memset(entries_of(old) + used_bytes(old), 0, used - used_bytes(old));
	memset(tag_of(old, page_size, count) + TAG_SIZE, 0, (count - entry_count(old)) * TAG_SIZE);
}
