/*
 * salvage_emit.c - what the base has: the name of each live slot, its value from wherever that still
 * is, and where the log has moved it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/mem.h"
#include "store/salvage_private.h"

#define IN_OTHER 0x80000000u /* in names: the bucket is one of the other slot */
#define NAMES_TRIED 1000u

static const char *const space_names[FORMAT_SPACES] = {"value", "slot table", "id directory", "id",
						       "graph", "code",	      "graph header"};

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

int salvage_give(struct salvage *s, struct salvage_vector *vector, bool unnamed)
{
	struct store_entry *entry = &vector->entry;
	char was[FORMAT_ID_MAX + 1];
	int err = ERR_EXISTS;

	memcpy(was, entry->id, sizeof(was));
	if (!unnamed)
		err = s->calls->vector(s->calls->ctx, vector);
	for (unsigned i = 0; err == ERR_EXISTS && i < NAMES_TRIED; i++) {
		int len = snprintf(entry->id, sizeof(entry->id),
				   i == 0 ? "recovered-slot-%" PRIu32 :
					    "recovered-slot-%" PRIu32 "-%u",
				   entry->slot, i);

		entry->id_len = (uint16_t)len;
		err = s->calls->vector(s->calls->ctx, vector);
		if (err == 0) {
			s->report->unnamed++;
			if (unnamed)
				salvage_say(s, true,
					    "the vector of slot %" PRIu32
					    " has lost its name: it is saved "
					    "as vectors/%s",
					    entry->slot, entry->id);
			else
				salvage_say(
					s, true,
					"vectors/%s cannot be saved under its name, which is taken or "
					"no name: it is saved as vectors/%s",
					was, entry->id);
		}
	}
	if (err == ERR_INVALID) {
		s->report->lost++;
		salvage_say(
			s, true,
			"vectors/%s is left out: it holds numbers that cannot be stored (NaN or "
			"infinite)",
			entry->id);
		return 0;
	}
	if (err == ERR_EXISTS) {
		s->report->lost++;
		salvage_say(s, true, "vectors/%s is left out: no free name was found for it", was);
		return 0;
	}
	s->report->saved += err == 0;
	return err;
}

/* --- values --- */

static bool take_put(struct salvage *s, const struct wal_record *record)
{
	struct store_entry entry;
	const uint8_t *value;
	uint32_t size;

	if (!salvage_read_put(record, &entry, &value, &size) || size != s->value_size)
		return false;
	memcpy(s->value, value, size);
	return true;
}

/* The same version from elsewhere: the other slot's page, or the record that wrote it. */
static int fetch_same(struct salvage *s, const struct store_entry *entry)
{
	struct slots_entry slot;
	struct wal_record record;
	int err = ERR_DAMAGED;

	if (entry->lsn == 0)
		return err;
	if (salvage_has_other(s)) {
		err = salvage_slot(&s->pages, s->other, entry->slot, &slot);
		if (err == 0 && (slot.state != STORE_SLOT_LIVE || slot.lsn != entry->lsn))
			err = ERR_DAMAGED;
		if (err == 0)
			err = salvage_value(&s->pages, s->other, entry->slot, s->value_size,
					    s->value);
	}
	if (err != 0 && err != ERR_NOMEM) {
		err = salvage_log_put(&s->log, entry->lsn, &record);
		if (err == 0 && !take_put(s, &record))
			err = ERR_DAMAGED;
	}
	return err;
}

/* An older version, from a record or from the other slot, whichever is newer. */
static int fetch_older(struct salvage *s, const struct store_entry *entry, uint64_t hash)
{
	uint64_t below = entry->lsn != 0 ? entry->lsn : UINT64_MAX, lsn = 0;
	struct store_entry found = {0};
	struct slots_entry slot = {0};
	struct wal_record record;
	int err = salvage_log_older(&s->log, entry->id, entry->id_len, below, &record);
	int second = ERR_ABSENT;

	if (err == 0 && take_put(s, &record))
		lsn = record.lsn;
	if (err == ERR_NOMEM || !salvage_has_other(s))
		return lsn != 0 || err == ERR_NOMEM ? err : ERR_DAMAGED;
	second = salvage_find(&s->pages, s->other, hash, entry->id, entry->id_len, &found);
	if (second == 0)
		second = salvage_slot(&s->pages, s->other, found.slot, &slot);
	if (second == 0 && slot.state == STORE_SLOT_LIVE && slot.lsn > lsn && slot.lsn < below)
		second = salvage_value(&s->pages, s->other, found.slot, s->value_size, s->value);
	else if (second == 0)
		second = ERR_ABSENT;
	if (second == 0 || second == ERR_NOMEM)
		return second;
	if (lsn == 0)
		return ERR_DAMAGED;
	/* a part of the other value may have been copied over it */
	return salvage_log_put(&s->log, lsn, &record) == 0 && take_put(s, &record) ? 0 :
										     ERR_DAMAGED;
}

