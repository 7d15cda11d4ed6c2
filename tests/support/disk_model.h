/*
 * disk_model.h - what may be on a disk when the machine stops, given a tape of what was done.
 *
 * The model takes events one by one and keeps, for each file and for the names of the folder, what
 * is durable and what the page cache says, and the list of events in between: the pending ones.
 *   - A write, cut or punch is pending until a sync of its file.
 *   - A name made or removed is pending until a sync of the folder.
 *   - A failed sync makes its events pending no more without making them durable: they are lost,
 *     though the page cache still shows them. Of an append the length stays, over zeros.
 * A state is made by giving each pending event a fate, in any combination: pending writes reach the
 * disk in any order, whole, in parts, or not at all. What the model does not know: a disk that loses
 * what it said was durable, and sectors that turn unreadable.
 */
#ifndef VECFS_TESTS_DISK_MODEL_H
#define VECFS_TESTS_DISK_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/io_mem.h"
#include "tests/support/tape.h"

struct disk_model;

enum disk_fate_kind {
	DISK_LOSE,    /* as if it had never been */
	DISK_KEEP,    /* wholly on disk */
	DISK_ZEROS,   /* a write: the file has its length, but zeros behind its durable end */
	DISK_PART,    /* a write: bytes from ... to - 1 of it alone */
	DISK_SECTORS, /* a write: about half of its sectors, chosen by seed */
};

struct disk_fate {
	enum disk_fate_kind kind;
	uint32_t from, to; /* PART */
	uint32_t sector;   /* SECTORS: bytes, a power of two */
	uint64_t seed;	   /* SECTORS */
};

/* Begins with the files that were there when the tape started. Aborts without memory, as all here. */
struct disk_model *disk_model_new(const struct tape *tape);
/* Another one in the same state, that goes on with another tape, which found the same files. */
struct disk_model *disk_model_fork(const struct disk_model *model, const struct tape *tape);
void disk_model_free(struct disk_model *model);

/* Takes in event i of the tape; marks are passed over. */
void disk_model_apply(struct disk_model *model, size_t i);

size_t disk_model_pending(const struct disk_model *model);
const struct tape_event *disk_model_event(const struct disk_model *model, size_t pending);
/* Whether a sync has failed: then the page cache shows what no pending event brings to the disk. */
bool disk_model_lost(const struct disk_model *model);
/* Durable length of the file of an event. */
uint64_t disk_model_durable_length(const struct disk_model *model, const struct tape_event *event);

/*
 * Makes the medium hold what is on disk when each pending event has its fate. Names that are not
 * those of a head and its segments are left out. Boot id and clocks stay.
 */
void disk_model_make(const struct disk_model *model, const struct disk_fate *fates,
		     struct io_mem *medium);
/* What other processes see as long as the machine runs: the page cache. */
void disk_model_make_cached(const struct disk_model *model, struct io_mem *medium);

#endif
