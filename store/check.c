/*
 * check.c - verifies a store that is not mounted, without changing a byte of it.
 *
 * It loads the store as a read-only mount would (recover.c), then looks at what loading does not:
 * the stored bytes of every page, the free list against the maps, the tables against each other, and
 * every live value.
 */
#include <inttypes.h>
#include <string.h>

#include "store/damage.h"
#include "store/freelist.h"
#include "store/mem.h"
#include "store/page.h"
#include "store/store_private.h"

#define PROGRESS_EVERY 256u /* pages or vectors */

struct check {
	struct store *store;
	struct store_judge judge;
	struct damage_say say;
	store_progress progress;
	void *ctx;
	struct store_check_report *report;
	uint8_t *buf;	      /* one page */
	uint64_t done, total; /* pages, for progress */
	bool tables_bad;      /* pages of tables are damaged: comparing them would repeat it */
	uint64_t nameless;    /* live slots that no id names, because of that */
	int err;	      /* ERR_NOMEM: the check cannot go on, and what it met is no finding */
};

/* True for what says nothing of the store. */
static bool ran_out(struct check *check, int err)
{
	if (err == ERR_NOMEM)
		check->err = err;
	return err == ERR_NOMEM;
}

static void show_progress(struct check *check, const char *what)
{
	if (check->progress != NULL && check->done % PROGRESS_EVERY == 0)
		check->progress(check->ctx, what, check->done, check->total);
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
	if (err == 0 || ran_out(check, err))
		return;
	check->tables_bad = check->tables_bad ||
			    (space > FORMAT_SPACE_VALUE && space < FORMAT_SPACE_GRAPH);
	damage_say_page(&check->say, check->store, space, number, page->place, err);
}

/* Both copies of a page of a space's map; opening was content with one. */
static void check_map_page(struct check *check, enum format_space space, unsigned level,
			   size_t index)
{
	struct pager *pager = check->store->pager;
	const struct pager_node *node = &pager->spaces[space].levels[level].nodes[index];
	uint64_t seed = page_map_seed(pager->uuid, space, level, index);
	int err[2];

	if (node->place[0] == 0)
		return;
	for (int copy = 0; copy < 2; copy++)
		err[copy] = pager_read_place(pager, node->place[copy], node->checksum, seed,
					     check->buf);
	if (ran_out(check, err[0]) || ran_out(check, err[1]))
		return;
	for (int copy = 0; copy < 2; copy++)
		if (err[copy] != 0)
			damage_say_map(&check->say, space, node->place[copy], err[1 - copy] != 0,
				       err[copy]);
}

static void check_maps(struct check *check)
{
	for (int s = 0; s < FORMAT_SPACES; s++) {
		struct pager_space *space = &check->store->pager->spaces[s];

		for (unsigned l = 0; l < PAGER_LEVELS; l++)
			for (size_t i = 0; check->err == 0 && i < space->levels[l].n; i++)
				check_map_page(check, (enum format_space)s, l, i);
	}
}

