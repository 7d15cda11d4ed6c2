/*
 * load.c - makes the index of a collection when its dimension is known.
 *
 * What a slot becomes at opening, by its state in the store and whether the published graph held it:
 *
 *	live, held, not younger than the graph: LINKED
 *	live, held, younger:                    pending; the node is that of a vector that died, a
 *	                                        tombstone until index_link repairs around it
 *	live otherwise:                         pending
 *	dead, held:                             tombstone, to be repaired and swept
 *	free, held:                             dead again: it was repaired around and released after
 *	                                        the graph was published, of which nothing is left
 *	dead otherwise, free otherwise:         released, free
 */
#include "ann/load.h"

#include <string.h>

#include "ann/persist.h"
#include "ann/recode.h"
#include "store/mem.h"

#define CODE_BITS_DEFAULT 4u
#define LOAD_TABLE_BYTES 6u /* of a slot, beside its code: states, bits, the pending set */
#define LOAD_SLOTS 65536u   /* slots whose states are read in one go */

/* Whether codes of so many bits, and the tables beside them, fit the room for them. */
static bool fit(const struct ann *ann, uint32_t dim, uint32_t bits, uint64_t room)
{
	uint64_t vectors = store_slots(ann->store);

	if (vectors < ann->opts.expected)
		vectors = ann->opts.expected;
	return room == 0 || vectors * (quant_code_bytes(dim, bits) + LOAD_TABLE_BYTES) <= room;
}

/*
 * The bits asked for. Else those of the graph there is, as long as they fit and no more of them would
 * fit easily; else the most that fit.
 */
static uint32_t code_bits_of(const struct ann *ann, uint32_t dim, uint32_t stored)
{
	static const uint32_t choice[] = {CODE_BITS_DEFAULT, 2, 1};
	const size_t n = sizeof(choice) / sizeof(*choice);
	uint64_t room = ann->opts.code_room;
	size_t i = 0;

	if (ann->opts.code_bits != 0)
		return ann->opts.code_bits;
	if (stored != 0 && fit(ann, dim, stored, room)) {
		while (i < n && choice[i] > stored && !fit(ann, dim, choice[i], room / 2))
			i++;
		return i < n && choice[i] > stored ? choice[i] : stored;
	}
	while (i < n - 1 && !fit(ann, dim, choice[i], room))
		i++;
	return choice[i];
}

static int set_up(struct ann *ann, uint32_t dim, uint32_t code_bits)
{
	return index_set_up(&ann->index, ann->metric, dim, code_bits, ann->opts.effort);
}

int load_fresh(struct ann *ann, uint32_t dim)
{
	return set_up(ann, dim, code_bits_of(ann, dim, 0));
}

/*
 * Takes the published graph into the index, with the bits that this was set up for. Where codes of those
 * cannot be made, because a vector cannot be read, the graph keeps its own: without a code near its place
 * the vector would be passed over, now and after the damage is gone.
 */
static int take_graph(struct ann *ann, uint32_t dim, const struct persist_head *head,
		      uint8_t **bitmap_out, struct err_msg *note_out, struct err_msg *why)
{
	int err = persist_load(&ann->index, head, bitmap_out, why);

	if (err != 0 || head->code_bits == ann->index.quant.bits)
		return err;
	err = recode(&ann->index, ann->workers, *bitmap_out, head->slots);
	if (err == 0 || err == ERR_NOMEM)
		return err;
	(void)err_set(note_out, 0,
		      "codes keep %u bits a dimension, not %u: a vector cannot be read (%s); run "
		      "vecfs check",
		      head->code_bits, ann->index.quant.bits, err_str(err));
	mem_free(*bitmap_out);
	*bitmap_out = NULL;
	index_tear_down(&ann->index);
	err = set_up(ann, dim, head->code_bits);
	return err == 0 ? persist_load(&ann->index, head, bitmap_out, why) : err;
}

/*
 * Sets up the index and takes the published graph into it. *bitmap_out: the slots it held, NULL when
 * there is none or it cannot be used; then it is forgotten, with a note.
 */
