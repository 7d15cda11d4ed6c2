/*
 * salvage.c - every vector once, and what is lost: the order of things.
 *
 *   1  header and slots, whatever is left                             salvage_view.c
 *   2  all records of the log that can be read: ids and LSNs          salvage_log.c
 *   3  the base: the newest slot; the older one when pages with names or slots are bad in the newest
 *      and the log has all that lies between both
 *   4  records after the base: where each id's content went
 *   5  ids of the base, slot by slot; each value from the base's page, else from the other slot's
 *      page or the record of the same LSN, else an older version
 *   6  values that stand in the log
 *   7  what is left over was lost
 *
 * In memory: 4 bytes for each slot, what the log names, and a cache of pages. Values pass through.
 */
#include "store/salvage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/mem.h"
#include "store/salvage_private.h"

#define IN_OTHER 0x80000000u /* in names: the bucket is one of the other slot */
#define NAMES_TRIED 1000u
#define SHOW_EVERY 4096u

struct run {
	const struct salvage_calls *calls;
	struct salvage_report *report;
	struct salvage_pages pages;
	struct salvage_log log;
	unsigned base, other; /* views; valid below pages.n */
	uint32_t value_size;
	uint8_t *value;	 /* one */
	uint32_t *names; /* by slot: number of the bucket that names it + 1, 0: none */
	uint32_t slots;
	uint64_t bad_buckets, bad_slot_pages;
	uint64_t expected; /* LSN of the next record after the base, 0: any */
	struct wal_hole hole;
	bool has_hole;
};

static const char *const space_names[FORMAT_SPACES] = {"value", "slot table", "id directory", "id",
						       "graph", "code",	      "graph header"};

__attribute__((format(printf, 3, 4))) static void say(struct run *run, bool loss,
						      const char *format, ...)
{
	char text[1200];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* a cut text is accepted */
	va_end(args);
	run->report->losses += loss;
	run->calls->say(run->calls->ctx, loss, text);
}

static void show(struct run *run, const char *what, uint64_t done, uint64_t total)
{
	if (run->calls->progress != NULL && done % SHOW_EVERY == 0)
		run->calls->progress(run->calls->ctx, what, done, total);
}

static bool has_base(const struct run *run)
{
	return run->base < run->pages.n;
}

static bool has_other(const struct run *run)
{
	return run->other < run->pages.n;
}

/* "value page 3 (byte 40960 of the file)" */
static const char *where_text(const struct salvage_where *where, char text[120])
{
	if (where->at != 0)
		(void)snprintf(text, 120, "%s page %" PRIu32 " (byte %" PRIu64 " of the file)",
			       space_names[where->space], where->page, where->at);
	else
		(void)snprintf(text, 120, "%s page %" PRIu32 " (the map does not lead to it)",
			       space_names[where->space], where->page);
	return text;
}

/* --- giving vectors --- */

/* Under the id given, or under one made up when that cannot be used. */
static int give(struct run *run, struct salvage_vector *vector, bool unnamed)
{
	struct store_entry *entry = &vector->entry;
	char was[FORMAT_ID_MAX + 1];
	int err = ERR_EXISTS;

	memcpy(was, entry->id, sizeof(was));
	if (!unnamed)
		err = run->calls->vector(run->calls->ctx, vector);
	for (unsigned i = 0; err == ERR_EXISTS && i < NAMES_TRIED; i++) {
		int len = snprintf(entry->id, sizeof(entry->id),
				   i == 0 ? "recovered-slot-%" PRIu32 :
					    "recovered-slot-%" PRIu32 "-%u",
				   entry->slot, i);

		entry->id_len = (uint16_t)len;
		err = run->calls->vector(run->calls->ctx, vector);
		if (err == 0) {
			run->report->unnamed++;
			if (unnamed)
				say(run, true,
				    "the vector of slot %" PRIu32 " has lost its name: it is saved "
				    "as vectors/%s",
				    entry->slot, entry->id);
			else
				say(run, true,
				    "vectors/%s cannot be saved under its name, which is taken or "
				    "no name: it is saved as vectors/%s",
				    was, entry->id);
		}
	}
	if (err == ERR_INVALID) {
		run->report->lost++;
		say(run, true,
		    "vectors/%s is left out: it holds numbers that cannot be stored (NaN or "
		    "infinite)",
		    entry->id);
		return 0;
	}
	if (err == ERR_EXISTS) {
		run->report->lost++;
		say(run, true, "vectors/%s is left out: no free name was found for it", was);
		return 0;
	}
	run->report->saved += err == 0;
	return err;
}

