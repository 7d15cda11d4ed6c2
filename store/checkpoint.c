/*
 * checkpoint.c - what is in memory becomes the next commit slot; then the log before it can go.
 *
 * Steps (each may be the last one before a crash):
 *   C0  the next log segment exists, durable and empty
 *   C1  commit lock: later records go there; dirty pages of META are frozen
 *   C2  the old segment is durable, and the new one says so; or the current one up to ckpt_lsn
 *   C3  frozen pages are written to free blocks
 *   C4  map pages and the free list likewise
 *   C5  sync
 *   C6  the other commit slot is written, durable
 *   C7  memory takes the new slot as the newest; blocks freed two slots ago are free
 *   C8  segments that neither slot needs are removed; C0 of the next checkpoint, if possible
 * Up to C5 the newest slot is untouched. Invariant: the older slot and the segments from its
 * first_segment on always give the full state as well.
 *
 * When this happens is in checkpoint_threads.c.
 */
#include <stdatomic.h>

#include "store/freelist.h"
#include "store/store_private.h"

#define SHRINK_BLOCKS 256u /* the head is cut when at least so much of its end is unused */
#define CLEAR_PAGES 64u	   /* at a time, under the commit lock */

void store_poison(struct store *store)
{
	bool was = atomic_exchange(&store->poisoned, true);

	if (store->wal != NULL)
		wal_poison(store->wal);
	if (!was)
		store_notice(
			store,
			"%s takes no more writes: the disk failed while it was written, and what "
			"is on it is uncertain; reads go on. Look at the disk, then unmount and "
			"mount again, which recovers what is there",
			store->io->ops->name(store->io));
}

/* A checkpoint failed, without harm so far. */
const char *store_unsaved(const struct store *store)
{
	return store->opts.durability == WAL_NONE ?
		       "there is no log (durability=none), so what came after the last checkpoint is "
		       "in memory alone" :
		       "the log has everything and grows meanwhile";
}

static void tell_failure(struct store *store, int err)
{
	if (atomic_load(&store->poisoned) || atomic_exchange(&store->checkpoints_fail, true))
		return;
	store_notice(store, "%s: a checkpoint failed (%s); %s: %s", store->io->ops->name(store->io),
		     err_str(err), store_unsaved(store),
		     err == ERR_FULL ? "make room on the disk" : "it is tried again");
}

/* --- the steps --- */

/*
 * C0: not needed while the current segment has no records, and room for some. On a full disk it is
 * left out: the slot then names a segment that begins with records it has, and old segments can go all
 * the same.
 */
static int prepare_segment(struct store *store, bool *switch_out)
{
	struct wal_stats stats;
	int err = 0;

	wal_get_stats(store->wal, &stats);
	*switch_out = stats.last_lsn != store->segment_after_lsn || wal_is_tight(store->wal, true);
	if (*switch_out)
		err = wal_prepare(store->wal);
	if (err == ERR_FULL)
		*switch_out = false;
	return err == ERR_FULL ? 0 : err;
}

/* Before C1, in pieces so that commits get in between: value pages that hold nothing lose their place. */
static int clear_values(struct store *store)
{
	bool more = true;
	int err = 0;

	while (err == 0 && more) {
		(void)pthread_mutex_lock(&store->commit_lock);
		epoch_enter(store->epoch);
		err = slots_clear(&store->slots, CLEAR_PAGES, &more);
		epoch_leave(store->epoch);
		(void)pthread_mutex_unlock(&store->commit_lock);
	}
	return err;
}

/* C1. Fills what the slot says of the tables. */
static void freeze(struct store *store, bool switch_segment, struct head_slot *slot)
{
	struct wal_stats stats;
	uint64_t start, pause, most;

	(void)pthread_mutex_lock(&store->commit_lock);
	start = store_now(store);
	if (switch_segment) {
		wal_switch(store->wal, &slot->ckpt_lsn, &slot->first_segment);
		store->segment_after_lsn = slot->ckpt_lsn;
	} else {
		wal_get_stats(store->wal, &stats);
		/* records may have come since C0 looked: then they stay in the segment the slot names */
		slot->ckpt_lsn = store->last_lsn;
		slot->first_segment = stats.current_seq;
	}
	pager_freeze(store->pager, PAGER_META);
	slot->value_size = atomic_load(&store->slots.value_size);
	slot->slots = atomic_load(&store->slots.count);
	slot->live = atomic_load(&store->slots.live);
	slot->dead = atomic_load(&store->slots.dead);
	slot->next_ino = atomic_load(&store->next_ino);
	slot->dir_depth = store->ids.depth;
	slot->buckets = store->ids.buckets;
	atomic_store(&store->commits_since, false);
	atomic_store(&store->bytes_since, 0);
	pause = store_now(store) - start;
	(void)pthread_mutex_unlock(&store->commit_lock);
	most = atomic_load(&store->checkpoint_pause_ns_max);
	if (pause > most)
		atomic_store(&store->checkpoint_pause_ns_max, pause);
}

