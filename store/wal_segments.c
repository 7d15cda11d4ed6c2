/*
 * wal_segments.c - lists the segments of a log and reads their headers and proofs.
 *
 * Invariants:
 * 1. A segment is header_ok only if both first blocks exist: it was created whole.
 * 2. A boot id of zeros equals nothing, not even itself.
 */
#include "store/wal_segments.h"

#include "store/base.h"
#include "store/mem.h"

static int read_failed(const struct wal_scan_opts *opts, uint64_t seq, int err, struct err_msg *msg)
{
	struct store_io *io = opts->io;

	return err_set(msg, err == ERR_NOMEM ? err : ERR_IO,
		       "%s: log segment %llu cannot be read: %s; nothing was changed",
		       io->ops->name(io), (unsigned long long)seq, err_str(err));
}

static int load_segment(const struct wal_scan_opts *opts, struct wal_segment *segment,
			struct err_msg *msg)
{
	struct store_io *io = opts->io;
	uint8_t bytes[FORMAT_RECORDS_AT] = {0}, boot_id[16];
	size_t got = 0;
	int err;

	err = io->ops->log_size(io, segment->seq, &segment->size);
	if (err == 0)
		err = io->ops->log_read(io, segment->seq, 0, bytes, sizeof(bytes), &got);
	if (err != 0)
		return read_failed(opts, segment->seq, err, msg);
	err = wal_format_get_segment(bytes, segment->seq, &segment->header);
	if (err == ERR_FORMAT || (err == 0 && memcmp(segment->header.uuid, opts->uuid, 16) != 0))
		return err_set(
			msg, ERR_FORMAT,
			"%s: log segment %llu belongs to another store or another version of "
			"the program; move it away and put the right one back",
			io->ops->name(io), (unsigned long long)segment->seq);
	segment->header_ok = err == 0 && got == sizeof(bytes);
	segment->proof_ok = wal_format_get_proof(bytes + FORMAT_BLOCK, segment->seq,
						 &segment->proof_lsn, &segment->proof_hash);
	io->ops->boot_id(io, boot_id);
	segment->this_boot = segment->header_ok && !all_zero(boot_id, 16) &&
			     memcmp(boot_id, segment->header.boot_id, 16) == 0;
	return 0;
}

/*
 * Keeps the segments of whoever came after the slot, see wal_scan_opts.from_writer. Such a writer makes
 * its first segment durable before its first commit slot, and keeps all from there on as long as
 * that slot is the other one.
 */
static int keep_from_writer(const struct wal_scan_opts *opts, struct wal_segment *segments,
			    size_t *n, struct err_msg *msg)
{
	bool unknown = false;
	size_t first = 0;

	while (first < *n &&
	       !(segments[first].header_ok && segments[first].header.epoch > opts->after_epoch)) {
		unknown |= !segments[first].header_ok && segments[first].size > FORMAT_RECORDS_AT;
		first++;
	}
	*n -= first;
	memmove(segments, segments + first, *n * sizeof(*segments));
	if (*n > 0 ? segments[0].header.first_lsn == opts->after_lsn + 1 : !unknown)
		return 0;
	return err_set(msg, ERR_ABSENT,
		       "%s: a commit slot is damaged, the other one has no log, and the first "
		       "segment of the log after it is missing or damaged; put the segment back "
		       "beside the store, or save what is there with vecfs recover",
		       opts->io->ops->name(opts->io));
}

int wal_segments_load(const struct wal_scan_opts *opts, struct wal_segment **segments_out,
		      size_t *n_out, uint64_t *next_seq_out, struct err_msg *msg)
{
	struct store_io *io = opts->io;
	struct wal_segment *segments = NULL;
	uint64_t *seqs = NULL;
	size_t n = 0, first = 0;
	int err;

	*segments_out = NULL;
	*n_out = 0;
	err = io->ops->log_list(io, &seqs, &n);
	if (err != 0)
		return err_set(msg, err == ERR_NOMEM ? err : ERR_IO,
			       "%s: the log segments cannot be listed: %s", io->ops->name(io),
			       err_str(err));
	*next_seq_out = n > 0 ? seqs[n - 1] + 1 : 1;
	while (first < n && seqs[first] < opts->from_seq)
		first++;
	if (opts->from_seq != 0 && (first == n || seqs[first] != opts->from_seq)) {
		err = err_set(msg, ERR_ABSENT,
			      "%s: log segment %llu is missing; put it back beside the store",
			      io->ops->name(io), (unsigned long long)opts->from_seq);
		goto out;
	}
	segments = mem_zalloc(n - first, sizeof(*segments));
	if (segments == NULL) {
		err = ERR_NOMEM;
		goto out;
	}
	for (size_t i = 0; err == 0 && i < n - first; i++) {
		segments[i].seq = seqs[first + i];
		err = load_segment(opts, &segments[i], msg);
	}
	n -= first;
	if (err == 0 && opts->from_writer)
		err = keep_from_writer(opts, segments, &n, msg);
	if (err != 0)
		goto out;
	*segments_out = segments;
	*n_out = n;
	segments = NULL;
out:
	mem_free(segments);
	mem_free(seqs);
	return err;
}
