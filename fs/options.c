/*
 * options.c - the options of a mount, one at a time.
 *
 * Names are compared without regard to case, and '_' like '-'. An option is one of ours, one that
 * libfuse or the kernel is told, one that means nothing here and is dropped (fstab is full of
 * them), or an error that names it.
 */
#include "fs/options.h"

#include <inttypes.h>
#include <string.h>

#include "store/mem.h"

#define NAME_MAX_BYTES 64

/* --- values --- */

bool options_parse_number(const char *text, uint64_t *value_out)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9')
			return false;
		value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
	}
	*value_out = value;
	return true;
}

bool options_parse_size(const char *text, uint64_t *bytes_out)
{
	static const char units[] = "kKmMgG";
	char digits[32];
	size_t len = strlen(text);
	const char *unit = len > 0 ? strchr(units, text[len - 1]) : NULL;
	unsigned shift = unit != NULL ? 10 * (unsigned)((unit - units) / 2 + 1) : 0;
	uint64_t value;

	if (unit != NULL)
		len--;
	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!options_parse_number(digits, &value))
		return false;
	*bytes_out = value > UINT64_MAX >> shift ? UINT64_MAX : value << shift;
	return true;
}

/* The shared end of all options that are a whole number. */
static int take_number(const char *name, const char *value, uint32_t min, uint32_t max,
		       uint32_t *number_out, struct err_msg *msg)
{
	uint64_t number;

	if (!options_parse_number(value, &number))
		return err_set(msg, ERR_INVALID,
			       "%s=%.64s is no number: %s is a whole number %" PRIu32
			       " ... %" PRIu32,
			       name, value, name, min, max);
	if (number < min || number > max)
		return err_set(msg, ERR_INVALID,
			       "%s=%.64s is out of range: %s is a whole number %" PRIu32
			       " ... %" PRIu32,
			       name, value, name, min, max);
	*number_out = (uint32_t)number;
	return 0;
}

/* --- our own options --- */

static int set_dim(struct options *options, const char *value, struct err_msg *msg)
{
	return take_number("dim", value, 1, ANN_DIM_MAX, &options->fs.dim, msg);
}

static int set_metric(struct options *options, const char *value, struct err_msg *msg)
{
	if (!ann_metric_parse(value, &options->fs.metric))
		return err_set(msg, ERR_INVALID,
			       "metric=%.64s is not known: metric is cosine, l2 or ip", value);
	options->metric_given = true;
	return 0;
}

static int set_cache(struct options *options, const char *value, struct err_msg *msg)
{
	uint64_t bytes;

	options->fs.cache_auto = strcmp(value, "auto") == 0;
	options->fs.cache_bytes = 0;
	if (options->fs.cache_auto)
		return 0;
	if (!options_parse_size(value, &bytes))
		return err_set(msg, ERR_INVALID,
			       "cache=%.64s is no size: cache is auto or a size such as 64M or 2G",
			       value);
	if (bytes < OPTIONS_CACHE_MIN || bytes > OPTIONS_CACHE_MAX)
		return err_set(msg, ERR_INVALID,
			       "cache=%.64s is out of range: cache is auto or a size 1M ... 65536G",
			       value);
	options->fs.cache_bytes = bytes;
	return 0;
}

static int set_durability(struct options *options, const char *value, struct err_msg *msg)
{
	if (strcmp(value, "log") == 0)
		options->fs.durability = WAL_LOG;
	else if (strcmp(value, "close") == 0)
		options->fs.durability = WAL_CLOSE;
	else if (strcmp(value, "none") == 0)
		options->fs.durability = WAL_NONE;
	else
		return err_set(msg, ERR_INVALID,
			       "durability=%.64s is not known: durability is log, close or none",
			       value);
	return 0;
}

static int set_effort(struct options *options, const char *value, struct err_msg *msg)
{
	return take_number("effort", value, 1, ANN_EFFORT_MAX, &options->fs.effort, msg);
}

