/*
 * notify.c - a ring of requests and the thread that works it off.
 *
 * Invariants: 1. items head ... head+count-1 (mod size) are filled, the others own no name;
 * 2. the lock is never held while the kernel is told.
 */
#include "fs/notify.h"

#define FUSE_USE_VERSION 310
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "fs/inode.h"
#include "store/err.h"
#include "store/mem.h"

#define QUEUE_SIZE 8192u

struct item {
	uint64_t node;
	char *name; /* NULL: the node itself; owned */
	size_t len;
	bool pages; /* of the node itself: its pages go, not only its attributes */
};

struct notifier_errand {
	struct notifier_errand *next;
	uint64_t node;
	char *names[2]; /* owned */
	void (*then)(void *ctx);
	void *ctx;
};

struct notifier {
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;				 /* guarded by lock */
	size_t head, count;			 /* guarded by lock */
	struct item items[QUEUE_SIZE];		 /* guarded by lock */
	struct notifier_errand *errands, **last; /* guarded by lock; last: where the next goes */
};

static void tell(struct notifier *notifier, const struct item *item)
{
	/* The kernel refuses what it does not know any more: that is what was wanted. */
	if (fuse_session_exited(notifier->session))
		return;
	if (item->name != NULL)
		(void)fuse_lowlevel_notify_inval_entry(notifier->session, item->node, item->name,
						       item->len);
	else
		(void)fuse_lowlevel_notify_inval_inode(notifier->session, item->node,
						       item->pages ? 0 : -1, 0);
}

static struct item take(struct notifier *notifier)
{
	struct item item = notifier->items[notifier->head];

	notifier->items[notifier->head].name = NULL;
	notifier->head = (notifier->head + 1) % QUEUE_SIZE;
	notifier->count--;
	return item;
}

/* Done before what is queued, since somebody waits for the answer. */
static struct notifier_errand *take_errand(struct notifier *notifier)
{
	struct notifier_errand *errand = notifier->errands;

	if (errand == NULL)
		return NULL;
	notifier->errands = errand->next;
	if (notifier->errands == NULL)
		notifier->last = &notifier->errands;
	return errand;
}

static void finish(struct notifier_errand *errand)
{
	errand->then(errand->ctx);
	notifier_errand_free(errand);
}

static void carry_out(struct notifier *notifier, struct notifier_errand *errand)
{
	struct item item = {.node = errand->node,
			    .pages = errand->names[0] == NULL && errand->names[1] == NULL};

	tell(notifier, &item);
	for (int i = 0; i < 2; i++) {
		item.name = errand->names[i];
		item.len = item.name != NULL ? strlen(item.name) : 0;
		if (item.name != NULL)
			tell(notifier, &item);
	}
	finish(errand);
}

static void *run(void *arg)
{
	struct notifier *notifier = arg;

	pthread_mutex_lock(&notifier->lock);
	while (!notifier->stop) {
		struct notifier_errand *errand = take_errand(notifier);
		struct item item;

		if (errand != NULL) {
			pthread_mutex_unlock(&notifier->lock);
			carry_out(notifier, errand);
			pthread_mutex_lock(&notifier->lock);
			continue;
		}
		if (notifier->count == 0) {
			pthread_cond_wait(&notifier->wake, &notifier->lock);
			continue;
		}
		item = take(notifier);
		pthread_mutex_unlock(&notifier->lock);
		tell(notifier, &item);
		mem_free(item.name);
		pthread_mutex_lock(&notifier->lock);
	}
	pthread_mutex_unlock(&notifier->lock);
	return NULL;
}

int notifier_new(struct fuse_session *session, struct notifier **notifier_out)
{
	struct notifier *notifier = mem_zalloc(1, sizeof(*notifier));

	*notifier_out = NULL;
	if (notifier == NULL)
		return ERR_NOMEM;
	notifier->session = session;
	notifier->last = &notifier->errands;
	pthread_mutex_init(&notifier->lock, NULL);
	pthread_cond_init(&notifier->wake, NULL);
	if (pthread_create(&notifier->thread, NULL, run, notifier) != 0) {
		pthread_cond_destroy(&notifier->wake);
		pthread_mutex_destroy(&notifier->lock);
		mem_free(notifier);
		return ERR_AGAIN;
	}
	*notifier_out = notifier;
	return 0;
}

