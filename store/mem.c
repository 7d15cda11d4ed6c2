/* mem.c - the allocation seam over the C library and mmap. */
#include "store/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/err.h"

/* Set once by a test before threads start; read-only afterwards. */
static bool (*fault_hook)(void *ctx);
static void *fault_ctx;

void mem_set_fault(bool (*fails)(void *ctx), void *ctx)
{
	fault_hook = fails;
	fault_ctx = ctx;
}

static bool must_fail(void)
{
	return fault_hook != NULL && fault_hook(fault_ctx);
}

void *mem_alloc(size_t size)
{
	return must_fail() ? NULL : malloc(size ? size : 1);
}

void *mem_zalloc(size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || must_fail())
		return NULL;
	return calloc(bytes ? bytes : 1, 1);
}

void *mem_alloc_aligned(size_t alignment, size_t size)
{
	size_t rounded = (size + alignment - 1) / alignment * alignment;

	if (must_fail() || rounded < size)
		return NULL;
	return aligned_alloc(alignment, rounded ? rounded : alignment);
}

void *mem_resize(void *block, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || must_fail())
		return NULL;
	return realloc(block, bytes ? bytes : 1);
}

void mem_free(void *block)
{
	free(block);
}

char *mem_strdup(const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = mem_alloc(len);

	if (copy != NULL)
		memcpy(copy, text, len);
	return copy;
}

int mem_grow(void **array, size_t *cap, size_t need, size_t size)
{
	size_t wanted = *cap ? *cap : 8;
	void *grown;

	if (need <= *cap)
		return 0;
	while (wanted < need) {
		if (wanted > SIZE_MAX / 2)
			return ERR_NOMEM;
		wanted *= 2;
	}
	grown = mem_resize(*array, wanted, size);
	if (grown == NULL)
		return ERR_NOMEM;
	*array = grown;
	*cap = wanted;
	return 0;
}

void *mem_reserve(size_t size, bool huge)
{
	void *at;

	if (must_fail())
		return NULL;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		  -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	if (huge)
		(void)madvise(at, size, MADV_HUGEPAGE); /* a hint: without it only speed is lost */
	(void)madvise(at, size, MADV_DONTDUMP);		/* a hint: vectors stay out of core dumps */
	return at;
}

void mem_discard(void *at, size_t size)
{
	(void)madvise(at, size, MADV_DONTNEED); /* fails only for arguments we never pass */
}

void mem_unreserve(void *at, size_t size)
{
	if (at != NULL)
		(void)munmap(at, size); /* fails only for arguments we never pass */
}

size_t mem_touched(size_t size)
{
	long known = sysconf(_SC_PAGESIZE);
	size_t page = known > 0 ? (size_t)known : 4096;

	return (size + page - 1) / page * page;
}

void mem_trim(void)
{
#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
}
