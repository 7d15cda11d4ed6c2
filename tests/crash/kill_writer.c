/*
 * kill_writer.c - works on a mount until its daemon is killed, and judges what a later mount holds.
 *
 *   kill_writer work MOUNT JOURNALS SEED     four threads write, move, remove, read and ask
 *   kill_writer verify MOUNT JOURNALS        everything is as the journals say; starts them anew
 *
 * `work` ends with 0 when the mount died, and 1 when a call failed or answered wrongly before.
 * `verify` prints "ACKNOWLEDGED VERIFIED ASKED MISSED": operations since the last one, vectors
 * read, vectors asked for with themselves, and how many of them only the exact search found.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/mem.h"
#include "tests/support/client.h"
#include "tests/support/journal.h"

#define MISSED_MOST 0.01 /* share of vectors the graph may not find by themselves */

/* Large enough that the collection is searched by its graph. */
enum { DIM = 768 };

static atomic_bool stop;

struct writer {
	uint32_t id;
	uint32_t version;
	uint64_t random;
	int journal;
	bool failed;
	struct client client;
	struct mark own[JOURNAL_OWN];
	bool listed[JOURNAL_OWN];
};

static uint32_t draw(struct writer *writer, uint32_t below)
{
	writer->random = writer->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(writer->random >> 33) % below;
}

static int complain(const char *name, const char *what, int err)
{
	fprintf(stderr, "not ok - %s: %s: %s\n", name, what, strerror(-err));
	return err;
}

/* --- work --- */

static int do_put(struct writer *writer, unsigned index)
{
	struct journal_op op = {.kind = JOURNAL_PUT, .index = index, .version = ++writer->version};
	struct mark mark = {writer->id, index, op.version};
	char name[JOURNAL_NAME_MAX];
	int err;

	journal_start(writer->journal, &op);
	err = client_put(&writer->client, journal_name(writer->id, index, name), &mark,
			 1 + draw(writer, 3), draw(writer, 64) == 0);
	if (err != 0)
		return err;
	journal_done(writer->journal, true);
	if (index < JOURNAL_OWN)
		writer->own[index] = mark;
	return 0;
}

static int do_unlink(struct writer *writer, unsigned index)
{
	struct journal_op op = {.kind = JOURNAL_UNLINK, .index = index};
	char name[JOURNAL_NAME_MAX];
	int err;

	journal_start(writer->journal, &op);
	err = client_unlink(&writer->client, journal_name(writer->id, index, name));
	if (err != 0 && !(err == -ENOENT && index >= JOURNAL_OWN))
		return err;
	journal_done(writer->journal, err == 0);
	if (index < JOURNAL_OWN)
		writer->own[index].version = 0;
	return 0;
}

static int do_rename(struct writer *writer, unsigned from, unsigned to)
{
	struct journal_op op = {.kind = JOURNAL_RENAME, .index = from, .other = to};
	char name[JOURNAL_NAME_MAX], other[JOURNAL_NAME_MAX];
	int err;

	if (writer->own[to].version != 0 && draw(writer, 2) == 0)
		op.kind = JOURNAL_EXCHANGE;
	journal_start(writer->journal, &op);
	err = client_rename(&writer->client, journal_name(writer->id, from, name),
			    journal_name(writer->id, to, other), op.kind == JOURNAL_EXCHANGE);
	if (err != 0)
		return err;
	journal_done(writer->journal, true);
	journal_apply(&op, writer->id, writer->own);
	return 0;
}

static int do_get(struct writer *writer, unsigned index)
{
	char name[JOURNAL_NAME_MAX];
	struct mark mark;
	int err = client_get(&writer->client, journal_name(writer->id, index, name), &mark);

	if (index >= JOURNAL_OWN) {
		if (err == 0 && mark.key != index)
			return complain(name, "holds a vector of another name", -EBADMSG);
		/* Another writer may be between the open() and the write() of a new file. */
		return err == -ENOENT || (err == -EMSGSIZE && writer->client.got == 0) ? 0 : err;
	}
	if (writer->own[index].version == 0)
		return err == 0	      ? complain(name, "is there, but was removed", -EEXIST) :
		       err == -ENOENT ? 0 :
					err;
	if (err == 0 && !mark_equal(&mark, &writer->own[index]))
		return complain(name, "is not what was written last", -EBADMSG);
	return err;
}

/* What was written is in the next answer: the graph may miss it, the exact search may not. */
static int do_find(struct writer *writer, unsigned index)
{
	const struct mark *mark = &writer->own[index];
	char name[JOURNAL_NAME_MAX];
	int err;

	journal_name(writer->id, index, name);
	err = client_find(&writer->client, mark, false, name);
	if (err == -ENODATA)
		err = client_find(&writer->client, mark, true, name);
	return err == -ENODATA ? complain(name, "is not found by its own vector", err) : err;
}

static int seen_own(void *ctx, const char *id)
{
	struct writer *writer = ctx;
	unsigned owner, index;

	if (sscanf(id, "w%u-%u", &owner, &index) != 2 || owner != writer->id)
		return 0;
	if (index >= JOURNAL_OWN || writer->listed[index])
		return complain(id, "is listed twice or is no name of mine", -EEXIST);
	writer->listed[index] = true;
	return 0;
}

