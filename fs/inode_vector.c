/*
 * inode_vector.c - nodes of vectors: loose, committed, renamed, removed.
 *
 * States of a vector's node: created (loose, named) -> committed (named) -> removed (loose, not
 * named); a created one may also be removed or lose its name at its last close, which it gets back when
 * somebody who had found it before opens it.
 */
#include <string.h>

#include "fs/inode_table.h"
#include "store/mem.h"

int inode_ref_vector(struct inode_table *table, uint64_t ino, const char *name, size_t len,
		     struct node **node_out, uint64_t *id_out)
{
	struct node *directory = &table->fixed[NODE_VECTORS];
	struct node *node = NULL;

	pthread_mutex_lock(&table->lock);
	node = inode_table_by_name(table, directory, name, len);
	if (node == NULL) {
		node = inode_table_make(NODE_VECTOR, name, len);
		if (node != NULL) {
			node->id = INODE_FIRST_VECTOR + ino;
			node->version = 1;
			inode_table_add(table, directory, node);
		}
	}
	if (node != NULL) {
		node->lookups++;
		*id_out = node->id;
	}
	pthread_mutex_unlock(&table->lock);
	*node_out = node;
	return node != NULL ? 0 : ERR_NOMEM;
}

int inode_ref_text(struct inode_table *table, struct node *vector, struct node **node_out)
{
	struct node *node = NULL;

	pthread_mutex_lock(&table->lock);
	node = vector->text;
	if (node == NULL) {
		node = inode_table_make(NODE_TEXT, "", 0);
		if (node != NULL) {
			node->id = table->next_query++;
			inode_table_add(table, vector, node);
			vector->text = node;
		}
	}
	if (node != NULL)
		node->lookups++;
	pthread_mutex_unlock(&table->lock);
	*node_out = node;
	return node != NULL ? 0 : ERR_NOMEM;
}

int inode_new_vector(struct inode_table *table, uint64_t ino, const char *name, size_t len,
		     const struct store_attr *attr, struct node **node_out)
{
	struct node *directory = &table->fixed[NODE_VECTORS];
	struct node *node = inode_table_make(NODE_VECTOR, name, len);
	struct node_loose *loose = mem_zalloc(1, sizeof(*loose));
	int rc = ERR_NOMEM;

	*node_out = NULL;
	if (node == NULL || loose == NULL)
		goto out;
	pthread_mutex_lock(&table->lock);
	rc = inode_table_by_name(table, directory, name, len) != NULL ? ERR_EXISTS : 0;
	if (rc == 0) {
		node->id = INODE_FIRST_VECTOR + ino;
		loose->attr = *attr;
		loose->number = node->id;
		node->loose = loose;
		node->version = 1;
		node->lookups = 1;
		node->opens = 1;
		table->uncommitted++;
		inode_table_add(table, directory, node);
		*node_out = node;
		node = NULL;
		loose = NULL;
	}
	pthread_mutex_unlock(&table->lock);
out:
	mem_free(node);
	mem_free(loose);
	return rc;
}

bool inode_loose(struct inode_table *table, const struct node *node, struct node_loose *loose_out)
{
	bool loose;

	pthread_mutex_lock(&table->lock);
	loose = node->loose != NULL;
	if (loose)
		*loose_out = *node->loose;
	pthread_mutex_unlock(&table->lock);
	return loose;
}

bool inode_is_loose(struct inode_table *table, const struct node *node)
{
	struct node_loose loose;

	return inode_loose(table, node, &loose);
}

bool inode_revive(struct inode_table *table, struct node *node)
{
	bool revived;

	pthread_mutex_lock(&table->lock);
	revived = node->named ||
		  inode_table_by_name(table, node->parent, node->name, node->name_len) == NULL;
	if (revived && !node->named) {
		inode_table_link_name(table, node);
		table->uncommitted++;
	}
	pthread_mutex_unlock(&table->lock);
	return revived;
}

bool inode_is_named(struct inode_table *table, const struct node *node)
{
	bool named;

	pthread_mutex_lock(&table->lock);
	named = node->named;
	pthread_mutex_unlock(&table->lock);
	return named;
}

