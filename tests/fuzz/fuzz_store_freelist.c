/*
 * The chain of trunks of a free list: any extents, any links, right checksums unless the input says
 * otherwise. Every extent that is handed out lies in the head, and the work is bounded by its size.
 *
 * max_len: 1200
 */
#include "store/freelist.h"

#include <stdlib.h>
#include <string.h>

#include "store/base.h"
#include "store/page.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/io_mem.h"

#define BLOCKS 24u
#define TRUNKS_MAX 12

static const uint8_t uuid[16] = {5};
static struct io_mem *medium;
static struct store_io *io;

struct seen {
	uint64_t blocks; /* of the head */
	uint64_t sum;	 /* blocks handed out */
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	medium = io_mem_new(1);
	io = io_mem_attach(medium);
	FUZZ_ASSERT(io_mem_resize_head(medium, (size_t)BLOCKS * FORMAT_BLOCK) == 0);
	return 0;
}

static int visit(void *ctx, uint64_t block, uint64_t blocks, bool needed)
{
	struct seen *seen = ctx;

	(void)needed;
	FUZZ_ASSERT(blocks > 0 && block >= FORMAT_PAGES_AT / FORMAT_BLOCK);
	FUZZ_ASSERT(block < seen->blocks && blocks <= seen->blocks - block);
	seen->sum += blocks;
	FUZZ_ASSERT(seen->sum <= seen->blocks);
	return 0;
}

/* One trunk in front of what *place and *checksum name; they become its own. */
static void put_trunk(struct fuzz_input *in, uint64_t *place, uint64_t *checksum)
{
	uint8_t how = fuzz_u8(in);
	uint32_t block = 4 + how % (BLOCKS - 4), count = fuzz_u8(in);
	struct format_trunk *trunk = (struct format_trunk *)(io_mem_head(medium, &(size_t){0}) +
							     (size_t)block * FORMAT_BLOCK);

	memset(trunk, 0, sizeof(*trunk));
	put_u32(trunk->magic, FORMAT_TRUNK_MAGIC);
	put_u32(trunk->count, how & 128 ? (uint32_t)fuzz_edge(in) : count % 16);
	put_u64(trunk->next_place, *place);
	put_u64(trunk->next_checksum, *checksum);
	for (uint32_t i = 0; i < count % 16; i++) {
		uint64_t packed = fuzz_u8(in) % (BLOCKS + 1) | (uint64_t)(fuzz_u8(in) & 135) << 36;

		put_u64(trunk->extents[i], packed & 0x80 ? fuzz_u64(in) : packed);
	}
	for (uint32_t i = count % 16; count >= 240 && i < 509; i++)
		put_u64(trunk->extents[i], 4 | (uint64_t)1 << 36);
	*place = place_pack(block, FORMAT_BLOCK, FORMAT_RAW);
	if (how & 64)
		*place ^= fuzz_edge(in);
	*checksum = page_checksum(trunk, sizeof(*trunk), page_trunk_seed(uuid, block));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct head_slot slot = {.blocks = BLOCKS};
	struct pager_extents trunks = {0};
	struct seen seen;
	uint8_t n = fuzz_u8(&in) % TRUNKS_MAX;
	int err;

	for (uint8_t i = 0; i < n; i++)
		put_trunk(&in, &slot.free_place, &slot.free_checksum);
	if (fuzz_u8(&in) >= 224)
		slot.blocks = fuzz_edge(&in);
	seen = (struct seen){slot.blocks, 0};
	err = freelist_read(io, uuid, &slot, &trunks, visit, &seen);
	FUZZ_ASSERT(err == 0 || err == ERR_DAMAGED);
	for (size_t i = 0; i < trunks.n; i++)
		FUZZ_ASSERT(trunks.list[i].block < slot.blocks);
	pager_extents_release(&trunks);
	return 0;
}
