/*
 * test_store_salvage.c - every block of a head is damaged in turn; every vector that does not stand
 * there is saved, right and under its name, what is not is said, and nothing wrong is given. What
 * cannot be salvaged at all is refused.
 *
 * What the worlds are: tests/support/salvage_world.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/format.h"
#include "store/mem.h"
#include "store/salvage.h"
#include "store/salvage_private.h"
#include "store/store.h"
#include "tests/support/salvaged.h"

static void test_undamaged(void **state)
{
	(void)state;
	for (enum salvage_world_kind kind = 0; kind < WORLD_KINDS; kind++) {
		struct salvage_world *w = salvage_world_new(kind, 1);
		struct salvaged *r = salvaged_new(w->medium, NULL);

		if (!salvaged_head_is_right(w, r, 1) || r->report.losses != 0 || r->text_len != 0 ||
		    r->given != salvaged_live(w))
			salvaged_print(w, r, "undamaged", kind);
		assert_true(salvaged_head_is_right(w, r, 1));
		assert_int_equal(r->report.losses, 0);
		assert_int_equal(r->text_len, 0);
		assert_int_equal(r->given, salvaged_live(w));
		assert_int_equal(r->value_size, WORLD_VALUE);
		assert_int_equal(r->page_size, WORLD_PAGE);
		salvaged_free(r);
		salvage_world_free(w);
	}
}

/* --- pages of zeros, which have no place on the disk --- */

#define ZEROS_PAGES 3u /* of the largest value here */

/* A page of zeros for the first 16 ids; of what is larger than a page, the second one. */
static void fill_with_zeros(uint32_t id, uint32_t size, uint8_t *value)
{
	memset(value, size > WORLD_PAGE || id >= WORLD_PER_PAGE ? 1 + (int)id : 0, size);
	if (size > WORLD_PAGE)
		memset(value + WORLD_PAGE, 0, WORLD_PAGE);
}

static int take_with_zeros(void *ctx, const struct salvage_vector *vector)
{
	uint8_t want[ZEROS_PAGES * WORLD_PAGE];
	unsigned id;

	assert_int_equal(sscanf(vector->entry.id, "vector-%u", &id), 1);
	fill_with_zeros(id, vector->size, want);
	assert_memory_equal(vector->value, want, vector->size);
	++*(uint32_t *)ctx;
	return 0;
}

static int take_any_geometry(void *ctx, const struct store_geometry *geometry)
{
	(void)ctx;
	(void)geometry;
	return 0;
}

static void say_nothing(void *ctx, bool loss, const char *text)
{
	(void)ctx;
	print_error("%s: %s\n", loss ? "lost" : "remark", text);
	fail();
}

static void test_pages_of_zeros(void **state)
{
	static const uint32_t sizes[] = {WORLD_VALUE, ZEROS_PAGES * WORLD_PAGE};
	const uint32_t ids = 3 * WORLD_PER_PAGE;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct store_geometry geometry = {.page_size = WORLD_PAGE, .value_size = sizes[i]};
		struct salvage_world w = {.medium = io_mem_new(1)};
		struct salvage_report report = {0};
		uint8_t value[ZEROS_PAGES * WORLD_PAGE];
		uint32_t given = 0;
		struct salvage_calls calls = {.ctx = &given,
					      .begin = take_any_geometry,
					      .vector = take_with_zeros,
					      .say = say_nothing};
		struct store_io *io = io_mem_attach(w.medium);

		assert_int_equal(store_create(io, &geometry, NULL), 0);
		io->ops->close(io);
		salvage_world_open(&w, WAL_LOG);
		for (uint32_t id = 0; id < ids; id++) {
			struct store_attr attr = {0};
			char name[32];
			size_t len = salvage_world_name(id, name);

			fill_with_zeros(id, sizes[i], value);
			assert_int_equal(store_put(w.store, name, len, value, sizes[i], &attr, 0,
						   NULL, NULL, NULL),
					 0);
		}
		salvage_world_leave(&w, true);
		io = io_mem_attach(w.medium);
		assert_int_equal(salvage_run(io, &calls, 0, &report, NULL), 0);
		assert_int_equal(given, ids);
		assert_int_equal(report.losses, 0);
		io->ops->close(io);
		io_mem_free(w.medium);
	}
}

