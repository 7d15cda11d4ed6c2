/* fault_compare.c - values and their versions, reading all of a store, and what it may hold. */
#include "tests/support/fault_compare.h"

#include <stdio.h>
#include <string.h>

/* --- values --- */

size_t fault_world_name(uint32_t id, char name_out[32])
{
	/* of different lengths, so that records and entries differ in size */
	return (size_t)sprintf(name_out, "vector-%.*s%u", (int)(id % 4) * 3, "longer-names",
			       (unsigned)id);
}

/* The lowest byte varies little, so that pages are worth compressing. */
void fault_world_value(const struct fault_world *w, uint32_t version, uint32_t *words_out)
{
	for (uint32_t i = 0; i < w->value_size / 4; i++)
		words_out[i] = version << 8 | (i * 7 + version) % 16;
}

uint32_t fault_world_version(const struct fault_world *w, const uint32_t *words)
{
	uint32_t version = words[0] >> 8;

	for (uint32_t i = 0; i < w->value_size / 4; i++)
		if (words[i] != (version << 8 | (i * 7 + version) % 16))
			return 0;
	return version;
}

struct xattrs fault_world_list(const struct fault_world *w, uint32_t version)
{
	static uint8_t bytes[XATTRS_BYTES_MAX];
	uint32_t value[64], most = xattr_list_max(w->page_size), len = 0;

	for (uint32_t i = 0; i < 64; i++)
		value[i] = version;
	if (version != 0 &&
	    xattr_replace(&(struct xattrs){NULL, 0}, "user.n", 6, value,
			  4 + version * 29 % (sizeof(value) - 3), bytes, most, &len) != 0)
		len = 0;
	return (struct xattrs){bytes, len};
}

/* The version of a list; it is the number in the first four bytes of its value. */
static uint64_t version_of_list(const struct fault_world *w, const struct xattrs *list)
{
	const uint8_t *value = NULL;
	uint32_t len = 0, version = 0;
	struct xattrs want;

	if (list->len == 0)
		return 0;
	if (xattr_find(list, "user.n", 6, &value, &len) == 0 && len >= 4)
		memcpy(&version, value, 4);
	want = fault_world_list(w, version);
	return version != 0 && want.len == list->len &&
			       memcmp(want.bytes, list->bytes, list->len) == 0 ?
		       version :
		       UINT64_MAX;
}

/* --- reading --- */

static int read_id(struct fault_world *w, uint32_t id, struct fault_id *out)
{
	static uint32_t words[FAULT_WORDS_MAX];
	static uint8_t list[XATTRS_BYTES_MAX];
	struct xattrs xattrs = {list, 0};
	struct store_entry entry;
	char name[32];
	size_t len = fault_world_name(id, name);
	int err;

	memset(out, 0, sizeof(*out));
	err = store_get(w->store, name, len, &entry, words);
	if (err == ERR_ABSENT)
		return 0;
	if (err == 0)
		err = store_get_xattrs(w->store, name, len, list, &xattrs.len);
	if (err != 0)
		return err;
	out->list = version_of_list(w, &xattrs);
	out->version = fault_world_version(w, words);
	out->mode = entry.attr.mode;
	out->mtime_ns = entry.attr.mtime_ns;
	if (out->version == 0)
		(void)fault_world_wrong(w, "%s holds wrong bytes", name);
	if (out->list == UINT64_MAX)
		(void)fault_world_wrong(w, "%s has attributes that were never set", name);
	return 0;
}

static int read_list(struct fault_world *w, bool listed[FAULT_IDS])
{
	struct store_entry entries[3];
	uint64_t cursors[3], cursor = 0;
	size_t n = 3;
	int err = 0;

	memset(listed, 0, FAULT_IDS * sizeof(*listed));
	while (err == 0 && n == 3) {
		err = store_list(w->store, cursor, entries, cursors, 3, &n);
		for (size_t i = 0; err == 0 && i < n; i++) {
			char name[32];
			uint32_t id = 0;

			while (id < FAULT_IDS &&
			       (fault_world_name(id, name) != entries[i].id_len ||
				memcmp(name, entries[i].id, entries[i].id_len) != 0))
				id++;
			if (id == FAULT_IDS || listed[id])
				(void)fault_world_wrong(w,
							"the list has a strange id, or one twice");
			else
				listed[id] = true;
			cursor = cursors[i];
		}
	}
	return err;
}

