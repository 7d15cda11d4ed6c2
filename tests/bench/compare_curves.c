/*
 * compare_curves.c - recall and speed of each index at many efforts.
 *
 * First each index answers all queries at each effort, which warms it up and gives the recall. Then
 * rounds: at each step of the ladder of efforts all indexes are asked one after the other, with
 * one thread and with two, so that what else the machine does meets all alike; every second round
 * goes down the ladder.
 */
#include "tests/bench/compare.h"

#include <string.h>

#include "tests/demo/progress.h"

/* What stands below the first recall and above the second is not worth the time. */
#define RECALL_FROM 0.90
#define RECALL_TO 0.996

static const uint32_t efforts[] = {10,	12,  14,  16,  18,  20,	 24,   28,   32,
				   40,	48,  56,  64,  80,  100, 128,  160,  200,
				   256, 320, 400, 512, 640, 800, 1024, 1280, 1600};
#define STEPS (sizeof(efforts) / sizeof(efforts[0]))

struct curve {
	const struct peer_ops *peer;
	void *self;
	double recall[STEPS];
	size_t first, end; /* steps that are measured */
};

/* Fills recall, first, end. */
static void survey(const struct compare *compare, struct curve *curve)
{
	size_t step;

	for (step = 0; step < STEPS; step++) {
		curve->recall[step] = compare_recall(compare, curve->peer, curve->self,
						     efforts[step]);
		if (curve->recall[step] < RECALL_FROM)
			curve->first = step;
		fprintf(stderr, "\r%s: effort %u, recall %.4f  ", curve->peer->name, efforts[step],
			curve->recall[step]);
		if (curve->recall[step] > RECALL_TO)
			break;
	}
	curve->end = step < STEPS ? step + 1 : STEPS;
	fprintf(stderr, "\n");
}

static void measure(const struct compare *compare, const struct curve *curve, size_t step,
		    uint32_t threads, unsigned round, FILE *results)
{
	struct compare_pass pass;

	if (step < curve->first || step >= curve->end)
		return;
	compare_ask(compare, curve->peer, curve->self, efforts[step], threads, &pass);
	fprintf(results, "%s\t%u\t%u\t%u\t%.5f\t%.1f\t%.1f\t%.2f\n", curve->peer->name, threads,
		round, efforts[step], curve->recall[step], (double)pass.asked / pass.wall,
		(double)pass.asked / pass.cpu, pass.p99 * 1e6);
}

static void run_rounds(const struct compare *compare, const struct curve *curves, FILE *results)
{
	for (unsigned round = 0; round < compare->rounds; round++) {
		for (size_t i = 0; i < STEPS; i++) {
			size_t step = round % 2 == 0 ? i : STEPS - 1 - i;

			for (uint32_t threads = 1; threads <= 2; threads++)
				for (size_t p = 0; p < compare->n_peers; p++)
					measure(compare, &curves[p], step, threads, round, results);
		}
		fprintf(stderr, "round %u of %u\n", round + 1, compare->rounds);
		fflush(results);
	}
}

void compare_curves(struct compare *compare)
{
	struct curve curves[COMPARE_PEERS];
	FILE *results;

	memset(curves, 0, sizeof(curves));
	for (size_t p = 0; p < compare->n_peers; p++) {
		curves[p].peer = compare->peers[p];
		curves[p].self = compare_index(compare, compare->peers[p]);
		survey(compare, &curves[p]);
	}
	results = compare_results(compare, "curves");
	for (size_t p = 0; p < compare->n_peers; p++)
		fprintf(results, "# %s\t%s\n", compare->peers[p]->name, compare->peers[p]->label);
	fprintf(results, "peer\tthreads\tround\teffort\trecall\tqps\tqps_cpu\tp99_us\n");
	run_rounds(compare, curves, results);
	compare_results_end(results);
	for (size_t p = 0; p < compare->n_peers; p++)
		curves[p].peer->close(curves[p].self);
}
