/*
 * cases.c - single system calls on a mount: what the programs of posix.sh share.
 */
#include "tests/support/cases.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

size_t dim, size;
float first[CASES_DIM_MAX], second[CASES_DIM_MAX], got[CASES_DIM_MAX];

static int failures;

void check(bool good, const char *what, int line)
{
	if (good) {
		printf("ok - %s\n", what);
		return;
	}
	printf("not ok - %s (line %d, errno %s)\n", what, line, strerrorname_np(errno));
	failures++;
}

void cases_clear(void)
{
	DIR *dir = opendir(".");
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		(void)unlink(entry->d_name); /* "." and ".." stay */
	if (dir != NULL)
		closedir(dir);
}

void cases_begin(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 || chdir(argv[1]) != 0 || chdir("vectors") != 0) {
		fprintf(stderr, "usage: %s MOUNT DIM\n", argv[0]);
		exit(2);
	}
	dim = strtoul(argv[2], NULL, 10);
	size = dim * sizeof(float);
	if (dim < 8 || dim > CASES_DIM_MAX)
		exit(2);
	cases_clear();
	for (size_t i = 0; i < dim; i++) {
		first[i] = (float)i;
		second[i] = (float)(10000 + i);
	}
}

int cases_end(void)
{
	return failures > 0;
}

bool holds(const char *name, const float *expected)
{
	int fd = open(name, O_RDONLY);
	bool same = fd >= 0 && read(fd, got, sizeof(got)) == (ssize_t)size &&
		    memcmp(got, expected, size) == 0;

	if (fd >= 0)
		close(fd);
	return same;
}

bool is_absent(const char *name)
{
	struct stat st;

	return lstat(name, &st) < 0 && errno == ENOENT;
}

bool soon_absent(const char *name)
{
	for (int i = 0; i < 200; i++) {
		if (is_absent(name))
			return true;
		usleep(10000);
	}
	return false;
}

void store(const char *name, const float *vector)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, vector, size) != (ssize_t)size || close(fd) != 0) {
		printf("not ok - cannot store %s: %s\n", name, strerror(errno));
		exit(1);
	}
}

bool listed(const char *directory, const char *name)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int found = 0;

	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL)
		found += strcmp(entry->d_name, name) == 0;
	closedir(dir);
	return found == 1;
}
