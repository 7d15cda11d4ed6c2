/*
 * wal_append.c - writes records.
 *
 * A record is assembled with its hash in one buffer and goes out with one write. wal_sync.c makes it
 * durable. States, invariants and locks: wal_writer.h.
 */
#include "store/wal.h"

#include <pthread.h>

#include "store/wal_format.h"
#include "store/wal_writer.h"

#define KEEP_STEP                                                                                  \
	(1u << 20) /* bytes of a segment that are asked for at once, if there are so many */

uint64_t wal_writer_now(struct wal *wal)
{
	return wal->opts.io->ops->now_ns(wal->opts.io, STORE_CLOCK_MONOTONIC);
}

void wal_writer_poison(struct wal *wal, int err)
{
	(void)pthread_mutex_lock(&wal->lock); /* fails only for a broken mutex */
	if (!wal->poisoned) {
		wal->poisoned = true;
		wal->poison_err = err;
	}
	wal_writer_wake(wal);
	(void)pthread_mutex_unlock(&wal->lock);
}

int wal_writer_check(struct wal *wal)
{
	bool poisoned;

	(void)pthread_mutex_lock(&wal->lock);
	poisoned = wal->poisoned;
	(void)pthread_mutex_unlock(&wal->lock);
	return poisoned ? ERR_READONLY : 0;
}

bool wal_writer_survives(int err)
{
	return err == ERR_FULL || err == ERR_NOMEM;
}

/* --- room --- */

int wal_writer_keep(struct wal *wal, uint64_t seq, uint64_t to, uint64_t *kept_to)
{
	struct store_io *io = wal->opts.io;
	int err = wal->opts.room != 0 ? io->ops->log_reserve(io, seq, to) : ERR_UNSUPPORTED;

	if (err == 0)
		*kept_to = to;
	else if (err != ERR_FULL)
		*kept_to = UINT64_MAX; /* no promise: then a full disk shows in the write itself */
	return err == ERR_FULL ? ERR_FULL : 0;
}

void wal_writer_left(struct wal *wal)
{
	uint64_t left = wal->kept_to > wal->offset ? wal->kept_to - wal->offset : 0;

	atomic_store(&wal->left, left);
}

/* Room for a record of size bytes, and behind it for what only deletions may use. */
static int keep_room(struct wal *wal, uint32_t size)
{
	uint64_t want = wal->offset + size + wal->opts.room;

	if (size > atomic_load(&wal->largest))
		atomic_store(&wal->largest, size);
	if (wal->kept_to >= want)
		return 0;
	atomic_store(&wal->refused,
		     wal_writer_keep(wal, wal->seq, want + KEEP_STEP, &wal->kept_to) != 0);
	if (!atomic_load(&wal->refused))
		return 0;
	return wal_writer_keep(wal, wal->seq, want, &wal->kept_to);
}

bool wal_is_tight(struct wal *wal, bool reserve)
{
	uint64_t left = atomic_load(&wal->left);

	if (reserve)
		return left < wal->opts.room / 8;
	return atomic_load(&wal->refused) && left < wal->opts.room + atomic_load(&wal->largest);
}

/* --- records --- */

/* Decides whether a record of size bytes may be appended and gives it its numbers. */
static int admit(struct wal *wal, uint32_t size, bool reserve, struct wal_record *record)
{
	const struct wal_opts *opts = &wal->opts;
	uint64_t limit = opts->cap;
	int err = 0;

	if (!reserve)
		limit = opts->cap > opts->reserve ? opts->cap - opts->reserve : 0;
	(void)pthread_mutex_lock(&wal->lock);
	if (wal->poisoned)
		err = ERR_READONLY;
	else if (opts->cap != 0 && opts->durability != WAL_NONE && wal->bytes + size > limit)
		err = ERR_FULL;
	record->lsn = wal->last_lsn + 1;
	record->durable_lsn = wal->durable_lsn;
	(void)pthread_mutex_unlock(&wal->lock);
	return err;
}

/* The entry of segment seq: the last one, or the last but one after wal_prepare. Under lock. */
static struct wal_writer_segment *current_kept(struct wal *wal)
{
	struct wal_writer_segment *last = &wal->kept[wal->n_kept - 1];

	return last->seq == wal->seq ? last : last - 1;
}

/* Makes the record known to wal_sync and the metrics. */
static void publish(struct wal *wal, const struct wal_record *record, uint32_t size)
{
	(void)pthread_mutex_lock(&wal->lock);
	wal->last_lsn = record->lsn;
	wal->appends++;
	wal->bytes += size;
	if (size != 0)
		current_kept(wal)->bytes += size;
	wal->marked = record->type == FORMAT_SYNC && record->durable_lsn + 1 == record->lsn;
	if (wal->clean) {
		wal->clean = false;
		wal->dirty_ns = wal_writer_now(wal);
	}
	(void)pthread_mutex_unlock(&wal->lock);
}

/*
 * After a failed write: a record that is whole in spite of the error would be replayed if the
 * process died now, so its head is wiped. It is a second defence: if this fails too, the next
 * record overwrites it, and a switch leaves it beyond the end that the next segment states.
 */
static void wipe_remains(struct wal *wal, uint32_t size)
{
	static const uint8_t zeros[8];
	struct store_io *io = wal->opts.io;
	uint64_t bytes = 0;
	int err;

	if (io->ops->log_size(io, wal->seq, &bytes) == 0 && bytes < wal->offset + size)
		return;
	err = io->ops->log_write(io, wal->seq, wal->offset, zeros, sizeof(zeros));
	if (err != 0 && !wal_writer_survives(err))
		wal_writer_poison(wal, err);
}

static int write_record(struct wal *wal, const struct wal_format_record *record,
			const struct wal_part *parts, size_t n)
{
	struct store_io *io = wal->opts.io;
	uint32_t size = wal_format_size(record->record.length);
	uint8_t *at = wal->buf + WAL_FORMAT_HEAD;
	uint64_t hash;
	int err;

	for (size_t i = 0; i < n; i++) {
		if (parts[i].len != 0)
			memcpy(at, parts[i].data, parts[i].len);
		at += parts[i].len;
	}
	hash = wal_format_put_record(wal->buf, record, wal->salt);
	err = io->ops->log_write(io, wal->seq, wal->offset, wal->buf, size);
	if (err == 0) {
		wal->offset += size;
		wal->last_hash = hash;
		wal_writer_left(wal);
	} else if (wal_writer_survives(err)) {
		wipe_remains(wal, size);
	} else {
		wal_writer_poison(wal, err);
	}
	return err;
}

int wal_append(struct wal *wal, enum format_record_type type, const struct wal_part *parts,
	       size_t n, bool reserve, uint64_t *lsn_out)
{
	struct wal_format_record record = {.prev_hash = wal->last_hash};
	size_t length = 0;
	uint32_t size;
	int err;

	*lsn_out = 0;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].len > WAL_FORMAT_PAYLOAD_MAX - length)
			return ERR_TOO_BIG;
		length += parts[i].len;
	}
	record.record.type = (uint8_t)type;
	record.record.length = (uint32_t)length;
	record.record.epoch = wal->opts.epoch;
	size = wal_format_size((uint32_t)length);
	err = admit(wal, size, reserve, &record.record);
	if (err != 0)
		return err;
	if (wal->opts.durability == WAL_NONE)
		size = 0;
	else if (!reserve)
		err = keep_room(wal, size);
	if (err == 0 && size != 0)
		err = write_record(wal, &record, parts, n);
	if (err != 0)
		return err;
	publish(wal, &record.record, size);
	*lsn_out = record.record.lsn;
	return 0;
}
