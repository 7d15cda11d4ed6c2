/*
 * run.c - the transaction file of a query.
 *
 * States: collecting (a batch grows; `alone`: it is one vector, whose answer is there) and reading
 * (the answer is handed out, `at` bytes so far). A read turns collecting into reading; a write turns
 * reading into collecting with an empty batch. So it does after a read has refused the batch for
 * its size, or for a vector that came before the dimension was known; until then each read refuses it.
 *
 * A batch in order: vectors that `text` has the answers of (`searched`), whole vectors in `bytes`,
 * and the beginning of one there. A write that makes enough of them has them searched where they
 * lie, most of them in the buffer of the request. Whatever can be refused is refused before the
 * write is answered, by one thread while others begin to search. When the search fails afterwards,
 * the vectors are copied and the read searches them again, for then there is somebody to tell.
 */
#include "fs/run.h"

#include <string.h>

#include "fs/attr.h"
#include "fs/handle.h"
#include "store/mem.h"

#define KEEP_BYTES (1u << 20) /* of a batch's memory, and of an answer's, for the next one */
#define ENOUGH 32u	      /* vectors that are worth a search beside the writing */

void run_release(struct run *run)
{
	mem_free(run->bytes);
	mem_free(run->text.at);
	memset(run, 0, sizeof(*run));
}

static int count(struct fs *fs, struct handle *handle, size_t more, struct err_msg *msg)
{
	return handle_reserve(fs, handle, handle->run.cap + handle->run.text.cap + more, msg);
}

/* Of an answer that could not be counted no more is kept than so many bytes of room, of before it. */
static void give_back(struct fs *fs, struct handle *handle, size_t cap)
{
	struct answer_text *text = &handle->run.text;
	char *at = NULL;

	if (cap > 0 && text->cap > cap)
		at = mem_resize(text->at, cap, 1);
	if (cap == 0) {
		mem_free(text->at);
		memset(text, 0, sizeof(*text));
	} else if (at != NULL) {
		text->at = at;
		text->cap = cap;
	}
	(void)count(fs, handle, 0, NULL);
}

static void drop_text(struct run *run)
{
	if (run->text.cap > KEEP_BYTES) {
		mem_free(run->text.at);
		run->text.at = NULL;
		run->text.cap = 0;
	}
	run->text.len = 0;
	run->at = 0;
	run->alone = false;
}

static void drop_bytes(struct run *run)
{
	if (run->cap > KEEP_BYTES) {
		mem_free(run->bytes);
		run->bytes = NULL;
		run->cap = 0;
	}
	run->len = 0;
}

static void begin_batch(struct run *run)
{
	drop_text(run);
	run->len = 0;
	run->searched = 0;
	run->failed = false;
	run->refused = false;
	run->reading = false;
}

static int make_room(struct fs *fs, struct handle *handle, size_t len, struct call *call)
{
	struct run *run = &handle->run;
	size_t before = run->searched * attr_vector_size(fs) + run->len, need = run->len + len;
	int rc;

	if (len > HANDLE_BYTES_MAX / 2 - before)
		return err_set(&call->msg, ERR_TOO_BIG,
			       "a batch is at most %llu MiB: read its answer, then go on",
			       HANDLE_BYTES_MAX / 2 >> 20);
	if (need <= run->cap)
		return 0;
	/* mem_grow doubles. */
	rc = count(fs, handle, 2 * need - run->cap, &call->msg);
	if (rc == 0)
		rc = mem_grow((void **)&run->bytes, &run->cap, need, 1);
	if (rc == 0)
		rc = count(fs, handle, 0, &call->msg);
	return rc;
}

static int validate(const struct fs *fs, const uint8_t *vectors, size_t n, struct call *call)
{
	size_t size = attr_vector_size(fs);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = ann_validate(fs->ann, (const float *)(const void *)(vectors + i * size),
				  size / sizeof(float), &call->msg);
	return rc;
}

/* --- searching --- */

static int search_alone(struct fs *fs, struct handle *handle, struct call *call)
{
	struct answer_text *text = &handle->run.text;
	int rc;

	mem_free(text->at);
	memset(text, 0, sizeof(*text));
	rc = answer_vector(fs, handle->node, handle->run.bytes, handle->run.len, call, &text->at,
			   &text->len);
	if (rc == 0) {
		text->cap = text->len + 1;
		rc = count(fs, handle, 0, &call->msg);
	}
	if (rc != 0)
		give_back(fs, handle, 0);
	handle->run.alone = rc == 0;
	return rc;
}

