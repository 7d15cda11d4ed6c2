/*
 * test_store_recover_log.c - opening with a log that is torn, damaged, incomplete or another store's:
 * how its end is judged, and the sentence for each refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/store_private.h"
#include "store/wal_format.h"
#include "tests/support/recover_world.h"

/* The newest segment of the medium that has records; its bytes. */
static uint8_t *last_log(struct store_fixture *f, uint64_t *seq_out, size_t *len_out)
{
	uint8_t *bytes = NULL;

	for (uint64_t seq = 1; seq < 20; seq++) {
		size_t len;
		uint8_t *found = io_mem_segment(f->medium, seq, &len);

		if (found == NULL || len <= FORMAT_RECORDS_AT)
			continue;
		*seq_out = seq;
		*len_out = len;
		bytes = found;
	}
	assert_non_null(bytes);
	return bytes;
}

static uint32_t put_size(void)
{
	return wal_format_size((uint32_t)(sizeof(struct format_put) + 16 + STORE_FIXTURE_VALUE));
}

/* All that is true of an opening is told. */
static void test_two_notes(void **state)
{
	struct store_fixture f;
	uint64_t seq;
	uint8_t *bytes;
	size_t len;

	(void)state;
	for (int damaged = 0; damaged < 2; damaged++) {
		recover_world_build(&f);
		bytes = last_log(&f, &seq, &len);
		recover_world_spoil_newest(&f);
		if (damaged)
			bytes[FORMAT_RECORDS_AT + put_size() + 90] ^= 1;
		else
			assert_int_equal(io_mem_resize_segment(f.medium, seq, len - 9), 0);
		f.opts.read_only = f.opts.recover_prefix = true;
		store_fixture_open(&f);
		assert_non_null(strstr(f.report.note.text, "commit slot is unusable"));
		assert_int_equal(strstr(f.report.note.text, "full state") != NULL, !damaged);
		assert_non_null(strstr(f.report.note.text,
				       damaged ? "serving the state up to LSN" :
						 "unfinished record; they are left out"));
		store_fixture_free(&f);
	}
}

static void test_torn_tail(void **state)
{
	struct store_fixture f;
	uint64_t seq;
	size_t len;

	(void)state;
	recover_world_build(&f);
	(void)last_log(&f, &seq, &len);
	assert_int_equal(io_mem_resize_segment(f.medium, seq, len - 9), 0);
	recover_world_versions[115] = 2; /* the last one */
	recover_world_reopens(&f, false);
	store_fixture_free(&f);
	recover_world_build(&f);
	assert_int_equal(io_mem_resize_segment(f.medium, seq, len - 9), 0);
	store_fixture_open(&f);
	assert_int_equal(f.report.cut_bytes, put_size() - 9);
	assert_non_null(strstr(f.report.note.text, "unfinished record"));
	store_fixture_free(&f);
}

/* A record in the middle is bad: cut after a power cut, refused without one. */
static void test_bad_record(void **state)
{
	static const uint8_t other_boot[16] = {9};
	struct store_fixture f;
	uint64_t seq;
	size_t len;

	(void)state;
	recover_world_build(&f);
	last_log(&f, &seq, &len)[len - 2 * put_size() + 80] ^= 1;
	recover_world_refuses(&f, ERR_DAMAGED, "recover=prefix");
	f.opts.recover_prefix = true;
	recover_world_refuses(&f, ERR_INVALID, "read-only");
	f.opts.recover_prefix = false;
	f.opts.read_only = true;
	recover_world_refuses(&f, ERR_DAMAGED, "recover=prefix");
	f.opts.recover_prefix = true;
	store_fixture_open(&f);
	assert_int_equal(f.report.discarded, 1);
	assert_non_null(strstr(f.report.note.text, "serving the state up to LSN"));
	recover_world_versions[115] = recover_world_versions[110] = 2;
	recover_world_expect(&f);
	store_fixture_crash(&f);
	f.opts = (struct store_opts){.cache_bytes = 1 << 20};
	io_mem_set_boot_id(f.medium, other_boot);
	store_fixture_open(&f);
	assert_int_equal(f.report.discarded, 1);
	assert_non_null(strstr(f.report.note.text, "never synced"));
	recover_world_expect(&f);
	store_fixture_free(&f);
}

static void test_missing_segment(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	recover_world_look(&f, &head, slots);
	recover_world_lose_segment(&f, slots[0].first_segment);
	recover_world_refuses(&f, ERR_DAMAGED, "missing");
	/* one of a writer that came later does not take its place */
	assert_int_equal(io_mem_resize_segment(f.medium, slots[0].first_segment + 1, 8192), 0);
	recover_world_refuses(&f, ERR_DAMAGED, "missing");
	store_fixture_free(&f);
}

/* A segment of another store lies there. */
static void test_foreign_segment(void **state)
{
	struct wal_format_segment segment = {.epoch = 1, .first_lsn = 1};
	struct store_fixture f;
	uint8_t *bytes;
	uint64_t seq;
	size_t len;

	(void)state;
	recover_world_build(&f);
	bytes = last_log(&f, &seq, &len);
	segment.seq = seq;
	wal_format_put_segment(bytes, &segment);
	recover_world_refuses(&f, ERR_DAMAGED, "another store");
	store_fixture_free(&f);
}

