/*
 * hammer.c - many processes on the same few ids: whatever happens, each name is one whole vector.
 *
 *   hammer MOUNT DIM PROCESSES ROUNDS SEED
 *
 * 1. Each process writes, in one or several steps or as text, reads, renames, exchanges, removes,
 *    lists and asks, all with the same ids. What is read was written by one process, whole.
 * 2. All write one id at the same time; at the end it is what one of them wrote last.
 * 3. Each changes a number of its own in one vector; none of the changes is lost. The first number may
 *    be the beginning of a whole vector and waits for close().
 * Exit status 0, 1 when something was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/support/client.h"

enum { IDS = 6, PROCESSES_MAX = 64, TEXT_MAX = 1 << 17 };

static const char *mount;
static size_t dim;
static unsigned processes, rounds;
static _Atomic uint32_t *begun; /* shared; the newest version of each process */

static int complain(const char *id, const char *what, int err)
{
	printf("not ok - %s: %s%s%s\n", id, what, err ? ": " : "", err ? strerror(-err) : "");
	fflush(stdout);
	return -1;
}

static const char *name_of(unsigned i, char name_out[16])
{
	snprintf(name_out, 16, "same%u", i);
	return name_out;
}

/* As text, through json/. */
static int put_text(struct client *client, const char *id, const struct mark *mark)
{
	char path[64], *text = mem_alloc(TEXT_MAX);
	size_t len = 0;
	int fd, err = 0;

	if (text == NULL)
		return -ENOMEM;
	mark_fill(mark, client->vector, dim);
	for (size_t i = 0; i < dim; i++)
		len += (size_t)snprintf(text + len, TEXT_MAX - len, "%c%.9g", i == 0 ? '[' : ',',
					(double)client->vector[i]);
	len += (size_t)snprintf(text + len, TEXT_MAX - len, "]\n");
	snprintf(path, sizeof(path), "../json/%s", id);
	fd = openat(client->vectors, path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		err = -errno;
	if (fd >= 0 && close(fd) != 0 && err == 0)
		err = -errno;
	mem_free(text);
	return err;
}

/* Absent, or empty between its open() and its write(), or what one process wrote. */
static int look(struct client *client, const char *id)
{
	struct mark mark;
	int err = client_get(client, id, &mark);

	if (err == -ENOENT || (err == -EMSGSIZE && client->got == 0))
		return 0;
	if (err == -EMSGSIZE)
		printf("%s: %zu bytes\n", id, client->got);
	if (err != 0)
		return complain(id, err == -EBADMSG ? "a mixture" : "read", err);
	if (mark.writer >= processes || mark.version > begun[mark.writer])
		return complain(id, "nobody wrote this", 0);
	return 0;
}

static int seen_one(void *ctx, const char *id)
{
	bool *seen = ctx;
	unsigned i;

	if (sscanf(id, "same%u", &i) != 1 || i >= IDS)
		return complain(id, "is listed, but nobody wrote it", 0);
	if (seen[i])
		return complain(id, "is listed twice", 0);
	seen[i] = true;
	return 0;
}

/* Whatever others do to the same ids, these are all that can come of it. */
static int allowed(const char *id, const char *what, int err)
{
	if (err == 0 || err == -ENOENT || err == -EBUSY || err == -EEXIST)
		return 0;
	return complain(id, what, err);
}

static int do_one(struct client *client, unsigned draw, const struct mark *mark)
{
	char id[16], other[16], nearest[CLIENT_ID_MAX + 1];
	bool seen[IDS] = {false};
	double distance;
	int err = 0;

	name_of(draw % IDS, id);
	name_of(draw / IDS % IDS, other);
	switch (draw / IDS / IDS % 12) {
	case 0:
	case 1:
	case 2:
		err = client_put(client, id, mark, 1 + draw % 3, false);
		return err == 0 ? 0 : complain(id, "put", err);
	case 3:
		err = put_text(client, id, mark);
		return err == 0 ? 0 : complain(id, "put as text", err);
	case 4:
		return allowed(id, "unlink", client_unlink(client, id));
	case 5:
		return allowed(id, "rename", client_rename(client, id, other, false));
	case 6:
		return allowed(id, "exchange", client_rename(client, id, other, true));
	case 7:
		return client_list(client, seen_one, seen);
	case 8:
		err = client_ask(client, mark, draw % 2 == 0, nearest, &distance);
		if (err == 0 && nearest[0] != '\0' && strncmp(nearest, "same", 4) != 0)
			return complain(nearest, "is no id", 0);
		return err == 0 ? 0 : complain(id, "ask", err);
	default:
		return look(client, id);
	}
}

static int mix(struct client *client, unsigned number, uint64_t random)
{
	for (unsigned round = 1; round <= rounds; round++) {
		struct mark mark = {number, 0, round};

		random = random * 6364136223846793005u + 1442695040888963407u;
		begun[number] = round;
		if (do_one(client, (unsigned)(random >> 34), &mark) != 0)
			return -1;
	}
	return 0;
}

/* All write one id; the last of each is version rounds. */
static int contend(struct client *client, unsigned number)
{
	for (unsigned round = rounds - rounds / 4; round <= rounds; round++) {
		struct mark mark = {number, 0, round};
		int err = number % 4 == 3 ? put_text(client, "one", &mark) :
					    client_put(client, "one", &mark, 1 + round % 3, false);

		if (err != 0)
			return complain("one", "put", err);
	}
	return 0;
}

/* Each changes its own number of one vector, by a descriptor of its own. */
static int change(struct client *client, unsigned number)
{
	int fd = openat(client->vectors, "parts", O_WRONLY | O_CLOEXEC);
	int result = 0;

	for (unsigned round = 1; round <= rounds && result == 0; round++) {
		float value = (float)(number * rounds + round);

		if (pwrite(fd, &value, sizeof(value), (off_t)(number * sizeof(value))) !=
		    (ssize_t)sizeof(value))
			result = complain("parts", "pwrite", -errno);
	}
	if (fd < 0 || close(fd) != 0)
		result = complain("parts", "open or close", -errno);
	return result;
}

enum phase { PHASE_MIX, PHASE_CONTEND, PHASE_CHANGE };

static int run_phase(enum phase phase, uint64_t seed)
{
	pid_t children[PROCESSES_MAX];
	int result = 0, status;

	fflush(stdout);
	for (unsigned i = 0; i < processes; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			struct client client;
			int err = client_init(&client, mount, dim);

			if (err == 0)
				err = phase == PHASE_MIX     ? mix(&client, i, seed + i * 77) :
				      phase == PHASE_CONTEND ? contend(&client, i) :
							       change(&client, i);
			client_release(&client);
			fflush(stdout);
			_exit(err != 0);
		}
	}
	for (unsigned i = 0; i < processes; i++)
		if (children[i] < 0 || waitpid(children[i], &status, 0) != children[i] ||
		    status != 0)
			result = -1;
	return result;
}

