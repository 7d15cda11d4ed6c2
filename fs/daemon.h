/*
 * daemon.h - going to the background when the work is ready, and saying why when it is not.
 *
 * The caller of daemon_start waits in the parent until the child calls daemon_ready or daemon_fail,
 * or dies.
 */
#ifndef VECFS_FS_DAEMON_H
#define VECFS_FS_DAEMON_H

#include <stdatomic.h>
#include <stdbool.h>

struct daemon {
	int pipe;		/* to the waiting parent, or -1 */
	atomic_bool ready;	/* daemon_ready was called and somebody wants the work */
	atomic_bool background; /* stderr leads nowhere any more */
};

/*
 * In the background: forks, and returns true in the parent, with the exit code it shall leave with,
 * once the child said how it went. Everywhere else returns false and the caller goes on. Must be
 * called before any thread is made.
 */
bool daemon_start(struct daemon *daemon, bool foreground, int *exit_code_out);

/* What holds for the whole life: no core dumps; SIGPIPE and SIGXFSZ ignored; the folder is /. */
void daemon_settle(void);
/* What can be given up once the mount stands: being inspected, and gaining privileges. */
void daemon_harden(void);

/*
 * Says that the work is ready, once: detaches from the terminal, lets the parent go, and tells systemd.
 * False when the parent is gone (interrupted): then nobody wants the work any more.
 */
bool daemon_ready(struct daemon *daemon);
/* Gives the sentence to the parent while that waits, which says it; or says it here. */
void daemon_fail(struct daemon *daemon, const char *sentence);
/* A line for whoever may listen: stderr, in the background the system's log. */
void daemon_say(const struct daemon *daemon, const char *sentence);
/* Tells systemd, when it asked. state: such as "READY=1". */
void daemon_notify(const char *state);

#endif
