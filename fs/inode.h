/*
 * inode.h - the nodes that the kernel knows by number: the fixed tree, vectors, names below /query.
 *
 * Numbers: 1 ... 10 the fixed tree; 2^20 + ino a vector, which has its ino before the store holds it;
 * 2^62 + n a vector whose number has changed, see below; 2^63 + n a name below /query or /json. None
 * stands for two things at a time. stat shows the same number, but for a vector always 2^20 + ino,
 * and for the text of a vector 2^61 more than for the vector.
 *
 * The kernel caches pages by number, and may read one page of a vector from its cache and ask for
 * another. So the pages of a vector of several pages must all be of one write: when such a vector
 * has been overwritten, it gets another number (2^62 + n) before it is cached again, as if it had
 * been replaced by a rename. The old number becomes an alias of the node.
 *
 * It also keeps lengths by number, and what it reads from its cache ends there. While a new vector is
 * written it has the length so far, also for a moment after the store has taken the whole: whoever opens
 * it in that moment gets another number, too, which has known no other length.
 *
 * A vector node is `loose` while the store does not hold it: created and not written whole yet, or
 * removed and still open. `named` says that a path leads to it.
 *
 * /json/<id> is another view of the vector of that name: a node without a name of its own, whose
 * parent is the vector's, so that it goes where the vector goes.
 *
 * Locks, taken in this order and after a handle's own: names, a stripe, table lock.
 *   names   held for reading while a vector is reached by its name (so that the name stays its own),
 *           for writing while names change (rename, unlink)
 *   stripe  one of many by node: held while content or attributes of that vector are replaced
 *   lock    the table and the fields marked below; never held across a call of ann/
 * A node stays valid while a request that names it is served, because the kernel holds it, and
 * while it is open.
 */
#ifndef VECFS_FS_INODE_H
#define VECFS_FS_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/ann.h"
#include "fs/query.h"

#define INODE_FIRST_VECTOR (1ull << 20)
#define INODE_CACHED_OLD (1ull << 63) /* no LSN has it */

enum node_kind {
	NODE_NONE,
	NODE_ROOT, /* the kinds of the fixed tree are their numbers */
	NODE_README,
	NODE_VECTORS,
	NODE_JSON,
	NODE_QUERY,
	NODE_STATUS,
	NODE_METRICS,
	NODE_ERRORS,
	NODE_CONFIG,
	NODE_CONTROL,
	NODE_FIXED_END,
	NODE_VECTOR = NODE_FIXED_END, /* /vectors/<id> */
	NODE_SPEC,		      /* /query/<k>[,options] */
	NODE_DIGITS,		      /* the beginning of a vector: a directory */
	NODE_POINT,		      /* a whole vector: its answer */
	NODE_LIKE,		      /* /query/<k>/like */
	NODE_LIKE_ID,		      /* /query/<k>/like/<id> */
	NODE_RUN,		      /* /query/<k>/run */
	NODE_NAMED,		      /* /query/<k>/<name>: named.h */
	NODE_NAMED_LINKS,	      /* the same with format=links: its answer as a folder */
	NODE_LINK,		      /* in a folder of links: links.h */
	NODE_ALIAS,		      /* a number that its parent, a vector, had before */
	NODE_TEXT,		      /* /json/<id>: its parent, a vector, as text */
};

/* Attributes of a vector that the store does not hold. */
struct node_loose {
	struct store_attr attr;
	uint64_t size;
	uint64_t number; /* that stat shows */
	bool left;	 /* it was stored: its readers keep that, whatever is written to it */
	bool removed;	 /* it was not, and its name was taken away */
};

/* What the kernel may do with the content of a vector that is opened for reading. */
enum inode_cache {
	INODE_CACHE_SAME,  /* what it has cached is this */
	INODE_CACHE_DROP,  /* cache this, drop what it has */
	INODE_CACHE_NONE,  /* nothing: by this number it caches something else */
	INODE_CACHE_RETRY, /* the same, but if it looks the name up again it finds a better number */
};

/* A NODE_LINK. */
struct inode_link {
	uint32_t index; /* in its folder, from 0 */
	uint16_t id_at; /* where the id begins in its name */
};

