/*
 * test_ann_codes.c - the arena of codes: growth that moves nothing, readers beside a grower.
 */
#include "ann/quant.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "store/err.h"
#include "store/mem.h"

static void test_grow(void **ctx)
{
	struct codes codes;
	uint8_t *first;

	(void)ctx;
	assert_int_equal(codes_init(&codes, 30), 0);
	assert_int_equal(codes.stride, 32);
	assert_int_equal(codes_bytes(&codes), 0);
	assert_int_equal(codes_grow(&codes, 0), 0);
	assert_int_equal(codes_grow(&codes, 10), 0);
	first = codes_at(&codes, 0);
	memset(first, 7, 30);
	assert_ptr_equal(codes_at(&codes, 1), first + 32);
	assert_int_equal(codes_bytes(&codes), 0); /* room alone takes nothing */

	assert_int_equal(codes_grow(&codes, 3 * CODES_CHUNK + 1), 0);
	assert_ptr_equal(codes_at(&codes, 0), first);
	assert_int_equal(first[29], 7);
	assert_int_equal(codes_grow(&codes, 5), 0); /* never shrinks */
	assert_int_equal(codes_bytes(&codes), 0);
	for (uint32_t slot = CODES_CHUNK - 1; slot < 3 * CODES_CHUNK; slot += CODES_CHUNK) {
		memset(codes_at(&codes, slot), 1, 32);
		memset(codes_at(&codes, slot + 1), 2, 32);
		assert_int_equal(codes_at(&codes, slot)[31], 1);
	}
	codes_release(&codes);
	codes_release(&codes);
}

/* What codes_bytes says is what the kernel has given: of the slots used, not of those with room. */
static void test_bytes(void **ctx)
{
	const size_t page = mem_touched(1);
	struct codes codes;

	(void)ctx;
	assert_int_equal(codes_init(&codes, 32), 0);
	assert_int_equal(codes_grow(&codes, 3 * CODES_CHUNK), 0);
	codes_use(&codes, 0);
	assert_int_equal(codes_bytes(&codes), page);
	codes_use(&codes, (uint32_t)(page / 32) - 1);
	assert_int_equal(codes_bytes(&codes), page);
	codes_use(&codes, (uint32_t)(page / 32));
	assert_int_equal(codes_bytes(&codes), 2 * page);
	codes_use(&codes, 3); /* what was used stays */
	assert_int_equal(codes_bytes(&codes), 2 * page);
	codes_use(&codes, 2 * CODES_CHUNK + 1);
	assert_int_equal(codes_bytes(&codes), 2 * (uint64_t)CODES_CHUNK * 32 + page);
	codes_use(&codes, 3 * CODES_CHUNK - 1);
	assert_int_equal(codes_bytes(&codes), 3 * (uint64_t)CODES_CHUNK * 32);
	codes_release(&codes);
	assert_int_equal(codes_init(&codes, 32), 0);
	assert_int_equal(codes_bytes(&codes), 0);
	codes_release(&codes);
}

static bool no_memory(void *ctx)
{
	size_t *left = ctx;

	return *left == 0 || (*left)-- == 0;
}

static void test_no_memory(void **ctx)
{
	struct codes codes = {0};
	size_t left = 0;

	(void)ctx;
	codes_release(&codes);
	mem_set_fault(no_memory, &left);
	assert_int_equal(codes_init(&codes, 16), ERR_NOMEM);
	codes_release(&codes);
	left = 2;
	assert_int_equal(codes_init(&codes, 16), 0);
	assert_int_equal(codes_grow(&codes, 2 * CODES_CHUNK), ERR_NOMEM);
	assert_int_equal(atomic_load(&codes.cap), 0);
	left = 10;
	assert_int_equal(codes_grow(&codes, 2 * CODES_CHUNK), 0);
	memset(codes_at(&codes, 2 * CODES_CHUNK - 1), 1, 16);
	mem_set_fault(NULL, NULL);
	codes_release(&codes);
}

#define GROWN (8 * CODES_CHUNK)

static void *read_all(void *arg)
{
	const struct codes *codes = arg;
	uint32_t cap = 0;

	while (cap < GROWN) {
		cap = atomic_load_explicit(&codes->cap, memory_order_acquire);
		if (cap > 0 && *codes_at(codes, cap - 1) != 0)
			return arg;
	}
	return NULL;
}

static void test_readers(void **ctx)
{
	struct codes codes;
	pthread_t reader;
	void *wrong;

	(void)ctx;
	assert_int_equal(codes_init(&codes, 16), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_all, &codes), 0);
	for (uint32_t n = CODES_CHUNK / 2; n <= GROWN; n += CODES_CHUNK / 2)
		assert_int_equal(codes_grow(&codes, n), 0);
	assert_int_equal(pthread_join(reader, &wrong), 0);
	assert_null(wrong);
	codes_release(&codes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
