/*
 * freelist.h - the list of free extents on disk, kept in blocks that are free themselves.
 *
 * A chain of trunks (format.h), each one block with up to 509 extents, newest slot only. The page map
 * is the truth; the list is what check compares it with, and names the blocks that the older slot
 * still needs.
 */
#ifndef VECFS_STORE_FREELIST_H
#define VECFS_STORE_FREELIST_H

#include "store/head.h"
#include "store/pager.h"

/*
 * Writes the list for a slot that will publish META (and GRAPH when graph is set) and fills the
 * free_* fields of slot. The trunks of the last list are freed with META's next publication.
 * *trunks: places of the trunks of the last list in, of this one out.
 */
int freelist_write(struct pager *pager, bool graph, struct pager_extents *trunks,
		   struct head_slot *slot);

/* Called for each extent; needed: the older slot still refers to it. */
typedef int (*freelist_visit)(void *ctx, uint64_t block, uint64_t blocks, bool needed);
/*
 * Reads the list of a slot. ERR_DAMAGED when a trunk is bad, out of bounds or the chain is longer
 * than the head can hold. Trunk places are added to trunks_out (may be NULL).
 */
int freelist_read(struct store_io *io, const uint8_t uuid[16], const struct head_slot *slot,
		  struct pager_extents *trunks_out, freelist_visit visit, void *ctx);

#endif
