/*
 * posix_readdir.c - listings: each name once, whatever changes meanwhile; places to go back to.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/cases.h"

#define LISTED 300

static size_t seen[2 * LISTED];

static void see(const char *name)
{
	size_t n;

	if (sscanf(name, "list%zu", &n) == 1 && n < 2 * LISTED)
		seen[n]++;
}

static void test_listing(void)
{
	char name[300];
	DIR *dir = NULL;
	struct dirent *entry = NULL;
	struct stat st;
	size_t n = 0, once = 0, ghosts = 0, numbers = 0;
	long place;

	for (size_t i = 0; i < LISTED; i++) {
		snprintf(name, sizeof(name), "list%zu", i);
		store(name, first);
	}
	dir = opendir(".");
	while ((entry = readdir(dir)) != NULL) {
		see(entry->d_name);
		/* While it is read, every third goes and others come. */
		snprintf(name, sizeof(name), "list%zu", n);
		if (n % 3 == 0 && n < LISTED)
			unlink(name);
		snprintf(name, sizeof(name), "list%zu", LISTED + n);
		if (n % 7 == 0 && n < LISTED)
			store(name, second);
		n++;
	}
	for (size_t i = 0; i < LISTED; i++)
		once += i % 3 != 0 && seen[i] == 1;
	for (size_t i = 0; i < 2 * LISTED; i++)
		ghosts += seen[i] > 1;
	CHECK(once == LISTED - LISTED / 3, "what stays is listed");
	CHECK(ghosts == 0, "nothing twice");
	rewinddir(dir);
	for (int i = 0; i < 10; i++)
		(void)readdir(dir);
	place = telldir(dir);
	entry = readdir(dir);
	snprintf(name, sizeof(name), "%s", entry->d_name);
	for (int i = 0; i < 20; i++)
		(void)readdir(dir);
	seekdir(dir, place);
	entry = readdir(dir);
	CHECK(entry != NULL && strcmp(entry->d_name, name) == 0, "telldir and seekdir");
	rewinddir(dir);
	n = 0;
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, "list", 4) == 0) {
			n++;
			numbers += stat(entry->d_name, &st) == 0 && st.st_ino == entry->d_ino;
		}
	CHECK(numbers == n, "d_ino is st_ino");
	closedir(dir);
	for (size_t i = 0; i < 2 * LISTED; i++) {
		snprintf(name, sizeof(name), "list%zu", i);
		unlink(name);
	}
	CHECK(!listed(".", "list1"), "what was removed is not listed");
}

static void test_kept_listing(void)
{
	bool found = false;
	int fd;

	listed(".", "kept");
	listed(".", "kept");
	fd = open("kept", O_WRONLY | O_CREAT, 0644);
	CHECK(!listed(".", "kept"), "a new file is listed when it is whole");
	CHECK(write(fd, first, size) == (ssize_t)size, "write");
	for (int i = 0; i < 200 && !found; i++) {
		found = listed(".", "kept");
		usleep(found ? 0 : 10000);
	}
	CHECK(found, "then it is listed");
	close(fd);
	CHECK(listed(".", "kept") && unlink("kept") == 0 && !listed(".", "kept"),
	      "until it is removed");
}

/* --- places in a listing --- */

/* Each place that telldir names leads to the entry that followed it, also after changes elsewhere. */
static void test_places(void)
{
	enum { PLACES = 200 };
	static char names[PLACES][300];
	long places[PLACES];
	struct dirent *entry = NULL;
	size_t n = 0, right = 0;
	char name[32];
	DIR *dir;

	for (size_t i = 0; i < PLACES; i++) {
		snprintf(name, sizeof(name), "place%zu", i);
		store(name, first);
	}
	dir = opendir(".");
	for (n = 0; n < PLACES; n++) {
		places[n] = telldir(dir);
		entry = readdir(dir);
		if (entry == NULL)
			break;
		snprintf(names[n], sizeof(names[n]), "%s", entry->d_name);
	}
	store("later", first);
	CHECK(unlink("place0") == 0 && rename("place1", "moved") == 0, "changes between");
	for (size_t i = n; i-- > 0;) {
		seekdir(dir, places[i]);
		entry = readdir(dir);
		if (strcmp(names[i], "place0") == 0 || strcmp(names[i], "place1") == 0 ||
		    (entry != NULL &&
		     (strcmp(entry->d_name, "later") == 0 || strcmp(entry->d_name, "moved") == 0)))
			right++;
		else
			right += entry != NULL && strcmp(entry->d_name, names[i]) == 0;
	}
	CHECK(n > 100 && right == n, "each place is where it was");
	rewinddir(dir);
	for (n = 0; readdir(dir) != NULL; n++)
		;
	CHECK(n == 2 + PLACES - 1 + 1, "rewinddir sees what is there now");
	CHECK(readdir(dir) == NULL, "the end stays the end");
	closedir(dir);
	unlink("later");
	unlink("moved");
	for (size_t i = 0; i < PLACES; i++) {
		snprintf(name, sizeof(name), "place%zu", i);
		unlink(name);
	}
}

