/*
 * pager.h - logical pages of all spaces: where each lies on disk, its frame in memory, and how
 * changed pages go out as a consistent whole.
 *
 * Frames. Every space has address space for its pages in chunks of PAGER_CHUNK; a page's frame is
 * always at the same address, filled by a read when first needed and given back to the system when
 * evicted (Leis et al., "Virtual-memory assisted buffer management", SIGMOD 2023, section 3, with
 * epochs in place of version latches). A resident page is therefore found by address arithmetic.
 *
 * States of a page:
 *   ABSENT -> LOADING -> RESIDENT -> COOLING -> LOADING (being emptied) -> ABSENT
 *   COOLING -> RESIDENT when somebody touches it before its readers have left.
 *
 * Groups. Spaces are published together in two groups: META by every checkpoint, GRAPH by a graph
 * flush. Each group counts generations. A page carries the generation in which it was last changed:
 *   clean       dirty_gen = 0
 *   dirty       dirty_gen = gen of the group
 *   frozen      dirty_gen = frozen_gen: to be written as it is now by the flush under way
 *   written     frozen and copied: its new place is not known yet
 *
 * Invariants:
 *   1. A page whose dirty_gen is not 0 is RESIDENT or COOLING, and never emptied.
 *   2. A frozen page is not changed before its content was copied (pre-image or write).
 *   3. place and checksum of a page name a state that pager_get would return, or an older published
 *      one while dirty_gen is not 0.
 *   4. Every block in a place of memory or of a published map is in use in the allocator; a block
 *      replaced in a published map stays in use until two more slots are durable.
 *
 * Locks, in the order of taking: the caller's, group->lock, pager->lock (frames, rings), alloc_lock.
 */
#ifndef VECFS_STORE_PAGER_H
#define VECFS_STORE_PAGER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/alloc.h"
#include "store/epoch.h"
#include "store/format.h"
#include "store/io.h"
#include "store/page.h"
#include "store/store.h"
#include "store/tables.h"

#define PAGER_CHUNK TABLE_PAGES
#define PAGER_LEVELS 4u

enum pager_state { PAGE_ABSENT, PAGE_LOADING, PAGE_RESIDENT, PAGE_COOLING };
enum pager_group_name { PAGER_META, PAGER_GRAPH, PAGER_GROUPS };

struct pager_page {
	uint64_t place;		    /* owned by who loads or writes the page */
	uint64_t checksum;	    /* likewise */
	_Atomic uint32_t dirty_gen; /* changed under group->lock */
	uint32_t placed_gen; /* generation in which place was written; guarded by group->lock */
	_Atomic uint8_t state;
	/* Chances left when the clock hand passes; of an ABSENT page, when it was last looked at. */
	_Atomic uint8_t heat;
	uint8_t copied;	      /* frozen content was taken; guarded by group->lock */
	uint8_t preimage;     /* it lies in group->preimages; guarded by group->lock */
	_Atomic bool damaged; /* its stored bytes could not be read, as far as anyone has tried */
};

struct pager_chunk {
	uint8_t *frames; /* PAGER_CHUNK * page_size bytes of reserved address space, or NULL */
	struct pager_page pages[PAGER_CHUNK];
};

/* A map page of one level, in memory only as the parent's entry for it. */
struct pager_node {
	uint64_t place[2];
	uint64_t checksum;
	uint32_t placed_gen;
	bool dirty;
};

struct pager_level {
	struct pager_node *nodes;
	size_t n, cap;
};

struct pager_space {
	_Atomic(struct pager_chunk *) *chunks;	     /* table, grown chunk by chunk */
	size_t n_chunks;			     /* guarded by pager->lock */
	_Atomic uint32_t pages;			     /* logical pages */
	struct pager_level levels[PAGER_LEVELS];     /* [0]: leaves; guarded by group->lock */
	_Atomic uint64_t stored_bytes, stored_pages; /* for the compression ratio */
	/*
	 * Judges a page read from disk before anyone sees it; NULL: any content will do. Set before the
	 * space is used. What is in memory afterwards was written by this program.
	 */
	bool (*valid)(const uint8_t *page, uint32_t page_size);
};

struct pager_ref { /* one page, as an element of lists */
	uint32_t space, page;
};

