/* cmd_progress.c - the line that shows how far a long command is, and what it says meanwhile. */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/text.h"
#include "store/err.h"
#include "store/mem.h"

void cmd_show_progress(struct cmd_progress *progress, const char *what, uint64_t done,
		       uint64_t total)
{
	if (!progress->terminal)
		return;
	fprintf(stderr, "\r\033[K%s: %" PRIu64 " of %" PRIu64 " (%.0f %%)", what, done, total,
		total > 0 ? 100.0 * (double)done / (double)total : 100.0);
	fflush(stderr);
	progress->line_is_open = true;
}

void cmd_show_bar(struct cmd_progress *progress, double share, const char *text)
{
	static const char full[] = "##########", empty[] = "..........";
	const int width = (int)sizeof(full) - 1;
	int n = share < 0 ? 0 : share > 1 ? width : (int)(share * width);

	if (!progress->terminal)
		return;
	fprintf(stderr, "\r\033[K[%.*s%.*s] %3.0f %%  %s", n, full, width - n, empty, 100 * share,
		text);
	fflush(stderr);
	progress->line_is_open = true;
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
