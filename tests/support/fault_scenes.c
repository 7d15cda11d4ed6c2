/* fault_scenes.c - the scenes, and the walk through cases. */
#include "tests/support/fault_scenes.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/head.h"

#define LIMIT_SECONDS 20u
#define FAILED_MAX 20u

const struct fault_scene fault_scenes[] = {
	{"make", 4096, 512, "", false, "M O p0 p1 s p2 C O v C"},
	{"commit", 4096, 512, "M O p0 p1 t1 p2 p3 t3 p4 c p5 g C", false,
	 "O n6 t0 p0 d1 r27 r34 e05 w41 k0 a4 t2 u5 s x v f p3 c p1 n0 A"},
	{"replay", 4096, 512,
	 "M O p0 p1 p2 t1 t2 c p3 t3 d0 r12 e23 a3 s c p4 t4 p5 t3 u2 d5 s p6 A", false,
	 "O v p7 A Z v A K O p0 A"},
	{"graph", 4096, 512, "M O p0 p1 p2 g p3 C", false,
	 "O p4 g v h p5 c x g R c g d4 g C O v A"},
	{"checkpoints", 4096, 512, "M O p0 p1 p2 p3 p4 p5 p6 f A", false,
	 "O p0 p1 f c p2 d3 c f p4 x p5 c p6 f c v C"},
	{"older slot", 4096, 512, "M O p0 p1 p2 c p3 d0 g p4 c p5 s A", true,
	 "O p6 c p0 s v c p1 C O v C"},
	{"packed pages", 16384, 1024, "M O p0 p1 p2 p3 p4 p5 p6 p7 C", false,
	 "O p0 x v p1 c x d2 p3 f c x v C"},
	{"long values", 4096, 6000, "M O p0 p1 p2 C", false, "O p3 p0 c x v p1 s x f p2 A O v C"},
	{"close", 4096, 512, "M O p0 p1 g p2 A", false, "O p3 C Z v C K O C"},
};
const unsigned fault_scenes_n = sizeof(fault_scenes) / sizeof(*fault_scenes);

/* --- stages --- */

static struct store_io *attach(void *ctx)
{
	return io_mem_attach(ctx);
}

/* One bit of the newest slot, unless the other one is not valid. */
static void damage_slot(struct io_mem *medium)
{
	struct store_io *io = io_mem_attach(medium);
	struct head_slot slots[2];
	struct head head;
	unsigned n = 0;
	bool bad;
	size_t len;

	if (io->ops->open(io, false, NULL) == 0 &&
	    head_read(io, &head, slots, &n, &bad, NULL) == 0 && n == 2)
		io_mem_head(
			medium,
			&len)[FORMAT_SLOT_AT + (slots[0].generation & 1) * FORMAT_BLOCK + 100] ^= 1;
	io->ops->close(io);
}

void fault_stage_set(struct fault_stage *stage, const struct fault_scene *scene)
{
	static const bool healthy = false;
	struct fault_world *w = &stage->world;

	memset(stage, 0, sizeof(*stage));
	stage->scene = scene;
	stage->medium = io_mem_new(7);
	w->opts.cache_bytes = 64u << 10;
	w->page_size = scene->page_size;
	w->value_size = scene->value_size;
	w->attach = attach;
	w->attach_ctx = stage->medium;
	w->faulty = &healthy;
	if (!fault_world_run(w, scene->before)) {
		fprintf(stderr, "scene %s: %s\n", scene->name, w->why);
		exit(1);
	}
	if (scene->damaged_slot)
		damage_slot(stage->medium);
}

void fault_stage_clear(struct fault_stage *stage)
{
	fault_world_drop(&stage->world);
	io_mem_free(stage->medium);
}

void fault_stage_copy(const struct fault_stage *stage, struct fault_world *w, const bool *faulty)
{
	*w = stage->world;
	w->attach_ctx = io_mem_clone(stage->medium);
	w->faulty = faulty;
}

void fault_stage_drop(struct fault_world *w)
{
	fault_world_drop(w);
	io_mem_free(w->attach_ctx);
}

/* --- cases --- */

static struct {
	const char *kind, *only, *from; /* from: nothing is run before this case */
	unsigned share;
	bool full;
	uint64_t seed, at, checked, failed;
	char name[160];
} cases;

static void name_and_end(int signal)
{
	char line[300];
	int len = snprintf(line, sizeof(line),
			   "signal %d (14: took too long) in CASE='%s' SEED=%llu, after %llu with "
			   "%llu failures\n",
			   signal, cases.name, (unsigned long long)cases.seed,
			   (unsigned long long)cases.checked, (unsigned long long)cases.failed);

	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		_exit(2);
	_exit(1);
}

void fault_cases_start(const char *kind, unsigned share)
{
	static const int signals[] = {SIGALRM, SIGSEGV, SIGBUS,	 SIGABRT,
				      SIGFPE,  SIGILL,	SIGTERM, SIGINT};
	const char *torture = getenv("TORTURE"), *seed = getenv("SEED");

	memset(&cases, 0, sizeof(cases));
	cases.kind = kind;
	cases.only = getenv("CASE");
	cases.from = getenv("FROM");
	cases.full = torture != NULL && strcmp(torture, "full") == 0;
	cases.seed = seed != NULL ? strtoull(seed, NULL, 10) : 1;
	cases.share = cases.full ? 1 : share;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		(void)signal(signals[i], name_and_end);
}

void fault_cases_share(unsigned share)
{
	cases.share = cases.full ? 1 : share;
}

bool fault_cases_full(void)
{
	return cases.full;
}

/* Which of each `share` cases in a row is looked at depends on the seed and on where they are. */
static bool chosen(void)
{
	uint64_t row = cases.at / cases.share, z = (row + 1) * 0x9e3779b97f4a7c15u + cases.seed;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return cases.at++ % cases.share == (z ^ z >> 31) % cases.share;
}

bool fault_case(const char *format, ...)
{
	va_list args;
	bool mine;

	if (cases.failed >= FAILED_MAX || (!chosen() && cases.only == NULL))
		return false;
	va_start(args, format);
	(void)vsnprintf(cases.name, sizeof(cases.name), format, args); /* they are short */
	va_end(args);
	if (cases.from != NULL && strcmp(cases.from, cases.name) == 0)
		cases.from = NULL;
	mine = cases.from == NULL && (cases.only == NULL || strcmp(cases.only, cases.name) == 0);
	if (mine)
		(void)alarm(LIMIT_SECONDS);
	return mine;
}

void fault_case_done(const char *why)
{
	(void)alarm(0);
	cases.checked++;
	if (why == NULL || why[0] == '\0')
		return;
	cases.failed++;
	printf("failed: %s; again: CASE='%s' SEED=%llu\n", why, cases.name,
	       (unsigned long long)cases.seed);
}

int fault_cases_end(void)
{
	printf("checked: %llu %s, %llu failed\n", (unsigned long long)cases.checked, cases.kind,
	       (unsigned long long)cases.failed);
	if (cases.failed >= FAILED_MAX)
		printf("stopped after %u failures\n", FAILED_MAX);
	(void)fflush(stdout);
	return cases.failed == 0 && cases.checked > 0 ? 0 : 1;
}
