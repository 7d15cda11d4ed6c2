/* pager_fixture.c - see pager_fixture.h. */
#include "tests/support/pager_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

const uint8_t pager_fixture_uuid[16] = {7};

void pager_fixture_new(struct pager_fixture *fixture, uint64_t limit)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->medium = io_mem_new(1);
	fixture->io = io_mem_attach(fixture->medium);
	assert_int_equal(epoch_new(&fixture->epoch), 0);
	assert_int_equal(pager_new(&fixture->pager, fixture->io, fixture->epoch, pager_fixture_uuid,
				   PAGER_FIXTURE_PAGE, limit),
			 0);
}

void pager_fixture_free(struct pager_fixture *fixture)
{
	pager_free(fixture->pager);
	pager_extents_release(&fixture->trunks);
	epoch_free(fixture->epoch);
	fixture->io->ops->close(fixture->io);
	io_mem_free(fixture->medium);
}
