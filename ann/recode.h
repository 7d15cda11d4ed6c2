/*
 * recode.h - makes the codes of a loaded graph anew, when those on disk have other bits than wanted.
 *
 * Links say nothing about codes, and a code follows from its vector, the seed and the centre; so the
 * graph stays. This costs reading all vectors once.
 */
#ifndef VECFS_ANN_RECODE_H
#define VECFS_ANN_RECODE_H

#include <stdint.h>

#include "ann/index.h"
#include "ann/workers.h"

/*
 * Encodes slots first ... of the `slots` that bitmap names, on all workers; all count as changed. The
 * index has room and a centre, and nobody else looks at it. ERR_NOMEM, and what reading a live vector
 * gives: then not all codes are made, and the graph may not be searched by them.
 */
int recode(struct index *index, struct workers *workers, const uint8_t *bitmap, uint32_t slots);

#endif
