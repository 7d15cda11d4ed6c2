/*
 * text.h - text that grows at its end, for what a mount answers as text.
 *
 * A failed allocation is remembered and said once, by text_take; appending after it does nothing.
 */
#ifndef VECFS_FS_TEXT_H
#define VECFS_FS_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
	char *at; /* owned, terminated; NULL after an error */
	size_t len, cap;
	int err; /* 0 or ERR_NOMEM */
};

/* cap: bytes expected; it may hold more. Release with text_release or text_take. */
void text_init(struct text *text, size_t cap);
void text_release(struct text *text);

void text_bytes(struct text *text, const char *bytes, size_t len);
void text_string(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With quotes around it and escaped as JSON wants it. */
void text_json(struct text *text, const char *bytes, size_t len);
/* Control bytes as \xHH and a backslash doubled, so that it stays one field of one line. */
void text_escaped(struct text *text, const char *bytes, size_t len);
/* As one word of a shell, quoted. */
void text_shell(struct text *text, const char *string);

/*
 * Hands over the bytes (mem_free; a terminator follows the *len_out bytes) and empties text.
 * ERR_NOMEM when any append failed; then everything is freed.
 */
int text_take(struct text *text, char **text_out, size_t *len_out);

#endif
