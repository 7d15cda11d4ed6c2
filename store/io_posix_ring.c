/*
 * io_posix_ring.c - many reads of the head at once, past the kernel's cache, through io_uring.
 *
 * It is used where the kernel could not keep the head anyway (io_posix_set_kernel_cache): pages that
 * pass through its cache there cost a copy and push each other out, within a memory limit of the
 * process too. Reads are asked for in one system call, so that the kernel joins those that follow one
 * another. A kernel that refuses rings, a file system that refuses O_DIRECT, or a read that it cannot
 * do this way: io_posix_head_read_batch reads what is left as always.
 *
 * A ring is used by one thread at a time; idle ones are kept for the next.
 */
#include "store/io_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/io_uring.h>

#include "store/base.h"
#include "store/err.h"
#include "store/format.h"
#include "store/mem.h"

#define RING_READS 64u /* at once */

struct io_posix_ring {
	struct io_posix_ring *next; /* idle ones */
	int fd;
	uint8_t *map; /* both queues */
	size_t map_bytes;
	struct io_uring_sqe *sqes;
	size_t sqes_bytes;
	struct io_uring_cqe *cqes;
	uint32_t *sq_tail, *sq_array, sq_mask;
	uint32_t *cq_head, *cq_tail, cq_mask;
};

static void free_ring(struct io_posix_ring *ring)
{
	if (ring == NULL)
		return;
	if (ring->sqes != NULL)
		(void)munmap(ring->sqes, ring->sqes_bytes); /* right arguments do not fail */
	if (ring->map != NULL)
		(void)munmap(ring->map, ring->map_bytes);
	if (ring->fd >= 0)
		(void)close(ring->fd);
	mem_free(ring);
}

static void *map_part(int fd, size_t bytes, uint64_t which)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			(off_t)which);

	return at == MAP_FAILED ? NULL : at;
}

/* NULL when the kernel has no rings for us, of this kind, or no memory. */
static struct io_posix_ring *new_ring(void)
{
	struct io_posix_ring *ring = mem_zalloc(1, sizeof(*ring));
	struct io_uring_params params = {0};
	size_t sq_bytes, cq_bytes;

	if (ring == NULL)
		return NULL;
	ring->fd = (int)syscall(SYS_io_uring_setup, RING_READS, &params);
	if (ring->fd < 0 || (params.features & IORING_FEAT_SINGLE_MMAP) == 0)
		goto fail;
	sq_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	ring->map_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
	ring->sqes_bytes = params.sq_entries * sizeof(struct io_uring_sqe);
	ring->map = map_part(ring->fd, ring->map_bytes, IORING_OFF_SQ_RING);
	ring->sqes = map_part(ring->fd, ring->sqes_bytes, IORING_OFF_SQES);
	if (ring->map == NULL || ring->sqes == NULL)
		goto fail;
	ring->sq_tail = (uint32_t *)(ring->map + params.sq_off.tail);
	ring->sq_array = (uint32_t *)(ring->map + params.sq_off.array);
	ring->sq_mask = *(uint32_t *)(ring->map + params.sq_off.ring_mask);
	ring->cq_head = (uint32_t *)(ring->map + params.cq_off.head);
	ring->cq_tail = (uint32_t *)(ring->map + params.cq_off.tail);
	ring->cq_mask = *(uint32_t *)(ring->map + params.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(ring->map + params.cq_off.cqes);
	return ring;
fail:
	free_ring(ring);
	return NULL;
}

static struct io_posix_ring *take_ring(struct io_posix_direct *direct)
{
	struct io_posix_ring *ring;

