/*
 * test_store_salvage_log.c - every record and every block of a log is damaged in turn, is cut off, or
 * goes wrong together with blocks of the head: only what stands there is lost, and that is said.
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

#include "store/base.h"
#include "store/format.h"
#include "store/salvage.h"
#include "store/store.h"
#include "tests/support/salvaged.h"

/* Damages a range of a segment and judges what is salvaged. */
static void damage_log(const struct salvage_world *w, const struct salvaged_places *places,
		       uint64_t seq, uint64_t from, uint64_t to, enum salvaged_damage d)
{
	struct io_refusing refuse = {.seq = seq, .from = from, .to = to};
	struct io_mem *medium = io_mem_clone(w->medium);
	bool tainted[WORLD_IDS];
	struct salvaged *r;
	size_t len;

	salvaged_damage_bytes(io_mem_segment(medium, seq, &len), (size_t)from, (size_t)to, d);
	(void)salvaged_taint(w, places, seq, from, to, tainted);
	r = salvaged_new(medium, d == REFUSE ? &refuse : NULL);
	/* without its head the last record looks like one that was never finished; it is remarked */
	if (places->at[places->n - 1].to <= to && strstr(r->text, "remark: the log ends") != NULL)
		r->report.losses++;
	if (!salvaged_log_is_right(w, r, tainted)) {
		salvaged_print(w, r, salvaged_damage_names[d], from);
		print_error("segment %llu, bytes %llu to %llu\n", (unsigned long long)seq,
			    (unsigned long long)from, (unsigned long long)to);
		fail();
	}
	salvaged_free(r);
	io_mem_free(medium);
}

static void test_records(void **state)
{
	uint32_t cases = 0;

	(void)state;
	for (enum salvage_world_kind kind = WORLD_KILLED; kind <= WORLD_CUT; kind++) {
		struct salvage_world *w = salvage_world_new(kind, 3);
		struct salvaged_places places = {.n = 0};

		assert_int_equal(salvage_world_walk(w->medium, salvaged_note_place, &places), 0);
		assert_true(places.n > WORLD_OPS / 4);
		for (uint32_t i = 0; i < places.n; i++)
			for (enum salvaged_damage d = 0; d < REFUSE; d++, cases++)
				damage_log(w, &places, places.at[i].seq, places.at[i].from,
					   places.at[i].to, d);
		salvage_world_free(w);
	}
	print_message("%u damaged records\n", cases);
}

static void test_blocks_of_log(void **state)
{
	uint32_t cases = 0;

	(void)state;
	for (enum salvage_world_kind kind = WORLD_KILLED; kind <= WORLD_CUT; kind++) {
		struct salvage_world *w = salvage_world_new(kind, 4);
		struct salvaged_places places = {.n = 0};

		assert_int_equal(salvage_world_walk(w->medium, salvaged_note_place, &places), 0);
		for (uint64_t seq = places.at[0].seq; seq <= places.at[places.n - 1].seq; seq++) {
			size_t len = 0;

			assert_non_null(io_mem_segment(w->medium, seq, &len));
			for (size_t at = 0; at < len; at += FORMAT_BLOCK)
				for (enum salvaged_damage d = 0; d < DAMAGES; d++, cases++)
					damage_log(w, &places, seq, at,
						   at + FORMAT_BLOCK < len ? at + FORMAT_BLOCK :
									     len,
						   d);
		}
		salvage_world_free(w);
	}
	print_message("%u damaged blocks of logs\n", cases);
}

/* Records without their salt are taken on trust: everything is saved, but nobody may call that whole. */
static void test_unverified(void **state)
{
	static const enum salvage_world_kind kinds[] = {WORLD_KILLED, WORLD_YOUNG};
	uint32_t trusted = 0;

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct salvage_world *w = salvage_world_new(kinds[k], 10);
		struct salvaged_places places = {.n = 0};

		assert_int_equal(salvage_world_walk(w->medium, salvaged_note_place, &places), 0);
		for (uint64_t seq = places.at[0].seq; seq <= places.at[places.n - 1].seq; seq++) {
			struct io_mem *medium = io_mem_clone(w->medium);
			struct salvaged *r;
			size_t len = 0;

			salvaged_damage_bytes(io_mem_segment(medium, seq, &len), 0, FORMAT_BLOCK,
					      ZERO);
			r = salvaged_new(medium, NULL);
			assert_int_equal(r->err, 0);
			for (uint32_t id = 0; id < WORLD_IDS; id++)
				assert_true(salvaged_is_right(w, r, id));
			if (strstr(r->text, "cannot be verified") != NULL) {
				trusted++;
				assert_true(r->report.losses > 0);
			} else {
				assert_int_equal(r->report.losses, 0);
			}
			salvaged_free(r);
			io_mem_free(medium);
		}
		salvage_world_free(w);
	}
	assert_true(trusted > 0);
}

/* What the device refuses is no record that was never finished: all records, or the whole segment. */
static void test_refused_end(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 4);
	struct salvaged_places places = {.n = 0};
	struct io_refusing refuse = {.to = UINT64_MAX};

	(void)state;
	assert_int_equal(salvage_world_walk(w->medium, salvaged_note_place, &places), 0);
	refuse.seq = places.at[places.n - 1].seq;
	for (refuse.from = 0; refuse.from <= FORMAT_RECORDS_AT; refuse.from += FORMAT_RECORDS_AT) {
		struct salvaged *r = salvaged_new(w->medium, &refuse);

		assert_int_equal(r->err, 0);
		if (r->report.losses == 0 || strstr(r->text, "never finished") != NULL) {
			print_error("%s", r->text);
			fail();
		}
		salvaged_free(r);
	}
	salvage_world_free(w);
}

