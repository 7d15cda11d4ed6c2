/*
 * wal_read.h - a window that slides over the segments of a log; private to the log's files.
 */
#ifndef VECFS_STORE_WAL_READ_H
#define VECFS_STORE_WAL_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/io.h"
#include "store/wal_format.h"

/* For one thread. All fields are private to wal_read.c. */
struct wal_read {
	struct store_io *io; /* not owned */
	uint8_t *buf;
	size_t cap;
	uint64_t seq;
	uint64_t start; /* offset in the segment of buf[0] */
	size_t len;	/* bytes of the segment in buf */
	bool at_end;	/* the segment ends at start + len */
	bool tolerant;	/* what the device refuses reads as zeros; set by the owner */
	bool refused;	/* that has happened since the last seek */
};

/* longest: bytes of the longest segment that will be read; more is allowed but slower. */
int wal_read_init(struct wal_read *window, struct store_io *io, uint64_t longest);
/* Accepts a zeroed window. */
void wal_read_release(struct wal_read *window);

/* The next reads are from segment seq. */
void wal_read_seek(struct wal_read *window, uint64_t seq);

/*
 * Shows the bytes at offset: *available_out of them, enough for any record, fewer only where the
 * segment ends. They stay valid until the next call. ERR_IO when reading failed.
 */
int wal_read_at(struct wal_read *window, uint64_t offset, const uint8_t **bytes_out,
		size_t *available_out);

/*
 * Finds the first record with a right self hash at *offset or a multiple of 8 bytes behind it.
 * *found_out says whether there is one; then *offset is its place. segment is the one sought to.
 */
int wal_read_find(struct wal_read *window, const struct wal_format_segment *segment,
		  uint64_t *offset, struct wal_format_record *record_out, bool *found_out);

#endif