static int set_threads(struct options *options, const char *value, struct err_msg *msg)
{
	return take_number("threads", value, 1, OPTIONS_THREADS_MAX, &options->fs.threads, msg);
}

static int set_code_bits(struct options *options, const char *value, struct err_msg *msg)
{
	if (strcmp(value, "auto") == 0)
		options->fs.code_bits = 0;
	else if (strlen(value) == 1 && strchr("1248", value[0]) != NULL)
		options->fs.code_bits = (uint32_t)(value[0] - '0');
	else
		return err_set(msg, ERR_INVALID,
			       "code-bits=%.64s is not supported: code-bits is auto, 1, 2, 4 or 8",
			       value);
	return 0;
}

static int set_recover(struct options *options, const char *value, struct err_msg *msg)
{
	if (strcmp(value, "prefix") != 0)
		return err_set(msg, ERR_INVALID,
			       "recover=%.64s is not known: recover is prefix, together with ro",
			       value);
	options->recover_prefix = true;
	return 0;
}

static int set_fsname(struct options *options, const char *value, struct err_msg *msg)
{
	char *copy = mem_strdup(value);

	if (copy == NULL)
		return err_set(msg, ERR_NOMEM, "fsname: %s", err_str(ERR_NOMEM));
	mem_free(options->fsname);
	options->fsname = copy;
	return 0;
}

static const struct {
	const char *name;
	int (*set)(struct options *options, const char *value, struct err_msg *msg);
} valued[] = {
	{"dim", set_dim},
	{"metric", set_metric},
	{"cache", set_cache},
	{"durability", set_durability},
	{"effort", set_effort},
	{"threads", set_threads},
	{"code-bits", set_code_bits},
	{"recover", set_recover},
	{"fsname", set_fsname},
};

/* --- options without a value, and those of others --- */

enum flag {
	FLAG_RO,
	FLAG_RW,
	FLAG_DEFAULTS,
	FLAG_ALLOW_OTHER,
	FLAG_DEBUG,
	FLAG_CLONE_FD,
	FLAG_USER_XATTR,
	FLAG_NO_USER_XATTR,
};

static const struct {
	const char *name;
	enum flag flag;
} flags[] = {
	{"ro", FLAG_RO},
	{"rw", FLAG_RW},
	{"defaults", FLAG_DEFAULTS},
	{"allow-other", FLAG_ALLOW_OTHER},
	{"debug", FLAG_DEBUG},
	{"clone-fd", FLAG_CLONE_FD},
	{"user-xattr", FLAG_USER_XATTR},
	{"nouser-xattr", FLAG_NO_USER_XATTR},
};

/* Passed on to libfuse, which tells the kernel or fusermount3; spelt as they spell them. */
static const char *const passed[] = {
	"allow_root",	"default_permissions",
	"auto_unmount", "dev",
	"nodev",	"suid",
	"nosuid",	"exec",
	"noexec",	"async",
	"sync",		"dirsync",
	"atime",	"noatime",
	"context",	"fscontext",
	"defcontext",	"rootcontext",
};

/* What mount(8), systemd, and libfuse's other interface know, and what changes nothing here. */
static const char *const dropped[] = {
	"nofail",
	"-netdev",
	"user",
	"nouser",
	"users",
	"owner",
	"group",
	"auto",
	"noauto",
	"comment",
	"relatime",
	"norelatime",
	"strictatime",
	"nostrictatime",
	"diratime",
	"nodiratime",
	"lazytime",
	"nolazytime",
	"iversion",
	"noiversion",
	"silent",
	"loud",
	"mand",
	"nomand",
	"subtype",
	"fd",
	"rootmode",
	"user-id",
	"group-id",
	"blkdev",
	"blksize",
	"nonempty",
	"big-writes",
	"large-read",
	"kernel-cache",
	"auto-cache",
	"no-auto-cache",
	"noauto-cache",
	"async-read",
	"sync-read",
	"hard-remove",
	"use-ino",
	"readdir-ino",
	"direct-io",
	"max-read",
	"max-write",
	"max-readahead",
	"max-background",
	"entry-timeout",
	"attr-timeout",
	"negative-timeout",
	"ac-attr-timeout",
	"noforget",
	"remember",
	"intr",
	"intr-signal",
	"max-threads",
	"max-idle-threads",
	"congestion-threshold",
};

