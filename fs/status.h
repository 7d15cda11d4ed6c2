/*
 * status.h - counters of a mount, the last refused operations, the texts of /status and /README.
 */
#ifndef VECFS_FS_STATUS_H
#define VECFS_FS_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "fs/call.h"
#include "store/err.h"

struct fs;
struct status;

#define STATUS_ERRORS 1000u

/* X(name): the operations counted in vecfs_ops_total{op="name"} */
/* clang-format off */
#define STATUS_OPS(X) \
	X(lookup) X(getattr) X(setattr) X(open) X(create) X(read) X(write) X(flush) X(fsync) \
	X(release) X(readdir) X(rename) X(unlink) X(statfs) X(query) X(control) \
	X(getxattr) X(setxattr) X(listxattr) X(removexattr)
/* clang-format on */

enum status_op {
#define STATUS_ENUM(name) STATUS_OP_##name,
	STATUS_OPS(STATUS_ENUM)
#undef STATUS_ENUM
		STATUS_OP_COUNT,
};

int status_new(struct status **status_out);
void status_free(struct status *status);

/* Counters; any thread, no lock, cheap. */
void status_count(struct status *status, enum status_op op);
void status_query_time(struct status *status, uint64_t ns, uint64_t queries);
void status_reset(struct status *status);

/* Counters of one moment, as far as several counters have one. */
#define STATUS_BOUNDS 18u /* bounded buckets of the histogram of query times */
extern const double status_bounds[STATUS_BOUNDS]; /* seconds, ascending */
struct status_counters {
	uint64_t ops[STATUS_OP_COUNT];
	uint64_t queries, query_ns;		 /* ns: sum over the queries */
	uint64_t query_times[STATUS_BOUNDS + 1]; /* not cumulative; the last is above all bounds */
	uint64_t errors;			 /* entries ever made; not reset */
};
void status_get_counters(struct status *status, struct status_counters *counters_out);

/*
 * Remembers a refused or failed operation: path is relative to the mount ("vectors/a"), sentence
 * says what was wrong and what to do; both are copied, control bytes escaped. errno_name: such as
 * "EINVAL". realtime_ns: STORE_CLOCK_REALTIME. When memory is short the entry is dropped.
 */
void status_error(struct status *status, uint64_t realtime_ns, const char *operation,
		  const char *path, const char *errno_name, const char *sentence);

/* Texts: *text_out is mem_free'd by the caller, *len_out its length without the terminator. */
int status_metrics_text(struct fs *fs, char **text_out, size_t *len_out);
int status_errors_text(struct fs *fs, char **text_out, size_t *len_out);
int status_config_text(struct fs *fs, char **text_out, size_t *len_out);
int status_readme_text(struct fs *fs, char **text_out, size_t *len_out);
/*
 * Carries out a line written to status/control: checkpoint, verify, drop-caches or reset-metrics.
 * ERR_INVALID with a sentence for any other word; else what the work returned, with a sentence in
 * call->msg. ERR_INTERRUPTED when the caller has given up a verify, or the mount ends.
 */
int status_control(struct fs *fs, const char *line, size_t len, struct call *call);
/*
 * `verify` (verify.c): looks for damage while the mount serves, on a thread of low priority. Findings
 * go to status/errors; ERR_DAMAGED when there were any.
 */
int status_verify(struct fs *fs, struct call *call);
/* Something that nobody asked for but somebody should know: into status/errors and the log. */
void status_notice(struct fs *fs, const char *operation, const char *path, const char *sentence);

#endif
