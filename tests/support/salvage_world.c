/* salvage_world.c - making stores in known states. */
#include "tests/support/salvage_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t random_state;

void salvage_world_random(uint64_t seed)
{
	random_state = seed;
}

uint32_t salvage_world_below(uint32_t bound)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % bound;
}

size_t salvage_world_name(uint32_t id, char *out)
{
	return (size_t)sprintf(out, "vector-%03u", (unsigned)id);
}

void salvage_world_fill(uint32_t serial, uint32_t *value)
{
	for (uint32_t i = 0; i < WORLD_WORDS; i++)
		value[i] = serial << 12 | i;
}

int salvage_world_walk(struct io_mem *medium, wal_visit visit, void *ctx)
{
	struct store_io *io = io_mem_attach(medium);
	struct wal_scan_opts opts = {.io = io};
	struct store_head head;
	int err = store_read_head(io, &head, NULL);

	memcpy(opts.uuid, head.uuid, 16);
	if (err == 0)
		err = wal_salvage(&opts, visit, ctx);
	io->ops->close(io);
	return err;
}

/* --- making a world --- */

void salvage_world_open(struct salvage_world *w, enum wal_durability durability)
{
	struct store_opts opts = {.cache_bytes = 256 << 10, .durability = durability};

	w->io = io_mem_attach(w->medium);
	assert_non_null(w->io);
	assert_int_equal(store_open(w->io, &opts, &w->store, NULL, NULL), 0);
}

void salvage_world_leave(struct salvage_world *w, bool orderly)
{
	if (orderly)
		assert_int_equal(store_close(w->store), 0);
	else
		store_abandon(w->store);
	w->store = NULL;
	w->io->ops->close(w->io);
	w->io = NULL;
}

static void note(struct salvage_world *w, uint64_t lsn, uint32_t a, uint32_t b, bool is_rename)
{
	assert_true(w->n_ops < WORLD_OPS_MAX);
	w->ops[w->n_ops++] = (struct salvage_world_op){lsn, a, b, is_rename};
}

void salvage_world_put(struct salvage_world *w, uint32_t id)
{
	struct store_put_result result;
	struct store_attr attr = {
		.mode = 0600 + salvage_world_below(64), .uid = 5, .gid = 6, .mtime_ns = 7};
	uint32_t value[WORLD_WORDS], serial = ++w->next_serial;
	char name[32];
	size_t len = salvage_world_name(id, name);

	salvage_world_fill(serial, value);
	assert_int_equal(
		store_put(w->store, name, len, value, WORLD_VALUE, &attr, 0, NULL, NULL, &result),
		0);
	if (result.old_slot != STORE_NO_SLOT && salvage_world_below(2) == 0)
		assert_int_equal(store_slot_release(w->store, result.old_slot), 0);
	w->serial[id] = serial;
	w->had[id][serial] = true;
	w->mode[id] = attr.mode;
	w->slot[id] = result.slot;
	w->lsn[id] = result.lsn;
	note(w, result.lsn, id, id, false);
}

static void do_delete(struct salvage_world *w, uint32_t id)
{
	struct store_put_result result;
	char name[32];
	size_t len = salvage_world_name(id, name);

	if (w->serial[id] == 0)
		return;
	assert_int_equal(store_delete(w->store, name, len, NULL, NULL, &result), 0);
	w->serial[id] = 0;
	note(w, result.lsn, id, id, false);
}

static void carry(struct salvage_world *w, uint32_t to, uint32_t serial, uint32_t mode,
		  uint32_t slot, uint64_t lsn)
{
	w->serial[to] = serial;
	w->had[to][serial] = true;
	w->mode[to] = mode;
	w->slot[to] = slot;
	w->lsn[to] = lsn;
}

static void do_rename(struct salvage_world *w, uint32_t from, uint32_t to)
{
	struct store_put_result result;
	bool exchange = w->serial[to] != 0 && salvage_world_below(2) == 0;
	uint32_t serial = w->serial[to], mode = w->mode[to], slot = w->slot[to];
	uint64_t lsn = w->lsn[to];
	char a[32], b[32];
	size_t a_len = salvage_world_name(from, a), b_len = salvage_world_name(to, b);

	if (w->serial[from] == 0 || from == to)
		return;
	assert_int_equal(store_rename(w->store, a, a_len, b, b_len,
				      exchange ? STORE_RENAME_EXCHANGE : 0, NULL, NULL, &result),
			 0);
	carry(w, to, w->serial[from], w->mode[from], w->slot[from], w->lsn[from]);
	w->serial[from] = 0;
	if (exchange)
		carry(w, from, serial, mode, slot, lsn);
	note(w, result.lsn, from, to, true);
}

