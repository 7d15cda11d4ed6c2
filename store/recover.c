/*
 * recover.c - opening: which slot, which log, what state. docs/format.md has the table.
 *
 * Two steps. recover_load reads and replays in memory and writes nothing: it is all that a read-only
 * mount and the check need. recover_take_over makes the result the newest slot, with everything
 * replayed written to fresh pages, so that nothing read from the page cache of a failed write is
 * trusted to be on disk.
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "store/damage.h"
#include "store/freelist.h"
#include "store/mem.h"
#include "store/store_private.h"

/* Only when checkpoints fail does the log grow so far; deletions may use the last part. */
#define LOG_CAP (8ull << 30)
#define LOG_RESERVE (1ull << 20)

static void release_tables(struct store *store)
{
	slots_release(&store->slots);
	ids_release(&store->ids);
	pager_free(store->pager);
	store->pager = NULL;
	pager_extents_release(&store->trunks);
}

/* Blocks that the older slot still needs stay in use until the next slot is durable. */
static int keep_needed(void *ctx, uint64_t block, uint64_t blocks, bool needed)
{
	struct pager *pager = ctx;
	int err = 0;

	for (uint64_t i = 0; err == 0 && needed && i < blocks; i++) {
		if (!alloc_is_free(pager->alloc, block + i))
			continue; /* the map says it is used: the map is the truth */
		err = alloc_mark(pager->alloc, block + i, 1);
		if (err == 0)
			err = mem_grow((void **)&pager->aging.list, &pager->aging.cap,
				       pager->aging.n + 1, sizeof(*pager->aging.list));
		if (err == 0)
			pager->aging.list[pager->aging.n++] = (struct pager_extent){block + i, 1};
	}
	return err;
}

/*
 * The free list: what it calls needed is kept back, its trunks are marked. A bad or unreadable list
 * costs nothing but that: what is free follows from the maps.
 */
static int load_free_list(struct store *store, const struct head_slot *slot)
{
	struct pager *pager = store->pager;
	int err = freelist_read(store->io, store->head.uuid, slot, &store->trunks, keep_needed,
				pager);

	if (err == ERR_NOMEM)
		return err;
	for (size_t i = 0; i < store->trunks.n;) {
		uint64_t block = store->trunks.list[i].block;

		if (alloc_is_free(pager->alloc, block) &&
		    alloc_mark(pager->alloc, block, store->trunks.list[i].blocks) == 0)
			i++;
		else
			store->trunks.list[i] = store->trunks.list[--store->trunks.n];
	}
	return 0;
}

/* Everything a slot refers to, but the pages themselves, into memory. */
static int load_slot(struct store *store, const struct head_slot *slot, struct err_msg *msg)
{
	uint64_t size;
	int err = store->io->ops->size(store->io, &size);

	if (err != 0)
		return err_set(msg, err, "%s: %s", store->io->ops->name(store->io), err_str(err));
	if (size / FORMAT_BLOCK < slot->blocks)
		return err_set(
			msg, ERR_DAMAGED,
			"%s is truncated: it has %llu bytes, its commit slot speaks of %llu; "
			"restore it from a copy",
			store->io->ops->name(store->io), (unsigned long long)size,
			(unsigned long long)slot->blocks * FORMAT_BLOCK);
	err = pager_new(&store->pager, store->io, store->epoch, store->head.uuid,
			store->head.page_size,
			store->opts.cache_bytes != 0 ? store->opts.cache_bytes : 1u << 20);
	if (err != 0)
		return err_set(msg, err, "%s", ERR_NOMEM_SENTENCE);
	store->pager->on_thrashing = store_on_thrashing;
	store->pager->on_thrashing_ctx = store;
	err = pager_load(store->pager, slot->roots, slot->blocks, msg);
	if (err != 0)
		return err;
	err = load_free_list(store, slot);
	if (err != 0)
		return err_set(msg, err, "%s: the free list cannot be read: %s",
			       store->io->ops->name(store->io), err_str(err));
	slots_init(&store->slots, store->pager, slot->value_size, (uint32_t)slot->slots);
	err = ids_init(&store->ids, store->pager, store->head.id_seed, slot->dir_depth,
		       slot->buckets);
	if (err == 0) {
		epoch_enter(store->epoch);
		err = slots_load(&store->slots);
		epoch_leave(store->epoch);
	}
	if (err != 0)
		return damage_explain_open(store, "the slot table cannot be read", err, msg);
	store->slot = *slot;
	store->file_blocks = size / FORMAT_BLOCK;
	atomic_store(&store->next_ino, slot->next_ino);
	store->last_lsn = slot->ckpt_lsn;
	atomic_store(&store->generation, slot->generation);
	atomic_store(&store->ckpt_lsn, slot->ckpt_lsn);
	atomic_store(&store->graph_lsn, slot->graph_lsn);
	return 0;
}

