/*
 * cases.h - checks of single system calls on a mount: what the programs tests/mount/posix_*.c share.
 *
 * Each is called as PROGRAM MOUNT DIM, prints "ok" and "not ok" lines, and has exit status 1 when one
 * of them is the latter. The working directory is the vectors/ of a mount with the metric l2.
 */
#ifndef VECFS_TESTS_SUPPORT_CASES_H
#define VECFS_TESTS_SUPPORT_CASES_H

#include <stdbool.h>
#include <stddef.h>

#define CASES_DIM_MAX 4096

extern size_t dim, size;	    /* numbers and bytes of a vector */
extern float first[CASES_DIM_MAX];  /* two vectors that differ in each number */
extern float second[CASES_DIM_MAX]; /* and may be changed */
extern float got[CASES_DIM_MAX];    /* what holds() has read */

/* One line; errno is shown with a failure. */
void check(bool good, const char *what, int line);
#define CHECK(good, what) check(good, what, __LINE__)
/* The call fails with that errno. */
#define REFUSED(call, number, what) CHECK((call) < 0 && errno == (number), what)

/* Reads the arguments, goes to vectors/ and removes all in it; ends the program when they are wrong. */
void cases_begin(int argc, char **argv);
/* Removes all vectors. */
void cases_clear(void);
/* The exit status. */
int cases_end(void);

/* Whether the file is there with this vector, by an open() of its own. */
bool holds(const char *name, const float *expected);
bool is_absent(const char *name);
/* What goes at the last close goes a moment after it. */
bool soon_absent(const char *name);
/* Ends the program when it fails. */
void store(const char *name, const float *vector);
/* Whether the directory's listing has the name exactly once. */
bool listed(const char *directory, const char *name);

#endif
