/*
 * test_store_ids_bucket.c - packing entries into a page, with their tags, and pages that pack
 * nonsense: a page that is accepted can be walked, searched, changed and split without reading
 * outside of it.
 */
#include "store/ids_bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"

#define PAGE 4096u

static struct store_entry entry_of(unsigned i)
{
	struct store_entry entry = {
		.ino = i + 1, .slot = i * 3, .attr = {.mode = i, .mtime_ns = 9}};

	entry.id_len = (uint16_t)snprintf(entry.id, sizeof(entry.id), "id-%0*u", (int)(1 + i % 9),
					  i);
	return entry;
}

/* Spreads the bits of i, so that neighbours part at the first bits. */
static uint64_t hash_of(unsigned i)
{
	return i * 0x9e3779b97f4a7c15u;
}

static const struct format_entry *find_one(const uint8_t *page, unsigned i)
{
	struct store_entry entry = entry_of(i);

	return ids_bucket_find(page, PAGE, hash_of(i), entry.id, entry.id_len);
}

/* When it is there. */
static void remove_one(uint8_t *page, unsigned i)
{
	const struct format_entry *found = find_one(page, i);

	if (found != NULL)
		ids_bucket_remove(page, PAGE, found);
}

static unsigned fill(uint8_t *page, unsigned first)
{
	unsigned i = first;

	for (struct store_entry entry = entry_of(i);
	     ids_bucket_room(page, PAGE) >= ids_bucket_entry_size(entry.id_len);
	     entry = entry_of(++i))
		ids_bucket_add(page, PAGE, hash_of(i), &entry);
	return i;
}

static bool holds(const uint8_t *page, unsigned i)
{
	struct store_entry want = entry_of(i), got = {0};
	const struct format_entry *found = ids_bucket_find(page, PAGE, hash_of(i), want.id,
							   want.id_len);

	if (found == NULL)
		return false;
	ids_bucket_entry(found, &got);
	assert_memory_equal(&got, &want, sizeof(got));
	return true;
}

static void test_packing(void **state)
{
	uint8_t *page = mem_alloc(PAGE), *other = mem_alloc(PAGE);
	struct store_entry entry;
	unsigned n;

	(void)state;
	ids_bucket_format(page, PAGE, 0);
	assert_true(ids_bucket_valid(page, PAGE));
	n = fill(page, 0);
	assert_true(n > 40 && ids_bucket_valid(page, PAGE));
	for (unsigned i = 0; i < n; i++)
		assert_true(holds(page, i));
	assert_false(holds(page, n));
	/* the same hash with another id, and the same id with another hash */
	entry = entry_of(3);
	assert_null(ids_bucket_find(page, PAGE, hash_of(4), entry.id, entry.id_len));
	assert_null(ids_bucket_find(page, PAGE, hash_of(3), entry.id, entry.id_len - 1u));
	entry.id[0] = 'x';
	assert_null(ids_bucket_find(page, PAGE, hash_of(3), entry.id, entry.id_len));
	for (unsigned i = 0; i < n; i += 2) {
		remove_one(page, i);
		assert_null(find_one(page, i));
		assert_true(ids_bucket_valid(page, PAGE));
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(holds(page, i), i % 2 == 1);
	n = fill(page, 1000);
	ids_bucket_split(page, other, PAGE);
	assert_true(ids_bucket_valid(page, PAGE) && ids_bucket_valid(other, PAGE));
	assert_int_equal(ids_bucket_depth(page), 1);
	assert_int_equal(ids_bucket_depth(other), 1);
	for (unsigned i = 1000; i < n; i++) {
		assert_int_equal(holds(page, i), hash_of(i) >> 63 == 0);
		assert_int_equal(holds(other, i), hash_of(i) >> 63 == 1);
	}
	mem_free(page);
	mem_free(other);
}

/* A page with these entries, those of a bit mask left out, added in order. */
static void pack(uint8_t *page, uint32_t depth, unsigned n, uint64_t without)
{
	ids_bucket_format(page, PAGE, depth);
	for (unsigned i = 0; i < n; i++) {
		struct store_entry entry = entry_of(i);

		if ((without >> i & 1) == 0)
			ids_bucket_add(page, PAGE, hash_of(i), &entry);
	}
}

/* What was taken out leaves nothing: the page is the one that never had it. Any entry, any pair. */
static void test_removal_leaves_no_trace(void **state)
{
	enum { N = 40 };
	uint8_t *page = mem_alloc(PAGE), *want = mem_alloc(PAGE);

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		for (unsigned k = 0; k < N; k++) {
			pack(page, 0, N, 0);
			remove_one(page, i);
			remove_one(page, k);
			pack(want, 0, N, (uint64_t)1 << i | (uint64_t)1 << k);
			assert_true(ids_bucket_valid(page, PAGE));
			assert_memory_equal(page, want, PAGE);
		}
	}
	for (unsigned i = 0; i < N; i++)
		remove_one(page, i);
	ids_bucket_format(want, PAGE, 0);
	assert_memory_equal(page, want, PAGE);
	mem_free(page);
	mem_free(want);
}

