/* test_store_head.c - header and commit slots: round trip, every damaged byte, which slot rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/head.h"
#include "store/store.h"
#include "tests/support/io_mem.h"

static const struct head head = {
	.uuid = {1, 2, 3}, .page_size = 16384, .value_size = 400, .kind = 2, .id_seed = 7};

static struct head_slot slot_of(uint64_t generation)
{
	struct head_slot slot = {.generation = generation,
				 .epoch = 3,
				 .value_size = 400,
				 .ckpt_lsn = 90,
				 .graph_lsn = 80,
				 .first_segment = 4,
				 .blocks = 100,
				 .live = 5,
				 .dead = 1,
				 .slots = 7,
				 .next_ino = 8,
				 .buckets = 1};

	put_u32(slot.roots[2].pages, 9);
	return slot;
}

static void test_header(void **state)
{
	struct format_header bytes, damaged;
	struct head out;
	struct err_msg msg;

	(void)state;
	head_encode(&head, &bytes);
	assert_int_equal(head_decode(&bytes, "s", &out, &msg), 0);
	assert_memory_equal(&out, &head, sizeof(head));
	for (size_t at = 0; at < sizeof(bytes); at++) {
		damaged = bytes;
		((uint8_t *)&damaged)[at] ^= 0x10;
		msg.text[0] = '\0';
		assert_true(head_decode(&damaged, "s", &out, &msg) < 0);
		assert_non_null(strstr(msg.text, "s"));
	}
}

static void test_slot(void **state)
{
	struct head_slot slot = slot_of(5), out;
	struct format_slot bytes, damaged;

	(void)state;
	head_encode_slot(&head, &slot, &bytes);
	assert_int_equal(head_decode_slot(&head, &bytes, &out), 0);
	assert_memory_equal(&out, &slot, sizeof(slot));
	for (size_t at = 0; at < sizeof(bytes); at++) {
		damaged = bytes;
		((uint8_t *)&damaged)[at] ^= 1;
		assert_int_equal(head_decode_slot(&head, &damaged, &out), ERR_DAMAGED);
	}
	memset(&bytes, 0, sizeof(bytes));
	assert_int_equal(head_decode_slot(&head, &bytes, &out), ERR_ABSENT);
	/* good checksums do not make nonsense true */
	slot.live = 8;
	head_encode_slot(&head, &slot, &bytes);
	assert_int_equal(head_decode_slot(&head, &bytes, &out), ERR_DAMAGED);
	slot = slot_of(5);
	slot.graph_lsn = 91;
	head_encode_slot(&head, &slot, &bytes);
	assert_int_equal(head_decode_slot(&head, &bytes, &out), ERR_DAMAGED);
}

/* Headers with a right checksum that name what cannot be. */
static void test_lying_header(void **state)
{
	static const uint32_t page_sizes[] = {0, 5000, 2048, 131072}, value_sizes[] = {65540, 402};
	struct format_header bytes;
	struct head lying, out;
	struct err_msg msg;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		lying = head;
		lying.page_size = page_sizes[i];
		head_encode(&lying, &bytes);
		assert_int_equal(head_decode(&bytes, "s", &out, &msg), ERR_FORMAT);
		assert_non_null(strstr(msg.text, "impossible sizes"));
	}
	for (size_t i = 0; i < 2; i++) {
		lying = head;
		lying.value_size = value_sizes[i];
		head_encode(&lying, &bytes);
		assert_int_equal(head_decode(&bytes, "s", &out, &msg), ERR_FORMAT);
		assert_non_null(strstr(msg.text, "impossible sizes"));
	}
	for (unsigned i = 0; i < 2; i++) {
		head_encode(&head, &bytes);
		put_u32(i == 0 ? bytes.shard : bytes.shards, 2);
		put_u64(bytes.checksum,
			XXH3_64bits(&bytes, offsetof(struct format_header, checksum)));
		assert_int_equal(head_decode(&bytes, "s", &out, &msg), ERR_FORMAT);
		assert_non_null(strstr(msg.text, "shard"));
	}
}

static void seal_slot(struct format_slot *slot)
{
	XXH128_hash_t hash = XXH3_128bits(slot, offsetof(struct format_slot, checksum));

	put_u64(slot->checksum, hash.low64);
	put_u64(slot->checksum + 8, hash.high64);
}

