/*
 * image.h - stores in memory that fuzz targets damage, and what lies where in them.
 *
 * An image is made once, when a target starts, by the program itself: as a crash left it, with log,
 * both commit slots, a free list, dead slots. Inputs hold only what is done to it.
 */
#ifndef VECFS_TESTS_FUZZ_IMAGE_H
#define VECFS_TESTS_FUZZ_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "tests/support/io_mem.h"

/* What a piece of an image is. */
enum image_kind {
	IMAGE_HEADER,
	IMAGE_SLOT,
	IMAGE_ROOT, /* in a slot */
	IMAGE_MAP,
	IMAGE_TRUNK,
	IMAGE_SEGMENT, /* header of a log segment */
	IMAGE_PROOF,
	IMAGE_RECORD,
	IMAGE_PAGE, /* this and those that follow: a page of space kind - IMAGE_PAGE */
	IMAGE_KINDS = IMAGE_PAGE + FORMAT_SPACES,
};

struct image_piece {
	enum image_kind kind;
	uint64_t seq;	 /* of the segment; 0: it lies in the head */
	uint64_t offset; /* bytes */
	uint32_t length; /* bytes worth changing */
};

struct image {
	struct io_mem *medium; /* never changed after it was made */
	struct image_piece *pieces;
	size_t n, cap;
	uint32_t page_size, value_size, ids;
};

/* Names of the ids in an image: id i of those below image->ids. Terminated, in out. */
#define IMAGE_ID_SIZE 64
size_t image_id(uint32_t i, char out[IMAGE_ID_SIZE]);

enum image_shape {
	IMAGE_SMALL,  /* many ids, small values, several buckets */
	IMAGE_CLOSED, /* the same, closed in order: no log */
	IMAGE_LARGE,  /* few ids, values of several pages, compressed */
	IMAGE_EMPTY,  /* no value yet, their size not known */
	IMAGE_SHAPES,
};
/* Abort on failure, as all here. */
void image_make(struct image *image, enum image_shape shape);
/* The same around a medium that the caller has filled; takes it over. */
void image_take(struct image *image, struct io_mem *medium);

#endif
