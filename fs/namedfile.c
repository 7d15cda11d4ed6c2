/*
 * namedfile.c - an open named query.
 *
 * Invariants: 1. bytes[0 ... len) is defined, len <= cap; 2. a write that returns an error has changed
 * nothing; 3. without changes that are still to be put (dirty) nothing is held, since the question may
 * be changed by another descriptor: each change begins with what stands there.
 */
#include "fs/namedfile.h"

#include <string.h>

#include "fs/answer.h"
#include "fs/attr.h"
#include "fs/handle.h"
#include "fs/vecfmt.h"
#include "store/mem.h"

#define PUT_AT_ONCE (1u << 20) /* a larger question is put at flush alone */

static const struct node *spec_of(const struct node *node)
{
	while (node->kind != NODE_SPEC)
		node = node->parent;
	return node;
}

static uint32_t neighbours(const struct node *node)
{
	return spec_of(node)->spec->ann.k;
}

struct named *namedfile_of(struct fs *fs, const struct node *node)
{
	return named_find(fs->named, neighbours(node), node->name, node->name_len);
}

/* --- names --- */

static int check_name(const char *name, size_t len, struct call *call)
{
	if (len > FORMAT_ID_MAX)
		return err_set(&call->msg, ERR_NAME_LONG,
			       "the name of a query has at most %u bytes", FORMAT_ID_MAX);
	if (vecfmt_is_hex(name, len) || query_classify(name, len) == QUERY_NAME_BASE64)
		return err_set(&call->msg, ERR_INVALID,
			       "this name is digits of a vector: give the query another, with a "
			       "letter beyond f");
	return ann_validate_id(name, len, &call->msg);
}

int namedfile_create(struct fs *fs, const struct node *spec, const char *name, struct call *call,
		     struct named **named_out)
{
	size_t len = strlen(name);
	int rc = check_name(name, len, call);

	*named_out = NULL;
	if (rc != 0)
		return rc;
	rc = named_create(fs->named, neighbours(spec), name, len, attr_now(fs), named_out);
	if (rc == ERR_FULL)
		return err_set(&call->msg, rc, "there are %u named queries: remove one first",
			       NAMED_MAX);
	return rc;
}

int namedfile_remove(struct fs *fs, const struct node *spec, const char *name)
{
	return named_remove(fs->named, neighbours(spec), name, strlen(name));
}

int namedfile_clear(struct fs *fs, const struct node *node)
{
	struct named *named = namedfile_of(fs, node);
	int rc;

	if (named == NULL)
		return ERR_ABSENT;
	rc = named_put(fs->named, named, NULL, 0, attr_now(fs));
	named_release(fs->named, named);
	return rc;
}

/* --- answers --- */

static int partial(const struct fs *fs, size_t len, struct call *call)
{
	size_t size = attr_vector_size(fs);

	if (size == 0)
		return err_set(&call->msg, ERR_INVALID,
			       "got %zu bytes, not a whole number of float32", len);
	return err_set(&call->msg, ERR_INVALID,
		       "got %zu bytes, a vector here is %zu (%zu × float32): write all of it, "
		       "then close",
		       len, size, size / sizeof(float));
}

/* Checks the vectors that the bytes from ... to are part of, as far as they are whole. */
static int validate(const struct fs *fs, const uint8_t *bytes, size_t len, size_t from, size_t to,
		    struct call *call)
{
	size_t size = attr_vector_size(fs);
	int rc = 0;

	if (size == 0)
		return 0;
	for (size_t i = from / size; rc == 0 && i * size < to && (i + 1) * size <= len; i++)
		rc = ann_validate(fs->ann, (const float *)(const void *)(bytes + i * size),
				  size / sizeof(float), &call->msg);
	return rc;
}

static int answer(struct fs *fs, const struct node *node, const uint8_t *bytes, size_t len,
		  struct call *call, char **text_out, size_t *len_out)
{
	size_t size = answer_vector_size(fs, len), n = size > 0 ? len / size : 0;
	const struct ann_part part = {(const float *)(const void *)bytes, n};
	const struct answer_batch batch = {.node = node, .parts = &part, .n_parts = 1};
	struct answer_text text = {0};
	int rc;

