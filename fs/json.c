/*
 * json.c - a vector as text, and back.
 *
 * A text is read by hand up to the end of each number, which then goes through strtof: that rounds
 * once, and the program never leaves the locale "C".
 */
#include "fs/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/query.h"
#include "store/mem.h"

#define SHOWN 24 /* bytes of a wrong word that a sentence repeats */

/* --- writing --- */

/* As query_put_number, but with the sign of a negative zero. */
static char *put(char *at, float number)
{
	if (number == 0 && signbit(number))
		*at++ = '-';
	return query_put_number(at, number);
}

size_t json_size(const float *numbers, size_t n)
{
	char number[QUERY_NUMBER_MAX];
	size_t size = n > 0 ? n + 2 : 3; /* brackets, commas, the line's end */

	for (size_t i = 0; i < n; i++)
		size += (size_t)(put(number, numbers[i]) - number);
	return size;
}

int json_write(const float *numbers, size_t n, char **text_out, size_t *len_out)
{
	char *text = mem_alloc(n * (QUERY_NUMBER_MAX + 1) + 4), *at = text;

	*text_out = text;
	*len_out = 0;
	if (text == NULL)
		return ERR_NOMEM;
	*at++ = '[';
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			*at++ = ',';
		at = put(at, numbers[i]);
	}
	*at++ = ']';
	*at++ = '\n';
	*at = '\0';
	*len_out = (size_t)(at - text);
	return 0;
}

/* --- reading --- */

struct reader {
	const char *text, *at, *end;
	bool comma; /* the last thing read */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end && is_blank(*r->at))
		r->at++;
}

static bool has(const struct reader *r, char c)
{
	return r->at < r->end && *r->at == c;
}

static size_t digits(struct reader *r)
{
	const char *start = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return (size_t)(r->at - start);
}

static bool ends_word(const struct reader *r)
{
	return r->at == r->end || is_blank(*r->at) || *r->at == ',' || *r->at == ']';
}

/* Moves behind a number; false for anything else. */
static bool pass_number(struct reader *r)
{
	size_t n;

	if (has(r, '-') || has(r, '+'))
		r->at++;
	n = digits(r);
	if (has(r, '.')) {
		r->at++;
		n += digits(r);
	}
	if (n == 0)
		return false;
	if (has(r, 'e') || has(r, 'E')) {
		r->at++;
		if (has(r, '-') || has(r, '+'))
			r->at++;
		if (digits(r) == 0)
			return false;
	}
	return ends_word(r);
}

/* A sentence about the word at `from`, which should have been number i. */
static int refuse(const struct reader *r, const char *from, size_t i, const char *what,
		  struct err_msg *msg)
{
	const char *to = from;

	while (to < r->end && to - from < SHOWN && !is_blank(*to) && *to != ',' && *to != ']')
		to++;
	if (to == from && to < r->end)
		to++;
	return err_set(msg, ERR_INVALID, "number %zu, at byte %zu: '%.*s' %s", i + 1,
		       (size_t)(from - r->text), (int)(to - from), from, what);
}

static int read_number(struct reader *r, size_t i, float *number_out, struct err_msg *msg)
{
	const char *from = r->at;

	if (has(r, '['))
		return refuse(r, from, i, "begins another array: write one array of numbers", msg);
	if (has(r, ','))
		return err_set(msg, ERR_INVALID,
			       "number %zu, at byte %zu, is missing: there is a comma where it "
			       "should be",
			       i + 1, (size_t)(from - r->text));
	if (!pass_number(r))
		return refuse(r, from, i, "is no number: use one such as 1, -0.5 or 2e-3", msg);
	*number_out = strtof(from, NULL);
	if (!isfinite(*number_out))
		return refuse(r, from, i, "is beyond the range of float32, which ends at 3.4e38",
			      msg);
	return 0;
}

/* What stands between two numbers. */
static void pass_separator(struct reader *r)
{
	skip_blanks(r);
	r->comma = has(r, ',');
	if (!r->comma)
		return;
	r->at++;
	skip_blanks(r);
}

/* Behind the closing bracket. */
static int read_end(struct reader *r, size_t n, struct err_msg *msg)
{
	if (r->comma)
		return err_set(msg, ERR_INVALID, "number %zu is missing: a comma stands before ]",
			       n + 1);
	r->at++;
	skip_blanks(r);
	if (r->at < r->end)
		return err_set(
			msg, ERR_INVALID,
			"something follows the closing bracket, at byte %zu: write one array",
			(size_t)(r->at - r->text));
	return 0;
}

int json_read(const char *text, size_t len, float *numbers, size_t cap,
	      struct json_vector *vector_out, struct err_msg *msg)
{
	struct reader r = {.text = text, .at = text, .end = text + len};
	bool array = false;
	int rc = 0;

	memset(vector_out, 0, sizeof(*vector_out));
	skip_blanks(&r);
	array = vector_out->array = has(&r, '[');
	if (array) {
		r.at++;
		skip_blanks(&r);
	}
	while (rc == 0 && r.at < r.end && !(array && *r.at == ']')) {
		const char *before = r.at;
		float number = 0;

		rc = read_number(&r, vector_out->n, &number, msg);
		if (rc != 0)
			break;
		if (vector_out->n < cap)
			numbers[vector_out->n] = number;
		vector_out->n++;
		before = r.at;
		pass_separator(&r);
		vector_out->closed = !array && r.at > before && !r.comma;
		if (array && r.at < r.end && *r.at != ']' && !r.comma)
			rc = err_set(msg, ERR_INVALID,
				     "a comma is missing after number %zu, at byte %zu",
				     vector_out->n, (size_t)(before - text));
	}
	vector_out->open = array ? r.at == r.end : r.comma;
	if (rc != 0 || !array || r.at == r.end)
		return rc;
	vector_out->closed = true;
	return read_end(&r, vector_out->n, msg);
}