struct node {
	uint64_t id; /* its number; of a vector guarded by table lock */
	enum node_kind kind;
	bool named;	   /* guarded by table lock; while it is open names is enough to read it */
	uint32_t opens;	   /* guarded by table lock */
	uint32_t children; /* guarded by table lock */
	uint64_t lookups;  /* guarded by table lock; references of the kernel */
	struct node *parent;
	struct node *next_id, *next_name; /* guarded by table lock; chains of the hash tables */
	const char *name;		  /* guarded by names and table lock */
	uint16_t name_len;		  /* likewise */
	bool name_owned;

	/* NODE_VECTOR */
	struct node_loose *loose; /* guarded by table lock; NULL while the store holds it */
	uint64_t version; /* guarded by table lock; counts commits since the node was made */
	/*
	 * Guarded by table lock; LSN of what the kernel caches, 0: none. With INODE_CACHED_OLD it may
	 * also be what was there before.
	 */
	uint64_t cached;
	uint64_t truncations; /* guarded by table lock; by a path, to 0 */
	bool maybe_short; /* guarded by table lock; stored, and the kernel may have a length of before */
	bool mtime_set;	   /* guarded by table lock; after the last write: a commit keeps it */
	struct node *text; /* guarded by table lock; its NODE_TEXT, or NULL */

	/* Below /query; fixed once made, but for the list. */
	struct query_spec *spec; /* NODE_SPEC */
	struct query_vector vector;
	struct inode_link link;
	struct node *older, *newer; /* guarded by table lock */
};

struct inode_table;

#define INODE_QUERY_SOFT 4096u		 /* names below /query before idle ones are given back */
#define INODE_QUERY_HARD 65536u		 /* names below /query at most */
#define INODE_QUERY_BYTES (128ull << 20) /* their names and digits at most; soft bound: an eighth */

/* seed: of the hash of names. directory: attributes of /vectors. */
int inode_table_new(uint64_t seed, const struct store_attr *directory,
		    struct inode_table **table_out);
void inode_table_free(struct inode_table *table);

void inode_names_read(struct inode_table *table);
void inode_names_write(struct inode_table *table);
void inode_names_unlock(struct inode_table *table);
void inode_stripe_lock(struct inode_table *table, const struct node *node);
void inode_stripe_unlock(struct inode_table *table, const struct node *node);

/* NULL for a number that nobody has. */
struct node *inode_get(struct inode_table *table, uint64_t id);
/*
 * The node of that name, with one more reference of the kernel, counted for the number *id_out; NULL
 * when there is none.
 */
struct node *inode_ref_name(struct inode_table *table, const struct node *parent, const char *name,
			    size_t len, uint64_t *id_out);
/* The number that the kernel is told now. */
uint64_t inode_id(struct inode_table *table, const struct node *node);
/*
 * The same for a caller that holds `names` for writing, until inode_let_go: meanwhile the kernel may drop
 * its references, but the node stays.
 */
struct node *inode_hold(struct inode_table *table, const struct node *parent, const char *name,
			size_t len);
/* Of a node that inode_hold gave, or NULL. */
void inode_let_go(struct inode_table *table, struct node *node);
/* Drops n references of the kernel; frees the node when nothing else holds it. */
void inode_forget(struct inode_table *table, uint64_t id, uint64_t n);
void inode_opened(struct inode_table *table, struct node *node);
/* True when that was the last handle of a vector never written whole: its name is gone. */
bool inode_closed(struct inode_table *table, struct node *node);
/*
 * Such a vector has been opened once more and gets its name back; false when another one has it. Caller
 * holds `names`; the store has no vector of that name.
 */
bool inode_revive(struct inode_table *table, struct node *node);

/* --- vectors --- */

/* The node of a vector of the store, with one more reference. Caller holds `names`. ERR_NOMEM. */
int inode_ref_vector(struct inode_table *table, uint64_t ino, const char *name, size_t len,
		     struct node **node_out, uint64_t *id_out);
/* A new loose vector, one reference and open once. ERR_EXISTS when the name has a node. */
int inode_new_vector(struct inode_table *table, uint64_t ino, const char *name, size_t len,
		     const struct store_attr *attr, struct node **node_out);