/* The kernel's own call, with room for one long name only. */
static void test_small_buffer(void)
{
	static char buf[304] __attribute__((aligned(8)));
	char longest[256];
	int fd, entries = 0, rounds = 0;
	long n;

	memset(longest, 'z', 255);
	longest[255] = '\0';
	store(longest, first);
	for (char c = 'a'; c <= 'f'; c++)
		store((char[]){c, '\0'}, first);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0 && rounds++ < 100)
		for (long at = 0; at < n; entries++)
			at += ((struct dirent64 *)(void *)(buf + at))->d_reclen;
	CHECK(n == 0 && entries == 2 + 7, "a small buffer sees all");
	lseek(fd, 0, SEEK_SET);
	REFUSED(syscall(SYS_getdents64, fd, buf, 8), EINVAL, "one that is too small");
	close(fd);
	unlink(longest);
	for (char c = 'a'; c <= 'f'; c++)
		unlink((char[]){c, '\0'});
}

/* --- what each directory lists --- */

static void test_directory(const char *path, unsigned type, int expected)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct stat st;
	int names = 0, dots = 0, right = 0;

	printf("# %s\n", path);
	CHECK(dir != NULL, "opendir");
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		bool dot = entry->d_name[0] == '.';

		dots += dot;
		names += !dot;
		right += fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			 (dot || st.st_ino == entry->d_ino) &&
			 IFTODT(st.st_mode) == entry->d_type &&
			 (dot || type == DT_UNKNOWN || entry->d_type == type);
	}
	CHECK(dots == 2 && names == expected && right == 2 + expected,
	      "its names, each with type and number");
	CHECK(dir != NULL && closedir(dir) == 0, "closedir");
}

static void test_directories(void)
{
	REFUSED(open("a", O_RDONLY | O_DIRECTORY), ENOENT, "opendir of nothing");
	store("a", first);
	store("b", second);
	CHECK(opendir("a") == NULL && errno == ENOTDIR, "opendir of a vector");
	test_directory("..", DT_UNKNOWN, 5);
	test_directory(".", DT_REG, 2);
	test_directory("../json", DT_REG, 2);
	test_directory("../status", DT_REG, 4);
	test_directory("../query", DT_DIR, 3);
	test_directory("../query/77", DT_UNKNOWN, 2);
	test_directory("../query/77/like", DT_UNKNOWN, 0);
	test_directory("../query/77/00000000", DT_UNKNOWN, 0);
	test_directory("../query/77,format=links/like/a", DT_LNK, 1);
	close(open("../query/77/q", O_WRONLY | O_CREAT, 0644));
	test_directory("../query/77", DT_UNKNOWN, 3);
	CHECK(unlink("../query/77/q") == 0 && unlink("a") == 0 && unlink("b") == 0, "unlink");
}

/* --- beside other processes --- */

/* Names that come, go and are renamed without a pause, until killed. */
static pid_t begin_changes(unsigned number)
{
	char one[32], two[32];
	pid_t child = fork();

	if (child != 0)
		return child;
	for (unsigned i = 0;; i++) {
		snprintf(one, sizeof(one), "coming%u-%u", number, i % 50);
		snprintf(two, sizeof(two), "moving%u-%u", number, i % 50);
		store(one, first);
		(void)rename(one, two);
		if (i % 3 == 0)
			(void)unlink(two);
	}
}

/* What is there all the time is listed once, in vectors/ and in json/; nothing is listed twice. */
static void list_beside(const char *path, int rounds)
{
	size_t wrong = 0, twice = 0;
	char name[32];

	for (int round = 0; round < rounds; round++) {
		DIR *dir = opendir(path);
		struct dirent *entry;

		memset(seen, 0, sizeof(seen));
		while ((entry = readdir(dir)) != NULL)
			see(entry->d_name);
		closedir(dir);
		for (size_t i = 0; i < LISTED; i++) {
			wrong += seen[i] == 0;
			twice += seen[i] > 1;
		}
		snprintf(name, sizeof(name), "list%d", round % LISTED);
		store(name, second); /* an overwrite moves nothing */
	}
	CHECK(wrong == 0, "what is there all the time is in each listing");
	CHECK(twice == 0, "once");
}

static void test_beside(void)
{
	pid_t others[3];
	char name[32];

	for (size_t i = 0; i < LISTED; i++) {
		snprintf(name, sizeof(name), "list%zu", i);
		store(name, first);
	}
	for (unsigned i = 0; i < 3; i++)
		others[i] = begin_changes(i);
	list_beside(".", 60);
	list_beside("../json", 60);
	for (unsigned i = 0; i < 3; i++) {
		kill(others[i], SIGKILL);
		CHECK(waitpid(others[i], NULL, 0) == others[i], "the other process");
	}
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	test_listing();
	test_kept_listing();
	test_places();
	test_small_buffer();
	test_directories();
	test_beside();
	return cases_end();
}
