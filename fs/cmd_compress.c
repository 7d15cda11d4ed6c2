/*
 * cmd_compress.c - `vecfs compress STORE OUT`: writes the vectors of a store into a new one, without
 * gaps between them, compressed where that pays.
 *
 * What the index of STORE links lies together afterwards, so that a search reads fewer pages; the index
 * is taken over. Without one that can be read, vectors keep the order in which they stand in STORE, and
 * the next mount builds it.
 */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ann/ann.h"
#include "fs/cmd_output.h"
#include "fs/cmd_slot.h"
#include "fs/memory.h"
#include "store/mem.h"
#include "store/store.h"

#define SHOW_EVERY 4096u
#define AHEAD 64u /* vectors that are read together */

static const char help[] =
	"usage: vecfs compress STORE OUT [--page-size=BYTES]\n"
	"\n"
	"Copies the vectors of the store STORE, which must not be mounted, into the new store OUT, without\n"
	"gaps, compressed where that pays, and with those side by side that searches meet together: they\n"
	"then read fewer pages. STORE is not changed, an existing OUT not overwritten. The index for\n"
	"searches is taken over. Prints the bytes before and after. Exit code: 0 done, 4 STORE is damaged\n"
	"(vecfs recover saves the rest), 8 could not run.\n"
	"\n"
	"  --page-size=B     4K, 8K, 16K, 32K or 64K; without it that of STORE\n";

struct sizes {
	uint64_t head, log, graph;
	uint64_t out;
	uint64_t vectors;
	bool graph_kept;
};

/* What is copied: the slots in their new order, and the collection if its graph can be copied. */
struct source {
	struct store *store;
	struct ann *ann; /* NULL: without its graph */
	uint32_t *slots;
	size_t n;
};

static int measure(struct store_io *io, struct store *store, struct sizes *sizes)
{
	static const enum store_space spaces[] = {STORE_GRAPH, STORE_CODE, STORE_AUX};
	uint64_t *seqs = NULL;
	size_t n = 0;
	int rc = io->ops->size(io, &sizes->head);

	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		sizes->graph += (uint64_t)store_pages(store, spaces[i]) * store_page_size(store);
	if (rc == 0)
		rc = io->ops->log_list(io, &seqs, &n);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		uint64_t bytes = 0;

		rc = io->ops->log_size(io, seqs[i], &bytes);
		sizes->log += bytes;
	}
	mem_free(seqs);
	return rc;
}

/* Inside a read section. ERR_ABSENT: the slot is not in use. */
static int copy_slot(struct store *store, uint32_t slot, struct cmd_output *output,
		     struct err_msg *msg)
{
	uint8_t list[XATTRS_BYTES_MAX];
	struct xattrs xattrs = {list, 0};
	struct store_entry entry;
	const void *value;
	int rc = cmd_read_slot(store, slot, &entry, &value, msg);

	if (rc != 0)
		return rc;
	rc = store_get_xattrs(store, entry.id, entry.id_len, list, &xattrs.len);
	if (rc != 0)
		return err_set(msg, rc, "the extended attributes of vectors/%s cannot be read: %s",
			       entry.id, err_str(rc));
	rc = cmd_output_put(output, &entry, value, store_value_size(store), &xattrs, msg);
	if (rc == ERR_EXISTS)
		rc = err_set(msg, ERR_DAMAGED, "vectors/%s stands twice in the store", entry.id);
	return rc;
}

/* Reads together what is copied next. */
static void read_ahead(const struct source *source, size_t at)
{
	store_read_begin(source->store);
	store_value_prefetch(source->store, source->slots + at,
			     source->n - at < AHEAD ? source->n - at : AHEAD);
	store_read_end(source->store);
}

/* The graph of the source for what was copied. */
static int copy_graph(const struct source *source, struct cmd_output *output, struct sizes *sizes,
		      struct err_msg *msg)
{
	struct ann_opts opts = {.threads = 1};
	struct ann_stats stats;
	struct ann *ann = NULL;
	int rc, close_rc;

	if (source->ann == NULL || sizes->graph == 0 || sizes->vectors != source->n)
		return 0; /* no graph, or slots that are not those of the order */
	ann_get_stats(source->ann, &stats);
	opts.code_bits = stats.code_bits;
	rc = ann_open(output->store, &opts, &ann, NULL, msg);
	if (rc != 0)
		return rc;
	rc = ann_copy_graph(source->ann, ann, source->slots, source->n);
	sizes->graph_kept = rc == 0;
	if (rc == ERR_DAMAGED)
		rc = 0; /* what is missing is linked by the first mount */
	close_rc = ann_close(ann);
	rc = rc != 0 ? rc : close_rc;
	return rc != 0 ? err_set(msg, rc, "the index cannot be copied: %s", err_str(rc)) : 0;
}

