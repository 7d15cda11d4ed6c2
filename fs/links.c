/*
 * links.c - an answer as a folder of symbolic links.
 *
 * An answer is text with a name a line, as query_render makes it; a name has no line end, since ids
 * have none. The ones searched last stand in a short array by the number of their folder, which is
 * never used again; the one searched longest ago gives its place up.
 */
#include "fs/links.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fs/answer.h"
#include "fs/namedfile.h"
#include "store/mem.h"

#define RECENT 16u
#define FRESH_NS 1000000000ull
#define FIRST_NUMBER (1ull << 60)
#define INDEX_BITS 20u
#define UP "../"

struct links {
	_Atomic uint32_t refs;
	char *text; /* owned; names, each with a terminator */
	size_t *at; /* owned; where names begin, and the end */
	size_t n;
	bool batch;
	struct buffered *buffered;
	size_t held; /* bytes counted there */
};

struct links_recent {
	pthread_mutex_t lock;
	struct {
		uint64_t folder; /* 0: free */
		uint64_t made_ns;
		struct links *links;
	} all[RECENT]; /* guarded by lock */
};

int links_recent_new(struct links_recent **recent_out)
{
	struct links_recent *recent = mem_zalloc(1, sizeof(*recent));

	*recent_out = recent;
	if (recent == NULL)
		return ERR_NOMEM;
	pthread_mutex_init(&recent->lock, NULL);
	return 0;
}

void links_release(struct links *links)
{
	if (links == NULL || atomic_fetch_sub(&links->refs, 1) > 1)
		return;
	mem_free(links->text);
	mem_free(links->at);
	if (links->buffered != NULL) {
		(void)buffered_change(links->buffered, &links->held, 0, false, NULL);
		buffered_close(links->buffered);
	}
	mem_free(links);
}

void links_recent_free(struct links_recent *recent)
{
	if (recent == NULL)
		return;
	for (size_t i = 0; i < RECENT; i++)
		links_release(recent->all[i].links);
	pthread_mutex_destroy(&recent->lock);
	mem_free(recent);
}

static void drop_recent(struct fs *fs)
{
	struct links_recent *recent = fs->links;
	struct links *all[RECENT];

	if (recent == NULL)
		return;
	pthread_mutex_lock(&recent->lock);
	for (size_t i = 0; i < RECENT; i++) {
		all[i] = recent->all[i].links;
		recent->all[i].links = NULL;
		recent->all[i].folder = 0;
		recent->all[i].made_ns = 0;
	}
	pthread_mutex_unlock(&recent->lock);
	for (size_t i = 0; i < RECENT; i++)
		links_release(all[i]);
}

int links_reserve(struct fs *fs, size_t *held, size_t bytes, bool tells, struct err_msg *msg)
{
	if (buffered_change(&fs->buffered, held, bytes, tells, NULL) == 0)
		return 0;
	drop_recent(fs);
	return buffered_change(&fs->buffered, held, bytes, tells, msg);
}

static uint64_t now(const struct fs *fs)
{
	return fs->io->ops->now_ns(fs->io, STORE_CLOCK_MONOTONIC);
}

static void remember(struct fs *fs, const struct node *folder, struct links *links)
{
	struct links_recent *recent = fs->links;
	struct links *old = NULL;
	size_t place = 0;

	pthread_mutex_lock(&recent->lock);
	for (size_t i = 1; i < RECENT; i++)
		if (recent->all[i].made_ns < recent->all[place].made_ns)
			place = i;
	for (size_t i = 0; i < RECENT; i++)
		if (recent->all[i].folder == folder->id)
			place = i;
	old = recent->all[place].links;
	recent->all[place].folder = folder->id;
	recent->all[place].made_ns = now(fs);
	recent->all[place].links = links;
	atomic_fetch_add(&links->refs, 1);
	pthread_mutex_unlock(&recent->lock);
	links_release(old);
}

/* With a reference; NULL when there is none that is fresh. */
static struct links *recall(struct fs *fs, const struct node *folder)
{
	struct links_recent *recent = fs->links;
	struct links *links = NULL;

	pthread_mutex_lock(&recent->lock);
	for (size_t i = 0; i < RECENT; i++)
		if (recent->all[i].folder == folder->id &&
		    now(fs) - recent->all[i].made_ns < FRESH_NS)
			links = recent->all[i].links;
	if (links != NULL)
		atomic_fetch_add(&links->refs, 1);
	pthread_mutex_unlock(&recent->lock);
	return links;
}

