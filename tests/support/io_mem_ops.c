/*
 * io_mem_ops.c - the operations of struct store_io_ops on a medium in memory.
 *
 * Invariants and locks: io_mem_state.h.
 */
#include "tests/support/io_mem.h"

#include <xxhash.h>

#include "store/base.h"
#include "store/format.h"
#include "store/mem.h"
#include "tests/support/io_mem_state.h"

#define CAPACITY_SHOWN (1ull << 40) /* what space reports where there is no bound */

static struct io_mem *medium_of(struct store_io *io)
{
	return ((struct io_mem_connection *)io)->medium;
}

/* --- operations on the head --- */

static int op_create(struct store_io *io, const void *bytes, size_t len)
{
	struct io_mem *medium = medium_of(io);
	int fate = io_mem_ask(medium, "create", &len), err = ERR_EXISTS;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	if (!medium->has_head)
		err = io_mem_write(medium, &medium->head, 0, bytes, len);
	if (err == 0)
		medium->has_head = true;
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

static int op_open(struct store_io *io, bool writable, struct err_msg *msg)
{
	struct io_mem_connection *connection = (struct io_mem_connection *)io;
	struct io_mem *medium = connection->medium;
	size_t len = 0;
	int fate = io_mem_ask(medium, "open", &len), err = 0;

	if (fate != 0)
		return err_set(msg, io_mem_outcome(fate, fate < 0 ? fate : 0),
			       "memory: open failed");
	io_mem_lock(medium);
	if (!medium->has_head) {
		err = err_set(msg, ERR_ABSENT, "memory: no such store");
	} else if (medium->writers != 0 || (writable && medium->readers != 0)) {
		err = err_set(msg, ERR_BUSY, "memory: in use");
	} else {
		*(writable ? &medium->writers : &medium->readers) += 1;
		connection->is_open = true;
		connection->writable = writable;
	}
	io_mem_unlock(medium);
	return err;
}

static int op_remove(struct store_io *io)
{
	struct io_mem_connection *connection = (struct io_mem_connection *)io;
	struct io_mem *medium = connection->medium;
	size_t len = 0;
	int fate = io_mem_ask(medium, "remove", &len), err = 0;

	if (fate < 0)
		return fate;
	if (!connection->is_open)
		return ERR_INVALID;
	if (!connection->writable)
		return ERR_READONLY;
	io_mem_lock(medium);
	err = medium->has_head ? 0 : ERR_ABSENT;
	medium->has_head = false;
	medium->head.len = medium->head.kept = 0;
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

static int op_size(struct store_io *io, uint64_t *bytes_out)
{
	struct io_mem *medium = medium_of(io);
	size_t len = 0;
	int fate = io_mem_ask(medium, "size", &len);

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	*bytes_out = medium->head.len;
	io_mem_unlock(medium);
	return io_mem_outcome(fate, 0);
}

static int read_head(struct io_mem *medium, uint64_t offset, void *buf, size_t len)
{
	int err = 0;

	io_mem_lock(medium);
	if (offset > medium->head.len || len > medium->head.len - offset)
		err = ERR_DAMAGED;
	else if (len > 0)
		memcpy(buf, medium->head.bytes + offset, len);
	io_mem_unlock(medium);
	return err;
}

static int op_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	struct io_mem *medium = medium_of(io);
	size_t whole = len;
	int fate = io_mem_ask(medium, "read", &whole);

	return fate < 0 ? fate : io_mem_outcome(fate, read_head(medium, offset, buf, len));
}

static void op_read_batch(struct store_io *io, struct store_io_read *reads, size_t n)
{
	struct io_mem *medium = medium_of(io);

	/* Each piece asks by itself: "read_batch" counts pieces. From the last, as any order is right. */
	while (n-- > 0) {
		struct store_io_read *piece = &reads[n];
		size_t len = piece->length;
		int fate = io_mem_ask(medium, "read_batch", &len);

		piece->result = fate < 0 ?
					fate :
					io_mem_outcome(fate, read_head(medium, piece->offset,
								       piece->buf, piece->length));
		if (piece->arrived != NULL)
			piece->arrived(piece->ctx, piece);
	}
}

static void op_advise(struct store_io *io, uint64_t offset, uint64_t len)
{
	(void)io; /* a hint about time, and memory has no delay */
	(void)offset;
	(void)len;
}

static int op_write(struct store_io *io, uint64_t offset, const void *buf, size_t len)
{
	struct io_mem *medium = medium_of(io);
	int fate = io_mem_ask(medium, "write", &len), err;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	err = io_mem_write(medium, &medium->head, offset, buf, len);
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

static int op_sync(struct store_io *io)
{
	size_t len = 0;
	int fate = io_mem_ask(medium_of(io), "sync", &len);

	return fate < 0 ? fate : io_mem_outcome(fate, 0);
}

/* The highest generation of the two slots that are valid, 0 if none is. */
static uint64_t newest_generation(const struct io_mem *medium)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < 2; i++) {
		size_t at = FORMAT_SLOT_AT + i * FORMAT_BLOCK, summed;
		const struct format_slot *slot;
		XXH128_hash_t sum;

		if (medium->head.len < at + FORMAT_BLOCK)
			break;
		slot = (const struct format_slot *)(medium->head.bytes + at);
		summed = offsetof(struct format_slot, checksum);
		sum = XXH3_128bits(slot, summed);
		if (memcmp(slot->magic, FORMAT_SLOT_MAGIC, 8) == 0 &&
		    get_u64(slot->checksum) == sum.low64 &&
		    get_u64(slot->checksum + 8) == sum.high64 && get_u64(slot->generation) > newest)
			newest = get_u64(slot->generation);
	}
	return newest;
}

