/*
 * persist.h - the graph on disk: publishing it with its codes and states, and taking it up again.
 *
 * STORE_GRAPH holds the nodes (nodes_store.c). STORE_CODE holds the codes of all slots, packed one
 * after the other: code s begins at byte s * code_bytes, pages are cut from that row of bytes.
 * STORE_AUX holds a header page (struct persist_format); from the next page on the centre of the
 * codes, dim float32; from the next page on a bitmap: bit s % 8 of byte s / 8 is set when the graph
 * held what is in slot s, as a node or (dead) a tombstone, at the moment of the freeze.
 *
 * What is read is not trusted: anything that does not fit means that there is no graph.
 */
#ifndef VECFS_ANN_PERSIST_H
#define VECFS_ANN_PERSIST_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/index.h"
#include "store/store.h"

#define PERSIST_MAGIC "vecfsann"
#define PERSIST_VERSION 1u
#define PERSIST_ORDER 0x01020304u

struct persist_format {
	uint8_t magic[8];	    /* 0 */
	uint8_t version[4];	    /* 8 */
	uint8_t order[4];	    /* 12: PERSIST_ORDER as the machine has it: nodes are words */
	uint8_t dim[4];		    /* 16 */
	uint8_t metric[4];	    /* 20 */
	uint8_t code_bits[4];	    /* 24 */
	uint8_t code_bytes[4];	    /* 28 */
	uint8_t degree[4];	    /* 32 */
	uint8_t cap[4];		    /* 36: links a record holds */
	uint8_t slots[4];	    /* 40: covered by the bitmap */
	uint8_t n_entries[4];	    /* 44 */
	uint8_t seed[8];	    /* 48: of the codes */
	uint8_t bitmap_checksum[8]; /* 56: FNV-1a, 64 bits */
	uint8_t centre_checksum[8]; /* 64: likewise */
	uint8_t entries[GRAPH_ENTRIES][4]; /* 72 */
	uint8_t checksum[8];		   /* 136: FNV-1a of bytes 0-135 */
};
static_assert(offsetof(struct persist_format, entries) == 72, "entries");
static_assert(offsetof(struct persist_format, checksum) == 136, "checksum");
static_assert(sizeof(struct persist_format) == 144, "header");

/* A published graph's header, checked by itself. */
struct persist_head {
	uint32_t dim, metric, code_bits, code_bytes, degree, cap, slots, n_entries;
	uint64_t seed, bitmap_checksum, centre_checksum;
	uint32_t entries[GRAPH_ENTRIES];
};

/*
 * ERR_ABSENT: nothing was published. ERR_DAMAGED: a sentence in msg. ERR_NOMEM. ERR_IO.
 */
int persist_read_head(struct store *store, struct persist_head *head_out, struct err_msg *msg);

/*
 * Reads centre, codes and entries into an index that was just set up, and the bitmap into *bitmap_out
 * (mem_free; head->slots bits). States are left to the caller. ERR_DAMAGED with a sentence when head
 * and index do not belong together or something does not read; then the codes are worth nothing.
 * Codes of other bits than the index has are not read: the caller makes them anew (recode.h).
 */
int persist_load(struct index *index, const struct persist_head *head, uint8_t **bitmap_out,
		 struct err_msg *msg);

/*
 * Publishes the graph. One at a time. After an error the previous one stands and everything counts
 * as changed still.
 */
int persist_flush(struct index *index, enum ann_metric metric);

#endif
