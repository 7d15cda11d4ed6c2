/*
 * ops_dir.c - requests about open directories.
 *
 * The fh of an open directory is a struct folder. Which listings the kernel keeps: of the fixed
 * directories, which never change, always; of /vectors by the rules of listing.c; no others.
 */
#define FUSE_USE_VERSION 310
#include "fs/ops_reply.h"

#include "fs/links.h"
#include "fs/listing.h"
#include "store/mem.h"

struct folder {
	struct opened opened; /* in fs->folders; first */
	struct links *links;  /* of a folder of links, else NULL; one reference */
	bool used;	      /* has the use of the listing that the kernel keeps */
};

static struct folder *folder_of(const struct fuse_file_info *fi)
{
	return (struct folder *)(uintptr_t)fi->fh;
}

static struct folder *folder_new(struct fs *fs)
{
	struct folder *folder = mem_zalloc(1, sizeof(*folder));

	if (folder != NULL)
		opened_add(&fs->folders, &folder->opened);
	return folder;
}

/* Accepts NULL. */
static void folder_free(struct fs *fs, struct folder *folder)
{
	if (folder == NULL)
		return;
	opened_remove(&fs->folders, &folder->opened);
	links_release(folder->links);
	mem_free(folder);
}

void ops_free_folders(struct fs *fs)
{
	while (fs->folders.first != NULL)
		folder_free(fs, (struct folder *)fs->folders.first);
}

static void choose_cache(struct ops_request *r, struct folder *folder, struct fuse_file_info *fi)
{
	struct listing_grant grant = {0};

	switch (r->node->kind) {
	case NODE_ROOT:
	case NODE_QUERY:
	case NODE_STATUS:
		fi->cache_readdir = fi->keep_cache = 1;
		return;
	case NODE_VECTORS:
		grant = listing_opened(r->fs);
		folder->used = grant.use;
		fi->cache_readdir = grant.use;
		fi->keep_cache = grant.keep;
		return;
	default:
		return;
	}
}

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_request r;
	struct folder *folder = NULL;
	int rc;

	if (!ops_begin(&r, req, "opendir", STATUS_OP_open, ino, NULL))
		return;
	rc = dir_may_enter(r.fs, r.node, &r.call);
	if (rc == 0)
		folder = folder_new(r.fs);
	if (rc == 0 && folder == NULL)
		rc = ERR_NOMEM;
	if (rc == 0 && links_is_folder(r.node))
		rc = links_open(r.fs, r.node, &r.call, &folder->links);
	if (rc != 0) {
		folder_free(r.fs, folder);
		ops_fail(&r, rc);
		return;
	}
	choose_cache(&r, folder, fi);
	fi->fh = (uintptr_t)folder;
	if (fuse_reply_open(req, fi) == 0)
		return;
	if (folder->used)
		listing_forsaken(r.fs->listing);
	folder_free(r.fs, folder);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fuse_req_userdata(req);

	(void)ino;
	if (folder_of(fi)->used)
		listing_closed(fs->listing);
	folder_free(fs, folder_of(fi));
	fuse_reply_err(req, 0);
}

/* The answer to a READDIR being filled. */
struct listing {
	fuse_req_t req;
	char *at;
	size_t left, size;
	bool plus;
};

static bool add_entry(void *ctx, const char *name, const struct dir_entry *entry, uint64_t next)
{
	struct listing *listing = ctx;
	struct fuse_entry_param param;
	size_t need = 0;

	if (listing->plus) {
		ops_entry_param(entry, &param);
		need = fuse_add_direntry_plus(listing->req, listing->at, listing->left, name,
					      &param, (off_t)next);
	} else {
		need = fuse_add_direntry(listing->req, listing->at, listing->left, name, &entry->st,
					 (off_t)next);
	}
	if (need > listing->left)
		return false;
	listing->at += need;
	listing->left -= need;
	return true;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 const struct fuse_file_info *fi, bool plus)
{
	const struct folder *folder = folder_of(fi);
	struct ops_request r;
	char *buf = NULL;
	struct listing listing = {.req = req, .left = size, .size = size, .plus = plus};
	int rc = ERR_NOMEM;

	if (!ops_begin(&r, req, "readdir", STATUS_OP_readdir, ino, NULL))
		return;
	buf = mem_alloc(size);
	listing.at = buf;
	if (buf != NULL)
		rc = dir_list(r.fs, r.node, folder->links, (uint64_t)offset, plus, &r.call,
			      add_entry, &listing);
	/* What was found before an error is given first; the error comes with the next request. */
	if (folder->used && (rc == 0 || listing.left < size))
		listing_brings(r.fs->listing, offset == 0, listing.left == size);
	if (rc != 0 && listing.left == size)
		ops_fail(&r, rc);
	else
		fuse_reply_buf(req, buf, size - listing.left);
	mem_free(buf);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi)
{
	list(req, ino, size, offset, fi, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	list(req, ino, size, offset, fi, true);
}

void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct ops_request r;

	(void)datasync;
	(void)fi;
	if (ops_begin(&r, req, "fsync", STATUS_OP_fsync, ino, NULL))
		ops_done(&r, ann_sync(r.fs->ann));
}
