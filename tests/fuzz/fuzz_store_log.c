/*
 * Log segments: headers, proofs and records of several segments, damaged before or behind their
 * hashes. A scan gives a verdict, visits records in order without a gap, and says where it stopped.
 *
 * max_len: 300
 */
#include "store/wal.h"

#include <string.h>

#include "store/head.h"
#include "store/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/spoil.h"

#define KINDS (7u << IMAGE_SEGMENT)

static struct image image;
static struct head_slot slots[2];
static struct head head;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct store_io *io;
	unsigned n;
	bool bad;

	(void)argc;
	(void)argv;
	image_make(&image, IMAGE_SMALL);
	io = io_mem_attach(image.medium);
	FUZZ_ASSERT(head_read(io, &head, slots, &n, &bad, NULL) == 0 && n == 2);
	io->ops->close(io);
	return 0;
}

struct seen {
	uint64_t count, after, last;
	uint8_t sum;
};

static int visit(void *ctx, const struct wal_record *record)
{
	struct seen *seen = ctx;

	FUZZ_ASSERT(record->lsn > seen->after);
	FUZZ_ASSERT(seen->last == 0 || record->lsn == seen->last + 1);
	FUZZ_ASSERT(record->durable_lsn < record->lsn && record->offset >= FORMAT_RECORDS_AT);
	for (uint32_t i = 0; i < record->length; i++)
		seen->sum ^= record->payload[i];
	seen->last = record->lsn;
	seen->count++;
	return 0;
}

static int salvage(void *ctx, const struct wal_record *record)
{
	struct seen *seen = ctx;

	FUZZ_ASSERT(record->lsn > seen->after);
	for (uint32_t i = 0; i < record->length; i++)
		seen->sum ^= record->payload[i];
	return 0;
}

static void check(const struct wal_report *report, const struct seen *seen)
{
	FUZZ_ASSERT(report->records == seen->count);
	FUZZ_ASSERT(report->verdict <= WAL_DAMAGED);
	FUZZ_ASSERT(seen->last == 0 || report->last_lsn == seen->last);
	FUZZ_ASSERT(seen->last != 0 || report->last_lsn >= seen->after);
	FUZZ_ASSERT((report->verdict == WAL_ENDS_WELL) == (report->bad_seq == 0));
	for (size_t i = 1; i < report->n_segments; i++)
		FUZZ_ASSERT(report->segments[i].seq > report->segments[i - 1].seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t how = fuzz_u8(&in);
	const struct head_slot *slot = &slots[how & 1];
	struct io_mem *medium = spoil(&image, KINDS, &in);
	struct store_io *io = io_mem_attach(medium);
	struct wal_scan_opts opts = {.io = io,
				     .from_seq = slot->first_segment,
				     .from_may_be_new = (how & 2) != 0,
				     .after_lsn = slot->ckpt_lsn,
				     .known_lsn = slot->ckpt_lsn};
	struct wal_report report;
	struct err_msg msg = {""};
	struct seen seen;
	int err;

	memcpy(opts.uuid, head.uuid, 16);
	if ((how & 12) == 12)
		opts.from_seq = opts.after_lsn = opts.known_lsn = 0;
	if ((how & 48) == 48)
		opts.after_lsn = opts.known_lsn = fuzz_edge(&in);
	if (how & 64)
		io_mem_set_boot_id(medium, (const uint8_t[16]){9});
	seen = (struct seen){.after = opts.after_lsn};
	err = wal_scan(&opts, visit, &seen, &report, &msg);
	FUZZ_ASSERT(err == 0 || err == ERR_FORMAT || err == ERR_ABSENT);
	if (err == 0) {
		check(&report, &seen);
		wal_report_release(&report);
		FUZZ_ASSERT(wal_salvage(&opts, salvage, &seen) == 0);
	}
	io->ops->close(io);
	return 0;
}
