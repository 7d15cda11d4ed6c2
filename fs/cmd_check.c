/*
 * cmd_check.c - `vecfs check STORE`: verifies everything in a store that is not mounted.
 */
#include "fs/cmd.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "ann/ann.h"
#include "store/base.h"
#include "store/io.h"
#include "store/store.h"

static const char help[] =
	"usage: vecfs check STORE\n"
	"\n"
	"Reads everything in a store that is not mounted, or only read-only, and verifies it. Changes\n"
	"nothing. Each finding says where it is and what to do. Progress is shown on a terminal. The options\n"
	"of fsck(8) -a, -p, -y, -n and -f are accepted and change nothing.\n"
	"\n"
	"Exit code: 0 clean, 4 damage found, 8 could not run.\n";

static void show_finding(void *ctx, bool damage, const char *text)
{
	cmd_say(ctx, damage ? "damage" : "remark", text);
}

static void show_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	cmd_show_progress(ctx, what, done, total);
}

/* A vector with a number that is none could never have been accepted. */
static bool is_bad(void *ctx, const void *value, uint32_t size)
{
	const uint8_t *bytes = value;

	(void)ctx;
	for (uint32_t at = 0; at + 4 <= size; at += 4)
		if ((get_u32(bytes + at) & 0x7f800000u) == 0x7f800000u) /* infinite, or no number */
			return true;
	return false;
}

static bool is_bad_id(void *ctx, const char *id, size_t len)
{
	(void)ctx;
	return ann_validate_id(id, len, NULL) != 0;
}

static void show_summary(const char *path, const struct store_check_report *report)
{
	printf("%s: %" PRIu64 " vectors, %" PRIu64 " pages, %" PRIu64 " bytes, %" PRIu64
	       " log records: ",
	       path, report->vectors, report->pages, report->bytes, report->log_records);
	if (report->damages == 0)
		printf("clean");
	else
		printf("%" PRIu64 " damaged", report->damages);
	if (report->remarks > 0)
		printf(", %" PRIu64 " remarks", report->remarks);
	printf("\n");
}

int cmd_check(int argc, char **argv)
{
	static const struct store_judge judge = {.value_bad = is_bad, .id_bad = is_bad_id};
	struct cmd_progress progress = {.terminal = cmd_has_terminal()};
	struct store_check_report report = {0};
	struct store_io *io = NULL;
	struct err_msg msg = {{0}};
	const char *path;
	int rc = cmd_one_operand(argc, argv, help, "apynfvCMrRTV", &path);

	if (rc >= 0)
		return rc;
	cmd_wait_closed(path);
	rc = io_posix_new(path, &io, &msg);
	if (rc == 0)
		rc = store_check(io, &judge, show_finding, show_progress, &progress, &report, &msg);
	cmd_end_progress(&progress);
	rc = cmd_explain_busy(path, rc, &msg);
	if (io != NULL)
		io->ops->close(io);
	if (rc != 0) {
		fprintf(stderr, "vecfs: %s\n", msg.text[0] != '\0' ? msg.text : err_str(rc));
		return EXIT_CANNOT_RUN;
	}
	show_summary(path, &report);
	return report.damages > 0 ? EXIT_DAMAGED : EXIT_CLEAN;
}
