/*
 * concurrent.c - many processes on one mount; each must see at once what it wrote.
 *
 *   concurrent MOUNT WRITERS ROUNDS SEED
 *
 * A writer writes a vector and asks for it, overwrites it and asks for both, removes an older one
 * and asks for that, and overwrites one of the stable vectors, which are there all the time. Beside
 * the writers one process lists and one reads, without a pause: stable vectors are always listed
 * and whole, and never go back to a former version. At the end the listing, the files and
 * vecfs_vectors agree. Exit status 0, 1 when something was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/support/client.h"

/* A vector is more than one page. So many are searched by their graph as soon as it has them. */
enum { DIM = 1040, STABLE = 1104, STABLE_WRITER = 255, WRITERS_MAX = 64, LAG = 5 };

static const char *mount;
static unsigned writers, rounds;

static int complain(const char *id, const char *what, int err)
{
	printf("not ok - %s: %s%s%s\n", id, what, err ? ": " : "", err ? strerror(-err) : "");
	fflush(stdout);
	return -1;
}

static const char *name_of(unsigned writer, unsigned key, char name_out[32])
{
	snprintf(name_out, 32, "p%u-%u", writer, key);
	return name_out;
}

/* --- writers --- */

static int put_and_find(struct client *client, const char *id, const struct mark *mark)
{
	int err = client_put(client, id, mark, 1 + mark->version % 2, false);
	struct mark read;

	if (err != 0)
		return complain(id, "put", err);
	err = client_find(client, mark, false, id);
	if (err != 0)
		return complain(id, "is not in the answer after close()", err);
	if (mark->key % 4 == 0)
		err = client_find(client, mark, true, id);
	if (err != 0)
		return complain(id, "is not in the exact answer after close()", err);
	err = client_get(client, id, &read);
	if (err != 0 || !mark_equal(&read, mark))
		return complain(id, "reads as something else after close()", err);
	return 0;
}

/* Nothing at this distance any more. */
static int not_found(struct client *client, const char *id, const struct mark *mark, bool exact)
{
	char nearest[CLIENT_ID_MAX + 1];
	double distance = 0;
	int err = client_ask(client, mark, exact, nearest, &distance);

	if (err != 0)
		return complain(id, "ask", err);
	if (nearest[0] != '\0' && distance < 1e-2)
		return complain(id, "its former vector is still in the answer", 0);
	return 0;
}

static int do_round(struct client *client, unsigned writer, unsigned key)
{
	struct mark mark = {writer, key, 1}, old = mark;
	char id[32];
	int err;

	name_of(writer, key, id);
	if (put_and_find(client, id, &mark) != 0)
		return -1;
	mark.version = 2;
	if (put_and_find(client, id, &mark) != 0 || not_found(client, id, &old, key % 2 == 0) != 0)
		return -1;
	if (key < LAG || key % 2 != 0)
		return 0;
	mark.key = key - LAG;
	name_of(writer, mark.key, id);
	err = client_unlink(client, id);
	if (err != 0)
		return complain(id, "unlink", err);
	return not_found(client, id, &mark, key % 4 == 0);
}

/* As do_round leaves it. */
static bool kept(unsigned key)
{
	return (key + LAG) % 2 != 0 || key + LAG >= rounds;
}

/* Each writer has its own of the stable vectors. */
static int do_stable(struct client *client, unsigned writer, unsigned round)
{
	struct mark mark = {STABLE_WRITER, round % (STABLE / writers) * writers + writer,
			    round + 2};
	char id[32];

	return put_and_find(client, name_of(STABLE_WRITER, mark.key, id), &mark);
}

static int run_writer(struct client *client, unsigned writer)
{
	for (unsigned round = 0; round < rounds; round++)
		if (do_round(client, writer, round) != 0 || do_stable(client, writer, round) != 0)
			return -1;
	return 0;
}

/* --- those who look on --- */

struct listing {
	bool *seen; /* (writers + 1) * names_each() */
	unsigned count;
};

static unsigned names_each(void)
{
	return rounds > STABLE ? rounds : STABLE;
}

static int seen_one(void *ctx, const char *id)
{
	struct listing *listing = ctx;
	unsigned writer, key, row;
	char name[32];

	if (sscanf(id, "p%u-%u", &writer, &key) != 2)
		return complain(id, "is listed, but nobody wrote it", 0);
	row = writer == STABLE_WRITER ? writers : writer;
	if (row > writers || key >= names_each() || strcmp(name_of(writer, key, name), id) != 0)
		return complain(id, "is listed, but nobody wrote it", 0);
	if (listing->seen[row * names_each() + key])
		return complain(id, "is listed twice", 0);
	listing->seen[row * names_each() + key] = true;
	listing->count++;
	return 0;
}

static int list_once(struct client *client, struct listing *listing)
{
	size_t cells = (size_t)(writers + 1) * names_each();
	char name[32];
	int err;

	memset(listing->seen, 0, cells);
	listing->count = 0;
	err = client_list(client, seen_one, listing);
	if (err != 0)
		return complain("vectors", "listing", err);
	for (unsigned key = 0; key < STABLE; key++)
		if (!listing->seen[writers * names_each() + key])
			return complain(name_of(STABLE_WRITER, key, name), "is not listed", 0);
	return 0;
}

static int run_lister(struct client *client, int until)
{
	struct listing listing = {mem_zalloc((size_t)(writers + 1) * names_each(), 1), 0};
	char byte;
	int result = listing.seen == NULL ? -1 : 0;

	while (result == 0 && read(until, &byte, 1) < 0)
		result = list_once(client, &listing);
	mem_free(listing.seen);
	return result;
}

