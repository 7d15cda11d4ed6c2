/*
 * mount.c - the life of a mount, from the command line to the last checkpoint.
 *
 * The order: options and paths are judged; a dead mount of ours is detached; the process forks; the
 * child opens the store (making it when it is missing), then the collection, then the session, and
 * mounts, and serves; at the kernel's first request (op_init) the parent leaves. Everything is taken
 * down in the reverse order.
 *
 * A store that was made for a mount which never came about is removed, unless anybody else has opened
 * it for writing or anything was written to it. It is locked meanwhile.
 *
 * Invariant: the program never opens a path below its own mount point.
 */
#include "fs/mount.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/daemon.h"
#include "fs/fs.h"
#include "fs/memory.h"
#include "fs/mount_point.h"
#include "fs/mount_session.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "store/mem.h"

/* A daemon that was unmounted may need a while for its last checkpoint. */
#define BUSY_TRIES 300
#define BUSY_PAUSE_NS (50 * 1000 * 1000)
#define MAKE_TRIES 20
#define BUSY_SAID 20 /* tries after which the user is told */

struct mount {
	struct options options;
	char *store_path, *mountpoint; /* owned; absolute */
	struct daemon daemon;
	struct store_io *io;
	struct store *store;
	struct ann *ann;
	struct fs fs;
	bool fs_ready;
	bool made;		/* the store, by this mount */
	struct err_msg indexed; /* what opening the collection had to say, or empty */
};

/* A failure that came without a sentence gets one. */
static int explain(int rc, const char *what, struct err_msg *msg)
{
	if (rc != 0 && msg->text[0] == '\0')
		return err_set(msg, rc, "%s: %s", what, err_str(rc));
	return rc;
}

/* --- the store --- */

static void close_io(struct mount *mount)
{
	if (mount->io != NULL)
		mount->io->ops->close(mount->io);
	mount->io = NULL;
}

/*
 * Removes a store that this mount made, when it is of no use to anybody. mount->io still has it locked.
 * What cannot be removed is an empty store: no harm.
 */
static void remove_store(struct mount *mount, bool with_log)
{
	struct store_io *io = mount->io;
	uint64_t *seqs = NULL;
	size_t n = 0;
	int rc = with_log ? io->ops->log_list(io, &seqs, &n) : 0;

	for (size_t i = n; rc == 0 && i-- > 0;)
		rc = io->ops->log_remove(io, seqs[i]);
	mem_free(seqs);
	if (rc == 0)
		(void)io->ops->remove(io);
}

static int create_store(struct mount *mount, struct err_msg *msg)
{
	const struct fs_opts *opts = &mount->fs.opts;
	struct store_geometry geometry = {
		.value_size = opts->dim * (uint32_t)sizeof(float),
		.kind = (uint32_t)opts->metric,
	};
	int rc = io_posix_new(mount->store_path, &mount->io, msg);

	if (rc == 0)
		rc = store_create(mount->io, &geometry, msg);
	mount->made = rc == 0;
	close_io(mount);
	return rc;
}

/* What the store has to say while it is open, from any thread. */
static void pass_notice(void *ctx, const char *sentence)
{
	struct mount *mount = ctx;

	status_notice(&mount->fs, "store", mount->store_path, sentence);
}

static int try_open(struct mount *mount, struct err_msg *msg)
{
	const struct fs_opts *opts = &mount->fs.opts;
	struct store_opts store_opts = {
		.cache_bytes = opts->cache_bytes,
		.durability = opts->durability,
		.read_only = opts->read_only,
		.recover_prefix = mount->options.recover_prefix,
		.background = true,
		.notice = pass_notice,
		.notice_ctx = mount,
	};
	struct store_open_report report = {0};
	int rc;

	msg->text[0] = '\0';
	rc = io_posix_new(mount->store_path, &mount->io, msg);
	mount->fs.io = mount->io;
	if (rc == 0) {
		const uint64_t memory = memory_usable();

		/* half of what is left: codes and the rest need room too */
		io_posix_set_kernel_cache(mount->io, memory > opts->cache_bytes ?
							     (memory - opts->cache_bytes) / 2 :
							     0);
		rc = store_open(mount->io, &store_opts, &mount->store, &report, msg);
	}
	if (rc == 0) {
		mount->fs.opened = report;
		return 0;
	}
	if (mount->made && report.fresh)
		remove_store(mount, true);
	close_io(mount);
	return rc;
}

/*
 * ERR_BUSY is final when the store is mounted; otherwise whoever has it is about to finish: the
 * daemon of a mount that is gone, or a check.
 */
