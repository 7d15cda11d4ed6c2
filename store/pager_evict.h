/*
 * pager_evict.h - making room among the frames, for pager.c alone. pager->lock is held.
 */
#ifndef VECFS_STORE_PAGER_EVICT_H
#define VECFS_STORE_PAGER_EVICT_H

#include "store/pager.h"

#define PAGER_HEAT_MAX 3u /* chances that a page can have when the clock hand passes */

/* Bytes of frames in use, and what is charged. */
uint64_t pager_resident_bytes(struct pager *pager);
/* Evicts a share of the frames when they are beyond the limit. */
void pager_evict_excess(struct pager *pager);
/* After a miss. True, with the share of hits, when thrashing begins with it. */
bool pager_count_miss(struct pager *pager, double *rate_out);

#endif
