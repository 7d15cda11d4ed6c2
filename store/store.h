/*
 * store.h - durable records on pages: what the layers above see of the store.
 *
 * A store maps an id (a name of 1 ... 255 bytes) to a value of fixed size and a few attributes. Each
 * value lies in a numbered slot; an overwrite takes a new slot, so a slot's bytes never change while
 * it lives. Beside its records the store keeps pages for the layer above (the graph), published
 * together by a graph flush and otherwise left alone.
 *
 * Threads: every function may be called from any thread unless it says otherwise.
 * Errors: 0 or a negative ERR_*. After a failed sync or a half-done commit the store is poisoned:
 * reads go on, every write returns ERR_READONLY until it is opened again.
 */
#ifndef VECFS_STORE_STORE_H
#define VECFS_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"
#include "store/format.h"
#include "store/io.h"
#include "store/wal.h"
#include "store/xattr.h"

struct store;

#define STORE_NO_SLOT UINT32_MAX

/* --- making and opening --- */

struct store_geometry {
	uint32_t page_size;  /* bytes; 0 = FORMAT_PAGE_DEFAULT */
	uint32_t value_size; /* bytes, a multiple of 4; 0 = set by the first put */
	uint32_t kind;	     /* kept for the layer above */
};

/* Makes an empty store, durably. ERR_EXISTS; ERR_INVALID with a sentence for a bad geometry. */
int store_create(struct store_io *io, const struct store_geometry *geometry, struct err_msg *msg);

struct store_opts {
	uint64_t cache_bytes; /* bound of the page cache; 0 = 1 MiB */
	enum wal_durability durability;
	bool read_only;		   /* load only: writes nothing, replays in memory */
	bool recover_prefix;	   /* serve the intact prefix of a damaged log; needs read_only */
	uint64_t checkpoint_bytes; /* log bytes that start a checkpoint; 0 = 64 MiB */
	bool background;	   /* run the checkpoint and sync thread (tests drive by hand) */
	/*
	 * Told, in a sentence, what nobody asked for but somebody should know: the store takes no
	 * more writes, checkpoints fail, the cache is too small. Once each time it begins. Called
	 * from any thread with locks of the store held: must not call the store. May be NULL.
	 */
	void (*notice)(void *ctx, const char *sentence);
	void *notice_ctx;
};

/* What opening did, for the log and for messages. */
struct store_open_report {
	bool fresh;	    /* it was made, and never opened for writing before */
	bool clean;	    /* no log was needed */
	bool older_slot;    /* the newest commit slot was unusable */
	uint64_t replayed;  /* records */
	uint64_t cut_bytes; /* of a torn tail */
	uint64_t discarded; /* records: unsynced ones after a power cut, or left out by a prefix */
	/* recover_prefix: LSNs that the state lacks, from ... to; both 0 when it lacks none */
	uint64_t lost_from, lost_to;
	struct err_msg note; /* sentences when anything of this is worth saying, else empty */
};

/*
 * Opens the store behind io and recovers it. The store does not own io; close it after. On error
 * msg says what is wrong and what to do: ERR_FORMAT, ERR_DAMAGED, ERR_BUSY, ERR_ABSENT, ERR_IO ...
 * *report_out is then what was found out before.
 */
int store_open(struct store_io *io, const struct store_opts *opts, struct store **store_out,
	       struct store_open_report *report_out, struct err_msg *msg);
/*
 * Checkpoint marked CLEAN, then frees. On error the log, if there is one, has everything. Accepts NULL.
 */
int store_close(struct store *store);
/* Frees without writing anything, as after a crash; for tests and for read-only stores. */
void store_abandon(struct store *store);

uint32_t store_value_size(const struct store *store); /* 0 until learnt */
uint32_t store_kind(const struct store *store);
uint64_t store_kind_seed(const struct store *store);
uint32_t store_page_size(const struct store *store);
bool store_read_only(const struct store *store); /* also true once poisoned */

/* --- records --- */

struct store_attr {
	uint32_t mode; /* permission bits, 07777 */
	uint32_t uid, gid;
	int64_t mtime_ns; /* since 1970 */
};

struct store_entry {
	uint64_t ino; /* stable through overwrite and rename, never reused */
	uint64_t lsn; /* of the write of its value */
	uint32_t slot;
	struct store_attr attr;
	uint16_t id_len;
	char id[FORMAT_ID_MAX + 1]; /* terminated */
};

