/*
 * answer.h - from a node below /query, and vectors, to the text of an answer.
 */
#ifndef VECFS_FS_ANSWER_H
#define VECFS_FS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "fs/fs.h"
#include "fs/inode.h"

#define ANSWER_HITS_MAX (4u << 20) /* neighbours asked for by one batch */

/*
 * Searches the neighbours of one vector (4-byte aligned) by the options of the node's path.
 * *text_out: mem_free. ERR_INVALID when it is none.
 */
int answer_vector(struct fs *fs, const struct node *node, const void *bytes, size_t size,
		  struct call *call, char **text_out, size_t *len_out);

/* The text of a batch, which grows. Zero it first. */
struct answer_text {
	char *at; /* owned: mem_free */
	size_t len, cap;
};
/* Vectors of a batch, as ann_search_parts takes them. */
struct answer_batch {
	const struct node *node;
	const struct ann_part *parts;
	size_t n_parts;
	size_t before;	 /* vectors of the batch that have their lines already */
	ann_begun begun; /* may be NULL */
	void *ctx;	 /* of begun */
};
/*
 * Searches them and puts what it finds behind *text. Threads that search also render. ERR_TOO_BIG
 * when the whole batch is too large; after an error *text is as it was.
 */
int answer_vectors(struct fs *fs, const struct answer_batch *batch, struct call *call,
		   struct answer_text *text);
/* Whether a batch of n vectors is too large to be searched. */
bool answer_too_many(const struct node *node, size_t n);
/* The answer of a node of kind NODE_POINT or NODE_LIKE_ID. ERR_ABSENT when the vector is gone. */
int answer_node(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		size_t *len_out);
/* Bytes of one query vector when `have` bytes were given; 0 when they cannot be whole ones. */
size_t answer_vector_size(const struct fs *fs, size_t have);

#endif
