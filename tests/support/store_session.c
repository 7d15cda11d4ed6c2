/* store_session.c - calls of the store, the model beside it, and marks on the tape. */
#include "tests/support/store_session.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, int err, const char *text)
{
	fprintf(stderr, "session: %s: %s %s\n", what, err_str(err), text);
	abort();
}

static void mark(struct session *s, enum history_mark kind, uint64_t value)
{
	tape_mark(s->tape, kind, value);
}

/* Whether a call succeeded. A lost sync explains a failure, once and for all later calls. */
static bool succeeded(struct session *s, const char *what, int err)
{
	bool lost = s->tape->lose_sync != 0 && s->tape->syncs >= s->tape->lose_sync;

	if (err == 0)
		return true;
	if (!lost)
		fail(what, err, "");
	s->broken = true;
	return false;
}

/* --- names and values --- */

static size_t name_of(const struct session *s, unsigned id, char out[FORMAT_ID_MAX + 1])
{
	size_t len = (size_t)sprintf(out, "id-%u", id);

	if (s->long_ids != 0 && id % s->long_ids == 0)
		for (size_t i = 0; i < 200; i++)
			out[len++] = (char)('a' + (i + id) % 26);
	out[len] = '\0';
	return len;
}

static void fill(uint32_t seed, void *at, uint32_t size)
{
	uint8_t *to = at;

	/* high bytes repeat, as those of floats do, so that pages can be encoded */
	for (uint32_t i = 0; i < size / 4; i++) {
		uint32_t word = 0x3f000000u | ((seed * 2654435761u + i * 40503u) >> 8 & 0xffffu);

		memcpy(to + 4 * i, &word, 4);
	}
}

/* The list with this number; lengths go up to the longest, since entries then change their buckets. */
static struct xattrs numbered_list(const struct session *s, uint32_t number)
{
	static uint8_t bytes[XATTRS_BYTES_MAX];
	uint32_t most = xattr_list_max(s->geometry.page_size), len = 0;
	uint32_t size = number * 97 % (most - (uint32_t)sizeof(struct format_xattr) - 5);
	uint8_t value[XATTRS_BYTES_MAX];

	memset(value, (int)(number % 251), size);
	if (number != 0 && xattr_replace(&(struct xattrs){NULL, 0}, "user.n", 6, value, size, bytes,
					 most, &len) != 0)
		fail("a list", 0, "");
	return (struct xattrs){bytes, len};
}

static uint8_t *buffer(void)
{
	static uint8_t bytes[FORMAT_PAGE_MAX];

	return bytes;
}

/* --- operations --- */

static void begin(struct session *s)
{
	mark(s, HISTORY_BEGUN, s->ops + 1);
}

/* The operation is done: the model as it is now is the next state. */
static void end(struct session *s)
{
	uint64_t digest = 0, ids = 0;

	for (unsigned id = 0; id < SESSION_IDS; id++) {
		const struct session_entry *m = &s->ids[id];
		struct xattrs xattrs;

		if (!m->present)
			continue;
		xattrs = numbered_list(s, m->list);
		fill(m->version, buffer(), s->geometry.value_size);
		digest += history_digest_entry(&m->entry, &xattrs, buffer(),
					       s->geometry.value_size);
		ids++;
	}
	s->ops++;
	s->last_lsn++;
	history_add_state(s->history, digest, ids, s->last_lsn);
	mark(s, HISTORY_DONE, s->ops);
}

static void bury(struct session *s, uint32_t slot)
{
	if (slot != STORE_NO_SLOT && s->n_dead < SESSION_DEAD)
		s->dead[s->n_dead++] = slot;
}

bool session_put(struct session *s, unsigned id)
{
	struct session_entry *m = &s->ids[id];
	struct store_attr attr = {.mode = 0600 + s->versions % 64,
				  .uid = s->versions % 3,
				  .gid = 7,
				  .mtime_ns = (int64_t)s->versions * 1000};
	struct store_put_result result;
	int err;

	if (s->broken)
		return false;
	m->version = ++s->versions;
	m->entry.id_len = (uint16_t)name_of(s, id, m->entry.id);
	fill(m->version, buffer(), s->geometry.value_size);
	begin(s);
	err = store_put(s->store, m->entry.id, m->entry.id_len, buffer(), s->geometry.value_size,
			&attr, 0, NULL, NULL, &result);
	if (err != 0)
		fail("put", err, "");
	if (m->present && result.ino != m->entry.ino)
		fail("put", 0, "another number");
	m->list = m->present ? m->list : 0;
	m->present = true;
	m->entry.attr = attr;
	m->entry.ino = result.ino;
	m->entry.lsn = result.lsn;
	m->entry.slot = result.slot;
	bury(s, result.old_slot);
	if (result.lsn != s->last_lsn + 1)
		fail("put", 0, "another LSN");
	end(s);
	return true;
}