void notifier_stop(struct notifier *notifier)
{
	bool stopped = false;

	if (notifier == NULL)
		return;
	pthread_mutex_lock(&notifier->lock);
	stopped = notifier->stop;
	notifier->stop = true;
	pthread_cond_signal(&notifier->wake);
	pthread_mutex_unlock(&notifier->lock);
	if (stopped)
		return;
	pthread_join(notifier->thread, NULL);
	pthread_mutex_lock(&notifier->lock);
	for (struct notifier_errand *errand; (errand = take_errand(notifier)) != NULL;)
		finish(errand);
	pthread_mutex_unlock(&notifier->lock);
}

void notifier_free(struct notifier *notifier)
{
	if (notifier == NULL)
		return;
	notifier_stop(notifier);
	while (notifier->count > 0)
		mem_free(take(notifier).name);
	pthread_cond_destroy(&notifier->wake);
	pthread_mutex_destroy(&notifier->lock);
	mem_free(notifier);
}

static void add(struct notifier *notifier, uint64_t node, char *name, size_t len)
{
	char *dropped = NULL;

	pthread_mutex_lock(&notifier->lock);
	if (notifier->stop) {
		dropped = name;
		goto out;
	}
	if (notifier->count == QUEUE_SIZE)
		dropped = take(notifier).name;
	notifier->items[(notifier->head + notifier->count) % QUEUE_SIZE] = (struct item){
		.node = node, .name = name, .len = len, .pages = node >= INODE_FIRST_VECTOR};
	notifier->count++;
	pthread_cond_signal(&notifier->wake);
out:
	pthread_mutex_unlock(&notifier->lock);
	mem_free(dropped);
}

void notifier_inode(struct notifier *notifier, uint64_t node)
{
	if (notifier != NULL)
		add(notifier, node, NULL, 0);
}

void notifier_entry(struct notifier *notifier, uint64_t parent, const char *name, size_t len)
{
	char *copy = notifier != NULL ? mem_alloc(len + 1) : NULL;

	if (copy == NULL)
		return;
	memcpy(copy, name, len);
	copy[len] = '\0';
	add(notifier, parent, copy, len);
}

struct notifier_errand *notifier_errand_new(uint64_t node, const char *a, const char *b,
					    void (*then)(void *ctx), void *ctx)
{
	const char *const names[2] = {a, b};
	struct notifier_errand *errand = mem_zalloc(1, sizeof(*errand));

	if (errand == NULL)
		return NULL;
	errand->node = node;
	errand->then = then;
	errand->ctx = ctx;
	for (int i = 0; i < 2; i++) {
		size_t size = names[i] != NULL ? strlen(names[i]) + 1 : 0;

		if (size == 0)
			continue;
		errand->names[i] = mem_alloc(size);
		if (errand->names[i] == NULL) {
			notifier_errand_free(errand);
			return NULL;
		}
		memcpy(errand->names[i], names[i], size);
	}
	return errand;
}

void notifier_errand_free(struct notifier_errand *errand)
{
	if (errand == NULL)
		return;
	mem_free(errand->names[0]);
	mem_free(errand->names[1]);
	mem_free(errand);
}

void notifier_errand_run(struct notifier *notifier, struct notifier_errand *errand)
{
	bool stopped;

	pthread_mutex_lock(&notifier->lock);
	stopped = notifier->stop;
	if (!stopped) {
		*notifier->last = errand;
		notifier->last = &errand->next;
		pthread_cond_signal(&notifier->wake);
	}
	pthread_mutex_unlock(&notifier->lock);
	if (stopped)
		finish(errand);
}
