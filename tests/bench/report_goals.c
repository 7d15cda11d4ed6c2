/*
 * report_goals.c - one table: what vecfs is to reach, and what was measured. Figures come from the
 * files of results that are there; what was not measured is said.
 */
#include "tests/bench/report.h"

#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 512u

/* Values of a column, in the rows whose fields `where` are as given (up to two pairs, NULL ends). */
struct wanted {
	const char *set, *part, *column;
	const char *where[5];
};

static bool fits(const struct results *results, size_t row, const char *const *where)
{
	for (; where[0] != NULL; where += 2)
		if (strcmp(results_field(results, row, where[0]), where[1]) != 0)
			return false;
	return true;
}

/* n of the spread is 0 when nothing is there. */
static struct spread spread_of(const char *from, const struct wanted *wanted)
{
	struct spread spread = {0, 0, 0, 0};
	double values[VALUES_MAX];
	struct results results;
	char path[4096];
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/%s-%s.tsv", from, wanted->set, wanted->part);
	if (results_read(path, &results) != 0)
		return spread;
	for (size_t row = 0; row < results.n_rows && n < VALUES_MAX; row++)
		if (fits(&results, row, wanted->where) &&
		    results_field(&results, row, wanted->column)[0] != '\0')
			values[n++] = results_number(&results, row, wanted->column);
	results_release(&results);
	return report_spread(values, n);
}

static void goal_line(FILE *out, const char *what, const char *must, const char *aim,
		      struct spread found, const char *format)
{
	char number[64];

	fprintf(out, "| %s | %s | %s | ", what, must, aim);
	if (found.n == 0) {
		fprintf(out, "not measured |\n");
		return;
	}
	snprintf(number, sizeof(number), format, found.mid);
	fprintf(out, "**%s**", number);
	if (found.n > 1) {
		snprintf(number, sizeof(number), format, found.low);
		fprintf(out, " (%s – ", number);
		snprintf(number, sizeof(number), format, found.high);
		fprintf(out, "%s)", number);
	}
	fprintf(out, " |\n");
}

static void speed_goals(FILE *out, const char *from)
{
	static const struct {
		const char *set, *what;
		const char *must[2], *aim[2];
	} goals[] = {
		{"fashion", "fashion, queries/s", {"≥ 1.6", "≥ 1.9"}, {"2.4", "3.1"}},
		{"glove", "glove, queries/s", {"≥ 1.35", "≥ 1.15"}, {"2.1", "2.4"}},
		{"synth", "synth, queries/s", {"≥ 1.3", "≥ 1.1"}, {"1.9", "1.9"}},
	};

	for (size_t i = 0; i < sizeof(goals) / sizeof(goals[0]); i++)
		for (unsigned t = 0; t < 2; t++) {
			double target = t == 0 ? 0.95 : 0.99;
			char what[128];

			snprintf(what, sizeof(what), "%s at recall@10 %.2f, against hnswlib",
				 goals[i].what, target);
			goal_line(out, what, goals[i].must[t], goals[i].aim[t],
				  report_speed_ratio(from, goals[i].set, target, false), "%.2f");
		}
	for (unsigned t = 0; t < 2; t++)
		goal_line(out,
			  t == 0 ? "fashion, queries/s at .95: 2 threads / 1 thread" :
				   "fashion, queries/s at .99: 2 threads / 1 thread",
			  "≥ 1.7", "1.95",
			  report_speed_ratio(from, "fashion", t == 0 ? 0.95 : 0.99, true), "%.2f");
}

static struct spread build_figure(const char *from, const char *set, const char *index,
				  const char *threads, const char *column)
{
	struct wanted wanted = {set, "build", column, {"index", index, "threads", threads, NULL}};

	return spread_of(from, &wanted);
}

static struct spread quotient(struct spread a, struct spread b)
{
	struct spread none = {0, 0, 0, 0};

	if (a.n == 0 || b.n == 0 || b.mid <= 0)
		return none;
	return (struct spread){a.mid / b.mid, a.mid / b.mid, a.mid / b.mid, 1};
}