static void test_blocks_of_head(void **state)
{
	uint32_t cases = 0, with_loss = 0;

	(void)state;
	for (enum salvage_world_kind kind = 0; kind < WORLD_KINDS; kind++) {
		struct salvage_world *w = salvage_world_new(kind, 2);
		uint64_t log_from = 0;
		size_t len;

		assert_int_equal(salvage_world_walk(w->medium, salvaged_first_lsn, &log_from), 0);
		(void)io_mem_head(w->medium, &len);
		for (size_t at = 0; at < len; at += FORMAT_BLOCK) {
			for (enum salvaged_damage d = 0; d < DAMAGES; d++) {
				struct io_refusing refuse = {.from = at, .to = at + FORMAT_BLOCK};
				struct io_mem *medium = io_mem_clone(w->medium);
				struct salvaged *r;

				salvaged_damage_bytes(io_mem_head(medium, &len), at,
						      at + FORMAT_BLOCK, d);
				r = salvaged_new(medium, d == REFUSE ? &refuse : NULL);
				/* without a log nobody can tell what the newer slot said */
				if (kind >= WORLD_UNLOGGED &&
				    (at / FORMAT_BLOCK == 1 || at / FORMAT_BLOCK == 2)) {
					assert_true(salvaged_is_sound(w, r) &&
						    r->report.losses > 0);
				} else if (!salvaged_head_is_right(w, r, log_from)) {
					salvaged_print(w, r, salvaged_damage_names[d], at);
					fail();
				}
				with_loss += r->report.losses > 0;
				cases++;
				salvaged_free(r);
				io_mem_free(medium);
			}
		}
		salvage_world_free(w);
	}
	print_message("%u damaged blocks of heads, %u with a loss\n", cases, with_loss);
	assert_true(with_loss > 0 && with_loss < cases / 2);
}

/* The same without the older slot: now names come from the log by their hashes. */
static void test_blocks_without_older_slot(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 11);
	const struct format_slot *slots;
	uint64_t log_from = 0;
	size_t len, older;

	(void)state;
	assert_int_equal(salvage_world_walk(w->medium, salvaged_first_lsn, &log_from), 0);
	slots = (const struct format_slot *)(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT);
	older = get_u64(slots[0].generation) < get_u64(slots[1].generation) ? 0 : 1;
	memset(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT + older * FORMAT_BLOCK, 0,
	       FORMAT_BLOCK);
	for (size_t at = FORMAT_PAGES_AT; at < len; at += FORMAT_BLOCK) {
		struct io_mem *medium = io_mem_clone(w->medium);
		struct salvaged *r;

		salvaged_damage_bytes(io_mem_head(medium, &len), at, at + FORMAT_BLOCK, FLIP);
		r = salvaged_new(medium, NULL);
		if (!salvaged_head_is_right(w, r, log_from)) {
			salvaged_print(w, r, "without older slot", at);
			fail();
		}
		salvaged_free(r);
		io_mem_free(medium);
	}
	salvage_world_free(w);
}

/* The header and one slot are gone: the other slot says all that is needed. */
static void test_one_slot_alone(void **state)
{
	(void)state;
	for (enum salvage_world_kind kind = WORLD_CLEAN; kind <= WORLD_KILLED; kind++) {
		for (size_t i = 0; i < 2; i++) {
			struct salvage_world *w = salvage_world_new(kind, 12);
			struct salvaged *r;
			size_t len;

			memset(io_mem_head(w->medium, &len), 0, FORMAT_BLOCK);
			memset(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT + i * FORMAT_BLOCK,
			       0xa5, FORMAT_BLOCK);
			r = salvaged_new(w->medium, NULL);
			if (!salvaged_head_is_right(w, r, 1) || r->given != salvaged_live(w)) {
				salvaged_print(w, r, "one slot alone", i);
				fail();
			}
			salvaged_free(r);
			salvage_world_free(w);
		}
	}
}

