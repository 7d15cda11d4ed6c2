/*
 * salvage.c - every vector once, and what is lost: the order of things.
 *
 *   1  header and slots, whatever is left                             salvage_view.c
 *   2  all records of the log that can be read: ids and LSNs          salvage_mentions.c
 *   3  the base: the newest slot; the older one when pages with names or slots are bad in the newest
 *      and the log has all that lies between both
 *   4  records after the base: where each id's content went
 *   5  ids of the base, slot by slot; each value from the base's page, else from the other slot's
 *      page or the record of the same LSN, else an older version
 *   6  values that stand in the log
 *   7  what is left over was lost
 *
 * 1 to 4 are here and in salvage_replay.c, 5 in salvage_emit.c, 6 and 7 in salvage_replay.c.
 * In memory: 4 bytes for each slot, what the log names, and a cache of pages. Values pass through.
 */
#include "store/salvage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/mem.h"
#include "store/salvage_private.h"

#define SHOW_EVERY 4096u

void salvage_say(struct salvage *s, bool loss, const char *format, ...)
{
	char text[1200];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* a cut text is accepted */
	va_end(args);
	s->report->losses += loss;
	s->calls->say(s->calls->ctx, loss, text);
}

void salvage_show(struct salvage *s, const char *what, uint64_t done, uint64_t total)
{
	if (s->calls->progress != NULL && done % SHOW_EVERY == 0)
		s->calls->progress(s->calls->ctx, what, done, total);
}

/* The older slot with the log is better where the newest has lost names or its slot table. */
static int choose_base(struct salvage *s)
{
	const struct head_slot *slots = s->pages.slots;
	uint64_t bad = 0, bad_older = 0;
	int err = 0;

	s->base = 0;
	s->other = 1;
	if (s->pages.n < 2)
		return 0;
	err = salvage_count_bad(&s->pages, 0, &bad);
	if (err != 0 || bad == 0 ||
	    !salvage_log_covers(&s->log, slots[1].ckpt_lsn + 1, slots[0].ckpt_lsn))
		return err;
	err = salvage_count_bad(&s->pages, 1, &bad_older);
	/* with the same damage the older one is no worse, and the log names what it wrote since */
	if (err == 0 && bad_older <= bad) {
		s->base = 1;
		s->other = 0;
		if (bad_older < bad)
			salvage_say(
				s, false,
				"ids or slot table of the newest commit slot are damaged; the older one "
				"and the log are used");
	}
	return err;
}

static void say_head(struct salvage *s)
{
	const struct salvage_pages *pages = &s->pages;

	if (!pages->header_ok)
		salvage_say(s, false,
			    "the header is damaged; a commit slot repeats what is needed of it");
	for (unsigned i = 0; i < 2; i++)
		if (pages->slot_bad[i])
			salvage_say(s, false, "commit slot %u is damaged", i);
	if (pages->n == 0)
		salvage_say(
			s, true,
			"no commit slot can be used, so nothing leads to the pages: only vectors that "
			"the log holds are saved");
	else if ((pages->slot_bad[0] || pages->slot_bad[1]) && pages->slots[0].first_segment == 0)
		salvage_say(
			s, true,
			"a commit slot is damaged and the store was used with durability=none: what "
			"was written after LSN %" PRIu64 " may be lost",
			pages->slots[0].ckpt_lsn);
}

static int begin(struct salvage *s)
{
	struct store_geometry geometry = {.page_size = s->pages.head.page_size,
					  .kind = s->pages.head.kind};

	s->value_size = s->pages.head.value_size;
	for (unsigned i = 0; i < s->pages.n; i++)
		if (s->value_size == 0)
			s->value_size = s->pages.slots[i].value_size;
	if (s->value_size == 0)
		s->value_size = s->log.value_size;
	geometry.value_size = s->value_size;
	s->value = mem_alloc_aligned(64, FORMAT_VALUE_MAX);
	if (s->value == NULL)
		return ERR_NOMEM;
	return s->calls->begin(s->calls->ctx, &geometry);
}

static int run_all(struct salvage *s)
{
	int err = salvage_open_log(s);

	say_head(s);
	if (err == 0)
		err = choose_base(s);
	if (err == 0)
		err = salvage_apply_log(s);
	if (err == 0)
		err = begin(s);
	if (err == 0 && salvage_has_base(s))
		err = salvage_emit_base(s);
	if (err == 0)
		err = salvage_emit_log(s);
	return err;
}

int salvage_run(struct store_io *io, const struct salvage_calls *calls, uint64_t cache_bytes,
		struct salvage_report *report_out, struct err_msg *msg)
{
	struct salvage run = {.calls = calls, .report = report_out};
	int err = io->ops->open(io, false, msg);

	memset(report_out, 0, sizeof(*report_out));
	if (err != 0)
		return err;
	err = salvage_pages_open(&run.pages, io, cache_bytes, msg);
	if (err == 0)
		err = run_all(&run);
	if (err != 0 && msg != NULL && msg->text[0] == '\0')
		(void)err_set(msg, err, "%s: %s", io->ops->name(io), err_str(err));
	salvage_log_release(&run.log);
	salvage_pages_close(&run.pages);
	mem_free(run.names);
	mem_free(run.value);
	return err;
}
