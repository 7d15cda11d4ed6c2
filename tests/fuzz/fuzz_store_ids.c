/*
 * The id index over directory and bucket pages of any content, with right checksums: finding,
 * listing, adding and removing end, stay in bounds, and take memory in proportion to what there is.
 * An index that ids_check calls good stays good.
 *
 * max_len: 1500
 */
#include "store/ids.h"

#include <stdatomic.h>
#include <sanitizer/lsan_interface.h>
#include <string.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/page.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lists.h"
#include "tests/fuzz/tags.h"
#include "tests/support/io_mem.h"

#define PAGE FORMAT_PAGE_MIN
#define BUCKETS_MAX 6
#define OPS_MAX 16
#define LIST_MAX 128
#define GROWN_MAX 4096u /* pages that a few ids may need at most */

static const uint8_t uuid[16] = {6};
static struct io_mem *medium;
static struct store_io *io;
static struct epoch *epoch;
static struct pager *pager;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	medium = io_mem_new(1);
	io = io_mem_attach(medium);
	FUZZ_ASSERT(epoch_new(&epoch) == 0);
	FUZZ_ASSERT(pager_new(&pager, io, epoch, uuid, PAGE, 1u << 20) == 0);
	/* it stays, and what it reserves is not searched for what is still in use */
	for (int s = 0; s < FORMAT_SPACES; s++)
		__lsan_register_root_region((const void *)pager->spaces[s].chunks, 4096);
	return 0;
}

/* Stores a page as a flush would, so that it is read and judged when it is needed. */
static void place(enum format_space space, uint32_t number, const uint8_t *bytes)
{
	struct pager_group *group = &pager->groups[PAGER_META];
	uint64_t block;

	FUZZ_ASSERT(pager_grow(pager, space, number) == 0);
	FUZZ_ASSERT(pager_write_blocks(pager, bytes, PAGE, &block) == 0);
	(void)pthread_mutex_lock(&group->lock);
	FUZZ_ASSERT(pager_set_place(pager, space, number, place_pack(block, PAGE, FORMAT_RAW),
				    page_checksum(bytes, PAGE, page_seed(uuid, space, number))) ==
		    0);
	(void)pthread_mutex_unlock(&group->lock);
}

static void edit(uint8_t *page, uint32_t range, struct fuzz_input *in)
{
	uint8_t edits = fuzz_u8(in), value[8];

	for (uint8_t i = 0; edits >= 192 && i < edits % 4 + 1; i++) {
		uint32_t at = fuzz_u16(in) % range & ~3u;

		put_u64(value, fuzz_edge(in));
		memcpy(page + at, value, 4);
	}
}

static size_t some_id(struct fuzz_input *in, char *id)
{
	uint8_t byte = fuzz_u8(in);
	size_t len = byte % 8 == 7 ? FORMAT_ID_MAX : 1 + byte % 8u;

	memset(id, 'a' + (byte >> 3), len);
	return len;
}

/* A bucket with some ids, under their own hash or another. */
static void make_bucket(const struct ids *ids, uint32_t number, struct fuzz_input *in)
{
	static uint8_t page[PAGE];
	uint8_t n = fuzz_u8(in) % 72, how;
	bool same = n > 60; /* all under one hash: no split will part them */
	uint64_t hash = (uint64_t)fuzz_u8(in) << 56;

	how = fuzz_u8(in);
	ids_bucket_format(page, PAGE, how % 6);
	for (uint8_t i = 0; i < n; i++) {
		struct store_entry entry = {.slot = i};

		entry.id_len = (uint16_t)some_id(in, entry.id);
		if (ids_bucket_room(page, PAGE) < ids_bucket_entry_size(entry.id_len))
			break;
		if (same && i == 0)
			hash ^= ids_hash(ids, entry.id, entry.id_len);
		ids_bucket_add(page, PAGE, same ? hash : ids_hash(ids, entry.id, entry.id_len),
			       &entry);
	}
	edit(page, 256, in);
	if (how < 192)
		tags_mend(page, PAGE);
	place(FORMAT_SPACE_BUCKET, number, page);
}

