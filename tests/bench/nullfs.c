/*
 * nullfs.c - a FUSE file system that does nothing: the ceiling that make bench-write compares with.
 *
 * One folder. It keeps names and sizes, so that a file once created is found, and throws written
 * bytes away. Everything that costs trips to the kernel is as in vecfs: low-level API, many
 * threads, direct I/O on files open for writing, long timeouts, writes of up to 1 MiB, no extended
 * attributes. Stays in the foreground; ends when unmounted.
 *
 *   nullfs MOUNTPOINT
 *
 * Invariants:
 * 1. Entry i of the table has inode i + 2; entries are never reused.
 * 2. buckets[hash & mask] chains live entries through next; 0 ends a chain, else entry + 1.
 * Locks: one, names.lock, for everything in struct names.
 */
#define FUSE_USE_VERSION 35

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/mem.h"

#define LONG_TIMEOUT 86400.0
#define MAX_WRITE (1u << 20)
#define NAME_LONGEST 255

enum { BUCKETS = 1 << 17, MASK = BUCKETS - 1 };

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
};

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

/* Needs the lock. */
static int drop(struct names *names, const char *name)
{
	uint32_t *link = &names->buckets[hash_of(name) & MASK];

	while (*link != 0 && strcmp(names->entries[*link - 1].name, name) != 0)
		link = &names->entries[*link - 1].next;
	if (*link == 0)
		return ENOENT;
	mem_free(names->entries[*link - 1].name);
	names->entries[*link - 1].name = NULL;
	*link = names->entries[*link - 1].next;
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
	if (ino != FUSE_ROOT_ID)
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
	(void)userdata; /* part of the signature */
	conn->max_write = MAX_WRITE;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct names *names = fuse_req_userdata(req);
	struct fuse_entry_param entry;
	fuse_ino_t ino;

	(void)parent; /* there is one folder */
	pthread_mutex_lock(&names->lock);
	ino = find(names, name);
	if (ino != 0)
		fill_entry(names, ino, &entry);
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
	(void)ino; /* all files are alike */
	fi->direct_io = 1;
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
	int error;

	(void)parent; /* there is one folder */
	pthread_mutex_lock(&names->lock);
	error = drop(names, name);
	pthread_mutex_unlock(&names->lock);
	fuse_reply_err(req, error);
}

/* Every file is empty. */
static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	(void)ino;
	(void)size;
	(void)offset;
	(void)fi;
	fuse_reply_buf(req, NULL, 0);
}

static const struct fuse_lowlevel_ops operations = {
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

int main(int argc, char **argv)
{
	static struct names names = {.lock = PTHREAD_MUTEX_INITIALIZER};
	int result;

	if (argc != 2) {
		fprintf(stderr, "usage: nullfs MOUNTPOINT\n");
		return 2;
	}
	clock_gettime(CLOCK_REALTIME, &names.born);
	result = serve(&names, argv[1]);
	for (size_t i = 0; i < names.count; i++)
		mem_free(names.entries[i].name);
	mem_free(names.entries);
	return result == 0 ? 0 : 1;
}
