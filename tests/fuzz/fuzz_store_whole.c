/*
 * A whole store that was damaged, before or behind its checksums: opened, used, checked, opened again.
 *
 * max_len: 400
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "store/mem.h"
#include "store/store_private.h"
#include "tests/fuzz/spoil.h"

#define OPS_MAX 24
#define LIST_MAX 64

static struct image images[IMAGE_SHAPES];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (enum image_shape shape = 0; shape < IMAGE_SHAPES; shape++)
		image_make(&images[shape], shape);
	return 0;
}

struct run {
	struct fuzz_input *in;
	const struct image *image;
	struct store *store;
};

/* What fails beside the damage: the nth call of the disk, or the nth allocation; 0: nothing. */
static uint32_t io_fails_at, memory_fails_at;
static int io_failure;
static bool open_failed; /* of the disk: the sentence would be the back end's */

static int io_fault(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	if (io_fails_at == 0 || --io_fails_at != 0)
		return 0;
	open_failed = strcmp(call, "open") == 0;
	return io_failure;
}

static bool memory_fault(void *ctx)
{
	(void)ctx;
	return memory_fails_at != 0 && --memory_fails_at == 0;
}

/* Values and pages that come and go. */
static uint8_t value_bytes[FORMAT_VALUE_MAX], back[FORMAT_VALUE_MAX];

static size_t some_id(struct run *run, char id[IMAGE_ID_SIZE])
{
	return image_id(fuzz_u8(run->in) % (run->image->ids + 4), id);
}

static void op_put(struct run *run)
{
	struct store_attr attr = {.mode = 0600};
	unsigned flags = fuzz_u8(run->in) % 4;
	char id[IMAGE_ID_SIZE];
	size_t len = some_id(run, id);
	uint32_t size = store_value_size(run->store);

	if (size == 0)
		size = 4 * (1 + fuzz_u8(run->in) % 16u);
	memset(value_bytes, fuzz_u8(run->in), size);
	(void)store_put(run->store, id, len, value_bytes, size, &attr, flags, NULL, NULL, NULL);
}

/* What is got twice is the same; so is the entry. */
static void op_get(struct run *run)
{
	uint32_t size = store_value_size(run->store);
	struct store_entry entry, again;
	char id[IMAGE_ID_SIZE];
	size_t len = some_id(run, id);

	if (store_get(run->store, id, len, &entry, value_bytes) != 0)
		return;
	FUZZ_ASSERT(entry.id_len == len && memcmp(entry.id, id, len) == 0);
	FUZZ_ASSERT(entry.slot < store_slots(run->store));
	if (store_get(run->store, id, len, &again, back) == 0)
		FUZZ_ASSERT(again.slot == entry.slot && memcmp(value_bytes, back, size) == 0);
}

static void op_list(struct run *run)
{
	static struct store_entry entries[LIST_MAX];
	static uint64_t cursors[LIST_MAX];
	uint64_t cursor = fuzz_u8(run->in) % 4 == 0 ? fuzz_edge(run->in) : 0;
	size_t n = LIST_MAX;

	for (int rounds = 0; n == LIST_MAX && rounds < 8; rounds++) {
		if (store_list(run->store, cursor, entries, cursors, LIST_MAX, &n) != 0)
			return;
		for (size_t i = 0; i < n; i++)
			FUZZ_ASSERT(cursors[i] > cursor && entries[i].id_len > 0 &&
				    entries[i].id[entries[i].id_len] == '\0');
		if (n > 0)
			cursor = cursors[n - 1];
	}
}

static void op_rename(struct run *run)
{
	char from[IMAGE_ID_SIZE], to[IMAGE_ID_SIZE];
	size_t from_len = some_id(run, from), to_len = some_id(run, to);

	(void)store_rename(run->store, from, from_len, to, to_len, fuzz_u8(run->in) % 3, NULL, NULL,
			   NULL);
}

static void op_set_attr(struct run *run)
{
	struct store_attr attr = {.mode = 0400, .uid = 7};
	char id[IMAGE_ID_SIZE];
	size_t len = some_id(run, id);

	(void)store_set_attr(run->store, id, len, &attr, fuzz_u8(run->in) % 16);
}

static void op_slots(struct run *run)
{
	uint32_t slots = store_slots(run->store), first = fuzz_u8(run->in), size;
	enum store_slot_state state;
	struct store_entry entry;
	const void *value;
	uint64_t lsn;
	bool live;

	store_read_begin(run->store);
	size = store_value_size(run->store);
	for (uint32_t slot = first; slot < first + 8 && slot < slots; slot++) {
		(void)store_slot(run->store, slot, &state, &lsn);
		(void)store_slot_entry(run->store, slot, &entry);
		(void)store_live_as_of(run->store, &slot, 1, lsn, &live);
		store_value_prefetch(run->store, &slot, 1);
		if (store_value(run->store, slot, STORE_HINT_SCAN, &value) == 0)
			memcpy(back, value, size);
	}
	store_read_end(run->store);
}

