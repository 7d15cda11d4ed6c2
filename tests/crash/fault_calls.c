/*
 * fault_calls.c - plain calls on a mount whose disk may fail:
 *
 *   fault_calls put MOUNT FROM TO [sync]   vectors v-FROM ... v-(TO-1), until one fails; at the end,
 *                                          fsync. Prints DONE ERRNO
 *   fault_calls sync MOUNT INDEX           fsync of an existing one. Prints ERRNO
 *   fault_calls read MOUNT N               v-0 ... v-(N-1). Prints GOOD UNREADABLE ABSENT
 *   fault_calls ask MOUNT N                the N nearest, exactly and by the graph. Prints the number
 *                                          of answers that are whole, and of those refused with EIO
 *
 * ERRNO is its name, or 0. Exit status 1: something else than what the disk may cause; read: a wrong
 * byte, or one that is there after one that is not; ask: a short or double answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/support/client.h"

enum { DIM = 768, LINE_LONGEST = 64 };

static int complain(const char *name, const char *what)
{
	printf("not ok - %s: %s\n", name, what);
	return -1;
}

static const char *vector_name(unsigned index, char name_out[32])
{
	snprintf(name_out, 32, "v-%04u", index);
	return name_out;
}

static const char *errno_name(int err)
{
	return err == 0 ? "0" : strerrorname_np(-err);
}

static int put(struct client *client, unsigned from, unsigned to, bool sync)
{
	unsigned at = from;
	char name[32];
	int err = 0;

	for (; err == 0 && at < to; at += err == 0) {
		const struct mark mark = {1, at, 1};

		err = client_put(client, vector_name(at, name), &mark, 1, sync && at + 1 == to);
	}
	printf("%u %s\n", at - from, errno_name(err));
	return 0;
}

static int sync_one(struct client *client, unsigned index)
{
	char name[32];
	int fd = openat(client->vectors, vector_name(index, name), O_RDONLY), err;

	err = fd < 0 || fsync(fd) != 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	printf("%s\n", errno_name(err));
	return 0;
}

static int read_all(struct client *client, unsigned n)
{
	unsigned good = 0, unreadable = 0, absent = 0;
	char name[32];
	int ret = 0;

	for (unsigned i = 0; i < n; i++) {
		struct mark mark = {0};
		int err = client_get(client, vector_name(i, name), &mark);

		good += err == 0;
		unreadable += err == -EIO;
		absent += err == -ENOENT;
		if (err == 0 && mark.key != i)
			ret = complain(name, "is another vector");
		else if (err != 0 && err != -EIO && err != -ENOENT)
			ret = complain(name, strerror(-err));
		else if (err != -ENOENT && absent != 0)
			ret = complain(name, "is there, but an earlier one is not");
	}
	printf("%u %u %u\n", good, unreadable, absent);
	return ret;
}

/* An answer has each of the n ids once. */
static int judge_answer(const char *text, size_t len, unsigned n)
{
	static bool seen[10000];
	const char *end = text + len;
	unsigned lines = 0;

	memset(seen, 0, sizeof(seen));
	for (; text < end; lines++) {
		const char *next = memchr(text, '\n', (size_t)(end - text));
		unsigned index;

		if (next == NULL || sscanf(text, "v-%u", &index) != 1 || index >= n ||
		    index >= 10000 || seen[index])
			return complain("an answer", "has a line that is wrong or double");
		seen[index] = true;
		text = next + 1;
	}
	return lines == n ? 0 : complain("an answer", "is short");
}

/* 1: whole, 0: refused with EIO. */
static int ask_once(struct client *client, const char *mount, const char *query, unsigned n)
{
	const struct mark mark = {1, n / 2, 1};
	size_t cap = (size_t)n * LINE_LONGEST + 1, len = 0;
	char path[4096], *text = mem_alloc(cap);
	ssize_t got = 1;
	int fd, err, ret = -1;

	snprintf(path, sizeof(path), "%s/query/%u%s/run", mount, n, query);
	fd = open(path, O_RDWR | O_CLOEXEC);
	mark_fill(&mark, client->vector, DIM);
	if (fd < 0 || text == NULL ||
	    write(fd, client->vector, DIM * sizeof(float)) != (ssize_t)(DIM * sizeof(float)))
		got = -1;
	while (got > 0) {
		got = read(fd, text + len, cap - len);
		len += got > 0 ? (size_t)got : 0;
	}
	err = got < 0 ? errno : 0;
	if (err == 0)
		ret = judge_answer(text, len, n) == 0 ? 1 : -1;
	else if (err == EIO)
		ret = 0;
	else
		complain(path, strerror(err));
	if (fd >= 0)
		close(fd);
	mem_free(text);
	return ret;
}

static int ask(struct client *client, const char *mount, unsigned n)
{
	int exact = ask_once(client, mount, ",exact", n), graph = ask_once(client, mount, "", n);

	printf("%d %d\n", (exact == 1) + (graph == 1), (exact == 0) + (graph == 0));
	return exact < 0 || graph < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct client client;
	int ret = -1, err;

	if (argc < 4) {
		fprintf(stderr, "usage: fault_calls put|sync|read|ask MOUNT ...\n");
		return 2;
	}
	err = client_init(&client, argv[2], DIM);
	if (err != 0)
		complain(argv[2], strerror(-err));
	else if (strcmp(argv[1], "put") == 0 && argc > 4)
		ret = put(&client, (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), argc > 5);
	else if (strcmp(argv[1], "sync") == 0)
		ret = sync_one(&client, (unsigned)atoi(argv[3]));
	else if (strcmp(argv[1], "read") == 0)
		ret = read_all(&client, (unsigned)atoi(argv[3]));
	else if (strcmp(argv[1], "ask") == 0)
		ret = ask(&client, argv[2], (unsigned)atoi(argv[3]));
	client_release(&client);
	return ret == 0 ? 0 : 1;
}
