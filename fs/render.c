/*
 * render.c - an answer as text. The size is measured first, so that one allocation is enough, and
 * numbers of usual size are written without printf.
 */
#include "fs/query.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "store/mem.h"

#define RANK_DIGITS 3 /* of a link, at least */
#define DIGITS 9      /* significant digits of a distance */
#define NUMBER_MAX QUERY_NUMBER_MAX
#define JSON_EXTRA 24 /* {"id":"","distance":}, and the comma */

static const uint64_t powers[] = {
	1,	  10,	     100,	 1000,	      10000,	    100000,	   1000000,
	10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
};

static char *put_bytes(char *at, const char *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static char *put_number(char *at, uint64_t value)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

/*
 * The decimal digits of value * 10^scale, rounded to a whole number, ties to even, exactly: a
 * double is mantissa * 2^exponent, and for 1e-4 <= value < 1e9 the product fits 128 bits.
 */
static uint64_t scaled(double value, unsigned scale)
{
	uint64_t bits, mantissa;
	unsigned shift;
	unsigned __int128 product, half, rest;
	uint64_t whole;

	memcpy(&bits, &value, sizeof(bits));
	mantissa = (bits & ((1ull << 52) - 1)) | 1ull << 52;
	shift = 1075 - (unsigned)(bits >> 52); /* 23 ... 66; the value has no sign */
	product = (unsigned __int128)mantissa * powers[scale];
	half = (unsigned __int128)1 << (shift - 1);
	rest = product & (half * 2 - 1);
	whole = (uint64_t)(product >> shift);
	if (rest > half || (rest == half && (whole & 1) != 0))
		whole++;
	return whole;
}

/* Writes what "%.9g" would for 1e-4 <= value < 1e9; NULL when rounding would leave that range. */
static char *put_fixed(char *at, double value)
{
	unsigned whole_digits = 0; /* before the point; 0 for values under 1 */
	unsigned scale = DIGITS;   /* digits after the point, before zeros are dropped */
	uint64_t digits;
	uint32_t fraction; /* under 10^DIGITS */

	while (whole_digits < DIGITS && value >= (double)powers[whole_digits])
		whole_digits++;
	scale -= whole_digits;
	for (double limit = 0.1; whole_digits == 0 && value < limit; limit /= 10)
		scale++;
	digits = scaled(value, scale);
	if (digits >= powers[DIGITS]) /* 9.99... became 10: one digit less */
		digits = scale > 0 ? scaled(value, --scale) : digits;
	if (digits >= powers[DIGITS] || digits < powers[DIGITS - 1])
		return NULL;
	at = put_number(at, digits / powers[scale]);
	fraction = (uint32_t)(digits % powers[scale]);
	if (fraction == 0)
		return at;
	*at++ = '.';
	for (unsigned i = scale; i-- > 0; fraction /= 10)
		at[i] = (char)('0' + fraction % 10);
	at += scale;
	while (at[-1] == '0')
		at--;
	return at;
}

char *query_put_number(char *at, double value)
{
	char *end = NULL;

	if (value == 0)
		return put_bytes(at, "0", 1); /* without the sign of a negative zero */
	if (fabs(value) >= 1e-4 && fabs(value) < 1e9) {
		char *start = at;

		if (value < 0)
			*start++ = '-';
		end = put_fixed(start, fabs(value));
	}
	if (end != NULL)
		return end;
	return at + snprintf(at, NUMBER_MAX, "%.*g", DIGITS, value);
}

static size_t json_length(const char *id, size_t len)
{
	size_t n = len;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)id[i];

		if (c < 0x20 || c == 0x7f)
			n += 5;
		else if (c == '"' || c == '\\')
			n += 1;
	}
	return n;
}

static char *put_json_id(char *at, const char *id, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)id[i];

		if (c < 0x20 || c == 0x7f) {
			at = put_bytes(at, "\\u00", 4);
			*at++ = hex[c >> 4];
			*at++ = hex[c & 15];
			continue;
		}
		if (c == '"' || c == '\\')
			*at++ = '\\';
		*at++ = (char)c;
	}
	return at;
}

