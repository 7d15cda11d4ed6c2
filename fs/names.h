/*
 * names.h - names in /vectors that come, go and change.
 */
#ifndef VECFS_FS_NAMES_H
#define VECFS_FS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

/*
 * A new vector without content: the store sees it when it is written whole. Its node has one
 * reference of the kernel and is open once. mode: permission bits. ERR_EXISTS, ERR_INVALID,
 * ERR_NAME_LONG, ERR_READONLY ...
 */
int names_create(struct fs *fs, const char *name, uint32_t mode, struct call *call,
		 struct node **node_out);
/* Handles that are open keep what they have. unseen: see listing_changed. ERR_ABSENT ... */
int names_unlink(struct fs *fs, const char *name, bool unseen);
/*
 * flags: enum store_rename_flags. unseen: see listing_changed. ERR_BUSY when the vector that is not written whole yet would
 * replace a stored one, or be exchanged with one.
 */
int names_rename(struct fs *fs, const char *from, const char *to, unsigned flags, bool unseen,
		 struct call *call);

#endif