int fault_world_observe(struct fault_world *w, struct fault_state *state_out)
{
	bool listed[FAULT_IDS];
	int err = read_list(w, listed);
	int listing = err;

	w->unread = 0;
	w->unlisted = err != 0;
	for (uint32_t id = 0; id < FAULT_IDS; id++) {
		int one = read_id(w, id, &state_out->ids[id]);

		if (one != 0)
			w->unread |= 1u << id;
		if (one != 0 && err == 0)
			err = one;
		if (one == 0 && listing == 0 && listed[id] != (state_out->ids[id].version != 0))
			(void)fault_world_wrong(w, "id %u: the list says %s, get says %s",
						(unsigned)id, listed[id] ? "there" : "absent",
						listed[id] ? "absent" : "there");
	}
	return err;
}

int fault_observe_graph(struct fault_world *w, struct fault_graph *graph_out)
{
	static uint32_t words[FORMAT_PAGE_MAX / 4];
	uint32_t n = w->page_size / 4, version = 0, seen = 0;
	int err = 0;

	graph_out->lsn = store_graph_lsn(w->store);
	graph_out->version = 0;
	for (uint32_t s = STORE_GRAPH; s <= STORE_AUX; s++) {
		uint32_t pages = store_pages(w->store, (enum store_space)s);

		for (uint32_t p = 0; err == 0 && p < pages; p++) {
			const void *page = words;

			store_read_begin(w->store);
			if (s == STORE_GRAPH)
				err = store_page(w->store, p, &page);
			else
				err = store_blob_read(w->store, (enum store_space)s, p, words);
			if (err == 0 && page != words)
				memcpy(words, page, w->page_size);
			store_read_end(w->store);
			version = words[0] >> 8;
			for (uint32_t i = 0; err == 0 && i < n; i++)
				if (words[i] != (version << 8 | s << 4 | p))
					return fault_world_wrong(w, "a graph page has wrong bytes");
			if (err == 0 && seen++ > 0 && version != graph_out->version)
				(void)fault_world_wrong(w, "the graph is mixed of two versions");
			graph_out->version = version;
		}
	}
	if (err == 0 && seen != 0 && seen != FAULT_GRAPH_PAGES + 2 * FAULT_BLOB_PAGES)
		(void)fault_world_wrong(w, "the graph has %u pages", (unsigned)seen);
	return err;
}

bool fault_state_same(const struct fault_state *a, const struct fault_state *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void fault_state_describe(const struct fault_state *state, char *out)
{
	for (uint32_t id = 0; id < FAULT_IDS; id++)
		out += sprintf(out, state->ids[id].list != 0 ? " %u+%u" : " %u",
			       (unsigned)state->ids[id].version, (unsigned)state->ids[id].list);
}

bool fault_state_allowed(struct fault_world *w, const struct fault_state *state)
{
	char got[200], want[200];

	if (fault_state_same(state, &w->now))
		return true;
	for (uint32_t i = 0; i < w->n_maybe; i++)
		if (fault_state_same(state, &w->maybe[i]))
			return true;
	for (uint32_t i = 0; w->may_lose && i < w->n_history; i++)
		if (fault_state_same(state, &w->history[i]))
			return true;
	fault_state_describe(state, got);
	fault_state_describe(&w->now, want);
	return fault_world_wrong(w, "holds%s, must hold%s or one of %u others", got, want,
				 (unsigned)w->n_maybe);
}

bool fault_graph_allowed(struct fault_world *w, const struct fault_graph *graph)
{
	bool found = graph->version == w->graph.version && graph->lsn == w->graph.lsn;

	/* a slot that a fault made unreadable may have been left for the older one */
	if (*w->faulty && graph->version == w->graph_before.version &&
	    graph->lsn == w->graph_before.lsn)
		return true;
	for (uint32_t i = 0; !found && i < w->n_graph_maybe; i++)
		found = graph->version == w->graph_maybe[i].version &&
			graph->lsn == w->graph_maybe[i].lsn;
	return found ||
	       fault_world_wrong(w, "graph of version %u lsn %llu, not %u lsn %llu",
				 (unsigned)graph->version, (unsigned long long)graph->lsn,
				 (unsigned)w->graph.version, (unsigned long long)w->graph.lsn);
}
