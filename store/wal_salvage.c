/*
 * wal_salvage.c - reads what is left of a log that may be damaged anywhere.
 *
 * Unlike wal_scan it never gives up: behind a bad place it looks for the next record in steps of 8
 * bytes, blocks that the device refuses read as zeros, and a segment whose header is damaged is read
 * all the same. For that its salt is needed:
 *
 *   the salt in the damaged header fits the records   -> they are verified by their hashes
 *   it does not                                       -> a record counts when the one behind it has
 *                                                        the next LSN and names its hash, or when
 *                                                        it ends the segment ("unverified"), unless
 *                                                        a block of it was refused
 *
 * Invariants:
 * 1. LSNs ascend over all that a walk visits, and none is visited that a later segment makes void.
 * 2. Nothing is read from bytes before its length was checked.
 */
#include "store/wal.h"

#include "store/mem.h"
#include "store/wal_format.h"
#include "store/wal_read.h"

struct segment {
	struct wal_format_segment header;
	uint64_t size;
	uint64_t start; /* LSN with which it begins, UINT64_MAX when nothing tells */
	uint64_t limit; /* records from this LSN on are void here */
	uint64_t proof_lsn;
	bool proof_ok;
};

struct wal_salvage {
	struct wal_scan_opts opts;
	struct segment *segments;
	struct wal_salvage_segment *shown; /* as many */
	size_t n;
	struct wal_read window; /* of a walk */
	struct wal_read single; /* of wal_salvage_read */
};

/* --- records without a salt --- */

struct frame {
	uint64_t lsn, hash, prev_hash;
	uint32_t size;
};

/* Whether a head stands here whose record would be whole within the bytes available. */
static bool get_frame(const uint8_t *bytes, size_t available, struct frame *frame_out)
{
	const struct format_record *at = (const struct format_record *)bytes;
	uint32_t length;

	if (available < WAL_FORMAT_RECORD_MIN || get_u16(at->magic) != FORMAT_RECORD_MAGIC)
		return false;
	length = get_u32(at->length);
	if (length > WAL_FORMAT_PAYLOAD_MAX || wal_format_size(length) > available ||
	    at->type[0] < FORMAT_PUT || at->type[0] > FORMAT_SYNC || at->zero0[0] != 0 ||
	    get_u32(at->zero1) != 0 || get_u64(at->lsn) == 0 ||
	    get_u64(at->durable_lsn) >= get_u64(at->lsn))
		return false;
	frame_out->lsn = get_u64(at->lsn);
	frame_out->size = wal_format_size(length);
	frame_out->hash = get_u64(bytes + frame_out->size - 8);
	frame_out->prev_hash = get_u64(at->prev_hash);
	return true;
}

/* Whether one of a record's blocks is all zeros, as those that the device refuses are. */
static bool has_gap(const uint8_t *bytes, uint64_t offset, uint32_t size)
{
	uint32_t part;

	for (uint32_t at = 0; at < size; at += part) {
		part = FORMAT_BLOCK - (uint32_t)((offset + at) % FORMAT_BLOCK);
		if (part > size - at)
			part = size - at;
		if (all_zero(bytes + at, part))
			return true;
	}
	return false;
}

/* The record at offset, when what follows it confirms its hash. */
static int get_chained(struct wal_read *window, const struct segment *segment, uint64_t offset,
		       struct wal_record *record_out, bool *found_out)
{
	const struct format_record *at;
	const uint8_t *bytes = NULL;
	struct frame frame, next;
	size_t available = 0;
	int err = wal_read_at(window, offset, &bytes, &available);

	*found_out = false;
	if (err != 0 || !get_frame(bytes, available, &frame))
		return err;
	err = wal_read_at(window, offset + frame.size, &bytes, &available);
	if (err != 0)
		return err;
	if (available == 0 ? offset + frame.size != segment->size :
			     (!get_frame(bytes, available, &next) || next.lsn != frame.lsn + 1 ||
			      next.prev_hash != frame.hash))
		return 0;
	/* the window may have moved, and the device may refuse now what it gave before */
	err = wal_read_at(window, offset, &bytes, &available);
	if (err != 0 || !get_frame(bytes, available, &next) || next.hash != frame.hash ||
	    (window->refused && has_gap(bytes, offset, frame.size)))
		return err;
	at = (const struct format_record *)bytes;
	*record_out = (struct wal_record){.seq = segment->header.seq,
					  .offset = offset,
					  .lsn = frame.lsn,
					  .durable_lsn = get_u64(at->durable_lsn),
					  .hash = frame.hash,
					  .epoch = get_u32(at->epoch),
					  .type = at->type[0],
					  .payload = bytes + WAL_FORMAT_HEAD,
					  .length = get_u32(at->length)};
	*found_out = true;
	return 0;
}

