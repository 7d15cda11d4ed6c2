/* ask.c - queries through the mount, and what their answers are worth. */
#include "tests/demo/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/demo/answer.h"
#include "tests/demo/files.h"
#include "tests/demo/picture.h"
#include "tests/demo/progress.h"
#include "tests/demo/truth.h"

#define RECALL_BAR 0.95
#define EXACT_SECONDS 30.0 /* after that no further exact batch is begun */

enum { BATCH = 500, PATHS = 20, CHUNK = 1000, TEXT_MAX = 1 << 20, PICTURES = 12, KINDS = 10 };

/* What the steps share. */
struct session {
	const struct ask *ask;
	int32_t *squares;	/* TRUTH_K a test image */
	struct answer *answers; /* one a test image */
	char *text;		/* TEXT_MAX, an answer as read */
	float *vectors;		/* BATCH of them */
	size_t bytes;		/* of a vector */
};

static int fail(const char *what, size_t query)
{
	fprintf(stderr, "test image %zu: %s: %s\n", query, what, strerror(errno));
	return -1;
}

static int refuse(const char *what, size_t query, const char *text)
{
	fprintf(stderr, "test image %zu: %s:\n%.400s\n", query, what, text);
	return -1;
}

static int open_query(const struct session *session, const char *name, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/query/%s", session->ask->mount, name);
	fd = open(path, flags);
	if (fd < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return fd;
}

/* Reads to the end of file into text and terminates it. */
static int read_all(int fd, char *text)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, text + n, TEXT_MAX - 1 - n);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	return 0;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One write, one read: the loop a client has. seconds: one a query. */
static int ask_each(struct session *session, int fd, double *seconds)
{
	const struct idx *test = session->ask->test;
	struct progress progress;

	progress_init(&progress, "asking one by one", test->count);
	for (size_t q = 0; q < test->count; q++) {
		double begin = now();
		ssize_t got;

		idx_floats(test, q, session->vectors);
		if (files_put(fd, session->vectors, session->bytes) != 0)
			return fail("write to run", q);
		got = read(fd, session->text, TEXT_MAX - 1);
		if (got < 0)
			return fail("read from run", q);
		seconds[q] = now() - begin;
		session->text[got] = '\0';
		if (answer_parse(session->text, &session->answers[q]) != 0)
			return refuse("not an answer", q, session->text);
		progress_show(&progress, q + 1);
	}
	progress_release(&progress);
	return 0;
}

/* Recall of the answers to queries 0 ... n-1; negative when one is wrong. */
static double recall_of(const struct session *session, const struct answer *answers, size_t n)
{
	const struct ask *ask = session->ask;
	size_t found = 0;

	for (size_t q = 0; q < n; q++) {
		int score = answer_score(&answers[q], ask->train, ask->test, q,
					 session->squares + q * TRUTH_K);

		if (score < 0) {
			fprintf(stderr, "test image %zu: an id twice, or a wrong distance\n", q);
			return -1;
		}
		found += (size_t)score;
	}
	return (double)found / (double)(n * TRUTH_K);
}

static void print_labels(const struct session *session)
{
	const struct ask *ask = session->ask;
	size_t right = 0;

	for (size_t q = 0; q < ask->test->count; q++)
		right += session->answers[q].count > 0 &&
			 ask->train_labels->bytes[session->answers[q].ids[0]] ==
				 ask->test_labels->bytes[q];
	printf("the nearest neighbour has the test image's label in %.2f %% of the cases\n",
	       100.0 * (double)right / (double)ask->test->count);
}

