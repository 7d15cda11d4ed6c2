/*
 * cmd_file.c - reads and writes the ordinary files of commands, in large pieces.
 */
#include "fs/cmd_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cmd.h"
#include "fs/mount_point.h"
#include "store/mem.h"

#define PIECE (1u << 20)
#define TEMP_TAIL 22u /* ".new-", 16 digits, the end */

/* --- reading --- */

static int read_failed(const char *path, struct err_msg *msg)
{
	return err_set(msg, errno == ENOENT ? ERR_ABSENT : ERR_IO, "%.200s cannot be read: %s",
		       path, strerror(errno));
}

static int read_some(void *ctx, void *buf, size_t len, size_t *got_out, struct err_msg *msg)
{
	const struct cmd_vectors *vectors = ctx;

	for (*got_out = 0; *got_out < len;) {
		ssize_t n = read(vectors->fd, (char *)buf + *got_out, len - *got_out);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return read_failed(vectors->path, msg);
		if (n == 0)
			return 0;
		*got_out += (size_t)n;
	}
	return 0;
}

int cmd_vectors_open(struct cmd_vectors *vectors, const char *path, struct err_msg *msg)
{
	struct vecio_source source = {.read = read_some, .ctx = vectors};
	enum vecio_format format;
	struct stat st;

	memset(vectors, 0, sizeof(*vectors));
	vectors->path = path;
	vectors->fd = -1;
	if (!vecio_format_of(path, &format))
		return err_set(
			msg, ERR_INVALID,
			"%.200s: its name must end in .fvecs, .bvecs, .fbin, .u8bin or .npy, "
			"which says how to read it",
			path);
	/* O_NONBLOCK: the open of a FIFO must not wait for its other end */
	vectors->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (vectors->fd < 0 || fstat(vectors->fd, &st) != 0)
		return read_failed(path, msg);
	if (!S_ISREG(st.st_mode))
		return err_set(msg, ERR_NOT_REGULAR, "%.200s is not a regular file", path);
	source.size = (uint64_t)st.st_size;
	(void)posix_fadvise(vectors->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
	return vecio_open(&vectors->reader, format, &source, path, msg);
}

void cmd_vectors_close(struct cmd_vectors *vectors)
{
	vecio_close(&vectors->reader);
	if (vectors->fd >= 0)
		(void)close(vectors->fd); /* opened for reading */
	vectors->fd = -1;
}

static int read_to_end(int fd, const char *path, char **bytes, size_t *len, struct err_msg *msg)
{
	size_t cap = 0;

	for (;;) {
		int rc = mem_grow((void **)bytes, &cap, *len + PIECE, 1);
		ssize_t n;

		if (rc != 0)
			return err_set(msg, rc, "%.200s: %s", path, ERR_NOMEM_SENTENCE);
		n = read(fd, *bytes + *len, cap - *len);
		if (n < 0 && errno != EINTR)
			return read_failed(path, msg);
		if (n == 0)
			return 0;
		*len += n > 0 ? (size_t)n : 0;
		if (cmd_stopped())
			return err_set(msg, ERR_INTERRUPTED, "interrupted");
	}
}

int cmd_file_read(const char *path, char **bytes_out, size_t *len_out, struct err_msg *msg)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	*bytes_out = NULL;
	*len_out = 0;
	if (fd < 0)
		return read_failed(path, msg);
	rc = read_to_end(fd, path, bytes_out, len_out, msg);
	(void)close(fd); /* opened for reading */
	if (rc != 0) {
		mem_free(*bytes_out);
		*bytes_out = NULL;
	}
	return rc;
}

/* --- writing --- */

static int write_failed(const struct cmd_new_file *file, struct err_msg *msg)
{
	return err_set(msg, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO,
		       "%.200s cannot be written: %s; it was not made", file->path,
		       strerror(errno));
}

int cmd_new_file_open(struct cmd_new_file *file, const char *path, uint64_t salt,
		      struct err_msg *msg)
{
	size_t size;
	int rc;

	memset(file, 0, sizeof(*file));
	file->fd = -1;
	rc = mount_point_resolve(path, &file->path, msg);
	if (rc != 0)
		return rc;
	size = strlen(file->path) + TEMP_TAIL;
	file->temp = mem_alloc(size);
	file->buffer = mem_alloc(PIECE);
	if (file->temp == NULL || file->buffer == NULL)
		return err_set(msg, ERR_NOMEM, "%s", ERR_NOMEM_SENTENCE);
	(void)snprintf(file->temp, size, "%s.new-%016" PRIx64, file->path, salt);
	file->fd = open(file->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return file->fd < 0 ? write_failed(file, msg) : 0;
}

static int write_out(struct cmd_new_file *file, struct err_msg *msg)
{
	for (size_t done = 0; done < file->held;) {
		ssize_t n = write(file->fd, file->buffer + done, file->held - done);

		if (n < 0 && errno != EINTR)
			return write_failed(file, msg);
		done += n > 0 ? (size_t)n : 0;
	}
	file->held = 0;
	return 0;
}

int cmd_new_file_write(struct cmd_new_file *file, const void *bytes, size_t len,
		       struct err_msg *msg)
{
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t n = PIECE - file->held < len ? PIECE - file->held : len;

		memcpy(file->buffer + file->held, bytes, n);
		file->held += n;
		bytes = (const char *)bytes + n;
		len -= n;
		if (file->held == PIECE)
			rc = write_out(file, msg);
	}
	return rc;
}

int cmd_new_file_finish(struct cmd_new_file *file, struct err_msg *msg)
{
	int rc = write_out(file, msg), fd = file->fd;

	if (rc == 0 && fsync(fd) != 0)
		rc = write_failed(file, msg);
	file->fd = -1;
	if (close(fd) != 0 && rc == 0)
		rc = write_failed(file, msg);
	return rc;
}

int cmd_new_file_name(struct cmd_new_file *file, bool replace, struct err_msg *msg)
{
	if (replace ? rename(file->temp, file->path) != 0 :
		      !cmd_name_file(file->temp, file->path)) {
		if (errno == EEXIST)
			return err_set(msg, ERR_EXISTS,
				       "%.200s came into being meanwhile; it was not touched",
				       file->path);
		return write_failed(file, msg);
	}
	(void)unlink(file->temp); /* a second name would be litter, not harm */
	return cmd_sync_directory(file->path);
}

void cmd_new_file_release(struct cmd_new_file *file)
{
	if (file->path == NULL)
		return;
	if (file->fd >= 0)
		(void)close(file->fd); /* it is removed */
	if (file->temp != NULL)
		(void)unlink(file->temp); /* one that got its name has gone already */
	mem_free(file->path);
	mem_free(file->temp);
	mem_free(file->buffer);
	memset(file, 0, sizeof(*file));
}

bool cmd_name_file(const char *temp, const char *path)
{
	return link(temp, path) == 0 ||
	       ((errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) &&
		renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0);
}

int cmd_sync_directory(const char *path)
{
	char *dir = mem_strdup(path);
	int fd, rc = dir != NULL ? 0 : ERR_NOMEM;

	if (rc != 0)
		return rc;
	strrchr(dir, '/')[1] = '\0'; /* the path is absolute */
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		rc = ERR_IO;
	if (fd >= 0)
		(void)close(fd); /* opened for reading */
	mem_free(dir);
	return rc;
}
