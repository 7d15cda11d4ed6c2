/*
 * io_mem.c - the medium in memory: objects, faults, and what tests may do to them.
 *
 * Invariants and locks: io_mem_state.h.
 */
#include "tests/support/io_mem.h"

#include "store/base.h"
#include "store/mem.h"
#include "tests/support/io_mem_state.h"

void io_mem_lock(struct io_mem *medium)
{
	(void)pthread_mutex_lock(&medium->lock); /* fails only for a broken mutex */
}

void io_mem_unlock(struct io_mem *medium)
{
	(void)pthread_mutex_unlock(&medium->lock);
}

/* --- objects --- */

int io_mem_resize(struct io_mem_object *object, size_t len)
{
	int err = mem_grow((void **)&object->bytes, &object->cap, len, 1);

	if (err != 0)
		return err;
	if (len > object->len)
		memset(object->bytes + object->len, 0, len - object->len);
	object->len = len;
	return 0;
}

size_t io_mem_claim(const struct io_mem_object *object)
{
	return object->kept > object->len ? object->kept : object->len;
}

int io_mem_keep(struct io_mem *medium, struct io_mem_object *object, uint64_t bytes)
{
	size_t had = io_mem_claim(object);

	if (bytes > had && medium->capacity != 0 &&
	    io_mem_used(medium) + (bytes - had) > medium->capacity)
		return ERR_FULL;
	object->kept = (size_t)bytes;
	return 0;
}

uint64_t io_mem_used(const struct io_mem *medium)
{
	uint64_t used = io_mem_claim(&medium->head);

	for (size_t i = 0; i < medium->n_segments; i++)
		used += io_mem_claim(&medium->segments[i].object);
	return used;
}

int io_mem_write(struct io_mem *medium, struct io_mem_object *object, uint64_t offset,
		 const void *buf, size_t len)
{
	uint64_t end = offset + len;
	int err = 0;

	if (end > io_mem_claim(object) && medium->capacity != 0 &&
	    io_mem_used(medium) + (end - io_mem_claim(object)) > medium->capacity)
		return ERR_FULL;
	if (end > object->len)
		err = io_mem_resize(object, (size_t)end);
	if (err == 0 && len > 0)
		memcpy(object->bytes + offset, buf, len);
	return err;
}

struct io_mem_segment_entry *io_mem_find(struct io_mem *medium, uint64_t seq)
{
	for (size_t i = 0; i < medium->n_segments; i++)
		if (medium->segments[i].seq == seq)
			return &medium->segments[i];
	return NULL;
}

struct io_mem_segment_entry *io_mem_add(struct io_mem *medium, uint64_t seq)
{
	size_t at = 0;

	if (mem_grow((void **)&medium->segments, &medium->segments_cap, medium->n_segments + 1,
		     sizeof(*medium->segments)) != 0)
		return NULL;
	while (at < medium->n_segments && medium->segments[at].seq < seq)
		at++;
	memmove(medium->segments + at + 1, medium->segments + at,
		(medium->n_segments - at) * sizeof(*medium->segments));
	medium->n_segments++;
	medium->segments[at] = (struct io_mem_segment_entry){.seq = seq};
	return &medium->segments[at];
}

/* --- faults --- */

struct io_mem_call *io_mem_find_call(struct io_mem *medium, const char *name)
{
	size_t i = 0;

	/* usually it is the very same string: without comparing, for who calls it all the time */
	while (i < IO_MEM_CALL_NAMES && medium->calls[i].name != name)
		i++;
	if (i < IO_MEM_CALL_NAMES)
		return &medium->calls[i];
	i = 0;
	while (i + 1 < IO_MEM_CALL_NAMES && medium->calls[i].name != NULL &&
	       strcmp(medium->calls[i].name, name) != 0)
		i++;
	medium->calls[i].name = name;
	return &medium->calls[i];
}

int io_mem_ask(struct io_mem *medium, const char *name, size_t *len)
{
	uint64_t nth;
	int fate;

	io_mem_lock(medium);
	nth = io_mem_find_call(medium, name)->count++;
	io_mem_unlock(medium);
	fate = medium->fault != NULL ? medium->fault(medium->fault_ctx, name, nth) : 0;
	if (fate > 0 && (size_t)(fate & IO_MEM_ALL_BUT_FAIL) - 1 < *len)
		*len = (size_t)(fate & IO_MEM_ALL_BUT_FAIL) - 1;
	return fate;
}

int io_mem_outcome(int fate, int err)
{
	if (err != 0 || fate == 0)
		return err;
	return fate > IO_MEM_ALL_BUT_FAIL ? -(fate >> 22) : ERR_FULL;
}

/* --- the medium --- */

struct io_mem *io_mem_new(uint64_t seed)
{
	struct io_mem *medium = mem_zalloc(1, sizeof(*medium));

	if (medium == NULL)
		return NULL;
	(void)pthread_mutex_init(&medium->lock, NULL); /* cannot fail with default attributes */
	medium->random_state = seed;
	medium->monotonic_ns = 1000000000u;
	medium->realtime_ns = 2000000000u;
	memset(medium->boot_id, 0xb0, sizeof(medium->boot_id));
	return medium;
}

