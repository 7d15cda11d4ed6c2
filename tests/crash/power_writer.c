/*
 * power_writer.c - one writer on a disk whose writes are logged, and the judge of its power cuts.
 *
 *   power_writer work MOUNT JOURNAL LOG SEED OPERATIONS log|close
 *   power_writer judge MOUNT JOURNAL ENTRIES
 *
 * work writes, moves, removes and changes attributes of NAMES names, syncs at times and orders
 * checkpoints. With "close" each operation is durable when it returned. The journal (journal.h) gets a
 * line before each operation, and after what makes all before durable the line
 *
 *   F operations entries
 *
 * with the number of operations done, and of entries that the log of block writes (power_replay.c)
 * has then. A disk that holds so many entries must give all these operations.
 *
 * judge: the mount is in the state after some number of operations, no fewer than are durable in a
 * disk with so many entries. Prints both numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base.h"
#include "store/mem.h"
#include "tests/support/client.h"
#include "tests/support/journal.h"

enum { DIM = 192, NAMES = 48, ENTRIES_AT = 16 };

static struct journal_state state[JOURNAL_OWN];
static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % below;
}

static int complain(const char *what, const char *why)
{
	printf("not ok - %s: %s\n", what, why);
	return -1;
}

/* --- the journal --- */

struct line {
	struct journal_op op; /* kind JOURNAL_NONE: the line says what is durable */
	uint64_t done, entries;
};

/* 1: a line, 0: the end, -1: no line of a journal. */
static int next_line(FILE *journal, struct line *line)
{
	char text[128], kind;

	*line = (struct line){{0}, 0, 0};
	if (fgets(text, sizeof(text), journal) == NULL)
		return 0;
	if (sscanf(text, "F %" SCNu64 " %" SCNu64, &line->done, &line->entries) == 2)
		return 1;
	if (sscanf(text, "S %c %u %u %" SCNu32, &kind, &line->op.index, &line->op.other,
		   &line->op.version) != 4)
		return complain("journal", text);
	line->op.kind = (enum journal_kind)(unsigned char)kind;
	return 1;
}

/* Applies all of it to state. The number of operations, or -1. */
static long read_journal(FILE *journal)
{
	struct line line;
	long n = 0;
	int got;

	while ((got = next_line(journal, &line)) == 1) {
		journal_apply(&line.op, 0, state);
		n += line.op.kind != JOURNAL_NONE;
	}
	return got < 0 ? -1 : n;
}

/* --- work --- */

static uint64_t entries_of(const char *log)
{
	uint8_t super[ENTRIES_AT + 8];
	int fd = open(log, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, super, sizeof(super), 0) != sizeof(super)) {
		perror(log);
		exit(1);
	}
	close(fd);
	return get_u64(super + ENTRIES_AT);
}

static void draw_operation(struct journal_op *op, uint32_t version)
{
	bool there;

	*op = (struct journal_op){.kind = JOURNAL_PUT, .index = draw(NAMES), .version = version};
	op->other = draw(NAMES);
	there = state[op->index].mark.version != 0;
	if (!there || op->index == op->other)
		return;
	switch (draw(10)) {
	case 0:
		op->kind = JOURNAL_UNLINK;
		break;
	case 1:
		op->kind = JOURNAL_RENAME;
		break;
	case 2:
		op->kind = state[op->other].mark.version != 0 ? JOURNAL_EXCHANGE : JOURNAL_RENAME;
		break;
	case 3:
		op->kind = JOURNAL_MODE;
		op->version = 0600 | draw(0100);
		break;
	case 4:
		op->kind = JOURNAL_MTIME;
		op->version = 1 + draw(1000000);
		break;
	default:
		break;
	}
}

static int do_operation(struct client *client, const struct journal_op *op, bool sync)
{
	const struct mark mark = {0, op->index, op->version};
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {op->version, op->version}};
	char name[JOURNAL_NAME_MAX], other[JOURNAL_NAME_MAX];

	journal_name(0, op->index, name);
	journal_name(0, op->other, other);
	switch (op->kind) {
	case JOURNAL_PUT:
		return client_put(client, name, &mark, 1 + draw(2), sync);
	case JOURNAL_UNLINK:
		return client_unlink(client, name);
	case JOURNAL_MODE:
		return fchmodat(client->vectors, name, op->version, 0) != 0 ? -errno : 0;
	case JOURNAL_MTIME:
		return utimensat(client->vectors, name, times, 0) != 0 ? -errno : 0;
	default:
		return client_rename(client, name, other, op->kind == JOURNAL_EXCHANGE);
	}
}

