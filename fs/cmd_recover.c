/*
 * cmd_recover.c - `vecfs recover STORE OUT`: saves what can be read of a damaged store into a new one.
 */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ann/ann.h"
#include "ann/validate.h"
#include "fs/cmd_output.h"
#include "fs/memory.h"
#include "store/salvage.h"

static const char help[] =
	"usage: vecfs recover STORE OUT\n"
	"\n"
	"Reads what can still be read of the store STORE, which may be damaged anywhere and must not be\n"
	"mounted, and saves it into the new store OUT. STORE is not changed, an existing OUT not\n"
	"overwritten. What is lost is listed. Exit code: 0 all vectors are saved, 4 something is lost or\n"
	"cannot be verified, 8 could not run; then there is no OUT.\n";

struct recover {
	struct cmd_output output;
	struct err_msg *msg;
	uint64_t cache_bytes;
	enum ann_metric metric;
};

static int begin(void *ctx, const struct store_geometry *geometry)
{
	struct recover *recover = ctx;

	recover->metric = (enum ann_metric)geometry->kind;
	return cmd_output_create(&recover->output, geometry, recover->cache_bytes, recover->msg);
}

static int save(void *ctx, const struct salvage_vector *vector)
{
	struct recover *recover = ctx;
	uint32_t dim = vector->size / (uint32_t)sizeof(float);

	if (ann_validate_id(vector->entry.id, vector->entry.id_len, NULL) != 0)
		return ERR_EXISTS; /* no name of a file: another is made up */
	if (validate_vector(dim, recover->metric, vector->value, dim, NULL) != 0)
		return ERR_INVALID;
	return cmd_output_put(&recover->output, &vector->entry, vector->value, vector->size,
			      &vector->xattrs, recover->msg);
}

static void show(void *ctx, bool loss, const char *text)
{
	struct recover *recover = ctx;

	cmd_say(&recover->output.progress, loss ? "lost" : "remark", text);
}

static void show_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	struct recover *recover = ctx;

	cmd_show_progress(&recover->output.progress, what, done, total);
}

static void show_summary(const char *path, const char *out, const struct salvage_report *report)
{
	printf("%s: %" PRIu64 " vectors saved in %s", path, report->saved, out);
	if (report->older > 0)
		printf(", %" PRIu64 " of them in an older version", report->older);
	if (report->unnamed > 0)
		printf(", %" PRIu64 " of them under another name", report->unnamed);
	if (report->lost > 0)
		printf(", %" PRIu64 " known to be lost", report->lost);
	printf("%s\n", report->losses == 0 ? "; nothing is lost" : "");
}

static int64_t now_ns(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_REALTIME, &now); /* this clock is always there */
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int recover_store(const char *path, struct recover *recover, struct salvage_report *report)
{
	struct salvage_calls calls = {
		.ctx = recover,
		.begin = begin,
		.vector = save,
		.say = show,
		.progress = show_progress,
		.unnamed = {.mode = 0600, .uid = getuid(), .gid = getgid(), .mtime_ns = now_ns()},
	};
	struct store_io *io = NULL;
	uint64_t bytes;
	int rc = io_posix_new(path, &io, recover->msg);

	if (rc == 0)
		rc = salvage_run(io, &calls, recover->cache_bytes, report, recover->msg);
	rc = cmd_explain_busy(path, rc, recover->msg);
	if (rc == 0)
		rc = cmd_output_finish(&recover->output, &bytes, recover->msg);
	if (io != NULL)
		io->ops->close(io);
	return rc;
}

int cmd_recover(int argc, char **argv)
{
	struct salvage_report report = {0};
	struct err_msg msg = {{0}};
	struct recover recover = {.msg = &msg,
				  .cache_bytes = memory_auto_cache(memory_usable()) / 2};
	const char *operands[2];
	int rc = cmd_output_operands(argc, argv, help, operands, NULL);

	if (rc >= 0)
		return rc;
	rc = cmd_output_prepare(&recover.output, operands[1], &msg);
	if (rc == 0) {
		cmd_wait_closed(operands[0]);
		rc = recover_store(operands[0], &recover, &report);
	}
	cmd_end_progress(&recover.output.progress);
	cmd_output_release(&recover.output);
	if (rc != 0) {
		fprintf(stderr, "vecfs: %s\n", msg.text[0] != '\0' ? msg.text : err_str(rc));
		return EXIT_CANNOT_RUN;
	}
	show_summary(operands[0], operands[1], &report);
	return report.losses > 0 ? EXIT_DAMAGED : EXIT_CLEAN;
}
