/*
 * best.c - collects into a buffer somewhat larger than wanted, and when that is full finds the
 * distance that bounds the wanted ones (quickselect) and keeps what is within: constant time a slot.
 */
#include "ann/best.h"

#include <math.h>
#include <string.h>

#include "store/mem.h"

int best_start(struct best *best, size_t want)
{
	best->n = 0;
	best->want = want;
	best->bound = INFINITY;
	return mem_grow((void **)&best->hits, &best->cap, 2 * want + 256, sizeof(*best->hits));
}

void best_release(struct best *best)
{
	mem_free(best->hits);
	memset(best, 0, sizeof(*best));
}

static void swap(struct graph_hit *a, struct graph_hit *b)
{
	struct graph_hit hold = *a;

	*a = *b;
	*b = hold;
}

/* Orders hits so that the one at index `at` is where a sort would put it. n > at. */
static float select_at(struct graph_hit *hits, size_t n, size_t at)
{
	size_t low = 0, high = n;

	while (high - low > 1) {
		float pivot = hits[low + (high - low) / 2].distance;
		size_t less = low, equal = low, more = high;

		/* Three parts, so that many equal distances do not make it slow. */
		while (equal < more) {
			if (hits[equal].distance < pivot)
				swap(&hits[less++], &hits[equal++]);
			else if (hits[equal].distance > pivot)
				swap(&hits[equal], &hits[--more]);
			else
				equal++;
		}
		if (at < less)
			high = less;
		else if (at >= more)
			low = more;
		else
			break;
	}
	return hits[at].distance;
}

void best_finish(struct best *best)
{
	size_t kept = 0;

	if (best->n <= best->want)
		return;
	best->bound = select_at(best->hits, best->n, best->want - 1);
	for (size_t i = 0; i < best->n; i++)
		if (best->hits[i].distance <= best->bound)
			best->hits[kept++] = best->hits[i];
	best->n = kept;
}

int best_press(struct best *best)
{
	best_finish(best);
	/* Half full with ties: a larger buffer, so that pressing stays rare. */
	if (best->n <= best->cap / 2 + best->want / 2)
		return 0;
	return mem_grow((void **)&best->hits, &best->cap, best->cap + 1, sizeof(*best->hits));
}
