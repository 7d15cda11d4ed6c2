/*
 * salvage_log.c - what the log did after a checkpoint, by id, without the checkpoint at hand.
 *
 * Records are applied to nodes, one for each id that the log names. A node starts as "what the
 * checkpoint has under this id", and contents move between nodes as records say. So the ids of the
 * checkpoint, which may be many more than fit in memory, can pass by afterwards, one at a time, and
 * each finds out where its content went (node->to).
 *
 * Invariants: if a node has content SALVAGE_BASE, nodes[node->from].to is that node. If its xattrs_from
 * is not SALVAGE_NONE, nodes[node->xattrs_from].xattrs_to is that node.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base.h"
#include "store/mem.h"
#include "store/salvage_private.h"

#define TABLE_MIN 64u

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
						   .to = number,
						   .xattrs_from = number,
						   .xattrs_to = number};
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

/* --- extended attributes --- */

static void drop_xattrs(struct salvage_log *log, struct salvage_node *node)
{
	if (node->xattrs_from != SALVAGE_NONE)
		log->nodes[node->xattrs_from].xattrs_to = SALVAGE_NONE;
	node->xattrs_from = SALVAGE_NONE;
	node->xattrs_len = 0;
}

static int own_xattrs(struct salvage_log *log, uint32_t number, const struct xattrs *xattrs)
{
	struct salvage_node *node = &log->nodes[number];
	int err = mem_grow((void **)&log->xattrs, &log->xattrs_cap, log->xattrs_used + xattrs->len,
			   1);

	if (err != 0)
		return err;
	drop_xattrs(log, node);
	node->xattrs_at = log->xattrs_used;
	node->xattrs_len = xattrs->len;
	if (xattrs->len > 0)
		memcpy(log->xattrs + log->xattrs_used, xattrs->bytes, xattrs->len);
	log->xattrs_used += xattrs->len;
	return 0;
}

static void swap_xattrs(struct salvage_log *log, uint32_t a_number, uint32_t b_number)
{
	struct salvage_node *a = &log->nodes[a_number], *b = &log->nodes[b_number], was = *a;

	a->xattrs_from = b->xattrs_from;
	a->xattrs_at = b->xattrs_at;
	a->xattrs_len = b->xattrs_len;
	b->xattrs_from = was.xattrs_from;
	b->xattrs_at = was.xattrs_at;
	b->xattrs_len = was.xattrs_len;
	if (a->xattrs_from != SALVAGE_NONE)
		log->nodes[a->xattrs_from].xattrs_to = a_number;
	if (b->xattrs_from != SALVAGE_NONE)
		log->nodes[b->xattrs_from].xattrs_to = b_number;
}

int salvage_log_keep_xattrs(struct salvage_log *log, const struct salvage_node *node,
			    const struct xattrs *xattrs)
{
	return node->xattrs_to == SALVAGE_NONE ? 0 : own_xattrs(log, node->xattrs_to, xattrs);
}

struct xattrs salvage_log_xattrs(const struct salvage_log *log, const struct salvage_node *node)
{
	if (node->xattrs_from != SALVAGE_NONE || node->xattrs_len == 0)
		return (struct xattrs){NULL, 0};
	return (struct xattrs){log->xattrs + node->xattrs_at, node->xattrs_len};
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

static int apply_xattrs(struct salvage_log *log, uint32_t number, const struct wal_record *record)
{
	struct salvage_node *node = &log->nodes[number];
	struct xattrs xattrs;

	if (!salvage_read_xattrs(record, &xattrs)) {
		log->contradictions++;
		return 0;
	}
	if (node->content == SALVAGE_GONE) {
		node->content = SALVAGE_LOST;
		log->contradictions++;
	}
	return own_xattrs(log, number, &xattrs);
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
		drop_xattrs(log, &log->nodes[numbers[0]]);
	} else if (record->type == FORMAT_SETATTR) {
		apply_attr(log, numbers[0], record);
	} else if (record->type == FORMAT_SETXATTR) {
		err = apply_xattrs(log, numbers[0], record);
	} else if (record->type == FORMAT_RENAME && numbers[0] != numbers[1]) {
		if (get_u32(((const struct format_rename *)record->payload)->flags) == 1) {
			exchange(log, numbers[0], numbers[1]);
		} else {
			displace(log, &log->nodes[numbers[1]]);
			drop_xattrs(log, &log->nodes[numbers[1]]);
			move(log, numbers[0], numbers[1]);
		}
		swap_xattrs(log, numbers[0], numbers[1]);
	}
	return err;
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
	mem_free(log->xattrs);
	mem_free(log->puts);
	memset(log, 0, sizeof(*log));
}
