/*
 * tape.c - the calls between the POSIX back end and the kernel, and their notes.
 *
 * Files are told apart by device and inode. The number of an inode that was removed may come again;
 * then the younger file of the tape is meant.
 *
 * Locks: note_lock guards the running tape. It is held over the call and its note, so that the order
 * of the notes is the order in which the calls took effect.
 */
#include "tests/support/tape.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/mem.h"

static pthread_mutex_t note_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tape *running; /* guarded by note_lock */
static struct tape *owner;   /* of the ops of tape_io */

static void fail(const char *what)
{
	fprintf(stderr, "tape: %s: %s\n", what, strerror(errno));
	abort();
}

static void lock(void)
{
	(void)pthread_mutex_lock(&note_lock); /* fails only for a broken mutex */
}

static void unlock(void)
{
	int error = errno;

	(void)pthread_mutex_unlock(&note_lock);
	errno = error; /* the caller of the call wants to see it */
}

/* --- notes, all under note_lock --- */

static struct tape_event *note(struct tape *tape, enum tape_kind kind, uint32_t file)
{
	if (mem_grow((void **)&tape->events, &tape->cap, tape->n + 1, sizeof(*tape->events)) != 0)
		fail("out of memory");
	tape->events[tape->n] = (struct tape_event){.kind = kind, .file = file};
	return &tape->events[tape->n++];
}

static void set_name(char out[TAPE_NAME_MAX], const char *name)
{
	size_t len = strlen(name);

	if (len >= TAPE_NAME_MAX)
		fail("a name is too long");
	memcpy(out, name, len + 1);
}

static uint32_t add_file(struct tape *tape, const char *name, const struct stat *st)
{
	struct tape_file *file;

	if (mem_grow((void **)&tape->files, &tape->files_cap, tape->n_files + 1,
		     sizeof(*tape->files)) != 0)
		fail("out of memory");
	file = &tape->files[tape->n_files];
	*file = (struct tape_file){.dev = st->st_dev, .ino = st->st_ino};
	set_name(file->name, name);
	return (uint32_t)tape->n_files++;
}

static bool find_stat(const struct tape *tape, const struct stat *st, uint32_t *file_out)
{
	for (size_t i = tape->n_files; i-- > 0;)
		if (tape->files[i].ino == st->st_ino && tape->files[i].dev == st->st_dev) {
			*file_out = (uint32_t)i;
			return true;
		}
	return false;
}

static bool find_fd(const struct tape *tape, int fd, uint32_t *file_out)
{
	struct stat st;

	return tape != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       find_stat(tape, &st, file_out);
}

/* Whether a descriptor is the folder of the tape. */
static bool is_dir(const struct tape *tape, int fd)
{
	struct stat st, dir;

	return tape != NULL && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) &&
	       stat(tape->dir, &dir) == 0 && dir.st_ino == st.st_ino && dir.st_dev == st.st_dev;
}

static void note_bytes(struct tape *tape, struct tape_event *event, const void *bytes, size_t len)
{
	if (mem_grow((void **)&tape->bytes, &tape->bytes_cap, tape->n_bytes + len, 1) != 0)
		fail("out of memory");
	memcpy(tape->bytes + tape->n_bytes, bytes, len);
	event->bytes_at = tape->n_bytes;
	tape->n_bytes += len;
}

/* A sync of whatever fd is; 0 or -1 with errno. False when the tape does not know it. */
static bool note_sync(struct tape *tape, int fd, int *ret_out)
{
	uint32_t file;

	*ret_out = 0;
	if (is_dir(tape, fd)) {
		tape->syncs++;
		(void)note(tape, TAPE_SYNC_DIR, 0);
		return true;
	}
	if (!find_fd(tape, fd, &file))
		return false;
	tape->syncs++;
	if (tape->syncs != tape->lose_sync) {
		(void)note(tape, TAPE_SYNC, file);
		return true;
	}
	(void)note(tape, TAPE_SYNC_LOST, file);
	errno = EIO;
	*ret_out = -1;
	return true;
}

