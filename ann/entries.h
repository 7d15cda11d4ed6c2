/*
 * entries.h - where searches start.
 *
 * Private to the graph. Entries may be tombstones, or slots that are ABSENT by now, which searches
 * skip; these functions put that right.
 */
#ifndef VECFS_ANN_ENTRIES_H
#define VECFS_ANN_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "ann/graph.h"

/* Searches from the entries found nothing: chooses others. False when no slot below n is LINKED. */
bool entries_renew(struct graph *graph, uint32_t n);

/*
 * Makes slot an entry and sets it LINKED, unless another slot below n is LINKED: then it returns
 * false, and a search finds that one.
 */
bool entries_claim(struct graph *graph, uint32_t slot, uint32_t n);

/* Whether slot is one of the entries. */
bool entries_has(struct graph *graph, uint32_t slot);

#endif
