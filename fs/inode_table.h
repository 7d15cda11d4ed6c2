/*
 * inode_table.h - the table behind inode.h, shared by the files inode*.c alone.
 *
 * Two hash tables of chained nodes, by number and by (parent, name), of the same size; nodes below
 * /query also stand in a list, oldest first.
 *
 * Invariants (inode_check):
 * 1. every node but the fixed ones is in by_id; it is in by_name exactly when it is named
 * 2. a node with references, handles or children is never freed; others are freed at once
 * 3. queries and query_bytes count the nodes in the list and their names and digits
 * 4. uncommitted counts the nodes that are loose and named
 * 5. an alias has no name, no handles and no children; its parent is a vector
 * 6. likewise the node of a vector's text, of which a vector has one at most
 */
#ifndef VECFS_FS_INODE_TABLE_H
#define VECFS_FS_INODE_TABLE_H

#include <pthread.h>

#include "fs/inode.h"

#define INODE_STRIPES 64u
#define INODE_RETRIES 128u

struct inode_table {
	pthread_rwlock_t names;
	pthread_mutex_t stripes[INODE_STRIPES];
	pthread_mutex_t lock;
	uint64_t seed;
	struct node fixed[NODE_FIXED_END];
	struct node **by_id, **by_name;	      /* guarded by lock */
	size_t buckets, count;		      /* guarded by lock; buckets: a power of two */
	uint64_t next_renumbered, next_query; /* guarded by lock */
	struct node *oldest, *newest;	      /* guarded by lock */
	size_t queries;			      /* guarded by lock */
	uint64_t query_bytes;		      /* guarded by lock */
	size_t uncommitted;		      /* guarded by lock */
	uint64_t retries[INODE_RETRIES];      /* guarded by lock; callers told to retry; 0: free */
	size_t next_retry;	     /* guarded by lock; the place to give up when none is free */
	struct store_attr directory; /* guarded by lock */
	int64_t touched_ns;	     /* guarded by lock; by inode_touch_directory, last */
	bool shown;		     /* guarded by lock; somebody was given that time */
};

/* All of these: caller holds lock. */

struct node *inode_table_by_id(const struct inode_table *table, uint64_t id);
struct node *inode_table_by_name(const struct inode_table *table, const struct node *parent,
				 const char *name, size_t len);
/* A node without references, not in the table; its name is copied. NULL: out of memory. */
struct node *inode_table_make(enum node_kind kind, const char *name, size_t len);
/* Enters a node under its number, and its name (but for an alias) below parent. */
void inode_table_add(struct inode_table *table, struct node *parent, struct node *node);
/* Gives a node another number for the kernel. */
void inode_table_renumber(struct inode_table *table, struct node *node, uint64_t id);
void inode_table_link_name(struct inode_table *table, struct node *node);
void inode_table_unlink_name(struct inode_table *table, struct node *node);
bool inode_table_is_query(const struct node *node);
/* Bytes that a name below /query counts for. */
uint64_t inode_table_query_cost(const struct node *node);
/* Takes a name below /query out of the list and the counts. */
void inode_table_delist(struct inode_table *table, struct node *node);
/* Frees the node when nothing holds it, then its parent likewise. */
void inode_table_drop(struct inode_table *table, struct node *node);

#endif