/* Slots with a right checksum that contradict the header or themselves. */
static void test_lying_slot(void **state)
{
	struct format_slot whole, bytes;
	struct head_slot slot = slot_of(5), out;
	const struct {
		uint8_t *field;
		uint64_t value;
		unsigned bytes;
	} lies[] = {
		{bytes.version, FORMAT_VERSION + 1, 4},
		{bytes.uuid, 77, 4},
		{bytes.page_size, 4096, 4},
		{bytes.kind, 3, 4},
		{bytes.number, 0, 4},
		{bytes.value_size, 65540, 4},
		{bytes.value_size, 402, 4},
		{bytes.value_size, 404, 4},
		{bytes.value_size, 0, 4},
		{bytes.slots, UINT32_MAX, 8},
		{bytes.live, 8, 8},
		{bytes.dead, 8, 8},
		{bytes.ckpt_lsn, 79, 8},
	};

	(void)state;
	head_encode_slot(&head, &slot, &whole);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		bytes = whole;
		seal_slot(&bytes);
		assert_int_equal(head_decode_slot(&head, &bytes, &out), 0);
		if (lies[i].bytes == 4)
			put_u32(lies[i].field, (uint32_t)lies[i].value);
		else
			put_u64(lies[i].field, lies[i].value);
		seal_slot(&bytes);
		assert_int_equal(head_decode_slot(&head, &bytes, &out), ERR_DAMAGED);
	}
}

/* Writes a head with these generations in slots 0 and 1 (0: left empty, UINT64_MAX: garbage). */
static struct io_mem *medium_with(uint64_t first, uint64_t second)
{
	struct io_mem *medium = io_mem_new(1);
	uint64_t generations[2] = {first, second};
	uint8_t *bytes;
	size_t len;

	assert_int_equal(io_mem_resize_head(medium, FORMAT_PAGES_AT), 0);
	bytes = io_mem_head(medium, &len);
	head_encode(&head, (struct format_header *)bytes);
	for (int i = 0; i < 2; i++) {
		uint8_t *at = bytes + FORMAT_SLOT_AT + i * FORMAT_BLOCK;
		struct head_slot slot = slot_of(generations[i]);

		if (generations[i] == UINT64_MAX)
			memset(at, 0xa5, FORMAT_BLOCK);
		else if (generations[i] != 0)
			head_encode_slot(&head, &slot, (struct format_slot *)at);
	}
	return medium;
}

static void expect(uint64_t first, uint64_t second, unsigned n, uint64_t newest, bool bad)
{
	struct io_mem *medium = medium_with(first, second);
	struct store_io *io = io_mem_attach(medium);
	struct head_slot slots[2];
	struct head out;
	unsigned found;
	bool is_bad;
	int err;

	assert_int_equal(io->ops->open(io, false, NULL), 0);
	err = head_read(io, &out, slots, &found, &is_bad, NULL);
	assert_int_equal(err, n == 0 ? ERR_DAMAGED : 0);
	assert_int_equal(found, n);
	assert_int_equal(is_bad, bad);
	if (n > 0)
		assert_true(slots[0].generation == newest);
	io->ops->close(io);
	io_mem_free(medium);
}

static void test_which_slot_rules(void **state)
{
	(void)state;
	expect(4, 5, 2, 5, false);
	expect(6, 5, 2, 6, false);
	expect(0, 1, 1, 1, false);
	expect(UINT64_MAX, 5, 1, 5, true);
	expect(4, UINT64_MAX, 1, 4, true);
	expect(UINT64_MAX, UINT64_MAX, 0, 0, true);
	expect(0, 0, 0, 0, false);
	/* zeros stood there while there was one generation, and no longer */
	expect(0, 5, 1, 5, true);
	expect(2, 0, 1, 2, true);
	expect(5, 7, 1, 7, true); /* an odd generation in slot 0 is in the wrong place */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),		 cmocka_unit_test(test_slot),
		cmocka_unit_test(test_lying_header),	 cmocka_unit_test(test_lying_slot),
		cmocka_unit_test(test_which_slot_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
