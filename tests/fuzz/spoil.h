/*
 * spoil.h - damages a copy of an image as an input says, and makes checksums right again where it
 * says so: so that damage is met behind the checksums too, where only the bounds are left.
 */
#ifndef VECFS_TESTS_FUZZ_SPOIL_H
#define VECFS_TESTS_FUZZ_SPOIL_H

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/image.h"

/*
 * A damaged copy, good until the next call, when nothing may be attached to it any more. kinds: a
 * bit for each enum image_kind that may be changed. It can take 64 MiB at most.
 */
struct io_mem *spoil(const struct image *image, uint32_t kinds, struct fuzz_input *in);
/*
 * The same for a layer that keeps sums of its own in its pages: settle (may be NULL) makes them right
 * after the edits. Pages of the kinds in settled count as changed by it.
 */
struct io_mem *spoil_and(const struct image *image, uint32_t kinds, struct fuzz_input *in,
			 uint32_t settled, void (*settle)(uint8_t *head, size_t len));

#endif
