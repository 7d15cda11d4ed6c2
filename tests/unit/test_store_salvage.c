/*
 * test_store_salvage.c - every block of a head, every block and every record of a log is damaged in
 * turn; every vector that does not stand there is saved, right and under its name, what is not is
 * said, and nothing wrong is given.
 *
 * A value says which write it is (serial), so that a wrong or mixed one shows. The worlds: closed in
 * order; killed with a log since the last checkpoint; killed without any checkpoint; without a log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/salvage.h"
#include "store/store.h"
#include "tests/support/io_mem.h"

#define IDS 150u
#define WORDS 64u
#define VALUE (WORDS * 4u)
#define PAGE 4096u
#define PER_PAGE (PAGE / VALUE)
#define OPS 400u
#define OPS_MAX 1000u
#define TEXT_MAX (1u << 20)

enum kind { CLEAN, KILLED, YOUNG, CUT, UNLOGGED, DROPPED, KINDS };

struct op {
	uint64_t lsn;
	uint32_t a, b; /* ids that it touches; the same when there is one */
	bool is_rename;
};

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	uint32_t serial[IDS]; /* what each id must hold, 0: nothing */
	uint32_t mode[IDS];
	uint32_t slot[IDS];
	uint64_t lsn[IDS];	/* of the put of the serial */
	uint32_t older[IDS];	/* serials that both slots have, without a log */
	bool had[IDS][OPS_MAX]; /* serials that once stood under the id */
	struct op ops[OPS_MAX];
	uint32_t n_ops, next_serial;
};

/* What salvage gave and said. */
struct result {
	uint32_t serial[IDS], mode[IDS];
	uint32_t unnamed[OPS_MAX]; /* serials under made-up names */
	uint32_t n_unnamed, given;
	uint32_t value_size, page_size;
	struct salvage_report report;
	char *text;
	size_t text_len;
	int err;
};

static uint64_t random_state;

static uint32_t below(uint32_t bound)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % bound;
}

static size_t name_of(uint32_t id, char *out)
{
	return (size_t)sprintf(out, "vector-%03u", (unsigned)id);
}

static void fill(uint32_t serial, uint32_t *value)
{
	for (uint32_t i = 0; i < WORDS; i++)
		value[i] = serial << 12 | i;
}

/* --- making a world --- */

static void open_world(struct world *w, enum wal_durability durability)
{
	struct store_opts opts = {.cache_bytes = 256 << 10, .durability = durability};

	w->io = io_mem_attach(w->medium);
	assert_non_null(w->io);
	assert_int_equal(store_open(w->io, &opts, &w->store, NULL, NULL), 0);
}

static void leave_world(struct world *w, bool orderly)
{
	if (orderly)
		assert_int_equal(store_close(w->store), 0);
	else
		store_abandon(w->store);
	w->store = NULL;
	w->io->ops->close(w->io);
	w->io = NULL;
}

static void note(struct world *w, uint64_t lsn, uint32_t a, uint32_t b, bool is_rename)
{
	assert_true(w->n_ops < OPS_MAX);
	w->ops[w->n_ops++] = (struct op){lsn, a, b, is_rename};
}

static void do_put(struct world *w, uint32_t id)
{
	struct store_put_result result;
	struct store_attr attr = {.mode = 0600 + below(64), .uid = 5, .gid = 6, .mtime_ns = 7};
	uint32_t value[WORDS], serial = ++w->next_serial;
	char name[32];
	size_t len = name_of(id, name);

	fill(serial, value);
	assert_int_equal(
		store_put(w->store, name, len, value, VALUE, &attr, 0, NULL, NULL, &result), 0);
	if (result.old_slot != STORE_NO_SLOT && below(2) == 0)
		assert_int_equal(store_slot_release(w->store, result.old_slot), 0);
	w->serial[id] = serial;
	w->had[id][serial] = true;
	w->mode[id] = attr.mode;
	w->slot[id] = result.slot;
	w->lsn[id] = result.lsn;
	note(w, result.lsn, id, id, false);
}

