/* Tests of run.c, waiting.c and the batches of answer.c: whatever the pieces, one answer. */
#include "fs/run.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/handle.h"
#include "store/mem.h"
#include "tests/support/ann_fixture.h"

#define DIM 5u
#define SIZE (DIM * sizeof(float))
#define STORED 300u
#define QUERIES 400u

/* --- a mount without a mount --- */

struct scene {
	struct ann_fixture fixture;
	struct fs fs;
	struct query_spec spec;
	struct node spec_node, node;
	struct handle handle;
	unsigned succeeded; /* calls of call->succeed */
};

static float queries[QUERIES * DIM];

static void scene_new(struct scene *scene, uint32_t dim, uint32_t threads, const char *spec)
{
	const struct ann_opts opts = {.threads = threads};

	memset(scene, 0, sizeof(*scene));
	ann_fixture_new(&scene->fixture, ANN_L2, dim, &opts);
	scene->fs.ann = scene->fixture.ann;
	scene->fs.io = scene->fixture.io;
	assert_int_equal(status_new(&scene->fs.status), 0);
	assert_int_equal(query_parse_spec(spec, strlen(spec), &scene->spec, NULL), 0);
	scene->spec_node = (struct node){.kind = NODE_SPEC, .spec = &scene->spec};
	scene->node = (struct node){.kind = NODE_RUN, .parent = &scene->spec_node};
	scene->handle.kind = HANDLE_RUN;
	scene->handle.node = &scene->node;
	waiting_init(&scene->handle.lock);
}

static void scene_fill(struct scene *scene)
{
	struct ann_random random = {11};

	for (unsigned i = 0; i < STORED; i++) {
		float vector[DIM];
		char id[16];

		snprintf(id, sizeof(id), "v%u", i);
		ann_random_vector(&random, vector, DIM, 20);
		assert_int_equal(ann_fixture_put(scene->fixture.ann, id, vector, DIM), 0);
	}
	for (unsigned q = 0; q < QUERIES; q++)
		ann_random_vector(&random, queries + (size_t)q * DIM, DIM, 20);
}

static void scene_free(struct scene *scene)
{
	assert_int_equal(handle_reserve(&scene->fs, &scene->handle, 0, NULL), 0);
	assert_int_equal(scene->fs.buffered.bytes, 0);
	run_release(&scene->handle.run);
	waiting_release(&scene->handle.lock);
	status_free(scene->fs.status);
	ann_fixture_free(&scene->fixture);
}

static void succeed(void *ctx)
{
	struct scene *scene = ctx;

	scene->succeeded++;
}

/* One write, of bytes that are gone afterwards and lie at any address. */
static int put(struct scene *scene, const void *bytes, size_t len, unsigned shift)
{
	struct call call = {.succeed = succeed, .succeed_ctx = scene};
	uint8_t *copy = malloc(len + shift);
	int rc;

	assert_non_null(copy);
	memcpy(copy + shift, bytes, len);
	waiting_lock(&scene->handle.lock, &call, false);
	rc = run_write(&scene->fs, &scene->handle, copy + shift, len, &call);
	waiting_unlock(&scene->handle.lock);
	memset(copy, 0xff, len + shift);
	free(copy);
	return rc;
}

/* Reads to the end, `step` bytes at a time, into *text_out (free). */
static int get(struct scene *scene, size_t step, struct err_msg *msg, char **text_out)
{
	size_t len = 0, got;
	const void *bytes;
	int rc;

	*text_out = calloc(1, 1);
	do {
		struct call call = {0};

		waiting_lock(&scene->handle.lock, &call, false);
		rc = run_read(&scene->fs, &scene->handle, step, &call, &bytes, &got);
		*text_out = realloc(*text_out, len + got + 1);
		assert_non_null(*text_out);
		if (got > 0)
			memcpy(*text_out + len, bytes, got);
		len += got;
		(*text_out)[len] = '\0';
		waiting_unlock(&scene->handle.lock);
		if (msg != NULL)
			*msg = call.msg;
	} while (rc == 0 && got > 0);
	return rc;
}