static void insert_goals(FILE *out, const char *from)
{
	static const char *const sets[] = {"fashion", "glove", "synth"};

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct spread one = build_figure(from, sets[i], "vecfs", "1", "inserts/s");
		char what[128];

		snprintf(what, sizeof(what), "%s, inserts/s, one thread, against hnswlib", sets[i]);
		goal_line(out, what, "≥ 2.0", "2.7",
			  quotient(one, build_figure(from, sets[i], "hnswlib", "1", "inserts/s")),
			  "%.2f");
		snprintf(what, sizeof(what), "%s, inserts/s: 2 threads / 1 thread", sets[i]);
		goal_line(out, what, "≥ 1.7", "1.95",
			  quotient(build_figure(from, sets[i], "vecfs", "2", "inserts/s"), one),
			  "%.2f");
	}
	goal_line(out, "fashion, bytes of index a vector", "≤ 700", "400",
		  build_figure(from, "fashion", "vecfs", "2", "index bytes a vector"), "%.0f");
	goal_line(out, "synth, bytes of index a vector", "≤ 350", "200",
		  build_figure(from, "synth", "vecfs", "2", "index bytes a vector"), "%.0f");
}

/* Points of recall between the fresh index and the last cycle. */
static struct spread churn_loss(const char *from, const char *set)
{
	struct wanted fresh = {
		set, "churn", "recall@10", {"index", "vecfs", "after", "fresh", NULL}};
	struct wanted last = {
		set, "churn", "recall@10", {"index", "vecfs", "after", "cycle 5", NULL}};
	struct spread a = spread_of(from, &fresh), b = spread_of(from, &last);
	double lost = (b.mid - a.mid) * 100;

	return (struct spread){lost, lost, lost, a.n > 0 && b.n > 0 ? 1 : 0};
}

static void memory_goal(FILE *out, const char *from, const char *set, const char *wanted,
			const char *must, const char *aim)
{
	struct wanted ratio = {set, "memory", "ratio", {NULL}};
	struct wanted share = {set, "memory", "of the vectors", {NULL}};
	struct spread had = spread_of(from, &share);
	char what[160], measured[64] = "";

	if (had.n > 0)
		snprintf(measured, sizeof(measured), " (measured at %.0f %%)", had.mid * 100);
	snprintf(what, sizeof(what), "%s, memory for %s%s: mean time / random read of 4 KiB", set,
		 wanted, measured);
	goal_line(out, what, must, aim, spread_of(from, &ratio), "%.1f");
}

void report_goals(FILE *out, const char *from)
{
	struct wanted hundred = {
		"fashion", "mount", "ratio", {"query", "batch", "in a batch", "100", NULL}};
	struct wanted thousand = {
		"fashion", "mount", "ratio", {"query", "batch", "in a batch", "1000", NULL}};
	struct wanted single = {
		"fashion", "mount", "ratio", {"query", "single", "in a batch", "1", NULL}};
	struct wanted load = {"synth", "import", "ratio", {NULL}};

	fprintf(out, "\n## Goals\n\n"
		     "What was to be reached, what the best single-purpose index was seen to reach "
		     "(aim), and what was measured: median (lowest – highest).\n\n"
		     "| | must | aim | measured |\n|---|---|---|---|\n");
	speed_goals(out, from);
	insert_goals(out, from);
	goal_line(out,
		  "fashion, 5 cycles of 20 % churn at the effort that gave .98, points of recall",
		  "≥ −0.5", "−0.2", churn_loss(from, "fashion"), "%.2f");
	goal_line(out, "fashion, batch of 100 by `run`, against in the process", "≥ 0.95", "1.0",
		  spread_of(from, &hundred), "%.2f");
	goal_line(out, "fashion, batch of 1,000 by `run`, against in the process", "≥ 0.95", "1.0",
		  spread_of(from, &thousand), "%.2f");
	goal_line(out, "fashion, one query by `run` / (in the process + 2 null round trips)",
		  "≤ 1.3", "1.1", spread_of(from, &single), "%.2f");
	memory_goal(out, from, "fashion", "15 % of the vectors, recall .98", "≤ 14", "8");
	memory_goal(out, from, "synth", "10 % of the vectors, recall .95", "≤ 17", "10");
	goal_line(out, "synth, import with 2 threads / hnswlib's build", "≤ 0.6", "0.5",
		  spread_of(from, &load), "%.2f");
}
