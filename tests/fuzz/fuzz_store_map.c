/*
 * Page maps: roots, map pages and places of any content, with right checksums as the input wants.
 * What is loaded agrees with the allocator, is read within bounds, and can be written out again.
 *
 * max_len: 300
 */
#include "store/pager.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/head.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/spoil.h"

#define KINDS (1u << IMAGE_SLOT | 3u << IMAGE_ROOT | 127u << IMAGE_PAGE)
#define READS_MAX 24u

static struct image images[IMAGE_SHAPES];
static struct epoch *epoch;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (enum image_shape shape = 0; shape < IMAGE_SHAPES; shape++)
		image_make(&images[shape], shape);
	FUZZ_ASSERT(epoch_new(&epoch) == 0);
	return 0;
}

/* Every page is the right one or an error. */
static void read_pages(struct pager *pager, struct fuzz_input *in)
{
	static uint8_t buf[FORMAT_PAGE_MAX];
	const void *page;

	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint32_t pages = atomic_load(&pager->spaces[s].pages);
		uint32_t first = fuzz_u8(in) % 4 == 3 ? (uint32_t)fuzz_edge(in) : 0;

		for (uint32_t i = first; i < first + READS_MAX && i < pages; i++) {
			if (s > FORMAT_SPACE_GRAPH)
				(void)pager_blob_read(pager, (enum format_space)s, i, buf);
			else if (pager_get(pager, (enum format_space)s, i, STORE_HINT_SCAN,
					   &page) == 0)
				memcpy(buf, page, pager->page_size);
		}
	}
}

static void change_and_flush(struct pager *pager, struct fuzz_input *in)
{
	static struct format_root roots[FORMAT_SPACES];
	void *page;
	int err;

	for (uint8_t n = fuzz_u8(in) % 4; n > 0; n--) {
		enum format_space space = (enum format_space)(fuzz_u8(in) % 5);

		if (pager_change(pager, space, fuzz_u8(in) % 16, &page) == 0)
			memset(page, n, pager->page_size);
	}
	for (int g = 0; g < PAGER_GROUPS; g++) {
		pager_freeze(pager, (enum pager_group_name)g);
		err = pager_write_frozen(pager, (enum pager_group_name)g);
		if (err == 0)
			err = pager_write_maps(pager, (enum pager_group_name)g, roots);
		if (err != 0)
			pager_unfreeze(pager, (enum pager_group_name)g);
		else
			pager_published(pager, (enum pager_group_name)g);
	}
	pager_age(pager);
}

static void load(struct store_io *io, const struct head *head, const struct head_slot *slot,
		 struct fuzz_input *in)
{
	struct pager *pager;
	struct err_msg msg = {""};
	int err;

	FUZZ_ASSERT(pager_new(&pager, io, epoch, head->uuid, head->page_size, 1u << 20) == 0);
	err = pager_load(pager, slot->roots, slot->blocks, &msg);
	FUZZ_ASSERT(err == 0 || (err == ERR_DAMAGED && msg.text[0] != '\0'));
	if (err == 0) {
		FUZZ_ASSERT(pager_check(pager) == 0);
		epoch_enter(epoch);
		read_pages(pager, in);
		change_and_flush(pager, in);
		read_pages(pager, in);
		epoch_leave(epoch);
		FUZZ_ASSERT(pager_check(pager) == 0);
	}
	pager_free(pager);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	const struct image *image = &images[fuzz_u8(&in) % IMAGE_SHAPES];
	struct io_mem *medium = spoil(image, KINDS, &in);
	struct store_io *io = io_mem_attach(medium);
	struct head_slot slots[2];
	struct head head;
	unsigned n = 0;
	uint64_t bytes;
	bool bad;

	FUZZ_ASSERT(io != NULL);
	if (head_read(io, &head, slots, &n, &bad, NULL) == 0 && io->ops->size(io, &bytes) == 0 &&
	    slots[0].blocks <= bytes / FORMAT_BLOCK)
		load(io, &head, &slots[0], &in);
	io->ops->close(io);
	return 0;
}
