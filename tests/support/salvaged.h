/*
 * salvaged.h - what salvaging a store of salvage_world.h gave and said, whether it is right, and
 * damage to the store before.
 *
 * Failures of the helpers are failures of the running cmocka test. For one thread.
 */
#ifndef VECFS_TESTS_SALVAGED_H
#define VECFS_TESTS_SALVAGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/salvage.h"
#include "tests/support/io_refusing.h"
#include "tests/support/salvage_world.h"

#define WORLD_PER_PAGE (WORLD_PAGE / WORLD_VALUE)

/* What salvage gave and said. */
struct salvaged {
	uint32_t serial[WORLD_IDS], mode[WORLD_IDS];
	uint32_t unnamed[WORLD_OPS_MAX]; /* serials under made-up names */
	uint32_t n_unnamed, given;
	uint32_t value_size, page_size;
	struct salvage_report report;
	char *text;
	size_t text_len;
	int err;
};

/* Salvages what is on the medium; refuse, if not NULL, says which of its bytes cannot be read. */
struct salvaged *salvaged_new(struct io_mem *medium, const struct io_refusing *refuse);
void salvaged_free(struct salvaged *r);

/* --- judging --- */

/* The id has what it must have, or is missing as it must be. */
bool salvaged_is_right(const struct salvage_world *w, const struct salvaged *r, uint32_t id);
bool salvaged_is_unnamed(const struct salvaged *r, uint32_t serial);
/* A sentence names the id. */
bool salvaged_is_said(const struct salvaged *r, uint32_t id);
/* Ids that hold something in the world. */
uint32_t salvaged_live(const struct salvage_world *w);
void salvaged_print(const struct salvage_world *w, const struct salvaged *r, const char *what,
		    uint64_t at);
/*
 * It ran, counted right, and gives no content under an id that never stood there, but for an older
 * version of what a renaming brought there, which is said.
 */
bool salvaged_is_sound(const struct salvage_world *w, const struct salvaged *r);
/*
 * One page of the head is damaged, the log, which begins with the LSN log_from (0: it is empty), is not.
 * What is missing or old stood on one page of values and is named; what has no name is there without;
 * what the log can tell is right.
 */
bool salvaged_head_is_right(const struct salvage_world *w, const struct salvaged *r,
			    uint64_t log_from);
/* Only the ids that the damage to the log could touch are wrong, and then a loss is said. */
bool salvaged_log_is_right(const struct salvage_world *w, const struct salvaged *r,
			   const bool tainted[WORLD_IDS]);

/* --- damage --- */

enum salvaged_damage { FLIP, ZERO, REFUSE, DAMAGES };
extern const char *const salvaged_damage_names[];
/* Flips one bit of a range, or zeroes it; REFUSE is the caller's. */
void salvaged_damage_bytes(uint8_t *bytes, size_t from, size_t to, enum salvaged_damage damage);

/* For salvage_world_walk; ctx: a uint64_t of 0. The LSN of the first record that the log still has. */
int salvaged_first_lsn(void *ctx, const struct wal_record *record);

/* Where the records of a log stand. */
struct salvaged_places {
	struct {
		uint64_t lsn, seq, from, to;
	} at[WORLD_OPS_MAX];
	uint32_t n;
};

/* For salvage_world_walk; ctx: a struct salvaged_places. */
int salvaged_note_place(void *ctx, const struct wal_record *record);
/* Ids whose state depends on a record in the range. Whether there is one. */
bool salvaged_taint(const struct salvage_world *w, const struct salvaged_places *places,
		    uint64_t seq, uint64_t from, uint64_t to, bool tainted[WORLD_IDS]);

#endif
