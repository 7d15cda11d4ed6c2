/* What open files hold: bounds, what is set aside for small things and for those that tell. */
#include "fs/buffered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void bytes_are_bounded(void **state)
{
	struct buffered buffered = {0};
	size_t hog = 0, small = 0, telling = 0;
	struct err_msg msg = {0};

	(void)state;
	assert_int_equal(buffered_change(&buffered, &hog, BUFFERED_MAX + 1, false, &msg),
			 ERR_NOMEM);
	assert_non_null(strstr(msg.text, "more than 256 MiB: close some"));
	assert_int_equal(hog, 0);
	assert_int_equal(buffered.bytes, 0);
	assert_int_equal(buffered_change(&buffered, &hog, BUFFERED_MAX, false, NULL), 0);
	/* Whoever has it all keeps nobody from small things. */
	assert_int_equal(buffered_change(&buffered, &small, BUFFERED_SMALL + 1, false, NULL),
			 ERR_NOMEM);
	for (size_t i = 0; i < BUFFERED_SPARE / BUFFERED_SMALL; i++) {
		small = 0;
		assert_int_equal(buffered_change(&buffered, &small, BUFFERED_SMALL, false, NULL),
				 0);
	}
	small = 0;
	assert_int_equal(buffered_change(&buffered, &small, 1, false, NULL), ERR_NOMEM);
	assert_int_equal(buffered_change(&buffered, &telling, BUFFERED_SPARE_TELLING, true, NULL),
			 0);
	assert_int_equal(
		buffered_change(&buffered, &telling, BUFFERED_SPARE_TELLING + 1, true, NULL),
		ERR_NOMEM);
	/* Less is possible also above the bound. */
	assert_int_equal(buffered_change(&buffered, &hog, 1, false, NULL), 0);
	assert_int_equal(buffered.bytes, 1 + BUFFERED_SPARE + BUFFERED_SPARE_TELLING);
	assert_int_equal(buffered_change(&buffered, &small, 1, false, NULL), 0);
}

static void files_are_bounded(void **state)
{
	struct buffered buffered = {0};
	struct err_msg msg = {0};

	(void)state;
	for (uint32_t i = 0; i < BUFFERED_FILES_MAX; i++)
		assert_int_equal(buffered_open(&buffered, false, &msg), 0);
	assert_int_equal(buffered_open(&buffered, false, &msg), ERR_LIMIT);
	assert_non_null(strstr(msg.text, "65536 files are open"));
	for (uint32_t i = 0; i < BUFFERED_FILES_SPARE; i++)
		assert_int_equal(buffered_open(&buffered, true, &msg), 0);
	assert_int_equal(buffered_open(&buffered, true, &msg), ERR_LIMIT);
	for (uint32_t i = 0; i <= BUFFERED_FILES_SPARE; i++)
		buffered_close(&buffered);
	assert_int_equal(buffered.files, BUFFERED_FILES_MAX - 1);
	assert_int_equal(buffered_open(&buffered, false, &msg), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_bounded),
		cmocka_unit_test(files_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
