/* stats.c - what a store counts, and what it says unasked. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "store/mem.h"
#include "store/store_private.h"

static void cache_stats(struct store *store, struct store_stats *out)
{
	struct pager *pager = store->pager;

	for (int c = 0; c < STORE_CLASSES; c++) {
		out->hits[c] = epoch_sum(store->epoch, (unsigned)c);
		out->misses[c] = atomic_load(&pager->misses[c]);
		out->evictions[c] = atomic_load(&pager->evictions[c]);
		out->resident_bytes[c] = atomic_load(&pager->resident[c]);
	}
	out->cache_limit = atomic_load(&pager->limit);
	out->decompressions = atomic_load(&pager->decompressions);
	out->damaged_pages = atomic_load(&pager->damaged);
	out->thrashings = atomic_load(&pager->thrashings);
	out->thrashing = atomic_load(&pager->thrashing);
}

static void page_stats(struct store *store, struct store_stats *out)
{
	struct pager *pager = store->pager;
	struct pager_space *values = &pager->spaces[FORMAT_SPACE_VALUE];

	out->page_bytes_logical = atomic_load(&values->stored_pages) * pager->page_size;
	out->page_bytes_stored = atomic_load(&values->stored_bytes);
	out->dirty_bytes = atomic_load(&pager->groups[PAGER_META].dirty_bytes) +
			   atomic_load(&pager->groups[PAGER_GRAPH].dirty_bytes);
	(void)pthread_mutex_lock(&pager->alloc_lock);
	out->file_bytes = alloc_end(pager->alloc) * FORMAT_BLOCK;
	out->free_bytes = alloc_free_blocks(pager->alloc) * FORMAT_BLOCK;
	(void)pthread_mutex_unlock(&pager->alloc_lock);
}

static void log_stats(struct store *store, struct store_stats *out)
{
	struct wal_stats log = {0};

	if (store->wal == NULL) {
		out->last_lsn = store->last_lsn; /* set by the replay, then by nobody */
		return;
	}
	wal_get_stats(store->wal, &log);
	out->last_lsn = log.last_lsn;
	out->durable_lsn = log.durable_lsn;
	out->wal_bytes = log.bytes;
	out->wal_syncs = log.syncs;
	out->wal_appends = log.appends;
}

static void checkpoint_stats(struct store *store, struct store_stats *out)
{
	uint64_t done = atomic_load(&store->checkpoint_done_ns);

	out->checkpoints = atomic_load(&store->checkpoints);
	out->checkpoint_failures = atomic_load(&store->checkpoint_failures);
	out->checkpoint_ns_last = atomic_load(&store->checkpoint_ns_last);
	out->checkpoint_ns_total = atomic_load(&store->checkpoint_ns_total);
	out->checkpoint_pause_ns_max = atomic_load(&store->checkpoint_pause_ns_max);
	if (done != 0)
		out->checkpoint_age_ns = store_now(store) - done;
}

/* Counters of all time. */
static void all_stats(struct store *store, struct store_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->live = atomic_load(&store->slots.live);
	out->dead = atomic_load(&store->slots.dead);
	out->slots = atomic_load(&store->slots.count);
	out->ckpt_lsn = atomic_load(&store->ckpt_lsn);
	out->graph_lsn = atomic_load(&store->graph_lsn);
	out->generation = atomic_load(&store->generation);
	out->poisoned = atomic_load(&store->poisoned);
	log_stats(store, out);
	cache_stats(store, out);
	page_stats(store, out);
	checkpoint_stats(store, out);
}

void store_reset_metrics(struct store *store)
{
	struct store_stats now;

	all_stats(store, &now);
	atomic_store(&store->checkpoint_pause_ns_max, 0);
	(void)pthread_mutex_lock(&store->thread_lock);
	store->base = now;
	(void)pthread_mutex_unlock(&store->thread_lock);
}

void store_get_stats(struct store *store, struct store_stats *stats_out)
{
	struct store_stats base;

	(void)pthread_mutex_lock(&store->thread_lock);
	base = store->base;
	(void)pthread_mutex_unlock(&store->thread_lock);
	all_stats(store, stats_out);
	for (int c = 0; c < STORE_CLASSES; c++) {
		stats_out->hits[c] -= base.hits[c];
		stats_out->misses[c] -= base.misses[c];
		stats_out->evictions[c] -= base.evictions[c];
	}
	stats_out->wal_syncs -= base.wal_syncs;
	stats_out->wal_appends -= base.wal_appends;
	stats_out->checkpoints -= base.checkpoints;
	stats_out->checkpoint_failures -= base.checkpoint_failures;
	stats_out->checkpoint_ns_total -= base.checkpoint_ns_total;
	stats_out->decompressions -= base.decompressions;
	stats_out->thrashings -= base.thrashings;
	if (store->io->ops->space(store->io, &stats_out->space_total, &stats_out->space_free) != 0)
		stats_out->space_total = stats_out->space_free = 0; /* unknown is shown as 0 */
}

void store_read_afresh(struct store_io *io)
{
	uint64_t size = 0, *seqs = NULL;
	size_t n = 0;

	/* in one piece, so that reading ahead goes on as ever */
	if (io->ops->forget != NULL && io->ops->size(io, &size) == 0)
		io->ops->forget(io, 0, size);
	/* a log that cannot be listed is a finding of who reads it */
	if (io->ops->log_forget != NULL && io->ops->log_list(io, &seqs, &n) == 0)
		for (size_t i = 0; i < n; i++)
			io->ops->log_forget(io, seqs[i]);
	mem_free(seqs);
}

/* --- notices --- */

void store_notice(const struct store *store, const char *format, ...)
{
	struct err_msg msg;
	va_list args;

	if (store->opts.notice == NULL)
		return;
	va_start(args, format);
	(void)vsnprintf(msg.text, sizeof(msg.text), format, args); /* a cut text is accepted */
	va_end(args);
	store->opts.notice(store->opts.notice_ctx, msg.text);
}

/* The pages that are cached, all of them: a cache of so many bytes pushes none out. */
static uint64_t cached_bytes(struct store *store)
{
	uint64_t pages = 0;

	for (int s = 0; s <= FORMAT_SPACE_GRAPH; s++)
		pages += atomic_load(&store->pager->spaces[s].pages);
	return pages * store->head.page_size;
}

void store_on_thrashing(void *ctx, double rate)
{
	struct store *store = ctx;
	uint64_t mib = 1u << 20;

	store_notice(
		store,
		"Cache thrashing detected: %.0f %% of the last 10,000 look-ups of graph and vector "
		"pages were hits; raise cache= to at least %lluM (it is %lluM), or spread the "
		"vectors over several stores",
		100 * rate, (unsigned long long)(cached_bytes(store) / mib + 1),
		(unsigned long long)(atomic_load(&store->pager->limit) / mib));
}
