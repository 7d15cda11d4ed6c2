/*
 * run.c - the transaction file of a query.
 *
 * States: collecting (a batch grows; `answer` may be there when it is one vector) and reading (the
 * answer is handed out, `at` bytes so far). A read turns collecting into reading; a write turns
 * reading into collecting with an empty batch.
 */
#include "fs/run.h"

#include <string.h>

#include "fs/answer.h"
#include "fs/attr.h"
#include "fs/handle.h"
#include "store/mem.h"

#define KEEP_BYTES (1u << 20) /* of a batch's memory, for the next one */

void run_release(struct run *run)
{
	mem_free(run->bytes);
	mem_free(run->answer);
	memset(run, 0, sizeof(*run));
}

static void drop_answer(struct run *run)
{
	mem_free(run->answer);
	run->answer = NULL;
	run->answer_len = 0;
	run->at = 0;
	run->reading = false;
}

static int count(struct fs *fs, struct handle *handle, size_t more, struct err_msg *msg)
{
	return handle_reserve(fs, handle, handle->run.cap + handle->run.answer_len + more, msg);
}

static int make_room(struct fs *fs, struct handle *handle, size_t len, struct call *call)
{
	struct run *run = &handle->run;
	size_t need = run->len + len;
	int rc;

	if (len > HANDLE_BYTES_MAX / 2 - run->len)
		return err_set(&call->msg, ERR_TOO_BIG,
			       "a batch is at most %llu MiB: read its answer, then go on",
			       HANDLE_BYTES_MAX / 2 >> 20);
	if (need <= run->cap)
		return 0;
	/* mem_grow doubles. */
	rc = count(fs, handle, need > run->cap ? 2 * need - run->cap : 0, &call->msg);
	if (rc == 0)
		rc = mem_grow((void **)&run->bytes, &run->cap, need, 1);
	if (rc == 0)
		rc = count(fs, handle, 0, &call->msg);
	return rc;
}

/* Checks the vectors that became whole with the bytes from `from` on. */
static int validate(const struct fs *fs, const struct run *run, size_t from, struct call *call)
{
	size_t size = attr_vector_size(fs);
	int rc = 0;

	if (size == 0)
		return 0;
	for (size_t i = from / size; rc == 0 && i < run->len / size; i++)
		rc = ann_validate(fs->ann, (const float *)(const void *)(run->bytes + i * size),
				  size / sizeof(float), &call->msg);
	return rc;
}

static int search(struct fs *fs, struct handle *handle, size_t n, struct call *call)
{
	struct run *run = &handle->run;
	int rc = answer_vectors(fs, handle->node, run->bytes, n, call, &run->answer,
				&run->answer_len);

	if (rc == 0)
		rc = count(fs, handle, 0, &call->msg);
	if (rc != 0)
		drop_answer(run);
	return rc;
}

int run_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
	      struct call *call)
{
	struct run *run = &handle->run;
	size_t before = 0, size = attr_vector_size(fs);
	int rc;

	if (run->reading)
		run->len = 0;
	drop_answer(run);
	before = run->len;
	rc = make_room(fs, handle, len, call);
	if (rc != 0)
		return rc;
	memcpy(run->bytes + before, bytes, len);
	run->len += len;
	rc = validate(fs, run, before, call);
	if (rc == 0 && size > 0 && run->len == size)
		rc = search(fs, handle, 1, call);
	if (rc != 0)
		run->len = before;
	return rc;
}

bool run_incomplete(struct fs *fs, const struct run *run, struct err_msg *msg)
{
	size_t size = attr_vector_size(fs);

	if (run->reading || run->len == 0 || answer_vector_size(fs, run->len) != 0)
		return false;
	if (size == 0)
		(void)err_set(msg, ERR_INVALID, "got %zu bytes, not a whole number of float32",
			      run->len);
	else
		(void)err_set(msg, ERR_INVALID,
			      "got %zu bytes, a vector here is %zu (%zu × float32): "
			      "write all of it, then read",
			      run->len, size, size / sizeof(float));
	return true;
}

static int begin_reading(struct fs *fs, struct handle *handle, struct call *call)
{
	struct run *run = &handle->run;
	int rc = 0;

	if (run_incomplete(fs, run, &call->msg))
		return ERR_INVALID;
	if (run->answer == NULL)
		rc = search(fs, handle, run->len / answer_vector_size(fs, run->len), call);
	if (rc != 0)
		return rc;
	run->reading = true;
	run->at = 0;
	if (run->cap > KEEP_BYTES) {
		mem_free(run->bytes);
		run->bytes = NULL;
		run->cap = 0;
		run->len = 0;
		rc = count(fs, handle, 0, &call->msg);
	}
	return rc;
}

int run_read(struct fs *fs, struct handle *handle, size_t size, struct call *call,
	     const void **bytes_out, size_t *len_out)
{
	struct run *run = &handle->run;
	int rc = 0;

	*bytes_out = NULL;
	*len_out = 0;
	if (!run->reading && run->len > 0)
		rc = begin_reading(fs, handle, call);
	if (rc != 0 || !run->reading)
		return rc;
	*bytes_out = run->answer + run->at;
	*len_out = run->answer_len - run->at < size ? run->answer_len - run->at : size;
	run->at += *len_out;
	return 0;
}
