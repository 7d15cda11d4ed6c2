/*
 * fault_scenes.h - the scenes in which calls to the disk and allocations are made to fail, and how
 * a test walks through its cases.
 */
#ifndef VECFS_TESTS_FAULT_SCENES_H
#define VECFS_TESTS_FAULT_SCENES_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/fault_world.h"
#include "tests/support/io_mem.h"

struct fault_scene {
	const char *name;
	uint32_t page_size, value_size;
	const char *before;  /* a program that runs without faults */
	bool damaged_slot;   /* then the newest commit slot is damaged */
	const char *program; /* runs with them */
};

extern const struct fault_scene fault_scenes[];
extern const unsigned fault_scenes_n;

/* A scene after its `before`: world and medium, to be copied for each case. */
struct fault_stage {
	const struct fault_scene *scene;
	struct fault_world world;
	struct io_mem *medium;
};

/* Exits with a message when `before` itself goes wrong. */
void fault_stage_set(struct fault_stage *stage, const struct fault_scene *scene);
void fault_stage_clear(struct fault_stage *stage);
/* A world of its own, on a copy of the medium, to be run. faulty: see fault_world.h. */
void fault_stage_copy(const struct fault_stage *stage, struct fault_world *w, const bool *faulty);
/* Ends a copy. */
void fault_stage_drop(struct fault_world *w);

/* --- cases of a test --- */

/*
 * Reads TORTURE, SEED, CASE and FROM. share: of how many cases ci looks at one. From now on a case
 * that crashes, or takes longer than 20 s, is named before the program ends.
 */
void fault_cases_start(const char *kind, unsigned share);
/* From now on ci looks at one case of so many. */
void fault_cases_share(unsigned share);
/* Whether the next case, with this name, is to be run. The name is kept until the next call. */
bool fault_case(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The result of the case: why is NULL or empty when all was right. */
void fault_case_done(const char *why);
/* Prints "checked: ..." and returns the exit status. */
int fault_cases_end(void);
bool fault_cases_full(void);

#endif
