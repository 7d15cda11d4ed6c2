/*
 * nullfs.c - a FUSE file system that does nothing: the ceiling that make bench-write and make bench-fs
 * compare with.
 *
 * One folder. It keeps names and sizes, so that a file once created is found; written bytes it throws
 * away, and zeros are read. Everything that costs trips to the kernel is as in vecfs: low-level API,
 * many threads, direct I/O on files open for writing, files open for reading kept by the kernel and
 * closed without a word, listings with attributes when the kernel wants them, long timeouts, writes of
 * up to 1 MiB. A name longer than an id can be is a question, as it is below
 * query/ in vecfs: the kernel may keep it for a second, and the answer is always the same. Stays in the
 * foreground; ends when unmounted.
 *
 *   nullfs [-x] MOUNTPOINT [COUNT SIZE]    with files "0" to COUNT - 1 of SIZE bytes in it
 *
 * -x: it has extended attributes, of which there are none. Then the kernel asks for one at each
 * truncation, O_TRUNC too, which any file system that has them must answer. Without -x it says once that
 * there is no such request, and is never asked again.
 *
 * Invariants:
 * 1. Entry i of the table has inode i + 2; entries are never reused. Questions have inodes from
 *    QUESTIONS on.
 * 2. buckets[hash & mask] chains live entries through next; 0 ends a chain, else entry + 1.
 * Locks: one, names.lock, for everything in struct names.
 */
#define FUSE_USE_VERSION 35

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/mem.h"

#define LONG_TIMEOUT 86400.0
#define MAX_WRITE (1u << 20)
#define QUESTION_TIMEOUT 1.0
#define NAME_LONGEST 255
#define QUESTIONS (1ull << 40)
#define READ_MOST (1u << 17)

enum { BUCKETS = 1 << 20, MASK = BUCKETS - 1 };

/* As long as ten lines of an answer are. */
static const char answer[] = "1000\t0.123456789\n1001\t0.123456789\n1002\t0.123456789\n"
			     "1003\t0.123456789\n1004\t0.123456789\n1005\t0.123456789\n"
			     "1006\t0.123456789\n1007\t0.123456789\n1008\t0.123456789\n"
			     "1009\t0.123456789\n";
static const char zeros[READ_MOST];

struct entry {
	char *name; /* NULL once removed */
	off_t size;
	uint32_t next;
};

struct names {
	pthread_mutex_t lock;
	struct entry *entries; /* guarded by lock, as all below */
	size_t count, cap;
	uint32_t buckets[BUCKETS];
	struct timespec born; /* set before the first request */
	_Atomic uint64_t questions;
};

static bool is_file(fuse_ino_t ino)
{
	return ino != FUSE_ROOT_ID && ino < QUESTIONS;
}

static uint32_t hash_of(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h ^ h >> 15;
}

/* The inode of a name, 0 when there is none. Needs the lock. */
static fuse_ino_t find(const struct names *names, const char *name)
{
	uint32_t at = names->buckets[hash_of(name) & MASK];

	while (at != 0 && strcmp(names->entries[at - 1].name, name) != 0)
		at = names->entries[at - 1].next;
	return at == 0 ? 0 : (fuse_ino_t)at + 1;
}

/* The inode of a new name, 0 when memory is short. Needs the lock. */
static fuse_ino_t add(struct names *names, const char *name)
{
	uint32_t *bucket = &names->buckets[hash_of(name) & MASK];
	struct entry entry = {.name = mem_strdup(name), .next = *bucket};

	if (entry.name == NULL || mem_grow((void **)&names->entries, &names->cap, names->count + 1,
					   sizeof(*names->entries)) != 0) {
		mem_free(entry.name);
		return 0;
	}
	names->entries[names->count++] = entry;
	*bucket = (uint32_t)names->count;
	return (fuse_ino_t)names->count + 1;
}

/* Takes a name away; the entry that had it, or 0. Needs the lock. */
static uint32_t drop(struct names *names, const char *name)
{
	uint32_t *link = &names->buckets[hash_of(name) & MASK];
	uint32_t at = 0;

	while (*link != 0 && strcmp(names->entries[*link - 1].name, name) != 0)
		link = &names->entries[*link - 1].next;
	at = *link;
	if (at == 0)
		return 0;
	mem_free(names->entries[at - 1].name);
	names->entries[at - 1].name = NULL;
	*link = names->entries[at - 1].next;
	return at;
}

