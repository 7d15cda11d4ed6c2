/*
 * import_ids.h - the ids of imported rows: the lines of a file.
 *
 * A line that stands again further down is superseded by it: only the last row of an id is stored,
 * as with files that are copied one after the other under the same name.
 */
#ifndef VECFS_FS_IMPORT_IDS_H
#define VECFS_FS_IMPORT_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

struct import_ids {
	const char *text; /* not owned */
	size_t len;
	uint64_t n;	     /* lines */
	uint64_t superseded; /* of those */
	uint8_t *skip;	     /* owned; a bit a line; NULL when none is superseded */
	/* where the next line begins, and its number from 0 */
	size_t at;
	uint64_t line;
};

/*
 * Judges all lines of a text, which outlives *ids_out. name is for messages. The last line may go
 * without its end. ERR_INVALID with a sentence that names the line; ERR_NOMEM. Release in any case.
 */
int import_ids_init(struct import_ids *ids, const char *text, size_t len, const char *name,
		    struct err_msg *msg);
void import_ids_release(struct import_ids *ids);

/* The next line; false at the end. *superseded_out: its row is not to be stored. */
bool import_ids_next(struct import_ids *ids, const char **id_out, size_t *len_out,
		     bool *superseded_out);

#endif
