/*
 * err.h - the results every layer returns: 0, or one of these negative codes.
 *
 * They are classes of outcome, not errno values: the disk back end turns errno into a class on the
 * way in (io_posix_file.c) and fs/ops.c turns a class into errno on the way out.
 */
#ifndef VECFS_STORE_ERR_H
#define VECFS_STORE_ERR_H

#include <stddef.h>

/* X(name, value, text) */
#define ERR_LIST(X)                                                                                \
	X(ERR_NOMEM, -1, "out of memory, or of file descriptors (ulimit -n)")                      \
	X(ERR_IO, -2, "input/output error")                                                        \
	X(ERR_FULL, -3, "no space left")                                                           \
	X(ERR_ABSENT, -4, "not found")                                                             \
	X(ERR_EXISTS, -5, "already exists")                                                        \
	X(ERR_INVALID, -6, "invalid argument")                                                     \
	X(ERR_DAMAGED, -7, "damaged data")                                                         \
	X(ERR_BUSY, -8, "in use by another process")                                               \
	X(ERR_READONLY, -9, "read-only")                                                           \
	X(ERR_FORMAT, -10, "not a vecfs store, or of an unknown version")                          \
	X(ERR_TOO_BIG, -11, "too large")                                                           \
	X(ERR_NAME_LONG, -12, "name too long")                                                     \
	X(ERR_INTERRUPTED, -13, "interrupted")                                                     \
	X(ERR_FENCED, -14, "another writer has taken over")                                        \
	X(ERR_UNKNOWN, -15, "outcome unknown")                                                     \
	X(ERR_PERMISSION, -16, "permission denied")                                                \
	X(ERR_NOT_REGULAR, -17, "not a regular file")                                              \
	X(ERR_UNSUPPORTED, -18, "not supported")                                                   \
	X(ERR_AGAIN, -19, "temporarily impossible")                                                \
	X(ERR_LIMIT, -20, "limit reached")

enum err_code {
#define ERR_ENUM(name, value, text) name = value,
	ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

/* What to say of ERR_NOMEM where it ends the work. */
#define ERR_NOMEM_SENTENCE                                                                             \
	"mmap failed: Cannot allocate memory; raise the limit on virtual memory (ulimit -v), or free " \
	"some memory"

/* A sentence for a person: what was wrong, what was expected, what to do next. Always terminated. */
struct err_msg {
	char text[512];
};

/* The text of a code; never NULL, "unknown error" for a number that is none. */
const char *err_str(int code);

/*
 * Fills msg (may be NULL) from a printf format and returns code, so that a failing function can
 * say `return err_set(msg, ERR_FORMAT, "...", ...)`. Longer texts are cut.
 */
int err_set(struct err_msg *msg, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
