/*
 * graph_check.c - validation of the whole graph: counts, faults of records, reachability.
 *
 * Meant for a graph at rest; beside writers the counts are approximate.
 */
#include "ann/graph.h"

#include <stdatomic.h>
#include <string.h>

#include "ann/links.h"
#include "store/err.h"
#include "store/mem.h"

struct check {
	struct graph *graph;
	struct graph_check_report *report;
	uint32_t slots;	   /* those below are looked at */
	uint32_t *links;   /* room for a record */
	uint64_t *reached; /* bitmap */
	uint32_t *queue;   /* reached slots; each enters once */
	size_t n_queued;
};

static void count_links(const struct check *check, uint32_t slot, uint32_t n)
{
	struct graph_check_report *report = check->report;

	report->links += n;
	if (n > report->max_degree)
		report->max_degree = n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t link = check->links[i];

		report->self_links += link == slot;
		if (link >= check->slots) {
			report->beyond++;
			continue;
		}
		report->dangling += graph_state(check->graph->states, link) == GRAPH_ABSENT;
		for (uint32_t j = 0; j < i; j++)
			if (check->links[j] == link) {
				report->duplicates++;
				break;
			}
	}
}

/* Copies the links of a node into check->links. */
static int read_record(const struct check *check, uint32_t slot, uint32_t *n_out)
{
	struct ann_nodes *nodes = check->graph->nodes;
	const uint32_t *record;
	int err;

	*n_out = 0;
	nodes->ops->read_begin(nodes);
	err = nodes->ops->read(nodes, slot, &record);
	if (err == 0) {
		check->report->over_cap += links_word(record) > nodes->cap;
		*n_out = links_copy(check->graph, record, check->links);
	}
	nodes->ops->read_end(nodes);
	return err;
}

static int check_records(const struct check *check)
{
	int err = 0;

	for (uint32_t slot = 0; slot < check->slots && err == 0; slot++) {
		enum graph_state state = graph_state(check->graph->states, slot);
		uint32_t n;

		if (state == GRAPH_ABSENT)
			continue;
		check->report->linked += state == GRAPH_LINKED;
		check->report->tombstones += state == GRAPH_TOMBSTONE;
		err = read_record(check, slot, &n);
		if (err == 0)
			count_links(check, slot, n);
	}
	return err;
}

static void reach(struct check *check, uint32_t slot)
{
	uint64_t bit = 1ull << slot % 64;

	if (slot >= check->slots || (check->reached[slot / 64] & bit) != 0 ||
	    graph_state(check->graph->states, slot) == GRAPH_ABSENT)
		return;
	check->reached[slot / 64] |= bit;
	check->queue[check->n_queued++] = slot;
}

static int check_reachable(struct check *check)
{
	struct graph *graph = check->graph;
	uint32_t n = atomic_load(&graph->n_entries);
	uint64_t over_cap = check->report->over_cap, reached = 0;
	int err = 0;

	for (uint32_t i = 0; i < n && i < GRAPH_ENTRIES; i++)
		reach(check, atomic_load(&graph->entries[i]));
	for (size_t at = 0; at < check->n_queued && err == 0; at++) {
		reached += graph_state(graph->states, check->queue[at]) == GRAPH_LINKED;
		err = read_record(check, check->queue[at], &n);
		for (uint32_t i = 0; i < n; i++)
			reach(check, check->links[i]);
	}
	check->report->over_cap = over_cap; /* counted before */
	check->report->unreachable = check->report->linked > reached ?
					     check->report->linked - reached :
					     0;
	return err;
}

int graph_check(struct graph *graph, uint32_t slots, struct graph_check_report *report_out)
{
	struct check check = {.graph = graph, .report = report_out, .slots = slots};
	int err = ERR_NOMEM;

	memset(report_out, 0, sizeof(*report_out));
	check.links = mem_zalloc(graph->nodes->cap, sizeof(*check.links));
	check.reached = mem_zalloc((size_t)slots / 64 + 1, sizeof(*check.reached));
	check.queue = mem_alloc(slots * sizeof(*check.queue));
	if (check.links == NULL || check.reached == NULL || check.queue == NULL)
		goto out;
	err = check_records(&check);
	if (err == 0)
		err = check_reachable(&check);
	if (err == 0 && (report_out->over_cap || report_out->self_links || report_out->duplicates ||
			 report_out->beyond))
		err = ERR_DAMAGED;
out:
	mem_free(check.links);
	mem_free(check.reached);
	mem_free(check.queue);
	return err;
}
