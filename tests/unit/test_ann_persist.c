/* Tests of persist.c and of opening: a published graph comes back, a lost or damaged one is built anew. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/collection.h"
#include "ann/persist.h"
#include "tests/support/ann_fixture.h"
#include "tests/support/sanitized.h"

#define DIM 40u
#define N 900u

static const struct ann_opts by_hand = {.threads = 1};
static const struct ann_numbered numbered = {.dim = DIM, .centres = 30};

static void put(struct ann *ann, uint32_t id, uint32_t version)
{
	ann_numbered_put(&numbered, ann, id, id + 10000 * version);
}

/* Ids first ... end - 1 find themselves at distance 0 through the graph; a part of them under a sanitizer. */
static void find_all(struct ann *ann, uint32_t first, uint32_t end, uint32_t version)
{
	struct ann_query spec = {.k = 5};

	ann->scan_max = 0;
	for (uint32_t id = first; id < end; id += UNLESS_SANITIZED(1, 7)) {
		struct ann_answer answer;
		float vector[DIM];
		char name[16];

		ann_numbered_vector(&numbered, id + 10000 * version, vector);
		snprintf(name, sizeof(name), "%u", id);
		assert_int_equal(ann_search(ann, vector, 1, &spec, &answer, NULL), 0);
		assert_int_equal(answer.first[1], 5);
		assert_true(answer.hits[0].distance < 1e-3);
		assert_int_equal(answer.hits[0].id_len, strlen(name));
		assert_memory_equal(answer.ids + answer.hits[0].id_at, name, strlen(name));
		ann_answer_release(&answer);
	}
}

static struct ann_stats stats_of(struct ann *ann)
{
	struct ann_stats stats;

	ann_get_stats(ann, &stats);
	return stats;
}

static void new_filled(struct ann_fixture *fixture, enum ann_metric metric)
{
	ann_fixture_new(fixture, metric, DIM, &by_hand);
	ann_numbered_fill(&numbered, fixture->ann, 0, N);
	ann_fixture_index(fixture->ann);
}

/* What a medium holds once the graph of new_filled was published, by metric: made once. */
static struct io_mem *published[ANN_L2 + 1];

/* As new_filled, published, killed and opened. */
static void new_published(struct ann_fixture *fixture, enum ann_metric metric)
{
	if (published[metric] == NULL) {
		new_filled(fixture, metric);
		assert_int_equal(ann_flush(fixture->ann), 0);
		published[metric] = io_mem_clone(fixture->medium);
		assert_non_null(published[metric]);
		ann_fixture_free(fixture);
	}
	ann_fixture_copy(fixture, published[metric], &by_hand);
	assert_string_equal(fixture->note.text, "");
	assert_int_equal(stats_of(fixture->ann).linked, N);
}

static int free_published(void **state)
{
	(void)state;
	for (enum ann_metric metric = ANN_COSINE; metric <= ANN_L2; metric++)
		io_mem_free(published[metric]);
	return 0;
}

static void test_close_keeps_graph(void **state)
{
	struct ann_fixture fixture;

	(void)state;
	for (enum ann_metric metric = ANN_COSINE; metric <= ANN_L2; metric++) {
		const uint64_t codes = N * quant_code_bytes(DIM, 4), page = 65536; /* at most */

		new_filled(&fixture, metric);
		assert_in_range(stats_of(fixture.ann).code_bytes, codes, codes + page);
		ann_fixture_reopen(&fixture, false);
		assert_in_range(stats_of(fixture.ann).code_bytes, codes, codes + page);
		assert_string_equal(fixture.note.text, "");
		assert_int_equal(stats_of(fixture.ann).linked, N);
		assert_int_equal(stats_of(fixture.ann).pending, 0);
		find_all(fixture.ann, 0, N, 0);
		assert_int_equal(stats_of(fixture.ann).inserted, 0);
		assert_true(stats_of(fixture.ann).hops > N);
		assert_int_equal(ann_check(fixture.ann, NULL), 0);
		ann_fixture_free(&fixture);
	}
}

static void test_crash_before_flush(void **state)
{
	struct ann_fixture fixture;

	(void)state;
	new_filled(&fixture, ANN_L2);
	ann_fixture_reopen(&fixture, true);
	assert_string_equal(fixture.note.text, "");
	assert_int_equal(stats_of(fixture.ann).pending, N);
	find_all(fixture.ann, 0, N, 0);
	ann_fixture_index(fixture.ann);
	find_all(fixture.ann, 0, N, 0);
	ann_fixture_free(&fixture);
}