/* What a batch of the first n queries says: each asked alone, with its number. */
static char *expected(struct scene *scene, size_t n)
{
	size_t len = 0, room = n * 2000 + 1;
	char *all = malloc(room);

	assert_non_null(all);
	all[0] = '\0';
	for (size_t q = 0; q < n; q++) {
		char *one, *save = NULL;

		assert_int_equal(put(scene, queries + q * DIM, SIZE, 0), 0);
		assert_int_equal(get(scene, 1000, NULL, &one), 0);
		for (char *line = strtok_r(one, "\n", &save); line != NULL;
		     line = strtok_r(NULL, "\n", &save))
			len += (size_t)snprintf(all + len, room - len,
						n > 1 ? "%2$zu\t%1$s\n" : "%s\n", line, q);
		free(one);
	}
	return all;
}

static void answers(struct scene *scene, const char *wanted)
{
	char *text;

	assert_int_equal(get(scene, 777, NULL, &text), 0);
	assert_string_equal(text, wanted);
	free(text);
}

/* --- the pieces of a batch --- */

static size_t piece_of(unsigned kind, size_t left, struct ann_random *random)
{
	static const size_t sizes[] = {SIZE, 4, 33 * SIZE, 33 * SIZE + 8, 34 * SIZE - 1};
	size_t piece = kind == 0 ? left :
		       kind <= 5 ? sizes[kind - 1] :
				   1 + ann_random_below(random, kind == 6 ? 100 : 3000);

	return piece < left ? piece : left;
}

static void test_pieces(void **state)
{
	static const size_t counts[] = {1, 2, 31, 32, 33, 64, 65, 200, QUERIES};
	struct ann_random random = {3};
	struct scene scene;

	(void)state;
	scene_new(&scene, 0, 3, "4");
	scene_fill(&scene);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		char *wanted = expected(&scene, counts[i]);
		size_t all = counts[i] * SIZE;

		for (unsigned kind = 0; kind < 8; kind++) {
			for (size_t at = 0, len; at < all; at += len) {
				len = piece_of(kind, all - at, &random);
				assert_int_equal(put(&scene, (const char *)queries + at, len,
						     ann_random_below(&random, 5)),
						 0);
			}
			answers(&scene, wanted);
		}
		free(wanted);
	}
	/* Large writes were answered before they were searched. */
	assert_true(scene.succeeded > 50);
	scene_free(&scene);
}

static void test_formats(void **state)
{
	static const char *const specs[] = {"3,format=json", "3,format=ids", "2,max=0.001,exact"};

	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct scene scene;
		char *together;

		scene_new(&scene, 0, 2, specs[i]);
		scene_fill(&scene);
		/* One vector at a time until there are 31, so that the read searches them all. */
		for (size_t q = 0; q < 31; q++)
			assert_int_equal(put(&scene, queries + q * DIM, SIZE, 0), 0);
		assert_int_equal(scene.succeeded, 0);
		assert_int_equal(get(&scene, 1 << 20, NULL, &together), 0);
		assert_int_equal(put(&scene, queries, 1, 0), 0);
		assert_int_equal(put(&scene, (const char *)queries + 1, 31 * SIZE - 1, 0), 0);
		answers(&scene, together);
		free(together);
		scene_free(&scene);
	}
}

/* --- refusals --- */

