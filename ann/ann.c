/*
 * ann.c - the collection: opening and closing, and every change of what is stored.
 *
 * A change in order: room for it in the pending set (pending_begin), the gate shared, the commit of
 * the store, within which commit_hook enters it into the pending set, and out again. So from the
 * moment a commit can be seen at all, searches find the new vector and drop the old one.
 *
 * The dimension is either known at opening or decided by the first put, which holds first_lock over
 * its commit; `ready` is set inside that commit and never taken back.
 */
#include "ann/ann.h"

#include <string.h>

#include "ann/collection.h"
#include "ann/find_context.h"
#include "ann/indexer.h"
#include "ann/load.h"
#include "ann/persist.h"
#include "ann/validate.h"
#include "store/mem.h"

const char *ann_metric_name(enum ann_metric metric)
{
	switch (metric) {
	case ANN_COSINE:
		return "cosine";
	case ANN_L2:
		return "l2";
	case ANN_IP:
		return "ip";
	}
	return "unknown";
}

bool ann_metric_parse(const char *name, enum ann_metric *out)
{
	static const enum ann_metric all[] = {ANN_COSINE, ANN_L2, ANN_IP};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(name, ann_metric_name(all[i])) == 0) {
			*out = all[i];
			return true;
		}
	return false;
}

/* --- opening --- */

static int load(struct ann *ann, struct err_msg *note_out)
{
	uint32_t dim = store_value_size(ann->store) / (uint32_t)sizeof(float);
	int err = load_index(ann, dim, note_out);

	if (err == 0)
		err = indexer_new(&ann->indexer, ann,
				  ann->opts.background && !ann->read_only ? ann->opts.threads : 0);
	if (err == 0)
		atomic_store(&ann->ready, true);
	return err;
}

static int check_open(const struct store *store, const struct ann_opts *opts, struct err_msg *msg)
{
	const char *name = ann_metric_name((enum ann_metric)store_kind(store));
	enum ann_metric metric;

	if (!ann_metric_parse(name, &metric))
		return err_set(msg, ERR_FORMAT, "metric %u is unknown to this version",
			       store_kind(store));
	if (store_value_size(store) > ANN_DIM_MAX * sizeof(float))
		return err_set(msg, ERR_FORMAT, "values of %u bytes are no vectors of this version",
			       store_value_size(store));
	if (opts->code_bits != 0 && !quant_bits_valid(opts->code_bits))
		return err_set(msg, ERR_INVALID, "code-bits is %u; 1, 2, 4 and 8 are possible",
			       opts->code_bits);
	if (opts->effort > ANN_EFFORT_MAX)
		return err_set(msg, ERR_INVALID, "effort is %u; it must be at most %u",
			       opts->effort, ANN_EFFORT_MAX);
	return 0;
}

