/*
 * attr.c - attributes: of vectors from the store, of everything else made up.
 *
 * A vector that the store holds always shows the size of a whole one, also while a handle that
 * truncated it writes a new one: other readers still see the old.
 */
#include "fs/attr.h"

#include <string.h>
#include <time.h>

#include "fs/json.h"
#include "fs/links.h"
#include "fs/namedfile.h"
#include "store/mem.h"

#define BLOCK_SIZE 4096u
#define NS 1000000000
/* The store numbers vectors with 32 bits. */
#define VECTORS_MAX 0xffffffffull

size_t attr_vector_size(const struct fs *fs)
{
	return (size_t)ann_dim(fs->ann) * sizeof(float);
}

int64_t attr_now(const struct fs *fs)
{
	return (int64_t)fs->io->ops->now_ns(fs->io, STORE_CLOCK_REALTIME);
}

static void set_times(struct stat *st, int64_t ns)
{
	struct timespec time = {.tv_sec = ns / NS, .tv_nsec = ns % NS};

	if (time.tv_nsec < 0) {
		time.tv_nsec += NS;
		time.tv_sec--;
	}
	st->st_atim = st->st_mtim = st->st_ctim = time;
}

static void fill_vector(const struct store_attr *attr, uint64_t number, uint64_t size,
			struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = number;
	st->st_mode = S_IFREG | (attr->mode & 07777);
	st->st_nlink = 1;
	st->st_uid = attr->uid;
	st->st_gid = attr->gid;
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + ATTR_BLOCK - 1) / ATTR_BLOCK);
	st->st_blksize = ATTR_IO_SIZE;
	set_times(st, attr->mtime_ns);
}

void attr_entry(struct fs *fs, const struct store_entry *entry, struct stat *st_out)
{
	fill_vector(&entry->attr, INODE_FIRST_VECTOR + entry->ino, attr_vector_size(fs), st_out);
}

/* Caller holds `names`. */
static int vector_attr(struct fs *fs, struct node *node, struct stat *st_out)
{
	struct node_loose loose;
	struct store_entry entry;
	int rc = 0;

	if (inode_loose(fs->inodes, node, &loose)) {
		fill_vector(&loose.attr, loose.number, loose.size, st_out);
		st_out->st_nlink = inode_is_named(fs->inodes, node) ? 1 : 0;
		return 0;
	}
	rc = ann_get(fs->ann, node->name, node->name_len, &entry, NULL);
	if (rc == 0)
		attr_entry(fs, &entry, st_out);
	return rc;
}

/* A vector read as text. Caller holds `names`. */
static int text_attr(struct fs *fs, struct node *vector, struct stat *st_out)
{
	size_t dim = ann_dim(fs->ann);
	float *numbers = NULL;
	struct store_entry entry;
	int rc = vector_attr(fs, vector, st_out);

	if (rc != 0)
		return rc;
	st_out->st_ino += ATTR_TEXT_NUMBER;
	if (inode_is_loose(fs->inodes, vector))
		return 0;
	numbers = mem_alloc(dim * sizeof(*numbers));
	if (numbers == NULL)
		return ERR_NOMEM;
	rc = ann_get(fs->ann, vector->name, vector->name_len, &entry, numbers);
	if (rc == 0)
		st_out->st_size = (off_t)json_size(numbers, dim);
	st_out->st_blocks = (st_out->st_size + ATTR_BLOCK - 1) / ATTR_BLOCK;
	mem_free(numbers);
	return rc;
}

static mode_t virtual_mode(enum node_kind kind)
{
	switch (kind) {
	case NODE_ROOT:
	case NODE_STATUS:
		return S_IFDIR | 0755;
	case NODE_QUERY:
	case NODE_SPEC:
	case NODE_DIGITS:
	case NODE_LIKE:
		return S_IFDIR | 0700;
	case NODE_POINT:
	case NODE_LIKE_ID:
		return S_IFREG | 0400;
	case NODE_RUN:
	case NODE_NAMED:
		return S_IFREG | 0600;
	case NODE_CONTROL:
		return S_IFREG | 0200;
	default:
		return S_IFREG | 0444;
	}
}

static mode_t mode_of(const struct node *node)
{
	return links_is_folder(node) ? S_IFDIR | 0500 : virtual_mode(node->kind);
}

static void virtual_attr(struct fs *fs, const struct node *node, struct stat *st_out)
{
	mode_t mode = mode_of(node);

	memset(st_out, 0, sizeof(*st_out));
	st_out->st_ino = node->id;
	st_out->st_mode = mode;
	st_out->st_nlink = S_ISDIR(mode) ? 2 : 1;
	st_out->st_uid = fs->uid;
	st_out->st_gid = fs->gid;
	st_out->st_blksize = BLOCK_SIZE;
	set_times(st_out, (int64_t)fs->start_ns);
}

