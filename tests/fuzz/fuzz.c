/* fuzz.c - taking an input apart. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t n, size_t *n_out)
{
	const uint8_t *at = in->at;

	*n_out = n < in->left ? n : in->left;
	in->at += *n_out;
	in->left -= *n_out;
	return at;
}

uint8_t *fuzz_copy(struct fuzz_input *in, size_t n, size_t *n_out)
{
	const uint8_t *from = fuzz_bytes(in, n, n_out);
	uint8_t *copy = malloc(*n_out != 0 ? *n_out : 1);

	if (copy == NULL)
		abort();
	if (*n_out != 0)
		memcpy(copy, from, *n_out);
	return copy;
}

static uint64_t number(struct fuzz_input *in, size_t bytes)
{
	size_t n;
	const uint8_t *at = fuzz_bytes(in, bytes, &n);
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

uint8_t fuzz_u8(struct fuzz_input *in)
{
	return (uint8_t)number(in, 1);
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
	return (uint16_t)number(in, 2);
}

uint32_t fuzz_u32(struct fuzz_input *in)
{
	return (uint32_t)number(in, 4);
}

uint64_t fuzz_u64(struct fuzz_input *in)
{
	return number(in, 8);
}

uint64_t fuzz_edge(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned shift = how & 63;

	switch (how >> 6) {
	case 0:
		return shift; /* small */
	case 1:
		return ((uint64_t)1 << shift) - 1 + fuzz_u8(in) % 3; /* around a power of two */
	case 2:
		return UINT64_MAX - shift;
	default:
		return number(in, 1 + shift % 8);
	}
}

void fuzz_fail(const char *file, int line, const char *promise)
{
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, promise);
	abort();
}
