/*
 * named.c - a short array of questions, in the order in which they were created.
 *
 * Invariants: 1. all[0 ... count) is ordered by number; each of them has a reference of the table;
 * 2. bytes is the sum of the lengths of all contents that exist, also of those that are removed or
 * replaced and in use. A content never changes.
 */
#include "fs/named.h"

#include <pthread.h>
#include <string.h>

#include "store/err.h"
#include "store/mem.h"

struct named_content {
	uint32_t refs; /* guarded by the table's lock */
	size_t len;
	uint8_t bytes[]; /* aligned for float32 */
};

struct named {
	uint64_t number;
	uint32_t k;
	uint32_t refs;		       /* guarded by the table's lock, as all that follows */
	struct named_content *content; /* a reference; NULL: empty */
	int64_t mtime_ns;
	size_t name_len;
	char name[FORMAT_ID_MAX + 1];
};

struct named_table {
	pthread_mutex_t lock;
	uint64_t last;	/* guarded by lock; number given last */
	uint64_t bytes; /* guarded by lock */
	size_t count;	/* guarded by lock */
	struct named *all[NAMED_MAX];
};

int named_table_new(struct named_table **table_out)
{
	struct named_table *table = mem_zalloc(1, sizeof(*table));

	*table_out = table;
	if (table == NULL)
		return ERR_NOMEM;
	pthread_mutex_init(&table->lock, NULL);
	return 0;
}

/* Caller holds the lock, or is alone. Accepts NULL. */
static void drop_content(struct named_table *table, struct named_content *content)
{
	if (content == NULL || --content->refs > 0)
		return;
	table->bytes -= content->len;
	mem_free(content);
}

/* Caller holds the lock, or is alone. */
static void drop(struct named_table *table, struct named *named)
{
	if (--named->refs > 0)
		return;
	drop_content(table, named->content);
	mem_free(named);
}

void named_table_free(struct named_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->count; i++)
		drop(table, table->all[i]);
	pthread_mutex_destroy(&table->lock);
	mem_free(table);
}

/* The place of a name, or count. Caller holds the lock. */
static size_t place_of(const struct named_table *table, uint32_t k, const char *name, size_t len)
{
	size_t i = 0;

	while (i < table->count && !(table->all[i]->k == k && table->all[i]->name_len == len &&
				     memcmp(table->all[i]->name, name, len) == 0))
		i++;
	return i;
}

struct named *named_find(struct named_table *table, uint32_t k, const char *name, size_t len)
{
	struct named *named = NULL;
	size_t i;

	pthread_mutex_lock(&table->lock);
	i = place_of(table, k, name, len);
	if (i < table->count) {
		named = table->all[i];
		named->refs++;
	}
	pthread_mutex_unlock(&table->lock);
	return named;
}

int named_create(struct named_table *table, uint32_t k, const char *name, size_t len,
		 int64_t mtime_ns, struct named **named_out)
{
	struct named *named = NULL;
	int rc = 0;

	*named_out = NULL;
	if (len > FORMAT_ID_MAX)
		return ERR_NAME_LONG;
	pthread_mutex_lock(&table->lock);
	if (place_of(table, k, name, len) < table->count)
		rc = ERR_EXISTS;
	else if (table->count == NAMED_MAX)
		rc = ERR_FULL;
	else if ((named = mem_zalloc(1, sizeof(*named))) == NULL)
		rc = ERR_NOMEM;
	if (rc != 0)
		goto out;
	named->number = ++table->last;
	named->k = k;
	named->refs = 2;
	named->mtime_ns = mtime_ns;
	named->name_len = len;
	memcpy(named->name, name, len);
	table->all[table->count++] = named;
	*named_out = named;
out:
	pthread_mutex_unlock(&table->lock);
	return rc;
}

void named_release(struct named_table *table, struct named *named)
{
	if (named == NULL)
		return;
	pthread_mutex_lock(&table->lock);
	drop(table, named);
	pthread_mutex_unlock(&table->lock);
}