enum store_put_flags {
	STORE_PUT_NEW = 1,	 /* ERR_EXISTS when the id exists */
	STORE_PUT_KEEP_ATTR = 2, /* an existing id keeps mode, uid, gid; mtime from attr */
	STORE_PUT_INO = 4,	 /* a new id gets result_out->ino, from store_new_ino */
};

struct store_put_result {
	uint64_t ino, lsn;
	uint32_t slot;
	uint32_t old_slot;	/* now dead; STORE_NO_SLOT for a new id */
	struct store_attr attr; /* that a deleted id had; of other changes nothing */
};

/* A number for an id that is not stored yet; while the store is open it is given once. */
uint64_t store_new_ino(struct store *store);

/*
 * Stores a value under an id, whole or not at all. size must be store_value_size, or sets it when
 * that is 0. When it returns 0 the record is in the log (durable only after store_sync) and every
 * later read and search sees it. ERR_INVALID (size), ERR_FULL, ERR_READONLY, ERR_IO, ERR_NOMEM:
 * nothing changed.
 * on_commit (may be NULL) runs inside the commit, before any other thread can see the record or
 * commit another: the layer above queues the slot as pending there. It must not call the store.
 */
typedef void (*store_commit_hook)(void *ctx, const struct store_put_result *result);
int store_put(struct store *store, const char *id, size_t id_len, const void *value, size_t size,
	      const struct store_attr *attr, unsigned flags, store_commit_hook on_commit, void *ctx,
	      struct store_put_result *result_out);
/* Like store_put's; result_out->old_slot is the slot that died, slot is STORE_NO_SLOT. ERR_ABSENT. */
int store_delete(struct store *store, const char *id, size_t id_len, store_commit_hook on_commit,
		 void *ctx, struct store_put_result *result_out);

enum store_rename_flags {
	STORE_RENAME_KEEP = 1,	   /* ERR_EXISTS when the target exists */
	STORE_RENAME_EXCHANGE = 2, /* ERR_ABSENT when it does not */
};
/* Atomic. A replaced target's slot is result_out->old_slot. Renaming to itself does nothing. */
int store_rename(struct store *store, const char *from, size_t from_len, const char *to,
		 size_t to_len, unsigned flags, store_commit_hook on_commit, void *ctx,
		 struct store_put_result *result_out);

enum store_attr_mask {
	STORE_ATTR_MODE = 1,
	STORE_ATTR_UID = 2,
	STORE_ATTR_GID = 4,
	STORE_ATTR_MTIME = 8,
};
int store_set_attr(struct store *store, const char *id, size_t id_len,
		   const struct store_attr *attr, unsigned mask);

/*
 * The whole list of an id's extended attributes, which stays with it through overwrite and rename and
 * goes when it is deleted. list_out: XATTRS_BYTES_MAX bytes. ERR_ABSENT: there is no such id.
 */
int store_get_xattrs(struct store *store, const char *id, size_t id_len, uint8_t *list_out,
		     uint32_t *len_out);
/* Replaces the list. ERR_TOO_BIG: longer than store_xattr_max; ERR_INVALID: no list; else as put. */
int store_set_xattrs(struct store *store, const char *id, size_t id_len,
		     const struct xattrs *xattrs);
uint32_t store_xattr_max(const struct store *store); /* bytes of a list at most */

/* Entry and, unless NULL, a copy of the value (value_size bytes), of one moment. ERR_ABSENT. */
int store_get(struct store *store, const char *id, size_t id_len, struct store_entry *entry_out,
	      void *value_out);

/*
 * After store_get (or what is built on it) failed with err: when a page is to blame, a sentence that
 * names it, the ids on it and what to do. Otherwise msg stays as it is. Returns err. With no lock
 * held; inside a read section or not. The slot is that of a value whose read has failed.
 */
int store_explain(struct store *store, const char *id, size_t id_len, int err, struct err_msg *msg);
int store_explain_slot(struct store *store, uint32_t slot, int err, struct err_msg *msg);
/* The same of what went through the tables for no id in particular. */
int store_explain_tables(struct store *store, int err, struct err_msg *msg);

/*
 * Lists ids in an order that does not change while they exist: *cursor starts at 0 and afterwards
 * names the last entry given. Fills up to cap entries; *n_out < cap only at the end. An id present
 * during the whole listing is given exactly once. Each entry has its own cursor in cursors[i]
 * (never 0), from which a listing can be resumed. Their lsn is left 0: that is in the slot table, which
 * lies in another order, so that each entry would cost a page of it where the cache is small.
 */
