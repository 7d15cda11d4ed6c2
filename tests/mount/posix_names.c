/*
 * posix_names.c - names of vectors: creating, renaming, removing, also while they are open; which are possible.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/cases.h"

static void test_uncommitted(void)
{
	struct stat st;
	struct timespec times[2] = {{1000, 0}, {12345, 678}};
	int fd = open("u", O_WRONLY | O_CREAT | O_EXCL, 0640), other;

	CHECK(fd >= 0 && stat("u", &st) == 0 && st.st_size == 0, "a new file is seen, empty");
	REFUSED(open("u", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "O_EXCL on it");
	CHECK(write(fd, first, 8) == 8 && fstat(fd, &st) == 0 && st.st_size == 8, "it grows");
	CHECK(rename("u", "u2") == 0 && is_absent("u"), "it can be renamed");
	CHECK(fchmod(fd, 0600) == 0 && futimens(fd, times) == 0, "and changed");
	other = open("u2", O_RDONLY);
	CHECK(other >= 0 && read(other, got, 8) == 0, "nobody else reads what is not whole");
	close(other);
	CHECK(write(fd, (const char *)first + 8, size - 8) == (ssize_t)size - 8, "its end");
	CHECK(holds("u2", first), "it is whole");
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600, "it has the mode");
	CHECK(futimens(fd, times) == 0 && close(fd) == 0 && stat("u2", &st) == 0 &&
		      st.st_mtim.tv_sec == 12345 && st.st_mtim.tv_nsec == 678,
	      "and the time that was set after the write");

	fd = open("u3", O_WRONLY | O_CREAT, 0644);
	CHECK(unlink("u3") == 0 && is_absent("u3"), "a new file can be removed");
	CHECK(write(fd, first, size) == (ssize_t)size && close(fd) == 0 && is_absent("u3"),
	      "what is written to it then is nowhere");
	fd = open("u4", O_WRONLY | O_CREAT, 0644);
	REFUSED(rename("u4", "u2"), EBUSY, "it does not replace a stored vector");
	CHECK(rename("u2", "u4") == 0 && holds("u4", first), "a stored one replaces it");
	CHECK(write(fd, second, size) == (ssize_t)size && close(fd) == 0 && holds("u4", first),
	      "and stays when the replaced one is written");
	fd = open("u5", O_WRONLY | O_CREAT, 0644);
	CHECK(close(fd) == 0 && soon_absent("u5"), "a file closed without content goes");
}

static void test_rename(void)
{
	struct stat a, b, after;

	store("r1", first);
	store("r2", second);
	CHECK(stat("r1", &a) == 0 && stat("r2", &b) == 0, "stat");
	REFUSED(renameat2(AT_FDCWD, "r1", AT_FDCWD, "r2", RENAME_NOREPLACE), EEXIST, "NOREPLACE");
	CHECK(renameat2(AT_FDCWD, "r1", AT_FDCWD, "r3", RENAME_NOREPLACE) == 0,
	      "NOREPLACE to a free name");
	CHECK(stat("r3", &after) == 0 && after.st_ino == a.st_ino, "rename keeps st_ino");
	CHECK(renameat2(AT_FDCWD, "r2", AT_FDCWD, "r3", RENAME_EXCHANGE) == 0, "EXCHANGE");
	CHECK(holds("r2", first) && holds("r3", second), "has exchanged");
	CHECK(stat("r2", &after) == 0 && after.st_ino == a.st_ino && stat("r3", &after) == 0 &&
		      after.st_ino == b.st_ino,
	      "st_ino too");
	REFUSED(renameat2(AT_FDCWD, "r2", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT,
		"EXCHANGE with nothing");
	REFUSED(renameat2(AT_FDCWD, "r2", AT_FDCWD, "r4", RENAME_WHITEOUT), EINVAL, "WHITEOUT");
	CHECK(rename("r2", "r3") == 0 && holds("r3", first) && is_absent("r2"), "replacing");
	CHECK(rename("r3", "r3") == 0 && holds("r3", first), "renaming to itself");
}

static void test_unlink(void)
{
	struct stat st;
	int reader, writer;

	store("d", first);
	reader = open("d", O_RDONLY);
	writer = open("d", O_RDWR);
	CHECK(unlink("d") == 0 && is_absent("d"), "unlink while open");
	CHECK(read(reader, got, sizeof(got)) == (ssize_t)size && memcmp(got, first, size) == 0,
	      "the reader keeps it");
	CHECK(pread(writer, got, sizeof(got), 0) == (ssize_t)size, "the writer too");
	CHECK(fstat(reader, &st) == 0 && st.st_nlink == 0 && st.st_size == (off_t)size,
	      "it has no link");
	CHECK(pwrite(writer, second, size, 0) == (ssize_t)size && is_absent("d"),
	      "a write to it is no file");
	store("d", second);
	CHECK(holds("d", second), "another of that name");
	lseek(reader, 0, SEEK_SET);
	CHECK(pread(writer, got, 4, 0) == 4, "the removed one is read apart from it");
	CHECK(close(reader) == 0 && close(writer) == 0 && holds("d", second), "close");
	reader = open("d", O_RDONLY);
	writer = open("d", O_WRONLY | O_TRUNC);
	CHECK(unlink("d") == 0 && write(writer, first, 8) == 8 && fstat(reader, &st) == 0 &&
		      st.st_size == (off_t)size,
	      "a beginning written to a removed vector");
	CHECK(read(reader, got, sizeof(got)) == (ssize_t)size && memcmp(got, second, size) == 0,
	      "cuts nothing off for its reader");
	REFUSED(close(writer), EINVAL, "and is one at close");
	close(reader);
	store("d", second);
	reader = open("d", O_RDONLY);
	store("e", first);
	CHECK(rename("e", "d") == 0 && holds("d", first), "rename over an open file");
	CHECK(read(reader, got, sizeof(got)) == (ssize_t)size && memcmp(got, second, size) == 0,
	      "whose reader keeps the old");
	close(reader);
}

/* Who is replaced while it is not whole has its own number and what was written to it. */
static void test_uncommitted_pairs(void)
{
	struct stat a, b, after;
	int one = open("n1", O_RDWR | O_CREAT, 0640), two = open("n2", O_RDWR | O_CREAT, 0600);

	CHECK(fstat(one, &a) == 0 && fstat(two, &b) == 0 && a.st_ino != b.st_ino,
	      "two new files have two numbers");
	CHECK(write(two, second, 8) == 8, "the beginning of one");
	REFUSED(renameat2(AT_FDCWD, "n1", AT_FDCWD, "n2", RENAME_NOREPLACE), EEXIST,
		"NOREPLACE to a new file");
	REFUSED(renameat2(AT_FDCWD, "n1", AT_FDCWD, "n2", RENAME_EXCHANGE), EBUSY,
		"EXCHANGE of new files");
	CHECK(rename("n1", "n2") == 0 && is_absent("n1"), "a new file replaces a new file");
	CHECK(stat("n2", &after) == 0 && after.st_ino == a.st_ino &&
		      (after.st_mode & 07777) == 0640,
	      "it is the one that was moved");
	CHECK(fstat(two, &after) == 0 && after.st_ino == b.st_ino && after.st_nlink == 0 &&
		      after.st_size == 8,
	      "the other has no name");
	CHECK(write(two, (char *)second + 8, size - 8) == (ssize_t)size - 8 && close(two) == 0,
	      "and is written for nobody");
	CHECK(write(one, first, size) == (ssize_t)size && close(one) == 0 && holds("n2", first),
	      "the moved one is the vector");

	one = open("n3", O_WRONLY | O_CREAT, 0644);
	CHECK(write(one, second, 8) == 8 && unlink("n3") == 0, "a beginning loses its name");
	REFUSED(close(one), EINVAL, "and is one at close all the same");
	CHECK(is_absent("n3"), "nothing comes back");
}