/* --- the calls --- */

#define OVERRIDE __attribute__((weak))

OVERRIDE ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	struct tape_event *event;
	uint32_t file;
	ssize_t n;

	lock();
	n = syscall(SYS_pwrite64, fd, bytes, len, offset);
	if (n > 0 && find_fd(running, fd, &file)) {
		event = note(running, TAPE_WRITE, file);
		event->offset = (uint64_t)offset;
		event->length = (uint64_t)n;
		note_bytes(running, event, bytes, (size_t)n);
	}
	unlock();
	return n;
}

OVERRIDE int fsync(int fd)
{
	int ret;

	lock();
	if (!note_sync(running, fd, &ret))
		ret = (int)syscall(SYS_fsync, fd);
	unlock();
	return ret;
}

OVERRIDE int fdatasync(int fd)
{
	int ret;

	lock();
	if (!note_sync(running, fd, &ret))
		ret = (int)syscall(SYS_fdatasync, fd);
	unlock();
	return ret;
}

OVERRIDE int ftruncate(int fd, off_t len)
{
	uint32_t file;
	int ret;

	lock();
	ret = (int)syscall(SYS_ftruncate, fd, len);
	if (ret == 0 && find_fd(running, fd, &file))
		note(running, TAPE_CUT, file)->length = (uint64_t)len;
	unlock();
	return ret;
}

OVERRIDE int fallocate(int fd, int mode, off_t offset, off_t len)
{
	struct tape_event *event;
	uint32_t file;
	int ret;

	lock();
	ret = (int)syscall(SYS_fallocate, fd, mode, offset, len);
	if (ret == 0 && (mode & FALLOC_FL_PUNCH_HOLE) != 0 && find_fd(running, fd, &file)) {
		event = note(running, TAPE_PUNCH, file);
		event->offset = (uint64_t)offset;
		event->length = (uint64_t)len;
	}
	unlock();
	return ret;
}

OVERRIDE int openat(int dir_fd, const char *name, int flags, ...)
{
	mode_t mode = 0;
	struct stat st;
	va_list args;
	int fd;

	if ((flags & O_CREAT) != 0) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	lock();
	fd = (int)syscall(SYS_openat, dir_fd, name, flags, mode);
	if (fd >= 0 && (flags & O_EXCL) != 0 && is_dir(running, dir_fd) && fstat(fd, &st) == 0)
		set_name(note(running, TAPE_CREATE, add_file(running, name, &st))->name, name);
	unlock();
	return fd;
}

OVERRIDE int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	struct stat st;
	uint32_t file;
	int ret;

	lock();
	ret = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
	if (ret == 0 && is_dir(running, to_fd) && fstatat(to_fd, to, &st, 0) == 0 &&
	    find_stat(running, &st, &file))
		set_name(note(running, TAPE_LINK, file)->name, to);
	unlock();
	return ret;
}

OVERRIDE int unlinkat(int dir_fd, const char *name, int flags)
{
	int ret;

	lock();
	ret = (int)syscall(SYS_unlinkat, dir_fd, name, flags);
	if (ret == 0 && is_dir(running, dir_fd))
		set_name(note(running, TAPE_UNLINK, 0)->name, name);
	unlock();
	return ret;
}

/* --- the tape --- */

struct tape *tape_new(uint64_t seed)
{
	const char *tmp = getenv("TMPDIR");
	struct tape *tape = mem_zalloc(1, sizeof(*tape));

	if (tape == NULL)
		fail("out of memory");
	if (tmp == NULL || strlen(tmp) > sizeof(tape->dir) - 32)
		tmp = "/tmp";
	(void)snprintf(tape->dir, sizeof(tape->dir), "%s/vecfs-tape-XXXXXX", tmp);
	if (mkdtemp(tape->dir) == NULL)
		fail(tape->dir);
	tape->random_state = seed;
	tape->time_ns = 1000000000u;
	memset(tape->boot_id, 0xb0, sizeof(tape->boot_id));
	return tape;
}

