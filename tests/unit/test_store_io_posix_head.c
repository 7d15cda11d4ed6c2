/*
 * test_store_io_posix_head.c - the head in the POSIX back end: short, interrupted and failing calls,
 * batches of reads, commit slots, and writers beside one that cuts its end.
 */
#include "store/io_posix.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/format.h"
#include "store/mem.h"
#include "tests/support/posix_faults.h"

/* Short and interrupted calls are continued; the end of the object is damage. */
static void test_read_write(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 9), *back = mem_alloc(POSIX_HEAD_BYTES);
	uint64_t size;

	(void)state;
	posix_fault.max_bytes = 1000;
	posix_fault.interrupts = 3;
	assert_int_equal(io->ops->write(io, 100, bytes, POSIX_HEAD_BYTES), 0);
	posix_fault.interrupts = 3;
	assert_int_equal(io->ops->read(io, 100, back, POSIX_HEAD_BYTES), 0);
	assert_memory_equal(back, bytes, POSIX_HEAD_BYTES);
	posix_fault.interrupts = 3;
	assert_int_equal(io->ops->sync(io), 0);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, POSIX_HEAD_BYTES + 100);
	assert_int_equal(io->ops->read(io, 101, back, POSIX_HEAD_BYTES), ERR_DAMAGED);
	assert_int_equal(io->ops->read(io, UINT64_MAX - 3, back, 16), ERR_DAMAGED);
	assert_int_equal(io->ops->read(io, size, back, 0), 0);
	assert_int_equal(io->ops->write(io, UINT64_MAX - 3, bytes, 16), ERR_FULL);
	assert_int_equal(io->ops->write(io, INT64_MAX, bytes, 16), ERR_FULL);
	posix_close(io);
	mem_free(bytes);
	mem_free(back);
}

/* Each read says once that it has arrived, with its result and its bytes. */
static void note_arrival(void *ctx, struct store_io_read *read)
{
	unsigned *arrivals = ctx;

	assert_int_not_equal(read->result, 77);
	*arrivals += 1;
}

static void test_read_batch(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 0);
	static uint8_t bufs[8][4096];
	struct store_io_read reads[8];
	unsigned arrivals = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		reads[i] = (struct store_io_read){.offset = (i * 5 % 8) * 8192,
						  .buf = bufs[i],
						  .length = 4096 - i,
						  .result = 77,
						  .arrived = note_arrival,
						  .ctx = &arrivals};
	reads[3].offset = POSIX_HEAD_BYTES - 10; /* past the end: alone in its error */
	reads[5].offset = UINT64_MAX - 10;
	io->ops->read_batch(io, reads, 8);
	assert_int_equal(arrivals, 8);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(reads[i].result, i == 3 || i == 5 ? ERR_DAMAGED : 0);
		if (reads[i].result == 0)
			assert_memory_equal(bufs[i], bytes + reads[i].offset, reads[i].length);
	}
	memset(bufs, 0, sizeof(bufs));
	io->ops->read_batch(io, reads, 1);
	assert_memory_equal(bufs[0], bytes + reads[0].offset, reads[0].length);
	io->ops->read_batch(io, reads, 0);
	io->ops->advise(io, 0, POSIX_HEAD_BYTES);
	io->ops->advise(io, UINT64_MAX, UINT64_MAX);
	io->ops->forget(io, 0, POSIX_HEAD_BYTES);
	io->ops->forget(io, UINT64_MAX, UINT64_MAX);
	posix_close(io);
	mem_free(bytes);
}