static void test_crash_after_flush(void **state)
{
	struct ann_fixture fixture;

	(void)state;
	new_filled(&fixture, ANN_L2);
	assert_int_equal(ann_flush(fixture.ann), 0);
	for (uint32_t id = 0; id < 100; id++)
		ann_numbered_delete(fixture.ann, id);
	for (uint32_t id = 100; id < 150; id++)
		put(fixture.ann, id, 1);
	for (uint32_t id = N; id < N + 70; id++)
		put(fixture.ann, id, 0);
	ann_fixture_reopen(&fixture, true);
	assert_string_equal(fixture.note.text, "");
	assert_int_equal(stats_of(fixture.ann).vectors, N - 100 + 70);
	assert_int_equal(stats_of(fixture.ann).pending, 50 + 70);
	assert_int_equal(stats_of(fixture.ann).linked, N - 150);
	assert_int_equal(stats_of(fixture.ann).tombstones, 150);
	find_all(fixture.ann, 150, N + 70, 0);
	find_all(fixture.ann, 100, 150, 1);
	ann_fixture_index(fixture.ann);
	assert_int_equal(stats_of(fixture.ann).repaired, 150);
	find_all(fixture.ann, 150, N + 70, 0);
	find_all(fixture.ann, 100, 150, 1);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

/* Slots that the published graph holds for vectors of old are used by others at the crash. */
static void test_reused_slots(void **state)
{
	struct ann_fixture fixture;
	size_t left = 0;

	(void)state;
	new_filled(&fixture, ANN_L2);
	assert_int_equal(ann_flush(fixture.ann), 0);
	for (uint32_t id = 0; id < 500; id++)
		ann_numbered_delete(fixture.ann, id);
	ann_fixture_index(fixture.ann);
	assert_int_equal(stats_of(fixture.ann).tombstones, 0);
	for (uint32_t id = 0; id < 500; id++)
		put(fixture.ann, id, 2);
	assert_true(store_slots(fixture.store) < N + 500); /* else nothing was reused */
	ann_fixture_reopen(&fixture, true);
	assert_string_equal(fixture.note.text, "");
	assert_true(stats_of(fixture.ann).pending >= 500);
	find_all(fixture.ann, 500, N, 0);
	find_all(fixture.ann, 0, 500, 2);
	/* Published half way, it does not take old nodes for the vectors that are there now. */
	assert_int_equal(ann_index_some(fixture.ann, 100, &left), 0);
	assert_int_equal(ann_flush(fixture.ann), 0);
	ann_fixture_reopen(&fixture, true);
	assert_int_equal(stats_of(fixture.ann).pending, left);
	find_all(fixture.ann, 0, 500, 2);
	ann_fixture_index(fixture.ann);
	find_all(fixture.ann, 500, N, 0);
	find_all(fixture.ann, 0, 500, 2);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

/* Flushes again and again, each time with a few changes, then a crash. */
static uint64_t free_slots(struct ann_fixture *fixture)
{
	uint64_t n = 0;

	for (uint32_t slot = 0; slot < store_slots(fixture->store); slot++) {
		enum store_slot_state slot_state;
		uint64_t lsn;

		assert_int_equal(store_slot(fixture->store, slot, &slot_state, &lsn), 0);
		n += slot_state == STORE_SLOT_FREE;
	}
	return n;
}

/*
 * Slots are given back before the graph without them is published. After a crash the old graph leads to
 * them still: they are walked through, repaired around and given back once more.
 */
static void test_released_slots(void **state)
{
	struct graph_check_report report;
	struct ann_fixture fixture;

	(void)state;
	new_published(&fixture, ANN_L2);
	for (uint32_t id = 0; id < 500; id++)
		ann_numbered_delete(fixture.ann, id);
	ann_fixture_index(fixture.ann);
	assert_int_equal(free_slots(&fixture), 500);
	assert_int_equal(store_checkpoint(fixture.store), 0);
	ann_fixture_reopen(&fixture, true);
	assert_string_equal(fixture.note.text, "");
	assert_int_equal(graph_check(&fixture.ann->index.graph, N, &report), 0);
	assert_int_equal(report.dangling, 0);
	assert_int_equal(report.unreachable, 0);
	assert_int_equal(report.linked, N - 500);
	find_all(fixture.ann, 500, N, 0);
	ann_fixture_index(fixture.ann);
	assert_int_equal(free_slots(&fixture), 500);
	assert_int_equal(graph_check(&fixture.ann->index.graph, N, &report), 0);
	assert_int_equal(report.dangling + report.tombstones + report.unreachable, 0);
	for (uint32_t id = 0; id < 500; id++)
		put(fixture.ann, id, 1);
	assert_int_equal(store_slots(fixture.store), N);
	ann_fixture_index(fixture.ann);
	find_all(fixture.ann, 0, 500, 1);
	find_all(fixture.ann, 500, N, 0);
	ann_fixture_free(&fixture);
}

static void test_many_flushes(void **state)
{
	struct ann_fixture fixture;
	struct ann_random random = {11};

	(void)state;
	new_filled(&fixture, ANN_L2);
	for (uint32_t round = 1; round <= 12; round++) {
		for (uint32_t i = 0; i < 40; i++)
			put(fixture.ann, ann_random_below(&random, N), 1);
		ann_fixture_index(fixture.ann);
		assert_int_equal(ann_flush(fixture.ann), 0);
		if (round % 3 == 0)
			ann_fixture_reopen(&fixture, round % 2 == 0);
		assert_int_equal(stats_of(fixture.ann).pending, 0);
		assert_int_equal(stats_of(fixture.ann).vectors, N);
	}
	for (uint32_t id = 0; id < N; id++)
		put(fixture.ann, id, 1);
	ann_fixture_reopen(&fixture, true);
	find_all(fixture.ann, 0, N, 1);
	ann_fixture_free(&fixture);
}

/* The graph is gone, with a note; all vectors are found, and after indexing through a new graph. */
static void expect_rebuilt(struct ann_fixture *fixture)
{
	assert_true(fixture->note.text[0] != '\0');
	assert_int_equal(stats_of(fixture->ann).pending, N);
	assert_int_equal(stats_of(fixture->ann).linked, 0);
	find_all(fixture->ann, 0, 50, 0);
	ann_fixture_index(fixture->ann);
	find_all(fixture->ann, 0, N, 0);
	ann_fixture_reopen(fixture, false);
	assert_string_equal(fixture->note.text, "");
	assert_int_equal(stats_of(fixture->ann).linked, N);
}

static void test_damaged_page(void **state)
{
	struct ann_fixture fixture;
	uint8_t *head, *at;
	size_t len = 0;

	(void)state;
	new_published(&fixture, ANN_L2);
	ann_fixture_close(&fixture, false);
	head = io_mem_head(fixture.medium, &len);
	at = memmem(head, len, PERSIST_MAGIC, 8);
	assert_non_null(at);
	do
		at[20] ^= 1;
	while ((at = memmem(at + 1, len - (size_t)(at + 1 - head), PERSIST_MAGIC, 8)) != NULL);
	ann_fixture_open(&fixture, false);
	expect_rebuilt(&fixture);
	ann_fixture_free(&fixture);
}

/* As after a close without a crash: all linked, all found, and nothing was inserted again. */
static void expect_kept(struct ann_fixture *fixture, uint32_t bits)
{
	assert_string_equal(fixture->note.text, "");
	assert_int_equal(stats_of(fixture->ann).code_bits, bits);
	assert_int_equal(stats_of(fixture->ann).linked, N);
	assert_int_equal(stats_of(fixture->ann).pending, 0);
	find_all(fixture->ann, 0, N, 0);
	assert_int_equal(stats_of(fixture->ann).inserted, 0);
	assert_int_equal(ann_check(fixture->ann, NULL), 0);
}

static void reopen_with(struct ann_fixture *fixture, const struct ann_opts *opts, bool crash)
{
	ann_fixture_close(fixture, crash);
	fixture->opts = *opts;
	ann_fixture_open(fixture, false);
}

/* Other code bits: the graph stays, its codes are made anew, and published. */
static void test_other_bits(void **state)
{
	static const uint32_t all[] = {8, 2, 1, 4, 1, 8, 4};
	const enum ann_metric metrics[] = {ANN_COSINE, ANN_L2};
	struct ann_fixture fixture;

	(void)state;
	for (size_t m = 0; m < 2; m++) {
		new_published(&fixture, metrics[m]);
		assert_int_equal(stats_of(fixture.ann).code_bits, 4);
		for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
			struct ann_opts opts = {.threads = 1 + i % 3, .code_bits = all[i]};

			reopen_with(&fixture, &opts, false);
			expect_kept(&fixture, all[i]);
			/* Every second time they are lost, and made once more. */
			if (i % 2 == 0)
				reopen_with(&fixture, &opts, true);
			expect_kept(&fixture, all[i]);
		}
		ann_fixture_free(&fixture);
	}
}

/* Tombstones and slots in use again are no obstacle. */
static void test_other_bits_after_crash(void **state)
{
	struct ann_opts opts = {.threads = 2, .code_bits = 2};
	struct ann_fixture fixture;

	(void)state;
	new_published(&fixture, ANN_L2);
	for (uint32_t id = 0; id < 100; id++)
		ann_numbered_delete(fixture.ann, id);
	for (uint32_t id = 100; id < 150; id++)
		put(fixture.ann, id, 1);
	reopen_with(&fixture, &opts, true);
	assert_string_equal(fixture.note.text, "");
	assert_int_equal(stats_of(fixture.ann).tombstones, 150);
	find_all(fixture.ann, 150, N, 0);
	find_all(fixture.ann, 100, 150, 1);
	ann_fixture_index(fixture.ann);
	find_all(fixture.ann, 150, N, 0);
	find_all(fixture.ann, 100, 150, 1);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	ann_fixture_free(&fixture);
}

static void test_recode_read_only(void **state)
{
	struct ann_opts opts = {.threads = 1, .code_bits = 1};
	struct ann_fixture fixture;

	(void)state;
	new_published(&fixture, ANN_L2);
	ann_fixture_close(&fixture, false);
	/* Read only: in memory alone, so 4 bits are there the next time. */
	fixture.opts = opts;
	ann_fixture_open(&fixture, true);
	assert_int_equal(stats_of(fixture.ann).code_bits, 1);
	find_all(fixture.ann, 0, N, 0);
	ann_fixture_close(&fixture, false);
	fixture.opts = by_hand;
	ann_fixture_open(&fixture, false);
	expect_kept(&fixture, 4);
	ann_fixture_free(&fixture);
}

/* Bytes of codes of so many bits of all vectors, with the tables beside them. */
static uint64_t room_for(uint64_t vectors, uint32_t bits)
{
	return vectors * (quant_code_bytes(DIM, bits) + 6);
}

/* Asked for nothing, it takes what fits the room for codes, and keeps what there is if that fits. */
static void test_chosen_bits(void **state)
{
	struct ann_opts opts = {.threads = 1, .code_bits = 8};
	struct ann_fixture fixture;

	(void)state;
	new_published(&fixture, ANN_L2);
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 8);
	opts.code_bits = 0;
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 8);
	opts.code_room = room_for(N, 8);
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 8);
	opts.code_room = room_for(N, 4);
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 4);
	opts.code_room--;
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 2);
	/* More bits only when they fit with ease. */
	opts.code_room = room_for(N, 4);
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 2);
	opts.code_room = 1;
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 1);
	opts.code_room = 2 * room_for(N, 2);
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 2);
	opts.code_room = 2 * room_for(N, 4);
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 4);
	opts.expected = 3 * N;
	reopen_with(&fixture, &opts, false);
	expect_kept(&fixture, 2);
	ann_fixture_free(&fixture);
	/* A new one goes by what is expected. */
	opts.code_room = room_for(1000000, 2);
	opts.expected = 1000000;
	ann_fixture_new(&fixture, ANN_L2, DIM, &opts);
	assert_int_equal(stats_of(fixture.ann).code_bits, 2);
	ann_fixture_free(&fixture);
}

