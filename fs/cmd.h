/*
 * cmd.h - the commands beside mounting. Each takes its own name as argv[0], prints what it has to
 * say, and returns the exit code; EXIT_USAGE after one line on stderr when it was called wrongly.
 */
#ifndef VECFS_FS_CMD_H
#define VECFS_FS_CMD_H

#include <stdbool.h>
#include <stdint.h>

struct err_msg;

#define EXIT_USAGE 2
/* As fsck(8). */
#define EXIT_CLEAN 0
#define EXIT_DAMAGED 4
#define EXIT_CANNOT_RUN 8

int cmd_mkfs(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_wal(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_compress(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_export(int argc, char **argv);

/*
 * For commands that take one operand: prints help and returns 0 when asked for it, refuses what it
 * does not know. Returns -1 when *operand_out is set and the command shall run. ignored: letters of
 * options that change nothing here, as fsck(8) gives them.
 */
int cmd_one_operand(int argc, char **argv, const char *help, const char *ignored,
		    const char **operand_out);

/*
 * For ERR_BUSY: says in msg where the store is mounted, if it is, and what to do. Returns rc, which is
 * passed on as it is when it is another.
 */
int cmd_explain_busy(const char *path, int rc, struct err_msg *msg);

/*
 * Progress of long work, for store_progress: a line on stderr that is written over, when stderr is a
 * terminal that can do so. It is cut to the terminal's width. Zeroed and with terminal set, from
 * cmd_has_terminal, before its use.
 */
struct cmd_progress {
	bool terminal;
	bool line_is_open; /* a line stands there */
};
bool cmd_has_terminal(void);
void cmd_show_progress(struct cmd_progress *progress, const char *what, uint64_t done,
		       uint64_t total);
/* The same as a bar, for share 0 ... 1, with a text behind it. */
void cmd_show_bar(struct cmd_progress *progress, double share, const char *text);
void cmd_end_progress(struct cmd_progress *progress);
/* A line of its own on stdout, "prefix: text", with control bytes of the text escaped. */
void cmd_say(struct cmd_progress *progress, const char *prefix, const char *text);

/*
 * From now on SIGINT, SIGTERM and SIGHUP only make cmd_stopped true, unless they were set to be
 * ignored: for work that is to end in order. A pipe that nobody reads any more and the limit on the
 * size of files are errors of the write.
 */
void cmd_catch_signals(void);
bool cmd_stopped(void);

/* Says on stderr what is wrong with the arguments and the first line of help; returns EXIT_USAGE. */
int cmd_refuse(const char *help, const char *what, const char *word);

/*
 * Gives a file its name, which nothing may have; false with errno EEXIST or another. Where files have
 * one name alone it loses the first, else the caller removes that.
 */
bool cmd_name_file(const char *temp, const char *path);
/* For a file that came into being or got another name: makes that durable. path is absolute. */
int cmd_sync_directory(const char *path);

/*
 * Waits, 15 seconds at most, while the daemon of a mount that is gone still closes the store. Returns
 * at once when the store is free or mounted, and when anything else is wrong: the caller finds out.
 */
void cmd_wait_closed(const char *path);

#endif