static int wait_to_open(struct mount *mount, struct err_msg *msg)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
	struct mount_point_entry entry;
	int rc;

	for (int tries = 0; (rc = try_open(mount, msg)) == ERR_BUSY; tries++) {
		if (mount_point_find(NULL, mount->store_path, &entry))
			return err_set(
				msg, ERR_BUSY,
				"the store %s is already mounted at %.200s; unmount it there "
				"first (EBUSY)",
				mount->store_path, entry.mountpoint);
		if (tries == BUSY_TRIES)
			return err_set(
				msg, ERR_BUSY,
				"the store %s is in use by another process, which does not end; "
				"end it first (EBUSY)",
				mount->store_path);
		if (mount_session_is_ending())
			return err_set(msg, ERR_INTERRUPTED,
				       "interrupted while the store %s was in use by another "
				       "process",
				       mount->store_path);
		if (tries == BUSY_SAID)
			daemon_say(&mount->daemon, "the store is in use; waiting for it");
		(void)nanosleep(&pause, NULL);
	}
	return rc;
}

/* Dimension and metric as the store has them; options that say otherwise are refused. */
static int adopt_geometry(struct mount *mount, struct err_msg *msg)
{
	struct fs_opts *opts = &mount->fs.opts;
	uint32_t dim = store_value_size(mount->store) / (uint32_t)sizeof(float);
	enum ann_metric metric = (enum ann_metric)store_kind(mount->store);

	if (dim != 0 && opts->dim != 0 && opts->dim != dim)
		return err_set(msg, ERR_INVALID,
			       "dim=%" PRIu32 " was asked for, but the store %s has dim=%" PRIu32
			       "; leave dim out, or mount another store",
			       opts->dim, mount->store_path, dim);
	if (mount->options.metric_given && opts->metric != metric)
		return err_set(msg, ERR_INVALID,
			       "metric=%s was asked for, but the store %s has metric=%s, which is "
			       "fixed; leave metric out, or mount another store",
			       ann_metric_name(opts->metric), mount->store_path,
			       ann_metric_name(metric));
	if (dim != 0)
		opts->dim = dim;
	opts->metric = metric;
	return 0;
}

/* Another mount of a store that is not there may make it, and remove it again, at the same time. */
static int open_store(struct mount *mount, struct err_msg *msg)
{
	int rc = wait_to_open(mount, msg);

	if (rc == ERR_ABSENT && mount->fs.opts.read_only)
		return err_set(msg, ERR_ABSENT,
			       "there is no store %s, and ro makes none; mount it once without ro",
			       mount->store_path);
	for (int tries = 0; rc == ERR_ABSENT && tries < MAKE_TRIES; tries++) {
		msg->text[0] = '\0';
		rc = create_store(mount, msg);
		if (rc != 0 && rc != ERR_EXISTS)
			break;
		rc = wait_to_open(mount, msg);
	}
	return rc == 0 ? adopt_geometry(mount, msg) : explain(rc, mount->store_path, msg);
}

/* --- the stack --- */

static int open_collection(struct mount *mount, struct err_msg *msg)
{
	const struct fs_opts *opts = &mount->fs.opts;
	struct ann_opts ann_opts = {
		.effort = opts->effort,
		.threads = opts->threads,
		.code_bits = opts->code_bits,
		.code_room = memory_code_room(memory_usable(), opts->cache_bytes),
		.background = !opts->read_only,
	};
	int rc = ann_open(mount->store, &ann_opts, &mount->ann, &mount->indexed, msg);

	return explain(rc, mount->store_path, msg);
}

/* What opening had to say, into status/errors and to whoever started us. */
static void pass_on(struct mount *mount, const char *operation, const struct err_msg *note)
{
	if (note->text[0] == '\0')
		return;
	status_notice(&mount->fs, operation, mount->store_path, note->text);
}

static int open_fs(struct mount *mount, struct err_msg *msg)
{
	struct fs *fs = &mount->fs;
	int rc;

	fs->ann = mount->ann;
	fs->store = mount->store;
	fs->uid = geteuid();
	fs->gid = getegid();
	fs->start_ns = mount->io->ops->now_ns(mount->io, STORE_CLOCK_REALTIME);
	pass_on(mount, "recover", &fs->opened.note);
	pass_on(mount, "index", &mount->indexed);
	rc = mount_session_open(fs, &mount->options, msg);
	if (rc != 0)
		return rc;
	rc = fs_init(fs);
	mount->fs_ready = rc == 0;
	if (rc == ERR_AGAIN)
		return err_set(msg, rc, "there is no thread for notices to the kernel; %s",
			       MOUNT_SESSION_MORE_THREADS);
	return explain(rc, "cannot start", msg);
}

static int attach(struct mount *mount, struct err_msg *msg)
{
	struct err_msg note;
	int rc = mount_session_attach(&mount->fs, mount->options.debug, &note, msg);

	if (rc == 0 && note.text[0] != '\0')
		daemon_say(&mount->daemon, note.text);
	return rc;
}

static int open_all(struct mount *mount, struct err_msg *msg)
{
	int rc = status_new(&mount->fs.status);

	mount->fs.daemon = &mount->daemon;
	if (rc != 0)
		return explain(rc, "status", msg);
	rc = open_store(mount, msg);
	if (rc == 0)
		rc = open_collection(mount, msg);
	if (rc == 0)
		rc = open_fs(mount, msg);
	if (rc == 0)
		rc = attach(mount, msg);
	return rc;
}

