/*
 * prune.h - robust prune: which of a node's candidates become its links.
 *
 * Subramanya et al., NeurIPS 2019, algorithm 2. A candidate c is occluded by a chosen, nearer s when
 * s is at least alpha times nearer to c than the node is. Here alpha grows in steps from 1 until the
 * links are full, so that the nearest, least redundant candidates come first. A pure function: it
 * knows distances, not nodes.
 */
#ifndef VECFS_ANN_PRUNE_H
#define VECFS_ANN_PRUNE_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

struct prune_rule {
	uint32_t degree; /* most links to choose */
	/* Largest alpha in terms of the distances given: squared where they are squares. */
	float alpha;
	/* Between candidates i and j, in the same unit as their distances to the node; >= 0. */
	float (*between)(void *ctx, uint32_t i, uint32_t j);
	void *ctx;
};

/* Working memory of one candidate. */
struct prune_mark {
	float factor; /* largest alpha at which a link checked so far occludes it */
	uint32_t checked;
};

/* The factor of a candidate that was chosen, once prune_robust has returned. */
#define PRUNE_CHOSEN FLT_MAX

/*
 * Chooses among n candidates whose distances to the node ascend. marks: n of them, any contents.
 * chosen_out: room for degree indices, in the order of choice. Returns their number, which is at
 * least 1 when n and degree are.
 */
size_t prune_robust(const struct prune_rule *rule, const float *distances, size_t n,
		    struct prune_mark *marks, uint32_t *chosen_out);

#endif
