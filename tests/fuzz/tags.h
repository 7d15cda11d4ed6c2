/*
 * tags.h - makes the table of tags of a damaged bucket page that of its entries again, so that the
 * entries themselves are judged and not only that the two differ.
 */
#ifndef VECFS_TESTS_FUZZ_TAGS_H
#define VECFS_TESTS_FUZZ_TAGS_H

#include <stdint.h>

/* As far as entries and table are inside of the page and apart; page may hold anything. */
void tags_mend(uint8_t *page, uint32_t page_size);

#endif
