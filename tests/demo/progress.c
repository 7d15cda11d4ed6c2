/* progress.c - progress lines of the demo. */
#include "tests/demo/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

void progress_init(struct progress *progress, const char *label, size_t total)
{
	progress->label = label;
	progress->total = total;
	progress->begin = now();
	progress->shown = progress->begin;
}

void progress_show(struct progress *progress, size_t done)
{
	bool terminal = isatty(STDERR_FILENO) == 1;
	double at = now();

	if (at - progress->shown < (terminal ? 0.1 : 5.0))
		return;
	progress->shown = at;
	fprintf(stderr,
		terminal ? "\r  %s: %zu of %zu (%.0f s)\033[K" : "  %s: %zu of %zu (%.0f s)\n",
		progress->label, done, progress->total, at - progress->begin);
}

double progress_release(struct progress *progress)
{
	if (isatty(STDERR_FILENO) == 1)
		fputs("\r\033[K", stderr);
	return now() - progress->begin;
}
