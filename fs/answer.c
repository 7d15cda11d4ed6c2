/*
 * answer.c - one call of ann_search, rendered.
 */
#include "fs/answer.h"

#include <string.h>

#include "fs/attr.h"
#include "store/mem.h"

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
static int no_hits(size_t n, struct ann_answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->first = mem_zalloc(n + 1, sizeof(*answer->first));
	answer->n_queries = n;
	return answer->first != NULL ? 0 : ERR_NOMEM;
}

static int search(struct fs *fs, const struct ann_query *query, const void *bytes, size_t n,
		  struct call *call, struct ann_answer *answer)
{
	uint64_t start = fs->io->ops->now_ns(fs->io, STORE_CLOCK_MONOTONIC);
	int rc;

	if (ann_dim(fs->ann) == 0 || n == 0)
		return no_hits(n, answer);
	rc = ann_search(fs->ann, bytes, n, query, answer, &call->msg);
	status_count(fs->status, STATUS_OP_query);
	status_query_time(fs->status, fs->io->ops->now_ns(fs->io, STORE_CLOCK_MONOTONIC) - start,
			  n);
	return rc;
}

static int answer_query(struct fs *fs, const struct query_spec *spec, const char *without,
			size_t without_len, const void *bytes, size_t n, struct call *call,
			char **text_out, size_t *len_out)
{
	struct ann_query query = spec->ann;
	struct ann_answer answer = {0};
	int rc;

	*text_out = NULL;
	*len_out = 0;
	if (n > ANSWER_HITS_MAX / query.k && n > 1)
		return err_set(&call->msg, ERR_TOO_BIG,
			       "%zu queries of %u neighbours are too many at once: ask at most %u",
			       n, query.k, ANSWER_HITS_MAX / query.k);
	query.without = without;
	query.without_len = without_len;
	query.cancelled = call->cancelled;
	query.cancel_ctx = call->cancel_ctx;
	rc = search(fs, &query, bytes, n, call, &answer);
	if (rc == 0)
		rc = query_render(&answer, spec->format, n > 1, text_out, len_out);
	ann_answer_release(&answer);
	return rc;
}

int answer_vectors(struct fs *fs, const struct node *node, const void *bytes, size_t n,
		   struct call *call, char **text_out, size_t *len_out)
{
	return answer_query(fs, spec_of(node), NULL, 0, bytes, n, call, text_out, len_out);
}

static int answer_like(struct fs *fs, const struct node *node, struct call *call, char **text_out,
		       size_t *len_out)
{
	struct store_entry entry;
	float *vector = mem_zalloc(attr_vector_size(fs), 1);
	int rc = vector != NULL ? 0 : ERR_NOMEM;

	if (rc == 0)
		rc = ann_get(fs->ann, node->name, node->name_len, &entry, vector);
	if (rc == ERR_ABSENT)
		(void)err_set(&call->msg, rc, "no vector has this id");
	if (rc == 0)
		rc = answer_query(fs, spec_of(node), node->name, node->name_len, vector, 1, call,
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
	return answer_vectors(fs, node, node->vector.bytes, 1, call, text_out, len_out);
}
