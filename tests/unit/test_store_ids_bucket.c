/*
 * test_store_ids_bucket.c - packing entries into a page, and pages that pack nonsense: a page that is
 * accepted can be walked, searched, changed and split without reading outside of it.
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
	const struct format_entry *found = ids_bucket_find(page, hash_of(i), want.id, want.id_len);

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
	assert_null(ids_bucket_find(page, hash_of(4), entry.id, entry.id_len));
	assert_null(ids_bucket_find(page, hash_of(3), entry.id, entry.id_len - 1u));
	entry.id[0] = 'x';
	assert_null(ids_bucket_find(page, hash_of(3), entry.id, entry.id_len));
	for (unsigned i = 0; i < n; i += 2) {
		entry = entry_of(i);
		ids_bucket_remove(page, PAGE, hash_of(i), entry.id, entry.id_len);
		ids_bucket_remove(page, PAGE, hash_of(i), entry.id, entry.id_len);
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

static void test_nonsense(void **state)
{
	uint8_t *whole = mem_alloc(PAGE), *page = mem_alloc(PAGE);
	struct format_bucket *bucket = (struct format_bucket *)page;
	struct format_entry *first = (struct format_entry *)(page + sizeof(*bucket));
	uint32_t used, count;

	(void)state;
	ids_bucket_format(whole, PAGE, 0);
	(void)fill(whole, 0);
	used = get_u32(((struct format_bucket *)whole)->used);
	count = get_u32(((struct format_bucket *)whole)->count);
	for (int lie = 0; lie <= 12; lie++) {
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
			out = entry_of(i);
			ids_bucket_remove(page, PAGE, hash_of(i), out.id, out.id_len);
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
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_random_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
