/*
 * fashion.c - what the answers of a mount are worth, on the first Fashion-MNIST pictures.
 *
 *   fashion write MOUNT DATA       writes BASE pictures as files, asks in between and at once after
 *   fashion rewrite MOUNT DATA     writes the same again and again until the mount dies
 *   fashion wait MOUNT             until none is pending
 *   fashion ask MOUNT DATA WHEN    recall by query/10/run, and by query/10,exact/run
 *
 * DATA is the folder of the Fashion-MNIST files. Exit status 1 when an answer is wrong in itself
 * (an id twice, not sorted, a wrong distance), or recall is below its floor.
 */
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
#include "tests/demo/idx.h"
#include "tests/demo/truth.h"
#include "tests/support/client.h"

#define FLOOR 0.95

/* While writing, the first BETWEEN queries are asked after every ASK_EVERY pictures. */
enum { BASE = 5000, QUERIES = 200, BETWEEN = 20, ASK_EVERY = 1250, TEXT_MAX = 4096 };

struct data {
	struct idx base, queries;
};

static void data_release(struct data *data)
{
	idx_release(&data->base);
	idx_release(&data->queries);
}

/* The first BASE and QUERIES pictures. */
static int data_read(const char *folder, struct data *data)
{
	memset(data, 0, sizeof(*data));
	if (idx_read(folder, "train-images-idx3-ubyte.gz", &data->base) != 0 ||
	    idx_read(folder, "t10k-images-idx3-ubyte.gz", &data->queries) != 0)
		return -1;
	if (data->base.count < BASE || data->queries.count < QUERIES ||
	    data->base.size != data->queries.size) {
		fprintf(stderr, "%s: too few pictures\n", folder);
		return -1;
	}
	data->base.count = BASE;
	data->queries.count = QUERIES;
	return 0;
}

