/*
 * wal_format.c - turns segment headers, proof blocks and records into bytes and back.
 *
 * Invariants:
 * 1. Nothing is read from bytes before its length was checked, and nothing is believed before its
 *    hash was.
 * 2. A self hash depends on the segment's random salt and on the LSN, so that a record copied from
 *    elsewhere (another segment, a payload) is not valid.
 */
#include "store/wal_format.h"

#include <xxhash.h>

#define BLOCK_SUM_AT (FORMAT_BLOCK - 8u)

static bool block_is(const uint8_t *block, const char *magic)
{
	return memcmp(block, magic, 8) == 0 &&
	       get_u64(block + BLOCK_SUM_AT) == XXH3_64bits(block, BLOCK_SUM_AT);
}

void wal_format_put_segment(uint8_t *block, const struct wal_format_segment *segment)
{
	struct format_segment *at = (struct format_segment *)block;

	memset(block, 0, FORMAT_BLOCK);
	memcpy(at->magic, FORMAT_SEGMENT_MAGIC, 8);
	put_u32(at->version, FORMAT_VERSION);
	put_u32(at->epoch, segment->epoch);
	memcpy(at->uuid, segment->uuid, 16);
	put_u64(at->seq, segment->seq);
	put_u64(at->salt, segment->salt);
	put_u64(at->first_lsn, segment->first_lsn);
	memcpy(at->boot_id, segment->boot_id, 16);
	put_u64(at->created_ns, segment->created_ns);
	put_u64(at->checksum, XXH3_64bits(block, BLOCK_SUM_AT));
}

int wal_format_get_segment(const uint8_t *block, uint64_t seq,
			   struct wal_format_segment *segment_out)
{
	const struct format_segment *at = (const struct format_segment *)block;

	if (!block_is(block, FORMAT_SEGMENT_MAGIC))
		return ERR_DAMAGED;
	if (get_u32(at->version) != FORMAT_VERSION)
		return ERR_FORMAT;
	if (get_u64(at->seq) != seq || get_u64(at->first_lsn) > FORMAT_COUNT_MAX)
		return ERR_DAMAGED;
	segment_out->seq = seq;
	segment_out->salt = get_u64(at->salt);
	segment_out->first_lsn = get_u64(at->first_lsn);
	segment_out->created_ns = get_u64(at->created_ns);
	segment_out->epoch = get_u32(at->epoch);
	memcpy(segment_out->uuid, at->uuid, 16);
	memcpy(segment_out->boot_id, at->boot_id, 16);
	return 0;
}

void wal_format_put_proof(uint8_t *block, uint64_t seq, uint64_t last_lsn, uint64_t last_hash)
{
	struct format_proof *at = (struct format_proof *)block;

	memset(block, 0, FORMAT_BLOCK);
	memcpy(at->magic, FORMAT_PROOF_MAGIC, 8);
	put_u64(at->seq, seq);
	put_u64(at->last_lsn, last_lsn);
	put_u64(at->last_hash, last_hash);
	put_u64(at->checksum, XXH3_64bits(block, BLOCK_SUM_AT));
}

bool wal_format_get_proof(const uint8_t *block, uint64_t seq, uint64_t *last_lsn_out,
			  uint64_t *last_hash_out)
{
	const struct format_proof *at = (const struct format_proof *)block;

	if (!block_is(block, FORMAT_PROOF_MAGIC) || get_u64(at->seq) != seq ||
	    get_u64(at->last_lsn) > FORMAT_COUNT_MAX)
		return false;
	*last_lsn_out = get_u64(at->last_lsn);
	*last_hash_out = get_u64(at->last_hash);
	return true;
}

uint64_t wal_format_put_record(uint8_t *bytes, const struct wal_format_record *found, uint64_t salt)
{
	struct format_record *at = (struct format_record *)bytes;
	const struct wal_record *record = &found->record;
	uint32_t hashed = wal_format_size(record->length) - 8;
	uint64_t hash;

	memset(bytes, 0, WAL_FORMAT_HEAD);
	put_u16(at->magic, FORMAT_RECORD_MAGIC);
	at->type[0] = record->type;
	put_u32(at->length, record->length);
	put_u64(at->lsn, record->lsn);
	put_u64(at->durable_lsn, record->durable_lsn);
	put_u64(at->prev_hash, found->prev_hash);
	put_u32(at->epoch, record->epoch);
	memset(bytes + WAL_FORMAT_HEAD + record->length, 0,
	       hashed - WAL_FORMAT_HEAD - record->length);
	hash = XXH3_64bits_withSeed(bytes, hashed, salt ^ record->lsn);
	put_u64(bytes + hashed, hash);
	return hash;
}

bool wal_format_get_head(const uint8_t *bytes, size_t available, struct wal_record *record_out)
{
	const struct format_record *at = (const struct format_record *)bytes;
	uint32_t length;

	if (available < WAL_FORMAT_RECORD_MIN || get_u16(at->magic) != FORMAT_RECORD_MAGIC)
		return false;
	length = get_u32(at->length);
	if (length > WAL_FORMAT_PAYLOAD_MAX || wal_format_size(length) > available ||
	    at->type[0] < FORMAT_PUT || at->type[0] > FORMAT_SYNC)
		return false;
	record_out->type = at->type[0];
	record_out->payload = bytes + WAL_FORMAT_HEAD;
	record_out->length = length;
	return true;
}

bool wal_format_get_record(const uint8_t *bytes, size_t available,
			   const struct wal_format_segment *segment,
			   struct wal_format_record *found_out)
{
	const struct format_record *at = (const struct format_record *)bytes;
	struct wal_record *record = &found_out->record;
	uint64_t lsn, hash;
	uint32_t hashed;

	if (!wal_format_get_head(bytes, available, record))
		return false;
	lsn = get_u64(at->lsn);
	if (at->zero0[0] != 0 || get_u32(at->zero1) != 0 || get_u32(at->epoch) != segment->epoch ||
	    lsn == 0 || lsn > FORMAT_COUNT_MAX || get_u64(at->durable_lsn) >= lsn)
		return false;
	hashed = wal_format_size(record->length) - 8;
	hash = get_u64(bytes + hashed);
	if (XXH3_64bits_withSeed(bytes, hashed, segment->salt ^ lsn) != hash)
		return false;
	record->seq = segment->seq;
	record->lsn = lsn;
	record->durable_lsn = get_u64(at->durable_lsn);
	record->hash = hash;
	record->epoch = segment->epoch;
	found_out->prev_hash = get_u64(at->prev_hash);
	return true;
}