static void do_delete(struct world *w, uint32_t id)
{
	struct store_put_result result;
	char name[32];
	size_t len = name_of(id, name);

	if (w->serial[id] == 0)
		return;
	assert_int_equal(store_delete(w->store, name, len, NULL, NULL, &result), 0);
	w->serial[id] = 0;
	note(w, result.lsn, id, id, false);
}

static void carry(struct world *w, uint32_t to, uint32_t serial, uint32_t mode, uint32_t slot,
		  uint64_t lsn)
{
	w->serial[to] = serial;
	w->had[to][serial] = true;
	w->mode[to] = mode;
	w->slot[to] = slot;
	w->lsn[to] = lsn;
}

static void do_rename(struct world *w, uint32_t from, uint32_t to)
{
	struct store_put_result result;
	bool exchange = w->serial[to] != 0 && below(2) == 0;
	uint32_t serial = w->serial[to], mode = w->mode[to], slot = w->slot[to];
	uint64_t lsn = w->lsn[to];
	char a[32], b[32];
	size_t a_len = name_of(from, a), b_len = name_of(to, b);

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

static void do_set_attr(struct world *w, uint32_t id)
{
	struct store_attr attr = {.mode = 0400 + below(64)};
	struct store_stats stats;
	char name[32];
	size_t len = name_of(id, name);

	if (w->serial[id] == 0)
		return;
	assert_int_equal(store_set_attr(w->store, name, len, &attr, STORE_ATTR_MODE), 0);
	store_get_stats(w->store, &stats);
	w->mode[id] = attr.mode;
	note(w, stats.last_lsn, id, id, false);
}

static void do_ops(struct world *w, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t what = below(10), id = below(IDS);

		if (what < 6)
			do_put(w, id);
		else if (what < 7)
			do_delete(w, id);
		else if (what < 9)
			do_rename(w, id, below(IDS));
		else
			do_set_attr(w, id);
	}
}

static int walk_log(struct io_mem *medium, wal_visit visit, void *ctx);

/* The third last record. */
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
static void cut_power(struct world *w)
{
	static const uint8_t boot[16] = {9};
	struct world *was = malloc(sizeof(*was));
	struct tail tail = {0};
	size_t len = 0;

	assert_non_null(was);
	*was = *w;
	for (uint32_t id = 0; id < 3; id++)
		do_put(w, id);
	leave_world(w, false);
	assert_int_equal(walk_log(w->medium, note_tail, &tail), 0);
	io_mem_segment(w->medium, tail.at[0].seq, &len)[tail.at[0].offset + 60] ^= 1;
	io_mem_set_boot_id(w->medium, boot);
	was->next_serial = w->next_serial;
	*w = *was;
	free(was);
	open_world(w, WAL_LOG);
}

/* Without a log, what comes after the last checkpoint is gone. */
static void drop_ops(struct world *w)
{
	struct world *was = malloc(sizeof(*was));

	assert_non_null(was);
	assert_int_equal(store_checkpoint(w->store), 0);
	*was = *w;
	do_ops(w, OPS / 4);
	*w = *was;
	free(was);
}

static struct world *make_world(enum kind kind, uint64_t seed)
{
	struct store_geometry geometry = {.page_size = PAGE, .kind = 2};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	random_state = seed;
	w->medium = io_mem_new(seed);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(store_create(w->io, &geometry, NULL), 0);
	w->io->ops->close(w->io);
	open_world(w, kind >= UNLOGGED ? WAL_NONE : WAL_LOG);
	if (kind == YOUNG) {
		do_ops(w, OPS / 2);
		leave_world(w, false);
		return w;
	}
	for (uint32_t id = 0; id < IDS; id++)
		do_put(w, id);
	assert_int_equal(store_checkpoint(w->store), 0);
	if (kind == DROPPED)
		memcpy(w->older, w->serial, sizeof(w->older));
	do_ops(w, OPS / 4);
	if (kind == CUT) {
		cut_power(w);
		do_ops(w, OPS / 8);
	}
	if (kind == KILLED) {
		leave_world(w, true);
		open_world(w, WAL_LOG);
		do_ops(w, OPS / 4);
		assert_int_equal(store_checkpoint(w->store), 0);
		do_ops(w, OPS / 4);
		assert_int_equal(store_checkpoint(w->store), 0);
		do_ops(w, OPS / 4);
	}
	if (kind == DROPPED)
		drop_ops(w);
	leave_world(w, kind == CLEAN || kind == UNLOGGED);
	return w;
}