static int open_in(const char *mount, const char *name, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", mount, name);
	fd = open(path, flags, 0644);
	if (fd < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return fd;
}

static int put(const char *mount, size_t number, const float *vector, size_t bytes)
{
	char name[32];
	int fd, result;

	snprintf(name, sizeof(name), "vectors/%zu", number);
	fd = open_in(mount, name, O_CREAT | O_WRONLY | O_TRUNC);
	if (fd < 0)
		return -1;
	result = files_put(fd, vector, bytes);
	if (result != 0)
		fprintf(stderr, "%s: write: %s\n", name, strerror(errno));
	if (close(fd) != 0 && result == 0) {
		fprintf(stderr, "%s: close: %s\n", name, strerror(errno));
		result = -1;
	}
	return result;
}

/* Asks an open `run`; vector: scratch that ends up as the query. */
static int ask_one(int fd, const struct idx *queries, size_t query, float *vector,
		   struct answer *answer)
{
	char text[TEXT_MAX];
	ssize_t got;

	idx_floats(queries, query, vector);
	if (files_put(fd, vector, queries->size * sizeof(float)) != 0)
		goto failed;
	got = read(fd, text, sizeof(text) - 1);
	if (got < 0)
		goto failed;
	text[got] = '\0';
	if (answer_parse(text, answer) == 0)
		return 0;
	fprintf(stderr, "query %zu: not an answer:\n%s\n", query, text);
	return -1;
failed:
	fprintf(stderr, "query %zu: %s\n", query, strerror(errno));
	return -1;
}

/* Recall of the queries over base by this file of the mount; below 0: an answer was wrong. */
static double recall_of(const char *mount, const char *name, const struct idx *base,
			const struct idx *queries)
{
	int32_t *squares = mem_zalloc(queries->count * TRUTH_K, sizeof(*squares));
	float *vector = mem_zalloc(base->size, sizeof(*vector));
	int fd = open_in(mount, name, O_RDWR);
	double recall = -1;
	size_t found = 0;

	if (squares == NULL || vector == NULL || fd < 0 || truth_find(base, queries, squares) != 0)
		goto out;
	for (size_t q = 0; q < queries->count; q++) {
		struct answer answer;
		int score;

		if (ask_one(fd, queries, q, vector, &answer) != 0)
			goto out;
		score = answer_score(&answer, base, queries, q, squares + q * TRUTH_K);
		if (score < 0 || answer.count != TRUTH_K) {
			fprintf(stderr,
				"%s, query %zu: %zu ids; one twice, not sorted, or a wrong "
				"distance\n",
				name, q, answer.count);
			goto out;
		}
		found += (size_t)score;
	}
	recall = (double)found / (double)(queries->count * TRUTH_K);
out:
	if (fd >= 0)
		close(fd);
	mem_free(squares);
	mem_free(vector);
	return recall;
}

/*
 * Asks approximately and exactly, and holds both against their floors. So many vectors are not
 * scanned: when all are there and none is pending, the graph must have been walked.
 */
static int judge(const char *mount, const char *when, const struct idx *base,
		 const struct idx *queries)
{
	long pending = client_metric(mount, "vecfs_vectors_pending");
	long before = client_metric(mount, "vecfs_hops_total");
	double recall = recall_of(mount, "query/10/run", base, queries);
	long hops = client_metric(mount, "vecfs_hops_total") - before;
	double exact = recall_of(mount, "query/10,exact/run", base, queries);
	bool good = pending >= 0 && recall >= FLOOR && exact >= 1 &&
		    (pending > 0 || base->count < BASE || hops > (long)queries->count);

	printf("%s - %s: %zu vectors, %ld pending, %zu queries, recall@10 %.4f, exact %.4f\n",
	       good ? "ok" : "not ok", when, base->count, pending, queries->count, recall, exact);
	fflush(stdout);
	return good ? 0 : -1;
}

/* The answers in between must know what was just written, though hardly any of it is linked. */
static int do_write(char **args)
{
	struct data data;
	struct idx base, queries;
	float *vector = NULL;
	int result = data_read(args[1], &data);

	base = data.base;
	queries = data.queries;
	queries.count = BETWEEN;
	if (result == 0)
		vector = mem_zalloc(base.size, sizeof(*vector));
	if (vector == NULL)
		result = -1;
	for (size_t n = 0; result == 0 && n < data.base.count; n++) {
		idx_floats(&data.base, n, vector);
		result = put(args[0], n, vector, base.size * sizeof(*vector));
		base.count = n + 1;
		if (result == 0 && base.count % ASK_EVERY == 0)
			result = judge(args[0], "while they are written", &base, &queries);
	}
	mem_free(vector);
	data_release(&data);
	return result;
}

static int do_rewrite(char **args)
{
	struct data data;
	float *vector = NULL;
	size_t n = 0, done = 0;
	int result = data_read(args[1], &data);

	if (result == 0)
		vector = mem_zalloc(data.base.size, sizeof(*vector));
	if (vector == NULL)
		result = -1;
	printf("begun\n");
	fflush(stdout);
	while (result == 0) {
		idx_floats(&data.base, n, vector);
		if (put(args[0], n, vector, data.base.size * sizeof(*vector)) != 0)
			break;
		n = (n + 1) % data.base.count;
		done++;
	}
	if (result == 0 && !client_is_dead(-errno))
		result = -1;
	printf("%zu vectors were written again\n", done);
	mem_free(vector);
	data_release(&data);
	return result;
}

static int do_wait(char **args)
{
	return files_wait(args[0]);
}

static int do_ask(char **args)
{
	struct data data;
	int result = data_read(args[1], &data);

	if (result == 0)
		result = judge(args[0], args[2], &data.base, &data.queries);
	data_release(&data);
	return result;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **args);
	} steps[] = {{"write", 2, do_write},
		     {"rewrite", 2, do_rewrite},
		     {"wait", 1, do_wait},
		     {"ask", 3, do_ask}};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (argc == steps[i].args + 2 && strcmp(argv[1], steps[i].name) == 0)
			return steps[i].run(argv + 2) == 0 ? 0 : 1;
	fprintf(stderr,
		"usage: fashion write|rewrite MOUNT DATA | wait MOUNT | ask MOUNT DATA WHEN\n");
	return 2;
}
