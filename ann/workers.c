/*
 * workers.c - a pool of threads for one batch of jobs at a time.
 *
 * Invariants:
 *   1. A helper is inside a batch (counted in `inside`) only between two holds of lock, and the
 *      caller leaves workers_run only when inside is 0 and every job was claimed.
 *   2. `busy` is held by the caller whose batch is set.
 *
 * Locks: busy, then lock.
 */
#include "ann/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "store/err.h"
#include "store/mem.h"

struct workers {
	pthread_mutex_t busy;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	bool stop;	/* guarded by lock, as all below but next */
	uint64_t batch; /* number of the batch, so that a helper joins each once */
	bool open;	/* a batch that may still be joined */
	uint32_t inside;
	size_t n;
	void (*job)(void *ctx, size_t i);
	void *ctx;
	_Atomic size_t next;
	uint32_t n_threads;
	pthread_t *threads; /* owned */
};

uint32_t workers_cores(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < 1)
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}

static void work_off(struct workers *workers, size_t n, void (*job)(void *ctx, size_t i), void *ctx)
{
	size_t i;

	while ((i = atomic_fetch_add(&workers->next, 1)) < n)
		job(ctx, i);
}

static void *helper(void *arg)
{
	struct workers *workers = arg;
	uint64_t seen = 0;

	pthread_mutex_lock(&workers->lock);
	for (;;) {
		while (!workers->stop && (!workers->open || workers->batch == seen))
			pthread_cond_wait(&workers->work, &workers->lock);
		if (workers->stop)
			break;
		seen = workers->batch;
		workers->inside++;
		pthread_mutex_unlock(&workers->lock);
		/* n, job and ctx stay as they are while anybody is inside. */
		work_off(workers, workers->n, workers->job, workers->ctx);
		pthread_mutex_lock(&workers->lock);
		if (--workers->inside == 0)
			pthread_cond_signal(&workers->done);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

int workers_new(struct workers **workers_out, uint32_t threads)
{
	struct workers *workers = mem_zalloc(1, sizeof(*workers));

	*workers_out = NULL;
	if (workers == NULL)
		return ERR_NOMEM;
	workers->threads = mem_zalloc(threads, sizeof(*workers->threads));
	if (workers->threads == NULL) {
		mem_free(workers);
		return ERR_NOMEM;
	}
	pthread_mutex_init(&workers->busy, NULL);
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->work, NULL);
	pthread_cond_init(&workers->done, NULL);
	/* Fewer helpers than wished for make batches slower, nothing else. */
	for (; workers->n_threads + 1 < threads; workers->n_threads++)
		if (pthread_create(&workers->threads[workers->n_threads], NULL, helper, workers) !=
		    0)
			break;
	*workers_out = workers;
	return 0;
}

void workers_free(struct workers *workers)
{
	if (workers == NULL)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->stop = true;
	pthread_cond_broadcast(&workers->work);
	pthread_mutex_unlock(&workers->lock);
	for (uint32_t i = 0; i < workers->n_threads; i++)
		pthread_join(workers->threads[i], NULL);
	pthread_cond_destroy(&workers->work);
	pthread_cond_destroy(&workers->done);
	pthread_mutex_destroy(&workers->lock);
	pthread_mutex_destroy(&workers->busy);
	mem_free(workers->threads);
	mem_free(workers);
}

void workers_run(struct workers *workers, size_t n, void (*job)(void *ctx, size_t i), void *ctx)
{
	if (n < 2 || workers->n_threads == 0 || pthread_mutex_trylock(&workers->busy) != 0) {
		for (size_t i = 0; i < n; i++)
			job(ctx, i);
		return;
	}
	pthread_mutex_lock(&workers->lock);
	workers->n = n;
	workers->job = job;
	workers->ctx = ctx;
	atomic_store(&workers->next, 0);
	workers->open = true;
	workers->batch++;
	pthread_cond_broadcast(&workers->work);
	pthread_mutex_unlock(&workers->lock);

	work_off(workers, n, job, ctx);

	pthread_mutex_lock(&workers->lock);
	workers->open = false;
	while (workers->inside > 0)
		pthread_cond_wait(&workers->done, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
	pthread_mutex_unlock(&workers->busy);
}