/* --- values --- */

static bool take_put(struct run *run, const struct wal_record *record)
{
	struct store_entry entry;
	const uint8_t *value;
	uint32_t size;

	if (!salvage_read_put(record, &entry, &value, &size) || size != run->value_size)
		return false;
	memcpy(run->value, value, size);
	return true;
}

/* The same version from elsewhere: the other slot's page, or the record that wrote it. */
static int fetch_same(struct run *run, const struct store_entry *entry)
{
	struct slots_entry slot;
	struct wal_record record;
	int err = ERR_DAMAGED;

	if (entry->lsn == 0)
		return err;
	if (has_other(run)) {
		err = salvage_slot(&run->pages, run->other, entry->slot, &slot);
		if (err == 0 && (slot.state != STORE_SLOT_LIVE || slot.lsn != entry->lsn))
			err = ERR_DAMAGED;
		if (err == 0)
			err = salvage_value(&run->pages, run->other, entry->slot, run->value_size,
					    run->value);
	}
	if (err != 0 && err != ERR_NOMEM) {
		err = salvage_log_put(&run->log, entry->lsn, &record);
		if (err == 0 && !take_put(run, &record))
			err = ERR_DAMAGED;
	}
	return err;
}

/* An older version, from a record or from the other slot, whichever is newer. */
static int fetch_older(struct run *run, const struct store_entry *entry, uint64_t hash)
{
	uint64_t below = entry->lsn != 0 ? entry->lsn : UINT64_MAX, lsn = 0;
	struct store_entry found = {0};
	struct slots_entry slot = {0};
	struct wal_record record;
	int err = salvage_log_older(&run->log, entry->id, entry->id_len, below, &record);
	int second = ERR_ABSENT;

	if (err == 0 && take_put(run, &record))
		lsn = record.lsn;
	if (err == ERR_NOMEM || !has_other(run))
		return lsn != 0 || err == ERR_NOMEM ? err : ERR_DAMAGED;
	second = salvage_find(&run->pages, run->other, hash, entry->id, entry->id_len, &found);
	if (second == 0)
		second = salvage_slot(&run->pages, run->other, found.slot, &slot);
	if (second == 0 && slot.state == STORE_SLOT_LIVE && slot.lsn > lsn && slot.lsn < below)
		second = salvage_value(&run->pages, run->other, found.slot, run->value_size,
				       run->value);
	else if (second == 0)
		second = ERR_ABSENT;
	if (second == 0 || second == ERR_NOMEM)
		return second;
	if (lsn == 0)
		return ERR_DAMAGED;
	/* a part of the other value may have been copied over it */
	return salvage_log_put(&run->log, lsn, &record) == 0 && take_put(run, &record) ?
		       0 :
		       ERR_DAMAGED;
}

/* The value of an entry of the base into run->value. ERR_DAMAGED: lost, and said so. */
static int fetch(struct run *run, const struct store_entry *entry, uint64_t hash,
		 const char *shown_id)
{
	char text[120];
	int err = salvage_value(&run->pages, run->base, entry->slot, run->value_size, run->value);

	if (err == 0 || err == ERR_NOMEM)
		return err;
	(void)where_text(&run->pages.where, text);
	err = fetch_same(run, entry);
	if (err == 0 || err == ERR_NOMEM)
		return err;
	err = entry->id_len > 0 ? fetch_older(run, entry, hash) : ERR_DAMAGED;
	if (err == 0) {
		run->report->older++;
		say(run, true, "vectors/%s: an older version is saved, the newest is lost with %s",
		    shown_id, text);
	} else if (err != ERR_NOMEM) {
		run->report->lost++;
		if (entry->id_len > 0)
			say(run, true, "vectors/%s is lost with %s", shown_id, text);
		else
			say(run, true,
			    "the vector of slot %" PRIu32 ", whose name is lost, is lost with %s",
			    entry->slot, text);
		err = ERR_DAMAGED;
	}
	return err;
}

