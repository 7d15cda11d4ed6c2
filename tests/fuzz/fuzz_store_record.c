/*
 * A record, a segment header and a proof of any bytes, in memory that ends where they do: with a
 * right hash if the input wants. What is taken is made of its bytes alone, and written again it is the same.
 *
 * max_len: 600
 */
#include "store/wal_format.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/fuzz/fuzz.h"

static const struct wal_format_segment home = {.seq = 3, .salt = 0x1234567890abcdef, .epoch = 2};

/* Makes what stands in the bytes as right as a checksum can make it. */
static void fix(uint8_t *bytes, size_t len)
{
	struct format_record *at = (struct format_record *)bytes;
	uint32_t hashed;

	if (len < WAL_FORMAT_RECORD_MIN)
		return;
	put_u16(at->magic, FORMAT_RECORD_MAGIC);
	put_u32(at->epoch, home.epoch);
	if (get_u32(at->length) > len)
		put_u32(at->length, get_u32(at->length) % 256);
	if (wal_format_size(get_u32(at->length)) > len)
		return;
	hashed = wal_format_size(get_u32(at->length)) - 8;
	put_u64(bytes + hashed, XXH3_64bits_withSeed(bytes, hashed, home.salt ^ get_u64(at->lsn)));
}

static void check_record(const uint8_t *bytes, size_t len)
{
	struct wal_format_record found;
	uint8_t *again;
	uint32_t size;

	if (!wal_format_get_record(bytes, len, &home, &found))
		return;
	size = wal_format_size(found.record.length);
	FUZZ_ASSERT(size <= len && found.record.payload == bytes + WAL_FORMAT_HEAD);
	FUZZ_ASSERT(found.record.lsn > found.record.durable_lsn);
	FUZZ_ASSERT(found.record.type >= FORMAT_PUT && found.record.type <= FORMAT_SYNC);
	/* a writer pads with zeros; a reader does not mind */
	if (!all_zero(bytes + WAL_FORMAT_HEAD + found.record.length,
		      size - 8 - WAL_FORMAT_HEAD - found.record.length))
		return;
	again = malloc(size);
	memcpy(again + WAL_FORMAT_HEAD, found.record.payload, found.record.length);
	FUZZ_ASSERT(wal_format_put_record(again, &found, home.salt) == found.record.hash);
	FUZZ_ASSERT(memcmp(again, bytes, size) == 0);
	free(again);
}

static void check_blocks(struct fuzz_input *in)
{
	static uint8_t block[FORMAT_BLOCK], again[FORMAT_BLOCK];
	struct wal_format_segment segment;
	uint64_t lsn, hash;
	size_t n;
	const uint8_t *bytes = fuzz_bytes(in, 120, &n);
	bool proof = fuzz_u8(in) % 2, fresh = fuzz_u8(in) % 4 != 0;

	memset(block, 0, sizeof(block));
	if (proof)
		wal_format_put_proof(block, home.seq, fuzz_edge(in), fuzz_edge(in));
	else
		wal_format_put_segment(block, &home);
	for (size_t i = 8; i < n; i++)
		block[i] ^= bytes[i];
	if (fresh)
		put_u64(block + 4088, XXH3_64bits(block, 4088));
	if (wal_format_get_proof(block, home.seq, &lsn, &hash)) {
		wal_format_put_proof(again, home.seq, lsn, hash);
		FUZZ_ASSERT(memcmp(block, again, 32) == 0);
	}
	if (wal_format_get_segment(block, home.seq, &segment) == 0) {
		FUZZ_ASSERT(segment.seq == home.seq);
		wal_format_put_segment(again, &segment);
		FUZZ_ASSERT(memcmp(block, again, 80) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	bool right = fuzz_u8(&in) % 8 != 0;
	size_t len;
	uint8_t *bytes;

	check_blocks(&in);
	bytes = fuzz_copy(&in, size, &len);
	if (right)
		fix(bytes, len);
	check_record(bytes, len);
	free(bytes);
	return 0;
}
