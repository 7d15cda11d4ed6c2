/* crash_states.c - which fates the pending events get, one state after the other. */
#include "tests/support/crash_states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "store/mem.h"
#include "tests/support/io_mem_state.h"

#define SECTOR 512u
#define PAGE 4096u

/* One call of crash_states_visit. */
struct visit {
	struct crash_states *states;
	const struct disk_model *model;
	crash_visit visit;
	void *ctx;
	uint64_t promises, random;
	size_t n; /* pending events */
	unsigned variant;
	bool ended;
};

static uint64_t next_random(struct visit *v)
{
	uint64_t z = (v->random += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* --- states that were given --- */

static uint64_t hash_of(const struct io_mem *medium, uint64_t seed)
{
	uint64_t hash = seed;

	if (medium->has_head)
		hash = XXH3_64bits_withSeed(medium->head.bytes, medium->head.len, hash);
	for (size_t i = 0; i < medium->n_segments; i++) {
		const struct io_mem_segment_entry *s = &medium->segments[i];

		hash = XXH3_64bits_withSeed(s->object.bytes, s->object.len, hash + s->seq);
	}
	return hash != 0 ? hash : 1;
}

static void insert(uint64_t *table, size_t cap, uint64_t hash)
{
	size_t i = (size_t)hash & (cap - 1);

	while (table[i] != 0 && table[i] != hash)
		i = (i + 1) & (cap - 1);
	table[i] = hash;
}

/* Notes a state; false when it was there. */
static bool is_new(struct crash_states *states, uint64_t hash)
{
	size_t i, cap = states->seen_cap != 0 ? states->seen_cap * 2 : 1024;
	uint64_t *grown;

	if (states->n_seen * 2 >= states->seen_cap) {
		grown = mem_zalloc(cap, sizeof(*grown));
		if (grown == NULL)
			abort();
		for (i = 0; i < states->seen_cap; i++)
			if (states->seen[i] != 0)
				insert(grown, cap, states->seen[i]);
		mem_free(states->seen);
		states->seen = grown;
		states->seen_cap = cap;
	}
	for (i = (size_t)hash & (states->seen_cap - 1); states->seen[i] != 0;
	     i = (i + 1) & (states->seen_cap - 1))
		if (states->seen[i] == hash)
			return false;
	states->seen[i] = hash;
	states->n_seen++;
	return true;
}

/* --- one state --- */

/* True when the next variant is wanted; counts it. */
static bool is_wanted(struct visit *v)
{
	const unsigned *only = v->states->only;

	v->variant++;
	return !v->ended && (only == NULL || *only == v->variant - 1);
}

/* Gives the state that the fates make, or with none of them the page cache. */
static void give(struct visit *v, bool power, bool cached, const char *what, size_t pending,
		 uint64_t detail)
{
	struct crash_states *states = v->states;
	struct crash_state state = {
		.variant = v->variant - 1,
		.power = power,
		.unfinished = !power && !cached,
		.medium = states->medium,
	};

	if (cached)
		disk_model_make_cached(v->model, state.medium);
	else
		disk_model_make(v->model, states->fates, state.medium);
	if (!is_new(states, hash_of(state.medium, v->promises * 2 + power)))
		return;
	io_mem_set_boot_id(state.medium, states->boot[power]);
	if (pending < v->n) {
		const struct tape_event *e = disk_model_event(v->model, pending);

		(void)snprintf(state.what, sizeof(state.what),
			       "%s, %s (%s file %u %.20s at %llu, %llu bytes), %llu",
			       power ? "power cut" : "kill", what, tape_kind_name(e->kind),
			       (unsigned)e->file, e->name, (unsigned long long)e->offset,
			       (unsigned long long)e->length, (unsigned long long)detail);
	} else {
		(void)snprintf(state.what, sizeof(state.what), "%s, %s",
			       power ? "power cut" : "kill", what);
	}
	if (!v->visit(v->ctx, &state))
		v->ended = true;
}

static void set_all(struct visit *v, enum disk_fate_kind kind)
{
	for (size_t i = 0; i < v->n; i++)
		v->states->fates[i] = (struct disk_fate){.kind = kind};
}

/* All have one fate but for one event. */
static void give_one(struct visit *v, bool power, enum disk_fate_kind others, size_t i,
		     struct disk_fate fate, const char *what, uint64_t detail)
{
	if (!is_wanted(v))
		return;
	set_all(v, others);
	v->states->fates[i] = fate;
	give(v, power, false, what, i, detail);
}

/* --- the kinds of states --- */

static void give_singles(struct visit *v)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct tape_event *e = disk_model_event(v->model, i);
		struct disk_fate fate = {.kind = DISK_LOSE};

		give_one(v, true, DISK_KEEP, i, fate, "one missing", 0);
		fate.kind = DISK_KEEP;
		give_one(v, true, DISK_LOSE, i, fate, "one alone", 0);
		if (e->kind != TAPE_WRITE)
			continue;
		if (e->offset + e->length > disk_model_durable_length(v->model, e)) {
			fate.kind = DISK_ZEROS;
			give_one(v, true, DISK_KEEP, i, fate, "one zeros", 0);
		}
		fate = (struct disk_fate){
			.kind = DISK_SECTORS, .sector = SECTOR, .seed = next_random(v)};
		give_one(v, true, DISK_KEEP, i, fate, "one torn", 0);
	}
}

