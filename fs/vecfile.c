/*
 * vecfile.c - the bytes of an open vector.
 *
 * Invariants: 1. bytes[0 ... len) are defined; len <= cap; 2. a clean file that is not fresh holds
 * the stored vector of `version`, or nothing; 3. low == high until something was written since the
 * last commit; 4. a write that returns an error has changed nothing.
 */
#include "fs/vecfile.h"

#include <string.h>

#include "fs/attr.h"
#include "fs/handle.h"
#include "fs/listing.h"
#include "fs/notify.h"
#include "store/mem.h"

/* What a write does once its bytes are in place. */
enum commit_when { COMMIT_LATER, COMMIT_WHOLE, COMMIT_PATCH };

/* What a failed write goes back to. */
struct undo {
	struct vecfile before; /* but for bytes and cap */
	uint8_t *bytes;
	size_t at, len;
};

static size_t limit_of(const struct fs *fs)
{
	size_t size = attr_vector_size(fs);

	return size > 0 ? size : ANN_DIM_MAX * sizeof(float);
}

void vecfile_release(struct vecfile *file)
{
	mem_free(file->bytes);
	memset(file, 0, sizeof(*file));
}

static int make_room(struct fs *fs, struct handle *handle, size_t need, struct err_msg *msg)
{
	struct vecfile *file = &handle->vector;
	size_t cap = attr_vector_size(fs);

	if (need <= file->cap)
		return 0;
	if (cap < need)
		cap = need > 2 * file->cap ? need : 2 * file->cap;
	return handle_grow(fs, handle, &file->bytes, &file->cap, cap, cap, msg);
}

/* --- the stored vector --- */

/* Caller holds `names`. */
static int fetch(struct fs *fs, struct handle *handle, struct err_msg *msg)
{
	struct vecfile *file = &handle->vector;
	struct node *node = handle->node;
	struct node_loose loose = {0};
	struct store_entry entry;
	size_t size = attr_vector_size(fs);
	int rc = 0;

	/* Removed: what was fetched stays. Not written whole yet: nothing is there. */
	if (inode_loose(fs->inodes, node, &loose) && (!loose.left || file->version != 0))
		return 0;
	/* Removed before anything was fetched: it is as if what has the name now had been opened. */
	rc = make_room(fs, handle, size, msg);
	if (rc == 0)
		rc = ann_get(fs->ann, node->name, node->name_len, &entry,
			     (float *)(void *)file->bytes);
	file->len = rc == 0 ? size : 0;
	file->lsn = rc == 0 ? entry.lsn : 0;
	return rc == ERR_ABSENT && loose.left ? 0 : rc;
}

static void empty(struct vecfile *file, uint64_t version)
{
	file->len = 0;
	file->low = file->high = 0;
	file->dirty = file->patch = file->scattered = file->overrun = false;
	file->fresh = true;
	file->fresh_at = version;
	file->version = 0;
}

static int refresh(struct fs *fs, struct handle *handle, struct err_msg *msg)
{
	struct vecfile *file = &handle->vector;
	uint64_t version = inode_version(fs->inodes, handle->node);
	int rc = 0;

	if (file->dirty || file->frozen || file->version == version ||
	    (file->fresh && file->fresh_at == version))
		return 0;
	file->fresh = false;
	inode_names_read(fs->inodes);
	rc = fetch(fs, handle, msg);
	inode_names_unlock(fs->inodes);
	file->version = rc == 0 ? version : 0;
	return rc;
}

/* The first use: it may have been truncated since it was opened. */
static void begin_use(struct fs *fs, struct handle *handle)
{
	struct vecfile *file = &handle->vector;

	if (!file->used && handle->writable &&
	    inode_truncations(fs->inodes, handle->node) != file->truncations)
		empty(file, inode_version(fs->inodes, handle->node));
	file->used = true;
}

int vecfile_open(struct fs *fs, struct handle *handle, bool fresh, bool fetch_now,
		 struct err_msg *msg)
{
	handle->vector.truncations = inode_truncations(fs->inodes, handle->node);
	if (fresh)
		empty(&handle->vector, inode_version(fs->inodes, handle->node));
	return fetch_now ? refresh(fs, handle, msg) : 0;
}