static void free_world(struct world *w)
{
	io_mem_free(w->medium);
	free(w);
}

/* --- a disk that refuses to read one range --- */

struct refusing {
	struct store_io io;
	struct store_io *inner;
	uint64_t seq; /* 0: the head */
	uint64_t from, to;
};

static struct refusing *refusing_of(struct store_io *io)
{
	return (struct refusing *)io;
}

static int r_open(struct store_io *io, bool writable, struct err_msg *msg)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->open(inner, writable, msg);
}

static int r_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	struct refusing *r = refusing_of(io);

	if (r->seq == 0 && offset < r->to && offset + len > r->from)
		return ERR_IO;
	return r->inner->ops->read(r->inner, offset, buf, len);
}

static int r_log_list(struct store_io *io, uint64_t **seqs_out, size_t *n_out)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->log_list(inner, seqs_out, n_out);
}

static int r_log_size(struct store_io *io, uint64_t seq, uint64_t *bytes_out)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->log_size(inner, seq, bytes_out);
}

static int r_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
		      size_t *got_out)
{
	struct refusing *r = refusing_of(io);

	if (r->seq == seq && offset < r->to && offset + len > r->from)
		return ERR_IO;
	return r->inner->ops->log_read(r->inner, seq, offset, buf, len, got_out);
}

static const char *r_name(struct store_io *io)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->name(inner);
}

static const struct store_io_ops refusing_ops = {
	.open = r_open,
	.read = r_read,
	.log_list = r_log_list,
	.log_size = r_log_size,
	.log_read = r_log_read,
	.name = r_name,
};

/* --- salvaging --- */

static int take_geometry(void *ctx, const struct store_geometry *geometry)
{
	struct result *r = ctx;

	r->value_size = geometry->value_size;
	r->page_size = geometry->page_size;
	return 0;
}

static int take_vector(void *ctx, const struct salvage_vector *vector)
{
	struct result *r = ctx;
	uint32_t want[WORDS], serial = get_u32(vector->value) >> 12;
	unsigned id;

	assert_int_equal(vector->size, VALUE);
	assert_true(serial > 0 && serial < OPS_MAX);
	fill(serial, want);
	assert_memory_equal(vector->value, want, VALUE);
	if (sscanf(vector->entry.id, "vector-%u", &id) == 1) {
		assert_true(id < IDS);
		if (r->serial[id] != 0)
			return ERR_EXISTS;
		r->serial[id] = serial;
		r->mode[id] = vector->entry.attr.mode;
	} else {
		assert_memory_equal(vector->entry.id, "recovered-slot-", 15);
		r->unnamed[r->n_unnamed++] = serial;
	}
	r->given++;
	return 0;
}

static void take_text(void *ctx, bool loss, const char *text)
{
	struct result *r = ctx;
	int n = snprintf(r->text + r->text_len, TEXT_MAX - r->text_len, "%s: %s\n",
			 loss ? "lost" : "remark", text);

	assert_true(n > 0 && r->text_len + (size_t)n < TEXT_MAX);
	r->text_len += (size_t)n;
}

static struct result *salvage(struct io_mem *medium, const struct refusing *refuse)
{
	struct result *r = calloc(1, sizeof(*r));
	struct salvage_calls calls = {.ctx = r,
				      .begin = take_geometry,
				      .vector = take_vector,
				      .say = take_text,
				      .unnamed = {.mode = 0777}};
	struct refusing disk = {0};
	struct store_io *io = io_mem_attach(medium);

	assert_non_null(r);
	r->text = calloc(1, TEXT_MAX);
	assert_non_null(r->text);
	if (refuse != NULL) {
		disk = *refuse;
		disk.io.ops = &refusing_ops;
		disk.inner = io;
	}
	r->err = salvage_run(refuse != NULL ? &disk.io : io, &calls, 0, &r->report, NULL);
	io->ops->close(io);
	return r;
}

