/*
 * test_damage.c - every bit and byte of stores and their logs is damaged, every block zeroed,
 * exchanged, made old, unreadable, and every file cut.
 *
 * After each damage: opening gives everything or is refused with a sentence; an id has its bytes or
 * an error; the list is whole or an error; whenever anything is an error the check says damage.
 * Allowed is one thing: when the damage lies in the last record of the log and nothing valid follows,
 * that record may be missing, as after a write that was not finished. These cases are counted apart.
 *
 * TORTURE=full looks at all cases, and at a store of about a MiB. SCENE=closed, killed, packed, large or
 * collection looks at that alone, so that hours of it can be shared out. CASE='...' repeats the one
 * that a failure names. timeout: 600 s
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/page.h"
#include "store/store_private.h"
#include "tests/support/fault_collection.h"
#include "tests/support/fault_scenes.h"

#define OBJECTS 12u /* the head, then segments by number */
#define BLOCKS_MAX 1024u

struct subject {
	struct fault_stage stage;
	struct io_mem *old; /* an earlier state of the same store */
	size_t len[OBJECTS];
	uint64_t last_seq, last_offset; /* of the last record, 0: no log */
};

struct damage {
	unsigned object;
	size_t at, len;
	bool cut;    /* the object ends at `at` */
	bool absent; /* the segment is not there */
	bool unreadable;
	uint8_t bytes[FORMAT_BLOCK]; /* what stands there then */
};

static const bool faulty = true;
static uint64_t tails; /* losses of the last record */

static uint8_t *object(struct io_mem *medium, unsigned number, size_t *len_out)
{
	return number == 0 ? io_mem_head(medium, len_out) : io_mem_segment(medium, number, len_out);
}

static void resize(struct io_mem *medium, unsigned number, size_t len)
{
	if ((number == 0 ? io_mem_resize_head(medium, len) :
			   io_mem_resize_segment(medium, number, len)) != 0)
		abort();
}

/* --- unreadable blocks --- */

static const struct damage *unreadable;
static const struct store_io_ops *plain_ops;
static struct store_io_ops failing_ops;

static bool meets(unsigned number, uint64_t offset, size_t len)
{
	return unreadable != NULL && unreadable->object == number &&
	       offset < unreadable->at + unreadable->len && offset + len > unreadable->at;
}

static int failing_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	return meets(0, offset, len) ? ERR_IO : plain_ops->read(io, offset, buf, len);
}

static int failing_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf,
			    size_t len, size_t *got_out)
{
	*got_out = 0;
	return meets((unsigned)seq, offset, len) ?
		       ERR_IO :
		       plain_ops->log_read(io, seq, offset, buf, len, got_out);
}

static struct store_io *attach(void *ctx)
{
	struct store_io *io = io_mem_attach(ctx);

	plain_ops = io->ops;
	failing_ops = *plain_ops;
	failing_ops.read = failing_read;
	failing_ops.log_read = failing_log_read;
	io->ops = &failing_ops;
	return io;
}

/* --- what must be true --- */

/* True when all that was read is what must be there, the last operation aside when tail is set. */
static bool is_right(struct fault_world *w, const struct fault_state *state, bool tail)
{
	const struct fault_state *before = &w->history[w->n_history - 1];
	bool now = true, then = tail && w->n_history > 0;

	for (uint32_t id = 0; id < FAULT_IDS; id++) {
		size_t size = sizeof(state->ids[id]);

		if ((w->unread >> id & 1) != 0)
			continue;
		now = now && memcmp(&state->ids[id], &w->now.ids[id], size) == 0;
		then = then && memcmp(&state->ids[id], &before->ids[id], size) == 0;
	}
	tails += !now && then;
	return now || then ||
	       fault_world_wrong(w, "an id has an older value, or none, and no error tells");
}

/* Opens and reads everything. False: something is an error. */
static bool look(struct fault_world *w, bool read_only, bool tail)
{
	struct store_opts opts = w->opts;
	struct fault_state state;
	bool whole = false;

	opts.read_only = read_only;
	w->msg.text[0] = '\0';
	w->io = w->attach(w->attach_ctx);
	if (store_open(w->io, &opts, &w->store, NULL, &w->msg) == 0) {
		whole = fault_world_observe(w, &state) == 0;
		(void)is_right(w, &state, tail);
	} else {
		w->store = NULL;
		if (w->msg.text[0] == '\0')
			(void)fault_world_wrong(w, "refused without a sentence");
	}
	fault_world_drop(w);
	return whole;
}

