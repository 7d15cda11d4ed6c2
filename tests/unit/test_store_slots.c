/*
 * test_store_slots.c - the slot table: states, which slot is taken next and when a freed one is, where
 * values lie, what a table that cannot be says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/slots.h"
#include "tests/support/io_mem.h"

#define PAGE 4096u
#define PER_PAGE (PAGE / 16) /* entries */

static const uint8_t uuid[16] = {3};

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct epoch *epoch;
	struct pager *pager;
	struct slots slots;
};

static void start(struct world *w, uint32_t value_size)
{
	memset(w, 0, sizeof(*w));
	w->medium = io_mem_new(1);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(epoch_new(&w->epoch), 0);
	assert_int_equal(pager_new(&w->pager, w->io, w->epoch, uuid, PAGE, 64 << 20), 0);
	slots_init(&w->slots, w->pager, value_size, 0);
	epoch_enter(w->epoch);
}

static void end(struct world *w)
{
	epoch_leave(w->epoch);
	slots_release(&w->slots);
	pager_free(w->pager);
	epoch_free(w->epoch);
	w->io->ops->close(w->io);
	io_mem_free(w->medium);
}

/* Readers come and go, so that what was freed before is seen by nobody. */
static void turn_epoch(struct world *w)
{
	epoch_leave(w->epoch);
	epoch_enter(w->epoch);
}

static void set(struct world *w, uint32_t slot, enum store_slot_state state)
{
	struct slots_entry entry = {slot * 7 + 1, slot + 100, state};

	assert_int_equal(slots_reserve(&w->slots, slot), 0);
	slots_set(&w->slots, slot, &entry);
}

/* Takes a slot and makes it live; its number. */
static uint32_t take(struct world *w)
{
	uint32_t slot = UINT32_MAX;

	assert_int_equal(slots_take(&w->slots, &slot), 0);
	set(w, slot, STORE_SLOT_LIVE);
	return slot;
}

static void free_slot(struct world *w, uint32_t slot)
{
	set(w, slot, STORE_SLOT_FREE);
	slots_freed(&w->slots, slot);
}

static void expect(struct world *w, uint32_t slot, enum store_slot_state state)
{
	struct slots_entry entry;

	assert_int_equal(slots_get(&w->slots, slot, &entry), 0);
	assert_int_equal(entry.state, state);
	assert_int_equal(entry.id_hash, slot * 7 + 1);
	assert_int_equal(entry.lsn, slot + 100);
}

static void test_numbers(void **state)
{
	struct slots_entry entry;
	struct world w;

	(void)state;
	start(&w, 64);
	assert_int_equal(slots_get(&w.slots, 0, &entry), ERR_ABSENT);
	for (uint32_t i = 0; i < 3 * PER_PAGE; i++)
		assert_int_equal(take(&w), i);
	assert_int_equal(atomic_load(&w.slots.live), 3 * PER_PAGE);
	for (uint32_t i = 0; i < 3 * PER_PAGE; i += 2)
		set(&w, i, STORE_SLOT_DEAD);
	assert_int_equal(atomic_load(&w.slots.dead), 3 * PER_PAGE / 2);
	for (uint32_t i = 0; i < 3 * PER_PAGE; i++)
		expect(&w, i, i % 2 == 0 ? STORE_SLOT_DEAD : STORE_SLOT_LIVE);
	assert_int_equal(slots_check(&w.slots), 0);
	/* the dead are not taken */
	assert_int_equal(take(&w), 3 * PER_PAGE);
	assert_int_equal(slots_get(&w.slots, 3 * PER_PAGE + 1, &entry), ERR_ABSENT);
	end(&w);
}

/* A slot that was taken and not used is the next one; one behind the end as well. */
static void test_untake(void **state)
{
	struct world w;
	uint32_t slot;

	(void)state;
	start(&w, 64);
	(void)take(&w);
	(void)take(&w);
	assert_int_equal(slots_take(&w.slots, &slot), 0);
	assert_int_equal(slot, 2);
	slots_untake(&w.slots, slot);
	assert_int_equal(slots_take(&w.slots, &slot), 0);
	assert_int_equal(slot, 2);
	free_slot(&w, 0);
	turn_epoch(&w);
	assert_int_equal(slots_take(&w.slots, &slot), 0);
	assert_int_equal(slot, 0);
	slots_untake(&w.slots, slot);
	assert_int_equal(slots_check(&w.slots), 0);
	assert_int_equal(take(&w), 0);
	assert_int_equal(take(&w), 2);
	end(&w);
}

