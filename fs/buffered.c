/*
 * buffered.c - two counters with bounds, and giving memory back when much of it has become free.
 */
#include "fs/buffered.h"

#include <stdatomic.h>

#include "store/mem.h"

#define TRIM_FROM (32ull << 20) /* less is not worth looking for */

/* The allocator keeps what was freed in small blocks. */
static void give_back(struct buffered *buffered, uint64_t now)
{
	uint64_t peak = atomic_load(&buffered->peak);

	if (peak < TRIM_FROM || now > peak / 4)
		return;
	if (atomic_compare_exchange_strong(&buffered->peak, &peak, now))
		mem_trim();
}

static void note_peak(struct buffered *buffered, uint64_t now)
{
	uint64_t peak = atomic_load(&buffered->peak);

	while (peak < now && !atomic_compare_exchange_weak(&buffered->peak, &peak, now))
		;
}

int buffered_change(struct buffered *buffered, size_t *held, size_t now, bool tells,
		    struct err_msg *msg)
{
	uint64_t bound = BUFFERED_MAX;
	uint64_t all;

	if (now <= *held) {
		all = atomic_fetch_sub(&buffered->bytes, *held - now) - (*held - now);
		*held = now;
		give_back(buffered, all);
		return 0;
	}
	if (tells)
		bound += BUFFERED_SPARE + BUFFERED_SPARE_TELLING;
	else if (now <= BUFFERED_SMALL)
		bound += BUFFERED_SPARE;
	all = atomic_fetch_add(&buffered->bytes, now - *held) + (now - *held);
	if (all > bound) {
		atomic_fetch_sub(&buffered->bytes, now - *held);
		return err_set(msg, ERR_NOMEM,
			       "all open files together hold more than %llu MiB: close some",
			       BUFFERED_MAX >> 20);
	}
	note_peak(buffered, all);
	*held = now;
	return 0;
}

int buffered_open(struct buffered *buffered, bool tells, struct err_msg *msg)
{
	uint32_t bound = BUFFERED_FILES_MAX + (tells ? BUFFERED_FILES_SPARE : 0);

	if (atomic_fetch_add(&buffered->files, 1) < bound)
		return 0;
	buffered_close(buffered);
	return err_set(msg, ERR_LIMIT,
		       "%u files are open in this mount, as many as may be: close some",
		       BUFFERED_FILES_MAX);
}

void buffered_close(struct buffered *buffered)
{
	atomic_fetch_sub(&buffered->files, 1);
}