int named_remove(struct named_table *table, uint32_t k, const char *name, size_t len)
{
	size_t i;
	int rc = ERR_ABSENT;

	pthread_mutex_lock(&table->lock);
	i = place_of(table, k, name, len);
	if (i < table->count) {
		drop(table, table->all[i]);
		table->count--;
		memmove(&table->all[i], &table->all[i + 1],
			(table->count - i) * sizeof(table->all[0]));
		rc = 0;
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

/* The bytes of all contents once this one has lost a reference. Caller holds the lock. */
static uint64_t bytes_without(const struct named_table *table, const struct named_content *content)
{
	return table->bytes - (content != NULL && content->refs == 1 ? content->len : 0);
}

int named_put(struct named_table *table, struct named *named, const void *bytes, size_t len,
	      int64_t mtime_ns)
{
	struct named_content *content = NULL;
	int rc = 0;

	if (len > NAMED_BYTES_MAX)
		return ERR_TOO_BIG;
	if (len > 0) {
		content = mem_alloc(sizeof(*content) + len);
		if (content == NULL)
			return ERR_NOMEM;
		content->refs = 1;
		content->len = len;
		memcpy(content->bytes, bytes, len);
	}
	pthread_mutex_lock(&table->lock);
	if (bytes_without(table, named->content) + len > NAMED_TOTAL_MAX) {
		rc = ERR_FULL;
	} else {
		drop_content(table, named->content);
		table->bytes += len;
		named->content = content;
		named->mtime_ns = mtime_ns;
	}
	pthread_mutex_unlock(&table->lock);
	if (rc != 0)
		mem_free(content);
	return rc;
}

struct named_content *named_share(struct named_table *table, const struct named *named,
				  const uint8_t **bytes_out, size_t *len_out)
{
	struct named_content *content;

	pthread_mutex_lock(&table->lock);
	content = named->content;
	if (content != NULL)
		content->refs++;
	pthread_mutex_unlock(&table->lock);
	*bytes_out = content != NULL ? content->bytes : NULL;
	*len_out = content != NULL ? content->len : 0;
	return content;
}

void named_unshare(struct named_table *table, struct named_content *content)
{
	pthread_mutex_lock(&table->lock);
	drop_content(table, content);
	pthread_mutex_unlock(&table->lock);
}

int named_get(struct named_table *table, const struct named *named, uint8_t **bytes_out,
	      size_t *len_out)
{
	const uint8_t *bytes = NULL;
	struct named_content *content = named_share(table, named, &bytes, len_out);
	int rc = 0;

	*bytes_out = NULL;
	if (content == NULL)
		return 0;
	*bytes_out = mem_alloc(*len_out);
	if (*bytes_out != NULL)
		memcpy(*bytes_out, bytes, *len_out);
	else
		rc = ERR_NOMEM;
	named_unshare(table, content);
	return rc;
}

int64_t named_mtime(struct named_table *table, const struct named *named)
{
	int64_t mtime_ns;

	pthread_mutex_lock(&table->lock);
	mtime_ns = named->mtime_ns;
	pthread_mutex_unlock(&table->lock);
	return mtime_ns;
}

void named_set_mtime(struct named_table *table, struct named *named, int64_t mtime_ns)
{
	pthread_mutex_lock(&table->lock);
	named->mtime_ns = mtime_ns;
	pthread_mutex_unlock(&table->lock);
}

bool named_next(struct named_table *table, uint32_t k, uint64_t after, uint64_t *number_out,
		char name_out[FORMAT_ID_MAX + 1])
{
	const struct named *named = NULL;

	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; named == NULL && i < table->count; i++)
		if (table->all[i]->k == k && table->all[i]->number > after)
			named = table->all[i];
	if (named != NULL) {
		*number_out = named->number;
		memcpy(name_out, named->name, sizeof(named->name));
	}
	pthread_mutex_unlock(&table->lock);
	return named != NULL;
}