/*
 * The newest slot whose maps can be read. *broken_out: a newer one that is whole in itself; generation 0
 * when there is none.
 */
static int load_best(struct store *store, struct store_open_report *report,
		     struct head_slot *broken_out, struct err_msg *msg)
{
	struct head_slot slots[2];
	struct err_msg first = {{0}};
	bool bad = false;
	unsigned n = 0;
	int err = head_read(store->io, &store->head, slots, &n, &bad, msg);

	if (err != 0)
		return err;
	/*
	 * The other one may be the older one, over which a writer must not write on the word of a disk
	 * that fails.
	 */
	if (store->head.slot_unreadable && !store->opts.read_only)
		return err_set(
			msg, ERR_IO,
			"%s: a commit slot cannot be read (%s; the kernel's log says more). %s: mount "
			"with -o ro, or save it with vecfs recover, and look at the disk",
			store->io->ops->name(store->io), err_str(ERR_IO),
			slots[0].first_segment != 0 ? "The other one and the log have everything" :
						      "The other one may have everything");
	report->older_slot = bad && slots[0].generation > 1;
	report->fresh = !bad && slots[0].generation == 1;
	for (unsigned i = 0; i < n; i++) {
		err = load_slot(store, &slots[i], i == 0 ? &first : msg);
		if (err == 0) {
			report->older_slot = report->older_slot || i > 0;
			if (i > 0)
				*broken_out = slots[0];
			report->clean = slots[i].clean;
			/* over the slot that cannot be used, never over this one */
			store->next_generation = slots[0].generation + (i == 0 ? 1 : 2);
			store->slot.generation = slots[0].generation;
			return 0;
		}
		release_tables(store);
		if (err != ERR_DAMAGED && err != ERR_IO)
			break;
	}
	/* the first one's sentence, unless it is for another reason that the other one does not serve */
	if (msg != NULL && (err == ERR_DAMAGED || err == ERR_IO || msg->text[0] == '\0'))
		*msg = first;
	return err;
}

/* --- the log --- */

static int replay(void *ctx, const struct wal_record *record)
{
	struct store *store = ctx;

	return commit_replay(store, record);
}

static void expect(void *ctx, const struct wal_record *record)
{
	struct store *store = ctx;

	commit_expect(store, record);
}

/* The highest number of a segment that exists, 0 when there is none; and whether this one exists. */
static int last_segment(struct store *store, uint64_t seq, uint64_t *last_out, bool *exists_out)
{
	uint64_t *seqs = NULL;
	size_t n = 0;
	int err = store->io->ops->log_list(store->io, &seqs, &n);

	*last_out = err == 0 && n > 0 ? seqs[n - 1] : 0;
	*exists_out = false;
	for (size_t i = 0; err == 0 && i < n; i++)
		*exists_out |= seqs[i] == seq;
	mem_free(seqs);
	return err;
}

