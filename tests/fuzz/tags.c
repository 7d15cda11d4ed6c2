/* tags.c - the table of tags of a bucket page, made from its entries. */
#include "tests/fuzz/tags.h"

#include "store/base.h"
#include "store/format.h"

void tags_mend(uint8_t *page, uint32_t page_size)
{
	const struct format_bucket *bucket = (const struct format_bucket *)page;
	uint32_t count = get_u32(bucket->count), at = sizeof(*bucket), end = page_size;

	for (uint32_t i = 0; i < count; i++) {
		const struct format_entry *entry = (const struct format_entry *)(page + at);
		struct format_tag *tag = (struct format_tag *)(page + end) - 1;

		end -= (uint32_t)sizeof(*tag);
		if (at > end || end - at < sizeof(*entry))
			return;
		put_u16(tag->hash, get_u16(entry->hash));
		put_u16(tag->at, (uint16_t)(at / 8));
		at += get_u16(entry->length);
	}
}
