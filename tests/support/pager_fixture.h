/*
 * pager_fixture.h - a pager on an in-memory disk, without a store around it. Failures are failures of
 * the running cmocka test.
 */
#ifndef VECFS_TESTS_PAGER_FIXTURE_H
#define VECFS_TESTS_PAGER_FIXTURE_H

#include <stdint.h>

#include "store/head.h"
#include "store/pager.h"
#include "tests/support/io_mem.h"

enum { PAGER_FIXTURE_PAGE = 4096 }; /* bytes */

struct pager_fixture {
	struct io_mem *medium;
	struct store_io *io;
	struct epoch *epoch;
	struct pager *pager;
	struct pager_extents trunks; /* of the free list that the slot names */
	struct head_slot slot;
};

extern const uint8_t pager_fixture_uuid[16];

/* limit: of the frames, in bytes. */
void pager_fixture_new(struct pager_fixture *fixture, uint64_t limit);
void pager_fixture_free(struct pager_fixture *fixture);

#endif