static void judge(struct fault_world *w, bool read_only, bool tail)
{
	bool whole = look(w, read_only, tail);
	char sentence[sizeof(w->msg.text)];

	if (!read_only) /* what a writer did to it hides nothing */
		whole = look(w, true, tail) && whole;
	memcpy(sentence, w->msg.text, sizeof(sentence));
	w->faulty = &faulty;
	w->damages = 0;
	w->msg.text[0] = '\0';
	w->errors = 0;
	(void)fault_world_run(w, "K");
	if (!whole && w->damages == 0 && w->msg.text[0] == '\0')
		(void)fault_world_wrong(w, "the check finds nothing, but: %.200s", sentence);
}

/* --- one case --- */

static bool in_tail(const struct subject *s, const struct damage *d)
{
	return s->last_seq != 0 && d->object == s->last_seq && d->at >= s->last_offset;
}

/* The damage to the medium of a world; again to undo it. */
static void exchange(struct io_mem *medium, struct damage *d)
{
	size_t len;
	uint8_t *bytes = object(medium, d->object, &len);

	for (size_t i = 0; i < d->len && !d->unreadable; i++) {
		uint8_t was = bytes[d->at + i];

		bytes[d->at + i] = d->bytes[i];
		d->bytes[i] = was;
	}
}

static void remove_object(struct io_mem *medium, unsigned number)
{
	struct store_io *io = io_mem_attach(medium);

	(void)io->ops->log_remove(io, number); /* without a hook it cannot fail */
	io->ops->close(io);
}

static void run_damage(const struct subject *s, struct damage *d, bool read_only)
{
	static struct fault_world w;
	bool keeps = !read_only || d->cut || d->absent;

	w = s->stage.world;
	if (keeps)
		fault_stage_copy(&s->stage, &w, &faulty);
	w.attach = attach;
	if (d->cut)
		resize(w.attach_ctx, d->object, d->at);
	else if (d->absent)
		remove_object(w.attach_ctx, d->object);
	else
		exchange(w.attach_ctx, d);
	unreadable = d->unreadable ? d : NULL;
	judge(&w, read_only, in_tail(s, d));
	unreadable = NULL;
	if (keeps)
		fault_stage_drop(&w);
	else
		exchange(w.attach_ctx, d);
	fault_case_done(w.why);
}

/* --- subjects --- */

static int note_record(void *ctx, const struct wal_record *record)
{
	struct subject *s = ctx;

	s->last_seq = record->seq;
	s->last_offset = record->offset;
	return 0;
}

static void find_last_record(struct subject *s)
{
	struct store_io *io = io_mem_attach(s->stage.medium);
	struct wal_scan_opts scan = {.io = io};
	struct wal_report report;
	struct store_head head;

	if (store_read_head(io, &head, NULL) != 0)
		abort();
	memcpy(scan.uuid, head.uuid, 16);
	if (wal_scan(&scan, note_record, s, &report, NULL) == 0)
		wal_report_release(&report);
	io->ops->close(io);
}

static void subject_new(struct subject *s, const struct fault_scene *scene)
{
	static const bool healthy = false;
	struct fault_world *w = &s->stage.world;

	memset(s, 0, sizeof(*s));
	fault_stage_set(&s->stage, scene);
	s->old = io_mem_clone(s->stage.medium);
	w->faulty = &healthy;
	if (!fault_world_run(w, scene->program))
		fprintf(stderr, "scene %s: %s\n", scene->name, w->why);
	for (unsigned o = 0; o < OBJECTS; o++)
		(void)object(s->stage.medium, o, &s->len[o]);
	find_last_record(s);
}

static void subject_free(struct subject *s)
{
	io_mem_free(s->old);
	fault_stage_clear(&s->stage);
}

/* --- bits and bytes --- */

