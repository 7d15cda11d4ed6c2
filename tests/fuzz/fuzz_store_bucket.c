/*
 * A bucket page of ids, of any bytes: once it is called valid, all that is done with it stays
 * inside of it and leaves it valid.
 *
 * max_len: 2000
 */
#include "store/ids_bucket.h"

#include <stdlib.h>
#include <string.h>

#include "store/base.h"
#include "store/format.h"
#include "store/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lists.h"
#include "tests/fuzz/tags.h"

#define PAGE FORMAT_PAGE_MIN
#define OPS_MAX 20

static size_t some_id(struct fuzz_input *in, char id[FORMAT_ID_MAX + 1])
{
	uint8_t byte = fuzz_u8(in);
	size_t len = byte < 200 ? 1 + byte % 4 : byte;

	memset(id, 'a' + byte % 4, len);
	return len;
}

static uint64_t some_hash(struct fuzz_input *in)
{
	return (uint64_t)fuzz_u8(in) << 56 | (fuzz_u8(in) & 3);
}

static void add(uint8_t *page, struct fuzz_input *in)
{
	struct store_entry entry = {.slot = fuzz_u8(in), .ino = fuzz_u8(in)};

	entry.id_len = (uint16_t)some_id(in, entry.id);
	if (ids_bucket_room(page, PAGE) >= ids_bucket_entry_size(entry.id_len))
		ids_bucket_add(page, PAGE, some_hash(in), &entry);
}

/* Whether the entry has this list; NULL: any. */
static bool has_list(const struct format_entry *entry, const struct xattrs *list)
{
	struct xattrs has = ids_bucket_xattrs(entry);

	return list == NULL || (has.len == list->len &&
				(list->len == 0 || memcmp(has.bytes, list->bytes, list->len) == 0));
}

static void put(uint8_t *page, struct fuzz_input *in, bool with_list)
{
	struct store_entry entry = {.slot = fuzz_u8(in), .ino = fuzz_u8(in)};
	uint8_t bytes[LISTS_MAX];
	struct xattrs some = {bytes, with_list ? lists_make(in, bytes) : 0};
	const struct xattrs *list = with_list ? &some : NULL;
	const struct format_entry *found;
	uint32_t had = 0;
	uint64_t hash;

	entry.id_len = (uint16_t)some_id(in, entry.id);
	hash = some_hash(in);
	found = ids_bucket_find(page, PAGE, hash, entry.id, entry.id_len);
	if (ids_bucket_room(page, PAGE) < ids_bucket_growth(found, entry.id_len, list))
		return;
	if (found != NULL)
		had = ids_bucket_xattrs(found).len;
	ids_bucket_put(page, PAGE, found, hash, &entry, list);
	found = ids_bucket_find(page, PAGE, hash, entry.id, entry.id_len);
	FUZZ_ASSERT(found != NULL && get_u32(found->slot) == entry.slot);
	FUZZ_ASSERT(has_list(found, list));
	FUZZ_ASSERT(list != NULL || ids_bucket_xattrs(found).len == had);
}

/* Entries, as a walk counts them; each is copied out. */
static uint32_t walk(const uint8_t *page)
{
	struct store_entry entry;
	const struct format_entry *at;
	uint32_t n = 0, offset = 0;

	while ((at = ids_bucket_next(page, &offset)) != NULL) {
		ids_bucket_entry(at, &entry);
		FUZZ_ASSERT(entry.id_len > 0 && entry.id[entry.id_len] == '\0');
		FUZZ_ASSERT(ids_bucket_find(page, PAGE, get_u64(at->hash), entry.id,
					    entry.id_len) != NULL);
		n++;
	}
	return n;
}

static void check(const uint8_t *page)
{
	FUZZ_ASSERT(ids_bucket_valid(page, PAGE));
	FUZZ_ASSERT(walk(page) == get_u32(((const struct format_bucket *)page)->count));
}

static void split(uint8_t *page)
{
	uint8_t *other = malloc(PAGE);
	uint32_t before = walk(page);

	if (ids_bucket_depth(page) < 26) {
		ids_bucket_split(page, other, PAGE);
		check(page);
		check(other);
		FUZZ_ASSERT(walk(page) + walk(other) == before);
	}
	free(other);
}

static void use(uint8_t *page, struct fuzz_input *in)
{
	char id[FORMAT_ID_MAX + 1];
	uint32_t before;
	size_t len;

	for (int ops = 0; ops < OPS_MAX && in->left > 0; ops++) {
		uint8_t byte = fuzz_u8(in), what = byte % 8;

		if (what < 2) {
			add(page, in);
		} else if (what < 4) {
			put(page, in, byte >= 128);
		} else if (what < 7) {
			const struct format_entry *found;
			uint64_t hash = some_hash(in);

			len = some_id(in, id);
			before = walk(page);
			found = ids_bucket_find(page, PAGE, hash, id, len);
			if (found != NULL)
				ids_bucket_remove(page, PAGE, found);
			FUZZ_ASSERT(walk(page) + (found != NULL) == before);
		} else {
			split(page);
		}
		check(page);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t *page = malloc(PAGE);
	uint8_t adds = fuzz_u8(&in) % 80, edits = fuzz_u8(&in) % 6, how = fuzz_u8(&in);

	ids_bucket_format(page, PAGE, how % 4);
	for (uint8_t i = 0; i < adds; i++)
		add(page, &in);
	for (uint8_t i = 0; i < edits; i++) {
		uint8_t value[8];
		uint32_t at = fuzz_u16(&in), where = fuzz_u8(&in);

		put_u64(value, fuzz_edge(&in));
		/* most in the head and the first entries; byte, pair, word */
		at = where & 4 ? at % 256 : at % PAGE;
		at = at & ~3u;
		memcpy(page + at, value, (size_t)1 << where % 3);
	}
	if ((how & 4) == 0)
		tags_mend(page, PAGE);
	if (ids_bucket_valid(page, PAGE)) {
		check(page);
		use(page, &in);
	} else {
		FUZZ_ASSERT(edits > 0);
	}
	free(page);
	return 0;
}
