/* err.c - texts of the result codes. */
#include "store/err.h"

#include <stdarg.h>
#include <stdio.h>

const char *err_str(int code)
{
	switch (code) {
	case 0:
		return "ok";
#define ERR_CASE(name, value, text)                                                                \
	case value:                                                                                \
		return text;
		ERR_LIST(ERR_CASE)
#undef ERR_CASE
	default:
		return "unknown error";
	}
}

int err_set(struct err_msg *msg, int code, const char *format, ...)
{
	va_list args;

	if (msg == NULL)
		return code;
	va_start(args, format);
	(void)vsnprintf(msg->text, sizeof(msg->text), format, args); /* a cut text is accepted */
	va_end(args);
	return code;
}
