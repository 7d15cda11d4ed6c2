/*
 * fuzz.h - what all fuzz targets share: taking an input apart, and stopping at a broken promise.
 *
 * A target is a file fuzz_*.c with LLVMFuzzerTestOneInput. The same bytes must give the same course:
 * no clock, no randomness but the one that comes from the input.
 */
#ifndef VECFS_TESTS_FUZZ_H
#define VECFS_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called by libFuzzer with each input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Called by libFuzzer once before; targets define it if they need it. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* The part of an input that was not used yet. Past its end everything is 0. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint32_t fuzz_u32(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);
/* A number of 8 bytes at most, as often one at the edge of something as a plain one. */
uint64_t fuzz_edge(struct fuzz_input *in);
/* The next n bytes, fewer at the end; *n_out says how many. */
const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t n, size_t *n_out);
/* The same as memory of its own, so that reading beyond it is seen; free(). Never NULL. */
uint8_t *fuzz_copy(struct fuzz_input *in, size_t n, size_t *n_out);

/* Says what was promised and where, and aborts. */
#define FUZZ_ASSERT(promise) ((promise) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #promise))
_Noreturn void fuzz_fail(const char *file, int line, const char *promise);

#endif
