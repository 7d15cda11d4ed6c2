/*
 * io_mem_state.h - what a medium in memory consists of; private to io_mem.c and io_mem_ops.c.
 *
 * Invariants:
 * 1. segments ascends by seq.
 * 2. At most one connection holds the medium writable, and then no other has it open.
 *
 * Locks: lock guards everything in the medium. The fault hook runs without it.
 */
#ifndef VECFS_TESTS_IO_MEM_STATE_H
#define VECFS_TESTS_IO_MEM_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/io_mem.h"

#define IO_MEM_CALL_NAMES 32

struct io_mem_object {
	uint8_t *bytes;
	size_t len, cap;
	size_t kept; /* bytes promised by reserve: they count as used */
};

struct io_mem_segment_entry {
	uint64_t seq;
	struct io_mem_object object;
};

struct io_mem_call {
	const char *name;
	uint64_t count;
};

struct io_mem {
	pthread_mutex_t lock;
	bool has_head;
	struct io_mem_object head;
	struct io_mem_segment_entry *segments;
	size_t n_segments, segments_cap;
	unsigned readers, writers; /* open connections */
	uint64_t capacity;
	uint64_t random_state;
	uint64_t monotonic_ns, realtime_ns;
	uint8_t boot_id[16];
	io_mem_fault fault;
	void *fault_ctx;
	struct io_mem_call calls[IO_MEM_CALL_NAMES];
};

struct io_mem_connection {
	struct store_io io;
	struct io_mem *medium;
	bool is_open, writable;
};

extern const struct store_io_ops io_mem_ops;

void io_mem_lock(struct io_mem *medium);
void io_mem_unlock(struct io_mem *medium);

/* All below: under the lock, but for io_mem_ask. */

int io_mem_resize(struct io_mem_object *object, size_t len);
/* ERR_FULL, without effect, when the medium would become too full. */
int io_mem_write(struct io_mem *medium, struct io_mem_object *object, uint64_t offset,
		 const void *buf, size_t len);
uint64_t io_mem_used(const struct io_mem *medium);
/* Bytes that an object takes from the capacity. */
size_t io_mem_claim(const struct io_mem_object *object);
/* Keeps room for so many bytes. ERR_FULL, without effect. */
int io_mem_keep(struct io_mem *medium, struct io_mem_object *object, uint64_t bytes);
/* NULL when it is not there. */
struct io_mem_segment_entry *io_mem_find(struct io_mem *medium, uint64_t seq);
/* NULL when memory is short. */
struct io_mem_segment_entry *io_mem_add(struct io_mem *medium, uint64_t seq);
struct io_mem_call *io_mem_find_call(struct io_mem *medium, const char *name);

/* Counts the call and asks the hook. *len becomes what of a write takes effect. */
int io_mem_ask(struct io_mem *medium, const char *name, size_t *len);
/* The result of an operation with this fate that by itself would have had result err. */
int io_mem_outcome(int fate, int err);

#endif