static void check_pages(struct check *check)
{
	struct pager *pager = check->store->pager;

	for (int s = 0; s < FORMAT_SPACES; s++)
		check->total += atomic_load(&pager->spaces[s].pages);
	show_progress(check, "pages");
	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint32_t pages = atomic_load(&pager->spaces[s].pages);

		for (uint32_t i = 0; check->err == 0 && i < pages; i++)
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

	if (err != 0 && !ran_out(check, err))
		damage_say(
			&check->say, true,
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
	if (ran_out(check, err))
		goto out;
	if (err != 0 && check->tables_bad)
		entries = store->slots.live; /* the damaged page was named */
	else if (err != 0)
		damage_say(&check->say, true,
			   "the id index is inconsistent (%s); restore the store from a copy",
			   err_str(err));
	else if (entries != store->slots.live)
		damage_say(&check->say, true,
			   "the id index has %" PRIu64 " ids, the slot table %" PRIu64
			   " live slots",
			   entries, (uint64_t)store->slots.live);
	err = slots_check(&store->slots);
	if (err != 0 && !ran_out(check, err))
		damage_say(&check->say, true, "the slot table is inconsistent (%s)", err_str(err));
	check->report->vectors = entries;
out:
	epoch_leave(store->epoch);
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
	if (ran_out(check, err) || err != 0 || table.state != STORE_SLOT_LIVE)
		goto out;
	err = store_slot_entry(store, slot, &entry);
	if (ran_out(check, err))
		goto out;
	if (err != 0 && check->tables_bad)
		check->nameless++;
	else if (err != 0)
		damage_say(&check->say, true,
			   "slot %" PRIu32
			   " is live but no id names it; restore the store from a copy",
			   slot);
	if (err != 0)
		goto out;
	if (check->judge.id_bad != NULL &&
	    check->judge.id_bad(check->ctx, entry.id, entry.id_len)) {
		damage_say_id(&check->say, slot);
		goto out;
	}
	/* a page that fails was reported with its ids by check_pages */
	err = slots_value(&store->slots, slot, STORE_HINT_SCAN, &value);
	if (!ran_out(check, err) && err == 0 && check->judge.value_bad != NULL &&
	    check->judge.value_bad(check->ctx, value, store->slots.value_size))
		damage_say(
			&check->say, true,
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
	show_progress(check, "vectors");
	for (uint32_t slot = 0; check->err == 0 && slot < count; slot++) {
		check_value(check, slot);
		check->done++;
		show_progress(check, "vectors");
	}
	if (check->nameless > 0)
		damage_say(&check->say, true,
			   "%" PRIu64 " vectors have lost their ids with the pages named above",
			   check->nameless);
}

/* What opening said of slots and log. */
static void check_opening(struct check *check, const struct store_open_report *report,
			  const struct wal_report *log)
{
	struct head_slot slots[2];
	struct head head;
	bool bad = false;
	unsigned n;
	int err;

	check->report->log_records = log->records;
	if (log->verdict == WAL_DAMAGED)
		damage_say_log(&check->say, check->store->io->ops->name(check->store->io), log);
	err = head_read(check->store->io, &head, slots, &n, &bad, NULL);
	if (ran_out(check, err))
		return;
	if (err == 0 && bad)
		damage_say(
			&check->say, true,
			head.slot_unreadable ?
				"a commit slot cannot be read; %s: mount with -o ro, or save it with "
				"vecfs recover, and look at the disk" :
				"a commit slot is damaged; %s, and the next mount writes it anew",
			recover_other_slot(check->store, log));
	else if (report->older_slot)
		damage_say(&check->say, true,
			   "the newest commit slot points to a damaged page map; %s",
			   recover_other_slot(check->store, log));
	if (log->verdict != WAL_DAMAGED && (report->cut_bytes != 0 || report->discarded != 0))
		damage_say(&check->say, false, "%s", report->note.text);
}

static struct store *open_for_check(struct store_io *io, struct check *check,
				    struct store_open_report *report, struct wal_report *log,
				    struct err_msg *msg, int *err)
{
	struct store_opts opts = {
		.read_only = true,
		.recover_prefix = true, /* a damaged log is a finding, the rest is looked at too */
		.cache_bytes = 64u << 20,
	};
	struct store *store = store_new(io, &opts);

	if (store == NULL) {
		*err = err_set(msg, ERR_NOMEM, "out of memory");
		return NULL;
	}
	check->store = store;
	*err = recover_load(store, report, log, msg);
	return store;
}

int store_check(struct store_io *io, const struct store_judge *judge, store_finding finding,
		store_progress progress, void *ctx, struct store_check_report *report_out,
		struct err_msg *msg)
{
	struct check check = {.judge = judge != NULL ? *judge : (struct store_judge){0},
			      .say = {.finding = finding, .ctx = ctx},
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
	store_read_afresh(io);
	store = open_for_check(io, &check, &report, &log, &why, &err);
	if (err == ERR_DAMAGED || err == ERR_IO) {
		damage_say(&check.say, true, "%s", why.text[0] != '\0' ? why.text : err_str(err));
		err = 0;
		goto out;
	}
	if (err != 0) {
		if (msg != NULL)
			*msg = why;
		goto out;
	}
	check_opening(&check, &report, &log);
	check_maps(&check);
	if (check.err == 0)
		check_pages(&check);
	if (check.err == 0)
		check_free_list(&check);
	if (check.err == 0)
		check_tables(&check);
	if (check.err == 0)
		check_values(&check);
	if (check.err != 0)
		err = err_set(msg, check.err, "%s", ERR_NOMEM_SENTENCE);
out:
	report_out->damages = check.say.damages;
	report_out->remarks = check.say.remarks;
	wal_report_release(&log);
	store_abandon(store);
	mem_free(check.buf);
	return err;
}