struct pager_extent {
	uint64_t block;
	uint32_t blocks;
};

struct pager_extents {
	struct pager_extent *list;
	size_t n, cap;
};

struct pager_preimage {
	struct pager_ref ref;
	void *bytes;
};

struct pager_group {
	pthread_mutex_t lock;
	_Atomic uint32_t gen;	/* written under lock */
	uint32_t frozen_gen;	/* 0: no flush under way; guarded by lock */
	uint32_t published_gen; /* places of later generations are in no slot; guarded by lock */
	struct pager_ref *dirty, *frozen; /* guarded by lock */
	size_t n_dirty, cap_dirty, n_frozen, cap_frozen;
	size_t frozen_total;		  /* n_frozen as of the last freeze; guarded by lock */
	struct pager_preimage *preimages; /* guarded by lock */
	size_t n_preimages, cap_preimages;
	struct pager_extents freed; /* replaced since the last publication; guarded by lock */
	_Atomic uint64_t dirty_bytes;
};

struct pager_limbo {
	struct pager_ref ref;
	uint64_t retired;
};

struct pager_ring { /* resident pages of a class, for the clock */
	struct pager_ref *refs;
	size_t n, cap, hand;
};

/*
 * Whether graph and vector pages are pushed out faster than they are used: they were missed more often
 * than found over the last 10,000 look-ups, and pages went to make room. Judged at every 500th miss,
 * so that a hit costs nothing: each mark holds the counts at one such miss.
 */
#define PAGER_MARKS 10u
#define PAGER_MARK_MISSES 500u
struct pager_window {
	uint64_t hits[PAGER_MARKS + 1], evictions[PAGER_MARKS + 1];
	uint64_t turns;	 /* marks made since the start */
	uint32_t misses; /* since the last mark */
};

struct pager {
	struct store_io *io; /* not owned */
	struct epoch *epoch; /* not owned */
	uint8_t uuid[16];
	uint32_t page_size;
	uint32_t leaf_fanout, inner_fanout;
	_Atomic uint64_t limit;	  /* bytes of frames and of what is charged */
	_Atomic uint64_t charged; /* memory of others that counts as frames */
	struct pager_space spaces[FORMAT_SPACES];
	struct pager_group groups[PAGER_GROUPS];

	pthread_mutex_t lock;
	pthread_cond_t loaded;			/* some page left LOADING; with lock */
	struct pager_ring rings[STORE_CLASSES]; /* guarded by lock */
	struct pager_limbo *limbo;		/* guarded by lock */
	size_t n_limbo, cap_limbo;
	struct pager_window window;  /* guarded by lock */
	_Atomic bool thrashing;	     /* written under lock */
	_Atomic uint64_t thrashings; /* times that it began */
	/*
	 * Called when thrashing begins, by a reader, with the caller's locks held. Set once, before the
	 * first page is read. rate: hits among these look-ups.
	 */
	void (*on_thrashing)(void *ctx, double rate);
	void *on_thrashing_ctx;
	_Atomic uint64_t resident[STORE_CLASSES]; /* bytes */
	_Atomic uint64_t misses[STORE_CLASSES], evictions[STORE_CLASSES];
	_Atomic uint64_t passed; /* pages that were read without getting a frame */
	_Atomic uint64_t decompressions;
	_Atomic uint64_t damaged; /* pages marked so */

	pthread_mutex_t alloc_lock;
	struct alloc *alloc;	       /* guarded by alloc_lock */
	_Atomic uint64_t taken_blocks; /* by writes, since who counts them set it to 0 */
	/* Replaced by the newest durable slot, still needed by the other. Owned by the checkpoint. */
	struct pager_extents aging;
};

int pager_new(struct pager **pager_out, struct store_io *io, struct epoch *epoch,
	      const uint8_t uuid[16], uint32_t page_size, uint64_t limit);
void pager_free(struct pager *pager); /* accepts NULL */

enum pager_group_name pager_group_of(enum format_space space);
enum store_class pager_class_of(enum format_space space);
/* The chunk of a page below the number of those there are, and its frame. */
static inline struct pager_chunk *pager_chunk_of(const struct pager *pager, uint32_t space,
						 uint32_t page)
{
	return atomic_load_explicit(&pager->spaces[space].chunks[page / PAGER_CHUNK],
				    memory_order_acquire);
}
static inline uint8_t *pager_frame_of(const struct pager *pager, const struct pager_chunk *chunk,
				      uint32_t page)
{
	return chunk->frames + (size_t)(page % PAGER_CHUNK) * pager->page_size;
}
/* NULL beyond the pages there are. */
struct pager_page *pager_page(struct pager *pager, enum format_space space, uint32_t page);