static int load_graph(struct ann *ann, uint32_t dim, struct persist_head *head,
		      uint8_t **bitmap_out, struct err_msg *note_out)
{
	struct err_msg why = {""};
	int graph_err = persist_read_head(ann->store, head, &why);
	int err = graph_err == ERR_NOMEM ?
			  graph_err :
			  set_up(ann, dim,
				 code_bits_of(ann, dim, graph_err == 0 ? head->code_bits : 0));

	*bitmap_out = NULL;
	if (err != 0 || graph_err == ERR_ABSENT)
		return err;
	if (graph_err == 0)
		graph_err = take_graph(ann, dim, head, bitmap_out, note_out, &why);
	if (graph_err == 0 || graph_err == ERR_NOMEM)
		return graph_err;
	(void)err_set(note_out, 0, "the graph is built anew, all vectors are there: %s", why.text);
	/* The codes may be half read: start from clean ones. */
	index_tear_down(&ann->index);
	err = load_fresh(ann, dim);
	if (err == 0 && !ann->read_only)
		err = store_graph_reset(ann->store);
	return err;
}

static bool held(const uint8_t *bitmap, const struct persist_head *head, uint32_t slot)
{
	return bitmap != NULL && slot < head->slots && (bitmap[slot / 8] >> slot % 8 & 1) != 0;
}

/*
 * A free slot that the published graph leads to. One that cannot be had back leaves the graph as it is.
 * The caller is in the read section, which is left meanwhile.
 */
static int reclaim(struct ann *ann, uint32_t slot, bool *in_graph)
{
	int err;

	if (ann->read_only)
		return 0; /* nobody takes it */
	store_read_end(ann->store);
	err = store_slot_reclaim(ann->store, slot);
	store_read_begin(ann->store);
	if (err != ERR_INVALID)
		return err;
	*in_graph = false;
	return 0;
}

/* Enters slots first ... end - 1 as they are in the store and were in the published graph. */
static int load_slots(struct ann *ann, uint32_t first, uint32_t end,
		      const struct persist_head *head, const uint8_t *bitmap)
{
	uint64_t graph_lsn = store_graph_lsn(ann->store);
	int err = pending_begin(&ann->pending, first, 0, end - first);

	if (err != 0)
		return err;
	store_read_begin(ann->store);
	for (uint32_t slot = first; slot < end && err == 0; slot++) {
		bool in_graph = held(bitmap, head, slot), linked = false;
		enum store_slot_state state = STORE_SLOT_FREE;
		uint64_t lsn = 0;

		err = store_slot(ann->store, slot, &state, &lsn);
		if (err == 0 && state == STORE_SLOT_FREE && in_graph)
			err = reclaim(ann, slot, &in_graph);
		if (err != 0 || (state == STORE_SLOT_FREE && !in_graph))
			continue;
		pending_set_lsn(&ann->pending, lsn);
		if (state == STORE_SLOT_LIVE) {
			linked = in_graph && lsn <= graph_lsn;
			pending_load_live(&ann->pending, slot, linked);
		} else {
			pending_load_dead(&ann->pending, slot, in_graph);
		}
		if (in_graph) {
			graph_state_set(&ann->index.states, slot,
					linked ? GRAPH_LINKED : GRAPH_TOMBSTONE);
			atomic_fetch_add(&ann->index.linked, 1);
		}
	}
	store_read_end(ann->store);
	pending_end(&ann->pending, end - first);
	return err;
}

int load_index(struct ann *ann, uint32_t dim, struct err_msg *note_out)
{
	struct persist_head head;
	uint8_t *bitmap = NULL;
	uint32_t slots = store_slots(ann->store);
	int err = load_graph(ann, dim, &head, &bitmap, note_out);

	for (uint32_t first = 0; err == 0 && first < slots; first += LOAD_SLOTS) {
		err = load_slots(ann, first,
				 slots - first < LOAD_SLOTS ? slots : first + LOAD_SLOTS, &head,
				 bitmap);
		if (slots - first < LOAD_SLOTS)
			break;
	}
	mem_free(bitmap);
	if (err == 0 && atomic_load(&ann->index.linked) > 0)
		graph_choose_entries(&ann->index.graph, slots);
	return err;
}

uint32_t ann_stored_bits(struct store *store)
{
	struct persist_head head;

	return persist_read_head(store, &head, NULL) == 0 ? head.code_bits : 0;
}
