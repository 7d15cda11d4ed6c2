/* wal_given.c - see wal_given.h. */
#include "tests/support/wal_given.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "store/format.h"

int wal_given_visit(void *ctx, const struct wal_record *record)
{
	struct wal_given *given = ctx;
	struct wal_model_seen seen = {.model = given->model};

	assert_true(given->n < WAL_GIVEN_MAX);
	assert_true(given->n == 0 || record->lsn > given->lsns[given->n - 1]);
	(void)wal_model_check(&seen, record); /* always 0; its finding is in seen */
	assert_false(seen.wrong);
	given->lsns[given->n++] = record->lsn;
	return 0;
}

static int visit_hole(void *ctx, const struct wal_hole *hole)
{
	struct wal_given *given = ctx;

	assert_true(given->n_holes < WAL_GIVEN_HOLES);
	given->holes[given->n_holes++] = *hole;
	return given->stop;
}

int wal_given_walk(const struct wal_model *model, const struct wal_scan_opts *opts,
		   struct wal_given *given, struct wal_salvage_segment *segments_out)
{
	struct wal_salvage *salvage = NULL;
	int err = wal_salvage_open(&salvage, opts);

	*given = (struct wal_given){.model = model, .stop = given->stop};
	assert_true((err == 0) == (salvage != NULL));
	if (err == 0)
		err = wal_salvage_walk(salvage, wal_given_visit, visit_hole, given);
	if (err == 0 && segments_out != NULL) {
		size_t n;
		const struct wal_salvage_segment *segments = wal_salvage_segments(salvage, &n);

		assert_true(n <= WAL_GIVEN_SEGMENTS);
		memcpy(segments_out, segments, n * sizeof(*segments));
	}
	wal_salvage_close(salvage);
	return err;
}

void wal_given_expect_without(const struct wal_given *given, uint64_t n, uint64_t from, uint64_t to)
{
	size_t i = 0;

	for (uint64_t lsn = 1; lsn <= n; lsn++)
		if (lsn < from || lsn > to) {
			assert_true(i < given->n);
			assert_int_equal(given->lsns[i++], lsn);
		}
	assert_int_equal(i, given->n);
}

void wal_given_make_log(struct wal_model *model, uint64_t seed, unsigned segments, unsigned n,
			uint32_t length)
{
	wal_model_init(model, seed, WAL_LOG);
	for (unsigned s = 0; s < segments; s++) {
		if (s > 0)
			wal_model_turn(model);
		for (unsigned i = 0; i < n; i++)
			wal_model_append(model, length + i);
	}
}

uint8_t *wal_given_segment(const struct wal_model *model, uint64_t seq)
{
	size_t len;
	uint8_t *bytes = io_mem_segment(model->medium, seq, &len);

	assert_non_null(bytes);
	return bytes;
}

uint8_t *wal_given_record(const struct wal_model *model, uint64_t lsn)
{
	const struct wal_model_record *record = &model->records[lsn - 1];

	return wal_given_segment(model, record->seq) + record->offset;
}

void wal_given_lose_header(const struct wal_model *model, uint64_t seq)
{
	memset(wal_given_segment(model, seq), 0, FORMAT_BLOCK);
}
