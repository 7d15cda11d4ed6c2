/*
 * cmd_import_examine.c - looks at all that is to be imported before the store is touched, so that
 * what does not fit together is found while nothing is written.
 */
#include "fs/cmd_import.h"

#include <inttypes.h>

#include "fs/cmd_file.h"
#include "store/mem.h"

static int examine_file(struct import *import, size_t i, const char **dim_from, struct err_msg *msg)
{
	const char *path = import->files[i];
	struct cmd_vectors vectors;
	int rc = cmd_vectors_open(&vectors, path, msg);
	uint32_t dim = vectors.reader.dim;

	import->rows_of[i] = rc == 0 ? vectors.reader.rows : 0;
	import->rows += import->rows_of[i];
	cmd_vectors_close(&vectors);
	if (rc != 0 || dim == 0)
		return rc;
	if (import->dim != 0 && dim != import->dim)
		return err_set(msg, ERR_INVALID,
			       "%.150s has vectors of %" PRIu32 " numbers, %.150s of %" PRIu32
			       "; all vectors of a store have the same dimension",
			       path, dim, *dim_from, import->dim);
	import->dim = dim;
	*dim_from = path;
	return 0;
}

static int examine_ids(struct import *import, struct err_msg *msg)
{
	size_t len = 0;
	int rc = cmd_file_read(import->ids_path, &import->ids_text, &len, msg);

	if (rc == 0)
		rc = import_ids_init(&import->ids, import->ids_text, len, import->ids_path, msg);
	if (rc == 0 && import->ids.n != import->rows)
		rc = err_set(msg, ERR_INVALID,
			     "%.200s has %" PRIu64 " ids, but there are %" PRIu64
			     " rows; each row needs a line of its own",
			     import->ids_path, import->ids.n, import->rows);
	return rc;
}

int import_examine(struct import *import, struct err_msg *msg)
{
	const char *dim_from = NULL;
	int rc = 0;

	import->rows_of = mem_zalloc(import->n_files, sizeof(*import->rows_of));
	if (import->rows_of == NULL)
		return err_set(msg, ERR_NOMEM, "%s", ERR_NOMEM_SENTENCE);
	for (size_t i = 0; rc == 0 && i < import->n_files; i++)
		rc = examine_file(import, i, &dim_from, msg);
	if (rc == 0 && import->ids_path != NULL)
		rc = examine_ids(import, msg);
	return rc;
}
