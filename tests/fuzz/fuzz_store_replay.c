/*
 * Records with right hashes and any content, on a store that a crash left: replay takes what fits
 * the state it finds and refuses the rest, and what it took leaves a store that can be read.
 *
 * max_len: 500
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "store/store_private.h"
#include "tests/fuzz/spoil.h"

#define KINDS (1u << IMAGE_RECORD)
#define LIST_MAX 128

static struct image images[IMAGE_SHAPES];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (enum image_shape shape = 0; shape < IMAGE_SHAPES; shape++)
		image_make(&images[shape], shape);
	return 0;
}

/*
 * Every id that is listed can be found, and its value read, unless records took its slot away: then it
 * is an error, never another's value.
 */
static void read_all(struct store *store)
{
	static struct store_entry entries[LIST_MAX], entry;
	static uint64_t cursors[LIST_MAX];
	static uint8_t value[FORMAT_VALUE_MAX];
	size_t n = 0;

	if (store_list(store, 0, entries, cursors, LIST_MAX, &n) != 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct slots_entry slot = {0};
		bool live;

		epoch_enter(store->epoch);
		live = slots_get(&store->slots, entries[i].slot, &slot) == 0 &&
		       slot.state == STORE_SLOT_LIVE;
		epoch_leave(store->epoch);
		FUZZ_ASSERT(store_get(store, entries[i].id, entries[i].id_len, &entry,
				      i % 8 == 0 ? value : NULL) == (live ? 0 : ERR_DAMAGED));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct store_opts opts = {.cache_bytes = 4u << 20, .read_only = true};
	const struct image *image = &images[fuzz_u8(&in) % IMAGE_SHAPES];
	struct io_mem *medium = spoil(image, KINDS, &in);
	struct store_io *io = io_mem_attach(medium);
	struct store *store = NULL;
	uint64_t entries;

	FUZZ_ASSERT(io != NULL);
	if (store_open(io, &opts, &store, NULL, NULL) == 0) {
		FUZZ_ASSERT(pager_check(store->pager) == 0);
		epoch_enter(store->epoch);
		FUZZ_ASSERT(ids_check(&store->ids, &entries) == 0);
		FUZZ_ASSERT(slots_check(&store->slots) == 0);
		epoch_leave(store->epoch);
		read_all(store);
		store_abandon(store);
	}
	io->ops->close(io);
	return 0;
}
