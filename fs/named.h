/*
 * named.h - named queries: questions that stand under a name until they are removed or the mount ends.
 *
 * A question is the bytes of some vectors. Its name belongs to a number of neighbours, whatever other
 * options the path has: /query/10/q and /query/10,exact,format=json/q are answers to the same one.
 * A question that is removed while it is in use goes with its last reference.
 *
 * Threads: any; a table has one lock, a leaf.
 */
#ifndef VECFS_FS_NAMED_H
#define VECFS_FS_NAMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/ann.h"

#define NAMED_MAX 1024u		       /* questions at once */
#define NAMED_BYTES_MAX (32ull << 20)  /* of one */
#define NAMED_TOTAL_MAX (256ull << 20) /* of all */

struct named_table;
struct named;
struct named_content; /* bytes of a question as they were at some moment */

int named_table_new(struct named_table **table_out);
/* Nobody holds a reference any more. Accepts NULL. */
void named_table_free(struct named_table *table);

/* One more reference, or NULL when there is none of that name. */
struct named *named_find(struct named_table *table, uint32_t k, const char *name, size_t len);
/* A new, empty one, with a reference. ERR_EXISTS; ERR_FULL: there are NAMED_MAX; ERR_NOMEM. */
int named_create(struct named_table *table, uint32_t k, const char *name, size_t len,
		 int64_t mtime_ns, struct named **named_out);
void named_release(struct named_table *table, struct named *named);
/* ERR_ABSENT. */
int named_remove(struct named_table *table, uint32_t k, const char *name, size_t len);

/* Replaces the bytes, which are copied. ERR_TOO_BIG, ERR_FULL above NAMED_TOTAL_MAX, ERR_NOMEM. */
int named_put(struct named_table *table, struct named *named, const void *bytes, size_t len,
	      int64_t mtime_ns);
/* A copy (mem_free; NULL when it is empty). ERR_NOMEM. */
int named_get(struct named_table *table, const struct named *named, uint8_t **bytes_out,
	      size_t *len_out);
/*
 * The bytes themselves, as they are now and stay until named_unshare: a reference, which may outlive
 * the question. NULL when it is empty.
 */
struct named_content *named_share(struct named_table *table, const struct named *named,
				  const uint8_t **bytes_out, size_t *len_out);
void named_unshare(struct named_table *table, struct named_content *content); /* accepts NULL */
int64_t named_mtime(struct named_table *table, const struct named *named);
void named_set_mtime(struct named_table *table, struct named *named, int64_t mtime_ns);

/*
 * The first of the questions of k that was created after the one of that number (0: all); false when
 * there is none. Numbers are never used again.
 */
bool named_next(struct named_table *table, uint32_t k, uint64_t after, uint64_t *number_out,
		char name_out[FORMAT_ID_MAX + 1]);

#endif
