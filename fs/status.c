/*
 * status.c - counters of a mount, the last refused operations, and the words of status/control.
 *
 * Counters are relaxed atomics: each is exact, several together are of nearly one moment.
 *
 * Invariants:
 * 1. ring[] holds min(made, STATUS_ERRORS) lines; the newest is ring[(made - 1) % STATUS_ERRORS].
 * 2. Each line ends with its only newline and has exactly four tabs.
 *
 * Locks: status->lock guards the ring; nothing else is locked under it.
 */
#include "fs/status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/daemon.h"
#include "fs/fs.h"
#include "fs/text.h"
#include "store/mem.h"

#define PATH_SHOWN 320 /* bytes of a path that an entry keeps; the longest vectors/<id> fits */

const double status_bounds[STATUS_BOUNDS] = {
	0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
	0.02,	 0.05,	  0.1,	  0.2,	  0.5,	  1,	 2,	5,     10,
};

struct line {
	char *text; /* owned */
	size_t len;
};

struct status {
	_Atomic uint64_t ops[STATUS_OP_COUNT];
	_Atomic uint64_t queries, query_ns;
	_Atomic uint64_t query_times[STATUS_BOUNDS + 1];
	_Atomic uint64_t made; /* entries; written under lock */
	pthread_mutex_t lock;
	struct line ring[STATUS_ERRORS]; /* guarded by status->lock */
};

int status_new(struct status **status_out)
{
	struct status *status = mem_zalloc(1, sizeof(*status));

	*status_out = NULL;
	if (status == NULL)
		return ERR_NOMEM;
	if (pthread_mutex_init(&status->lock, NULL) != 0) {
		mem_free(status);
		return ERR_NOMEM;
	}
	*status_out = status;
	return 0;
}

void status_free(struct status *status)
{
	if (status == NULL)
		return;
	for (size_t i = 0; i < STATUS_ERRORS; i++)
		mem_free(status->ring[i].text);
	pthread_mutex_destroy(&status->lock);
	mem_free(status);
}

/* --- counters --- */

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t value_of(_Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void clear(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, 0, memory_order_relaxed);
}

void status_count(struct status *status, enum status_op op)
{
	add(&status->ops[op], 1);
}

/* The queries of a batch count as equally long. */
void status_query_time(struct status *status, uint64_t ns, uint64_t queries)
{
	double seconds;
	size_t at = 0;

	if (queries == 0)
		return;
	seconds = (double)ns / (double)queries / 1e9;
	while (at < STATUS_BOUNDS && seconds > status_bounds[at])
		at++;
	add(&status->query_times[at], queries);
	add(&status->query_ns, ns);
	add(&status->queries, queries);
}

void status_reset(struct status *status)
{
	for (size_t i = 0; i < STATUS_OP_COUNT; i++)
		clear(&status->ops[i]);
	for (size_t i = 0; i <= STATUS_BOUNDS; i++)
		clear(&status->query_times[i]);
	clear(&status->queries);
	clear(&status->query_ns);
}

void status_get_counters(struct status *status, struct status_counters *counters_out)
{
	for (size_t i = 0; i < STATUS_OP_COUNT; i++)
		counters_out->ops[i] = value_of(&status->ops[i]);
	for (size_t i = 0; i <= STATUS_BOUNDS; i++)
		counters_out->query_times[i] = value_of(&status->query_times[i]);
	counters_out->queries = value_of(&status->queries);
	counters_out->query_ns = value_of(&status->query_ns);
	counters_out->errors = value_of(&status->made);
}

/* --- the ring of errors --- */

static void append_time(struct text *text, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000u);
	unsigned millis = (unsigned)(realtime_ns / 1000000u % 1000u);
	struct tm tm = {0};

	(void)gmtime_r(&seconds, &tm); /* fails only for years beyond an int */
	text_format(text, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
		    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, millis);
}