/* --- reading and changing (pager.c) --- */

/*
 * A page for reading, valid until epoch_leave; the caller is inside. ERR_ABSENT at or beyond
 * pages; ERR_DAMAGED when it fails its checksum or does not decode; ERR_IO; ERR_NOMEM.
 */
int pager_get(struct pager *pager, enum format_space space, uint32_t page, enum store_hint hint,
	      const void **page_out);
/*
 * The same for changing, in place; makes new pages (zeros) as far as needed. It stays resident until
 * it was written. The caller's own lock keeps other changers of the group's consistency away.
 */
int pager_change(struct pager *pager, enum format_space space, uint32_t page, void **page_out);
/*
 * The same for a page whose stored bytes cannot be read and hold nothing that is still wanted: when
 * they are not in memory it begins anew with zeros. Until it was written its bytes on disk stay.
 */
int pager_change_blank(struct pager *pager, enum format_space space, uint32_t page,
		       void **page_out);
/* Makes pages up to and including `page` exist, as zeros. ERR_NOMEM, ERR_LIMIT. */
int pager_grow(struct pager *pager, enum format_space space, uint32_t page);
/*
 * A page whose content nobody needs or reads any more becomes zeros, and after the next flush has no
 * place on disk. Not during a flush; the caller is inside the epoch.
 */
int pager_clear(struct pager *pager, enum format_space space, uint32_t page);
/*
 * A page that is resident, as pager_get gives it; NULL when it is not, or not yet, or does not exist.
 * Never waits. The caller is inside.
 */
const void *pager_peek(struct pager *pager, enum format_space space, uint32_t page);
/* Whether a page of a space exists and is on disk alone, as of a moment. */
bool pager_is_absent(struct pager *pager, enum format_space space, uint32_t page);

/* --- reading several at once (pager_fetch.c) --- */

#define PAGER_FETCH_MAX 64u /* pages that are read together; more go in several turns */

/*
 * Brings those of n pages into memory that are on disk alone: their reads are issued together, and it
 * returns when all have ended. A hint: pages that do not exist, or do not read, or are being read by
 * another thread are left to the pager_get that follows. The caller is inside.
 */
void pager_fetch(struct pager *pager, const struct pager_ref *refs, size_t n);
/*
 * The same for pages that are looked at once: each is shown to the caller when it has arrived, while
 * others are under way. Where frames are short it gets none, unless it was looked at lately. show runs
 * on this thread, and must not call the pager; the page it is given is good until it returns. A page
 * that is not shown is left to the pager_get that follows.
 */
struct pager_look {
	void (*show)(void *ctx, struct pager_ref ref, const void *page);
	void *ctx;
	bool past; /* frames are not wanted, however many there are */
};
/* Whether frames are short: what comes in pushes something out. */
bool pager_is_short(struct pager *pager);
void pager_fetch_once(struct pager *pager, const struct pager_ref *refs, size_t n,
		      const struct pager_look *look);
/* Evicts all clean pages (pager_evict.c). */
void pager_drop(struct pager *pager);
/* Evicts until the frames are within the limit, or nothing can go (likewise). */
void pager_trim(struct pager *pager);

/* --- publishing (pager_flush.c, pager_map.c); one flush at a time --- */

/* Freezes what is dirty in the group. Only memory. The caller holds off all changers of the group. */
void pager_freeze(struct pager *pager, enum pager_group_name group);
/* Writes all frozen pages to free blocks. Changers go on meanwhile. */
int pager_write_frozen(struct pager *pager, enum pager_group_name group);
/* Gives up: what is frozen counts as dirty again. */
void pager_unfreeze(struct pager *pager, enum pager_group_name group);
/* Writes the changed map pages of the group's spaces and fills roots_out[space] for them. */
int pager_write_maps(struct pager *pager, enum pager_group_name group,
		     struct format_root roots_out[FORMAT_SPACES]);
