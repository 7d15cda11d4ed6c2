/*
 * posix_attr.c - attributes: stat in each form, access, mode, owner, times, and those of the
 * filesystem.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/cases.h"

static struct stat st;

static void test_stat(void)
{
	struct stat other;
	struct statx wide;
	int fd = open("s", O_RDONLY), dir = open(".", O_RDONLY);

	CHECK(stat("s", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == (off_t)size &&
		      st.st_nlink == 1 && st.st_blocks > 0 && st.st_blksize >= 512,
	      "stat");
	CHECK(lstat("s", &other) == 0 && memcmp(&st, &other, sizeof(st)) == 0, "lstat is the same");
	CHECK(fstat(fd, &other) == 0 && memcmp(&st, &other, sizeof(st)) == 0, "fstat");
	CHECK(fstatat(dir, "s", &other, 0) == 0 && memcmp(&st, &other, sizeof(st)) == 0, "fstatat");
	CHECK(fstatat(fd, "", &other, AT_EMPTY_PATH) == 0 && memcmp(&st, &other, sizeof(st)) == 0,
	      "AT_EMPTY_PATH");
	CHECK(statx(dir, "s", 0, STATX_BASIC_STATS, &wide) == 0 &&
		      (wide.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS &&
		      wide.stx_ino == st.st_ino && wide.stx_size == size &&
		      wide.stx_mode == st.st_mode && wide.stx_mtime.tv_sec == st.st_mtim.tv_sec &&
		      wide.stx_mtime.tv_nsec == st.st_mtim.tv_nsec,
	      "statx");
	CHECK(statx(dir, "s", AT_STATX_FORCE_SYNC, STATX_SIZE, &wide) == 0 && wide.stx_size == size,
	      "statx that asks anew");
	REFUSED(stat("none", &st), ENOENT, "stat of nothing");
	REFUSED(stat("s/x", &st), ENOTDIR, "below a vector");
	CHECK(fstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_nlink == 2 &&
		      (st.st_mode & 07777) == 0755,
	      "the directory");
	close(fd);
	close(dir);
}

static void test_mode(void)
{
	static const mode_t modes[] = {0, 0400, 0644, 0777, 01644, 06755};
	int fd = open("s", O_RDWR);

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		CHECK(chmod("s", modes[i]) == 0 && stat("s", &st) == 0 &&
			      (st.st_mode & 07777) == modes[i],
		      "chmod");
	CHECK(fchmod(fd, 0604) == 0 && stat("s", &st) == 0 && (st.st_mode & 07777) == 0604,
	      "fchmod");
	REFUSED(chmod("none", 0644), ENOENT, "chmod of nothing");
	CHECK(chown("s", (uid_t)-1, (gid_t)-1) == 0 && stat("s", &st) == 0 &&
		      st.st_uid == geteuid() && st.st_gid == getegid(),
	      "chown to nobody else");
	if (geteuid() == 0) {
		CHECK(chown("s", 1234, 5678) == 0 && stat("s", &st) == 0 && st.st_uid == 1234 &&
			      st.st_gid == 5678 && (st.st_mode & 07777) == 0604,
		      "chown");
		CHECK(fchown(fd, (uid_t)-1, 99) == 0 && fstat(fd, &st) == 0 && st.st_uid == 1234 &&
			      st.st_gid == 99,
		      "fchown of the group alone");
		CHECK(lchown("s", 0, (gid_t)-1) == 0 && stat("s", &st) == 0 && st.st_uid == 0 &&
			      st.st_gid == 99,
		      "lchown of the owner alone");
		CHECK(pwrite(fd, second, size, 0) == (ssize_t)size && stat("s", &st) == 0 &&
			      st.st_gid == 99 && (st.st_mode & 07777) == 0604,
		      "a write keeps all of it");
		CHECK(chown("s", 0, 0) == 0, "back");
	}
	CHECK(chmod("s", 0644) == 0, "back");
	close(fd);
}

static bool at_time(const char *name, int64_t sec, long ns)
{
	return stat(name, &st) == 0 && st.st_mtim.tv_sec == sec && st.st_mtim.tv_nsec == ns;
}

static bool set_time(const char *name, int64_t sec, long ns)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {sec, ns}};

	return utimensat(AT_FDCWD, name, times, 0) == 0;
}

static void test_times(void)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	struct timespec now;
	int fd;

	CHECK(set_time("s", 1, 999999999) && at_time("s", 1, 999999999), "a time to the ns");
	CHECK(set_time("s", 0, 0) && at_time("s", 0, 0), "the first second");
	CHECK(set_time("s", -2, 500000000) && at_time("s", -2, 500000000), "before it");
	CHECK(set_time("s", 5000000000, 7) && at_time("s", 5000000000, 7), "beyond 32 bits");
	CHECK(utimensat(AT_FDCWD, "s", times, 0) == 0 && at_time("s", 5000000000, 7),
	      "UTIME_OMIT of both");
	times[0] = (struct timespec){1000, 0};
	CHECK(utimensat(AT_FDCWD, "s", times, 0) == 0 && at_time("s", 5000000000, 7),
	      "the time of access alone");
	times[1].tv_nsec = 1000000000;
	REFUSED(utimensat(AT_FDCWD, "s", times, 0), EINVAL, "a second of too many ns");
	/* A time that cannot be kept becomes the nearest that can. */
	CHECK(set_time("s", 1000000000000, 0) && stat("s", &st) == 0 &&
		      st.st_mtim.tv_sec > 9000000000 && st.st_mtim.tv_sec <= 1000000000000,
	      "a time too far ahead");
	CHECK(set_time("s", -1000000000000, 0) && stat("s", &st) == 0 &&
		      st.st_mtim.tv_sec < -9000000000 && st.st_mtim.tv_sec >= -1000000000000,
	      "and too far back");
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(utimensat(AT_FDCWD, "s", NULL, 0) == 0 && stat("s", &st) == 0 &&
		      st.st_mtim.tv_sec >= now.tv_sec - 1 && st.st_mtim.tv_sec <= now.tv_sec + 5,
	      "now");
	CHECK(set_time("s", 1000, 0) && at_time("s", 1000, 0), "long ago");
	fd = open("s", O_WRONLY);
	CHECK(write(fd, first, size) == (ssize_t)size && fstat(fd, &st) == 0 &&
		      st.st_mtim.tv_sec >= now.tv_sec - 1,
	      "a write sets it anew");
	CHECK(close(fd) == 0 && set_time("s", 1000, 0), "long ago again");
	fd = open("s", O_RDONLY);
	CHECK(read(fd, got, size) == (ssize_t)size && close(fd) == 0 && at_time("s", 1000, 0),
	      "a read does not");
	fd = open("s", O_WRONLY | O_TRUNC);
	CHECK(close(fd) == 0 && at_time("s", 1000, 0), "nor does O_TRUNC alone");
	CHECK(rename("s", "s2") == 0 && at_time("s2", 1000, 0) && rename("s2", "s") == 0,
	      "nor a rename");
}

