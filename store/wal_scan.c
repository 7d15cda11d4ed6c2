/*
 * wal_scan.c - reads a log back, and decides what a bad place in it means.
 *
 * The walk goes through the segments in order and hands out records as long as each continues the
 * one before. A later segment can state where the earlier ones end (limit): a writer started there
 * with an LSN, or a proof names the last LSN, or its first record is good. What lies beyond such an
 * end is void: remains of a failed append, or records that an earlier recovery cut off. Where the
 * walk stops although nothing says that the log ends there, the rest is searched for evidence and
 * judged:
 *
 *   a record, proof or commit slot says a missing LSN was durable  -> damaged
 *   a segment header that was durable once cannot be read          -> damaged
 *   later records or starts, written in this boot                  -> damaged (no power was lost)
 *   later records or starts, written in another boot               -> unsynced cut
 *   nothing, but more bytes than one record has, in this boot      -> damaged
 *   the same in another boot                                       -> unsynced cut
 *   nothing                                                        -> torn tail
 *
 * Invariants:
 * 1. A record is visited only if its hash is right, its LSN is the next one and it names the hash
 *    of the record before it. Nothing is visited after the bad place.
 * 2. A read error is never taken for the end of the log.
 */
#include "store/wal.h"

#include "store/mem.h"
#include "store/wal_format.h"
#include "store/wal_read.h"
#include "store/wal_segments.h"

struct scan {
	const struct wal_scan_opts *opts;
	struct wal_report *report;
	struct wal_read window;
	struct wal_segment *segments;
	size_t n;

	wal_visit visit;
	void *ctx;

	/* Where the walk is. */
	bool started;	 /* next is known */
	uint64_t next;	 /* LSN of the next record */
	bool linked;	 /* hash is known */
	uint64_t hash;	 /* self hash of record next - 1 */
	size_t at;	 /* segment of the end of the last good record */
	uint64_t offset; /* that end */

	bool bad;     /* the walk stopped at (at, offset) */
	bool damaged; /* and that is damage whatever follows */
};

/* What a search behind the bad place found. */
struct evidence {
	bool durable;	/* a missing record had been durable */
	bool later;	/* later records or starts exist */
	bool this_boot; /* some of them from this boot */
};

/* --- where segments begin and end --- */

/* The LSN with which a segment begins, UINT64_MAX where nothing in it tells. */
static int find_start(struct scan *scan, const struct wal_segment *segment, uint64_t *lsn_out)
{
	struct wal_format_record found;
	const uint8_t *bytes = NULL;
	size_t available = 0;
	int err = 0;

	*lsn_out = UINT64_MAX;
	if (!segment->header_ok)
		return 0;
	if (segment->header.first_lsn != 0) {
		*lsn_out = segment->header.first_lsn;
	} else if (segment->proof_ok) {
		*lsn_out = segment->proof_lsn + 1;
	} else if (segment->size > FORMAT_RECORDS_AT) {
		wal_read_seek(&scan->window, segment->seq);
		err = wal_read_at(&scan->window, FORMAT_RECORDS_AT, &bytes, &available);
		if (err == 0 && wal_format_get_record(bytes, available, &segment->header, &found))
			*lsn_out = found.record.lsn;
	}
	return err;
}

static int set_limits(struct scan *scan)
{
	uint64_t limit = UINT64_MAX, start;
	int err = 0;

	for (size_t i = scan->n; err == 0 && i-- > 0;) {
		scan->segments[i].limit = limit;
		err = find_start(scan, &scan->segments[i], &start);
		if (start < limit)
			limit = start;
	}
	return err;
}

/* --- the walk --- */

/* The LSN that must not be missing. */
static uint64_t needed(const struct scan *scan)
{
	uint64_t first = scan->opts->after_lsn + 1;

	return scan->started && scan->next > first ? scan->next : first;
}

/* True as long as the log may begin with any LSN. */
static bool is_free(const struct scan *scan)
{
	return !scan->started && scan->opts->from_seq == 0 && scan->opts->after_lsn == 0;
}

static void stop_at(struct scan *scan, size_t i, uint64_t offset, bool damaged)
{
	scan->at = i;
	scan->offset = offset;
	scan->bad = true;
	scan->damaged = damaged;
}

/* A header that cannot be read: the rest of an unfinished creation, or damage. */
static void pass_headless(struct scan *scan, size_t i)
{
	const struct wal_segment *segment = &scan->segments[i];
	bool used = segment->size > FORMAT_RECORDS_AT ||
		    (segment->seq == scan->opts->from_seq && !scan->opts->from_may_be_new);

	if (used || (segment->proof_ok && segment->proof_lsn >= needed(scan)))
		stop_at(scan, i, 0, true);
}