/* Adds a sentence: several things may be true of one opening. */
static void add_note(struct store_open_report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_note(struct store_open_report *report, const char *format, ...)
{
	char *text = report->note.text;
	size_t size = sizeof(report->note.text), len = strlen(text);
	va_list args;

	if (len > 0)
		len += (size_t)snprintf(text + len, size - len, ". ");
	if (len >= size)
		return;
	va_start(args, format);
	(void)vsnprintf(text + len, size - len, format, args); /* a cut text is accepted */
	va_end(args);
}

/* A damaged log whose intact beginning is served. */
static void note_prefix(const char *name, const struct wal_report *log,
			struct store_open_report *report)
{
	report->discarded = log->readable_beyond;
	report->lost_from = log->last_lsn + 1;
	report->lost_to = log->max_beyond_lsn > log->last_lsn ? log->max_beyond_lsn :
								report->lost_from;
	add_note(report,
		 "WAL replay failed: %s-wal.%llu is damaged at byte %llu; serving the state up to "
		 "LSN %llu, without LSN %llu to %llu (%llu of their records can still be read: "
		 "vecfs wal lists them); restore the segment from a copy to have all",
		 name, (unsigned long long)log->bad_seq, (unsigned long long)log->bad_offset,
		 (unsigned long long)log->last_lsn, (unsigned long long)report->lost_from,
		 (unsigned long long)report->lost_to, (unsigned long long)log->readable_beyond);
}

static int judge_log(struct store *store, const struct wal_report *log,
		     struct store_open_report *report, struct err_msg *msg)
{
	const char *name = store->io->ops->name(store->io);

	report->replayed = log->records;
	if (log->verdict == WAL_TORN_TAIL) {
		report->cut_bytes = log->bad_bytes;
		add_note(report, "%s: the log ends in %llu bytes of an unfinished record; they %s",
			 name, (unsigned long long)log->bad_bytes,
			 store->opts.read_only ? "are left out" : "were cut");
	} else if (log->verdict == WAL_UNSYNCED_CUT) {
		report->discarded = log->readable_beyond;
		add_note(report, "%s: after a power cut %llu records that were never synced %s",
			 name, (unsigned long long)log->readable_beyond,
			 store->opts.read_only ? "are left out" : "were discarded");
	} else if (log->verdict == WAL_DAMAGED) {
		if (store->opts.read_only && store->opts.recover_prefix) {
			note_prefix(name, log, report);
			return 0;
		}
		return err_set(
			msg, ERR_DAMAGED,
			"WAL replay failed: %s-wal.%llu is damaged at byte %llu and records "
			"after it were acknowledged; mount with -o ro,recover=prefix to read "
			"the state up to LSN %llu, or restore the segment from a copy",
			name, (unsigned long long)log->bad_seq, (unsigned long long)log->bad_offset,
			(unsigned long long)log->last_lsn);
	}
	return 0;
}

static int refuse_missing(struct store *store, uint64_t seq, struct err_msg *msg)
{
	return err_set(
		msg, ERR_DAMAGED,
		"WAL replay failed: the log segment %s-wal.%llu is missing and the store was "
		"not closed in order; put it back beside the store",
		store->io->ops->name(store->io), (unsigned long long)seq);
}

/* No segment was found that the slot needs, or one of another store; or none can be read. */
static int refuse_log(struct store *store, int err, const struct err_msg *why, struct err_msg *msg)
{
	if (err == ERR_ABSENT && store->slot.first_segment != 0)
		return refuse_missing(store, store->slot.first_segment, msg);
	if (err == ERR_ABSENT || err == ERR_FORMAT)
		return err_set(msg, ERR_DAMAGED, "WAL replay failed: %.400s", why->text);
	if (why->text[0] == '\0')
		return damage_explain_open(store, "WAL replay failed", err, msg);
	return err_set(msg, err, "%s", why->text);
}

const char *recover_other_slot(const struct store *store, const struct wal_report *log)
{
	if (log->verdict == WAL_DAMAGED)
		return "the other one is used, with what is left of the log";
	if (store->slot.first_segment != 0)
		return "the other one and the log give the full state";
	if (store->slot.clean)
		return "the other one has the state of the last orderly unmount, of a mount with "
		       "durability=none";
	return "the other one is of a mount with durability=none, and what changed after it may be "
	       "lost";
}

/* What there is to say of the slots. */
static void note_slots(struct store *store, const struct wal_report *log,
		       struct store_open_report *report)
{
	const char *name = store->io->ops->name(store->io);

	if (report->older_slot)
		add_note(report, "%s: a commit slot is unusable; %s%s", name,
			 recover_other_slot(store, log),
			 store->opts.read_only ? "" : "; it is written anew");
	else if (store->slot.first_segment == 0 && !store->slot.clean)
		add_note(report,
			 "%s was last used with durability=none; this is its last checkpoint",
			 name);
}

/*
 * Whether there is a log to read. The newest slot says so; one that rules in its place does not know who
 * came after it.
 */
static bool needs_log(const struct store *store, const struct store_open_report *report,
		      const struct head_slot *broken, uint64_t last)
{
	const struct head_slot *slot = &store->slot;

	if (slot->first_segment == 0)
		return report->older_slot &&
		       (broken->generation == 0 || broken->first_segment != 0);
	return !slot->clean || last >= slot->first_segment;
}

static int scan_log(struct store *store, const struct head_slot *broken, struct wal_report *log,
		    struct err_msg *msg)
{
	struct wal_scan_opts scan = {
		.io = store->io,
		.from_seq = store->slot.first_segment,
		.from_may_be_new = store->slot.clean,
		.from_writer = store->slot.first_segment == 0,
		.after_epoch = store->slot.epoch,
		.after_lsn = store->slot.ckpt_lsn,
		.known_lsn = broken->ckpt_lsn,
		.expect = expect,
	};
	struct err_msg why = {{0}};
	int err;

	memcpy(scan.uuid, store->head.uuid, 16);
	err = wal_scan(&scan, replay, store, log, &why);
	if (err != 0)
		return refuse_log(store, err, &why, msg);
	/* found so, the segment must stay as long as that slot does */
	if (scan.from_writer && log->n_segments > 0)
		store->slot.first_segment = log->segments[0].seq;
	return 0;
}

static int replay_log(struct store *store, struct store_open_report *report,
		      const struct head_slot *broken, struct wal_report *log, struct err_msg *msg)
{
	uint64_t last;
	bool exists;
	int err = last_segment(store, broken->first_segment, &last, &exists);

	if (err != 0)
		return err_set(msg, err, "%s: its log cannot be listed: %s",
			       store->io->ops->name(store->io), err_str(err));
	if (broken->first_segment != 0 && !broken->clean && !exists)
		return refuse_missing(store, broken->first_segment, msg);
	log->last_lsn = store->slot.ckpt_lsn;
	log->next_seq = last + 1 > store->slot.first_segment ? last + 1 : store->slot.first_segment;
	if (needs_log(store, report, broken, last))
		err = scan_log(store, broken, log, msg);
	if (err == 0)
		note_slots(store, log, report);
	return err != 0 ? err : judge_log(store, log, report, msg);
}

int recover_load(struct store *store, struct store_open_report *report, struct wal_report *log,
		 struct err_msg *msg)
{
	struct head_slot broken = {0};
	int err = load_best(store, report, &broken, msg);

	if (err != 0)
		return err;
	/* replaying needs no log of its own and must not wait for a checkpoint */
	err = replay_log(store, report, &broken, log, msg);
	if (err != 0)
		return err;
	epoch_enter(store->epoch);
	err = slots_load(&store->slots);
	epoch_leave(store->epoch);
	if (err != 0)
		return damage_explain_open(store, "the slot table cannot be read", err, msg);
	return 0;
}

/*
 * Writes the slot in use once more, as it is. A process whose sync failed may have left it in the page
 * cache alone, where it looks like any other; the next checkpoint overwrites the other slot, and if
 * that were torn then, none would be on disk.
 */
static int renew_slot(struct store *store)
{
	unsigned number = (unsigned)(store->next_generation & 1) ^ 1;
	struct format_slot block;
	int err = store->io->ops->read(store->io, FORMAT_SLOT_AT + (uint64_t)number * FORMAT_BLOCK,
				       &block, sizeof(block));

	if (err != 0)
		return err;
	return store->io->ops->commit_slot(store->io, number, &block, store->slot.generation);
}

int recover_take_over(struct store *store, const struct wal_report *log, struct err_msg *msg)
{
	struct wal_opts opts = {
		.io = store->io,
		.epoch = store->slot.epoch + 1,
		.durability = store->opts.durability,
		.cap = LOG_CAP,
		.reserve = LOG_RESERVE,
	};
	uint64_t seq = log->next_seq != 0 ? log->next_seq : 1;
	uint64_t total = 0, free_bytes = 0;
	int err;

	if (store->io->ops->space(store->io, &total, &free_bytes) != 0)
		total = 0;
	if (store->opts.durability != WAL_NONE)
		opts.room = room_log_bytes(total != 0 ? total : UINT64_MAX);
	memcpy(opts.uuid, store->head.uuid, 16);
	err = renew_slot(store);
	if (err != 0)
		return err_set(msg, err, "%s: the commit slot cannot be written: %s",
			       store->io->ops->name(store->io), err_str(err));
	err = wal_new(&store->wal, &opts, seq, store->last_lsn + 1, log->last_hash);
	if (err != 0)
		return err_set(msg, err, "%s: the log cannot be started: %s",
			       store->io->ops->name(store->io), err_str(err));
	store->segment_after_lsn = store->last_lsn;
	store->slot.epoch++;
	(void)pthread_mutex_lock(&store->checkpoint_lock);
	room_start(store);
	err = checkpoint_run(store, CHECKPOINT_NORMAL, false);
	(void)pthread_mutex_unlock(&store->checkpoint_lock);
	if (err != 0)
		return err_set(msg, err, "%s: the recovered state cannot be written: %s",
			       store->io->ops->name(store->io), err_str(err));
	return 0;
}