/* Both halves of a split are the pages that never had the entries of the other. */
static void test_split_leaves_no_trace(void **state)
{
	enum { N = 40 };
	uint8_t *page = mem_alloc(PAGE), *other = mem_alloc(PAGE), *want = mem_alloc(PAGE);

	(void)state;
	for (uint32_t depth = 0; depth < 8; depth++) {
		uint64_t moved = 0, all = ((uint64_t)1 << N) - 1;

		for (unsigned i = 0; i < N; i++)
			moved |= (hash_of(i) >> (63 - depth) & 1) << i;
		pack(page, depth, N, 0);
		memset(other, 0xee, PAGE);
		ids_bucket_split(page, other, PAGE);
		pack(want, depth + 1, N, moved);
		assert_memory_equal(page, want, PAGE);
		pack(want, depth + 1, N, all & ~moved);
		assert_memory_equal(other, want, PAGE);
	}
	mem_free(page);
	mem_free(other);
	mem_free(want);
}

/* A list with one attribute, len bytes in all. */
static struct xattrs one_xattr(uint8_t *bytes, uint32_t len)
{
	struct format_xattr head = {.name_length = {4}};

	put_u16(head.value_length, (uint16_t)(len - sizeof(head) - 4));
	memset(bytes, 'v', len);
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), "user", 4);
	return (struct xattrs){bytes, len};
}

static void assert_xattrs(const struct format_entry *entry, const struct xattrs *want)
{
	struct xattrs have = ids_bucket_xattrs(entry);

	assert_int_equal(have.len, want->len);
	assert_memory_equal(have.bytes, want->bytes, want->len);
}

