/* test_store_codec.c - round trips, sizes, early give-up, hostile input for the decompressor. */
#include "store/codec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <lz4.h>

#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define PAGE_MAX 65536u
#define ROOM (PAGE_MAX + 1024u) /* more than LZ4 needs for any page */
#define DIMENSIONS 768u

static uint64_t rng_state;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (uint32_t)((rng_state >> 20) % below);
}

static void seed(uint64_t value)
{
	rng_state = value * 0x9e3779b97f4a7c15u + 1;
	print_message("seed %llu\n", (unsigned long long)value);
}

static double uniform(void)
{
	return (rnd(1u << 30) + 0.5) / (1u << 30);
}

enum kind {
	KIND_ZEROS,
	KIND_RANDOM,	/* random bytes */
	KIND_IMAGES,	/* 0 ... 255 as floats, half of them background */
	KIND_EMBEDDING, /* normal, of length 1 */
	KIND_HALF,	/* embeddings, then zeros: a page filled in part */
	KIND_HALF16,	/* embeddings of half precision: the last byte is 0, little else */
	KIND_CLOSE,	/* random bytes, then zeros: just enough of them to save a quarter */
	KINDS,
};

/* Heap blocks of exact size, so that ASan sees a step too far. */
struct buffers {
	uint8_t *page, *packed, *scratch, *back;
};

static uint32_t float_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, 4);
	return bits;
}

static float embedding_value(void)
{
	double radius = sqrt(-2 * log(uniform()) / DIMENSIONS);

	return (float)(radius * cos(6.283185307179586 * uniform()));
}

static void fill(uint8_t *page, size_t len, enum kind kind)
{
	memset(page, 0, len);
	for (size_t i = 0; i < len; i += 4)
		if (kind == KIND_RANDOM || (kind == KIND_CLOSE && i < len / 64 * 47))
			put_u32(page + i, rnd(1u << 30) << 7 ^ rnd(1u << 30));
		else if (kind == KIND_IMAGES)
			put_u32(page + i, float_bits(i / 256 % 2 ? 0 : (float)rnd(256)));
		else if (kind == KIND_HALF16)
			put_u32(page + i, float_bits(embedding_value()) & 0xffffe000);
		else if (kind == KIND_EMBEDDING || (kind == KIND_HALF && i < len / 2))
			put_u32(page + i, float_bits(embedding_value()));
}

static struct buffers make(size_t len)
{
	struct buffers b = {mem_alloc(len), mem_alloc(ROOM), mem_alloc(len), mem_alloc(len)};

	assert_non_null(b.page);
	assert_non_null(b.packed);
	assert_non_null(b.scratch);
	assert_non_null(b.back);
	return b;
}

static void drop(struct buffers *b)
{
	mem_free(b->page);
	mem_free(b->packed);
	mem_free(b->scratch);
	mem_free(b->back);
}

/* Every length and kind comes back byte by byte, when cap lets anything pass. */
static void test_round_trip(void **state)
{
	static const size_t lens[] = {4,    8,	  28,	32,   36,    60,    64,	   100,	 1020,
				      4092, 4096, 4100, 8192, 16384, 32768, 65532, 65536};

	(void)state;
	seed(1);
	for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
		for (unsigned kind = 0; kind < KINDS; kind++) {
			size_t len = lens[l], size;
			struct buffers b = make(len);

			fill(b.page, len, kind);
			size = codec_compress(b.page, len, b.packed, ROOM, b.scratch);
			assert_true(size > 0 && size <= ROOM);
			memset(b.back, 0xaa, len);
			assert_int_equal(codec_decompress(b.packed, size, b.back, len, b.scratch),
					 0);
			assert_memory_equal(b.page, b.back, len);
			drop(&b);
		}
}

/* The format on disk: LZ4 of byte 0 of every value, then byte 1, 2, 3. */
static void test_layout(void **state)
{
	enum { LEN = 4 * 83 };
	struct buffers b = make(LEN);
	size_t size;

	(void)state;
	seed(2);
	fill(b.page, LEN, KIND_RANDOM);
	size = codec_compress(b.page, LEN, b.packed, ROOM, b.scratch);
	assert_int_equal(LZ4_decompress_safe((char *)b.packed, (char *)b.back, (int)size, LEN),
			 LEN);
	for (size_t i = 0; i < LEN / 4; i++)
		for (size_t p = 0; p < 4; p++)
			assert_int_equal(b.back[p * (LEN / 4) + i], b.page[4 * i + p]);
	drop(&b);
}

/*
 * What a 16 KiB page must reach when three of its four blocks are allowed: pages that compress do
 * so, pages that do not are given up, and the trial does not stand in the way.
 */
static void test_saving(void **state)
{
	enum { LEN = 16384, CAP = 12288 };
	static const size_t most[KINDS] = {200, 0, 9000, 0, 9000, CAP, CAP};

	(void)state;
	seed(3);
	for (unsigned kind = 0; kind < KINDS; kind++)
		for (unsigned i = 0; i < 20; i++) {
			struct buffers b = make(LEN);
			size_t size;

			fill(b.page, LEN, kind);
			size = codec_compress(b.page, LEN, b.packed, CAP, b.scratch);
			assert_true(size <= most[kind]);
			assert_int_equal(size > 0, most[kind] > 0);
			drop(&b);
		}
}

