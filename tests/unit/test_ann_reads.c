/*
 * What a search reads from disk, and in how many rounds: the nodes of several candidates together, all
 * vectors of the ranking together, the ids in two rounds; nothing when all is in memory. With a cache
 * that holds a part of it, nodes are packed, and answers are the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ann/collection.h"
#include "tests/support/ann_fixture.h"

#define DIM 256u /* four vectors a page */
#define N 3000u
#define K 10u
#define EFFORT 40u
#define QUERIES 20u

static const struct ann_opts by_hand = {.threads = 1, .effort = EFFORT};
static const struct ann_numbered numbered = {.dim = DIM, .centres = 200};

/* A disk that counts: each call that reads the head is a round. */
static struct {
	struct store_io_ops ops;
	const struct store_io_ops *real;
	size_t rounds, pieces, single;
} disk;

static int counted_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	disk.rounds++;
	disk.pieces++;
	disk.single++;
	return disk.real->read(io, offset, buf, len);
}

static void counted_read_batch(struct store_io *io, struct store_io_read *reads, size_t n)
{
	disk.rounds++;
	disk.pieces += n;
	disk.real->read_batch(io, reads, n);
}

static void count_from_now(struct ann_fixture *fixture)
{
	if (fixture->io->ops != &disk.ops) {
		disk.real = fixture->io->ops;
		disk.ops = *disk.real;
		disk.ops.read = counted_read;
		disk.ops.read_batch = counted_read_batch;
		fixture->io->ops = &disk.ops;
	}
	disk.rounds = disk.pieces = disk.single = 0;
}

static struct io_mem *stored; /* a published collection, closed: made once */

/* A published collection, opened again: everything is on disk alone. */
static void new_stored(struct ann_fixture *fixture)
{
	if (stored == NULL) {
		ann_fixture_new(fixture, ANN_L2, DIM, &by_hand);
		ann_numbered_fill(&numbered, fixture->ann, 0, N);
		ann_fixture_index(fixture->ann);
		ann_fixture_close(fixture, false);
		stored = fixture->medium;
	}
	ann_fixture_copy(fixture, stored, &by_hand);
	fixture->ann->scan_max = 0;
}

static int free_stored(void **state)
{
	(void)state;
	io_mem_free(stored);
	return 0;
}

static void ask(struct ann_fixture *fixture, uint32_t i)
{
	struct ann_query spec = {.k = K};
	struct ann_answer answer;
	float query[DIM];

	ann_numbered_vector(&numbered, i, query);
	assert_int_equal(ann_search(fixture->ann, query, 1, &spec, &answer, NULL), 0);
	assert_int_equal(answer.first[1], K);
	ann_answer_release(&answer);
}

static void test_nothing_is_in_memory(void **state)
{
	struct ann_fixture fixture;
	size_t rounds = 0, pieces = 0;

	(void)state;
	new_stored(&fixture);
	for (uint32_t q = 0; q < QUERIES; q++) {
		store_drop_caches(fixture.store);
		count_from_now(&fixture);
		ask(&fixture, N + q);
		/* reads one by one would be as many rounds as pieces */
		rounds += disk.rounds;
		pieces += disk.pieces;
		assert_true(disk.single <= 1); /* the directory of ids */
	}
	/* EFFORT vectors or so, nearly as many nodes, K entries of the slot table, K buckets */
	assert_true(pieces > QUERIES * 2 * EFFORT);
	assert_true(rounds < QUERIES * (EFFORT / 4 + 6));
	ann_fixture_free(&fixture);
}

static void test_ranking_is_one_round(void **state)
{
	struct ann_fixture fixture;
	struct store_stats before, after;
	struct ann_nodes *nodes;

	(void)state;
	new_stored(&fixture);
	nodes = fixture.ann->index.nodes;
	for (uint32_t q = 0; q < QUERIES; q++) {
		const uint32_t *record;
		struct store_entry entry;

		store_drop_caches(fixture.store);
		nodes->ops->read_begin(nodes);
		for (uint32_t slot = 0; slot < N; slot++) {
			assert_int_equal(nodes->ops->read(nodes, slot, &record), 0);
			assert_int_equal(store_slot_entry(fixture.store, slot, &entry), 0);
		}
		nodes->ops->read_end(nodes);
		count_from_now(&fixture);
		store_get_stats(fixture.store, &before);
		ask(&fixture, N + q);
		store_get_stats(fixture.store, &after);
		assert_int_equal(disk.rounds, 1);
		assert_int_equal(after.misses[STORE_CLASS_GRAPH], before.misses[STORE_CLASS_GRAPH]);
		assert_int_equal(after.misses[STORE_CLASS_MAP], before.misses[STORE_CLASS_MAP]);
		assert_true(after.misses[STORE_CLASS_VECTOR] > before.misses[STORE_CLASS_VECTOR]);
	}
	ann_fixture_free(&fixture);
}

