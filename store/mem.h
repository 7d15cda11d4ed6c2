/*
 * mem.h - all heap memory of the program comes from here, so that tests can make any allocation
 * fail and the metrics can say where memory went.
 */
#ifndef VECFS_STORE_MEM_H
#define VECFS_STORE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* size 0 is allowed and gives a unique pointer. NULL when memory is short. */
void *mem_alloc(size_t size);
/* count * size zeroed bytes; NULL also when the product overflows. */
void *mem_zalloc(size_t count, size_t size);
/* alignment: a power of two, at least sizeof(void *). Free with mem_free. Not zeroed. */
void *mem_alloc_aligned(size_t alignment, size_t size);
/* Like realloc for count elements of size bytes; on NULL the old block stays valid. */
void *mem_resize(void *block, size_t count, size_t size);
/* Accepts NULL. */
void mem_free(void *block);
char *mem_strdup(const char *text);

/*
 * Makes room for at least `need` elements in *array (NULL when *cap is 0), doubling. On ERR_NOMEM
 * nothing changed. Used as: mem_grow((void **)&v, &cap, n + 1, sizeof(*v)).
 */
int mem_grow(void **array, size_t *cap, size_t need, size_t size);

/*
 * Reserves address space of `size` bytes, readable and writable, zero until written, that costs
 * memory only where it is touched. NULL when the system refuses. huge asks for 2 MiB pages.
 */
void *mem_reserve(size_t size, bool huge);
/* Gives the memory of a part of a reservation back; it reads as zero again. Page aligned. */
void mem_discard(void *at, size_t size);
void mem_unreserve(void *at, size_t size);
/* The memory that `size` bytes from the start of a reservation take once touched: whole pages. */
size_t mem_touched(size_t size);
/* Gives back to the system what was freed. Takes a moment for each block there is. */
void mem_trim(void);

/*
 * Test seam: when set, called before every allocation; true makes that allocation fail. Set it
 * before threads start; NULL (the default) turns it off.
 */
void mem_set_fault(bool (*fails)(void *ctx), void *ctx);

#endif