bool vecfile_there(struct fs *fs, struct handle *handle)
{
	struct vecfile *file = &handle->vector;
	struct node *node = handle->node;
	struct node_loose loose;
	struct store_entry entry;
	bool there = true;

	inode_names_read(fs->inodes);
	if (inode_is_named(fs->inodes, node) || !inode_loose(fs->inodes, node, &loose))
		goto out;
	if (loose.left)
		there = !handle->readable || file->fresh || file->len > 0;
	else if (!loose.removed)
		there = ann_get(fs->ann, node->name, node->name_len, &entry, NULL) == ERR_ABSENT &&
			inode_revive(fs->inodes, node);
out:
	inode_names_unlock(fs->inodes);
	return there;
}

int vecfile_read(struct fs *fs, struct handle *handle, struct err_msg *msg)
{
	begin_use(fs, handle);
	return refresh(fs, handle, msg);
}

/* Caller holds `names` and the stripe. *listed_out: from now on it is listed. */
static int put(struct fs *fs, struct handle *handle, struct call *call, bool *listed_out)
{
	struct vecfile *file = &handle->vector;
	struct node *node = handle->node;
	struct node_loose loose = {0};
	struct store_entry stored = {0};
	uint64_t ino = 0;
	unsigned flags = STORE_PUT_KEEP_ATTR;
	bool keep = inode_mtime_is_set(fs->inodes, node);
	int rc = 0;

	if (inode_loose(fs->inodes, node, &loose)) {
		if (!node->named) /* removed while open: changes nobody can find */
			return 0;
		flags = STORE_PUT_INO;
		ino = loose.number - INODE_FIRST_VECTOR;
	} else if (keep) {
		rc = ann_get(fs->ann, node->name, node->name_len, &stored, NULL);
		loose.attr = stored.attr;
	}
	if (rc != 0)
		return rc;
	if (!keep)
		loose.attr.mtime_ns = attr_now(fs);
	rc = ann_put(fs->ann, node->name, node->name_len, (const float *)(void *)file->bytes,
		     file->len / sizeof(float), &loose.attr, flags, &ino, &call->msg);
	if (rc == 0)
		inode_committed(fs->inodes, node, &file->version);
	*listed_out = rc == 0 && flags == STORE_PUT_INO;
	return rc;
}

/*
 * Others have committed since the bytes were fetched: what was not written here is as they left it.
 * Caller holds `names` and the stripe.
 */
static int merge(struct fs *fs, struct handle *handle)
{
	struct vecfile *file = &handle->vector;
	struct node *node = handle->node;
	struct store_entry entry;
	uint8_t *stored = NULL;
	int rc;

	if (!file->patch || file->scattered || inode_is_loose(fs->inodes, node) ||
	    file->version == inode_version(fs->inodes, node))
		return 0;
	stored = mem_alloc(file->len);
	if (stored == NULL)
		return ERR_NOMEM;
	rc = ann_get(fs->ann, node->name, node->name_len, &entry, (float *)(void *)stored);
	if (rc == 0) {
		memcpy(file->bytes, stored, file->low);
		memcpy(file->bytes + file->high, stored + file->high, file->len - file->high);
	}
	mem_free(stored);
	return rc;
}

static int commit(struct fs *fs, struct handle *handle, bool in_write, struct call *call)
{
	struct vecfile *file = &handle->vector;
	struct node *node = handle->node;
	bool listed = false;
	int rc;

	inode_names_read(fs->inodes);
	inode_stripe_lock(fs->inodes, node);
	rc = merge(fs, handle);
	if (rc == 0)
		rc = put(fs, handle, call, &listed);
	inode_stripe_unlock(fs->inodes, node);
	inode_names_unlock(fs->inodes);
	if (rc != 0)
		return rc;
	if (listed)
		listing_changed(fs, true);
	file->brought = file->brought || listed;
	file->fresh = file->dirty = file->patch = false;
	file->scattered = false;
	file->low = file->high = 0;
	file->unsynced = true;
	/* After a write the kernel asks again for size and time of the number written to. */
	if (!in_write || inode_is_cached(fs->inodes, node) ||
	    inode_id(fs->inodes, node) != call->id)
		notifier_inode(fs->notifier, inode_id(fs->inodes, node));
	return 0;
}

