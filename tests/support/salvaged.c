/* salvaged.c - salvaging with notes of all it gives, the judgement, and the damage. */
#include "tests/support/salvaged.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/err.h"
#include "store/wal.h"

#define TEXT_MAX (1u << 20)

/* --- salvaging --- */

static int take_geometry(void *ctx, const struct store_geometry *geometry)
{
	struct salvaged *r = ctx;

	r->value_size = geometry->value_size;
	r->page_size = geometry->page_size;
	return 0;
}

static int take_vector(void *ctx, const struct salvage_vector *vector)
{
	struct salvaged *r = ctx;
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
	struct salvaged *r = ctx;
	int n = snprintf(r->text + r->text_len, TEXT_MAX - r->text_len, "%s: %s\n",
			 loss ? "lost" : "remark", text);

	assert_true(n > 0 && r->text_len + (size_t)n < TEXT_MAX);
	r->text_len += (size_t)n;
}

struct salvaged *salvaged_new(struct io_mem *medium, const struct io_refusing *refuse)
{
	struct salvaged *r = calloc(1, sizeof(*r));
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

void salvaged_free(struct salvaged *r)
{
	free(r->text);
	free(r);
}

/* --- judging --- */

bool salvaged_is_right(const struct salvage_world *w, const struct salvaged *r, uint32_t id)
{
	return r->serial[id] == w->serial[id];
}

bool salvaged_is_unnamed(const struct salvaged *r, uint32_t serial)
{
	for (uint32_t i = 0; i < r->n_unnamed; i++)
		if (r->unnamed[i] == serial)
			return true;
	return false;
}

bool salvaged_is_said(const struct salvaged *r, uint32_t id)
{
	char name[48] = "vectors/";

	salvage_world_name(id, name + 8);
	return strstr(r->text, name) != NULL;
}

uint32_t salvaged_live(const struct salvage_world *w)
{
	uint32_t n = 0;

	for (uint32_t id = 0; id < WORLD_IDS; id++)
		n += w->serial[id] != 0;
	return n;
}

void salvaged_print(const struct salvage_world *w, const struct salvaged *r, const char *what,
		    uint64_t at)
{
	print_error("%s %llu: %u given, %u live\n%s", what, (unsigned long long)at, r->given,
		    salvaged_live(w), r->text);
	for (uint32_t id = 0; id < WORLD_IDS; id++)
		if (!salvaged_is_right(w, r, id))
			print_error("id %u: serial %u slot %u lsn %llu, got %u\n", id,
				    w->serial[id], w->slot[id], (unsigned long long)w->lsn[id],
				    r->serial[id]);
}

bool salvaged_is_sound(const struct salvage_world *w, const struct salvaged *r)
{
	if (r->err != 0 || r->report.saved != r->given || r->report.unnamed != r->n_unnamed)
		return false;
	for (uint32_t id = 0; id < WORLD_IDS; id++)
		if (r->serial[id] != 0 && !w->had[id][r->serial[id]] && !salvaged_is_said(r, id))
			return false;
	return true;
}

bool salvaged_head_is_right(const struct salvage_world *w, const struct salvaged *r,
			    uint64_t log_from)
{
	uint32_t page = UINT32_MAX, wrong = 0;

	if (!salvaged_is_sound(w, r))
		return false;
	for (uint32_t id = 0; id < WORLD_IDS; id++) {
		if (salvaged_is_right(w, r, id)) {
			if (w->serial[id] != 0 && r->n_unnamed == 0 && r->mode[id] != w->mode[id])
				return false;
			continue;
		}
		wrong++;
		if (w->serial[id] == 0 || (log_from != 0 && w->lsn[id] >= log_from))
			return false;
		if (salvaged_is_unnamed(r, w->serial[id]) && w->older[id] != w->serial[id])
			continue;
		if (page != UINT32_MAX && page != w->slot[id] / WORLD_PER_PAGE)
			return false;
		page = w->slot[id] / WORLD_PER_PAGE;
		if (!salvaged_is_said(r, id))
			return false;
	}
	return (wrong > 0) == (r->report.losses > 0) && (page == UINT32_MAX || r->n_unnamed == 0);
}

int salvaged_first_lsn(void *ctx, const struct wal_record *record)
{
	if (*(uint64_t *)ctx == 0)
		*(uint64_t *)ctx = record->lsn;
	return 0;
}

const char *const salvaged_damage_names[] = {"flipped", "zeroed", "refused"};

void salvaged_damage_bytes(uint8_t *bytes, size_t from, size_t to, enum salvaged_damage damage)
{
	if (damage == FLIP)
		bytes[from + salvage_world_below((uint32_t)(to - from))] ^=
			(uint8_t)(1u << salvage_world_below(8));
	else if (damage == ZERO)
		memset(bytes + from, 0, to - from);
}

/* --- the log --- */

int salvaged_note_place(void *ctx, const struct wal_record *record)
{
	struct salvaged_places *places = ctx;
	uint64_t size = 40 + round_up(record->length, 8) + 8;

	assert_true(places->n < WORLD_OPS_MAX);
	places->at[places->n].lsn = record->lsn;
	places->at[places->n].seq = record->seq;
	places->at[places->n].from = record->offset;
	places->at[places->n++].to = record->offset + size;
	return 0;
}

bool salvaged_taint(const struct salvage_world *w, const struct salvaged_places *places,
		    uint64_t seq, uint64_t from, uint64_t to, bool tainted[WORLD_IDS])
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

bool salvaged_log_is_right(const struct salvage_world *w, const struct salvaged *r,
			   const bool tainted[WORLD_IDS])
{
	bool wrong = false;

	if (!salvaged_is_sound(w, r))
		return false;
	for (uint32_t id = 0; id < WORLD_IDS; id++) {
		if (!tainted[id] && (!salvaged_is_right(w, r, id) ||
				     (w->serial[id] != 0 && r->mode[id] != w->mode[id])))
			return false;
		wrong |= !salvaged_is_right(w, r, id);
	}
	return !wrong || r->report.losses > 0;
}