static void free_result(struct result *r)
{
	free(r->text);
	free(r);
}

/* --- judging --- */

static bool is_right(const struct world *w, const struct result *r, uint32_t id)
{
	return r->serial[id] == w->serial[id];
}

static bool is_unnamed(const struct result *r, uint32_t serial)
{
	for (uint32_t i = 0; i < r->n_unnamed; i++)
		if (r->unnamed[i] == serial)
			return true;
	return false;
}

static bool is_said(const struct result *r, uint32_t id)
{
	char name[48] = "vectors/";

	name_of(id, name + 8);
	return strstr(r->text, name) != NULL;
}

static uint32_t count_live(const struct world *w)
{
	uint32_t n = 0;

	for (uint32_t id = 0; id < IDS; id++)
		n += w->serial[id] != 0;
	return n;
}

static void print_result(const struct world *w, const struct result *r, const char *what,
			 uint64_t at)
{
	print_error("%s %llu: %u given, %u live\n%s", what, (unsigned long long)at, r->given,
		    count_live(w), r->text);
	for (uint32_t id = 0; id < IDS; id++)
		if (!is_right(w, r, id))
			print_error("id %u: serial %u slot %u lsn %llu, got %u\n", id,
				    w->serial[id], w->slot[id], (unsigned long long)w->lsn[id],
				    r->serial[id]);
}

/*
 * It ran, counted right, and gives no content under an id that never stood there, but for an older version of what a
 * renaming brought there, which is said.
 */
static bool is_sound(const struct world *w, const struct result *r)
{
	if (r->err != 0 || r->report.saved != r->given || r->report.unnamed != r->n_unnamed)
		return false;
	for (uint32_t id = 0; id < IDS; id++)
		if (r->serial[id] != 0 && !w->had[id][r->serial[id]] && !is_said(r, id))
			return false;
	return true;
}

/*
 * One page of the head is damaged, the log is not. What is missing or old stood on one page of values
 * and is named; what has no name is there without; what the log can tell is right.
 */
static bool head_result_is_right(const struct world *w, const struct result *r, uint64_t log_from)
{
	uint32_t page = UINT32_MAX, wrong = 0;

	if (!is_sound(w, r))
		return false;
	for (uint32_t id = 0; id < IDS; id++) {
		if (is_right(w, r, id)) {
			if (w->serial[id] != 0 && r->n_unnamed == 0 && r->mode[id] != w->mode[id])
				return false;
			continue;
		}
		wrong++;
		if (w->serial[id] == 0 || (log_from != 0 && w->lsn[id] >= log_from))
			return false;
		if (is_unnamed(r, w->serial[id]) && w->older[id] != w->serial[id])
			continue;
		if (page != UINT32_MAX && page != w->slot[id] / PER_PAGE)
			return false;
		page = w->slot[id] / PER_PAGE;
		if (!is_said(r, id))
			return false;
	}
	return (wrong > 0) == (r->report.losses > 0) && (page == UINT32_MAX || r->n_unnamed == 0);
}

/* The LSN of the first record that the log still has, 0: none. */
static int first_lsn(void *ctx, const struct wal_record *record)
{
	if (*(uint64_t *)ctx == 0)
		*(uint64_t *)ctx = record->lsn;
	return 0;
}

static int walk_log(struct io_mem *medium, wal_visit visit, void *ctx)
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

enum damage { FLIP, ZERO, REFUSE, DAMAGES };
static const char *const damage_names[] = {"flipped", "zeroed", "refused"};

static void damage_bytes(uint8_t *bytes, size_t from, size_t to, enum damage damage)
{
	if (damage == FLIP)
		bytes[from + below((uint32_t)(to - from))] ^= (uint8_t)(1u << below(8));
	else if (damage == ZERO)
		memset(bytes + from, 0, to - from);
}

