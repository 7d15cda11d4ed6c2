/*
 * validate.c - checks of vectors and ids before anything is stored.
 */
#include "ann/validate.h"

#include <stdint.h>
#include <string.h>

#include "store/err.h"

#define EXPONENT 0x7f800000u

static uint32_t bits_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

size_t validate_finite(const float *vector, size_t n)
{
	uint32_t bad = 0;
	size_t i;

	/* No branch inside, so that the compiler makes vector instructions of it. */
	for (i = 0; i < n; i++)
		bad |= (bits_of(vector[i]) & EXPONENT) == EXPONENT;
	if (bad == 0)
		return n;
	for (i = 0; (bits_of(vector[i]) & EXPONENT) != EXPONENT; i++)
		;
	return i;
}

bool validate_zero(const float *vector, size_t n)
{
	uint32_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= bits_of(vector[i]) & 0x7fffffffu;
	return any == 0;
}

/* Bytes of the sequence at p, at most len; 0 when it is not valid. */
static size_t sequence(const uint8_t *p, size_t len)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (n == 0 || n > len || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Long forms, surrogates, and what is above U+10FFFF show in the second byte. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

bool validate_utf8(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	while (len > 0) {
		size_t n = sequence(p, len);

		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* U+0000 ... U+001F, U+007F ... U+009F; the text is valid UTF-8. */
static bool has_control(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0; i < len; i++)
		if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0))
			return true;
	return false;
}

int ann_validate_id(const char *id, size_t len, struct err_msg *msg)
{
	if (len == 0)
		return err_set(msg, ERR_INVALID, "an id has at least 1 byte");
	if (len > FORMAT_ID_MAX)
		return err_set(msg, ERR_NAME_LONG, "got an id of %zu bytes, at most %u are allowed",
			       len, FORMAT_ID_MAX);
	if ((len == 1 && id[0] == '.') || (len == 2 && id[0] == '.' && id[1] == '.'))
		return err_set(msg, ERR_INVALID,
			       "\".\" and \"..\" are no ids; choose another name");
	if (memchr(id, '/', len) != NULL)
		return err_set(msg, ERR_INVALID, "an id has no '/'; choose another name");
	if (!validate_utf8(id, len))
		return err_set(msg, ERR_INVALID,
			       "the id is not valid UTF-8; convert the name (for example with "
			       "convmv) or choose another");
	if (has_control(id, len))
		return err_set(msg, ERR_INVALID,
			       "the id has a control character; choose another name");
	return 0;
}

int validate_vector(uint32_t dim, enum ann_metric metric, const float *vector, size_t n,
		    struct err_msg *msg)
{
	size_t bad;

	if (dim == 0 && (n == 0 || n > ANN_DIM_MAX))
		return err_set(msg, n == 0 ? ERR_INVALID : ERR_TOO_BIG,
			       "got %zu numbers, a vector has 1 to %u", n, ANN_DIM_MAX);
	if (dim != 0 && n != dim)
		return err_set(msg, n > dim ? ERR_TOO_BIG : ERR_INVALID,
			       "got %zu bytes, a vector here is %zu (%u × float32)", n * 4,
			       (size_t)dim * 4, dim);
	bad = validate_finite(vector, n);
	if (bad < n)
		return err_set(msg, ERR_INVALID,
			       "number %zu of %zu is NaN or infinite; all must be finite", bad + 1,
			       n);
	if (metric == ANN_COSINE && validate_zero(vector, n))
		return err_set(msg, ERR_INVALID,
			       "all numbers are 0: such a vector has no direction, which cosine "
			       "needs");
	return 0;
}
