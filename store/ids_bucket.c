/* ids_bucket.c - packing entries into a bucket page. */
#include "store/ids_bucket.h"

#include <assert.h>
#include <string.h>

#include "store/base.h"

static uint32_t used_bytes(const uint8_t *page)
{
	return get_u32(((const struct format_bucket *)page)->used);
}

static uint8_t *entries_of(const uint8_t *page)
{
	return (uint8_t *)(uintptr_t)page + sizeof(struct format_bucket);
}

uint32_t ids_bucket_entry_size(size_t id_len)
{
	return (uint32_t)round_up(sizeof(struct format_entry) + id_len, 8);
}

static bool entry_fits(const struct format_entry *entry, uint32_t left)
{
	uint32_t length;

	if (left < sizeof(*entry))
		return false;
	length = get_u16(entry->length);
	return length <= left && length % 8 == 0 && entry->id_length[0] > 0 &&
	       length >= sizeof(*entry) + entry->id_length[0] + get_u16(entry->xattrs);
}

bool ids_bucket_valid(const uint8_t *page, uint32_t page_size)
{
	const struct format_bucket *bucket = (const struct format_bucket *)page;
	uint32_t used = used_bytes(page), count = get_u32(bucket->count), at = 0;

	if (get_u32(bucket->magic) != FORMAT_BUCKET_MAGIC || used > page_size - sizeof(*bucket) ||
	    get_u32(bucket->depth) > 63)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct format_entry *entry =
			(const struct format_entry *)(entries_of(page) + at);

		if (!entry_fits(entry, used - at))
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
	return page_size - (uint32_t)sizeof(struct format_bucket) - used_bytes(page);
}

void ids_bucket_format(void *page, uint32_t page_size, uint32_t depth)
{
	struct format_bucket *bucket = page;

	memset(page, 0, page_size);
	put_u32(bucket->magic, FORMAT_BUCKET_MAGIC);
	put_u32(bucket->depth, depth);
}

const struct format_entry *ids_bucket_next(const uint8_t *page, uint32_t *at)
{
	const struct format_entry *entry;

	if (*at >= used_bytes(page))
		return NULL;
	entry = (const struct format_entry *)(entries_of(page) + *at);
	*at += get_u16(entry->length);
	return entry;
}

const struct format_entry *ids_bucket_find(const uint8_t *page, uint64_t hash, const char *id,
					   size_t len)
{
	const struct format_entry *entry;

	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;)
		if (get_u64(entry->hash) == hash && entry->id_length[0] == len &&
		    memcmp((const uint8_t *)entry + sizeof(*entry), id, len) == 0)
			return entry;
	return NULL;
}

void ids_bucket_entry(const struct format_entry *entry, struct store_entry *entry_out)
{
	entry_out->ino = get_u64(entry->ino);
	entry_out->lsn = 0;
	entry_out->slot = get_u32(entry->slot);
	entry_out->attr.mode = get_u32(entry->mode);
	entry_out->attr.uid = get_u32(entry->uid);
	entry_out->attr.gid = get_u32(entry->gid);
	entry_out->attr.mtime_ns = (int64_t)get_u64(entry->mtime_ns);
	entry_out->id_len = entry->id_length[0];
	memcpy(entry_out->id, (const uint8_t *)entry + sizeof(*entry), entry_out->id_len);
	entry_out->id[entry_out->id_len] = '\0';
}

static void change_head(uint8_t *page, int32_t entries, int32_t bytes)
{
	struct format_bucket *bucket = (struct format_bucket *)page;

	put_u32(bucket->count, get_u32(bucket->count) + (uint32_t)entries);
	put_u32(bucket->used, get_u32(bucket->used) + (uint32_t)bytes);
}

void ids_bucket_add(uint8_t *page, uint32_t page_size, uint64_t hash,
		    const struct store_entry *entry)
{
	uint32_t length = ids_bucket_entry_size(entry->id_len);
	uint8_t *at = entries_of(page) + used_bytes(page);
	struct format_entry *out = (struct format_entry *)at;

	assert(ids_bucket_room(page, page_size) >= length);
	(void)page_size;
	memset(at, 0, length);
	put_u64(out->hash, hash);
	put_u64(out->ino, entry->ino);
	put_u64(out->mtime_ns, (uint64_t)entry->attr.mtime_ns);
	put_u32(out->slot, entry->slot);
	put_u32(out->mode, entry->attr.mode);
	put_u32(out->uid, entry->attr.uid);
	put_u32(out->gid, entry->attr.gid);
	put_u16(out->length, (uint16_t)length);
	out->id_length[0] = (uint8_t)entry->id_len;
	memcpy(at + sizeof(*out), entry->id, entry->id_len);
	change_head(page, 1, (int32_t)length);
}

/* Takes the entry at an offset out and closes the gap. */
static void cut(uint8_t *page, uint32_t at)
{
	uint8_t *entry = entries_of(page) + at;
	uint32_t length = get_u16(((struct format_entry *)entry)->length), used = used_bytes(page);

	memmove(entry, entry + length, used - at - length);
	memset(entries_of(page) + used - length, 0, length);
	change_head(page, -1, -(int32_t)length);
}

void ids_bucket_remove(uint8_t *page, uint32_t page_size, uint64_t hash, const char *id, size_t len)
{
	const struct format_entry *entry = ids_bucket_find(page, hash, id, len);

	(void)page_size;
	if (entry != NULL)
		cut(page, (uint32_t)((const uint8_t *)entry - entries_of(page)));
}

void ids_bucket_split(uint8_t *old, uint8_t *new, uint32_t page_size)
{
	uint32_t depth = ids_bucket_depth(old), at = 0;

	ids_bucket_format(new, page_size, depth + 1);
	put_u32(((struct format_bucket *)old)->depth, depth + 1);
	while (at < used_bytes(old)) {
		struct format_entry *entry = (struct format_entry *)(entries_of(old) + at);
		uint32_t length = get_u16(entry->length);

		if ((get_u64(entry->hash) >> (63 - depth) & 1) == 0) {
			at += length;
			continue;
		}
		memcpy(entries_of(new) + used_bytes(new), entry, length);
		change_head(new, 1, (int32_t)length);
		cut(old, at);
	}
}
