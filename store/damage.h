/*
 * damage.h - sentences about what is damaged: which page, whose vectors, what to do about it.
 *
 * Shared by what looks for damage (check.c, verify.c) and by what meets it (store_explain).
 */
#ifndef VECFS_STORE_DAMAGE_H
#define VECFS_STORE_DAMAGE_H

#include "store/store_private.h"

/* Where findings go, and how many there were. */
struct damage_say {
	store_finding finding;
	void *ctx;
	uint64_t damages, remarks;
};

/* One finding; longer texts are cut. */
void damage_say(struct damage_say *say, bool damage, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * A page whose stored bytes could not be read with err; a finding for each id follows that is lost
 * with it. place: where its bytes are. No lock is held.
 */
void damage_say_page(struct damage_say *say, struct store *store, enum format_space space,
		     uint32_t number, uint64_t place, int err);
/* The id of a live slot that the layer above could not have given it. */
void damage_say_id(struct damage_say *say, uint32_t slot);
/* One copy of a page of a space's map, not read with err. both: the other copy is bad as well. */
void damage_say_map(struct damage_say *say, enum format_space space, uint64_t place, bool both,
		    int err);
/* A log that was read with the verdict WAL_DAMAGED. name: of the store. */
void damage_say_log(struct damage_say *say, const char *name, const struct wal_report *log);

/*
 * While opening, reading tables or replaying the log failed with err: says so, and which page is to
 * blame, if one is. Returns err.
 */
int damage_explain_open(struct store *store, const char *what, int err, struct err_msg *msg);

#endif
