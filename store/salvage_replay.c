/*
 * salvage_replay.c - the log in the order of things: what it names, what it did after the base, the
 * vectors that stand in it, and what is missing of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/salvage_private.h"

static int visit_first(void *ctx, const struct wal_record *record)
{
	struct salvage *s = ctx;

	return salvage_log_mention(&s->log, record);
}

/* What a damaged record seems to have done. */
static void hole_text(const struct wal_hole *hole, char *text, size_t size)
{
	static const char *const names[] = {"",
					    "put of",
					    "deletion of",
					    "renaming of",
					    "new attributes of",
					    "new extended attributes of"};
	const char *ids[2];
	size_t lens[2], len = hole->length;
	unsigned n = 0;

	text[0] = '\0';
	if (len > sizeof(hole->payload))
		len = sizeof(hole->payload);
	if (hole->framed && hole->type >= FORMAT_PUT && hole->type <= FORMAT_SETXATTR)
		n = salvage_read_ids(hole->type, hole->payload, len, ids, lens);
	if (n > 0)
		(void)snprintf(text, size, "; it begins like the %s vectors/%.*s%s%.*s",
			       names[hole->type], (int)lens[0], ids[0], n > 1 ? " to vectors/" : "",
			       n > 1 ? (int)lens[1] : 0, n > 1 ? ids[1] : "");
}

static void say_gap(struct salvage *s, uint64_t first, uint64_t last)
{
	char what[700] = "", where[100] = "";

	if (s->has_hole) {
		hole_text(&s->hole, what, sizeof(what));
		(void)snprintf(where, sizeof(where), " (segment %" PRIu64 " from byte %" PRIu64 ")",
			       s->hole.seq, s->hole.offset);
	}
	s->log.gaps++;
	salvage_say(s, true,
		    "log records LSN %" PRIu64 " to %" PRIu64
		    "%s are lost%s. Ids that they wrote are "
		    "missing or have older content; ids that they deleted or renamed may be back",
		    first, last, where, what);
}

static int visit_hole(void *ctx, const struct wal_hole *hole)
{
	struct salvage *s = ctx;

	if (salvage_has_base(s) && hole->seq < s->pages.slots[s->base].first_segment)
		return 0;
	s->hole = *hole;
	s->has_hole = true;
	return 0;
}

/* Whether a record belongs to what came after the base. Notes gaps before it. */
static bool is_after_base(struct salvage *s, const struct wal_record *record)
{
	if (salvage_has_base(s) && record->seq < s->pages.slots[s->base].first_segment)
		return false;
	return !salvage_has_base(s) || record->lsn > s->pages.slots[s->base].ckpt_lsn;
}

static int visit_after_base(void *ctx, const struct wal_record *record)
{
	struct salvage *s = ctx;

	if (is_after_base(s, record)) {
		if (s->expected != 0 && record->lsn > s->expected)
			say_gap(s, s->expected, record->lsn - 1);
		s->expected = record->lsn + 1;
	}
	s->has_hole = false;
	return is_after_base(s, record) ? salvage_log_apply(&s->log, record) : 0;
}

/* What follows the last record: an unfinished one, or damage. */
static void judge_tail(struct salvage *s, uint64_t begins)
{
	char what[700];

	if (s->expected != 0 && begins > s->expected) {
		say_gap(s, s->expected, begins - 1);
		return;
	}
	if (!s->has_hole)
		return;
	hole_text(&s->hole, what, sizeof(what));
	if (s->hole.empty)
		salvage_say(s, false,
			    "the log ends in %" PRIu64
			    " bytes of zeros, where the records after LSN %" PRIu64
			    " never reached the disk, or are lost",
			    s->hole.bytes, s->expected - (s->expected > 0));
	else if (s->hole.framed || s->hole.refused || s->hole.bytes > FORMAT_VALUE_MAX + 8192)
		salvage_say(s, true,
			    "the log is damaged from segment %" PRIu64 ", byte %" PRIu64
			    " to its end (%" PRIu64
			    " bytes)%s; what these records wrote or deleted is lost",
			    s->hole.seq, s->hole.offset, s->hole.bytes, what);
	else
		salvage_say(
			s, false,
			"the log ends in %" PRIu64
			" bytes of a record that was never finished and so never acknowledged; should "
			"it be a damaged one, what it wrote or deleted is lost",
			s->hole.bytes);
}

/* Segments that are missing, foreign or taken on trust. */
static uint64_t judge_segments(struct salvage *s)
{
	const struct head_slot *slot = salvage_has_base(s) ? &s->pages.slots[s->base] : NULL;
	const struct wal_salvage_segment *segments = NULL;
	uint64_t begins = 0, first = slot != NULL ? slot->first_segment : 0;
	bool found = false;
	size_t n = 0;

	if (s->log.wal != NULL)
		segments = wal_salvage_segments(s->log.wal, &n);
	for (size_t i = 0; i < n; i++) {
		if (segments[i].seq < first)
			continue;
		found |= segments[i].seq == first;
		if (segments[i].begins > begins)
			begins = segments[i].begins;
		if (segments[i].foreign)
			salvage_say(s, true,
				    "log segment %" PRIu64
				    " belongs to another store or another version of "
				    "the program; nothing was taken from it",
				    segments[i].seq);
		else if (segments[i].unverified && segments[i].records > 0) {
			s->log.trust_said = true;
			salvage_say(
				s, true,
				"the header of log segment %" PRIu64 " is lost: its %" PRIu64
				" records follow each other rightly and were taken, but what they "
				"hold cannot be verified",
				segments[i].seq, segments[i].records);
		}
		if (segments[i].refused && segments[i].bytes == 0)
			salvage_say(s, true,
				    "log segment %" PRIu64
				    " cannot be read; what its records wrote or deleted is lost",
				    segments[i].seq);
		else if (segments[i].refused)
			salvage_say(s, false, "parts of log segment %" PRIu64 " cannot be read",
				    segments[i].seq);
	}
	if (slot != NULL && !slot->clean && first != 0 && !found)
		salvage_say(s, true,
			    "log segment %" PRIu64
			    " is missing: what was written and deleted after LSN "
			    "%" PRIu64 " may be lost",
			    first, slot->ckpt_lsn);
	return begins;
}