/* Takes in what the first two blocks say. Sets bad when records before this segment are missing. */
static void enter_segment(struct scan *scan, const struct wal_segment *segment)
{
	uint64_t start = segment->header.first_lsn;
	bool proven = segment->proof_ok;

	if (proven)
		start = segment->proof_lsn + 1;
	if (start == 0)
		return;
	if (!is_free(scan) && start > needed(scan)) {
		stop_at(scan, scan->at, scan->offset, false);
	} else if (!scan->started || start > scan->next) {
		scan->started = true;
		scan->next = start;
		scan->linked = proven;
		scan->hash = segment->proof_hash;
	} else if (proven && scan->linked && start == scan->next &&
		   segment->proof_hash != scan->hash) {
		stop_at(scan, scan->at, scan->offset, true);
	}
}

/* True when found continues the log. first: it is the first record of its segment. */
static bool continues(const struct scan *scan, const struct wal_segment *segment,
		      const struct wal_format_record *found, bool first)
{
	if (!scan->started)
		return is_free(scan) || found->record.lsn <= needed(scan);
	if (found->record.lsn != scan->next)
		return false;
	if (!scan->linked || found->prev_hash == scan->hash)
		return true;
	/* A writer that started after an orderly end may not know the hash before it. */
	return first && segment->header.first_lsn == scan->next && found->prev_hash == 0;
}

static int take(struct scan *scan, size_t i, const struct wal_record *record, uint32_t size)
{
	struct wal_segment_report *part = &scan->report->segments[i];
	struct wal_report *report = scan->report;
	int err = 0;

	if (record->lsn > scan->opts->after_lsn)
		err = scan->visit != NULL ? scan->visit(scan->ctx, record) : 0;
	if (err != 0)
		return err;
	if (record->lsn > scan->opts->after_lsn) {
		if (report->records++ == 0)
			report->first_lsn = record->lsn;
		report->bytes += size;
	}
	if (part->records++ == 0)
		part->first_lsn = record->lsn;
	part->last_lsn = record->lsn;
	scan->started = scan->linked = true;
	scan->next = record->lsn + 1;
	scan->hash = record->hash;
	scan->at = i;
	scan->offset = record->offset + size;
	return 0;
}

/* Tells of what may be the next record. */
static void tell_next(const struct scan *scan, const uint8_t *bytes, size_t available)
{
	struct wal_record next = {0};

	if (scan->opts->expect != NULL && wal_format_get_head(bytes, available, &next))
		scan->opts->expect(scan->ctx, &next);
}

static int walk_records(struct scan *scan, size_t i)
{
	const struct wal_segment *segment = &scan->segments[i];
	struct wal_format_record found;
	const uint8_t *bytes = NULL;
	uint64_t offset = FORMAT_RECORDS_AT;
	size_t available = 0;
	uint32_t size;
	bool valid;
	int err = 0;

	wal_read_seek(&scan->window, segment->seq);
	while (err == 0 && !(scan->started && scan->next == segment->limit)) {
		err = wal_read_at(&scan->window, offset, &bytes, &available);
		if (err != 0 || available == 0)
			return err;
		valid = wal_format_get_record(bytes, available, &segment->header, &found);
		if (valid && !scan->started && found.record.lsn >= segment->limit)
			return 0;
		/* what a later writer left of it is not needed */
		if (!valid && !scan->started && segment->limit <= needed(scan))
			return 0;
		if (!valid || !continues(scan, segment, &found, offset == FORMAT_RECORDS_AT)) {
			stop_at(scan, i, offset, false);
			return 0;
		}
		found.record.offset = offset;
		size = wal_format_size(found.record.length);
		tell_next(scan, bytes + size, available - size);
		err = take(scan, i, &found.record, size);
		offset += size;
	}
	return err;
}

static int walk(struct scan *scan)
{
	int err = 0;

	scan->offset = FORMAT_RECORDS_AT;
	for (size_t i = 0; err == 0 && !scan->bad && i < scan->n; i++) {
		const struct wal_segment *segment = &scan->segments[i];

		if (scan->started && scan->next == segment->limit)
			continue;
		if (!segment->header_ok) {
			pass_headless(scan, i);
			continue;
		}
		enter_segment(scan, segment);
		if (!scan->bad)
			err = walk_records(scan, i);
	}
	return err;
}

/* --- the verdict --- */

static int search_records(struct scan *scan, size_t i, uint64_t offset, struct evidence *evidence)
{
	const struct wal_segment *segment = &scan->segments[i];
	struct wal_report *report = scan->report;
	struct wal_format_record found;
	uint64_t missing = needed(scan);
	bool more = true;
	int err = 0;

	wal_read_seek(&scan->window, segment->seq);
	while (err == 0 && more) {
		err = wal_read_find(&scan->window, &segment->header, &offset, &found, &more);
		if (err != 0 || !more)
			break;
		offset += wal_format_size(found.record.length);
		if (found.record.lsn < missing)
			continue;
		report->readable_beyond++;
		if (found.record.lsn > report->max_beyond_lsn)
			report->max_beyond_lsn = found.record.lsn;
		evidence->durable |= found.record.durable_lsn >= missing;
		evidence->later = true;
		evidence->this_boot |= segment->this_boot;
	}
	return err;
}

