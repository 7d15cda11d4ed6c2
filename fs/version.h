/*
 * version.h - the version of the program; that of the file format is in store/format.h.
 */
#ifndef VECFS_FS_VERSION_H
#define VECFS_FS_VERSION_H

#define VECFS_VERSION "0.1.0"

#endif