/* A clean store whose first segment was only begun; then a clean store with none. */
static void test_clean(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	recover_world_build(&f);
	store_fixture_open(&f);
	assert_int_equal(store_close(f.store), 0);
	f.store = NULL;
	store_fixture_crash(&f);
	assert_int_equal(store_fixture_slots(&f, &head, slots), 2);
	assert_int_equal(io_mem_resize_segment(f.medium, slots[0].first_segment, 100), 0);
	store_fixture_open(&f);
	assert_true(f.report.clean);
	recover_world_expect(&f);
	assert_int_equal(store_close(f.store), 0);
	f.store = NULL;
	store_fixture_crash(&f);
	recover_world_spoil_newest(&f);
	store_fixture_open(&f); /* the other one is clean too, and needs no log */
	assert_true(f.report.clean);
	assert_true(f.report.older_slot);
	recover_world_expect(&f);
	store_fixture_free(&f);
}

/*
 * The newest slot is whole, what it points to is not. It still says how far the log was durable, though
 * the end of the log looks like a torn one.
 */
static void test_log_short_of_newest_slot(void **state)
{
	struct store_fixture_fault full = {"log_create", 0, ERR_FULL, true, false, 0};
	uint32_t size = wal_format_size(
		(uint32_t)(sizeof(struct format_put) + strlen("vector-1") + STORE_FIXTURE_VALUE));
	struct head_slot slots[2];
	struct store_fixture f;
	struct head head;
	size_t len = 0;

	(void)state;
	for (unsigned put = 3; put <= 8; put++) {
		store_fixture_new(&f, NULL);
		/* no segment can be made: both slots name the same one */
		io_mem_set_fault(f.medium, store_fixture_fail, &full);
		for (uint32_t id = 1; id <= 8; id++) {
			store_fixture_put(&f, id, 1);
			if (id % 2 == 0 && id < 8)
				assert_int_equal(store_checkpoint(f.store), 0);
		}
		store_fixture_crash(&f);
		io_mem_set_fault(f.medium, NULL, NULL);
		assert_int_equal(store_fixture_slots(&f, &head, slots), 2);
		assert_int_equal(slots[0].first_segment, slots[1].first_segment);
		assert_int_equal(slots[1].ckpt_lsn, 4);
		assert_int_equal(slots[0].ckpt_lsn, 6);
		assert_non_null(io_mem_segment(f.medium, slots[0].first_segment, &len));
		len = FORMAT_RECORDS_AT + (put - 2) * size; /* begins with the third one */
		assert_int_equal(io_mem_resize_segment(f.medium, slots[0].first_segment, len - 9),
				 0);
		recover_world_spoil_map(&f);
		if (put <= 6) {
			recover_world_refuses(&f, ERR_DAMAGED, "were acknowledged");
		} else {
			store_fixture_open(&f);
			store_fixture_expect(&f, put - 1, 1);
			store_fixture_expect(&f, put, 0);
		}
		store_fixture_free(&f);
	}
}

/* And which segment there must be. */
static void test_segment_of_newest_slot(void **state)
{
	struct store_fixture f;
	struct head_slot slots[2];
	struct head head;

	(void)state;
	recover_world_look(&f, &head, slots);
	assert_true(slots[1].first_segment < slots[0].first_segment);
	/* the log before it is whole and ends well */
	recover_world_lose_segment(&f, slots[0].first_segment);
	recover_world_lose_segment(&f, slots[0].first_segment + 1);
	recover_world_spoil_map(&f);
	recover_world_refuses(&f, ERR_DAMAGED, "missing");
	store_fixture_free(&f);
}

/* Opens what is on the medium without asking for words. */
static int open_silently(struct store_fixture *f)
{
	struct store_io *io = io_mem_attach(f->medium);
	struct store *store = NULL;
	int err;

	assert_non_null(io);
	err = store_open(io, &f->opts, &store, NULL, NULL);
	assert_null(store);
	io->ops->close(io);
	return err;
}

/* Who wants no sentence gets the same answer. */
static void test_without_words(void **state)
{
	struct store_fixture f;
	uint64_t seq;
	uint8_t *bytes;
	size_t len;

	(void)state;
	store_fixture_new(&f, NULL);
	store_fixture_put(&f, 1, 1);
	assert_int_equal(store_checkpoint(f.store), 0);
	store_fixture_put(&f, 2, 1);
	seq = f.store->slot.first_segment;
	store_fixture_crash(&f);
	/* a log of another store */
	bytes = io_mem_segment(f.medium, seq, &len);
	assert_non_null(bytes);
	((struct format_segment *)bytes)->uuid[0] ^= 1;
	put_u64(((struct format_segment *)bytes)->checksum, XXH3_64bits(bytes, FORMAT_BLOCK - 8));
	assert_int_equal(open_silently(&f), ERR_DAMAGED);
	assert_int_equal(store_fixture_try_open(&f), ERR_DAMAGED);
	assert_non_null(strstr(f.msg.text, "WAL replay failed"));
	/* no map can be read */
	bytes = io_mem_head(f.medium, &len);
	memset(bytes + FORMAT_PAGES_AT, 0, len - FORMAT_PAGES_AT);
	assert_int_equal(open_silently(&f), ERR_DAMAGED);
	assert_int_equal(store_fixture_try_open(&f), ERR_DAMAGED);
	assert_true(f.msg.text[0] != '\0');
	store_fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_notes),
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_bad_record),
		cmocka_unit_test(test_missing_segment),
		cmocka_unit_test(test_foreign_segment),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_without_words),
		cmocka_unit_test(test_log_short_of_newest_slot),
		cmocka_unit_test(test_segment_of_newest_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
