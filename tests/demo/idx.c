/*
 * idx.c - reader of gzipped IDX files: big-endian 0x0000 08 <dimensions>, the dimensions as 32-bit
 * numbers, the bytes.
 */
#include "tests/demo/idx.h"

#include <stdio.h>
#include <string.h>

#include "store/mem.h"

#define IDX_MAX_BYTES (1u << 30)

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int read_header(FILE *in, struct idx *idx)
{
	uint8_t magic[4], field[4];
	uint64_t size = 1;

	if (fread(magic, 1, 4, in) != 4 || magic[0] != 0 || magic[1] != 0 || magic[2] != 8 ||
	    magic[3] < 1 || magic[3] > 4)
		return -1;
	for (int i = 0; i < magic[3]; i++) {
		uint32_t n;

		if (fread(field, 1, 4, in) != 4)
			return -1;
		n = big_endian(field);
		if (n == 0 || n > IDX_MAX_BYTES)
			return -1;
		if (i == 0)
			idx->count = n;
		else
			size *= n;
		if (idx->count * size > IDX_MAX_BYTES)
			return -1;
	}
	idx->size = size;
	return 0;
}

int idx_read(const char *folder, const char *name, struct idx *idx)
{
	char command[1024];
	FILE *in = NULL;
	int result = -1;

	memset(idx, 0, sizeof(*idx));
	if (strchr(folder, '\'') != NULL || snprintf(command, sizeof(command), "zcat '%s/%s'",
						     folder, name) >= (int)sizeof(command))
		goto out;
	in = popen(command, "r");
	if (in == NULL || read_header(in, idx) != 0)
		goto out;
	idx->bytes = mem_alloc(idx->count * idx->size);
	if (idx->bytes == NULL || fread(idx->bytes, idx->size, idx->count, in) != idx->count)
		goto out;
	result = 0;
out:
	if (in != NULL && pclose(in) != 0)
		result = -1;
	if (result != 0)
		fprintf(stderr, "cannot read %s/%s\n", folder, name);
	return result;
}

void idx_release(struct idx *idx)
{
	mem_free(idx->bytes);
	idx->bytes = NULL;
}

void idx_floats(const struct idx *idx, size_t i, float *floats)
{
	const uint8_t *item = idx->bytes + i * idx->size;

	for (size_t j = 0; j < idx->size; j++)
		floats[j] = item[j];
}