static int work(char **args)
{
	long first, n = atol(args[4]);
	bool close_is_durable = strcmp(args[5], "close") == 0;
	struct client client;
	FILE *journal = fopen(args[1], "a+");
	int err = client_init(&client, args[0], DIM);
	uint32_t sync_each;

	random_state = strtoull(args[3], NULL, 10);
	sync_each = 6 + draw(60);
	if (err != 0 || journal == NULL)
		return complain(args[0], "cannot be used");
	first = read_journal(journal) + 1;
	if (first <= 0)
		return -1;
	for (long i = first; err == 0 && i < first + n; i++) {
		struct journal_op op;
		bool sync = draw(sync_each) == 0;

		draw_operation(&op, (uint32_t)i);
		fprintf(journal, "S %c %u %u %" PRIu32 "\n", op.kind, op.index, op.other,
			op.version);
		err = do_operation(&client, &op, sync);
		journal_apply(&op, 0, state);
		if (err == 0 && op.kind == JOURNAL_PUT && (sync || close_is_durable))
			fprintf(journal, "F %ld %" PRIu64 "\n", i, entries_of(args[2]));
		if (err == 0 && draw(60) == 0)
			err = client_order(&client, "checkpoint");
	}
	if (err != 0)
		complain("a call", strerror(-err));
	client_release(&client);
	return fclose(journal) == 0 ? err : -1;
}

/* --- judge --- */

static struct journal_state found[JOURNAL_OWN];

static int seen(void *ctx, const char *id)
{
	unsigned index;
	struct stat st;
	struct client *client = ctx;
	int err;

	if (sscanf(id, "w0-%u", &index) != 1 || index >= NAMES)
		return complain(id, "nobody wrote that");
	err = client_get(client, id, &found[index].mark);
	if (err != 0 || fstatat(client->vectors, id, &st, 0) != 0)
		return complain(id, "is listed, but is no whole vector");
	found[index].mode = st.st_mode & 07777;
	found[index].mtime = st.st_mtim.tv_sec == st.st_mtim.tv_nsec ? (uint32_t)st.st_mtim.tv_sec :
								       0;
	return 0;
}

static bool is_found(void)
{
	for (unsigned i = 0; i < NAMES; i++) {
		const struct journal_state *a = &state[i], *b = &found[i];

		if (a->mark.version == 0 || b->mark.version == 0) {
			if (a->mark.version != b->mark.version)
				return false;
		} else if (!mark_equal(&a->mark, &b->mark) || a->mode != b->mode ||
			   a->mtime != b->mtime) {
			return false;
		}
	}
	return true;
}

/* The last number of operations that gives what was found, or -1; and how many are durable. */
static int find_state(const char *path, uint64_t entries, long *state_out, long *durable_out)
{
	FILE *journal = fopen(path, "r");
	struct line line;
	long n = 0;
	int got = -1;

	*state_out = is_found() ? 0 : -1;
	*durable_out = 0;
	while (journal != NULL && (got = next_line(journal, &line)) == 1) {
		if (line.op.kind == JOURNAL_NONE) {
			if (line.entries <= entries)
				*durable_out = (long)line.done;
			continue;
		}
		journal_apply(&line.op, 0, state);
		n++;
		if (is_found())
			*state_out = n;
	}
	if (journal == NULL)
		return complain(path, strerror(errno));
	fclose(journal);
	return got;
}

/* A whole vector is found by itself. */
static int ask_all(struct client *client)
{
	char name[JOURNAL_NAME_MAX];
	int err = 0;

	for (unsigned i = 0; err == 0 && i < NAMES; i++)
		if (found[i].mark.version != 0)
			err = client_find(client, &found[i].mark, true, journal_name(0, i, name));
	return err != 0 ? complain(name, "is not found by its own vector") : 0;
}

static int judge(char **args)
{
	long at = -1, durable = 0;
	struct client client;
	int err = client_init(&client, args[0], DIM);

	if (err != 0)
		return complain(args[0], strerror(-err));
	err = client_list(&client, seen, &client);
	if (err == 0)
		err = ask_all(&client);
	if (err == 0)
		err = find_state(args[1], strtoull(args[2], NULL, 10), &at, &durable);
	client_release(&client);
	printf("state %ld, durable %ld\n", at, durable);
	if (err == 0 && at < 0)
		return complain("the state", "is that of no moment");
	if (err == 0 && at < durable)
		return complain("the state", "lacks what was durable");
	return err;
}

int main(int argc, char **argv)
{
	(void)umask(022);
	if (argc == 8 && strcmp(argv[1], "work") == 0)
		return work(argv + 2) == 0 ? 0 : 1;
	if (argc == 5 && strcmp(argv[1], "judge") == 0)
		return judge(argv + 2) == 0 ? 0 : 1;
	fprintf(stderr, "usage: power_writer work MOUNT JOURNAL LOG SEED OPERATIONS log|close | "
			"judge MOUNT JOURNAL ENTRIES\n");
	return 2;
}