/* The value of an entry of the base into s->value. ERR_DAMAGED: lost, and said so. */
static int fetch(struct salvage *s, const struct store_entry *entry, uint64_t hash,
		 const char *shown_id)
{
	char text[120];
	int err = salvage_value(&s->pages, s->base, entry->slot, s->value_size, s->value);

	if (err == 0 || err == ERR_NOMEM)
		return err;
	(void)where_text(&s->pages.where, text);
	err = fetch_same(s, entry);
	if (err == 0 || err == ERR_NOMEM)
		return err;
	err = entry->id_len > 0 ? fetch_older(s, entry, hash) : ERR_DAMAGED;
	if (err == 0) {
		s->report->older++;
		salvage_say(s, true,
			    "vectors/%s: an older version is saved, the newest is lost with %s",
			    shown_id, text);
	} else if (err != ERR_NOMEM) {
		s->report->lost++;
		if (entry->id_len > 0)
			salvage_say(s, true, "vectors/%s is lost with %s", shown_id, text);
		else
			salvage_say(s, true,
				    "the vector of slot %" PRIu32
				    ", whose name is lost, is lost with %s",
				    entry->slot, text);
		err = ERR_DAMAGED;
	}
	return err;
}

/* --- ids of the base --- */

static int note_bucket(struct salvage *s, unsigned view, uint32_t number, const uint8_t *page)
{
	const struct format_entry *entry;
	struct slots_entry slot;
	uint32_t index;

	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;) {
		s->has_xattrs |= get_u16(entry->xattrs) > 0;
		index = get_u32(entry->slot);
		if (index >= s->slots || s->names[index] != 0)
			continue;
		if (view == s->base) {
			s->names[index] = number + 1;
		} else {
			const struct format_entry kept = *entry;
			int err = salvage_slot(&s->pages, s->base, index, &slot);

			if (err == 0 && slot.state == STORE_SLOT_LIVE &&
			    slot.id_hash == get_u64(kept.hash))
				s->names[index] = (number + 1) | IN_OTHER;
			if (err != ERR_NOMEM)
				err = salvage_bucket(&s->pages, view, number, &page);
			if (err != 0)
				return err == ERR_NOMEM ? err : 0;
		}
	}
	return 0;
}

/* Which bucket names which slot. */
static int note_names(struct salvage *s, unsigned view)
{
	uint32_t buckets = salvage_page_count(&s->pages, view, FORMAT_SPACE_BUCKET);
	char text[120];
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < buckets; i++) {
		const uint8_t *page;

		salvage_show(s, "ids", i, buckets);
		err = salvage_bucket(&s->pages, view, i, &page);
		if (err == 0) {
			err = note_bucket(s, view, i, page);
		} else if (err != ERR_NOMEM) {
			err = 0;
			if (view == s->base) {
				s->bad_buckets++;
				salvage_say(
					s, false,
					"%s cannot be read; the names on it are looked for in the "
					"older commit slot and in the log",
					where_text(&s->pages.where, text));
			}
		}
	}
	return err;
}

/* The entry that names a slot; its extended attributes into s->xattrs. */
static int load_entry(struct salvage *s, uint32_t slot, struct store_entry *entry_out,
		      uint64_t *hash_out)
{
	unsigned view = (s->names[slot] & IN_OTHER) != 0 ? s->other : s->base;
	uint32_t number = (s->names[slot] & ~IN_OTHER) - 1;
	const struct format_entry *entry;
	const uint8_t *page;
	struct xattrs xattrs;
	int err = salvage_bucket(&s->pages, view, number, &page);

	if (err != 0)
		return err;
	for (uint32_t at = 0; (entry = ids_bucket_next(page, &at)) != NULL;) {
		if (get_u32(entry->slot) != slot)
			continue;
		ids_bucket_entry(entry, entry_out);
		*hash_out = get_u64(entry->hash);
		xattrs = ids_bucket_xattrs(entry);
		memcpy(s->xattrs, xattrs.bytes, xattrs.len);
		s->xattrs_len = xattrs.len;
		s->xattrs_known = true;
		return 0;
	}
	return ERR_DAMAGED;
}