static bool attributes(const char *name, mode_t mode, long sec)
{
	struct stat st;

	return stat(name, &st) == 0 && (st.st_mode & 07777) == mode && st.st_mtim.tv_sec == sec;
}

static void test_attributes(void)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {1000, 0}};
	struct stat before, after;

	store("k1", first);
	store("k2", second);
	CHECK(chmod("k1", 0600) == 0 && utimensat(AT_FDCWD, "k1", times, 0) == 0, "mode and time");
	times[1].tv_sec = 2000;
	CHECK(chmod("k2", 0640) == 0 && utimensat(AT_FDCWD, "k2", times, 0) == 0, "of another");
	CHECK(renameat2(AT_FDCWD, "k1", AT_FDCWD, "k2", RENAME_EXCHANGE) == 0 &&
		      attributes("k1", 0640, 2000) && attributes("k2", 0600, 1000),
	      "EXCHANGE takes them along");
	CHECK(rename("k1", "k2") == 0 && attributes("k2", 0640, 2000), "rename too");
	CHECK(stat("k2", &before) == 0 && unlink("k2") == 0, "unlink");
	store("k2", first);
	CHECK(stat("k2", &after) == 0 && after.st_ino != before.st_ino &&
		      after.st_mtim.tv_sec > 2000 && (after.st_mode & 07777) == 0644,
	      "a new vector of that name is another");
	REFUSED(unlink("none"), ENOENT, "unlink of nothing");
	REFUSED(rename("none", "k2"), ENOENT, "rename of nothing");
	REFUSED(renameat2(AT_FDCWD, "k2", AT_FDCWD, "k3", RENAME_EXCHANGE | RENAME_NOREPLACE),
		EINVAL, "both flags");
	REFUSED(renameat2(AT_FDCWD, "k2", AT_FDCWD, "k2", RENAME_NOREPLACE), EEXIST,
		"NOREPLACE to itself");
	CHECK(renameat2(AT_FDCWD, "k2", AT_FDCWD, "k2", RENAME_EXCHANGE) == 0 && holds("k2", first),
	      "EXCHANGE with itself");
}

