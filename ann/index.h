/*
 * index.h - graph, codes and states of one collection, made when its dimension is known.
 *
 * Locks: index->freeze is held shared by whoever changes nodes or codes (it may wait for I/O
 * inside), exclusively only for the moment in which a flush freezes them. index->grow_lock before it, alone.
 */
#ifndef VECFS_ANN_INDEX_H
#define VECFS_ANN_INDEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ann/graph.h"
#include "ann/nodes.h"
#include "ann/quant.h"
#include "store/tables.h"

#define INDEX_CHUNK TABLE_CHUNK
#define INDEX_CHUNKS TABLE_CHUNKS

struct index {
	struct store *store; /* not owned */
	uint32_t dim;	     /* 0: not set up, then only states is valid */
	uint32_t effort;     /* default search effort */
	struct graph_params params;
	struct quant quant;
	struct codes codes;
	struct ann_nodes *nodes; /* owned */
	struct graph graph;
	struct graph_states states;
	/* One bit a slot: its code was written since the last flush took the bits. */
	_Atomic(_Atomic(uint64_t) *) *changed;
	pthread_rwlock_t freeze;
	pthread_mutex_t grow_lock;
	_Atomic uint32_t room;		     /* slots below this have state, code and bit */
	_Atomic uint64_t changed_nodes;	     /* inserts, repairs, sweeps since the last flush */
	_Atomic uint64_t linked;	     /* slots inserted and not yet set ABSENT */
	_Atomic uint64_t inserted, repaired; /* counters */
	_Atomic bool centred;		     /* codes can be made: quant has its centre */
	_Atomic bool damaged; /* a node could not be read: to be built anew at the next opening */
};

int index_init(struct index *index, struct store *store);
void index_release(struct index *index);

/* ERR_NOMEM; ERR_INVALID for code_bits that quant_init refuses. effort 0: as recommended. */
int index_set_up(struct index *index, enum ann_metric metric, uint32_t dim, uint32_t code_bits,
		 uint32_t effort);
void index_tear_down(struct index *index);

/*
 * The point that codes are relative to, dim numbers, before the first code; once. index_mean makes
 * one of those of n stored vectors that are live still, no younger than lsn, and can be read.
 * ERR_NOMEM; ERR_AGAIN when none is live, what reading one gave when none can be read; and what
 * reading the slot table gives.
 */
int index_set_centre(struct index *index, const float *centre);
int index_mean(struct index *index, const uint32_t *slots, size_t n, uint64_t lsn,
	       float *centre_out);

/* Room for slots below n in states, codes and bits. ERR_NOMEM, ERR_LIMIT. */
int index_grow(struct index *index, uint32_t n);

/* Writes the code of a slot no search can reach. Room exists; freeze is held shared. */
void index_put_code(struct index *index, uint32_t slot, const uint8_t *code);
/* Copies `len` bytes of the array of all codes, packed, from byte `at`; past the room: zeros. */
void index_copy_codes(const struct index *index, uint64_t at, uint8_t *out, size_t len);
/* The bit of a slot. */
bool index_code_changed(const struct index *index, uint32_t slot);
void index_clear_changed(struct index *index, uint32_t slots);
/* Sets the bits of slots first ... end - 1. */
void index_mark_changed(struct index *index, uint32_t first, uint32_t end);

/* --- working memory of a thread that links --- */

struct index_linker {
	struct graph_scratch *graph;
	void *encode; /* scratch of quant_encode */
	uint8_t *code;
};
int index_linker_init(struct index_linker *linker, const struct index *index);
void index_linker_release(struct index_linker *linker);

/* Makes the code of a stored vector, into linker->code. What reading it gives. */
int index_encode(struct index *index, struct index_linker *linker, uint32_t slot);
/*
 * Encodes a stored vector and inserts it into the graph. Holds freeze itself. The slot is ABSENT, or
 * the tombstone of what was in it before; it stays stored meanwhile, or dead but not released.
 */
int index_link(struct index *index, struct index_linker *linker, uint32_t slot);
int index_repair(struct index *index, struct index_linker *linker, uint32_t slot);
/* A sweep over slots first ... end - 1. */
int index_sweep(struct index *index, struct index_linker *linker, uint32_t first, uint32_t end);
/* After a sweep: the slot of a repaired tombstone leaves the graph. */
void index_forget(struct index *index, uint32_t slot);

#endif
