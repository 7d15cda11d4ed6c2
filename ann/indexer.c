/*
 * indexer.c - workers and keeper.
 *
 * Locks: lock (sleep and wake alone), flush_lock, tools_lock; none while work is done but for
 * flush_lock, which is held over a flush, and sweep_lock over a sweep.
 */
#include "ann/indexer.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ann/persist.h"
#include "ann/validate.h"
#include "store/mem.h"

#define INDEXER_NICE 12
#define INDEXER_REST_MS 5    /* of the worker that gives way */
#define INDEXER_TICK_MS 1000 /* of the keeper */
#define INDEXER_IDLE 3u	     /* ticks without work until changes are published */
#define INDEXER_TAKE 4u	     /* slots a worker takes at once */
#define INDEXER_SWEEP 1024u  /* slots swept between two looks at `stop` */
#define INDEXER_FLUSH_MIN 20000u
#define INDEXER_SWEEP_MIN 256u
#define INDEXER_SWEEP_CHEAP 50000u /* nodes that are swept in no time */
/* Pending vectors from which writers help. */
#define INDEXER_PRESS_SLOTS 200000u
#define INDEXER_PRESS_BYTES (512ull << 20)

/* Working memory of whoever links; kept for reuse. */
struct tools {
	struct tools *next;
	struct index_linker linker;
};

struct indexer {
	struct ann *ann; /* not owned */
	pthread_mutex_t lock;
	pthread_cond_t work;	    /* with lock */
	uint32_t sleeping;	    /* workers; guarded by lock */
	_Atomic uint32_t started;   /* workers so far */
	_Atomic uint32_t may_sleep; /* workers about to look once more before they sleep */
	_Atomic bool stop;
	_Atomic bool held_off; /* after a failure, until the next tick */
	_Atomic bool failed;   /* the last round of the keeper: nobody wakes it before its tick */
	_Atomic uint64_t done; /* units of work, so that the keeper sees idleness */
	int wake_fd;	       /* wakes the keeper; -1 without one */
	pthread_mutex_t flush_lock, sweep_lock;
	pthread_mutex_t tools_lock;
	struct tools *tools; /* free ones; guarded by tools_lock */
	uint32_t n_workers;
	bool has_keeper;
	pthread_t keeper, *workers; /* workers owned */
};

/* --- working memory --- */

static struct tools *tools_take(struct indexer *indexer)
{
	struct tools *tools;

	pthread_mutex_lock(&indexer->tools_lock);
	tools = indexer->tools;
	if (tools != NULL)
		indexer->tools = tools->next;
	pthread_mutex_unlock(&indexer->tools_lock);
	if (tools != NULL)
		return tools;
	tools = mem_zalloc(1, sizeof(*tools));
	if (tools != NULL && index_linker_init(&tools->linker, &indexer->ann->index) != 0) {
		mem_free(tools);
		tools = NULL;
	}
	return tools;
}

static void tools_give(struct indexer *indexer, struct tools *tools)
{
	pthread_mutex_lock(&indexer->tools_lock);
	tools->next = indexer->tools;
	indexer->tools = tools;
	pthread_mutex_unlock(&indexer->tools_lock);
}

/* --- single steps: each returns 0 and sets *did, or an error --- */

uint64_t indexer_left(struct ann *ann)
{
	struct pending_counts counts;

	pending_count(&ann->pending, &counts);
	if (!atomic_load(&ann->index.centred) && counts.live < INDEXER_CENTRE)
		return 0;
	return counts.members;
}

/* Chooses the centre of the codes when there are vectors enough. ERR_AGAIN: not yet. */
static int need_centre(struct indexer *indexer)
{
	struct ann *ann = indexer->ann;
	struct pending_view view = {0};
	float *centre = NULL;
	int err = 0;

	if (atomic_load(&ann->index.centred))
		return 0;
	pthread_mutex_lock(&indexer->sweep_lock);
	if (atomic_load(&ann->index.centred))
		goto out;
	err = pending_snapshot(&ann->pending, &view);
	if (err == 0 && view.live < INDEXER_CENTRE)
		err = ERR_AGAIN;
	if (err != 0)
		goto out;
	centre = mem_alloc(ann->index.dim * sizeof(*centre));
	err = centre == NULL ? ERR_NOMEM :
			       index_mean(&ann->index, view.slots,
					  view.n < INDEXER_CENTRE ? view.n : INDEXER_CENTRE,
					  view.lsn, centre);
	/* Stored numbers may be huge, or those of a hostile store: any finite point will do. */
	if (err == 0 && validate_finite(centre, ann->index.dim) < ann->index.dim)
		memset(centre, 0, ann->index.dim * sizeof(*centre));
	if (err == 0)
		err = index_set_centre(&ann->index, centre);
out:
	pthread_mutex_unlock(&indexer->sweep_lock);
	pending_view_release(&view);
	mem_free(centre);
	return err;
}

