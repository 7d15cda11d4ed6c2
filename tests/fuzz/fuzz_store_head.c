/*
 * The first blocks of a head: header and commit slots of any bytes, with right checksums as the
 * input wants. What is taken is within its bounds and comes back when it is written again.
 *
 * max_len: 512
 */
#include "store/head.h"

#include <string.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/io_mem.h"

#define EDITS 16

static uint8_t good[FORMAT_PAGES_AT];
static struct io_mem *medium;
static struct store_io *io;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct head head = {{1, 2, 3}, 16384, 1024, 2, 77, 78, false};
	struct head_slot slot = {.value_size = 1024, .slots = 100, .live = 60, .dead = 9};

	(void)argc;
	(void)argv;
	medium = io_mem_new(1);
	io = io_mem_attach(medium);
	head_encode(&head, (struct format_header *)good);
	for (uint64_t i = 0; i < 2; i++) {
		slot.generation = 8 + i;
		head_encode_slot(&head, &slot, (struct format_slot *)(good + FORMAT_SLOT_AT) + i);
	}
	return 0;
}

static void edit(uint8_t *bytes, struct fuzz_input *in)
{
	static const uint32_t starts[] = {FORMAT_HEADER_AT, FORMAT_SLOT_AT, FORMAT_SLOT_AT + 4096};

	for (int i = 0; i < EDITS && in->left > 0; i++) {
		uint8_t how = fuzz_u8(in), value[8];
		uint32_t at = starts[how % 3] + (how & 64 ? 4u * fuzz_u8(in) : fuzz_u16(in) % 4096);

		put_u64(value, fuzz_edge(in));
		memcpy(bytes + at, value, how & 4 ? 8 : how & 8 ? 4 : 1);
	}
}

static void fix(uint8_t *bytes, uint8_t which)
{
	struct format_header *header = (struct format_header *)bytes;

	if ((which & 1) == 0)
		put_u64(header->checksum, XXH3_64bits(header, 4088));
	for (int i = 0; i < 2; i++) {
		struct format_slot *slot = (struct format_slot *)(bytes + FORMAT_SLOT_AT) + i;
		XXH128_hash_t hash = XXH3_128bits(slot, 4080);

		if ((which & 2u << i) != 0)
			continue;
		put_u64(slot->checksum, hash.low64);
		put_u64(slot->checksum + 8, hash.high64);
	}
}

static void check_slot(const struct head *head, const struct head_slot *slot)
{
	struct format_slot block;
	struct head_slot again;

	FUZZ_ASSERT(slot->value_size <= FORMAT_VALUE_MAX && slot->value_size % 4 == 0);
	FUZZ_ASSERT(slot->live <= slot->slots && slot->dead <= slot->slots);
	FUZZ_ASSERT(slot->slots < UINT32_MAX && slot->graph_lsn <= slot->ckpt_lsn);
	head_encode_slot(head, slot, &block);
	FUZZ_ASSERT(head_decode_slot(head, &block, &again) == 0);
	FUZZ_ASSERT(again.generation == slot->generation && again.blocks == slot->blocks);
	FUZZ_ASSERT(again.ckpt_lsn == slot->ckpt_lsn && again.clean == slot->clean);
	FUZZ_ASSERT(memcmp(again.roots, slot->roots, sizeof(again.roots)) == 0);
}

static void check_head(const struct head *head)
{
	struct format_header block;
	struct head again;

	FUZZ_ASSERT(is_power_of_two(head->page_size) && head->page_size >= FORMAT_PAGE_MIN &&
		    head->page_size <= FORMAT_PAGE_MAX);
	FUZZ_ASSERT(head->value_size <= FORMAT_VALUE_MAX && head->value_size % 4 == 0);
	head_encode(head, &block);
	FUZZ_ASSERT(head_decode(&block, "again", &again, NULL) == 0);
	FUZZ_ASSERT(memcmp(again.uuid, head->uuid, 16) == 0 && again.kind == head->kind);
	FUZZ_ASSERT(again.id_seed == head->id_seed && again.kind_seed == head->kind_seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t which = fuzz_u8(&in), *bytes;
	size_t len = which & 128 ? fuzz_u16(&in) % (sizeof(good) + 1) : sizeof(good);
	struct head_slot slots[2];
	struct err_msg msg = {""};
	struct head head;
	unsigned n = 9;
	bool bad;
	int err;

	FUZZ_ASSERT(io_mem_resize_head(medium, sizeof(good)) == 0);
	bytes = io_mem_head(medium, &(size_t){0});
	memcpy(bytes, good, sizeof(good));
	edit(bytes, &in);
	fix(bytes, which);
	FUZZ_ASSERT(io_mem_resize_head(medium, len) == 0);
	err = head_read(io, &head, slots, &n, &bad, &msg);
	FUZZ_ASSERT(n <= 2 && (err == 0) == (n > 0) && (err == 0 || msg.text[0] != '\0'));
	if (err != 0)
		return 0;
	check_head(&head);
	for (unsigned i = 0; i < n; i++)
		check_slot(&head, &slots[i]);
	FUZZ_ASSERT(n < 2 || slots[0].generation > slots[1].generation);
	return 0;
}
