/*
 * cmd_import_load.c - stores the rows of all files, while the workers of the collection link them.
 *
 * Rows go in batches: read, looked for in the store, and those that are not there are stored one by
 * one, each a commit of its own. So a row is there whole or not at all, and a second run finds what
 * the first has done. Nothing is synced here: the store syncs its log every second, and its
 * checkpoints.
 *
 * What waits to be linked is bounded, so that its vectors are in memory when their turn comes, and so
 * that little is left to do when the last row is stored.
 */
#include "fs/cmd_import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/cmd_file.h"
#include "store/mem.h"

#define BATCH_ROWS 256u
#define BATCH_BYTES (1u << 20)
#define WAITING_ROWS 16384u
#define WAITING_BYTES (64u << 20)
#define PAUSE_NS (2 * 1000 * 1000)
#define SHOW_NS 200000000u	/* between two lines of progress */
#define STUCK_NS 10000000000ull /* without a vector being linked: nobody waits longer */
#define SMOOTH 0.9		/* of the rate: weight of what came before */

struct batch {
	float *rows; /* owned */
	size_t cap;
	struct ann_row row[BATCH_ROWS];
	bool skip[BATCH_ROWS]; /* superseded */
	bool same[BATCH_ROWS];
	char number[BATCH_ROWS][24]; /* ids of rows without names */
};

static uint64_t now(const struct import *import)
{
	return import->io->ops->now_ns(import->io, STORE_CLOCK_MONOTONIC);
}

static struct ann_stats stats_of(const struct import *import)
{
	struct ann_stats stats;

	ann_get_stats(import->ann, &stats);
	return stats;
}

uint64_t import_pending(const struct import *import)
{
	return stats_of(import).pending;
}

/* --- progress --- */

/* "1:02:03" or "2:03" */
static void print_time(double seconds, char *out, size_t size)
{
	uint64_t s = seconds < 359999 ? (uint64_t)seconds : 359999;

	if (s >= 3600)
		snprintf(out, size, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60,
			 s % 60);
	else
		snprintf(out, size, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
}

static void show(struct import *import)
{
	uint64_t t = now(import), linked, work;
	char text[96], left[24];
	struct ann_stats stats;
	double rate;

	if (!import->progress.terminal || t - import->shown_ns < SHOW_NS)
		return;
	stats = stats_of(import);
	linked = import->passed > stats.pending ? import->passed - stats.pending : 0;
	work = import->there + stats.inserted;
	rate = (double)(work - import->shown_work) * 1e9 / (double)(t - import->shown_ns);
	import->rate = import->rate == 0 ? rate : SMOOTH * import->rate + (1 - SMOOTH) * rate;
	import->shown_ns = t;
	import->shown_work = work;
	print_time(import->rate > 0 ? (double)(import->rows - linked) / import->rate : 359999, left,
		   sizeof(left));
	snprintf(text, sizeof(text), "%" PRIu64 " stored, %" PRIu64 " linked, %.0f/s, %s left",
		 import->passed, linked, import->rate, left);
	cmd_show_bar(&import->progress,
		     import->rows > 0 ? (double)linked / (double)import->rows : 1, text);
}

/* --- waiting for the workers --- */

/*
 * Until at most `most` vectors wait to be linked, or the workers do not get on: what is stored and
 * not linked is found all the same, and linked later.
 */
static int wait_for_links(struct import *import, uint64_t most)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct ann_stats stats = stats_of(import);
	uint64_t inserted = stats.inserted, since = now(import);

	while (stats.pending > most) {
		if (cmd_stopped())
			return ERR_INTERRUPTED;
		(void)nanosleep(&pause, NULL);
		show(import);
		stats = stats_of(import);
		if (stats.inserted != inserted)
			since = now(import);
		else if (now(import) - since > STUCK_NS)
			return ERR_AGAIN;
		inserted = stats.inserted;
	}
	return 0;
}

static uint64_t waiting_max(const struct import *import)
{
	uint64_t rows = WAITING_BYTES / (import->dim * sizeof(float));

	return rows < WAITING_ROWS ? rows : WAITING_ROWS;
}

int import_link(struct import *import, struct err_msg *msg)
{
	int rc = wait_for_links(import, 0);

	if (rc == ERR_AGAIN)
		return err_set(msg, rc,
			       "%" PRIu64
			       " vectors could not be linked into the index; queries find "
			       "them all the same, and the next mount tries again",
			       import_pending(import));
	return rc;
}

/* --- batches --- */

