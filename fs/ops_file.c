/*
 * ops_file.c - requests about open files: decode, one call, reply.
 */
#define FUSE_USE_VERSION 310
#include "fs/ops_reply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

#include "fs/attr.h"
#include "fs/handle.h"
#include "fs/named.h"
#include "fs/namedfile.h"
#include "fs/names.h"
#include "fs/notify.h"
#include "store/mem.h"

#define NS 1000000000ll

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static struct handle_mode mode_of(int flags)
{
	int access = flags & O_ACCMODE;

	return (struct handle_mode){
		.read = access != O_WRONLY,
		.write = access != O_RDONLY,
		.append = (flags & O_APPEND) != 0,
		.truncate = (flags & O_TRUNC) != 0,
	};
}

static void fill_info(struct fuse_file_info *fi, struct handle *handle,
		      const struct handle_cache *cache)
{
	fi->fh = (uintptr_t)handle;
	fi->direct_io = cache->direct;
	fi->keep_cache = cache->keep;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 11)
	fi->noflush = cache->quiet_close;
#endif
}

/* A reply that could not be sent means that nobody has the file. */
static void forsake(struct ops_request *r, struct handle *handle)
{
	bool dropped;

	handle_close(r->fs, handle, &r->call, &dropped);
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_request r;
	struct handle_mode mode = mode_of(fi->flags);
	struct handle_cache cache = {0};
	struct handle *handle = NULL;
	int rc;

	if (!ops_begin(&r, req, "open", STATUS_OP_open, ino, NULL))
		return;
	rc = handle_open(r.fs, r.node, &mode, &r.call, &handle, &cache);
	if (rc == ERR_ABSENT && r.call.msg.text[0] == '\0') {
		ops_fail_quietly(&r, rc);
		return;
	}
	if (rc != 0) {
		ops_fail(&r, rc);
		return;
	}
	if (cache.retry) {
		/* The kernel walks the path once more by itself. */
		forsake(&r, handle);
		fuse_reply_err(req, ESTALE);
		return;
	}
	fill_info(fi, handle, &cache);
	if (fuse_reply_open(req, fi) != 0)
		forsake(&r, handle);
}

/* The name exists already: as an open, unless O_EXCL forbids it. ERR_AGAIN: it has gone since. */
static int create_existing(struct ops_request *r, const struct handle_mode *mode, bool exclusive,
			   struct dir_entry *entry, struct handle **handle_out,
			   struct handle_cache *cache)
{
	int rc = exclusive ? ERR_EXISTS : dir_lookup(r->fs, r->node, r->name, &r->call, entry);

	if (rc != 0)
		return rc == ERR_ABSENT ? ERR_AGAIN : rc;
	r->call.id = entry->id;
	rc = handle_open(r->fs, entry->node, mode, &r->call, handle_out, cache);
	if (rc == 0 && cache->retry) {
		forsake(r, *handle_out);
		*handle_out = NULL;
		rc = ERR_ABSENT;
	}
	if (rc != 0)
		inode_forget(r->fs->inodes, entry->id, 1);
	return rc == ERR_ABSENT ? ERR_AGAIN : rc;
}

static int create_new(struct ops_request *r, struct node *node, const struct handle_mode *mode,
		      struct dir_entry *entry, struct handle **handle_out,
		      struct handle_cache *cache)
{
	bool text = r->node->kind == NODE_JSON;
	int rc = handle_create(r->fs, text ? HANDLE_JSON : HANDLE_VECTOR, node, mode, &r->call,
			       handle_out, cache);

	entry->node = node;
	entry->id = node->id;	      /* its first, since nobody can have read it */
	entry->timeout = DIR_TIMEOUT; /* about_loose takes it back */
	if (rc != 0) {
		inode_forget(r->fs->inodes, entry->id, 1);
		return rc;
	}
	if (text)
		return dir_text(r->fs, entry);
	rc = attr_node(r->fs, node, &entry->st);
	if (rc != 0)
		inode_forget(r->fs->inodes, entry->id, 1);
	return rc;
}

static int create_vector(struct ops_request *r, mode_t permissions, const struct handle_mode *mode,
			 bool exclusive, struct dir_entry *entry, struct handle **handle_out,
			 struct handle_cache *cache)
{
	struct node *node = NULL;
	int rc;