bool session_delete(struct session *s, unsigned id)
{
	struct session_entry *m = &s->ids[id];
	struct store_put_result result;
	int err;

	if (s->broken || !m->present)
		return false;
	begin(s);
	err = store_delete(s->store, m->entry.id, m->entry.id_len, NULL, NULL, &result);
	if (err != 0)
		fail("delete", err, "");
	m->present = false;
	bury(s, result.old_slot);
	end(s);
	return true;
}

bool session_rename(struct session *s, unsigned from, unsigned to, unsigned flags)
{
	struct session_entry *a = &s->ids[from], *b = &s->ids[to], was;
	struct store_put_result result = {.old_slot = STORE_NO_SLOT};
	char name[FORMAT_ID_MAX + 1];
	size_t len = name_of(s, to, name);
	int err;

	if (s->broken || from == to || !a->present)
		return false;
	if (((flags & STORE_RENAME_KEEP) != 0 && b->present) ||
	    ((flags & STORE_RENAME_EXCHANGE) != 0 && !b->present))
		return false;
	begin(s);
	err = store_rename(s->store, a->entry.id, a->entry.id_len, name, len, flags, NULL, NULL,
			   &result);
	if (err != 0)
		fail("rename", err, "");
	was = *b;
	*b = *a;
	a->present = false;
	if ((flags & STORE_RENAME_EXCHANGE) != 0)
		*a = was;
	else
		bury(s, result.old_slot);
	a->entry.id_len = (uint16_t)name_of(s, from, a->entry.id);
	b->entry.id_len = (uint16_t)name_of(s, to, b->entry.id);
	end(s);
	return true;
}

bool session_set_attr(struct session *s, unsigned id)
{
	struct session_entry *m = &s->ids[id];
	struct store_attr attr = {.mode = 0400 + s->versions % 64, .mtime_ns = -5};
	int err;

	if (s->broken || !m->present)
		return false;
	s->versions++;
	begin(s);
	err = store_set_attr(s->store, m->entry.id, m->entry.id_len, &attr,
			     STORE_ATTR_MODE | STORE_ATTR_MTIME);
	if (err != 0)
		fail("set_attr", err, "");
	m->entry.attr.mode = attr.mode;
	m->entry.attr.mtime_ns = attr.mtime_ns;
	end(s);
	return true;
}

bool session_set_xattrs(struct session *s, unsigned id)
{
	struct session_entry *m = &s->ids[id];
	struct xattrs xattrs;
	int err;

	if (s->broken || !m->present)
		return false;
	s->versions++;
	m->list = s->versions % 4 == 0 ? 0 : s->versions;
	xattrs = numbered_list(s, m->list);
	begin(s);
	err = store_set_xattrs(s->store, m->entry.id, m->entry.id_len, &xattrs);
	if (err != 0)
		fail("set_xattrs", err, "");
	end(s);
	return true;
}

bool session_release(struct session *s)
{
	int err;

	if (s->broken || s->n_dead == 0)
		return false;
	err = store_slot_release(s->store, s->dead[0]);
	if (err != 0)
		fail("release", err, "");
	memmove(s->dead, s->dead + 1, --s->n_dead * sizeof(s->dead[0]));
	return true;
}

void session_sync(struct session *s)
{
	if (!s->broken && succeeded(s, "sync", store_sync(s->store)))
		mark(s, HISTORY_DURABLE, s->ops);
}

void session_checkpoint(struct session *s)
{
	if (!s->broken && succeeded(s, "checkpoint", store_checkpoint(s->store)))
		mark(s, HISTORY_DURABLE, s->ops);
}

/* --- the graph --- */

static uint32_t page_size(const struct session *s)
{
	return store_page_size(s->store);
}

/* What is published next: pages of the graph as they are now, and blobs of this publication. */
static uint64_t graph_digest(struct session *s, uint32_t publication)
{
	uint64_t digest = 0;

	for (uint32_t i = 0; i < SESSION_GRAPH; i++) {
		memset(buffer(), 0, page_size(s));
		if (s->graph[i] != 0)
			fill(s->graph[i], buffer(), page_size(s));
		digest += history_digest_page(STORE_GRAPH, i, buffer(), page_size(s));
	}
	for (uint32_t i = 0; i < SESSION_CODE; i++) {
		fill(publication * 16 + i, buffer(), page_size(s));
		digest += history_digest_page(STORE_CODE, i, buffer(), page_size(s));
	}
	fill(publication * 16 + 15, buffer(), page_size(s));
	return digest + history_digest_page(STORE_AUX, 0, buffer(), page_size(s));
}

