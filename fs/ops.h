/*
 * ops.h - the requests of the kernel: the table that main.c gives to libfuse, and what it rests on.
 */
#ifndef VECFS_FS_OPS_H
#define VECFS_FS_OPS_H

#include "fs/fs.h"

struct fuse_lowlevel_ops;

/* The session's user data is the struct fs. */
extern const struct fuse_lowlevel_ops fs_ops;

/*
 * Makes the table of nodes and starts the notifier; fs->session, io, ann, status, uid, gid and
 * start_ns are set. In the process that serves: the notifier is a thread.
 */
int fs_init(struct fs *fs);
/*
 * Ends what must end while requests are still served; to be called before the session is told to
 * exit. Any thread, more than once.
 */
void fs_quiet(struct fs *fs);
/* After the last request. Accepts an fs that was never ready. */
void fs_release(struct fs *fs);

#endif