static void do_set_attr(struct salvage_world *w, uint32_t id)
{
	struct store_attr attr = {.mode = 0400 + salvage_world_below(64)};
	struct store_stats stats;
	char name[32];
	size_t len = salvage_world_name(id, name);

	if (w->serial[id] == 0)
		return;
	assert_int_equal(store_set_attr(w->store, name, len, &attr, STORE_ATTR_MODE), 0);
	store_get_stats(w->store, &stats);
	w->mode[id] = attr.mode;
	note(w, stats.last_lsn, id, id, false);
}

static void do_ops(struct salvage_world *w, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t what = salvage_world_below(10), id = salvage_world_below(WORLD_IDS);

		if (what < 6)
			salvage_world_put(w, id);
		else if (what < 7)
			do_delete(w, id);
		else if (what < 9)
			do_rename(w, id, salvage_world_below(WORLD_IDS));
		else
			do_set_attr(w, id);
	}
}

/* The last three records. */
struct tail {
	struct {
		uint64_t seq, offset;
	} at[3];
};

static int note_tail(void *ctx, const struct wal_record *record)
{
	struct tail *tail = ctx;

	tail->at[0] = tail->at[1];
	tail->at[1] = tail->at[2];
	tail->at[2].seq = record->seq;
	tail->at[2].offset = record->offset;
	return 0;
}

/*
 * Three puts that a power cut takes, though two of their records reached the disk: later records have
 * the same LSNs.
 */
static void cut_power(struct salvage_world *w)
{
	static const uint8_t boot[16] = {9};
	struct salvage_world *was = malloc(sizeof(*was));
	struct tail tail = {0};
	size_t len = 0;

	assert_non_null(was);
	*was = *w;
	for (uint32_t id = 0; id < 3; id++)
		salvage_world_put(w, id);
	salvage_world_leave(w, false);
	assert_int_equal(salvage_world_walk(w->medium, note_tail, &tail), 0);
	io_mem_segment(w->medium, tail.at[0].seq, &len)[tail.at[0].offset + 60] ^= 1;
	io_mem_set_boot_id(w->medium, boot);
	was->next_serial = w->next_serial;
	*w = *was;
	free(was);
	salvage_world_open(w, WAL_LOG);
}

/* Without a log, what comes after the last checkpoint is gone. */
static void drop_ops(struct salvage_world *w)
{
	struct salvage_world *was = malloc(sizeof(*was));

	assert_non_null(was);
	assert_int_equal(store_checkpoint(w->store), 0);
	*was = *w;
	do_ops(w, WORLD_OPS / 4);
	*w = *was;
	free(was);
}

struct salvage_world *salvage_world_new(enum salvage_world_kind kind, uint64_t seed)
{
	struct store_geometry geometry = {.page_size = WORLD_PAGE, .kind = 2};
	struct salvage_world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	random_state = seed;
	w->medium = io_mem_new(seed);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(store_create(w->io, &geometry, NULL), 0);
	w->io->ops->close(w->io);
	salvage_world_open(w, kind >= WORLD_UNLOGGED ? WAL_NONE : WAL_LOG);
	if (kind == WORLD_YOUNG) {
		do_ops(w, WORLD_OPS / 2);
		salvage_world_leave(w, false);
		return w;
	}
	for (uint32_t id = 0; id < WORLD_IDS; id++)
		salvage_world_put(w, id);
	assert_int_equal(store_checkpoint(w->store), 0);
	if (kind == WORLD_DROPPED)
		memcpy(w->older, w->serial, sizeof(w->older));
	do_ops(w, WORLD_OPS / 4);
	if (kind == WORLD_CUT) {
		cut_power(w);
		do_ops(w, WORLD_OPS / 8);
	}
	if (kind == WORLD_KILLED) {
		salvage_world_leave(w, true);
		salvage_world_open(w, WAL_LOG);
		do_ops(w, WORLD_OPS / 4);
		assert_int_equal(store_checkpoint(w->store), 0);
		do_ops(w, WORLD_OPS / 4);
		assert_int_equal(store_checkpoint(w->store), 0);
		do_ops(w, WORLD_OPS / 4);
	}
	if (kind == WORLD_DROPPED)
		drop_ops(w);
	salvage_world_leave(w, kind == WORLD_CLEAN || kind == WORLD_UNLOGGED);
	return w;
}

void salvage_world_free(struct salvage_world *w)
{
	io_mem_free(w->medium);
	free(w);
}
