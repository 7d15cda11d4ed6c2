/*
 * nodes.h - how the graph reaches its nodes: on the store's pages (nodes_store.c), or in plain
 * arrays for bulk builds and unit tests (nodes_mem.c).
 *
 * A node record is 1 + cap aligned 32-bit words: the number of links, then the links (slot numbers).
 * Readers read without a lock while a writer changes words one at a time, atomically (relaxed): they
 * may see a mix of old and new links, each of which is a slot number that was once right. They bound
 * the number of links by cap themselves.
 */
#ifndef VECFS_ANN_NODES_H
#define VECFS_ANN_NODES_H

#include <stddef.h>
#include <stdint.h>

#define NODES_FETCH_PAGES 4u

struct ann_nodes;

struct ann_nodes_ops {
	/*
	 * A record for reading, valid until read_end. A slot that was never written reads as no links.
	 * ERR_DAMAGED, ERR_IO.
	 */
	int (*read)(struct ann_nodes *nodes, uint32_t slot, const uint32_t **record_out);
	/*
	 * The same record for changing, valid until read_end, zeroed where never written. The caller
	 * holds the lock of the slot's stripe and changes words with __atomic stores. ERR_NOMEM, ERR_IO,
	 * ERR_DAMAGED.
	 */
	int (*change)(struct ann_nodes *nodes, uint32_t slot, uint32_t **record_out);
	/*
	 * The same record when it is in memory, else NULL. Never waits, and tells of no error. work: room
	 * for a record of the caller's own, which may be what is returned.
	 */
	const uint32_t *(*peek)(struct ann_nodes *nodes, uint32_t slot, uint32_t *work);
	/* A hint: this record will be read next. Brings it near when it is in memory. */
	void (*prefetch)(struct ann_nodes *nodes, uint32_t slot);
	/*
	 * Of the n records, all of which will be read, brings those into memory that are on disk alone,
	 * with reads that are issued together: NODES_FETCH_PAGES at most, those of the first slots. Peek
	 * finds them then, if there is room.
	 */
	void (*fetch)(struct ann_nodes *nodes, const uint32_t *slots, uint32_t n);
	/*
	 * The full vector of a slot, valid until read_end, and a hint which will be asked for. For
	 * choosing links where codes say too little. NULL where there are none.
	 */
	int (*vector)(struct ann_nodes *nodes, uint32_t slot, const float **vector_out);
	void (*prefetch_vectors)(struct ann_nodes *nodes, const uint32_t *slots, size_t n);
	/* Brackets around every use of the above on one thread; cheap; may be nested. */
	void (*read_begin)(struct ann_nodes *nodes);
	void (*read_end)(struct ann_nodes *nodes);
	/* Forgets what is kept of nodes beside their pages. NULL where nothing is. */
	void (*forget)(struct ann_nodes *nodes);
	void (*free)(struct ann_nodes *nodes);
};

/* Implementations embed this as their first member. */
struct ann_nodes {
	const struct ann_nodes_ops *ops;
	uint32_t cap; /* links a record can hold */
};

/* Nodes in memory, chunked. Grows by itself. */
int nodes_mem_new(uint32_t cap, struct ann_nodes **nodes_out);
/* The vectors of all slots, dim numbers each, which stay the caller's. Before the first insert. */
void nodes_mem_set_vectors(struct ann_nodes *nodes, const float *vectors, uint32_t dim);
struct store;
/*
 * Nodes on the pages of STORE_GRAPH, page_size / (4 * (1 + cap)) to a page. The store outlives it.
 */
int nodes_store_new(struct store *store, uint32_t cap, struct ann_nodes **nodes_out);

#endif
