/*
 * metrics.c - the text of status/metrics: the Prometheus text exposition format.
 */
#include "fs/status.h"

#include <inttypes.h>

#include "fs/fs.h"
#include "fs/memory.h"
#include "fs/text.h"
#include "fs/version.h"

static const char *const op_names[STATUS_OP_COUNT] = {
#define OP_NAME(name) #name,
	STATUS_OPS(OP_NAME)
#undef OP_NAME
};

static const char *const class_names[STORE_CLASSES] = {
	[STORE_CLASS_GRAPH] = "graph",
	[STORE_CLASS_VECTOR] = "vector",
	[STORE_CLASS_MAP] = "map",
};

/* The lines before the samples of a metric; name without "vecfs_". */
static void head(struct text *text, const char *name, const char *type, const char *help)
{
	text_format(text, "# HELP vecfs_%s %s\n# TYPE vecfs_%s %s\n", name, help, name, type);
}

static void gauge(struct text *text, const char *name, const char *help, uint64_t value)
{
	head(text, name, "gauge", help);
	text_format(text, "vecfs_%s %" PRIu64 "\n", name, value);
}

static void gauge_real(struct text *text, const char *name, const char *help, double value)
{
	head(text, name, "gauge", help);
	text_format(text, "vecfs_%s %.9g\n", name, value);
}

static void counter(struct text *text, const char *name, const char *help, uint64_t value)
{
	head(text, name, "counter", help);
	text_format(text, "vecfs_%s %" PRIu64 "\n", name, value);
}

static void by_kind(struct text *text, const char *name, const char *help,
		    const uint64_t values[STORE_CLASSES])
{
	head(text, name, "counter", help);
	for (int i = 0; i < STORE_CLASSES; i++)
		text_format(text, "vecfs_%s{kind=\"%s\"} %" PRIu64 "\n", name, class_names[i],
			    values[i]);
}

/* Without a lookup nothing was missed. */
static double rate(uint64_t hits, uint64_t misses)
{
	return hits + misses > 0 ? (double)hits / ((double)hits + (double)misses) : 1;
}

static void collection(struct text *text, struct fs *fs, const struct ann_stats *ann)
{
	gauge(text, "vectors", "Vectors stored.", ann->vectors);
	gauge(text, "vectors_pending", "Vectors stored but not linked in the graph yet.",
	      ann->pending);
	gauge(text, "vectors_linked", "Vectors linked in the graph.", ann->linked);
	gauge(text, "tombstones", "Deleted vectors whose links are not repaired yet.",
	      ann->tombstones);
	gauge(text, "dimension", "Numbers in a vector; 0 until the first is written.",
	      ann_dim(fs->ann));
	counter(text, "graph_inserted_total", "Vectors linked in the graph.", ann->inserted);
	counter(text, "graph_repaired_total", "Deleted vectors repaired out of the graph.",
		ann->repaired);
	counter(text, "distances_total", "Distances computed.", ann->distances);
	counter(text, "hops_total", "Graph nodes visited by searches.", ann->hops);
}

static void cache(struct text *text, const struct store_stats *store)
{
	uint64_t hits = 0, misses = 0;

	for (int i = 0; i < STORE_CLASSES; i++) {
		hits += store->hits[i];
		misses += store->misses[i];
	}
	head(text, "cache_hit_rate", "gauge", "Share of page lookups found in memory.");
	text_format(text, "vecfs_cache_hit_rate %.9g\n", rate(hits, misses));
	for (int i = 0; i < STORE_CLASSES; i++)
		text_format(text, "vecfs_cache_hit_rate{kind=\"%s\"} %.9g\n", class_names[i],
			    rate(store->hits[i], store->misses[i]));
	by_kind(text, "cache_hits_total", "Page lookups found in memory.", store->hits);
	by_kind(text, "cache_misses_total", "Page lookups that had to read.", store->misses);
	by_kind(text, "cache_evictions_total", "Pages dropped from memory.", store->evictions);
	gauge(text, "cache_limit_bytes", "Bound of the page cache.", store->cache_limit);
	gauge(text, "cache_dirty_bytes", "Changed pages that are not on disk yet.",
	      store->dirty_bytes);
	gauge(text, "cache_thrashing", "1 while pages are pushed out faster than they are used.",
	      store->thrashing ? 1 : 0);
	counter(text, "cache_thrashings_total", "Times that this began.", store->thrashings);
	counter(text, "decompressions_total", "Pages decompressed.", store->decompressions);
}

