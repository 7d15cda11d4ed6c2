/*
 * daemon.c - going to the background when the work is ready.
 *
 * What goes through the pipe: one byte, 0 = ready or 1 = failed, and after a 1 the sentence. The
 * end without a byte means that the child died.
 */
#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

enum { STATUS_READY = 0, STATUS_FAILED = 1 };

#define HEAPS 4
#define LARGE_BLOCK (256 << 10) /* bytes */

/* --- the parent --- */

/* Reads to the end or until the buffer is full. */
static size_t read_all(int fd, char *buf, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, buf + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

static int wait_for(int fd, pid_t child)
{
	char said[1024];
	size_t got = read_all(fd, said, sizeof(said) - 1);
	int status = 0;

	if (got > 0 && said[0] == STATUS_READY)
		return 0;
	said[got] = '\0';
	if (got > 1) {
		fprintf(stderr, "vecfs: %s\n", said + 1);
	} else {
		(void)waitpid(child, &status, 0); /* for its last words alone */
		fprintf(stderr,
			"vecfs: the daemon ended before the mount was ready (%s %d); run it with -f to "
			"see more\n",
			WIFSIGNALED(status) ? "signal" : "exit code",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	return 1;
}

bool daemon_start(struct daemon *daemon, bool foreground, int *exit_code_out)
{
	int ends[2];
	pid_t child;

	*daemon = (struct daemon){.pipe = -1};
	if (foreground)
		return false;
	if (pipe2(ends, O_CLOEXEC) != 0) {
		fprintf(stderr, "vecfs: no pipe to the daemon: %s\n", strerror(errno));
		*exit_code_out = 1;
		return true;
	}
	fflush(NULL);
	child = fork();
	if (child < 0) {
		fprintf(stderr, "vecfs: no process for the daemon: %s\n", strerror(errno));
		(void)close(ends[0]);
		(void)close(ends[1]);
		*exit_code_out = 1;
		return true;
	}
	if (child > 0) {
		(void)close(ends[1]);
		*exit_code_out = wait_for(ends[0], child);
		(void)close(ends[0]);
		return true;
	}
	(void)close(ends[0]);
	daemon->pipe = ends[1];
	return false;
}

/* --- the child --- */

void daemon_settle(void)
{
	const struct rlimit none = {0, 0};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	/* Vectors do not belong in core files. A limit that cannot be lowered stays. */
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	(void)umask(077);
	/* Few heaps, and large blocks go back to the system: threads share what little they need. */
	(void)mallopt(M_ARENA_MAX, HEAPS);
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	if (chdir("/") != 0)
		fprintf(stderr, "vecfs: cannot go to /: %s\n", strerror(errno));
}

void daemon_harden(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* Others still need the set-user-ID fusermount3 to unmount. */
	if (geteuid() == 0)
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR);

	(void)setsid(); /* fails only for a group leader, which a forked child is not */
	fflush(NULL);
	if (null < 0)
		return;
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		(void)close(null);
}

bool daemon_ready(struct daemon *daemon)
{
	const char status = STATUS_READY;
	bool heard = true;

	if (daemon->pipe >= 0) {
		leave_terminal();
		daemon->background = true;
		heard = write_all(daemon->pipe, &status, 1);
		(void)close(daemon->pipe);
		daemon->pipe = -1;
	}
	atomic_store(&daemon->ready, heard);
	if (heard)
		daemon_notify("READY=1");
	return heard;
}

void daemon_fail(struct daemon *daemon, const char *sentence)
{
	const char status = STATUS_FAILED;

	if (daemon->pipe < 0) {
		daemon_say(daemon, sentence);
		return;
	}
	/* When the parent is gone, nobody is left to tell. */
	if (write_all(daemon->pipe, &status, 1))
		(void)write_all(daemon->pipe, sentence, strlen(sentence));
	(void)close(daemon->pipe);
	daemon->pipe = -1;
}

void daemon_say(const struct daemon *daemon, const char *sentence)
{
	if (daemon->background)
		syslog(LOG_DAEMON | LOG_ERR, "vecfs: %s", sentence);
	else
		fprintf(stderr, "vecfs: %s\n", sentence);
}

void daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
	    strlen(path) >= sizeof(to.sun_path))
		return;
	len = strlen(path);
	memcpy(to.sun_path, path, len);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0'; /* a name that is no file */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Who does not listen is not told. */
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}
