/*
 * head.h - the first blocks of the head object in memory: static header and commit slots.
 *
 * Invariants:
 *   1. Of two valid slots the one with the higher generation rules; generations differ by 1, and slot
 *      number = generation & 1. Beside generation 1 alone the other slot is all zeros.
 *   2. uuid, page size and kind of a valid slot are those of the header.
 */
#ifndef VECFS_STORE_HEAD_H
#define VECFS_STORE_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "store/format.h"
#include "store/io.h"

struct head {
	uint8_t uuid[16];
	uint32_t page_size, value_size, kind;
	uint64_t id_seed, kind_seed;
	bool slot_unreadable; /* head_read: the device refused a commit slot, which counts as bad */
};

struct head_slot {
	uint64_t generation;
	uint32_t epoch;
	bool clean;
	uint32_t value_size, dir_depth, buckets;
	uint64_t ckpt_lsn, graph_lsn, first_segment;
	uint64_t blocks, live, dead, slots, next_ino;
	uint64_t free_place, free_checksum, free_blocks;
	struct format_root roots[FORMAT_SPACES];
};

void head_encode(const struct head *head, struct format_header *out);
/* ERR_FORMAT for something else or an unknown version, ERR_DAMAGED for a bad checksum or field. */
int head_decode(const struct format_header *in, const char *name, struct head *head_out,
		struct err_msg *msg);
/* The sentence for a store of another version. Returns ERR_FORMAT. */
int head_refuse_version(const char *name, uint32_t version, struct err_msg *msg);
void head_encode_slot(const struct head *head, const struct head_slot *slot,
		      struct format_slot *out);
/* ERR_ABSENT for a slot never written (all zeros), ERR_DAMAGED for any other that is not valid. */
int head_decode_slot(const struct head *head, const struct format_slot *in,
		     struct head_slot *slot_out);

/*
 * Reads header and slots of an opened head. slots_out[0] is the newest valid one; *n_out (0 ... 2)
 * says how many are valid. *bad_out: a slot is damaged, or cannot be read, or is all zeros though it was
 * written. When there is none ERR_DAMAGED, or ERR_IO if one might have been read.
 */
int head_read(struct store_io *io, struct head *head_out, struct head_slot slots_out[2],
	      unsigned *n_out, bool *bad_out, struct err_msg *msg);

#endif
