/*
 * ops_reply.c - requests in, errors out: the one place where a class of outcome becomes an errno.
 */
#define FUSE_USE_VERSION 310
#include "fs/ops_reply.h"

#include <errno.h>
#include <string.h>

#include "fs/attr.h"

#define PATIENCE_NS 1000000000u
#define ATTR_TIMEOUT 86400.0

#define PATH_SHOWN 512 /* bytes of a path that status/errors keeps */

static const struct {
	int code, number;
	const char *name;
} errnos[] = {
	{ERR_NOMEM, ENOMEM, "ENOMEM"},	     {ERR_IO, EIO, "EIO"},
	{ERR_FULL, ENOSPC, "ENOSPC"},	     {ERR_ABSENT, ENOENT, "ENOENT"},
	{ERR_EXISTS, EEXIST, "EEXIST"},	     {ERR_INVALID, EINVAL, "EINVAL"},
	{ERR_DAMAGED, EIO, "EIO"},	     {ERR_BUSY, EBUSY, "EBUSY"},
	{ERR_READONLY, EROFS, "EROFS"},	     {ERR_FORMAT, EIO, "EIO"},
	{ERR_TOO_BIG, EFBIG, "EFBIG"},	     {ERR_NAME_LONG, ENAMETOOLONG, "ENAMETOOLONG"},
	{ERR_INTERRUPTED, EINTR, "EINTR"},   {ERR_FENCED, EROFS, "EROFS"},
	{ERR_UNKNOWN, EIO, "EIO"},	     {ERR_PERMISSION, EACCES, "EACCES"},
	{ERR_NOT_REGULAR, EINVAL, "EINVAL"}, {ERR_UNSUPPORTED, EOPNOTSUPP, "EOPNOTSUPP"},
	{ERR_AGAIN, EAGAIN, "EAGAIN"},	     {ERR_LIMIT, ENFILE, "ENFILE"},
};

static size_t find(int code)
{
	size_t n = sizeof(errnos) / sizeof(errnos[0]);

	for (size_t i = 0; i < n; i++)
		if (errnos[i].code == code)
			return i;
	return 1; /* ERR_IO: an outcome that nobody defined */
}

/*
 * The kernel says interrupted for every signal, also when the caller was only stopped and goes on. So
 * a search ends only when it has lasted long enough that somebody may have lost patience.
 */
static bool interrupted(void *ctx)
{
	const struct ops_request *r = ctx;
	struct store_io *io = r->fs->io;

	return fuse_req_interrupted(r->req) != 0 &&
	       io->ops->now_ns(io, STORE_CLOCK_MONOTONIC) - r->begun_ns > PATIENCE_NS;
}

bool ops_begin(struct ops_request *r, fuse_req_t req, const char *operation, enum status_op op,
	       fuse_ino_t ino, const char *name)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	memset(r, 0, sizeof(*r));
	r->req = req;
	r->fs = fuse_req_userdata(req);
	r->operation = operation;
	r->name = name;
	r->call.uid = ctx->uid;
	r->call.gid = ctx->gid;
	r->call.thread = (uint64_t)ctx->pid;
	r->call.id = ino;
	r->call.cancelled = interrupted;
	r->call.cancel_ctx = r;
	r->begun_ns = r->fs->io->ops->now_ns(r->fs->io, STORE_CLOCK_MONOTONIC);
	r->node = inode_get(r->fs->inodes, ino);
	status_count(r->fs->status, op);
	if (r->node == NULL)
		fuse_reply_err(req, ESTALE);
	return r->node != NULL;
}

static void remember(struct ops_request *r, const char *errno_name, const char *sentence)
{
	char path[PATH_SHOWN];

	inode_path(r->fs->inodes, r->node, r->name, path, sizeof(path));
	status_error(r->fs->status, (uint64_t)attr_now(r->fs), r->operation, path, errno_name,
		     sentence);
}