static void test_all_is_in_memory(void **state)
{
	struct ann_fixture fixture;

	(void)state;
	new_stored(&fixture);
	for (uint32_t q = 0; q < QUERIES; q++)
		ask(&fixture, N + q);
	count_from_now(&fixture);
	for (uint32_t q = 0; q < QUERIES; q++)
		ask(&fixture, N + q);
	assert_int_equal(disk.rounds, 0);
	ann_fixture_free(&fixture);
}

/* The ids of all answers, one after the other. */
static void ask_all(struct ann_fixture *fixture, char ids[QUERIES][512])
{
	struct ann_query spec = {.k = K};

	for (uint32_t q = 0; q < QUERIES; q++) {
		struct ann_answer answer;
		float query[DIM];
		size_t len = 0;

		ann_numbered_vector(&numbered, N + q, query);
		assert_int_equal(ann_search(fixture->ann, query, 1, &spec, &answer, NULL), 0);
		assert_int_equal(answer.first[1], K);
		for (size_t i = 0; i < K; i++)
			len += answer.hits[i].id_len;
		assert_true(len < sizeof(ids[q]));
		memset(ids[q], 0, sizeof(ids[q]));
		memcpy(ids[q], answer.ids, len);
		ann_answer_release(&answer);
	}
}

/* Answers with little memory, twice, are those with much, which are left in `much`. */
static void compare_caches(struct ann_fixture *fixture, char much[QUERIES][512])
{
	static char little[QUERIES][512];
	struct store_stats before, after;

	fixture->cache_bytes = 0;
	ann_fixture_reopen(fixture, false);
	fixture->ann->scan_max = 0;
	ask_all(fixture, much);
	fixture->cache_bytes = 1u << 20;
	ann_fixture_reopen(fixture, false);
	fixture->ann->scan_max = 0;
	ask_all(fixture, little);
	assert_memory_equal(much, little, sizeof(little));
	store_get_stats(fixture->store, &before);
	ask_all(fixture, little);
	assert_memory_equal(much, little, sizeof(little));
	store_get_stats(fixture->store, &after);
	assert_true(before.misses[STORE_CLASS_GRAPH] > 0);
	assert_int_equal(after.misses[STORE_CLASS_GRAPH], before.misses[STORE_CLASS_GRAPH]);
	assert_true(after.misses[STORE_CLASS_VECTOR] > before.misses[STORE_CLASS_VECTOR]);
}

/* What is packed is what is on disk. How many nodes are packed. */
static size_t compare_packed(struct ann_fixture *fixture)
{
	static uint32_t peeked[N + 200][64];
	struct ann_nodes *nodes = fixture->ann->index.nodes;
	uint32_t slots = store_slots(fixture->store);
	size_t packed = 0;

	assert_true(slots <= N + 200 && nodes->cap < 64);
	nodes->ops->read_begin(nodes);
	for (uint32_t slot = 0; slot < slots; slot++) {
		const uint32_t *record = nodes->ops->peek(nodes, slot, peeked[slot]);

		if (record != peeked[slot])
			peeked[slot][0] = UINT32_MAX;
	}
	for (uint32_t slot = 0; slot < slots; slot++) {
		const uint32_t *record;

		assert_int_equal(nodes->ops->read(nodes, slot, &record), 0);
		if (peeked[slot][0] == UINT32_MAX)
			continue;
		assert_memory_equal(record, peeked[slot], (1 + record[0]) * sizeof(*record));
		packed++;
	}
	nodes->ops->read_end(nodes);
	return packed;
}

static void test_little_memory(void **state)
{
	static char much[QUERIES][512], changed[QUERIES][512];
	struct ann_fixture fixture;
	char id[16];

	(void)state;
	new_stored(&fixture);
	compare_caches(&fixture, much);
	store_drop_caches(fixture.store);
	assert_true(compare_packed(&fixture) > N / 10);
	/* what changes is packed no more */
	for (uint32_t i = 0; i < 100; i++) {
		float vector[DIM];

		snprintf(id, sizeof(id), "%u", i * 7);
		assert_int_equal(ann_delete(fixture.ann, id, strlen(id)), 0);
		ann_numbered_vector(&numbered, N + 50 + i, vector);
		snprintf(id, sizeof(id), "x%u", i);
		assert_int_equal(ann_fixture_put(fixture.ann, id, vector, DIM), 0);
	}
	ann_fixture_index(fixture.ann);
	assert_int_equal(ann_check(fixture.ann, NULL), 0);
	assert_int_equal(ann_flush(fixture.ann), 0);
	store_drop_caches(fixture.store);
	ask_all(&fixture, changed);
	store_drop_caches(fixture.store);
	assert_true(compare_packed(&fixture) > 0);
	compare_caches(&fixture, much);
	assert_memory_equal(much, changed, sizeof(much));
	ann_fixture_free(&fixture);
}