static void test_undamaged(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct world *w = make_world(kind, 1);
		struct result *r = salvage(w->medium, NULL);

		if (!head_result_is_right(w, r, 1) || r->report.losses != 0 || r->text_len != 0 ||
		    r->given != count_live(w))
			print_result(w, r, "undamaged", kind);
		assert_true(head_result_is_right(w, r, 1));
		assert_int_equal(r->report.losses, 0);
		assert_int_equal(r->text_len, 0);
		assert_int_equal(r->given, count_live(w));
		assert_int_equal(r->value_size, VALUE);
		assert_int_equal(r->page_size, PAGE);
		free_result(r);
		free_world(w);
	}
}

static void test_blocks_of_head(void **state)
{
	uint32_t cases = 0, with_loss = 0;

	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct world *w = make_world(kind, 2);
		uint64_t log_from = 0;
		size_t len;

		assert_int_equal(walk_log(w->medium, first_lsn, &log_from), 0);
		(void)io_mem_head(w->medium, &len);
		for (size_t at = 0; at < len; at += FORMAT_BLOCK) {
			for (enum damage d = 0; d < DAMAGES; d++) {
				struct refusing refuse = {.from = at, .to = at + FORMAT_BLOCK};
				struct io_mem *medium = io_mem_clone(w->medium);
				struct result *r;

				damage_bytes(io_mem_head(medium, &len), at, at + FORMAT_BLOCK, d);
				r = salvage(medium, d == REFUSE ? &refuse : NULL);
				/* without a log nobody can tell what the newer slot said */
				if (kind >= UNLOGGED &&
				    (at / FORMAT_BLOCK == 1 || at / FORMAT_BLOCK == 2)) {
					assert_true(is_sound(w, r) && r->report.losses > 0);
				} else if (!head_result_is_right(w, r, log_from)) {
					print_result(w, r, damage_names[d], at);
					fail();
				}
				with_loss += r->report.losses > 0;
				cases++;
				free_result(r);
				io_mem_free(medium);
			}
		}
		free_world(w);
	}
	print_message("%u damaged blocks of heads, %u with a loss\n", cases, with_loss);
	assert_true(with_loss > 0 && with_loss < cases / 2);
}

/* The same without the older slot: now names come from the log by their hashes. */
static void test_blocks_without_older_slot(void **state)
{
	struct world *w = make_world(KILLED, 11);
	const struct format_slot *slots;
	uint64_t log_from = 0;
	size_t len, older;

	(void)state;
	assert_int_equal(walk_log(w->medium, first_lsn, &log_from), 0);
	slots = (const struct format_slot *)(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT);
	older = get_u64(slots[0].generation) < get_u64(slots[1].generation) ? 0 : 1;
	memset(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT + older * FORMAT_BLOCK, 0,
	       FORMAT_BLOCK);
	for (size_t at = FORMAT_PAGES_AT; at < len; at += FORMAT_BLOCK) {
		struct io_mem *medium = io_mem_clone(w->medium);
		struct result *r;

		damage_bytes(io_mem_head(medium, &len), at, at + FORMAT_BLOCK, FLIP);
		r = salvage(medium, NULL);
		if (!head_result_is_right(w, r, log_from)) {
			print_result(w, r, "without older slot", at);
			fail();
		}
		free_result(r);
		io_mem_free(medium);
	}
	free_world(w);
}

/* The header and one slot are gone: the other slot says all that is needed. */
static void test_one_slot_alone(void **state)
{
	(void)state;
	for (enum kind kind = CLEAN; kind <= KILLED; kind++) {
		for (size_t i = 0; i < 2; i++) {
			struct world *w = make_world(kind, 12);
			struct result *r;
			size_t len;

			memset(io_mem_head(w->medium, &len), 0, FORMAT_BLOCK);
			memset(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT + i * FORMAT_BLOCK,
			       0xa5, FORMAT_BLOCK);
			r = salvage(w->medium, NULL);
			if (!head_result_is_right(w, r, 1) || r->given != count_live(w)) {
				print_result(w, r, "one slot alone", i);
				fail();
			}
			free_result(r);
			free_world(w);
		}
	}
}

/* --- the log --- */

struct places {
	struct {
		uint64_t lsn, seq, from, to;
	} at[OPS_MAX];
	uint32_t n;
};

