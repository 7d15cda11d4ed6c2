/* The command line of a mount. */
#include "fs/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"

#define WORDS 12

static struct options options;
static struct err_msg msg;

/* Parses the words up to a NULL, after the program's name. Nobody writes to them. */
static int parse_as(bool helper, const char *const *words)
{
	char *argv[WORDS + 1] = {(char *)"vecfs"};
	int argc = 1;

	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)words[argc - 1];
	options_release(&options);
	msg.text[0] = '\0';
	return options_parse(argc, argv, helper, &options, &msg);
}

#define PARSE(...) parse_as(false, (const char *[WORDS]){__VA_ARGS__, NULL})
#define PARSE_HELPER(...) parse_as(true, (const char *[WORDS]){__VA_ARGS__, NULL})

static int end(void **state)
{
	(void)state;
	options_release(&options);
	return 0;
}

static void defaults_are_filled_in(void **state)
{
	(void)state;
	assert_int_equal(PARSE("s", "m"), 0);
	assert_string_equal(options.fs.store_path, "s");
	assert_string_equal(options.fs.mountpoint, "m");
	assert_int_equal(options.fs.dim, 0);
	assert_int_equal(options.fs.metric, ANN_COSINE);
	assert_false(options.metric_given);
	assert_true(options.fs.cache_auto);
	assert_int_equal(options.fs.durability, WAL_LOG);
	assert_int_equal(options.fs.effort, 0);
	assert_int_equal(options.fs.threads, 0);
	assert_int_equal(options.fs.code_bits, 0);
	assert_false(options.fs.read_only || options.fs.allow_other || options.foreground);
	assert_string_equal(options.fuse.at, "");
}

static void check_all_set(void)
{
	assert_int_equal(options.fs.dim, 784);
	assert_int_equal(options.fs.metric, ANN_L2);
	assert_true(options.metric_given);
	assert_int_equal(options.fs.cache_bytes, 64u << 20);
	assert_false(options.fs.cache_auto);
	assert_int_equal(options.fs.durability, WAL_CLOSE);
	assert_int_equal(options.fs.effort, 200);
	assert_int_equal(options.fs.threads, 3);
	assert_int_equal(options.fs.code_bits, 8);
	assert_true(options.fs.read_only);
}

static void both_forms_mean_the_same(void **state)
{
	(void)state;
	assert_int_equal(PARSE("s", "m", "-o",
			       "dim=784,metric=l2,cache=64M,durability=close,effort=200,threads=3,"
			       "code-bits=8,ro"),
			 0);
	check_all_set();
	assert_int_equal(PARSE("--dim=784", "--METRIC=l2", "s", "--Cache=64m", "-odurability=close",
			       "--effort=200", "m", "-o", "THREADS=3,,code_bits=8", "--ro"),
			 0);
	check_all_set();
	for (uint32_t bits = 1; bits <= 8; bits *= 2) {
		char name[] = "code-bits=0";

		name[sizeof(name) - 2] = (char)('0' + bits);
		assert_int_equal(PARSE("s", "m", "-o", name), 0);
		assert_int_equal(options.fs.code_bits, bits);
	}
	/* The last one counts. */
	assert_int_equal(PARSE("s", "m", "-o", "dim=1,dim=2,ro,rw,cache=8M,cache=auto"), 0);
	assert_int_equal(options.fs.dim, 2);
	assert_false(options.fs.read_only);
	assert_true(options.fs.cache_auto);
}

static void letters_are_taken(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-f", "-s", "--", "s", "-m"), 0);
	assert_true(options.foreground && options.single_thread && !options.debug);
	assert_string_equal(options.fs.mountpoint, "-m");
	assert_int_equal(PARSE("-d", "s", "m"), 0);
	assert_true(options.debug && options.foreground);
	/* As mount(8) calls its helpers, where they mean something else. */
	assert_int_equal(PARSE_HELPER("s", "m", "-sn", "-t", "fuse.vecfs", "-o", "rw"), 0);
	assert_false(options.single_thread || options.foreground || options.fake);
	assert_int_equal(PARSE_HELPER("s", "m", "-f", "-o", "rw"), 0);
	assert_true(options.fake && !options.foreground);
}

static void sizes_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} sizes[] = {
		{"1", 1},
		{"2k", 2048},
		{"2K", 2048},
		{"16M", 16u << 20},
		{"3g", 3ull << 30},
		{"", 0},
		{"M", 0},
		{"1.5G", 0},
		{"-1", 0},
		{"1 M", 0},
		{"1MB", 0},
		{"0x10", 0},
		{"99999999999999999999G", UINT64_MAX},
		{"18446744073709551615", UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t bytes = 0;
		bool ok = options_parse_size(sizes[i].text, &bytes);

		if (ok != (sizes[i].bytes != 0) || (ok && bytes != sizes[i].bytes))
			fail_msg("'%s'", sizes[i].text);
	}
}

static void options_of_fstab_are_swallowed(void **state)
{
	(void)state;
	assert_int_equal(
		PARSE("s", "m", "-o",
		      "rw,nofail,_netdev,user,users,noauto,auto,defaults,x-systemd.automount,"
		      "x-gvfs-hide,X-mount.mkdir,comment=a note,relatime,fd=4,rootmode=40000,"
		      "user_id=0,group_id=0,subtype=other,nonempty,max_read=131072,NoFail"),
		0);
	assert_string_equal(options.fuse.at, "");
	assert_int_equal(PARSE("s", "m", "-o",
			       "dev,nodev,suid,nosuid,exec,noexec,async,sync,noatime,"
			       "auto_unmount,default_permissions"),
			 0);
	assert_string_equal(options.fuse.at,
			    ",dev,nodev,suid,nosuid,exec,noexec,async,sync,noatime,"
			    "auto_unmount,default_permissions");
}

