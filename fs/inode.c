/*
 * inode.c - the table of nodes: finding, counting references, forgetting.
 *
 * The table starts small and doubles; it does not shrink, since its buckets are little beside the
 * nodes they held.
 */
#include "fs/inode.h"

#include <stdio.h>
#include <string.h>

#include "fs/inode_table.h"
#include "store/base.h"
#include "store/mem.h"

#define BUCKETS_FIRST 1024u
#define FIRST_RENUMBERED (1ull << 62)
#define FIRST_QUERY (1ull << 63)

static const struct {
	const char *name;
	enum node_kind parent;
} fixed_tree[NODE_FIXED_END] = {
	[NODE_ROOT] = {"", NODE_NONE},
	[NODE_README] = {"README", NODE_ROOT},
	[NODE_VECTORS] = {"vectors", NODE_ROOT},
	[NODE_JSON] = {"json", NODE_ROOT},
	[NODE_QUERY] = {"query", NODE_ROOT},
	[NODE_STATUS] = {"status", NODE_ROOT},
	[NODE_METRICS] = {"metrics", NODE_STATUS},
	[NODE_ERRORS] = {"errors", NODE_STATUS},
	[NODE_CONFIG] = {"config", NODE_STATUS},
	[NODE_CONTROL] = {"control", NODE_STATUS},
};

/* --- the hash tables --- */

static uint64_t mix(uint64_t v)
{
	v ^= v >> 32;
	v *= 0x9e3779b97f4a7c15ull;
	v ^= v >> 29;
	v *= 0xbf58476d1ce4e5b9ull;
	return v ^ v >> 32;
}

static struct node **id_bucket(const struct inode_table *table, uint64_t id)
{
	return &table->by_id[mix(id) & (table->buckets - 1)];
}

static struct node **name_bucket(const struct inode_table *table, const struct node *parent,
				 const char *name, size_t len)
{
	uint64_t hash = mix(table->seed ^ parent->id);

	while (len >= 8) {
		hash = mix(hash ^ get_u64(name));
		name += 8;
		len -= 8;
	}
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3ull;
	return &table->by_name[mix(hash) & (table->buckets - 1)];
}

struct node *inode_table_by_id(const struct inode_table *table, uint64_t id)
{
	struct node *node = *id_bucket(table, id);

	while (node != NULL && node->id != id)
		node = node->next_id;
	return node;
}

struct node *inode_table_by_name(const struct inode_table *table, const struct node *parent,
				 const char *name, size_t len)
{
	struct node *node = *name_bucket(table, parent, name, len);

	while (node != NULL && !(node->parent == parent && node->name_len == len &&
				 memcmp(node->name, name, len) == 0))
		node = node->next_name;
	return node;
}

void inode_table_link_name(struct inode_table *table, struct node *node)
{
	struct node **at = name_bucket(table, node->parent, node->name, node->name_len);

	node->next_name = *at;
	*at = node;
	node->named = true;
}

void inode_table_unlink_name(struct inode_table *table, struct node *node)
{
	struct node **at = name_bucket(table, node->parent, node->name, node->name_len);

	while (*at != node)
		at = &(*at)->next_name;
	*at = node->next_name;
	node->named = false;
}

static void link_id(struct inode_table *table, struct node *node)
{
	struct node **at = id_bucket(table, node->id);

	node->next_id = *at;
	*at = node;
}

static void unlink_id(struct inode_table *table, struct node *node)
{
	struct node **at = id_bucket(table, node->id);

	while (*at != node)
		at = &(*at)->next_id;
	*at = node->next_id;
}

/*
 * Doubles the tables; on a shortage of memory the chains just grow longer. Each node is looked at once
 * for both: nearly all of it is waiting for memory.
 */
static void grow(struct inode_table *table)
{
	size_t old_buckets = table->buckets;
	struct node **old_id = table->by_id;
	struct node **by_id = mem_zalloc(old_buckets * 2, sizeof(*by_id));
	struct node **by_name = mem_zalloc(old_buckets * 2, sizeof(*by_name));

	if (by_id == NULL || by_name == NULL) {
		mem_free(by_id);
		mem_free(by_name);
		return;
	}
	mem_free(table->by_name);
	table->by_id = by_id;
	table->by_name = by_name;
	table->buckets = old_buckets * 2;
	for (int kind = NODE_README; kind < NODE_FIXED_END; kind++)
		inode_table_link_name(table, &table->fixed[kind]);
	for (size_t i = 0; i < old_buckets; i++)
		for (struct node *node = old_id[i], *next; node != NULL; node = next) {
			next = node->next_id;
			link_id(table, node);
			if (node->named)
				inode_table_link_name(table, node);
		}
	mem_free(old_id);
}

/* --- nodes --- */

static bool is_fixed(const struct node *node)
{
	return node->kind < NODE_FIXED_END;
}

