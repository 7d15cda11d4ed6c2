/*
 * verify.c - verifies an open store while it serves: what is on disk now, not what is in memory.
 *
 * Nothing is held for long. A stored page never changes in place, so it is read without any lock; when
 * it does not fit and its place has changed meanwhile, it was replaced and is looked at again. Tables
 * are compared in steps, each of one moment. The slots, the free list, the places and the log are
 * looked at with checkpoints held off, which commits do not notice.
 *
 * Invariant: no page is brought into the cache or pushed out of it but for pages of tables.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "store/damage.h"
#include "store/freelist.h"
#include "store/mem.h"
#include "store/page.h"

#define STEP_PAGES 64u /* between two questions whether to go on */
#define STEP_SLOTS 256u
#define STEP_IDS 64u

struct verify {
	struct store *store;
	const struct store_verify_opts *opts;
	struct damage_say say;
	struct store_verify_report *report;
	uint8_t *buf;	 /* one page */
	bool tables_bad; /* pages of tables are damaged: comparing them would repeat it */
};

static bool cancelled(const struct verify *verify)
{
	return verify->opts->cancelled != NULL && verify->opts->cancelled(verify->opts->ctx);
}

/* --- pages --- */

struct stored {
	uint64_t place, checksum;
};

static struct stored where_is(struct pager *pager, enum format_space space, uint32_t number)
{
	struct pager_group *group = &pager->groups[pager_group_of(space)];
	struct stored at = {0};
	const struct pager_page *page;

	(void)pthread_mutex_lock(&group->lock);
	page = pager_page(pager, space, number);
	if (page != NULL)
		at = (struct stored){page->place, page->checksum};
	(void)pthread_mutex_unlock(&group->lock);
	return at;
}

/* Reads a page as it is on disk now. *at_out: where it was; place 0: it was never written. */
static int read_page(struct verify *verify, enum format_space space, uint32_t number,
		     struct stored *at_out)
{
	struct pager *pager = verify->store->pager;
	uint64_t seed = page_seed(pager->uuid, space, number);
	int err = 0;

	for (;;) {
		struct stored now;

		*at_out = where_is(pager, space, number);
		if (at_out->place == 0)
			return 0;
		err = pager_read_place(pager, at_out->place, at_out->checksum, seed, verify->buf);
		if (err == 0 || err == ERR_NOMEM)
			return err;
		now = where_is(pager, space, number);
		if (now.place == at_out->place && now.checksum == at_out->checksum)
			return err;
	}
}

static int verify_page(struct verify *verify, enum format_space space, uint32_t number)
{
	struct pager *pager = verify->store->pager;
	struct pager_page *page = pager_page(pager, space, number);
	char why[128] = "";
	struct stored at;
	int err = read_page(verify, space, number, &at);

	if (at.place == 0 || page == NULL || err == ERR_NOMEM)
		return err;
	verify->report->pages++;
	verify->report->bytes += pager->page_size;
	if (err == 0 && pager->spaces[space].valid != NULL &&
	    !pager->spaces[space].valid(verify->buf, pager->page_size))
		err = ERR_DAMAGED;
	pager_note(pager, page, err);
	if (err != 0) {
		verify->tables_bad = verify->tables_bad ||
				     (space > FORMAT_SPACE_VALUE && space < FORMAT_SPACE_GRAPH);
		damage_say_page(&verify->say, verify->store, space, number, at.place, err);
		if (verify->opts->page_lost != NULL)
			verify->opts->page_lost(verify->opts->ctx, (enum store_space)space);
	} else if (verify->opts->page_bad != NULL &&
		   verify->opts->page_bad(verify->opts->ctx, (enum store_space)space, number,
					  verify->buf, why, sizeof(why))) {
		damage_say(&verify->say, true, "%s", why);
	}
	return 0;
}

static int verify_pages(struct verify *verify)
{
	for (int s = 0; s < FORMAT_SPACES; s++) {
		struct pager_space *space = &verify->store->pager->spaces[s];

		for (uint32_t i = 0; i < atomic_load(&space->pages); i++) {
			int err = verify_page(verify, (enum format_space)s, i);

			if (err == 0 && i % STEP_PAGES == 0 && cancelled(verify))
				err = ERR_INTERRUPTED;
			if (err != 0)
				return err;
		}
	}
	return 0;
}

/* --- tables --- */

/* Every live slot has an id. Each look is of one moment. */
static int verify_slots(struct verify *verify)
{
	uint32_t count = store_slots(verify->store);

	for (uint32_t slot = 0; slot < count; slot++) {
		struct store_entry entry;
		int err = store_slot_entry(verify->store, slot, &entry);

		if (err == 0) {
			verify->report->vectors++;
			if (verify->opts->id_bad != NULL &&
			    verify->opts->id_bad(verify->opts->ctx, entry.id, entry.id_len))
				damage_say_id(&verify->say, slot);
		} else if (err == ERR_DAMAGED) {
			damage_say(&verify->say, true,
				   "slot %" PRIu32
				   " is live but no id names it; restore the store from a copy",
				   slot);
		} else if (err != ERR_ABSENT) {
			return err;
		}
		if (slot % STEP_SLOTS == 0 && cancelled(verify))
			return ERR_INTERRUPTED;
	}
	return 0;
}

