/*
 * index.c - sets up graph, codes and states, and carries out single changes of them.
 *
 * Invariants:
 *   1. Room in states, codes and bits grows together; `room` is raised last.
 *   2. Codes are written word by word, atomically, because a flush may copy the page around them.
 *   3. A code is written only while its slot is ABSENT. A search that met the tombstone before it
 *      (vacate) may read half of each: an estimate, put right by the exact measurement.
 */
#include "ann/index.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "ann/scan.h"
#include "store/err.h"
#include "store/mem.h"
#include "store/store.h"

int index_init(struct index *index, struct store *store)
{
	pthread_rwlockattr_t attr;
	int err;

	memset(index, 0, sizeof(*index));
	index->changed = mem_zalloc(INDEX_CHUNKS, sizeof(*index->changed));
	if (index->changed == NULL)
		return ERR_NOMEM;
	err = graph_states_init(&index->states);
	if (err != 0) {
		mem_free(index->changed);
		index->changed = NULL;
		return err;
	}
	index->store = store;
	/* With many workers one is always inside; the flush that waits for a moment holds off checkpoints. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&index->freeze, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&index->grow_lock, NULL);
	return 0;
}

void index_release(struct index *index)
{
	if (index->changed == NULL)
		return;
	index_tear_down(index);
	for (size_t i = 0; i < INDEX_CHUNKS && index->changed[i] != NULL; i++)
		mem_free((void *)atomic_load_explicit(&index->changed[i], memory_order_relaxed));
	mem_free(index->changed);
	graph_states_release(&index->states);
	pthread_rwlock_destroy(&index->freeze);
	pthread_mutex_destroy(&index->grow_lock);
	memset(index, 0, sizeof(*index));
}

int index_set_up(struct index *index, enum ann_metric metric, uint32_t dim, uint32_t code_bits,
		 uint32_t effort)
{
	uint32_t recommended = 0;
	int err;

	graph_recommend(dim, metric, &index->params, &recommended);
	err = quant_init(&index->quant, metric, dim, code_bits, store_kind_seed(index->store));
	if (err != 0)
		goto no_quant;
	index->effort = effort != 0 ? effort : (uint32_t)quant_widen(&index->quant, recommended);
	err = codes_init(&index->codes, index->quant.code_bytes);
	if (err != 0)
		goto no_codes;
	err = nodes_store_new(index->store, index->params.cap, &index->nodes);
	if (err != 0)
		goto no_nodes;
	err = graph_init(&index->graph, &index->params, index->nodes, &index->quant, &index->codes,
			 &index->states);
	if (err != 0)
		goto no_graph;
	index->dim = dim;
	return 0;

no_graph:
	index->nodes->ops->free(index->nodes);
	index->nodes = NULL;
no_nodes:
	codes_release(&index->codes);
no_codes:
	quant_release(&index->quant);
no_quant:
	return err;
}

void index_tear_down(struct index *index)
{
	if (index->dim == 0)
		return;
	graph_release(&index->graph);
	index->nodes->ops->free(index->nodes);
	index->nodes = NULL;
	codes_release(&index->codes);
	quant_release(&index->quant);
	atomic_store(&index->room, 0);
	atomic_store(&index->centred, false);
	index->dim = 0;
}

int index_set_centre(struct index *index, const float *centre)
{
	int err = quant_set_centre(&index->quant, centre);

	if (err == 0)
		atomic_store(&index->centred, true);
	return err;
}

int index_mean(struct index *index, const uint32_t *slots, size_t n, uint64_t lsn,
	       float *centre_out)
{
	const struct dist_kernels *kernels = index->quant.kernels;
	bool normal = index->quant.metric == ANN_COSINE;
	size_t used = 0;
	int err = 0, none = ERR_AGAIN;

	memset(centre_out, 0, index->dim * sizeof(*centre_out));
	store_read_begin(index->store);
	for (size_t i = 0; i < n && err == 0; i++) {
		const void *value = NULL;
		double share = 1.0 / (double)n;
		bool live = false;

		/* a slot that died since the caller looked may be being written again */
		err = store_live_as_of(index->store, &slots[i], 1, lsn, &live);
		if (err != 0 || !live)
			continue;
		none = store_value(index->store, slots[i], STORE_HINT_NONE, &value);
		if (none != 0)
			continue; /* the others will do */
		if (normal)
			share /= sqrt(scan_norm_sq(kernels, value, index->dim));
		for (uint32_t d = 0; d < index->dim; d++)
			centre_out[d] += (float)(((const float *)value)[d] * share);
		used++;
	}
	store_read_end(index->store);
	if (err == 0 && used == 0)
		err = none;
	for (uint32_t d = 0; err == 0 && used < n && d < index->dim; d++)
		centre_out[d] *= (float)n / (float)used;
	return err;
}

