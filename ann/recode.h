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
 * index has room and a centre, and nobody else looks at it. A vector that cannot be read keeps a code
 * of zeros: it is found all the same, and then said to be damaged. ERR_NOMEM.
 */
int recode(struct index *index, struct workers *workers, const uint8_t *bitmap, uint32_t slots);

#endif