int store_list(struct store *store, uint64_t cursor, struct store_entry *entries, uint64_t *cursors,
	       size_t cap, size_t *n_out);

/*
 * To be called before a put, with no lock held that others need: waits, two seconds at most, while
 * checkpoints are far behind the writes, or while one makes room on a full medium.
 */
void store_wait_room(struct store *store);
/* The same before a deletion, a rename or new attributes, which need less room. */
void store_wait_checkpoint(struct store *store);

/* Waits until everything committed before the call is durable. ERR_READONLY when that failed. */
int store_sync(struct store *store);

/* --- slots, for the layer above --- */

enum store_slot_state {
	STORE_SLOT_FREE = FORMAT_SLOT_FREE,
	STORE_SLOT_LIVE = FORMAT_SLOT_LIVE,
	STORE_SLOT_DEAD = FORMAT_SLOT_DEAD,
};

/* Slot numbers used so far are 0 ... store_slots()-1. */
uint32_t store_slots(const struct store *store);
/* State and LSN of a slot, of a moment. */
int store_slot(struct store *store, uint32_t slot, enum store_slot_state *state_out,
	       uint64_t *lsn_out);
/*
 * The entry that a live slot belongs to; ERR_ABSENT when the slot is not live (any more). Between
 * store_read_begin and _end or not, as you like.
 */
int store_slot_entry(struct store *store, uint32_t slot, struct store_entry *entry_out);
/*
 * The same, but of the entry only slot, lsn, id and id_len: where the cache is full, ids stay in memory
 * longer than entries do.
 */
int store_slot_id(struct store *store, uint32_t slot, struct store_entry *entry_out);
/* A dead slot that nothing points to any more may be used again, once no reader can see it. */
int store_slot_release(struct store *store, uint32_t slot);
/*
 * Takes a release back, at opening: the slot is dead again, because something still points to it. What
 * its value was may be gone. ERR_INVALID: it is not free.
 */
int store_slot_reclaim(struct store *store, uint32_t slot);

/* --- reading pages in place --- */

/*
 * Between these two, pointers got from store_value and store_page stay valid and their memory is
 * not reused. Short: while a thread is inside, evicted pages cannot be given back. Long scans leave
 * and enter again every few hundred pages. May be nested. Never enter and then wait for a lock.
 */
void store_read_begin(struct store *store);
void store_read_end(struct store *store);

enum store_hint {
	STORE_HINT_NONE = 0,
	STORE_HINT_SCAN = 1, /* will not be needed again soon: does not displace other pages */
};
/*
 * The value in a slot, value_size bytes, 4-byte aligned, unverified whether live. ERR_DAMAGED when
 * its page fails its checksum, ERR_IO. Inside store_read_begin/_end.
 */
int store_value(struct store *store, uint32_t slot, enum store_hint hint, const void **value_out);
/*
 * Which of n slots are live with a value no younger than lsn. Those are safe to read until
 * store_read_end: inside the read section their bytes cannot become another value's. All others must
 * not be read. ERR_DAMAGED, ERR_IO: the slot table cannot be read.
 */
int store_live_as_of(struct store *store, const uint32_t *slots, size_t n, uint64_t lsn,
		     bool *live_out);
/*
 * Brings the values of n slots into memory, as far as they are on disk alone, with reads that are
 * issued together; store_entry_prefetch (below) what store_slot_id looks at. Hints: what cannot be
 * read says so when it is asked for. Inside store_read_begin/_end.
 */
void store_value_prefetch(struct store *store, const uint32_t *slots, size_t n);
/*
 * Shows the values of n slots, STORE_LOOK_MAX at most, each once, in any order: those in memory first,
 * the others as they arrive from disk. Where the cache is full they take no room there. err is what
 * store_value would give. show must not call the store; the value it is given is good until it
 * returns. Inside store_read_begin/_end, where the slots are safe to read.
 */
#define STORE_LOOK_MAX 64u
struct store_look {
	void (*show)(void *ctx, size_t i, int err, const void *value);
	void *ctx;
};
void store_look_at_values(struct store *store, const uint32_t *slots, size_t n,
			  const struct store_look *look);
/* Whether the cache is full, so that what comes in pushes something out. */
bool store_is_short(struct store *store);
void store_entry_prefetch(struct store *store, const uint32_t *slots, size_t n);

/* --- pages of the layer above --- */

