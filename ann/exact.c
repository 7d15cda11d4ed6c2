/*
 * exact.c - linear scans in blocks of SCAN_BLOCK vectors.
 *
 * A scan enters the store's read section for EXACT_STAY vectors at a time, so that pages can be
 * evicted and slots reused meanwhile. Whether a slot still belongs to the vector that was measured
 * is for the caller to find out afterwards.
 */
#include "ann/exact.h"

#include "store/err.h"

#define EXACT_STAY 512u	  /* vectors in one read section */
#define EXACT_AHEAD 64u	  /* vectors whose pages are asked for together */
#define EXACT_BATCH 4096u /* linked slots collected at a time */

int exact_judge(struct ann *ann, uint32_t slot, int err, struct err_msg *msg)
{
	enum store_slot_state state = STORE_SLOT_FREE;
	uint64_t lsn = 0;
	int state_err = store_slot(ann->store, slot, &state, &lsn);

	if (state_err != 0)
		return state_err;
	if (state != STORE_SLOT_LIVE)
		return 0;
	(void)err_set(msg, err, "the vector in slot %u cannot be read: %s; run vecfs check", slot,
		      err_str(err));
	return store_explain_slot(ann->store, slot, err, msg);
}

static int measure_block(const struct exact_scan *scan, const uint32_t *slots,
			 const float *const *vectors, size_t n)
{
	struct ann *ann = scan->ann;
	float distances[SCAN_BLOCK * SCAN_BLOCK];

	scan_block(ann->index.quant.kernels, ann->metric, scan->queries, scan->norms, scan->n,
		   vectors, n, ann->index.dim, distances);
	for (size_t q = 0; q < scan->n; q++)
		for (size_t v = 0; v < n; v++) {
			int err = best_add(&scan->best[q], distances[q * n + v], slots[v]);

			if (err != 0)
				return err;
		}
	return 0;
}

/* At most SCAN_BLOCK slots, inside the read section. */
static int scan_slots(const struct exact_scan *scan, const uint32_t *slots, const bool *live,
		      size_t n, enum store_hint hint)
{
	const float *vectors[SCAN_BLOCK];
	uint32_t found[SCAN_BLOCK];
	size_t n_found = 0;

	for (size_t i = 0; i < n; i++) {
		const void *value = NULL;
		int err;

		if (!live[i])
			continue;
		err = store_value(scan->ann->store, slots[i], hint, &value);
		if (err != 0) {
			err = exact_judge(scan->ann, slots[i], err, scan->msg);
			if (err != 0)
				return err;
			continue;
		}
		vectors[n_found] = value;
		found[n_found++] = slots[i];
	}
	return n_found > 0 ? measure_block(scan, found, vectors, n_found) : 0;
}

/* One stay in the read section. */
static int scan_stay(const struct exact_scan *scan, const uint32_t *slots, size_t n,
		     enum store_hint hint)
{
	struct store *store = scan->ann->store;
	bool live[EXACT_STAY];
	int err;

	store_read_begin(store);
	err = store_live_as_of(store, slots, n, scan->lsn, live);
	for (size_t i = 0; i < n && err == 0; i += SCAN_BLOCK) {
		/* A hint: a page that cannot be read says so when it is used. */
		if (i % EXACT_AHEAD == 0)
			store_value_prefetch(store, slots + i,
					     n - i < EXACT_AHEAD ? n - i : EXACT_AHEAD);
		err = scan_slots(scan, slots + i, live + i, n - i < SCAN_BLOCK ? n - i : SCAN_BLOCK,
				 hint);
	}
	store_read_end(store);
	return err;
}

int exact_slots(const struct exact_scan *scan, const uint32_t *slots, size_t n,
		enum store_hint hint)
{
	for (size_t i = 0; i < n; i += EXACT_STAY) {
		size_t stay = n - i < EXACT_STAY ? n - i : EXACT_STAY;
		int err;

		if (scan->cancelled != NULL && scan->cancelled(scan->cancel_ctx))
			return ERR_INTERRUPTED;
		err = scan_stay(scan, slots + i, stay, hint);
		if (err != 0)
			return err;
	}
	atomic_fetch_add_explicit(&scan->ann->scanned, (uint64_t)n * scan->n, memory_order_relaxed);
	return 0;
}

int exact_linked(const struct exact_scan *scan, const uint32_t *pending, size_t n_pending)
{
	const struct graph_states *states = &scan->ann->index.states;
	uint32_t end = atomic_load(&scan->ann->index.room);
	uint32_t slots[EXACT_BATCH];
	size_t n = 0, at = 0;

	if (end > store_slots(scan->ann->store))
		end = store_slots(scan->ann->store);
	for (uint32_t slot = 0; slot < end; slot++) {
		int err;

		while (at < n_pending && pending[at] < slot)
			at++;
		if (graph_state(states, slot) == GRAPH_LINKED &&
		    (at == n_pending || pending[at] != slot))
			slots[n++] = slot;
		if (n < EXACT_BATCH && slot + 1 < end)
			continue;
		err = exact_slots(scan, slots, n, STORE_HINT_SCAN);
		if (err != 0)
			return err;
		n = 0;
	}
	return 0;
}
