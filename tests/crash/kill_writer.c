/*
 * kill_writer.c - works on a mount until its daemon is killed, and kills it:
 *
 *   kill_writer MOUNT JOURNALS SEED PID WHEN MICROSECONDS [never|full|deletions [put|remove]]
 *
 * Four threads write, move, remove, change attributes, read and ask for what they own; two more ask
 * for what others own. So long after the start (WHEN is work) or after a checkpoint was ordered
 * (checkpoint) the process PID gets SIGKILL; or nobody is killed and all end in order (stop).
 * full: ENOSPC is an answer as well, and leaves everything as it was; deletions: to all but removals.
 * put and remove: nothing else is done.
 *
 * Prints how many operations were done, and how many were refused for want of space. Exit status 0: as
 * planned. 1: a call failed or answered wrongly before.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store/mem.h"
#include "tests/support/client.h"
#include "tests/support/journal.h"

/* Large enough that the collection is searched by its graph. */
enum { DIM = 768, ASKERS = 2, WARM_UP_US = 20000 };

static atomic_bool stop;
static bool in_order;	/* nobody is to be killed */
static char only = 'a'; /* all, put or remove */
static enum { FULL_NEVER, FULL_MAY, FULL_BUT_REMOVALS } full;

/*
 * What writers own, for others to ask for: bit 63 while an operation on the name is open, then a
 * count of changes, then the mark. A value that is the same before and after an answer was so
 * all the time between.
 */
#define SHOWN_OPEN (1ull << 63)
#define SHOWN_STEP (1ull << 44)
static _Atomic uint64_t shown[JOURNAL_WRITERS][JOURNAL_OWN];
/* The last mark of each writer that was replaced or removed; it never comes back. */
static _Atomic uint64_t dead[JOURNAL_WRITERS];