static void make_pages(struct ids *ids, uint32_t buckets, struct fuzz_input *in)
{
	static uint8_t page[PAGE];
	uint8_t step = fuzz_u8(in) % 8;

	for (uint32_t i = 0; i < PAGE / 4; i++)
		put_u32(page + (size_t)i * 4, buckets == 0 ? 0 : (i >> step) % buckets);
	edit(page, 64, in);
	place(FORMAT_SPACE_DIR, 0, page);
	for (uint32_t i = 0; i < buckets; i++)
		make_bucket(ids, i, in);
}

/* All ids, each once, in the order of their cursors. */
static int list_all(struct ids *ids, uint64_t *n_out)
{
	static struct store_entry entries[LIST_MAX];
	static uint64_t cursors[LIST_MAX];
	uint64_t cursor = 0;
	size_t n = LIST_MAX;
	int err = 0;

	*n_out = 0;
	for (int rounds = 0; err == 0 && n == LIST_MAX && rounds < 16; rounds++) {
		err = ids_list(ids, cursor, entries, cursors, LIST_MAX, &n);
		for (size_t i = 0; err == 0 && i < n; i++) {
			FUZZ_ASSERT(cursors[i] > cursor || (i > 0 && cursors[i] == cursor));
			cursor = cursors[i];
		}
		*n_out += n;
	}
	return err;
}

/* Puts an id, with a list of extended attributes or with what it has. */
static void put(struct ids *ids, const struct store_entry *entry, const struct xattrs *list)
{
	struct ids_place place;
	struct xattrs has;

	if (ids_reserve(ids, entry->id, entry->id_len, list) != 0)
		return;
	ids_put(ids, entry, list);
	FUZZ_ASSERT(ids_locate(ids, entry->id, entry->id_len, &place) == 0);
	has = ids_bucket_xattrs(place.found);
	FUZZ_ASSERT(list == NULL || has.len == list->len);
	FUZZ_ASSERT(list == NULL || list->len == 0 ||
		    memcmp(has.bytes, list->bytes, list->len) == 0);
}

static void use(struct ids *ids, struct fuzz_input *in)
{
	uint8_t bytes[LISTS_MAX];
	struct xattrs list = {bytes, 0};
	struct store_entry entry = {0}, found;

	for (int ops = 0; ops < OPS_MAX && in->left > 0; ops++) {
		uint8_t byte = fuzz_u8(in), what = byte % 8;

		entry.id_len = (uint16_t)some_id(in, entry.id);
		entry.slot = what;
		if (what < 4) {
			if (byte >= 128)
				list.len = lists_make(in, bytes);
			put(ids, &entry, byte >= 128 ? &list : NULL);
		} else if (what < 6) {
			if (ids_find(ids, entry.id, entry.id_len, &found) == 0 &&
			    ids_reserve(ids, entry.id, entry.id_len, NULL) == 0)
				ids_remove(ids, entry.id, entry.id_len);
		} else {
			(void)ids_find_slot(ids, ids_hash(ids, entry.id, entry.id_len), what,
					    &found);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint32_t depth = fuzz_u8(&in), buckets = fuzz_u8(&in) % (BUCKETS_MAX + 1);
	uint64_t entries, listed, after;
	struct ids ids;
	bool good;

	FUZZ_ASSERT(pager_reset_space(pager, FORMAT_SPACE_DIR) == 0);
	FUZZ_ASSERT(pager_reset_space(pager, FORMAT_SPACE_BUCKET) == 0);
	ids = (struct ids){.seed = 99};
	make_pages(&ids, buckets, &in);
	if (ids_init(&ids, pager, 99, depth < 192 ? depth % 8 : depth % 32,
		     fuzz_u8(&in) < 240 ? buckets : (uint32_t)fuzz_edge(&in)) != 0)
		return 0;
	epoch_enter(epoch);
	good = ids_check(&ids, &entries) == 0;
	if (good)
		FUZZ_ASSERT(list_all(&ids, &listed) == 0 && listed == entries);
	else
		(void)list_all(&ids, &listed);
	use(&ids, &in);
	FUZZ_ASSERT(!good || ids_check(&ids, &after) == 0);
	FUZZ_ASSERT(atomic_load(&pager->spaces[FORMAT_SPACE_DIR].pages) <= GROWN_MAX);
	epoch_leave(epoch);
	ids_release(&ids);
	return 0;
}