	*text_out = NULL;
	*len_out = 0;
	if (len == 0)
		return 0;
	if (n == 0)
		return partial(fs, len, call);
	if (n == 1)
		return answer_vector(fs, node, bytes, len, call, text_out, len_out);
	rc = answer_vectors(fs, &batch, call, &text);
	*text_out = text.at;
	*len_out = text.len;
	return rc;
}

/* batch_out may be NULL. */
static int answer_named(struct fs *fs, const struct node *node, const struct named *named,
			struct call *call, char **text_out, size_t *len_out, bool *batch_out)
{
	const uint8_t *bytes = NULL;
	size_t len = 0;
	struct named_content *content = named_share(fs->named, named, &bytes, &len);
	int rc = answer(fs, node, bytes, len, call, text_out, len_out);

	if (rc == 0 && batch_out != NULL)
		*batch_out = len > answer_vector_size(fs, len);
	named_unshare(fs->named, content);
	return rc;
}

int namedfile_answer(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		     size_t *len_out)
{
	return namedfile_answer_links(fs, node, call, text_out, len_out, NULL);
}

int namedfile_answer_links(struct fs *fs, const struct node *node, struct call *call,
			   char **text_out, size_t *len_out, bool *batch_out)
{
	struct named *named = namedfile_of(fs, node);
	int rc;

	if (named == NULL)
		return ERR_ABSENT;
	rc = answer_named(fs, node, named, call, text_out, len_out, batch_out);
	named_release(fs->named, named);
	return rc;
}

/* --- an open one --- */

int namedfile_open(struct fs *fs, struct handle *handle)
{
	handle->named.named = namedfile_of(fs, handle->node);
	return handle->named.named != NULL ? 0 : ERR_ABSENT;
}

void namedfile_release(struct fs *fs, struct namedfile *file)
{
	named_release(fs->named, file->named);
	mem_free(file->bytes);
	memset(file, 0, sizeof(*file));
}

int namedfile_read(struct fs *fs, struct handle *handle, uint64_t offset, struct call *call)
{
	char *text = NULL;
	size_t len = 0;
	int rc;

	if (handle->text != NULL && offset > 0)
		return 0;
	rc = answer_named(fs, handle->node, handle->named.named, call, &text, &len, NULL);
	if (rc == 0)
		rc = handle_reserve(fs, handle, handle->named.cap + len, &call->msg);
	if (rc != 0) {
		mem_free(text);
		return rc;
	}
	mem_free(handle->text);
	handle->text = text;
	handle->text_len = len;
	return 0;
}

static void drop_copy(struct fs *fs, struct handle *handle)
{
	struct namedfile *file = &handle->named;

	mem_free(file->bytes);
	file->bytes = NULL;
	file->len = file->cap = 0;
	(void)handle_reserve(fs, handle, handle->text_len, NULL); /* giving back cannot fail */
}

static int load(struct fs *fs, struct handle *handle, struct err_msg *msg)
{
	struct namedfile *file = &handle->named;
	int rc = 0;

	if (file->dirty)
		return 0;
	rc = named_get(fs->named, file->named, &file->bytes, &file->len);
	if (rc != 0)
		return rc;
	file->cap = file->len;
	rc = handle_reserve(fs, handle, file->len + handle->text_len, msg);
	if (rc != 0)
		drop_copy(fs, handle);
	return rc;
}

static int make_room(struct fs *fs, struct handle *handle, size_t need, struct err_msg *msg)
{
	struct namedfile *file = &handle->named;
	size_t cap = need > 2 * file->cap ? need : 2 * file->cap;

	if (need <= file->cap)
		return 0;
	return handle_grow(fs, handle, &file->bytes, &file->cap, cap, cap + handle->text_len, msg);
}