int salvage_open_log(struct salvage *s)
{
	struct wal_scan_opts opts = {.io = s->pages.io};
	int err;

	memcpy(opts.uuid, s->pages.head.uuid, 16);
	s->log.id_seed = s->pages.head.id_seed;
	err = wal_salvage_open(&s->log.wal, &opts);
	if (err == ERR_NOMEM)
		return err;
	if (err != 0)
		salvage_say(s, true,
			    "the log segments cannot be listed: %s; nothing was taken from them",
			    err_str(err));
	if (s->log.wal != NULL)
		err = wal_salvage_walk(s->log.wal, visit_first, NULL, s);
	else
		err = 0;
	return err == 0 ? salvage_log_sort(&s->log) : err;
}

int salvage_apply_log(struct salvage *s)
{
	int err = 0;

	if (salvage_has_base(s))
		s->expected = s->pages.slots[s->base].ckpt_lsn + 1;
	if (s->log.wal != NULL)
		err = wal_salvage_walk(s->log.wal, visit_after_base, visit_hole, s);
	if (err == 0)
		judge_tail(s, judge_segments(s));
	return err == 0 ? salvage_log_settle(&s->log) : err;
}

/* The list of a vector that the log has, where it stood in a bucket of the base that cannot be read. */
static int count_unknown_xattrs(struct salvage *s, const struct salvage_node *node)
{
	const struct salvage_node *from;
	struct store_entry entry;
	int err;

	if (node->xattrs_from == SALVAGE_NONE || s->bad_buckets == 0)
		return 0;
	from = &s->log.nodes[node->xattrs_from];
	err = salvage_find(&s->pages, s->base, from->hash, salvage_log_id(&s->log, from),
			   from->id_len, &entry);
	if (err == ERR_NOMEM)
		return err;
	if (err != ERR_ABSENT || !s->pages.header_ok)
		s->unknown_xattrs++;
	return 0;
}

static int visit_puts(void *ctx, const struct wal_record *record)
{
	struct salvage *s = ctx;
	struct salvage_node *node;
	struct salvage_vector vector;
	const uint8_t *value;
	int err;

	node = is_after_base(s, record) ? salvage_log_owner(&s->log, record->lsn) : NULL;
	if (node == NULL || !salvage_read_put(record, &vector.entry, &value, &vector.size))
		return 0;
	node->seen = true;
	vector.value = value;
	vector.entry.attr = node->attr;
	vector.xattrs = salvage_log_xattrs(&s->log, node);
	vector.entry.id_len = node->id_len;
	memcpy(vector.entry.id, salvage_log_id(&s->log, node), node->id_len);
	vector.entry.id[node->id_len] = '\0';
	if (vector.size != s->value_size) {
		s->report->lost++;
		salvage_say(s, true,
			    "vectors/%s is left out: it has %" PRIu32
			    " bytes, a vector here %" PRIu32,
			    vector.entry.id, vector.size, s->value_size);
		return 0;
	}
	salvage_say_doubt(s, node);
	err = count_unknown_xattrs(s, node);
	return err != 0 ? err : salvage_give(s, &vector, false);
}

/* Ids that must have content, whose content did not turn up. */
static void say_left_over(struct salvage *s)
{
	struct salvage_log *log = &s->log;

	if (log->trusted && !log->trust_said)
		salvage_say(
			s, true,
			"names or values were taken from a log segment whose header is lost; they "
			"cannot be verified");
	if (log->contradictions > 0)
		salvage_say(s, false,
			    "%" PRIu64 " records of the log do not fit what came before them",
			    log->contradictions);
	if (s->unknown_xattrs > 0)
		salvage_say(
			s, s->has_xattrs || log->has_xattrs,
			"%" PRIu64
			" vectors stood on id pages that cannot be read: the extended attributes "
			"that they may have had are lost",
			s->unknown_xattrs);
	for (size_t i = 0; i < log->n_nodes; i++) {
		const struct salvage_node *node = &log->nodes[i];
		bool lost = node->content == SALVAGE_LOST;

		if (node->content == SALVAGE_BASE)
			lost = (node->from != i || node->attr_set || node->xattrs_from != i) &&
			       !log->nodes[node->from].seen;
		else if (node->content == SALVAGE_PUT)
			lost = !node->seen;
		if (!lost)
			continue;
		s->report->lost++;
		salvage_say(s, true,
			    "vectors/%.*s is lost: the log speaks of it, but not of its content",
			    (int)node->id_len, salvage_log_id(log, node));
	}
}

int salvage_emit_log(struct salvage *s)
{
	int err = 0;

	if (s->log.n_puts > 0)
		err = wal_salvage_walk(s->log.wal, visit_puts, NULL, s);
	if (err == 0)
		say_left_over(s);
	return err;
}