/* Caller holds grow_lock. */
static int grow_changed(struct index *index, uint32_t n)
{
	size_t chunks = ((size_t)n + INDEX_CHUNK - 1) / INDEX_CHUNK;

	for (size_t i = 0; i < chunks; i++) {
		_Atomic(uint64_t) *bits;

		if (atomic_load_explicit(&index->changed[i], memory_order_relaxed) != NULL)
			continue;
		bits = mem_zalloc(INDEX_CHUNK / 64, sizeof(*bits));
		if (bits == NULL)
			return ERR_NOMEM;
		atomic_store_explicit(&index->changed[i], bits, memory_order_release);
	}
	return 0;
}

int index_grow(struct index *index, uint32_t n)
{
	uint32_t want;
	int err = 0;

	if (n <= atomic_load(&index->room))
		return 0;
	/* Whole chunks at a time, as all three grow that way. */
	if (n > TABLE_SLOTS - INDEX_CHUNK)
		return ERR_LIMIT;
	want = (n + INDEX_CHUNK - 1) / INDEX_CHUNK * INDEX_CHUNK;
	pthread_mutex_lock(&index->grow_lock);
	if (want > atomic_load(&index->room)) {
		err = graph_states_grow(&index->states, want);
		if (err == 0)
			err = codes_grow(&index->codes, want);
		if (err == 0)
			err = grow_changed(index, want);
		if (err == 0)
			atomic_store(&index->room, want);
	}
	pthread_mutex_unlock(&index->grow_lock);
	return err;
}

/* --- codes and their bits --- */

static _Atomic(uint64_t) *bits_word(const struct index *index, uint32_t slot)
{
	_Atomic(uint64_t) *bits = atomic_load_explicit(&index->changed[slot / INDEX_CHUNK],
						       memory_order_acquire);

	return &bits[slot % INDEX_CHUNK / 64];
}

bool index_code_changed(const struct index *index, uint32_t slot)
{
	return (atomic_load_explicit(bits_word(index, slot), memory_order_relaxed) >> slot % 64 &
		1) != 0;
}

void index_clear_changed(struct index *index, uint32_t slots)
{
	for (uint32_t slot = 0; slot < slots; slot += 64)
		atomic_store_explicit(bits_word(index, slot), 0, memory_order_relaxed);
}

void index_mark_changed(struct index *index, uint32_t first, uint32_t end)
{
	for (uint32_t slot = first; slot < end; slot++)
		atomic_fetch_or_explicit(bits_word(index, slot), (uint64_t)1 << slot % 64,
					 memory_order_relaxed);
}

void index_put_code(struct index *index, uint32_t slot, const uint8_t *code)
{
	uint32_t *to = (uint32_t *)codes_at(&index->codes, slot);

	codes_use(&index->codes, slot);
	for (uint32_t i = 0; i < index->quant.code_bytes / 4; i++) {
		uint32_t word;

		memcpy(&word, code + (size_t)i * 4, sizeof(word));
		__atomic_store_n(&to[i], word, __ATOMIC_RELAXED);
	}
	index_mark_changed(index, slot, slot + 1);
}

void index_copy_codes(const struct index *index, uint64_t at, uint8_t *out, size_t len)
{
	uint32_t code_bytes = index->quant.code_bytes;
	uint32_t room = atomic_load(&index->room);

	/* at, len and code_bytes are multiples of 4. */
	for (size_t done = 0; done < len;) {
		uint64_t slot = (at + done) / code_bytes;
		uint32_t inside = (uint32_t)((at + done) % code_bytes);
		size_t n = code_bytes - inside < len - done ? code_bytes - inside : len - done;

		if (slot >= room) {
			memset(out + done, 0, len - done);
			return;
		}
		for (size_t i = 0; i < n; i += 4) {
			const uint32_t *from =
				(const uint32_t *)(codes_at(&index->codes, (uint32_t)slot) +
						   inside + i);
			uint32_t word = __atomic_load_n(from, __ATOMIC_RELAXED);

			memcpy(out + done + i, &word, sizeof(word));
		}
		done += n;
	}
}

