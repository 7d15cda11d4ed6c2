/*
 * test_store_pager_errors.c - a pager that is refused memory, places that cannot be, content that is
 * not valid: an error and nothing changed, and it works on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/page.h"
#include "store/pager_evict.h"
#include "tests/support/pager_fixture.h"

#define PAGE PAGER_FIXTURE_PAGE
#define PAGES 40u
#define SPACE FORMAT_SPACE_VALUE

static void fill(uint8_t *bytes, uint32_t page, uint8_t version)
{
	uint64_t random = page * 1000u + version;

	/* every other one becomes shorter when it is stored */
	for (uint32_t i = 0; i < PAGE; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = page % 2 == 0 ? (uint8_t)(random >> 56) : (uint8_t)(page + version);
	}
}

static int change(struct pager_fixture *w, uint32_t page, uint8_t version)
{
	void *bytes;
	int err;

	epoch_enter(w->epoch);
	err = pager_change(w->pager, SPACE, page, &bytes);
	assert_true((err == 0) == (bytes != NULL));
	if (err == 0)
		fill(bytes, page, version);
	epoch_leave(w->epoch);
	return err;
}

/* That a page has this content, or cannot be read with this error. */
static void expect(struct pager_fixture *w, uint32_t page, uint8_t version, int err)
{
	uint8_t want[PAGE];
	const void *got;

	fill(want, page, version);
	epoch_enter(w->epoch);
	assert_int_equal(pager_get(w->pager, SPACE, page, STORE_HINT_NONE, &got), err);
	if (err == 0)
		assert_memory_equal(got, want, PAGE);
	else
		assert_null(got);
	epoch_leave(w->epoch);
}

static void flush(struct pager_fixture *w)
{
	assert_int_equal(pager_write_frozen(w->pager, PAGER_META), 0);
	assert_int_equal(pager_write_maps(w->pager, PAGER_META, w->slot.roots), 0);
	pager_age(w->pager);
	pager_published(w->pager, PAGER_META);
}

/* Pages of version 1, on disk. */
static void start(struct pager_fixture *w, uint64_t limit)
{
	pager_fixture_new(w, limit);
	for (uint32_t page = 0; page < PAGES; page++)
		assert_int_equal(change(w, page, 1), 0);
	pager_freeze(w->pager, PAGER_META);
	flush(w);
}

static size_t allocations, fail_at;
static bool for_ever;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	allocations++;
	return allocations == fail_at || (for_ever && allocations > fail_at);
}

/* The nth allocation from now on fails. */
static void fail_nth(size_t nth)
{
	allocations = 0;
	fail_at = nth;
	mem_set_fault(fail_allocation, NULL);
}

/* False when there were not so many. */
static bool well_again(void)
{
	mem_set_fault(NULL, NULL);
	return allocations >= fail_at;
}

/* --- memory --- */

/* A page that is frozen and cannot be kept is not changed; what is written is what was frozen. */
static void test_no_memory_for_preimage(void **state)
{
	bool failed = true;

	(void)state;
	for (size_t nth = 1; failed; nth++) {
		struct pager_fixture w;
		int err;

		start(&w, 1 << 20);
		for (uint32_t page = 0; page < PAGES; page++)
			assert_int_equal(change(&w, page, 2), 0);
		pager_freeze(w.pager, PAGER_META);
		fail_nth(nth);
		err = change(&w, 5, 3);
		failed = well_again();
		assert_int_equal(err, failed ? ERR_NOMEM : 0);
		expect(&w, 5, failed ? 2 : 3, 0);
		assert_int_equal(change(&w, 5, 4), 0);
		flush(&w);
		pager_freeze(w.pager, PAGER_META);
		flush(&w);
		pager_drop(w.pager);
		for (uint32_t page = 0; page < PAGES; page++)
			expect(&w, page, page == 5 ? 4 : 2, 0);
		assert_int_equal(pager_check(w.pager), 0);
		assert_true(nth < 10);
		pager_fixture_free(&w);
	}
}

/* Left with pre-images that were never written. */
static void test_freed_while_frozen(void **state)
{
	struct pager_fixture w;

	(void)state;
	start(&w, 1 << 20);
	for (uint8_t version = 2; version < 4; version++) {
		assert_int_equal(change(&w, 1, version), 0);
		if (version == 2)
			pager_freeze(w.pager, PAGER_META);
	}
	assert_int_equal(w.pager->groups[PAGER_META].n_preimages, 1);
	pager_fixture_free(&w);
}

static void test_no_memory_to_read(void **state)
{
	(void)state;
	for (uint32_t page = 2; page < 4; page++) {
		bool failed = true;

		for (size_t nth = 1; failed; nth++) {
			struct pager_fixture w;
			const void *got;
			int err;

			start(&w, 1 << 20);
			pager_drop(w.pager);
			mem_free(w.pager->rings[STORE_CLASS_VECTOR].refs);
			w.pager->rings[STORE_CLASS_VECTOR].refs = NULL;
			w.pager->rings[STORE_CLASS_VECTOR].cap = 0;
			fail_nth(nth);
			epoch_enter(w.epoch);
			err = pager_get(w.pager, SPACE, page, STORE_HINT_NONE, &got);
			epoch_leave(w.epoch);
			failed = well_again();
			assert_int_equal(err, failed ? ERR_NOMEM : 0);
			expect(&w, page, 1, 0);
			/* that says nothing of the page */
			assert_int_equal(atomic_load(&w.pager->damaged), 0);
			assert_true(nth < 10);
			pager_fixture_free(&w);
		}
	}
}