bool links_is_folder(const struct node *node)
{
	if (node->kind == NODE_NAMED_LINKS)
		return true;
	if (node->kind != NODE_POINT && node->kind != NODE_LIKE_ID)
		return false;
	while (node->kind != NODE_SPEC)
		node = node->parent;
	return node->spec->format == QUERY_LINKS;
}

/* --- an answer --- */

/* Cuts the text into names. */
static int cut(struct links *links, size_t len)
{
	char *end = links->text + len;
	size_t i = 0;

	for (const char *at = links->text; (at = memchr(at, '\n', (size_t)(end - at))) != NULL;
	     at++)
		links->n++;
	links->at = mem_alloc((links->n + 1) * sizeof(*links->at));
	if (links->at == NULL)
		return ERR_NOMEM;
	links->at[0] = 0;
	for (char *at = links->text; i < links->n; at++) {
		at = memchr(at, '\n', (size_t)(end - at));
		*at = '\0';
		links->at[++i] = (size_t)(at - links->text) + 1;
	}
	return 0;
}

int links_open(struct fs *fs, const struct node *folder, struct call *call,
	       struct links **links_out)
{
	struct links *links = mem_zalloc(1, sizeof(*links));
	size_t len = 0;
	int rc = ERR_NOMEM;

	*links_out = NULL;
	if (links == NULL)
		return rc;
	atomic_init(&links->refs, 1);
	rc = buffered_open(&fs->buffered, false, &call->msg);
	if (rc != 0)
		goto out;
	links->buffered = &fs->buffered;
	if (folder->kind == NODE_NAMED_LINKS)
		rc = namedfile_answer_links(fs, folder, call, &links->text, &len, &links->batch);
	else
		rc = answer_node(fs, folder, call, &links->text, &len);
	if (rc == 0)
		rc = cut(links, len);
	if (rc == 0 && links->n > LINKS_MAX)
		rc = err_set(&call->msg, ERR_TOO_BIG,
			     "%zu links are too many for a folder: it has at most %u", links->n,
			     LINKS_MAX);
	if (rc == 0)
		rc = links_reserve(fs, &links->held, len + (links->n + 1) * sizeof(*links->at),
				   false, &call->msg);
out:
	if (rc != 0) {
		links_release(links);
		return rc;
	}
	remember(fs, folder, links);
	*links_out = links;
	return 0;
}

uint64_t links_number(const struct node *folder, uint32_t index)
{
	return FIRST_NUMBER + (folder->id << INDEX_BITS & (FIRST_NUMBER - 1)) + index;
}

void links_list(const struct links *links, const struct node *folder, uint64_t at,
		uint64_t cookie_base, dir_add add, void *ctx)
{
	struct dir_entry entry = {.st = {.st_mode = S_IFLNK}};

	for (; at < links->n; at++) {
		entry.st.st_ino = links_number(folder, (uint32_t)at);
		if (!add(ctx, links->text + links->at[at], &entry, cookie_base + at + 1))
			return;
	}
}

/* Where the id begins: behind one number and a dash, or behind two. */
static uint16_t id_at(const struct links *links, const char *name)
{
	const char *dash = strchr(name, '-');

	if (dash != NULL && links->batch)
		dash = strchr(dash + 1, '-');
	return dash != NULL ? (uint16_t)(dash + 1 - name) : 0;
}

int links_find(struct fs *fs, const struct node *folder, struct call *call, const char *name,
	       size_t len, struct inode_link *link_out)
{
	struct links *links = recall(fs, folder);
	int rc = 0;

	if (links == NULL)
		rc = links_open(fs, folder, call, &links);
	if (rc != 0)
		return rc;
	rc = ERR_ABSENT;
	for (size_t i = 0; rc != 0 && i < links->n; i++) {
		const char *one = links->text + links->at[i];

		if (links->at[i + 1] - links->at[i] != len + 1 || memcmp(one, name, len) != 0)
			continue;
		link_out->index = (uint32_t)i;
		link_out->id_at = id_at(links, one);
		rc = 0;
	}
	links_release(links);
	return rc;
}

size_t links_target(const struct node *link, char *target, size_t cap)
{
	size_t len = 0;

	target[0] = '\0';
	for (const struct node *node = link->parent; node->kind != NODE_ROOT; node = node->parent)
		len += (size_t)snprintf(target + (len < cap ? len : cap - 1),
					cap - (len < cap ? len : cap - 1), UP);
	return len + (size_t)snprintf(target + (len < cap ? len : cap - 1),
				      cap - (len < cap ? len : cap - 1), "vectors/%s",
				      link->name + link->link.id_at);
}
