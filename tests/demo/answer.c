/* answer.c - reading and judging the lines of an answer. */
#include "tests/demo/answer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One neighbour at text; the text after it, or NULL. */
static const char *parse_line(const char *text, struct answer *answer)
{
	int length = 0;

	if (answer->count == TRUTH_K ||
	    sscanf(text, "%zu\t%lf%n", &answer->ids[answer->count],
		   &answer->distances[answer->count], &length) != 2 ||
	    text[length] != '\n')
		return NULL;
	answer->count++;
	return text + length + 1;
}

int answer_parse(const char *text, struct answer *answer)
{
	answer->count = 0;
	while (text != NULL && *text != '\0')
		text = parse_line(text, answer);
	return text == NULL ? -1 : 0;
}

int answer_parse_batch(const char *text, struct answer *answers, size_t n)
{
	char line[320];

	for (size_t i = 0; i < n; i++)
		answers[i].count = 0;
	while (*text != '\0') {
		const char *end = strchr(text, '\n');
		size_t query;
		int length = 0;

		if (end == NULL || (size_t)(end - text) >= sizeof(line) - 1)
			return -1;
		memcpy(line, text, (size_t)(end - text) + 1);
		line[end - text + 1] = '\0';
		if (sscanf(line, "%zu\t%n", &query, &length) != 1 || length == 0 || query >= n ||
		    parse_line(line + length, &answers[query]) == NULL)
			return -1;
		text = end + 1;
	}
	return 0;
}

int answer_score(const struct answer *answer, const struct idx *train, const struct idx *test,
		 size_t query, const int32_t *squares)
{
	int found = 0;

	for (size_t i = 0; i < answer->count; i++) {
		int32_t square;
		double distance;

		if (answer->ids[i] >= train->count)
			return -1;
		square = truth_square(train, answer->ids[i], test, query);
		distance = sqrt(square);
		if (fabs(answer->distances[i] - distance) > 1e-5 * distance + 1e-5)
			return -1;
		if (i > 0 && answer->distances[i] < answer->distances[i - 1])
			return -1;
		for (size_t j = 0; j < i; j++)
			if (answer->ids[j] == answer->ids[i])
				return -1;
		found += square <= squares[TRUTH_K - 1];
	}
	return found;
}