static void disk(struct text *text, const struct store_stats *store)
{
	double ratio = store->page_bytes_stored > 0 ? (double)store->page_bytes_logical /
							      (double)store->page_bytes_stored :
						      1;

	gauge(text, "wal_bytes", "Bytes of all log segments.", store->wal_bytes);
	counter(text, "wal_syncs_total", "Syncs of the log.", store->wal_syncs);
	counter(text, "wal_appends_total", "Records appended to the log.", store->wal_appends);
	head(text, "checkpoint_seconds", "summary", "Duration of checkpoints.");
	text_format(text, "vecfs_checkpoint_seconds_sum %.9g\n",
		    (double)store->checkpoint_ns_total / 1e9);
	text_format(text, "vecfs_checkpoint_seconds_count %" PRIu64 "\n", store->checkpoints);
	counter(text, "checkpoint_failures_total", "Checkpoints that failed.",
		store->checkpoint_failures);
	gauge_real(text, "checkpoint_age_seconds",
		   "Time since the last checkpoint that succeeded; 0 before the first.",
		   (double)store->checkpoint_age_ns / 1e9);
	gauge_real(text, "checkpoint_pause_seconds_max",
		   "Longest time that a checkpoint held up writers.",
		   (double)store->checkpoint_pause_ns_max / 1e9);
	gauge(text, "store_lsn", "Number of the last log record.", store->last_lsn);
	gauge(text, "store_durable_lsn", "Number of the last log record known to be on disk.",
	      store->durable_lsn);
	gauge(text, "store_checkpoint_lsn", "Number of the last log record that is in the pages.",
	      store->ckpt_lsn);
	gauge(text, "store_generation", "Commits of the store file.", store->generation);
	gauge(text, "store_file_bytes", "Bytes of the store file.", store->file_bytes);
	gauge(text, "store_free_bytes", "Bytes of the store file that can be used again.",
	      store->free_bytes);
	gauge_real(text, "compression_ratio",
		   "Bytes of vector pages over the bytes they take on disk.", ratio);
}

/* What went wrong, on disk and at the opening. */
static void trouble(struct text *text, const struct fs *fs, const struct store_stats *store)
{
	const struct store_open_report *opened = &fs->opened;

	gauge(text, "store_poisoned", "1 after a failed sync: writes are refused.",
	      store->poisoned ? 1 : 0);
	gauge(text, "store_read_only", "1 when nothing can be written.",
	      store_read_only(fs->store) ? 1 : 0);
	gauge(text, "damaged_pages", "Pages known to be unreadable on disk.", store->damaged_pages);
	gauge(text, "open_replayed_records", "Log records replayed by this mount.",
	      opened->replayed);
	gauge(text, "open_cut_bytes", "Bytes of an unfinished log record cut by this mount.",
	      opened->cut_bytes);
	gauge(text, "open_discarded_records",
	      "Log records that this mount left out: unsynced at a power cut, or behind damage.",
	      opened->discarded);
	gauge(text, "open_older_slot", "1 when this mount had to use the older commit slot.",
	      opened->older_slot ? 1 : 0);
	gauge(text, "open_lost_lsn_first",
	      "First LSN that recover=prefix left out; 0 when it left none out.",
	      opened->lost_from);
	gauge(text, "open_lost_lsn_last", "Last LSN that recover=prefix left out.",
	      opened->lost_to);
}

static void memory(struct text *text, const struct ann_stats *ann, const struct store_stats *store)
{
	const struct {
		const char *part;
		uint64_t bytes;
	} parts[] = {
		{"codes", ann->code_bytes},
		{"nodes", ann->node_bytes},
		{"tables", ann->table_bytes},
		{"cache_graph", store->resident_bytes[STORE_CLASS_GRAPH]},
		{"cache_vector", store->resident_bytes[STORE_CLASS_VECTOR]},
		{"cache_map", store->resident_bytes[STORE_CLASS_MAP]},
		{"resident", memory_resident()},
	};

	head(text, "memory_bytes", "gauge",
	     "Memory by part: codes up to the last slot used; nodes are the pages of the graph, in "
	     "memory or not; resident is the whole process.");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		text_format(text, "vecfs_memory_bytes{part=\"%s\"} %" PRIu64 "\n", parts[i].part,
			    parts[i].bytes);
}

static void operations(struct text *text, const struct status_counters *counters)
{
	uint64_t below = 0;

	head(text, "query_seconds", "histogram",
	     "Time of a query; those of a batch share its time.");
	for (unsigned i = 0; i < STATUS_BOUNDS; i++) {
		below += counters->query_times[i];
		text_format(text, "vecfs_query_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
			    status_bounds[i], below);
	}
	below += counters->query_times[STATUS_BOUNDS];
	text_format(text, "vecfs_query_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", below);
	text_format(text, "vecfs_query_seconds_sum %.9g\n", (double)counters->query_ns / 1e9);
	text_format(text, "vecfs_query_seconds_count %" PRIu64 "\n", below);
	head(text, "ops_total", "counter", "Operations by kind.");
	for (int i = 0; i < STATUS_OP_COUNT; i++)
		text_format(text, "vecfs_ops_total{op=\"%s\"} %" PRIu64 "\n", op_names[i],
			    counters->ops[i]);
	counter(text, "errors_total", "Operations refused or failed; status/errors has the last.",
		counters->errors);
}

int status_metrics_text(struct fs *fs, char **text_out, size_t *len_out)
{
	struct ann_stats ann = {0};
	struct store_stats store = {0};
	struct status_counters counters = {0};
	struct text text;

	ann_get_stats(fs->ann, &ann);
	store_get_stats(fs->store, &store);
	status_get_counters(fs->status, &counters);
	text_init(&text, 12288);
	head(&text, "build_info", "gauge", "Version of the program.");
	text_format(&text, "vecfs_build_info{version=\"%s\",kernel=\"%s\"} 1\n", VECFS_VERSION,
		    ann.kernel != NULL ? ann.kernel : "");
	head(&text, "start_time_seconds", "gauge", "Time of the mount, since 1970.");
	text_format(&text, "vecfs_start_time_seconds %.3f\n", (double)fs->start_ns / 1e9);
	collection(&text, fs, &ann);
	cache(&text, &store);
	disk(&text, &store);
	trouble(&text, fs, &store);
	memory(&text, &ann, &store);
	operations(&text, &counters);
	return text_take(&text, text_out, len_out);
}