static int next_id(struct import *import, struct batch *batch, size_t i, uint64_t number)
{
	struct ann_row *row = &batch->row[i];

	batch->skip[i] = false;
	if (import->ids_path == NULL) {
		row->id_len = (size_t)snprintf(batch->number[i], sizeof(batch->number[i]),
					       "%" PRIu64, number);
		row->id = batch->number[i];
		return 0;
	}
	/* there are as many lines as rows */
	return import_ids_next(&import->ids, &row->id, &row->id_len, &batch->skip[i]) ? 0 :
											ERR_ABSENT;
}

static int put(struct import *import, const struct ann_row *row, struct err_msg *msg)
{
	struct err_msg why = {{0}};
	int rc = ann_put(import->ann, row->id, row->id_len, row->vector, import->dim, &import->attr,
			 STORE_PUT_KEEP_ATTR, NULL, &why);

	if (rc == 0)
		return 0;
	return err_set(msg, rc, "row %" PRIu64 " (vectors/%.*s): %s", import->passed,
		       (int)row->id_len, row->id, why.text[0] != '\0' ? why.text : err_str(rc));
}

/* The first row is stored: those before it were there already. */
static void say_resumed(struct import *import)
{
	char text[64];

	if (import->there == 0)
		return;
	snprintf(text, sizeof(text), "resumed at row %" PRIu64, import->passed);
	cmd_say(&import->progress, "remark", text);
}

static int store_batch(struct import *import, struct batch *batch, size_t n, struct err_msg *msg)
{
	int rc = 0;

	if (import->may_hold)
		rc = ann_compare(import->ann, batch->row, n, batch->same);
	if (rc != 0)
		return err_set(msg, rc, "%s cannot be read: %s; vecfs check says more",
			       import->path, err_str(rc));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!batch->skip[i] && !(import->may_hold && batch->same[i])) {
			rc = put(import, &batch->row[i], msg);
			if (rc != 0)
				break;
			if (import->stored++ == 0)
				say_resumed(import);
		} else {
			import->there += !batch->skip[i];
		}
		import->passed++;
	}
	return rc;
}

static int load_batch(struct import *import, struct vecio_reader *reader, struct batch *batch,
		      size_t *n_out, struct err_msg *msg)
{
	int read_rc = vecio_read(reader, batch->rows, batch->cap, n_out, msg), rc = 0;

	for (size_t i = 0; rc == 0 && i < *n_out; i++) {
		batch->row[i].vector = batch->rows + i * import->dim;
		rc = next_id(import, batch, i, import->passed + i);
	}
	if (rc != 0)
		return err_set(msg, ERR_INVALID, "%.200s has changed since it was looked at",
			       reader->name);
	rc = store_batch(import, batch, *n_out, msg);
	return rc != 0 ? rc : read_rc;
}

/* To be called between batches. */
static int make_room(struct import *import)
{
	int rc = cmd_stopped() ? ERR_INTERRUPTED : 0;

	if (rc == 0)
		store_wait_room(import->store);
	if (rc == 0)
		rc = wait_for_links(import, waiting_max(import));
	return rc == ERR_AGAIN ? 0 : rc;
}

static int load_file(struct import *import, size_t i, struct batch *batch, struct err_msg *msg)
{
	const char *path = import->files[i];
	struct cmd_vectors vectors;
	size_t n = 1;
	int rc = cmd_vectors_open(&vectors, path, msg);

	/* with other rows than before, those of all files behind it would get wrong ids */
	if (rc == 0 && (vectors.reader.rows != import->rows_of[i] ||
			(vectors.reader.dim != 0 && vectors.reader.dim != import->dim)))
		rc = err_set(msg, ERR_INVALID, "%.200s has changed since it was looked at", path);
	while (rc == 0 && n > 0) {
		rc = load_batch(import, &vectors.reader, batch, &n, msg);
		if (rc == 0)
			rc = make_room(import);
		show(import);
	}
	cmd_vectors_close(&vectors);
	return rc;
}

int import_store(struct import *import, struct err_msg *msg)
{
	struct batch *batch = mem_zalloc(1, sizeof(*batch));
	size_t row_bytes = import->dim * sizeof(float);
	int rc = 0;

	if (import->rows == 0)
		goto out;
	if (batch != NULL) {
		batch->cap = BATCH_BYTES / row_bytes < BATCH_ROWS ? BATCH_BYTES / row_bytes :
								    BATCH_ROWS;
		batch->rows = mem_alloc(batch->cap * row_bytes);
	}
	if (batch == NULL || batch->rows == NULL) {
		rc = err_set(msg, ERR_NOMEM, "%s", ERR_NOMEM_SENTENCE);
		goto out;
	}
	for (size_t i = 0; rc == 0 && i < import->n_files; i++)
		rc = load_file(import, i, batch, msg);
out:
	if (batch != NULL)
		mem_free(batch->rows);
	mem_free(batch);
	return rc;
}
