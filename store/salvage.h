/*
 * salvage.h - gets every vector that can still be read out of a store that may be damaged anywhere.
 *
 * It reads the store as it is, changes nothing, and gives each vector once: the state of the newest
 * commit slot, or of the older one, with what the log did after it. What stands on a page that
 * cannot be read is looked for in the other slot's pages and in the log. With one damaged page,
 * block or log record everything is found that the damage itself did not hold.
 */
#ifndef VECFS_STORE_SALVAGE_H
#define VECFS_STORE_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

struct salvage_vector {
	struct store_entry
		entry; /* slot is that in the damaged store, lsn 0 when it is not known */
	const void *value;
	uint32_t size;
	struct xattrs xattrs;
};

struct salvage_calls {
	void *ctx;
	/* Once, before the first vector. Not 0: stops with that. */
	int (*begin)(void *ctx, const struct store_geometry *geometry);
	/* ERR_EXISTS: the id was given before. ERR_INVALID: not fit to be kept. Else as begin. */
	int (*vector)(void *ctx, const struct salvage_vector *vector);
	/* One sentence. loss: something is lost by it; else a remark. May hold any bytes of an id. */
	void (*say)(void *ctx, bool loss, const char *text);
	store_progress progress;   /* may be NULL */
	struct store_attr unnamed; /* attributes of what has lost its own */
};

struct salvage_report {
	uint64_t saved;	  /* vectors given, with all that follow */
	uint64_t older;	  /* of them: in an older version, the newest is lost */
	uint64_t unnamed; /* of them: under a name made up, theirs is lost */
	uint64_t lost;	  /* vectors known to be lost, by id or slot */
	uint64_t losses;  /* sentences that said of a loss */
};

/*
 * Salvages the store behind io, which must not be open yet; it is opened read-only. 0 when it ran,
 * whatever was lost (see report); ERR_BUSY when the store is in use, ERR_FORMAT when it is none or of
 * another version, ERR_DAMAGED when nothing says any more what it was, or what a call returned.
 */
int salvage_run(struct store_io *io, const struct salvage_calls *calls, uint64_t cache_bytes,
		struct salvage_report *report_out, struct err_msg *msg);

#endif
