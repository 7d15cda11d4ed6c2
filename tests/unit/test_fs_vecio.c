/* Files of vectors: what is read of good ones, what is said of hostile ones, what is written. */
#include "fs/vecio.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base.h"

/* A file in memory. */
struct file {
	uint8_t bytes[4096];
	size_t len, at;
	size_t ends; /* it ends here while it is read, whatever its size was; 0: at len */
};

static struct err_msg msg;

static int read_file(void *ctx, void *buf, size_t len, size_t *got_out, struct err_msg *said)
{
	struct file *file = ctx;
	size_t end = file->ends != 0 ? file->ends : file->len;

	(void)said;
	*got_out = end - file->at < len ? end - file->at : len;
	memcpy(buf, file->bytes + file->at, *got_out);
	file->at += *got_out;
	return 0;
}

static int open_file(struct file *file, enum vecio_format format, struct vecio_reader *reader)
{
	struct vecio_source source = {read_file, file, file->len};

	file->at = 0;
	msg.text[0] = '\0';
	return vecio_open(reader, format, &source, "the-file", &msg);
}

static void add(struct file *file, const void *bytes, size_t len)
{
	assert_true(file->len + len <= sizeof(file->bytes));
	memcpy(file->bytes + file->len, bytes, len);
	file->len += len;
}

static void add_u32(struct file *file, uint32_t v)
{
	uint8_t bytes[4];

	put_u32(bytes, v);
	add(file, bytes, sizeof(bytes));
}

static void add_float(struct file *file, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	add_u32(file, bits);
}

/* An array with this dictionary; version 1 or higher. */
static void add_npy(struct file *file, unsigned version, const char *text)
{
	uint8_t fixed[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (uint8_t)version, 0};
	size_t len = strlen(text);

	if (version == 1)
		put_u16(fixed + 8, (uint16_t)len);
	else
		put_u32(fixed + 8, (uint32_t)len);
	add(file, fixed, version == 1 ? 10 : 12);
	add(file, text, len);
}

/* Everything is read, `cap` rows at a time. */
static size_t read_all(struct vecio_reader *reader, size_t cap, float *out)
{
	size_t all = 0, n;

	do {
		assert_int_equal(vecio_read(reader, out + all * reader->dim, cap, &n, &msg), 0);
		all += n;
	} while (n > 0);
	assert_int_equal(all, reader->rows);
	return all;
}

/* The file is refused at opening, with these words and its name. */
static void refused(struct file *file, enum vecio_format format, const char *words)
{
	struct vecio_reader reader;
	int rc = open_file(file, format, &reader);

	vecio_close(&reader);
	assert_int_equal(rc, ERR_INVALID);
	assert_non_null(strstr(msg.text, "the-file"));
	if (strstr(msg.text, words) == NULL)
		fail_msg("'%s' is not in '%s'", words, msg.text);
}

/* Opening is fine; reading gives `good` rows and then these words. */
static void refused_later(struct file *file, enum vecio_format format, size_t good,
			  const char *words)
{
	struct vecio_reader reader;
	float out[1024];
	size_t n = 0, all = 0;
	int rc = open_file(file, format, &reader);

	assert_int_equal(rc, 0);
	while (rc == 0) {
		rc = vecio_read(&reader, out, 1, &n, &msg);
		all += n;
		assert_true(all <= good);
	}
	vecio_close(&reader);
	assert_int_equal(rc, ERR_INVALID);
	assert_int_equal(all, good);
	if (strstr(msg.text, words) == NULL)
		fail_msg("'%s' is not in '%s'", words, msg.text);
}

/* --- good files --- */

static void names_say_the_format(void **state)
{
	enum vecio_format format;

	(void)state;
	assert_true(vecio_format_of("a/b.fvecs", &format) && format == VECIO_FVECS);
	assert_true(vecio_format_of("b.bvecs", &format) && format == VECIO_BVECS);
	assert_true(vecio_format_of("b.fbin", &format) && format == VECIO_FBIN);
	assert_true(vecio_format_of("b.u8bin", &format) && format == VECIO_U8BIN);
	assert_true(vecio_format_of("b.x.NPY", &format) && format == VECIO_NPY);
	assert_false(vecio_format_of("b.npz", &format));
	assert_false(vecio_format_of("npy", &format));
	assert_false(vecio_format_of(".npy", &format));
	assert_false(vecio_format_of("a/.npy", &format));
	assert_false(vecio_format_of("", &format));
	assert_true(vecio_can_write(VECIO_FVECS) && vecio_can_write(VECIO_FBIN) &&
		    vecio_can_write(VECIO_NPY));
	assert_false(vecio_can_write(VECIO_BVECS) || vecio_can_write(VECIO_U8BIN));
}

