/* damage.c - what is said about damaged pages, and of a read that met one. */
#include "store/damage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/page.h"

#define NAMED_BYTES 200u /* of ids in one sentence */

static const char *const space_names[FORMAT_SPACES] = {"value", "slot table", "id directory", "id",
						       "graph", "code",	      "graph header"};

/* What to do about a page of a space; values have their own words, with the ids. */
static const char *const remedies[FORMAT_SPACES] = {
	"",
	"the store cannot be opened without it; restore the store from a copy, or save what can be "
	"read with vecfs recover",
	"ids cannot be found by name; restore the store from a copy, or save what can be read with "
	"vecfs recover",
	"the ids on it cannot be found by name; restore the store from a copy, or save what can be "
	"read with vecfs recover",
	"the graph is built anew at the next mount, no vector is lost",
	"the graph is built anew at the next mount, no vector is lost",
	"the graph is built anew at the next mount, no vector is lost",
};

void damage_say(struct damage_say *say, bool damage, const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* a cut text is accepted */
	va_end(args);
	if (damage)
		say->damages++;
	else
		say->remarks++;
	say->finding(say->ctx, damage, text);
}

/* "Page checksum mismatch: value page 3 at byte 40960 of the file" */
static void name_page(enum format_space space, const char *what, uint64_t number, uint64_t place,
		      int err, char *out, size_t size)
{
	struct place at = {0};

	(void)place_unpack(place, &at); /* a place that is none stays 0 */
	if (err == ERR_DAMAGED)
		(void)snprintf(out, size,
			       "Page checksum mismatch: %s %s %" PRIu64 " at byte %" PRIu64
			       " of the file",
			       space_names[space], what, number, at.block * FORMAT_BLOCK);
	else
		(void)snprintf(out, size,
			       "%s %s %" PRIu64 " at byte %" PRIu64
			       " of the file cannot be read (%s; the kernel's log says more)",
			       space_names[space], what, number, at.block * FORMAT_BLOCK,
			       err_str(err));
}

/* The slots whose values have bytes on a value page: *first_out ... *end_out - 1. */
static void slots_on_page(const struct store *store, uint32_t number, uint32_t *first_out,
			  uint32_t *end_out)
{
	uint32_t count = store_slots(store), size = atomic_load(&store->slots.value_size);
	uint32_t pages = 1, slot = 0;

	*first_out = *end_out = 0;
	if (size == 0 || count == 0)
		return;
	if (size <= store->head.page_size) {
		uint32_t per = store->head.page_size / size;

		*first_out = (uint64_t)number * per < count ? number * per : count;
		*end_out = count - *first_out < per ? count : *first_out + per;
		return;
	}
	/* a value begins at a multiple of its span; behind its last page there may be unused ones */
	while (slot < count && slots_value_page(&store->slots, slot, &pages) + pages <= number)
		slot++;
	*first_out = slot;
	*end_out = slot < count && slots_value_page(&store->slots, slot, &pages) <= number ?
			   slot + 1 :
			   slot;
}

void damage_say_page(struct damage_say *say, struct store *store, enum format_space space,
		     uint32_t number, uint64_t place, int err)
{
	struct store_entry entry;
	uint32_t first, end;
	char page[160];

	name_page(space, "page", number, place, err, page, sizeof(page));
	if (space != FORMAT_SPACE_VALUE) {
		damage_say(say, true, "%s; %s", page, remedies[space]);
		return;
	}
	damage_say(say, true, "%s", page);
	slots_on_page(store, number, &first, &end);
	for (uint32_t slot = first; slot < end; slot++)
		if (store_slot_entry(store, slot, &entry) == 0)
			damage_say(say, true,
				   "vectors/%s cannot be read; write it again, or copy the rest "
				   "out of a mount",
				   entry.id);
}

void damage_say_id(struct damage_say *say, uint32_t slot)
{
	/* the id itself may be anything, so it is not printed */
	damage_say(say, true,
		   "the id of slot %" PRIu32
		   " is none that a vector can have, listings fail at it; vecfs recover saves all "
		   "vectors, this one under another name",
		   slot);
}

void damage_say_map(struct damage_say *say, enum format_space space, uint64_t place, bool both,
		    int err)
{
	char page[160];
	struct place at = {0};

	(void)place_unpack(place, &at);
	name_page(space, "map page in block", at.block, place, err, page, sizeof(page));
	damage_say(say, true, "%s; %s", page,
		   both ? "the other copy is damaged as well, restore the store from a copy" :
			  "the other copy is good, the next mount writes both anew");
}

