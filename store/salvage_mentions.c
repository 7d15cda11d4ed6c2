/*
 * salvage_mentions.c - payloads of records, and a list of all ids in them with their places.
 *
 * Records that the checkpoint contains are in it, too: they name slots whose names are lost, and hold
 * values whose pages are.
 *
 * Invariant: mentions ascend by LSN.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/salvage_private.h"

uint64_t salvage_log_hash(const struct salvage_log *log, const char *id, size_t len)
{
	return XXH3_64bits_withSeed(id, len, log->id_seed);
}

/* --- payloads --- */

static bool id_fits(uint64_t len)
{
	return len > 0 && len <= FORMAT_ID_MAX;
}

unsigned salvage_read_ids(uint8_t type, const uint8_t *payload, size_t len, const char *ids_out[2],
			  size_t lens_out[2])
{
	size_t at = 0, first = 0, second = 0;

	if (type == FORMAT_PUT && len >= sizeof(struct format_put)) {
		at = sizeof(struct format_put);
		first = get_u32(((const struct format_put *)payload)->id_length);
	} else if (type == FORMAT_DELETE) {
		first = len;
	} else if (type == FORMAT_RENAME && len >= sizeof(struct format_rename)) {
		at = sizeof(struct format_rename);
		first = get_u16(((const struct format_rename *)payload)->from_length);
		second = get_u16(((const struct format_rename *)payload)->to_length);
		if (!id_fits(second))
			return 0;
	} else if (type == FORMAT_SETATTR && len >= sizeof(struct format_setattr)) {
		at = sizeof(struct format_setattr);
		first = get_u32(((const struct format_setattr *)payload)->id_length);
	} else if (type == FORMAT_SETXATTR && len >= sizeof(struct format_setxattr)) {
		at = sizeof(struct format_setxattr);
		first = get_u32(((const struct format_setxattr *)payload)->id_length);
	}
	if (!id_fits(first) || at + first + second > len)
		return 0;
	ids_out[0] = (const char *)payload + at;
	lens_out[0] = first;
	if (second == 0)
		return 1;
	ids_out[1] = ids_out[0] + first;
	lens_out[1] = second;
	return 2;
}

bool salvage_read_put(const struct wal_record *record, struct store_entry *entry_out,
		      const uint8_t **value_out, uint32_t *size_out)
{
	const struct format_put *put = (const struct format_put *)record->payload;
	const char *ids[2];
	size_t lens[2];

	memset(entry_out, 0, sizeof(*entry_out));
	if (record->type != FORMAT_PUT ||
	    salvage_read_ids(record->type, record->payload, record->length, ids, lens) != 1)
		return false;
	*size_out = get_u32(put->value_size);
	*value_out = record->payload + sizeof(*put) + round_up(lens[0], 8);
	if (*size_out == 0 || *size_out > FORMAT_VALUE_MAX || *size_out % 4 != 0 ||
	    record->length != sizeof(*put) + round_up(lens[0], 8) + *size_out)
		return false;
	entry_out->ino = get_u64(put->ino);
	entry_out->lsn = record->lsn;
	entry_out->slot = get_u32(put->slot);
	entry_out->attr.mtime_ns = (int64_t)get_u64(put->mtime_ns);
	entry_out->attr.mode = get_u32(put->mode);
	entry_out->attr.uid = get_u32(put->uid);
	entry_out->attr.gid = get_u32(put->gid);
	entry_out->id_len = (uint16_t)lens[0];
	memcpy(entry_out->id, ids[0], lens[0]);
	return true;
}

bool salvage_read_xattrs(const struct wal_record *record, struct xattrs *xattrs_out)
{
	const struct format_setxattr *head = (const struct format_setxattr *)record->payload;
	const char *ids[2];
	size_t lens[2];

	if (record->type != FORMAT_SETXATTR ||
	    salvage_read_ids(record->type, record->payload, record->length, ids, lens) != 1)
		return false;
	xattrs_out->bytes = (const uint8_t *)ids[0] + lens[0];
	xattrs_out->len = get_u32(head->list_length);
	return xattrs_out->len <= XATTRS_BYTES_MAX &&
	       record->length == sizeof(*head) + lens[0] + xattrs_out->len &&
	       xattr_valid(xattrs_out->bytes, xattrs_out->len);
}

/* --- mentions --- */

int salvage_log_mention(struct salvage_log *log, const struct wal_record *record)
{
	const char *ids[2];
	size_t lens[2];
	struct store_entry entry;
	const uint8_t *value;
	uint32_t size;
	unsigned n = salvage_read_ids(record->type, record->payload, record->length, ids, lens);
	int err = 0;

	log->has_xattrs |= record->type == FORMAT_SETXATTR;
	if (log->value_size == 0 && salvage_read_put(record, &entry, &value, &size))
		log->value_size = size;
	/* a record without ids is noted too: its LSN was met */
	for (unsigned i = 0; err == 0 && (i < n || i == 0); i++) {
		err = mem_grow((void **)&log->mentions, &log->cap_mentions, log->n_mentions + 1,
			       sizeof(*log->mentions));
		if (err == 0)
			log->mentions[log->n_mentions++] = (struct salvage_mention){
				.lsn = record->lsn,
				.seq = record->seq,
				.offset = record->offset,
				.hash = i < n ? salvage_log_hash(log, ids[i], lens[i]) : 0,
				.type = n > 0 ? record->type : FORMAT_SYNC,
				.which = (uint8_t)i};
	}
	return err;
}