static void test_refused_whole(void **state)
{
	float bad[40 * DIM];
	struct scene scene;
	struct err_msg msg;
	char *wanted, *text;

	(void)state;
	scene_new(&scene, 0, 2, "3");
	scene_fill(&scene);
	wanted = expected(&scene, 82);
	memcpy(bad, queries, sizeof(bad));
	bad[37 * DIM + 1] = NAN;
	assert_int_equal(put(&scene, queries, 40 * SIZE + 8, 0), 0);
	assert_int_equal(scene.succeeded, 1);
	assert_int_equal(put(&scene, bad, sizeof(bad), 0), ERR_INVALID);
	assert_int_equal(scene.succeeded, 1);
	assert_int_equal(put(&scene, (char *)queries + 40 * SIZE + 8, 42 * SIZE - 9, 0), 0);
	assert_int_equal(scene.succeeded, 2);
	assert_int_equal(get(&scene, 1000, &msg, &text), ERR_INVALID);
	assert_non_null(strstr(msg.text, "got 1639 bytes, a vector here is 20"));
	free(text);
	assert_int_equal(put(&scene, (char *)queries + 82 * SIZE - 1, 1, 0), 0);
	answers(&scene, wanted);
	free(wanted);
	scene_free(&scene);
}

static void test_too_many(void **state)
{
	struct scene scene;
	struct err_msg msg;
	char *wanted, *text;

	(void)state;
	scene_new(&scene, 0, 2, "10000,format=ids,max=0.0001");
	scene_fill(&scene);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(put(&scene, queries, 200 * SIZE, 0), 0);
	assert_int_equal(put(&scene, queries, 20 * SIZE, 0), 0);
	assert_int_equal(get(&scene, 1000, &msg, &text), ERR_TOO_BIG);
	assert_non_null(strstr(msg.text, "420 queries of 10000 neighbours are too many"));
	free(text);
	assert_int_equal(get(&scene, 1000, &msg, &text), ERR_TOO_BIG);
	free(text);
	/* Who was told so asks less on the same descriptor. */
	wanted = expected(&scene, 2);
	assert_int_equal(put(&scene, queries, 20 * SIZE, 0), 0);
	assert_int_equal(put(&scene, queries, QUERIES * SIZE, 0), 0);
	assert_int_equal(get(&scene, 1000, NULL, &text), ERR_TOO_BIG);
	free(text);
	assert_int_equal(put(&scene, queries, 2 * SIZE, 0), 0);
	answers(&scene, wanted);
	free(wanted);
	scene_free(&scene);
}

/* A caller that writes and never reads: 32 MiB, of which little is kept. */
static void test_bound(void **state)
{
	enum { WIDE = 4096, TOGETHER = 64 };
	float *wide = calloc((size_t)TOGETHER * WIDE, sizeof(float));
	size_t lines = 0;
	struct scene scene;
	char *text;

	(void)state;
	assert_non_null(wide);
	scene_new(&scene, 0, 2, "2");
	wide[0] = 1;
	assert_int_equal(ann_fixture_put(scene.fixture.ann, "a", wide, WIDE), 0);
	for (unsigned i = 0; i < 32; i++) {
		assert_int_equal(put(&scene, wide, (size_t)TOGETHER * WIDE * sizeof(float), 0), 0);
		assert_true(scene.fs.buffered.bytes < 4u << 20);
	}
	assert_int_equal(put(&scene, wide, 4, 0), ERR_TOO_BIG);
	assert_int_equal(get(&scene, 1 << 20, NULL, &text), 0);
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	assert_int_equal(lines, 32 * TOGETHER);
	free(text);
	free(wide);
	scene_free(&scene);
}

/* An answer for which there is no room in what all files may hold is not kept, and comes later. */
static void test_no_room_for_the_answer(void **state)
{
	const uint64_t others = BUFFERED_MAX + BUFFERED_SPARE - 256;

	(void)state;
	for (size_t n = 1; n <= 2; n++) {
		struct scene scene;
		const struct run *run = &scene.handle.run;
		char *wanted, *text;

		scene_new(&scene, 0, 1, "100");
		scene_fill(&scene);
		wanted = expected(&scene, n);
		run_release(&scene.handle.run);
		assert_int_equal(handle_reserve(&scene.fs, &scene.handle, 0, NULL), 0);
		scene.fs.buffered.bytes = others;
		assert_int_equal(put(&scene, queries, n * SIZE, 0), n == 1 ? ERR_NOMEM : 0);
		assert_int_equal(get(&scene, 1000, NULL, &text), n == 1 ? 0 : ERR_NOMEM);
		free(text);
		assert_true(run->cap + run->text.cap <= scene.handle.reserved);
		assert_int_equal(scene.fs.buffered.bytes, others + scene.handle.reserved);
		scene.fs.buffered.bytes -= others;
		if (n == 1)
			assert_int_equal(put(&scene, queries, SIZE, 0), 0);
		answers(&scene, wanted);
		free(wanted);
		scene_free(&scene);
	}
}

