/* head.c - reading and writing the static header and the commit slots. */
#include "store/head.h"

#include <string.h>
#include <xxhash.h>

#include "store/base.h"

void head_encode(const struct head *head, struct format_header *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->magic, FORMAT_HEADER_MAGIC, 8);
	put_u32(out->version, FORMAT_VERSION);
	put_u32(out->page_size, head->page_size);
	memcpy(out->uuid, head->uuid, 16);
	put_u32(out->kind, head->kind);
	put_u32(out->value_size, head->value_size);
	put_u64(out->id_seed, head->id_seed);
	put_u64(out->kind_seed, head->kind_seed);
	put_u32(out->shards, 1);
	put_u64(out->checksum, XXH3_64bits(out, offsetof(struct format_header, checksum)));
}

int head_refuse_version(const char *name, uint32_t version, struct err_msg *msg)
{
	return err_set(msg, ERR_FORMAT,
		       "%s has format version %u, this program reads version %u; use the "
		       "vecfs that wrote it",
		       name, (unsigned)version, FORMAT_VERSION);
}

int head_decode(const struct format_header *in, const char *name, struct head *head_out,
		struct err_msg *msg)
{
	memset(head_out, 0, sizeof(*head_out));
	if (memcmp(in->magic, FORMAT_HEADER_MAGIC, 8) != 0)
		return err_set(
			msg, ERR_FORMAT,
			"%s is not a vecfs store; give the path of one, or of a file that does "
			"not exist yet to make one",
			name);
	if (get_u32(in->version) != FORMAT_VERSION)
		return head_refuse_version(name, get_u32(in->version), msg);
	if (get_u64(in->checksum) != XXH3_64bits(in, offsetof(struct format_header, checksum)))
		return err_set(msg, ERR_DAMAGED,
			       "%s: the header is damaged (checksum); restore the file from a copy",
			       name);
	memcpy(head_out->uuid, in->uuid, 16);
	head_out->page_size = get_u32(in->page_size);
	head_out->value_size = get_u32(in->value_size);
	head_out->kind = get_u32(in->kind);
	head_out->id_seed = get_u64(in->id_seed);
	head_out->kind_seed = get_u64(in->kind_seed);
	if (!is_power_of_two(head_out->page_size) || head_out->page_size < FORMAT_PAGE_MIN ||
	    head_out->page_size > FORMAT_PAGE_MAX || head_out->value_size > FORMAT_VALUE_MAX ||
	    head_out->value_size % 4 != 0)
		return err_set(msg, ERR_FORMAT, "%s: the header names impossible sizes", name);
	if (get_u32(in->shard) != 0 || get_u32(in->shards) != 1)
		return err_set(msg, ERR_FORMAT, "%s is a shard of a larger store", name);
	return 0;
}

void head_encode_slot(const struct head *head, const struct head_slot *slot,
		      struct format_slot *out)
{
	XXH128_hash_t hash;

	memset(out, 0, sizeof(*out));
	memcpy(out->magic, FORMAT_SLOT_MAGIC, 8);
	put_u32(out->version, FORMAT_VERSION);
	put_u32(out->number, slot->generation & 1);
	memcpy(out->uuid, head->uuid, 16);
	put_u64(out->generation, slot->generation);
	put_u32(out->epoch, slot->epoch);
	put_u32(out->flags, slot->clean ? FORMAT_SLOT_CLEAN : 0);
	put_u32(out->page_size, head->page_size);
	put_u32(out->kind, head->kind);
	put_u32(out->value_size, slot->value_size);
	put_u32(out->dir_depth, slot->dir_depth);
	put_u64(out->ckpt_lsn, slot->ckpt_lsn);
	put_u64(out->graph_lsn, slot->graph_lsn);
	put_u64(out->first_segment, slot->first_segment);
	put_u64(out->blocks, slot->blocks);
	put_u64(out->live, slot->live);
	put_u64(out->dead, slot->dead);
	put_u64(out->slots, slot->slots);
	put_u64(out->next_ino, slot->next_ino);
	put_u32(out->buckets, slot->buckets);
	put_u64(out->free_place, slot->free_place);
	put_u64(out->free_checksum, slot->free_checksum);
	put_u64(out->free_blocks, slot->free_blocks);
	memcpy(out->roots, slot->roots, sizeof(out->roots));
	hash = XXH3_128bits(out, offsetof(struct format_slot, checksum));
	put_u64(out->checksum, hash.low64);
	put_u64(out->checksum + 8, hash.high64);
}

int head_decode_slot(const struct head *head, const struct format_slot *in,
		     struct head_slot *slot_out)
{
	XXH128_hash_t hash = XXH3_128bits(in, offsetof(struct format_slot, checksum));