/* A page that begins anew, or is cleared, stays what it was when there is no memory for that. */
static void test_no_memory_to_clear(void **state)
{
	(void)state;
	for (int resident = 0; resident < 2; resident++) {
		bool failed = true;

		for (size_t nth = 1; failed; nth++) {
			static const uint8_t zeros[PAGE];
			struct pager_fixture w;
			const void *got;
			int err;

			start(&w, 1 << 20);
			if (resident == 0)
				pager_drop(w.pager);
			fail_nth(nth);
			epoch_enter(w.epoch);
			err = pager_clear(w.pager, SPACE, 7);
			epoch_leave(w.epoch);
			failed = well_again();
			assert_int_equal(err, failed ? ERR_NOMEM : 0);
			epoch_enter(w.epoch);
			assert_int_equal(pager_get(w.pager, SPACE, 7, STORE_HINT_NONE, &got), 0);
			if (!failed)
				assert_memory_equal(got, zeros, PAGE);
			epoch_leave(w.epoch);
			if (failed)
				expect(&w, 7, 1, 0);
			assert_true(nth < 10);
			pager_fixture_free(&w);
		}
	}
}

static void test_blank(void **state)
{
	bool failed = true;

	(void)state;
	for (size_t nth = 1; failed; nth++) {
		struct pager_fixture w;
		void *bytes;
		int err;

		start(&w, 1 << 20);
		epoch_enter(w.epoch);
		assert_int_equal(pager_change_blank(w.pager, SPACE, PAGES, &bytes), ERR_ABSENT);
		assert_null(bytes);
		/* what is in memory is good, whatever the disk has */
		assert_int_equal(pager_change_blank(w.pager, SPACE, 3, &bytes), 0);
		assert_int_equal(((uint8_t *)bytes)[0], 4);
		epoch_leave(w.epoch);
		pager_drop(w.pager);
		mem_free(w.pager->rings[STORE_CLASS_VECTOR].refs);
		w.pager->rings[STORE_CLASS_VECTOR].refs = NULL;
		w.pager->rings[STORE_CLASS_VECTOR].cap = w.pager->rings[STORE_CLASS_VECTOR].n = 0;
		fail_nth(nth);
		epoch_enter(w.epoch);
		err = pager_change_blank(w.pager, SPACE, 5, &bytes);
		epoch_leave(w.epoch);
		failed = well_again();
		assert_int_equal(err, failed ? ERR_NOMEM : 0);
		if (err == 0)
			assert_int_equal(((uint8_t *)bytes)[0], 0);
		assert_true(nth < 10);
		pager_fixture_free(&w);
	}
}

/* The hand finds no memory to note what goes: nothing goes, and later it does. */
static void test_no_memory_to_evict(void **state)
{
	struct pager_fixture w;
	uint64_t bytes;

	(void)state;
	start(&w, 1 << 20);
	bytes = pager_resident_bytes(w.pager);
	assert_true(bytes >= PAGES * PAGE);
	for_ever = true;
	fail_nth(1);
	pager_drop(w.pager);
	assert_true(well_again());
	for_ever = false;
	assert_int_equal(pager_resident_bytes(w.pager), bytes);
	for (uint32_t page = 0; page < PAGES; page++)
		expect(&w, page, 1, 0);
	pager_drop(w.pager);
	assert_int_equal(pager_resident_bytes(w.pager), 0);
	pager_fixture_free(&w);
}

/* --- pages --- */

static void fetch(struct pager_fixture *w, uint32_t first, uint32_t n)
{
	struct pager_ref refs[PAGES];

	for (uint32_t i = 0; i < n; i++)
		refs[i] = (struct pager_ref){SPACE, first + i};
	epoch_enter(w->epoch);
	pager_fetch(w->pager, refs, n);
	epoch_leave(w->epoch);
}

/* A map that is right in itself can name what no writer writes: read by itself, or with others. */
static void test_impossible_places(void **state)
{
	const uint64_t first = FORMAT_PAGES_AT / FORMAT_BLOCK;
	const uint64_t places[] = {
		place_pack(first, PAGE / 2, FORMAT_RAW),
		place_pack(first, 2 * PAGE, FORMAT_RAW),
		place_pack(1, PAGE, FORMAT_RAW),
		UINT64_MAX,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct pager_fixture w;
		uint64_t was;

		start(&w, 1 << 20);
		pager_drop(w.pager);
		was = pager_page(w.pager, SPACE, 4)->place;
		pager_page(w.pager, SPACE, 4)->place = places[i];
		io_mem_set_fault(w.medium, NULL, NULL);
		fetch(&w, 0, 10);
		assert_int_equal(io_mem_calls(w.medium, "read_batch"), 9);
		assert_true(pager_is_absent(w.pager, SPACE, 4));
		expect(&w, 4, 1, ERR_DAMAGED);
		for (uint32_t page = 0; page < 10; page++)
			if (page != 4)
				expect(&w, page, 1, 0);
		assert_int_equal(io_mem_calls(w.medium, "read"), 0);
		pager_page(w.pager, SPACE, 4)->place = was;
		pager_fixture_free(&w);
	}
}