/* --- ids of the base --- */

static int note_bucket(struct run *run, unsigned view, uint32_t number, const uint8_t *page)
{
	const struct format_entry *entry;
	struct slots_entry slot;
	uint32_t index;

	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;) {
		index = get_u32(entry->slot);
		if (index >= run->slots || run->names[index] != 0)
			continue;
		if (view == run->base) {
			run->names[index] = number + 1;
		} else {
			const struct format_entry kept = *entry;
			int err = salvage_slot(&run->pages, run->base, index, &slot);

			if (err == 0 && slot.state == STORE_SLOT_LIVE &&
			    slot.id_hash == get_u64(kept.hash))
				run->names[index] = (number + 1) | IN_OTHER;
			if (err != ERR_NOMEM)
				err = salvage_bucket(&run->pages, view, number, &page);
			if (err != 0)
				return err == ERR_NOMEM ? err : 0;
		}
	}
	return 0;
}

/* Which bucket names which slot. */
static int note_names(struct run *run, unsigned view)
{
	uint32_t buckets = salvage_page_count(&run->pages, view, FORMAT_SPACE_BUCKET);
	char text[120];
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < buckets; i++) {
		const uint8_t *page;

		show(run, "ids", i, buckets);
		err = salvage_bucket(&run->pages, view, i, &page);
		if (err == 0) {
			err = note_bucket(run, view, i, page);
		} else if (err != ERR_NOMEM) {
			err = 0;
			if (view == run->base) {
				run->bad_buckets++;
				say(run, false,
				    "%s cannot be read; the names on it are looked for in the "
				    "older commit slot and in the log",
				    where_text(&run->pages.where, text));
			}
		}
	}
	return err;
}

/* The entry that names a slot. */
static int load_entry(struct run *run, uint32_t slot, struct store_entry *entry_out,
		      uint64_t *hash_out)
{
	unsigned view = (run->names[slot] & IN_OTHER) != 0 ? run->other : run->base;
	uint32_t number = (run->names[slot] & ~IN_OTHER) - 1;
	const struct format_entry *entry;
	const uint8_t *page;
	int err = salvage_bucket(&run->pages, view, number, &page);

	if (err != 0)
		return err;
	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;) {
		if (get_u32(entry->slot) != slot)
			continue;
		ids_bucket_entry(entry, entry_out);
		*hash_out = get_u64(entry->hash);
		return 0;
	}
	return ERR_DAMAGED;
}

/* A live slot that no id names: the log may know the id by its hash. */
static int find_name(struct run *run, uint32_t slot, const struct slots_entry *table,
		     struct store_entry *entry_out)
{
	const struct salvage_node *node = NULL;
	struct store_entry put;
	struct wal_record record;
	const uint8_t *value;
	uint32_t size;
	size_t len = 0;
	int err = ERR_ABSENT;

	memset(entry_out, 0, sizeof(*entry_out));
	entry_out->slot = slot;
	entry_out->attr = run->calls->unnamed;
	if (run->pages.header_ok) {
		node = salvage_log_node_of_hash(&run->log, table->id_hash);
		err = salvage_log_name(&run->log, table->id_hash, entry_out->id, &len);
	}
	if (err == ERR_NOMEM)
		return err;
	if (node != NULL) {
		len = node->id_len;
		memcpy(entry_out->id, salvage_log_id(&run->log, node), len);
		entry_out->id[len] = '\0';
	}
	entry_out->id_len = (uint16_t)len;
	err = salvage_log_put(&run->log, table->lsn, &record);
	if (err == 0 && salvage_read_put(&record, &put, &value, &size)) {
		entry_out->attr = put.attr;
		entry_out->ino = put.ino;
	}
	return err == ERR_NOMEM ? err : 0;
}

