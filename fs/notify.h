/*
 * notify.h - the one thread that tells the kernel to forget what it cached.
 *
 * Never told from a request's thread: the kernel may need an answer to another request before it
 * can obey, and that answer may have to come from the thread that waits. Requests are queued,
 * bounded; when the queue is full the oldest is dropped, which costs memory of the kernel or a
 * late time stamp, never wrong content (an open compares versions). One exception: listing.c.
 */
#ifndef VECFS_FS_NOTIFY_H
#define VECFS_FS_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

struct fuse_session;
struct notifier;
struct notifier_errand;

/*
 * Starts the thread (ERR_AGAIN: there is none); call in the process that serves, after it forked. The
 * session outlives it.
 */
int notifier_new(struct fuse_session *session, struct notifier **notifier_out);
/*
 * Drops what is queued and ends the thread; what is queued later is dropped too. While requests are
 * still served, since the kernel may obey a last word only after an answer. Accepts NULL.
 */
void notifier_stop(struct notifier *notifier);
/* Stops it if that was not done, and frees. Accepts NULL. */
void notifier_free(struct notifier *notifier);

/*
 * Content and attributes of a node changed; of a folder the attributes alone, since who may drop its
 * pages is up to listing.c. Any thread; returns at once; accepts NULL.
 */
void notifier_inode(struct notifier *notifier, uint64_t node);
/* The name below parent shall be looked up anew, its node forgotten if unused. name is copied. */
void notifier_entry(struct notifier *notifier, uint64_t parent, const char *name, size_t len);

/*
 * What must be done before a request is answered: the kernel asks again for attributes of the node and
 * looks two names (each may be NULL) below it up anew. Without a name it drops the node's pages too.
 * Then `then` is called, on the
 * notifier's thread; it answers the request. So the thread of the request need not wait. Never
 * dropped; when the notifier has stopped, `then` is called at once. To be made before the work, so
 * that the work need not be undone: NULL is out of memory.
 */
struct notifier_errand *notifier_errand_new(uint64_t node, const char *a, const char *b,
					    void (*then)(void *ctx), void *ctx);
/* Takes the errand over. */
void notifier_errand_run(struct notifier *notifier, struct notifier_errand *errand);
/* Of one that is not needed; does not call `then`. Accepts NULL. */
void notifier_errand_free(struct notifier_errand *errand);

#endif