/* Past the kernel's cache: what was just written, more than go at once, and those that cannot go so. */
static void test_read_batch_past_the_cache(void **state)
{
	enum { PIECES = 150, UNALIGNED = 40, BEYOND = 90 };
	struct store_io *io = posix_open_store();
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 0),
		*bufs = mem_alloc_aligned(4096, PIECES * 4096);
	static struct store_io_read reads[PIECES];
	unsigned arrivals[PIECES] = {0};

	(void)state;
	io_posix_set_kernel_cache(io, POSIX_HEAD_BYTES - 1);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < PIECES; i++)
			reads[i] = (struct store_io_read){
				.offset = (i * 7) % (POSIX_HEAD_BYTES / 4096) * 4096ull,
				.buf = bufs + i * 4096,
				.length = 4096,
				.result = 77,
				.arrived = note_arrival,
				.ctx = &arrivals[i]};
		reads[UNALIGNED].offset += 8;
		reads[UNALIGNED].length -= 8;
		reads[BEYOND].offset = POSIX_HEAD_BYTES;
		bytes[round] ^= 0xff;
		assert_int_equal(io->ops->write(io, 0, bytes, 4096), 0);
		memset(bufs, 0, PIECES * 4096);
		io->ops->read_batch(io, reads, PIECES);
		for (unsigned i = 0; i < PIECES; i++) {
			assert_int_equal(reads[i].result, i == BEYOND ? ERR_DAMAGED : 0);
			assert_int_equal(arrivals[i], round + 1);
			if (i != BEYOND)
				assert_memory_equal(reads[i].buf, bytes + reads[i].offset,
						    reads[i].length);
		}
	}
	posix_close(io);
	mem_free(bytes);
	mem_free(bufs);
}

/* A wait for reads that a signal ends is taken up again: nobody asks in a circle whether they came. */
static void test_ring_wait_interrupted(void **state)
{
	enum { PIECES = 16, ROUNDS = 50 };
	struct store_io *io = posix_open_store();
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 0),
		*bufs = mem_alloc_aligned(4096, POSIX_HEAD_BYTES);
	struct store_io_read reads[PIECES];

	(void)state;
	io_posix_set_kernel_cache(io, 0);
	assert_int_equal(io->ops->sync(io), 0);
	posix_fault.ring_interrupted = true;
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < PIECES; i++)
			reads[i] = (struct store_io_read){.offset = i * 4096ull,
							  .buf = bufs + i * 4096,
							  .length = 4096,
							  .result = 77};
		memset(bufs, 0, POSIX_HEAD_BYTES);
		io->ops->read_batch(io, reads, PIECES);
		assert_memory_equal(bufs, bytes, POSIX_HEAD_BYTES);
	}
	posix_fault.ring_interrupted = false;
	posix_close(io);
	mem_free(bytes);
	mem_free(bufs);
	if (posix_fault.ring_waits == 0)
		skip(); /* no rings here, or no file that can be read with them */
	assert_int_equal(posix_fault.ring_spins, 0);
}

static void test_error_classes(void **state)
{
	static const int pairs[][2] = {
		{ENOSPC, ERR_FULL}, {EDQUOT, ERR_FULL},	   {EFBIG, ERR_FULL},
		{EIO, ERR_IO},	    {EROFS, ERR_READONLY}, {EACCES, ERR_PERMISSION},
		{EINVAL, ERR_IO},   {ENOMEM, ERR_NOMEM},   {EPERM, ERR_PERMISSION},
	};
	struct store_io *io = posix_open_store();

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		posix_fault.write_error = pairs[i][0];
		assert_int_equal(io->ops->write(io, 0, "abc", 3), pairs[i][1]);
		assert_int_equal(io->ops->write(io, 0, "abc", 3), 0);
	}
	posix_close(io);
}

/* The kernel itself cuts a write short and then refuses: a limit on the size of files. */
static void test_size_limit(void **state)
{
	struct store_io *io = posix_open_store();
	struct rlimit old, limit;
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 1);
	uint64_t size;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = POSIX_HEAD_BYTES + 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(io->ops->write(io, POSIX_HEAD_BYTES, bytes, 5000), ERR_FULL);
	assert_int_equal(io->ops->write(io, 0, bytes, 5000), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(io->ops->write(io, POSIX_HEAD_BYTES, bytes, 5000), 0);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, POSIX_HEAD_BYTES + 5000);
	posix_close(io);
	mem_free(bytes);
}

/* After one failed sync nothing is believed any more, though the next would succeed. */
static void test_failed_sync(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t block[FORMAT_BLOCK] = {0};
	unsigned syncs;

	(void)state;
	assert_int_equal(io->ops->sync(io), 0);
	posix_fault.sync_error = EIO;
	assert_int_equal(io->ops->sync(io), ERR_UNKNOWN);
	syncs = posix_fault.syncs;
	assert_int_equal(io->ops->sync(io), ERR_UNKNOWN);
	assert_int_equal(io->ops->commit_slot(io, 0, block, 0), ERR_UNKNOWN);
	assert_int_equal(posix_fault.syncs, syncs);
	posix_close(io);
}