/* A renaming moved content from before a gap in the log, where the id may have got other content. */
static void say_doubt(struct run *run, const struct salvage_node *node)
{
	if (node->doubtful)
		say(run, true,
		    "vectors/%.*s: what is saved came by a renaming after a lost part of the log; it "
		    "may be older content, or that of another id",
		    (int)node->id_len, salvage_log_id(&run->log, node));
}

/* What the base has under an id goes to the id that has it after the log. */
static int emit(struct run *run, struct store_entry *entry, uint64_t hash)
{
	struct salvage_vector vector;
	struct salvage_node *node = NULL, *to;
	int err;

	if (entry->id_len > 0)
		node = salvage_log_node(&run->log, entry->id, entry->id_len);
	vector.entry = *entry;
	if (node != NULL) {
		node->seen = true;
		if (node->to == SALVAGE_NONE)
			return 0;
		to = &run->log.nodes[node->to];
		vector.entry.id_len = to->id_len;
		memcpy(vector.entry.id, salvage_log_id(&run->log, to), to->id_len);
		vector.entry.id[to->id_len] = '\0';
		if (to->attr_set)
			vector.entry.attr = to->attr;
		say_doubt(run, to);
	}
	err = fetch(run, entry, hash, vector.entry.id);
	if (err != 0)
		return err == ERR_DAMAGED ? 0 : err;
	vector.value = run->value;
	vector.size = run->value_size;
	return give(run, &vector, entry->id_len == 0);
}

static int emit_slot(struct run *run, uint32_t slot, uint64_t *nameless)
{
	struct slots_entry table;
	struct store_entry entry;
	uint64_t hash = 0;
	int err = salvage_slot(&run->pages, run->base, slot, &table);
	bool known = err == 0;

	if (err == ERR_NOMEM)
		return err;
	if (run->names[slot] == 0) {
		if (!known)
			*nameless += 1;
		if (!known || table.state != STORE_SLOT_LIVE)
			return 0;
		hash = table.id_hash;
		err = find_name(run, slot, &table, &entry);
	} else {
		err = load_entry(run, slot, &entry, &hash);
		if (err == ERR_DAMAGED) { /* it could be read a moment ago */
			run->report->lost++;
			say(run, true, "the name of slot %" PRIu32 " cannot be read any more",
			    slot);
			return 0;
		}
		if (err == 0 && known &&
		    (table.state != STORE_SLOT_LIVE || table.id_hash != hash)) {
			run->report->lost++;
			say(run, true,
			    "vectors/%s is left out: slot table and ids contradict each other",
			    entry.id);
			return 0;
		}
	}
	if (err != 0)
		return err;
	entry.lsn = known ? table.lsn : 0;
	return emit(run, &entry, hash);
}

static int emit_base(struct run *run)
{
	uint64_t nameless = 0;
	int err;

	run->slots = salvage_slot_count(&run->pages, run->base);
	run->names = mem_zalloc((size_t)run->slots + 1, sizeof(*run->names));
	if (run->names == NULL)
		return ERR_NOMEM;
	err = note_names(run, run->base);
	if (err == 0 && run->bad_buckets > 0 && has_other(run))
		err = note_names(run, run->other);
	for (uint32_t slot = 0; err == 0 && slot < run->slots; slot++) {
		show(run, "vectors", slot, run->slots);
		err = emit_slot(run, slot, &nameless);
	}
	if (err == 0 && nameless > 0 && run->bad_buckets > 0)
		say(run, true,
		    "%" PRIu64 " slots have neither a name nor a readable entry in the slot table; "
		    "which of them held vectors cannot be known",
		    nameless);
	return err;
}

/* --- the log --- */

static int visit_first(void *ctx, const struct wal_record *record)
{
	struct run *run = ctx;

	return salvage_log_mention(&run->log, record);
}

