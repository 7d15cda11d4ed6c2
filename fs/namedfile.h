/*
 * namedfile.h - an open named query (named.h): writing the question, reading its answer.
 *
 * What is written goes into a copy of the question, which replaces it inside the write that ends with
 * a whole vector, or for large ones at flush. So descriptors that append whole vectors in turn lose
 * none of each other's. An answer is searched anew whenever a reader begins.
 */
#ifndef VECFS_FS_NAMEDFILE_H
#define VECFS_FS_NAMEDFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/named.h"

struct handle;

struct namedfile {
	struct named *named; /* a reference */
	uint8_t *bytes;	     /* owned; the question as changed here, when dirty */
	size_t len, cap;
	bool dirty; /* the changes are still to be put */
	bool told;  /* a close has already said what is wrong */
};

/* The question that a node stands for, with a reference, or NULL. */
struct named *namedfile_of(struct fs *fs, const struct node *node);
/* Makes a question below a NODE_SPEC, with a reference. ERR_INVALID with a sentence for its name. */
int namedfile_create(struct fs *fs, const struct node *spec, const char *name, struct call *call,
		     struct named **named_out);
/* ERR_ABSENT when there is none of that name. */
int namedfile_remove(struct fs *fs, const struct node *spec, const char *name);
/* Truncates the question of a node to nothing. ERR_ABSENT. */
int namedfile_clear(struct fs *fs, const struct node *node);
/* The answer to the question of a node. *text_out: mem_free. */
int namedfile_answer(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		     size_t *len_out);

/* The same in the format QUERY_LINKS; *batch_out: the names begin with the number of a query. */
int namedfile_answer_links(struct fs *fs, const struct node *node, struct call *call,
			   char **text_out, size_t *len_out, bool *batch_out);

int namedfile_open(struct fs *fs, struct handle *handle);
void namedfile_release(struct fs *fs, struct namedfile *file);

/* All of these: caller holds the handle's lock. */

/* Brings the answer into handle->text when a reader begins. */
int namedfile_read(struct fs *fs, struct handle *handle, uint64_t offset, struct call *call);
int namedfile_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
		    uint64_t offset, struct call *call);
int namedfile_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call);
/* ERR_INVALID with a sentence when a vector is not whole. */
int namedfile_finish(struct fs *fs, struct handle *handle, struct call *call);

#endif