/* C3 to C5. */
static int write_pages(struct store *store, bool graph, struct head_slot *slot)
{
	struct pager *pager = store->pager;
	int err;

	(void)pthread_mutex_lock(&pager->alloc_lock);
	alloc_rewind(pager->alloc);
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	err = pager_write_frozen(pager, PAGER_META);
	if (err == 0 && graph)
		err = pager_write_frozen(pager, PAGER_GRAPH);
	if (err == 0)
		err = pager_write_maps(pager, PAGER_META, slot->roots);
	if (err == 0 && graph)
		err = pager_write_maps(pager, PAGER_GRAPH, slot->roots);
	if (err == 0)
		err = freelist_write(pager, graph, &store->trunks, slot);
	if (err != 0)
		return err;
	(void)pthread_mutex_lock(&pager->alloc_lock);
	slot->blocks = alloc_end(pager->alloc);
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	return store->io->ops->sync(store->io);
}

/* Gives back the end of the head that neither slot speaks of. */
static void shrink(struct store *store, uint64_t blocks)
{
	if (blocks + SHRINK_BLOCKS < store->file_blocks)
		room_cut(store, blocks, store->file_blocks);
	if (blocks > store->file_blocks || blocks + SHRINK_BLOCKS < store->file_blocks)
		store->file_blocks = blocks;
}

/* C6 and C7. */
static int publish(struct store *store, bool graph, struct head_slot *slot)
{
	struct format_slot block;
	int err;

	head_encode_slot(&store->head, slot, &block);
	err = store->io->ops->commit_slot(store->io, slot->generation & 1, &block,
					  store->slot.generation);
	if (err != 0)
		return err;
	shrink(store, slot->blocks > store->slot.blocks ? slot->blocks : store->slot.blocks);
	store->slot = *slot;
	store->next_generation = slot->generation + 1;
	atomic_store(&store->generation, slot->generation);
	atomic_store(&store->ckpt_lsn, slot->ckpt_lsn);
	atomic_store(&store->graph_lsn, slot->graph_lsn);
	pager_age(store->pager);
	pager_published(store->pager, PAGER_META);
	if (graph)
		pager_published(store->pager, PAGER_GRAPH);
	return 0;
}

static void failed(struct store *store, bool graph, int err)
{
	pager_unfreeze(store->pager, PAGER_META);
	if (graph)
		pager_unfreeze(store->pager, PAGER_GRAPH);
	atomic_store(&store->commits_since, true);
	atomic_fetch_add(&store->checkpoint_failures, 1);
	if (err != ERR_FULL && err != ERR_NOMEM)
		store_poison(store);
	tell_failure(store, err);
}

/* C0 of the next checkpoint, while there is room, so that on a full disk it has its segment. */
static int prepare_next(struct store *store)
{
	int err = wal_prepare(store->wal);

	if (err == ERR_FULL || err == ERR_NOMEM)
		return 0; /* it tries again */
	if (err != 0)
		store_poison(store);
	return err;
}

