/*
 * handle.c - open files: which kind a node opens as, and passing on to that kind.
 */
#include "fs/handle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/answer.h"
#include "fs/attr.h"
#include "fs/dir.h"
#include "fs/links.h"
#include "fs/notify.h"
#include "store/mem.h"

#define CONTROL_LINE_MAX 4096u

/* What tells what is the matter, and what could help, is not kept from anybody. */
static bool tells(const struct node *node)
{
	return node->kind == NODE_METRICS || node->kind == NODE_ERRORS ||
	       node->kind == NODE_CONFIG || node->kind == NODE_CONTROL;
}

int handle_reserve(struct fs *fs, struct handle *handle, size_t bytes, struct err_msg *msg)
{
	bytes += handle->text_cap;
	if (bytes > HANDLE_BYTES_MAX && bytes > handle->reserved)
		return err_set(msg, ERR_TOO_BIG, "more than %llu MiB in one open file",
			       HANDLE_BYTES_MAX >> 20);
	return links_reserve(fs, &handle->reserved, bytes, tells(handle->node), msg);
}

int handle_grow(struct fs *fs, struct handle *handle, uint8_t **bytes, size_t *cap_out, size_t cap,
		size_t in_all, struct err_msg *msg)
{
	size_t before = handle->reserved;
	uint8_t *grown = NULL;
	int rc = handle_reserve(fs, handle, in_all, msg);

	if (rc != 0)
		return rc;
	grown = mem_resize(*bytes, cap, 1);
	if (grown == NULL) {
		(void)buffered_change(&fs->buffered, &handle->reserved, before, false, NULL);
		return ERR_NOMEM; /* giving back cannot fail */
	}
	*bytes = grown;
	*cap_out = cap;
	return 0;
}

/* --- opening --- */

static enum handle_kind kind_of(const struct node *node, const struct handle_mode *mode)
{
	switch (node->kind) {
	case NODE_VECTOR:
		return HANDLE_VECTOR;
	case NODE_TEXT:
		return HANDLE_JSON;
	case NODE_RUN:
		return HANDLE_RUN;
	case NODE_CONTROL:
		return HANDLE_CONTROL;
	case NODE_NAMED:
		return mode->write ? HANDLE_NAMED : HANDLE_TEXT;
	default:
		return HANDLE_TEXT;
	}
}

static int may_open(const struct fs *fs, const struct node *node, const struct handle_mode *mode,
		    struct call *call)
{
	int rc = dir_may_enter(fs, node, call);

	if (rc != 0)
		return rc;
	switch (kind_of(node, mode)) {
	case HANDLE_VECTOR:
	case HANDLE_JSON:
		if (mode->write && ann_read_only(fs->ann))
			return ERR_READONLY;
		return 0;
	case HANDLE_RUN:
	case HANDLE_NAMED:
		return 0;
	case HANDLE_CONTROL:
		return mode->read ? err_set(&call->msg, ERR_PERMISSION, "only to be written") : 0;
	default:
		return mode->write ? err_set(&call->msg, ERR_PERMISSION, "only to be read") : 0;
	}
}

static int make_text(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		     size_t *len_out)
{
	switch (node->kind) {
	case NODE_README:
		return status_readme_text(fs, text_out, len_out);
	case NODE_METRICS:
		return status_metrics_text(fs, text_out, len_out);
	case NODE_ERRORS:
		return status_errors_text(fs, text_out, len_out);
	case NODE_CONFIG:
		return status_config_text(fs, text_out, len_out);
	case NODE_NAMED:
		return namedfile_answer(fs, node, call, text_out, len_out);
	default:
		return answer_node(fs, node, call, text_out, len_out);
	}
}

static int new_handle(struct fs *fs, enum handle_kind kind, struct node *node,
		      const struct handle_mode *mode, struct call *call, struct handle **handle_out)
{
	struct handle *handle = NULL;
	int rc = buffered_open(&fs->buffered, tells(node), &call->msg);

	*handle_out = NULL;
	if (rc != 0)
		return rc;
	handle = mem_zalloc(1, sizeof(*handle));
	if (handle == NULL) {
		buffered_close(&fs->buffered);
		return ERR_NOMEM;
	}
	*handle_out = handle;
	waiting_init(&handle->lock);
	handle->kind = kind;
	handle->node = node;
	handle->readable = mode->read;
	handle->writable = mode->write;
	handle->append = mode->append;
	opened_add(&fs->handles, &handle->opened);
	return 0;
}

