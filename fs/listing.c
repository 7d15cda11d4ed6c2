/*
 * listing.c - the listing of /vectors that the kernel keeps (FOPEN_CACHE_DIR).
 *
 * What the kernel does: one listing for each directory. Whoever reads a directory with the use of it
 * and finds none notes the version and the time of change that the directory has then, and each name
 * that comes next to the last one kept is appended, whoever brings it. An empty answer right after the
 * last one kept makes it whole. From then on it is read instead of asking; at the start of a reading it
 * is thrown away when version or time differ. An open without FOPEN_KEEP_CACHE drops its pages; a whole
 * listing that lacks a page is thrown away by whoever reads it, a partial one is then never completed.
 *
 * That alone is wrong beside changes. Two readers: one notes the version, a name goes, the other notes
 * the new version, then the answer of the first one is appended, with the name, and stays. And a vector
 * appears in listings when it has been written whole, which the kernel takes for no change of the
 * directory at all. So:
 *
 * 1. One open directory at a time has the use. All others neither read nor bring, nor drop pages.
 * 2. `changes` goes up after each change and before its answer. `brought` is what it was at the open
 *    that last dropped the pages: all that is kept was asked for later.
 * 3. A whole listing is dropped by the next open with the use when changes != brought. `whole` is set
 *    before an empty answer to who has the use, so that the kernel never has a whole one that is not
 *    known here, and taken back when who has the use asks from the start, since then the kernel has thrown
 *    it away. A partial one is not dropped: nobody reads it, and it is not whole before this use
 *    comes to its end, after which the rule holds for the next.
 * 4. Who has the use may start again (rewinddir). Then the kernel compares version and time of the
 *    directory. The version changes with its own requests. Each change also sets a time that the
 *    directory never had; the kernel is told to ask for it before the answer to a change that it does
 *    not see, while somebody has the use or when it was given the time before that, and at an open that
 *    goes on with an older partial listing.
 *
 * So whoever begins to list after a change was answered sees it: by an open (2, 3) or a rewind (4).
 * Who goes on in the middle of a listing sees each name that stays exactly once: either from one
 * listing, or by cookies, which depend on the name alone.
 *
 * 4. is told from the thread of the request: of a directory's attributes alone the kernel only marks
 * them as old, under a spin lock, and waits for nothing. Pages of a kept listing are dropped by the
 * notifier, and meanwhile nobody gets the use, so that no partial listing can lose a page; nothing else
 * that is told of /vectors drops any.
 */
#define FUSE_USE_VERSION 310
#include "fs/listing.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fs/attr.h"
#include "fs/inode.h"
#include "fs/notify.h"
#include "store/err.h"
#include "store/mem.h"

#define LOOKUPS_MAX 64u /* as many names as a READDIRPLUS brings, more or less */

struct listing {
	pthread_mutex_t lock; /* a leaf */
	atomic_bool used;     /* somebody has the use; written under lock */
	bool whole;	      /* guarded by lock */
	bool from_kept;	      /* guarded by lock; who has the use has asked for no name yet */
	bool dropping;	      /* guarded by lock; the notifier has not done so yet */
	unsigned lookups;     /* guarded by lock; since the open of who has the use */
	_Atomic uint64_t changes;
	uint64_t brought; /* guarded by lock */
};

int listing_new(struct listing **listing_out)
{
	struct listing *listing = mem_zalloc(1, sizeof(*listing));

	*listing_out = listing;
	if (listing == NULL)
		return ERR_NOMEM;
	pthread_mutex_init(&listing->lock, NULL);
	return 0;
}

void listing_free(struct listing *listing)
{
	if (listing == NULL)
		return;
	pthread_mutex_destroy(&listing->lock);
	mem_free(listing);
}

/* Marks what the kernel knows of the time of change as old. */
static void tell(struct fs *fs)
{
	if (!fuse_session_exited(fs->session))
		(void)fuse_lowlevel_notify_inval_inode(fs->session, NODE_VECTORS, -1, 0);
}

/* The use is taken before `changes` is looked at; listing_changed does both the other way round. */
static struct listing_grant take_use(struct listing *listing, bool *tell_out)
{
	uint64_t changes;
	bool same;

	atomic_store(&listing->used, true);
	changes = atomic_load(&listing->changes);
	same = listing->brought == changes;
	*tell_out = !same && !listing->whole;
	listing->from_kept = same && listing->whole;
	listing->lookups = 0;
	if (same || !listing->whole)
		return (struct listing_grant){.use = true, .keep = true};
	listing->whole = false;
	listing->brought = changes;
	return (struct listing_grant){.use = true, .keep = false};
}

struct listing_grant listing_opened(struct fs *fs)
{
	struct listing *listing = fs->listing;
	struct listing_grant grant = {.use = false, .keep = true};
	bool old = false;

	pthread_mutex_lock(&listing->lock);
	if (!atomic_load(&listing->used) && !listing->dropping)
		grant = take_use(listing, &old);
	pthread_mutex_unlock(&listing->lock);
	if (old)
		tell(fs);
	return grant;
}

void listing_forsaken(struct listing *listing)
{
	pthread_mutex_lock(&listing->lock);
	/* Whatever the kernel has is dropped by the next open. */
	atomic_fetch_add(&listing->changes, 1);
	listing->whole = true;
	atomic_store(&listing->used, false);
	pthread_mutex_unlock(&listing->lock);
}

void listing_brings(struct listing *listing, bool at_start, bool at_end)
{
	pthread_mutex_lock(&listing->lock);
	listing->from_kept = false;
	listing->whole = at_end || (listing->whole && !at_start);
	pthread_mutex_unlock(&listing->lock);
}

void listing_closed(struct listing *listing)
{
	pthread_mutex_lock(&listing->lock);
	atomic_store(&listing->used, false);
	pthread_mutex_unlock(&listing->lock);
}

void listing_changed(struct fs *fs, bool unseen)
{
	bool shown = inode_touch_directory(fs->inodes, attr_now(fs));

	atomic_fetch_add(&fs->listing->changes, 1);
	if (unseen && (shown || atomic_load(&fs->listing->used)))
		tell(fs);
}

static void dropped(void *ctx)
{
	struct listing *listing = ctx;

	pthread_mutex_lock(&listing->lock);
	listing->dropping = false;
	pthread_mutex_unlock(&listing->lock);
}

void listing_looked_up(struct fs *fs)
{
	struct listing *listing = fs->listing;
	struct notifier_errand *errand = NULL;
	bool drop;

	if (!atomic_load(&listing->used))
		return;
	pthread_mutex_lock(&listing->lock);
	drop = listing->from_kept && ++listing->lookups == LOOKUPS_MAX && !listing->dropping;
	listing->dropping = listing->dropping || drop;
	pthread_mutex_unlock(&listing->lock);
	if (!drop)
		return;
	errand = notifier_errand_new(NODE_VECTORS, NULL, NULL, dropped, listing);
	if (errand != NULL)
		notifier_errand_run(fs->notifier, errand);
	else
		dropped(listing); /* slower, that is all */
}
