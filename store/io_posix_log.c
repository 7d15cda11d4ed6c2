/*
 * io_posix_log.c - log segments as files STORE-wal.<seq> beside the store.
 *
 * A table keeps segments open. The kernel tells a write-back error once to each descriptor that was
 * open when it happened, so a descriptor that has written stays open until a sync told its fate.
 *
 * Invariants:
 *  1. A segment in the table has an open descriptor. A segment is in the table at most once.
 *  2. A segment with pins, with unsynced writes or with a failed sync is not closed to make room.
 *  3. After a failed sync every later sync of that segment fails.
 *  4. A segment that was synced is durable with its name, also when a writer made it that was killed
 *     before it had synced the name.
 *
 * Locks: segment.sync_lock before logs.lock; no I/O under logs.lock but open.
 */
#include "store/io_posix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/err.h"
#include "store/mem.h"

#define OPEN_MAX_IDLE 6 /* segments; the log has two or three at a time */
#define NAME_SIZE 256

struct io_posix_segment {
	uint64_t seq;
	int fd;
	unsigned pins;	  /* guarded by logs.lock: calls under way */
	bool removed;	  /* guarded by logs.lock: not in the table, goes with the last pin */
	bool failed;	  /* guarded by logs.lock and sync_lock: a sync failed */
	bool named;	  /* guarded by sync_lock: the name is durable */
	uint64_t writes;  /* guarded by logs.lock: finished writes */
	uint64_t synced;  /* guarded by logs.lock: writes that a sync covered */
	uint64_t used_at; /* guarded by logs.lock */
	pthread_mutex_t sync_lock; /* one sync at a time: the error goes to one caller only */
};

static struct io_posix *posix_of(struct store_io *io)
{
	return (struct io_posix *)io;
}

static void segment_name(const struct io_posix *p, uint64_t seq, char name[NAME_SIZE])
{
	/* cannot be cut: io_posix_new bounds the length */
	(void)snprintf(name, NAME_SIZE, "%s-wal.%llu", p->file, (unsigned long long)seq);
}

static struct io_posix_segment *segment_new(uint64_t seq)
{
	struct io_posix_segment *segment = mem_zalloc(1, sizeof(*segment));

	if (segment == NULL)
		return NULL;
	if (pthread_mutex_init(&segment->sync_lock, NULL) != 0) {
		mem_free(segment);
		return NULL;
	}
	segment->seq = seq;
	segment->fd = -1;
	return segment;
}

static void segment_free(struct io_posix_segment *segment)
{
	if (segment == NULL)
		return;
	if (segment->fd >= 0)
		(void)close(segment->fd); /* a sync has told, or nobody asks any more */
	(void)pthread_mutex_destroy(&segment->sync_lock); /* not locked: cannot fail */
	mem_free(segment);
}

/* Index of a segment in the table, or n. Needs logs->lock. */
static size_t find(const struct io_posix_logs *logs, uint64_t seq)
{
	size_t i = 0;

	while (i < logs->n && logs->open[i]->seq != seq)
		i++;
	return i;
}

/* Closes idle segments, the longest unused first, until few are open. Needs logs->lock. */
static void make_room(struct io_posix_logs *logs)
{
	while (logs->n >= OPEN_MAX_IDLE) {
		size_t victim = logs->n;

		for (size_t i = 0; i < logs->n; i++) {
			const struct io_posix_segment *s = logs->open[i];

			if (s->pins > 0 || s->failed || s->writes != s->synced)
				continue;
			if (victim == logs->n || s->used_at < logs->open[victim]->used_at)
				victim = i;
		}
		if (victim == logs->n)
			return;
		segment_free(logs->open[victim]);
		logs->open[victim] = logs->open[--logs->n];
	}
}

/* Puts a segment into the table. Needs logs->lock. */
static int insert(struct io_posix_logs *logs, struct io_posix_segment *segment)
{
	int ret;

	make_room(logs);
	ret = mem_grow((void **)&logs->open, &logs->cap, logs->n + 1, sizeof(*logs->open));
	if (ret != 0)
		return ret;
	segment->used_at = ++logs->clock;
	logs->open[logs->n++] = segment;
	return 0;
}

/* Opens a segment that is not in the table and puts it there. Needs logs->lock. */
static int open_segment(struct io_posix *p, uint64_t seq, struct io_posix_segment **segment_out)
{
	struct io_posix_segment *segment = segment_new(seq);
	char name[NAME_SIZE];
	int ret;

	*segment_out = NULL;
	if (segment == NULL)
		return ERR_NOMEM;
	segment_name(p, seq, name);
	ret = io_posix_open_file(p->dir_fd, name, p->writable ? IO_POSIX_WRITE : IO_POSIX_READ,
				 &segment->fd);
	if (ret == 0)
		ret = insert(&p->logs, segment);
	if (ret != 0) {
		segment_free(segment);
		return ret;
	}
	*segment_out = segment;
	return 0;
}