static void rows_with_headers(void **state)
{
	struct vecio_reader reader;
	struct file file = {.len = 0};
	float out[32];

	(void)state;
	for (int row = 0; row < 5; row++) {
		add_u32(&file, 3);
		for (int i = 0; i < 3; i++)
			add_float(&file, (float)row + (float)i / 8);
	}
	for (size_t cap = 1; cap <= 6; cap++) {
		assert_int_equal(open_file(&file, VECIO_FVECS, &reader), 0);
		assert_int_equal(reader.dim, 3);
		assert_int_equal(read_all(&reader, cap, out), 5);
		for (int i = 0; i < 15; i++)
			assert_true(out[i] == (float)(i / 3) + (float)(i % 3) / 8);
		vecio_close(&reader);
	}
}

static void bytes_become_numbers(void **state)
{
	static const uint8_t bytes[4] = {0, 1, 128, 255};
	static const float unsigned_ones[4] = {0, 1, 128, 255}, signed_ones[4] = {0, 1, -128, -1};
	struct vecio_reader reader;
	struct file rows = {.len = 0}, bin = {.len = 0}, npy = {.len = 0};
	float out[8];

	(void)state;
	add_u32(&rows, 4);
	add(&rows, bytes, 4);
	assert_int_equal(open_file(&rows, VECIO_BVECS, &reader), 0);
	assert_int_equal(read_all(&reader, 2, out), 1);
	assert_memory_equal(out, unsigned_ones, sizeof(unsigned_ones));
	vecio_close(&reader);
	add_u32(&bin, 2);
	add_u32(&bin, 2);
	add(&bin, bytes, 4);
	assert_int_equal(open_file(&bin, VECIO_U8BIN, &reader), 0);
	assert_int_equal(read_all(&reader, 3, out), 2);
	assert_memory_equal(out, unsigned_ones, sizeof(unsigned_ones));
	vecio_close(&reader);
	add_npy(&npy, 1, "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2), }\n");
	add(&npy, bytes, 4);
	assert_int_equal(open_file(&npy, VECIO_NPY, &reader), 0);
	assert_int_equal(read_all(&reader, 1, out), 2);
	assert_memory_equal(out, signed_ones, sizeof(signed_ones));
	vecio_close(&reader);
}

static void halves_and_doubles(void **state)
{
	static const struct {
		uint16_t bits;
		float value;
	} halves[] = {{0x0000, 0},	   {0x3c00, 1},		 {0xc000, -2},
		      {0x7bff, 65504},	   {0x0400, 0x1p-14f},	 {0x03ff, 1023 * 0x1p-24f},
		      {0x8001, -0x1p-24f}, {0x3555, 0x1.554p-2f}};
	const size_t n = sizeof(halves) / sizeof(halves[0]);
	const double doubles[2] = {1.0 / 3, -3.4028235e38};
	struct vecio_reader reader;
	struct file half = {.len = 0}, wide = {.len = 0};
	float out[16];

	(void)state;
	add_npy(&half, 2, "{'shape': (8,), 'fortran_order': False, 'descr': '<f2'}");
	for (size_t i = 0; i < n; i++) {
		uint8_t bytes[2];

		put_u16(bytes, halves[i].bits);
		add(&half, bytes, 2);
	}
	assert_int_equal(open_file(&half, VECIO_NPY, &reader), 0);
	assert_int_equal(read_all(&reader, 1, out), 1);
	for (size_t i = 0; i < n; i++)
		assert_true(out[i] == halves[i].value);
	vecio_close(&reader);
	add_npy(&wide, 3, "{\"descr\":\"<f8\",\"fortran_order\":False,\"shape\":(1L,2L,)}");
	for (size_t i = 0; i < 2; i++) {
		uint8_t bytes[8];
		uint64_t bits;

		memcpy(&bits, &doubles[i], 8);
		put_u64(bytes, bits);
		add(&wide, bytes, 8);
	}
	assert_int_equal(open_file(&wide, VECIO_NPY, &reader), 0);
	assert_int_equal(read_all(&reader, 1, out), 1);
	assert_true(out[0] == (float)doubles[0] && out[1] == (float)doubles[1]);
	vecio_close(&reader);
}

static void files_without_rows(void **state)
{
	struct vecio_reader reader;
	struct file empty = {.len = 0}, bin = {.len = 0}, npy = {.len = 0};
	float out[4];

	(void)state;
	add_u32(&bin, 0);
	add_u32(&bin, 3);
	add_npy(&npy, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }");
	assert_int_equal(open_file(&empty, VECIO_FVECS, &reader), 0);
	assert_int_equal(read_all(&reader, 1, out), 0);
	vecio_close(&reader);
	assert_int_equal(open_file(&bin, VECIO_FBIN, &reader), 0);
	assert_int_equal(read_all(&reader, 1, out), 0);
	vecio_close(&reader);
	assert_int_equal(open_file(&npy, VECIO_NPY, &reader), 0);
	assert_int_equal(read_all(&reader, 1, out), 0);
	vecio_close(&reader);
}