/* Frees all but the node's being open. */
static void free_handle(struct fs *fs, struct handle *handle)
{
	if (handle == NULL)
		return;
	opened_remove(&fs->handles, &handle->opened);
	handle->text_cap = 0;
	(void)handle_reserve(fs, handle, 0, NULL); /* giving back cannot fail */
	mem_free(handle->text);
	vecfile_release(&handle->vector);
	jsonfile_release(&handle->json);
	run_release(&handle->run);
	namedfile_release(fs, &handle->named);
	waiting_release(&handle->lock);
	mem_free(handle);
	buffered_close(&fs->buffered);
}

static int fill(struct fs *fs, struct handle *handle, const struct handle_mode *mode,
		struct call *call)
{
	int rc;

	if (handle->kind == HANDLE_VECTOR)
		return vecfile_open(fs, handle, mode->write && mode->truncate,
				    mode->read && !(mode->write && mode->truncate), &call->msg);
	if (handle->kind == HANDLE_JSON)
		return jsonfile_open(fs, handle, mode->write && mode->truncate, &call->msg);
	if (handle->kind == HANDLE_NAMED)
		return namedfile_open(fs, handle);
	if (handle->kind != HANDLE_TEXT)
		return 0;
	rc = make_text(fs, handle->node, call, &handle->text, &handle->text_len);
	return rc != 0 ? rc : handle_reserve(fs, handle, handle->text_len, &call->msg);
}

static void choose_cache(struct fs *fs, struct handle *handle, const struct call *call,
			 struct handle_cache *cache)
{
	struct vecfile *file = &handle->vector;
	bool one_page = file->len <= (size_t)sysconf(_SC_PAGESIZE);
	enum inode_cache may;

	memset(cache, 0, sizeof(*cache));
	cache->quiet_close = !handle->writable;
	cache->direct = true;
	if (handle->kind != HANDLE_VECTOR || handle->writable || file->lsn == 0)
		return;
	may = inode_cache(fs->inodes, handle->node, call->id, file->lsn, one_page, call->thread);
	cache->retry = may == INODE_CACHE_RETRY;
	cache->direct = may == INODE_CACHE_NONE || cache->retry;
	cache->keep = may == INODE_CACHE_SAME;
	file->frozen = !one_page;
}

/* Each query has a name of its own, and the kernel shall not keep them all. */
static void give_name_back(struct fs *fs, const struct node *node)
{
	if (node->kind == NODE_POINT || node->kind == NODE_LIKE_ID)
		notifier_entry(fs->notifier, node->parent->id, node->name, node->name_len);
}

int handle_open(struct fs *fs, struct node *node, const struct handle_mode *mode, struct call *call,
		struct handle **handle_out, struct handle_cache *cache_out)
{
	enum handle_kind kind = kind_of(node, mode);
	struct handle *handle = NULL;
	bool gone = false;
	int rc = may_open(fs, node, mode, call);

	*handle_out = NULL;
	if (rc != 0)
		return rc;
	if (kind == HANDLE_JSON)
		node = node->parent;
	inode_opened(fs->inodes, node);
	rc = new_handle(fs, kind, node, mode, call, &handle);
	if (rc == 0)
		rc = fill(fs, handle, mode, call);
	if (rc == 0 && (kind == HANDLE_VECTOR || kind == HANDLE_JSON))
		gone = !vecfile_there(fs, handle);
	/* Who writes may want it made; that is not told here. */
	if (gone && !mode->write)
		rc = ERR_ABSENT;
	if (rc != 0) {
		free_handle(fs, handle);
		give_name_back(fs, node);
		/* A new vector has other handles, so that no name goes. */
		(void)inode_closed(fs->inodes, node);
		return rc;
	}
	choose_cache(fs, handle, call, cache_out);
	cache_out->retry = cache_out->retry || gone;
	*handle_out = handle;
	return 0;
}

int handle_create(struct fs *fs, enum handle_kind kind, struct node *node,
		  const struct handle_mode *mode, struct call *call, struct handle **handle_out,
		  struct handle_cache *cache_out)
{
	int rc = new_handle(fs, kind, node, mode, call, handle_out);