static void test_truncated_head(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 5);
	uint64_t log_from = 0;
	size_t len;

	(void)state;
	assert_int_equal(salvage_world_walk(w->medium, salvaged_first_lsn, &log_from), 0);
	(void)io_mem_head(w->medium, &len);
	for (size_t at = 0; at < len; at += FORMAT_BLOCK) {
		struct io_mem *medium = io_mem_clone(w->medium);
		struct salvaged *r;

		assert_int_equal(io_mem_resize_head(medium, at), 0);
		r = salvaged_new(medium, NULL);
		if (at == 0) {
			assert_int_equal(r->err, ERR_FORMAT);
		} else {
			assert_true(salvaged_is_sound(w, r));
			assert_true(r->report.losses > 0 || r->given == salvaged_live(w));
			for (uint32_t id = 0; id < WORLD_IDS; id++)
				if (at > FORMAT_PAGES_AT && w->serial[id] != 0 &&
				    w->lsn[id] >= log_from && !salvaged_is_right(w, r, id) &&
				    !salvaged_is_unnamed(r, w->serial[id])) {
					salvaged_print(w, r, "cut", at);
					fail();
				}
		}
		salvaged_free(r);
		io_mem_free(medium);
	}
	salvage_world_free(w);
}

static void test_no_slot(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_YOUNG, 7);
	struct salvaged *r;
	size_t len;

	(void)state;
	memset(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT, 0xff, 2 * FORMAT_BLOCK);
	r = salvaged_new(w->medium, NULL);
	assert_true(salvaged_is_sound(w, r));
	assert_int_equal(r->given, salvaged_live(w)); /* the log has everything */
	assert_true(r->report.losses > 0);
	assert_int_equal(r->value_size, WORLD_VALUE);
	salvaged_free(r);
	memset(io_mem_head(w->medium, &len), 0, FORMAT_BLOCK);
	r = salvaged_new(w->medium, NULL);
	assert_int_equal(r->err, ERR_FORMAT);
	salvaged_free(r);
	salvage_world_free(w);
}

/* --- what the caller refuses, and failures --- */

static int refuse_vector(void *ctx, const struct salvage_vector *vector)
{
	unsigned id = 0;

	if (sscanf(vector->entry.id, "vector-%u", &id) != 1)
		return 0;
	if (id % 5 == 1)
		return ERR_INVALID;
	if (id % 5 == 2)
		return ERR_EXISTS;
	return id % 5 == 3 ? *(const int *)ctx : 0;
}

static int accept_geometry(void *ctx, const struct store_geometry *geometry)
{
	(void)ctx;
	assert_int_equal(geometry->kind, 2);
	return 0;
}

static void ignore_text(void *ctx, bool loss, const char *text)
{
	(void)ctx;
	(void)loss;
	assert_true(text[0] != '\0');
}

static int run_plain(struct io_mem *medium, int result, struct salvage_report *report)
{
	struct salvage_calls calls = {.ctx = &result,
				      .begin = accept_geometry,
				      .vector = refuse_vector,
				      .say = ignore_text};
	struct store_io *io = io_mem_attach(medium);
	int err = io != NULL ? salvage_run(io, &calls, 0, report, NULL) : ERR_NOMEM;

	if (io != NULL)
		io->ops->close(io);
	return err;
}

static void test_refusals(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_CLEAN, 8);
	struct salvage_report report;
	uint32_t invalid = 0, exists = 0;

	(void)state;
	for (uint32_t id = 0; id < WORLD_IDS; id++) {
		invalid += w->serial[id] != 0 && id % 5 == 1;
		exists += w->serial[id] != 0 && id % 5 == 2;
	}
	assert_int_equal(run_plain(w->medium, 0, &report), 0);
	assert_int_equal(report.lost, invalid);
	assert_int_equal(report.unnamed, exists);
	assert_int_equal(report.saved, salvaged_live(w) - invalid);
	assert_int_equal(run_plain(w->medium, ERR_FULL, &report), ERR_FULL);
	salvage_world_free(w);
}

static void seal_slot(struct format_slot *slot)
{
	XXH128_hash_t hash = XXH3_128bits(slot, offsetof(struct format_slot, checksum));

	put_u64(slot->checksum, hash.low64);
	put_u64(slot->checksum + 8, hash.high64);
}

