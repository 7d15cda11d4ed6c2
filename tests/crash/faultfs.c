/*
 * faultfs.c - a FUSE file system that passes everything through to a folder, but fails where told.
 *
 *   faultfs FOLDER MOUNTPOINT RULES [OPTIONS]
 *
 * OPTIONS are those of libfuse, such as umask=0: every file has mode 0777, as where none is kept.
 * RULES is a file outside, read again when it changed; without it nothing fails. A line is a rule:
 *
 *   OPERATION NAME FROM TO RESULT TIMES
 *
 * OPERATION is read, write, sync, create, link or remove. NAME is a pattern for the name in the folder. A
 * read or write matches when it touches a byte from FROM up to, not including, TO; 0 is no end. RESULT:
 * the name of an errno; short: half of the bytes; lose: EIO, and what was written to the file since its
 * last sync is undone, as a kernel does that drops pages it could not write. TIMES 0 is always. The
 * first rule that matches counts. Stays in the foreground; ends when unmounted.
 *
 * Nothing is cached, so that every call of the program above gets here.
 * Locks: one, faults.lock, for everything in struct faults.
 */
#define FUSE_USE_VERSION 35

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/mem.h"

enum { NAME_BYTES = 256, RULES_MAX = 32 };
enum { RESULT_SHORT = -1, RESULT_LOSE = -2 }; /* beside errno */

struct rule {
	char operation[16], name[64];
	unsigned long long from, to;
	int result;
	unsigned times;
	bool always;
};

/* What a write replaced, until the file is synced. */
struct undo {
	struct undo *next; /* the one before */
	char name[NAME_BYTES];
	off_t offset, size; /* size: of the file before */
	size_t len;	    /* bytes kept; less than written at the end of the file */
	char bytes[];
};

static struct faults {
	pthread_mutex_t lock;
	int folder;
	const char *path; /* of the rules */
	struct timespec read_at;
	off_t read_size;
	struct rule rules[RULES_MAX];
	unsigned n;
	struct undo *undo; /* newest first */
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- rules --- */

static int result_of(const char *word)
{
	static const struct {
		const char *word;
		int result;
	} results[] = {{"EIO", EIO},	     {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},
		       {"EROFS", EROFS},     {"EFBIG", EFBIG},	 {"EACCES", EACCES},
		       {"ENOENT", ENOENT},   {"EPERM", EPERM},	 {"short", RESULT_SHORT},
		       {"lose", RESULT_LOSE}};

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (strcmp(word, results[i].word) == 0)
			return results[i].result;
	fprintf(stderr, "faultfs: %s is no result\n", word);
	abort();
}

/* Needs the lock. */
static void read_rules(void)
{
	char line[256], word[16];
	struct stat st;
	FILE *in;

	if (stat(faults.path, &st) != 0) {
		faults.n = 0;
		faults.read_at = (struct timespec){0};
		return;
	}
	if (memcmp(&st.st_mtim, &faults.read_at, sizeof(st.st_mtim)) == 0 &&
	    st.st_size == faults.read_size)
		return;
	faults.read_at = st.st_mtim;
	faults.read_size = st.st_size;
	faults.n = 0;
	in = fopen(faults.path, "r");
	while (in != NULL && faults.n < RULES_MAX && fgets(line, sizeof(line), in) != NULL) {
		struct rule *rule = &faults.rules[faults.n];

		if (sscanf(line, "%15s %63s %llu %llu %15s %u", rule->operation, rule->name,
			   &rule->from, &rule->to, word, &rule->times) != 6) {
			fprintf(stderr, "faultfs: not a rule: %s", line);
			abort();
		}
		rule->result = result_of(word);
		rule->always = rule->times == 0;
		faults.n++;
	}
	if (in != NULL)
		fclose(in);
}

/* 0, an errno or a RESULT_; counts the rule down. */
static int fault(const char *operation, const char *name, off_t offset, size_t len)
{
	unsigned long long at = (unsigned long long)offset;
	int result = 0;

	pthread_mutex_lock(&faults.lock);
	read_rules();
	for (unsigned i = 0; result == 0 && i < faults.n; i++) {
		struct rule *rule = &faults.rules[i];

		if (strcmp(rule->operation, operation) != 0 || fnmatch(rule->name, name, 0) != 0 ||
		    (!rule->always && rule->times == 0))
			continue;
		if (len != 0 && (at + len <= rule->from || (rule->to != 0 && at >= rule->to)))
			continue;
		if (!rule->always)
			rule->times--;
		result = rule->result;
	}
	pthread_mutex_unlock(&faults.lock);
	return result;
}

/* --- what writes replaced --- */

static void keep_undo(int fd, const char *name, off_t offset, size_t len)
{
	struct undo *undo = mem_alloc(sizeof(*undo) + len);
	struct stat st;
	ssize_t got = pread(fd, undo->bytes, len, offset);

	if (got < 0 || fstat(fd, &st) != 0)
		abort();
	undo->offset = offset;
	undo->size = st.st_size;
	undo->len = (size_t)got;
	snprintf(undo->name, sizeof(undo->name), "%s", name);
	pthread_mutex_lock(&faults.lock);
	undo->next = faults.undo;
	faults.undo = undo;
	pthread_mutex_unlock(&faults.lock);
}

/* Forgets what was kept of a file; with lose it is put back first. */
static void end_undo(int fd, const char *name, bool lose)
{
	struct undo **at = &faults.undo;

	pthread_mutex_lock(&faults.lock);
	while (*at != NULL) {
		struct undo *undo = *at;

		if (strcmp(undo->name, name) != 0) {
			at = &undo->next;
			continue;
		}
		if (lose && (pwrite(fd, undo->bytes, undo->len, undo->offset) < 0 ||
			     ftruncate(fd, undo->size) != 0))
			abort();
		*at = undo->next;
		mem_free(undo);
	}
	pthread_mutex_unlock(&faults.lock);
}

/* --- operations --- */

static const char *name_of(const char *path)
{
	return path[1] == '\0' ? "." : path + 1;
}

static int done(int rc)
{
	return rc < 0 ? -errno : 0;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	if (fi != NULL)
		return done(fstat((int)fi->fh, st));
	return done(fstatat(faults.folder, name_of(path), st, AT_SYMLINK_NOFOLLOW));
}

static int do_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	DIR *dir = fdopendir(openat(faults.folder, ".", O_RDONLY | O_DIRECTORY));
	struct dirent *entry;

