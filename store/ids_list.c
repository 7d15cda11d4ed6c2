/*
 * ids_list.c - walking the id index: listings and the check.
 *
 * A cursor is the upper 62 bits of a hash plus CURSOR_FIRST, so that it is never 0 and leaves small
 * numbers to the caller. Ids whose hashes share those bits are given together or not at all.
 */
#include "store/ids.h"

#include <string.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/mem.h"

#define CURSOR_FIRST 4u
#define BUCKET_ENTRIES_MAX (FORMAT_PAGE_MAX / sizeof(struct format_entry))

static uint64_t cursor_of(uint64_t hash)
{
	return (hash >> 2) + CURSOR_FIRST;
}

struct listed {
	uint64_t hash;
	const struct format_entry *entry;
};

/* Shell's sort, by hash: in place, a few times as fast as qsort for the hundreds that a bucket has. */
static void sort(struct listed *list, size_t n)
{
	static const size_t gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};

	for (size_t g = 0; g < sizeof(gaps) / sizeof(*gaps); g++) {
		size_t gap = gaps[g];

		for (size_t i = gap; i < n; i++) {
			struct listed one = list[i];
			size_t at = i;

			for (; at >= gap && list[at - gap].hash > one.hash; at -= gap)
				list[at] = list[at - gap];
			list[at] = one;
		}
	}
}

/* The bucket that a directory index names, and how many entries name it from there. */
static int open_bucket(struct ids *ids, uint32_t index, const uint8_t **page_out,
		       uint32_t *span_out)
{
	uint32_t number, depth;
	int err = ids_bucket_page(ids, index, &number, page_out);

	if (err != 0)
		return err;
	depth = ids_bucket_depth(*page_out);
	if (depth > ids->depth || index % (1u << (ids->depth - depth)) != 0)
		return ERR_DAMAGED;
	*span_out = 1u << (ids->depth - depth);
	return 0;
}

/* First directory index of the bucket that holds hashes from this one on. */
static int start_index(struct ids *ids, uint64_t hash, uint32_t *index_out)
{
	uint32_t index = ids->depth == 0 ? 0 : (uint32_t)(hash >> (64 - ids->depth)), number;
	const uint8_t *page;
	int err = ids_bucket_page(ids, index, &number, &page);

	if (err == 0 && ids_bucket_depth(page) > ids->depth)
		err = ERR_DAMAGED;
	if (err == 0)
		*index_out = index & ~((1u << (ids->depth - ids_bucket_depth(page))) - 1);
	return err;
}

/*
 * Whether a hash belongs to the bucket that `span` directory entries from `index` on name. One that
 * does not would send a listing back to where it has been.
 */
static bool belongs(const struct ids *ids, uint64_t hash, uint64_t index, uint32_t span)
{
	uint64_t at = ids->depth == 0 ? 0 : hash >> (64 - ids->depth);

	return at >= index && at - index < span;
}

/* ERR_DAMAGED unless every entry of a bucket belongs there. */
static int check_hashes(const struct ids *ids, const uint8_t *page, uint64_t index, uint32_t span)
{
	const struct format_entry *entry;

	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;)
		if (!belongs(ids, get_u64(entry->hash), index, span))
			return ERR_DAMAGED;
	return 0;
}

/*
 * Gives the entries of a bucket above cursor, in order of hash, as far as there is room. Returns 1
 * when the room was not enough.
 */
static int list_bucket(const uint8_t *page, uint64_t cursor, struct listed *sorted,
		       struct store_entry *entries, uint64_t *cursors, size_t cap, size_t *n)
{
	const struct format_entry *entry;
	size_t found = 0, i = 0;

