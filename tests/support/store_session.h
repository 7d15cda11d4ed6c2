/*
 * store_session.h - drives a store on a tape and writes its history: each call here is one of
 * store.h, with marks around it, and a model that says what the store must hold afterwards.
 *
 * One thread. A call that cannot be made now (no such id, say) does nothing and returns false. A
 * result that the model does not expect ends the program, unless a sync was made to fail: then the
 * session is broken until session_abandon and session_open.
 */
#ifndef VECFS_TESTS_STORE_SESSION_H
#define VECFS_TESTS_STORE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"
#include "tests/support/store_history.h"
#include "tests/support/tape.h"

enum { SESSION_IDS = 40, SESSION_GRAPH = 3, SESSION_CODE = 2, SESSION_DEAD = 64 };
enum { SESSION_GRAPHS = 64 }; /* publications at most */

struct session_entry {
	bool present;
	uint32_t version;
	uint32_t list;		  /* its extended attributes, by number; 0: none */
	struct store_entry entry; /* of the id that it has now */
};

struct session {
	struct tape *tape;
	struct history *history;
	struct store_geometry geometry;
	struct store_opts opts;
	uint32_t long_ids; /* every so many-th id has many bytes; 0: none */
	bool learn;	   /* the store is made without a value size */
	struct store_io *io;
	struct store *store;
	bool broken; /* a sync failed: the store is poisoned */
	struct session_entry ids[SESSION_IDS];
	uint64_t ops, last_lsn; /* operations, and the LSN of the last one */
	uint32_t versions;
	uint32_t dead[SESSION_DEAD]; /* slots to release */
	unsigned n_dead;
	uint32_t graph[SESSION_GRAPH]; /* versions of pages, as they are now */
	uint32_t published[SESSION_GRAPHS][SESSION_GRAPH];
	uint32_t graphs; /* publications */
};

/* The opts and geometry are those of the session; set them before. */
void session_create(struct session *s);
void session_open(struct session *s);
void session_close(struct session *s);
/* As after a kill. */
void session_abandon(struct session *s);

bool session_put(struct session *s, unsigned id);
bool session_delete(struct session *s, unsigned id);
bool session_rename(struct session *s, unsigned from, unsigned to, unsigned flags);
bool session_set_attr(struct session *s, unsigned id);
/* Another list of extended attributes, of any length; now and then none. */
bool session_set_xattrs(struct session *s, unsigned id);
/* Releases the slot that is dead the longest. */
bool session_release(struct session *s);
void session_sync(struct session *s);
void session_checkpoint(struct session *s);
/* Changes pages of the graph and publishes it, or gives up before the commit. */
void session_flush(struct session *s, bool abort);
void session_forget_graph(struct session *s);

#endif
