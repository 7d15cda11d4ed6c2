/*
 * Stored pages: places taken apart, bytes that should decode to a page, pages that come back as they
 * were. Buffers have exactly the size that the header promises is enough.
 *
 * max_len: 5000
 */
#include "store/page.h"

#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/err.h"
#include "tests/fuzz/fuzz.h"

#define LEN_MAX 16384u

static void check_place(uint64_t packed)
{
	struct place at = {7, 7, (enum format_encoding)7};

	if (!place_unpack(packed, &at)) {
		FUZZ_ASSERT(at.block == 7 && at.bytes == 7);
		return;
	}
	FUZZ_ASSERT(at.bytes > 0 && at.bytes <= FORMAT_PAGE_MAX && at.block >= 4);
	FUZZ_ASSERT(at.block / 1024 == (at.block + place_blocks(at.bytes) - 1) / 1024);
	FUZZ_ASSERT(place_pack(at.block, at.bytes, at.encoding) == packed);
}

static void check_decode(const uint8_t *bytes, size_t n, size_t len)
{
	uint8_t *page = malloc(len + 1), *scratch = malloc(len + 1);
	int err = codec_decompress(bytes, n, page, len, scratch);

	FUZZ_ASSERT(err == 0 || err == ERR_DAMAGED);
	free(page);
	free(scratch);
}

/* A page that repeats the bytes to its end, so that it can be made smaller. */
static void check_round(const uint8_t *bytes, size_t n, size_t len, size_t cap)
{
	uint8_t *page = malloc(len), *scratch = malloc(len), *again = malloc(len);
	uint8_t *out = malloc(cap);
	size_t size;

	for (size_t i = 0; i < len; i++)
		page[i] = n > 0 ? bytes[i % n] : 0;
	size = codec_compress(page, len, out, cap, scratch);
	FUZZ_ASSERT(size <= cap);
	if (size > 0) {
		uint8_t *stored = malloc(size);

		memcpy(stored, out, size);
		FUZZ_ASSERT(codec_decompress(stored, size, again, len, scratch) == 0);
		FUZZ_ASSERT(memcmp(page, again, len) == 0);
		free(stored);
	}
	free(page);
	free(scratch);
	free(again);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t len, n, odd = fuzz_u8(&in);
	uint8_t *bytes;

	check_place(fuzz_u64(&in));
	len = fuzz_u16(&in) % LEN_MAX + 1;
	bytes = fuzz_copy(&in, size, &n);
	check_decode(bytes, n, odd < 240 ? (len + 3) / 4 * 4 : odd == 240 ? 0 : len);
	len = (len + 3) / 4 * 4;
	check_round(bytes, n, len, len - (odd < 128 ? len / 4 : 0));
	free(bytes);
	return 0;
}
