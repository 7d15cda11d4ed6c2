/*
 * rewrite.c - takes a collection over into another store in an order of its own, with its graph.
 *
 * The codes are made anew, since they depend on the seed of the store; links keep what they lead to
 * under its new slot. A link to a tombstone, which is not taken over, becomes one to the tombstone's
 * first neighbour that lives.
 */
#include "ann/ann.h"

#include "ann/collection.h"
#include "ann/links.h"
#include "ann/order.h"
#include "store/mem.h"

/* --- the order --- */

/* Live slots that the graph does not hold follow those that it does. */
static int add_others(struct ann *ann, uint32_t slots, uint32_t *order, size_t *n)
{
	int err = 0;

	for (uint32_t slot = 0; slot < slots && err == 0; slot++) {
		enum store_slot_state state = STORE_SLOT_FREE;
		uint64_t lsn;

		if (graph_state(&ann->index.states, slot) == GRAPH_LINKED)
			continue;
		err = store_slot(ann->store, slot, &state, &lsn);
		if (err == 0 && state == STORE_SLOT_LIVE)
			order[(*n)++] = slot;
	}
	return err;
}

int ann_order(struct ann *ann, uint32_t **slots_out, size_t *n_out)
{
	uint32_t slots = store_slots(ann->store);
	uint32_t *order = mem_zalloc(slots, sizeof(*order));
	size_t n = 0;
	int err = order == NULL ? ERR_NOMEM : 0;

	*slots_out = NULL;
	*n_out = 0;
	if (err == 0 && atomic_load(&ann->ready))
		err = order_graph(&ann->index.graph, slots, order, &n);
	if (err == 0)
		err = add_others(ann, slots, order, &n);
	if (err != 0) {
		mem_free(order);
		return err;
	}
	*slots_out = order;
	*n_out = n;
	return 0;
}

/* --- the graph --- */

struct rewrite {
	struct graph *from;
	struct index *to;
	struct index_linker linker;
	const uint32_t *slots; /* old, by new */
	uint32_t n;
	uint32_t *numbers; /* new, by old; STORE_NO_SLOT: not taken over */
	uint32_t known;	   /* of these */
	uint32_t *links;   /* of one node, new numbers */
	size_t n_links;
};

static bool has_link(const struct rewrite *rewrite, uint32_t slot)
{
	for (size_t i = 0; i < rewrite->n_links; i++)
		if (rewrite->links[i] == slot)
			return true;
	return false;
}

/* Adds a link to what was in an old slot. False: that is not in the new graph, or linked already. */
static bool add_link(struct rewrite *rewrite, uint32_t node, uint32_t old)
{
	uint32_t slot = old < rewrite->known ? rewrite->numbers[old] : STORE_NO_SLOT;

	if (slot == STORE_NO_SLOT || slot == node || has_link(rewrite, slot) ||
	    graph_state(rewrite->from->states, old) != GRAPH_LINKED)
		return false;
	rewrite->links[rewrite->n_links++] = slot;
	return true;
}

/* A tombstone stands between the node and what it leads to. */
static int link_past(struct rewrite *rewrite, uint32_t node, uint32_t tombstone)
{
	struct ann_nodes *nodes = rewrite->from->nodes;
	const uint32_t *record;
	int err = nodes->ops->read(nodes, tombstone, &record);

	if (err != 0)
		return err;
	for (uint32_t i = 0, n = links_count(rewrite->from, record); i < n; i++)
		if (add_link(rewrite, node, links_word(&record[1 + i])))
			break;
	return 0;
}

