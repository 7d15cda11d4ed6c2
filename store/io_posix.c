/*
 * io_posix.c - the seam over a POSIX file system: a store is a file, its log lies beside it.
 *
 * Here are making and opening a store, and the surroundings. What is read from and written to the head
 * is in io_posix_head.c and io_posix_ring.c, segments are in io_posix_log.c, the clocks in
 * io_posix_machine.c. Calls on plain files are in io_posix_file.c.
 *
 * The directory is opened once and every name is used relative to it, so that a rename of the
 * directory cannot separate the store from its log.
 *
 * Invariants:
 *  1. A head that exists is whole: it gets its name only after its first bytes are durable.
 *  2. While the head is open it is locked, exclusively if writable. These are open file description
 *     locks: the kernel drops them with the descriptor, whatever ends the process.
 *  3. A head that was removed before its lock was had is not open.
 */
#include "store/io_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/base.h"
#include "store/err.h"
#include "store/mem.h"

#define NAME_BYTES_MAX 255u

/* --- making and opening the head --- */

static struct io_posix *posix_of(struct store_io *io)
{
	return (struct io_posix *)io;
}

static int io_random(struct store_io *io, void *buf, size_t len)
{
	size_t got = 0;

	(void)io; /* the kernel has one source for all */
	while (got < len) {
		ssize_t n = getrandom((char *)buf + got, len - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_posix_class(errno);
		got += (size_t)n;
	}
	return 0;
}

/* Opens the directory of the store, if that was not done before. */
static int open_dir(struct io_posix *p, struct err_msg *msg)
{
	size_t len = (size_t)(p->file - p->path);
	char *dir;
	int ret = 0;

	if (p->dir_fd >= 0)
		return 0;
	dir = mem_strdup(p->path);
	if (dir == NULL)
		return err_set(msg, ERR_NOMEM, "out of memory");
	dir[len] = '\0'; /* keeps the last slash */
	p->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0) {
		ret = io_posix_class(errno);
		(void)err_set(msg, ret, "cannot open the directory %s: %s", dir, err_str(ret));
	}
	mem_free(dir);
	return ret;
}

/* In a directory where anybody may rename our files, a store cannot keep what it promises. */
static int check_dir(const struct io_posix *p, struct err_msg *msg)
{
	struct stat st;
	int ret;

	if (fstat(p->dir_fd, &st) != 0) {
		ret = io_posix_class(errno);
		return err_set(msg, ret, "the directory of %s cannot be looked at: %s", p->path,
			       err_str(ret));
	}
	if ((st.st_mode & S_IWOTH) == 0 || (st.st_mode & S_ISVTX) != 0)
		return 0;
	if (st.st_uid == 0 || st.st_uid == geteuid())
		return 0;
	return err_set(
		msg, ERR_PERMISSION,
		"the directory of %s is writable by everybody and belongs to another user, who "
		"could replace the store or its log: move the store, or chmod o-w or chmod +t "
		"the directory",
		p->path);
}