/* Needs the lock. */
static int move(struct names *names, const char *name, const char *new_name)
{
	uint32_t *bucket = &names->buckets[hash_of(new_name) & MASK];
	char *copy = NULL;
	uint32_t at;

	if (strcmp(name, new_name) == 0)
		return find(names, name) != 0 ? 0 : ENOENT;
	copy = mem_strdup(new_name);
	if (copy == NULL)
		return ENOMEM;
	at = drop(names, name);
	if (at == 0) {
		mem_free(copy);
		return ENOENT;
	}
	(void)drop(names, new_name); /* there may be none */
	names->entries[at - 1].name = copy;
	names->entries[at - 1].next = *bucket;
	*bucket = at;
	return 0;
}

/* Needs the lock. */
static void fill_attr(const struct names *names, fuse_ino_t ino, struct stat *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_ino = ino;
	attr->st_uid = getuid();
	attr->st_gid = getgid();
	attr->st_mtim = names->born;
	attr->st_atim = names->born;
	attr->st_ctim = names->born;
	attr->st_nlink = ino == FUSE_ROOT_ID ? 2 : 1;
	attr->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	if (is_file(ino))
		attr->st_size = names->entries[ino - 2].size;
}

/* Needs the lock. */
static void fill_entry(const struct names *names, fuse_ino_t ino, struct fuse_entry_param *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->ino = ino;
	entry->attr_timeout = LONG_TIMEOUT;
	entry->entry_timeout = LONG_TIMEOUT;
	fill_attr(names, ino, &entry->attr);
}

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
				FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ |
				FUSE_CAP_AUTO_INVAL_DATA;
	const unsigned unwanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ATOMIC_O_TRUNC |
				  FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE;

	(void)userdata; /* part of the signature */
	conn->want = (conn->want & ~unwanted) | (conn->capable & wanted);
	conn->max_write = MAX_WRITE;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct names *names = fuse_req_userdata(req);
	struct fuse_entry_param entry;
	fuse_ino_t ino;

	(void)parent; /* there is one folder */
	pthread_mutex_lock(&names->lock);
	if (strlen(name) > NAME_LONGEST)
		ino = QUESTIONS + atomic_fetch_add(&names->questions, 1);
	else
		ino = find(names, name);
	if (ino != 0)
		fill_entry(names, ino, &entry);
	if (ino >= QUESTIONS)
		entry.entry_timeout = QUESTION_TIMEOUT;
	pthread_mutex_unlock(&names->lock);
	if (ino == 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &entry);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct names *names = fuse_req_userdata(req);
	struct stat attr;

	(void)fi; /* part of the signature */
	pthread_mutex_lock(&names->lock);
	fill_attr(names, ino, &attr);
	pthread_mutex_unlock(&names->lock);
	fuse_reply_attr(req, &attr, LONG_TIMEOUT);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct names *names = fuse_req_userdata(req);
	struct fuse_entry_param entry;
	fuse_ino_t ino = 0;

	(void)parent; /* there is one folder */
	(void)mode;   /* all files are alike */
	if (strlen(name) > NAME_LONGEST) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	pthread_mutex_lock(&names->lock);
	ino = find(names, name);
	if (ino == 0)
		ino = add(names, name);
	if (ino != 0)
		fill_entry(names, ino, &entry);
	pthread_mutex_unlock(&names->lock);
	fi->direct_io = 1;
	if (ino == 0)
		fuse_reply_err(req, ENOMEM);
	else
		fuse_reply_create(req, &entry, fi);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	bool reader = (fi->flags & O_ACCMODE) == O_RDONLY;

	fi->keep_cache = reader && is_file(ino);
	fi->direct_io = !fi->keep_cache;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 11)
	fi->noflush = reader;
#endif
	fuse_reply_open(req, fi);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	struct names *names = fuse_req_userdata(req);
	struct entry *entry;

	(void)bytes; /* thrown away */
	(void)fi;    /* part of the signature */
	pthread_mutex_lock(&names->lock);
	entry = &names->entries[ino - 2];
	if (entry->size < offset + (off_t)size)
		entry->size = offset + (off_t)size;
	pthread_mutex_unlock(&names->lock);
	fuse_reply_write(req, size);
}

static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino; /* nothing is held back */
	(void)fi;  /* part of the signature */
	fuse_reply_err(req, 0);
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino; /* nothing is held */
	(void)fi;  /* part of the signature */
	fuse_reply_err(req, 0);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct names *names = fuse_req_userdata(req);
	uint32_t at;

	(void)parent; /* there is one folder */
	pthread_mutex_lock(&names->lock);
	at = drop(names, name);
	pthread_mutex_unlock(&names->lock);
	fuse_reply_err(req, at != 0 ? 0 : ENOENT);
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	struct names *names = fuse_req_userdata(req);
	int error;

	(void)parent; /* there is one folder */
	(void)new_parent;
	(void)flags; /* nobody asks for more than a rename */
	pthread_mutex_lock(&names->lock);
	error = move(names, name, new_name);
	pthread_mutex_unlock(&names->lock);
	fuse_reply_err(req, error);
}