static int do_list(struct writer *writer)
{
	char name[JOURNAL_NAME_MAX];
	int err;

	memset(writer->listed, 0, sizeof(writer->listed));
	err = client_list(&writer->client, seen_own, writer);
	if (err != 0)
		return err;
	for (unsigned i = 0; i < JOURNAL_OWN; i++)
		if (writer->listed[i] != (writer->own[i].version != 0))
			return complain(journal_name(writer->id, i, name),
					writer->listed[i] ? "is listed, but was removed" :
							    "is not listed",
					-ENODATA);
	return 0;
}

static int do_something(struct writer *writer)
{
	unsigned index = draw(writer, JOURNAL_OWN), other = draw(writer, JOURNAL_OWN);
	unsigned shared = JOURNAL_OWN + draw(writer, JOURNAL_SHARED);
	bool there = writer->own[index].version != 0;
	uint32_t dice = draw(writer, 1000);

	if (dice < 80)
		return do_get(writer, index);
	if (dice < 100)
		return do_get(writer, shared);
	if (dice < 140)
		return do_put(writer, shared);
	if (dice < 160)
		return do_unlink(writer, shared);
	if (dice < 164)
		return do_list(writer);
	if (dice < 166)
		return client_order(&writer->client, "checkpoint");
	if (there && dice < 280)
		return do_unlink(writer, index);
	if (there && index != other && dice < 420)
		return do_rename(writer, index, other);
	if (there && dice < 480)
		return do_find(writer, index);
	return do_put(writer, index);
}

static void *work(void *arg)
{
	struct writer *writer = arg;
	int err = 0;

	while (err == 0 && !atomic_load(&stop))
		err = do_something(writer);
	atomic_store(&stop, true);
	writer->failed = err != 0 && !client_is_dead(err);
	if (writer->failed)
		complain("a writer", "failed before the daemon was killed", err);
	return NULL;
}

static int do_work(char **args)
{
	struct writer *writers = mem_zalloc(JOURNAL_WRITERS, sizeof(*writers));
	struct journal_past past = {0};
	pthread_t threads[JOURNAL_WRITERS];
	int result = -1, started = 0;

	if (writers == NULL || journal_read(args[1], &past) != 0)
		goto out;
	for (uint32_t i = 0; i < JOURNAL_WRITERS; i++) {
		int err = client_init(&writers[i].client, args[0], DIM);

		if (err != 0 && !client_is_dead(err)) {
			complain(args[0], "cannot be used", err);
			goto out;
		}
		if (err != 0)
			atomic_store(&stop, true);
		writers[i].id = i;
		writers[i].version = past.version[i];
		writers[i].random = strtoull(args[2], NULL, 10) * JOURNAL_WRITERS + i;
		writers[i].journal = journal_open(args[1], i);
		memcpy(writers[i].own, past.own[i], sizeof(past.own[i]));
	}
	result = 0;
	for (; started < JOURNAL_WRITERS; started++)
		if (pthread_create(&threads[started], NULL, work, &writers[started]) != 0)
			break;
	for (int i = 0; i < started; i++) {
		pthread_join(threads[i], NULL);
		result |= writers[i].failed ? -1 : 0;
	}
out:
	for (int i = 0; writers != NULL && i < JOURNAL_WRITERS; i++)
		client_release(&writers[i].client);
	mem_free(writers);
	journal_release(&past);
	return result;
}

/* --- verify --- */

struct judge {
	struct client client;
	struct journal_past past;
	struct mark found[JOURNAL_WRITERS][JOURNAL_NAMES]; /* shared names at the first writer */
	bool listed[JOURNAL_WRITERS][JOURNAL_NAMES];
	unsigned wrong, verified, asked, missed;
};

static void blame(struct judge *judge, const char *name, const char *what)
{
	printf("not ok - %s: %s\n", name, what);
	judge->wrong++;
}

static int seen_any(void *ctx, const char *id)
{
	struct judge *judge = ctx;
	char name[JOURNAL_NAME_MAX];
	unsigned owner = 0, index = JOURNAL_NAMES;

	if (sscanf(id, "shared-%u", &index) == 1)
		index += JOURNAL_OWN;
	else if (sscanf(id, "w%u-%u", &owner, &index) != 2)
		owner = JOURNAL_WRITERS;
	if (owner >= JOURNAL_WRITERS || index >= JOURNAL_NAMES ||
	    strcmp(journal_name(owner, index, name), id) != 0)
		blame(judge, id, "is listed, but nobody wrote it");
	else if (judge->listed[owner][index])
		blame(judge, id, "is listed twice");
	else
		judge->listed[owner][index] = true;
	return 0;
}