static void change_pages(struct session *s, uint32_t publication)
{
	void *at;
	int err;

	store_read_begin(s->store);
	for (uint32_t i = 0; i < SESSION_GRAPH; i++) {
		if (s->graph[SESSION_GRAPH - 1] != 0 && (publication + i) % 2 == 0)
			continue;
		err = store_page_change(s->store, i, &at);
		if (err != 0)
			fail("graph page", err, "");
		s->graph[i] = publication * 16 + 8 + i;
		fill(s->graph[i], buffer(), page_size(s));
		for (uint32_t w = 0; w < page_size(s) / 4; w++)
			atomic_store_explicit((_Atomic uint32_t *)at + w,
					      ((const uint32_t *)(const void *)buffer())[w],
					      memory_order_relaxed);
	}
	store_read_end(s->store);
}

static int write_blobs(struct session *s, uint32_t publication)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < SESSION_CODE; i++) {
		fill(publication * 16 + i, buffer(), page_size(s));
		err = store_blob_write(s->store, STORE_CODE, i, buffer());
	}
	fill(publication * 16 + 15, buffer(), page_size(s));
	return err != 0 ? err : store_blob_write(s->store, STORE_AUX, 0, buffer());
}

void session_flush(struct session *s, bool abort)
{
	uint32_t publication = s->graphs + 1;
	uint64_t lsn;
	int err;

	if (s->broken || publication >= SESSION_GRAPHS)
		return;
	change_pages(s, publication);
	err = store_graph_begin(s->store);
	if (err != 0)
		fail("graph begin", err, "");
	store_graph_freeze(s->store, &lsn);
	if (lsn != s->last_lsn)
		fail("graph freeze", 0, "another LSN");
	err = write_blobs(s, publication);
	if (err != 0)
		fail("graph blob", err, "");
	if (abort) {
		store_graph_abort(s->store);
		return;
	}
	s->graphs = publication;
	history_add_graph(s->history, graph_digest(s, publication), lsn);
	memcpy(s->published[publication], s->graph, sizeof(s->graph));
	mark(s, HISTORY_GRAPH_BEGUN, publication);
	if (!succeeded(s, "graph commit", store_graph_commit(s->store)))
		return;
	mark(s, HISTORY_GRAPH_DONE, publication);
	mark(s, HISTORY_DURABLE, s->ops);
}

void session_forget_graph(struct session *s)
{
	if (s->broken || s->graphs + 1 >= SESSION_GRAPHS)
		return;
	s->graphs++;
	history_add_graph(s->history, 0, 0);
	mark(s, HISTORY_GRAPH_BEGUN, s->graphs);
	if (!succeeded(s, "graph reset", store_graph_reset(s->store)))
		return;
	memset(s->graph, 0, sizeof(s->graph));
	mark(s, HISTORY_GRAPH_DONE, s->graphs);
	mark(s, HISTORY_DURABLE, s->ops);
}

/* --- opening and closing --- */

void session_create(struct session *s)
{
	struct store_geometry geometry = s->geometry;
	struct store_io *io = tape_io(s->tape);
	int err;

	if (s->learn)
		geometry.value_size = 0;
	err = store_create(io, &geometry, NULL);
	io->ops->close(io);
	if (err != 0)
		fail("create", err, "");
	mark(s, HISTORY_CREATED, 0);
}

void session_open(struct session *s)
{
	const struct history_graph *graphs = s->history->graphs;
	uint32_t publication = s->graphs;
	struct history_state state;
	struct history_graph graph;
	struct err_msg msg = {{0}};
	char why[200] = "";
	int err;

	s->io = tape_io(s->tape);
	err = store_open(s->io, &s->opts, &s->store, NULL, &msg);
	if (!succeeded(s, "open", err)) {
		s->store = NULL;
		return;
	}
	if (!history_read(s->store, &state, &graph, why, sizeof(why)))
		fail("open", 0, why);
	if (memcmp(&state, &s->history->states[s->ops], sizeof(state)) != 0)
		fail("open", 0, "another content than before");
	while (publication > 0 && memcmp(&graph, &graphs[publication], sizeof(graph)) != 0)
		publication--;
	if (memcmp(&graph, &graphs[publication], sizeof(graph)) != 0)
		fail("open", 0, "a graph that was never published");
	memcpy(s->graph, s->published[publication], sizeof(s->graph));
	mark(s, HISTORY_GRAPH_DONE, publication);
	mark(s, HISTORY_DURABLE, s->ops);
}

static void drop(struct session *s)
{
	if (s->io != NULL)
		s->io->ops->close(s->io);
	s->io = NULL;
	s->store = NULL;
	s->broken = false;
}

void session_close(struct session *s)
{
	bool good = succeeded(s, "close", store_close(s->store));

	drop(s);
	s->broken = !good;
	if (good)
		mark(s, HISTORY_DURABLE, s->ops);
}

void session_abandon(struct session *s)
{
	store_abandon(s->store);
	drop(s);
}
