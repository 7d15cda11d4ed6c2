/*
 * query.h - the text side of a query: names under /query, options, vectors as hex and base64url,
 * answers as text. Pure functions of their arguments; fuzzed.
 */
#ifndef VECFS_FS_QUERY_H
#define VECFS_FS_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/ann.h"

enum query_format { QUERY_TEXT, QUERY_JSON, QUERY_IDS, QUERY_LINKS };

struct query_spec {
	struct ann_query ann; /* k, effort, exact, max; without and cancelled are left zero */
	enum query_format format;
};

/*
 * Parses "10" or "10,effort=200,exact,max=0.5,format=json". ERR_INVALID with a sentence for a bad k
 * or option.
 */
int query_parse_spec(const char *name, size_t len, struct query_spec *spec_out,
		     struct err_msg *msg);

/* What a name below /query/<k>/ can be, by its form alone. */
enum query_name {
	QUERY_NAME_HEX,	   /* an even number of hex digits */
	QUERY_NAME_BASE64, /* b64:... , base64url without padding */
	QUERY_NAME_RUN,
	QUERY_NAME_LIKE,
	QUERY_NAME_OTHER,
};
enum query_name query_classify(const char *name, size_t len);

/*
 * Growing bytes of a query vector whose digits are split over path components. A component of hex
 * has an even number of digits; of base64url (the first starts with "b64:", later ones do not) too,
 * but for the last. Two or three digits of a group of four give a byte less than they are, and two may
 * be gone on with: they are held, to be decoded again with what follows.
 */
struct query_vector {
	bool base64;
	bool open;	/* base64url: the digits say more than the bytes, it cannot end here */
	uint8_t n_held; /* 0, 2 or 3 */
	char held[3];
	size_t len;	/* bytes so far */
	uint8_t *bytes; /* owned; mem_free */
};
/*
 * The vector `prefix` (NULL or empty: none) followed by one more component. ERR_ABSENT when it is
 * not the digits it should be, or more than max_bytes; ERR_NOMEM. result_out is released by
 * the caller.
 */
int query_vector_extend(const struct query_vector *prefix, const char *name, size_t len,
			size_t max_bytes, struct query_vector *result_out);
void query_vector_release(struct query_vector *vector);

/*
 * Renders an answer in the format. batch: lines carry the query's number, also when it holds one
 * query. QUERY_LINKS gives the names of links, each with a line's end. *text_out: mem_free by the caller; a terminator follows the *len_out bytes.
 */
int query_render(const struct ann_answer *answer, enum query_format format, bool batch,
		 char **text_out, size_t *len_out);
/* A piece of the answer of a batch: the hits of n queries, of which `first` is the first's number. */
int query_render_found(const struct ann_found *found, size_t n, size_t first,
		       enum query_format format, char **text_out, size_t *len_out);

/*
 * Writes what "%.9g" would, without a terminator and 0 for -0; returns the end. At most
 * QUERY_NUMBER_MAX bytes.
 */
#define QUERY_NUMBER_MAX 24
char *query_put_number(char *at, double value);

#endif
