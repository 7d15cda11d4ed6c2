/*
 * wal.h - the write-ahead log: append, group commit, segments, and the scan that recovery, check
 * and the wal command share.
 */
#ifndef VECFS_STORE_WAL_H
#define VECFS_STORE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/format.h"
#include "store/io.h"

struct wal;

enum wal_durability {
	WAL_LOG,   /* append only; wal_tick makes it durable within a second */
	WAL_CLOSE, /* the caller waits for wal_sync after each append */
	WAL_NONE,  /* no log at all: only LSNs are counted */
};

struct wal_opts {
	struct store_io *io; /* not owned */
	uint8_t uuid[16];    /* of the store */
	uint32_t epoch;	     /* of this writer */
	enum wal_durability durability;
	uint64_t cap;	  /* bytes of log kept at most before ERR_FULL; 0 = no bound */
	uint64_t reserve; /* part of cap that only wal_append with reserve=true may use */
	/*
	 * Bytes that each segment keeps on the medium behind its end, for the same appends, where the
	 * medium can promise it.
	 */
	uint64_t room;
};

struct wal_part {
	const void *data;
	size_t len;
};

/*
 * Starts logging: makes segment seq (durable) whose first record will have first_lsn. last_hash is
 * the self hash of the record before it, 0 if there is none or it is not known. No segment before
 * seq is changed, but all are synced, so that what recovery read there is durable before a later
 * record says so. From now on anything from first_lsn on in earlier segments is void. seq must be
 * above all that exist (ERR_EXISTS).
 */
int wal_new(struct wal **wal_out, const struct wal_opts *opts, uint64_t seq, uint64_t first_lsn,
	    uint64_t last_hash);
/* Closes without syncing. Accepts NULL. */
void wal_free(struct wal *wal);

/*
 * Writes one record made of the parts, one after the other. On any error the log is as before: the
 * next record overwrites the remains (after ERR_FULL) or the log is poisoned (after ERR_IO and
 * ERR_UNKNOWN: every later call returns ERR_READONLY). Caller holds the commit lock.
 */
int wal_append(struct wal *wal, enum format_record_type type, const struct wal_part *parts,
	       size_t n, bool reserve, uint64_t *lsn_out);

/*
 * The medium has too little room for the current segment: for any append, or (reserve) for appends
 * with reserve soon. A checkpoint would help: it brings a new segment and removes old ones. Any thread.
 */
bool wal_is_tight(struct wal *wal, bool reserve);

/*
 * Waits until lsn is durable, with one sync for all who wait; it may be delayed a little until more
 * of them have come. Any thread, no lock held.
 */
int wal_sync(struct wal *wal, uint64_t lsn);
/* The same for all that was appended before the call. */
int wal_sync_all(struct wal *wal);

/*
 * To be called about every second, without a lock of the caller: syncs what would be older than a
 * second at the next call. After an idle second that followed a sync, *wants_mark_out is set: then
 * append a FORMAT_SYNC record, which carries durable_lsn to the disk.
 */
int wal_tick(struct wal *wal, bool *wants_mark_out);

/* --- segments, called by the checkpoint, which is one at a time --- */

/* C0: makes the next segment ready, durable and empty. No lock. */
int wal_prepare(struct wal *wal);
/*
 * C1: later records go to the prepared segment. Only memory; cannot fail. Under the commit lock.
 * *lsn_out is the last LSN of the old segment, *seq_out the number of the new one.
 */
void wal_switch(struct wal *wal, uint64_t *lsn_out, uint64_t *seq_out);
/* After a checkpoint: the current and the next segment get the room they lack. Under the commit lock. */
void wal_top_up(struct wal *wal);
/* C2: syncs the old segment and then writes the proof block of the new one. No lock. */
int wal_seal(struct wal *wal);
/* C8: removes all segments below seq. No lock. */
int wal_remove_below(struct wal *wal, uint64_t seq);

/* For metrics; any thread. */
struct wal_stats {
	uint64_t last_lsn;
	uint64_t durable_lsn;
	uint64_t bytes; /* of all segments that exist */
	uint64_t syncs; /* fdatasync calls */
	uint64_t appends;
	uint64_t current_seq;
	uint64_t oldest_seq;
	bool poisoned;
};
void wal_get_stats(struct wal *wal, struct wal_stats *stats_out);
/* Marks the log as no longer to be trusted; later appends and syncs return ERR_READONLY. */
void wal_poison(struct wal *wal);

/* --- reading --- */

struct wal_record {
	uint64_t seq, offset;
	uint64_t lsn, durable_lsn;
	uint64_t hash; /* self hash */
	uint32_t epoch;
	uint8_t type;
	const uint8_t *payload; /* valid during the call */
	uint32_t length;
};

/* Return non-zero to stop the scan with that result. */
typedef int (*wal_visit)(void *ctx, const struct wal_record *record);

enum wal_verdict {
	WAL_ENDS_WELL,	  /* last record whole, nothing after it */
	WAL_TORN_TAIL,	  /* remains of one unfinished record: cut */
	WAL_UNSYNCED_CUT, /* later records exist, none was acknowledged durable: cut */
	WAL_DAMAGED,	  /* acknowledged records are damaged or missing */
};

struct wal_segment_report {
	uint64_t seq, bytes, first_lsn, last_lsn, records;
	bool header_ok, proof_ok;
};

