/*
 * inode_query.c - nodes below /query: made by a lookup, shared while they are known, bounded.
 *
 * They stand in a list, oldest first. When there are many, the oldest that nobody has open is given
 * to the caller, who has the kernel forget it; until it does, the node is the newest of the list.
 */
#include <string.h>

#include "fs/inode_table.h"
#include "store/mem.h"

bool inode_table_is_query(const struct node *node)
{
	return node->kind > NODE_VECTOR && node->kind < NODE_ALIAS;
}

uint64_t inode_table_query_cost(const struct node *node)
{
	return node->name_len + node->vector.len;
}

static void list_append(struct inode_table *table, struct node *node)
{
	node->older = table->newest;
	node->newer = NULL;
	*(table->newest != NULL ? &table->newest->newer : &table->oldest) = node;
	table->newest = node;
}

static void list_remove(struct inode_table *table, struct node *node)
{
	*(node->older != NULL ? &node->older->newer : &table->oldest) = node->newer;
	*(node->newer != NULL ? &node->newer->older : &table->newest) = node->older;
}

void inode_table_delist(struct inode_table *table, struct node *node)
{
	list_remove(table, node);
	table->queries--;
	table->query_bytes -= inode_table_query_cost(node);
}

/*
 * A name may mean something else by now: when the dimension has become known, or that of a link in
 * another answer, in which another id begins elsewhere in it.
 */
static bool means_the_same(const struct node *node, const struct inode_query *query)
{
	return node->kind == query->kind && node->link.index == query->link.index &&
	       node->link.id_at == query->link.id_at;
}

int inode_ref_query(struct inode_table *table, struct node *parent, const char *name, size_t len,
		    struct inode_query *query, struct node **node_out)
{
	struct node *node = NULL;
	int rc = 0;

	*node_out = NULL;
	pthread_mutex_lock(&table->lock);
	node = inode_table_by_name(table, parent, name, len);
	if (node != NULL && !means_the_same(node, query)) {
		inode_table_unlink_name(table, node);
		node = NULL;
	}
	if (node != NULL) {
		mem_free(query->spec);
		query_vector_release(&query->vector);
		goto found;
	}
	rc = ERR_LIMIT;
	if (table->queries >= INODE_QUERY_HARD ||
	    table->query_bytes + len + query->vector.len > INODE_QUERY_BYTES)
		goto out;
	rc = ERR_NOMEM;
	node = inode_table_make(query->kind, name, len);
	if (node == NULL)
		goto out;
	node->id = table->next_query++;
	node->spec = query->spec;
	node->vector = query->vector;
	node->link = query->link;
	inode_table_add(table, parent, node);
	list_append(table, node);
	table->queries++;
	table->query_bytes += inode_table_query_cost(node);
found:
	memset(query, 0, sizeof(*query));
	node->lookups++;
	*node_out = node;
	rc = 0;
out:
	pthread_mutex_unlock(&table->lock);
	return rc;
}

bool inode_pick_idle(struct inode_table *table, uint64_t *parent_out, char *name, size_t cap,
		     size_t *len_out)
{
	struct node *node = NULL;

	pthread_mutex_lock(&table->lock);
	if (table->queries > INODE_QUERY_SOFT || table->query_bytes > INODE_QUERY_BYTES / 8)
		node = table->oldest;
	if (node != NULL) {
		list_remove(table, node);
		list_append(table, node);
	}
	if (node != NULL && (node->opens > 0 || !node->named || node->name_len >= cap))
		node = NULL;
	if (node != NULL) {
		*parent_out = node->parent->id;
		*len_out = node->name_len;
		memcpy(name, node->name, node->name_len + 1u);
	}
	pthread_mutex_unlock(&table->lock);
	return node != NULL;
}