static void append_path(struct text *text, const char *path)
{
	size_t len = strlen(path), keep = len;

	if (len > PATH_SHOWN) {
		keep = PATH_SHOWN;
		while (keep > 0 && ((unsigned char)path[keep] & 0xc0) == 0x80)
			keep--; /* not in the middle of a character */
	}
	text_escaped(text, path, keep);
	if (keep < len)
		text_string(text, "...");
}

void status_error(struct status *status, uint64_t realtime_ns, const char *operation,
		  const char *path, const char *errno_name, const char *sentence)
{
	struct text text;
	struct line made = {0}, *place;
	char *oldest;

	text_init(&text, 160);
	append_time(&text, realtime_ns);
	text_string(&text, "\t");
	text_escaped(&text, operation, strlen(operation));
	text_string(&text, "\t");
	append_path(&text, path);
	text_string(&text, "\t");
	text_escaped(&text, errno_name, strlen(errno_name));
	text_string(&text, "\t");
	text_escaped(&text, sentence, strlen(sentence));
	text_string(&text, "\n");
	if (text_take(&text, &made.text, &made.len) != 0)
		return;
	pthread_mutex_lock(&status->lock);
	place = &status->ring[value_of(&status->made) % STATUS_ERRORS];
	oldest = place->text;
	*place = made;
	add(&status->made, 1);
	pthread_mutex_unlock(&status->lock);
	mem_free(oldest);
}

int status_errors_text(struct fs *fs, char **text_out, size_t *len_out)
{
	struct status *status = fs->status;
	struct text text;
	uint64_t end, first;

	text_init(&text, 4096);
	pthread_mutex_lock(&status->lock);
	end = value_of(&status->made);
	first = end > STATUS_ERRORS ? end - STATUS_ERRORS : 0;
	for (uint64_t i = first; i < end; i++) {
		const struct line *line = &status->ring[i % STATUS_ERRORS];

		text_bytes(&text, line->text, line->len);
	}
	pthread_mutex_unlock(&status->lock);
	return text_take(&text, text_out, len_out);
}

void status_notice(struct fs *fs, const char *operation, const char *path, const char *sentence)
{
	status_error(fs->status, fs->io->ops->now_ns(fs->io, STORE_CLOCK_REALTIME), operation, path,
		     "-", sentence);
	if (fs->daemon != NULL)
		daemon_say(fs->daemon, sentence);
}

/* --- control --- */

static int checkpoint(struct fs *fs, struct call *call)
{
	struct err_msg *msg = &call->msg;
	int rc;

	if (ann_read_only(fs->ann))
		return ERR_READONLY;
	rc = ann_flush(fs->ann);
	if (rc == 0)
		rc = store_checkpoint(fs->store);
	if (rc != 0)
		return err_set(msg, rc, "checkpoint: %s; %s", err_str(rc),
			       store_unsaved(fs->store));
	return 0;
}

static int drop_caches(struct fs *fs, struct call *call)
{
	(void)call;
	ann_drop_caches(fs->ann);
	return 0;
}

static int reset_metrics(struct fs *fs, struct call *call)
{
	(void)call;
	status_reset(fs->status);
	ann_reset_metrics(fs->ann);
	return 0;
}

static const struct {
	const char *word;
	int (*run)(struct fs *fs, struct call *call);
} controls[] = {
	{"checkpoint", checkpoint},
	{"verify", status_verify},
	{"drop-caches", drop_caches},
	{"reset-metrics", reset_metrics},
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int status_control(struct fs *fs, const char *line, size_t len, struct call *call)
{
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	while (len > 0 && is_blank(line[0])) {
		line++;
		len--;
	}
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		if (len == strlen(controls[i].word) && memcmp(line, controls[i].word, len) == 0)
			return controls[i].run(fs, call);
	return err_set(&call->msg, ERR_INVALID,
		       "'%.*s' is no word of status/control: use checkpoint, verify, drop-caches "
		       "or reset-metrics",
		       (int)(len < 64 ? len : 64), line);
}
