/*
 * links.h - an answer as a folder of symbolic links (format=links): 001-<id> leads to the vector.
 *
 * The answer of a folder is searched when the folder is opened, and stays the same for that
 * descriptor. Names are looked up in the answer that was searched last, if that was within the last
 * second; otherwise the lookup searches. Targets are relative, so that they hold wherever the mount
 * is. A link of a batch begins with the number of its query: 0-001-<id>.
 */
#ifndef VECFS_FS_LINKS_H
#define VECFS_FS_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/dir.h"
#include "fs/fs.h"
#include "fs/inode.h"

#define LINKS_MAX 100000u /* links of one folder */

struct links; /* an answer; counted references */
struct links_recent;

/* The answers searched last. Free after the last request; accepts NULL. */
int links_recent_new(struct links_recent **recent_out);
void links_recent_free(struct links_recent *recent);
/* As buffered_change. Answers that are kept though nobody has them open make room. */
int links_reserve(struct fs *fs, size_t *held, size_t bytes, bool tells, struct err_msg *msg);

/* Whether a node below /query is a folder of links. */
bool links_is_folder(const struct node *node);
/* Searches, and gives a reference. ERR_TOO_BIG above LINKS_MAX; what answers say otherwise. */
int links_open(struct fs *fs, const struct node *folder, struct call *call,
	       struct links **links_out);
void links_release(struct links *links); /* accepts NULL */
/* As dir_list, without nodes. cookie_base: cookie before the first link. */
void links_list(const struct links *links, const struct node *folder, uint64_t at,
		uint64_t cookie_base, dir_add add, void *ctx);
/* ERR_ABSENT; *link_out: what a node for it needs. */
int links_find(struct fs *fs, const struct node *folder, struct call *call, const char *name,
	       size_t len, struct inode_link *link_out);

/* Number that stat shows. */
uint64_t links_number(const struct node *folder, uint32_t index);
/* Writes the target of a NODE_LINK, terminated, as far as cap allows; returns its length. */
size_t links_target(const struct node *link, char *target, size_t cap);

#endif