static int note_place(void *ctx, const struct wal_record *record)
{
	struct places *places = ctx;
	uint64_t size = 40 + round_up(record->length, 8) + 8;

	assert_true(places->n < OPS_MAX);
	places->at[places->n].lsn = record->lsn;
	places->at[places->n].seq = record->seq;
	places->at[places->n].from = record->offset;
	places->at[places->n++].to = record->offset + size;
	return 0;
}

/* Ids whose state depends on a record in the range. */
static bool taint(const struct world *w, const struct places *places, uint64_t seq, uint64_t from,
		  uint64_t to, bool tainted[IDS])
{
	bool any = false;

	memset(tainted, 0, IDS * sizeof(*tainted));
	for (uint32_t i = 0; i < places->n; i++) {
		bool hit = places->at[i].seq == seq && places->at[i].from < to &&
			   places->at[i].to > from;

		for (uint32_t o = 0; o < w->n_ops; o++) {
			const struct op *op = &w->ops[o];

			if (op->lsn != places->at[i].lsn)
				continue;
			any |= hit;
			if (hit || (op->is_rename && (tainted[op->a] || tainted[op->b])))
				tainted[op->a] = tainted[op->b] = true;
		}
	}
	return any;
}

static bool log_result_is_right(const struct world *w, const struct result *r,
				const bool tainted[IDS])
{
	bool wrong = false;

	if (!is_sound(w, r))
		return false;
	for (uint32_t id = 0; id < IDS; id++) {
		if (!tainted[id] &&
		    (!is_right(w, r, id) || (w->serial[id] != 0 && r->mode[id] != w->mode[id])))
			return false;
		wrong |= !is_right(w, r, id);
	}
	return !wrong || r->report.losses > 0;
}

/* Damages a range of a segment and judges what is salvaged. */
static void damage_log(const struct world *w, const struct places *places, uint64_t seq,
		       uint64_t from, uint64_t to, enum damage d)
{
	struct refusing refuse = {.seq = seq, .from = from, .to = to};
	struct io_mem *medium = io_mem_clone(w->medium);
	bool tainted[IDS];
	struct result *r;
	size_t len;

	damage_bytes(io_mem_segment(medium, seq, &len), (size_t)from, (size_t)to, d);
	(void)taint(w, places, seq, from, to, tainted);
	r = salvage(medium, d == REFUSE ? &refuse : NULL);
	/* without its head the last record looks like one that was never finished; it is remarked */
	if (places->at[places->n - 1].to <= to && strstr(r->text, "remark: the log ends") != NULL)
		r->report.losses++;
	if (!log_result_is_right(w, r, tainted)) {
		print_result(w, r, damage_names[d], from);
		print_error("segment %llu, bytes %llu to %llu\n", (unsigned long long)seq,
			    (unsigned long long)from, (unsigned long long)to);
		fail();
	}
	free_result(r);
	io_mem_free(medium);
}

static void test_records(void **state)
{
	uint32_t cases = 0;

	(void)state;
	for (enum kind kind = KILLED; kind <= CUT; kind++) {
		struct world *w = make_world(kind, 3);
		struct places places = {.n = 0};

		assert_int_equal(walk_log(w->medium, note_place, &places), 0);
		assert_true(places.n > OPS / 4);
		for (uint32_t i = 0; i < places.n; i++)
			for (enum damage d = 0; d < REFUSE; d++, cases++)
				damage_log(w, &places, places.at[i].seq, places.at[i].from,
					   places.at[i].to, d);
		free_world(w);
	}
	print_message("%u damaged records\n", cases);
}

static void test_blocks_of_log(void **state)
{
	uint32_t cases = 0;

	(void)state;
	for (enum kind kind = KILLED; kind <= CUT; kind++) {
		struct world *w = make_world(kind, 4);
		struct places places = {.n = 0};

		assert_int_equal(walk_log(w->medium, note_place, &places), 0);
		for (uint64_t seq = places.at[0].seq; seq <= places.at[places.n - 1].seq; seq++) {
			size_t len = 0;

			assert_non_null(io_mem_segment(w->medium, seq, &len));
			for (size_t at = 0; at < len; at += FORMAT_BLOCK)
				for (enum damage d = 0; d < DAMAGES; d++, cases++)
					damage_log(w, &places, seq, at,
						   at + FORMAT_BLOCK < len ? at + FORMAT_BLOCK :
									     len,
						   d);
		}
		free_world(w);
	}
	print_message("%u damaged blocks of logs\n", cases);
}