/* Gives a file its name, which nothing may have. Where files have one name alone it loses the first. */
static int name_file(int dir_fd, const char *temp, const char *name)
{
	if (linkat(dir_fd, temp, dir_fd, name, 0) == 0)
		return 0;
	if ((errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) &&
	    renameat2(dir_fd, temp, dir_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	return io_posix_class(errno);
}

static int head_create(struct store_io *io, const void *bytes, size_t len)
{
	struct io_posix *p = posix_of(io);
	char temp[NAME_BYTES_MAX + 1];
	uint8_t salt[8] = {0};
	int fd = -1;
	int ret;

	ret = open_dir(p, NULL);
	if (ret == 0)
		ret = check_dir(p, NULL);
	if (ret == 0)
		ret = io_random(io, salt, sizeof(salt));
	if (ret != 0)
		return ret;
	/* cannot be cut: the name of a log segment, which is longer, fits */
	(void)snprintf(temp, sizeof(temp), "%s.new-%016llx", p->file,
		       (unsigned long long)get_u64(salt));
	ret = io_posix_open_file(p->dir_fd, temp, IO_POSIX_CREATE, &fd);
	if (ret != 0)
		return ret;
	ret = io_posix_write_at(fd, 0, bytes, len);
	if (ret == 0)
		ret = io_posix_sync_all(fd);
	if (ret == 0)
		ret = name_file(p->dir_fd, temp, p->file);
	(void)io_posix_unlink(p->dir_fd, temp); /* a second name would be litter, not harm */
	if (ret == 0)
		ret = io_posix_sync_all(p->dir_fd);
	(void)close(fd); /* fsync has told what there is to tell */
	return ret;
}

static int open_failed(const struct io_posix *p, int ret, struct err_msg *msg)
{
	switch (ret) {
	case ERR_ABSENT:
		return err_set(msg, ret,
			       "there is no store at %s: create one first, or correct the path",
			       p->path);
	case ERR_NOT_REGULAR:
		return err_set(msg, ret,
			       "%s is not a regular file: a store is one, and a link to it is not "
			       "followed; give the path of the file itself",
			       p->path);
	case ERR_PERMISSION:
		return err_set(msg, ret,
			       "no permission to open %s: run as its owner, or change its mode",
			       p->path);
	case ERR_READONLY:
		return err_set(msg, ret,
			       "%s lies on a read-only file system: open it read-only, or move it",
			       p->path);
	default:
		return err_set(msg, ret, "cannot open %s: %s", p->path, err_str(ret));
	}
}

static int lock_head(const struct io_posix *p, int fd, bool writable, struct err_msg *msg)
{
	struct flock lock = {.l_type = writable ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
	int ret;

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(
			msg, ERR_BUSY,
			"%s is in use by another process%s: unmount it there, or wait for it to "
			"end, and try again",
			p->path, writable ? "" : " that writes to it");
	ret = io_posix_class(errno);
	return err_set(msg, ret, "cannot lock %s: %s; its file system must support locks", p->path,
		       err_str(ret));
}

/* Whether the name of the head leads to this file. ERR_ABSENT, ERR_EXISTS: to none, to another. */
static int check_named(const struct io_posix *p, int fd, struct stat *st_out)
{
	struct stat named;

	if (fstat(fd, st_out) != 0 || fstatat(p->dir_fd, p->file, &named, AT_SYMLINK_NOFOLLOW) != 0)
		return io_posix_class(errno);
	return named.st_ino == st_out->st_ino && named.st_dev == st_out->st_dev ? 0 : ERR_EXISTS;
}

/*
 * Who removes a head holds its lock, which may come to somebody who had opened the file before. Where a
 * file system gives a file a new number at each look, links are what counts.
 */
static int check_not_removed(const struct io_posix *p, int fd, struct err_msg *msg)
{
	struct stat st = {0};
	int ret = check_named(p, fd, &st);

	if (ret == ERR_EXISTS && st.st_nlink == 0)
		return err_set(msg, ERR_BUSY, "%s is another file now than before; try again",
			       p->path);
	return ret == 0 || ret == ERR_EXISTS ? 0 : open_failed(p, ret, msg);
}

static int head_open(struct store_io *io, bool writable, struct err_msg *msg)
{
	struct io_posix *p = posix_of(io);
	int fd = -1;
	int ret;

	if (p->fd >= 0)
		return err_set(msg, ERR_INVALID, "%s is open already", p->path);
	ret = open_dir(p, msg);
	if (ret != 0)
		return ret;
	ret = io_posix_open_file(p->dir_fd, p->file, writable ? IO_POSIX_WRITE : IO_POSIX_READ,
				 &fd);
	if (ret != 0)
		return open_failed(p, ret, msg);
	if (writable)
		ret = check_dir(p, msg);
	if (ret == 0)
		ret = lock_head(p, fd, writable, msg);
	if (ret == 0)
		ret = check_not_removed(p, fd, msg);
	if (ret != 0) {
		(void)close(fd); /* nothing was written */
		return ret;
	}
	p->fd = fd;
	p->writable = writable;
	return 0;
}

static int head_remove(struct store_io *io)
{
	struct io_posix *p = posix_of(io);
	struct stat st;
	int ret;

	if (p->fd < 0)
		return ERR_INVALID;
	if (!p->writable)
		return ERR_READONLY;
	ret = check_named(p, p->fd, &st);
	if (ret == 0)
		ret = io_posix_unlink(p->dir_fd, p->file);
	return ret != 0 ? ret : io_posix_sync_all(p->dir_fd);
}

/* --- surroundings --- */

static int io_space(struct store_io *io, uint64_t *total_out, uint64_t *free_out)
{
	struct statvfs st;

	*total_out = 0;
	*free_out = 0;
	if (fstatvfs(posix_of(io)->fd, &st) != 0)
		return io_posix_class(errno);
	*total_out = (uint64_t)st.f_blocks * st.f_frsize;
	*free_out = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static const char *io_name(struct store_io *io)
{
	return posix_of(io)->path;
}

/* --- life cycle --- */

static void io_close(struct store_io *io)
{
	struct io_posix *p = posix_of(io);

	if (p == NULL)
		return;
	io_posix_logs_release(&p->logs);
	io_posix_direct_release(&p->direct);
	/* Closing drops the lock; what was not synced before is not promised. */
	if (p->fd >= 0)
		(void)close(p->fd);
	if (p->dir_fd >= 0)
		(void)close(p->dir_fd);
	/* none is held: these cannot fail */
	(void)pthread_rwlock_destroy(&p->size_lock);
	(void)pthread_mutex_destroy(&p->sync_lock);
	(void)pthread_mutex_destroy(&p->logs.lock);
	mem_free(p->path);
	mem_free(p);
}

static const struct store_io_ops io_posix_ops = {
	.create = head_create,
	.open = head_open,
	.remove = head_remove,
	.size = io_posix_head_size,
	.read = io_posix_head_read,
	.read_batch = io_posix_head_read_batch,
	.advise = io_posix_head_advise,
	.forget = io_posix_head_forget,
	.write = io_posix_head_write,
	.sync = io_posix_head_sync,
	.commit_slot = io_posix_head_commit_slot,
	.discard = io_posix_head_discard,
	.reserve = io_posix_head_reserve,
	.log_create = io_posix_log_create,
	.log_list = io_posix_log_list,
	.log_size = io_posix_log_size,
	.log_read = io_posix_log_read,
	.log_forget = io_posix_log_forget,
	.log_write = io_posix_log_write,
	.log_reserve = io_posix_log_reserve,
	.log_sync = io_posix_log_sync,
	.log_remove = io_posix_log_remove,
	.now_ns = io_posix_now_ns,
	.wait = io_posix_wait,
	.random = io_random,
	.boot_id = io_posix_boot_id,
	.space = io_space,
	.name = io_name,
	.close = io_close,
};

/* Makes a path absolute, without looking at what it names. */
static int absolute_path(const char *path, char **path_out)
{
	char cwd[4096];
	size_t size;

	*path_out = NULL;
	if (path[0] == '/') {
		*path_out = mem_strdup(path);
		return *path_out == NULL ? ERR_NOMEM : 0;
	}
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return io_posix_class(errno);
	size = strlen(cwd) + strlen(path) + 2;
	*path_out = mem_alloc(size);
	if (*path_out == NULL)
		return ERR_NOMEM;
	(void)snprintf(*path_out, size, "%s/%s", cwd, path); /* fits by construction */
	return 0;
}

int io_posix_new(const char *path, struct store_io **io_out, struct err_msg *msg)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	struct io_posix *p;
	int ret;

	*io_out = NULL;
	if (file[0] == '\0' || strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
		return err_set(msg, ERR_INVALID,
			       "\"%s\" does not name a file: give the path of the store", path);
	if (strlen(file) + IO_POSIX_LOG_SUFFIX > NAME_BYTES_MAX)
		return err_set(
			msg, ERR_NAME_LONG,
			"the name of the store is too long: at most %u bytes, so that the names "
			"of its log fit",
			NAME_BYTES_MAX - IO_POSIX_LOG_SUFFIX);
	p = mem_zalloc(1, sizeof(*p));
	if (p == NULL)
		return err_set(msg, ERR_NOMEM, "out of memory");
	p->io.ops = &io_posix_ops;
	p->fd = p->dir_fd = -1;
	ret = absolute_path(path, &p->path);
	if (ret != 0) {
		mem_free(p);
		return err_set(msg, ret, "cannot make %s absolute: %s", path, err_str(ret));
	}
	p->file = strrchr(p->path, '/') + 1;
	/* with default attributes these cannot fail here */
	(void)pthread_rwlock_init(&p->size_lock, NULL);
	(void)pthread_mutex_init(&p->sync_lock, NULL);
	(void)pthread_mutex_init(&p->logs.lock, NULL);
	io_posix_direct_init(&p->direct);
	*io_out = &p->io;
	return 0;
}