/* As in vecfs, truncating by O_TRUNC leaves the size until something is written. */
static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	(void)attr; /* all files are alike */
	(void)to_set;
	do_getattr(req, ino, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct names *names = fuse_req_userdata(req);
	const char *bytes = is_file(ino) ? zeros : answer;
	off_t have = sizeof(answer) - 1;

	(void)fi; /* part of the signature */
	if (is_file(ino)) {
		pthread_mutex_lock(&names->lock);
		have = names->entries[ino - 2].size;
		pthread_mutex_unlock(&names->lock);
	}
	have = offset < have ? have - offset : 0;
	if ((off_t)size > have)
		size = (size_t)have;
	if (size > READ_MOST)
		size = READ_MOST;
	fuse_reply_buf(req, is_file(ino) ? bytes : bytes + (size > 0 ? offset : 0), size);
}

/* Only with -x, see main. */
static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino; /* no file has any */
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

/* --- listing: a cookie is the number of entries that were looked at --- */

static void list(fuse_req_t req, size_t size, off_t offset, bool plus)
{
	struct names *names = fuse_req_userdata(req);
	char *buf = mem_alloc(size);
	struct fuse_entry_param entry;
	size_t at = 0, need = 0;

	if (buf == NULL) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&names->lock);
	for (size_t i = (size_t)offset; i < names->count; i++, at += need) {
		need = 0;
		if (names->entries[i].name == NULL)
			continue;
		fill_entry(names, (fuse_ino_t)i + 2, &entry);
		need = plus ? fuse_add_direntry_plus(req, buf + at, size - at,
						     names->entries[i].name, &entry, (off_t)i + 1) :
			      fuse_add_direntry(req, buf + at, size - at, names->entries[i].name,
						&entry.attr, (off_t)i + 1);
		if (need > size - at)
			break;
	}
	pthread_mutex_unlock(&names->lock);
	fuse_reply_buf(req, buf, at);
	mem_free(buf);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)ino; /* there is one folder */
	(void)fi;
	list(req, size, offset, false);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)ino; /* there is one folder */
	(void)fi;
	list(req, size, offset, true);
}

static struct fuse_lowlevel_ops operations = {
	.init = do_init,
	.lookup = do_lookup,
	.getattr = do_getattr,
	.create = do_create,
	.open = do_open,
	.read = do_read,
	.write = do_write,
	.flush = do_flush,
	.release = do_release,
	.unlink = do_unlink,
	.rename = do_rename,
	.setattr = do_setattr,
	.readdir = do_readdir,
	.readdirplus = do_readdirplus,
};

static int serve(struct names *names, const char *mountpoint)
{
	char *argv[] = {(char *)"nullfs", (char *)"-osubtype=nullfs,fsname=nullfs", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	struct fuse_loop_config config = {.clone_fd = 0, .max_idle_threads = 10};
	struct fuse_session *session;
	int result = -1;

	session = fuse_session_new(&args, &operations, sizeof(operations), names);
	if (session == NULL)
		return -1;
	if (fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, mountpoint) != 0)
		goto out;
	result = fuse_session_loop_mt(session, &config);
	fuse_session_unmount(session);
out:
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	return result;
}

/* The files that are there from the beginning. */
static int prepare(struct names *names, size_t count, off_t size)
{
	char name[32];

	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		if (add(names, name) == 0)
			return -1;
		names->entries[i].size = size;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct names names = {.lock = PTHREAD_MUTEX_INITIALIZER};
	int result = -1;

	if (argc > 1 && strcmp(argv[1], "-x") == 0) {
		operations.getxattr = do_getxattr;
		argc--;
		argv++;
	}
	if (argc != 2 && argc != 4) {
		fprintf(stderr, "usage: nullfs [-x] MOUNTPOINT [COUNT SIZE]\n");
		return 2;
	}
	clock_gettime(CLOCK_REALTIME, &names.born);
	if (argc == 2 || prepare(&names, strtoul(argv[2], NULL, 10), atol(argv[3])) == 0)
		result = serve(&names, argv[1]);
	for (size_t i = 0; i < names.count; i++)
		mem_free(names.entries[i].name);
	mem_free(names.entries);
	return result == 0 ? 0 : 1;
}
