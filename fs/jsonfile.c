/*
 * jsonfile.c - an open /json/<id>.
 *
 * Invariants: 1. text[0 ... len) is defined, text[len] is a terminator, len < cap, or text is NULL
 * and len 0; 2. a write that returns an error has changed nothing.
 */
#include "fs/jsonfile.h"

#include <string.h>

#include "fs/attr.h"
#include "fs/handle.h"
#include "fs/json.h"
#include "store/mem.h"

#define NUMBER_ROOM 128u /* bytes of text that a number may take */
#define TEXT_ROOM 65536u /* and bytes beside them */

static size_t limit_of(const struct fs *fs)
{
	size_t dim = ann_dim(fs->ann);

	return (dim > 0 ? dim : ANN_DIM_MAX) * NUMBER_ROOM + TEXT_ROOM;
}

void jsonfile_release(struct jsonfile *file)
{
	mem_free(file->text);
	memset(file, 0, sizeof(*file));
}

/* Counts the text in what the handle holds; vecfile.c counts its own part again and again. */
static int count(struct fs *fs, struct handle *handle, size_t cap, struct err_msg *msg)
{
	size_t before = handle->text_cap;
	int rc;

	handle->text_cap = cap;
	rc = handle_reserve(fs, handle, handle->vector.cap, msg);
	if (rc != 0)
		handle->text_cap = before;
	return rc;
}

static int make_room(struct fs *fs, struct handle *handle, size_t len, struct err_msg *msg)
{
	struct jsonfile *file = &handle->json;
	size_t cap = len + 1 > 2 * file->cap ? len + 1 : 2 * file->cap;
	char *text = NULL;
	int rc;

	if (len < file->cap)
		return 0;
	rc = count(fs, handle, cap, msg);
	if (rc != 0)
		return rc;
	text = mem_resize(file->text, cap, 1);
	if (text == NULL) {
		(void)count(fs, handle, file->cap, NULL); /* giving back cannot fail */
		return ERR_NOMEM;
	}
	file->text = text;
	file->cap = cap;
	return 0;
}

static void set_len(struct jsonfile *file, size_t len)
{
	if (len > file->len)
		memset(file->text + file->len, ' ', len - file->len);
	file->len = len;
	if (file->text != NULL)
		file->text[len] = '\0';
}

static void empty(struct jsonfile *file)
{
	set_len(file, 0);
	file->growing = true;
	file->dirty = false;
}

int jsonfile_open(struct fs *fs, struct handle *handle, bool fresh, struct err_msg *msg)
{
	struct vecfile *vector = &handle->vector;
	struct jsonfile *file = &handle->json;
	int rc = vecfile_open(fs, handle, fresh, !fresh, msg);

	file->growing = fresh || vector->len == 0;
	if (rc != 0 || vector->len == 0)
		return rc;
	rc = json_write((const float *)(const void *)vector->bytes, vector->len / sizeof(float),
			&file->text, &file->len);
	if (rc == 0)
		file->cap = file->len + 1;
	return rc == 0 ? count(fs, handle, file->cap, msg) : rc;
}

/* The first use: it may have been truncated since it was opened. */
void jsonfile_read(struct fs *fs, struct handle *handle)
{
	struct vecfile *vector = &handle->vector;

	if (!vector->used && handle->writable &&
	    inode_truncations(fs->inodes, handle->node) != vector->truncations)
		empty(&handle->json);
	vector->used = true;
}

/* --- from text to a vector --- */

static int wrong_count(const struct fs *fs, size_t n, struct err_msg *msg)
{
	size_t dim = ann_dim(fs->ann);

	if (dim == 0)
		return err_set(msg, n > 0 ? ERR_TOO_BIG : ERR_INVALID,
			       "got %zu numbers, a vector has 1 ... %u", n, ANN_DIM_MAX);
	return err_set(msg, n > dim ? ERR_TOO_BIG : ERR_INVALID,
		       "got %zu numbers, a vector here has %zu: write all of them", n, dim);
}

/* Stores n numbers as the whole content. */
static int store(struct fs *fs, struct handle *handle, const float *numbers, size_t n,
		 struct call *call)
{
	int rc = vecfile_truncate(fs, handle, 0, call);

	if (rc == 0)
		rc = vecfile_write(fs, handle, (const uint8_t *)numbers, n * sizeof(float), 0,
				   call);
	/* Without a dimension yet it waits for this. */
	if (rc == 0)
		rc = vecfile_finish(fs, handle, call);
	if (rc != 0)
		(void)vecfile_truncate(fs, handle, 0, call); /* to nothing: cannot fail */
	return rc;
}

