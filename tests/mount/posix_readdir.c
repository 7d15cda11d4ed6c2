/*
 * posix_readdir.c - listings: each name once, whatever changes meanwhile; places to go back to.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	test_listing();
	test_kept_listing();
	return cases_end();
}