/* Soon: what goes through json/ shows in vectors/ a moment later. */
static bool directory_is_newer(const char *path, int64_t sec)
{
	struct stat dir = {0};

	for (int i = 0; i < 200 && dir.st_mtim.tv_sec <= sec; i++) {
		if (stat(path, &dir) != 0)
			return false;
		if (dir.st_mtim.tv_sec <= sec)
			usleep(10000);
	}
	return dir.st_mtim.tv_sec > sec;
}

/* Names that come and go change the time of the directory, of vectors/ and json/ alike. */
static void test_directory_times(void)
{
	static const char *const ways[] = {"dated", "../json/dated"};
	char other[32], line[64];

	for (size_t i = 0; i < 2; i++) {
		int fd;

		snprintf(other, sizeof(other), "%s2", ways[i]);
		snprintf(line, sizeof(line), "%s: ", ways[i]);
		CHECK(set_time(".", 1000, 0) && at_time(".", 1000, 0), "the directory's time");
		fd = open(ways[i], O_WRONLY | O_CREAT, 0644);
		CHECK(directory_is_newer(".", 1000) && directory_is_newer("../json", 1000),
		      strcat(strcpy(line, ways[i]), " is created: it is newer"));
		close(fd);
		CHECK(soon_absent(ways[i]), "without content it goes");
		store("dated", first);
		CHECK(set_time(".", 1000, 0), "the directory's time");
		CHECK(rename(ways[i], other) == 0 && directory_is_newer(".", 1000) &&
			      directory_is_newer("../json", 1000),
		      strcat(strcpy(line, ways[i]), " is renamed: it is newer"));
		CHECK(set_time(".", 1000, 0), "the directory's time");
		CHECK(unlink(other) == 0 && directory_is_newer(".", 1000) &&
			      directory_is_newer("../json", 1000),
		      strcat(strcpy(line, ways[i]), " is removed: it is newer"));
	}
}