/* Put changes an entry where it is; one of another length goes to the end. */
static void test_put(void **state)
{
	enum { N = 40 };
	uint8_t list[64];
	const struct xattrs xattrs = one_xattr(list, 29), shorter = one_xattr(list + 32, 12);
	const struct xattrs none = {NULL, 0};
	uint8_t *page = mem_alloc(PAGE), *want = mem_alloc(PAGE);
	struct store_entry entry;

	(void)state;
	pack(page, 0, N, 0);
	for (unsigned i = 0; i < N; i++) {
		const struct format_entry *at = find_one(page, i);

		entry = entry_of(i);
		assert_int_equal(ids_bucket_growth(at, entry.id_len, NULL), 0);
		entry.slot = 1000 + i;
		ids_bucket_put(page, PAGE, at, hash_of(i), &entry, NULL);
		assert_int_equal(get_u32(at->slot), 1000 + i);
		entry.slot = i * 3;
		ids_bucket_put(page, PAGE, at, hash_of(i), &entry, NULL);
	}
	pack(want, 0, N, 0);
	assert_memory_equal(page, want, PAGE);
	entry = entry_of(0);
	assert_int_equal(ids_bucket_growth(find_one(page, 0), entry.id_len, &none), 0);
	assert_in_range(ids_bucket_growth(find_one(page, 0), entry.id_len, &xattrs), 24, 32);
	ids_bucket_put(page, PAGE, find_one(page, 0), hash_of(0), &entry, &xattrs);
	assert_true(ids_bucket_valid(page, PAGE));
	assert_xattrs(find_one(page, 0), &xattrs);
	/* another state of the same entry, which keeps them; then others */
	entry.slot = 1000;
	assert_int_equal(ids_bucket_growth(find_one(page, 0), entry.id_len, NULL), 0);
	ids_bucket_put(page, PAGE, find_one(page, 0), hash_of(0), &entry, NULL);
	assert_true(ids_bucket_valid(page, PAGE));
	assert_int_equal(get_u32(find_one(page, 0)->slot), 1000);
	assert_xattrs(find_one(page, 0), &xattrs);
	assert_int_equal(ids_bucket_growth(find_one(page, 0), entry.id_len, &shorter), 0);
	ids_bucket_put(page, PAGE, find_one(page, 0), hash_of(0), &entry, &shorter);
	assert_true(ids_bucket_valid(page, PAGE));
	assert_xattrs(find_one(page, 0), &shorter);
	entry = entry_of(0);
	ids_bucket_put(page, PAGE, find_one(page, 0), hash_of(0), &entry, &none);
	pack(want, 0, N, 1);
	assert_int_equal(ids_bucket_growth(NULL, entry.id_len, NULL),
			 ids_bucket_entry_size(entry.id_len));
	ids_bucket_put(want, PAGE, NULL, hash_of(0), &entry, NULL);
	assert_memory_equal(page, want, PAGE);
	assert_true(holds(page, 0) && holds(page, N - 1));
	mem_free(page);
	mem_free(want);
}

/* A tag is only a hint: of entries that have the same one, each is found and none for another. */
static void test_same_tag(void **state)
{
	uint8_t *page = mem_alloc(PAGE);
	struct store_entry entry;

	(void)state;
	for (unsigned n = 0; n < 50; n++) {
		ids_bucket_format(page, PAGE, 0);
		for (unsigned i = 0; i < n; i++) {
			entry = entry_of(i);
			ids_bucket_add(page, PAGE, (uint64_t)i << 16 | 0xabcd, &entry);
		}
		for (unsigned i = 0; i <= n; i++) {
			const struct format_entry *found, *of_slot;
			uint64_t hash = (uint64_t)i << 16 | 0xabcd;

			entry = entry_of(i);
			found = ids_bucket_find(page, PAGE, hash, entry.id, entry.id_len);
			of_slot = ids_bucket_find_slot(page, PAGE, hash, entry.slot);
			assert_ptr_equal(found, of_slot);
			assert_int_equal(found != NULL, i < n);
			assert_true(i == n || get_u64(found->hash) == hash);
			assert_null(ids_bucket_find_slot(page, PAGE, hash, entry.slot + 1));
			assert_null(ids_bucket_find(page, PAGE, hash ^ 1, entry.id, entry.id_len));
		}
	}
	mem_free(page);
}