/* --- several places at once --- */

static void damage_anywhere(struct io_mem *medium, const struct places *places)
{
	uint32_t n = 2 + below(6);
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t seq = places->at[below(places->n)].seq;
		bool head = below(3) > 0;
		uint8_t *bytes = head ? io_mem_head(medium, &len) :
					io_mem_segment(medium, seq, &len);
		size_t at = below((uint32_t)(len / FORMAT_BLOCK)) * FORMAT_BLOCK;
		size_t to = at + FORMAT_BLOCK * (1 + below(4));

		if (!head && at == 0)
			continue; /* without the salt other damage in the segment cannot be seen */
		damage_bytes(bytes, at, to < len ? to : len, below(2) == 0 ? FLIP : ZERO);
	}
}

/* Nothing wrong is given; what is missing or old is said, or is counted among what has no name. */
static void test_many_places(void **state)
{
	struct world *w = make_world(KILLED, 10);
	struct places places = {.n = 0};
	uint64_t given = 0;

	(void)state;
	assert_int_equal(walk_log(w->medium, note_place, &places), 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct io_mem *medium = io_mem_clone(w->medium);
		bool wrong = false;
		struct result *r;

		random_state = 1000 + i;
		damage_anywhere(medium, &places);
		r = salvage(medium, NULL);
		for (uint32_t id = 0; r->err == 0 && id < IDS; id++)
			wrong |= !is_right(w, r, id);
		if (r->err == 0 ? wrong && r->report.losses == 0 &&
					  strstr(r->text, "remark: the log ends") == NULL :
				  r->err != ERR_DAMAGED && r->err != ERR_FORMAT) {
			print_result(w, r, "many places", i);
			fail();
		}
		given += r->given;
		free_result(r);
		io_mem_free(medium);
	}
	print_message("%u worlds damaged in several places, %u of %u vectors saved on average\n",
		      300, (unsigned)(given / 300), count_live(w));
	free_world(w);
}

/* --- what is missing --- */

static void test_truncated_head(void **state)
{
	struct world *w = make_world(KILLED, 5);
	uint64_t log_from = 0;
	size_t len;

	(void)state;
	assert_int_equal(walk_log(w->medium, first_lsn, &log_from), 0);
	(void)io_mem_head(w->medium, &len);
	for (size_t at = 0; at < len; at += FORMAT_BLOCK) {
		struct io_mem *medium = io_mem_clone(w->medium);
		struct result *r;

		assert_int_equal(io_mem_resize_head(medium, at), 0);
		r = salvage(medium, NULL);
		if (at == 0) {
			assert_int_equal(r->err, ERR_FORMAT);
		} else {
			assert_true(is_sound(w, r));
			assert_true(r->report.losses > 0 || r->given == count_live(w));
			for (uint32_t id = 0; id < IDS; id++)
				if (at > FORMAT_PAGES_AT && w->serial[id] != 0 &&
				    w->lsn[id] >= log_from && !is_right(w, r, id) &&
				    !is_unnamed(r, w->serial[id])) {
					print_result(w, r, "cut", at);
					fail();
				}
		}
		free_result(r);
		io_mem_free(medium);
	}
	free_world(w);
}

static int fail_write(void *ctx, const char *call, uint64_t nth)
{
	(void)ctx;
	(void)nth;
	return strcmp(call, "write") == 0 ? ERR_FULL : 0;
}

