/*
 * tables.h - lengths of the tables that have a place for every slot, page or thread there may be.
 *
 * They cost address space, and memory only where they are used; but who opens thousands of stores a
 * second, as the fuzzers do, pays for all of it. Those are compiled with SMALL_TABLES. What does not
 * fit into a table is ERR_LIMIT, whatever its length.
 */
#ifndef VECFS_STORE_TABLES_H
#define VECFS_STORE_TABLES_H

#ifdef SMALL_TABLES
#define TABLE_CHUNK 256u
#define TABLE_CHUNKS 256u
#define TABLE_PAGES 16u
#define TABLE_PAGES_MAX (1u << 14)
#define TABLE_THREADS 8u
#define TABLE_STRIPES 16u
#else
#define TABLE_CHUNK 65536u  /* slots in one chunk of a table by slot; a multiple of 64 */
#define TABLE_CHUNKS 65536u /* so that all 32-bit slots have a place */
#define TABLE_PAGES 1024u   /* pages in one chunk; a multiple of the longest value in pages */
#define TABLE_PAGES_MAX (1u << 30) /* a space */
#define TABLE_THREADS 512u	   /* inside of epochs at once */
#define TABLE_STRIPES 1024u	   /* locks for the nodes of a graph */
#endif

/* Slots below this have a place. */
#define TABLE_SLOTS ((uint64_t)TABLE_CHUNK * TABLE_CHUNKS - 1)

#endif
