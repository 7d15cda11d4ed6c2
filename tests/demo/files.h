/*
 * files.h - the vector files of a mount: the steps of the demo that write and check them. Vector n
 * is the file vectors/<n>; below the number of training images it is that image.
 *
 * Each step prints its findings on stdout and returns 0, or -1 after a line on stderr.
 */
#ifndef VECFS_TESTS_DEMO_FILES_H
#define VECFS_TESTS_DEMO_FILES_H

#include <stddef.h>

#include "tests/demo/idx.h"

/* Writes every image, one file each. */
int files_load(const char *mount, const struct idx *images);

/* Waits until no vector is pending, that is, until all are linked into the index. */
int files_wait(const char *mount);

/*
 * Reads `sample` images back, spread over all, and compares every byte; counts the directory, which
 * must hold the images and at least `more` others.
 */
int files_compare(const char *mount, const struct idx *images, size_t sample, size_t more);

/*
 * Writes further vectors until the mount fails, and each number whose close() returned 0 as a line
 * of the file acknowledged. The failure is what is waited for, so it is no error.
 */
int files_write_on(const char *mount, const struct idx *images, const char *acknowledged);

/*
 * Reads every vector listed in acknowledged and compares it byte for byte. Vectors beyond the list,
 * whose close() did not return, may be there, but then whole.
 */
int files_verify(const char *mount, const struct idx *images, const char *acknowledged);

/* Writes or reads exactly n bytes, however the system splits them. 0, or -1 with errno set. */
int files_put(int fd, const void *bytes, size_t n);
int files_get(int fd, void *bytes, size_t n);

#endif