	if (rc == 0 && kind == HANDLE_JSON)
		rc = jsonfile_open(fs, *handle_out, true, &call->msg);
	else if (rc == 0)
		rc = vecfile_open(fs, *handle_out, true, false, &call->msg);
	if (rc != 0) {
		free_handle(fs, *handle_out);
		*handle_out = NULL;
		(void)inode_closed(fs->inodes, node); /* its name goes with it */
		return rc;
	}
	choose_cache(fs, *handle_out, call, cache_out);
	return 0;
}

void handle_free_all(struct fs *fs)
{
	while (fs->handles.first != NULL)
		free_handle(fs, (struct handle *)fs->handles.first);
}

void handle_close(struct fs *fs, struct handle *handle, struct call *call, bool *dropped_out)
{
	struct node *node = handle->node;
	bool dropped = false;

	waiting_lock(&handle->lock, call, true);
	if (handle->kind == HANDLE_VECTOR) {
		dropped = handle->vector.dirty && !handle->vector.told;
		vecfile_closed(fs, handle, 0);
	}
	if (dropped && !vecfile_incomplete(fs, &handle->vector, &call->msg))
		(void)err_set(&call->msg, ERR_INVALID, "what was written last was not committed");
	if (handle->kind == HANDLE_JSON)
		dropped = handle->json.dirty && !handle->json.told &&
			  jsonfile_finish(fs, handle, call) != 0;
	if (handle->kind == HANDLE_NAMED)
		dropped = handle->named.dirty && !handle->named.told &&
			  namedfile_finish(fs, handle, call) != 0;
	if (handle->kind == HANDLE_RUN)
		dropped = run_incomplete(fs, &handle->run, &call->msg);
	waiting_unlock(&handle->lock);
	free_handle(fs, handle);
	give_name_back(fs, node);
	(void)inode_closed(fs->inodes, node); /* a name that goes was never in a listing */
	*dropped_out = dropped;
}

/* --- reading and writing --- */

static void slice(const void *bytes, size_t have, uint64_t offset, size_t size,
		  const void **bytes_out, size_t *len_out)
{
	size_t at = offset < have ? (size_t)offset : have;

	*bytes_out = bytes != NULL ? (const uint8_t *)bytes + at : NULL;
	*len_out = have - at < size ? have - at : size;
}

int handle_read(struct fs *fs, struct handle *handle, uint64_t offset, size_t size,
		struct call *call, const void **bytes_out, size_t *len_out)
{
	int rc = 0;

	*bytes_out = NULL;
	*len_out = 0;
	waiting_lock(&handle->lock, call, false);
	switch (handle->kind) {
	case HANDLE_VECTOR:
		rc = vecfile_read(fs, handle, &call->msg);
		if (rc == 0)
			slice(handle->vector.bytes, handle->vector.len, offset, size, bytes_out,
			      len_out);
		break;
	case HANDLE_JSON:
		jsonfile_read(fs, handle);
		slice(handle->json.text, handle->json.len, offset, size, bytes_out, len_out);
		break;
	case HANDLE_NAMED:
		rc = namedfile_read(fs, handle, offset, call);
		if (rc == 0)
			slice(handle->text, handle->text_len, offset, size, bytes_out, len_out);
		break;
	case HANDLE_RUN:
		rc = run_read(fs, handle, size, call, bytes_out, len_out);
		break;
	case HANDLE_TEXT:
		slice(handle->text, handle->text_len, offset, size, bytes_out, len_out);
		break;
	case HANDLE_CONTROL:
		rc = ERR_PERMISSION;
		break;
	}
	if (rc != 0)
		waiting_unlock(&handle->lock);
	return rc;
}

void handle_read_done(struct handle *handle)
{
	waiting_unlock(&handle->lock);
}

/* Each line is a command; the first that fails ends it. */
static int control(struct fs *fs, const char *bytes, size_t len, struct call *call)
{
	int rc = 0;

	if (len > CONTROL_LINE_MAX)
		return err_set(&call->msg, ERR_TOO_BIG, "a command is at most %u bytes",
			       CONTROL_LINE_MAX);
	status_count(fs->status, STATUS_OP_control);
	for (size_t at = 0; rc == 0 && at < len;) {
		const char *end = memchr(bytes + at, '\n', len - at);
		size_t line = end != NULL ? (size_t)(end - bytes) - at : len - at;

		if (line > 0)
			rc = status_control(fs, bytes + at, line, call);
		at += line + 1;
	}
	return rc;
}

