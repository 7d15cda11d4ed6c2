/*
 * vecio.h - files of many vectors, read row by row and written row by row.
 *
 *	.fvecs  each row: its dimension (u32), then so many float32
 *	.bvecs  each row: its dimension (u32), then so many bytes
 *	.fbin   rows (u32), dimension (u32), then all rows of float32
 *	.u8bin  rows (u32), dimension (u32), then all rows of bytes
 *	.npy    an array of numpy, one or two dimensions, of float16, 32, 64, int8 or uint8
 *
 * All little-endian. Every byte that is read is distrusted: what a header says is held against the
 * size of the file, and a number that is NaN or infinite is an error that names its row. Rows are
 * counted from 0, as the ids that an import makes of them; numbers in a row from 1.
 *
 * Bytes come from a source, so that tests can read from memory.
 */
#ifndef VECFS_FS_VECIO_H
#define VECFS_FS_VECIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

enum vecio_format { VECIO_FVECS, VECIO_BVECS, VECIO_FBIN, VECIO_U8BIN, VECIO_NPY };

/* By the end of the name, in small or capital letters. False for any other. */
bool vecio_format_of(const char *path, enum vecio_format *format_out);

enum vecio_number { VECIO_F32, VECIO_F64, VECIO_F16, VECIO_U8, VECIO_I8 };

struct vecio_source {
	/* Up to len bytes; *got_out is less only at the end. Errors with a sentence in msg. */
	int (*read)(void *ctx, void *buf, size_t len, size_t *got_out, struct err_msg *msg);
	void *ctx;
	uint64_t size; /* bytes of all of it */
};

struct vecio_reader {
	/* What the file holds. dim is 0 only where there are no rows. */
	uint32_t dim;
	uint64_t rows;
	uint64_t at; /* rows read so far */

	/* private to vecio_read.c */
	enum vecio_number number;
	bool row_headers; /* the dimension before each row */
	uint32_t row_bytes;
	struct vecio_source source;
	const char *name; /* for messages; not owned */
	uint8_t *buffer;  /* owned */
	size_t held;	  /* bytes in it that belong to the next row */
};

/*
 * Reads the header. name is for messages and lives as long as the reader. ERR_INVALID with a
 * sentence for what is no such file; ERR_NOMEM; what the source gives. Close in any case.
 */
int vecio_open(struct vecio_reader *reader, enum vecio_format format,
	       const struct vecio_source *source, const char *name, struct err_msg *msg);
void vecio_close(struct vecio_reader *reader);

/*
 * Up to cap rows into rows_out (cap * dim floats). *n_out is 0 only at the end, or with an error.
 * Also with an error *n_out rows are good: those before the one that is wrong; it ends the reading.
 */
int vecio_read(struct vecio_reader *reader, float *rows_out, size_t cap, size_t *n_out,
	       struct err_msg *msg);

/* --- the header of .npy --- */

#define VECIO_NPY_FIXED 12u	  /* bytes that say how long the rest is; 10 in version 1 */
#define VECIO_NPY_MAX (64u << 10) /* of a header that is read */

struct vecio_npy {
	enum vecio_number number;
	uint64_t rows, dim;
};

/* The dictionary in the header, len bytes of text. ERR_INVALID with a sentence. */
int vecio_npy_parse(const char *text, size_t len, const char *name, struct vecio_npy *npy_out,
		    struct err_msg *msg);
/* A whole header, padded so that the rows begin at a multiple of 64; returns its length. */
#define VECIO_HEADER_MAX 128u
size_t vecio_npy_print(uint32_t rows, uint32_t dim, uint8_t out[VECIO_HEADER_MAX]);

/* --- writing: .fvecs, .fbin and .npy, of float32 --- */

bool vecio_can_write(enum vecio_format format);
/* What stands before the rows; returns its length. rows < 2^32. */
size_t vecio_put_header(enum vecio_format format, uint32_t rows, uint32_t dim,
			uint8_t out[VECIO_HEADER_MAX]);
/* A row, 4 + 4 * dim bytes at most; returns its length. numbers: little-endian, as stored. */
size_t vecio_put_row(enum vecio_format format, const void *numbers, uint32_t dim, uint8_t *out);

#endif