/* Reads a name whether or not it is listed. */
static void read_name(struct judge *judge, uint32_t writer, unsigned index)
{
	struct mark *mark = &judge->found[writer][index];
	char name[JOURNAL_NAME_MAX];
	int err = client_get(&judge->client, journal_name(writer, index, name), mark);

	if (err != 0)
		mark->version = 0;
	else
		judge->verified++;
	if (err != 0 && err != -ENOENT)
		blame(judge, name,
		      err == -EBADMSG || err == -EMSGSIZE ? "is not one whole vector" :
							    strerror(-err));
	else if ((err == 0) != judge->listed[writer][index])
		blame(judge, name,
		      err == 0 ? "can be read, but is not listed" :
				 "is listed, but cannot be read");
}

static bool same_names(const struct mark *found, const struct mark *own)
{
	for (unsigned i = 0; i < JOURNAL_OWN; i++)
		if (found[i].version != own[i].version ||
		    (own[i].version != 0 && !mark_equal(&found[i], &own[i])))
			return false;
	return true;
}

static void blame_names(struct judge *judge, uint32_t writer)
{
	const struct journal_op *open = &judge->past.open[writer];

	printf("writer %u; its open operation: %c, name %u, other %u, version %u\n", writer,
	       open->kind == JOURNAL_NONE ? '-' : (char)open->kind, open->index, open->other,
	       open->version);
	for (unsigned i = 0; i < JOURNAL_OWN; i++) {
		const struct mark *found = &judge->found[writer][i];
		const struct mark *own = &judge->past.own[writer][i];
		char name[JOURNAL_NAME_MAX], what[160];

		if (found->version == own->version && (own->version == 0 || mark_equal(found, own)))
			continue;
		snprintf(what, sizeof(what),
			 "holds version %u of %u/%u; by what was done it is version %u of %u/%u "
			 "(0: nothing)",
			 found->version, found->writer, found->key, own->version, own->writer,
			 own->key);
		blame(judge, journal_name(writer, i, name), what);
	}
}

static void judge_names(struct judge *judge)
{
	char name[JOURNAL_NAME_MAX], what[160];

	for (uint32_t w = 0; w < JOURNAL_WRITERS; w++) {
		struct mark with[JOURNAL_OWN];

		memcpy(with, judge->past.own[w], sizeof(with));
		journal_apply(&judge->past.open[w], w, with);
		if (!same_names(judge->found[w], judge->past.own[w]) &&
		    !same_names(judge->found[w], with))
			blame_names(judge, w);
	}
	for (unsigned i = JOURNAL_OWN; i < JOURNAL_NAMES; i++) {
		const struct mark *mark = &judge->found[0][i];

		if (mark->version != 0 && mark->key != i)
			blame(judge, journal_name(0, i, name), "holds a vector of another name");
		if (journal_allows(&judge->past, i, mark))
			continue;
		snprintf(what, sizeof(what), "holds version %u of writer %u, which was replaced",
			 mark->version, mark->writer);
		blame(judge, journal_name(0, i, name), what);
	}
}

static void find_name(struct judge *judge, uint32_t writer, unsigned index)
{
	const struct mark *mark = &judge->found[writer][index];
	char name[JOURNAL_NAME_MAX];
	int err;

	if (mark->version == 0)
		return;
	judge->asked++;
	journal_name(writer, index, name);
	err = client_find(&judge->client, mark, false, name);
	if (err == -ENODATA) {
		judge->missed++;
		err = client_find(&judge->client, mark, true, name);
	}
	if (err != 0)
		blame(judge, name,
		      err == -ENODATA ? "is not found by its own vector" : strerror(-err));
}

static void each_name(struct judge *judge, void (*visit)(struct judge *, uint32_t, unsigned))
{
	for (uint32_t w = 0; w < JOURNAL_WRITERS; w++)
		for (unsigned i = 0; i < (w == 0 ? JOURNAL_NAMES : JOURNAL_OWN); i++)
			visit(judge, w, i);
}

static int do_verify(char **args)
{
	struct judge *judge = mem_zalloc(1, sizeof(*judge));
	int result = -1, err;

	if (judge == NULL || journal_read(args[1], &judge->past) != 0)
		goto out;
	err = client_init(&judge->client, args[0], DIM);
	if (err == 0)
		err = client_list(&judge->client, seen_any, judge);
	if (err != 0) {
		complain(args[0], "cannot be used", err);
		goto out;
	}
	each_name(judge, read_name);
	judge_names(judge);
	each_name(judge, find_name);
	if (judge->missed > 2 + (unsigned)(MISSED_MOST * judge->asked))
		blame(judge, "query/1/run", "too many vectors are only found by the exact search");
	printf("%llu %u %u %u\n", (unsigned long long)judge->past.done, judge->verified,
	       judge->asked, judge->missed);
	if (judge->wrong == 0)
		result = journal_restart(args[1], &judge->past, judge->found);
out:
	if (judge != NULL) {
		client_release(&judge->client);
		journal_release(&judge->past);
	}
	mem_free(judge);
	return result;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "work") == 0)
		return do_work(argv + 2) == 0 ? 0 : 1;
	if (argc == 4 && strcmp(argv[1], "verify") == 0)
		return do_verify(argv + 2) == 0 ? 0 : 1;
	fprintf(stderr, "usage: kill_writer work MOUNT JOURNALS SEED | verify MOUNT JOURNALS\n");
	return 2;
}
