/*
 * check.c - verifies a store that is not mounted, without changing a byte of it.
 *
 * It loads the store as a read-only mount would (recover.c), then looks at what loading does not:
 * the stored bytes of every page, the free list against the maps, the tables against each other, and
 * every live value.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/freelist.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/store_private.h"

struct check {
	struct store *store;
	bool (*value_bad)(void *ctx, const void *value, uint32_t size);
	store_finding finding;
	store_progress progress;
	void *ctx;
	struct store_check_report *report;
	uint8_t *buf;	      /* one page */
	uint64_t done, total; /* pages, for progress */
};

static const char *const space_names[FORMAT_SPACES] = {"value", "slot table", "id directory", "id",
						       "graph", "code",	      "graph header"};

__attribute__((format(printf, 3, 4))) static void say(struct check *check, bool damage,
						      const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* a cut text is accepted */
	va_end(args);
	if (damage)
		check->report->damages++;
	else
		check->report->remarks++;
	check->finding(check->ctx, damage, text);
}

static void show_progress(struct check *check, const char *what)
{
	if (check->progress != NULL && check->done % 256 == 0)
		check->progress(check->ctx, what, check->done, check->total);
}

/* Names the ids whose values lie on a damaged page. */
static void say_ids(struct check *check, uint32_t number)
{
	struct store *store = check->store;
	uint32_t count = store_slots(store), pages, per = 1, first;
	struct store_entry entry;

	if (store->slots.value_size == 0)
		return;
	if (store->slots.value_size <= store->head.page_size)
		per = store->head.page_size / store->slots.value_size;
	/* slots grow with pages: find the first one on this page, or the one whose run has it */
	first = per > 1 ? number * per : 0;
	while (first < count && slots_value_page(&store->slots, first, &pages) + pages <= number)
		first++;
	for (uint32_t slot = first; slot < count && slot < first + per; slot++) {
		if (slots_value_page(&store->slots, slot, &pages) > number)
			break;
		if (store_slot_entry(store, slot, &entry) == 0)
			say(check, true,
			    "vectors/%s cannot be read; write it again, or copy the rest out of a "
			    "mount",
			    entry.id);
	}
}

static void check_page(struct check *check, enum format_space space, uint32_t number)
{
	struct pager *pager = check->store->pager;
	struct pager_page *page = pager_page(pager, space, number);
	struct place at;
	int err;

	check->done++;
	show_progress(check, "pages");
	if (!place_unpack(page->place, &at))
		return;
	check->report->pages++;
	check->report->bytes += at.bytes;
	err = pager_read_place(pager, page->place, page->checksum,
			       page_seed(pager->uuid, space, number), check->buf);
	if (err == 0)
		return;
	say(check, true,
	    "Page checksum mismatch: %s page %" PRIu32 " at byte %" PRIu64 " of the file (%s)%s",
	    space_names[space], number, at.block * FORMAT_BLOCK, err_str(err),
	    space >= FORMAT_SPACE_GRAPH ?
		    "; the graph is built anew at the next mount, no vector is lost" :
		    "");
	if (space == FORMAT_SPACE_VALUE)
		say_ids(check, number);
	else if (space == FORMAT_SPACE_BUCKET)
		say(check, true,
		    "the ids on id page %" PRIu32 " cannot be found by name; restore "
		    "the store from a copy",
		    number);
}

static void check_pages(struct check *check)
{
	struct pager *pager = check->store->pager;

	for (int s = 0; s < FORMAT_SPACES; s++)
		check->total += atomic_load(&pager->spaces[s].pages);
	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint32_t pages = atomic_load(&pager->spaces[s].pages);

		for (uint32_t i = 0; i < pages; i++)
			check_page(check, (enum format_space)s, i);
	}
}

static int check_extent(void *ctx, uint64_t block, uint64_t blocks, bool needed)
{
	struct check *check = ctx;

	for (uint64_t i = 0; !needed && i < blocks; i++)
		if (!alloc_is_free(check->store->pager->alloc, block + i))
			return ERR_EXISTS;
	return 0;
}

static void check_free_list(struct check *check)
{
	int err = freelist_read(check->store->io, check->store->head.uuid, &check->store->slot,
				NULL, check_extent, check);

	if (err != 0)
		say(check, true,
		    "the free list is wrong (%s); the next mount rebuilds it from the page map",
		    err == ERR_EXISTS ? "it names a block that is in use" : err_str(err));
}

