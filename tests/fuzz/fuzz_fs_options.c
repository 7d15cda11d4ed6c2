/*
 * The command line of a mount, as words and as lists of options; sizes and numbers. What is taken is
 * within its bounds, what is refused has a sentence, and nobody writes to the words.
 */
#include "fs/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define WORDS 12

static void check_taken(const struct options *options)
{
	const struct fs_opts *fs = &options->fs;

	FUZZ_ASSERT(fs->store_path != NULL && fs->mountpoint != NULL);
	FUZZ_ASSERT(fs->dim <= ANN_DIM_MAX && fs->effort <= ANN_EFFORT_MAX);
	FUZZ_ASSERT(fs->threads <= OPTIONS_THREADS_MAX);
	FUZZ_ASSERT(fs->code_bits == 0 || fs->code_bits == 1 || fs->code_bits == 2 ||
		    fs->code_bits == 4 || fs->code_bits == 8);
	FUZZ_ASSERT(fs->cache_auto ? fs->cache_bytes == 0 :
				     fs->cache_bytes >= OPTIONS_CACHE_MIN &&
					     fs->cache_bytes <= OPTIONS_CACHE_MAX);
	FUZZ_ASSERT(fs->read_only || !options->recover_prefix);
	FUZZ_ASSERT(options->fuse.err == 0 && strlen(options->fuse.at) == options->fuse.len);
}

static void check_line(char **argv, int argc, bool helper)
{
	struct options options;
	struct err_msg msg = {""};
	int err = options_parse(argc, argv, helper, &options, &msg);

	FUZZ_ASSERT(err == 0 || (err == ERR_INVALID && msg.text[0] != '\0'));
	if (err == 0)
		check_taken(&options);
	options_release(&options);
}

/* A list that is given to libfuse reads there as what was meant: commas in values are escaped. */
static void check_fuse(const char *word)
{
	struct options options = {0};
	size_t i = 0;

	text_init(&options.fuse, 8);
	options_add_fuse(&options, "fsname", word);
	FUZZ_ASSERT(options.fuse.err == 0 && memcmp(options.fuse.at, ",fsname=", 8) == 0);
	for (size_t at = 8; at < options.fuse.len; at++, i++) {
		FUZZ_ASSERT(options.fuse.at[at] != ',');
		if (options.fuse.at[at] == '\\')
			at++;
		FUZZ_ASSERT(options.fuse.at[at] == word[i]);
	}
	FUZZ_ASSERT(word[i] == '\0');
	options_release(&options);
}

static void check_numbers(const char *word)
{
	char text[32];
	uint64_t value, again;

	if (options_parse_number(word, &value)) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
		FUZZ_ASSERT(options_parse_number(text, &again) && again == value);
	}
	if (options_parse_size(word, &value)) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
		FUZZ_ASSERT(options_parse_size(text, &again) && again == value);
	}
}

/* The words lie between zero bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS + 1] = {(char *)"vecfs"};
	struct fuzz_input in = {data, size};
	bool helper = fuzz_u8(&in) % 2 == 1;
	int argc = 1;

	while (in.left > 0 && argc < WORDS) {
		size_t len = strnlen((const char *)in.at, in.left), skipped;
		char *word = malloc(len + 1);

		memcpy(word, in.at, len);
		word[len] = '\0';
		argv[argc++] = word;
		(void)fuzz_bytes(&in, len + 1, &skipped);
	}
	check_line(argv, argc, helper);
	for (int i = 1; i < argc; i++) {
		check_fuse(argv[i]);
		check_numbers(argv[i]);
		free(argv[i]);
	}
	return 0;
}