/* The links of a node, new numbers, into rewrite->links. Inside the read bracket of `from`. */
static int collect_links(struct rewrite *rewrite, uint32_t node)
{
	struct graph *from = rewrite->from;
	uint32_t room = rewrite->to->nodes->cap;
	const uint32_t *record;
	int err = from->nodes->ops->read(from->nodes, rewrite->slots[node], &record);

	rewrite->n_links = 0;
	if (err != 0)
		return err;
	for (uint32_t i = 0, n = links_count(from, record);
	     i < n && err == 0 && rewrite->n_links < room; i++) {
		uint32_t old = links_word(&record[1 + i]);

		if (graph_state(from->states, old) == GRAPH_TOMBSTONE)
			err = link_past(rewrite, node, old);
		else
			(void)add_link(rewrite, node, old);
	}
	return err;
}

static int copy_node(struct rewrite *rewrite, uint32_t node)
{
	struct index *to = rewrite->to;
	struct ann_nodes *nodes = rewrite->from->nodes;
	int err = index_encode(to, &rewrite->linker, node);

	if (err != 0)
		return err;
	nodes->ops->read_begin(nodes);
	err = collect_links(rewrite, node);
	nodes->ops->read_end(nodes);
	if (err != 0)
		return err;
	index_put_code(to, node, rewrite->linker.code);
	err = links_write(&to->graph, node, rewrite->links, rewrite->n_links);
	if (err != 0)
		return err;
	graph_state_set(&to->states, node, GRAPH_LINKED);
	atomic_fetch_add(&to->linked, 1);
	atomic_fetch_add(&to->changed_nodes, 1);
	return 0;
}

/* Searches start where they did. */
static void copy_entries(struct rewrite *rewrite)
{
	struct graph *from = rewrite->from, *to = &rewrite->to->graph;
	uint32_t n = atomic_load(&from->n_entries), kept = 0;

	for (uint32_t i = 0; i < n && i < GRAPH_ENTRIES; i++) {
		uint32_t old = atomic_load(&from->entries[i]);
		uint32_t slot = old < rewrite->known ? rewrite->numbers[old] : STORE_NO_SLOT;

		if (slot != STORE_NO_SLOT &&
		    graph_state(&rewrite->to->states, slot) == GRAPH_LINKED)
			atomic_store(&to->entries[kept++], slot);
	}
	atomic_store(&to->n_entries, kept);
	if (kept == 0)
		graph_choose_entries(to, rewrite->n);
}

static int start(struct rewrite *rewrite, struct ann *from, struct ann *to)
{
	uint32_t cap = to->index.nodes->cap;
	int err;

	rewrite->known = store_slots(from->store);
	rewrite->numbers = mem_alloc((size_t)rewrite->known * sizeof(*rewrite->numbers));
	rewrite->links = mem_alloc((size_t)cap * sizeof(*rewrite->links));
	if (rewrite->numbers == NULL || rewrite->links == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < rewrite->known; i++)
		rewrite->numbers[i] = STORE_NO_SLOT;
	for (uint32_t i = 0; i < rewrite->n; i++)
		rewrite->numbers[rewrite->slots[i]] = i;
	err = index_set_centre(&to->index, from->index.quant.centre);
	if (err == 0)
		err = index_grow(&to->index, rewrite->n);
	return err == 0 ? index_linker_init(&rewrite->linker, &to->index) : err;
}

int ann_copy_graph(struct ann *from, struct ann *to, const uint32_t *slots, size_t n)
{
	struct rewrite rewrite = {
		.from = &from->index.graph, .to = &to->index, .slots = slots, .n = (uint32_t)n};
	int err = 0;

	if (!atomic_load(&from->ready) || !atomic_load(&to->ready) ||
	    !atomic_load(&from->index.centred))
		return 0; /* no graph: there is nothing to copy */
	err = start(&rewrite, from, to);
	for (uint32_t node = 0; node < rewrite.n && err == 0; node++)
		if (graph_state(&from->index.states, slots[node]) == GRAPH_LINKED)
			err = copy_node(&rewrite, node);
	if (err == 0 && rewrite.n > 0)
		copy_entries(&rewrite);
	index_linker_release(&rewrite.linker);
	mem_free(rewrite.numbers);
	mem_free(rewrite.links);
	return err;
}