/* Publishes AUX page `page` with one byte changed; the checksums of the store are right then. */
static void forge(struct ann_fixture *fixture, uint32_t page, size_t at, uint8_t change)
{
	uint8_t bytes[4096];
	uint64_t lsn;

	assert_int_equal(store_blob_read(fixture->store, STORE_AUX, page, bytes), 0);
	bytes[at] ^= change;
	assert_int_equal(store_graph_begin(fixture->store), 0);
	store_graph_freeze(fixture->store, &lsn);
	assert_int_equal(store_blob_write(fixture->store, STORE_AUX, page, bytes), 0);
	assert_int_equal(store_graph_commit(fixture->store), 0);
}

static void test_forged_header(void **state)
{
	struct ann_fixture fixture;

	(void)state;
	for (size_t at = 0; at < sizeof(struct persist_format); at += 5) {
		new_published(&fixture, ANN_L2);
		forge(&fixture, 0, at, 0x41);
		ann_fixture_reopen(&fixture, true);
		if (at == 0)
			expect_rebuilt(&fixture);
		assert_true(at == 0 || fixture.note.text[0] != '\0');
		find_all(fixture.ann, 0, 20, 0);
		ann_fixture_free(&fixture);
	}
}

static void test_forged_rest(void **state)
{
	struct ann_fixture fixture;

	(void)state;
	/* 1: the centre; 2: the bitmap. */
	for (uint32_t page = 1; page <= 2; page++) {
		new_published(&fixture, ANN_L2);
		forge(&fixture, page, 7, 0x10);
		ann_fixture_reopen(&fixture, true);
		expect_rebuilt(&fixture);
		ann_fixture_free(&fixture);
	}
}

