/*
 * cmd_wal.c - `vecfs wal STORE`: lists and verifies the log of a store that is not mounted.
 */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fs/text.h"
#include "store/base.h"
#include "store/io.h"
#include "store/mem.h"
#include "store/store.h"
#include "store/wal.h"

static const char help[] =
	"usage: vecfs wal STORE\n"
	"\n"
	"Lists the segments of the log of a store that is not mounted and verifies every record. Changes\n"
	"nothing. Exit code: 0 sound (a torn end is; the next mount cuts it), 4 damaged, 8 could not\n"
	"run.\n";

#define BEYOND_SHOWN 50u    /* records behind a damaged place that are listed */
#define PROGRESS_EVERY 512u /* records */

/* Records of each type; index 0 counts those of no known type. And how far the reading is. */
struct counts {
	uint64_t of[FORMAT_SYNC + 1];
	struct cmd_progress progress;
	uint64_t records, total_bytes, before; /* before: bytes of the segments read so far */
	uint64_t seq, seq_bytes;	       /* of the segment being read */
};

static void show_progress(struct counts *counts, const struct wal_record *record)
{
	if (record->seq != counts->seq) {
		counts->before += counts->seq_bytes;
		counts->seq = record->seq;
	}
	counts->seq_bytes = record->offset;
	if (counts->records++ % PROGRESS_EVERY == 0)
		cmd_show_progress(&counts->progress, "bytes of log",
				  counts->before + counts->seq_bytes, counts->total_bytes);
}

static int count_record(void *ctx, const struct wal_record *record)
{
	struct counts *counts = ctx;

	counts->of[record->type <= FORMAT_SYNC ? record->type : 0]++;
	show_progress(counts, record);
	return 0;
}

/* --- what can be read behind a damaged place --- */

struct beyond {
	struct cmd_progress progress;
	uint64_t last_lsn; /* of what comes before */
	uint64_t n;
};

/* The id that a record is about, escaped; "" where there is none or it does not fit. */
static void name_record(const struct wal_record *record, struct text *line)
{
	const uint8_t *payload = record->payload;
	uint32_t at = 0, len = 0;

	if (record->type == FORMAT_PUT && record->length >= sizeof(struct format_put)) {
		at = sizeof(struct format_put);
		len = get_u32(((const struct format_put *)payload)->id_length);
	} else if (record->type == FORMAT_DELETE) {
		len = record->length;
	} else if (record->type == FORMAT_RENAME &&
		   record->length >= sizeof(struct format_rename)) {
		at = sizeof(struct format_rename);
		len = get_u16(((const struct format_rename *)payload)->from_length);
	} else if (record->type == FORMAT_SETATTR &&
		   record->length >= sizeof(struct format_setattr)) {
		at = sizeof(struct format_setattr);
		len = get_u32(((const struct format_setattr *)payload)->id_length);
	} else if (record->type == FORMAT_SETXATTR &&
		   record->length >= sizeof(struct format_setxattr)) {
		at = sizeof(struct format_setxattr);
		len = get_u32(((const struct format_setxattr *)payload)->id_length);
	}
	if (len <= FORMAT_ID_MAX && at + len <= record->length)
		text_escaped(line, (const char *)payload + at, len);
}

static int show_beyond(void *ctx, const struct wal_record *record)
{
	static const char *const types[] = {"unknown", "put",	   "delete", "rename",
					    "setattr", "setxattr", "sync"};
	struct beyond *beyond = ctx;
	struct text line;
	char *bytes;
	size_t len;
	int rc;

	if (record->lsn <= beyond->last_lsn)
		return 0;
	if (beyond->n % PROGRESS_EVERY == 0)
		cmd_show_progress(&beyond->progress, "records behind the damage", beyond->n, 0);
	if (beyond->n++ >= BEYOND_SHOWN)
		return 0;
	text_init(&line, 256);
	name_record(record, &line);
	rc = text_take(&line, &bytes, &len);
	if (rc != 0)
		return rc;
	cmd_end_progress(&beyond->progress);
	printf("  segment %" PRIu64 ", offset %" PRIu64 ": LSN %" PRIu64 " %s %s\n", record->seq,
	       record->offset, record->lsn, types[record->type <= FORMAT_SYNC ? record->type : 0],
	       bytes);
	mem_free(bytes);
	return 0;
}