/* As store_list. ERR_DAMAGED: the slot of an entry is not live. */
static int list_live(struct store *store, uint64_t cursor, struct store_entry *entries,
		     uint64_t *cursors, size_t cap, size_t *n_out)
{
	int err;

	epoch_enter(store->epoch);
	(void)pthread_rwlock_rdlock(&store->ids.lock);
	err = ids_list(&store->ids, cursor, entries, cursors, cap, n_out);
	for (size_t i = 0; err == 0 && i < *n_out; i++) {
		struct slots_entry slot = {0};

		err = slots_get(&store->slots, entries[i].slot, &slot);
		if (err == ERR_ABSENT || (err == 0 && slot.state != STORE_SLOT_LIVE))
			err = ERR_DAMAGED;
	}
	(void)pthread_rwlock_unlock(&store->ids.lock);
	epoch_leave(store->epoch);
	return err;
}

/* Every id has a live slot. */
static int verify_ids(struct verify *verify)
{
	struct store_entry *entries = mem_zalloc(STEP_IDS, sizeof(*entries));
	uint64_t cursors[STEP_IDS], cursor = 0;
	size_t n = STEP_IDS;
	int err = entries == NULL ? ERR_NOMEM : 0;

	while (err == 0 && n == STEP_IDS) {
		err = list_live(verify->store, cursor, entries, cursors, STEP_IDS, &n);
		if (err == 0 && n > 0)
			cursor = cursors[n - 1];
		if (err == 0 && cancelled(verify))
			err = ERR_INTERRUPTED;
	}
	if (err == ERR_DAMAGED) {
		damage_say(
			&verify->say, true,
			"an id belongs to a slot that is not live; restore the store from a copy");
		err = 0;
	}
	mem_free(entries);
	return err;
}

/* --- with checkpoints held off --- */

static void verify_head(struct verify *verify)
{
	struct store *store = verify->store;
	struct head_slot slots[2];
	struct err_msg msg = {{0}};
	struct head head;
	bool bad = false, logged = store->opts.durability != WAL_NONE;
	unsigned n = 0;
	int err = head_read(store->io, &head, slots, &n, &bad, &msg);

	if (err != 0)
		damage_say(&verify->say, true, "%s", msg.text[0] != '\0' ? msg.text : err_str(err));
	else if (head.slot_unreadable)
		damage_say(&verify->say, true,
			   "a commit slot cannot be read (the kernel's log says more); the next "
			   "checkpoint will fail, and %s: look at the disk, and save what is there "
			   "with vecfs recover",
			   logged ? "the log has everything" : "there is no log (durability=none)");
	else if (slots[0].generation != store->slot.generation)
		damage_say(
			&verify->say, true, "the newest commit slot is damaged on disk; %s",
			logged ? "the other one and the log have everything: unmount and mount "
				 "again, and keep the log" :
				 "there is no log (durability=none), and the next checkpoint will "
				 "fail: copy the vectors elsewhere before you unmount");
	else if (bad)
		damage_say(
			&verify->say, true,
			"the older commit slot is damaged on disk; the next checkpoint writes it "
			"anew: echo checkpoint > status/control");
}

/* Whether all blocks of a place are in use, as the allocator has it. alloc_lock held. */
static bool in_use(struct pager *pager, uint64_t place)
{
	struct place at;

	if (!place_unpack(place, &at))
		return place == 0;
	for (uint32_t i = 0; i < place_blocks(at.bytes); i++)
		if (alloc_is_free(pager->alloc, at.block + i))
			return false;
	return true;
}

static bool places_are_used(struct pager *pager)
{
	bool fine;

	(void)pthread_mutex_lock(&pager->alloc_lock);
	fine = alloc_check(pager->alloc) == 0;
	for (int s = 0; fine && s < FORMAT_SPACES; s++) {
		struct pager_space *space = &pager->spaces[s];
		uint32_t pages = atomic_load(&space->pages);

		for (uint32_t i = 0; fine && i < pages; i++)
			fine = in_use(pager, pager_page(pager, (enum format_space)s, i)->place);
		for (unsigned l = 0; l < PAGER_LEVELS; l++)
			for (size_t i = 0; fine && i < space->levels[l].n; i++)
				fine = in_use(pager, space->levels[l].nodes[i].place[0]) &&
				       in_use(pager, space->levels[l].nodes[i].place[1]);
	}
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	return fine;
}

