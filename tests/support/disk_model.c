/*
 * disk_model.c - durable and cached files, and the events between them.
 *
 * Invariants:
 * 1. cached is what all events so far make of the start; durable is what the synced ones make of it.
 * 2. pending has every event that is in cached and not in durable, in their order, but for those of
 *    a failed sync.
 */
#include "tests/support/disk_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/mem.h"

struct bytes {
	uint8_t *at;
	size_t len, cap;
};

struct file {
	struct bytes durable, cached;
};

struct name {
	char text[TAPE_NAME_MAX];
	uint32_t file;
};

struct names {
	struct name *list;
	size_t n, cap;
};

/* An event and the tape it is of; a fork has those of two tapes. */
struct pending {
	struct tape_event event;
	const uint8_t *bytes;
};

struct disk_model {
	const struct tape *tape;
	uint32_t *numbers; /* of the tape's files in files */
	size_t n_numbers, numbers_cap;
	struct file *files;
	size_t n_files, files_cap;
	struct names durable, cached;
	struct pending *pending;
	size_t n_pending, pending_cap;
	bool lost; /* a sync failed */
};

static void *must(void *block)
{
	if (block == NULL)
		abort();
	return block;
}

static void grow(void *array, size_t *cap, size_t need, size_t size)
{
	if (mem_grow(array, cap, need, size) != 0)
		abort();
}

/* --- bytes --- */

static void set_length(struct bytes *bytes, size_t len)
{
	grow((void **)&bytes->at, &bytes->cap, len, 1);
	if (len > bytes->len)
		memset(bytes->at + bytes->len, 0, len - bytes->len);
	bytes->len = len;
}

static void put(struct bytes *bytes, uint64_t offset, const uint8_t *from, size_t len)
{
	if (len == 0)
		return;
	if (offset + len > bytes->len)
		set_length(bytes, (size_t)offset + len);
	memcpy(bytes->at + offset, from, len);
}

static void copy_bytes(struct bytes *to, const struct bytes *from)
{
	to->len = 0;
	put(to, 0, from->at, from->len);
}

