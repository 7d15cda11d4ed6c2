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

/* So long may the kernel rely on a name: all changes go through this mount. */
#define DIR_TIMEOUT 86400.0

struct links; /* links.h */

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
/* Replaces a vector in entry by its text, with the reference that entry holds, also on an error. */
int dir_text(struct fs *fs, struct dir_entry *entry);
/* A named query as the file that it is for whoever writes it, also where it reads as a folder. */
int dir_named_file(struct fs *fs, struct node *spec, const char *name, struct dir_entry *entry);
/* ERR_PERMISSION unless the caller may enter: names below /query are their owner's. */
int dir_may_enter(const struct fs *fs, const struct node *node, struct call *call);

/*
 * Takes one entry; next is the cookie from which a listing goes on after it. Returns false when
 * there is no room: the entry is then given back.
 */
typedef bool (*dir_add)(void *ctx, const char *name, const struct dir_entry *entry, uint64_t next);
/*
 * Lists a directory from a cookie (0: its start). links: of an open folder of links, else NULL. plus: entries come with nodes and references.
 * Cookies of /vectors are never used for another entry, so that a listing goes on where it was
 * whatever has been removed meanwhile.
 */
int dir_list(struct fs *fs, struct node *node, const struct links *links, uint64_t cookie,
	     bool plus, struct call *call, dir_add add, void *ctx);

#endif