static int object_copy(struct io_mem_object *to, const struct io_mem_object *from)
{
	int err = mem_grow((void **)&to->bytes, &to->cap, from->len, 1);

	if (err != 0)
		return err;
	if (from->len > 0)
		memcpy(to->bytes, from->bytes, from->len);
	to->len = from->len;
	to->kept = 0; /* room is not content */
	return 0;
}

static int segments_copy(struct io_mem *to, const struct io_mem *from)
{
	struct io_mem_segment_entry *segment;
	int err = 0;

	/* the first ones in place, for their memory is there already */
	while (to->n_segments > from->n_segments)
		mem_free(to->segments[--to->n_segments].object.bytes);
	for (size_t i = 0; err == 0 && i < from->n_segments; i++) {
		segment = i < to->n_segments ? &to->segments[i] :
					       io_mem_add(to, from->segments[i].seq);
		if (segment == NULL)
			return ERR_NOMEM;
		segment->seq = from->segments[i].seq;
		err = object_copy(&segment->object, &from->segments[i].object);
	}
	return err;
}

int io_mem_restore(struct io_mem *medium, struct io_mem *from)
{
	int err;

	io_mem_lock(from);
	medium->has_head = from->has_head;
	medium->capacity = from->capacity;
	medium->random_state = from->random_state;
	medium->monotonic_ns = from->monotonic_ns;
	medium->realtime_ns = from->realtime_ns;
	memcpy(medium->boot_id, from->boot_id, sizeof(medium->boot_id));
	err = object_copy(&medium->head, &from->head);
	if (err == 0)
		err = segments_copy(medium, from);
	io_mem_unlock(from);
	io_mem_set_fault(medium, NULL, NULL);
	return err;
}

struct io_mem *io_mem_clone(struct io_mem *medium)
{
	struct io_mem *copy = io_mem_new(0);

	if (copy != NULL && io_mem_restore(copy, medium) != 0) {
		io_mem_free(copy);
		copy = NULL;
	}
	return copy;
}

void io_mem_free(struct io_mem *medium)
{
	if (medium == NULL)
		return;
	for (size_t i = 0; i < medium->n_segments; i++)
		mem_free(medium->segments[i].object.bytes);
	mem_free(medium->segments);
	mem_free(medium->head.bytes);
	(void)pthread_mutex_destroy(&medium->lock); /* nobody is attached any more */
	mem_free(medium);
}

struct store_io *io_mem_attach(struct io_mem *medium)
{
	struct io_mem_connection *connection = mem_zalloc(1, sizeof(*connection));

	if (connection == NULL)
		return NULL;
	connection->io.ops = &io_mem_ops;
	connection->medium = medium;
	return &connection->io;
}

void io_mem_set_fault(struct io_mem *medium, io_mem_fault fault, void *ctx)
{
	medium->fault = fault;
	medium->fault_ctx = ctx;
	memset(medium->calls, 0, sizeof(medium->calls));
}

uint64_t io_mem_calls(struct io_mem *medium, const char *call)
{
	uint64_t count;

	io_mem_lock(medium);
	count = io_mem_find_call(medium, call)->count;
	io_mem_unlock(medium);
	return count;
}

void io_mem_set_boot_id(struct io_mem *medium, const uint8_t id[16])
{
	io_mem_lock(medium);
	memcpy(medium->boot_id, id, sizeof(medium->boot_id));
	io_mem_unlock(medium);
}

void io_mem_advance(struct io_mem *medium, uint64_t ns)
{
	io_mem_lock(medium);
	medium->monotonic_ns += ns;
	medium->realtime_ns += ns;
	io_mem_unlock(medium);
}

void io_mem_set_capacity(struct io_mem *medium, uint64_t bytes)
{
	io_mem_lock(medium);
	medium->capacity = bytes;
	io_mem_unlock(medium);
}

uint8_t *io_mem_head(struct io_mem *medium, size_t *len_out)
{
	*len_out = medium->head.len;
	return medium->has_head ? medium->head.bytes : NULL;
}

uint8_t *io_mem_segment(struct io_mem *medium, uint64_t seq, size_t *len_out)
{
	struct io_mem_segment_entry *segment = io_mem_find(medium, seq);

	*len_out = segment != NULL ? segment->object.len : 0;
	return segment != NULL ? segment->object.bytes : NULL;
}

int io_mem_resize_head(struct io_mem *medium, size_t len)
{
	medium->has_head = true;
	return io_mem_resize(&medium->head, len);
}

int io_mem_resize_segment(struct io_mem *medium, uint64_t seq, size_t len)
{
	struct io_mem_segment_entry *segment = io_mem_find(medium, seq);

	if (segment == NULL)
		segment = io_mem_add(medium, seq);
	return segment == NULL ? ERR_NOMEM : io_mem_resize(&segment->object, len);
}

void io_mem_clear(struct io_mem *medium)
{
	for (size_t i = 0; i < medium->n_segments; i++)
		mem_free(medium->segments[i].object.bytes);
	medium->n_segments = 0;
	medium->head.len = 0;
	medium->has_head = false;
}