struct sorted {
	uint64_t hash;
	uint32_t number;
};

static int by_hash(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

int salvage_log_sort(struct salvage_log *log)
{
	struct sorted *sorted;

	if (log->n_mentions >= UINT32_MAX)
		return ERR_NOMEM;
	sorted = mem_alloc((log->n_mentions + 1) * sizeof(*sorted));
	log->by_hash = mem_alloc((log->n_mentions + 1) * sizeof(*log->by_hash));
	if (sorted == NULL || log->by_hash == NULL) {
		mem_free(sorted);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < log->n_mentions; i++)
		sorted[i] = (struct sorted){log->mentions[i].hash, (uint32_t)i};
	if (log->n_mentions > 1)
		qsort(sorted, log->n_mentions, sizeof(*sorted), by_hash);
	for (size_t i = 0; i < log->n_mentions; i++)
		log->by_hash[i] = sorted[i].number;
	mem_free(sorted);
	return 0;
}

/* The first mention with an LSN of at least lsn. */
static size_t first_from(const struct salvage_log *log, uint64_t lsn)
{
	size_t low = 0, high = log->n_mentions;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (log->mentions[middle].lsn < lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first place in by_hash with a hash of at least hash. */
static size_t first_hash(const struct salvage_log *log, uint64_t hash)
{
	size_t low = 0, high = log->n_mentions;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (log->mentions[log->by_hash[middle]].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool salvage_log_covers(const struct salvage_log *log, uint64_t from, uint64_t to)
{
	size_t i = first_from(log, from);

	for (uint64_t lsn = from; lsn <= to; lsn++) {
		if (i >= log->n_mentions || log->mentions[i].lsn != lsn)
			return false;
		while (i < log->n_mentions && log->mentions[i].lsn == lsn)
			i++;
	}
	return true;
}

/* Whether the records of a segment cannot be verified. */
static bool is_unverified(const struct wal_salvage *wal, uint64_t seq)
{
	size_t n = 0, i = 0;
	const struct wal_salvage_segment *segments = wal_salvage_segments(wal, &n);

	while (i < n && segments[i].seq != seq)
		i++;
	return i < n && segments[i].unverified;
}

static int read_mentioned(struct salvage_log *log, size_t i, struct wal_record *record_out)
{
	const struct salvage_mention *mention = &log->mentions[i];
	int err = wal_salvage_read(log->wal, mention->seq, mention->offset, record_out);

	if (err == 0 && record_out->lsn != mention->lsn)
		err = ERR_DAMAGED;
	log->trusted = log->trusted || (err == 0 && is_unverified(log->wal, mention->seq));
	return err;
}

int salvage_log_put(struct salvage_log *log, uint64_t lsn, struct wal_record *record_out)
{
	size_t i = first_from(log, lsn);

	if (i >= log->n_mentions || log->mentions[i].lsn != lsn ||
	    log->mentions[i].type != FORMAT_PUT)
		return ERR_ABSENT;
	return read_mentioned(log, i, record_out);
}

int salvage_log_name(struct salvage_log *log, uint64_t hash, char id_out[FORMAT_ID_MAX + 1],
		     size_t *len_out)
{
	for (size_t i = first_hash(log, hash); i < log->n_mentions; i++) {
		const struct salvage_mention *mention = &log->mentions[log->by_hash[i]];
		struct wal_record record;
		const char *ids[2];
		size_t lens[2];
		int err;

		if (mention->hash != hash)
			break;
		err = mention->type == FORMAT_SYNC ? ERR_DAMAGED :
						     read_mentioned(log, log->by_hash[i], &record);
		if (err == ERR_NOMEM)
			return err;
		if (err != 0 || salvage_read_ids(record.type, record.payload, record.length, ids,
						 lens) <= mention->which)
			continue;
		*len_out = lens[mention->which];
		memcpy(id_out, ids[mention->which], *len_out);
		id_out[*len_out] = '\0';
		return 0;
	}
	return ERR_ABSENT;
}

int salvage_log_older(struct salvage_log *log, const char *id, size_t len, uint64_t below,
		      struct wal_record *record_out)
{
	const uint64_t hash = salvage_log_hash(log, id, len);
	uint64_t best = 0;

	for (size_t i = first_hash(log, hash); i < log->n_mentions; i++) {
		const struct salvage_mention *mention = &log->mentions[log->by_hash[i]];
		struct store_entry entry;
		const uint8_t *value;
		uint32_t size;
		int err;

		if (mention->hash != hash || mention->lsn >= below)
			break;
		if (mention->type != FORMAT_PUT)
			continue;
		err = read_mentioned(log, log->by_hash[i], record_out);
		if (err == ERR_NOMEM)
			return err;
		if (err == 0 && salvage_read_put(record_out, &entry, &value, &size) &&
		    entry.id_len == len && memcmp(entry.id, id, len) == 0)
			best = mention->lsn;
	}
	return best != 0 ? salvage_log_put(log, best, record_out) : ERR_ABSENT;
}
