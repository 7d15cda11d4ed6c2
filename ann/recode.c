/*
 * recode.c - encodes the slots of a graph in blocks, each block a job of a worker.
 *
 * The bytes of a block of vectors are asked for together and used in one stay in the read section.
 */
#include "ann/recode.h"

#include <stdatomic.h>

#include "store/err.h"
#include "store/mem.h"
#include "store/store.h"

#define RECODE_BLOCK 256u /* slots */

struct recoding {
	struct index *index;
	const uint8_t *bitmap;
	uint32_t slots;
	_Atomic int err; /* the first one */
};

/* What cannot be read is missed when it lives; of the dead, only the way past them gets longer. */
static int judge(struct store *store, uint32_t slot, int err)
{
	enum store_slot_state state = STORE_SLOT_FREE;
	uint64_t lsn = 0;
	int state_err = store_slot(store, slot, &state, &lsn);

	if (state_err != 0)
		return state_err;
	return state == STORE_SLOT_LIVE ? err : 0;
}

static int encode_block(struct recoding *all, const uint32_t *slots, size_t n, void *scratch,
			uint8_t *code)
{
	struct index *index = all->index;
	int err = 0;

	store_read_begin(index->store);
	/* A hint: what cannot be read says so below. */
	store_value_prefetch(index->store, slots, n);
	for (size_t i = 0; i < n && err == 0; i++) {
		const void *value = NULL;

		err = store_value(index->store, slots[i], STORE_HINT_SCAN, &value);
		if (err != 0) {
			err = judge(index->store, slots[i], err);
			continue;
		}
		quant_encode(&index->quant, value, scratch, code);
		index_put_code(index, slots[i], code);
	}
	store_read_end(index->store);
	return err;
}

static void recode_job(void *ctx, size_t job)
{
	struct recoding *all = ctx;
	uint32_t first = (uint32_t)job * RECODE_BLOCK, slots[RECODE_BLOCK];
	uint8_t *code;
	void *scratch;
	int err = ERR_NOMEM, no_err = 0;
	size_t n = 0;

	if (atomic_load(&all->err) != 0)
		return;
	code = mem_alloc_aligned(64, all->index->quant.code_bytes);
	scratch = mem_alloc_aligned(64, quant_scratch_bytes(&all->index->quant));
	for (uint32_t i = 0; i < RECODE_BLOCK && i < all->slots - first; i++)
		if ((all->bitmap[(first + i) / 8] >> (first + i) % 8 & 1) != 0)
			slots[n++] = first + i;
	if (code != NULL && scratch != NULL)
		err = encode_block(all, slots, n, scratch, code);
	if (err != 0)
		(void)atomic_compare_exchange_strong(&all->err, &no_err, err);
	mem_free(scratch);
	mem_free(code);
}

int recode(struct index *index, struct workers *workers, const uint8_t *bitmap, uint32_t slots)
{
	struct recoding all = {.index = index, .bitmap = bitmap, .slots = slots};

	workers_run(workers, ((size_t)slots + RECODE_BLOCK - 1) / RECODE_BLOCK, recode_job, &all);
	atomic_fetch_add(&index->changed_nodes, 1);
	return atomic_load(&all.err);
}