/* What a damaged record seems to have done. */
static void hole_text(const struct wal_hole *hole, char *text, size_t size)
{
	static const char *const names[] = {"", "put of", "deletion of", "renaming of",
					    "new attributes of"};
	const char *ids[2];
	size_t lens[2], len = hole->length;
	unsigned n = 0;

	text[0] = '\0';
	if (len > sizeof(hole->payload))
		len = sizeof(hole->payload);
	if (hole->framed && hole->type >= FORMAT_PUT && hole->type <= FORMAT_SETATTR)
		n = salvage_read_ids(hole->type, hole->payload, len, ids, lens);
	if (n > 0)
		(void)snprintf(text, size, "; it begins like the %s vectors/%.*s%s%.*s",
			       names[hole->type], (int)lens[0], ids[0], n > 1 ? " to vectors/" : "",
			       n > 1 ? (int)lens[1] : 0, n > 1 ? ids[1] : "");
}

static void say_gap(struct run *run, uint64_t first, uint64_t last)
{
	char what[700] = "", where[100] = "";

	if (run->has_hole) {
		hole_text(&run->hole, what, sizeof(what));
		(void)snprintf(where, sizeof(where), " (segment %" PRIu64 " from byte %" PRIu64 ")",
			       run->hole.seq, run->hole.offset);
	}
	run->log.gaps++;
	say(run, true,
	    "log records LSN %" PRIu64 " to %" PRIu64 "%s are lost%s. Ids that they wrote are "
	    "missing or have older content; ids that they deleted or renamed may be back",
	    first, last, where, what);
}

static int visit_hole(void *ctx, const struct wal_hole *hole)
{
	struct run *run = ctx;

	if (has_base(run) && hole->seq < run->pages.slots[run->base].first_segment)
		return 0;
	run->hole = *hole;
	run->has_hole = true;
	return 0;
}

/* Whether a record belongs to what came after the base. Notes gaps before it. */
static bool is_after_base(struct run *run, const struct wal_record *record)
{
	if (has_base(run) && record->seq < run->pages.slots[run->base].first_segment)
		return false;
	return !has_base(run) || record->lsn > run->pages.slots[run->base].ckpt_lsn;
}

static int visit_after_base(void *ctx, const struct wal_record *record)
{
	struct run *run = ctx;

	if (is_after_base(run, record)) {
		if (run->expected != 0 && record->lsn > run->expected)
			say_gap(run, run->expected, record->lsn - 1);
		run->expected = record->lsn + 1;
	}
	run->has_hole = false;
	return is_after_base(run, record) ? salvage_log_apply(&run->log, record) : 0;
}

/* What follows the last record: an unfinished one, or damage. */
static void judge_tail(struct run *run, uint64_t begins)
{
	char what[700];

	if (run->expected != 0 && begins > run->expected) {
		say_gap(run, run->expected, begins - 1);
		return;
	}
	if (!run->has_hole)
		return;
	hole_text(&run->hole, what, sizeof(what));
	if (run->hole.empty)
		say(run, false,
		    "the log ends in %" PRIu64
		    " bytes of zeros, where the records after LSN %" PRIu64
		    " never reached the disk, or are lost",
		    run->hole.bytes, run->expected - (run->expected > 0));
	else if (run->hole.framed || run->hole.bytes > FORMAT_VALUE_MAX + 8192)
		say(run, true,
		    "the log is damaged from segment %" PRIu64 ", byte %" PRIu64
		    " to its end (%" PRIu64
		    " bytes)%s; what these records wrote or deleted is lost",
		    run->hole.seq, run->hole.offset, run->hole.bytes, what);
	else
		say(run, false,
		    "the log ends in %" PRIu64
		    " bytes of a record that was never finished and so never acknowledged; should "
		    "it be a damaged one, what it wrote or deleted is lost",
		    run->hole.bytes);
}

