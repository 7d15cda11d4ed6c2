/*
 * order.c - packs the nodes of a graph into groups with many links inside, and puts groups that are
 * linked next to each other.
 *
 * A group grows from one node: the next is always the one to which most links lead from the group so
 * far. When it has ORDER_GROUP nodes the best that did not fit begins the next group, so that groups
 * follow one another along the links. When no link leads on, the oldest node that was met and left
 * behind begins, then the lowest slot. This is greedy graph packing as for block layouts of graphs on
 * disk (Wang et al., "Starling", SIGMOD 2024, section 4.1). The groups are some pages of nodes: searches
 * touch the fewest pages with one page on some data, with ten on other.
 */
#include "ann/order.h"

#include "ann/links.h"
#include "ann/scratch.h"
#include "store/err.h"
#include "store/mem.h"

#define ORDER_GROUP 256u
#define ORDER_STAY 256u /* nodes in one read bracket */

enum { MET = 1, PLACED = 2 };

struct wish {
	uint32_t
		links; /* from the group, when it was made; out of date when there are more by now */
	uint32_t slot;
};

struct packing {
	struct graph *graph;
	uint32_t slots;
	uint8_t *marks;	 /* of slots: MET, PLACED */
	uint16_t *links; /* of slots: from the group */
	uint32_t *queue; /* of slots met, in this order; at most all */
	uint32_t queue_from, queue_to;
	uint32_t *touched; /* slots with links from the group */
	size_t n_touched, room_touched;
	struct wish *heap; /* largest first */
	size_t n_heap, room_heap;
	uint32_t *order;
	size_t n;
};

static int heap_push(struct packing *p, struct wish wish)
{
	size_t at = p->n_heap;
	int err = mem_grow((void **)&p->heap, &p->room_heap, p->n_heap + 1, sizeof(*p->heap));

	if (err != 0)
		return err;
	p->n_heap++;
	for (; at > 0 && p->heap[(at - 1) / 2].links < wish.links; at = (at - 1) / 2)
		p->heap[at] = p->heap[(at - 1) / 2];
	p->heap[at] = wish;
	return 0;
}

static struct wish heap_pop(struct packing *p)
{
	struct wish top = p->heap[0], last = p->heap[--p->n_heap];
	size_t at = 0;

	for (;;) {
		size_t below = 2 * at + 1;

		if (below >= p->n_heap)
			break;
		if (below + 1 < p->n_heap && p->heap[below + 1].links > p->heap[below].links)
			below++;
		if (p->heap[below].links <= last.links)
			break;
		p->heap[at] = p->heap[below];
		at = below;
	}
	p->heap[at] = last;
	return top;
}

/* The slot with most links from the group; false when there is none. */
static bool best_wish(struct packing *p, uint32_t *slot_out)
{
	while (p->n_heap > 0) {
		struct wish wish = heap_pop(p);

		if ((p->marks[wish.slot] & PLACED) != 0 || wish.links != p->links[wish.slot])
			continue;
		*slot_out = wish.slot;
		return true;
	}
	return false;
}

/* A slot that is not placed; false when all are. *lowest: where to look on. */
static bool any_slot(struct packing *p, uint32_t *lowest, uint32_t *slot_out)
{
	while (p->queue_from < p->queue_to) {
		*slot_out = p->queue[p->queue_from++];
		if ((p->marks[*slot_out] & PLACED) == 0)
			return true;
	}
	for (; *lowest < p->slots; ++*lowest) {
		*slot_out = *lowest;
		if ((p->marks[*lowest] & PLACED) == 0 &&
		    scratch_state(p->graph, *lowest) == GRAPH_LINKED)
			return true;
	}
	return false;
}

static int meet(struct packing *p, uint32_t slot)
{
	int err = 0;

	if (slot >= p->slots || (p->marks[slot] & PLACED) != 0 ||
	    scratch_state(p->graph, slot) != GRAPH_LINKED)
		return 0;
	if ((p->marks[slot] & MET) == 0) {
		p->marks[slot] |= MET;
		p->queue[p->queue_to++] = slot;
	}
	if (p->links[slot] == 0) {
		err = mem_grow((void **)&p->touched, &p->room_touched, p->n_touched + 1,
			       sizeof(*p->touched));
		if (err != 0)
			return err;
		p->touched[p->n_touched++] = slot;
	}
	p->links[slot]++;
	return heap_push(p, (struct wish){p->links[slot], slot});
}

static int place(struct packing *p, uint32_t slot)
{
	const uint32_t *record;
	uint32_t n;
	int err = p->graph->nodes->ops->read(p->graph->nodes, slot, &record);

	if (err != 0)
		return err;
	p->marks[slot] |= PLACED;
	p->order[p->n++] = slot;
	n = links_count(p->graph, record);
	for (uint32_t i = 0; err == 0 && i < n; i++)
		err = meet(p, links_word(&record[1 + i]));
	return err;
}

static void begin_group(struct packing *p)
{
	for (size_t i = 0; i < p->n_touched; i++)
		p->links[p->touched[i]] = 0;
	p->n_touched = p->n_heap = 0;
}

static int pack(struct packing *p)
{
	struct ann_nodes *nodes = p->graph->nodes;
	uint32_t lowest = 0, slot, in_group = 0;
	int err = 0;

	nodes->ops->read_begin(nodes);
	for (;;) {
		bool more = best_wish(p, &slot);

		if (!more && !any_slot(p, &lowest, &slot))
			break;
		if (!more || in_group == ORDER_GROUP) {
			begin_group(p);
			in_group = 0;
		}
		if (p->n % ORDER_STAY == 0) {
			nodes->ops->read_end(nodes);
			nodes->ops->read_begin(nodes);
		}
		err = place(p, slot);
		if (err != 0)
			break;
		in_group++;
	}
	nodes->ops->read_end(nodes);
	return err;
}

int order_graph(struct graph *graph, uint32_t slots, uint32_t *order_out, size_t *n_out)
{
	uint32_t limit = scratch_limit(graph);
	struct packing p = {
		.graph = graph, .slots = slots < limit ? slots : limit, .order = order_out};
	int err = ERR_NOMEM;

	p.marks = mem_zalloc(p.slots, sizeof(*p.marks));
	p.links = mem_zalloc(p.slots, sizeof(*p.links));
	p.queue = mem_zalloc(p.slots, sizeof(*p.queue));
	if (p.marks != NULL && p.links != NULL && p.queue != NULL)
		err = pack(&p);
	*n_out = p.n;
	mem_free(p.marks);
	mem_free(p.links);
	mem_free(p.queue);
	mem_free(p.touched);
	mem_free(p.heap);
	return err;
}
