/*
 * Files that are imported. Whatever the bytes, a reader gives rows of finite numbers that fit the
 * header and the size of the file, or a sentence; what it gives is the same when it is written and
 * read again. Lines of ids are each judged, counted and compared.
 */
#include "fs/import_ids.h"
#include "fs/vecio.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ann/ann.h"
#include "store/base.h"
#include "tests/fuzz/fuzz.h"

#define NUMBERS_MAX 65536u

/* What is left of a file. */
struct bytes {
	const uint8_t *at;
	size_t left;
};

static int give(void *ctx, void *buf, size_t len, size_t *got_out, struct err_msg *msg)
{
	struct bytes *bytes = ctx;

	(void)msg;
	*got_out = len < bytes->left ? len : bytes->left;
	if (*got_out > 0)
		memcpy(buf, bytes->at, *got_out);
	bytes->at += *got_out;
	bytes->left -= *got_out;
	return 0;
}

/* All rows up to the first that is wrong; *n_out of them. Returns what ended it. */
static int read_rows(struct vecio_reader *reader, size_t cap, float *out, size_t *n_out,
		     struct err_msg *msg)
{
	size_t n, room = reader->dim > 0 ? NUMBERS_MAX / reader->dim : 0;
	int rc;

	*n_out = 0;
	do {
		size_t want = room - *n_out < cap ? room - *n_out : cap;

		rc = vecio_read(reader, out + *n_out * reader->dim, want, &n, msg);
		FUZZ_ASSERT(n <= want && rc <= 0);
		*n_out += n;
		FUZZ_ASSERT(reader->at == *n_out && reader->at <= reader->rows);
		FUZZ_ASSERT(rc != 0 || n > 0 || want == 0 || reader->at == reader->rows);
	} while (rc == 0 && n > 0);
	for (size_t i = 0; i < *n_out * reader->dim; i++)
		FUZZ_ASSERT(isfinite(out[i]));
	return rc;
}

/* Written as another file and read again, the rows are the same. */
static void check_again(enum vecio_format format, const float *rows, size_t n, uint32_t dim)
{
	uint8_t *file = malloc(VECIO_HEADER_MAX + n * (4 + (size_t)dim * 4));
	float *again = malloc(NUMBERS_MAX * sizeof(*again));
	size_t len = vecio_put_header(format, (uint32_t)n, dim, file), got;
	struct vecio_reader reader;
	struct err_msg msg = {{0}};
	struct bytes bytes;
	struct vecio_source source = {give, &bytes, 0};

	for (size_t i = 0; i < n; i++)
		len += vecio_put_row(format, rows + i * dim, dim, file + len);
	bytes = (struct bytes){file, len};
	source.size = len;
	FUZZ_ASSERT(vecio_open(&reader, format, &source, "again", &msg) == 0);
	FUZZ_ASSERT(reader.rows == n && (n == 0 || reader.dim == dim));
	FUZZ_ASSERT(read_rows(&reader, 3, again, &got, &msg) == 0 && got == n);
	FUZZ_ASSERT(n == 0 || memcmp(rows, again, n * dim * 4) == 0);
	vecio_close(&reader);
	free(again);
	free(file);
}

/* lies: how much longer the file is said to be than it is. */
static void check_file(enum vecio_format format, const uint8_t *data, size_t len, size_t cap,
		       size_t lies)
{
	struct bytes bytes = {data, len};
	struct vecio_source source = {give, &bytes, len + lies};
	float *rows = malloc(NUMBERS_MAX * sizeof(*rows));
	struct err_msg msg = {{0}};
	struct vecio_reader reader;
	size_t n = 0;
	int rc = vecio_open(&reader, format, &source, "input", &msg);

	if (rc == 0) {
		FUZZ_ASSERT(reader.dim <= ANN_DIM_MAX && (reader.rows == 0 || reader.dim > 0));
		FUZZ_ASSERT(reader.rows <= len + lies);
		rc = read_rows(&reader, cap, rows, &n, &msg);
		FUZZ_ASSERT(rc != 0 || lies == 0 || n * reader.dim <= NUMBERS_MAX);
	}
	FUZZ_ASSERT(rc == 0 || msg.text[0] != '\0');
	if (rc == 0 && n == reader.rows) {
		check_again(VECIO_FVECS, rows, n, reader.dim);
		check_again(VECIO_FBIN, rows, n, reader.dim);
		check_again(VECIO_NPY, rows, n, reader.dim);
	}
	vecio_close(&reader);
	free(rows);
}

/* The input is the dictionary of an array, and what it asks for follows, up to a bound. */
static void check_array(const uint8_t *data, size_t len)
{
	const size_t room = 12 + len + 4096;
	uint8_t *file = malloc(room);
	static const uint8_t start[8] = {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0};
	struct vecio_npy npy;
	struct err_msg msg = {{0}};
	size_t all = 12 + len;

	memset(file, 1, room);
	memcpy(file, start, sizeof(start));
	put_u32(file + 8, (uint32_t)len);
	if (len > 0)
		memcpy(file + 12, data, len);
	if (vecio_npy_parse((char *)file + 12, len, "input", &npy, &msg) == 0 && npy.dim <= 64 &&
	    npy.rows <= 8)
		all += npy.rows * npy.dim * 8 <= 4096 ? npy.rows * npy.dim *
								(npy.number == VECIO_F64 ? 8 :
								 npy.number == VECIO_F32 ? 4 :
								 npy.number == VECIO_F16 ? 2 :
											   1) :
							0;
	check_file(VECIO_NPY, file, all, 2, 0);
	free(file);
}

static void check_ids(const char *text, size_t len)
{
	uint64_t lines = 0, skipped = 0;
	struct import_ids ids;
	struct err_msg msg = {{0}};
	const char *id, *end = text;
	bool skip;
	size_t n;
	int rc = import_ids_init(&ids, text, len, "input", &msg);

	FUZZ_ASSERT(rc == 0 || msg.text[0] != '\0');
	while (rc == 0 && import_ids_next(&ids, &id, &n, &skip)) {
		FUZZ_ASSERT(id == end && ann_validate_id(id, n, NULL) == 0);
		end = id + n;
		FUZZ_ASSERT(end == text + len || *end == '\n');
		end += end < text + len;
		skipped += skip;
		lines++;
	}
	FUZZ_ASSERT(rc != 0 || (end == text + len && lines == ids.n && skipped == ids.superseded));
	import_ids_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum vecio_format formats[] = {VECIO_FVECS, VECIO_BVECS, VECIO_FBIN,
						    VECIO_U8BIN, VECIO_NPY};
	struct fuzz_input in = {data, size};
	uint8_t what = fuzz_u8(&in), how = fuzz_u8(&in);
	size_t len;
	uint8_t *bytes = fuzz_copy(&in, in.left, &len);

	if (what % 8 < 5)
		check_file(formats[what % 8], bytes, len, 1 + how % 16, what >= 128 ? how : 0);
	else if (what % 8 == 5)
		check_array(bytes, len);
	else
		check_ids((char *)bytes, len);
	free(bytes);
	return 0;
}
