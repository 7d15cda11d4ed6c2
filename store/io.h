/*
 * io.h - the seam: the only way from the store to a disk, a clock, or randomness.
 *
 * A store is a set of named objects: the head (header, commit slots and pages) and log segments
 * numbered by a sequence. Two back ends: io_posix.c (a file, and segments STORE-wal.<seq> beside
 * it) and the simulator of the tests. Nothing above the seam renames, truncates, appends, locks a
 * file or syncs a directory, so that a replicated object store can be a third.
 *
 * Every call returns 0 or a negative ERR_* class:
 *   ERR_ABSENT      the object does not exist
 *   ERR_FULL        no space or quota; nothing durable changed, the caller may go on
 *   ERR_IO          the device refused
 *   ERR_DAMAGED     a read went past the end of the object: bytes that must exist do not
 *   ERR_UNKNOWN     the call may or may not have taken effect (a failed sync, for example)
 *   ERR_BUSY, ERR_EXISTS, ERR_PERMISSION, ERR_NOT_REGULAR, ERR_READONLY, ERR_NOMEM as they say
 * Calls are safe from several threads at once; overlapping writes are the caller's business.
 */
#ifndef VECFS_STORE_IO_H
#define VECFS_STORE_IO_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

#define STORE_IO_BOUNDARY (4u << 20) /* no page write or read crosses a multiple of this */

struct store_io;

struct store_io_read {
	uint64_t offset;
	void *buf;
	uint32_t length;
	int result; /* out: 0 or ERR_*, for this read alone */
	/*
	 * Called when result is known, by the thread that asked, while others of the batch may be under
	 * way. NULL: nobody wants to know.
	 */
	void (*arrived)(void *ctx, struct store_io_read *read);
	void *ctx;
};

enum store_clock {
	STORE_CLOCK_MONOTONIC, /* ns since any fixed point, also while the machine sleeps */
	STORE_CLOCK_REALTIME,  /* ns since 1970 */
};

struct store_io_ops {
	/* --- the head object --- */

	/* Makes the head with these first bytes, all or nothing, durable; ERR_EXISTS if it is there. */
	int (*create)(struct store_io *io, const void *bytes, size_t len);
	/*
	 * Opens the head; writable takes the exclusive lock that excludes every other opener (ERR_BUSY),
	 * read-only takes a shared one. Called once, before any of the calls below.
	 */
	int (*open)(struct store_io *io, bool writable, struct err_msg *msg);
	/*
	 * Takes away the head, which is open for writing, durably. The lock stays until close, and who
	 * waits for it finds no head then. ERR_ABSENT, ERR_EXISTS: its name is gone, or is that of
	 * another object now, which stays.
	 */
	int (*remove)(struct store_io *io);
	int (*size)(struct store_io *io, uint64_t *bytes_out);
	/* Reads exactly len bytes; ERR_DAMAGED when the object ends before. */
	int (*read)(struct store_io *io, uint64_t offset, void *buf, size_t len);
	/* Reads n pieces, in any order and at once where the system can; each has its own result. */
	void (*read_batch)(struct store_io *io, struct store_io_read *reads, size_t n);
	/* Tells that these ranges will be read soon. A hint; never fails. */
	void (*advise)(struct store_io *io, uint64_t offset, uint64_t len);
	/*
	 * Lets go of what is kept of a range between here and the disk, so that the next read is of the
	 * disk itself. Nothing that was written is lost. A hint; NULL where nothing is kept.
	 */
	void (*forget)(struct store_io *io, uint64_t offset, uint64_t len);
	/* Writes all bytes; durable only after sync. Extends the object when needed. */
	int (*write)(struct store_io *io, uint64_t offset, const void *buf, size_t len);
	/* Makes all finished writes durable. ERR_UNKNOWN when that failed: then never trust it again. */
	int (*sync)(struct store_io *io);
	/*
	 * Writes one commit slot (0 or 1), 4,096 bytes, and makes it durable, if the newest generation
	 * on disk is still expected_generation (ERR_FENCED otherwise). Without a valid slot that is 0.
	 * ERR_FULL means that it is not committed and never will be by itself: pages that it names are
	 * used again. When that cannot be known the result is ERR_UNKNOWN.
	 */
	int (*commit_slot)(struct store_io *io, unsigned slot, const void *block,
			   uint64_t expected_generation);
	/*
	 * Keeps room on the medium, so that the head can be written up to so many bytes without ERR_FULL.
	 * Its size stays. Lasts until discard cuts the end, or until this is called with fewer bytes than
	 * the head has: then all that was kept is given back. ERR_FULL: there is not so much, what was
	 * kept before is kept; ERR_UNSUPPORTED: this medium cannot promise anything.
	 */
	int (*reserve)(struct store_io *io, uint64_t bytes);
	/* Gives the space of a range back; it may read as zeros afterwards. A hint; never fails. */
	void (*discard)(struct store_io *io, uint64_t offset, uint64_t len);