	/* Again when others have taken away meanwhile what they had made. */
	do {
		rc = names_create(r->fs, r->name, permissions, &r->call, &node);
		if (rc == 0)
			return create_new(r, node, mode, entry, handle_out, cache);
		if (rc == ERR_EXISTS)
			rc = create_existing(r, mode, exclusive, entry, handle_out, cache);
	} while (rc == ERR_AGAIN);
	return rc;
}

/* A named query; one that has just been made by somebody else is opened. */
static int create_query(struct ops_request *r, const struct handle_mode *mode, bool exclusive,
			struct dir_entry *entry, struct handle **handle_out,
			struct handle_cache *cache)
{
	struct named *named = NULL;
	int rc = dir_may_enter(r->fs, r->node, &r->call);

	if (rc == 0)
		rc = namedfile_create(r->fs, r->node, r->name, &r->call, &named);
	if (rc == ERR_EXISTS && !exclusive)
		rc = 0;
	if (rc == 0)
		rc = dir_named_file(r->fs, r->node, r->name, entry);
	if (rc == 0)
		rc = handle_open(r->fs, entry->node, mode, &r->call, handle_out, cache);
	if (rc != 0 && entry->node != NULL)
		inode_forget(r->fs->inodes, entry->id, 1);
	named_release(r->fs->named, named);
	return rc;
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t permissions,
		struct fuse_file_info *fi)
{
	struct ops_request r;
	struct handle_mode mode = mode_of(fi->flags);
	struct handle_cache cache = {0};
	struct dir_entry entry = {0};
	struct fuse_entry_param param;
	struct handle *handle = NULL;
	bool exclusive = (fi->flags & O_EXCL) != 0;
	int rc;

	if (!ops_begin(&r, req, "create", STATUS_OP_create, parent, name))
		return;
	if (r.node->kind != NODE_VECTORS && r.node->kind != NODE_JSON &&
	    r.node->kind != NODE_SPEC) {
		ops_forbid(&r, "files are created in vectors/, json/ and query/<k>/ alone");
		return;
	}
	if (r.node->kind == NODE_SPEC)
		rc = create_query(&r, &mode, exclusive, &entry, &handle, &cache);
	else
		rc = create_vector(&r, permissions, &mode, exclusive, &entry, &handle, &cache);
	if (rc != 0) {
		ops_fail(&r, rc);
		if (handle != NULL)
			forsake(&r, handle);
		return;
	}
	if (r.node->kind == NODE_JSON)
		notifier_inode(r.fs->notifier, NODE_VECTORS); /* has changed its time as well */
	fill_info(fi, handle, &cache);
	ops_entry_param(&entry, &param);
	if (fuse_reply_create(req, &param, fi) != 0) {
		forsake(&r, handle);
		inode_forget(r.fs->inodes, param.ino, 1);
	}
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct ops_request r;
	const void *bytes = NULL;
	size_t len = 0;
	int rc;

	if (!ops_begin(&r, req, "read", STATUS_OP_read, ino, NULL))
		return;
	rc = handle_read(r.fs, handle_of(fi), (uint64_t)offset, size, &r.call, &bytes, &len);
	if (rc != 0) {
		ops_fail(&r, rc);
		return;
	}
	fuse_reply_buf(req, bytes, len);
	handle_read_done(handle_of(fi));
}

/* What is left to do needs the bytes, but nobody who waits. */
static void written(void *ctx)
{
	struct ops_request *r = ctx;

	r->answered = true;
	fuse_reply_write(r->req, r->size);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
	       struct fuse_file_info *fi)
{
	struct ops_request r;
	int rc;

	if (!ops_begin(&r, req, "write", STATUS_OP_write, ino, NULL))
		return;
	r.size = size;
	r.call.succeed = written;
	r.call.succeed_ctx = &r;
	rc = handle_write(r.fs, handle_of(fi), bytes, size, (uint64_t)offset, &r.call);
	if (r.answered)
		return;
	if (rc != 0)
		ops_fail(&r, rc);
	else
		fuse_reply_write(req, size);
}

/* The vector has changed by way of its text: what the kernel keeps of it goes before the answer. */
static void done_with_vector(struct ops_request *r)
{
	struct notifier_errand *errand = notifier_errand_new(
		inode_id(r->fs->inodes, r->node->parent), NULL, NULL, ops_done_later, r->req);

	/* Without memory it goes a moment after it. */
	if (errand != NULL)
		notifier_errand_run(r->fs->notifier, errand);
	else
		ops_done(r, 0);
}

