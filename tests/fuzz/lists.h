/* lists.h - lists of extended attributes that are well formed, from an input. */
#ifndef VECFS_TESTS_FUZZ_LISTS_H
#define VECFS_TESTS_FUZZ_LISTS_H

#include <stddef.h>
#include <stdint.h>

#include "store/format.h"
#include "tests/fuzz/fuzz.h"

/* The longest list that a page of FORMAT_PAGE_MIN bytes may have. */
#define LISTS_MAX (FORMAT_PAGE_MIN / FORMAT_XATTRS_SHARE)

/* Fills out with none to seven attributes of together no more than LISTS_MAX bytes. Returns how many bytes. */
uint32_t lists_make(struct fuzz_input *in, uint8_t *out);

#endif
