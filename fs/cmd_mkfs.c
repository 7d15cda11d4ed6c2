/*
 * cmd_mkfs.c - `vecfs mkfs STORE`: creates an empty store.
 */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ann/ann.h"
#include "fs/mount_point.h"
#include "fs/options.h"
#include "store/io.h"
#include "store/mem.h"
#include "store/store.h"

static const char help[] =
	"usage: vecfs mkfs STORE [--dim=N] [--metric=cosine|l2|ip] [--page-size=BYTES]\n"
	"\n"
	"Creates an empty store in the file STORE. An existing file is never overwritten.\n"
	"\n"
	"  --dim=N           numbers in a vector, 1 ... 16384; without it the first vector says\n"
	"  --metric=M        cosine (the default), l2 or ip\n"
	"  --page-size=B     4K, 8K, 16K (the default), 32K or 64K\n";

struct mkfs {
	const char *store;
	uint32_t dim;
	enum ann_metric metric;
	uint64_t page_size;
};

static int set_option(struct mkfs *mkfs, const char *name, const char *value, struct err_msg *msg)
{
	uint64_t number;

	if (strcmp(name, "dim") == 0) {
		if (!options_parse_number(value, &number) || number < 1 || number > ANN_DIM_MAX)
			return err_set(msg, ERR_INVALID,
				       "dim=%.64s is wrong: dim is a whole number 1 ... %u", value,
				       ANN_DIM_MAX);
		mkfs->dim = (uint32_t)number;
		return 0;
	}
	if (strcmp(name, "metric") == 0) {
		if (!ann_metric_parse(value, &mkfs->metric))
			return err_set(msg, ERR_INVALID,
				       "metric=%.64s is not known: metric is cosine, l2 or ip",
				       value);
		return 0;
	}
	if (strcmp(name, "page-size") == 0) {
		if (!options_parse_size(value, &mkfs->page_size) ||
		    mkfs->page_size < FORMAT_PAGE_MIN || mkfs->page_size > FORMAT_PAGE_MAX ||
		    (mkfs->page_size & (mkfs->page_size - 1)) != 0)
			return err_set(
				msg, ERR_INVALID,
				"page-size=%.64s is wrong: page-size is 4K, 8K, 16K, 32K or 64K",
				value);
		return 0;
	}
	return err_set(msg, ERR_INVALID, "unknown option --%.64s; vecfs mkfs --help lists them",
		       name);
}

/* --name=value or --name value */
static int parse_option(struct mkfs *mkfs, int argc, char **argv, int *at, struct err_msg *msg)
{
	const char *word = argv[*at] + 2;
	const char *equals = strchr(word, '=');
	char name[32];
	size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);

	if (len >= sizeof(name))
		return err_set(msg, ERR_INVALID,
			       "unknown option --%.64s; vecfs mkfs --help lists "
			       "them",
			       word);
	memcpy(name, word, len);
	name[len] = '\0';
	if (equals != NULL)
		return set_option(mkfs, name, equals + 1, msg);
	if (*at + 1 >= argc)
		return err_set(msg, ERR_INVALID, "option --%s needs a value: --%s=...", name, name);
	return set_option(mkfs, name, argv[++*at], msg);
}

static int parse(struct mkfs *mkfs, int argc, char **argv, struct err_msg *msg)
{
	bool only_operands = false;
	int rc = 0;

	for (int at = 1; at < argc && rc == 0; at++) {
		if (!only_operands && strcmp(argv[at], "--") == 0)
			only_operands = true;
		else if (!only_operands && strncmp(argv[at], "--", 2) == 0)
			rc = parse_option(mkfs, argc, argv, &at, msg);
		else if (!only_operands && argv[at][0] == '-')
			rc = err_set(msg, ERR_INVALID,
				     "unknown option %.64s; vecfs mkfs --help lists them",
				     argv[at]);
		else if (mkfs->store != NULL)
			rc = err_set(msg, ERR_INVALID,
				     "one argument too many: %.200s; usage: vecfs mkfs STORE",
				     argv[at]);
		else
			mkfs->store = argv[at];
	}
	if (rc == 0 && mkfs->store == NULL)
		rc = err_set(msg, ERR_INVALID, "STORE is missing; usage: vecfs mkfs STORE");
	return rc;
}

static int create(const struct mkfs *mkfs, struct err_msg *msg)
{
	struct store_geometry geometry = {
		.page_size = (uint32_t)mkfs->page_size,
		.value_size = mkfs->dim * (uint32_t)sizeof(float),
		.kind = (uint32_t)mkfs->metric,
	};
	struct store_io *io = NULL;
	char *path = NULL;
	int rc = mount_point_resolve(mkfs->store, &path, msg);

	if (rc == 0)
		rc = io_posix_new(path, &io, msg);
	if (rc == 0)
		rc = store_create(io, &geometry, msg);
	if (rc == ERR_EXISTS)
		rc = err_set(msg, rc, "%s exists already; mkfs overwrites nothing, remove it first",
			     path);
	else if (rc != 0 && msg->text[0] == '\0')
		rc = err_set(msg, rc, "%s: %s", mkfs->store, err_str(rc));
	if (io != NULL)
		io->ops->close(io);
	mem_free(path);
	return rc;
}

int cmd_mkfs(int argc, char **argv)
{
	struct mkfs mkfs = {.metric = ANN_COSINE};
	struct err_msg msg = {{0}};

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(help, stdout);
			return 0;
		}
	}
	if (parse(&mkfs, argc, argv, &msg) != 0) {
		fprintf(stderr, "vecfs: %s\n", msg.text);
		return EXIT_USAGE;
	}
	if (create(&mkfs, &msg) != 0) {
		fprintf(stderr, "vecfs: %s\n", msg.text);
		return 1;
	}
	return 0;
}