struct close_reply {
	fuse_req_t req;
	int number;
};

static void reply_close(void *ctx)
{
	struct close_reply *reply = ctx;

	fuse_reply_err(reply->req, reply->number);
	mem_free(reply);
}

/*
 * The kernel relies on the name of a new vector since it was created, but with the last close it goes
 * if the vector is not whole. So before a close is answered, with that number, the kernel is told to
 * ask for the name from then on. NULL when there is nothing to tell.
 */
static struct notifier_errand *about_loose(struct ops_request *r, int number)
{
	struct notifier_errand *errand = NULL;
	struct close_reply *reply = NULL;
	struct node *node = r->node;

	if (node->kind != NODE_VECTOR || !inode_is_loose(r->fs->inodes, node))
		return NULL;
	inode_names_read(r->fs->inodes);
	if (!inode_is_named(r->fs->inodes, node))
		goto out;
	reply = mem_alloc(sizeof(*reply));
	if (reply != NULL)
		errand = notifier_errand_new(NODE_VECTORS, node->name, NULL, reply_close, reply);
	/* Without memory the kernel learns it a moment after the answer. */
	if (errand == NULL)
		notifier_entry(r->fs->notifier, NODE_VECTORS, node->name, node->name_len);
	else
		*reply = (struct close_reply){.req = r->req, .number = number};
out:
	inode_names_unlock(r->fs->inodes);
	if (errand == NULL)
		mem_free(reply);
	return errand;
}

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct notifier_errand *errand = NULL;
	struct ops_request r;
	int rc;

	if (!ops_begin(&r, req, "close", STATUS_OP_flush, ino, NULL))
		return;
	rc = handle_flush(r.fs, handle_of(fi), &r.call);
	if (rc == 0 && r.node->kind == NODE_TEXT && handle_of(fi)->writable) {
		done_with_vector(&r);
		return;
	}
	rc = rc != 0 ? ops_refused(&r, rc) : 0;
	errand = about_loose(&r, rc);
	if (errand != NULL)
		notifier_errand_run(r.fs->notifier, errand);
	else
		fuse_reply_err(req, rc);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct ops_request r;

	(void)datasync; /* attributes and content are one record */
	if (ops_begin(&r, req, "fsync", STATUS_OP_fsync, ino, NULL))
		ops_done(&r, handle_sync(r.fs, handle_of(fi), &r.call));
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct notifier_errand *errand = NULL;
	struct ops_request r;
	bool dropped = false;

	if (!ops_begin(&r, req, "close", STATUS_OP_release, ino, NULL))
		return;
	errand = about_loose(&r, 0); /* the last descriptor need not have been closed by close() */
	handle_close(r.fs, handle_of(fi), &r.call, &dropped);
	if (dropped)
		ops_remember(&r, ERR_INVALID);
	if (errand != NULL)
		notifier_errand_run(r.fs->notifier, errand);
	else
		fuse_reply_err(req, 0);
}

/* --- setattr --- */

/* A time that 64 bits of nanoseconds cannot hold, before 1677 or after 2262, becomes the nearest. */
static int64_t time_of(const struct fs *fs, const struct stat *st, int to_set)
{
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		return attr_now(fs);
	if (st->st_mtim.tv_sec >= INT64_MAX / NS)
		return INT64_MAX / NS * NS;
	if (st->st_mtim.tv_sec <= INT64_MIN / NS)
		return INT64_MIN / NS * NS;
	return st->st_mtim.tv_sec * NS + st->st_mtim.tv_nsec;
}

/*
 * truncate(2), and O_TRUNC of an open: a stored vector is not touched, so only what changes nothing
 * in it is possible.
 */
static int truncate_path(struct ops_request *r, off_t size)
{
	size_t whole = attr_vector_size(r->fs);

	if (r->node->kind == NODE_NAMED && size == 0)
		return namedfile_clear(r->fs, r->node);
	if (r->node->kind == NODE_TEXT && size == 0)
		inode_truncate(r->fs->inodes, r->node->parent);
	if (r->node->kind != NODE_VECTOR)
		return size == 0 && r->node->kind >= NODE_CONTROL ? 0 : ERR_INVALID;
	if (size == 0)
		inode_truncate(r->fs->inodes, r->node);
	if (size == 0 || (size_t)size == whole)
		return 0;
	return err_set(&r->call.msg, (size_t)size > whole && whole > 0 ? ERR_TOO_BIG : ERR_INVALID,
		       "a vector here is %zu bytes and cannot have another length", whole);
}