static void op_graph_pages(struct run *run)
{
	struct store *store = run->store;
	uint32_t page = fuzz_u8(run->in) % 4;
	uint64_t lsn;
	void *change;

	store_read_begin(store);
	if (store_page_change(store, page, &change) == 0)
		memset(change, (int)page, store_page_size(store));
	store_read_end(store);
	if (store_graph_begin(store) != 0)
		return;
	store_graph_freeze(store, &lsn);
	if (page == 3) {
		store_graph_abort(store);
		return;
	}
	memset(back, 1, store_page_size(store));
	if (store_blob_write(store, STORE_AUX, page, back) == 0)
		(void)store_graph_commit(store);
	else
		store_graph_abort(store);
}

static void op_read_graph(struct run *run)
{
	uint32_t page = fuzz_u8(run->in) % 8;
	const void *bytes;

	store_read_begin(run->store);
	if (store_page(run->store, page, &bytes) == 0)
		memcpy(back, bytes, store_page_size(run->store));
	store_read_end(run->store);
	(void)store_blob_read(run->store, STORE_AUX, page, back);
}

static void use(struct run *run)
{
	struct store_stats stats;
	char id[IMAGE_ID_SIZE];
	size_t len;

	for (int ops = 0; ops < OPS_MAX; ops++) {
		switch (fuzz_u8(run->in) % 16) {
		case 0:
			return;
		case 1:
		case 2:
			op_put(run);
			break;
		case 3:
		case 4:
			op_get(run);
			break;
		case 5:
			len = some_id(run, id);
			(void)store_delete(run->store, id, len, NULL, NULL, NULL);
			break;
		case 6:
			op_rename(run);
			break;
		case 7:
			op_set_attr(run);
			break;
		case 8:
			op_list(run);
			break;
		case 9:
			op_slots(run);
			break;
		case 10:
			(void)store_slot_release(run->store, fuzz_u8(run->in));
			break;
		case 11:
			(void)store_checkpoint(run->store);
			break;
		case 12:
			store_drop_caches(run->store);
			break;
		case 13:
			(void)store_sync(run->store);
			store_get_stats(run->store, &stats);
			op_read_graph(run);
			break;
		case 14:
			op_graph_pages(run);
			break;
		default:
			(void)store_graph_reset(run->store);
			break;
		}
	}
}

static void finding(void *ctx, bool damage, const char *text)
{
	(void)ctx;
	FUZZ_ASSERT(text[0] != '\0' || damage);
}

static bool value_bad(void *ctx, const void *value, uint32_t size)
{
	const uint8_t *bytes = value;

	(void)ctx;
	return (bytes[0] ^ bytes[size - 1]) == 0x55;
}

static void check(struct io_mem *medium)
{
	const struct store_judge judge = {.value_bad = value_bad};
	struct store_check_report report;
	struct store_io *io = io_mem_attach(medium);
	struct err_msg msg = {""};

	if (io == NULL)
		return;
	(void)store_check(io, &judge, finding, NULL, NULL, &report, &msg);
	io->ops->close(io);
}

/* One opening. True when the store was closed in order. */
static bool open_and_use(struct run *run, struct io_mem *medium, uint8_t how)
{
	struct store_opts opts = {.cache_bytes = how & 1 ? 8u << 20 : 32u << 10,
				  .durability = (how & 6) == 6 ? WAL_NONE : WAL_LOG,
				  .read_only = (how & 24) == 24,
				  .recover_prefix = (how & 56) == 56};
	struct store_open_report report;
	struct store_io *io = io_mem_attach(medium);
	struct err_msg msg = {""};
	bool closed = false;
	int err;

	if (io == NULL)
		return false;
	err = store_open(io, &opts, &run->store, &report, &msg);
	FUZZ_ASSERT(err == 0 || msg.text[0] != '\0' || open_failed);
	open_failed = false;
	if (err == 0) {
		FUZZ_ASSERT(pager_check(run->store->pager) == 0);
		use(run);
		FUZZ_ASSERT(pager_check(run->store->pager) == 0);
		if (how & 64)
			closed = store_close(run->store) == 0 && !opts.read_only;
		else
			store_abandon(run->store);
	}
	io->ops->close(io);
	return closed;
}

static void set_faults(struct io_mem *medium, struct fuzz_input *in)
{
	static const int failures[] = {ERR_IO,	  ERR_FULL,	 ERR_UNKNOWN,
				       ERR_NOMEM, IO_MEM_CUT(9), IO_MEM_ALL_BUT_FAIL};
	uint8_t how = fuzz_u8(in);

	io_fails_at = how < 128 ? 1 + fuzz_u16(in) % 512u : 0;
	io_failure = failures[how % (sizeof(failures) / sizeof(failures[0]))];
	memory_fails_at = how >= 128 ? 1 + fuzz_u16(in) % 512u : 0;
	io_mem_set_fault(medium, io_fault, NULL);
	mem_set_fault(memory_fails_at != 0 ? memory_fault : NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct run run = {.in = &in};
	uint8_t how = fuzz_u8(&in), again = fuzz_u8(&in), shape;
	struct io_mem *medium;
	bool closed;

	shape = fuzz_u8(&in);
	run.image = &images[shape % IMAGE_SHAPES];
	medium = spoil(run.image, UINT32_MAX, &in);
	if (shape & 128)
		set_faults(medium, &in);
	if (how & 128)
		check(medium);
	closed = open_and_use(&run, medium, how);
	if (closed || again & 128)
		(void)open_and_use(&run, medium, again);
	mem_set_fault(NULL, NULL);
	return 0;
}