	(void)path, (void)offset, (void)fi, (void)flags;
	if (dir == NULL)
		return -errno;
	while ((entry = readdir(dir)) != NULL)
		(void)fill(buf, entry->d_name, NULL, 0, 0);
	closedir(dir);
	return 0;
}

static int take_fd(int fd, struct fuse_file_info *fi)
{
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	fi->direct_io = 1;
	return 0;
}

/* What is written is read first, to be undone. */
static int readable(int flags)
{
	return (flags & O_ACCMODE) == O_WRONLY ? (flags & ~O_ACCMODE) | O_RDWR : flags;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	return take_fd(openat(faults.folder, name_of(path), readable(fi->flags) & ~O_NOFOLLOW), fi);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int err = fault("create", name_of(path), 0, 0);

	if (err != 0)
		return -err;
	return take_fd(openat(faults.folder, name_of(path), readable(fi->flags) | O_CREAT, mode),
		       fi);
}

static int do_read(const char *path, char *buf, size_t size, off_t offset,
		   struct fuse_file_info *fi)
{
	int err = fault("read", name_of(path), offset, size);
	ssize_t got;

	if (err > 0)
		return -err;
	if (err == RESULT_SHORT)
		size = (size + 1) / 2;
	got = pread((int)fi->fh, buf, size, offset);
	return got < 0 ? -errno : (int)got;
}

static int do_write(const char *path, const char *buf, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	int err = fault("write", name_of(path), offset, size);
	ssize_t got;

	if (err > 0)
		return -err;
	if (err == RESULT_SHORT)
		size = (size + 1) / 2;
	keep_undo((int)fi->fh, name_of(path), offset, size);
	got = pwrite((int)fi->fh, buf, size, offset);
	return got < 0 ? -errno : (int)got;
}

static int do_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	const char *name = name_of(path);
	int err = fault("sync", name, 0, 0), fd = (int)fi->fh;

	if (err > 0)
		return -err;
	if (err == 0 && (data_only ? fdatasync(fd) : fsync(fd)) != 0)
		return -errno;
	end_undo(fd, name, err == RESULT_LOSE);
	return err == RESULT_LOSE ? -EIO : 0;
}

static int do_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi)
{
	int err = fault("sync", name_of(path), 0, 0);

	(void)data_only, (void)fi;
	return err != 0 ? -err : done(fsync(faults.folder));
}

static int do_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return done(close((int)fi->fh));
}

static int do_unlink(const char *path)
{
	int err = fault("remove", name_of(path), 0, 0);

	return err != 0 ? -err : done(unlinkat(faults.folder, name_of(path), 0));
}

static int do_link(const char *from, const char *to)
{
	int err = fault("link", name_of(to), 0, 0);

	return err != 0 ? -err :
			  done(linkat(faults.folder, name_of(from), faults.folder, name_of(to), 0));
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
	return done(renameat2(faults.folder, name_of(from), faults.folder, name_of(to), flags));
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int fd = fi != NULL ? (int)fi->fh : openat(faults.folder, name_of(path), O_RDWR), rc;

	if (fd < 0)
		return -errno;
	rc = done(ftruncate(fd, size));
	if (fi == NULL)
		close(fd);
	return rc;
}

static int do_fallocate(const char *path, int mode, off_t offset, off_t len,
			struct fuse_file_info *fi)
{
	int err = fault("write", name_of(path), offset, (size_t)len);

	return err > 0 ? -err : done(fallocate((int)fi->fh, mode, offset, len));
}

static int do_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return done(fstatvfs(faults.folder, st));
}

static void *do_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
	config->hard_remove = 1;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = do_init,
	.getattr = do_getattr,
	.readdir = do_readdir,
	.open = do_open,
	.create = do_create,
	.read = do_read,
	.write = do_write,
	.fsync = do_fsync,
	.fsyncdir = do_fsyncdir,
	.release = do_release,
	.unlink = do_unlink,
	.link = do_link,
	.rename = do_rename,
	.truncate = do_truncate,
	.fallocate = do_fallocate,
	.statfs = do_statfs,
};

int main(int argc, char **argv)
{
	char *args[6] = {argv[0], NULL, (char[]){"-f"}, (char[]){"-o"}, NULL, NULL};

	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: faultfs FOLDER MOUNTPOINT RULES [OPTIONS]\n");
		return 2;
	}
	args[1] = argv[2];
	args[4] = argv[argc - 1];
	faults.path = argv[3];
	faults.folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (faults.folder < 0) {
		perror(argv[1]);
		return 1;
	}
	return fuse_main(argc == 5 ? 5 : 3, args, &operations, NULL);
}
