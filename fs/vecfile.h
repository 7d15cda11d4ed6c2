/*
 * vecfile.h - an open vector: its bytes as this handle sees them, and when they are committed.
 *
 * A handle opened for writing changes a copy. It is committed, whole, inside the write that makes it
 * whole; otherwise at flush or sync.
 *
 * States:
 *   clean  the bytes are the stored ones, or nothing yet; fetched again when the node has moved on
 *   dirty  bytes were written that are not committed. They begin with the stored vector (`patch`) or
 *          with nothing: after O_TRUNC, truncation to 0, and in a new file. A patch of one piece
 *          changes that piece of what is stored when it is committed
 * When a write commits:
 *   1. bytes 0 ... dim * 4 have been written, in pieces that touch: at once
 *   2. a patch somewhere inside: at once; but if it is refused and ends inside a number, the rest of
 *      the number is waited for
 *   3. a patch from byte 0 on may be the beginning of a whole vector: at flush, unless 1 comes first
 *   4. pieces that do not touch: of a patch each by itself; else at flush, if the length is right; holes
 *      are zeros, as in any file
 *   5. the dimension is not known yet: at flush, with any whole number of float32
 *
 * O_TRUNC comes as a truncation of the node, right after the open and without its handle. So it
 * counts for the handles that have not been used yet. (The other way, where the open carries it,
 * has the kernel take the file for empty, and readers of the stored vector would read nothing.)
 */
#ifndef VECFS_FS_VECFILE_H
#define VECFS_FS_VECFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

struct handle;

struct vecfile {
	uint8_t *bytes; /* owned */
	size_t len, cap;
	uint64_t version;     /* of the node, when clean; 0: nothing fetched */
	uint64_t lsn;	      /* of what was fetched; 0: nothing */
	bool frozen;	      /* the kernel caches pages of this content: keep to it */
	bool fresh;	      /* a clean file begins with nothing instead of what is stored ... */
	uint64_t fresh_at;    /* ... while the node has this version */
	bool used;	      /* read, written or truncated since it was opened */
	uint64_t truncations; /* of the node, at open */
	bool dirty, patch;
	bool scattered;	  /* what was written is not one piece */
	size_t low, high; /* the piece written since the last commit, unless scattered */
	bool unsynced;	  /* committed since the last sync */
	bool overrun;	  /* more was written than any vector has, and refused */
	bool told;	  /* a close has already said what is wrong */
	bool brought;	  /* the store has it from here, the kernel may not know its length */
	uint64_t writer;  /* the thread that wrote last: the kernel lets them write in turn */
};

/* fresh: the file begins empty. fetch_now: take the stored bytes at once. */
int vecfile_open(struct fs *fs, struct handle *handle, bool fresh, bool fetch_now,
		 struct err_msg *msg);
void vecfile_release(struct vecfile *file);
/*
 * Just opened: whether it is there for who opens it, though the name by which it was found may have gone
 * since. It is not when it was removed, is to be read, and nothing else has its name. A new one whose last
 * handle was closed before it was whole gets its name back, unless another one has it.
 */
bool vecfile_there(struct fs *fs, struct handle *handle);

/* All of these: caller holds the handle's lock. */

/* Brings the bytes up to date with the store, unless they are changed. */
int vecfile_read(struct fs *fs, struct handle *handle, struct err_msg *msg);
int vecfile_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
		  uint64_t offset, struct call *call);
int vecfile_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call);
/* Commits what can be committed; ERR_INVALID with a sentence when it is not a whole vector. */
int vecfile_finish(struct fs *fs, struct handle *handle, struct call *call);
/* A descriptor is closed by this thread; 0: the last one. */
void vecfile_closed(struct fs *fs, struct handle *handle, uint64_t thread);
/* Whether something would be lost now; says what. */
bool vecfile_incomplete(struct fs *fs, const struct vecfile *file, struct err_msg *msg);

#endif