static void link_attr(struct fs *fs, const struct node *node, struct stat *st_out)
{
	char nothing[1];

	virtual_attr(fs, node, st_out);
	st_out->st_mode = S_IFLNK | 0777;
	st_out->st_ino = links_number(node->parent, node->link.index);
	st_out->st_size = (off_t)links_target(node, nothing, sizeof(nothing));
}

static int named_attr(struct fs *fs, const struct node *node, struct stat *st_out)
{
	struct named *named = namedfile_of(fs, node);

	if (named == NULL)
		return ERR_ABSENT;
	virtual_attr(fs, node, st_out);
	set_times(st_out, named_mtime(fs->named, named));
	named_release(fs->named, named);
	return 0;
}

/* Its time can be set; it stays its owner's. */
static int change_named(struct fs *fs, const struct node *node, const struct store_attr *attr,
			unsigned mask)
{
	struct named *named = NULL;

	if (((mask & STORE_ATTR_MODE) && attr->mode != 0600) ||
	    ((mask & STORE_ATTR_UID) && attr->uid != fs->uid) ||
	    ((mask & STORE_ATTR_GID) && attr->gid != fs->gid))
		return ERR_PERMISSION;
	named = namedfile_of(fs, node);
	if (named == NULL)
		return ERR_ABSENT;
	if (mask & STORE_ATTR_MTIME)
		named_set_mtime(fs->named, named, attr->mtime_ns);
	named_release(fs->named, named);
	return 0;
}

static void directory_attr(struct fs *fs, const struct node *node, struct stat *st_out)
{
	struct store_attr attr;

	inode_directory_attr(fs->inodes, &attr);
	fill_vector(&attr, node->id, 0, st_out);
	st_out->st_mode = S_IFDIR | (attr.mode & 07777);
	st_out->st_nlink = 2;
}

int attr_node_locked(struct fs *fs, struct node *node, struct stat *st_out)
{
	if (node->kind == NODE_VECTOR)
		return vector_attr(fs, node, st_out);
	if (node->kind == NODE_TEXT)
		return text_attr(fs, node->parent, st_out);
	if (node->kind == NODE_NAMED || node->kind == NODE_NAMED_LINKS)
		return named_attr(fs, node, st_out);
	if (node->kind == NODE_LINK) {
		link_attr(fs, node, st_out);
		return 0;
	}
	if (node->kind == NODE_VECTORS || node->kind == NODE_JSON)
		directory_attr(fs, node, st_out);
	else
		virtual_attr(fs, node, st_out);
	return 0;
}

int attr_node(struct fs *fs, struct node *node, struct stat *st_out)
{
	int rc;

	inode_names_read(fs->inodes);
	rc = attr_node_locked(fs, node, st_out);
	inode_names_unlock(fs->inodes);
	return rc;
}

int attr_change(struct fs *fs, struct node *node, const struct store_attr *attr, unsigned mask)
{
	int rc = 0;

	if (mask == 0)
		return 0;
	if (node->kind == NODE_NAMED)
		return change_named(fs, node, attr, mask);
	if (node->kind == NODE_TEXT)
		node = node->parent;
	if (node->kind == NODE_VECTORS || node->kind == NODE_JSON) {
		inode_set_directory_attr(fs->inodes, attr, mask);
		return 0;
	}
	if (node->kind != NODE_VECTOR)
		return ERR_PERMISSION;
	ann_wait_checkpoint(fs->ann);
	inode_names_read(fs->inodes);
	inode_stripe_lock(fs->inodes, node);
	if (!inode_set_loose(fs->inodes, node, attr, mask))
		rc = ann_set_attr(fs->ann, node->name, node->name_len, attr, mask);
	if (rc == 0 && (mask & STORE_ATTR_MTIME))
		inode_set_mtime(fs->inodes, node, true);
	inode_stripe_unlock(fs->inodes, node);
	inode_names_unlock(fs->inodes);
	return rc;
}

void attr_filesystem(struct fs *fs, struct statvfs *st_out)
{
	struct store_stats stats;
	uint64_t size = attr_vector_size(fs), room = 0;

	store_get_stats(fs->store, &stats);
	memset(st_out, 0, sizeof(*st_out));
	st_out->f_bsize = st_out->f_frsize = BLOCK_SIZE;
	st_out->f_blocks = stats.space_total / BLOCK_SIZE;
	st_out->f_bfree = st_out->f_bavail = stats.space_free / BLOCK_SIZE;
	room = stats.space_free / (size > 0 ? size : BLOCK_SIZE);
	if (room > VECTORS_MAX - stats.live)
		room = VECTORS_MAX - stats.live;
	st_out->f_files = stats.live + room;
	st_out->f_ffree = st_out->f_favail = room;
	st_out->f_namemax = FORMAT_ID_MAX;
}