/* A page without a place is zeros: nothing to be read. */
static void test_fetch_of_nothing(void **state)
{
	static const uint8_t zeros[PAGE];
	struct pager_fixture w;
	const void *got;

	(void)state;
	start(&w, 1 << 20);
	pager_drop(w.pager);
	assert_int_equal(pager_grow(w.pager, SPACE, PAGES + 3), 0);
	io_mem_set_fault(w.medium, NULL, NULL);
	fetch(&w, PAGES, 4);
	assert_int_equal(io_mem_calls(w.medium, "read_batch"), 0);
	assert_true(pager_is_absent(w.pager, SPACE, PAGES));
	epoch_enter(w.epoch);
	assert_int_equal(pager_get(w.pager, SPACE, PAGES, STORE_HINT_NONE, &got), 0);
	assert_memory_equal(got, zeros, PAGE);
	epoch_leave(w.epoch);
	pager_fixture_free(&w);
}

/* Pages that were fetched and never used: the hand passes each once, then they go. */
static void test_fetched_in_vain(void **state)
{
	struct pager_fixture w;

	(void)state;
	start(&w, 1 << 20);
	pager_drop(w.pager);
	atomic_store(&w.pager->limit, 20 * PAGE);
	fetch(&w, 0, 30);
	pager_trim(w.pager);
	assert_true(pager_resident_bytes(w.pager) <= 20 * PAGE);
	fetch(&w, 0, PAGES);
	pager_trim(w.pager);
	assert_true(pager_resident_bytes(w.pager) <= 20 * PAGE);
	for (uint32_t page = 0; page < PAGES; page++)
		expect(&w, page, 1, 0);
	pager_fixture_free(&w);
}

static bool begins_alike(const uint8_t *page, uint32_t page_size)
{
	(void)page_size;
	return page[0] == page[1]; /* so are those that become shorter */
}

/* The sum is right, but the owner of the space cannot use it. */
static void test_invalid_content(void **state)
{
	struct pager_fixture w;

	(void)state;
	start(&w, 1 << 20);
	pager_drop(w.pager);
	w.pager->spaces[SPACE].valid = begins_alike;
	expect(&w, 2, 1, ERR_DAMAGED);
	expect(&w, 3, 1, 0);
	assert_int_equal(atomic_load(&w.pager->damaged), 1);
	fetch(&w, 0, 4);
	assert_true(pager_is_absent(w.pager, SPACE, 0) && pager_is_absent(w.pager, SPACE, 2));
	assert_false(pager_is_absent(w.pager, SPACE, 1));
	assert_int_equal(atomic_load(&w.pager->damaged), 2);
	w.pager->spaces[SPACE].valid = NULL;
	expect(&w, 0, 1, 0);
	expect(&w, 2, 1, 0);
	assert_int_equal(atomic_load(&w.pager->damaged), 0);
	pager_fixture_free(&w);
}

static void see(void *ctx, struct pager_ref ref, const void *page)
{
	unsigned *seen = ctx;
	uint8_t want[PAGE];

	fill(want, ref.page, 1);
	assert_memory_equal(page, want, PAGE);
	(*seen)++;
}

/* What nobody wants a frame for gets none, even if it was looked at just now and there is room. */
static void test_past_the_frames(void **state)
{
	unsigned seen = 0;
	const struct pager_look look = {.show = see, .ctx = &seen, .past = true};
	struct pager_ref refs[10];
	struct pager_fixture w;

	(void)state;
	start(&w, 1 << 20);
	pager_drop(w.pager);
	for (uint32_t i = 0; i < 10; i++)
		refs[i] = (struct pager_ref){SPACE, i};
	epoch_enter(w.epoch);
	for (unsigned times = 1; times <= 3; times++) {
		pager_fetch_once(w.pager, refs, 10, &look);
		assert_int_equal(seen, 10 * times);
		assert_int_equal(pager_resident_bytes(w.pager), 0);
	}
	epoch_leave(w.epoch);
	pager_fixture_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory_for_preimage),
		cmocka_unit_test(test_freed_while_frozen),
		cmocka_unit_test(test_no_memory_to_read),
		cmocka_unit_test(test_no_memory_to_clear),
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_no_memory_to_evict),
		cmocka_unit_test(test_impossible_places),
		cmocka_unit_test(test_fetch_of_nothing),
		cmocka_unit_test(test_fetched_in_vain),
		cmocka_unit_test(test_invalid_content),
		cmocka_unit_test(test_past_the_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