static void change_attr(struct store_attr *to, const struct store_attr *from, unsigned mask)
{
	if (mask & STORE_ATTR_MODE)
		to->mode = from->mode;
	if (mask & STORE_ATTR_UID)
		to->uid = from->uid;
	if (mask & STORE_ATTR_GID)
		to->gid = from->gid;
	if (mask & STORE_ATTR_MTIME)
		to->mtime_ns = from->mtime_ns;
}

bool inode_set_loose(struct inode_table *table, struct node *node, const struct store_attr *attr,
		     unsigned mask)
{
	bool loose;

	pthread_mutex_lock(&table->lock);
	loose = node->loose != NULL;
	if (loose) {
		change_attr(&node->loose->attr, attr, mask);
		node->mtime_set = node->mtime_set || (mask & STORE_ATTR_MTIME);
	}
	pthread_mutex_unlock(&table->lock);
	return loose;
}

void inode_set_size(struct inode_table *table, struct node *node, uint64_t size)
{
	pthread_mutex_lock(&table->lock);
	if (node->loose != NULL && !node->loose->left)
		node->loose->size = size;
	pthread_mutex_unlock(&table->lock);
}

void inode_set_mtime(struct inode_table *table, struct node *node, bool set)
{
	pthread_mutex_lock(&table->lock);
	node->mtime_set = set;
	pthread_mutex_unlock(&table->lock);
}

bool inode_mtime_is_set(struct inode_table *table, const struct node *node)
{
	bool set;

	pthread_mutex_lock(&table->lock);
	set = node->mtime_set;
	pthread_mutex_unlock(&table->lock);
	return set;
}

void inode_committed(struct inode_table *table, struct node *node, uint64_t *version_out)
{
	pthread_mutex_lock(&table->lock);
	if (node->loose != NULL && node->named) {
		mem_free(node->loose);
		node->loose = NULL;
		node->maybe_short = node->lookups > 0;
		table->uncommitted--;
	}
	/*
	 * Who opened it since the store has the new content was given that, and who had it open the one
	 * before, until now. The kernel may keep either.
	 */
	if (node->cached != 0)
		node->cached |= INODE_CACHED_OLD;
	*version_out = ++node->version;
	pthread_mutex_unlock(&table->lock);
}

uint64_t inode_version(struct inode_table *table, const struct node *node)
{
	uint64_t version;

	pthread_mutex_lock(&table->lock);
	version = node->version;
	pthread_mutex_unlock(&table->lock);
	return version;
}

void inode_truncate(struct inode_table *table, struct node *node)
{
	pthread_mutex_lock(&table->lock);
	node->truncations++;
	pthread_mutex_unlock(&table->lock);
}

uint64_t inode_truncations(struct inode_table *table, const struct node *node)
{
	uint64_t truncations;

	pthread_mutex_lock(&table->lock);
	truncations = node->truncations;
	pthread_mutex_unlock(&table->lock);
	return truncations;
}

/*
 * Leaves what the kernel holds to an alias and gives the node another number. Caller holds lock.
 * Without memory for that it stays as it is, and is not cached.
 */
static void leave_number(struct inode_table *table, struct node *node)
{
	struct node *alias = inode_table_make(NODE_ALIAS, "", 0);

	if (alias == NULL)
		return;
	alias->id = node->id;
	alias->lookups = node->lookups;
	inode_table_renumber(table, node, table->next_renumbered++);
	inode_table_add(table, node, alias);
	node->lookups = 0;
	node->cached = 0;
	node->maybe_short = false;
	inode_table_drop(table, alias);
}

/* The first place that holds this caller, or 0 for a free one; INODE_RETRIES when none does. */
static size_t find_retry(const struct inode_table *table, uint64_t caller)
{
	size_t i = 0;

	while (i < INODE_RETRIES && table->retries[i] != caller)
		i++;
	return i;
}

/*
 * Whether the caller was told to retry and is back; not any more then. A caller that the system
 * does not tell (0, from elsewhere) always counts as back. Caller holds lock.
 */
static bool is_back(struct inode_table *table, uint64_t caller)
{
	size_t i = find_retry(table, caller);

	if (i < INODE_RETRIES)
		table->retries[i] = 0;
	return i < INODE_RETRIES || caller == 0;
}

