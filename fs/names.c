/*
 * names.c - creating, removing and renaming vectors, stored or not written whole yet.
 */
#include "fs/names.h"

#include <string.h>

#include "fs/attr.h"
#include "fs/listing.h"
#include "store/mem.h"

static int check(const struct fs *fs, const char *name, struct call *call)
{
	size_t len = strlen(name);

	if (len > FORMAT_ID_MAX)
		return err_set(&call->msg, ERR_NAME_LONG, "an id has at most %u bytes",
			       FORMAT_ID_MAX);
	if (ann_read_only(fs->ann))
		return ERR_READONLY;
	return ann_validate_id(name, len, &call->msg);
}

static struct node *directory(struct fs *fs)
{
	return inode_get(fs->inodes, NODE_VECTORS);
}

int names_create(struct fs *fs, const char *name, uint32_t mode, struct call *call,
		 struct node **node_out)
{
	struct store_attr attr = {
		.mode = mode & 07777, .uid = call->uid, .gid = call->gid, .mtime_ns = attr_now(fs)};
	struct store_entry entry;
	size_t len = strlen(name);
	int rc = check(fs, name, call);

	*node_out = NULL;
	if (rc != 0)
		return rc;
	inode_names_read(fs->inodes);
	rc = ann_get(fs->ann, name, len, &entry, NULL);
	if (rc == 0)
		rc = ERR_EXISTS;
	else if (rc == ERR_ABSENT)
		rc = inode_new_vector(fs->inodes, ann_new_ino(fs->ann), name, len, &attr, node_out);
	inode_names_unlock(fs->inodes);
	if (rc == 0)
		(void)inode_touch_directory(fs->inodes, attr_now(fs)); /* listed once it is whole */
	return rc;
}

/* Removes a vector of the store. Caller holds `names` for writing. */
static int unlink_stored(struct fs *fs, const char *name, struct node *node)
{
	struct node_loose *loose = mem_zalloc(1, sizeof(*loose));
	struct store_put_result removed = {0};
	int rc = loose != NULL ? 0 : ERR_NOMEM;

	if (rc == 0)
		rc = ann_remove(fs->ann, name, strlen(name), &removed);
	if (rc == 0 && node != NULL) {
		loose->attr = removed.attr;
		loose->size = attr_vector_size(fs);
		loose->number = INODE_FIRST_VECTOR + removed.ino;
		inode_unname(fs->inodes, node, loose);
		loose = NULL;
	}
	mem_free(loose);
	return rc == ERR_INVALID ? ERR_ABSENT : rc;
}

int names_unlink(struct fs *fs, const char *name, bool unseen)
{
	struct node_loose loose;
	struct node *node = NULL;
	int rc = 0;

	if (ann_read_only(fs->ann))
		return ERR_READONLY;
	ann_wait_checkpoint(fs->ann);
	inode_names_write(fs->inodes);
	node = inode_hold(fs->inodes, directory(fs), name, strlen(name));
	if (node != NULL && inode_loose(fs->inodes, node, &loose))
		inode_unname(fs->inodes, node, NULL);
	else
		rc = unlink_stored(fs, name, node);
	inode_let_go(fs->inodes, node);
	inode_names_unlock(fs->inodes);
	if (rc == 0)
		listing_changed(fs, unseen);
	return rc;
}

/* --- renaming --- */

struct renaming {
	const char *from, *to;
	size_t from_len, to_len;
	unsigned flags;
	struct node *a, *b; /* of from and to, held; NULL when the kernel does not know them */
	bool a_loose, b_loose, b_stored;
	struct store_entry b_entry;
	char *for_a, *for_b;	   /* names; owned until used */
	struct node_loose *b_left; /* what a replaced b shows; owned until used */
};

static int look(struct fs *fs, struct renaming *r)
{
	struct node_loose loose;
	int rc = 0;

	r->a = inode_hold(fs->inodes, directory(fs), r->from, r->from_len);
	r->b = inode_hold(fs->inodes, directory(fs), r->to, r->to_len);
	r->a_loose = r->a != NULL && inode_loose(fs->inodes, r->a, &loose);
	r->b_loose = r->b != NULL && inode_loose(fs->inodes, r->b, &loose);
	if (!r->b_loose)
		rc = ann_get(fs->ann, r->to, r->to_len, &r->b_entry, NULL);
	r->b_stored = !r->b_loose && rc == 0;
	if (rc != 0 && rc != ERR_ABSENT)
		return rc;
	r->for_a = inode_copy_name(r->to, r->to_len);
	r->for_b = inode_copy_name(r->from, r->from_len);
	r->b_left = mem_zalloc(1, sizeof(*r->b_left));
	return r->for_a != NULL && r->for_b != NULL && r->b_left != NULL ? 0 : ERR_NOMEM;
}

static int exchange(struct fs *fs, struct renaming *r)
{
	int rc = ann_rename(fs->ann, r->from, r->from_len, r->to, r->to_len, STORE_RENAME_EXCHANGE);

	if (rc != 0)
		return rc;
	inode_exchange(fs->inodes, r->a, r->for_a, r->to_len, r->b, r->for_b, r->from_len);
	r->for_a = r->for_b = NULL;
	return 0;
}

static int replace(struct fs *fs, struct renaming *r)
{
	int rc = 0;

	if (!r->a_loose)
		rc = ann_rename(fs->ann, r->from, r->from_len, r->to, r->to_len, r->flags);
	if (rc != 0)
		return rc;
	if (r->b != NULL) {
		r->b_left->attr = r->b_entry.attr;
		r->b_left->size = attr_vector_size(fs);
		r->b_left->number = INODE_FIRST_VECTOR + r->b_entry.ino;
		inode_unname(fs->inodes, r->b, r->b_left);
		r->b_left = NULL;
	}
	inode_rename(fs->inodes, r->a, r->for_a, r->to_len);
	r->for_a = NULL;
	return 0;
}

/* Caller holds `names` for writing. */
static int rename_looked(struct fs *fs, struct renaming *r, struct call *call)
{
	bool swap = r->flags & STORE_RENAME_EXCHANGE;

	if ((r->flags & STORE_RENAME_KEEP) && (r->b_loose || r->b_stored))
		return ERR_EXISTS;
	if (r->a_loose && r->b_stored)
		return err_set(&call->msg, ERR_BUSY,
			       "it is not written whole yet, the vector that it would replace is: "
			       "close it first");
	if (swap && (r->a_loose || r->b_loose))
		return err_set(&call->msg, ERR_BUSY, "one of the two is not written whole yet");
	return swap ? exchange(fs, r) : replace(fs, r);
}

int names_rename(struct fs *fs, const char *from, const char *to, unsigned flags, bool unseen,
		 struct call *call)
{
	struct renaming r = {.from = from,
			     .to = to,
			     .from_len = strlen(from),
			     .to_len = strlen(to),
			     .flags = flags};
	int rc = check(fs, to, call);

	if (rc != 0 || strcmp(from, to) == 0)
		return rc;
	ann_wait_checkpoint(fs->ann);
	inode_names_write(fs->inodes);
	rc = look(fs, &r);
	if (rc == 0)
		rc = rename_looked(fs, &r, call);
	inode_let_go(fs->inodes, r.a);
	inode_let_go(fs->inodes, r.b);
	inode_names_unlock(fs->inodes);
	mem_free(r.for_a);
	mem_free(r.for_b);
	mem_free(r.b_left);
	if (rc == 0)
		listing_changed(fs, unseen);
	return rc;
}