	pthread_mutex_lock(&direct->lock);
	ring = direct->idle;
	if (ring != NULL)
		direct->idle = ring->next;
	pthread_mutex_unlock(&direct->lock);
	return ring != NULL ? ring : new_ring();
}

static void give_ring(struct io_posix_direct *direct, struct io_posix_ring *ring)
{
	pthread_mutex_lock(&direct->lock);
	ring->next = direct->idle;
	direct->idle = ring;
	pthread_mutex_unlock(&direct->lock);
}

/* The head once more, past the kernel's cache; -1 where that cannot be had. */
static int direct_fd(struct io_posix *p)
{
	struct stat head, same;
	int fd;

	pthread_mutex_lock(&p->direct.lock);
	if (p->direct.fd == -1 && !p->direct.refused) {
		fd = openat(p->dir_fd, p->file,
			    O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0 && (fstat(p->fd, &head) != 0 || fstat(fd, &same) != 0 ||
				head.st_dev != same.st_dev || head.st_ino != same.st_ino)) {
			(void)close(fd); /* the name is that of another file by now */
			fd = -1;
		}
		p->direct.refused = fd < 0;
		p->direct.fd = fd;
	}
	fd = p->direct.fd;
	pthread_mutex_unlock(&p->direct.lock);
	return fd;
}

static bool aligned(const struct store_io_read *read)
{
	return read->offset % FORMAT_BLOCK == 0 && read->length % FORMAT_BLOCK == 0 &&
	       (uintptr_t)read->buf % FORMAT_BLOCK == 0 && read->length > 0;
}

/* Fills submission entries; their number. A read's number in the batch is in its user_data. */
static uint32_t prepare(struct io_posix_ring *ring, int fd, const struct store_io_read *reads,
			size_t n)
{
	uint32_t tail = *ring->sq_tail, count = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t at = (tail + count) & ring->sq_mask;

		if (!aligned(&reads[i]))
			continue;
		ring->sqes[at] = (struct io_uring_sqe){.opcode = IORING_OP_READ,
						       .fd = fd,
						       .off = reads[i].offset,
						       .addr = (uintptr_t)reads[i].buf,
						       .len = reads[i].length,
						       .user_data = i};
		ring->sq_array[at] = at;
		count++;
	}
	__atomic_store_n(ring->sq_tail, tail + count, __ATOMIC_RELEASE);
	return count;
}

/* Takes what has arrived; reads that came whole get the result 0. How many arrived. */
static uint32_t reap(struct io_posix_ring *ring, struct store_io_read *reads)
{
	uint32_t head = *ring->cq_head, n = 0;

	/* the queue has room for all: what is done with one does not keep others from arriving */
	for (; head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE); head++, n++) {
		const struct io_uring_cqe *cqe = &ring->cqes[head & ring->cq_mask];
		struct store_io_read *read = &reads[cqe->user_data];

		if (cqe->res < 0 || (uint32_t)cqe->res != read->length)
			continue;
		read->result = 0;
		if (read->arrived != NULL)
			read->arrived(read->ctx, read);
	}
	__atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
	return n;
}

/*
 * Submits, takes each read as it arrives, and waits for all. Never leaves a read under way, since its
 * buffer is the caller's. False when the ring is not as it was before.
 */
static bool run(struct io_posix_ring *ring, int fd, struct store_io_read *reads, size_t n)
{
	uint32_t left = prepare(ring, fd, reads, n), submitted = 0, arrived = 0;
	bool sound = true;

	while (arrived < submitted || left > 0) {
		long took = syscall(SYS_io_uring_enter, ring->fd, left, 1, IORING_ENTER_GETEVENTS,
				    NULL, 0);

		if (took > 0) {
			submitted += (uint32_t)took;
			left -= (uint32_t)took;
		} else if (took < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) {
			left = 0; /* what was not submitted stays undone, and the ring is thrown away */
			sound = false;
		}
		arrived += reap(ring, reads);
	}
	return sound;
}

bool io_posix_past_cache(const struct io_posix *p)
{
	uint64_t bytes = 0;

	return p->direct.kernel_cache != UINT64_MAX && io_posix_size_of(p->fd, &bytes) == 0 &&
	       bytes > p->direct.kernel_cache;
}

void io_posix_ring_read(struct io_posix *p, struct store_io_read *reads, size_t n)
{
	struct io_posix_ring *ring;
	int fd;

	if (!io_posix_past_cache(p))
		return;
	fd = direct_fd(p);
	if (fd < 0)
		return;
	ring = take_ring(&p->direct);
	for (size_t i = 0; ring != NULL && i < n; i += RING_READS)
		if (!run(ring, fd, reads + i, n - i < RING_READS ? n - i : RING_READS)) {
			free_ring(ring);
			return;
		}
	if (ring != NULL)
		give_ring(&p->direct, ring);
}

void io_posix_direct_init(struct io_posix_direct *direct)
{
	(void)pthread_mutex_init(&direct->lock, NULL); /* cannot fail on Linux */
	direct->fd = -1;
	direct->kernel_cache = UINT64_MAX;
}

void io_posix_direct_release(struct io_posix_direct *direct)
{
	while (direct->idle != NULL) {
		struct io_posix_ring *ring = direct->idle;

		direct->idle = ring->next;
		free_ring(ring);
	}
	if (direct->fd >= 0)
		(void)close(direct->fd);
	direct->fd = -1;
	(void)pthread_mutex_destroy(&direct->lock);
}

void io_posix_set_kernel_cache(struct store_io *io, uint64_t bytes)
{
	((struct io_posix *)io)->direct.kernel_cache = bytes;
}