/*
 * Slots that say more than the head can hold: memory and time go by what it holds, and what stands in it
 * is saved as always.
 */
static void test_slots_without_end(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_CLEAN, 9);
	struct salvage_pages pages;
	struct store_io *io;
	struct salvaged *r;
	size_t len;
	struct format_slot *slots =
		(struct format_slot *)(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT);
	const uint64_t leaf_slots = (WORLD_PAGE / sizeof(struct format_map_entry)) *
				    (WORLD_PAGE / sizeof(struct format_slot_entry));

	(void)state;
	for (int i = 0; i < 2; i++) {
		put_u64(slots[i].slots, UINT32_MAX - 1);
		put_u32(slots[i].roots[FORMAT_SPACE_SLOT].pages, 1u << 30);
		seal_slot(&slots[i]);
	}
	io = io_mem_attach(w->medium);
	assert_int_equal(io->ops->open(io, false, NULL), 0);
	assert_int_equal(salvage_pages_open(&pages, io, 0, NULL), 0);
	assert_int_equal(pages.n, 2);
	for (unsigned view = 0; view < 2; view++)
		assert_true(salvage_slot_count(&pages, view) <= len / WORLD_PAGE * leaf_slots);
	salvage_pages_close(&pages);
	io->ops->close(io);
	r = salvaged_new(w->medium, NULL);
	assert_true(salvaged_is_sound(w, r));
	assert_int_equal(r->given, salvaged_live(w));
	salvaged_free(r);
	salvage_world_free(w);
}

/* Makes header and slots say another version, with right checksums, as another program would. */
static void set_version(struct io_mem *medium, uint32_t version, bool header_too)
{
	struct format_header *header = (struct format_header *)io_mem_head(medium, &(size_t){0});
	struct format_slot *slots = (struct format_slot *)((uint8_t *)header + FORMAT_SLOT_AT);

	put_u32(header->version, version);
	if (header_too)
		put_u64(header->checksum,
			XXH3_64bits(header, offsetof(struct format_header, checksum)));
	for (int i = 0; i < 2; i++) {
		put_u32(slots[i].version, version);
		seal_slot(&slots[i]);
	}
}

/* A store of another version is refused, never saved as an empty one; also with a damaged header. */
static void test_other_version(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 8);
	int result = 0;
	struct salvage_calls calls = {.ctx = &result,
				      .begin = accept_geometry,
				      .vector = refuse_vector,
				      .say = ignore_text};
	struct salvage_report report;

	(void)state;
	for (int header_too = 0; header_too <= 1; header_too++) {
		for (uint32_t version = FORMAT_VERSION - 1; version <= FORMAT_VERSION + 1;
		     version += 2) {
			struct store_io *io = io_mem_attach(w->medium);
			struct err_msg msg = {""};

			set_version(w->medium, version, header_too == 1);
			assert_int_equal(salvage_run(io, &calls, 0, &report, &msg), ERR_FORMAT);
			assert_non_null(strstr(msg.text, "use the vecfs that wrote it"));
			io->ops->close(io);
		}
	}
	salvage_world_free(w);
}

static uint64_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return allocations++ == fail_at;
}

static void test_each_allocation_fails(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 9);
	struct salvage_report report;
	size_t len;

	(void)state;
	io_mem_head(w->medium, &len)[FORMAT_PAGES_AT + 100] ^= 1;
	for (fail_at = 0;; fail_at++) {
		int err;

		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		err = run_plain(w->medium, 0, &report);
		mem_set_fault(NULL, NULL);
		if (allocations <= fail_at)
			break;
		assert_int_equal(err, ERR_NOMEM);
	}
	assert_true(fail_at > 10);
	salvage_world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_undamaged),
		cmocka_unit_test(test_pages_of_zeros),
		cmocka_unit_test(test_blocks_of_head),
		cmocka_unit_test(test_blocks_without_older_slot),
		cmocka_unit_test(test_one_slot_alone),
		cmocka_unit_test(test_truncated_head),
		cmocka_unit_test(test_no_slot),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_slots_without_end),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
