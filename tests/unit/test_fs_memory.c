/* How much memory there is for a process. */
#include "fs/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test_fs_memory.XXXXXX";

static int begin(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int end(void **state)
{
	(void)state;
	return rmdir(folder);
}

static void limits_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t limit;
	} files[] = {
		{"1048576\n", 1048576}, {"max\n", 1000000000},	       {"", 1000000000},
		{"0\n", 1000000000},	{"9999999999999", 1000000000}, {"-1", 1000000000},
	};
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s/limit", folder);
	assert_int_equal(memory_limit_in(path, 7), 7);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fputs(files[i].text, file);
		fclose(file);
		assert_int_equal(memory_limit_in(path, 1000000000), files[i].limit);
	}
	assert_int_equal(unlink(path), 0);
}

static void the_process_is_measured(void **state)
{
	uint64_t usable = memory_usable();

	(void)state;
	assert_true(usable > 1 << 20);
	assert_true(memory_resident() > 100000);
	assert_true(memory_resident() < usable);
	assert_true(memory_auto_cache(usable) <= usable / 4);
	assert_true(memory_auto_cache(usable) > 0);
}

static void codes_get_part_of_what_the_cache_leaves(void **state)
{
	(void)state;
	assert_int_equal(memory_code_room(1 << 30, 1 << 28), (1 << 30) / 2 + 1);
	assert_in_range(memory_code_room(3000, 0), 1900, 2001);
	/* 0 would mean no bound. */
	assert_int_equal(memory_code_room(1000, 2000), 1);
}

static void a_resource_limit_counts(void **state)
{
	struct rlimit before, less;
	uint64_t usable = memory_usable(), limited;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	less = before;
	less.rlim_cur = usable / 2;
	assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
	limited = memory_usable();
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	assert_int_equal(limited, usable / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_are_read),
		cmocka_unit_test(the_process_is_measured),
		cmocka_unit_test(codes_get_part_of_what_the_cache_leaves),
		cmocka_unit_test(a_resource_limit_counts),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
