/*
 * wal_format.h - segment headers, proof blocks and records as bytes; private to the log's files.
 */
#ifndef VECFS_STORE_WAL_FORMAT_H
#define VECFS_STORE_WAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base.h"
#include "store/format.h"
#include "store/wal.h"

#define WAL_FORMAT_HEAD ((uint32_t)sizeof(struct format_record))
#define WAL_FORMAT_PAYLOAD_MAX (FORMAT_VALUE_MAX + 4096u)
#define WAL_FORMAT_RECORD_MIN (WAL_FORMAT_HEAD + 8u)
#define WAL_FORMAT_RECORD_MAX (WAL_FORMAT_HEAD + WAL_FORMAT_PAYLOAD_MAX + 8u)

static_assert(WAL_FORMAT_PAYLOAD_MAX % 8 == 0, "the longest record needs no padding");

/* A segment header, decoded. */
struct wal_format_segment {
	uint64_t seq;
	uint64_t salt;
	uint64_t first_lsn;
	uint64_t created_ns;
	uint32_t epoch;
	uint8_t uuid[16];
	uint8_t boot_id[16];
};

/* A record as found, with the link that the caller of a scan does not need. */
struct wal_format_record {
	struct wal_record record;
	uint64_t prev_hash;
};

/* Bytes of a whole record with this payload. */
static inline uint32_t wal_format_size(uint32_t payload)
{
	return WAL_FORMAT_HEAD + (uint32_t)round_up(payload, 8) + 8;
}

/* block: FORMAT_BLOCK bytes. */
void wal_format_put_segment(uint8_t *block, const struct wal_format_segment *segment);
/* ERR_DAMAGED when block is no header of segment seq; ERR_FORMAT when its version is unknown. */
int wal_format_get_segment(const uint8_t *block, uint64_t seq,
			   struct wal_format_segment *segment_out);

void wal_format_put_proof(uint8_t *block, uint64_t seq, uint64_t last_lsn, uint64_t last_hash);
/* False when block is no proof for segment seq. */
bool wal_format_get_proof(const uint8_t *block, uint64_t seq, uint64_t *last_lsn_out,
			  uint64_t *last_hash_out);

/*
 * Completes the record whose payload (found->record.length bytes) already lies at
 * bytes + WAL_FORMAT_HEAD: writes head, padding and self hash. Returns the self hash.
 */
uint64_t wal_format_put_record(uint8_t *bytes, const struct wal_format_record *found,
			       uint64_t salt);
/*
 * True when bytes begin with a head whose record would be all there. Fills type, payload and length;
 * nothing else is judged, no hash compared.
 */
bool wal_format_get_head(const uint8_t *bytes, size_t available, struct wal_record *record_out);
/*
 * True when a whole record of this segment with a right self hash starts at bytes. Fills all of
 * *found_out but offset; the payload points into bytes. Says nothing about its place in the chain.
 */
bool wal_format_get_record(const uint8_t *bytes, size_t available,
			   const struct wal_format_segment *segment,
			   struct wal_format_record *found_out);

#endif
