/*
 * wal_model.h - a log on a medium in memory together with what it must contain, for tests.
 *
 * Failures of the helpers are failures of the running cmocka test.
 */
#ifndef VECFS_TESTS_WAL_MODEL_H
#define VECFS_TESTS_WAL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/wal.h"
#include "tests/support/io_mem.h"

/* A record that was appended without error; number i has LSN i + 1. */
struct wal_model_record {
	uint64_t seq, offset;
	uint64_t durable_lsn; /* that it carries */
	uint64_t sum;	      /* of the payload */
	uint32_t length;
	uint32_t size; /* in the log */
	uint8_t type;
};

struct wal_model {
	struct io_mem *medium;
	struct store_io *io;
	struct wal *wal;
	struct wal_opts opts;
	uint64_t random;
	struct wal_model_record *records;
	size_t n, cap;
	uint64_t offset; /* where the next record of the current segment goes */
	/* A failed append, which may be found as the record after the last one. */
	bool has_maybe;
	struct wal_model_record maybe;
};

/* What one scan delivered. */
struct wal_model_seen {
	const struct wal_model *model;
	uint64_t first, last, count; /* LSNs */
	bool wrong;		     /* a record that was never appended so, or out of order */
};

/* A new medium and a log that starts with segment 1 and LSN 1. */
void wal_model_init(struct wal_model *model, uint64_t seed, enum wal_durability durability);
void wal_model_release(struct wal_model *model);

/* A number below bound, from the model's random stream. */
uint64_t wal_model_below(struct wal_model *model, uint64_t bound);

/* Appends a record of random bytes and remembers it. Returns the result of wal_append. */
int wal_model_try(struct wal_model *model, uint32_t length);
/* The same, with these bytes. */
int wal_model_try_bytes(struct wal_model *model, const void *bytes, uint32_t length);
/* The same; an error is a failure of the test. */
void wal_model_append(struct wal_model *model, uint32_t length);
/* All the steps of a checkpoint that concern the log, but for removing. */
void wal_model_turn(struct wal_model *model);
/* As wal_model_turn without the seal. */
void wal_model_turn_unsealed(struct wal_model *model);
/* Forgets the writer and what is above last_lsn, then starts a new writer. */
void wal_model_restart(struct wal_model *model, const struct wal_report *report);

struct wal_stats wal_model_stats(struct wal_model *model);

/* A fault hook for the nth call of one name, and with `then` (0: none) the one after it. */
struct wal_model_fault {
	const char *call;
	uint64_t nth;
	int result, then;
};

/* Sets the hook; NULL takes it away. Counts of calls start again. */
void wal_model_set_fault(struct wal_model *model, struct wal_model_fault *fault);
/* A hook for mem_set_fault that fails the allocation after *(int *)ctx others. */
bool wal_model_fail_memory(void *ctx);

/* Options of a scan that starts at from_seq. */
struct wal_scan_opts wal_model_scan_opts(const struct wal_model *model, struct store_io *io,
					 uint64_t from_seq);
/* A wal_visit; ctx is a struct wal_model_seen with model set. */
int wal_model_check(void *ctx, const struct wal_record *record);
/* Scans, with nothing wrong delivered, and returns the verdict. Release report if it is given. */
enum wal_verdict wal_model_scan(const struct wal_model *model, const struct wal_scan_opts *opts,
				struct wal_model_seen *seen_out, struct wal_report *report_out);

/* All records above after_lsn are found, nothing else is, and the log ends well. */
void wal_model_check_whole(struct wal_model *model, uint64_t from_seq, uint64_t after_lsn);

#endif
