/*
 * report.c - docs/benchmarks out of the files of results that are there: results.md with the
 * tables, and one picture for each set.
 *
 * Usage: report RESULTS-FOLDER OUT-FOLDER
 */
#include "tests/bench/report.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/chart.h"
#include "tests/bench/results.h"

static const char *const sets[] = {"fashion", "glove", "synth"};
static const char *const peers[] = {"vecfs", "hnswlib", "faiss"};
static const double targets[] = {0.95, 0.99};

#define PEERS (sizeof(peers) / sizeof(peers[0]))
#define POINTS_MAX 64u
#define ROUNDS_MAX 64u

/* --- figures of several rounds --- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread report_spread(double *values, size_t n)
{
	struct spread spread = {0, 0, 0, n};

	if (n == 0)
		return spread;
	qsort(values, n, sizeof(*values), compare_doubles);
	spread.low = values[0];
	spread.mid = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
	spread.high = values[n - 1];
	return spread;
}

/* --- curves --- */

static bool is_row(const struct results *results, size_t row, const char *peer, unsigned threads)
{
	return strcmp(results_field(results, row, "peer"), peer) == 0 &&
	       (unsigned)results_number(results, row, "threads") == threads;
}

/* The points of one index, in the order of recall. */
static size_t take_points(const struct results *results, const char *peer, unsigned threads,
			  struct chart_point *points)
{
	size_t n = 0;

	for (double effort = 0, next; n < POINTS_MAX; effort = next) {
		double rates[ROUNDS_MAX];
		struct spread spread;
		size_t found = 0;

		next = INFINITY;
		for (size_t row = 0; row < results->n_rows; row++) {
			double at = results_number(results, row, "effort");

			if (is_row(results, row, peer, threads) && at > effort && at < next)
				next = at;
		}
		if (next == INFINITY)
			break;
		for (size_t row = 0; row < results->n_rows && found < ROUNDS_MAX; row++)
			if (is_row(results, row, peer, threads) &&
			    results_number(results, row, "effort") == next) {
				rates[found++] = results_number(results, row, "qps");
				points[n].recall = results_number(results, row, "recall");
			}
		spread = report_spread(rates, found);
		points[n].low = spread.low;
		points[n].mid = spread.mid;
		points[n++].high = spread.high;
	}
	return n;
}

/*
 * A column of one round where the recall is the target: between the two efforts around it, the
 * logarithm on a straight line. The least effort counts when its recall is higher already. 0: the
 * recall was not reached.
 */
static double value_at(const struct results *results, const char *peer, unsigned threads,
		       unsigned round, double target, const char *column)
{
	double below = -1, above = 2, low = 0, high = 0;

	for (size_t row = 0; row < results->n_rows; row++) {
		double recall = results_number(results, row, "recall");

		if (!is_row(results, row, peer, threads) ||
		    (unsigned)results_number(results, row, "round") != round)
			continue;
		if (recall <= target && recall > below) {
			below = recall;
			low = results_number(results, row, column);
		}
		if (recall >= target && recall < above) {
			above = recall;
			high = results_number(results, row, column);
		}
	}
	if (above > 1 || low <= 0 || above <= below)
		return high;
	return exp(log(low) + (log(high) - log(low)) * (target - below) / (above - below));
}

static unsigned rounds_of(const struct results *results)
{
	return (unsigned)strtoul(results_value(results, "rounds"), NULL, 10);
}

/* divisor: a peer whose values of the same rounds divide; NULL for none. */
static struct spread spread_at(const struct results *results, const char *peer, const char *divisor,
			       unsigned threads, double target, const char *column)
{
	double values[ROUNDS_MAX];
	size_t n = 0;

	for (unsigned round = 0; round < rounds_of(results) && n < ROUNDS_MAX; round++) {
		double value = value_at(results, peer, threads, round, target, column);
		double by = divisor == NULL ?
				    1 :
				    value_at(results, divisor, threads, round, target, column);

		if (value > 0 && by > 0)
			values[n++] = value / by;
	}
	return report_spread(values, n);
}

struct spread report_speed_ratio(const char *from, const char *set, double target, bool threads)
{
	struct spread spread = {0, 0, 0, 0};
	double values[ROUNDS_MAX];
	struct results results;
	char path[4096];
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/%s-curves.tsv", from, set);
	if (results_read(path, &results) != 0)
		return spread;
	if (!threads)
		spread = spread_at(&results, "vecfs", "hnswlib", 1, target, "qps");
	for (unsigned round = 0; threads && round < rounds_of(&results); round++) {
		double one = value_at(&results, "vecfs", 1, round, target, "qps");
		double two = value_at(&results, "vecfs", 2, round, target, "qps");

		if (one > 0 && two > 0 && n < ROUNDS_MAX)
			values[n++] = two / one;
	}
	if (threads)
		spread = report_spread(values, n);
	results_release(&results);
	return spread;
}

static void curve_rows(FILE *out, const struct results *results, unsigned threads, double target)
{
	for (size_t p = 0; p < PEERS; p++) {
		struct spread rate = spread_at(results, peers[p], NULL, threads, target, "qps");
		struct spread busy = spread_at(results, peers[p], NULL, threads, target, "qps_cpu");
		struct spread p99 = spread_at(results, peers[p], NULL, threads, target, "p99_us");
		struct spread ratio = spread_at(results, peers[p], "hnswlib", threads, target,
						"qps");
		struct spread lean = spread_at(results, peers[p], "hnswlib", threads, target,
					       "qps_cpu");

		if (rate.n == 0)
			continue;
		fprintf(out, "| %.2f | %u | %s | %.0f (%.0f – %.0f) | %.0f | %.0f | ", target,
			threads, peers[p], rate.mid, rate.low, rate.high, busy.mid, p99.mid);
		if (p == 1 || ratio.n == 0)
			fprintf(out, "| |\n");
		else
			fprintf(out, "**%.2f** (%.2f – %.2f) | %.2f |\n", ratio.mid, ratio.low,
				ratio.high, lean.mid);
	}
}

