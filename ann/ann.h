/*
 * ann.h - the vector collection: put, get, delete, list, search. What fs/ sees.
 *
 * A vector is dim finite float32 numbers under an id. Everything written is found by the next
 * search: what the graph does not hold yet is pending and scanned exactly.
 *
 * Threads: every function may be called from any thread. Errors: 0 or a negative ERR_*.
 */
#ifndef VECFS_ANN_ANN_H
#define VECFS_ANN_ANN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define ANN_DIM_MAX 16384u
#define ANN_K_MAX 10000u
#define ANN_EFFORT_MAX 100000u

/* Kept in the store's header as its kind. */
enum ann_metric {
	ANN_COSINE = 1, /* 1 - cos */
	ANN_L2 = 2,	/* Euclidean distance, not squared */
	ANN_IP = 3,	/* -dot */
};
const char *ann_metric_name(enum ann_metric metric); /* "cosine", "l2", "ip" */
bool ann_metric_parse(const char *name, enum ann_metric *out);

struct ann;

struct ann_opts {
	uint32_t effort;    /* default search width; 0 = chosen */
	uint32_t threads;   /* search and index workers; 0 = cores */
	uint32_t code_bits; /* 1, 2, 4 or 8; 0 = chosen */
	/* For choosing: bytes that codes and their tables may take (0: no bound), vectors to come. */
	uint64_t code_room, expected;
	bool background; /* start index workers (tests may drive ann_index_some by hand) */
	/*
	 * Many vectors are about to be stored and nobody asks meanwhile: the workers give way to
	 * nobody, and the graph is published when it has doubled.
	 */
	bool bulk;
};

/*
 * Takes the collection out of an open store, which it does not own, and loads graph and codes; what
 * they lack becomes pending. A damaged graph is dropped and built anew, with a note in *note_out
 * (may be NULL). Close before the store.
 */
int ann_open(struct store *store, const struct ann_opts *opts, struct ann **ann_out,
	     struct err_msg *note_out, struct err_msg *msg);
/*
 * Stops the workers (work in flight ends within a second or so), publishes the graph if it changed,
 * frees. The store stays open. Accepts NULL.
 */
int ann_close(struct ann *ann);

uint32_t ann_dim(const struct ann *ann); /* 0 until the first vector */
enum ann_metric ann_get_metric(const struct ann *ann);
bool ann_read_only(const struct ann *ann);

/*
 * Whether these numbers can be stored: ERR_INVALID with a sentence for a wrong count (expected dim;
 * any count 1 ... ANN_DIM_MAX when dim is 0), NaN or infinity (says which position), or the zero
 * vector under cosine. ERR_TOO_BIG for a count above dim.
 */
int ann_validate(const struct ann *ann, const float *vector, size_t n, struct err_msg *msg);
/* Ids: 1 ... 255 bytes of valid UTF-8, no control characters, no '/', not "." or "..". */
int ann_validate_id(const char *id, size_t len, struct err_msg *msg);

/*
 * To be called before a put, with no lock held that others need: when checkpoints or the linking of
 * vectors are far behind, waits or helps a little, so that writers become as slow as those are.
 */
void ann_wait_room(struct ann *ann);
/* The same before a deletion, a rename or new attributes: these wait for checkpoints alone. */
void ann_wait_checkpoint(struct ann *ann);
/*
 * flags: enum store_put_flags. Validates, stores, makes it pending. *ino (may be NULL without
 * STORE_PUT_INO): the number for a new id, if that flag says so; afterwards that of the id.
 */
int ann_put(struct ann *ann, const char *id, size_t id_len, const float *vector, size_t n,
	    const struct store_attr *attr, unsigned flags, uint64_t *ino, struct err_msg *msg);
/* As store_new_ino. */
uint64_t ann_new_ino(struct ann *ann);
/* vector_out: dim floats, or NULL for the entry alone. */
int ann_get(struct ann *ann, const char *id, size_t id_len, struct store_entry *entry_out,
	    float *vector_out);
int ann_delete(struct ann *ann, const char *id, size_t id_len);
/* The same, and says what was there: ino and attr. */
int ann_remove(struct ann *ann, const char *id, size_t id_len,
	       struct store_put_result *removed_out);
int ann_rename(struct ann *ann, const char *from, size_t from_len, const char *to, size_t to_len,
	       unsigned flags);
int ann_set_attr(struct ann *ann, const char *id, size_t id_len, const struct store_attr *attr,
		 unsigned mask);
/* As store_get_xattrs and store_set_xattrs. */
int ann_get_xattrs(struct ann *ann, const char *id, size_t id_len, uint8_t *list_out,
		   uint32_t *len_out);
int ann_set_xattrs(struct ann *ann, const char *id, size_t id_len, const struct xattrs *xattrs);
/*
 * Which of n rows are stored already, under this id and with exactly these numbers, ann_dim of them;
 * one whose stored bytes are damaged is not. What is not in memory is read together.
 */
struct ann_row {
	const char *id;
	size_t id_len;
	const float *vector;
};
int ann_compare(struct ann *ann, const struct ann_row *rows, size_t n, bool *same_out);
/* As store_list. ERR_DAMAGED also for an id that ann_put would have refused. */
int ann_list(struct ann *ann, uint64_t cursor, struct store_entry *entries, uint64_t *cursors,
	     size_t cap, size_t *n_out);
/* Durable up to here. */
int ann_sync(struct ann *ann);

/* --- search --- */

