/*
 * vecio_read.c - reads files of vectors.
 *
 * A header gives row_bytes, and the size of the file must be what rows of that size take: so nothing
 * is allocated that the file does not justify, and what is cut off is found before the first row.
 */
#include "fs/vecio.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "ann/ann.h"
#include "ann/validate.h"
#include "store/base.h"
#include "store/mem.h"

#define BUFFER_BYTES (256u << 10) /* at least one row */

static const struct {
	const char *ending;
	enum vecio_format format;
} formats[] = {
	{".fvecs", VECIO_FVECS}, {".bvecs", VECIO_BVECS}, {".fbin", VECIO_FBIN},
	{".u8bin", VECIO_U8BIN}, {".npy", VECIO_NPY},
};

bool vecio_format_of(const char *path, enum vecio_format *format_out)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = strlen(formats[i].ending);

		if (len > n && path[len - n - 1] != '/' &&
		    strcasecmp(path + len - n, formats[i].ending) == 0) {
			*format_out = formats[i].format;
			return true;
		}
	}
	return false;
}

static uint32_t number_bytes(enum vecio_number number)
{
	switch (number) {
	case VECIO_F32:
		return 4;
	case VECIO_F64:
		return 8;
	case VECIO_F16:
		return 2;
	case VECIO_U8:
	case VECIO_I8:
		return 1;
	}
	return 1;
}

/* Exactly len bytes; the file is known to have them. */
static int take(struct vecio_reader *reader, void *out, size_t len, struct err_msg *msg)
{
	size_t got = 0;
	int rc = reader->source.read(reader->source.ctx, out, len, &got, msg);

	if (rc == 0 && got < len)
		rc = err_set(msg, ERR_INVALID,
			     "%.200s ended before its end: it became shorter while it was read",
			     reader->name);
	return rc;
}

/* --- headers --- */

static int set_dim(struct vecio_reader *reader, uint64_t dim, struct err_msg *msg)
{
	if (dim == 0 || dim > ANN_DIM_MAX)
		return err_set(msg, ERR_INVALID,
			       "%.200s: the header says %llu numbers a vector, 1 to %u are "
			       "possible; is it a file of this kind, little-endian?",
			       reader->name, (unsigned long long)dim, ANN_DIM_MAX);
	reader->dim = (uint32_t)dim;
	reader->row_bytes = (reader->row_headers ? 4 : 0) +
			    reader->dim * number_bytes(reader->number);
	return 0;
}

/* .fvecs and .bvecs: the first row says how long all are. */
static int open_rows(struct vecio_reader *reader, uint8_t *first, struct err_msg *msg)
{
	uint64_t size = reader->source.size, left;
	int rc;

	reader->row_headers = true;
	if (size == 0)
		return 0;
	if (size < 4)
		return err_set(msg, ERR_INVALID,
			       "%.200s has %llu bytes, too few for the dimension of a row",
			       reader->name, (unsigned long long)size);
	rc = take(reader, first, 4, msg);
	if (rc == 0)
		rc = set_dim(reader, get_u32(first), msg);
	if (rc != 0)
		return rc;
	reader->held = 4;
	reader->rows = size / reader->row_bytes;
	left = size % reader->row_bytes;
	if (left != 0)
		return err_set(msg, ERR_INVALID,
			       "%.200s: the last row is cut off: %llu rows of %u bytes (dimension "
			       "%u) are whole, then come %llu bytes; copy the file again",
			       reader->name, (unsigned long long)reader->rows, reader->row_bytes,
			       reader->dim, (unsigned long long)left);
	return 0;
}

/* A header that says how many rows there are, against the bytes behind it. */
static int set_rows(struct vecio_reader *reader, uint64_t rows, uint64_t dim, uint64_t header,
		    struct err_msg *msg)
{
	uint64_t rest = reader->source.size - header;
	int rc = 0;