static unsigned mask_of(int to_set)
{
	unsigned mask = 0;

	mask |= to_set & FUSE_SET_ATTR_MODE ? STORE_ATTR_MODE : 0;
	mask |= to_set & FUSE_SET_ATTR_UID ? STORE_ATTR_UID : 0;
	mask |= to_set & FUSE_SET_ATTR_GID ? STORE_ATTR_GID : 0;
	/* With a size the kernel sends the time of a change that is not made here. */
	if ((to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) &&
	    !(to_set & FUSE_SET_ATTR_SIZE))
		mask |= STORE_ATTR_MTIME;
	return mask;
}

static int change(struct ops_request *r, const struct stat *st, int to_set, struct handle *handle)
{
	struct store_attr attr = {.mode = st->st_mode & 07777,
				  .uid = st->st_uid,
				  .gid = st->st_gid,
				  .mtime_ns = time_of(r->fs, st, to_set)};
	unsigned mask = mask_of(to_set);
	int rc = 0;

	if (to_set & FUSE_SET_ATTR_SIZE) {
		if (handle != NULL)
			rc = handle_truncate(r->fs, handle, (uint64_t)st->st_size, &r->call);
		else
			rc = truncate_path(r, st->st_size);
	}
	if (rc != 0 || mask == 0)
		return rc;
	if (ann_read_only(r->fs->ann))
		return ERR_READONLY;
	return attr_change(r->fs, r->node, &attr, mask);
}

struct attr_reply {
	fuse_req_t req;
	struct stat st;
};

static void reply_attr(void *ctx)
{
	struct attr_reply *reply = ctx;

	fuse_reply_attr(reply->req, &reply->st, 0);
	mem_free(reply);
}

/* As done_with_vector; to be told with the attributes of the text. */
static int done_with_attr(struct ops_request *r, const struct stat *st)
{
	struct attr_reply *reply = mem_alloc(sizeof(*reply));
	struct notifier_errand *errand =
		reply == NULL ? NULL :
				notifier_errand_new(inode_id(r->fs->inodes, r->node->parent), NULL,
						    NULL, reply_attr, reply);

	if (errand == NULL) {
		mem_free(reply);
		return ERR_NOMEM;
	}
	*reply = (struct attr_reply){.req = r->req, .st = *st};
	notifier_errand_run(r->fs->notifier, errand);
	return 0;
}

/*
 * The kernel believes the length of this answer, whatever has happened since. Were it that of an
 * unfinished vector, who opens the finished one could be given so much of it. So it gets the length of a
 * whole one, and asks again before it uses it. Returns how long it may keep it.
 */
static double finish_size(const struct ops_request *r, struct stat *st)
{
	off_t whole = (off_t)attr_vector_size(r->fs);

	if (r->node->kind != NODE_VECTOR || st->st_size >= whole)
		return ops_attr_timeout(r->node);
	st->st_size = whole;
	return 0;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		 struct fuse_file_info *fi)
{
	struct ops_request r;
	struct stat after;
	int rc;

	if (!ops_begin(&r, req, "setattr", STATUS_OP_setattr, ino, NULL))
		return;
	if ((to_set & FUSE_SET_ATTR_UID) && r.call.uid != 0 && r.call.uid != st->st_uid) {
		ops_forbid(&r, "only root gives files away");
		return;
	}
	rc = change(&r, st, to_set, fi != NULL ? handle_of(fi) : NULL);
	if (rc == 0)
		rc = attr_node(r.fs, r.node, &after);
	if (rc == 0 && r.node->kind == NODE_JSON)
		notifier_inode(r.fs->notifier, NODE_VECTORS); /* their attributes are the same */
	if (rc == 0 && r.node->kind == NODE_TEXT) {
		if (fi != NULL)
			after.st_size = (off_t)handle_text_size(handle_of(fi));
		rc = done_with_attr(&r, &after);
		if (rc == 0)
			return;
	}
	if (rc != 0)
		ops_fail(&r, rc);
	else
		fuse_reply_attr(req, &after, finish_size(&r, &after));
}
