/*
 * vecio_npy.c - the header of .npy: a dictionary as Python writes it,
 * {'descr': '<f4', 'fortran_order': False, 'shape': (1000, 128), }, padded with spaces.
 *
 * The three keys may come in any order, each once; nothing else may stand there.
 */
#include "fs/vecio.h"

#include <stdio.h>
#include <string.h>

#include "store/base.h"

#define NPY_ALIGN 64u /* of the rows, as numpy writes them since version 1.14 */

struct parser {
	const char *at, *end;
};

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

struct dictionary {
	char descr[8];
	bool fortran;
	uint64_t shape[2];
	unsigned dims;
	unsigned has;
};

static void skip_space(struct parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t'))
		p->at++;
}

static bool skip_char(struct parser *p, char c)
{
	skip_space(p);
	if (p->at == p->end || *p->at != c)
		return false;
	p->at++;
	return true;
}

static bool skip_word(struct parser *p, const char *word)
{
	size_t len = strlen(word);

	skip_space(p);
	if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
		return false;
	p->at += len;
	return true;
}

/* A string of printable characters, in either kind of quotes; what does not fit is none we know. */
static bool parse_string(struct parser *p, char *out, size_t size)
{
	size_t len = 0;
	char quote;

	skip_space(p);
	if (p->at == p->end || (*p->at != '\'' && *p->at != '"'))
		return false;
	quote = *p->at++;
	while (p->at < p->end && *p->at != quote && *p->at >= ' ' && *p->at <= '~' &&
	       len + 1 < size)
		out[len++] = *p->at++;
	out[len] = '\0';
	return skip_char(p, quote);
}

/* Saturates far above what a file can hold. */
static bool parse_number(struct parser *p, uint64_t *out)
{
	const uint64_t most = UINT64_MAX / 16;
	const char *start;

	skip_space(p);
	start = p->at;
	for (*out = 0; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
		*out = *out >= most ? most : *out * 10 + (uint64_t)(*p->at - '0');
	if (p->at == start)
		return false;
	if (p->at < p->end && *p->at == 'L') /* as Python 2 wrote it */
		p->at++;
	return true;
}

/* dims: 3 stands for all above 2. */
static bool parse_shape(struct parser *p, struct dictionary *d)
{
	uint64_t number;

	if (!skip_char(p, '('))
		return false;
	for (d->dims = 0; !skip_char(p, ')');) {
		if (!parse_number(p, &number))
			return false;
		if (d->dims < 2)
			d->shape[d->dims] = number;
		d->dims = d->dims < 3 ? d->dims + 1 : 3;
		if (!skip_char(p, ',')) /* needed but before the end */
			return skip_char(p, ')');
	}
	return true;
}

static bool parse_value(struct parser *p, const char *key, struct dictionary *d)
{
	unsigned part = 0;
	bool ok = false;

	if (strcmp(key, "descr") == 0) {
		part = HAS_DESCR;
		ok = parse_string(p, d->descr, sizeof(d->descr));
	} else if (strcmp(key, "fortran_order") == 0) {
		part = HAS_ORDER;
		d->fortran = skip_word(p, "True");
		ok = d->fortran || skip_word(p, "False");
	} else if (strcmp(key, "shape") == 0) {
		part = HAS_SHAPE;
		ok = parse_shape(p, d);
	}
	ok = ok && (d->has & part) == 0;
	d->has |= part;
	return ok;
}

static bool parse_dictionary(struct parser *p, struct dictionary *d)
{
	if (!skip_char(p, '{'))
		return false;
	while (!skip_char(p, '}')) {
		char key[16];

		if (!parse_string(p, key, sizeof(key)) || !skip_char(p, ':') ||
		    !parse_value(p, key, d))
			return false;
		if (!skip_char(p, ',')) {
			if (!skip_char(p, '}'))
				return false;
			break;
		}
	}
	skip_space(p);
	return p->at == p->end && d->has == HAS_ALL;
}

static bool number_of(const char *descr, enum vecio_number *number_out)
{
	static const struct {
		const char *descr;
		enum vecio_number number;
	} known[] = {{"<f4", VECIO_F32}, {"<f8", VECIO_F64}, {"<f2", VECIO_F16}, {"|u1", VECIO_U8},
		     {"<u1", VECIO_U8},	 {"|i1", VECIO_I8},  {"<i1", VECIO_I8}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(descr, known[i].descr) == 0) {
			*number_out = known[i].number;
			return true;
		}
	}
	return false;
}

int vecio_npy_parse(const char *text, size_t len, const char *name, struct vecio_npy *npy_out,
		    struct err_msg *msg)
{
	struct parser parser = {text, text + len};
	struct dictionary d = {.has = 0};

	if (!parse_dictionary(&parser, &d))
		return err_set(msg, ERR_INVALID,
			       "%.200s: the header of the array is not understood: byte %zu of its "
			       "dictionary; write the file with numpy.save, without fields",
			       name, (size_t)(parser.at - text));
	if (!number_of(d.descr, &npy_out->number))
		return err_set(msg, ERR_INVALID,
			       "%.200s holds numbers of type %s; <f4, <f8, <f2, |u1 and |i1 can be "
			       "read: convert it with array.astype('<f4')",
			       name, d.descr);
	if (d.dims == 0 || d.dims > 2)
		return err_set(msg, ERR_INVALID,
			       "%.200s has %s dimensions; 2 are expected, rows and numbers, or 1 "
			       "for a single vector",
			       name, d.dims == 0 ? "no" : "more than 2");
	if (d.fortran && d.dims == 2 && d.shape[0] > 1 && d.shape[1] > 1)
		return err_set(msg, ERR_INVALID,
			       "%.200s is stored column by column (Fortran order); save "
			       "numpy.ascontiguousarray of it",
			       name);
	npy_out->rows = d.dims == 2 ? d.shape[0] : 1;
	npy_out->dim = d.shape[d.dims - 1];
	return 0;
}

size_t vecio_npy_print(uint32_t rows, uint32_t dim, uint8_t out[VECIO_HEADER_MAX])
{
	static const uint8_t start[8] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
	char text[VECIO_HEADER_MAX];
	size_t len = (size_t)snprintf(
		text, sizeof(text), "{'descr': '<f4', 'fortran_order': False, 'shape': (%u, %u), }",
		rows, dim);
	size_t all = (size_t)round_up(10 + len + 1, NPY_ALIGN);

	memcpy(out, start, sizeof(start));
	put_u16(out + 8, (uint16_t)(all - 10));
	memcpy(out + 10, text, len);
	memset(out + 10 + len, ' ', all - 10 - len);
	out[all - 1] = '\n';
	return all;
}