	if (rows > 0 || dim > 0)
		rc = set_dim(reader, dim, msg);
	if (rc != 0)
		return rc;
	reader->rows = rows;
	if (rows == 0 ? rest == 0 :
			rest / reader->row_bytes == rows && rest % reader->row_bytes == 0)
		return 0;
	if (rows == 0 || rest / reader->row_bytes >= rows)
		return err_set(msg, ERR_INVALID,
			       "%.200s: the header says %llu rows of %u bytes, but %llu bytes "
			       "follow it: more than that; is it a file of this kind?",
			       reader->name, (unsigned long long)rows, reader->row_bytes,
			       (unsigned long long)rest);
	return err_set(msg, ERR_INVALID,
		       "%.200s is cut off: the header says %llu rows of %u bytes, but only %llu "
		       "bytes follow it (%llu whole rows); copy the file again",
		       reader->name, (unsigned long long)rows, reader->row_bytes,
		       (unsigned long long)rest, (unsigned long long)(rest / reader->row_bytes));
}

/* .fbin and .u8bin */
static int open_bin(struct vecio_reader *reader, struct err_msg *msg)
{
	uint8_t header[8];
	int rc;

	if (reader->source.size < sizeof(header))
		return err_set(msg, ERR_INVALID,
			       "%.200s has %llu bytes; rows and dimension alone take 8",
			       reader->name, (unsigned long long)reader->source.size);
	rc = take(reader, header, sizeof(header), msg);
	if (rc == 0)
		rc = set_rows(reader, get_u32(header), get_u32(header + 4), sizeof(header), msg);
	return rc;
}

/* *bytes_out: all of the header; *text_out: bytes of its text. */
static int npy_lengths(struct vecio_reader *reader, uint64_t *bytes_out, uint32_t *text_out,
		       struct err_msg *msg)
{
	static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
	uint8_t fixed[VECIO_NPY_FIXED];
	uint32_t n = 10;
	int rc;

	if (reader->source.size < VECIO_NPY_FIXED)
		return err_set(msg, ERR_INVALID,
			       "%.200s has %llu bytes; an array of numpy has more", reader->name,
			       (unsigned long long)reader->source.size);
	rc = take(reader, fixed, n, msg);
	if (rc != 0)
		return rc;
	if (memcmp(fixed, magic, sizeof(magic)) != 0)
		return err_set(msg, ERR_INVALID,
			       "%.200s is no array of numpy: it does not begin with \\x93NUMPY; "
			       "write it with numpy.save",
			       reader->name);
	if (fixed[6] < 1 || fixed[6] > 3 || fixed[7] != 0)
		return err_set(msg, ERR_INVALID,
			       "%.200s is of version %u.%u of this format; 1.0, 2.0 and 3.0 are "
			       "known",
			       reader->name, fixed[6], fixed[7]);
	if (fixed[6] > 1) {
		rc = take(reader, fixed + n, 2, msg);
		n += 2;
	}
	*text_out = n == 10 ? get_u16(fixed + 8) : get_u32(fixed + 8);
	*bytes_out = (uint64_t)n + *text_out;
	if (rc == 0 && (*text_out > VECIO_NPY_MAX || *bytes_out > reader->source.size))
		rc = err_set(
			msg, ERR_INVALID,
			"%.200s: its header would have %u bytes, the file has %llu and at most "
			"%u are read; it is damaged",
			reader->name, *text_out, (unsigned long long)reader->source.size,
			VECIO_NPY_MAX);
	return rc;
}

static int open_npy(struct vecio_reader *reader, struct err_msg *msg)
{
	struct vecio_npy npy = {0};
	uint32_t len = 0;
	uint64_t header = 0;
	char *text = NULL;
	int rc = npy_lengths(reader, &header, &len, msg);

	if (rc != 0)
		return rc;
	text = mem_alloc(len);
	rc = text == NULL ? ERR_NOMEM : take(reader, text, len, msg);
	if (rc == 0)
		rc = vecio_npy_parse(text, len, reader->name, &npy, msg);
	mem_free(text);
	if (rc != 0)
		return rc;
	reader->number = npy.number;
	return set_rows(reader, npy.rows, npy.dim, header, msg);
}

