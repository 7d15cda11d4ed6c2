/*
 * options.h - the command line of a mount: STORE MOUNTPOINT and options, each of which may be given
 * as -o name=value (several separated by commas) and as --name=value.
 */
#ifndef VECFS_FS_OPTIONS_H
#define VECFS_FS_OPTIONS_H

#include <stdbool.h>

#include "fs/fs.h"
#include "fs/text.h"

#define OPTIONS_CACHE_MIN (1ull << 20)
#define OPTIONS_CACHE_MAX (1ull << 46)
#define OPTIONS_THREADS_MAX 1024u

struct options {
	/*
	 * cache_bytes is 0 with cache_auto. store_path and mountpoint are as given, not yet absolute,
	 * and point into argv.
	 */
	struct fs_opts fs;
	bool metric_given;
	bool recover_prefix;
	bool foreground, debug, single_thread;
	bool clone_fd;
	bool fake;	  /* mount -f: say whether it could be done, do nothing */
	char *fsname;	  /* owned; NULL: the store's path */
	struct text fuse; /* options for libfuse: ",name=value" each, commas in values escaped */
};

/*
 * Parses argv[1 ...]. helper: called by mount(8) as mount.fuse.vecfs, whose -s, -n, -v, -f and
 * -t TYPE have other meanings. ERR_INVALID with a sentence that names what is wrong and what is
 * allowed; ERR_NOMEM. Release *options_out in any case.
 */
int options_parse(int argc, char **argv, bool helper, struct options *options_out,
		  struct err_msg *msg);
void options_release(struct options *options);

/*
 * One option by itself, as after -o: for options_parse, tests and the commands that share options.
 * value: NULL when there is no '='.
 */
int options_set(struct options *options, const char *name, const char *value, struct err_msg *msg);

/* "64M", "2g", "1048576" as bytes; false for anything else. *bytes_out saturates. */
bool options_parse_size(const char *text, uint64_t *bytes_out);
/* Decimal digits only, all of text; saturates at UINT64_MAX. */
bool options_parse_number(const char *text, uint64_t *value_out);

/* Appends ",name=value" (or ",name" when value is NULL) for libfuse; escapes commas. */
void options_add_fuse(struct options *options, const char *name, const char *value);

#endif
