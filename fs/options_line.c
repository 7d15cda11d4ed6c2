/*
 * options_line.c - the command line of a mount: words, letters and lists of options.
 */
#include "fs/options.h"

#include <string.h>

#include "store/mem.h"

/* Cuts "name=value" in place. */
static int set_pair(struct options *options, char *pair, struct err_msg *msg)
{
	char *equals = strchr(pair, '=');

	if (equals != NULL)
		*equals = '\0';
	return options_set(options, pair, equals != NULL ? equals + 1 : NULL, msg);
}

/* The argument of -o: pairs between commas; a backslash takes the next character as it is. */
static int set_list(struct options *options, const char *list, struct err_msg *msg)
{
	char *copy = mem_strdup(list), *pair = copy, *to = copy;
	int rc = 0;

	if (copy == NULL)
		return err_set(msg, ERR_NOMEM, "-o: %s", err_str(ERR_NOMEM));
	for (const char *from = list; rc == 0; from++) {
		if (*from != ',' && *from != '\0') {
			if (*from == '\\' && from[1] != '\0')
				from++;
			*to++ = *from;
			continue;
		}
		*to++ = '\0';
		if (*pair != '\0')
			rc = set_pair(options, pair, msg);
		pair = to;
		if (*from == '\0')
			break;
	}
	mem_free(copy);
	return rc;
}

static int set_long(struct options *options, const char *argument, struct err_msg *msg)
{
	char *copy = mem_strdup(argument);
	int rc;

	if (copy == NULL)
		return err_set(msg, ERR_NOMEM, "--%.64s: %s", argument, err_str(ERR_NOMEM));
	rc = set_pair(options, copy, msg);
	mem_free(copy);
	return rc;
}

static int set_short(struct options *options, const char *argument, struct err_msg *msg)
{
	for (const char *c = argument; *c != '\0'; c++) {
		switch (*c) {
		case 'f':
			options->foreground = true;
			break;
		case 'd':
			options->debug = true;
			options->foreground = true;
			break;
		case 's':
			options->single_thread = true;
			break;
		default:
			return err_set(msg, ERR_INVALID,
				       "unknown option -%c; vecfs --help lists them", *c);
		}
	}
	return 0;
}

/* Letters as mount(8) gives them to its helpers: sloppy, no mtab, verbose, fake. */
static int set_helper_short(struct options *options, const char *argument, struct err_msg *msg)
{
	for (const char *c = argument; *c != '\0'; c++) {
		if (strchr("snvrw", *c) == NULL && *c != 'f')
			return err_set(msg, ERR_INVALID, "unknown option -%c of mount", *c);
		if (*c == 'f')
			options->fake = true;
		if (*c == 'r')
			options->fs.read_only = true;
	}
	return 0;
}

static int set_operand(struct options *options, const char *operand, struct err_msg *msg)
{
	if (options->fs.store_path == NULL)
		options->fs.store_path = operand;
	else if (options->fs.mountpoint == NULL)
		options->fs.mountpoint = operand;
	else
		return err_set(msg, ERR_INVALID,
			       "one argument too many: %.200s; expected STORE MOUNTPOINT", operand);
	return 0;
}

/* An argument that follows its letter, or is the next word. NULL when there is none. */
static const char *argument_of(int argc, char **argv, int *at)
{
	if (argv[*at][2] != '\0')
		return argv[*at] + 2;
	return *at + 1 < argc ? argv[++*at] : NULL;
}

static int parse_words(int argc, char **argv, bool helper, struct options *options,
		       struct err_msg *msg)
{
	bool only_operands = false;
	int rc = 0;

	for (int at = 1; at < argc && rc == 0; at++) {
		const char *word = argv[at];

		if (only_operands || word[0] != '-' || word[1] == '\0') {
			rc = set_operand(options, word, msg);
		} else if (strcmp(word, "--") == 0) {
			only_operands = true;
		} else if (word[1] == '-') {
			rc = set_long(options, word + 2, msg);
		} else if (word[1] == 'o') {
			const char *list = argument_of(argc, argv, &at);

			rc = list != NULL ? set_list(options, list, msg) :
					    err_set(msg, ERR_INVALID, "-o needs a list of options");
		} else if (helper && (word[1] == 't' || word[1] == 'N')) {
			(void)argument_of(argc, argv, &at); /* the type is ours already */
		} else {
			rc = helper ? set_helper_short(options, word + 1, msg) :
				      set_short(options, word + 1, msg);
		}
	}
	return rc;
}

int options_parse(int argc, char **argv, bool helper, struct options *options_out,
		  struct err_msg *msg)
{
	struct options *options = options_out;
	int rc;

	*options = (struct options){0};
	options->fs.metric = ANN_COSINE;
	options->fs.cache_auto = true;
	options->fs.durability = WAL_LOG;
	text_init(&options->fuse, 128);
	rc = parse_words(argc, argv, helper, options, msg);
	if (rc != 0)
		return rc;
	if (options->fs.store_path == NULL || options->fs.mountpoint == NULL)
		return err_set(msg, ERR_INVALID,
			       "%s is missing; usage: vecfs STORE MOUNTPOINT [-o OPTION,...]",
			       options->fs.store_path == NULL ? "STORE" : "MOUNTPOINT");
	if (options->recover_prefix && !options->fs.read_only)
		return err_set(
			msg, ERR_INVALID,
			"recover=prefix only reads: give ro with it, as -o ro,recover=prefix");
	if (options->fs.allow_other) {
		options_add_fuse(options, "allow_other", NULL);
		options_add_fuse(options, "default_permissions", NULL);
	}
	return options->fuse.err != 0 ?
		       err_set(msg, options->fuse.err, "options: %s", err_str(options->fuse.err)) :
		       0;
}
