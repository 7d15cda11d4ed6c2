/*
 * cmd_output.h - for the commands that write a new store: OUT appears whole and durable, or not at
 * all. It is written under another name, OUT.new-<16 hex digits>, and gets its own at the end.
 */
#ifndef VECFS_FS_CMD_OUTPUT_H
#define VECFS_FS_CMD_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/cmd.h"
#include "store/io.h"
#include "store/store.h"

struct cmd_output {
	char *path; /* absolute */
	char *temp;
	struct store_io *io;
	struct store *store;
	uint64_t dirty_max; /* bytes that gather in memory before they are written */
	uint32_t puts;	    /* since the last look */
	struct cmd_progress progress;
};

/*
 * The operands STORE and OUT, and --page-size=B when page_size_out is not NULL (0: not given).
 * Returns as cmd_one_operand.
 */
int cmd_output_operands(int argc, char **argv, const char *help, const char *operands_out[2],
			uint32_t *page_size_out);

/* Refuses an OUT that exists, and catches signals from now on. ERR_EXISTS ... */
int cmd_output_prepare(struct cmd_output *output, const char *path, struct err_msg *msg);
/* Makes the new store. cache_bytes: of its cache; up to twice as much may gather in changed pages. */
int cmd_output_create(struct cmd_output *output, const struct store_geometry *geometry,
		      uint64_t cache_bytes, struct err_msg *msg);
/*
 * ERR_INTERRUPTED after a signal; ERR_TOO_BIG when the extended attributes are longer than pages of OUT
 * allow; else as store_put. Without a sentence for ERR_EXISTS.
 */
int cmd_output_put(struct cmd_output *output, const struct store_entry *entry, const void *value,
		   uint32_t size, const struct xattrs *xattrs, struct err_msg *msg);
/* Makes it durable and gives it its name. *bytes_out: of the file. */
int cmd_output_finish(struct cmd_output *output, uint64_t *bytes_out, struct err_msg *msg);
/* Removes what is there of it, unless it was finished. In any case, at the end. */
void cmd_output_release(struct cmd_output *output);

#endif
