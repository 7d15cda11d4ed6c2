/* one_case.c - linked into a test program by scripts/mutants: of its cases only ONE_CASE runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

__attribute__((constructor)) static void choose(void)
{
	const char *name = getenv("ONE_CASE");

	if (name != NULL && name[0] != '\0')
		cmocka_set_test_filter(name);
}