struct ann_query {
	uint32_t k;	 /* 1 ... ANN_K_MAX */
	uint32_t effort; /* 0 = the collection's; raised to k when below */
	bool exact;	 /* linear scan */
	bool has_max;
	/* Leave out what is farther, in the metric's distance as "%.9g" shows it. */
	double max;
	/* Leave out this id (a `like` query); NULL for none. */
	const char *without;
	size_t without_len;
	/* Asked now and then during long searches; true ends them with ERR_INTERRUPTED. May be NULL. */
	bool (*cancelled)(void *ctx);
	void *cancel_ctx;
};

struct ann_hit {
	double distance;
	uint32_t id_at; /* offset of the id in ann_answer.ids */
	uint16_t id_len;
};

/* Hits of query i: hits[first[i]] ... hits[first[i + 1] - 1], nearest first, ties by id (bytes). */
struct ann_answer {
	size_t n_queries;
	size_t *first; /* n_queries + 1 */
	struct ann_hit *hits;
	char *ids; /* not terminated, one after the other */
};

/*
 * Nearest neighbours of n queries (n * dim floats, one after the other), spread over the workers
 * when n is large. Fills *answer (release with ann_answer_release, also after an error). An empty
 * collection answers with no hits. ERR_INVALID with a sentence: dim unknown is no error for n = 0
 * only; k, effort out of range. ERR_DAMAGED, ERR_IO: a page that was needed cannot be read; never a
 * shorter list. ERR_INTERRUPTED.
 */
int ann_search(struct ann *ann, const float *queries, size_t n, const struct ann_query *query,
	       struct ann_answer *answer, struct err_msg *msg);
void ann_answer_release(struct ann_answer *answer);

/* Queries that lie one after the other: n of them, dim floats each. */
struct ann_part {
	const float *queries;
	size_t n;
};
/* The hits of one query, nearest first, ties by id; offsets are into these ids. */
struct ann_found {
	const struct ann_hit *hits;
	size_t n;
	const char *ids; /* not terminated */
};
/*
 * Gets the hits of queries first ... first + n - 1, on the thread that found them: of each query
 * once, in no order, several calls at a time. They are gone when it returns. An error ends the search.
 */
typedef int (*ann_take)(void *ctx, size_t first, const struct ann_found *found, size_t n);
/*
 * Called once, on one of the threads, while others may be searching already: what the caller has to
 * do meanwhile. An error, of which it has told itself, ends the search and is its result.
 */
typedef int (*ann_begun)(void *ctx);
/*
 * As ann_search, for queries that lie in several parts (numbered through, none empty) and results
 * that are wanted as they come. After an error some were handed out, some not. begun may be NULL, and
 * is not called after an error of what was asked.
 */
int ann_search_parts(struct ann *ann, const struct ann_part *parts, size_t n_parts,
		     const struct ann_query *query, ann_take take, ann_begun begun, void *ctx,
		     struct err_msg *msg);

/* --- care --- */

/* Links up to n pending vectors on the calling thread; *left_out is what remains. For tests. */
int ann_index_some(struct ann *ann, size_t n, size_t *left_out);
/* Publishes the graph (control `checkpoint`, idle, unmount). */
int ann_flush(struct ann *ann);
/* Forgets what is in memory of what is on disk too: pages, packed nodes, ids. Codes stay. */
void ann_drop_caches(struct ann *ann);
/* Validates the graph: degrees, self links, duplicates, live targets, reachability. ERR_DAMAGED. */
int ann_check(struct ann *ann, struct err_msg *msg);

/*
 * Verifies store and graph while both serve (store_verify): also that values are numbers, and that
 * nodes on disk have links that a graph can have. Takes about as long as reading the store; for a
 * thread of low priority. A damaged graph is built anew at the next opening for writing.
 */
int ann_verify(struct ann *ann, store_finding finding, bool (*cancelled)(void *ctx), void *ctx,
	       struct store_verify_report *report_out);
/* What ann_get_stats and store_get_stats count, as far as it is no state, counts from here on. */
void ann_reset_metrics(struct ann *ann);

/* --- rewriting --- */

/*
 * All live slots, so that vectors which a search meets together lie together: first those of the
 * graph, packed along its links (order.h). *slots_out: mem_free. Reads the whole graph; no change
 * runs. ERR_NOMEM, ERR_DAMAGED, ERR_IO.
 */
int ann_order(struct ann *ann, uint32_t **slots_out, size_t *n_out);
/*
 * Gives the graph of `from` to `to`, in whose slot i stands what is in slots[i] of `from`, and in no
 * other slot anything. `to` was opened without workers and with the code bits of `from`, and has no
 * graph; closing it publishes this one. No other call runs. After an error: ann_close is still right,
 * and publishes what came over; vectors that are missing from it are linked when it is opened again.
 */
int ann_copy_graph(struct ann *from, struct ann *to, const uint32_t *slots, size_t n);

struct ann_stats {
	uint64_t vectors, pending, linked, tombstones;
	uint64_t queries, exact_queries, distances, hops;
	uint64_t inserted, repaired;
	uint64_t code_bytes;  /* memory that the codes take: codes_bytes */
	uint64_t node_bytes;  /* pages of the graph, in memory or not */
	uint64_t table_bytes; /* memory of what is kept for each slot beside its code */
	uint32_t effort, threads, code_bits, degree;
	const char *kernel; /* "avx512", "avx2", "neon", "scalar" */
};
void ann_get_stats(struct ann *ann, struct ann_stats *stats_out);
/* Bits a dimension of the codes that a store holds, of which no collection is open; 0 for none. */
uint32_t ann_stored_bits(struct store *store);

#endif
