/*
 * cmd_import.c - `vecfs import STORE FILE... [--ids FILE]`: loads files of vectors into a store.
 */
#include "fs/cmd_import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/memory.h"
#include "store/mem.h"

static const char help[] =
	"usage: vecfs import STORE FILE... [--ids=FILE]\n"
	"\n"
	"Stores every row of the files as a vector of STORE, which must exist (vecfs mkfs makes one) and\n"
	"must not be mounted. The end of its name says how a FILE is read: .fvecs, .bvecs, .fbin, .u8bin,\n"
	"or .npy with float32, float64, float16, int8 or uint8. A store of unknown dimension takes that of\n"
	"the files. An id that exists is overwritten, as by cp, and keeps its mode, owner and user.*\n"
	"attributes; a new one is like a new file, without attributes.\n"
	"\n"
	"Interrupted by Ctrl-C, a full disk or a power cut, the same command run again goes on: rows that\n"
	"are stored already are skipped. Exit code: 0 done, 1 something failed or it was interrupted.\n"
	"\n"
	"  --ids=FILE        a line for each row, its id; without it the row numbers are the ids, from 0\n"
	"                    on over all files\n";

/* --- the command line --- */

/* The operands move to the front of argv; *ids_out: the value of --ids. Returns as cmd_one_operand. */
static int parse(int argc, char **argv, int *n_out, const char **ids_out)
{
	bool only_operands = false;
	int n = 0;

	*ids_out = NULL;
	for (int i = 1; i < argc; i++) {
		char *word = argv[i];

		if (only_operands || word[0] != '-' || word[1] == '\0') {
			argv[n++] = word;
		} else if (strcmp(word, "--help") == 0) {
			fputs(help, stdout);
			return 0;
		} else if (strcmp(word, "--") == 0) {
			only_operands = true;
		} else if (strncmp(word, "--ids", 5) == 0 && (word[5] == '=' || word[5] == '\0')) {
			if (*ids_out != NULL)
				return cmd_refuse(help, "--ids is given twice", "");
			*ids_out = word[5] == '=' ? word + 6 : argv[++i];
			if (*ids_out == NULL || **ids_out == '\0')
				return cmd_refuse(help, "option --ids needs a file", "");
		} else {
			return cmd_refuse(help, "unknown option ", word);
		}
	}
	*n_out = n;
	return n < 2 ? cmd_refuse(help, "an argument is missing", "") : -1;
}

/* --- the stack --- */

static int explain(int rc, const struct import *import, struct err_msg *msg)
{
	if (rc == ERR_ABSENT)
		return err_set(msg, rc,
			       "there is no store %.200s; make it first: vecfs mkfs %.200s "
			       "--metric=cosine (or l2, ip)",
			       import->path, import->path);
	if (rc != 0 && msg->text[0] == '\0')
		return err_set(msg, rc, "%.200s: %s", import->path, err_str(rc));
	return cmd_explain_busy(import->path, rc, msg);
}

static void notice(void *ctx, const char *sentence)
{
	(void)ctx;
	fprintf(stderr, "vecfs: %s\n", sentence);
}

static int open_store(struct import *import, struct err_msg *msg)
{
	struct store_opts opts = {
		.cache_bytes = memory_auto_cache(memory_usable()),
		.durability = WAL_LOG,
		.background = true,
		.notice = notice,
	};
	struct store_open_report report = {0};
	uint32_t dim;
	int rc = io_posix_new(import->path, &import->io, msg);

	if (rc == 0)
		rc = store_open(import->io, &opts, &import->store, &report, msg);
	if (rc != 0)
		return explain(rc, import, msg);
	if (report.note.text[0] != '\0')
		cmd_say(&import->progress, "remark", report.note.text);
	dim = store_value_size(import->store) / (uint32_t)sizeof(float);
	if (dim != 0 && import->dim != 0 && dim != import->dim)
		return err_set(msg, ERR_INVALID,
			       "%.150s has vectors of %" PRIu32 " numbers, the store %.150s has "
			       "dim=%" PRIu32 "; nothing was imported",
			       import->files[0], import->dim, import->path, dim);
	return 0;
}

static int open_collection(struct import *import, struct err_msg *msg)
{
	struct ann_opts opts = {.background = true, .bulk = true};
	struct store_stats stats;
	struct err_msg note = {{0}};
	uint64_t usable = memory_usable();
	mode_t mask = umask(0);
	int rc;

	(void)umask(mask);
	store_get_stats(import->store, &stats);
	opts.code_room = memory_code_room(usable, memory_auto_cache(usable));
	opts.expected = stats.live + import->rows;
	rc = ann_open(import->store, &opts, &import->ann, &note, msg);
	if (note.text[0] != '\0')
		cmd_say(&import->progress, "remark", note.text);
	if (rc != 0)
		return explain(rc, import, msg);
	import->may_hold = stats.live > 0;
	import->attr = (struct store_attr){
		.mode = 0666 & ~(uint32_t)mask,
		.uid = geteuid(),
		.gid = getegid(),
		.mtime_ns = (int64_t)import->io->ops->now_ns(import->io, STORE_CLOCK_REALTIME),
	};
	import->start_ns = import->io->ops->now_ns(import->io, STORE_CLOCK_MONOTONIC);
	import->shown_ns = import->start_ns;
	return 0;
}

