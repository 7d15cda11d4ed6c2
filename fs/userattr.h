/*
 * userattr.h - extended attributes of vectors: those with names user.*, and no others.
 *
 * A vector and its text have the same ones. They are kept with a vector of the store, so one that is
 * loose has none; everything else in the tree has none either.
 */
#ifndef VECFS_FS_USERATTR_H
#define VECFS_FS_USERATTR_H

#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

/* Room for the list of a vector. */
struct userattr_list {
	uint8_t bytes[XATTRS_BYTES_MAX];
	struct xattrs xattrs; /* in bytes */
};

enum userattr_flags {
	USERATTR_CREATE = 1,  /* ERR_EXISTS when it is there */
	USERATTR_REPLACE = 2, /* ERR_ABSENT when it is not */
};

/* Whether there can be an attribute of this name; looks at nothing else. */
bool userattr_is_name(const char *name);
/* All attributes of a node, an empty list when it can have none. ERR_IO, ERR_DAMAGED. */
int userattr_list(struct fs *fs, struct node *node, struct userattr_list *list_out);
/*
 * Sets one, or with value NULL removes it: ERR_ABSENT when it is not there. ERR_UNSUPPORTED: not on
 * this node, or no name of an attribute; ERR_TOO_BIG: the value would not fit alone; ERR_FULL: not with
 * the others, or on the disk; ERR_READONLY ...
 */
int userattr_set(struct fs *fs, struct node *node, const char *name, const void *value, size_t size,
		 unsigned flags, struct call *call);

#endif
