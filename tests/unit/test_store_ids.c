/*
 * test_store_ids.c - the id index against an array: random puts and removals on small pages (many
 * splits), look-ups by id and slot, listings that begin anywhere; what a change will need.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/ids.h"
#include "store/ids_bucket.h"
#include "tests/support/io_mem.h"

#define IDS 3000u

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct epoch *epoch;
	struct pager *pager;
	struct ids ids;
	bool present[IDS];
	uint32_t slot[IDS];
	size_t n;
};

static void start(struct world *w)
{
	static const uint8_t uuid[16] = {4};

	memset(w, 0, sizeof(*w));
	w->medium = io_mem_new(1);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(epoch_new(&w->epoch), 0);
	assert_int_equal(pager_new(&w->pager, w->io, w->epoch, uuid, 4096, 64 << 20), 0);
	assert_int_equal(ids_init(&w->ids, w->pager, 99, 0, 0), 0);
	epoch_enter(w->epoch);
}

static void end(struct world *w)
{
	epoch_leave(w->epoch);
	ids_release(&w->ids);
	pager_free(w->pager);
	epoch_free(w->epoch);
	w->io->ops->close(w->io);
	io_mem_free(w->medium);
}

static void name(uint32_t i, struct store_entry *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->id_len = (uint16_t)snprintf(entry->id, sizeof(entry->id), "%0*u", (int)(1 + i % 90),
					   (unsigned)i);
}

static void put(struct world *w, uint32_t i, uint32_t slot)
{
	struct store_entry entry;

	name(i, &entry);
	entry.slot = slot;
	entry.attr.mtime_ns = -(int64_t)i;
	assert_int_equal(ids_reserve(&w->ids, entry.id, entry.id_len, NULL), 0);
	(void)pthread_rwlock_wrlock(&w->ids.lock);
	ids_put(&w->ids, &entry, NULL);
	(void)pthread_rwlock_unlock(&w->ids.lock);
	w->n += !w->present[i];
	w->present[i] = true;
	w->slot[i] = slot;
}

static void drop(struct world *w, uint32_t i)
{
	struct store_entry entry;

	name(i, &entry);
	assert_int_equal(ids_reserve(&w->ids, entry.id, entry.id_len, NULL), 0);
	(void)pthread_rwlock_wrlock(&w->ids.lock);
	ids_remove(&w->ids, entry.id, entry.id_len);
	(void)pthread_rwlock_unlock(&w->ids.lock);
	w->n -= w->present[i];
	w->present[i] = false;
}

static void compare(struct world *w)
{
	struct store_entry entry, found;
	uint64_t entries = 0;

	assert_int_equal(ids_check(&w->ids, &entries), 0);
	assert_true(entries == w->n);
	for (uint32_t i = 0; i < IDS; i++) {
		name(i, &entry);
		if (!w->present[i]) {
			assert_int_equal(ids_find(&w->ids, entry.id, entry.id_len, &found),
					 ERR_ABSENT);
			continue;
		}
		assert_int_equal(ids_find(&w->ids, entry.id, entry.id_len, &found), 0);
		assert_string_equal(found.id, entry.id);
		assert_int_equal(found.slot, w->slot[i]);
		assert_true(found.attr.mtime_ns == -(int64_t)i);
		assert_int_equal(ids_find_slot(&w->ids, ids_hash(&w->ids, entry.id, entry.id_len),
					       w->slot[i], &found),
				 0);
		assert_string_equal(found.id, entry.id);
	}
}

/* A listing in pieces gives each id once, also when ids come and go that it has passed. */
static void list(struct world *w, size_t piece)
{
	struct store_entry *entries = calloc(piece, sizeof(*entries));
	uint64_t *cursors = calloc(piece, sizeof(*cursors)), cursor = 0;
	bool *seen = calloc(IDS, sizeof(*seen));
	size_t n, total = 0;

	do {
		assert_int_equal(ids_list(&w->ids, cursor, entries, cursors, piece, &n), 0);
		for (size_t i = 0; i < n; i++) {
			uint32_t id = (uint32_t)strtoul(entries[i].id, NULL, 10);

			assert_true(id < IDS && w->present[id] && !seen[id]);
			seen[id] = true;
			total++;
		}
		if (n > 0)
			cursor = cursors[n - 1];
	} while (n > 0);
	assert_int_equal(total, w->n);
	free(entries);
	free(cursors);
	free(seen);
}

static void test_against_an_array(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	srand(5);
	compare(&w);
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < 3000; i++) {
			uint32_t id = (uint32_t)rand() % IDS;

			if (rand() % 3 != 0)
				put(&w, id, (uint32_t)rand());
			else
				drop(&w, id);
		}
		compare(&w);
		list(&w, 1 + (size_t)(round * 97));
	}
	assert_true(w.ids.depth > 3 && w.ids.buckets > 8);
	end(&w);
}