/* When all places are taken, the oldest is of a caller that did not come back. */
static void remember_retry(struct inode_table *table, uint64_t caller)
{
	size_t i = find_retry(table, 0);

	if (i == INODE_RETRIES) {
		i = table->next_retry;
		table->next_retry = (i + 1) % INODE_RETRIES;
	}
	table->retries[i] = caller;
}

enum inode_cache inode_cache(struct inode_table *table, struct node *node, uint64_t id,
			     uint64_t lsn, bool one_page, uint64_t caller)
{
	enum inode_cache result = INODE_CACHE_DROP;
	bool back, other;

	pthread_mutex_lock(&table->lock);
	back = is_back(table, caller);
	other = id == node->id &&
		(node->maybe_short || (!one_page && node->cached != 0 && node->cached != lsn));
	if (other)
		leave_number(table, node);
	if (other || id != node->id) {
		result = back ? INODE_CACHE_NONE : INODE_CACHE_RETRY;
	} else {
		if (node->cached == lsn)
			result = INODE_CACHE_SAME;
		node->cached = lsn;
	}
	if (result == INODE_CACHE_RETRY)
		remember_retry(table, caller);
	pthread_mutex_unlock(&table->lock);
	return result;
}

void inode_length_known(struct inode_table *table, struct node *node)
{
	pthread_mutex_lock(&table->lock);
	node->maybe_short = false;
	pthread_mutex_unlock(&table->lock);
}

bool inode_is_cached(struct inode_table *table, const struct node *node)
{
	bool cached;

	pthread_mutex_lock(&table->lock);
	cached = node->cached != 0;
	pthread_mutex_unlock(&table->lock);
	return cached;
}

void inode_unname(struct inode_table *table, struct node *node, struct node_loose *loose)
{
	pthread_mutex_lock(&table->lock);
	if (node->loose != NULL) {
		table->uncommitted--;
		node->loose->removed = true;
		mem_free(loose);
	} else {
		loose->left = true;
		node->loose = loose;
	}
	inode_table_unlink_name(table, node);
	pthread_mutex_unlock(&table->lock);
}

char *inode_copy_name(const char *name, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (copy != NULL) {
		memcpy(copy, name, len);
		copy[len] = '\0';
	}
	return copy;
}

static void set_name(struct inode_table *table, struct node *node, char *name, size_t len)
{
	if (node->name_owned)
		mem_free((char *)node->name);
	node->name = name;
	node->name_len = (uint16_t)len;
	node->name_owned = true;
	inode_table_link_name(table, node);
}

void inode_rename(struct inode_table *table, struct node *node, char *name, size_t len)
{
	inode_exchange(table, node, name, len, NULL, NULL, 0);
}

void inode_exchange(struct inode_table *table, struct node *a, char *a_name, size_t a_len,
		    struct node *b, char *b_name, size_t b_len)
{
	pthread_mutex_lock(&table->lock);
	if (a != NULL)
		inode_table_unlink_name(table, a);
	if (b != NULL)
		inode_table_unlink_name(table, b);
	if (a != NULL)
		set_name(table, a, a_name, a_len);
	else
		mem_free(a_name);
	if (b != NULL)
		set_name(table, b, b_name, b_len);
	else
		mem_free(b_name);
	pthread_mutex_unlock(&table->lock);
}

size_t inode_uncommitted(struct inode_table *table)
{
	size_t n;

	pthread_mutex_lock(&table->lock);
	n = table->uncommitted;
	pthread_mutex_unlock(&table->lock);
	return n;
}

void inode_directory_attr(struct inode_table *table, struct store_attr *attr_out)
{
	pthread_mutex_lock(&table->lock);
	*attr_out = table->directory;
	table->shown = true;
	pthread_mutex_unlock(&table->lock);
}

void inode_set_directory_attr(struct inode_table *table, const struct store_attr *attr,
			      unsigned mask)
{
	pthread_mutex_lock(&table->lock);
	change_attr(&table->directory, attr, mask);
	pthread_mutex_unlock(&table->lock);
}

bool inode_touch_directory(struct inode_table *table, int64_t now_ns)
{
	bool shown;

	pthread_mutex_lock(&table->lock);
	table->touched_ns = now_ns > table->touched_ns ? now_ns : table->touched_ns + 1;
	table->directory.mtime_ns = table->touched_ns;
	shown = table->shown;
	table->shown = false;
	pthread_mutex_unlock(&table->lock);
	return shown;
}
