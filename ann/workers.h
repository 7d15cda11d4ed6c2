/*
 * workers.h - a few threads that share the jobs of one caller at a time, beside that caller.
 */
#ifndef VECFS_ANN_WORKERS_H
#define VECFS_ANN_WORKERS_H

#include <stddef.h>
#include <stdint.h>

struct workers;

/* threads: how many work at most, the caller among them; 1 starts none. Accepts failure to start. */
int workers_new(struct workers **workers_out, uint32_t threads);
/* Nobody is inside workers_run. Accepts NULL. */
void workers_free(struct workers *workers);

/*
 * Calls job(ctx, 0) ... job(ctx, n - 1), each once, and returns when all have returned. The calling
 * thread works too; the others help unless they are busy for another caller.
 */
void workers_run(struct workers *workers, size_t n, void (*job)(void *ctx, size_t i), void *ctx);

/* Processors this process may run on, at least 1. */
uint32_t workers_cores(void);

#endif