static int step_run(struct session *session)
{
	size_t n = session->ask->test->count;
	double *seconds = mem_zalloc(n, sizeof(*seconds));
	double sum = 0, recall;
	int fd = open_query(session, "10/run", O_RDWR), result = -1;

	if (fd < 0 || seconds == NULL || ask_each(session, fd, seconds) != 0)
		goto out;
	for (size_t q = 0; q < n; q++)
		sum += seconds[q];
	qsort(seconds, n, sizeof(*seconds), compare_doubles);
	printf("asked %zu test images on query/10/run, one by one: %.0f a second; median %.3f ms, "
	       "90 %% %.3f ms, 99 %% %.3f ms, longest %.1f ms\n",
	       n, (double)n / sum, seconds[n / 2] * 1e3, seconds[n * 9 / 10] * 1e3,
	       seconds[n * 99 / 100] * 1e3, seconds[n - 1] * 1e3);
	recall = recall_of(session, session->answers, n);
	if (recall < 0)
		goto out;
	printf("recall@10 %.4f against the exact answer\n", recall);
	print_labels(session);
	if (recall < RECALL_BAR)
		fprintf(stderr, "recall@10 is below %.2f\n", RECALL_BAR);
	else
		result = 0;
out:
	if (fd >= 0)
		close(fd);
	mem_free(seconds);
	return result;
}

/* query/10/<hex>: opened a directory at a time, since all digits are longer than a path may be. */
static int ask_hex(struct session *session, size_t query)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t *bytes = (uint8_t *)session->vectors;
	int at = open_query(session, "10", O_RDONLY | O_DIRECTORY), next;
	char name[CHUNK + 1];
	size_t done = 0;
	int result = -1;

	idx_floats(session->ask->test, query, session->vectors);
	while (at >= 0 && done < session->bytes) {
		size_t n = 0;

		for (; n < CHUNK && done < session->bytes; done++) {
			name[n++] = hex[bytes[done] >> 4];
			name[n++] = hex[bytes[done] & 15];
		}
		name[n] = '\0';
		next = openat(at, name, done < session->bytes ? O_RDONLY | O_DIRECTORY : O_RDONLY);
		close(at);
		at = next;
	}
	if (at < 0)
		return fail("open by hex digits", query);
	result = read_all(at, session->text);
	if (result != 0)
		(void)fail("read by hex digits", query); /* result says it */
	close(at);
	return result;
}

/* The same queries by their digits must find the same. */
static int step_hex(struct session *session)
{
	double begin = now();

	for (size_t q = 0; q < PATHS; q++) {
		struct answer answer;
		double recall;

		if (ask_hex(session, q) != 0)
			return -1;
		if (answer_parse(session->text, &answer) != 0 ||
		    answer.count != session->answers[q].count ||
		    memcmp(answer.ids, session->answers[q].ids,
			   answer.count * sizeof(answer.ids[0])) != 0)
			return refuse("by hex digits the answer is another", q, session->text);
		recall = answer_score(&answer, session->ask->train, session->ask->test, q,
				      session->squares + q * TRUTH_K);
		if (recall < 0)
			return refuse("a wrong distance", q, session->text);
	}
	printf("%d of them asked again as paths query/10/<hex>/...: the same answers, %.2f ms each\n",
	       PATHS, (now() - begin) / PATHS * 1e3);
	return 0;
}

static int step_like(struct session *session)
{
	double begin = now();

	for (size_t n = 0; n < PATHS; n++) {
		struct answer answer;
		char name[64];
		int fd, result;

		snprintf(name, sizeof(name), "10/like/%zu", n);
		fd = open_query(session, name, O_RDONLY);
		if (fd < 0)
			return -1;
		result = read_all(fd, session->text);
		close(fd);
		if (result != 0)
			return fail(name, n);
		if (answer_parse(session->text, &answer) != 0 || answer.count != TRUTH_K)
			return refuse("query/10/like is no answer", n, session->text);
		for (size_t i = 0; i < answer.count; i++)
			if (answer.ids[i] == n)
				return refuse("query/10/like names itself", n, session->text);
	}
	printf("%d stored images by query/10/like/<id>: ten others each, %.2f ms each\n", PATHS,
	       (now() - begin) / PATHS * 1e3);
	return 0;
}

static int ask_batch(struct session *session, int fd, size_t first, size_t n,
		     struct answer *answers)
{
	const struct idx *test = session->ask->test;

