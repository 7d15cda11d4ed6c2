/*
 * mount_session.h - the libfuse session of a mount: made, attached to the mount point, run until
 * the file system is unmounted or a signal ends it.
 */
#ifndef VECFS_FS_MOUNT_SESSION_H
#define VECFS_FS_MOUNT_SESSION_H

#include "fs/fs.h"
#include "fs/options.h"

/* What to do when there is no thread for something. */
#define MOUNT_SESSION_MORE_THREADS "raise the limits on memory and processes (ulimit -v, ulimit -u)"

/*
 * Signals that end the mount are delivered to one thread of mount_session_run. Call before the
 * first thread is made, so that all threads inherit the mask. A SIGHUP that is ignored, as nohup sets
 * it, is none of them.
 */
void mount_session_block_signals(void);
/* Whether one of them waits to be delivered. */
bool mount_session_is_ending(void);

/* Makes fs->session for requests to fs. libfuse's own complaint becomes the sentence. */
int mount_session_open(struct fs *fs, const struct options *options, struct err_msg *msg);
/* Mounts. Warnings of libfuse and fusermount3 are left in *note_out, empty when there are none. */
int mount_session_attach(struct fs *fs, bool debug, struct err_msg *note_out, struct err_msg *msg);
/*
 * Serves requests; returns when unmounted or ended by SIGTERM, SIGINT or SIGHUP. ERR_AGAIN when there
 * is no thread or no memory for it.
 */
int mount_session_run(struct fs *fs, const struct options *options, struct err_msg *msg);
/* Unmounts if that has not happened, and frees fs->session. Accepts a NULL session. */
void mount_session_close(struct fs *fs);

#endif