int handle_write(struct fs *fs, struct handle *handle, const void *bytes, size_t len,
		 uint64_t offset, struct call *call)
{
	int rc = ERR_PERMISSION;

	if (len == 0)
		return 0;
	if (handle->kind == HANDLE_VECTOR || handle->kind == HANDLE_JSON)
		ann_wait_room(fs->ann);
	waiting_lock(&handle->lock, call, false);
	if (handle->kind == HANDLE_VECTOR || handle->kind == HANDLE_JSON)
		inode_set_mtime(fs->inodes, handle->node, false);
	if (handle->kind == HANDLE_VECTOR)
		rc = vecfile_write(fs, handle, bytes, len, offset, call);
	else if (handle->kind == HANDLE_JSON)
		rc = jsonfile_write(fs, handle, bytes, len, offset, call);
	else if (handle->kind == HANDLE_NAMED)
		rc = namedfile_write(fs, handle, bytes, len, offset, call);
	else if (handle->kind == HANDLE_RUN)
		rc = run_write(fs, handle, bytes, len, call);
	else if (handle->kind == HANDLE_CONTROL)
		rc = control(fs, bytes, len, call);
	waiting_unlock(&handle->lock);
	return rc;
}

size_t handle_text_size(struct handle *handle)
{
	struct call unasked = {0};
	size_t size;

	waiting_lock(&handle->lock, &unasked, false);
	size = handle->json.len;
	waiting_unlock(&handle->lock);
	return size;
}

/* Commits what a handle has collected. Caller holds its lock. */
static int finish(struct fs *fs, struct handle *handle, struct call *call)
{
	switch (handle->kind) {
	case HANDLE_VECTOR:
		return vecfile_finish(fs, handle, call);
	case HANDLE_JSON:
		return jsonfile_finish(fs, handle, call);
	case HANDLE_NAMED:
		return namedfile_finish(fs, handle, call);
	default:
		return 0;
	}
}

static int sync_content(struct fs *fs, struct handle *handle)
{
	int rc = ann_sync(fs->ann);

	if (rc == 0)
		handle->vector.unsynced = false;
	return rc;
}

int handle_flush(struct fs *fs, struct handle *handle, struct call *call)
{
	int rc = 0;

	if (!handle->writable)
		return 0;
	waiting_lock(&handle->lock, call, false);
	rc = finish(fs, handle, call);
	if (handle->kind == HANDLE_VECTOR && call->thread != 0)
		vecfile_closed(fs, handle, call->thread);
	if (rc == 0 && handle->vector.unsynced && fs->opts.durability == WAL_CLOSE)
		rc = sync_content(fs, handle);
	waiting_unlock(&handle->lock);
	return rc;
}

int handle_sync(struct fs *fs, struct handle *handle, struct call *call)
{
	int rc = 0;

	waiting_lock(&handle->lock, call, false);
	rc = finish(fs, handle, call);
	if (rc == 0 && (handle->kind == HANDLE_VECTOR || handle->kind == HANDLE_JSON))
		rc = sync_content(fs, handle);
	waiting_unlock(&handle->lock);
	return rc;
}

int handle_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call)
{
	int rc = 0;

	if (handle->kind != HANDLE_VECTOR && handle->kind != HANDLE_JSON &&
	    handle->kind != HANDLE_NAMED)
		return size == 0 ? 0 : ERR_INVALID;
	waiting_lock(&handle->lock, call, false);
	if (handle->kind != HANDLE_NAMED)
		inode_set_mtime(fs->inodes, handle->node, false);
	if (handle->kind == HANDLE_JSON)
		rc = jsonfile_truncate(fs, handle, size, call);
	else if (handle->kind == HANDLE_NAMED)
		rc = namedfile_truncate(fs, handle, size, call);
	else
		rc = vecfile_truncate(fs, handle, size, call);
	waiting_unlock(&handle->lock);
	return rc;
}
