/*
 * test_store_verify.c - store_verify on an open store: nothing found where nothing is wrong, also
 * beside writers and checkpoints; each kind of damage found, and named.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/page.h"
#include "store/store.h"
#include "store/store_private.h"
#include "tests/support/picture_store.h"

struct watched {
	struct findings findings; /* first, as findings_note gets the whole */
	unsigned lost;
	unsigned stop_after; /* questions whether to go on; 0: never stop */
	unsigned asked;
};

static bool stop(void *ctx)
{
	struct watched *found = ctx;

	return found->stop_after != 0 && ++found->asked >= found->stop_after;
}

static bool first_is_negative(void *ctx, enum store_space space, uint32_t page, const void *bytes,
			      char *why, size_t why_size)
{
	float v;

	(void)ctx;
	memcpy(&v, bytes, sizeof(v));
	if (space != STORE_VALUE || v >= 0)
		return false;
	snprintf(why, why_size, "page %u is negative", (unsigned)page);
	return true;
}

static void lost(void *ctx, enum store_space space)
{
	struct watched *found = ctx;

	(void)space;
	found->lost++;
}

static int verify(struct store *store, struct watched *found, struct store_verify_report *report)
{
	struct store_verify_opts opts = {.finding = findings_note,
					 .cancelled = stop,
					 .page_bad = first_is_negative,
					 .page_lost = lost,
					 .ctx = found};
	int err = store_verify(store, &opts, report);

	assert_int_equal(report->damages, found->findings.damages);
	return err;
}

/* A new one in *found; must find nothing. */
static void finds_nothing(struct store *store, struct store_verify_report *report)
{
	struct watched found = {0};

	assert_int_equal(verify(store, &found, report), 0);
	assert_string_equal(found.findings.all, "");
}

static void finds(struct store *store, const char *words)
{
	struct store_verify_report report;
	struct watched found = {0};

	assert_int_equal(verify(store, &found, &report), 0);
	if (found.findings.damages == 0 || strstr(found.findings.all, words) == NULL)
		fail_msg("'%s' is not in: %s", words, found.findings.all);
}

struct fixture {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
};

static void open_it(struct fixture *f, bool background)
{
	struct store_opts opts = {.cache_bytes = 1 << 20, .background = background};

	f->io = io_mem_attach(f->medium);
	assert_int_equal(store_open(f->io, &opts, &f->store, NULL, NULL), 0);
}

static void make(struct fixture *f)
{
	struct store_opts opts = {.cache_bytes = 1 << 20};

	f->medium = picture_store_new(&opts, &f->io, &f->store);
	/* two, so that both slots speak of pages */
	assert_int_equal(store_checkpoint(f->store), 0);
	picture_put(f->store, 8, 2.0f);
	assert_int_equal(store_checkpoint(f->store), 0);
	picture_put(f->store, 9, 2.0f);
}

static void unmake(struct fixture *f)
{
	store_abandon(f->store);
	f->io->ops->close(f->io);
	io_mem_free(f->medium);
}

static uint8_t *byte_at(struct fixture *f, uint64_t place)
{
	struct place at;
	size_t len;

	assert_true(place_unpack(place, &at));
	return &io_mem_head(f->medium, &len)[at.block * FORMAT_BLOCK + at.bytes / 2];
}

static void test_whole(void **state)
{
	struct store_verify_report report;
	struct fixture f;

	(void)state;
	make(&f);
	finds_nothing(f.store, &report);
	assert_int_equal(report.vectors, PICTURES - 1);
	assert_int_equal(report.log_records, 1);
	assert_true(report.pages > 30 && report.bytes >= report.pages * 4096);
	store_drop_caches(f.store);
	finds_nothing(f.store, &report);
	assert_int_equal(store_close(f.store), 0);
	f.io->ops->close(f.io);
	open_it(&f, false);
	finds_nothing(f.store, &report);
	assert_int_equal(report.vectors, PICTURES - 1);
	unmake(&f);
}

/* Pages are looked at on disk, also those that memory has; the findings name what is lost. */
static void test_each_page(void **state)
{
	struct store_verify_report report;
	struct fixture f;
	unsigned pages = 0;

	(void)state;
	make(&f);
	for (int s = 0; s < FORMAT_SPACES; s++) {
		for (uint32_t p = 0; p < atomic_load(&f.store->pager->spaces[s].pages); p++) {
			struct pager_page *page = pager_page(f.store->pager, (enum format_space)s,
							     p);
			struct watched found = {0};
			struct store_stats stats;

			*byte_at(&f, page->place) ^= 4;
			assert_int_equal(verify(f.store, &found, &report), 0);
			assert_non_null(strstr(found.findings.all, "Page checksum mismatch"));
			assert_int_equal(found.lost, 1);
			if (s == FORMAT_SPACE_VALUE && p > 0)
				assert_non_null(strstr(found.findings.all, "vectors/picture-"));
			store_get_stats(f.store, &stats);
			assert_int_equal(stats.damaged_pages, 1);
			*byte_at(&f, page->place) ^= 4;
			finds_nothing(f.store, &report);
			store_get_stats(f.store, &stats);
			assert_int_equal(stats.damaged_pages, 0);
			pages++;
		}
	}
	assert_true(pages > 30);
	unmake(&f);
}

