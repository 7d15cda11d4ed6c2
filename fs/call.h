/*
 * call.h - what a handler needs to know of the request it serves, without knowing FUSE.
 */
#ifndef VECFS_FS_CALL_H
#define VECFS_FS_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "store/err.h"

struct call {
	uint32_t uid, gid;
	uint64_t thread; /* of the caller */
	uint64_t id;	 /* the number that it names a node by */
	/* Whether the caller has been interrupted; asked during long searches. May be NULL. */
	bool (*cancelled)(void *ctx);
	void *cancel_ctx;
	/*
	 * Tells the caller that all went well, before the handler returns, which then returns 0; from
	 * there on `cancelled` must not be asked. May be NULL.
	 */
	void (*succeed)(void *ctx);
	void *succeed_ctx;
	struct err_msg msg; /* the sentence of a refusal */
	bool told;	    /* status/errors has it already */
};

#endif
