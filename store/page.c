/*
 * page.c - checksums of stored pages, their seeds, and places.
 *
 * A seed is the XXH3-64 of 48 bytes: uuid, kind of page, and up to three numbers, little-endian:
 *
 *   kind  0: page       space, page number, 0
 *   kind  1: map page   space, level, index
 *   kind  2: trunk      block, 0, 0
 */
#include "store/page.h"

#include <xxhash.h>

#include "store/base.h"
#include "store/io.h"

enum seed_kind {
	SEED_PAGE = 0,
	SEED_MAP = 1,
	SEED_TRUNK = 2,
};

#define BLOCK_BITS 36
#define BYTES_BITS 18
#define BOUNDARY_BLOCKS (STORE_IO_BOUNDARY / FORMAT_BLOCK)

static_assert(FORMAT_PAGE_MAX < 1u << BYTES_BITS, "the length of a page fits in a place");

static uint64_t mix(const uint8_t uuid[16], enum seed_kind kind, uint64_t a, uint64_t b, uint64_t c)
{
	uint8_t in[48];

	memcpy(in, uuid, 16);
	put_u64(in + 16, kind);
	put_u64(in + 24, a);
	put_u64(in + 32, b);
	put_u64(in + 40, c);
	return XXH3_64bits(in, sizeof(in));
}

uint64_t page_seed(const uint8_t uuid[16], enum format_space space, uint32_t pno)
{
	return mix(uuid, SEED_PAGE, space, pno, 0);
}

uint64_t page_map_seed(const uint8_t uuid[16], enum format_space space, uint32_t level,
		       uint64_t index)
{
	return mix(uuid, SEED_MAP, space, level, index);
}

uint64_t page_trunk_seed(const uint8_t uuid[16], uint64_t block)
{
	return mix(uuid, SEED_TRUNK, block, 0, 0);
}

uint64_t page_checksum(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}

uint64_t place_pack(uint64_t block, uint32_t bytes, enum format_encoding encoding)
{
	return block | (uint64_t)bytes << BLOCK_BITS |
	       (uint64_t)encoding << (BLOCK_BITS + BYTES_BITS);
}

bool place_unpack(uint64_t place, struct place *place_out)
{
	uint64_t block = place & (((uint64_t)1 << BLOCK_BITS) - 1);
	uint32_t bytes = (uint32_t)(place >> BLOCK_BITS) & ((1u << BYTES_BITS) - 1);
	uint64_t encoding = place >> (BLOCK_BITS + BYTES_BITS); /* with all bits above it */

	if (encoding != FORMAT_RAW && encoding != FORMAT_PLANES_LZ4)
		return false;
	if (bytes == 0 || bytes > FORMAT_PAGE_MAX || block < FORMAT_PAGES_AT / FORMAT_BLOCK)
		return false;
	if (block % BOUNDARY_BLOCKS + place_blocks(bytes) > BOUNDARY_BLOCKS)
		return false;
	place_out->block = block;
	place_out->bytes = bytes;
	place_out->encoding = (enum format_encoding)encoding;
	return true;
}