static void test_refused(void)
{
	store("v", first);
	REFUSED(mkdir("dir", 0755), EPERM, "mkdir");
	REFUSED(mkdir("v", 0755), EEXIST, "mkdir of a vector's name");
	REFUSED(mkfifo("pipe", 0644), EPERM, "mkfifo");
	REFUSED(mknod("file", S_IFREG | 0644, 0), EPERM, "mknod of a file");
	REFUSED(mknod("v", S_IFREG | 0644, 0), EEXIST, "mknod of a vector's name");
	REFUSED(symlink("v", "soft"), EPERM, "symlink");
	REFUSED(symlink("x", "v"), EEXIST, "symlink of a vector's name");
	REFUSED(link("v", "hard"), EPERM, "link");
	REFUSED(link("v", "v"), EEXIST, "link to itself");
	REFUSED(link("none", "hard"), ENOENT, "link of nothing");
	REFUSED(readlink("v", (char *)got, 8), EINVAL, "readlink");
	REFUSED(rmdir("v"), ENOTDIR, "rmdir");
	REFUSED(unlink("v/x"), ENOTDIR, "unlink below a vector");
	REFUSED(rename("v", "v/x"), ENOTDIR, "rename below itself");
	REFUSED(rename("v", "../v"), EPERM, "rename to the root");
	REFUSED(rename("v", "../json/v2"), EPERM, "rename to json/");
	REFUSED(rename("v", "../query/1/v"), EPERM, "rename to a query");
	REFUSED(rename("v", "."), EBUSY, "rename to the directory");
	REFUSED(rename("../vectors", "../other"), EPERM, "rename of the directory");
	REFUSED(unlink("../vectors"), EISDIR, "unlink of it");
	REFUSED(rmdir("../vectors"), EPERM, "rmdir of it");
	CHECK(holds("v", first) && is_absent("hard") && is_absent("soft"), "nothing has changed");
}

static const char *shown(const char *name, const char *what)
{
	static char line[600];

	snprintf(line, sizeof(line), "%.40s%s: %s", name, strlen(name) > 40 ? "..." : "", what);
	for (char *at = line; *at != '\0'; at++)
		if (*at == '\n' || (*at & 0x80) != 0)
			*at = '?';
	return line;
}

