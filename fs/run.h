/*
 * run.h - an open /query/<k>/run: vectors are written, then the answer is read; and so on.
 *
 * The vectors written since the last read are one batch. A batch of one is searched inside the
 * write that completes it, so that errors come from write(); a larger one at the first read. A read
 * goes through the answer from its start, whatever the offset, until a write begins the next batch.
 */
#ifndef VECFS_FS_RUN_H
#define VECFS_FS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

struct handle;

struct run {
	uint8_t *bytes; /* the batch; owned */
	size_t len, cap;
	char *answer; /* of this batch; NULL when it has to be searched; owned */
	size_t answer_len;
	size_t at; /* bytes of the answer read */
	bool reading;
};

void run_release(struct run *run);
/* Both: caller holds the handle's lock. */
int run_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
	      struct call *call);
/* The next bytes of the answer; valid until the lock is given up. ERR_INVALID: half a vector. */
int run_read(struct fs *fs, struct handle *handle, size_t size, struct call *call,
	     const void **bytes_out, size_t *len_out);
/* Whether half a vector is there; says so. */
bool run_incomplete(struct fs *fs, const struct run *run, struct err_msg *msg);

#endif
