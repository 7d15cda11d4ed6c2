/*
 * results.c - reads the whole file and cuts it in place.
 */
#include "tests/bench/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/mem.h"

static char empty[] = "";

static int read_text(FILE *file, char **text_out)
{
	size_t cap = 0, n = 0, got;

	do {
		if (mem_grow((void **)text_out, &cap, n + 65536, 1) != 0)
			return -1;
		got = fread(*text_out + n, 1, cap - n - 1, file);
		n += got;
	} while (got > 0);
	(*text_out)[n] = '\0';
	return 0;
}

/* Cuts line at its tabs into at most RESULTS_COLUMNS fields, all others "". */
static size_t cut(char *line, char *fields[RESULTS_COLUMNS])
{
	size_t n = 0;

	for (size_t i = 0; i < RESULTS_COLUMNS; i++)
		fields[i] = empty;
	while (line != NULL && n < RESULTS_COLUMNS)
		fields[n++] = strsep(&line, "\t");
	return n;
}

static int add_line(struct results *results, char *line)
{
	if (line[0] == '\0')
		return 0;
	if (line[0] == '#' && line[1] == ' ') {
		char *value = strchr(line, '\t');

		if (value == NULL)
			return 0;
		*value++ = '\0';
		if (mem_grow((void **)&results->keys, &results->cap_keys, results->n_keys + 1,
			     sizeof(*results->keys)) != 0 ||
		    mem_grow((void **)&results->values, &results->cap_values, results->n_keys + 1,
			     sizeof(*results->values)) != 0)
			return -1;
		results->keys[results->n_keys] = line + 2;
		results->values[results->n_keys++] = value;
		return 0;
	}
	if (results->n_columns == 0) {
		results->n_columns = cut(line, results->columns);
		return 0;
	}
	if (mem_grow((void **)&results->rows, &results->cap_rows, results->n_rows + 1,
		     sizeof(*results->rows)) != 0)
		return -1;
	(void)cut(line, results->rows[results->n_rows++]);
	return 0;
}

int results_read(const char *path, struct results *results)
{
	FILE *file = fopen(path, "r");
	char *rest;
	int err;

	memset(results, 0, sizeof(*results));
	if (file == NULL)
		return 1;
	err = read_text(file, &results->text);
	fclose(file);
	rest = results->text;
	while (err == 0 && rest != NULL)
		err = add_line(results, strsep(&rest, "\n"));
	if (err == 0 && results->n_rows > 0)
		return 0;
	if (err != 0)
		fprintf(stderr, "%s: memory is short\n", path);
	results_release(results);
	return err != 0 ? -1 : 1;
}

void results_release(struct results *results)
{
	mem_free(results->text);
	mem_free(results->keys);
	mem_free(results->values);
	mem_free(results->rows);
	memset(results, 0, sizeof(*results));
}

const char *results_value(const struct results *results, const char *key)
{
	for (size_t i = 0; i < results->n_keys; i++)
		if (strcmp(results->keys[i], key) == 0)
			return results->values[i];
	return "";
}

const char *results_field(const struct results *results, size_t row, const char *column)
{
	for (size_t i = 0; i < results->n_columns; i++)
		if (strcmp(results->columns[i], column) == 0)
			return results->rows[row][i];
	return "";
}

double results_number(const struct results *results, size_t row, const char *column)
{
	return strtod(results_field(results, row, column), NULL);
}
