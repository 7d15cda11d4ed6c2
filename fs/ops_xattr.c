/*
 * ops_xattr.c - the requests of the kernel about extended attributes.
 *
 * The kernel asks for security.capability when a file is truncated or given away, and before writes
 * that it caches, of which there are none here. ENOSYS would end that, and with it all questions for
 * attributes. So such names are refused before anything is looked at, with the errno after which ls
 * does not ask again; and nothing of it goes to status/errors, where it would displace what matters.
 */
#define FUSE_USE_VERSION 310
#include "fs/ops_reply.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/userattr.h"
#include "store/mem.h"

/* As ops_begin. After ENOSYS the kernel does not ask again. */
static bool begin(struct ops_request *r, fuse_req_t req, const char *operation, enum status_op op,
		  fuse_ino_t ino)
{
	if (!ops_begin(r, req, operation, op, ino, NULL))
		return false;
	if (r->fs->opts.no_xattrs)
		fuse_reply_err(req, ENOSYS);
	return !r->fs->opts.no_xattrs;
}

/* Answers with so many bytes; with their number when size is 0. */
static void reply_bytes(struct ops_request *r, const void *bytes, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(r->req, len);
	else if (size < len)
		fuse_reply_err(r->req, ERANGE);
	else
		fuse_reply_buf(r->req, bytes, len);
}

/* No such attribute has an errno of its own, and is no refusal. */
static void fail(struct ops_request *r, int rc)
{
	if (rc == ERR_ABSENT)
		fuse_reply_err(r->req, ENODATA);
	else if (rc == ERR_EXISTS)
		fuse_reply_err(r->req, EEXIST);
	else if (rc == ERR_UNSUPPORTED && r->call.msg.text[0] == '\0')
		fuse_reply_err(r->req, EOPNOTSUPP);
	else if (rc == ERR_TOO_BIG)
		ops_refuse(r, E2BIG, "E2BIG");
	else
		ops_fail(r, rc);
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct ops_request r;
	struct userattr_list list;
	const uint8_t *value;
	uint32_t len;
	int rc;

	if (!begin(&r, req, "getxattr", STATUS_OP_getxattr, ino))
		return;
	if (!userattr_is_name(name)) {
		fail(&r, ERR_UNSUPPORTED);
		return;
	}
	rc = userattr_list(r.fs, r.node, &list);
	if (rc == 0)
		rc = xattr_find(&list.xattrs, name, strlen(name), &value, &len);
	if (rc != 0)
		fail(&r, rc);
	else
		reply_bytes(&r, value, len, size);
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct ops_request r;
	struct userattr_list list;
	char names[XATTRS_BYTES_MAX];
	int rc;

	if (!begin(&r, req, "listxattr", STATUS_OP_listxattr, ino))
		return;
	rc = userattr_list(r.fs, r.node, &list);
	if (rc != 0)
		fail(&r, rc);
	else
		reply_bytes(&r, names, xattr_names(&list.xattrs, names), size);
}

static void set(fuse_req_t req, fuse_ino_t ino, const char *name, const void *value, size_t size,
		int flags, enum status_op op)
{
	struct ops_request r;
	unsigned kept = 0;
	int rc;

	if (!begin(&r, req, op == STATUS_OP_setxattr ? "setxattr" : "removexattr", op, ino))
		return;
	kept |= (flags & XATTR_CREATE) != 0 ? USERATTR_CREATE : 0;
	kept |= (flags & XATTR_REPLACE) != 0 ? USERATTR_REPLACE : 0;
	rc = userattr_set(r.fs, r.node, name, value, size, kept, &r.call);
	if (rc != 0)
		fail(&r, rc);
	else
		ops_done(&r, 0);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		  int flags)
{
	set(req, ino, name, value != NULL ? value : "", size, flags, STATUS_OP_setxattr);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	set(req, ino, name, NULL, 0, 0, STATUS_OP_removexattr);
}