/* --- changes --- */

int index_linker_init(struct index_linker *linker, const struct index *index)
{
	int err;

	memset(linker, 0, sizeof(*linker));
	err = graph_scratch_new(&index->graph, &linker->graph);
	if (err != 0)
		return err;
	linker->encode = mem_alloc_aligned(64, quant_scratch_bytes(&index->quant));
	linker->code = mem_alloc_aligned(64, index->quant.code_bytes);
	if (linker->encode == NULL || linker->code == NULL) {
		index_linker_release(linker);
		return ERR_NOMEM;
	}
	return 0;
}

void index_linker_release(struct index_linker *linker)
{
	graph_scratch_free(linker->graph);
	mem_free(linker->encode);
	mem_free(linker->code);
	memset(linker, 0, sizeof(*linker));
}

int index_encode(struct index *index, struct index_linker *linker, uint32_t slot)
{
	const void *value = NULL;
	int err;

	store_read_begin(index->store);
	err = store_value(index->store, slot, STORE_HINT_NONE, &value);
	if (err == 0)
		quant_encode(&index->quant, value, linker->encode, linker->code);
	store_read_end(index->store);
	return err;
}

/* Nodes that do not read back mean a damaged graph; the vectors are whole. */
static int judge(struct index *index, int err)
{
	if (err == ERR_DAMAGED)
		atomic_store(&index->damaged, true);
	return err;
}

/*
 * A slot that was used again after the graph was published has the node of a vector that died:
 * repairs around it and takes it out. Caller holds freeze shared.
 */
static int vacate(struct index *index, struct index_linker *linker, uint32_t slot)
{
	int err;

	if (graph_state(&index->states, slot) != GRAPH_TOMBSTONE)
		return 0;
	err = graph_repair(&index->graph, linker->graph, slot);
	if (err != 0)
		return err;
	graph_state_set(&index->states, slot, GRAPH_ABSENT);
	atomic_fetch_sub(&index->linked, 1);
	atomic_fetch_add(&index->repaired, 1);
	return 0;
}

int index_link(struct index *index, struct index_linker *linker, uint32_t slot)
{
	int err;

	if (slot == UINT32_MAX)
		return ERR_LIMIT;
	err = index_grow(index, slot + 1);
	if (err == 0)
		err = index_encode(index, linker, slot);
	if (err != 0)
		return err;
	pthread_rwlock_rdlock(&index->freeze);
	err = vacate(index, linker, slot);
	if (err == 0) {
		index_put_code(index, slot, linker->code);
		err = graph_insert(&index->graph, linker->graph, slot);
	}
	err = judge(index, err);
	atomic_fetch_add(&index->changed_nodes, 1);
	pthread_rwlock_unlock(&index->freeze);
	if (err == 0) {
		atomic_fetch_add(&index->linked, 1);
		atomic_fetch_add(&index->inserted, 1);
	}
	return err;
}

int index_repair(struct index *index, struct index_linker *linker, uint32_t slot)
{
	int err;

	pthread_rwlock_rdlock(&index->freeze);
	err = judge(index, graph_repair(&index->graph, linker->graph, slot));
	atomic_fetch_add(&index->changed_nodes, 1);
	pthread_rwlock_unlock(&index->freeze);
	if (err == 0)
		atomic_fetch_add(&index->repaired, 1);
	return err;
}

int index_sweep(struct index *index, struct index_linker *linker, uint32_t first, uint32_t end)
{
	int err;

	pthread_rwlock_rdlock(&index->freeze);
	err = judge(index, graph_sweep(&index->graph, linker->graph, first, end));
	pthread_rwlock_unlock(&index->freeze);
	return err;
}

void index_forget(struct index *index, uint32_t slot)
{
	pthread_rwlock_rdlock(&index->freeze);
	graph_state_set(&index->states, slot, GRAPH_ABSENT);
	atomic_fetch_add(&index->changed_nodes, 1);
	pthread_rwlock_unlock(&index->freeze);
	atomic_fetch_sub(&index->linked, 1);
}
