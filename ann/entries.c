/*
 * entries.c - where searches start.
 *
 * Entries are medoids of a sample, chosen greedily: the first has the smallest average distance to
 * the sample, each further one shortens most the distances to the nearest entry. The choice depends
 * on the graph alone, not on chance.
 *
 * The others of the sample are kept with the entry nearest to them. A search goes on from those of
 * the entry nearest to its query, so that it starts at one of a thousand places for the price of
 * eighty distances. It is not speed that they are for: where clusters lie far apart, and came one after
 * the other, hardly a link leads from one into the next.
 *
 * Locks: entries_lock for writing. Readers read a number, then so many slots; each is a slot that
 * was LINKED once.
 */
#include "ann/entries.h"

#include "ann/links.h"
#include "store/mem.h"

#ifdef SMALL_TABLES /* store/tables.h: a fuzzer chooses anew at each opening */
#define ENTRIES_SAMPLE 24u
#define ENTRIES_CANDIDATES 8u
#else
#define ENTRIES_SAMPLE 1024u
#define ENTRIES_CANDIDATES 64u
#endif
#define ENTRIES_TURNS (ENTRIES_SAMPLE / ENTRIES_CANDIDATES)

struct sample {
	uint32_t n, n_candidates;
	uint32_t slots[ENTRIES_SAMPLE]; /* the candidates come first */
	float nearest[ENTRIES_SAMPLE];	/* distance to the nearest entry chosen so far */
	float distances[ENTRIES_CANDIDATES][ENTRIES_SAMPLE];
};

/* Up to ENTRIES_SAMPLE LINKED slots below n, spread evenly: one of each part. */
static void take_sample(const struct graph *graph, uint32_t n, struct sample *sample)
{
	uint32_t parts;

	/* Slots are used from below; tables have room for many more. */
	while (n > 0 && scratch_state(graph, n - 1) != GRAPH_LINKED)
		n--;
	parts = n < ENTRIES_SAMPLE ? n : ENTRIES_SAMPLE;
	sample->n = 0;
	/* Parts in an order that leaves the candidates spread as well: 0, 16, 32 ..., 1, 17, 33 ... */
	for (uint32_t turn = 0; turn < ENTRIES_TURNS; turn++)
		for (uint32_t part = turn; part < parts; part += ENTRIES_TURNS) {
			uint32_t at = (uint32_t)((uint64_t)part * n / parts);
			uint32_t end = (uint32_t)((uint64_t)(part + 1) * n / parts);

			while (at < end && scratch_state(graph, at) != GRAPH_LINKED)
				at++;
			if (at < end)
				sample->slots[sample->n++] = at;
		}
	sample->n_candidates = sample->n < ENTRIES_CANDIDATES ? sample->n : ENTRIES_CANDIDATES;
}

static void measure_sample(const struct graph *graph, struct sample *sample)
{
	for (uint32_t c = 0; c < sample->n_candidates; c++)
		for (uint32_t i = 0; i < sample->n; i++)
			sample->distances[c][i] = links_code_distance(graph, sample->slots[c],
								      sample->slots[i]);
	for (uint32_t i = 0; i < sample->n; i++)
		sample->nearest[i] = FLT_MAX;
}

/* The candidate that brings the sample nearest to the entries; false when none does. */
static bool choose_next(struct sample *sample, uint32_t *candidate_out)
{
	double best = 0;

	for (uint32_t c = 0; c < sample->n_candidates; c++) {
		double gain = 0;

		for (uint32_t i = 0; i < sample->n; i++)
			if (sample->distances[c][i] < sample->nearest[i])
				gain += (double)sample->nearest[i] -
					(double)sample->distances[c][i];
		if (gain > best) {
			best = gain;
			*candidate_out = c;
		}
	}
	if (best > 0)
		for (uint32_t i = 0; i < sample->n; i++)
			if (sample->distances[*candidate_out][i] < sample->nearest[i])
				sample->nearest[i] = sample->distances[*candidate_out][i];
	return best > 0;
}

/* entries_lock is held; the entries themselves are set. */
static void set_count(struct graph *graph, uint32_t n)
{
	atomic_store_explicit(&graph->n_entries, n, memory_order_release);
	atomic_store_explicit(&graph->empty, n == 0, memory_order_relaxed);
}