/* It is created, listed as it was given, found as the only one, moved away and back, and removed. */
static void test_name(const char *name)
{
	char answer[600], query[600], text[600];
	ssize_t n = 0;
	int fd;

	cases_clear();
	store(name, first);
	CHECK(holds(name, first) && listed(".", name) && listed("../json", name),
	      shown(name, "stored and listed"));
	snprintf(text, sizeof(text), "../json/%s", name);
	CHECK(access(text, F_OK) == 0, shown(name, "read as text"));
	snprintf(query, sizeof(query), "../query/1/like/%s", name);
	store("other", second);
	CHECK(access(query, F_OK) == 0, shown(name, "asked for"));
	fd = open("../query/1,format=ids/like/other", O_RDONLY);
	n = fd >= 0 ? read(fd, answer, sizeof(answer)) : -1;
	CHECK(n == (ssize_t)strlen(name) + 1 && memcmp(answer, name, (size_t)n - 1) == 0 &&
		      answer[n - 1] == '\n',
	      shown(name, "in an answer"));
	close(fd);
	CHECK(rename(name, "away") == 0 && is_absent(name) && rename("away", name) == 0 &&
		      holds(name, first),
	      shown(name, "renamed and back"));
	CHECK(renameat2(AT_FDCWD, name, AT_FDCWD, "other", RENAME_EXCHANGE) == 0 &&
		      holds(name, second) && unlink("other") == 0,
	      shown(name, "exchanged"));
	CHECK(unlink(name) == 0 && is_absent(name) && !listed(".", name), shown(name, "removed"));
}

/* Not the name of anything, and nothing can become of it. */
static void test_no_name(const char *name, int number, int absent)
{
	store("v", first);
	REFUSED(open(name, O_WRONLY | O_CREAT, 0644), number, shown(name, "created"));
	REFUSED(rename("v", name), number, shown(name, "renamed to"));
	REFUSED(renameat2(AT_FDCWD, "v", AT_FDCWD, name, RENAME_NOREPLACE), number,
		shown(name, "without replacing"));
	REFUSED(open(name, O_RDONLY), absent, shown(name, "opened"));
	REFUSED(unlink(name), absent, shown(name, "removed"));
	REFUSED(rename(name, "v"), absent, shown(name, "renamed from"));
	CHECK(access(name, F_OK) < 0 && errno == absent, shown(name, "looked for"));
	CHECK(holds("v", first), shown(name, "nothing has changed"));
}

static void test_names(void)
{
	static const char *const good[] = {
		"-rf",	  "--help",	" ",	      " a b ",
		"it's",	  "\"quoted\"", ".a",	      "...",
		"..a",	  "a\\b",	"*?[a-z]",    "$HOME `id` $(id)",
		"~",	  "#1",		"a,b=c",      "CON",
		"README", "a:b|c<d>",	"10",	      "run",
		"like",	  "b64:AAAA",	"deadbeef",   "%s%n",
		"\u00e9", "e\u0301",	"\U0001F986", "\u65e5\u672c\u8a9e",
		"\u2028", "\U0010FFFD",
	};
	static const char *const bad[] = {
		"a\nb",	    "\t",    "\x1b[2J",	 "\x7f",	 "\xc2\x85",
		"\xff",	    "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xe2\x82", "\x80",
	};
	char name[2000];
	struct stat st;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		test_name(good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		test_no_name(bad[i], EINVAL, ENOENT);
	memset(name, 'x', sizeof(name));
	for (size_t len = 254; len <= 257; len++) {
		name[len] = '\0';
		if (len <= 255)
			test_name(name);
		else
			test_no_name(name, ENAMETOOLONG, ENAMETOOLONG);
		name[len] = 'x';
	}
	/* 255 bytes that end in a character of four; the same cut inside it. */
	memcpy(name + 251, "\xf0\x9f\xa6\x86", 5);
	test_name(name);
	name[254] = '\0';
	test_no_name(name, EINVAL, ENOENT);
	memset(name, 'x', sizeof(name));
	name[1999] = '\0';
	test_no_name(name, ENAMETOOLONG, ENAMETOOLONG);
	store("Case", first);
	store("case", second);
	CHECK(holds("Case", first) && holds("case", second), "case tells names apart");
	store("\u00e9", first);
	store("e\u0301", second);
	CHECK(holds("\u00e9", first) && holds("e\u0301", second), "so do forms of an accent");
	CHECK(stat("./../vectors//case", &st) == 0, "a way round");
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	test_uncommitted();
	test_rename();
	test_unlink();
	test_uncommitted_pairs();
	test_attributes();
	test_refused();
	test_names();
	return cases_end();
}