static void make_slot(struct format_slot *slot, uint64_t generation)
{
	XXH128_hash_t hash;

	memset(slot, 0, sizeof(*slot));
	memcpy(slot->magic, FORMAT_SLOT_MAGIC, sizeof(slot->magic));
	put_u64(slot->generation, generation);
	hash = XXH3_128bits(slot, offsetof(struct format_slot, checksum));
	put_u64(slot->checksum, hash.low64);
	put_u64(slot->checksum + 8, hash.high64);
}

static void test_commit_slot(void **state)
{
	struct store_io *io = posix_open_store();
	struct format_slot slot, back;
	unsigned syncs;

	(void)state;
	make_slot(&slot,
		  7); /* the posix_pattern that is there is no slot: no generation counts as 0 */
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 6), ERR_FENCED);
	syncs = posix_fault.syncs;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), 0);
	assert_int_equal(posix_fault.syncs, syncs + 1);
	assert_int_equal(io->ops->read(io, FORMAT_SLOT_AT + FORMAT_BLOCK, &back, sizeof(back)), 0);
	assert_memory_equal(&slot, &back, sizeof(slot));
	make_slot(&slot, 8);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 8), ERR_FENCED);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 0), ERR_FENCED);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 7), 0);
	assert_int_equal(io->ops->read(io, FORMAT_SLOT_AT, &back, sizeof(back)), 0);
	assert_memory_equal(&slot, &back, sizeof(slot));
	assert_int_equal(io->ops->commit_slot(io, 2, &slot, 8), ERR_INVALID);
	make_slot(&slot, 9);
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 8), 0);
	make_slot(&slot, 10);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 9), 0);
	posix_close(io);
}

/* A slot with one bit wrong anywhere does not count. */
static void test_commit_damaged(void **state)
{
	static const size_t places[] = {0, 7, 32, 100, 4079, 4080, 4087, 4088, 4095};
	struct store_io *io = posix_open_store();
	struct format_slot seven, eight;

	(void)state;
	make_slot(&seven, 7);
	make_slot(&eight, 8);
	assert_int_equal(io->ops->commit_slot(io, 1, &seven, 0), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_int_equal(io->ops->commit_slot(io, 0, &eight, 7), 0);
		((uint8_t *)&eight)[places[i]] ^= 1;
		assert_int_equal(io->ops->write(io, FORMAT_SLOT_AT, &eight, sizeof(eight)), 0);
		make_slot(&eight, 8);
		assert_int_equal(io->ops->commit_slot(io, 0, &eight, 8), ERR_FENCED);
	}
	posix_close(io);
}

static void test_commit_fails(void **state)
{
	struct store_io *io = posix_open_store();
	struct format_slot slot;

	(void)state;
	make_slot(&slot, 1);
	posix_fault.write_error = ENOSPC;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), ERR_FULL);
	posix_fault.write_error = EIO;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), ERR_UNKNOWN);
	posix_fault.sync_error = EIO;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), ERR_UNKNOWN);
	posix_close(io);
}

/* Holes in the middle read as zeros, the end is cut, the first pages are never touched. */
static void test_discard(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 0), back[8192];
	uint64_t size;

	(void)state;
	io->ops->discard(io, 20480, 8192);
	assert_int_equal(io->ops->read(io, 20480, back, 8192), 0);
	assert_true(all_zero(back, 8192) || memcmp(back, bytes + 20480, 8192) == 0);
	assert_int_equal(io->ops->read(io, 28672, back, 4096), 0);
	assert_memory_equal(back, bytes + 28672, 4096);
	io->ops->discard(io, 0, POSIX_HEAD_BYTES);
	io->ops->discard(io, UINT64_MAX - 5, UINT64_MAX);
	io->ops->discard(io, 40960, 0);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, POSIX_HEAD_BYTES);
	io->ops->discard(io, 40960, POSIX_HEAD_BYTES);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, 40960);
	io->ops->discard(io, POSIX_HEAD_BYTES, 4096); /* behind the end */
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, 40960);
	assert_int_equal(io->ops->read(io, 0, back, 8192), 0);
	assert_memory_equal(back, bytes, 8192);
	posix_close(io);
	mem_free(bytes);
}

/* --- threads --- */