/* final: nothing more will come. Otherwise a beginning is no error, and *done_out is false. */
static int commit(struct fs *fs, struct handle *handle, bool final, bool *done_out,
		  struct call *call)
{
	struct jsonfile *file = &handle->json;
	size_t dim = ann_dim(fs->ann), cap = dim > 0 ? dim : ANN_DIM_MAX;
	float *numbers = mem_alloc(cap * sizeof(*numbers));
	struct json_vector vector = {0};
	int rc = numbers != NULL ? 0 : ERR_NOMEM;

	*done_out = false;
	if (rc == 0)
		rc = json_read(file->text, file->len, numbers, cap, &vector, &call->msg);
	if (rc == 0 && final && vector.open)
		rc = err_set(&call->msg, ERR_INVALID,
			     "the text ends before the array does, after %zu numbers: write its ]",
			     vector.n);
	if (rc == 0 && !final && vector.n < dim && (vector.open || !vector.array))
		goto out;
	if (rc == 0 && (vector.n == 0 || vector.n > cap || (dim > 0 && vector.n != dim)))
		rc = wrong_count(fs, vector.n, &call->msg);
	if (rc == 0 && !final && !vector.closed)
		goto out;
	if (rc == 0)
		rc = store(fs, handle, numbers, vector.n, call);
	if (rc == 0) {
		file->dirty = false;
		*done_out = true;
	}
out:
	mem_free(numbers);
	return rc;
}

static bool is_blank(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr(" \t\r\n", bytes[i]) == NULL || bytes[i] == '\0')
			return false;
	return true;
}

/* Whether the text may be whole now. */
static bool may_be_whole(const struct fs *fs, const struct jsonfile *file)
{
	char last = file->len > 0 ? file->text[file->len - 1] : '\0';

	return ann_dim(fs->ann) > 0 && file->growing && (last == ']' || last == '\n');
}

int jsonfile_write(struct fs *fs, struct handle *handle, const char *bytes, size_t len,
		   uint64_t offset, struct call *call)
{
	struct jsonfile *file = &handle->json;
	size_t before, at, limit = limit_of(fs);
	char *old = NULL;
	bool was_dirty, was_growing, done = false;
	int rc = 0;

	jsonfile_read(fs, handle);
	before = file->len;
	was_dirty = file->dirty;
	was_growing = file->growing;
	at = handle->append ? before : (size_t)offset;
	if (at > limit || len > limit - at)
		return err_set(&call->msg, ERR_TOO_BIG,
			       "the text of a vector here is at most %zu bytes", limit);
	rc = make_room(fs, handle, at + len > before ? at + len : before, &call->msg);
	if (rc == 0 && at < before) {
		old = mem_alloc(before);
		rc = old != NULL ? 0 : ERR_NOMEM;
	}
	if (rc != 0)
		return rc;
	if (old != NULL)
		memcpy(old, file->text, before);
	if (at + len > before)
		set_len(file, at + len);
	memcpy(file->text + at, bytes, len);
	file->growing = was_growing && at == before;
	file->dirty = was_dirty || at < before || before == 0 || !is_blank(bytes, len);
	file->told = false;
	if (file->dirty && may_be_whole(fs, file))
		rc = commit(fs, handle, false, &done, call);
	if (rc != 0) {
		set_len(file, before);
		if (old != NULL)
			memcpy(file->text, old, before);
		file->dirty = was_dirty;
		file->growing = was_growing;
	}
	mem_free(old);
	if (!done)
		inode_set_size(fs->inodes, handle->node, file->len);
	return rc;
}

int jsonfile_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call)
{
	struct jsonfile *file = &handle->json;
	int rc = 0;

	jsonfile_read(fs, handle);
	if (size > limit_of(fs))
		return err_set(&call->msg, ERR_TOO_BIG,
			       "the text of a vector here is at most %zu bytes", limit_of(fs));
	rc = make_room(fs, handle, (size_t)size, &call->msg);
	if (rc != 0)
		return rc;
	if (size == 0) {
		empty(file);
	} else if (size != file->len) {
		set_len(file, (size_t)size);
		file->growing = false;
		file->dirty = true;
	}
	file->told = false;
	inode_set_size(fs->inodes, handle->node, file->len);
	return 0;
}

int jsonfile_finish(struct fs *fs, struct handle *handle, struct call *call)
{
	struct jsonfile *file = &handle->json;
	bool done = false;
	int rc = 0;

	if (!file->dirty)
		return 0;
	rc = commit(fs, handle, true, &done, call);
	/* A shell closes several descriptors of one file: saying it once is enough. */
	call->told = rc != 0 && file->told;
	file->told = rc != 0;
	return rc;
}
