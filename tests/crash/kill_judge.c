/*
 * kill_judge.c - judges what a mount holds after its daemon was killed: kill_judge MOUNT JOURNALS ASK
 *
 * Everything is as the journals of kill_writer say, which start anew. Every ASKth vector is asked for
 * with itself. Prints "ACKNOWLEDGED VERIFIED ASKED MISSED": operations since the last judgement,
 * vectors read, vectors asked for, and how many of them only the exact search found.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/mem.h"
#include "tests/support/client.h"
#include "tests/support/journal.h"

#define MISSED_MOST 0.01 /* share of vectors the graph may not find by themselves */

enum { DIM = 768 };

struct judge {
	struct client client;
	struct journal_past past;
	struct journal_state found[JOURNAL_WRITERS][JOURNAL_NAMES]; /* shared ones at writer 0 */
	bool listed[JOURNAL_WRITERS][JOURNAL_NAMES];
	unsigned wrong, verified, asked, missed;
	unsigned ask, seen; /* every so manieth is asked for */
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
	struct journal_state *state = &judge->found[writer][index];
	char name[JOURNAL_NAME_MAX];
	struct stat st;
	int err = client_get(&judge->client, journal_name(writer, index, name), &state->mark);

	if (err == 0 && fstatat(judge->client.vectors, name, &st, 0) != 0)
		err = -errno;
	if (err != 0) {
		state->mark.version = 0;
	} else {
		judge->verified++;
		state->mode = st.st_mode & 07777;
		state->mtime = st.st_mtim.tv_sec == st.st_mtim.tv_nsec ?
				       (uint32_t)st.st_mtim.tv_sec :
				       0;
	}
	if (err != 0 && err != -ENOENT)
		blame(judge, name,
		      err == -EBADMSG || err == -EMSGSIZE ? "is not one whole vector" :
							    strerror(-err));
	else if ((err == 0) != judge->listed[writer][index])
		blame(judge, name,
		      err == 0 ? "can be read, but is not listed" :
				 "is listed, but cannot be read");
}

static bool same_state(const struct journal_state *found, const struct journal_state *own)
{
	if (found->mark.version == 0 || own->mark.version == 0)
		return found->mark.version == own->mark.version;
	return mark_equal(&found->mark, &own->mark) && found->mode == own->mode &&
	       found->mtime == own->mtime;
}

static bool same_names(const struct journal_state *found, const struct journal_state *own)
{
	for (unsigned i = 0; i < JOURNAL_OWN; i++)
		if (!same_state(&found[i], &own[i]))
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
		const struct journal_state *found = &judge->found[writer][i];
		const struct journal_state *own = &judge->past.own[writer][i];
		char name[JOURNAL_NAME_MAX], what[200];

		if (same_state(found, own))
			continue;
		snprintf(what, sizeof(what),
			 "holds version %u of %u/%u, mode %o, mtime %u; by what was done it is "
			 "version %u of %u/%u, mode %o, mtime %u (version 0: nothing)",
			 found->mark.version, found->mark.writer, found->mark.key, found->mode,
			 found->mtime, own->mark.version, own->mark.writer, own->mark.key,
			 own->mode, own->mtime);
		blame(judge, journal_name(writer, i, name), what);
	}
}

static void judge_names(struct judge *judge)
{
	char name[JOURNAL_NAME_MAX], what[160];

	for (uint32_t w = 0; w < JOURNAL_WRITERS; w++) {
		struct journal_state with[JOURNAL_OWN];

		memcpy(with, judge->past.own[w], sizeof(with));
		journal_apply(&judge->past.open[w], w, with);
		if (!same_names(judge->found[w], judge->past.own[w]) &&
		    !same_names(judge->found[w], with))
			blame_names(judge, w);
	}
	for (unsigned i = JOURNAL_OWN; i < JOURNAL_NAMES; i++) {
		const struct mark *mark = &judge->found[0][i].mark;

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
	const struct mark *mark = &judge->found[writer][index].mark;
	char name[JOURNAL_NAME_MAX];
	int err;

	if (mark->version == 0 || judge->seen++ % judge->ask != 0)
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

static int judge_mount(struct judge *judge, const char *mount, const char *journals)
{
	int err = client_init(&judge->client, mount, DIM);

	if (err == 0)
		err = client_list(&judge->client, seen_any, judge);
	if (err != 0) {
		fprintf(stderr, "not ok - %s: cannot be used: %s\n", mount, strerror(-err));
		return err;
	}
	each_name(judge, read_name);
	judge_names(judge);
	each_name(judge, find_name);
	if (judge->missed > 2 + (unsigned)(MISSED_MOST * judge->asked))
		blame(judge, "query/1/run", "too many vectors are only found by the exact search");
	printf("%llu %u %u %u\n", (unsigned long long)judge->past.done, judge->verified,
	       judge->asked, judge->missed);
	return judge->wrong == 0 ? journal_restart(journals, &judge->past, judge->found) : -1;
}

int main(int argc, char **argv)
{
	struct judge *judge;
	int result = -1;

	if (argc != 4 || atoi(argv[3]) < 1) {
		fprintf(stderr, "usage: kill_judge MOUNT JOURNALS ASK\n");
		return 2;
	}
	judge = mem_zalloc(1, sizeof(*judge));
	if (judge == NULL)
		return 1;
	judge->ask = (unsigned)atoi(argv[3]);
	if (journal_read(argv[2], &judge->past) == 0)
		result = judge_mount(judge, argv[1], argv[2]);
	client_release(&judge->client);
	journal_release(&judge->past);
	mem_free(judge);
	return result == 0 ? 0 : 1;
}
