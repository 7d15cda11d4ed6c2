/* Paths of stores and mount points, the device, and the list of what is mounted. */
#include "fs/mount_point.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/mem.h"

static struct err_msg msg;
static char folder[] = "/tmp/test_fs_mount_point.XXXXXX";

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

static void says(const char *in, const char *what)
{
	if (strstr(in, what) == NULL)
		fail_msg("'%s' is not in: %s", what, in);
}

static void mountinfo_is_understood(void **state)
{
	struct mount_point_entry entry;
	char line[] = "36 35 0:40 / /mnt/a\\040b\\134 rw,nosuid shared:1 master:2 - fuse.vecfs "
		      "/st\\011ore rw,user_id=1000,group_id=0,allow_other\n";
	char closed[] = "36 35 0:40 / /mnt rw - fuse.vecfs /s rw,user_id=65534,group_id=65534\n";
	char bare[] = "36 35 0:40 / /mnt rw,allow_other - fuse.vecfs /s\n";
	char none[] = "36 35 0:40 / /mnt rw";

	(void)state;
	assert_true(mount_point_parse(line, &entry));
	assert_string_equal(entry.mountpoint, "/mnt/a b\\");
	assert_string_equal(entry.type, "fuse.vecfs");
	assert_string_equal(entry.source, "/st\tore");
	assert_int_equal(entry.uid, 1000);
	assert_true(entry.allow_other);
	assert_true(mount_point_parse(closed, &entry));
	assert_string_equal(entry.source, "/s");
	assert_int_equal(entry.uid, 65534);
	assert_false(entry.allow_other);
	assert_true(mount_point_parse(bare, &entry));
	assert_string_equal(entry.source, "/s");
	assert_int_equal(entry.uid, 0);
	assert_false(entry.allow_other);
	assert_false(mount_point_parse(none, &entry));
	assert_true(mount_point_find("/proc", NULL, &entry));
	assert_false(mount_point_find(NULL, "/no such store", &entry));
}

/* Each refusal says what is wrong, what is expected, and what to do. */
static void the_device_is_explained(void **state)
{
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/device", folder);
	assert_int_equal(mount_point_check_device(path, &msg), ERR_ABSENT);
	says(msg.text, path);
	says(msg.text, "modprobe fuse");
	says(msg.text, "--device");
	assert_int_equal(mount_point_check_device("/dev/null", &msg), ERR_INVALID);
	says(msg.text, "/dev/null is something else");
	says(msg.text, "mknod -m 666 /dev/null c 10 229");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0400);
	assert_true(fd >= 0);
	(void)close(fd);
	if (geteuid() == 0) {
		/* whoever may open everything finds a file */
		assert_int_equal(mount_point_check_device(path, &msg), ERR_INVALID);
		says(msg.text, "something else");
		assert_int_equal(chmod(folder, 0755), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	assert_int_equal(mount_point_check_device(path, &msg), ERR_PERMISSION);
	says(msg.text, "may not open");
	says(msg.text, "mode 0400 and belongs to user ");
	says(msg.text, "chmod 666");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(unlink(path), 0);
}

static void paths_are_resolved_and_kept_apart(void **state)
{
	char missing[128], expected[128], *path;

	(void)state;
	snprintf(missing, sizeof(missing), "%s/../%s/new///", folder, folder + 5);
	snprintf(expected, sizeof(expected), "%s/new", folder);
	assert_int_equal(mount_point_resolve(missing, &path, &msg), 0);
	assert_string_equal(path, expected);
	mem_free(path);
	assert_int_equal(mount_point_resolve("/no/such/folder", &path, &msg), ERR_ABSENT);
	says(msg.text, "/no/such");
	assert_null(path);
	assert_int_equal(mount_point_resolve("", &path, &msg), ERR_INVALID);
	assert_int_equal(mount_point_check_apart("/a/bc", "/a/b", &msg), 0);
	assert_int_equal(mount_point_check_apart("/a/b/c", "/a/b", &msg), ERR_INVALID);
	says(msg.text, "/a/b/c");
	assert_int_equal(mount_point_check_apart("/a/b", "/a/b", &msg), ERR_INVALID);
	assert_int_equal(mount_point_check_apart("/a", "/", &msg), ERR_INVALID);
}

static void a_mount_point_is_a_directory(void **state)
{
	char path[128];
	bool detached = true;

	(void)state;
	assert_int_equal(mount_point_prepare(folder, &detached, &msg), 0);
	assert_false(detached);
	assert_int_equal(mount_point_prepare("/etc/passwd", &detached, &msg), ERR_INVALID);
	says(msg.text, "not a directory");
	snprintf(path, sizeof(path), "%s/none", folder);
	assert_int_equal(mount_point_prepare(path, &detached, &msg), ERR_ABSENT);
	says(msg.text, path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mountinfo_is_understood),
		cmocka_unit_test(the_device_is_explained),
		cmocka_unit_test(paths_are_resolved_and_kept_apart),
		cmocka_unit_test(a_mount_point_is_a_directory),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
