/*
 * cmd_stat.c - `vecfs stat STORE|MOUNTPOINT`: what is in a store, and what it takes.
 *
 * A store that is mounted is asked through its mount: status/metrics and status/config.
 */
#include "fs/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ann/ann.h"
#include "fs/memory.h"
#include "fs/mount_point.h"
#include "store/io.h"
#include "store/mem.h"
#include "store/store.h"

static const char help[] =
	"usage: vecfs stat STORE|MOUNTPOINT\n"
	"\n"
	"Prints dimension, metric, counts, sizes, compression, the state of the log, advice about the\n"
	"cache, and whether there is a sign of damage, of a store that is mounted or not.\n"
	"Exit code: 0 printed, 1 could not be read.\n";

struct view {
	char where[4200];
	char metric[16];
	bool mounted, read_only;
	uint64_t dim, vectors, pending, page_size;
	uint64_t code_bits; /* 0: no codes yet */
	uint64_t file_bytes, free_bytes, wal_bytes;
	uint64_t cache_bytes; /* of the mount; 0 when there is none */
	double compression, hit_rate;
	char log[160];	   /* how it ends, or what is waiting in it */
	char damaged[600]; /* "no", or "yes: " and why */
};

/* --- a store that is not mounted --- */

static void view_store(struct store *store, struct view *view)
{
	struct store_stats stats = {0};

	store_get_stats(store, &stats);
	snprintf(view->metric, sizeof(view->metric), "%s",
		 ann_metric_name((enum ann_metric)store_kind(store)));
	view->dim = store_value_size(store) / sizeof(float);
	view->vectors = stats.live;
	view->page_size = store_page_size(store);
	view->code_bits = ann_stored_bits(store);
	view->file_bytes = stats.file_bytes;
	view->free_bytes = stats.free_bytes;
	view->compression = stats.page_bytes_stored > 0 ? (double)stats.page_bytes_logical /
								  (double)stats.page_bytes_stored :
							  1;
}

static void say_log(struct view *view, const char *format, unsigned long long number)
{
	(void)snprintf(view->log, sizeof(view->log), format, number); /* long enough */
}

/* What opening read-only found. */
static void view_opening(const struct store_open_report *report, struct view *view)
{
	if (report->lost_from != 0)
		say_log(view, "damaged: nothing from LSN %llu on can be replayed",
			report->lost_from);
	else if (report->replayed > 0)
		say_log(view, "%llu records to be replayed by the next mount", report->replayed);
	else
		say_log(view, "nothing to be replayed", 0);
	if (report->lost_from != 0 || report->older_slot)
		(void)snprintf(view->damaged, sizeof(view->damaged), "yes: %s", report->note.text);
}

/* The segments that are there; opened read-only, the store has no log of its own. */
static int sum_log(struct store_io *io, uint64_t *bytes_out)
{
	uint64_t *seqs = NULL;
	size_t n = 0;
	int rc = io->ops->log_list(io, &seqs, &n);

	*bytes_out = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		uint64_t bytes = 0;

		rc = io->ops->log_size(io, seqs[i], &bytes);
		*bytes_out += bytes;
	}
	mem_free(seqs);
	return rc;
}

static int read_store(const char *path, struct view *view, struct err_msg *msg)
{
	struct store_opts opts = {.read_only = true, .recover_prefix = true};
	struct store_open_report report;
	struct store_io *io = NULL;
	struct store *store = NULL;
	int rc = io_posix_new(path, &io, msg);

	if (rc == 0)
		rc = store_open(io, &opts, &store, &report, msg);
	if (rc == 0) {
		view_store(store, view);
		view_opening(&report, view);
		store_abandon(store);
		rc = sum_log(io, &view->wal_bytes);
	}
	if (io != NULL)
		io->ops->close(io);
	return rc;
}

/* --- a mount --- */