struct worker {
	struct store_io *io;
	unsigned number;
	int result;
	pthread_t thread;
};

#define WORKERS 6u
#define ROUNDS 100u
#define AREA 4096u

/* The areas of all workers alternate, so that the end of the head is now this one's, now that's. */
static uint64_t area_at(unsigned worker, unsigned round)
{
	return POSIX_HEAD_BYTES + (uint64_t)(round * WORKERS + worker) * AREA;
}

/*
 * Writes and reads areas of its own in the head and in the segments, beside the others. Worker 1
 * discards its areas again: where one is the end of the head, another may be writing behind it.
 */
static void *work(void *ctx)
{
	struct worker *w = ctx;
	const struct store_io_ops *ops = w->io->ops;
	uint8_t out[AREA], in[AREA];
	size_t got = 0;

	memset(out, (int)w->number + 1, sizeof(out));
	for (unsigned i = 0; i < ROUNDS && w->result == 0; i++) {
		uint64_t at = area_at(w->number, i);
		uint64_t seq = (w->number + i) % 10 + 1;

		w->result = ops->write(w->io, at, out, sizeof(out));
		if (w->result == 0)
			w->result = ops->read(w->io, at, in, sizeof(in));
		if (w->result == 0 && memcmp(in, out, sizeof(in)) != 0)
			w->result = 1;
		if (w->result == 0)
			w->result = ops->log_write(w->io, seq, at, out, sizeof(out));
		if (w->result == 0 && i % 4 == 0)
			w->result = ops->log_sync(w->io, seq);
		if (w->result == 0)
			w->result = ops->log_read(w->io, seq, at, in, sizeof(in), &got);
		if (w->result == 0 && (got != sizeof(in) || memcmp(in, out, sizeof(in)) != 0))
			w->result = 2;
		if (w->result == 0 && w->number == 0 && i % 8 == 0)
			w->result = ops->sync(w->io);
		if (w->number == 1)
			ops->discard(w->io, at, AREA);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct store_io *io = posix_open_store();
	struct worker workers[WORKERS];
	uint8_t back[AREA];

	(void)state;
	for (uint64_t seq = 1; seq <= 10; seq++)
		assert_int_equal(io->ops->log_create(io, seq, "x", 1), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.io = io, .number = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(workers[i].result, 0);
		for (unsigned round = 0; i != 1 && round < ROUNDS; round++) {
			assert_int_equal(io->ops->read(io, area_at(i, round), back, AREA), 0);
			for (unsigned k = 0; k < AREA; k++)
				assert_int_equal(back[k], i + 1);
		}
	}
	for (uint64_t seq = 1; seq <= 10; seq++)
		assert_int_equal(io->ops->log_sync(io, seq), 0);
	posix_close(io);
}

static struct {
	struct store_io *io;
	pthread_t thread;
	int result;
} late;

static void *write_late(void *ctx)
{
	(void)ctx;
	late.result = late.io->ops->write(late.io, POSIX_HEAD_BYTES, "late", 4);
	return NULL;
}

static void start_late_writer(void)
{
	assert_int_equal(pthread_create(&late.thread, NULL, write_late, NULL), 0);
	usleep(20000);
}

/* A write behind the end that comes while the end is being cut must not be lost. */
static void test_write_while_cutting(void **state)
{
	char back[4];

	(void)state;
	late.io = posix_open_store();
	posix_fault.truncating = start_late_writer;
	late.io->ops->discard(late.io, POSIX_HEAD_BYTES - 4096, 4096);
	assert_int_equal(pthread_join(late.thread, NULL), 0);
	assert_int_equal(late.result, 0);
	assert_int_equal(late.io->ops->read(late.io, POSIX_HEAD_BYTES, back, 4), 0);
	assert_memory_equal(back, "late", 4);
	posix_close(late.io);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, posix_setup, posix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read_write),
		TEST(test_read_batch),
		TEST(test_read_batch_past_the_cache),
		TEST(test_ring_wait_interrupted),
		TEST(test_error_classes),
		TEST(test_size_limit),
		TEST(test_failed_sync),
		TEST(test_commit_slot),
		TEST(test_commit_damaged),
		TEST(test_commit_fails),
		TEST(test_discard),
		TEST(test_threads),
		TEST(test_write_while_cutting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
