/*
 * io_posix.h - what the parts of the POSIX back end share: io_posix.c (making, opening),
 * io_posix_file.c (calls on files), io_posix_head.c (the head), io_posix_ring.c (many reads of it at
 * once), io_posix_log.c (log segments), io_posix_machine.c (clocks, boot).
 */
#ifndef VECFS_STORE_IO_POSIX_H
#define VECFS_STORE_IO_POSIX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/io.h"

struct io_posix_segment;

/* Open log segments. */
struct io_posix_logs {
	pthread_mutex_t lock;
	struct io_posix_segment **open; /* guarded by lock */
	size_t n, cap;			/* guarded by lock */
	uint64_t clock;			/* guarded by lock; counts uses */
};

struct io_posix_ring;

/* Reading the head past the kernel's cache: io_posix_ring.c. */
struct io_posix_direct {
	uint64_t kernel_cache; /* a larger head is read so; UINT64_MAX: none. Set before reads */
	pthread_mutex_t lock;
	int fd;			    /* guarded by lock; -1: not opened */
	bool refused;		    /* guarded by lock: it cannot be opened */
	struct io_posix_ring *idle; /* guarded by lock */
};

struct io_posix {
	struct store_io io; /* first: the ops get a pointer to it */
	char *path;	    /* absolute */
	const char *file;   /* last part of path */
	int dir_fd;	    /* of the directory, -1 before create or open */
	int fd;		    /* of the head, -1 before open */
	bool writable;	    /* set by open */
	/* writers of the head share it; cutting its end excludes them */
	pthread_rwlock_t size_lock;
	pthread_mutex_t sync_lock; /* one sync of the head at a time */
	bool sync_failed;	   /* guarded by sync_lock; for good */
	struct io_posix_logs logs;
	struct io_posix_direct direct;
};

/* --- io_posix_file.c: files relative to a directory; all return 0 or ERR_* --- */

/* The class of an errno, never 0. */
int io_posix_class(int error);

enum io_posix_mode {
	IO_POSIX_READ,
	IO_POSIX_WRITE,
	IO_POSIX_CREATE, /* must not exist; 0600; readable and writable */
};

/* ERR_NOT_REGULAR for links, directories and devices. The caller closes *fd_out (-1 on error). */
int io_posix_open_file(int dir_fd, const char *name, enum io_posix_mode mode, int *fd_out);
int io_posix_size_of(int fd, uint64_t *bytes_out);
/* *got_out is less than len only at the end of the file. */
int io_posix_read_at(int fd, uint64_t offset, void *buf, size_t len, size_t *got_out);
int io_posix_write_at(int fd, uint64_t offset, const void *buf, size_t len);
/* ERR_UNKNOWN when it fails. The kernel tells a lost write only once: the caller remembers it. */
int io_posix_sync_data(int fd);
/* The same for all metadata too, and for directories. */
int io_posix_sync_all(int fd);
/*
 * Takes blocks for the file up to so many bytes, beyond its end too, and leaves its size. With fewer
 * bytes than the file has, what lies beyond its end is given back.
 */
int io_posix_keep_room(int fd, uint64_t bytes);
int io_posix_unlink(int dir_fd, const char *name);
/* Calls visit for each name; a non-zero result stops and is returned. */
int io_posix_list(int dir_fd, int (*visit)(void *ctx, const char *name), void *ctx);

/* --- io_posix_head.c, io_posix_log.c, io_posix_machine.c: the ops of io.h of the same names --- */

int io_posix_head_size(struct store_io *io, uint64_t *bytes_out);
int io_posix_head_read(struct store_io *io, uint64_t offset, void *buf, size_t len);
void io_posix_head_read_batch(struct store_io *io, struct store_io_read *reads, size_t n);
void io_posix_head_advise(struct store_io *io, uint64_t offset, uint64_t len);
void io_posix_head_forget(struct store_io *io, uint64_t offset, uint64_t len);
int io_posix_head_write(struct store_io *io, uint64_t offset, const void *buf, size_t len);
int io_posix_head_sync(struct store_io *io);
int io_posix_head_commit_slot(struct store_io *io, unsigned slot, const void *block,
			      uint64_t expected_generation);
void io_posix_head_discard(struct store_io *io, uint64_t offset, uint64_t len);
int io_posix_head_reserve(struct store_io *io, uint64_t bytes);

int io_posix_log_create(struct store_io *io, uint64_t seq, const void *bytes, size_t len);
int io_posix_log_list(struct store_io *io, uint64_t **seqs_out, size_t *n_out);
int io_posix_log_size(struct store_io *io, uint64_t seq, uint64_t *bytes_out);
int io_posix_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
		      size_t *got_out);
void io_posix_log_forget(struct store_io *io, uint64_t seq);
int io_posix_log_write(struct store_io *io, uint64_t seq, uint64_t offset, const void *buf,
		       size_t len);
int io_posix_log_reserve(struct store_io *io, uint64_t seq, uint64_t bytes);
int io_posix_log_sync(struct store_io *io, uint64_t seq);
int io_posix_log_remove(struct store_io *io, uint64_t seq);
uint64_t io_posix_now_ns(struct store_io *io, enum store_clock clock);
void io_posix_wait(struct store_io *io, pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ns);
void io_posix_boot_id(struct store_io *io, uint8_t id_out[16]);

void io_posix_direct_init(struct io_posix_direct *direct);
void io_posix_direct_release(struct io_posix_direct *direct);
/* Whether the kernel cannot keep the head, as io_posix_set_kernel_cache was told. */
bool io_posix_past_cache(const struct io_posix *p);
/* Reads what it can past the kernel's cache: those get the result 0, the others keep theirs. */
void io_posix_ring_read(struct io_posix *p, struct store_io_read *reads, size_t n);

/* Closes all segments and empties the table. */
void io_posix_logs_release(struct io_posix_logs *logs);

/* Bytes that the name of a segment has more than that of the store: "-wal." and 20 digits. */
#define IO_POSIX_LOG_SUFFIX 25u

#endif
