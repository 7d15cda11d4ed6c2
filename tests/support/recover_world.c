/* recover_world.c - building it, and looking whether all of it is there. */
#include "tests/support/recover_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/page.h"
#include "store/store_private.h"

uint32_t recover_world_versions[RECOVER_WORLD_IDS];

void recover_world_put(struct store_fixture *f, uint32_t step, uint32_t version)
{
	for (uint32_t id = 0; id < RECOVER_WORLD_IDS; id += step) {
		store_fixture_put(f, id, version);
		recover_world_versions[id] = version;
	}
}

void recover_world_expect(struct store_fixture *f)
{
	for (uint32_t id = 0; id < RECOVER_WORLD_IDS; id++)
		store_fixture_expect(f, id, recover_world_versions[id]);
	store_fixture_check(f);
}

void recover_world_build(struct store_fixture *f)
{
	store_fixture_new(f, NULL);
	memset(recover_world_versions, 0, sizeof(recover_world_versions));
	recover_world_put(f, 2, 1);
	assert_int_equal(store_checkpoint(f->store), 0);
	recover_world_put(f, 1, 2);
	assert_int_equal(store_checkpoint(f->store), 0);
	recover_world_put(f, 5, 3);
	store_fixture_crash(f);
}

void recover_world_look(struct store_fixture *f, struct head *head_out,
			struct head_slot slots_out[2])
{
	recover_world_build(f);
	assert_int_equal(store_fixture_slots(f, head_out, slots_out), 2);
}

void recover_world_reopens(struct store_fixture *f, bool older)
{
	store_fixture_open(f);
	assert_int_equal(f->report.older_slot, older);
	assert_int_equal(strstr(f->report.note.text, "commit slot is unusable") != NULL, older);
	recover_world_expect(f);
	recover_world_put(f, 7, 4);
	assert_int_equal(store_checkpoint(f->store), 0);
	recover_world_put(f, 11, 5);
	store_fixture_reopen(f);
	assert_false(f->report.older_slot);
	recover_world_expect(f);
}

void recover_world_refuses(struct store_fixture *f, int want, const char *words)
{
	assert_int_equal(store_fixture_try_open(f), want);
	if (strstr(f->msg.text, words) == NULL)
		print_error("\"%s\" is not in: %s\n", words, f->msg.text);
	assert_non_null(strstr(f->msg.text, words));
}

void recover_world_lose_segment(struct store_fixture *f, uint64_t seq)
{
	struct store_io *io = io_mem_attach(f->medium);

	assert_int_equal(io->ops->log_remove(io, seq), 0);
	io->ops->close(io);
}

void recover_world_spoil_newest(struct store_fixture *f)
{
	struct head_slot slots[2];
	struct head head;
	size_t len;

	assert_int_equal(store_fixture_slots(f, &head, slots), 2);
	io_mem_head(f->medium,
		    &len)[FORMAT_SLOT_AT + (slots[0].generation & 1) * FORMAT_BLOCK + 90] ^= 1;
}

void recover_world_spoil_map(struct store_fixture *f)
{
	struct head_slot slots[2];
	struct head head;
	struct place at;
	size_t len;

	assert_int_equal(store_fixture_slots(f, &head, slots), 2);
	for (int copy = 0; copy < 2; copy++) {
		assert_true(place_unpack(get_u64(slots[0].roots[0].top.place[copy]), &at));
		io_mem_head(f->medium, &len)[at.block * FORMAT_BLOCK + 100] ^= 0x40;
	}
}
