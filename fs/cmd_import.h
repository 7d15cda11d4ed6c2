/*
 * cmd_import.h - one run of `vecfs import`, shared by its files.
 */
#ifndef VECFS_FS_CMD_IMPORT_H
#define VECFS_FS_CMD_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/ann.h"
#include "fs/cmd.h"
#include "fs/import_ids.h"
#include "store/io.h"
#include "store/store.h"

struct import {
	/* as given */
	const char *path; /* of the store */
	char *const *files;
	size_t n_files;
	const char *ids_path; /* NULL: row numbers */

	/* what the files hold, known before anything is written */
	uint32_t dim; /* 0: no rows at all */
	uint64_t rows;
	uint64_t *rows_of; /* owned; each of the files */
	char *ids_text;	   /* owned */
	struct import_ids ids;

	struct store_io *io;
	struct store *store;
	struct ann *ann;
	struct store_attr attr; /* of new vectors */
	bool may_hold;		/* the store has vectors: rows are looked for first */

	/* how far it is */
	uint64_t passed;	/* rows that are done with */
	uint64_t stored, there; /* of those: written; stored already */
	uint64_t start_ns;
	struct cmd_progress progress;
	uint64_t shown_ns, shown_work; /* when the line was last shown, and for what */
	double rate;		       /* rows a second, smoothed */
};

/* Reads all headers and the ids. ERR_INVALID with a sentence for whatever does not fit together. */
int import_examine(struct import *import, struct err_msg *msg);

/* Stores all rows. The store and the collection are open. ERR_INTERRUPTED after a signal. */
int import_store(struct import *import, struct err_msg *msg);
/* Waits until everything that is stored is linked. ERR_INTERRUPTED after a signal. */
int import_link(struct import *import, struct err_msg *msg);

/* Vectors that wait to be linked. */
uint64_t import_pending(const struct import *import);

#endif
