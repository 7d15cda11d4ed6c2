/*
 * io_posix_file.c - calls on plain files, as the back end wants them: whole, and with classes of err.h.
 *
 * Invariants:
 *  1. No errno leaves the back end: a class of err.h does.
 *  2. A call that a signal interrupted, or that did a part of its work, is gone on with.
 *  3. Only regular files are opened, and never by way of a link.
 */
#include "store/io_posix.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/err.h"

static_assert(sizeof(off_t) == 8, "file offsets have 64 bits");

int io_posix_class(int error)
{
	switch (error) {
	case ENOENT:
		return ERR_ABSENT;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case EACCES:
	case EPERM:
		return ERR_PERMISSION;
	case EROFS:
		return ERR_READONLY;
	case ELOOP: /* O_NOFOLLOW met a link */
	case EISDIR:
	case ENXIO: /* a FIFO or a socket */
		return ERR_NOT_REGULAR;
	case EEXIST:
		return ERR_EXISTS;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return ERR_NOMEM;
	case ENAMETOOLONG:
		return ERR_NAME_LONG;
	case EBUSY:
	case ETXTBSY:
	case EAGAIN: /* a lease of another process */
		return ERR_BUSY;
	case EOPNOTSUPP:
	case ENOSYS:
	case ENOLCK:
		return ERR_UNSUPPORTED;
	default:
		return ERR_IO;
	}
}

int io_posix_open_file(int dir_fd, const char *name, enum io_posix_mode mode, int *fd_out)
{
	static const int modes[] = {
		[IO_POSIX_READ] = O_RDONLY,
		[IO_POSIX_WRITE] = O_RDWR,
		[IO_POSIX_CREATE] = O_RDWR | O_CREAT | O_EXCL,
	};
	/* O_NONBLOCK: the open of a FIFO must not wait for its other end. Files do not care. */
	int flags = modes[mode] | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
	struct stat st;
	int fd;

	*fd_out = -1;
	do
		fd = openat(dir_fd, name, flags, 0600);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return io_posix_class(errno);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);	/* nothing was written */
		return ERR_NOT_REGULAR; /* fstat of an open file does not fail */
	}
	*fd_out = fd;
	return 0;
}

int io_posix_size_of(int fd, uint64_t *bytes_out)
{
	struct stat st;

	*bytes_out = 0;
	if (fstat(fd, &st) != 0)
		return io_posix_class(errno);
	*bytes_out = (uint64_t)st.st_size;
	return 0;
}

int io_posix_read_at(int fd, uint64_t offset, void *buf, size_t len, size_t *got_out)
{
	size_t got = 0;

	*got_out = 0;
	while (got < len && offset + got <= INT64_MAX) {
		ssize_t n = pread(fd, (char *)buf + got, len - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_posix_class(errno);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*got_out = got;
	return 0;
}

int io_posix_write_at(int fd, uint64_t offset, const void *buf, size_t len)
{
	size_t done = 0;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return ERR_FULL;
	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done,
				   (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_posix_class(errno);
		if (n == 0)
			return ERR_IO;
		done += (size_t)n;
	}
	return 0;
}

int io_posix_sync_data(int fd)
{
	int ret;

	do
		ret = fdatasync(fd);
	while (ret != 0 && errno == EINTR);
	return ret == 0 ? 0 : ERR_UNKNOWN;
}

int io_posix_sync_all(int fd)
{
	int ret;

	do
		ret = fsync(fd);
	while (ret != 0 && errno == EINTR);
	return ret == 0 ? 0 : ERR_UNKNOWN;
}

int io_posix_keep_room(int fd, uint64_t bytes)
{
	uint64_t size;
	int ret = io_posix_size_of(fd, &size);

	if (ret != 0)
		return ret;
	if (bytes > INT64_MAX)
		return ERR_FULL;
	if (bytes <= size) /* cutting at its own size gives back what lies behind */
		return ftruncate(fd, (off_t)size) == 0 ? 0 : io_posix_class(errno);
	do
		ret = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)size, (off_t)(bytes - size));
	while (ret != 0 && errno == EINTR);
	return ret == 0 ? 0 : io_posix_class(errno);
}

int io_posix_unlink(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) == 0 ? 0 : io_posix_class(errno);
}

int io_posix_list(int dir_fd, int (*visit)(void *ctx, const char *name), void *ctx)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = NULL;
	int ret = 0;

	if (fd < 0)
		return io_posix_class(errno);
	dir = fdopendir(fd); /* takes fd over */
	if (dir == NULL) {
		ret = io_posix_class(errno);
		(void)close(fd); /* opened for reading */
		return ret;
	}
	while (ret == 0) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (entry != NULL)
			ret = visit(ctx, entry->d_name);
		else if (errno != 0)
			ret = io_posix_class(errno);
		else
			break;
	}
	(void)closedir(dir); /* opened for reading */
	return ret;
}