struct wal_report {
	enum wal_verdict verdict;
	uint64_t records;   /* visited: all good ones in order */
	uint64_t first_lsn; /* 0 when there is none */
	uint64_t last_lsn;  /* last good one in sequence, or after_lsn when there is none */
	uint64_t last_hash; /* its self hash, 0 when it is not known */
	uint64_t bytes;	    /* of good records */
	uint64_t next_seq;  /* first number that no segment uses */
	uint64_t bad_seq, bad_offset, bad_bytes; /* where it turns bad, what follows */
	uint64_t readable_beyond;		 /* self-valid records after the bad place */
	uint64_t max_beyond_lsn;
	struct wal_segment_report *segments; /* mem_free; n_segments of them, ascending */
	size_t n_segments;
};

struct wal_scan_opts {
	struct store_io *io;
	uint8_t uuid[16];
	/*
	 * First segment needed, or 0: the oldest there is. A segment named here was durable once
	 * (a commit slot names it), so that a bad header in it is damage, not an unfinished file.
	 */
	uint64_t from_seq;
	bool from_may_be_new; /* from_seq was only going to be made: it may be unfinished */
	/*
	 * With from_seq 0: the log of whoever came after a commit slot without a log, with its epoch.
	 * It begins with the first segment of a higher epoch, which starts at after_lsn + 1; what is
	 * older does not count. No such segment: an empty log.
	 */
	bool from_writer;
	uint32_t after_epoch;
	/*
	 * Visit only records above; they must start at after_lsn + 1. With both 0 the log may
	 * start with any LSN.
	 */
	uint64_t after_lsn;
	uint64_t known_lsn; /* an LSN known durable otherwise: by a newer commit slot; or 0 */
	/*
	 * May be NULL. Called with the visitor's ctx before a record is visited, with what may become
	 * the next one, as far as it is in memory: type, payload and length alone are set, no hash was
	 * compared, and nothing may follow from it but that it is soon needed.
	 */
	void (*expect)(void *ctx, const struct wal_record *record);
};

/*
 * Reads the log from from_seq on, verifies it (magic, epoch, chain of hashes, LSNs without gap) and
 * visits each good record above after_lsn in order. At the first bad place it decides by the table
 * in docs/format.md and fills report (release with wal_report_release). Returns 0 when the scan
 * ran, whatever the verdict; ERR_IO when reading failed; ERR_ABSENT when from_seq != 0 is missing,
 * or the first segment of from_writer;
 * ERR_FORMAT when a needed segment belongs to another store; or the visitor's result.
 */
int wal_scan(const struct wal_scan_opts *opts, wal_visit visit, void *ctx,
	     struct wal_report *report, struct err_msg *msg);
void wal_report_release(struct wal_report *report);

/* --- reading what is left of a damaged log --- */

/* A place where a record should be and none is. */
struct wal_hole {
	uint64_t seq, offset;
	uint64_t bytes; /* up to the next good record, or to the end of the segment */
	bool at_end;	/* no good record follows in this segment */
	bool empty;	/* nothing but zeros: the log ended here, or was never written */
	bool refused;	/* the device refused to read some of it, or of what stands before it */
	/*
	 * A head that looks like that of the missing record stands there, and all its bytes would fit
	 * into the segment. What follows is from that head: nothing proves it.
	 */
	bool framed;
	uint8_t type;
	uint64_t lsn;
	uint32_t length;      /* of the payload */
	uint8_t payload[600]; /* its beginning; zeros behind it */
};

/* Called before the record that follows the hole is visited. Non-zero stops as for wal_visit. */
typedef int (*wal_hole_visit)(void *ctx, const struct wal_hole *hole);

struct wal_salvage_segment {
	uint64_t seq, bytes;
	bool header_ok;	 /* its header can be trusted */
	bool foreign;	 /* of another store, or of another version: nothing was read */
	bool unverified; /* its salt is lost: the chain of its records is all that speaks for them */
	bool refused;	 /* the device refused to read parts of it */
	uint64_t begins;  /* LSN of its first record, as its first blocks say or show; 0: unknown */
	uint64_t records; /* visited by the last walk */
};

struct wal_salvage;

/*
 * Opens the segments of a log that may be damaged anywhere, from opts->from_seq on. Nothing that is
 * wrong in them is an error: only ERR_NOMEM, or a failure to list them.
 */
int wal_salvage_open(struct wal_salvage **salvage_out, const struct wal_scan_opts *opts);
void wal_salvage_close(struct wal_salvage *salvage); /* accepts NULL */
/*
 * Visits the records above opts->after_lsn that can be read, with ascending LSNs, good chain or not,
 * without those that a later writer has made void. May be repeated. hole may be NULL.
 */
int wal_salvage_walk(struct wal_salvage *salvage, wal_visit visit, wal_hole_visit hole, void *ctx);
/*
 * Reads a record again at a place where a walk met it. Its payload is valid until the next call.
 * ERR_DAMAGED when it is not there any more.
 */
int wal_salvage_read(struct wal_salvage *salvage, uint64_t seq, uint64_t offset,
		     struct wal_record *record_out);
/* Ascending; valid until wal_salvage_close. */
const struct wal_salvage_segment *wal_salvage_segments(const struct wal_salvage *salvage,
						       size_t *n_out);
/* A walk alone. */
int wal_salvage(const struct wal_scan_opts *opts, wal_visit visit, void *ctx);

#endif
