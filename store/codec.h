/*
 * codec.h - how a page of float32 values becomes smaller: byte planes, then LZ4.
 *
 * Float32 vectors hide their regularity in the exponents: stored value by value LZ4 finds little.
 * Sorted by byte position (all first bytes, all second, ...) equal exponents become runs.
 */
#ifndef VECFS_STORE_CODEC_H
#define VECFS_STORE_CODEC_H

#include <stddef.h>
#include <stdint.h>

/*
 * Compresses len bytes (a multiple of 4, at most 65,536) into out (at most cap bytes), using scratch
 * (len bytes). Returns the compressed size, or 0 when it would exceed cap.
 */
size_t codec_compress(const void *page, size_t len, void *out, size_t cap, void *scratch);
/*
 * The reverse: exactly len bytes into page, or ERR_DAMAGED whatever the input. scratch: len bytes.
 */
int codec_decompress(const void *in, size_t in_len, void *page, size_t len, void *scratch);

#endif
