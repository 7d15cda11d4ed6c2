/*
 * test_faults.c - every call to the disk fails, in every way, once and for ever.
 *
 * A case is a scene, the number of a call in it, a fate and how long it lasts. Afterwards the disk is
 * well again: fault_world_finish says what must be true. Then media of every size are filled up.
 *
 * TORTURE=full looks at all cases. CASE='...' repeats the one that a failure names. timeout: 600 s
 */
#include <stdio.h>
#include <string.h>

#include "tests/support/fault_scenes.h"

#define CALLS_MAX 4000u

struct plan {
	uint64_t at; /* number of the call, over all names */
	int fate;
	bool for_ever;
	uint64_t calls; /* so far */
	bool hit;
	const char **names; /* of the calls, when they are only noted */
};

static int decide(void *ctx, const char *call, uint64_t nth)
{
	struct plan *plan = ctx;
	uint64_t at = plan->calls++;

	(void)nth;
	if (plan->names != NULL) {
		if (at < CALLS_MAX)
			plan->names[at] = call;
		return 0;
	}
	if (at < plan->at || (at > plan->at && !plan->for_ever))
		return 0;
	plan->hit = true;
	return plan->fate;
}

static const struct fate {
	const char *name;
	int fate;
	const char *calls; /* that can end so; NULL: all */
} fates[] = {
	{"io", ERR_IO, NULL},
	{"full", ERR_FULL, NULL},
	{"unknown", ERR_UNKNOWN, NULL},
	{"nomem", ERR_NOMEM, NULL},
	{"short", ERR_DAMAGED, " read "},
	{"cut0", IO_MEM_CUT(0), " write log_write log_create "},
	{"cut20", IO_MEM_CUT(20), " write log_write log_create commit_slot "},
	{"cut4096", IO_MEM_CUT(4096), " write log_create "},
	{"cut600", IO_MEM_CUT(600), " write log_write commit_slot "},
	{"cut20-io", IO_MEM_CUT_BUT(20, ERR_IO), " write log_write log_create "},
	{"cut600-unknown", IO_MEM_CUT_BUT(600, ERR_UNKNOWN), " write log_write commit_slot "},
	{"done-full", IO_MEM_ALL_BUT_FAIL, " write log_write log_create log_remove sync log_sync "},
	{"done-io", IO_MEM_ALL_BUT(ERR_IO),
	 " write log_write log_create log_remove log_sync create "},
	{"done-unknown", IO_MEM_ALL_BUT(ERR_UNKNOWN),
	 " write log_write log_create log_remove sync log_sync commit_slot create "},
	{"done-nomem", IO_MEM_ALL_BUT(ERR_NOMEM), " write log_write log_create log_remove "},
};

static bool fits(const struct fate *fate, const char *call)
{
	char word[40];

	(void)snprintf(word, sizeof(word), " %s ", call); /* names are short */
	return fate->calls == NULL || strstr(fate->calls, word) != NULL;
}

static void run_case(const struct fault_stage *stage, struct plan *plan)
{
	static struct fault_world w;

	fault_stage_copy(stage, &w, &plan->hit);
	io_mem_set_fault(w.attach_ctx, decide, plan);
	(void)fault_world_run(&w, stage->scene->program);
	io_mem_set_fault(w.attach_ctx, NULL, NULL);
	if (w.why[0] == '\0')
		(void)fault_world_finish(&w);
	fault_case_done(w.why);
	fault_stage_drop(&w);
}

static void each_call(const struct fault_scene *scene)
{
	static const char *names[CALLS_MAX];
	static struct fault_world w;
	struct plan note = {.names = names};
	struct fault_stage stage;

	fault_stage_set(&stage, scene);
	fault_stage_copy(&stage, &w, &note.hit);
	io_mem_set_fault(w.attach_ctx, decide, &note);
	if (!fault_world_run(&w, scene->program) || note.calls > CALLS_MAX)
		printf("not ok: scene %s without faults: %s\n", scene->name, w.why);
	fault_stage_drop(&w);
	for (uint64_t at = 0; at < note.calls && at < CALLS_MAX; at++) {
		for (size_t f = 0; f < 2 * sizeof(fates) / sizeof(*fates); f++) {
			const struct fate *fate = &fates[f / 2];
			struct plan plan = {.at = at, .fate = fate->fate, .for_ever = f % 2 == 1};

			if (fits(fate, names[at]) &&
			    fault_case("%s %llu %s %s %s", scene->name, (unsigned long long)at,
				       names[at], fate->name, f % 2 == 1 ? "ever" : "once"))
				run_case(&stage, &plan);
		}
	}
	fault_stage_clear(&stage);
}

/* --- full media --- */

/*
 * A medium with so much room left is filled up. Nothing is harmed by that: what it holds can be read,
 * and with room again everything works, without opening it again.
 */
static void fill_up(const struct fault_stage *stage, uint64_t room)
{
	static const bool full = true, healthy = false;
	static struct fault_world w;
	size_t used = 0, len;

	fault_stage_copy(stage, &w, &full);
	(void)io_mem_head(w.attach_ctx, &used);
	for (uint64_t seq = 1; seq < 20; seq++)
		if (io_mem_segment(w.attach_ctx, seq, &len) != NULL)
			used += len;
	io_mem_set_capacity(w.attach_ctx, used + room);
	(void)fault_world_run(&w, "O");
	for (unsigned i = 0; i < 4; i++)
		(void)fault_world_run(&w, "p0 p1 p2 n4 n5 n6 p3 v r07 d4 f p1 s");
	(void)fault_world_run(&w, "c p0 v g d5 p1 c d6 x v");
	if (w.store != NULL && store_read_only(w.store))
		(void)fault_world_wrong(&w, "a full disk poisoned it");
	io_mem_set_capacity(w.attach_ctx, 0);
	w.faulty = &healthy;
	if (fault_world_run(&w, "v p0 p4 c d1 g v f c s") && fault_world_finish(&w) &&
	    room > 600000 && w.errors != 0)
		(void)fault_world_wrong(&w, "failed though there was room");
	fault_case_done(w.why);
	fault_stage_drop(&w);
}

static void each_capacity(void)
{
	static const struct fault_scene scene = {"capacity", 4096, 512, "M O p0 p1 p2 p3 g C",
						 false,	     ""};
	struct fault_stage stage;

	fault_stage_set(&stage, &scene);
	for (uint64_t room = 0; room < 640000; room += 206)
		if (fault_case("room %llu", (unsigned long long)room))
			fill_up(&stage, room);
	fault_stage_clear(&stage);
}

int main(void)
{
	fault_cases_start("input/output faults", 4);
	for (unsigned s = 0; s < fault_scenes_n; s++)
		each_call(&fault_scenes[s]);
	each_capacity();
	return fault_cases_end();
}
