/*
 * memory.h - how much memory there is for this process, and how much it has.
 */
#ifndef VECFS_FS_MEMORY_H
#define VECFS_FS_MEMORY_H

#include <stdint.h>

/*
 * Bytes this process may use: the least of the machine's memory, the limits of its control groups
 * (v1 and v2, and those above them), and RLIMIT_AS. Never 0.
 */
uint64_t memory_usable(void);
/* Bytes resident now; 0 when the system does not say. */
uint64_t memory_resident(void);
/*
 * The bound that cache=auto stands for: a quarter of what the process may use. A store of fewer
 * vectors stays in memory whole, as it fits below the bound; a larger one is cached in part.
 */
uint64_t memory_auto_cache(uint64_t usable);

/*
 * What the codes of a collection may take when code-bits=auto: two thirds of what the page cache
 * leaves (with cache=auto half of all). The rest is for pages being changed, vectors being written,
 * and the process itself. Never 0.
 */
uint64_t memory_code_room(uint64_t usable, uint64_t cache_bytes);

/* The parts of memory_usable, for tests. A limit above `most` counts as none. */

/* The number in a file that holds one; `most` when there is none, it says "max", or is larger. */
uint64_t memory_limit_in(const char *path, uint64_t most);

#endif
