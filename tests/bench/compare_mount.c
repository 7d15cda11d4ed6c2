/*
 * compare_mount.c - what the mount adds to a search. The collection in this process is asked, and a
 * copy of it that scripts/bench-ann has mounted, through one open `run`, in turn.
 *
 * Environment: RUN_MOUNT, the mount; NULL_MOUNT, one of nullfs, where a write and a read of a file
 * are the two trips to a daemon that a query needs at least.
 */
#include "tests/bench/compare.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/demo/progress.h"

#define SINGLE 1000u
#define ANSWER_BYTES (1u << 20)
#define TURNS 20u /* of a round */

struct mounted {
	const struct compare *compare;
	void *self;
	uint32_t effort;
	int run, null;
	char *answer; /* ANSWER_BYTES */
	size_t vector_bytes;
};

/* Writes n vectors, reads the answer. */
static void through(const struct mounted *m, int fd, size_t first, size_t n)
{
	const struct dataset *set = &m->compare->set;
	const char *bytes = (const char *)(set->queries + first * set->dim);
	ssize_t left = (ssize_t)(n * m->vector_bytes), got;

	while (left > 0) {
		got = write(fd, bytes, (size_t)left);
		compare_must(got > 0 ? 0 : -1, "a write to the mount");
		bytes += got;
		left -= got;
	}
	/* One vector's answer is known to be short: one read has it. */
	do {
		got = read(fd, m->answer, ANSWER_BYTES);
		compare_must(got >= 0 ? 0 : -1, "a read from the mount");
	} while (got > 0 && n > 1);
}

/* Seconds a query, asked one at a time, queries first ... */
static double single_mount(const struct mounted *m, int fd, size_t first, size_t n)
{
	double from = now();

	for (size_t q = first; q < first + n; q++)
		through(m, fd, q, 1);
	return (now() - from) / (double)n;
}

static double single_here(const struct mounted *m, size_t first, size_t n)
{
	const struct dataset *set = &m->compare->set;
	double from = now();
	size_t hits;

	for (size_t q = first; q < first + n; q++)
		compare_must(
			peer_vecfs_batch(m->self, set->queries + q * set->dim, 1, m->effort, &hits),
			"a query");
	return (now() - from) / (double)n;
}

/* Turns of a few queries here, there and there, so that what disturbs meets all alike. */
static void single_round(const struct mounted *m, unsigned round, FILE *results)
{
	double here = 0, mount = 0, null = 0;
	size_t n = SINGLE / TURNS;

	for (unsigned turn = 0; turn < TURNS; turn++) {
		size_t first = turn * n % (m->compare->queries - n + 1);

		here += single_here(m, first, n) / TURNS;
		null += single_mount(m, m->null, first, n) / TURNS;
		mount += single_mount(m, m->run, first, n) / TURNS;
	}
	fprintf(results, "single\t1\t%u\t%u\t%.2f\t%.2f\t%.2f\t%.3f\n", m->effort, round,
		here * 1e6, null * 1e6, mount * 1e6, mount / (here + null));
}

/* Of batches, the null file system shows what the copies and the trips cost alone: the same writes,
 * and two reads, as an answer and its end take. */
static void batch_round(const struct mounted *m, size_t n, unsigned round, FILE *results)
{
	const struct dataset *set = &m->compare->set;
	double here = 0, mount = 0, null = 0;
	size_t hits;

	for (unsigned turn = 0; turn < TURNS; turn++) {
		size_t first = turn * n % (m->compare->queries - n + 1);
		double from = now(), middle, end;

		compare_must(peer_vecfs_batch(m->self, set->queries + first * set->dim, n,
					      m->effort, &hits),
			     "a batch");
		middle = now();
		through(m, m->run, first, n);
		end = now();
		here += (middle - from) / TURNS;
		mount += (end - middle) / TURNS;
		through(m, m->null, first, n);
		compare_must(read(m->null, m->answer, ANSWER_BYTES) == 0 ? 0 : -1, "a null read");
		null += (now() - end) / TURNS;
	}
	fprintf(results, "batch\t%zu\t%u\t%u\t%.2f\t%.2f\t%.2f\t%.3f\n", n, m->effort, round,
		here / (double)n * 1e6, null / (double)n * 1e6, mount / (double)n * 1e6,
		here / mount);
}

static int open_in(const char *variable, const char *name, int flags)
{
	const char *mount = getenv(variable);
	char path[4096];
	int fd;

	compare_must(mount == NULL ? -1 : 0, variable);
	snprintf(path, sizeof(path), "%s/%s", mount, name);
	fd = open(path, flags, 0600);
	compare_must(fd < 0 ? -1 : 0, path);
	return fd;
}

void compare_mount(struct compare *compare)
{
	static const size_t batches[] = {100, 1000};
	struct mounted m = {.compare = compare, .effort = PEER_K};
	FILE *results = compare_results(compare, "mount");
	char run[64];

	m.vector_bytes = compare->set.dim * sizeof(float);
	m.answer = compare_alloc(ANSWER_BYTES, 1);
	m.self = compare_index(compare, &peer_vecfs);
	while (compare_recall(compare, &peer_vecfs, m.self, m.effort) < 0.95)
		m.effort += 1 + m.effort / 20;
	snprintf(run, sizeof(run), "query/%u,effort=%u/run", PEER_K, m.effort);
	m.run = open_in("RUN_MOUNT", run, O_RDWR);
	m.null = open_in("NULL_MOUNT", "file", O_RDWR | O_CREAT);
	fprintf(results, "query\tin a batch\teffort\tround\tin the process, µs a query\t"
			 "null round trips, µs\tthrough the mount, µs a query\tratio\n");
	(void)single_mount(&m, m.run, 0, compare->queries);
	for (unsigned round = 0; round < compare->rounds; round++) {
		single_round(&m, round, results);
		for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
			if (batches[i] <= compare->queries)
				batch_round(&m, batches[i], round, results);
	}
	close(m.run);
	close(m.null);
	peer_vecfs.close(m.self);
	mem_free(m.answer);
	compare_results_end(results);
}
