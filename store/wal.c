/*
 * wal.c - the life of a log and its segments; records are in wal_append.c, syncs in wal_sync.c.
 *
 * A segment is created whole (header, and an empty block for the proof) before it is used. A
 * checkpoint makes the next segment ready (wal_prepare), moves the writer there (wal_switch), and
 * once the old segment is durable says so in the new one (wal_seal). Numbers are never used twice,
 * not even after a failure. States, invariants and locks: wal_writer.h.
 */
#include "store/wal.h"

#include <assert.h>
#include <pthread.h>

#include "store/mem.h"
#include "store/wal_format.h"
#include "store/wal_writer.h"

#define KEEP_MIN 1024u

/* --- segments --- */

static int add_kept(struct wal *wal, uint64_t seq, uint64_t bytes)
{
	int err;

	(void)pthread_mutex_lock(&wal->lock);
	err = mem_grow((void **)&wal->kept, &wal->kept_cap, wal->n_kept + 1, sizeof(*wal->kept));
	if (err == 0) {
		wal->kept[wal->n_kept++] = (struct wal_writer_segment){seq, bytes};
		wal->bytes += bytes;
	}
	(void)pthread_mutex_unlock(&wal->lock);
	return err;
}

/* Takes the last segment out of the table again, after it could not be made. */
static void drop_kept(struct wal *wal)
{
	(void)pthread_mutex_lock(&wal->lock);
	wal->bytes -= wal->kept[--wal->n_kept].bytes;
	(void)pthread_mutex_unlock(&wal->lock);
}

/*
 * Keeps room behind offset in a segment for appends with reserve, and as much again for others, so that a
 * checkpoint on a full disk lets some of them in; or as much as there is.
 */
static void top_up(struct wal *wal, uint64_t seq, uint64_t offset, uint64_t *kept_to)
{
	uint64_t room = 2 * wal->opts.room;

	while (room >= KEEP_MIN && *kept_to < offset + room &&
	       wal_writer_keep(wal, seq, offset + room, kept_to) != 0)
		room -= room / 4;
}

void wal_top_up(struct wal *wal)
{
	if (wal->opts.room == 0)
		return;
	top_up(wal, wal->seq, wal->offset, &wal->kept_to);
	wal_writer_left(wal);
	atomic_store(&wal->refused, atomic_load(&wal->left) < 2 * wal->opts.room);
	if (wal->ready_seq != 0)
		top_up(wal, wal->ready_seq, FORMAT_RECORDS_AT, &wal->ready_kept_to);
}

/* Makes segment seq, durable. first_lsn as in struct format_segment. */
static int make_segment(struct wal *wal, uint64_t seq, uint64_t first_lsn, uint64_t *salt_out,
			uint64_t *kept_to_out)
{
	struct store_io *io = wal->opts.io;
	struct wal_format_segment segment = {
		.seq = seq, .first_lsn = first_lsn, .epoch = wal->opts.epoch};
	uint8_t bytes[FORMAT_RECORDS_AT] = {0};
	int err;

	err = io->ops->random(io, &segment.salt, sizeof(segment.salt));
	if (err != 0)
		return err;
	memcpy(segment.uuid, wal->opts.uuid, 16);
	io->ops->boot_id(io, segment.boot_id);
	segment.created_ns = io->ops->now_ns(io, STORE_CLOCK_REALTIME);
	wal_format_put_segment(bytes, &segment);
	err = add_kept(wal, seq, sizeof(bytes));
	if (err != 0)
		return err;
	err = io->ops->log_create(io, seq, bytes, sizeof(bytes));
	if (err != 0)
		drop_kept(wal);
	*salt_out = segment.salt;
	*kept_to_out = sizeof(bytes);
	if (err == 0)
		top_up(wal, seq, sizeof(bytes), kept_to_out);
	return err;
}

/* Enters the segments of earlier writers and makes sure they are durable. */
static int adopt_segments(struct wal *wal, uint64_t below)
{
	struct store_io *io = wal->opts.io;
	uint64_t *seqs = NULL, bytes;
	size_t n = 0;
	int err;

	err = io->ops->log_list(io, &seqs, &n);
	for (size_t i = 0; err == 0 && i < n; i++) {
		if (seqs[i] >= below) {
			err = ERR_EXISTS;
			break;
		}
		err = io->ops->log_size(io, seqs[i], &bytes);
		if (err == 0 && wal->opts.durability != WAL_NONE) {
			err = io->ops->log_sync(io, seqs[i]);
			wal->syncs++;
		}
		/* nothing is ever written there again: what was kept for it is free for the new one */
		if (err == 0 && wal->opts.room != 0)
			(void)io->ops->log_reserve(io, seqs[i], 0);
		if (err == 0)
			err = add_kept(wal, seqs[i], bytes);
	}
	mem_free(seqs);
	return err;
}

int wal_new(struct wal **wal_out, const struct wal_opts *opts, uint64_t seq, uint64_t first_lsn,
	    uint64_t last_hash)
{
	struct wal *wal;
	int err;

	*wal_out = NULL;
	if (seq == 0 || first_lsn == 0)
		return ERR_INVALID;
	wal = mem_zalloc(1, sizeof(*wal));
	if (wal == NULL)
		return ERR_NOMEM;
	(void)pthread_mutex_init(&wal->lock, NULL); /* none can fail with default attributes */
	(void)pthread_cond_init(&wal->synced[0], NULL);
	(void)pthread_cond_init(&wal->synced[1], NULL);
	wal->opts = *opts;
	wal->seq = seq;
	wal->next_seq = seq + 1;
	wal->offset = FORMAT_RECORDS_AT;
	wal->last_hash = last_hash;
	wal->last_lsn = wal->durable_lsn = wal->old_lsn = first_lsn - 1;
	wal->clean = true;
	wal->buf = mem_alloc_aligned(FORMAT_BLOCK, round_up(WAL_FORMAT_RECORD_MAX, FORMAT_BLOCK));
	err = wal->buf != NULL ? adopt_segments(wal, seq) : ERR_NOMEM;
	if (err == 0 && opts->durability != WAL_NONE)
		err = make_segment(wal, seq, first_lsn, &wal->salt, &wal->kept_to);
	wal_writer_left(wal);
	if (err != 0) {
		wal_free(wal);
		return err;
	}
	*wal_out = wal;
	return 0;
}

