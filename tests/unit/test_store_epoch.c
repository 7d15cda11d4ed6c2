/* test_store_epoch.c - what was retired is safe only when all who were inside have left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "store/epoch.h"

struct visitor {
	struct epoch *epoch;
	sem_t entered, leave;
};

static void *visit(void *arg)
{
	struct visitor *visitor = arg;

	epoch_enter(visitor->epoch);
	epoch_enter(visitor->epoch); /* nested */
	(void)sem_post(&visitor->entered);
	(void)sem_wait(&visitor->leave);
	epoch_leave(visitor->epoch);
	(void)sem_post(&visitor->entered);
	(void)sem_wait(&visitor->leave);
	epoch_leave(visitor->epoch);
	return NULL;
}

static void test_safe_when_all_left(void **state)
{
	struct visitor visitor;
	uint64_t before, after;
	pthread_t thread;

	(void)state;
	assert_int_equal(epoch_new(&visitor.epoch), 0);
	(void)sem_init(&visitor.entered, 0, 0);
	(void)sem_init(&visitor.leave, 0, 0);
	before = epoch_retire(visitor.epoch);
	assert_true(epoch_safe(visitor.epoch, before));
	assert_int_equal(pthread_create(&thread, NULL, visit, &visitor), 0);
	(void)sem_wait(&visitor.entered);
	after = epoch_retire(visitor.epoch);
	assert_true(epoch_safe(visitor.epoch, before)); /* it entered later */
	assert_false(epoch_safe(visitor.epoch, after));
	(void)sem_post(&visitor.leave);
	(void)sem_wait(&visitor.entered);
	assert_false(epoch_safe(visitor.epoch, after)); /* still inside once */
	(void)sem_post(&visitor.leave);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(epoch_safe(visitor.epoch, after));
	epoch_free(visitor.epoch);
}

static void *count_some(void *arg)
{
	for (int i = 0; i < 1000; i++)
		epoch_count(arg, 1);
	return NULL;
}

/* More threads than there are numbers, one after the other and some at once. */
static void test_numbers_are_given_back(void **state)
{
	struct epoch *epoch;
	pthread_t threads[8];

	(void)state;
	assert_int_equal(epoch_new(&epoch), 0);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 8; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, count_some, epoch), 0);
		for (int i = 0; i < 8; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_true(epoch_sum(epoch, 1) == 100 * 8 * 1000);
	assert_true(epoch_sum(epoch, 0) == 0);
	epoch_free(epoch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe_when_all_left),
		cmocka_unit_test(test_numbers_are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