static void others_never_come_in_unchecked(void **state)
{
	(void)state;
	assert_int_equal(PARSE("s", "m", "-o", "allow_other"), 0);
	assert_true(options.fs.allow_other);
	assert_string_equal(options.fuse.at, ",allow_other,default_permissions");
	assert_int_equal(PARSE("s", "m", "--allow-root"), 0);
	assert_string_equal(options.fuse.at, ",allow_root,default_permissions");
}

static void commas_are_escaped_both_ways(void **state)
{
	(void)state;
	assert_int_equal(PARSE("s", "m", "-o", "fsname=a\\,b\\\\c,ro"), 0);
	assert_string_equal(options.fsname, "a,b\\c");
	assert_true(options.fs.read_only);
	options_add_fuse(&options, "fsname", options.fsname);
	assert_string_equal(options.fuse.at, ",fsname=a\\,b\\\\c");
}

static void bad_options_are_named(void **state)
{
	static const char *const bad[][3] = {
		/* option, and two things that the sentence must say */
		{"dim=0", "dim=0", "1 ... 16384"},
		{"dim=16385", "dim=16385", "1 ... 16384"},
		{"dim=99999999999999999999999", "range", "1 ... 16384"},
		{"dim=ten", "dim=ten", "1 ... 16384"},
		{"dim=-1", "dim=-1", "1 ... 16384"},
		{"dim", "dim", "value"},
		{"metric=hamming", "hamming", "cosine, l2 or ip"},
		{"cache=1", "cache=1", "1M"},
		{"cache=lots", "cache=lots", "64M"},
		{"cache=99999999999G", "range", "65536G"},
		{"durability=often", "often", "log, close or none"},
		{"effort=0", "effort=0", "1 ... 100000"},
		{"effort=100001", "effort=100001", "1 ... 100000"},
		{"threads=0", "threads=0", "1 ... 1024"},
		{"code-bits=3", "code-bits=3", "auto, 1, 2, 4 or 8"},
		{"code-bits=16", "code-bits=16", "auto, 1, 2, 4 or 8"},
		{"code-bits=", "code-bits=", "auto, 1, 2, 4 or 8"},
		{"recover=prefix", "recover=prefix", "ro"},
		{"recover=all", "recover=all", "prefix"},
		{"ro=yes", "ro", "no value"},
		{"colour=red", "unknown option", "colour"},
		{"nofails", "unknown option", "nofails"},
		{"dimension_of_a_name_that_is_much_longer_than_any_option_that_there_is=1",
		 "unknown option", "dimension"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (PARSE("s", "m", "-o", bad[i][0]) != ERR_INVALID)
			fail_msg("-o %s was taken", bad[i][0]);
		for (int j = 1; j < 3; j++)
			if (strstr(msg.text, bad[i][j]) == NULL)
				fail_msg("-o %s: '%s' does not say '%s'", bad[i][0], msg.text,
					 bad[i][j]);
	}
}

static void bad_command_lines_are_refused(void **state)
{
	(void)state;
	assert_int_equal(PARSE("s"), ERR_INVALID);
	assert_non_null(strstr(msg.text, "MOUNTPOINT is missing"));
	assert_int_equal(PARSE("-f"), ERR_INVALID);
	assert_non_null(strstr(msg.text, "STORE is missing"));
	assert_int_equal(PARSE("s", "m", "x"), ERR_INVALID);
	assert_non_null(strstr(msg.text, "too many: x"));
	assert_int_equal(PARSE("s", "m", "-o"), ERR_INVALID);
	assert_int_equal(PARSE("s", "m", "-x"), ERR_INVALID);
	assert_non_null(strstr(msg.text, "-x"));
	assert_int_equal(PARSE("s", "m", "--frobnicate"), ERR_INVALID);
	assert_non_null(strstr(msg.text, "frobnicate"));
	assert_int_equal(PARSE("s", "m", "-o", "ro,recover=prefix"), 0);
	assert_true(options.recover_prefix);
}

static unsigned countdown;

static bool fails_at_zero(void *ctx)
{
	(void)ctx;
	return countdown-- == 0;
}

static void lack_of_memory_is_an_error(void **state)
{
	int rc = ERR_NOMEM;

	(void)state;
	for (unsigned n = 0; rc != 0; n++) {
		assert_true(n < 100);
		options_release(&options);
		countdown = n;
		mem_set_fault(fails_at_zero, NULL);
		rc = PARSE("s", "m", "-o", "allow_other,fsname=x,noatime,nodev", "--dim=4");
		mem_set_fault(NULL, NULL);
		assert_true(rc == 0 || rc == ERR_NOMEM);
	}
	assert_int_equal(options.fs.dim, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(both_forms_mean_the_same),
		cmocka_unit_test(letters_are_taken),
		cmocka_unit_test(sizes_parse),
		cmocka_unit_test(options_of_fstab_are_swallowed),
		cmocka_unit_test(others_never_come_in_unchecked),
		cmocka_unit_test(commas_are_escaped_both_ways),
		cmocka_unit_test(bad_options_are_named),
		cmocka_unit_test(bad_command_lines_are_refused),
		cmocka_unit_test(lack_of_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
