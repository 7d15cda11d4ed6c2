/* cmd_progress.c - the line that shows how far a long command is, and what it says meanwhile. */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/text.h"
#include "store/err.h"
#include "store/mem.h"

#define LINE_BYTES 192

bool cmd_has_terminal(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDERR_FILENO) != 0 && (kind == NULL || strcmp(kind, "dumb") != 0);
}

/* A line that the terminal breaks could not be written over: it is cut. It is all ASCII. */
static void show(struct cmd_progress *progress, const char *line)
{
	struct winsize size = {0};
	int room = 80;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		room = size.ws_col;
	fprintf(stderr, "\r\033[K%.*s", room - 1, line);
	fflush(stderr);
	progress->line_is_open = true;
}

void cmd_show_progress(struct cmd_progress *progress, const char *what, uint64_t done,
		       uint64_t total)
{
	char line[LINE_BYTES];

	if (!progress->terminal)
		return;
	snprintf(line, sizeof(line), "%s: %" PRIu64 " of %" PRIu64 " (%.0f %%)", what, done, total,
		 total > 0 ? 100.0 * (double)done / (double)total : 100.0);
	show(progress, line);
}

void cmd_show_bar(struct cmd_progress *progress, double share, const char *text)
{
	static const char full[] = "##########", empty[] = "..........";
	const int width = (int)sizeof(full) - 1;
	int n = share < 0 ? 0 : share > 1 ? width : (int)(share * width);
	char line[LINE_BYTES];

	if (!progress->terminal)
		return;
	snprintf(line, sizeof(line), "[%.*s%.*s] %3.0f %%  %s", n, full, width - n, empty,
		 100 * share, text);
	show(progress, line);
}

void cmd_end_progress(struct cmd_progress *progress)
{
	if (progress->line_is_open)
		fputs("\r\033[K", stderr);
	progress->line_is_open = false;
}

void cmd_say(struct cmd_progress *progress, const char *prefix, const char *text)
{
	struct text line;
	char *bytes = NULL;
	size_t len;

	cmd_end_progress(progress);
	text_init(&line, 256);
	text_escaped(&line, text, strlen(text)); /* ids of a damaged store may hold anything */
	if (text_take(&line, &bytes, &len) == 0)
		printf("%s: %s\n", prefix, bytes);
	else
		printf("%s: %s\n", prefix, err_str(ERR_NOMEM));
	mem_free(bytes);
}