/* Whether the store was made for nothing. */
static bool made_in_vain(struct mount *mount)
{
	struct store_stats stats = {0};

	if (!mount->made || mount->store == NULL || !mount->fs.opened.fresh ||
	    atomic_load(&mount->daemon.ready))
		return false;
	store_get_stats(mount->store, &stats);
	return stats.last_lsn == 0 && stats.live == 0;
}

/* The first failure is returned, but all is closed. */
static int close_all(struct mount *mount)
{
	bool in_vain = made_in_vain(mount);
	int rc, rc_store = 0;

	if (mount->fs_ready)
		fs_release(&mount->fs);
	mount_session_close(&mount->fs);
	rc = ann_close(mount->ann);
	if (mount->store != NULL && mount->fs.opts.read_only)
		store_abandon(mount->store);
	else
		rc_store = store_close(mount->store);
	if (in_vain && rc == 0 && rc_store == 0)
		remove_store(mount, false); /* closed in order, it has no log */
	close_io(mount);
	status_free(mount->fs.status);
	return rc != 0 ? rc : rc_store;
}

/* Returns the exit code. */
static int serve(struct mount *mount)
{
	struct err_msg msg = {{0}};
	char last[160];
	int rc, rc_close;
	bool served = false;

	mount_session_block_signals();
	daemon_settle();
	rc = open_all(mount, &msg);
	if (rc == 0) {
		served = true;
		daemon_harden();
		rc = mount_session_run(&mount->fs, &mount->options, &msg);
		daemon_notify("STOPPING=1");
	}
	rc_close = close_all(mount);
	/* told after all is taken down, so that who hears it can try again */
	if (rc != 0)
		daemon_fail(&mount->daemon, msg.text);
	if (served && rc_close != 0) {
		snprintf(
			last, sizeof(last), "the last checkpoint failed: %s; %s", err_str(rc_close),
			mount->options.fs.durability == WAL_NONE ?
				"there is no log (durability=none), what came after the one before "
				"is lost" :
				"the log has everything, and the next mount replays it");
		daemon_fail(&mount->daemon, last);
	}
	return rc != 0 || rc_close != 0 ? 1 : 0;
}

/* --- before the fork --- */

static int settle_paths(struct mount *mount, struct err_msg *msg)
{
	struct options *options = &mount->options;
	bool detached = false;
	int rc = mount_point_resolve(options->fs.store_path, &mount->store_path, msg);

	if (rc == 0)
		rc = mount_point_resolve(options->fs.mountpoint, &mount->mountpoint, msg);
	if (rc == 0)
		rc = mount_point_check_apart(mount->store_path, mount->mountpoint, msg);
	if (rc == 0 && !options->fs.read_only)
		rc = mount_point_check_store(mount->store_path, msg);
	if (rc == 0)
		rc = mount_point_prepare(mount->mountpoint, options->fake ? NULL : &detached, msg);
	if (detached)
		fprintf(stderr, "vecfs: %s: detached the mount that a dead daemon left here\n",
			mount->mountpoint);
	return rc;
}

static int settle_options(struct mount *mount, struct err_msg *msg)
{
	struct options *options = &mount->options;

	options_add_fuse(options, "subtype", "vecfs");
	options_add_fuse(options, "fsname",
			 options->fsname != NULL ? options->fsname : mount->store_path);
	if (options->fs.read_only)
		options_add_fuse(options, "ro", NULL);
	if (options->fuse.err != 0)
		return err_set(msg, options->fuse.err, "options: %s", err_str(options->fuse.err));
	mount->fs.opts = options->fs;
	mount->fs.opts.store_path = mount->store_path;
	mount->fs.opts.mountpoint = mount->mountpoint;
	if (options->fs.cache_auto)
		mount->fs.opts.cache_bytes = memory_auto_cache(memory_usable());
	return 0;
}

int mount_run(int argc, char **argv, bool helper)
{
	struct mount *mount = mem_zalloc(1, sizeof(*mount));
	struct err_msg msg = {{0}};
	int rc, code = 2;

	if (mount == NULL) {
		fprintf(stderr, "vecfs: %s\n", err_str(ERR_NOMEM));
		return 1;
	}
	rc = options_parse(argc, argv, helper, &mount->options, &msg);
	if (rc != 0)
		goto out;
	code = 1;
	rc = settle_paths(mount, &msg);
	if (rc == 0)
		rc = settle_options(mount, &msg);
	if (rc != 0)
		goto out;
	if (mount->options.fake)
		code = 0;
	else if (!daemon_start(&mount->daemon, mount->options.foreground, &code))
		code = serve(mount);
out:
	if (rc != 0)
		fprintf(stderr, "vecfs: %s\n", msg.text);
	options_release(&mount->options);
	mem_free(mount->store_path);
	mem_free(mount->mountpoint);
	mem_free(mount);
	return code;
}