/* --- what was written --- */

static bool touches(const struct vecfile *file, size_t from, size_t to)
{
	return from <= file->high && to >= file->low;
}

static void add_piece(struct vecfile *file, size_t from, size_t to)
{
	if (file->low == file->high) {
		file->low = from;
		file->high = to;
	} else if (touches(file, from, to)) {
		file->low = from < file->low ? from : file->low;
		file->high = to > file->high ? to : file->high;
	} else {
		file->scattered = true;
	}
}

static void begin_change(struct vecfile *file)
{
	if (file->dirty)
		return;
	file->dirty = true;
	file->patch = !file->fresh && file->len > 0;
	file->scattered = false;
	file->low = file->high = 0;
}

static enum commit_when when_to_commit(const struct fs *fs, const struct vecfile *file)
{
	size_t size = attr_vector_size(fs);

	if (size == 0 || file->len != size)
		return COMMIT_LATER;
	if (!file->scattered && file->low == 0 && file->high == size)
		return COMMIT_WHOLE;
	if (file->patch && (file->scattered || file->low > 0))
		return COMMIT_PATCH;
	return COMMIT_LATER;
}

/*
 * A patch that waits gets a second piece: it is committed before, so that what lies between them stays
 * as others leave it. When it is refused alone both are one change.
 */
static int settle(struct fs *fs, struct handle *handle, size_t from, size_t to, struct call *call)
{
	const struct vecfile *file = &handle->vector;
	int rc;

	if (!file->patch || file->scattered || file->low == file->high || touches(file, from, to))
		return 0;
	rc = commit(fs, handle, true, call);
	if (rc == ERR_INVALID)
		call->msg.text[0] = '\0';
	return rc == ERR_INVALID ? 0 : rc;
}

static int undo_begin(struct vecfile *file, size_t at, size_t len, struct undo *undo)
{
	memset(undo, 0, sizeof(*undo));
	undo->before = *file;
	undo->at = at;
	if (at < file->len)
		undo->len = len < file->len - at ? len : file->len - at;
	if (undo->len == 0)
		return 0;
	undo->bytes = mem_alloc(undo->len);
	if (undo->bytes == NULL)
		return ERR_NOMEM;
	memcpy(undo->bytes, file->bytes + at, undo->len);
	return 0;
}

static void undo_all(struct vecfile *file, const struct undo *undo)
{
	struct vecfile before = undo->before;

	before.bytes = file->bytes;
	before.cap = file->cap;
	*file = before;
	if (undo->len > 0)
		memcpy(file->bytes + undo->at, undo->bytes, undo->len);
}

static void place(struct vecfile *file, const uint8_t *bytes, size_t len, size_t at)
{
	begin_change(file);
	if (at > file->len)
		memset(file->bytes + file->len, 0, at - file->len);
	memcpy(file->bytes + at, bytes, len);
	if (at + len > file->len)
		file->len = at + len;
	file->told = false;
	add_piece(file, at, at + len);
}

static int too_long(const struct fs *fs, uint64_t end, struct err_msg *msg)
{
	size_t size = attr_vector_size(fs);

	if (size == 0)
		return err_set(msg, ERR_TOO_BIG,
			       "a write up to byte %llu, a vector has at most %u float32",
			       (unsigned long long)end, ANN_DIM_MAX);
	return err_set(msg, ERR_TOO_BIG,
		       "a write up to byte %llu, a vector here is %zu (%zu × float32)",
		       (unsigned long long)end, size, size / sizeof(float));
}

