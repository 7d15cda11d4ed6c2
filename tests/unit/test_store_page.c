/* test_store_page.c - seeds that tell pages apart, checksums, and places. */
#include "store/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/format.h"

#define BIT(n) ((uint64_t)1 << (n))

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Every input must change the seed: all seeds of many pages of two stores differ. */
static void test_seeds_differ(void **state)
{
	static uint64_t seeds[40000];
	uint8_t uuid[16] = {1};
	size_t n = 0;

	(void)state;
	for (unsigned store = 0; store < 2; store++) {
		uuid[15] = (uint8_t)store;
		for (unsigned space = 0; space < FORMAT_SPACES; space++)
			for (uint32_t pno = 0; pno < 500; pno++) {
				seeds[n++] = page_seed(uuid, space, pno);
				seeds[n++] = page_map_seed(uuid, space, pno % 4, pno / 4);
			}
		for (uint64_t block = 0; block < 500; block++)
			seeds[n++] = page_trunk_seed(uuid, block);
		seeds[n++] = page_seed(uuid, FORMAT_SPACE_AUX, UINT32_MAX);
		seeds[n++] = page_map_seed(uuid, FORMAT_SPACE_AUX, 4, UINT64_MAX);
		seeds[n++] = page_trunk_seed(uuid, BIT(36) - 1);
	}
	qsort(seeds, n, sizeof(seeds[0]), compare_u64);
	for (size_t i = 1; i < n; i++)
		assert_true(seeds[i] != seeds[i - 1]);
}

/* Seeds are on disk in effect: they may never change. */
static void test_seeds_are_stable(void **state)
{
	uint8_t uuid[16];

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		uuid[i] = (uint8_t)(i * 17);
	assert_int_equal(page_seed(uuid, FORMAT_SPACE_SLOT, 258), 0xd524816fa0a3f6e1);
	assert_int_equal(page_map_seed(uuid, FORMAT_SPACE_SLOT, 1, 258), 0x22368fa3438abb29);
	assert_int_equal(page_trunk_seed(uuid, 258), 0xd55571d81e88f45a);
	assert_int_equal(page_checksum("vecfs", 5, 7), 0x6ba9569c9d08a457);
}

/* A checksum depends on every byte, on the length and on the seed. */
static void test_checksum(void **state)
{
	static uint8_t page[FORMAT_PAGE_MIN];
	uint64_t good = page_checksum(page, sizeof(page), 1);

	(void)state;
	assert_int_equal(page_checksum(page, sizeof(page), 1), good);
	assert_true(page_checksum(page, sizeof(page), 2) != good);
	assert_true(page_checksum(page, sizeof(page) - 1, 1) != good);
	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] ^= (uint8_t)(1u << i % 8);
		assert_true(page_checksum(page, sizeof(page), 1) != good);
		page[i] = 0;
	}
}

static void test_place_layout(void **state)
{
	(void)state;
	assert_int_equal(place_pack(5, 3, FORMAT_RAW), 5 | (uint64_t)3 << 36);
	assert_int_equal(place_pack(5, 3, FORMAT_PLANES_LZ4), 5 | (uint64_t)3 << 36 | BIT(54));
	assert_int_equal(place_blocks(1), 1);
	assert_int_equal(place_blocks(4096), 1);
	assert_int_equal(place_blocks(4097), 2);
	assert_int_equal(place_blocks(65536), 16);
	assert_int_equal(place_blocks(UINT32_MAX), 1u << 20);
	assert_int_equal(place_blocks(0), 0);
}

static void test_place_round_trip(void **state)
{
	static const uint64_t blocks[] = {4,	5,     1000,	       1008,
					  1024, 70000, BIT(36) - 1024, BIT(36) - 16};
	static const uint32_t sizes[] = {1, 4095, 4096, 4097, 16384, 65535, 65536};

	(void)state;
	for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (unsigned e = 0; e < 2; e++) {
				struct place place;
				uint64_t packed = place_pack(blocks[b], sizes[s], e);

				assert_true(place_unpack(packed, &place));
				assert_int_equal(place.block, blocks[b]);
				assert_int_equal(place.bytes, sizes[s]);
				assert_int_equal(place.encoding, e);
			}
}

static void refuse(uint64_t place)
{
	struct place out = {77, 77, FORMAT_RAW};

	assert_false(place_unpack(place, &out));
	assert_int_equal(out.block, 77);
}

static void test_place_refusals(void **state)
{
	uint64_t good = place_pack(9, 100, FORMAT_RAW);
	struct place out;

	(void)state;
	assert_true(place_unpack(good, &out));
	refuse(0);
	for (unsigned bit = 55; bit < 64; bit++) /* unknown encodings and unused bits */
		refuse(good | BIT(bit));
	refuse(good | BIT(55) | BIT(54));
	refuse(place_pack(9, 0, FORMAT_RAW));
	refuse(place_pack(9, FORMAT_PAGE_MAX + 1, FORMAT_RAW));
	refuse(place_pack(9, BIT(18) - 1, FORMAT_RAW));
	for (uint64_t block = 0; block < FORMAT_PAGES_AT / FORMAT_BLOCK; block++)
		refuse(place_pack(block, 100, FORMAT_RAW));
	refuse(place_pack(1023, 4097, FORMAT_RAW)); /* across 4 MiB */
	assert_true(place_unpack(place_pack(1023, 4096, FORMAT_RAW), &out));
	refuse(place_pack(1009, 65536, FORMAT_PLANES_LZ4));
	assert_true(place_unpack(place_pack(1008, 65536, FORMAT_PLANES_LZ4), &out));
	refuse(place_pack(BIT(36) - 1, 4097, FORMAT_RAW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds_differ),	 cmocka_unit_test(test_seeds_are_stable),
		cmocka_unit_test(test_checksum),	 cmocka_unit_test(test_place_layout),
		cmocka_unit_test(test_place_round_trip), cmocka_unit_test(test_place_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