/* For outcomes of the disk that come without a sentence: what to do. */
static const char *sentence_of(int code)
{
	switch (code) {
	case ERR_FULL:
		return "no space left under the store: make room on its disk, or remove vectors";
	case ERR_IO:
	case ERR_UNKNOWN:
		return "input/output error under the store: look for the disk's errors in the "
		       "kernel's log; when writing is refused from now on, mount it again";
	case ERR_DAMAGED:
		return "Page checksum mismatch: the store is damaged; unmount it, and vecfs check "
		       "says what is affected";
	case ERR_READONLY:
		return "the collection is read-only: mounted so, or after an input/output error; "
		       "when its disk is well, mount it again";
	default:
		return err_str(code);
	}
}

void ops_remember(struct ops_request *r, int code)
{
	remember(r, errnos[find(code)].name,
		 r->call.msg.text[0] != '\0' ? r->call.msg.text : sentence_of(code));
}

void ops_fail_quietly(struct ops_request *r, int code)
{
	fuse_reply_err(r->req, errnos[find(code)].number);
}

/* What no handler had a sentence for: memory; and of a read that failed, which page is to blame. */
static void explain(struct ops_request *r, int code)
{
	const struct node *node = r->node;

	if (code == ERR_NOMEM && r->call.msg.text[0] == '\0')
		(void)err_set(&r->call.msg, code, "%s", ERR_NOMEM_SENTENCE);
	if ((code != ERR_DAMAGED && code != ERR_IO) || r->call.msg.text[0] != '\0')
		return;
	inode_names_read(r->fs->inodes);
	if ((node->kind == NODE_VECTORS || node->kind == NODE_JSON || node->kind == NODE_LIKE) &&
	    r->name != NULL)
		(void)store_explain(r->fs->store, r->name, strlen(r->name), code, &r->call.msg);
	else if (node->kind == NODE_TEXT)
		(void)store_explain(r->fs->store, node->parent->name, node->parent->name_len, code,
				    &r->call.msg);
	else if (node->kind == NODE_VECTOR || node->kind == NODE_LIKE_ID)
		(void)store_explain(r->fs->store, node->name, node->name_len, code, &r->call.msg);
	else
		(void)store_explain_tables(r->fs->store, code, &r->call.msg);
	inode_names_unlock(r->fs->inodes);
	if (r->call.msg.text[0] == '\0')
		(void)err_set(&r->call.msg, code, "%s; %s", err_str(code),
			      r->fs->opts.read_only ?
				      "vecfs check says more, also beside a read-only mount" :
				      "verify says more: echo verify > status/control");
}

int ops_refused(struct ops_request *r, int code)
{
	explain(r, code);
	if (code != ERR_INTERRUPTED && !r->call.told)
		ops_remember(r, code);
	return errnos[find(code)].number;
}

void ops_fail(struct ops_request *r, int code)
{
	fuse_reply_err(r->req, ops_refused(r, code));
}

void ops_forbid(struct ops_request *r, const char *sentence)
{
	remember(r, "EPERM", sentence);
	fuse_reply_err(r->req, EPERM);
}

void ops_refuse(struct ops_request *r, int number, const char *errno_name)
{
	remember(r, errno_name, r->call.msg.text);
	fuse_reply_err(r->req, number);
}

void ops_done(struct ops_request *r, int code)
{
	if (code != 0)
		ops_fail(r, code);
	else
		fuse_reply_err(r->req, 0);
}

void ops_done_later(void *req)
{
	fuse_reply_err(req, 0);
}

/* All changes go through this mount, but a text or a question may be changed by another path. */
double ops_attr_timeout(const struct node *node)
{
	return node->kind == NODE_TEXT || node->kind == NODE_JSON || node->kind == NODE_NAMED ?
		       0 :
		       ATTR_TIMEOUT;
}

void ops_entry_param(const struct dir_entry *entry, struct fuse_entry_param *param_out)
{
	memset(param_out, 0, sizeof(*param_out));
	param_out->ino = entry->node != NULL ? entry->id : 0;
	param_out->attr = entry->st;
	param_out->attr_timeout = entry->node != NULL ? ops_attr_timeout(entry->node) : 0;
	param_out->entry_timeout = entry->timeout;
}