struct writer {
	uint32_t id;
	uint32_t version;
	uint64_t random;
	int journal;
	bool failed;
	unsigned done, refused; /* operations; refused for want of space */
	struct client client;
	struct journal_state own[JOURNAL_OWN];
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

/* --- what others may know --- */

static uint64_t pack(const struct mark *mark)
{
	return (uint64_t)mark->writer << 36 | (uint64_t)mark->key << 20 | mark->version;
}

static struct mark unpack(uint64_t bits)
{
	return (struct mark){bits >> 36 & 0xff, bits >> 20 & 0xffff, bits & 0xfffff};
}

static void show(const struct writer *writer, unsigned index, bool open)
{
	_Atomic uint64_t *at = &shown[writer->id][index];
	uint64_t count = (atomic_load(at) & ~SHOWN_OPEN) / SHOWN_STEP + 1;

	atomic_store(at, (open ? SHOWN_OPEN : 0) | (count * SHOWN_STEP & ~SHOWN_OPEN) |
				 pack(&writer->own[index].mark));
}

static bool has_other(const struct journal_op *op)
{
	return op->kind == JOURNAL_RENAME || op->kind == JOURNAL_EXCHANGE;
}

static void begin(struct writer *writer, const struct journal_op *op)
{
	journal_start(writer->journal, op);
	if (op->index >= JOURNAL_OWN)
		return;
	show(writer, op->index, true);
	if (has_other(op))
		show(writer, op->other, true);
}

static void end(struct writer *writer, const struct journal_op *op, bool changed)
{
	struct mark gone = {0};

	journal_done(writer->journal, changed);
	if (op->index >= JOURNAL_OWN)
		return;
	if (op->kind == JOURNAL_PUT || op->kind == JOURNAL_UNLINK)
		gone = writer->own[op->index].mark;
	else if (op->kind == JOURNAL_RENAME)
		gone = writer->own[op->other].mark;
	if (changed) {
		journal_apply(op, writer->id, writer->own);
		if (gone.version != 0)
			atomic_store(&dead[writer->id], pack(&gone));
	}
	show(writer, op->index, false);
	if (has_other(op))
		show(writer, op->other, false);
}

/* Whether this result is the refusal for want of space that the caller told of. */
static bool was_full(const struct journal_op *op, int err)
{
	return err == -ENOSPC && full != FULL_NEVER &&
	       !(full == FULL_BUT_REMOVALS && op->kind == JOURNAL_UNLINK);
}

/* The end of an operation that changes nothing when it fails. */
static int finish(struct writer *writer, const struct journal_op *op, int err)
{
	if (err != 0 && !was_full(op, err))
		return err;
	writer->refused += err != 0;
	writer->done += err == 0;
	end(writer, op, err == 0);
	return 0;
}

/* --- work --- */

/* Reads; a file that was opened and not written yet, or not given up yet, is absent. */
static int get(struct writer *writer, const char *name, struct mark *mark)
{
	int err = client_get(&writer->client, name, mark);

	return err == -EMSGSIZE && writer->client.got == 0 ? -ENOENT : err;
}

/* A write that was refused may have found its room when the file was closed. */
static int look_again(struct writer *writer, const struct journal_op *op, const char *name)
{
	const struct mark mark = {writer->id, op->index, op->version};
	const struct mark *old = &writer->own[op->index].mark;
	struct mark is = {0};
	int err = get(writer, name, &is);

	if (err != 0 && err != -ENOENT)
		return err;
	if (err == 0 && mark_equal(&is, &mark))
		return finish(writer, op, 0);
	if (err == 0 ? mark_equal(&is, old) : old->version == 0)
		return finish(writer, op, -ENOSPC);
	return complain(name, "was changed by a write that failed", -EBADMSG);
}

static int do_put(struct writer *writer, unsigned index)
{
	struct journal_op op = {.kind = JOURNAL_PUT, .index = index, .version = ++writer->version};
	struct mark mark = {writer->id, index, op.version};
	char name[JOURNAL_NAME_MAX];
	int err;

	begin(writer, &op);
	err = client_put(&writer->client, journal_name(writer->id, index, name), &mark,
			 1 + draw(writer, 3), draw(writer, 64) == 0);
	if (was_full(&op, err))
		return look_again(writer, &op, name);
	return finish(writer, &op, err);
}

static int do_unlink(struct writer *writer, unsigned index)
{
	struct journal_op op = {.kind = JOURNAL_UNLINK, .index = index};
	char name[JOURNAL_NAME_MAX];
	int err;

	begin(writer, &op);
	err = client_unlink(&writer->client, journal_name(writer->id, index, name));
	if (err == -ENOENT && index >= JOURNAL_OWN) {
		end(writer, &op, false);
		return 0;
	}
	return finish(writer, &op, err);
}

static int do_rename(struct writer *writer, unsigned from, unsigned to)
{
	struct journal_op op = {.kind = JOURNAL_RENAME, .index = from, .other = to};
	char name[JOURNAL_NAME_MAX], other[JOURNAL_NAME_MAX];

	if (writer->own[to].mark.version != 0 && draw(writer, 2) == 0)
		op.kind = JOURNAL_EXCHANGE;
	begin(writer, &op);
	return finish(writer, &op,
		      client_rename(&writer->client, journal_name(writer->id, from, name),
				    journal_name(writer->id, to, other),
				    op.kind == JOURNAL_EXCHANGE));
}

static int do_attribute(struct writer *writer, unsigned index)
{
	struct journal_op op = {.kind = JOURNAL_MODE, .index = index};
	char name[JOURNAL_NAME_MAX];
	int rc;

	if (draw(writer, 2) == 0)
		op.kind = JOURNAL_MTIME;
	op.version = op.kind == JOURNAL_MODE ? 0600 | draw(writer, 0100) :
					       1 + draw(writer, 1000000);
	journal_name(writer->id, index, name);
	begin(writer, &op);
	if (op.kind == JOURNAL_MODE) {
		rc = fchmodat(writer->client.vectors, name, op.version, 0);
	} else {
		const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
						  {op.version, op.version}};

		rc = utimensat(writer->client.vectors, name, times, 0);
	}
	return finish(writer, &op, rc != 0 ? -errno : 0);
}

