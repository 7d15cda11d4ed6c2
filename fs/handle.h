/*
 * handle.h - one open file: what it holds, and reading, writing, closing it.
 *
 * What is read and written stands in memory bounded for each handle and for the mount together.
 * A handle's lock is taken before all locks of inode.h.
 */
#ifndef VECFS_FS_HANDLE_H
#define VECFS_FS_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/jsonfile.h"
#include "fs/namedfile.h"
#include "fs/run.h"
#include "fs/vecfile.h"
#include "fs/waiting.h"

#define HANDLE_BYTES_MAX (64ull << 20) /* of one handle; buffered.h has those of all */

enum handle_kind {
	HANDLE_TEXT,	/* a text made at open: README, status, an answer */
	HANDLE_VECTOR,	/* vecfile.h */
	HANDLE_JSON,	/* jsonfile.h; its node is that of the vector */
	HANDLE_RUN,	/* run.h */
	HANDLE_NAMED,	/* namedfile.h, open for writing */
	HANDLE_CONTROL, /* each write is carried out */
};

struct handle {
	struct opened opened; /* in fs->handles; first */
	enum handle_kind kind;
	struct node *node; /* open as long as the handle */
	bool readable, writable, append;
	struct waiting lock;
	size_t reserved; /* guarded by lock; bytes counted in fs->buffered */
	char *text;	 /* HANDLE_TEXT: owned, fixed; HANDLE_NAMED: guarded by lock */
	size_t text_len;
	struct vecfile vector; /* HANDLE_VECTOR, HANDLE_JSON; guarded by lock */
	struct jsonfile json;  /* HANDLE_JSON; guarded by lock */
	size_t text_cap;       /* guarded by lock; bytes reserved beside those that are asked for */
	struct run run;	       /* HANDLE_RUN; guarded by lock */
	struct namedfile named; /* HANDLE_NAMED; guarded by lock */
};

/* How a file is to be opened: open(2)'s flags, taken apart. */
struct handle_mode {
	bool read, write, append, truncate;
};

/* How the kernel shall treat the handle. */
struct handle_cache {
	bool direct;	  /* every read and write comes here */
	bool keep;	  /* what it has cached is still right */
	bool quiet_close; /* need not say when a descriptor is closed */
	bool retry;	  /* better look the name up again and open what it is then */
};

/*
 * Opens a node; for a query this searches. ERR_PERMISSION, ERR_READONLY, ERR_ABSENT, ERR_NOMEM and
 * what ann_get and ann_search say.
 */
int handle_open(struct fs *fs, struct node *node, const struct handle_mode *mode, struct call *call,
		struct handle **handle_out, struct handle_cache *cache_out);
/*
 * Wraps a handle, HANDLE_VECTOR or HANDLE_JSON, around a vector just created (inode_new_vector, which
 * opened its node).
 */
int handle_create(struct fs *fs, enum handle_kind kind, struct node *node,
		  const struct handle_mode *mode, struct call *call, struct handle **handle_out,
		  struct handle_cache *cache_out);
/*
 * Frees it and closes its node. What was not written whole is dropped: then *dropped_out is true and
 * call->msg says what.
 */
void handle_close(struct fs *fs, struct handle *handle, struct call *call, bool *dropped_out);
/*
 * Frees those that are still open when no request comes any more: the kernel need not have told of every
 * close before an unmount. Nodes go with the inode table.
 */
void handle_free_all(struct fs *fs);

/*
 * The bytes from offset on, at most size. They stay valid until handle_read_done, which must follow
 * when it returned 0.
 */
int handle_read(struct fs *fs, struct handle *handle, uint64_t offset, size_t size,
		struct call *call, const void **bytes_out, size_t *len_out);
void handle_read_done(struct handle *handle);
/*
 * All of the bytes or none. It may tell the caller so (call->succeed) and go on with them.
 */
int handle_write(struct fs *fs, struct handle *handle, const void *bytes, size_t len,
		 uint64_t offset, struct call *call);
/* Bytes that a reader of the text of a vector gets. */
size_t handle_text_size(struct handle *handle);
/* A descriptor was closed; there may be others. */
int handle_flush(struct fs *fs, struct handle *handle, struct call *call);
int handle_sync(struct fs *fs, struct handle *handle, struct call *call);
int handle_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call);

/* Changes what a handle counts; ERR_TOO_BIG above its bound, ERR_NOMEM above the mount's. */
int handle_reserve(struct fs *fs, struct handle *handle, size_t bytes, struct err_msg *msg);
/*
 * Gives a buffer of the handle the size cap; the handle then counts so many bytes in all. On an error,
 * of handle_reserve or ERR_NOMEM, the buffer and the count are as they were.
 */
int handle_grow(struct fs *fs, struct handle *handle, uint8_t **bytes, size_t *cap_out, size_t cap,
		size_t in_all, struct err_msg *msg);

#endif
