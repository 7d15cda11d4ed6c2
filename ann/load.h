/*
 * load.h - makes the index of a collection, empty or as it was published.
 */
#ifndef VECFS_ANN_LOAD_H
#define VECFS_ANN_LOAD_H

#include <stdint.h>

#include "ann/collection.h"

/* An empty index for the first vector. */
int load_fresh(struct ann *ann, uint32_t dim);

/*
 * The index with the published graph, as far as it can be used, and every slot of the store in its
 * place. A graph that cannot be used is forgotten, with a note in *note_out (may be NULL). On error
 * the index may be set up; the caller releases it.
 */
int load_index(struct ann *ann, uint32_t dim, struct err_msg *note_out);

#endif
