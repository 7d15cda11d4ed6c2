/*
 * io_mem.h - a store_io back end wholly in memory, for the tests of the store.
 *
 * A struct io_mem is the medium: the head, the log segments, a boot id, clocks and a random
 * stream. Any number of struct store_io can be attached to it, one after the other or at once; the
 * lock of open works between them. Every write is durable at once: what a power cut does is made
 * by damaging the bytes. Safe for several threads, but for the calls that say otherwise.
 */
#ifndef VECFS_TESTS_IO_MEM_H
#define VECFS_TESTS_IO_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "store/io.h"

struct io_mem;

/* A result of a fault hook: the first n bytes of a write take effect, then it fails ERR_FULL. */
#define IO_MEM_CUT(n) ((int)(n) + 1)
/* The same, failing with another class than ERR_FULL. */
#define IO_MEM_CUT_BUT(n, err) (-(err) << 22 | ((int)(n) + 1))
/* The same with the whole write, or any other call, taking effect before the failure. */
#define IO_MEM_ALL_BUT_FAIL ((1 << 22) - 1)
#define IO_MEM_ALL_BUT(err) (-(err) << 22 | IO_MEM_ALL_BUT_FAIL)

/*
 * Called before each operation that can fail, with its name in struct store_io_ops and how often it
 * was called before (per name, from 0). 0: go on; ERR_*: fail with that and without effect; above
 * 0: see above. Called without a lock, so it may also wait.
 */
typedef int (*io_mem_fault)(void *ctx, const char *call, uint64_t nth);

/* NULL when memory is short. The random stream, and with it everything else, depends on seed. */
struct io_mem *io_mem_new(uint64_t seed);
/* A copy of all that is stored, with the same boot id and clocks, without hook and locks. */
struct io_mem *io_mem_clone(struct io_mem *medium);
/* Makes a medium to which nothing is attached what a new clone would be. ERR_NOMEM. */
int io_mem_restore(struct io_mem *medium, struct io_mem *from);
/* After all that was attached is closed. Accepts NULL. */
void io_mem_free(struct io_mem *medium);

/* A connection, to be closed with io->ops->close. NULL when memory is short. */
struct store_io *io_mem_attach(struct io_mem *medium);

/* fault NULL: none. Counts start again. Not while other threads use the medium. */
void io_mem_set_fault(struct io_mem *medium, io_mem_fault fault, void *ctx);
/* How often an operation was called since the medium was made or the hook was set. */
uint64_t io_mem_calls(struct io_mem *medium, const char *call);

void io_mem_set_boot_id(struct io_mem *medium, const uint8_t id[16]);
/* Both clocks stand still between calls of this. They start at 1 and 2 seconds. */
void io_mem_advance(struct io_mem *medium, uint64_t ns);
/* Bytes that head and segments may have together (ERR_FULL above); 0 = no bound. */
void io_mem_set_capacity(struct io_mem *medium, uint64_t bytes);

/*
 * The stored bytes, to look at and to damage; NULL when the object is not there. They are valid
 * until the next operation on the object. Not while other threads use the medium.
 */
uint8_t *io_mem_head(struct io_mem *medium, size_t *len_out);
uint8_t *io_mem_segment(struct io_mem *medium, uint64_t seq, size_t *len_out);
/* Cuts an object, or makes it longer with zeros; makes it if it is not there. ERR_NOMEM. */
int io_mem_resize_head(struct io_mem *medium, size_t len);
int io_mem_resize_segment(struct io_mem *medium, uint64_t seq, size_t len);
/* Removes head and segments, as if nothing had ever been stored. Nothing may be attached. */
void io_mem_clear(struct io_mem *medium);

#endif