enum store_space {
	STORE_VALUE = FORMAT_SPACE_VALUE, /* the values, named by store_verify alone */
	STORE_GRAPH = FORMAT_SPACE_GRAPH, /* cached, changed in place through store_page_change */
	STORE_CODE = FORMAT_SPACE_CODE,	  /* written and read whole, never cached */
	STORE_AUX = FORMAT_SPACE_AUX,	  /* likewise */
};

/* Logical pages of a space, as of the last change (GRAPH) or flush (CODE, AUX). */
uint32_t store_pages(const struct store *store, enum store_space space);
/* STORE_GRAPH: a page for reading, inside store_read_begin/_end. Zeros where never written. */
int store_page(struct store *store, uint32_t page, const void **page_out);
/* STORE_GRAPH: the same page if it is in memory, else NULL. Never waits. */
const void *store_page_peek(struct store *store, uint32_t page);
/* Where the page is or would be in memory, for a hint to the processor; NULL beyond the pages. */
const void *store_page_address(struct store *store, uint32_t page);
/* Whether the page exists and is on disk alone. */
bool store_page_is_absent(struct store *store, uint32_t page);
/* Brings n pages into memory as store_value_prefetch does values. */
void store_page_prefetch(struct store *store, const uint32_t *pages, size_t n);
/*
 * Reads those of n pages that are on disk alone, together, shows each, and leaves it there. While a page
 * is shown nobody can change it. show must not call the store but for the functions below. A hint: what
 * is in memory, or cannot be read, is not shown. Inside store_read_begin/_end.
 */
struct store_page_look {
	void (*show)(void *ctx, uint32_t page, const void *content);
	void *ctx;
};
void store_look_at_pages(struct store *store, const uint32_t *pages, size_t n,
			 const struct store_page_look *look);
/* For memory of the caller that holds what pages would: bytes more (or fewer) count as cache. */
void store_charge(struct store *store, int64_t bytes);
uint64_t store_cache_bytes(const struct store *store); /* the bound of the cache */
/* A look-up of a page that found it in such memory, for the hit rate. */
void store_page_found(struct store *store);
/*
 * For memory that readers inside store_read_begin may see: after it was unlinked, store_retire gives a
 * number; once store_is_retired says so of it, no reader has it any more.
 */
uint64_t store_retire(struct store *store);
bool store_is_retired(struct store *store, uint64_t number);
/*
 * STORE_GRAPH: the same page for changing in place; stays in memory until it is published. Inside
 * store_read_begin/_end, and before each group of changes. The caller keeps its own lock on what it
 * changes and holds off all changers during store_graph_freeze. Readers may look on: only aligned
 * 4-byte words may be changed, atomically.
 */
int store_page_change(struct store *store, uint32_t page, void **page_out);
/* STORE_CODE, STORE_AUX: reads one page of the published graph into buf. */
int store_blob_read(struct store *store, enum store_space space, uint32_t page, void *buf);

/*
 * Publishing the graph: begin (waits for a running checkpoint), freeze, then any number of
 * store_blob_write, then store_graph_commit, which runs a checkpoint, or store_graph_abort; all on one
 * thread. Until commit returns 0 the previous published graph stands. A begin that succeeded must be
 * followed by commit or abort; commit ends the publication also when it fails. No page of STORE_GRAPH
 * may change during the freeze alone.
 * *lsn_out becomes graph_lsn: the last LSN committed before the freeze.
 */
int store_graph_begin(struct store *store);
void store_graph_freeze(struct store *store, uint64_t *lsn_out);
int store_blob_write(struct store *store, enum store_space space, uint32_t page, const void *buf);
int store_graph_commit(struct store *store);
/* Ends a publication without publishing, after an error: what was frozen is dirty again. */
void store_graph_abort(struct store *store);
/* LSN of the published graph, 0 when there is none. */
uint64_t store_graph_lsn(const struct store *store);
/*
 * Forgets the graph (damaged, or built for other parameters): all three spaces are empty, also on
 * disk unless the store is read-only. Nobody reads or changes them meanwhile (ERR_BUSY).
 */
int store_graph_reset(struct store *store);

/* --- care --- */

int store_checkpoint(struct store *store);
/* Where changes are that no checkpoint has written yet: half a sentence for whom one has failed. */
const char *store_unsaved(const struct store *store);
void store_drop_caches(struct store *store);
/* What store_get_stats counts, as far as it is no state, counts from here on. */
void store_reset_metrics(struct store *store);

