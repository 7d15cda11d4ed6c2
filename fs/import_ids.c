/*
 * import_ids.c - judges the lines of a file of ids, and finds those that stand there twice.
 *
 * Equal lines are found by sorting all of them by a hash of their bytes; memory for that is taken
 * only meanwhile. Afterwards the lines are walked through in their order.
 */
#include "fs/import_ids.h"

#include <stdlib.h>
#include <string.h>

#include "ann/ann.h"
#include "store/mem.h"

struct line {
	uint64_t hash;
	const char *id;
	uint64_t number;
	size_t len;
};

static uint64_t hash_of(const char *id, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)id[i]) * 0x100000001b3u;
	return hash;
}

/* Equal ids side by side, in the order of their lines. */
static int compare(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	int order;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	order = memcmp(a->id, b->id, a->len);
	if (order != 0)
		return order;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* The length of the line at `at`, which is before the end. */
static size_t line_length(const struct import_ids *ids, size_t at)
{
	const char *end = memchr(ids->text + at, '\n', ids->len - at);

	return end != NULL ? (size_t)(end - (ids->text + at)) : ids->len - at;
}

bool import_ids_next(struct import_ids *ids, const char **id_out, size_t *len_out,
		     bool *superseded_out)
{
	if (ids->at >= ids->len)
		return false;
	*id_out = ids->text + ids->at;
	*len_out = line_length(ids, ids->at);
	*superseded_out = ids->skip != NULL && (ids->skip[ids->line / 8] >> ids->line % 8 & 1) != 0;
	ids->at += *len_out + 1;
	ids->line++;
	return true;
}

static void rewind_to_start(struct import_ids *ids)
{
	ids->at = 0;
	ids->line = 0;
}

static int judge_lines(struct import_ids *ids, const char *name, struct err_msg *msg)
{
	struct err_msg why = {{0}};
	bool superseded;
	const char *id;
	size_t len;
	int rc = 0;

	while (rc == 0 && import_ids_next(ids, &id, &len, &superseded))
		rc = ann_validate_id(id, len, &why);
	ids->n = ids->line;
	if (rc != 0)
		rc = err_set(msg, rc, "%.200s, line %llu: %s%s", name, (unsigned long long)ids->n,
			     why.text,
			     len > 0 && id[len - 1] == '\r' ? " (lines end with CR LF; convert "
							      "them with dos2unix)" :
							      "");
	rewind_to_start(ids);
	return rc;
}

static void mark_superseded(struct import_ids *ids, const struct line *lines)
{
	for (uint64_t i = 0; i + 1 < ids->n; i++) {
		const struct line *line = &lines[i];

		if (line->hash != line[1].hash || line->len != line[1].len ||
		    memcmp(line->id, line[1].id, line->len) != 0)
			continue;
		ids->skip[line->number / 8] = (uint8_t)(ids->skip[line->number / 8] |
							1u << line->number % 8);
		ids->superseded++;
	}
}

static int find_superseded(struct import_ids *ids)
{
	struct line *lines = mem_zalloc((size_t)ids->n, sizeof(*lines));
	bool superseded;
	const char *id;
	size_t len;
	int rc = lines == NULL ? ERR_NOMEM : 0;

	ids->skip = mem_zalloc((size_t)(ids->n / 8 + 1), 1);
	if (ids->skip == NULL)
		rc = ERR_NOMEM;
	for (uint64_t i = 0; rc == 0 && i < ids->n; i++) {
		(void)import_ids_next(ids, &id, &len, &superseded); /* there are n */
		lines[i] = (struct line){hash_of(id, len), id, i, len};
	}
	rewind_to_start(ids);
	if (rc == 0) {
		qsort(lines, (size_t)ids->n, sizeof(*lines), compare);
		mark_superseded(ids, lines);
	}
	mem_free(lines);
	if (ids->superseded == 0) {
		mem_free(ids->skip);
		ids->skip = NULL;
	}
	return rc;
}

int import_ids_init(struct import_ids *ids, const char *text, size_t len, const char *name,
		    struct err_msg *msg)
{
	int rc;

	memset(ids, 0, sizeof(*ids));
	ids->text = text;
	ids->len = len;
	rc = judge_lines(ids, name, msg);
	return rc == 0 ? find_superseded(ids) : rc;
}

void import_ids_release(struct import_ids *ids)
{
	mem_free(ids->skip);
	memset(ids, 0, sizeof(*ids));
}
