/*
 * jsonfile.h - an open /json/<id>: the vector as text, and when text that was written is committed.
 *
 * The handle holds a text of its own, made when it is opened. What is written changes it; read as
 * numbers (json.h) it becomes the vector through vecfile.h, so that all that is said there of
 * commits holds here. A text is read as numbers
 *   1. inside a write, when the text began empty and grew at its end alone, and now ends with a
 *      bracket or a line's end: if it is a vector it is committed, if no end can make it one it is
 *      refused
 *   2. at flush and sync, in all other cases
 * Holes are blanks. O_TRUNC comes as for vecfile.h.
 */
#ifndef VECFS_FS_JSONFILE_H
#define VECFS_FS_JSONFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"

struct handle;

struct jsonfile {
	char *text; /* owned; terminated when not NULL */
	size_t len, cap;
	bool growing; /* it began empty, and each write was at its end */
	bool dirty;   /* changed since the last commit, by more than blanks at the end */
	bool told;    /* a close has already said what is wrong */
};

/* fresh: it begins empty. */
int jsonfile_open(struct fs *fs, struct handle *handle, bool fresh, struct err_msg *msg);
void jsonfile_release(struct jsonfile *file);

/* All of these: caller holds the handle's lock. */

void jsonfile_read(struct fs *fs, struct handle *handle);
int jsonfile_write(struct fs *fs, struct handle *handle, const char *bytes, size_t len,
		   uint64_t offset, struct call *call);
int jsonfile_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call);
/* Commits what was written; ERR_INVALID, ERR_TOO_BIG with a sentence when it is no vector. */
int jsonfile_finish(struct fs *fs, struct handle *handle, struct call *call);

#endif
