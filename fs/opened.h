/*
 * opened.h - lists of what is open, files and directories: the kernel need not have told of every close
 * before an unmount, and what is left is freed then.
 *
 * One that is open has a struct opened as its first member, so that a pointer to that is one to it.
 */
#ifndef VECFS_FS_OPENED_H
#define VECFS_FS_OPENED_H

#include <pthread.h>

struct opened {
	struct opened *next, **back; /* guarded by the list's lock */
};

struct opened_list {
	pthread_mutex_t lock; /* a leaf */
	struct opened *first; /* guarded by lock */
};

void opened_init(struct opened_list *list);
void opened_release(struct opened_list *list);
void opened_add(struct opened_list *list, struct opened *one);
void opened_remove(struct opened_list *list, struct opened *one);

#endif
