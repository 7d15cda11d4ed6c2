/*
 * test_store_wal_salvage_faults.c - reading what is left of a log from a disk that fails: each call and
 * each allocation fails once, and for ever. Right records, fewer of them, or short memory is said.
 */
#include "store/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/wal_format.h"
#include "tests/support/wal_given.h"

#define SEED 20240712u
#define LONG 60000u /* bytes of payload: a window has room for one such record */

/* --- one record again --- */

static void test_read_again(void **state)
{
	struct wal_salvage *salvage = NULL;
	struct wal_record record;
	struct wal_scan_opts opts;
	struct wal_model model;

	(void)state;
	wal_given_make_log(&model, SEED + 12, 2, 4, 50);
	wal_given_lose_header(&model, 2);
	opts = wal_model_scan_opts(&model, model.io, 0);
	assert_int_equal(wal_salvage_open(&salvage, &opts), 0);
	for (size_t i = 8; i-- > 0;) {
		const struct wal_model_record *want = &model.records[i];
		struct wal_model_seen seen = {.model = &model};

		assert_int_equal(wal_salvage_read(salvage, want->seq, want->offset, &record), 0);
		(void)wal_model_check(&seen, &record); /* always 0; its finding is in seen */
		assert_false(seen.wrong);
		assert_int_equal(record.lsn, i + 1);
		assert_int_equal(wal_salvage_read(salvage, want->seq, want->offset + 8, &record),
				 ERR_DAMAGED);
	}
	assert_int_equal(wal_salvage_read(salvage, 3, FORMAT_RECORDS_AT, &record), ERR_DAMAGED);
	wal_salvage_close(salvage);
	wal_model_release(&model);
}

/* The nth call fails, and all from then on if for_ever. */
struct fault {
	const char *call;
	uint64_t nth;
	int result;
	bool for_ever;
	bool hit; /* it did */
};

static int fail_nth(void *ctx, const char *call, uint64_t nth)
{
	struct fault *fault = ctx;

	if (strcmp(call, fault->call) != 0 || nth < fault->nth ||
	    (nth > fault->nth && !fault->for_ever))
		return 0;
	fault->hit = true;
	return fault->result;
}

/* The device changes its mind while one record is read: it is given right, or not at all. */
static void test_read_again_fails(void **state)
{
	static const int results[] = {ERR_IO, ERR_NOMEM};
	struct wal_scan_opts opts;
	struct wal_model model;
	unsigned cases = 0;

	(void)state;
	wal_given_make_log(&model, SEED + 13, 1, 4, LONG);
	wal_given_lose_header(&model, 1);
	opts = wal_model_scan_opts(&model, model.io, 0);
	for (int which = 0; which < 4; which++) {
		struct fault fault = {.call = "log_read",
				      .result = results[which % 2],
				      .for_ever = which >= 2,
				      .hit = true};

		for (; fault.hit; fault.nth++, cases++) {
			struct wal_model_seen seen = {.model = &model};
			struct wal_salvage *salvage = NULL;
			struct wal_record record;
			int err;

			assert_int_equal(wal_salvage_open(&salvage, &opts), 0);
			fault.hit = false;
			io_mem_set_fault(model.medium, fail_nth, &fault);
			err = wal_salvage_read(salvage, 1, model.records[1].offset, &record);
			io_mem_set_fault(model.medium, NULL, NULL);
			if (fault.hit && fault.result == ERR_NOMEM)
				assert_int_equal(err, ERR_NOMEM);
			else
				assert_true(err == 0 || (fault.hit && err == ERR_DAMAGED));
			if (err == 0) {
				(void)wal_model_check(&seen, &record); /* see above */
				assert_false(seen.wrong);
			}
			wal_salvage_close(salvage);
		}
	}
	assert_true(cases > 10);
	wal_model_release(&model);
}

/* --- each call, each allocation --- */

enum world { WHOLE, HEADER_LOST, HEADER_DOUBTFUL, LONG_HEADER_LOST, WORLDS };

static void make_world(struct wal_model *model, enum world world)
{
	wal_given_make_log(model, SEED + 20, world == LONG_HEADER_LOST ? 1 : 3,
			   world == LONG_HEADER_LOST ? 40 : 3,
			   world == LONG_HEADER_LOST ? LONG : 50);
	if (world == HEADER_LOST || world == LONG_HEADER_LOST)
		wal_given_lose_header(model, 1);
	if (world == HEADER_DOUBTFUL)
		wal_given_segment(model, 1)[FORMAT_BLOCK - 1] ^= 1;
}

static void test_calls_fail(void **state)
{
	static const char *const calls[] = {"log_list", "log_size", "log_read"};
	static const int results[] = {ERR_IO, ERR_NOMEM};
	unsigned cases = 0;

	(void)state;
	for (unsigned i = 0; i < WORLDS * 12; i++) {
		struct fault fault = {.hit = true, .call = calls[i % 3]};
		struct wal_given given = {0};
		struct wal_scan_opts opts;
		struct wal_model model;

		fault.result = results[i / 3 % 2];
		fault.for_ever = i / 6 % 2 != 0;
		make_world(&model, (enum world)(i / 12));
		opts = wal_model_scan_opts(&model, model.io, 0);
		for (; fault.hit; fault.nth++, cases++) {
			int err;

			fault.hit = false;
			io_mem_set_fault(model.medium, fail_nth, &fault);
			err = wal_given_walk(&model, &opts, &given, NULL);
			io_mem_set_fault(model.medium, NULL, NULL);
			if (!fault.hit || (fault.result == ERR_IO && i % 3 != 0))
				assert_int_equal(err, 0);
			else
				assert_int_equal(err, fault.result);
			if (!fault.hit)
				wal_given_expect_without(&given, model.n, 1, 0);
		}
		wal_model_release(&model);
	}
	assert_true(cases > 100);
	print_message("%u calls failed\n", cases);
}

static void test_memory_fails(void **state)
{
	struct wal_scan_opts opts;
	struct wal_model model;
	int err = ERR_NOMEM;

	(void)state;
	make_world(&model, HEADER_LOST);
	opts = wal_model_scan_opts(&model, model.io, 0);
	for (int nth = 0; err != 0; nth++) {
		struct wal_given given = {.model = &model};
		int left = nth;

		assert_int_equal(err, ERR_NOMEM);
		assert_true(nth < 20);
		mem_set_fault(wal_model_fail_memory, &left);
		err = wal_salvage(&opts, wal_given_visit, &given);
		mem_set_fault(NULL, NULL);
	}
	wal_model_release(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_again),
		cmocka_unit_test(test_read_again_fails),
		cmocka_unit_test(test_calls_fail),
		cmocka_unit_test(test_memory_fails),
	};

	printf("seed %u\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
