/*
 * listing.h - which listing of /vectors the kernel may keep, so that a second `ls` costs no READDIR.
 *
 * The rules are at the top of listing.c.
 */
#ifndef VECFS_FS_LISTING_H
#define VECFS_FS_LISTING_H

#include <stdbool.h>

#include "fs/fs.h"

struct listing;

/* What an opened directory may do with the listing that the kernel keeps. */
struct listing_grant {
	bool use;  /* read it, and bring what it lacks */
	bool keep; /* it is not dropped by this open */
};

int listing_new(struct listing **listing_out);
void listing_free(struct listing *listing);

/* /vectors is being opened. With a grant of use, listing_closed has to follow. */
struct listing_grant listing_opened(struct fs *fs);
/* The kernel did not take the answer to that open, so nothing was dropped. Instead of listing_closed. */
void listing_forsaken(struct listing *listing);
/*
 * The one who has the use is about to be told of names, from the first on (at_start) or from where it
 * was, or (at_end) that there are no more.
 */
void listing_brings(struct listing *listing, bool at_start, bool at_end);
void listing_closed(struct listing *listing);

/*
 * What a listing says has changed, and the answer to whoever changed it is not sent yet. unseen: the
 * kernel does not take the request for a change of /vectors, as it does with unlink and rename there.
 * Any thread; takes no lock but its own.
 */
void listing_changed(struct fs *fs, bool unseen);
/*
 * The kernel asked for a name that a listing shows. It does so one by one for what it reads from a
 * listing that it kept; after some of them that is dropped, since READDIRPLUS brings many at once.
 */
void listing_looked_up(struct fs *fs);

#endif