	for (size_t i = 0; i < n; i++)
		idx_floats(test, first + i, session->vectors + i * test->size);
	if (files_put(fd, session->vectors, n * session->bytes) != 0)
		return fail("write of an exact batch", first);
	if (read_all(fd, session->text) != 0)
		return fail("read of an exact batch", first);
	if (answer_parse_batch(session->text, answers, n) != 0)
		return refuse("not the answer to a batch", first, session->text);
	return 0;
}

static int step_exact(struct session *session)
{
	size_t n = session->ask->test->count, done = 0;
	struct answer *answers = mem_zalloc(n, sizeof(*answers));
	int fd = open_query(session, "10,exact/run", O_RDWR), result = -1;
	struct progress progress;
	double seconds, recall;

	if (fd < 0 || answers == NULL)
		goto out;
	progress_init(&progress, "asking exactly, in batches", n);
	while (done < n && now() - progress.begin < EXACT_SECONDS) {
		size_t part = n - done < BATCH ? n - done : BATCH;

		if (ask_batch(session, fd, done, part, answers + done) != 0)
			goto out;
		done += part;
		progress_show(&progress, done);
	}
	seconds = progress_release(&progress);
	recall = recall_of(session, answers, done);
	if (recall < 0)
		goto out;
	printf("recall@10 %.4f with query/10,exact/run, %zu test images in batches of %d: %.0f a "
	       "second\n",
	       recall, done, BATCH, (double)done / seconds);
	if (recall < 1)
		fprintf(stderr, "exact answers are not exact\n");
	else
		result = 0;
out:
	if (fd >= 0)
		close(fd);
	mem_free(answers);
	return result;
}

/* The first test image of each kind, then the next ones whatever they are. */
static int step_picture(struct session *session, const char *path)
{
	const struct ask *ask = session->ask;
	struct picture_row rows[PICTURES];
	struct picture picture = {ask->train, ask->train_labels, ask->test, ask->test_labels, rows,
				  0};
	unsigned seen = 0;

	for (size_t q = 0; q < ask->test->count && picture.n_rows < PICTURES; q++) {
		struct picture_row *row = &rows[picture.n_rows];
		unsigned kind = 1u << ask->test_labels->bytes[q];

		if (session->answers[q].count < TRUTH_K ||
		    (picture.n_rows < KINDS && (seen & kind)))
			continue;
		seen |= kind;
		row->query = q;
		memcpy(row->neighbours, session->answers[q].ids, sizeof(row->neighbours));
		memcpy(row->distances, session->answers[q].distances, sizeof(row->distances));
		picture.n_rows++;
	}
	if (picture_write(&picture, path) != 0)
		return -1;
	printf("%zu test images beside their ten neighbours: %s\n", picture.n_rows, path);
	return 0;
}

int ask_all(const struct ask *ask, const char *picture_path)
{
	struct session session = {.ask = ask, .bytes = ask->test->size * sizeof(float)};
	size_t n = ask->test->count;
	int result = -1, steps = 0;
	double begin = now();

	session.squares = mem_zalloc(n * TRUTH_K, sizeof(*session.squares));
	session.answers = mem_zalloc(n, sizeof(*session.answers));
	session.text = mem_alloc(TEXT_MAX);
	session.vectors = mem_zalloc(BATCH, session.bytes);
	if (session.squares == NULL || session.answers == NULL || session.text == NULL ||
	    session.vectors == NULL || truth_find(ask->train, ask->test, session.squares) != 0) {
		fprintf(stderr, "out of memory\n");
		goto out;
	}
	printf("exact answers computed outside the mount in %.1f s\n", now() - begin);
	fflush(stdout);
	steps += step_run(&session);
	fflush(stdout);
	steps += step_hex(&session);
	steps += step_like(&session);
	fflush(stdout);
	steps += step_exact(&session);
	steps += step_picture(&session, picture_path);
	result = steps < 0 ? -1 : 0;
out:
	mem_free(session.squares);
	mem_free(session.answers);
	mem_free(session.text);
	mem_free(session.vectors);
	return result;
}
