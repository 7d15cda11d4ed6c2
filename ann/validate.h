/*
 * validate.h - what may be stored: numbers that are numbers, names that are names. Pure functions.
 */
#ifndef VECFS_ANN_VALIDATE_H
#define VECFS_ANN_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "ann/ann.h"

/* Position of the first NaN or infinity among n floats; n when there is none. */
size_t validate_finite(const float *vector, size_t n);
/* Whether all n floats are 0 or -0. */
bool validate_zero(const float *vector, size_t n);
/* Whether the bytes are UTF-8 as RFC 3629 has it: shortest forms, no surrogates, at most U+10FFFF. */
bool validate_utf8(const char *text, size_t len);
/* As ann_validate, with the dimension (0: not known yet) and metric given. */
int validate_vector(uint32_t dim, enum ann_metric metric, const float *vector, size_t n,
		    struct err_msg *msg);

#endif