/* Keeps the sample, as far as there is room, with the nearest of n entries. entries_lock is held. */
static void set_near(struct graph *graph, const struct sample *sample, const uint32_t *chosen,
		     uint32_t n)
{
	uint32_t kept[GRAPH_ENTRIES] = {0};

	for (uint32_t i = 0; i < sample->n; i++) {
		uint32_t best = 0;

		for (uint32_t e = 1; e < n; e++)
			if (sample->distances[chosen[e]][i] < sample->distances[chosen[best]][i])
				best = e;
		if (n > 0 && kept[best] < GRAPH_NEAR)
			atomic_store_explicit(&graph->near[best][kept[best]++], sample->slots[i],
					      memory_order_relaxed);
	}
	for (uint32_t e = 0; e < GRAPH_ENTRIES; e++)
		atomic_store_explicit(&graph->n_near[e], kept[e], memory_order_release);
}

/* entries_lock is held. */
static void set_entries(struct graph *graph, struct sample *sample)
{
	uint32_t chosen[GRAPH_ENTRIES], n = 0, candidate = 0;

	while (n < GRAPH_ENTRIES && choose_next(sample, &candidate)) {
		chosen[n] = candidate;
		atomic_store_explicit(&graph->entries[n++], sample->slots[candidate],
				      memory_order_relaxed);
	}
	set_near(graph, sample, chosen, n);
	set_count(graph, n);
}

/* entries_lock is held. Without memory the first LINKED slot must do. */
static void choose(struct graph *graph, uint32_t n)
{
	struct sample *sample = mem_alloc(sizeof(*sample));
	uint32_t at = 0;

	if (sample != NULL) {
		take_sample(graph, n, sample);
		measure_sample(graph, sample);
		set_entries(graph, sample);
		mem_free(sample);
		return;
	}
	while (at < n && scratch_state(graph, at) != GRAPH_LINKED)
		at++;
	atomic_store_explicit(&graph->entries[0], at, memory_order_relaxed);
	set_count(graph, at < n ? 1 : 0);
}

void graph_choose_entries(struct graph *graph, uint32_t slots)
{
	uint32_t limit = scratch_limit(graph);

	pthread_mutex_lock(&graph->entries_lock);
	choose(graph, slots < limit ? slots : limit);
	pthread_mutex_unlock(&graph->entries_lock);
}

static bool any_linked(const struct graph *graph, uint32_t limit)
{
	uint32_t n = atomic_load_explicit(&graph->n_entries, memory_order_acquire);

	for (uint32_t i = 0; i < n && i < GRAPH_ENTRIES; i++) {
		uint32_t slot = atomic_load_explicit(&graph->entries[i], memory_order_relaxed);

		if (slot < limit && scratch_state(graph, slot) == GRAPH_LINKED)
			return true;
	}
	return false;
}

bool entries_renew(struct graph *graph, uint32_t n)
{
	bool any;

	/* Do not look through all slots at every search of an empty graph. */
	if (atomic_load_explicit(&graph->n_entries, memory_order_acquire) == 0 &&
	    atomic_load_explicit(&graph->empty, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&graph->entries_lock);
	if (!any_linked(graph, n))
		choose(graph, n);
	any = atomic_load_explicit(&graph->n_entries, memory_order_relaxed) > 0;
	pthread_mutex_unlock(&graph->entries_lock);
	return any;
}

bool entries_claim(struct graph *graph, uint32_t slot, uint32_t n)
{
	bool claimed = false;

	pthread_mutex_lock(&graph->entries_lock);
	if (!any_linked(graph, n))
		choose(graph, n);
	if (atomic_load_explicit(&graph->n_entries, memory_order_relaxed) == 0) {
		atomic_store_explicit(&graph->entries[0], slot, memory_order_relaxed);
		graph_state_set(graph->states, slot, GRAPH_LINKED);
		set_count(graph, 1);
		claimed = true;
	}
	pthread_mutex_unlock(&graph->entries_lock);
	return claimed;
}

bool entries_has(struct graph *graph, uint32_t slot)
{
	uint32_t n = atomic_load_explicit(&graph->n_entries, memory_order_acquire);

	for (uint32_t i = 0; i < n && i < GRAPH_ENTRIES; i++)
		if (atomic_load_explicit(&graph->entries[i], memory_order_relaxed) == slot)
			return true;
	return false;
}
