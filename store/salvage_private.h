/*
 * salvage_private.h - the parts of salvage.h: what the pages say, what the log says, and the whole.
 *
 *   salvage.c           the order of things, and which state is the base
 *   salvage_view.c      pages of a commit slot, read through whatever is left of its maps
 *   salvage_mentions.c  the ids that records name, and where
 *   salvage_log.c       what the log did after a checkpoint, by id
 *   salvage_replay.c    records to both of these, and what of the log is missing
 *   salvage_emit.c      the vectors of the base
 */
#ifndef VECFS_STORE_SALVAGE_PRIVATE_H
#define VECFS_STORE_SALVAGE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/head.h"
#include "store/salvage.h"
#include "store/slots.h"
#include "store/wal.h"

/* --- salvage_view.c --- */

struct salvage_frame {
	uint64_t key; /* 0: empty */
	int err;      /* 0: the bytes are those of the page */
};

/* Where a page was looked for last, for messages. */
struct salvage_where {
	enum format_space space;
	uint32_t page;
	uint64_t at; /* byte of the head; 0: its map page is lost */
};

struct salvage_pages {
	struct store_io *io; /* not owned */
	struct head head;    /* id_seed and kind_seed are 0 when the header is lost */
	bool header_ok;
	bool slot_bad[2]; /* by number of the slot: there, but unusable */
	struct head_slot slots[2];
	unsigned n;	    /* valid ones, newest first */
	uint64_t map_pages; /* that the head has room for */
	struct salvage_frame *frames;
	uint8_t *bytes; /* of the frames, a page each */
	size_t n_frames;
	uint8_t *stored; /* two pages, for decoding */
	struct salvage_where where;
};

/*
 * Reads header and slots, whatever is left of them. ERR_FORMAT when nothing of a store is there;
 * ERR_DAMAGED when page size and metric stand nowhere any more.
 */
int salvage_pages_open(struct salvage_pages *pages, struct store_io *io, uint64_t cache_bytes,
		       struct err_msg *msg);
void salvage_pages_close(struct salvage_pages *pages);
/*
 * A page as a slot (0: newest) sees it; valid until the next call for one. ERR_ABSENT: never
 * written. ERR_DAMAGED: cannot be had; pages->where says where it was. ERR_NOMEM.
 */
int salvage_page(struct salvage_pages *pages, unsigned view, enum format_space space, uint32_t page,
		 const uint8_t **page_out);
/* Logical pages of a space, no more than maps in this head can lead to. */
uint32_t salvage_page_count(const struct salvage_pages *pages, unsigned view,
			    enum format_space space);
/* Slots of a view that its slot table has pages for. */
uint32_t salvage_slot_count(const struct salvage_pages *pages, unsigned view);
int salvage_slot(struct salvage_pages *pages, unsigned view, uint32_t slot,
		 struct slots_entry *entry_out);
/* Copies a value of value_size bytes. */
int salvage_value(struct salvage_pages *pages, unsigned view, uint32_t slot, uint32_t value_size,
		  void *value_out);
/* A bucket page whose entries can be walked with ids_bucket_next. */
int salvage_bucket(struct salvage_pages *pages, unsigned view, uint32_t number,
		   const uint8_t **page_out);
/* The entry of an id, through the directory. */
int salvage_find(struct salvage_pages *pages, unsigned view, uint64_t hash, const char *id,
		 size_t len, struct store_entry *entry_out);
/* Pages of the slot table and of buckets that cannot be read. */
int salvage_count_bad(struct salvage_pages *pages, unsigned view, uint64_t *bad_out);

/* --- salvage_mentions.c, salvage_log.c --- */

#define SALVAGE_NONE UINT32_MAX

/* Where a record stands, and an id that it names. */
struct salvage_mention {
	uint64_t lsn, seq, offset, hash;
	uint8_t type;
	uint8_t which; /* of the ids in the record */
};

