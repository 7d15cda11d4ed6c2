/*
 * salvage_log.c - what the log did after a checkpoint, by id, without the checkpoint at hand.
 *
 * Records are applied to nodes, one for each id that the log names. A node starts as "what the
 * checkpoint has under this id", and contents move between nodes as records say. So the ids of the
 * checkpoint, which may be many more than fit in memory, can pass by afterwards, one at a time, and
 * each finds out where its content went (node->to).
 *
 * Beside that, every id in every record is noted with its place (mentions), also of records that the
 * checkpoint contains: they name slots whose names are lost, and hold values whose pages are.
 *
 * Invariants:
 * 1. mentions ascend by LSN.
 * 2. If a node has content SALVAGE_BASE, nodes[node->from].to is that node.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/salvage_private.h"

#define TABLE_MIN 64u

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

static int read_mentioned(struct salvage_log *log, size_t i, struct wal_record *record_out)
{
	const struct salvage_mention *mention = &log->mentions[i];
	int err = wal_salvage_read(log->wal, mention->seq, mention->offset, record_out);

	if (err == 0 && record_out->lsn != mention->lsn)
		err = ERR_DAMAGED;
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

/* --- nodes --- */

static size_t place_of(const struct salvage_log *log, uint64_t hash)
{
	return (size_t)(hash * 0x9e3779b97f4a7c15u >> 20) & (log->table_size - 1);
}

static int grow_table(struct salvage_log *log)
{
	size_t size = log->table_size == 0 ? TABLE_MIN : log->table_size * 2;
	uint32_t *table = mem_alloc(size * sizeof(*table));

	if (table == NULL)
		return ERR_NOMEM;
	mem_free(log->table);
	log->table = table;
	log->table_size = size;
	for (size_t i = 0; i < size; i++)
		table[i] = SALVAGE_NONE;
	for (size_t i = 0; i < log->n_nodes; i++) {
		uint32_t *place = &table[place_of(log, log->nodes[i].hash)];

		log->nodes[i].next = *place;
		*place = (uint32_t)i;
	}
	return 0;
}

/* id NULL: any with this hash. */
static uint32_t find_node(const struct salvage_log *log, uint64_t hash, const char *id, size_t len)
{
	uint32_t i = log->table_size == 0 ? SALVAGE_NONE : log->table[place_of(log, hash)];

	for (; i != SALVAGE_NONE; i = log->nodes[i].next) {
		const struct salvage_node *node = &log->nodes[i];

		if (node->hash == hash &&
		    (id == NULL ||
		     (node->id_len == len && memcmp(log->names + node->id_at, id, len) == 0)))
			return i;
	}
	return SALVAGE_NONE;
}

static int get_node(struct salvage_log *log, const char *id, size_t len, uint32_t *number_out)
{
	uint64_t hash = salvage_log_hash(log, id, len);
	uint32_t number = find_node(log, hash, id, len), *place;
	int err;

	*number_out = number;
	if (number != SALVAGE_NONE)
		return 0;
	if (log->n_nodes >= SALVAGE_NONE - 1)
		return ERR_NOMEM;
	err = log->n_nodes >= log->table_size ? grow_table(log) : 0;
	if (err == 0)
		err = mem_grow((void **)&log->nodes, &log->cap_nodes, log->n_nodes + 1,
			       sizeof(*log->nodes));
	if (err == 0)
		err = mem_grow((void **)&log->names, &log->names_cap, log->names_len + len, 1);
	if (err != 0)
		return err;
	number = (uint32_t)log->n_nodes++;
	place = &log->table[place_of(log, hash)];
	memcpy(log->names + log->names_len, id, len);
	log->nodes[number] = (struct salvage_node){.hash = hash,
						   .id_at = log->names_len,
						   .id_len = (uint8_t)len,
						   .next = *place,
						   .content = SALVAGE_BASE,
						   .from = number,
						   .to = number};
	log->names_len += len;
	*place = number;
	*number_out = number;
	return 0;
}

struct salvage_node *salvage_log_node(const struct salvage_log *log, const char *id, size_t len)
{
	uint32_t number = find_node(log, salvage_log_hash(log, id, len), id, len);

	return number == SALVAGE_NONE ? NULL : &log->nodes[number];
}

struct salvage_node *salvage_log_node_of_hash(const struct salvage_log *log, uint64_t hash)
{
	uint32_t number = find_node(log, hash, NULL, 0);

	return number == SALVAGE_NONE ? NULL : &log->nodes[number];
}

/* --- applying records --- */

/* What stands under the id goes. */
static void displace(struct salvage_log *log, struct salvage_node *node)
{
	if (node->content == SALVAGE_BASE)
		log->nodes[node->from].to = SALVAGE_NONE;
	node->content = SALVAGE_GONE;
	node->attr_set = false;
}

/* Content and attributes of one become those of the other, which has none. */
static void move(struct salvage_log *log, uint32_t from_number, uint32_t to_number)
{
	struct salvage_node *from = &log->nodes[from_number], *to = &log->nodes[to_number];

	to->content = from->content;
	to->from = from->from;
	to->lsn = from->lsn;
	to->ino = from->ino;
	to->attr = from->attr;
	to->attr_set = from->attr_set;
	to->gaps = from->gaps;
	to->doubtful = from->doubtful || from->gaps < log->gaps;
	if (to->content == SALVAGE_BASE)
		log->nodes[to->from].to = to_number;
	if (to->content == SALVAGE_GONE) { /* there was one: the record that made it is missing */
		to->content = SALVAGE_LOST;
		log->contradictions++;
	}
	from->content = SALVAGE_GONE;
	from->attr_set = false;
}