enum store_class { STORE_CLASS_GRAPH, STORE_CLASS_VECTOR, STORE_CLASS_MAP, STORE_CLASSES };

struct store_stats {
	uint64_t live, dead, slots;
	uint64_t last_lsn, durable_lsn, ckpt_lsn, graph_lsn, generation;
	uint64_t file_bytes, free_bytes;		/* of the head */
	uint64_t page_bytes_logical, page_bytes_stored; /* of value pages: compression */
	uint64_t wal_bytes, wal_syncs, wal_appends;
	uint64_t checkpoints, checkpoint_failures;
	uint64_t checkpoint_age_ns; /* since the last one that succeeded; 0 when there was none */
	uint64_t checkpoint_ns_last, checkpoint_ns_total, checkpoint_pause_ns_max;
	uint64_t hits[STORE_CLASSES], misses[STORE_CLASSES], evictions[STORE_CLASSES];
	uint64_t resident_bytes[STORE_CLASSES];
	uint64_t dirty_bytes, cache_limit;
	uint64_t decompressions;
	uint64_t damaged_pages; /* pages known to be unreadable on disk */
	uint64_t thrashings;	/* times that the cache began to thrash; see also thrashing */
	uint64_t space_total, space_free; /* of the medium */
	bool poisoned, thrashing;
};
void store_get_stats(struct store *store, struct store_stats *stats_out);

/* --- checking without mounting --- */

/* Says one finding: what, where, what to do. damage: false for remarks. */
typedef void (*store_finding)(void *ctx, bool damage, const char *text);
/* Progress for long work, at most some times a second. May be NULL. */
typedef void (*store_progress)(void *ctx, const char *what, uint64_t done, uint64_t total);

/* What the layer above holds to be impossible, whatever the checksums say. Each may be NULL. */
struct store_judge {
	bool (*value_bad)(void *ctx, const void *value, uint32_t size);
	bool (*id_bad)(void *ctx, const char *id, size_t len);
};

struct store_check_report {
	uint64_t pages, bytes, vectors, log_records;
	uint64_t damages, remarks;
};
/*
 * Verifies everything of the store behind io (not yet opened), read-only: header, slots, maps, every
 * page, free list, ids against slots, log, each live value and id by judge (may be NULL). 0 also when
 * damage was found (see report); negative when it could not run.
 */
int store_check(struct store_io *io, const struct store_judge *judge, store_finding finding,
		store_progress progress, void *ctx, struct store_check_report *report_out,
		struct err_msg *msg);

/*
 * Verifies an open store while it serves: every stored page as it is on disk now, page maps, both
 * commit slots, places and free list, ids against slots, and the log as far as it was written when the
 * call began. Readers and writers go on; checkpoints wait while the log is read. For a thread of low
 * priority. 0 also when damage was found (see report); ERR_INTERRUPTED; ERR_NOMEM; ERR_IO.
 */
struct store_verify_opts {
	store_finding finding;
	/* Asked now and then; true ends the work. May be NULL. */
	bool (*cancelled)(void *ctx);
	/*
	 * Judges a good page of the layer above, or of values (store_page_size bytes): true with a
	 * sentence in why when it cannot be what was written. May be NULL.
	 */
	bool (*page_bad)(void *ctx, enum store_space space, uint32_t page, const void *bytes,
			 char *why, size_t why_size);
	/* Judges the id of a vector. May be NULL. */
	bool (*id_bad)(void *ctx, const char *id, size_t len);
	/* A page of a space cannot be read; the finding follows from here. May be NULL. */
	void (*page_lost)(void *ctx, enum store_space space);
	void *ctx;
};
struct store_verify_report {
	uint64_t pages, bytes, vectors, log_records;
	uint64_t damages;
};
int store_verify(struct store *store, const struct store_verify_opts *opts,
		 struct store_verify_report *report_out);

/*
 * What the static header and the newest slot that can be used say, without recovery. Opens io, which must
 * not be open yet, read-only; afterwards it may be read on, and is closed by its owner.
 */
struct store_head {
	uint8_t uuid[16];
	uint32_t page_size, value_size, kind, epoch;
	uint64_t generation, ckpt_lsn, graph_lsn, first_segment;
	bool clean;
	bool older_slot; /* the other slot, bad, may have been newer */
};
int store_read_head(struct store_io *io, struct store_head *head_out, struct err_msg *msg);

#endif
