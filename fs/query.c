/*
 * query.c - names under /query: the number of neighbours with its options, and vectors as digits.
 * Pure functions of their arguments.
 */
#include "fs/query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fs/vecfmt.h"
#include "store/mem.h"

#define SHOWN 64 /* bytes of a bad name that a sentence repeats */

static const char base64_prefix[] = "b64:";
#define BASE64_PREFIX_LEN (sizeof(base64_prefix) - 1)

static int shown(size_t len)
{
	return (int)(len < SHOWN ? len : SHOWN);
}

static bool same(const char *word, size_t len, const char *expected)
{
	return len == strlen(expected) && memcmp(word, expected, len) == 0;
}

/* A whole number without sign or leading zero, 1 ... max. */
static bool parse_count(const char *digits, size_t len, uint32_t max, uint32_t *value_out)
{
	uint64_t value = 0;

	if (len == 0 || digits[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(digits[i] - '0');
		if (value > max)
			return false;
	}
	*value_out = (uint32_t)value;
	return true;
}

static size_t count_digits(const char *at, size_t len)
{
	size_t n = 0;

	while (n < len && at[n] >= '0' && at[n] <= '9')
		n++;
	return n;
}

/* A finite decimal number such as -1, 0.5 or 2e-3; no hex, no words. */
static bool parse_number(const char *word, size_t len, double *value_out)
{
	char copy[64];
	size_t at = 0, whole, fraction = 0;

	if (len >= sizeof(copy))
		return false;
	if (at < len && (word[at] == '-' || word[at] == '+'))
		at++;
	whole = count_digits(word + at, len - at);
	at += whole;
	if (at < len && word[at] == '.') {
		fraction = count_digits(word + at + 1, len - at - 1);
		at += 1 + fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (at < len && (word[at] == 'e' || word[at] == 'E')) {
		size_t digits;

		at++;
		if (at < len && (word[at] == '-' || word[at] == '+'))
			at++;
		digits = count_digits(word + at, len - at);
		if (digits == 0)
			return false;
		at += digits;
	}
	if (at != len)
		return false;
	memcpy(copy, word, len);
	copy[len] = '\0';
	*value_out = strtod(copy, NULL);
	return isfinite(*value_out);
}

enum option { OPTION_EFFORT = 1, OPTION_EXACT = 2, OPTION_MAX = 4, OPTION_FORMAT = 8 };

static int parse_format(const char *value, size_t len, struct query_spec *spec, struct err_msg *msg)
{
	if (same(value, len, "text"))
		spec->format = QUERY_TEXT;
	else if (same(value, len, "json"))
		spec->format = QUERY_JSON;
	else if (same(value, len, "ids"))
		spec->format = QUERY_IDS;
	else if (same(value, len, "links"))
		spec->format = QUERY_LINKS;
	else
		return err_set(msg, ERR_INVALID,
			       "format=%.*s is not known: use text, json, ids or links", shown(len),
			       value);
	return 0;
}

/* Parses one option; *which_out says which it was. */
static int parse_option(const char *option, size_t len, struct query_spec *spec,
			enum option *which_out, struct err_msg *msg)
{
	const char *equals = memchr(option, '=', len);
	size_t name_len = equals != NULL ? (size_t)(equals - option) : len;
	const char *value = equals != NULL ? equals + 1 : option + len;
	size_t value_len = equals != NULL ? len - name_len - 1 : 0;

	if (equals == NULL && same(option, len, "exact")) {
		*which_out = OPTION_EXACT;
		spec->ann.exact = true;
		return 0;
	}
	if (equals != NULL && same(option, name_len, "effort")) {
		*which_out = OPTION_EFFORT;
		if (!parse_count(value, value_len, ANN_EFFORT_MAX, &spec->ann.effort))
			return err_set(msg, ERR_INVALID,
				       "effort=%.*s is wrong: effort is a whole number 1 ... %u",
				       shown(value_len), value, ANN_EFFORT_MAX);
		return 0;
	}
	if (equals != NULL && same(option, name_len, "max")) {
		*which_out = OPTION_MAX;
		spec->ann.has_max = true;
		if (!parse_number(value, value_len, &spec->ann.max))
			return err_set(msg, ERR_INVALID,
				       "max=%.*s is wrong: max is a number such as 0.5",
				       shown(value_len), value);
		return 0;
	}
	if (equals != NULL && same(option, name_len, "format")) {
		*which_out = OPTION_FORMAT;
		return parse_format(value, value_len, spec, msg);
	}
	return err_set(msg, ERR_INVALID,
		       "%.*s is no option of a query: use effort=N, exact, max=D or "
		       "format=text|json|ids|links",
		       shown(len), option);
}

static size_t until_comma(const char *at, size_t len)
{
	const char *comma = memchr(at, ',', len);

	return comma != NULL ? (size_t)(comma - at) : len;
}

int query_parse_spec(const char *name, size_t len, struct query_spec *spec_out, struct err_msg *msg)
{
	size_t at = until_comma(name, len);
	unsigned seen = 0;

	*spec_out = (struct query_spec){.format = QUERY_TEXT};
	if (!parse_count(name, at, ANN_K_MAX, &spec_out->ann.k))
		return err_set(msg, ERR_INVALID,
			       "%.*s is no number of neighbours: use a whole number 1 ... %u",
			       shown(at), name, ANN_K_MAX);
	while (at < len) {
		const char *option = name + at + 1;
		size_t option_len = until_comma(option, len - at - 1);
		enum option which = 0;
		int rc = parse_option(option, option_len, spec_out, &which, msg);

		if (rc != 0)
			return rc;
		if (seen & which)
			return err_set(msg, ERR_INVALID, "%.*s: this option is given twice",
				       shown(option_len), option);
		seen |= which;
		at += 1 + option_len;
	}
	return 0;
}

static bool is_base64(const char *name, size_t len)
{
	return len >= BASE64_PREFIX_LEN && memcmp(name, base64_prefix, BASE64_PREFIX_LEN) == 0;
}

enum query_name query_classify(const char *name, size_t len)
{
	if (len > 0 && len % 2 == 0 && vecfmt_is_hex(name, len))
		return QUERY_NAME_HEX;
	if (is_base64(name, len))
		return QUERY_NAME_BASE64;
	if (same(name, len, "run"))
		return QUERY_NAME_RUN;
	if (same(name, len, "like"))
		return QUERY_NAME_LIKE;
	return QUERY_NAME_OTHER;
}

/* Makes bytes of result: those of the prefix that stay, and room for `more`. */
static int begin_bytes(const struct query_vector *prefix, size_t stay, size_t more,
		       struct query_vector *result)
{
	result->bytes = mem_alloc(stay + more);
	if (result->bytes == NULL)
		return ERR_NOMEM;
	if (stay > 0)
		memcpy(result->bytes, prefix->bytes, stay);
	return 0;
}

static int extend_hex(const struct query_vector *prefix, const char *name, size_t len,
		      size_t max_bytes, struct query_vector *result)
{
	size_t added;
	int rc;

	if (!vecfmt_hex_size(len, &added) || added == 0 || added > max_bytes - prefix->len)
		return ERR_ABSENT;
	rc = begin_bytes(prefix, prefix->len, added, result);
	if (rc != 0)
		return rc;
	result->len = prefix->len + added;
	return vecfmt_hex(name, len, result->bytes + prefix->len) ? 0 : ERR_ABSENT;
}

/*
 * The digits that the prefix holds and these, filled up to groups of four with digits of 0: what is not 0
 * behind the bytes that the digits are enough for has to be gone on with.
 */
static int extend_base64(const struct query_vector *prefix, const char *name, size_t len,
			 size_t max_bytes, struct query_vector *result)
{
	size_t held = prefix->n_held, digits = held + len, rest = digits % 4;
	size_t stay = prefix->len - (held > 0 ? held - 1 : 0), groups = (digits + 3) / 4;
	char *filled = NULL;
	int rc = ERR_ABSENT;

	result->len = stay + digits / 4 * 3 + (rest > 0 ? rest - 1 : 0);
	/* An odd number of digits ends the vector. */
	if (len == 0 || rest == 1 || held == 3 || result->len > max_bytes)
		return ERR_ABSENT;
	filled = mem_alloc(groups * 4);
	rc = filled != NULL ? begin_bytes(prefix, stay, groups * 3, result) : ERR_NOMEM;
	if (rc != 0)
		goto out;
	memset(filled, 'A', groups * 4);
	memcpy(filled, prefix->held, held);
	memcpy(filled + held, name, len);
	if (!vecfmt_base64(filled, groups * 4, result->bytes + stay))
		rc = ERR_ABSENT;
	for (size_t i = result->len; rc == 0 && i < stay + groups * 3; i++)
		result->open = result->open || result->bytes[i] != 0;
	if (result->open && (rest == 3 || result->len == max_bytes))
		rc = ERR_ABSENT;
	result->n_held = (uint8_t)rest;
	memcpy(result->held, filled + digits - rest, rest);
out:
	mem_free(filled);
	return rc;
}

int query_vector_extend(const struct query_vector *prefix, const char *name, size_t len,
			size_t max_bytes, struct query_vector *result_out)
{
	struct query_vector empty = {0}, result = {0};
	int rc;

	*result_out = (struct query_vector){0};
	if (prefix == NULL)
		prefix = &empty;
	if (prefix->len > max_bytes)
		return ERR_ABSENT;
	result.base64 = prefix->base64;
	if (prefix->len == 0) {
		result.base64 = is_base64(name, len);
		if (result.base64) {
			name += BASE64_PREFIX_LEN;
			len -= BASE64_PREFIX_LEN;
		}
	}
	rc = (result.base64 ? extend_base64 : extend_hex)(prefix, name, len, max_bytes, &result);
	if (rc != 0)
		query_vector_release(&result);
	else
		*result_out = result;
	return rc;
}

void query_vector_release(struct query_vector *vector)
{
	if (vector == NULL)
		return;
	mem_free(vector->bytes);
	*vector = (struct query_vector){0};
}