static void exchange(struct salvage_log *log, uint32_t a_number, uint32_t b_number)
{
	struct salvage_node *a = &log->nodes[a_number], *b = &log->nodes[b_number], was = *a;

	move(log, b_number, a_number);
	b->content = was.content == SALVAGE_GONE ? SALVAGE_LOST : was.content;
	b->from = was.from;
	b->lsn = was.lsn;
	b->ino = was.ino;
	b->attr = was.attr;
	b->attr_set = was.attr_set;
	b->gaps = was.gaps;
	b->doubtful = was.doubtful || was.gaps < log->gaps;
	if (b->content == SALVAGE_BASE)
		log->nodes[b->from].to = b_number;
}

static int apply_put(struct salvage_log *log, const struct wal_record *record)
{
	struct store_entry entry;
	const uint8_t *value;
	uint32_t number, size;
	int err;

	if (!salvage_read_put(record, &entry, &value, &size)) {
		log->contradictions++;
		return 0;
	}
	err = get_node(log, entry.id, entry.id_len, &number);
	if (err != 0)
		return err;
	displace(log, &log->nodes[number]);
	log->nodes[number].content = SALVAGE_PUT;
	log->nodes[number].lsn = record->lsn;
	log->nodes[number].ino = entry.ino;
	log->nodes[number].attr = entry.attr;
	log->nodes[number].attr_set = true;
	log->nodes[number].gaps = log->gaps;
	log->nodes[number].doubtful = false;
	return 0;
}

static void apply_attr(struct salvage_log *log, uint32_t number, const struct wal_record *record)
{
	const struct format_setattr *head = (const struct format_setattr *)record->payload;
	struct salvage_node *node = &log->nodes[number];

	if (node->content == SALVAGE_GONE) {
		node->content = SALVAGE_LOST;
		log->contradictions++;
	}
	node->attr.mtime_ns = (int64_t)get_u64(head->mtime_ns);
	node->attr.mode = get_u32(head->mode);
	node->attr.uid = get_u32(head->uid);
	node->attr.gid = get_u32(head->gid);
	node->attr_set = true;
}

int salvage_log_apply(struct salvage_log *log, const struct wal_record *record)
{
	uint32_t numbers[2] = {SALVAGE_NONE, SALVAGE_NONE};
	const char *ids[2];
	size_t lens[2];
	unsigned n = salvage_read_ids(record->type, record->payload, record->length, ids, lens);
	int err = 0;

	if (record->type == FORMAT_PUT)
		return apply_put(log, record);
	if (record->type == FORMAT_SYNC)
		return 0;
	if (n == 0)
		log->contradictions++;
	for (unsigned i = 0; err == 0 && i < n; i++)
		err = get_node(log, ids[i], lens[i], &numbers[i]);
	if (err != 0 || n == 0)
		return err;
	if (record->type == FORMAT_DELETE) {
		displace(log, &log->nodes[numbers[0]]);
	} else if (record->type == FORMAT_SETATTR) {
		apply_attr(log, numbers[0], record);
	} else if (record->type == FORMAT_RENAME && numbers[0] != numbers[1]) {
		if (get_u32(((const struct format_rename *)record->payload)->flags) == 1) {
			exchange(log, numbers[0], numbers[1]);
		} else {
			displace(log, &log->nodes[numbers[1]]);
			move(log, numbers[0], numbers[1]);
		}
	}
	return 0;
}

struct put {
	uint64_t lsn;
	uint32_t number;
};

static int by_lsn(const void *a, const void *b)
{
	const struct put *x = a, *y = b;

	return (x->lsn > y->lsn) - (x->lsn < y->lsn);
}

int salvage_log_settle(struct salvage_log *log)
{
	struct put *puts = mem_alloc((log->n_nodes + 1) * sizeof(*puts));

	log->puts = mem_alloc((log->n_nodes + 1) * sizeof(*log->puts));
	if (puts == NULL || log->puts == NULL) {
		mem_free(puts);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < log->n_nodes; i++)
		if (log->nodes[i].content == SALVAGE_PUT)
			puts[log->n_puts++] = (struct put){log->nodes[i].lsn, (uint32_t)i};
	if (log->n_puts > 1)
		qsort(puts, log->n_puts, sizeof(*puts), by_lsn);
	for (size_t i = 0; i < log->n_puts; i++)
		log->puts[i] = puts[i].number;
	mem_free(puts);
	return 0;
}

struct salvage_node *salvage_log_owner(const struct salvage_log *log, uint64_t lsn)
{
	size_t low = 0, high = log->n_puts;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (log->nodes[log->puts[middle]].lsn < lsn)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < log->n_puts && log->nodes[log->puts[low]].lsn == lsn)
		return &log->nodes[log->puts[low]];
	return NULL;
}

void salvage_log_release(struct salvage_log *log)
{
	wal_salvage_close(log->wal);
	mem_free(log->mentions);
	mem_free(log->by_hash);
	mem_free(log->nodes);
	mem_free(log->table);
	mem_free(log->names);
	mem_free(log->puts);
	memset(log, 0, sizeof(*log));
}