int vecio_open(struct vecio_reader *reader, enum vecio_format format,
	       const struct vecio_source *source, const char *name, struct err_msg *msg)
{
	uint8_t first[4];
	int rc = 0;

	memset(reader, 0, sizeof(*reader));
	reader->source = *source;
	reader->name = name;
	switch (format) {
	case VECIO_FVECS:
	case VECIO_BVECS:
		reader->number = format == VECIO_FVECS ? VECIO_F32 : VECIO_U8;
		rc = open_rows(reader, first, msg);
		break;
	case VECIO_FBIN:
	case VECIO_U8BIN:
		reader->number = format == VECIO_FBIN ? VECIO_F32 : VECIO_U8;
		rc = open_bin(reader, msg);
		break;
	case VECIO_NPY:
		rc = open_npy(reader, msg);
		break;
	}
	if (rc != 0 || reader->rows == 0)
		return rc;
	reader->buffer = mem_alloc(reader->row_bytes < BUFFER_BYTES ? BUFFER_BYTES :
								      reader->row_bytes);
	if (reader->buffer == NULL)
		return ERR_NOMEM;
	memcpy(reader->buffer, first, reader->held);
	return 0;
}

void vecio_close(struct vecio_reader *reader)
{
	mem_free(reader->buffer);
	reader->buffer = NULL;
}

/* --- numbers --- */

static float from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static float from_half(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
	uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ffu;
	float small;

	if (exponent == 31)
		return from_bits(sign | 0x7f800000u | fraction << 13);
	if (exponent > 0)
		return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
	small = (float)fraction / 16777216.0f; /* 2^24: exact */
	return sign != 0 ? -small : small;
}

static float from_double(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	/* Halfway between the largest float and what would be the next. */
	if (value >= 3.4028235677973366e+38 || value <= -3.4028235677973366e+38)
		return INFINITY;
	return (float)value;
}

static void convert(enum vecio_number number, const uint8_t *from, uint32_t dim, float *out)
{
	for (uint32_t i = 0; i < dim; i++) {
		switch (number) {
		case VECIO_F32:
			out[i] = from_bits(get_u32(from + (size_t)i * 4));
			break;
		case VECIO_F64:
			out[i] = from_double(get_u64(from + (size_t)i * 8));
			break;
		case VECIO_F16:
			out[i] = from_half(get_u16(from + (size_t)i * 2));
			break;
		case VECIO_U8:
			out[i] = from[i];
			break;
		case VECIO_I8:
			out[i] = (float)(from[i] < 128 ? from[i] : from[i] - 256);
			break;
		}
	}
}

/* --- rows --- */

static int read_row(const struct vecio_reader *reader, const uint8_t *row, float *out,
		    struct err_msg *msg)
{
	unsigned long long at = reader->at;
	size_t bad;

	if (reader->row_headers) {
		uint32_t dim = get_u32(row);

		if (dim != reader->dim)
			return err_set(msg, ERR_INVALID,
				       "%.200s: row %llu says it has %u numbers, those before it "
				       "have %u; all must have the same",
				       reader->name, at, dim, reader->dim);
		row += 4;
	}
	convert(reader->number, row, reader->dim, out);
	bad = validate_finite(out, reader->dim);
	if (bad < reader->dim)
		return err_set(msg, ERR_INVALID,
			       "%.200s: row %llu (the first is 0), number %zu of %u is NaN, "
			       "infinite, or too large for float32; all must be finite",
			       reader->name, at, bad + 1, reader->dim);
	return 0;
}

int vecio_read(struct vecio_reader *reader, float *rows_out, size_t cap, size_t *n_out,
	       struct err_msg *msg)
{
	uint64_t left = reader->rows - reader->at;
	size_t n, bytes;
	int rc;

	*n_out = 0;
	if (left == 0 || cap == 0)
		return 0;
	n = BUFFER_BYTES / reader->row_bytes;
	n = n == 0 ? 1 : n;
	n = n < cap ? n : cap;
	n = n < left ? n : (size_t)left;
	bytes = n * reader->row_bytes;
	rc = take(reader, reader->buffer + reader->held, bytes - reader->held, msg);
	reader->held = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = read_row(reader, reader->buffer + i * reader->row_bytes,
			      rows_out + i * reader->dim, msg);
		if (rc == 0) {
			reader->at++;
			(*n_out)++;
		}
	}
	return rc;
}
