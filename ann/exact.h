/*
 * exact.h - linear scans: queries against full vectors, each vector read once for all of them.
 */
#ifndef VECFS_ANN_EXACT_H
#define VECFS_ANN_EXACT_H

#include <stddef.h>
#include <stdint.h>

#include "ann/ann.h"
#include "ann/best.h"
#include "ann/collection.h"
#include "ann/scan.h"

struct exact_scan {
	struct ann *ann;
	const float *queries;	      /* n * dim */
	const float *norms;	      /* lengths of the queries */
	size_t n;		      /* 1 ... SCAN_BLOCK */
	uint64_t lsn;		      /* younger vectors are left out */
	struct best *best;	      /* n of them, started */
	bool (*cancelled)(void *ctx); /* may be NULL */
	void *cancel_ctx;
	struct err_msg *msg; /* may be NULL */
};

/*
 * Measures those of these slots that are live and adds them to the best of each query. A slot that
 * cannot be read is an error only while it is live: ERR_DAMAGED, ERR_IO with a sentence.
 * ERR_INTERRUPTED, ERR_NOMEM.
 */
int exact_slots(const struct exact_scan *scan, const uint32_t *slots, size_t n,
		enum store_hint hint);
/*
 * The same for all slots that are LINKED, without those of `pending` (ascending): measured before, they
 * may be linked by now, and an id that took two places among the best would push another out.
 */
int exact_linked(const struct exact_scan *scan, const uint32_t *pending, size_t n_pending);

/*
 * What to make of a slot whose vector did not read: 0 when it is not live any more, for dead ones
 * need not be readable; else err, with a sentence.
 */
int exact_judge(struct ann *ann, uint32_t slot, int err, struct err_msg *msg);

#endif
