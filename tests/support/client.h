/*
 * client.h - a user of a mount, by plain file calls, and vectors that say who wrote them.
 *
 * Every float of a mark's vector depends on the whole mark, so a vector that mixes two, or has one
 * wrong float, is none. All functions that can fail return 0 or a negative errno.
 */
#ifndef VECFS_TESTS_SUPPORT_CLIENT_H
#define VECFS_TESTS_SUPPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_ID_MAX = 255 };
/* Rounding; vectors of other marks are hundreds of times farther. */
#define CLIENT_SAME_DISTANCE 1e-3

/* What a vector says of itself. Limits: writer < 256, key < 65536, version 1 ... 2^20 - 1. */
struct mark {
	uint32_t writer, key, version; /* version 0: no vector */
};

/* dim >= 4. The numbers are in [-1, 1), and all but the first three look random. */
void mark_fill(const struct mark *mark, float *vector, size_t dim);
/* The mark of which every bit of the vector is as mark_fill makes it, or false. */
bool mark_read(const float *vector, size_t dim, struct mark *mark_out);
bool mark_equal(const struct mark *a, const struct mark *b);

/* One thread's access to a mount. */
struct client {
	size_t dim;
	int vectors;	/* the folder */
	int run[2];	/* query/1/run, and the same with exact */
	int control;	/* status/control */
	float *vector;	/* the one that is written */
	float *scratch; /* the one that was read; a number longer */
	size_t got;	/* bytes of it */
};

int client_init(struct client *client, const char *mount, size_t dim);
void client_release(struct client *client);

/* Writes the mark's vector in so many write() calls; durable: with fsync(). 0: close() said 0. */
int client_put(struct client *client, const char *id, const struct mark *mark, unsigned writes,
	       bool durable);
/* -EMSGSIZE: what is there has another length. -EBADMSG: it is no mark's vector. */
int client_get(struct client *client, const char *id, struct mark *mark_out);
/* The nearest neighbour of the mark's vector; an empty id when there is none. */
int client_ask(struct client *client, const struct mark *mark, bool exact,
	       char id_out[CLIENT_ID_MAX + 1], double *distance_out);
/* Asks for the mark's own vector: -ENODATA when the nearest is not this id at no distance. */
int client_find(struct client *client, const struct mark *mark, bool exact, const char *id);
int client_unlink(struct client *client, const char *id);
int client_rename(struct client *client, const char *from, const char *to, bool exchange);
/* One word to status/control. */
int client_order(struct client *client, const char *word);

/* Calls seen for each name of the folder; its first negative result ends the listing. */
int client_list(struct client *client, int (*seen)(void *ctx, const char *id), void *ctx);

/* A number without labels of status/metrics, or -1. */
long client_metric(const char *mount, const char *name);

/* Whether this errno is what callers of a daemon that was killed get. */
bool client_is_dead(int err);

#endif
