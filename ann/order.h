/*
 * order.h - an order of the vectors in which those that a search meets together lie together.
 */
#ifndef VECFS_ANN_ORDER_H
#define VECFS_ANN_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "ann/graph.h"

/*
 * The LINKED slots below `slots`, packed along the links, into order_out (room for all of them); their
 * number in *n_out. Reads every node. Nobody changes the graph meanwhile. ERR_NOMEM, and what reading
 * a node gives.
 */
int order_graph(struct graph *graph, uint32_t slots, uint32_t *order_out, size_t *n_out);

#endif