int vecfile_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
		  uint64_t offset, struct call *call)
{
	struct vecfile *file = &handle->vector;
	enum commit_when when = COMMIT_LATER;
	struct undo undo = {0};
	size_t limit = limit_of(fs), at;
	int rc = vecfile_read(fs, handle, &call->msg);

	if (rc != 0)
		return rc;
	if (handle->append)
		offset = file->len;
	if (offset > limit || len > limit - offset) {
		file->overrun = true;
		return too_long(fs, offset + len, &call->msg);
	}
	file->writer = call->thread;
	at = (size_t)offset;
	rc = make_room(fs, handle, at + len, &call->msg);
	if (rc == 0)
		rc = settle(fs, handle, at, at + len, call);
	if (rc == 0)
		rc = undo_begin(file, at, len, &undo);
	if (rc != 0)
		return rc;
	place(file, bytes, len, at);
	when = when_to_commit(fs, file);
	if (when != COMMIT_LATER)
		rc = commit(fs, handle, true, call);
	if (rc == ERR_INVALID && when == COMMIT_PATCH && (at + len) % sizeof(float) != 0)
		rc = 0; /* the number that it ends in is not complete */
	if (rc != 0)
		undo_all(file, &undo);
	mem_free(undo.bytes);
	inode_set_size(fs->inodes, handle->node, file->len);
	return rc;
}

static void cut(struct vecfile *file, size_t size)
{
	begin_change(file);
	if (file->patch || file->scattered) {
		/* What is left of the old content counts as written. */
		file->low = 0;
		file->high = size;
	}
	file->high = file->high < size ? file->high : size;
	file->low = file->low < file->high ? file->low : file->high;
	file->patch = false;
	file->scattered = false;
	file->len = size;
}

int vecfile_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call)
{
	struct vecfile *file = &handle->vector;
	int rc = 0;

	if (size > limit_of(fs))
		return too_long(fs, size, &call->msg);
	rc = vecfile_read(fs, handle, &call->msg);
	if (rc == 0)
		rc = make_room(fs, handle, (size_t)size, &call->msg);
	if (rc != 0)
		return rc;
	if (size == 0) {
		empty(file, inode_version(fs->inodes, handle->node));
	} else if (size < file->len) {
		cut(file, (size_t)size);
	} else if (size > file->len) {
		begin_change(file);
		memset(file->bytes + file->len, 0, (size_t)size - file->len);
		file->len = (size_t)size;
	}
	file->told = file->overrun = false;
	inode_set_size(fs->inodes, handle->node, file->len);
	return 0;
}

/* --- closing --- */

void vecfile_closed(struct fs *fs, struct handle *handle, uint64_t thread)
{
	struct vecfile *file = &handle->vector;

	/* Who closes has come back from its own write. Nobody is left in one after the last close. */
	if (!file->brought || (thread != 0 && thread != file->writer))
		return;
	inode_length_known(fs->inodes, handle->node);
	file->brought = false;
}

bool vecfile_incomplete(struct fs *fs, const struct vecfile *file, struct err_msg *msg)
{
	size_t size = attr_vector_size(fs);

	if (!file->dirty || file->len == (size > 0 ? size : file->len / 4 * 4)) {
		/* The beginning of something else must not say what dimension all others have. */
		if (!file->dirty || size > 0 || !file->overrun)
			return false;
		(void)err_set(msg, ERR_INVALID,
			      "more than %u float32 were written: nothing is kept of it",
			      ANN_DIM_MAX);
		return true;
	}
	if (size == 0)
		(void)err_set(msg, ERR_INVALID,
			      "got %zu bytes, not a whole number of float32 (4 bytes each)",
			      file->len);
	else
		(void)err_set(msg, ERR_INVALID,
			      "got %zu bytes, a vector here is %zu (%zu × float32): "
			      "write all of it, then close",
			      file->len, size, size / sizeof(float));
	return true;
}

int vecfile_finish(struct fs *fs, struct handle *handle, struct call *call)
{
	struct vecfile *file = &handle->vector;
	int rc = 0;

	if (!file->dirty)
		return 0;
	if (vecfile_incomplete(fs, file, &call->msg))
		rc = ERR_INVALID;
	else
		rc = commit(fs, handle, false, call);
	/* A shell closes several descriptors of one file: saying it once is enough. */
	call->told = rc != 0 && file->told;
	file->told = rc != 0;
	return rc;
}