/* --- one record --- */

/* The record that begins exactly at offset. */
static int get_record(struct wal_salvage *salvage, struct wal_read *window, size_t i,
		      uint64_t offset, struct wal_record *record_out, bool *found_out)
{
	const struct segment *segment = &salvage->segments[i];
	struct wal_format_record found;
	const uint8_t *bytes = NULL;
	size_t available = 0;
	int err;

	if (salvage->shown[i].unverified)
		return get_chained(window, segment, offset, record_out, found_out);
	*found_out = false;
	err = wal_read_at(window, offset, &bytes, &available);
	if (err != 0 || !wal_format_get_record(bytes, available, &segment->header, &found))
		return err;
	*record_out = found.record;
	record_out->offset = offset;
	*found_out = true;
	return 0;
}

/* The first record at *offset or a multiple of 8 bytes behind it. */
static int find_record(struct wal_salvage *salvage, size_t i, uint64_t *offset,
		       struct wal_record *record_out, bool *found_out)
{
	const struct segment *segment = &salvage->segments[i];
	struct wal_format_record found;
	int err = 0;

	if (!salvage->shown[i].unverified) {
		err = wal_read_find(&salvage->window, &segment->header, offset, &found, found_out);
		*record_out = found.record;
		return err;
	}
	*found_out = false;
	while (err == 0 && !*found_out && *offset + WAL_FORMAT_RECORD_MIN <= segment->size) {
		err = get_record(salvage, &salvage->window, i, *offset, record_out, found_out);
		if (err == 0 && !*found_out)
			*offset += 8;
	}
	return err;
}

/* --- opening --- */

/* The header is damaged: are the salt and the epoch in it right, or is one of them lost? */
static int revive(struct wal_salvage *salvage, size_t i, const uint8_t *bytes)
{
	const struct format_segment *raw = (const struct format_segment *)bytes;
	struct segment *segment = &salvage->segments[i];
	const uint8_t *first = NULL;
	struct wal_record record;
	uint64_t offset = FORMAT_RECORDS_AT;
	size_t available = 0;
	bool found = false;
	int err;

	segment->header.salt = get_u64(raw->salt);
	segment->header.epoch = get_u32(raw->epoch);
	wal_read_seek(&salvage->window, segment->header.seq);
	err = wal_read_at(&salvage->window, offset, &first, &available);
	if (err == 0 && available >= WAL_FORMAT_RECORD_MIN && get_u16(first) == FORMAT_RECORD_MAGIC)
		segment->header.epoch = get_u32(((const struct format_record *)first)->epoch);
	if (err == 0)
		err = find_record(salvage, i, &offset, &record, &found);
	salvage->shown[i].unverified = !found;
	return err;
}

/* Reads and judges the first two blocks. */
static int load_segment(struct wal_salvage *salvage, size_t i)
{
	struct store_io *io = salvage->opts.io;
	struct wal_salvage_segment *shown = &salvage->shown[i];
	struct segment *segment = &salvage->segments[i];
	uint8_t bytes[FORMAT_RECORDS_AT] = {0};
	uint64_t hash;
	int err = io->ops->log_size(io, shown->seq, &segment->size);

	if (err != 0) {
		segment->size = 0; /* nothing can be read: the walk passes over it */
		shown->refused = true;
		return err == ERR_NOMEM ? err : 0;
	}
	shown->bytes = segment->size;
	for (size_t at = 0; err == 0 && at < sizeof(bytes); at += FORMAT_BLOCK) {
		size_t got = 0;

		err = io->ops->log_read(io, shown->seq, at, bytes + at, FORMAT_BLOCK, &got);
		if (err != 0)
			memset(bytes + at, 0, FORMAT_BLOCK);
		shown->refused |= err != 0;
		err = err == ERR_NOMEM ? err : 0;
	}
	if (err != 0)
		return err;
	segment->proof_ok = wal_format_get_proof(bytes + FORMAT_BLOCK, shown->seq,
						 &segment->proof_lsn, &hash);
	err = wal_format_get_segment(bytes, shown->seq, &segment->header);
	shown->foreign = err == ERR_FORMAT ||
			 (err == 0 && memcmp(segment->header.uuid, salvage->opts.uuid, 16) != 0);
	shown->header_ok = err == 0 && !shown->foreign;
	if (shown->foreign || shown->header_ok || segment->size <= FORMAT_RECORDS_AT)
		return 0;
	memset(&segment->header, 0, sizeof(segment->header));
	segment->header.seq = shown->seq;
	return revive(salvage, i, bytes);
}

