/*
 * idx.h - reader of the gzipped IDX files that hold the Fashion-MNIST pictures and labels.
 */
#ifndef VECFS_TESTS_DEMO_IDX_H
#define VECFS_TESTS_DEMO_IDX_H

#include <stddef.h>
#include <stdint.h>

struct idx {
	size_t count; /* items */
	size_t size;  /* bytes of an item: the product of the other dimensions */
	uint8_t *bytes;
};

/*
 * Reads FOLDER/NAME through zcat. 0, or -1 after a line on stderr: no such file, not IDX of unsigned
 * bytes, or shorter than it says. Release in both cases.
 */
int idx_read(const char *folder, const char *name, struct idx *idx);
void idx_release(struct idx *idx);

/* Item number i as size floats. */
void idx_floats(const struct idx *idx, size_t i, float *floats);

#endif