/* Segments that are missing, foreign or taken on trust. */
static uint64_t judge_segments(struct run *run)
{
	const struct head_slot *slot = has_base(run) ? &run->pages.slots[run->base] : NULL;
	const struct wal_salvage_segment *segments = NULL;
	uint64_t begins = 0, first = slot != NULL ? slot->first_segment : 0;
	bool found = false;
	size_t n = 0;

	if (run->log.wal != NULL)
		segments = wal_salvage_segments(run->log.wal, &n);
	for (size_t i = 0; i < n; i++) {
		if (segments[i].seq < first)
			continue;
		found |= segments[i].seq == first;
		if (segments[i].begins > begins)
			begins = segments[i].begins;
		if (segments[i].foreign)
			say(run, true,
			    "log segment %" PRIu64
			    " belongs to another store or another version of "
			    "the program; nothing was taken from it",
			    segments[i].seq);
		else if (segments[i].unverified && segments[i].records > 0)
			say(run, false,
			    "the header of log segment %" PRIu64 " is lost: its %" PRIu64
			    " records follow each other rightly, but what they hold cannot be "
			    "verified",
			    segments[i].seq, segments[i].records);
		if (segments[i].refused)
			say(run, false, "parts of log segment %" PRIu64 " cannot be read",
			    segments[i].seq);
	}
	if (slot != NULL && !slot->clean && first != 0 && !found)
		say(run, true,
		    "log segment %" PRIu64 " is missing: what was written and deleted after LSN "
		    "%" PRIu64 " may be lost",
		    first, slot->ckpt_lsn);
	return begins;
}

static int open_log(struct run *run)
{
	struct wal_scan_opts opts = {.io = run->pages.io};
	int err;

	memcpy(opts.uuid, run->pages.head.uuid, 16);
	run->log.id_seed = run->pages.head.id_seed;
	err = wal_salvage_open(&run->log.wal, &opts);
	if (err == ERR_NOMEM)
		return err;
	if (err != 0)
		say(run, true, "the log segments cannot be listed: %s; nothing was taken from them",
		    err_str(err));
	if (run->log.wal != NULL)
		err = wal_salvage_walk(run->log.wal, visit_first, NULL, run);
	else
		err = 0;
	return err == 0 ? salvage_log_sort(&run->log) : err;
}

static int apply_log(struct run *run)
{
	int err = 0;

	if (has_base(run))
		run->expected = run->pages.slots[run->base].ckpt_lsn + 1;
	if (run->log.wal != NULL)
		err = wal_salvage_walk(run->log.wal, visit_after_base, visit_hole, run);
	if (err == 0)
		judge_tail(run, judge_segments(run));
	return err == 0 ? salvage_log_settle(&run->log) : err;
}

static int visit_puts(void *ctx, const struct wal_record *record)
{
	struct run *run = ctx;
	struct salvage_node *node;
	struct salvage_vector vector;
	const uint8_t *value;

	node = is_after_base(run, record) ? salvage_log_owner(&run->log, record->lsn) : NULL;
	if (node == NULL || !salvage_read_put(record, &vector.entry, &value, &vector.size))
		return 0;
	node->seen = true;
	vector.value = value;
	vector.entry.attr = node->attr;
	vector.entry.id_len = node->id_len;
	memcpy(vector.entry.id, salvage_log_id(&run->log, node), node->id_len);
	vector.entry.id[node->id_len] = '\0';
	if (vector.size != run->value_size) {
		run->report->lost++;
		say(run, true,
		    "vectors/%s is left out: it has %" PRIu32 " bytes, a vector here %" PRIu32,
		    vector.entry.id, vector.size, run->value_size);
		return 0;
	}
	say_doubt(run, node);
	return give(run, &vector, false);
}

/* Ids that must have content, whose content did not turn up. */
static void say_left_over(struct run *run)
{
	struct salvage_log *log = &run->log;

	for (size_t i = 0; i < log->n_nodes; i++) {
		const struct salvage_node *node = &log->nodes[i];
		bool lost = node->content == SALVAGE_LOST;

		if (node->content == SALVAGE_BASE)
			lost = (node->from != i || node->attr_set) && !log->nodes[node->from].seen;
		else if (node->content == SALVAGE_PUT)
			lost = !node->seen;
		if (!lost)
			continue;
		run->report->lost++;
		say(run, true, "vectors/%.*s is lost: the log speaks of it, but not of its content",
		    (int)node->id_len, salvage_log_id(log, node));
	}
}