static int put(struct fs *fs, struct handle *handle, struct call *call)
{
	struct namedfile *file = &handle->named;
	int rc = named_put(fs->named, file->named, file->bytes, file->len, attr_now(fs));

	if (rc == ERR_FULL)
		return err_set(&call->msg, rc,
			       "all named queries together are more than %llu MiB: remove some",
			       NAMED_TOTAL_MAX >> 20);
	file->dirty = file->dirty && rc != 0;
	return rc;
}

static int too_big(struct call *call)
{
	return err_set(&call->msg, ERR_TOO_BIG, "a named query has at most %llu MiB of vectors",
		       NAMED_BYTES_MAX >> 20);
}

/* A write into the copy. */
static int change(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
		  uint64_t offset, struct call *call)
{
	struct namedfile *file = &handle->named;
	size_t before = file->len, at, kept, size = attr_vector_size(fs);
	uint8_t *old = NULL;
	bool was_dirty = file->dirty;
	int rc = 0;

	if (handle->append)
		offset = before;
	if (offset > NAMED_BYTES_MAX || len > NAMED_BYTES_MAX - offset)
		return too_big(call);
	at = (size_t)offset;
	rc = make_room(fs, handle, at + len, &call->msg);
	if (rc != 0)
		return rc;
	kept = at >= before ? 0 : before - at < len ? before - at : len;
	if (kept > 0) {
		old = mem_alloc(kept);
		if (old == NULL)
			return ERR_NOMEM;
		memcpy(old, file->bytes + at, kept);
	}
	if (at > before)
		memset(file->bytes + before, 0, at - before);
	memcpy(file->bytes + at, bytes, len);
	file->len = at + len > before ? at + len : before;
	file->dirty = true;
	file->told = false;
	rc = validate(fs, file->bytes, file->len, at, at + len, call);
	if (rc == 0 && size > 0 && file->len % size == 0 && file->len <= PUT_AT_ONCE)
		rc = put(fs, handle, call);
	if (rc != 0) {
		file->len = before;
		if (kept > 0)
			memcpy(file->bytes + at, old, kept);
		file->dirty = was_dirty;
	}
	mem_free(old);
	return rc;
}

/* An answer to what the question was before; a read anywhere in it begins anew. */
static void drop_answer(struct handle *handle)
{
	mem_free(handle->text);
	handle->text = NULL;
	handle->text_len = 0;
}

int namedfile_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
		    uint64_t offset, struct call *call)
{
	int rc = load(fs, handle, &call->msg);

	if (rc == 0)
		rc = change(fs, handle, bytes, len, offset, call);
	if (rc == 0)
		drop_answer(handle);
	if (!handle->named.dirty)
		drop_copy(fs, handle);
	return rc;
}

int namedfile_truncate(struct fs *fs, struct handle *handle, uint64_t size, struct call *call)
{
	struct namedfile *file = &handle->named;
	int rc = load(fs, handle, &call->msg);

	if (rc == 0 && size > NAMED_BYTES_MAX)
		rc = too_big(call);
	if (rc == 0)
		rc = make_room(fs, handle, (size_t)size, &call->msg);
	if (rc == 0) {
		if (size > file->len)
			memset(file->bytes + file->len, 0, (size_t)size - file->len);
		file->dirty = file->dirty || size != file->len;
		file->len = (size_t)size;
		file->told = false;
		drop_answer(handle);
	}
	if (!file->dirty)
		drop_copy(fs, handle);
	return rc;
}

int namedfile_finish(struct fs *fs, struct handle *handle, struct call *call)
{
	struct namedfile *file = &handle->named;
	int rc = 0;

	if (!file->dirty)
		return 0;
	if (file->len > 0 && answer_vector_size(fs, file->len) == 0)
		rc = partial(fs, file->len, call);
	else
		rc = put(fs, handle, call);
	if (!file->dirty)
		drop_copy(fs, handle);
	/* A shell closes several descriptors of one file: saying it once is enough. */
	call->told = rc != 0 && file->told;
	file->told = rc != 0;
	return rc;
}