static void test_read_only(void **state)
{
	struct ann_fixture fixture;
	float vector[DIM] = {1};
	size_t left;

	(void)state;
	new_published(&fixture, ANN_L2);
	for (uint32_t id = N; id < N + 30; id++)
		put(fixture.ann, id, 0);
	ann_numbered_delete(fixture.ann, 0);
	ann_fixture_close(&fixture, true);
	fixture.opts.background = true;
	ann_fixture_open(&fixture, true);
	assert_true(ann_read_only(fixture.ann));
	assert_int_equal(stats_of(fixture.ann).pending, 30);
	find_all(fixture.ann, 1, N + 30, 0);
	assert_int_equal(ann_fixture_put(fixture.ann, "x", vector, DIM), ERR_READONLY);
	assert_int_equal(ann_delete(fixture.ann, "5", 1), ERR_READONLY);
	assert_int_equal(ann_index_some(fixture.ann, 5, &left), ERR_READONLY);
	assert_int_equal(left, 30);
	assert_int_equal(ann_flush(fixture.ann), ERR_READONLY);
	ann_fixture_free(&fixture);
}

static unsigned refused_from;

static int refuse(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	return strcmp(call, "write") == 0 && nth >= refused_from ? ERR_FULL : 0;
}

/* A flush that fails at any write leaves the old graph; the next one takes everything along. */
static void test_failed_flush(void **state)
{
	struct ann_fixture fixture;
	unsigned failures = 0;

	(void)state;
	for (refused_from = 0; refused_from < 60; refused_from += 7) {
		int err;

		new_published(&fixture, ANN_L2);
		for (uint32_t id = 0; id < 200; id++)
			put(fixture.ann, id, 1);
		ann_fixture_index(fixture.ann);
		io_mem_set_fault(fixture.medium, refuse, NULL);
		err = ann_flush(fixture.ann);
		io_mem_set_fault(fixture.medium, NULL, NULL);
		failures += err != 0;
		if (refused_from % 2 == 0) {
			assert_int_equal(ann_flush(fixture.ann), 0);
			ann_fixture_reopen(&fixture, true);
			assert_int_equal(stats_of(fixture.ann).pending, 0);
		} else {
			ann_fixture_reopen(&fixture, true);
			assert_int_equal(stats_of(fixture.ann).pending, err != 0 ? 200 : 0);
		}
		assert_string_equal(fixture.note.text, "");
		find_all(fixture.ann, 200, 260, 0);
		find_all(fixture.ann, 0, 200, 1);
		ann_fixture_free(&fixture);
	}
	assert_true(failures > 2);
}