static void clear(struct bytes *bytes, uint64_t offset, uint64_t len)
{
	if (offset >= bytes->len)
		return;
	if (len > bytes->len - offset)
		len = bytes->len - offset;
	memset(bytes->at + offset, 0, (size_t)len);
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* The parts of a write that a fate lets through. */
static void put_write(struct bytes *to, const struct pending *p, const struct disk_fate *fate)
{
	const struct tape_event *e = &p->event;
	uint64_t end = e->offset + e->length, next;

	if (fate->kind == DISK_KEEP)
		put(to, e->offset, p->bytes, (size_t)e->length);
	else if (fate->kind == DISK_PART && fate->from < fate->to)
		put(to, e->offset + fate->from, p->bytes + fate->from, fate->to - fate->from);
	else if (fate->kind == DISK_ZEROS && end > to->len)
		set_length(to, (size_t)end);
	for (uint64_t at = e->offset; fate->kind == DISK_SECTORS && at < end; at = next) {
		next = (at / fate->sector + 1) * fate->sector;
		if (next > end)
			next = end;
		if ((mix(fate->seed + at / fate->sector * 0x9e3779b97f4a7c15u) & 1) != 0)
			put(to, at, p->bytes + (at - e->offset), (size_t)(next - at));
	}
}

static void put_event(struct bytes *to, const struct pending *p, const struct disk_fate *fate)
{
	const struct tape_event *e = &p->event;

	if (e->kind == TAPE_WRITE)
		put_write(to, p, fate);
	else if (fate->kind == DISK_LOSE)
		return;
	else if (e->kind == TAPE_CUT)
		set_length(to, (size_t)e->length);
	else if (e->kind == TAPE_PUNCH)
		clear(to, e->offset, e->length);
}

/* --- names --- */

static size_t find_name(const struct names *names, const char *text)
{
	size_t i = 0;

	while (i < names->n && strcmp(names->list[i].text, text) != 0)
		i++;
	return i;
}

static void put_name(struct names *names, const struct tape_event *e)
{
	size_t i = find_name(names, e->name);

	if (e->kind == TAPE_UNLINK) {
		if (i < names->n)
			names->list[i] = names->list[--names->n];
		return;
	}
	if (i == names->n) {
		grow((void **)&names->list, &names->cap, names->n + 1, sizeof(*names->list));
		names->n++;
	}
	memcpy(names->list[i].text, e->name, sizeof(e->name));
	names->list[i].file = e->file;
}

static void copy_names(struct names *to, const struct names *from)
{
	grow((void **)&to->list, &to->cap, from->n, sizeof(*to->list));
	if (from->n > 0)
		memcpy(to->list, from->list, from->n * sizeof(*to->list));
	to->n = from->n;
}

static bool is_name_event(const struct tape_event *e)
{
	return e->kind == TAPE_CREATE || e->kind == TAPE_LINK || e->kind == TAPE_UNLINK;
}

/* --- the model --- */

static uint32_t add_file(struct disk_model *model)
{
	grow((void **)&model->files, &model->files_cap, model->n_files + 1, sizeof(*model->files));
	memset(&model->files[model->n_files], 0, sizeof(*model->files));
	return (uint32_t)model->n_files++;
}

/* Number n of the tape is this file of the model. */
static void set_number(struct disk_model *model, uint32_t n, uint32_t file)
{
	if (n >= model->n_numbers) {
		grow((void **)&model->numbers, &model->numbers_cap, n + 1, sizeof(*model->numbers));
		model->n_numbers = n + 1;
	}
	model->numbers[n] = file;
}

struct disk_model *disk_model_new(const struct tape *tape)
{
	struct disk_model *model = must(mem_zalloc(1, sizeof(*model)));

	model->tape = tape;
	for (size_t i = 0; i < tape->n_files && tape->files[i].existed; i++) {
		struct tape_event named = {.kind = TAPE_CREATE, .file = add_file(model)};
		struct file *file = &model->files[named.file];

		memcpy(named.name, tape->files[i].name, sizeof(named.name));
		set_number(model, (uint32_t)i, named.file);
		put_name(&model->durable, &named);
		put_name(&model->cached, &named);
		put(&file->durable, 0, tape->files[i].bytes, tape->files[i].len);
		put(&file->cached, 0, tape->files[i].bytes, tape->files[i].len);
	}
	return model;
}

struct disk_model *disk_model_fork(const struct disk_model *model, const struct tape *tape)
{
	struct disk_model *fork = must(mem_zalloc(1, sizeof(*fork)));

	fork->tape = tape;
	fork->lost = model->lost;
	for (size_t i = 0; i < model->n_files; i++) {
		uint32_t file = add_file(fork);

		copy_bytes(&fork->files[file].durable, &model->files[i].durable);
		copy_bytes(&fork->files[file].cached, &model->files[i].cached);
	}
	copy_names(&fork->durable, &model->durable);
	copy_names(&fork->cached, &model->cached);
	grow((void **)&fork->pending, &fork->pending_cap, model->n_pending + 1,
	     sizeof(*fork->pending));
	for (size_t i = 0; i < model->n_pending; i++)
		fork->pending[fork->n_pending++] = model->pending[i];
	for (size_t i = 0; i < tape->n_files && tape->files[i].existed; i++) {
		size_t at = find_name(&fork->cached, tape->files[i].name);

		if (at == fork->cached.n)
			abort();
		set_number(fork, (uint32_t)i, fork->cached.list[at].file);
	}
	return fork;
}

void disk_model_free(struct disk_model *model)
{
	if (model == NULL)
		return;
	for (size_t i = 0; i < model->n_files; i++) {
		mem_free(model->files[i].durable.at);
		mem_free(model->files[i].cached.at);
	}
	mem_free(model->files);
	mem_free(model->numbers);
	mem_free(model->durable.list);
	mem_free(model->cached.list);
	mem_free(model->pending);
	mem_free(model);
}

static const struct disk_fate keep = {.kind = DISK_KEEP};

/* Takes the pending events of a file (or of the names) out of the list, to the disk unless lost. */
static void settle(struct disk_model *model, bool names, uint32_t number, bool lost)
{
	static const struct disk_fate zeros = {.kind = DISK_ZEROS};
	size_t left = 0;

	for (size_t i = 0; i < model->n_pending; i++) {
		struct pending *p = &model->pending[i];

		if (is_name_event(&p->event) != names || (!names && p->event.file != number)) {
			model->pending[left++] = *p;
			continue;
		}
		if (names)
			put_name(&model->durable, &p->event);
		else if (!lost || p->event.kind == TAPE_WRITE)
			put_event(&model->files[number].durable, p, lost ? &zeros : &keep);
	}
	model->n_pending = left;
}

void disk_model_apply(struct disk_model *model, size_t i)
{
	struct pending p = {.event = model->tape->events[i]};
	struct tape_event *e = &p.event;

	if (e->kind == TAPE_MARK)
		return;
	if (e->kind == TAPE_CREATE)
		set_number(model, e->file, add_file(model));
	if (e->kind != TAPE_UNLINK && e->kind != TAPE_SYNC_DIR)
		e->file = model->numbers[e->file];
	if (e->kind == TAPE_SYNC || e->kind == TAPE_SYNC_LOST || e->kind == TAPE_SYNC_DIR) {
		model->lost = model->lost || e->kind == TAPE_SYNC_LOST;
		settle(model, e->kind == TAPE_SYNC_DIR, e->file, e->kind == TAPE_SYNC_LOST);
		return;
	}
	if (e->kind == TAPE_WRITE)
		p.bytes = model->tape->bytes + e->bytes_at;
	if (is_name_event(e))
		put_name(&model->cached, e);
	else
		put_event(&model->files[e->file].cached, &p, &keep);
	grow((void **)&model->pending, &model->pending_cap, model->n_pending + 1,
	     sizeof(*model->pending));
	model->pending[model->n_pending++] = p;
}

size_t disk_model_pending(const struct disk_model *model)
{
	return model->n_pending;
}

const struct tape_event *disk_model_event(const struct disk_model *model, size_t pending)
{
	return &model->pending[pending].event;
}

bool disk_model_lost(const struct disk_model *model)
{
	return model->lost;
}

uint64_t disk_model_durable_length(const struct disk_model *model, const struct tape_event *event)
{
	return model->files[event->file].durable.len;
}

/* --- states --- */

/* The bytes that a name stands for on the medium, emptied; NULL for a name that no store has. */
static bool make_room(struct io_mem *medium, const char *name, size_t len, uint8_t **at_out)
{
	static const char prefix[] = TAPE_STORE "-wal.";
	uint64_t seq = 0;
	int err;

	if (strcmp(name, TAPE_STORE) == 0) {
		err = io_mem_resize_head(medium, len);
		*at_out = io_mem_head(medium, &len);
	} else if (strncmp(name, prefix, sizeof(prefix) - 1) == 0) {
		seq = strtoull(name + sizeof(prefix) - 1, NULL, 10);
		err = io_mem_resize_segment(medium, seq, len);
		*at_out = io_mem_segment(medium, seq, &len);
	} else {
		return false;
	}
	if (err != 0)
		abort();
	return true;
}

static void make_file(struct io_mem *medium, const char *name, const struct bytes *bytes)
{
	uint8_t *at;

	if (make_room(medium, name, bytes->len, &at) && bytes->len > 0)
		memcpy(at, bytes->at, bytes->len);
}

void disk_model_make_cached(const struct disk_model *model, struct io_mem *medium)
{
	io_mem_clear(medium);
	for (size_t i = 0; i < model->cached.n; i++)
		make_file(medium, model->cached.list[i].text,
			  &model->files[model->cached.list[i].file].cached);
}

void disk_model_make(const struct disk_model *model, const struct disk_fate *fates,
		     struct io_mem *medium)
{
	struct bytes content = {0};
	struct names names = {0};

	copy_names(&names, &model->durable);
	for (size_t i = 0; i < model->n_pending; i++)
		if (is_name_event(&model->pending[i].event) && fates[i].kind != DISK_LOSE)
			put_name(&names, &model->pending[i].event);
	io_mem_clear(medium);
	for (size_t n = 0; n < names.n; n++) {
		uint32_t file = names.list[n].file;
		bool changed = false;

		for (size_t i = 0; i < model->n_pending; i++) {
			const struct pending *p = &model->pending[i];

			if (is_name_event(&p->event) || p->event.file != file)
				continue;
			if (!changed)
				copy_bytes(&content, &model->files[file].durable);
			changed = true;
			put_event(&content, p, &fates[i]);
		}
		make_file(medium, names.list[n].text,
			  changed ? &content : &model->files[file].durable);
	}
	mem_free(content.at);
	mem_free(names.list);
}
