/*
 * vecio_write.c - writes files of vectors. Stored numbers are little-endian float32 already.
 */
#include "fs/vecio.h"

#include <string.h>

#include "store/base.h"

bool vecio_can_write(enum vecio_format format)
{
	return format == VECIO_FVECS || format == VECIO_FBIN || format == VECIO_NPY;
}

size_t vecio_put_header(enum vecio_format format, uint32_t rows, uint32_t dim,
			uint8_t out[VECIO_HEADER_MAX])
{
	if (format == VECIO_NPY)
		return vecio_npy_print(rows, dim, out);
	if (format != VECIO_FBIN)
		return 0;
	put_u32(out, rows);
	put_u32(out + 4, dim);
	return 8;
}

size_t vecio_put_row(enum vecio_format format, const void *numbers, uint32_t dim, uint8_t *out)
{
	size_t head = format == VECIO_FVECS ? 4 : 0;

	if (head != 0)
		put_u32(out, dim);
	memcpy(out + head, numbers, (size_t)dim * 4);
	return head + (size_t)dim * 4;
}
