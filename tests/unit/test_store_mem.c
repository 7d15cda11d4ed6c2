/* test_store_mem.c - allocation, growth, reservations and the fault seam. */
#include "store/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/err.h"

static void test_sizes(void **state)
{
	void *a = mem_alloc(0), *b = mem_alloc(0);
	uint8_t *z = mem_zalloc(100, 3);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(z[i], 0);
	mem_free(a);
	mem_free(b);
	mem_free(z);
	mem_free(NULL);
	a = mem_zalloc(0, 8);
	assert_non_null(a);
	mem_free(a);
	a = mem_resize(NULL, 0, 8);
	assert_non_null(a);
	mem_free(a);
}

static void test_overflow(void **state)
{
	volatile size_t huge = SIZE_MAX; /* volatile: the compiler would warn of what is tested */
	int *kept = mem_alloc(sizeof(*kept));

	(void)state;
	assert_non_null(kept);
	*kept = 5;
	assert_null(mem_zalloc(huge / 2, 3));
	assert_null(mem_resize(kept, huge / 2, 3));
	assert_int_equal(*kept, 5);
	assert_null(mem_alloc_aligned(4096, huge - 10));
	mem_free(kept);
}

static void test_aligned(void **state)
{
	(void)state;
	for (size_t alignment = sizeof(void *); alignment <= 65536; alignment *= 2)
		for (size_t size = 0; size < 5000; size += 999) {
			uint8_t *p = mem_alloc_aligned(alignment, size);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % alignment, 0);
			memset(p, 1, size);
			mem_free(p);
		}
}

static void test_strdup(void **state)
{
	char *copy = mem_strdup("text");

	(void)state;
	assert_string_equal(copy, "text");
	mem_free(copy);
}

/* Growth keeps the contents, doubles, and asks for nothing when there is room. */
static void test_grow(void **state)
{
	uint32_t *v = NULL;
	size_t cap = 0, changes = 0;

	(void)state;
	for (uint32_t i = 0; i < 100000; i++) {
		size_t had = cap;

		assert_int_equal(mem_grow((void **)&v, &cap, i + 1u, sizeof(*v)), 0);
		assert_true(cap > i);
		changes += cap != had;
		v[i] = i;
	}
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(v[i], i);
	assert_true(changes < 20);
	assert_int_equal(mem_grow((void **)&v, &cap, SIZE_MAX, sizeof(*v)), ERR_NOMEM);
	assert_int_equal(mem_grow((void **)&v, &cap, SIZE_MAX / 2, sizeof(*v)), ERR_NOMEM);
	assert_int_equal(v[99999], 99999);
	mem_free(v);
}

static void test_reserve(void **state)
{
	size_t size = (size_t)64 << 20;

	(void)state;
	for (unsigned huge = 0; huge < 2; huge++) {
		uint8_t *at = mem_reserve(size, huge == 1);

		assert_non_null(at);
		assert_int_equal(at[0], 0);
		at[0] = 1;
		at[size - 1] = 2;
		mem_discard(at, 4096);
		assert_int_equal(at[0], 0);
		assert_int_equal(at[size - 1], 2);
		mem_unreserve(at, size);
	}
	mem_unreserve(NULL, size);
	assert_null(mem_reserve(0, false));

	assert_int_equal(mem_touched(0), 0);
	assert_int_equal(mem_touched(1), sysconf(_SC_PAGESIZE));
	assert_int_equal(mem_touched(size), size);
	assert_int_equal(mem_touched(size + 1), size + mem_touched(1));
}

static bool count_and_fail(void *ctx)
{
	(*(unsigned *)ctx)++;
	return true;
}

/* The seam reaches every function that allocates. */
static void test_fault(void **state)
{
	unsigned calls = 0;
	uint32_t *v = NULL;
	size_t cap = 0;

	(void)state;
	mem_set_fault(count_and_fail, &calls);
	assert_null(mem_alloc(1));
	assert_null(mem_zalloc(1, 1));
	assert_null(mem_alloc_aligned(64, 64));
	assert_null(mem_resize(NULL, 1, 1));
	assert_null(mem_strdup("x"));
	assert_int_equal(mem_grow((void **)&v, &cap, 1, sizeof(*v)), ERR_NOMEM);
	assert_null(mem_reserve(4096, false));
	mem_set_fault(NULL, NULL);
	assert_int_equal(calls, 7);
	assert_null(v);
	assert_int_equal(cap, 0);
	v = mem_alloc(4);
	assert_non_null(v);
	mem_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_aligned), cmocka_unit_test(test_strdup),
		cmocka_unit_test(test_grow),	cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
