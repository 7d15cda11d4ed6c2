/*
 * answer.c - a search, rendered: of one vector, or of those of a batch.
 */
#include "fs/answer.h"

#include <pthread.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/handle.h"
#include "fs/links.h"
#include "store/mem.h"

#define DOUBLING_BYTES (1u << 20)

static const struct query_spec *spec_of(const struct node *node)
{
	while (node->kind != NODE_SPEC)
		node = node->parent;
	return node->spec;
}

size_t answer_vector_size(const struct fs *fs, size_t have)
{
	size_t size = attr_vector_size(fs);

	if (size == 0) /* nothing is stored: whatever could be a vector counts as one */
		size = have;
	return size > 0 && size % sizeof(float) == 0 && have % size == 0 ? size : 0;
}

/* What a search of an empty collection says, where it does not know a dimension yet. */
static int no_hits(struct ann_answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->first = mem_zalloc(2, sizeof(*answer->first));
	answer->n_queries = 1;
	return answer->first != NULL ? 0 : ERR_NOMEM;
}

static void count(struct fs *fs, uint64_t start_ns, size_t n)
{
	uint64_t now_ns = fs->io->ops->now_ns(fs->io, STORE_CLOCK_MONOTONIC);

	status_count(fs->status, STATUS_OP_query);
	status_query_time(fs->status, now_ns - start_ns, n);
}

static int search(struct fs *fs, const struct ann_query *query, const void *bytes, size_t size,
		  struct call *call, struct ann_answer *answer)
{
	uint64_t start = fs->io->ops->now_ns(fs->io, STORE_CLOCK_MONOTONIC);
	uint32_t dim = ann_dim(fs->ann);
	int rc;

	if (dim == 0)
		return no_hits(answer);
	if (size != dim * sizeof(float)) /* it became known just now */
		return err_set(&call->msg, ERR_INVALID, "got %zu bytes, a vector here is %zu", size,
			       dim * sizeof(float));
	rc = ann_search(fs->ann, bytes, 1, query, answer, &call->msg);
	count(fs, start, 1);
	return rc;
}

static int answer_query(struct fs *fs, const struct query_spec *spec, const char *without,
			size_t without_len, const void *bytes, size_t size, struct call *call,
			char **text_out, size_t *len_out)
{
	struct ann_query query = spec->ann;
	struct ann_answer answer = {0};
	int rc;

	*text_out = NULL;
	*len_out = 0;
	query.without = without;
	query.without_len = without_len;
	query.cancelled = call->cancelled;
	query.cancel_ctx = call->cancel_ctx;
	rc = search(fs, &query, bytes, size, call, &answer);
	if (rc == 0)
		rc = query_render(&answer, spec->format, false, text_out, len_out);
	ann_answer_release(&answer);
	return rc;
}

int answer_vector(struct fs *fs, const struct node *node, const void *bytes, size_t size,
		  struct call *call, char **text_out, size_t *len_out)
{
	return answer_query(fs, spec_of(node), NULL, 0, bytes, size, call, text_out, len_out);
}

/* --- batches --- */

struct piece {
	char *text; /* owned */
	size_t len;
};

struct gathering {
	struct fs *fs;
	const struct answer_batch *batch;
	enum query_format format;
	struct piece *pieces; /* at the first of the queries that a piece is about; owned */
	size_t before;	      /* bytes of text that the batch has already */
	pthread_mutex_t lock;
	size_t held;	    /* guarded by lock; bytes of all pieces, counted in fs->buffered */
	struct err_msg msg; /* guarded by lock; why a piece was refused */
};

/* Pieces count as they come, so that what cannot be held is not searched to its end. */
static int count_piece(struct gathering *gathering, size_t len)
{
	int rc;

	pthread_mutex_lock(&gathering->lock);
	if (gathering->before + gathering->held + len > HANDLE_BYTES_MAX)
		rc = err_set(&gathering->msg, ERR_TOO_BIG,
			     "the answers are more than %llu MiB: ask less at once, or for fewer "
			     "neighbours",
			     HANDLE_BYTES_MAX >> 20);
	else
		rc = links_reserve(gathering->fs, &gathering->held, gathering->held + len, false,
				   &gathering->msg);
	pthread_mutex_unlock(&gathering->lock);
	return rc;
}

/* Each call has pieces of its own. */
static int take_piece(void *ctx, size_t first, const struct ann_found *found, size_t n)
{
	struct gathering *gathering = ctx;
	struct piece *piece = &gathering->pieces[first];
	int rc = query_render_found(found, n, gathering->batch->before + first, gathering->format,
				    &piece->text, &piece->len);

	return rc == 0 ? count_piece(gathering, piece->len) : rc;
}

