/* xattr.c - reading and making lists of extended attributes. */
#include "store/xattr.h"

#include <string.h>

#include "store/base.h"
#include "store/err.h"

#define HEAD ((uint32_t)sizeof(struct format_xattr))

/* One attribute of a list. */
struct item {
	const uint8_t *at; /* its head */
	const uint8_t *name, *value;
	uint32_t name_len, value_len;
};

uint32_t xattr_list_max(uint32_t page_size)
{
	return page_size / FORMAT_XATTRS_SHARE;
}

static uint32_t item_size(const struct item *item)
{
	return HEAD + item->name_len + item->value_len;
}

/* The attribute at the beginning of so many bytes; false when there is no whole one. */
static bool read_item(const uint8_t *at, size_t left, struct item *item_out)
{
	const struct format_xattr *head = (const struct format_xattr *)at;

	if (left < HEAD)
		return false;
	item_out->at = at;
	item_out->name_len = head->name_length[0];
	item_out->value_len = get_u16(head->value_length);
	item_out->name = at + HEAD;
	item_out->value = item_out->name + item_out->name_len;
	return item_out->name_len > 0 && item_size(item_out) <= left;
}

static int compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

bool xattr_valid(const uint8_t *bytes, size_t len)
{
	struct item item, before = {0};

	for (size_t at = 0; at < len; at += item_size(&item)) {
		if (!read_item(bytes + at, len - at, &item) ||
		    memchr(item.name, '\0', item.name_len) != NULL ||
		    (at > 0 &&
		     compare(before.name, before.name_len, item.name, item.name_len) >= 0))
			return false;
		before = item;
	}
	return true;
}

/* The offset of the first attribute whose name is not less; *same: it is this one, in *item_out. */
static size_t seek(const struct xattrs *list, const char *name, size_t name_len, bool *same,
		   struct item *item_out)
{
	size_t at = 0;
	int order = 1;

	*same = false;
	while (at < list->len && read_item(list->bytes + at, list->len - at, item_out)) {
		order = compare(item_out->name, item_out->name_len, (const uint8_t *)name,
				name_len);
		*same = order == 0;
		if (order >= 0)
			break;
		at += item_size(item_out);
	}
	return at;
}

int xattr_find(const struct xattrs *list, const char *name, size_t name_len,
	       const uint8_t **value_out, uint32_t *value_len_out)
{
	struct item item;
	bool same;

	(void)seek(list, name, name_len, &same, &item);
	if (!same)
		return ERR_ABSENT;
	*value_out = item.value;
	*value_len_out = item.value_len;
	return 0;
}

size_t xattr_names(const struct xattrs *list, char *out)
{
	struct item item;
	size_t n = 0;

	for (size_t at = 0; at < list->len && read_item(list->bytes + at, list->len - at, &item);
	     at += item_size(&item)) {
		if (out != NULL) {
			memcpy(out + n, item.name, item.name_len);
			out[n + item.name_len] = '\0';
		}
		n += item.name_len + 1;
	}
	return n;
}

int xattr_replace(const struct xattrs *list, const char *name, size_t name_len, const void *value,
		  size_t value_len, uint8_t *out, uint32_t cap, uint32_t *len_out)
{
	struct format_xattr head;
	struct item item;
	bool same;
	size_t at = seek(list, name, name_len, &same, &item);
	size_t behind = same ? at + item_size(&item) : at, rest = list->len - behind, n = at;
	size_t added = value != NULL ? HEAD + name_len + value_len : 0;

	if (value_len > UINT16_MAX || at + added + rest > cap)
		return ERR_FULL;
	if (at > 0)
		memcpy(out, list->bytes, at);
	if (value != NULL) {
		head.name_length[0] = (uint8_t)name_len;
		put_u16(head.value_length, (uint16_t)value_len);
		memcpy(out + n, &head, HEAD);
		memcpy(out + n + HEAD, name, name_len);
		memcpy(out + n + HEAD + name_len, value, value_len);
		n += added;
	}
	if (rest > 0)
		memcpy(out + n, list->bytes + behind, rest);
	*len_out = (uint32_t)(n + rest);
	return 0;
}