/* The LSN with which a segment begins. */
static int find_start(struct wal_salvage *salvage, size_t i)
{
	struct segment *segment = &salvage->segments[i];
	struct wal_record record;
	bool found = false;
	int err = 0;

	segment->start = UINT64_MAX;
	if (salvage->shown[i].foreign || segment->size < FORMAT_RECORDS_AT)
		return 0;
	if (salvage->shown[i].header_ok && segment->header.first_lsn != 0) {
		segment->start = segment->header.first_lsn;
	} else if (segment->proof_ok) {
		segment->start = segment->proof_lsn + 1;
	} else {
		wal_read_seek(&salvage->window, segment->header.seq);
		err = get_record(salvage, &salvage->window, i, FORMAT_RECORDS_AT, &record, &found);
		if (err == 0 && found)
			segment->start = record.lsn;
	}
	return err;
}

static int load(struct wal_salvage *salvage, const uint64_t *seqs)
{
	uint64_t limit = UINT64_MAX;
	int err = 0;

	for (size_t i = 0; err == 0 && i < salvage->n; i++) {
		salvage->shown[i].seq = seqs[i];
		err = load_segment(salvage, i);
	}
	for (size_t i = salvage->n; err == 0 && i-- > 0;) {
		salvage->segments[i].limit = limit;
		err = find_start(salvage, i);
		if (salvage->segments[i].start != UINT64_MAX)
			salvage->shown[i].begins = salvage->segments[i].start;
		if (salvage->segments[i].start < limit)
			limit = salvage->segments[i].start;
	}
	return err;
}

int wal_salvage_open(struct wal_salvage **salvage_out, const struct wal_scan_opts *opts)
{
	struct wal_salvage *salvage = mem_zalloc(1, sizeof(*salvage));
	uint64_t *seqs = NULL;
	size_t n = 0, first = 0;
	int err = salvage != NULL ? 0 : ERR_NOMEM;

	*salvage_out = NULL;
	if (err == 0) {
		salvage->opts = *opts;
		err = opts->io->ops->log_list(opts->io, &seqs, &n);
	}
	while (err == 0 && first < n && seqs[first] < opts->from_seq)
		first++;
	if (err == 0) {
		salvage->n = n - first;
		salvage->segments = mem_zalloc(n - first, sizeof(*salvage->segments));
		salvage->shown = mem_zalloc(n - first, sizeof(*salvage->shown));
		if (salvage->segments == NULL || salvage->shown == NULL)
			err = ERR_NOMEM;
	}
	if (err == 0)
		err = wal_read_init(&salvage->window, opts->io, UINT64_MAX);
	if (err == 0)
		err = wal_read_init(&salvage->single, opts->io, 0);
	if (err == 0) {
		salvage->window.tolerant = salvage->single.tolerant = true;
		err = load(salvage, seqs + first);
	}
	mem_free(seqs);
	if (err != 0)
		wal_salvage_close(salvage);
	else
		*salvage_out = salvage;
	return err;
}

void wal_salvage_close(struct wal_salvage *salvage)
{
	if (salvage == NULL)
		return;
	wal_read_release(&salvage->window);
	wal_read_release(&salvage->single);
	mem_free(salvage->segments);
	mem_free(salvage->shown);
	mem_free(salvage);
}

/* --- walking --- */

/* Describes what stands at a bad place. */
static int look_at_hole(struct wal_salvage *salvage, size_t i, uint64_t offset, uint64_t lsn,
			struct wal_hole *hole)
{
	const struct format_record *at;
	const uint8_t *bytes = NULL;
	struct frame frame;
	size_t available = 0, shown;
	int err = wal_read_at(&salvage->window, offset, &bytes, &available);

	memset(hole, 0, sizeof(*hole));
	hole->seq = salvage->segments[i].header.seq;
	hole->offset = offset;
	if (err != 0)
		return err;
	hole->empty = !salvage->window.refused && all_zero(bytes, available);
	if (!get_frame(bytes, available, &frame) || frame.lsn < lsn)
		return 0;
	at = (const struct format_record *)bytes;
	hole->framed = true;
	hole->type = at->type[0];
	hole->lsn = frame.lsn;
	hole->length = get_u32(at->length);
	shown = hole->length < sizeof(hole->payload) ? hole->length : sizeof(hole->payload);
	memcpy(hole->payload, bytes + WAL_FORMAT_HEAD, shown);
	return 0;
}