static int do_get(struct writer *writer, unsigned index)
{
	char name[JOURNAL_NAME_MAX];
	struct mark mark;
	int err = get(writer, journal_name(writer->id, index, name), &mark);

	if (index >= JOURNAL_OWN) {
		if (err == 0 && mark.key != index)
			return complain(name, "holds a vector of another name", -EBADMSG);
		return err == -ENOENT ? 0 : err;
	}
	if (writer->own[index].mark.version == 0)
		return err == 0	      ? complain(name, "is there, but was removed", -EEXIST) :
		       err == -ENOENT ? 0 :
					err;
	if (err == 0 && !mark_equal(&mark, &writer->own[index].mark))
		return complain(name, "is not what was written last", -EBADMSG);
	return err;
}

/* What was written is in the next answer: the graph may miss it, the exact search may not. */
static int do_find(struct writer *writer, unsigned index)
{
	const struct mark *mark = &writer->own[index].mark;
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
		if (writer->listed[i] != (writer->own[i].mark.version != 0))
			return complain(journal_name(writer->id, i, name),
					writer->listed[i] ? "is listed, but was removed" :
							    "is not listed",
					-ENODATA);
	return 0;
}

static int do_order(struct writer *writer)
{
	int err = client_order(&writer->client, "checkpoint");

	return err == -ENOSPC && full != FULL_NEVER ? 0 : err;
}

static int do_something(struct writer *writer)
{
	unsigned index = draw(writer, JOURNAL_OWN), other = draw(writer, JOURNAL_OWN);
	unsigned shared = JOURNAL_OWN + draw(writer, JOURNAL_SHARED);
	bool there = writer->own[index].mark.version != 0;
	uint32_t dice = draw(writer, 1000);

	if (only == 'p')
		return do_put(writer, index);
	if (only == 'r')
		return there ? do_unlink(writer, index) : 0;
	if (dice < 80)
		return do_get(writer, index);
	if (dice < 100)
		return do_get(writer, shared);
	if (dice < 140 && full == FULL_NEVER)
		return do_put(writer, shared);
	if (dice < 160 && full == FULL_NEVER)
		return do_unlink(writer, shared);
	if (dice < 164)
		return do_list(writer);
	if (dice < 166)
		return do_order(writer);
	if (there && dice < 280)
		return do_unlink(writer, index);
	if (there && index != other && dice < 420)
		return do_rename(writer, index, other);
	if (there && dice < 470)
		return do_attribute(writer, index);
	if (there && dice < 520)
		return do_find(writer, index);
	return do_put(writer, index);
}

/* --- asking for what others own --- */

static int ask_present(struct writer *asker, uint32_t owner, unsigned index)
{
	uint64_t before = atomic_load(&shown[owner][index]);
	const struct mark mark = unpack(before);
	char name[JOURNAL_NAME_MAX];
	int err;

	if ((before & SHOWN_OPEN) != 0 || mark.version == 0)
		return 0;
	journal_name(owner, index, name);
	err = client_find(&asker->client, &mark, draw(asker, 4) == 0, name);
	if (err == -ENODATA && atomic_load(&shown[owner][index]) == before)
		err = client_find(&asker->client, &mark, true, name);
	if (err != -ENODATA || atomic_load(&shown[owner][index]) != before)
		return err == -ENODATA ? 0 : err;
	return complain(name, "was acknowledged before, but is not in an answer", err);
}

static int ask_dead(struct writer *asker, uint32_t owner)
{
	const struct mark mark = unpack(atomic_load(&dead[owner]));
	char id[CLIENT_ID_MAX + 1];
	double distance = 0;
	int err;

	if (mark.version == 0)
		return 0;
	err = client_ask(&asker->client, &mark, draw(asker, 4) == 0, id, &distance);
	if (err == 0 && id[0] != '\0' && distance <= CLIENT_SAME_DISTANCE)
		return complain(id, "was removed or replaced before, but is in an answer", -EEXIST);
	return err;
}

static int ask_something(struct writer *asker)
{
	uint32_t owner = draw(asker, JOURNAL_WRITERS);

	if (draw(asker, 3) == 0)
		return ask_dead(asker, owner);
	return ask_present(asker, owner, draw(asker, JOURNAL_OWN));
}

/* --- threads --- */

