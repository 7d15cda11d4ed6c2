/*
 * io_posix_head.c - reading, writing and committing the head of a store that is a file.
 *
 * Invariants:
 *  1. After a failed sync every later sync and commit fails: the kernel marks lost pages clean and
 *     tells it once, so a second sync that succeeds proves nothing.
 *  2. Nothing is written through a read-only io.
 *  3. The end of the file is cut only while nobody writes, so no write behind it is lost.
 */
#include "store/io_posix.h"

#include <fcntl.h>
#include <unistd.h>

#include <xxhash.h>

#include "store/base.h"
#include "store/err.h"
#include "store/format.h"

static_assert(sizeof(((struct format_slot *)0)->checksum) == 16, "slots carry XXH3-128");

static struct io_posix *posix_of(struct store_io *io)
{
	return (struct io_posix *)io;
}

int io_posix_head_size(struct store_io *io, uint64_t *bytes_out)
{
	return io_posix_size_of(posix_of(io)->fd, bytes_out);
}

int io_posix_head_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	size_t got;
	int ret = io_posix_read_at(posix_of(io)->fd, offset, buf, len, &got);

	if (ret == 0 && got < len)
		ret = ERR_DAMAGED;
	/* within a limit of memory what stays there makes every new page of ours wait for room */
	if (ret == 0 && io_posix_past_cache(posix_of(io)))
		io_posix_head_forget(io, offset, len);
	return ret;
}

void io_posix_head_advise(struct store_io *io, uint64_t offset, uint64_t len)
{
	/* a hint: without it only time is lost */
	if (offset <= INT64_MAX && len <= INT64_MAX - offset && len > 0)
		(void)posix_fadvise(posix_of(io)->fd, (off_t)offset, (off_t)len,
				    POSIX_FADV_WILLNEED);
}

void io_posix_head_forget(struct store_io *io, uint64_t offset, uint64_t len)
{
	/* pages that are not written back yet stay, as they should */
	if (offset <= INT64_MAX && len <= INT64_MAX - offset && len > 0)
		(void)posix_fadvise(posix_of(io)->fd, (off_t)offset, (off_t)len,
				    POSIX_FADV_DONTNEED);
}

/*
 * All reads are under way before the first one is waited for: at the device itself, or in the kernel,
 * which is told of all of them first.
 */
void io_posix_head_read_batch(struct store_io *io, struct store_io_read *reads, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reads[i].result = ERR_AGAIN;
	io_posix_ring_read(posix_of(io), reads, n);
	for (size_t i = 0; n > 1 && i < n; i++)
		if (reads[i].result != 0)
			io_posix_head_advise(io, reads[i].offset, reads[i].length);
	for (size_t i = 0; i < n; i++) {
		if (reads[i].result == 0)
			continue;
		reads[i].result = io_posix_head_read(io, reads[i].offset, reads[i].buf,
						     reads[i].length);
		if (reads[i].arrived != NULL)
			reads[i].arrived(reads[i].ctx, &reads[i]);
	}
}

int io_posix_head_write(struct store_io *io, uint64_t offset, const void *buf, size_t len)
{
	struct io_posix *p = posix_of(io);
	int ret;

	if (!p->writable)
		return ERR_READONLY;
	pthread_rwlock_rdlock(&p->size_lock);
	ret = io_posix_write_at(p->fd, offset, buf, len);
	pthread_rwlock_unlock(&p->size_lock);
	return ret;
}

int io_posix_head_sync(struct store_io *io)
{
	struct io_posix *p = posix_of(io);
	int ret;

	if (!p->writable)
		return ERR_READONLY;
	pthread_mutex_lock(&p->sync_lock);
	ret = p->sync_failed ? ERR_UNKNOWN : io_posix_sync_data(p->fd);
	if (ret != 0)
		p->sync_failed = true;
	pthread_mutex_unlock(&p->sync_lock);
	return ret;
}

/* A slot counts when its magic and checksum are right; what else it says is for its readers. */
static bool slot_is_valid(const struct format_slot *slot)
{
	XXH128_hash_t hash = XXH3_128bits(slot, offsetof(struct format_slot, checksum));

	return memcmp(slot->magic, FORMAT_SLOT_MAGIC, sizeof(slot->magic)) == 0 &&
	       get_u64(slot->checksum) == hash.low64 && get_u64(slot->checksum + 8) == hash.high64;
}

/* The highest generation of a valid slot, 0 when there is none. */
static int newest_generation(struct store_io *io, uint64_t *generation_out)
{
	struct format_slot slot;

	*generation_out = 0;
	for (unsigned i = 0; i < 2; i++) {
		int ret = io_posix_head_read(io, FORMAT_SLOT_AT + i * FORMAT_BLOCK, &slot,
					     sizeof(slot));

		if (ret != 0)
			return ret;
		if (slot_is_valid(&slot) && get_u64(slot.generation) > *generation_out)
			*generation_out = get_u64(slot.generation);
	}
	return 0;
}

int io_posix_head_commit_slot(struct store_io *io, unsigned slot, const void *block,
			      uint64_t expected_generation)
{
	uint64_t generation;
	int ret;

	if (slot > 1)
		return ERR_INVALID;
	if (!posix_of(io)->writable)
		return ERR_READONLY;
	ret = newest_generation(io, &generation);
	if (ret != 0)
		return ret;
	if (generation != expected_generation)
		return ERR_FENCED;
	ret = io_posix_head_write(io, FORMAT_SLOT_AT + slot * FORMAT_BLOCK, block, FORMAT_BLOCK);
	if (ret == ERR_FULL)
		return ret; /* at most the older slot is torn */
	if (ret != 0)
		return ERR_UNKNOWN;
	return io_posix_head_sync(io);
}

int io_posix_head_reserve(struct store_io *io, uint64_t bytes)
{
	struct io_posix *p = posix_of(io);
	int ret;

	if (!p->writable)
		return ERR_READONLY;
	pthread_rwlock_wrlock(&p->size_lock); /* giving back cuts the file at its own size */
	ret = io_posix_keep_room(p->fd, bytes);
	pthread_rwlock_unlock(&p->size_lock);
	return ret;
}

/* Cuts the file when the range is its end. True when there is nothing more to do. */
static bool cut_end(struct io_posix *p, uint64_t offset, uint64_t end)
{
	uint64_t size = 0;
	bool cut = false;

	pthread_rwlock_wrlock(&p->size_lock);
	if (io_posix_size_of(p->fd, &size) == 0 && end >= size)
		cut = offset >= size || ftruncate(p->fd, (off_t)offset) == 0;
	pthread_rwlock_unlock(&p->size_lock);
	return cut;
}

void io_posix_head_discard(struct store_io *io, uint64_t offset, uint64_t len)
{
	struct io_posix *p = posix_of(io);

	if (!p->writable || len == 0 || offset < FORMAT_PAGES_AT)
		return;
	if (offset > INT64_MAX || len > INT64_MAX - offset || cut_end(p, offset, offset + len))
		return;
	/* a hint: not every file system can */
	(void)fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			(off_t)len);
}
