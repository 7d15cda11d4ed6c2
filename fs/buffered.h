/*
 * buffered.h - what open files hold in memory, counted and bounded for a mount together.
 *
 * Invariants: 1. bytes is the sum of what all holders say they hold; 2. files is how many are open.
 * Threads: any, without a lock.
 */
#ifndef VECFS_FS_BUFFERED_H
#define VECFS_FS_BUFFERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

#define BUFFERED_MAX (256ull << 20) /* of all open files */
/* So that nobody who buffers much keeps others from small things: that much more, for those alone. */
#define BUFFERED_SPARE (64ull << 20)
#define BUFFERED_SMALL (64u << 10)
#define BUFFERED_SPARE_TELLING (16ull << 20) /* and that much for what tells what is the matter */
#define BUFFERED_FILES_MAX 65536u
#define BUFFERED_FILES_SPARE 1024u /* more for those that tell */

struct buffered {
	_Atomic uint64_t bytes;
	_Atomic uint64_t peak; /* of bytes, since memory was last given back to the system */
	_Atomic uint32_t files;
};

/*
 * Changes what one holder has, from *held to now. tells: it tells what is the matter. ERR_NOMEM with
 * a sentence above the bound, and nothing changed. Less is never refused; msg may be NULL.
 */
int buffered_change(struct buffered *buffered, size_t *held, size_t now, bool tells,
		    struct err_msg *msg);
/* One more is open. ERR_LIMIT with a sentence when as many are as may be. */
int buffered_open(struct buffered *buffered, bool tells, struct err_msg *msg);
void buffered_close(struct buffered *buffered);

#endif
