/*
 * page.h - what proves that a stored page is the right one, and where it lies.
 *
 * A stored page carries nothing of its own. Whoever refers to it holds its place and the XXH3-64 of
 * its stored bytes. The seed of that checksum names the page (store, space, number), so that good
 * bytes of another page, of another store or of another kind fail as well.
 */
#ifndef VECFS_STORE_PAGE_H
#define VECFS_STORE_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/format.h"

/* Seed for logical page pno of a space. */
uint64_t page_seed(const uint8_t uuid[16], enum format_space space, uint32_t pno);
/* Seed for a page of a space's map. level: 0 = leaf. index: place among the pages of its level. */
uint64_t page_map_seed(const uint8_t uuid[16], enum format_space space, uint32_t level,
		       uint64_t index);
/* Seed for the free list trunk in this block of the head. */
uint64_t page_trunk_seed(const uint8_t uuid[16], uint64_t block);

uint64_t page_checksum(const void *bytes, size_t len, uint64_t seed);

/* Where the bytes of a page are: the unpacked form of a place, see format.h. */
struct place {
	uint64_t block; /* first 4 KiB block of the head */
	uint32_t bytes; /* stored; not rounded up */
	enum format_encoding encoding;
};

/* block < 2^36, bytes 1 ... FORMAT_PAGE_MAX: the caller has them from the allocator. */
uint64_t place_pack(uint64_t block, uint32_t bytes, enum format_encoding encoding);

/*
 * Takes a place from the disk apart. False, with *place_out untouched, when no writer makes such a
 * place: unused bits set, an unknown encoding, no bytes or more than a page has, in front of the
 * first page, across a 4 MiB boundary. 0 ("never written") is refused too: ask for it before. The
 * caller still compares a raw page with the page size and the end with that of the head.
 */
bool place_unpack(uint64_t place, struct place *place_out);

/* Blocks that this many stored bytes take. */
static inline uint32_t place_blocks(uint32_t bytes)
{
	return bytes / FORMAT_BLOCK + (bytes % FORMAT_BLOCK != 0);
}

#endif