static int read_text(const char *mountpoint, const char *name, char *buf, size_t size,
		     struct err_msg *msg)
{
	char path[4200];
	FILE *file;
	size_t got = 0;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/status/%s", mountpoint, name);
	file = fopen(path, "re");
	if (file != NULL)
		got = fread(buf, 1, size - 1, file);
	if (file == NULL || ferror(file) != 0)
		rc = err_set(msg, errno == EACCES ? ERR_PERMISSION : ERR_ABSENT,
			     "%s cannot be read: %s; expected the mount point of a vecfs store",
			     path, strerror(errno));
	buf[got] = '\0';
	if (file != NULL)
		(void)fclose(file); /* only read */
	return rc;
}

/* The text after a key at the start of a line, or NULL. */
static const char *after(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text != NULL) {
		if (strncmp(text, key, len) == 0)
			return text + len;
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return NULL;
}

static double number_after(const char *text, const char *key)
{
	const char *at = after(text, key);

	return at != NULL ? strtod(at, NULL) : 0;
}

static uint64_t count_after(const char *text, const char *key)
{
	const char *at = after(text, key);

	return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static void view_trouble(const char *metrics, struct view *view)
{
	uint64_t pages = count_after(metrics, "vecfs_damaged_pages ");

	say_log(view, "written up to LSN %llu", count_after(metrics, "vecfs_store_lsn "));
	if (count_after(metrics, "vecfs_store_poisoned ") != 0)
		(void)snprintf(view->damaged, sizeof(view->damaged),
			       "yes: the disk failed, writes are refused; unmount and mount again");
	else if (count_after(metrics, "vecfs_open_lost_lsn_first ") != 0)
		(void)snprintf(view->damaged, sizeof(view->damaged),
			       "yes: the log, of which the intact beginning is served");
	else if (pages > 0)
		(void)snprintf(view->damaged, sizeof(view->damaged),
			       "yes: %" PRIu64 " pages cannot be read; status/errors names them",
			       pages);
}

static void view_mount(const char *metrics, const char *config, struct view *view)
{
	const char *metric = after(config, "  \"metric\": \"");

	view->mounted = true;
	if (metric != NULL)
		snprintf(view->metric, sizeof(view->metric), "%.*s", (int)strcspn(metric, "\""),
			 metric);
	view->read_only = after(config, "  \"read_only\": true") != NULL;
	view->dim = count_after(config, "  \"dim\": ");
	view->page_size = count_after(config, "  \"page_size\": ");
	view->code_bits = count_after(config, "  \"code_bits\": ");
	view->cache_bytes = count_after(config, "  \"cache_bytes\": ");
	view->vectors = count_after(metrics, "vecfs_vectors ");
	view->pending = count_after(metrics, "vecfs_vectors_pending ");
	view->file_bytes = count_after(metrics, "vecfs_store_file_bytes ");
	view->free_bytes = count_after(metrics, "vecfs_store_free_bytes ");
	view->wal_bytes = count_after(metrics, "vecfs_wal_bytes ");
	view->compression = number_after(metrics, "vecfs_compression_ratio ");
	view->hit_rate = number_after(metrics, "vecfs_cache_hit_rate ");
	view_trouble(metrics, view);
}

static int read_mount(const char *mountpoint, struct view *view, struct err_msg *msg)
{
	const size_t size = 65536;
	char *metrics = mem_alloc(size), *config = mem_alloc(size);
	int rc = metrics == NULL || config == NULL ?
			 err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM)) :
			 read_text(mountpoint, "metrics", metrics, size, msg);

	if (rc == 0)
		rc = read_text(mountpoint, "config", config, size, msg);
	if (rc == 0)
		view_mount(metrics, config, view);
	mem_free(metrics);
	mem_free(config);
	return rc;
}

/* --- what is printed --- */

static void print_bytes(const char *name, uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	printf("%-12s %14" PRIu64 " bytes", name, bytes);
	if (unit > 0)
		printf("   %7.1f %s", value, units[unit]);
	printf("\n");
}

