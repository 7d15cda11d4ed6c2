/*
 * config.c - the text of status/config: what this mount runs with, as one JSON object.
 */
#include "fs/status.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/text.h"
#include "fs/version.h"

static const char *durability_name(enum wal_durability durability)
{
	switch (durability) {
	case WAL_LOG:
		return "log";
	case WAL_CLOSE:
		return "close";
	case WAL_NONE:
		return "none";
	}
	return "unknown";
}

static void text_field(struct text *text, const char *name, const char *value)
{
	text_format(text, "  \"%s\": ", name);
	text_json(text, value, strlen(value));
	text_string(text, ",\n");
}

static void number_field(struct text *text, const char *name, uint64_t value)
{
	text_format(text, "  \"%s\": %" PRIu64 ",\n", name, value);
}

static void truth_field(struct text *text, const char *name, bool value)
{
	text_format(text, "  \"%s\": %s,\n", name, value ? "true" : "false");
}

int status_config_text(struct fs *fs, char **text_out, size_t *len_out)
{
	const struct fs_opts *opts = &fs->opts;
	struct ann_stats ann = {0};
	struct store_stats store = {0};
	uint32_t dim = ann_dim(fs->ann);
	struct text text;

	ann_get_stats(fs->ann, &ann);
	store_get_stats(fs->store, &store);
	text_init(&text, 1024);
	text_string(&text, "{\n");
	text_field(&text, "version", VECFS_VERSION);
	number_field(&text, "pid", (uint64_t)getpid());
	text_field(&text, "store", opts->store_path);
	text_field(&text, "mountpoint", opts->mountpoint);
	number_field(&text, "dim", dim != 0 ? dim : opts->dim);
	text_field(&text, "metric", ann_metric_name(ann_get_metric(fs->ann)));
	text_field(&text, "cache", opts->cache_auto ? "auto" : "fixed");
	number_field(&text, "cache_bytes", store.cache_limit);
	text_field(&text, "durability", durability_name(opts->durability));
	/* Before the first vector the collection has not chosen; 0 says so. */
	number_field(&text, "effort", ann.effort != 0 ? ann.effort : opts->effort);
	number_field(&text, "threads", ann.threads != 0 ? ann.threads : opts->threads);
	number_field(&text, "code_bits", ann.code_bits != 0 ? ann.code_bits : opts->code_bits);
	number_field(&text, "degree", ann.degree);
	text_field(&text, "kernel", ann.kernel != NULL ? ann.kernel : "");
	truth_field(&text, "read_only", ann_read_only(fs->ann));
	truth_field(&text, "allow_other", opts->allow_other);
	text_format(&text, "  \"page_size\": %" PRIu32 "\n}\n", store_page_size(fs->store));
	return text_take(&text, text_out, len_out);
}
