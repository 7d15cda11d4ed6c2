/*
 * epoch.c - entering, leaving and retiring.
 *
 * Threads are numbered for the whole process: a number is taken at a thread's first entry into any
 * epoch and given back when the thread ends. The table of numbers is the only mutable global.
 */
#include "store/epoch.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "store/err.h"
#include "store/mem.h"

static atomic_bool taken[EPOCH_THREADS];
static _Atomic uint32_t highest; /* numbers ever taken are below this */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Thread_local uint32_t my_number; /* 1 + index, 0 = none yet */

static void give_back(void *value)
{
	atomic_store_explicit(&taken[(uintptr_t)value - 1], false, memory_order_release);
}

static void make_key(void)
{
	(void)pthread_key_create(&key, give_back); /* fails only when 1,024 keys are in use */
}

static void raise_highest(uint32_t n)
{
	uint32_t was = atomic_load(&highest);

	while (was < n && !atomic_compare_exchange_weak(&highest, &was, n))
		;
}

static uint32_t take_number(void)
{
	(void)pthread_once(&key_once, make_key);
	for (;;) {
		for (uint32_t i = 0; i < EPOCH_THREADS; i++) {
			bool expected = false;

			if (atomic_load_explicit(&taken[i], memory_order_relaxed))
				continue;
			if (!atomic_compare_exchange_strong(&taken[i], &expected, true))
				continue;
			raise_highest(i + 1);
			(void)pthread_setspecific(key,
						  (void *)(uintptr_t)(i + 1)); /* else leaks i */
			return i + 1;
		}
		(void)sched_yield(); /* cannot fail on Linux */
	}
}

static struct epoch_thread *mine(struct epoch *epoch)
{
	if (my_number == 0)
		my_number = take_number();
	return &epoch->threads[my_number - 1];
}

int epoch_new(struct epoch **epoch_out)
{
	struct epoch *epoch = mem_alloc_aligned(64, sizeof(*epoch));

	*epoch_out = NULL;
	if (epoch == NULL)
		return ERR_NOMEM;
	memset(epoch, 0, sizeof(*epoch));
	atomic_init(&epoch->now, 1);
	*epoch_out = epoch;
	return 0;
}

void epoch_free(struct epoch *epoch)
{
	mem_free(epoch);
}

void epoch_enter(struct epoch *epoch)
{
	struct epoch_thread *me = mine(epoch);

	if (me->depth++ > 0)
		return;
	atomic_store(&me->inside, atomic_load(&epoch->now));
}

void epoch_leave(struct epoch *epoch)
{
	struct epoch_thread *me = mine(epoch);

	if (--me->depth > 0)
		return;
	atomic_store_explicit(&me->inside, 0, memory_order_release);
}

uint64_t epoch_retire(struct epoch *epoch)
{
	return atomic_fetch_add(&epoch->now, 1);
}

uint64_t epoch_oldest(struct epoch *epoch)
{
	uint32_t n = atomic_load(&highest);
	uint64_t oldest = UINT64_MAX;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t inside = atomic_load(&epoch->threads[i].inside);

		if (inside != 0 && inside < oldest)
			oldest = inside;
	}
	return oldest;
}

void epoch_count(struct epoch *epoch, unsigned counter)
{
	_Atomic uint64_t *mine_counter = &mine(epoch)->counters[counter];
	uint64_t v = atomic_load_explicit(mine_counter, memory_order_relaxed);

	atomic_store_explicit(mine_counter, v + 1, memory_order_relaxed);
}

uint64_t epoch_sum(struct epoch *epoch, unsigned counter)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < EPOCH_THREADS; i++)
		sum += atomic_load_explicit(&epoch->threads[i].counters[counter],
					    memory_order_relaxed);
	return sum;
}