static int link_some(struct indexer *indexer, struct tools *tools, size_t n, bool *did)
{
	struct ann *ann = indexer->ann;
	uint32_t slots[INDEXER_TAKE];
	size_t linked = 0;
	int err = need_centre(indexer);

	if (err != 0)
		return err == ERR_AGAIN ? 0 : err;
	n = pending_take(&ann->pending, slots, n < INDEXER_TAKE ? n : INDEXER_TAKE);
	for (size_t i = 0; i < n; i++) {
		int one = err == 0 ? index_link(&ann->index, &tools->linker, slots[i]) : err;

		if (one == 0)
			pending_linked(&ann->pending, slots[i]);
		else
			pending_return(&ann->pending, slots[i]);
		linked += one == 0;
		err = one;
	}
	*did = *did || n > 0;
	atomic_fetch_add(&indexer->done, linked);
	return err;
}

static int repair_one(struct indexer *indexer, struct tools *tools, bool *did)
{
	struct ann *ann = indexer->ann;
	uint32_t slot;
	int err;

	if (!pending_take_tombstone(&ann->pending, &slot))
		return 0;
	err = index_repair(&ann->index, &tools->linker, slot);
	if (err == 0)
		pending_repaired(&ann->pending, slot);
	else
		pending_unrepaired(&ann->pending, slot);
	*did = true;
	atomic_fetch_add(&indexer->done, err == 0);
	return err;
}

static int repair_all(struct indexer *indexer, struct tools *tools)
{
	bool did = true;
	int err = 0;

	while (err == 0 && did && !atomic_load(&indexer->stop)) {
		did = false;
		err = repair_one(indexer, tools, &did);
	}
	return err;
}

static int give_back_slots(struct indexer *indexer)
{
	struct ann *ann = indexer->ann;
	uint32_t slot;
	int err = 0;

	while (err == 0 && pending_take_released(&ann->pending, &slot)) {
		err = store_slot_release(ann->store, slot);
		pending_gone(&ann->pending, slot, err != 0);
	}
	return err;
}

/* Removes what links are left to the repaired tombstones, then lets their slots go. */
static int sweep(struct indexer *indexer, struct tools *tools)
{
	struct ann *ann = indexer->ann;
	struct pending_list gone = {0};
	uint32_t room = atomic_load(&ann->index.room);
	int err;

	pthread_mutex_lock(&indexer->sweep_lock);
	err = pending_take_repaired(&ann->pending, &gone);
	for (uint32_t first = 0; err == 0 && first < room; first += INDEXER_SWEEP) {
		uint32_t end = room - first < INDEXER_SWEEP ? room : first + INDEXER_SWEEP;

		err = atomic_load(&indexer->stop) ?
			      ERR_INTERRUPTED :
			      index_sweep(&ann->index, &tools->linker, first, end);
	}
	if (err == 0) {
		graph_choose_entries(&ann->index.graph, room);
		for (size_t i = 0; i < gone.n; i++)
			index_forget(&ann->index, gone.slots[i]);
		pending_swept(&ann->pending, &gone);
	} else {
		pending_unswept(&ann->pending, &gone);
	}
	pthread_mutex_unlock(&indexer->sweep_lock);
	mem_free(gone.slots);
	return err == ERR_INTERRUPTED ? 0 : err;
}

/* A sweep reads every node, so it waits until a twentieth of them is dead; when idle, less. */
static bool sweep_is_due(struct ann *ann, bool idle)
{
	struct pending_counts counts;
	uint64_t linked = atomic_load(&ann->index.linked);

	pending_count(&ann->pending, &counts);
	if (idle)
		return counts.repaired > (linked < INDEXER_SWEEP_CHEAP ? 0 : linked / 200);
	return counts.repaired > INDEXER_SWEEP_MIN + linked / 20;
}

static bool flush_is_due(struct ann *ann, bool idle)
{
	uint64_t changed = atomic_load(&ann->index.changed_nodes);
	uint64_t share = atomic_load(&ann->index.linked) / (ann->opts.bulk ? 2 : 5);

	if (idle)
		return changed > 0;
	return changed >= (share > INDEXER_FLUSH_MIN ? share : INDEXER_FLUSH_MIN);
}

int indexer_flush(struct indexer *indexer)
{
	struct ann *ann = indexer->ann;
	int err = 0;

	pthread_mutex_lock(&indexer->flush_lock);
	if (atomic_load(&ann->index.damaged))
		err = ERR_DAMAGED;
	else if (atomic_load(&ann->index.changed_nodes) > 0)
		err = persist_flush(&ann->index, ann->metric);
	pthread_mutex_unlock(&indexer->flush_lock);
	return err;
}