static void test_map_pages(void **state)
{
	struct store_verify_report report;
	struct fixture f;
	unsigned n = 0;

	(void)state;
	make(&f);
	for (int s = 0; s < FORMAT_SPACE_GRAPH; s++) {
		const struct pager_level *level = &f.store->pager->spaces[s].levels[0];

		for (size_t i = 0; i < level->n; i++, n++) {
			*byte_at(&f, level->nodes[i].place[1]) ^= 4;
			finds(f.store, "the other copy is good");
			*byte_at(&f, level->nodes[i].place[0]) ^= 4;
			finds(f.store, "the other copy is damaged as well");
			*byte_at(&f, level->nodes[i].place[0]) ^= 4;
			*byte_at(&f, level->nodes[i].place[1]) ^= 4;
		}
	}
	assert_true(n >= 4);
	finds_nothing(f.store, &report);
	unmake(&f);
}

static void test_slots_and_free_list(void **state)
{
	struct store_verify_report report;
	struct fixture f;
	uint8_t *newest, *older;
	size_t len;

	(void)state;
	make(&f);
	newest = io_mem_head(f.medium, &len) + 4096 + 4096 * (f.store->slot.generation & 1) + 70;
	older = io_mem_head(f.medium, &len) + 4096 + 4096 * (~f.store->slot.generation & 1) + 70;
	*older ^= 1;
	finds(f.store, "older commit slot");
	*newest ^= 1;
	finds(f.store, "both commit slots");
	*older ^= 1;
	finds(f.store, "the other one and the log have everything");
	f.store->opts.durability = WAL_NONE;
	finds(f.store, "newest commit slot is damaged on disk; there is no log");
	f.store->opts.durability = WAL_LOG;
	*newest ^= 1;
	assert_true(f.store->trunks.n > 0);
	*byte_at(&f, place_pack(f.store->trunks.list[0].block, FORMAT_BLOCK, FORMAT_RAW)) ^= 1;
	finds(f.store, "free list");
	assert_int_equal(store_checkpoint(f.store), 0);
	finds_nothing(f.store, &report);
	io_mem_head(f.medium, &len)[20] ^= 1;
	finds(f.store, "header");
	unmake(&f);
}

static void test_log(void **state)
{
	struct store_verify_report report;
	struct wal_stats stats;
	struct fixture f;
	size_t len;

	(void)state;
	make(&f);
	for (uint32_t id = 20; id < 40; id++)
		picture_put(f.store, id, 3.0f);
	finds_nothing(f.store, &report);
	assert_int_equal(report.log_records, 21);
	wal_get_stats(f.store->wal, &stats);
	io_mem_segment(f.medium, stats.current_seq, &len)[8192 + 600] ^= 1;
	finds(f.store, "echo checkpoint > status/control");
	/* as it says */
	assert_int_equal(store_checkpoint(f.store), 0);
	finds_nothing(f.store, &report);
	unmake(&f);
}

/* A kernel that keeps a segment as it was written, while it changes on the disk. */
static struct {
	const struct store_io_ops *below;
	struct store_io_ops ops;
	uint64_t seq;
	uint8_t *kept;
	size_t len;
} kernel;

static int kept_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
			 size_t *got_out)
{
	if (seq != kernel.seq)
		return kernel.below->log_read(io, seq, offset, buf, len, got_out);
	*got_out = 0;
	if (offset < kernel.len)
		*got_out = len < kernel.len - offset ? len : kernel.len - (size_t)offset;
	if (*got_out > 0)
		memcpy(buf, kernel.kept + offset, *got_out);
	return 0;
}

static void forget_log(struct store_io *io, uint64_t seq)
{
	(void)io;
	if (seq == kernel.seq)
		kernel.seq = 0;
}

/* What the kernel still has does not hide what the disk holds. */
static void test_log_in_page_cache(void **state)
{
	struct wal_stats stats;
	struct fixture f;
	uint8_t *bytes;

	(void)state;
	make(&f);
	for (uint32_t id = 20; id < 40; id++)
		picture_put(f.store, id, 3.0f);
	wal_get_stats(f.store->wal, &stats);
	bytes = io_mem_segment(f.medium, stats.current_seq, &kernel.len);
	kernel.kept = malloc(kernel.len);
	assert_non_null(kernel.kept);
	memcpy(kernel.kept, bytes, kernel.len);
	kernel.seq = stats.current_seq;
	kernel.below = f.io->ops;
	kernel.ops = *f.io->ops;
	kernel.ops.log_read = kept_log_read;
	kernel.ops.log_forget = forget_log;
	f.io->ops = &kernel.ops;
	bytes[8192 + 600] ^= 1;
	finds(f.store, "echo checkpoint > status/control");
	f.io->ops = kernel.below;
	free(kernel.kept);
	unmake(&f);
}