static int search(struct scan *scan, struct evidence *evidence)
{
	uint64_t missing = needed(scan);
	int err = 0;

	for (size_t i = scan->at; err == 0 && i < scan->n; i++) {
		const struct wal_segment *segment = &scan->segments[i];
		uint64_t from = FORMAT_RECORDS_AT;

		if (i == scan->at && scan->offset > from)
			from = scan->offset;
		if (segment->size > from)
			scan->report->bad_bytes += segment->size - from;
		if (!segment->header_ok) {
			scan->damaged |= segment->size > FORMAT_RECORDS_AT;
			continue;
		}
		if (segment->proof_ok && segment->proof_lsn >= missing)
			evidence->durable = true;
		if (segment->header.first_lsn > missing) {
			evidence->later = true;
			evidence->this_boot |= segment->this_boot;
		}
		err = search_records(scan, i, from, evidence);
	}
	return err;
}

static enum wal_verdict weigh(const struct scan *scan, const struct evidence *evidence)
{
	const struct wal_segment *segment = &scan->segments[scan->at];
	uint64_t rest = segment->size > scan->offset ? segment->size - scan->offset : 0;

	if (scan->damaged || evidence->durable || scan->opts->known_lsn >= needed(scan))
		return WAL_DAMAGED;
	if (evidence->later)
		return evidence->this_boot ? WAL_DAMAGED : WAL_UNSYNCED_CUT;
	if (rest > WAL_FORMAT_RECORD_MAX)
		return segment->this_boot ? WAL_DAMAGED : WAL_UNSYNCED_CUT;
	return WAL_TORN_TAIL;
}

/* The walk came to the end. */
static enum wal_verdict judge_end(struct scan *scan)
{
	if (scan->opts->known_lsn >= needed(scan))
		return WAL_DAMAGED;
	for (size_t i = scan->n; i-- > 0 && !scan->segments[i].header_ok;) {
		scan->at = i;
		scan->offset = 0;
		scan->report->bad_bytes += scan->segments[i].size;
		scan->bad = true;
	}
	return scan->bad ? WAL_TORN_TAIL : WAL_ENDS_WELL;
}

static int judge(struct scan *scan)
{
	struct wal_report *report = scan->report;
	struct evidence evidence = {0};
	int err = 0;

	if (scan->bad) {
		err = search(scan, &evidence);
		report->verdict = weigh(scan, &evidence);
	} else {
		report->verdict = judge_end(scan);
	}
	if (report->verdict != WAL_ENDS_WELL && scan->n > 0) {
		report->bad_seq = scan->segments[scan->at].seq;
		report->bad_offset = scan->offset;
	}
	report->last_lsn = scan->started ? scan->next - 1 : 0;
	if (scan->linked)
		report->last_hash = scan->hash;
	if (report->last_lsn < scan->opts->after_lsn) {
		report->last_lsn = scan->opts->after_lsn;
		report->last_hash = 0;
	}
	return err;
}

/* --- calls --- */

static int open_scan(struct scan *scan, struct err_msg *msg)
{
	uint64_t longest = 0;
	int err;

	err = wal_segments_load(scan->opts, &scan->segments, &scan->n, &scan->report->next_seq,
				msg);
	for (size_t i = 0; i < scan->n; i++)
		if (scan->segments[i].size > longest)
			longest = scan->segments[i].size;
	if (err == 0)
		err = wal_read_init(&scan->window, scan->opts->io, longest);
	return err;
}

static void close_scan(struct scan *scan)
{
	wal_read_release(&scan->window);
	mem_free(scan->segments);
}

static int report_segments(struct scan *scan)
{
	struct wal_report *report = scan->report;

	report->segments = mem_zalloc(scan->n, sizeof(*report->segments));
	if (report->segments == NULL)
		return ERR_NOMEM;
	report->n_segments = scan->n;
	for (size_t i = 0; i < scan->n; i++) {
		report->segments[i].seq = scan->segments[i].seq;
		report->segments[i].bytes = scan->segments[i].size;
		report->segments[i].header_ok = scan->segments[i].header_ok;
		report->segments[i].proof_ok = scan->segments[i].proof_ok;
	}
	return 0;
}

int wal_scan(const struct wal_scan_opts *opts, wal_visit visit, void *ctx,
	     struct wal_report *report, struct err_msg *msg)
{
	struct scan scan = {.opts = opts, .report = report, .visit = visit, .ctx = ctx};
	int err;

	memset(report, 0, sizeof(*report));
	err = open_scan(&scan, msg);
	if (err == 0)
		err = report_segments(&scan);
	if (err == 0)
		err = set_limits(&scan);
	if (err == 0)
		err = walk(&scan);
	if (err == 0)
		err = judge(&scan);
	if (err != 0)
		wal_report_release(report);
	close_scan(&scan);
	return err;
}

void wal_report_release(struct wal_report *report)
{
	mem_free(report->segments);
	memset(report, 0, sizeof(*report));
}