/* Lists what a damaged log still holds behind the damage. */
static int list_beyond(struct store_io *io, const struct store_head *head,
		       const struct wal_report *report, bool terminal)
{
	struct wal_scan_opts opts = {.io = io, .after_lsn = report->last_lsn};
	struct beyond beyond = {.progress = {.terminal = terminal}, .last_lsn = report->last_lsn};
	int rc;

	if (report->readable_beyond == 0)
		return 0;
	memcpy(opts.uuid, head->uuid, sizeof(opts.uuid));
	opts.from_seq = report->segments[0].seq;
	printf("readable behind the damage:\n");
	rc = wal_salvage(&opts, show_beyond, &beyond);
	cmd_end_progress(&beyond.progress);
	if (rc == 0 && beyond.n > BEYOND_SHOWN)
		printf("  and %" PRIu64 " more\n", beyond.n - BEYOND_SHOWN);
	return rc;
}

static void show_segments(const struct wal_report *report)
{
	printf("%10s %12s %10s %12s %12s  %s\n", "segment", "bytes", "records", "first LSN",
	       "last LSN", "state");
	for (size_t i = 0; i < report->n_segments; i++) {
		const struct wal_segment_report *segment = &report->segments[i];

		printf("%10" PRIu64 " %12" PRIu64 " %10" PRIu64 " %12" PRIu64 " %12" PRIu64
		       "  %s\n",
		       segment->seq, segment->bytes, segment->records, segment->first_lsn,
		       segment->last_lsn,
		       !segment->header_ok ? "bad header" :
		       !segment->proof_ok  ? "ok, unproved" :
					     "ok");
	}
}

static void show_tail(const struct wal_report *report)
{
	switch (report->verdict) {
	case WAL_ENDS_WELL:
		printf("tail: ends well\n");
		break;
	case WAL_TORN_TAIL:
		printf("tail: torn record at segment %" PRIu64 ", offset %" PRIu64 " (%" PRIu64
		       " bytes), never acknowledged; the next mount cuts it\n",
		       report->bad_seq, report->bad_offset, report->bad_bytes);
		break;
	case WAL_UNSYNCED_CUT:
		printf("tail: cut at segment %" PRIu64 ", offset %" PRIu64
		       ": records after it were not synced before a power cut; the next mount drops "
		       "them\n",
		       report->bad_seq, report->bad_offset);
		break;
	case WAL_DAMAGED:
		printf("tail: damaged at segment %" PRIu64 ", offset %" PRIu64
		       ", after LSN %" PRIu64 "; %" PRIu64
		       " records behind it can still be read. Restore the segment from a copy, or "
		       "mount with -o ro,recover=prefix to read the state up to that LSN\n",
		       report->bad_seq, report->bad_offset, report->last_lsn,
		       report->readable_beyond);
		break;
	}
}

static void show_head(const char *path, const struct store_head *head)
{
	printf("%s: checkpoint at LSN %" PRIu64 ", %s\n", path, head->ckpt_lsn,
	       head->clean ? "closed in order" : "not closed in order: a mount replays the log");
}

static void show(const struct counts *counts, const struct wal_report *report)
{
	show_segments(report);
	printf("records after the checkpoint: %" PRIu64 " (put %" PRIu64 ", delete %" PRIu64
	       ", rename %" PRIu64 ", setattr %" PRIu64 ", setxattr %" PRIu64 ", sync %" PRIu64 ")",
	       report->records, counts->of[FORMAT_PUT], counts->of[FORMAT_DELETE],
	       counts->of[FORMAT_RENAME], counts->of[FORMAT_SETATTR], counts->of[FORMAT_SETXATTR],
	       counts->of[FORMAT_SYNC]);
	if (report->records > 0)
		printf(", LSN %" PRIu64 " ... %" PRIu64, report->first_lsn, report->last_lsn);
	printf("\n");
	show_tail(report);
}

