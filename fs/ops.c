/*
 * ops.c - the requests of the kernel about names, and the table of all.
 *
 * Each request is decoded, becomes one call, and is answered.
 */
#include "fs/ops.h"

#define FUSE_USE_VERSION 310
#include "fs/ops_reply.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/attr.h"
#include "fs/daemon.h"
#include "fs/handle.h"
#include "fs/links.h"
#include "fs/listing.h"
#include "fs/named.h"
#include "fs/namedfile.h"
#include "fs/names.h"
#include "fs/notify.h"
#include "store/mem.h"

#define MAX_WRITE (1u << 20)

/* --- life --- */

int fs_init(struct fs *fs)
{
	struct store_attr directory = {
		.mode = 0755, .uid = fs->uid, .gid = fs->gid, .mtime_ns = (int64_t)fs->start_ns};
	uint64_t seed = 0;
	int rc = fs->io->ops->random(fs->io, &seed, sizeof(seed));

	opened_init(&fs->handles);
	opened_init(&fs->folders);
	if (rc == 0)
		rc = inode_table_new(seed, &directory, &fs->inodes);
	if (rc == 0)
		rc = named_table_new(&fs->named);
	if (rc == 0)
		rc = links_recent_new(&fs->links);
	if (rc == 0)
		rc = listing_new(&fs->listing);
	if (rc == 0)
		rc = notifier_new(fs->session, &fs->notifier);
	if (rc != 0)
		fs_release(fs);
	return rc;
}

void fs_quiet(struct fs *fs)
{
	notifier_stop(fs->notifier);
}

void fs_release(struct fs *fs)
{
	notifier_free(fs->notifier);
	fs->notifier = NULL;
	handle_free_all(fs);
	ops_free_folders(fs);
	opened_release(&fs->handles);
	opened_release(&fs->folders);
	listing_free(fs->listing);
	fs->listing = NULL;
	links_recent_free(fs->links);
	fs->links = NULL;
	named_table_free(fs->named);
	fs->named = NULL;
	inode_table_free(fs->inodes);
	fs->inodes = NULL;
}

static void op_init(void *data, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
				FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ |
				FUSE_CAP_AUTO_INVAL_DATA;
	/*
	 * O_TRUNC: see vecfile.h. Killing of set-user-id bits is left to the kernel, which does it
	 * by setattr.
	 */
	struct fs *fs = data;
	const unsigned unwanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ATOMIC_O_TRUNC |
				  FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE;

	conn->want = (conn->want & ~unwanted) | (conn->capable & wanted);
	conn->max_write = MAX_WRITE;
	/* Only now is it sure that a thread serves requests. Who asked may be gone: then it was in vain. */
	if (fs->daemon != NULL && !daemon_ready(fs->daemon))
		fuse_session_exit(fs->session);
}

/* --- names --- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops_request r;
	struct dir_entry entry;
	struct fuse_entry_param param;
	int rc;

	if (!ops_begin(&r, req, "lookup", STATUS_OP_lookup, parent, name))
		return;
	rc = dir_lookup(r.fs, r.node, name, &r.call, &entry);
	if (rc == ERR_ABSENT && r.call.msg.text[0] == '\0') {
		ops_fail_quietly(&r, rc);
		return;
	}
	if (rc != 0) {
		ops_fail(&r, rc);
		return;
	}
	ops_entry_param(&entry, &param);
	if (parent == NODE_VECTORS)
		listing_looked_up(r.fs);
	if (fuse_reply_entry(req, &param) != 0)
		inode_forget(r.fs->inodes, param.ino, 1);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	struct fs *fs = fuse_req_userdata(req);

	inode_forget(fs->inodes, ino, n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fs *fs = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		inode_forget(fs->inodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_request r;
	struct stat st;
	int rc;

	if (!ops_begin(&r, req, "getattr", STATUS_OP_getattr, ino, NULL))
		return;
	rc = attr_node(r.fs, r.node, &st);
	if (rc == 0 && fi != NULL && r.node->kind == NODE_TEXT)
		st.st_size = (off_t)handle_text_size((struct handle *)(uintptr_t)fi->fh);
	if (rc != 0)
		ops_fail(&r, rc);
	else
		fuse_reply_attr(req, &st, ops_attr_timeout(r.node));
}

/*
 * access(2), when the kernel does not decide by itself (default_permissions). Only who mounted gets here,
 * and may read and write each vector; what can only be read, or only be written, is refused as open() is.
 */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct ops_request r;
	struct stat st;
	unsigned may = R_OK | W_OK;
	int rc;

	if (!ops_begin(&r, req, "access", STATUS_OP_getattr, ino, NULL))
		return;
	rc = attr_node(r.fs, r.node, &st);
	if (rc == 0 && r.node->kind != NODE_VECTOR && r.node->kind != NODE_TEXT &&
	    !S_ISDIR(st.st_mode))
		may = st.st_mode >> 6 & 7;
	if (rc == 0 && (S_ISDIR(st.st_mode) || (st.st_mode & 0111) != 0))
		may |= X_OK;
	if (rc != 0)
		ops_fail(&r, rc);
	else
		fuse_reply_err(req, (unsigned)mask & ~may & 7 ? EACCES : 0);
}

