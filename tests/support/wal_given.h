/*
 * wal_given.h - what salvage gives of a log of a wal_model, for tests that damage it.
 *
 * Failures of the helpers are failures of the running cmocka test.
 */
#ifndef VECFS_TESTS_WAL_GIVEN_H
#define VECFS_TESTS_WAL_GIVEN_H

#include "tests/support/wal_model.h"

enum { WAL_GIVEN_MAX = 64, WAL_GIVEN_HOLES = 16, WAL_GIVEN_SEGMENTS = 8 };

/* What one walk gave. */
struct wal_given {
	const struct wal_model *model;
	size_t n, n_holes;
	uint64_t lsns[WAL_GIVEN_MAX];
	struct wal_hole holes[WAL_GIVEN_HOLES];
	int stop; /* set by the caller: result of the visitor of holes */
};

/* n records in each of so many segments, sealed; the first of length bytes, each other of one more. */
void wal_given_make_log(struct wal_model *model, uint64_t seed, unsigned segments, unsigned n,
			uint32_t length);

/* The bytes of a segment, and of a record; valid until something is written. */
uint8_t *wal_given_segment(const struct wal_model *model, uint64_t seq);
uint8_t *wal_given_record(const struct wal_model *model, uint64_t lsn);
/* The salt of a segment is gone. */
void wal_given_lose_header(const struct wal_model *model, uint64_t seq);

/* A wal_visit; ctx is a struct wal_given with model set. Each record is right, LSNs ascend. */
int wal_given_visit(void *ctx, const struct wal_record *record);
/*
 * Opens and walks, with all but given->stop set anew. Copies what is said of the segments to
 * segments_out, WAL_GIVEN_SEGMENTS of them, unless that is NULL. Returns the error of either.
 */
int wal_given_walk(const struct wal_model *model, const struct wal_scan_opts *opts,
		   struct wal_given *given, struct wal_salvage_segment *segments_out);
/* That exactly these LSNs are given: all up to n but from ... to. */
void wal_given_expect_without(const struct wal_given *given, uint64_t n, uint64_t from,
			      uint64_t to);

#endif