/* A live slot that no id names: the log may know the id by its hash. */
static int find_name(struct salvage *s, uint32_t slot, const struct slots_entry *table,
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
	s->xattrs_len = 0;
	s->xattrs_known = false;
	entry_out->slot = slot;
	entry_out->attr = s->calls->unnamed;
	if (s->pages.header_ok) {
		node = salvage_log_node_of_hash(&s->log, table->id_hash);
		err = salvage_log_name(&s->log, table->id_hash, entry_out->id, &len);
	}
	if (err == ERR_NOMEM)
		return err;
	if (node != NULL) {
		len = node->id_len;
		memcpy(entry_out->id, salvage_log_id(&s->log, node), len);
		entry_out->id[len] = '\0';
	}
	entry_out->id_len = (uint16_t)len;
	err = salvage_log_put(&s->log, table->lsn, &record);
	if (err == 0 && salvage_read_put(&record, &put, &value, &size)) {
		entry_out->attr = put.attr;
		entry_out->ino = put.ino;
	}
	return err == ERR_NOMEM ? err : 0;
}

void salvage_say_doubt(struct salvage *s, const struct salvage_node *node)
{
	if (node->doubtful)
		salvage_say(
			s, true,
			"vectors/%.*s: what is saved came by a renaming after a lost part of the log; it "
			"may be older content, or that of another id",
			(int)node->id_len, salvage_log_id(&s->log, node));
}

/* What the base has under an id goes to the id that has it after the log. */
static int emit(struct salvage *s, struct store_entry *entry, uint64_t hash)
{
	struct salvage_vector vector;
	struct salvage_node *node = NULL, *to = NULL;
	int err = 0;

	if (entry->id_len > 0)
		node = salvage_log_node(&s->log, entry->id, entry->id_len);
	vector.entry = *entry;
	vector.xattrs = (struct xattrs){s->xattrs, s->xattrs_len};
	if (node != NULL) {
		node->seen = true;
		if (s->xattrs_known)
			err = salvage_log_keep_xattrs(&s->log, node, &vector.xattrs);
		if (err != 0)
			return err;
		if (node->to == SALVAGE_NONE)
			return 0;
		to = &s->log.nodes[node->to];
		vector.entry.id_len = to->id_len;
		memcpy(vector.entry.id, salvage_log_id(&s->log, to), to->id_len);
		vector.entry.id[to->id_len] = '\0';
		if (to->attr_set)
			vector.entry.attr = to->attr;
		vector.xattrs = salvage_log_xattrs(&s->log, to);
		salvage_say_doubt(s, to);
	}
	err = fetch(s, entry, hash, vector.entry.id);
	if (err != 0)
		return err == ERR_DAMAGED ? 0 : err;
	if (!s->xattrs_known && (to == NULL || to->xattrs_from != SALVAGE_NONE))
		s->unknown_xattrs++;
	vector.value = s->value;
	vector.size = s->value_size;
	return salvage_give(s, &vector, entry->id_len == 0);
}

static int emit_slot(struct salvage *s, uint32_t slot, uint64_t *nameless)
{
	struct slots_entry table;
	struct store_entry entry;
	uint64_t hash = 0;
	int err = salvage_slot(&s->pages, s->base, slot, &table);
	bool known = err == 0;

	if (err == ERR_NOMEM)
		return err;
	if (s->names[slot] == 0) {
		if (!known)
			*nameless += 1;
		if (!known || table.state != STORE_SLOT_LIVE)
			return 0;
		hash = table.id_hash;
		err = find_name(s, slot, &table, &entry);
	} else {
		err = load_entry(s, slot, &entry, &hash);
		if (err == ERR_DAMAGED) { /* it could be read a moment ago */
			s->report->lost++;
			salvage_say(s, true, "the name of slot %" PRIu32 " cannot be read any more",
				    slot);
			return 0;
		}
		if (err == 0 && known &&
		    (table.state != STORE_SLOT_LIVE || table.id_hash != hash)) {
			s->report->lost++;
			salvage_say(
				s, true,
				"vectors/%s is left out: slot table and ids contradict each other",
				entry.id);
			return 0;
		}
	}
	if (err != 0)
		return err;
	entry.lsn = known ? table.lsn : 0;
	return emit(s, &entry, hash);
}

int salvage_emit_base(struct salvage *s)
{
	uint64_t nameless = 0;
	int err;

	s->slots = salvage_slot_count(&s->pages, s->base);
	s->names = mem_zalloc((size_t)s->slots + 1, sizeof(*s->names));
	if (s->names == NULL)
		return ERR_NOMEM;
	err = note_names(s, s->base);
	if (err == 0 && s->bad_buckets > 0 && salvage_has_other(s))
		err = note_names(s, s->other);
	for (uint32_t slot = 0; err == 0 && slot < s->slots; slot++) {
		salvage_show(s, "vectors", slot, s->slots);
		err = emit_slot(s, slot, &nameless);
	}
	if (err == 0 && nameless > 0 && s->bad_buckets > 0)
		salvage_say(s, true,
			    "%" PRIu64
			    " slots have neither a name nor a readable entry in the slot table; "
			    "which of them held vectors cannot be known",
			    nameless);
	return err;
}