/* The next segment, without records, proves that there was a last record. */
static void test_last_record_proved(void **state)
{
	struct world *w = make_world(YOUNG, 13);
	struct places places = {.n = 0};
	struct result *r;
	bool tainted[IDS];
	size_t len, last;

	(void)state;
	open_world(w, WAL_LOG);
	do_put(w, 1);
	do_put(w, 2);
	io_mem_set_fault(w->medium, fail_write, NULL);
	assert_int_equal(store_checkpoint(w->store), ERR_FULL);
	io_mem_set_fault(w->medium, NULL, NULL);
	leave_world(w, false);
	assert_int_equal(walk_log(w->medium, note_place, &places), 0);
	last = places.n - 1;
	memset(io_mem_segment(w->medium, places.at[last].seq, &len) + places.at[last].from, 0,
	       (size_t)(places.at[last].to - places.at[last].from));
	(void)taint(w, &places, places.at[last].seq, places.at[last].from, places.at[last].to,
		    tainted);
	r = salvage(w->medium, NULL);
	assert_true(log_result_is_right(w, r, tainted));
	assert_true(tainted[2] && r->report.losses > 0);
	free_result(r);
	free_world(w);
}

/* Each segment in turn is gone, or cut anywhere. */
static void truncate_log(enum kind kind)
{
	struct world *w = make_world(kind, 6);
	struct places places = {.n = 0};

	assert_int_equal(walk_log(w->medium, note_place, &places), 0);
	for (uint64_t seq = places.at[0].seq; seq <= places.at[places.n - 1].seq; seq++) {
		size_t len = 0;

		(void)io_mem_segment(w->medium, seq, &len);
		for (size_t at = 0; at < len; at += 500) {
			struct io_mem *medium = io_mem_clone(w->medium);
			bool tainted[IDS];
			struct result *r;

			assert_int_equal(io_mem_resize_segment(medium, seq, at), 0);
			(void)taint(w, &places, seq, at, len, tainted);
			r = salvage(medium, NULL);
			/* a cut in the last segment looks like a kill, but for the ids */
			if (seq == places.at[places.n - 1].seq)
				r->report.losses++;
			if (!log_result_is_right(w, r, tainted)) {
				print_result(w, r, "cut log", at);
				fail();
			}
			free_result(r);
			io_mem_free(medium);
		}
	}
	free_world(w);
}

static void test_truncated_log(void **state)
{
	(void)state;
	truncate_log(KILLED);
	truncate_log(CUT);
}

static void test_no_slot(void **state)
{
	struct world *w = make_world(YOUNG, 7);
	struct result *r;
	size_t len;

	(void)state;
	memset(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT, 0xff, 2 * FORMAT_BLOCK);
	r = salvage(w->medium, NULL);
	assert_true(is_sound(w, r));
	assert_int_equal(r->given, count_live(w)); /* the log has everything */
	assert_true(r->report.losses > 0);
	assert_int_equal(r->value_size, VALUE);
	free_result(r);
	memset(io_mem_head(w->medium, &len), 0, FORMAT_BLOCK);
	r = salvage(w->medium, NULL);
	assert_int_equal(r->err, ERR_FORMAT);
	free_result(r);
	free_world(w);
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
	struct world *w = make_world(CLEAN, 8);
	struct salvage_report report;
	uint32_t invalid = 0, exists = 0;

	(void)state;
	for (uint32_t id = 0; id < IDS; id++) {
		invalid += w->serial[id] != 0 && id % 5 == 1;
		exists += w->serial[id] != 0 && id % 5 == 2;
	}
	assert_int_equal(run_plain(w->medium, 0, &report), 0);
	assert_int_equal(report.lost, invalid);
	assert_int_equal(report.unnamed, exists);
	assert_int_equal(report.saved, count_live(w) - invalid);
	assert_int_equal(run_plain(w->medium, ERR_FULL, &report), ERR_FULL);
	free_world(w);
}

static uint64_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return allocations++ == fail_at;
}

static void test_each_allocation_fails(void **state)
{
	struct world *w = make_world(KILLED, 9);
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
	free_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_undamaged),
		cmocka_unit_test(test_blocks_of_head),
		cmocka_unit_test(test_blocks_without_older_slot),
		cmocka_unit_test(test_one_slot_alone),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_blocks_of_log),
		cmocka_unit_test(test_many_places),
		cmocka_unit_test(test_truncated_head),
		cmocka_unit_test(test_truncated_log),
		cmocka_unit_test(test_last_record_proved),
		cmocka_unit_test(test_no_slot),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
