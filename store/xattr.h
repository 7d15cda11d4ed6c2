/*
 * xattr.h - a list of extended attributes as bytes: what an entry of the id index has behind its id,
 * and what SETXATTR brings.
 *
 * Each attribute is a struct format_xattr, its name, its value. Names ascend, byte by byte, so that a
 * set of attributes has one list and no name stands twice. An empty list has no bytes. What names and
 * values mean is up to the layer above.
 */
#ifndef VECFS_STORE_XATTR_H
#define VECFS_STORE_XATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/format.h"

/* A list, not owned. */
struct xattrs {
	const uint8_t *bytes; /* may be NULL when len is 0 */
	uint32_t len;
};

#define XATTRS_BYTES_MAX (FORMAT_PAGE_MAX / FORMAT_XATTRS_SHARE)

/* Bytes of the longest list that an entry may have with pages of this size. */
uint32_t xattr_list_max(uint32_t page_size);
/* Whether len bytes are a list. Every other function takes lists of which that is known. */
bool xattr_valid(const uint8_t *bytes, size_t len);

/* ERR_ABSENT. *value_out points into the list. */
int xattr_find(const struct xattrs *list, const char *name, size_t name_len,
	       const uint8_t **value_out, uint32_t *value_len_out);
/* The names, each with a zero behind it, one after the other. out NULL: only their size. */
size_t xattr_names(const struct xattrs *list, char *out);
/*
 * The list with one attribute set to another value, or with value NULL left out, into out. name_len is
 * 1 ... 255. ERR_FULL: it would have more than cap bytes. out may not overlap the list.
 */
int xattr_replace(const struct xattrs *list, const char *name, size_t name_len, const void *value,
		  size_t value_len, uint8_t *out, uint32_t cap, uint32_t *len_out);

#endif