	memset(slot_out, 0, sizeof(*slot_out));
	if (all_zero(in, sizeof(*in)))
		return ERR_ABSENT;
	if (memcmp(in->magic, FORMAT_SLOT_MAGIC, 8) != 0 || get_u64(in->checksum) != hash.low64 ||
	    get_u64(in->checksum + 8) != hash.high64)
		return ERR_DAMAGED;
	slot_out->generation = get_u64(in->generation);
	slot_out->epoch = get_u32(in->epoch);
	slot_out->clean = (get_u32(in->flags) & FORMAT_SLOT_CLEAN) != 0;
	slot_out->value_size = get_u32(in->value_size);
	slot_out->dir_depth = get_u32(in->dir_depth);
	slot_out->buckets = get_u32(in->buckets);
	slot_out->ckpt_lsn = get_u64(in->ckpt_lsn);
	slot_out->graph_lsn = get_u64(in->graph_lsn);
	slot_out->first_segment = get_u64(in->first_segment);
	slot_out->blocks = get_u64(in->blocks);
	slot_out->live = get_u64(in->live);
	slot_out->dead = get_u64(in->dead);
	slot_out->slots = get_u64(in->slots);
	slot_out->next_ino = get_u64(in->next_ino);
	slot_out->free_place = get_u64(in->free_place);
	slot_out->free_checksum = get_u64(in->free_checksum);
	slot_out->free_blocks = get_u64(in->free_blocks);
	memcpy(slot_out->roots, in->roots, sizeof(slot_out->roots));
	if (get_u32(in->version) != FORMAT_VERSION || memcmp(in->uuid, head->uuid, 16) != 0 ||
	    get_u32(in->page_size) != head->page_size || get_u32(in->kind) != head->kind ||
	    get_u32(in->number) != (slot_out->generation & 1) ||
	    slot_out->value_size > FORMAT_VALUE_MAX || slot_out->value_size % 4 != 0 ||
	    (head->value_size != 0 && slot_out->value_size != head->value_size) ||
	    (slot_out->value_size == 0 && slot_out->slots > 0) ||
	    slot_out->slots > UINT32_MAX - 1 || slot_out->live > slot_out->slots ||
	    slot_out->dead > slot_out->slots || slot_out->ckpt_lsn < slot_out->graph_lsn ||
	    slot_out->ckpt_lsn > FORMAT_COUNT_MAX || slot_out->generation > FORMAT_COUNT_MAX ||
	    slot_out->first_segment > FORMAT_COUNT_MAX)
		return ERR_DAMAGED;
	return 0;
}

int head_read(struct store_io *io, struct head *head_out, struct head_slot slots_out[2],
	      unsigned *n_out, bool *bad_out, struct err_msg *msg)
{
	const char *name = io->ops->name(io);
	struct format_header header;
	struct format_slot block;
	struct head_slot slot;
	int err;

	*n_out = 0;
	*bad_out = false;
	err = io->ops->read(io, FORMAT_HEADER_AT, &header, sizeof(header));
	if (err == ERR_DAMAGED)
		return err_set(msg, ERR_FORMAT,
			       "%s is too short to be a vecfs store; give the path of one", name);
	if (err != 0)
		return err_set(msg, err, "%s cannot be read: %s", name, err_str(err));
	err = head_decode(&header, name, head_out, msg);
	if (err != 0)
		return err;
	for (unsigned i = 0; i < 2; i++) {
		err = io->ops->read(io, FORMAT_SLOT_AT + i * FORMAT_BLOCK, &block, sizeof(block));
		if (err != 0 && err != ERR_DAMAGED && err != ERR_IO)
			return err_set(msg, err, "%s cannot be read: %s", name, err_str(err));
		if (err == 0)
			err = head_decode_slot(head_out, &block, &slot);
		if (err == 0 && (slot.generation & 1) != i)
			err = ERR_DAMAGED;
		if (err == ERR_IO)
			head_out->slot_unreadable = true;
		if (err == ERR_DAMAGED || err == ERR_IO)
			*bad_out = true;
		if (err == 0)
			slots_out[(*n_out)++] = slot;
	}
	/* zeros are right only while there was one generation */
	if (*n_out == 1 && slots_out[0].generation > 1)
		*bad_out = true;
	if (*n_out == 2 && slots_out[1].generation > slots_out[0].generation) {
		slot = slots_out[0];
		slots_out[0] = slots_out[1];
		slots_out[1] = slot;
	}
	if (*n_out == 0 && head_out->slot_unreadable)
		return err_set(
			msg, ERR_IO,
			"%s: no commit slot can be used, and one cannot be read: %s; look at "
			"the disk, or restore the file from a copy",
			name, err_str(ERR_IO));
	if (*n_out == 0)
		return err_set(
			msg, ERR_DAMAGED,
			"%s: both commit slots are damaged or missing; restore the file from a "
			"copy",
			name);
	return 0;
}
