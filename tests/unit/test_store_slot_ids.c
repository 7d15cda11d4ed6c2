/*
 * test_store_slot_ids.c - ids of slots in little room: what was put is found until its slot changes, in
 * any order; the share of the cache is kept to; what is asked for stays when others go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/ids_bucket.h"
#include "store/mem.h"
#include "store/slot_ids.h"
#include "tests/support/pager_fixture.h"

#define LIMIT (1u << 20)
#define SHARE (LIMIT / 8)
#define SLOTS 1000u

static struct pager_fixture world;
static struct slot_ids ids;

static int start(void **state)
{
	(void)state;
	pager_fixture_new(&world, LIMIT);
	slot_ids_init(&ids, world.pager);
	return 0;
}

static int end(void **state)
{
	(void)state;
	slot_ids_release(&ids);
	assert_int_equal(atomic_load(&world.pager->charged), 0);
	pager_fixture_free(&world);
	return 0;
}

/* Of any length from 1 to 255, most of them short. */
static size_t id_of(uint32_t slot, char *id)
{
	size_t len = slot % 97 == 0 ? 255 - slot % 3 : 4 + slot % 5;

	memset(id, (int)('a' + slot % 26), len);
	id[0] = (char)('a' + slot / 26 % 26);
	if (slot % 89 == 0)
		len = 1;
	id[len] = '\0';
	return len;
}

static void put(uint32_t slot)
{
	char id[256];
	size_t len = id_of(slot, id);

	slot_ids_put(&ids, slot, id, len);
}

static bool found(uint32_t slot)
{
	char id[256], got[256];
	uint16_t got_len = 0;
	size_t len = id_of(slot, id);

	if (!slot_ids_get(&ids, slot, got, &got_len)) {
		assert_false(slot_ids_has(&ids, slot));
		return false;
	}
	assert_true(slot_ids_has(&ids, slot));
	assert_int_equal(got_len, len);
	assert_string_equal(got, id);
	return true;
}

static void what_was_put_is_found(void **state)
{
	(void)state;
	assert_false(found(5));
	slot_ids_drop(&ids, 5);
	for (uint32_t i = 0; i < SLOTS; i++)
		put(i * 7 % SLOTS);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_true(found(i));
	assert_false(found(SLOTS + 100));
	assert_int_equal(atomic_load(&world.pager->charged), ids.bytes);
	assert_true(ids.bytes > SLOTS * 4 && ids.bytes < SHARE);
	for (uint32_t i = 0; i < SLOTS; i += 3)
		slot_ids_drop(&ids, i);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(found(i), i % 3 != 0);
	slot_ids_put(&ids, 3, "another", 7);
	for (uint32_t i = 4; i < SLOTS; i++)
		assert_int_equal(found(i), i % 3 != 0);
	slot_ids_clear(&ids);
	assert_int_equal(ids.bytes, 0);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_false(found(i));
	put(UINT32_MAX - 1);
	assert_true(found(UINT32_MAX - 1));
}

static void the_share_is_kept_to(void **state)
{
	uint32_t kept = 0;

	(void)state;
	for (uint32_t i = 0; i < 40 * SLOTS; i++) {
		put(i);
		assert_true(ids.bytes <= SHARE);
		assert_int_equal(atomic_load(&world.pager->charged), ids.bytes);
		if (i >= 10)
			assert_true(found(10)); /* asked for again and again */
	}
	for (uint32_t i = 0; i < 40 * SLOTS; i++)
		kept += found(i);
	assert_true(kept > 5000);
	assert_true(kept < 20000);
}

static void a_bucket_gives_all_that_fit(void **state)
{
	static uint8_t page[PAGER_FIXTURE_PAGE];
	struct store_entry entry = {0};
	uint32_t n = 0, kept = 0;

	(void)state;
	ids_bucket_format(page, sizeof(page), 0);
	for (;;) {
		entry.slot = n * 50;
		entry.id_len = (uint16_t)id_of(entry.slot, entry.id);
		if (ids_bucket_room(page, sizeof(page)) < ids_bucket_entry_size(entry.id_len))
			break;
		ids_bucket_add(page, sizeof(page), n++, &entry);
	}
	assert_true(n > 10);
	slot_ids_put_bucket(&ids, page);
	for (uint32_t i = 0; i < n; i++)
		assert_true(found(i * 50));
	/* nothing goes for what was not asked for */
	slot_ids_clear(&ids);
	for (uint32_t i = 0; i < 40 * SLOTS; i++)
		put(2 * SLOTS + i);
	for (uint32_t i = 0; i < 40 * SLOTS; i++)
		kept += slot_ids_has(&ids, 2 * SLOTS + i);
	slot_ids_put_bucket(&ids, page);
	for (uint32_t i = 0; i < 40 * SLOTS; i++)
		kept -= slot_ids_has(&ids, 2 * SLOTS + i);
	assert_int_equal(kept, 0);
}

static int allowed;

static bool fails(void *ctx)
{
	(void)ctx;
	return allowed-- <= 0;
}

static void without_memory_nothing_is_kept(void **state)
{
	(void)state;
	for (int n = 0; n < 6; n++) {
		allowed = n;
		mem_set_fault(fails, NULL);
		for (uint32_t i = 0; i < SLOTS; i += 10)
			put(i);
		mem_set_fault(NULL, NULL);
		for (uint32_t i = 0; i < SLOTS; i += 10)
			(void)found(i); /* the right one, or none */
	}
	put(0);
	assert_true(found(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_put_is_found, start, end),
		cmocka_unit_test_setup_teardown(the_share_is_kept_to, start, end),
		cmocka_unit_test_setup_teardown(a_bucket_gives_all_that_fit, start, end),
		cmocka_unit_test_setup_teardown(without_memory_nothing_is_kept, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