static void test_judge_and_cancel(void **state)
{
	struct store_verify_report report;
	struct watched found = {.stop_after = 2};
	struct fixture f;

	(void)state;
	make(&f);
	assert_int_equal(verify(f.store, &found, &report), ERR_INTERRUPTED);
	for (uint32_t id = 100; id < 140; id++)
		picture_put(f.store, id, -30.0f);
	finds_nothing(f.store, &report); /* not on disk yet */
	assert_int_equal(store_checkpoint(f.store), 0);
	finds(f.store, "is negative");
	unmake(&f);
}

/* The slot table says otherwise than the ids do. */
static void test_slots_against_ids(void **state)
{
	static const enum store_slot_state states[] = {STORE_SLOT_DEAD, STORE_SLOT_FREE};

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		struct slots_entry entry;
		struct fixture f;

		make(&f);
		epoch_enter(f.store->epoch);
		assert_int_equal(slots_get(&f.store->slots, 5, &entry), 0);
		assert_int_equal(entry.state, STORE_SLOT_LIVE);
		assert_int_equal(slots_reserve(&f.store->slots, 5), 0);
		entry.state = states[i];
		slots_set(&f.store->slots, 5, &entry);
		epoch_leave(f.store->epoch);
		finds(f.store, "an id belongs to a slot that is not live");
		unmake(&f);
	}
}

/* --- beside writers and checkpoints --- */

struct writer {
	struct store *store;
	uint32_t first;
	atomic_bool *done;
};

static void *write_much(void *arg)
{
	struct writer *writer = arg;

	for (uint32_t round = 0; !atomic_load(writer->done); round++) {
		for (uint32_t id = writer->first; id < writer->first + 60; id++)
			picture_put(writer->store, id, (float)round);
		if (writer->first == 0)
			assert_int_equal(store_checkpoint(writer->store), 0);
		for (uint32_t slot = 0; slot < store_slots(writer->store); slot += 3)
			(void)store_slot_release(writer->store, slot); /* the dead ones alone */
	}
	return NULL;
}

static void test_beside_writers(void **state)
{
	struct store_verify_report report;
	atomic_bool done = false;
	struct writer writers[2];
	pthread_t threads[2];
	struct fixture f;

	(void)state;
	make(&f);
	for (uint32_t i = 0; i < 2; i++) {
		writers[i] = (struct writer){f.store, i * 60, &done};
		assert_int_equal(pthread_create(&threads[i], NULL, write_much, &writers[i]), 0);
	}
	for (int round = 0; round < 40; round++)
		finds_nothing(f.store, &report);
	atomic_store(&done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	finds_nothing(f.store, &report);
	assert_int_equal(report.vectors, PICTURES); /* the one that was deleted was written again */
	unmake(&f);
}

/* --- a page moves, and its old blocks are used again, just before it is read --- */

struct mover {
	struct store *store;
	bool busy;
	unsigned reads, moves;
};

static int move_pages(void *ctx, const char *call, uint64_t nth)
{
	struct mover *mover = ctx;

	(void)nth;
	if (mover->busy || strcmp(call, "read") != 0 || mover->reads++ % 2 != 0)
		return 0;
	mover->busy = true;
	for (int i = 0; i < 4; i++) {
		for (uint32_t id = 0; id < 30; id++)
			picture_put(mover->store, mover->moves % 7 * 40 + id, (float)(i + 1));
		assert_int_equal(store_checkpoint(mover->store), 0);
	}
	mover->moves++;
	mover->busy = false;
	return 0;
}

static void test_pages_move(void **state)
{
	struct watched found = {.stop_after = 4};
	struct store_verify_report report;
	struct mover mover = {0};
	struct fixture f;

	(void)state;
	make(&f);
	mover.store = f.store;
	mover.busy = true;
	io_mem_set_fault(f.medium, move_pages, &mover);
	for (uint32_t id = 0; id < PICTURES; id++)
		picture_put(f.store, id, 1.0f);
	for (uint32_t slot = 0; slot < store_slots(f.store); slot++)
		(void)store_slot_release(f.store, slot); /* the dead ones alone */
	mover.busy = false;
	/* up to the first page of ids: what comes after the pages reads with checkpoints held off */
	assert_int_equal(verify(f.store, &found, &report), ERR_INTERRUPTED);
	assert_string_equal(found.findings.all, "");
	assert_true(mover.moves > 5);
	mover.busy = true;
	finds_nothing(f.store, &report);
	io_mem_set_fault(f.medium, NULL, NULL);
	unmake(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_each_page),
		cmocka_unit_test(test_map_pages),
		cmocka_unit_test(test_slots_and_free_list),
		cmocka_unit_test(test_log_in_page_cache),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_judge_and_cancel),
		cmocka_unit_test(test_slots_against_ids),
		cmocka_unit_test(test_beside_writers),
		cmocka_unit_test(test_pages_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