/* A cap of exactly the compressed size is enough, one byte less is not. */
static void test_cap_is_exact(void **state)
{
	(void)state;
	seed(4);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		size_t len = 4000; /* too short for a trial */
		struct buffers b = make(len);
		size_t size;
		uint8_t *tight;

		fill(b.page, len, kind);
		size = codec_compress(b.page, len, b.packed, ROOM, b.scratch);
		assert_int_equal(codec_compress(b.page, len, b.packed, size - 1, b.scratch), 0);
		tight = mem_alloc(size);
		assert_int_equal(codec_compress(b.page, len, tight, size, b.scratch), size);
		mem_free(tight);
		drop(&b);
	}
}

/* No cap makes the compressor write past it. */
static void test_small_caps(void **state)
{
	(void)state;
	seed(5);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct buffers b = make(8192);

		fill(b.page, 8192, kind);
		for (size_t cap = 0; cap < 8192; cap = cap * 5 / 4 + 1) {
			uint8_t *out = mem_alloc(cap);

			assert_true(codec_compress(b.page, 8192, out, cap, b.scratch) <= cap);
			mem_free(out);
		}
		drop(&b);
	}
}

static void test_wrong_lengths(void **state)
{
	struct buffers b = make(64);

	(void)state;
	memset(b.page, 0, 64);
	assert_int_equal(codec_compress(b.page, 0, b.packed, ROOM, b.scratch), 0);
	assert_int_equal(codec_compress(b.page, 63, b.packed, ROOM, b.scratch), 0);
	assert_int_equal(codec_compress(b.page, PAGE_MAX + 4, b.packed, ROOM, b.scratch), 0);
	assert_int_equal(codec_decompress(b.packed, 0, b.back, 64, b.scratch), ERR_DAMAGED);
	assert_int_equal(codec_decompress(b.packed, SIZE_MAX, b.back, 64, b.scratch), ERR_DAMAGED);
	assert_int_equal(codec_decompress(b.packed, 9, b.back, 0, b.scratch), ERR_DAMAGED);
	assert_int_equal(codec_decompress(b.packed, 9, b.back, 62, b.scratch), ERR_DAMAGED);
	assert_int_equal(codec_decompress(b.packed, 9, b.back, PAGE_MAX + 4, b.scratch),
			 ERR_DAMAGED);
	drop(&b);
}

/* Decompresses a copy of exact size. */
static int unpack(const uint8_t *packed, size_t size, const struct buffers *b, size_t len)
{
	uint8_t *copy = mem_alloc(size);
	int ret;

	assert_non_null(copy);
	memcpy(copy, packed, size);
	ret = codec_decompress(copy, size, b->back, len, b->scratch);
	assert_true(ret == 0 || ret == ERR_DAMAGED);
	mem_free(copy);
	return ret;
}

/* Every truncation of a page is damage; a page of another length is too; the output stays as is. */
static void test_truncation(void **state)
{
	enum { LEN = 4096 };

	(void)state;
	seed(6);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct buffers b = make(LEN);
		size_t size;

		fill(b.page, LEN, kind);
		size = codec_compress(b.page, LEN, b.packed, ROOM, b.scratch);
		memset(b.back, 0xaa, LEN);
		for (size_t cut = 0; cut < size; cut++)
			assert_int_equal(unpack(b.packed, cut, &b, LEN), ERR_DAMAGED);
		assert_int_equal(unpack(b.packed, size, &b, LEN - 4), ERR_DAMAGED);
		for (size_t i = 0; i < LEN; i++)
			assert_int_equal(b.back[i], 0xaa);
		drop(&b);
	}
}

/* Bytes changed at random, and random bytes: damage or a whole page, never a step aside. */
static void test_corruption(void **state)
{
	enum { LEN = 4096, PAGES = 20, ROUNDS = 1000 };
	unsigned damaged = 0;

	(void)state;
	seed(7);
	for (unsigned page = 0; page < PAGES; page++) {
		struct buffers b = make(LEN);
		uint8_t bad[ROOM];
		size_t size;

		fill(b.page, LEN, page % KINDS);
		size = codec_compress(b.page, LEN, b.packed, ROOM, b.scratch);
		for (unsigned round = 0; round < ROUNDS; round++) {
			memcpy(bad, b.packed, size);
			for (uint32_t i = 1 + rnd(4); i > 0; i--)
				bad[rnd((uint32_t)size)] = (uint8_t)(rnd(3) ? rnd(256) :
									      rnd(2) * 255);
			damaged += unpack(bad, size, &b, LEN) != 0;
			for (size_t i = 0; i < size; i++)
				bad[i] = (uint8_t)rnd(256);
			damaged += unpack(bad, 1 + rnd((uint32_t)size), &b, LEN) != 0;
		}
		drop(&b);
	}
	assert_true(damaged > PAGES * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_layout),
		cmocka_unit_test(test_saving),	   cmocka_unit_test(test_cap_is_exact),
		cmocka_unit_test(test_small_caps), cmocka_unit_test(test_wrong_lengths),
		cmocka_unit_test(test_truncation), cmocka_unit_test(test_corruption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