int indexer_some(struct indexer *indexer, size_t n, size_t *left_out)
{
	struct ann *ann = indexer->ann;
	struct tools *tools = tools_take(indexer);
	bool did = true;
	int err = 0, care;

	*left_out = (size_t)indexer_left(ann);
	if (tools == NULL)
		return ERR_NOMEM;
	for (size_t done = 0; err == 0 && did && done < n; done += INDEXER_TAKE) {
		did = false;
		err = link_some(indexer, tools, n - done, &did);
	}
	/* A vector that cannot be linked is no reason to leave the rest. */
	care = repair_all(indexer, tools);
	if (care == 0 && sweep_is_due(ann, false))
		care = sweep(indexer, tools);
	if (care == 0)
		care = give_back_slots(indexer);
	tools_give(indexer, tools);
	*left_out = (size_t)indexer_left(ann);
	return err != 0 ? err : care;
}

void indexer_press(struct indexer *indexer)
{
	struct ann *ann = indexer->ann;
	uint64_t left = indexer_left(ann);
	struct tools *tools;
	bool did = false;

	if (left < INDEXER_PRESS_SLOTS &&
	    left * ann->index.dim * sizeof(float) < INDEXER_PRESS_BYTES)
		return;
	tools = tools_take(indexer);
	if (tools == NULL)
		return;
	/* A vector that cannot be linked stays pending; the put itself went well. */
	(void)link_some(indexer, tools, 2, &did);
	tools_give(indexer, tools);
}

/* --- threads --- */

static bool has_work(struct ann *ann)
{
	struct pending_counts counts;

	pending_count(&ann->pending, &counts);
	return counts.tombstones > 0 || (counts.waiting > 0 && (atomic_load(&ann->index.centred) ||
								counts.live >= INDEXER_CENTRE));
}

static void wake_keeper(struct indexer *indexer)
{
	/* Fails only when a wake-up is already waiting there. */
	if (indexer->wake_fd >= 0)
		(void)eventfd_write(indexer->wake_fd, 1);
}

void indexer_wake(struct indexer *indexer)
{
	if (atomic_load(&indexer->may_sleep) == 0)
		return;
	pthread_mutex_lock(&indexer->lock);
	if (indexer->sleeping > 0)
		pthread_cond_signal(&indexer->work);
	pthread_mutex_unlock(&indexer->lock);
}

/* Waits until there is work, or the end. */
static void sleep_until_work(struct indexer *indexer)
{
	atomic_fetch_add(&indexer->may_sleep, 1);
	pthread_mutex_lock(&indexer->lock);
	while (!atomic_load(&indexer->stop) &&
	       (atomic_load(&indexer->held_off) || !has_work(indexer->ann))) {
		indexer->sleeping++;
		pthread_cond_wait(&indexer->work, &indexer->lock);
		indexer->sleeping--;
	}
	pthread_mutex_unlock(&indexer->lock);
	atomic_fetch_sub(&indexer->may_sleep, 1);
}

static void lower_priority(void)
{
	/*
	 * Refused or not, the work gets done. Not SCHED_IDLE: workers hold locks of commits for moments,
	 * and on a busy machine an idle-class thread may not come back from one for a second.
	 */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), INDEXER_NICE);
}

/*
 * One of several workers rests while vectors are stored or asked for, so that whoever does that finds
 * a core free at once; unless so much is pending that linking must keep up.
 */
static bool gives_way(struct indexer *indexer, uint64_t *seen)
{
	struct ann *ann = indexer->ann;
	uint64_t now = pending_commits(&ann->pending) + atomic_load(&ann->queries);
	bool active = now != *seen;

	*seen = now;
	return active && indexer_left(ann) < INDEXER_PRESS_SLOTS / 2;
}

static void *worker(void *arg)
{
	struct indexer *indexer = arg;
	struct ann *ann = indexer->ann;
	bool polite = atomic_fetch_add(&indexer->started, 1) == 1 && !ann->opts.bulk;
	uint64_t seen = 0;

	if (!ann->opts.bulk)
		lower_priority();
	while (!atomic_load(&indexer->stop)) {
		struct tools *tools;
		bool did = false;
		int err;

		if (polite && gives_way(indexer, &seen)) {
			(void)poll(NULL, 0, INDEXER_REST_MS); /* nothing to watch: only rests */
			continue;
		}
		tools = tools_take(indexer);
		err = tools == NULL ? ERR_NOMEM : 0;
		if (err == 0)
			err = link_some(indexer, tools, INDEXER_TAKE, &did);
		if (err == 0)
			err = repair_one(indexer, tools, &did);
		else if (tools != NULL)
			(void)repair_all(indexer, tools); /* what fails is tried again */
		if (tools != NULL)
			tools_give(indexer, tools);
		if (err != 0)
			atomic_store(&indexer->held_off, true);
		if (did && !atomic_load(&indexer->failed) &&
		    (flush_is_due(ann, false) || sweep_is_due(ann, false)))
			wake_keeper(indexer);
		if (err != 0 || !did)
			sleep_until_work(indexer);
	}
	return NULL;
}