/* What the list calls free and not needed must be free. */
static int compare_free(void *ctx, uint64_t block, uint64_t blocks, bool needed)
{
	struct pager *pager = ctx;
	bool fine = true;

	(void)pthread_mutex_lock(&pager->alloc_lock);
	for (uint64_t i = 0; !needed && fine && i < blocks; i++)
		fine = alloc_is_free(pager->alloc, block + i);
	(void)pthread_mutex_unlock(&pager->alloc_lock);
	return fine ? 0 : ERR_EXISTS;
}

static void verify_space(struct verify *verify)
{
	struct store *store = verify->store;
	int err = freelist_read(store->io, store->head.uuid, &store->slot, NULL, compare_free,
				store->pager);

	if (err != 0)
		damage_say(&verify->say, true,
			   "the free list is wrong (%s); the next checkpoint writes it anew: echo "
			   "checkpoint > status/control",
			   err == ERR_EXISTS ? "it names a block that is in use" : err_str(err));
	if (!places_are_used(store->pager))
		damage_say(
			&verify->say, true,
			"a page lies in blocks that count as free; unmount, and run vecfs check");
}

static void verify_map(struct verify *verify)
{
	struct pager *pager = verify->store->pager;

	for (int s = 0; s < FORMAT_SPACES; s++) {
		enum format_space space = (enum format_space)s;

		for (unsigned l = 0; l < PAGER_LEVELS; l++) {
			const struct pager_level *level = &pager->spaces[s].levels[l];

			for (size_t i = 0; i < level->n; i++) {
				uint64_t seed = page_map_seed(pager->uuid, space, l, i);
				int err[2] = {0, 0};

				for (int c = 0; c < 2 && level->nodes[i].place[0] != 0; c++)
					err[c] = pager_read_place(pager, level->nodes[i].place[c],
								  level->nodes[i].checksum, seed,
								  verify->buf);
				for (int c = 0; c < 2; c++)
					if (err[c] != 0)
						damage_say_map(&verify->say, space,
							       level->nodes[i].place[c],
							       err[1 - c] != 0, err[c]);
			}
		}
	}
}

/* Everything committed before the look must be there; what is appended meanwhile may be half done. */
static int verify_log(struct verify *verify)
{
	struct store *store = verify->store;
	struct wal_scan_opts scan = {
		.io = store->io,
		.from_seq = store->slot.first_segment,
		.after_lsn = store->slot.ckpt_lsn,
	};
	struct wal_report log = {0};
	struct wal_stats stats;
	struct err_msg msg = {{0}};
	int err;

	if (store->wal == NULL || scan.from_seq == 0)
		return 0;
	memcpy(scan.uuid, store->head.uuid, 16);
	wal_get_stats(store->wal, &stats);
	err = wal_scan(&scan, NULL, NULL, &log, &msg);
	verify->report->log_records = log.records;
	if (err != 0 && err != ERR_NOMEM) {
		damage_say(&verify->say, true,
			   "the log cannot be read (%s); make it unneeded: echo checkpoint > "
			   "status/control",
			   msg.text[0] != '\0' ? msg.text : err_str(err));
		err = 0;
	} else if (err == 0 && log.last_lsn < stats.last_lsn) {
		damage_say(&verify->say, true,
			   "%s-wal.%" PRIu64 " is damaged at byte %" PRIu64 ": LSN %" PRIu64
			   " to %" PRIu64 " could not be replayed after a crash; make the log "
			   "unneeded: echo checkpoint > status/control",
			   store->io->ops->name(store->io), log.bad_seq, log.bad_offset,
			   log.last_lsn + 1, stats.last_lsn);
	}
	wal_report_release(&log);
	return err;
}

static int verify_rest(struct verify *verify)
{
	struct store *store = verify->store;
	int err;

	(void)pthread_mutex_lock(&store->checkpoint_lock);
	verify_head(verify);
	verify_space(verify);
	verify_map(verify);
	err = verify_log(verify);
	(void)pthread_mutex_unlock(&store->checkpoint_lock);
	return err;
}

int store_verify(struct store *store, const struct store_verify_opts *opts,
		 struct store_verify_report *report_out)
{
	struct verify verify = {
		.store = store,
		.opts = opts,
		.say = {.finding = opts->finding, .ctx = opts->ctx},
		.report = report_out,
	};
	int err = 0;

	memset(report_out, 0, sizeof(*report_out));
	verify.buf = mem_alloc_aligned(FORMAT_BLOCK, FORMAT_PAGE_MAX);
	if (verify.buf == NULL)
		return ERR_NOMEM;
	store_read_afresh(store->io);
	err = verify_pages(&verify);
	if (err == 0)
		err = verify_rest(&verify);
	if (err == 0 && !verify.tables_bad)
		err = verify_slots(&verify);
	if (err == 0 && !verify.tables_bad)
		err = verify_ids(&verify);
	report_out->damages = verify.say.damages;
	mem_free(verify.buf);
	return err;
}