static int curve_picture(const struct results *results, const char *set, const char *folder)
{
	static struct chart_point points[2 * PEERS][POINTS_MAX];
	static char labels[2 * PEERS][64];
	struct chart_curve curves[2 * PEERS];
	struct chart chart = {.curves = curves};
	char title[128], note[160], path[4096];

	for (unsigned threads = 1; threads <= 2; threads++)
		for (size_t p = 0; p < PEERS; p++) {
			size_t n = take_points(results, peers[p], threads, points[chart.n]);

			if (n == 0)
				continue;
			snprintf(labels[chart.n], sizeof(labels[0]), "%s, %u thread%s", peers[p],
				 threads, threads > 1 ? "s" : "");
			curves[chart.n] = (struct chart_curve){.label = labels[chart.n],
							       .colour = (unsigned)p,
							       .dashed = threads > 1,
							       .points = points[chart.n],
							       .n = n};
			chart.n++;
		}
	snprintf(title, sizeof(title), "%s: %s vectors of %s dimensions, %s", set,
		 results_value(results, "rows"), results_value(results, "dimensions"),
		 results_value(results, "metric"));
	snprintf(note, sizeof(note),
		 "median of %s rounds, bars from the lowest to the highest; "
		 "up and to the right is better",
		 results_value(results, "rounds"));
	chart.title = title;
	chart.note = note;
	snprintf(path, sizeof(path), "%s/%s.svg", folder, set);
	return chart_write(&chart, path);
}

static int report_curves(FILE *out, const struct results *results, const char *set,
			 const char *folder)
{
	fprintf(out,
		"\n### Recall and speed\n\n![%s](%s.svg)\n\n"
		"%s queries, asked one at a time, %s rounds.\n\n"
		"| recall@10 | threads | index | queries/s: median (range) | /s of processor | "
		"p99 µs | ratio to hnswlib | of processor |\n|---|---|---|---|---|---|---|---|\n",
		set, set, results_value(results, "queries"), results_value(results, "rounds"));
	for (unsigned threads = 1; threads <= 2; threads++)
		for (size_t t = 0; t < sizeof(targets) / sizeof(targets[0]); t++)
			curve_rows(out, results, threads, targets[t]);
	for (size_t p = 0; p < PEERS; p++) {
		for (size_t t = 0; t < sizeof(targets) / sizeof(targets[0]); t++) {
			struct spread one = spread_at(results, peers[p], NULL, 1, targets[t],
						      "qps");
			struct spread two = spread_at(results, peers[p], NULL, 2, targets[t],
						      "qps");

			if (one.n > 0 && two.n > 0)
				fprintf(out, "%s%s at %.2f: 2 threads / 1 thread %.2f.",
					p + t == 0 ? "\n" : " ", peers[p], targets[t],
					two.mid / one.mid);
		}
	}
	fprintf(out, "\n");
	return curve_picture(results, set, folder);
}

/* --- the document --- */

static void machine_lines(FILE *out, const struct results *results)
{
	fprintf(out,
		"\n%s vectors of %s dimensions, %s. Measured at commit %s on %s (family %s, cache of %s), "
		"%s cores, %s kernels, %s, huge pages: %s; %s. Load of the machine before and after: %s, %s.\n",
		results_value(results, "rows"), results_value(results, "dimensions"),
		results_value(results, "metric"), results_value(results, "commit"),
		results_value(results, "model name"), results_value(results, "cpu family"),
		results_value(results, "cache size"), results_value(results, "cores"),
		results_value(results, "kernels"), results_value(results, "system"),
		results_value(results, "huge pages"), results_value(results, "versions"),
		results_value(results, "load before"), results_value(results, "load after"));
}

static int report_part(FILE *out, const char *set, const char *part, const char *from,
		       const char *folder, bool *headed)
{
	struct results results;
	char path[4096];
	int err;

	snprintf(path, sizeof(path), "%s/%s-%s.tsv", from, set, part);
	err = results_read(path, &results);
	if (err != 0)
		return err < 0 ? -1 : 0;
	if (!*headed)
		fprintf(out, "\n## %s\n", set);
	*headed = true;
	if (strcmp(part, "curves") == 0) {
		machine_lines(out, &results);
		err = report_curves(out, &results, set, folder);
	} else {
		report_table(out, &results, part);
	}
	results_release(&results);
	return err;
}

int main(int argc, char **argv)
{
	static const char *const parts[] = {"curves", "build",	"import", "churn",
					    "mount",  "memory", "life"};
	char path[4096];
	int err = 0;
	FILE *out;

	if (argc != 3)
		return 2;
	snprintf(path, sizeof(path), "%s/results.md", argv[2]);
	out = fopen(path, "w");
	if (out == NULL) {
		fprintf(stderr, "%s: cannot be written\n", path);
		return 1;
	}
	fprintf(out, "# vecfs beside other indexes\n\n"
		     "Written by `make bench-ann`; [README.md](README.md) says how to read it.\n");
	report_goals(out, argv[1]);
	for (size_t s = 0; s < sizeof(sets) / sizeof(sets[0]); s++) {
		bool headed = false;

		for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]) && err == 0; p++)
			err = report_part(out, sets[s], parts[p], argv[1], argv[2], &headed);
	}
	if (err == 0)
		err = report_part(out, "large", "life", argv[1], argv[2], &(bool){false});
	return fclose(out) == 0 && err == 0 ? 0 : 1;
}