static bool soon_has_mode(const char *path, mode_t mode)
{
	for (int i = 0; i < 200; i++) {
		if (stat(path, &st) == 0 && (st.st_mode & 07777) == mode)
			return true;
		usleep(10000);
	}
	return false;
}

static void test_directory_mode(void)
{
	CHECK(stat(".", &st) == 0 && chmod("../json", 0700) == 0 && soon_has_mode(".", 0700),
	      "a mode set on json/ is that of vectors/");
	CHECK(chmod(".", 0755) == 0 && soon_has_mode("../json", 0755), "and the other way round");
}

static void test_access(void)
{
	CHECK(access("s", F_OK) == 0 && access("s", R_OK) == 0 && access("s", W_OK) == 0,
	      "access to a vector");
	REFUSED(access("s", X_OK), EACCES, "as a program");
	CHECK(access(".", R_OK | W_OK | X_OK) == 0, "to the directory");
	REFUSED(access("none", F_OK), ENOENT, "to nothing");
	REFUSED(access("s/x", F_OK), ENOTDIR, "below a vector");
	CHECK(faccessat(AT_FDCWD, "s", R_OK, AT_EACCESS) == 0, "faccessat");
	CHECK(chmod("s", 0755) == 0 && access("s", X_OK) == 0 && chmod("s", 0644) == 0,
	      "to a program");
	REFUSED(access("../status/control", R_OK), EACCES, "reading control");
	CHECK(access("../status/control", W_OK) == 0, "writing it");
	REFUSED(access("../status/metrics", W_OK), EACCES, "writing metrics");
	CHECK(access("../status/metrics", R_OK) == 0, "reading it");
	CHECK(access("../query", R_OK | X_OK) == 0 && access("../json/s", R_OK | W_OK) == 0,
	      "queries and texts");
}

static void test_filesystem(void)
{
	struct statvfs vfs, again;
	struct statfs fs;
	int fd = open("s", O_RDONLY);

	CHECK(statvfs("s", &vfs) == 0 && fstatvfs(fd, &again) == 0 &&
		      vfs.f_blocks == again.f_blocks && vfs.f_namemax == again.f_namemax,
	      "statvfs of a vector");
	CHECK(vfs.f_blocks > 0 && vfs.f_bfree <= vfs.f_blocks && vfs.f_bavail <= vfs.f_bfree &&
		      vfs.f_frsize > 0 && vfs.f_namemax == 255,
	      "its room");
	CHECK(statfs("s", &fs) == 0 && fs.f_type == 0x65735546, "statfs");
	CHECK(statvfs(".", &vfs) == 0, "before");
	store("counted", first);
	CHECK(statvfs(".", &again) == 0 &&
		      again.f_files - again.f_ffree == vfs.f_files - vfs.f_ffree + 1,
	      "a vector more is counted");
	CHECK(unlink("counted") == 0 && statvfs(".", &again) == 0 &&
		      again.f_files - again.f_ffree == vfs.f_files - vfs.f_ffree,
	      "and a vector less");
	CHECK(pathconf("s", _PC_NAME_MAX) == 255, "pathconf");
	CHECK(fsync(fd) == 0 && fdatasync(fd) == 0 && syncfs(fd) == 0, "fsync of a reader");
	close(fd);
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	store("s", first);
	test_stat();
	test_mode();
	test_times();
	test_directory_times();
	test_directory_mode();
	test_access();
	test_filesystem();
	return cases_end();
}