/*
 * Names in json/ are those in vectors/, which the kernel relies on: when they change by way of json/
 * it must be told before the caller goes on.
 */
static struct notifier_errand *about_names(struct ops_request *r, const char *a, const char *b)
{
	struct notifier_errand *errand = notifier_errand_new(NODE_VECTORS, a, b, ops_done_later,
							     r->req);

	if (errand == NULL)
		ops_fail(r, ERR_NOMEM);
	return errand;
}

static void done_with_names(struct ops_request *r, struct notifier_errand *errand, int rc)
{
	if (rc == 0 && errand != NULL) {
		notifier_errand_run(r->fs->notifier, errand);
		return;
	}
	notifier_errand_free(errand);
	ops_done(r, rc);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops_request r;
	struct notifier_errand *errand = NULL;

	if (!ops_begin(&r, req, "unlink", STATUS_OP_unlink, parent, name))
		return;
	if (r.node->kind == NODE_SPEC && namedfile_remove(r.fs, r.node, name) == 0) {
		ops_done(&r, 0);
		return;
	}
	if (r.node->kind != NODE_VECTORS && r.node->kind != NODE_JSON) {
		ops_forbid(&r, "only vectors and named queries can be removed");
		return;
	}
	if (r.node->kind == NODE_JSON) {
		errand = about_names(&r, name, NULL);
		if (errand == NULL)
			return;
	}
	done_with_names(&r, errand, names_unlink(r.fs, name, r.node->kind == NODE_JSON));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	struct ops_request r;
	struct notifier_errand *errand = NULL;
	unsigned store_flags = 0;

	if (!ops_begin(&r, req, "rename", STATUS_OP_rename, parent, name))
		return;
	if ((parent != NODE_VECTORS && parent != NODE_JSON) || new_parent != parent) {
		ops_forbid(&r, "files are renamed within vectors/ or within json/ alone");
		return;
	}
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
		ops_fail(&r, ERR_INVALID);
		return;
	}
	store_flags |= flags & RENAME_NOREPLACE ? STORE_RENAME_KEEP : 0;
	store_flags |= flags & RENAME_EXCHANGE ? STORE_RENAME_EXCHANGE : 0;
	if (parent == NODE_JSON) {
		errand = about_names(&r, name, new_name);
		if (errand == NULL)
			return;
	}
	done_with_names(
		&r, errand,
		names_rename(r.fs, name, new_name, store_flags, parent == NODE_JSON, &r.call));
}

/* --- what has no place here --- */

static void forbid_entry(fuse_req_t req, fuse_ino_t parent, const char *name, const char *operation,
			 const char *sentence)
{
	struct ops_request r;

	if (ops_begin(&r, req, operation, STATUS_OP_create, parent, name))
		ops_forbid(&r, sentence);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	(void)mode;
	(void)dev;
	forbid_entry(req, parent, name, "mknod", "there are no special files here");
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)mode;
	forbid_entry(req, parent, name, "mkdir", "directories cannot be made here");
}

/* A named query is a folder where it answers with links. */
static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops_request r;

	if (!ops_begin(&r, req, "rmdir", STATUS_OP_unlink, parent, name))
		return;
	if (r.node->kind == NODE_SPEC && namedfile_remove(r.fs, r.node, name) == 0)
		ops_done(&r, 0);
	else
		ops_forbid(&r, "directories cannot be removed here");
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct ops_request r;
	char target[PATH_MAX];

	if (!ops_begin(&r, req, "readlink", STATUS_OP_getattr, ino, NULL))
		return;
	if (r.node->kind != NODE_LINK)
		ops_fail(&r, ERR_INVALID);
	else if (links_target(r.node, target, sizeof(target)) >= sizeof(target))
		ops_fail(&r, ERR_NAME_LONG);
	else
		fuse_reply_readlink(req, target);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	(void)target;
	forbid_entry(req, parent, name, "symlink", "there are no links here");
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	forbid_entry(req, parent, name, "link", "a vector has one name");
}

/* --- the rest --- */

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct ops_request r;
	struct statvfs st;

	if (!ops_begin(&r, req, "statfs", STATUS_OP_statfs, ino, NULL))
		return;
	attr_filesystem(r.fs, &st);
	fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.access = op_access,
	.setattr = ops_setattr,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.readlink = op_readlink,
	.link = op_link,
	.unlink = op_unlink,
	.rename = op_rename,
	.create = ops_create,
	.open = ops_open,
	.read = ops_read,
	.write = ops_write,
	.flush = ops_flush,
	.fsync = ops_fsync,
	.release = ops_release,
	.opendir = ops_opendir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.releasedir = ops_releasedir,
	.fsyncdir = ops_fsyncdir,
	.setxattr = ops_setxattr,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
	.removexattr = ops_removexattr,
	.statfs = op_statfs,
};