/* --- several places at once --- */

static void damage_anywhere(struct io_mem *medium, const struct salvaged_places *places)
{
	uint32_t n = 2 + salvage_world_below(6);
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t seq = places->at[salvage_world_below(places->n)].seq;
		bool head = salvage_world_below(3) > 0;
		uint8_t *bytes = head ? io_mem_head(medium, &len) :
					io_mem_segment(medium, seq, &len);
		size_t at = salvage_world_below((uint32_t)(len / FORMAT_BLOCK)) * FORMAT_BLOCK;
		size_t to = at + FORMAT_BLOCK * (1 + salvage_world_below(4));

		if (!head && at == 0)
			continue; /* without the salt other damage in the segment cannot be seen */
		salvaged_damage_bytes(bytes, at, to < len ? to : len,
				      salvage_world_below(2) == 0 ? FLIP : ZERO);
	}
}

/* Nothing wrong is given; what is missing or old is said, or is counted among what has no name. */
static void test_many_places(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 10);
	struct salvaged_places places = {.n = 0};
	uint64_t given = 0;

	(void)state;
	assert_int_equal(salvage_world_walk(w->medium, salvaged_note_place, &places), 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct io_mem *medium = io_mem_clone(w->medium);
		bool wrong = false;
		struct salvaged *r;

		salvage_world_random(1000 + i);
		damage_anywhere(medium, &places);
		r = salvaged_new(medium, NULL);
		for (uint32_t id = 0; r->err == 0 && id < WORLD_IDS; id++)
			wrong |= !salvaged_is_right(w, r, id);
		if (r->err == 0 ? wrong && r->report.losses == 0 &&
					  strstr(r->text, "remark: the log ends") == NULL :
				  r->err != ERR_DAMAGED && r->err != ERR_FORMAT) {
			salvaged_print(w, r, "many places", i);
			fail();
		}
		given += r->given;
		salvaged_free(r);
		io_mem_free(medium);
	}
	print_message("%u worlds damaged in several places, %u of %u vectors saved on average\n",
		      300, (unsigned)(given / 300), salvaged_live(w));
	salvage_world_free(w);
}

/* --- what is missing --- */

static int fail_write(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	return strcmp(call, "write") == 0 ? ERR_FULL : 0;
}

/* The next segment, without records, proves that there was a last record. */
static void test_last_record_proved(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_YOUNG, 13);
	struct salvaged_places places = {.n = 0};
	struct salvaged *r;
	bool tainted[WORLD_IDS];
	size_t len, last;

	(void)state;
	salvage_world_open(w, WAL_LOG);
	salvage_world_put(w, 1);
	salvage_world_put(w, 2);
	io_mem_set_fault(w->medium, fail_write, NULL);
	assert_int_equal(store_checkpoint(w->store), ERR_FULL);
	io_mem_set_fault(w->medium, NULL, NULL);
	salvage_world_leave(w, false);
	assert_int_equal(salvage_world_walk(w->medium, salvaged_note_place, &places), 0);
	last = places.n - 1;
	memset(io_mem_segment(w->medium, places.at[last].seq, &len) + places.at[last].from, 0,
	       (size_t)(places.at[last].to - places.at[last].from));
	(void)salvaged_taint(w, &places, places.at[last].seq, places.at[last].from,
			     places.at[last].to, tainted);
	r = salvaged_new(w->medium, NULL);
	assert_true(salvaged_log_is_right(w, r, tainted));
	assert_true(tainted[2] && r->report.losses > 0);
	salvaged_free(r);
	salvage_world_free(w);
}

/* Each segment in turn is gone, or cut anywhere. */
static void truncate_log(enum salvage_world_kind kind)
{
	struct salvage_world *w = salvage_world_new(kind, 6);
	struct salvaged_places places = {.n = 0};

	assert_int_equal(salvage_world_walk(w->medium, salvaged_note_place, &places), 0);
	for (uint64_t seq = places.at[0].seq; seq <= places.at[places.n - 1].seq; seq++) {
		size_t len = 0;

		(void)io_mem_segment(w->medium, seq, &len);
		for (size_t at = 0; at < len; at += 500) {
			struct io_mem *medium = io_mem_clone(w->medium);
			bool tainted[WORLD_IDS];
			struct salvaged *r;

			assert_int_equal(io_mem_resize_segment(medium, seq, at), 0);
			(void)salvaged_taint(w, &places, seq, at, len, tainted);
			r = salvaged_new(medium, NULL);
			/* a cut in the last segment looks like a kill, but for the ids */
			if (seq == places.at[places.n - 1].seq)
				r->report.losses++;
			if (!salvaged_log_is_right(w, r, tainted)) {
				salvaged_print(w, r, "cut log", at);
				fail();
			}
			salvaged_free(r);
			io_mem_free(medium);
		}
	}
	salvage_world_free(w);
}

static void test_truncated_log(void **state)
{
	(void)state;
	truncate_log(WORLD_KILLED);
	truncate_log(WORLD_CUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),	      cmocka_unit_test(test_blocks_of_log),
		cmocka_unit_test(test_unverified),    cmocka_unit_test(test_refused_end),
		cmocka_unit_test(test_many_places),   cmocka_unit_test(test_last_record_proved),
		cmocka_unit_test(test_truncated_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