int checkpoint_run(struct store *store, enum checkpoint_kind kind, bool graph)
{
	struct head_slot slot = store->slot;
	uint64_t older_segment = store->slot.first_segment, start = store_now(store);
	bool switch_segment = false;
	int err = 0;

	if (store->wal == NULL || atomic_load(&store->poisoned)) {
		if (graph)
			pager_unfreeze(store->pager, PAGER_GRAPH);
		return ERR_READONLY;
	}
	err = prepare_segment(store, &switch_segment);
	if (err != 0) {
		if (graph)
			pager_unfreeze(store->pager, PAGER_GRAPH);
		if (err != ERR_FULL && err != ERR_NOMEM)
			store_poison(store);
		atomic_fetch_add(&store->checkpoint_failures, 1);
		tell_failure(store, err);
		return err;
	}
	(void)clear_values(store); /* an error costs room only; they are tried again */
	freeze(store, switch_segment, &slot);
	slot.generation = store->next_generation;
	slot.clean = kind == CHECKPOINT_CLEAN;
	if (graph)
		slot.graph_lsn = store->graph_lsn_next;
	if (store->opts.durability == WAL_NONE)
		slot.first_segment = 0;
	err = switch_segment ? wal_seal(store->wal) : wal_sync(store->wal, slot.ckpt_lsn);
	if (err == 0)
		err = write_pages(store, graph, &slot);
	if (err == 0)
		err = publish(store, graph, &slot);
	if (err != 0) {
		failed(store, graph, err);
		room_renew(store);
		return err;
	}
	atomic_store(&store->checkpoints_fail, false);
	atomic_store(&store->checkpoint_done_ns, store_now(store));
	atomic_store(&store->checkpoint_ns_last, store_now(store) - start);
	atomic_fetch_add(&store->checkpoint_ns_total, store_now(store) - start);
	atomic_fetch_add(&store->checkpoints, 1);
	/* a slot of durability=none needs no segment */
	if (older_segment == 0)
		older_segment = slot.first_segment != 0 ? slot.first_segment : UINT64_MAX;
	/* the slot stands: segments that stay because of an error are removed after the next one */
	(void)wal_remove_below(store->wal, older_segment);
	if (kind == CHECKPOINT_NORMAL)
		err = prepare_next(store);
	(void)pthread_mutex_lock(&store->commit_lock);
	wal_top_up(store->wal);
	(void)pthread_mutex_unlock(&store->commit_lock);
	room_renew(store);
	return err;
}

/* --- the public calls --- */

int store_checkpoint(struct store *store)
{
	int err;

	(void)pthread_mutex_lock(&store->checkpoint_lock);
	err = checkpoint_run(store, CHECKPOINT_NORMAL, false);
	(void)pthread_mutex_unlock(&store->checkpoint_lock);
	return err;
}

int store_graph_begin(struct store *store)
{
	if (store_read_only(store))
		return ERR_READONLY;
	(void)pthread_mutex_lock(&store->checkpoint_lock);
	return 0;
}

void store_graph_freeze(struct store *store, uint64_t *lsn_out)
{
	(void)pthread_mutex_lock(&store->commit_lock);
	store->graph_lsn_next = store->last_lsn;
	(void)pthread_mutex_unlock(&store->commit_lock);
	pager_freeze(store->pager, PAGER_GRAPH);
	*lsn_out = store->graph_lsn_next;
}

int store_blob_write(struct store *store, enum store_space space, uint32_t page, const void *buf)
{
	int err;

	if (space == STORE_GRAPH)
		return ERR_INVALID;
	err = room_take(store, ROOM_GRAPH, 1);
	if (err != 0)
		return err;
	return pager_blob_write(store->pager, (enum format_space)space, page, buf);
}

/* Pages that publishing the graph writes, with their maps twice. */
static uint64_t graph_pages(struct store *store)
{
	struct pager *pager = store->pager;
	uint64_t pages = atomic_load(&pager->groups[PAGER_GRAPH].dirty_bytes) / pager->page_size;

	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint64_t n = atomic_load(&pager->spaces[s].pages);

		if (pager_group_of((enum format_space)s) == PAGER_GRAPH)
			pages += 2 * (n / pager->leaf_fanout + n / pager->inner_fanout + 2);
	}
	return pages;
}

int store_graph_commit(struct store *store)
{
	int err = room_take(store, ROOM_GRAPH, graph_pages(store));

	if (err == 0)
		err = checkpoint_run(store, CHECKPOINT_NORMAL, true);
	else
		pager_unfreeze(store->pager, PAGER_GRAPH);
	(void)pthread_mutex_unlock(&store->checkpoint_lock);
	return err;
}

void store_graph_abort(struct store *store)
{
	pager_unfreeze(store->pager, PAGER_GRAPH);
	(void)pthread_mutex_unlock(&store->checkpoint_lock);
}

int store_graph_reset(struct store *store)
{
	int err = 0;

	(void)pthread_mutex_lock(&store->checkpoint_lock);
	for (int space = FORMAT_SPACE_GRAPH; err == 0 && space < FORMAT_SPACES; space++)
		err = pager_reset_space(store->pager, (enum format_space)space);
	if (err == 0)
		atomic_store(&store->graph_lsn, 0);
	if (err == 0 && !store_read_only(store)) {
		store->graph_lsn_next = 0;
		pager_freeze(store->pager, PAGER_GRAPH);
		err = checkpoint_run(store, CHECKPOINT_NORMAL, true);
	}
	(void)pthread_mutex_unlock(&store->checkpoint_lock);
	return err;
}

int store_sync(struct store *store)
{
	int err;

	if (store->wal == NULL || atomic_load(&store->poisoned))
		return ERR_READONLY;
	err = wal_sync_all(store->wal);
	if (err != 0)
		store_poison(store);
	return err;
}
