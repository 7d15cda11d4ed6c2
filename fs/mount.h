/*
 * mount.h - `vecfs STORE MOUNTPOINT`: the whole life of a mount.
 */
#ifndef VECFS_FS_MOUNT_H
#define VECFS_FS_MOUNT_H

#include <stdbool.h>

/* Parses argv[1 ...] (see options.h) and mounts. Returns the exit code; 2 for wrong usage. */
int mount_run(int argc, char **argv, bool helper);

#endif