struct node *inode_table_make(enum node_kind kind, const char *name, size_t len)
{
	struct node *node = len <= UINT16_MAX ? mem_alloc(sizeof(*node) + len + 1) : NULL;
	char *copy = (char *)(node + 1);

	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(*node));
	memcpy(copy, name, len);
	copy[len] = '\0';
	node->kind = kind;
	node->name = copy;
	node->name_len = (uint16_t)len;
	return node;
}

void inode_table_add(struct inode_table *table, struct node *parent, struct node *node)
{
	if (table->count >= table->buckets)
		grow(table);
	table->count++;
	node->parent = parent;
	parent->children++;
	link_id(table, node);
	if (node->kind != NODE_ALIAS && node->kind != NODE_TEXT)
		inode_table_link_name(table, node);
}

void inode_table_renumber(struct inode_table *table, struct node *node, uint64_t id)
{
	unlink_id(table, node);
	node->id = id;
	link_id(table, node);
}

static void free_node(struct node *node)
{
	if (node->name_owned)
		mem_free((char *)node->name);
	mem_free(node->loose);
	mem_free(node->spec);
	query_vector_release(&node->vector);
	mem_free(node);
}

void inode_table_drop(struct inode_table *table, struct node *node)
{
	while (!is_fixed(node) && node->lookups == 0 && node->opens == 0 && node->children == 0) {
		struct node *parent = node->parent;

		if (node->named && node->loose != NULL)
			table->uncommitted--;
		if (node->named)
			inode_table_unlink_name(table, node);
		unlink_id(table, node);
		if (inode_table_is_query(node))
			inode_table_delist(table, node);
		if (node->kind == NODE_TEXT)
			parent->text = NULL;
		table->count--;
		parent->children--;
		free_node(node);
		node = parent;
	}
}

/* --- life of the table --- */

static void init_locks(struct inode_table *table)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	/* A rename must not wait for ever behind a stream of writes. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&table->names, &attr);
	pthread_rwlockattr_destroy(&attr);
	for (size_t i = 0; i < INODE_STRIPES; i++)
		pthread_mutex_init(&table->stripes[i], NULL);
	pthread_mutex_init(&table->lock, NULL);
}

int inode_table_new(uint64_t seed, const struct store_attr *directory,
		    struct inode_table **table_out)
{
	struct inode_table *table = mem_zalloc(1, sizeof(*table));

	*table_out = NULL;
	if (table == NULL)
		return ERR_NOMEM;
	table->seed = seed;
	table->directory = *directory;
	table->next_renumbered = FIRST_RENUMBERED;
	table->next_query = FIRST_QUERY;
	table->buckets = BUCKETS_FIRST;
	table->by_id = mem_zalloc(table->buckets, sizeof(*table->by_id));
	table->by_name = mem_zalloc(table->buckets, sizeof(*table->by_name));
	init_locks(table);
	if (table->by_id == NULL || table->by_name == NULL) {
		inode_table_free(table);
		return ERR_NOMEM;
	}
	for (int kind = NODE_ROOT; kind < NODE_FIXED_END; kind++) {
		struct node *node = &table->fixed[kind];

		node->id = (uint64_t)kind;
		node->kind = (enum node_kind)kind;
		node->name = fixed_tree[kind].name;
		node->name_len = (uint16_t)strlen(node->name);
		node->parent = &table->fixed[fixed_tree[kind].parent];
		if (kind != NODE_ROOT)
			inode_table_link_name(table, node);
	}
	*table_out = table;
	return 0;
}

void inode_table_free(struct inode_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; table->by_id != NULL && i < table->buckets; i++)
		for (struct node *node = table->by_id[i], *next; node != NULL; node = next) {
			next = node->next_id;
			free_node(node);
		}
	pthread_rwlock_destroy(&table->names);
	for (size_t i = 0; i < INODE_STRIPES; i++)
		pthread_mutex_destroy(&table->stripes[i]);
	pthread_mutex_destroy(&table->lock);
	mem_free(table->by_id);
	mem_free(table->by_name);
	mem_free(table);
}

void inode_names_read(struct inode_table *table)
{
	pthread_rwlock_rdlock(&table->names);
}

void inode_names_write(struct inode_table *table)
{
	pthread_rwlock_wrlock(&table->names);
}

void inode_names_unlock(struct inode_table *table)
{
	pthread_rwlock_unlock(&table->names);
}

void inode_stripe_lock(struct inode_table *table, const struct node *node)
{
	pthread_mutex_lock(&table->stripes[mix((uintptr_t)node) % INODE_STRIPES]);
}

void inode_stripe_unlock(struct inode_table *table, const struct node *node)
{
	pthread_mutex_unlock(&table->stripes[mix((uintptr_t)node) % INODE_STRIPES]);
}

/* --- references --- */

struct node *inode_get(struct inode_table *table, uint64_t id)
{
	struct node *node = NULL;