/* A freed slot is not taken while somebody is inside who was there when it was freed. */
static void test_readers_are_waited_for(void **state)
{
	struct world w;

	(void)state;
	start(&w, 64);
	for (uint32_t i = 0; i < 5; i++)
		(void)take(&w);
	free_slot(&w, 1);
	free_slot(&w, 3);
	assert_int_equal(take(&w), 5);
	turn_epoch(&w);
	free_slot(&w, 4);
	/* 1 and 3 are let go of together, the lowest is taken first; 4 was freed in this stay */
	assert_int_equal(take(&w), 1);
	assert_int_equal(take(&w), 3);
	assert_int_equal(take(&w), 6);
	turn_epoch(&w);
	assert_int_equal(take(&w), 4);
	assert_int_equal(take(&w), 7);
	assert_int_equal(slots_check(&w.slots), 0);
	end(&w);
}

/* A page that was emptied, filled and emptied again waits for the readers of what it held last. */
static void test_emptied_twice(void **state)
{
	uint8_t value[PAGE], seen[PAGE];
	const void *bytes;
	struct world w;
	bool more;

	(void)state;
	memset(value, 7, sizeof(value));
	start(&w, PAGE);
	for (unsigned time = 0; time < 2; time++) {
		assert_int_equal(take(&w), 0);
		assert_int_equal(slots_write_value(&w.slots, 0, value), 0);
		if (time == 1)
			assert_int_equal(slots_value(&w.slots, 0, STORE_HINT_NONE, &bytes), 0);
		free_slot(&w, 0);
		if (time == 0)
			turn_epoch(&w);
	}
	/* the reader of the second value is still inside */
	assert_int_equal(slots_clear(&w.slots, 64, &more), 0);
	memcpy(seen, bytes, sizeof(seen));
	assert_memory_equal(seen, value, sizeof(value));
	turn_epoch(&w);
	assert_int_equal(slots_clear(&w.slots, 64, &more), 0);
	assert_int_equal(slots_value(&w.slots, 0, STORE_HINT_NONE, &bytes), 0);
	assert_int_equal(*(const uint8_t *)bytes, 0);
	end(&w);
}

/* What an opening makes of the table: free ones low first, dead ones left alone. */
static void test_load(void **state)
{
	struct world w;

	(void)state;
	start(&w, 64);
	for (uint32_t i = 0; i < 2 * PER_PAGE; i++)
		(void)take(&w);
	for (uint32_t i = 0; i < 2 * PER_PAGE; i++)
		if (i % 3 != 0)
			set(&w, i, i % 3 == 1 ? STORE_SLOT_DEAD : STORE_SLOT_FREE);
	assert_int_equal(slots_load(&w.slots), 0);
	assert_int_equal(atomic_load(&w.slots.live), (2 * PER_PAGE + 2) / 3);
	assert_int_equal(atomic_load(&w.slots.dead), (2 * PER_PAGE + 1) / 3);
	assert_int_equal(slots_check(&w.slots), 0);
	for (uint32_t i = 2; i < 2 * PER_PAGE; i += 3)
		assert_int_equal(take(&w), i);
	assert_int_equal(take(&w), 2 * PER_PAGE);
	assert_int_equal(slots_check(&w.slots), 0);
	end(&w);
}

/* --- values --- */

static void check_values(uint32_t size)
{
	uint8_t *value = mem_alloc(size);
	struct world w;
	const void *got;

	start(&w, size);
	assert_int_equal(slots_value(&w.slots, 0, STORE_HINT_NONE, &got), ERR_ABSENT);
	for (uint32_t slot = 0; slot < 70; slot++) {
		for (uint32_t i = 0; i < size; i++)
			value[i] = (uint8_t)(slot * 31 + i / 7);
		assert_int_equal(slots_write_value(&w.slots, slot, value), 0);
		assert_int_equal(take(&w), slot);
	}
	for (uint32_t slot = 0; slot < 70; slot++) {
		uint32_t pages;

		(void)slots_value_page(&w.slots, slot, &pages);

		assert_true(pages == (size + PAGE - 1) / PAGE);
		for (uint32_t i = 0; i < size; i++)
			value[i] = (uint8_t)(slot * 31 + i / 7);
		assert_int_equal(slots_value(&w.slots, slot, STORE_HINT_NONE, &got), 0);
		assert_int_equal((uintptr_t)got % 4, 0);
		assert_memory_equal(got, value, size);
	}
	assert_int_equal(slots_value(&w.slots, 70, STORE_HINT_NONE, &got), ERR_ABSENT);
	end(&w);
	mem_free(value);
}

