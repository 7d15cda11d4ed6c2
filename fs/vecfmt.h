/*
 * vecfmt.h - bytes written as digits: hex, and base64url (RFC 4648 section 5) without padding.
 */
#ifndef VECFS_FS_VECFMT_H
#define VECFS_FS_VECFMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether all len bytes are hex digits of either case. */
bool vecfmt_is_hex(const char *digits, size_t len);

/*
 * Bytes that so many digits stand for. False for a count that stands for no whole number of bytes:
 * an odd one of hex, 4n + 1 of base64url.
 */
bool vecfmt_hex_size(size_t digits, size_t *bytes_out);
bool vecfmt_base64_size(size_t digits, size_t *bytes_out);

/*
 * Decodes len digits into bytes_out, which has room for the size above. False, and bytes_out is
 * undefined, for a wrong digit or count, and for unused bits of a last base64url digit that are not
 * zero: each sequence of bytes has one spelling (but for the case of hex digits).
 */
bool vecfmt_hex(const char *digits, size_t len, uint8_t *bytes_out);
bool vecfmt_base64(const char *digits, size_t len, uint8_t *bytes_out);

#endif