/* Doubles while it is small; a large one would be counted for much more than it holds. */
static int grow_text(struct answer_text *text, size_t need)
{
	size_t cap = need + need / 8;
	char *at;

	if (need <= DOUBLING_BYTES)
		return mem_grow((void **)&text->at, &text->cap, need, 1);
	if (need <= text->cap)
		return 0;
	at = mem_resize(text->at, cap, 1);
	if (at == NULL)
		return ERR_NOMEM;
	text->at = at;
	text->cap = cap;
	return 0;
}

static int gather(const struct gathering *gathering, size_t n, struct answer_text *text)
{
	size_t len = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		len += gathering->pieces[i].len;
	rc = grow_text(text, text->len + len);
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct piece *piece = &gathering->pieces[i];

		if (piece->len > 0)
			memcpy(text->at + text->len, piece->text, piece->len);
		text->len += piece->len;
	}
	return rc;
}

static void release_pieces(struct gathering *gathering, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mem_free(gathering->pieces[i].text);
	mem_free(gathering->pieces);
	(void)buffered_change(&gathering->fs->buffered, &gathering->held, 0, false, NULL);
	pthread_mutex_destroy(&gathering->lock);
}

bool answer_too_many(const struct node *node, size_t n)
{
	return n > ANSWER_HITS_MAX / spec_of(node)->ann.k && n > 1;
}

static int begun(void *ctx)
{
	const struct gathering *gathering = ctx;

	return gathering->batch->begun(gathering->batch->ctx);
}

int answer_vectors(struct fs *fs, const struct answer_batch *batch, struct call *call,
		   struct answer_text *text)
{
	const struct query_spec *spec = spec_of(batch->node);
	struct gathering gathering = {
		.fs = fs, .batch = batch, .format = spec->format, .before = text->len};
	struct ann_query query = spec->ann;
	uint64_t start = fs->io->ops->now_ns(fs->io, STORE_CLOCK_MONOTONIC);
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < batch->n_parts; i++)
		n += batch->parts[i].n;
	if (answer_too_many(batch->node, batch->before + n))
		return err_set(&call->msg, ERR_TOO_BIG,
			       "%zu queries of %u neighbours are too many at once: ask at most %u",
			       batch->before + n, query.k, ANSWER_HITS_MAX / query.k);
	gathering.pieces = mem_zalloc(n, sizeof(*gathering.pieces));
	if (gathering.pieces == NULL)
		return ERR_NOMEM;
	pthread_mutex_init(&gathering.lock, NULL);
	query.cancelled = call->cancelled;
	query.cancel_ctx = call->cancel_ctx;
	rc = ann_search_parts(fs->ann, batch->parts, batch->n_parts, &query, take_piece,
			      batch->begun != NULL ? begun : NULL, &gathering, &call->msg);
	if (rc != ERR_INVALID)
		count(fs, start, n);
	if (rc == 0)
		rc = gather(&gathering, n, text);
	else if (gathering.msg.text[0] != '\0')
		(void)err_set(&call->msg, rc, "%s", gathering.msg.text);
	release_pieces(&gathering, n);
	return rc;
}

/* --- names --- */

static int answer_like(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		       size_t *len_out)
{
	struct store_entry entry;
	size_t size = attr_vector_size(fs);
	float *vector = mem_zalloc(size, 1);
	int rc = vector != NULL ? 0 : ERR_NOMEM;

	if (rc == 0)
		rc = ann_get(fs->ann, node->name, node->name_len, &entry, vector);
	if (rc == ERR_ABSENT)
		(void)err_set(&call->msg, rc, "no vector has this id");
	if (rc == 0)
		rc = answer_query(fs, spec_of(node), node->name, node->name_len, vector, size, call,
				  text_out, len_out);
	mem_free(vector);
	return rc;
}

int answer_node(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		size_t *len_out)
{
	size_t size = answer_vector_size(fs, node->vector.len);
	int rc = 0;

	*text_out = NULL;
	*len_out = 0;
	if (node->kind == NODE_LIKE_ID)
		return answer_like(fs, node, call, text_out, len_out);
	/* The name was a whole vector when nothing was stored yet; now it may not be one. */
	if (size == 0 || size != node->vector.len)
		return err_set(&call->msg, ERR_ABSENT, "not a whole vector: one here is %zu bytes",
			       attr_vector_size(fs));
	if (ann_dim(fs->ann) != 0)
		rc = ann_validate(fs->ann, (const float *)(const void *)node->vector.bytes,
				  size / sizeof(float), &call->msg);
	if (rc != 0)
		return rc;
	return answer_vector(fs, node, node->vector.bytes, size, call, text_out, len_out);
}