static uint64_t searched(struct scene *scene)
{
	struct ann_stats stats;

	ann_get_stats(scene->fixture.ann, &stats);
	return stats.queries;
}

/* An answer that cannot be held is not searched to its end: it counts while it grows. */
static void test_answer_too_large(void **state)
{
	const uint64_t others = BUFFERED_MAX - (1u << 20);
	struct ann_random random = {3};
	struct scene scene;
	struct err_msg msg;
	uint64_t before;
	char id[256], *text;

	(void)state;
	scene_new(&scene, 0, 2, "300");
	scene_fill(&scene);
	for (unsigned i = 0; i < STORED; i++) {
		float vector[DIM];

		snprintf(id, sizeof(id), "%0250u", i);
		ann_random_vector(&random, vector, DIM, 20);
		assert_int_equal(ann_fixture_put(scene.fixture.ann, id, vector, DIM), 0);
	}
	scene.fs.buffered.bytes = others;
	before = searched(&scene);
	assert_int_equal(put(&scene, queries, QUERIES * SIZE, 0), 0);
	assert_int_equal(get(&scene, 1000, &msg, &text), ERR_NOMEM);
	free(text);
	assert_non_null(strstr(msg.text, "close some"));
	assert_int_equal(searched(&scene), before);
	assert_int_equal(scene.fs.buffered.bytes, others + scene.handle.reserved);
	scene.fs.buffered.bytes -= others;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(put(&scene, queries, QUERIES * SIZE, 0), 0);
	before = searched(&scene);
	assert_int_equal(get(&scene, 1000, &msg, &text), ERR_TOO_BIG);
	free(text);
	assert_non_null(strstr(msg.text, "the answers are more than 64 MiB"));
	assert_int_equal(searched(&scene), before);
	scene_free(&scene);
}

static void test_dimension_comes_late(void **state)
{
	float bad[2 * DIM] = {0, 1, INFINITY};
	struct scene scene;
	char *wanted, *text;

	(void)state;
	scene_new(&scene, 0, 2, "3");
	assert_int_equal(put(&scene, bad, sizeof(bad), 0), 0);
	answers(&scene, "");
	assert_int_equal(put(&scene, bad, sizeof(bad), 0), 0);
	scene_fill(&scene);
	assert_int_equal(get(&scene, 100, NULL, &text), ERR_INVALID);
	free(text);
	assert_int_equal(get(&scene, 100, NULL, &text), ERR_INVALID);
	free(text);
	/* The next write begins another batch. */
	assert_int_equal(put(&scene, queries, 40 * SIZE, 0), 0);
	assert_int_equal(get(&scene, 100, NULL, &text), 0);
	wanted = expected(&scene, 40);
	assert_string_equal(text, wanted);
	free(wanted);
	free(text);
	scene_free(&scene);

	scene_new(&scene, 0, 2, "3");
	assert_int_equal(put(&scene, queries, 50 * SIZE, 0), 0);
	scene_fill(&scene);
	assert_int_equal(put(&scene, queries + 50 * DIM, 50 * SIZE, 0), 0);
	assert_int_equal(get(&scene, 100, NULL, &text), 0);
	wanted = expected(&scene, 100);
	assert_string_equal(text, wanted);
	free(wanted);
	free(text);
	scene_free(&scene);
}

/* --- those who wait --- */