void wal_free(struct wal *wal)
{
	if (wal == NULL)
		return;
	(void)pthread_cond_destroy(&wal->synced[0]); /* nobody waits any more */
	(void)pthread_cond_destroy(&wal->synced[1]);
	(void)pthread_mutex_destroy(&wal->lock);
	mem_free(wal->kept);
	mem_free(wal->buf);
	mem_free(wal);
}

int wal_prepare(struct wal *wal)
{
	struct store_io *io = wal->opts.io;
	uint64_t seq = wal->next_seq;
	int err = wal_writer_check(wal);

	if (err != 0 || wal->ready_seq != 0)
		return err;
	/* Left over when an earlier attempt ended before its seal: invariant 3 knows one old segment. */
	if (wal->old_seq != 0)
		err = wal_sync(wal, wal->old_lsn);
	if (err != 0)
		return err;
	wal->next_seq++;
	if (wal->opts.durability != WAL_NONE)
		err = make_segment(wal, seq, 0, &wal->ready_salt, &wal->ready_kept_to);
	if (err == 0)
		wal->ready_seq = seq;
	else if (err == ERR_FULL)
		(void)io->ops->log_remove(io, seq); /* a rest is harmless: the number is not used */
	else if (err == ERR_IO || err == ERR_UNKNOWN)
		wal_writer_poison(wal, err);
	return err;
}

void wal_switch(struct wal *wal, uint64_t *lsn_out, uint64_t *seq_out)
{
	assert(wal->ready_seq != 0);
	(void)pthread_mutex_lock(&wal->lock);
	wal->old_seq = wal->seq;
	wal->old_lsn = wal->last_lsn;
	wal->old_hash = wal->last_hash;
	wal->seq = wal->ready_seq;
	wal->salt = wal->ready_salt;
	wal->kept_to = wal->ready_kept_to;
	wal_writer_left(wal);
	wal->offset = FORMAT_RECORDS_AT;
	wal->ready_seq = 0;
	*lsn_out = wal->old_lsn;
	*seq_out = wal->seq;
	(void)pthread_mutex_unlock(&wal->lock);
}

int wal_seal(struct wal *wal)
{
	struct store_io *io = wal->opts.io;
	uint8_t block[FORMAT_BLOCK];
	int err = wal_writer_check(wal);

	if (err != 0 || wal->opts.durability == WAL_NONE || wal->old_seq == 0)
		return err;
	err = wal_sync(wal, wal->old_lsn);
	if (err != 0)
		return err;
	wal_format_put_proof(block, wal->seq, wal->old_lsn, wal->old_hash);
	err = io->ops->log_write(io, wal->seq, FORMAT_BLOCK, block, sizeof(block));
	if (err != 0 && !wal_writer_survives(err))
		wal_writer_poison(wal, err);
	/* what the old segment kept for deletions is free again; if not, then when it is removed */
	if (err == 0 && wal->opts.room != 0)
		(void)io->ops->log_reserve(io, wal->old_seq, 0);
	return err;
}

/* The oldest segment below seq and below the current one; 0 when there is none. */
static uint64_t oldest_below(struct wal *wal, uint64_t seq)
{
	uint64_t oldest = 0;

	(void)pthread_mutex_lock(&wal->lock);
	if (wal->n_kept > 0 && wal->kept[0].seq < seq && wal->kept[0].seq < wal->seq)
		oldest = wal->kept[0].seq;
	(void)pthread_mutex_unlock(&wal->lock);
	return oldest;
}

int wal_remove_below(struct wal *wal, uint64_t seq)
{
	struct store_io *io = wal->opts.io;
	uint64_t oldest;
	int err = wal_writer_check(wal);

	/* A sync must never meet a segment that is gone. */
	if (err == 0 && wal->old_seq != 0 && wal->old_seq < seq)
		err = wal_sync(wal, wal->old_lsn);
	while (err == 0 && (oldest = oldest_below(wal, seq)) != 0) {
		err = io->ops->log_remove(io, oldest);
		if (err != 0)
			break;
		(void)pthread_mutex_lock(&wal->lock);
		wal->bytes -= wal->kept[0].bytes;
		wal->n_kept--;
		memmove(wal->kept, wal->kept + 1, wal->n_kept * sizeof(*wal->kept));
		(void)pthread_mutex_unlock(&wal->lock);
	}
	return err;
}

/* --- state --- */

void wal_get_stats(struct wal *wal, struct wal_stats *stats_out)
{
	(void)pthread_mutex_lock(&wal->lock);
	*stats_out = (struct wal_stats){
		.last_lsn = wal->last_lsn,
		.durable_lsn = wal->durable_lsn,
		.bytes = wal->bytes,
		.syncs = wal->syncs,
		.appends = wal->appends,
		.current_seq = wal->seq,
		.oldest_seq = wal->n_kept > 0 ? wal->kept[0].seq : wal->seq,
		.poisoned = wal->poisoned,
	};
	(void)pthread_mutex_unlock(&wal->lock);
}

void wal_poison(struct wal *wal)
{
	wal_writer_poison(wal, ERR_READONLY);
}