/* The place in a listing survives overwrites and splits. */
static void test_order_is_stable(void **state)
{
	struct store_entry entries[50], again[50];
	uint64_t cursors[50], later[50];
	struct world w;
	size_t n, m;

	(void)state;
	start(&w);
	for (uint32_t i = 0; i < 200; i++)
		put(&w, i, i);
	assert_int_equal(ids_list(&w.ids, 0, entries, cursors, 50, &n), 0);
	assert_int_equal(n, 50);
	for (uint32_t i = 200; i < IDS; i++)
		put(&w, i, i);
	for (uint32_t i = 0; i < 200; i++)
		put(&w, i, i + 10000);
	for (size_t i = 1; i < n; i++) {
		assert_int_equal(ids_list(&w.ids, cursors[i] - 1, again, later, 1, &m), 0);
		assert_int_equal(m, 1);
		assert_string_equal(again[0].id, entries[i].id);
		assert_true(later[0] == cursors[i]);
	}
	end(&w);
}

/* A bucket that is full is split for an id more, and for nothing else. */
static void test_full_bucket(void **state)
{
	uint32_t n = 0;
	struct world w;

	(void)state;
	start(&w);
	do
		put(&w, n++, 1);
	while (w.ids.buckets == 1);
	end(&w);
	start(&w);
	for (uint32_t i = 0; i + 1 < n; i++)
		put(&w, i, 1);
	for (uint32_t i = 0; i + 1 < n; i++)
		put(&w, i, 2 + i);
	for (uint32_t i = 0; i + 1 < n; i += 7) {
		drop(&w, i);
		put(&w, i, 3);
	}
	assert_int_equal(w.ids.buckets, 1);
	compare(&w);
	put(&w, n - 1, 1);
	assert_int_equal(w.ids.buckets, 2);
	compare(&w);
	end(&w);
}

/* What is in memory is on disk. */
static void clean(struct world *w)
{
	struct format_root roots[FORMAT_SPACES];

	pager_freeze(w->pager, PAGER_META);
	assert_int_equal(pager_write_frozen(w->pager, PAGER_META), 0);
	assert_int_equal(pager_write_maps(w->pager, PAGER_META, roots), 0);
	pager_published(w->pager, PAGER_META);
	pager_age(w->pager);
}

/* The next id of which the hash begins with 16 zeros. */
static void alike(struct world *w, uint32_t *number, struct store_entry *entry)
{
	do
		name((*number)++, entry);
	while (ids_hash(&w->ids, entry->id, entry->id_len) >> 48 != 0);
}

/* Few entries with long lists, the last of which part late: the directory doubles several times for one. */
static void test_pages_foretold(void **state)
{
	static const uint8_t zeros[512];
	uint32_t exact = 0, deep = 0, number = IDS;
	struct world w;

	(void)state;
	start(&w);
	for (uint32_t i = 0; i < IDS; i++) {
		struct xattrs list = {zeros, (uint32_t)sizeof(zeros) - i % 40};
		uint32_t depth = w.ids.depth;
		struct store_entry entry;
		struct ids_place place;
		uint64_t foretold, changed;

		clean(&w);
		name(i, &entry);
		if (i >= IDS - 12)
			alike(&w, &number, &entry);
		assert_int_equal(ids_locate(&w.ids, entry.id, entry.id_len, &place), ERR_ABSENT);
		foretold = ids_reserve_pages(&w.ids, &place, entry.id_len, &list);
		assert_int_equal(ids_reserve_at(&w.ids, entry.id, entry.id_len, &place, &list), 0);
		changed = atomic_load(&w.pager->groups[PAGER_META].dirty_bytes) / 4096;
		assert_true(changed <= foretold);
		exact += changed == foretold;
		deep += w.ids.depth > depth + 1;
		(void)pthread_rwlock_wrlock(&w.ids.lock);
		ids_put_at(&w.ids, &place, &entry, &list);
		(void)pthread_rwlock_unlock(&w.ids.lock);
	}
	print_message("of %u changes %u foretold exactly, %u with more than one doubling\n", IDS,
		      (unsigned)exact, (unsigned)deep);
	assert_true(exact > 100 && deep > 0);
	end(&w);
}

/* A page of buckets that was never written is damage to whoever meets it, not an empty bucket. */
static void test_blank_bucket(void **state)
{
	struct store_entry *entries = calloc(IDS, sizeof(*entries));
	uint64_t *cursors = calloc(IDS, sizeof(*cursors)), count;
	uint32_t first;
	size_t n = 0;
	struct world w;

	(void)state;
	start(&w);
	for (uint32_t i = 0; i < IDS; i++)
		put(&w, i, i);
	assert_true(w.ids.depth > 1);
	assert_int_equal(ids_bucket_number(&w.ids, 0, &first), 0);
	assert_int_equal(ids_list(&w.ids, 0, entries, cursors, IDS, &n), 0);
	assert_int_equal(pager_clear(w.pager, FORMAT_SPACE_BUCKET, first), 0);
	assert_int_equal(ids_find(&w.ids, entries[0].id, entries[0].id_len, entries), ERR_DAMAGED);
	assert_int_equal(ids_check(&w.ids, &count), ERR_DAMAGED);
	assert_int_equal(ids_list(&w.ids, 0, entries, cursors, IDS, &n), ERR_DAMAGED);
	free(entries);
	free(cursors);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array), cmocka_unit_test(test_full_bucket),
		cmocka_unit_test(test_blank_bucket),	 cmocka_unit_test(test_order_is_stable),
		cmocka_unit_test(test_pages_foretold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
