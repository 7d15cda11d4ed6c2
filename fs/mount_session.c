/*
 * mount_session.c - the libfuse session of a mount.
 *
 * How a signal ends it: one thread waits for signals. It ends what must end while requests are
 * still served, tells the session to exit, and wakes the main thread until that has left the loop,
 * so that no signal is lost between a test and a wait.
 *
 * What libfuse and fusermount3 have to say they print on stderr. While a session is made and
 * mounted, stderr is therefore a file in memory, read afterwards; but not with -d.
 */
#define FUSE_USE_VERSION 312

#include "fs/mount_session.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fs/mount_point.h"
#include "fs/ops.h"

/* --- catching what is printed --- */

struct capture {
	int file, stderr_copy;
};

static void capture_begin(struct capture *capture, bool wanted)
{
	*capture = (struct capture){-1, -1};
	if (!wanted)
		return;
	capture->file = memfd_create("stderr", MFD_CLOEXEC);
	if (capture->file < 0)
		return; /* then it goes to the terminal as it is */
	fflush(stderr);
	capture->stderr_copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (capture->stderr_copy >= 0)
		(void)dup2(capture->file, STDERR_FILENO);
}

/* Restores stderr; the lines become one in *said_out. */
static void capture_end(struct capture *capture, struct err_msg *said_out)
{
	ssize_t len = 0;

	said_out->text[0] = '\0';
	fflush(stderr);
	if (capture->stderr_copy >= 0) {
		(void)dup2(capture->stderr_copy, STDERR_FILENO);
		(void)close(capture->stderr_copy);
	}
	if (capture->file < 0)
		return;
	len = pread(capture->file, said_out->text, sizeof(said_out->text) - 1, 0);
	(void)close(capture->file);
	while (len > 0 && said_out->text[len - 1] == '\n')
		len--;
	said_out->text[len > 0 ? len : 0] = '\0';
	for (char *c = said_out->text; *c != '\0'; c++)
		if (*c == '\n')
			*c = ' ';
}

/* --- making and mounting --- */

int mount_session_open(struct fs *fs, const struct options *options, struct err_msg *msg)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct capture capture;
	struct err_msg said;
	bool ok;

	/* The text starts with a comma. */
	ok = fuse_opt_add_arg(&args, "vecfs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
	     fuse_opt_add_arg(&args, options->fuse.len > 0 ? options->fuse.at + 1 : "rw") == 0 &&
	     (!options->debug || fuse_opt_add_arg(&args, "-d") == 0);
	capture_begin(&capture, ok && !options->debug);
	if (ok)
		fs->session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), fs);
	capture_end(&capture, &said);
	fuse_opt_free_args(&args);
	if (fs->session == NULL)
		return err_set(msg, ERR_INVALID, "libfuse refuses the options: %s",
			       said.text[0] != '\0' ? said.text : err_str(ERR_NOMEM));
	return 0;
}

/* libfuse says what failed, but not what to do. */
static int explain_refusal(const char *mountpoint, const struct err_msg *said, struct err_msg *msg)
{
	struct err_msg device;
	const char *reason = said->text[0] != '\0' ? said->text : "libfuse gave no reason";
	const char *remedy = "";

	if (mount_point_check_device(MOUNT_POINT_DEVICE, &device) != 0)
		reason = device.text;
	else if (strstr(reason, strerror(EPERM)) != NULL)
		remedy =
			"; expected the right to mount: be root, or have fusermount3 set-user-ID root "
			"(chmod u+s), or start the container with --cap-add SYS_ADMIN";
	return err_set(msg, ERR_PERMISSION, "cannot mount at %.200s: %s%s", mountpoint, reason,
		       remedy);
}

int mount_session_attach(struct fs *fs, bool debug, struct err_msg *note_out, struct err_msg *msg)
{
	struct capture capture;
	int rc;

	capture_begin(&capture, !debug);
	rc = fuse_session_mount(fs->session, fs->opts.mountpoint);
	capture_end(&capture, note_out);
	return rc == 0 ? 0 : explain_refusal(fs->opts.mountpoint, note_out, msg);
}