static void test_nonsense(void **state)
{
	uint8_t *whole = mem_alloc(PAGE), *page = mem_alloc(PAGE);
	struct format_bucket *bucket = (struct format_bucket *)page;
	struct format_entry *first = (struct format_entry *)(page + sizeof(*bucket));
	struct format_tag *tags = (struct format_tag *)(page + PAGE), *last, other;
	uint32_t used, count;

	(void)state;
	ids_bucket_format(whole, PAGE, 0);
	(void)fill(whole, 0);
	used = get_u32(((struct format_bucket *)whole)->used);
	count = get_u32(((struct format_bucket *)whole)->count);
	last = (struct format_tag *)(page + PAGE) - count;
	for (int lie = 0; lie <= 21; lie++) {
		memcpy(page, whole, PAGE);
		if (lie == 1)
			put_u32(bucket->magic, 7);
		else if (lie == 2)
			put_u32(bucket->used, PAGE - (uint32_t)sizeof(*bucket) + 8);
		else if (lie == 3)
			put_u32(bucket->depth, 64);
		else if (lie == 4)
			put_u32(bucket->count, count - 1);
		else if (lie == 5)
			put_u32(bucket->count, count + 1);
		else if (lie == 6)
			put_u32(bucket->used, used - 8);
		else if (lie == 7)
			put_u16(first->length, 0);
		else if (lie == 8)
			put_u16(first->length, get_u16(first->length) + 4);
		else if (lie == 9)
			put_u16(first->length, 4096);
		else if (lie == 10)
			first->id_length[0] = 0;
		else if (lie == 11)
			first->id_length[0] = 255;
		else if (lie == 12)
			put_u16(first->xattrs, 4000);
		else if (lie == 13)
			tags[-1].hash[0] ^= 1;
		else if (lie == 14)
			last->hash[1] ^= 0x80;
		else if (lie == 15)
			put_u16(tags[-1].at, get_u16(tags[-1].at) + 1u);
		else if (lie == 16)
			put_u16(last->at, 0xffff);
		else if (lie == 17)
			put_u16(last->at, 0);
		else if (lie == 18)
			first->hash[0] ^= 1;
		else if (lie == 19)
			memcpy(last, &tags[-1], sizeof(*last));
		else if (lie == 20) { /* each entry once, in another order */
			other = *last;
			*last = tags[-1];
			tags[-1] = other;
		} else if (lie == 21) { /* the last entry reaches into the table */
			uint32_t by = ids_bucket_room(page, PAGE) / 8 * 8 + 8;
			struct format_entry *entry =
				(struct format_entry *)(page + get_u16(last->at) * 8u);

			put_u16(entry->length, (uint16_t)(get_u16(entry->length) + by));
			put_u32(bucket->used, used + by);
		}
		assert_int_equal(ids_bucket_valid(page, PAGE), lie == 0);
	}
	mem_free(whole);
	mem_free(page);
}

/* Any bytes of a page changed: what is accepted can be used. The sanitizer looks on. */
static void test_random_damage(void **state)
{
	uint8_t *whole = mem_alloc(PAGE), *page = mem_alloc(PAGE), *other = mem_alloc(PAGE);
	uint64_t random = 4;
	unsigned accepted = 0;

	(void)state;
	ids_bucket_format(whole, PAGE, 0);
	(void)fill(whole, 0);
	for (unsigned round = 0; round < 20000; round++) {
		const struct format_entry *entry;
		struct store_entry out;
		unsigned changes = 1 + round % 3;

		memcpy(page, whole, PAGE);
		for (unsigned i = 0; i < changes; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			page[(random >> 33) % (round % 2 == 0 ? 128 : PAGE)] = (uint8_t)(random >>
											 56);
		}
		if (!ids_bucket_valid(page, PAGE))
			continue;
		accepted++;
		for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;)
			ids_bucket_entry(entry, &out);
		for (unsigned i = 0; i < 5; i++) {
			remove_one(page, i);
		}
		ids_bucket_split(page, other, PAGE);
		assert_true(ids_bucket_valid(page, PAGE) || ids_bucket_depth(page) > 63);
	}
	print_message("%u accepted\n", accepted);
	assert_true(accepted > 1000);
	mem_free(whole);
	mem_free(page);
	mem_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packing),
		cmocka_unit_test(test_removal_leaves_no_trace),
		cmocka_unit_test(test_split_leaves_no_trace),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_same_tag),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_random_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