/* The answers of vectors that are the next of the batch. After an error nothing changed. */
static int search_more(struct fs *fs, struct handle *handle, const struct answer_batch *batch,
		       struct call *call)
{
	struct run *run = &handle->run;
	size_t len = run->text.len, cap = run->text.cap;
	int rc = answer_vectors(fs, batch, call, &run->text);

	if (rc == 0)
		rc = count(fs, handle, 0, &call->msg);
	if (rc != 0) {
		run->text.len = len;
		give_back(fs, handle, cap);
	}
	for (size_t i = 0; i < batch->n_parts && rc == 0; i++)
		run->searched += batch->parts[i].n;
	return rc;
}

static bool nobody_waits(void *ctx)
{
	struct handle *handle = ctx;

	return waiting_stops(&handle->lock);
}

/* A write as it is searched: whole vectors in run->bytes, others in place, the beginning of one. */
struct place {
	struct ann_part parts[2];
	size_t n_parts;
	const uint8_t *rest; /* what is in place; after a failure it has to be copied */
	size_t rest_len;
	const uint8_t *tail; /* the beginning of a vector, in one place or the other */
	size_t tail_len;
};

/* Puts into run->bytes what cannot be searched where it is. */
static void place_bytes(struct run *run, const uint8_t *bytes, size_t len, size_t size,
			struct place *place)
{
	size_t lead = run->len % size > 0 ? size - run->len % size : 0, kept;

	if (lead > len || (uintptr_t)(bytes + lead) % sizeof(float) != 0 || len - lead < size)
		lead = len;
	memset(place, 0, sizeof(*place));
	memcpy(run->bytes + run->len, bytes, lead);
	kept = run->len + lead;
	place->rest = bytes + lead;
	place->rest_len = len - lead;
	if (kept / size > 0)
		place->parts[place->n_parts++] =
			(struct ann_part){(const float *)(const void *)run->bytes, kept / size};
	if (place->rest_len / size > 0)
		place->parts[place->n_parts++] = (struct ann_part){
			(const float *)(const void *)place->rest, place->rest_len / size};
	place->tail_len = (kept + place->rest_len) % size;
	place->tail = place->rest_len > 0 ? place->rest + place->rest_len - place->tail_len :
					    run->bytes + kept - place->tail_len;
}

/* A write that is not answered yet. */
struct request {
	struct fs *fs;
	const struct run *run;
	const struct place *place;
	size_t len;
	struct call *call;
	bool answered;
};

/* Refuses it, or answers it; on any thread, while others search already. */
static int answer_write(void *ctx)
{
	struct request *request = ctx;
	const struct run *run = request->run;
	const struct place *place = request->place;
	size_t size = attr_vector_size(request->fs), whole = run->len / size;
	size_t kept = (run->len + request->len - place->rest_len) / size;
	int rc = validate(request->fs, run->bytes + whole * size, kept - whole, request->call);

	if (rc == 0)
		rc = validate(request->fs, place->rest, place->rest_len / size, request->call);
	if (rc != 0)
		return rc;
	request->answered = true;
	if (request->call->succeed != NULL)
		request->call->succeed(request->call->succeed_ctx);
	return 0;
}

/* Part of a batch, searched while the caller goes on. There is room for all of the bytes. */
static int write_searched(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
			  struct call *call)
{
	struct run *run = &handle->run;
	struct call unasked = {.cancelled = nobody_waits, .cancel_ctx = handle};
	struct place place;
	struct request request = {.fs = fs, .run = run, .place = &place, .len = len, .call = call};
	struct answer_batch batch = {.node = handle->node,
				     .parts = place.parts,
				     .before = run->searched,
				     .begun = answer_write,
				     .ctx = &request};
	int rc;

	place_bytes(run, bytes, len, attr_vector_size(fs), &place);
	batch.n_parts = place.n_parts;
	rc = search_more(fs, handle, &batch, &unasked);
	if (!request.answered)
		return rc;
	run->failed = rc != 0;
	run->len += len;
	if (run->failed) {
		memcpy(run->bytes + run->len - place.rest_len, place.rest, place.rest_len);
		return 0;
	}
	memmove(run->bytes, place.tail, place.tail_len);
	run->len = place.tail_len;
	return 0;
}

