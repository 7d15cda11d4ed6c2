/*
 * progress.h - how far a long step is, on stderr: one line rewritten on a terminal, else a line
 * every few seconds. One step at a time, driven by one thread.
 */
#ifndef VECFS_TESTS_DEMO_PROGRESS_H
#define VECFS_TESTS_DEMO_PROGRESS_H

#include <stddef.h>

struct progress {
	const char *label; /* not owned */
	size_t total;
	double begin, shown; /* seconds of now() */
};

/* Seconds of a clock that never goes back. */
double now(void);

void progress_init(struct progress *progress, const char *label, size_t total);
/* Cheap enough to be called for every item. */
void progress_show(struct progress *progress, size_t done);
/* Takes the line off a terminal. Gives the seconds since progress_init. */
double progress_release(struct progress *progress);

#endif