static int op_commit_slot(struct store_io *io, unsigned slot, const void *block,
			  uint64_t expected_generation)
{
	struct io_mem *medium = medium_of(io);
	size_t len = FORMAT_BLOCK;
	int fate = io_mem_ask(medium, "commit_slot", &len), err = ERR_FENCED;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	if (newest_generation(medium) == expected_generation)
		err = io_mem_write(medium, &medium->head,
				   FORMAT_SLOT_AT + (uint64_t)slot * FORMAT_BLOCK, block, len);
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

/* Zeros at once, so that a test sees who still needs what was given back. */
static void op_discard(struct store_io *io, uint64_t offset, uint64_t len)
{
	struct io_mem *medium = medium_of(io);

	io_mem_lock(medium);
	if (offset < medium->head.len) {
		if (len >= medium->head.len - offset)
			medium->head.len = medium->head.kept = (size_t)offset; /* gone */
		else
			memset(medium->head.bytes + offset, 0, (size_t)len);
	}
	io_mem_unlock(medium);
}

static int op_reserve(struct store_io *io, uint64_t bytes)
{
	struct io_mem *medium = medium_of(io);
	size_t len = 0;
	int fate = io_mem_ask(medium, "reserve", &len), err = 0;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	if (bytes < medium->head.len || bytes > medium->head.kept)
		err = io_mem_keep(medium, &medium->head, bytes);
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

/* --- operations on segments --- */

static int op_log_create(struct store_io *io, uint64_t seq, const void *bytes, size_t len)
{
	struct io_mem *medium = medium_of(io);
	int fate = io_mem_ask(medium, "log_create", &len), err = ERR_EXISTS;
	struct io_mem_segment_entry *segment;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	if (io_mem_find(medium, seq) == NULL) {
		segment = io_mem_add(medium, seq);
		err = segment == NULL ? ERR_NOMEM :
					io_mem_write(medium, &segment->object, 0, bytes, len);
	}
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

static int op_log_list(struct store_io *io, uint64_t **seqs_out, size_t *n_out)
{
	struct io_mem *medium = medium_of(io);
	size_t len = 0;
	int fate = io_mem_ask(medium, "log_list", &len);
	uint64_t *seqs;

	*seqs_out = NULL;
	*n_out = 0;
	if (fate != 0)
		return fate < 0 ? fate : io_mem_outcome(fate, 0);
	io_mem_lock(medium);
	seqs = mem_zalloc(medium->n_segments, sizeof(*seqs));
	for (size_t i = 0; seqs != NULL && i < medium->n_segments; i++)
		seqs[i] = medium->segments[i].seq;
	*seqs_out = seqs;
	*n_out = seqs != NULL ? medium->n_segments : 0;
	io_mem_unlock(medium);
	return seqs != NULL ? 0 : ERR_NOMEM;
}

static int op_log_size(struct store_io *io, uint64_t seq, uint64_t *bytes_out)
{
	struct io_mem *medium = medium_of(io);
	struct io_mem_segment_entry *segment;
	size_t len = 0;
	int fate = io_mem_ask(medium, "log_size", &len);

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	segment = io_mem_find(medium, seq);
	*bytes_out = segment != NULL ? segment->object.len : 0;
	io_mem_unlock(medium);
	return io_mem_outcome(fate, segment != NULL ? 0 : ERR_ABSENT);
}

static int op_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
		       size_t *got_out)
{
	struct io_mem *medium = medium_of(io);
	struct io_mem_segment_entry *segment;
	size_t whole = len, got = 0;
	int fate = io_mem_ask(medium, "log_read", &whole);

	*got_out = 0;
	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	segment = io_mem_find(medium, seq);
	if (segment != NULL && offset < segment->object.len) {
		got = segment->object.len - (size_t)offset;
		if (got > len)
			got = len;
		if (got > 0)
			memcpy(buf, segment->object.bytes + offset, got);
	}
	io_mem_unlock(medium);
	*got_out = got;
	return io_mem_outcome(fate, segment != NULL ? 0 : ERR_ABSENT);
}

static int op_log_write(struct store_io *io, uint64_t seq, uint64_t offset, const void *buf,
			size_t len)
{
	struct io_mem *medium = medium_of(io);
	int fate = io_mem_ask(medium, "log_write", &len), err = ERR_ABSENT;
	struct io_mem_segment_entry *segment;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	segment = io_mem_find(medium, seq);
	if (segment != NULL)
		err = io_mem_write(medium, &segment->object, offset, buf, len);
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

static int op_log_reserve(struct store_io *io, uint64_t seq, uint64_t bytes)
{
	struct io_mem *medium = medium_of(io);
	struct io_mem_segment_entry *segment;
	size_t len = 0;
	int fate = io_mem_ask(medium, "log_reserve", &len), err = ERR_ABSENT;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	segment = io_mem_find(medium, seq);
	if (segment != NULL)
		err = io_mem_keep(medium, &segment->object, bytes);
	io_mem_unlock(medium);
	return io_mem_outcome(fate, err);
}

static int op_log_sync(struct store_io *io, uint64_t seq)
{
	struct io_mem *medium = medium_of(io);
	size_t len = 0;
	int fate = io_mem_ask(medium, "log_sync", &len);
	bool exists;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	exists = io_mem_find(medium, seq) != NULL;
	io_mem_unlock(medium);
	return io_mem_outcome(fate, exists ? 0 : ERR_ABSENT);
}

static int op_log_remove(struct store_io *io, uint64_t seq)
{
	struct io_mem *medium = medium_of(io);
	struct io_mem_segment_entry *segment, *end;
	size_t len = 0;
	int fate = io_mem_ask(medium, "log_remove", &len);

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	segment = io_mem_find(medium, seq);
	if (segment != NULL) {
		mem_free(segment->object.bytes);
		end = medium->segments + medium->n_segments--;
		memmove(segment, segment + 1, (size_t)(end - segment - 1) * sizeof(*segment));
	}
	io_mem_unlock(medium);
	return io_mem_outcome(fate, 0);
}

/* --- surroundings --- */

static uint64_t op_now_ns(struct store_io *io, enum store_clock clock)
{
	struct io_mem *medium = medium_of(io);
	uint64_t ns;

	io_mem_lock(medium);
	ns = clock == STORE_CLOCK_MONOTONIC ? medium->monotonic_ns : medium->realtime_ns;
	io_mem_unlock(medium);
	return ns;
}

/* splitmix64 */
static int op_random(struct store_io *io, void *buf, size_t len)
{
	struct io_mem *medium = medium_of(io);
	size_t whole = len;
	int fate = io_mem_ask(medium, "random", &whole);
	uint8_t *at = buf;

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	for (size_t i = 0; i < len; i++) {
		uint64_t z = medium->random_state += 0x9e3779b97f4a7c15u;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		at[i] = (uint8_t)(z >> 56);
	}
	io_mem_unlock(medium);
	return io_mem_outcome(fate, 0);
}

/* The clocks stand still: a wait is a short real one, so that whoever loops on it does not spin. */
static void op_wait(struct store_io *io, pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ns)
{
	struct timespec until;

	(void)io;
	(void)ns;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 2000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(cond, mutex, &until);
}

static void op_boot_id(struct store_io *io, uint8_t id_out[16])
{
	struct io_mem *medium = medium_of(io);

	io_mem_lock(medium);
	memcpy(id_out, medium->boot_id, 16);
	io_mem_unlock(medium);
}

static int op_space(struct store_io *io, uint64_t *total_out, uint64_t *free_out)
{
	struct io_mem *medium = medium_of(io);
	uint64_t used;
	size_t len = 0;
	int fate = io_mem_ask(medium, "space", &len);

	if (fate < 0)
		return fate;
	io_mem_lock(medium);
	used = io_mem_used(medium);
	*total_out = medium->capacity != 0 ? medium->capacity : CAPACITY_SHOWN;
	*free_out = *total_out > used ? *total_out - used : 0;
	io_mem_unlock(medium);
	return io_mem_outcome(fate, 0);
}

static const char *op_name(struct store_io *io)
{
	(void)io; /* all have the same name */
	return "memory";
}

static void op_close(struct store_io *io)
{
	struct io_mem_connection *connection = (struct io_mem_connection *)io;
	struct io_mem *medium = connection->medium;

	io_mem_lock(medium);
	if (connection->is_open)
		*(connection->writable ? &medium->writers : &medium->readers) -= 1;
	io_mem_unlock(medium);
	mem_free(connection);
}

const struct store_io_ops io_mem_ops = {
	.create = op_create,
	.open = op_open,
	.remove = op_remove,
	.size = op_size,
	.read = op_read,
	.read_batch = op_read_batch,
	.advise = op_advise,
	.write = op_write,
	.sync = op_sync,
	.commit_slot = op_commit_slot,
	.discard = op_discard,
	.reserve = op_reserve,
	.log_create = op_log_create,
	.log_list = op_log_list,
	.log_size = op_log_size,
	.log_read = op_log_read,
	.log_write = op_log_write,
	.log_reserve = op_log_reserve,
	.log_sync = op_log_sync,
	.log_remove = op_log_remove,
	.now_ns = op_now_ns,
	.wait = op_wait,
	.random = op_random,
	.boot_id = op_boot_id,
	.space = op_space,
	.name = op_name,
	.close = op_close,
};
