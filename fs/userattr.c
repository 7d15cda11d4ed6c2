/*
 * userattr.c - extended attributes of vectors.
 *
 * The store keeps a whole list: one attribute is changed by reading the list and writing another, with
 * the stripe of the vector held, so that no change of another is lost.
 */
#include "fs/userattr.h"

#include <string.h>

#include "ann/ann.h"

#define PREFIX "user."
#define PREFIX_LEN (sizeof(PREFIX) - 1)

bool userattr_is_name(const char *name)
{
	return strncmp(name, PREFIX, PREFIX_LEN) == 0 && name[PREFIX_LEN] != '\0' &&
	       strlen(name) <= FORMAT_XATTR_NAME_MAX;
}

/* The vector that a node shows; NULL: none. */
static struct node *vector_of(struct node *node)
{
	if (node->kind == NODE_TEXT)
		node = node->parent;
	return node->kind == NODE_VECTOR ? node : NULL;
}

/* Caller holds `names`; the vector is not loose. */
static int get_list(struct fs *fs, const struct node *vector, struct userattr_list *list_out)
{
	list_out->xattrs.bytes = list_out->bytes;
	return ann_get_xattrs(fs->ann, vector->name, vector->name_len, list_out->bytes,
			      &list_out->xattrs.len);
}

int userattr_list(struct fs *fs, struct node *node, struct userattr_list *list_out)
{
	struct node *vector = vector_of(node);
	int rc = 0;

	list_out->xattrs = (struct xattrs){NULL, 0};
	if (vector == NULL)
		return 0;
	inode_names_read(fs->inodes);
	if (!inode_is_loose(fs->inodes, vector))
		rc = get_list(fs, vector, list_out);
	inode_names_unlock(fs->inodes);
	return rc;
}

static int refuse_size(const struct fs *fs, const char *name, size_t size, struct call *call)
{
	uint32_t max = store_xattr_max(fs->store);
	bool alone = strlen(name) + size + sizeof(struct format_xattr) > max;

	return err_set(
		&call->msg, alone ? ERR_TOO_BIG : ERR_FULL,
		"%.255s with %zu bytes: the attributes of a vector take up to %u bytes here, "
		"each its name, its value and %zu more; remove others, or keep less in them",
		name, size, max, sizeof(struct format_xattr));
}

/* Caller holds `names` and the stripe. */
static int change(struct fs *fs, const struct node *vector, const char *name, const void *value,
		  size_t size, unsigned flags, struct call *call)
{
	struct userattr_list before;
	uint8_t bytes[XATTRS_BYTES_MAX];
	struct xattrs after = {bytes, 0};
	const uint8_t *old;
	uint32_t old_size;
	int rc = get_list(fs, vector, &before);

	if (rc != 0)
		return rc;
	rc = xattr_find(&before.xattrs, name, strlen(name), &old, &old_size);
	if (rc == 0 && (flags & USERATTR_CREATE) != 0)
		return ERR_EXISTS;
	if (rc != 0 && (value == NULL || (flags & USERATTR_REPLACE) != 0))
		return rc;
	rc = xattr_replace(&before.xattrs, name, strlen(name), value, size, bytes,
			   store_xattr_max(fs->store), &after.len);
	if (rc == ERR_FULL)
		return refuse_size(fs, name, size, call);
	return ann_set_xattrs(fs->ann, vector->name, vector->name_len, &after);
}

int userattr_set(struct fs *fs, struct node *node, const char *name, const void *value, size_t size,
		 unsigned flags, struct call *call)
{
	struct node *vector = vector_of(node);
	int rc;

	if (vector == NULL || !userattr_is_name(name))
		return ERR_UNSUPPORTED;
	ann_wait_checkpoint(fs->ann);
	inode_names_read(fs->inodes);
	inode_stripe_lock(fs->inodes, vector);
	if (inode_is_loose(fs->inodes, vector))
		rc = err_set(&call->msg, ERR_UNSUPPORTED,
			     "attributes are kept with a stored vector: write all of it first");
	else
		rc = change(fs, vector, name, value, size, flags, call);
	inode_stripe_unlock(fs->inodes, vector);
	inode_names_unlock(fs->inodes);
	return rc;
}
