/*
 * text.c - text that grows at its end.
 *
 * Invariants:
 * 1. len < cap and at[len] is a terminator, whenever at is not NULL.
 * 2. Once err is set nothing is appended, so that a text is whole or refused.
 */
#include "fs/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "store/err.h"
#include "store/mem.h"

void text_init(struct text *text, size_t cap)
{
	*text = (struct text){.cap = cap + 1};
	text->at = mem_alloc(text->cap);
	if (text->at == NULL)
		*text = (struct text){.err = ERR_NOMEM};
	else
		text->at[0] = '\0';
}

void text_release(struct text *text)
{
	mem_free(text->at);
	*text = (struct text){0};
}

/* Room for len more bytes and a terminator, or false. */
static bool has_room(struct text *text, size_t len)
{
	if (text->err != 0)
		return false;
	if (len < text->cap - text->len)
		return true;
	text->err = mem_grow((void **)&text->at, &text->cap, text->len + len + 1, 1);
	return text->err == 0;
}

void text_bytes(struct text *text, const char *bytes, size_t len)
{
	if (!has_room(text, len))
		return;
	memcpy(text->at + text->len, bytes, len);
	text->len += len;
	text->at[text->len] = '\0';
}

void text_string(struct text *text, const char *string)
{
	text_bytes(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len <= 0 || !has_room(text, (size_t)len))
		return;
	va_start(args, format);
	(void)vsnprintf(text->at + text->len, (size_t)len + 1, format, args); /* measured above */
	va_end(args);
	text->len += (size_t)len;
}

void text_json(struct text *text, const char *bytes, size_t len)
{
	text_bytes(text, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '"' || c == '\\')
			text_bytes(text, "\\", 1);
		if (c < 0x20 || c == 0x7f)
			text_format(text, "\\u%04x", c);
		else
			text_bytes(text, bytes + i, 1);
	}
	text_bytes(text, "\"", 1);
}

void text_escaped(struct text *text, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c < 0x20 || c == 0x7f)
			text_format(text, "\\x%02x", c);
		else if (c == '\\')
			text_bytes(text, "\\\\", 2);
		else
			text_bytes(text, bytes + i, 1);
	}
}

void text_shell(struct text *text, const char *string)
{
	text_bytes(text, "'", 1);
	for (; *string != '\0'; string++) {
		if (*string == '\'')
			text_string(text, "'\\''");
		else
			text_bytes(text, string, 1);
	}
	text_bytes(text, "'", 1);
}

int text_take(struct text *text, char **text_out, size_t *len_out)
{
	int rc = text->err;

	*text_out = NULL;
	*len_out = 0;
	if (rc != 0) {
		text_release(text);
		return rc;
	}
	*text_out = text->at;
	*len_out = text->len;
	*text = (struct text){0};
	return 0;
}