/* --- what must be there at the end of each --- */

static int after_mix(struct client *client)
{
	bool seen[IDS] = {false};
	char id[16];
	long expected = 0;
	int err = client_list(client, seen_one, seen);

	if (err != 0)
		return complain("vectors", "listing", err);
	for (unsigned i = 0; i < IDS; i++) {
		struct mark mark;

		err = client_get(client, name_of(i, id), &mark);
		if (err != (seen[i] ? 0 : -ENOENT))
			return complain(id, "is not as the listing says", err);
		expected += seen[i];
		if (seen[i] && look(client, id) != 0)
			return -1;
		if (seen[i] && client_unlink(client, id) != 0)
			return complain(id, "unlink", -errno);
	}
	if (client_metric(mount, "vecfs_vectors") != 0)
		return complain("vecfs_vectors", "is not 0 when all are removed", 0);
	printf("%ld of %d ids were there at the end\n", expected, IDS);
	return 0;
}

static int after_contend(struct client *client)
{
	struct mark mark;
	int err = client_get(client, "one", &mark);

	if (err != 0)
		return complain("one", "is not what one process wrote", err);
	if (mark.version != rounds)
		return complain("one", "is not what one of them wrote last", 0);
	err = client_find(client, &mark, true, "one");
	return err == 0 ? 0 : complain("one", "another vector is searched than is read", err);
}

static int after_change(struct client *client)
{
	int fd = openat(client->vectors, "parts", O_RDONLY | O_CLOEXEC);
	size_t bytes = dim * sizeof(float);
	int lost = 0;

	if (fd < 0 || read(fd, client->scratch, bytes) != (ssize_t)bytes)
		return complain("parts", "read", -errno);
	close(fd);
	for (unsigned i = 0; i < processes; i++)
		lost += client->scratch[i] != (float)(i * rounds + rounds);
	if (lost > 0)
		printf("%d of %u numbers are not the last ones\n", lost, processes);
	return lost == 0 ? 0 : complain("parts", "changes are lost", 0);
}

static int run_all(struct client *client, uint64_t seed)
{
	struct mark mark = {0, 0, 1};
	int result = run_phase(PHASE_MIX, seed);

	if (result == 0)
		result = after_mix(client);
	if (result == 0)
		result = run_phase(PHASE_CONTEND, seed);
	if (result == 0)
		result = after_contend(client);
	if (result == 0)
		result = client_put(client, "parts", &mark, 1, false);
	if (result == 0)
		result = run_phase(PHASE_CHANGE, seed);
	if (result == 0)
		result = after_change(client);
	return result;
}

int main(int argc, char **argv)
{
	struct client client;
	int result;

	if (argc != 6) {
		fprintf(stderr, "usage: hammer MOUNT DIM PROCESSES ROUNDS SEED\n");
		return 2;
	}
	mount = argv[1];
	dim = strtoul(argv[2], NULL, 10);
	processes = (unsigned)strtoul(argv[3], NULL, 10);
	rounds = (unsigned)strtoul(argv[4], NULL, 10);
	if (processes == 0 || processes > PROCESSES_MAX || rounds == 0 || dim <= processes)
		return 2;
	begun = mmap(NULL, PROCESSES_MAX * sizeof(*begun), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	result = begun == MAP_FAILED ? -errno : client_init(&client, mount, dim);
	if (result != 0)
		return complain(mount, "cannot be used", result) != 0;
	result = run_all(&client, strtoull(argv[5], NULL, 10));
	client_release(&client);
	return result != 0;
}