static void *work(void *arg)
{
	struct writer *writer = arg;
	int err = 0;

	while (err == 0 && !atomic_load(&stop))
		err = writer->id < JOURNAL_WRITERS ? do_something(writer) : ask_something(writer);
	atomic_store(&stop, true);
	writer->failed = err != 0 && (in_order || !client_is_dead(err));
	if (writer->failed)
		complain("a writer", "failed before the daemon was killed", err);
	return NULL;
}

static int begin_writers(struct writer *writers, char **args)
{
	struct journal_past past;
	int err = journal_read(args[1], &past);

	for (uint32_t i = 0; err == 0 && i < JOURNAL_WRITERS + ASKERS; i++) {
		writers[i].id = i;
		writers[i].random = strtoull(args[2], NULL, 10) * (JOURNAL_WRITERS + ASKERS) + i;
		err = client_init(&writers[i].client, args[0], DIM);
		if (err != 0)
			complain(args[0], "cannot be used", err);
		if (err != 0 || i >= JOURNAL_WRITERS)
			continue;
		writers[i].version = past.version[i];
		writers[i].journal = journal_open(args[1], i);
		memcpy(writers[i].own, past.own[i], sizeof(past.own[i]));
		for (unsigned k = 0; k < JOURNAL_OWN; k++)
			show(&writers[i], k, false);
	}
	journal_release(&past);
	return err;
}

static void *order_checkpoint(void *arg)
{
	struct client *client = arg;

	/* The daemon may die of it, or the disk may be full. */
	(void)client_order(client, "checkpoint");
	return NULL;
}

static void pause_us(long us)
{
	const struct timespec ts = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&ts, NULL);
}

/* Lets the threads work, then ends them as planned. */
static int end_by_plan(struct client *client, pid_t pid, const char *when, long us)
{
	bool checkpoint = strcmp(when, "checkpoint") == 0;
	pthread_t thread;
	int err = 0;

	if (checkpoint) {
		pause_us(WARM_UP_US);
		checkpoint = pthread_create(&thread, NULL, order_checkpoint, client) == 0;
	}
	pause_us(us);
	if (in_order)
		atomic_store(&stop, true);
	else if (kill(pid, SIGKILL) != 0)
		err = complain("the daemon", "was gone before it was killed", -errno);
	if (checkpoint)
		pthread_join(thread, NULL);
	return err;
}

int main(int argc, char **argv)
{
	struct writer *writers = mem_zalloc(JOURNAL_WRITERS + ASKERS, sizeof(*writers));
	pthread_t threads[JOURNAL_WRITERS + ASKERS];
	int result = 0, started = 0;
	unsigned n_done = 0, refused = 0;

	if (argc < 7 || argc > 9 || writers == NULL) {
		fprintf(stderr, "usage: kill_writer MOUNT JOURNALS SEED PID "
				"work|checkpoint|stop MICROSECONDS "
				"[never|full|deletions [put|remove]]\n");
		return 2;
	}
	if (argc > 7 && strcmp(argv[7], "never") != 0)
		full = strcmp(argv[7], "full") == 0 ? FULL_MAY : FULL_BUT_REMOVALS;
	if (argc > 8)
		only = argv[8][0];
	in_order = strcmp(argv[5], "stop") == 0;
	(void)umask(022);
	if (begin_writers(writers, argv + 1) != 0)
		return 1;
	for (; started < JOURNAL_WRITERS + ASKERS; started++)
		if (pthread_create(&threads[started], NULL, work, &writers[started]) != 0)
			break;
	result = end_by_plan(&writers[0].client, (pid_t)atoi(argv[4]), argv[5], atol(argv[6]));
	for (int i = 0; i < started; i++) {
		pthread_join(threads[i], NULL);
		result |= writers[i].failed ? -1 : 0;
		n_done += writers[i].done;
		refused += writers[i].refused;
	}
	for (int i = 0; i < JOURNAL_WRITERS + ASKERS; i++)
		client_release(&writers[i].client);
	mem_free(writers);
	printf("%u %u\n", n_done, refused);
	return result == 0 ? 0 : 1;
}
