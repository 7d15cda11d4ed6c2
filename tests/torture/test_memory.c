/*
 * test_memory.c - every allocation fails, once and from then on: in the scenes of the store, and in
 * the life of a collection with a graph.
 *
 * An operation succeeds wholly or fails; afterwards, with memory again, everything is right and the
 * store can be used. TORTURE=full looks at all cases. CASE='...' repeats the one that a failure
 * names. timeout: 600 s
 */
#include <stdio.h>
#include <string.h>

#include "store/mem.h"
#include "tests/support/fault_collection.h"
#include "tests/support/fault_scenes.h"

static struct plan {
	uint64_t at, calls;
	bool for_ever, hit;
} plan;

static bool decide(void *ctx)
{
	uint64_t call = plan.calls++;

	(void)ctx;
	if (call < plan.at || (call > plan.at && !plan.for_ever))
		return false;
	plan.hit = true;
	return true;
}

static void begin_faults(uint64_t at, bool for_ever)
{
	plan = (struct plan){.at = at, .for_ever = for_ever};
	mem_set_fault(decide, NULL);
}

static void each_allocation(const struct fault_scene *scene)
{
	static struct fault_world w;
	struct fault_stage stage;
	uint64_t n;

	fault_stage_set(&stage, scene);
	fault_stage_copy(&stage, &w, &plan.hit);
	begin_faults(UINT64_MAX, false);
	if (!fault_world_run(&w, scene->program))
		printf("not ok: scene %s without faults: %s\n", scene->name, w.why);
	mem_set_fault(NULL, NULL);
	n = plan.calls;
	fault_stage_drop(&w);
	for (uint64_t i = 0; i < 2 * n; i++) {
		if (!fault_case("%s %llu %s", scene->name, (unsigned long long)(i / 2),
				i % 2 ? "ever" : "once"))
			continue;
		fault_stage_copy(&stage, &w, &plan.hit);
		begin_faults(i / 2, i % 2 == 1);
		(void)fault_world_run(&w, scene->program);
		mem_set_fault(NULL, NULL);
		if (w.why[0] == '\0')
			(void)fault_world_finish(&w);
		fault_case_done(w.why);
		fault_stage_drop(&w);
	}
	fault_stage_clear(&stage);
}

/* --- the collection --- */

static void live(struct fault_collection *c)
{
	if (!fault_collection_open(c))
		return;
	fault_collection_search(c, true);
	fault_collection_search(c, false);
	fault_collection_put(c, 3);
	fault_collection_put(c, FAULT_VECTORS - 1);
	fault_collection_delete(c, 5);
	fault_collection_search(c, false);
	fault_collection_link(c);
	fault_collection_search(c, false);
	fault_collection_flush(c);
	fault_collection_delete(c, 6);
	fault_collection_put(c, 5);
	fault_collection_link(c);
	fault_collection_list(c);
	fault_collection_close(c);
}

static void run_life(const struct fault_collection *base, uint64_t at, bool for_ever)
{
	static struct fault_collection c;

	fault_collection_copy(base, &c, &plan.hit);
	begin_faults(at, for_ever);
	live(&c);
	mem_set_fault(NULL, NULL);
	if (c.why[0] == '\0')
		fault_collection_finish(&c);
	fault_case_done(c.why);
	fault_collection_drop(&c);
}

static void each_allocation_of_collection(void)
{
	static struct fault_collection base, c;
	uint64_t n;

	fault_collection_new(&base);
	fault_collection_copy(&base, &c, &plan.hit);
	begin_faults(UINT64_MAX, false);
	live(&c);
	mem_set_fault(NULL, NULL);
	if (c.why[0] != '\0')
		printf("not ok: collection without faults: %s\n", c.why);
	n = plan.calls;
	fault_collection_drop(&c);
	for (uint64_t i = 0; i < 2 * n; i++)
		if (fault_case("collection %llu %s", (unsigned long long)(i / 2),
			       i % 2 ? "ever" : "once"))
			run_life(&base, i / 2, i % 2 == 1);
	fault_collection_drop(&base);
}

int main(void)
{
	fault_cases_start("allocation faults", 1);
	for (unsigned s = 0; s < fault_scenes_n; s++)
		each_allocation(&fault_scenes[s]);
	each_allocation_of_collection();
	return fault_cases_end();
}
