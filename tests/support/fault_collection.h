/*
 * fault_collection.h - a small collection with a published graph, and what it must answer, for the
 * tests that let memory fail and damage the disk.
 *
 * For each id the model keeps the version that was acknowledged, and the one that a failed change
 * would have given. Nothing runs beside the caller. The functions note what is wrong in why.
 */
#ifndef VECFS_TESTS_FAULT_COLLECTION_H
#define VECFS_TESTS_FAULT_COLLECTION_H

#include "ann/ann.h"
#include "tests/support/io_mem.h"

#define FAULT_VECTORS 300u
#define FAULT_DIM 8u

struct fault_collection {
	struct io_mem *medium;
	const bool *faulty; /* true: calls may fail */
	struct store_io *io;
	struct store *store;
	struct ann *ann;
	uint32_t now[FAULT_VECTORS];   /* version, 0: absent */
	uint32_t maybe[FAULT_VECTORS]; /* that of a failed change, else as now */
	uint32_t version;
	uint32_t errors; /* calls that failed */
	bool graph_bad;	 /* linking, and the checks of the graph, may find it damaged */
	bool graph_met;	 /* and did */
	struct err_msg msg, note;
	char why[300];
};

/* A medium with all vectors but the last linked and published, and some changes only in its log. */
void fault_collection_new(struct fault_collection *c);
void fault_collection_copy(const struct fault_collection *from, struct fault_collection *to,
			   const bool *faulty);
/* Lets go of everything, the medium too. */
void fault_collection_drop(struct fault_collection *c);

/* False when it did not open. Takes what is there as the truth, if the model allows it. */
bool fault_collection_open(struct fault_collection *c);
bool fault_collection_open_read_only(struct fault_collection *c);
void fault_collection_put(struct fault_collection *c, uint32_t id);
void fault_collection_delete(struct fault_collection *c, uint32_t id);
/* Reads every vector. */
void fault_collection_read(struct fault_collection *c);
void fault_collection_list(struct fault_collection *c);
/* exact: as the model orders them. Else through the graph: k answers, and each vector finds itself. */
void fault_collection_search(struct fault_collection *c, bool exact);
void fault_collection_link(struct fault_collection *c);
void fault_collection_flush(struct fault_collection *c);
void fault_collection_close(struct fault_collection *c);
/* Without faults: all answers are right, also after reopening; then the check finds nothing. */
void fault_collection_finish(struct fault_collection *c);

#endif