static int read_stable(struct client *client, unsigned key, uint32_t *version)
{
	struct mark mark;
	char name[32];
	int err = client_get(client, name_of(STABLE_WRITER, key, name), &mark);

	if (err == -EMSGSIZE)
		printf("%s: %zu bytes\n", name, client->got);
	if (err != 0)
		return complain(name, "read while it is overwritten", err);
	if (mark.writer != STABLE_WRITER || mark.key != key)
		return complain(name, "holds a vector of another name", 0);
	if (mark.version < *version)
		return complain(name, "went back to a former version", 0);
	*version = mark.version;
	return 0;
}

/* Absent, or whole; or empty, between its open() and its write(), as any file that is created. */
static int read_new(struct client *client, unsigned writer, unsigned key)
{
	struct mark mark;
	char name[32];
	int err = client_get(client, name_of(writer, key, name), &mark);

	if (err == -ENOENT || (err == -EMSGSIZE && client->got == 0))
		return 0;
	if (err == -EMSGSIZE)
		printf("%s: %zu bytes\n", name, client->got);
	if (err != 0)
		return complain(name, "read while it is written", err);
	if (mark.writer != writer || mark.key != key)
		return complain(name, "holds a vector of another name", 0);
	return 0;
}

static int run_reader(struct client *client, int until, uint64_t random)
{
	uint32_t versions[STABLE] = {0};
	char byte;
	int result = 0;

	while (result == 0 && read(until, &byte, 1) < 0) {
		unsigned draw;

		random = random * 6364136223846793005u + 1442695040888963407u;
		draw = (unsigned)(random >> 34);
		if (draw % 2 == 0)
			result = read_stable(client, draw / 2 % STABLE,
					     &versions[draw / 2 % STABLE]);
		else
			result = read_new(client, draw / 2 % writers, draw / 2 / writers % rounds);
	}
	return result;
}

/* --- the whole --- */

static int count_all(struct client *client)
{
	struct listing listing = {mem_zalloc((size_t)(writers + 1) * names_each(), 1), 0};
	unsigned expected = STABLE;
	char name[32];
	int result = -1;

	if (listing.seen == NULL || list_once(client, &listing) != 0)
		goto out;
	for (unsigned writer = 0; writer < writers; writer++)
		for (unsigned key = 0; key < rounds; key++) {
			struct mark mark, own = {writer, key, 2};
			int err = client_get(client, name_of(writer, key, name), &mark);

			expected += kept(key);
			if (err != (kept(key) ? 0 : -ENOENT) ||
			    (err == 0 && !mark_equal(&mark, &own)))
				result = complain(name, "is not as it was left", err);
			else if (listing.seen[writer * names_each() + key] != kept(key))
				result = complain(name, "the listing has it wrong", 0);
			else
				continue;
			goto out;
		}
	printf("%u vectors listed, %ld by vecfs_vectors, %u expected; %ld pending\n", listing.count,
	       client_metric(mount, "vecfs_vectors"), expected,
	       client_metric(mount, "vecfs_vectors_pending"));
	result = listing.count == expected &&
				 client_metric(mount, "vecfs_vectors") == (long)expected ?
			 0 :
			 -1;
out:
	mem_free(listing.seen);
	return result;
}

static int put_stable(struct client *client)
{
	char name[32];

	for (unsigned key = 0; key < STABLE; key++) {
		struct mark mark = {STABLE_WRITER, key, 1};
		int err = client_put(client, name_of(STABLE_WRITER, key, name), &mark, 1, false);

		if (err != 0)
			return complain(name, "put", err);
	}
	return 0;
}

/* In a process of its own: number below writers writes, then one lists and one reads. */
static int run_child(unsigned number, int until, uint64_t seed)
{
	struct client client;
	int err = client_init(&client, mount, DIM);

	if (err != 0)
		err = complain(mount, "cannot be used", err);
	else if (number < writers)
		err = run_writer(&client, number);
	else if (number == writers)
		err = run_lister(&client, until);
	else
		err = run_reader(&client, until, seed);
	client_release(&client);
	return err;
}

static int wait_for(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int run_all(uint64_t seed)
{
	pid_t children[WRITERS_MAX + 2];
	int until[2], result = 0;

	if (pipe2(until, O_NONBLOCK | O_CLOEXEC) != 0)
		return -1;
	for (unsigned i = 0; i < writers + 2; i++) {
		fflush(stdout);
		children[i] = fork();
		if (children[i] == 0) {
			close(until[1]);
			_exit(run_child(i, until[0], seed) == 0 ? 0 : 1);
		}
	}
	for (unsigned i = 0; i < writers; i++)
		result |= wait_for(children[i]);
	close(until[1]);
	for (unsigned i = writers; i < writers + 2; i++)
		result |= wait_for(children[i]);
	close(until[0]);
	return result;
}

int main(int argc, char **argv)
{
	struct client client;
	int result;

	if (argc != 5) {
		fprintf(stderr, "usage: concurrent MOUNT WRITERS ROUNDS SEED\n");
		return 2;
	}
	mount = argv[1];
	writers = (unsigned)strtoul(argv[2], NULL, 10);
	rounds = (unsigned)strtoul(argv[3], NULL, 10);
	if (writers == 0 || writers > WRITERS_MAX || rounds == 0)
		return 2;
	result = client_init(&client, mount, DIM);
	if (result != 0)
		complain(mount, "cannot be used", result);
	if (result == 0)
		result = put_stable(&client);
	if (result == 0)
		result = run_all(strtoull(argv[4], NULL, 10));
	if (result == 0)
		result = count_all(&client);
	client_release(&client);
	return result == 0 ? 0 : 1;
}