/* One round of the keeper. What fails is tried again at the next tick. */
static void keep(struct indexer *indexer, bool idle)
{
	struct ann *ann = indexer->ann;
	struct tools *tools;
	bool failed = false;

	if (sweep_is_due(ann, idle)) {
		tools = tools_take(indexer);
		failed = tools == NULL || sweep(indexer, tools) != 0;
		if (tools != NULL)
			tools_give(indexer, tools);
	}
	failed = give_back_slots(indexer) != 0 || failed;
	if (flush_is_due(ann, idle) && !atomic_load(&indexer->stop))
		failed = indexer_flush(indexer) != 0 || failed;
	atomic_store(&indexer->failed, failed);
}

static void *keeper(void *arg)
{
	struct indexer *indexer = arg;
	uint64_t seen = 0;
	unsigned idle = 0;

	if (!indexer->ann->opts.bulk)
		lower_priority();
	while (!atomic_load(&indexer->stop)) {
		struct pollfd fd = {.fd = indexer->wake_fd, .events = POLLIN};
		bool tick = poll(&fd, 1, INDEXER_TICK_MS) == 0;
		uint64_t done = atomic_load(&indexer->done);
		eventfd_t count;

		if (!tick)
			(void)eventfd_read(indexer->wake_fd, &count); /* empty is as good */
		if (atomic_load(&indexer->stop))
			break;
		idle = done != seen ? 0 : idle + tick;
		seen = done;
		keep(indexer, idle >= INDEXER_IDLE);
		if (tick && atomic_exchange(&indexer->held_off, false)) {
			pthread_mutex_lock(&indexer->lock);
			pthread_cond_broadcast(&indexer->work);
			pthread_mutex_unlock(&indexer->lock);
		}
	}
	return NULL;
}

/* --- life --- */

static int start_threads(struct indexer *indexer, uint32_t threads)
{
	indexer->workers = mem_zalloc(threads, sizeof(*indexer->workers));
	indexer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (indexer->workers == NULL || indexer->wake_fd < 0)
		return ERR_NOMEM;
	if (pthread_create(&indexer->keeper, NULL, keeper, indexer) != 0)
		return ERR_NOMEM;
	indexer->has_keeper = true;
	for (; indexer->n_workers < threads; indexer->n_workers++)
		if (pthread_create(&indexer->workers[indexer->n_workers], NULL, worker, indexer) !=
		    0)
			break;
	/* Fewer than wished for are slower; none would never end. */
	return indexer->n_workers > 0 ? 0 : ERR_NOMEM;
}

int indexer_new(struct indexer **indexer_out, struct ann *ann, uint32_t threads)
{
	struct indexer *indexer = mem_zalloc(1, sizeof(*indexer));
	int err;

	*indexer_out = NULL;
	if (indexer == NULL)
		return ERR_NOMEM;
	indexer->ann = ann;
	indexer->wake_fd = -1;
	pthread_mutex_init(&indexer->lock, NULL);
	pthread_cond_init(&indexer->work, NULL);
	pthread_mutex_init(&indexer->flush_lock, NULL);
	pthread_mutex_init(&indexer->sweep_lock, NULL);
	pthread_mutex_init(&indexer->tools_lock, NULL);
	err = threads > 0 ? start_threads(indexer, threads) : 0;
	if (err != 0) {
		indexer_free(indexer);
		return err;
	}
	*indexer_out = indexer;
	return 0;
}

void indexer_free(struct indexer *indexer)
{
	if (indexer == NULL)
		return;
	pthread_mutex_lock(&indexer->lock);
	atomic_store(&indexer->stop, true);
	pthread_cond_broadcast(&indexer->work);
	pthread_mutex_unlock(&indexer->lock);
	wake_keeper(indexer);
	for (uint32_t i = 0; i < indexer->n_workers; i++)
		pthread_join(indexer->workers[i], NULL);
	if (indexer->has_keeper)
		pthread_join(indexer->keeper, NULL);
	if (indexer->wake_fd >= 0)
		(void)close(indexer->wake_fd); /* nothing can be lost with it */
	while (indexer->tools != NULL) {
		struct tools *tools = indexer->tools;

		indexer->tools = tools->next;
		index_linker_release(&tools->linker);
		mem_free(tools);
	}
	pthread_cond_destroy(&indexer->work);
	pthread_mutex_destroy(&indexer->lock);
	pthread_mutex_destroy(&indexer->flush_lock);
	pthread_mutex_destroy(&indexer->sweep_lock);
	pthread_mutex_destroy(&indexer->tools_lock);
	mem_free(indexer->workers);
	mem_free(indexer);
}