/* Finds or opens a segment and keeps it open until unpin. */
static int pin(struct io_posix *p, uint64_t seq, struct io_posix_segment **segment_out)
{
	struct io_posix_logs *logs = &p->logs;
	size_t i;
	int ret = 0;

	*segment_out = NULL;
	if (p->fd < 0)
		return ERR_INVALID;
	pthread_mutex_lock(&logs->lock);
	i = find(logs, seq);
	if (i < logs->n)
		*segment_out = logs->open[i];
	else
		ret = open_segment(p, seq, segment_out);
	if (ret == 0) {
		(*segment_out)->pins++;
		(*segment_out)->used_at = ++logs->clock;
	}
	pthread_mutex_unlock(&logs->lock);
	return ret;
}

static void unpin(struct io_posix_logs *logs, struct io_posix_segment *segment, bool wrote)
{
	bool last;

	pthread_mutex_lock(&logs->lock);
	if (wrote)
		segment->writes++;
	last = --segment->pins == 0 && segment->removed;
	pthread_mutex_unlock(&logs->lock);
	if (last)
		segment_free(segment);
}

int io_posix_log_create(struct store_io *io, uint64_t seq, const void *bytes, size_t len)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_segment *segment;
	char name[NAME_SIZE];
	int ret;

	if (!p->writable)
		return ERR_READONLY;
	segment = segment_new(seq);
	if (segment == NULL)
		return ERR_NOMEM;
	segment_name(p, seq, name);
	ret = io_posix_open_file(p->dir_fd, name, IO_POSIX_CREATE, &segment->fd);
	if (ret != 0) {
		segment_free(segment);
		return ret == ERR_ABSENT ? ERR_IO : ret; /* it is the directory that is gone */
	}
	ret = io_posix_write_at(segment->fd, 0, bytes, len);
	if (ret == 0)
		ret = io_posix_sync_all(segment->fd);
	if (ret == 0)
		ret = io_posix_sync_all(p->dir_fd);
	if (ret != 0) {
		/* Best effort, so that the number can be tried again; ret is the news. */
		(void)io_posix_unlink(p->dir_fd, name);
		segment_free(segment);
		return ret;
	}
	segment->named = true;
	pthread_mutex_lock(&p->logs.lock);
	if (find(&p->logs, seq) < p->logs.n || insert(&p->logs, segment) != 0)
		segment_free(segment); /* it is durable: any other descriptor will do */
	pthread_mutex_unlock(&p->logs.lock);
	return 0;
}

struct listing {
	const char *prefix;
	uint64_t *seqs;
	size_t n, cap;
};

/* "<prefix>-wal.<decimal>" without leading zeros, in 64 bits. */
static bool parse_name(const char *prefix, const char *name, uint64_t *seq_out)
{
	size_t len = strlen(prefix);
	const char *digits = name + len + 5;
	uint64_t seq = 0;

	if (strncmp(name, prefix, len) != 0 || strncmp(name + len, "-wal.", 5) != 0)
		return false;
	if (digits[0] == '\0' || (digits[0] == '0' && digits[1] != '\0'))
		return false;
	for (; *digits != '\0'; digits++) {
		if (*digits < '0' || *digits > '9')
			return false;
		if (__builtin_mul_overflow(seq, 10u, &seq) ||
		    __builtin_add_overflow(seq, (unsigned)(*digits - '0'), &seq))
			return false;
	}
	*seq_out = seq;
	return true;
}

static int visit_name(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	uint64_t seq;
	int ret;

	if (!parse_name(listing->prefix, name, &seq))
		return 0;
	ret = mem_grow((void **)&listing->seqs, &listing->cap, listing->n + 1,
		       sizeof(*listing->seqs));
	if (ret == 0)
		listing->seqs[listing->n++] = seq;
	return ret;
}