/* --- writing --- */

static bool worth_searching(const struct handle *handle, size_t len, size_t size)
{
	const struct run *run = &handle->run;
	size_t whole = size > 0 ? (run->len + len) / size : 0;

	return whole >= ENOUGH && !run->failed &&
	       !answer_too_many(handle->node, run->searched + whole);
}

static int write_kept(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
		      struct call *call)
{
	struct run *run = &handle->run;
	size_t before = run->len, size = attr_vector_size(fs), whole;
	int rc = 0;

	memcpy(run->bytes + before, bytes, len);
	run->len += len;
	if (size == 0)
		return 0;
	whole = before / size;
	rc = validate(fs, run->bytes + whole * size, run->len / size - whole, call);
	if (rc == 0 && run->searched == 0 && run->len == size)
		rc = search_alone(fs, handle, call);
	if (rc != 0)
		run->len = before;
	return rc;
}

int run_write(struct fs *fs, struct handle *handle, const uint8_t *bytes, size_t len,
	      struct call *call)
{
	struct run *run = &handle->run;
	int rc;

	if (run->reading || run->refused)
		begin_batch(run);
	if (run->alone)
		drop_text(run);
	rc = make_room(fs, handle, len, call);
	if (rc != 0)
		return rc;
	if (worth_searching(handle, len, attr_vector_size(fs)))
		return write_searched(fs, handle, bytes, len, call);
	return write_kept(fs, handle, bytes, len, call);
}

/* --- reading --- */

bool run_incomplete(struct fs *fs, const struct run *run, struct err_msg *msg)
{
	size_t size = attr_vector_size(fs), got = run->searched * size + run->len;

	if (run->reading || run->len == 0 || answer_vector_size(fs, run->len) != 0)
		return false;
	if (size == 0)
		(void)err_set(msg, ERR_INVALID, "got %zu bytes, not a whole number of float32",
			      got);
	else
		(void)err_set(msg, ERR_INVALID,
			      "got %zu bytes, a vector here is %zu (%zu × float32): "
			      "write all of it, then read",
			      got, size, size / sizeof(float));
	return true;
}

/* The rest of the batch: n vectors, which are all that `bytes` has. */
static int search_rest(struct fs *fs, struct handle *handle, size_t n, struct call *call)
{
	const struct run *run = &handle->run;
	const struct ann_part part = {(const float *)(const void *)run->bytes, n};
	const struct answer_batch batch = {
		.node = handle->node, .parts = &part, .n_parts = 1, .before = run->searched};

	if (n == 0 || run->alone)
		return 0;
	if (run->searched == 0 && n == 1)
		return search_alone(fs, handle, call);
	return search_more(fs, handle, &batch, call);
}

static int begin_reading(struct fs *fs, struct handle *handle, struct call *call)
{
	struct run *run = &handle->run;
	size_t size = 0;
	int rc;

	if (!run_incomplete(fs, run, &call->msg))
		size = answer_vector_size(fs, run->len);
	/* A dimension that became known just now may make a part of what was a whole. */
	if (size == 0 && run->len > 0)
		return ERR_INVALID;
	rc = search_rest(fs, handle, run->len > 0 ? run->len / size : 0, call);
	run->refused = rc == ERR_TOO_BIG || rc == ERR_INVALID;
	if (rc != 0)
		return rc;
	run->reading = true;
	run->at = 0;
	drop_bytes(run);
	return count(fs, handle, 0, &call->msg);
}

int run_read(struct fs *fs, struct handle *handle, size_t size, struct call *call,
	     const void **bytes_out, size_t *len_out)
{
	struct run *run = &handle->run;
	int rc = 0;

	*bytes_out = NULL;
	*len_out = 0;
	if (!run->reading && run->len + run->searched > 0)
		rc = begin_reading(fs, handle, call);
	if (rc != 0 || !run->reading || run->text.len == 0)
		return rc;
	*bytes_out = run->text.at + run->at;
	*len_out = run->text.len - run->at < size ? run->text.len - run->at : size;
	run->at += *len_out;
	return 0;
}