static void set_flag(struct options *options, enum flag flag)
{
	switch (flag) {
	case FLAG_RO:
		options->fs.read_only = true;
		break;
	case FLAG_RW:
		options->fs.read_only = false;
		break;
	case FLAG_DEFAULTS:
		break;
	case FLAG_ALLOW_OTHER:
		options->fs.allow_other = true;
		break;
	case FLAG_DEBUG:
		options->debug = true;
		options->foreground = true;
		break;
	case FLAG_CLONE_FD:
		options->clone_fd = true;
		break;
	case FLAG_USER_XATTR:
		options->fs.no_xattrs = false;
		break;
	case FLAG_NO_USER_XATTR:
		options->fs.no_xattrs = true;
		break;
	}
}

/* Lower case with '-' for '_'; cut to fit, which makes it unknown. */
static void normalize(const char *name, char out[NAME_MAX_BYTES])
{
	size_t i;

	for (i = 0; name[i] != '\0' && i < NAME_MAX_BYTES - 1; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		out[i] = c == '_' ? '-' : c;
	}
	out[i] = '\0';
}

static const char *find_name(const char *const *names, size_t n, const char *name)
{
	char other[NAME_MAX_BYTES];

	for (size_t i = 0; i < n; i++) {
		normalize(names[i], other);
		if (strcmp(other, name) == 0)
			return names[i];
	}
	return NULL;
}

/* The options that are not ours; ERR_ABSENT for a name nobody knows. */
static int set_foreign(struct options *options, const char *name, const char *value)
{
	const char *known = find_name(passed, sizeof(passed) / sizeof(passed[0]), name);

	if (known != NULL) {
		options_add_fuse(options, known, value);
		/* Who lets others in has their permissions checked. */
		if (strcmp(known, "allow_root") == 0)
			options_add_fuse(options, "default_permissions", NULL);
		return options->fuse.err;
	}
	if (strncmp(name, "x-", 2) == 0)
		return 0;
	return find_name(dropped, sizeof(dropped) / sizeof(dropped[0]), name) != NULL ? 0 :
											ERR_ABSENT;
}

int options_set(struct options *options, const char *name, const char *value, struct err_msg *msg)
{
	char key[NAME_MAX_BYTES];
	int rc;

	normalize(name, key);
	for (size_t i = 0; i < sizeof(valued) / sizeof(valued[0]); i++) {
		if (strcmp(valued[i].name, key) != 0)
			continue;
		if (value == NULL)
			return err_set(msg, ERR_INVALID, "option %s needs a value: %s=...", key,
				       key);
		return valued[i].set(options, value, msg);
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(flags[i].name, key) != 0)
			continue;
		if (value != NULL)
			return err_set(msg, ERR_INVALID, "option %s takes no value, got %.64s",
				       name, value);
		set_flag(options, flags[i].flag);
		return 0;
	}
	rc = set_foreign(options, key, value);
	if (rc == ERR_ABSENT)
		return err_set(msg, ERR_INVALID, "unknown option %.64s; vecfs --help lists them",
			       name);
	return rc != 0 ? err_set(msg, rc, "option %.64s: %s", name, err_str(rc)) : 0;
}

void options_add_fuse(struct options *options, const char *name, const char *value)
{
	text_string(&options->fuse, ",");
	text_string(&options->fuse, name);
	if (value == NULL)
		return;
	text_string(&options->fuse, "=");
	for (; *value != '\0'; value++) {
		if (*value == ',' || *value == '\\')
			text_string(&options->fuse, "\\");
		text_bytes(&options->fuse, value, 1);
	}
}

void options_release(struct options *options)
{
	if (options == NULL)
		return;
	text_release(&options->fuse);
	mem_free(options->fsname);
	*options = (struct options){0};
}
