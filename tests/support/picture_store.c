/* picture_store.c - see picture_store.h. */
#include "tests/support/picture_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void picture_put(struct store *store, uint32_t id, float first)
{
	struct store_attr attr = {.mode = 0644};
	float value[PICTURE_NUMBERS];
	char name[32];
	size_t len = (size_t)sprintf(name, "picture-%u", (unsigned)id);

	for (uint32_t i = 0; i < PICTURE_NUMBERS; i++)
		value[i] = first + (float)(i * id % 17);
	assert_int_equal(
		store_put(store, name, len, value, sizeof(value), &attr, 0, NULL, NULL, NULL), 0);
}

struct io_mem *picture_store_new(const struct store_opts *opts, struct store_io **io_out,
				 struct store **store_out)
{
	struct store_geometry geometry = {.page_size = PICTURE_PAGE};
	struct io_mem *medium = io_mem_new(5);

	*io_out = io_mem_attach(medium);
	assert_int_equal(store_create(*io_out, &geometry, NULL), 0);
	assert_int_equal(store_open(*io_out, opts, store_out, NULL, NULL), 0);
	for (uint32_t id = 0; id < PICTURES; id++)
		picture_put(*store_out, id, 1.0f);
	assert_int_equal(store_delete(*store_out, "picture-7", 9, NULL, NULL, NULL), 0);
	return medium;
}

void findings_note(void *ctx, bool damage, const char *text)
{
	struct findings *found = ctx;

	found->damages += damage;
	if (found->len + strlen(text) + 2 < sizeof(found->all))
		found->len += (size_t)sprintf(found->all + found->len, "%s\n", text);
}
