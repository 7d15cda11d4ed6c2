/*
 * report_table.c - results whose rows are those of a table already: they are copied, below a heading
 * and a sentence.
 */
#include "tests/bench/report.h"

#include <string.h>

static const struct {
	const char *part, *heading, *sentence;
} sections[] = {
	{"build", "Inserts and memory",
	 "All rows, in ten steps that the indexes take in turn, until each step is linked. One thread: "
	 "the process has one core. vecfs writes its log and its store at the same time. Index bytes: "
	 "codes, links and tables without the vectors; resident: what the process grew by, vectors "
	 "included."},
	{"import", "Bulk load",
	 "`vecfs import` of a file of all rows into an empty store, to the end of the program, when all "
	 "are linked and on disk; beside the seconds that hnswlib took with two threads in the table "
	 "above, which writes nothing."},
	{"churn", "Deletes and inserts",
	 "Four fifths of the rows are there; each cycle deletes a fifth and inserts another. Recall at "
	 "the effort that gave .98 at first."},
	{"mount", "Through the mount",
	 "The same collection in the process and through `run` of a mount, in turn."},
	{"memory", "Little memory",
	 "The process may hold so much memory, page cache included. What is searched was written by "
	 "`vecfs compress`. Waits: calls that wait for all their reads; all figures but the first are of a "
	 "query."},
	{"life", "Import, deletes and inserts within a limit of memory",
	 "Each process may hold so much memory, page cache included; queries one at a time, the truth by a "
	 "scan of what is stored."},
};

void report_table(FILE *out, const struct results *results, const char *part)
{
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (strcmp(part, sections[i].part) == 0)
			fprintf(out, "\n### %s\n\n%s\n\n", sections[i].heading,
				sections[i].sentence);
	for (size_t c = 0; c < results->n_columns; c++)
		fprintf(out, "| %s ", results->columns[c]);
	fprintf(out, "|\n");
	for (size_t c = 0; c < results->n_columns; c++)
		fprintf(out, "|---");
	fprintf(out, "|\n");
	for (size_t row = 0; row < results->n_rows; row++) {
		for (size_t c = 0; c < results->n_columns; c++)
			fprintf(out, "| %s ", results->rows[row][c]);
		fprintf(out, "|\n");
	}
	if (results_value(results, "limit, bytes")[0] != '\0')
		fprintf(out, "\n%s vectors of %s dimensions, limit %s bytes, codes of %s bits.\n",
			results_value(results, "rows"), results_value(results, "dimensions"),
			results_value(results, "limit, bytes"),
			results_value(results, "code bits"));
	fprintf(out, "\nCommit %s; load before and after: %s, %s.\n",
		results_value(results, "commit"), results_value(results, "load before"),
		results_value(results, "load after"));
}