/* Pages of values are nothing but bytes; everything else is looked at bit by bit. */
static void each_bit(const struct subject *s, const char *name, bool bytes_only)
{
	static const uint8_t masks[] = {1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x5a};
	uint64_t n = 0;

	for (unsigned o = 0; o < OBJECTS; o++)
		for (size_t at = 0; at < s->len[o]; at++)
			for (size_t m = bytes_only ? 7 : 0; m < sizeof(masks); m++) {
				struct damage d = {.object = o, .at = at, .len = 1};
				size_t len;

				if (!fault_case("%s byte %u.%zu mask %u", name, o, at,
						(unsigned)masks[m]))
					continue;
				d.bytes[0] = object(s->stage.medium, o, &len)[at] ^ masks[m];
				run_damage(s, &d, n++ % 8 != 7);
			}
}

/* --- blocks --- */

static void block_case(const struct subject *s, struct damage *d)
{
	struct damage again = *d;

	run_damage(s, d, true);
	run_damage(s, &again, false);
}

static void copy_block(struct damage *d, struct io_mem *from, unsigned o, size_t at)
{
	size_t len;
	const uint8_t *bytes = object(from, o, &len);

	memset(d->bytes, 0, sizeof(d->bytes));
	if (bytes != NULL && at < len)
		memcpy(d->bytes, bytes + at, len - at < d->len ? len - at : d->len);
}

static void each_block(const struct subject *s, const char *name)
{
	for (unsigned o = 0; o < OBJECTS; o++) {
		for (size_t at = 0; at < s->len[o]; at += FORMAT_BLOCK) {
			struct damage d = {.object = o, .at = at, .len = FORMAT_BLOCK};
			size_t other = (at * 7 + 5 * FORMAT_BLOCK) % s->len[o];

			if (s->len[o] - at < d.len)
				d.len = s->len[o] - at;
			/* more than the last record may go with a block of the last segment */
			if (o != 0 && o == s->last_seq && at + d.len > s->last_offset)
				continue;
			memset(d.bytes, 0, sizeof(d.bytes));
			if (fault_case("%s block %u.%zu zero", name, o, at / FORMAT_BLOCK))
				block_case(s, &d);
			copy_block(&d, s->stage.medium, o, other / FORMAT_BLOCK * FORMAT_BLOCK);
			if (fault_case("%s block %u.%zu other", name, o, at / FORMAT_BLOCK))
				block_case(s, &d);
			copy_block(&d, s->old, o, at);
			if (fault_case("%s block %u.%zu old", name, o, at / FORMAT_BLOCK))
				block_case(s, &d);
			d.unreadable = true;
			if (fault_case("%s block %u.%zu unreadable", name, o, at / FORMAT_BLOCK))
				block_case(s, &d);
		}
	}
}

static void each_cut(const struct subject *s, const char *name)
{
	for (unsigned o = 0; o < OBJECTS; o++) {
		for (size_t at = 0; at < s->len[o]; at += FORMAT_BLOCK) {
			struct damage d = {.object = o, .at = at, .cut = true};

			/* the end of the last segment tells nothing when it is cut between records */
			if (s->last_seq != 0 && o == s->last_seq && at >= FORMAT_RECORDS_AT)
				continue;
			if (fault_case("%s cut %u.%zu", name, o, at / FORMAT_BLOCK))
				block_case(s, &d);
		}
		if (o != 0 && s->len[o] != 0 && fault_case("%s without segment %u", name, o)) {
			struct damage d = {.object = o, .absent = true};

			block_case(s, &d);
		}
	}
}

static void whole_subject(const struct fault_scene *scene, bool bytes_only, unsigned share)
{
	struct subject s;

	subject_new(&s, scene);
	fault_cases_share(1);
	each_block(&s, scene->name);
	each_cut(&s, scene->name);
	fault_cases_share(share);
	each_bit(&s, scene->name, bytes_only);
	(void)fflush(stdout);
	subject_free(&s);
}

/* --- the graph --- */

struct graph_blocks {
	bool of_graph[BLOCKS_MAX];
};