/*
 * A slot with this group's pages is durable: its freed blocks age. Call pager_age once before the
 * groups of one slot.
 */
void pager_published(struct pager *pager, enum pager_group_name group);
/* The slot that needed the aging blocks is overwritten: they are free. */
void pager_age(struct pager *pager);

/* A whole page from or to the caller's memory, past the cache (CODE, AUX). */
int pager_blob_read(struct pager *pager, enum format_space space, uint32_t page, void *buf);
int pager_blob_write(struct pager *pager, enum format_space space, uint32_t page, const void *buf);
/*
 * Empties a space that nobody reads (else ERR_BUSY). Changes in its group that were not published are
 * lost; its blocks are freed by the next publication of the group. Not between freeze and publication.
 */
int pager_reset_space(struct pager *pager, enum format_space space);

/* --- opening (pager_map.c) --- */

/*
 * Takes over the maps under the roots of a slot, whose head has `blocks` blocks: reads and verifies
 * every map page, marks all blocks in use. ERR_DAMAGED with a sentence when something does not fit; then
 * the pager must be freed.
 */
int pager_load(struct pager *pager, const struct format_root roots[FORMAT_SPACES], uint64_t blocks,
	       struct err_msg *msg);

/* --- disk helpers shared by the above --- */

/* Blocks for so many bytes, written with them (padded with zeros by the caller to whole blocks). */
int pager_write_blocks(struct pager *pager, const void *bytes, uint32_t len, uint64_t *block_out);
void pager_give_blocks(struct pager *pager, uint64_t place);
/*
 * Frees what a page no longer uses: at once when no slot can name it, else with the next
 * publication of the group. group->lock held. ERR_NOMEM: nothing happened.
 */
int pager_replaced(struct pager *pager, struct pager_group *group, uint64_t place,
		   uint32_t placed_gen);
/* Notes a page's new place and that its map leaf has changed. group->lock held. ERR_NOMEM. */
int pager_set_place(struct pager *pager, enum format_space space, uint32_t page, uint64_t place,
		    uint64_t checksum);
int pager_extents_add(struct pager_extents *extents, uint64_t place);
void pager_extents_release(struct pager_extents *extents);
/* Loading: who begins the load of a page fills its frame, judges it, and ends the load. */
struct pager_load {
	struct pager_ref ref;
	uint8_t heat;
	bool read; /* from disk; otherwise zeros */
	bool past; /* it was read elsewhere: ABSENT again, whatever err is; heat is left as a mark */
	int err;   /* in and out: why the frame could not be filled */
};
/* Came in with others: its first use is the miss, not a hit, also after the hand has passed (COLD). */
#define PAGER_HEAT_FETCHED UINT8_MAX
#define PAGER_HEAT_COLD (UINT8_MAX - 1)
/* ABSENT -> LOADING: false when there is no such page, or it is in another state. */
bool pager_begin_load(struct pager *pager, struct pager_ref ref);
uint8_t *pager_frame(struct pager *pager, struct pager_ref ref);
/* After reading its content with err: whether that will do. */
int pager_judge(struct pager *pager, struct pager_ref ref, const void *content, int err);
/* LOADING -> RESIDENT or, with an error, ABSENT; makes room for them. */
void pager_end_loads(struct pager *pager, struct pager_load *loads, size_t n);
/*
 * Checks stored bytes and decodes them into page; those of a raw page lie there already. scratch:
 * page_size bytes, for the others. ERR_DAMAGED.
 */
int pager_decode(struct pager *pager, const struct place *at, uint64_t checksum, uint64_t seed,
		 const void *stored, void *page, void *scratch);

/* Reads what a place names into page (page_size bytes), checks and decodes it. */
int pager_read_place(struct pager *pager, uint64_t place, uint64_t checksum, uint64_t seed,
		     void *page);

/*
 * Notes whether the stored bytes of a page can be read: they were read with err. Any thread, no lock;
 * what is marked is counted in pager->damaged.
 */
void pager_note(struct pager *pager, struct pager_page *page, int err);

/*
 * Invariants 1 and 4 over all pages. 0 or ERR_DAMAGED. Takes no lock: no commit, no flush and no
 * checkpoint runs meanwhile, one of a thread of the store's own neither.
 */
int pager_check(struct pager *pager);

#endif
