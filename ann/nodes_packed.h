/*
 * nodes_packed.h - nodes of pages that are on disk, in a fourth of their bytes, where memory is short.
 *
 * A page that a search reads past the cache is kept as its links alone: for each node the differences
 * of its links from its own slot, in as few bytes as they need. In the order that `vecfs compress` writes
 * they are small.
 *
 * Threads: nodes_packed_get is lock-free, inside store_read_begin/_end. A page is put while the store holds
 * off all who would change it, and dropped by whoever changes it, after the page is in memory and before
 * its bytes change; so what is here is what is on disk.
 */
#ifndef VECFS_ANN_NODES_PACKED_H
#define VECFS_ANN_NODES_PACKED_H

#include <stdbool.h>
#include <stdint.h>

struct store;
struct packed;

/* per_page records of 1 + cap words each are on a page. ERR_NOMEM. */
int nodes_packed_new(struct store *store, uint32_t cap, uint32_t per_page,
		     struct packed **packed_out);
void nodes_packed_free(struct packed *packed); /* accepts NULL */

/* The record of a slot, if its page is here: 1 + cap words, of which those in use are filled. */
bool nodes_packed_get(struct packed *packed, uint32_t slot, uint32_t *record_out);
/* Whether the page is here. */
bool nodes_packed_has(struct packed *packed, uint32_t page);
/* Keeps a page; others go for it, and so does this one when there is no memory. */
void nodes_packed_put(struct packed *packed, uint32_t page, const uint32_t *records);
void nodes_packed_drop(struct packed *packed, uint32_t page);
/* Forgets all. */
void nodes_packed_clear(struct packed *packed);

#endif