/* The highest number of a segment, 0 when there is none, and the bytes from segment `from` on. */
static int measure_log(struct store_io *io, uint64_t from, uint64_t *last_out, uint64_t *bytes_out)
{
	uint64_t *seqs = NULL;
	size_t n = 0;
	int rc = io->ops->log_list(io, &seqs, &n);

	*last_out = rc == 0 && n > 0 ? seqs[n - 1] : 0;
	*bytes_out = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		uint64_t bytes = 0;

		if (seqs[i] >= from)
			rc = io->ops->log_size(io, seqs[i], &bytes);
		*bytes_out += bytes;
	}
	mem_free(seqs);
	return rc;
}

/* Scans what a mount would replay. *needed_out: false when it would look at no log. */
static int scan(struct store_io *io, struct store_head *head, struct counts *counts,
		struct wal_report *report, bool *needed_out, struct err_msg *msg)
{
	struct wal_scan_opts opts = {.io = io};
	uint64_t last = 0;
	int rc = store_read_head(io, head, msg);

	if (rc == 0)
		rc = measure_log(io, head->first_segment, &last, &counts->total_bytes);
	if (rc != 0)
		return rc;
	if (head->first_segment == 0)
		*needed_out = head->older_slot; /* who came after it may have had a log */
	else
		*needed_out = !(head->clean && last < head->first_segment);
	if (!*needed_out)
		return 0;
	memcpy(opts.uuid, head->uuid, sizeof(opts.uuid));
	opts.from_seq = head->first_segment;
	opts.from_writer = head->first_segment == 0;
	opts.after_epoch = head->epoch;
	opts.after_lsn = head->ckpt_lsn;
	rc = wal_scan(&opts, count_record, counts, report, msg);
	if (rc == ERR_IO && msg->text[0] == '\0')
		rc = err_set(
			msg, rc,
			"the log of %s cannot be read: %s; look at the disk, vecfs recover saves "
			"what is readable",
			io->ops->name(io), err_str(rc));
	if (rc == ERR_FORMAT || (rc == ERR_ABSENT && opts.from_writer))
		rc = ERR_DAMAGED; /* a segment of another store, where one of this should be */
	if (rc == ERR_ABSENT)
		rc = err_set(msg, ERR_DAMAGED,
			     "%s-wal.%" PRIu64
			     " is missing, and the store was not closed in order; put "
			     "the segment back beside the store",
			     io->ops->name(io), head->first_segment);
	return rc;
}

int cmd_wal(int argc, char **argv)
{
	struct wal_report report = {0};
	struct store_head head = {0};
	struct counts counts = {.progress = {.terminal = cmd_has_terminal()}};
	struct store_io *io = NULL;
	struct err_msg msg = {{0}};
	const char *path;
	bool needed = false;
	int rc = cmd_one_operand(argc, argv, help, "", &path);

	if (rc >= 0)
		return rc;
	cmd_wait_closed(path);
	rc = io_posix_new(path, &io, &msg);
	if (rc == 0)
		rc = scan(io, &head, &counts, &report, &needed, &msg);
	cmd_end_progress(&counts.progress);
	rc = cmd_explain_busy(path, rc, &msg);
	if (rc == 0) {
		show_head(path, &head);
		if (needed)
			show(&counts, &report);
		else
			printf("no log is needed\n");
	} else {
		fprintf(stderr, "vecfs: %s\n", msg.text[0] != '\0' ? msg.text : err_str(rc));
	}
	if (rc == 0 && report.verdict == WAL_DAMAGED) {
		rc = list_beyond(io, &head, &report, counts.progress.terminal);
		if (rc != 0)
			fprintf(stderr, "vecfs: the log behind the damage cannot be read: %s\n",
				err_str(rc));
		rc = rc == 0 ? ERR_DAMAGED : rc;
	}
	wal_report_release(&report);
	if (io != NULL)
		io->ops->close(io);
	if (rc == ERR_DAMAGED)
		return EXIT_DAMAGED;
	return rc == 0 ? EXIT_CLEAN : EXIT_CANNOT_RUN;
}