/* What is written is read again, whatever the format. */
static void written_is_read(void **state)
{
	static const enum vecio_format formats[] = {VECIO_FVECS, VECIO_FBIN, VECIO_NPY};
	static const float rows[6] = {1.5f, -2, 3e38f, 1e-45f, -0.0f, 7};

	(void)state;
	for (size_t f = 0; f < 3; f++) {
		struct file file = {.len = 0};
		struct vecio_reader reader;
		uint8_t bytes[VECIO_HEADER_MAX];
		float out[6];
		size_t header = vecio_put_header(formats[f], 2, 3, bytes);

		assert_true(formats[f] != VECIO_NPY || header % 64 == 0);
		add(&file, bytes, header);
		for (size_t i = 0; i < 2; i++)
			add(&file, bytes, vecio_put_row(formats[f], rows + i * 3, 3, bytes));
		assert_int_equal(open_file(&file, formats[f], &reader), 0);
		assert_int_equal(read_all(&reader, 2, out), 2);
		assert_memory_equal(out, rows, sizeof(rows));
		vecio_close(&reader);
	}
}

static void header_of_an_array(void **state)
{
	uint8_t out[VECIO_HEADER_MAX];
	struct vecio_npy npy;

	(void)state;
	assert_int_equal(vecio_npy_print(7, 128, out), 128);
	assert_memory_equal(out, "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, ",
			    51);
	assert_int_equal(out[127], '\n');
	assert_int_equal(vecio_npy_print(UINT32_MAX - 1, 16384, out), 128);
	assert_int_equal(vecio_npy_parse((char *)out + 10, 118, "x", &npy, &msg), 0);
	assert_true(npy.rows == UINT32_MAX - 1 && npy.dim == 16384 && npy.number == VECIO_F32);
}

/* --- hostile files --- */

static void dimensions_out_of_range(void **state)
{
	static const uint32_t bad[] = {0, 16385, 0x80000000u, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct file rows = {.len = 0}, bin = {.len = 0};

		add_u32(&rows, bad[i]);
		add_u32(&rows, 1);
		refused(&rows, VECIO_FVECS, "numbers a vector");
		refused(&rows, VECIO_BVECS, "numbers a vector");
		add_u32(&bin, 1);
		add_u32(&bin, bad[i]);
		add_u32(&bin, 1);
		refused(&bin, VECIO_FBIN, "numbers a vector");
		refused(&bin, VECIO_U8BIN, "numbers a vector");
	}
}

static void headers_against_sizes(void **state)
{
	static const uint32_t rows[] = {0, 1, 3, 1000, 0x40000000, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct file file = {.len = 0};

		add_u32(&file, rows[i]); /* 2 rows follow */
		add_u32(&file, 2);
		for (int n = 0; n < 4; n++)
			add_float(&file, 1);
		refused(&file, VECIO_FBIN, rows[i] < 2 ? "more than that" : "cut off");
	}
	for (size_t cut = 0; cut < 24; cut++) {
		struct file file = {.len = 0};

		add_u32(&file, 2);
		add_u32(&file, 2);
		for (int n = 0; n < 4; n++)
			add_float(&file, 1);
		file.len = cut;
		refused(&file, VECIO_FBIN, cut < 8 ? "alone take 8" : "cut off");
	}
}

static void rows_that_are_cut_off(void **state)
{
	struct file file = {.len = 0};

	(void)state;
	for (int row = 0; row < 2; row++) {
		add_u32(&file, 2);
		add_float(&file, 1);
		add_float(&file, 2);
	}
	for (file.len = 1; file.len < 24; file.len++)
		if (file.len < 4)
			refused(&file, VECIO_FVECS, "too few");
		else if (file.len != 12)
			refused(&file, VECIO_FVECS, "cut off");
}

static void rows_of_another_dimension(void **state)
{
	struct file file = {.len = 0};

	(void)state;
	add_u32(&file, 2);
	add_float(&file, 1);
	add_float(&file, 2);
	add_u32(&file, 1);
	add_float(&file, 1);
	add_u32(&file, 2);
	refused_later(&file, VECIO_FVECS, 1, "row 1 says it has 1 numbers");
}

