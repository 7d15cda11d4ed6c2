/*
 * machine.h - what a figure was measured on, as lines "# key<TAB>value" of a file of results, and
 * within which bounds of memory.
 */
#ifndef VECFS_TESTS_BENCH_MACHINE_H
#define VECFS_TESTS_BENCH_MACHINE_H

#include <stdio.h>

/* Processor, cores, memory, kernel, and what BENCH_COMMIT and BENCH_VERSIONS say. */
void machine_describe(FILE *out);
/* The load of the last minute. */
void machine_load(FILE *out, const char *key);
/* Puts the process into the control group that MEMORY_GROUP names, if any. -1 if that fails. */
int machine_join_group(void);

#endif