/* Which blocks of the head hold nothing but pages of the graph. */
static void find_graph_blocks(struct fault_collection *c, struct graph_blocks *blocks)
{
	memset(blocks, 0, sizeof(*blocks));
	if (!fault_collection_open_read_only(c))
		abort();
	for (int space = FORMAT_SPACE_GRAPH; space < FORMAT_SPACES; space++) {
		struct pager *pager = c->store->pager;
		uint32_t pages = store_pages(c->store, (enum store_space)space);
		struct place at;

		for (uint32_t i = 0; i < pages; i++) {
			if (!place_unpack(pager_page(pager, (enum format_space)space, i)->place,
					  &at))
				continue;
			for (uint32_t b = 0; b < place_blocks(at.bytes); b++)
				if (at.block + b < BLOCKS_MAX)
					blocks->of_graph[at.block + b] = true;
		}
	}
	fault_collection_close(c);
}

/* One byte of the head of a collection; of_graph: then nothing may be lost by it. */
static void run_graph_damage(const struct fault_collection *base, size_t at, uint8_t mask,
			     bool of_graph)
{
	static const bool healthy = false;
	static struct fault_collection c;
	size_t len;

	fault_collection_copy(base, &c, of_graph ? &healthy : &faulty);
	io_mem_head(c.medium, &len)[at] ^= mask;
	c.graph_bad = of_graph;
	if (fault_collection_open(&c)) {
		fault_collection_read(&c);
		fault_collection_list(&c);
		fault_collection_search(&c, true);
		fault_collection_search(&c, false);
		if (of_graph) { /* and it is built anew once the damage was met */
			fault_collection_link(&c);
			fault_collection_close(&c);
			c.graph_bad = !c.graph_met;
			fault_collection_finish(&c);
		}
	}
	fault_case_done(c.why);
	fault_collection_drop(&c);
}

static void each_byte_of_collection(void)
{
	static struct fault_collection base, look;
	static struct graph_blocks blocks;
	size_t len;

	fault_collection_new(&base);
	fault_collection_copy(&base, &look, &faulty);
	find_graph_blocks(&look, &blocks);
	fault_collection_drop(&look);
	(void)io_mem_head(base.medium, &len);
	for (int of_graph = 0; of_graph < 2; of_graph++) {
		fault_cases_share(of_graph ? 300 : 600);
		for (size_t at = 0; at < len; at++) {
			uint8_t mask = at % 3 == 0 ? 0xff : (uint8_t)(1u << at % 8);

			if (blocks.of_graph[at / FORMAT_BLOCK] == (of_graph != 0) &&
			    fault_case("collection byte %zu mask %u", at, (unsigned)mask))
				run_graph_damage(&base, at, mask, of_graph != 0);
		}
	}
	fault_collection_drop(&base);
}

static bool wanted(const char *scene)
{
	const char *only = getenv("SCENE");

	return only == NULL || only[0] == '\0' || strcmp(only, scene) == 0;
}

int main(void)
{
	static const struct fault_scene scenes[] = {
		{"closed", 4096, 512, "M O p0 p1 p2 t2 p3 t3 g C", false,
		 "O p0 p4 p5 d1 r26 e34 a5 t5 g C"},
		{"killed", 4096, 512, "M O p0 p1 p2 p3 c p4 C", false,
		 "O p0 p5 d1 s c p6 t6 r27 c p0 s a3 c p7 p8 t7 s e34 p1 t4 s p2 A"},
		{"packed", 16384, 2048, "M O p0 p1 p2 p3 C", false, "O p4 p5 c p6 p7 d0 s p8 A"},
	};
	static const struct fault_scene large = {"large", 16384,
						 60000,	  "M O p0 p1 p2 p3 C",
						 false,	  "O p4 p5 p6 c p7 p8 d0 s p9 p1 A"};

	fault_cases_start("damaged bytes or bits", 1);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++)
		if (wanted(scenes[i].name))
			whole_subject(&scenes[i], false, 300);
	if (fault_cases_full() && wanted(large.name))
		whole_subject(&large, true, 1);
	if (wanted("collection"))
		each_byte_of_collection();
	printf("%llu times the last record of the log was lost as an unfinished one\n",
	       (unsigned long long)tails);
	return fault_cases_end();
}