enum salvage_content {
	SALVAGE_BASE, /* what the checkpoint has under the id of node `from` */
	SALVAGE_PUT,  /* the value in the record with this LSN */
	SALVAGE_GONE, /* deleted, or renamed away */
	SALVAGE_LOST, /* came about in a part of the log that cannot be read */
};

/*
 * An id that the log speaks of, after the checkpoint. Its extended attributes go where it goes, but stay
 * when a PUT brings other content: so where they are from is told apart.
 */
struct salvage_node {
	uint64_t hash, lsn;
	size_t id_at; /* in names */
	uint32_t next;
	uint32_t from; /* SALVAGE_BASE: the node whose content this is */
	uint32_t to;   /* node that has what the checkpoint has under this id; SALVAGE_NONE: none */
	struct store_attr attr; /* if attr_set, and of a PUT */
	/* the node under whose id the checkpoint has its extended attributes; SALVAGE_NONE: they are at
	 * xattrs_at in log->xattrs */
	uint32_t xattrs_from;
	uint32_t
		xattrs_to; /* node that has those which the checkpoint has here; SALVAGE_NONE: none */
	uint32_t xattrs_len;
	size_t xattrs_at;
	uint64_t ino;
	enum salvage_content content;
	bool attr_set;
	bool seen;     /* the checkpoint had this id */
	bool doubtful; /* the content came by a renaming, and is from before a gap */
	uint32_t gaps; /* in the log before the content was written */
	uint8_t id_len;
};

struct salvage_log {
	struct wal_salvage *wal; /* NULL: there is none */
	uint64_t
		id_seed; /* of the store; 0 when the header is lost: then hashes are of use here alone */
	uint32_t value_size;		  /* of the first PUT seen, 0 before */
	struct salvage_mention *mentions; /* by LSN */
	uint32_t *by_hash;		  /* numbers of mentions, by hash, then LSN */
	size_t n_mentions, cap_mentions;
	struct salvage_node *nodes;
	size_t n_nodes, cap_nodes;
	uint32_t *table; /* power of two; SALVAGE_NONE: empty */
	size_t table_size;
	char *names;
	size_t names_len, names_cap;
	uint8_t *xattrs; /* lists of nodes */
	size_t xattrs_used, xattrs_cap;
	bool has_xattrs; /* some record brings a list */
	uint32_t *puts;	 /* nodes with SALVAGE_PUT, by LSN */
	size_t n_puts;
	uint32_t gaps;		 /* parts of the log that are missing, so far */
	uint64_t contradictions; /* records that did not fit what was before them */
	bool trusted;		 /* a record that cannot be verified was read again */
	bool trust_said;	 /* that there are such records */
};

void salvage_log_release(struct salvage_log *log);
/* Adds the ids that a record names. */
int salvage_log_mention(struct salvage_log *log, const struct wal_record *record);
int salvage_log_sort(struct salvage_log *log);
/* True when every LSN from `from` to `to` was met. */
bool salvage_log_covers(const struct salvage_log *log, uint64_t from, uint64_t to);
/* A PUT record by its LSN. ERR_ABSENT. payload is valid until the next read. */
int salvage_log_put(struct salvage_log *log, uint64_t lsn, struct wal_record *record_out);
/* An id with this hash, from any record. ERR_ABSENT. */
int salvage_log_name(struct salvage_log *log, uint64_t hash, char id_out[FORMAT_ID_MAX + 1],
		     size_t *len_out);
/* The newest PUT of an id below an LSN. ERR_ABSENT. */
int salvage_log_older(struct salvage_log *log, const char *id, size_t len, uint64_t below,
		      struct wal_record *record_out);

/* Takes a record after the checkpoint into account, in ascending order of LSN. */
int salvage_log_apply(struct salvage_log *log, const struct wal_record *record);
/* After the last one. */
int salvage_log_settle(struct salvage_log *log);
/*
 * The extended attributes that the checkpoint has under the id of a node: they are kept for the node
 * that has them after the log.
 */
