/*
 * journal.h - what writers of a mount did, written down outside of it, and what must therefore be
 * in the mount after its daemon was killed.
 *
 * A folder holds one journal a writer. A writer has JOURNAL_OWN names for itself, and all writers
 * share JOURNAL_SHARED others. It writes "start" before an operation and "done" when the last call
 * of it returned 0; so at most one operation a writer is open, and its own names are in one of two
 * states: without that operation, or with it. Shared names are judged as registers by the times.
 *
 * Lines of a journal:
 *   V version                            versions so far
 *   N index writer key version mode mtime   a name that holds this vector
 *   S kind index other version time      start
 *   D time                               done
 *   E time                               done, and it changed nothing (no such name)
 */
#ifndef VECFS_TESTS_SUPPORT_JOURNAL_H
#define VECFS_TESTS_SUPPORT_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/client.h"

enum { JOURNAL_WRITERS = 4, JOURNAL_OWN = 600, JOURNAL_SHARED = 8, JOURNAL_NAME_MAX = 32 };
enum { JOURNAL_NAMES = JOURNAL_OWN + JOURNAL_SHARED };
enum { JOURNAL_NEW_MODE = 0644 }; /* of a vector that a put makes */

enum journal_kind {
	JOURNAL_NONE = 0,
	JOURNAL_PUT = 'p',
	JOURNAL_UNLINK = 'u',
	JOURNAL_RENAME = 'r',
	JOURNAL_EXCHANGE = 'x',
	JOURNAL_MODE = 'm',
	JOURNAL_MTIME = 't',
};

/* What is under a name. */
struct journal_state {
	struct mark mark; /* version 0: nothing */
	uint32_t mode;	  /* permission bits */
	uint32_t mtime; /* n: set to n seconds and n nanoseconds; 0: not set since it was written */
};

struct journal_op {
	enum journal_kind kind;
	unsigned index, other; /* names; own ones are below JOURNAL_OWN */
	uint32_t version;      /* what a put writes; the mode or the mtime that is set */
	uint64_t start, done;  /* nanoseconds; done is UINT64_MAX while open */
};

struct journal_shared {
	unsigned index;
	struct mark mark; /* version 0: removed */
	uint64_t start, done;
};

struct journal_past {
	struct journal_state own[JOURNAL_WRITERS][JOURNAL_OWN]; /* by what is done */
	struct journal_op open[JOURNAL_WRITERS];		/* kind JOURNAL_NONE: none */
	uint32_t version[JOURNAL_WRITERS];
	uint64_t done; /* operations */
	struct journal_shared *shared;
	size_t n_shared, cap_shared;
};

/* All journals of the folder; none is an empty past. 0, or -1 after a line on stderr. */
int journal_read(const char *folder, struct journal_past *past);
void journal_release(struct journal_past *past);

/* What the operation makes of a writer's names. */
void journal_apply(const struct journal_op *op, uint32_t writer,
		   struct journal_state own[JOURNAL_OWN]);
/* Whether a shared name may hold this (version 0: nothing) after all that. */
bool journal_allows(const struct journal_past *past, unsigned index, const struct mark *mark);
/* Replaces the journals by found[writer][index]; shared names stand at the first writer. */
int journal_restart(const char *folder, const struct journal_past *past,
		    struct journal_state found[JOURNAL_WRITERS][JOURNAL_NAMES]);

/* The file name of a name. */
const char *journal_name(uint32_t writer, unsigned index, char name_out[JOURNAL_NAME_MAX]);

/* Appends to one journal; the line is in the file on return. These abort when that fails. */
int journal_open(const char *folder, uint32_t writer);
void journal_start(int journal, const struct journal_op *op);
void journal_done(int journal, bool changed);

#endif
