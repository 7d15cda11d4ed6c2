/*
 * prune.c - robust prune.
 *
 * Each pair of a candidate and a link is measured at most once, and only while the outcome is open:
 * a candidate keeps the strongest occlusion found so far and how many links it was checked against.
 */
#include "ann/prune.h"

#define PRUNE_ALPHA_STEP 1.1f

/* How strongly a link at this distance from a candidate occludes it. */
static float occlusion(float to_node, float to_link)
{
	if (!(to_link > 0))
		return FLT_MAX / 2; /* the same place: occluded at any alpha */
	return to_node / to_link;
}

/* Whether any link chosen so far, nearer than candidate i, occludes it at alpha. */
static int occluded(const struct prune_rule *rule, const float *distances, uint32_t i,
		    struct prune_mark *mark, const uint32_t *chosen, size_t n_chosen, float alpha)
{
	while (mark->factor < alpha && mark->checked < n_chosen) {
		uint32_t link = chosen[mark->checked++];
		float factor;

		if (link > i)
			continue;
		factor = occlusion(distances[i], rule->between(rule->ctx, link, i));
		if (factor > mark->factor)
			mark->factor = factor;
	}
	return mark->factor >= alpha;
}

size_t prune_robust(const struct prune_rule *rule, const float *distances, size_t n,
		    struct prune_mark *marks, uint32_t *chosen_out)
{
	size_t n_chosen = 0;

	for (size_t i = 0; i < n; i++)
		marks[i] = (struct prune_mark){0, 0};
	for (float alpha = 1;; alpha *= PRUNE_ALPHA_STEP) {
		if (alpha > rule->alpha)
			alpha = rule->alpha;
		for (uint32_t i = 0; i < n && n_chosen < rule->degree; i++) {
			if (marks[i].factor >= rule->alpha ||
			    occluded(rule, distances, i, &marks[i], chosen_out, n_chosen, alpha))
				continue;
			marks[i].factor = PRUNE_CHOSEN;
			chosen_out[n_chosen++] = i;
		}
		if (n_chosen == rule->degree || alpha >= rule->alpha)
			return n_chosen;
	}
}