int salvage_log_keep_xattrs(struct salvage_log *log, const struct salvage_node *node,
			    const struct xattrs *xattrs);
/* Those of a node that are known from records, or were kept; valid until the next list is kept. */
struct xattrs salvage_log_xattrs(const struct salvage_log *log, const struct salvage_node *node);
/* NULL when the log does not speak of the id. */
struct salvage_node *salvage_log_node(const struct salvage_log *log, const char *id, size_t len);
/* By the hash of the store alone; only while id_seed is that of the store. */
struct salvage_node *salvage_log_node_of_hash(const struct salvage_log *log, uint64_t hash);
/* The id whose content is that of the PUT record with this LSN; NULL: none. */
struct salvage_node *salvage_log_owner(const struct salvage_log *log, uint64_t lsn);
uint64_t salvage_log_hash(const struct salvage_log *log, const char *id, size_t len);
static inline const char *salvage_log_id(const struct salvage_log *log,
					 const struct salvage_node *node)
{
	return log->names + node->id_at;
}

/* A PUT record apart: false when its payload does not fit together. */
bool salvage_read_put(const struct wal_record *record, struct store_entry *entry_out,
		      const uint8_t **value_out, uint32_t *size_out);
/* The list that a SETXATTR record brings: false when its payload does not fit together. */
bool salvage_read_xattrs(const struct wal_record *record, struct xattrs *xattrs_out);
/* The ids that a record names, as far as len bytes of its payload show them; their number. */
unsigned salvage_read_ids(uint8_t type, const uint8_t *payload, size_t len, const char *ids_out[2],
			  size_t lens_out[2]);

/* --- salvage.c --- */

struct salvage {
	const struct salvage_calls *calls;
	struct salvage_report *report;
	struct salvage_pages pages;
	struct salvage_log log;
	unsigned base, other; /* views; valid below pages.n */
	uint32_t value_size;
	uint8_t *value;			  /* one */
	uint8_t xattrs[XATTRS_BYTES_MAX]; /* of the entry of the base at hand */
	uint32_t xattrs_len;
	bool xattrs_known;	 /* false: its bucket cannot be read */
	bool has_xattrs;	 /* some readable bucket has a list */
	uint64_t unknown_xattrs; /* vectors given without the list that they may have had */
	uint32_t *names;	 /* by slot: number of the bucket that names it + 1, 0: none */
	uint32_t slots;
	uint64_t bad_buckets;
	uint64_t expected; /* LSN of the next record after the base, 0: any */
	struct wal_hole hole;
	bool has_hole;
};

static inline bool salvage_has_base(const struct salvage *s)
{
	return s->base < s->pages.n;
}

static inline bool salvage_has_other(const struct salvage *s)
{
	return s->other < s->pages.n;
}

/* Counts a loss, and says it or a remark. */
void salvage_say(struct salvage *s, bool loss, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void salvage_show(struct salvage *s, const char *what, uint64_t done, uint64_t total);

/* --- salvage_emit.c --- */

/* Under its id, or under one made up when that cannot be used. unnamed: it has none. */
int salvage_give(struct salvage *s, struct salvage_vector *vector, bool unnamed);
/* A renaming moved content from before a gap in the log, where the id may have got other content. */
void salvage_say_doubt(struct salvage *s, const struct salvage_node *node);
/* All vectors of the base, slot by slot, under the ids that they have after the log. */
int salvage_emit_base(struct salvage *s);

/* --- salvage_replay.c --- */

/* Opens the log and notes what it names. */
int salvage_open_log(struct salvage *s);
/* Takes in what came after the base, and says what of it is missing. */
int salvage_apply_log(struct salvage *s);
/* Gives the vectors that stand in the log; then says of which ids nothing was found. */
int salvage_emit_log(struct salvage *s);

#endif
