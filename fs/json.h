/*
 * json.h - a vector as text: a JSON array, or plain numbers. Pure functions of their arguments; fuzzed.
 *
 * Written: [1,-0.5,3e-05] and a newline, each number as "%.9g" of its float32, which reads back as
 * the same bits. The text of a vector is always the same, so that its length can be told before it
 * is read.
 *
 * Read: an array of numbers, or numbers with blanks, commas or line ends between them. A number is
 * that of JSON, and also +1, .5 and 5.
 */
#ifndef VECFS_FS_JSON_H
#define VECFS_FS_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "store/err.h"

/* Bytes of the text of n numbers. */
size_t json_size(const float *numbers, size_t n);
/* *text_out: mem_free; a terminator follows the *len_out bytes. ERR_NOMEM. */
int json_write(const float *numbers, size_t n, char **text_out, size_t *len_out);

struct json_vector {
	size_t n;    /* numbers in the text, also beyond those that were stored */
	bool array;  /* it begins with a bracket */
	bool closed; /* the bracket is closed; of plain numbers: a blank ends the last one */
	bool open;   /* something must follow: the bracket is not closed, or a comma is the end */
};
/*
 * Reads len bytes that a terminator follows, and stores the first cap numbers. ERR_INVALID with a
 * sentence that says which number, and where, is wrong.
 */
int json_read(const char *text, size_t len, float *numbers, size_t cap,
	      struct json_vector *vector_out, struct err_msg *msg);

#endif