struct walk {
	wal_visit visit;
	wal_hole_visit hole;
	void *ctx;
	uint64_t last; /* LSN of the last good record, void ones apart */
};

/* Whether a segment has nothing but zeros from an offset to its end. */
static int is_zero_to_end(struct wal_salvage *salvage, uint64_t size, uint64_t offset,
			  bool *zero_out)
{
	*zero_out = true;
	while (*zero_out && offset < size) {
		const uint8_t *bytes = NULL;
		size_t available = 0;
		int err = wal_read_at(&salvage->window, offset, &bytes, &available);

		if (err != 0 || available == 0)
			return err;
		*zero_out = all_zero(bytes, available);
		offset += available;
	}
	return 0;
}

/* Steps over a bad place to the next record, *offset, if there is one. */
static int step_over(struct wal_salvage *salvage, size_t i, struct walk *walk, uint64_t *offset,
		     struct wal_record *record, bool *found)
{
	uint64_t size = salvage->segments[i].size, from = *offset;
	struct wal_hole hole;
	int err = look_at_hole(salvage, i, from, walk->last + 1, &hole);

	*offset = from + 8;
	if (err == 0)
		err = find_record(salvage, i, offset, record, found);
	/* so far as it was seen at once it is */
	if (err == 0 && hole.empty && !*found)
		err = is_zero_to_end(salvage, size, from, &hole.empty);
	if (err != 0)
		return err;
	hole.at_end = !*found;
	hole.bytes = (*found ? *offset : size) - from;
	hole.refused = salvage->window.refused;
	hole.empty = hole.empty && !hole.refused && (hole.at_end || hole.bytes < FORMAT_BLOCK);
	return walk->hole != NULL ? walk->hole(walk->ctx, &hole) : 0;
}

static int walk_segment(struct wal_salvage *salvage, size_t i, struct walk *walk)
{
	const struct segment *segment = &salvage->segments[i];
	struct wal_record record = {0};
	uint64_t offset = FORMAT_RECORDS_AT;
	int err = 0;

	wal_read_seek(&salvage->window, segment->header.seq);
	while (err == 0 && offset < segment->size && walk->last + 1 != segment->limit) {
		bool found = false;

		err = get_record(salvage, &salvage->window, i, offset, &record, &found);
		if (err == 0 && !found)
			err = step_over(salvage, i, walk, &offset, &record, &found);
		if (err != 0 || !found)
			break;
		offset += wal_format_size(record.length);
		if (record.lsn >= segment->limit || record.lsn <= walk->last)
			continue;
		walk->last = record.lsn;
		if (record.lsn <= salvage->opts.after_lsn)
			continue;
		salvage->shown[i].records++;
		err = walk->visit(walk->ctx, &record);
	}
	salvage->shown[i].refused |= salvage->window.refused;
	return err;
}

int wal_salvage_walk(struct wal_salvage *salvage, wal_visit visit, wal_hole_visit hole, void *ctx)
{
	struct walk walk = {.visit = visit, .hole = hole, .ctx = ctx};
	int err = 0;

	for (size_t i = 0; err == 0 && i < salvage->n; i++) {
		salvage->shown[i].records = 0;
		if (!salvage->shown[i].foreign)
			err = walk_segment(salvage, i, &walk);
	}
	return err;
}

int wal_salvage_read(struct wal_salvage *salvage, uint64_t seq, uint64_t offset,
		     struct wal_record *record_out)
{
	bool found = false;
	size_t i = 0;
	int err = 0;

	while (i < salvage->n && salvage->shown[i].seq != seq)
		i++;
	if (i == salvage->n)
		return ERR_DAMAGED;
	if (salvage->single.seq != seq)
		wal_read_seek(&salvage->single, seq);
	err = get_record(salvage, &salvage->single, i, offset, record_out, &found);
	return err == 0 && !found ? ERR_DAMAGED : err;
}

const struct wal_salvage_segment *wal_salvage_segments(const struct wal_salvage *salvage,
						       size_t *n_out)
{
	*n_out = salvage->n;
	return salvage->shown;
}

int wal_salvage(const struct wal_scan_opts *opts, wal_visit visit, void *ctx)
{
	struct wal_salvage *salvage = NULL;
	int err = wal_salvage_open(&salvage, opts);

	if (err == 0)
		err = wal_salvage_walk(salvage, visit, NULL, ctx);
	wal_salvage_close(salvage);
	return err;
}