static void print_advice(const struct view *view)
{
	uint64_t raw = view->vectors * view->dim * sizeof(float);
	uint64_t bound = view->cache_bytes != 0 ? view->cache_bytes :
						  memory_auto_cache(memory_usable());
	const char *advice = "the pages used most are kept; raise cache= when the hit rate is low";

	if (view->vectors >= 10000000)
		advice = "too many vectors for one store to be fast: shard them over several";
	else if (view->vectors >= 1000000)
		advice =
			"the pages used most are kept; larger pages (mkfs --page-size=64K) are advised for "
			"so many vectors";
	else if (raw <= bound)
		advice = "everything stays in memory";
	printf("%-12s %s of %" PRIu64 " MiB: %s\n", "cache",
	       view->cache_bytes != 0 ? "bound" : "cache=auto would be a bound", bound >> 20,
	       advice);
}

static void print_contents(const struct view *view)
{
	printf("%-12s %" PRIu64 "\n", "vectors", view->vectors);
	if (view->mounted)
		printf("%-12s %" PRIu64 "%s\n", "pending", view->pending,
		       view->pending > 0 ? " (not in the index yet; searches find them)" : "");
	if (view->dim != 0)
		printf("%-12s %" PRIu64 "\n", "dim", view->dim);
	else
		printf("%-12s not known yet: the first vector decides\n", "dim");
	printf("%-12s %s\n", "metric", view->metric);
	if (view->code_bits != 0)
		printf("%-12s %" PRIu64 " (a dimension; they steer a search from memory)\n",
		       "code bits", view->code_bits);
}

static void print_sizes(const struct view *view)
{
	print_bytes("raw vectors", view->vectors * view->dim * sizeof(float));
	print_bytes("file", view->file_bytes);
	print_bytes("free in file", view->free_bytes);
	print_bytes("log", view->wal_bytes);
	print_bytes("page size", view->page_size);
	printf("%-12s %.3f (bytes of vector pages over the bytes they take on disk)\n",
	       "compression", view->compression);
}

/* What it is and whether it is well, what is in it, what it takes, how it runs. */
static void print_view(const struct view *view)
{
	printf("%-12s %s%s\n", view->mounted ? "mounted at" : "store", view->where,
	       view->mounted ? "" : " (not mounted)");
	printf("%-12s %s\n\n", "damaged",
	       view->damaged[0] != '\0' ? view->damaged :
	       view->mounted && !view->read_only ?
					  "no sign of it; echo verify > status/control looks" :
					  "no sign of it; vecfs check looks at everything");
	print_contents(view);
	printf("\n");
	print_sizes(view);
	printf("\n%-12s %s\n", "log state", view->log);
	if (view->mounted)
		printf("%-12s %.3f\n", "hit rate", view->hit_rate);
	print_advice(view);
}

static int read_any(const char *path, struct view *view, struct err_msg *msg)
{
	struct mount_point_entry entry;
	struct stat st;
	char *absolute = NULL;
	const char *mountpoint;
	int rc;

	snprintf(view->where, sizeof(view->where), "%.4095s", path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return read_mount(path, view, msg);
	cmd_wait_closed(path);
	rc = mount_point_resolve(path, &absolute, msg);
	mountpoint = absolute;
	if (rc == 0)
		rc = read_store(absolute, view, msg);
	if (rc == ERR_BUSY && mount_point_find(NULL, absolute, &entry)) {
		mountpoint = view->where;
		snprintf(view->where, sizeof(view->where), "%.4095s", entry.mountpoint);
		rc = read_mount(mountpoint, view, msg);
	}
	if (rc == ERR_PERMISSION && mountpoint != NULL && mount_point_closed(mountpoint, &entry))
		rc = err_set(msg, rc,
			     "user %u has mounted the store %.200s at %.200s and lets in nobody "
			     "else, not even root; ask as that user, or mount it with allow_other",
			     entry.uid, entry.source, entry.mountpoint);
	mem_free(absolute);
	return rc;
}

int cmd_stat(int argc, char **argv)
{
	struct view view = {.compression = 1};
	struct err_msg msg = {{0}};
	const char *path;
	int rc = cmd_one_operand(argc, argv, help, "", &path);

	if (rc >= 0)
		return rc;
	rc = read_any(path, &view, &msg);
	if (rc != 0) {
		if (msg.text[0] == '\0')
			(void)err_set(&msg, rc, "%s: %s", path, err_str(rc));
		fprintf(stderr, "vecfs: %s\n", msg.text);
		return 1;
	}
	print_view(&view);
	return 0;
}