void mount_session_close(struct fs *fs)
{
	if (fs->session == NULL)
		return;
	fuse_session_unmount(fs->session);
	fuse_session_destroy(fs->session);
	fs->session = NULL;
}

/* --- running --- */

static void ending_signals(sigset_t *set_out)
{
	struct sigaction hangup = {.sa_handler = SIG_DFL};

	sigemptyset(set_out);
	sigaddset(set_out, SIGTERM);
	sigaddset(set_out, SIGINT);
	(void)sigaction(SIGHUP, NULL, &hangup); /* cannot fail with these arguments */
	if (hangup.sa_handler != SIG_IGN)	/* a blocked signal waits though it is ignored */
		sigaddset(set_out, SIGHUP);
}

void mount_session_block_signals(void)
{
	sigset_t set;

	ending_signals(&set);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* cannot fail with these arguments */
}

bool mount_session_is_ending(void)
{
	sigset_t pending;

	sigemptyset(&pending);
	(void)sigpending(&pending); /* cannot fail with this argument */
	return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1 ||
	       sigismember(&pending, SIGHUP) == 1;
}

struct watch {
	pthread_t main;
	struct fs *fs;
	atomic_bool ended; /* the main thread has left the loop */
};

static void do_nothing(int number)
{
	(void)number;
}

static void *watch_signals(void *argument)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	struct watch *watch = argument;
	sigset_t set;
	int number = 0;

	ending_signals(&set);
	(void)sigwait(&set, &number); /* cannot fail with this set */
	if (!atomic_load(&watch->ended)) {
		fs_quiet(watch->fs);
		fuse_session_exit(watch->fs->session);
	}
	while (!atomic_load(&watch->ended)) {
		(void)pthread_kill(watch->main, SIGUSR1);
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

#define LONG_REQUESTS 64u /* that leave others a thread */

/* Threads that are kept: some are free while short searches keep all cores busy. */
static unsigned idle_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores > 1 ? 4 * (unsigned)cores + 2 : 6;
}

#if FUSE_VERSION >= 312
/*
 * A long search keeps its thread, and a batch may have two: that which searches what was written, and
 * the one that waits with the next request. Were there no thread left, nobody else would be answered,
 * and not even an interruption be heard.
 */
static unsigned most_threads(void)
{
	return idle_threads() + LONG_REQUESTS;
}
#endif

/* libfuse before 3.12 has no bound on the threads it starts, and only keeps so many of them. */
static int loop_threaded(struct fuse_session *session, bool clone_fd)
{
#if FUSE_VERSION >= 312
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc;

	if (config == NULL)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, clone_fd ? 1 : 0);
	fuse_loop_cfg_set_max_threads(config, most_threads());
	fuse_loop_cfg_set_idle_threads(config, idle_threads());
	rc = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return rc;
#else
	struct fuse_loop_config config = {
		.clone_fd = clone_fd ? 1 : 0,
		.max_idle_threads = idle_threads(),
	};

	return fuse_session_loop_mt(session, &config);
#endif
}

int mount_session_run(struct fs *fs, const struct options *options, struct err_msg *msg)
{
	struct sigaction wake = {.sa_handler = do_nothing};
	struct watch watch = {.main = pthread_self(), .fs = fs};
	pthread_t watcher;
	int rc;

	(void)sigaction(SIGUSR1, &wake, NULL);
	if (pthread_create(&watcher, NULL, watch_signals, &watch) != 0)
		return err_set(msg, ERR_AGAIN, "there is no thread to wait for signals; %s",
			       MOUNT_SESSION_MORE_THREADS);
	rc = options->single_thread ? fuse_session_loop(fs->session) :
				      loop_threaded(fs->session, options->clone_fd);
	atomic_store(&watch.ended, true);
	(void)pthread_kill(watcher, SIGTERM); /* it may still wait for one */
	(void)pthread_join(watcher, NULL);
	if (rc == -1 || rc == -ENOMEM) /* -1: libfuse has no thread */
		return err_set(msg, ERR_AGAIN,
			       "there is no thread or no memory to serve requests; %s",
			       MOUNT_SESSION_MORE_THREADS);
	if (rc < 0)
		return err_set(msg, ERR_IO, "the connection to the kernel failed: %s",
			       strerror(-rc));
	return 0;
}
