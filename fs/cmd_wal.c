/*
 * cmd_wal.c - `vecfs wal STORE`: lists and verifies the log of a store that is not mounted.
 */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

/* Records of each type; index 0 counts those of no known type. */
struct counts {
	uint64_t of[FORMAT_SYNC + 1];
};

static int count_record(void *ctx, const struct wal_record *record)
{
	struct counts *counts = ctx;

	counts->of[record->type <= FORMAT_SYNC ? record->type : 0]++;
	return 0;
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
		printf("tail: damaged at segment %" PRIu64 ", offset %" PRIu64 "; %" PRIu64
		       " records after it can still be read. Restore the file from a copy, or mount "
		       "with -o ro,recover=prefix to read what comes before\n",
		       report->bad_seq, report->bad_offset, report->readable_beyond);
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
	       ", rename %" PRIu64 ", setattr %" PRIu64 ", sync %" PRIu64 ")",
	       report->records, counts->of[FORMAT_PUT], counts->of[FORMAT_DELETE],
	       counts->of[FORMAT_RENAME], counts->of[FORMAT_SETATTR], counts->of[FORMAT_SYNC]);
	if (report->records > 0)
		printf(", LSN %" PRIu64 " ... %" PRIu64, report->first_lsn, report->last_lsn);
	printf("\n");
	show_tail(report);
}

/* The highest number of a segment, 0 when there is none. */
static int last_segment(struct store_io *io, uint64_t *last_out)
{
	uint64_t *seqs = NULL;
	size_t n = 0;
	int rc = io->ops->log_list(io, &seqs, &n);

	*last_out = rc == 0 && n > 0 ? seqs[n - 1] : 0;
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
		rc = last_segment(io, &last);
	if (rc != 0)
		return rc;
	*needed_out = head->first_segment != 0 && !(head->clean && last < head->first_segment);
	if (!*needed_out)
		return 0;
	memcpy(opts.uuid, head->uuid, sizeof(opts.uuid));
	opts.from_seq = head->first_segment;
	opts.after_lsn = head->ckpt_lsn;
	opts.known_lsn = head->ckpt_lsn;
	rc = wal_scan(&opts, count_record, counts, report, msg);
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
	struct counts counts = {{0}};
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
	if (rc == 0) {
		show_head(path, &head);
		if (needed)
			show(&counts, &report);
		else
			printf("no log is needed\n");
	} else {
		fprintf(stderr, "vecfs: %s\n", msg.text[0] != '\0' ? msg.text : err_str(rc));
	}
	if (rc == 0 && report.verdict == WAL_DAMAGED)
		rc = ERR_DAMAGED;
	wal_report_release(&report);
	if (io != NULL)
		io->ops->close(io);
	if (rc == ERR_DAMAGED)
		return EXIT_DAMAGED;
	return rc == 0 ? EXIT_CLEAN : EXIT_CANNOT_RUN;
}
