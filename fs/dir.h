/*
 * dir.h - lookup and listing over the whole tree. Neither searches.
 */
#ifndef VECFS_FS_DIR_H
#define VECFS_FS_DIR_H

#include <stdbool.h>
#include <sys/stat.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

struct dir_entry {
	struct node *node; /* with a reference of the kernel; NULL where none is counted */
	uint64_t id;	   /* the number that the reference is for */
	struct stat st;
	double timeout; /* seconds that the kernel may rely on the name */
};

/*
 * The entry called name. ERR_ABSENT (with a sentence when the name is malformed, without when it is
 * merely not there), ERR_INVALID, ERR_NAME_LONG, ERR_PERMISSION, ERR_LIMIT ...
 */
int dir_lookup(struct fs *fs, struct node *parent, const char *name, struct call *call,
	       struct dir_entry *entry_out);
/* ERR_PERMISSION unless the caller may enter: names below /query are their owner's. */
int dir_may_enter(const struct fs *fs, const struct node *node, struct call *call);

/*
 * Takes one entry; next is the cookie from which a listing goes on after it. Returns false when
 * there is no room: the entry is then given back.
 */
typedef bool (*dir_add)(void *ctx, const char *name, const struct dir_entry *entry, uint64_t next);
/*
 * Lists a directory from a cookie (0: its start). plus: entries come with nodes and references.
 * Cookies of /vectors are never used for another entry, so that a listing goes on where it was
 * whatever has been removed meanwhile.
 */
int dir_list(struct fs *fs, struct node *node, uint64_t cookie, bool plus, struct call *call,
	     dir_add add, void *ctx);

#endif
