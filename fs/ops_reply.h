/*
 * ops_reply.h - what the files ops*.c share: the request at hand, and answering it with an error.
 *
 * To be included after FUSE_USE_VERSION is defined.
 */
#ifndef VECFS_FS_OPS_REPLY_H
#define VECFS_FS_OPS_REPLY_H

#include <fuse_lowlevel.h>

#include "fs/call.h"
#include "fs/dir.h"
#include "fs/fs.h"
#include "fs/inode.h"

/* A request being served. */
struct ops_request {
	fuse_req_t req;
	struct fs *fs;
	uint64_t begun_ns;     /* STORE_CLOCK_MONOTONIC */
	const char *operation; /* for status/errors */
	struct node *node;     /* that it names; the parent when there is a name */
	const char *name;      /* NULL: none */
	size_t size;	       /* bytes of a write */
	bool answered;	       /* by call.succeed: req is gone */
	struct call call;
};

/*
 * Decodes who asks and for what. False when the number names no node: then it has been answered.
 */
bool ops_begin(struct ops_request *r, fuse_req_t req, const char *operation, enum status_op op,
	       fuse_ino_t ino, const char *name);
/* Remembers a refusal in status/errors; the errno to answer with. code: a negative ERR_*. */
int ops_refused(struct ops_request *r, int code);
/* Answers with it as well. */
void ops_fail(struct ops_request *r, int code);
/* The same for what no class stands for: an operation that no file here allows. */
void ops_forbid(struct ops_request *r, const char *sentence);
/* The same with the sentence in r->call.msg, where an operation has an errno of its own. */
void ops_refuse(struct ops_request *r, int number, const char *errno_name);
/* Answers with the errno alone: what is no refusal, such as a name that is not there. */
void ops_fail_quietly(struct ops_request *r, int code);
/* Only remembers. */
void ops_remember(struct ops_request *r, int code);
/* Answers 0, or as ops_fail. */
void ops_done(struct ops_request *r, int code);
/* Answers 0 to the fuse_req_t; for notifier_errand_new. */
void ops_done_later(void *req);
void ops_entry_param(const struct dir_entry *entry, struct fuse_entry_param *param_out);

/* The operations of the files beside ops.c. */
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
	       struct fuse_file_info *fi);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		 struct fuse_file_info *fi);

/* Those that are still open when no request comes any more, as handle_free_all. */
void ops_free_folders(struct fs *fs);
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		     struct fuse_file_info *fi);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		  int flags);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* Seconds that the kernel may rely on attributes of a node. */
double ops_attr_timeout(const struct node *node);

#endif