static char *put_json_hit(char *at, const char *id, const struct ann_hit *hit)
{
	at = put_bytes(at, "{\"id\":\"", 7);
	at = put_json_id(at, id, hit->id_len);
	at = put_bytes(at, "\",\"distance\":", 13);
	/* JSON has no infinity. */
	at = isfinite(hit->distance) ? query_put_number(at, hit->distance) :
				       put_bytes(at, "null", 4);
	return put_bytes(at, "}", 1);
}

/* 001- and so on; with more digits where there are more hits. */
static char *put_rank(char *at, size_t rank, size_t hits)
{
	unsigned digits = RANK_DIGITS;

	while (digits < sizeof(powers) / sizeof(powers[0]) - 1 && hits >= powers[digits])
		digits++;
	while (digits-- > 0)
		*at++ = (char)('0' + rank / powers[digits] % 10);
	*at++ = '-';
	return at;
}

/* The hits of one query. */
static char *put_query(char *at, const struct ann_found *found, size_t query,
		       enum query_format format, bool batch)
{
	if (format == QUERY_JSON)
		*at++ = '[';
	for (size_t i = 0; i < found->n; i++) {
		const struct ann_hit *hit = &found->hits[i];
		const char *id = found->ids + hit->id_at;

		if (format == QUERY_JSON) {
			if (i > 0)
				*at++ = ',';
			at = put_json_hit(at, id, hit);
			continue;
		}
		if (batch) {
			at = put_number(at, query);
			*at++ = format == QUERY_LINKS ? '-' : '\t';
		}
		if (format == QUERY_LINKS)
			at = put_rank(at, i + 1, found->n);
		at = put_bytes(at, id, hit->id_len);
		if (format == QUERY_TEXT) {
			*at++ = '\t';
			at = query_put_number(at, hit->distance);
		}
		*at++ = '\n';
	}
	if (format == QUERY_JSON)
		at = put_bytes(at, "]\n", 2);
	return at;
}

/* Bytes that put_query needs at most. */
static size_t room_of(const struct ann_found *found, enum query_format format, bool batch)
{
	size_t room = 3;

	for (size_t i = 0; i < found->n; i++) {
		const struct ann_hit *hit = &found->hits[i];

		room += format == QUERY_JSON ? json_length(found->ids + hit->id_at, hit->id_len) :
					       hit->id_len;
	}
	return room + found->n * (format == QUERY_JSON ?
					  NUMBER_MAX + JSON_EXTRA :
					  (batch ? NUMBER_MAX : 0) +
						  (format != QUERY_IDS ? NUMBER_MAX : 0) + 1);
}

static struct ann_found found_of(const struct ann_answer *answer, size_t query)
{
	size_t first = answer->first[query];

	return (struct ann_found){answer->hits + first, answer->first[query + 1] - first,
				  answer->ids};
}

int query_render_found(const struct ann_found *found, size_t n, size_t first,
		       enum query_format format, char **text_out, size_t *len_out)
{
	size_t room = 1;
	char *at;

	*len_out = 0;
	for (size_t i = 0; i < n; i++)
		room += room_of(&found[i], format, true);
	*text_out = at = mem_alloc(room);
	if (at == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		at = put_query(at, &found[i], first + i, format, true);
	*at = '\0';
	*len_out = (size_t)(at - *text_out);
	return 0;
}

int query_render(const struct ann_answer *answer, enum query_format format, bool batch,
		 char **text_out, size_t *len_out)
{
	struct ann_found found;
	size_t room = 1;
	char *at;

	*len_out = 0;
	for (size_t i = 0; i < answer->n_queries; i++) {
		found = found_of(answer, i);
		room += room_of(&found, format, batch);
	}
	*text_out = at = mem_alloc(room);
	if (at == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < answer->n_queries; i++) {
		found = found_of(answer, i);
		at = put_query(at, &found, i, format, batch);
	}
	*at = '\0';
	*len_out = (size_t)(at - *text_out);
	return 0;
}