	if (id > NODE_NONE && id < NODE_FIXED_END)
		return &table->fixed[id];
	pthread_mutex_lock(&table->lock);
	node = inode_table_by_id(table, id);
	if (node != NULL && node->kind == NODE_ALIAS)
		node = node->parent;
	pthread_mutex_unlock(&table->lock);
	return node;
}

uint64_t inode_id(struct inode_table *table, const struct node *node)
{
	uint64_t id;

	pthread_mutex_lock(&table->lock);
	id = node->id;
	pthread_mutex_unlock(&table->lock);
	return id;
}

struct node *inode_ref_name(struct inode_table *table, const struct node *parent, const char *name,
			    size_t len, uint64_t *id_out)
{
	struct node *node = NULL;

	pthread_mutex_lock(&table->lock);
	node = inode_table_by_name(table, parent, name, len);
	if (node != NULL) {
		node->lookups++;
		*id_out = node->id;
	}
	pthread_mutex_unlock(&table->lock);
	return node;
}

struct node *inode_hold(struct inode_table *table, const struct node *parent, const char *name,
			size_t len)
{
	struct node *node = NULL;

	pthread_mutex_lock(&table->lock);
	node = inode_table_by_name(table, parent, name, len);
	if (node != NULL)
		node->opens++;
	pthread_mutex_unlock(&table->lock);
	return node;
}

void inode_let_go(struct inode_table *table, struct node *node)
{
	if (node == NULL)
		return;
	pthread_mutex_lock(&table->lock);
	node->opens--; /* no name goes: who closes the last handle waits for `names` */
	inode_table_drop(table, node);
	pthread_mutex_unlock(&table->lock);
}

void inode_forget(struct inode_table *table, uint64_t id, uint64_t n)
{
	struct node *node = NULL;

	if (id < NODE_FIXED_END)
		return;
	pthread_mutex_lock(&table->lock);
	node = inode_table_by_id(table, id);
	if (node != NULL) {
		node->lookups -= n < node->lookups ? n : node->lookups;
		inode_table_drop(table, node);
	}
	pthread_mutex_unlock(&table->lock);
}

void inode_opened(struct inode_table *table, struct node *node)
{
	pthread_mutex_lock(&table->lock);
	node->opens++;
	pthread_mutex_unlock(&table->lock);
}

bool inode_closed(struct inode_table *table, struct node *node)
{
	bool gone = false;

	/* Not between the two halves of a rename. */
	inode_names_read(table);
	pthread_mutex_lock(&table->lock);
	gone = --node->opens == 0 && node->named && node->loose != NULL;
	if (gone) {
		inode_table_unlink_name(table, node);
		table->uncommitted--;
	}
	inode_table_drop(table, node);
	pthread_mutex_unlock(&table->lock);
	inode_names_unlock(table);
	return gone;
}

/* --- paths and checking --- */

void inode_path(struct inode_table *table, const struct node *node, const char *name, char *buf,
		size_t cap)
{
	const struct node *chain[64];
	size_t depth = 0, at = 0;

	pthread_mutex_lock(&table->lock);
	if (node->kind == NODE_TEXT) {
		chain[depth++] = node->parent;
		node = &table->fixed[NODE_JSON];
	}
	for (; node->kind != NODE_ROOT && depth < 64; node = node->parent)
		chain[depth++] = node;
	buf[0] = '\0';
	while (depth-- > 0 && at + 1 < cap)
		at += (size_t)snprintf(buf + at, cap - at, "%s%s", at > 0 ? "/" : "",
				       chain[depth]->name);
	if (name != NULL && at + 1 < cap)
		at += (size_t)snprintf(buf + at, cap - at, "%s%s", at > 0 ? "/" : "", name);
	pthread_mutex_unlock(&table->lock);
	if (at >= cap && cap > 3)
		memcpy(buf + cap - 4, "...", 4);
}

static bool node_is_sound(const struct inode_table *table, const struct node *node)
{
	return inode_table_by_id(table, node->id) == node &&
	       (!node->named ||
		inode_table_by_name(table, node->parent, node->name, node->name_len) == node) &&
	       node->lookups + node->opens + node->children > 0;
}

int inode_check(struct inode_table *table)
{
	size_t count = 0, queries = 0, uncommitted = 0;
	uint64_t bytes = 0;
	bool sound = true;

	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < table->buckets; i++)
		for (const struct node *node = table->by_id[i]; node; node = node->next_id) {
			sound = sound && node_is_sound(table, node);
			count++;
			queries += inode_table_is_query(node);
			bytes += inode_table_is_query(node) ? inode_table_query_cost(node) : 0;
			uncommitted += node->named && node->loose != NULL;
		}
	sound = sound && count == table->count && queries == table->queries &&
		bytes == table->query_bytes && uncommitted == table->uncommitted;
	for (const struct node *node = table->oldest; node != NULL; node = node->newer)
		queries--;
	pthread_mutex_unlock(&table->lock);
	return sound && queries == 0 ? 0 : ERR_DAMAGED;
}