static DIR *open_dir(struct tape *tape)
{
	DIR *dir = opendir(tape->dir);

	if (dir == NULL)
		fail(tape->dir);
	return dir;
}

void tape_clear(struct tape *tape)
{
	for (size_t i = 0; i < tape->n_files; i++)
		mem_free(tape->files[i].bytes);
	tape->n = tape->n_bytes = tape->n_files = 0;
	tape->syncs = 0;
}

void tape_free(struct tape *tape)
{
	struct dirent *entry;
	DIR *dir;

	if (tape == NULL)
		return;
	dir = open_dir(tape);
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0); /* rmdir tells */
	(void)closedir(dir);					      /* opened for reading */
	if (rmdir(tape->dir) != 0)
		fail(tape->dir);
	tape_clear(tape);
	mem_free(tape->events);
	mem_free(tape->bytes);
	mem_free(tape->files);
	mem_free(tape);
}

void tape_put_file(struct tape *tape, const char *name, const void *bytes, size_t len)
{
	char path[sizeof(tape->dir) + TAPE_NAME_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", tape->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || (len > 0 && write(fd, bytes, len) != (ssize_t)len) || close(fd) != 0)
		fail(path);
}

static void load_file(struct tape *tape, const char *name)
{
	char path[sizeof(tape->dir) + TAPE_NAME_MAX];
	struct tape_file *file;
	struct stat st;
	uint32_t number;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", tape->dir, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) != 0)
		fail(path);
	number = add_file(tape, name, &st);
	file = &tape->files[number];
	file->existed = true;
	file->len = (size_t)st.st_size;
	file->bytes = mem_alloc(file->len);
	if (file->bytes == NULL || read(fd, file->bytes, file->len) != st.st_size)
		fail(path);
	(void)close(fd); /* opened for reading */
}

void tape_start(struct tape *tape)
{
	DIR *dir = open_dir(tape);
	struct dirent *entry;

	tape_clear(tape);
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			load_file(tape, entry->d_name);
	(void)closedir(dir); /* opened for reading */
	lock();
	running = tape;
	unlock();
}

void tape_stop(struct tape *tape)
{
	lock();
	if (running == tape)
		running = NULL;
	unlock();
}

void tape_mark(struct tape *tape, unsigned mark, uint64_t value)
{
	struct tape_event *event;

	lock();
	event = note(tape, TAPE_MARK, 0);
	event->mark = mark;
	event->value = value;
	unlock();
}

/* --- the back end --- */

static int io_random(struct store_io *io, void *buf, size_t len)
{
	uint8_t *at = buf;

	(void)io;
	lock();
	for (size_t i = 0; i < len; i++) {
		uint64_t z = owner->random_state += 0x9e3779b97f4a7c15u;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		at[i] = (uint8_t)(z >> 56);
	}
	unlock();
	return 0;
}

static void io_boot_id(struct store_io *io, uint8_t id_out[16])
{
	(void)io;
	memcpy(id_out, owner->boot_id, 16);
}

static uint64_t (*real_now)(struct store_io *io, enum store_clock clock);

static uint64_t io_now(struct store_io *io, enum store_clock clock)
{
	return owner->time_ns != 0 ? owner->time_ns : real_now(io, clock);
}

struct store_io *tape_io(struct tape *tape)
{
	static struct store_io_ops ops;
	char path[sizeof(tape->dir) + TAPE_NAME_MAX];
	struct store_io *io;

	(void)snprintf(path, sizeof(path), "%s/" TAPE_STORE, tape->dir);
	if (io_posix_new(path, &io, NULL) != 0)
		fail(path);
	owner = tape;
	real_now = io->ops->now_ns;
	ops = *io->ops;
	ops.random = io_random;
	ops.boot_id = io_boot_id;
	ops.now_ns = io_now;
	io->ops = &ops;
	return io;
}

const char *tape_kind_name(enum tape_kind kind)
{
	static const char *const names[] = {
		"create", "link", "unlink",	 "write",	  "cut",
		"punch",  "sync", "failed sync", "sync of names", "mark",
	};

	return names[kind];
}
