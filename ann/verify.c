/*
 * verify.c - what the pages of an open collection must look like on disk, beside their checksums.
 *
 * A page of nodes on disk is of the moment of a flush, when nobody was changing any, so that what is
 * odd in it is damage and no half change. The slots of its time have only become more.
 */
#include <inttypes.h>
#include <stdio.h>

#include "ann/ann.h"
#include "ann/collection.h"
#include "ann/validate.h"

struct verify {
	struct ann *ann;
	store_finding finding;
	bool (*cancelled)(void *ctx);
	void *ctx;
};

static void pass_finding(void *ctx, bool damage, const char *text)
{
	const struct verify *verify = ctx;

	verify->finding(verify->ctx, damage, text);
}

static bool ask_cancelled(void *ctx)
{
	const struct verify *verify = ctx;

	return verify->cancelled != NULL && verify->cancelled(verify->ctx);
}

static void note_lost(void *ctx, enum store_space space)
{
	const struct verify *verify = ctx;

	if (space == STORE_GRAPH || space == STORE_CODE || space == STORE_AUX)
		atomic_store(&verify->ann->index.damaged, true);
}

/* The record of one node: a count, then links. */
static bool record_is_bad(const uint32_t *record, uint32_t cap, uint32_t slot, uint32_t slots)
{
	uint32_t n = record[0];

	if (n > cap)
		return true;
	for (uint32_t i = 1; i <= n; i++) {
		if (record[i] == slot || record[i] >= slots)
			return true;
		for (uint32_t j = 1; j < i; j++)
			if (record[j] == record[i])
				return true;
	}
	return false;
}

static bool nodes_are_bad(struct ann *ann, uint32_t page, const void *bytes, char *why,
			  size_t why_size)
{
	uint32_t cap = ann->index.nodes->cap, words = 1 + cap;
	uint32_t per = store_page_size(ann->store) / (uint32_t)(words * sizeof(uint32_t));
	uint32_t slots = store_slots(ann->store);

	for (uint32_t i = 0; i < per; i++) {
		uint32_t slot = page * per + i;

		if (!record_is_bad((const uint32_t *)bytes + (size_t)i * words, cap, slot, slots))
			continue;
		atomic_store(&ann->index.damaged, true);
		(void)snprintf(why, why_size,
			       "node %" PRIu32 " on graph page %" PRIu32
			       " is no node; the graph is built anew at the next mount",
			       slot, page);
		return true;
	}
	return false;
}

static bool page_is_bad(void *ctx, enum store_space space, uint32_t page, const void *bytes,
			char *why, size_t why_size)
{
	const struct verify *verify = ctx;
	size_t n = store_page_size(verify->ann->store) / sizeof(float);

	if (space == STORE_GRAPH && atomic_load(&verify->ann->ready))
		return nodes_are_bad(verify->ann, page, bytes, why, why_size);
	if (space != STORE_VALUE || validate_finite(bytes, n) == n)
		return false;
	(void)snprintf(why, why_size,
		       "value page %" PRIu32
		       " holds a number that is none; vecfs check names its vectors",
		       page);
	return true;
}

static bool id_is_bad(void *ctx, const char *id, size_t len)
{
	(void)ctx;
	return ann_validate_id(id, len, NULL) != 0;
}

int ann_verify(struct ann *ann, store_finding finding, bool (*cancelled)(void *ctx), void *ctx,
	       struct store_verify_report *report_out)
{
	struct verify verify = {ann, finding, cancelled, ctx};
	struct store_verify_opts opts = {
		.finding = pass_finding,
		.cancelled = ask_cancelled,
		.page_bad = page_is_bad,
		.id_bad = id_is_bad,
		.page_lost = note_lost,
		.ctx = &verify,
	};
	bool damaged = atomic_load(&ann->index.damaged);
	int err = store_verify(ann->store, &opts, report_out);

	if (err == 0 && damaged) {
		finding(ctx, true,
			"a node of the graph could not be read, so searches scan all vectors; "
			"unmount and mount again, then the graph is built anew");
		report_out->damages++;
	}
	return err;
}