static int compare_seqs(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int io_posix_log_list(struct store_io *io, uint64_t **seqs_out, size_t *n_out)
{
	struct io_posix *p = posix_of(io);
	struct listing listing = {.prefix = p->file};
	int ret;

	*seqs_out = NULL;
	*n_out = 0;
	if (p->dir_fd < 0)
		return ERR_INVALID;
	ret = io_posix_list(p->dir_fd, visit_name, &listing);
	if (ret != 0) {
		mem_free(listing.seqs);
		return ret;
	}
	if (listing.n > 0)
		qsort(listing.seqs, listing.n, sizeof(*listing.seqs), compare_seqs);
	*seqs_out = listing.seqs;
	*n_out = listing.n;
	return 0;
}

int io_posix_log_size(struct store_io *io, uint64_t seq, uint64_t *bytes_out)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_segment *segment;
	int ret = pin(p, seq, &segment);

	*bytes_out = 0;
	if (ret != 0)
		return ret;
	ret = io_posix_size_of(segment->fd, bytes_out);
	unpin(&p->logs, segment, false);
	return ret;
}

int io_posix_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
		      size_t *got_out)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_segment *segment;
	int ret = pin(p, seq, &segment);

	*got_out = 0;
	if (ret != 0)
		return ret;
	ret = io_posix_read_at(segment->fd, offset, buf, len, got_out);
	unpin(&p->logs, segment, false);
	return ret;
}

void io_posix_log_forget(struct store_io *io, uint64_t seq)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_segment *segment;

	if (pin(p, seq, &segment) != 0)
		return;
	/* pages that are not written back yet stay, as they should */
	(void)posix_fadvise(segment->fd, 0, 0, POSIX_FADV_DONTNEED);
	unpin(&p->logs, segment, false);
}

static int pin_to_write(struct io_posix *p, uint64_t seq, struct io_posix_segment **segment_out)
{
	return p->writable ? pin(p, seq, segment_out) : ERR_READONLY;
}

int io_posix_log_write(struct store_io *io, uint64_t seq, uint64_t offset, const void *buf,
		       size_t len)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_segment *segment;
	int ret = pin_to_write(p, seq, &segment);

	if (ret != 0)
		return ret;
	ret = io_posix_write_at(segment->fd, offset, buf, len);
	unpin(&p->logs, segment, true);
	return ret;
}

int io_posix_log_reserve(struct store_io *io, uint64_t seq, uint64_t bytes)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_segment *segment;
	int ret = pin_to_write(p, seq, &segment);

	if (ret != 0)
		return ret;
	ret = io_posix_keep_room(segment->fd, bytes);
	unpin(&p->logs, segment, false);
	return ret;
}

int io_posix_log_sync(struct store_io *io, uint64_t seq)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_segment *segment;
	uint64_t writes;
	bool failed;
	int ret;

	if (!p->writable)
		return ERR_READONLY;
	ret = pin(p, seq, &segment);
	if (ret != 0)
		return ret;
	pthread_mutex_lock(&segment->sync_lock);
	pthread_mutex_lock(&p->logs.lock);
	writes = segment->writes;
	failed = segment->failed;
	pthread_mutex_unlock(&p->logs.lock);
	ret = failed ? ERR_UNKNOWN : io_posix_sync_data(segment->fd);
	if (ret == 0 && !segment->named)
		ret = io_posix_sync_all(p->dir_fd);
	segment->named = segment->named || ret == 0;
	pthread_mutex_lock(&p->logs.lock);
	if (ret == 0)
		segment->synced = writes;
	else
		segment->failed = true;
	pthread_mutex_unlock(&p->logs.lock);
	pthread_mutex_unlock(&segment->sync_lock);
	unpin(&p->logs, segment, false);
	return ret;
}

int io_posix_log_remove(struct store_io *io, uint64_t seq)
{
	struct io_posix *p = posix_of(io);
	struct io_posix_logs *logs = &p->logs;
	struct io_posix_segment *segment = NULL;
	char name[NAME_SIZE];
	size_t i;
	int ret;

	if (!p->writable)
		return ERR_READONLY;
	segment_name(p, seq, name);
	ret = io_posix_unlink(p->dir_fd, name);
	if (ret != 0 && ret != ERR_ABSENT)
		return ret;
	pthread_mutex_lock(&logs->lock);
	i = find(logs, seq);
	if (i < logs->n) {
		segment = logs->open[i];
		logs->open[i] = logs->open[--logs->n];
		segment->removed = true;
		if (segment->pins > 0)
			segment = NULL; /* the last user closes it */
	}
	pthread_mutex_unlock(&logs->lock);
	segment_free(segment);
	/* Also when it was absent: an earlier try may have removed it and failed here. */
	return io_posix_sync_all(p->dir_fd);
}

void io_posix_logs_release(struct io_posix_logs *logs)
{
	for (size_t i = 0; i < logs->n; i++)
		segment_free(logs->open[i]);
	mem_free(logs->open);
	logs->open = NULL;
	logs->n = logs->cap = 0;
}
