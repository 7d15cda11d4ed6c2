/*
 * io_refusing.h - a disk that refuses to read one range of the head or of a segment. Reading only. A
 * segment that is refused from 0 to UINT64_MAX cannot even be asked for its size.
 */
#ifndef VECFS_TESTS_IO_REFUSING_H
#define VECFS_TESTS_IO_REFUSING_H

#include <stdint.h>

#include "store/io.h"

struct io_refusing {
	struct store_io io;
	struct store_io *inner; /* not owned */
	uint64_t seq;		/* 0: the head */
	uint64_t from, to;
};

/* Fills in the rest of a struct of which the range is set. It needs no close; inner does. */
void io_refusing_init(struct io_refusing *disk, struct store_io *inner);

#endif