/* Asks all; how many pages of the tables were read for it. */
static size_t table_misses(struct ann_fixture *fixture, char answers[QUERIES][512])
{
	struct store_stats before, after;

	store_get_stats(fixture->store, &before);
	ask_all(fixture, answers);
	store_get_stats(fixture->store, &after);
	return (size_t)(after.misses[STORE_CLASS_MAP] - before.misses[STORE_CLASS_MAP]);
}

/* A vector that is its own nearest has this id. */
static void is_found_as(struct ann_fixture *fixture, uint32_t i, const char *id)
{
	struct ann_query spec = {.k = 1};
	struct ann_answer answer;
	float query[DIM];

	ann_numbered_vector(&numbered, i, query);
	assert_int_equal(ann_search(fixture->ann, query, 1, &spec, &answer, NULL), 0);
	assert_int_equal(answer.first[1], 1);
	assert_int_equal(answer.hits[0].id_len, strlen(id));
	assert_memory_equal(answer.ids + answer.hits[0].id_at, id, strlen(id));
	ann_answer_release(&answer);
}

/* Where the cache has no room for the tables, ids of hits stay, and follow what becomes of them. */
static void test_ids_stay(void **state)
{
	static char much[QUERIES][512], little[QUERIES][512];
	struct ann_fixture fixture;
	float vector[DIM];

	(void)state;
	new_stored(&fixture);
	ask_all(&fixture, much);
	fixture.cache_bytes = 384u << 10;
	ann_fixture_reopen(&fixture, false);
	fixture.ann->scan_max = 0;
	assert_true(table_misses(&fixture, little) > 0);
	assert_memory_equal(much, little, sizeof(little));
	(void)table_misses(&fixture, little); /* what was pushed out while they came */
	assert_true(table_misses(&fixture, little) < QUERIES);
	assert_memory_equal(much, little, sizeof(little));
	is_found_as(&fixture, 7, "7");
	is_found_as(&fixture, 8, "8");
	assert_int_equal(ann_rename(fixture.ann, "7", 1, "seven", 5, 0), 0);
	is_found_as(&fixture, 7, "seven");
	assert_int_equal(ann_rename(fixture.ann, "seven", 5, "8", 1, STORE_RENAME_EXCHANGE), 0);
	is_found_as(&fixture, 7, "8");
	is_found_as(&fixture, 8, "seven");
	assert_int_equal(ann_delete(fixture.ann, "8", 1), 0);
	ann_numbered_vector(&numbered, 7, vector);
	assert_int_equal(ann_fixture_put(fixture.ann, "new", vector, DIM), 0);
	is_found_as(&fixture, 7, "new");
	ann_fixture_index(fixture.ann);
	is_found_as(&fixture, 7, "new");
	is_found_as(&fixture, 8, "seven");
	ann_drop_caches(fixture.ann);
	assert_true(table_misses(&fixture, little) > QUERIES);
	ann_fixture_free(&fixture);
}

/* Packed nodes are a cache as well. */
static void test_dropping_caches_drops_packed_nodes(void **state)
{
	static char answers[QUERIES][512];
	struct ann_fixture fixture;
	struct store_stats before, after;

	(void)state;
	new_stored(&fixture);
	fixture.cache_bytes = 1u << 20;
	ann_fixture_reopen(&fixture, false);
	fixture.ann->scan_max = 0;
	ask_all(&fixture, answers);
	ask_all(&fixture, answers);
	store_get_stats(fixture.store, &before);
	ask_all(&fixture, answers);
	store_get_stats(fixture.store, &after);
	assert_int_equal(after.misses[STORE_CLASS_GRAPH], before.misses[STORE_CLASS_GRAPH]);
	ann_drop_caches(fixture.ann);
	ask_all(&fixture, answers);
	store_get_stats(fixture.store, &before);
	assert_true(before.misses[STORE_CLASS_GRAPH] > after.misses[STORE_CLASS_GRAPH]);
	ann_fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_in_memory),
		cmocka_unit_test(test_ranking_is_one_round),
		cmocka_unit_test(test_all_is_in_memory),
		cmocka_unit_test(test_little_memory),
		cmocka_unit_test(test_ids_stay),
		cmocka_unit_test(test_dropping_caches_drops_packed_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, free_stored);
}
