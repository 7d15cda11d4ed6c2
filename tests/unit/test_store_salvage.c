/*
 * test_store_salvage.c - every block of a head, every block and every record of a log is damaged in
 * turn; every vector that does not stand there is saved, right and under its name, what is not is
 * said, and nothing wrong is given.
 *
 * What the worlds are: tests/support/salvage_world.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/format.h"
#include "store/mem.h"
#include "store/salvage.h"
#include "store/salvage_private.h"
#include "store/store.h"
#include "tests/support/io_mem.h"
#include "tests/support/io_refusing.h"
#include "tests/support/salvage_world.h"

#define PER_PAGE (WORLD_PAGE / WORLD_VALUE)
#define TEXT_MAX (1u << 20)

/* What salvage gave and said. */
struct result {
	uint32_t serial[WORLD_IDS], mode[WORLD_IDS];
	uint32_t unnamed[WORLD_OPS_MAX]; /* serials under made-up names */
	uint32_t n_unnamed, given;
	uint32_t value_size, page_size;
	struct salvage_report report;
	char *text;
	size_t text_len;
	int err;
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
	uint32_t want[WORLD_WORDS], serial = get_u32(vector->value) >> 12;
	unsigned id;

	assert_int_equal(vector->size, WORLD_VALUE);
	assert_true(serial > 0 && serial < WORLD_OPS_MAX);
	salvage_world_fill(serial, want);
	assert_memory_equal(vector->value, want, WORLD_VALUE);
	if (sscanf(vector->entry.id, "vector-%u", &id) == 1) {
		assert_true(id < WORLD_IDS);
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

static struct result *salvage(struct io_mem *medium, const struct io_refusing *refuse)
{
	struct result *r = calloc(1, sizeof(*r));
	struct salvage_calls calls = {.ctx = r,
				      .begin = take_geometry,
				      .vector = take_vector,
				      .say = take_text,
				      .unnamed = {.mode = 0777}};
	struct io_refusing disk = {0};
	struct store_io *io = io_mem_attach(medium);

	assert_non_null(r);
	r->text = calloc(1, TEXT_MAX);
	assert_non_null(r->text);
	if (refuse != NULL) {
		disk = *refuse;
		io_refusing_init(&disk, io);
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

static bool is_right(const struct salvage_world *w, const struct result *r, uint32_t id)
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

	salvage_world_name(id, name + 8);
	return strstr(r->text, name) != NULL;
}

static uint32_t count_live(const struct salvage_world *w)
{
	uint32_t n = 0;

	for (uint32_t id = 0; id < WORLD_IDS; id++)
		n += w->serial[id] != 0;
	return n;
}

static void print_result(const struct salvage_world *w, const struct result *r, const char *what,
			 uint64_t at)
{
	print_error("%s %llu: %u given, %u live\n%s", what, (unsigned long long)at, r->given,
		    count_live(w), r->text);
	for (uint32_t id = 0; id < WORLD_IDS; id++)
		if (!is_right(w, r, id))
			print_error("id %u: serial %u slot %u lsn %llu, got %u\n", id,
				    w->serial[id], w->slot[id], (unsigned long long)w->lsn[id],
				    r->serial[id]);
}

/*
 * It ran, counted right, and gives no content under an id that never stood there, but for an older
 * version of what a renaming brought there, which is said.
 */
static bool is_sound(const struct salvage_world *w, const struct result *r)
{
	if (r->err != 0 || r->report.saved != r->given || r->report.unnamed != r->n_unnamed)
		return false;
	for (uint32_t id = 0; id < WORLD_IDS; id++)
		if (r->serial[id] != 0 && !w->had[id][r->serial[id]] && !is_said(r, id))
			return false;
	return true;
}

/*
 * One page of the head is damaged, the log is not. What is missing or old stood on one page of values
 * and is named; what has no name is there without; what the log can tell is right.
 */
static bool head_result_is_right(const struct salvage_world *w, const struct result *r,
				 uint64_t log_from)
{
	uint32_t page = UINT32_MAX, wrong = 0;

	if (!is_sound(w, r))
		return false;
	for (uint32_t id = 0; id < WORLD_IDS; id++) {
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

enum damage { FLIP, ZERO, REFUSE, DAMAGES };
static const char *const damage_names[] = {"flipped", "zeroed", "refused"};

static void damage_bytes(uint8_t *bytes, size_t from, size_t to, enum damage damage)
{
	if (damage == FLIP)
		bytes[from + salvage_world_below((uint32_t)(to - from))] ^=
			(uint8_t)(1u << salvage_world_below(8));
	else if (damage == ZERO)
		memset(bytes + from, 0, to - from);
}

static void test_undamaged(void **state)
{
	(void)state;
	for (enum salvage_world_kind kind = 0; kind < WORLD_KINDS; kind++) {
		struct salvage_world *w = salvage_world_new(kind, 1);
		struct result *r = salvage(w->medium, NULL);

		if (!head_result_is_right(w, r, 1) || r->report.losses != 0 || r->text_len != 0 ||
		    r->given != count_live(w))
			print_result(w, r, "undamaged", kind);
		assert_true(head_result_is_right(w, r, 1));
		assert_int_equal(r->report.losses, 0);
		assert_int_equal(r->text_len, 0);
		assert_int_equal(r->given, count_live(w));
		assert_int_equal(r->value_size, WORLD_VALUE);
		assert_int_equal(r->page_size, WORLD_PAGE);
		free_result(r);
		salvage_world_free(w);
	}
}

/* --- pages of zeros, which have no place on the disk --- */

#define ZEROS_PAGES 3u /* of the largest value here */

/* A page of zeros for the first 16 ids; of what is larger than a page, the second one. */
static void fill_with_zeros(uint32_t id, uint32_t size, uint8_t *value)
{
	memset(value, size > WORLD_PAGE || id >= PER_PAGE ? 1 + (int)id : 0, size);
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
	const uint32_t ids = 3 * PER_PAGE;

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

		assert_int_equal(salvage_world_walk(w->medium, first_lsn, &log_from), 0);
		(void)io_mem_head(w->medium, &len);
		for (size_t at = 0; at < len; at += FORMAT_BLOCK) {
			for (enum damage d = 0; d < DAMAGES; d++) {
				struct io_refusing refuse = {.from = at, .to = at + FORMAT_BLOCK};
				struct io_mem *medium = io_mem_clone(w->medium);
				struct result *r;

				damage_bytes(io_mem_head(medium, &len), at, at + FORMAT_BLOCK, d);
				r = salvage(medium, d == REFUSE ? &refuse : NULL);
				/* without a log nobody can tell what the newer slot said */
				if (kind >= WORLD_UNLOGGED &&
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
	assert_int_equal(salvage_world_walk(w->medium, first_lsn, &log_from), 0);
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
	salvage_world_free(w);
}

/* The header and one slot are gone: the other slot says all that is needed. */
static void test_one_slot_alone(void **state)
{
	(void)state;
	for (enum salvage_world_kind kind = WORLD_CLEAN; kind <= WORLD_KILLED; kind++) {
		for (size_t i = 0; i < 2; i++) {
			struct salvage_world *w = salvage_world_new(kind, 12);
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
			salvage_world_free(w);
		}
	}
}

/* --- the log --- */

struct places {
	struct {
		uint64_t lsn, seq, from, to;
	} at[WORLD_OPS_MAX];
	uint32_t n;
};

static int note_place(void *ctx, const struct wal_record *record)
{
	struct places *places = ctx;
	uint64_t size = 40 + round_up(record->length, 8) + 8;

	assert_true(places->n < WORLD_OPS_MAX);
	places->at[places->n].lsn = record->lsn;
	places->at[places->n].seq = record->seq;
	places->at[places->n].from = record->offset;
	places->at[places->n++].to = record->offset + size;
	return 0;
}

/* Ids whose state depends on a record in the range. */
static bool taint(const struct salvage_world *w, const struct places *places, uint64_t seq,
		  uint64_t from, uint64_t to, bool tainted[WORLD_IDS])
{
	bool any = false;

	memset(tainted, 0, WORLD_IDS * sizeof(*tainted));
	for (uint32_t i = 0; i < places->n; i++) {
		bool hit = places->at[i].seq == seq && places->at[i].from < to &&
			   places->at[i].to > from;

		for (uint32_t o = 0; o < w->n_ops; o++) {
			const struct salvage_world_op *op = &w->ops[o];

			if (op->lsn != places->at[i].lsn)
				continue;
			any |= hit;
			if (hit || (op->is_rename && (tainted[op->a] || tainted[op->b])))
				tainted[op->a] = tainted[op->b] = true;
		}
	}
	return any;
}

static bool log_result_is_right(const struct salvage_world *w, const struct result *r,
				const bool tainted[WORLD_IDS])
{
	bool wrong = false;

	if (!is_sound(w, r))
		return false;
	for (uint32_t id = 0; id < WORLD_IDS; id++) {
		if (!tainted[id] &&
		    (!is_right(w, r, id) || (w->serial[id] != 0 && r->mode[id] != w->mode[id])))
			return false;
		wrong |= !is_right(w, r, id);
	}
	return !wrong || r->report.losses > 0;
}

/* Damages a range of a segment and judges what is salvaged. */
static void damage_log(const struct salvage_world *w, const struct places *places, uint64_t seq,
		       uint64_t from, uint64_t to, enum damage d)
{
	struct io_refusing refuse = {.seq = seq, .from = from, .to = to};
	struct io_mem *medium = io_mem_clone(w->medium);
	bool tainted[WORLD_IDS];
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
	for (enum salvage_world_kind kind = WORLD_KILLED; kind <= WORLD_CUT; kind++) {
		struct salvage_world *w = salvage_world_new(kind, 3);
		struct places places = {.n = 0};

		assert_int_equal(salvage_world_walk(w->medium, note_place, &places), 0);
		assert_true(places.n > WORLD_OPS / 4);
		for (uint32_t i = 0; i < places.n; i++)
			for (enum damage d = 0; d < REFUSE; d++, cases++)
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
		struct places places = {.n = 0};

		assert_int_equal(salvage_world_walk(w->medium, note_place, &places), 0);
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
		struct places places = {.n = 0};

		assert_int_equal(salvage_world_walk(w->medium, note_place, &places), 0);
		for (uint64_t seq = places.at[0].seq; seq <= places.at[places.n - 1].seq; seq++) {
			struct io_mem *medium = io_mem_clone(w->medium);
			struct result *r;
			size_t len = 0;

			damage_bytes(io_mem_segment(medium, seq, &len), 0, FORMAT_BLOCK, ZERO);
			r = salvage(medium, NULL);
			assert_int_equal(r->err, 0);
			for (uint32_t id = 0; id < WORLD_IDS; id++)
				assert_true(is_right(w, r, id));
			if (strstr(r->text, "cannot be verified") != NULL) {
				trusted++;
				assert_true(r->report.losses > 0);
			} else {
				assert_int_equal(r->report.losses, 0);
			}
			free_result(r);
			io_mem_free(medium);
		}
		salvage_world_free(w);
	}
	assert_true(trusted > 0);
}

/* --- several places at once --- */

static void damage_anywhere(struct io_mem *medium, const struct places *places)
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
		damage_bytes(bytes, at, to < len ? to : len,
			     salvage_world_below(2) == 0 ? FLIP : ZERO);
	}
}

/* Nothing wrong is given; what is missing or old is said, or is counted among what has no name. */
static void test_many_places(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 10);
	struct places places = {.n = 0};
	uint64_t given = 0;

	(void)state;
	assert_int_equal(salvage_world_walk(w->medium, note_place, &places), 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct io_mem *medium = io_mem_clone(w->medium);
		bool wrong = false;
		struct result *r;

		salvage_world_random(1000 + i);
		damage_anywhere(medium, &places);
		r = salvage(medium, NULL);
		for (uint32_t id = 0; r->err == 0 && id < WORLD_IDS; id++)
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
	salvage_world_free(w);
}

/* --- what is missing --- */

static void test_truncated_head(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_KILLED, 5);
	uint64_t log_from = 0;
	size_t len;

	(void)state;
	assert_int_equal(salvage_world_walk(w->medium, first_lsn, &log_from), 0);
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
			for (uint32_t id = 0; id < WORLD_IDS; id++)
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
	salvage_world_free(w);
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
	struct salvage_world *w = salvage_world_new(WORLD_YOUNG, 13);
	struct places places = {.n = 0};
	struct result *r;
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
	assert_int_equal(salvage_world_walk(w->medium, note_place, &places), 0);
	last = places.n - 1;
	memset(io_mem_segment(w->medium, places.at[last].seq, &len) + places.at[last].from, 0,
	       (size_t)(places.at[last].to - places.at[last].from));
	(void)taint(w, &places, places.at[last].seq, places.at[last].from, places.at[last].to,
		    tainted);
	r = salvage(w->medium, NULL);
	assert_true(log_result_is_right(w, r, tainted));
	assert_true(tainted[2] && r->report.losses > 0);
	free_result(r);
	salvage_world_free(w);
}

/* Each segment in turn is gone, or cut anywhere. */
static void truncate_log(enum salvage_world_kind kind)
{
	struct salvage_world *w = salvage_world_new(kind, 6);
	struct places places = {.n = 0};

	assert_int_equal(salvage_world_walk(w->medium, note_place, &places), 0);
	for (uint64_t seq = places.at[0].seq; seq <= places.at[places.n - 1].seq; seq++) {
		size_t len = 0;

		(void)io_mem_segment(w->medium, seq, &len);
		for (size_t at = 0; at < len; at += 500) {
			struct io_mem *medium = io_mem_clone(w->medium);
			bool tainted[WORLD_IDS];
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
	salvage_world_free(w);
}

static void test_truncated_log(void **state)
{
	(void)state;
	truncate_log(WORLD_KILLED);
	truncate_log(WORLD_CUT);
}

static void test_no_slot(void **state)
{
	struct salvage_world *w = salvage_world_new(WORLD_YOUNG, 7);
	struct result *r;
	size_t len;

	(void)state;
	memset(io_mem_head(w->medium, &len) + FORMAT_SLOT_AT, 0xff, 2 * FORMAT_BLOCK);
	r = salvage(w->medium, NULL);
	assert_true(is_sound(w, r));
	assert_int_equal(r->given, count_live(w)); /* the log has everything */
	assert_true(r->report.losses > 0);
	assert_int_equal(r->value_size, WORLD_VALUE);
	free_result(r);
	memset(io_mem_head(w->medium, &len), 0, FORMAT_BLOCK);
	r = salvage(w->medium, NULL);
	assert_int_equal(r->err, ERR_FORMAT);
	free_result(r);
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
	assert_int_equal(report.saved, count_live(w) - invalid);
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
	struct result *r;
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
	r = salvage(w->medium, NULL);
	assert_true(is_sound(w, r));
	assert_int_equal(r->given, count_live(w));
	free_result(r);
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
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_blocks_of_log),
		cmocka_unit_test(test_unverified),
		cmocka_unit_test(test_many_places),
		cmocka_unit_test(test_truncated_head),
		cmocka_unit_test(test_truncated_log),
		cmocka_unit_test(test_last_record_proved),
		cmocka_unit_test(test_no_slot),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_slots_without_end),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
