/*
 * run.h - an open /query/<k>/run: vectors are written, then the answer is read; and so on.
 *
 * The vectors written since the last read are one batch. A batch of one is searched inside the
 * write that completes it, so that errors come from write(). Of a larger one, what is there is
 * searched as soon as it is enough for several threads, after the write was answered and while the
 * caller writes on; the rest at the first read, which reports what went wrong. A read goes through
 * the answer from its start, whatever the offset, until a write begins the next batch.
 */
#ifndef VECFS_FS_RUN_H
#define VECFS_FS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/answer.h"
#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

struct handle;

struct run {
	uint8_t *bytes; /* of the batch, what is not searched yet; owned */
	size_t len, cap;
	size_t searched;	 /* vectors of the batch before those */
	struct answer_text text; /* the answer, as far as it goes */
	size_t at;		 /* bytes of it read */
	bool alone;		 /* `text` is of the one vector in `bytes`, should no other come */
	bool failed;		 /* a search failed after its write: a read has to tell */
	bool refused;		 /* a read has said that the batch has no answer */
	bool reading;
};

void run_release(struct run *run);
/* Both: caller holds the handle's lock. A write may call call->succeed, and go on with its bytes. */
int run_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
	      struct call *call);
/* The next bytes of the answer; valid until the lock is given up. ERR_INVALID: half a vector. */
int run_read(struct fs *fs, struct handle *handle, size_t size, struct call *call,
	     const void **bytes_out, size_t *len_out);
/* Whether half a vector is there; says so. */
bool run_incomplete(struct fs *fs, const struct run *run, struct err_msg *msg);

#endif
