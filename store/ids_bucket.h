/*
 * ids_bucket.h - one bucket page of the id index: packed entries. Private to the id index.
 *
 * Functions that take a page expect one that ids_bucket_valid accepted, whatever its origin.
 */
#ifndef VECFS_STORE_IDS_BUCKET_H
#define VECFS_STORE_IDS_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "store/format.h"
#include "store/store.h"
#include "store/xattr.h"

struct ids;

/*
 * Head and every entry's lengths fit, its extended attributes are a list, and the table of tags is that
 * of the entries; says nothing of whether a hash is that of its id.
 */
bool ids_bucket_valid(const uint8_t *page, uint32_t page_size);
uint32_t ids_bucket_depth(const uint8_t *page);
/* Bytes for more entries. */
uint32_t ids_bucket_room(const uint8_t *page, uint32_t page_size);
/* The same in the half, quarter, ... that holds this hash, when splits have made the depth this, not 0. */
uint32_t ids_bucket_room_at(const uint8_t *page, uint32_t page_size, uint64_t hash, uint32_t depth);
/* Bytes an entry with an id of this length takes, with its tag and no extended attributes. */
uint32_t ids_bucket_entry_size(size_t id_len);
/*
 * Bytes that an entry with these extended attributes takes more than the one with that id that it
 * replaces; found NULL: there is none. xattrs NULL: it keeps those of the one that was found.
 */
uint32_t ids_bucket_growth(const struct format_entry *found, size_t id_len,
			   const struct xattrs *xattrs);
void ids_bucket_format(void *page, uint32_t page_size, uint32_t depth);

/* Entries one after the other: *at starts at 0. NULL at the end. */
const struct format_entry *ids_bucket_next(const uint8_t *page, uint32_t *at);
/* Has the processor fetch what finding will read first. The page may be any. */
void ids_bucket_prefetch(const uint8_t *page, uint32_t page_size);
/* The same for where an entry will be added. */
void ids_bucket_prefetch_end(const uint8_t *page);
const struct format_entry *ids_bucket_find(const uint8_t *page, uint32_t page_size, uint64_t hash,
					   const char *id, size_t len);
/* An entry with this hash that holds this slot. */
const struct format_entry *ids_bucket_find_slot(const uint8_t *page, uint32_t page_size,
						uint64_t hash, uint32_t slot);
struct store_attr ids_bucket_attr(const struct format_entry *entry);
/* Copies an entry out; lsn becomes 0. */
void ids_bucket_entry(const struct format_entry *entry, struct store_entry *entry_out);
/* Its extended attributes, in the page. */
struct xattrs ids_bucket_xattrs(const struct format_entry *entry);

/* The id is not there, and there is room. It has no extended attributes. */
void ids_bucket_add(uint8_t *page, uint32_t page_size, uint64_t hash,
		    const struct store_entry *entry);
/*
 * Replaces the entry that was found under this id, in place where its length stays the same; found
 * NULL: adds it. There must be room for the growth. xattrs NULL: keeps those of the one that was found;
 * else they are not in the page.
 */
void ids_bucket_put(uint8_t *page, uint32_t page_size, const struct format_entry *found,
		    uint64_t hash, const struct store_entry *entry, const struct xattrs *xattrs);
/* found: an entry of the page. */
void ids_bucket_remove(uint8_t *page, uint32_t page_size, const struct format_entry *found);
/* Moves entries whose next hash bit is 1 to the new page; both have one more bit of depth. */
void ids_bucket_split(uint8_t *old, uint8_t *new, uint32_t page_size);

/* The bucket that a directory index names; bounds checked. (ids.c) */
int ids_bucket_number(struct ids *ids, uint32_t index, uint32_t *bucket_out);
/* The same with its page, which ids_bucket_valid accepts. (ids.c) */
int ids_bucket_page(struct ids *ids, uint32_t index, uint32_t *bucket_out,
		    const uint8_t **page_out);

#endif