static int copy(const struct source *source, struct cmd_output *output, uint32_t page_size,
		uint64_t cache_bytes, struct sizes *sizes, struct err_msg *msg)
{
	struct store *store = source->store;
	struct store_geometry geometry = {
		.page_size = page_size != 0 ? page_size : store_page_size(store),
		.value_size = store_value_size(store),
		.kind = store_kind(store),
	};
	int rc = cmd_output_create(output, &geometry, cache_bytes, msg);

	for (size_t i = 0; rc == 0 && i < source->n; i++) {
		if (i % SHOW_EVERY == 0)
			cmd_show_progress(&output->progress, "vectors", i, source->n);
		if (i % AHEAD == 0)
			read_ahead(source, i);
		store_read_begin(store);
		rc = copy_slot(store, source->slots[i], output, msg);
		store_read_end(store);
		sizes->vectors += rc == 0;
		if (rc == ERR_ABSENT)
			rc = 0;
	}
	if (rc == 0)
		rc = copy_graph(source, output, sizes, msg);
	return rc == 0 ? cmd_output_finish(output, &sizes->out, msg) : rc;
}

/* All slots as they stand. */
static int plain_order(struct source *source)
{
	source->n = store_slots(source->store);
	source->slots = mem_alloc(source->n * sizeof(*source->slots));
	if (source->slots == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < source->n; i++)
		source->slots[i] = (uint32_t)i;
	return 0;
}

/* The order in which to copy. The graph is only of use: without it there is another order. */
static int prepare(struct source *source, struct cmd_output *output, struct err_msg *msg)
{
	/* with the bits it has: others would be made anew from all vectors, and may not fit in memory */
	const struct ann_opts opts = {.threads = 1, .code_bits = ann_stored_bits(source->store)};
	struct err_msg note = {{0}}, why = {{0}};
	int rc = ann_open(source->store, &opts, &source->ann, &note, &why);

	if (rc == 0) {
		rc = ann_order(source->ann, &source->slots, &source->n);
		(void)err_set(&why, rc, "the index cannot be read: %s", err_str(rc));
	}
	if (rc == 0 && note.text[0] == '\0')
		return 0;
	if (rc != ERR_NOMEM)
		cmd_say(&output->progress, "remark", rc == 0 ? note.text : why.text);
	(void)ann_close(source->ann); /* it is read-only: there is nothing to lose */
	source->ann = NULL;
	if (rc == ERR_NOMEM)
		return err_set(msg, rc, "%s", ERR_NOMEM_SENTENCE);
	mem_free(source->slots);
	return plain_order(source);
}

static void release_source(struct source *source)
{
	(void)ann_close(source->ann); /* as above */
	mem_free(source->slots);
	store_abandon(source->store);
}

static int compress(const char *path, struct cmd_output *output, uint32_t page_size,
		    struct sizes *sizes, struct err_msg *msg)
{
	const uint64_t memory = memory_auto_cache(memory_usable());
	struct store_opts opts = {.read_only = true, .cache_bytes = memory / 2};
	struct store_open_report report = {0};
	struct store_io *io = NULL;
	struct source source = {0};
	int rc = io_posix_new(path, &io, msg);

	if (rc == 0)
		rc = store_open(io, &opts, &source.store, &report, msg);
	rc = cmd_explain_busy(path, rc, msg);
	if (rc == 0 && report.note.text[0] != '\0')
		cmd_say(&output->progress, "remark", report.note.text);
	if (rc == 0)
		rc = measure(io, source.store, sizes);
	if (rc == 0)
		rc = prepare(&source, output, msg);
	if (rc == 0)
		rc = copy(&source, output, page_size, memory / 2, sizes, msg);
	release_source(&source);
	if (io != NULL)
		io->ops->close(io);
	return rc;
}

static void show_sizes(const char *path, const char *out, const struct sizes *sizes)
{
	const uint64_t before = sizes->head + sizes->log;

	printf("before: %" PRIu64 " bytes (file %" PRIu64 ", log %" PRIu64 ") in %s\n", before,
	       sizes->head, sizes->log, path);
	if (sizes->graph > 0)
		printf("        %" PRIu64 " of them for the index of searches, which %s\n",
		       sizes->graph,
		       sizes->graph_kept ? "is taken over" : "the first mount builds anew");
	printf("after:  %" PRIu64 " bytes in %s\n", sizes->out, out);
	printf("%" PRIu64 " vectors, %.1f %% of the bytes (ratio %.2f)\n", sizes->vectors,
	       100.0 * (double)sizes->out / (double)before, (double)before / (double)sizes->out);
}

int cmd_compress(int argc, char **argv)
{
	struct cmd_output output = {0};
	struct sizes sizes = {0};
	struct err_msg msg = {{0}};
	const char *operands[2];
	uint32_t page_size = 0;
	int rc = cmd_output_operands(argc, argv, help, operands, &page_size);

	if (rc >= 0)
		return rc;
	rc = cmd_output_prepare(&output, operands[1], &msg);
	if (rc == 0) {
		cmd_wait_closed(operands[0]);
		rc = compress(operands[0], &output, page_size, &sizes, &msg);
	}
	cmd_end_progress(&output.progress);
	cmd_output_release(&output);
	if (rc != 0) {
		fprintf(stderr, "vecfs: %s%s\n", msg.text[0] != '\0' ? msg.text : err_str(rc),
			rc == ERR_DAMAGED ? "; vecfs recover saves what can be read" : "");
		return rc == ERR_DAMAGED ? EXIT_DAMAGED : EXIT_CANNOT_RUN;
	}
	show_sizes(operands[0], operands[1], &sizes);
	return EXIT_CLEAN;
}
