/*
 * store_fixture.h - a store on an in-memory disk, and vectors with versions, for tests of store/.
 *
 * Failures of the helpers are failures of the running cmocka test, but for those that return a
 * result.
 */
#ifndef VECFS_TESTS_STORE_FIXTURE_H
#define VECFS_TESTS_STORE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/head.h"
#include "store/store.h"
#include "tests/support/io_mem.h"

enum { STORE_FIXTURE_PAGE = 4096, STORE_FIXTURE_VALUE = 512 }; /* bytes */

struct store_fixture {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	struct store_opts opts;
	struct store_open_report report; /* of the last opening */
	struct err_msg msg;		 /* likewise */
};

/* A new store, opened. opts NULL: a cache of 1 MiB and nothing else. */
void store_fixture_new(struct store_fixture *fixture, const struct store_opts *opts);
/* Opens what is on the medium; on an error nothing is left open. */
int store_fixture_try_open(struct store_fixture *fixture);
void store_fixture_open(struct store_fixture *fixture);
/* Leaves the store as a crash would. */
void store_fixture_crash(struct store_fixture *fixture);
void store_fixture_reopen(struct store_fixture *fixture);
/* Crashes what is open and frees the medium. */
void store_fixture_free(struct store_fixture *fixture);

/* Vector number id is called "vector-<id>"; returns the length. */
size_t store_fixture_name(uint32_t id, char name_out[32]);
int store_fixture_try_put(struct store_fixture *fixture, uint32_t id, uint32_t version);
void store_fixture_put(struct store_fixture *fixture, uint32_t id, uint32_t version);
int store_fixture_try_delete(struct store_fixture *fixture, uint32_t id);
int store_fixture_try_rename(struct store_fixture *fixture, uint32_t from, uint32_t to,
			     unsigned flags);
/* That the id holds this version, whole; version 0: that it is not there. */
void store_fixture_expect(struct store_fixture *fixture, uint32_t id, uint32_t version);
/* The invariants of all tables. */
void store_fixture_check(struct store_fixture *fixture);

/* Both commit slots as they stand on the medium, the ruling one first; their number. */
unsigned store_fixture_slots(struct store_fixture *fixture, struct head *head_out,
			     struct head_slot slots_out[2]);

/* A hook for io_mem_set_fault; ctx is a struct store_fixture_fault. */
struct store_fixture_fault {
	const char *call; /* NULL: any call */
	uint64_t nth;
	int result;
	bool for_ever; /* all calls from that one on */
	bool hit;
	uint64_t calls; /* seen, when call is NULL */
};
int store_fixture_fail(void *ctx, const char *call, uint64_t nth);

/*
 * Everything that writes is refused before it reaches the disk; vectors 1 and 2, of versions 1 and 2,
 * can be read. Takes faults of the medium away.
 */
void store_fixture_expect_poisoned(struct store_fixture *fixture);

#endif
