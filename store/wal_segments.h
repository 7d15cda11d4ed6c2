/*
 * wal_segments.h - the segments of a log as their first two blocks describe them; private to the
 * log's files.
 */
#ifndef VECFS_STORE_WAL_SEGMENTS_H
#define VECFS_STORE_WAL_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/wal.h"
#include "store/wal_format.h"

struct wal_segment {
	struct wal_format_segment header; /* if header_ok */
	uint64_t seq;
	uint64_t size;
	uint64_t proof_lsn, proof_hash; /* if proof_ok */
	uint64_t limit; /* records from this LSN on are void here; set by the scan */
	bool header_ok; /* the segment was created whole and is this store's */
	bool proof_ok;
	bool this_boot; /* written since the machine last started */
};

/*
 * Loads all segments from opts->from_seq on into *segments_out (mem_free it), ascending. Errors as
 * wal_scan; *next_seq_out is set unless listing failed.
 */
int wal_segments_load(const struct wal_scan_opts *opts, struct wal_segment **segments_out,
		      size_t *n_out, uint64_t *next_seq_out, struct err_msg *msg);

#endif
