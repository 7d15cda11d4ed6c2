/*
 * picture_store.h - a store of 300 vectors called "picture-<id>", to be damaged and looked at, and what
 * was found. Failures are failures of the running cmocka test.
 */
#ifndef VECFS_TESTS_PICTURE_STORE_H
#define VECFS_TESTS_PICTURE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "tests/support/io_mem.h"

enum { PICTURES = 300, PICTURE_NUMBERS = 100, PICTURE_PAGE = 4096 };

/* All numbers follow from id and the first one. */
void picture_put(struct store *store, uint32_t id, float first);
/* A new store on a new medium, with all pictures but number 7; opened with opts. */
struct io_mem *picture_store_new(const struct store_opts *opts, struct store_io **io_out,
				 struct store **store_out);

/* The sentences of a check. Zeroed before. */
struct findings {
	unsigned damages;
	char all[40000]; /* a line each */
	size_t len;
};

/* A store_finding; ctx is a struct findings. */
void findings_note(void *ctx, bool damage, const char *text);

#endif