	for (uint32_t at = 0;
	     found < BUCKET_ENTRIES_MAX && (entry = ids_bucket_next(page, &at)) != NULL;)
		if (cursor_of(get_u64(entry->hash)) > cursor)
			sorted[found++] = (struct listed){get_u64(entry->hash), entry};
	sort(sorted, found);
	while (i < found) {
		size_t end = i + 1;

		while (end < found && cursor_of(sorted[end].hash) == cursor_of(sorted[i].hash))
			end++;
		if (*n + (end - i) > cap)
			return 1;
		for (; i < end; i++) {
			ids_bucket_entry(sorted[i].entry, &entries[*n]);
			cursors[(*n)++] = cursor_of(sorted[i].hash);
		}
	}
	return 0;
}

int ids_list(struct ids *ids, uint64_t cursor, struct store_entry *entries, uint64_t *cursors,
	     size_t cap, size_t *n_out)
{
	uint64_t hash = cursor < CURSOR_FIRST ? 0 : (cursor - CURSOR_FIRST) << 2, directory;
	struct listed *sorted = NULL;
	uint32_t index = 0, span = 1;
	int err = 0;

	*n_out = 0;
	if (cursor - CURSOR_FIRST > UINT64_MAX >> 2)
		hash = 0;
	if (ids->buckets == 0)
		return 0;
	sorted = mem_alloc(BUCKET_ENTRIES_MAX * sizeof(*sorted));
	if (sorted == NULL)
		return ERR_NOMEM;
	directory = (uint64_t)1 << ids->depth;
	err = start_index(ids, hash, &index);
	for (uint64_t at = index; err == 0 && at < directory; at += span) {
		const uint8_t *page;

		err = open_bucket(ids, (uint32_t)at, &page, &span);
		if (err == 0)
			err = check_hashes(ids, page, at, span);
		if (err == 0)
			err = list_bucket(page, cursor, sorted, entries, cursors, cap, n_out);
	}
	mem_free(sorted);
	return err < 0 ? err : 0;
}

static int check_bucket(struct ids *ids, uint32_t index, const uint8_t *page, uint64_t *entries)
{
	const struct format_entry *entry;
	uint32_t depth = ids_bucket_depth(page), page_size = ids->pager->page_size;

	if (!ids_bucket_valid(page, page_size))
		return ERR_DAMAGED;
	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL; (*entries)++) {
		const char *id = (const char *)entry + sizeof(*entry);
		uint64_t hash = ids_hash(ids, id, entry->id_length[0]);
		uint32_t prefix = depth == 0 ? 0 : (uint32_t)(hash >> (64 - depth));

		if (hash != get_u64(entry->hash) || prefix != index >> (ids->depth - depth) ||
		    ids_bucket_find(page, page_size, hash, id, entry->id_length[0]) != entry)
			return ERR_DAMAGED;
	}
	return 0;
}

/* Notes that a bucket was met; ERR_DAMAGED when it was met before, under another prefix. */
static int meet(uint8_t *met, uint32_t number)
{
	uint8_t bit = (uint8_t)(1u << number % 8);

	if ((met[number / 8] & bit) != 0)
		return ERR_DAMAGED;
	met[number / 8] |= bit;
	return 0;
}

int ids_check(struct ids *ids, uint64_t *entries_out)
{
	uint32_t span = 1, number, first;
	uint8_t *met;
	int err = 0;

	*entries_out = 0;
	if (ids->buckets == 0)
		return 0;
	met = mem_zalloc(ids->buckets / 8 + 1, 1);
	if (met == NULL)
		return ERR_NOMEM;
	for (uint64_t at = 0; err == 0 && at < (uint64_t)1 << ids->depth; at += span) {
		const uint8_t *page;

		err = open_bucket(ids, (uint32_t)at, &page, &span);
		if (err == 0)
			err = ids_bucket_number(ids, (uint32_t)at, &first);
		if (err == 0)
			err = meet(met, first);
		for (uint32_t i = 1; err == 0 && i < span; i++) {
			err = ids_bucket_number(ids, (uint32_t)at + i, &number);
			if (err == 0 && number != first)
				err = ERR_DAMAGED;
		}
		if (err == 0)
			err = check_bucket(ids, (uint32_t)at, page, entries_out);
	}
	mem_free(met);
	return err;
}
