/*
 * answer.h - from a node below /query, and vectors, to the text of an answer.
 */
#ifndef VECFS_FS_ANSWER_H
#define VECFS_FS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

#define ANSWER_HITS_MAX (4u << 20) /* neighbours asked for by one batch */

/*
 * Searches the neighbours of n vectors (bytes of all, 4-byte aligned) by the options of the node's
 * path. n of 0 gives an empty answer. *text_out: mem_free. ERR_TOO_BIG for too large a batch.
 */
int answer_vectors(struct fs *fs, const struct node *node, const void *bytes, size_t n,
		   struct call *call, char **text_out, size_t *len_out);
/* The answer of a node of kind NODE_POINT or NODE_LIKE_ID. ERR_ABSENT when the vector is gone. */
int answer_node(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		size_t *len_out);
/* Bytes of one query vector when `have` bytes were given; 0 when they cannot be whole ones. */
size_t answer_vector_size(const struct fs *fs, size_t have);

#endif