static void init_locks(struct ann *ann)
{
	pthread_rwlockattr_t attr;

	/* Commits come without end; a search that waits for a quiet moment must get one. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&ann->gate, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&ann->first_lock, NULL);
	pthread_mutex_init(&ann->contexts_lock, NULL);
}

/* Frees without publishing. No thread is inside. */
static void free_ann(struct ann *ann)
{
	indexer_free(ann->indexer);
	workers_free(ann->workers);
	find_context_release(ann);
	pending_release(&ann->pending);
	index_release(&ann->index);
	pthread_rwlock_destroy(&ann->gate);
	pthread_mutex_destroy(&ann->first_lock);
	pthread_mutex_destroy(&ann->contexts_lock);
	mem_free(ann);
}

int ann_open(struct store *store, const struct ann_opts *opts, struct ann **ann_out,
	     struct err_msg *note_out, struct err_msg *msg)
{
	struct ann *ann;
	int err = check_open(store, opts, msg);

	*ann_out = NULL;
	if (note_out != NULL)
		note_out->text[0] = '\0';
	if (err != 0)
		return err;
	ann = mem_zalloc(1, sizeof(*ann));
	if (ann == NULL)
		return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	ann->store = store;
	ann->opts = *opts;
	if (ann->opts.threads == 0)
		ann->opts.threads = workers_cores();
	ann->metric = (enum ann_metric)store_kind(store);
	ann->read_only = store_read_only(store);
	ann->scan_max = COLLECTION_SCAN_MAX;
	init_locks(ann);
	err = index_init(&ann->index, store);
	if (err == 0)
		err = pending_init(&ann->pending, &ann->index.states);
	if (err == 0)
		err = workers_new(&ann->workers, ann->opts.threads);
	if (err == 0 && store_value_size(store) != 0)
		err = load(ann, note_out);
	if (err != 0) {
		free_ann(ann);
		return err_set(msg, err, "the collection cannot be opened: %s",
			       err == ERR_NOMEM ? ERR_NOMEM_SENTENCE : err_str(err));
	}
	*ann_out = ann;
	return 0;
}

int ann_close(struct ann *ann)
{
	int err = 0;

	if (ann == NULL)
		return 0;
	indexer_free(ann->indexer);
	ann->indexer = NULL;
	if (atomic_load(&ann->ready) && !store_read_only(ann->store)) {
		if (atomic_load(&ann->index.damaged))
			err = store_graph_reset(ann->store);
		else if (atomic_load(&ann->index.changed_nodes) > 0)
			err = persist_flush(&ann->index, ann->metric);
	}
	free_ann(ann);
	return err;
}

uint32_t ann_dim(const struct ann *ann)
{
	return atomic_load(&ann->ready) ? ann->index.dim : 0;
}

enum ann_metric ann_get_metric(const struct ann *ann)
{
	return ann->metric;
}

bool ann_read_only(const struct ann *ann)
{
	return ann->read_only || store_read_only(ann->store);
}

/* --- changes --- */

static void commit_hook(void *ctx, const struct store_put_result *result)
{
	struct ann *ann = ctx;

	pending_commit(&ann->pending, result->lsn, result->slot, result->old_slot);
	atomic_store(&ann->ready, true);
}

/* A rename moves no vector; only a replaced target dies, as a deleted vector does. */
static void death_hook(void *ctx, const struct store_put_result *result)
{
	struct ann *ann = ctx;

	pending_commit(&ann->pending, result->lsn, STORE_NO_SLOT, result->old_slot);
}

/* Slots that a commit leaves out when the rest of a damaged page of values cannot be used. */
static uint32_t slots_passed(const struct ann *ann)
{
	uint32_t size = store_value_size(ann->store);

	return size != 0 ? store_page_size(ann->store) / size : 0;
}

static int begin_commit(struct ann *ann)
{
	int err = pending_begin(&ann->pending, store_slots(ann->store), slots_passed(ann), 1);

	if (err == 0)
		pthread_rwlock_rdlock(&ann->gate);
	return err;
}

static void end_commit(struct ann *ann)
{
	pthread_rwlock_unlock(&ann->gate);
	pending_end(&ann->pending, 1);
}

int ann_validate(const struct ann *ann, const float *vector, size_t n, struct err_msg *msg)
{
	return validate_vector(ann_dim(ann), ann->metric, vector, n, msg);
}

struct put {
	const char *id;
	size_t id_len;
	const float *vector;
	size_t n;
	const struct store_attr *attr;
	unsigned flags;
};

static int commit_put(struct ann *ann, const struct put *put, uint64_t *ino)
{
	struct store_put_result result = {.ino = ino != NULL ? *ino : 0};
	int err = begin_commit(ann);

	if (err != 0)
		return err;
	err = store_put(ann->store, put->id, put->id_len, put->vector, put->n * sizeof(float),
			put->attr, put->flags, commit_hook, ann, &result);
	end_commit(ann);
	if (err == 0 && ino != NULL)
		*ino = result.ino;
	return err;
}

/* The dimension is not known: this put decides it, if it gets through. */
static int first_put(struct ann *ann, const struct put *put, uint64_t *ino, struct err_msg *msg)
{
	int err = 0;

	pthread_mutex_lock(&ann->first_lock);
	err = ann_validate(ann, put->vector, put->n, msg);
	if (err != 0)
		goto out;
	if (atomic_load(&ann->ready)) {
		err = commit_put(ann, put, ino);
		goto out;
	}
	err = load_fresh(ann, (uint32_t)put->n);
	if (err != 0)
		goto out;
	err = indexer_new(&ann->indexer, ann, ann->opts.background ? ann->opts.threads : 0);
	if (err == 0)
		err = commit_put(ann, put, ino);
	if (err != 0) {
		indexer_free(ann->indexer);
		ann->indexer = NULL;
		index_tear_down(&ann->index);
	}
out:
	pthread_mutex_unlock(&ann->first_lock);
	return err;
}

int ann_put(struct ann *ann, const char *id, size_t id_len, const float *vector, size_t n,
	    const struct store_attr *attr, unsigned flags, uint64_t *ino, struct err_msg *msg)
{
	struct put put = {id, id_len, vector, n, attr, flags};
	int err = ann_validate_id(id, id_len, msg);

	if (err == 0)
		err = ann_validate(ann, vector, n, msg);
	if (err != 0)
		return err;
	if (ann_read_only(ann))
		return ERR_READONLY;
	if (atomic_load(&ann->ready))
		err = commit_put(ann, &put, ino);
	else
		err = first_put(ann, &put, ino, msg);
	if (err != 0)
		return err;
	indexer_wake(ann->indexer);
	return 0;
}

uint64_t ann_new_ino(struct ann *ann)
{
	return store_new_ino(ann->store);
}

void ann_wait_room(struct ann *ann)
{
	store_wait_room(ann->store);
	if (atomic_load(&ann->ready) && !ann->read_only)
		indexer_press(ann->indexer);
}

void ann_wait_checkpoint(struct ann *ann)
{
	store_wait_checkpoint(ann->store);
}

int ann_get(struct ann *ann, const char *id, size_t id_len, struct store_entry *entry_out,
	    float *vector_out)
{
	return store_get(ann->store, id, id_len, entry_out, vector_out);
}

/* There is an indexer as soon as anything can be deleted or replaced. */
static void wake(struct ann *ann, int err)
{
	if (err == 0 && atomic_load(&ann->ready))
		indexer_wake(ann->indexer);
}

int ann_remove(struct ann *ann, const char *id, size_t id_len, struct store_put_result *removed_out)
{
	int err = begin_commit(ann);

	if (err != 0)
		return err;
	err = store_delete(ann->store, id, id_len, death_hook, ann, removed_out);
	end_commit(ann);
	wake(ann, err);
	return err;
}

int ann_delete(struct ann *ann, const char *id, size_t id_len)
{
	struct store_put_result removed = {0};

	return ann_remove(ann, id, id_len, &removed);
}

int ann_rename(struct ann *ann, const char *from, size_t from_len, const char *to, size_t to_len,
	       unsigned flags)
{
	struct store_put_result result = {0};
	int err = ann_validate_id(to, to_len, NULL);

	if (err == 0)
		err = begin_commit(ann);
	if (err != 0)
		return err;
	err = store_rename(ann->store, from, from_len, to, to_len, flags, death_hook, ann, &result);
	end_commit(ann);
	wake(ann, err);
	return err;
}

int ann_set_attr(struct ann *ann, const char *id, size_t id_len, const struct store_attr *attr,
		 unsigned mask)
{
	return store_set_attr(ann->store, id, id_len, attr, mask);
}

int ann_get_xattrs(struct ann *ann, const char *id, size_t id_len, uint8_t *list_out,
		   uint32_t *len_out)
{
	return store_get_xattrs(ann->store, id, id_len, list_out, len_out);
}

int ann_set_xattrs(struct ann *ann, const char *id, size_t id_len, const struct xattrs *xattrs)
{
	return store_set_xattrs(ann->store, id, id_len, xattrs);
}

int ann_list(struct ann *ann, uint64_t cursor, struct store_entry *entries, uint64_t *cursors,
	     size_t cap, size_t *n_out)
{
	int err = store_list(ann->store, cursor, entries, cursors, cap, n_out);

	for (size_t i = 0; err == 0 && i < *n_out; i++)
		if (ann_validate_id(entries[i].id, entries[i].id_len, NULL) != 0)
			err = ERR_DAMAGED;
	return err;
}

int ann_sync(struct ann *ann)
{
	return store_sync(ann->store);
}

/* --- care --- */

int ann_index_some(struct ann *ann, size_t n, size_t *left_out)
{
	*left_out = 0;
	if (!atomic_load(&ann->ready))
		return 0;
	if (ann_read_only(ann)) {
		*left_out = (size_t)indexer_left(ann);
		return ERR_READONLY;
	}
	return indexer_some(ann->indexer, n, left_out);
}

int ann_flush(struct ann *ann)
{
	if (!atomic_load(&ann->ready))
		return 0;
	return ann_read_only(ann) ? ERR_READONLY : indexer_flush(ann->indexer);
}

void ann_drop_caches(struct ann *ann)
{
	struct ann_nodes *nodes = atomic_load(&ann->ready) ? ann->index.nodes : NULL;

	if (nodes != NULL && nodes->ops->forget != NULL)
		nodes->ops->forget(nodes);
	store_drop_caches(ann->store);
}

int ann_check(struct ann *ann, struct err_msg *msg)
{
	struct graph_check_report report = {0};
	int err;

	if (!atomic_load(&ann->ready))
		return 0;
	pthread_rwlock_rdlock(&ann->index.freeze);
	err = graph_check(&ann->index.graph, atomic_load(&ann->index.room), &report);
	pthread_rwlock_unlock(&ann->index.freeze);
	if (err == ERR_DAMAGED)
		return err_set(
			msg, err,
			"the graph is damaged: %llu nodes over their size, %llu links to "
			"themselves, %llu twice, %llu beyond the end; open it again to have "
			"it built anew",
			(unsigned long long)report.over_cap, (unsigned long long)report.self_links,
			(unsigned long long)report.duplicates, (unsigned long long)report.beyond);
	return err != 0 ? err_set(msg, err, "the graph cannot be checked: %s", err_str(err)) : 0;
}

void ann_reset_metrics(struct ann *ann)
{
	store_reset_metrics(ann->store);
	atomic_store(&ann->queries, 0);
	atomic_store(&ann->exact_queries, 0);
	atomic_store(&ann->scanned, 0);
	if (!atomic_load(&ann->ready))
		return;
	atomic_store(&ann->index.graph.distances, 0);
	atomic_store(&ann->index.graph.hops, 0);
	atomic_store(&ann->index.inserted, 0);
	atomic_store(&ann->index.repaired, 0);
}

static void graph_stats(struct ann *ann, struct ann_stats *stats)
{
	struct index *index = &ann->index;

	stats->distances = atomic_load(&index->graph.distances) + atomic_load(&ann->scanned);
	stats->hops = atomic_load(&index->graph.hops);
	stats->inserted = atomic_load(&index->inserted);
	stats->repaired = atomic_load(&index->repaired);
	stats->code_bytes = codes_bytes(&index->codes);
	stats->node_bytes = (uint64_t)store_pages(ann->store, STORE_GRAPH) *
			    store_page_size(ann->store);
	stats->table_bytes = (uint64_t)atomic_load(&index->room) * (1 + sizeof(uint32_t)) +
			     atomic_load(&index->room) / 8;
	stats->effort = index->effort;
	stats->code_bits = index->quant.bits;
	stats->degree = index->params.degree;
}

void ann_get_stats(struct ann *ann, struct ann_stats *stats_out)
{
	struct pending_counts counts;

	memset(stats_out, 0, sizeof(*stats_out));
	pending_count(&ann->pending, &counts);
	stats_out->vectors = counts.live;
	stats_out->tombstones = counts.tombstones + counts.repaired + counts.in_hand;
	stats_out->queries = atomic_load(&ann->queries);
	stats_out->exact_queries = atomic_load(&ann->exact_queries);
	stats_out->threads = ann->opts.threads;
	stats_out->kernel = dist_kernels()->name;
	if (!atomic_load(&ann->ready))
		return;
	stats_out->linked = counts.live - counts.members;
	stats_out->pending = indexer_left(ann);
	graph_stats(ann, stats_out);
}
