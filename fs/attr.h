/*
 * attr.h - what stat and statvfs show.
 */
#ifndef VECFS_FS_ATTR_H
#define VECFS_FS_ATTR_H

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/fs.h"
#include "fs/inode.h"

#define ATTR_BLOCK 512u
/* Makes writers that buffer by st_blksize hand over a whole vector at once. */
#define ATTR_IO_SIZE 65536u
/* st_ino of the text of a vector is so much more than that of the vector. */
#define ATTR_TEXT_NUMBER (1ull << 61)

/* Bytes of a vector here; 0 until the dimension is known. */
size_t attr_vector_size(const struct fs *fs);
/* Now, ns since 1970. */
int64_t attr_now(const struct fs *fs);

/* Attributes of a node; searches nothing. ERR_ABSENT when a vector's entry is gone; ERR_IO ... */
int attr_node(struct fs *fs, struct node *node, struct stat *st_out);
/* The same for a caller that holds `names`. */
int attr_node_locked(struct fs *fs, struct node *node, struct stat *st_out);
/* Attributes of a vector from its entry in the store. */
void attr_entry(struct fs *fs, const struct store_entry *entry, struct stat *st_out);
/*
 * Changes attributes of a vector or of the directory /vectors. mask: enum store_attr_mask.
 * ERR_PERMISSION for any other node.
 */
int attr_change(struct fs *fs, struct node *node, const struct store_attr *attr, unsigned mask);
void attr_filesystem(struct fs *fs, struct statvfs *st_out);

#endif