static void check_tables(struct check *check)
{
	struct store *store = check->store;
	uint64_t entries = 0;
	int err;

	epoch_enter(store->epoch);
	err = ids_check(&store->ids, &entries);
	if (err != 0)
		say(check, true, "the id index is inconsistent (%s); restore the store from a copy",
		    err_str(err));
	else if (entries != store->slots.live)
		say(check, true,
		    "the id index has %" PRIu64 " ids, the slot table %" PRIu64 " live slots",
		    entries, (uint64_t)store->slots.live);
	err = slots_check(&store->slots);
	if (err != 0)
		say(check, true, "the slot table is inconsistent (%s)", err_str(err));
	epoch_leave(store->epoch);
	check->report->vectors = entries;
}

static void check_value(struct check *check, uint32_t slot)
{
	struct store *store = check->store;
	struct store_entry entry;
	struct slots_entry table;
	const void *value;
	int err;

	epoch_enter(store->epoch);
	err = slots_get(&store->slots, slot, &table);
	if (err != 0 || table.state != STORE_SLOT_LIVE)
		goto out;
	err = store_slot_entry(store, slot, &entry);
	if (err != 0) {
		say(check, true, "slot %" PRIu32 " is live but no id names it", slot);
		goto out;
	}
	/* a page that fails was reported with its ids by check_pages */
	if (slots_value(&store->slots, slot, STORE_HINT_SCAN, &value) == 0 &&
	    check->value_bad != NULL &&
	    check->value_bad(check->ctx, value, store->slots.value_size))
		say(check, true,
		    "vectors/%s holds numbers that cannot be stored (NaN or infinite); write it "
		    "again",
		    entry.id);
out:
	epoch_leave(store->epoch);
}

static void check_values(struct check *check)
{
	uint32_t count = store_slots(check->store);

	check->done = 0;
	check->total = count;
	for (uint32_t slot = 0; slot < count; slot++) {
		check_value(check, slot);
		check->done++;
		show_progress(check, "vectors");
	}
}

/* What opening said of slots and log. */
static void check_opening(struct check *check, const struct store_open_report *report,
			  const struct wal_report *log)
{
	struct head_slot slots[2];
	struct head head;
	bool bad = false;
	unsigned n;

	check->report->log_records = log->records;
	if (head_read(check->store->io, &head, slots, &n, &bad, NULL) == 0 && bad)
		say(check, true,
		    "a commit slot is damaged; the other one and the log give the "
		    "full state, the next mount writes it anew");
	else if (report->older_slot)
		say(check, true,
		    "the newest commit slot points to a damaged page map; the older "
		    "one and the log give the full state");
	if (report->cut_bytes != 0 || report->discarded != 0)
		say(check, false, "%s", report->note.text);
}

static struct store *open_for_check(struct store_io *io, struct check *check,
				    struct store_open_report *report, struct wal_report *log,
				    struct err_msg *msg, int *err)
{
	struct store_opts opts = {.read_only = true, .cache_bytes = 64u << 20};
	struct store *store = store_new(io, &opts);

	if (store == NULL) {
		*err = err_set(msg, ERR_NOMEM, "out of memory");
		return NULL;
	}
	check->store = store;
	*err = recover_load(store, report, log, msg);
	return store;
}

int store_check(struct store_io *io, bool (*value_bad)(void *ctx, const void *value, uint32_t size),
		store_finding finding, store_progress progress, void *ctx,
		struct store_check_report *report_out, struct err_msg *msg)
{
	struct check check = {.value_bad = value_bad,
			      .finding = finding,
			      .progress = progress,
			      .ctx = ctx,
			      .report = report_out};
	struct store_open_report report = {0};
	struct wal_report log = {0};
	struct err_msg why = {{0}};
	struct store *store = NULL;
	int err;

	memset(report_out, 0, sizeof(*report_out));
	check.buf = mem_alloc_aligned(FORMAT_BLOCK, FORMAT_PAGE_MAX);
	if (check.buf == NULL)
		return err_set(msg, ERR_NOMEM, "out of memory");
	err = io->ops->open(io, false, msg);
	if (err != 0)
		goto out;
	store = open_for_check(io, &check, &report, &log, &why, &err);
	if (err == ERR_DAMAGED) {
		say(&check, true, "%s", why.text);
		err = 0;
		goto out;
	}
	if (err != 0) {
		if (msg != NULL)
			*msg = why;
		goto out;
	}
	check_opening(&check, &report, &log);
	check_pages(&check);
	check_free_list(&check);
	check_tables(&check);
	check_values(&check);
out:
	wal_report_release(&log);
	store_abandon(store);
	mem_free(check.buf);
	return err;
}