/* Closes in order, after an error as well: what was stored stays. */
static int close_all(struct import *import, struct err_msg *msg)
{
	int rc, rc_store = 0;

	rc = ann_close(import->ann);
	if (import->store != NULL)
		rc_store = store_close(import->store);
	if (import->io != NULL)
		import->io->ops->close(import->io);
	rc = rc_store != 0 ? rc_store : rc;
	if (rc != 0)
		return err_set(
			msg, rc,
			"%.200s cannot be closed in order: %s; the log has everything, and the "
			"next mount replays it",
			import->path, err_str(rc));
	return 0;
}

/* --- what is said --- */

static void say_superseded(struct import *import)
{
	char text[160];

	if (import->ids.superseded == 0)
		return;
	snprintf(text, sizeof(text),
		 "%" PRIu64 " rows have an id that stands again further down; only the last row of "
		 "an id is stored",
		 import->ids.superseded);
	cmd_say(&import->progress, "remark", text);
}

static void show_summary(const struct import *import, double seconds)
{
	printf("%s: %" PRIu64 " rows: %" PRIu64 " stored, %" PRIu64 " there already", import->path,
	       import->passed, import->stored, import->there);
	if (import->ids.superseded > 0)
		printf(", %" PRIu64 " superseded", import->passed - import->stored - import->there);
	printf("; %.1f s", seconds);
	if (import->stored > 0 && seconds > 0)
		printf(", %.0f rows/s", (double)import->stored / seconds);
	printf("\n");
}

/* An import that ends early says how far it came. */
static int end_early(const struct import *import, int rc, struct err_msg *msg)
{
	struct err_msg why = *msg;

	if (rc == ERR_INTERRUPTED)
		(void)err_set(&why, rc, "interrupted");
	if (import->passed == import->rows)
		return err_set(msg, rc,
			       "%.300s; all rows are stored, the next mount links the rest of them",
			       why.text[0] != '\0' ? why.text : err_str(rc));
	return err_set(msg, rc,
		       "%.300s; %" PRIu64 " of %" PRIu64
		       " rows are done with; the same command run "
		       "again goes on there",
		       why.text[0] != '\0' ? why.text : err_str(rc), import->passed, import->rows);
}

/* --- the work --- */

static int run(struct import *import, struct err_msg *msg)
{
	struct err_msg unlinked = {{0}};
	double seconds;
	int rc;

	rc = import_store(import, msg);
	if (rc == 0)
		rc = import_link(import, &unlinked);
	if (rc == ERR_AGAIN) {
		cmd_say(&import->progress, "remark", unlinked.text);
		rc = 0;
	}
	cmd_end_progress(&import->progress);
	if (rc != 0)
		return end_early(import, rc, msg);
	rc = ann_flush(import->ann);
	seconds = (double)(import->io->ops->now_ns(import->io, STORE_CLOCK_MONOTONIC) -
			   import->start_ns) /
		  1e9;
	if (rc != 0)
		return end_early(import, rc, msg);
	show_summary(import, seconds);
	return 0;
}

static int import_all(struct import *import, struct err_msg *msg)
{
	struct err_msg closing = {{0}};
	int rc, rc_close;

	cmd_catch_signals();
	rc = import_examine(import, msg);
	if (rc == 0) {
		cmd_wait_closed(import->path);
		rc = open_store(import, msg);
	}
	if (rc == 0)
		rc = open_collection(import, msg);
	if (rc == 0) {
		say_superseded(import);
		rc = run(import, msg);
	}
	rc_close = close_all(import, &closing);
	if (rc == 0 && rc_close != 0) {
		*msg = closing;
		rc = rc_close;
	}
	return rc;
}

int cmd_import(int argc, char **argv)
{
	struct import import = {.progress = {.terminal = cmd_has_terminal()}};
	struct err_msg msg = {{0}};
	int n = 0;
	int rc = parse(argc, argv, &n, &import.ids_path);

	if (rc >= 0)
		return rc;
	import.path = argv[0];
	import.files = argv + 1;
	import.n_files = (size_t)n - 1;
	rc = import_all(&import, &msg);
	cmd_end_progress(&import.progress);
	import_ids_release(&import.ids);
	mem_free(import.ids_text);
	mem_free(import.rows_of);
	if (rc == 0)
		return 0;
	fprintf(stderr, "vecfs: %s\n", msg.text[0] != '\0' ? msg.text : err_str(rc));
	return 1;
}