static void test_values(void **state)
{
	static const uint32_t sizes[] = {4, 64, 100, 2048, 2052, 4096, 4100, 12288, 20000, 65536};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		check_values(sizes[i]);
}

/* --- tables that cannot be --- */

static void test_damage(void **state)
{
	struct slots_entry entry;
	struct format_slot_entry *entries;
	void *page;
	const void *value;
	struct world w;

	(void)state;
	start(&w, 64);
	for (uint32_t i = 0; i < 10; i++)
		(void)take(&w);
	assert_int_equal(pager_change(w.pager, FORMAT_SPACE_SLOT, 0, &page), 0);
	entries = page;
	put_u64(entries[4].lsn_state, 104 << 2 | 3);
	assert_int_equal(slots_get(&w.slots, 4, &entry), ERR_DAMAGED);
	assert_int_equal(slots_check(&w.slots), ERR_DAMAGED);
	assert_int_equal(slots_load(&w.slots), ERR_DAMAGED);
	/* writing over it is possible */
	set(&w, 4, STORE_SLOT_LIVE);
	assert_int_equal(slots_load(&w.slots), 0);
	assert_int_equal(slots_check(&w.slots), 0);
	/* counts that are wrong, and a slot on the free list that is none */
	atomic_fetch_add(&w.slots.live, 1);
	assert_int_equal(slots_check(&w.slots), ERR_DAMAGED);
	atomic_fetch_sub(&w.slots.live, 1);
	atomic_fetch_add(&w.slots.dead, 1);
	assert_int_equal(slots_check(&w.slots), ERR_DAMAGED);
	atomic_fetch_sub(&w.slots.dead, 1);
	set(&w, 4, STORE_SLOT_FREE);
	assert_int_equal(slots_load(&w.slots), 0);
	set(&w, 4, STORE_SLOT_DEAD);
	assert_int_equal(slots_check(&w.slots), ERR_DAMAGED);
	/* more slots than the table has pages for */
	atomic_store(&w.slots.count, PER_PAGE + 1);
	assert_int_equal(slots_get(&w.slots, PER_PAGE, &entry), ERR_DAMAGED);
	assert_int_equal(slots_value(&w.slots, PER_PAGE, STORE_HINT_NONE, &value), ERR_DAMAGED);
	atomic_store(&w.slots.value_size, 0);
	assert_int_equal(slots_value(&w.slots, 0, STORE_HINT_NONE, &value), ERR_ABSENT);
	atomic_store(&w.slots.count, UINT32_MAX - 1);
	w.slots.n_free = 0;
	assert_int_equal(slots_take(&w.slots, &(uint32_t){0}), ERR_LIMIT);
	end(&w);
}

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return true;
}

/* Without memory for the list a freed slot waits for the next opening. */
static void test_no_memory(void **state)
{
	struct world w;

	(void)state;
	start(&w, 64);
	for (uint32_t i = 0; i < 3; i++)
		(void)take(&w);
	set(&w, 1, STORE_SLOT_FREE);
	mem_set_fault(fail_allocation, NULL);
	slots_freed(&w.slots, 1);
	mem_set_fault(NULL, NULL);
	turn_epoch(&w);
	assert_int_equal(take(&w), 3);
	free_slot(&w, 2);
	turn_epoch(&w);
	mem_set_fault(fail_allocation, NULL);
	assert_int_equal(slots_take(&w.slots, &(uint32_t){0}), 0);
	assert_int_equal(slots_load(&w.slots), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_int_equal(slots_load(&w.slots), 0);
	assert_int_equal(take(&w), 1);
	assert_int_equal(take(&w), 2);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_untake),
		cmocka_unit_test(test_readers_are_waited_for),
		cmocka_unit_test(test_emptied_twice),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
