/* cmd_progress.c - the line that shows how far a long command is. */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdio.h>

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

void cmd_end_progress(struct cmd_progress *progress)
{
	if (progress->line_is_open)
		fputs("\r\033[K", stderr);
	progress->line_is_open = false;
}