/* --- the whole --- */

/* The older slot with the log is better where the newest has lost names or its slot table. */
static int choose_base(struct run *run)
{
	const struct head_slot *slots = run->pages.slots;
	uint64_t bad = 0, bad_older = 0;
	int err = 0;

	run->base = 0;
	run->other = 1;
	if (run->pages.n < 2)
		return 0;
	err = salvage_count_bad(&run->pages, 0, &bad);
	if (err != 0 || bad == 0 ||
	    !salvage_log_covers(&run->log, slots[1].ckpt_lsn + 1, slots[0].ckpt_lsn))
		return err;
	err = salvage_count_bad(&run->pages, 1, &bad_older);
	/* with the same damage the older one is no worse, and the log names what it wrote since */
	if (err == 0 && bad_older <= bad) {
		run->base = 1;
		run->other = 0;
		if (bad_older < bad)
			say(run, false,
			    "ids or slot table of the newest commit slot are damaged; the older one "
			    "and the log are used");
	}
	return err;
}

static void say_head(struct run *run)
{
	const struct salvage_pages *pages = &run->pages;

	if (!pages->header_ok)
		say(run, false,
		    "the header is damaged; a commit slot repeats what is needed of it");
	for (unsigned i = 0; i < 2; i++)
		if (pages->slot_bad[i])
			say(run, false, "commit slot %u is damaged", i);
	if (pages->n == 0)
		say(run, true,
		    "no commit slot can be used, so nothing leads to the pages: only vectors that "
		    "the log holds are saved");
	else if ((pages->slot_bad[0] || pages->slot_bad[1]) && pages->slots[0].first_segment == 0)
		say(run, true,
		    "a commit slot is damaged and the store was used with durability=none: what "
		    "was written after LSN %" PRIu64 " may be lost",
		    pages->slots[0].ckpt_lsn);
}

static int begin(struct run *run)
{
	struct store_geometry geometry = {.page_size = run->pages.head.page_size,
					  .kind = run->pages.head.kind};

	run->value_size = run->pages.head.value_size;
	for (unsigned i = 0; i < run->pages.n; i++)
		if (run->value_size == 0)
			run->value_size = run->pages.slots[i].value_size;
	if (run->value_size == 0)
		run->value_size = run->log.value_size;
	geometry.value_size = run->value_size;
	run->value = mem_alloc_aligned(64, FORMAT_VALUE_MAX);
	if (run->value == NULL)
		return ERR_NOMEM;
	return run->calls->begin(run->calls->ctx, &geometry);
}

static int salvage_all(struct run *run)
{
	int err = open_log(run);

	say_head(run);
	if (err == 0)
		err = choose_base(run);
	if (err == 0)
		err = apply_log(run);
	if (err == 0)
		err = begin(run);
	if (err == 0 && has_base(run))
		err = emit_base(run);
	if (err == 0 && run->log.n_puts > 0)
		err = wal_salvage_walk(run->log.wal, visit_puts, NULL, run);
	if (err == 0)
		say_left_over(run);
	return err;
}

int salvage_run(struct store_io *io, const struct salvage_calls *calls, uint64_t cache_bytes,
		struct salvage_report *report_out, struct err_msg *msg)
{
	struct run run = {.calls = calls, .report = report_out};
	int err = io->ops->open(io, false, msg);

	memset(report_out, 0, sizeof(*report_out));
	if (err != 0)
		return err;
	err = salvage_pages_open(&run.pages, io, cache_bytes, msg);
	if (err == 0)
		err = salvage_all(&run);
	if (err != 0 && msg != NULL && msg->text[0] == '\0')
		(void)err_set(msg, err, "%s: %s", io->ops->name(io), err_str(err));
	salvage_log_release(&run.log);
	salvage_pages_close(&run.pages);
	mem_free(run.names);
	mem_free(run.value);
	return err;
}
