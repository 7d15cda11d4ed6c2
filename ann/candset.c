/* candset.c - the bounded candidate list of a search, and the set of slots it has seen. */
#include "ann/candset.h"

#include "store/err.h"
#include "store/mem.h"

/* Tombstones kept besides the live candidates: walked through, but not without end. */
static size_t tombstones_allowed(uint32_t effort)
{
	return 3 * (size_t)effort + 256;
}

int candset_start(struct candset *set, uint32_t effort)
{
	size_t tombs_max = tombstones_allowed(effort);
	int err = mem_grow((void **)&set->items, &set->room, effort + tombs_max + 2,
			   sizeof(*set->items));

	if (err)
		return err;
	set->n = set->live = set->tombs = set->next = 0;
	set->tombs_max = tombs_max;
	set->effort = effort;
	set->bound = INFINITY;
	return 0;
}

void candset_release(struct candset *set)
{
	mem_free(set->items);
	memset(set, 0, sizeof(*set));
}

static bool is_tombstone(const struct graph_hit *item)
{
	return (item->slot & CANDSET_TOMBSTONE) != 0;
}

/* Where a distance goes: behind those that are as near. */
static size_t place(const struct candset *set, float distance)
{
	const struct graph_hit *base = set->items;
	size_t n = set->n;

	while (n > 1) {
		size_t half = n / 2;

		/* No branch: which half it is cannot be predicted. */
		base += half & -(size_t)(base[half - 1].distance <= distance);
		n -= half;
	}
	if (n == 1 && base->distance <= distance)
		base++;
	return (size_t)(base - set->items);
}

static void drop_farthest_tombstone(struct candset *set)
{
	size_t at = set->n - 1;

	while (!is_tombstone(&set->items[at]))
		at--;
	memmove(&set->items[at], &set->items[at + 1], (set->n - at - 1) * sizeof(*set->items));
	set->n--;
	set->tombs--;
	if (set->next > at)
		set->next--;
}

/* The list holds one live candidate too many, or ends in tombstones: cut to invariant 3. */
static void cut_tail(struct candset *set)
{
	if (set->live > set->effort) {
		while (is_tombstone(&set->items[set->n - 1])) {
			set->n--;
			set->tombs--;
		}
		set->n--;
		set->live--;
	}
	if (set->live == set->effort) {
		while (is_tombstone(&set->items[set->n - 1])) {
			set->n--;
			set->tombs--;
		}
		set->bound = set->items[set->n - 1].distance;
	}
	if (set->next > set->n)
		set->next = set->n;
}

void candset_insert(struct candset *set, float distance, uint32_t flagged)
{
	size_t at = place(set, distance);
	size_t moved = set->n - at;

	/* With no tombstone about, the last item falls off as the others move. */
	if (set->tombs == 0 && set->live == set->effort && (flagged & CANDSET_TOMBSTONE) == 0) {
		memmove(&set->items[at + 1], &set->items[at], (moved - 1) * sizeof(*set->items));
		set->items[at] = (struct graph_hit){distance, flagged};
		set->bound = set->items[set->n - 1].distance;
		set->next = at < set->next ? at : set->next;
		return;
	}
	memmove(&set->items[at + 1], &set->items[at], moved * sizeof(*set->items));
	set->items[at] = (struct graph_hit){distance, flagged};
	set->n++;
	if (at < set->next)
		set->next = at;
	if ((flagged & CANDSET_TOMBSTONE) == 0)
		set->live++;
	else if (++set->tombs > set->tombs_max)
		drop_farthest_tombstone(set);
	cut_tail(set);
}

void candset_finish(struct candset *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct graph_hit item = set->items[i];

		if (is_tombstone(&item))
			continue;
		item.slot &= CANDSET_SLOT;
		set->items[kept++] = item;
	}
	set->n = kept;
	set->tombs = 0;
}

bool candset_check(const struct candset *set)
{
	size_t tombs = 0;

	for (size_t i = 0; i < set->n; i++) {
		if (!(set->items[i].distance <= FLT_MAX) ||
		    (i > 0 && set->items[i].distance < set->items[i - 1].distance))
			return false;
		if (i < set->next && (set->items[i].slot & CANDSET_EXPANDED) == 0)
			return false;
		tombs += is_tombstone(&set->items[i]);
	}
	if (tombs != set->tombs || set->n - tombs != set->live || tombs > set->tombs_max ||
	    set->live > set->effort || set->next > set->n)
		return false;
	return set->live < set->effort || !is_tombstone(&set->items[set->n - 1]);
}

static int start_stamps(struct visited *seen, size_t n)
{
	if (n > seen->cap) {
		size_t cap = n + n / 4 + 4096;
		uint8_t *stamps = mem_zalloc(cap, 1);

		if (stamps == NULL)
			return ERR_NOMEM;
		mem_free(seen->stamps);
		seen->stamps = stamps;
		seen->cap = cap;
		seen->epoch = 0;
	}
	if (seen->epoch == UINT8_MAX) {
		memset(seen->stamps, 0, seen->cap);
		seen->epoch = 0;
	}
	seen->epoch++;
	return 0;
}

static int start_table(struct visited *seen, size_t expected)
{
	size_t size = 1024;

	while (size < 2 * expected)
		size *= 2;
	if (size > seen->room) {
		uint32_t *table = mem_alloc(size * sizeof(*table));

		if (table == NULL)
			return ERR_NOMEM;
		mem_free(seen->table);
		seen->table = table;
		seen->room = size;
	}
	memset(seen->table, 0xff, size * sizeof(*seen->table));
	seen->mask = size - 1;
	seen->n = 0;
	return 0;
}

int visited_start(struct visited *seen, size_t n, size_t expected)
{
	seen->hashed = n > VISITED_STAMPS;
	seen->failed = false;
	return seen->hashed ? start_table(seen, expected) : start_stamps(seen, n);
}

static bool put(struct visited *seen, uint32_t slot)
{
	size_t at = (slot * 0x9e3779b97f4a7c15u >> 32) & seen->mask;

	while (seen->table[at] != UINT32_MAX) {
		if (seen->table[at] == slot)
			return false;
		at = (at + 1) & seen->mask;
	}
	seen->table[at] = slot;
	return true;
}

static bool double_table(struct visited *seen)
{
	struct visited wider = {0};

	if (start_table(&wider, seen->mask + 1) != 0)
		return false;
	for (size_t i = 0; i <= seen->mask; i++)
		if (seen->table[i] != UINT32_MAX)
			(void)put(&wider, seen->table[i]); /* each is new there */
	mem_free(seen->table);
	seen->table = wider.table;
	seen->room = wider.room;
	seen->mask = wider.mask;
	return true;
}

bool visited_add_hashed(struct visited *seen, uint32_t slot)
{
	if (2 * seen->n > seen->mask && !double_table(seen)) {
		seen->failed = true;
		return false;
	}
	if (!put(seen, slot))
		return false;
	seen->n++;
	return true;
}

void visited_release(struct visited *seen)
{
	mem_free(seen->stamps);
	mem_free(seen->table);
	memset(seen, 0, sizeof(*seen));
}