	/* --- log segments --- */

	/* Makes segment seq with these first bytes, durable with its name; ERR_EXISTS. */
	int (*log_create)(struct store_io *io, uint64_t seq, const void *bytes, size_t len);
	/* The numbers of all segments, ascending, in *seqs_out (mem_free it), their count in *n_out. */
	int (*log_list)(struct store_io *io, uint64_t **seqs_out, size_t *n_out);
	int (*log_size)(struct store_io *io, uint64_t seq, uint64_t *bytes_out);
	/* Reads up to len bytes; *got_out is less than len only at the end of the segment. */
	int (*log_read)(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
			size_t *got_out);
	/* As forget, for all of a segment. NULL where nothing is kept. */
	void (*log_forget)(struct store_io *io, uint64_t seq);
	/* Writes at an explicit offset; repeating it with the same bytes harms nothing. */
	int (*log_write)(struct store_io *io, uint64_t seq, uint64_t offset, const void *buf,
			 size_t len);
	/*
	 * As reserve, for a segment. Nobody writes to it while it gives something back.
	 */
	int (*log_reserve)(struct store_io *io, uint64_t seq, uint64_t bytes);
	/* Makes what was written to the segment durable; the first time also its name, whoever made it. */
	int (*log_sync)(struct store_io *io, uint64_t seq);
	/* Removes the segment, durably; no error when it is not there. */
	int (*log_remove)(struct store_io *io, uint64_t seq);

	/* --- surroundings --- */

	uint64_t (*now_ns)(struct store_io *io, enum store_clock clock);
	/* Waits on a condition, whose mutex is held, for about ns at most. Wakes early as it likes. */
	void (*wait)(struct store_io *io, pthread_cond_t *cond, pthread_mutex_t *mutex,
		     uint64_t ns);
	int (*random)(struct store_io *io, void *buf, size_t len);
	/* Names the current boot of this machine; all zeros where it cannot be known. */
	void (*boot_id)(struct store_io *io, uint8_t id_out[16]);
	/* Bytes total, and still writable by this process, on the medium under the store. */
	int (*space)(struct store_io *io, uint64_t *total_out, uint64_t *free_out);
	/* A name for messages, for example the path. Lives as long as io. */
	const char *(*name)(struct store_io *io);
	/* Releases everything, the lock too, and io itself. Accepts an io that was never opened. */
	void (*close)(struct store_io *io);
};

/* Back ends embed this as their first member. */
struct store_io {
	const struct store_io_ops *ops;
};

/*
 * The POSIX back end for the file at path (made absolute now). Opens nothing yet. Caller closes it
 * with io->ops->close. Files are created 0600 with O_EXCL|O_NOFOLLOW.
 */
int io_posix_new(const char *path, struct store_io **io_out, struct err_msg *msg);
/*
 * Says how many bytes of the head the kernel may be expected to keep in its cache: a head larger than
 * that is read past it in batches, where system and file system can. Without this call never. Before
 * the first read.
 */
void io_posix_set_kernel_cache(struct store_io *io, uint64_t bytes);

#endif
