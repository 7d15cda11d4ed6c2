/*
 * mount_point.h - where a mount goes and what is mounted: paths, the device, /proc/self/mountinfo, dead
 * mounts.
 */
#ifndef VECFS_FS_MOUNT_POINT_H
#define VECFS_FS_MOUNT_POINT_H

#include <stdbool.h>

#include "store/err.h"

#define MOUNT_POINT_TYPE "fuse.vecfs"
#define MOUNT_POINT_DEVICE "/dev/fuse"

/*
 * The absolute path, without symbolic links, of a store that need not exist yet, or of a mount
 * point that may be dead. *path_out is mem_free'd by the caller. Sentences for a missing or
 * forbidden directory.
 */
int mount_point_resolve(const char *path, char **path_out, struct err_msg *msg);

/* Both absolute. ERR_INVALID when the store lies in the directory the mount would cover. */
int mount_point_check_apart(const char *store, const char *mountpoint, struct err_msg *msg);
/*
 * ERR_PERMISSION when others than its owner may write to the store's file, or may as soon as it is
 * made. It need not exist.
 */
int mount_point_check_store(const char *store, struct err_msg *msg);

/*
 * Makes sure that the (absolute) mount point is a directory. A dead mount of ours there, left by a
 * killed daemon, is detached; then *detached_out is true. With NULL for that it stays, as what can be
 * detached. A dead mount of another kind is an error.
 */
int mount_point_prepare(const char *mountpoint, bool *detached_out, struct err_msg *msg);

/*
 * Whether this user can open the device of FUSE. When not: ERR_PERMISSION, ERR_ABSENT or ERR_INVALID, and
 * why, what is expected, and what to do.
 */
int mount_point_check_device(const char *device, struct err_msg *msg);

struct mount_point_entry {
	char mountpoint[4096], type[64], source[4096];
	unsigned uid;	  /* who mounted it with FUSE; 0 where that is not said */
	bool allow_other; /* the kernel lets others in, too */
};
/*
 * Finds the last, that is topmost, mount for which one of these holds: mountpoint (unless NULL) is
 * its directory, source (unless NULL) is the store of a mount of ours. False when there is none.
 */
bool mount_point_find(const char *mountpoint, const char *source,
		      struct mount_point_entry *entry_out);
/*
 * Whether a mount of ours has this (absolute) mount point, and the kernel keeps this user out, since
 * another one mounted it without allow_other. Root, too, is kept out.
 */
bool mount_point_closed(const char *mountpoint, struct mount_point_entry *entry_out);

/* One line of /proc/self/mountinfo, cut at its fields in place. False when it is none. */
bool mount_point_parse(char *line, struct mount_point_entry *entry_out);

#endif