/* The last event is a write: how it may be cut. */
static void give_torn(struct visit *v, size_t i)
{
	const struct tape_event *e = disk_model_event(v->model, i);
	uint32_t length = (uint32_t)e->length, byte = 0;
	struct disk_fate front = {.kind = DISK_PART}, end = {.kind = DISK_PART, .to = length};

	if (length > 1)
		byte = 1 + (uint32_t)(next_random(v) % (length - 1));
	for (uint32_t cut = byte, next = (uint32_t)(PAGE - e->offset % PAGE); cut < length;
	     cut = next, next += PAGE) {
		if (disk_model_lost(v->model)) /* its page cache is not made of pending events */
			break;
		front.to = cut;
		give_one(v, false, DISK_KEEP, i, front, "last write cut", cut);
	}
	for (uint32_t cut = (uint32_t)(SECTOR - e->offset % SECTOR); cut < length; cut += SECTOR) {
		front.to = end.from = cut;
		give_one(v, true, DISK_KEEP, i, front, "front of the last", cut);
		give_one(v, true, DISK_LOSE, i, front, "front of the last alone", cut);
		give_one(v, true, DISK_KEEP, i, end, "end of the last", cut);
		give_one(v, true, DISK_LOSE, i, end, "end of the last alone", cut);
	}
}

static void choose(struct visit *v, size_t i)
{
	struct disk_fate *fate = &v->states->fates[i];
	uint64_t r = next_random(v), seed = next_random(v);

	*fate = (struct disk_fate){.kind = DISK_KEEP, .seed = seed};
	if (r % 16 < 6)
		fate->kind = DISK_LOSE;
	else if (r % 16 == 6)
		fate->kind = DISK_ZEROS;
	else if (r % 16 < 10)
		fate->kind = DISK_SECTORS;
	fate->sector = (r & 16) != 0 ? SECTOR : PAGE;
}

static void give_random(struct visit *v)
{
	for (unsigned r = 0; v->n > 1 && r < v->states->randoms; r++) {
		v->random += r;
		for (size_t i = 0; i < v->n; i++)
			choose(v, i);
		if (is_wanted(v))
			give(v, true, false, "random", v->n, 0);
	}
}

static bool is_same(const struct tape_event *a, const struct tape_event *b)
{
	return a->kind == b->kind && a->offset == b->offset && a->length == b->length &&
	       a->bytes_at == b->bytes_at;
}

bool crash_states_visit(struct crash_states *states, const struct disk_model *model,
			const struct tape_event *last, size_t at, uint64_t promises,
			crash_visit visit, void *ctx)
{
	struct visit v = {.states = states,
			  .model = model,
			  .visit = visit,
			  .ctx = ctx,
			  .promises = promises,
			  .random = (states->seed * 1000003u + at) * 0x9e3779b97f4a7c15u,
			  .n = disk_model_pending(model)};

	if (mem_grow((void **)&states->fates, &states->fates_cap, v.n + 1,
		     sizeof(*states->fates)) != 0)
		abort();
	if (is_wanted(&v))
		give(&v, false, true, "page cache", v.n, 0);
	set_all(&v, DISK_KEEP);
	if (is_wanted(&v))
		give(&v, true, false, "all on disk", v.n, 0);
	set_all(&v, DISK_LOSE);
	if (is_wanted(&v))
		give(&v, true, false, "all lost", v.n, 0);
	give_singles(&v);
	if (v.n > 0 && last->kind == TAPE_WRITE && is_same(last, disk_model_event(model, v.n - 1)))
		give_torn(&v, v.n - 1);
	give_random(&v);
	return !v.ended;
}

void crash_states_init(struct crash_states *states, uint64_t seed, unsigned randoms,
		       const uint8_t boot[16])
{
	memset(states, 0, sizeof(*states));
	states->seed = seed;
	states->randoms = randoms;
	states->medium = io_mem_new(seed);
	if (states->medium == NULL)
		abort();
	memcpy(states->boot[0], boot, 16);
	memcpy(states->boot[1], boot, 16);
	states->boot[1][0]++;
}

void crash_states_forget(struct crash_states *states)
{
	mem_free(states->seen);
	states->seen = NULL;
	states->n_seen = states->seen_cap = 0;
}

void crash_states_release(struct crash_states *states)
{
	crash_states_forget(states);
	io_mem_free(states->medium);
	mem_free(states->fates);
}