/* Codes longer than a page. */
static void test_long_codes(void **state)
{
	struct ann_opts opts = {.threads = 1, .code_bits = 8};
	float *vector = calloc(ANN_DIM_MAX, sizeof(float));
	struct ann_query spec = {.k = 1};
	struct ann_random random = {9};
	struct ann_fixture fixture;
	struct ann_answer answer;

	(void)state;
	ann_fixture_new(&fixture, ANN_L2, 6000, &opts);
	for (uint32_t i = 0; i < 270; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		for (uint32_t d = 0; d < 6000; d++)
			vector[d] = (float)ann_random_below(&random, 1000) / 500 - 1;
		assert_int_equal(ann_fixture_put(fixture.ann, name, vector, 6000), 0);
	}
	ann_fixture_index(fixture.ann);
	ann_fixture_reopen(&fixture, false);
	fixture.ann->scan_max = 0;
	assert_int_equal(stats_of(fixture.ann).linked, 270);
	assert_int_equal(ann_search(fixture.ann, vector, 1, &spec, &answer, NULL), 0);
	assert_memory_equal(answer.ids, "269", 3);
	assert_true(stats_of(fixture.ann).hops > 0);
	ann_answer_release(&answer);
	ann_fixture_free(&fixture);
	free(vector);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_keeps_graph),
		cmocka_unit_test(test_crash_before_flush),
		cmocka_unit_test(test_crash_after_flush),
		cmocka_unit_test(test_reused_slots),
		cmocka_unit_test(test_released_slots),
		cmocka_unit_test(test_many_flushes),
		cmocka_unit_test(test_damaged_page),
		cmocka_unit_test(test_other_bits),
		cmocka_unit_test(test_other_bits_after_crash),
		cmocka_unit_test(test_recode_read_only),
		cmocka_unit_test(test_chosen_bits),
		cmocka_unit_test(test_forged_header),
		cmocka_unit_test(test_forged_rest),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_failed_flush),
		cmocka_unit_test(test_long_codes),
	};

	return cmocka_run_group_tests(tests, NULL, free_published);
}
