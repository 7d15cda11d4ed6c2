/* Tests of workers.c: every job once, whoever else calls. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ann/workers.h"

#define JOBS 300u

struct batch {
	_Atomic unsigned done[JOBS];
};

static void job(void *ctx, size_t i)
{
	struct batch *batch = ctx;

	atomic_fetch_add(&batch->done[i], 1);
}

static void run_once(struct workers *workers, size_t n)
{
	struct batch batch;

	memset(&batch, 0, sizeof(batch));
	workers_run(workers, n, job, &batch);
	for (size_t i = 0; i < JOBS; i++)
		assert_int_equal(batch.done[i], i < n);
}

static void test_each_job_once(void **state)
{
	(void)state;
	for (uint32_t threads = 1; threads <= 5; threads++) {
		struct workers *workers;

		assert_int_equal(workers_new(&workers, threads), 0);
		for (size_t n = 0; n <= JOBS; n += n < 5 ? 1 : 37)
			run_once(workers, n);
		workers_free(workers);
	}
}

struct caller {
	struct workers *workers;
	_Atomic unsigned wrong;
};

static void *call(void *arg)
{
	struct caller *caller = arg;

	for (unsigned round = 0; round < 300; round++) {
		struct batch batch;

		memset(&batch, 0, sizeof(batch));
		workers_run(caller->workers, 40, job, &batch);
		for (size_t i = 0; i < 40; i++)
			if (atomic_load(&batch.done[i]) != 1)
				atomic_fetch_add(&caller->wrong, 1);
	}
	return NULL;
}

static void test_several_callers(void **state)
{
	struct caller caller = {0};
	pthread_t threads[3];

	(void)state;
	assert_int_equal(workers_new(&caller.workers, 3), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call, &caller), 0);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(caller.wrong, 0);
	workers_free(caller.workers);
}

static void test_cores(void **state)
{
	(void)state;
	assert_true(workers_cores() >= 1);
	workers_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cores),
		cmocka_unit_test(test_each_job_once),
		cmocka_unit_test(test_several_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