/* The node of a vector's text, with one more reference of the kernel. ERR_NOMEM. */
int inode_ref_text(struct inode_table *table, struct node *vector, struct node **node_out);
/* Whether the node is loose; copies what it has then. */
bool inode_loose(struct inode_table *table, const struct node *node, struct node_loose *loose_out);
bool inode_is_loose(struct inode_table *table, const struct node *node);
/* Whether a path leads to it: the last close of a file never written whole takes it away. */
bool inode_is_named(struct inode_table *table, const struct node *node);
/* Changes attributes of a loose node; false when it is not loose. mask: enum store_attr_mask. */
bool inode_set_loose(struct inode_table *table, struct node *node, const struct store_attr *attr,
		     unsigned mask);
/* A loose node has this size now, unless it was stored once. */
void inode_set_size(struct inode_table *table, struct node *node, uint64_t size);
/* Its time has been set by somebody (true), or something is being written to it. */
void inode_set_mtime(struct inode_table *table, struct node *node, bool set);
/* Whether its time is one that was set after the last write. */
bool inode_mtime_is_set(struct inode_table *table, const struct node *node);
/* The store took its content. */
void inode_committed(struct inode_table *table, struct node *node, uint64_t *version_out);
uint64_t inode_version(struct inode_table *table, const struct node *node);
/* It was truncated to 0 without a handle; how often that was. */
void inode_truncate(struct inode_table *table, struct node *node);
uint64_t inode_truncations(struct inode_table *table, const struct node *node);
/*
 * A caller opens the node by the number id and will read the content of that LSN. one_page: the
 * content fits in a page. caller: its thread; one that is told to retry and comes back with the same
 * number has no name to look up, or the vector has been overwritten again: then it is not told twice.
 */
enum inode_cache inode_cache(struct inode_table *table, struct node *node, uint64_t id,
			     uint64_t lsn, bool one_page, uint64_t caller);
/* The kernel has the length of the whole: the write that came to its end has returned. */
void inode_length_known(struct inode_table *table, struct node *node);
/* Whether the kernel may hold content of the node. */
bool inode_is_cached(struct inode_table *table, const struct node *node);
/* Its name is gone; loose (taken over, may be NULL) answers stat from now on. Caller: names, writing. */
void inode_unname(struct inode_table *table, struct node *node, struct node_loose *loose);
/*
 * A copy of a name for the two below, which take it over and cannot fail; NULL: out of memory.
 * Release with mem_free when it was not used.
 */
char *inode_copy_name(const char *name, size_t len);
/* Gives a vector's node (may be NULL) another name, len bytes. Caller: names, writing. */
void inode_rename(struct inode_table *table, struct node *node, char *name, size_t len);
/* Gives two nodes (each may be NULL) each other's name at once. Caller: names, writing. */
void inode_exchange(struct inode_table *table, struct node *a, char *a_name, size_t a_len,
		    struct node *b, char *b_name, size_t b_len);
/* Vectors created and not committed. */
size_t inode_uncommitted(struct inode_table *table);

/* The directory /vectors: attributes live as long as the mount. */
void inode_directory_attr(struct inode_table *table, struct store_attr *attr_out);
void inode_set_directory_attr(struct inode_table *table, const struct store_attr *attr,
			      unsigned mask);

/*
 * Its time of change becomes now_ns, or a little more: never a time that this gave it before. Whether
 * inode_directory_attr has told the one before, so that the kernel may keep it.
 */
bool inode_touch_directory(struct inode_table *table, int64_t now_ns);

/* --- below /query --- */

/* What a new node gets; taken over by inode_ref_query on success. */
struct inode_query {
	enum node_kind kind;
	struct query_spec *spec;
	struct query_vector vector;
	struct inode_link link;
};
/* The node of that name and kind, made when needed, with one more reference. ERR_LIMIT, ERR_NOMEM. */
int inode_ref_query(struct inode_table *table, struct node *parent, const char *name, size_t len,
		    struct inode_query *query, struct node **node_out);
/*
 * When there are many names below /query: one that nobody has open, for the kernel to forget. Writes
 * its parent and name; false when there are not that many.
 */
bool inode_pick_idle(struct inode_table *table, uint64_t *parent_out, char *name, size_t cap,
		     size_t *len_out);

/* The path of name (may be NULL) in node, or of node, relative to the mount; cut when too long. */
void inode_path(struct inode_table *table, const struct node *node, const char *name, char *buf,
		size_t cap);

/*
 * Checks the table: every node is found by its number, every named one by its name, counts of
 * children and bytes agree. ERR_DAMAGED. For tests.
 */
int inode_check(struct inode_table *table);

#endif