void damage_say_log(struct damage_say *say, const char *name, const struct wal_report *log)
{
	damage_say(
		say, true,
		"WAL replay failed: %s-wal.%" PRIu64 " is damaged at byte %" PRIu64
		" after LSN %" PRIu64 ", and %" PRIu64
		" records behind it can still be read; restore the segment from a copy, or mount "
		"with -o ro,recover=prefix to read the state up to that LSN",
		name, log->bad_seq, log->bad_offset, log->last_lsn, log->readable_beyond);
}

/* --- of a read that failed --- */

/* Ids on a page, the one that was asked for first, as many as there is room for. */
static void name_ids(struct store *store, uint32_t asked, uint32_t first, uint32_t end, char *out,
		     size_t size)
{
	struct store_entry entry;
	uint32_t more = 0;
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i <= end - first; i++) {
		uint32_t slot = i == 0 ? asked : first + i - 1;
		size_t id_len;

		if ((i > 0 && slot == asked) || store_slot_entry(store, slot, &entry) != 0)
			continue;
		id_len = strlen(entry.id);
		if (len > 0 && len + id_len + 2 > NAMED_BYTES) {
			more++;
			continue;
		}
		len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "",
					entry.id);
	}
	if (more > 0)
		(void)snprintf(out + len, size - len, " and %" PRIu32 " more", more);
}

int store_explain_slot(struct store *store, uint32_t slot, int err, struct err_msg *msg)
{
	uint32_t pages = 1, number, first, end;
	char page[160], ids[NAMED_BYTES + FORMAT_ID_MAX + 32];

	if ((err != ERR_DAMAGED && err != ERR_IO) || atomic_load(&store->slots.value_size) == 0)
		return err;
	number = slots_value_page(&store->slots, slot, &pages);
	for (uint32_t p = number; p < number + pages; p++) {
		const struct pager_page *one = pager_page(store->pager, FORMAT_SPACE_VALUE, p);

		if (one == NULL || !atomic_load(&one->damaged))
			continue;
		slots_on_page(store, p, &first, &end);
		name_ids(store, slot, first, end, ids, sizeof(ids));
		name_page(FORMAT_SPACE_VALUE, "page", p,
			  __atomic_load_n(&one->place, __ATOMIC_RELAXED), err, page, sizeof(page));
		return err_set(msg, err,
			       "%s; its vectors cannot be read until they are written again, vecfs "
			       "check lists all damage: %s",
			       page, ids);
	}
	return err;
}

/* Names the first page of a table that is known to be damaged. False when none is. */
static bool name_table_page(struct store *store, int err, char *out, size_t size,
			    enum format_space *space_out)
{
	struct pager *pager = store->pager;

	for (int s = FORMAT_SPACE_SLOT; s < FORMAT_SPACE_GRAPH; s++) {
		uint32_t pages = atomic_load(&pager->spaces[s].pages);

		for (uint32_t p = 0; p < pages; p++) {
			const struct pager_page *one = pager_page(pager, (enum format_space)s, p);

			if (!atomic_load(&one->damaged))
				continue;
			*space_out = (enum format_space)s;
			name_page(*space_out, "page", p,
				  __atomic_load_n(&one->place, __ATOMIC_RELAXED), err, out, size);
			return true;
		}
	}
	return false;
}

int store_explain_tables(struct store *store, int err, struct err_msg *msg)
{
	enum format_space space;
	char page[160];

	if ((err == ERR_DAMAGED || err == ERR_IO) &&
	    name_table_page(store, err, page, sizeof(page), &space))
		return err_set(msg, err, "%s; %s", page, remedies[space]);
	return err;
}

int store_explain(struct store *store, const char *id, size_t id_len, int err, struct err_msg *msg)
{
	struct store_entry entry;

	if (err != ERR_DAMAGED && err != ERR_IO)
		return err;
	if (id_len > 0 && id_len <= FORMAT_ID_MAX &&
	    store_get(store, id, id_len, &entry, NULL) == 0)
		return store_explain_slot(store, entry.slot, err, msg);
	return store_explain_tables(store, err, msg);
}

int damage_explain_open(struct store *store, const char *what, int err, struct err_msg *msg)
{
	const char *name = store->io->ops->name(store->io);
	enum format_space space;
	char page[160];

	if ((err == ERR_DAMAGED || err == ERR_IO) &&
	    name_table_page(store, err, page, sizeof(page), &space))
		return err_set(msg, err, "%s: %s: %s; %s", what, name, page, remedies[space]);
	return err_set(msg, err, "%s: %s: %s", what, name, err_str(err));
}
