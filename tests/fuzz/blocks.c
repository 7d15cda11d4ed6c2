/*
 * blocks.c - large blocks and reservations that are used again, in place of those of store/mem.c.
 *
 * The linker sends the calls here (--wrap). A target opens a store in each execution, and what it
 * would ask of the kernel for that takes longer than all else. A block that nobody has is poisoned,
 * so that its use is seen; a reservation is a block too, and has bounds.
 *
 * For one thread.
 */
#include <sanitizer/asan_interface.h>
#include <string.h>

#include "store/mem.h"
#include "tests/fuzz/fuzz.h"

#define KEPT_MAX 64u
#define KEPT_FROM (64u << 10) /* shorter ones cost little */
#define KEPT_UP_TO (2u << 20) /* longer ones are rare */

static struct kept {
	void *at;
	size_t size;
	bool taken;
} kept[KEPT_MAX];
static size_t n_kept, next;

void *__real_mem_alloc_aligned(size_t alignment, size_t size);
void *__real_mem_reserve(size_t size, bool huge);
void __real_mem_free(void *block);
void __real_mem_unreserve(void *at, size_t size);
void *__wrap_mem_alloc_aligned(size_t alignment, size_t size);
void *__wrap_mem_reserve(size_t size, bool huge);
void __wrap_mem_free(void *block);
void __wrap_mem_discard(void *at, size_t size);
void __wrap_mem_unreserve(void *at, size_t size);

/* Whether the fault that may be set lets an allocation pass. */
static bool may_allocate(void)
{
	void *asked = mem_alloc(1);

	__real_mem_free(asked);
	return asked != NULL;
}

/* Of those that are free the one after that taken last, so that a block rests for a while. */
static void *take(size_t size)
{
	struct kept *block;

	if (!may_allocate())
		return NULL;
	for (size_t i = 0; i < n_kept; i++) {
		block = &kept[(next + i) % n_kept];
		if (block->taken || block->size != size)
			continue;
		next = (size_t)(block - kept) + 1;
		block->taken = true;
		ASAN_UNPOISON_MEMORY_REGION(block->at, size);
		return block->at;
	}
	if (n_kept == KEPT_MAX)
		return __real_mem_alloc_aligned(4096, size);
	block = &kept[n_kept];
	block->at = __real_mem_alloc_aligned(4096, size);
	if (block->at == NULL)
		return NULL;
	block->size = size;
	block->taken = true;
	n_kept++;
	return block->at;
}

void *__wrap_mem_alloc_aligned(size_t alignment, size_t size)
{
	if (size < KEPT_FROM || size > KEPT_UP_TO)
		return __real_mem_alloc_aligned(alignment, size);
	return take(size);
}

void __wrap_mem_free(void *block)
{
	for (size_t i = 0; i < n_kept; i++) {
		if (kept[i].at != block)
			continue;
		FUZZ_ASSERT(kept[i].taken);
		ASAN_POISON_MEMORY_REGION(block, kept[i].size);
		kept[i].taken = false;
		return;
	}
	__real_mem_free(block);
}

void *__wrap_mem_reserve(size_t size, bool huge)
{
	void *at;

	if (size > KEPT_UP_TO)
		return __real_mem_reserve(size, huge);
	at = take(size);
	if (at != NULL)
		memset(at, 0, size);
	return at;
}

/* Of either kind; what the kernel takes back reads as zeros, too. */
void __wrap_mem_discard(void *at, size_t size)
{
	memset(at, 0, size);
}

void __wrap_mem_unreserve(void *at, size_t size)
{
	if (size > KEPT_UP_TO)
		__real_mem_unreserve(at, size);
	else
		__wrap_mem_free(at);
}