static bool yes(void *ctx)
{
	return *(atomic_bool *)ctx;
}

struct waits {
	struct scene *scene;
	atomic_bool interrupted;
	bool ends;
};

static void *wait_for_lock(void *arg)
{
	struct waits *waits = arg;
	struct call call = {.cancelled = yes, .cancel_ctx = &waits->interrupted};

	waiting_lock(&waits->scene->handle.lock, &call, waits->ends);
	waiting_unlock(&waits->scene->handle.lock);
	return NULL;
}

/* The search beside the writing ends, the vectors stay, and who reads afterwards has them searched. */
static void test_stopped(void **state)
{
	struct scene scene;
	char *wanted;

	(void)state;
	scene_new(&scene, 0, 2, "3,exact");
	scene_fill(&scene);
	wanted = expected(&scene, 100);
	for (unsigned ends = 0; ends < 2; ends++) {
		struct waits waits = {.scene = &scene, .ends = ends != 0};
		struct call call = {.succeed = succeed, .succeed_ctx = &scene};
		struct run *run = &scene.handle.run;
		pthread_t thread;

		waiting_lock(&scene.handle.lock, &call, false);
		assert_false(waiting_stops(&scene.handle.lock));
		assert_int_equal(pthread_create(&thread, NULL, wait_for_lock, &waits), 0);
		if (ends == 0) {
			while (atomic_load(&scene.handle.lock.n) == 0)
				sched_yield();
			assert_false(waiting_stops(&scene.handle.lock));
			atomic_store(&waits.interrupted, true);
		}
		while (!waiting_stops(&scene.handle.lock))
			sched_yield();
		scene.succeeded = 0;
		assert_int_equal(run_write(&scene.fs, &scene.handle, (const uint8_t *)queries,
					   60 * SIZE + 7, &call),
				 0);
		assert_int_equal(scene.succeeded, 1);
		assert_true(run->failed);
		assert_int_equal(run->searched, 0);
		waiting_unlock(&scene.handle.lock);
		pthread_join(thread, NULL);
		assert_false(waiting_stops(&scene.handle.lock));
		assert_int_equal(
			put(&scene, (const char *)queries + 60 * SIZE + 7, 40 * SIZE - 7, 0), 0);
		assert_int_equal(scene.succeeded, 1);
		answers(&scene, wanted);
	}
	free(wanted);
	scene_free(&scene);
}

/* --- lack of memory --- */

static unsigned long allocations, failing;

static bool fails_once(void *ctx)
{
	(void)ctx;
	return allocations++ == failing;
}

static void test_lack_of_memory(void **state)
{
	struct scene scene;
	unsigned refused = 0, searched_again = 0;
	char *wanted;

	(void)state;
	scene_new(&scene, 0, 1, "3");
	scene_fill(&scene);
	wanted = expected(&scene, 90);
	for (failing = 0;; failing++) {
		size_t at = 0, len = 45 * SIZE + 2;
		char *text;

		allocations = 0;
		mem_set_fault(fails_once, NULL);
		while (at < 90 * SIZE) {
			if (at + len > 90 * SIZE)
				len = 90 * SIZE - at;
			if (put(&scene, (const char *)queries + at, len, 2) == 0)
				at += len;
			else
				refused++;
		}
		searched_again += scene.handle.run.failed;
		if (get(&scene, 1000, NULL, &text) != 0) {
			free(text);
			assert_int_equal(get(&scene, 1000, NULL, &text), 0);
			refused++;
		}
		mem_set_fault(NULL, NULL);
		assert_string_equal(text, wanted);
		free(text);
		if (allocations <= failing)
			break;
		run_release(&scene.handle.run);
	}
	assert_true(refused > 0);
	assert_true(searched_again > 5);
	free(wanted);
	scene_free(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_refused_whole),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_no_room_for_the_answer),
		cmocka_unit_test(test_answer_too_large),
		cmocka_unit_test(test_dimension_comes_late),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_lack_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
