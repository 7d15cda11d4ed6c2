/*
 * cmd.c - what the commands share: the command line of those that take one operand.
 */
#include "fs/cmd.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The first line of a help text names the command and what it takes. */
static void print_usage(const char *help)
{
	fprintf(stderr, "%.*s\n", (int)strcspn(help, "\n"), help);
}

static bool is_ignored(const char *word, const char *ignored)
{
	return word[0] == '-' && word[1] != '\0' && word[1] != '-' &&
	       strchr(ignored, word[1]) != NULL;
}

int cmd_one_operand(int argc, char **argv, const char *help, const char *ignored,
		    const char **operand_out)
{
	bool only_operands = false;

	*operand_out = NULL;
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (!only_operands && strcmp(word, "--help") == 0) {
			fputs(help, stdout);
			return 0;
		}
		if (!only_operands && strcmp(word, "--") == 0) {
			only_operands = true;
		} else if (!only_operands && word[0] == '-' && word[1] != '\0') {
			if (is_ignored(word, ignored))
				continue;
			fprintf(stderr, "vecfs: unknown option %s; ", word);
			print_usage(help);
			return EXIT_USAGE;
		} else if (*operand_out != NULL) {
			fprintf(stderr, "vecfs: one argument too many: %s; ", word);
			print_usage(help);
			return EXIT_USAGE;
		} else {
			*operand_out = word;
		}
	}
	if (*operand_out != NULL)
		return -1;
	fputs("vecfs: an argument is missing; ", stderr);
	print_usage(help);
	return EXIT_USAGE;
}

int cmd_refuse(const char *help, const char *what, const char *word)
{
	fprintf(stderr, "vecfs: %s%s; %.*s\n", what, word, (int)strcspn(help, "\n"), help);
	return EXIT_USAGE;
}