static void numbers_that_are_none(void **state)
{
	static const char array[] = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }";
	const uint64_t bad[] = {0x7ff8000000000000, 0x7ff0000000000000, 0xfff0000000000001,
				0x47f0000000000000 /* 2^128 */, 0xffefffffffffffff};
	struct file file = {.len = 0};

	(void)state;
	add_u32(&file, 2);
	add_u32(&file, 3);
	for (int i = 0; i < 6; i++)
		add_float(&file, i == 4 ? NAN : 1);
	refused_later(&file, VECIO_FBIN, 1, "row 1 (the first is 0), number 2 of 3");
	put_u32(file.bytes + 8, 0xff800000u); /* minus infinity */
	refused_later(&file, VECIO_FBIN, 0, "row 0 (the first is 0), number 1 of 3");
	for (size_t i = 0; i < 5; i++) {
		struct file npy = {.len = 0};
		uint8_t bytes[16] = {0};

		add_npy(&npy, 1, array);
		put_u64(bytes + 8, bad[i]);
		add(&npy, bytes, sizeof(bytes));
		refused_later(&npy, VECIO_NPY, 1, "row 1");
	}
}

static void files_that_become_shorter(void **state)
{
	struct file file = {.len = 0};

	(void)state;
	add_u32(&file, 2);
	add_u32(&file, 1);
	add_float(&file, 1);
	add_float(&file, 2);
	file.ends = 14;
	refused_later(&file, VECIO_FBIN, 1, "became shorter");
	file.ends = 6;
	refused(&file, VECIO_FBIN, "became shorter");
}

static void arrays_that_are_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "not understood"},
		{"{", "not understood"},
		{"{}", "not understood"},
		{"['descr']", "not understood"},
		{"{'descr': '<f4', 'fortran_order': False}", "not understood"},
		{"{'descr': '<f4', 'descr': '<f4', 'shape': (1, 2)}", "not understood"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), 'shape': (1, 2)}",
		 "not understood"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), 'x': 1}",
		 "not understood"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)} x", "not understood"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", "not understood"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}", "not understood"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2}", "not understood"},
		{"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1, 2)}", "not understood"},
		{"{'descr': '<f4, 'fortran_order': False, 'shape': (1, 2)}", "not understood"},
		{"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
		 "not understood"},
		{"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2)}", "type >f4"},
		{"{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2)}", "type <i4"},
		/* nothing for the terminal of whoever reads the message */
		{"{'descr': '\033[2J', 'fortran_order': False, 'shape': (1, 2)}", "not understood"},
		{"{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}", "type |O"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "no dimensions"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 1)}", "more than 2"},
		{"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", "column by column"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", "cut off"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}", "more than that"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0)}", "numbers a vector"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2)}",
		 "cut off"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999999999999)}",
		 "numbers a vector"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct file file = {.len = 0};

		add_npy(&file, 1, cases[i].text);
		add_float(&file, 1);
		add_float(&file, 2);
		refused(&file, VECIO_NPY, cases[i].words);
	}
}

static void arrays_with_a_wrong_start(void **state)
{
	static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}";
	struct file file = {.len = 0}, bad;

	(void)state;
	add_npy(&file, 1, text);
	add_float(&file, 1);
	for (size_t i = 0; i < 6; i++) {
		bad = file;
		bad.bytes[i] ^= 1;
		refused(&bad, VECIO_NPY, "no array of numpy");
	}
	bad = file;
	bad.bytes[6] = 4;
	refused(&bad, VECIO_NPY, "version 4.0");
	bad.bytes[6] = 0;
	refused(&bad, VECIO_NPY, "version 0.0");
	bad = file;
	bad.bytes[8] = bad.bytes[9] = 0xff;
	refused(&bad, VECIO_NPY, "its header would have");
	bad.bytes[6] = 2;
	refused(&bad, VECIO_NPY, "its header would have");
	bad = file;
	bad.len = 11;
	refused(&bad, VECIO_NPY, "an array of numpy has more");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_say_the_format),
		cmocka_unit_test(rows_with_headers),
		cmocka_unit_test(bytes_become_numbers),
		cmocka_unit_test(halves_and_doubles),
		cmocka_unit_test(files_without_rows),
		cmocka_unit_test(written_is_read),
		cmocka_unit_test(header_of_an_array),
		cmocka_unit_test(dimensions_out_of_range),
		cmocka_unit_test(headers_against_sizes),
		cmocka_unit_test(rows_that_are_cut_off),
		cmocka_unit_test(rows_of_another_dimension),
		cmocka_unit_test(numbers_that_are_none),
		cmocka_unit_test(files_that_become_shorter),
		cmocka_unit_test(arrays_that_are_refused),
		cmocka_unit_test(arrays_with_a_wrong_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
